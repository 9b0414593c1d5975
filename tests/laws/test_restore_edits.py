"""Edits by trained networks: what loads and what is refused, grey and colour, holes, enlarging, and tiles."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from skimage import data

from pinxit import models
from pinxit.edits import engine
from pinxit.edits.engine import edit_picture
from pinxit.edits.settings import Deblur, Dejpeg, Denoise, Edit, Erase, Inpaint, Outpaint, Restore, Upscale
from pinxit.errors import DataError, UsageError
from pinxit.images import Picture
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.settings import RestorationSettings

SETTINGS = partial(RestorationSettings, channels=4, levels=2, blocks=1)
PHOTO = data.astronaut()[60:131, 190:275]


def untrained(path: Path, channels: int = 3, about: object = None, **settings: object) -> Path:
    """Write the weights of an untrained network that changes pictures a little, in the format of a run."""
    torch.manual_seed(0)
    asked = SETTINGS(**settings)
    objective = asked.build(PictureShape(32, channels))
    objective.networks["restorer"].last.weight.data.normal_(0, 0.01)
    kept = {"objective": "restore", "settings": asked.model_dump(), "data": {"size": 32, "channels": channels}}
    tensors = {f"restorer.{key}": value for key, value in objective.networks["restorer"].state_dict().items()}
    save_file(tensors, path, {"pinxit": json.dumps(kept if about is None else about)})
    return path


@pytest.fixture
def weights(tmp_path: Path):
    """Return a function that writes such weights into the test's folder."""

    def write(channels: int = 3, name: str = "weights.safetensors", about: object = None, **settings: object) -> Path:
        return untrained(tmp_path / name, channels, about, **settings)

    return write


def edited(pixels: np.ndarray, *chain: object, **how: object) -> np.ndarray:
    return edit_picture(Picture(pixels), chain, **how).pixels


def test_a_run_and_its_weights_are_the_same_model(weights) -> None:
    path = weights()
    first = edited(PHOTO, Denoise(model=path))
    np.testing.assert_array_equal(first, edited(PHOTO, Denoise(model=path.parent)))
    np.testing.assert_array_equal(first, edited(PHOTO, Restore(model=path)))
    assert (first != PHOTO).any()
    assert Denoise(model=path).bind().weights == {}


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_pass_through_networks_of_either(weights, channels: int) -> None:
    bound = Denoise(model=weights(channels)).bind()
    image = torch.from_numpy(PHOTO).permute(2, 0, 1).float() / 255
    colour, grey = bound.run(image, None), bound.run(image[:1], None)
    assert (colour.shape, grey.shape) == (image.shape, image[:1].shape)
    if channels == 1:
        assert torch.allclose(grey, colour[:1], atol=1e-6)
    else:
        thrice = bound.run(image[:1].expand(3, -1, -1), None)
        assert torch.allclose(grey, thrice.mean(0, keepdim=True), atol=1e-6)


def test_noise_is_told_in_the_unit_of_the_image_range(weights) -> None:
    path = weights(told=0.5)
    blind, told = edited(PHOTO, Denoise(model=path)), edited(PHOTO, Denoise(model=path, sigma=0.2))
    np.testing.assert_array_equal(blind, edited(PHOTO, Denoise(model=path, sigma=0)))
    assert (blind != told).any()
    with pytest.raises(UsageError, match="estimates the noise by itself"):
        Denoise(model=weights(name="blind.safetensors"), sigma=0.2).bind()


def test_holes_are_filled_where_the_mask_is_and_what_lies_in_them_is_not_seen(weights) -> None:
    path = weights(degrade="pixels")
    mask = np.zeros(PHOTO.shape[:2], np.float32)
    mask[20:40, 30:60] = 1
    mask[40:44, 30:60] = 0.5
    hidden = PHOTO.copy()
    hidden[mask > 0] = 7
    for chain in (Inpaint(model=path), Restore(model=path)):
        filled = edited(PHOTO, chain, mask=mask)
        np.testing.assert_array_equal(filled[mask == 0], PHOTO[mask == 0])
        np.testing.assert_array_equal(filled[mask == 1], edited(hidden, chain, mask=mask)[mask == 1])
        with pytest.raises(UsageError, match="--mask"):
            edited(PHOTO, chain)


def test_a_model_of_another_kind_is_refused(weights) -> None:
    holes, twice = weights(name="h.safetensors", degrade="boxes"), weights(name="t.safetensors", degrade="downscale")
    for edit in (Denoise(model=holes), Denoise(model=twice), Inpaint(model=twice), Upscale(model=holes, scale=3)):
        with pytest.raises(UsageError, match="pinxit edit restore"):
            edit.bind()
    assert edited(PHOTO, Upscale(model=twice)).shape == (142, 170, 3)


@pytest.mark.parametrize("degrade", ["noise", "pixels", "downscale"])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_cannot_be_seen(weights, monkeypatch: pytest.MonkeyPatch, degrade: str, channels: int) -> None:
    bound = Restore(model=weights(channels, degrade=degrade)).bind()
    assert engine is not None
    rng = np.random.default_rng(0)
    for high, wide in [(71, 85), *rng.integers(1, 71, (9, 2)).tolist()]:
        pixels = PHOTO[:high, :wide].astype(np.float32) / 255
        mask = (rng.random(pixels.shape[:2]) < 0.3).astype(np.float32) if degrade == "pixels" else None
        whole = edited(pixels, bound, mask=mask)
        with monkeypatch.context() as patch:
            patch.setattr(engine._Pass, "_side", lambda task, picture: 16)
            assert np.abs(edited(pixels, bound, mask=mask) - whole).max() <= 1e-5


@pytest.mark.parametrize(
    ("edit", "name", "degrade"),
    [
        (Denoise(), "denoise-v2", "noise"),
        (Denoise(free=True), "denoise-free-v1", "noise"),
        (Deblur(), "deblur-v1", "blur"),
        (Dejpeg(), "jpeg-v2", "jpeg"),
        (Upscale(), "upscale-x2-v1", "downscale"),
        (Upscale(scale=4, fidelity=1), "upscale-x4-v2", "downscale(scale=4)"),
        (Inpaint(), "inpaint-v2", "boxes"),
        (Erase(), "inpaint-v2", "boxes"),
        (Outpaint(pixels=9), "inpaint-v2", "boxes"),
    ],
    ids=repr,
)
def test_shipped_weights_are_known_by_their_hash(
    edit: Edit, name: str, degrade: str, weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights(name=f"{name}.safetensors", degrade=degrade)
    monkeypatch.setattr(models, "FOLDER", path.parent)
    monkeypatch.setattr(models, "SHIPPED", {name: models.sha256(path)})
    assert edit.bind().weights == models.SHIPPED
    monkeypatch.setattr(models, "SHIPPED", {name: "0" * 64})
    with pytest.raises(DataError, match="install pinxit again"):
        edit.bind()
    monkeypatch.setattr(models, "SHIPPED", {})
    with pytest.raises(UsageError, match="--model"):
        edit.bind()


OTHERS = {"colour-v1": "colourise", "light-v1": "enhance", "matte-v1": "matte", "style-any-v2": "style"}
CONVERTED = ("person-v1",)  # from elsewhere, of no objective: test_matting_values.py


def test_every_shipped_network_is_small_has_a_card_and_works() -> None:
    for name, digest in models.SHIPPED.items():
        path = models.shipped(name)
        assert path.stat().st_size <= (15_000_000 if name.startswith("style") else 5_000_000)
        assert digest in path.with_suffix(".md").read_text()
        if name not in CONVERTED:
            models.load(path, OTHERS.get(name, "restore"))


HOSTILE = {
    "another objective": {"objective": "vae", "settings": {}, "data": {"size": 32, "channels": 3}},
    "no settings": {"objective": "restore"},
    "unknown setting": {"objective": "restore", "settings": {"chanels": 4}, "data": {"size": 32, "channels": 3}},
    "too many channels": {"objective": "restore", "settings": {}, "data": {"size": 32, "channels": 4}},
    "a huge network": {
        "objective": "restore",
        "settings": {"channels": 1024, "levels": 6, "blocks": 64},
        "data": {"size": 32, "channels": 3},
    },
    "a list": [1, 2],
    "text": "x",
    "numbers": {"objective": "restore", "settings": {}, "data": {"size": "x", "channels": None}},
}


@pytest.mark.parametrize("about", HOSTILE.values(), ids=HOSTILE)
def test_weights_that_say_something_else_are_refused_in_one_line(weights, about: object) -> None:
    with pytest.raises(DataError) as refusal:
        Restore(model=weights(about=about)).bind()
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


def test_files_that_are_no_weights_are_refused_in_one_line(weights, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").mkdir()
    save_file({"x": torch.zeros(1)}, tmp_path / "bare")
    path = weights(name="nan")
    tensors = models.read_tensors(path)
    with safe_open(path, "pt") as file:
        about = file.metadata()
    save_file(tensors | {"restorer.last.bias": tensors["restorer.last.bias"] * float("nan")}, path, about)
    for name, line in (
        ("text", "not a network"),
        ("empty", "no weights"),
        ("bare", "not a network"),
        ("nan", "finite"),
        ("gone", "no weights"),
    ):
        with pytest.raises(DataError, match=line):
            Restore(model=tmp_path / name).bind()
