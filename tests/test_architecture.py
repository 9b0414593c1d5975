"""The floors of the house: imports point strictly down, except inside one folder, and no files import in a circle.

A decimal is a step on the same floor. A file may stand on another step than its folder: then it has a row of its own.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pinxit

ROOT = Path(pinxit.__file__).parent
FLOORS = {
    "__init__": 0, "errors": 0.1, "settings": 0.2, "files": 0.2, "streams": 0.15, "signals": 0.1, "progress": 0.2,
    "runtime": 0.2, "threads": 0.2, "page": 0.2, "plots": 0.2, "marks": 0.3,
    "hardware": 1, "tensors": 1, "colour": 1, "images": 1.1, "degradations": 1.2, "data": 1.3,
    "nets": 1.1, "losses": 1.2, "matting": 1.2,
    "metrics": 2, "objectives": 2.1,
    "training.settings": 3, "training.recipes": 3, "training.documents": 3, "training.run": 3, "training.store": 3,
    "models": 3.1, "training": 3.2,
    "latents": 4, "recognition": 4, "evaluation": 4.1, "exporting": 4.1, "explanation": 4.1,
    "edits": 4.2, "jobs": 4.3, "lessons": 4.3,
    "actions": 5, "commands": 5.1, "cli": 5.2, "web": 5.2, "actions.studio": 5.3, "__main__": 5.3,
}  # fmt: skip
BY_DESIGN = {"actions.studio": {"web.serve"}}
"""Arrows that are no part of a circle: the studio serves every action, and is one of them."""
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}


def floor(module: str) -> float:
    return FLOORS[module] if module in FLOORS else FLOORS[module.partition(".")[0]]


def imported(tree: ast.AST) -> set[str]:
    """The modules of pinxit that a module imports anywhere in it, but for those only types need."""
    skip = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for child in block.body
        for node in ast.walk(child)
    }
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node not in skip:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import) and node not in skip:
            names |= {alias.name for alias in node.names}
    found = {name.removeprefix("pinxit.") for name in names if name.startswith("pinxit.")} & set(MODULES)
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)}


ARROWS = {module: imported(ast.parse(path.read_text())) - {module} for module, path in MODULES.items()}


def circles() -> list[set[str]]:
    """The sets of files that import each other, found in the transitive closure of the imports."""
    reach = {module: arrows - BY_DESIGN.get(module, set()) for module, arrows in ARROWS.items()}
    for middle in reach:
        for module in reach:
            if middle in reach[module]:
                reach[module] |= reach[middle]
    inside = {module: frozenset(other for other in reach[module] if module in reach[other]) for module in reach}
    return [set(group) for group in set(inside.values()) if group]


def test_every_file_stands_on_a_floor() -> None:
    assert not [module for module in MODULES if module not in FLOORS and module.partition(".")[0] not in FLOORS]


def test_imports_point_strictly_down() -> None:
    wrong = [
        f"{module} ({floor(module)}) imports {other} ({floor(other)})"
        for module, arrows in ARROWS.items()
        for other in arrows
        if floor(other) >= floor(module) and other.partition(".")[0] != module.partition(".")[0]
        and other != "pinxit"
    ]  # fmt: skip
    assert not wrong


def test_files_import_in_circles_only_where_settings_build_what_they_set() -> None:
    for circle in circles():
        assert "objectives.settings" in circle, circle
        assert all(module.startswith("objectives.") for module in circle), circle


def test_the_surface_imports_without_torch() -> None:
    surface = [module for module in MODULES if module.partition(".")[0] in ("cli", "commands", "actions", "web")]
    surface += ["training.curves", "training.diagnosis"]
    code = "import sys, " + ", ".join(f"pinxit.{module}" for module in surface) + "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_there_is_no_utils_module() -> None:
    assert not [module for module in MODULES if module.rpartition(".")[2] in ("utils", "helpers", "common", "misc")]


def test_the_runtime_imports_nothing_of_pinxit() -> None:
    assert not ARROWS["runtime"]


def house() -> str:
    """The rooms from the top floor down, each file with its lines and the files it imports; then the circles."""
    lines = {module: len(path.read_text().splitlines()) for module, path in MODULES.items()}
    rows = [
        f"{floor(module):<4g} {module} ({lines[module]}) -> {' '.join(sorted(ARROWS[module]))}"
        for module in sorted(MODULES, key=lambda module: (-floor(module), module))
    ]
    return "\n".join([*rows, *(f"circle: {' '.join(sorted(circle))}" for circle in circles())])


if __name__ == "__main__":  # PYTHONPATH=src python tests/test_architecture.py
    print(house())
