"""What made a picture, again: the same bytes from the same files, or the same edits on another picture."""

from __future__ import annotations

from itertools import chain, count
from pathlib import Path, PurePosixPath

from pinxit import __version__
from pinxit.errors import DataError, UsageError
from pinxit.files import sha256
from pinxit.images.animations import Animation, load_media
from pinxit.jobs.batch import Bench, save
from pinxit.jobs.recipe import Recipe, Stamp, with_files
from pinxit.jobs.settings import EditSettings
from pinxit.progress import say


def redo(
    result: Path, on: Path | None = None, out: Path | None = None, device: str | None = None, overwrite: bool = False
) -> Path:
    """Do again what made `result`, as the recipe in it tells, and return where the new result lies.

    The files that had a part are looked for beside `result`, beside `on`, and here; one that is missing or no longer
    the same is a `DataError` with its name. `on` is the picture it was made from where that lies elsewhere, or another
    picture. `out` is by default the first of RESULT-2, RESULT-3 ... that is free, `device` that of the recipe.
    """
    recipe = Recipe.of(result)
    if recipe.follows:
        raise DataError(
            f"{result}: a frame of a film, made after {recipe.follows.name}; `edit --frames` makes all again"
        )
    if recipe.pinxit != __version__:
        say(f"{result} was made by pinxit {recipe.pinxit}, and this is {__version__}: the bytes may differ")
    places = list(dict.fromkeys((result.parent, (on or result).parent, Path())))
    source = on or recipe.input.find(places, f"what {result.name} was made from", "--on names it")
    bench = _bench(recipe, places, device or recipe.device)
    if bench.weights != recipe.weights:
        raise DataError(
            f"{result}: made by other weights than come with pinxit {__version__}; {recipe.pinxit} has them"
        )
    target = out or _free(result.with_stem(source.stem) if on else result)
    if target.exists() and not overwrite:
        raise UsageError(f"{target} is there already; -y makes it anew")

    stamp = Stamp.of(source)
    same = stamp.sha256 == recipe.input.sha256
    place = PurePosixPath(source.name)
    given = load_media(source)
    again = bench.recipe(recipe.input if same else stamp, place, moves=isinstance(given, Animation))
    save(target, bench.edited(given, place), again.document())
    if not same:
        say(f"{source} is another picture than {result.name} was made from")
    elif target.suffix == result.suffix:
        say("the same bytes as before" if sha256(target) == sha256(result) else "not the same bytes as before")
    return target


def _bench(recipe: Recipe, places: list[Path], device: str) -> Bench:
    """Return the edits of a recipe with all their files, each found and the same."""
    there = {stamp.name: stamp.find(places, "a file of the edit") for stamp in recipe.files}

    def found(path: Path) -> Path:
        if str(path) not in there:
            raise DataError(f"the recipe names {path} and does not say what it holds")
        return there[str(path)]

    steps = [with_files(step, found) for step in recipe.chain()]
    drawn = recipe.drawn.find(places, "the picture of the mask") if recipe.drawn else None
    settings = EditSettings.parse(
        {"strength": recipe.strength, "max_memory": recipe.max_memory, "device": device, "steady": recipe.steady}
    )
    return Bench(steps, settings, recipe.mask, drawn)


def _free(usual: Path) -> Path:
    names = chain([usual], (usual.with_stem(f"{usual.stem}-{number}") for number in count(2)))
    return next(path for path in names if not path.exists())
