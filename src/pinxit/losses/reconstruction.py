"""Reconstruction losses: rows of `RECONSTRUCTION`, functions of (restored, clean) that return each value's loss.

The term is their mean. Reading the table imports no torch. A new loss is one row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

ROUND = 1e-3
"""The error, in units of the image range, below which the Charbonnier loss is nearly a parabola."""

RECONSTRUCTION: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    # The best answer is the mean of all possible pictures: highest PSNR. The noisiest pictures count most.
    "l2": lambda restored, clean: (restored - clean).square(),
    # The best answer is their median (Zhao et al., 2017).
    "l1": lambda restored, clean: (restored - clean).abs(),
    # Charbonnier et al., 1994; Lai et al., 2017, eq. 3: l1 with a smooth minimum, shifted to 0.
    "charbonnier": lambda restored, clean: ((restored - clean).square() + ROUND**2).sqrt() - ROUND,
}
