"""What goes wrong in a training, told from its log alone: `diagnose(log, recipe)` gives findings. No torch here.

A rule is a function and a row of `RULES`, causes before their effects. It reads the means of windows of `EVERY` steps,
which begin with a look of the watch. A finding is told while its signs last: it begins with the first window of their
last unbroken stretch. A loss knows itself when its discriminator is well (`ADVERSARIAL`, `healthy`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pinxit.training.curves import EVERY, Curve, Windows
from pinxit.training.diagnosis import adversaries, autoencoders, weights
from pinxit.training.diagnosis.course import Course, Sign
from pinxit.training.diagnosis.remedies import (
    Change,
    above,
    anew,
    at_most,
    far_too_fast,
    free_bits,
    more_steps,
    one_rate,
    penalised,
    rate,
    slower_discriminator,
    usual_rate,
    when,
)
from pinxit.training.recipes import Recipe

MOST = 3
"""The most findings that are told at once."""


@dataclass(frozen=True)
class Finding:
    """Something that a person should know of a training; `grave` if it should stop for that.

    `step` is where it began, `evidence` the numbers that show it, and `remedy` a command that is likely to do better.
    """

    name: str
    grave: bool
    step: int
    evidence: dict[str, float]
    sentence: str
    remedy: str | None

    def __str__(self) -> str:
        return f"{self.sentence} ({self.name})" + (f" Try `{self.remedy}`." if self.remedy else "")


@dataclass(frozen=True)
class Rule:
    """A row of `RULES`. The first of `changes` that applies is the remedy; beside it, `explains` are not told."""

    see: Callable[[Course], Sign | None]
    sentence: str
    grave: bool = True
    changes: tuple[Change, ...] = ()
    explains: tuple[str, ...] = ()


def diagnose(log: Mapping[str, Curve], recipe: Recipe) -> tuple[Finding, ...]:
    """Return what the curves of a log (by name, as `read_log` gives them) show, causes first; a pure function."""
    windows = Windows.of(log)
    now = recipe.repaired(recipe.in_force(windows.last))
    return judge(windows, now, windows.last >= recipe.training.steps)


def judge(windows: Windows, recipe: Recipe, ended: bool) -> tuple[Finding, ...]:
    """Return what the windows of a log show, of a training that has ended or goes on."""
    course = Course(windows, recipe, ended)
    with np.errstate(all="ignore"):
        signs = {name: sign for name, rule in RULES.items() if (sign := rule.see(course)) is not None}
    explained = {other for name in signs for other in RULES[name].explains}
    ill = any(RULES[name].grave for name in signs)
    told = [name for name in signs if name not in explained and not (ill and name in ENDS)]
    return tuple(_finding(name, signs[name], recipe) for name in told[:MOST])


def _finding(name: str, sign: Sign, recipe: Recipe) -> Finding:
    rule = RULES[name]
    evidence = {key: float(f"{value:.3g}") for key, value in sign.evidence.items()}
    change = next((found for change in rule.changes if (found := change(recipe))), None)
    remedy = None if change is None else anew(recipe, change)
    sentence = (sign.sentence or rule.sentence).format(**evidence)
    return Finding(name, rule.grave, sign.window * EVERY + 1, evidence, sentence, remedy)


ENDS = ("still-improving", "finished")
"""Findings on how a training ended, which is no matter where it was ill."""

RULES: dict[str, Rule] = {
    "exploding-gradient": Rule(
        weights.exploding,
        "Training explodes: each step throws the weights away, or gradients grow without end.",
        changes=(above("learning_rate", 5e-3, 0.1), at_most("weight_clip", 0.01), when("clip", 0.0, 1.0), rate(0.25)),
        explains=("dead-units", "collapse", "partial-collapse", "oscillation", "discriminator-won", "dead-codes",
                  "discriminator-weak", "vanishing-gradient", "posterior-collapse", "blurry-decoder",
                  "discriminator-memorises"),
    ),
    "no-learning": Rule(
        weights.no_learning,
        "Nothing is learned: a step changes the weights by {update_ratio:.1g} of their size; 1e-3 is usual.",
        changes=(usual_rate(0.01), when("optimiser", "sgd", "adam"), usual_rate(0.3), rate(10.0)),
        explains=("collapse", "partial-collapse", "discriminator-won", "discriminator-weak", "blurry-decoder",
                  "posterior-collapse", "discriminator-memorises", "vanishing-gradient"),
    ),
    "vanishing-gradient": Rule(
        adversaries.vanishing,
        "The generator's gradient has vanished: its norm is {gradient_norm:.1g}, so it learns nothing.",
        changes=(far_too_fast, when("loss", "saturating", "non-saturating"), at_most("weight_decay", 0.0), one_rate,
                 above("weight_clip", 0.0, 100.0), slower_discriminator),
        explains=("dead-units", "discriminator-won", "discriminator-weak", "collapse", "partial-collapse"),
    ),
    "dead-units": Rule(
        weights.dead_units,
        "Units are dead: {dead_units:.0%} of a network's units give the same value for every picture.",
        changes=(rate(0.1),),
        explains=("collapse", "partial-collapse"),
    ),
    "discriminator-memorises": Rule(
        adversaries.memorises,
        "The discriminator knows its training pictures by heart: it scores held-out ones as it scores samples.",
        changes=(when("augment_discriminator", "none", "colour,translation,cutout"), when("shift", 0.0, 0.1),
                 when("flip", False, True), penalised, slower_discriminator),
        explains=("discriminator-won", "partial-collapse"),
    ),
    "discriminator-weak": Rule(
        adversaries.weak,
        "The discriminator is too weak: it finds the picture in {told_apart:.0%} of all pairs, though samples are "
        "{nearest:.1f} times as far from the pictures as these from each other.",
        changes=(one_rate, at_most("r1", 10.0), above("r1", 0.0, 0.01), above("r2", 0.0, 0.01),
                 above("gradient_penalty", 10.0, 0.1),
                 rate(0.5)),
        explains=("collapse", "partial-collapse"),
    ),
    "discriminator-won": Rule(
        adversaries.won,
        "The discriminator has won: its loss is {loss:.2g}, and it is hardly ever wrong. The generator learns little.",
        changes=(far_too_fast, one_rate, at_most("discriminator_steps", 1), above("beta1", 0.9, 0.0),
                 at_most("weight_decay", 0.01), penalised, slower_discriminator),
        explains=("collapse", "partial-collapse"),
    ),
    "collapse": Rule(
        adversaries.collapse,
        "The generator has collapsed: its samples differ {diversity:.2f} times as much as the training pictures do.",
        changes=(far_too_fast, above("beta1", 0.5, 0.0), at_most("weight_decay", 0.01), at_most("weight_clip", 0.01),
                 penalised, rate(0.25)),
        explains=("partial-collapse", "oscillation"),
    ),
    "partial-collapse": Rule(
        adversaries.partial_collapse,
        "Samples are of few kinds: they meet {coverage:.0%} of the clusters that as many training pictures meet.",
        changes=(above("beta1", 0.5, 0.0), penalised, rate(0.25)),
    ),
    "identity": Rule(
        adversaries.unchanged,
        "Pictures stay as they are: the translator changes them by {identity:.0%} of what the two kinds differ by. A "
        "smaller --identity or --cycle leaves it more freedom.",
    ),
    "oscillation": Rule(
        adversaries.oscillation,
        "Training swings back and forth: {turns:.0f} of the last changes turned back.",
        changes=(above("beta1", 0.5, 0.0), rate(0.25)),
    ),
    "posterior-collapse": Rule(
        autoencoders.ending("active_units", autoencoders.ACTIVE),
        "The codes have collapsed: they hardly differ between pictures, and the decoder ignores them. A smaller "
        "--beta, --beta-warmup or --free-bits helps.",
        changes=(above("beta", 1.0, 0.1), free_bits),
        explains=("blurry-decoder",),
    ),
    "blurry-decoder": Rule(
        autoencoders.ending("sharpness", autoencoders.SHARP),
        "Reconstructions are blurry: their edges keep {sharpness:.0%} of the pictures' edge energy; a 3 x 3 blur keeps "
        "about a quarter. More steps, a smaller --beta, wider networks (--channels) or --perceptual may help.",
        grave=False,
        changes=(above("beta", 1.0, 0.1), more_steps),
    ),
    "dead-codes": Rule(
        autoencoders.dead_codes,
        "The codebook is partly unused: {codes_used:.0%} of its codes were in use at the end. A smaller one (--codes) "
        "would do as well, or more steps may bring the rest into use.",
        changes=(above("codes", 16, 0.25),),
    ),
    "idle-levels": Rule(
        autoencoders.idle,
        "Levels of the ladder carry no information.",
        changes=(above("levels", 1, 0.5),),
    ),
    "still-improving": Rule(
        adversaries.improving,
        "Samples still improve: in the last third they came {gain:.0%} nearer to being like the pictures. Go on.",
        grave=False,
        changes=(more_steps,),
    ),
    "finished": Rule(
        adversaries.finished, "Samples no longer improve, so more steps alone will not help.", grave=False
    ),
}  # fmt: skip
"""The findings by name, causes before their effects."""
