"""Edits of what a camera shows, frame after frame, as fast as it goes; OpenCV is imported when one is asked for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pinxit.edits.mask import Mask
from pinxit.edits.settings import Edit
from pinxit.errors import DataError, UsageError
from pinxit.images import Picture, load_picture, resize
from pinxit.jobs.batch import Bench
from pinxit.jobs.film import Steady
from pinxit.jobs.settings import EditSettings

LATELY = 2.0
Show = Callable[[np.ndarray, float], bool]
"""Shows a result (H, W, C) uint8 and the frames a second of late; False when no more are wanted."""


class Shown(NamedTuple):
    """How many frames were shown, and how many a second."""

    frames: int
    rate: float


def edit_camera(
    source: str,
    chain: Sequence[Edit],
    settings: EditSettings | None = None,
    *,
    mask: Mask = Mask(),
    drawn: Path | None = None,
    side: int | None = None,
) -> Shown:
    """Edit what a camera shows in a window, until q is pressed there, it is closed, or an interrupt comes.

    `source` is the camera's number, or a file of a film. Frames whose longer side has more than `side` pixels are made
    smaller first. `UsageError` if OpenCV is missing or opens no windows, `DataError` if it cannot open the source.
    """
    with camera(source) as frames, window(f"pinxit {source}") as show:
        bench = Bench(chain, settings or EditSettings(), mask, drawn)
        film, fixed = Steady(bench.steady) if bench.steady else None, load_picture(drawn) if drawn else None
        return live((at_most(frame, side) for frame in frames), lambda frame: bench.framed(frame, fixed, film), show)


def live(
    frames: Iterable[np.ndarray],
    edit: Callable[[Picture], Picture],
    show: Show,
    clock: Callable[[], float] = time.monotonic,
) -> Shown:
    """Edit and show frames (H, W, C) uint8 until there are none, `show` has enough, or an interrupt comes.

    `clock` gives seconds. The rate that `show` is told is that of the last two seconds.
    """
    started = clock()
    lately, count = deque([started]), 0
    try:
        for frame in frames:
            edited = edit(Picture(frame))
            count += 1
            now = clock()
            while len(lately) > 1 and now - lately[0] > LATELY:
                lately.popleft()
            rate = len(lately) / (now - lately[0]) if now > lately[0] else 0.0
            lately.append(now)
            if not show(edited.pixels, rate):
                break
    except KeyboardInterrupt:
        pass
    return Shown(count, count / max(clock() - started, 1e-9))


def at_most(frame: np.ndarray, side: int | None) -> np.ndarray:
    """Return a frame (H, W, C) whose longer side has no more than so many pixels."""
    share = side / max(frame.shape[:2]) if side else 1.0
    if share >= 1:
        return frame
    high, wide = (max(1, round(length * share)) for length in frame.shape[:2])
    return resize(frame, (high, wide))


@contextmanager
def camera(source: str) -> Iterator[Iterator[np.ndarray]]:
    """Give the frames (H, W, 3) uint8 of a camera, by its number, or of a file, until there are no more."""
    cv2 = _opencv()
    opened = cv2.VideoCapture(int(source) if source.isdecimal() else source)

    def frames() -> Iterator[np.ndarray]:
        while (read := opened.read())[0]:
            yield np.ascontiguousarray(read[1][..., ::-1])

    try:
        if not opened.isOpened():
            raise DataError(f"{source}: no camera of this number and no film that can be opened")
        yield frames()
    finally:
        opened.release()


@contextmanager
def window(name: str) -> Iterator[Show]:
    """Give what shows pictures in a window, as long as it is open and no one presses q."""
    cv2 = _opencv()
    try:
        cv2.namedWindow(name, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
    except cv2.error as error:
        raise UsageError("this OpenCV opens no windows (it is the headless one); opencv-python does") from error

    def show(pixels: np.ndarray, rate: float) -> bool:
        colours = pixels[..., :3]
        cv2.imshow(name, np.ascontiguousarray(colours[..., ::-1]))
        cv2.setWindowTitle(name, f"{name}: {rate:.1f} frames a second")
        pressed = cv2.waitKey(1) & 0xFF
        return pressed != ord("q") and cv2.getWindowProperty(name, cv2.WND_PROP_VISIBLE) >= 1

    try:
        yield show
    finally:
        cv2.destroyAllWindows()


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise UsageError("--camera needs OpenCV: pip install 'pinxit[camera]'") from error
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what it cannot open is told in our line
    return cv2
