"""The page in headless Chromium: what a person does in each room, from the first picture to the last score."""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from conftest import TinyRuns
from pinxit.cli import run
from pinxit.evaluation.certificate import made_by
from pinxit.page import HOUSE
from pinxit.web.store import ENDED, QUEUED, RUNNING
from studios import Studio, png

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

PAGE = Path(__file__).parents[2] / "src/pinxit/web/page"
STATES = (QUEUED, RUNNING, *ENDED)
ROOMS = ("edit", "train", "runs", "play", "judge")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
AXE = Path(__file__).with_name("axe.min.js.gz")
"""axe-core 4.14.1, of npm, unchanged but for the packing; its licence, MPL 2.0, lies beside it."""
PATIENCE = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sync = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    if not CHROMIUM:
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync.sync_playwright() as player:
        opened = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def context(browser: Browser, studio: Studio) -> Iterator[BrowserContext]:
    opened = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 800}, accept_downloads=True)
    opened.set_default_timeout(PATIENCE)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext, studio: Studio) -> Iterator[Page]:
    """A page of the studio, that may ask nothing of others and may not fail."""
    opened = context.new_page()
    asked: list[str] = []
    faults: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    yield opened
    assert not faults
    assert not [url for url in asked if not url.startswith((studio.address, "blob:", "data:"))]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "two boats.png"
    path.write_bytes(png(3, (96, 64)))
    return path


def open_picture(page: Page, studio: Studio, photo: Path) -> None:
    page.goto(studio.address)
    page.set_input_files(".drop input", photo)
    page.wait_for_selector(".frame img")


def draw(page: Page, *points: tuple[float, float]) -> None:
    """Draw with the mouse; points are shares of the picture's width and height."""
    box = page.locator(".sheet").bounding_box()
    assert box is not None
    where = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*where[0])
    page.mouse.down()
    for point in where[1:]:
        page.mouse.move(*point)
    page.mouse.up()


def kept(page: Page, name: str) -> Any:
    """What the page remembers under a name."""
    return json.loads(page.evaluate("name => localStorage.getItem('pinxit.' + name)", name))


def drawn(page: Page) -> str:
    """The mask on the canvas, as a hash of its pixels."""
    bytes_ = page.evaluate("() => document.querySelector('canvas.mask').toDataURL()")
    return sha256(bytes_.encode()).hexdigest()


def test_a_picture_is_inpainted_compared_undone_and_saved_as_by_the_command_line(
    page: Page, studio: Studio, photo: Path, tmp_path: Path
) -> None:
    open_picture(page, studio, photo)
    draw(page, (0.3, 0.3), (0.5, 0.5), (0.4, 0.6))
    page.select_option("#editor", "edit inpaint")
    page.select_option("[id='edit.wide']", label="smooth")
    page.get_by_role("button", name="Apply", exact=True).click()
    page.wait_for_selector(".history")
    page.get_by_role("button", name="Before / after").click()
    page.get_by_role("slider", name="Before / after").fill("30")
    assert "70%" in str(page.locator("img.before").get_attribute("style"))
    with page.expect_download() as saving:
        page.get_by_role("button", name="Download").click()
    assert saving.value.suggested_filename == "two boats.png"

    request = kept(page, "pictures")[0]["done"][-1]["edit"]["request"]
    named = [next((studio.state / "uploads").glob(f"{one[7:]}*")) for one in (*request["pictures"], request["mask"])]
    inputs = [next(one.iterdir()) if one.is_dir() else one for one in named]
    out = tmp_path / "out.png"
    assert run(["edit", "inpaint", str(inputs[0]), "--mask", str(inputs[1]), "--wide", "smooth", "-o", str(out)]) == 0
    assert Path(saving.value.path()).read_bytes() == out.read_bytes()

    page.keyboard.press("Control+z")
    page.wait_for_selector(".history", state="detached")
    page.keyboard.press("Control+Shift+z")
    page.wait_for_selector(".history")


def test_a_mask_survives_tools_sizes_rooms_undo_and_a_reload(page: Page, studio: Studio, photo: Path) -> None:
    open_picture(page, studio, photo)
    draw(page, (0.2, 0.2), (0.6, 0.4))
    page.keyboard.press("]")
    draw(page, (0.7, 0.7), (0.8, 0.8))
    page.keyboard.press("x")
    draw(page, (0.3, 0.25), (0.4, 0.3))
    page.get_by_role("button", name="Box").click()
    draw(page, (0.1, 0.7), (0.3, 0.9))
    whole = drawn(page)
    for tool in ("Move", "Brush", "Eraser"):
        page.get_by_role("button", name=tool, exact=True).click()
        assert drawn(page) == whole
    page.get_by_role("button", name="Zoom in").click()
    page.set_viewport_size({"width": 390, "height": 700})
    assert drawn(page) == whole
    for room in ("runs", "edit"):
        page.goto(f"{studio.address}#{room}")
    page.wait_for_selector("canvas.mask")
    assert drawn(page) == whole
    page.reload()
    page.wait_for_selector("canvas.mask")
    assert drawn(page) == whole
    page.keyboard.press("Control+z")
    assert drawn(page) != whole
    page.keyboard.press("Control+Shift+z")
    assert drawn(page) == whole
    strokes = kept(page, "pictures")[0]["done"]
    assert [row["stroke"]["tool"] for row in strokes] == ["brush", "brush", "eraser", "box"]
    assert all(-1 <= x <= 97 and -1 <= y <= 65 for row in strokes for x, y in row["stroke"]["points"])


def test_where_an_edit_applies_is_shown_by_the_server(page: Page, studio: Studio, photo: Path) -> None:
    open_picture(page, studio, photo)
    page.locator("details", has_text="Where to change").locator("summary").click()
    page.fill("[id='area.box']", "10")
    page.locator("[aria-label='area.box 3']").fill("20")
    page.locator("[aria-label='area.box 4']").fill("20")
    page.keyboard.press("Tab")
    overlay = page.locator(".overlay i")
    overlay.wait_for()
    place = re.search(r"/v1/[^\"')]+", str(overlay.get_attribute("style")))
    assert place is not None
    mask = np.asarray(Image.open(io.BytesIO(studio.client.get(place[0]).content)))
    assert mask.shape[:2] == (64, 96)
    assert set(np.unique(mask)) == {0, 255}


def test_edits_are_chained_and_the_line_between_before_and_after_is_dragged(
    page: Page, studio: Studio, photo: Path
) -> None:
    open_picture(page, studio, photo)
    page.get_by_role("button", name="And then").click()
    page.fill("[id='edit.gamma']", "2")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Apply", exact=True).click()
    page.locator(".history", has_text="adjust | adjust").wait_for()
    page.get_by_text("The same on the command line").click()
    page.locator("pre", has_text="pinxit edit 'adjust | adjust(gamma=2)' 'two boats.png' -o results").wait_for()
    page.get_by_role("button", name="Before / after").click()
    draw(page, (0.5, 0.5), (0.25, 0.5))
    assert page.get_by_role("slider", name="Before / after").input_value() == "25"
    assert not kept(page, "pictures")[0]["done"][-1].get("stroke")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A zip of a few small grey pictures."""
    path = tmp_path / "noise.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(12):
            archive.writestr(f"{number:02}.png", png(number, (16, 16)))
    return path


def test_a_sick_training_is_watched_stopped_found_and_resumed(page: Page, studio: Studio, pictures: Path) -> None:
    page.goto(f"{studio.address}#train")
    page.set_input_files(".source .drop input", pictures)
    page.wait_for_selector("#source option:checked[value^='upload:']", state="attached")
    page.select_option("#objective", "train vae")
    page.wait_for_selector("[id='settings.penalty']", state="attached")
    page.locator(".form details").evaluate_all("all => all.forEach(one => { one.open = true })")
    page.select_option("[id='settings.network']", label="dense")
    for name, value in (("settings.channels", 4), ("settings.latent", 4), ("settings.learning_rate", 1e-9),
                        ("training.batch_size", 4), ("training.threads", 1)):  # fmt: skip
        page.fill(f"[id='{name}']", str(value))
    page.get_by_role("button", name="Start training").click()
    sheet = page.locator(".sheets img")
    seen: dict[str, int] = {}
    while len(seen) < 3:
        sheet.wait_for()
        points = page.locator("[data-points]").first.get_attribute("data-points")
        seen[str(sheet.get_attribute("data-step"))] = int(points or 0)
        page.wait_for_timeout(50)
    assert len({*seen.values()}) > 1
    page.locator(".findings", has_text="Nothing is learned").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Go on").wait_for()
    name = str(page.locator(".view h2").first.text_content())
    stopped = studio.client.get(f"/v1/runs/{name}").json()["steps"]

    page.goto(f"{studio.address}#runs")
    page.locator(".cards strong", has_text=name).click()
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Stop").wait_for()
    page.locator("progress[value]").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Go on").wait_for()
    assert studio.client.get(f"/v1/runs/{name}").json()["steps"] > stopped


@pytest.fixture(scope="module")
def two_runs(studio: Studio, tiny_runs: TinyRuns) -> tuple[str, str]:
    """Two runs with certificates of one protocol."""
    for name in ("one", "other"):
        folder = tiny_runs.copy("gan", studio.runs / name)
        weights = sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
        certify(folder, weights, 12)
    return "one", "other"


def certify(folder: Path, weights: str, n: int) -> None:
    score = {
        "value": 2, "interval": {"low": 1, "high": 3, "level": 0.95, "method": "made"}, "better": "smaller",
        "headline": True, "n": n, "metric": "made", "reference": {"name": "made"},
        "rows": [{"name": name, "about": "made", "n": n, "value": 2, "ratio": 1} for name in ("generated", "floor")],
    }  # fmt: skip
    document = {"weights": weights, "scores": {"fd": score}, "remarks": [], "made_by": made_by()}
    (folder / "evaluation.json").write_text(json.dumps(document))


def test_runs_are_compared_and_unequal_protocols_refused_with_the_reason(
    page: Page, studio: Studio, two_runs: tuple[str, str]
) -> None:
    page.goto(f"{studio.address}#runs")
    for name in two_runs:
        page.get_by_role("checkbox", name=f"Select {name}", exact=True).check()
    page.get_by_role("link", name="Compare").click()
    page.get_by_text("cannot be told apart").wait_for()
    certify(studio.runs / "other", sha256((studio.runs / "other/weights.safetensors").read_bytes()).hexdigest(), 24)
    page.reload()
    page.locator(".fault", has_text="12 against 24").wait_for()


def test_a_run_is_sampled_and_the_way_between_two_pictures_shown(
    page: Page, studio: Studio, two_runs: tuple[str, str]
) -> None:
    page.goto(f"{studio.address}#play/{two_runs[0]}")
    pictures = page.locator(".grid .thumb")
    pictures.nth(3).wait_for()
    pictures.nth(1).click()
    pictures.nth(3).click()
    page.get_by_role("button", name="The way between").click()
    page.locator(".between img").nth(7).wait_for()
    page.get_by_role("slider", name="Direction 1").fill("1.5")
    page.locator(".moved img").nth(1).wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_room_has_a_serious_fault_for_those_who_cannot_see(
    page: Page, studio: Studio, two_runs: tuple[str, str], photo: Path, scheme: Any
) -> None:
    axe = gzip.decompress(AXE.read_bytes()).decode()
    page.emulate_media(color_scheme=scheme)
    open_picture(page, studio, photo)
    for room in (*ROOMS, f"runs/{two_runs[0]}", "runs/" + "+".join(two_runs)):
        page.goto(f"{studio.address}#{room}")
        page.wait_for_load_state("networkidle")
        page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
        page.evaluate(axe)
        found = page.evaluate("() => axe.run().then(({ violations }) => violations)")
        grave = [row for row in found if row["impact"] in ("serious", "critical")]
        assert not [(room, row["id"], [node["html"][:200] for node in row["nodes"][:3]]) for row in grave]


def test_the_page_speaks_both_languages_and_shares_the_look_of_the_reports(page: Page, studio: Studio) -> None:
    page.goto(studio.address)
    words = page.evaluate("() => import('./words.js').then(({ WORDS }) => WORDS)")
    assert words["en"].keys() == words["zh"].keys()
    said = "".join(path.read_text() for path in PAGE.rglob("*.js") if "vendor" not in path.parts)
    assert not [key for key in words["en"] if f'"{key}"' not in said and key not in (*ROOMS, *STATES)]
    page.get_by_role("button", name="中文").click()
    assert page.locator("nav").inner_text().split() == [words["zh"][room] for room in ROOMS]
    assert page.evaluate("document.documentElement.lang") == "zh"
    assert studio.client.get("/house.css").text == HOUSE


def test_vendored_libraries_are_what_they_say() -> None:
    folder = PAGE / "vendor"
    rows = json.loads((folder / "versions.json").read_text())
    assert {row["file"] for row in rows} | {text for row in rows for text in row["texts"]} | {"versions.json"} == {
        path.name for path in folder.iterdir()
    }
    for row in rows:
        assert sha256((folder / row["file"]).read_bytes()).hexdigest() == row["sha256"]
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 250_000
