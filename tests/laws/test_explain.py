"""Explanations: maps against what is known of them, checks that tell good maps from bad ones, and the page."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import pinxit
from conftest import TinyRuns
from pinxit.errors import SomeFailedError, UsageError
from pinxit.explanation.attribution import BASELINES, grad_cam, integrated_gradients, occlusion
from pinxit.explanation.checks import cells, check, likeness, randomised, removal
from pinxit.explanation.methods import METHODS
from pinxit.nets.shapes import PictureShape, keep_variance
from pinxit.objectives.recognition import Recognition
from pinxit.recognition.classes import ClassReader


def trained(**settings: object) -> Recognition:
    """A classifier of three classes with random weights, in use."""
    torch.manual_seed(7)
    objective = Recognition(pinxit.ClassifySettings(channels=4, **settings), PictureShape(24, 3, 3))
    objective.networks["classifier"].apply(keep_variance).eval().requires_grad_(False)
    return objective


class Square(Recognition):
    """Its first logit is the brightness of a square; so a map must find the square."""

    def logits(self, image: Tensor) -> Tensor:
        bright = 20 * image[:, :, 8:16, 4:12].mean((1, 2, 3))
        return torch.stack([bright, torch.full_like(bright, 5.0), torch.zeros_like(bright)], dim=1)


SQUARE = Square(pinxit.ClassifySettings(network="plain"), PictureShape(24, 3, 3))
BRIGHT = torch.full((1, 3, 24, 24), 0.1)
BRIGHT[..., 8:16, 4:12] = 0.9


def test_grad_cam_of_a_mean_and_a_linear_layer_is_its_class_map() -> None:
    """Selvaraju et al., 2017, section 3.1: Grad-CAM generalises the class activation map of such a network."""
    objective, image = trained(network="residual"), torch.rand(1, 3, 24, 24)
    maps = objective.maps(image)
    weight = objective.networks["classifier"].head.weight
    expected = torch.einsum("c,chw->hw", weight[1], maps[0]).relu() / maps[0, 0].numel()
    found = grad_cam(objective, image, 1)
    assert found.shape == (24, 24)
    enlarged = F.interpolate(expected[None, None], (24, 24), mode="bilinear", align_corners=False)[0, 0]
    torch.testing.assert_close(found, enlarged)


@pytest.mark.parametrize("network", ["residual", "plain", "lite0"])
def test_integrated_gradients_sum_to_the_logit(network: str) -> None:
    objective, image = trained(network=network), torch.rand(1, 3, 24, 24)
    found = integrated_gradients(objective, image, 2)
    with torch.no_grad():
        at = [objective.logits(torch.full_like(image, level))[0, 2] for level in BASELINES]
        expected = objective.logits(image)[0, 2] - torch.stack(at).mean()
    error = {"lite0": 0.3}.get(network, 0.1)  # its ReLU6 have many kinks on the way
    assert float(found.sum()) == pytest.approx(float(expected), rel=error, abs=0.02)


def test_maps_find_what_decides() -> None:
    inside = torch.zeros(24, 24, dtype=torch.bool)
    inside[8:16, 4:12] = True
    for method in (integrated_gradients, occlusion):
        found = method(SQUARE, BRIGHT, 0)
        assert inside.flatten()[found.argmax()]
        assert found[inside].mean() > 5 * found[~inside].abs().mean()
    assert integrated_gradients(SQUARE, BRIGHT, 0)[~inside].eq(0).all()


def test_a_picture_of_one_colour_has_no_map_of_what_is_hidden_in_it() -> None:
    for network in ("residual", "plain", "lite0"):
        objective, image = trained(network=network), torch.full((1, 3, 24, 24), 0.3)
        image[:, 1] = 0.7
        found = occlusion(objective, image, 1)
        assert found.eq(0).all(), network
        known, by_chance = ClassReader("one", objective, ("a", "b", "c"), "crop", ""), (0.25, 0.75)
        tested = check(known, image, 1, found, torch.rand(24, 24), by_chance)
        assert (tested.deletion, tested.insertion, tested.likeness) == (*by_chance, 0), network


def test_checks_tell_a_good_map_from_a_bad_one() -> None:
    known = ClassReader("square", SQUARE, ("bright", "dark", "other"), "crop", "")
    good = cells(occlusion(SQUARE, BRIGHT, 0)).flatten().argsort(descending=True)
    hidden, shown = removal(known, BRIGHT, 0, good)
    badly_hidden, badly_shown = removal(known, BRIGHT, 0, good.flip(0))
    assert hidden < 0.5 * badly_hidden
    assert shown > 2 * badly_shown
    found = torch.rand(24, 24)
    assert likeness(found, found) == pytest.approx(1)
    assert likeness(found, -found) == pytest.approx(-1)
    assert likeness(found, torch.ones(24, 24)) == 0


def test_random_weights_are_random_everywhere() -> None:
    for network in ("residual", "plain", "lite0"):
        objective, image = trained(network=network), torch.rand(1, 3, 24, 24)
        chance = randomised(objective)
        assert not torch.equal(chance.maps(image), objective.maps(image))
        assert torch.equal(randomised(objective).logits(image), chance.logits(image))
        assert METHODS["grad-cam"].attribute(chance, image, 0).isfinite().all()


def test_a_page_says_why(tiny_runs: TinyRuns, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, card in enumerate(np.load(tiny_runs.cards)["images"][:2]):
        Image.fromarray(card).save(tmp_path / "in" / f"{number}.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    asked = {"out": tmp_path / "why", "target": "2"}
    with pytest.raises(SomeFailedError, match="1 of 3 pictures"):
        pinxit.explain(tiny_runs["classify"], [str(tmp_path / "in")], **asked)
    numbers = json.loads((tmp_path / "why" / "explanations.json").read_text())
    assert [(row["file"], row["found"], row["target"]) for row in numbers] == [("0.png", "0", "2"), ("1.png", "1", "2")]
    assert [reason["method"] for reason in numbers[0]["reasons"]] == list(METHODS)
    page = (tmp_path / "why" / "explanations.html").read_text()
    assert page.count("<figcaption>training picture, ") == 2 * 4
    assert ("no positive evidence" in page) is any(
        reason["evidence"] <= 0 for row in numbers for reason in row["reasons"]
    )
    with pytest.raises(UsageError, match="--target 7"):
        pinxit.explain(tiny_runs["classify"], [str(tmp_path / "in")], out=tmp_path / "other", target="7")
