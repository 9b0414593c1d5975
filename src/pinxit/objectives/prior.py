"""Priors: distributions of a trained autoencoder's codes, learned to sample new pictures.

The autoencoder is frozen and not saved with the prior. Each step it encodes a batch of its own training pictures, and
the prior learns these codes. A VAE gives samples of its posteriors, because their mixture over all pictures is what the
decoder was trained on. A VQ-VAE gives indices of codes. There are three priors, each with its measure in the log: a
normalising flow (RealNVP), the second stage of a two-stage VAE, and a transformer over maps of codes.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.data import Batch
from pinxit.errors import UsageError
from pinxit.losses.latent import kl_to_normal, log_normal
from pinxit.nets.flow import Flow
from pinxit.nets.transformer import HEAD, CodeTransformer
from pinxit.nets.vectors import Layers, Standard
from pinxit.objectives.objective import Autoencoder, Judgement, Loss, Objective
from pinxit.objectives.settings import PriorSettings

STANDARDISING = 100
"""Steps over which the mean and deviation of codes are measured."""
MOST_PLACES = 1024
"""The most codes per picture for a transformer, whose attention spans the whole map."""


class Prior(Objective):
    """A learned distribution of the codes of a trained, frozen autoencoder; a `Sampler` of its latents."""

    settings: PriorSettings
    player = "prior"

    measure: str
    """The name of the cost that is lowered, and that judges held-out pictures."""

    normals: int
    uniforms: int
    """How many normal numbers, and how many uniform ones, make a latent."""

    def __init__(self, settings: PriorSettings, autoencoder: Autoencoder, classes: int) -> None:
        self.settings, self.autoencoder = settings, autoencoder
        self.by_class = settings.conditional
        self.networks = nn.ModuleDict(self.build(classes if settings.conditional else 0))
        self.model = tuple(self.networks)
        self.judgement = Judgement(self.measure, "lowest", self.judge)

    @abstractmethod
    def build(self, classes: int) -> dict[str, nn.Module]:
        """Return the networks; raises `UsageError` if they cannot learn such codes."""

    @abstractmethod
    def cost(self, batch: Batch, code: Tensor) -> Tensor:
        """Return the costs (N,) of a batch's codes (N, latent), in the unit of the measure."""

    @abstractmethod
    def latents(self, normal: Tensor, uniform: Tensor, label: Tensor | None = None) -> Tensor:
        """Return latents (N, latent) from normal (N, normals) and uniform (N, uniforms) numbers, and classes (N,)."""

    @abstractmethod
    def moments(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of every number, (D,) each; `UsageError` if latents are discrete."""

    def log_density(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return log p (N,) of latents (N, latent) in nats; `UsageError` unless it is exact."""
        raise UsageError(f"a prior by --network {self.settings.network} has no exact density; one by flow has")

    @torch.no_grad()
    def draw(self, batch: Batch) -> Tensor:
        """Return the codes of the batch's pictures."""
        self.autoencoder.networks.to(batch.image.device)
        return self.autoencoder.codes(batch)

    def loss(self, batch: Batch, code: Tensor) -> Loss:
        """Return the mean cost."""
        return Loss({self.measure: self.cost(batch, code).mean()})

    def judge(self, batch: Batch) -> float:
        """Return the mean cost."""
        return self.cost(batch, self.draw(batch)).mean().item()

    def preview(self, batch: Batch) -> Tensor:
        """Return samples."""
        self.autoencoder.networks.to(batch.image.device)
        noise = batch.normal(self.normals, stream="preview"), batch.uniform(self.uniforms, stream="preview")
        latent = self.latents(*noise, self.label(batch))
        return self.autoencoder.sample(latent, batch.label if self.autoencoder.shape.classes else None)

    def label(self, batch: Batch) -> Tensor | None:
        """Return the batch's labels if the prior is conditional."""
        return batch.label if self.by_class else None


class VectorPrior(Prior):
    """A prior over real-valued codes (N, D), each number scaled to mean 0 and deviation 1."""

    uniforms = 0

    def build(self, classes: int) -> dict[str, nn.Module]:
        """Return the scaling and the networks."""
        if self.autoencoder.codebook_size:
            raise UsageError(
                f"--network {self.settings.network} is for real-valued codes, and this run's are quantised; "
                "--network transformer learns these"
            )
        return {"standard": Standard(self.autoencoder.latent)} | self.build_in_units(self.autoencoder.latent, classes)

    @abstractmethod
    def build_in_units(self, dimensions: int, classes: int) -> dict[str, nn.Module]:
        """Return the networks over scaled codes."""

    @property
    def standard(self) -> Standard:
        """The scaling of codes."""
        return cast(Standard, self.networks["standard"])

    def start(self, batch: Batch) -> None:
        """Set the scaling by the first codes."""
        self.standard.follow(self.draw(batch), 1)

    @torch.no_grad()
    def after_step(self, batch: Batch, values: Mapping[str, float]) -> None:
        """Average the scaling over the codes of the first steps."""
        if batch.step < STANDARDISING:
            self.standard.follow(self.draw(batch), 1 / (batch.step + 1))

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return the codes' mean and standard deviation, (D,) each."""
        return self.standard.mean, self.standard.deviation


class FlowPrior(VectorPrior):
    """A normalising flow (Dinh et al., 2017) in nats per code; the only one with an exact density."""

    measure = "negative_log_likelihood"

    def build_in_units(self, dimensions: int, classes: int) -> dict[str, nn.Module]:
        """Return the flow."""
        self.normals = dimensions
        if dimensions < 2:
            raise UsageError("--network flow needs codes of 2 or more numbers; --network two-stage works with 1")
        return {"flow": Flow(dimensions, self.settings.width, self.settings.depth, classes)}

    @property
    def flow(self) -> Flow:
        """The flow."""
        return cast(Flow, self.networks["flow"])

    def cost(self, batch: Batch, code: Tensor) -> Tensor:
        """Return -log p of codes (N, D) in nats."""
        return -self.log_density(code, self.label(batch))

    def log_density(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return log p (N,) of codes (N, D) in nats."""
        return self.flow.log_density(self.standard(latent), label) - self.standard.log_volume

    def latents(self, normal: Tensor, uniform: Tensor, label: Tensor | None = None) -> Tensor:
        """Return codes (N, D) from normal numbers (N, D)."""
        return self.standard.inverse(self.flow.inverse(normal, label))


class SecondStage(VectorPrior):
    """A VAE over codes, with equally long codes and a learned noise (Dai and Wipf, 2019), in nats per code."""

    measure = "negative_elbo"

    def build_in_units(self, dimensions: int, classes: int) -> dict[str, nn.Module]:
        """Return encoder, decoder, and the logarithm of the noise's deviation."""
        self.normals = 2 * dimensions
        layers = self.settings.width, self.settings.depth, classes
        encoder, decoder = Layers(dimensions, 2 * dimensions, *layers), Layers(dimensions, dimensions, *layers)
        noise = nn.ParameterDict({"log": torch.zeros(())})
        return {"encoder": encoder, "decoder": decoder, "noise": noise}

    @property
    def log_noise(self) -> Tensor:
        """The logarithm of the noise's deviation (their gamma), for scaled codes."""
        return self.networks["noise"].get_parameter("log")

    def cost(self, batch: Batch, code: Tensor) -> Tensor:
        """Return -ELBO of codes (N, D) in nats, by one sample of the second stage's code."""
        code, label = self.standard(code), self.label(batch)
        mean, log_variance = self.networks["encoder"](code, label).chunk(2, dim=1)
        own = mean + (log_variance / 2).exp() * batch.normal(code.shape[1], stream="second stage")
        log_p = log_normal(code, self.networks["decoder"](own, label), 2 * self.log_noise)
        return self.standard.log_volume + (kl_to_normal(mean, log_variance) - log_p).sum(1)

    def latents(self, normal: Tensor, uniform: Tensor, label: Tensor | None = None) -> Tensor:
        """Return codes (N, D) from normal numbers (N, 2 D): the second stage's codes, and the noise."""
        own, noise = normal.chunk(2, dim=1)
        return self.standard.inverse(self.networks["decoder"](own, label) + self.log_noise.exp() * noise)


class TransformerPrior(Prior):
    """A transformer over maps of codes (after Esser et al., 2021), in bits per code."""

    measure = "bits_a_code"
    normals = 0

    def build(self, classes: int) -> dict[str, nn.Module]:
        """Return the transformer."""
        coder, width = self.autoencoder, self.settings.width
        if not coder.codebook_size:
            raise UsageError(
                "--network transformer is for quantised codes; --network flow learns real-valued ones like this run's"
            )
        if coder.latent > MOST_PLACES:
            raise UsageError(
                f"pictures have {coder.latent:,} codes each, too many to learn: the most is {MOST_PLACES:,}; "
                "train the run with more --halvings"
            )
        if width % HEAD:
            raise UsageError(f"--width {width}: a transformer needs a multiple of {HEAD}")
        self.uniforms = coder.latent
        network = CodeTransformer(coder.codebook_size, coder.latent, width, self.settings.depth, classes)
        return {"transformer": network}

    @property
    def transformer(self) -> CodeTransformer:
        """The transformer."""
        return cast(CodeTransformer, self.networks["transformer"])

    def cost(self, batch: Batch, code: Tensor) -> Tensor:
        """Return the mean of -log2 p of a map's codes (N, P), each given those before it."""
        logits = self.transformer(code, self.label(batch))
        return F.cross_entropy(logits.mT, code, reduction="none").mean(1) / math.log(2)

    def latents(self, normal: Tensor, uniform: Tensor, label: Tensor | None = None) -> Tensor:
        """Return maps of codes (N, P) int64 from uniform numbers (N, P)."""
        return self.transformer.sample(uniform, label)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Raise `UsageError`."""
        raise UsageError("quantised codes have no order in which to move up and down")


PRIORS: dict[str, type[Prior]] = {
    # Dinh et al., 2017.
    "flow": FlowPrior,
    # Dai and Wipf, 2019.
    "two-stage": SecondStage,
    # Esser et al., 2021.
    "transformer": TransformerPrior,
}
