"""Laws of sizes: every objective learns oblong pictures, and a size is written as people write it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import pinxit
from pinxit.data import Batch, batch_at, open_data
from pinxit.data.augment import augmented
from pinxit.data.settings import Augment, DataSettings
from pinxit.errors import UsageError
from pinxit.images import save_image
from pinxit.latents import coding, compression
from pinxit.latents.sampling import load
from pinxit.models import load as load_model
from pinxit.nets.shapes import PictureShape, size_ladder
from pinxit.objectives.settings import ObjectiveSettings
from pinxit.settings import sides, size_of
from pinxit.training import train as train_module
from pinxit.training.recipes import Recipe

pytestmark = pytest.mark.usefixtures("no_report")

SIZE, WIDE, HIGH = "24x16", 24, 16
DENSE = {"network": "dense", "channels": 4, "latent": 4}


def objectives(style: Path) -> dict[str, ObjectiveSettings]:
    return {
        "gan": pinxit.GANSettings(channels=4, latent=4),
        "vae": pinxit.VAESettings(channels=4, latent=4),
        "dense vae": pinxit.VAESettings(pseudo_inputs=3, **DENSE),
        "ladder": pinxit.VAESettings(levels=2, **DENSE),
        "vq": pinxit.VQVAESettings(channels=4, codes=8, dimensions=4),
        "restore": pinxit.RestorationSettings(channels=4, levels=2, blocks=1),
        "enhance": pinxit.EnhancementSettings(width=4),
        "colourise": pinxit.OBJECTIVES["colourise"](width=4),
        "style": pinxit.OBJECTIVES["style"](style=style, style_size=32),
    }


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in colour, wider than high, in two classes, and one to paint like."""
    place = tmp_path_factory.mktemp("pictures")
    images = np.random.default_rng(0).integers(0, 256, (12, 20, 30, 3), np.uint8)
    np.savez(place / "wide.npz", images=images, labels=np.arange(12) % 2)
    save_image(place / "style.png", images[0])
    return place


def test_every_objective_learns_oblong_pictures(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained, stopped and resumed to the same bytes, sampled and reconstructed: nothing takes them for squares."""
    training = pinxit.TrainingSettings(steps=2, batch_size=4, threads=1, device="cpu", precision="float32")
    for name, settings in objectives(pictures / "style.png").items():
        data, out = settings.pictures(size=SIZE), tmp_path / name
        run = pinxit.train(settings, pictures / "wide.npz", out, data, training)
        assert json.loads((run.folder / "recipe.json").read_text())["data"]["size"] == SIZE, name
        assert Recipe.parse(json.loads((run.folder / "recipe.json").read_text())) == run.recipe
        assert load_model(run.folder).shape.sides == (HIGH, WIDE), name
        assert run.samples.is_dir(), name
    vae = objectives(pictures / "style.png")["vae"]
    with monkeypatch.context() as patch:
        patch.setattr(train_module, "_loop", lambda session, received: None)
        stopped = pinxit.train(vae, pictures / "wide.npz", tmp_path / "stopped", DataSettings(size=SIZE), training)
    pinxit.resume(stopped.folder)
    assert stopped.weights.read_bytes() == (tmp_path / "vae" / "weights.safetensors").read_bytes()
    codes_keep_the_shape(tmp_path / "vae", pictures)
    pinxit.train_prior(pinxit.PriorSettings(network="transformer", width=32, depth=1), tmp_path / "vq", training)
    for name in ("gan", "vae", "dense vae", "ladder", "vq"):
        images, _ = load(tmp_path / name).sample(2)
        assert images.shape == (2, HIGH, WIDE, 3), name


def codes_keep_the_shape(run: Path, pictures: Path) -> None:
    """What shows pictures to a model gives them back in the model's shape."""
    model = load(run)
    seen = coding.model_pictures(model, str(pictures / "wide.npz"), 4)
    assert seen.images.shape == (4, 3, HIGH, WIDE)
    assert coding.before_and_after(model, seen).shape == (8, HIGH, WIDE, 3)
    assert coding.latent_map(model, seen, 3)[0].shape == (9, HIGH, WIDE, 3)
    assert coding.traverse(model, 2, 3).shape == (2, 3, HIGH, WIDE, 3)
    assert coding.anomalies(model, seen)[0].error.shape == (HIGH, WIDE)
    assert model.interpolate(2, 3).shape == (2, 3, HIGH, WIDE, 3)
    coded = compression.compress(model, seen)
    compression.save_compressed(run / "a.pxc", model, seen, coded)
    assert compression.decompress(model, compression.load_compressed(run / "a.pxc", model)).shape == (4, HIGH, WIDE, 3)


def test_a_size_is_written_as_people_write_it() -> None:
    for given, kept in {
        64: 64, "64": 64, "64x64": 64, "96x64": "96x64", " 96 X 64 ": "96x64", "96\N{MULTIPLICATION SIGN}64": "96x64",
    }.items():  # fmt: skip
        assert DataSettings(size=given).size == kept
        assert json.loads(DataSettings(size=given).model_dump_json())["size"] == kept
        assert size_of(*sides(given)) == kept
    assert DataSettings().size is None
    assert sides("96x64") == (64, 96)
    for wrong in (
        "96,64",
        [96, 64],
        "64x",
        "x64",
        True,
        64.5,
        "",
        "0x64",
        "-64",
        "1e3",
        15,
        1025,
        "16x1025",
        "9" * 5000,
    ):
        with pytest.raises(ValidationError, match=r"such as 96x64|sides of 16 to 1024"):
            DataSettings(size=wrong)


def test_maps_are_halved_as_often_as_the_shorter_side_allows() -> None:
    assert size_ladder(PictureShape(28, 3)) == [(4, 4), (7, 7), (14, 14), (28, 28)]
    assert size_ladder(PictureShape(SIZE, 3)) == [(4, 6), (8, 12), (16, 24)]
    assert size_ladder(PictureShape("40x17", 3)) == [(5, 10), (9, 20), (17, 40)]


def test_the_size_of_pictures_that_are_all_oblong_is_offered(tmp_path: Path, pictures: Path) -> None:
    """Nobody who asks for nothing gets another shape than before: a square."""
    for name, shape, size, why in (
        ("wide", (20, 30), 64, "--size 30x20"),
        ("square", (20, 20), 20, "their own size"),
        ("large", (20, 200), 64, "--size chooses another"),
    ):
        np.savez(tmp_path / f"{name}.npz", images=np.zeros((3, *shape), np.uint8))
        found, said = DataSettings().size_for(open_data(str(tmp_path / f"{name}.npz")).train.own_size)
        assert (found, why in said) == (size, True)


def test_a_turned_oblong_keeps_its_shape_and_its_boxes() -> None:
    """Oblong pictures are turned by half circles; a rotation turns by the same angle across and down."""
    rows = torch.arange(16.0)[:, None] / 16 + torch.arange(24.0) / 48
    rows = rows.expand(40, 1, 16, 24) / 2
    boxes = torch.tensor([[2.0, 3, 10, 9, 1]]).expand(40, 1, 5)
    turned = augmented(Batch(image=rows, boxes=boxes, seed=0, step=0), Augment(turn=True))
    half = torch.tensor([torch.equal(one, rows[0].flip((1, 2))) for one in turned.image])
    assert 10 < half.sum() < 30
    assert torch.equal(turned.image[~half], rows[~half])
    assert torch.allclose(turned.boxes[half], torch.tensor([[14.0, 7, 22, 13, 1]]), atol=1e-4)
    square = torch.zeros(1, 1, 24, 48)
    square[..., 6:18, 18:30] = 1  # 12 x 12 pixels in the middle
    moved = augmented(Batch(image=square.expand(20, 1, 24, 48), seed=1, step=0), Augment(rotate=180))
    reach = torch.linspace(-23.5, 23.5, 48).square() + torch.linspace(-11.5, 11.5, 24).square()[:, None]
    assert torch.allclose(moved.image[:, 0, reach < 12**2].sum(1), torch.tensor(144.0), rtol=0.02)
    assert (moved.image[:, 0, (reach > 9.5**2) & (reach < 12**2)] == 0).all()  # no corner leaves its circle


def test_batches_of_an_oblong_size_are_its_rows(pictures: Path) -> None:
    images = open_data(str(pictures / "wide.npz"), 0).train
    for fit in ("crop", "pad", "stretch", "patch"):
        assert batch_at(images, 0, 3, 0, size=SIZE, fit=fit).image.shape == (3, 3, HIGH, WIDE)
    assert torch.equal(images.tensor("30x20", "crop"), images.tensor("30x20", "stretch"))


def test_a_size_that_cannot_be_says_which_could() -> None:
    for settings, size, line in (
        (pinxit.VQVAESettings(halvings=3), "64x16", "64x16 pixels allow at most 2"),
        (pinxit.RestorationSettings(degrade="downscale(scale=3)"), "24x16", "multiples of 3"),
        (pinxit.GANSettings(network="dense"), 512, "65,536 pixels"),
        (pinxit.VAESettings(network="dense"), "1024x65", "65,536 pixels"),
    ):
        with pytest.raises(UsageError, match=line):
            settings.build(PictureShape(size, 3))
