"""What a value of a restored picture costs by its error: rows of `RECONSTRUCTION`, functions of (restored, clean).

They give the loss of every value; its mean is the term. The table needs no torch to be read. A new loss is one row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

ROUND = 1e-3
"""The error, in units of the image range, below which Charbonnier's loss is a parabola."""

RECONSTRUCTION: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    # The mean of what is possible is best: highest PSNR. Counts the noisiest pictures most.
    "l2": lambda restored, clean: (restored - clean).square(),
    # The median is best (Zhao et al., 2017).
    "l1": lambda restored, clean: (restored - clean).abs(),
    # Charbonnier et al., 1994; Lai et al., 2017, eq. 3: l1 with a smooth bottom, less its least value.
    "charbonnier": lambda restored, clean: ((restored - clean).square() + ROUND**2).sqrt() - ROUND,
}
