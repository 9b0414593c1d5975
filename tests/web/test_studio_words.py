"""The command line that the page shows does what the request does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pinxit.web.api import PAGE
from pinxit.web.requests import form, kinds
from studios import Studio

ROOT = Path(__file__).parents[2]
UPLOAD = f"upload:{'ab12' * 16}"
LINES: list[tuple[str, dict[str, Any], dict[str, str], str]] = [
    ("edit denoise", {"pictures": [UPLOAD]}, {UPLOAD: "photo.png"}, "edit denoise photo.png -o results"),
    ("edit denoise", {"pictures": [UPLOAD]}, {}, "edit denoise upload-ab12ab12 -o results"),
    (
        "edit inpaint",
        {"pictures": ["job:12345678/results/a.png"], "mask": UPLOAD, "area": {"feather": 3}, "settings": {}},
        {UPLOAD: "../../my mask.png"},
        "edit inpaint a.png -o results --mask 'my mask.png' --feather 3",
    ),
    (
        "edit",
        {"edit": [{"name": "denoise"}, {"name": "upscale", "scale": 2}], "pictures": ["folder:photos/a"]},
        {},
        "edit 'denoise | upscale(scale=2)' photos/a -o results",
    ),
    ("train gan", {"source": "mnist", "training": {"minutes": 3}}, {}, "train gan mnist --minutes 3"),
    ("sample", {"run": "run:digits", "out": "sheet.png", "n": 4}, {}, "sample runs/digits -n 4 -o sheet.png"),
    ("resume", {"run": "run:digits"}, {}, "resume runs/digits"),
    ("doctor", {}, {}, "doctor"),
]  # fmt: skip


@pytest.mark.parametrize(("action", "request_", "names", "line"), LINES, ids=[line for *_, line in LINES])
def test_a_request_is_shown_as_a_command(
    studio: Studio, action: str, request_: dict[str, Any], names: dict[str, str], line: str
) -> None:
    answer = studio.client.post("/v1/command", json={"action": action, "request": request_, "names": names})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"command": f"pinxit {line}"}


@pytest.mark.parametrize(
    ("action", "request_", "why"),
    [("view", {"picture": "mnist"}, "no command"), ("edit denoise", {"edit": {"sigmo": 1}}, "sigma")],
)
def test_what_is_wrong_has_no_command(studio: Studio, action: str, request_: dict[str, Any], why: str) -> None:
    answer = studio.client.post("/v1/command", json={"action": action, "request": request_})
    assert answer.status_code == 422
    assert why in answer.json()["error"]


CHINESE: dict[str, str] = json.loads((PAGE / "zh-help.json").read_text(encoding="utf-8"))
LABELS = {field["name"] for name in kinds() for field in form(name)["fields"]}
"""What fields are called on the command line; the page in Chinese calls them otherwise."""


def test_all_help_of_the_page_is_there_in_chinese() -> None:
    forms = [form(name) for name in kinds()]
    shown = LABELS | {text for one in forms for text in (one["summary"], one["help"])}
    shown |= {field[key] for one in forms for field in one["fields"] for key in ("heading", "description")} - {""}
    assert sorted(shown - CHINESE.keys()) == [], "missing in zh-help.json"
    assert sorted(CHINESE.keys() - shown) == [], "no longer shown: remove from zh-help.json"


def test_what_a_person_types_is_the_same_in_chinese() -> None:
    """Flags, commands, file names and numbers stay as they are."""
    typed = re.compile(r"--[a-z][a-z0-9-]+|`[^`]+`|[A-Za-z/]+\.(?:md|json|csv|onnx|npz|html|txt)|\d+(?:[.,]\d+)*")
    for english, chinese in CHINESE.items():
        assert re.search(r"[\u4e00-\u9fff]", chinese), english
        if english in LABELS:
            continue
        assert sorted(set(typed.findall(english))) == sorted(set(typed.findall(chinese))), english


@pytest.mark.skipif(not all(map(shutil.which, ("bash", "curl", "sha256sum"))), reason="curl or sha256sum is missing")
def test_the_commands_of_the_docs_run(studio: Studio, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "studio.md").read_text(encoding="utf-8")
    first = re.findall(r"^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0]
    script = first.replace("http://127.0.0.1:7860", studio.address.rstrip("/")).replace("curl -s", "curl -sSf")
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [promised] = re.findall(r"The last answer is `(.*)`", page)
    assert done.stdout.endswith(promised), done.stdout[-400:]
    assert "event: end" in done.stdout
    assert (tmp_path / "lighter.png").read_bytes().startswith(b"\x89PNG")
