"""`pinxit doctor`: what this machine can do."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cyclopts import App

from pinxit.commands import Json

app = App(name="doctor", help="What this machine can do: versions, device, speed, disk, extras.")

EXTRAS = {"deep": "cv2", "export": "onnxscript"}


@app.default
def doctor(*, as_json: Json = False) -> None:
    """Say what this machine can do: versions, device and why, measured speed, disk, data and extras."""
    found = examine()
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    width = max(map(len, found))
    for name, value in found.items():
        shown = ", ".join(f"{key} {part}" for key, part in value.items()) if isinstance(value, dict) else value
        print(f"{name:<{width}}  {shown}")


def examine() -> dict[str, Any]:
    """Return what was found, in the order in which it is shown."""
    from pinxit import hardware
    from pinxit.files import cache_folder
    from pinxit.training.run import machine

    chosen = hardware.choose()
    chosen.apply()
    return {
        "machine": machine(),
        "computing": chosen.describe(),
        "speed": {name: f"{rate:,.0f} GFLOP/s" for name, rate in hardware.convolution_speed(chosen.device).items()},
        "disk": {"free here": f"{shutil.disk_usage(Path.cwd()).free / 1e9:.0f} GB"},
        "mnist": "in the cache" if _has_mnist() else f"not in {cache_folder()}; `pinxit data fetch mnist` gets it",
        "extras": {name: "installed" if find_spec(module) else "not installed" for name, module in EXTRAS.items()},
    }


def _has_mnist() -> bool:
    from pinxit.data.mnist import FINGERPRINT
    from pinxit.data.pack import pack_path

    return pack_path(FINGERPRINT).is_file()
