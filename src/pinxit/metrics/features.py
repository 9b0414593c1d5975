"""What an extractor gives for a set of pictures: the only input of set metrics."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from pinxit.errors import DataError


class Extracted(NamedTuple):
    """The features (N, D) and class posteriors (N, K) of N pictures, float32 or float64."""

    features: Tensor
    posteriors: Tensor

    def rows(self, chosen: Tensor) -> Extracted:
        """Return the rows that an index or a mask chooses."""
        return Extracted(self.features[chosen], self.posteriors[chosen])


def check(*matrices: Tensor, least: int = 2) -> None:
    """Raise `DataError` unless all matrices have at least `least` rows, equal widths and only finite values."""
    for matrix in matrices:
        if len(matrix) < least:
            raise DataError(f"{len(matrix)} pictures are too few for this metric; give at least {least}")
        if matrix.shape[1] != matrices[0].shape[1]:
            raise DataError(
                f"features of {matrices[0].shape[1]} and {matrix.shape[1]} dimensions; use one extractor for both sets"
            )
        if not matrix.isfinite().all():
            raise DataError("features are not finite, so nothing can be measured; look for NaN in the pictures")
