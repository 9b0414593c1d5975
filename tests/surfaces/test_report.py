"""The report of a run: whole at any point of its life, nothing from outside, nothing of the user's taken for HTML."""

from __future__ import annotations

import base64
import io
import json
import re
import shlex
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from pinxit.cli import run as cli
from pinxit.errors import DataError
from pinxit.files import sha256
from pinxit.images import grid, load_image, save_image
from pinxit.objectives import OBJECTIVES
from pinxit.training.recipes import DataRecipe, HardwareRecipe, Recipe, TrainingRecipe
from pinxit.training.report import FRAME_WIDTH, FRAMES, POINTS, Curve, read_log, smooth, thin, write_report

HEADINGS = [
    "Score",
    "Curves",
    "The same sheet, step by step",
    "What was asked",
    "Machine and time",
    "Next steps",
]
HOSTILE = "<script>alert('1')</script>\" onload=\"x & ü"
VOID = {"meta", "img"}

Make = Callable[..., Path]


class Page(HTMLParser):
    """A page taken apart; complains of tags that do not match."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.tags, self.open = path.read_text(encoding="utf-8"), [], []
        self.images: list[dict[str, str | None]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(self.text)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attributes if name.startswith("on")]
        if tag == "img":
            self.images.append(dict(attributes))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def png(self, number: int) -> bytes:
        return base64.b64decode((self.images[number]["src"] or "").removeprefix("data:image/png;base64,"))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a run folder: `logged` steps, sheets at the steps of `sheets`, and facts if they are given."""

    def run(
        name: str = "ten",
        logged: int = 30,
        sheets: tuple[int, ...] = (1, 10, 30),
        channels: int = 1,
        size: int = 16,
        facts: dict[str, object] | None = None,
        **data: object,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "recipe.json").write_text(recipe(channels=channels, size=size, **data).model_dump_json())
        if logged:
            (folder / "log.jsonl").write_text("".join(line(step) for step in range(1, logged + 1)))
        for step in sheets:
            save_image(folder / "samples" / f"{step:07d}.png", grid(pictures(size, channels, step)))
        if facts is not None:
            told = dict(facts)
            if evaluation := told.pop("evaluation", None):
                (folder / "weights.safetensors").write_bytes(b"weights")
                evaluation = {"weights": sha256(folder / "weights.safetensors")} | evaluation
                (folder / "evaluation.json").write_text(json.dumps(evaluation))
            if told:
                (folder / "report.json").write_text(json.dumps(told))
        return folder

    return run


def recipe(**data: object) -> Recipe:
    named = {"source": "mnist", "name": "mnist:train", "fingerprint": "f" * 64, "classes": ("0", "1")}
    return Recipe(
        objective="gan",
        settings=OBJECTIVES["gan"].parse({"r1": 0.25}),
        data=DataRecipe.parse(named | data),
        training=TrainingRecipe(steps=30, batch_size=64),
        hardware=HardwareRecipe(device="cpu", precision="bf16", threads=2, reason="no GPU found"),
    )


def line(step: int) -> str:
    values = {"discriminator/adversarial": 1.25, "discriminator/r1": 0.1, "discriminator/gradient_norm": 1 / step}
    values |= {"discriminator/real_score": 1.0, "discriminator/fake_score": -1.0}
    if step % 2 == 0:
        values |= {"generator/adversarial": 0.5 + step / 1000, "generator/gradient_norm": 0.5}
    return json.dumps({"step": step, **values}) + "\n"


def pictures(size: int, channels: int, seed: int, count: int = 36) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def facts(**more: object) -> dict[str, object]:
    machine = {"processor": "Abacus 9", "cores": 2, "memory_gb": 23.4, "torch": "2.13.0"}
    done = {
        "steps": 30,
        "images": 1920,
        "seconds": 83.2,
        "images_per_second": 23.1,
        "finished": True,
        "machine": machine,
    }
    return done | more


def evaluation(reference: str = "mnist:test") -> dict[str, object]:
    columns = {"fd[digits-v1]": (12.34, 2.3, 18.6, 189.8), "kd[digits-v1]": (-0.01, -0.02, 0.3, 0.4)}
    columns |= {"class entropy[digits-v1]": (3.31, 3.32, 3.3, 3.2)}
    return {
        "scores": {
            name: {
                "value": values[0],
                "interval": {"low": values[0] - 1, "high": values[0] + 1},
                "better": "as real" if "entropy" in name else "smaller",
                "headline": True,
                "metric": f"how {name} is computed",
                "extractor": "digits-v1",
                "sha256": "5d93",
                "n": 10000,
                "reference": {"name": reference, "pictures": 10000},
                "rows": [
                    {
                        "name": row,
                        "about": f"what {row} is",
                        "n": 10000,
                        "value": value,
                        "ratio": None if "entropy" in name else value / values[-1],
                    }
                    for row, value in zip(("generated", "floor", "noise", "blur"), values, strict=True)
                ],
            }
            for name, values in columns.items()
        },
        "made_by": {"pinxit": "0"},
        "remarks": [f"what to know of {reference}"],
        "audit": {"verdict": f"no copies of {reference}"},
    }


# The points of a run's life, and which of the headings each has something to say under.
LIVES = {
    "asked": ({"logged": 0, "sheets": ()}, {0, 3, 5}),
    "one step": ({"logged": 1, "sheets": ()}, {0, 1, 3, 5}),
    "two steps": ({"logged": 2, "sheets": (1,)}, {0, 1, 2, 3, 5}),
    "judged before a checkpoint": ({"logged": 0, "sheets": (), "facts": {"evaluation": evaluation()}}, {0, 3, 5}),
    "sheets without a log": ({"logged": 0, "facts": facts()}, {0, 2, 3, 4, 5}),
    "stopped": ({"facts": facts(finished=False, steps=12, evaluation=None)}, {0, 1, 2, 3, 4, 5}),
    "judged": ({"facts": facts(evaluation=evaluation())}, {0, 1, 2, 3, 4, 5}),
}


@pytest.mark.parametrize(("made", "said"), LIVES.values(), ids=LIVES)
def test_a_page_is_whole_and_in_order_at_any_point(make: Make, made: dict[str, object], said: set[int]) -> None:
    folder = make(**made)
    page = Page(write_report(folder))
    assert page.texts["h2"] == [HEADINGS[number] for number in sorted(said)]
    headline = page.texts["h1"][0]
    assert headline.startswith("A GAN trained on mnist:train: ")
    done = {True: "30 steps in 1 min 23 s", False: "12 of 30 steps in 1 min 23 s", None: "no step of 30 saved yet"}
    assert headline.endswith(done[made.get("facts", {}).get("finished")])
    assert "64 pictures a step, 16\xa0×\xa016 pixels in grey, seed 0." in page.texts["p"]
    assert page.tags.count("svg") == (4 if made.get("logged", 30) else 0)
    assert "nan" not in re.sub(r"base64,[^\"]*", "", page.text)
    assert not [path for path in folder.iterdir() if path.suffix == ".tmp"]


def test_nothing_comes_from_outside_and_nothing_runs(make: Make) -> None:
    page = Page(write_report(make(facts=facts(evaluation=evaluation()))))
    assert "://" not in page.text
    assert "url(" not in re.sub(r"url\(#\w+\)", "", page.text)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all((image["src"] or "").startswith("data:image/png;base64,") and image["alt"] for image in page.images)


def test_the_same_folder_gives_the_same_bytes_whatever_matplotlib_is_told(make: Make) -> None:
    folder = make(facts=facts(evaluation=evaluation()))
    first = write_report(folder).read_bytes()
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "axes.grid": False, "svg.hashsalt": None}):
        assert write_report(folder).read_bytes() == first


def test_what_users_write_stays_text(make: Make) -> None:
    judged = facts(evaluation=evaluation(HOSTILE), machine={"processor": HOSTILE})
    folder = make(HOSTILE.replace("/", ""), facts=judged, source=HOSTILE, classes=(HOSTILE, "b"))
    page = Page(write_report(folder))
    assert "script" not in page.tags
    assert page.text.count("alert(&#x27;1&#x27;)") >= 5


def test_a_score_is_told_with_its_protocol_and_its_anchors(make: Make) -> None:
    page = Page(write_report(make(facts=facts(evaluation=evaluation()))))
    words = re.sub(r"<[^>]*>", "", page.text)
    assert "fd[digits-v1] 12.3 (11.3 to 13.3) at N = 10,000 against mnist:test, smaller is better; 0.065 of" in words
    assert "entropy[digits-v1] 3.31 (2.31 to 4.31) at N = 10,000 against mnist:test, best near the floor\n" in words
    assert "how fd[digits-v1] is computed" in words
    assert "what to know of mnist:test" in words
    assert "no copies of mnist:test" in words
    for anchor, value in (("floor", "2.3"), ("noise", "18.6"), ("blur", "190")):
        assert f"what {anchor} is, N = 10,000{value}" in words
    assert "fd[digits-v1], kd[digits-v1], class entropy[digits-v1]" in page.texts["h3"]
    widths = [float(width) for width in re.findall(r'style="width:(.*?)%"', page.text)]
    assert len(widths) == 8
    assert (min(widths), max(widths)) == (0, 100)


def test_every_setting_is_told_with_what_it_means(make: Make) -> None:
    folder = make()
    page = Page(write_report(folder))
    asked = recipe(channels=1, size=16)
    chosen = {"recipe": "few", "because": "because <216> are few"}
    document = json.loads((folder / "recipe.json").read_text()) | {"chosen": chosen}
    (folder / "recipe.json").write_text(json.dumps(document))
    told = "All that was not given is by recipe few, because <216> are few."
    assert told in Page(write_report(folder)).texts["p"]
    assert told not in page.texts["p"]
    for part in (asked.settings, asked.data, asked.training, asked.hardware):
        for name, field in type(part).model_fields.items():
            assert name.replace("_", " ") in page.texts["th"]
            assert any((field.description or name) in text for text in page.texts["td"])
    assert any(" at real pictures. " in text and text.endswith(" Default: 0.") for text in page.texts["td"])


@pytest.mark.parametrize("name", ["ten", "my run", "it's $HOME; `ls`"])
def test_the_commands_can_be_pasted_into_a_shell(make: Make, name: str) -> None:
    folder = make(name, source="my pictures")
    page = Page(write_report(folder))
    commands = [shlex.split(command) for command in page.texts["code"]]
    assert [command[:3] for command in commands] == [
        ["pinxit", verb, str(folder)] for verb in ("evaluate", "resume", "sample", "evaluate")
    ]
    assert commands[0][3] == "my pictures:test"


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [16, 65])
def test_sheets_are_told_in_order_the_newest_as_it_is(make: Make, channels: int, size: int) -> None:
    steps = (2, 9, 10, 100)
    folder = make(channels=channels, size=size, sheets=steps)
    (folder / "samples" / "notes.png").write_bytes(b"not a sheet")
    page = Page(write_report(folder))
    assert page.png(0) == (folder / "samples" / "0000100.png").read_bytes()
    shown = [int(text.removeprefix("step ")) for text in page.texts["figcaption"] if text.startswith("step ")]
    assert shown == list(steps)
    for number, step in enumerate(steps, start=1):
        frame, sheet = load_image(io.BytesIO(page.png(number))), load_image(folder / "samples" / f"{step:07d}.png")
        assert frame.shape[0] == frame.shape[1] <= FRAME_WIDTH
        assert frame[..., :3].mean() == pytest.approx(sheet[..., :3].mean(), abs=1.5)


def test_of_many_sheets_some_are_shown_from_first_to_last(make: Make) -> None:
    page = Page(write_report(make(sheets=tuple(range(1, 101)))))
    shown = [int(text.removeprefix("step ")) for text in page.texts["figcaption"] if text.startswith("step ")]
    assert len(shown) == FRAMES
    assert (shown[0], shown[-1]) == (1, 100)
    assert shown == sorted(shown)


def test_the_log_is_read_as_far_as_it_is_whole(make: Make) -> None:
    path = make(logged=9) / "log.jsonl"
    path.write_bytes(path.read_bytes() + line(10).encode()[:40] + "é".encode()[:1])
    curves = read_log(path)
    assert curves["discriminator/r1"].at.tolist() == list(range(1, 10))
    assert curves["generator/adversarial"].at.tolist() == [2, 4, 6, 8]
    assert curves["generator/adversarial"].values.tolist() == [0.502, 0.504, 0.506, 0.508]
    write_report(path.parent)


def test_half_a_million_steps_make_a_small_page(make: Make) -> None:
    folder = make(sheets=())
    rest = line(2).partition(",")[2]
    noise = np.random.default_rng(0).random(500_000)
    with (folder / "log.jsonl").open("w") as log:
        log.writelines(
            f'{{"step": {step}, "discriminator/kl": {noise[step - 1]:.6f},{rest}' for step in range(1, 500_001)
        )
    page = Page(write_report(folder))
    assert len(page.text) < 500_000
    assert max(path.count("L ") for path in re.findall(r' d="(.*?)"', page.text, re.DOTALL)) < POINTS


@pytest.mark.parametrize("count", [1, 2, 3, POINTS - 1, POINTS, POINTS + 1, 10 * POINTS + 7])
def test_thinning_and_smoothing_invent_nothing(count: int) -> None:
    steps = np.arange(1.0, count + 1)
    values = np.random.default_rng(count).normal(size=count)
    curve = thin(Curve(steps, values))
    assert len(curve.at) == len(curve.values) == min(count, POINTS)
    assert (np.diff(curve.at) > 0).all()
    if count % POINTS == 0 or count < POINTS:
        assert curve.values.mean() == pytest.approx(values.mean())
    assert values.min() <= curve.values.min() <= curve.values.max() <= values.max()
    assert smooth(curve.values).shape == curve.values.shape
    assert np.ptp(smooth(curve.values)) <= np.ptp(curve.values)
    assert smooth(np.full(count, 0.7)) == pytest.approx(np.full(count, 0.7))


def test_thinning_keeps_a_line_a_line() -> None:
    curve = thin(Curve(np.arange(9001.0), 2 * np.arange(9001.0)))
    assert curve.values == pytest.approx(2 * curve.at)
    assert smooth(curve.values)[POINTS // 2] == pytest.approx(curve.values[POINTS // 2])


def test_a_key_tells_where_each_line_ends(make: Make) -> None:
    page = Page(write_report(make()))
    keys = [text for text in page.texts["span"] if text.strip()]
    assert keys[:4] == ["discriminator 1.25", "generator 0.53", "real score 1", "fake score -1"]


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^[^\n]*is not a run[^\n]*$"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_findings_of_an_unfinished_run_stand_in_the_page_and_in_json(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """All samples look alike, from the first look on; the readings of the watch get a panel of their own."""
    folder = make(logged=0)
    looks = [{"step": step, "watch/diversity": 0.01, "watch/coverage": 0.1} for step in range(1, 502, 50)]
    (folder / "log.jsonl").write_text("".join(json.dumps(look) + "\n" for look in looks))
    changed = json.loads((folder / "recipe.json").read_text())
    changed["training"]["steps"] = 5000
    (folder / "recipe.json").write_text(json.dumps(changed))
    page = Page(write_report(folder))
    assert "Findings" in page.texts["h2"]
    assert "collapse" in page.texts["b"]
    assert "Samples beside the training pictures" in page.texts["h3"]
    assert cli(["runs", "diagnose", str(folder), "--json"]) == 0
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["name"], finding["grave"], finding["evidence"]["diversity"]) == ("collapse", True, 0.01)
    assert finding["remedy"] in page.texts["code"]
    assert finding["picture"] == str(folder / "samples" / "0000030.png")
    assert cli(["runs", "diagnose", str(folder)]) == 0
    assert finding["sentence"] in capsys.readouterr().out
