"""Which pictures are meant by the words of a request, and what their results are called. Nothing is decoded here."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from pinxit.errors import UsageError
from pinxit.images import SUFFIXES, kind_of
from pinxit.images.animations import animated_kind_of

PIPE = "-"

# What `--format` may be, with the suffix a result gets; `auto` keeps the input's own where pictures can be saved so.
SAVED = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tiff", "avif": ".avif"}
AUTO = "auto"
MAP = ".map.png"  # ends the name of a result's map, which begins with that of the result


@dataclass(frozen=True)
class Found:
    """A picture that was asked for: its file, and its place in the tree that results keep.

    `problem` says why what lies there could not even be listed.
    """

    path: Path
    place: PurePosixPath
    problem: str = ""


@dataclass(frozen=True)
class Listing:
    """The pictures that were found, in order and each once, and remarks on what was passed over.

    `single` says that one file was named, so that its result may be a file of any name.
    """

    found: tuple[Found, ...]
    remarks: tuple[str, ...]
    single: bool


def find(words: Sequence[str], recursive: bool, out: Path | None) -> Listing:
    """List the pictures that files, folders and patterns such as 'photos/*.jpg' mean.

    A file counts whatever its name, even if it is not there: reading it will say so. Of folders and patterns count the
    files named like pictures; what is hidden, what lies in `out`, and links to folders are not looked into.
    """
    found: list[Found] = []
    passed: Counter[str] = Counter()
    for word in words:
        found += _meant(word, recursive, out, passed)
    once = {os.path.abspath(one.path): one for one in reversed(found)}  # noqa: PTH100  (resolve would follow links)
    listed = tuple(one for one in found if once.pop(os.path.abspath(one.path), None))  # noqa: PTH100
    kinds = ", ".join(f"{count:,} {what}" for what, count in (+passed).most_common(5))
    remarks = (f"passed over: {kinds}",) if kinds else ()
    return Listing(listed, remarks, len(listed) == 1 and not any(Path(word).is_dir() for word in words))


def in_order(found: Sequence[Found]) -> list[Found]:
    """Return what was found in the order of the numbers in names: 9.png before 10.png."""

    def key(one: Found) -> list[tuple[int, str]]:
        parts = re.split(r"([0-9]+)", one.place.as_posix())
        return [(int(part), "") if number % 2 else (0, part) for number, part in enumerate(parts)]

    return sorted(found, key=key)


def name_results(places: Sequence[PurePosixPath], kind: str, moving: Collection[int] = ()) -> list[PurePosixPath]:
    """Return the result's place for each picture's: the same stem in the same folder, with the suffix of `kind`.

    Those with the numbers `moving` are animations, which keep their own suffix where they can be saved so. Where two
    would have one name, as cat.jpg and cat.webp, they keep their suffix before the new one: cat.jpg.png. Names that
    differ in case only count as one. `UsageError` if two pictures of one name have one place.
    """
    suffixes = [
        _own_suffix(place, number in moving) if kind == AUTO or number in moving else SAVED[kind]
        for number, place in enumerate(places)
    ]
    results = [place.with_name(place.stem + suffix) for place, suffix in zip(places, suffixes, strict=True)]
    kept: set[int] = set()
    while clashing := _clashing(results) - kept:
        for number in clashing:
            results[number] = places[number].with_name(places[number].name + suffixes[number])
        kept |= clashing
    if doubled := sorted(_clashing(results)):
        raise UsageError(f"two pictures would both become {results[doubled[0]]}; edit them into folders of their own")
    return results


def printable(name: object) -> str:
    """Return a name on one line: control characters, and bytes that are no UTF-8, as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(name))


def text(path: PurePath) -> str:
    """Return a path as text that any file can hold; bytes that are no UTF-8 become escapes."""
    return path.as_posix().encode(errors="backslashreplace").decode()


def _meant(word: str, recursive: bool, out: Path | None, passed: Counter[str]) -> list[Found]:
    if not word:
        raise UsageError("an empty word is no picture; . is the folder one is in")
    path = Path(word)
    if path.is_dir():
        return sorted(_folder(path, recursive, out, passed), key=lambda one: one.place)
    if glob.has_magic(word) and not path.exists():
        return _pattern(word, passed)
    return [Found(path, PurePosixPath(path.name))]


def _folder(folder: Path, recursive: bool, out: Path | None, passed: Counter[str]) -> Iterator[Found]:
    unlisted: list[OSError] = []
    for root, folders, files in os.walk(folder, onerror=unlisted.append):
        inside = [name for name in folders if not _hidden(name) and not _is(Path(root, name), out)]
        passed["links to folders"] += (links := sum(Path(root, name).is_symlink() for name in inside))
        if not recursive:
            passed["folders inside (-r takes them too)"] += len(inside) - links
        folders[:] = inside if recursive else []
        place = PurePosixPath(Path(root).relative_to(folder).as_posix())
        yield from (Found(Path(root, name), place / name) for name in _named_like_pictures(files, passed))
    for error in unlisted:
        path = Path(error.filename)
        yield Found(path, PurePosixPath(path.name), f"cannot be listed ({error.strerror})")


def _pattern(pattern: str, passed: Counter[str]) -> list[Found]:
    parts = Path(pattern).parts
    plain = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    files = [path for path in sorted(glob.glob(pattern, recursive=True)) if not Path(path).is_dir()]  # noqa: PTH207
    paths = [Path(path) for path in _named_like_pictures(files, passed)]
    if not paths:
        raise UsageError(f"{printable(pattern)}: no picture has such a name")
    return [Found(path, PurePosixPath(*path.parts[plain:])) for path in paths]


def _named_like_pictures(files: Sequence[str], passed: Counter[str]) -> list[str]:
    seen = [name for name in files if not _hidden(Path(name).name)]
    pictures = [name for name in seen if Path(name).suffix.lower() in SUFFIXES]
    passed.update(Path(name).suffix.lower() or "files without a suffix" for name in set(seen) - set(pictures))
    return pictures


def _hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX")) or (
        name.endswith(MAP) and Path(name.removesuffix(MAP)).suffix.lower() in SUFFIXES
    )


def _is(path: Path, out: Path | None) -> bool:
    return out is not None and out.exists() and path.samefile(out)


def _own_suffix(place: PurePosixPath, moves: bool) -> str:
    try:
        (animated_kind_of if moves else kind_of)(Path(place))
    except UsageError:
        return SAVED["png"]
    return place.suffix


def _clashing(results: Sequence[PurePosixPath]) -> set[int]:
    """Return the numbers of the results whose name another has, or a folder that others lie in."""
    names = [str(result).casefold() for result in results]
    folders = {str(folder).casefold() for result in results for folder in result.parents}
    counts = Counter(names)
    return {number for number, name in enumerate(names) if counts[name] > 1 or name in folders}
