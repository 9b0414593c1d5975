"""The tutorial that never trains: a small GAN that works, and the usual mistakes, each in one line of it.

`TutorialGAN` works. A row of `LESSONS` breaks one of its functions. What a student reads, in the terminal, on the page
and in docs/gan-lessons.md, is the source of the broken and of the healthy function: it stands here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.data import Batch
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.gan import GAN, Fakes
from pinxit.objectives.objective import Loss
from pinxit.objectives.settings import GANSettings


class Generator(nn.Module):
    """Latents (N, latent) to pictures (N, 1, side, side) in [0, 1]; the side is a multiple of 4."""

    def __init__(self, latent: int, channels: int, side: int) -> None:
        super().__init__()
        self.first = self.beginning(latent, 2 * channels, side // 4)
        self.second = nn.ConvTranspose2d(2 * channels, channels, 4, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.third = nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1)

    def beginning(self, latent: int, channels: int, side: int) -> nn.Sequential:
        """Return the layers from latents to maps (N, channels, side, side)."""
        return nn.Sequential(
            nn.Linear(latent, channels * side * side),
            nn.Unflatten(1, (channels, side, side)),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.BatchNorm2d(channels),
        )

    def forward(self, latent: Tensor) -> Tensor:
        """Return pictures."""
        x = self.first(latent)
        x = self.norm(self.second(x)).relu()
        return self.third(x).sigmoid()


class Discriminator(nn.Module):
    """Pictures (N, 1, side, side) to scores (N,): above 0 for real, below 0 for fake."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, channels, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(2 * channels * (side // 4) ** 2, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return scores."""
        return self.layers(image).flatten()


def as_real(scores: Tensor) -> Tensor:
    """Return the binary cross entropy of scores with the label 1: it is low where they say 'real'."""
    return F.binary_cross_entropy_with_logits(scores, scores.new_ones(len(scores)))


def as_fake(scores: Tensor) -> Tensor:
    """Return the binary cross entropy of scores with the label 0: it is low where they say 'fake'."""
    return F.binary_cross_entropy_with_logits(scores, scores.new_zeros(len(scores)))


class TutorialGAN(GAN):
    """The GAN of the tutorials: two small networks, and binary cross entropy. This one works."""

    def __init__(
        self, settings: GANSettings, shape: PictureShape, generator: Callable[..., nn.Module] = Generator
    ) -> None:
        super().__init__(settings, shape)
        side, _ = shape.sides
        self.networks["generator"] = generator(settings.latent, settings.channels, side)
        self.networks["discriminator"] = Discriminator(settings.channels, side)

    def generated(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the generator's pictures of latents."""
        return self.networks["generator"](latent)

    def score(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the discriminator's scores of pictures."""
        return self.networks["discriminator"](image)

    def discriminator_loss(self, batch: Batch, fakes: Fakes) -> Loss:
        """Return what the discriminator lowers."""
        real = self.score(batch.image)
        fake = self.score(fakes.image.detach())
        return Loss({"adversarial": as_real(real) + as_fake(fake)})

    def loss(self, batch: Batch, fakes: Fakes) -> Loss:
        """Return what the generator lowers."""
        fake = self.score(fakes.image)
        return Loss({"adversarial": as_real(fake)})


class DetachedFakes(TutorialGAN):
    """The generator's loss cuts the connection to the generator."""

    def loss(self, batch: Batch, fakes: Fakes) -> Loss:
        """Return what the generator lowers."""
        fake = self.score(fakes.image.detach())
        return Loss({"adversarial": as_real(fake)})


class LayerInTheCall(Generator):
    """The last layer is made in the call, so it is another one in every call."""

    def __init__(self, latent: int, channels: int, side: int) -> None:
        super().__init__(latent, channels, side)
        del self.third

    def forward(self, latent: Tensor) -> Tensor:
        """Return pictures."""
        x = self.first(latent)
        x = self.norm(self.second(x)).relu()
        return nn.ConvTranspose2d(x.shape[1], 1, 4, stride=2, padding=1)(x).sigmoid()


class LayersInTheCall(nn.Module):
    """All layers are made in the call: the network itself has none."""

    def __init__(self, latent: int, channels: int, side: int) -> None:
        super().__init__()
        self.sizes = latent, channels, side

    def forward(self, latent: Tensor) -> Tensor:
        """Return pictures."""
        layers = Generator(*self.sizes)
        x = layers.first(latent)
        x = layers.norm(layers.second(x)).relu()
        return layers.third(x).sigmoid()


class SwappedLabels(TutorialGAN):
    """The discriminator learns that real pictures are fake, and fakes real."""

    def discriminator_loss(self, batch: Batch, fakes: Fakes) -> Loss:
        """Return what the discriminator lowers."""
        real = self.score(batch.image)
        fake = self.score(fakes.image.detach())
        return Loss({"adversarial": as_fake(real) + as_real(fake)})


class WrongSign(TutorialGAN):
    """The generator lowers what it should raise."""

    def loss(self, batch: Batch, fakes: Fakes) -> Loss:
        """Return what the generator lowers."""
        fake = self.score(fakes.image)
        return Loss({"adversarial": -as_real(fake)})


class SwallowedLayer(Generator):
    """A layer is given to an activation, which takes it for the option `inplace` and never runs it."""

    def beginning(self, latent: int, channels: int, side: int) -> nn.Sequential:
        """Return the layers from latents to maps (N, channels, side, side)."""
        return nn.Sequential(
            nn.Linear(latent, channels * side * side),
            nn.Unflatten(1, (channels, side, side)),
            nn.ReLU(nn.Conv2d(channels, channels, 3, padding=1)),  # type: ignore[arg-type]
            nn.BatchNorm2d(channels),
        )


class OtherRange(TutorialGAN):
    """Real pictures are in [-1, 1], and the generator's sigmoid gives [0, 1]."""

    def discriminator_loss(self, batch: Batch, fakes: Fakes) -> Loss:
        """Return what the discriminator lowers."""
        real = self.score(2 * batch.image - 1)
        fake = self.score(fakes.image.detach())
        return Loss({"adversarial": as_real(real) + as_fake(fake)})


@dataclass(frozen=True)
class Lesson:
    """A mistake in one function of a GAN that works.

    `mistake` says what happens, to a reader who is new to this. `right` has the findings that are true of it, any of
    which names it rightly; without any, the trainer refuses it before the first step.
    """

    title: str
    mistake: str
    build: Callable[[GANSettings, PictureShape], TutorialGAN]
    broken: Callable[..., Any]
    mended: Callable[..., Any]
    right: frozenset[str] = frozenset()


LESSONS: dict[str, Lesson] = {
    "detached-fakes": Lesson(
        "The generator trains on detached fakes",
        "detach() cuts a picture off from the network that made it. The discriminator's loss needs that, because it "
        "must not move the generator. The generator's loss must not have it. With it, no gradient comes back to the "
        "generator: the numbers in the log move, and its pictures stay noise for ever.",
        DetachedFakes,
        DetachedFakes.loss,
        TutorialGAN.loss,
        frozenset({"no-learning"}),  # its weights never move
    ),
    "layer-in-the-call": Lesson(
        "A layer is made in the call",
        "A layer has its weights from the moment it is made. This one is made anew in every call, so it has other "
        "random weights in every step, and whatever the others learn is thrown away behind it. The optimiser never "
        "hears of it. The discriminator easily sees which pictures come out of such a network.",
        partial(TutorialGAN, generator=LayerInTheCall),
        LayerInTheCall.forward,
        Generator.forward,
        frozenset({"discriminator-won"}),  # the rest of the generator moves, and gets nowhere
    ),
    "layers-in-the-call": Lesson(
        "All layers are made in the call",
        "The same mistake with all layers. The generator then has no weights of its own, so there is nothing to train. "
        "pinxit refuses to begin.",
        partial(TutorialGAN, generator=LayersInTheCall),
        LayersInTheCall.forward,
        Generator.forward,
    ),
    "swapped-labels": Lesson(
        "The labels are swapped",
        "The discriminator is taught that real pictures are fake, and fakes are real. It learns that perfectly. So it "
        "praises whatever the generator does, and the generator has no reason to change. Both losses go to zero, "
        "which looks like success in the log.",
        SwappedLabels,
        SwappedLabels.discriminator_loss,
        TutorialGAN.discriminator_loss,
        # The discriminator takes fakes for real; in a longer training its praise leaves no gradient at all.
        frozenset({"discriminator-weak", "vanishing-gradient"}),
    ),
    "wrong-sign": Lesson(
        "A loss has the wrong sign",
        "An optimiser lowers a loss. With a minus before it, the generator works for the other side: it makes pictures "
        "that look as fake as possible. Its loss falls and falls, which looks like progress, and the discriminator is "
        "always right.",
        WrongSign,
        WrongSign.loss,
        TutorialGAN.loss,
        frozenset({"discriminator-won"}),  # that all pictures are alike then is an effect
    ),
    "swallowed-layer": Lesson(
        "A layer is given to an activation",
        "A parenthesis is in the wrong place. ReLU takes the layer for its option `inplace`, and any object counts "
        "as yes. Nothing complains. The layer stands in the printed network and its weights are counted, but it never "
        "runs. Training may even work. The network is just not the one that you think it is.",
        partial(TutorialGAN, generator=SwallowedLayer),
        SwallowedLayer.beginning,
        Generator.beginning,
        frozenset({"no-learning"}),  # a part of the weights never gets a gradient
    ),
    "other-range": Lesson(
        "Real pictures have another range",
        "Real pictures are scaled to [-1, 1], but the generator ends in a sigmoid, which gives [0, 1]. Black is -1 in "
        "real pictures, and the generator cannot make that. The discriminator only has to look for it. The best answer "
        "of the generator is to make everything as dark as it can.",
        OtherRange,
        OtherRange.discriminator_loss,
        TutorialGAN.discriminator_loss,
        # The discriminator is sure of what it is taught, and wrong about pictures in [0, 1]; samples collapse to black.
        frozenset({"discriminator-weak", "collapse"}),
    ),
}
"""The mistakes by name, in the order in which they are taught."""
