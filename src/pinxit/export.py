"""Trained models as ONNX files that run without torch: the one door, `export`, and what goes through it (`EXPORTS`).

A file holds everything from pixels to pixels, or from latents to pixels; its axes are free, its metadata say what it
is and how large pictures are cut for it (`pinxit.runtime.Model`). It is compared with PyTorch in float32 before it is
there: a file that computes anything else is not written.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit import __version__, models
from pinxit.codes.sampling import load
from pinxit.errors import OurFaultError, UsageError
from pinxit.files import cache_folder, sha256, whole_file
from pinxit.images import load_image
from pinxit.images.convert import to_float
from pinxit.models import Model, find
from pinxit.nets.curve import SIDE, lightened
from pinxit.nets.peak import Peak
from pinxit.nets.stylizer import AnyStyle, TransformNet
from pinxit.objectives.enhancement import Enhancement
from pinxit.objectives.objective import Autoencoder
from pinxit.objectives.restoration import Inputs, Restoration
from pinxit.objectives.style import OneStyle, style_encoder
from pinxit.progress import say
from pinxit.runtime import session
from pinxit.settings import BASE_NAMES
from pinxit.training.run import RECIPE, WEIGHTS

Precision = Literal["float32", "fp16", "int8"]
OPSET = 20
TOLERANCE = 1e-3
"""The largest difference to PyTorch, in units of the image range, that a float32 file may have."""
SIZES = ((37, 45), (64, 80), (97, 61))
"""Of the pictures that are made up for the comparison."""
CHECKED_SIDE = 512
"""Of real pictures the middle is compared, at most so many pixels wide and high."""
TRIAL = 64
FITTED, FITTED_SIDE = 32, 128
"""Numbers of 8 bits are fitted to so many inputs, of pictures to a corner of so many pixels, for all are kept."""
HELD_ONE, HELD_ANY = 2.1, 1.1
"""Times what torch holds of whole pictures, measured: what onnxruntime does, of networks of one style and of any."""
FEW = 256
"""Arrays of fewer numbers stay float32 in every file."""
TOLD, STRENGTH, DRAWN = 0.1, 0.7, 16
"""What is tried: noise of this standard deviation is told, styles have this strength, so many latents are drawn."""


@dataclass(frozen=True)
class Portable:
    """A model as it is to be exported: a network of named arrays, what it is tried on, and the file's metadata.

    `network` gives pictures (N, H, W, C) in [0, 1]. `trials` are inputs by name, the first of which is traced; `free`
    says which of their axes have any length.
    """

    network: nn.Module
    trials: list[dict[str, Tensor]]
    free: dict[str, tuple[int, ...]]
    metadata: dict[str, str]


class Restoring(nn.Module):
    """A restorer of pictures (N, H, W, C), with holes (N, H, W, 1) and the noise's level () where it knows them."""

    def __init__(self, objective: Restoration) -> None:
        super().__init__()
        self.objective, self.networks = objective, objective.networks

    def forward(self, image: Tensor, mask: Tensor | None = None, sigma: Tensor | None = None) -> Tensor:
        """Return pictures (N, scale H, scale W, C) in [0, 1]."""
        rows = image.movedim(3, 1)
        holes = None if mask is None else mask.movedim(3, 1)
        level = rows.new_zeros(len(rows)) if sigma is None else sigma.expand(len(rows))
        restored = self.objective.apply(Inputs(rows, self.objective.planes(rows, holes, level), holes))
        return restored.clamp(0, 1).movedim(1, 3)


class Lightening(nn.Module):
    """A curve's network with what lightens pictures (N, H, W, C) by it."""

    def __init__(self, objective: Enhancement) -> None:
        super().__init__()
        self.curve = objective.curve

    def forward(self, image: Tensor) -> Tensor:
        """Return pictures of the same size in [0, 1]."""
        rows = image.movedim(3, 1)
        small = averaging(rows.shape[2]) @ rows @ averaging(rows.shape[3]).mT
        return lightened(rows, self.curve(small)).clamp(0, 1).movedim(1, 3)


class Painting(nn.Module):
    """Pictures (N, H, W, 3) in the one style that a network has learned."""

    def __init__(self, painter: TransformNet) -> None:
        super().__init__()
        self.painter = painter

    def forward(self, image: Tensor) -> Tensor:
        """Return pictures of the same size in [0, 1]."""
        painted: Tensor = self.painter(image.movedim(3, 1))
        return painted.clamp(0, 1).movedim(1, 3)


class PaintingAny(nn.Module):
    """Pictures (N, H, W, 3) in the styles of others (N, h, w, 3), at a strength () in [0, 1]."""

    def __init__(self, network: AnyStyle) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, style: Tensor, strength: Tensor) -> Tensor:
        """Return pictures of the same size in [0, 1]."""
        painted: Tensor = self.network(image.movedim(3, 1), style.movedim(3, 1), strength)
        return painted.clamp(0, 1).movedim(1, 3)


class Drawing(nn.Module):
    """What makes pictures of latents (N, latent), and of labels (N,) where there are classes."""

    def __init__(self, objective: Any) -> None:
        super().__init__()
        self.objective, self.networks = objective, objective.networks

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Return pictures (N, H, W, C) in [0, 1]."""
        pictures: Tensor = self.objective.sample(latent, label)
        return pictures.movedim(1, 3)


def averaging(length: int) -> Tensor:
    """Return the matrix (SIDE, length) by which `averaged` takes means: ONNX has no such pooling of any length."""
    row, place = torch.arange(SIDE)[:, None], torch.arange(length)
    start, stop = row * length // SIDE, ((row + 1) * length + SIDE - 1) // SIDE
    return ((place >= start) & (place < stop)).float() / (stop - start)


def restoring(model: Model, pictures: Sequence[np.ndarray]) -> Portable:
    """Return a run of `pinxit train restore`, or its weights."""
    objective = cast(Restoration, model.objective)
    given = [{"image": row} for row in _as_rows(pictures, objective.shape.channels)]
    for trial in given:
        high, wide = trial["image"].shape[1:3]
        if objective.holes:
            trial["mask"] = torch.zeros(1, high, wide, 1)
            trial["mask"][:, high // 4 : high // 2, wide // 4 : wide // 2] = 1
        if objective.settings.told:
            trial["sigma"] = torch.tensor(TOLD)
    return _of_pictures(Restoring(objective), given, objective.radius, objective.stride, objective.scale)


def lightening(model: Model, pictures: Sequence[np.ndarray]) -> Portable:
    """Return a run of `pinxit train enhance`, or its weights: the curve alone, without the denoiser after it."""
    given = [{"image": row} for row in _as_rows(pictures, 3)]
    return _of_pictures(Lightening(cast(Enhancement, model.objective)), given, None, 1, 1)


def painting(model: Model, pictures: Sequence[np.ndarray]) -> Portable:
    """Return a run of `pinxit train style`, or its weights; with any style, the frozen encoder is in the file."""
    objective = model.objective
    rows = _as_rows(pictures, 3)
    if isinstance(objective, OneStyle):
        return _of_pictures(Painting(objective.painter), [{"image": row} for row in rows], None, 1, 1, HELD_ONE)
    network = AnyStyle(style_encoder(torch.device("cpu")), cast(Any, objective).decoder)
    given = [
        {"image": row, "style": style, "strength": torch.tensor(STRENGTH)}
        for row, style in zip(rows, [*rows[1:], rows[0]], strict=True)
    ]
    return _of_pictures(PaintingAny(network), given, None, 1, 1, HELD_ANY)


def drawing(model: Model, pictures: Sequence[np.ndarray]) -> Portable:
    """Return what makes pictures of latents, of the folder of a run; real pictures have no part in it."""
    if model.place.name != WEIGHTS or not (model.place.parent / RECIPE).is_file():
        raise UsageError(f"{model.place}: give the folder of the run, which holds the samplers too")
    sampling = load(model.place.parent)
    labels = sampling.labels(DRAWN)
    if isinstance(sampling.objective, Autoencoder) and sampling.objective.discrete and not sampling.samplers:
        latents = torch.arange(DRAWN * sampling.objective.latent).view(DRAWN, -1)
        trial = {"latent": latents % sampling.objective.codebook_size}
    else:
        trial = {"latent": sampling.latents(DRAWN, labels=labels)}
    if labels is not None and sampling.objective.shape.classes:
        trial["label"] = labels
    metadata = {"channels": str(sampling.recipe.data.channels), "classes": json.dumps(sampling.recipe.data.classes)}
    return Portable(Drawing(sampling.objective), [trial], dict.fromkeys(trial, (0,)), metadata)


EXPORTS: dict[str, Callable[[Model, Sequence[np.ndarray]], Portable]] = {
    # What `pinxit train NAME` makes. A model from pictures to pictures has the input `image`, and the runtime runs it.
    "restore": restoring,
    "enhance": lightening,
    "style": painting,
    # Latents to pictures.
    "gan": drawing,
    "vae": drawing,
    "vq": drawing,
}


def export(
    source: str | Path, out: Path, *, precision: Precision = "float32", pictures: Sequence[Path] = ()
) -> dict[str, Any]:
    """Write a run, a file of its weights, or a network that comes with pinxit as an ONNX file; return what is known.

    `precision`: float32; fp16, which halves the file, its weights being kept so and computed with in float32; int8,
    whose convolutions compute so. They are fitted to and the file compared with PyTorch on made-up pictures and on
    `pictures`. Keys: `largest_difference` from PyTorch in float32, in units of the image range, and `psnr` by it, in
    decibels; `inputs` with both for each; `bytes`; `metadata`. `UsageError` if the model or this installation has no
    way to such a file, `DataError` if there is no model, `OurFaultError` if a float32 file departs by `TOLERANCE`.
    """
    for needed in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(needed) is None:
            raise UsageError(f"{needed} is missing; `pip install 'pinxit[export]'` brings it")
    portable = portable_of(source, [made_up(size, seed) for seed, size in enumerate(SIZES)] + [*map(_middle, pictures)])
    portable.metadata["precision"] = precision
    with whole_file(out) as temporary:
        temporary.write_bytes(_described(PRECISIONS[precision](_traced(portable), portable), portable))
        inputs = compared(temporary, portable)
        largest = max(one["largest_difference"] for one in inputs)
        if precision == "float32" and not largest <= TOLERANCE:
            raise OurFaultError(
                f"{source}: the exported model departs from PyTorch's by {largest:.2g}; nothing is kept"
            )
    return {
        "file": str(out), "bytes": out.stat().st_size, "largest_difference": largest,
        "psnr": float(np.mean([one["psnr"] for one in inputs])), "inputs": inputs, "metadata": portable.metadata,
    }  # fmt: skip


def kept(place: Path) -> Path:
    """Return the float32 file of a run or of its weights in the cache folder, exported now if it is not there.

    It is kept by the weights' SHA-256 and pinxit's version, for the same numbers are not the same network in another.
    """
    folder = cache_folder() / "exported" / f"{__version__}-float32" / sha256(find(place))
    file = folder / f"{place.stem}.onnx"
    if not file.is_file():
        say(f"{place.stem}: exported for onnxruntime, once, as {file}")
        export(place, file)
    return file


def portable_of(source: str | Path, pictures: Sequence[np.ndarray]) -> Portable:
    """Return a model as it is to be exported, to be tried on pictures (H, W, C) float32 in [0, 1].

    `UsageError` if models of its kind cannot be exported.
    """
    model = models.load(source)
    if model.kind not in EXPORTS:
        raise UsageError(
            f"{source}: models of `pinxit train {model.kind}` cannot be exported; those of {', '.join(EXPORTS)} can"
        )
    portable = EXPORTS[model.kind](model, pictures)
    about = {
        "pinxit": __version__, "objective": model.kind, "weights": model.sha256,
        "settings": json.dumps(model.settings.model_dump(mode="json", context=BASE_NAMES)),
    }  # fmt: skip
    if model.ships:
        about |= {"name": model.name, "licence": "Apache-2.0"}
    portable.network.eval().requires_grad_(False)
    return replace(portable, metadata=about | portable.metadata)


def compared(file: Path, portable: Portable) -> list[dict[str, Any]]:
    """Return for each trial the `size` of its pictures, the largest difference of file and network, and PSNR."""
    running, found = session(file), []
    for trial in portable.trials:
        (made,) = running.run(None, {name: value.numpy() for name, value in trial.items()})
        with torch.no_grad():
            difference = np.abs(made - portable.network(**trial).numpy())
        psnr = -10 * np.log10(max(float(np.mean(np.square(difference, dtype=np.float64))), 1e-10))
        found.append(
            {"size": list(made.shape[1:3]), "largest_difference": float(difference.max()), "psnr": float(psnr)}
        )
    return found


def made_up(size: tuple[int, int], seed: int) -> np.ndarray:
    """Return a picture (H, W, 3) float32 in [0, 1] of soft blotches under a little noise."""
    rng = torch.Generator().manual_seed(seed)
    blotches = F.interpolate(
        torch.rand(1, 3, size[0] // 12 + 1, size[1] // 12 + 1, generator=rng), size, mode="bilinear"
    )
    noisy = blotches[0] + 0.03 * torch.randn(3, *size, generator=rng)
    return noisy.clamp(0, 1).permute(1, 2, 0).numpy()


def _middle(path: Path) -> np.ndarray:
    pixels = load_image(path)[..., :3]
    top, left = (max(0, side - CHECKED_SIDE) // 2 for side in pixels.shape[:2])
    middle = pixels[top : top + CHECKED_SIDE, left : left + CHECKED_SIDE].copy()
    return to_float(middle[None])[0].permute(1, 2, 0).numpy()


def _as_rows(pictures: Sequence[np.ndarray], channels: int) -> list[Tensor]:
    """Return pictures (H, W, 1 or 3) as (1, H, W, channels), grey by the mean."""
    means = [
        torch.from_numpy(pixels).mean(2, keepdim=True) if channels == 1 else torch.from_numpy(pixels)
        for pixels in pictures
    ]
    return [pixels.expand(-1, -1, channels)[None].contiguous() for pixels in means]


def _of_pictures(
    network: nn.Module,
    trials: list[dict[str, Tensor]],
    radius: int | None,
    stride: int,
    scale: int,
    held: float = 1.0,
) -> Portable:
    """Return a model from pictures to pictures, and what the runtime must know to cut large ones.

    `held` is how many times what torch holds of a picture the runtime does.
    """
    free: dict[str, tuple[int, ...]] = {name: (0, 1, 2) if value.ndim else () for name, value in trials[0].items()}
    channels = trials[0]["image"].shape[3]
    small = {
        name: value.new_zeros(1, TRIAL, TRIAL, value.shape[3]) if value.ndim else value
        for name, value in trials[0].items()
    }
    with torch.no_grad(), Peak() as peak:
        network(**small)
    metadata = {
        "channels": str(channels),
        "scale": str(scale),
        "radius": "" if radius is None else str(radius),
        "stride": str(stride),
        "bytes_per_pixel": str(int(held * peak.most) // TRIAL**2),
    }
    return Portable(network, trials, free, metadata)


def _traced(portable: Portable) -> Any:
    """Return the network as an `onnx.ModelProto` with its metadata."""
    first, free = portable.trials[0], portable.free
    example = {name: value.repeat(2, *[1] * (value.ndim - 1)) if free[name] else value for name, value in first.items()}
    axes = {name: dict.fromkeys(free[name], torch.export.Dim.DYNAMIC) for name in example}
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            portable.network, kwargs=example, dynamic_shapes=axes, dynamo=True, opset_version=OPSET,
            input_names=list(example), output_names=["pictures"], verbose=False,
        )  # fmt: skip
    return cast(Any, program).model_proto


def _described(model: Any, portable: Portable) -> bytes:
    """Return the file of a model, with the metadata in place of what exporters say, places on this machine among it."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for key, value in portable.metadata.items():
        model.metadata_props.add(key=key, value=value)
    content: bytes = model.SerializeToString()
    return content


def _corner(value: Tensor) -> Tensor:
    return value[:, :FITTED_SIDE, :FITTED_SIDE] if value.ndim == 4 else value


def _as_it_is(model: Any, portable: Portable) -> Any:
    return model


def _halved(model: Any, portable: Portable) -> Any:
    """Keep weights at half precision; where the file is loaded they become float32, which processors are faster in."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= FEW:
            name, half = tensor.name, numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    return model


def _quantised(model: Any, portable: Portable) -> Any:
    """Make convolutions those of 8-bit numbers, whose ranges are what the trials show (Jacob et al., 2018)."""
    import onnx
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(portable.trials[-FITTED:])

        def get_next(self) -> dict[str, np.ndarray] | None:
            trial = next(self.left, None)
            return None if trial is None else {name: _corner(value).numpy() for name, value in trial.items()}

    with TemporaryDirectory() as folder, _quiet():
        made = Path(folder) / "int8.onnx"
        quantization.quantize_static(
            model, made, Reader(), op_types_to_quantize=["Conv", "ConvTranspose", "Gemm"], per_channel=True
        )
        return onnx.load(made)


PRECISIONS: dict[Precision, Callable[[Any, Portable], Any]] = {
    "float32": _as_it_is,
    "fp16": _halved,
    "int8": _quantised,
}
"""From a model of float32, an `onnx.ModelProto`, to what is written."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what exporters print, warn and log from the streams of the command line; what counts comes as errors."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
