"""One definition of an edit: flags, text and Python give the same bytes, for every edit in the table."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_edits import CASES, PHOTO, edit_of

import pinxit
from pinxit.actions import variants
from pinxit.cli import run
from pinxit.commands import fields
from pinxit.edits import EDITS
from pinxit.edits.mask import Mask
from pinxit.images import load_picture
from pinxit.jobs.batch import edit_files
from pinxit.jobs.settings import EditSettings
from pinxit.settings import chain_text

each_edit = pytest.mark.parametrize("name", EDITS)


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def words(name: str, value: object) -> list[str]:
    """A setting on the command line."""
    if isinstance(value, bool):
        return [flag(name if value else f"no_{name}")]
    return [flag(name), str(value)]


@each_edit
def test_flags_text_and_python_give_the_same_bytes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PHOTO).save("photo.png")
    mask = np.zeros(PHOTO.shape[:2], np.uint8)
    mask[10:20, 10:30] = 255
    Image.fromarray(mask).save("mask.png")
    flags = [word for key, value in CASES.get(name, {}).items() for word in words(key, value)]
    where = ["--mask", "mask.png", "--feather", "2", "--strength", "0.7"]

    assert run(["edit", name, "photo.png", "-o", "flags.png", *flags, *where]) == 0
    assert run(["edit", chain_text([edit_of(name)], EDITS), "photo.png", "-o", "text.png", *where]) == 0
    assert run(["edit", name, "photo.png", "-o", "folder", *flags, *where]) == 0
    area, drawn, settings = Mask(feather=2), Path("mask.png"), EditSettings(strength=0.7)
    edit_files(["photo.png"], [edit_of(name)], Path("python.png"), settings, area=area, mask=drawn).check()
    results = {Path(path).read_bytes() for path in ("flags.png", "text.png", "folder/photo.png", "python.png")}
    assert len(results) == 1
    alone = pinxit.edit("photo.png", edit_of(name), mask=drawn, area=area, strength=0.7)
    np.testing.assert_array_equal(load_picture(Path("flags.png")).pixels, alone.pixels)
    for value in CASES.get(name, {}).values():
        if isinstance(value, Path):  # redo also looks for a model here
            shutil.copy(value, tmp_path)
    assert run(["redo", "flags.png"]) == 0
    assert Path("flags-2.png").read_bytes() in results


@pytest.mark.parametrize("name", [*variants("edit"), *variants("train")])
def test_no_two_settings_have_the_same_flag(name: str) -> None:
    flags = [flag for asked in fields(variants(name.partition(" ")[0])[name]) for flag in asked.flags]
    assert len(flags) == len(set(flags))
