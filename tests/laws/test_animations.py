"""Laws of animations: every edit keeps their frames, times and size, of all kinds, in folders and through pipes."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data
from test_edits import FILLS_HOLES, LAYERED, edit_of, grown

import pinxit
from pinxit.cli import run
from pinxit.edits import EDITS
from pinxit.edits.adjust import Adjust
from pinxit.edits.mask import Mask
from pinxit.errors import DataError, MemoryLimitError
from pinxit.images import Metadata, Picture, load_picture, read_recipe, room, save_image
from pinxit.images.animations import Animation, load_media, read_animation, save_animation, write_animation
from pinxit.jobs.batch import edit_bytes, edit_files
from pinxit.jobs.settings import EditSettings

KINDS = ("GIF", "PNG", "WEBP")
TIMES = (40.0, 70.0, 0.0, 100.0, 30.0)
NOTHING = Metadata()
each_kind = pytest.mark.parametrize("kind", KINDS)


def moving(channels: int = 3, size: tuple[int, int] = (21, 34), colours: int = 4) -> list[np.ndarray]:
    """Five frames of few colours, of which the second and the third are the same."""
    photo = np.round(data.astronaut()[: size[0], : size[1]] / 255 * (colours - 1)) * (255 // (colours - 1))
    frames = [np.roll(photo, (shift, 3 * shift), (0, 1)).astype(np.uint8) for shift in (0, 1, 1, 2, 3)]
    if channels == 1:
        return [frame[..., :1] for frame in frames]
    if channels == 4:
        shown = [np.where(frame[..., :1] > 90, 255, 0).astype(np.uint8) for frame in frames]
        return [
            np.concatenate([frame * (alpha > 0), alpha], axis=2) for frame, alpha in zip(frames, shown, strict=True)
        ]
    return frames


def animation(frames: Sequence[np.ndarray], plays: int = 0, keeps: Metadata = NOTHING) -> Animation:
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[frames[0].shape[2]]
    times = TIMES[: len(frames)]
    return Animation(lambda: (Picture(frame, mode=mode, keeps=keeps) for frame in frames), times, plays, "PNG")


def encoded(kind: str, frames: Sequence[np.ndarray], plays: int = 0, recipe: dict[str, object] | None = None) -> bytes:
    file = io.BytesIO()
    write_animation(file, kind, animation(frames, plays), recipe)
    return file.getvalue()


def pixels(source: Path | bytes) -> list[np.ndarray]:
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    return [frame.pixels for frame in read_animation(file).frames()]


@each_kind
@pytest.mark.parametrize("plays", [0, 1, 3])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_is_written_is_read_again(kind: str, plays: int, channels: int) -> None:
    """By us and by Pillow: every frame, even one that shows nothing new, for as long as it was to be shown."""
    frames = moving(channels)
    content = encoded(kind, frames, plays, {"a": "é" * 400})
    again = read_animation(io.BytesIO(content))
    assert (again.durations, again.plays, again.format) == (TIMES, plays, kind)
    assert read_recipe(io.BytesIO(content)) == {"a": "é" * 400}
    found = pixels(content)
    for frame, one in zip(frames, found, strict=True):
        shown = np.broadcast_to(frame, one.shape) if channels == 1 else frame
        far = np.abs(shown.astype(int) - one) * (shown[..., 3:] > 0 if channels == 4 else 1)
        assert far.max() == 0 if kind != "WEBP" else far.mean() < 12
        if channels == 4:
            np.testing.assert_array_equal(one[..., 3], frame[..., 3])
    with Image.open(io.BytesIO(content)) as image:
        assert (image.n_frames, image.size) == (5, (34, 21))
        for number, duration in enumerate(TIMES):
            image.seek(number)
            image.load()
            assert image.info["duration"] == duration


@each_kind
def test_what_pillow_writes_is_read_as_it_shows_it(kind: str) -> None:
    """Its frames hold only what is new, and are disposed of in one way or another."""
    for channels in (3, 4):
        frames = [Image.fromarray(frame) for number, frame in enumerate(moving(channels)) if number != 2]
        file = io.BytesIO()
        options = (
            {"lossless": True} if kind == "WEBP" else {"disposal": 1 if channels == 3 else 2} if kind == "GIF" else {}
        )
        frames[0].save(
            file, kind, save_all=True, append_images=frames[1:], duration=[40, 70, 100, 30], loop=0, **options
        )
        assert read_animation(file).durations == (40, 70, 100, 30)
        for frame, one in zip(frames, pixels(file.getvalue()), strict=True):
            seen = one[..., 3:] > 0 if channels == 4 else True
            np.testing.assert_array_equal(np.asarray(frame) * seen, one * seen)


def test_a_gif_of_256_colours_a_frame_is_exact() -> None:
    """All 256 in the first frame; in the next, one is spent on what stays as it was."""
    rng = np.random.default_rng(0)
    first, second = (rng.permutation(256 * 3).astype(np.uint8).reshape(16, 16, 3) for _ in range(2))
    second[0, 0] = first[0, 0]
    np.testing.assert_array_equal(pixels(encoded("GIF", [first, second])), [first, second])


def test_a_picture_for_programs_that_show_no_animations_is_no_frame() -> None:
    frames = [Image.fromarray(frame) for frame in moving()[2:]]
    file = io.BytesIO()
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:], duration=50, default_image=True)
    np.testing.assert_array_equal(pixels(file.getvalue()), [np.asarray(frame) for frame in frames[1:]])


@pytest.mark.parametrize("unit", [1, 10])
def test_rounded_times_never_run_away(unit: int) -> None:
    """Every frame comes within half a unit of when it should."""
    rng = np.random.default_rng(unit)
    times = tuple(rng.uniform(3, 60, 50))
    frames = [np.full((1, 1, 3), number, np.uint8) for number in range(50)]
    file = io.BytesIO()
    shown = Animation(lambda: (Picture(frame) for frame in frames), times, 0, "GIF")
    write_animation(file, {1: "WEBP", 10: "GIF"}[unit], shown)
    found = np.cumsum(read_animation(file).durations)
    assert np.abs(found - np.cumsum(times)).max() <= unit / 2 + 1e-6
    write_animation(png := io.BytesIO(), "PNG", shown)
    np.testing.assert_allclose(read_animation(png).durations, times, atol=0.02)


def test_metadata_lie_where_the_format_has_a_place(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[315] = "A. Painter"
    keeps = Metadata(exif=exif.tobytes(), dpi=(300.0, 300.0), text={"Title": "film"})
    for kind in ("PNG", "WEBP"):
        path = tmp_path / f"a.{kind.lower()}"
        save_animation(path, animation(moving(), keeps=keeps), {"a": 1})
        told = next(read_animation(path).frames()).keeps
        assert b"A. Painter" in (told.exif or b"")
        assert told.dpi == pytest.approx((300, 300), rel=1e-3)
        assert read_recipe(path) == {"a": 1}


@pytest.mark.parametrize("name", [name for name in EDITS if name not in LAYERED])
def test_every_edit_keeps_frames_times_and_size(name: str, tmp_path: Path) -> None:
    """Without steadiness every frame is what the edit makes of it alone, with the same mask and strength."""
    frames, bound = moving(4, colours=6)[1:4], edit_of(name).bind()
    (tmp_path / "in.png").write_bytes(encoded("PNG", frames, plays=2))
    area = Mask(box=(4, 3, 9, 8)) if name in FILLS_HOLES else Mask()
    settings = EditSettings(strength=0.9, steady=0)
    edit_files([tmp_path / "in.png"], [edit_of(name)], tmp_path / "out.png", settings, area=area).check()
    edited = read_animation(tmp_path / "out.png")
    assert (edited.durations, edited.plays) == (TIMES[:3], 2)
    high, wide, _ = grown(frames[0], bound).shape
    for frame, one in zip(frames, edited.frames(), strict=True):
        assert one.pixels.shape == (high * bound.scale, wide * bound.scale, 4)
        alone = pinxit.edit(Picture(frame, mode="RGBA"), [bound], area=area, strength=0.9)
        np.testing.assert_array_equal(one.pixels, alone.pixels)


@each_kind
def test_a_result_is_of_the_same_kind_or_of_what_is_asked_for(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    own = f"in/film.{kind.lower()}"
    Path("in").mkdir()
    Path(own).write_bytes(encoded(kind, moving()))
    save_image(Path("in/still.webp"), moving()[0])

    def made(folder: str, *words: str) -> dict[str, str]:
        assert run(["edit", "adjust", "in", "-o", folder, "--exposure", "0.5", *words]) == 0, capsys.readouterr().err
        found = {}
        for path in sorted(Path(folder).glob("*.[gpw]*")):
            with Image.open(path) as image:
                found[path.name] = f"{image.format} {getattr(image, 'n_frames', 1)}"
        return found

    assert made("plain") == {Path(own).name: f"{kind} 5", "still.png": "PNG 1"}
    assert made("auto", "--format", "auto") == {Path(own).name: f"{kind} 5", "still.webp": "WEBP 1"}
    assert made("png", "--format", "png") == {"film.png": "PNG 5", "still.png": "PNG 1"}
    for other in KINDS:
        assert run(["edit", "adjust", own, "-o", f"x.{other.lower()}"]) == 0
        with Image.open(f"x.{other.lower()}") as image:
            assert (image.format, image.n_frames) == (other, 5)
    page = Path("plain/sheet.html").read_text()
    assert page.count("<img") == 4


@each_kind
def test_redo_pipe_and_file_give_the_same_bytes(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source, out = Path(f"film.{kind.lower()}"), f"out.{kind.lower()}"
    source.write_bytes(encoded(kind, moving()))
    flags = ["--exposure", "0.5", "--steady", "0.6", "--box", "3,3,20,9", "--strength", "0.8"]
    assert run(["edit", "adjust", str(source), "-o", out, *flags]) == 0
    assert read_recipe(Path(out))["steady"] == 0.6
    assert run(["redo", out]) == 0
    settings = EditSettings(strength=0.8, steady=0.6)
    piped = edit_bytes(source.read_bytes(), source.name, [Adjust(exposure=0.5)], settings, area=Mask(box=(3, 3, 20, 9)))
    assert piped == Path(out).read_bytes() == Path(f"out-2.{kind.lower()}").read_bytes()


def test_what_is_done_stays_and_what_is_half_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.gif").write_bytes(encoded("GIF", moving()))
    words = ["edit", "adjust", str(tmp_path / "*.gif"), "-o", str(tmp_path / "out"), "--exposure", "1"]
    assert run(words) == 0
    whole = (tmp_path / "out/b.gif").read_bytes()
    (tmp_path / "out/b.gif").write_bytes(whole[:-300])
    assert run([*words, "--skip-existing"]) == 0
    told = capsys.readouterr().err
    assert "b.gif: " in told
    assert "1 of 2 results exist already" in told
    assert "other settings" not in told
    assert (tmp_path / "out/b.gif").read_bytes() == whole


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["film.gif", "-o", "x.jpg"], 2, "x.jpg: .jpg holds no animation; .gif, .png and .webp do"),
        (["film.gif", "-o", "x.png", "--format", "webp"], 2, "--format webp"),
        (["film.gif", "still.png", "-o", "out", "--format", "jpeg"], 7, "film.jpg: .jpg holds no animation"),
        (["film.gif", "-o", "x.gif", "--map"], 2, "--map does not work with animations"),
        (["film.gif", "-o", "x.gif", "--steady", "1"], 2, "--steady: should be less than 1"),
        (["still.png", "-o", "x.gif"], 2, "cannot save pictures as .gif"),
        (["film.gif", "still.png", "-o", "out", "--frames", "--steady", "0.5"], 7, "an animation cannot be a frame"),
    ],
)
def test_what_cannot_be_is_one_line(
    words: list[str], code: int, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("film.gif").write_bytes(encoded("GIF", moving()))
    save_image(Path("still.png"), moving()[0])
    assert run(["edit", "adjust", *words]) == code
    told = capsys.readouterr().err
    assert line in told
    assert "Traceback" not in told
    assert not list(tmp_path.glob("x.*"))
    assert len(list(tmp_path.glob("out/*.[gjp]*"))) == (1 + (code == 7) if code == 7 else 0)  # a picture, the manifest


@each_kind
def test_one_that_was_cut_off_is_refused_wherever(kind: str, tmp_path: Path) -> None:
    """In one line, before anything is made of it."""
    content = encoded(kind, moving(size=(3, 5), colours=2))
    for end in range(1, len(content) - (4 if kind == "PNG" else 0)):  # the check sum of IEND
        with pytest.raises(DataError) as caught:
            load_media(io.BytesIO(content[:end]), "film")
        assert str(caught.value).startswith("film: ")
        assert "\n" not in str(caught.value)
    (tmp_path / "film.gif").write_bytes(content[: len(content) * 2 // 3])
    assert run(["edit", "adjust", str(tmp_path / "film.gif"), "-o", str(tmp_path / "out")]) == 3
    assert not list(tmp_path.glob("out/*.gif"))


def test_an_animation_of_one_frame_is_a_picture(tmp_path: Path) -> None:
    for kind in KINDS:
        path = tmp_path / f"one.{kind.lower()}"
        path.write_bytes(encoded(kind, moving()[:1]))
        edit_files([path], [Adjust()], tmp_path / kind).check()
        assert load_picture(tmp_path / kind / "one.png").pixels.shape == (21, 34, 3)


def test_frames_of_other_depths_and_sizes_are_refused() -> None:
    deep = [np.full((4, 4, 1), value, np.uint16) for value in (9, 999)]
    with pytest.raises(DataError, match="a 16-bit animation"):
        read_animation(io.BytesIO(encoded("PNG", deep)))


def test_a_16_bit_animation_in_colour_is_refused_too() -> None:
    """As chunks by hand, because nothing here writes one: two frames of 2 x 1 pixels of 16 bits and three colours."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    row, place = zlib.compress(b"\0" + bytes(range(12))), struct.pack(">IIIIHHBB", 2, 1, 0, 0, 1, 10, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
    content += chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", struct.pack(">I", 0) + place)
    content += chunk(b"IDAT", row) + chunk(b"fcTL", struct.pack(">I", 1) + place)
    content += chunk(b"fdAT", struct.pack(">I", 2) + row) + chunk(b"IEND", b"")
    with pytest.raises(DataError, match="film: a 16-bit animation"):
        load_media(io.BytesIO(content), "film")


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_canvases_and_films_that_only_claim_to_be_large_are_refused_before_they_take_memory(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encoded(kind, moving(size=(8, 8)))

    def claimed(side: int) -> io.BytesIO:
        if kind == "GIF":
            return io.BytesIO(content[:6] + side.to_bytes(2, "little") * 2 + content[10:])
        return io.BytesIO(content[:24] + (side - 1).to_bytes(3, "little") * 2 + content[30:])

    monkeypatch.setattr(Image.Image, "load", None)  # nothing is decoded
    for read in (load_media, load_picture):
        with pytest.raises(DataError, match="8000 x 8000 pixels; at most 40 million a frame"):
            read(claimed(8000), "film")
    monkeypatch.setattr(room, "_FILM_CEILING", 100_000_000)
    with pytest.raises(DataError, match="film: 5 frames of 5000 x 5000 pixels; at most 0 billion"):
        load_media(claimed(5000), "film")
    monkeypatch.undo()
    monkeypatch.setattr(room, "PIXEL_CEILING", 1_000_000)
    monkeypatch.setattr(room, "_DENSEST", 100)
    with pytest.raises(DataError, match=r"5 frames of 800 x 800 pixels in [\d,]+ bytes; so small a file"):
        load_media(claimed(800), "film")
    monkeypatch.undo()
    monkeypatch.setattr(room, "memory_left", lambda: 10**8)
    with pytest.raises(MemoryLimitError, match="film: 3000 x 3000 pixels need about 225 MB to decode; 100 MB are free"):
        load_media(claimed(3000), "film")


def test_pages_of_a_tiff_are_edited_one_by_one_and_keep_their_sizes_and_depths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As tifffile reads them; `--steady` does not mix pages, and no other format takes them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    shapes = [((12, 9, 3), np.uint8), ((7, 8, 3), np.uint16), ((5, 6), np.uint8), ((6, 6), np.uint16)]
    pages = [rng.integers(0, np.iinfo(kind).max, shape, dtype=kind) for shape, kind in shapes]
    with tifffile.TiffWriter("in.tif") as file:
        for page in pages:
            file.write(page, photometric="rgb" if page.ndim == 3 else "minisblack", metadata=None)
    words = ["edit", "adjust", "in.tif", "--strength", "0", "--steady", "0.9", "-o"]
    assert run([*words, "out.tif"]) == 0
    assert run([*words, "folder"]) == 0
    for result in ("out.tif", "folder/in.tif"):
        with tifffile.TiffFile(result) as file:
            for page, one in zip(pages, file.pages, strict=True):
                assert one.dtype == page.dtype
                np.testing.assert_array_equal(one.asarray(), page)
    assert read_recipe(Path("out.tif"))["input"]["name"] == "in.tif"
    assert run(["redo", "out.tif"]) == 0
    assert Path("out-2.tif").read_bytes() == Path("out.tif").read_bytes()
    Path("film.gif").write_bytes(encoded("GIF", moving()))
    capsys.readouterr()
    for given, result in (("in.tif", "x.gif"), ("film.gif", "x.tif"), ("in.tif", "x.jpg")):
        assert run(["edit", "adjust", given, "-o", result]) == 2
        assert ".tif" in capsys.readouterr().err
    Path("in.tif").write_bytes(Path("in.tif").read_bytes()[:-40])
    assert run(["edit", "adjust", "in.tif", "-o", "y.tif"]) == 3
    assert not [*Path().glob("[xy].*")]


def folder_of(frames: Sequence[np.ndarray], folder: Path) -> Path:
    for number, frame in enumerate(frames):
        save_image(folder / f"{8 + number}.png", frame)
    return folder


def test_a_folder_of_frames_is_a_film_in_the_order_of_its_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It becomes what an animation of the same frames does, goes on where it stopped, and says what follows what."""
    frames = moving(colours=52)
    (tmp_path / "film.png").write_bytes(encoded("PNG", frames))
    settings = EditSettings(steady=0.7, frames=True)
    chain = [Adjust(exposure=0.5, balance="grey-world")]
    edit_files([folder_of(frames, tmp_path / "frames")], chain, tmp_path / "out", settings).check()
    edit_files([tmp_path / "film.png"], chain, tmp_path / "film-out.png", EditSettings(steady=0.7)).check()
    results = [tmp_path / f"out/{number}.png" for number in range(8, 13)]
    np.testing.assert_array_equal([load_picture(path).pixels for path in results], pixels(tmp_path / "film-out.png"))
    places = [entry["output"] for entry in json.loads((tmp_path / "out/manifest.json").read_text())["pictures"]]
    assert places == ["8.png", "9.png", "10.png", "11.png", "12.png"]
    follows = [read_recipe(path)["follows"] for path in results]
    assert follows[0] is None
    assert [stamp["name"] for stamp in follows[1:]] == places[:-1]
    assert run(["redo", str(results[2]), "--on", str(tmp_path / "frames/10.png")]) == 3
    assert "a frame of a film, made after 9.png" in capsys.readouterr().err

    before = [load_picture(path).pixels.astype(int) for path in results]
    for path in results[2:]:
        path.unlink()
    going = EditSettings(steady=0.7, frames=True, skip_existing=True)
    edit_files([tmp_path / "frames"], chain, tmp_path / "out", going).check()
    assert "other settings" not in capsys.readouterr().err
    for path, pixels_before in zip(results, before, strict=True):
        assert np.abs(load_picture(path).pixels - pixels_before).max() <= 3
