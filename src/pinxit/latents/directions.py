"""Directions of latents that change a model's pictures most, the strongest first.

A small step d from the latent z changes the pictures by J(z) d, where J is their derivative. The mean over z of J^T J
says how much each direction changes them, in squared values, and its eigenvectors are the directions (Wang and Ponce,
2021, "A geometric analysis of deep generative image models"). Differs from the paper: distances are of pixels instead
of a network's features, and J^T J is estimated by one random projection of J for each of many latents. J^T v, of v from
N(0, I), has it as its mean square.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from pinxit.data import draws
from pinxit.errors import UsageError
from pinxit.latents.choosing import keys
from pinxit.objectives.mixture import Sampler
from pinxit.objectives.objective import Generative
from pinxit.progress import track

LATENTS, AT_ONCE = 1024, 64


def directions(objective: Generative, latents: Tensor, labels: Tensor | None = None) -> Tensor:
    """Return unit directions (latent, latent) in rows, the strongest first, from latents (N, latent) and labels (N,).

    The largest part of each is positive, so that they do not depend on a choice of sign.
    """
    metric = latents.new_zeros(latents.shape[1], latents.shape[1], dtype=torch.float64)
    starts = range(0, len(latents), AT_ONCE)
    for start in track(starts, "directions", len(starts)):
        part = slice(start, start + AT_ONCE)
        latent = latents[part].detach().requires_grad_()
        with torch.enable_grad():
            pictures = objective.sample(latent, None if labels is None else labels[part])
            seeds = range(start, start + len(latent))
            noise = torch.from_numpy(draws.normal(keys(seeds, 0, "directions"), pictures[0].numel()))
            (change,) = torch.autograd.grad((pictures * noise.view_as(pictures)).sum(), latent)
        metric += change.double().T @ change.double()
    found = torch.linalg.eigh(metric).eigenvectors.T.flip(0)
    largest = found.gather(1, found.abs().argmax(1, keepdim=True))
    return (found * largest.sign()).float()


def spread(sampler: Sampler, direction: Tensor) -> Tensor:
    """Return the standard deviation of a sampler's latents along unit directions (..., latent), as if uncorrelated."""
    _, deviation = sampler.moments()
    return (direction * deviation).norm(dim=-1)


def moves(text: str, latent: int) -> Mapping[int, float]:
    """Return how far to move along each direction, counted from 0, of a text such as "1=1.5,2=-0.5"."""
    found: dict[int, float] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})\s*=\s*(-?\d{1,6}(?:\.\d{1,9})?)\s*", part, re.ASCII)
        if not match:
            raise UsageError(f"--move {part.strip()}: write it as 1=1.5,2=-0.5: the direction, and how far to move")
        number = int(match[1])
        if not 1 <= number <= latent or number - 1 in found:
            raise UsageError(f"--move {part.strip()}: name each direction once, by its number from 1 to {latent}")
        found[number - 1] = float(match[2])
    return found
