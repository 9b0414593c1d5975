"""The VQ-VAE (van den Oord et al., 2017): pictures to maps of quantised codes, indices into a learned codebook.

Differs from the paper: the squared error is in units of a typical variance of pictures, and the codebook moves after
each step by that step's encoder outputs. `nets/codebook.py` says how it stays in use and how the gradient passes it.
A new picture needs codes that go together: they are sampled from a prior trained on the codes of training pictures,
which is a run of its own (`objectives/prior.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from pinxit.data import Batch
from pinxit.errors import UsageError
from pinxit.nets.codebook import Codebook, rotated, straight_through
from pinxit.nets.maps import MapDecoder, MapEncoder
from pinxit.nets.shapes import PictureShape, size_ladder
from pinxit.objectives.objective import Autoencoder, Judgement, Loss
from pinxit.objectives.settings import VQVAESettings

PICTURE_VARIANCE = 0.06
"""Variance of a picture's values about their mean, that of CIFAR-10."""


@dataclass(frozen=True)
class Quantised:
    """One step: encoder outputs (N, P, D), their nearest vectors (N, P, D), and pictures decoded from these."""

    output: Tensor
    vector: Tensor
    image: Tensor


class VQVAE(Autoencoder):
    """An encoder to a map of P codes, a codebook, and a decoder; latents are the codes' indices, (N, P)."""

    settings: VQVAESettings
    sampler = "transformer"

    def __init__(self, settings: VQVAESettings, shape: PictureShape) -> None:
        self.settings, self.shape = settings, shape._replace(classes=0)
        if settings.halvings >= (most := len(size_ladder(shape))):
            raise UsageError(
                f"--halvings {settings.halvings}: pictures of {shape.size} pixels allow at most {most - 1}"
            )
        networks = self.shape, settings.channels, settings.halvings, settings.dimensions
        encoder, decoder = MapEncoder(*networks), MapDecoder(*networks)
        codebook = Codebook(settings.codes, settings.dimensions, settings.decay)
        self.networks = nn.ModuleDict({"encoder": encoder, "codebook": codebook, "decoder": decoder})
        self.model = tuple(self.networks)
        self.latent, self.codebook_size = math.prod(decoder.map), settings.codes
        self.through = {"straight-through": straight_through, "rotation": rotated}[settings.gradient]
        self.judgement = Judgement("squared_error", "lowest", self.judge)

    @property
    def codebook(self) -> Codebook:
        """The vectors that codes index."""
        return cast(Codebook, self.networks["codebook"])

    def draw(self, batch: Batch) -> Quantised:
        """Return the batch's pictures encoded, quantised and decoded."""
        output = self.networks["encoder"](batch.image).float()
        vector = self.codebook.look_up(self.codebook.nearest(output))
        return Quantised(output, vector, self.pictures(self.through(output, vector)))

    def loss(self, batch: Batch, quantised: Quantised) -> Loss:
        """Return eq. 3 as means over values; running averages of the codebook replace its second term."""
        error = (quantised.image - batch.image).square().mean()
        commitment = (quantised.output - quantised.vector).square().mean()
        terms = {"reconstruction": error / PICTURE_VARIANCE, "commitment": self.settings.commitment * commitment}
        book = self.codebook
        return Loss(terms, {"squared_error": error, "perplexity": book.perplexity(), "codes_used": book.share_used()})

    @torch.no_grad()
    def after_step(self, batch: Batch, values: Mapping[str, float]) -> None:
        """Move the codebook towards the encoder's outputs."""
        self.codebook.follow(self.networks["encoder"](batch.image), batch.uniform(self.latent, stream="restart"))

    def judge(self, batch: Batch) -> float:
        """Return the mean squared error of reconstructions of pictures in [0, 1]."""
        return (self.restored(batch.image) - batch.image).square().mean().item()

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures, each beside its reconstruction."""
        pairs = torch.stack([batch.image, self.restored(batch.image)], dim=1)
        return pairs.flatten(0, 1)[: len(batch)]

    def restored(self, image: Tensor) -> Tensor:
        """Return the reconstructions of pictures (N, C, H, W) in [0, 1]."""
        return self.sample(self.encode(image))

    def encode(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the codes (N, P) int64 of pictures (N, C, H, W) in [0, 1]; labels are ignored."""
        return self.codebook.nearest(self.networks["encoder"](image))

    def sample(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1] of codes (N, P); labels are ignored."""
        return self.pictures(self.codebook.look_up(latent))

    def codes(self, batch: Batch) -> Tensor:
        """Return the codes (N, P) int64 of the batch's pictures."""
        return self.encode(batch.image)

    def prior(self) -> None:
        """Training assumes no distribution of codes."""

    def pictures(self, vectors: Tensor) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1] decoded from vectors (N, P, D)."""
        return self.networks["decoder"](vectors).float().sigmoid()
