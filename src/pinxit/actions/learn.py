"""The action that teaches what goes wrong in GANs, by trainings that do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from pinxit.actions.action import OUT, Action, Outcome, Overwrite, Word
from pinxit.files import free, refuse_to_replace, write_whole

if TYPE_CHECKING:
    from pinxit.lessons.course import Trained

PAGE = "lesson.html"


class Learn(Action):
    """Learn what goes wrong in a GAN: the usual mistakes of tutorials, one line each, and how to see them.

    Trains a small GAN that works, then one for each mistake. Says what the watch finds of each and shows the line that
    mends it. Takes about two minutes on one core.
    """

    topic: Annotated[Literal["gan"], Word("TOPIC")] = Field(description="What to learn about.")
    steps: int = Field(
        600, ge=1, le=100_000, description="Steps of each training; with fewer than 500 some mistakes do not show yet."
    )
    out: Annotated[Path | None, OUT] = Field(
        None,
        description="Folder for the page, lesson.html, and its sheets of samples; by default learn-gan, and if that is "
        "there, learn-gan-2, and so on.",
    )
    overwrite: Overwrite = False

    def do(self) -> Outcome:
        """Walk through the lessons and write the page; value and document are what the watch found of each."""
        out = free(Path(f"learn-{self.topic}")) if self.out is None else self.out
        refuse_to_replace(out / PAGE, overwrite=self.overwrite)
        from pinxit.images import save_sheet
        from pinxit.lessons.course import pictures
        from pinxit.lessons.gan import LESSONS
        from pinxit.lessons.page import written
        from pinxit.lessons.walk import HEALTHY, walk

        sheets = {name: out / f"{name}.png" for name in (HEALTHY, *LESSONS)}
        refuse_to_replace(*sheets.values(), overwrite=self.overwrite)
        taught, images = pictures()
        found = dict(walk(taught, images, self.steps))
        made = {}
        for name, trained in found.items():
            if trained.sheet is not None:
                made[name] = sheets[name]
                save_sheet(made[name], trained.sheet)
        write_whole(out / PAGE, written(taught, found, self.steps, made))
        lessons = [_document(name, trained) for name, trained in found.items()]
        document = {"lessons": lessons, "page": str(out / PAGE)}
        return Outcome(document, document, (out / PAGE, *made.values()), _lines(found, out / PAGE))


def _document(name: str, trained: Trained) -> dict[str, Any]:
    findings = [
        {"name": one.name, "step": one.step, "evidence": one.evidence, "sentence": one.sentence}
        for one in trained.grave
    ]
    return {"name": name, "findings": findings, "refused": trained.refused or None}


def _lines(found: Mapping[str, Trained], page: Path) -> Iterator[str]:
    width = max(map(len, found))
    for name, trained in found.items():
        names = "refused" if trained.refused else ", ".join(finding.name for finding in trained.grave) or "healthy"
        yield f"{name:<{width}}  {names}"
    yield f"{page}  the code, the findings and the pictures"
