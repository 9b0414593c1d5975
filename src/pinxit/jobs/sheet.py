"""Two pages in one file each: the contact sheet of a batch, and the proofs of one picture at several settings."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pinxit import __version__
from pinxit.edits import EDITS
from pinxit.edits.engine import edit_picture
from pinxit.edits.settings import Edit
from pinxit.errors import printable
from pinxit.files import write_whole
from pinxit.hardware import choose
from pinxit.images import Picture, at_most, eight_bit, load_picture, write_picture
from pinxit.jobs.listing import Job
from pinxit.page import command, data_uri, page
from pinxit.progress import track
from pinxit.settings import chain_document, flagged

SHEET = "sheet.html"
PAIRS_SHOWN = 500
THUMBNAIL_SIDE, PROOF_SIDE = 240, 256
STRENGTHS = (0.25, 0.5, 0.75, 1.0)

PAIRS_CSS = """
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: 1.75rem 1.5rem; }
.pairs { margin-top: 2.5rem; }
.pairs div { display: grid; grid-template-columns: 1fr 1fr; gap: 2px; align-items: end; }
.pairs img { margin: auto; max-height: 15rem; image-rendering: auto; background: var(--mat); }
.pairs figcaption { margin-top: .4rem; }
"""

PROOF_CSS = """
.proof { display: grid; gap: 1.5rem; margin-top: 2.5rem; }
.proof img { width: 100%; image-rendering: auto; background: var(--mat); }
.proof figcaption { margin-top: .4rem; overflow-wrap: anywhere; }
"""


class ContactSheet:
    """The thumbnails of a batch, written as `sheet.html` into the folder of results, if there is one.

    It shows at most `PAIRS_SHOWN` pictures, evenly chosen.
    """

    def __init__(self, folder: Path | None, jobs: Sequence[Job]) -> None:
        self.folder = folder
        shown = jobs[:: -(-len(jobs) // PAIRS_SHOWN)] if folder else ()
        self.pairs = dict.fromkeys(shown, "")

    def shows(self, job: Job) -> bool:
        """Return whether the sheet shows this picture."""
        return job in self.pairs

    def add(self, job: Job, name: str, before: Picture, after: Picture) -> None:
        """Keep the thumbnails of a picture and its result, as HTML."""
        label, pair = escape(printable(name)), (("before", before), ("after", after))
        images = (f'<img src="{_webp(picture.pixels)}" alt="{label} {when}">' for when, picture in pair)
        self.pairs[job] = f"<figure><div>{''.join(images)}</div><figcaption>{label}</figcaption></figure>\n"

    def write(self, manifest: Mapping[str, Any]) -> None:
        """Write the page, whole or not at all."""
        if self.folder:
            write_whole(self.folder / SHEET, contact_sheet(manifest, list(filter(None, self.pairs.values()))))


def contact_sheet(manifest: Mapping[str, Any], pairs: Sequence[str]) -> str:
    """Return the page: the edit, pictures before and after, and what failed and why."""
    done = sum(entry["error"] is None for entry in manifest["pictures"])
    failed = [entry for entry in manifest["pictures"] if entry["error"] is not None]
    title = f"{done:,} of {len(manifest['pictures']):,} pictures edited"
    chosen = f" Shown are {len(pairs):,} of them." if len(pairs) < done else ""
    body = (
        f'<header><p class="sign">{escape(manifest["made_by"])}</p><h1>{title}</h1>'
        f"<p><code>{escape(manifest['edit'])}</code></p><p>Before on the left, after on the right.{chosen}</p></header>"
        f'\n<section class="pairs">\n{"".join(pairs)}</section>{_failures(failed)}'
    )
    return page(f"{title} · pinxit", body, PAIRS_CSS)


def _webp(pixels: np.ndarray) -> str:
    """Return (H, W, C) uint8 or uint16 as a WebP file in an address, its sides at most `THUMBNAIL_SIDE` pixels."""
    file = io.BytesIO()
    write_picture(file, "WEBP", Picture(eight_bit(at_most(pixels, THUMBNAIL_SIDE))))
    return data_uri(file.getvalue(), "webp")


class Proof(NamedTuple):
    """An edit at a strength."""

    edit: Edit
    strength: float

    def command(self, source: Path) -> str:
        """Return the command that makes it from a picture, ready to paste into a shell."""
        name = chain_document([self.edit], EDITS)[0]["name"]
        given = self.edit.model_dump(mode="json", exclude_unset=True)
        words = [word for key, value in given.items() for word in _flag(key, value)]
        strength = [] if self.strength == 1 else ["--strength", f"{self.strength:g}"]
        out = f"{source.stem}-{name}.png"
        return command("edit", name, source, *words, *strength, "-o", out)


def proofs(edit: Edit) -> list[list[Proof]]:
    """Return the rows of the page: one for each value of the setting that the edit proposes, across the strengths."""
    settings = [{name: value} for name, values in edit.proof.items() for value in values] or [{}]
    return [[Proof(edit.changed(**setting), strength) for strength in STRENGTHS] for setting in settings]


def save_proof(source: Path, edit: Edit, out: Path, device: str = "auto") -> None:
    """Write the page of a picture's proofs, made at sides of at most 256 pixels; raises as `load_picture`.

    Edits that may be about single pixels are made at the picture's own size.
    """
    picture = load_picture(source)
    small = Picture(picture.pixels if edit.exact else at_most(picture.pixels, PROOF_SIDE), mode=picture.mode)
    rows = proofs(edit)
    chosen = str(choose(device).device)

    def figures() -> Iterator[str]:
        for row in rows:
            bound = row[0].edit.bind(chosen)
            for proof in row:
                edited = edit_picture(small, [bound], strength=proof.strength, device=chosen)
                caption = f"<figcaption><code>{escape(proof.command(source))}</code></figcaption>"
                yield f'<figure><img src="{_webp(edited.pixels)}" alt="">{caption}</figure>\n'

    shown = list(track(figures(), "proof", sum(map(len, rows))))
    write_whole(out, _proof_page(shown, source, edit.exact))


def _flag(name: str, value: object) -> tuple[str, ...]:
    return flagged(name, ",".join(map(str, value)) if isinstance(value, list) else value)


def _failures(failed: Sequence[Mapping[str, Any]]) -> str:
    rows = "".join(f"<li>{escape(entry['error'])}</li>\n" for entry in failed)
    return rows and f"\n<section><h2>What failed</h2>\n<ul>\n{rows}</ul></section>"


def _proof_page(figures: Sequence[str], source: Path, exact: bool) -> str:
    title = f"{source.name}, {len(figures)} proofs"
    columns = f"grid-template-columns: repeat({len(STRENGTHS)}, 1fr)"
    made = "the picture's own size" if exact else f"{PROOF_SIDE} pixels"
    body = (
        f'<header><p class="sign">pinxit {__version__}</p><h1>{escape(title)}</h1>'
        f"<p>Made at {made}; the command below each makes it at the picture's size.</p></header>\n"
        f'<section class="proof" style="{columns}">\n{"".join(figures)}</section>'
    )
    return page(f"{title} · pinxit", body, PROOF_CSS)
