"""Laws of new colours: lightness stays, hints are obeyed, a seed repeats, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage import data
from skimage.color import lab2rgb

import pinxit
from pinxit.colour import from_lab, lab, lightness
from pinxit.data import Batch
from pinxit.edits import colourise
from pinxit.edits.engine import edit_picture
from pinxit.edits.mask import TOP
from pinxit.edits.settings import Colourise
from pinxit.errors import DataError, MemoryLimitError, UsageError
from pinxit.images import Picture, save_image
from pinxit.matting.spread import FLOOR, LEAST, VARIANCE, settled, spread
from pinxit.nets.colouriser import REACH, expected, look, palette, shares
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.colourising import TEMPERATURE
from pinxit.objectives.settings import ColourSettings

PHOTO = data.astronaut()[60:84, 190:222]
HIGH, WIDE = PHOTO.shape[:2]
GREY = Picture(PHOTO[..., 1:2], mode="L")
RED, BLUE = (slice(2, 6), slice(2, 6)), (slice(16, 21), slice(24, 29))
KINDS = {
    "grey": PHOTO[..., :1],
    "colour": PHOTO,
    "16-bit": PHOTO[..., :1].astype(np.uint16) * 250 + 99,
    "alpha": np.concatenate([PHOTO, np.where(PHOTO[..., :1] > 150, PHOTO[..., 1:2], 0)], axis=2),
    "float": PHOTO.astype(np.float32) / 255,
    "one pixel": PHOTO[:1, :1],
    "one row": PHOTO[:1],
}
ROUNDING = {np.dtype(np.uint8): 0.45, np.dtype(np.uint16): 0.01, np.dtype(np.float32): 0.01}
"""The largest difference of L* that rounding each channel to a depth may make."""
SETTINGS = ColourSettings(width=4)


def drawn_hints(path: Path, size: tuple[int, ...] = (HIGH, WIDE)) -> Path:
    """Write a transparent picture with a red dab, and a blue one unless it is small."""
    dabs = np.zeros((HIGH, WIDE, 4), np.uint8)
    dabs[RED], dabs[BLUE] = [180, 70, 60, 255], [60, 90, 170, 255]
    if size[0] < HIGH:
        dabs[0, 0] = [180, 70, 60, 255]
    save_image(path, dabs[: size[0], : size[1]])
    return path


def untrained_colours(path: Path) -> Path:
    """Write the weights of an untrained network that guesses all colours, in the format of a run."""
    torch.manual_seed(0)
    painter = SETTINGS.build(PictureShape(32, 3)).painter
    painter.last.weight.data.normal_(0, 1)
    about = {"objective": "colourise", "settings": SETTINGS.model_dump(), "data": {"size": 32, "channels": 3}}
    save_file(
        {f"painter.{key}": value for key, value in painter.state_dict().items()}, path, {"pinxit": json.dumps(about)}
    )
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_colours(tmp_path_factory.mktemp("colours") / "weights.safetensors")


@pytest.fixture
def hint(tmp_path: Path) -> Path:
    return drawn_hints(tmp_path / "hint.png")


def in_lab(pixels: np.ndarray) -> np.ndarray:
    values = torch.from_numpy(pixels[..., :3].astype(np.float32) / np.float32(TOP[pixels.dtype])).movedim(2, 0)
    return lab(values[None])[0].movedim(0, 2).numpy()


def reached(seen: np.ndarray, colour: list[int]) -> np.ndarray:
    """A colour at the lightness of pixels in L*a*b* (h, w, 3), as far as sRGB has it."""
    wanted = seen.copy()
    wanted[..., 1:] = in_lab(np.array(colour, np.uint8)[None, None])[0, 0, 1:]
    return lab(from_lab(torch.from_numpy(wanted).movedim(2, 0)[None]))[0].movedim(0, 2).numpy()


def test_lab_and_back_is_the_picture_and_colours_that_srgb_lacks_keep_lightness_and_hue() -> None:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.random((2, 3, 9, 11), np.float32))
    values = lab(image)
    torch.testing.assert_close(from_lab(values), image, atol=2e-5, rtol=0)
    torch.testing.assert_close(lightness(image), values[:, :1])
    wanted = lab2rgb(values[0].movedim(0, 2).double().numpy())
    np.testing.assert_allclose(from_lab(values)[0].movedim(0, 2).numpy(), wanted, atol=1e-3)
    wide = values * torch.tensor([1, 4, 4])[:, None, None]
    found = lab(from_lab(wide))
    torch.testing.assert_close(found[:, 0], wide[:, 0], atol=0.01, rtol=0)
    across = (found[:, 1] * wide[:, 2] - found[:, 2] * wide[:, 1]) / wide[:, 1:].norm(dim=1)
    assert across.abs().max() < 0.2  # no turn of hue
    assert (found[:, 1:].norm(dim=1) >= values[:, 1:].norm(dim=1) - 0.1).all()  # sRGB has at least these


def test_values_spread_as_their_equation_says() -> None:
    """Against the dense system of the paper's weights, symmetric, written out pixel by pixel."""
    rng = np.random.default_rng(1)
    light, known = rng.random((7, 6)), np.zeros((7, 6), bool)
    known[1, 1], known[5, 4] = True, True
    values = rng.random((7, 6, 2))
    padded = np.pad(light, 1, "edge")
    windows = np.array([[padded[y : y + 3, x : x + 3] for x in range(6)] for y in range(7)])
    spreads = np.maximum(VARIANCE * windows.var((2, 3)), FLOOR)
    matrix = np.zeros((42, 42))
    for y, x in np.ndindex(7, 6):
        for v, u in np.ndindex(7, 6):
            if 0 < max(abs(y - v), abs(x - u)) <= 1:
                weight = np.exp(-((light[y, x] - light[v, u]) ** 2) / (spreads[y, x] + spreads[v, u]))
                matrix[y * 6 + x, v * 6 + u] = -max(weight, LEAST)
    for pull in (0.0, 0.1):
        system = matrix + np.diag(pull - matrix.sum(1))
        rows, flat = ~known.ravel(), np.where(known[..., None], values, 0).reshape(42, 2)
        flat[rows] = np.linalg.solve(system[np.ix_(rows, rows)], -(system[rows] @ flat))
        np.testing.assert_allclose(spread(light, values, known, pull), flat.reshape(7, 6, 2), atol=2e-4)
    even = np.linalg.solve(system, 0.1 * values.reshape(42, 2)).reshape(7, 6, 2)
    np.testing.assert_allclose(settled(light, values, 0.1), even, atol=2e-4)


def test_colours_on_the_grid_are_shared_so_that_their_mean_is_near_the_true_one() -> None:
    points = palette()
    assert (points.norm(dim=1) <= REACH).all()
    assert (points == 0).all(1).any()
    inner = torch.tensor([[3.0, -4.0], [17.0, 22.0], [-41.0, 8.0]])
    torch.testing.assert_close(expected(shares(inner).log(), 1.0), inner, atol=0.5, rtol=0)
    torch.testing.assert_close(shares(inner).sum(1), torch.ones(3))


@pytest.mark.parametrize("kind", KINDS)
def test_lightness_stays_and_what_is_transparent_keeps_its_bits(kind: str, model: Path, tmp_path: Path) -> None:
    pixels = KINDS[kind].copy()
    drawn = drawn_hints(tmp_path / "hint.png", pixels.shape)
    for edit in (Colourise(hint=drawn, guess=False), Colourise(model=model), Colourise(model=model, hint=drawn)):
        edited = edit_picture(Picture(pixels), [edit]).pixels
        np.testing.assert_array_equal(pixels, KINDS[kind])
        assert edited.dtype == pixels.dtype
        assert edited.shape == (*pixels.shape[:2], 4 if kind == "alpha" else 3)
        before, after = in_lab(pixels[..., [0, 0, 0]] if pixels.shape[2] == 1 else pixels), in_lab(edited)
        assert np.abs(after - before)[..., 0].max() <= ROUNDING[pixels.dtype]
        assert np.hypot(after[..., 1], after[..., 2]).max() > 5
        if kind == "alpha":
            np.testing.assert_array_equal(edited[..., 3], pixels[..., 3])
            unseen = pixels[..., 3] == 0
            assert 0.2 < unseen.mean() < 0.8
            np.testing.assert_array_equal(edited[unseen], pixels[unseen])


def test_hints_are_obeyed_and_spread(model: Path, hint: Path) -> None:
    for edit in (Colourise(hint=hint, guess=False), Colourise(model=model, hint=hint)):
        result = in_lab(edit_picture(GREY, [edit]).pixels)
        for place, colour in ((RED, [180, 70, 60]), (BLUE, [60, 90, 170])):
            assert np.hypot(*(result[place] - reached(result[place], colour)).T[1:]).max() < 5
    alone = in_lab(edit_picture(GREY, [Colourise(hint=hint, guess=False)]).pixels)
    assert alone[8, 4, 1] > 10  # beyond the red dab it is reddish
    plain = np.full((HIGH, WIDE, 1), 120, np.uint8)  # all alike: colours between the dabs are between theirs
    even = in_lab(edit_picture(Picture(plain, mode="L"), [Colourise(hint=hint, guess=False)]).pixels)
    assert (np.diff(even[4, 6:, 1]) <= 0.7).all()


def test_a_hint_may_be_a_coloured_copy_and_must_say_something(tmp_path: Path, hint: Path) -> None:
    painted = np.repeat(PHOTO[..., 1:2], 3, axis=2)
    painted[RED], painted[BLUE] = [180, 70, 60], [60, 90, 170]
    save_image(tmp_path / "painted.png", painted)
    edits = [Colourise(hint=place, guess=False) for place in (hint, tmp_path / "painted.png")]
    one, other = (edit_picture(GREY, [edit]).pixels for edit in edits)
    np.testing.assert_array_equal(one, other)
    save_image(tmp_path / "grey.png", PHOTO[..., :1])
    with pytest.raises(UsageError, match="says no colour"):
        Colourise(hint=tmp_path / "grey.png", guess=False).bind()
    with pytest.raises(UsageError, match="32 x 24 pixels and the picture 16 x 16"):
        edit_picture(Picture(PHOTO[:16, :16]), edits[:1])
    with pytest.raises(UsageError, match="give --hint"):
        Colourise(guess=False).bind()
    with pytest.raises(MemoryLimitError, match="Colourised takes the whole picture"):
        edit_picture(GREY, edits[:1], memory=1000)


def test_a_seed_repeats_and_another_draws_other_colours(model: Path) -> None:
    made = [edit_picture(GREY, [Colourise(model=model, seed=seed)]).pixels for seed in (0, 1, 1, 2)]
    np.testing.assert_array_equal(made[1], made[2])
    for one, other in ((0, 1), (1, 3)):
        assert (made[one] != made[other]).mean() > 0.1


def test_masks_and_strength_blend_colours_at_the_same_lightness(hint: Path) -> None:
    edit = Colourise(hint=hint, guess=False)
    mask = np.zeros((HIGH, WIDE), np.float32)
    mask[:, :16] = 1
    part, whole = edit_picture(Picture(PHOTO), [edit], mask).pixels, edit_picture(Picture(PHOTO), [edit]).pixels
    np.testing.assert_array_equal(part[:, 16:], PHOTO[:, 16:])
    np.testing.assert_array_equal(part[:, :16], whole[:, :16])
    half = in_lab(edit_picture(Picture(PHOTO), [edit], strength=0.5).pixels)
    middle = (in_lab(PHOTO) + in_lab(whole)) / 2
    assert np.median(np.hypot(*(half - middle).T[1:])) < 1


def test_colours_of_a_large_picture_are_found_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    large = np.full((3 * HIGH, 3 * WIDE, 1), 120, np.uint8)
    dabs = np.zeros((*large.shape[:2], 4), np.uint8)
    dabs[30:33, 40] = [180, 70, 60, 255]  # less than a pixel of the small picture
    dabs[:, :3] = [120, 120, 120, 255]
    save_image(tmp_path / "hint.png", dabs)
    monkeypatch.setattr(colourise, "PIXELS", HIGH * WIDE // 4)
    edit = Colourise(guess=False, hint=tmp_path / "hint.png")
    result = in_lab(edit_picture(Picture(large, mode="L"), [edit]).pixels)
    wanted = in_lab(np.array([180, 70, 60], np.uint8)[None, None])[0, 0, 1:]
    assert np.hypot(*(result[30:33, 40, 1:] - wanted).T).max() < 5
    assert result[60, 80, 1] > 20
    assert np.abs(result[:, :2, 1:]).max() < 1


def test_what_cannot_be_learned_or_run_is_refused(tmp_path: Path, model: Path) -> None:
    with pytest.raises(DataError, match="grey"):
        SETTINGS.build(PictureShape(32, 1))
    with pytest.raises(UsageError, match="cannot be exported"):
        pinxit.export(model, out=tmp_path / "model.onnx")


def striped(step: int) -> Batch:
    """Orange stripes down and blue stripes across, of any lightness: what a grey picture shows says its colour."""
    light = 0.5 + 0.5 * torch.rand(4, 1, 1, 1, generator=torch.Generator().manual_seed(step))
    wave = (0.6 + 0.3 * torch.sin(torch.arange(32) * 1.6)) * light
    down, across = wave.expand(4, 1, 32, 32), wave.mT.expand(4, 1, 32, 32)
    orange, blue = (torch.tensor(colour)[None, :, None, None] for colour in ([1.0, 0.6, 0.3], [0.4, 0.6, 1.0]))
    return Batch(
        image=torch.where(torch.arange(4)[:, None, None, None] < 2, down * orange, across * blue), seed=0, step=step
    )


def test_it_learns_what_tells_colours_and_hides_channels_in_training_only() -> None:
    torch.manual_seed(0)
    objective = ColourSettings(width=16, drop=0.2).build(PictureShape(32, 3))
    objective.start(striped(0))
    whole = ColourSettings(width=16, drop=0).build(PictureShape(32, 3))
    optimiser = torch.optim.Adam(objective.painter.parameters(), 1e-2)
    for step in range(60):
        loss = objective.loss(striped(step), objective.draw(striped(step))).terms["cross_entropy"]
        optimiser.zero_grad(), loss.backward(), optimiser.step()
        objective.after_step(striped(step), {})
    with torch.no_grad():
        logits = objective.painter(look(lightness(striped(99).image)))
        one, other = expected(logits, TEMPERATURE).unflatten(0, (2, 2)).mean((1, 2, 3))
        assert one[1] > 10
        assert other[1] < -10
        whole.networks.load_state_dict(objective.networks.state_dict())
        assert objective.judge(striped(99)) == whole.judge(striped(99))
        assert not torch.equal(objective.draw(striped(99)).logits, whole.draw(striped(99)).logits)
    assert abs(objective.networks["seen"].frequency.sum() - 1) < 1e-4
