"""Laws of pictures that can be laid side by side: what is made of a rolled map is rolled, in every network that can."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pinxit
from pinxit.errors import UsageError
from pinxit.latents.sampling import load
from pinxit.nets.seamless import neighbour_layers, seamless
from pinxit.nets.shapes import PictureShape, keep_variance
from pinxit.objectives.ladder import LevelledDecoder
from pinxit.objectives.objective import Generative
from pinxit.objectives.vq import VQVAE
from pinxit.settings import Size

pytestmark = pytest.mark.usefixtures("no_report")

SMALL = {"channels": 4}
SETTINGS = {"gan": pinxit.GANSettings, "vae": pinxit.VAESettings}
NETWORKS = [
    (objective, name)
    for objective, settings in SETTINGS.items()
    for name in get_args(settings.model_fields["network"].annotation)
]
ROUND = [(objective, name) for objective, name in NETWORKS if name != "dense"]
CASES = {
    **{f"{objective}-{name}": SETTINGS[objective](network=name, latent=6, **SMALL) for objective, name in ROUND},
    "gan-nearest": pinxit.GANSettings(enlarge="nearest", latent=6, **SMALL),
    "gan-bilinear": pinxit.GANSettings(enlarge="bilinear", latent=6, **SMALL),
    "ladder": pinxit.VAESettings(levels=2, latent=6, **SMALL),
    "vq": pinxit.OBJECTIVES["vq"](codes=16, dimensions=4, **SMALL),
}
SIZES = (16, 20, "24x48")  # whose halves are whole down to 4 to 7


def built(name: str, size: Size) -> Generative:
    torch.manual_seed(0)
    objective = CASES[name].build(PictureShape(size, 3))
    if name != "gan-style":  # whose layers scale their weights themselves
        objective.networks.apply(keep_variance)
    objective.networks.eval().requires_grad_(False)
    return objective


def generator(objective: Generative) -> nn.Module:
    """The network from latents to pictures, below a ladder's steps."""
    network = objective.networks["generator" if "generator" in objective.networks else "decoder"]
    return network.picture if isinstance(network, LevelledDecoder) else network


def drawn(objective: Generative, turn: int) -> Tensor:
    """Pictures of two latents whose first map is rolled by `turn` pixels down and right."""
    if isinstance(objective, VQVAE):
        codes = torch.randint(16, (2, *generator(objective).map), generator=torch.Generator().manual_seed(1))
        return objective.sample(codes.roll((turn, turn), (1, 2)).flatten(1))
    latent = torch.randn(2, objective.latent, generator=torch.Generator().manual_seed(1))

    def rolled(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return inputs[0].roll((turn, turn), (2, 3)), *inputs[1:]

    hook = generator(objective).ups[0].register_forward_pre_hook(rolled, prepend=True)
    try:
        return objective.sample(latent)
    finally:
        hook.remove()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CASES)
def test_what_is_made_of_a_rolled_map_is_rolled(name: str, size: Size) -> None:
    objective = built(name, size)
    network = generator(objective)
    first = network.map if isinstance(objective, VQVAE) else network.maps[0]
    with seamless(objective.networks):
        still, turned = drawn(objective, 0), drawn(objective, 1)
    assert (turned - still).abs().mean() > 0.01
    assert torch.allclose(
        turned, still.roll((still.shape[2] // first[0], still.shape[3] // first[1]), (2, 3)), atol=1e-4
    )


@pytest.mark.parametrize("size", [*SIZES, 28, "33x20"])
@pytest.mark.parametrize("name", CASES)
def test_the_network_is_as_it_was_afterwards(name: str, size: Size) -> None:
    objective = built(name, size)
    before = drawn(objective, 0)
    with seamless(objective.networks):
        round_about = drawn(objective, 0)
    assert round_about.shape == before.shape
    assert not torch.equal(round_about, before)
    assert torch.equal(drawn(objective, 0), before)


def test_full_layers_know_no_neighbours() -> None:
    for objective, name in NETWORKS:
        networks = SETTINGS[objective](network=name, latent=6, **SMALL).build(PictureShape(16, 3)).networks
        assert bool(neighbour_layers(networks)) == ((objective, name) in ROUND), name


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run with convolutions and one without."""
    place = tmp_path_factory.mktemp("runs")
    np.savez(place / "pictures.npz", images=np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8))
    training = pinxit.TrainingSettings(steps=3, batch_size=4, threads=1)
    for name in ("dcgan", "dense"):
        settings = pinxit.GANSettings(network=name, latent=6, **SMALL)
        pinxit.train(settings, place / "pictures.npz", place / name, training=training)
    return {name: place / name for name in ("dcgan", "dense")}


def test_a_run_makes_tiles_and_is_asked_for_them(runs: dict[str, Path]) -> None:
    model = load(runs["dcgan"])
    before, _ = model.sample(3, seed=5)
    tiles, _ = model.tiling().sample(3, seed=5)
    assert tiles.shape == before.shape
    assert not np.array_equal(tiles, before)
    assert np.array_equal(model.tiling().sample(1, seed=6)[0][0], tiles[1])
    assert np.array_equal(model.sample(3, seed=5)[0], before)


def test_a_run_that_cannot_says_which_could(runs: dict[str, Path]) -> None:
    with pytest.raises(UsageError) as caught:
        load(runs["dense"]).tiling()
    assert all(name in str(caught.value) for _, name in ROUND)
    assert "\n" not in str(caught.value)


def test_a_sheet_shows_each_tile_three_times_across_and_down(runs: dict[str, Path], tmp_path: Path) -> None:
    from pinxit.cli import run
    from pinxit.images import load_image

    for out in ("sheet.png", "tiles"):
        assert run(["sample", str(runs["dcgan"]), "-n", "1", "--tileable", "-o", str(tmp_path / out)]) == 0
    tile = load_image(tmp_path / "tiles/000000.png")
    assert np.array_equal(load_image(tmp_path / "sheet.png")[2:-2, 2:-2], np.tile(tile, (3, 3, 1)))
    assert run(["sample", str(runs["dense"]), "--tileable", "-o", str(tmp_path / "none.png")]) == 2
