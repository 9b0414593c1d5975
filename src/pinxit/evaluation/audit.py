"""The copy audit: whether generated pictures are copies of training pictures, judged against held-out real ones."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pinxit.data.render import fit_picture, with_channels
from pinxit.errors import DataError
from pinxit.evaluation.extraction import extract, extract_cached
from pinxit.evaluation.pictures import Pictures, identity
from pinxit.images import eight_bit, grid
from pinxit.metrics.copying import FALSE_FLAGS, FEWEST_HELD_OUT, Closeness, closeness, copying_z, threshold
from pinxit.metrics.extractors import Extractor
from pinxit.metrics.intervals import Estimate, share_estimate

SHOWN = 20
PAIRS_A_ROW = 4
LARGEST_SHOWN = 128
AS_A_WHOLE = -3.0
"""A C_T at or below this is significant."""

SAME = 1e-5
"""The largest distance that rounding causes between feature directions of one picture. One grey level causes more."""

STATISTIC = (
    "distance to the nearest training picture over the mean distance from that one to its own 5 nearest, between the "
    "directions of features (each divided by its length); flagged at or below the nearest 1 % of one half of the "
    "held-out pictures; false flags among the other half; held-out pictures that are training pictures are left out, "
    "and C_T is of distinct generated pictures"
)


@dataclass(frozen=True)
class NearestPair:
    """Generated picture number `generated` and its nearest training picture, at a distance of `ratio` spacings."""

    generated: int
    training: int
    name: str
    ratio: float


@dataclass(frozen=True)
class Audit:
    """What `audit` found. `flagged`, `false_flags`, `threshold` and `copying_z` are None where there is no verdict.

    `distinct` is the number of different generated pictures. `duplicates` is the number of held-out pictures that were
    left out because they are training pictures too.
    """

    flagged: Estimate | None
    false_flags: Estimate | None
    threshold: float | None
    copying_z: float | None
    authenticity: float
    authenticity_of_real: float
    distinct: int
    duplicates: int
    nearest: tuple[NearestPair, ...]
    protocol: dict[str, Any]

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        generated, held_out = self.protocol["generated"], self.protocol["held_out"]
        if self.flagged is None or self.false_flags is None:
            return (
                f"no verdict: {held_out['name']} has {held_out['pictures'] - self.duplicates} pictures that are not "
                f"training pictures, and {FEWEST_HELD_OUT} are needed to measure how near real pictures come; hold "
                "out more, or inspect the nearest pairs"
            )
        too_near = self.copying_z is not None and self.copying_z <= AS_A_WHOLE
        facts = [
            f"{_percent(self.flagged)} of {generated['pictures']:,} pictures are as near to a training picture as the "
            f"nearest {100 * FALSE_FLAGS:.0f} % of held-out real pictures",
            f"so are {_percent(self.false_flags)} of the other held-out real pictures",
        ]
        if too_near:
            facts.append(
                f"as a whole they are nearer than real ones (C_T = {self.copying_z:.1f}), by copying or by little "
                "variety"
            )
        if self.distinct < generated["pictures"]:
            facts.append(f"{self.distinct:,} of the generated pictures are distinct")
        if self.duplicates:
            facts.append(f"{self.duplicates:,} held-out pictures are training pictures too and were left out")
        return f"{_finding(self.flagged, self.false_flags, too_near)}: {'; '.join(facts)}"

    def document(self) -> dict[str, Any]:
        """Return the whole result, JSON-able."""
        shares = {"flagged": self.flagged, "false_flags": self.false_flags}
        estimates = {name: share and share.document() for name, share in shares.items()}
        return {"verdict": self.verdict, **asdict(self), **estimates}


def audit(generated: Pictures, training: Pictures, held_out: Pictures, extractor: Extractor, seed: int = 0) -> Audit:
    """Return how many generated pictures are copies of training pictures, by the features of an extractor.

    Only the directions of features are compared, which also finds copies that are darker or noisier than their
    originals. Held-out pictures that are training pictures too are left out. With fewer than 200 held-out pictures
    there is no threshold and no verdict, only the nearest pairs. Fewer than 6 training pictures, or no generated or
    held-out ones, are a `DataError`.

    It misses copies that are clearly shifted, turned or scaled, copies of a part, and differences that the extractor
    does not represent. If it finds no copies, that does not prove that there are none.
    """
    for pictures in (generated, training, held_out):
        if not len(pictures):
            raise DataError(f"{pictures.name} holds no pictures, so copies cannot be counted")
    made = F.normalize(extract(extractor, generated, range(len(generated))).features)
    known, real = (
        F.normalize(extract_cached(extractor, pictures, range(len(pictures))).features)
        for pictures in (training, held_out)
    )
    near, far = closeness(made, known), closeness(real, known)
    distinct_real = far.distance > SAME
    if not distinct_real.any():
        raise DataError(f"every picture of {held_out.name} is a training picture too, so copies cannot be counted")
    real, far = real[distinct_real], Closeness(*(column[distinct_real] for column in far))
    distinct = made.unique(dim=0)
    judged: dict[str, Any] = dict.fromkeys(("flagged", "false_flags", "threshold", "copying_z"))
    if len(real) >= FEWEST_HELD_OUT:
        order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))
        ours, others = far.ratio[order].tensor_split(2)
        judged["threshold"] = threshold(ours)
        judged["flagged"] = share_estimate(near.ratio <= judged["threshold"])
        judged["false_flags"] = share_estimate(others <= judged["threshold"])
        with suppress(DataError):  # too few pictures for the test; the verdict does not need it
            judged["copying_z"] = copying_z(distinct, known, real, seed)
    return Audit(
        **judged,
        authenticity=float(near.authentic.double().mean()),
        authenticity_of_real=float(far.authentic.double().mean()),
        distinct=len(distinct),
        duplicates=int((~distinct_real).sum()),
        nearest=_nearest(near.row, near.ratio, training),
        protocol={
            "statistic": STATISTIC,
            **extractor.protocol(),
            "seed": seed,
            "generated": identity(generated),
            "training": identity(training),
            "held_out": identity(held_out),
        },
    )


def sheet(found: Audit, generated: Pictures, training: Pictures) -> np.ndarray:
    """Return the nearest pairs as one picture (H, W, C) uint8, the nearest first, the generated picture on the left.

    Each is shown whole, on black, at the side of the largest generated one, at most 128 pixels.
    """
    pairs = [(generated[pair.generated], training[pair.training]) for pair in found.nearest]
    channels = max(picture.shape[2] for pair in pairs for picture in pair)
    side = min(LARGEST_SHOWN, max(max(picture.shape[:2]) for picture, _ in pairs))

    def shown(picture: np.ndarray) -> np.ndarray:
        return with_channels(fit_picture(eight_bit(picture), (side, side), "pad"), channels)

    cells = [np.concatenate([shown(picture) for picture in pair], axis=1) for pair in pairs]
    return grid(np.stack(cells), columns=PAIRS_A_ROW, gap=4)


def _finding(flagged: Estimate, false_flags: Estimate, too_near: bool) -> str:
    if flagged.low > false_flags.high:
        return "copies" if flagged.value > 0.5 else "some copies"
    return "too near as a whole" if too_near else "no sign of copying"


def _percent(share: Estimate) -> str:
    value, low, high = (f"{100 * share:.1f} %" for share in (share.value, share.low, share.high))
    return f"{value} (95 % interval {low} to {high})"


def _nearest(row: Tensor, ratio: Tensor, training: Pictures) -> tuple[NearestPair, ...]:
    names = training.names
    return tuple(
        NearestPair(number, int(row[number]), names[int(row[number])], float(ratio[number]))
        for number in ratio.argsort(stable=True)[:SHOWN].tolist()
    )
