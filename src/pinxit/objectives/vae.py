"""Autoencoders: pictures to codes and back, by any likelihood and any penalty on the codes.

One class covers the plain and the regularised autoencoder, the VAE, the InfoVAE and the Wasserstein autoencoder. The
VAE can have beta, free bits, total correlation, classes, the importance-weighted bound and the VampPrior. They differ
by a row of `PENALTIES`, a row of `LIKELIHOODS` and a few weights. Two more terms can join the distortion: a perceptual
distance in the features of a frozen network (Hou et al., 2017), and the loss of a discriminator, the second player of
the VAE-GAN (Larsen et al., 2016). Differs from the latter: the distortion is of pixels, not of the discriminator's
features; only reconstructions are fakes; and the encoder learns from the discriminator too.

A new picture is decoded from a sampled code; the encoder takes no part. The usual sampler is a mixture fitted to the
codes of training pictures. Whatever the penalty, it follows these codes more closely than N(0, I) does, and pictures
are better for it (Ghosh et al., 2020, table 1).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from pinxit.data import Batch
from pinxit.losses import penalties
from pinxit.losses.adversarial import ADVERSARIAL
from pinxit.losses.latent import PENALTIES, Codes, free_bits, kl_to_normal, log_mean_exp, log_normal
from pinxit.losses.likelihood import LIKELIHOODS, log_likelihood
from pinxit.losses.perceptual import perceptual_distance
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.adversarial import Contest
from pinxit.objectives.mixture import BY_CLASS, MIXTURE, Mixture, fit_classes, fit_mixture
from pinxit.objectives.networks import VAE_NETWORKS
from pinxit.objectives.objective import Judgement, Loss, Probabilistic
from pinxit.objectives.settings import VAESettings

FIRST_NOISE = 0.1
ACTIVE_VARIANCE = 0.01
FLAT = 1e-6  # edge energy ascribed to pictures without edges, so that ratios stay finite


class Posterior(nn.Module):
    """Features of a picture to mean and log-variance of its code, (N, latent) each, shifted by its class.

    A point has the variance 0, the log-variance -inf.
    """

    def __init__(self, features: int, latent: int, classes: int, gaussian: bool) -> None:
        super().__init__()
        self.head = nn.Linear(features, latent * (2 if gaussian else 1))
        nn.init.normal_(self.head.weight, 0.0, 0.1 / math.sqrt(features))
        nn.init.zeros_(self.head.bias)
        self.embedding = nn.Embedding(classes, self.head.out_features) if classes else None
        self.gaussian = gaussian

    def forward(self, features: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance in float32, whatever the precision inside."""
        code = self.head(features).float()
        if self.embedding is not None:
            code = code + self.embedding(label)
        if not self.gaussian:
            return code, torch.full_like(code, -math.inf)
        mean, log_variance = code.chunk(2, dim=1)
        return mean, log_variance


@dataclass(frozen=True)
class Reconstruction:
    """One step: pictures as the likelihood takes them, their posteriors (N, D), K latents of each, and their logits.

    `latent` is (N * K, D) and `logits` (N * K, C, H, W), with the K of a picture in successive rows.
    """

    image: Tensor
    mean: Tensor
    log_variance: Tensor
    latent: Tensor
    logits: Tensor


class VAE(Contest, Probabilistic):
    """An encoder to a distribution of codes, a decoder to a distribution of pictures (Kingma and Welling, 2014)."""

    settings: VAESettings

    def __init__(self, settings: VAESettings, shape: PictureShape) -> None:
        self.settings, self.latent = settings, settings.latent
        self.classes = shape.classes
        self.shape = shape if settings.conditional else shape._replace(classes=0)
        self.penalty, self.adversarial = PENALTIES[settings.penalty], ADVERSARIAL[settings.adversarial_loss]
        self.weight = self.penalty.weight if settings.beta is None else settings.beta
        self.sampler = "prior" if settings.pseudo_inputs else BY_CLASS if settings.conditional else MIXTURE
        self.gaussian = self.penalty.posterior == "gaussian"
        self.network = VAE_NETWORKS[settings.network]
        self.networks = nn.ModuleDict(self.build())
        if settings.spectral_norm:
            self.decoder.apply(limit_stretching)
        if LIKELIHOODS[settings.likelihood].noisy and settings.noise is None:
            self.networks["noise"] = nn.ParameterDict({"log": torch.tensor(math.log(FIRST_NOISE))})
        if settings.pseudo_inputs:
            pseudo = torch.randn(settings.pseudo_inputs, shape.channels, *shape.sides)
            self.networks["prior"] = nn.ParameterDict({"pseudo_inputs": pseudo})
        self.model = tuple(self.networks)
        if settings.adversarial:
            self.networks["discriminator"] = self.network.discriminator(settings, self.shape)
        self.judgement = Judgement("negative_elbo" if self.gaussian else "distortion", "lowest", self.judge)

    def build(self) -> dict[str, nn.Module]:
        """Return encoder, posterior and decoder."""
        encoder, decoder = self.network.coders(self.settings, self.shape, self.latent)
        posterior = Posterior(encoder.features, self.latent, self.shape.classes, self.gaussian)
        return {"encoder": encoder, "posterior": posterior, "decoder": decoder}

    @property
    def decoder(self) -> nn.Module:
        """Latents to logits."""
        return self.networks["decoder"]

    @property
    def log_noise(self) -> Tensor:
        """The logarithm of the likelihood's noise, learned or fixed; unused by a likelihood without noise."""
        if "noise" in self.networks:
            return self.networks["noise"].get_parameter("log")
        return torch.tensor(math.log(self.settings.noise or 1.0))

    def draw(self, batch: Batch) -> Reconstruction:
        """Return the batch's pictures encoded, with latents from their posteriors decoded."""
        return self.reconstruct(batch, self.settings.importance)

    def reconstruct(self, batch: Batch, samples: int = 1) -> Reconstruction:
        """Return the batch with `samples` latents from each picture's posterior, decoded."""
        image, label = self.target(batch), self.label(batch)
        mean, log_variance = self.posterior(image, label)
        noise = batch.normal(samples, self.latent)
        latent = (mean[:, None] + (log_variance / 2).exp()[:, None] * noise).flatten(0, 1)
        logits = self.decoder(latent, None if label is None else label.repeat_interleave(samples))
        return Reconstruction(image, mean, log_variance, latent, logits.float())

    def loss(self, batch: Batch, shared: Reconstruction) -> Loss:
        """Return distortion and weighted penalty, or the importance-weighted bound.

        Readings are in nats; `sharpness` is the edge energy of reconstructions over that of their pictures.
        """
        distortion = -self.log_likelihood(shared)
        if self.settings.importance > 1:
            log_ratio = self.log_ratio(shared)
            rate = log_ratio.mean()
            terms = {"bound": -log_mean_exp(-distortion - log_ratio).mean()}
        else:
            rate = self.kl(shared).mean()
            terms = {"reconstruction": distortion.mean()}
            if self.weight:
                warm = min(1.0, (batch.step + 1) / max(1, self.settings.beta_warmup))
                codes = self.penalised(batch, shared, rate)
                terms[self.settings.penalty] = warm * self.penalty.value(codes, self.weight)
        terms |= self.picture_terms(batch, shared) | self.decoder_terms(batch, shared)
        readings = {
            "distortion": distortion.mean(),
            "active_units": active_units(shared.mean),
            "sharpness": edge_energy(shared.logits.detach().sigmoid()) / edge_energy(batch.image),
        }
        return Loss(terms, readings | ({"rate": rate} if self.gaussian else {}))

    def picture_terms(self, batch: Batch, shared: Reconstruction) -> dict[str, Tensor]:
        """Return the weighted perceptual and adversarial terms of reconstructions, in nats per pixel."""
        terms, restored, pixels, label = {}, shared.logits.sigmoid(), self.shape.pixels, self.label(batch)
        if weight := self.settings.perceptual:
            terms["perceptual"] = weight * pixels * perceptual_distance(restored, batch.image).mean()
        if weight := self.settings.adversarial:
            fake_scores = self.score(restored, label)
            terms["adversarial"] = (
                weight * pixels * self.generator_term(lambda: self.score(batch.image, label), fake_scores)
            )
        return terms

    def discriminator_loss(self, batch: Batch, shared: Reconstruction) -> Loss:
        """Return the discriminator's loss, with reconstructions as the fakes."""
        label, fakes = self.label(batch), shared.logits.sigmoid().detach()
        return self.scored(self.score(batch.image, label), self.score(fakes, label))

    def decoder_terms(self, batch: Batch, shared: Reconstruction) -> dict[str, Tensor]:
        """Return the decoder's smoothness terms, named as their settings (Ghosh et al., 2020, section 3.1)."""
        terms = {}
        if weight := self.settings.decoder_l2:
            squares = torch.stack([part.square().sum() for part in self.decoder.parameters()])
            terms["decoder_l2"] = weight / 2 * squares.sum()
        if weight := self.settings.latent_gradient:
            direction = batch.normal(*shared.logits.shape[1:], stream="direction")
            penalty = penalties.latent_gradient(shared.logits.sigmoid(), shared.latent, direction)
            terms["latent_gradient"] = weight * penalty
        return terms

    def codes(self, batch: Batch) -> Tensor:
        """Return one sample of each picture's posterior, (N, latent)."""
        mean, log_variance = self.posterior(self.target(batch), self.label(batch))
        return mean + (log_variance / 2).exp() * batch.normal(self.latent, stream="code")

    def penalised(self, batch: Batch, shared: Reconstruction, rate: Tensor) -> Codes:
        """Return the arguments of a penalty."""
        if nats := self.settings.free_bits:
            rate = free_bits(kl_to_normal(shared.mean, shared.log_variance), nats)
        return Codes(shared.mean, shared.log_variance, shared.latent, batch.normal(self.latent, stream="prior"), rate)

    def kl(self, shared: Reconstruction) -> Tensor:
        """Return KL(posterior || prior) in nats, (N,): in closed form for N(0, I), else estimated from the latents."""
        if "prior" in self.networks:
            return self.log_ratio(shared).mean(1)
        return kl_to_normal(shared.mean, shared.log_variance).sum(1).view(len(shared.image), -1).mean(1)

    def log_ratio(self, shared: Reconstruction) -> Tensor:
        """Return log q(z | x) - log p(z) of every latent, (N, K)."""
        parts = (shared.latent, shared.mean, shared.log_variance)
        latent, mean, log_variance = (part.view(len(shared.image), -1, self.latent) for part in parts)
        log_posterior = log_normal(latent, mean, log_variance).sum(2)
        return log_posterior - self.log_prior(shared.latent).view_as(log_posterior)

    def bound(self, shared: Reconstruction) -> Tensor:
        """Return the importance-weighted bound of log p(x) in nats, (N,), from the K latents of each picture."""
        return log_mean_exp(self.log_likelihood(shared) - self.log_ratio(shared))

    def log_likelihood(self, shared: Reconstruction) -> Tensor:
        """Return log p(x | z) in nats of every latent, (N, K)."""
        samples = len(shared.latent) // len(shared.image)
        image = shared.image.repeat_interleave(samples, dim=0)
        log_p = log_likelihood(self.settings.likelihood, image, shared.logits, self.log_noise)
        return log_p.view(-1, samples)

    def log_prior(self, latent: Tensor) -> Tensor:
        """Return log p(z), (N,), under N(0, I) or the VampPrior (Tomczak and Welling, 2018, eq. 9)."""
        if "prior" not in self.networks:
            return log_normal(latent, torch.zeros_like(latent), torch.zeros_like(latent)).sum(1)
        mean, log_variance = self.pseudo_posteriors()
        return log_mean_exp(log_normal(latent[:, None], mean, log_variance).sum(2))

    def pseudo_posteriors(self) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the pseudo-inputs' posteriors, (K, D) each."""
        return self.posterior(self.networks["prior"].get_parameter("pseudo_inputs").sigmoid(), None)

    def elbo(self, shared: Reconstruction) -> Tensor:
        """Return the evidence lower bound of log p(x) in nats, (N,); for points, the log-likelihood alone."""
        evidence = self.log_likelihood(shared).mean(1)
        return evidence - self.kl(shared) if self.gaussian else evidence

    def judge(self, batch: Batch) -> float:
        """Return -ELBO in nats per picture, whatever the weight of KL in training."""
        return -float(self.elbo(self.reconstruct(batch)).mean())

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures, each beside its reconstruction, and as many samples where codes have a prior."""
        image, label = self.target(batch), self.label(batch)
        pairs = torch.stack([image, self.sample(self.encode(image, label), label)], dim=1).flatten(0, 1)
        if not self.gaussian:
            return pairs[: len(batch)]
        noise, place = batch.normal(self.latent, stream="preview").cpu(), batch.uniform(stream="preview").cpu()
        latent = self.prior().latents(noise, place).to(batch.image.device)
        half = len(batch) // 4 * 2
        return torch.cat([pairs[:half], self.sample(latent, label)[: len(batch) - half]])

    def sample(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the mean pictures (N, C, H, W) in [0, 1] of codes (N, latent)."""
        return self.decoder(latent, label).float().sigmoid()

    def prior(self) -> Mixture:
        """Return N(0, I), or the VampPrior as a mixture."""
        if "prior" not in self.networks:
            return Mixture.normal(self.latent)
        mean, log_variance = (part.detach().cpu() for part in self.pseudo_posteriors())
        return Mixture(torch.full((len(mean),), 1 / len(mean)), mean, (log_variance / 2).exp())

    def fit_samplers(self, batches: Iterable[Batch]) -> dict[str, Mixture]:
        """Return mixtures fitted to the posterior means of training pictures (Ghosh et al., 2020, section 4)."""
        coded = [(self.encode(self.target(batch), self.label(batch)).cpu(), batch.label) for batch in batches]
        codes = torch.cat([code for code, _ in coded])
        labels = [label.cpu() for _, label in coded if label is not None]
        fitted = {MIXTURE: fit_mixture(codes)}
        return fitted | ({BY_CLASS: fit_classes(codes, torch.cat(labels), self.classes)} if labels else {})

    def posterior(self, image: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (N, latent) of the posteriors of pictures (N, C, H, W) in [0, 1]."""
        return self.networks["posterior"](self.networks["encoder"](image), label)

    def target(self, batch: Batch) -> Tensor:
        """Return the batch's pictures; with `binarise`, black or white with the probability of their grey."""
        return batch.coins(batch.image, stream="binarise") if self.settings.binarise else batch.image


def active_units(mean: Tensor) -> Tensor:
    """Count the dimensions whose posterior means (N, D) have variance above 0.01 (Burda et al., 2016, section 5.2)."""
    return (mean.detach().var(0, correction=0) > ACTIVE_VARIANCE).sum().float()


def edge_energy(image: Tensor) -> Tensor:
    """Return the mean squared difference of neighbouring values, down and across, of pictures (N, C, H, W).

    Squares are needed: a blur that turns a step into a ramp leaves the sum of absolute differences unchanged.
    """
    return (image.diff(dim=2).square().mean() + image.diff(dim=3).square().mean()) / 2 + FLAT


def limit_stretching(module: nn.Module) -> None:
    """Divide a layer's weights by their largest singular value, an estimate that each training step improves.

    Miyato et al., 2018, eq. 8; Ghosh et al., 2020, section 3.1, for decoders.
    """
    if isinstance(module, nn.Linear | nn.ConvTranspose2d | nn.Conv2d):
        spectral_norm(module)
