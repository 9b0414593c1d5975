"""The certificate: what stands beside a number so that it can be believed, and whether two numbers may be compared."""

from __future__ import annotations

import json
import math
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pinxit import __version__
from pinxit.errors import DataError
from pinxit.files import write_json

Document = dict[str, Any]

MUST_BE_EQUAL = {
    "extractor": "another network has another scale",
    "sha256": "these are other weights",
    "input": "pictures come to the network in another way",
    "metric": "it is another formula",
    "n": "the value depends on N",
    "seed": "other pictures and other noise were drawn",
    "channels": "other colours were compared",
    "border": "another border was cut off",
    "reference.fingerprint": "the reference holds other pictures",
    "reference.selection": "another part of the reference was taken",
    "generated.lossy": "lossy compression moves the value",
    "generated.width": "pictures of other sizes are resized in another way",
    "generated.height": "pictures of other sizes are resized in another way",
    "generated.channels": "missing colour or transparency moves the value",
}
"""The fields of a score's protocol without which two values say nothing beside each other, each with the reason."""


def made_by() -> dict[str, Any]:
    """Return the versions that computed, and the commit where pinxit runs from a checkout."""
    return {
        "pinxit": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "scipy", "pillow")},
    }


def write_certificate(path: Path, document: Document) -> None:
    """Write a certificate; another certificate may be replaced, any other file is a `DataError`."""
    refuse_other_files(path)
    write_json(path, document)


def refuse_other_files(path: Path) -> None:
    """Raise `DataError` if something else than a certificate would be overwritten."""
    if path.exists():
        try:
            read_certificate(path)
        except DataError as error:
            raise DataError(f"{path} is there and is not a certificate; choose another -o") from error


def read_certificate(path: Path) -> Document:
    """Return the document that `pinxit evaluate` wrote; `DataError` if the file is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{path}: not a certificate of `pinxit evaluate` (not JSON)") from error
    scores = document.get("scores") if isinstance(document, dict) else None
    if not (isinstance(scores, dict) and all(map(_is_score, scores.values()))):
        raise DataError(f"{path}: not a certificate of `pinxit evaluate` (no scores with value and interval)")
    return dict(document)


@dataclass(frozen=True)
class Comparison:
    """One score of two certificates: values, half widths of their 95 % intervals, and what follows."""

    name: str
    one: float
    other: float
    one_half: float
    other_half: float
    verdict: str


def compare(one: Document, other: Document) -> tuple[list[Comparison], list[str]]:
    """Return what two certificates say beside each other, and remarks; `DataError` if their protocols are unequal.

    Two values count as different if they lie further apart than the root of the sum of their squared half intervals.
    """
    shared = [name for name in one["scores"] if name in other["scores"]]
    if not shared:
        names = " against ".join(", ".join(document["scores"]) for document in (one, other))
        raise DataError(f"not comparable: no score in common ({names}); numbers of different metrics or extractors "
                        "never share a column")  # fmt: skip
    pairs = {name: (one["scores"][name], other["scores"][name]) for name in shared}
    differences = list(dict.fromkeys(line for pair in pairs.values() for line in _differences(*pair)))
    if differences:
        raise DataError("not comparable: " + "; ".join(differences))
    left_out = sorted(set(one["scores"]) ^ set(other["scores"]))
    remarks = [f"only one of them has {', '.join(left_out)}"] if left_out else []
    if one.get("made_by") != other.get("made_by"):
        remarks.append("they were made by different versions; the formulas, which the certificates state, are the same")
    return [_beside(name, *pair) for name, pair in pairs.items()], remarks


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    for path, reason in MUST_BE_EQUAL.items():
        here, there = _at(one, path), _at(other, path)
        if here != there:
            yield f"{path.replace('.', ' ')} is {_short(here)} against {_short(there)} ({reason})"


def _beside(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Comparison:
    halves = [(score["interval"]["high"] - score["interval"]["low"]) / 2 for score in (one, other)]
    worth = [_worth(score) for score in (one, other)]
    if abs(one["value"] - other["value"]) <= math.hypot(*halves):
        verdict = "cannot be told apart"
    else:
        verdict = "the first is better" if worth[0] > worth[1] else "the second is better"
    return Comparison(name, one["value"], other["value"], halves[0], halves[1], verdict)


def _worth(score: Mapping[str, Any]) -> float:
    """Return how good a value is, more being better: nearer to the floor's where a metric has no direction."""
    value: float = score["value"]
    if score["better"] == "as real":
        return -abs(value - score["rows"][1]["value"])
    return value if score["better"] == "larger" else -value


def _at(score: Mapping[str, Any], path: str) -> Any:
    value: Any = score
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _short(value: Any) -> str:
    text = "-".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:12]}..."


def _is_score(score: Any) -> bool:
    return isinstance(score, dict) and {"value", "interval", "better"} <= score.keys()


def _commit() -> str | None:
    """Return the last commit that touched pinxit's code, marked if the code has changed since; None outside git."""
    here = Path(__file__).parents[1]
    with suppress(OSError, subprocess.SubprocessError):
        commit = _git(here, "log", "-1", "--format=%H", "--", ".")
        changed = _git(here, "status", "--porcelain", "--", ".") if commit else ""
        return f"{commit} and changes" if changed else commit or None
    return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603, S607
    return done.stdout.strip()
