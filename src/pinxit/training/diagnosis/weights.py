"""What goes wrong in the weights of any network: rules of the diagnosis. No torch here."""

from __future__ import annotations

import numpy as np

from pinxit.training.diagnosis.course import DISCRIMINATOR, PATIENCE, SHORT_PATIENCE, Course, Sign, unlikeness

DEAD = 0.5  # share of units
STILL = 1e-4  # of the weights' size, per step: 10,000 steps to change a weight by its own size; healthy is 1e-3 to 3e-2
HEADLONG = 0.2  # of the weights' size, per step: weights are thrown away every five steps
AWAY = 0.5  # of the weights' size, in one step: what the networks started from is gone
GREW = 50.0  # a gradient's mean norm in a window, in units of that of the first; healthy ones stay below 10
HUGE = 1e3  # between scores of pictures and samples, if the loss has a healthy range; good ones stay below 30
NEARER = 0.8  # of the largest nearest: samples that came so much nearer to the pictures have learned something


def non_finite(course: Course) -> Sign | None:
    """Numbers of the weights or samples that are not finite, or a step that was refused for one."""
    count = course.mean("watch/non_finite")
    so = count > 0
    return Sign(int(np.flatnonzero(so)[0]), {"not_finite": count[so][0]}) if so.any() else None


def huge_scores(course: Course) -> Sign | None:
    """Scores that are further apart than a loss asks for; those of a Wasserstein critic may have any size."""
    if course.healthy() is None:
        return None
    real, fake = (course.steady(f"{DISCRIMINATOR}/{name}_score") for name in ("real", "fake"))
    window = course.since((np.abs(real - fake) > HUGE) & course.late(), SHORT_PATIENCE)
    sentence = "Scores explode: those of pictures and samples are {apart:.3g} apart, and good ones less than 30."
    return None if window is None else Sign(window, {"apart": abs(real[-1] - fake[-1])}, sentence)


def exploding(course: Course) -> Sign | None:
    """Weights that are thrown away within a few steps, or gradients or scores that grow without end."""
    if (sign := non_finite(course)) is not None:
        return sign
    if (sign := huge_scores(course)) is not None:
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
