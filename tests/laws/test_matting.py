"""Laws of learning mattes: what is shown, where its matte is, and which sets say what the subject is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import pinxit
from pinxit.cli import run
from pinxit.data import Batch, open_matted
from pinxit.errors import DataError
from pinxit.images import save_image
from pinxit.objectives import composites
from pinxit.objectives.composites import Shown, composed
from pinxit.objectives.matting import edges

pytestmark = pytest.mark.usefixtures("no_report")

SIDE = 20
DISC = (np.hypot(*np.mgrid[-10:10, -10:10]) < 6).astype(np.float32)
PHOTO = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def batch(colour: float = 0.8, behind: float = 0.3, rows: int = 12) -> Batch:
    """Cut-outs: a disc of one grey, to be put before others."""
    image = torch.cat([torch.full((rows, 3, SIDE, SIDE), colour), torch.from_numpy(DISC).expand(rows, 1, -1, -1)], 1)
    return Batch(image=image, other=torch.full((rows, 3, SIDE, SIDE), behind), seed=3, step=5)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without changes of the colours of a whole picture, which know all of it."""
    monkeypatch.setattr(composites, "jittered", lambda image, batch: image)


@pytest.mark.usefixtures("plain")
def test_a_subject_and_its_background_meet_at_the_matte_only() -> None:
    first, other, elsewhere = (composed(batch(*colours), 0) for colours in ((0.8, 0.3), (0.4, 0.3), (0.8, 0.6)))
    for shown in (other, elsewhere):
        assert torch.equal(first.matte, shown.matte)
    assert torch.equal(first.image * (first.matte == 0), other.image * (first.matte == 0))
    assert torch.equal(first.image * (first.matte == 1), elsewhere.image * (first.matte == 1))
    assert 0.02 < (first.matte == 1).float().mean() < 0.8
    mixed = (first.matte > 0.2) & (first.matte < 0.8)
    assert mixed.any()
    assert (first.image != other.image)[mixed.expand_as(first.image)].all()


def test_a_row_does_not_depend_on_the_others() -> None:
    whole = composed(batch(), 0.5)
    part = composed(batch().rows(4, 7), 0.5)
    assert torch.equal(whole.image[4:7], part.image)
    assert torch.equal(whole.matte[4:7], part.matte)
    assert 0 <= whole.image.min() <= whole.image.max() <= 1


@pytest.mark.usefixtures("plain")
def test_an_opaque_picture_shows_its_own_background_unless_it_is_replaced() -> None:
    image = torch.from_numpy(DISC).expand(12, 3, -1, -1)
    given = {"pair": {"pair": image[:, :1]}, "mask": {"mask": image[:, :1].long()}}
    for companions in given.values():
        rows = Batch(image=image, other=torch.full_like(image, 0.5), **companions, seed=0, step=0)
        own = composed(rows, 0.0)
        assert torch.allclose(own.image, own.matte.expand_as(own.image), atol=1e-5)
        replaced = composed(rows, 1.0)
        assert not any(
            torch.allclose(one, other.expand_as(one), atol=0.01) for one, other in zip(*replaced, strict=True)
        )


def test_the_edge_is_where_the_matte_changes_and_near_it() -> None:
    matte = torch.zeros(1, 1, 30, 41)
    matte[..., :20] = 1
    found = edges(matte)[0, 0]
    assert found.shape == (30, 41)
    assert found[:, 18:22].all()
    assert not found[:, :12].any()
    assert not found[:, 28:].any()
    assert not edges(torch.ones(1, 1, 8, 8)).any()


def of_kind(kind: str, folder: Path) -> Path:
    """A set of four pictures whose subject is a disc."""
    for number in range(4):
        name, matte = f"{number}.png", (255 * DISC[..., None]).astype(np.uint8)
        if kind == "cut-outs":
            save_image(folder / name, np.concatenate([PHOTO, matte], axis=2))
        else:
            save_image(folder / "images" / name, PHOTO)
            save_image(folder / kind / name, matte)
    return folder


@pytest.mark.parametrize("kind", ["cut-outs", "masks", "mattes"])
def test_a_set_says_what_its_subjects_are(kind: str, tmp_path: Path) -> None:
    found = open_matted(str(of_kind(kind, tmp_path)), 0).train
    assert len(found) == 4
    rows = pinxit.data.batch_at(found, 0, 4, 0, size=SIDE)
    given, opaque = composites.subject(rows.rows(0, 1))
    np.testing.assert_allclose(given.matte[0, 0].numpy(), DISC)
    assert opaque == (kind != "cut-outs")
    assert isinstance(given, Shown)


def test_pictures_without_a_subject_are_refused_before_there_is_a_run(tmp_path: Path) -> None:
    save_image(tmp_path / "set" / "a.png", PHOTO)
    with pytest.raises(DataError, match="images and mattes"):
        pinxit.train(pinxit.OBJECTIVES["matte"](), tmp_path / "set", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_network_of_ones_own_is_trained_moved_resumed_and_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The set is found by its fingerprint, wherever it is now, with what belongs to its pictures."""
    source = of_kind("mattes", tmp_path / "set")
    words = ["--size", "32", "--channels", "4", "--batch-size", "2", "--threads", "1", "--device", "cpu"]
    place = tmp_path / "run"
    assert run(["train", "matte", str(source), "--out", str(place), "--steps", "1", *words]) == 0
    (tmp_path / "elsewhere").mkdir()
    moved = source.rename(tmp_path / "elsewhere" / "set")
    assert run(["resume", str(place), "--steps", "2", "--data", str(moved)]) == 0
    whole = ["train", "matte", str(moved), "--out", str(tmp_path / "whole")]
    assert run([*whole, "--steps", "2", *words]) == 0
    capsys.readouterr()
    one, other = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("run", "whole"))
    assert one == other
