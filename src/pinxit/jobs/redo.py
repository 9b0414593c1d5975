"""A result made again: the same bytes from the same files, or the same edits on another picture."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath

from pinxit import __version__
from pinxit.errors import DataError, UsageError
from pinxit.files import free, refuse_to_replace, sha256
from pinxit.images import AUTO, Picture, format_of
from pinxit.images.animations import Animation, first_of, load_media
from pinxit.jobs.chain import LoadedChain, save
from pinxit.jobs.recipe import EditRecipe, FileStamp, with_files
from pinxit.jobs.settings import EditSettings
from pinxit.progress import say

UNUSUAL = 5
"""How many times the usual steps, or the pixels of a result, a recipe may ask for."""
FEW_PIXELS = 16_000_000
TRUST = "if you trust it, add --trust"


def redo(
    result: Path,
    on: Path | None = None,
    out: Path | None = None,
    device: str | None = None,
    overwrite: bool = False,
    trust: bool = False,
) -> Path:
    """Make `result` again by the recipe in it, and return the path of the new result.

    All files of the recipe are searched in the folders of `result` and `on`, and in the current folder. A missing or
    changed file is a `DataError` that names it. `on` is the original picture if it lies elsewhere, or another picture.
    `out` is by default the first free name of RESULT-2, RESULT-3 ...; `device` is by default the recipe's.

    Without `trust`, a recipe that asks for unusually many steps, or for far more pixels than `result` has, is a
    `UsageError`: it may come from a stranger.
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
    target = out or free(result.with_stem(source.stem) if on else result)
    refuse_to_replace(target, overwrite=overwrite)
    stamp = FileStamp.of(source)
    same = stamp.sha256 == recipe.input.sha256
    place = PurePosixPath(source.name)
    given = load_media(source)
    if not trust:
        _refuse_excess(loaded, result, first_of(given))
    made_by = loaded.recipe(
        recipe.input if same else stamp, place, format_of(target), animated=isinstance(given, Animation)
    )
    if recipe.quality is None:  # made before there was a choice
        made_by.pop("quality", None)
    save(target, loaded.edit(given, place), made_by)
    if not same:
        say(f"{source} is not the picture that {result.name} was made from")
    elif target.suffix == result.suffix:
        say("the same bytes as before" if sha256(target) == sha256(result) else "not the same bytes as before")
    return target


def _refuse_excess(loaded: LoadedChain, result: Path, given: Picture) -> None:
    """Raise `UsageError` if a chain takes unusually many steps, or makes far more pixels than its result has."""
    for step in loaded.edits:
        for name in ("steps", "max_steps", "channels"):
            field = type(step).model_fields.get(name)
            if field and getattr(step, name) > (most := UNUSUAL * field.default):
                raise UsageError(f"{result}: its recipe asks for {name}={getattr(step, name)}, over {most}; {TRUST}")
    size = given.pixels.shape[:2]
    for bound in loaded.bounds:
        high, wide = (length + sum(more) for length, more in zip(size, bound.padding, strict=True))
        size = bound.result_size((high, wide))
    planned = math.prod(size)
    if planned > FEW_PIXELS and planned > UNUSUAL * math.prod(first_of(load_media(result)).pixels.shape[:2]):
        raise UsageError(f"{result}: its recipe makes {size[1]} x {size[0]} pixels, far more than it has; {TRUST}")


def _load(recipe: EditRecipe, folders: list[Path], device: str) -> LoadedChain:
    """Return the chain of a recipe; `DataError` if one of its files is missing or changed."""
    found = {stamp.name: stamp.find(folders, "the file the edit used") for stamp in recipe.files}

    def file(path: Path) -> Path:
        if str(path) not in found:
            raise DataError(f"the recipe names {path} without its sha256")
        return found[str(path)]

    steps = [with_files(step, file) for step in recipe.chain()]
    mask = recipe.drawn.find(folders, "the mask it was made with") if recipe.drawn else None
    settings = EditSettings.parse(
        {
            "strength": recipe.strength,
            "max_memory": recipe.max_memory,
            "device": device,
            "steady": recipe.steady,
            "quality": None if recipe.quality == AUTO else recipe.quality,
        }
    )
    return LoadedChain(steps, settings, recipe.mask, mask, recipe.weights)
