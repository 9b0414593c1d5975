"""Stdin, stdout and stderr as a process may get them: closed, full, or of an encoding that lacks characters."""

from __future__ import annotations

import io
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from pinxit.errors import DiskError

CLOSED = {"stdin": os.O_WRONLY, "stdout": os.O_RDONLY, "stderr": os.O_WRONLY}
"""How the null device takes the place of a closed stream: reading and results fail, messages vanish."""

NARROWEST = 20
"""The least width that help is written for: below some columns rich never ends."""


def prepare() -> None:
    """Fill the places of closed streams, so that no file of ours gets their numbers; let any text be written.

    A character that the encoding of stdout or stderr lacks is written as an escape, such as \\u2192.
    """
    for number, (name, flags) in enumerate(CLOSED.items()):
        if getattr(sys, name) is None:
            hole = os.open(os.devnull, flags)
            if hole != number:
                os.dup2(hole, number)
                os.close(hole)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))
    if not os.environ.get("COLUMNS", "").strip("0"):
        os.environ.pop("COLUMNS", None)  # a width of 0 is unknown
    if shutil.get_terminal_size().columns < NARROWEST:
        os.environ["COLUMNS"] = str(NARROWEST)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def silence_libraries() -> None:
    """Keep the warnings and logs of libraries from stderr: they name no file, and what matters comes as an error.

    PINXIT_DEBUG=1 shows them.
    """
    if not (sys.warnoptions or os.environ.get("PINXIT_DEBUG")):
        warnings.simplefilter("ignore")
        logging.getLogger().addHandler(logging.NullHandler())


def tell(text: str) -> None:
    """Write to stderr. If it is full or closed, nothing else changes: the exit code says what happened."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        discard(sys.stderr)


def is_terminal() -> bool:
    """Return whether stderr is a terminal."""
    with suppress(AttributeError, ValueError):
        return sys.stderr.isatty()
    return False


@contextmanager
def stdout() -> Iterator[None]:
    """Flush stdout after the block, which writes to it; `DiskError` if it is full or closed.

    A pipe that nobody reads is a `BrokenPipeError`.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard(sys.stdout)
        raise DiskError(f"cannot write to stdout: {error.strerror}") from error


def discard_unwritten() -> None:
    """Discard what stdout still holds if it cannot be written."""
    try:
        sys.stdout.flush()
    except OSError:
        discard(sys.stdout)


def discard(stream: IO[str] | None) -> None:
    """Send what a stream still holds to nowhere, because Python flushes it again when it ends."""
    with suppress(AttributeError, OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # type: ignore[union-attr]
