"""Pictures compressed to an autoencoder's codes in a small file (.pxc), and decompressed.

Discrete codes are whole numbers below K. Each is written in ceil(log2 K) bits, with a row of bytes per picture.

Other codes are posterior means. Each dimension is rounded to a step in proportion to its posterior's standard
deviation. At a step of sqrt(12) deviations rounding errs as much as the posterior does, and the whole numbers have
about as many bits as the rate. A dimension without information is rounded to 0 in every picture. The whole numbers are
written dimension by dimension, in planes of bytes, through LZMA without contexts, which is an adaptive arithmetic code.

The file is safetensors with JSON metadata (`About`). Equal pictures give equal bytes.
"""

from __future__ import annotations

import hashlib
import lzma
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pinxit.errors import DataError, UsageError, UserError
from pinxit.files import LARGEST_JSON, open_plain
from pinxit.images.convert import to_float, to_uint8
from pinxit.latents.coding import ModelPictures
from pinxit.latents.sampling import AT_ONCE, COPIES, GenerativeModel, check_room
from pinxit.metrics.paired import reported_psnr
from pinxit.progress import track
from pinxit.tensors import write_tensors

USUAL_STEP = 1.0
POINT = 1 / 32
"""The posterior deviation assumed for codes that are points, as a share of the codes' own deviation."""
LARGEST = 2**30
BYTES_A_CODE = 32
"""Memory that a whole number takes while it is read: four planes, their sum and its copies."""
PLANES = np.array([0, 8, 16, 24])[:, None, None]
LZMA = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 0, "pb": 0}]


@dataclass(frozen=True)
class Coded:
    """Pictures as whole numbers: latents are `numbers` (N, P) int64 times `steps` (P,), which are 1 for discrete codes.

    `labels` (N,) are the pictures' classes if the model is conditional.
    """

    names: list[str]
    numbers: Tensor
    steps: Tensor
    labels: Tensor | None = None


class About(BaseModel, frozen=True, extra="forbid"):
    """The metadata of a .pxc: its pictures' `shape` (N, H, W, C), and the SHA-256 of the rest of the file."""

    format: Literal[1] = 1
    weights: str
    shape: tuple[int, int, int, int]
    names: tuple[str, ...]
    sha256: str = ""


def compress(model: GenerativeModel, pictures: ModelPictures, step: float | None = None) -> Coded:
    """Return pictures as whole numbers; a picture's numbers depend on it and the model alone.

    `step` is the rounding step in standard deviations of the posterior, by default 1. Raises `UsageError` if the run
    has no encoder, or if `step` is given for discrete codes.
    """
    discrete = model.objective.codebook_size > 0
    if discrete and step is not None:
        raise UsageError("--step: the codes of this run are whole numbers already; leave it out")
    codes = torch.cat([model.encode(one.image, one.label) for one in pictures.alone("coding")])
    if discrete:
        return Coded(pictures.names, codes, torch.ones_like(codes[0]))
    steps = (USUAL_STEP if step is None else step) * deviations(model)
    numbers = (codes / steps).round()
    if not (numbers.abs() < LARGEST).all():
        raise DataError("the codes are not finite, or too large for their step; a larger --step may help")
    return Coded(pictures.names, numbers.long(), steps, pictures.labels)


def decompress(model: GenerativeModel, coded: Coded) -> np.ndarray:
    """Return the pictures (N, H, W, C) uint8 of codes, each decoded by itself."""
    latents = coded.numbers * coded.steps
    labels = [None] * len(latents) if coded.labels is None else coded.labels.split(1)
    rows = track(zip(latents.split(1), labels, strict=True), "decoding", len(latents))
    with torch.no_grad():
        return np.concatenate([to_uint8(model.objective.sample(latent, label)) for latent, label in rows])


def deviations(model: GenerativeModel) -> Tensor:
    """Return the posterior's standard deviation of each dimension of a code, (latent,): the root of its mean variance.

    The mean is over 64 pictures that the model samples, so it is a property of the run. For codes that are points it is
    one thirty-second of the codes' own deviation, the same for all dimensions.
    """
    if not model.autoencoder.gaussian:
        _, deviation = model.samplers[model.sampler].moments()
        return POINT * deviation.square().mean().sqrt().expand_as(deviation)
    labels = model.labels(AT_ONCE)
    with torch.no_grad():
        drawn = model.objective.sample(model.latents(AT_ONCE, labels=labels), labels)
        _, log_variance = model.autoencoder.posterior(drawn, labels)
    return log_variance.exp().mean(0).sqrt()


def save_compressed(path: Path, model: GenerativeModel, pictures: ModelPictures, coded: Coded) -> dict[str, Any]:
    """Write the codes of pictures to `path`, whole or not at all, and return a summary.

    `bits_per_pixel` counts the codes alone, at the model's size, and `bytes` the whole file. `psnr` in dB is the mean
    over pictures, each against its 8-bit reconstruction.
    """
    tensors = _written(model, coded)
    about = About(weights=model.sha256, shape=_shape(model, len(coded.names)), names=tuple(coded.names))
    signed = about.model_copy(update={"sha256": _digest(about, tensors)})
    write_tensors(path, tensors, signed.model_dump_json())
    return {
        "pictures": len(coded.names),
        "bits_per_pixel": 8 * tensors["codes"].numel() / math.prod(about.shape[:3]),
        "bytes": path.stat().st_size,
        "psnr": reported_psnr(to_float(decompress(model, coded)), pictures.images).mean().item(),
    }


def load_compressed(path: Path, model: GenerativeModel) -> Coded:
    """Return the codes in a .pxc file that a model wrote.

    Raises `DataError` if the file is not one, is damaged, or was made by another run; `MemoryLimitError` if its
    pictures do not fit into the memory. What it claims is compared before memory is taken.
    """
    open_plain(path).close()  # a folder or a pipe is named as such
    try:
        with safe_open(path, "pt") as file:
            written = (file.metadata() or {}).get("pinxit", "")
            if len(written) > LARGEST_JSON:
                raise DataError(f"metadata of {len(written):,} bytes; at most {LARGEST_JSON:,} are read")
            about = About.model_validate_json(written)
            _check_claims(about, model, set(file.keys()))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    except UserError as error:
        raise type(error)(f"{path}: {error}") from error
    except (SafetensorError, ValueError) as error:
        raise DataError(f"{path}: not a whole .pxc file of this version of pinxit") from error
    if about.sha256 != _digest(about, tensors):
        raise DataError(f"{path}: damaged: its SHA-256 does not match; compress the pictures again")
    try:
        return _read(model, list(about.names), tensors)
    except (ValueError, KeyError, lzma.LZMAError) as error:
        raise DataError(f"{path}: holds no codes of this run ({error})") from error


def _check_claims(about: About, model: GenerativeModel, tensors: set[str]) -> None:
    """Raise `DataError` or `MemoryLimitError` if a file's metadata and the names of its tensors do not fit a model."""
    if about.weights != model.sha256:
        raise DataError("made by another run, or by this one before it was trained further")
    if not about.names or about.shape != _shape(model, len(about.names)):
        raise DataError(f"holds no codes of this run ({len(about.names)} names, and pictures of shape {about.shape})")
    if any("\0" in name for name in about.names):
        raise DataError("holds no codes of this run (a name with a NUL in it)")
    expected = {"codes"} if model.objective.codebook_size else {"codes", "steps"}
    if tensors != expected:
        raise DataError(f"holds no codes of this run (tensors {sorted(tensors)} instead of {sorted(expected)})")
    shape = model.objective.shape
    codes = math.ceil(BYTES_A_CODE * (model.objective.latent + 1) / (shape.pixels * shape.channels))
    check_room(len(about.names), shape, COPIES + codes, "compress a large set in several files")


def pack_bits(numbers: Tensor, bits: int) -> Tensor:
    """Return whole numbers (N, P) below 2^bits as uint8 (N, ceil(P bits / 8)), the highest bit of each first."""
    places = np.arange(bits)[::-1]
    digits = (numbers.numpy()[..., None] >> places & 1).astype(np.uint8)
    return torch.from_numpy(np.packbits(digits.reshape(len(numbers), -1), axis=1))


def unpack_bits(rows: Tensor, numbers: int, bits: int) -> Tensor:
    """Return the (N, numbers) int64 that `pack_bits` packed into uint8 `rows`."""
    digits = np.unpackbits(rows.numpy(), axis=1, count=numbers * bits).reshape(len(rows), numbers, bits)
    return torch.from_numpy(digits @ (1 << np.arange(bits)[::-1]))


def squeeze(numbers: Tensor) -> Tensor:
    """Return whole numbers (N, P) between -2^30 and 2^30 as few bytes, (n,) uint8.

    They are folded (0, -1, 1, -2, ... to 0, 1, 2, 3, ...) and stored dimension by dimension in four planes of bytes,
    the lowest first. What does not vary then becomes a run of zeros.
    """
    folded = torch.where(numbers < 0, -2 * numbers - 1, 2 * numbers).numpy().T
    planes = (folded >> PLANES & 255).astype(np.uint8)
    content = lzma.compress(planes.tobytes(), format=lzma.FORMAT_RAW, filters=LZMA)
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy())


def unsqueeze(content: Tensor, pictures: int, numbers: int) -> Tensor:
    """Return the (pictures, numbers) int64 that `squeeze` packed; `ValueError` or `LZMAError` if malformed."""
    length = len(PLANES) * numbers * pictures
    stream = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=LZMA)
    found = stream.decompress(content.numpy().tobytes(), max_length=length + 1)
    if len(found) != length or not stream.eof or stream.unused_data:
        raise ValueError("another number of codes than there are pictures")
    planes = np.frombuffer(found, np.uint8).reshape(len(PLANES), numbers, pictures).astype(np.int64)
    folded = (planes << PLANES).sum(0).T
    return torch.from_numpy(np.where(folded % 2, -(folded + 1) // 2, folded // 2))


def _written(model: GenerativeModel, coded: Coded) -> dict[str, Tensor]:
    """Return a file's tensors for codes; a picture's class is one more number."""
    if known := model.objective.codebook_size:
        return {"codes": pack_bits(coded.numbers, _bits(known))}
    numbers = coded.numbers if coded.labels is None else torch.column_stack([coded.numbers, coded.labels])
    return {"codes": squeeze(numbers), "steps": coded.steps}


def _read(model: GenerativeModel, names: list[str], tensors: Mapping[str, Tensor]) -> Coded:
    """Return the codes in a file; raises `ValueError`, `KeyError` or `LZMAError` if they do not fit the model."""
    latent, classes, codes = model.objective.latent, model.objective.shape.classes, tensors["codes"]
    if known := model.objective.codebook_size:
        bits = _bits(known)
        _check(codes, torch.uint8, (len(names), math.ceil(latent * bits / 8)))
        numbers = unpack_bits(codes, latent, bits)
        if numbers.max() >= known:
            raise ValueError(f"code {numbers.max()} of a codebook of {known}")
        return Coded(names, numbers, torch.ones_like(numbers[0]))
    _check(codes, torch.uint8, (codes.numel(),))
    _check(tensors["steps"], torch.float32, (latent,))
    numbers = unsqueeze(codes, len(names), latent + bool(classes))
    if not (numbers[:, :latent] * tensors["steps"]).isfinite().all():
        raise ValueError("numbers and steps whose products are not finite")
    if not classes:
        return Coded(names, numbers, tensors["steps"])
    labels = numbers[:, -1]
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"classes from {labels.min()} to {labels.max()}, of {classes}")
    return Coded(names, numbers[:, :-1], tensors["steps"], labels)


def _check(tensor: Tensor, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    if tensor.dtype != dtype or tensor.shape != shape:
        raise ValueError(f"{tensor.dtype} {tuple(tensor.shape)} instead of {dtype} {shape}")


def _bits(codes: int) -> int:
    """Return ceil(log2(codes)), the number of bits that can hold any code."""
    return (codes - 1).bit_length()


def _shape(model: GenerativeModel, count: int) -> tuple[int, int, int, int]:
    shape = model.objective.shape
    return count, *shape.sides, shape.channels


def _digest(about: About, tensors: Mapping[str, Tensor]) -> str:
    unsigned = about.model_copy(update={"sha256": ""}).model_dump_json().encode()
    content = (tensors[name].flatten().view(torch.uint8).numpy().tobytes() for name in sorted(tensors))
    return hashlib.sha256(unsigned + b"".join(content)).hexdigest()
