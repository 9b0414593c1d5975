"""Each lesson is named rightly, in a tiny training; what a student reads is the code that runs."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import torch
from torch import Tensor

import pinxit
from pinxit.data import Batch
from pinxit.errors import UsageError
from pinxit.hardware import choose
from pinxit.lessons.course import marked, shapes, source, train
from pinxit.lessons.gan import LESSONS, TutorialGAN, as_real
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.gan import Fakes
from pinxit.objectives.objective import Loss
from pinxit.training.settings import TrainingSettings
from pinxit.training.trainer import Trainer

ROOT = Path(__file__).parents[2]
SIDE, STEPS = 16, 600
SMALL = pinxit.GANSettings(channels=8, latent=16)
QUICK = {"detached-fakes": 101, "layers-in-the-call": 1, "swallowed-layer": 101}
"""Mistakes that show soon, and the steps in which they do."""


def named(name: str, images: Tensor, steps: int) -> None:
    lesson = LESSONS[name]
    trained = train(lesson.build, images, steps, settings=SMALL)
    assert bool(trained.refused) == (not lesson.right), name
    names = {finding.name for finding in trained.grave}
    assert names <= lesson.right, (name, names)
    assert names or trained.refused, name
    assert (trained.sheet is None) == bool(trained.refused)


def test_mistakes_that_show_soon_are_named_rightly() -> None:
    for name, steps in QUICK.items():
        named(name, shapes(400, SIDE), steps)


@pytest.mark.slow
def test_every_mistake_is_named_rightly_and_the_mended_gan_is_healthy(mnist: object) -> None:
    for images in (shapes(2000, SIDE), pinxit.data.open_data("mnist").train.tensor(SIDE, stop=2000)):
        for name in LESSONS:
            named(name, images, STEPS)
        healthy = train(TutorialGAN, images, STEPS, settings=SMALL)
        assert healthy.grave == ()
        assert healthy.sentences() == ["Nothing is wrong."]


def test_a_lesson_is_the_same_each_time_and_leaves_randomness_alone() -> None:
    images, before = shapes(200, SIDE), torch.random.get_rng_state()
    one, other = (train(LESSONS["layer-in-the-call"].build, images, 3, settings=SMALL).sheet for _ in range(2))
    assert one is not None
    assert other is not None
    assert (one == other).all()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_loss_without_weights_is_refused_in_one_line() -> None:
    class Unconnected(TutorialGAN):
        def loss(self, batch: Batch, fakes: Fakes) -> Loss:
            with torch.no_grad():
                return Loss({"adversarial": as_real(self.score(fakes.image))})

    batch = Batch(image=shapes(4, SIDE), seed=0, step=0)
    objective = Unconnected(SMALL, PictureShape(SIDE, 1))
    trainer = Trainer(objective, lambda step: batch, TrainingSettings(steps=1), choose("cpu", "float32", 1))
    with pytest.raises(UsageError, match="the generator's loss depends on no weights"):
        trainer.advance()


def test_the_marked_lines_are_those_that_differ() -> None:
    for name, lesson in LESSONS.items():
        wrong, good = (
            [line.strip() for line, changed in marked(*pair) if changed]
            for pair in ((lesson.broken, lesson.mended), (lesson.mended, lesson.broken))
        )
        assert wrong, name
        assert good, name
        assert not set(wrong) & set(good), name
        assert len(wrong) <= 4, name
        assert "type: ignore" not in "\n".join(source(lesson.broken)), name


def test_the_docs_show_the_code_that_runs() -> None:
    text = (ROOT / "docs" / "gan-lessons.md").read_text(encoding="utf-8")
    for name, lesson in LESSONS.items():
        section = text.split(f"## {lesson.title}\n")[1].split("\n## ")[0]
        broken, mended = re.findall(r"^```python\n(.*?)\n```$", section, re.MULTILINE | re.DOTALL)
        assert broken.splitlines() == source(lesson.broken), name
        assert mended.splitlines() == source(lesson.mended), name
        assert lesson.mistake in " ".join(section.split()), name
        assert all(f"`{finding}`" in section for finding in lesson.right), name


def test_the_example_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["broken_gan.py", "layers-in-the-call", "1"])
    runpy.run_path(str(ROOT / "examples" / "broken_gan.py"), run_name="__main__")
    assert "refused" in capsys.readouterr().out
