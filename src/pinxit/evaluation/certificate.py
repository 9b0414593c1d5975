"""The certificate: what stands beside a number so that it can be believed, and whether two numbers may be compared."""

from __future__ import annotations

import json
import math
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

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
    "pairs": "other pairs were compared",
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


def refuse_other_files(path: Path, sheet: Path | None = None) -> None:
    """Raise `DataError` if something else than a certificate, or a picture that is not its sheet, would be replaced."""
    there: Document = {}
    if path.exists():
        try:
            there = read_certificate(path)
        except DataError as error:
            raise DataError(f"{path} is there and is not a certificate; choose another -o") from error
    if sheet and sheet.exists() and _at(there, "audit.sheet") != sheet.name:
        raise DataError(f"{sheet} is there and does not belong to {path}; choose another -o")


def read_certificate(path: Path) -> Document:
    """Return the document that `pinxit evaluate` wrote; `DataError` if the file is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a certificate of `pinxit evaluate` (not JSON)") from error
    scores = document.get("scores") if isinstance(document, dict) else None
    if not (isinstance(scores, dict) and scores and all(map(_is_score, scores.values()))):
        raise DataError(f"{path}: not a certificate of `pinxit evaluate` (no scores with value and interval)")
    return dict(document)


@dataclass(frozen=True)
class Comparison:
    """One score of two certificates and what follows; each side is a `value` with its `interval`, as certificates have.

    Of the same pairs there is also the `difference`, the mean of the other's values less the one's.
    """

    name: str
    one: Mapping[str, Any]
    other: Mapping[str, Any]
    difference: Mapping[str, Any] | None
    verdict: str


def compare(one: Document, other: Document) -> tuple[list[Comparison], list[str]]:
    """Return what two certificates say beside each other, and remarks; `DataError` if their protocols are unequal.

    Two values count as different if they lie further apart than the root of the sum of squares of the sides of their
    intervals that face each other; of the same pairs, if the 95 % interval of the mean difference (t) leaves out 0.
    Only headline scores are judged.
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
    difference = _mean_difference(one["each"], other["each"]) if "each" in one and "each" in other else None
    return Comparison(name, _told(one), _told(other), difference, _verdict(one, other, difference))


def _told(score: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": score["value"], "interval": score["interval"]}


def _verdict(one: Mapping[str, Any], other: Mapping[str, Any], difference: Mapping[str, Any] | None) -> str:
    if not one["headline"]:
        return "not judged alone"
    if not (_leaves_out_zero(difference["interval"]) if difference else _apart(one, other)):
        return "cannot be told apart"
    return "the first is better" if _worth(one) > _worth(other) else "the second is better"


def _mean_difference(one: Sequence[float], other: Sequence[float]) -> dict[str, Any]:
    """Return the mean of the other's values less the one's with its t interval."""
    differences = np.subtract(other, one, dtype=np.float64)
    value, n = float(differences.mean()), len(differences)
    half = float(stdtrit(n - 1, 0.975) * differences.std(ddof=1)) / math.sqrt(n)
    method = f"mean of {n} pairs' differences, t"
    return {"value": value, "interval": {"low": value - half, "high": value + half, "level": 0.95, "method": method}}


def _leaves_out_zero(interval: Mapping[str, Any]) -> bool:
    return not interval["low"] <= 0 <= interval["high"]


def _apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two values lie further apart than the sides of their intervals between them account for."""
    low, high = sorted((one, other), key=lambda score: float(score["value"]))
    facing = math.hypot(low["interval"]["high"] - low["value"], high["value"] - high["interval"]["low"])
    return bool(high["value"] - low["value"] > facing)


def _worth(score: Mapping[str, Any]) -> float:
    """Return how good a value is, more being better: nearer to the reference's own where a metric has no direction."""
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
    text = " to ".join(map(str, dict.fromkeys(value))) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:12]}..."


def _is_score(score: Any) -> bool:
    """Return whether all that `compare` reckons with is there and makes sense."""
    if not isinstance(score, dict):
        return False
    ends = [_at(score, "interval.low"), score.get("value"), _at(score, "interval.high")]
    if not (_are_numbers(ends) and ends == sorted(ends) and isinstance(score.get("headline"), bool)):
        return False
    if "each" in score and not (
        _are_numbers(score["each"])
        and 2 <= len(score["each"]) == score.get("n")
        and isinstance(score.get("pairs"), str)
    ):
        return False
    return score.get("better") in ("smaller", "larger") or (score.get("better") == "as real" and _has_rows(score))


def _has_rows(score: Mapping[str, Any]) -> bool:
    rows = score.get("rows")
    return (
        isinstance(rows, list)
        and len(rows) > 1
        and _are_numbers([row.get("value") if isinstance(row, dict) else None for row in rows])
    )


def _are_numbers(values: Any) -> bool:
    """Return whether this is a list of finite numbers; JSON as Python reads it has NaN and integers of any size."""
    return isinstance(values, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
        for value in values
    )


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
