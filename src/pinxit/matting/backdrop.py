"""Mattes before a known background: a picture of the empty scene, or a screen of one colour, whose spill is taken out.

Where a picture is near its background, that is all there is; where it is far from it, the subject is. In between, F is
the subject's colour from around and B that of the background. The matte is the place of the pixel's colour on the way
from B to F, in linear light (Smith and Blinn, 1996, say what else would have to be known). Closed-form matting weighs
that against what the neighbours say. It counts the more, the further F is from B.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, minimum_filter
from torch import Tensor

from pinxit.colour import encoded, linear
from pinxit.matting import closed_form, foreground

NEAR, FAR = 0.06, 0.2
"""Largest differences of the colours, in units of the image range: up to it background, from it on subject."""
INSIDE_BACKGROUND, INSIDE_SUBJECT = 2, 3
"""Pixels from anything else at which a pixel is sure."""
SOFT = 0.6
"""Standard deviation in pixels by which noise in the differences is evened out."""
ROUNDS = 3
TRUST = 0.3
UNEVEN = 0.05
"""Standard deviation of the light on a screen, as a share of the longer side."""


def matte(colours: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Return the matte (H, W) float32 in [0, 1] of colours (H, W, C) in [0, 1] before a known background like them."""
    apart = gaussian_filter(np.abs(colours - background).max(axis=2), SOFT)
    empty = minimum_filter(apart < NEAR, 2 * INSIDE_BACKGROUND + 1)
    subject = minimum_filter(apart > FAR, 2 * INSIDE_SUBJECT + 1)
    if not subject.any():
        subject = apart >= max(apart.max(), NEAR)
    share = subject.astype(np.float32)
    if empty.all() or not subject.any():
        return share
    seen, behind = (
        linear(torch.from_numpy(np.ascontiguousarray(np.moveaxis(one, 2, 0)))) for one in (colours, background)
    )
    for _ in range(ROUNDS):
        place = _place(seen, behind, _subject(seen, share), torch.from_numpy(apart))
        share = np.where(subject, 1, np.where(empty, 0, place.numpy())).astype(np.float32)
    trust = TRUST * (encoded(_subject(seen, share)) - encoded(behind)).square().sum(0).numpy()
    return closed_form.matte(linear(colours), subject, subject | empty, closed_form.Belief(share, trust))


def _place(seen: Tensor, behind: Tensor, front: Tensor, apart: Tensor) -> Tensor:
    """Return how far colours are on the way from the background's to the subject's, (H, W) in [0, 1].

    What is no mixture of the two is the subject, of a colour that it does not have around: the more so, the larger the
    rest is beside the difference from the background.
    """
    way = front - behind
    place = (((seen - behind) * way).sum(0) / way.square().sum(0).clamp(min=1e-4)).clamp(0, 1)
    rest = (encoded((behind + place * way).clamp(0, 1)) - encoded(seen)).abs().amax(0)
    strange = (2 * (rest - NEAR / 2) / apart.clamp(min=NEAR)).clamp(0, 1)
    return place + (1 - place) * strange


def _subject(seen: Tensor, share: np.ndarray) -> Tensor:
    front = torch.empty_like(seen)
    for part in foreground.unmixed(lambda rows, columns: seen[:, rows[:, None], columns], share):
        front[:, part.rows, part.columns] = part.subject
    return front


def is_like(colours: np.ndarray, background: np.ndarray) -> float:
    """Return the share of pixels at which colours (H, W, C) are near those of a background."""
    return float((np.abs(colours - background).max(axis=2) < NEAR).mean())


def screen(colours: np.ndarray, key: np.ndarray, tolerance: float) -> np.ndarray:
    """Return a screen's colours (H, W, C) in [0, 1], lit unevenly: means of the pixels around that are near the key.

    `tolerance` is the largest difference in a channel from `key` (C,); where no such pixel is near, it is the key.
    """
    near = (np.abs(colours - key).max(axis=2) <= tolerance).astype(np.float32)
    sigma = UNEVEN * max(near.shape)
    weight = gaussian_filter(near, sigma, mode="nearest")
    planes = [gaussian_filter(near * plane, sigma, mode="nearest") for plane in np.moveaxis(colours, 2, 0)]
    held = np.float32(1e-3)
    lit: np.ndarray = (np.stack(planes, axis=2) + held * key) / (weight[..., None] + held)
    return lit.astype(np.float32)


def border_colour(colours: np.ndarray) -> np.ndarray:
    """Return the colour (C,) that is most common along the edges of a picture (H, W, C), in [0, 1]."""
    edge = np.concatenate([colours[0], colours[-1], colours[:, 0], colours[:, -1]])
    codes, counts = np.unique((edge * 15).round(), axis=0, return_counts=True)
    common: np.ndarray = np.median(edge[((edge * 15).round() == codes[counts.argmax()]).all(axis=1)], axis=0)
    return common.astype(np.float32)


def without_spill(subject: Tensor, key: Tensor) -> Tensor:
    """Return colours (C, h, w) of linear light without the tint that a screen of the colour `key` (C,) throws.

    Of the part of a colour's chroma that points to the key's, only as much stays as it has at right angles to it: green
    is at most yellow or cyan. A grey key throws no tint.
    """
    chroma = key - key.mean()
    if chroma.norm() < 1e-3:
        return subject
    to_key = (chroma / chroma.norm())[:, None, None]
    own = subject - subject.mean(0)
    along = (own * to_key).sum(0)
    across = (own - along * to_key).square().sum(0).sqrt()
    return (subject - (along - across).clamp(min=0) * to_key).clamp(0, 1)
