"""A proof: one picture edited at several settings, on a page that says under each by which command it is made."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from pinxit import __version__
from pinxit.edits import EDITS
from pinxit.edits.engine import edit_picture
from pinxit.edits.settings import Edit
from pinxit.files import write_whole
from pinxit.hardware import choose
from pinxit.images import load_picture, resize
from pinxit.jobs.sheet import thumbnail
from pinxit.page import CSS, HTML
from pinxit.progress import track

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
SIDE = 256

ROWS = """
.proof { display: grid; gap: 1.5rem; margin-top: 2.5rem; }
.proof img { width: 100%; image-rendering: auto; background: var(--mat); }
.proof figcaption { margin-top: .4rem; overflow-wrap: anywhere; }
"""


class Proof(NamedTuple):
    """An edit at a strength."""

    editor: Edit
    strength: float

    def command(self, source: Path) -> str:
        """Return the command that makes it of a picture."""
        name = next(name for name, kind in EDITS.items() if type(self.editor) is kind)
        given = self.editor.model_dump(mode="json", exclude_unset=True)
        words = [word for key, value in given.items() for word in _flag(key, value)]
        strength = [] if self.strength == 1 else ["--strength", f"{self.strength:g}"]
        out = f"{source.stem}-{name}.png"
        return shlex.join(["pinxit", "edit", name, str(source), *words, *strength, "-o", out])


def proofs(editor: Edit) -> list[list[Proof]]:
    """Return the rows of a sheet: the setting that the edit names for it, by strengths."""
    settings = [{name: value} for name, values in editor.proof.items() for value in values] or [{}]
    return [[Proof(editor.changed(**setting), strength) for strength in STRENGTHS] for setting in settings]


def save_proof(source: Path, editor: Edit, out: Path, device: str = "auto") -> None:
    """Write the page of a picture's proofs, made at sides of at most 256 pixels; raises as `load_picture`."""
    picture = load_picture(source)
    share = min(1.0, SIDE / max(picture.pixels.shape[:2]))
    high, wide = (max(1, round(side * share)) for side in picture.pixels.shape[:2])
    small = type(picture)(resize(picture.pixels, (high, wide)), mode=picture.mode)
    rows = proofs(editor)
    chosen = str(choose(device).device)

    def figures() -> Iterator[str]:
        for row in rows:
            bound = row[0].editor.bind(chosen)
            for proof in row:
                edited = edit_picture(small, [bound], strength=proof.strength, device=chosen)
                yield _figure(thumbnail(edited.pixels), proof.command(source))

    shown = track(figures(), "proof", sum(map(len, rows)))
    write_whole(out, _page(list(shown), source, len(STRENGTHS)))


def _flag(name: str, value: object) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    return [flag, ",".join(map(str, value)) if isinstance(value, list) else str(value)]


def _figure(webp: bytes, command: str) -> str:
    picture = base64.b64encode(webp).decode()
    return (
        f'<figure><img src="data:image/webp;base64,{picture}" alt="">'
        f"<figcaption><code>{escape(command)}</code></figcaption></figure>\n"
    )


def _page(figures: Sequence[str], source: Path, columns: int) -> str:
    title = f"{source.name}, {len(figures)} proofs"
    body = (
        f'<header><p class="sign">pinxit {__version__}</p><h1>{escape(title)}</h1>'
        f"<p>Made at {SIDE} pixels; the command below each makes it at the picture's size.</p></header>\n"
        f'<section class="proof" style="grid-template-columns: repeat({columns}, 1fr)">\n{"".join(figures)}</section>'
    )
    return HTML.format(title=f"{escape(title)} · pinxit", style=CSS + ROWS, body=body)
