"""The table of actions as Python functions: the fields of an action are the arguments, `Outcome.value` the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import Parameter, Signature, cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin

from pydantic.fields import FieldInfo

from pinxit.actions import ACTIONS
from pinxit.actions.action import Action, Word, mark
from pinxit.actions.edit import Edit

if TYPE_CHECKING:
    import numpy as np

    from pinxit.edits.mask import Mask
    from pinxit.edits.settings import Edit as Step
    from pinxit.images import Picture
    from pinxit.jobs.settings import EditSettings


def functions() -> dict[str, Callable[..., Any]]:
    """Return a function for each action that has no variants, by its name with underscores, and `edit`.

    To train with a settings class, call `pinxit.training.train.train`.
    """
    plain = {name.replace(" ", "_"): kind for name, kind in ACTIONS.items() if "variants" not in vars(kind)}
    return {name: function(name, kind) for name, kind in plain.items()} | {"edit": edit}


def function(name: str, kind: type[Action]) -> Callable[..., Any]:
    """Return the function of an action: words by place or name, flags by name.

    What takes several takes one alone, too, and a path may be a `Path` wherever it may be a text.
    """
    signature = Signature([_parameter(key, kind) for key in kind.model_fields])

    def act(*words: Any, **flags: Any) -> Any:
        given = signature.bind(*words, **flags).arguments
        return value(kind.parse({key: _asked(each, kind.model_fields[key]) for key, each in given.items()}))

    act.__name__ = act.__qualname__ = name
    act.__doc__ = _doc(kind)
    act.__signature__ = signature  # type: ignore[attr-defined]
    return act


def _asked(given: Any, field: FieldInfo) -> Any:
    """Return an argument as the command line would give it."""
    if get_origin(field.annotation) is not tuple or not isinstance(given, str | Path | list | tuple):
        return str(given) if isinstance(given, Path) else given
    several = [given] if isinstance(given, str | Path) else given
    return tuple(str(one) if isinstance(one, Path) else one for one in several)


def value(action: Action) -> Any:
    """Carry out an action and return its value, or raise its failure."""
    outcome = action.do()
    outcome.check()
    return outcome.value


def edit(
    source: Path | str | Picture | np.ndarray | Sequence[Path | str],
    chain: str | Step | Sequence[Step],
    *,
    mask: Path | str | Picture | np.ndarray | None = None,
    area: Mask | None = None,
    strength: float = 1.0,
    memory: int | None = None,
    device: str = "auto",
    out: Path | str | None = None,
    recursive: bool = False,
    overwrite: bool = False,
    settings: EditSettings | None = None,
) -> Any:
    """Edit one picture and return it; with `out`, edit files and folders into `out` and return the manifest.

    `chain` is a text such as "denoise | upscale(scale=2)", an `Edit`, or several.

    Without `out`, `source` is a file, a `Picture`, or an array (H, W) or (H, W, C) of uint8, uint16, or float32 in
    [0, 1], with C in {1, 3, 4}. An array gives an array, all else a `Picture`. `mask` is a file, a picture or an array
    (H, W) in [0, 1], white or 1 where to change. Nothing is saved.

    With `out`, `source` is a file, a folder, a pattern, or a list of them, `mask` a file or a folder, and `settings`
    holds what `pinxit edit --help` lists under "How". `strength`, `memory` and `device` are part of it.
    """
    from pinxit.edits import edit as one
    from pinxit.edits.mask import Mask
    from pinxit.jobs.settings import EditSettings

    area = area or Mask()
    if out is None:
        how: dict[str, Any] = {"strength": strength, "memory": memory, "device": device}
        return one(source, chain, mask=mask, area=area, **how)  # type: ignore[arg-type]
    names: Any = [source] if isinstance(source, str | Path) else source
    request = {
        "edit": chain,
        "pictures": [str(name) for name in names],
        "out": str(out),
        "mask": mask,
        "area": area,
        "settings": settings or EditSettings(strength=strength, max_memory=memory, device=device),
        "recursive": recursive,
        "overwrite": overwrite,
    }
    return value(Edit.variants()[""].parse(request))


def _parameter(name: str, kind: type[Action]) -> Parameter:
    field = kind.model_fields[name]
    place = Parameter.POSITIONAL_OR_KEYWORD if mark(field.metadata, Word) else Parameter.KEYWORD_ONLY
    default = Parameter.empty if field.is_required() else field.default
    return Parameter(name, place, default=default, annotation=field.annotation)


def _doc(kind: type[Action]) -> str:
    fields = "\n".join(f"    {name}: {field.description}" for name, field in kind.model_fields.items())
    does = cleandoc(kind.do.__doc__ or "")
    return f"{cleandoc(kind.__doc__ or '')}\n\n{does}\n" + (f"\nArguments:\n{fields}\n" if fields else "")
