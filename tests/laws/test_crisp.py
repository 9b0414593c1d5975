"""`upscale --crisp` and `--clean`: a dial between two networks, the map of what is invented, and what is refused."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from test_restore_edits import PHOTO, untrained

from pinxit import models
from pinxit.cli import run
from pinxit.edits.engine import edit_picture
from pinxit.edits.enlarge import AMPLIFIED, MIDDLE
from pinxit.edits.settings import Upscale
from pinxit.errors import UsageError
from pinxit.hardware import Hardware
from pinxit.images import Picture, load_image, read_recipe

SMALL = PHOTO[:20, :24].astype(np.float32) / 255


def about(weights: Path) -> dict[str, str]:
    with models.open_tensors(weights) as file:
        return file.metadata()


def enlarged(**settings: object) -> np.ndarray:
    return edit_picture(Picture(SMALL), [Upscale(**settings)]).pixels


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Untrained networks in place of those that ship, each with other weights."""
    folder, found = tmp_path / "weights", {}
    folder.mkdir()
    for kind, names in Upscale.networks.items():
        for scale, name in names.items():
            path = untrained(folder / f"{name}.safetensors", degrade=f"downscale(scale={scale})")
            by = {"faithful": 1.0, "clean": 0.5, "crisp": -2.0}[kind]
            save_file({key: by * value for key, value in load_file(path).items()}, path, about(path))
            found[name] = models.sha256(path)
    monkeypatch.setattr(models, "FOLDER", folder)
    monkeypatch.setattr(models, "SHIPPED", found)
    monkeypatch.setenv("PINXIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Hardware, "autocast", lambda hardware: nullcontext())
    return folder


def test_the_dial_mixes_the_weights_of_three_networks(shipped: Path, tmp_path: Path) -> None:
    for scale in (2, 4):
        names = [Upscale.networks[kind][scale] for kind in ("faithful", "clean", "crisp")]
        first, clean, last = (shipped / f"{name}.safetensors" for name in names)
        np.testing.assert_array_equal(enlarged(scale=scale, crisp=0), enlarged(scale=scale, model=first))
        np.testing.assert_array_equal(enlarged(scale=scale, crisp=1), enlarged(scale=scale, model=last))
        parts = [load_file(path) for path in (first, clean, last)]
        for dial, shares in (
            (0.25, (0.5, 0.5 - 0.5 * MIDDLE, 0.5 * MIDDLE)),
            (0.5, (0, 1 - MIDDLE, MIDDLE)),
            (0.75, (0, 0.5 - 0.5 * MIDDLE, 0.5 + 0.5 * MIDDLE)),
        ):
            mixed = tmp_path / f"{scale}-{dial}.safetensors"
            save_file({key: sum(s * part[key] for s, part in zip(shares, parts, strict=True)) for key in parts[0]},
                      mixed, about(last))  # fmt: skip
            one = enlarged(scale=scale, crisp=dial)
            np.testing.assert_allclose(one, enlarged(scale=scale, model=mixed), atol=1e-5)
            np.testing.assert_array_equal(one, enlarged(scale=scale, crisp=dial))
            assert np.abs(one - enlarged(scale=scale, crisp=0)).max() > 1e-3
        assert set(Upscale(scale=scale, crisp=0.25).bind().weights) == set(names)


def test_beyond_four_times_the_faithful_network_doubles_the_result(shipped: Path) -> None:
    for settings in ({"crisp": 0.5}, {"clean": True}):
        four = edit_picture(Picture(SMALL), [Upscale(scale=4, **settings)]).pixels
        eight = edit_picture(Picture(four), [Upscale(scale=2)]).pixels
        np.testing.assert_allclose(enlarged(scale=8, **settings), eight, atol=1e-5)


def test_the_map_is_how_far_crisp_is_from_faithful(shipped: Path) -> None:
    apart = np.abs(enlarged(crisp=1) - enlarged()).max(axis=2)
    shown = enlarged(crisp=1, only="invented")
    assert (shown == shown[..., :1]).all()
    np.testing.assert_allclose(shown[..., 0], (AMPLIFIED * apart).clip(0, 1), atol=1e-5)
    assert enlarged(scale=3, crisp=1, only="invented").shape == (60, 72, 3)
    assert not enlarged(crisp=0, only="invented").any()
    with pytest.raises(UsageError, match="leave out masks"):
        edit_picture(Picture(SMALL), [Upscale(crisp=1, only="invented")], np.eye(20, 24, dtype=np.float32))


def test_what_cannot_work_together_is_refused_with_what_would() -> None:
    for settings, line in (
        ({"clean": True, "crisp": 0.5}, "--crisp repairs too"),
        ({"clean": True, "fidelity": 1}, "--fidelity would bring back the damage"),
        ({"clean": True, "model": "x"}, "--clean chooses a network that ships"),
        ({"crisp": 1, "model": "x"}, "--crisp chooses a network that ships"),
        ({"only": "invented"}, "give --crisp"),
        ({"only": "invented", "crisp": 1, "fidelity": 1}, "no --fidelity"),
    ):
        with pytest.raises(UsageError, match=line):
            Upscale(**settings).bind()


def test_the_flag_may_stand_alone_and_its_recipe_says_the_dial(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PHOTO[:20, :24]).save("in.png")
    for name, words, dial in (("a", ["--crisp"], 0.5), ("b", ["--crisp", "0.25"], 0.25), ("c", ["--crisp=1"], 1)):
        assert run(["edit", "upscale", *words, "in.png", "-o", f"{name}.png"]) == 0
        (edit,) = read_recipe(Path(f"{name}.png"))["edit"]
        assert edit["crisp"] == dial
        assert run(["redo", f"{name}.png", "-o", f"{name}2.png"]) == 0
        np.testing.assert_array_equal(load_image(Path(f"{name}2.png")), load_image(Path(f"{name}.png")))
    assert run(["edit", "upscale", "--crisp", "2", "in.png", "-o", "d.png"]) == 2
    assert json.loads(Upscale(clean=True).model_dump_json())["clean"] is True


@pytest.mark.slow
def test_onnxruntime_runs_every_dial_and_the_map(shipped: Path) -> None:
    for settings in ({"crisp": 0.5}, {"crisp": 0.5, "only": "invented"}):
        np.testing.assert_allclose(enlarged(**settings, runtime="onnx"), enlarged(**settings), atol=1e-3)
