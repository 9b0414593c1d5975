"""Writing trained weights and their card into the package."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pinxit.files import write_whole
from pinxit.progress import say

FOLDER = Path(__file__).parents[1] / "src" / "pinxit" / "weights"


def publish(name: str, weights: bytes, card: str, **facts: Any) -> str:
    """Write NAME.safetensors and NAME.md, whose template `card` gets the facts; return the SHA-256 of the weights."""
    sha256 = hashlib.sha256(weights).hexdigest()
    write_whole(FOLDER / f"{name}.safetensors", weights)
    write_whole(FOLDER / f"{name}.md", card.format(name=name, size=len(weights), sha256=sha256, **facts))
    say(f"{name}: sha256 {sha256}")
    return sha256
