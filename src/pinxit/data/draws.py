"""Random numbers as a function of where they are used: equal on every machine, at any batch size, in any order.

A row's key is a hash of (seed, step, stream) and the row's index; its numbers are SplitMix64 outputs counted from that
key (Steele, Lea and Flood, 2014), all rows at once. There is no state between draws.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

import numpy as np

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def row_keys(seed: int, step: int, rows: np.ndarray, stream: str) -> np.ndarray:
    """Return one uint64 key for each row index (n,) of a step; each `stream` name gives independent keys."""
    digest = hashlib.blake2b(f"{seed} {step} {stream}".encode(), digest_size=8).digest()
    return _mixed(np.uint64(int.from_bytes(digest, "little")) + rows.astype(np.uint64) * _GAMMA)


def words(keys: np.ndarray, count: int) -> np.ndarray:
    """Return `count` random 64-bit words for each key: (n, count) uint64."""
    return _mixed(keys[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _GAMMA)


def uniform(keys: np.ndarray, count: int) -> np.ndarray:
    """Return `count` numbers for each key, uniform in [0, 1): (n, count) float32 of 24 bits each."""
    return (words(keys, count) >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def coarse(keys: np.ndarray, count: int) -> np.ndarray:
    """Return `count` numbers for each key, uniform in [0, 1): (n, count) float32 of 16 bits, in a quarter of the time.

    Meant to be compared with a probability: the share of smaller numbers differs from it by less than 2^-16.
    """
    quarters = words(keys, (count + 3) // 4).astype("<u8", copy=False).view("<u2")[:, :count]
    return quarters.astype(np.float32) * np.float32(2**-16)


def normal(keys: np.ndarray, count: int) -> np.ndarray:
    """Return `count` standard normal numbers for each key: (n, count) float32 (Box and Muller, 1958)."""
    bits = words(keys, (count + 1) // 2)
    radius = np.sqrt(-2 * np.log(((bits >> np.uint64(32)).astype(np.float64) + 1) * 2**-32))
    angle = (bits & np.uint64(0xFFFFFFFF)).astype(np.float64) * (2 * math.pi * 2**-32)
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return pairs.reshape(len(keys), -1)[:, :count].astype(np.float32)


@lru_cache(maxsize=4)
def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return a random permutation of `count` numbers: (count,) int64, a function of (seed, epoch); do not change it."""
    order: np.ndarray = np.argsort(words(row_keys(seed, epoch, np.arange(1), "permutation"), count)[0], kind="stable")
    return order


def _mixed(state: np.ndarray) -> np.ndarray:
    """Return the finaliser of SplitMix64, which turns a counter into noise."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = state ^ (state >> np.uint64(31))
    return mixed
