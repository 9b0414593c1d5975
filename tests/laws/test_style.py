"""Style and content: what their distances ignore, and what a painted picture keeps."""

from __future__ import annotations

import base64
import io
import re
import shlex
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage import data

from pinxit.cli import run
from pinxit.data import Batch
from pinxit.edits import painting as module
from pinxit.edits.engine import edit_picture
from pinxit.edits.painting import Painting, TiledExtractor, settled, target_of
from pinxit.edits.settings import Edit, Stylize, Texture
from pinxit.edits.stylize import ladder, read_style, scaled_style
from pinxit.errors import DataError, MemoryLimitError, UsageError
from pinxit.images import Picture
from pinxit.jobs.recipe import EditRecipe
from pinxit.losses.style import (
    LossNetwork,
    Maps,
    augmented_gram,
    content_distance,
    gram,
    loss_network,
    moment_distance,
    recentred,
    style_distance,
    style_moments,
    total_variation,
)
from pinxit.nets.vgg import DEPTHS, VGGFeatures


def drawn_style(path: Path) -> Path:
    """Save a small picture of bricks in two colours."""
    light = data.brick()[:90:2, :120:2, None] / 255
    Image.fromarray((light * [250, 200, 90] + (1 - light) * [10, 30, 120]).astype(np.uint8)).save(path)
    return path


PHOTO = torch.from_numpy(data.astronaut()[40:136, 170:290] / 255).float().permute(2, 0, 1)[None]  # 96 x 120
OTHER = torch.from_numpy(data.coffee()[100:196, 200:320] / 255).float().permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def network() -> LossNetwork:
    return loss_network()


def painted(picture: np.ndarray, edit: Edit, strength: float = 1.0, mask: np.ndarray | None = None) -> np.ndarray:
    return edit_picture(Picture(picture), [edit], mask, strength=strength).pixels


# The losses.


def test_gram_matrices_are_mean_products_and_blind_to_places() -> None:
    maps = torch.randn(2, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    vectors = maps.double().permute(0, 2, 3, 1).reshape(2, 42, 5).numpy()
    expected = np.stack([np.mean([np.outer(one, one) for one in rows], axis=0) for rows in vectors])
    np.testing.assert_allclose(gram(maps).numpy(), expected, rtol=1e-5, atol=1e-6)
    moved = maps.flatten(2)[..., torch.randperm(42, generator=torch.Generator().manual_seed(1))].reshape(maps.shape)
    torch.testing.assert_close(gram(moved), gram(maps))
    assert not torch.allclose(gram(maps.flip(1)), gram(maps), atol=1e-2)


def test_weighted_gram_matrices_are_those_of_the_part_that_counts() -> None:
    maps = torch.randn(1, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    half = torch.zeros(1, 1, 6, 8)
    half[..., :3] = 1
    torch.testing.assert_close(gram(maps, half), gram(maps[..., :3]))
    torch.testing.assert_close(gram(maps, 0.3 * torch.ones(1, 1, 6, 8)), gram(maps))


def test_gram_matrices_of_channels_and_1_can_be_taken_about_other_means() -> None:
    """E[(x - u, 1) (x - u, 1)^T], weighted or not, with u from another picture's matrices."""
    rng = torch.Generator().manual_seed(0)
    maps, there = torch.randn(2, 1, 4, 6, 8, generator=rng) + torch.tensor([1.0, -2.0])[:, None, None, None, None]
    weights = torch.rand(1, 1, 6, 8, generator=rng)
    moved = torch.cat([maps - there.mean((2, 3), keepdim=True), torch.ones(1, 1, 6, 8)], dim=1)
    for weighted in (None, weights):
        found = recentred(augmented_gram(maps, weighted), augmented_gram(there))
        torch.testing.assert_close(found, gram(moved, weighted), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["style", "moments", "content"])
def test_a_distance_is_nothing_to_oneself_and_has_no_unit(kind: str, network: LossNetwork) -> None:
    one, other = network(PHOTO), network(OTHER)
    distances = {
        "style": lambda a, b: style_distance([gram(m) for m in a.style], [gram(m) for m in b.style]),
        "moments": lambda a, b: moment_distance(a.style, [style_moments(m) for m in b.style]),
        "content": lambda a, b: content_distance(a.content, b.content),
    }
    distance = distances[kind]
    scaled = [Maps(tuple(7 * m for m in maps.style), 7 * maps.content) for maps in (one, other)]
    assert distance(one, one).item() == pytest.approx(0, abs=1e-9)
    assert distance(one, other).item() > 0.05
    assert distance(*scaled).item() == pytest.approx(distance(one, other).item(), rel=1e-3)


def test_a_mirrored_picture_has_another_content_and_nearly_the_same_style(network: LossNetwork) -> None:
    one, mirrored, other = network(PHOTO), network(PHOTO.flip(3)), network(OTHER)
    apart = [style_distance([gram(m) for m in maps.style], [gram(m) for m in one.style]) for maps in (mirrored, other)]
    assert apart[0] < apart[1] / 4
    assert content_distance(mirrored.content, one.content) > content_distance(other.content, one.content) / 4


def test_total_variation_is_the_mean_square_of_both_differences() -> None:
    ramp = torch.arange(5.0).expand(2, 3, 4, 5)
    assert total_variation(ramp).tolist() == [1, 1]
    assert total_variation(ramp.mT).tolist() == [1, 1]
    assert total_variation(torch.ones(1, 3, 1, 1)).tolist() == [0]


@pytest.mark.parametrize("name", DEPTHS)
def test_vgg_looks_with_torchvisions_tensors_from_a_file(name: str, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tensors = VGGFeatures(name).state_dict() | {"classifier.0.weight": torch.zeros(3)}
    save_file(tensors, tmp_path / "vgg.safetensors")
    seen = loss_network(name, tmp_path / "vgg.safetensors")(PHOTO)
    assert [tuple(maps.shape[1:]) for maps in seen.style] == [
        (64, 96, 120), (128, 48, 60), (256, 24, 30), (512, 12, 15), (512, 6, 7),
    ]  # fmt: skip
    assert seen.content.shape == (1, 512, 12, 15)
    other = next(one for one in DEPTHS if one != name)
    if name == "vgg16":  # its layers are among the other's
        with pytest.raises(DataError, match=rf"not the weights of {other} \(features"):
            loss_network(other, tmp_path / "vgg.safetensors")
    with pytest.raises(UsageError, match=f"{name} needs its weights"):
        loss_network(name)
    with pytest.raises(UsageError, match="lite0 comes with its own"):
        loss_network("lite0", tmp_path / "vgg.safetensors")


# Tiles.


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("halo", [192, 32])
def test_tiles_add_up_to_the_whole(
    halo: int, masked: bool, network: LossNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statistics, loss and gradient: exact if the halo covers the network's receptive field, else close."""
    photo, other = PHOTO[:, :, :88], OTHER[:, :, :88]  # 96 x 128 pixels with the pixels for shifts
    mask = torch.zeros(1, 1, 88, 120) if masked else None
    if mask is not None:
        mask[..., 10:60, 20:100] = 1
    near = 0.03 if halo > 100 else 0.3
    found = []
    for tile in (1024, 48):
        monkeypatch.setattr(module, "TILE", tile)
        monkeypatch.setattr(module, "HALO", halo)
        extractor = TiledExtractor(network, (88, 120), mask)
        target = target_of(TiledExtractor(network, (88, 120)).summary(other), extractor.summary(photo), 1.0)
        target = replace(target, content=photo, style_share=0.5)
        painting = Painting((photo + other) / 2, extractor, target)
        with torch.enable_grad():
            loss = painting._loss(Batch(image=photo, seed=0, step=0), (3, 5)).terms["painting"]
            (gradient,) = torch.autograd.grad(loss, painting.canvas.pixels)
        found.append((extractor.summary(photo), loss, gradient, len(extractor.tiles)))
    (whole, loss, gradient, one), (tiled, loss_there, gradient_there, many) = found
    assert one == 1 < many
    torch.testing.assert_close(whole.grams[0], tiled.grams[0], rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(whole.grams, tiled.grams, strict=True):
        assert (ours - theirs).norm() < near * ours.norm()
    assert loss_there.item() == pytest.approx(loss.item(), rel=near)
    assert (gradient - gradient_there).norm() < 2 * near * gradient.norm()


# What is painted.


@pytest.fixture(scope="module")
def style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_style(tmp_path_factory.mktemp("styles") / "bricks.png")


PIXELS = data.astronaut()[40:104, 170:250]


def distances(pixels: np.ndarray, style: Path, network: LossNetwork) -> tuple[float, float]:
    """How far a painted picture is from the style and from the content."""
    image, content = (torch.from_numpy(one / 255).float().permute(2, 0, 1)[None] for one in (pixels, PIXELS))
    seen, wanted = network(image), network(read_style(style))
    grams = [[gram(maps) for maps in one.style] for one in (seen, wanted)]
    return style_distance(*grams).item(), content_distance(seen.content, network(content).content).item()


def test_strength_goes_from_the_content_to_the_style(style: Path, network: LossNetwork) -> None:
    edit = Stylize(style=style, steps=20)
    results = [painted(PIXELS, edit, strength) for strength in (0, 0.3, 1)]
    np.testing.assert_array_equal(results[0], PIXELS)
    styles, contents = zip(*(distances(pixels, style, network) for pixels in results), strict=True)
    assert styles[0] > 1.05 * styles[1] > 1.1 * styles[2], styles
    assert contents[0] < contents[1] < contents[2]
    mixed = (PIXELS.astype(float) + results[2]) / 2
    half = painted(PIXELS, edit, 0.5)
    assert np.abs(half - mixed).mean() > 2, "half a style is no double exposure"


def test_colours_are_kept_and_light_is_not(style: Path) -> None:
    kept = painted(PIXELS, Stylize(style=style, steps=10, keep_colours=True)).astype(float)
    before = PIXELS.astype(float)
    for pair in ((0, 1), (1, 2)):
        differences = [pixels[..., pair[0]] - pixels[..., pair[1]] for pixels in (kept, before)]
        assert np.abs(differences[0] - differences[1]).max() <= 1
    assert np.abs(kept - before).mean() > 3
    free = painted(PIXELS, Stylize(style=style, steps=10)).astype(float)
    assert np.abs((free[..., 0] - free[..., 1]) - (before[..., 0] - before[..., 1])).mean() > 2


def test_styles_are_blended_by_their_shares(style: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    Image.fromarray(data.coffee()[100:160, 200:280]).save(other)
    alone, first, second, both = (
        painted(PIXELS, edit).astype(float)
        for edit in (
            Stylize(style=style, steps=6),
            Stylize(style=(style, other), blend=(1e6, 1), steps=6),
            Stylize(style=(style, other), blend=(1, 1e6), steps=6),
            Stylize(style=(style, other), steps=6),
        )
    )
    assert np.abs(alone - first).mean() < 2
    assert np.abs(alone - second).mean() > 4
    assert np.abs(alone - both).mean() > 2
    assert Stylize.parse({"style": f"{style},{other}", "blend": "2,1"}).style == (style, other)
    with pytest.raises(UsageError, match="--blend has 1 shares for 2 styles"):
        Stylize(style=(style, other), blend=(1,)).bind()


def test_strokes_are_as_large_as_the_scale_says(style: Path) -> None:
    assert scaled_style(torch.rand(1, 3, 200, 100), 50).shape == (1, 3, 50, 25)
    assert scaled_style(torch.rand(1, 3, 20, 10), 50).shape == (1, 3, 40, 20), (
        "a style is not made larger than twice its size"
    )
    small, large = (painted(PIXELS, Stylize(style=style, steps=3, scale=scale)) for scale in (0.4, 1))
    assert (small != large).any()


def test_only_what_is_masked_takes_part_in_the_style(style: Path, network: LossNetwork) -> None:
    """Pixels outside the mask neither change nor count in the canvas' style."""
    left = torch.zeros(1, 1, 96, 120)
    left[..., :60] = 1
    masked, part, whole = (
        extractor.summary(image).grams[0][0, 3, :3]  # the mean of the colours
        for extractor, image in (
            (TiledExtractor(network, (96, 120), left), PHOTO),
            (TiledExtractor(network, (96, 60)), PHOTO[..., :60]),
            (TiledExtractor(network, (96, 120)), PHOTO),
        )
    )
    torch.testing.assert_close(masked, part, rtol=0.03, atol=0)
    assert not torch.allclose(masked, whole, rtol=0.06)
    mask = np.zeros(PIXELS.shape[:2], np.float32)
    mask[:, :32] = 1
    edited = painted(PIXELS, Stylize(style=style, steps=4), mask=mask)
    np.testing.assert_array_equal(edited[:, 32:], PIXELS[:, 32:])
    assert (edited[:, :32] != PIXELS[:, :32]).mean() > 0.5


def test_it_ends_when_nothing_more_comes() -> None:
    falling, level = [0.9**step for step in range(40)], [1.0] * 20
    assert not any(settled(falling[:count]) for count in range(41))
    assert settled(level)
    assert not settled(level[:19])


def test_sizes_go_from_coarse_to_the_pictures_own() -> None:
    assert ladder((512, 384)) == [(128, 96), (256, 192), (512, 384)]
    assert ladder((1, 1)) == [(1, 1)]
    assert ladder((1, 400))[0] == (1, 100)


def test_a_seamless_texture_goes_on_at_its_opposite_edge() -> None:
    sample = data.gravel()[:128, :128, None].repeat(3, 2)
    seamless, seamed = (
        painted(sample, Texture(steps=30, seamless=seamless)).astype(float) for seamless in (True, False)
    )
    ratios = [wrap(pixels) / inside(pixels) for pixels in (seamless, seamed)]
    assert 0.6 < ratios[0] < 1.4, "one row and one column of many, whose own deviation is some 0.12"
    assert ratios[1] > 1.6
    assert np.abs(seamless - sample).mean() > 10, "it is no copy"


def test_a_texture_is_as_many_times_larger() -> None:
    sample = data.gravel()[:48, :64, None].repeat(3, 2)
    assert painted(sample, Texture(steps=2, scale=2)).shape == (96, 128, 3)


def inside(pixels: np.ndarray) -> float:
    """The mean difference of neighbours."""
    return float(np.mean([np.abs(np.diff(pixels, axis=axis)).mean() for axis in (0, 1)]))


def wrap(pixels: np.ndarray) -> float:
    """The mean difference of pixels that are neighbours when copies are laid side by side."""
    return float(np.mean([np.abs(pixels[0] - pixels[-1]).mean(), np.abs(pixels[:, 0] - pixels[:, -1]).mean()]))


# Surfaces.


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PIXELS).save("photo.png")
    drawn_style(Path("one.png"))
    Image.fromarray(data.coffee()[100:160, 200:280]).save("two.png")
    return tmp_path


def test_several_styles_are_in_the_recipe_and_made_again(desk: Path) -> None:
    flags = ["--style", "one.png,two.png", "--blend", "2,1", "--steps", "2", "--keep-colours", "--strength", "0.5"]
    assert run(["edit", "stylize", "photo.png", "-o", "painted.png", *flags]) == 0
    assert [stamp.name for stamp in EditRecipe.of(Path("painted.png")).files] == ["one.png", "two.png"]
    text = 'stylize(style=["one.png", "two.png"], blend=2..1, steps=2, keep_colours=true)'
    assert run(["edit", text, "photo.png", "-o", "text.png", "--strength", "0.5"]) == 0
    assert run(["redo", "painted.png"]) == 0
    results = {Path(name).read_bytes() for name in ("painted.png", "text.png", "painted-2.png")}
    assert len(results) == 1
    Path("two.png").write_bytes(Path("one.png").read_bytes())
    assert run(["redo", "painted.png"]) == DataError.exit_code


def test_two_styles_of_one_name_are_refused(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("other").mkdir()
    Image.fromarray(PIXELS[:20]).save("other/one.png")
    code = run(["edit", "stylize", "photo.png", "-o", "painted.png", "--style", "one.png,other/one.png"])
    assert code == UsageError.exit_code
    assert "2 files are named one.png" in capsys.readouterr().err
    assert not Path("painted.png").exists()


def test_a_style_that_cannot_be_read_is_named(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken.png").write_bytes(b"no picture")
    assert run(["edit", "stylize", "photo.png", "-o", "a.png", "--style", "broken.png"]) == DataError.exit_code
    assert "broken.png" in capsys.readouterr().err


def test_too_little_memory_is_said(style: Path) -> None:
    with pytest.raises(MemoryLimitError, match="needs 10 MB; the limit leaves 2 MB"):
        edit_picture(Picture(PIXELS), [Stylize(style=style, steps=1)], memory=2 * 10**6)


def test_a_proof_shows_strengths_by_scales_with_commands_that_make_them(desk: Path) -> None:
    flags = ["--style", "one.png", "--steps", "6"]
    assert run(["edit", "stylize", "photo.png", "--proof", "-o", "proof.html", *flags]) == 0
    page = Path("proof.html").read_text(encoding="utf-8")
    commands = [unescape(text) for text in re.findall("<code>(.*?)</code>", page)]
    assert len(commands) == page.count("<img") == 12
    chosen = commands[5]
    assert chosen == (
        "pinxit edit stylize photo.png --steps 6 --style one.png --scale 1.5 --strength 0.5 -o photo-stylize.png"
    )
    for command in commands[5:7]:
        program, *words = shlex.split(command)
        assert program == "pinxit"
        assert run([*words, "-y"]) == 0
    shown = re.findall('base64,(.*?)"', page)[6]
    with Image.open(io.BytesIO(base64.b64decode(shown))) as webp:
        there = np.asarray(webp.convert("RGB")).astype(float)
    made = np.asarray(Image.open("photo-stylize.png").convert("RGB")).astype(float)
    assert there.shape == made.shape
    assert np.abs(there - made).mean() < 0.6 * np.abs(there - PIXELS).mean(), "all but for the WebP's loss"


@pytest.mark.parametrize("words", [["photo.png", "one.png"], ["-"], ["photo.png", "--out", "proof.png"]])
def test_a_proof_is_of_one_file_and_a_page(words: list[str], desk: Path) -> None:
    out = [] if "--out" in words else ["-o", "proof.html"]
    assert run(["edit", "stylize", "--proof", "--style", "one.png", *words, *out]) == UsageError.exit_code
    assert not list(desk.glob("proof.*"))
