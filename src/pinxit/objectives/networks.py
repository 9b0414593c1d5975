"""The networks of GANs, autoencoders, classifiers and segmenters by name. Torch is imported only when one is built.

A new network is a file in `nets/` and a row here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from pinxit.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

    from pinxit.nets import dcgan, dense, projected, residual
    from pinxit.nets.projected import Own
    from pinxit.nets.shapes import PictureShape
    from pinxit.objectives.settings import ClassifySettings, GANSettings, SegmentSettings, VAESettings

    Discriminator = Own | projected.Discriminator | projected.Aided
    Pair = tuple[nn.Module, Own]
    Encoder = dcgan.Encoder | residual.Encoder | dense.Encoder

DENSE_PIXELS = 256 * 256
LARGEST_ATTENTION = 40
"""The largest side of a map that attends: the memory grows with the fourth power."""


def _dcgan_pair(settings: GANSettings, shape: PictureShape) -> Pair:
    from pinxit.nets import dcgan

    batch_norm = settings.discriminator_norm == "batch"
    generator = dcgan.Generator(
        shape, settings.latent, settings.channels, enlarge=settings.enlarge, attention=settings.attention
    )
    seen, crowd = _seen(settings, shape), settings.minibatch or "none"
    return generator, dcgan.Discriminator(seen, settings.channels, batch_norm, settings.attention, crowd)


def _residual_pair(settings: GANSettings, shape: PictureShape, skip: bool) -> Pair:
    from pinxit.nets import residual

    generator = residual.Generator(shape, settings.latent, settings.channels, skip, attention=settings.attention)
    seen, crowd = _seen(settings, shape), settings.minibatch or "none"
    return generator, residual.Discriminator(seen, settings.channels, skip, settings.attention, crowd)


def _dense_pair(settings: GANSettings, shape: PictureShape) -> Pair:
    from pinxit.nets import dense

    _check_dense(shape)
    generator = dense.Generator(shape, settings.latent, settings.channels)
    return generator, dense.Discriminator(_seen(settings, shape), settings.channels, settings.minibatch or "none")


def _style_pair(settings: GANSettings, shape: PictureShape) -> Pair:
    from pinxit.nets import style

    generator = style.Generator(shape, settings.latent, settings.channels, settings.attention)
    seen, crowd = _seen(settings, shape), settings.minibatch or "deviation"
    return generator, style.Discriminator(seen, settings.channels, attention=settings.attention, crowd=crowd)


def _seen(settings: GANSettings, shape: PictureShape) -> PictureShape:
    """Return the shape of what the discriminator scores: `packing` pictures stacked on channels."""
    return shape._replace(channels=settings.packing * shape.channels)


def _check_dense(shape: PictureShape) -> None:
    """Raise `UsageError` for pictures of more than `DENSE_PIXELS`: each unit has a weight for each of their pixels."""
    if shape.pixels > DENSE_PIXELS:
        raise UsageError(
            f"--size {shape.size}: --network dense supports pictures of at most {DENSE_PIXELS:,} pixels, such as "
            "256x256; the other networks support larger ones"
        )


GAN_NETWORKS: dict[str, Callable[[GANSettings, PictureShape], Pair]] = {
    # Generator and discriminator. Radford et al., 2016.
    "dcgan": _dcgan_pair,
    # Gulrajani et al., 2017.
    "residual": partial(_residual_pair, skip=True),
    # The same without skip connections.
    "plain": partial(_residual_pair, skip=False),
    # Goodfellow et al., 2014.
    "dense": _dense_pair,
    # Karras et al., 2020, with the discriminator of `residual`.
    "style": _style_pair,
}


def _check_attention(settings: GANSettings, shape: PictureShape) -> None:
    """Raise `UsageError` unless both networks have maps of the side at which to attend."""
    if not settings.attention:
        return
    from pinxit.nets.shapes import size_ladder

    if settings.network == "dense":
        raise UsageError("--attention: --network dense has no maps; the other networks have them")
    between = [min(size) for size in size_ladder(shape)[1:-1] if min(size) <= LARGEST_ATTENTION]
    if settings.attention not in between:
        raise UsageError(
            f"--attention {settings.attention}: for pictures of {shape.size} the maps that can attend have sides of "
            f"{' or '.join(map(str, between))}"
        )


def gan_pair(settings: GANSettings, shape: PictureShape) -> tuple[nn.Module, Discriminator]:
    """Return the generator and the discriminator that settings ask for."""
    _check_attention(settings, shape)
    generator, own = GAN_NETWORKS[settings.network](settings, shape)
    discriminator = _with_heads(settings.discriminator, own, shape)
    if settings.generator_norm == "virtual":
        from pinxit.nets.virtual import Virtual

        generator = Virtual(generator, settings.latent, shape.classes)
    if settings.discriminator_norm == "spectral":
        from pinxit.nets import spectral

        spectral.normalise(discriminator)
    return generator, discriminator


def _with_heads(asked: str, own: Own, shape: PictureShape) -> Discriminator:
    """Return the discriminator that was asked for: a network's own, projected heads, or both."""
    if asked == "own":
        return own
    from pinxit.nets import projected

    return projected.Aided(own, shape) if asked == "aided" else projected.Discriminator(shape)


class Coders(NamedTuple):
    """Builders: of encoder and decoder for a latent of some length, and of the discriminator of a VAE-GAN."""

    coders: Callable[[VAESettings, PictureShape, int], tuple[Encoder, nn.Module]]
    discriminator: Callable[[VAESettings, PictureShape], nn.Module]


def _convolutional_coders(settings: VAESettings, shape: PictureShape, latent: int) -> tuple[Encoder, nn.Module]:
    from pinxit.nets import dcgan

    encoder = dcgan.Encoder(shape, settings.channels)
    return encoder, dcgan.Decoder(shape, latent, settings.channels, batch_norm=False)


def _convolutional_discriminator(settings: VAESettings, shape: PictureShape) -> nn.Module:
    from pinxit.nets import dcgan

    return dcgan.Discriminator(shape, settings.channels, batch_norm=False)


def _residual_coders(settings: VAESettings, shape: PictureShape, latent: int) -> tuple[Encoder, nn.Module]:
    from pinxit.nets import residual

    encoder = residual.Encoder(shape, settings.channels).apply(residual.calm)
    return encoder, residual.Decoder(shape, latent, settings.channels, batch_norm=False).apply(residual.calm)


def _residual_discriminator(settings: VAESettings, shape: PictureShape) -> nn.Module:
    from pinxit.nets import residual

    return residual.Discriminator(shape, settings.channels)


def _dense_coders(settings: VAESettings, shape: PictureShape, latent: int) -> tuple[Encoder, nn.Module]:
    from pinxit.nets import dense

    _check_dense(shape)
    return dense.Encoder(shape, settings.channels), dense.Decoder(shape, latent, settings.channels)


def _dense_discriminator(settings: VAESettings, shape: PictureShape) -> nn.Module:
    from pinxit.nets import dense

    return dense.Discriminator(shape, settings.channels)


VAE_NETWORKS: dict[str, Coders] = {
    # The layers of DCGAN without batch normalisation.
    "convolutional": Coders(_convolutional_coders, _convolutional_discriminator),
    "residual": Coders(_residual_coders, _residual_discriminator),
    # Burda et al., 2016, appendix C.
    "dense": Coders(_dense_coders, _dense_discriminator),
}


def _lite0_classifier(settings: ClassifySettings, shape: PictureShape) -> nn.Module:
    from pinxit.nets import classifier

    return classifier.Pretrained(shape, settings.trained_blocks, settings.dropout)


def _residual_classifier(settings: ClassifySettings, shape: PictureShape) -> nn.Module:
    from pinxit.nets import classifier

    return classifier.Residual(shape, settings.channels, settings.dropout)


def _plain_classifier(settings: ClassifySettings, shape: PictureShape) -> nn.Module:
    from pinxit.nets import classifier

    return classifier.Classifier(shape)


CLASSIFIERS: dict[str, Callable[[ClassifySettings, PictureShape], nn.Module]] = {
    # He et al., 2016.
    "residual": _residual_classifier,
    # Tan and Le, 2019, with a new last layer.
    "lite0": _lite0_classifier,
    # Three convolutions and a linear layer.
    "plain": _plain_classifier,
}


def _lite0_segmenter(settings: SegmentSettings, shape: PictureShape) -> nn.Module:
    from pinxit.nets import segmenter

    return segmenter.Pretrained(shape, settings.channels, settings.trained_blocks)


def _unet_segmenter(settings: SegmentSettings, shape: PictureShape) -> nn.Module:
    from pinxit.nets import segmenter

    return segmenter.UNet(shape, settings.channels)


SEGMENTERS: dict[str, Callable[[SegmentSettings, PictureShape], nn.Module]] = {
    # Ronneberger et al., 2015, of residual blocks.
    "unet": _unet_segmenter,
    # Tan and Le, 2019, with a decoder.
    "lite0": _lite0_segmenter,
}
