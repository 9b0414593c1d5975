"""What a file says of its samples, and samples to pixels: understood exactly, or refused in one line by name."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

from pinxit.errors import DataError
from pinxit.images.picture import DARK, FLOAT_DEPTH, LAB, NO_PROFILE, PLAIN_CMYK, UNKNOWN_CHANNEL

ALPHA, PREMULTIPLIED, UNKNOWN = "alpha", "premultiplied alpha", "a channel of no stated meaning"

Read = tuple[np.ndarray, tuple[str, ...]]  # pixels, and remarks on what is lost
Convert = Callable[[np.ndarray, "Stored"], Read]


@dataclass(frozen=True)
class Stored:
    """What a file says of its samples.

    `photometric` is a row of `COLOURS`, or what the file says instead. `kind` is numpy's: u, i or f. `bits` of a sample
    use its whole range. `extra` names the channels after the colours. `profile` is the ICC profile. `palette` is
    (N, 3), uint8 or uint16.
    """

    photometric: str
    bits: int
    kind: str = "u"
    extra: tuple[str, ...] = ()
    profile: bytes | None = None
    palette: np.ndarray | None = None

    @property
    def mode(self) -> str:
        """Pillow's word for such pixels."""
        if self.photometric not in ("black is zero", "white is zero"):
            word = {"palette": "P", "CMYK": "CMYK", "L*a*b*": "LAB"}.get(self.photometric, "RGB")
            return word + "A" * (word in ("RGB", "P") and self.clear)
        deep = {"f": "F", "i": "I"}.get(self.kind, "I;16" if 8 < self.bits <= 16 else "L" if self.bits <= 8 else "I")
        return "LA" if self.clear else "1" if self.bits == 1 else deep

    @property
    def clear(self) -> bool:
        """Whether one of the channels says how opaque a pixel is."""
        return ALPHA in self.extra or PREMULTIPLIED in self.extra


def pixels_of(samples: np.ndarray, stored: Stored, name: str) -> Read:
    """Return stored samples (H, W, S) as (H, W, C) uint8 or uint16, C in {1, 3, 4}, and remarks on what is lost.

    `DataError` for what is not understood.
    """
    count, convert = colours_of(stored, name)
    if samples.shape[2] != count + len(stored.extra):
        said = count + len(stored.extra)
        raise DataError(f"{name}: holds {samples.shape[2]} channels, and its header says {said} ({stored.photometric})")
    whole, remarks = _whole(samples, stored, name)
    colours, told = convert(whole[..., :count], stored)
    remarks += told
    places = [place for place, what in enumerate(stored.extra) if what in (ALPHA, PREMULTIPLIED)]
    if len(stored.extra) > (1 if places else 0):
        remarks += (UNKNOWN_CHANNEL,)
    if not places:
        return colours, remarks
    alpha = _at_depth(whole[..., count + places[0], None], colours.dtype)
    colours = np.broadcast_to(colours, (*colours.shape[:2], 3))
    if stored.extra[places[0]] == PREMULTIPLIED:
        colours = _divided(colours, alpha)
    return np.concatenate([colours, alpha], axis=2), remarks


def colours_of(stored: Stored, name: str) -> tuple[int, Convert]:
    """Return how many channels the colours have and what converts them; `DataError` for what is not understood."""
    if stored.photometric not in COLOURS:
        raise DataError(f"{name}: its colours are {stored.photometric}, which pinxit does not read; RGB and grey work")
    understood = {
        "L*a*b*": stored.kind == "u" and stored.bits == 8,
        "palette": stored.kind == "u" and stored.bits <= 16,
    }.get(stored.photometric, stored.kind != "i" or stored.bits >= 16)
    if not understood:
        signed = {"i": "signed ", "f": "float "}.get(stored.kind, "")
        works = "8 bits work" if stored.photometric == "L*a*b*" else "unsigned 8 or 16 bits work"
        raise DataError(f"{name}: {stored.photometric} of {signed}{stored.bits} bits is not read; {works}")
    return COLOURS[stored.photometric]


def cmyk_to_rgb(samples: np.ndarray, profile: bytes | None) -> Read:
    """Return CMYK (H, W, 4) uint8 or uint16, 0 for no ink, as RGB: through its profile, else by the plain formula."""
    converted = _through_profile(samples, profile) if profile else None
    if converted is not None:
        return converted, ()
    remark = NO_PROFILE if profile else PLAIN_CMYK
    if samples.dtype == np.uint8:
        return np.asarray(_cmyk(samples).convert("RGB")), (remark,)
    light = 65535 - samples.astype(np.float32)
    return np.rint(light[..., :3] * (light[..., 3:] / 65535)).astype(np.uint16), (remark,)


def _through_profile(samples: np.ndarray, profile: bytes) -> np.ndarray | None:
    """Return CMYK as sRGB by its own profile, None if that does not fit."""
    srgb = ImageCms.createProfile("sRGB")
    try:
        if samples.dtype == np.uint8:
            source, image = ImageCms.ImageCmsProfile(io.BytesIO(profile)), _cmyk(samples)
            converted = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
            return None if converted is None else np.asarray(converted)
        import imagecodecs

        target = ImageCms.ImageCmsProfile(srgb).tobytes()
        if profile[16:20] != b"CMYK":
            return None
        deep: np.ndarray = imagecodecs.cms_transform(samples, profile, target, colorspace="cmyk", outcolorspace="rgb")
        return deep
    except (ImageCms.PyCMSError, OSError, RuntimeError, ValueError):
        return None


def _cmyk(samples: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(samples), "CMYK")


def _as_stored(samples: np.ndarray, stored: Stored) -> Read:
    return samples, ()


def _negative(samples: np.ndarray, stored: Stored) -> Read:
    return np.iinfo(samples.dtype).max - samples, ()


def _palette(samples: np.ndarray, stored: Stored) -> Read:
    if stored.palette is None:
        raise ValueError("the palette is missing")
    return stored.palette[samples[..., 0]], ()


def _lab(samples: np.ndarray, stored: Stored) -> Read:
    """CIE L*a*b* of 8 bits, of which a* and b* are signed (TIFF 6, section 23), as sRGB."""
    image = Image.fromarray(np.ascontiguousarray(samples), "LAB")
    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return np.asarray(ImageCms.profileToProfile(image, *profiles, outputMode="RGB")), (LAB,)


COLOURS: dict[str, tuple[int, Convert]] = {
    "black is zero": (1, _as_stored),
    "white is zero": (1, _negative),
    "RGB": (3, _as_stored),
    "palette": (1, _palette),
    "CMYK": (4, lambda samples, stored: cmyk_to_rgb(samples, stored.profile)),
    "L*a*b*": (3, _lab),
}


def _whole(samples: np.ndarray, stored: Stored, name: str) -> Read:
    """Return samples as uint8 or uint16 that use the whole range; the numbers of a palette as they are."""
    if stored.photometric == "palette":
        alpha, _ = _scaled(samples[..., 1:], stored.bits)
        return np.concatenate([samples[..., :1].astype(alpha.dtype), alpha], axis=2), ()
    if stored.kind == "u" and stored.bits <= 16:
        return _scaled(samples, stored.bits)
    top = 1 if stored.kind == "f" else 65535
    if not (samples.min() >= 0 and samples.max() <= top):
        raise DataError(f"{name}: {samples.dtype} pixels outside 0 to {top}; scale them or save 16-bit grey")
    if top == 1:
        return np.rint(samples.astype(np.float64) * 65535).astype(np.uint16), (FLOAT_DEPTH,)
    return samples.astype(np.uint16), ()


def _scaled(samples: np.ndarray, bits: int) -> Read:
    dtype, most = (np.uint8, 255) if bits <= 8 else (np.uint16, 65535)
    if bits in (8, 16):
        dark = bits == 16 and samples.size > 0 and 0 < samples.max() < 4096
        return samples.astype(dtype, copy=False), (DARK,) * bool(dark)
    levels = np.rint(np.arange(2**bits) * (most / (2**bits - 1))).astype(dtype)
    return levels[np.minimum(samples, 2**bits - 1)], ()


def _at_depth(samples: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if samples.dtype == dtype:
        return samples
    return (samples // 257).astype(dtype) if dtype == np.uint8 else samples.astype(dtype) * 257


def _divided(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return premultiplied colours divided by their alpha; black where nothing is seen."""
    top = np.iinfo(colours.dtype).max
    values = colours.astype(np.float64) * top / np.maximum(alpha, 1)
    return np.rint(values.clip(0, top)).astype(colours.dtype) * (alpha > 0)
