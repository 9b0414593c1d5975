"""What the folders of a set say: which files pinxit wrote, which pictures are held out, and which class each has."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from posixpath import commonprefix, splitext
from typing import NamedTuple

from pinxit.data.labels import TABLE, Labels, matched, read_labels
from pinxit.errors import DataError
from pinxit.files import LARGEST_JSON, parse_json
from pinxit.images import SUFFIXES
from pinxit.marks import HEAD, RESULTS, RUN, SHEET, bears_mark, mark_of

OFFICIAL = {
    "train": "train", "training": "train",
    "val": "test", "valid": "test", "validation": "test", "test": "test", "testing": "test",
}  # fmt: skip
"""Names of folders, in any case, that divide a set, and the part each is; `part_of` knows more."""
_AFTER = re.compile(r"[-_ ]?(set|data|images?|[12][0-9]{3})$")
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
    layout = _divided([name for name in kept if like_picture(name)], wrapped)
    if table := _table_among(kept, layout.names):
        layout = _tabled(layout, table, head(table, LARGEST_JSON))
        kept.remove(table)
    others = Counter(_suffix(name) or "no suffix" for name in kept if not like_picture(name))
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(NAMED))
    skipped = (f"skipped, not named like pictures: {kinds}",) if kinds else ()
    return layout._replace(notes=(*own, *skipped, *layout.notes))


def _table_among(names: Sequence[str], pictures: Sequence[str]) -> str:
    """Return the table of labels, in the set's own folder or in that around all pictures; "" if there is none."""
    around = "".join(f"{folder}/" for folder in commonprefix([name.split("/")[:-1] for name in pictures] or [[]]))
    places = [name for name in names if name.lower() in (TABLE, f"{around.lower()}{TABLE}")]
    return min(places, key=len, default="")


def _tabled(layout: Layout, table: str, content: bytes) -> Layout:
    """Return a layout with the classes of a table, if it is one, in place of those of folders."""
    try:
        rows = read_labels(content)
    except DataError as error:
        return layout._replace(notes=(*layout.notes, f"{table} is not used: {error}"))
    return _labelled(layout, table, matched(rows, layout.names))


def _labelled(layout: Layout, table: str, labels: Labels) -> Layout:
    """Return a layout with these classes; pictures without one are left out."""
    kept = [place for place, name in enumerate(layout.names) if name in labels.of]
    bare = [name for name in layout.names if name not in labels.of and name not in labels.unclear]
    said = [f"the classes are those of {table}" + (f", its files found {labels.how}" if labels.how else "")]
    for what, names in {
        f"left out, without a label in {table}": bare,
        f"left out, with several labels in {table}": labels.unclear,
        f"named in {table}, but not here": labels.absent,
    }.items():
        if names:
            said.append(f"{what}: {first_few(names)}")
    names = [layout.names[place] for place in kept]
    parts = layout.parts and [layout.parts[place] for place in kept]
    return Layout(names, [labels.of[name] for name in names], parts, (*layout.notes, *said))


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


def part_of(folder: str) -> str:
    """Return the part that a folder's name says, also with a year or the like after it (train2017); "" if none."""
    return OFFICIAL.get(_AFTER.sub("", folder.lower()), "")


def _divided(names: list[str], wrapped: bool) -> Layout:
    """Return sorted pictures with the parts and classes that their folders name.

    Parts are looked for in the first folders that differ (set/train), and inside each of these (cats/train).
    """
    paths = {name: name.split("/") for name in names}
    around = commonprefix([path[:-1] for path in paths.values()] or [[]])
    depth = len(around)
    if {part_of(_folder(path, depth)) for path in paths.values()} >= {"train", "test"}:
        return _official(paths, depth, depth + 1)
    inside = defaultdict[str, set[str]](set)
    for path in paths.values():
        inside[_folder(path, depth)].add(part_of(_folder(path, depth + 1)))
    if all("train" in parts for parts in inside.values()) and any("test" in parts for parts in inside.values()):
        return _official(paths, depth + 1, depth)
    depth = bool(wrapped and around) or 0
    while depth < len(around) and part_of(around[depth]):
        depth += 1
    labels = [_folder(path, depth) for path in paths.values()]
    if "" in labels or len(set(labels)) < 2:
        return Layout(names, None, None, ())
    return Layout(names, labels, None, _like_parts(set(labels)))


def _folder(path: list[str], depth: int) -> str:
    """Return the folder at a depth of a file's path; "" if there is none."""
    return path[depth] if len(path) > depth + 1 else ""


def _like_parts(classes: set[str]) -> tuple[str, ...]:
    """Return a remark if classes have the names of parts, but not such as are understood."""
    alike = {word: [name for name in classes if name.lower().startswith(word)] for word in ("train", "test", "val")}
    if not (alike["train"] and (alike["test"] or alike["val"])):
        return ()
    shown = first_few(sorted(name for names in alike.values() for name in names))
    return (f"the folders {shown} are classes; to divide the set, name them train and test",)


def _official(paths: dict[str, list[str]], where: int, inner: int) -> Layout:
    """Return the pictures in folders of parts at the depth `where`; folders at the depth `inner` may be classes.

    They are if there are several with pictures to train on.
    """
    parts = {name: part for name, path in paths.items() if (part := part_of(_folder(path, where)))}
    insides = {name: _folder(paths[name], inner) for name in parts}
    trained = {insides[name] for name, part in parts.items() if part == "train"}
    classes = trained if len(trained) > 1 and "" not in trained else None
    kept = [name for name in parts if classes is None or insides[name] in classes]
    counts = Counter(parts[name] for name in kept)
    tops = {part: {f"{paths[name][where]}/" for name in parts if parts[name] == part} for part in counts}
    found = {part: ", ".join(sorted(folders)) for part, folders in tops.items()}
    said = [f"{found['train']}: {counts['train']:,} pictures to train on; {found['test']}: {counts['test']:,} held out"]
    said[0] += f"; classes are the folders {'inside' if inner > where else 'around'}" if classes else ""
    if left := sorted(set(paths).difference(kept)):
        place = "in these folders, or in a class folder that is trained on" if classes else "in these folders"
        said.append(f"{len(left)} pictures are not {place} and are left out: {first_few(left)}")
    labels = [insides[name] for name in kept] if classes else None
    return Layout(kept, labels, [parts[name] for name in kept], tuple(said))
