"""Networks built on torch's device `meta`, without memory, before checked weights are assigned."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@contextmanager
def without_memory() -> Iterator[None]:
    """Build networks whose tensors have shapes but no values: on the device `meta`, without initial weights.

    Follow with `load_state_dict(..., assign=True)`. On `meta`, random initialisation would load torch's compiler, which
    takes seconds.
    """
    with torch.device("meta"), _NoInitialisation():
        yield


class _NoInitialisation(TorchFunctionMode):
    """Skips filling tensors with random numbers."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if function in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        if getattr(function, "__module__", None) == nn.init.__name__:  # what it calls would not pass here again
            return args[0] if args else given["tensor"]
        return function(*args, **given)
