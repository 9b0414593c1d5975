"""Laws of the certificate: unequal protocols are refused with the reason, equal ones are compared."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pinxit
from pinxit.cli import run
from pinxit.data import open_data
from pinxit.errors import DataError
from pinxit.evaluation.certificate import (
    MUST_BE_EQUAL,
    compare,
    made_by,
    read_certificate,
)
from pinxit.evaluation.pairs import evaluate_pairs
from pinxit.evaluation.score import score
from pinxit.files import write_json


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


def within(low: float, value: float, high: float, better: str = "smaller") -> dict[str, Any]:
    """A certificate with this interval."""
    made = document(value, better)
    made["scores"]["fd[lite0]"]["interval"] |= {"low": low, "high": high}
    return made


def paired(each: list[float], better: str = "larger") -> dict[str, Any]:
    """A certificate of pairs with these values, whose own interval is far too wide to separate them."""
    value = float(np.mean(each))
    made = within(value - 100, value, value + 100, better)
    made["scores"]["fd[lite0]"] |= {"each": each, "n": len(each), "pairs": "p" * 64}
    return made


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
    "channels": "y", "border": 4, "pairs": "0" * 64, "reference.fingerprint": "0" * 64, "reference.selection": "0" * 64,
    "generated.lossy": "yes", "generated.width": [64, 128], "generated.height": [32, 64], "generated.channels": 1,
}  # fmt: skip


@pytest.mark.parametrize("path", sorted(OTHERS.keys() | MUST_BE_EQUAL.keys()))
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


def test_other_versions_are_remarked_not_refused() -> None:
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
        ("as real", 3.0, 7.0, "the first is better"),
        ("smaller", 10.0, 11.3, "cannot be told apart"),  # 1 and 1 make 1.41
        ("smaller", 10.0, 11.5, "the first is better"),
    ],
)
def test_the_verdict_follows_direction_and_intervals(better: str, one: float, other: float, verdict: str) -> None:
    (row,), _ = compare(document(one, better=better), document(other, better=better))
    assert row.verdict == verdict
    assert [(told["value"], told["interval"]["low"], told["interval"]["high"]) for told in (row.one, row.other)] == [
        (one, one - 1, one + 1),
        (other, other - 1, other + 1),
    ]
    assert row.difference is None


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        (within(0, 0, 0.3), within(0.1, 0.2, 0.3), False),  # half widths would make 0.18
        (within(0.1, 0.5, 0.5), within(0.6, 0.7, 0.8), True),  # and here 0.22
        (within(0.4, 0.5, 0.5), within(0.7, 0.7, 1.0), True),
        (within(0.5, 0.5, 0.8), within(0.3, 0.9, 0.9), False),
    ],
)
def test_the_sides_that_face_each_other_decide(one: dict[str, Any], other: dict[str, Any], apart: bool) -> None:
    for pair, better in (((one, other), "the first is better"), ((other, one), "the second is better")):
        (row,), _ = compare(*pair)
        assert row.verdict == (better if apart else "cannot be told apart")


def test_equal_pairs_are_judged_by_their_differences() -> None:
    hard = np.random.default_rng(0).normal(25, 5, 40)  # pictures differ by 5 dB among themselves
    noise = np.random.default_rng(1).normal(0, 0.2, 40)
    (row,), _ = compare(paired(hard.tolist()), paired((hard + 0.3 + noise).tolist()))
    assert row.verdict == "the second is better"
    assert row.difference is not None
    differences = 0.3 + noise
    half = 2.022690920036762 * differences.std(ddof=1) / 40**0.5  # scipy.stats.t.ppf(0.975, 39)
    assert row.difference["value"] == pytest.approx(differences.mean())
    assert row.difference["interval"]["low"] == pytest.approx(differences.mean() - half)
    assert row.difference["interval"]["high"] == pytest.approx(differences.mean() + half)
    for better, verdict in (("larger", "the first is better"), ("smaller", "the second is better")):
        (row,), _ = compare(paired((hard + 0.3).tolist(), better), paired(hard.tolist(), better))
        assert row.verdict == verdict
    (row,), _ = compare(paired(hard.tolist()), paired((hard + 0.01 + noise - noise.mean()).tolist()))
    assert row.verdict == "cannot be told apart"
    assert compare(paired(hard.tolist()), paired(hard.tolist()))[0][0].verdict == "cannot be told apart"


def test_what_is_no_headline_is_not_judged_alone() -> None:
    pair = document(10), document(20)
    for told in pair:
        told["scores"]["fd[lite0]"]["headline"] = False
    assert compare(*pair)[0][0].verdict == "not judged alone"


SET, PAIRS = {"extractor", "sha256", "input"}, {"channels", "border", "pairs"}


def real_document(kind: set[str], folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    for name in ("one", "other"):
        np.savez(folder / f"{name}.npz", images=rng.integers(0, 256, (24, 28, 28), np.uint8))
    one, other = (str(folder / f"{name}.npz") for name in ("one", "other"))
    if kind is PAIRS:
        return evaluate_pairs(one, other, metrics=["psnr", "edge error"])
    sets = (open_data(spec, holdout=0).train for spec in (one, other))
    return score(*sets, extractors=["digits-v1"], metrics=["kd", "coverage", "class entropy"])


@pytest.mark.parametrize(("kind", "absent"), [(SET, PAIRS), (PAIRS, SET)], ids=["sets", "pairs"])
def test_real_certificates_have_every_field_that_must_be_equal(
    kind: set[str], absent: set[str], tmp_path: Path
) -> None:
    made = real_document(kind, tmp_path)
    write_json(tmp_path / "real.json", made)
    assert read_certificate(tmp_path / "real.json") == made
    assert [row.name for row in compare(made, made)[0]] == list(made["scores"])
    for name, told in made["scores"].items():
        for path in OTHERS.keys() - absent:
            changed, *way = copy.deepcopy(made), *path.split(".")
            place = changed["scores"][name]
            for key in way[:-1]:
                place = place[key]
            assert place.pop(way[-1]) is not None, f"{name} does not tell {path}"
            with pytest.raises(DataError, match=f"{path.replace('.', ' ')} is .* against None"):
                compare(made, changed)
        assert not absent & told.keys()


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, Any], Path]:
    def write(name: str, content: Any) -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def spoiled(**fields: Any) -> str:
    """A certificate, but for these fields of its score."""
    made = document(better="as real")
    made["scores"]["fd[lite0]"] |= fields
    return json.dumps(made)


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{}", "\x00", "[" * 100_000, '{"scores": []}', '{"scores": {}}', '{"scores": {"fd": 3}}',
        '{"scores": {"fd": {"value": 1}}}', spoiled(value=None), spoiled(value="10"),
        spoiled(value=True, interval={"low": 0, "high": 2}),

        spoiled(value=float("nan")), spoiled(interval={"low": 9, "high": 10**400}),
        spoiled(value=12), spoiled(value=8), spoiled(interval=3),
        spoiled(interval={"low": 9}), spoiled(interval={"low": 9, "high": float("inf")}), spoiled(headline="yes"),
        spoiled(better="nicer"), spoiled(better=[]), spoiled(rows=[]), spoiled(rows=3), spoiled(rows=[{}, {}]),
        spoiled(rows=[{"value": 1}]), spoiled(rows=[{"value": 1}, {"value": float("nan")}]), spoiled(rows=[1, 2]),
        spoiled(each=3), spoiled(each=[1] * 3, n=3), spoiled(each=[1] * 3, n=4, pairs="p"),
        spoiled(each=[], n=0, pairs="p"), spoiled(each=[1, None], n=2, pairs="p"),
    ],
)  # fmt: skip
def test_other_files_are_no_certificates(written: Callable[[str, Any], Path], content: str) -> None:
    with pytest.raises(DataError, match=r"notes\.json"):
        read_certificate(written("notes.json", content))


def test_odd_texts_of_a_certificate_are_compared_as_they_are(written: Callable[[str, Any], Path]) -> None:
    good = str(written("good.json", spoiled()))
    for fields in (
        {"metric": [[[1]]]},
        {"interval": {"low": 9, "high": 11}},
        {"interval": {"low": 9, "high": 11, "method": 3}},
    ):
        odd = str(written("odd.json", spoiled(**fields)))
        assert [run(["compare", *two]) for two in ((good, odd), (odd, odd))] == [3 if "metric" in fields else 0, 0]


def test_what_is_damaged_above_is_a_certificate_otherwise(written: Callable[[str, Any], Path]) -> None:
    for content in (spoiled(), spoiled(each=[1, 2.5], n=2, pairs="p"), spoiled(rows=[], better="larger")):
        assert read_certificate(written("fine.json", content)) == json.loads(content)


def cells(line: str) -> list[str]:
    return re.split(" {3,}", line.strip())


def test_the_command_compares_or_refuses(
    written: Callable[[str, Any], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = str(written("one.json", document(10))), str(written("other.json", document(20)))
    assert run(["compare", one, other]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert cells(head) == ["one", "95 % interval", "other", "95 % interval"]
    assert cells(row) == ["fd[lite0]", "the first is better", "10", "9 to 11", "20", "19 to 21"]
    assert run(["compare", one, other, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["verdict"] == "the first is better"
    assert run(["compare", one, str(written("third.json", changed("n", 3)))]) == 3
    assert "n is 500 against 3" in capsys.readouterr().err
    assert run(["compare", one, "nowhere.json"]) == 3


def test_certificates_of_one_stem_are_called_by_their_paths(
    written: Callable[[str, Any], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("a", "b"):
        written("x.json", document()).parent.joinpath(folder).mkdir()
    one, other = (str(written(f"{folder}/x.json", document())) for folder in ("a", "b"))
    assert run(["compare", one, other]) == 0
    assert cells(capsys.readouterr().out.splitlines()[0])[::2] == [one, other]


def test_the_difference_of_pairs_has_a_column(
    written: Callable[[str, Any], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = (str(written(f"{name}.json", paired([name, name + 1.0, name]))) for name in (1, 3))
    assert run(["compare", one, other]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert cells(head)[-2:] == ["difference", "95 % interval"]
    assert cells(row)[:2] == ["fd[lite0]", "the second is better"]
    assert cells(row)[-2:] == ["2", "2 to 2"]
    assert run(["compare", one, other, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["difference"]["value"] == 2


def test_comparing_needs_no_torch(written: Callable[[str, Any], Path]) -> None:
    one = str(written("one.json", document()))
    code = (
        f"import sys; from pinxit.cli import run; run(['compare', {one!r}, {one!r}]); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_the_versions_are_stated_and_no_program_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    told = made_by()
    assert told["pinxit"] == pinxit.__version__
    assert told["torch"].startswith("2.")
