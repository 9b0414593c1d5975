"""Edits of a camera's picture, frame after frame, as fast as the edit runs. OpenCV is imported only when it is used."""

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
from pinxit.images import Picture, at_most
from pinxit.jobs.chain import LoadedChain
from pinxit.jobs.film import Deflicker
from pinxit.jobs.settings import EditSettings

RATE_SECONDS = 2.0
Show = Callable[[np.ndarray, float], bool]
"""Shows a result (H, W, C) uint8 and the current frames per second; returns False to stop."""


class Shown(NamedTuple):
    """How many frames were shown, and how many per second."""

    frames: int
    rate: float


def edit_camera(
    source: str,
    chain: Sequence[Edit],
    settings: EditSettings | None = None,
    *,
    area: Mask = Mask(),
    mask: Path | None = None,
    side: int | None = None,
) -> Shown:
    """Edit a camera's picture in a window, until q is pressed, the window is closed, or an interrupt comes.

    `source` is the camera's number or a film's file. Frames whose longer side exceeds `side` pixels are reduced first.
    `mask` is a picture that is white where to change; `area` chooses by other means. Raises `UsageError` if OpenCV is
    missing or opens no windows, `DataError` if it cannot open the source.
    """
    if mask and mask.is_dir():
        raise UsageError(f"--mask {mask}: a camera takes one mask, not a folder of them")
    with camera(source) as frames, window(f"pinxit {source}") as show:
        loaded = LoadedChain(chain, settings or EditSettings(), area, mask)
        film = Deflicker(loaded.steady) if loaded.steady else None
        reduced = (at_most(frame, side) if side else frame for frame in frames)
        return live(reduced, lambda frame: loaded.edit_frame(frame, loaded.drawn, film), show)


def live(
    frames: Iterable[np.ndarray],
    edit: Callable[[Picture], Picture],
    show: Show,
    clock: Callable[[], float] = time.monotonic,
) -> Shown:
    """Edit and show frames (H, W, C) uint8 until they end, `show` returns False, or an interrupt comes.

    `clock` gives seconds. `show` gets the rate of the last two seconds.
    """
    started = clock()
    recent, count = deque([started]), 0
    try:
        for frame in frames:
            edited = edit(Picture(frame))
            count += 1
            now = clock()
            while len(recent) > 1 and now - recent[0] > RATE_SECONDS:
                recent.popleft()
            rate = len(recent) / (now - recent[0]) if now > recent[0] else 0.0
            recent.append(now)
            if not show(edited.pixels, rate):
                break
    except KeyboardInterrupt:
        pass
    return Shown(count, count / max(clock() - started, 1e-9))


@contextmanager
def camera(source: str) -> Iterator[Iterator[np.ndarray]]:
    """Yield the frames (H, W, 3) uint8 of a camera, given by its number, or of a film's file."""
    cv2 = _opencv()
    opened = cv2.VideoCapture(int(source) if source.isdecimal() else source)

    def frames() -> Iterator[np.ndarray]:
        while (read := opened.read())[0]:
            yield np.ascontiguousarray(read[1][..., ::-1])

    try:
        if not opened.isOpened():
            raise DataError(f"{source}: not the number of a camera, and not a film that OpenCV can open")
        yield frames()
    finally:
        opened.release()


@contextmanager
def window(name: str) -> Iterator[Show]:
    """Yield a function that shows pictures in a window; it returns False once q is pressed or the window is closed."""
    cv2 = _opencv()
    try:
        cv2.namedWindow(name, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
    except cv2.error as error:
        raise UsageError("this OpenCV opens no windows (it is the headless build); install opencv-python") from error

    def show(pixels: np.ndarray, rate: float) -> bool:
        colours = pixels[..., :3]
        cv2.imshow(name, np.ascontiguousarray(colours[..., ::-1]))
        cv2.setWindowTitle(name, f"{name}: {rate:.1f} frames per second")
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
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # we report what it cannot open ourselves
    return cv2
