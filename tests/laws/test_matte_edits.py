"""Laws of cut-outs and new backgrounds: exact where nothing is mixed, for every kind of picture."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from test_edit_keeps import KINDS, loaded

import pinxit
from pinxit import models
from pinxit.cli import run
from pinxit.colour import encoded, linear
from pinxit.commands import completed
from pinxit.edits import estimators, subjects
from pinxit.edits.engine import BrokenEditError, edit_picture
from pinxit.edits.layers import Replaced, nothing
from pinxit.edits.mask import TOP, Mask, rounded, unit
from pinxit.edits.matte import Background, Cutout
from pinxit.edits.subjects import Given
from pinxit.errors import DataError, MemoryLimitError, UsageError
from pinxit.images import Picture, load_picture, save_image, save_picture
from pinxit.matting import backdrop, cut, foreground

PHOTO = data.astronaut()[60:84, 190:222]
HIGH, WIDE = PHOTO.shape[:2]
MATTE = np.clip(60 * (9 - np.hypot(*np.mgrid[-12:12, -16:16])), 0, 255).astype(np.uint8)  # a disc with a soft edge
SCENE = data.astronaut()[300:324, 100:132]
PICTURES = {
    "colour": PHOTO,
    "grey": PHOTO[..., :1],
    "16-bit": PHOTO.astype(np.uint16) * 250 + 99,
    "alpha": np.concatenate([PHOTO, np.where(PHOTO[..., :1] > 60, PHOTO[..., 1:2], 0)], axis=2),
    "float": PHOTO.astype(np.float32) / 255,
    "one pixel": PHOTO[:1, :1],
}


@pytest.fixture
def matte(tmp_path: Path) -> Path:
    save_image(tmp_path / "matte.png", MATTE[..., None])
    return tmp_path / "matte.png"


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    save_image(tmp_path / "scene.png", SCENE)
    return tmp_path / "scene.png"


def placed(pixels: np.ndarray, folder: Path) -> Path:
    """A matte of a picture's size."""
    high, wide = pixels.shape[:2]
    save_image(folder / "matte.png", MATTE[12 : 12 + high, 16 : 16 + wide, None] if high < HIGH else MATTE[..., None])
    return folder / "matte.png"


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("to", ["transparent", "blur", "white", "#102030", "scene"])
def test_what_is_not_mixed_keeps_its_bits(kind: str, to: str, tmp_path: Path, scene: Path) -> None:
    pixels, drawn = PICTURES[kind].copy(), placed(PICTURES[kind], tmp_path)
    edit = Background(matte=drawn, to=scene if to == "scene" else to)
    edited = edit_picture(Picture(pixels), [edit])
    np.testing.assert_array_equal(pixels, PICTURES[kind])
    np.testing.assert_array_equal(edit_picture(Picture(pixels), [edit.bind()]).pixels, edited.pixels)
    top, share = TOP[pixels.dtype], load_picture(drawn).pixels[..., 0]
    own = pixels[..., 3] if kind == "alpha" else np.full(pixels.shape[:2], top)
    assert edited.pixels.dtype == pixels.dtype
    alpha = edited.pixels[..., 3] if edited.pixels.shape[2] == 4 else np.full(share.shape, top)
    if to == "transparent":
        np.testing.assert_allclose(alpha, own / top * share / 255 * top, atol=0.51)
    else:
        assert (alpha == top).all()
    inside = (share == 255) & (own == top)
    colours = pixels[..., :3] if edited.pixels.shape[2] != 1 else pixels
    assert (edited.pixels[inside][:, :3] == colours[inside]).all()
    outside = (share == 0) | (own == 0)
    new = {"white": (255, 255, 255), "#102030": (16, 32, 48)}.get(to)
    if new:
        wanted = rounded(np.array(new[: min(edited.pixels.shape[2], 3)], np.float32) / 255, pixels.dtype)
        assert (edited.pixels[outside][:, :3] == wanted).all()
    elif to == "scene" and kind != "one pixel":
        assert (edited.pixels[outside][:, :3] == rounded(unit(SCENE[outside]), pixels.dtype)).all()


def test_a_grey_picture_stays_grey_unless_its_background_is_coloured(matte: Path) -> None:
    grey = Picture(PHOTO[..., :1], mode="L")
    modes = {to: edit_picture(grey, [Background(matte=matte, to=to)]) for to in ("white", "red", "transparent", "blur")}
    assert {to: (edited.mode, edited.pixels.shape[2]) for to, edited in modes.items()} == {
        "white": ("L", 1), "red": ("RGB", 3), "transparent": ("LA", 4), "blur": ("L", 1)
    }  # fmt: skip


def test_outside_the_mask_and_at_strength_0_no_bit_changes(matte: Path, scene: Path) -> None:
    mask = np.zeros((HIGH, WIDE), np.float32)
    mask[:, :16], mask[:, 16:20] = 1, 0.5
    for edit in (Background(matte=matte, to=scene), Cutout(matte=matte)):
        whole = edit_picture(Picture(PHOTO), [edit]).pixels
        part = edit_picture(Picture(PHOTO), [edit], mask).pixels
        np.testing.assert_array_equal(part[:, 20:, :3], PHOTO[:, 20:])
        np.testing.assert_array_equal(part[:, :16], whole[:, :16])
        assert (part[:, 20:, 3:] == 255).all()
        none = edit_picture(Picture(PHOTO), [edit], strength=0).pixels
        np.testing.assert_array_equal(none[..., :3], PHOTO)
    half = edit_picture(Picture(PHOTO), [Background(matte=matte, to="black")], strength=0.5).pixels
    dark = encoded(linear(PHOTO[MATTE == 0] / 255) / 2) * 255
    assert np.abs(half[MATTE == 0] - dark).max() <= 0.51


def test_an_edit_that_breaks_the_mask_is_not_kept(matte: Path) -> None:
    class Careless(Replaced):
        def compose(self, picture: Picture, share: np.ndarray) -> Picture:
            return super().compose(picture, np.ones_like(share))

    with pytest.raises(BrokenEditError, match="changed outside the mask"):
        edit_picture(Picture(PHOTO), [Careless(Given(matte), nothing)], np.zeros((HIGH, WIDE), np.float32))


def test_colours_mixed_in_linear_light_are_unmixed() -> None:
    """A red disc before a blue scene: where the two are mixed, each has its own colour again."""
    share = torch.from_numpy(MATTE / 255.0).float()
    red, blue = (torch.tensor(colour)[:, None, None] for colour in ([0.6, 0.1, 0.1], [0.1, 0.2, 0.7]))
    seen = (share * red + (1 - share) * blue).numpy()
    mixed = (MATTE > 0) & (MATTE < 255)
    parts = list(
        foreground.unmixed(
            lambda rows, columns: torch.from_numpy(seen[:, rows[:, None], columns]), MATTE / np.float32(255)
        )
    )
    (part,) = parts
    assert (part.subject - red).abs()[:, mixed].max() < 0.01
    assert (part.background - blue).abs()[:, mixed].max() < 0.01


def test_parts_of_a_picture_cannot_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    share, seen = rng.random((70, 90), np.float32), torch.from_numpy(rng.random((3, 70, 90), np.float32))
    share[rng.random(share.shape) < 0.7] = 0  # where the subject's colours come from afar

    def whole() -> torch.Tensor:
        made = torch.empty(2, 3, 70, 90)
        for part in foreground.unmixed(lambda rows, columns: seen[:, rows[:, None], columns], share):
            made[0, :, part.rows, part.columns], made[1, :, part.rows, part.columns] = part[2:]
        return made

    one = whole()
    monkeypatch.setattr(foreground, "PART", 24)
    assert torch.equal(whole(), one)


def test_a_cut_out_before_a_background_is_the_background_edit(matte: Path, scene: Path) -> None:
    """What `cutout` saves can be put before any background; its alpha is the matte then."""
    cut = pinxit.edit(PHOTO, Cutout(matte=matte))
    once = pinxit.edit(PHOTO, Background(matte=matte, to=scene)).astype(int)
    twice = pinxit.edit(cut, Background(to=scene))
    assert (twice[..., 3] == 255).all()
    assert np.abs(twice[..., :3] - once).max() <= 1


def test_layers_in_a_chain_round_once_and_know_the_mask(matte: Path) -> None:
    chain = f'adjust(exposure=0.5) | background(to=gray, matte="{matte}") | adjust(exposure=-0.5)'
    edited = pinxit.edit(PHOTO, chain)
    assert edited.dtype == np.uint8
    assert np.abs(edited[MATTE == 255].astype(int) - PHOTO[MATTE == 255])[PHOTO[MATTE == 255] < 180].max() <= 1
    mask = np.zeros((HIGH, WIDE), bool)
    np.testing.assert_array_equal(pinxit.edit(PHOTO, chain, mask=mask), PHOTO)


def test_what_is_opaque_in_the_result_keeps_its_bits_if_the_matte_is_finer(tmp_path: Path) -> None:
    """A matte of 16 bits that is nearly white is white in a result of 8 bits."""
    dark = np.broadcast_to(np.where(np.arange(WIDE) < 16, 3, 250)[:, None], PHOTO.shape).astype(np.uint8)
    fine = np.where(np.arange(WIDE) < 16, 65535 - 12 * np.arange(WIDE), 0).astype(np.uint16)
    save_image(tmp_path / "matte.png", np.broadcast_to(fine[:, None], (HIGH, WIDE, 1)))
    cut = pinxit.edit(dark, Cutout(matte=tmp_path / "matte.png"))
    opaque = cut[..., 3] == 255
    assert 0.2 < opaque.mean() < 0.5
    np.testing.assert_array_equal(cut[opaque][:, :3], dark[opaque])


def test_the_matte_alone(matte: Path) -> None:
    alone = edit_picture(Picture(PHOTO), [Cutout(matte=matte, only="matte")])
    np.testing.assert_array_equal(alone.pixels[..., 0], MATTE)
    assert alone.mode == "L"
    with pytest.raises(UsageError, match="leave out masks"):
        edit_picture(Picture(PHOTO), [Cutout(matte=matte, only="matte")], strength=0.5)


def test_a_folder_with_a_truncated_file(
    tmp_path: Path, matte: Path, scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        save_image(tmp_path / f"in/{number}.jpg", PHOTO)
    broken = tmp_path / "in/1.jpg"
    broken.write_bytes(broken.read_bytes()[:-200])
    words = ["edit", "background", str(tmp_path / "in"), "--to", str(scene), "--matte", str(matte)]
    assert run([*words, "-o", str(tmp_path / "out")]) == 7
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["0.png", "2.png"]
    assert run(["redo", str(tmp_path / "out/0.png"), "--on", str(tmp_path / "in/0.jpg")]) == 3
    assert "matte.png" in capsys.readouterr().err.splitlines()[-1]


def test_too_little_memory_and_another_size_are_refused(matte: Path) -> None:
    with pytest.raises(MemoryLimitError, match="Replaced takes the whole picture"):
        edit_picture(Picture(PHOTO), [Cutout(matte=matte)], memory=1000)
    with pytest.raises(UsageError, match="32 x 24 pixels and the picture 16 x 16"):
        edit_picture(Picture(PHOTO[:16, :16]), [Cutout(matte=matte)])


def test_a_trimap_or_scribbles_say_what_is_known_and_the_rest_is_found(tmp_path: Path) -> None:
    """A red disc before blue, mixed at its edge: greys and transparent parts of what is drawn are found."""
    seen = mixed([200, 30, 30], np.full((HIGH, WIDE, 3), [20, 60, 180]))
    trimap = np.where((MATTE == 0) | (MATTE == 255), MATTE, 128)
    scribbles = np.zeros((HIGH, WIDE, 4), np.uint8)
    scribbles[10:14, 12:20] = 255
    scribbles[:2, :, 3] = 255
    for drawn in (trimap[..., None], scribbles):
        save_image(tmp_path / "drawn.png", drawn.astype(np.uint8))
        found = pinxit.edit(seen, Cutout(trimap=tmp_path / "drawn.png", only="matte"))
        assert np.abs(found[..., 0].astype(int) - MATTE).max() <= 12
    save_image(tmp_path / "white.png", np.full((HIGH, WIDE, 1), 255, np.uint8))
    with pytest.raises(UsageError, match="needs some black for the background"):
        Cutout(trimap=tmp_path / "white.png").bind()
    with pytest.raises(UsageError, match="--matte and --trimap each say"):
        Cutout(trimap=tmp_path / "drawn.png", matte=tmp_path / "white.png").bind()


def test_the_matte_of_a_large_picture_is_solved_small_and_keeps_what_is_known() -> None:
    share = np.repeat(np.repeat(MATTE, 4, 0), 4, 1)[..., None] / 255
    seen = np.rint(share * [200, 30, 30] + (1 - share) * [20, 60, 180]).astype(np.uint8)
    subject, background = share[..., 0] == 1, share[..., 0] == 0
    found = subjects.between(seen, subject, background, 2000)
    assert (found[subject] == 1).all()
    assert (found[background] == 0).all()
    assert np.abs(found - share[..., 0]).max() < 0.1


def test_a_guess_counts_where_it_is_sure_and_where_it_lies() -> None:
    """A ramp from black to white over 20 columns of a guess, seen in a box of a picture that is ten times as large."""
    ramp = np.linspace(0, 1, 20, dtype=np.float32)[None].repeat(10, 0)
    told = subjects._belief(ramp, (slice(30, 90), slice(60, 160)), (100, 200), (60, 100))
    assert told.share.shape == told.weight.shape == (60, 100)
    assert not told.share[:, :38].any()
    assert told.share[:, 42:].all()
    assert told.weight[:, 40].max() < 1e-9 < told.weight[:, -1].min() < subjects.TRUST
    photo, guess = np.full((60, 60, 3), 90, np.uint8), np.zeros((30, 30), np.float32)
    guess[8:22, 8:22] = 1
    plain, quick = subjects.around(photo, guess), subjects.around(photo, guess, quick=True)
    assert np.abs(quick[28:32, 14:18] - 1).mean() < np.abs(plain[28:32, 14:18] - 1).mean()  # no colour says so


def mixed(subject: list[int], background: np.ndarray) -> np.ndarray:
    """The disc in one colour before a background, mixed in linear light, with a little noise."""
    share = MATTE[..., None] / 255
    light = share * linear(np.array(subject) / 255) + (1 - share) * linear(background / 255)
    noise = np.random.default_rng(0).normal(0, 1, light.shape)
    return (encoded(light) * 255 + noise).round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("key", ["auto", "#20a030"])
def test_a_screen_of_one_colour_gives_the_matte_and_leaves_no_tint(key: str) -> None:
    screen = np.array([30, 160, 50]) * np.linspace(0.9, 1.1, WIDE)[:, None] * np.ones((HIGH, 1, 1))  # lit unevenly
    seen = mixed([180, 120, 90], screen)
    found = pinxit.edit(seen, Cutout(key=key))
    assert np.abs(found[..., 3].astype(int) - MATTE).max() <= 12
    greenness = found[..., 1].astype(int) - found[..., :3].max(axis=2)
    assert greenness[(MATTE > 40) & (MATTE < 220)].max() <= 0
    with pytest.raises(DataError, match="hardly any pixel has the colour of the key"):
        pinxit.edit(seen, Cutout(key="blue"))
    grey = pinxit.edit(mixed([30] * 3, np.full_like(seen, 240))[..., :1], Cutout(key="auto", only="matte"))
    assert np.abs(grey[..., 0].astype(int) - MATTE).mean() < 4


def test_spill_is_what_points_to_the_key_more_than_at_right_angles_to_it() -> None:
    key = torch.tensor([0.0, 0.9, 0.0])
    colours = torch.tensor([[0.2, 0.6, 0.2], [0.7, 0.2, 0.2], [0.5, 0.5, 0.5]]).T[:, None]
    clean = backdrop.without_spill(colours, key)
    assert clean[1, 0, 0] == pytest.approx(0.6 - 0.4 * 2 / 3, abs=1e-5)  # grey-green has no other tint: it is grey
    assert torch.equal(clean[:, :, 1:], colours[:, :, 1:])
    assert torch.equal(backdrop.without_spill(colours, torch.ones(3)), colours)


def test_a_picture_of_the_empty_scene_gives_the_matte(tmp_path: Path) -> None:
    save_image(tmp_path / "plate.png", SCENE)
    found = pinxit.edit(mixed([250, 120, 200], SCENE), Cutout(plate=tmp_path / "plate.png", only="matte"))
    assert np.abs(found[..., 0].astype(int) - MATTE).mean() < 4
    with pytest.raises(DataError, match="does not show the scene of this picture"):
        pinxit.edit(255 - SCENE, Cutout(plate=tmp_path / "plate.png"))
    with pytest.raises(UsageError, match="the sizes must be the same"):
        pinxit.edit(SCENE[:20], Cutout(plate=tmp_path / "plate.png"))


def test_people_are_found_without_a_word() -> None:
    photo = data.astronaut()[::4, ::4]
    cut = pinxit.edit(photo, Cutout())
    assert cut[20, 50, 3] == 255
    assert cut[10, 95, 3] == 0
    assert Cutout().bind().weights
    with pytest.raises(DataError, match="no person is found in it; --matte"):
        pinxit.edit(np.full((20, 20, 3), 99, np.uint8), Cutout(find="person"))


def test_anything_is_found_without_a_word_and_by_a_network_of_ones_own(tmp_path: Path) -> None:
    """A cat's face is no person; a result that was made when only people were found is made again as it was."""
    photo = data.chelsea()[::3, ::3]
    cut = pinxit.edit(photo, Cutout())[..., 3]
    assert cut[50, 70] == 255
    assert cut[5, 5] == 0
    np.testing.assert_array_equal(cut, pinxit.edit(photo, Cutout(find="subject"))[..., 3])
    own = Cutout(model=models.shipped("matte-v1"))
    assert own.bind().weights == {}
    np.testing.assert_array_equal(cut, pinxit.edit(photo, own)[..., 3])
    with pytest.raises(UsageError, match="--matte and --model each say"):
        Cutout(matte=tmp_path, model=tmp_path).bind()
    either = estimators.Either()
    for picture, finder in ((photo, either.anything), (data.astronaut()[::2, ::2], either.people)):
        np.testing.assert_array_equal(either.guess(picture), finder.guess(picture))
    area, kinds = Mask(subject="only"), {name: kind().weights for name, kind in estimators.ESTIMATORS.items()}
    assert {name: subjects.asked_for(area, kinds[name]).weights for name in kinds} == kinds
    assert subjects.asked_for(area).weights == kinds["auto"]
    assert subjects.asked_for(Mask()) is None


def test_a_folder_has_a_matte_for_each_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each result names its own; made again, that one is looked for."""
    for name, drawn in (("a", MATTE), ("b", MATTE[::-1]), ("c", None)):
        save_image(tmp_path / "in" / f"{name}.png", PHOTO)
        if drawn is not None:
            save_image(tmp_path / "mattes" / f"{name}.png", drawn[..., None])
    words = ["--matte", str(tmp_path / "mattes"), "-o", str(tmp_path / "out")]
    assert run(["edit", "cutout", str(tmp_path / "in"), *words]) == 7
    assert "c.png: " in capsys.readouterr().err
    for name, drawn in (("a", MATTE), ("b", MATTE[::-1])):
        out = tmp_path / "out" / f"{name}.png"
        np.testing.assert_array_equal(load_picture(out).pixels[..., 3], drawn)
        assert run(["redo", str(out), "--on", str(tmp_path / "in" / f"{name}.png"), "-o", str(tmp_path / "x.png")]) == 3
        monkeypatch.chdir(tmp_path / "mattes")
        again = tmp_path / f"{name}-again.png"
        assert run(["redo", str(out), "--on", str(tmp_path / "in" / f"{name}.png"), "-o", str(again)]) == 0
        assert again.read_bytes() == out.read_bytes()
        monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="is a folder, for pictures that are files"):
        pinxit.edit(PHOTO, Cutout(matte=tmp_path / "mattes"))


def test_a_proof_of_a_matte_is_made_at_its_size(tmp_path: Path) -> None:
    large = np.repeat(np.repeat(PHOTO, 13, 0), 13, 1)
    save_image(tmp_path / "photo.png", large)
    save_image(tmp_path / "matte.png", np.repeat(np.repeat(MATTE, 13, 0), 13, 1)[..., None])
    words = [str(tmp_path / "photo.png"), "--matte", str(tmp_path / "matte.png"), "-o", str(tmp_path / "proof.html")]
    assert run(["edit", "background", *words, "--to", "white", "--proof"]) == 0
    assert "own size" in (tmp_path / "proof.html").read_text()


def test_any_edit_can_be_held_to_the_subject_or_to_its_background(tmp_path: Path) -> None:
    photo = data.astronaut()[:320:8, 80:400:8]
    save_image(tmp_path / "photo.png", photo)
    matte = pinxit.edit(photo, Cutout(only="matte"))[..., 0]
    words = ["edit", "adjust", str(tmp_path / "photo.png"), "--exposure", "1", "-o", str(tmp_path / "out.png"), "-y"]
    for more, kept in (
        (["--subject"], matte == 0),
        (["--subject", "invert"], matte == 255),
    ):
        assert run([*words, *more]) == 0
        edited = load_picture(tmp_path / "out.png").pixels
        np.testing.assert_array_equal((edited == photo).all(axis=2)[kept], True)
        assert (edited != photo).any(axis=2)[~kept & (photo.max(axis=2) > 20)].mean() > 0.9
    again = pinxit.edit(photo, "adjust(exposure=1)", area=Mask(subject="invert"))
    np.testing.assert_array_equal(again, edited)
    assert run(["redo", str(tmp_path / "out.png"), "-o", str(tmp_path / "again.png")]) == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "out.png").read_bytes()
    assert completed(["edit", "x", "--subject", "-o", "y"]) == ["edit", "x", "--subject", "only", "-o", "y"]
    assert completed(["--subject"]) == ["--subject", "only"]


def test_a_point_or_a_box_chooses_the_subject(tmp_path: Path) -> None:
    """Of two discs, the one that is named; --box is the subject's box here, not the area to change."""
    seen = np.concatenate([mixed([200, 40, 40], np.full((HIGH, WIDE, 3), [90, 110, 160]))] * 2, axis=1)
    save_image(tmp_path / "two.png", seen)
    both = np.concatenate([MATTE, 0 * MATTE], axis=1)
    words = ["edit", "cutout", str(tmp_path / "two.png"), "-o", str(tmp_path / "one.png"), "-y"]
    for more in (["--click", "16,12"], ["--box", "3,0,26,24"], ["--box", "3,0,26,24", "--click", "14,10,18,14"]):
        assert run([*words, *more]) == 0
        alpha = load_picture(tmp_path / "one.png").pixels[..., 3].astype(int)
        assert np.abs(alpha - both).mean() < 8, more
    for wrong, said in ((["--click", "7"], 2), (["--click", "99,3"], 2), (["--box", "0,0,0,5"], 2)):
        assert run([*words, *wrong]) == said


def test_a_cut_is_the_cheapest_of_all() -> None:
    """Every way to cut a picture of 3 x 3 pixels, tried."""
    rng = np.random.default_rng(0)
    must, may = np.zeros((3, 3), bool), np.ones((3, 3), bool)
    must[1, 1], may[0, 0] = True, False
    for _ in range(5):
        colours, costs = rng.random((3, 3, 3)), rng.integers(0, 100, (2, 9)) / cut.UNITS
        links = cut._links(colours)
        found = cut._cut(links, *costs, must=must, may=may)
        whole = np.rint(cut.UNITS * links.costs) / cut.UNITS

        def price(sides: np.ndarray, costs: np.ndarray = costs, links: Any = links, whole: np.ndarray = whole) -> float:
            apart = whole[sides[links.ones] != sides[links.others]].sum()
            return float(np.where(sides, costs[0], costs[1]).sum() + apart)

        every = (np.array(sides) for sides in product([False, True], repeat=9) if sides[4] and not sides[0])
        assert price(found.ravel()) == pytest.approx(min(map(price, every)))


def test_the_light_of_the_new_background_falls_on_the_subject_as_far_as_it_is_asked_to(matte: Path) -> None:
    """A scene in half the light and warmer: the subject follows, in linear light; at 0 no bit of it does."""
    light = linear(PHOTO / 255) * [0.6, 0.5, 0.3]
    save_image(matte.parent / "dim.png", np.rint(encoded(light) * 255).astype(np.uint8))
    dim = matte.parent / "dim.png"
    whole, half, none = (
        pinxit.edit(PHOTO, Background(matte=matte, to=dim, light=amount))[MATTE == 255] / 255 for amount in (1, 0.5, 0)
    )
    own = PHOTO[MATTE == 255] / 255
    np.testing.assert_allclose(whole, encoded(linear(own) * [0.6, 0.5, 0.3]), atol=0.02)
    np.testing.assert_allclose(half, encoded(linear(own) * np.sqrt([0.6, 0.5, 0.3])), atol=0.02)
    np.testing.assert_array_equal(none, own)
    with pytest.raises(UsageError, match="--light and --shadow need a background"):
        Background(matte=matte, to="transparent", light=1).bind()


def test_a_shadow_falls_on_the_new_background_and_texture_does_not(matte: Path) -> None:
    wall = np.full((HIGH, WIDE, 3), 200.0) + np.random.default_rng(0).normal(0, 1, (HIGH, WIDE, 3))
    wall[20:, 4:12] *= 0.6
    seen = mixed([60, 120, 200], wall)
    bare, dark = (pinxit.edit(seen, Background(matte=matte, to="#80c080", shadow=amount)) for amount in (0, 1))
    shadow, outside = np.zeros(MATTE.shape, bool), MATTE == 0
    shadow[20:, 4:12] = True
    ratio = linear(dark / 255) / linear(bare / 255)
    assert 0.25 < ratio[shadow & outside].mean() < 0.55  # 0.6 of the numbers is 0.33 of the light
    assert (dark == bare).all(axis=2)[outside & ~shadow].mean() > 0.95
    assert (dark[MATTE == 255] == seen[MATTE == 255]).all()


def test_a_matting_network_of_others_runs_if_its_input_is_a_picture(tmp_path: Path) -> None:
    """The network gives 1 where red is above blue, in numbers from -1 to 1, at 32 x 32 pixels or at any size."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    make, number = onnx.helper, onnx.numpy_helper.from_array

    def saved(name: str, shape: list[int | str], weights: list[float]) -> Path:
        kernel = np.array(weights, np.float32).reshape(1, len(weights), 1, 1)
        graph = make.make_graph(
            [make.make_node("Conv", ["x", "w"], ["y"]), make.make_node("Clip", ["y", "zero", "one"], ["z"])],
            "net",
            [make.make_tensor_value_info("x", 1, shape)],
            [make.make_tensor_value_info("z", 1, None)],
            [number(kernel, "w"), number(np.float32(0), "zero"), number(np.float32(1), "one")],
        )
        model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, tmp_path / name)
        return tmp_path / name

    seen = mixed([255, 40, 0], np.full((HIGH, WIDE, 3), [0, 60, 255]))
    for name, shape in (("fixed.onnx", [1, 3, 32, 32]), ("any.onnx", [1, 3, "h", "w"])):
        edit = Cutout(network=saved(name, shape, [0.5, 0, -0.5]), network_range="-1..1", only="matte")
        found = pinxit.edit(seen, edit)[..., 0].astype(int)
        assert np.abs(found - MATTE)[(MATTE == 0) | (MATTE == 255)].max() <= 40
    with pytest.raises(UsageError, match="its input is not one colour picture"):
        Cutout(network=saved("grey.onnx", [1, 1, "h", "w"], [1])).bind()
    (tmp_path / "broken.onnx").write_bytes(b"none")
    with pytest.raises(DataError, match=r"broken\.onnx"):
        Cutout(network=tmp_path / "broken.onnx").bind()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_keeps_its_depth_its_words_and_what_is_opaque(kind: str, tmp_path: Path) -> None:
    picture = loaded(kind)
    high, wide = picture.pixels.shape[:2]
    drawn = np.where(np.arange(wide) < wide // 2, 255, 0).astype(np.uint8)
    save_image(tmp_path / "matte.png", np.broadcast_to(drawn[:, None], (high, wide, 1)))
    cut = edit_picture(picture, [Cutout(matte=tmp_path / "matte.png")])
    assert cut.pixels.dtype == picture.pixels.dtype
    assert cut.keeps == picture.keeps
    assert cut.grey == picture.grey
    save_picture(tmp_path / "cut.png", cut)
    again, left = load_picture(tmp_path / "cut.png").pixels, slice(0, wide // 2)
    seen = picture.pixels if picture.pixels.shape[2] < 4 else picture.pixels[..., :3]
    shown = picture.pixels[:, left, 3] > 0 if picture.pixels.shape[2] == 4 else np.ones((high, wide // 2), bool)
    np.testing.assert_array_equal(again[:, left, :3][shown], np.broadcast_to(seen, (high, wide, 3))[:, left][shown])
    assert not again[:, wide // 2 :, 3].any()
