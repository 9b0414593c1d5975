"""An edit of many pictures: every result is whole or absent, whatever happens to one of them, and a manifest says how.

`edit_files` plans the jobs (`listing`), loads the edits (`chain`), and runs them; `Manifest` and `ContactSheet` record
what became of each picture.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import FrameType
from typing import Any

from pinxit import __version__
from pinxit.edits import EDITS
from pinxit.edits.mask import Mask
from pinxit.edits.restore import heat
from pinxit.edits.settings import Edit
from pinxit.errors import (
    DataError,
    DiskError,
    OurFaultError,
    SomeFailedError,
    StoppedError,
    UsageError,
    UserError,
    as_user_error,
    printable,
)
from pinxit.files import remove_leftovers, sha256, write_json
from pinxit.images import (
    SUFFIXES,
    Picture,
    format_of,
    read_picture,
    read_recipe,
    save_sheet,
    write_picture,
)
from pinxit.images.animations import Animation, first_of, load_media, write_animation
from pinxit.jobs.chain import LoadedChain, save
from pinxit.jobs.film import Deflicker, FrameFiles
from pinxit.jobs.listing import (
    Job,
    check_format,
    check_quality,
    find,
    losses,
    map_of,
    plan,
    refuse_to_overwrite,
    result_places,
    sidecar,
    text,
    written_kind,
)
from pinxit.jobs.losses import Losses
from pinxit.jobs.recipe import FileStamp
from pinxit.jobs.results import MANIFEST, entries_of
from pinxit.jobs.settings import EditSettings
from pinxit.jobs.sheet import SHEET, ContactSheet
from pinxit.progress import Line, say, show
from pinxit.settings import chain_text
from pinxit.signals import handled

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Edited:
    """How a batch went: its manifest, how many pictures were asked for, and the errors of those that failed."""

    manifest: dict[str, Any]
    asked: int
    failures: tuple[UserError, ...]

    def check(self) -> None:
        """Raise the error of the only picture, one error if all failed, or `SomeFailedError` if some did."""
        failed = len(self.failures)
        if failed == self.asked == 1:
            raise self.failures[0]
        if failed == self.asked:
            codes = {error.exit_code for error in self.failures}
            kind = type(self.failures[0]) if len(codes) == 1 else DataError
            raise kind(f"none of {failed:,} pictures could be edited")
        if failed:
            raise SomeFailedError(f"{failed:,} of {self.asked:,} pictures failed, the others are done")


def edit_files(
    words: Sequence[str | Path],
    chain: Sequence[Edit],
    out: Path,
    settings: EditSettings | None = None,
    *,
    area: Mask = Mask(),
    mask: Path | None = None,
    recursive: bool = False,
    overwrite: bool = False,
) -> Edited:
    """Edit the pictures of files, folders and patterns into `out`: a file for one picture, else a folder.

    A folder keeps the pictures' tree and also gets `manifest.json` and a contact sheet. Animations are edited frame by
    frame. `mask` is a picture that is white where to change, or a folder of such pictures; `area` chooses by other
    means. A picture that fails does not stop the others; call `Edited.check` to raise its error.

    Raises `UsageError` before anything is written if a result exists already, `DiskError` if the disk is full, and
    `StoppedError` after a signal. Results that are finished by then are whole.
    """
    settings = settings or EditSettings()
    if overwrite and settings.skip_existing:
        raise UsageError("-y replaces existing results and --skip-existing keeps them: give only one of them")
    names = [str(word) for word in words]
    listing = find(names, recursive, out)
    for remark in listing.remarks:
        say(remark)
    if not listing.found:
        raise DataError(f"no pictures in {', '.join(map(printable, names)) or 'an empty request'}")
    folder = None if listing.single and out.suffix.lower() in SUFFIXES and not out.is_dir() else out
    jobs = plan(listing.found, out, folder, settings)
    if not overwrite:
        refuse_to_overwrite(jobs, names, folder, settings)
    earlier = read_manifest(folder) if folder else []
    for remark in losses(jobs, settings):
        say(remark)
    loaded = LoadedChain(chain, settings, area, mask)
    manifest = Manifest(folder, jobs, chain_text(loaded.edits, EDITS), earlier)
    return _Batch(jobs, loaded, manifest, ContactSheet(folder, jobs), Losses(len(jobs) > 1)).run()


def edit_bytes(
    content: bytes,
    name: str,
    chain: Sequence[Edit],
    settings: EditSettings | None = None,
    *,
    out: Path | None = None,
    area: Mask = Mask(),
    mask: Path | None = None,
) -> bytes:
    """Return the result for one picture as the bytes of a file, with its recipe, from the bytes of a file.

    The format is that of the file name `out`, or `settings.format` if there is none. `name` is the picture's name in
    errors and in the recipe. `area` and `mask` are as for `edit_files`.
    """
    settings = settings or EditSettings()
    given, place = load_media(io.BytesIO(content), name), PurePosixPath(Path(name).name)
    animated = isinstance(given, Animation)
    if out:
        check_format(out, settings, animated)
    (named,) = result_places([PurePosixPath(f"stdout.{given.format.lower()}")], [animated], settings)
    kind = written_kind(out or Path(named), animated)
    check_quality([kind], settings)
    loaded = LoadedChain(chain, settings, area, mask)
    stamp = FileStamp(name=text(place), sha256=hashlib.sha256(content).hexdigest())
    recipe = loaded.recipe(stamp, place, kind, animated)
    result, edited = io.BytesIO(), loaded.edit(given, place)
    if isinstance(edited, Animation):
        write_animation(result, kind, edited, recipe, name, recipe.get("quality"))
    else:
        write_picture(result, kind, edited, recipe, name, recipe.get("quality"))
    return result.getvalue()


class Manifest:
    """The request of a batch and the outcome of each picture, written as `manifest.json` into the folder of results.

    `earlier` are the entries of earlier batches in that folder; entries of other results are kept. A batch without a
    folder writes nothing.
    """

    def __init__(self, folder: Path | None, jobs: Sequence[Job], edit: str, earlier: Sequence[dict[str, Any]]) -> None:
        self.folder, self.jobs, self.edit = folder, jobs, edit
        outputs = {self.output(job) for job in jobs}
        self.kept = [entry for entry in earlier if entry["output"] and entry["output"] not in outputs]
        self.entries: dict[Job, dict[str, Any]] = {}
        self.failures: dict[Job, UserError] = {}

    def output(self, job: Job) -> str:
        """Return a result's path relative to the folder; without a folder, the path that was asked for."""
        return text(job.out.relative_to(self.folder) if self.folder else job.out)

    def add(self, job: Job, recipe: dict[str, Any] | None, seconds: float | None = None) -> None:
        """Record a result that is written, and how long it took; None if an earlier batch made it."""
        made = {"output": self.output(job), "sha256": sha256(job.out), "recipe": recipe, "seconds": seconds}
        self.entries[job] = {"input": text(job.path), **made, "error": None}

    def add_failure(self, job: Job, failure: UserError) -> str:
        """Record why a picture failed, and return the reason with the picture's name, on one line."""
        line = printable(failure)
        reason = line if job.name in line else f"{job.name}: {line}"
        nothing = dict.fromkeys(("output", "sha256", "recipe", "seconds"))
        self.entries[job] = {"input": text(job.path), **nothing, "error": reason}
        self.failures[job] = failure
        return reason

    def remaining(self) -> list[Job]:
        """Return the jobs without an entry."""
        return [job for job in self.jobs if job not in self.entries]

    def progress(self) -> str:
        """Return how far the batch came and how to continue."""
        done = len(self.entries) - len(self.failures)
        return f"{done:,} of {len(self.jobs):,} pictures are done; --skip-existing continues with the rest"

    def document(self) -> dict[str, Any]:
        """Return the manifest as plain values for JSON."""
        return {
            "made_by": f"pinxit {__version__}",
            "edit": self.edit,
            "finished": len(self.entries) == len(self.jobs),
            "pictures": self.kept + [self.entries[job] for job in self.jobs if job in self.entries],
        }

    def write(self) -> None:
        """Write the manifest, whole or not at all."""
        if self.folder:
            write_json(self.folder / MANIFEST, self.document())


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of a folder's manifest; `UsageError` if its manifest or sheet is not one of ours."""
    present = [name for name in (MANIFEST, SHEET) if os.path.lexists(folder / name)]
    if not present:
        return []
    try:
        return entries_of(folder)
    except DataError as error:
        whose = error if MANIFEST in present else f"{folder / SHEET} is not from pinxit"
        raise UsageError(f"{whose}, and the batch would replace it; choose another -o") from error


@dataclass(frozen=True)
class _Batch:
    """Jobs in order, each edited, written and recorded."""

    jobs: Sequence[Job]
    chain: LoadedChain
    manifest: Manifest
    sheet: ContactSheet
    losses: Losses

    def run(self) -> Edited:
        """Edit what is to be edited, and record the outcome however it ends."""
        self.manifest.write()
        _sweep(self.jobs)
        try:
            with _stoppable() as received:
                if self.chain.settings.skip_existing:
                    self._keep_existing()
                self._edit_remaining()
            if self.chain.unchanged and len(self.jobs) > 1:
                say(f"{self.chain.unchanged:,} of {len(self.jobs):,} results are unchanged: no pixel is in their mask")
        except KeyboardInterrupt:
            self._record()
            number = received[0] if received else signal.SIGINT
            raise StoppedError(number, f"stopped; {self.manifest.progress()}") from None
        except DiskError as error:
            with suppress(DiskError):
                self._record()
            raise DiskError(f"{error}; {self.manifest.progress()}") from error
        self._record()
        return Edited(self.manifest.document(), len(self.jobs), tuple(self.manifest.failures.values()))

    def _record(self) -> None:
        self.losses.say_totals()
        self.manifest.write()
        self.sheet.write(self.manifest.document())

    def _keep_existing(self) -> None:
        """Record the results that exist and are whole; say how many were made from other pictures or settings."""
        stale = 0
        for job in self.jobs:
            if not all(path.is_file() for path in job.outputs(self.chain.settings)):
                continue
            try:
                result, recipe = load_media(job.out), read_recipe(job.out)
            except DataError as error:
                say(f"{error}; editing it again")
                continue
            self.manifest.add(job, recipe)
            with suppress(DataError):
                stale += recipe != self._recipe(job)
                if self.sheet.shows(job):
                    self._show(job, job.load(), result)
        if self.manifest.entries:
            say(f"{len(self.manifest.entries):,} of {len(self.jobs):,} results exist already")
        if stale:
            say(f"{stale:,} of them were made from other pictures or with other settings; -y makes all of them again")

    def _edit_remaining(self) -> None:
        several = len(self.jobs) > 1
        film = FrameFiles(self.chain.steady) if self.chain.settings.frames and self.chain.steady else None
        with closing(Line("picture", len(self.jobs), len(self.manifest.entries), share=0.95)) as line:
            for job in self.manifest.remaining():
                try:
                    self._edit(job, film)
                except Exception as error:  # whatever is wrong with one picture, the others are edited
                    failure = _named(as_user_error(error), job, error)
                    if isinstance(failure, DiskError) and getattr(failure.__cause__, "errno", None) in NO_ROOM:
                        raise
                    reason = self.manifest.add_failure(job, failure)
                    if several:
                        say(reason)
                line.update(len(self.manifest.entries))

    def _edit(self, job: Job, film: FrameFiles | None) -> None:
        started = time.monotonic()
        given = job.load()
        self.losses.add(job, first_of(given))
        recipe = self._recipe(job)
        result = self.chain.edit(given, job.place, self._memory(job, film) if film else None)
        if self.chain.settings.map:
            if isinstance(given, Animation) or isinstance(result, Animation):
                raise UsageError(f"{job.name}: --map does not work with animations")
            save_sheet(map_of(job.out), heat(self.chain.doubts(given, result)))
        save(job.out, result, recipe)
        if self.chain.settings.sidecar:
            write_json(sidecar(job.out), recipe)
        self.manifest.add(job, recipe, round(time.monotonic() - started, 3))
        show(job.out, job.name)
        if self.sheet.shows(job):
            self._show(job, given, result)

    def _recipe(self, job: Job) -> dict[str, Any]:
        follows = FileStamp.of(job.previous.path) if job.previous and self.chain.steady else None
        return self.chain.recipe(FileStamp.of(job.path), job.place, format_of(job.out), job.animated, follows)

    def _memory(self, job: Job, film: FrameFiles) -> Deflicker:
        if job.animated:
            raise DataError(f"{job.name}: an animation cannot be a frame of a film")
        before = None if job.previous in self.manifest.failures else job.previous
        return film.memory_for(job.path, (before.path, before.out) if before else None)

    def _show(self, job: Job, given: Picture | Animation, result: Picture | Animation) -> None:
        """Put a picture on the sheet; of an animation, the first frame in its file."""
        shown = ((given, job.path), (result, job.out))
        before, after = (one if isinstance(one, Picture) else read_picture(path) for one, path in shown)
        self.sheet.add(job, self.manifest.output(job), before, after)


def _named(failure: UserError, job: Job, error: Exception) -> UserError:
    """Return a failure of ours with the picture's name, so that one knows which picture shows it."""
    if not isinstance(failure, OurFaultError) or job.name in str(failure):
        return failure
    named = OurFaultError(f"{job.name}: {failure}")
    named.__cause__ = error
    return named


def _sweep(jobs: Sequence[Job]) -> None:
    """Remove the temporary files of these results that killed processes left behind."""
    names = defaultdict(set)
    for job in jobs:
        names[job.out.parent].add(job.out.name)
    for folder, results in names.items():
        remove_leftovers(folder, results)


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """Make SIGTERM stop at once, as Ctrl-C does, and yield a list that receives it. Only the main thread can."""
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    with handled(stop, "SIGTERM"):
        yield received
