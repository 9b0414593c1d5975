"""Memory and time of enlarging a picture of 24 megapixels by the command line.

    python benchmarks/speed/upscale_memory.py [--size 6000 4000] [--max-memory 500MB] [--limit 2.0] [--out FILE]

The picture is scikit-image's astronaut, repeated, 8 bits, colour, a PNG file. The command is `pinxit edit upscale
--scale 2 IN -o OUT` with the shipped network and the defaults, or with `--max-memory`. It runs in a process of its own,
which writes the result (96 megapixels) as a PNG file; the file is then deleted.

Memory is the peak resident memory of that process (`VmHWM` of /proc/self/status, so Linux only), minus that of a
process that only imports the same modules (Python, torch, pinxit). It includes the network's weights, the pictures,
tiles, decoding and encoding. Seconds are of clock and processor; other jobs change the former. Speed is in megapixels
of input per processor second, everything included. The last line of stdout is `memory X GB, limit Y GB`; the exit code
is 1 if X exceeds Y.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

sys.path.append(str(Path(__file__).parents[1]))
from pictures import photograph
from record import arguments, record, write

REPORT = """
import json, re, resource
high = int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"kilobytes": high, "processor": used.ru_utime + used.ru_stime}))
"""
EDIT = "import sys; from pinxit.cli import run; sys.exit(code) if (code := run(sys.argv[1:])) else None\n" + REPORT
IMPORT = "import pinxit.cli, pinxit.actions.edit, pinxit.jobs.batch, pinxit.edits.restore\n" + REPORT


def measured(code: str, *words: str) -> dict[str, float]:
    """Return the measurements that a process running the code prints, with its seconds."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found | {"seconds": time.perf_counter() - started}


def measure(size: tuple[int, int], limit: list[str]) -> dict[str, float]:
    """Return memory and time of enlarging a picture of this width and height."""
    interpreter = measured(IMPORT)
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.png", Path(folder) / "after.png"
        Image.fromarray(photograph(*size)).save(before, compress_level=1)
        edit = measured(EDIT, "edit", "upscale", "--scale", "2", *limit, str(before), "-o", str(after))
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
    """Measure, print, record and compare with the limit."""
    parser = arguments(__doc__)
    parser.add_argument("--size", nargs=2, type=int, default=(6000, 4000), metavar=("WIDE", "HIGH"))
    parser.add_argument("--max-memory")
    parser.add_argument("--limit", type=float, default=2.0, help="in GB")
    asked = parser.parse_args()
    row = measure(tuple(asked.size), ["--max-memory", asked.max_memory] if asked.max_memory else [])
    print(json.dumps(row, indent=2))
    protocol = {"size": asked.size, "max_memory": asked.max_memory, "limit_gb": asked.limit}
    write(asked.out, record(__doc__, protocol, row=row))
    print(f"memory {row['memory_gb']:.2f} GB, limit {asked.limit:g} GB")
    if row["memory_gb"] > asked.limit:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
