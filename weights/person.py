"""The network that finds people: how `person-v1` was made from MediaPipe's selfie segmentation.

    python weights/person.py MODEL.onnx      write weights and card into src/pinxit/weights

MODEL.onnx is the model of 256 x 256 pixels of the npm package @mediapipe/selfie_segmentation 0.1.1675465747, converted
by tf2onnx, its one custom operation (Convolution2DTransposeBias) replaced by ConvTranspose. Its convolutions, in the
order in which the graph runs them, are those of `pinxit.nets.person` in the order in which it has them. Then both are
run on pictures in float64, photographs of scikit-image among them, and must agree within 1e-4. (In float32 each rounds
by up to 1e-4 on its own.)
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from package import publish
from safetensors.torch import save
from skimage import data

from pinxit.images import resize
from pinxit.images.convert import to_float
from pinxit.nets.person import SIDE, PersonNet

NAME = "person-v1"
CLOSE = 1e-4

CARD = """\
# {name}

Says where people are in a picture: the first guess of `pinxit edit cutout` and `background`, and of `--subject`.

- **Network**: MediaPipe Selfie Segmentation, the model of 256 x 256 pixels (`pinxit.nets.person`), 106,401 numbers.
- **Origin**: Copyright Google LLC. From the npm package @mediapipe/selfie_segmentation 0.1.1675465747 (also in the PyPI
  package mediapipe), licensed under the Apache License, Version 2.0. pinxit changed its form and not its numbers: from
  TensorFlow Lite, in float16, to safetensors in float32. Script: `weights/person.py`. On {pictures} pictures it differs
  from the original by at most {furthest:.1e} in float64.
- **Data**: Google trained it on pictures of its own; its model card says which.
- **File**: `{name}.safetensors`, {size:,} bytes, sha256 `{sha256}`.
- **Licence**: Apache-2.0. The text of the licence is in the file LICENSE of pinxit.

What it cannot do: It was made for one or few people near the camera, and knows nothing else: of animals and things it
finds nothing or parts. Its edges are as coarse as 256 x 256 pixels, so pinxit finds them anew in the picture's colours.
"""


def converted(model: onnx.ModelProto) -> PersonNet:
    """Return the network with the weights of the model's convolutions."""
    tensors = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in model.graph.initializer}
    found = [node for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    network = PersonNet().eval()
    own = [part for part in network.modules() if isinstance(part, torch.nn.Conv2d | torch.nn.ConvTranspose2d)]
    if len(found) != len(own):
        raise SystemExit(f"the model has {len(found)} convolutions, not {len(own)}")
    for node, part in zip(found, own, strict=True):
        weight, bias = (tensors[name] for name in node.input[1:3])
        if weight.shape != part.weight.shape:
            raise SystemExit(f"{node.name} has weights of {tuple(weight.shape)}, not {tuple(part.weight.shape)}")
        part.weight.data, part.bias.data = weight, bias
    return network


def exact(model: onnx.ModelProto) -> Callable[[torch.Tensor], np.ndarray]:
    """Return what runs the model on a picture (3, H, W) in float64."""
    for one in model.graph.initializer:
        values = numpy_helper.to_array(one)
        if values.ndim and values.dtype == np.float32 and not one.name.endswith("scales"):
            one.CopyFrom(numpy_helper.from_array(values.astype(np.float64), one.name))
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.elem_type = TensorProto.DOUBLE
    evaluator, name = ReferenceEvaluator(model), model.graph.input[0].name
    return lambda row: evaluator.run(None, {name: row[None].movedim(1, 3).numpy()})[0][0, ..., 0]


def pictures() -> np.ndarray:
    """Return pictures (N, 256, 256, 3) uint8: photographs, noise, black and white."""
    photos = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket(), data.immunohistochemistry()]
    noise = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    plain = [np.full((SIDE, SIDE, 3), value, np.uint8) for value in (0, 255)]
    return np.stack([*(resize(photo, (SIDE, SIDE)) for photo in photos), *noise, *plain])


def main() -> None:
    """Convert, compare, and publish."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", type=Path)
    model = onnx.load(parser.parse_args().model)
    network, original = converted(model), exact(model)
    rows = to_float(pictures())
    with torch.no_grad():
        ours = PersonNet().double().eval()
        ours.load_state_dict(network.state_dict())
        furthest = max(float(np.abs(ours(row[None])[0, 0].numpy() - original(row)).max()) for row in rows.double())
    if furthest > CLOSE:
        raise SystemExit(f"the network differs from the model by {furthest:.1e}")
    publish(NAME, save(network.state_dict()), CARD, furthest=furthest, pictures=len(rows))


if __name__ == "__main__":
    main()
