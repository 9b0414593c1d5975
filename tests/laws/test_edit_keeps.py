"""What an edit keeps of every kind of picture: pixels, depth, alpha, profile, resolution and what a person wrote."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin
from PIL.JpegImagePlugin import get_sampling

from conftest import png_16
from pinxit.cli import run
from pinxit.edits.adjust import Adjust
from pinxit.edits.bound import Local
from pinxit.edits.engine import edit_picture
from pinxit.errors import DataError, UsageError
from pinxit.images import NO_EXIF, Metadata, Picture, load_picture, read_recipe, save_picture

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (21, 34, 1), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (21, 34, 3), dtype=np.uint8)
ALPHA = np.concatenate([COLOUR, GREY // 64 * 85], axis=2)  # 0, 85, 170 and 255: much of it hidden
GREY_ALPHA = np.concatenate([GREY, ALPHA[..., 3:]], axis=2)
DEEP = RNG.integers(0, 65536, (21, 34, 4), dtype=np.uint16)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
OTHER = SRGB[:-1] + bytes([SRGB[-1] ^ 1])  # a profile that is not quite sRGB's, and of which no bit may be lost
GREY_PROFILE = SRGB[:16] + b"GRAY" + SRGB[20:]
IDENTITY = Local(lambda image: image)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation: int = 1) -> bytes:
    """Exif with words to keep, and with a place, serial numbers and a maker's notes, which must go."""
    told = Image.Exif()
    told[ExifTags.Base.Orientation] = orientation
    told[ExifTags.Base.Artist], told[ExifTags.Base.DateTime] = "A. Painter", "2020:02:03 04:05:06"
    told[ExifTags.IFD.Exif] = {
        ExifTags.Base.ExposureTime: 0.01, ExifTags.Base.BodySerialNumber: "SERIAL-7",
        ExifTags.Base.MakerNote: b"SECRET NOTES", ExifTags.Base.ExifImageWidth: 1,
    }  # fmt: skip
    told[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N", ExifTags.GPS.GPSLatitude: (52.0, 12.0, 34.0)}
    return told.tobytes()


def rgba(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.concatenate([np.broadcast_to(pixels, (*pixels.shape[:2], 3)), alpha], axis=2)


# Exif orientation -> how the stored pixels must be turned to be upright (Exif 2.32, tag 274).
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda p: p,
    2: np.fliplr,
    3: lambda p: np.rot90(p, 2),
    4: np.flipud,
    5: lambda p: np.fliplr(np.rot90(p, -1)),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.fliplr(np.rot90(p, 1)),
    8: lambda p: np.rot90(p, 1),
}
PALETTE = Image.fromarray(COLOUR).quantize(24)
CMYK = Image.fromarray(COLOUR).convert("CMYK")
LARGE = ((2 << 20) + len(OTHER)).to_bytes(4, "big") + OTHER[4:] + bytes(2 << 20)  # as measured profiles are
JPEG = encoded(Image.fromarray(COLOUR), "JPEG", exif=exif(), icc_profile=OTHER, dpi=(300, 300))

# Every kind of file, and the upright pixels that must come through an edit that changes nothing.
KINDS: dict[str, tuple[bytes, np.ndarray]] = {
    "1": (encoded(Image.fromarray(GREY[..., 0] > 90)), np.where(GREY > 90, 255, 0).astype(np.uint8)),
    "L": (encoded(Image.fromarray(GREY[..., 0])), GREY),
    "LA": (encoded(Image.fromarray(GREY_ALPHA)), rgba(GREY, ALPHA[..., 3:])),
    "P": (encoded(PALETTE), np.asarray(PALETTE.convert("RGB"))),
    "P with a transparent colour": (
        encoded(PALETTE, transparency=0),
        rgba(
            np.asarray(PALETTE.convert("RGB")), np.where(np.asarray(PALETTE) == 0, 0, 255).astype(np.uint8)[..., None]
        ),
    ),
    "L with a transparent value": (
        encoded(Image.fromarray(GREY[..., 0]), transparency=50),
        rgba(GREY, np.where(GREY == 50, 0, 255).astype(np.uint8)),
    ),
    "RGB": (encoded(Image.fromarray(COLOUR)), COLOUR),
    "RGBA": (encoded(Image.fromarray(ALPHA)), ALPHA),
    "CMYK": (encoded(CMYK, "TIFF"), np.asarray(CMYK.convert("RGB"))),
    "I;16 PNG": (png_16(DEEP[..., :1]), DEEP[..., :1]),
    "I;16 TIFF": (encoded(Image.fromarray(DEEP[..., 0]), "TIFF"), DEEP[..., :1]),
    "I": (encoded(Image.fromarray(DEEP[..., 0].astype(np.int32)), "TIFF"), DEEP[..., :1]),
    "F": (encoded(Image.fromarray((DEEP[..., 0] / 65535).astype(np.float32)), "TIFF"), DEEP[..., :1]),
    "JPEG": (JPEG, np.asarray(Image.open(io.BytesIO(JPEG)))),
    "WebP": (encoded(Image.fromarray(ALPHA), "WEBP", lossless=True, exact=True), ALPHA),
    "LZW TIFF": (encoded(Image.fromarray(COLOUR), "TIFF", compression="tiff_lzw"), COLOUR),
    "GIF": (encoded(PALETTE, "GIF"), np.asarray(PALETTE.convert("RGB"))),
    "BMP": (encoded(Image.fromarray(COLOUR), "BMP"), COLOUR),
    "PPM": (encoded(Image.fromarray(COLOUR), "PPM"), COLOUR),
    "JPEG 2000": (encoded(Image.fromarray(COLOUR), "JPEG2000"), COLOUR),
}
KINDS |= {
    f"orientation {turn}": (encoded(Image.fromarray(COLOUR), exif=exif(turn)), upright(COLOUR))
    for turn, upright in UPRIGHT.items()
}
DEEP_KINDS = {
    "16-bit LA": (png_16(DEEP[..., :2]), rgba(DEEP[..., :1], DEEP[..., 1:2])),
    "16-bit RGB": (png_16(DEEP[..., :3]), DEEP[..., :3]),
    "16-bit RGBA": (png_16(DEEP), DEEP),
}
KINDS |= DEEP_KINDS


def loaded(kind: str) -> Picture:
    return load_picture(io.BytesIO(KINDS[kind][0]), kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_an_edit_that_changes_nothing_keeps_every_pixel_of_every_kind(kind: str, suffix: str, tmp_path: Path) -> None:
    expected = KINDS[kind][1]
    edited = edit_picture(loaded(kind), [IDENTITY, IDENTITY])
    assert edited.pixels.dtype == expected.dtype
    np.testing.assert_array_equal(edited.pixels, expected)
    save_picture(tmp_path / f"out{suffix}", edited)
    again = load_picture(tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(again.pixels, expected)
    assert again.grey == edited.grey or (kind, suffix) == ("16-bit LA", ".tif")  # which Pillow does not read
    assert again.lost == ()


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_colour_is_written_as_the_formats_say(channels: int, suffix: str, tmp_path: Path) -> None:
    """The high bytes of every number, as Pillow's own readers of the file give them."""
    deep = np.tile(DEEP, (7, 1, 1))  # of more rows than are packed at a time
    pixels = rgba(deep[..., :1], deep[..., 1:2]) if channels == 2 else deep[..., :channels]
    keeps = Metadata(icc=GREY_PROFILE if channels == 2 else OTHER, dpi=(300.0, 150.0))
    save_picture(
        tmp_path / f"out{suffix}", Picture(pixels, mode="LA" if channels == 2 else "RGB", keeps=keeps), {"a": 1}
    )
    with Image.open(tmp_path / f"out{suffix}") as image:
        image.load()
        np.testing.assert_array_equal(np.asarray(image), pixels >> 8)
        grey_tiff = channels == 2 and suffix == ".tif"  # is written as colour, which its profile does not fit
        assert image.info.get("icc_profile") == (None if grey_tiff else keeps.icc)
        assert image.info["dpi"] == pytest.approx((300, 150), rel=1e-4)
    assert read_recipe(tmp_path / f"out{suffix}") == {"a": 1}
    if suffix == ".png":
        assert (tmp_path / "out.png").read_bytes()[24:26] == bytes([16, {2: 4, 3: 2, 4: 6}[channels]])


def words(path: Path) -> dict[int, object]:
    with Image.open(path) as image:
        image.load()
        found = image.getexif()
        return dict(found) | found.get_ifd(ExifTags.IFD.Exif) | {-1: found.get_ifd(ExifTags.IFD.GPSInfo)}


@pytest.mark.parametrize("source", [".png", ".jpg", ".tif", ".webp", ".avif"])
@pytest.mark.parametrize("result", [".png", ".jpg", ".tif", ".webp", ".avif"])
def test_what_a_person_wrote_is_kept_and_where_he_was_is_not(source: str, result: str, tmp_path: Path) -> None:
    options = {"exif": exif(6), "icc_profile": OTHER} | (
        {"dpi": (300, 100)} if source in (".png", ".jpg", ".tif") else {}
    )
    Image.fromarray(COLOUR).save(tmp_path / f"in{source}", **options)
    recipe = {"chain": [{"name": "adjust", "note": '"<é>&\n\\'}]}
    save_picture(tmp_path / f"out{result}", load_picture(tmp_path / f"in{source}"), recipe)
    found, again = words(tmp_path / f"out{result}"), load_picture(tmp_path / f"out{result}")
    assert found[ExifTags.Base.Artist] == "A. Painter"
    assert found[ExifTags.Base.DateTime] == "2020:02:03 04:05:06"
    assert found[ExifTags.Base.ExposureTime] == pytest.approx(0.01)
    assert found.get(ExifTags.Base.Orientation, 1) == 1
    assert found[-1] == {}
    assert ExifTags.Base.ExifImageWidth not in found
    content = (tmp_path / f"out{result}").read_bytes()
    assert b"SERIAL" not in content
    assert b"SECRET" not in content
    assert again.pixels.shape == (34, 21, 3)
    assert again.keeps.icc == OTHER
    assert again.keeps.dpi == (pytest.approx((100, 300), rel=1e-4) if "dpi" in options else None)
    assert read_recipe(tmp_path / f"out{result}") == recipe


def test_a_places_other_hiding_places_in_a_png_are_emptied(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "A. Painter")
    text.add_itxt("Description", "naïve ☃")
    text.add_itxt("XML:com.adobe.xmp", '<x exif:GPSLatitude="52"/>')
    text.add_text("Raw profile type exif", "\nexif\n 4\n00000052")
    text.add_itxt("pinxit", '{"old": 1}')
    Image.fromarray(COLOUR).save(tmp_path / "in.png", pnginfo=text)
    picture = load_picture(tmp_path / "in.png")
    assert picture.keeps.text == {"Author": "A. Painter", "Description": "naïve ☃"}
    save_picture(tmp_path / "out.png", picture, {"new": 1})
    with Image.open(tmp_path / "out.png") as image:
        assert image.text == {"Author": "A. Painter", "Description": "naïve ☃", "pinxit": '{"new": 1}'}


@pytest.mark.parametrize(("pixels", "profile", "kept"), [
    (GREY, GREY_PROFILE, True), (GREY, OTHER, False), (COLOUR, OTHER, True), (COLOUR, GREY_PROFILE, False),
    (GREY_ALPHA, GREY_PROFILE, True), (COLOUR, b"junk" * 50, False), (COLOUR, LARGE, True),
])  # fmt: skip
def test_a_profile_is_kept_where_it_fits(pixels: np.ndarray, profile: bytes, kept: bool, tmp_path: Path) -> None:
    picture = load_picture(io.BytesIO(encoded(Image.fromarray(pixels.squeeze()), icc_profile=profile)))
    assert picture.keeps.icc == (profile if kept else None)
    assert bool(picture.lost) != kept
    for suffix in (".png", ".tif", ".webp"):
        save_picture(tmp_path / f"out{suffix}", picture)
        fits = kept and not (suffix == ".webp" and profile == GREY_PROFILE)  # a WebP is never grey
        with Image.open(tmp_path / f"out{suffix}") as image:
            assert image.info.get("icc_profile") == (profile if fits else None)


def test_the_resolution_is_the_files_own_or_none(tmp_path: Path) -> None:
    def dpi(kind: str, **options: object) -> tuple[float, float] | None:
        return load_picture(io.BytesIO(encoded(Image.fromarray(COLOUR), kind, **options))).keeps.dpi

    assert dpi("PNG") is dpi("JPEG") is dpi("TIFF") is dpi("WEBP") is None
    assert dpi("JPEG", exif=exif()) is None
    assert dpi("TIFF", resolution_unit=3, x_resolution=100, y_resolution=50) == pytest.approx((254, 127))
    assert dpi("TIFF", resolution_unit=1, x_resolution=2, y_resolution=1) is None


@pytest.mark.parametrize("turn", UPRIGHT)
def test_the_resolution_turns_with_the_picture(turn: int) -> None:
    picture = load_picture(io.BytesIO(encoded(Image.fromarray(COLOUR), exif=exif(turn), dpi=(300, 100))))
    on_its_side = picture.pixels.shape[0] == 34
    assert picture.keeps.dpi == pytest.approx((100, 300) if on_its_side else (300, 100), rel=1e-4)


def test_what_went_through_its_profile_has_none_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageCms, "profileToProfile", lambda image, profile, to, outputMode: image.convert("RGB"))
    picture = load_picture(io.BytesIO(encoded(CMYK, "TIFF", icc_profile=OTHER)))
    assert (picture.keeps.icc, picture.lost) == (None, ())


def test_colours_that_are_called_grey_are_saved_as_colours(tmp_path: Path) -> None:
    save_picture(tmp_path / "out.png", Picture(ALPHA, mode="LA"))
    np.testing.assert_array_equal(load_picture(tmp_path / "out.png").pixels, ALPHA)


def test_exif_that_cannot_be_read_is_told_and_left_out() -> None:
    for kind in ("PNG", "JPEG", "WEBP"):
        picture = load_picture(io.BytesIO(encoded(Image.fromarray(COLOUR), kind, exif=b"Exif\0\0not a TIFF file")))
        assert picture.pixels.shape == COLOUR.shape
        assert (picture.keeps.exif, picture.lost) == (None, (NO_EXIF,))


def test_an_animation_is_no_single_picture() -> None:
    frames = [Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)]
    for kind in ("GIF", "PNG", "TIFF", "WEBP"):
        with pytest.raises(DataError, match=r"cat: an animation.*a single picture is needed"):
            load_picture(io.BytesIO(encoded(frames[0], kind, save_all=True, append_images=frames[1:])), "cat")


def test_what_a_format_cannot_hold_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    for name, pixels in (("a.jpg", ALPHA), ("a.jpg", rgba(GREY, GREY)), ("a.webp", DEEP[..., :1]), ("a.bmp", COLOUR)):
        with pytest.raises(UsageError, match=name):
            save_picture(tmp_path / name, Picture(pixels, mode="LA"))
    with pytest.raises(UsageError, match=r"a\.jpg: JPEG cannot hold this picture \(XMP data is too long\)"):
        save_picture(tmp_path / "a.jpg", Picture(COLOUR), {"long": "x" * 70_000})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["[1]", "{", "[" * 100_000, '"a"'])
def test_a_hostile_recipe_is_one_plain_line(text: str, tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("pinxit", text)
    Image.fromarray(GREY[..., 0]).save(tmp_path / "a.png", pnginfo=info)
    with pytest.raises(DataError, match=r"a\.png: ") as caught:
        read_recipe(tmp_path / "a.png")
    assert "\n" not in str(caught.value)
    assert read_recipe(io.BytesIO(JPEG)) is None


RED = np.indices((32, 32)).sum(0)[..., None] % 2 * np.array([[[255, 0, 0]]], np.uint8)  # red and black by turns


def jpeg(subsampling: int, quality: int, **options: object) -> bytes:
    return encoded(Image.fromarray(RED.astype(np.uint8)), "JPEG", subsampling=subsampling, quality=quality, **options)


def test_a_jpeg_keeps_its_subsampling_and_a_fine_one_its_quality(tmp_path: Path) -> None:
    for subsampling in (0, 1, 2):
        for quality in (60, 95, 100):
            for turn in (1, 6):
                turned = exif(turn)
                before = load_picture(io.BytesIO(jpeg(subsampling, quality, exif=turned)))
                save_picture(tmp_path / "out.jpg", before)
                with Image.open(tmp_path / "out.jpg") as image, Image.open(io.BytesIO(jpeg(0, 95))) as usual:
                    # 4:2:2 on its side would be 4:4:0, which is not written
                    assert get_sampling(image) == (0 if (subsampling, turn) == (1, 6) else subsampling)
                    ours, theirs = image.quantization, usual.quantization
                assert ours == ({0: [1] * 64, 1: [1] * 64} if quality == 100 else theirs)
                if subsampling == 0:
                    far = np.abs(before.pixels.astype(int) - load_picture(tmp_path / "out.jpg").pixels)
                    assert far.mean() < (0.5 if quality == 100 else 2)


def test_pictures_of_other_formats_keep_their_colours_in_a_jpeg_and_an_avif(tmp_path: Path) -> None:
    for name in ("out.jpg", "out.avif"):
        save_picture(tmp_path / name, Picture(RED.astype(np.uint8)))
        assert np.abs(load_picture(tmp_path / name).pixels - RED.astype(int)).mean() < 3
        save_picture(tmp_path / name, Picture(RED.astype(np.uint8)), quality=None)  # as pinxit 0.2 did
        assert np.abs(load_picture(tmp_path / name).pixels - RED.astype(int)).mean() > 40


def test_quality_decides_sizes_stands_in_the_recipe_and_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.jpg").write_bytes(jpeg(0, 90))
    words = ["edit", "adjust", "in.jpg", "--exposure", "0.1", "-o"]
    for suffix in ("jpg", "webp", "avif"):
        for quality in ("10", "100"):
            assert run([*words, f"q{quality}.{suffix}", "--quality", quality]) == 0
            assert f"compressed at quality {quality};" in capsys.readouterr().err
            assert read_recipe(Path(f"q{quality}.{suffix}"))["quality"] == int(quality)
        sizes = [Path(f"q{quality}.{suffix}").stat().st_size for quality in (10, 100)]
        assert sizes == sorted(set(sizes))
    assert run([*words, "auto.jpg"]) == 0
    assert read_recipe(Path("auto.jpg"))["quality"] == "auto"
    for name in ("q10.jpg", "auto.jpg"):
        assert run(["redo", name, "-o", "again.jpg", "-y"]) == 0
        assert Path("again.jpg").read_bytes() == Path(name).read_bytes()
    assert run([*words, "plain.png"]) == 0
    assert "quality" not in read_recipe(Path("plain.png"))
    capsys.readouterr()
    for quality, line in (
        ("50", "--quality 50 is for JPEG, WebP and AVIF, not for PNG"),
        ("0", "greater than"),
        ("101", "less"),
    ):
        assert run([*words, "x.png", "--quality", quality]) == 2
        assert line in capsys.readouterr().err
    assert not Path("x.png").exists()


def test_a_recipe_without_a_quality_is_made_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours at half the resolution and no quality in the recipe, as pinxit 0.2 wrote it: the same bytes."""
    monkeypatch.chdir(tmp_path)
    Path("in.jpg").write_bytes(jpeg(0, 100))
    assert run(["edit", "adjust", "in.jpg", "-o", "new.jpg"]) == 0
    recipe = read_recipe(Path("new.jpg"))
    del recipe["quality"]
    save_picture(Path("old.jpg"), edit_picture(load_picture(Path("in.jpg")), [Adjust()]), recipe, quality=None)
    assert run(["redo", "old.jpg", "-o", "again.jpg"]) == 0
    assert Path("again.jpg").read_bytes() == Path("old.jpg").read_bytes()
    assert Path("again.jpg").read_bytes() != Path("new.jpg").read_bytes()
