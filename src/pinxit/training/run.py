"""The run folder: everything about one training, in one place that can be moved."""

from __future__ import annotations

import json
import os
import platform
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pinxit import __version__
from pinxit.errors import BusyError, DataError, UsageError
from pinxit.files import append_plain, disk_errors, read_json, sha256, write_json
from pinxit.page import command
from pinxit.training.documents import Evaluation, Progress
from pinxit.training.recipes import Recipe

RECIPE, WEIGHTS, LOG, LOCK = "recipe.json", "weights.safetensors", "log.jsonl", ".lock"
REPORT, EVALUATION, PAGE = "report.json", "evaluation.json", "report.html"
SAMPLERS, PRIOR = "samplers.safetensors", "prior"
CHECKPOINTS, SAMPLES = "checkpoints", "samples"
MARKER, STATE = "complete.json", "state.safetensors"  # of a checkpoint

KINDS = {
    "file": (stat.S_ISREG, (RECIPE, WEIGHTS, LOG, LOCK, REPORT, EVALUATION, PAGE, SAMPLERS)),
    "folder": (stat.S_ISDIR, (CHECKPOINTS, SAMPLES, PRIOR)),
}
"""The names in a run's folder, by what they must be. None of them may be a symbolic link."""


class Run:
    """A run's folder: `recipe.json`, `weights.safetensors`, `checkpoints/`, `log.jsonl`, `samples/`, the report.

    All its files are plain files and folders inside it; links are not followed.
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder, self.recipe = folder, recipe
        self.weights = folder / WEIGHTS
        """The averaged weights, which with the recipe are all that using the model takes."""
        self.samplers = folder / SAMPLERS
        """The samplers fitted to the finished model's codes; missing if there are none."""
        self.prior = folder / PRIOR
        """The folder of the prior over the run's codes, a run of its own; it may be missing."""
        self.checkpoints, self.samples, self.page = folder / CHECKPOINTS, folder / SAMPLES, folder / PAGE
        self._identity, self._handle = _identity(folder), -1

    @classmethod
    def create(cls, folder: Path, recipe: Recipe) -> Run:
        """Make the folder and write the recipe; refuses a folder that is not empty."""
        cls.refuse_used(folder)
        write_json(folder / RECIPE, recipe.model_dump(mode="json"))
        return cls.open(folder)

    def change(self, **values: Any) -> None:
        """Change the recipe, on the disk first; the lock must be held. Fields that its file lacks stay away."""
        recipe = self.recipe.changed(**values)
        write_json(self.folder / RECIPE, recipe.model_dump(mode="json", exclude_unset=True), self.folder)
        self.recipe = recipe

    @staticmethod
    def refuse_used(folder: Path) -> None:
        """Raise `UsageError` if the folder is not empty, so that no run can be made in it."""
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            hint = f"`{command('resume', folder)}` continues it, or " if (folder / RECIPE).exists() else ""
            raise UsageError(f"{folder} is not empty; {hint}choose another --out")

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Open an existing run; raises `DataError` if the folder is not one, or holds anything but plain files."""
        if not is_run(folder):
            raise DataError(f"{folder} is not a run: it has no readable {RECIPE}")
        for kind, (is_kind, names) in KINDS.items():
            for name in names:
                _refuse_unless(folder / name, kind, is_kind)
        path = folder / RECIPE
        try:
            return cls(folder, Recipe.parse(read_json(path, folder)))
        except UsageError as error:
            raise DataError(f"{path}: {error}") from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the run against a second trainer; the lock of a dead process is released."""
        append_plain(self.folder / LOCK, self.folder).close()  # refuses what is not the run's own
        with disk_errors(self.folder):
            lock = FileLock(self.folder / LOCK, timeout=0)
            try:
                lock.acquire()
            except Timeout as error:
                raise BusyError(f"{self.folder} is being trained by another process; wait for it or stop it") from error
        try:
            with _open_folder(self.folder) as self._handle:
                yield
        finally:
            lock.release()

    def here(self) -> bool:
        """Say whether the folder still has the path that it was opened by."""
        return _identity(self.folder) == self._identity

    def moved(self) -> Run | None:
        """Return the run by its new path after it was moved while it is locked; None if the system does not say."""
        with suppress(OSError, DataError):
            found = Run.open(Path(f"/proc/self/fd/{self._handle}").readlink())
            found._handle = self._handle
            return found if found._identity == self._identity else None
        return None

    def facts(self) -> dict[str, Any]:
        """Return `report.json`, the facts of the training so far; empty before the first checkpoint."""
        if not os.path.lexists(self.folder / REPORT):
            return {}
        return Progress.read(self.folder / REPORT, self.folder)

    def note(self, **facts: Any) -> None:
        """Write `report.json`."""
        write_json(self.folder / REPORT, facts, self.folder)

    def evaluation(self) -> dict[str, Any] | None:
        """Return the last certificate if it is of the current weights, else None."""
        if not (os.path.lexists(self.folder / EVALUATION) and os.path.lexists(self.weights)):
            return None
        kept = Evaluation.read(self.folder / EVALUATION, self.folder)
        return kept if kept["weights"] == sha256(self.weights, self.folder) else None


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return what tells a folder from any other at the same path; None if there is none."""
    with suppress(OSError):
        status = folder.stat()
        return status.st_dev, status.st_ino
    return None


@contextmanager
def _open_folder(folder: Path) -> Iterator[int]:
    """Hold a folder open and give its handle, which knows where the folder moves; -1 where folders cannot be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        yield -1
        return
    try:
        yield handle
    finally:
        os.close(handle)


def is_run(folder: Path) -> bool:
    """Say whether a folder claims to be a run, by the name of its recipe."""
    return folder.is_dir() and os.path.lexists(folder / RECIPE)


def _refuse_unless(path: Path, kind: str, is_kind: Callable[[int], bool]) -> None:
    with suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not is_kind(mode):
            found = {stat.S_IFLNK: "a symbolic link", stat.S_IFREG: "a file", stat.S_IFDIR: "a folder"}
            what = found.get(stat.S_IFMT(mode), "a pipe or a device")
            raise DataError(f"{path} should be a {kind}, not {what}; a run consists of plain files and folders")


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Return values to six digits, as a log holds them."""
    return {name: float(f"{value:.6g}") for name, value in values.items()}


class Log:
    """`log.jsonl`, one line per step. A resumed run first cuts off the lines after its checkpoint."""

    def __init__(self, path: Path, keep_bytes: int) -> None:
        with disk_errors(path):
            self.file = append_plain(path, path.parent)
            size = os.fstat(self.file.fileno()).st_size
            self.file.truncate(min(keep_bytes, size))
            self.file.seek(0, os.SEEK_END)
            if 0 < size < keep_bytes:  # it was cut, perhaps within a line, which the next one is not to join
                self.file.write(b"\n")
        self.path = path

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append one step's values, as `rounded` gives them."""
        with disk_errors(self.path):
            self.file.write((json.dumps({"step": step} | dict(values)) + "\n").encode())

    def sync(self) -> int:
        """Write all lines to the disk; return their length in bytes."""
        with disk_errors(self.path):
            self.file.flush()
            os.fsync(self.file.fileno())
        return self.file.tell()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def machine() -> dict[str, Any]:
    """Return a description of this machine, without its name."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "pinxit": __version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
