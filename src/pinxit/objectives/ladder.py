"""The ladder autoencoder: a code in levels, where the meaning of a number depends on the levels above it.

Sonderby et al., 2016: one pass up reads the picture, and one pass down is shared by both networks. The posterior of a
level depends on the picture and on the state left by the levels above, as the decoder does (the bidirectional inference
of Kingma et al., 2016). Differs from them: a code is z in coordinates in which its prior given the levels above is
N(0, I), z_l = mean_l(state) + deviation_l(state) code_l. The layers that read the code learn this step. The family of
distributions is the same; the prior of a whole code is N(0, I), and each level's KL has its closed form. The levels are
fully connected, without batch normalisation, and work with the encoder and decoder of any network.
"""

from __future__ import annotations

import math
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.data import Batch
from pinxit.losses.latent import kl_to_normal
from pinxit.nets.shapes import keep_variance
from pinxit.objectives.objective import Loss
from pinxit.objectives.vae import VAE, Posterior, Reconstruction

UNITS_PER_CHANNEL = 8


class Step(nn.Module):
    """A hidden layer whose output is added to the state (N, width); zero at the start of training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden, self.change = nn.Linear(width, width), nn.Linear(width, width)
        self.hidden.apply(keep_variance)
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)

    def forward(self, state: Tensor) -> Tensor:
        """Return the next state (N, width)."""
        return state + self.change(F.relu(self.hidden(state)))


class LevelledDecoder(nn.Module):
    """Codes (N, latent), top level first, to logits: one step per level, then the picture of the last state."""

    def __init__(self, sizes: list[int], width: int, picture: nn.Module) -> None:
        super().__init__()
        self.sizes, self.picture = sizes, picture
        self.start = nn.Parameter(torch.zeros(width))
        reads = [nn.Linear(size, width, bias=False) for size in sizes]
        for size, read in zip(sizes, reads, strict=True):  # the last state starts with the variance of a code
            nn.init.normal_(read.weight, 0.0, 1 / math.sqrt(size * len(sizes)))
        self.reads, self.steps = nn.ModuleList(reads), nn.ModuleList(Step(width) for _ in sizes)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return logits (N, C, H, W)."""
        state = self.start.expand(len(latent), -1)
        for read, step, code in zip(self.reads, self.steps, latent.split(self.sizes, dim=1), strict=True):
            state = step(state + read(code))
        return self.picture(state, label)


class LevelledPosterior(nn.Module):
    """Features to the posterior of each level: steps up, and at each level a head that also reads the state."""

    def __init__(self, features: int, sizes: list[int], width: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(features, width)
        self.ups = nn.ModuleList(Step(width) for _ in sizes[1:])
        heads = [Posterior(2 * width, size, classes, gaussian=True) for size in sizes]
        for head in heads:  # ten times those of a plain VAE, so that the code's signal survives the levels
            nn.init.normal_(head.head.weight, 0.0, 1 / math.sqrt(2 * width))
        self.heads = nn.ModuleList(heads)
        self.first.apply(keep_variance)

    def forward(self, features: Tensor) -> list[Tensor]:
        """Return the features of each level, (N, width) each, top level first."""
        return list(accumulate(self.ups, lambda features, up: up(features), initial=self.first(features)))[::-1]


class Ladder(VAE):
    """A VAE whose code has levels with about equal shares of its numbers, top level first.

    `Reconstruction.mean` and `log_variance` are (N * K, D) here, one per latent: they depend on the levels above.
    """

    @property
    def sizes(self) -> list[int]:
        """The length of each level's part of the code."""
        levels = self.settings.levels
        return [stop - start for start, stop in pairwise(level * self.latent // levels for level in range(levels + 1))]

    def build(self) -> dict[str, nn.Module]:
        """Return encoder, posterior and decoder."""
        width = UNITS_PER_CHANNEL * self.settings.channels
        encoder, picture = self.network.coders(self.settings, self.shape, width)
        return {
            "encoder": encoder,
            "posterior": LevelledPosterior(encoder.features, self.sizes, width, self.shape.classes),
            "decoder": LevelledDecoder(self.sizes, width, picture),
        }

    def reconstruct(self, batch: Batch, samples: int = 1) -> Reconstruction:
        """Return the batch with `samples` codes from each picture's posterior, decoded."""
        image, label = self.target(batch), self.label(batch)
        if label is not None:
            label = label.repeat_interleave(samples)
        mean, log_variance, latent = self.descend(image, label, batch.normal(samples, self.latent).flatten(0, 1))
        return Reconstruction(image, mean, log_variance, latent, self.decoder(latent, label).float())

    def posterior(self, image: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (N, latent); each level's with the levels above at their means."""
        mean, log_variance, _ = self.descend(image, label, image.new_zeros(len(image), self.latent))
        return mean, log_variance

    def descend(self, image: Tensor, label: Tensor | None, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, log-variance and code of pictures (N, C, H, W), level by level; (N * K, D) as `noise`."""
        posterior: LevelledPosterior = self.networks["posterior"]  # type: ignore[assignment]
        decoder: LevelledDecoder = self.decoder  # type: ignore[assignment]
        features = posterior(self.networks["encoder"](image))
        state, parts = decoder.start.expand(len(noise), -1), []
        levels = zip(posterior.heads, decoder.reads, decoder.steps, features, noise.split(self.sizes, 1), strict=True)
        for head, read, step, level, level_noise in levels:
            repeated = level.repeat_interleave(len(noise) // len(image), dim=0)
            mean, log_variance = head(torch.cat([repeated, state], dim=1), label)
            code = mean + (log_variance / 2).exp() * level_noise
            state = step(state + read(code))
            parts.append((mean, log_variance, code))
        mean, log_variance, code = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        return mean, log_variance, code

    def loss(self, batch: Batch, shared: Reconstruction) -> Loss:
        """Return the loss of a VAE, with the rate of each level as a reading, top level first."""
        loss = super().loss(batch, shared)
        rates = kl_to_normal(shared.mean, shared.log_variance).mean(0).split(self.sizes)
        return Loss(loss.terms, loss.readings | {f"rate_level_{n}": rate.sum() for n, rate in enumerate(rates, 1)})
