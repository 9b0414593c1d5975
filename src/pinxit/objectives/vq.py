"""The VQ-VAE (van den Oord et al., 2017): pictures to maps of codes, each the number of a vector in a learned book.

Differs from the paper: the squared error is in units of a usual variance of pictures; the codebook moves after the
step, by the outputs of the encoder that the step has made; what keeps it in use and how the gradient passes stand in
`nets/codebook.py`. A new picture needs codes that go together: a prior learned from those of the training pictures,
which is a run of its own (`objectives/prior.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pinxit.data import Batch
from pinxit.errors import UsageError
from pinxit.nets.codebook import Codebook, rotated, straight_through
from pinxit.nets.maps import MapDecoder, MapEncoder
from pinxit.nets.shapes import PictureShape, size_ladder
from pinxit.objectives.objective import Autoencoder, Judgement, Loss, Player
from pinxit.objectives.settings import VQVAESettings

PICTURE_VARIANCE = 0.06
"""Of a picture's values about their mean: CIFAR-10's."""


@dataclass(frozen=True)
class Drawn:
    """One step: encoder outputs (N, P, D), the nearest vectors (N, P, D), and pictures made of these (N, C, H, W)."""

    output: Tensor
    vector: Tensor
    image: Tensor


class VQVAE(Autoencoder):
    """An encoder to a map of P codes, a codebook, and a decoder back; latents are the codes' numbers, (N, P)."""

    sampler = "transformer"

    def __init__(self, settings: VQVAESettings, shape: PictureShape) -> None:
        self.settings, self.shape = settings, shape._replace(classes=0)
        if settings.halvings >= (most := len(size_ladder(shape.size))):
            raise UsageError(f"--halvings {settings.halvings}: of {shape.size} pixels there are {most - 1} at most")
        networks = self.shape, settings.channels, settings.halvings, settings.dimensions
        encoder, decoder = MapEncoder(*networks), MapDecoder(*networks)
        codebook = Codebook(settings.codes, settings.dimensions, settings.decay)
        self.networks = nn.ModuleDict({"encoder": encoder, "codebook": codebook, "decoder": decoder})
        self.model = tuple(self.networks)
        self.side = decoder.side
        self.latent, self.codebook_size = self.side**2, settings.codes
        self.through = {"straight-through": straight_through, "rotation": rotated}[settings.gradient]
        self.judgement = Judgement("squared_error", "lowest", self.judge)

    @property
    def codebook(self) -> Codebook:
        """The vectors that codes stand for."""
        book: Codebook = self.networks["codebook"]  # type: ignore[assignment]
        return book

    def players(self) -> tuple[Player, ...]:
        """Return the one player: encoder and decoder. The codebook has no parameters."""
        return (Player("autoencoder", self.networks, self.loss, self.settings.player_optimiser()),)

    def draw(self, batch: Batch) -> Drawn:
        """Return what becomes of the batch's pictures."""
        output = self.networks["encoder"](batch.image).float()
        vector = self.codebook.look_up(self.codebook.nearest(output))
        return Drawn(output, vector, self.pictures(self.through(output, vector)))

    def loss(self, batch: Batch, drawn: Drawn) -> Loss:
        """Return eq. 3 without its second term, which the running averages stand for; both are means over values."""
        error = (drawn.image - batch.image).square().mean()
        commitment = (drawn.output - drawn.vector).square().mean()
        terms = {"reconstruction": error / PICTURE_VARIANCE, "commitment": self.settings.commitment * commitment}
        book = self.codebook
        return Loss(terms, {"squared_error": error, "perplexity": book.perplexity(), "codes_used": book.share_used()})

    @torch.no_grad()
    def after_step(self, batch: Batch) -> None:
        """Let the codebook follow the encoder."""
        self.codebook.follow(self.networks["encoder"](batch.image), batch.uniform(self.latent, stream="restart"))

    def judge(self, batch: Batch) -> float:
        """Return the mean squared error of reconstructions, pictures being in [0, 1]."""
        return (self.restored(batch.image) - batch.image).square().mean().item()

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures each beside its reconstruction."""
        pairs = torch.stack([batch.image, self.restored(batch.image)], dim=1)
        return pairs.flatten(0, 1)[: len(batch)]

    def restored(self, image: Tensor) -> Tensor:
        """Return what is left of pictures (N, C, H, W) in [0, 1] after a way through their codes."""
        return self.decode(self.encode(image))

    def encode(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the codes (N, P) int64 of pictures (N, C, H, W) in [0, 1]."""
        return self.codebook.nearest(self.networks["encoder"](image))

    def decode(self, code: Tensor, label: Tensor | None = None) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1] of codes (N, P), whatever the label."""
        return self.pictures(self.codebook.look_up(code))

    def codes(self, batch: Batch) -> Tensor:
        """Return the codes (N, P) int64 of the batch's pictures."""
        return self.encode(batch.image)

    def prior(self) -> None:
        """Codes have no assumed distribution."""

    def pictures(self, vectors: Tensor) -> Tensor:
        """Return pictures (N, C, H, W) in [0, 1] of vectors (N, P, D)."""
        logits: Tensor = self.networks["decoder"](vectors)
        return logits.float().sigmoid()
