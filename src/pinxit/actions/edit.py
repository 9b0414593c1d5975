"""Actions on pictures: editing many, one through a pipe, or a camera's; and making a result again."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, create_model

from pinxit.actions.action import OUT, PIPE, Action, First, Flag, Outcome, Overwrite, Reads, Word, refuse
from pinxit.errors import DataError, UsageError
from pinxit.files import is_device, read_bytes, refuse_to_replace
from pinxit.settings import Settings, chain_document, parse_chain

PIPE_CEILING = 1 << 30
"""The most bytes that a picture from a pipe may have."""


def _parsed(value: Any) -> Any:
    """Return a chain of edits from text, from a JSON list, or from one edit."""
    from pinxit.edits import EDITS

    if isinstance(value, list) and all(isinstance(step, Mapping) for step in value):
        value = json.dumps(value)
    if isinstance(value, str):
        return parse_chain(value, EDITS, "edit")
    chain = (value,) if isinstance(value, Settings) else value
    if not (isinstance(chain, tuple | list) and all(isinstance(step, Settings) for step in chain)):
        raise ValueError("should be edits as text, such as denoise | upscale(scale=2), or as a JSON list")
    return chain


def _document(chain: Any) -> list[dict[str, Any]]:
    from pinxit.edits import EDITS

    return chain_document(chain, EDITS)


Chain = Annotated[tuple[Any, ...], BeforeValidator(_parsed), PlainSerializer(_document, when_used="json")]


class Edit(Action):
    """Repair or enhance pictures: files, folders, or one from stdin.

    Originals are never changed, and a result is written whole or not at all. EDIT is a command from the list, with its
    settings as flags (pinxit edit NAME --help), or a chain of edits, such as "denoise | upscale(scale=2)".
    """

    edit: Any = Field(None, title="The edit")
    pictures: Annotated[tuple[str, ...], Word("IN", pipe=True), Reads()] = Field(
        (), description="Pictures: files, folders, patterns in quotes such as 'photos/*.jpg', or - for one from stdin."
    )
    out: Annotated[str | None, Flag("-o", "--out", pipe=True)] = Field(
        None, description="Where to write results: a file for one picture, a folder for several, - for stdout."
    )
    recursive: Annotated[bool, Flag("-r", "--recursive")] = Field(
        False, description="Include the pictures in sub-folders."
    )
    overwrite: Overwrite = False
    mask: Path | None = Field(
        None, description="Mask: a picture, white where the edit applies; or a folder of masks named like the pictures."
    )
    proof: bool = Field(
        False,
        description="Write a page (-o PROOF.html) that shows one picture at several strengths, with the command under "
        "each.",
    )
    camera: str | None = Field(
        None,
        description="Show a camera's edited picture in a window: the camera's number (0 is the first), or a film file.",
    )
    camera_side: int = Field(
        320, ge=1, description="Longest side of the camera's frames in pixels; larger frames are reduced first."
    )
    area: Any = Field(None, title="Where to change")
    settings: Any = Field(None, title="How")

    @property
    def chain(self) -> tuple[Any, ...]:
        """The edits, one after the other."""
        return self.edit if isinstance(self.edit, tuple) else (self.edit,)

    @classmethod
    def variants(cls) -> Mapping[str, type[Action]]:
        """Return the edit by a chain, and one for each row of `EDITS`."""
        from pinxit.edits import EDITS
        from pinxit.edits.mask import Mask
        from pinxit.jobs.settings import EditSettings

        text = Field(description="Edits as text: name(setting=value, ...), joined with |; or as a JSON list.")
        common: dict[str, Any] = {
            "area": (Mask, Field(default=Mask(), title="Where to change")),
            "settings": (EditSettings, Field(default=EditSettings(), title="How")),
        }

        def variant(name: str, doc: str | None, edit: Any) -> type[Action]:
            return create_model(name, __base__=Edit, __doc__=doc, edit=edit, **common)

        return {"": variant("EditChain", Edit.__doc__, (Annotated[Chain, Word("EDIT")], text))} | {
            name: variant(f"Edit{kind.__name__}", kind.__doc__, (Annotated[kind, First()], Field(title="The edit")))
            for name, kind in EDITS.items()
        }

    def do(self) -> Outcome:
        """Edit; the value is the manifest, the bytes for stdout, or the camera's frame counts."""
        if self.camera is not None:
            return self._camera()
        if not self.pictures:
            raise UsageError("name the pictures: files, folders, patterns in quotes, or - for one from stdin")
        if self.proof:
            return self._proof()
        if PIPE in (*self.pictures, self.out) or (self.out and is_device(Path(self.out))):
            return self._piped()
        if self.out is None:
            raise UsageError("-o says where results go: a file for one picture, a folder for several")
        return self._files(_path(self.out))

    def _files(self, out: Path) -> Outcome:
        from pinxit.jobs.batch import edit_files
        from pinxit.jobs.results import MANIFEST
        from pinxit.jobs.sheet import SHEET

        edited = edit_files(
            self.pictures, self.chain, out, self.settings,
            area=self.area, mask=self.mask, recursive=self.recursive, overwrite=self.overwrite,
        )  # fmt: skip
        files = tuple(out / name for name in ("", MANIFEST, SHEET)) if out.is_dir() else (out,) * (not edited.failures)
        return Outcome(edited.manifest, edited.manifest, files, check=edited.check)

    def _camera(self) -> Outcome:
        files = {"IN": self.pictures, "--out": self.out, "--proof": self.proof, "--map": self.settings.map}
        refuse(files, "{}: cannot be combined with --camera, which saves nothing")
        from pinxit.jobs.live import edit_camera

        shown = edit_camera(
            str(self.camera), self.chain, self.settings, area=self.area, mask=self.mask, side=self.camera_side
        )
        return Outcome(shown, shown._asdict(), lines=[f"{shown.frames:,} frames, {shown.rate:.1f} per second"])

    def _proof(self) -> Outcome:
        if len(self.pictures) > 1 or len(self.chain) > 1 or PIPE in (*self.pictures, self.out):
            raise UsageError("--proof shows one file and one edit, not several or a pipe")
        if not self.out or not self.out.lower().endswith(".html"):
            raise UsageError("--proof writes a page; name it, such as -o proof.html")
        out = _path(self.out)
        refuse_to_replace(out, overwrite=self.overwrite)
        from pinxit.jobs.sheet import save_proof

        save_proof(Path(self.pictures[0]), self.chain[0], out, self.settings.device)
        return Outcome(out, files=(out,))

    def _piped(self) -> Outcome:
        """Edit one picture that comes from stdin, or goes to stdout, or both."""
        if len(self.pictures) > 1:
            raise UsageError("- stands for one picture; give no other picture with it")
        out = None if self.out in (None, PIPE) else _path(str(self.out))
        how = self.settings
        refuse(
            {"--sidecar": how.sidecar, "--map": how.map, "--skip-existing": how.skip_existing, "--frames": how.frames},
            "{}: cannot be combined with - (one picture through a pipe)",
        )
        if out:
            refuse_to_replace(out, overwrite=self.overwrite)
        elif sys.stdout.isatty():
            raise UsageError("the result is a picture, but stdout is a terminal; add > FILE or -o FILE")
        from pinxit.files import write_whole
        from pinxit.jobs.batch import edit_bytes

        source = self.pictures[0]
        name = "stdin" if source == PIPE else source
        device = out is not None and is_device(out)  # its name has no suffix that says the format
        named = None if device else out
        result = edit_bytes(
            _content(source), name, self.chain, self.settings, out=named, area=self.area, mask=self.mask
        )
        if out is None:
            return Outcome(result, stream=result)
        write_whole(out, result)
        return Outcome(out, files=() if device else (out,))


class Redo(Action):
    """Make a result of `pinxit edit` again, or apply the same edits to another picture.

    pinxit reads the recipe from the result, or from OUT.json beside it. The same files give the same bytes.
    """

    result: Annotated[Path, Word("OUT")] = Field(description="File that `pinxit edit` wrote.")
    on: Path | None = Field(
        None, description="The original picture, if it is in another folder; or another picture to edit."
    )
    out: Annotated[Path | None, OUT] = Field(
        None, description="File to write; by default OUT-2, or the name of --on, in the folder of OUT."
    )
    device: str | None = Field(
        None, description="Where to compute: auto, cpu, cuda, cuda:N or mps; by default as the recipe says."
    )
    trust: bool = Field(False, description="Carry out a recipe that asks for unusually many steps or pixels.")
    overwrite: Overwrite = False

    def do(self) -> Outcome:
        """Make the result again; the value is its path."""
        from pinxit.jobs.redo import redo

        out = redo(self.result, self.on, self.out, self.device, self.overwrite, self.trust)
        return Outcome(out, files=(out,))


def _content(source: str) -> bytes:
    """Return the bytes of a file or of stdin; `DataError` if they cannot be read or are too many."""
    if source != PIPE:
        return read_bytes(Path(source), PIPE_CEILING)
    try:
        content = sys.stdin.buffer.read(PIPE_CEILING + 1)
    except OSError as error:
        raise DataError(f"stdin cannot be read ({error.strerror})") from error
    if len(content) > PIPE_CEILING:
        raise DataError(f"stdin: more than {PIPE_CEILING:,} bytes")
    return content


def _path(word: str) -> Path:
    if word.startswith("-") or not word:
        raise UsageError(
            f"-o {word}: name a file or a folder" + (f"; for a file of this name, write ./{word}" if word else "")
        )
    return Path(word)
