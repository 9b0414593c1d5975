"""Differentiable augmentation (Zhao et al., 2020): what a discriminator sees is changed at random, real and fake alike.

A discriminator of few pictures learns them by heart, but not if it rarely sees the same one. The generator does not
learn the changes, because real pictures and fakes have them alike. Gradients pass through them to the pictures.

Differs from the paper: pictures stay in [0, 1] without clipping, which would stop gradients. So colours move towards
black, white or grey, and never away from grey. Areas without picture are 0: black, or transparent with alpha. Each
change is made with a probability (Karras et al., 2020). The functions use only the tensors' own methods, so that
`pinxit train gan --help` lists the table without importing torch. A new augmentation is one row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from pinxit.data import Batch

SHIFT, CUT = 1 / 8, 1 / 2
"""The largest shift, and the sides of the area that is cut out, as shares of the picture's sides."""
BRIGHTNESS, CONTRAST = 1 / 2, 1 / 2
"""The largest share of the way to black or white, and to the picture's mean."""


@dataclass(frozen=True)
class Augmentation:
    """A change of pictures (N, C, H, W) by random numbers (N, `numbers`), uniform in [0, 1).

    `purpose`: what it does, as help says it.
    """

    numbers: int
    change: Callable[[Tensor, Tensor], Tensor]
    purpose: str


def augmented(image: Tensor, names: Collection[str], probability: float | Tensor, batch: Batch, stream: str) -> Tensor:
    """Return pictures (N, C, H, W) in [0, 1], each changed by each named augmentation with this probability.

    Row i draws from row i of the batch. At probability 0 nothing is done, as while an adaptive one is not needed.
    """
    if not names or float(probability) == 0:
        return image
    for name, augmentation in AUGMENTATIONS.items():
        if name in names:
            numbers = batch.uniform(1 + augmentation.numbers, stream=f"{stream} {name}")
            changed = augmentation.change(image, numbers[:, 1:])
            image = changed.where((numbers[:, 0] < probability)[:, None, None, None], image)
    return image


def recoloured(image: Tensor, numbers: Tensor) -> Tensor:
    """Return pictures of other brightness, saturation and contrast, in this order; alpha stays as it is.

    The three are linear in a pixel, the mean of its colours and the mean of the picture, and are taken in one step.
    """
    brightness, saturation, contrast = numbers.T[..., None, None, None]
    lightness = (brightness < 0.5).to(image.dtype)  # black or white
    faded, paler = (2 * brightness - 1).abs() * BRIGHTNESS, contrast * CONTRAST
    colours = image[:, :3]
    grey = colours.mean(1, keepdim=True)
    shift = (1 - faded) * paler * grey.mean((2, 3), keepdim=True) + faded * lightness
    kept = (1 - faded) * (1 - paler)
    changed = kept * saturation * colours + (kept * (1 - saturation) * grey + shift)
    return changed if image.shape[1] < 4 else image.slice_scatter(changed.to(image.dtype), dim=1, end=3)


def translated(image: Tensor, numbers: Tensor) -> Tensor:
    """Return pictures shifted by whole pixels; what comes in is 0."""
    (down, within_height), (across, within_width) = (
        _shifted(number, side) for number, side in zip(numbers.T, image.shape[2:], strict=True)
    )
    place = down[:, :, None] * image.shape[3] + across[:, None, :]
    moved = image.flatten(2).gather(2, place.flatten(1)[:, None].expand(-1, image.shape[1], -1)).view(image.shape)
    return moved * (within_height[:, :, None] & within_width[:, None, :])[:, None]


def cut_out(image: Tensor, numbers: Tensor) -> Tensor:
    """Return pictures with an area of half their sides set to 0; its centre is anywhere in the picture."""
    high, wide = (_cut(number, side) for number, side in zip(numbers.T, image.shape[2:], strict=True))
    return image * ~(high[:, :, None] & wide[:, None, :])[:, None]


AUGMENTATIONS: dict[str, Augmentation] = {
    "colour": Augmentation(3, recoloured, "brightness, saturation and contrast"),
    "translation": Augmentation(2, translated, "shifts by up to an eighth"),
    "cutout": Augmentation(2, cut_out, "an empty area of half the sides"),
}


def _shifted(number: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return where each of `side` pixels comes from after a random shift, (N, side), and whether that is inside."""
    most = round(side * SHIFT)
    source = _places(number, side) - ((2 * most + 1) * number[:, None]).floor() + most
    return source.clamp(0, side - 1).long(), (source >= 0) & (source < side)


def _cut(number: Tensor, side: int) -> Tensor:
    """Return which of `side` pixels are in an area of half as many at a random place, (N, side)."""
    size = round(side * CUT)
    start = (side * number[:, None]).floor() - size // 2
    places = _places(number, side)
    return (places >= start) & (places < start + size)


def _places(number: Tensor, side: int) -> Tensor:
    return number.new_ones(side).cumsum(0) - 1
