"""Actions that judge pictures, and compare judgements."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from pinxit.actions.action import OUT, Action, First, Flag, Outcome, Overwrite, Reads, Word, refuse
from pinxit.errors import DataError, UsageError
from pinxit.files import numbered, refuse_to_replace, write_json
from pinxit.progress import say

SHEET = ".audit.png"


class Evaluate(Action):
    """Score pictures against real ones, with intervals, protocol and anchor rows.

    Prints a table and writes a certificate, a JSON file that `pinxit compare` reads. Three anchor rows stand beside
    each score: the floor (real pictures against real ones), the reference with noise of 25 grey levels, and the
    reference after a 3x3 box blur. Scores with different extractors, N or references cannot be compared. A run that
    recognises is scored on pictures with labels, masks or boxes.
    """

    generated: Annotated[str, Word("GENERATED"), Reads()] = Field(
        description="Pictures to score: a run, a folder, a zip, an npz, IDX files, a named set or one picture. A run "
        "samples new pictures, or recognises what the other ones show, and adds the scores to its report."
    )
    reference: Annotated[str | None, Word("REFERENCE"), Reads(), First()] = Field(
        None,
        description="Real pictures, such as mnist:test. The floor comes from the set's other part, if it has one. For "
        "a run, the default is the pictures held out from its training. For one that recognises, the pictures need "
        "labels, masks or boxes.",
    )
    extractors: Annotated[tuple[str, ...], Flag("--extractor"), First()] = Field(
        (),
        description="Extractor, the network that gives the features to compare: digits-v1 or digits-v2 for MNIST, "
        "lite0 for any pictures, lite0-96 for small ones, inception-2015 or vgg16 from a file of yours. May be given "
        "several times. By default digits-v1 for MNIST, lite0-96 for a reference of at most 64 pixels a side, else "
        "lite0.",
    )
    metrics: Annotated[tuple[str, ...], First()] = Field(
        (),
        description='fd, kd, precision, recall, density, coverage, vendi, "class score", "class entropy"; with '
        "--paired psnr, ssim and others. By default all that are valid at this N.",
    )
    n: Annotated[int | None, Flag("-n", "--n"), First()] = Field(
        None, ge=12, description="Number of pictures in each set; by default the size of the smaller set."
    )
    seed: int = Field(
        0, ge=0, lt=2**31, description="Seed of every random choice: of pictures, of noise and of intervals."
    )
    sampler: str = Field(
        "",
        description="Sampler of an autoencoder's latents; if omitted, the model's default. The certificate names it.",
    )
    audit: Annotated[bool, First()] = Field(
        False,
        description="Also test whether training pictures were copied, and draw the twenty nearest pairs. The "
        "reference must be held out from the training, and the model must have been trained on the other part of the "
        "same set.",
    )
    audit_sheet: Path | None = Field(
        None, description="File for the sheet of the nearest pairs; implies --audit. By default beside the certificate."
    )
    with_utility: Annotated[bool, Flag("--utility")] = Field(
        False,
        description="Also measure how well a classifier learns from the generated pictures, tested on real ones. Both "
        "sets need classes.",
    )
    paired: Annotated[bool, First()] = Field(
        False,
        description="Compare each picture with the one of the same name, such as a restored one with its original. "
        "Two single pictures are always compared this way.",
    )
    channels: Literal["rgb", "y", "grey"] | None = Field(
        None,
        description="With --paired: compare in colour (the default), in the luma Y of BT.601 as papers on "
        "super-resolution do, or in grey.",
    )
    border: int | None = Field(
        None,
        ge=0,
        description="With --paired: pixels to cut off at each side first, by default 0. Super-resolution papers cut as "
        "many as the scale.",
    )
    out: Annotated[Path | None, OUT] = Field(
        None,
        description="Certificate to write. By default a new GENERATED-REFERENCE.json here, or evaluation.json in a "
        "run. With --json there is no default.",
    )
    overwrite: Overwrite = False

    def do(self) -> Outcome:
        """Evaluate; value and document are the certificate, which is written only to `out` and into a run."""
        paired = self.paired or self._are_pictures()
        self._refuse_mixtures(paired)
        sheet = (self.audit_sheet or self._sheet()) if self.audit or self.audit_sheet else None
        refuse_to_replace(*self._named(sheet), overwrite=self.overwrite)
        document = self._pairs() if paired else self._sets(sheet)
        if self.out:
            write_json(self.out, document)
        files = tuple(path for path in (self.out, sheet) if path)
        return Outcome(document, document, files, self._lines(document, sheet))

    def _named(self, sheet: Path | None) -> list[Path]:
        """Return the files that the request names. A run's own evaluation and sheet are replaced."""
        return [path for path in (self.out, sheet if self.out or self.audit_sheet else None) if path]

    def _lines(self, document: dict[str, Any], sheet: Path | None) -> Iterator[str]:
        """Yield the table and the path of the certificate; without `out`, first write it to the usual path."""
        from pinxit.evaluation.text import table

        path = self.out or self._usual()
        if not self.out and not self._is_run():
            beside = sheet and not self.audit_sheet and sheet.with_name(f"{sheet.name.removesuffix(SHEET)}.json")
            path = beside or _free(path, document)
            write_json(path, document)
        yield from (*table(document), "", f"certificate: {path}")

    def _refuse_mixtures(self, paired: bool) -> None:
        if paired:
            sets_only = {"--extractor": self.extractors, "-n": self.n is not None, "--sampler": self.sampler}
            sets_only |= {"--audit": self.audit or self.audit_sheet, "--utility": self.with_utility}
            refuse(sets_only, "pictures are compared pair by pair: leave out {}")
        else:
            pairs_only = {"--channels": self.channels is not None, "--border": self.border is not None}
            refuse(pairs_only, "{} can only go with --paired")

    def _pairs(self) -> dict[str, Any]:
        from pinxit.evaluation.pairs import evaluate_pairs

        if self.reference is None:
            raise UsageError("--paired needs a REFERENCE: the originals, with the same names")
        return evaluate_pairs(
            self.generated, self.reference, metrics=self.metrics,
            channels=self.channels or "rgb", border=self.border or 0, seed=self.seed,
        )  # fmt: skip

    def _sets(self, sheet: Path | None) -> dict[str, Any]:
        from pinxit.evaluation.evaluate import evaluate

        return evaluate(
            self.generated, self.reference, extractors=self.extractors, metrics=self.metrics or None, n=self.n,
            seed=self.seed, sampler=self.sampler, audit_sheet=sheet, with_utility=self.with_utility,
        )  # fmt: skip

    def _are_pictures(self) -> bool:
        """Return whether both sides are single pictures, which can only be compared as a pair."""
        from pinxit.images import SUFFIXES

        sides = (Path(side or "") for side in (self.generated, self.reference))
        return all(side.suffix.lower() in SUFFIXES and side.is_file() for side in sides)

    def _is_run(self) -> bool:
        from pinxit.training.run import is_run

        return is_run(Path(self.generated))

    def _usual(self) -> Path:
        from pinxit.training.run import EVALUATION

        if self._is_run():
            return Path(self.generated, EVALUATION)
        return Path(f"{_word(self.generated)}-{_word(self.reference)}.json")

    def _sheet(self) -> Path:
        """Return the place of the audit's sheet."""
        if self._is_run() and not self.out:
            return self._usual().with_name("audit.png")
        return _sheet_of(self.out or _free(self._usual()))


class Compare(Action):
    """Compare two certificates, if their protocols are equal.

    If the protocols differ, it lists the differences and exits with code 3.
    """

    one: Annotated[Path, Word("ONE")] = Field(description="Certificate: a JSON file that `pinxit evaluate` wrote.")
    other: Annotated[Path, Word("OTHER")] = Field(description="Another certificate.")

    def do(self) -> Outcome:
        """Compare; the value is a list of `Comparison`."""
        from pinxit.evaluation.certificate import compare, read_certificate
        from pinxit.evaluation.text import comparison_table

        rows, remarks = compare(read_certificate(self.one), read_certificate(self.other))
        for remark in remarks:
            say(remark)
        one, other = self.one, self.other
        names = (one.stem, other.stem) if one.stem != other.stem else (str(one), str(other))
        return Outcome(rows, [asdict(row) for row in rows], lines=comparison_table(rows, *names))


def _free(usual: Path, document: Mapping[str, Any] | None = None) -> Path:
    """Return the first of X.json, X-2.json ... that is free, as is its sheet, or that already holds this document."""
    return next(
        path
        for path in numbered(usual)
        if not (os.path.lexists(path) or os.path.lexists(_sheet_of(path))) or _holds(path, document)
    )


def _holds(path: Path, document: Mapping[str, Any] | None) -> bool:
    from pinxit.evaluation.certificate import read_certificate

    with suppress(DataError):
        return read_certificate(path) == document
    return False


def _sheet_of(certificate: Path) -> Path:
    return certificate.with_suffix(SHEET)


def _word(source: str | None) -> str:
    """Return a DATA argument as a part of a file name."""
    return Path(source or "").name.replace(":", "-") or "set"
