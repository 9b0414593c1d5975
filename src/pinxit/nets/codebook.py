"""A codebook learned by running averages, and gradients through it (van den Oord et al., 2017; Fifty et al., 2024).

As in van den Oord et al., appendix A.1, a vector is the quotient of a running sum and a running count; both are kept,
so that an average of weights counts a vector by its use. Differs from it: unused vectors restart at encoder outputs (as
Dhariwal et al., 2020, section 3), which also initialises the codebook.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DEAD = 0.05
"""A vector with less than this part of an equal share of uses is dead."""
UNBORN = 1e-6
"""The initial count of a vector, small enough for any output to outweigh it."""


class Codebook(nn.Module):
    """K vectors (K, D), which only `follow` moves: it has buffers, no parameters."""

    sums: Tensor
    counts: Tensor
    use: Tensor

    def __init__(self, codes: int, dimensions: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("sums", torch.randn(codes, dimensions) * UNBORN)
        self.register_buffer("counts", torch.full((codes,), UNBORN))
        self.register_buffer("use", torch.full((codes,), 1 / codes))

    @property
    def vectors(self) -> Tensor:
        """The codes' vectors, (K, D)."""
        return self.sums / self.counts[:, None]

    def nearest(self, output: Tensor) -> Tensor:
        """Return the indices (N, P) of the vectors nearest to encoder outputs (N, P, D)."""
        with torch.no_grad():
            return torch.cdist(output.float().flatten(0, 1), self.vectors).argmin(1).view(output.shape[:2])

    def look_up(self, codes: Tensor) -> Tensor:
        """Return the vectors (N, P, D) of codes (N, P)."""
        return F.embedding(codes, self.vectors)

    def follow(self, output: Tensor, uniform: Tensor) -> None:
        """Move each vector towards the mean of the encoder outputs (N, P, D) nearest to it, eqs. 6 to 8.

        Dead ones restart at outputs, in the random order that `uniform` (N, P) gives. If they stay unused, they are
        dead again after 1 / (1 - decay) steps.
        """
        codes, output = self.nearest(output).flatten(), output.float().flatten(0, 1)
        count = codes.bincount(minlength=len(self.counts)).to(output)
        least = DEAD * count.mean()
        self.counts.lerp_(count, 1 - self.decay)
        self.sums.lerp_(torch.zeros_like(self.sums).index_add_(0, codes, output), 1 - self.decay)
        self.use.lerp_(count / count.sum(), 1 - self.decay)
        (dead,) = torch.nonzero(self.counts < least, as_tuple=True)
        places = uniform.flatten().argsort(stable=True)
        chosen = places[torch.arange(len(dead), device=places.device) % len(places)]
        self.counts[dead] = math.e * least
        self.sums[dead] = math.e * least * output[chosen]

    def perplexity(self) -> Tensor:
        """Return exp(entropy) of the codes' use over about 1 / (1 - decay) steps: K if all are used equally."""
        return torch.special.entr(self.use).sum().exp()

    def share_used(self) -> Tensor:
        """Return the share of codes that are not dead, over about 1 / (1 - decay) steps."""
        return (self.use * len(self.use) >= DEAD).float().mean()


def straight_through(output: Tensor, vector: Tensor) -> Tensor:
    """Return the vectors (..., D); outputs get their gradient unchanged (van den Oord et al., 2017, section 3.2)."""
    return output + (vector - output).detach()


def rotated(output: Tensor, vector: Tensor) -> Tensor:
    """Return the vectors (..., D) as rotated and scaled outputs; rotation and scale count as constants.

    Fifty et al., 2024, section 4.2: with unit vectors e^ and q^ and r = (e^ + q^) / ||e^ + q^||, the rotation of e
    is e - 2 r (r . e) + 2 q^ (e^ . e). This keeps the angle between gradient and vector at the output.
    """
    from_, to = (F.normalize(part.detach(), dim=-1) for part in (output, vector))
    between = F.normalize(from_ + to, dim=-1)
    stretch = vector.detach().norm(dim=-1, keepdim=True) / output.detach().norm(dim=-1, keepdim=True).clamp(min=1e-12)
    reflected = 2 * between * (between * output).sum(-1, keepdim=True)
    return stretch * (output - reflected + 2 * to * (from_ * output).sum(-1, keepdim=True))
