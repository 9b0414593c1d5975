"""The entry point of the command line: runs one command and turns errors into one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cyclopts import CycloptsError
from rich.console import Console

from pinxit.commands import build, completed
from pinxit.errors import UsageError, UserError, as_user_error, printable
from pinxit.streams import discard, discard_unwritten, prepare, silence_libraries, stdout, tell


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    prepare()
    silence_libraries()
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code. Errors become one line on stderr."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        _check_folder()
        app = build(next(iter(arguments), ""))
        app(completed(arguments), exit_on_error=False, print_error=False, error_console=console)
        with stdout():
            pass  # a help page may still wait there
    except CycloptsError as error:
        return _fail(" ".join(str(error).split()), 2)
    except UserError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("stopped", 130)
    except BrokenPipeError:
        discard(sys.stdout)
        return 141
    except Exception as error:
        if os.environ.get("PINXIT_DEBUG"):
            raise
        discard_unwritten()
        plain = as_user_error(error)
        return _fail(str(plain), plain.exit_code)
    return 0


def _check_folder() -> None:
    """Raise `UsageError` if the working folder was removed: paths mean nothing there, and torch's libraries abort."""
    try:
        Path.cwd()
    except OSError as error:
        raise UsageError("the working folder was removed; change to one that exists, with cd") from error


def _fail(line: str, code: int) -> int:
    tell(f"pinxit: {printable(line)}\n")
    return code
