"""How near are exported models to PyTorch, how fast are they, and how little is needed to run them?

    python benchmarks/quality/export.py [--pictures FOLDER] [--networks NAME ...] [--environment] [--out FILE]

Every network that ships is traced once and written in each precision. Nearness is by PyTorch in float32, on 16 real
pictures of 5 sizes: parts of scikit-image's photographs and micrographs, or of those in a folder; a noise of 0.1 is
told to networks that can be told. Numbers of 8 bits are fitted to the same pictures, so what they show is their best.
Speed is the median of seconds of processor time a megapixel of input, which other jobs on the machine change little,
for a picture of 256 x 256 pixels, one thread, after one pass to warm up; the arms take turns in one process. PyTorch
computes as in `pinxit edit`, channels_last, in float32 and in bf16 by autocast.

With --environment (a package index is needed) a new environment gets onnxruntime, numpy and pillow and, without its
dependencies, pinxit; a picture is then enlarged there by `python -m pinxit.runtime`, and the bytes on disk are counted.
The last line of stdout is `largest difference X`, of all float32 files.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import skimage.data
import torch
from PIL import Image

from pinxit import export
from pinxit.editors.mask import unit
from pinxit.images import load_image
from pinxit.training.run import machine
from pinxit.training.shipped import SHIPPED

NAMES = (
    *("astronaut", "brick", "camera", "cell", "cat", "coffee", "coins", "grass", "gravel", "hubble_deep_field"),
    *("immunohistochemistry", "moon", "retina", "rocket", "clock", "page"),
)
SIZES = ((64, 64), (96, 128), (131, 77), (160, 160), (192, 144))
SPEED_SIDE = 256
ROOT = Path(__file__).parents[2]


def photographs(folder: Path | None) -> list[np.ndarray]:
    """Return parts (H, W, 3) float32 of 16 real pictures, of the `SIZES` in turn."""
    whole = (
        [getattr(skimage.data, name)() for name in NAMES]
        if folder is None
        else [load_image(path) for path in sorted(folder.rglob("*.*g"))[:16]]
    )
    parts = []
    for number, pixels in enumerate(whole):
        high, wide = SIZES[number % len(SIZES)]
        colours = np.atleast_3d(pixels)[..., :3]
        top, left = (colours.shape[0] - high) // 2, (colours.shape[1] - wide) // 2
        part = unit(np.ascontiguousarray(colours[top : top + high, left : left + wide]))
        parts.append(np.broadcast_to(part, (high, wide, 3)).copy())
    return parts


def seconds(arms: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of processor time of each arm, which take turns."""
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for round_ in range(rounds + 1):
        for name, arm in arms.items():
            started = time.process_time()
            arm()
            if round_:
                taken[name].append(time.process_time() - started)
    return {name: statistics.median(values) for name, values in taken.items()}


def network(name: str, pictures: list[np.ndarray], rounds: int, folder: Path) -> dict[str, Any]:
    """Return what is found of one network, whose files are left in the folder."""
    portable = export.portable_of(name, pictures)
    traced = export._traced(portable).SerializeToString()
    files, found = {}, {"metadata": portable.metadata, "precisions": {}}
    for precision, change in export.PRECISIONS.items():
        files[precision] = folder / f"{name}-{precision}.onnx"
        content = export._described(change(onnx.load_from_string(traced), portable), portable)
        files[precision].write_bytes(content)
        compared = export.compared(files[precision], portable)
        found["precisions"][precision] = {
            "bytes": len(content),
            "largest_difference": max(one["largest_difference"] for one in compared),
            "psnr": statistics.mean(one["psnr"] for one in compared),
        }
    image = np.random.default_rng(0).random((1, SPEED_SIDE, SPEED_SIDE, 3), np.float32)
    given = {"image": torch.from_numpy(image)} | {
        key: value for key, value in portable.trials[0].items() if not value.ndim
    }
    arms: dict[str, Callable[[], object]] = {}
    for precision, file in files.items():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        feeds = {key: value.numpy() for key, value in given.items()}
        arms[f"onnxruntime {precision}"] = lambda session=session, feeds=feeds: session.run(None, feeds)
    portable.network.to(memory_format=torch.channels_last)
    for precision in ("float32", "bf16"):

        def pass_(low: bool = precision == "bf16") -> None:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=low):
                portable.network(**given)

        arms[f"pytorch {precision}"] = pass_
    taken = seconds(arms, rounds)
    found["seconds_a_megapixel"] = {arm: value / SPEED_SIDE**2 * 1e6 for arm, value in taken.items()}
    found["times_as_fast_as_pytorch_float32"] = {arm: taken["pytorch float32"] / value for arm, value in taken.items()}
    return found


def environment(model: Path, folder: Path) -> dict[str, Any]:
    """Return what a new environment without torch needs on disk, after it has edited a picture."""
    place = folder / "environment"
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    before = bytes_of(place)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*pip, "-c", ROOT / "constraints.txt", "onnxruntime", "numpy", "pillow"], check=True, env=clean)
    subprocess.run([*pip, "--no-deps", ROOT], check=True, env=clean)
    Image.fromarray(skimage.data.astronaut()).save(folder / "in.png")
    out = folder / "out.png"
    command = [python, "-m", "pinxit.runtime", model, folder / "in.png", "-o", out]
    subprocess.run(command, check=True, cwd=folder, env={}, stdout=subprocess.DEVNULL)
    listed = subprocess.run([*pip[:3], "list", "--format=json"], check=True, capture_output=True, text=True, env=clean)
    with Image.open(out) as image:
        made = list(image.size)
    return {
        "packages": {one["name"]: one["version"] for one in json.loads(listed.stdout)},
        "bytes_of_packages": bytes_of(place) - before,
        "bytes_of_the_model": model.stat().st_size,
        "edited": {"model": model.name, "from": [512, 512], "to": made},
    }


def bytes_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def main() -> None:
    """Compare, time, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--networks", nargs="+", default=list(SHIPPED))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--environment", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/export.json")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    pictures = photographs(asked.pictures)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for name in asked.networks:
            found[name] = network(name, pictures, asked.rounds, Path(folder))
            print(
                name, json.dumps(found[name]["precisions"]), json.dumps(found[name]["seconds_a_megapixel"]), flush=True
            )
        largest = max(one["precisions"]["float32"]["largest_difference"] for one in found.values())
        document = {
            "commit": commit.stdout.strip(),
            "machine": machine() | {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__},
            "protocol": {"about": __doc__, "threads": 1, "rounds": asked.rounds, "sizes": SIZES},
            "pictures": list(NAMES) if asked.pictures is None else asked.pictures.name,
            "networks": found,
            "largest_difference": largest,
        }
        asked.out.write_text(json.dumps(document, indent=2) + "\n")
        if asked.environment:
            alone = environment(Path(folder) / f"{asked.networks[-1]}-float32.onnx", Path(folder))
            asked.out.write_text(json.dumps(document | {"environment": alone}, indent=2) + "\n")
            print(f"environment without torch: {alone['bytes_of_packages'] / 1e6:.0f} MB of packages")
    print(f"largest difference {largest:.2g}")


if __name__ == "__main__":
    main()
