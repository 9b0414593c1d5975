"""Checkpoints in safetensors and JSON; one is valid only with a marker that holds the hash of each file."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pinxit.errors import DivergedError
from pinxit.files import leftovers, sha256, sync_folder, write_json
from pinxit.progress import say
from pinxit.tensors import write_tensors

MARKER = "complete.json"
STATE = "state.safetensors"
FACTS = "facts.json"


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: named tensors, and the facts saved with them."""

    step: int
    state: dict[str, Tensor]
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints of a run, one folder per step; keeps the newest `keep`, and the best if they are judged."""

    def __init__(self, folder: Path, keep: int = 3) -> None:
        self.folder, self.keep = folder, keep

    def save(self, step: int, state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write a checkpoint, and remove older ones once it is on the disk.

        Raises `DivergedError`, and writes nothing, if a tensor holds a value that is not finite.
        """
        for name, value in state.items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise DivergedError(
                    f"step {step}: {name} is no longer finite; nothing is saved, the last checkpoint is good"
                )
        place = self.folder / f"{step:08d}"
        (place / MARKER).unlink(missing_ok=True)
        write_tensors(place / STATE, state)
        write_json(place / FACTS, dict(facts))
        write_json(place / MARKER, {"step": step, "sha256": {name: sha256(place / name) for name in (STATE, FACTS)}})
        sync_folder(self.folder)
        self._prune()

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint whose files match its marker, or None; rename damaged ones."""
        for step in reversed(self.steps()):
            place = self.folder / f"{step:08d}"
            try:
                return _read(place)
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                say(f"checkpoint {place.name} is damaged ({error}); trying the one before")
                place.rename(self.folder / f"damaged-{place.name}-{secrets.token_hex(2)}")
        return None

    def steps(self) -> list[int]:
        """Return the steps of the checkpoints with a marker, in order."""
        return sorted(int(marker.parent.name) for marker in self.folder.glob(f"[0-9]*/{MARKER}"))

    def sweep(self) -> None:
        """Remove the remains of killed processes: folders without a marker, temporary files. The lock must be held."""
        for place in self.folder.glob("[0-9]*"):
            if not (place / MARKER).exists():
                shutil.rmtree(place, ignore_errors=True)
        for folder in (self.folder.parent, *self.folder.parent.rglob("*/")):
            for leftover in leftovers(folder):
                leftover.unlink(missing_ok=True)

    def _prune(self) -> None:
        steps = self.steps()
        for step in set(steps) - set(steps[-self.keep :]) - {self.best()}:
            place = self.folder / f"{step:08d}"
            (place / MARKER).unlink(missing_ok=True)
            shutil.rmtree(place, ignore_errors=True)

    def best(self) -> int | None:
        """Return the step of the checkpoint with the best judgement, or None if none is judged."""
        rated = []
        for step in self.steps():
            judgement = json.loads((self.folder / f"{step:08d}" / FACTS).read_text()).get("judgement")
            if judgement:
                rated.append((judgement["value"] * (1 if judgement["best"] == "lowest" else -1), step))
        return min(rated)[1] if rated else None


def _read(place: Path) -> Checkpoint:
    marker = json.loads((place / MARKER).read_text())
    for name, expected in marker["sha256"].items():
        if sha256(place / name) != expected:
            raise ValueError(f"{name} is not what was saved")
    return Checkpoint(marker["step"], load_file(place / STATE), json.loads((place / FACTS).read_text()))
