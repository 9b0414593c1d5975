"""An edit over many pictures: results that are whole or not there, whatever happens to one of them, and their story."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import re
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import FrameType
from typing import Any

from pinxit import __version__
from pinxit.editors import EDITORS
from pinxit.editors.editor import Editor
from pinxit.editors.engine import edit_picture
from pinxit.editors.fidelity import disagreement, heat
from pinxit.editors.listing import AUTO, SAVED, Found, find, name_results, printable, text
from pinxit.editors.mask import Mask
from pinxit.editors.recipe import Recipe, Stamp, map_of, sidecar, stamped
from pinxit.editors.settings import EditSettings
from pinxit.editors.sheet import Pair, contact_sheet, thumbnail
from pinxit.errors import DataError, DiskError, SomeFailedError, StoppedError, UsageError, UserError, as_user_error
from pinxit.files import sha256, write_json, write_whole
from pinxit.images import SUFFIXES, Picture, kind_of, load_picture, read_recipe, save_image, save_picture, write_picture
from pinxit.progress import Line, say
from pinxit.settings import chain_document, chain_text

MANIFEST, SHEET = "manifest.json", "sheet.html"
SHEET_PAIRS = 500
LOSSY = ("JPEG", "WEBP", "AVIF")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Job:
    """One picture to edit: its file, its place in the tree, where its result goes, and what errors call it."""

    path: Path
    place: PurePosixPath
    out: Path
    problem: str = ""

    @property
    def name(self) -> str:
        """What a person is told it is called, on one line."""
        return printable(self.path)

    def load(self) -> Picture:
        """Return the picture; `DataError` if it cannot be read whole."""
        if self.problem:
            raise DataError(f"{self.name}: {self.problem}")
        return load_picture(self.path, self.name)


@dataclass(frozen=True)
class Edited:
    """How a batch went: its manifest, as it lies in the folder of results, how many were asked, and what failed."""

    manifest: dict[str, Any]
    asked: int
    failures: tuple[UserError, ...]

    def check(self) -> None:
        """Raise the one picture's error, `SomeFailedError` if others are done, or that all failed."""
        failed = len(self.failures)
        if failed == self.asked == 1:
            raise self.failures[0]
        if failed == self.asked:
            codes = {error.exit_code for error in self.failures}
            kind = type(self.failures[0]) if len(codes) == 1 else DataError
            raise kind(f"none of {failed:,} pictures could be edited")
        if failed:
            raise SomeFailedError(f"{failed:,} of {self.asked:,} pictures failed, the others are done")


class Bench:
    """A chain of edits that has loaded what it needs, with its mask, for any number of pictures."""

    def __init__(
        self, chain: Sequence[Editor], settings: EditSettings, mask: Mask = Mask(), drawn: Path | None = None
    ) -> None:
        from pinxit.training.hardware import choose

        chosen = choose(settings.device)
        say(f"editing on {chosen.device}: {chosen.reason.partition(';')[0]}")
        self.device, self.settings = chosen.device, settings
        self.mask, self.drawn = mask, drawn
        self.chain, self.files = stamped(chain)
        self.bounds = [editor.bind(str(chosen.device), settings.max_memory) for editor in chain]
        self.weights = {name: digest for bound in self.bounds for name, digest in bound.weights.items()}
        self.masks = _by_stem(drawn) if drawn and drawn.is_dir() else None
        if drawn and self.masks is None:
            load_picture(drawn)  # a mask that cannot be read is told once, not for every picture

    def edited(self, picture: Picture, place: PurePosixPath) -> Picture:
        """Return a picture after the edits."""
        drawn = self.drawn_for(place)
        weights = self.mask.weights(picture, load_picture(drawn) if drawn else None)
        settings = self.settings
        return edit_picture(
            picture, self.bounds, weights,
            strength=settings.strength, memory=settings.max_memory, device=str(self.device),
        )  # fmt: skip

    def recipe(self, source: Stamp, place: PurePosixPath) -> Recipe:
        """Return how the result of a picture is made."""
        drawn = self.drawn_for(place)
        return Recipe(
            pinxit=__version__,
            edit=chain_document(self.chain, EDITORS),
            strength=self.settings.strength,
            max_memory=self.settings.max_memory,
            device=self.device.type,
            input=source,
            mask=self.mask,
            drawn=Stamp.of(drawn) if drawn else None,
            files=self.files,
            weights=self.weights,
        )

    def drawn_for(self, place: PurePosixPath) -> Path | None:
        """Return the mask's picture for a picture of this place, of a folder the one of the same stem."""
        if self.masks is None:
            return self.drawn
        fitting = self.masks.get(place.as_posix()) or self.masks.get(place.with_suffix("").as_posix(), [])
        if len(fitting) != 1:
            count = f"{len(fitting)} masks" if fitting else "no mask"
            raise DataError(f"{printable(place)}: {self.drawn} has {count} called {printable(place.stem)}.*")
        return fitting[0]


def edit_files(
    words: Sequence[str | Path],
    chain: Sequence[Editor],
    out: Path,
    settings: EditSettings | None = None,
    *,
    mask: Mask = Mask(),
    drawn: Path | None = None,
    recursive: bool = False,
    overwrite: bool = False,
) -> Edited:
    """Edit the pictures of files, folders and patterns into `out`: a file for one file, else a folder with their tree.

    A picture that fails stops no other; `Edited.check` raises then. A folder gets `manifest.json` and a contact sheet
    too. `drawn` is the mask's picture, or a folder of them. Raises `UsageError` if a result is there already, before
    anything is written; `DiskError` if the disk is full; `StoppedError` after a signal. What is done then is whole.
    """
    settings = settings or EditSettings()
    if overwrite and settings.skip_existing:
        raise UsageError("-y makes anew what is there and --skip-existing leaves it: give one of them")
    names = [str(word) for word in words]
    listing = find(names, recursive, out)
    for remark in listing.remarks:
        say(remark)
    if not listing.found:
        raise DataError(f"no pictures in {', '.join(map(printable, names)) or 'what was named'}")
    folder = None if listing.single and out.suffix.lower() in SUFFIXES and not out.is_dir() else out
    jobs = _jobs(listing.found, out, folder, settings)
    if not overwrite:
        _refuse_to_overwrite(jobs, names, folder, settings)
    remembered = _remembered(folder) if folder else []
    return _Batch(jobs, Bench(chain, settings, mask, drawn), folder, remembered).run()


def edit_bytes(
    content: bytes,
    name: str,
    chain: Sequence[Editor],
    settings: EditSettings | None = None,
    *,
    out: Path | None = None,
    mask: Mask = Mask(),
    drawn: Path | None = None,
) -> bytes:
    """Return the result for one picture as a file, with its recipe, from another file's bytes.

    The format is that of the name `out`, or of `settings.format` if there is none. `name` is for errors and the recipe.
    """
    settings = settings or EditSettings()
    if out:
        _check_format(out, settings)
    picture = load_picture(io.BytesIO(content), name)
    place = PurePosixPath(Path(name).name)
    kind = kind_of(out or Path(name_results([PurePosixPath(f"stdout.{picture.format.lower()}")], settings.format)[0]))
    bench = Bench(chain, settings, mask, drawn)
    recipe = bench.recipe(Stamp(name=text(place), sha256=hashlib.sha256(content).hexdigest()), place)
    result = io.BytesIO()
    write_picture(result, kind, bench.edited(picture, place), recipe.document(), name)
    return result.getvalue()


@dataclass
class _Batch:
    """The jobs of a request and what became of them so far; `remembered` is what a manifest told of other results."""

    jobs: Sequence[Job]
    bench: Bench
    folder: Path | None
    remembered: list[dict[str, Any]]
    entries: dict[int, dict[str, Any]] = field(default_factory=dict)
    failures: dict[int, UserError] = field(default_factory=dict)
    pairs: dict[int, Pair] = field(default_factory=dict)

    def run(self) -> Edited:
        """Do what is to be done, and tell it however it ends."""
        self._write_manifest()
        _sweep(self.jobs)
        try:
            with _stoppable() as received:
                if self.bench.settings.skip_existing:
                    self._find_done()
                self._do_the_rest()
        except KeyboardInterrupt:
            self._tell()
            raise StoppedError(received[0] if received else signal.SIGINT, f"stopped{self._so_far()}") from None
        except DiskError as error:
            with suppress(DiskError):
                self._tell()
            raise DiskError(f"{error}{self._so_far()}") from error
        self._tell()
        return Edited(self.manifest(), len(self.jobs), tuple(self.failures.values()))

    def _so_far(self) -> str:
        done = len(self.entries) - len(self.failures)
        return f"; {done:,} of {len(self.jobs):,} pictures are done, and with --skip-existing the rest will follow"

    def manifest(self) -> dict[str, Any]:
        """Return what was asked and, for each picture, its result and recipe or why it failed."""
        mine = [self.entries[number] for number in sorted(self.entries)]
        outputs = {self._place(job.out) for job in self.jobs}
        others = [entry for entry in self.remembered if entry["output"] and entry["output"] not in outputs]
        return {
            "made_by": f"pinxit {__version__}",
            "edit": chain_text(self.bench.chain, EDITORS),
            "finished": len(self.entries) == len(self.jobs),
            "pictures": others + mine,
        }

    def _find_done(self) -> None:
        """Take the results that are there and whole as done; say of how many another request was the maker."""
        others = 0
        for number, job in enumerate(self.jobs):
            if not all(path.is_file() for path in _written(job, self.bench.settings)):
                continue
            try:
                after, recipe = load_picture(job.out), read_recipe(job.out)
            except DataError as error:
                say(f"{error}; it is made again")
                continue
            self._note(number, recipe, None)
            with suppress(DataError):
                others += recipe != self.bench.recipe(Stamp.of(job.path), job.place).document()
                if self._is_shown(number):
                    self._show(number, job.load(), after)
        if self.entries:
            say(f"{len(self.entries):,} of {len(self.jobs):,} results are there already")
        if others:
            say(f"{others:,} of them were made from other pictures or by another request; -y makes all anew")

    def _do_the_rest(self) -> None:
        caught = Exception if len(self.jobs) > 1 else UserError
        line = Line("picture", len(self.jobs), len(self.entries))
        with closing(line):
            for number in sorted(set(range(len(self.jobs))) - set(self.entries)):
                try:
                    self._do(number)
                except caught as error:
                    failure = as_user_error(error)
                    if isinstance(failure, DiskError) and getattr(failure.__cause__, "errno", None) in NO_ROOM:
                        raise
                    self._note_failure(number, failure)
                    if len(self.jobs) > 1:
                        say(self.entries[number]["error"])
                line.update(len(self.entries))

    def _do(self, number: int) -> None:
        """Edit one picture and write its result."""
        job, started = self.jobs[number], time.monotonic()
        before = job.load()
        for loss in before.lost:
            say(f"{job.name}: {loss}")
        recipe = self.bench.recipe(Stamp.of(job.path), job.place).document()
        after = self.bench.edited(before, job.place)
        if self.bench.settings.map:
            save_image(map_of(job.out), heat(disagreement(before, after)))
        save_picture(job.out, after, recipe)
        if self.bench.settings.sidecar:
            write_json(sidecar(job.out), recipe)
        self._note(number, recipe, round(time.monotonic() - started, 3))
        if self._is_shown(number):
            self._show(number, before, after)

    def _note(self, number: int, recipe: dict[str, Any] | None, seconds: float | None) -> None:
        job = self.jobs[number]
        told = {"output": self._place(job.out), "sha256": sha256(job.out), "recipe": recipe, "seconds": seconds}
        self.entries[number] = {"input": text(job.path), **told, "error": None}

    def _note_failure(self, number: int, failure: UserError) -> None:
        job, line = self.jobs[number], printable(failure)
        nothing = dict.fromkeys(("output", "sha256", "recipe", "seconds"))
        told = line if job.name in line else f"{job.name}: {line}"
        self.entries[number] = {"input": text(job.path), **nothing, "error": told}
        self.failures[number] = failure

    def _is_shown(self, number: int) -> bool:
        """Say whether the sheet has room for this picture; of many it shows one out of so many."""
        return self.folder is not None and number % -(-len(self.jobs) // SHEET_PAIRS) == 0

    def _show(self, number: int, before: Picture, after: Picture) -> None:
        name = self._place(self.jobs[number].out)
        self.pairs[number] = Pair(name, thumbnail(before.pixels), thumbnail(after.pixels))

    def _place(self, out: Path) -> str:
        return text(out.relative_to(self.folder) if self.folder else out)

    def _tell(self) -> None:
        """Write the manifest and the sheet."""
        self._write_manifest()
        if self.folder:
            pairs = [self.pairs[number] for number in sorted(self.pairs)]
            write_whole(self.folder / SHEET, contact_sheet(self.manifest(), pairs))

    def _write_manifest(self) -> None:
        if self.folder:
            write_json(self.folder / MANIFEST, self.manifest())


def _jobs(found: Sequence[Found], out: Path, folder: Path | None, settings: EditSettings) -> list[Job]:
    """Return a job for each picture that was found; `UsageError` if results cannot be written so."""
    if folder is None:
        _check_format(out, settings)
        jobs = [Job(one.path, one.place, out, one.problem) for one in found]
    else:
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out} is a file; several pictures need a folder")
        if out.suffix.lower() in SUFFIXES and not out.is_dir():
            raise UsageError(f"{out} would be a folder with the name of a picture; choose another -o")
        results = name_results([one.place for one in found], settings.format)
        jobs = [Job(one.path, one.place, out / result, one.problem) for one, result in zip(found, results, strict=True)]
    if kinds := sorted({kind_of(job.out) for job in jobs} & set(LOSSY)):
        say(f"results as {' and '.join(kinds)} are compressed again, at quality 95; png loses nothing")
    return jobs


def _check_format(out: Path, settings: EditSettings) -> None:
    """Raise `UsageError` if pictures cannot be saved as `out`, or if another format was asked for."""
    kind, asked = kind_of(out), settings.format
    if "format" in settings.model_fields_set and asked != AUTO and kind != kind_of(Path(f"a{SAVED[asked]}")):
        raise UsageError(f"--format {asked}: the suffix of {out.name} says otherwise; leave one of them out")


def _refuse_to_overwrite(
    jobs: Sequence[Job], words: Sequence[str], folder: Path | None, settings: EditSettings
) -> None:
    """Raise `UsageError` if a picture would be replaced by its result, or something be replaced at all."""
    if folder and folder.is_dir() and any(Path(word).is_dir() and folder.samefile(word) for word in words):
        raise UsageError(
            f"-o {printable(folder)} is where the pictures are; choose another folder, or replace them with -y"
        )
    there = [job for job in jobs if any(path.exists() for path in _written(job, settings))]
    for job in there:
        if job.path.exists() and job.out.exists() and job.out.samefile(job.path):
            raise UsageError(
                f"{printable(job.out)} would be replaced by its own result; choose another -o, or -y to do so"
            )
    if there and not settings.skip_existing:
        first = printable(there[0].out)
        many = f"{len(there):,} results are there already, the first being {first}"
        what = many if len(jobs) > 1 else f"{first} is there already"
        raise UsageError(f"{what}; -y makes anew what is there, --skip-existing leaves it")


def _written(job: Job, settings: EditSettings) -> list[Path]:
    """Return the files that a picture's result is written as."""
    beside = {sidecar(job.out): settings.sidecar, map_of(job.out): settings.map}
    return [job.out, *(path for path, asked in beside.items() if asked)]


def _remembered(folder: Path) -> list[dict[str, Any]]:
    """Return what the manifest in a folder tells of pictures; `UsageError` if what lies there is not ours."""
    path = folder / MANIFEST
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        entries: list[dict[str, Any]] = told["pictures"]
        if told["made_by"].startswith("pinxit") and all("output" in entry for entry in entries):
            return entries
    except (FileNotFoundError, NotADirectoryError):
        if not (folder / SHEET).exists():
            return []
        path = folder / SHEET
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
        pass
    raise UsageError(f"{path} is there and not of ours; choose another -o, for that is what the batch writes")


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    """Return the pictures of a folder by their place in it without suffix."""
    masks = defaultdict(list)
    for one in find([str(folder)], recursive=True, out=None).found:
        masks[one.place.with_suffix("").as_posix()].append(one.path)
    return masks


def _sweep(jobs: Sequence[Job]) -> None:
    """Remove what killed writers of these very results left."""
    names = defaultdict(set)
    for job in jobs:
        names[job.out.parent].add(job.out.name)
    for folder, results in names.items():
        for path in folder.glob(".*.tmp"):
            found = re.fullmatch(r"\.(.+)\.\d+\.[0-9a-f]{8}\.tmp", path.name, re.DOTALL)
            if found and found[1] in results:
                path.unlink(missing_ok=True)


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """Let SIGTERM stop at once, as an interrupt does, and give it when it came. Only the main thread can do that."""
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)
