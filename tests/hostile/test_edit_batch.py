"""Batches in which something goes wrong: the other results are whole and made once, and each failure has one line."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from conftest import png_16
from pinxit import images
from pinxit.cli import run
from pinxit.edits import EDITS
from pinxit.edits.adjust import Adjust
from pinxit.edits.bound import Bound, Local
from pinxit.edits.restore import Restored
from pinxit.edits.runners import Inputs, Runner
from pinxit.edits.settings import Edit
from pinxit.errors import DataError, DiskError, UsageError
from pinxit.files import sha256, whole_file
from pinxit.images import load_picture, read_recipe, save_image, save_picture
from pinxit.jobs import chain, sheet
from pinxit.jobs.batch import edit_files
from pinxit.jobs.chain import LoadedChain
from pinxit.jobs.recipe import FileStamp
from pinxit.jobs.settings import EditSettings
from pinxit.settings import chain_document, parse_chain

GOOD, FOLDERS = 190, ("", "a", "a/b", "c d", "größe 猫")
SUFFIXES = (".png", ".jpg", ".JPG", ".webp", ".Png", ".tif", ".bmp")


def bomb() -> bytes:
    """A PNG of 30,000 x 30,000 pixels in a few bytes."""
    small = bytearray(png_16(np.zeros((1, 1, 1), np.uint16)))
    small[16:24] = (30_000).to_bytes(4, "big") * 2
    small[29:33] = zlib.crc32(small[12:29]).to_bytes(4, "big")
    return bytes(small)


def tree(folder: Path, good: int = GOOD) -> dict[str, str]:
    """Write good pictures and 10 bad ones; return the bad ones' places with a part of the error."""
    rng = np.random.default_rng(0)
    for number in range(good):
        path = folder / FOLDERS[number % len(FOLDERS)] / f"{number:03d}{SUFFIXES[number % len(SUFFIXES)]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (6, 9, 3), np.uint8)).save(path)
    Image.fromarray(rng.integers(0, 256, (60, 60, 3), np.uint8)).save(folder / "whole.jpg")
    content = (folder / "whole.jpg").read_bytes()
    (folder / "whole.jpg").unlink()
    (folder / "cut.jpg").write_bytes(content[: len(content) // 2])
    (folder / "a/cut.png").write_bytes((folder / "000.png").read_bytes()[:-40])
    (folder / "a/b/empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no picture")
    (folder / "page.jpg").write_text("<html>")
    (folder / "bomb.png").write_bytes(bomb())
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "dangling.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "fifo.png")
    (folder / "two\nlines\x1b[31m.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(30))
    (folder / "folder.png").mkdir()  # a folder, not a picture
    return {
        "cut.jpg": "cut off", "a/cut.png": "", "a/b/empty.png": "empty", "text.png": "not a picture",
        "page.jpg": "not a picture", "bomb.png": "million", "loop.png": "symbolic links",
        "dangling.png": "No such file", "fifo.png": "not a file", r"two\nlines\x1b[31m.png": "",
    }  # fmt: skip


def place(path: Path, folder: Path) -> Path:
    return path.relative_to(folder).with_suffix("")


def test_of_200_pictures_10_are_bad_and_190_are_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    bad = tree(folder)
    assert run(["edit", "adjust", str(folder), "-r", "-o", str(out), "--exposure", "0.5"]) == 7

    *told, last = capsys.readouterr().err.splitlines()
    assert last == "pinxit: 10 of 200 pictures failed, the others are done"
    for name, reason in bad.items():
        (line,) = [line for line in told if line.startswith(f"{folder}/{name}: ")]
        assert reason in line
    assert sum(line.startswith(str(folder)) for line in told) == len(bad)

    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["finished"]
    assert len(manifest["pictures"]) == 200
    done = {entry["output"]: entry for entry in manifest["pictures"] if entry["error"] is None}
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert written == {*done, "manifest.json", "sheet.html"}
    assert {Path(name).with_suffix("").as_posix() for name in done} == {
        place(path, folder).as_posix() for path in folder.rglob("[0-9]*.*")
    }
    for name, entry in done.items():
        assert name.endswith(".png")
        assert entry["sha256"] == sha256(out / name)
        assert entry["recipe"]["input"]["sha256"] == sha256(Path(entry["input"]))
        assert entry["seconds"] >= 0
    page = (out / "sheet.html").read_text()
    assert page.count("<img") == 2 * GOOD
    assert "190 of 200 pictures edited" in page
    assert page.count("<li>") == 10
    assert "\x1b" not in page

    times = {name: (out / name).stat().st_mtime_ns for name in done}
    (out / sorted(done)[3]).unlink()
    again = sorted(done)[5]
    (out / again).write_bytes((out / again).read_bytes()[:-30])
    assert run(["edit", "adjust", str(folder), "-r", "-o", str(out), "--exposure", "0.5", "--skip-existing"]) == 7
    new = {name for name in done if (out / name).stat().st_mtime_ns != times[name]}
    assert new == {sorted(done)[3], again}
    told = capsys.readouterr().err
    assert "188 of 200 results exist already" in told
    assert "other settings" not in told
    assert all(sha256(out / name) == entry["sha256"] for name, entry in done.items())
    later = json.loads((out / "manifest.json").read_text())
    assert [entry | {"seconds": 0} for entry in later["pictures"] if entry["output"]] == [
        entry | {"seconds": 0} for entry in done.values()
    ]


# A batch that writes slowly, says when it writes, and waits to be killed after so many pictures.
DRIVER = """
import itertools, os, sys, time
import pinxit.images.write
from pinxit import cli, images
from pinxit.jobs import batch

write, fsync = images.write.write_picture, os.fsync
numbers, last = itertools.count(1), int(sys.argv.pop(1))

def slow_write(*arguments):
    if next(numbers) > last:
        time.sleep(3600)
    print("writing", flush=True)
    write(*arguments)
    time.sleep(0.005)

def slow_fsync(descriptor):
    time.sleep(0.002)
    fsync(descriptor)

images.write.write_picture, os.fsync = slow_write, slow_fsync
print("started", flush=True)
sys.exit(cli.run(sys.argv[1:]))
"""


def killed(words: list[str], pictures: int) -> int:
    """Run a batch, kill it while it writes picture number `pictures`, and return its exit code."""
    process = subprocess.Popen([sys.executable, "-c", DRIVER, str(pictures), *words], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        pictures -= line == "writing\n"
        if pictures == 0:
            time.sleep(0.003)
            process.kill()
            break
    process.communicate(timeout=120)
    return process.returncode


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256(path) for path in folder.rglob("*.png")}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for number in range(30):
        path = folder / str(number % 3) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return folder


@pytest.mark.alone
def test_killed_and_started_again_it_finishes_without_redoing(tmp_path: Path) -> None:
    rng = random.Random(3)
    folder, out, undisturbed = tmp_path / "in", tmp_path / "out", tmp_path / "undisturbed"
    bad = tree(folder, good=80)
    edit_files([str(folder)], [Adjust(exposure=1)], undisturbed, recursive=True)
    words = ["edit", "adjust", "--exposure", "1", str(folder), "-r", "-o", str(out), "--skip-existing"]

    def results() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in out.rglob("[0-9]*.png")}

    for _ in range(2):
        before = results()
        assert killed(words, rng.randint(3, 40)) == -signal.SIGKILL
        assert before.items() <= results().items(), "a whole result was made again"
        assert len(results()) > len(before)
        for path in results():
            load_picture(path)
        assert not json.loads((out / "manifest.json").read_text())["finished"]
    before = results()
    assert run(words) == 7
    assert before.items() <= results().items()
    assert contents(out) == contents(undisturbed)
    assert len(contents(out)) == 80
    assert not list(out.rglob(".*"))
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["finished"]
    assert sum(entry["error"] is not None for entry in manifest["pictures"]) == len(bad)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["edit_picture", "save_picture"])
def test_a_polite_stop_leaves_nothing_half_and_says_how_to_go_on(
    number: int, moment: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out, work, count = tmp_path / "out", getattr(chain, moment), iter(range(100))

    def interrupted(*arguments: object, **named: object) -> object:
        if next(count) == 7:
            signal.raise_signal(number)
        return work(*arguments, **named)

    monkeypatch.setattr(chain, moment, interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process ignores it
    try:
        assert run(["edit", "adjust", str(pictures), "-r", "-o", str(out)]) == 128 + number
    finally:
        signal.signal(signal.SIGINT, before)
    errors = capsys.readouterr().err
    assert "stopped; 7 of 30 pictures are done; --skip-existing continues with the rest" in errors
    assert "Traceback" not in errors
    assert len(contents(out)) == 7
    assert not list(out.rglob(".*"))
    manifest = json.loads((out / "manifest.json").read_text())
    assert (len(manifest["pictures"]), manifest["finished"]) == (7, False)
    assert "7 of 7 pictures edited" in (out / "sheet.html").read_text()


def test_a_full_disk_stops_the_batch_and_what_is_done_is_whole(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write, out, count = images.write.write_picture, tmp_path / "out", iter(range(100))

    def full(file: object, *arguments: object) -> None:
        file.write(b"half")
        if next(count) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        file.seek(0)
        write(file, *arguments)

    monkeypatch.setattr(images.write, "write_picture", full)
    words = ["edit", "adjust", str(pictures), "-r", "-o", str(out)]
    assert run(words) == 6
    told = capsys.readouterr().err
    assert "the disk is full" in told.splitlines()[-1]
    assert "; 4 of 30 pictures are done; --skip-existing continues with the rest" in told.splitlines()[-1]
    assert len(contents(out)) == 4
    assert not list(out.rglob(".*"))
    assert not json.loads((out / "manifest.json").read_text())["finished"]
    monkeypatch.setattr(images.write, "write_picture", write)
    assert run([*words, "--skip-existing"]) == 0
    assert len(contents(out)) == 30


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder in which no one may write is needed")
@pytest.mark.parametrize("out", ["/proc/pinxit", "/proc/self/x.png"])
def test_an_out_that_cannot_be_written_is_one_line(
    out: str, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["edit", "adjust", str(pictures / "0/0.png"), "-o", out]) == 6
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("pinxit: cannot write /proc/")
    assert run(["edit", "adjust", str(pictures / "0/0.png"), "-o", str(pictures / "0/3.png" / "sub")]) == 6


class Fragile(Edit):
    """An edit that breaks on dark pictures, and gives pixels that are not finite for bright ones."""

    def bind(self, device: str = "cpu", memory: int | None = None) -> Bound:
        def break_(image):
            if image.mean() < 0.1:
                raise KeyError("dark")
            return image * (float("nan") if image.mean() > 0.9 else 1)

        return Local(break_)


def test_an_edit_that_breaks_on_one_picture_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(EDITS, "fragile", Fragile)
    for value in (0, 128, 129, 255):
        Image.new("RGB", (8, 8), (value,) * 3).save(tmp_path / f"{value}.png")
    assert run(["edit", "fragile", str(tmp_path / "*.png"), "-o", str(tmp_path / "out")]) == 7
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"128.png", "129.png"}
    told = capsys.readouterr().err
    assert "0.png: our fault: KeyError: 'dark'" in told
    assert told.splitlines()[-1] == "pinxit: 2 of 4 pictures failed, the others are done"
    assert run(["edit", "fragile", str(tmp_path / "0.png"), "-o", str(tmp_path / "alone.png")]) == 1
    assert not (tmp_path / "alone.png").exists()


@pytest.mark.parametrize(("count", "code"), [(1, 3), (2, 3)])
def test_bad_pictures_only_are_exit_3(
    count: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(count):
        (tmp_path / f"{number}.png").write_text("no")
    assert run(["edit", "adjust", str(tmp_path), "-o", str(tmp_path / "out")]) == code
    assert run(["edit", "adjust", str(tmp_path / "0.png"), "-o", str(tmp_path / "x.png")]) == code
    assert "Traceback" not in capsys.readouterr().err
    with pytest.raises(DataError):
        edit_files([str(tmp_path / "0.png")], [Adjust()], tmp_path / "x.png").check()


@pytest.mark.parametrize(
    "name",
    ["with space.png", "größe 猫.png", "-leading.png", "--out.png", "two\nlines.png", "tab\t\x1b[31m.png",
     "quote'\".png", "percent%20.png", "star*[x].png", "UPPER.PNG", "a" * 225 + ".png",
     os.fsdecode(b"not\xffutf8.png")],
    ids=ascii,
)  # fmt: skip
def test_any_name_a_disk_takes_is_edited(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (4, 4), (90, 90, 90)).save("x.png")
    Path("x.png").rename(name)
    assert run(["edit", "adjust", name, "-o", "alone"]) == 0
    assert run(["edit", "adjust", ".", "-o", "all"]) == 0
    for folder in (Path("alone"), Path("all")):
        (result,) = folder.glob("*.png")
        assert result.name == str(Path(name).with_suffix(".png"))
        json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        (folder / "sheet.html").read_text(encoding="utf-8")
    assert run(["edit", "adjust", ".", "-o", "all", "--skip-existing"]) == 0
    assert "1 of 1 results exist already" in capsys.readouterr().err


def test_a_name_too_long_for_its_result_fails_alone(pictures: Path, tmp_path: Path) -> None:
    (pictures / "0/0.png").rename(pictures / f"0/{'n' * 251}.png")
    edited = edit_files([str(pictures)], [Adjust()], tmp_path / "out", EditSettings(format="webp"), recursive=True)
    (failure,) = edited.failures
    assert isinstance(failure, DiskError)
    assert len(list((tmp_path / "out").rglob("*.webp"))) == 29


def test_the_longest_names_are_written(pictures: Path, tmp_path: Path) -> None:
    names = [f"{'n' * 251}.png", f"{'日本' * 41}.png"]
    for name in names:
        shutil.copy(pictures / "0/0.png", pictures / f"0/{name}")
    assert not edit_files([str(pictures / "0")], [Adjust()], tmp_path / "out").failures
    assert {*names} < {path.name for path in (tmp_path / "out").iterdir()}


def test_what_killed_writers_left_is_swept_and_nothing_else(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    temporary = {}
    for name in ("0.png", "7.png"):
        with whole_file(out / name) as path:
            path.touch()
            temporary[name] = path
        (out / name).unlink()
    left, others = temporary["0.png"], [temporary["7.png"], out / ".0.png.tmp", out / ".notes"]
    for path in (left, *others):
        path.touch()
    edit_files([str(pictures / "0/0.png")], [Adjust()], out)
    assert not left.exists()
    assert all(path.exists() for path in others)


def test_results_of_another_request_are_left_and_told(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    edit_files([str(pictures / "0")], [Adjust()], out)
    before = contents(out)
    edit_files([str(pictures / "0")], [Adjust(exposure=1)], out, EditSettings(skip_existing=True))
    assert contents(out) == before
    assert "10 of them were made from other pictures or with other settings; -y" in capsys.readouterr().err


def test_a_result_without_its_sidecar_is_not_done(pictures: Path, tmp_path: Path) -> None:
    one, out = [str(pictures / "0/0.png")], tmp_path / "x.png"
    edit_files(one, [Adjust()], out)
    edit_files(one, [Adjust()], out, EditSettings(skip_existing=True, sidecar=True))
    assert json.loads((tmp_path / "x.png.json").read_text()) == read_recipe(out)
    out.unlink()
    with pytest.raises(UsageError, match="exists; -y"):
        edit_files(one, [Adjust()], out, EditSettings(sidecar=True))


def test_a_mask_that_is_a_pipe_is_refused_and_waited_for_by_no_one(pictures: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mask.png")
    with pytest.raises(DataError, match=r"mask\.png: not a file"):
        edit_files([pictures / "0/0.png"], [Adjust()], tmp_path / "x.png", mask=tmp_path / "mask.png")
    with pytest.raises(DataError, match=r"none\.png: cannot be read"):
        edit_files([pictures], [Adjust()], tmp_path / "out", mask=tmp_path / "none.png", recursive=True)
    assert not (tmp_path / "out").exists()


def test_a_sheet_of_very_many_shows_some_of_them(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet, "PAIRS_SHOWN", 8)
    edit_files([pictures], [Adjust()], tmp_path / "out", recursive=True)
    page = (tmp_path / "out/sheet.html").read_text()
    assert page.count("<img") == 2 * 8
    assert "Shown are 8 of them." in page
    edit_files([pictures], [Adjust()], tmp_path / "out", EditSettings(skip_existing=True), recursive=True)
    assert (tmp_path / "out/sheet.html").read_text() == page


def test_a_failure_counts_among_its_own_batch(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert run(["edit", "adjust", str(pictures / "0"), "-o", out]) == 0
    assert run(["edit", "adjust", str(tmp_path / "missing.png"), "-o", out]) == 3
    assert "missing.png: cannot be read" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "out/manifest.json").read_text())["pictures"]) == 11


def test_a_folder_inside_its_own_out_does_not_grow(pictures: Path) -> None:
    words = ["edit", "adjust", str(pictures), "-r", "-o", str(pictures / "out")]
    assert run(words) == 0
    assert run([*words, "--skip-existing"]) == 0
    assert len(contents(pictures / "out")) == 30


def test_from_a_thread_a_batch_runs_and_no_signal_is_touched(pictures: Path, tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(edit_files, [str(pictures / "1")], [Adjust()], tmp_path / "out").result().check()
    assert len(contents(tmp_path / "out")) == 10
    edit_files([str(pictures / "2")], [Adjust()], tmp_path / "other").check()
    assert signal.getsignal(signal.SIGTERM) is handler


def test_results_that_their_masks_leave_as_they_are_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(5):
        save_image(tmp_path / "in" / f"{number}.png", np.full((6, 7, 3), 100, np.uint8))
        save_image(tmp_path / "masks" / f"{number}.png", np.full((6, 7, 1), number % 2, np.uint8))
    words = ["edit", "adjust", str(tmp_path / "in"), "--mask", str(tmp_path / "masks"), "-o", str(tmp_path / "out")]
    assert run([*words, "--exposure", "1"]) == 0
    told = capsys.readouterr().err.splitlines()
    empty = [f"{number}.png: the mask selects no pixel, so the edit applies nowhere" for number in (0, 2, 4)]
    assert [line for line in told if "selects no pixel" in line] == empty
    assert sum("read with 1, its largest value, as white" in line for line in told) == 1
    assert "3 of 5 results are unchanged: no pixel is in their mask" in told


def test_an_unknown_error_names_the_picture_and_a_network_of_nothing_its_file(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Nothing(Runner):
        name, radius, value = "model.safetensors", 0, float("nan")

        def rows(self, images: Tensor, inputs: Inputs) -> Tensor:
            return images * self.value

    one = pictures / "0/0.png"
    monkeypatch.setattr(Adjust, "bind", lambda *_: Restored(Nothing()))
    for value in (float("nan"), float("inf")):
        monkeypatch.setattr(Nothing, "value", value)
        assert run(["edit", "adjust", str(one), "-o", str(tmp_path / "x.png")]) == 3
        assert "model.safetensors: gives values that are not finite" in capsys.readouterr().err

    def odd(*_: object) -> Bound:
        raise AssertionError("odd")

    monkeypatch.setattr(Nothing, "rows", odd)
    assert run(["edit", "adjust", str(one), "-o", str(tmp_path / "x.png")]) == 1
    assert f"{one}: our fault: AssertionError: odd" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_a_recipe_of_a_stranger_is_carried_out_only_within_limits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small, made = tmp_path / "small.png", tmp_path / "made.png"
    save_image(small, np.full((8, 9, 3), 90, np.uint8))
    cases = {
        "denoise-zero-shot(steps=90000)": "steps=90000, over 5000; if you trust it, add --trust",
        "outpaint(pixels=9000)": "makes 18009 x 18008 pixels, far more than it has; if you trust it, add --trust",
    }
    loaded = LoadedChain([Adjust()], EditSettings(device="cpu"))
    usual = loaded.recipe(FileStamp.of(small), PurePosixPath("small.png"), "PNG")
    for text, line in cases.items():
        (step,) = parse_chain(text, EDITS, "edit")
        asked = {"edit": chain_document([step], EDITS), "weights": dict(step.bind().weights)}
        save_picture(made, load_picture(small), usual | asked)
        assert run(["redo", str(made), "-o", str(tmp_path / "x.png")]) == 2
        assert line in capsys.readouterr().err


@pytest.mark.parametrize("value", ["25", "1.5"])
def test_a_noise_level_in_grey_levels_is_refused_with_its_unit(
    value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("denoise", "denoise-dct"):
        assert run(["edit", name, "a.png", "-o", str(tmp_path / "b.png"), "--sigma", value]) == 2
        assert "in units of the image range, 0 to 1" in capsys.readouterr().err


def test_a_manifest_that_is_not_ours_is_refused_at_once_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_image(tmp_path / "in/a.png", np.full((6, 7, 3), 100, np.uint8))
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text('{"made_by": "pinxit", "pictures": []}')
    places: dict[str, tuple[Callable[[Path], object], str]] = {
        "pipe": (os.mkfifo, "not a regular file"),
        "link": (lambda path: path.symlink_to(elsewhere), "a symbolic link"),
        "folder": (Path.mkdir, "manifest.json"),
        "deep": (lambda path: path.write_text("[" * 100_000), "nested too deeply"),
        "number": (lambda path: path.write_text('{"made_by": "pinxit", "pictures": 1e999}'), "not a finite number"),
        "entry": (lambda path: path.write_text('{"made_by": "pinxit", "pictures": [7]}'), "entry 0 is not an object"),
        "field": (
            lambda path: path.write_text('{"made_by": "pinxit", "pictures": [{"output": 5}]}'),
            "entry 0 has no usable output",
        ),
        "another": (lambda path: path.write_text('{"made_by": "somebody", "pictures": []}'), "is not from pinxit"),
    }
    for name, (make, line) in places.items():
        out = tmp_path / name
        out.mkdir()
        make(out / "manifest.json")
        assert run(["edit", "adjust", str(tmp_path / "in"), "-o", str(out), "-y"]) == 2, name
        assert line in capsys.readouterr().err, name
        assert [path.name for path in out.iterdir()] == ["manifest.json"]
    assert json.loads(elsewhere.read_text())["pictures"] == []
