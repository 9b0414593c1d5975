"""LeNet (LeCun et al., 1998), the small network whose features judge handwritten digits.

Departures: two 5x5 convolutions of 16 and 32 channels (not 6 and 16), hidden layers of 128 and 64 (not 120 and 84),
max pooling and ReLU, and a plain linear output of ten logits.
"""

from __future__ import annotations

from torch import Tensor, nn

from pinxit.nets.shapes import Reading


class LeNet(nn.Module):
    """16-32-128-64-10: two convolutions with pooling, then three fully connected layers; 124,682 parameters."""

    side = 28
    dimensions = 128
    classes = 10

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        )  # fmt: skip
        self.hidden = nn.Sequential(nn.Linear(32 * 5 * 5, self.dimensions), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(self.dimensions, 64), nn.ReLU(), nn.Linear(64, self.classes))

    def forward(self, image: Tensor) -> Reading:
        """Read grey pictures (N, 1, 28, 28) in [0, 1]: white strokes on black."""
        features = self.hidden(self.convolutions(image))
        return Reading(features, self.head(features))
