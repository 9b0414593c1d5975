"""What an extractor gives for a set of pictures: the only input of set metrics."""

from __future__ import annotations

from collections.abc import Iterable
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


def gathered(parts: Iterable[Extracted], n: int) -> Extracted:
    """Return the n rows, at least 1, that come in parts. Each part is let go once it is copied, so memory is n rows."""
    whole: Extracted | None = None
    done = 0
    for part in parts:
        whole = whole or Extracted(*(tensor.new_empty(n, tensor.shape[1]) for tensor in part))
        for tensor, rows in zip(whole, part, strict=True):
            tensor[done : done + len(rows)] = rows
        done += len(part.features)
    assert whole is not None
    assert done == n
    return whole


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
