"""What goes wrong between a generator and a discriminator, and with samples: rules of the diagnosis. No torch here."""

from __future__ import annotations

import numpy as np

from pinxit.training.curves import Numbers
from pinxit.training.diagnosis.course import (
    ALIKE,
    BEGINNING,
    DISCRIMINATOR,
    FEW_KINDS,
    GENERATOR,
    LONG_PATIENCE,
    PATIENCE,
    SHORT_PATIENCE,
    UNLIKE,
    Course,
    Sign,
    last,
    rising,
    unlikeness,
)

# The training pictures' own separation and nearest are 1.
TWINS = 0.1  # separation: copies among 64 samples; samples of a healthy GAN keep above 0.5
COPIES = 0.45  # nearest: samples closer than this to training pictures, which are black at 0.55, are copies
SAME_DATA = 0.05  # data_diversity: photographs are at 0.7, digits at 0.5
SURE = 0.99  # told_apart: the discriminator is right of 99 of 100 pairs
AHEAD = 0.9  # told_apart: the discriminator is right of nine of ten pairs
FLED = 1.5  # of the smallest nearest: samples that were so much nearer to the pictures before
GUESSING = 0.6  # told_apart: barely better than the 0.5 of a guess
OPPOSITE = 0.1  # told_apart: wrong in nine of ten pairs, which is not weakness
MEMORISED = 0.5  # of the way from unknown pictures to samples; Karras et al., 2020 (ADA), eq. 1, aim at 0.6
UNCHANGED = 0.05  # identity: so little of the way to the other side is what a network changes that is not sharp
FADED = 1e-3  # of a gradient's largest window: what is left of it
NOTHING = 1e-6  # a gradient's norm: below what Adam tells from zero, divided among a hundred thousand weights
SWUNG = 9  # windows that show whether a value swings
SWINGS = 5  # of the changes from window to window, how many turn back
WIDE = 1.0  # the size of these swings, in units of the distance of scores, or of the data's diversity
GAIN = 0.1  # of how unlike the pictures samples are: what the last third of a training takes away where it goes on


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
    loss, apart, unlike = course.steady(f"{DISCRIMINATOR}/adversarial"), course.look("told_apart"), unlikeness(course)
    sure = (apart > SURE) | np.isnan(apart)
    window = course.since((loss < healthy[0]) & sure & unlike & course.late(), max(PATIENCE, course.youth() // 2))
    if window is None:
        return driven_away(course)
    return Sign(window, last(loss=loss, told_apart=apart, nearest=course.look("nearest")))


def driven_away(course: Course) -> Sign | None:
    """Samples that get ever less like the pictures while the discriminator is ahead: the generator flees from it."""
    nearest, apart = course.look("nearest"), course.look("told_apart")
    fled = (nearest > UNLIKE) & (nearest > FLED * np.fmin.accumulate(nearest)) & (apart > AHEAD)
    window = course.since(fled & course.late())
    sentence = (
        "The discriminator has won: it finds the picture in {told_apart:.0%} of all pairs, and samples get less and "
        "less like the pictures. They are {nearest:.1f} times as far from these as these from each other."
    )
    return None if window is None else Sign(window, last(told_apart=apart, nearest=nearest), sentence)


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
    unlike = (nearest > UNLIKE) | (course.look("diversity") < ALIKE)
    window = course.since(((apart < GUESSING) & unlike | sure_of_others) & course.late())
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


def unchanged(course: Course) -> Sign | None:
    """Translations are the pictures themselves."""
    identity = course.look("identity")
    window = course.since((identity < UNCHANGED) & course.late())
    return None if window is None else Sign(window, last(identity=identity))


def oscillation(course: Course) -> Sign | None:
    """Scores or the samples' diversity swing back and forth, window by window, as widely as they are apart.

    How far scores can be apart is known from the whole training: near its balance they hardly are.
    """
    if course.count < BEGINNING + SWUNG:
        return None
    real, fake = (course.mean(f"{DISCRIMINATOR}/{name}_score") for name in ("real", "fake"))
    gaps = np.abs(real - fake)
    apart = float(np.nansum(gaps)) / max(1, np.isfinite(gaps).sum())
    for values, unit in ((fake[-SWUNG:], apart), (course.mean("watch/diversity")[-SWUNG:], 1.0)):
        steps = np.diff(values)
        turns = int((steps[1:] * steps[:-1] < 0).sum())
        size = float(np.abs(steps).mean()) / max(unit, 1e-9)
        if turns >= SWINGS and size > WIDE:
            return Sign(course.count - SWUNG, {"turns": turns, "size": size})
    return None


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
