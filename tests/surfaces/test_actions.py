"""One definition an action: the command line and Python do the same, and help, JSON and progress come from it."""

import inspect
import itertools
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from PIL import Image
from pydantic import Field

import pinxit
from conftest import TinyRuns, framed_cells, masked_fields
from pinxit.actions import ACTIONS, variants
from pinxit.actions.action import Action, Outcome, Word, mark
from pinxit.actions.python import functions, value
from pinxit.cli import run
from pinxit.commands import fields, headings
from pinxit.progress import Event, Line, say, show, track, watched
from pinxit.settings import Settings, Topic
from pinxit.training.recipes import GOLDEN

EVERY = {name: kind for row in ACTIONS for name, kind in variants(row).items()}
TRAINING = {"steps": 2, "batch_size": 4, "threads": 1, "device": "cpu", "precision": "float32"}
DENSE = {"network": "dense", "channels": 2, "latent": 4}


def training(objective: str, source: str, **settings: object) -> dict[str, Any]:
    size = {} if source == "cards.npz" else {"data": {"size": 16}}
    return {"source": source, "out": "new", "settings": settings, "training": TRAINING, **size}


CASES: dict[str, dict[str, Any]] = {
    "demo": {"out": "demo", "steps": 1, "n": 12},
    "learn": {"topic": "gan", "steps": 1, "out": "lessons"},
    "train gan": training("gan", "cards.npz", **DENSE) | {"start": "gan"},
    "train vae": training("vae", "cards.npz", **DENSE),
    "train vq": training("vq", "cards.npz", channels=4, codes=16, dimensions=4),
    "train prior": {"run": "vae", "settings": {"network": "flow", "width": 32, "depth": 2}, "training": TRAINING},
    "train restore": training("restore", "photos.npz", channels=4, levels=1, blocks=1),
    "train enhance": training("enhance", "photos.npz", width=4),
    "train colourise": training("colourise", "photos.npz", width=4),
    "train style": training("style", "photos.npz", style="painting.png", style_size=32),
    "train translate": training("translate", "a", channels=2, patch=16)
    | {"data": {"size": 16, "second": "b", "labels": "none"}},
    "train matte": training("matte", "cutouts.npz", channels=4),
    "train segment": training("segment", "fields", network="unet", channels=4),
    "train detect": training("detect", "cells", channels=16, trained_blocks=1),
    "train classify": training("classify", "cards.npz", network="plain"),
    "resume": {"run": "gan"},
    "sample": {"run": "vae", "n": 3, "out": "a.npz", "seed": 1, "sampler": "prior", "strategy": "density", "keep": 0.3},
    "reconstruct": {"run": "vae", "pictures": "cards.npz", "n": 3},
    "traverse": {"run": "vae", "n": 2, "columns": 3},
    "morph": {"run": "vae", "pictures": "cards.npz", "start": "0", "end": "1", "n": 2, "columns": 3},
    "map": {"run": "vae", "pictures": "cards.npz", "n": 9, "columns": 3, "out": "m.png"},
    "codes": {"run": "vae", "pictures": "cards.npz", "n": 9},
    "anomaly": {"run": "vae", "pictures": "few.npz", "out": "odd"},
    "compress": {"run": "vae", "pictures": "cards.npz", "n": 4, "out": "c.pxc", "step": 0.5},
    "decompress": {"run": "vae", "file": "coded.pxc", "out": "back.npz"},
    "predict": {"run": "classify", "pictures": ["a", "painting.png"], "out": "seen"},
    "explain": {"run": "classify", "pictures": ["a"], "out": "why", "methods": ["grad-cam"]},
    "edit": {"edit": "adjust(gamma=2)", "pictures": ["painting.png"], "out": "folder", "settings": {"strength": 0.5}},
    "redo": {"result": "edited.png"},
    "evaluate": {
        "generated": "cards.npz", "reference": "cards.npz", "extractors": ["digits-v1"], "metrics": ["kd"], "n": 12,
        "out": "scores.json",
    },
    "compare": {"one": "one.json", "other": "one.json"},
    "export": {"model": "gan", "out": "gan.onnx"},
    "data check": {"source": "photos.npz", "out": "checked"},
    "data fetch": {"name": "mnist"},
    "data import": {"file": "vgg16.safetensors"},
    "data pack": {"source": "cards.npz"},
    "runs list": {"folder": "."},
    "runs show": {"run": "gan"},
    "runs diagnose": {"run": "gan"},
    "doctor": {},
    "studio": {"port": 0, "folders": ["a"], "runs": "."},
}  # fmt: skip
OWN = {"resume": "gan", "train prior": "vae/prior"}
"""The folders in which an action may change files that were there: of the run that it trains."""
NEEDS = {"demo": "mnist", "data fetch": "mnist"}
DRAWN: dict[str, Callable[[], None]] = {
    "train matte": lambda: np.savez(
        "cutouts.npz", images=np.random.default_rng(0).integers(0, 256, (16, 16, 16, 4), np.uint8)
    ),
    "train detect": lambda: framed_cells(Path("cells")),
    "train segment": lambda: masked_fields(Path("fields")),
}
"""What is drawn for an action alone."""
TIMES = ("seconds", "images_per_second", "speed", "disk")
TIMED_FILES = re.compile(r"checkpoints/|report\.(html|json)$|\.lock$")


@pytest.fixture
def world(
    tiny_runs: TinyRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_report: None
) -> Callable[[str], Any]:
    """Enter a new folder that holds what the cases name; give its files when the block is left."""
    tiny = (pinxit.GANSettings(**DENSE), pinxit.TrainingSettings(**TRAINING))
    monkeypatch.setattr("pinxit.metrics.extractors.import_weights", lambda path: path.stem)
    monkeypatch.setattr("pinxit.exporting.export", exported)
    monkeypatch.setattr("pinxit.hardware.convolution_speed", lambda device: {"float32": 1e9})
    monkeypatch.setitem(GOLDEN, "digits", tiny)
    monkeypatch.setattr("pinxit.web.serve.serve", lambda *asked: None)

    def fill(name: str) -> None:
        for kind in ("gan", "vae", *(("classify",) if name in ("predict", "explain") else ())):
            tiny_runs.copy(kind, Path(kind))
        for path in (tiny_runs.cards, tiny_runs.photos, tiny_runs.painting):
            shutil.copy(path, path.name)
        np.savez("few.npz", images=np.load(tiny_runs.cards)["images"][:2])
        if name in DRAWN:
            DRAWN[name]()
        setup = {
            "decompress": ["compress", "vae", "cards.npz", "-n", "3", "-o", "coded.pxc"],
            "redo": ["edit", "adjust(gamma=2)", "painting.png", "-o", "edited.png"],
            "compare": ["evaluate", "a", "b", "--paired", "--metrics", "ssim", "-o", "one.json"],
        }
        for number, folder in itertools.product(range(3), "ab"):
            Path(folder).mkdir(exist_ok=True)
            Image.fromarray(np.full((16, 16), 90 + number, np.uint8)).save(f"{folder}/{number}.png")
        if name in setup:
            assert run(setup[name]) == 0

    @contextmanager
    def enter(name: str) -> Iterator[dict[str, Any]]:
        files: dict[str, Any] = {}
        (tmp_path / "here").mkdir()
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path / "here")
            if name == "demo":
                patch.setattr("pinxit.evaluation.evaluate.evaluate", lambda run, reference, n: {"n": n})
            fill(name)
            before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
            yield files
            changed = [path for path, was in before.items() if not path.is_file() or path.read_bytes() != was]
            own = tmp_path / "here" / OWN.get(name, "none")
            assert all(path.is_relative_to(own) for path in changed), changed
            assert [path.name for path in tmp_path.iterdir()] == ["here"]
            found = (path for path in Path().rglob("*") if path.is_file() and not TIMED_FILES.search(str(path)))
            files |= {str(path): content(path) for path in found}
        shutil.rmtree(tmp_path / "here")

    return enter


def words(kind: type[Action], values: dict[str, Any]) -> list[str]:
    """The command line of a case."""
    placed, flags = [], []
    for asked in fields(kind):
        inside: Any = values
        for key in asked.path:
            inside = inside.get(key) if inside else None
        if inside is None:
            continue
        each = list(map(str, inside)) if isinstance(inside, list) else [str(inside)]
        if mark(asked.field.metadata, Word):
            placed += each
        else:
            flags += [word for item in each for word in (asked.flags[-1], item)]
    return placed + flags


def exported(model: str, out: Path, *, precision: str, pictures: object) -> dict[str, Any]:
    """Stands for the slow export, whose own tests compare bytes."""
    out.write_text(f"{model} {precision} {pictures}")
    return {"bytes": 1}


def content(path: Path) -> Any:
    """What a file holds, without what differs from time to time."""
    return timeless(json.loads(path.read_text())) if path.suffix == ".json" else path.read_bytes()


def timeless(document: Any) -> Any:
    """A document without what differs from time to time."""
    if isinstance(document, dict):
        return {key: timeless(inner) for key, inner in document.items() if key not in TIMES}
    return [timeless(inner) for inner in document] if isinstance(document, list) else document


def test_every_action_has_a_case() -> None:
    assert set(CASES) == {name for name in EVERY if not name.startswith("edit ")}


@pytest.mark.parametrize("name", CASES)
def test_command_line_and_python_do_the_same(
    name: str,
    world: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    if name in NEEDS:
        request.getfixturevalue(NEEDS[name])
    kind, values = EVERY[name], CASES[name]
    with world(name) as by_line:
        capsys.readouterr()
        assert run([*name.split(), *words(kind, values), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
    events: list[Event] = []
    outcomes: list[Outcome] = []
    do = kind.do
    plain = functions().get(name.replace(" ", "_"))
    with world(name) as by_python:
        monkeypatch.setattr(kind, "do", lambda self: outcomes.append(do(self)) or outcomes[-1])
        capsys.readouterr()
        with watched(events.append):
            given = plain(**values) if plain and plain is not pinxit.edit else value(kind.parse(values))
        assert given is outcomes[0].value
    assert timeless(json.loads(json.dumps(outcomes[0].json()))) == timeless(document)
    assert by_line == by_python
    assert capsys.readouterr().err == ""
    fractions = [event.fraction for event in events]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    if name in ("edit", "train gan", "train style"):
        assert any(event.picture is not None for event in events)


@pytest.mark.parametrize("name", EVERY)
def test_help_lists_every_field_with_its_default(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "500")  # so that no flag is broken into two lines
    assert run([*name.split(), "--help"]) == 0
    shown = " ".join(re.sub(r"[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
    assert EVERY[name].summary() in shown
    for asked in fields(EVERY[name]):
        for flag in () if mark(asked.field.metadata, Word) else asked.flags:
            assert flag in shown
        assert asked.field.description, asked.name
        assert " ".join(asked.field.description.split()) in shown, asked.name
        default = asked.field.default
        if not asked.field.is_required() and default not in (None, (), ""):
            assert f"[default: {'..'.join(map(str, default)) if isinstance(default, tuple) else default}]" in shown


def test_help_puts_flags_together_by_what_they_are_about() -> None:
    used = set()
    for kind in EVERY.values():
        asked = [one for one in fields(kind) if one.heading]
        told = Counter(one.heading for one in asked)
        assert headings(asked) == [*dict.fromkeys(headings(asked))]
        assert told.keys() == set(headings(asked))
        assert max(told.values(), default=0) <= 12, "as many as a person reads at once"
        used |= told.keys()
    assert used >= {topic.value for topic in Topic}
    gan = headings(fields(EVERY["train gan"]))
    assert gan == [
        *(topic.value for topic in Topic if topic not in (Topic.HARDWARE, Topic.SUBJECT)),
        "The pictures",
        "The training",
        "Hardware",
    ]
    assert pinxit.GANSettings.topic_of("learning_rate") is Topic.OPTIMISER, "though it has another default"
    assert pinxit.TrainingSettings.topic_of("steps") is None


@pytest.mark.parametrize("name", CASES)
def test_a_request_survives_json(name: str) -> None:
    asked = EVERY[name].parse(CASES[name])
    assert EVERY[name].model_validate_json(asked.model_dump_json(exclude_unset=True)) == asked
    assert EVERY[name].model_json_schema()["properties"].keys() == EVERY[name].model_fields.keys()


class Greet(Action):
    """Greet somebody.

    Politely.
    """

    name: Annotated[str, Word("NAME")] = Field(description="Whom to greet.")
    times: int = Field(1, ge=1, description="How often.")

    def do(self) -> Outcome:
        """Greet; the value is the greeting."""
        greeting = "hello " * self.times + self.name
        return Outcome(greeting, {"greeted": self.name}, lines=[greeting])


def test_a_class_and_a_row_are_an_action(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(ACTIONS, "greet", Greet)
    assert run(["--help"]) == 0
    assert "Greet somebody." in capsys.readouterr().out
    assert run(["greet", "--help"]) == 0
    assert "Politely." in (shown := capsys.readouterr().out)
    assert "Whom to greet." in shown
    assert run(["greet", "you", "--times", "2"]) == 0
    assert run(["greet", "you", "--json"]) == 0
    assert capsys.readouterr().out == 'hello hello you\n{\n  "greeted": "you"\n}\n'
    assert run(["greet", "you", "--times", "0"]) == 2
    assert "--times: should be greater than or equal to 1" in capsys.readouterr().err
    assert pinxit.greet("you", times=2) == "hello hello you"
    assert str(inspect.signature(pinxit.greet)) == "(name: str, *, times: int = 1)"
    assert "Politely." in pinxit.greet.__doc__
    assert "greet" in dir(pinxit)
    with pytest.raises(TypeError, match="tims"):
        pinxit.greet("you", tims=2)
    with pytest.raises(pinxit.errors.UsageError, match="times"):
        pinxit.greet("you", times=0)


def test_python_has_every_action_by_name() -> None:
    for name, kind in ACTIONS.items():
        function = getattr(pinxit, name.replace(" ", "_"))
        if name in ("train", "edit"):
            continue
        assert list(inspect.signature(function).parameters) == list(kind.model_fields)
    assert pinxit.EDITORS is pinxit.EDITS
    with pytest.raises(AttributeError, match="nonsense"):
        pinxit.nonsense  # noqa: B018


def test_python_edits_one_picture_or_files(
    tiny_runs: TinyRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = pinxit.edit(tiny_runs.painting, "adjust(gamma=2)", out="out", strength=0.5)
    alone = pinxit.edit(tiny_runs.painting, "adjust(gamma=2)", strength=0.5)
    assert [entry["output"] for entry in manifest["pictures"]] == ["painting.png"]
    assert np.array_equal(np.asarray(Image.open("out/painting.png")), alone.pixels)
    with pytest.raises(pinxit.errors.DataError):
        pinxit.edit("missing.png", "adjust", out="other")


def test_stages_share_the_action_and_its_fractions_rise() -> None:
    events: list[Event] = []
    with watched(events.append):
        for number in track(range(4), "outer", 4):
            inner = Line("inner", 2)
            inner.reported = float("-inf")
            inner.update(1)
            inner.close()
            show(np.zeros((1, 1, 3), np.uint8), f"picture {number}")
        say("a remark")
        list(track([], "nothing", 0))
    fractions = [event.fraction for event in events]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    pictures = [event for event in events if event.picture is not None]
    assert [event.text for event in pictures] == [f"picture {number}" for number in range(4)]
    assert len({event.fraction for event in pictures}) == 4
    [inner] = [event for event in events if event.text.startswith("inner 1/2")][:1]
    assert 0 < inner.fraction < 0.125  # the outer line takes half of the action, and its first item a quarter of that
    assert [event.text for event in events if event.remark] == ["a remark"]


def test_an_action_that_fails_does_not_reach_one() -> None:
    events: list[Event] = []
    with pytest.raises(ZeroDivisionError), watched(events.append):
        sum(1 // number for number in track(range(2), "work", 2))
    assert events[-1].fraction < 1


def test_settings_inside_an_action_are_known_by_their_fields() -> None:
    inside = {asked.path[0] for asked in fields(EVERY["train gan"]) if len(asked.path) == 2}
    assert inside == {"settings", "data", "training"}
    assert all(issubclass(EVERY["train gan"].model_fields[name].annotation, Settings) for name in inside)
