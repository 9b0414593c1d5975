"""Decoders in C that write to stderr by themselves, in lines without a file's name."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_TURN = threading.Lock()


@contextmanager
def quiet() -> Iterator[None]:
    """Close the process's stderr (descriptor 2) to what C code writes inside the block; one thread at a time.

    What other threads write meanwhile is lost, too: only for the few files that no other decoder reads.
    """
    with _TURN:
        try:
            kept = os.dup(2)
        except OSError:  # there is none
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
