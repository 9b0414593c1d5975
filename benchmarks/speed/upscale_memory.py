"""How much memory and time does it take to enlarge a picture of 24 megapixels by the command line?

    python benchmarks/speed/upscale_memory.py [--size 6000 4000] [--max-memory 500MB] [--limit 2.0] [--out FILE]

The picture is scikit-image's astronaut again and again, 8 bits, colour, a PNG file; the command is `pinxit edit upscale
--scale 2 IN -o OUT`, with the network that ships and the defaults, or with `--max-memory` too. It runs in a process of
its own, in which the result (96 megapixels) is made and written as a PNG file, and then thrown away.

Memory is the most that the process ever held in RAM (`VmHWM` of /proc/self/status, so Linux only), less the same
figure of a process that imports the modules which the command imports (Python, torch, pinxit) and ends. So it counts
the network's weights, the pictures before and after, tiles, decoding and encoding. Seconds are the clock's and the
processor's; others at work on the machine change the former. Speed is in megapixels of the input per second of the
processor, everything included. The last line of stdout is `memory X GB, limit Y GB`; exit 1 if X is above it.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from pinxit.training.run import machine

TOLD = """
import json, re, resource
high = int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"kilobytes": high, "processor": used.ru_utime + used.ru_stime}))
"""
EDIT = "import sys; from pinxit.cli import run; sys.exit(code) if (code := run(sys.argv[1:])) else None\n" + TOLD
IMPORT = "import pinxit.cli, pinxit.actions.edit, pinxit.jobs.batch, pinxit.edits.restore\n" + TOLD


def photograph(wide: int, high: int) -> Image.Image:
    piece = skimage.data.astronaut()
    return Image.fromarray(
        np.tile(piece, (math.ceil(high / len(piece)), math.ceil(wide / len(piece)), 1))[:high, :wide]
    )


def told(code: str, *words: str) -> dict[str, float]:
    """Return what a process that runs the code tells of itself, with the seconds that it took."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found | {"seconds": time.perf_counter() - started}


def measure(size: tuple[int, int], limit: list[str]) -> dict[str, float]:
    """Return what enlarging a picture of this width and height takes."""
    interpreter = told(IMPORT)
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.png", Path(folder) / "after.png"
        photograph(*size).save(before, compress_level=1)
        edit = told(EDIT, "edit", "upscale", "--scale", "2", *limit, str(before), "-o", str(after))
        with Image.open(after) as result:
            if result.size != (2 * size[0], 2 * size[1]):
                raise SystemExit(f"the result is {result.size}")
    megapixels = size[0] * size[1] / 1e6
    return {
        "megapixels": megapixels,
        "memory_gb": round((edit["kilobytes"] - interpreter["kilobytes"]) * 1024 / 1e9, 3),
        "interpreter_gb": round(interpreter["kilobytes"] * 1024 / 1e9, 3),
        "seconds": round(edit["seconds"], 1),
        "processor_seconds": round(edit["processor"], 1),
        "megapixels_per_processor_second": round(megapixels / edit["processor"], 3),
    }


def main() -> None:
    """Measure, print, keep and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs=2, type=int, default=(6000, 4000), metavar=("WIDE", "HIGH"))
    parser.add_argument("--max-memory")
    parser.add_argument("--limit", type=float, default=2.0, help="in GB")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    row = measure(tuple(asked.size), ["--max-memory", asked.max_memory] if asked.max_memory else [])
    print(json.dumps(row, indent=2))
    if asked.out:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        protocol = {"about": __doc__, "size": asked.size, "max_memory": asked.max_memory, "limit_gb": asked.limit}
        document = {"commit": commit, "machine": machine(), "protocol": protocol, "row": row}
        asked.out.write_text(json.dumps(document, indent=2) + "\n")
    print(f"memory {row['memory_gb']:.2f} GB, limit {asked.limit:g} GB")
    if row["memory_gb"] > asked.limit:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
