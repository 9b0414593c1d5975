"""What results keep of a file's metadata, whatever it is called, and what no byte of them may hold."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from pinxit.cli import run
from pinxit.images import Metadata, Picture, load_picture, save_picture, unheld
from pinxit.images.animations import read_animation, write_animation
from pinxit.images.containers import png_chunks

PIXELS = np.arange(12 * 8 * 3, dtype=np.uint8).reshape(12, 8, 3)
SOURCES = ("PNG", "JPEG", "TIFF", "WEBP", "AVIF")
RESULTS = (".png", ".jpg", ".tif", ".webp", ".avif")
PLANT, WORD = "PLANT", "Žofie 山田 ©"

PRIVATE_FIELDS = (
    11,
    269,
    285,
    316,
    337,
    37395,
    50708,
    50735,
    59932,
)  # a host, a document, serial numbers, unknown ones
PRIVATE_CAMERA = (
    *(37500, 37510, 42032, 42033, 42037, 42016, 40964, 37378, 33437),  # the last two should be numbers, and are not
    *(42240, 42097, 41730, 34852, 60000),
)
PRIVATE_TEXTS = (
    *("exif:GPSLatitude", "EXIF:GPSInfo", "exif:BodySerialNumber", "exif:MakerNote", "exif:UserComment", "GPSPosition"),
    *(
        "xmp:GPS",
        "xmp:CreatorTool",
        "XMP:Location",
        "Thumb::URI",
        "thumb::uri",
        "photoshop:City",
        "Iptc4xmpCore:Location",
    ),
    *(
        "raw profile type exif",
        "Raw profile type iptc",
        "Raw Profile Type xmp",
        "Raw profile type APP1",
        "serial number",
    ),
    *("aux:SerialNumber", "aux:OwnerName", "jpeg:comment", "Location", "Owner", "HostComputer", "Author Position"),
    *("pinxit-else", "prompt", "workflow", "XML:com.adobe.xmp", "XML:com.adobe.xmp2"),
)
KEPT_FIELDS = (315, 33432, 270, 271, 272, 305)
KEPT_TEXTS = ("Title", "Author", "Description", "Copyright", "Comment", "exif:Copyright")
XMP = f'<x:xmpmeta exif:GPSLatitude="{PLANT}" aux:SerialNumber="{PLANT}" dc:rights="{PLANT}"/>'.encode()


def planted(kind: str) -> io.BytesIO:
    """A picture with private words in every place, and words to keep: `WORD` and a number in UTF-8."""
    told = Image.Exif()
    for number, tag in enumerate(KEPT_FIELDS):
        told[tag] = f"{WORD} {number}".encode()
    for tag in PRIVATE_FIELDS:
        told[tag] = PLANT
    told[ExifTags.IFD.Exif] = dict.fromkeys(PRIVATE_CAMERA, PLANT) | {36867: "2024:01:02 03:04:05", 33434: 0.5}
    told[ExifTags.IFD.GPSInfo] = {1: "N", 2: (52.0, 1.0, 2.0), 27: PLANT, 29: PLANT}
    text = PngImagePlugin.PngInfo()
    for key in PRIVATE_TEXTS:
        text.add_itxt(key, PLANT)
    for number, key in enumerate(KEPT_TEXTS):
        text.add_itxt(key, f"{WORD} text {number}", PLANT, PLANT)  # the language, and the keyword in it
    content = told.tobytes()  # TIFF takes the fields with their own types only in this form
    options: dict[str, object] = {
        "PNG": {"pnginfo": text}, "JPEG": {"xmp": XMP, "comment": PLANT}, "TIFF": {},
        "WEBP": {"xmp": XMP, "lossless": True}, "AVIF": {"xmp": XMP},
    }[kind]  # fmt: skip
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind, exif=content, **options)
    return file


@pytest.mark.parametrize("kind", SOURCES)
def test_no_byte_of_a_result_is_private_and_what_a_person_wrote_is_there(kind: str, tmp_path: Path) -> None:
    source = planted(kind)
    picture = load_picture(source, "photo")
    fields = () if kind == "TIFF" else KEPT_FIELDS  # Pillow writes a TIFF's texts as ASCII; see below
    for suffix in RESULTS:
        path = tmp_path / f"out{suffix}"
        save_picture(path, picture, {"made": "by us"})
        content = path.read_bytes()
        assert PLANT.encode() not in content
        assert PLANT.encode("utf-16-le") not in content
        for number, _ in enumerate(fields):
            assert f"{WORD} {number}\0".encode() in content, (suffix, KEPT_FIELDS[number])
        for number, key in enumerate(KEPT_TEXTS if kind == "PNG" and suffix == ".png" else ()):
            assert f"{WORD} text {number}".encode() in content, key
        with Image.open(path) as image:
            image.load()
            camera = image.getexif().get_ifd(ExifTags.IFD.Exif)
        assert camera == {36867: "2024:01:02 03:04:05", 33434: 0.5}
    assert picture.lost == ()
    told = {"PNG": "text exif:GPSLatitude", "JPEG": "comment"}.get(kind, "Exif MakerNote")
    assert {"GPS", "Exif HostComputer", "Exif DocumentName", "Exif BodySerialNumber", "Exif UserComment", told} <= set(
        picture.keeps.dropped
    )
    assert ("XMP of another program" in picture.keeps.dropped) == (kind != "TIFF")


def test_utf_8_of_exif_survives_two_edits_of_every_format(tmp_path: Path) -> None:
    """Copyright and artist have the same bytes after each of them; a PNG's texts go to the fields of other formats."""
    path = tmp_path / "in.jpg"
    path.write_bytes(planted("JPEG").getvalue())
    for suffix in (*RESULTS, *reversed(RESULTS)):
        after = tmp_path / f"{path.stem}x{suffix}"
        save_picture(after, load_picture(path))
        for number, _ in enumerate(KEPT_FIELDS):
            assert f"{WORD} {number}\0".encode() in after.read_bytes(), after.name
        path = after
    texts = {"Author": WORD, "copyright": f"(c) {WORD}", "Title": "a title", "Comment": "for PNG"}
    for suffix in RESULTS[1:]:
        save_picture(tmp_path / f"out{suffix}", Picture(PIXELS, keeps=Metadata(text=texts)))
        with Image.open(tmp_path / f"out{suffix}") as image:
            found = {tag: str(image.getexif()[tag]).encode("latin-1").decode() for tag in (315, 33432, 270)}
        assert found == {315: WORD, 33432: f"(c) {WORD}", 270: "a title"}


def test_texts_that_are_not_utf_8_and_texts_of_exif_3_keep_their_bytes(tmp_path: Path) -> None:
    """Latin-1 stays Latin-1; the text of Exif 3.0 (type 129), which is UTF-8, becomes one of the old type."""
    field = "Zoë".encode() + b"\0"
    directory = b"II*\0\x08\0\0\0" + b"\x02\0" + b"\x3b\x01\x81\0" + len(field).to_bytes(4, "little") + b"\x26\0\0\0"
    directory += b"\x98\x82\x02\0\x04\0\0\0\xa9 A\0" + b"\0\0\0\0" + field
    Image.fromarray(PIXELS).save(tmp_path / "in.jpg", exif=b"Exif\0\0" + directory)
    for suffix in RESULTS:
        save_picture(tmp_path / f"out{suffix}", load_picture(tmp_path / "in.jpg"))
        content = (tmp_path / f"out{suffix}").read_bytes()
        assert field in content
        assert b"\xa9 A\0" in content


def test_what_a_person_wrote_in_xmp_alone_survives_and_nothing_else_of_it(tmp_path: Path) -> None:
    """Rights, creators, title and description, where Exif and texts do not have them; a hostile packet gives none."""
    words = {"rights": ["© Ana", "(c) other"], "creator": ["Ana", "山田"], "title": ["Žofie"]}
    items = "".join(
        f"<dc:{name}><rdf:Seq>{''.join(f'<rdf:li>{one}</rdf:li>' for one in each)}</rdf:Seq></dc:{name}>"
        for name, each in words.items()
    )
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:p="urn:p">'
        f'<rdf:Description p:gps="{PLANT}">{items}</rdf:Description></rdf:RDF></x:xmpmeta>'
    )
    told = Image.Exif()
    told[270] = "a title in Exif"
    for number, xmp in enumerate((packet, "<!DOCTYPE x>" + packet, packet[:-9])):
        Image.fromarray(PIXELS).save(tmp_path / "in.jpg", xmp=xmp.encode(), exif=told)
        picture = load_picture(tmp_path / "in.jpg")
        assert picture.keeps.text == ({"Author": "Ana; 山田", "Copyright": "© Ana"} if number == 0 else {})
        for suffix in RESULTS:
            save_picture(tmp_path / f"out{suffix}", picture)
            content = (tmp_path / f"out{suffix}").read_bytes()
            assert PLANT.encode() not in content
            assert ("Ana; 山田".encode() in content, "© Ana".encode() in content) == (number == 0, number == 0)


def test_a_damaged_field_takes_nothing_from_its_neighbours(tmp_path: Path) -> None:
    told = Image.Exif()
    told[306], told[315], told[33432] = f"2024\0{PLANT}", f"Ana\0{PLANT}", "Ana\0Bo"
    told[ExifTags.IFD.Exif] = {36867: PLANT, 36868: "2024:01:02 03:04:05"}
    Image.fromarray(PIXELS).save(tmp_path / "in.jpg", exif=told)
    save_picture(tmp_path / "out.png", load_picture(tmp_path / "in.jpg"))
    with Image.open(tmp_path / "out.png") as image:
        assert dict(image.getexif()).items() >= {315: "Ana", 33432: "Ana\0Bo"}.items()
        assert image.getexif().get_ifd(ExifTags.IFD.Exif) == {36868: "2024:01:02 03:04:05"}
    assert PLANT.encode() not in (tmp_path / "out.png").read_bytes()


def test_the_colours_that_only_exif_names_keep_their_name(tmp_path: Path) -> None:
    told = Image.Exif()
    told[ExifTags.IFD.Exif] = {ExifTags.Base.ColorSpace: 65535, ExifTags.IFD.Interop: {1: "R03", 2: b"0100"}}
    Image.fromarray(PIXELS).save(tmp_path / "in.jpg", exif=told)
    for suffix in RESULTS:
        save_picture(tmp_path / f"out{suffix}", load_picture(tmp_path / "in.jpg"))
        with Image.open(tmp_path / f"out{suffix}") as image:
            assert image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] == 65535
            assert image.getexif().get_ifd(ExifTags.IFD.Interop) == {1: "R03", 2: b"0100"}


def test_an_animation_keeps_no_comment_and_no_private_text() -> None:
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    for kind in ("GIF", "PNG", "WEBP"):
        text = PngImagePlugin.PngInfo()
        text.add_text("xmp:GPS", PLANT)
        text.add_text("Author", "Ana")
        file, result = io.BytesIO(), io.BytesIO()
        more = {"GIF": {"comment": PLANT}, "PNG": {"pnginfo": text}, "WEBP": {"xmp": XMP}}[kind]
        frames[0].save(file, kind, save_all=True, append_images=frames[1:], **more)
        film = read_animation(file)
        write_animation(result, kind, film)
        assert PLANT.encode() in file.getvalue()
        assert PLANT.encode() not in result.getvalue()
        words = {"GIF": ("comment",), "PNG": ("text xmp:GPS",), "WEBP": ("XMP of another program",)}
        assert film.first.keeps.dropped == words[kind]
        assert (b"Ana" in result.getvalue()) == (kind == "PNG")


def test_what_is_not_kept_is_said_for_one_picture_and_counted_for_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(planted("JPEG").getvalue())
    assert run(["edit", "adjust", str(tmp_path / "a.jpg"), "-o", str(tmp_path / "one.png")]) == 0
    assert "a.jpg: not kept: GPS, Exif ProcessingSoftware, " in capsys.readouterr().err
    assert run(["edit", "adjust", str(tmp_path / "?.jpg"), "-o", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().err
    assert told.count("not kept") == 1
    assert "not kept: GPS (2), Exif ProcessingSoftware (2), " in told


def tagged(*tags: tuple[bytes, bytes], deep: bool = False) -> io.BytesIO:
    info = PngImagePlugin.PngInfo()
    for kind, content in tags:
        info.add(kind, content)
    file = io.BytesIO()
    Image.fromarray(PIXELS[..., 0].astype(np.uint16) if deep else PIXELS).save(file, "PNG", pnginfo=info)
    return file


def chunks(content: bytes) -> dict[bytes, bytes]:
    return dict(png_chunks(io.BytesIO(content)))


CICP, GAMMA, SRGB = (b"cICP", bytes([9, 16, 0, 1])), (b"gAMA", struct.pack(">I", 100_000)), (b"sRGB", b"\0")
CHRM = (b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))


def test_colour_tags_of_a_png_are_kept_in_a_png_and_said_elsewhere(tmp_path: Path) -> None:
    for tags in ((CICP,), (GAMMA, CHRM), (SRGB,), (CICP, GAMMA), ()):
        for deep in (False, True):
            picture = load_picture(tagged(*tags, deep=deep))
            save_picture(tmp_path / "out.png", picture)
            found = chunks((tmp_path / "out.png").read_bytes())
            assert {kind: found[kind] for kind in (b"cICP", b"gAMA", b"cHRM", b"sRGB") if kind in found} == dict(tags)
            words = ["colour tags (gAMA, cHRM, cICP or nclx)"] * (tags not in ((SRGB,), ()))
            assert list(unheld("JPEG", picture.keeps)) == words
            assert list(unheld("PNG", picture.keeps)) == []
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    info = PngImagePlugin.PngInfo()
    info.add(*CICP)
    file, result = io.BytesIO(), io.BytesIO()
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:], pnginfo=info)
    write_animation(result, "PNG", read_animation(file))
    assert chunks(result.getvalue())[b"cICP"] == CICP[1]


def test_the_code_points_of_an_avif_become_those_of_a_png(tmp_path: Path) -> None:
    """Primaries and transfer are kept; the numbers of a PNG are of RGB and of the full range."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "AVIF")
    content = file.getvalue()
    place = content.index(b"nclx") + 4
    content = content[:place] + struct.pack(">HHHB", 9, 18, 9, 128) + content[place + 7 :]
    save_picture(tmp_path / "out.png", load_picture(io.BytesIO(content)))
    assert chunks((tmp_path / "out.png").read_bytes())[b"cICP"] == bytes([9, 18, 0, 1])


def test_a_second_picture_is_said_once_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.mpo", "b.mpo", "c.mpo"):
        frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
        frames[0].save(tmp_path / name, "MPO", save_all=True, append_images=frames[1:])
    assert run(["edit", "adjust", str(tmp_path / "*.mpo"), "-o", str(tmp_path / "out")]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "a second picture" in line]
    assert len(told) == 2
    assert told[0].startswith(f"{tmp_path}/a.mpo: a second picture in the file")
    assert told[1].startswith("3 pictures: a second picture in the file")
