"""The contact sheet of a batch: one page that needs nothing outside itself, each picture before and after."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from pinxit.images import Picture, eight_bit, resize, write_picture
from pinxit.jobs.listing import printable
from pinxit.page import CSS, HTML

SIDE = 240

PAIRS = """
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: 1.75rem 1.5rem; }
.pairs { margin-top: 2.5rem; }
.pairs div { display: grid; grid-template-columns: 1fr 1fr; gap: 2px; align-items: end; }
.pairs img { margin: auto; max-height: 15rem; image-rendering: auto; background: var(--mat); }
.pairs figcaption { margin-top: .4rem; }
"""


class Pair(NamedTuple):
    """A result's name with small pictures of before and after, as WebP files."""

    name: str
    before: bytes
    after: bytes


def thumbnail(pixels: np.ndarray) -> bytes:
    """Return (H, W, C) uint8 or uint16 as a WebP file with sides of at most `SIDE` pixels."""
    high, wide = pixels.shape[:2]
    scale = min(1.0, SIDE / max(high, wide))
    small = resize(pixels, (max(1, round(high * scale)), max(1, round(wide * scale))))
    file = io.BytesIO()
    write_picture(file, "WEBP", Picture(eight_bit(small)))
    return file.getvalue()


def contact_sheet(manifest: Mapping[str, Any], pairs: Sequence[Pair]) -> str:
    """Return the page: what was asked and how it went, pictures before and after, and what failed and why."""
    done = sum(entry["error"] is None for entry in manifest["pictures"])
    failed = [entry for entry in manifest["pictures"] if entry["error"] is not None]
    title = f"{done:,} of {len(manifest['pictures']):,} pictures edited"
    chosen = f" Shown are {len(pairs):,} of them." if len(pairs) < done else ""
    body = (
        f'<header><p class="sign">{escape(manifest["made_by"])}</p><h1>{title}</h1>'
        f"<p><code>{escape(manifest['edit'])}</code></p><p>Before on the left, after on the right.{chosen}</p></header>"
        f'\n<section class="pairs">\n{"".join(map(_figure, pairs))}</section>{_failures(failed)}'
    )
    return HTML.format(title=f"{title} · pinxit", style=CSS + PAIRS, body=body)


def _figure(pair: Pair) -> str:
    name = escape(printable(pair.name))
    return (
        f'<figure><div><img src="{_data(pair.before)}" alt="{name} before">'
        f'<img src="{_data(pair.after)}" alt="{name} after"></div><figcaption>{name}</figcaption></figure>\n'
    )


def _data(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"


def _failures(failed: Sequence[Mapping[str, Any]]) -> str:
    rows = "".join(f"<li>{escape(entry['error'])}</li>\n" for entry in failed)
    return rows and f"\n<section><h2>What failed</h2>\n<ul>\n{rows}</ul></section>"
