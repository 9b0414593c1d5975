"""The cheapest labelling of two choices on a graph, by a minimum cut."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

UNIT = 20_000
"""Steps of a cost of 1; capacities are integers."""
LARGEST = 1_000
"""Costs are clipped to this."""


def cheapest(yes: np.ndarray, pairs: tuple[np.ndarray, np.ndarray], costs: np.ndarray) -> np.ndarray:
    """Return the nodes that say yes, (N,) bool, at the lowest sum of costs.

    `yes` (N,) is the cost of each node's yes, which may be negative; a no is free. `pairs` are two vectors (M,) of
    nodes, a and b, and `costs` (4, M) those of no-no, no-yes, yes-no and yes-yes. Where these are not submodular, the
    cost of a pair is lowered until they are (Kolmogorov and Zabih, 2004, section 4.1). Of equal labellings the one
    with fewest yes counts.
    """
    one, other = pairs
    neither, second, first, both = costs
    single = yes.astype(np.float64)
    np.add.at(single, one, first - neither)
    np.add.at(single, other, both - first)
    joint = _integers(np.maximum(second + first - neither - both, 0))  # of b's yes with a's no
    flow = _integers(single)
    gain, loss = np.flatnonzero(flow < 0), np.flatnonzero(flow > 0)
    if not len(gain):
        return np.zeros(len(yes), bool)
    start, end = len(yes), len(yes) + 1
    rows = np.concatenate([one, other, np.full_like(loss, start), gain])
    columns = np.concatenate([other, one, loss, np.full_like(gain, end)])
    capacity = np.concatenate([joint, np.zeros_like(joint), flow[loss], -flow[gain]])
    graph = csr_matrix((capacity.astype(np.int32), (rows, columns)), shape=(end + 1, end + 1))
    left = graph - maximum_flow(graph, start, end).flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    no = np.zeros(end + 1, bool)
    no[breadth_first_order(left, start, return_predecessors=False)] = True
    return np.asarray(~no[:start])


def _integers(costs: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(costs, -LARGEST, LARGEST) * UNIT).astype(np.int64)
