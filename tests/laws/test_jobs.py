"""Laws of batches: plans and manifests, the memory of a film of files, pages, and the files that a recipe names."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from skimage import data
from test_edits import edit_of

from pinxit.cli import run
from pinxit.edits import EDITS
from pinxit.edits.adjust import Adjust
from pinxit.edits.engine import edit_picture
from pinxit.edits.settings import Edit
from pinxit.errors import DataError, DiskError, UsageError, UserError
from pinxit.images import Picture, load_picture, save_image
from pinxit.jobs import batch
from pinxit.jobs.batch import Edited, Manifest, edit_files, read_manifest
from pinxit.jobs.film import Deflicker, FrameFiles
from pinxit.jobs.listing import Found, Job, losses, plan, refuse_to_overwrite
from pinxit.jobs.recipe import FileStamp, with_base_names, with_files
from pinxit.jobs.results import FIELDS
from pinxit.jobs.settings import EditSettings
from pinxit.jobs.sheet import ContactSheet, proofs

PHOTO = data.astronaut()[:24, :36]
GREY_WORLD = Adjust(exposure=0.4, balance="grey-world")


def jobs(count: int, folder: Path = Path("out")) -> list[Job]:
    return [Job(Path(f"in/{n}.jpg"), PurePosixPath(f"{n}.jpg"), folder / f"{n}.png") for n in range(count)]


def frames(count: int) -> list[np.ndarray]:
    """A photograph with a little noise, whose left half becomes brighter."""
    rng = np.random.default_rng(0)
    made = [PHOTO + rng.normal(0, 2, PHOTO.shape) for _ in range(count)]
    for number, frame in enumerate(made):
        frame[:, :18] += 12 * number
    return [frame.clip(0, 255).astype(np.uint8) for frame in made]


@pytest.mark.parametrize("name", EDITS)
def test_the_command_under_a_proof_makes_that_edit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def remember(
        words: Sequence[str], chain: Sequence[Edit], out: Path, settings: EditSettings, **others: object
    ) -> Edited:
        asked.append((*words, *chain, settings.strength, out))
        return Edited({}, 1, ())

    monkeypatch.setattr(batch, "edit_files", remember)
    source = tmp_path / "a photo's.png"
    rows = proofs(edit_of(name))
    for row in rows:
        for proof in row:
            program, *words = shlex.split(proof.command(source))
            assert program == "pinxit"
            assert run(words) == 0
            assert asked.pop() == (str(source), proof.edit, proof.strength, Path(f"a photo's-{name}.png"))
    assert len({proof for row in rows for proof in row}) == sum(map(len, rows))


def test_a_film_goes_on_after_a_frame_that_failed(tmp_path: Path) -> None:
    """The frames around it become what they become without it."""
    made = frames(5)
    for name, numbers in {"whole": (0, 1, 3, 4), "broken": (0, 1, 2, 3, 4)}.items():
        for number in numbers:
            save_image(tmp_path / name / f"{number}.png", made[number])
    (tmp_path / "broken/2.png").write_bytes(b"")
    settings = EditSettings(steady=0.8, frames=True)
    edit_files([tmp_path / "whole"], [GREY_WORLD], tmp_path / "whole-out", settings).check()
    edited = edit_files([tmp_path / "broken"], [GREY_WORLD], tmp_path / "broken-out", settings)
    assert [type(failure) for failure in edited.failures] == [DataError]
    for number in (0, 1, 3, 4):
        one, other = (load_picture(tmp_path / f"{name}-out/{number}.png") for name in ("whole", "broken"))
        np.testing.assert_array_equal(one.pixels, other.pixels)
    assert (one.pixels != edit_picture(Picture(made[4]), [GREY_WORLD]).pixels).any()


def test_the_memory_of_a_film_of_files_starts_again_only_if_another_process_made_the_frame_before(
    tmp_path: Path,
) -> None:
    first, second, third = (tmp_path / f"{number}.png" for number in range(3))
    for path, frame in zip((first, second), frames(2), strict=True):
        save_image(path, frame)
        save_image(path.with_suffix(".out.png"), frame // 2)
    before = [(path, path.with_suffix(".out.png")) for path in (first, second)]

    film = FrameFiles(0.5)
    memory = film.memory_for(first, None)
    assert film.memory_for(second, before[0]) is memory
    assert film.memory_for(third, None) is memory
    assert memory.means is None

    resumed = FrameFiles(0.5).memory_for(third, before[1])
    expected = Deflicker(0.5)
    expected.smooth(*map(load_picture, before[1]))
    for mean, other in zip(resumed.means, expected.means, strict=True):
        np.testing.assert_array_equal(mean, other)


def test_a_manifest_is_in_the_order_of_the_jobs_and_keeps_other_results(tmp_path: Path) -> None:
    planned = jobs(3, tmp_path)
    for job in planned:
        job.out.write_bytes(b"result")
    earlier = [{**dict.fromkeys(FIELDS), "output": name} for name in ("old.png", "1.png", None)]
    manifest = Manifest(tmp_path, planned, "adjust()", earlier)
    manifest.add(planned[2], {"a": 1}, 0.5)
    assert manifest.remaining() == planned[:2]
    assert not manifest.document()["finished"]
    assert manifest.add_failure(planned[0], DataError("empty\nfile")) == r"in/0.jpg: empty\nfile"
    assert manifest.add_failure(planned[0], DataError("in/0.jpg: empty")) == "in/0.jpg: empty"
    manifest.add(planned[1], None)
    document = manifest.document()
    assert document["finished"]
    assert [entry["output"] for entry in document["pictures"]] == ["old.png", None, "1.png", "2.png"]
    assert manifest.progress().startswith("2 of 3 pictures are done")
    manifest.write()
    assert read_manifest(tmp_path) == document["pictures"]


@pytest.mark.parametrize(("count", "shown"), [(1, 1), (500, 500), (501, 251), (1500, 500)])
def test_a_sheet_shows_a_regular_selection(count: int, shown: int) -> None:
    planned = jobs(count)
    sheet = ContactSheet(Path("out"), planned)
    chosen = [number for number, job in enumerate(planned) if sheet.shows(job)]
    assert len(chosen) == shown
    assert len(set(np.diff(chosen))) <= 1
    assert not any(ContactSheet(None, planned).shows(job) for job in planned)


def test_frames_are_planned_in_the_order_of_their_numbers_and_know_the_one_before() -> None:
    found = [Found(Path(name), PurePosixPath(name)) for name in ("10.png", "a/2.png", "9.png", "a/10.png")]
    planned = plan(found, Path("out"), Path("out"), EditSettings(frames=True))
    assert [str(job.path) for job in planned] == ["9.png", "10.png", "a/2.png", "a/10.png"]
    assert [job.previous for job in planned] == [None, *planned[:-1]]
    assert not any(job.previous for job in plan(found, Path("out"), Path("out"), EditSettings()))


def test_what_a_format_loses_is_said() -> None:
    settings = EditSettings(format="auto")
    found = [Found(Path(name), PurePosixPath(name)) for name in ("a.jpg", "b.webp", "c.png")]
    assert losses(plan(found[2:], Path("out"), Path("out"), settings), settings) == []
    phone = [Found(Path(name), PurePosixPath(name)) for name in ("d.heic", "e.bmp", "f.png")]
    said = losses(plan(phone, Path("out"), Path("out"), settings), settings)
    assert said == ["results of .bmp and .heic are PNG: pinxit does not write their own format"]
    (remark,) = losses(plan(found, Path("out"), Path("out"), settings))
    assert remark.startswith("results in JPEG and WEBP are compressed")


def test_a_map_or_sidecar_that_exists_is_not_replaced(tmp_path: Path) -> None:
    planned = jobs(2, tmp_path)
    (tmp_path / "1.png.map.png").touch()
    refuse_to_overwrite(planned, [], tmp_path, EditSettings(sidecar=True))
    refuse_to_overwrite(planned, [], tmp_path, EditSettings(map=True, skip_existing=True))
    with pytest.raises(UsageError, match=r"1 results exist, the first is .*1\.png; -y"):
        refuse_to_overwrite(planned, [], tmp_path, EditSettings(map=True))


def test_a_file_is_found_by_name_and_content(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder, content in zip(folders, (b"one", b"two", b"two"), strict=True):
        folder.mkdir()
        (folder / "x").write_bytes(content)
    stamp = FileStamp.of(folders[2] / "x")
    assert stamp.find(folders, "the mask") == folders[1] / "x"
    with pytest.raises(DataError, match="is not the mask: it has that name, but another content"):
        stamp.find(folders[:1], "the mask")
    with pytest.raises(DataError, match="x: the mask is not in "):
        stamp.find([tmp_path], "the mask")


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_with_base_names_is_the_same_edit_again_with_its_files(name: str) -> None:
    edit = edit_of(name)
    (bare,), stamps = with_base_names([edit])
    paths = {value.name: value for value in _files(edit)}
    assert {stamp.name for stamp in stamps} == set(paths)
    assert all(path == Path(path.name) for path in _files(bare))
    again = with_files(bare, lambda path: paths[str(path)])
    assert again == edit
    assert again.model_fields_set == edit.model_fields_set


def _files(edit: Edit) -> list[Path]:
    values = [getattr(edit, name) for name in type(edit).model_fields]
    return [
        one for value in values for one in (value if isinstance(value, tuple) else [value]) if isinstance(one, Path)
    ]


def test_two_masks_of_one_picture_are_refused_and_one_with_its_whole_name_wins(tmp_path: Path) -> None:
    save_image(tmp_path / "in/cat.jpg", PHOTO)
    for name in ("cat.png", "cat.webp"):
        save_image(tmp_path / "masks" / name, np.zeros_like(PHOTO[..., :1]))
    edited = edit_files([tmp_path / "in"], [GREY_WORLD], tmp_path / "out", mask=tmp_path / "masks")
    with pytest.raises(DataError, match=r"cat\.jpg: .*masks has 2 masks named cat\.\*"):
        edited.check()
    save_image(tmp_path / "masks/cat.jpg.png", np.full_like(PHOTO[..., :1], 255))
    edit_files([tmp_path / "in"], [GREY_WORLD], tmp_path / "out", mask=tmp_path / "masks").check()
    assert (load_picture(tmp_path / "out/cat.png").pixels != load_picture(tmp_path / "in/cat.jpg").pixels).any()


@pytest.mark.parametrize(
    ("asked", "failures", "code"),
    [
        (1, [UsageError("x")], 2), (2, [UsageError("x"), UsageError("y")], 2),
        (2, [UsageError("x"), DiskError("y")], 3), (2, [DiskError("x")], 7), (2, [DiskError("x"), DiskError("y")], 6),
    ],
)  # fmt: skip
def test_the_exit_code_tells_whether_all_failed_and_why(asked: int, failures: list[UserError], code: int) -> None:
    Edited({}, asked, ()).check()
    with pytest.raises(UserError) as caught:
        Edited({}, asked, tuple(failures)).check()
    assert caught.value.exit_code == code
    assert (caught.value is failures[0]) == (asked == 1)
