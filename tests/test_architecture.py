"""The floors of the house: imports point strictly down, except inside one folder, and the surface starts without torch.

A decimal is a step on the same floor: everything may raise errors, data reads pictures through
their only door, a loss may look through a network, a run that is judged draws samples, and an edit may run
a network that it exports.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pinxit

ROOT = Path(pinxit.__file__).parent
FLOORS = {
    "__init__": 0, "errors": 0.1, "settings": 0.2, "files": 0.2, "progress": 0.2, "runtime": 0.2,
    "images": 1, "animations": 1.1, "degradations": 1.1, "data": 1.1, "nets": 1, "losses": 1.1,
    "objectives": 2, "metrics": 2,
    "training": 3,
    "sampling": 4, "coding": 4.1, "compression": 4.2, "evaluation": 4.1, "explain": 4, "export": 4.1, "editors": 4.2,
    "cli": 5, "commands": 5, "studio": 5, "__main__": 5.1,
}  # fmt: skip
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def part(module: Path) -> str:
    return module.parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    """The parts of pinxit that a module imports anywhere in it, but for those only types need."""
    skip = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for child in block.body
        for node in ast.walk(child)
    }
    names = set()
    for node in ast.walk(tree):
        if node in skip:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "pinxit":
            names |= {node.module} if node.module != "pinxit" else {f"pinxit.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.startswith("pinxit.")}
    return {name.split(".")[1] for name in names if "." in name}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_point_strictly_down(module: Path) -> None:
    own = part(module)
    assert own in FLOORS, f"{module} stands on no floor: add it to FLOORS and to docs/design.md"
    for other in imported(ast.parse((ROOT / module).read_text())):
        if other != own and other in FLOORS:
            assert FLOORS[other] < FLOORS[own], (
                f"{module} (floor {FLOORS[own]}) imports {other} (floor {FLOORS[other]})"
            )


@pytest.mark.parametrize("module", [module for module in MODULES if part(module) in ("cli", "commands")], ids=str)
def test_the_surface_imports_without_torch(module: Path) -> None:
    name = ".".join(["pinxit", *module.with_suffix("").parts]).removesuffix(".__init__")
    code = f"import sys, {name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0, f"{name} imports torch"


def test_there_is_no_utils_module() -> None:
    assert not [module for module in MODULES if module.stem in ("utils", "helpers", "common", "misc")]


def test_the_runtime_imports_nothing_of_pinxit() -> None:
    assert not imported(ast.parse((ROOT / "runtime.py").read_text()))
