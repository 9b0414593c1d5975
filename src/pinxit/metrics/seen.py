"""What an extractor saw in a set of pictures, which is all that set metrics know of it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from pinxit.errors import DataError


class Seen(NamedTuple):
    """The features (N, D) and class posteriors (N, K) of N pictures, one row a picture, float32 or float64."""

    features: Tensor
    posteriors: Tensor


def check(*matrices: Tensor, least: int = 2) -> None:
    """Raise `DataError` unless all matrices have `least` rows, equally many columns and finite numbers alone."""
    for matrix in matrices:
        if len(matrix) < least:
            raise DataError(f"a set of {len(matrix)} pictures is too small for this measure; give at least {least}")
        if matrix.shape[1] != matrices[0].shape[1]:
            raise DataError(
                f"features of {matrices[0].shape[1]} and {matrix.shape[1]} dimensions; use one extractor for both sets"
            )
        if not matrix.isfinite().all():
            raise DataError("features are not finite, so nothing can be measured; look for NaN in the pictures")
