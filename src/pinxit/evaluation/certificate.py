"""Certificates: scores with everything needed to reproduce them, and whether two of them are comparable."""

from __future__ import annotations

import math
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from pinxit import __version__
from pinxit.errors import DataError
from pinxit.files import read_json
from pinxit.metrics import ONE_SAMPLE

Document = dict[str, Any]

MUST_BE_EQUAL = {
    "extractor": "each network has its own scale",
    "sha256": "the weights differ",
    "input": "the network's input is prepared differently",
    "metric": "the formulas differ",
    "n": "the value depends on N",
    "seed": "other pictures and other noise were drawn",
    "channels": "other channels were compared",
    "border": "another border was cut off",
    "pairs": "other pairs were compared",
    "reference.fingerprint": "the reference holds other pictures",
    "reference.selection": "another part of the reference was used",
    "generated.lossy": "lossy compression changes the value",
    "generated.width": "pictures of other sizes are resized differently",
    "generated.height": "pictures of other sizes are resized differently",
    "generated.channels": "missing colour or transparency changes the value",
}
"""The fields of a protocol that must be equal before two values can be compared, each with the reason."""


def made_by() -> dict[str, Any]:
    """Return the versions of pinxit and its libraries."""
    return {
        "pinxit": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "scipy", "pillow")},
    }


def read_certificate(path: Path) -> Document:
    """Return a certificate that `pinxit evaluate` wrote; `DataError` if the file is not one."""
    document = read_json(path)
    scores = document.get("scores") if isinstance(document, dict) else None
    if not (isinstance(scores, dict) and scores and all(map(_is_score, scores.values()))):
        raise DataError(f"{path}: not a certificate of `pinxit evaluate` (no scores with value and interval)")
    return dict(document)


@dataclass(frozen=True)
class Comparison:
    """One score in two certificates, and the verdict. Each side is a `value` with its `interval`.

    Scores of equal pairs also have the `difference`: the mean over pairs of the second value minus the first.
    """

    name: str
    one: Mapping[str, Any]
    other: Mapping[str, Any]
    difference: Mapping[str, Any] | None
    verdict: str


def compare(one: Document, other: Document) -> tuple[list[Comparison], list[str]]:
    """Compare the scores that two certificates share; return them with remarks. `DataError` if their protocols differ.

    Two values differ if their distance exceeds sqrt(a^2 + b^2), where a and b are the half widths of their intervals on
    the sides that face each other. Scores of equal pairs differ if the 95 % t interval of the mean difference excludes
    0. Only headline scores get a verdict.
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
        remarks.append("they were made by different versions of pinxit; the formulas stated in both are equal")
    return [_compared(name, *pair) for name, pair in pairs.items()], remarks


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    for path, reason in MUST_BE_EQUAL.items():
        first, second = _entry(one, path), _entry(other, path)
        if first != second:
            yield f"{path.replace('.', ' ')} is {_short(first)} against {_short(second)} ({reason})"


def _compared(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Comparison:
    difference = _mean_difference(one["each"], other["each"]) if "each" in one and "each" in other else None
    first, second = ({key: score[key] for key in ("value", "interval")} for score in (one, other))
    return Comparison(name, first, second, difference, _verdict(one, other, difference))


def _verdict(one: Mapping[str, Any], other: Mapping[str, Any], difference: Mapping[str, Any] | None) -> str:
    if not one["headline"]:
        return "not judged alone"
    if one.get("n") == 1 or not _differ(one, other, difference):
        return "cannot be told apart"
    return "the first is better" if _quality(one) > _quality(other) else "the second is better"


def _mean_difference(one: Sequence[float], other: Sequence[float]) -> dict[str, Any]:
    """Return the mean of `other` minus `one` over pairs, with its t interval."""
    differences = np.subtract(other, one, dtype=np.float64)
    value, n = float(differences.mean()), len(differences)
    if n == 1:
        interval = {"low": value, "high": value, "level": 0.95, "method": ONE_SAMPLE}
        return {"value": value, "interval": interval}
    half = float(stdtrit(n - 1, 0.975) * differences.std(ddof=1)) / math.sqrt(n)
    method = f"mean of {n} pairs' differences, t"
    return {"value": value, "interval": {"low": value - half, "high": value + half, "level": 0.95, "method": method}}


def _differ(one: Mapping[str, Any], other: Mapping[str, Any], difference: Mapping[str, Any] | None) -> bool:
    """Return whether two values differ, by the rule of `compare`; `difference` is that of equal pairs."""
    if difference:
        return not difference["interval"]["low"] <= 0 <= difference["interval"]["high"]
    low, high = sorted((one, other), key=lambda score: float(score["value"]))
    facing = math.hypot(low["interval"]["high"] - low["value"], high["value"] - high["interval"]["low"])
    return bool(high["value"] - low["value"] > facing)


def _quality(score: Mapping[str, Any]) -> float:
    """Return how good a value is: larger is better. For "as real", a value nearer to the floor's is better."""
    value: float = score["value"]
    if score["better"] == "as real":
        return -abs(value - score["rows"][1]["value"])
    return value if score["better"] == "larger" else -value


def _entry(value: Any, path: str) -> Any:
    """Return the entry of nested mappings at a path such as "interval.low"; None if there is none."""
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _short(value: Any) -> str:
    text = " to ".join(dict.fromkeys(map(str, value))) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:12]}..."


def _is_score(score: Any) -> bool:
    """Return whether a score has valid values for everything that `compare` reads."""
    ends = [_entry(score, path) for path in ("interval.low", "value", "interval.high")]
    if not (_are_numbers(ends) and ends == sorted(ends) and isinstance(score.get("headline"), bool)):
        return False
    if "each" in score:
        each, pairs = score["each"], score.get("pairs")
        if not (_are_numbers(each) and 1 <= len(each) == score.get("n") and isinstance(pairs, str)):
            return False
    return score.get("better") in ("smaller", "larger") or (score.get("better") == "as real" and _has_rows(score))


def _has_rows(score: Mapping[str, Any]) -> bool:
    rows = score.get("rows")
    return isinstance(rows, list) and len(rows) > 1 and _are_numbers([_entry(row, "value") for row in rows])


def _are_numbers(values: Any) -> bool:
    """Return whether this is a list of finite numbers; JSON also has integers too large for a float."""
    return isinstance(values, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
        for value in values
    )
