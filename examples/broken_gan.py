"""Train a broken GAN for some seconds and hear what is wrong with it; then break it in a way of your own.

    python examples/broken_gan.py wrong-sign          one of the lessons of `pinxit learn gan`
    python examples/broken_gan.py mine 600            the class below, for 600 steps

The lessons, with their mended lines, are in docs/gan-lessons.md.
"""

import sys

from pinxit.data import Batch
from pinxit.lessons.course import pictures, train
from pinxit.lessons.gan import LESSONS, TutorialGAN, as_real
from pinxit.objectives.gan import Fakes
from pinxit.objectives.objective import Loss


class Mine(TutorialGAN):
    """Change a line of this function, and see what happens. As it stands, it works."""

    def loss(self, batch: Batch, fakes: Fakes) -> Loss:
        """Return what the generator lowers."""
        fake = self.score(fakes.image)
        return Loss({"adversarial": as_real(fake)})


def main(name: str = "mine", steps: str = "600") -> None:
    """Train a lesson, or the class above, and print what the watch finds."""
    builds = {"mine": Mine} | {lesson: row.build for lesson, row in LESSONS.items()}
    if name not in builds:
        sys.exit(f"no lesson {name!r}; there are {', '.join(builds)}")
    what, images = pictures()
    print(f"{name}, {steps} steps on {what}")
    for sentence in train(builds[name], images, int(steps), name).sentences():
        print(f"pinxit says: {sentence}")


if __name__ == "__main__":
    main(*sys.argv[1:])
