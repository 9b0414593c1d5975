"""The page of a lesson: code, findings and sheets of each mistake, beside the training that works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from pinxit.lessons.course import Trained, marked
from pinxit.lessons.gan import LESSONS, Lesson, TutorialGAN
from pinxit.lessons.walk import HEADLINE, HEALTHY, INTRODUCTION
from pinxit.page import data_uri, page

STYLE = """
pre .wrong { color: var(--line-1); font-weight: 600; }
pre .good { color: var(--line-2); font-weight: 600; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1.5rem; }
.pair img { width: 100%; border: 1px solid var(--rule); }
.words { margin-top: .5rem; }
"""


def written(taught: str, found: Mapping[str, Trained], steps: int, sheets: Mapping[str, Path]) -> str:
    """Return the page of a walk: trained on `taught`, with the sheet of each training as a file."""
    sections = (_section(lesson, found[name], sheets, name) for name, lesson in LESSONS.items())
    works = "".join(_code(one, one, "") for one in (TutorialGAN.discriminator_loss, TutorialGAN.loss))
    body = (
        f'<header><p class="sign">pinxit · learn · gan</p><h1>{HEADLINE}</h1><p>{INTRODUCTION}</p>'
        f"<p>All trainings here took {steps:,} steps on {escape(taught)}.</p></header>"
        f"<section><h2>The GAN that works</h2>{works}{_found(found[HEALTHY])}"
        f'<div class="pair">{_sheet(sheets[HEALTHY], "Its samples")}</div></section>\n' + "\n".join(sections)
    )
    return page(f"{HEADLINE} · pinxit", body, STYLE)


def _section(lesson: Lesson, trained: Trained, sheets: Mapping[str, Path], name: str) -> str:
    broken = _sheet(sheets[name], "Broken") if name in sheets else ""
    return (
        f"<section><h2>{escape(lesson.title)}</h2><p>{escape(lesson.mistake)}</p>\n"
        f"<h3>Broken</h3>{_code(lesson.broken, lesson.mended, 'wrong')}{_found(trained)}"
        f"<h3>Mended</h3>{_code(lesson.mended, lesson.broken, 'good')}"
        f'<div class="pair">{broken}{_sheet(sheets[HEALTHY], "Mended")}</div></section>'
    )


def _code(function: Callable[..., Any], other: Callable[..., Any], kind: str) -> str:
    """Return a function's code; lines that the other lacks are marked by this class."""
    lines = (
        f'<span class="{kind}">{escape(line)}</span>' if changed else escape(line)
        for line, changed in marked(function, other)
    )
    return "<pre><code>" + "\n".join(lines) + "</code></pre>"


def _found(trained: Trained) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in trained.sentences())
    return f'<p>What pinxit says:</p><ul class="words">{items}</ul>'


def _sheet(path: Path, caption: str) -> str:
    image = data_uri(path.read_bytes(), "png")
    return f'<figure><img src="{image}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
