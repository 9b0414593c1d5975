"""Adversarial losses: functions of the scores of real pictures and fakes that discriminator and generator lower.

Scores are (N,), unbounded, positive for 'real'; each loss is one number. The losses use only the tensors' own methods,
so that `pinxit train gan --help` lists the table without importing torch. A new loss is one row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Loss = Callable[["Tensor", "Tensor"], "Tensor"]


@dataclass(frozen=True)
class Adversarial:
    """A pair of losses of (real_scores, fake_scores).

    `paired`: the generator's loss reads the real scores too; otherwise they are not computed for it.
    `bounded`: the discriminator must be bounded, by a gradient penalty or clipped weights.
    `purpose`: what it is for, as help says it.
    `middle`: the score of a picture that is as likely real as fake; None if only differences of scores mean something.
    `log_odds`: at best, scores are the log of the density of the data over that of fakes, but for a constant.
    `labelled`: the discriminator's loss compares scores with labels, 1 for real and 0 for fake.
    `healthy`: the least and the largest loss of a discriminator in good training. Below it has won: its loss saturates
    and teaches the generator little. Above it is worse than one that gives every picture the same score. None if the
    loss has no such points, as a Wasserstein critic's may have any offset.
    """

    discriminator: Loss
    generator: Loss
    purpose: str = ""
    paired: bool = False
    bounded: bool = False
    middle: float | None = None
    labelled: bool = False
    log_odds: bool = False
    healthy: tuple[float, float] | None = None


def softplus(x: Tensor) -> Tensor:
    """Return log(1 + e^x), which is -log of the sigmoid of -x, without overflow."""
    return x.logaddexp(x.new_zeros(()))


ADVERSARIAL = {
    # Goodfellow et al., 2014, eq. 1: the generator lowers log(1 - D(fake)).
    "saturating": Adversarial(
        discriminator=lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        generator=lambda real, fake: -softplus(fake).mean(),
        purpose="the first one, for comparison; a losing generator learns little",
        middle=0.0,
        labelled=True,
        log_odds=True,
        healthy=(0.15, 1.5),  # 2 ln 2 = 1.39 if all scores are equal; both pictures are right at 93 % at 0.15
    ),
    # Goodfellow et al., 2014, section 3: the generator raises log D(fake).
    "non-saturating": Adversarial(
        discriminator=lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        generator=lambda real, fake: softplus(-fake).mean(),
        purpose="the usual one; a losing generator learns most",
        middle=0.0,
        labelled=True,
        log_odds=True,
        healthy=(0.15, 1.5),  # as above: the discriminator's loss is the same
    ),
    # Mao et al., 2017, eq. 9, with the labels 0 and 1.
    "least-squares": Adversarial(
        discriminator=lambda real, fake: ((real - 1).square().mean() + fake.square().mean()) / 2,
        generator=lambda real, fake: (fake - 1).square().mean() / 2,
        purpose="pulls scores to labels, so that they stay small",
        middle=0.5,
        labelled=True,
        healthy=(0.02, 0.27),  # 0.25 if all scores are 0.5
    ),
    # Lim and Ye, 2017.
    "hinge": Adversarial(
        discriminator=lambda real, fake: (1 - real).relu().mean() + (1 + fake).relu().mean(),
        generator=lambda real, fake: -fake.mean(),
        purpose="ignores pictures that are told apart clearly; good with spectral normalisation or R1",
        middle=0.0,
        healthy=(0.1, 2.1),  # 2 if all scores are 0; at 0 every score is beyond its margin
    ),
    # Arjovsky et al., 2017, eq. 2.
    "wasserstein": Adversarial(
        discriminator=lambda real, fake: fake.mean() - real.mean(),
        generator=lambda real, fake: -fake.mean(),
        purpose="a distance of the two distributions; needs a bounded discriminator",
        bounded=True,
    ),
    # Jolicoeur-Martineau, 2019, RpGAN; Huang et al., 2024, eq. 2: each real picture is paired with a fake.
    "relativistic": Adversarial(
        discriminator=lambda real, fake: softplus(fake - real).mean(),
        generator=lambda real, fake: softplus(real - fake).mean(),
        purpose="compares real pictures with fakes in pairs, against mode collapse; needs R1 and R2",
        paired=True,
        log_odds=True,
        healthy=(0.07, 0.75),  # ln 2 = 0.69 if all scores are equal
    ),
}
