"""`edit translate`: any size, no seams, all channels, depth, alpha, masks, both ways, seeds, maps, ONNX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pinxit.cli import run
from pinxit.data import Batch
from pinxit.edits import edit, settings
from pinxit.edits import translate as translate_module
from pinxit.edits.restore import heat
from pinxit.edits.translate import Invented, new_edges, translator
from pinxit.errors import UsageError, UserError
from pinxit.exporting import export
from pinxit.images import Picture
from pinxit.nets.shapes import PictureShape, Planes, Target
from pinxit.nets.translation import GENERATORS, Generator
from pinxit.objectives import OBJECTIVES
from pinxit.objectives.translation import Cycle, planes_of
from pinxit.tensors import write_tensors

COLOURS = ("#000000", "#ff0000", "#00ff00")
SIDES = {
    # What A and B are, and whether there are pairs.
    "colour": (Planes(3), Planes(3), True),
    "to colour": (Planes(1), Planes(3), True),
    "to grey": (Planes(3), Planes(1), True),
    "of labels": (Planes(3, COLOURS), Planes(3), True),
    "to labels": (Planes(3), Planes(3, COLOURS), True),
    "transparent": (Planes(4), Planes(4), True),
    "both ways": (Planes(3), Planes(1), False),
}
RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (37, 45, 3), np.uint8)


def untrained(path: Path, kind: str = "colour", **given: Any) -> Path:
    """Write the weights of a translator that has learned nothing, whose results vary from place to place."""
    a, b, paired = SIDES[kind]
    asked = {"channels": 4, "patch": 16, "network": "residual", **given}
    data = {
        "size": 16, "channels": a.channels, "colours": a.colours,
        "target": {"channels": b.channels, "colours": b.colours, "paired": paired},
    }  # fmt: skip
    torch.manual_seed(1)
    shape = PictureShape(16, a.number, 0, a.colours, Target(b, paired))
    objective = OBJECTIVES["translate"].parse(asked).build(shape)
    with torch.no_grad():
        for network in objective.networks.values():
            if isinstance(network, Generator):
                network.last.weight *= 40
    tensors = nn.ModuleDict({name: objective.networks[name] for name in objective.model}).state_dict()
    write_tensors(path, tensors, json.dumps({"objective": "translate", "settings": asked, "data": data}))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("translators")
    for kind in SIDES:
        untrained(folder / f"{kind}.safetensors", kind)
    return folder


def translated(model: Path, source: Any, **given: Any) -> Any:
    mask = given.pop("mask", None)
    return edit(source, settings.Translate(model=model, **given), mask=mask, device="cpu")


@pytest.mark.parametrize("name", GENERATORS)
def test_the_radius_is_exact_and_any_size_keeps_its_size(name: str) -> None:
    torch.manual_seed(0)
    ladder = GENERATORS[name]
    network = Generator(1, 2, ladder._replace(levels=min(3, ladder.levels), blocks=1), 4, "pixel").double()
    for size in ((1, 1), (5, 33), (34, 7)):
        assert network(torch.rand(1, 1, *size).double()).shape == (1, 2, *size)
    side = 2 * (network.radius + network.stride)
    image = torch.rand(1, 1, side, side).double().requires_grad_()
    (gradient,) = torch.autograd.grad(network(image)[0, :, side // 2].sum(), image)
    rows = gradient.abs().sum((0, 1, 3)).nonzero()
    assert network.radius - network.stride < (rows - side // 2).abs().max() <= network.radius


def test_tiles_leave_no_seam(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = RNG.random((61, 150, 3)).astype(np.float32)
    whole = translated(place / "colour.safetensors", pixels)
    monkeypatch.setattr(translate_module, "SIDE", 16)
    monkeypatch.setattr(translate_module.Translated, "_side", 24)
    tiled = translated(place / "colour.safetensors", pixels)
    assert whole.shape == tiled.shape == pixels.shape
    assert whole.std() > 0.05
    assert np.abs(whole - tiled).max() < 1e-5


def test_each_kind_gives_pictures_of_its_own_channels(place: Path) -> None:
    grey, deep = PHOTO[..., :1], PHOTO.astype(np.uint16) * 257
    clear = np.concatenate([PHOTO, RNG.integers(0, 2, (37, 45, 1), np.uint8) * 255], axis=2)
    channels = {"to grey": 1, "both ways": 1}
    for kind in SIDES:
        for source in {"to grey": (PHOTO, deep, clear), "transparent": (grey, clear)}.get(kind, (PHOTO,)):
            made = translated(place / f"{kind}.safetensors", source)
            alpha = source.shape[2] == 4 or kind == "transparent"
            assert made.shape == (37, 45, 4 if alpha else channels.get(kind, 3)), kind
            assert made.dtype == source.dtype, kind
            if source is clear and kind != "transparent":
                np.testing.assert_array_equal(made[..., 3], clear[..., 3])
    made = translated(place / "to labels.safetensors", PHOTO)
    assert {tuple(colour) for colour in made.reshape(-1, 3).tolist()} <= {(0, 0, 0), (255, 0, 0), (0, 255, 0)}


def test_class_numbers_and_their_colours_are_the_same_label_map(place: Path) -> None:
    numbers = RNG.integers(0, 3, (20, 21, 1), np.uint8)
    palette = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)
    coloured = palette[numbers[..., 0]]
    one, other = (translated(place / "of labels.safetensors", source) for source in (numbers, coloured))
    np.testing.assert_array_equal(one, other)
    planes = planes_of(torch.from_numpy(coloured / 255).movedim(2, 0)[None], Planes(3, COLOURS))
    np.testing.assert_array_equal(planes.argmax(1)[0], numbers[..., 0])


def test_no_bit_changes_outside_the_mask(place: Path) -> None:
    mask = np.zeros((37, 45), np.float32)
    mask[:10, :10], mask[10:20] = 1, 0.5
    for kind in ("colour", "to grey", "of labels"):
        made = translated(place / f"{kind}.safetensors", PHOTO, mask=mask)
        np.testing.assert_array_equal(made[20:], PHOTO[20:])
        assert (made[:10, :10] != PHOTO[:10, :10]).any()
    whole = translated(place / "colour.safetensors", PHOTO)
    np.testing.assert_array_equal(translated(place / "colour.safetensors", PHOTO, mask=mask)[:10, :10], whole[:10, :10])


def test_a_run_that_learned_both_ways_makes_either_and_others_say_what_they_make(place: Path, tmp_path: Path) -> None:
    both = place / "both ways.safetensors"
    assert translated(both, PHOTO, to="b").shape[2] == 1
    assert translated(both, PHOTO[..., :1], to="a").shape[2] == 3
    with pytest.raises(UsageError, match="makes only b"):
        translated(place / "colour.safetensors", PHOTO, to="a")
    with pytest.raises(UsageError, match="one result"):
        translated(place / "colour.safetensors", PHOTO, seed=1)
    various = untrained(tmp_path / "various.safetensors", dropout=0.5)
    made = [translated(various, PHOTO, seed=seed) for seed in (0, 1, 1, 2)]
    np.testing.assert_array_equal(made[1], made[2])
    assert all((made[one] != made[other]).any() for one, other in ((0, 1), (1, 3)))


def test_the_map_shows_what_is_invented(place: Path) -> None:
    before = np.tile(np.linspace(0, 1, 60, dtype=np.float32)[None, :, None], (50, 1, 3))
    before[:, 30:] += 0.5
    after = 0.5 * before
    after[10:20, 10:20] += 0.3
    found = new_edges(before, after)
    assert found[:, 40:].max() < 0.02 < found[9:21, 9:21].max()
    assert new_edges(before, before).max() == 0
    with pytest.raises(UsageError, match="leave out masks"):
        translated(place / "colour.safetensors", PHOTO, only="invented", mask=np.eye(37, 45, dtype=np.float32))
    for kind, both in (("both ways", True), ("colour", False)):
        edit_ = translator(place / f"{kind}.safetensors", "b", 0, True, "cpu", "torch")
        assert isinstance(edit_, Invented)
        assert (edit_.back is not None) == both
        picture, whole = Picture(PHOTO), np.ones((37, 45), np.float32)
        made = edit_.compose(picture, whole)
        assert made.pixels.shape == (37, 45, 1)
        assert made.pixels.max() > 0
        plain = translator(place / f"{kind}.safetensors", "b", 0, False, "cpu", "torch")
        doubts = plain.doubts(picture, plain.compose(picture, whole))
        np.testing.assert_array_equal(np.rint(255 * doubts), made.pixels[..., 0])


def test_the_map_beside_a_result_is_that_of_what_is_invented(place: Path, tmp_path: Path) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    words = ["edit", "translate", "--model", str(place / "both ways.safetensors"), str(tmp_path / "photo.png")]
    assert run([*words, "--map", "-o", str(tmp_path / "new.png")]) == 0
    assert run([*words, "--only", "invented", "-o", str(tmp_path / "map.png")]) == 0
    grey = np.asarray(Image.open(tmp_path / "map.png")).astype(np.float32) / 255
    drawn = np.asarray(Image.open(tmp_path / "new.png.map.png")).astype(int)
    assert np.abs(drawn - heat(grey)).max() < 12  # the grey map has only 8 bits, before the colours
    assert len(np.unique(drawn)) > 50


def test_a_file_translates_as_torch_does(place: Path, tmp_path: Path) -> None:
    """`export` compares at three odd sizes by itself."""
    summary = export(place / "of labels.safetensors", tmp_path / "labels.onnx")
    assert summary["largest_difference"] < 1e-3
    by_torch = translated(place / "of labels.safetensors", PHOTO[..., :1] % 3)
    by_file = translated(tmp_path / "labels.onnx", PHOTO[..., :1] % 3)
    assert by_torch.shape == by_file.shape
    difference = np.abs(by_torch.astype(int) - by_file)  # torch computes in bf16 where that is faster
    assert difference.mean() < 2
    assert difference.max() < 32
    with pytest.raises(UsageError, match="--to and --seed"):
        translated(tmp_path / "labels.onnx", PHOTO, to="a")
    with pytest.raises(UsageError, match="transparency"):
        export(place / "transparent.safetensors", tmp_path / "no.onnx")


def test_the_history_of_fakes_is_saved_and_moves_only_after_steps() -> None:
    shape = PictureShape(16, 3, target=Target(Planes(3), False))
    objective = OBJECTIVES["translate"].parse({"channels": 4, "patch": 16}).build(shape)
    assert isinstance(objective, Cycle)

    def batch(step: int, rows: int = 2) -> Batch:
        image = torch.rand(rows, 3, 16, 16, generator=torch.Generator().manual_seed(step))
        return Batch(image=image, other=image.flip(0), seed=1, step=step)

    pool = objective._pool("b")
    before = {name: value.clone() for name, value in objective.networks.state_dict().items()}
    objective.discriminator_loss(batch(0), objective.draw(batch(0)))
    assert all(torch.equal(value, before[name]) for name, value in objective.networks.state_dict().items())
    for step in range(3):
        objective.after_step(batch(step), {})
    assert int(pool.count) == 3
    made = objective.translate(batch(2).image[:1])[0]
    assert torch.equal(pool.planes[2], (255 * made).round().to(torch.uint8))
    assert "pool.b.planes" in objective.networks.state_dict()
    mixed = pool.mixed(batch(0, rows=200), torch.full((200, 3, 16, 16), 2.0), "pool b")
    replaced = (mixed < 2).flatten(1).all(1)
    assert 60 < int(replaced.sum()) < 140


@pytest.mark.parametrize(
    ("given", "sides", "line"),
    [
        ({"patch": 70}, SIDES["colour"], "--patch 34 or 16"),
        ({"loss": "wasserstein"}, SIDES["colour"], "--discriminator-norm spectral"),
        ({"adversarial": 0, "reconstruction": 0}, SIDES["colour"], "nothing can be learned"),
        ({"adversarial": 0, "cycle": 0}, SIDES["both ways"], "nothing can be learned"),
        ({"perceptual": 1}, SIDES["to labels"], "--perceptual compares pictures"),
        ({"method": "contrast"}, SIDES["both ways"], "--method cycle takes any"),
        ({}, None, "give a second set as B"),
    ],
)
def test_what_cannot_work_is_refused(
    given: dict[str, Any], sides: tuple[Planes, Planes, bool] | None, line: str
) -> None:
    target = sides and Target(sides[1], sides[2])
    with pytest.raises(UserError, match=line):
        OBJECTIVES["translate"].parse({"patch": 16, **given}).build(PictureShape(16, 3, target=target))
