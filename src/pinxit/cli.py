"""The command line: dispatches on the first word and imports only that command's module."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError
from pydantic import ValidationError
from rich.console import Console

from pinxit import __version__
from pinxit.errors import UserError, as_user_error
from pinxit.settings import explain

COMMANDS = {
    "demo": "Train a GAN on handwritten digits in a few minutes and judge it: the main job, end to end.",
    "train": "Train a model on your own pictures.",
    "resume": "Go on with a stopped run, bit for bit.",
    "sample": "Draw new pictures from a run.",
    "reconstruct": "Show pictures before and after a way through a model's codes.",
    "traverse": "Show what each number of a model's latents does.",
    "morph": "Move pictures from one class towards another, by the classes' mean codes.",
    "map": "Place pictures where their codes are, on a sheet.",
    "codes": "Tell what each number of a model's codes does.",
    "anomaly": "Tell how unlike a model's training pictures others are, and where.",
    "compress": "Write pictures as a model's codes of them, in few bits.",
    "decompress": "Make pictures again of the codes that `pinxit compress` wrote.",
    "edit": "Repair or enhance pictures: files, folders, or one from stdin.",
    "redo": "Make a result of an edit again, or do the same to another picture.",
    "evaluate": "Judge pictures by others: scores with interval, protocol and anchors.",
    "compare": "Put two certificates beside each other, if their protocols are equal.",
    "export": "Write a model as an ONNX file, for use without torch.",
    "data": "Check, fetch, import and pack picture sets.",
    "runs": "List and show runs.",
    "doctor": "What this machine can do: versions, device, speed, disk, extras.",
}


def build() -> App:
    """Return the application; the commands' modules are imported when they are called."""
    app = App(
        name="pinxit",
        version=__version__,
        help="Train image generators on your own pictures, and judge them honestly.",
        help_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for name, summary in COMMANDS.items():
        app.command(f"pinxit.commands.{name}:app", name=name, help=summary)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code. Errors become one line on stderr."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        build()(arguments, exit_on_error=False, print_error=False, error_console=console)
    except CycloptsError as error:
        cause = error.__cause__
        line = _as_flag(cause) if isinstance(cause, ValidationError) else " ".join(str(error).split())
        return _fail(line, 2)
    except UserError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("stopped", 130)
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if os.environ.get("PINXIT_DEBUG"):
            raise
        plain = as_user_error(error)
        return _fail(str(plain), plain.exit_code)
    return 0


def _as_flag(error: ValidationError) -> str:
    """Return what is wrong with a setting, under the name it has on the command line."""
    name, colon, reason = explain(error).partition(": ")
    return f"--{name.replace('_', '-')}: {reason}" if colon and name.isidentifier() else name + colon + reason


def _fail(line: str, code: int) -> int:
    sys.stderr.write(f"pinxit: {line}\n")
    return code
