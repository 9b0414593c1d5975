"""From a request over HTTP to an action: which actions are offered, their forms, and what a request may say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pinxit.actions import variants
from pinxit.actions.action import Action
from pinxit.actions.runs import Resume, Train, TrainPrior, new_folder
from pinxit.commands import Argument, fields, help_of, settings_in
from pinxit.errors import UsageError
from pinxit.settings import did_you_mean, explain
from pinxit.training.run import PRIOR
from pinxit.web.references import Places, in_words, reads, resolved
from pinxit.web.views import Area, View

OUT = "out"
HIDDEN = {
    OUT, "overwrite", "recursive", "proof", "camera", "camera_side", "audit_sheet", "check", "skip_existing", "frames",
}  # fmt: skip
"""Fields that no client gives: where files go is the server's choice, and cameras and films are not offered."""


@dataclass(frozen=True)
class Offer:
    """How an action is offered: the names under which its result may be written, the usual one first."""

    outs: tuple[str, ...] = ()
    lane: str = "work"
    """Which queue its jobs wait in."""


OFFERED = {
    "train": Offer(lane="train"),
    "resume": Offer(lane="train"),
    "edit": Offer(("results",)),
    "sample": Offer(("pictures", "sheet.png", "pictures.npz")),
    "reconstruct": Offer(("sheet.png",)),
    "traverse": Offer(("sheet.png",)),
    "morph": Offer(("sheet.png",)),
    "map": Offer(("sheet.png",)),
    "codes": Offer(),
    "anomaly": Offer(("anomalies",)),
    "predict": Offer(("predictions",)),
    "explain": Offer(("explanations",)),
    "evaluate": Offer(("certificate.json",)),
    "compare": Offer(),
    "export": Offer(("model.onnx",)),
    "data check": Offer(("check",)),
    "runs diagnose": Offer(),
    "doctor": Offer(),
}
"""The actions of `ACTIONS` that clients may ask for."""


@cache
def kinds() -> Mapping[str, tuple[type[Action], Offer]]:
    """Return every action that is offered, with its offer, by its full name: "edit denoise", "train gan"."""
    found = {full: (kind, offer) for name, offer in OFFERED.items() for full, kind in variants(name).items()}
    return found | {"view": (View, Offer(("view.png",), "view")), "area": (Area, Offer(("area.png",), "view"))}


def kind_of(name: str) -> tuple[type[Action], Offer]:
    """Return an action that is offered; `UsageError` if none has this name."""
    if name not in kinds():
        raise UsageError(f"no action {name[:80]!r}{did_you_mean(name, kinds())}")
    return kinds()[name]


def asked(name: str, request: Mapping[str, Any], find: Callable[[str], str], out: Path) -> Action:
    """Return the action that a request asks for, with what `find` gives for references, and its result under `out`.

    Raises `UsageError` if the request is wrong, `DataError` if a reference leads nowhere.
    """
    kind, offer = kind_of(name)
    values = {key: {} for key, field in kind.model_fields.items() if settings_in(field)} | dict(request)
    chosen = values.pop(OUT, offer.outs[0] if offer.outs else None)
    if chosen is not None and chosen not in offer.outs:
        raise UsageError(f"out: should be one of {', '.join(offer.outs)}" if offer.outs else "out: not of this action")
    given = {*values, *(key for value in values.values() if isinstance(value, Mapping) for key in value)}
    if hidden := sorted(given & HIDDEN):
        raise UsageError(f"{hidden[0]}: cannot be given over HTTP")
    try:
        # `out` is required of some actions, and is no reference
        action = resolved(kind.model_validate(values | ({OUT: chosen} if chosen else {})), find)
    except ValidationError as error:
        raise UsageError(explain(error, [one.path[-1] for one in fields(kind) if not HIDDEN & {*one.path}])) from error
    place = str(out / chosen) if chosen else None
    if place is None:
        return action
    typed = place if kind.model_fields[OUT].annotation == str | None else Path(place)
    return action.model_copy(update={OUT: typed})


def run_of(action: Action, request: Mapping[str, Any], places: Places) -> tuple[Action, dict[str, str] | None]:
    """Return the action with the folder of its run, and the run's name and folder; None if it trains none of ours."""
    if isinstance(action, Train):
        action = action.model_copy(
            update={"out": new_folder(action.objective, in_words(request["source"]), places.runs)}
        )
    folder = _trained(action)
    if folder is None or not folder.is_relative_to(places.runs):
        return action, None
    return action, {"name": str(folder.relative_to(places.runs)), "folder": str(folder)}


def _trained(action: Action) -> Path | None:
    """Return the folder of the run that an action trains, if it trains one."""
    if isinstance(action, TrainPrior):
        return action.run / PRIOR
    if isinstance(action, Resume):
        return action.run
    return action.out if isinstance(action, Train) else None


@cache
def form(name: str) -> dict[str, Any]:
    """Return what a client needs to ask for an action: its help, its fields in order, and its JSON schema."""
    kind, offer = kind_of(name)
    return {
        "name": name,
        "summary": kind.summary(),
        "help": help_of(kind),
        "outs": list(offer.outs),
        "lane": offer.lane,
        "fields": [_field(one, kind) for one in fields(kind) if not HIDDEN & {*one.path}],
        "schema": kind.model_json_schema(),
    }


def _field(one: Argument, kind: type[Action]) -> dict[str, Any]:
    *around, name = one.path
    owner: Any = kind.model_fields[around[0]].annotation if around else kind
    schema = _schema(owner)
    own = dict(schema["properties"][name])
    if "$defs" in schema:
        own["$defs"] = schema["$defs"]
    return {
        "path": list(one.path),
        "name": one.name,
        "heading": one.heading,
        "first": one.first,
        "description": one.field.description,
        "required": one.field.is_required(),
        "reads": reads(one.field),
        "schema": own,
    }


@cache
def _schema(kind: Any) -> dict[str, Any]:
    """Return the JSON schema of a settings class."""
    return dict(kind.model_json_schema())
