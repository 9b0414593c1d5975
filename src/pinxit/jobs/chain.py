"""A chain of edits, loaded once and applied to any number of pictures, animations and frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pinxit import __version__
from pinxit.edits import EDITS
from pinxit.edits.bound import Bound
from pinxit.edits.drawn import FAINTLY, NO_PIXEL, is_faint, understood
from pinxit.edits.engine import changes_nothing, edit_picture
from pinxit.edits.mask import Mask
from pinxit.edits.restore import HOTTEST, disagreement
from pinxit.edits.settings import Edit
from pinxit.edits.subjects import asked_for
from pinxit.errors import DataError, printable
from pinxit.hardware import choose
from pinxit.images import AUTO, Picture, load_picture, save_picture
from pinxit.images.animations import PAGED, Animation, save_animation
from pinxit.jobs.film import Deflicker
from pinxit.jobs.listing import LOSSY, find
from pinxit.jobs.recipe import EditRecipe, FileStamp, folders_of, with_base_names
from pinxit.jobs.settings import EditSettings
from pinxit.progress import say, track
from pinxit.settings import chain_document


class LoadedChain:
    """A chain of edits with its weights loaded, its settings, and the area it changes.

    `area` chooses where pictures change; `mask` is a picture that is white there, or a folder of such pictures, each
    with the place and stem of its own picture. `unchanged` counts the pictures whose mask selected no pixel.
    `made_with` are the weights of a result that is made again, by name.
    """

    def __init__(
        self,
        chain: Sequence[Edit],
        settings: EditSettings,
        area: Mask = Mask(),
        mask: Path | None = None,
        made_with: Mapping[str, str] | None = None,
    ) -> None:
        chosen = choose(settings.device)
        say(f"editing on {chosen.device}: {chosen.reason.partition(';')[0]}")
        self.device, self.settings = chosen.device, settings
        self.area, self.mask = area, mask
        self.chain, self.folders = (
            chain,
            {place: _by_stem(place) for step in chain for place in folders_of(step).values()},
        )
        self.edits, self.files = with_base_names(chain)
        self.bounds = [edit.bind(str(chosen.device), settings.max_memory) for edit in chain]
        self.steady = max(edit.steady for edit in chain) if settings.steady is None else settings.steady
        self.subject = asked_for(area, made_with)
        found = {} if self.subject is None else self.subject.weights
        self.weights = {name: digest for bound in self.bounds for name, digest in bound.weights.items()} | {**found}
        self.masks = _by_stem(mask) if mask and mask.is_dir() else None
        self.unchanged = 0
        self._told: set[str] = set()
        self.drawn = self._draw(mask) if mask and self.masks is None else None

    def edit(
        self, given: Picture | Animation, place: PurePosixPath, film: Deflicker | None = None
    ) -> Picture | Animation:
        """Return a picture after the edits, or an animation whose frames are edited when they are read.

        `place` finds the picture's mask in a folder of masks; one mask holds for all frames. `film` is the memory of a
        film whose next frame this picture is.
        """
        path, bounds = self.mask_for(place), self._for_place(place).bounds
        mask = self.drawn if self.masks is None or path is None else self._draw(path)
        if isinstance(given, Picture):
            edited, changed = self._frame(given, bounds, mask, film)
            self._note(place, changed)
            return edited

        def frames() -> Iterator[Picture]:
            memory = Deflicker(self.steady) if self.steady and given.format != PAGED else None
            any_changed = False
            for frame in track(given.frames(), f"{printable(place)}: frame", len(given.durations)):
                edited, changed = self._frame(frame, bounds, mask, memory)
                any_changed = any_changed or changed
                yield edited
            self._note(place, any_changed)

        return replace(given, frames=frames)

    def edit_frame(self, frame: Picture, mask: Picture | None, film: Deflicker | None) -> Picture:
        """Return a picture after the edits, smoothed over the earlier frames of `film` if there is one."""
        return self._frame(frame, self.bounds, mask, film)[0]

    def doubts(self, before: Picture, after: Picture) -> np.ndarray:
        """Return where a result may be wrong, (H, W) in [0, 1]: as its edit tells, or else where they disagree."""
        own = self.bounds[0].doubts(before, after) if len(self.bounds) == 1 else None
        return disagreement(before, after) / HOTTEST if own is None else own

    def _for_place(self, place: PurePosixPath) -> LoadedChain:
        """Return the chain for a picture, with its own files instead of folders of them."""
        if not self.folders:
            return self
        own = [
            step.changed(
                **{name: _named(place, self.folders[folder], folder, "file") for name, folder in found.items()}
            )
            for step in self.chain
            for found in [folders_of(step)]
        ]
        chain = copy(self)
        chain.folders, (chain.edits, chain.files) = {}, with_base_names(own)
        chain.bounds = [
            bound if step == before else step.bind(str(self.device), self.settings.max_memory)
            for step, before, bound in zip(own, self.chain, self.bounds, strict=True)
        ]
        return chain

    def _frame(
        self, frame: Picture, bounds: Sequence[Bound], mask: Picture | None, film: Deflicker | None
    ) -> tuple[Picture, bool]:
        """Return a picture after the edits, and whether its mask lets them change anything."""
        held = (film.nbytes if film else 0) + (mask.pixels.nbytes if mask else 0)
        weights = self.area.weights(frame, mask, None if self.subject is None else self.subject.matte(frame))
        how = self.settings
        edited = edit_picture(
            frame, bounds, weights,
            strength=how.strength, memory=how.max_memory, held=held, device=str(self.device),
        )  # fmt: skip
        changed = not changes_nothing(bounds, weights)
        return film.smooth(frame, edited) if film else edited, changed

    def _draw(self, path: Path) -> Picture:
        """Return the mask in a file, white where to change, and say how it was read, each way once."""
        mask, remarks = understood(load_picture(path))
        if self.area.mask_threshold is None and is_faint(mask):
            remarks += (FAINTLY,)
        for remark in remarks:
            if remark not in self._told:
                say(f"{printable(path)}: the mask is {remark}")
        self._told.update(remarks)
        return mask

    def _note(self, place: PurePosixPath, changed: bool) -> None:
        """Count a picture whose mask selects no pixel, and say so."""
        if not changed:
            self.unchanged += 1
            say(f"{printable(place)}: {NO_PIXEL}")

    def recipe(
        self,
        source: FileStamp,
        place: PurePosixPath,
        kind: str,
        animated: bool = False,
        follows: FileStamp | None = None,
    ) -> dict[str, Any]:
        """Return the recipe of a picture's result in the format `kind`, Pillow's word.

        `follows` is the frame before it, if it is a frame of a film.
        """
        mask, own = self.mask_for(place), self._for_place(place)
        return EditRecipe(
            pinxit=__version__,
            edit=chain_document(own.edits, EDITS),
            strength=self.settings.strength,
            max_memory=self.settings.max_memory,
            device=self.device.type,
            input=source,
            mask=self.area,
            drawn=FileStamp.of(mask) if mask else None,
            files=own.files,
            steady=self.steady if animated or follows else None,
            follows=follows,
            quality=(self.settings.quality or AUTO) if kind in LOSSY else None,
            weights=self.weights,
        ).model_dump(mode="json")

    def mask_for(self, place: PurePosixPath) -> Path | None:
        """Return the file of a picture's mask; `DataError` unless a folder of masks holds exactly one."""
        return self.mask if self.masks is None else _named(place, self.masks, self.mask, "mask")


def save(path: Path, result: Picture | Animation, recipe: dict[str, Any]) -> None:
    """Write a result with its recipe, as `save_picture` and `save_animation` do, at the quality in the recipe."""
    if isinstance(result, Animation):
        save_animation(path, result, recipe, recipe.get("quality"))
    else:
        save_picture(path, result, recipe, recipe.get("quality"))


def _named(place: PurePosixPath, files: Mapping[str, list[Path]], folder: Path | None, what: str) -> Path:
    """Return the one of a folder's files (`_by_stem`) that is named like a picture; `DataError` unless it is one."""
    fitting = files.get(place.as_posix()) or files.get(place.with_suffix("").as_posix(), [])
    if len(fitting) != 1:
        count = f"{len(fitting)} {what}s" if fitting else f"no {what}"
        raise DataError(f"{printable(place)}: {folder} has {count} named {printable(place.stem)}.*")
    return fitting[0]


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    """Return the pictures of a folder by their place in it without the suffix."""
    masks = defaultdict(list)
    for one in find([str(folder)], recursive=True, out=None).found:
        masks[one.place.with_suffix("").as_posix()].append(one.path)
    return masks
