"""Training data: named sets, folders, zips, npz and IDX files are packed once and given as batches.

The names below are imported when first used, so that settings and `--help` never load numpy or torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pinxit.data.batch import Batch, batch_at
    from pinxit.data.boxes.opening import open_boxes
    from pinxit.data.kinds import open_kinds
    from pinxit.data.masks import open_masked
    from pinxit.data.pairs import is_packed, open_matted, open_packed, open_pairs
    from pinxit.data.sets import DataSet, ImageSet, open_data

_HOMES = {
    "Batch": "batch",
    "DataSet": "sets",
    "ImageSet": "sets",
    "batch_at": "batch",
    "is_packed": "pairs",
    "open_boxes": "boxes.opening",
    "open_data": "sets",
    "open_kinds": "kinds",
    "open_masked": "masks",
    "open_matted": "pairs",
    "open_packed": "pairs",
    "open_pairs": "pairs",
}
__all__ = [
    "Batch",
    "DataSet",
    "ImageSet",
    "batch_at",
    "is_packed",
    "open_boxes",
    "open_data",
    "open_kinds",
    "open_masked",
    "open_matted",
    "open_packed",
    "open_pairs",
]


def __getattr__(name: str) -> Any:
    """Import one of the names above from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
