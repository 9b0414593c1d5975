"""Photograph the rooms of the studio: train, fill each room as a person does, and write docs/studio/*.webp.

    python docs/studio/shots.py          in the project's folder

It needs `.[studio,test]`, Chromium and MNIST, and about ten minutes. The runs stay in runs/studio for the next time.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from pinxit.cli import run

HERE, PICTURES, RUNS = Path("docs/studio"), Path("docs/pictures"), Path("runs/studio")
TRAINED = {
    "digits": "train gan mnist --conditional --minutes 3",
    "codes": "train vae mnist --minutes 1",
    "hinge": "train gan mnist --loss hinge --minutes 1",
}
WIDTHS = {1440: 1000, 390: 1300}
LOOKS = (("en", "light"), ("zh", "dark"))
ROOMS = ("edit", "train", "runs", "play", "judge")
QUALITY = 82
PATIENCE = 300_000


def main() -> None:
    """Train what is missing, fill the rooms once, and photograph them in every look and width."""
    for name, words in TRAINED.items():
        if not (RUNS / name).exists() and (code := run([*words.split(), "--out", str(RUNS / name)])):
            raise SystemExit(code)
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with studio() as address, sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        memory = filled(browser, address)
        for language, scheme in LOOKS:
            for width, height in WIDTHS.items():
                look = {"color_scheme": scheme, "viewport": {"width": width, "height": height}}
                context = browser.new_context(storage_state=memory, **look)
                said = json.dumps(json.dumps(language))
                context.add_init_script(f"localStorage.setItem('pinxit.language', {said})")
                for room in ROOMS:
                    photograph(context, address, room, HERE / f"{room}-{language}-{scheme}-{width}.webp")
                context.close()
        browser.close()
        shutil.rmtree(RUNS / "gan-mnist-1")  # the training of the photographs, which need not end


@contextmanager
def studio() -> Iterator[str]:
    """Run a studio, and give its address."""
    command = [sys.executable, "-m", "pinxit", "studio", "--port", "0", "--no-open", "--runs", str(RUNS)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603
    assert process.stderr is not None
    said = process.stderr.readline()
    try:
        yield re.findall(r"http://\S+", said)[0]
    finally:
        process.terminate()
        process.wait()


def filled(browser: Browser, address: str) -> dict:
    """Do in each room what takes time, and return what the page remembers of it."""
    context = browser.new_context(locale="en-GB", viewport={"width": 1440, "height": 1000})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(address)
    edit(page)
    page.goto(f"{address}#judge")
    judge(page)
    page.goto(f"{address}#play/digits")
    for seed in ("seed 3", "seed 13"):
        page.get_by_role("button", name=seed, exact=True).click()
    page.goto(f"{address}#train")
    page.select_option("#source", "mnist")
    page.fill("[id='training.minutes']", "6")
    page.get_by_role("button", name="Start training").click()
    page.locator(".sheets input[max='5']").wait_for()
    memory = context.storage_state()
    context.close()
    return memory


def edit(page: Page) -> None:
    """Open three pictures, paint over the scratches of one, and fill them."""
    names = ("castle.jpg", "cat-noisy.png", "coffee-scratched.jpg")
    page.set_input_files(".drop input", [PICTURES / name for name in names])
    page.locator(".film .thumb").nth(2).wait_for()
    page.locator(".film .thumb").nth(2).click()
    page.locator(".thick input").fill("9")
    box = page.locator(".sheet").bounding_box()
    assert box is not None
    for stroke in SCRATCHES:
        for number, (x, y) in enumerate(stroke):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=8)
            if number == 0:
                page.mouse.down()
        page.mouse.up()
    page.select_option("#editor", "edit inpaint")
    page.locator("[id='edit.wide']").wait_for()
    page.get_by_role("button", name="Apply", exact=True).click()
    page.wait_for_selector(".history")
    page.select_option("#editor", "edit adjust")


SCRATCHES = (
    ((0, 0.155), (0.29, 0.02)),
    ((0.135, 0.045), (0.42, 0.18), (0.53, 0.195), (1, 0.195)),
    ((0.44, 0), (0.44, 0.18)),
    ((0.82, 0), (0.6, 0.48), (0.425, 0.95)),
    ((0.945, 0), (1, 0.13)),
    ((0.125, 0.275), (0.36, 0.54), (0.53, 0.67), (0.8, 1)),
    ((0.15, 0.4), (0.32, 0.475), (0.44, 0.515), (0.55, 0.58), (0.71, 0.71), (0.95, 1)),
)
"""Lines along the scratches of the coffee, in shares of its width and height."""


def judge(page: Page) -> None:
    """Score digits against real ones, and look for copies."""
    page.select_option("#one", "run:digits")
    page.select_option("#other", "mnist")
    page.locator("[id='audit']").check()
    page.fill("[id='n']", "1000")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Judge", exact=True).click()
    page.locator(".view table").wait_for()


def photograph(context: BrowserContext, address: str, room: str, file: Path) -> None:
    """Open a room, do what it does not remember, and save what is seen."""
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{address}#{room}")
    SETTLED[room](page)
    page.wait_for_load_state("networkidle") if room != "train" else page.wait_for_timeout(1500)
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(300)
    with Image.open(io.BytesIO(page.screenshot())) as shot:
        shot.convert("RGB").save(file, quality=QUALITY, method=6)
    page.close()


def compared(page: Page) -> None:
    """Show the filled coffee beside the scratched one."""
    page.locator(".view .bar button[aria-pressed]").last.click()
    page.locator(".compare").fill("46")
    page.locator("details:last-of-type summary").last.click()


def played(page: Page) -> None:
    """Show the way between the kept digits, one of them moved, and a castle painted."""
    page.locator(".grid .thumb").nth(63).wait_for()
    page.locator(".view .bar button:not(.chip)").first.click()
    page.locator(".between img").nth(7).wait_for()
    page.locator(".directions input").nth(0).fill("1.5")
    page.locator(".moved img").nth(1).wait_for()
    for place, name in enumerate(("castle.jpg", "church-at-auvers.jpg")):
        page.locator(".style input[type=file]").nth(place).set_input_files(PICTURES / name)
    page.locator(".painted").wait_for()


SETTLED = {
    "edit": compared,
    "train": lambda page: page.locator(".sheets img").wait_for(),
    "runs": lambda page: page.locator(".cards li").nth(3).wait_for(),
    "play": played,
    "judge": lambda page: page.locator(".view table").wait_for(),
}


if __name__ == "__main__":
    main()
