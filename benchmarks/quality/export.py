"""How close exported models are to PyTorch, how fast they run, and how much disk they need.

    python benchmarks/quality/export.py [--pictures FOLDER] [--networks NAME ...] [--runs RUN ...] [--environment]
                                        [--out FILE]

Every shipped network, and every named run, is traced once and written in each precision. The reference is PyTorch in
float32 on 16 real pictures of 5 sizes: parts of scikit-image's photographs and micrographs, or of those in a folder. A
noise of 0.1 is given to networks that take a noise level. The style of each picture is the next picture, at strength
0.7. Weights of 8 bits are calibrated on the same pictures, so their figures are a best case.

Speed is the median processor time in seconds a megapixel of input, which other jobs change little, for a picture of
256 x 256 pixels on one thread, after one pass to warm up. The arms take turns in one process. PyTorch computes as in
`pinxit edit`: channels_last, in float32 and in bf16 autocast. Frames a second are for 256 x 256 pixels by onnxruntime
in float32 with two threads, by the clock, so other jobs do change them.

--environment needs a package index. It makes a new environment with onnxruntime, numpy and pillow, and pinxit without
its dependencies. `pinxit-runtime` edits a picture there with each named network that needs no mask; a network
that paints gets another picture as its style. The bytes on disk are counted. The last line of stdout is
`largest difference X`, over all float32 files.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
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

from pinxit import exporting
from pinxit.edits.mask import unit
from pinxit.images import load_image
from pinxit.models import SHIPPED

sys.path.append(str(Path(__file__).parents[1]))
from record import ROOT, arguments, record, write

NAMES = (
    *("astronaut", "brick", "camera", "cell", "cat", "coffee", "coins", "grass", "gravel", "hubble_deep_field"),
    *("immunohistochemistry", "moon", "retina", "rocket", "clock", "page"),
)
SIZES = ((64, 64), (96, 128), (131, 77), (160, 160), (192, 144))
SPEED_SIDE = 256
THREADS, FRAMES = 2, 4


def photographs(folder: Path | None) -> list[np.ndarray]:
    """Return parts (H, W, 3) float32 of 16 real pictures, with the `SIZES` in turn."""
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


def given_for(portable: exporting.Portable) -> dict[str, torch.Tensor]:
    """Return inputs at the size of the speed test; a network that fills holes gets one in the middle."""
    image = torch.rand(1, SPEED_SIDE, SPEED_SIDE, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, SPEED_SIDE, SPEED_SIDE, 1)
    mask[:, SPEED_SIDE // 3 : SPEED_SIDE // 2, SPEED_SIDE // 3 : SPEED_SIDE // 2] = 1
    own = {"image": image, "style": image.flip(1), "mask": mask}
    return {name: own.get(name, value) for name, value in portable.trials[0].items()}


def running(file: Path, given: dict[str, torch.Tensor], threads: int) -> Callable[[], object]:
    """Return a run of a file by onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    feeds = {key: value.numpy() for key, value in given.items()}
    return lambda: session.run(None, feeds)


def frames_a_second(arm: Callable[[], object], rounds: int) -> float:
    """Return the reciprocal of the median clock seconds of a run, after one to warm up."""
    taken = []
    for _ in range(FRAMES * rounds + 1):
        started = time.perf_counter()
        arm()
        taken.append(time.perf_counter() - started)
    return 1 / statistics.median(taken[1:])


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
    """Return the measurements of one network, whose files stay in the folder."""
    portable = exporting.portable_of(name, pictures)
    name = Path(name).name
    traced = exporting._traced(portable).SerializeToString()
    files = {}
    found = {"metadata": portable.metadata, "fills_holes": "mask" in portable.free, "precisions": {}}
    for precision, change in exporting.PRECISIONS.items():
        files[precision] = folder / f"{name}-{precision}.onnx"
        content = exporting._described(change(onnx.load_from_string(traced), portable), portable)
        files[precision].write_bytes(content)
        compared = exporting.compared(files[precision], portable)
        found["precisions"][precision] = {
            "bytes": len(content),
            "largest_difference": max(one["largest_difference"] for one in compared),
            "psnr": statistics.mean(one["psnr"] for one in compared),
        }
    given = given_for(portable)
    arms: dict[str, Callable[[], object]] = {}
    for precision, file in files.items():
        arms[f"onnxruntime {precision}"] = running(file, given, 1)
    portable.network.to(memory_format=torch.channels_last)
    for precision in ("float32", "bf16"):

        def pass_(low: bool = precision == "bf16") -> None:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=low):
                portable.network(**given)

        arms[f"pytorch {precision}"] = pass_
    taken = seconds(arms, rounds)
    found["seconds_a_megapixel"] = {arm: value / SPEED_SIDE**2 * 1e6 for arm, value in taken.items()}
    found["frames_a_second"] = frames_a_second(running(files["float32"], given, THREADS), rounds)
    found["times_as_fast_as_pytorch_float32"] = {arm: taken["pytorch float32"] / value for arm, value in taken.items()}
    return found


def environment(models: list[Path], folder: Path) -> dict[str, Any]:
    """Return the disk space of a new environment without torch that has edited a picture with each model."""
    place = folder / "environment"
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    before = bytes_of(place)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*pip, "-c", ROOT / "constraints.txt", "onnxruntime", "numpy", "pillow"], check=True, env=clean)
    subprocess.run([*pip, "--no-deps", ROOT], check=True, env=clean)
    Image.fromarray(skimage.data.astronaut()).save(folder / "in.png")
    Image.fromarray(skimage.data.coffee()).save(folder / "style.png")
    edited = []
    for model in models:
        inputs = [node.name for node in onnx.load(model).graph.input]
        command = [place / "bin" / "pinxit-runtime", model, folder / "in.png", "-o", folder / "out.png", "-y"]
        command += ["--style", folder / "style.png"] if "style" in inputs else []
        started = time.perf_counter()
        subprocess.run(command, check=True, cwd=folder, env={}, stdout=subprocess.DEVNULL)
        with Image.open(folder / "out.png") as image:
            made = {"from": [512, 512], "to": list(image.size), "seconds": time.perf_counter() - started}
        edited.append({"model": model.name, "bytes_of_the_model": model.stat().st_size, **made})
    listed = subprocess.run([*pip[:3], "list", "--format=json"], check=True, capture_output=True, text=True, env=clean)
    return {
        "packages": {one["name"]: one["version"] for one in json.loads(listed.stdout)},
        "bytes_of_packages": bytes_of(place) - before,
        "edited": edited,
    }


def bytes_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def main() -> None:
    """Compare, time, and write the record."""
    parser = arguments(__doc__)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--networks", nargs="+", default=list(SHIPPED))
    parser.add_argument("--runs", nargs="+", default=[], help="folders of runs, beside the networks that ship")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--environment", action="store_true")
    parser.set_defaults(out=ROOT / "benchmarks/results/export.json")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    pictures = photographs(asked.pictures)
    versions = {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__}
    document = record(
        __doc__,
        {"threads": 1, "rounds": asked.rounds, "sizes": SIZES},
        pictures=list(NAMES) if asked.pictures is None else asked.pictures.name,
        largest_difference=0.0,
        networks={},
    )
    document["machine"] |= versions
    with tempfile.TemporaryDirectory() as folder:
        for source in (*asked.networks, *asked.runs):
            name, found = Path(source).name, network(source, pictures, asked.rounds, Path(folder))
            largest = max(document["largest_difference"], found["precisions"]["float32"]["largest_difference"])
            document |= {"largest_difference": largest, "networks": document["networks"] | {name: found}}
            write(asked.out, document)
            print(name, json.dumps(found["precisions"]), json.dumps(found["seconds_a_megapixel"]), flush=True)
            print(f"{name}: {found['frames_a_second']:.1f} frames a second", flush=True)
        if asked.environment:
            without_holes = [name for name, found in document["networks"].items() if not found["fills_holes"]]
            alone = environment([Path(folder) / f"{name}-float32.onnx" for name in without_holes], Path(folder))
            write(asked.out, document | {"environment": alone})
            print(f"environment without torch: {alone['bytes_of_packages'] / 1e6:.0f} MB of packages")
    print(f"largest difference {document['largest_difference']:.2g}")


if __name__ == "__main__":
    main()
