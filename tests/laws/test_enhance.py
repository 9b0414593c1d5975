"""Low-light enhancement: the network's input, what its curve undoes, and the edit with and without a denoiser."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage import data
from test_restore_edits import untrained

from pinxit import models
from pinxit.data import Batch
from pinxit.degradations import Chain
from pinxit.edits.engine import edit_picture
from pinxit.edits.restore import bands
from pinxit.edits.settings import Denoise, Enhance, Restore
from pinxit.errors import DataError, UsageError, UserError
from pinxit.images import Picture
from pinxit.nets.curve import BENT, LEAST, SHARES, SIDE, CurveNet, averaged, lightened, quantiles
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.settings import EnhancementSettings

PHOTO = data.astronaut()[60:131, 190:275]
SETTINGS = EnhancementSettings(width=8)


def untrained_curve(path: Path) -> Path:
    """Write the weights of an untrained network whose curves brighten too much, in the format of a run."""
    torch.manual_seed(0)
    network = SETTINGS.build(PictureShape(32, 3)).curve
    network.layers.last.bias.data = torch.tensor([-0.3, 0.2])
    about = {"objective": "enhance", "settings": SETTINGS.model_dump(), "data": {"size": 32, "channels": 3}}
    save_file(
        {f"curve.{key}": value for key, value in network.state_dict().items()}, path, {"pinxit": json.dumps(about)}
    )
    return path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return untrained_curve(tmp_path / "weights.safetensors")


def photograph() -> torch.Tensor:
    return torch.from_numpy(data.astronaut()).permute(2, 0, 1).float() / 255


def batch(rows: int = 6) -> Batch:
    places = np.random.default_rng(0).integers(0, 400, (rows, 2))
    return Batch(image=torch.stack([photograph()[:, y : y + 96, x : x + 96] for y, x in places]), seed=1, step=2)


def edited(pixels: np.ndarray, *chain: object, **how: object) -> np.ndarray:
    return edit_picture(Picture(pixels), chain, **how).pixels


@pytest.mark.parametrize(("gain", "gamma"), [(0.1, 1), (0.3, 0.7), (1, 2), (0.25, 1.5)])
def test_the_curve_undoes_the_darkening_whose_numbers_it_has(gain: float, gamma: float) -> None:
    clean = photograph()
    dark = Chain.parse(f"dark(gain={gain}, gamma={gamma}, read_noise=0)").degrade(clean, torch.Generator()).image
    light = lightened(torch.stack([dark, clean]), torch.tensor([[gain, gamma], [1, 1]]))
    assert torch.allclose(light[0], clean, atol=1e-5)
    assert torch.equal(light[1], clean)


def test_known_values_of_the_curve() -> None:
    values = torch.tensor([-0.1, 0, 0.05, 0.125, 0.25, 0.5]).view(1, 1, 1, -1)
    light = lightened(values, torch.tensor([[0.5, 2.0]]))
    assert light.flatten().tolist() == pytest.approx([0, 0, 0.1**0.5, 0.5, 0.5**0.5, 1])
    assert lightened(values, torch.tensor([[0.25, 1.0]])).flatten().tolist() == pytest.approx([0, 0, 0.2, 0.5, 1, 2])


def test_the_curve_has_a_gradient_where_the_picture_is_black() -> None:
    curves = torch.tensor([[0.2, 1.5]], requires_grad=True)
    lightened(torch.tensor([-1.0, 0, 0.1]).view(1, 1, 1, 3), curves).sum().backward()
    assert curves.grad.isfinite().all()
    assert (curves.grad != 0).all()


def test_quantiles_are_those_of_the_means_of_pixels() -> None:
    image = photograph()[None]
    small = averaged(image)
    assert torch.allclose(small, image.unfold(2, 8, 8).unfold(3, 8, 8).mean((4, 5)), atol=1e-6)
    luma = (small * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    expected = torch.cat([small, luma], 1).flatten(2).quantile(torch.tensor(SHARES), dim=2, interpolation="nearest")
    assert torch.allclose(quantiles(image), expected.permute(1, 2, 0), atol=1e-3)
    assert torch.equal(quantiles(image[:, :1]), quantiles(image[:, :1].expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (SIDE, SIDE), (129, 7), (500, 333)])
def test_bands_of_a_picture_are_averaged_as_the_picture_is(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    whole = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
    assert torch.allclose(averaged(bands(pixels)), averaged(whole), atol=1e-6)


def test_an_untrained_network_takes_the_brightest_for_white() -> None:
    network = CurveNet(width=8, depth=2)
    for gain in (0.05, 0.3, 1):
        image = gain * photograph()[None]
        white = quantiles(image)[0, :3, SHARES.index(0.995)].max().item()
        assert network(image)[0].tolist() == pytest.approx([white, 1], rel=1e-5)


def test_curves_are_numbers_whatever_the_picture_and_the_weights() -> None:
    torch.manual_seed(0)
    network = CurveNet(width=8, depth=2)
    for scale in (0, 1, 30):
        torch.nn.init.normal_(network.layers.last.weight, std=float(scale))
        for image in (torch.zeros(1, 3, 9, 9), torch.ones(1, 1, 1, 1), torch.rand(5, 3, 200, 130)):
            gain, gamma = network(image).unbind(1)
            assert ((gain >= LEAST) & (gain <= 1) & (gamma >= 1 / BENT) & (gamma <= BENT)).all()
            light = lightened(image, network(image)).clamp(0, 1)
            assert ((light >= 0) & (light <= 1)).all()


def test_each_picture_is_darkened_by_its_own_draws() -> None:
    objective, pictures = SETTINGS.build(PictureShape(96, 3)), batch()
    whole = objective.dark(pictures)
    assert torch.equal(whole[2:4], objective.dark(pictures.rows(2, 4)))
    assert len({round(share, 3) for share in (whole.mean((1, 2, 3)) / pictures.image.mean((1, 2, 3))).tolist()}) > 3


def test_noise_is_not_counted_and_light_is() -> None:
    """The score of a known curve compares means of pixels: high in spite of the noise, low for a dark result."""
    objective = EnhancementSettings(width=8, degrade="dark(gain=0.2, read_noise=0.01)").build(PictureShape(96, 3))
    pictures = Batch(image=photograph()[None], seed=1, step=2)
    readings = {}
    for gain in (0.2, 0.25, 1.0):
        objective.networks["curve"] = Known(gain)
        readings[gain] = objective.judge(pictures)
        loss = objective.loss(pictures, objective.draw(pictures)).terms["reconstruction"].item()
        assert loss == pytest.approx(abs(0.2 / gain - 1) * pictures.image.mean().item(), abs=0.01)
    assert readings[0.2] > 35 > readings[0.25] > readings[1.0]


class Known(torch.nn.Module):
    """Stands in for a network: always the same curve."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[self.gain, 1.0]]).expand(len(image), -1)


@pytest.mark.parametrize(
    ("degrade", "channels", "line"),
    [("boxes", 3, "holes"), ("downscale", 3, "nor enlarge"), ("", 3, "must darken"), ("dark", 4, "transparency")],
)
def test_what_no_curve_undoes_is_refused(degrade: str, channels: int, line: str) -> None:
    with pytest.raises(UserError, match=line):
        EnhancementSettings(degrade=degrade).build(PictureShape(32, channels))


def test_the_preview_is_triples() -> None:
    shown = SETTINGS.build(PictureShape(96, 3)).preview(batch(3))
    assert shown.shape == (9, 3, 96, 96)
    assert torch.equal(shown[::3], batch(3).image)
    assert (shown[2::3].mean((1, 2, 3)) >= shown[1::3].mean((1, 2, 3))).all()


def test_the_edit_is_the_curve_of_the_whole_picture(weights: Path) -> None:
    dark = (PHOTO * 0.2).astype(np.uint8)
    edit = Enhance(model=weights, denoise=False)
    curves = models.load(weights, "enhance").objective.curve(torch.from_numpy(dark).permute(2, 0, 1)[None] / 255)
    (gain, gamma), *_ = curves.tolist()
    expected = ((dark / 255 / gain) ** (1 / gamma)).clip(0, 1) * 255
    assert np.abs(edited(dark, edit) - expected).max() <= 0.51
    assert edit.bind().radius == 0
    assert edit.bind().weights == {}
    grey = edited(dark[..., :1], edit)
    np.testing.assert_array_equal(edited(dark[..., [0, 0, 0]], edit), grey.repeat(3, axis=2))


def test_the_denoiser_comes_after_the_curve(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "SHIPPED", {})
    with pytest.raises(UsageError, match="no network denoise-v2"):
        Enhance(model=weights).bind()
    denoiser = untrained(weights.parent / "denoise-v2.safetensors")
    weights.rename(weights.parent / "light-v1.safetensors")
    digests = {name: models.sha256(weights.parent / f"{name}.safetensors") for name in ("light-v1", "denoise-v2")}
    monkeypatch.setattr(models, "FOLDER", weights.parent)
    monkeypatch.setattr(models, "SHIPPED", digests)
    dark = PHOTO.astype(np.float32) / 255 * np.float32(0.2)
    curve, both = Enhance(denoise=False), Enhance()
    assert (curve.bind().weights, both.bind().weights) == ({"light-v1": digests["light-v1"]}, digests)
    assert both.bind().radius == Denoise(model=denoiser).bind().radius
    assert (edited(dark, both) != edited(dark, curve)).any()
    np.testing.assert_array_equal(edited(dark, both), edited(dark, curve, Denoise(model=denoiser)))


def test_a_network_of_another_objective_is_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a network of `pinxit train restore` \(a run of 'enhance'\)"):
        Restore(model=weights).bind()
    with pytest.raises(DataError, match=r"not a network of `pinxit train enhance` \(a run of 'restore'\)"):
        Enhance(model=untrained(tmp_path / "restorer.safetensors"), denoise=False).bind()
