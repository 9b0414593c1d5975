"""The camera loop: what it shows, the rate it reports, and how it ends. Needs neither a camera nor OpenCV."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count
from types import ModuleType

import numpy as np
import pytest
from skimage import data

from pinxit.cli import run
from pinxit.edits.adjust import Adjust
from pinxit.edits.engine import edit_picture
from pinxit.edits.mask import Mask
from pinxit.images import Picture, at_most
from pinxit.jobs.chain import LoadedChain
from pinxit.jobs.film import Deflicker
from pinxit.jobs.live import Shown, live
from pinxit.jobs.settings import EditSettings

FRAMES = [np.roll(data.astronaut()[:30, :40], number, 1) for number in range(9)]
BRIGHTER = Adjust(exposure=1)


def ticking(seconds: float) -> Iterator[float]:
    return (number * seconds for number in count())


@pytest.mark.parametrize("seconds", [0.1, 0.5, 4.0])
def test_every_frame_is_shown_edited_with_the_rate_at_which_they_come(seconds: float) -> None:
    shown, clock = [], ticking(seconds)
    bound = BRIGHTER.bind()
    ended = live(
        iter(FRAMES), lambda frame: edit_picture(frame, [bound]),
        lambda pixels, rate: shown.append((pixels, rate)) or True, lambda: next(clock),
    )  # fmt: skip
    assert ended == Shown(9, pytest.approx(9 / (10 * seconds)))
    for frame, (pixels, rate) in zip(FRAMES, shown, strict=True):
        np.testing.assert_array_equal(pixels, edit_picture(Picture(frame), [bound]).pixels)
        assert rate == pytest.approx(1 / seconds)


@pytest.mark.parametrize("interrupted", [False, True])
def test_it_ends_when_the_shower_has_enough_or_at_an_interrupt(interrupted: bool) -> None:
    shown: list[np.ndarray] = []

    def show(pixels: np.ndarray, rate: float) -> bool:
        shown.append(pixels)
        if len(shown) == 4 and interrupted:
            raise KeyboardInterrupt
        return len(shown) < 4

    assert live(iter(FRAMES), lambda frame: frame, show).frames == len(shown) == 4


@pytest.mark.parametrize(("side", "size"), [(50, (30, 40)), (40, (30, 40)), (20, (15, 20)), (1, (1, 1))])
def test_large_frames_are_made_smaller(side: int, size: tuple[int, int]) -> None:
    assert at_most(FRAMES[0], side).shape == (*size, 3)


class Capture:
    """OpenCV's interface to a camera: frames in blue, green and red."""

    def __init__(self, source: int | str) -> None:
        self.left = [frame[..., ::-1] for frame in FRAMES] if source in (0, "film.mp4") else None

    def isOpened(self) -> bool:  # noqa: N802
        return self.left is not None

    def read(self) -> tuple[bool, np.ndarray | None]:
        return (True, self.left.pop(0)) if self.left else (False, None)

    def release(self) -> None:
        self.left = []


@pytest.fixture
def opencv(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """A fake OpenCV with one camera and one window; returns the frames it shows."""
    cv2, shown = ModuleType("cv2"), []
    cv2.utils = ModuleType("utils")
    cv2.utils.logging = ModuleType("logging")
    cv2.utils.logging.setLogLevel, cv2.utils.logging.LOG_LEVEL_SILENT = lambda level: None, 0
    cv2.VideoCapture, cv2.error = Capture, RuntimeError
    cv2.WINDOW_NORMAL = cv2.WINDOW_KEEPRATIO = cv2.WND_PROP_VISIBLE = 0
    cv2.namedWindow = cv2.setWindowTitle = lambda *arguments: None
    cv2.destroyAllWindows, cv2.getWindowProperty = lambda: None, lambda *arguments: 1.0
    cv2.imshow = lambda name, pixels: shown.append(pixels[..., ::-1])
    cv2.waitKey = lambda wait: ord("q") if len(shown) == 6 else -1
    monkeypatch.setitem(sys.modules, "cv2", cv2)
    return shown


@pytest.mark.parametrize("source", ["0", "film.mp4"])
def test_a_camera_is_shown_until_q_is_pressed(
    source: str, opencv: list[np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["edit", "adjust", "--camera", source, "--exposure", "1", "--steady", "0.5", "--box", "3,3,9,9"]
    assert run(words) == 0
    assert capsys.readouterr().out.startswith("6 frames, ")
    assert len(opencv) == 6
    loaded = LoadedChain([BRIGHTER], EditSettings(steady=0.5), Mask(box=(3, 3, 9, 9)))
    film = Deflicker(0.5)
    for frame, shown in zip(FRAMES, opencv, strict=False):
        np.testing.assert_array_equal(shown, loaded.edit_frame(Picture(frame), None, film).pixels)


def test_what_cannot_be_shown_is_one_line(
    opencv: list[np.ndarray], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(code: int, *words: str) -> str:
        assert run(["edit", "adjust", *words]) == code
        errors = capsys.readouterr().err
        assert errors.count("\n") == 1
        return errors

    assert "7: not the number of a camera" in told(3, "--camera", "7")
    assert "IN and --out: cannot be combined with --camera" in told(2, "a.png", "-o", "b.png", "--camera", "0")

    def headless(*arguments: object) -> None:
        raise RuntimeError("The function is not implemented")

    monkeypatch.setattr(sys.modules["cv2"], "namedWindow", headless)
    assert "this OpenCV opens no windows" in told(2, "--camera", "0")
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert "pip install 'pinxit[camera]'" in told(2, "--camera", "0")
