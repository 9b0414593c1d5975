"""Networks built on torch's device `meta`, without memory, before checked weights are assigned."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
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
        return args[0] if function in (Tensor.normal_, Tensor.uniform_) else function(*args, **(kwargs or {}))
