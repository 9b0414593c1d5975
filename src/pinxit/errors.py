"""What can go wrong, said in one line, with the exit code a script can act on.

Exit codes: 0 ok, 1 our fault, 2 usage, 3 bad data or model, 4 diverged, 5 out of memory, 6 disk, 7 some files failed,
8 busy, 128+n stopped by a signal after saving.
"""


class UserError(Exception):
    """What was asked, why it cannot be, and what would work, in one line for a person.

    The command line prints the line and exits with `exit_code`; from Python it is an ordinary exception.
    """

    exit_code = 2


class UsageError(UserError):
    """A request that makes no sense as it stands (exit 2)."""


class DataError(UserError):
    """Pictures, a data set or a model that cannot be read or do not fit (exit 3)."""

    exit_code = 3


class DivergedError(UserError):
    """Training reached a value that is not finite (exit 4)."""

    exit_code = 4


class MemoryLimitError(UserError):
    """There is not enough memory for what was asked (exit 5)."""

    exit_code = 5


class DiskError(UserError):
    """The disk is full or cannot be written (exit 6)."""

    exit_code = 6


class SomeFailedError(UserError):
    """Some of many files failed; the others are done (exit 7)."""

    exit_code = 7


class BusyError(UserError):
    """Another process holds what was asked for (exit 8)."""

    exit_code = 8


class OurFaultError(UserError):
    """Something that should not happen (exit 1)."""

    exit_code = 1


class StoppedError(UserError):
    """A signal asked for a stop and everything was saved (exit 128 + signal)."""

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


TORCHS_WORDS_FOR_MEMORY = ("out of memory", "can't allocate memory")
LESS_MEMORY = (
    "out of memory; smaller pictures, networks or batches (--size, --channels, --batch-size, --accumulate) help, "
    "with edits --max-memory"
)


def as_user_error(error: Exception) -> UserError:
    """Return any error as one line with an exit code: as it is, as too little memory, or as our fault."""
    if isinstance(error, UserError):
        return error
    line = " ".join(str(error).split())
    if isinstance(error, MemoryError) or any(words in line for words in TORCHS_WORDS_FOR_MEMORY):
        return MemoryLimitError(LESS_MEMORY)
    return OurFaultError(f"our fault: {type(error).__name__}: {line} (PINXIT_DEBUG=1 shows where; please report it)")
