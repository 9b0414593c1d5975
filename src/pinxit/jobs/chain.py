"""A chain of edits, loaded once and applied to any number of pictures, animations and frames.

`redo` loads the chain of a result's recipe and applies it again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

from pinxit import __version__
from pinxit.edits import EDITS
from pinxit.edits.engine import edit_picture
from pinxit.edits.mask import Mask
from pinxit.edits.settings import Edit
from pinxit.errors import DataError, UsageError
from pinxit.files import sha256
from pinxit.hardware import choose
from pinxit.images import Picture, load_picture, save_picture
from pinxit.images.animations import Animation, load_media, save_animation
from pinxit.jobs import EditSettings
from pinxit.jobs.film import Deflicker
from pinxit.jobs.listing import find, printable
from pinxit.jobs.recipe import EditRecipe, FileStamp, with_base_names, with_files
from pinxit.progress import say, track
from pinxit.settings import chain_document


class LoadedChain:
    """A chain of edits with its weights loaded, its settings, and the area it changes.

    `area` chooses where pictures change; `mask` is a picture that is white there, or a folder of such pictures, each
    with the place and stem of the picture it belongs to.
    """

    def __init__(
        self, chain: Sequence[Edit], settings: EditSettings, area: Mask = Mask(), mask: Path | None = None
    ) -> None:
        chosen = choose(settings.device)
        say(f"editing on {chosen.device}: {chosen.reason.partition(';')[0]}")
        self.device, self.settings = chosen.device, settings
        self.area, self.mask = area, mask
        self.edits, self.files = with_base_names(chain)
        self.bounds = [edit.bind(str(chosen.device), settings.max_memory) for edit in chain]
        self.steady = max(edit.steady for edit in chain) if settings.steady is None else settings.steady
        self.weights = {name: digest for bound in self.bounds for name, digest in bound.weights.items()}
        self.masks = _by_stem(mask) if mask and mask.is_dir() else None
        if mask and self.masks is None:
            load_picture(mask)  # reports an unreadable mask once, not for every picture

    def edit(
        self, given: Picture | Animation, place: PurePosixPath, film: Deflicker | None = None
    ) -> Picture | Animation:
        """Return a picture after the edits, or an animation whose frames are edited when they are read.

        `place` finds the picture's mask in a folder of masks; one mask holds for all frames. `film` is the memory of
        the film that a picture is the next frame of.
        """
        path = self.mask_for(place)
        mask = load_picture(path) if path else None
        if isinstance(given, Picture):
            return self.edit_frame(given, mask, film)

        def frames() -> Iterator[Picture]:
            memory = Deflicker(self.steady) if self.steady else None
            for frame in track(given.frames(), f"{printable(place)}: frame", len(given.durations)):
                yield self.edit_frame(frame, mask, memory)

        return replace(given, frames=frames)

    def edit_frame(self, frame: Picture, mask: Picture | None, film: Deflicker | None) -> Picture:
        """Return a picture after the edits, smoothed over the earlier frames of `film` if there is one."""
        memory = self.settings.max_memory
        if memory is not None and film:
            memory -= film.nbytes
        edited = edit_picture(
            frame, self.bounds, self.area.weights(frame, mask),
            strength=self.settings.strength, memory=memory, device=str(self.device),
        )  # fmt: skip
        return film.smooth(frame, edited) if film else edited

    def recipe(
        self, source: FileStamp, place: PurePosixPath, animated: bool = False, follows: FileStamp | None = None
    ) -> dict[str, Any]:
        """Return the recipe of a picture's result; `follows` is the frame before it, if it is a frame of a film."""
        mask = self.mask_for(place)
        return EditRecipe(
            pinxit=__version__,
            edit=chain_document(self.edits, EDITS),
            strength=self.settings.strength,
            max_memory=self.settings.max_memory,
            device=self.device.type,
            input=source,
            mask=self.area,
            drawn=FileStamp.of(mask) if mask else None,
            files=self.files,
            steady=self.steady if animated or follows else None,
            follows=follows,
            weights=self.weights,
        ).model_dump(mode="json")

    def mask_for(self, place: PurePosixPath) -> Path | None:
        """Return the file of a picture's mask; `DataError` unless a folder of masks holds exactly one."""
        if self.masks is None:
            return self.mask
        fitting = self.masks.get(place.as_posix()) or self.masks.get(place.with_suffix("").as_posix(), [])
        if len(fitting) != 1:
            count = f"{len(fitting)} masks" if fitting else "no mask"
            raise DataError(f"{printable(place)}: {self.mask} has {count} named {printable(place.stem)}.*")
        return fitting[0]


def save(path: Path, result: Picture | Animation, recipe: dict[str, Any]) -> None:
    """Write a result with its recipe, as `save_picture` and `save_animation` do."""
    if isinstance(result, Animation):
        save_animation(path, result, recipe)
    else:
        save_picture(path, result, recipe)


def redo(
    result: Path, on: Path | None = None, out: Path | None = None, device: str | None = None, overwrite: bool = False
) -> Path:
    """Make `result` again by the recipe in it, and return the path of the new result.

    The files involved are looked for in the folders of `result` and `on` and in the current folder; a missing or
    changed one raises a `DataError` that names it. `on` is the original picture if it lies elsewhere, or another
    picture. `out` is by default the first free name of RESULT-2, RESULT-3 ...; `device` is by default the recipe's.
    """
    recipe = EditRecipe.of(result)
    if recipe.follows:
        raise DataError(
            f"{result}: a frame of a film, made after {recipe.follows.name}; `edit --frames` makes the whole film again"
        )
    if recipe.pinxit != __version__:
        say(f"{result} was made by pinxit {recipe.pinxit}, this is {__version__}: the bytes may differ")
    folders = list(dict.fromkeys((result.parent, (on or result).parent, Path())))
    source = on or recipe.input.find(folders, f"the picture {result.name} was made from", "give its path with --on")
    loaded = _load(recipe, folders, device or recipe.device)
    if loaded.weights != recipe.weights:
        raise DataError(
            f"{result}: made with other weights than pinxit {__version__} ships; pinxit {recipe.pinxit} has them"
        )
    target = out or _free(result.with_stem(source.stem) if on else result)
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists; -y replaces it")

    stamp = FileStamp.of(source)
    same = stamp.sha256 == recipe.input.sha256
    place = PurePosixPath(source.name)
    given = load_media(source)
    made_by = loaded.recipe(recipe.input if same else stamp, place, animated=isinstance(given, Animation))
    save(target, loaded.edit(given, place), made_by)
    if not same:
        say(f"{source} is not the picture that {result.name} was made from")
    elif target.suffix == result.suffix:
        say("the same bytes as before" if sha256(target) == sha256(result) else "not the same bytes as before")
    return target


def _load(recipe: EditRecipe, folders: list[Path], device: str) -> LoadedChain:
    """Return the chain of a recipe, every file of which is found and unchanged."""
    found = {stamp.name: stamp.find(folders, "the file the edit used") for stamp in recipe.files}

    def file(path: Path) -> Path:
        if str(path) not in found:
            raise DataError(f"the recipe names {path} without its sha256")
        return found[str(path)]

    steps = [with_files(step, file) for step in recipe.chain()]
    mask = recipe.drawn.find(folders, "the mask it was made with") if recipe.drawn else None
    settings = EditSettings.parse(
        {"strength": recipe.strength, "max_memory": recipe.max_memory, "device": device, "steady": recipe.steady}
    )
    return LoadedChain(steps, settings, recipe.mask, mask)


def _free(usual: Path) -> Path:
    path, numbers = usual, count(2)
    while path.exists():
        path = usual.with_stem(f"{usual.stem}-{next(numbers)}")
    return path


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    """Return the pictures of a folder by their place in it without the suffix."""
    masks = defaultdict(list)
    for one in find([str(folder)], recursive=True, out=None).found:
        masks[one.place.with_suffix("").as_posix()].append(one.path)
    return masks
