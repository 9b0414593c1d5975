"""Ways to explain by name. Torch is imported only when one is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from pinxit.objectives.objective import Predictor


def _grad_cam(objective: Predictor, image: Tensor, target: int) -> Tensor:
    from pinxit.explanation.attribution import grad_cam

    return grad_cam(objective, image, target)


def _integrated_gradients(objective: Predictor, image: Tensor, target: int) -> Tensor:
    from pinxit.explanation.attribution import integrated_gradients

    return integrated_gradients(objective, image, target)


def _occlusion(objective: Predictor, image: Tensor, target: int) -> Tensor:
    from pinxit.explanation.attribution import occlusion

    return occlusion(objective, image, target)


@dataclass(frozen=True)
class Method:
    """A way to make a map (H, W) of a picture (1, C, H, W) and a class, what it shows, and whether it has signs."""

    attribute: Callable[[Predictor, Tensor, int], Tensor]
    about: str
    signed: bool


METHODS: dict[str, Method] = {
    # Selvaraju et al., 2017.
    "grad-cam": Method(_grad_cam, "where the last maps speak for the class; coarse", signed=False),
    # Sundararajan et al., 2017.
    "integrated-gradients": Method(
        _integrated_gradients, "what each pixel adds to the logit on the way from black and from white", signed=True
    ),
    # Zeiler and Fergus, 2014.
    "occlusion": Method(_occlusion, "how much the logit falls if a window is hidden", signed=True),
}
"""Ways to explain by name."""
