"""Errors for a person: one line each, with an exit code for scripts.

Exit codes: 0 ok, 1 our fault, 2 usage, 3 bad data or model, 4 diverged, 5 out of memory, 6 disk, 7 some files failed,
8 busy, 128+n stopped by a signal after saving.
"""

import errno
import re
import unicodedata


class UserError(Exception):
    """Base of errors whose text is one line for a person: what failed, why, and what would work.

    The command line prints the line and exits with `exit_code`. In Python it is an ordinary exception.
    """

    exit_code = 2


class UsageError(UserError):
    """A request that is wrong or contradicts itself (exit 2)."""


class DataError(UserError):
    """Pictures, a data set or a model that cannot be read or does not fit the request (exit 3)."""

    exit_code = 3


class DivergedError(UserError):
    """Training reached a value that is not finite (exit 4)."""

    exit_code = 4


class MemoryLimitError(UserError):
    """The request needs more memory than there is (exit 5)."""

    exit_code = 5


class DiskError(UserError):
    """The disk is full or cannot be written (exit 6)."""

    exit_code = 6


class SomeFailedError(UserError):
    """Some of several files failed; the others are done (exit 7)."""

    exit_code = 7


class BusyError(UserError):
    """Another process is using the run (exit 8)."""

    exit_code = 8


class OurFaultError(UserError):
    """A bug in pinxit (exit 1)."""

    exit_code = 1


class StoppedError(UserError):
    """A signal asked to stop, and everything was saved (exit 128 + signal)."""

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


JOINERS = "\u200c\u200d"
"""Characters without a width that Persian, Hindi and emoji are written with."""


def printable(shown: object) -> str:
    r"""Return a text, a path or an error as one line that cannot act on a terminal or a page.

    Escaped are control characters and line breaks, surrogates, and marks that change the direction of text.
    """
    text = str(shown)
    if text.isprintable():
        return text
    return "".join(_escaped(character) if _acts(character) else character for character in text)


def shorten(text: str, longest: int) -> str:
    """Return a text of at most so many characters, with an ellipsis in place of what follows."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def counted(count: int, noun: str) -> str:
    """Return how many there are: "1 picture", "2,000 pictures"; the noun takes an s, or es after s and x."""
    return f"{count:,} {noun}{('es' if noun.endswith(('s', 'x')) else 's') * (count != 1)}"


def _acts(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind in ("Cc", "Cs", "Zl", "Zp") or (kind == "Cf" and character not in JOINERS)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


NO_MEMORY = re.compile(
    "out of memory|not enough memory|bad.alloc|alloc_failed|available memory of|failed to map segment"
    "|(can't|cannot|could not|failed to|unable to) (allocate|start new thread)"
    "|could not create a (primitive|memory object)(?! desc)",
    re.IGNORECASE,
)
"""How torch, its libraries, numpy, onnxruntime and the system say that memory is used up."""
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EBADF)

UNREACHABLE, LONGEST_SHOWN = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM), 255
"""What the system says of paths that lead nowhere for this person."""

LESS_MEMORY = (
    "out of memory; use smaller pictures, networks or batches (--size, --channels, --batch-size, --accumulate), "
    "or for edits a lower --max-memory"
)


def is_about_memory(error: BaseException) -> bool:
    """Return whether an error of any library says that memory is used up."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError | ImportError | OSError) and bool(NO_MEMORY.search(str(error)))


def as_user_error(error: Exception) -> UserError:
    """Return any error as one with a line and an exit code; an unknown one is `OurFaultError`."""
    if isinstance(error, UserError):
        return error
    line = " ".join(str(error).split())
    if is_about_memory(error):
        return MemoryLimitError(LESS_MEMORY)
    if isinstance(error, OSError) and error.errno in DISK:
        return DiskError(f"cannot write {error.filename or 'a result'}: {error.strerror}")
    if isinstance(error, OSError) and error.errno in UNREACHABLE:
        return DataError(f"{str(error.filename)[:LONGEST_SHOWN]}: {error.strerror}")
    return OurFaultError(f"our fault: {type(error).__name__}: {line} (PINXIT_DEBUG=1 shows where; please report this)")
