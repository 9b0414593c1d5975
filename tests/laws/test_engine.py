"""The engine under every edit: tiles, memory, masks, alpha and depth, and edits that return what they must not."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor, nn
from torch.nn import functional as F

import pinxit
from pinxit.edits import engine, tiles
from pinxit.edits.adjust import Adjust
from pinxit.edits.bound import Bound, Local
from pinxit.edits.engine import BrokenEditError, edit_picture, edit_stages
from pinxit.edits.mask import Mask, unit
from pinxit.edits.tiles import Box, bytes_per_pixel, cut, halo_of, side_for
from pinxit.errors import MemoryLimitError, UsageError
from pinxit.images import Picture, resize
from pinxit.nets.peak import Peak

PHOTO = data.coffee()[100:190, 200:310]


class Net(Bound):
    """A small network with random weights: convolutions with a reach of `radius` pixels, then a scale."""

    def __init__(self, radius: int, scale: int = 1, channels: int = 3, width: int = 8) -> None:
        torch.manual_seed(0)
        self.radius, self.scale = radius, scale
        layers = [nn.Conv2d(channels if not i else width, width, 3, padding=1) for i in range(radius - 1)]
        last = nn.Conv2d(width if radius > 1 else channels, channels * scale**2, 3, padding=1)
        self.net = nn.Sequential(*itertools.chain(*((layer, nn.LeakyReLU(0.5)) for layer in layers)), last)
        for layer in self.net:
            if isinstance(layer, nn.Conv2d):
                nn.init.orthogonal_(layer.weight)

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        return F.pixel_shuffle(self.net(image[None]), self.scale)[0].sigmoid()


class Folded(Net):
    """The same on a picture of half the size, whose sides are made even: it must be cut at multiples of 2."""

    def __init__(self) -> None:
        super().__init__(radius=3, channels=12)
        self.radius, self.stride = 2 * 3 + 1, 2

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        high, wide = image.shape[1:]
        even = F.pad(image[None], (0, wide % 2, 0, high % 2), mode="replicate")
        return F.pixel_shuffle(self.net(F.pixel_unshuffle(even, 2)), 2)[0, :, :high, :wide].sigmoid()


class Hole(Net):
    """Takes the mask as well, as inpainting does."""

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        return super().run(image if mask is None else image * (mask == 0), mask)


class Middle(Bound):
    """An edit of the whole picture in three stages, each halfway nearer to the picture's mean."""

    bytes_per_pixel = 100

    def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
        *_, last = self.stages(image, mask)
        return last

    def stages(self, image: Tensor, mask: Tensor | None) -> Iterator[Tensor]:
        for _ in range(3):
            image = (image + image.mean()) / 2
            yield image


NETS: dict[str, Callable[[], Bound]] = {
    "one layer": lambda: Net(1),
    "five layers": lambda: Net(5),
    "twice as large": lambda: Net(4, scale=2),
    "folded": Folded,
    "a hole": lambda: Hole(3),
}
SIDES = (1, 2, 3, 5, 7, 16, 17, 31, 32, 33, 47, 64, 65, 97)
SIZES = [size for size in itertools.product(SIDES, SIDES) if sum(size) % 5 == 3]


def photo(high: int, wide: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(high * wide).random((high, wide, channels), np.float32)


def small_tiles(monkeypatch: pytest.MonkeyPatch, side: int = 16) -> None:
    monkeypatch.setattr(engine._Pass, "_side", lambda task, picture: -(-side // task.bound.stride) * task.bound.stride)


@pytest.mark.parametrize("name", NETS)
def test_tiles_equal_the_whole_on_odd_sizes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(SIZES) >= 40
    bound = NETS[name]()
    small_tiles(monkeypatch)
    for high, wide in SIZES:
        pixels = photo(high, wide)
        mask = (photo(high, wide, 1)[..., 0] > 0.3).astype(np.float32)
        given = torch.from_numpy(mask[None]) if name == "a hole" else None
        with torch.no_grad():
            whole = bound.run(torch.from_numpy(pixels).permute(2, 0, 1), given).permute(1, 2, 0).numpy()
        kept = resize(pixels, whole.shape[:2])
        edited = edit_picture(Picture(pixels), [bound], mask if given is not None else None).pixels
        expected = kept + mask[..., None] * (whole - kept) if given is not None else whole
        assert np.abs(edited - expected).max() <= 1e-5, (high, wide)


def test_the_law_of_tiles_finds_a_radius_that_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    small_tiles(monkeypatch)
    bound, pixels = Net(5), photo(64, 65)
    whole = edit_picture(Picture(pixels[:16, :16]), [bound]).pixels
    assert np.abs(whole[:11, :11] - edit_picture(Picture(pixels), [bound]).pixels[:11, :11]).max() <= 1e-5
    honest = edit_picture(Picture(pixels), [bound]).pixels
    bound.radius = 4
    assert np.abs(edit_picture(Picture(pixels), [bound]).pixels - honest).max() > 1e-4


@pytest.mark.parametrize("stride", [1, 2, 8])
def test_tiles_cover_the_picture_once_on_multiples_of_the_stride(stride: int) -> None:
    for high, wide in SIZES:
        seen = np.zeros((high, wide), int)
        for tile in cut(Box(0, 0, high, wide), 24, stride):
            assert tile.top % stride == tile.left % stride == 0
            assert max(tile.size) <= 24
            tile.of(seen)[:] += 1
            window = tile.with_halo(halo_of(Net(3)), Box(0, 0, high, wide))
            assert tile.inside(window).of(window.of(np.arange(high * wide).reshape(high, wide))).tolist() == (
                tile.of(np.arange(high * wide).reshape(high, wide)).tolist()
            )
        assert (seen == 1).all()


def test_the_trial_counts_what_a_run_holds() -> None:
    """Two maps of 32 float32 channels, the input and the output of a layer, beside the picture."""
    bound = Net(3, width=32)
    pixel = bytes_per_pixel(bound, 3, masked=False, device="cpu")
    assert pixel == pytest.approx(tiles.MARGIN * 4 * (32 + 32 + 3) + 4 * 3 * 5, rel=0.02)
    with torch.no_grad(), Peak() as peak:
        bound.run(torch.rand(3, 200, 100), None)
    assert peak.most / 20_000 <= pixel
    with torch.no_grad(), Peak() as peak:
        kept = [torch.zeros(1000) for _ in range(3)]
        del kept[1:]
        torch.zeros(500)
    assert (peak.most, peak.held) == (12_000, 4_000)


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("radius", [0, 5, 23])
def test_tiles_are_as_large_as_memory_allows_with_their_surroundings(radius: int, stride: int) -> None:
    bound = Local(lambda image: image, radius)
    bound.__dict__["stride"] = stride
    halo = halo_of(bound)
    for memory in (10_000, 100_000, 1_000_000, 3_000_000):
        side = side_for(bound, 70.0, memory)
        assert side % stride == 0
        assert not side or 70 * (side + 2 * halo) ** 2 <= memory
        assert 70 * (side + stride + 2 * halo) ** 2 > memory
    assert side_for(bound, 70.0, -1) == 0
    assert side_for(bound, 70.0, 10**9) == -(-max(tiles.SIDE, tiles.HALOS * halo) // stride) * stride


@pytest.mark.parametrize("memory", [3_000_000, 12_000_000])
def test_a_run_holds_no_more_than_the_limit(memory: int) -> None:
    picture, bound = Picture((photo(300, 500) * 255).astype(np.uint8)), Net(4, width=32)
    with Peak() as peak:
        edited = edit_picture(picture, [bound], memory=memory).pixels
    assert peak.most + picture.pixels.nbytes + edited.nbytes <= memory
    assert np.abs(edited.astype(int) - edit_picture(picture, [bound]).pixels).max() <= 1


def test_a_limit_that_does_not_do_is_told_in_one_line() -> None:
    picture = Picture(PHOTO)
    with pytest.raises(MemoryLimitError, match=r"Net: the limit leaves 0 MB"):
        edit_picture(picture, [Net(5)], memory=60_000)
    with pytest.raises(MemoryLimitError, match=r"Middle takes the whole picture at once and needs 1 MB"):
        edit_picture(picture, [Middle()], memory=1_000_000)
    edit_picture(picture, [Middle()], memory=1_100_000)


def test_what_looks_at_the_whole_picture_comes_in_stages() -> None:
    stages = list(edit_stages(Picture(PHOTO), [Middle(), Middle()]))
    spread = [stage.pixels.std() / (257 if stage.pixels.dtype == np.uint16 else 1) for stage in stages]
    assert [stage.pixels.dtype.itemsize for stage in stages] == [2, 2, 2, 1, 1, 1, 1]
    assert len(stages) == 7
    assert spread == pytest.approx([PHOTO.std() / 2**n for n in (1, 2, 3, 4, 5, 6, 6)], rel=0.1)
    np.testing.assert_array_equal(stages[-1].pixels, edit_picture(Picture(PHOTO), [Middle(), Middle()]).pixels)


def test_what_is_read_off_the_whole_picture_is_so_before_tiles_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every edit of a chain measures the output of the one before it."""

    class Centred(Bound):
        radius, mean = 0, 0.0

        def for_picture(self, pixels: np.ndarray) -> Bound:
            known = Centred()
            known.mean = float(unit(pixels).mean())
            return known

        def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
            return (image - self.mean + 0.5).clamp(0, 1)

    small_tiles(monkeypatch)
    pixels = photo(40, 50) / 4
    edited = edit_picture(Picture(pixels), [Centred(), Adjust(contrast=0.5), Centred()]).pixels
    np.testing.assert_allclose(edited, (pixels - pixels.mean()) / 2 + 0.5, atol=1e-5)


def test_alpha_is_at_the_depth_of_the_colours_in_every_stage() -> None:
    pixels = np.concatenate([PHOTO, PHOTO[..., :1]], axis=2)
    first, *_, last = edit_stages(Picture(pixels), [Net(1), Net(1)])
    np.testing.assert_array_equal(first.pixels[..., 3], pixels[..., 3] * np.uint16(257))
    np.testing.assert_array_equal(last.pixels[..., 3], pixels[..., 3])


def test_a_chain_is_its_edits_one_after_the_other_and_rounds_once() -> None:
    first, second, mask = Adjust(gamma=0.4), Net(2), np.full(PHOTO.shape[:2], 0.7, np.float32)
    edited = edit_picture(Picture(PHOTO), [first, second], mask, strength=0.9)
    exact = edit_picture(Picture(PHOTO.astype(np.float32) / 255), [first, second], mask, strength=0.9)
    apart = edit_picture(edit_picture(Picture(PHOTO), [first], mask, strength=0.9), [second], mask, strength=0.9)
    assert np.abs(edited.pixels - exact.pixels * 255).max() <= 0.51
    assert np.abs(apart.pixels - exact.pixels * 255).max() > 0.51


def test_200_masked_edits_change_no_bit_outside_the_mask() -> None:
    rng = np.random.default_rng(0)
    bounds = [Net(2), Hole(3), Folded(), Adjust(exposure=1.5, levels=2), Middle()]
    changed = 0
    for _ in range(200):
        high, wide = rng.integers(1, 60, 2)
        channels, deep = rng.choice([3, 4]), rng.random() < 0.5
        pixels = rng.integers(0, 65536 if deep else 256, (high, wide, channels), np.uint16 if deep else np.uint8)
        if channels == 4:
            pixels[..., 3] *= rng.random((high, wide)) > 0.5
        mask = Mask(
            box=tuple(int(n) for n in (rng.integers(wide), rng.integers(high), *rng.integers(1, 30, 2))),
            grow=int(rng.integers(5)), feather=int(rng.integers(10)), invert=bool(rng.random() < 0.3),
        )  # fmt: skip
        weights = mask.weights(Picture(pixels))
        edited = edit_picture(
            Picture(pixels), [bounds[i] for i in rng.integers(0, 5, 2)], weights, strength=rng.random()
        )
        outside = weights == 0
        np.testing.assert_array_equal(edited.pixels[outside], pixels[outside])
        changed += (edited.pixels[~outside] != pixels[~outside]).any()
    assert changed > 150


def test_what_no_one_sees_bleeds_into_nothing() -> None:
    """Hidden green beside red: a blur of the red stays red, and the green stays as it was."""
    pixels = np.zeros((20, 20, 4), np.uint8)
    pixels[:, :10] = (200, 0, 0, 255)
    pixels[:, 10:] = (0, 255, 0, 0)
    blur = Local(lambda image: F.avg_pool2d(image, 9, 1, 4, count_include_pad=False), radius=4)
    np.testing.assert_array_equal(edit_picture(Picture(pixels), [blur]).pixels, pixels)
    double = edit_picture(Picture(pixels), [Net(1, scale=2)]).pixels
    seen = edit_picture(Picture(np.broadcast_to(np.uint8([200, 0, 0]), (20, 20, 3)).copy()), [Net(1, scale=2)]).pixels
    np.testing.assert_array_equal(double[..., :3], seen)
    np.testing.assert_array_equal(double[..., 3:], resize(pixels[..., 3:], (40, 40)))
    hidden = pixels * np.uint8([1, 1, 1, 0])
    np.testing.assert_array_equal(edit_picture(Picture(hidden), [blur]).pixels, hidden)
    double = edit_picture(Picture(hidden), [Net(1, scale=2)]).pixels[..., :3]
    np.testing.assert_array_equal(double, edit_picture(Picture(hidden[..., :3]), [Net(1, scale=2)]).pixels)


def test_at_strength_0_what_enlarges_is_bicubic() -> None:
    bound = Net(2, scale=2)
    colour_and_alpha = np.concatenate([PHOTO, PHOTO[..., :1] // 2 + 100], axis=2)
    exact = edit_picture(Picture(colour_and_alpha.astype(np.float32) / 255), [bound], strength=0).pixels
    rounded = edit_picture(Picture(colour_and_alpha), [bound], strength=0).pixels
    assert np.abs(exact * 255 - rounded).max() <= 2
    plain = resize(PHOTO, (180, 220))
    np.testing.assert_array_equal(edit_picture(Picture(PHOTO), [bound], strength=0).pixels, plain)
    mask = np.zeros((90, 110), np.float32)
    mask[10:20, 30:50] = 1
    edited = edit_picture(Picture(PHOTO), [bound, Adjust(exposure=1)], mask).pixels
    outside = np.ones((180, 220), bool)
    outside[20:40, 60:100] = False
    np.testing.assert_array_equal(edited[outside], plain[outside])
    assert (edited != plain).any(axis=2).sum() > 700


BROKEN: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "shape": (lambda image: image[:, 1:], r"torch.float32 \(3, 89, 110\), not float32 \(3, 90, 110\)"),
    "channels": (lambda image: image[:1], r"\(1, 90, 110\)"),
    "depth": (lambda image: image.double(), r"torch.float64"),
    "nan": (lambda image: image / (image > 0.1), r"values from nan to nan"),
    "range": (lambda image: image * 255, r"values from 0 to 2\d\d"),
    "below": (lambda image: image - 0.1, r"values from -0.1"),
}


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("radius", [0, None])
def test_an_edit_that_breaks_its_word_is_named_and_gives_nothing(fault: str, radius: int | None) -> None:
    function, told = BROKEN[fault]

    class Faulty(Bound):
        def run(self, image: Tensor, mask: Tensor | None) -> Tensor:
            return function(image)

    Faulty.radius = radius
    with pytest.raises(BrokenEditError, match=f"Faulty returned .*{told}"):
        edit_picture(Picture(PHOTO), [Faulty()])


def test_a_change_outside_the_mask_is_our_fault_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.zeros(PHOTO.shape[:2], np.float32)
    mask[0, 0] = 1
    monkeypatch.setattr(engine._Pass, "_weight", lambda task, part: torch.ones(()))
    with pytest.raises(BrokenEditError, match="Net: pixels changed outside the mask"):
        edit_picture(Picture(PHOTO), [Net(1)], mask)
    monkeypatch.setattr(engine._Pass, "_untouched", lambda task, part: False)
    with pytest.raises(BrokenEditError, match="pixels changed"):
        edit_picture(Picture(PHOTO), [Net(1)], strength=0)


def test_wrong_requests_are_one_line() -> None:
    picture, net = Picture(PHOTO), Net(1)
    with pytest.raises(UsageError, match="no edit is given"):
        edit_picture(picture, [])
    with pytest.raises(UsageError, match="strength: should be between 0 and 1, not 2"):
        edit_picture(picture, [net], strength=2)
    for wrong in (np.ones((3, 3)), np.full(PHOTO.shape[:2], 2.0), np.full(PHOTO.shape[:2], np.nan)):
        with pytest.raises(UsageError, match="the mask should be"):
            edit_picture(picture, [net], wrong)
    with pytest.raises(UsageError, match="pixels of int64 cannot be edited"):
        edit_picture(Picture(PHOTO.astype(int)), [net])


def test_from_python_files_pictures_and_arrays_are_one(tmp_path: Path) -> None:
    pinxit_images = tmp_path / "photo.png"
    from pinxit.images import save_image

    save_image(pinxit_images, PHOTO)
    mask = np.zeros(PHOTO.shape[:2], np.uint8)
    mask[:40, :50] = 255
    save_image(tmp_path / "mask.png", mask[..., None])
    asked = {"mask": tmp_path / "mask.png", "area": Mask(feather=5), "strength": 0.8, "device": "cpu"}
    from_file = pinxit.edit(pinxit_images, "adjust(exposure=1) | adjust(gamma=2)", **asked)
    from_array = pinxit.edit(PHOTO, [Adjust(exposure=1), Adjust(gamma=2)], **asked | {"mask": mask / 255})
    assert isinstance(from_file, Picture)
    np.testing.assert_array_equal(from_file.pixels, from_array)
    np.testing.assert_array_equal(
        pinxit.edit(Picture(PHOTO), Adjust(exposure=1)).pixels, pinxit.edit(PHOTO, "adjust(exposure=1)")
    )
    with pytest.raises(UsageError, match="did you mean 'adjust'"):
        pinxit.edit(PHOTO, "ajust")
    for wrong in (np.ones((4, 4, 2), np.uint8), np.ones(4, np.uint8), np.ones((0, 4, 3), np.uint8)):
        with pytest.raises(UsageError, match="an array of pixels is"):
            pinxit.edit(wrong, "adjust")
    assert pinxit.edit(PHOTO[..., 0], "adjust").shape == PHOTO.shape[:2]


@pytest.mark.slow
@pytest.mark.alone
def test_24_megapixels_are_enlarged_within_2_gb() -> None:
    code = """
import resource, numpy as np
from pathlib import Path
from pinxit.edits.engine import edit_picture
from pinxit.images import Picture, save_picture
from test_engine import Net
bound, start = Net(3, scale=2, width=4), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pixels = np.random.default_rng(0).integers(0, 256, (4000, 6000, 3), np.uint8)
edited = edit_picture(Picture(pixels), [bound])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) / 1e6)
"""
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = os.environ | {"PYTHONPATH": paths}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert float(found.stdout) < 2
