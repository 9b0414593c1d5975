"""Arrays of a file's depth to float tensors and back."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_float(rows: np.ndarray) -> Tensor:
    """Return (N, H, W, C) uint8 or uint16 as float32 (N, C, H, W) in [0, 1]."""
    top = np.iinfo(rows.dtype).max
    channels_first = torch.from_numpy(np.require(rows, requirements="W")).permute(0, 3, 1, 2).contiguous()
    return channels_first.to(torch.float32).div_(top)


def to_uint8(images: Tensor) -> np.ndarray:
    """Return float (N, C, H, W) as (N, H, W, C) uint8: clipped to [0, 1], rounded."""
    rounded = images.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return rounded.permute(0, 2, 3, 1).contiguous().cpu().numpy()
