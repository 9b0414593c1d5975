"""Laws of the certificate: unequal protocols are refused with the reason, equal ones are put beside each other."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pinxit.cli import run
from pinxit.errors import DataError
from pinxit.evaluation.certificate import (
    MUST_BE_EQUAL,
    compare,
    made_by,
    read_certificate,
    refuse_other_files,
    write_certificate,
)


def document(value: float = 10.0, better: str = "smaller", name: str = "fd[lite0]") -> dict[str, Any]:
    pictures = {
        "name": "some", "fingerprint": "f" * 64, "selection": "s" * 64, "pictures": 500, "width": [64, 64],
        "height": [64, 64], "channels": 3, "formats": {"png": 500}, "lossy": "no",
    }  # fmt: skip
    told = {
        "value": value,
        "interval": {"low": value - 1, "high": value + 1, "level": 0.95, "method": "jackknife"},
        "better": better,
        "headline": True,
        "metric": "a formula",
        "extractor": "lite0",
        "sha256": "a" * 64,
        "input": "224x224",
        "n": 500,
        "seed": 0,
        "generated": pictures,
        "reference": dict(pictures),
        "rows": [{"name": "generated", "value": value}, {"name": "floor", "value": 2.0}],
    }
    return {"scores": {name: told}, "remarks": [], "made_by": {"pinxit": "0"}}


def changed(path: str, value: Any) -> dict[str, Any]:
    other = copy.deepcopy(document())
    place = other["scores"]["fd[lite0]"]
    *way, last = path.split(".")
    for key in way:
        place = place[key]
    place[last] = value
    return other


OTHERS = {
    "extractor": "lite1", "sha256": "b" * 64, "input": "299x299", "metric": "another formula", "n": 400, "seed": 1,
    "channels": "y", "border": 4, "reference.fingerprint": "0" * 64, "reference.selection": "0" * 64,
    "generated.lossy": "yes", "generated.width": [64, 128], "generated.height": [32, 64], "generated.channels": 1,
}  # fmt: skip


@pytest.mark.parametrize("path", MUST_BE_EQUAL)
def test_each_inequality_of_protocol_is_refused_with_its_reason(path: str) -> None:
    with pytest.raises(DataError, match="not comparable") as refused:
        compare(document(), changed(path, OTHERS[path]))
    assert path.replace(".", " ") in str(refused.value)
    assert MUST_BE_EQUAL[path] in str(refused.value)


def test_all_differences_are_named_at_once() -> None:
    other = changed("n", 400)
    other["scores"]["fd[lite0]"]["seed"] = 7
    with pytest.raises(DataError, match=r"n is 500 against 400.*seed is 0 against 7"):
        compare(document(), other)


@pytest.mark.parametrize("path", ["generated.name", "generated.fingerprint", "reference.name", "generated.pictures"])
def test_what_is_judged_may_differ(path: str) -> None:
    rows, _ = compare(document(), changed(path, "another"))
    assert [row.name for row in rows] == ["fd[lite0]"]


def test_scores_of_different_names_never_share_a_column() -> None:
    with pytest.raises(DataError, match=r"no score in common.*fd\[lite0\].*fd\[digits-v1\]"):
        compare(document(), document(name="fd[digits-v1]"))
    both = document()
    both["scores"]["kd[lite0]"] = both["scores"]["fd[lite0]"]
    rows, remarks = compare(document(), both)
    assert [row.name for row in rows] == ["fd[lite0]"]
    assert "kd[lite0]" in remarks[0]


def test_other_versions_are_told_not_refused() -> None:
    other = document() | {"made_by": {"pinxit": "1"}}
    assert "different versions" in compare(document(), other)[1][0]
    assert compare(document(), document())[1] == []


@pytest.mark.parametrize(
    ("better", "one", "other", "verdict"),
    [
        ("smaller", 10.0, 12.0, "the first is better"),
        ("smaller", 12.0, 10.0, "the second is better"),
        ("larger", 10.0, 12.0, "the second is better"),
        ("larger", 12.0, 10.0, "the first is better"),
        ("as real", 10.0, 5.0, "the second is better"),  # the floor is 2
        ("as real", -3.0, 1.0, "the second is better"),
        ("smaller", 10.0, 11.3, "cannot be told apart"),  # 1 and 1 make 1.41
        ("smaller", 10.0, 11.5, "the first is better"),
    ],
)
def test_the_verdict_follows_direction_and_intervals(better: str, one: float, other: float, verdict: str) -> None:
    (row,), _ = compare(document(one, better=better), document(other, better=better))
    assert row.verdict == verdict
    assert (row.one, row.other, row.one_half, row.other_half) == (one, other, 1, 1)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, Any], Path]:
    def write(name: str, content: Any) -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"scores": []}', '{"scores": {"fd": 3}}', '{"scores": {"fd": {"value": 1}}}', "\x00"]
)
def test_other_files_are_no_certificates_and_are_never_overwritten(
    written: Callable[[str, Any], Path], content: str
) -> None:
    path = written("notes.json", content)
    for read in (read_certificate, refuse_other_files):
        with pytest.raises(DataError, match=r"notes\.json"):
            read(path)
    with pytest.raises(DataError, match="choose another -o"):
        write_certificate(path, document())
    assert path.read_text() == content


def test_a_certificate_may_replace_a_certificate(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        write_certificate(tmp_path / "a.json", document(value))
        assert read_certificate(tmp_path / "a.json") == document(value)


def test_the_command_compares_or_refuses(
    written: Callable[[str, Any], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = str(written("one.json", document(10))), str(written("other.json", document(20)))
    assert run(["compare", one, other]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["one", "+-", "other", "+-"]
    assert row.split() == ["fd[lite0]", "the", "first", "is", "better", "10", "1", "20", "1"]
    assert run(["compare", one, other, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["verdict"] == "the first is better"
    assert run(["compare", one, str(written("third.json", changed("n", 3)))]) == 3
    assert "n is 500 against 3" in capsys.readouterr().err
    assert run(["compare", one, "nowhere.json"]) == 3


def test_comparing_needs_no_torch(written: Callable[[str, Any], Path]) -> None:
    one = str(written("one.json", document()))
    code = (
        f"import sys; from pinxit.cli import run; run(['compare', {one!r}, {one!r}]); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_who_computed_is_told() -> None:
    told = made_by()
    assert told["pinxit"]
    assert told["torch"].startswith("2.")
    assert told["commit"] is None or len(told["commit"].split()[0]) == 40
