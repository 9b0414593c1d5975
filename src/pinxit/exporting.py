"""Trained models as ONNX files, which run without torch: `export`, and the table `EXPORTS` of what it can write.

A file maps pictures or latents, in any number and of any size, to pictures. Its metadata say what it is and how large
pictures are cut into tiles (`pinxit.runtime.Model`). It is compared with PyTorch in float32, and kept only if they
agree.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import math
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
from pinxit.errors import DataError, OurFaultError, UsageError, UserError
from pinxit.files import cache_folder, sha256, whole_file
from pinxit.images import load_image
from pinxit.images.convert import to_float
from pinxit.latents.sampling import load
from pinxit.models import Model, find
from pinxit.nets.curve import SIDE, lightened
from pinxit.nets.peak import Peak
from pinxit.nets.pretrained import lite0_network
from pinxit.nets.stylizer import AnyStyle
from pinxit.objectives.detection import Detection
from pinxit.objectives.enhancement import Enhancement
from pinxit.objectives.restoration import Inputs, Restoration
from pinxit.objectives.settings import StyleSettings
from pinxit.objectives.style import style_encoder
from pinxit.objectives.translation import Translation
from pinxit.progress import say
from pinxit.recognition import reading
from pinxit.recognition.recogniser import Recogniser
from pinxit.runtime import session
from pinxit.settings import BASE_NAMES
from pinxit.training.pictures import pictures_of
from pinxit.training.run import WEIGHTS, Run, is_run

Precision = Literal["float32", "fp16", "int8"]
OPSET = 20
TOLERANCE = 1e-3
"""The largest difference from PyTorch that a float32 file may have, in units of the image range."""
SIZES = ((37, 45), (64, 80), (97, 61))
"""Height and width of the synthetic pictures for the comparison."""
CHECKED_SIDE = 512
"""Real pictures are compared in a central crop of at most this side, in pixels."""
FAINT = 0.05
"""The least score of a box in an exported detector: fainter ones are many, and their order is chance."""
MEASURED_SIDE = 64
CALIBRATED, CALIBRATED_SIDE = 32, 128
"""8-bit ranges are calibrated on this many inputs, cropped to this side in pixels, because all are held in memory."""
MEMORY_ONE, MEMORY_ANY = 2.1, 1.1
"""Peak memory of onnxruntime relative to torch, measured, for networks of one style and of any style."""
OWN = 16
"""The most pictures of its own set that a recogniser is compared on."""

SMALL = 256
"""Arrays of fewer numbers stay float32 in a file of half precision."""
NOISE_LEVEL, STRENGTH, LATENTS = 0.1, 0.7, 16
"""The comparison's inputs: the noise's standard deviation, the strength of a style, and the number of latents."""


@dataclass(frozen=True)
class Portable:
    """A model ready for export.

    `network` takes named arrays and returns pictures (N, H, W, C) in [0, 1], or what `output` names. `trials` are its
    inputs by name, for the comparison; the first is traced. `free` lists each input's axes of variable length.
    `metadata` goes into the file.
    """

    network: nn.Module
    trials: list[dict[str, Tensor]]
    free: dict[str, tuple[int, ...]]
    metadata: dict[str, str]
    output: str = "pictures"


class Graph(nn.Module):
    """A function of named inputs to pictures (N, H, W, C) in [0, 1], and the networks that it runs."""

    def __init__(self, networks: nn.Module, forward: Callable[..., Tensor]) -> None:
        super().__init__()
        self.networks, self.forward = networks, forward


def lightening(objective: Enhancement) -> Graph:
    """Return the graph of a network that estimates a curve, and of the curve applied to the pictures (N, H, W, C)."""

    def forward(image: Tensor) -> Tensor:
        rows = image.movedim(3, 1)
        small = averaging(rows.shape[2]) @ rows @ averaging(rows.shape[3]).mT
        return _rows(lightened(rows, objective.curve(small)))

    return Graph(objective.networks, forward)


def averaging(length: int) -> Tensor:
    """Return the matrix (SIDE, length) that computes the means of `averaged`; ONNX has no adaptive pooling."""
    row, place = torch.arange(SIDE)[:, None], torch.arange(length)
    start, stop = row * length // SIDE, ((row + 1) * length + SIDE - 1) // SIDE
    return ((place >= start) & (place < stop)).float() / (stop - start)


def restoration(model: Model, pictures: Sequence[np.ndarray]) -> Portable:
    """Return a model of `pinxit train restore`."""
    objective = cast(Restoration, model.objective)

    def forward(image: Tensor, mask: Tensor | None = None, sigma: Tensor | None = None) -> Tensor:
        rows = image.movedim(3, 1)
        holes = None if mask is None else mask.movedim(3, 1)
        level = rows.new_zeros(rows.shape[0]) if sigma is None else sigma.expand(rows.shape[0])
        restored = objective.apply(Inputs(rows, objective.planes(rows, holes, level), holes))
        return _rows(restored)

    given = [{"image": row} for row in _as_rows(pictures, objective.shape.channels)]
    for trial in given:
        high, wide = trial["image"].shape[1:3]
        if objective.holes:
            trial["mask"] = torch.zeros(1, high, wide, 1)
            trial["mask"][:, high // 4 : high // 2, wide // 4 : wide // 2] = 1
        if objective.settings.told:
            trial["sigma"] = torch.tensor(NOISE_LEVEL)
    graph = Graph(objective.networks, forward)
    return _of_pictures(graph, given, objective.radius, objective.stride, objective.scale)


def enhancement(model: Model, pictures: Sequence[np.ndarray]) -> Portable:
    """Return a model of `pinxit train enhance`: the curve alone, without the denoiser after it."""
    given = [{"image": row} for row in _as_rows(pictures, 3)]
    return _of_pictures(lightening(cast(Enhancement, model.objective)), given, None, 1, 1)


def style_transfer(model: Model, pictures: Sequence[np.ndarray]) -> Portable:
    """Return a model of `pinxit train style`; for any style, the frozen encoder goes into the file too."""
    objective, rows = cast(Any, model.objective), _as_rows(pictures, 3)
    if not cast(StyleSettings, model.settings).any:
        graph = Graph(objective.painter, lambda image: _rows(objective.painter(image.movedim(3, 1))))
        return _of_pictures(graph, [{"image": row} for row in rows], None, 1, 1, MEMORY_ONE)
    network = AnyStyle(style_encoder(torch.device("cpu")), objective.decoder)

    def forward(image: Tensor, style: Tensor, strength: Tensor) -> Tensor:
        return _rows(network(image.movedim(3, 1), style.movedim(3, 1), strength))

    given = [
        {"image": row, "style": style, "strength": torch.tensor(STRENGTH)}
        for row, style in zip(rows, [*rows[1:], rows[0]], strict=True)
    ]
    return _of_pictures(Graph(network, forward), given, None, 1, 1, MEMORY_ANY)


def translation(model: Model, pictures: Sequence[np.ndarray]) -> Portable:
    """Return a model of `pinxit train translate`, which makes pictures of the kind b; label maps are in colours."""
    objective = cast(Translation, model.objective)
    if objective.channels == 4:
        raise UsageError(f"{model.place}: pictures with transparency cannot be translated by an exported file")
    graph = Graph(objective.networks, lambda image: _rows(objective.pictured(image.movedim(3, 1))))
    given = [{"image": row} for row in _as_rows(pictures, objective.channels)]
    portable = _of_pictures(graph, given, objective.radius, objective.stride, 1)
    portable.metadata["sides"] = json.dumps({name: side._asdict() for name, side in objective.sides.items()})
    return portable


def _rows(pictures: Tensor) -> Tensor:
    return pictures.clamp(0, 1).movedim(1, 3)


def generator(model: Model, pictures: Sequence[np.ndarray]) -> Portable:
    """Return a model from latents to pictures, which needs its run's folder; `pictures` are not used."""
    if model.place.name != WEIGHTS or not is_run(model.place.parent):
        raise UsageError(f"{model.place}: give the folder of the run, which holds the samplers too")
    sampling = load(model.place.parent)
    labels = sampling.labels(LATENTS)
    if sampling.objective.codebook_size and not sampling.samplers:
        latents = torch.arange(LATENTS * sampling.objective.latent).view(LATENTS, -1)
        trial = {"latent": latents % sampling.objective.codebook_size}
    else:
        trial = {"latent": sampling.latents(LATENTS, labels=labels)}
    if labels is not None and sampling.objective.shape.classes:
        trial["label"] = labels

    def forward(latent: Tensor, label: Tensor | None = None) -> Tensor:
        return sampling.objective.sample(latent, label).movedim(1, 3)

    metadata = {"channels": str(sampling.recipe.data.channels), "classes": json.dumps(sampling.recipe.data.classes)}
    graph = Graph(sampling.objective.networks, forward)
    return Portable(graph, [trial], dict.fromkeys(trial, (0,)), metadata)


def classifier(model: Model, pictures: Sequence[np.ndarray]) -> Portable:
    """Return a model from pictures of its own size to calibrated probabilities (N, K); the classes are metadata."""
    known, rows, metadata = _recogniser(model, pictures)
    temperature = known.objective.temperature

    def forward(image: Tensor) -> Tensor:
        found: Tensor = known.objective.logits(image.movedim(3, 1))
        return (found / temperature).softmax(1)

    graph = Graph(_with_frozen(known, model), forward)
    return Portable(graph, rows, {"image": (0,)}, metadata, "probabilities")


def segmenter(model: Model, pictures: Sequence[np.ndarray]) -> Portable:
    """Return a model from pictures of its own size to probabilities (N, H, W, K); the classes are metadata."""
    known, rows, metadata = _recogniser(model, pictures)

    def forward(image: Tensor) -> Tensor:
        found: Tensor = known.objective.logits(image.movedim(3, 1))
        return found.softmax(1).movedim(1, 3)

    graph = Graph(_with_frozen(known, model), forward)
    return Portable(graph, rows, {"image": (0,)}, metadata, "probabilities")


def detector(model: Model, pictures: Sequence[np.ndarray]) -> Portable:
    """Return a model from pictures of its own size to boxes (N, 100, 6), the surest first, already chosen.

    A row is left, top, right and bottom as shares of the picture's sides, the score, and the class, whose names are
    metadata. Rows of a score below `FAINT` are zeros.
    """
    known, rows, metadata = _recogniser(model, pictures)
    objective = cast(Detection, known.objective)
    high, wide = objective.shape.sides
    sizes = torch.tensor([wide, high, wide, high, 1, 1])

    def forward(image: Tensor) -> Tensor:
        boxes = objective.rows(image.movedim(3, 1)) / sizes
        return boxes * (boxes[..., 4:5] >= FAINT)

    metadata["least"] = json.dumps([round(one, 6) for one in objective.least.tolist()])
    graph = Graph(nn.ModuleList([objective.networks, lite0_network(torch.device("cpu"))]), forward)
    return Portable(graph, rows, {"image": (0,)}, metadata, "boxes")


def _recogniser(
    model: Model, pictures: Sequence[np.ndarray]
) -> tuple[Recogniser[Any], list[dict[str, Tensor]], dict[str, str]]:
    """Return the recogniser of a run, trials of its own size, and what a file says of its input and its classes."""
    if model.place.name != WEIGHTS or not is_run(model.place.parent):
        raise UsageError(f"{model.place}: give the folder of the run, which has the names of the classes")
    known = reading.load(model.place.parent)
    shape = known.objective.shape
    eight = [np.rint(255 * pixels).astype(np.uint8) for pixels in pictures]
    seen = [*eight, *_own_pictures(model.place.parent)]
    rows = torch.stack([known.fitted(pixels) for pixels in seen]).movedim(1, 3).contiguous()
    metadata = {
        "channels": str(shape.channels), "size": str(shape.size), "fit": known.fit, "classes": json.dumps(known.classes)
    }  # fmt: skip
    return known, [{"image": row[None]} for row in rows], metadata


def _own_pictures(folder: Path) -> list[np.ndarray]:
    """Return some pictures of a run's set if it is at hand: a recogniser may be sure of all that is synthetic."""
    try:
        pictures = pictures_of(Run.open(folder).recipe.data)
    except UserError as error:
        say(f"compared without the run's own pictures: {error}")
        return []
    some = pictures.held_out if len(pictures.held_out) else pictures.train
    return [some[number] for number in np.linspace(0, len(some) - 1, min(OWN, len(some))).astype(int).tolist()]


def _with_frozen(known: Recogniser[Any], model: Model) -> nn.ModuleList:
    """Return a recogniser's networks, with the frozen one if it reads that."""
    frozen = [lite0_network(torch.device("cpu"))] if model.settings.model_dump().get("network") == "lite0" else []
    return nn.ModuleList([known.objective.networks, *frozen])


EXPORTS: dict[str, Callable[[Model, Sequence[np.ndarray]], Portable]] = {
    # By the name in `pinxit train NAME`. Pictures to pictures: the input is `image`, and the runtime can run the file.
    "restore": restoration,
    "enhance": enhancement,
    "style": style_transfer,
    "translate": translation,
    # Pictures to probabilities of classes.
    "classify": classifier,
    "segment": segmenter,
    # Pictures to boxes.
    "detect": detector,
    # Latents to pictures.
    "gan": generator,
    "vae": generator,
    "vq": generator,
}


def export(
    source: str | Path, out: Path, *, precision: Precision = "float32", pictures: Sequence[Path] = ()
) -> dict[str, Any]:
    """Write a run, a file of its weights, or a network that ships as an ONNX file; return a summary.

    `precision` is float32; fp16, which stores weights in half precision and computes in float32; or int8, which
    computes convolutions in 8 bits. Calibration and the comparison with PyTorch use synthetic pictures and `pictures`.
    Keys: `largest_difference` from PyTorch in float32, in units of the image range; `psnr` of that in decibels;
    `inputs`, with both for each input; `file`, `bytes` and `metadata`. Raises `UsageError` if the model or this
    installation cannot be exported, `DataError` if there is no model, `OurFaultError` if a float32 file differs from
    PyTorch by more than `TOLERANCE`.
    """
    for needed in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(needed) is None:
            raise UsageError(f"{needed} is missing; `pip install 'pinxit[export]'` installs it")
    trials = [*(synthetic(size, seed) for seed, size in enumerate(SIZES)), *map(_middle, pictures)]
    portable = portable_of(source, trials)
    portable.metadata["precision"] = precision
    with whole_file(out) as temporary:
        temporary.write_bytes(_described(PRECISIONS[precision](_traced(portable), portable), portable))
        inputs = compared(temporary, portable)
        largest = max(one["largest_difference"] for one in inputs)
        if not all(math.isfinite(one["largest_difference"]) for one in inputs):
            raise DataError(f"{source}: the model makes values that are not finite; its weights are damaged")
        if precision == "float32" and not largest <= TOLERANCE:
            raise OurFaultError(
                f"{source}: the exported model differs from PyTorch's by {largest:.2g}; nothing is kept"
            )
    return {
        "file": str(out), "bytes": out.stat().st_size, "largest_difference": largest,
        "psnr": float(np.mean([one["psnr"] for one in inputs])), "inputs": inputs, "metadata": portable.metadata,
    }  # fmt: skip


def cached(place: Path) -> Path:
    """Return the float32 file of a model in the cache folder, exported now if it is missing.

    Its key is the weights' SHA-256 and pinxit's version, because another version may compute something else with them.
    """
    folder = cache_folder() / "exported" / f"{__version__}-float32" / sha256(find(place))
    file = folder / f"{place.stem}.onnx"
    if not file.is_file():
        say(f"{place.stem}: exported for onnxruntime, once, as {file}")
        export(place, file)
    return file


def portable_of(source: str | Path, pictures: Sequence[np.ndarray]) -> Portable:
    """Return a model ready for export, to be compared on pictures (H, W, C) float32 in [0, 1].

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
        "settings": json.dumps(model.settings.model_dump(mode="json", exclude_unset=True, context=BASE_NAMES)),
    }  # fmt: skip
    if model.ships:
        about |= {"name": model.name, "licence": "Apache-2.0"}
    portable.network.eval().requires_grad_(False)
    return replace(portable, metadata=about | portable.metadata)


def compared(file: Path, portable: Portable) -> list[dict[str, Any]]:
    """Return the `size` of each trial's pictures, the largest difference of file and network, and their PSNR."""
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


def synthetic(size: tuple[int, int], seed: int) -> np.ndarray:
    """Return a picture (H, W, 3) float32 in [0, 1] of soft blotches with a little noise."""
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
    rows = [torch.from_numpy(pixels)[None] for pixels in pictures]
    means = [row.mean(3, keepdim=True) for row in rows] if channels == 1 else rows
    return [row.expand(-1, -1, -1, channels).contiguous() for row in means]


def _of_pictures(
    network: nn.Module,
    trials: list[dict[str, Tensor]],
    radius: int | None,
    stride: int,
    scale: int,
    memory: float = 1.0,
) -> Portable:
    """Return a model from pictures to pictures, with what the runtime must know to cut large ones into tiles.

    `memory` is onnxruntime's peak memory relative to torch's.
    """
    free: dict[str, tuple[int, ...]] = {name: (0, 1, 2) if value.ndim else () for name, value in trials[0].items()}
    channels = trials[0]["image"].shape[3]
    small = {
        name: value.new_zeros(1, MEASURED_SIDE, MEASURED_SIDE, value.shape[3]) if value.ndim else value
        for name, value in trials[0].items()
    }
    with torch.no_grad(), Peak() as peak:
        network(**small)
    metadata = {
        "channels": str(channels),
        "scale": str(scale),
        "radius": "" if radius is None else str(radius),
        "stride": str(stride),
        "bytes_per_pixel": str(int(memory * peak.most) // MEASURED_SIDE**2),
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
            input_names=list(example), output_names=[portable.output], verbose=False,
        )  # fmt: skip
    return cast(Any, program).model_proto


def _described(model: Any, portable: Portable) -> bytes:
    """Return a model's file with our metadata only; the exporter's would name folders of this machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for key, value in portable.metadata.items():
        model.metadata_props.add(key=key, value=value)
    content: bytes = model.SerializeToString()
    return content


def _corner(value: Tensor, free: tuple[int, ...]) -> Tensor:
    """Return a corner of pictures whose sides are free."""
    return value[:, :CALIBRATED_SIDE, :CALIBRATED_SIDE] if {1, 2} <= set(free) else value


def _unchanged(model: Any, portable: Portable) -> Any:
    return model


def _halved(model: Any, portable: Portable) -> Any:
    """Store weights in half precision; they become float32 on loading, because processors are faster in float32."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= SMALL:
            name, half = tensor.name, numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    return model


def _quantised(model: Any, portable: Portable) -> Any:
    """Quantise convolutions to 8 bits, with ranges calibrated on the trials (Jacob et al., 2018)."""
    import onnx
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(portable.trials[-CALIBRATED:])

        def get_next(self) -> dict[str, np.ndarray] | None:
            trial = next(self.left, None)
            return (
                None
                if trial is None
                else {name: _corner(value, portable.free[name]).numpy() for name, value in trial.items()}
            )

    with TemporaryDirectory() as folder, _quiet():
        made = Path(folder) / "int8.onnx"
        quantization.quantize_static(
            model, made, Reader(), op_types_to_quantize=["Conv", "ConvTranspose", "Gemm"], per_channel=True
        )
        return onnx.load(made)


PRECISIONS: dict[Precision, Callable[[Any, Portable], Any]] = {
    "float32": _unchanged,
    "fp16": _halved,
    "int8": _quantised,
}
"""From a float32 `onnx.ModelProto` to the one that is written."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters' prints, warnings and logs; real problems come as errors."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
