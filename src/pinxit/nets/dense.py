"""The fully connected pair of the first GAN (Goodfellow et al., 2014, section 5): ReLU generator, maxout discriminator.

Differs from the paper: two pieces per maxout unit instead of five, and no dropout, so that a step is a function of
(weights, batch) only; `channels` sets the hidden width, eight units per channel. The autoencoder is the
usual one with two hidden layers on each side (Burda et al., 2016, appendix C, with ReLU for tanh).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.nets.crowd import CROWD
from pinxit.nets.shapes import ClassScore, LabelledLatent, PictureShape, keep_variance

UNITS_PER_CHANNEL = 8
PIECES = 2


class Decoder(nn.Module):
    """Latents (N, latent) to logits (N, C, H, W), unbounded."""

    def __init__(self, shape: PictureShape, latent: int, channels: int) -> None:
        super().__init__()
        self.shape, hidden = shape, UNITS_PER_CHANNEL * channels
        self.latent = LabelledLatent(latent, shape.classes)
        self.first = nn.Linear(self.latent.features, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.picture = nn.Linear(hidden, shape.channels * shape.pixels)
        self.apply(keep_variance)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return logits (N, C, H, W)."""
        x = F.relu(self.second(F.relu(self.first(self.latent(latent, label)))))
        return self.picture(x).unflatten(1, (self.shape.channels, *self.shape.sides))


class Generator(Decoder):
    """Latents (N, latent) to pictures (N, C, H, W) in [0, 1]."""

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1]."""
        return super().forward(latent, label).sigmoid()


class Encoder(nn.Module):
    """Pictures (N, C, H, W) in [0, 1] to (N, features): the decoder's mirror, ReLU throughout."""

    def __init__(self, shape: PictureShape, channels: int) -> None:
        super().__init__()
        self.features = UNITS_PER_CHANNEL * channels
        self.first = nn.Linear(shape.channels * shape.pixels, self.features)
        self.second = nn.Linear(self.features, self.features)
        self.apply(keep_variance)

    def forward(self, image: Tensor) -> Tensor:
        """Return the second hidden layer, (N, features)."""
        return F.relu(self.second(F.relu(self.first(image.flatten(1)))))


class Discriminator(nn.Module):
    """Pictures (N, C, H, W) in [0, 1] to scores (N,); the second layer also sees the `crowd`, a name of `CROWD`."""

    def __init__(self, shape: PictureShape, channels: int, crowd: str = "none") -> None:
        super().__init__()
        hidden = UNITS_PER_CHANNEL * channels
        self.first = nn.Linear(shape.channels * shape.pixels, PIECES * hidden)
        self.crowd = CROWD[crowd](hidden)
        self.second = nn.Linear(hidden + self.crowd.added, PIECES * hidden)
        self.score = ClassScore(hidden, shape.classes)
        self.apply(keep_variance)

    def last_features(self, image: Tensor) -> Tensor:
        """Return the features (N, F) that the score is computed from."""
        return maxout(self.second(self.crowd(maxout(self.first(image.flatten(1))))))

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Return scores (N,), positive for 'real'."""
        return self.score(self.last_features(image), label)


def maxout(x: Tensor) -> Tensor:
    """Return the larger of each unit's pieces (Goodfellow et al., 2013): (N, pieces * units) to (N, units)."""
    return x.unflatten(1, (PIECES, -1)).amax(1)
