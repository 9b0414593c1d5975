"""Which pictures a request names, and which files their results become. No picture is decoded here, only headers."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from itertools import count, pairwise
from pathlib import Path, PurePath, PurePosixPath

from pinxit.errors import DataError, UsageError, printable
from pinxit.files import refuse_links
from pinxit.images import QUALITY, SUFFIXES, Picture, format_of, kind_of
from pinxit.images.animations import Animation, animated_kind_of, is_animation, load_media
from pinxit.jobs.results import results_in
from pinxit.jobs.settings import AUTO, SAVED, EditSettings
from pinxit.marks import RUN, SHEET, bears_mark, folder_mark, mark_at

MAP = ".map.png"  # a result's map is named like the result, with this at the end
LOSSY = ("JPEG", "WEBP", "AVIF")


@dataclass(frozen=True)
class Found:
    """A picture that was asked for: its file, and its place in the tree, which results keep.

    `problem` says why the file or folder cannot be listed; empty if it can.
    """

    path: Path
    place: PurePosixPath
    problem: str = ""


@dataclass(frozen=True)
class Listing:
    """The pictures found, in order and each once, and remarks on what was skipped.

    `single` is true if the request names one file; its result may then be a file of any name.
    """

    found: tuple[Found, ...]
    remarks: tuple[str, ...]
    single: bool


@dataclass(frozen=True)
class Job:
    """One picture to edit: its file, its place in the tree, and the file its result goes to.

    `problem` is as in `Found`. `previous` is the frame before it, if it is a frame of a film.
    """

    path: Path
    place: PurePosixPath
    out: Path
    problem: str = ""
    animated: bool = False
    previous: Job | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The file's name on one line, for messages."""
        return printable(self.path)

    def load(self) -> Picture | Animation:
        """Return the picture; `DataError` if it cannot be read completely."""
        if self.problem:
            raise DataError(f"{self.name}: {self.problem}")
        return load_media(self.path, self.name)

    def outputs(self, settings: EditSettings) -> list[Path]:
        """Return the files to write: the result, and its recipe and map if asked for."""
        extras = {sidecar(self.out): settings.sidecar, map_of(self.out): settings.map}
        return [self.out, *(path for path, wanted in extras.items() if wanted)]


def find(words: Sequence[str], recursive: bool, out: Path | None) -> Listing:
    """List the pictures that files, folders and patterns such as 'photos/*.jpg' name.

    A named file counts whatever its name, even if it does not exist: reading it reports the error. Folders and patterns
    contribute the files with a picture's suffix. Hidden files, links to folders, the folder `out`, and what pinxit made
    itself (runs, sheets, results in folders inside) are skipped.
    """
    walk = _Walk(recursive, out)
    found = [one for word in words for one in _named_by(word, walk)]
    once = {os.path.abspath(one.path): one for one in reversed(found)}  # noqa: PTH100  (resolve would follow links)
    listed = tuple(one for one in found if once.pop(os.path.abspath(one.path), None))  # noqa: PTH100
    kinds = ", ".join(f"{count:,} {what}" for what, count in (+walk.skipped).most_common(5))
    remarks = (f"skipped: {kinds}",) if kinds else ()
    return Listing(listed, remarks, len(listed) == 1 and not any(Path(word).is_dir() for word in words))


def told_apart(found: Sequence[Found]) -> list[Found]:
    """Return the pictures with different places: if some are equal, all begin with as many folders as that takes."""
    paths = [PurePosixPath(os.path.abspath(one.path)).parts[1:] for one in found]  # noqa: PTH100
    places = [one.place for one in found]
    depth = 1
    while len(set(places)) < len(places):
        depth += 1
        kept = [max(depth, len(one.place.parts)) for one in found]
        places = [PurePosixPath(*path[-count:]) for path, count in zip(paths, kept, strict=True)]
    return [replace(one, place=place) for one, place in zip(found, places, strict=True)]


def plan(found: Sequence[Found], out: Path, folder: Path | None, settings: EditSettings) -> list[Job]:
    """Return a job for each picture: into `folder`, or one picture into the file `out`.

    With `settings.frames` the jobs are in the order of the numbers in their names. Raises `UsageError` if results
    cannot be written there or in that format.
    """
    if settings.frames:
        found = sorted(found, key=by_numbers)
    animated = [not one.problem and is_animation(one.path) for one in found]
    if folder is None:
        check_format(out, settings, any(animated))
        results = [out]
    else:
        _check_folder(out, len(found))
        if out.suffix.lower() in SUFFIXES and not out.is_dir():
            raise UsageError(f"{out} would be a folder with the name of a picture; choose another -o")
        results = [folder / place for place in result_places([one.place for one in found], animated, settings)]
        for inside in sorted({result.parent for result in results}):
            refuse_links(inside, folder)
    check_quality([format_of(result) for result in results], settings)
    jobs: list[Job] = []
    for one, result, is_animated in zip(found, results, animated, strict=True):
        previous = jobs[-1] if settings.frames and jobs else None
        jobs.append(Job(one.path, one.place, result, one.problem, is_animated, previous))
    return jobs


def _check_folder(out: Path, pictures: int) -> None:
    if out.is_dir() or not out.exists():
        return
    if not out.is_file():
        raise UsageError(f"{printable(out)} is neither a file nor a folder; results go to a file such as result.png")
    if pictures == 1:
        raise UsageError(f"{printable(out)} is a file without the suffix of a picture; -o {printable(out)}.png works")
    raise UsageError(f"{printable(out)} is a file; several pictures need a folder")


def losses(jobs: Sequence[Job], settings: EditSettings = EditSettings()) -> list[str]:
    """Return remarks on what the formats of the results lose, and on those that are not the pictures' own."""
    kinds = {format_of(job.out) for job in jobs}
    remarks = []
    if lossy := sorted(kinds.intersection(LOSSY)):
        quality = settings.quality or QUALITY
        remarks.append(
            f"results in {' and '.join(lossy)} are compressed at quality {quality}; --format png is lossless"
        )
    others = {job.path.suffix.lower() for job in jobs if job.out.suffix.lower() != job.path.suffix.lower()}
    if settings.format == AUTO and others:
        remarks.append(f"results of {' and '.join(sorted(others))} are PNG: pinxit does not write their own format")
    if "GIF" in kinds:
        remarks.append("results in GIF have 256 colours per frame; --format png is lossless")
    return remarks


def refuse_to_overwrite(jobs: Sequence[Job], words: Sequence[str], folder: Path | None, settings: EditSettings) -> None:
    """Raise `UsageError` if a result would replace its own picture, or an existing file that is not to be kept."""
    if folder and folder.is_dir() and any(Path(word).is_dir() and folder.samefile(word) for word in words):
        raise UsageError(
            f"-o {printable(folder)} is where the pictures are; choose another folder, or replace them with -y"
        )
    existing = [job for job in jobs if any(os.path.lexists(path) for path in job.outputs(settings))]
    for job in existing:
        if job.path.exists() and job.out.exists() and job.out.samefile(job.path):
            raise UsageError(f"{printable(job.out)} would be replaced by its own result; choose another -o, or add -y")
    if existing and not settings.skip_existing:
        first = printable(existing[0].out)
        what = f"{len(existing):,} results exist, the first is {first}" if len(jobs) > 1 else f"{first} exists"
        raise UsageError(f"{what}; -y replaces what exists, --skip-existing keeps it")


def written_kind(out: Path, animated: bool) -> str:
    """Return Pillow's word for the format of a result; `UsageError` if we do not write its suffix."""
    return (animated_kind_of if animated else kind_of)(out)


def check_format(out: Path, settings: EditSettings, animated: bool) -> None:
    """Raise `UsageError` if the suffix of `out` is not a format we write, or contradicts `--format`."""
    kind, asked = written_kind(out, animated), settings.format
    if "format" in settings.model_fields_set and asked != AUTO and kind != kind_of(Path(f"a{SAVED[asked]}")):
        raise UsageError(f"--format {asked}: the suffix of {out.name} is another format; give only one of the two")


def check_quality(kinds: Collection[str], settings: EditSettings) -> None:
    """Raise `UsageError` if a quality is given and no result is of a format that has one."""
    if settings.quality is not None and kinds and not set(kinds).intersection(LOSSY):
        raise UsageError(
            f"--quality {settings.quality} is for JPEG, WebP and AVIF, not for {' or '.join(sorted(set(kinds)))}; "
            "--format jpeg makes such results"
        )


def by_numbers(one: Found) -> list[tuple[int, str]]:
    """Return a key that sorts pictures by the numbers in their names: 9.png before 10.png."""
    parts = re.split(r"([0-9]+)", one.place.as_posix())
    return [(int(part), "") if number % 2 else (0, part) for number, part in enumerate(parts)]


def result_places(
    places: Sequence[PurePosixPath], animated: Sequence[bool], settings: EditSettings
) -> list[PurePosixPath]:
    """Return the place of each result; animations keep their format unless another is asked for."""
    keep = settings.format == AUTO or "format" not in settings.model_fields_set
    return name_results(places, settings.format, [number for number, each in enumerate(animated) if each and keep])


def name_results(places: Sequence[PurePosixPath], kind: str, animated: Collection[int] = ()) -> list[PurePosixPath]:
    """Return the place of each picture's result: same folder, same stem, and the suffix of the format `kind`.

    The numbers in `animated` are animations; they keep their own suffix where we can write it. If two results would
    share a name (cat.jpg and cat.webp), both keep their suffix before the new one: cat.jpg.png. Names that differ only
    in case count as equal, and get a number: A.png and a.PNG become A.png.png and a.PNG-2.png. Raises `UsageError` if
    two pictures have the same place.
    """
    doubled = [place for place, times in Counter(places).items() if times > 1]
    if doubled:
        raise UsageError(
            f"two pictures would both become {doubled[0].stem}: both are named {doubled[0]}; "
            "edit them into different folders"
        )
    suffixes = [
        _own_suffix(place, number in animated) if kind == AUTO or number in animated else SAVED[kind]
        for number, place in enumerate(places)
    ]
    results = [place.with_name(place.stem + suffix) for place, suffix in zip(places, suffixes, strict=True)]
    kept: set[int] = set()
    while clashing := _clashing(results) - kept:
        for number in clashing:
            results[number] = places[number].with_name(places[number].name + suffixes[number])
        kept |= clashing
    numbers = count(2)
    while alike := sorted(_clashing(results), key=lambda number: places[number]):
        for number in alike[1:]:
            results[number] = places[number].with_name(f"{places[number].name}-{next(numbers)}{suffixes[number]}")
    return results


def sidecar(result: Path) -> Path:
    """Return the path of the recipe beside a result."""
    return result.with_name(f"{result.name}.json")


def map_of(result: Path) -> Path:
    """Return the path of the map beside a result."""
    return result.with_name(f"{result.name}{MAP}")


def text(path: PurePath) -> str:
    """Return a path as valid UTF-8 text with forward slashes; other bytes become escapes."""
    return path.as_posix().encode(errors="backslashreplace").decode()


def _named_by(word: str, walk: _Walk) -> list[Found]:
    if not word:
        raise UsageError("an empty word names no picture; the current folder is .")
    path = Path(word)
    walk.seen.clear()
    if path.is_dir():
        depth = ("**", "*") if walk.recursive else ("*",)
        return sorted(walk.matching(path, depth, PurePosixPath()), key=lambda one: one.place)
    if glob.has_magic(word) and not path.exists():
        return _pattern(word, walk)
    return [Found(path, PurePosixPath(path.name))]


def _pattern(pattern: str, walk: _Walk) -> list[Found]:
    parts = Path(pattern).parts
    plain = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    wanted = tuple(part for part, after in pairwise((*parts[plain:], "")) if part != "**" or after != "**")
    wanted += ("*",) * (wanted[-1] == "**")
    base = Path(*parts[:plain])
    found = sorted(walk.matching(base, wanted, PurePosixPath()), key=lambda one: one.place) if base.is_dir() else []
    if not found:
        raise UsageError(f"{printable(pattern)}: no picture matches this pattern")
    return found


@dataclass
class _Walk:
    """A search through folders; `skipped` counts what it passes over. It follows no links to folders."""

    recursive: bool
    out: Path | None
    skipped: Counter[str] = field(default_factory=Counter)
    seen: set[tuple[Path, tuple[str, ...]]] = field(default_factory=set)

    def matching(
        self, folder: Path, wanted: tuple[str, ...], place: PurePosixPath, ours: Collection[Path] = frozenset()
    ) -> Iterator[Found]:
        """Yield the pictures below a folder whose names match a pattern's parts; ** stands for folders of any depth.

        A folder is searched once for the same parts. `ours` are the results that manifests in the folders above list.
        """
        if (folder, wanted) in self.seen:
            return
        self.seen.add((folder, wanted))
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield Found(folder, PurePosixPath(folder.name), f"cannot be listed ({error.strerror})")
            return
        ours = results_in(folder).union(ours) if place.parts else ours
        deep, here = wanted[0] == "**", wanted[wanted[0] == "**" :]
        for entry in listed:
            path = folder / entry.name
            if _hidden(entry.name) and not here[0].startswith("."):
                continue
            if not path.is_dir():
                if len(here) == 1 and fnmatch(entry.name, here[0]) and self._takes(path, ours):
                    yield Found(path, place / entry.name)
            elif (deep or len(here) > 1) and self._enters(path):
                matches = len(here) > 1 and fnmatch(entry.name, here[0])
                yield from self.matching(path, wanted, place / entry.name, ours) if deep else ()
                yield from self.matching(path, here[1:], place / entry.name, ours) if matches else ()
            elif len(wanted) == 1 and not entry.is_symlink() and not _same(path, self.out):
                self.skipped["folders inside (-r includes them)"] += 1

    def _takes(self, path: Path, ours: Collection[Path]) -> bool:
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            self.skipped[suffix or "files without a suffix"] += 1
        elif path in ours:
            self.skipped["results of earlier edits (name their folder to edit them)"] += 1
        elif bears_mark(path.name) and mark_at(path) == SHEET:
            self.skipped["sheets that pinxit made"] += 1
        else:
            return True
        return False

    def _enters(self, path: Path) -> bool:
        if path.is_symlink():
            self.skipped["links to folders"] += 1
        elif _same(path, self.out):
            return False
        elif folder_mark(path) == RUN:
            self.skipped["runs of pinxit"] += 1
        else:
            return True
        return False


def _hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX")) or (
        name.endswith(MAP) and Path(name.removesuffix(MAP)).suffix.lower() in SUFFIXES
    )


def _same(path: Path, out: Path | None) -> bool:
    return out is not None and out.exists() and path.samefile(out)


def _own_suffix(place: PurePosixPath, animated: bool) -> str:
    try:
        written_kind(Path(place), animated)
    except UsageError:
        return SAVED["png"]
    return place.suffix


def _clashing(results: Sequence[PurePosixPath]) -> set[int]:
    """Return the numbers of the results that share a name, or have the name of a folder that others lie in."""
    names = [str(result).casefold() for result in results]
    folders = {str(folder).casefold() for result in results for folder in result.parents}
    counts = Counter(names)
    return {number for number, name in enumerate(names) if counts[name] > 1 or name in folders}
