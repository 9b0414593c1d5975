"""Checkpoints in safetensors and JSON; one is valid only with a marker that holds the hash of each file."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pinxit.errors import DataError, DivergedError
from pinxit.files import disk_errors, leftovers, read_json, remove_leftovers, sha256, sync_folder, write_json
from pinxit.progress import say
from pinxit.tensors import read_tensors, write_tensors
from pinxit.training.documents import CheckpointFacts
from pinxit.training.run import KINDS, MARKER, SAMPLES, STATE

FACTS = "facts.json"
DAMAGED = "damaged-"


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: named tensors, and the facts saved with them."""

    step: int
    state: dict[str, Tensor]
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints of a run, one folder per step; keeps the newest `keep`, and the best if they are judged.

    It also keeps those of the steps that `spared` gives for the newest one.

    `folder` lies in the run's folder. Nothing outside that is read or written: no links are followed. Only folders with
    the name of a step, which hold a checkpoint's files and nothing else, are ever removed.
    """

    def __init__(
        self, folder: Path, keep: int = 3, spared: Callable[[int], Collection[int]] = lambda newest: ()
    ) -> None:
        self.folder, self.keep, self.spared, self.run = folder, keep, spared, folder.parent
        self._unjudged: set[int] = set()

    def save(self, step: int, state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write a checkpoint, and remove older ones once it is on the disk.

        Raises `DivergedError`, and writes nothing, if a tensor holds a value that is not finite.
        """
        for name, value in state.items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise DivergedError(
                    f"step {step}: {name} is no longer finite; nothing is saved, the last checkpoint is good"
                )
        place = self._place(step)
        self._unmark(place)
        write_tensors(place / STATE, state, inside=self.run)
        write_json(place / FACTS, dict(facts), self.run)
        write_json(place / MARKER, self._marker(place), self.run)
        sync_folder(self.folder)
        self._prune()

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint whose files match its marker, or None; rename damaged ones."""
        for step in reversed(self.steps()):
            place = self._place(step)
            try:
                return self._read(place)
            except DataError as error:
                say(f"checkpoint {place.name} is damaged ({error}); trying the one before")
                self._set_aside(place)
        return None

    def intact(self) -> Checkpoint | None:
        """Return the newest checkpoint whose files match its marker, or None; changes nothing, so it needs no lock."""
        for step in reversed(self.steps()):
            with suppress(DataError):
                return self._read(self._place(step))
        return None

    def steps(self) -> list[int]:
        """Return the steps of the checkpoints with a marker, in order."""
        return sorted(int(place.name) for place in self._places() if os.path.lexists(place / MARKER))

    def sweep(self) -> None:
        """Remove the remains of killed processes: folders without a marker, temporary files. The lock must be held.

        What bears the name of a checkpoint and is none gets another name. What bears another name is named.
        """
        strange = []
        for path in self._entries():
            if not _is_step(path.name):
                strange += [] if path.name.startswith(DAMAGED) else [path.name]
            elif path.is_symlink() or not path.is_dir():
                say(f"{path} is no folder of a checkpoint")
                self._set_aside(path)
            elif not os.path.lexists(path / MARKER):
                self._remove(path)
        if strange:
            say(f"{self.folder} also holds {', '.join(strange[:3])}, which is no checkpoint and is left alone")
        own = (*KINDS["file"][1], self.folder.name)
        remove_leftovers(self.run, own)
        for folder in (self.run / SAMPLES, *self._places()):
            remove_leftovers(folder)

    def drop(self, unwanted: Callable[[int, Mapping[str, Any]], bool]) -> None:
        """Remove the checkpoints whose step and facts are unwanted. Damaged ones stay; `newest` deals with them."""
        for step in self.steps():
            with suppress(DataError):
                if unwanted(step, CheckpointFacts.read(self._place(step) / FACTS, self.run)):
                    self._remove(self._place(step))

    def best(self) -> int | None:
        """Return the step of the checkpoint with the best judgement, or None if none is judged."""
        rated = []
        for step in self.steps():
            try:
                judgement = CheckpointFacts.read(self._place(step) / FACTS, self.run).get("judgement")
            except DataError as error:
                if step not in self._unjudged:
                    say(f"checkpoint {step} is damaged ({error}) and is passed over")
                self._unjudged.add(step)
                continue
            if judgement:
                rated.append((judgement["value"] * (1 if judgement["best"] == "lowest" else -1), step))
        return min(rated)[1] if rated else None

    def _prune(self) -> None:
        steps = self.steps()
        for step in set(steps) - set(steps[-self.keep :]) - set(self.spared(steps[-1])) - {self.best()}:
            self._remove(self._place(step))

    def _place(self, step: int) -> Path:
        return self.folder / f"{step:08d}"

    def _entries(self) -> list[Path]:
        """Return what lies in the folder; nothing if that is a link or missing."""
        return [] if self.folder.is_symlink() or not self.folder.is_dir() else sorted(self.folder.iterdir())

    def _places(self) -> Iterator[Path]:
        """Yield the folders that have the name of a step."""
        for path in self._entries():
            if _is_step(path.name) and not path.is_symlink() and path.is_dir():
                yield path

    def _set_aside(self, place: Path) -> None:
        with disk_errors(place):
            place.rename(self.folder / f"{DAMAGED}{place.name}-{secrets.token_hex(2)}")

    def _remove(self, place: Path) -> None:
        """Remove a checkpoint's folder, marker first; one that holds anything else gets another name instead."""
        own = {MARKER, STATE, FACTS} | {path.name for path in leftovers(place, (MARKER, STATE, FACTS))}
        if any(path.name not in own or path.is_symlink() or not path.is_file() for path in place.iterdir()):
            say(f"{place} holds more than a checkpoint and is kept under another name")
            self._set_aside(place)
            return
        self._unmark(place)
        shutil.rmtree(place, ignore_errors=True)

    def _unmark(self, place: Path) -> None:
        with disk_errors(place):
            (place / MARKER).unlink(missing_ok=True)

    def _marker(self, place: Path) -> dict[str, Any]:
        digests = {name: sha256(place / name, self.run) for name in (STATE, FACTS)}
        return {"step": int(place.name), "sha256": digests}

    def _read(self, place: Path) -> Checkpoint:
        marker = read_json(place / MARKER, self.run)
        facts = CheckpointFacts.read(place / FACTS, self.run)
        state = read_tensors(place / STATE, self.run)
        if marker != self._marker(place):  # last, because hashing takes longest
            raise DataError(f"its files are not those that {MARKER} lists")
        return Checkpoint(int(place.name), state, facts)


def _is_step(name: str) -> bool:
    """Say whether `Checkpoints` gives this name."""
    return name.isascii() and name.isdecimal() and name == f"{int(name):08d}"
