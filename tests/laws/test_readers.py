"""Every kind of stored sample gives its exact value or is refused by name, and what is dropped is told."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from conftest import png_16
from pinxit.errors import DataError, MemoryLimitError
from pinxit.images import picture, read_mask, read_picture, room
from pinxit.images.picture import ColourTags, Picture

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (20, 33, 4), dtype=np.uint16)
DEEP[0, 0], DEEP[0, 1] = 0, 65535
GREY, COLOUR = DEEP[..., :1], DEEP[..., :3]
BYTES = (DEEP >> 8).astype(np.uint8)

HEIC = base64.b64decode(  # 24 x 16: red, green, black and blue, by a phone's codec
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAXxtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ACJpbG9jAAAAAERAAAEAAQAAAAABoAABAAAAAAAAAGQAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt"
    "AAAAAAABAAAA/GlwcnAAAADcaXBjbwAAAHVodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
    "AAMAHroCQGEAAQApQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqrprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xybmNs"
    "eAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAAChjbGFwAAAAGAAAAAEAAAAQAAAAAf///9gAAAAC////0AAAAAIAAAAQcGl4"
    "aQAAAAADCAgIAAAAGGlwbWEAAAAAAAAAAQABBYECAwWEAAAAbG1kYXQAAABgKAGvCchuzRojmVO/3j//X3IWbd8k9a9kQRhBXAaK"
    "n5cHlKyijs/sbS/zuHz1fzrE3YeoyxuxGL8CT1F2ysMSIOw/Bn1+y2W1S83YARym8tpz0P5AtywvAbTf8HDTGf2A"
)


def found(content: bytes | io.BytesIO) -> Picture:
    return read_picture(io.BytesIO(content) if isinstance(content, bytes) else content, "photo")


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels.squeeze(), metadata=None, **options)
    return file.getvalue()


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def same(content: bytes, expected: np.ndarray, step: int = 0) -> Picture:
    read = found(content)
    assert (read.pixels.dtype, read.pixels.shape) == (expected.dtype, expected.shape)
    assert np.abs(read.pixels.astype(int) - expected.astype(int)).max() <= step
    return read


def test_a_tiff_of_every_layout_gives_its_exact_samples() -> None:
    layouts: list[dict[str, Any]] = [
        {}, {"tile": (16, 16)}, {"rowsperstrip": 3}, {"compression": "lzw"}, {"compression": "zstd", "tile": (16, 32)},
        {"compression": "deflate", "predictor": True}, {"compression": "lzw", "predictor": True, "rowsperstrip": 7},
        {"compression": "packbits"}, {"compression": "lzma"}, {"bigtiff": True},
    ]  # fmt: skip
    for layout, order, planar, channels in product(layouts, "<>", ("contig", "separate"), (1, 3, 4)):
        if (channels == 1) > (planar == "contig"):
            continue
        for pixels in (DEEP, BYTES):
            stored = pixels[..., :channels]
            turned = np.moveaxis(stored, 2, 0) if planar == "separate" else stored
            kind = {1: "minisblack"}.get(channels, "rgb")
            extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
            content = tiff(turned, byteorder=order, planarconfig=planar, photometric=kind, **extra, **layout)
            read = same(content, stored)
            assert read.lost == () or "bigtiff" in layout  # whose tags Pillow reads in one byte order only


def test_what_a_tiff_says_of_its_samples_is_understood() -> None:
    alpha = np.concatenate([COLOUR // 3, np.full_like(GREY, 65535 // 3)], axis=2)
    grey_alpha = np.concatenate([GREY, GREY[::-1]], axis=2)
    for pixels, negative in ((GREY, 65535 - GREY), (BYTES[..., :1], 255 - BYTES[..., :1])):
        same(tiff(pixels, photometric="miniswhite"), negative)
    rgb = {"photometric": "rgb"}
    same(tiff(alpha, **rgb, extrasamples=["assocalpha"]), np.concatenate([alpha[..., :3] * 3, alpha[..., 3:]], 2), 1)
    same(tiff(DEEP, **rgb), DEEP)  # without the tag it is alpha
    assert same(tiff(DEEP, **rgb, extrasamples=["unspecified"]), COLOUR).lost == (picture.UNKNOWN_CHANNEL,)
    read = same(tiff(grey_alpha, photometric="minisblack", extrasamples=["unassalpha"], planarconfig="contig"),
                np.concatenate([GREY, GREY, GREY, GREY[::-1]], axis=2))  # fmt: skip
    assert read.grey
    for dtype in (np.float16, np.float32, np.float64):
        read = same(tiff((COLOUR / 65535).astype(dtype), **rgb), COLOUR, 16 if dtype == np.float16 else 0)
        assert read.lost == (picture.FLOAT_DEPTH,)
    for bits, most, top in ((12, 4095, 65535), (10, 1023, 65535), (14, 16383, 65535), (4, 15, 255), (2, 3, 255)):
        numbers = RNG.integers(0, most + 1, (9, 8), dtype=np.uint16 if bits > 8 else np.uint8)
        whole = np.rint(numbers * (top / most)).astype(np.uint16 if bits > 8 else np.uint8)
        same(packed(numbers, bits), whole[..., None])
    colours = RNG.integers(0, 65536, (3, 65536), dtype=np.uint16)
    same(tiff(GREY, photometric="palette", colormap=colours), colours.T[GREY[..., 0]])
    light = (65535 - DEEP.astype(float)) / 65535
    ink = same(
        tiff(DEEP, photometric="separated"), np.rint(light[..., :3] * light[..., 3:] * 65535).astype(np.uint16), 1
    )
    assert ink.lost == (picture.PLAIN_CMYK,)
    assert same(tiff(GREY // 16), GREY // 16).lost == (picture.DARK,)


def packed(numbers: np.ndarray, bits: int, tags: Mapping[int, Sequence[int]] = {}) -> bytes:
    """A TIFF of (H, W, S) in rows of so many bits a sample, one after the other without gaps; a row ends at a byte."""
    numbers = np.atleast_3d(numbers)
    high, wide, channels = numbers.shape
    length = -(-wide * channels * bits // 8)
    text = ("".join(f"{number:0{bits}b}" for number in row.flat).ljust(8 * length, "0") for row in numbers)
    rows = b"".join(int(row, 2).to_bytes(length, "big") for row in text)
    known: dict[int, Sequence[int]] = {
        256: [wide],
        257: [high],
        258: [bits] * channels,
        259: [1],
        262: [1],
        273: [8],
        277: [channels],
        278: [high],
        279: [len(rows)],
    }
    entries = b""
    for tag, values in sorted((known | dict(tags)).items()):
        place = values[0] if len(values) == 1 else 8 + len(rows)
        rows += struct.pack(f"<{len(values)}I", *values) if len(values) > 1 else b""
        entries += struct.pack("<HHII", tag, 4, len(values), place)
    count = struct.pack("<H", len(entries) // 12)
    return struct.pack("<2sHI", b"II", 42, 8 + len(rows)) + rows + count + entries + bytes(4)


def test_a_palette_of_any_depth_keeps_its_colours_and_its_alpha() -> None:
    for bits in (1, 2, 4, 8):
        numbers = RNG.integers(0, 2**bits, (9, 8, 2), dtype=np.uint8)
        alpha = np.rint(numbers[..., 1:] * (255 / (2**bits - 1))).astype(np.uint8)
        colours = RNG.integers(0, 256, (3, 2**bits))
        colours[0, 0] = 255
        for stored in (colours * 257, colours):  # some programs write them in 8 bits
            tags = {262: [3], 320: stored.ravel().tolist()}
            known = colours.T[numbers[..., 0]].astype(np.uint8)
            same(packed(numbers[..., :1], bits, tags), known)
            same(packed(numbers, bits, tags | {338: [2]}), np.concatenate([known, alpha], axis=2))
    for content in (tiff(GREY.astype(np.float32)), tiff(GREY.astype(np.uint32))):
        place = content.index(struct.pack("<HHI", 262, 3, 1)) + 8
        with pytest.raises(DataError, match=r"palette of .*32 bits is not read"):
            found(content[:place] + b"\3" + content[place + 1 :])


def test_pages_of_every_layout_are_turned_once() -> None:
    upright, colours = np.rot90(BYTES[..., :3], -1), Image.fromarray(BYTES[..., :3])
    turned = {"extratags": [(274, 3, 1, 6, True)], "metadata": None}
    for order, big in product("<>", (False, True)):
        file = io.BytesIO()
        tifffile.imwrite(file, BYTES[..., :3], photometric="rgb", byteorder=order, bigtiff=big, **turned)
        same(file.getvalue(), upright)
    stored = np.asarray(colours.convert("YCbCr"))
    for tags in ({530: [1, 1]}, {530: [1, 1], 532: [0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1]}):
        content = packed(stored, 8, {262: [6], 274: [6]} | tags)
        if 532 in tags:  # six fractions
            content = content.replace(struct.pack("<HHI", 532, 4, 12), struct.pack("<HHI", 532, 5, 6))
        same(content, upright, 4)


def test_what_a_tiff_says_and_we_do_not_know_is_refused_by_name() -> None:
    for content, words in (
        (
            tiff(GREY, photometric="cfa", extratags=[(33421, 3, 2, (2, 2), True), (33422, 1, 4, b"\0\1\1\2", True)]),
            "CFA",
        ),
        (tiff(COLOUR, photometric="cielab"), r"L\*a\*b\* of 16 bits is not read; 8 bits work"),
        (tiff(COLOUR, photometric="ycbcr"), "photo: "),
        (tiff(GREY.astype(np.int8)), "signed 8 bits"),
        (tiff(GREY.astype(np.complex64)), "64 bits"),
        (tiff(GREY.astype(np.uint32) * 9), "outside 0 to 65535"),
        (tiff(DEEP, photometric="separated", extratags=[(332, 3, 1, 2, True)]), "inks other than CMYK"),
        (tiff(DEEP, photometric="separated", extratags=[(336, 3, 2, (65535, 0), True)]), "small numbers are much ink"),
        (tiff(np.zeros((2, 16, 16), np.uint16), volumetric=True, tile=(2, 16, 16)), "a volume of 2 planes"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            found(content)
        assert "\n" not in str(caught.value)


def test_a_tiff_whose_strips_or_tiles_are_cut_off_is_refused() -> None:
    for options in ({}, {"compression": "lzw", "rowsperstrip": 2}, {"compression": "deflate", "tile": (16, 16)}):
        content = tiff(COLOUR, photometric="rgb", **options)
        with tifffile.TiffFile(io.BytesIO(content)) as opened:
            last = opened.pages[0].dataoffsets[-1]
        for end in (last + 1, len(content) - 1):
            with pytest.raises(DataError, match="photo: "):
                found(content[:end])
        same(content + b"\r\n and more", COLOUR)


def test_a_tiff_that_lists_too_few_strips_or_an_empty_one_is_refused() -> None:
    content = tiff(COLOUR, photometric="rgb", compression="lzw", rowsperstrip=5)
    with tifffile.TiffFile(io.BytesIO(content)) as opened:
        places, counts = (opened.pages[0].tags[code] for code in (273, 279))
    few, empty = bytearray(content), bytearray(content)
    for tag in (places, counts):
        few[tag.offset + 4 : tag.offset + 8] = struct.pack("<I", tag.count - 1)
    last = counts.valueoffset + (counts.count - 1) * counts.valuebytecount // counts.count
    empty[last : counts.valueoffset + counts.valuebytecount] = bytes(counts.valuebytecount // counts.count)
    for broken in (few, empty):
        with pytest.raises(DataError, match="photo: cut off"):
            found(bytes(broken))


def test_a_strip_or_tile_that_is_a_far_larger_picture_is_refused_before_it_is_decoded() -> None:
    small, large = BYTES[..., :3].copy(), np.zeros((1200, 1000, 3), np.uint8)
    for kind, encode in (
        ("jpeg", lambda pixels: imagecodecs.jpeg8_encode(pixels, subsampling="444")),
        (33005, imagecodecs.jpeg2k_encode),
        ("webp", imagecodecs.webp_encode),
    ):
        for layout in ({}, {"tile": (16, 16)}):
            content = tiff(small, photometric="rgb", compression=kind, **layout)
            assert found(content).pixels.shape == small.shape
            with tifffile.TiffFile(io.BytesIO(content)) as opened:
                place, counts = (
                    opened.pages[0].tags[324 if layout else 273],
                    opened.pages[0].tags[325 if layout else 279],
                )
                at = [tag.valueoffset for tag in (place, counts)]
                sizes = [f"<{tag.dtype.name[0]}" for tag in (place, counts)]
            part, lie = encode(large), bytearray(content)
            for offset, value, size in zip(at, (len(content), len(part)), sizes, strict=True):
                struct.pack_into("<I" if size == "<L" else "<H", lie, offset, value)
            with pytest.raises(DataError, match="a strip or tile holds 1000 x 1200 pixels"):
                found(bytes(lie) + part)


def test_previews_are_passed_over_wherever_they_stand_and_told() -> None:
    small = BYTES[::4, ::4, :3]
    for pages in (((BYTES, 0), (small, 1)), ((small, 1), (BYTES, 0)), ((small, 1), (BYTES, 2))):
        file = io.BytesIO()
        with tifffile.TiffWriter(file) as writer:
            for pixels, kind in pages:
                writer.write(pixels[..., :3], photometric="rgb", subfiletype=kind, metadata=None)
        assert same(file.getvalue(), BYTES[..., :3]).lost == (picture.SECOND_PICTURE,)
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for numbers, kind in ((BYTES[::4, ::4, 0], 1), (BYTES[..., 0], 0)):
            writer.write(numbers, subfiletype=kind, metadata=None)
    with pytest.raises(DataError, match="a preview stands before its picture"):
        read_mask(file, "mask")
    numbers = BYTES[..., 0]
    for layout in ({}, {"compression": "lzw"}, {"tile": (16, 16)}):
        turned = tiff(numbers, extratags=[(274, 3, 1, 6, True)], **layout)
        np.testing.assert_array_equal(read_mask(io.BytesIO(turned), "mask").pixels[..., 0], np.rot90(numbers, -1))
    frames = [Image.fromarray(BYTES[..., :3]), Image.fromarray(255 - BYTES[..., :3])]
    assert found(encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])).lost == (picture.SECOND_PICTURE,)


def test_jpeg_2000_of_every_precision_gives_its_exact_samples() -> None:
    for bits, (channels, codec) in product((4, 8, 10, 12, 16), ((1, "j2k"), (3, "j2k"), (3, "jp2"), (4, "jp2"))):
        stored = (DEEP[..., :channels] >> (16 - bits)).astype(np.uint16 if bits > 8 else np.uint8)
        top = 65535 if bits > 8 else 255
        content = imagecodecs.jpeg2k_encode(stored.squeeze(), level=0, codecformat=codec, bitspersample=bits)
        same(content, np.rint(stored * (top / (2**bits - 1))).astype(stored.dtype))


def test_a_jpeg_2000_of_8_bits_whose_colours_pillow_would_misread_is_refused_or_understood() -> None:
    content = imagecodecs.jpeg2k_encode(BYTES[..., :3], level=0, codecformat="jp2")
    place = content.index(b"colr") + 7
    for number, words in ((14, r"L\*a\*b\*"), (20, "the JPEG 2000 space 20")):
        with pytest.raises(DataError, match=words):
            found(content[:place] + struct.pack(">I", number) + content[place + 4 :])
    known = Image.fromarray(BYTES[..., :3], "YCbCr").convert("RGB")
    same(content[:place] + struct.pack(">I", 18) + content[place + 4 :], np.asarray(known), 3)


def test_a_png_begins_with_its_size_and_a_damaged_chunk_is_named() -> None:
    for plain in (png_16(COLOUR), encoded(Image.fromarray(BYTES[..., :3]), "PNG")):
        for first in (chunk(b"CgBI", b"\x50\0\x20\2"), chunk(b"tEXt", b"Title\0x")):
            with pytest.raises(DataError, match="it begins with a chunk"):
                found(plain[:8] + first + plain[8:])
        with pytest.raises(DataError, match="the checksum of its chunk tEXt is wrong"):
            found(plain[:33] + chunk(b"tEXt", b"Title\0x")[:-1] + b"?" + plain[33:])


def test_avif_of_10_and_12_bits_keeps_them() -> None:
    smooth = np.broadcast_to(np.linspace(0, 1, 64)[None, :, None], (16, 64, 3))
    for bits in (10, 12):
        stored = np.rint(smooth * (2**bits - 1)).astype(np.uint16)
        content = imagecodecs.avif_encode(stored, level=100, bitspersample=bits, pixelformat="444")
        read = same(content, np.rint(smooth * 65535).astype(np.uint16), 65535 // 2 ** (bits - 3))
        assert len(np.unique(read.pixels[..., 1])) == 64


def test_heic_is_read() -> None:
    read = same(HEIC, found(HEIC).pixels)
    assert read.pixels.shape == (16, 24, 3)
    corners = [(2, 2, (255, 0, 0)), (2, 20, (0, 255, 0)), (12, 2, (0, 0, 0)), (12, 20, (0, 0, 255))]
    for row, column, colour in corners:
        assert np.abs(read.pixels[row, column].astype(int) - colour).max() < 8
    for end in range(40, len(HEIC), 60):
        with pytest.raises(DataError, match="photo: "):
            found(HEIC[:end])


def test_a_transparent_value_of_a_grey_png_is_found_at_every_depth() -> None:
    for bits in (1, 2, 4, 8, 16):
        numbers = (np.arange(16).reshape(2, 8) * 3 % 2**bits).astype(np.uint16)
        whole = np.rint(numbers * ((65535 if bits > 8 else 255) / (2**bits - 1)))
        alpha = np.where(numbers == 1, 0, 65535 if bits > 8 else 255)
        same(
            grey_png(numbers, bits, 1),
            np.stack([whole, whole, whole, alpha], axis=2).astype(np.uint16 if bits > 8 else np.uint8),
        )


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def grey_png(numbers: np.ndarray, bits: int, clear: int) -> bytes:
    high, wide = numbers.shape
    text = ("".join(f"{number:0{bits}b}" for number in row) for row in numbers)
    rows = b"".join(b"\0" + int(row, 2).to_bytes(wide * bits // 8, "big") for row in text)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", wide, high, bits, 0, 0, 0, 0)) + chunk(
        b"tRNS", struct.pack(">H", clear)
    )
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_other_numbers_of_bits() -> None:
    same(b"P6 # of 16 bits\n33 20 65535\n" + COLOUR.astype(">u2").tobytes(), COLOUR)
    twelve = COLOUR >> 4
    same(b"P6 33 20 4095\n" + twelve.astype(">u2").tobytes(), np.rint(twelve * (65535 / 4095)).astype(np.uint16))
    text = " ".join(map(str, twelve.flat)).encode()
    same(b"P3 # in letters\n33 20 4095\n# and more\n" + text, np.rint(twelve * (65535 / 4095)).astype(np.uint16))
    with pytest.raises(DataError, match="cut off"):
        found(b"P3 33 20 4095\n" + text[:-40])
    smooth = np.broadcast_to(np.linspace(0, 4095, 64).astype(np.uint16)[None, :, None], (16, 64, 3))
    jpeg = imagecodecs.jpeg8_encode(np.ascontiguousarray(smooth), bitspersample=12, level=98, subsampling="444")
    same(jpeg, np.rint(smooth * (65535 / 4095)).astype(np.uint16), 200)
    colours = np.array([[0xF800, 0x07E0], [0x001F, 0xFFFF]], "<u2")  # BMP of 5, 6 and 5 bits, from the last row up
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    head = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 74, 0, 0, 66, 40, 2, 2, 1, 16, 3, 8, 0, 0, 0, 0) + masks
    rgb = np.array([[[0, 0, 255], [255, 255, 255]], [[255, 0, 0], [0, 255, 0]]], np.uint8)
    same(head + colours.tobytes(), rgb)


def test_colour_tags_are_a_value_and_told_unless_they_are_those_of_srgb() -> None:
    def tags(*chunks: bytes) -> tuple[ColourTags, tuple[str, ...]]:
        plain = png_16(COLOUR)
        read = found(plain[:33] + b"".join(chunks) + plain[33:])
        np.testing.assert_array_equal(read.pixels, COLOUR)
        return replace(read.keeps.tags, chunks=()), read.lost

    def cicp(*codes: int) -> bytes:
        return chunk(b"cICP", bytes(codes))

    gamma, wide = chunk(b"gAMA", struct.pack(">I", 100_000)), (34570, 35850, 64000, 33000, 21000, 71000, 15000, 6000)
    points = chunk(b"cHRM", struct.pack(">8I", *wide))
    assert tags(cicp(9, 16, 0, 1)) == (ColourTags(cicp=(9, 16, 0, 1)), (picture.HDR,))
    assert tags(cicp(12, 13, 0, 1)) == (ColourTags(cicp=(12, 13, 0, 1)), (picture.WIDE,))
    assert tags(cicp(1, 13, 0, 1), gamma) == tags(chunk(b"sRGB", b"\0"), gamma) == (ColourTags(), ())
    assert tags(gamma, points) == (ColourTags(gamma=100_000, chromaticities=wide), (picture.OTHER_CURVE,))
    assert tags(chunk(b"gAMA", struct.pack(">I", 45455))) == (ColourTags(), ())


def test_what_has_no_room_is_refused_before_memory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = Image.new("L", (400, 400))
    kinds = [encoded(flat, kind) for kind in ("PNG", "JPEG", "TIFF", "WEBP", "GIF")]
    monkeypatch.setattr(room, "memory_left", lambda: 300_000)
    monkeypatch.setattr(room, "_SMALL", 0)
    for content in kinds:
        with pytest.raises(MemoryLimitError, match=r"photo: 400 x 400 pixels need about .* 0 MB are free"):
            found(content)
    monkeypatch.undo()
    moves = encoded(Image.new("L", (8, 8)), "GIF", save_all=True, append_images=[Image.new("L", (8, 8), 255)])
    still = encoded(Image.new("RGB", (8, 8)), "WEBP", lossless=True)
    side = (16382).to_bytes(3, "little")
    canvas = b"WEBPVP8X" + struct.pack("<II", 10, 2) + side + side + still[12:]
    for content in (moves[:6] + b"\xff\xff\xff\xff" + moves[10:], b"RIFF" + struct.pack("<I", len(canvas)) + canvas):
        with pytest.raises(DataError, match="at most 40 million a frame are read"):
            found(content)
