"""pinxit: train image generators on your own pictures, edit with deep networks, and trust what comes out.

Every action of the command line is a function here, under the same name with underscores: `pinxit.sample`,
`pinxit.runs_list`. Names are imported when first used, so that `import pinxit` costs nothing.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pinxit.actions import ACTIONS
    from pinxit.actions.python import edit
    from pinxit.codes.sampling import load
    from pinxit.data.settings import DataSettings
    from pinxit.edits import EDITS
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
    from pinxit.training.train import train, train_prior

_HOMES = {
    "ACTIONS": "actions",
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
    "edit": "actions.python",
    "load": "codes.sampling",
    "train": "training.train",
    "train_prior": "training.train",
}

_MODULES = ("codes", "export")
"""Modules that share their name with an action; see `_Callable`."""

__all__ = [
    "ACTIONS",
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
    "load",
    "train",
    "train_prior",
]


def __getattr__(name: str) -> Any:
    """Import one of the public names from its module, or make the function of an action."""
    if name == "EDITORS":  # what EDITS was called in 0.1
        name = "EDITS"
    if name in _HOMES:
        return getattr(import_module(f"pinxit.{_HOMES[name]}"), name)
    if name in _MODULES:
        return import_module(f"pinxit.{name}")
    if not name.startswith("_") and name in (found := import_module("pinxit.actions.python").functions()):
        return found[name]
    raise AttributeError(f"module 'pinxit' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted({*globals(), *__all__, *import_module("pinxit.actions.python").functions()})


class _Package(ModuleType):
    """Makes the submodules in `_MODULES` callable when they are imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _MODULES and isinstance(value, ModuleType):
            value.__class__ = _Callable
        super().__setattr__(name, value)


class _Callable(ModuleType):
    """A module that is also the function of the action of its name."""

    def __call__(self, *words: Any, **flags: Any) -> Any:
        """Carry out the action."""
        return self.__signed__(*words, **flags)

    @property
    def __signed__(self) -> Any:
        return import_module("pinxit.actions.python").functions()[self.__name__.rpartition(".")[2]]

    @property
    def __signature__(self) -> Any:
        return self.__signed__.__signature__


sys.modules[__name__].__class__ = _Package
