"""VGG-16 (Simonyan and Zisserman, 2015), in whose features Kynkaanniemi et al. (2019) tell precision and recall.

Its modules have torchvision's names ("features.0.weight", "classifier.0.weight"), so that torchvision's tensors fit.
Those were trained anew, so neither weights nor numbers are quite those of the two papers; and the features are taken
after ReLU, where some ports take them before. Not yet run on real weights.
"""

from __future__ import annotations

from torch import Tensor, nn

from pinxit.nets.shapes import Reading

# Widths of the 3x3 convolutions, block by block; a pool follows each block.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGG16(nn.Module):
    """Pictures (N, 3, 224, 224) in [0, 1] to the second hidden layer ("fc2") and logits; 138,357,544 parameters."""

    side = 224
    dimensions = 4096
    classes = 1000

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for block in BLOCKS:
            for width in block:
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
                inputs = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        # Dropout does nothing at rest; it holds the places that give the last layers their numbers.
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, self.dimensions), nn.ReLU(), nn.Dropout(),
            nn.Linear(self.dimensions, self.dimensions), nn.ReLU(), nn.Dropout(),
            nn.Linear(self.dimensions, self.classes),
        )  # fmt: skip

    def forward(self, image: Tensor) -> Reading:
        """Read pictures (N, 3, 224, 224) in [0, 1]."""
        mean, deviation = (image.new_tensor(three)[:, None, None] for three in (MEAN, DEVIATION))
        features = self.classifier[:-1](self.features((image - mean) / deviation).flatten(1))
        return Reading(features, self.classifier[-1](features))
