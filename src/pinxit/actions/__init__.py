"""What a person can do: the table of actions, by the name that the command line and Python take. No torch here."""

from pinxit.actions.action import Action
from pinxit.actions.codes import (
    Anomaly,
    Codes,
    Compress,
    Decompress,
    Map,
    Morph,
    Reconstruct,
    Sample,
    Traverse,
)
from pinxit.actions.data import DataCheck, DataFetch, DataImport, DataPack
from pinxit.actions.edit import Edit, Redo
from pinxit.actions.evaluate import Compare, Evaluate
from pinxit.actions.house import Doctor, Export
from pinxit.actions.runs import Demo, Resume, RunsList, RunsShow, Train

ACTIONS: dict[str, type[Action]] = {
    "demo": Demo,
    # Runs: `train` and `edit` stand for one action per row of their tables, OBJECTIVES and EDITS.
    "train": Train,
    "resume": Resume,
    "sample": Sample,
    # What can be done with the codes of an autoencoder.
    "reconstruct": Reconstruct,
    "traverse": Traverse,
    "morph": Morph,
    "map": Map,
    "codes": Codes,
    "anomaly": Anomaly,
    "compress": Compress,
    "decompress": Decompress,
    # Pictures.
    "edit": Edit,
    "redo": Redo,
    # Judging.
    "evaluate": Evaluate,
    "compare": Compare,
    "export": Export,
    # Sets of pictures, runs, and this machine.
    "data check": DataCheck,
    "data fetch": DataFetch,
    "data import": DataImport,
    "data pack": DataPack,
    "runs list": RunsList,
    "runs show": RunsShow,
    "doctor": Doctor,
}

GROUPS = {
    "data": "Check, fetch, import and pack picture sets.",
    "runs": "List and show runs.",
}
"""What the first words of two-word names stand for."""


def variants(name: str) -> dict[str, type[Action]]:
    """Return the actions that can be asked for under a name of the table, by their full names: 'train gan' ..."""
    kind = ACTIONS[name]
    return {f"{name} {word}".strip(): variant for word, variant in kind.variants().items()} or {name: kind}
