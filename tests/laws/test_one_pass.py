"""Laws of styles painted in one pass: strength, colours, grey, tiles, and what training records."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

import pinxit
from pinxit import hardware
from pinxit.data.settings import PaintedSettings
from pinxit.edits import one_pass
from pinxit.edits.bound import Bound
from pinxit.edits.engine import edit_picture
from pinxit.edits.one_pass import OnePass, TorchAnyStyle, TorchOneStyle
from pinxit.edits.settings import Stylize
from pinxit.errors import DataError, UsageError, UserError
from pinxit.files import sha256
from pinxit.images import Picture, resize, save_image
from pinxit.nets.stylizer import AnyStyle, StyleDecoder, TransformNet
from pinxit.objectives.settings import StyleSettings
from pinxit.objectives.style import style_encoder
from pinxit.settings import BASE_NAMES
from pinxit.tensors import write_tensors
from pinxit.training.settings import TrainingSettings

pytestmark = pytest.mark.usefixtures("no_report")

PHOTO = data.astronaut()[20:116, 170:282]
LUMA = np.array([0.2126, 0.7152, 0.0722])
KINDS = ("one", "any")
each_kind = pytest.mark.parametrize("kind", KINDS)


def untrained_style(path: Path, kind: str) -> Path:
    """Write the weights of an untrained network that still changes pictures, of one style or of any."""
    torch.manual_seed(0)
    settings, key, net = {
        "one": (StyleSettings(style=path.with_name("cat.png")), "painter", TransformNet()),
        "any": (StyleSettings(any=True, styles=path.parent), "decoder", StyleDecoder()),
    }[kind]
    torch.nn.init.normal_(net.last.weight, std=0.02)
    told = json.loads(settings.model_dump_json(context=BASE_NAMES))
    about = {"objective": "style", "settings": told, "data": {"size": 64, "channels": 3}}
    write_tensors(path, {f"{key}.{name}": value for name, value in net.state_dict().items()}, json.dumps(about))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two styles and the weights of two networks."""
    folder = tmp_path_factory.mktemp("styles")
    save_image(folder / "cat.png", data.chelsea()[40:140, 100:220])
    save_image(folder / "cup.png", data.coffee()[60:160, 200:300])
    for kind in KINDS:
        untrained_style(folder / f"{kind}.safetensors", kind)
    return folder


def bound(place: Path, kind: str, **settings: object) -> OnePass:
    """An edit by one of the networks, in float32, so that sums are all that can differ."""
    if kind == "any":
        settings = {"style": place / "cat.png"} | settings
    edit = Stylize(model=place / f"{kind}.safetensors", **settings).bind()
    assert isinstance(edit, OnePass)
    return replace(edit, hardware=hardware.choose("cpu", "float32"))


def painted(edit: Bound, pixels: np.ndarray = PHOTO, strength: float = 1.0) -> np.ndarray:
    return edit_picture(Picture(pixels), [edit], strength=strength).pixels


@each_kind
def test_strength_0_changes_no_bit_and_a_little_less_than_1(place: Path, kind: str) -> None:
    edit = bound(place, kind)
    far = [np.abs(painted(edit, strength=share) - 1.0 * PHOTO).mean() for share in (0, 0.25, 1)]
    assert far[0] == 0
    assert far[-1] > 2
    assert far[1] < far[-1]


@each_kind
def test_kept_colours_are_the_same_to_the_rounding(place: Path, kind: str) -> None:
    pixels = PHOTO.astype(np.float32) / 255
    kept = painted(bound(place, kind, keep_colours=True), pixels)
    before, after = (values - (values @ LUMA)[..., None] for values in (pixels, kept))
    np.testing.assert_allclose(after, before, atol=1e-5)
    assert np.abs((kept - pixels) @ LUMA).mean() > 0.01


@each_kind
@pytest.mark.parametrize("kept", [False, True])
def test_tiles_of_a_known_picture_cannot_be_seen(
    place: Path, kind: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture in one piece equals one in windows and tiles with the halo they state."""
    pixels = np.tile(PHOTO, (2, 2, 1))[:173, :213].astype(np.float32) / 255
    edit = bound(place, kind, keep_colours=kept)
    whole = painted(edit, pixels)
    monkeypatch.setattr(one_pass, "WINDOW", 136)
    monkeypatch.setattr("pinxit.edits.engine.side_for", lambda *_: 88)
    monkeypatch.setattr("pinxit.edits.engine.SIDE", 88)
    tiles = edit.for_picture(pixels)
    tiles = replace(tiles, whole=None) if isinstance(tiles, TorchOneStyle) else tiles
    monkeypatch.setattr(type(tiles), "for_picture", lambda self, pixels: self)
    np.testing.assert_allclose(painted(tiles, pixels), whole, atol=2e-5)


def test_statistics_gathered_in_windows_are_those_of_the_whole(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit = bound(place, "any")
    assert isinstance(edit, TorchAnyStyle)
    pixels = np.tile(PHOTO, (2, 2, 1))[:171, :211]
    whole = edit.whole_statistics(pixels)
    monkeypatch.setattr(one_pass, "WINDOW", 96)
    for one, other in zip(edit.whole_statistics(pixels), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_large_picture_is_painted_with_its_small_forms_statistics(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit = bound(place, "one")
    small = resize(PHOTO, (48, 56))
    monkeypatch.setattr(one_pass, "MEASURED", 48 * 56)
    large = edit.for_picture(PHOTO)
    assert isinstance(large, TorchOneStyle)
    assert large.whole is None
    known = edit.for_picture(small)
    assert isinstance(known, TorchOneStyle)
    assert known.whole is not None
    for one, other in zip(large.known, known.known, strict=True):
        assert torch.equal(one, other)


def test_styles_are_mixed_by_their_shares(place: Path) -> None:
    cat, cup = place / "cat.png", place / "cup.png"
    one, other = (bound(place, "any", style=style).for_picture(PHOTO).wanted for style in (cat, cup))
    mixed = bound(place, "any", style=(cat, cup), blend=(3, 1)).for_picture(PHOTO).wanted
    for first, second, both in zip(one, other, mixed, strict=True):
        torch.testing.assert_close(both, 0.75 * first + 0.25 * second, rtol=1e-4, atol=1e-5)
    alone = painted(bound(place, "any", style=(cat, cup), blend=(1, 1e-9)))
    assert np.abs(alone - 1.0 * painted(bound(place, "any", style=cat))).max() <= 1


def test_a_films_styles_are_looked_at_once_and_for_another_size_anew(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit, small = bound(place, "any"), PHOTO[:40, :50]
    for pixels in (PHOTO, small, PHOTO, small):
        np.testing.assert_array_equal(painted(edit, pixels), painted(bound(place, "any"), pixels))
    monkeypatch.delattr(one_pass.Style, "resized")
    painted(edit, 255 - small)
    with pytest.raises(AttributeError, match="resized"):
        painted(edit)


@each_kind
def test_grey_and_small_pictures_are_painted(place: Path, kind: str) -> None:
    edit = bound(place, kind)
    for shape in ((1, 1), (1, 30), (9, 17)):
        assert painted(edit, PHOTO[: shape[0], : shape[1]]).shape == (*shape, 3)
    grey = painted(edit, PHOTO[..., :1])
    assert grey.shape == (*PHOTO.shape[:2], 1)
    same = painted(edit, PHOTO[..., [0, 0, 0]]) @ LUMA
    assert np.abs(grey[..., 0] - same).max() <= 1


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_encoder_and_decoder_as_one_network_do_what_the_edit_does(place: Path, strength: float) -> None:
    edit = bound(place, "any", scale=10)  # the style at its own size
    network = AnyStyle(style_encoder(torch.device("cpu")), edit.decoder)
    image, style = (torch.tensor(pixels).permute(2, 0, 1)[None] / 255 for pixels in (PHOTO, edit.style.pictures[0]))
    with torch.no_grad():
        one = network(image, style, strength).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(painted(edit, PHOTO.astype(np.float32) / 255, strength), one, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "--style takes a picture"),
        ({"style": "there.png", "any": True}, "--styles"),
        ({"any": True}, "give their folder as --styles"),
        ({"styles": "."}, "--any --styles"),
        ({"style": "nowhere.png"}, "no such file"),
    ],
)
def test_training_without_the_styles_it_needs_is_refused_before_there_is_a_folder(
    settings: dict[str, object], line: str, place: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=line):
        pinxit.train(StyleSettings(**settings), place, tmp_path / "run", training=TrainingSettings(steps=1))
    assert not (tmp_path / "run").exists()


def test_a_step_sees_four_pictures_unless_more_are_asked_for(place: Path, tmp_path: Path) -> None:
    for number, asked in ((4, {}), (7, {"batch_size": 7})):
        settings, training = StyleSettings(style=place / "cat.png"), TrainingSettings(steps=0, **asked)
        run = pinxit.train(settings, place, tmp_path / str(number), PaintedSettings(size=64), training)
        assert run.recipe.training.batch_size == number
        assert run.recipe.training.schedule == "cosine"


def test_an_edit_needs_a_style_if_its_network_has_none_and_takes_none_if_it_has(place: Path) -> None:
    with pytest.raises(UsageError, match="no style is given"):
        Stylize().bind()
    with pytest.raises(UsageError, match="one each"):
        Stylize(model=place / "any.safetensors", style=place / "cat.png", blend=(1, 2)).bind()
    with pytest.raises(UsageError, match="no style is given"):
        Stylize(model=place / "any.safetensors").bind()
    with pytest.raises(UsageError, match="learned one style"):
        Stylize(model=place / "one.safetensors", style=place / "cat.png").bind()
    with pytest.raises(DataError, match="not a network of `pinxit train style`"):
        Stylize(model=place / "cat.png").bind()


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_trained_goes_on_without_its_style_and_names_no_folder(kind: str, tmp_path: Path) -> None:
    """A checkpoint is enough to resume: the style's file may be gone by then."""
    photos, styles = tmp_path / "photos", tmp_path / "secret" / "styles"
    for number in range(4):
        save_image(photos / f"{number}.png", PHOTO[number : number + 48, :56])
        save_image(styles / f"{number}.png", data.coffee()[number : number + 40, :64])
    settings = (
        StyleSettings(any=True, styles=styles)
        if kind == "any"
        else StyleSettings(style=styles / "0.png", style_size=32)
    )
    drawn = StyleSettings.pictures(size=32, holdout=0.0)
    asked = TrainingSettings(steps=2, batch_size=2, threads=1)
    run = pinxit.train(settings, photos, tmp_path / "run", drawn, asked)
    assert b"secret" not in run.weights.read_bytes()
    again = pinxit.train(settings, photos, tmp_path / "again", drawn, asked)
    assert sha256(run.weights) == sha256(again.weights)
    if kind == "one":
        (styles / "0.png").unlink()
        recipe = json.loads((run.folder / "recipe.json").read_text())
        recipe["training"]["steps"] = 3
        (run.folder / "recipe.json").write_text(json.dumps(recipe))
        assert pinxit.resume(run.folder).facts()["steps"] == 3
