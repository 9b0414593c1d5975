"""Laws over the table of edits: pure, repeatable, in range, within mask and strength, seamless in tiles."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from skimage import data
from test_edit_keeps import KINDS, loaded
from test_engine import SIZES, small_tiles
from test_enhance import untrained_curve
from test_restore_edits import untrained
from test_style import drawn_style
from test_translate import untrained as untrained_translator

import pinxit
from pinxit.edits import EDITS
from pinxit.edits.bound import Bound
from pinxit.edits.engine import edit_picture
from pinxit.edits.mask import Mask
from pinxit.edits.settings import Edit
from pinxit.images import Picture, save_image
from pinxit.settings import Settings, chain_document, chain_text, parse_chain

pytestmark = pytest.mark.usefixtures("quick_pieces")
MODELS = tempfile.TemporaryDirectory(prefix="pinxit-")


def model(name: str, **settings: object) -> dict[str, object]:
    """The setting that names an untrained network."""
    return {"model": untrained(Path(MODELS.name) / f"{name}.safetensors", **settings)}


PHOTO = data.astronaut()[60:108, 190:255]
MATTE = Path(MODELS.name) / "matte.png"
save_image(MATTE, np.clip(PHOTO[..., :1].astype(int) * 3 - 200, 0, 255).astype(np.uint8))
HINT = Path(MODELS.name) / "hint.png"
save_image(HINT, np.concatenate([PHOTO[..., ::-1], 255 * (PHOTO[..., :1] > 200)], axis=2).astype(np.uint8))

# Settings that change a picture, and make slow edits quick.
CASES: dict[str, dict[str, object]] = {
    "adjust": {
        "exposure": 0.5,
        "balance": "grey-world",
        "levels": 1,
        "temperature": 0.2,
        "gamma": 1.2,
        "saturation": 2,
    },
    "denoise-dct": {"sigma": 0.1},
    "denoise-zero-shot": {"steps": 3},
    "denoise-prior": {"max_steps": 2, "channels": 8},
    "inpaint-prior": {"max_steps": 2, "channels": 8},
    "upscale-prior": {"max_steps": 2, "channels": 8},
    "restore": model("restore"),
    "denoise": model("denoise"),
    "deblur": model("deblur", degrade="blur"),
    "dejpeg": model("dejpeg", degrade="jpeg"),
    "upscale": model("upscale", degrade="downscale(scale=2)") | {"fidelity": 0.5},
    "inpaint": model("inpaint", degrade="pixels"),
    "erase": model("erase", degrade="pixels") | {"wide": "smooth"},  # `inpaint` copies pieces, here and in test_wide.py
    "outpaint": model("outpaint", degrade="pixels") | {"pixels": 5, "left": 40, "wide": "smooth"},
    "enhance": {"denoise": False, "model": untrained_curve(Path(MODELS.name) / "enhance.safetensors")},
    "stylize": {"style": drawn_style(Path(MODELS.name) / "style.png"), "steps": 2},
    "texture": {"steps": 2},
    "colourise": {"guess": False, "hint": HINT},
    "translate": {"model": untrained_translator(Path(MODELS.name) / "translate.safetensors")},
    "cutout": {"matte": MATTE},
    "background": {"matte": MATTE, "to": "#abc"},
}
FILLS_HOLES = ("inpaint-prior", "inpaint", "erase")
LAYERED = ("cutout", "background", "colourise", "translate")
"""Their results have other alpha or channels: test_matte_edits.py, test_colourise.py and test_translate.py."""
PICTURES = {
    "colour": PHOTO,
    "grey": PHOTO[..., :1],
    "16-bit": PHOTO.astype(np.uint16) * 250 + 99,
    "alpha": np.concatenate([PHOTO, np.where(PHOTO[..., :1] > 60, PHOTO[..., 1:2], 0)], axis=2),
    "one pixel": PHOTO[:1, :1],
    "one row": PHOTO[:1],
}
each_edit = pytest.mark.parametrize("name", [name for name in EDITS if name not in LAYERED])
each_of_whole_pictures = pytest.mark.parametrize("name", [name for name in EDITS if name not in FILLS_HOLES + LAYERED])
each_picture = pytest.mark.parametrize("kind", PICTURES)


def grown(plane: np.ndarray, bound: Bound) -> np.ndarray:
    """The picture or the mask that an edit must keep, its edges repeated over the edit's padding."""
    return np.pad(plane, (*bound.padding, *((0, 0),) * (plane.ndim - 2)), mode="edge")


def edit_of(name: str) -> Edit:
    return EDITS[name].parse(CASES.get(name, {}))


def some(pixels: np.ndarray) -> np.ndarray:
    """A mask: 1 in a box, 0.5 around it, 0 elsewhere."""
    weights = np.zeros(pixels.shape[:2], np.float32)
    weights[:20, 10:30] = 0.5
    weights[:10, 15:25] = 1
    return weights


@pytest.mark.parametrize("name", EDITS)
def test_its_settings_are_documented_and_survive_json_and_text(name: str) -> None:
    kind = EDITS[name]
    assert (kind.__doc__ or "").partition("\n")[0].endswith(".")
    for field, info in kind.model_fields.items():
        assert (info.description or "").endswith("."), f"{name}.{field}"
    chain = (edit_of(name), edit_of(name))
    assert parse_chain(json.dumps(chain_document(chain, EDITS)), EDITS, "edit") == chain
    assert parse_chain(chain_text(chain, EDITS), EDITS, "edit") == chain
    assert isinstance(chain[0], Settings)


@each_edit
@each_picture
def test_it_gives_the_same_bytes_twice_and_leaves_its_input_alone(name: str, kind: str) -> None:
    pixels = PICTURES[kind].copy()
    first = edit_picture(Picture(pixels), [edit_of(name)], some(pixels))
    np.testing.assert_array_equal(pixels, PICTURES[kind])
    bound = edit_of(name).bind()
    for _ in range(2):  # bound once, run twice: the second run must not depend on the first picture
        again = edit_picture(Picture(pixels), [bound], some(pixels))
        np.testing.assert_array_equal(again.pixels, first.pixels)
        edit_picture(Picture(255 - PHOTO), [bound], some(PHOTO))
    high, wide, channels = grown(pixels, bound).shape
    assert first.pixels.shape == (high * bound.scale, wide * bound.scale, channels)
    assert first.pixels.dtype == pixels.dtype


@each_edit
@each_picture
def test_outside_the_mask_and_at_strength_0_no_bit_changes(name: str, kind: str) -> None:
    picture, bound = Picture(PICTURES[kind]), edit_of(name).bind()
    if bound.scale > 1:
        pytest.skip("no pixel of an enlarged picture is one of the old")
    weights, before = some(picture.pixels), grown(picture.pixels, bound)
    for mask in (weights,) if name in FILLS_HOLES else (weights, None):
        np.testing.assert_array_equal(edit_picture(picture, [bound], mask, strength=0).pixels, before)
    edited, area = edit_picture(picture, [bound], weights).pixels, bound.area(grown(weights, bound), before.shape[:2])
    np.testing.assert_array_equal(edited[area == 0], before[area == 0])
    if kind == "alpha":
        np.testing.assert_array_equal(edited[..., 3], before[..., 3])
        np.testing.assert_array_equal(edited[edited[..., 3] == 0], before[edited[..., 3] == 0])
    if kind in ("colour", "16-bit"):
        assert (edited != before).any()


def test_200_random_masked_edits_change_no_bit_outside_the_mask() -> None:
    """Chains of any edits that neither enlarge nor train for long. A mask that an edit widens counts as the mask."""
    rng, changed = np.random.default_rng(0), 0
    bounds = [edit_of(name).bind() for name in EDITS if name not in LAYERED]
    bounds = [bound for bound in bounds if bound.scale == 1 and bound.radius is not None]
    for _ in range(200):
        high, wide = rng.integers(20, 60, 2)
        top, left = rng.integers(400, size=2)
        pixels = data.astronaut()[top : top + high, left : left + wide]
        mask = Mask(
            box=(int(rng.integers(wide)), int(rng.integers(high)), *rng.integers(1, 15, 2).tolist()),
            grow=int(rng.integers(4)), feather=int(rng.integers(6)),
        ).weights(Picture(pixels))  # fmt: skip
        chain = [bounds[number] for number in rng.integers(len(bounds), size=rng.integers(1, 3))]
        before, weights, area = pixels, mask, np.zeros_like(mask)
        for bound in chain:
            before, weights, area = (grown(plane, bound) for plane in (before, weights, area))
            area = np.maximum(area, bound.area(weights, weights.shape))
        edited = edit_picture(Picture(pixels), chain, mask, strength=rng.uniform(0.1, 1)).pixels
        np.testing.assert_array_equal(edited[area == 0], before[area == 0])
        changed += (edited != before).any()
    assert changed > 150


@each_of_whole_pictures
def test_half_its_strength_is_half_way(name: str) -> None:
    picture, bound = Picture(PHOTO), edit_of(name).bind()
    if bound.at_strength(0.5)[1] != 0.5:
        pytest.skip("it has a strength of its own: test_style.py")
    for mask in (None, np.ones(PHOTO.shape[:2], np.float32)):
        nothing, half, whole = (
            edit_picture(picture, [bound], mask, strength=strength).pixels.astype(float) for strength in (0, 0.5, 1)
        )
        assert np.abs(half - (nothing + whole) / 2).max() <= 1
        assert np.abs(whole - nothing).max() > 2


@each_of_whole_pictures
def test_grey_and_alpha_are_edited_as_grey(name: str) -> None:
    grey = np.concatenate([PHOTO[..., [0, 0, 0]], PHOTO[..., 1:2] // 2 + 100], axis=2)
    edited = edit_picture(Picture(grey, mode="LA"), [edit_of(name)]).pixels
    assert (edited[..., :1] == edited[..., :3]).all()
    np.testing.assert_array_equal(edited[..., :1], edit_picture(Picture(grey[..., :1]), [edit_of(name)]).pixels)


@each_edit
def test_tiles_cannot_be_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(SIZES) >= 40
    bound = edit_of(name).bind().for_picture(PHOTO)
    if bound.radius is None:
        pytest.skip("it takes the whole picture")
    for high, wide in SIZES:
        pixels = data.astronaut()[60 : 60 + high, 190 : 190 + wide].astype(np.float32) / 255
        mask = some(pixels) if name in FILLS_HOLES else None
        whole = edit_picture(Picture(pixels), [bound], mask).pixels
        with monkeypatch.context() as patch:
            small_tiles(patch)
            assert np.abs(edit_picture(Picture(pixels), [bound], mask).pixels - whole).max() <= 1e-5, (high, wide)


@each_of_whole_pictures
def test_deep_pictures_gain_from_their_depth(name: str) -> None:
    """The edit of 16 bits equals that of 8 bits, except for rounding to 8 bits."""
    shallow = edit_picture(Picture(PHOTO), [edit_of(name)]).pixels
    deep = edit_picture(Picture(PHOTO.astype(np.uint16) * 257), [edit_of(name)]).pixels
    assert np.abs(deep / 257 - shallow).max() <= 0.6
    assert (deep % 257 != 0).any() or name == "identity"


@pytest.mark.parametrize("kind", KINDS)
@each_edit
def test_it_does_with_every_kind_of_file(name: str, kind: str) -> None:
    picture, bound = loaded(kind), edit_of(name).bind()
    edited = edit_picture(picture, [bound], some(picture.pixels))
    high, wide, channels = grown(picture.pixels, bound).shape
    assert edited.pixels.shape == (high * bound.scale, wide * bound.scale, channels)
    assert edited.pixels.dtype == picture.pixels.dtype
    assert (edited.keeps, edited.mode) == (picture.keeps, picture.mode)


def test_a_new_edit_is_one_class_and_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of CONTRIBUTING.md runs: it edits by name and in chains, and passes the laws."""
    text = Path(__file__).parents[2].joinpath("CONTRIBUTING.md").read_text()
    section = text.partition("## An edit\n")[2].partition("\n## ")[0]
    (code, row) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert row.count("\n") == 2, "a comment and a row"
    space: dict[str, object] = {}
    exec(compile(code, "CONTRIBUTING.md", "exec"), space)
    rows = eval("{" + row + "}", space)
    ((name, kind),) = rows.items()
    assert isinstance(kind, type)
    assert issubclass(kind, Edit)
    monkeypatch.setitem(EDITS, name, kind)
    edited = pinxit.edit(PHOTO, f"{name} | adjust(gamma=1.1)")
    assert edited.shape == PHOTO.shape
    assert (edited != PHOTO).any()
    assert isinstance(kind().bind(), Bound)
    for law in (test_its_settings_are_documented_and_survive_json_and_text, test_half_its_strength_is_half_way,
                test_grey_and_alpha_are_edited_as_grey):  # fmt: skip
        law(name)
    for picture in PICTURES:
        test_it_gives_the_same_bytes_twice_and_leaves_its_input_alone(name, picture)
        test_outside_the_mask_and_at_strength_0_no_bit_changes(name, picture)
    test_tiles_cannot_be_seen(name, monkeypatch)
