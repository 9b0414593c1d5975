"""What a person can do: the table of actions, by the name that the command line and Python take. No torch here."""

from pinxit.actions import codes, data, doctor, edit, evaluate, export, learn, predict, runs, studio
from pinxit.actions.action import Action

ACTIONS: dict[str, type[Action]] = {
    "demo": runs.Demo,
    "learn": learn.Learn,
    # Runs: `train` and `edit` stand for one action per row of their tables, OBJECTIVES and EDITS.
    "train": runs.Train,
    "resume": runs.Resume,
    "sample": codes.Sample,
    # What can be done with the codes of an autoencoder.
    "reconstruct": codes.Reconstruct,
    "traverse": codes.Traverse,
    "morph": codes.Morph,
    "map": codes.Map,
    "codes": codes.Codes,
    "anomaly": codes.Anomaly,
    "compress": codes.Compress,
    "decompress": codes.Decompress,
    # Pictures.
    "edit": edit.Edit,
    "redo": edit.Redo,
    # Recognising.
    "predict": predict.Predict,
    "explain": predict.Explain,
    # Judging.
    "evaluate": evaluate.Evaluate,
    "compare": evaluate.Compare,
    "export": export.Export,
    # Sets of pictures, runs, and this machine.
    "data check": data.DataCheck,
    "data fetch": data.DataFetch,
    "data import": data.DataImport,
    "data pack": data.DataPack,
    "runs list": runs.RunsList,
    "runs show": runs.RunsShow,
    "runs diagnose": runs.RunsDiagnose,
    "doctor": doctor.Doctor,
    "studio": studio.Studio,
}

GROUPS = {
    "data": "Check, fetch, import and pack picture sets.",
    "runs": "List, show and diagnose runs.",
}
"""What the first words of two-word names stand for."""


def variants(name: str) -> dict[str, type[Action]]:
    """Return the actions that can be asked for under a name of the table, by their full names: 'train gan' ..."""
    kind = ACTIONS[name]
    return {f"{name} {word}".strip(): variant for word, variant in kind.variants().items()} or {name: kind}
