"""What goes wrong in an autoencoder: rules of the diagnosis. No torch here."""

from __future__ import annotations

from collections.abc import Callable

from pinxit.training.diagnosis.course import PATIENCE, Course, Sign, last, rising, start

ACTIVE = 0.5  # units: codes hardly differ between pictures
USED = 0.5  # share of a codebook
MET = 0.25  # of the codes that a batch could meet
# Sharpness, measured on held-out pictures: MNIST after 2,000 steps of a dense VAE 0.69, with --beta 8 0.47; its mean
# picture 0.05; under a 3 x 3 blur 0.29. Photographs at 64 pixels (BSDS) after 600 steps 0.19, under the blur 0.25 (PSNR
# of reconstructions 18.4 dB).
SHARP = 0.25
LEVEL, SILENT = "rate_level_", 0.01  # a ladder level's reading; below this many nats per picture it is idle


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
