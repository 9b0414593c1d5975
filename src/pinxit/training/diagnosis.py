"""What goes wrong in a training, told from its log alone: `diagnose(log, recipe)` gives findings. No torch here.

A rule is a function and a row of `RULES`, causes before their effects. It reads the means of windows of `EVERY` steps,
which begin with a look of the watch. A finding is told while its signs last: it begins with the first window of their
last unbroken stretch. A loss knows itself when its discriminator is well (`ADVERSARIAL`, `healthy`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pinxit.losses.adversarial import ADVERSARIAL
from pinxit.page import command
from pinxit.settings import Settings
from pinxit.training.curves import EVERY, Curve, Numbers, Windows
from pinxit.training.recipes import PLAIN, Recipe
from pinxit.training.settings import TrainingSettings

MOST = 3
"""The most findings that are told at once."""

# How long signs must last, in windows of 50 steps.
PATIENCE = 3  # one look alone is noise: 64 samples
SHORT_PATIENCE = 2  # for what no healthy training shows: the looks are medians of three
LONG_PATIENCE = 4  # for what healthy trainings show in their first windows too
YOUNG = 6  # for samples that have been alike from the beginning: a generator may take so long to tell latents apart,
YOUTH = 0.05  # or this share of the planned steps, if that is longer
BEGINNING = 3  # windows in which samples are like nothing yet, and a discriminator may be ahead
TREND = 6  # windows before these last ones tell whether a value still rises or falls

# Shares and ratios without a unit. The training pictures' own diversity, separation, coverage and nearest are 1.
ALIKE = 0.2  # diversity: samples that differ less from each other are one picture to a person
TWINS = 0.1  # separation: copies among 64 samples; samples of a healthy GAN keep above 0.5
FEW_KINDS = 0.45  # coverage: a set of two of the ten digits meets 0.57, of all digits 0.98
RISING = 1.15  # a value this much above that of some windows before still gets better
UNLIKE = 1.5  # nearest: pictures blurred or noisy by a fifth of the range are at 1.6; noise is at 4
NEARER = 0.8  # of the largest nearest: samples that came so much nearer to the pictures have learned something
COPIES = 0.45  # nearest: samples closer than this to training pictures, which are black at 0.55, are copies
SAME_DATA = 0.05  # data_diversity: photographs are at 0.7, digits at 0.5
SURE = 0.99  # told_apart: the discriminator is right of 99 of 100 pairs
GUESSING = 0.6  # told_apart: barely better than the 0.5 of a guess
OPPOSITE = 0.1  # told_apart: wrong in nine of ten pairs, which is not weakness
MEMORISED = 0.5  # of the way from unknown pictures to samples; Karras et al., 2020 (ADA), eq. 1, aim at 0.6
DEAD = 0.5  # share of units
STILL = 1e-4  # of the weights' size, per step: 10,000 steps to change a weight by its own size; healthy is 1e-3 to 3e-2
HEADLONG = 0.2  # of the weights' size, per step: weights are thrown away every five steps
AWAY = 0.5  # of the weights' size, in one step: what the networks started from is gone
FADED = 1e-3  # of a gradient's largest window: what is left of it
NOTHING = 1e-6  # a gradient's norm: below what Adam tells from zero, divided among a hundred thousand weights
GREW = 50.0  # a gradient's mean norm in a window, in units of that of the first; healthy ones stay below 10
SWINGS = 5  # of the last `TREND` + 2 changes from window to window, how many turn back
GAIN = 0.1  # of how unlike the pictures samples are: what the last third of a training takes away where it goes on
WIDE = 1.0  # the size of these swings, in units of the distance of scores, or of the data's diversity

# Autoencoders.
ACTIVE = 0.5  # units: codes hardly differ between pictures
USED = 0.5  # share of a codebook
MET = 0.25  # of the codes that a batch could meet
# Sharpness, measured on held-out pictures: MNIST after 2,000 steps of a dense VAE 0.69, with --beta 8 0.47; its mean
# picture 0.05; under a 3 x 3 blur 0.29. Photographs at 64 pixels (BSDS) after 600 steps 0.19, under the blur 0.25 (PSNR
# of reconstructions 18.4 dB).
SHARP = 0.25
LEVEL, SILENT = "rate_level_", 0.01  # a ladder level's reading; below this many nats per picture it is idle

GENERATOR, DISCRIMINATOR = "generator", "discriminator"


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


class Sign(NamedTuple):
    """What a rule saw: the window in which it began, the numbers, and a sentence if it is not that of the row."""

    window: int
    evidence: dict[str, float]
    sentence: str = ""


Change = Callable[[Recipe], Mapping[str, Any] | None]
"""A setting and its other value that may help, by field; None where it does not apply."""


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


class Course:
    """How a training went, as its rules read it: means by window, and for how long something has been so."""

    def __init__(self, windows: Windows, recipe: Recipe, ended: bool) -> None:
        self.windows, self.recipe, self.ended = windows, recipe, ended
        self.count = windows.count
        self._looks: dict[str, Numbers] = {}
        names = windows.names()
        found = [name.split("/")[1] for name in names if name.startswith("watch/") and name.endswith("/update_ratio")]
        self.players = found or sorted({name.partition("/")[0] for name in names if name.endswith("/gradient_norm")})

    def mean(self, name: str) -> Numbers:
        """Return a value by window; where it was not logged, that of the window before; NaN where there is none."""
        values = self.windows.means(name)
        known = np.maximum.accumulate(np.where(np.isnan(values), -1, np.arange(self.count)))
        return np.where(known < 0, np.nan, values[known])

    def look(self, name: str) -> Numbers:
        """Return a reading of the watch by window, each the median of at most three looks up to it."""
        if name not in self._looks:
            values = self.mean(f"watch/{name}")
            padded = np.concatenate([np.full(2, np.nan), values])
            self._looks[name] = middle(padded[2:], padded[1:-1], padded[:-2])
        return self._looks[name]

    def since(self, so: np.ndarray[Any, np.dtype[np.bool_]], patience: int = PATIENCE) -> int | None:
        """Return the window since which something has been so up to the last one; None if that is not long enough."""
        if not len(so) or not so[-1]:
            return None
        other = np.flatnonzero(~so)
        start = int(other[-1]) + 1 if len(other) else 0
        return start if self.count - start >= patience else None

    def youth(self) -> int:
        """Return for how many windows a generator may be excused for samples that have always been alike."""
        return max(YOUNG, round(YOUTH * self.recipe.training.steps / EVERY))

    def late(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return which windows come after the beginning."""
        return np.arange(self.count) >= BEGINNING

    def healthy(self) -> tuple[float, float] | None:
        """Return the healthy range of the discriminator's loss, if it is known."""
        row = ADVERSARIAL.get(getattr(self.recipe.settings, "loss", ""))
        return row.healthy if row else None


def middle(now: Numbers, before: Numbers, earlier: Numbers) -> Numbers:
    """Return the median of three values, the lower of two where one is not known, or the only one."""
    median = np.maximum(np.minimum(now, before), np.minimum(np.maximum(now, before), earlier))
    return np.where(np.isnan(median), np.fmin(now, before), median)


def rising(values: Numbers, by: float = RISING) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return where a value is well above what it was `PATIENCE` windows before."""
    before = np.concatenate([np.full(PATIENCE, np.nan), values[:-PATIENCE]])[: len(values)]
    return values > by * before


def non_finite(course: Course) -> Sign | None:
    """Numbers of the weights or samples that are not finite, or a step that was refused for one."""
    count = course.mean("watch/non_finite")
    so = count > 0
    return Sign(int(np.flatnonzero(so)[0]), {"not_finite": count[so][0]}) if so.any() else None


def exploding(course: Course) -> Sign | None:
    """Weights that are thrown away within a few steps, or gradients that grow without end."""
    if (sign := non_finite(course)) is not None:
        return sign
    for player in course.players:
        ratio = course.look(f"{player}/update_ratio")
        norm = course.mean(f"{player}/gradient_norm")
        known = norm[np.isfinite(norm)]
        grown = norm / known[0] if len(known) else norm
        gone = np.maximum.accumulate(np.nan_to_num(course.mean(f"watch/{player}/update_ratio"))) > AWAY
        so = (ratio > HEADLONG) | (grown > GREW) | (gone & unlikeness(course))
        window = course.since(so & course.late())
        if window is not None:
            evidence = {"gradient_norm": norm[-1], "of_the_first": grown[-1], "update_ratio": ratio[-1]}
            return Sign(window, {name: value for name, value in evidence.items() if np.isfinite(value)})
    return None


def unreached(course: Course) -> Sign | None:
    """Weights that no gradient reaches, which is a mistake in the code of an objective."""
    for player in course.players:
        idle = course.mean(f"watch/{player}/idle_weights")
        if (window := course.since(idle > 0)) is not None:
            share = "any" if idle[-1] == 1 else "{idle_weights:.1%}"
            sentence = f"No gradient reaches {share} of the {player}'s weights: "
            why = "their layers do not run, or its loss does not depend on them."
            return Sign(window, {"idle_weights": idle[-1]}, sentence + why)
    return None


def no_learning(course: Course) -> Sign | None:
    """A model whose weights have never moved by more than a trace, and whose samples come no nearer to the pictures.

    Weights alone do not tell: those of a style generator are large beside what they need to move. Or weights that no
    gradient reaches.
    """
    if (sign := unreached(course)) is not None:
        return sign
    player = next((name for name in course.players if name != DISCRIMINATOR), None)
    if player is None:
        return None
    ratio = course.mean(f"watch/{player}/update_ratio") / getattr(course.recipe.settings, "discriminator_steps", 1)
    moved = ratio[np.isfinite(ratio)]
    nearest = course.look("nearest")
    if len(moved) < PATIENCE or moved.max() >= STILL or nearest[-1] < NEARER * np.fmax.reduce(nearest):
        return None
    return Sign(0, {"update_ratio": moved.max()})


def dead_units(course: Course) -> Sign | None:
    """Most units of a network give the same value for every picture."""
    for player in course.players:
        dead = course.look(f"{player}/dead_units")
        if (window := course.since(dead > DEAD)) is not None:
            return Sign(window, {"dead_units": dead[-1]})
    return None


def vanishing(course: Course) -> Sign | None:
    """A gradient of the generator of which hardly anything is left."""
    norm = course.mean(f"{GENERATOR}/gradient_norm")
    known = norm[np.isfinite(norm)]
    if not len(known):
        return None
    left = norm / np.maximum.accumulate(np.where(np.isnan(norm), 0, norm)).clip(min=1e-300)
    window = course.since((left < FADED) | (norm < NOTHING))
    return None if window is None else Sign(window, {"gradient_norm": norm[-1], "of_its_largest": left[-1]})


def won(course: Course) -> Sign | None:
    """A discriminator that is always right, by a loss that then saturates, about samples unlike the pictures."""
    healthy = course.healthy()
    if healthy is None:
        return None
    loss, apart, unlike = course.mean(f"{DISCRIMINATOR}/adversarial"), course.look("told_apart"), unlikeness(course)
    sure = (apart > SURE) | np.isnan(apart)
    window = course.since((loss < healthy[0]) & sure & unlike & course.late(), max(PATIENCE, course.youth() // 2))
    if window is None:
        return None
    return Sign(window, last(loss=loss, told_apart=apart, nearest=course.look("nearest")))


def unlikeness(course: Course) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return in which windows samples are unlike the pictures, or of few kinds; in all of them if nobody looked."""
    nearest, few = course.look("nearest"), course.look("coverage") < FEW_KINDS
    return (nearest > UNLIKE) | (course.look("diversity") < ALIKE) | few | np.isnan(nearest)


SWAPPED = (
    "The discriminator takes samples for pictures, and pictures for samples: it finds the picture in {told_apart:.0%} "
    "of all pairs. In an objective of your own, look for swapped labels, a wrong sign, or pictures of another range."
)


def weak(course: Course) -> Sign | None:
    """A discriminator that cannot tell samples from pictures, though they differ, or holds them for the real ones.

    By its loss it may be sure nevertheless: then it is taught the opposite, or by pictures that are not these.
    """
    apart, nearest = course.look("told_apart"), course.look("nearest")
    healthy = course.healthy() or (-np.inf, np.inf)
    sure_of_others = (apart < OPPOSITE) & (course.mean(f"{DISCRIMINATOR}/adversarial") < healthy[0])
    window = course.since(((apart < GUESSING) & (nearest > UNLIKE) | sure_of_others) & course.late())
    if window is None:
        return None
    return Sign(window, last(told_apart=apart, nearest=nearest), SWAPPED if apart[-1] < OPPOSITE else "")


def known_by_heart(course: Course) -> Numbers:
    """Return by window how far held-out pictures score from training pictures, as a share of the way to samples."""
    seen, unseen, made = (course.look(f"{name}_score") for name in ("train", "held_out", "sample"))
    found: Numbers = (seen - unseen) / (seen - made)
    return found


def memorises(course: Course) -> Sign | None:
    """Held-out pictures score like samples rather than like training pictures, or samples are copies of these."""
    share, apart, nearest = known_by_heart(course), course.look("told_apart"), course.look("nearest")
    window = course.since((share > MEMORISED) & (apart > 1 - (1 - SURE) * 10) & course.late(), SHORT_PATIENCE)
    if window is not None:
        return Sign(window, last(memorised=share, told_apart=apart))
    window = course.since((nearest < COPIES) & (course.look("diversity") > ALIKE) & course.late(), LONG_PATIENCE)
    copies = "Samples are copies of training pictures: {nearest:.2f} times as far from the nearest as these are."
    return None if window is None else Sign(window, last(nearest=nearest), copies)


def collapse(course: Course) -> Sign | None:
    """All samples look alike, or they are copies of a few; or the training pictures themselves do not differ."""
    data = course.look("data_diversity")
    if (window := course.since(data < SAME_DATA)) is not None:
        return Sign(window, last(data_diversity=data), "All training pictures look alike, and so will all samples.")
    diversity, separation, covered = (course.look(name) for name in ("diversity", "separation", "coverage"))
    twins = (diversity > 0) & (separation < TWINS) & (covered < FEW_KINDS)
    so = (((diversity < ALIKE) & ~rising(diversity)) | twins) & course.late()
    differed = np.fmax.accumulate(np.where(course.late(), diversity, 0)) > 2 * ALIKE
    window = course.since(so & differed)
    if window is None:
        window = course.since(so, course.youth())
    return None if window is None else Sign(window, last(diversity=diversity, coverage=covered))


def partial_collapse(course: Course) -> Sign | None:
    """Samples are of a few kinds only, and there are no more of them than before."""
    diversity, covered = course.look("diversity"), course.look("coverage")
    so = (covered < FEW_KINDS) & (course.look("nearest") < UNLIKE) & ~rising(covered) & ~rising(diversity)
    window = course.since(so & course.late(), course.youth())
    return None if window is None else Sign(window, last(coverage=covered, diversity=diversity))


def oscillation(course: Course) -> Sign | None:
    """Scores or the samples' diversity swing back and forth, window by window, as widely as they are apart."""
    last = TREND + 3
    if course.count < BEGINNING + last:
        return None
    real, fake = (course.mean(f"{DISCRIMINATOR}/{name}_score")[-last:] for name in ("real", "fake"))
    for values, unit in ((fake, abs(np.mean(real - fake))), (course.mean("watch/diversity")[-last:], 1.0)):
        steps = np.diff(values)
        turns = int((steps[1:] * steps[:-1] < 0).sum())
        size = float(np.abs(steps).mean()) / max(float(unit), 1e-9)
        if turns >= SWINGS and size > WIDE:
            return Sign(course.count - last, {"turns": turns, "size": size})
    return None


def last(**values: Numbers) -> dict[str, float]:
    """Return the last of each value as evidence, where there is one."""
    return {name: float(value[-1]) for name, value in values.items() if np.isfinite(value[-1])}


def ending(reading: str, least: float) -> Callable[[Course], Sign | None]:
    """Return the rule that a reading of an autoencoder stays below what it should reach, and no longer rises."""

    def see(course: Course) -> Sign | None:
        values = course.mean(f"autoencoder/{reading}")
        if course.ended:
            return Sign(start(values < least), {reading: values[-1]}) if len(values) and values[-1] < least else None
        window = course.since((values < least) & ~rising(values) & course.late())
        return None if window is None else Sign(window, {reading: values[-1]})

    return see


def dead_codes(course: Course) -> Sign | None:
    """Codes that are not in use, or so many copies of others that pictures meet only a few."""
    if (sign := ending("codes_used", USED)(course)) is not None:
        return sign
    met = course.look("codes_met")
    window = course.since((met < MET) & ~rising(met) & course.late())
    if window is None:
        return None
    return Sign(
        window,
        last(codes_met=met),
        "Most of the codebook is unused: a batch meets {codes_met:.0%} of the codes that it could. A smaller one "
        "(--codes) would do as well.",
    )


def start(so: np.ndarray[Any, np.dtype[np.bool_]]) -> int:
    """Return the first window of the last unbroken stretch that reaches the end."""
    other = np.flatnonzero(~so)
    return int(other[-1]) + 1 if len(other) else 0


def idle(course: Course) -> Sign | None:
    """Levels of a ladder that carry no information; told when training is over, because they come one after another."""
    terms = {name.rpartition("/")[2]: name for name in course.windows.names()}
    levels = {term.removeprefix(LEVEL): name for term, name in terms.items() if term.startswith(LEVEL)}
    rates = {level: course.mean(name) for level, name in levels.items() if level.isdecimal()}
    silent = {level: rate for level, rate in rates.items() if rate[-1] < SILENT}
    lasting = [course.since(rate < SILENT, 2 * PATIENCE) for rate in silent.values()]
    if not silent or (None in lasting and not course.ended):
        return None
    return Sign(
        min(start(rate < SILENT) for rate in silent.values()),
        {f"{LEVEL}{level}": rate[-1] for level, rate in silent.items()},
        f"These levels of the ladder carry no information (1 is the top): {', '.join(sorted(silent, key=int))}.",
    )


def improving(course: Course) -> Sign | None:
    """Samples got more like the pictures until the end of training."""
    gain = progress(course)
    if gain is None or gain < GAIN:
        return None
    return Sign(course.count - course.count // 3, {"gain": gain})


def finished(course: Course) -> Sign | None:
    """Samples no longer get more like the pictures."""
    gain = progress(course)
    if gain is None or gain >= GAIN:
        return None
    return Sign(course.count - course.count // 3, {"gain": gain})


def distance(course: Course) -> Numbers:
    """Return by window how unlike the pictures samples are: how far `nearest` and `coverage` are from 1, together."""
    return np.abs(course.mean("watch/nearest") - 1) + np.abs(1 - course.mean("watch/coverage")).clip(max=1)


def progress(course: Course) -> float | None:
    """Return by which share samples came nearer to being like the pictures in the last third of a training.

    None before the end of a training.
    """
    third = course.count // 3
    if not course.ended or third < PATIENCE:
        return None
    unlike = distance(course)
    before, after = float(np.mean(unlike[-2 * third : -third])), float(np.mean(unlike[-third:]))
    return float(1 - after / max(before, 0.05)) if np.isfinite(before + after) else None


def rate(share: float) -> Change:
    """Return the change of the learning rate to a share of what it is."""
    return lambda recipe: {"learning_rate": _short(recipe.settings.learning_rate * share)}


def usual_rate(recipe: Recipe) -> Mapping[str, Any] | None:
    """Return the objective's default learning rate if the recipe's is far below it."""
    usual = type(recipe.settings).model_fields["learning_rate"].default
    return {"learning_rate": usual} if recipe.settings.learning_rate < usual / 3 else None


def one_rate(recipe: Recipe) -> Mapping[str, Any] | None:
    """Return one learning rate for both players if they have two: that which is nearer to the default."""
    settings = recipe.settings
    own, model = getattr(settings, "discriminator_rate", None), settings.learning_rate
    if own in (None, model):
        return None
    usual = type(settings).model_fields["learning_rate"].default
    own_is_nearer = abs(math.log(own / usual)) < abs(math.log(model / usual))
    return {"learning_rate": own} if own_is_nearer else {"discriminator_rate": model}


def slower_discriminator(recipe: Recipe) -> Mapping[str, Any]:
    """Return a quarter of the discriminator's learning rate."""
    settings = recipe.settings
    return {"discriminator_rate": _short((getattr(settings, "discriminator_rate", None) or settings.learning_rate) / 4)}


def when(field: str, found: Any, better: Any) -> Change:
    """Return the change of a setting that has one value to another."""
    return lambda recipe: {field: better} if _value(recipe, field) == found else None


def above(field: str, least: float, share: float) -> Change:
    """Return the change of a setting that is above a value to a share of what it is."""
    return lambda recipe: (
        {field: type(value)(_short(value * share))} if (value := _value(recipe, field) or 0) > least else None
    )


far_too_fast = above("learning_rate", 0.02, 0.1)
"""A tenth of a learning rate with which no network is known to train."""


def at_most(field: str, most: float) -> Change:
    """Return the change of a setting that is above a value to that value."""
    return lambda recipe: {field: most} if (_value(recipe, field) or 0) > most else None


def penalised(recipe: Recipe) -> Mapping[str, Any] | None:
    """Return an R1 penalty, or ten times the one there is, where the discriminator can have one."""
    settings = recipe.settings
    blended = getattr(settings, "network", "") == "dcgan" and getattr(settings, "discriminator_norm", "") == "batch"
    weight = getattr(settings, "r1", None)
    return None if weight is None or blended else {"r1": _short(weight * 10) if weight else 1.0}


def more_steps(recipe: Recipe) -> Mapping[str, Any]:
    """Return twice the steps."""
    return {"steps": recipe.training.steps * 2}


def _short(value: float) -> float:
    return float(f"{value:.2g}")


def _value(recipe: Recipe, field: str) -> Any:
    return next(
        (getattr(part, field) for part in (recipe.settings, recipe.data, recipe.training) if hasattr(part, field)), None
    )


def anew(recipe: Recipe, change: Mapping[str, Any]) -> str:
    """Return the command that trains again as the recipe says, with some settings changed.

    A prior learns the codes of a run, whose folder the recipe does not know.
    """
    settings, minutes = recipe.settings, recipe.training.minutes
    usual = settings.pictures(), TrainingSettings.parse(dict(settings.training))
    length = {"steps"}
    if minutes is not None and "steps" not in change:
        length, change = set(), {**change, "steps": usual[1].steps}
    words = [
        *_flags(settings, type(settings)(), change, change.keys()),
        *(() if settings.of_codes else _flags(recipe.data, usual[0], change, change.keys())),
        *_flags(recipe.training, usual[1], change, {"seed"} | length | (change.keys() - {"steps"})),
        *(() if length else ("--minutes", f"{minutes:g}")),
        *(("--recipe", PLAIN) if recipe.chosen and recipe.chosen.recipe != PLAIN else ()),  # the flags say it all
    ]
    return command("train", recipe.objective, "RUN" if settings.of_codes else recipe.data.source, *words)


HOW = ("device", "precision", "threads", "minutes")  # of the machine, not of the model


def _flags(part: Settings, usual: Settings, change: Mapping[str, Any], always: Collection[str] = ()) -> Iterator[str]:
    """Yield the flags of the settings that differ from the usual ones."""
    for field in type(usual).model_fields:
        value = change.get(field, getattr(part, field))
        if field in HOW or (value == getattr(usual, field) and field not in always):
            continue
        flag = "--" + field.replace("_", "-")
        if isinstance(value, bool):
            yield flag if value else "--no-" + flag.removeprefix("--")
        else:
            yield from (flag, f"{value:g}" if isinstance(value, float) else str(value))


ENDS = ("still-improving", "finished")
"""Findings on how a training ended, which is no matter where it was ill."""

RULES: dict[str, Rule] = {
    "exploding-gradient": Rule(
        exploding,
        "Training explodes: each step throws the weights away, or gradients grow without end.",
        changes=(above("learning_rate", 5e-3, 0.1), at_most("weight_clip", 0.01), when("clip", 0.0, 1.0), rate(0.25)),
        explains=("dead-units", "collapse", "partial-collapse", "oscillation", "discriminator-won", "dead-codes",
                  "discriminator-weak", "vanishing-gradient", "posterior-collapse", "blurry-decoder",
                  "discriminator-memorises"),
    ),
    "no-learning": Rule(
        no_learning,
        "Nothing is learned: a step changes the weights by {update_ratio:.1g} of their size; 1e-3 is usual.",
        changes=(when("optimiser", "sgd", "adam"), usual_rate, rate(10.0)),
        explains=("collapse", "partial-collapse", "discriminator-won", "discriminator-weak", "blurry-decoder",
                  "posterior-collapse", "discriminator-memorises", "vanishing-gradient"),
    ),
    "vanishing-gradient": Rule(
        vanishing,
        "The generator's gradient has vanished: its norm is {gradient_norm:.1g}, so it learns nothing.",
        changes=(far_too_fast, when("loss", "saturating", "non-saturating"), at_most("weight_decay", 0.0), one_rate,
                 above("weight_clip", 0.0, 100.0), slower_discriminator),
        explains=("dead-units", "discriminator-won", "discriminator-weak", "collapse", "partial-collapse"),
    ),
    "dead-units": Rule(
        dead_units,
        "Units are dead: {dead_units:.0%} of a network's units give the same value for every picture.",
        changes=(rate(0.1),),
        explains=("collapse", "partial-collapse"),
    ),
    "discriminator-memorises": Rule(
        memorises,
        "The discriminator knows its training pictures by heart: it scores held-out ones as it scores samples.",
        changes=(when("augment_discriminator", "none", "colour,translation,cutout"), when("shift", 0.0, 0.1),
                 when("flip", False, True), penalised, slower_discriminator),
        explains=("discriminator-won", "partial-collapse"),
    ),
    "discriminator-weak": Rule(
        weak,
        "The discriminator is too weak: it finds the picture in {told_apart:.0%} of all pairs, though samples are "
        "{nearest:.1f} times as far from the pictures as these from each other.",
        changes=(one_rate, at_most("r1", 10.0), above("r1", 0.0, 0.01), above("r2", 0.0, 0.01),
                 above("gradient_penalty", 10.0, 0.1),
                 rate(0.5)),
        explains=("collapse", "partial-collapse"),
    ),
    "discriminator-won": Rule(
        won,
        "The discriminator has won: its loss is {loss:.2g}, and it is hardly ever wrong. The generator learns little.",
        changes=(far_too_fast, one_rate, at_most("discriminator_steps", 1), above("beta1", 0.9, 0.0),
                 at_most("weight_decay", 0.01), penalised, slower_discriminator),
        explains=("collapse", "partial-collapse"),
    ),
    "collapse": Rule(
        collapse,
        "The generator has collapsed: its samples differ {diversity:.2f} times as much as the training pictures do.",
        changes=(far_too_fast, above("beta1", 0.5, 0.0), at_most("weight_decay", 0.01), at_most("weight_clip", 0.01),
                 penalised, rate(0.25)),
        explains=("partial-collapse", "oscillation"),
    ),
    "partial-collapse": Rule(
        partial_collapse,
        "Samples are of few kinds: they meet {coverage:.0%} of the clusters that as many training pictures meet.",
        changes=(above("beta1", 0.5, 0.0), penalised, rate(0.25)),
    ),
    "oscillation": Rule(
        oscillation,
        "Training swings back and forth: {turns:.0f} of the last changes turned back.",
        changes=(above("beta1", 0.5, 0.0), rate(0.25)),
    ),
    "posterior-collapse": Rule(
        ending("active_units", ACTIVE),
        "The codes have collapsed: they hardly differ between pictures, and the decoder ignores them. A smaller "
        "--beta, --beta-warmup or --free-bits helps.",
        changes=(above("beta", 1.0, 0.1), when("free_bits", 0.0, 0.1)),
        explains=("blurry-decoder",),
    ),
    "blurry-decoder": Rule(
        ending("sharpness", SHARP),
        "Reconstructions are blurry: their edges keep {sharpness:.0%} of the pictures' edge energy; a 3 x 3 blur keeps "
        "about a quarter. More steps, a smaller --beta, wider networks (--channels) or --perceptual may help.",
        changes=(above("beta", 1.0, 0.1), more_steps),
    ),
    "dead-codes": Rule(
        dead_codes,
        "The codebook is partly unused: {codes_used:.0%} of its codes were in use at the end. A smaller one (--codes) "
        "would do as well, or more steps may bring the rest into use.",
        changes=(above("codes", 16, 0.25),),
    ),
    "idle-levels": Rule(idle, "Levels of the ladder carry no information.", changes=(above("levels", 1, 0.5),)),
    "still-improving": Rule(
        improving,
        "Samples still improve: in the last third they came {gain:.0%} nearer to being like the pictures. Go on.",
        grave=False,
        changes=(more_steps,),
    ),
    "finished": Rule(
        finished, "Samples no longer improve, so more steps alone will not help.", grave=False
    ),
}  # fmt: skip
"""The findings by name, causes before their effects."""
