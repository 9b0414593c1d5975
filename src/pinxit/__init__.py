"""pinxit: train image generators on your own pictures, edit with deep networks, and trust what comes out.

Every action of the command line is a function here, under the same name with underscores: `pinxit.sample`,
`pinxit.runs_list`. Names are imported when first used, so that `import pinxit` costs nothing.
"""

# Imports only what `python -m` itself has loaded: until __main__ begins, its working folder is searched first.
import os
from importlib import import_module

TYPE_CHECKING = False

__version__ = "0.2.0"

if not os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}:
    # Read when torch is loaded: for how many turns an OpenMP thread waits before it sleeps. With libgomp's own 300,000
    # two trainings at once make half the steps of one; with 10,000 they make as many (benchmarks/speed/busy.py).
    os.environ["GOMP_SPINCOUNT"] = "10000"

if TYPE_CHECKING:
    from typing import Any

    from pinxit.actions import ACTIONS as ACTIONS
    from pinxit.actions.python import edit as edit
    from pinxit.data.settings import DataSettings as DataSettings
    from pinxit.edits import EDITS as EDITS
    from pinxit.latents.sampling import load as load
    from pinxit.objectives import OBJECTIVES as OBJECTIVES
    from pinxit.objectives.settings import ClassifySettings as ClassifySettings
    from pinxit.objectives.settings import DetectSettings as DetectSettings
    from pinxit.objectives.settings import EnhancementSettings as EnhancementSettings
    from pinxit.objectives.settings import GANSettings as GANSettings
    from pinxit.objectives.settings import PriorSettings as PriorSettings
    from pinxit.objectives.settings import RestorationSettings as RestorationSettings
    from pinxit.objectives.settings import SegmentSettings as SegmentSettings
    from pinxit.objectives.settings import TranslationSettings as TranslationSettings
    from pinxit.objectives.settings import VAESettings as VAESettings
    from pinxit.objectives.settings import VQVAESettings as VQVAESettings
    from pinxit.training.settings import TrainingSettings as TrainingSettings
    from pinxit.training.train import train as train
    from pinxit.training.train import train_prior as train_prior

_HOMES = {
    "ACTIONS": "actions",
    "EDITS": "edits",
    "OBJECTIVES": "objectives",
    "ClassifySettings": "objectives.settings",
    "SegmentSettings": "objectives.settings",
    "DetectSettings": "objectives.settings",
    "DataSettings": "data.settings",
    "EnhancementSettings": "objectives.settings",
    "GANSettings": "objectives.settings",
    "PriorSettings": "objectives.settings",
    "RestorationSettings": "objectives.settings",
    "TrainingSettings": "training.settings",
    "TranslationSettings": "objectives.settings",
    "VAESettings": "objectives.settings",
    "VQVAESettings": "objectives.settings",
    "edit": "actions.python",
    "load": "latents.sampling",
    "train": "training.train",
    "train_prior": "training.train",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> "Any":
    """Import one of the public names from its module, or make the function of an action."""
    if name == "EDITORS":  # what EDITS was called in 0.1
        name = "EDITS"
    if name in _HOMES:
        return getattr(import_module(f"pinxit.{_HOMES[name]}"), name)
    if not name.startswith("_") and name in (found := import_module("pinxit.actions.python").functions()):
        return found[name]
    raise AttributeError(f"module 'pinxit' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted({*globals(), *__all__, *import_module("pinxit.actions.python").functions()})
