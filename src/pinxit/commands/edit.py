"""`pinxit edit`: repair or enhance pictures; one sub-command for each row of `EDITS`, and chains of them as text."""

# Annotations are read when a command is made, for its settings class is known only then: no `annotations` import here.
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import App, Parameter
from cyclopts.validators import Number
from pydantic import Field, create_model

from pinxit.commands import Json
from pinxit.edits import EDITS
from pinxit.edits.mask import Mask
from pinxit.edits.settings import Edit
from pinxit.errors import DataError, UsageError
from pinxit.jobs.listing import PIPE
from pinxit.jobs.settings import EditSettings
from pinxit.settings import Settings, did_you_mean, parse_chain

S = TypeVar("S", bound=Settings)

PIPE_CEILING = 1 << 30

app = App(name="edit", help="Repair or enhance pictures: files, folders, or one from stdin.")

Words = Annotated[
    str,
    Parameter(
        name="IN",
        allow_leading_hyphen=True,
        help="Pictures: files, folders, patterns in quotes such as 'photos/*.jpg', or - for one from stdin.",
    ),
]


def flags_of(kind: type[Settings]) -> type[Settings]:
    """Return a settings class for the command line, where a value of several parts is one word: 1,2,64,64 or 0.2..1."""
    parts: dict[str, Any] = {
        name: (str | None, Field(None, description=field.description))
        for name, field in kind.model_fields.items()
        if "tuple" in str(field.annotation)
    }
    return create_model(kind.__name__, __base__=kind, __doc__=kind.__doc__, **parts) if parts else kind


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where results go; what every `pinxit edit` asks beside the edit itself."""

    out: Annotated[
        str | None,
        Parameter(
            name=["-o", "--out"],
            allow_leading_hyphen=True,
            help="A file for one picture, a folder for several, - for stdout.",
        ),
    ] = None
    recursive: Annotated[
        bool, Parameter(name=["-r", "--recursive"], negative=(), help="Take the folders inside folders too.")
    ] = False
    overwrite: Annotated[
        bool, Parameter(name=["-y", "--overwrite"], negative=(), help="Replace what is there already.")
    ] = False
    mask: Annotated[
        Path | None,
        Parameter(help="A picture, white where to change; or a folder of them, called like the pictures."),
    ] = None
    proof: Annotated[
        bool,
        Parameter(
            negative=(),
            help="A page of one picture at several strengths instead, with the command under each: -o P.html.",
        ),
    ] = False
    as_json: Json = False
    camera: Annotated[
        str | None,
        Parameter(help="Edit what a camera of this number shows, 0 for the first, in a window; or a file of a film."),
    ] = None
    camera_side: Annotated[
        int, Parameter(validator=Number(gte=1), help="Pixels that the longer side of its frames has at most.")
    ] = 320


FLAGS = ("--out", "--recursive", "--overwrite", "--mask", "--proof", "--json", "--camera", "--camera-side")

MASK = Parameter(name="*", group="Where to change")
FilesFlags = Annotated[Files, Parameter(name="*", group="Files")]
EditFlags = Annotated[EditSettings, Parameter(name="*", group="How")]


@app.default
def chain(
    edit: Annotated[str, Parameter(name="EDIT")],
    /,
    *words: Words,
    files: FilesFlags = Files(),
    mask: Annotated[flags_of(Mask) | None, MASK] = None,  # type: ignore[valid-type]
    settings: EditFlags = EditSettings(),
) -> None:
    """Repair or enhance pictures. Originals are never touched, and a result is whole or not there.

    A name from the list of commands takes its settings as flags: pinxit edit NAME --help. Anything else is a chain of
    edits, such as "denoise | upscale(scale=2)".

    Parameters
    ----------
    edit
        The edits as text: name(setting=value, ...), several with | between, or a JSON list.
    """
    edits = parse_chain(edit, EDITS, "edit")
    _refuse_flags(words, (), "; in a chain, an edit's settings stand in brackets behind its name")
    _edit(words, edits, files, _parsed(Mask, mask), settings)


def command(kind: type[Edit]) -> Callable[..., None]:
    """Return the command that edits pictures so, whose flags are the fields of `kind`."""

    def edit(
        *words: Words,
        editor: Annotated[flags_of(kind) | None, Parameter(name="*", group="The edit")] = None,  # type: ignore[valid-type]
        files: FilesFlags = Files(),
        mask: Annotated[flags_of(Mask) | None, MASK] = None,  # type: ignore[valid-type]
        settings: EditFlags = EditSettings(),
    ) -> None:
        _refuse_flags(words, (kind, Mask, EditSettings))
        _edit(words, (_parsed(kind, editor),), files, _parsed(Mask, mask), settings)

    return edit


for name, kind in EDITS.items():
    app.command(command(kind), name=name, help=kind.__doc__)


def _parsed(kind: type[S], flags: Settings | None) -> S:
    return kind.parse(flags.model_dump(exclude_unset=True) if flags else {})


def _edit(words: Sequence[str], edits: Sequence[Edit], files: Files, mask: Mask, settings: EditSettings) -> None:
    """Edit as the words ask: through a pipe, or files into a file or a folder."""
    if files.camera is not None:
        _edit_live(words, edits, files, mask, settings)
        return
    if not words:
        raise UsageError("name the pictures: files, folders, patterns in quotes, or - for one from stdin")
    if files.proof:
        _prove(words, edits, files, settings)
        return
    if PIPE in (*words, files.out):
        _edit_piped(words, edits, files, mask, settings)
        return
    if files.out is None:
        raise UsageError("-o says where results go: a file for one picture, a folder for several")
    from pinxit.jobs.batch import MANIFEST, edit_files
    from pinxit.jobs.sheet import SHEET

    out = _path(files.out)
    edited = edit_files(
        words, edits, out, settings,
        area=mask, mask=files.mask, recursive=files.recursive, overwrite=files.overwrite,
    )  # fmt: skip
    if files.as_json:
        print(json.dumps(edited.manifest, indent=2, ensure_ascii=False))
    elif out.is_dir():
        print(*(out / name for name in ("", MANIFEST, SHEET)), sep="\n")
    elif not edited.failures:
        print(out)
    edited.check()


def _edit_live(words: Sequence[str], edits: Sequence[Edit], files: Files, mask: Mask, settings: EditSettings) -> None:
    """Show what a camera sees, edited."""
    given = {"IN": words, "--out": files.out, "--proof": files.proof, "--json": files.as_json, "--map": settings.map}
    if wrong := [name for name, is_given in given.items() if is_given]:
        raise UsageError(f"{' and '.join(wrong)}: not together with --camera, which shows and keeps nothing")
    from pinxit.jobs.live import edit_camera

    source = str(files.camera)
    shown = edit_camera(source, edits, settings, area=mask, mask=files.mask, side=files.camera_side)
    print(f"{shown.frames:,} frames, {shown.rate:.1f} a second")


def _prove(words: Sequence[str], edits: Sequence[Edit], files: Files, settings: EditSettings) -> None:
    """Write a page of one picture edited so at several strengths."""
    if len(words) > 1 or len(edits) > 1 or PIPE in (*words, files.out):
        raise UsageError("--proof shows one file and one edit, not several or a pipe")
    if not files.out or not files.out.lower().endswith(".html"):
        raise UsageError("--proof writes a page; give it a name such as -o proof.html")
    out = _path(files.out)
    if out.exists() and not files.overwrite:
        raise UsageError(f"{out} is there already; -y makes it anew")
    from pinxit.jobs.sheet import save_proof

    save_proof(Path(words[0]), edits[0], out, settings.device)
    print(out)


def _edit_piped(words: Sequence[str], edits: Sequence[Edit], files: Files, mask: Mask, settings: EditSettings) -> None:
    """Edit one picture that comes from stdin, or goes to stdout, or both."""
    if len(words) > 1:
        raise UsageError("- is one picture, and goes alone")
    out = None if files.out in (None, PIPE) else _path(str(files.out))
    _refuse_beside_a_pipe(out, files, settings)
    from pinxit.files import write_whole
    from pinxit.jobs.batch import edit_bytes

    name = "stdin" if words[0] == PIPE else words[0]
    content = _content(words[0])
    result = edit_bytes(content, name, edits, settings, out=out, area=mask, mask=files.mask)
    if out:
        write_whole(out, result)
        print(out)
    else:
        sys.stdout.buffer.write(result)
        sys.stdout.buffer.flush()


def _refuse_beside_a_pipe(out: Path | None, files: Files, settings: EditSettings) -> None:
    given = {
        "--json": files.as_json, "--sidecar": settings.sidecar, "--map": settings.map,
        "--skip-existing": settings.skip_existing, "--frames": settings.frames,
    }  # fmt: skip
    if wrong := [flag for flag, is_given in given.items() if is_given]:
        raise UsageError(f"{' and '.join(wrong)}: not together with -, one picture through a pipe")
    if out is None and sys.stdout.isatty():
        raise UsageError("stdout is a terminal, and the result a picture; add > FILE or -o FILE")
    if out and out.exists() and not files.overwrite:
        raise UsageError(f"{out} is there already; -y makes it anew")


def _content(word: str) -> bytes:
    """Return the bytes of a file or of stdin; `DataError` if there are none or too many."""
    try:
        with nullcontext(sys.stdin.buffer) if word == PIPE else Path(word).open("rb") as file:
            content = file.read(PIPE_CEILING + 1)
    except OSError as error:
        raise DataError(f"{word}: cannot be read ({error.strerror})") from error
    if len(content) > PIPE_CEILING:
        raise DataError(f"{word}: more than {PIPE_CEILING:,} bytes")
    return content


def _path(word: str) -> Path:
    if word.startswith("-") or not word:
        raise UsageError(f"-o {word}: give a file or a folder" + (f", ./{word} if it is called so" if word else ""))
    return Path(word)


def _refuse_flags(words: Iterable[str], kinds: Iterable[type[Settings]], hint: str = "") -> None:
    """Raise `UsageError` for a misspelt flag: a word that begins with a hyphen and is no file."""
    for word in words:
        if word.startswith("-") and word != PIPE and not Path(word).exists():
            flags = [f"--{name.replace('_', '-')}" for kind in kinds for name in kind.model_fields]
            raise UsageError(f"unknown option {word}{hint or did_you_mean(word, (*FLAGS, *flags))}")
