"""The action that reports what this machine can do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pinxit.actions.action import Action, Outcome

QUIET = 0.9  # share of the processor from which nobody notices the rest
EXTRAS = {"camera": "cv2", "export": "onnxscript", "studio": "uvicorn"}


class Doctor(Action):
    """Report what this machine can do: versions, device, speed, disk, extras."""

    def do(self) -> Outcome:
        """Examine the machine; value and document are what was found."""
        from pinxit import hardware
        from pinxit.files import cache_folder
        from pinxit.training.run import machine

        load = hardware.load()  # before the speed is measured, which is load too
        chosen = hardware.choose()
        chosen.apply()
        speed = hardware.convolution_speed(chosen.device)
        found: dict[str, Any] = {
            "machine": machine(),
            "computing": chosen.describe(),
            "load": _load(load, hardware.usable_cores()),
            "speed": {name: f"{rate:,.0f} GFLOP/s" for name, rate in speed.items()},
            "disk": {"free here": f"{shutil.disk_usage(Path.cwd()).free / 1e9:.0f} GB"},
            "mnist": "in the cache" if _has_mnist() else f"not in {cache_folder()}; `pinxit data fetch mnist` gets it",
            "extras": {name: "installed" if find_spec(module) else "not installed" for name, module in EXTRAS.items()},
        }
        return Outcome(found, found, lines=_table(found))


def _table(found: Mapping[str, Any]) -> Iterator[str]:
    width = max(map(len, found))
    for name, value in found.items():
        text = ", ".join(f"{key} {part}" for key, part in value.items()) if isinstance(value, dict) else value
        yield f"{name:<{width}}  {text}"


def _load(load: tuple[float, float] | None, cores: int) -> str:
    """Return whether other programs take the processor, and what that means."""
    if load is None:
        return "this system does not tell"
    wanted, share = load
    known = f"{wanted:.1f} threads at work in the last minute, {cores} cores to use"
    if share > QUIET:
        return f"quiet: {known}"
    return f"busy: {known}; training has about {share:.0%} of its speed until other programs end"


def _has_mnist() -> bool:
    from pinxit.data.mnist import FINGERPRINT
    from pinxit.data.pack import pack_path

    return pack_path(FINGERPRINT).is_file()
