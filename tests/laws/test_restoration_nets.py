"""Laws of restoration networks: how far they look, where they start, and that sizes and companions do not matter."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.nets.per_pixel import PixelDiscriminator
from pinxit.nets.restoration import UNet, enlarged

KINDS = {
    "residual": {"levels": 2, "blocks": 1, "block": "residual"},
    "residual deep": {"levels": 3, "blocks": 1, "block": "residual"},
    "plain": {"levels": 1, "blocks": 2, "block": "residual"},
    "nafnet": {"levels": 2, "blocks": 2, "block": "nafnet"},
    "x2": {"levels": 2, "blocks": 1, "block": "residual", "scale": 2},
    "x3": {"levels": 1, "blocks": 1, "block": "nafnet", "scale": 3},
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def network(kind: dict[str, object], planes: int = 0, moved: bool = True) -> UNet:
    """A network with random weights everywhere, also where training starts with zeros."""
    torch.manual_seed(0)
    net = UNet(1, planes, 4, **kind).eval().requires_grad_(False)
    if moved:
        for weight in net.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return net


@EVERY_KIND
def test_it_looks_as_far_as_its_radius_says_and_no_farther(kind: dict[str, object]) -> None:
    net = network(kind).double()
    side = -(-(2 * net.radius + 2 * net.stride) // net.stride) * net.stride
    image = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    out = net(image)
    reached = 0
    for offset in range(net.stride):
        row = side // 2 // net.stride * net.stride + offset
        (gradient,) = torch.autograd.grad(out[0, 0, row * net.scale], image, torch.ones_like(out[0, 0, 0]), True)
        rows = gradient[0, 0].abs().sum(1).nonzero().flatten()
        reached = max(reached, row - int(rows.min()), int(rows.max()) - row)
    assert reached == net.radius


@EVERY_KIND
def test_it_starts_as_the_identity_or_the_bicubic_enlargement(kind: dict[str, object]) -> None:
    net = network(kind, planes=1, moved=False)
    image = torch.rand(2, 1, 10, 13)
    expected = F.interpolate(image, scale_factor=net.scale, mode="bicubic", antialias=True) if net.scale > 1 else image
    assert torch.equal(net(image, torch.rand(2, 1, 10, 13)), expected)


@EVERY_KIND
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 2), (16, 16), (17, 31)])
def test_any_size_and_each_picture_alone(kind: dict[str, object], size: tuple[int, int]) -> None:
    net = network(kind)
    images = torch.rand(3, 1, *size)
    out = net(images)
    assert out.shape == (3, 1, size[0] * net.scale, size[1] * net.scale)
    assert torch.allclose(net(images[1:2]), out[1:2], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(net(images.flip(0))[0], out[0])


@EVERY_KIND
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_part_with_its_surroundings_gives_what_the_whole_gives(
    kind: dict[str, object], precision: torch.dtype
) -> None:
    net = network(kind).to(memory_format=torch.channels_last)
    halo = -(-net.radius // net.stride) * net.stride

    def run(image: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            return net(image.contiguous(memory_format=torch.channels_last))

    image = torch.rand(1, 1, 3 * halo + 5, 4 * halo + 3)
    high, wide = image.shape[-2:]
    whole = run(image)
    for top, left, bottom, right in (
        (0, 0, halo, halo),
        (halo, 2 * halo, 2 * halo, wide),
        (halo, halo, high, 2 * halo),
    ):
        above, before = max(0, top - halo), max(0, left - halo)
        part = run(image[..., above : bottom + halo, before : right + halo])
        s = net.scale
        inside = part[..., (top - above) * s : (bottom - above) * s, (left - before) * s : (right - before) * s]
        expected = whole[..., top * s : bottom * s, left * s : right * s]
        assert (inside - expected).abs().max() <= 1e-5 * max(1, expected.abs().max())


@EVERY_KIND
def test_sides_are_made_multiples_by_a_mirror_image(kind: dict[str, object]) -> None:
    net = network(kind)
    image = torch.rand(1, 1, 3 * net.stride - 1, 2 * net.stride + 1)
    extended = F.pad(image, (0, -image.shape[3] % net.stride, 0, -image.shape[2] % net.stride), mode="reflect")
    out = net(image) - enlarged(image, net.scale)
    expected = (net(extended) - enlarged(extended, net.scale))[..., : out.shape[2], : out.shape[3]]
    assert torch.allclose(out, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["residual", "residual deep", "nafnet", "x2"])
def test_maps_are_passed_beside_the_way_down_and_up(name: str) -> None:
    net = network(KINDS[name])
    for up in net.ups:
        up.weight.zero_(), up.bias.zero_()
    images = torch.rand(2, 1, 16, 16)
    change = net(images) - enlarged(images, net.scale)
    assert not torch.allclose(change[0], change[1], atol=1e-3)


def test_planes_are_seen() -> None:
    net = network(KINDS["residual"], planes=2)
    image = torch.rand(1, 1, 8, 8)
    planes = torch.zeros(1, 2, 8, 8)
    changed = planes.clone()
    changed[:, 1] = 1
    assert not torch.allclose(net(image, planes), net(image, changed))


def test_the_discriminator_of_pixels_scores_each_where_it_is_and_far_ones_less() -> None:
    """A score is for its own pixel: a change of one corner moves the scores there most; odd sides have their pixels."""
    torch.manual_seed(0)
    judge = PixelDiscriminator(3, 8).eval().requires_grad_(False)
    image = torch.rand(2, 3, 67, 50)
    scores = judge(image)
    assert scores.shape == (2, 67 * 50)
    torch.testing.assert_close(judge(image[1:])[0], scores[1], rtol=0, atol=1e-5)
    image[:, :, :6, :6] = 1
    moved = (judge(image) - scores).abs().view(2, 67, 50)
    assert moved[:, :6, :6].mean() > 3 * moved[:, -6:, -6:].mean()
