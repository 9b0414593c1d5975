"""Strategies by which each picture is chosen among candidates of its own. No torch here: help lists the table.

A new strategy is one row: its purpose, what makes a candidate good, and the odds that it is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

NEAR_ONE = 1e-6


@dataclass(frozen=True)
class Strategy:
    """How a candidate is judged, and whether it is kept.

    `judged`: by the discriminator's scores of pictures; else by the sampler's log-densities of latents.
    `odds(values, cut, top)`: the probabilities (N,) that candidates of these values are kept. `cut` is the value that
    the wanted share of the model's candidates exceeds, `top` the highest among many of them; all (N,).
    """

    purpose: str
    judged: bool
    odds: Callable[[Tensor, Tensor, Tensor], Tensor]


def log_odds(scores: Tensor, top: Tensor) -> Tensor:
    """Return the log-odds at which a candidate is kept, before they are shifted (Azadi et al., 2019, section 3.2).

    If scores are log p_data / p_model, exp(scores - top) is the probability of exact rejection sampling.
    """
    below = (scores - top).clamp(max=0)
    return below - (-(below - NEAR_ONE).exp()).log1p()


STRATEGIES = {
    # Discriminator rejection sampling, Azadi et al., 2019, eq. 8; gamma puts the odds at `cut` to one half.
    "discriminator": Strategy(
        "keeps pictures that the GAN's discriminator takes for real; for fewer failed pictures",
        judged=True,
        odds=lambda scores, cut, top: (log_odds(scores, top) - log_odds(cut, top)).sigmoid(),
    ),
    # Truncation by density instead of by number: Brock et al., 2019, section 3.1, draws its numbers anew one by one.
    "density": Strategy(
        "keeps the likeliest latents; for more typical and less diverse pictures",
        judged=False,
        odds=lambda values, cut, top: (values >= cut).float(),
    ),
}
