"""What pinxit 0.1.0 left on disk still works: runs load, sample and go on, edits redo, certificates compare.

`tests/fixtures/make.py` made the files. On the same type of processor results are compared byte for byte. On another
the sums of a network round otherwise: there pixels may differ by one level and tensors by a ten-thousandth.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from pinxit.cli import run
from pinxit.data import open_data
from pinxit.images import load_image
from pinxit.tensors import read_tensors

OLD = Path(__file__).parents[1] / "fixtures"
MADE = json.loads((OLD / "made.json").read_text())
SAME_PROCESSOR = {"torch": torch.__version__, "processor": torch.cpu.get_capabilities().get("cpu_name", "")} == {
    name: MADE[name] for name in ("torch", "processor")
}
KINDS = ("gan", "vae", "vq")
SAMPLED = [kind for kind in KINDS if kind != "vq"]  # a VQ-VAE without a prior reconstructs instead


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the old files in the working folder, their pictures packed, so that runs find them from there."""
    for path in OLD.iterdir():
        if path.name != "make.py" and path.name != "__pycache__":
            (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    monkeypatch.chdir(tmp_path)
    open_data("cards.npz")
    return tmp_path


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Compute with one thread, as the old version did: sums of another number of threads round otherwise."""
    torch.set_num_threads(1)


def same_pixels(one: np.ndarray, other: np.ndarray) -> bool:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max()) <= (0 if SAME_PROCESSOR else 1)


def pictures(path: Path) -> np.ndarray:
    return np.load(path)["images"] if path.suffix == ".npz" else load_image(path)


def about(weights: Path) -> dict[str, object]:
    """The settings that a weights file says it was made with."""
    with safe_open(weights, "pt") as file:
        return json.loads(file.metadata()["pinxit"])["settings"]


def made(kind: str, folder: Path, out: Path) -> np.ndarray:
    """What the old version was asked for, of the same run."""
    words = ["sample", "-n", "8", "--seed", "3"] if kind in SAMPLED else ["reconstruct", "cards.npz", "-n", "8"]
    out = out.with_suffix(".npz" if kind in SAMPLED else ".png")
    assert run([words[0], str(folder), *words[1:], "-o", str(out)]) == 0
    return pictures(out)


def expected(kind: str, name: str) -> np.ndarray:
    return pictures(OLD / f"{kind}-after" / f"{name}.{'npz' if kind in SAMPLED else 'png'}")


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("kind", KINDS)
def test_an_old_run_loads_and_goes_on_to_the_same_model(old: Path, kind: str) -> None:
    assert same_pixels(made(kind, old / kind, old / "before"), expected(kind, "half"))
    assert run(["resume", str(old / kind)]) == 0
    weights, after = old / kind / "weights.safetensors", old / f"{kind}-after"
    theirs_about, ours_about = (about(file) for file in (after / "weights.safetensors", weights))
    assert ours_about == theirs_about
    if SAME_PROCESSOR:
        assert weights.read_bytes() == (after / "weights.safetensors").read_bytes()
        assert (old / kind / "log.jsonl").read_text() == (after / "log.jsonl").read_text()
    ours, theirs = read_tensors(weights), read_tensors(after / "weights.safetensors")
    assert list(ours) == list(theirs)
    rounding = {"rtol": 0, "atol": 0} if SAME_PROCESSOR else {"rtol": 1e-3, "atol": 1e-4}
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], **rounding, msg=name)
    assert same_pixels(made(kind, old / kind, old / "whole"), expected(kind, "whole"))


@pytest.mark.parametrize("name", ["formulas", "network"])
def test_an_old_edit_is_made_again(old: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(["redo", f"{name}.png", "-o", "again.png"]) == 0
    assert same_pixels(load_image(old / "again.png"), load_image(old / f"{name}.png"))
    if name == "formulas" or SAME_PROCESSOR:
        assert np.array_equal(load_image(old / "again.png"), load_image(old / f"{name}.png"))
    recipe, again = (json.loads(Image.open(old / file).text["pinxit"]) for file in (f"{name}.png", "again.png"))
    assert recipe.pop("pinxit") == MADE["pinxit"]
    again.pop("pinxit")
    assert recipe == again
    if SAME_PROCESSOR:  # the recipe inside names the version that made the file; all other bytes are those of then
        monkeypatch.setattr("pinxit.jobs.chain.__version__", MADE["pinxit"])
        assert run(["redo", f"{name}.png", "-o", "then.png"]) == 0
        assert (old / "then.png").read_bytes() == (old / f"{name}.png").read_bytes()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sets", ["--extractor", "digits-v1", "--metrics", "fd", "--metrics", "kd"]),
        ("pairs", ["--paired", "--metrics", "psnr", "--metrics", "ssim"]),
    ],
)
def test_an_old_certificate_stands_beside_a_new_one(old: Path, name: str, words: list[str]) -> None:
    assert run(["evaluate", "cards.npz", "others.npz", *words, "-o", "new.json"]) == 0
    assert run(["compare", f"{name}.json", "new.json"]) == 0
    theirs, ours = (json.loads((old / file).read_text()) for file in (f"{name}.json", "new.json"))
    assert close(ours["scores"], theirs["scores"])


def close(one: object, other: object) -> bool:
    """Say whether two documents have the same words and nearly the same numbers."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    inexact = isinstance(other, float) and not SAME_PROCESSOR
    return one == (pytest.approx(other, rel=1e-3, abs=1e-4) if inexact else other)
