"""Trained networks for use alone: those that come with pinxit, and runs or their weights, found and checked."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import nn

from pinxit.errors import DataError, UsageError, UserError
from pinxit.files import sha256
from pinxit.nets.shapes import PictureShape
from pinxit.nets.unfilled import without_memory
from pinxit.objectives import OBJECTIVES
from pinxit.objectives.objective import Objective
from pinxit.tensors import read_tensors
from pinxit.training.run import weights_file

SHIPPED: dict[str, str] = {
    "denoise-v2": "c9bd4018de64a582cd268ca69e77ff9c8c808996980a565b3970b9b6d97da90e",
    "deblur-v1": "9119b30dc44365ba585dfaac745c24f9a7f9844608a3758e558207c64ec40130",
    "jpeg-v2": "b21fc06770ef7543d2e81813da1e0d06dfb8fbade72de87c93bd50a500af070d",
    "inpaint-v2": "d6e1f4a723a180b91273cf6ab89078c5b79f9cf1fc7b7cd90b90646065f05a17",
    "denoise-free-v1": "d32046239584c58b8377fa49d68e1e27b1ef5fa20aea1daf02a7a27950366e7f",
    "light-v1": "f6d8ddaa129ccbf027010fc759039ad5016b3ff8f9de31ad3463ff3562d41ead",
    "style-any-v2": "6be80d856e5f9fa0dc22257b5993abc5bc464aa60d28efcb31fc679081aaa873",
    "upscale-x2-v1": "94177daaea5d82ed284728ff1ecc5a57fd1ae03b9c9a2f8db4dc23712eca0b56",
    "upscale-x4-v2": "9a0f90648b664cff7b7be0fd828be76f0d4131ad951b4322ae38ef85de9709f8",
}
"""The SHA-256 of the weights that come with pinxit, by their names."""

FOLDER = Path(__file__).parent / "weights"


def chosen(name: str, model: Path | None) -> tuple[Path, dict[str, str]]:
    """Return where a model lies, or else the shipped network `name`, and what `Bound.weights` says of it."""
    if model is not None:
        return model, {}
    if name not in SHIPPED:
        raise UsageError(f"no network {name} comes with pinxit; --model takes a run of your own")
    return shipped(name), {name: SHIPPED[name]}


def shipped(name: str) -> Path:
    """Return the file of weights that come with pinxit; `DataError` if it is not what it was."""
    path = FOLDER / f"{name}.safetensors"
    if not path.is_file() or sha256(path) != SHIPPED[name]:
        raise DataError(f"{path}: missing or damaged; install pinxit again")
    return path


def trained(place: Path, name: str) -> Objective:
    """Return what a run of the objective `name`, or a file of its weights, has learned, for use alone.

    It lies on the processor. What it is stands in the file, beside its tensors. `DataError` if that or the tensors are
    not as they must be.
    """
    path = weights_file(place)
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["pinxit"])
        if about["objective"] != name:
            raise ValueError(f"a run of {about['objective']!r}")
        settings = OBJECTIVES[name].parse(about["settings"])
        shape = PictureShape(int(about["data"]["size"]), int(about["data"]["channels"]))
        with without_memory():  # for the settings are not yet known to fit the tensors
            objective = settings.build(shape)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError, UserError) as error:
        raise DataError(f"{place}: not a network of `pinxit train {name}` ({_line(error)})") from error
    tensors = {key: value.float() for key, value in read_tensors(path).items()}
    try:
        model = nn.ModuleDict({key: objective.networks[key] for key in objective.model})
        model.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise DataError(f"{place}: its tensors do not fit the network its settings ask for") from error
    if not all(value.isfinite().all() for value in tensors.values()):
        raise DataError(f"{place}: its weights are not all finite")
    objective.networks.eval().requires_grad_(False)
    return objective


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
