"""The settings of every objective. No torch here, so that help and forms cost nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from pinxit.data.settings import DataSettings, PaintedSettings, PatchSettings, WholeSettings
from pinxit.degradations import Chain
from pinxit.errors import DataError, UsageError
from pinxit.losses.adversarial import ADVERSARIAL
from pinxit.losses.latent import PENALTIES
from pinxit.losses.likelihood import LIKELIHOODS
from pinxit.losses.reconstruction import RECONSTRUCTION
from pinxit.objectives.optimiser import OPTIMISERS, Optimiser
from pinxit.settings import Place, Settings

if TYPE_CHECKING:
    from pinxit.nets.shapes import PictureShape
    from pinxit.objectives.enhancement import Enhancement
    from pinxit.objectives.gan import GAN
    from pinxit.objectives.objective import Autoencoder, Objective
    from pinxit.objectives.prior import Prior
    from pinxit.objectives.restoration import Restoration
    from pinxit.objectives.style import AnyStyle, OneStyle
    from pinxit.objectives.vae import VAE
    from pinxit.objectives.vq import VQVAE


LEARNING_RATE = "Step size of the optimiser at its highest."
BETA1 = "Decay per step of the running mean of the gradient; the momentum of SGD; RMSprop has none."
DISCRIMINATOR_RATE = "Step size of the discriminator at its highest; --learning-rate if omitted."


class ObjectiveSettings(Settings):
    """What every objective has: an optimiser, settings of its pictures and its training, and a way to build it."""

    noun: ClassVar[str] = "model"
    """What a model of this kind is called in a sentence."""
    pictures: ClassVar[type[DataSettings]] = DataSettings
    """The settings of pictures, whose defaults are the objective's."""
    training: ClassVar[Mapping[str, Any]] = {}
    """Defaults of the training settings that differ from those of other objectives."""
    usual_prior: ClassVar[str | None] = None
    """The network that usually learns its codes; None if it has no codes."""

    learning_rate: float = Field(1e-3, gt=0, le=1, description=LEARNING_RATE)
    beta1: float = Field(0.9, ge=0, lt=1, description=BETA1)
    beta2: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="Decay per step of the running mean of the squared gradient; SGD has none.",
    )
    optimiser: Literal[*OPTIMISERS] = Field(  # type: ignore[valid-type]
        "adam", description="Optimiser of all networks."
    )
    weight_decay: float = Field(
        0.0, ge=0, le=1, description="Weight decay; larger keeps weights smaller. AdamW scales weights, others add L2."
    )

    def build(self, shape: PictureShape) -> Objective:
        """Return the objective for pictures of this shape."""
        raise NotImplementedError

    def player_optimiser(self, rate: float | None = None) -> Optimiser:
        """Return a player's optimiser, with a step size of its own if one is given."""
        return Optimiser(
            self.optimiser, self.learning_rate if rate is None else rate, (self.beta1, self.beta2), self.weight_decay
        )

    def others(self) -> Path | None:
        """Return where a second set of pictures lies, drawn beside the first; None where the objective has none.

        Raises `UsageError` if files that the settings name are not asked for as they must be.
        """
        return None

    def sheet(self) -> str:
        """Return what the objective's preview shows, for a caption."""
        return "pictures, each beside its reconstruction"


class GANSettings(ObjectiveSettings):
    """A generator against a discriminator. The defaults are what we measured to be good and fast: docs/results.md."""

    noun: ClassVar[str] = "GAN"

    learning_rate: float = Field(2e-3, gt=0, le=1, description=LEARNING_RATE)
    beta1: float = Field(0.5, ge=0, lt=1, description=BETA1)
    network: Literal["dcgan", "residual", "plain", "dense"] = Field(
        "dcgan",
        description="Networks: strided convolutions (Radford 2016), residual blocks, the same without their skip "
        "connections, or the fully connected pair of Goodfellow 2014.",
    )
    loss: Literal[*ADVERSARIAL] = Field(  # type: ignore[valid-type]
        "non-saturating", description="Adversarial loss, of the scores of real and fake."
    )
    channels: int = Field(32, ge=1, le=1024, description="Width of the networks at the largest map, in channels.")
    latent: int = Field(64, ge=1, le=4096, description="Length of the latent vector.")
    conditional: bool = Field(False, description="Learn the data's classes, so that one can be asked for.")
    discriminator_norm: Literal["batch", "none"] = Field(
        "batch", description="Normalisation in the discriminator of the network 'dcgan'; the others have none."
    )
    discriminator_steps: int = Field(1, ge=1, le=100, description="Discriminator steps for each generator step.")
    discriminator_rate: float | None = Field(None, gt=0, le=1, description=DISCRIMINATOR_RATE)
    r1: float = Field(0.0, ge=0, description="Weight gamma of the squared gradient at real pictures, times 1/2.")
    r2: float = Field(0.0, ge=0, description="Weight gamma of the squared gradient at fakes, times 1/2.")
    gradient_penalty: float = Field(0.0, ge=0, description="Weight of WGAN-GP's penalty between real and fake.")
    latent_gradient: float = Field(
        0.0, ge=0, description="Weight of ||dG/dz||^2 a pixel, an estimate of the squared norm of G's Jacobian."
    )
    weight_clip: float = Field(0.0, ge=0, description="Largest weight of the discriminator, 0 for no limit (WGAN).")

    def build(self, shape: PictureShape) -> GAN:
        """Return the GAN for pictures of this shape."""
        from pinxit.objectives.gan import GAN

        check_shape(shape, self.conditional)
        penalised = self.r1 or self.r2 or self.gradient_penalty
        if penalised and self.network == "dcgan" and self.discriminator_norm == "batch":
            raise UsageError(
                "--r1, --r2 and --gradient-penalty look at single pictures and batch normalisation mixes them; "
                "add --discriminator-norm none"
            )
        if self.loss == "wasserstein" and not (self.gradient_penalty or self.weight_clip):
            raise UsageError("--loss wasserstein needs --gradient-penalty 10 or --weight-clip 0.01 to mean a distance")
        return GAN(self, shape)

    def sheet(self) -> str:
        """Return what the preview shows: new pictures."""
        return "new pictures, from latents fixed at the start"


class VAESettings(ObjectiveSettings):
    """An encoder to short codes and a decoder back to pictures: the variational autoencoder and its kin."""

    noun: ClassVar[str] = "VAE"

    usual_prior = "flow"

    network: Literal["convolutional", "residual", "dense"] = Field(
        "convolutional",
        description="Networks: strided convolutions, residual blocks, or fully connected layers for small pictures.",
    )
    channels: int = Field(
        32, ge=1, le=1024, description="Width of the networks at the largest map, in channels; of dense ones times 8."
    )
    latent: int = Field(64, ge=1, le=1024, description="Length of the code.")
    levels: int = Field(
        1, ge=1, le=16, description="Levels of the code, each read in the light of those above it (ladder VAE)."
    )
    conditional: bool = Field(False, description="Learn the data's classes, so that one can be asked for.")
    likelihood: Literal[*LIKELIHOODS] = Field(  # type: ignore[valid-type]
        "gaussian",
        description="What a picture is given its code: black and white by chance, with Gaussian noise, or one of 256 "
        "levels.",
    )
    noise: float | None = Field(
        None, gt=0, le=1, description="Noise of the likelihood in units of the image range; learned if not given."
    )
    binarise: bool = Field(False, description="Draw grey pictures anew as black and white in every step.")
    penalty: Literal[*PENALTIES] = Field(  # type: ignore[valid-type]
        "kl",
        description="What keeps the codes together: KL (VAE), total correlation (beta-TC-VAE), KL and MMD (InfoVAE); "
        "for codes that are points, MMD (WAE), their squared length (RAE), or nothing.",
    )
    beta: float | None = Field(
        None,
        ge=0,
        description="Weight of the penalty; if not given, "
        + ", ".join(f"{row.weight:g} for {name}" for name, row in PENALTIES.items())
        + ".",
    )
    beta_warmup: int = Field(0, ge=0, description="Steps over which the weight rises from zero.")
    free_bits: float = Field(0.0, ge=0, description="Nats of KL a dimension that cost nothing.")
    importance: int = Field(1, ge=1, le=1000, description="Latents a picture in the importance-weighted bound (IWAE).")
    pseudo_inputs: int = Field(
        0, ge=0, le=10_000, description="Pictures learned to make up the prior (VampPrior); 0 for a normal one."
    )
    decoder_l2: float = Field(0.0, ge=0, description="Weight of the decoder's squared weights, times 1/2 (RAE-L2).")
    latent_gradient: float = Field(
        0.0, ge=0, description="Weight of ||dx/dz||^2 a pixel, an estimate of the decoder's squared Jacobian (RAE-GP)."
    )
    spectral_norm: bool = Field(False, description="Keep every layer of the decoder from stretching (RAE-SN).")
    perceptual: float = Field(
        0.0,
        ge=0,
        description="Weight, in nats a pixel, of how far a reconstruction looks from its picture to the network lite0.",
    )
    adversarial: float = Field(
        0.0, ge=0, description="Weight, in nats a pixel, of what a discriminator says of reconstructions (VAE-GAN)."
    )
    adversarial_loss: Literal[*ADVERSARIAL] = Field(  # type: ignore[valid-type]
        "hinge", description="Adversarial loss, of the scores of pictures and their reconstructions."
    )
    discriminator_rate: float | None = Field(None, gt=0, le=1, description=DISCRIMINATOR_RATE)

    def build(self, shape: PictureShape) -> VAE:
        """Return the autoencoder for pictures of this shape."""
        from pinxit.objectives.ladder import Ladder
        from pinxit.objectives.vae import VAE

        check_shape(shape, self.conditional)
        if self.binarise and (shape.channels != 1 or self.likelihood != "bernoulli"):
            raise UsageError("--binarise is for grey pictures and --likelihood bernoulli")
        if self.noise is not None and not LIKELIHOODS[self.likelihood].noisy:
            raise UsageError(f"--noise: the likelihood {self.likelihood} has none; --likelihood gaussian has")
        if self.free_bits and PENALTIES[self.penalty].posterior == "point":
            raise UsageError(f"--free-bits: the penalty {self.penalty} has no KL; --penalty kl has")
        if self.adversarial_loss == "wasserstein":
            raise UsageError(
                "--adversarial-loss wasserstein needs a discriminator that is held, and that of an autoencoder is not"
            )
        self._check_bounds()
        return (Ladder if self.levels > 1 else VAE)(self, shape)

    def sheet(self) -> str:
        """Return what the preview shows: reconstructions, and new pictures where codes have a prior."""
        if PENALTIES[self.penalty].posterior == "point":
            return super().sheet()
        return f"{super().sheet()}, and new ones from latents fixed at the start"

    def _check_bounds(self) -> None:
        """Raise if two settings ask for two bounds, or two priors, at once."""
        plain = self.penalty == "kl" and not self.free_bits
        if self.importance > 1 and not (plain and self.beta in (None, 1) and not self.beta_warmup):
            raise UsageError("--importance is a bound of its own: leave --penalty, --beta and --free-bits as they are")
        if self.importance > 1 and (self.perceptual or self.adversarial):
            raise UsageError("--importance is a bound of its own: leave --perceptual and --adversarial away")
        if self.pseudo_inputs and (not plain or self.conditional):
            raise UsageError("--pseudo-inputs needs --penalty kl, without --free-bits and --conditional")
        if self.levels > 1 and (self.penalty != "kl" or self.pseudo_inputs):
            raise UsageError("--levels has a prior of its own: it needs --penalty kl, without --pseudo-inputs")
        if self.latent < self.levels:
            raise UsageError(f"--levels {self.levels}: a code of --latent {self.latent} numbers has not so many")


class VQVAESettings(ObjectiveSettings):
    """An encoder to a map of quantised codes and a decoder back: the vector-quantised autoencoder."""

    noun: ClassVar[str] = "VQ-VAE"

    usual_prior = "transformer"

    channels: int = Field(32, ge=1, le=1024, description="Width of the networks at half the picture's side.")
    halvings: int = Field(2, ge=1, le=6, description="Times the picture's side is halved to become that of the map.")
    codes: int = Field(512, ge=2, le=65_536, description="Size of the codebook.")
    dimensions: int = Field(64, ge=1, le=1024, description="Length of the vector that a code stands for.")
    commitment: float = Field(0.25, ge=0, description="Weight of the encoder's squared distance from its codes.")
    decay: float = Field(0.99, gt=0, lt=1, description="Decay of the running averages that are the codebook, a step.")
    gradient: Literal["straight-through", "rotation"] = Field(
        "straight-through",
        description="How the gradient passes the codebook: as it is (van den Oord 2017), or turned and scaled as the "
        "output is to become its vector (Fifty 2024).",
    )

    def build(self, shape: PictureShape) -> VQVAE:
        """Return the autoencoder for pictures of this shape."""
        from pinxit.objectives.vq import VQVAE

        check_shape(shape, conditional=False)
        return VQVAE(self, shape)


class PriorSettings(ObjectiveSettings):
    """A distribution of a trained autoencoder's codes, from which `pinxit sample` then draws new pictures."""

    noun: ClassVar[str] = "prior over codes"

    network: Literal["auto", "flow", "two-stage", "transformer"] = Field(
        "auto",
        description="What is learned: a normalising flow (RealNVP) or a second, smaller VAE (Dai and Wipf 2019) over "
        "the codes of a vae, a transformer over those of a vq; auto takes the flow or the transformer.",
    )
    width: int = Field(192, ge=32, le=4096, description="Units of a hidden layer, or numbers of a transformer's state.")
    depth: int = Field(
        4, ge=1, le=64, description="Pairs of a flow's couplings, hidden layers, or blocks of a transformer."
    )
    conditional: bool = Field(False, description="Learn the data's classes, so that one can be asked for.")

    def build(self, shape: PictureShape) -> Prior:
        """Raise `UsageError`: a prior is built on an autoencoder."""
        raise UsageError("a prior is learned over the codes of a run: `pinxit train prior RUN`")

    def build_on(self, autoencoder: Autoencoder, classes: int) -> Prior:
        """Return the prior over the codes of a trained autoencoder, whose data have so many classes."""
        from pinxit.objectives.prior import PRIORS

        if self.conditional and classes < 2:
            raise DataError("--conditional needs classes, and the run's pictures have none")
        if self.network == "auto":
            raise UsageError("--network auto is for `pinxit train prior`, which knows the run; name the network")
        return PRIORS[self.network](self, autoencoder, classes)

    def sheet(self) -> str:
        """Return what the preview shows: new pictures."""
        return "new pictures, from draws fixed at the start"


def alternatives(text: str) -> tuple[Chain, ...]:
    """Return the chains of degradations in a text, which stand with ' or ' between them; none in an empty text."""
    return tuple(map(Chain.parse, text.split(" or "))) if text.strip() else ()


def _known(text: str) -> str:
    try:
        alternatives(text)
    except UsageError as error:
        raise ValueError(str(error)) from error
    return text


Degrade = Annotated[str, AfterValidator(_known)]
"""A field of chains of degradations, of which one is drawn for each picture; `alternatives` reads it."""


class RestorationSettings(ObjectiveSettings):
    """A network that undoes a degradation: noise, holes, blur, too few pixels, JPEG and what else spoils pictures."""

    noun: ClassVar[str] = "restorer"
    pictures: ClassVar[type[DataSettings]] = PatchSettings

    degrade: Degrade = Field(
        "noise(sigma=0..0.2)",
        description="What is to be undone, in the order in which it happens, as in 'blur(sigma=1) | jpeg(quality=30)'; "
        "with 'or' between them one of several, drawn for each picture; '' if the pictures are degraded already, which "
        "needs a --target without clean ones.",
    )
    target: Literal["clean", "noisy", "blind-spot", "neighbours"] = Field(
        "clean",
        description="What the network is to come near: the clean picture; or, where there is none, another draw of the "
        "noise (Noise2Noise), pixels hidden from it (Noise2Void), or their neighbours (Neighbor2Neighbor).",
    )
    loss: Literal[*RECONSTRUCTION] = Field(  # type: ignore[valid-type]
        "charbonnier", description="Loss of a value's error."
    )
    network: Literal["residual", "nafnet"] = Field(
        "residual", description="Blocks of the U-Net: pairs of 3 x 3 convolutions, or NAFNet's of gates."
    )
    channels: int = Field(32, ge=1, le=1024, description="Width of the network at the largest map, in channels.")
    levels: int = Field(
        3, ge=1, le=6, description="Sizes of maps in the network, each half as large and twice as wide."
    )
    blocks: int = Field(2, ge=1, le=64, description="Blocks of layers at each side of a level.")
    grey: float = Field(0.0, ge=0, le=1, description="Share of colour pictures that are learned from as grey ones.")
    told: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of pictures with which the network is told the noise's level; of the others it must see it.",
    )
    perceptual: float = Field(
        0.0, ge=0, description="Weight of how far a restored picture looks from the clean one to the network lite0."
    )
    adversarial: float = Field(
        0.0,
        ge=0,
        description="Weight of what a discriminator says of restored pictures; they become crisper, not truer.",
    )
    adversarial_loss: Literal[*ADVERSARIAL] = Field(  # type: ignore[valid-type]
        "relativistic", description="Adversarial loss, of the scores of clean pictures and restored ones."
    )
    discriminator_rate: float | None = Field(None, gt=0, le=1, description=DISCRIMINATOR_RATE)

    def build(self, shape: PictureShape) -> Restoration:
        """Return the objective for pictures of this shape."""
        from pinxit.objectives.restoration import Restoration

        check_opaque(shape)
        if self.adversarial:
            check_shape(shape, conditional=False)
        if self.target != "clean" and (self.perceptual or self.adversarial):
            raise UsageError(f"--target {self.target} has no clean pictures for --perceptual and --adversarial")
        if self.adversarial_loss == "wasserstein":
            raise UsageError(
                "--adversarial-loss wasserstein needs a discriminator that is held, and that of restoration is not"
            )
        if self.target in ("clean", "noisy") and not self.degrade.strip():
            raise UsageError(
                f"--target {self.target} needs --degrade; pictures as they are can be a --target neighbours"
            )
        return Restoration(self, shape)

    def sheet(self) -> str:
        """Return what the preview shows."""
        return "pictures as they are, as they are given to the network, and as it restores them"


class EnhancementSettings(ObjectiveSettings):
    """A curve that gives dark pictures their light back, by a network that sees how bright their pixels are."""

    noun: ClassVar[str] = "low-light enhancer"
    pictures: ClassVar[type[DataSettings]] = WholeSettings

    degrade: Degrade = Field(
        "dark(gain=0.1..0.3) | clip or dark(gain=0.1..1) | clip or dark(gain=1, read_noise=0)",
        description="What darkens pictures, with 'or' between several of which one is drawn for each; some should stay "
        "as they are, so that the network knows these.",
    )
    loss: Literal[*RECONSTRUCTION] = Field(  # type: ignore[valid-type]
        "charbonnier", description="Loss of a value's error."
    )
    width: int = Field(64, ge=1, le=1024, description="Units of a hidden layer.")
    depth: int = Field(2, ge=1, le=16, description="Hidden layers.")

    def build(self, shape: PictureShape) -> Enhancement:
        """Return the objective for pictures of this shape."""
        from pinxit.objectives.enhancement import Enhancement

        check_opaque(shape)
        if not self.degrade.strip():
            raise UsageError("--degrade: what darkens the pictures must be known, such as 'dark(gain=0.1..0.3)'")
        return Enhancement(self, shape)

    def sheet(self) -> str:
        """Return what the preview shows."""
        return "pictures as they are, as they are given to the network, and as its curve lightens them"


class StyleSettings(ObjectiveSettings):
    """A network that paints a picture in a style in one pass: in one style, or in any that it is shown.

    Unless asked otherwise it sees 4 pictures a step, and its step size goes down over the run.
    """

    noun: ClassVar[str] = "style transfer network"
    pictures: ClassVar[type[DataSettings]] = PaintedSettings
    training: ClassVar[Mapping[str, Any]] = {
        "batch_size": 4,
        "schedule": "cosine",
        "warmup": 50,
        "clip": 1.0,
        "average": 0.995,
    }

    learning_rate: float = Field(2e-3, gt=0, le=1, description=LEARNING_RATE)
    style: Place | None = Field(None, description="The picture whose style is learned.")
    any: bool = Field(False, description="Learn to paint in any style, by the pictures of --styles.")
    styles: Place | None = Field(None, description="Pictures of many styles, as DATA: a folder, a zip, an npz.")
    style_size: int = Field(
        256, ge=32, le=4096, description="Shorter side of the one style's picture in pixels, which decides on strokes."
    )
    style_weight: float = Field(5.0, ge=0, description="Weight of the style's distance; the content's is 1.")
    total_variation: float = Field(
        1.0, ge=0, description="Weight of the mean squared difference of neighbouring pixels."
    )

    def build(self, shape: PictureShape) -> OneStyle | AnyStyle:
        """Return the objective; the shape of pictures does not matter to it."""
        from pinxit.objectives.style import AnyStyle, OneStyle

        return AnyStyle(self) if self.any else OneStyle(self)

    def others(self) -> Path | None:
        """Return where the styles lie, if it is to be any; one style is a picture, and must be there."""
        if self.any:
            if self.styles is None or self.style is not None:
                raise UsageError("--any learns from many styles: --styles names their folder, and --style goes")
            return self.styles
        if self.style is None or self.styles is not None:
            raise UsageError("which style? --style names a picture; --any --styles a folder, to learn any")
        if not self.style.is_file():
            raise DataError(f"{self.style}: no such file, and --style names a picture")
        return None

    def sheet(self) -> str:
        """Return what the preview shows."""
        return "pictures, the styles, and the pictures painted in them" if self.any else "pictures, each painted"


def check_opaque(shape: PictureShape) -> None:
    """Raise `DataError` if pictures are transparent, for which degradations are not made."""
    if shape.channels == 4:
        raise DataError("restoration learns from pictures without transparency; lay these over a background first")


def check_shape(shape: PictureShape, conditional: bool) -> None:
    """Raise what must be said of pictures for which no networks can be built."""
    if not 16 <= shape.size <= 256:
        raise UsageError(f"--size {shape.size}: networks are built for 16 to 256 pixels a side")
    if conditional and shape.classes < 2:
        raise DataError("--conditional needs classes: put each class's pictures in a folder of its own")
