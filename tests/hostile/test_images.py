"""The only door for pictures: exact pixels of every kind, and one plain line for whatever is not a picture."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, JpegImagePlugin, PngImagePlugin

from conftest import png_16
from pinxit import images
from pinxit.errors import DataError, MemoryLimitError, UsageError
from pinxit.images import FORMATS, READERS, Picture, grid, load_image, read, read_picture, resize, save_image
from pinxit.images.animations import load_media
from pinxit.images.read import Reader

GREY = np.arange(6 * 4, dtype=np.uint8).reshape(6, 4, 1) * 10
COLOUR = np.concatenate([GREY, 255 - GREY, GREY // 2], axis=2)
ALPHA = np.concatenate([COLOUR, GREY[::-1]], axis=2)
DEEP = (np.arange(6 * 4 * 4, dtype=np.uint32) * 683 % 65536).astype(np.uint16).reshape(6, 4, 4)

# Exif orientation -> how the stored pixels must be turned to be upright (Exif 2.32, tag 274).
UPRIGHT = {
    1: lambda p: p,
    2: np.fliplr,
    3: lambda p: np.rot90(p, 2),
    4: np.flipud,
    5: lambda p: np.fliplr(np.rot90(p, -1)),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.fliplr(np.rot90(p, 1)),
    8: lambda p: np.rot90(p, 1),
}


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def palette(transparent: bool = False) -> io.BytesIO:
    image = Image.fromarray(COLOUR).quantize(24)
    return encoded(image, transparency=0) if transparent else encoded(image)


def wide(values: np.ndarray) -> io.BytesIO:
    return encoded(Image.fromarray(values), "TIFF")


EXACT = {
    "grey": (encoded(Image.fromarray(GREY[..., 0])), GREY),
    "colour": (encoded(Image.fromarray(COLOUR)), COLOUR),
    "alpha": (encoded(Image.fromarray(ALPHA)), ALPHA),
    "grey and alpha": (
        encoded(Image.fromarray(np.concatenate([GREY, GREY[::-1]], 2))),
        np.concatenate([GREY, GREY, GREY, GREY[::-1]], 2),
    ),
    "one bit": (encoded(Image.fromarray(GREY[..., 0] > 90)), np.where(GREY > 90, 255, 0).astype(np.uint8)),
    "palette": (palette(), np.asarray(Image.open(palette()).convert("RGB"))),
    "palette with alpha": (palette(True), np.asarray(Image.open(palette(True)).convert("RGBA"))),
    "grey with a transparent value": (
        encoded(Image.fromarray(GREY[..., 0]), transparency=50),
        np.concatenate([GREY, GREY, GREY, np.where(GREY == 50, 0, 255).astype(np.uint8)], 2),
    ),
    "16-bit grey PNG": (io.BytesIO(png_16(DEEP[..., :1])), DEEP[..., :1]),
    "16-bit grey TIFF": (wide(DEEP[..., 0]), DEEP[..., :1]),
    "32-bit whole numbers": (wide(DEEP[..., 0].astype(np.int32)), DEEP[..., :1]),
    "float": (wide((DEEP[..., 0] / 65535).astype(np.float32)), DEEP[..., :1]),
    "16-bit PGM": (io.BytesIO(b"P5 4 6 65535\n" + DEEP[..., 0].astype(">u2").tobytes()), DEEP[..., :1]),
    "TIFF": (encoded(Image.fromarray(COLOUR), "TIFF", compression="tiff_lzw"), COLOUR),
    "WebP": (encoded(Image.fromarray(ALPHA), "WEBP", lossless=True, exact=True), ALPHA),
    "plain CMYK": (
        encoded(Image.fromarray(COLOUR).convert("CMYK"), "TIFF"),
        np.asarray(Image.fromarray(COLOUR).convert("CMYK").convert("RGB")),
    ),
}


@pytest.mark.parametrize("kind", EXACT)
def test_every_kind_gives_its_exact_pixels(kind: str) -> None:
    file, pixels = EXACT[kind]
    file.seek(0)
    loaded = load_image(file)
    assert loaded.dtype == pixels.dtype
    np.testing.assert_array_equal(loaded, pixels)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_pictures_come_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    loaded = load_image(encoded(Image.fromarray(COLOUR), kind, exif=exif, **options))
    upright = UPRIGHT[orientation](COLOUR)
    assert loaded.shape == upright.shape
    assert np.abs(loaded.astype(int) - upright).max() <= (16 if kind == "JPEG" else 0)


def test_cmyk_goes_through_its_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    converted = Image.fromarray(255 - COLOUR)
    monkeypatch.setattr(ImageCms, "profileToProfile", lambda image, profile, to, outputMode: converted)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    file = encoded(Image.fromarray(COLOUR).convert("CMYK"), "JPEG", icc_profile=profile)
    np.testing.assert_array_equal(load_image(file), 255 - COLOUR)


def test_a_profile_that_does_not_fit_is_told_and_not_used() -> None:
    cmyk = Image.fromarray(COLOUR).convert("CMYK")
    wrong = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = read_picture(encoded(cmyk, "TIFF", icc_profile=wrong))
    assert picture.lost == (images.NO_PROFILE,)
    np.testing.assert_array_equal(picture.pixels, np.asarray(cmyk.convert("RGB")))


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bit_colour_is_exact(channels: int) -> None:
    stored = DEEP[..., :channels]
    exact = np.concatenate([stored[..., [0, 0, 0]], stored[..., 1:]], 2) if channels == 2 else stored
    np.testing.assert_array_equal(load_image(io.BytesIO(png_16(stored))), exact)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_of_an_animation_the_first_frame_is_taken_and_told(kind: str) -> None:
    frames = [Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)]
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = read_picture(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    np.testing.assert_array_equal(picture.pixels, COLOUR)
    assert picture.lost == (images.FIRST_FRAME,)


def huge_png(side: int) -> bytes:
    """Return a small PNG whose header claims a side of so many pixels."""
    small = png_16(DEEP[..., :1])
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 16, 0, 0, 0, 0)
    return small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]


JPEG = encoded(Image.fromarray(COLOUR.repeat(20, 0).repeat(20, 1)), "JPEG").getvalue()
PNG = png_16(np.random.default_rng(0).integers(0, 65536, (9, 9, 1), dtype=np.uint16))

REFUSED = {
    "empty": (b"", "the file is empty"),
    "text": (b"hello, I am a picture", "not a picture"),
    "html": (b"<html><body>404</body></html>", "not a picture"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    "cut JPEG": (JPEG[: len(JPEG) // 2], "cut off"),
    "cut PNG": (PNG[: len(PNG) // 2], "cut off"),
    "bomb": (huge_png(30_000), "256 million"),
    "just over the ceiling": (huge_png(16_001), "16001 x 16001"),
    "negative": (wide(np.full((2, 2), -1, np.int32)).getvalue(), "outside 0 to 65535"),
    "bright floats": (wide(np.full((2, 2), 2, np.float32)).getvalue(), "outside 0 to 1"),
    "not a number": (wide(np.full((2, 2), np.nan, np.float32)).getvalue(), "outside 0 to 1"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_a_picture_is_one_plain_line(kind: str, tmp_path: Path) -> None:
    content, reason = REFUSED[kind]
    path = tmp_path / "cat.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        load_image(path)
    line = str(caught.value)
    assert "cat.jpg: " in line
    assert "\n" not in line


def test_what_is_not_a_file_is_one_plain_line(tmp_path: Path) -> None:
    loop, folder, pipe = (tmp_path / name for name in ("loop.png", "folder.png", "pipe.png"))
    loop.symlink_to(loop)
    folder.mkdir()
    os.mkfifo(pipe)
    for path in (loop, folder, pipe, tmp_path / "missing.png"):
        with pytest.raises(DataError, match=f"{path.name}: "):
            load_image(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000", "AVIF"])
def test_mutants_load_or_are_data_errors(kind: str) -> None:
    original = encoded(Image.fromarray(COLOUR.repeat(4, 0).repeat(4, 1)), kind).getvalue()
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(60):
        mutant = bytearray(original)
        for place in rng.integers(0, len(mutant), rng.integers(1, 8)):
            mutant[place] = rng.integers(256)
        try:
            load_image(io.BytesIO(bytes(mutant[: rng.integers(1, 2 * len(mutant))])), "mutant")
        except DataError as error:
            lines.append(str(error))
    assert lines
    assert all(line.startswith("mutant: ") and "\n" not in line for line in lines)


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".webp"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR, ALPHA], ids=["grey", "colour", "alpha"])
def test_what_is_saved_is_loaded(pixels: np.ndarray, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture{suffix}"
    save_image(path, pixels)
    loaded = load_image(path)
    if suffix == ".webp":
        assert loaded.shape[:2] == pixels.shape[:2]
    else:
        np.testing.assert_array_equal(loaded, pixels)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_floats_and_16_bit_grey_are_saved_to_the_nearest_step(tmp_path: Path) -> None:
    save_image(tmp_path / "float.png", COLOUR / np.float32(255))
    np.testing.assert_array_equal(load_image(tmp_path / "float.png"), COLOUR)
    for suffix in (".png", ".tif"):
        save_image(tmp_path / f"deep{suffix}", DEEP[..., :1])
        np.testing.assert_array_equal(load_image(tmp_path / f"deep{suffix}"), DEEP[..., :1])


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_colour_survives(channels: int, suffix: str, tmp_path: Path) -> None:
    save_image(tmp_path / f"deep{suffix}", DEEP[..., :channels])
    np.testing.assert_array_equal(load_image(tmp_path / f"deep{suffix}"), DEEP[..., :channels])


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("a.pdf", COLOUR),
        ("a.bmp", ALPHA),
        ("a.gif", COLOUR),
        ("a.xyz", COLOUR),
        ("a", COLOUR),
        ("a.jpg", ALPHA),
        ("a.webp", DEEP),
        ("a.webp", DEEP[..., :1]),
        ("a.png", COLOUR * np.nan),
    ],
)
def test_what_cannot_be_saved_is_told_and_leaves_nothing(name: str, pixels: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=name):
        save_image(tmp_path / name, pixels)
    assert not list(tmp_path.iterdir())


def test_a_grid_holds_every_picture_in_reading_order() -> None:
    cells = np.stack([np.full((3, 4, 1), value, np.uint8) for value in range(5)])
    sheet = grid(cells, columns=2, gap=1)
    assert sheet.shape == (3 * 4 + 1, 2 * 5 + 1, 1)
    for number in range(5):
        row, column = divmod(number, 2)
        cell = sheet[1 + row * 4 : 4 + row * 4, 1 + column * 5 : 5 + column * 5]
        assert (cell == number).all()
    assert grid(cells).shape == (2 * 5 + 2, 3 * 6 + 2, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_resizing_keeps_flat_pictures_and_hides_what_is_transparent(dtype: type) -> None:
    top = np.iinfo(dtype).max
    flat = np.full((9, 7, 3), top // 3, dtype)
    assert (resize(flat, (5, 5)) == top // 3).all()
    edge = np.zeros((8, 8, 4), dtype)
    edge[:, :4] = (top, 0, 0, top)
    edge[:, 4:] = (0, top, 0, 0)  # green that no one can see must not tint the red beside it
    small = resize(edge, (3, 3))
    seen = small[small[..., 3] > top // 50]
    assert (seen[:, 0] > 0.97 * top).all()
    assert (seen[:, 1] < 0.03 * top).all()


def test_16_bit_pictures_are_resized_at_their_depth() -> None:
    ramp = np.broadcast_to(np.arange(1000, 1256, dtype=np.uint16)[None, :, None], (4, 256, 1))
    assert len(np.unique(resize(ramp, (2, 128)))) > 120


def test_a_reader_is_a_row_and_its_faults_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def numbers(file: io.BytesIO, name: str) -> Picture:
        return Picture(np.array([[[int(word)] for word in file.read().split()[1:]]], np.uint8))

    row = Reader(frozenset({".txt"}), lambda file: file.read(4) == b"grey", numbers)
    monkeypatch.setattr(read, "READERS", {"numbers": row, **READERS})
    np.testing.assert_array_equal(load_image(io.BytesIO(b"grey 1 2 3")), [[[1], [2], [3]]])
    np.testing.assert_array_equal(load_image(encoded(Image.fromarray(COLOUR))), COLOUR)
    with pytest.raises(DataError, match=r"a\.txt: broken picture"):
        load_image(io.BytesIO(b"grey 1 two 3"), "a.txt")


def test_no_format_runs_a_program() -> None:
    assert not {"EPS", "PDF", "PS", "WMF", "EMF"} & set(FORMATS)


def flipped(content: bytes, start: int, end: int, count: int) -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    for place, bit in zip(rng.integers(start, end, count), rng.integers(0, 8, count), strict=True):
        damaged = bytearray(content)
        damaged[place] ^= 1 << bit
        yield bytes(damaged)


def test_every_flipped_bit_of_a_png_is_found_and_named() -> None:
    films = encoded(Image.fromarray(COLOUR), save_all=True, append_images=[Image.fromarray(255 - COLOUR)]).getvalue()
    for content in (PNG, encoded(Image.fromarray(ALPHA)).getvalue(), films):
        load_media(io.BytesIO(content), "photo")
        for damaged in flipped(content, 33, len(content) - 12, 300):
            with pytest.raises(DataError, match=r"^photo: "):
                load_media(io.BytesIO(damaged), "photo")


@pytest.mark.filterwarnings("ignore")
def test_what_a_flipped_bit_does_to_other_formats_is_a_picture_or_one_line() -> None:
    picture = Image.fromarray(COLOUR.repeat(3, 0).repeat(3, 1))
    lossless = {"WEBP": {"lossless": True}, "TIFF": {"compression": "tiff_adobe_deflate"}}
    for kind in ("JPEG", "WEBP", "TIFF", "GIF", "AVIF"):
        content = encoded(picture, kind, **lossless.get(kind, {})).getvalue()
        refused = []
        for damaged in flipped(content, 0, len(content), 60):
            try:
                load_image(io.BytesIO(damaged), "photo")
            except DataError as error:
                refused.append(str(error))
        assert len(refused) > 5, kind
        assert all(line.startswith("photo: ") and "\n" not in line for line in refused)


def test_a_png_cut_off_anywhere_is_refused_and_bytes_after_its_end_are_harmless() -> None:
    content = encoded(Image.fromarray(COLOUR), pnginfo=with_text("Comment", "x" * 50)).getvalue()
    for end in range(9, len(content)):
        with pytest.raises(DataError, match="photo: "):
            load_image(io.BytesIO(content[:end]), "photo")
    for tail in (b"\0", b"\r\n", b"IEND" * 9, content):
        np.testing.assert_array_equal(load_image(io.BytesIO(content + tail)), COLOUR)


def with_text(key: str, text: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text(key, text)
    return info


def test_bytes_after_the_end_of_a_gif_are_harmless_and_its_end_must_be_there() -> None:
    frames = [Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)]
    film = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], loop=0).getvalue()
    still = encoded(frames[0], "GIF", loop=0).getvalue()
    for content in (film, still):
        expected = load_media(io.BytesIO(content))
        for tail in (b"\r\n", b"\0", b"\0" * 2000, b"; and more"):
            found = load_media(io.BytesIO(content + tail))
            assert type(found) is type(expected)
        for end in (len(content) - 1, len(content) - 3):
            with pytest.raises(DataError, match="photo: cut off"):
                load_media(io.BytesIO(content[:end]), "photo")


def test_an_unknown_error_names_the_file_and_too_little_memory_is_no_broken_picture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)
    for error, kind, words in (
        (AssertionError(), DataError, "broken picture"), (RecursionError("deep"), DataError, "broken picture"),
        (UnicodeError("odd"), DataError, "broken picture"), (MemoryError(), MemoryLimitError, "not enough memory"),
    ):  # fmt: skip

        def fail(image: Image.Image, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", fail)
        with pytest.raises(kind, match=rf"a\.jpg: .*{words}"):
            load_image(tmp_path / "a.jpg")
