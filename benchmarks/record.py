"""What all benchmarks share: their arguments, and a JSON record of what was measured, how, and where.

A record holds the commit, the machine, the protocol (with the script's docstring as `about`) and the results. It is
written whole or not at all. Scripts write it after every row, so that a stopped benchmark leaves its finished rows.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pinxit.files import write_json
from pinxit.training.run import machine

ROOT = Path(__file__).parents[1]


def arguments(about: str, needs_out: bool = False) -> argparse.ArgumentParser:
    """Return a parser with a script's docstring as its help and the option `--out`."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=needs_out, help="the JSON file to write")
    return parser


def commit() -> str:
    """Return the commit of the checkout, or "" outside git."""
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def record(about: str, protocol: Mapping[str, Any], **results: Any) -> dict[str, Any]:
    """Return a document of results and how they were made."""
    return {"commit": commit(), "machine": machine(), "protocol": {**protocol, "about": about}, **results}


def write(path: Path | None, document: Mapping[str, Any]) -> None:
    """Write a record, if there is a path to write it to."""
    if path:
        write_json(path, document)
