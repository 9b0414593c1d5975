"""The ladder autoencoder: a code in levels, where what a number means depends on the levels above it.

Sonderby et al., 2016, with one pass up, which reads the picture, and one pass down, which both networks share: the
posterior of a level sees the picture and the state that the levels above have made, as the decoder does (the
bidirectional inference of Kingma et al., 2016). Differs from them: a code is z in coordinates where its prior given the
levels above is N(0, I), z_l = mean_l(state) + deviation_l(state) code_l, and this step is left to the layers that read
the code. It is the same family of distributions; the prior of a whole code is N(0, I), a sampler like any other, and
each level's KL has its closed form. The levels are fully connected, between the encoder and the decoder of any network,
without batch normalisation.
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
from pinxit.objectives.vae import VAE, Drawn, Posterior, build

UNITS_PER_CHANNEL = 8


class Step(nn.Module):
    """A hidden layer that adds to a state (N, width) what it makes of it, at the start of training nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden, self.change = nn.Linear(width, width), nn.Linear(width, width)
        self.hidden.apply(keep_variance)
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)

    def forward(self, state: Tensor) -> Tensor:
        """Return the next state (N, width)."""
        changed: Tensor = state + self.change(F.relu(self.hidden(state)))
        return changed


class LevelledDecoder(nn.Module):
    """Codes (N, latent), the top level first, to logits: a step for each level, then the picture of the last state."""

    def __init__(self, sizes: list[int], width: int, picture: nn.Module) -> None:
        super().__init__()
        self.sizes, self.picture = sizes, picture
        self.start = nn.Parameter(torch.zeros(width))
        reads = [nn.Linear(size, width, bias=False) for size in sizes]
        for size, read in zip(sizes, reads, strict=True):  # so that the last state starts with the variance of a code
            nn.init.normal_(read.weight, 0.0, 1 / math.sqrt(size * len(sizes)))
        self.reads, self.steps = nn.ModuleList(reads), nn.ModuleList(Step(width) for _ in sizes)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return logits (N, C, size, size)."""
        state = self.start.expand(len(latent), -1)
        for read, step, code in zip(self.reads, self.steps, latent.split(self.sizes, dim=1), strict=True):
            state = step(state + read(code))
        logits: Tensor = self.picture(state, label)
        return logits


class LevelledPosterior(nn.Module):
    """What a picture's features say of each level: steps up, and at each level a head that also reads the state."""

    def __init__(self, features: int, sizes: list[int], width: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(features, width)
        self.ups = nn.ModuleList(Step(width) for _ in sizes[1:])
        heads = [Posterior(2 * width, size, classes, gaussian=True) for size in sizes]
        for head in heads:  # ten times those of a plain VAE: what the code says must be heard through the levels
            nn.init.normal_(head.head.weight, 0.0, 1 / math.sqrt(2 * width))
        self.heads = nn.ModuleList(heads)
        self.first.apply(keep_variance)

    def forward(self, features: Tensor) -> list[Tensor]:
        """Return what each level sees of the picture, (N, width) each, the top level first."""
        return list(accumulate(self.ups, lambda seen, up: up(seen), initial=self.first(features)))[::-1]


class Ladder(VAE):
    """A VAE whose code has levels, about equal shares of its numbers, the top one first.

    `Drawn.mean` and `log_variance` are (N * K, D) here, one for each latent, for they depend on the levels above.
    """

    @property
    def sizes(self) -> list[int]:
        """How many numbers of the code each level has."""
        levels = self.settings.levels
        return [stop - start for start, stop in pairwise(level * self.latent // levels for level in range(levels + 1))]

    def build(self) -> dict[str, nn.Module]:
        """Return encoder, posterior and decoder."""
        width = UNITS_PER_CHANNEL * self.settings.channels
        encoder, picture = build(self.settings, self.shape, width)
        return {
            "encoder": encoder,
            "posterior": LevelledPosterior(encoder.features, self.sizes, width, self.shape.classes),
            "decoder": LevelledDecoder(self.sizes, width, picture),
        }

    def reconstruct(self, batch: Batch, samples: int = 1) -> Drawn:
        """Return what `samples` codes from each picture's posterior become."""
        image, label = self.target(batch), self.label(batch)
        if label is not None:
            label = label.repeat_interleave(samples)
        mean, log_variance, latent = self.descend(image, label, batch.normal(samples, self.latent).flatten(0, 1))
        return Drawn(image, mean, log_variance, latent, self.decoder(latent, label).float())

    def posterior(self, image: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (N, latent), those of a level if the levels above are at their means."""
        mean, log_variance, _ = self.descend(image, label, image.new_zeros(len(image), self.latent))
        return mean, log_variance

    def descend(self, image: Tensor, label: Tensor | None, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, log-variance and code, level by level, of pictures (N, C, H, W); (N * K, D) as `noise` is."""
        posterior: LevelledPosterior = self.networks["posterior"]  # type: ignore[assignment]
        decoder: LevelledDecoder = self.decoder  # type: ignore[assignment]
        seen = posterior(self.networks["encoder"](image))
        state, parts = decoder.start.expand(len(noise), -1), []
        levels = zip(posterior.heads, decoder.reads, decoder.steps, seen, noise.split(self.sizes, 1), strict=True)
        for head, read, step, level, drawn in levels:
            looked = level.repeat_interleave(len(noise) // len(image), dim=0)
            mean, log_variance = head(torch.cat([looked, state], dim=1), label)
            code = mean + (log_variance / 2).exp() * drawn
            state = step(state + read(code))
            parts.append((mean, log_variance, code))
        mean, log_variance, code = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        return mean, log_variance, code

    def loss(self, batch: Batch, drawn: Drawn) -> Loss:
        """Return the loss of a VAE, and the rate of each level, the top one first."""
        told = super().loss(batch, drawn)
        rates = kl_to_normal(drawn.mean, drawn.log_variance).mean(0).split(self.sizes)
        return Loss(told.terms, told.readings | {f"rate_level_{n}": rate.sum() for n, rate in enumerate(rates, 1)})
