"""The walk through the lessons of a topic, as a terminal shows it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from torch import Tensor

from pinxit.lessons.course import Trained, marked, train
from pinxit.lessons.gan import LESSONS, Lesson, TutorialGAN
from pinxit.progress import say, track

WIDTH = 100  # letters of a line in a terminal
HEALTHY = "healthy"
HEADLINE = "The tutorial that never trains"
INTRODUCTION = (
    "A GAN is two networks. The generator makes pictures out of random numbers. The discriminator scores pictures: "
    "high for real ones, low for fakes. In each step the discriminator learns to tell them apart, and the generator "
    "learns to be taken for real. Each mistake below breaks one function of a GAN that works."
)


def walk(taught: str, images: Tensor, steps: int) -> Iterator[tuple[str, Trained]]:
    """Train the GAN that works, then each lesson, on pictures; say what is broken, what is found, and what mends it."""
    _say(f"{HEADLINE}, on {taught}", *textwrap.wrap(INTRODUCTION, WIDTH))
    for number, name in enumerate(track((HEALTHY, *LESSONS), "trainings", 1 + len(LESSONS), share=1.0)):
        lesson = LESSONS.get(name)
        _say("", f"{number}. {lesson.title if lesson else 'The GAN that works'}", *(broken(lesson) if lesson else ()))
        trained = train(lesson.build if lesson else TutorialGAN, images, steps, name)
        _say(*(f"pinxit says: {sentence}" for sentence in trained.sentences()), *(mended(lesson) if lesson else ()))
        yield name, trained


def broken(lesson: Lesson) -> Iterator[str]:
    """Yield what is wrong in a lesson: in words, and as code whose broken lines are marked by >."""
    yield from textwrap.wrap(lesson.mistake, WIDTH)
    yield from (f"  {'>' if changed else ' '} {line}" for line, changed in marked(lesson.broken, lesson.mended))


def mended(lesson: Lesson) -> Iterator[str]:
    """Yield the lines that mend a lesson; then it is the GAN that works."""
    yield "mended, and then it is the GAN that works (0):"
    yield from (f"  > {line}" for line, changed in marked(lesson.mended, lesson.broken) if changed)


def _say(*lines: str) -> None:
    for line in lines:
        say(line)
