"""The settings of every objective. This module imports no torch, so that help and forms are fast."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from pinxit.data.settings import (
    LARGEST,
    SMALLEST,
    BoxedSettings,
    ColouredSettings,
    DataSettings,
    MattedSettings,
    PaintedSettings,
    PatchSettings,
    RecognisedSettings,
    SegmentedSettings,
    TranslatedSettings,
    WholeSettings,
)
from pinxit.degradations import Chain
from pinxit.errors import DataError, UsageError
from pinxit.losses.adversarial import ADVERSARIAL
from pinxit.losses.latent import PENALTIES
from pinxit.losses.likelihood import LIKELIHOODS
from pinxit.losses.reconstruction import RECONSTRUCTION
from pinxit.losses.segmentation import SEGMENTATION
from pinxit.objectives.augmentation import AUGMENTATIONS
from pinxit.objectives.networks import CLASSIFIERS, GAN_NETWORKS, SEGMENTERS, VAE_NETWORKS
from pinxit.objectives.optimiser import OPTIMISERS, Optimiser
from pinxit.settings import First, Place, Settings, Topic, did_you_mean, flag_of

if TYPE_CHECKING:
    from pinxit.data import DataSet
    from pinxit.nets.shapes import PictureShape
    from pinxit.objectives.colourising import Colourisation
    from pinxit.objectives.detection import Detection
    from pinxit.objectives.enhancement import Enhancement
    from pinxit.objectives.gan import GAN
    from pinxit.objectives.matting import Matting
    from pinxit.objectives.objective import Autoencoder, Objective
    from pinxit.objectives.prior import Prior
    from pinxit.objectives.recognition import Recognition
    from pinxit.objectives.restoration import Restoration
    from pinxit.objectives.segmentation import Segmentation
    from pinxit.objectives.style import AnyStyle, OneStyle
    from pinxit.objectives.translation import Translation
    from pinxit.objectives.vae import VAE
    from pinxit.objectives.vq import VQVAE


LEARNING_RATE = "Highest learning rate of the optimiser."
LOSSES = "; ".join(f"{name} ({row.purpose})" for name, row in ADVERSARIAL.items())
CHANGES = "; ".join(f"{name} ({row.purpose})" for name, row in AUGMENTATIONS.items())
BETA1 = "Decay per step of the gradient's running mean. For SGD it is the momentum; RMSprop ignores it."
DISCRIMINATOR_RATE = (
    "Highest learning rate of the discriminator; --learning-rate if omitted. A discriminator that learns up to four "
    "times as fast as the generator often trains more steadily (two time-scale rule, Heusel 2017)."
)


class ObjectiveSettings(Settings):
    """What every objective has: an optimiser, defaults for its pictures and training, and `build`."""

    noun: ClassVar[str] = "model"
    """What a model of this kind is called in a sentence."""
    pictures: ClassVar[type[DataSettings]] = DataSettings
    """The settings of its pictures, with this objective's defaults."""
    training: ClassVar[Mapping[str, Any]] = {}
    """Defaults of the training settings that differ from those of other objectives."""
    usual_prior: ClassVar[str | None] = None
    """The network that usually learns its codes; None if it has no codes."""
    opens: ClassVar[Literal["pictures", "mattes", "masks", "boxes", "kinds"]] = "pictures"
    """What its pictures need beside them: a row of `training.pictures.OPENERS`."""
    of_codes: ClassVar[bool] = False
    """Whether it is learned from a run's codes instead of pictures."""
    recognises: ClassVar[bool] = False
    """Whether it tells the classes of pictures instead of making some."""
    preview: ClassVar[str] = "pictures, each beside its reconstruction"
    """What the preview shows, unless `sheet` says otherwise."""

    learning_rate: Annotated[float, Topic.OPTIMISER] = Field(1e-3, gt=0, le=1, description=LEARNING_RATE)
    beta1: Annotated[float, Topic.OPTIMISER] = Field(0.9, ge=0, lt=1, description=BETA1)
    beta2: Annotated[float, Topic.OPTIMISER] = Field(
        0.999, ge=0, lt=1, description="Decay per step of the squared gradient's running mean; SGD ignores it."
    )
    optimiser: Annotated[Literal[*OPTIMISERS], Topic.OPTIMISER] = Field(  # type: ignore[valid-type]
        "adam",
        description="Optimiser of all networks: adam (the usual one), adamw (Adam whose weight decay is no part of the "
        "gradient), rmsprop (without momentum, usual with --weight-clip) or sgd (gradient descent with momentum).",
    )
    weight_decay: Annotated[float, Topic.OPTIMISER] = Field(
        0.0,
        ge=0,
        le=1,
        description="Weight decay; larger keeps weights smaller. AdamW shrinks the weights themselves; the others add "
        "an L2 penalty.",
    )

    def build(self, shape: PictureShape) -> Objective:
        """Return the objective for pictures of this shape; `UsageError` or `DataError` if the two do not fit."""
        raise NotImplementedError

    def build_on(self, autoencoder: Autoencoder, classes: int) -> Objective:
        """Return the objective over an autoencoder's codes, whose data have `classes` classes, if it is a prior."""
        raise NotImplementedError

    def together(self) -> int:
        """Return how many pictures of a batch belong together; a part of a batch must have a multiple of them."""
        return 1

    def at_least(self) -> int:
        """Return how many pictures a part of a batch must have at least."""
        return 1

    def remarks(self) -> tuple[str, ...]:
        """Return what a person should know of the settings that were given: those that change nothing."""
        return ()

    def remarks_on(self, pictures: DataSet) -> tuple[str, ...]:
        """Return what a person should know of the pictures before they are trained on."""
        return ()

    def player_optimiser(self, rate: float | None = None) -> Optimiser:
        """Return a player's optimiser, with a learning rate of its own if one is given."""
        return Optimiser(
            self.optimiser, self.learning_rate if rate is None else rate, (self.beta1, self.beta2), self.weight_decay
        )

    def others(self) -> Path | None:
        """Return the path of a second set of pictures, which batches carry beside the first; None without one.

        Raises `UsageError` or `DataError` if the settings that name files are inconsistent or a file is missing.
        """
        return None

    def example(self) -> Path | None:
        """Return the path of a picture from which the first step learns; None without one."""
        return None

    def sheet(self) -> str:
        """Return a caption of the preview."""
        return self.preview


def augmentations(text: str) -> tuple[str, ...]:
    """Return the names of augmentations in a text, separated by commas; none for "none"."""
    return () if text == "none" else tuple(name.strip() for name in text.split(","))


def _augmentations(text: str) -> str:
    for name in augmentations(text):
        if name not in AUGMENTATIONS:
            raise ValueError(f"no augmentation {name[:80]!r}{did_you_mean(name, AUGMENTATIONS)}")
    return ",".join(augmentations(text)) or text


Augmentations = Annotated[str, AfterValidator(_augmentations)]
"""A field of names of `AUGMENTATIONS`; `augmentations` parses it."""

LAYERS_OF = {
    ("enlarge", "strided"): ("dcgan",),
    ("discriminator_norm", "batch"): ("dcgan",),
    ("generator_norm", "batch"): ("dcgan", "residual", "plain"),
}
"""Defaults of `GANSettings` that only some networks have; the others leave them out."""


class GANSettings(ObjectiveSettings):
    """A generator trained against a discriminator (GAN). docs/gans.md says what each flag is for.

    The defaults were chosen by measurement: docs/results.md.
    """

    noun: ClassVar[str] = "GAN"
    preview: ClassVar[str] = "samples from latents fixed at the start"

    learning_rate: float = Field(2e-3, gt=0, le=1, description=LEARNING_RATE)
    beta1: float = Field(0.5, ge=0, lt=1, description=BETA1)
    network: Annotated[Literal[*GAN_NETWORKS], Topic.NETWORKS, First()] = Field(  # type: ignore[valid-type]
        "dcgan",
        description="Networks: dcgan (the fastest: strided convolutions, Radford 2016); residual (slower: residual "
        "blocks, for detail); plain (for comparison: residual without skip connections); dense (for small pictures: "
        "fully connected layers, Goodfellow 2014); style (slower: the latent scales every layer, for latents that "
        "change one thing, Karras 2020).",
    )
    loss: Annotated[Literal[*ADVERSARIAL], Topic.LOSS, First()] = Field(  # type: ignore[valid-type]
        "non-saturating",
        description=f"Adversarial loss, computed from the scores of real and generated pictures: {LOSSES}.",
    )
    channels: Annotated[int, Topic.NETWORKS] = Field(
        32, ge=1, le=1024, description="Channels of the networks at the largest feature map; more is slower."
    )
    latent: Annotated[int, Topic.NETWORKS] = Field(
        64, ge=1, le=4096, description="Length of the latent vector: the random numbers that a picture is made from."
    )
    conditional: Annotated[bool, Topic.NETWORKS, First()] = Field(
        False, description="Learn the data's classes, so that you can sample one class."
    )
    enlarge: Annotated[Literal["strided", "nearest", "bilinear"], Topic.NETWORKS] = Field(
        "strided",
        description="How the generator of --network dcgan enlarges its maps: strided (transposed convolution, Radford "
        "2016; may leave a grid), nearest (repeats pixels, then convolves; no grid, Odena 2016) or bilinear "
        "(interpolates, then convolves; smoothest).",
    )
    discriminator: Annotated[Literal["own", "projected", "aided"], Topic.NETWORKS] = Field(
        "own",
        description="The discriminator: own (of --network, learns from nothing), projected (small heads on a frozen "
        "network that knows photographs; needs far fewer steps, Sauer 2021) or aided (both, for few pictures in "
        "colour, Kumari 2022).",
    )
    discriminator_norm: Annotated[Literal["batch", "spectral", "none"], Topic.NETWORKS] = Field(
        "batch",
        description="Normalisation in the discriminator: batch (fast at first; --network dcgan only, the others then "
        "have none), spectral (bounds its gradient, for steady training with any loss, Miyato 2018) or none (for "
        "--r1 and other penalties).",
    )
    generator_norm: Annotated[Literal["batch", "virtual"], Topic.NETWORKS] = Field(
        "batch",
        description="Normalisation in the generator of --network dcgan, residual or plain: batch, or virtual (by a "
        "fixed reference batch, so that pictures of a batch share no traits, Salimans 2016; takes twice the time).",
    )
    minibatch: Annotated[Literal["none", "deviation", "discrimination"] | None, Topic.COLLAPSE] = Field(
        None,
        description="What the discriminator sees of the rest of its batch, against pictures that are all alike: none, "
        "deviation (their mean standard deviation, Karras 2018) or discrimination (learned distances, Salimans 2016). "
        "If omitted, deviation for --network style and none for the others.",
    )
    attention: Annotated[int, Topic.NETWORKS] = Field(
        0,
        ge=0,
        le=1024,
        description="Side of the maps at which both networks relate distant parts of a picture (self-attention, Zhang "
        "2019), such as 16; 0 for none. Larger is slower.",
    )
    discriminator_steps: Annotated[int, Topic.OPTIMISER] = Field(
        1,
        ge=1,
        le=100,
        description="Discriminator steps per generator step. More keep it ahead of the generator; 5 is usual with "
        "--loss wasserstein.",
    )
    discriminator_rate: Annotated[float | None, Topic.OPTIMISER] = Field(
        None, gt=0, le=1, description=DISCRIMINATOR_RATE
    )
    r1: Annotated[float, Topic.PENALTIES] = Field(
        0.0,
        ge=0,
        description="Weight of the R1 penalty: half the discriminator's squared gradient at real pictures. It steadies "
        "any loss; 0.1 to 10 is usual.",
    )
    r2: Annotated[float, Topic.PENALTIES] = Field(
        0.0,
        ge=0,
        description="Weight of the R2 penalty: the same at generated pictures; usual with --loss relativistic, as "
        "large as --r1.",
    )
    gradient_penalty: Annotated[float, Topic.PENALTIES] = Field(
        0.0,
        ge=0,
        description="Weight of the WGAN-GP penalty, which wants a gradient of length 1 between real and generated "
        "pictures. It bounds the discriminator, as --loss wasserstein needs; 10 is usual.",
    )
    dragan: Annotated[float, Topic.PENALTIES] = Field(
        0.0,
        ge=0,
        description="Weight of the DRAGAN penalty, which wants a gradient of length 1 around real pictures. It is "
        "against mode collapse; 10 is usual.",
    )
    penalty_every: Annotated[int, Topic.PENALTIES] = Field(
        1,
        ge=1,
        le=64,
        description="Steps from one R1, R2, WGAN-GP or DRAGAN penalty to the next, each weighted as many times more "
        "(lazy regularisation, Karras 2020). 8 to 16 cost little time.",
    )
    latent_gradient: Annotated[float, Topic.PENALTIES] = Field(
        0.0,
        ge=0,
        description="Weight of the generator's squared Jacobian norm per pixel. Larger makes pictures change less "
        "when the latent changes.",
    )
    path_length: Annotated[float, Topic.PENALTIES] = Field(
        0.0,
        ge=0,
        description="Weight of the path length penalty of --network style, by which equal changes of a style change "
        "pictures equally (Karras 2020); 2 is usual.",
    )
    weight_clip: Annotated[float, Topic.PENALTIES] = Field(
        0.0,
        ge=0,
        description="Largest absolute value of the discriminator's weights (WGAN); 0 for no limit. It bounds the "
        "discriminator, as --loss wasserstein needs; 0.01 is usual.",
    )
    packing: Annotated[int, Topic.COLLAPSE] = Field(
        1,
        ge=1,
        le=16,
        description="Pictures that the discriminator scores together, so that it sees whether they are too alike "
        "(PacGAN, Lin 2018); 2 to 4 are usual.",
    )
    augment_discriminator: Annotated[Augmentations, Topic.AUGMENTATION] = Field(
        "none",
        description="Random changes of all pictures, real and generated, that the discriminator sees. They keep it "
        f"from learning few pictures by heart (Zhao 2020). Separate them by commas: {CHANGES}.",
    )
    augment_probability: Annotated[float, Topic.AUGMENTATION] = Field(
        1.0,
        ge=0,
        le=1,
        description="Probability of each change of --augment-discriminator; with --augment-target the largest one.",
    )
    augment_target: Annotated[float, Topic.AUGMENTATION] = Field(
        0.0,
        ge=0,
        lt=1,
        description="Adapt the probability of changes: it rises while the mean sign of real scores is above this, and "
        "falls below (ADA, Karras 2020). 0.6 is usual; 0 keeps the probability constant.",
    )
    feature_matching: Annotated[float, Topic.COLLAPSE] = Field(
        0.0,
        ge=0,
        description="Weight of the generator's distance from real pictures in the mean features of the discriminator "
        "(Salimans 2016); larger is steadier.",
    )
    historical_averaging: Annotated[float, Topic.COLLAPSE] = Field(
        0.0,
        ge=0,
        description="Weight of each network's squared distance from the mean of its past weights (Salimans 2016); "
        "larger damps oscillation.",
    )
    label_smoothing: Annotated[float, Topic.LOSS] = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Lower the label of real pictures from 1 by this, so that the discriminator is less sure (Salimans "
        "2016); 0.1 is usual.",
    )
    code_categories: Annotated[int, Topic.CODES] = Field(
        0,
        ge=0,
        le=1000,
        description="Categories of a code that the discriminator reads from generated pictures, so that each comes to "
        "mean a kind of picture without labels (InfoGAN, Chen 2016); 0 for none.",
    )
    code_values: Annotated[int, Topic.CODES] = Field(
        0,
        ge=0,
        le=1000,
        description="Numbers from -1 to 1 in the code; each comes to mean a gradual change, such as a slant.",
    )
    information: Annotated[float, Topic.CODES] = Field(
        1.0, ge=0, description="Weight of the mutual information of code and picture, which both networks raise."
    )

    def build(self, shape: PictureShape) -> GAN:
        """Return the GAN for pictures of this shape."""
        from pinxit.objectives.gan import GAN

        check_shape(shape, self.conditional)
        for refused, line in self._refusals():
            if refused:
                raise UsageError(line)
        return GAN(self, shape)

    def together(self) -> int:
        """Return how many pictures of a batch the discriminator scores together."""
        return self.packing

    def at_least(self) -> int:
        """Return 2 pictures, or 2 packs of them, if the discriminator is asked to compare those of a batch."""
        return 2 * self.packing if self.minibatch in ("deviation", "discrimination") else 1

    def remarks(self) -> tuple[str, ...]:
        """Return a line for each default that was asked for although the network has no such layers."""
        return tuple(
            f"{flag_of(name)} {default} changes nothing: it is of --network {' or '.join(networks)}, and "
            f"{self.network} has no such layers"
            for (name, default), networks in LAYERS_OF.items()
            if name in self.model_fields_set and getattr(self, name) == default and self.network not in networks
        )

    def _refusals(self) -> tuple[tuple[bool, str], ...]:
        """Return what cannot work together: whether these settings ask for it, and what would work."""
        spectral, row = self.discriminator_norm == "spectral", ADVERSARIAL[self.loss]
        projected = self.discriminator != "own"
        mixed = self.network == "dcgan" and self.discriminator_norm == "batch"
        penalised = self.r1 + self.r2 + self.gradient_penalty + self.dragan > 0
        bounded = self.gradient_penalty or self.weight_clip or spectral
        code, asked = self.code_categories + self.code_values, augmentations(self.augment_discriminator)
        labelled = [name for name, one in ADVERSARIAL.items() if one.labelled]
        return (
            (
                self.enlarge != "strided" and self.network != "dcgan",
                f"--enlarge {self.enlarge}: --network {self.network} has no choice here; residual, plain and style "
                "already enlarge by nearest pixels, and --network dcgan has all three ways",
            ),
            (
                self.generator_norm == "virtual" and self.network in ("dense", "style"),
                f"--generator-norm virtual: the generator of --network {self.network} has no normalisation; use dcgan, "
                "residual or plain",
            ),
            (
                self.path_length > 0 and self.network != "style",
                "--path-length needs the styles of --network style; --latent-gradient is a penalty for every network",
            ),
            (
                projected and (self.discriminator_norm != "batch" or penalised),
                f"--discriminator {self.discriminator} has batch normalisation in its heads, which penalties on "
                "gradients do not suit; omit --discriminator-norm and the penalties, or omit --discriminator",
            ),
            (
                projected and (self.packing > 1 or self.minibatch not in (None, "none")),
                f"--discriminator {self.discriminator} scores places of single pictures; omit --packing and "
                "--minibatch",
            ),
            (
                penalised and mixed,
                "--r1, --r2, --gradient-penalty and --dragan need gradients of single pictures, and batch "
                "normalisation mixes pictures; add --discriminator-norm none or spectral",
            ),
            (
                self.penalty_every > 1 and not penalised,
                "--penalty-every is of penalties that nothing asks for; add --r1, --r2, --gradient-penalty or --dragan",
            ),
            (
                spectral and self.weight_clip > 0,
                "--weight-clip does nothing to weights that --discriminator-norm spectral divides by their norm; omit "
                "one of them",
            ),
            (
                row.bounded and not bounded,
                f"--loss {self.loss} needs a bounded discriminator: add --gradient-penalty 10, --weight-clip 0.01 or "
                "--discriminator-norm spectral",
            ),
            (
                self.packing > 1 and self.conditional,
                "--packing would score pictures of several classes together; omit --conditional or --packing",
            ),
            (
                self.packing > 1 and code > 0,
                "--packing would hide which picture has which code; omit --packing, or --code-categories and "
                "--code-values",
            ),
            (
                self.label_smoothing > 0 and self.loss not in labelled,
                f"--label-smoothing: --loss {self.loss} has no labels; use --loss {' or '.join(labelled)}",
            ),
            (
                self.augment_target > 0 and row.bounded,
                f"--augment-target: scores of --loss {self.loss} have no meaningful sign; use another --loss, or "
                "--augment-probability",
            ),
            (
                not asked and (self.augment_target > 0 or self.augment_probability < 1),
                "--augment-target and --augment-probability are of changes that nothing asks for; add "
                f"--augment-discriminator {','.join(AUGMENTATIONS)}",
            ),
            (self.code_categories == 1, "--code-categories 1: one category says nothing; use 2 or more"),
            (
                not code and self.information != type(self).model_fields["information"].default,
                "--information is the weight of a code, and there is none; add --code-categories or --code-values",
            ),
            (code >= self.latent, f"a code of {code} numbers needs a --latent of at least {code + 1}"),
        )


class VAESettings(ObjectiveSettings):
    """An encoder from pictures to short codes, and a decoder back: the variational autoencoder and its relatives."""

    noun: ClassVar[str] = "VAE"
    usual_prior = "flow"

    network: Annotated[Literal[*VAE_NETWORKS], Topic.NETWORKS, First()] = Field(  # type: ignore[valid-type]
        "convolutional",
        description="Networks: strided convolutions, residual blocks, or fully connected layers for small pictures.",
    )
    channels: Annotated[int, Topic.NETWORKS] = Field(
        32,
        ge=1,
        le=1024,
        description="Channels of the networks at the largest feature map; more is slower. Dense networks have 8 units "
        "per channel.",
    )
    latent: Annotated[int, Topic.NETWORKS, First()] = Field(
        64, ge=1, le=1024, description="Length of the code; longer keeps more detail."
    )
    levels: Annotated[int, Topic.NETWORKS] = Field(
        1, ge=1, le=16, description="Levels of the code (ladder VAE); each depends on the levels above it."
    )
    conditional: Annotated[bool, Topic.NETWORKS, First()] = Field(
        False, description="Learn the data's classes, so that you can sample one class."
    )
    likelihood: Annotated[Literal[*LIKELIHOODS], Topic.LOSS, First()] = Field(  # type: ignore[valid-type]
        "gaussian",
        description="Distribution of a pixel value given the code: bernoulli for black and white, gaussian for noisy "
        "greys, logistic for 256 levels.",
    )
    noise: Annotated[float | None, Topic.LOSS] = Field(
        None,
        gt=0,
        le=1,
        description="Standard deviation (logistic: scale) of the likelihood, in units of the image range; learned if "
        "omitted.",
    )
    binarise: Annotated[bool, Topic.LOSS] = Field(
        False,
        description="In every step, make each pixel white or black at random; its grey value is the probability of "
        "white.",
    )
    penalty: Annotated[Literal[*PENALTIES], Topic.PENALTIES, First()] = Field(  # type: ignore[valid-type]
        "kl",
        description="Penalty on codes: kl (VAE), tc (total correlation, beta-TC-VAE) or info (KL and MMD, InfoVAE). "
        "For deterministic codes: mmd (WAE), l2 (squared length, RAE) or none.",
    )
    beta: Annotated[float | None, Topic.PENALTIES, First()] = Field(
        None,
        ge=0,
        description="Weight of the penalty; larger keeps codes closer to the prior. If omitted, "
        + ", ".join(f"{row.weight:g} for {name}" for name, row in PENALTIES.items())
        + ".",
    )
    beta_warmup: Annotated[int, Topic.PENALTIES] = Field(
        0, ge=0, description="Steps over which the penalty's weight rises from 0."
    )
    free_bits: Annotated[float, Topic.PENALTIES] = Field(
        0.0, ge=0, description="KL in nats per dimension that the penalty ignores; larger lets codes carry more."
    )
    importance: Annotated[int, Topic.LOSS] = Field(
        1,
        ge=1,
        le=1000,
        description="Latents sampled per picture in the IWAE's bound; more is tighter but slower. 1 is the ELBO.",
    )
    pseudo_inputs: Annotated[int, Topic.PENALTIES] = Field(
        0, ge=0, le=10_000, description="Number of learned pseudo-inputs of a VampPrior; 0 for a normal prior."
    )
    decoder_l2: Annotated[float, Topic.PENALTIES] = Field(
        0.0, ge=0, description="Weight of half the decoder's squared weights (RAE-L2)."
    )
    latent_gradient: Annotated[float, Topic.PENALTIES] = Field(
        0.0, ge=0, description="Weight of the decoder's squared Jacobian norm per pixel (RAE-GP); larger is smoother."
    )
    spectral_norm: Annotated[bool, Topic.NETWORKS] = Field(
        False, description="Divide each decoder layer by its largest singular value (RAE-SN)."
    )
    perceptual: Annotated[float, Topic.LOSS] = Field(
        0.0,
        ge=0,
        description="Weight, in nats per pixel, of the perceptual distance between reconstruction and picture.",
    )
    adversarial: Annotated[float, Topic.LOSS] = Field(
        0.0, ge=0, description="Weight, in nats per pixel, of a discriminator's loss (VAE-GAN); 0 for none."
    )
    adversarial_loss: Annotated[Literal[*ADVERSARIAL], Topic.LOSS] = Field(  # type: ignore[valid-type]
        "hinge",
        description=f"Adversarial loss, computed from the scores of pictures and their reconstructions: {LOSSES}.",
    )
    discriminator_rate: Annotated[float | None, Topic.OPTIMISER] = Field(
        None, gt=0, le=1, description=DISCRIMINATOR_RATE
    )

    def build(self, shape: PictureShape) -> VAE:
        """Return the autoencoder for pictures of this shape."""
        from pinxit.objectives.ladder import Ladder
        from pinxit.objectives.vae import VAE

        check_shape(shape, self.conditional)
        if self.binarise and (shape.channels != 1 or self.likelihood != "bernoulli"):
            raise UsageError("--binarise needs grey pictures and --likelihood bernoulli")
        if self.noise is not None and not LIKELIHOODS[self.likelihood].noisy:
            raise UsageError(f"--noise: the likelihood {self.likelihood} has no noise; use --likelihood gaussian")
        if self.free_bits and PENALTIES[self.penalty].posterior == "point":
            raise UsageError(f"--free-bits: the penalty {self.penalty} has no KL; use --penalty kl")
        check_unbounded(self.adversarial_loss)
        self._check_bounds()
        return (Ladder if self.levels > 1 else VAE)(self, shape)

    def sheet(self) -> str:
        """Return a caption of the preview: reconstructions, and samples where codes have a prior."""
        point = PENALTIES[self.penalty].posterior == "point"
        return self.preview if point else f"{self.preview}, and samples from latents fixed at the start"

    def _check_bounds(self) -> None:
        """Raise `UsageError` if settings ask for two bounds or two priors at once."""
        plain = self.penalty == "kl" and not self.free_bits
        if self.importance > 1 and not (plain and self.beta in (None, 1) and not self.beta_warmup):
            raise UsageError("--importance is a bound of its own: omit --penalty, --beta and --free-bits")
        if self.importance > 1 and (self.perceptual or self.adversarial):
            raise UsageError("--importance is a bound of its own: omit --perceptual and --adversarial")
        if self.pseudo_inputs and (not plain or self.conditional):
            raise UsageError("--pseudo-inputs needs --penalty kl, without --free-bits and --conditional")
        if self.levels > 1 and (self.penalty != "kl" or self.pseudo_inputs):
            raise UsageError("--levels has a prior of its own: it needs --penalty kl, without --pseudo-inputs")
        if self.latent < self.levels:
            raise UsageError(f"--levels {self.levels} needs a --latent of at least {self.levels}, not {self.latent}")


class VQVAESettings(ObjectiveSettings):
    """An encoder from pictures to maps of quantised codes, and a decoder back: the vector-quantised autoencoder."""

    noun: ClassVar[str] = "VQ-VAE"
    usual_prior = "transformer"

    channels: Annotated[int, Topic.NETWORKS] = Field(
        32,
        ge=1,
        le=1024,
        description="Channels of the networks where the feature map has half the picture's side; more is slower.",
    )
    halvings: Annotated[int, Topic.NETWORKS, First()] = Field(
        2, ge=1, le=6, description="Halvings of the picture's side; more compresses more."
    )
    codes: Annotated[int, Topic.CODES, First()] = Field(
        512, ge=2, le=65_536, description="Size of the codebook; larger keeps more detail."
    )
    dimensions: Annotated[int, Topic.CODES] = Field(
        64, ge=1, le=1024, description="Length of each vector of the codebook."
    )
    commitment: Annotated[float, Topic.CODES] = Field(
        0.25, ge=0, description="Weight of the squared distance between encoder outputs and their codebook vectors."
    )
    decay: Annotated[float, Topic.CODES] = Field(
        0.99, gt=0, lt=1, description="Decay per step of the codebook's running averages."
    )
    gradient: Annotated[Literal["straight-through", "rotation"], Topic.CODES] = Field(
        "straight-through",
        description="How the gradient passes the codebook. straight-through leaves it unchanged (van den Oord 2017); "
        "rotation turns and scales it as the codebook does the encoder's output (Fifty 2024).",
    )

    def build(self, shape: PictureShape) -> VQVAE:
        """Return the autoencoder for pictures of this shape."""
        from pinxit.objectives.vq import VQVAE

        check_shape(shape, conditional=False)
        return VQVAE(self, shape)


class PriorSettings(ObjectiveSettings):
    """A distribution of a trained autoencoder's codes. `pinxit sample` can then sample new pictures from it."""

    noun: ClassVar[str] = "prior over codes"
    of_codes = True
    preview: ClassVar[str] = "samples from noise fixed at the start"

    network: Annotated[Literal["auto", "flow", "two-stage", "transformer"], Topic.NETWORKS, First()] = Field(
        "auto",
        description="Kind of prior. For a vae: flow (a normalising flow, RealNVP) or two-stage (a second, smaller "
        "VAE, Dai and Wipf 2019). For a vq: transformer. auto chooses flow or transformer.",
    )
    width: Annotated[int, Topic.NETWORKS] = Field(
        192, ge=32, le=4096, description="Units of a hidden layer, or length of a transformer's state."
    )
    depth: Annotated[int, Topic.NETWORKS] = Field(
        4,
        ge=1,
        le=64,
        description="Depth: pairs of coupling layers (flow), hidden layers (two-stage) or blocks (transformer); more "
        "is slower.",
    )
    conditional: Annotated[bool, Topic.NETWORKS] = Field(
        False, description="Learn the data's classes, so that you can sample one class."
    )

    def build(self, shape: PictureShape) -> Prior:
        """Raise `UsageError`: a prior is built on an autoencoder."""
        raise UsageError("a prior needs the codes of a run: `pinxit train prior RUN`")

    def build_on(self, autoencoder: Autoencoder, classes: int) -> Prior:
        """Return the prior over the codes of a trained autoencoder, whose data have `classes` classes."""
        from pinxit.objectives.prior import PRIORS

        if self.conditional and classes < 2:
            raise DataError("--conditional needs classes, and the run's pictures have none")
        if self.network == "auto":
            raise UsageError("--network auto works in `pinxit train prior` only, which knows the run; name the network")
        return PRIORS[self.network](self, autoencoder, classes)


def alternatives(text: str) -> tuple[Chain, ...]:
    """Return the chains of degradations in a text, separated by ' or '; none for an empty text."""
    return tuple(map(Chain.parse, text.split(" or "))) if text.strip() else ()


def _known(text: str) -> str:
    try:
        alternatives(text)
    except UsageError as error:
        raise ValueError(str(error)) from error
    return text


Degrade = Annotated[str, AfterValidator(_known)]
"""A field of alternative chains of degradations, one of which is drawn per picture; `alternatives` parses it."""


class RestorationSettings(ObjectiveSettings):
    """A network that undoes a degradation: noise, holes, blur, low resolution, JPEG artefacts and others."""

    noun: ClassVar[str] = "restorer"
    pictures: ClassVar[type[DataSettings]] = PatchSettings
    preview: ClassVar[str] = "pictures, each followed by its degraded and its restored form"

    degrade: Annotated[Degrade, First()] = Field(
        "noise(sigma=0..0.2)",
        description="Degradations to undo, in the order in which they happen, such as 'blur(sigma=1) | "
        "jpeg(quality=30)'. Write 'or' between chains to sample one for each picture. Give '' if the pictures are "
        "degraded already; that needs --target blind-spot or neighbours.",
    )
    target: Annotated[Literal["clean", "noisy", "blind-spot", "neighbours"], First()] = Field(
        "clean",
        description="What the network learns to predict: the clean picture, or, without clean pictures, another "
        "sample of the noise (noisy, Noise2Noise), hidden pixels (blind-spot, Noise2Void) or neighbouring pixels "
        "(neighbours, Neighbor2Neighbor).",
    )
    loss: Annotated[Literal[*RECONSTRUCTION], Topic.LOSS] = Field(  # type: ignore[valid-type]
        "charbonnier", description="Loss of each pixel value's error."
    )
    network: Annotated[Literal["residual", "nafnet"], Topic.NETWORKS, First()] = Field(
        "residual", description="Blocks of the U-Net: pairs of 3 x 3 convolutions, or the gated blocks of NAFNet."
    )
    channels: Annotated[int, Topic.NETWORKS] = Field(
        32, ge=1, le=1024, description="Channels of the network at the largest feature map; more is slower."
    )
    levels: Annotated[int, Topic.NETWORKS] = Field(
        3, ge=1, le=6, description="Levels of the U-Net; each halves the map's side and doubles its channels."
    )
    blocks: Annotated[int, Topic.NETWORKS] = Field(
        2, ge=1, le=64, description="Blocks on each side of a level; more is slower."
    )
    grey: float = Field(0.0, ge=0, le=1, description="Share of colour pictures that are made grey for training.")
    told: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of training pictures whose noise level the network is given; it estimates the level of the "
        "others. `denoise --sigma` needs it above 0.",
    )
    perceptual: Annotated[float, Topic.LOSS] = Field(
        0.0, ge=0, description="Weight of the perceptual distance between restored and clean picture."
    )
    grid: Annotated[float, Topic.LOSS] = Field(
        0.0,
        ge=0,
        description="Weight of the error in what repeats from cell to cell of 4 x 4 pixels; above 0 weakens the grid "
        "of dots that --adversarial may leave.",
    )
    jitter: Annotated[int, Topic.LOSS] = Field(
        0,
        ge=0,
        le=15,
        description="Largest random shift in pixels, down and across, of what --perceptual and --adversarial see. "
        "Their networks skip pixels; without a shift, restored pictures may get a grid of dots.",
    )
    adversarial: Annotated[float, Topic.LOSS] = Field(
        0.0,
        ge=0,
        description="Weight of a discriminator's loss; larger makes restored pictures crisper but less accurate.",
    )
    adversarial_loss: Annotated[Literal[*ADVERSARIAL], Topic.LOSS] = Field(  # type: ignore[valid-type]
        "relativistic",
        description=f"Adversarial loss, computed from the scores of clean and restored pictures: {LOSSES}.",
    )
    discriminator: Annotated[Literal["picture", "pixels"], Topic.NETWORKS] = Field(
        "picture",
        description="What the discriminator scores: the whole picture, or each of its pixels, by a U-Net with spectral "
        "normalisation that is steadier on fine texture.",
    )
    discriminator_rate: Annotated[float | None, Topic.OPTIMISER] = Field(
        None, gt=0, le=1, description=DISCRIMINATOR_RATE
    )

    def build(self, shape: PictureShape) -> Restoration:
        """Return the objective for pictures of this shape."""
        from pinxit.objectives.restoration import Restoration

        check_opaque(shape)
        if self.adversarial:
            check_shape(shape, conditional=False)
        if self.target != "clean" and (self.perceptual or self.adversarial):
            raise UsageError(f"--target {self.target} has no clean pictures for --perceptual and --adversarial")
        check_unbounded(self.adversarial_loss)
        if self.target in ("clean", "noisy") and not self.degrade.strip():
            raise UsageError(
                f"--target {self.target} needs --degrade; for pictures that are noisy already, use --target neighbours"
            )
        return Restoration(self, shape)


class EnhancementSettings(ObjectiveSettings):
    """A network that brightens dark pictures: it predicts one tone curve from the histogram of their brightness."""

    noun: ClassVar[str] = "low-light enhancer"
    pictures: ClassVar[type[DataSettings]] = WholeSettings
    preview: ClassVar[str] = "pictures, each followed by its darkened and its lightened form"

    degrade: Annotated[Degrade, First()] = Field(
        "dark(gain=0.1..0.3) | clip or dark(gain=0.1..1) | clip or dark(gain=1, read_noise=0)",
        description="Degradations that darken pictures. Write 'or' between chains to sample one for each picture. "
        "Leave some pictures unchanged, so that the network learns to leave bright pictures alone.",
    )
    loss: Annotated[Literal[*RECONSTRUCTION], Topic.LOSS] = Field(  # type: ignore[valid-type]
        "charbonnier", description="Loss of each pixel value's error."
    )
    width: Annotated[int, Topic.NETWORKS] = Field(64, ge=1, le=1024, description="Units of a hidden layer.")
    depth: Annotated[int, Topic.NETWORKS] = Field(2, ge=1, le=16, description="Hidden layers.")

    def build(self, shape: PictureShape) -> Enhancement:
        """Return the objective for pictures of this shape."""
        from pinxit.objectives.enhancement import Enhancement

        check_opaque(shape)
        if not self.degrade.strip():
            raise UsageError("--degrade must darken the pictures, as 'dark(gain=0.1..0.3)' does")
        return Enhancement(self, shape)


class MattingSettings(ObjectiveSettings):
    """A network that finds the subject of a picture: how much of each pixel belongs to it.

    DATA has cut-outs with transparent parts, or pictures in a folder images with equal stems in a folder masks or
    mattes. Unlike the defaults listed below, a batch has 8 pictures and the learning rate decays to zero over the run.
    """

    noun: ClassVar[str] = "matting network"
    pictures: ClassVar[type[DataSettings]] = MattedSettings
    training: ClassVar[Mapping[str, Any]] = {
        "batch_size": 8, "schedule": "cosine", "warmup": 100, "clip": 1.0, "average": 0.998
    }  # fmt: skip
    opens = "mattes"
    preview: ClassVar[str] = "pictures, each followed by its true and its found matte"

    learning_rate: float = Field(2e-3, gt=0, le=1, description=LEARNING_RATE)
    backgrounds: Annotated[Place | None, First()] = Field(
        None,
        description="Pictures before which subjects are put: a folder, a zip or an npz. Without it, and sometimes with "
        "it, backgrounds are drawn: smooth colours with some texture.",
    )
    replace: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Share of opaque pictures whose subject is put before another background. Cut-outs always are.",
    )
    degrade: Degrade = Field(
        "clip or jpeg(quality=30..95) or noise(sigma=0..0.04) | clip or blur(sigma=0.3..1.5)",
        description="What happens to the pictures before the network sees them, such as 'jpeg(quality=30..95)'. Write "
        "'or' between chains to sample one for each picture; '' for nothing.",
    )
    channels: Annotated[int, Topic.NETWORKS] = Field(
        32, multiple_of=4, ge=4, le=256, description="Channels of the network at its largest map; more is slower."
    )
    edge: Annotated[float, Topic.LOSS] = Field(1.0, ge=0, description="Weight of the matte's error at the edge.")
    gradient: Annotated[float, Topic.LOSS] = Field(
        1.0, ge=0, description="Weight of the error of the differences of neighbouring pixels; larger is crisper."
    )
    shape: Annotated[float, Topic.LOSS] = Field(
        0.5, ge=0, description="Weight of the part of the subject that is missed or found in vain."
    )
    coarse: Annotated[float, Topic.LOSS] = Field(
        0.5, ge=0, description="Weight of the cross entropy of the matte at an eighth of the sides."
    )

    def build(self, shape: PictureShape) -> Matting:
        """Return the objective; it works with pictures of any shape."""
        from pinxit.objectives.matting import Matting

        check_shape(shape, conditional=False)
        return Matting(self)

    def others(self) -> Path | None:
        """Return the path of the backgrounds."""
        return self.backgrounds


class ColourSettings(ObjectiveSettings):
    """A network that guesses the colours of grey pictures, with a frozen network that knows photographs.

    Unlike the defaults listed below, a batch has 16 pictures and the learning rate decays to zero over the run.
    """

    noun: ClassVar[str] = "colouriser"
    pictures: ClassVar[type[DataSettings]] = ColouredSettings
    training: ClassVar[Mapping[str, Any]] = {"batch_size": 16, "schedule": "cosine"}
    preview: ClassVar[str] = "pictures, each followed by its grey and its newly coloured form"

    width: Annotated[int, Topic.NETWORKS] = Field(
        64, ge=2, le=1024, description="Channels of the network at the largest feature map; more is slower."
    )
    rebalance: Annotated[float, Topic.LOSS, First()] = Field(
        0.2,
        ge=0,
        lt=1,
        description="How much more rare colours count in the loss than greys; larger makes colours livelier and more "
        "often wrong. At 0 all places count alike; 0.5 is that of Zhang 2016.",
    )
    drop: Annotated[float, Topic.NETWORKS] = Field(
        0.3,
        ge=0,
        lt=1,
        description="Share of the frozen network's channels that are hidden at random in training; larger keeps it "
        "from learning few pictures by heart.",
    )

    def build(self, shape: PictureShape) -> Colourisation:
        """Return the objective; `DataError` if the pictures have no colours to learn."""
        from pinxit.objectives.colourising import Colourisation

        check_opaque(shape)
        if shape.channels == 1:
            raise DataError("these pictures are grey: their colours are what is to be learned; give colour pictures")
        return Colourisation(self)


class StyleSettings(ObjectiveSettings):
    """A network that paints a picture in one pass: in one style, or in any style it is given.

    Unlike the defaults listed below, a batch has 4 pictures and the learning rate decays to zero over the run.
    """

    noun: ClassVar[str] = "style transfer network"
    pictures: ClassVar[type[DataSettings]] = PaintedSettings
    training: ClassVar[Mapping[str, Any]] = {
        "batch_size": 4, "schedule": "cosine", "warmup": 50, "clip": 1.0, "average": 0.995
    }  # fmt: skip

    learning_rate: float = Field(2e-3, gt=0, le=1, description=LEARNING_RATE)
    style: Annotated[Place | None, First()] = Field(None, description="The picture whose style is learned.")
    any: Annotated[bool, First()] = Field(
        False, description="Learn to paint in any style, from the pictures of --styles."
    )
    styles: Annotated[Place | None, First()] = Field(
        None, description="Pictures of many styles: a folder, a zip or an npz."
    )
    style_size: Annotated[int, First()] = Field(
        256, ge=32, le=4096, description="Shorter side of the style's picture in pixels; larger gives finer strokes."
    )
    style_weight: Annotated[float, Topic.LOSS, First()] = Field(
        5.0,
        ge=0,
        description="Weight of the style distance; larger gives a stronger style. The content distance has weight 1.",
    )
    total_variation: Annotated[float, Topic.LOSS] = Field(
        1.0, ge=0, description="Weight of the mean squared difference of neighbouring pixels; larger is smoother."
    )

    def build(self, shape: PictureShape) -> OneStyle | AnyStyle:
        """Return the objective; it works with pictures of any shape."""
        from pinxit.objectives.style import AnyStyle, OneStyle

        return AnyStyle(self) if self.any else OneStyle(self)

    def others(self) -> Path | None:
        """Return the path of the styles for any style; check that the picture of one style exists."""
        if self.any:
            if self.styles is None or self.style is not None:
                raise UsageError("--any learns from many styles: give their folder as --styles, and omit --style")
            return self.styles
        if self.style is None or self.styles is not None:
            raise UsageError("no style is given: --style takes a picture, --any --styles a folder of many")
        if not self.style.is_file():
            raise DataError(f"{self.style}: no such file; --style takes a picture")
        return None

    def example(self) -> Path | None:
        """Return the path of the style's picture, if there is one style."""
        return None if self.any else self.style

    def sheet(self) -> str:
        """Return a caption of the preview."""
        return "pictures, each with a style and painted in it" if self.any else "pictures, each beside its painting"


LEAST_SIDES = {16: 16, 34: 16, 70: 32}
"""The smallest side of pictures whose patches of so many pixels a discriminator can judge."""


class TranslationSettings(ObjectiveSettings):
    """A network that turns pictures of one kind, A, into pictures of another, B (image-to-image translation).

    Pictures of equal stems are pairs, and training then learns from each pair. Without pairs it learns from the two
    sets as wholes. docs/translation.md lists the folders that are understood. Unlike the defaults listed below, a batch
    has 4 pictures, and the learning rate falls to zero over the last third of the run.
    """

    noun: ClassVar[str] = "translator"
    opens = "kinds"
    preview: ClassVar[str] = "pictures, each with what was made of it, and its pair, or itself turned back"
    pictures: ClassVar[type[DataSettings]] = TranslatedSettings
    training: ClassVar[Mapping[str, Any]] = {"batch_size": 4, "schedule": "late", "average": 0.998}

    learning_rate: float = Field(5e-4, gt=0, le=1, description=LEARNING_RATE)
    beta1: float = Field(0.5, ge=0, lt=1, description=BETA1)
    method: Annotated[Literal["cycle", "contrast"], First()] = Field(
        "cycle",
        description="What keeps the content without pairs: cycle (learns both ways, each undoes the other: CycleGAN, "
        "Zhu 2017) or contrast (learns A to B, with about half of the time and memory: CUT, Park 2020).",
    )
    network: Annotated[Literal["unet", "residual"] | None, Topic.NETWORKS] = Field(
        None,
        description="Generator: unet (keeps edges in place, sees far) or residual (may move edges, sees near). If "
        "omitted, unet with pairs, else residual.",
    )
    channels: Annotated[int, Topic.NETWORKS] = Field(
        32, ge=2, le=512, description="Channels of the networks at their largest map; more is slower."
    )
    generator_norm: Annotated[Literal["pixel", "instance", "none"], Topic.NETWORKS] = Field(
        "pixel",
        description="Normalisation in the generator: pixel (over the channels of each pixel, so that large pictures "
        "can be cut into tiles), instance (over the whole picture, without tiles: the usual one of papers) or none.",
    )
    discriminator_norm: Annotated[Literal["instance", "spectral", "none"], Topic.NETWORKS] = Field(
        "instance", description="Normalisation in the discriminator: instance, spectral (bounds its gradient) or none."
    )
    patch: Annotated[Literal[16, 34, 70], Topic.NETWORKS] = Field(
        70, description="Side in pixels of the patches that the discriminator judges one by one; larger sees more."
    )
    dropout: Annotated[float, Topic.NETWORKS] = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the channels of the lowest map that are left out at random, so that `pinxit edit "
        "translate --seed` gives different results. With 0 there is one result.",
    )
    loss: Annotated[Literal[*ADVERSARIAL], Topic.LOSS] = Field(  # type: ignore[valid-type]
        "least-squares", description=f"Adversarial loss, computed from the scores of real and made patches: {LOSSES}."
    )
    adversarial: Annotated[float, Topic.LOSS] = Field(
        1.0, ge=0, description="Weight of the adversarial loss; with 0 there is no discriminator, and results are soft."
    )
    conditional: Annotated[bool, Topic.LOSS] = Field(
        True, description="With pairs: let the discriminator see what a picture was made of."
    )
    reconstruction: Annotated[float, Topic.LOSS] = Field(
        100.0, ge=0, description="With pairs: weight of the distance to the true picture; larger is truer and softer."
    )
    perceptual: Annotated[float, Topic.LOSS] = Field(
        0.0, ge=0, description="With pairs: weight of the distance to it as a network sees it that knows photographs."
    )
    feature_matching: Annotated[float, Topic.LOSS] = Field(
        0.0, ge=0, description="With pairs: weight of the distance to it in the discriminator's maps (Wang 2018)."
    )
    cycle: Annotated[float, Topic.LOSS] = Field(
        10.0, ge=0, description="With --method cycle: weight of the distance from a picture after both ways."
    )
    contrast: Annotated[float, Topic.LOSS] = Field(
        1.0, ge=0, description="With --method contrast: weight of what ties each place to its place before."
    )
    identity: Annotated[float, Topic.LOSS] = Field(
        5.0,
        ge=0,
        description="Without pairs: weight of what keeps pictures that are of kind B already; it keeps colours. With "
        "--method contrast only 0 or not 0 counts.",
    )
    r1: Annotated[float, Topic.PENALTIES] = Field(0.0, ge=0, description=GANSettings.model_fields["r1"].description)
    r2: Annotated[float, Topic.PENALTIES] = Field(0.0, ge=0, description=GANSettings.model_fields["r2"].description)
    penalty_every: Annotated[int, Topic.PENALTIES] = Field(
        1,
        ge=1,
        le=64,
        description="Steps from one R1 or R2 penalty to the next, each weighted as many times more; 8 to 16 cost "
        "little time.",
    )
    discriminator_rate: Annotated[float | None, Topic.OPTIMISER] = Field(
        None, gt=0, le=1, description=DISCRIMINATOR_RATE
    )

    def build(self, shape: PictureShape) -> Translation:
        """Return the objective for what was found of the pictures; `UsageError` if the settings do not fit to that."""
        from pinxit.objectives.translation import Contrast, Cycle, Paired

        check_sides(shape)
        target = shape.target
        if target is None:
            raise DataError("one kind of pictures alone cannot be translated: give a second set as B")
        if self.adversarial and min(shape.sides) < (least := LEAST_SIDES[self.patch]):
            raise UsageError(
                f"--size {shape.size}: patches of {self.patch} pixels need sides of at least {least}; --patch 34 or 16 "
                "fit smaller pictures"
            )
        if ADVERSARIAL[self.loss].bounded and self.discriminator_norm != "spectral":
            raise UsageError(f"--loss {self.loss} needs a bounded discriminator: --discriminator-norm spectral")
        if target.paired:
            if not (self.adversarial or self.reconstruction or self.perceptual):
                raise UsageError("--adversarial, --reconstruction and --perceptual are all 0: nothing can be learned")
            if self.perceptual and target.planes.colours:
                raise UsageError("--perceptual compares pictures, and what is made here are label maps")
            return Paired(self, shape)
        if not (self.adversarial or (self.cycle if self.method == "cycle" else self.contrast)):
            raise UsageError(f"--adversarial and --{self.method} are both 0: nothing can be learned")
        if self.method == "cycle":
            return Cycle(self, shape)
        if shape.colours or target.planes[:2] != (shape.channels, ()):
            raise UsageError(
                "--method contrast reads both kinds by one network: both must be grey or both in colour, and no label "
                "maps. --labels none reads these as pictures; --method cycle takes any"
            )
        return Contrast(self, shape)


FEW_HELD_OUT = 19
"""The fewest held-out pictures of which the least likely one has a chance of 5 % to be surpassed by a new one."""


class ClassifySettings(ObjectiveSettings):
    """A network that tells which class a picture belongs to (classification).

    Unlike the defaults listed below, the learning rate decays to zero over the run.
    """

    noun: ClassVar[str] = "classifier"
    recognises: ClassVar[bool] = True
    pictures: ClassVar[type[DataSettings]] = RecognisedSettings
    training: ClassVar[Mapping[str, Any]] = {"schedule": "cosine", "steps": 2000, "average": 0.99}
    preview: ClassVar[str] = "training pictures, the least certain first"

    learning_rate: float = Field(2e-3, gt=0, le=1, description=LEARNING_RATE)
    network: Annotated[Literal[*CLASSIFIERS], Topic.NETWORKS, First()] = Field(  # type: ignore[valid-type]
        "residual",
        description="Network: residual (learns from nothing, for small pictures: He 2016), lite0 (a head on a network "
        "that knows photographs: Tan 2019) or plain (three convolutions, the fastest).",
    )
    channels: Annotated[int, Topic.NETWORKS] = Field(
        16, ge=1, le=512, description="Channels of --network residual at the largest feature map; more is slower."
    )
    trained_blocks: Annotated[int, Topic.NETWORKS] = Field(
        0,
        ge=0,
        le=16,
        description="Last blocks of --network lite0 that are trained too, of 16. With 0 only the head is trained, "
        "which is fast and safe for few pictures.",
    )
    dropout: Annotated[float, Topic.NETWORKS] = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the last features that are left out at random in each step, against learning pictures by "
        "heart (Srivastava 2014). --network plain has none.",
    )
    label_smoothing: Annotated[float, Topic.LOSS] = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Share of each label that is spread over all classes, for labels that are sometimes wrong (Szegedy "
        "2016); 0.1 is usual.",
    )
    balanced: Annotated[bool, Topic.LOSS] = Field(
        False, description="Make rare classes count as much as common ones: weight each picture by its class."
    )
    mixup: Annotated[float, Topic.AUGMENTATION] = Field(
        0.0,
        ge=0,
        le=10,
        description="Mix pictures and labels in pairs; the share is drawn from Beta(a, a) for this a (Zhang 2018). 0.2 "
        "is usual, 0 mixes none.",
    )

    def build(self, shape: PictureShape) -> Recognition:
        """Return the objective; `DataError` if the pictures have no classes to learn."""
        from pinxit.objectives.recognition import Recognition

        check_sides(shape)
        if shape.classes < 2:
            raise DataError("a classifier needs two classes: a folder for each, or a table labels.csv (file, label)")
        return Recognition(self, shape)

    def remarks(self) -> tuple[str, ...]:
        """Return a line for each setting of another network than the one that is asked for."""
        of = {"channels": ("residual",), "trained_blocks": ("lite0",), "dropout": ("residual", "lite0")}
        return tuple(
            f"{flag_of(name)} changes nothing: it is of --network {' and '.join(networks)}"
            for name, networks in of.items()
            if name in self.model_fields_set and self.network not in networks
        )

    def remarks_on(self, pictures: DataSet) -> tuple[str, ...]:
        """Return a line on classes with fewer than two pictures to train on, and on too few that are held out."""
        from pinxit.data.layout import first_few

        counts, held = pictures.train.counts, len(pictures.held_out)
        of = {"no picture": 0, "a single picture": 1}
        names = {what: [name for name, count in counts.items() if count == least] for what, least in of.items()}
        said = [f"classes with {what} to train on: {first_few(some)}" for what, some in names.items() if some]
        if 0 < held < FEW_HELD_OUT:
            of_held = "picture is" if held == 1 else "pictures are"
            said.append(
                f"only {held} {of_held} held out: no picture will be called unknown, and confidences are rough; "
                f"{FEW_HELD_OUT} or more are better (--holdout)"
            )
        return tuple(said)


def mask_losses(text: str) -> tuple[str, ...]:
    """Return the names of the losses of masks in a text such as "cross-entropy,dice"."""
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in SEGMENTATION:
            raise ValueError(f"no loss {name!r}{did_you_mean(name, SEGMENTATION)}")
    if len(set(names)) < len(names):
        raise ValueError("should name each loss once")
    return names


class SegmentSettings(ObjectiveSettings):
    """A network that tells which class each pixel belongs to (segmentation).

    DATA has pictures in a folder images and masks of equal stems in a folder masks; classes.txt names the classes.
    Unlike the defaults listed below, a batch has 8 pictures and the learning rate decays to zero over the run.
    """

    noun: ClassVar[str] = "segmenter"
    recognises: ClassVar[bool] = True
    opens = "masks"
    pictures: ClassVar[type[DataSettings]] = SegmentedSettings
    training: ClassVar[Mapping[str, Any]] = {
        "batch_size": 8, "schedule": "cosine", "warmup": 50, "steps": 2000, "average": 0.99, "clip": 1.0
    }  # fmt: skip
    preview: ClassVar[str] = "pictures, each followed by its true and its found classes"

    learning_rate: float = Field(2e-3, gt=0, le=1, description=LEARNING_RATE)
    network: Annotated[Literal[*SEGMENTERS], Topic.NETWORKS, First()] = Field(  # type: ignore[valid-type]
        "unet",
        description="Network: unet (learns from nothing: Ronneberger 2015) or lite0 (a decoder on a network that knows "
        "photographs: Tan 2019).",
    )
    channels: Annotated[int, Topic.NETWORKS] = Field(
        16, multiple_of=4, ge=4, le=256, description="Channels of the network at its largest map; more is slower."
    )
    trained_blocks: Annotated[int, Topic.NETWORKS] = Field(
        0,
        ge=0,
        le=16,
        description="Last blocks of --network lite0 that are trained too, of 16. With 0 only the decoder is trained, "
        "which is faster and safe for few pictures.",
    )
    loss: Annotated[str, AfterValidator(lambda text: ",".join(mask_losses(text))), Topic.LOSS] = Field(
        "cross-entropy",
        description="Losses that are added, separated by commas: "
        + "; ".join(f"{name} ({row.purpose})" for name, row in SEGMENTATION.items())
        + ".",
    )
    balance: Annotated[float, Topic.LOSS] = Field(
        0.0,
        ge=0,
        le=1,
        description="How much more pixels of rare classes count: 0 not at all, 1 so that all classes count alike.",
    )

    def build(self, shape: PictureShape) -> Segmentation:
        """Return the objective; `DataError` if the masks have no classes to learn."""
        from pinxit.objectives.segmentation import Segmentation

        check_sides(shape)
        if shape.classes < 2:
            raise DataError("segmentation needs masks of two classes; these have one, or none that is not void")
        return Segmentation(self, shape)

    def remarks(self) -> tuple[str, ...]:
        """Return a line for each setting that changes nothing."""
        useless = "trained_blocks" in self.model_fields_set and self.network == "unet"
        return ("--trained-blocks changes nothing: it is of --network lite0",) * useless


class DetectSettings(ObjectiveSettings):
    """A network that frames the things in pictures and tells what each is (object detection).

    DATA has pictures with boxes, in one of three forms: COCO (JSON), Pascal VOC (XML) or YOLO (text). A picture without
    boxes is one without things. Unlike the defaults listed below, a batch has 8 pictures and the learning rate decays
    to zero over the run.
    """

    noun: ClassVar[str] = "detector"
    opens = "boxes"
    recognises: ClassVar[bool] = True
    pictures: ClassVar[type[DataSettings]] = BoxedSettings
    training: ClassVar[Mapping[str, Any]] = {
        "batch_size": 8, "schedule": "cosine", "steps": 2000, "warmup": 100, "clip": 10.0, "average": 0.998
    }  # fmt: skip
    preview: ClassVar[str] = "pictures, each with the true and with the found boxes"

    learning_rate: float = Field(1e-3, gt=0, le=1, description=LEARNING_RATE)
    channels: Annotated[int, Topic.NETWORKS] = Field(
        64, ge=16, le=512, multiple_of=8, description="Channels of the part that is trained; more is slower."
    )
    trained_blocks: Annotated[int, Topic.NETWORKS, First()] = Field(
        11,
        ge=0,
        le=16,
        description="Last blocks of the network that knows photographs that are trained too, of 16. 0 is the fastest.",
    )
    box: Annotated[float, Topic.LOSS] = Field(
        2.0, ge=0, le=100, description="Weight of how well boxes fit, beside how well their classes are told."
    )

    def build(self, shape: PictureShape) -> Detection:
        """Return the objective; `DataError` if the pictures have no things to find."""
        from pinxit.objectives.detection import Detection

        check_sides(shape)
        if not shape.classes:
            raise DataError("a detector needs boxes: COCO (JSON), Pascal VOC (XML) or YOLO (text) beside the pictures")
        return Detection(self, shape)


def check_unbounded(loss: str) -> None:
    """Raise `UsageError` if an adversarial loss needs a bounded discriminator, for an objective without such bounds."""
    if ADVERSARIAL[loss].bounded:
        raise UsageError(f"--adversarial-loss {loss} needs a bounded discriminator, which only `pinxit train gan` has")


def check_opaque(shape: PictureShape) -> None:
    """Raise `DataError` if pictures have an alpha channel, which degradations do not support."""
    if shape.channels == 4:
        raise DataError("restoration needs pictures without transparency; flatten these onto a background first")


def check_sides(shape: PictureShape) -> None:
    """Raise `UsageError` for pictures that are too small or too large for networks."""
    if not all(SMALLEST <= side <= LARGEST for side in shape.sides):
        raise UsageError(f"--size {shape.size}: networks support sides of {SMALLEST} to {LARGEST} pixels")


def check_shape(shape: PictureShape, conditional: bool) -> None:
    """Raise `UsageError` or `DataError` for pictures that the networks cannot be built for."""
    check_sides(shape)
    if conditional and shape.classes < 2:
        raise DataError("--conditional needs classes: put the pictures of each class in their own folder")
