"""Laws over what ships: each network serves an edit, edits import only what they need, and tiles show no seams."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from skimage import data
from test_engine import small_tiles

from pinxit import models
from pinxit.edits import EDITS as TABLE
from pinxit.edits import engine
from pinxit.edits.bound import Bound
from pinxit.edits.engine import edit_picture
from pinxit.edits.settings import Edit, Stylize
from pinxit.errors import UsageError
from pinxit.hardware import Hardware
from pinxit.images import Picture, save_image
from pinxit.settings import chain_text

SCALES = (2, 3, 4, 8)


def variants(kind: type[Edit]) -> Iterator[dict[str, object]]:
    """Settings that may select another network: none, each scale, each switch, and crisp and clean at each scale."""
    yield {}
    for name, field in kind.model_fields.items():
        values = SCALES if name == "scale" else (True, False) if field.annotation is bool else ()
        yield from ({name: value} for value in values)
    if "crisp" in kind.model_fields:
        yield from ({"scale": scale, "crisp": 0.5} for scale in SCALES)
        yield from ({"scale": scale, "clean": True} for scale in SCALES)


def edits_that_ship() -> dict[str, Bound]:
    """Every edit that runs networks that ship, by its text."""
    found: dict[str, Bound] = {}
    for kind in TABLE.values():
        for settings in variants(kind):
            try:
                edit = kind.parse(settings)
                if (text := chain_text((edit,), TABLE)) not in found and (bound := edit.bind()).weights:
                    found[text] = bound
            except UsageError:  # it needs a model, or another setting
                continue
    return found


EDITS = edits_that_ship()
SIZES = [(1, 1), (1, 97), (97, 1), *np.random.default_rng(0).integers((1, 60), (60, 300), (37, 2)).tolist()]
TILE = 48


def test_every_network_that_ships_serves_an_edit() -> None:
    painting = Stylize(style=(Path(data.data_dir) / "brick.png",), quick=True).bind()
    assert set(models.SHIPPED) == {name for bound in [*EDITS.values(), painting] for name in bound.weights}
    assert {path.stem for path in models.FOLDER.glob("*.safetensors")} >= set(models.SHIPPED)


def test_they_start_without_the_compiler_and_without_what_draws(tmp_path: Path) -> None:
    save_image(tmp_path / "one.png", data.astronaut()[::16, ::16])
    twice = next(name for name, bound in EDITS.items() if bound.scale == 2 and "crisp" in name)
    chain = " | ".join(name for name, bound in EDITS.items() if bound.scale == 1 or name == twice)  # they multiply
    words = ["edit", chain, str(tmp_path / "one.png"), "-o", str(tmp_path / "two.png"), "--box", "4,4,9,9"]
    unneeded = ("torch._dynamo", "torch._inductor", "sympy", "matplotlib")
    code = (
        f"import sys; from pinxit.cli import run; failed = run({words})\n"
        f"sys.exit(failed or ' '.join({{*{unneeded}}} & {{*sys.modules}}) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def apart(bound: Bound, monkeypatch: pytest.MonkeyPatch) -> float:
    """The largest difference between tiles and the whole, before rounding, over all sizes."""
    furthest, rng = 0.0, np.random.default_rng(1)
    for number, size in enumerate(SIZES):
        high, wide = size if number % 2 else size[::-1]
        pixels = data.astronaut()[:high, :wide].astype(np.float32) / 255
        far = np.indices((high, wide))[int(wide > high)] > (max(high, wide) - 1) // 2  # the other half is known
        mask = (far & (rng.random((high, wide)) < 0.7)).astype(np.float32)
        with monkeypatch.context() as patch:
            patch.setattr(engine._Pass, "_side", lambda task, picture: 1024)
            whole = edit_picture(Picture(pixels), [bound], mask).pixels
            small_tiles(patch, TILE)
            furthest = max(furthest, float(np.abs(edit_picture(Picture(pixels), [bound], mask).pixels - whole).max()))
    return furthest


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("precision", ["as chosen", "float32"])
@pytest.mark.parametrize("edit", [edit for edit, bound in EDITS.items() if bound.radius is not None])
def test_their_tiles_cannot_be_seen(edit: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(SIZES) == 40
    if precision == "float32":
        monkeypatch.setattr(Hardware, "autocast", lambda hardware: nullcontext())
    assert apart(EDITS[edit], monkeypatch) <= 1e-5
