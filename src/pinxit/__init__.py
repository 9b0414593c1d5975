"""pinxit: train image generators on your own pictures, edit with deep networks, and trust what comes out.

The names below are imported when first used, so that `import pinxit` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pinxit.codes.sampling import load
    from pinxit.data.settings import DataSettings
    from pinxit.edits import EDITS, edit
    from pinxit.evaluation.evaluate import evaluate
    from pinxit.objectives import OBJECTIVES
    from pinxit.objectives.settings import (
        EnhancementSettings,
        GANSettings,
        PriorSettings,
        RestorationSettings,
        VAESettings,
        VQVAESettings,
    )
    from pinxit.training.settings import TrainingSettings
    from pinxit.training.train import resume, train, train_prior

_HOMES = {
    "EDITS": "edits",
    "OBJECTIVES": "objectives",
    "DataSettings": "data.settings",
    "EnhancementSettings": "objectives.settings",
    "GANSettings": "objectives.settings",
    "PriorSettings": "objectives.settings",
    "RestorationSettings": "objectives.settings",
    "TrainingSettings": "training.settings",
    "VAESettings": "objectives.settings",
    "VQVAESettings": "objectives.settings",
    "edit": "edits",
    "evaluate": "evaluation.evaluate",
    "load": "codes.sampling",
    "resume": "training.train",
    "train": "training.train",
    "train_prior": "training.train",
}

__all__ = [
    "EDITS",
    "OBJECTIVES",
    "DataSettings",
    "EnhancementSettings",
    "GANSettings",
    "PriorSettings",
    "RestorationSettings",
    "TrainingSettings",
    "VAESettings",
    "VQVAESettings",
    "edit",
    "evaluate",
    "load",
    "resume",
    "train",
    "train_prior",
]


def __getattr__(name: str) -> Any:
    """Import one of the public names from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pinxit' has no attribute {name!r}")
    return getattr(import_module(f"pinxit.{_HOMES[name]}"), name)
