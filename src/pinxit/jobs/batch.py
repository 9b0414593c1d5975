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
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from types import FrameType
from typing import Any, overload

from pinxit import __version__
from pinxit.edits import EDITS
from pinxit.edits.bound import Edit
from pinxit.edits.engine import edit_picture
from pinxit.edits.fidelity import disagreement, heat
from pinxit.edits.mask import Mask
from pinxit.errors import DataError, DiskError, SomeFailedError, StoppedError, UsageError, UserError, as_user_error
from pinxit.files import sha256, write_json, write_whole
from pinxit.images import (
    SUFFIXES,
    Picture,
    format_of,
    kind_of,
    load_picture,
    read_picture,
    read_recipe,
    save_image,
    save_picture,
    write_picture,
)
from pinxit.images.animations import (
    Animation,
    animated_kind_of,
    is_animation,
    load_media,
    save_animation,
    write_animation,
)
from pinxit.jobs.film import Steady
from pinxit.jobs.listing import AUTO, SAVED, Found, find, in_order, name_results, printable, text
from pinxit.jobs.recipe import Recipe, Stamp, map_of, sidecar, stamped
from pinxit.jobs.settings import EditSettings
from pinxit.jobs.sheet import Pair, contact_sheet, thumbnail
from pinxit.progress import Line, say, track
from pinxit.settings import chain_document, chain_text

MANIFEST, SHEET = "manifest.json", "sheet.html"
SHEET_PAIRS = 500
LOSSY = ("JPEG", "WEBP", "AVIF")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Job:
    """One picture to edit: its file, its place in the tree, where its result goes, and what errors call it.

    `moves` says that it is an animation.
    """

    path: Path
    place: PurePosixPath
    out: Path
    problem: str = ""
    moves: bool = False

    @property
    def name(self) -> str:
        """What a person is told it is called, on one line."""
        return printable(self.path)

    def load(self) -> Picture | Animation:
        """Return the picture; `DataError` if it cannot be read whole."""
        if self.problem:
            raise DataError(f"{self.name}: {self.problem}")
        return load_media(self.path, self.name)


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
        self, chain: Sequence[Edit], settings: EditSettings, mask: Mask = Mask(), drawn: Path | None = None
    ) -> None:
        from pinxit.hardware import choose

        chosen = choose(settings.device)
        say(f"editing on {chosen.device}: {chosen.reason.partition(';')[0]}")
        self.device, self.settings = chosen.device, settings
        self.mask, self.drawn = mask, drawn
        self.chain, self.files = stamped(chain)
        self.bounds = [editor.bind(str(chosen.device), settings.max_memory) for editor in chain]
        self.steady = max(editor.steady for editor in chain) if settings.steady is None else settings.steady
        self.weights = {name: digest for bound in self.bounds for name, digest in bound.weights.items()}
        self.masks = _by_stem(drawn) if drawn and drawn.is_dir() else None
        if drawn and self.masks is None:
            load_picture(drawn)  # a mask that cannot be read is told once, not for every picture

    @overload
    def edited(self, given: Picture, place: PurePosixPath, film: Steady | None = None) -> Picture: ...

    @overload
    def edited(self, given: Animation, place: PurePosixPath, film: Steady | None = None) -> Animation: ...

    @overload
    def edited(
        self, given: Picture | Animation, place: PurePosixPath, film: Steady | None = None
    ) -> Picture | Animation: ...

    def edited(
        self, given: Picture | Animation, place: PurePosixPath, film: Steady | None = None
    ) -> Picture | Animation:
        """Return a picture after the edits, as the next frame of `film`; an animation makes its own when it is asked.

        A mask that is drawn holds for all frames of an animation.
        """
        drawn = self.drawn_for(place)
        mask = load_picture(drawn) if drawn else None
        if isinstance(given, Picture):
            return self.framed(given, mask, film)

        def frames() -> Iterator[Picture]:
            steady = Steady(self.steady) if self.steady else None
            for frame in track(given.frames(), f"{printable(place)}: frame", len(given.durations)):
                yield self.framed(frame, mask, steady)

        return replace(given, frames=frames)

    def framed(self, frame: Picture, drawn: Picture | None, film: Steady | None) -> Picture:
        """Return the next frame of a film after the edits, or a picture that is alone."""
        settings, memory = self.settings, self.settings.max_memory
        if memory is not None and film:
            memory -= film.held
        edited = edit_picture(
            frame, self.bounds, self.mask.weights(frame, drawn),
            strength=settings.strength, memory=memory, device=str(self.device),
        )  # fmt: skip
        return film.follow(frame, edited) if film else edited

    def recipe(self, source: Stamp, place: PurePosixPath, moves: bool = False, follows: Stamp | None = None) -> Recipe:
        """Return how the result of a picture is made, of an animation, or of the frame that follows another."""
        drawn = self.drawn_for(place)
        return Recipe(
            pinxit=__version__,
            edit=chain_document(self.chain, EDITS),
            strength=self.settings.strength,
            max_memory=self.settings.max_memory,
            device=self.device.type,
            input=source,
            mask=self.mask,
            drawn=Stamp.of(drawn) if drawn else None,
            files=self.files,
            steady=self.steady if moves or follows else None,
            follows=follows,
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
    chain: Sequence[Edit],
    out: Path,
    settings: EditSettings | None = None,
    *,
    mask: Mask = Mask(),
    drawn: Path | None = None,
    recursive: bool = False,
    overwrite: bool = False,
) -> Edited:
    """Edit the pictures of files, folders and patterns into `out`: a file for one file, else a folder with their tree.

    An animation is edited frame by frame. A picture that fails stops no other; `Edited.check` raises then. A folder
    gets `manifest.json` and a contact sheet too. `drawn` is the mask's picture, or a folder of them. Raises
    `UsageError` if a result is there already, before anything is written; `DiskError` if the disk is full;
    `StoppedError` after a signal. What is done then is whole.
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
    jobs = _jobs(in_order(listing.found) if settings.frames else listing.found, out, folder, settings)
    if not overwrite:
        _refuse_to_overwrite(jobs, names, folder, settings)
    remembered = _remembered(folder) if folder else []
    return _Batch(jobs, Bench(chain, settings, mask, drawn), folder, remembered).run()


def edit_bytes(
    content: bytes,
    name: str,
    chain: Sequence[Edit],
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
    given, place = load_media(io.BytesIO(content), name), PurePosixPath(Path(name).name)
    moves = isinstance(given, Animation)
    if out:
        _check_format(out, settings, moves)
    named = _named([PurePosixPath(f"stdout.{given.format.lower()}")], [moves], settings)
    kind = (animated_kind_of if moves else kind_of)(out or Path(named[0]))
    bench = Bench(chain, settings, mask, drawn)
    recipe = bench.recipe(Stamp(name=text(place), sha256=hashlib.sha256(content).hexdigest()), place, moves).document()
    result, edited = io.BytesIO(), bench.edited(given, place)
    if isinstance(edited, Animation):
        write_animation(result, kind, edited, recipe, name)
    else:
        write_picture(result, kind, edited, recipe, name)
    return result.getvalue()


def save(path: Path, result: Picture | Animation, recipe: dict[str, Any]) -> None:
    """Write a result with its recipe, as `save_picture` and `save_animation` do."""
    if isinstance(result, Animation):
        save_animation(path, result, recipe)
    else:
        save_picture(path, result, recipe)


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
    film: Steady | None = None
    followed: int = -1

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
            "edit": chain_text(self.bench.chain, EDITS),
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
                edited, recipe = load_media(job.out), read_recipe(job.out)
            except DataError as error:
                say(f"{error}; it is made again")
                continue
            self._note(number, recipe, None)
            with suppress(DataError):
                others += recipe != self._recipe(number)
                if self._is_shown(number):
                    self._show(number, job.load(), edited)
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
        given = job.load()
        for loss in given.lost:
            say(f"{job.name}: {loss}")
        recipe = self._recipe(number)
        edited = self.bench.edited(given, job.place, self._film_before(number))
        if self.bench.settings.map:
            if isinstance(given, Animation) or isinstance(edited, Animation):
                raise UsageError(f"{job.name}: an animation, of which --map draws nothing")
            save_image(map_of(job.out), heat(disagreement(given, edited)))
        save(job.out, edited, recipe)
        if self.bench.settings.sidecar:
            write_json(sidecar(job.out), recipe)
        self._note(number, recipe, round(time.monotonic() - started, 3))
        self.followed = number
        if self._is_shown(number):
            self._show(number, given, edited)

    def _recipe(self, number: int) -> dict[str, Any]:
        """Return how a picture's result is made; of a film's frames, after the frame before."""
        job, film = self.jobs[number], self.bench.settings.frames and number
        follows = Stamp.of(self.jobs[number - 1].path) if film and self.bench.steady else None
        return self.bench.recipe(Stamp.of(job.path), job.place, job.moves, follows).document()

    def _film_before(self, number: int) -> Steady | None:
        """Return what is remembered of the film when this frame's turn comes; of one that goes on, the last frame."""
        if not (self.bench.settings.frames and self.bench.steady):
            return None
        if self.jobs[number].moves:
            raise DataError(f"{self.jobs[number].name}: an animation, among the frames of a film")
        self.film = self.film or Steady(self.bench.steady)
        before = self.jobs[number - 1]
        if number and self.followed != number - 1 and self.entries[number - 1]["error"] is None:
            self.film = Steady(self.bench.steady)
            self.film.follow(load_picture(before.path), load_picture(before.out))
        return self.film

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

    def _show(self, number: int, given: Picture | Animation, edited: Picture | Animation) -> None:
        job = self.jobs[number]
        shown = ((given, job.path), (edited, job.out))  # of animations the first frame, as it lies in their files
        before, after = (one if isinstance(one, Picture) else read_picture(path) for one, path in shown)
        self.pairs[number] = Pair(self._place(job.out), thumbnail(before.pixels), thumbnail(after.pixels))

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
    moving = [not one.problem and is_animation(one.path) for one in found]
    if folder is None:
        _check_format(out, settings, any(moving))
        results = [out]
    else:
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out} is a file; several pictures need a folder")
        if out.suffix.lower() in SUFFIXES and not out.is_dir():
            raise UsageError(f"{out} would be a folder with the name of a picture; choose another -o")
        results = [folder / place for place in _named([one.place for one in found], moving, settings)]
    jobs = [
        Job(one.path, one.place, result, one.problem, moves)
        for one, result, moves in zip(found, results, moving, strict=True)
    ]
    kinds = {format_of(job.out) for job in jobs}
    if lossy := sorted(kinds & set(LOSSY)):
        say(f"results as {' and '.join(lossy)} are compressed again, at quality 95; png loses nothing")
    if "GIF" in kinds:
        say("results as GIF have 256 colours a frame; --format png loses nothing")
    return jobs


def _named(places: Sequence[PurePosixPath], moving: Sequence[bool], settings: EditSettings) -> list[PurePosixPath]:
    """Return the places of results, of which animations keep their format unless another is asked for."""
    own = settings.format == AUTO or "format" not in settings.model_fields_set
    return name_results(places, settings.format, [number for number, moves in enumerate(moving) if moves and own])


def _check_format(out: Path, settings: EditSettings, moves: bool) -> None:
    """Raise `UsageError` if pictures cannot be saved as `out`, or if another format was asked for."""
    kind, asked = (animated_kind_of if moves else kind_of)(out), settings.format
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
