"""A trained restorer at work: its weights found, checked and bound, and pictures passed through it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pinxit.editors.editor import Bound
from pinxit.editors.exported import SUFFIX, Exported
from pinxit.errors import DataError, UsageError, UserError
from pinxit.files import sha256
from pinxit.nets.shapes import PictureShape
from pinxit.nets.unfilled import without_memory
from pinxit.objectives import OBJECTIVES
from pinxit.objectives.objective import Objective
from pinxit.objectives.restoration import Restoration
from pinxit.training import hardware
from pinxit.training.store import read_tensors
from pinxit.training.train import weights_of

SHIPPED: dict[str, str] = {
    "denoise-v2": "c9bd4018de64a582cd268ca69e77ff9c8c808996980a565b3970b9b6d97da90e",
    "deblur-v1": "9119b30dc44365ba585dfaac745c24f9a7f9844608a3758e558207c64ec40130",
    "jpeg-v2": "b21fc06770ef7543d2e81813da1e0d06dfb8fbade72de87c93bd50a500af070d",
    "inpaint-v2": "d6e1f4a723a180b91273cf6ab89078c5b79f9cf1fc7b7cd90b90646065f05a17",
    "denoise-free-v1": "d32046239584c58b8377fa49d68e1e27b1ef5fa20aea1daf02a7a27950366e7f",
    "light-v1": "f6d8ddaa129ccbf027010fc759039ad5016b3ff8f9de31ad3463ff3562d41ead",
    "style-any-v1": "d33f6db723657b95cc1a8eae8c2ae1c5ad2eedc8b80990c39cf5cda8287c63cb",
    "upscale-x2-v1": "94177daaea5d82ed284728ff1ecc5a57fd1ae03b9c9a2f8db4dc23712eca0b56",
    "upscale-x4-v2": "9a0f90648b664cff7b7be0fd828be76f0d4131ad951b4322ae38ef85de9709f8",
}
"""The SHA-256 of the weights that come with pinxit, by their names."""

FOLDER = Path(__file__).parents[1] / "weights"
GREY, COLOUR = 1, 3


class Restorer(Bound):
    """A restorer as an edit. A network of colours is given grey thrice; one of grey, each colour by itself.

    It computes in bf16 where the device is faster so; a pixel's bits depend on those within `radius` alone.
    """

    def __init__(self, objective: Restoration, device: str, sigma: float | None = None) -> None:
        if sigma is not None and not objective.settings.told:
            raise UsageError("--sigma: this network sees the noise by itself; one trained with --told can be told it")
        self.objective, self.level = objective, sigma or 0.0
        self.hardware = hardware.choose(device)
        network = objective.restorer.to(self.hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.radius, self.stride, self.scale = objective.radius, objective.stride, network.scale
        self.holes, self.undoes = objective.holes, objective.settings.degrade

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the picture restored, (C, H scale, W scale), in [0, 1]; holes are where the mask is above 0."""
        if self.holes and mask is None:
            raise UsageError("this network fills holes and must be told where: --mask, --box, --colour or --brightness")
        own = self.objective.shape.channels
        apart = own == GREY and len(image) == COLOUR
        rows = image[:, None] if apart else image.expand(own, -1, -1)[None]
        holes = (mask > 0).float().expand(len(rows), -1, -1, -1) if mask is not None and self.holes else None
        with torch.no_grad(), self.hardware.autocast():
            restored = self.objective.restore(rows.contiguous(memory_format=torch.channels_last), holes, self.level)
        restored = restored.float().clamp(0, 1)
        if apart:
            return restored[:, 0]
        return restored[0].mean(0, keepdim=True) if len(image) < own else restored[0]


def bound(
    name: str, model: Path | None, device: str, *, scale: int, holes: bool, sigma: float | None = None
) -> Restorer | Exported:
    """Return the shipped network `name`, or a model in its place, which must enlarge and fill holes as it does."""
    place, weights = chosen(name, model)
    restorer = opened(place, device, sigma)
    if (restorer.scale, restorer.holes) != (scale, holes):
        raise UsageError(f"{model}: made to undo {restorer.undoes!r}; `pinxit edit restore` runs it")
    restorer.weights = weights
    return restorer


def opened(place: Path, device: str, sigma: float | None = None) -> Restorer | Exported:
    """Return the restorer of a run's folder, of a file of its weights, or of a file that `pinxit export` made of it."""
    if place.suffix.lower() == SUFFIX and not place.is_dir():
        return Exported(place, sigma)
    return Restorer(load(place), device, sigma)


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


def load(place: Path) -> Restoration:
    """Return the restorer of a run's folder or of a file of its weights; `DataError` as `trained` says."""
    return cast(Restoration, trained(place, "restore"))


def trained(place: Path, name: str) -> Objective:
    """Return what a run of the objective `name`, or a file of its weights, has learned, for use alone.

    It lies on the processor. What it is stands in the file, beside its tensors. `DataError` if that or the tensors are
    not as they must be.
    """
    path = weights_of(place)
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
