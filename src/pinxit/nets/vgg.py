"""VGG-16 and 19 (Simonyan and Zisserman, 2015), whose features Kynkaanniemi et al. (2019) use.

Its modules have torchvision's names ("features.0.weight", "classifier.0.weight"), so that torchvision's tensors fit.
Torchvision trained its own, so weights and results differ slightly from the two papers; features are taken after ReLU,
where some ports take them before. Not yet run on real weights.

`VGGFeatures` gives the maps of convolutions that Gatys et al. (2016) use. Differs from it: the weights are not scaled
to equal mean activations, and the pools take the maximum.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from pinxit.errors import DataError
from pinxit.nets.meta import without_memory
from pinxit.nets.shapes import Reading
from pinxit.tensors import open_tensors

WIDTHS = (64, 128, 256, 512, 512)
"""Channels of the convolutions of each block; a pool follows each block."""
DEPTHS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
"""Number of convolutions of each block."""
FEATURE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv4_2", "conv5_1")
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGG16(nn.Module):
    """Pictures (N, 3, 224, 224) in [0, 1] to the second hidden layer ("fc2") and logits; 138,357,544 parameters."""

    side = 224
    dimensions = 4096
    classes = 1000

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*_layers(DEPTHS["vgg16"]).values())
        # Dropout does nothing in evaluation; it keeps the indices of the last layers.
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, self.dimensions), nn.ReLU(), nn.Dropout(),
            nn.Linear(self.dimensions, self.dimensions), nn.ReLU(), nn.Dropout(),
            nn.Linear(self.dimensions, self.classes),
        )  # fmt: skip

    def forward(self, image: Tensor) -> Reading:
        """Read pictures (N, 3, 224, 224) in [0, 1]."""
        features = self.classifier[:-1](self.features(_standardised(image)).flatten(1))
        return Reading(features, self.classifier[-1](features))


class VGGFeatures(nn.Module):
    """A network of `DEPTHS`: pictures (N, 3, H, W) in [0, 1], sides from 16, to its `FEATURE_LAYERS` after ReLU."""

    def __init__(self, name: str) -> None:
        super().__init__()
        layers = _layers(DEPTHS[name])
        self.names = tuple(layers)[: list(layers).index(f"relu{FEATURE_LAYERS[-1][4:]}") + 1]
        self.features = nn.Sequential(*(layers[layer] for layer in self.names))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of pictures (N, 3, H, W) in [0, 1]."""
        x, maps = _standardised(image), {}
        for name, layer in zip(self.names, self.features, strict=True):
            x = layer(x)
            maps[name] = x
        return tuple(maps[f"relu{name[4:]}"] for name in FEATURE_LAYERS)


def _layers(depths: tuple[int, ...]) -> dict[str, nn.Module]:
    layers: dict[str, nn.Module] = {}
    inputs = 3
    for block, (depth, width) in enumerate(zip(depths, WIDTHS, strict=True), start=1):
        for number in range(1, depth + 1):
            layers[f"conv{block}_{number}"] = nn.Conv2d(inputs, width, 3, padding=1)
            layers[f"relu{block}_{number}"] = nn.ReLU()
            inputs = width
        layers[f"pool{block}"] = nn.MaxPool2d(2)
    return layers


def _standardised(image: Tensor) -> Tensor:
    mean, deviation = (image.new_tensor(three)[:, None, None] for three in (MEAN, DEVIATION))
    return (image - mean) / deviation


def vgg_features(name: str, weights: Path) -> VGGFeatures:
    """Return the network `name` of `DEPTHS`, frozen, with torchvision's weights in a safetensors file.

    Raises `DataError` if the file cannot be read or holds another network.
    """
    with without_memory():
        network = VGGFeatures(name)
    wanted = {key: tensor.shape for key, tensor in network.state_dict().items()}
    with open_tensors(weights) as file:
        tensors = {key: file.get_tensor(key) for key in sorted(wanted.keys() & set(file.keys()))}
    misfit = next((key for key, shape in wanted.items() if key not in tensors or tensors[key].shape != shape), None)
    if misfit:
        raise DataError(f"{weights}: not the weights of {name} ({misfit} is missing or of another shape)")
    network.load_state_dict(tensors, assign=True)
    return network.float().eval().requires_grad_(False)
