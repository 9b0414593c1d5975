"""`pinxit evaluate A B`, for a person and for a script."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pinxit
from conftest import TinyRuns
from pinxit.cli import run
from pinxit.data import open_data
from pinxit.evaluation.evaluate import evaluate
from pinxit.evaluation.pictures import Generated
from pinxit.files import sha256
from pinxit.latents.sampling import load
from pinxit.training.run import Run

pytestmark = pytest.mark.usefixtures("no_report")

DIGITS = ["--extractor", "digits-v1"]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Two npz files of 30 and 160 random pictures in four classes; the working folder is where they are."""
    monkeypatch.chdir(tmp_path)
    for name, n in (("fakes", 30), ("real", 160)):
        images = np.random.default_rng(n).integers(0, 256, (n, 28, 28), np.uint8)
        np.savez(tmp_path / f"{name}.npz", images=images, labels=np.arange(n) % 4)
    return str(tmp_path / "fakes.npz"), str(tmp_path / "real.npz")


@pytest.fixture
def trained(tiny_runs: TinyRuns, tmp_path: Path) -> Path:
    return tiny_runs.copy("gan", tmp_path / "run")


def test_it_ends_with_a_table_an_interval_and_one_certificate(two: tuple[str, str], capsys: Captured) -> None:
    asked = [*DIGITS, "--extractor", "digits-v2", "-n", "25", "--seed", "3"]
    assert run(["evaluate", *two, *asked]) == 0
    said, headlines, others, remarks, last = capsys.readouterr().out.split("\n\n")
    assert said == "25 pictures of fakes.npz against 25 of real.npz, seed 3"
    assert headlines.splitlines()[0].split("   ")[-3:] != []
    assert headlines.splitlines()[0].split() == ["value", "95", "%", "interval", "/", "blur", "floor", "noise", "blur"]
    rows = [line.split("  ")[0] for line in headlines.splitlines()[1:]]
    assert rows == ["kd[digits-v1]", "coverage[digits-v1]", "kd[digits-v2]", "coverage[digits-v2]"]
    assert all(" to " in line for line in headlines.splitlines()[1:])
    assert "precision[digits-v1]" in others
    assert "25 of each are compared" in remarks
    assert "kernel distance replaces the Frechet distance" in remarks
    assert last == "certificate: fakes.npz-real.npz.json\n"
    kept = json.loads(Path("fakes.npz-real.npz.json").read_text())
    assert kept == evaluate(*two, extractors=["digits-v1", "digits-v2"], n=25, seed=3)


def test_json_is_the_one_document_python_gives(two: tuple[str, str], capsys: Captured) -> None:
    before = sorted(Path().iterdir())
    assert run(["evaluate", *two, *DIGITS, "--n", "20", "--seed", "3", "--metrics", "fd", "kd", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == evaluate(*two, extractors=["digits-v1"], metrics=["fd", "kd"], n=20, seed=3)
    assert list(document["scores"]) == ["fd[digits-v1]", "kd[digits-v1]"]
    assert sorted(Path().iterdir()) == before
    assert run(["evaluate", *two, *DIGITS, "--n", "20", "--json", "-o", "scores.json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(Path("scores.json").read_text())


def test_a_file_that_is_there_stops_it_before_it_begins(two: tuple[str, str], capsys: Captured) -> None:
    Path("notes.json").write_text("mine")
    assert run(["evaluate", *two, *DIGITS, "-o", "notes.json"]) == 2
    assert "notes.json exists; -y replaces it" in capsys.readouterr().err
    assert Path("notes.json").read_text() == "mine"


def test_a_part_of_a_set_takes_its_floor_from_the_other_part(two: tuple[str, str], capsys: Captured) -> None:
    data = open_data(two[1])
    assert run(["evaluate", two[0], f"{two[1]}:train", *DIGITS, "--json"]) == 0
    score = json.loads(capsys.readouterr().out)["scores"]["kd[digits-v1]"]
    assert score["reference"]["name"] == data.train.name
    assert score["rows"][1]["about"] == data.held_out.name


def test_a_run_is_judged_by_new_pictures_and_keeps_its_scores(
    two: tuple[str, str], trained: Path, capsys: Captured
) -> None:
    assert run(["evaluate", str(trained), two[1], *DIGITS, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    score = document["scores"]["kd[digits-v1]"]
    assert (score["n"], score["generated"]["name"]) == (160, "run")
    kept = json.loads((trained / "evaluation.json").read_text())
    assert kept == {"weights": sha256(trained / "weights.safetensors")} | document
    assert "kd[digits-v1]" in (trained / "report.html").read_text().replace("<wbr>", "")
    assert Run.open(trained).evaluation() == kept
    (trained / "weights.safetensors").write_bytes(b"other weights")
    assert Run.open(trained).evaluation() is None


def test_the_sampler_of_an_autoencoder_is_recorded(
    two: tuple[str, str], tiny_runs: TinyRuns, tmp_path: Path, capsys: Captured
) -> None:
    folder = str(tiny_runs.copy("vae", tmp_path / "codes"))
    values = {}
    for sampler in ("gmm", "prior"):
        capsys.readouterr()
        assert run(["evaluate", folder, two[1], *DIGITS, "--sampler", sampler, "--json"]) == 0
        score = json.loads(capsys.readouterr().out)["scores"]["kd[digits-v1]"]
        assert score["generated"]["sampler"] == sampler
        values[sampler] = score["value"]
    assert values["gmm"] != values["prior"]
    assert run(["evaluate", folder, two[1], *DIGITS, "--sampler", "prio"]) == 2
    assert run(["evaluate", *two, *DIGITS, "--sampler", "prior"]) == 2
    assert "is not a run" in capsys.readouterr().err


def test_another_seed_samples_entirely_new_pictures(two: tuple[str, str], trained: Path) -> None:
    drawn = []
    for seed in (0, 1):
        score = evaluate(trained, two[1], extractors=["digits-v1"], metrics=["kd"], seed=seed)["scores"][
            "kd[digits-v1]"
        ]
        images, _ = load(trained).sample(160, seed << 32)
        assert score["generated"]["fingerprint"] == Generated("run", images).fingerprint
        drawn.append({image.tobytes() for image in images})
    assert not drawn[0] & drawn[1]


def test_a_run_is_audited_by_its_own_pictures(photos: Callable[..., Path], tmp_path: Path, capsys: Captured) -> None:
    folder, out = photos(150, mode="L", size=(16, 16)), tmp_path / "own"
    assert run(["train", "gan", str(folder), "--network", "dense", "--steps", "1", "--out", str(out)]) == 0
    data = open_data(str(folder))
    for reference in (f"{folder}:train", f"{folder}:test"):
        capsys.readouterr()
        assert run(["evaluate", str(out), reference, *DIGITS, "-n", "12", "--audit", "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        protocol = document["audit"]["protocol"]
        assert protocol["training"]["selection"] == data.train.selection
        assert protocol["held_out"]["selection"] == data.held_out.selection
        warned = any("was trained on, so copies would score well" in remark for remark in document["remarks"])
        assert warned == reference.endswith(":train")


def test_python_takes_paths_as_the_command_line_takes_words(two: tuple[str, str]) -> None:
    asked = {"extractors": ["digits-v1"], "n": 12, "metrics": ["kd"]}
    assert pinxit.evaluate(Path(two[0]), two[1], **asked) == pinxit.evaluate(*two, **asked)


def test_a_training_part_is_no_reference_for_an_audit(two: tuple[str, str], capsys: Captured) -> None:
    assert run(["evaluate", two[0], f"{two[1]}:train", *DIGITS, "--audit"]) == 3
    assert "is not the held-out part of a set" in capsys.readouterr().err


def test_small_pictures_are_compared_by_an_extractor_of_their_own(
    photos: Callable[..., Path], capsys: Captured
) -> None:
    folder = str(photos(12, size=(40, 30)))
    assert run(["evaluate", folder, folder, "--metrics", "kd", "--json"]) == 0
    printed = capsys.readouterr()
    assert list(json.loads(printed.out)["scores"]) == ["kd[lite0-96]"]
    assert "judged: photos: 12 pictures" in printed.err
    assert "reference: photos: 12 pictures" in printed.err


def test_two_pictures_are_a_pair_whatever_their_names(photos: Callable[..., Path], capsys: Captured) -> None:
    one, other, third = sorted(photos(3, size=(40, 30)).iterdir())
    assert run(["evaluate", str(one), str(other), "--metrics", "psnr", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    score = document["scores"]["psnr"]
    pixels = [np.asarray(Image.open(path), np.float64) for path in (one, other)]
    assert score["value"] == pytest.approx(10 * np.log10(255**2 / np.square(pixels[0] - pixels[1]).mean()))
    assert score["n"] == 1
    assert score["interval"]["method"] == "none: one pair has no interval"
    Image.new("RGB", (41, 30)).save(third)
    assert run(["evaluate", str(one), str(third)]) == 3
    assert "has another size" in capsys.readouterr().err
    assert run(["evaluate", str(one), str(other), "-n", "12"]) == 2
    assert "leave out -n" in capsys.readouterr().err


def test_a_run_alone_is_judged_by_what_was_held_out_from_it(
    photos: Callable[..., Path], tmp_path: Path, capsys: Captured
) -> None:
    folder, out = photos(150, mode="L", size=(16, 16)), tmp_path / "own"
    assert run(["train", "gan", str(folder), "--network", "dense", "--steps", "1", "--out", str(out)]) == 0
    held_out = open_data(str(folder)).held_out
    capsys.readouterr()
    assert run(["evaluate", str(out), *DIGITS, "--json"]) == 0
    score = json.loads(capsys.readouterr().out)["scores"]["kd[digits-v1]"]
    assert score["reference"]["selection"] == held_out.selection
    assert score["reference"]["fingerprint"] == held_out.fingerprint
    assert score["rows"][1]["about"] == "photos:train"


def test_a_set_alone_needs_a_reference(two: tuple[str, str], capsys: Captured) -> None:
    assert run(["evaluate", two[0]]) == 2
    assert "name a reference" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["--extractor", "digits-v3"], 2, "did you mean"),
        (["--metrics", "coverag"], 2, "did you mean 'coverage'"),
        ([*DIGITS, "-n", "31"], 2, "n must be 12 to 30"),
        ([*DIGITS, "-n", "11"], 2, "-n: should be greater than or equal to 12"),
        (["--sed", "3"], 2, "--seed"),
        (["--paired", "--metrics", "psnrs"], 2, "did you mean 'psnr'"),
        (["--paired", "--channels", "blue"], 2, "blue"),
        ([*DIGITS, "--audit"], 3, "mnist:test or FOLDER:test"),
        ([*DIGITS, "--utility"], 3, "mnist:test or FOLDER:test"),
        (["--seed", str(2**31)], 2, "--seed"),
        (["--channels", "rgb"], 2, "--channels can only go with --paired"),
        (["--channels", "y", "--border", "0"], 2, "--channels and --border can only go with --paired"),
        (["--paired", *DIGITS], 2, "leave out --extractor"),
        (["--paired", "-n", "20"], 2, "leave out -n"),
        (["--paired", "--audit", "--utility"], 2, "leave out --audit and --utility"),
    ],
)
def test_a_bad_request_is_one_line(
    two: tuple[str, str], capsys: Captured, arguments: list[str], code: int, reason: str
) -> None:
    assert run(["evaluate", *two, *arguments]) == code
    captured = capsys.readouterr()
    assert reason in captured.err.splitlines()[-1]
    assert captured.out == ""


def test_pairs_need_a_reference(two: tuple[str, str], capsys: Captured) -> None:
    assert run(["evaluate", two[0], "--paired"]) == 2
    assert "--paired needs a REFERENCE" in capsys.readouterr().err


def test_the_largest_seed_is_taken(two: tuple[str, str], capsys: Captured) -> None:
    assert run(["evaluate", *two, *DIGITS, "--seed", str(2**31 - 1), "--metrics", "kd", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"]["kd[digits-v1]"]["seed"] == 2**31 - 1


def test_the_usual_name_never_replaces_anything(two: tuple[str, str], capsys: Captured) -> None:
    def names(*arguments: str) -> str:
        assert run(["evaluate", two[0], two[0], "--paired", "--metrics", "psnr", *arguments]) == 0
        return capsys.readouterr().out.split("certificate: ")[-1].strip()

    assert names() == names() == "fakes.npz-fakes.npz.json"  # the same content has its place
    first = Path("fakes.npz-fakes.npz.json").read_text()
    assert names("--seed", "1") == names("--seed", "1") == "fakes.npz-fakes.npz-2.json"
    Path("fakes.npz-fakes.npz-3.json").write_text("mine")
    Path("fakes.npz-fakes.npz-4.json").mkdir()
    assert names("--seed", "2") == "fakes.npz-fakes.npz-5.json"
    assert names() == "fakes.npz-fakes.npz.json"
    assert Path("fakes.npz-fakes.npz.json").read_text() == first
    assert Path("fakes.npz-fakes.npz-3.json").read_text() == "mine"
    assert names("--seed", "3", "-y", "-o", "fakes.npz-fakes.npz.json") == "fakes.npz-fakes.npz.json"
    assert Path("fakes.npz-fakes.npz.json").read_text() != first


def test_no_sheet_of_an_audit_is_replaced_by_another(
    two: tuple[str, str], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def audited(*_: object, audit_sheet: Path, **__: object) -> dict[str, object]:
        audit_sheet.write_bytes(b"a sheet")
        kept = json.loads(Path("kept.json").read_text())
        return kept | {"audit": {"sheet": audit_sheet.name, "verdict": "fine"}}

    assert run(["evaluate", *two, *DIGITS, "--metrics", "kd", "-o", "kept.json"]) == 0
    monkeypatch.setattr("pinxit.evaluation.evaluate.evaluate", audited)
    for arguments in (["--json"], [], []):
        assert run(["evaluate", *two, "--audit", *arguments]) == 0
    usual = "fakes.npz-real.npz"
    assert {path.name for path in Path().glob(f"{usual}*")} == {
        f"{usual}.audit.png", f"{usual}-2.json", f"{usual}-2.audit.png", f"{usual}-3.json", f"{usual}-3.audit.png",
    }  # fmt: skip
    assert json.loads(Path(f"{usual}-3.json").read_text())["audit"]["sheet"] == f"{usual}-3.audit.png"
    Path("kept.audit.png").write_bytes(b"mine")
    capsys.readouterr()
    Path("kept.json").unlink()
    assert run(["evaluate", *two, "--audit", "-o", "kept.json"]) == 2
    assert "kept.audit.png exists; -y replaces it" in capsys.readouterr().err
    assert Path("kept.audit.png").read_bytes() == b"mine"


def test_a_missing_set_is_one_line(two: tuple[str, str], capsys: Captured) -> None:
    assert run(["evaluate", "nowhere", two[1]]) == 3
    assert "nowhere" in capsys.readouterr().err


def test_bad_files_are_named_and_the_rest_is_judged(
    photos: Callable[..., Path], two: tuple[str, str], capsys: Captured
) -> None:
    folder = photos(30, size=(28, 28))
    (folder / "cut.png").write_bytes((folder / "000.png").read_bytes()[:100])
    (folder / "text.jpg").write_text("not a picture")
    assert run(["evaluate", str(folder), two[1], *DIGITS, "--json"]) == 0
    captured = capsys.readouterr()
    assert "cut.png" in captured.err
    assert "text.jpg" in captured.err
    assert json.loads(captured.out)["scores"]["kd[digits-v1]"]["n"] == 30


def test_help_needs_no_torch() -> None:
    code = "import sys; from pinxit.cli import run; run(['evaluate', '--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "digits-v1" in done.stdout
