"""What the folders of a set say: which files pinxit wrote, which pictures are held out, and which class each has."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from posixpath import splitext
from typing import NamedTuple

from pinxit.errors import DataError
from pinxit.files import LARGEST_JSON, parse_json
from pinxit.images import SUFFIXES
from pinxit.marks import HEAD, RESULTS, RUN, SHEET, bears_mark, mark_of

OFFICIAL = {
    "train": "train", "training": "train",
    "val": "test", "valid": "test", "validation": "test", "test": "test", "testing": "test",
}  # fmt: skip
"""Names of folders, in any case, that divide a set, and the part each is."""
STAMPS_COMPARED = 8
NAMED = 5
HIDDEN = (".", "__MACOSX")

Head = Callable[[str, int], bytes]
"""Returns the first bytes of a file of the set, at most so many; b"" if it cannot be read."""


class Layout(NamedTuple):
    """The pictures of a set by name, sorted, with their classes and parts if the folders say so, and remarks."""

    names: list[str]
    labels: list[str] | None
    parts: list[str] | None
    notes: tuple[str, ...]


def layout_of(found: Iterable[str], head: Head, wrapped: bool = False) -> Layout:
    """Return the pictures among the files of a set.

    `head` reads the beginning of a file. With `wrapped`, a single folder around everything says nothing.
    """
    shown = [name for name in found if not any(part.startswith(HIDDEN) for part in name.split("/"))]
    kept, own = _without_own(sorted(shown), head)
    others = Counter(_suffix(name) or "no suffix" for name in kept if not like_picture(name))
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(NAMED))
    layout = _divided([name for name in kept if like_picture(name)], wrapped)
    skipped = (f"skipped, not named like pictures: {kinds}",) if kinds else ()
    return layout._replace(notes=(*own, *skipped, *layout.notes))


def like_picture(name: str) -> bool:
    """Return whether a file is named like a picture."""
    return _suffix(name) in SUFFIXES


def _suffix(name: str) -> str:
    return splitext(name)[1].lower()


def first_few(names: Sequence[str]) -> str:
    """Return the first names of a list as text."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _without_own(names: list[str], head: Head) -> tuple[list[str], tuple[str, ...]]:
    """Return the files without runs, sheets, and results whose pictures are in the set too; say what was left out."""
    marks = {name: mark for name in names if bears_mark(name) and (mark := mark_of(name, head(name, HEAD)))}
    folders = {name[: name.rindex("/") + 1]: mark for name, mark in marks.items() if mark != SHEET and "/" in name}
    runs = [folder for folder, mark in folders.items() if mark == RUN]
    names = [name for name in names if not name.startswith(tuple(runs))]
    results = [folder for folder, mark in folders.items() if mark == RESULTS and _repeats(folder, names, head)]
    outside = [name for name in names if not name.startswith(tuple(results))]
    sheets = [name for name in outside if marks.get(name) == SHEET]
    own = {"runs": runs, "results of pictures that are in the set": results, "sheets": sheets}
    said = "; ".join(f"{what} ({first_few(items)})" for what, items in own.items() if items)
    return sorted(set(outside).difference(sheets)), (f"left out, made by pinxit: {said}",) if said else ()


def _repeats(folder: str, names: Sequence[str], head: Head) -> bool:
    """Return whether results were made from pictures that are in the set, by the first stamps in their manifest."""
    outside = defaultdict[str, list[str]](list)
    for name in names:
        if not name.startswith(folder):
            outside[name.rpartition("/")[2]].append(name)
    for base, digest in islice(_stamps(head(f"{folder}manifest.json", LARGEST_JSON)), STAMPS_COMPARED):
        for name in outside[base][:STAMPS_COMPARED]:
            if hashlib.sha256(head(name, -1)).hexdigest() == digest:
                return True
    return False


def _stamps(manifest: bytes) -> Iterable[tuple[str, str]]:
    """Yield name and SHA-256 of the pictures that the entries of a manifest were made from."""
    try:
        for entry in parse_json(manifest, "manifest.json")["pictures"]:
            if entry["recipe"]:
                yield str(entry["recipe"]["input"]["name"]), str(entry["recipe"]["input"]["sha256"])
    except (DataError, LookupError, TypeError):
        return


def _divided(names: list[str], wrapped: bool) -> Layout:
    """Return sorted pictures with the parts and classes that their folders name."""
    tops = {name.partition("/")[0] for name in names if "/" in name}
    parts = {top: OFFICIAL[top.lower()] for top in tops if top.lower() in OFFICIAL}
    if len(tops) == 1 and (wrapped or parts) and all("/" in name for name in names):
        inside = {name.partition("/")[2]: name for name in names}
        inner = _divided([*inside], False)
        return inner._replace(names=[inside[name] for name in inner.names])
    if len(set(parts.values())) < 2:
        labels = [name.partition("/")[0] for name in names if "/" in name]
        return Layout(names, labels if len(labels) == len(names) and len(set(labels)) > 1 else None, None, ())
    return _official(names, parts)


def _official(names: list[str], parts: dict[str, str]) -> Layout:
    """Return the pictures in folders of parts; classes are the folders inside those to train on."""
    paths = {name: name.split("/") for name in names if name.partition("/")[0] in parts and "/" in name}
    trained = [path for path in paths.values() if parts[path[0]] == "train"]
    inside = {path[1] for path in trained}
    classes = inside if len(inside) > 1 and all(len(path) > 2 for path in trained) else None
    kept = [name for name, path in paths.items() if classes is None or (len(path) > 2 and path[1] in classes)]
    counts = Counter(parts[paths[name][0]] for name in kept)
    tops = {part: ", ".join(f"{top}/" for top in sorted(parts) if parts[top] == part) for part in ("train", "test")}
    said = [f"{tops['train']}: {counts['train']:,} pictures to train on; {tops['test']}: {counts['test']:,} held out"]
    said[0] += "; classes are the folders inside" if classes else ""
    if left := sorted(set(names).difference(kept)):
        where = "in these folders, or in a class folder that is trained on" if classes else "in these folders"
        said.append(f"{len(left)} pictures are not {where} and are left out: {first_few(left)}")
    labels = [paths[name][1] for name in kept] if classes else None
    return Layout(kept, labels, [parts[paths[name][0]] for name in kept], tuple(said))
