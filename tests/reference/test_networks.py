"""The feature networks against independent definitions, and against what real photographs show."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.metrics.extractors import EXTRACTORS
from pinxit.nets.inception import Inception2015
from pinxit.nets.lite0 import EfficientNetLite0
from pinxit.nets.pretrained import LITE0, STLPIPS, Published, lite0_weights, published_tensors, stlpips_weights
from pinxit.nets.vgg import VGG16


def need(published: Published) -> None:
    if not find_spec(published.package):
        pytest.skip(f"{published.project} is not installed")


@pytest.fixture(scope="module")
def lite0() -> EfficientNetLite0:
    need(LITE0)
    network = EfficientNetLite0().eval().requires_grad_(False)
    network.load_state_dict(lite0_weights())
    return network


def photo(name: str) -> Tensor:
    pixels = np.atleast_3d(getattr(skimage.data, name)())
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize(
    ("name", "label", "least"),
    [("chelsea", 285, 0.7), ("coffee", 967, 0.8), ("camera", 872, 0.9), ("rocket", 540, 0.4)],
    ids=["Egyptian cat", "espresso", "tripod", "drilling platform"],
)
def test_lite0_names_what_a_photograph_shows(lite0: EfficientNetLite0, name: str, label: int, least: float) -> None:
    posteriors = EXTRACTORS["lite0"].extract(photo(name)).posteriors[0]
    assert posteriors.argmax() == label
    assert posteriors[label] > least


def test_lite0_is_what_was_published(lite0: EfficientNetLite0) -> None:
    """Values of the code that belongs to the weights, efficientnet-lite-pytorch 0.1.0:

    model = EfficientNet.from_name("efficientnet-lite0").eval()
    model.load_state_dict(torch.load("efficientnet-lite0-57934424.pth", weights_only=True))
    x = F.interpolate(photo("astronaut"), (224, 224), mode="bilinear", antialias=True)
    x = (255 * x - 127) / 128
    model.extract_features(x).mean((2, 3))[0, ::160], model(x)[0, ::125]
    """
    reading = lite0(F.interpolate(photo("astronaut"), (224, 224), mode="bilinear", antialias=True))
    expected = torch.tensor([0.0, 0.36829, 0.56741, 0.06183, 0.20362, 0.65217, 0.0, 0.55898])
    torch.testing.assert_close(reading.features[0, ::160], expected, rtol=0, atol=1e-4)
    logits = torch.tensor([-0.78382, 0.06709, 0.28274, -0.20766, 0.3863, 4.80581, 0.77776, 2.68116])
    torch.testing.assert_close(reading.logits[0, ::125], logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("side", [(64, 64), (37, 91), (225, 32)])
def test_lite0_pads_any_side_as_tensorflow_does(lite0: EfficientNetLite0, side: tuple[int, int]) -> None:
    """The stem alone, by the definition: row i sees rows 2i - before to 2i - before + 2."""
    image = torch.rand(1, 3, *side, generator=torch.Generator().manual_seed(0))
    padded = (255 * image - 127) / 128
    for axis, size in ((2, side[0]), (3, side[1])):
        missing = max(0, ((size + 1) // 2 - 1) * 2 + 3 - size)
        before = missing // 2
        padded = F.pad(padded.transpose(axis, 3), (before, missing - before)).transpose(axis, 3)
    stem = F.conv2d(padded, lite0.stem.weight, lite0.stem.bias, stride=2).clamp(0, 6)
    maps = lite0.stages(image)
    torch.testing.assert_close(maps[0], stem)
    assert len(maps) == 17
    assert [a.shape[1] for a in maps] == [32, 16, *[24] * 2, *[40] * 2, *[80] * 3, *[112] * 3, *[192] * 4, 320]
    assert maps[-1].shape[-2:] == tuple(-(-size // 32) for size in side)


def test_a_folded_convolution_does_what_convolution_and_batch_norm_do(lite0: EfficientNetLite0) -> None:
    old = published_tensors(LITE0)
    x = torch.randn(2, 16, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    norm = [old[f"_blocks.1._bn0.{part}"].double() for part in ("running_mean", "running_var", "weight", "bias")]
    expected = F.batch_norm(F.conv2d(x, old["_blocks.1._expand_conv.weight"].double()), *norm, eps=1e-3)
    folded = lite0.blocks[1].expand
    found = F.conv2d(x, folded.weight.double(), folded.bias.double())
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_the_tensors_of_st_lpips_have_alexnets_shapes() -> None:
    need(STLPIPS)
    tensors = stlpips_weights()
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        **{f"heads.{level}": (width,) for level, width in enumerate((64, 192, 384, 256, 256))},
        **{f"convolutions.{level}.bias": (width,) for level, width in enumerate((64, 192, 384, 256, 256))},
        "convolutions.0.weight": (64, 3, 11, 11),
        "convolutions.1.weight": (192, 64, 5, 5),
        "convolutions.2.weight": (384, 192, 3, 3),
        "convolutions.3.weight": (256, 384, 3, 3),
        "convolutions.4.weight": (256, 256, 3, 3),
    }


def filled(network: nn.Module) -> nn.Module:
    """Give every tensor values that keep the variance, from seed 0, by name in alphabetical order."""
    rng = torch.Generator().manual_seed(0)
    for name, tensor in sorted(network.state_dict().items()):
        if tensor.dim() > 1:
            tensor.copy_(torch.randn(tensor.shape, generator=rng) * (2 / tensor[0].numel()) ** 0.5)
        elif name.endswith(("running_var", "bn.weight")):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=rng))
        elif tensor.is_floating_point():
            tensor.copy_(0.2 * torch.randn(tensor.shape, generator=rng))
    return network.eval()


@torch.no_grad()
def test_inception_is_the_network_of_the_published_fids() -> None:
    """Values of torchvision 0.29.2's `inception_v3(num_classes=1008, aux_logits=False, transform_input=False)`.

    Its pools were made those of pytorch-fid (`count_include_pad=False`, and the maximum in Mixed_7c), its tensors
    filled as here, and its `fc.bias` taken from the logits; features are the output of its `avgpool`.
    """
    image = torch.rand(1, 3, 107, 107, generator=torch.Generator().manual_seed(1))
    reading = filled(Inception2015())(image)
    expected = torch.tensor([2.349112, 3.180976, 0.404043, 1.96077, 1.182455, 3.568054])
    torch.testing.assert_close(reading.features[0, :2001:400], expected, rtol=1e-4, atol=1e-4)
    logits = torch.tensor([-2.058483, -0.266458, 5.090685])
    torch.testing.assert_close(reading.logits[0, [0, 500, 1007]], logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("network", "parameters", "names"),
    [
        (
            Inception2015,
            23_850_960,
            ["Conv2d_1a_3x3.conv.weight", "Mixed_5b.branch1x1.bn.bias", "Mixed_7c.branch3x3dbl_3b.conv.weight"],
        ),
        (VGG16, 138_357_544, ["features.0.weight", "features.28.bias", "classifier.0.weight", "classifier.6.bias"]),
        (EfficientNetLite0, 4_631_000, ["stem.weight", "blocks.15.project.bias", "head.weight"]),
    ],
)
def test_size_names_and_shapes(network: type, parameters: int, names: list[str]) -> None:
    with torch.device("meta"):
        built = network()
        reading = built(torch.rand(2, 3, built.side, built.side))
    assert sum(parameter.numel() for parameter in built.parameters()) == parameters
    assert set(names) < set(built.state_dict())
    assert reading.features.shape == (2, built.dimensions)
    assert reading.logits.shape == (2, built.classes)


@torch.no_grad()
def test_vgg_sees_pictures_by_imagenets_mean_and_deviation() -> None:
    """With a first layer that hands its input on and the rest cut off, what comes out is the picture, normalised."""
    with torch.device("meta"):
        network = VGG16()
    network.features, network.classifier = nn.Flatten(), nn.Sequential(nn.Identity(), nn.Identity())
    image = torch.tensor([0.485, 0.456 + 0.224, 0.406 - 0.225])[None, :, None, None]
    torch.testing.assert_close(network(image).features, torch.tensor([[0.0, 1.0, -1.0]]))
