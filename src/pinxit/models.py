"""The one loader: from a place to a trained model that runs, found, checked and built once.

A place is a run's folder, a safetensors file of weights, the name of a network that ships, or an exported ONNX file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from pinxit import runtime
from pinxit.errors import DataError, MemoryLimitError, UsageError, UserError
from pinxit.files import cache_folder, parse_json, sha256
from pinxit.nets.meta import without_memory
from pinxit.nets.shapes import PictureShape, Planes, Target
from pinxit.objectives import OBJECTIVES
from pinxit.objectives.objective import Autoencoder, Generative, Objective
from pinxit.objectives.settings import ObjectiveSettings
from pinxit.page import command
from pinxit.settings import did_you_mean, sides, size_of
from pinxit.tensors import MALFORMED, open_tensors, read_tensors, write_tensors
from pinxit.training.recipes import Recipe, TargetRecipe
from pinxit.training.run import WEIGHTS, Run, is_run

SHIPPED: dict[str, str] = {
    "denoise-v2": "c9bd4018de64a582cd268ca69e77ff9c8c808996980a565b3970b9b6d97da90e",
    "colour-v1": "2ca2e56e6322559c2688d35a7976346b71d9966d94244978c30c9f4125fb6b00",
    "deblur-v1": "9119b30dc44365ba585dfaac745c24f9a7f9844608a3758e558207c64ec40130",
    "jpeg-v2": "b21fc06770ef7543d2e81813da1e0d06dfb8fbade72de87c93bd50a500af070d",
    "inpaint-v2": "d6e1f4a723a180b91273cf6ab89078c5b79f9cf1fc7b7cd90b90646065f05a17",
    "denoise-free-v1": "d32046239584c58b8377fa49d68e1e27b1ef5fa20aea1daf02a7a27950366e7f",
    "light-v1": "f6d8ddaa129ccbf027010fc759039ad5016b3ff8f9de31ad3463ff3562d41ead",
    "style-any-v2": "6be80d856e5f9fa0dc22257b5993abc5bc464aa60d28efcb31fc679081aaa873",
    "upscale-x2-v1": "94177daaea5d82ed284728ff1ecc5a57fd1ae03b9c9a2f8db4dc23712eca0b56",
    "upscale-x4-v2": "9a0f90648b664cff7b7be0fd828be76f0d4131ad951b4322ae38ef85de9709f8",
    "upscale-x2-clean-v1": "ec58ae4d606048cb1b911b0098e71986fcb554e4c3b969c6d65559929d30d9d2",
    "upscale-x2-crisp-v1": "dfbc884f159e0bd4af7d9786365e1654dc2bcd4e86f157dc1c54176d6b9ba9b9",
    "upscale-x4-clean-v1": "ec7ca86cf7f3711479696e4114af45331edee615476d12b573d14061ba426507",
    "upscale-x4-crisp-v1": "f6b27883f1d5bbc5e7628c47b8e55a5815e64a52d89336299b2539baf5ffb03f",
    "matte-v1": "c0e555e7a55cff50d9b15a0445f0f232bd6b798441502321c974ca2f69cba8bf",
    "person-v1": "e607bc12938faa3faf50edcfafb91ae83c8c4de362c2d3e2bc64b0a916526763",
}
"""The SHA-256 of the weights that ship with pinxit, by name."""

FOLDER = Path(__file__).parent / "weights"
EXPORTED = ".onnx"
_MALFORMED = (*MALFORMED, AttributeError, UserError)


@dataclass(frozen=True)
class Model:
    """A trained model that can run, on the processor in float32.

    `kind` is the name of its objective in `OBJECTIVES`. `shape` is that of its training pictures; its `size` is 0 for
    an exported file, which does not record it. `sha256` is that of the weights, or of the weights that an exported file
    was made from. `runner` is the objective, or onnxruntime's model of an exported file.
    """

    name: str
    place: Path
    kind: str
    settings: ObjectiveSettings
    shape: PictureShape
    sha256: str
    runner: Objective | runtime.Model

    @property
    def exported(self) -> runtime.Model | None:
        """The model of an exported file, None for anything else."""
        return self.runner if isinstance(self.runner, runtime.Model) else None

    @property
    def objective(self) -> Objective:
        """The objective with its trained weights; `UsageError` for an exported file, which has none."""
        if isinstance(self.runner, runtime.Model):
            raise UsageError(f"{self.place}: an exported file cannot do this; give the run it was exported from")
        return self.runner

    @property
    def ships(self) -> bool:
        """Whether the network came with pinxit."""
        return self.place.parent == FOLDER


def load(place: str | Path, *kinds: str) -> Model:
    """Return the model at a place, of one of these kinds if any are named.

    Raises `DataError` if there is none, if it is of another kind, or if its tensors are not finite or do not fit its
    settings. Raises `UsageError` if onnxruntime is missing.
    """
    path = find(place)
    if is_exported(path):
        return _exported(path, kinds)
    return _shipped(place, path, kinds) if path.parent == FOLDER else _loaded(place, path, kinds)


def _loaded(place: str | Path, path: Path, kinds: Sequence[str]) -> Model:
    run = Run.open(Path(place)) if is_run(Path(place)) else None
    autoencoder = autoencoder_of(run) if run else None
    try:
        kind, settings, shape = of_recipe(run.recipe) if run else _of_weights(path)
        if kinds and kind not in kinds:
            raise ValueError(f"a run of {kind!r}")
        with without_memory():  # the settings are not yet known to fit the tensors
            objective = build(settings, shape, autoencoder)
    except _MALFORMED as error:
        raise DataError(f"{place}: not a network of {_commands(kinds)} ({_line(error)})") from error
    inside = run.folder if run else None
    _fill(objective, path, inside)
    name = path.stem if path.parent == FOLDER else Path(place).stem
    return Model(name, path, kind, settings, shape, sha256(path, inside), objective)


_shipped = lru_cache(maxsize=4)(_loaded)
"""What ships never changes, so the studio keeps the last few from one edit to the next."""


def build(settings: ObjectiveSettings, shape: PictureShape, autoencoder: Autoencoder | None = None) -> Objective:
    """Return the objective for pictures of this shape; a prior is one over the autoencoder's codes."""
    return settings.build_on(autoencoder, shape.classes) if autoencoder else settings.build(shape)


def of_recipe(recipe: Recipe) -> tuple[str, ObjectiveSettings, PictureShape]:
    """Return the kind, the settings and the picture shape of the model that a recipe trains."""
    data = recipe.data
    shape = PictureShape(data.size, data.channels, len(data.classes))
    return recipe.objective, recipe.settings, _with_kinds(shape, data.colours, data.target)


def _with_kinds(shape: PictureShape, colours: Sequence[str], target: TargetRecipe | None) -> PictureShape:
    """Return the shape of pictures that are label maps, if there are colours of classes, and of what they become."""
    made = (
        None if target is None else Target(Planes(target.channels, tuple(target.colours), target.deep), target.paired)
    )
    return shape._replace(channels=len(colours) or shape.channels, colours=tuple(colours), target=made)


def autoencoder_of(run: Run) -> Autoencoder | None:
    """Return the autoencoder over whose codes a run is a prior, from the folder above; None if it is no prior.

    Raises `DataError` if it is missing or its weights are not those that the prior was trained on.
    """
    if run.recipe.autoencoder is None:
        return None
    above = Run.open(run.folder.resolve().parent)
    if not above.weights.exists() or sha256(above.weights, above.folder) != run.recipe.autoencoder:
        raise DataError(
            f"{run.folder} was trained on the codes of other weights than those in {above.weights}; put those back, or "
            "move the prior away and train a new one with `pinxit train prior`"
        )
    objective = load(above.folder).objective
    if not isinstance(objective, Autoencoder):
        raise DataError(f"{above.folder} has no codes, so {run.folder} is no prior over them")
    return objective


def generative(model: Model) -> Generative:
    """Return the objective of a model that samples pictures; `UsageError` if it does not."""
    objective = model.objective
    if not isinstance(objective, Generative):
        raise UsageError(f"{model.place}: models of `pinxit train {model.kind}` cannot sample pictures")
    return objective


def find(place: str | Path) -> Path:
    """Return the file of a model: the weights in a run's folder, those of a network that ships, or the file itself.

    Raises `DataError` if it is missing.
    """
    path, name = Path(place), str(place)
    if name in SHIPPED and not path.exists():
        return shipped(name)
    if is_run(path) and not os.path.lexists(path / WEIGHTS):
        raise DataError(f"{place} has no weights yet; `{command('resume', place)}` continues its training")
    path = path / WEIGHTS if path.is_dir() else path
    if not path.is_file():
        raise DataError(
            f"{place}: no weights found; give a run's folder, a safetensors file or the name of a shipped network"
            + did_you_mean(name, SHIPPED)
        )
    return path


def chosen(name: str, model: Path | None) -> tuple[Path, dict[str, str]]:
    """Return the place of `model`, or that of the shipped network `name` with its SHA-256 by name."""
    if model is not None:
        return model, {}
    if name not in SHIPPED:
        raise UsageError(f"no network {name} ships with pinxit; --model takes a run of your own")
    return shipped(name), {name: SHIPPED[name]}


def shipped(name: str) -> Path:
    """Return the file of a network that ships with pinxit; `DataError` if it is missing or damaged."""
    path = FOLDER / f"{name}.safetensors"
    if not path.is_file() or sha256(path) != SHIPPED[name]:
        raise DataError(f"{path}: missing or damaged; install pinxit again")
    return path


def mixture(shares: Mapping[Path, float]) -> Path:
    """Return a file of weights, each the mean of those in these files by their shares, in the cache folder.

    The files are of one network; what it is, the last one states. The mixture is written once.
    """
    parts = "".join(f"{sha256(file)} {share!r}\n" for file, share in shares.items())
    *_, last = shares
    mixed = cache_folder() / "mixtures" / hashlib.sha256(parts.encode()).hexdigest() / last.name
    if not mixed.is_file():
        with open_tensors(last) as opened:
            about = opened.metadata()["pinxit"]
        read = [(read_tensors(file), share) for file, share in shares.items()]
        tensors = {key: torch.stack([share * one[key] for one, share in read]).sum(0) for key in read[-1][0]}
        write_tensors(mixed, tensors, about)
    return mixed


def is_exported(place: Path) -> bool:
    """Say whether a place is a file of `pinxit export`, by its name."""
    return place.suffix.lower() == EXPORTED and not place.is_dir()


@contextmanager
def runtime_errors() -> Iterator[None]:
    """Turn a refusal of the runtime into pinxit's own error with the same exit code."""
    try:
        yield
    except runtime.RefusedError as error:
        kinds = {runtime.USAGE: UsageError, runtime.MEMORY: MemoryLimitError}
        raise kinds.get(error.exit_code, DataError)(str(error)) from error


def _exported(path: Path, kinds: tuple[str, ...]) -> Model:
    """Return the model in a file of `pinxit export`."""
    with runtime_errors():
        model = runtime.Model(path)
    kind = model.metadata.get("objective", "")
    if kinds and kind not in kinds:
        raise UsageError(f"{path}: a network of `pinxit train {kind}`, not of {_commands(kinds)}")
    try:
        settings = OBJECTIVES[kind].parse(parse_json(model.metadata["settings"], "settings"))
        weights = model.metadata["weights"]
    except _MALFORMED as error:
        raise DataError(f"{path}: its metadata are not as `pinxit export` writes them ({_line(error)})") from error
    return Model(path.stem, path, kind, settings, PictureShape(0, model.channels), weights, model)


def _of_weights(path: Path) -> tuple[str, ObjectiveSettings, PictureShape]:
    """Return the kind, the settings and the picture shape of a model, as its file of weights states them."""
    with open_tensors(path) as file:
        metadata = file.metadata() or {}
    about = parse_json(metadata["pinxit"], "pinxit")
    kind, data = str(about["objective"]), about["data"]
    shape = PictureShape(size_of(*sides(data["size"])), int(data["channels"]), len(data.get("classes", ())))
    target = TargetRecipe.parse(data["target"]) if "target" in data else None
    return kind, OBJECTIVES[kind].parse(about["settings"]), _with_kinds(shape, data.get("colours", ()), target)


def _fill(objective: Objective, path: Path, inside: Path | None) -> None:
    """Give an objective that was built without memory its trained tensors; drop networks that only train it.

    Tensors are copied to aligned memory, because the bits of a matrix product depend on where its operands lie.
    """
    for name in set(objective.networks) - set(objective.model):
        del objective.networks[name]
    own = objective.networks.state_dict()
    read = read_tensors(path, inside)
    for key in own.keys() & read.keys():
        _refuse_unlike(path, key, own[key], read[key])
    tensors = {key: value.to(own[key].dtype, copy=True) if key in own else value for key, value in read.items()}
    try:
        objective.networks.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise DataError(f"{path}: its tensors do not fit the network its settings ask for") from error
    for key, value in tensors.items():
        if not value.isfinite().all():
            raise DataError(f"{path}: its weights are not all finite: {key} holds {_odd(value)}")
    objective.networks.eval().requires_grad_(False)


def _refuse_unlike(path: Path, key: str, own: Tensor, value: Tensor) -> None:
    """Raise `DataError` if a tensor has another shape than the network's, or if its numbers mean something else."""
    if value.shape != own.shape:
        raise DataError(f"{path}: its tensors do not fit the network its settings ask for: {key} is {_form(value)}")
    if value.is_floating_point() != own.is_floating_point() or value.is_complex():
        raise DataError(f"{path}: {key} holds {_form(value)}, where the network has {_form(own)}")


def _form(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"


def _odd(value: Tensor) -> str:
    return f"{int((~value.isfinite()).sum()):,} of {value.numel():,} values that are NaN or infinite"


def _commands(kinds: Sequence[str]) -> str:
    return " or ".join(f"`pinxit train {kind}`" for kind in kinds) or "pinxit"


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
