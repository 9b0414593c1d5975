"""The report of an autoencoder's run: what its sheet shows, and what its readings say is wrong."""

import json
from pathlib import Path

import pytest

import pinxit
from conftest import TinyRuns
from pinxit.objectives.settings import ObjectiveSettings
from pinxit.training.report import write_report


@pytest.fixture(scope="module")
def run(tiny_runs: TinyRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ladder's run."""
    run = tiny_runs.copy("ladder", tmp_path_factory.mktemp("runs") / "run")
    write_report(run)
    return run


def told(run: Path, finished: bool = True, **readings: float) -> str:
    """The report if these were the readings of every step, of all five or of the first four."""
    (run / "log.jsonl").write_text(
        "".join(
            json.dumps({"step": step} | {f"autoencoder/{k}": v for k, v in readings.items()}) + "\n"
            for step in range(1, 5 + finished)
        )
    )
    return write_report(run).read_text()


def test_a_collapsed_posterior_is_told_when_training_is_over(run: Path) -> None:
    assert "The codes have collapsed" in told(run, active_units=0.0)
    assert "The codes have collapsed" not in told(run, active_units=1.0)
    assert "The codes have collapsed" not in told(run, finished=False, active_units=0.0)
    assert "Findings" not in told(run, active_units=1.0, rate=0.0)
    assert "Findings" not in told(run, rate=0.0)


def test_blurry_reconstructions_are_told_unless_the_codes_have_collapsed(run: Path) -> None:
    page = told(run, active_units=3.0, sharpness=0.13)
    assert "Reconstructions are blurry: their edges keep 13% of" in page
    assert "Findings" not in told(run, active_units=3.0, sharpness=0.3)
    page = told(run, active_units=0.0, sharpness=0.05)
    assert "The codes have collapsed" in page
    assert "blurry" not in page


def test_dead_codes_are_told(run: Path) -> None:
    assert "The codebook is partly unused: 40% of its codes were in use at the end." in told(run, codes_used=0.4)
    assert "Findings" not in told(run, codes_used=0.6)


def test_levels_that_say_nothing_are_named(run: Path) -> None:
    page = told(run, active_units=3.0, rate_level_1=2.0, rate_level_2=0.001, rate_level_3=0.0)
    assert "carry no information (1 is the top): 2, 3." in page
    assert "these say nothing" not in told(run, active_units=3.0, rate_level_1=2.0, rate_level_2=0.02)


def test_the_caption_says_what_the_sheet_shows(run: Path) -> None:
    shown = "After 5 steps: pictures, each beside its reconstruction, and samples from latents fixed at the start"
    assert shown in write_report(run).read_text()


@pytest.mark.parametrize(
    ("settings", "samples", "pairs"),
    [
        (pinxit.VAESettings(), True, True),
        (pinxit.VAESettings(penalty="l2"), False, True),
        (pinxit.GANSettings(), True, False),
    ],
)
def test_each_kind_says_what_its_preview_holds(settings: ObjectiveSettings, samples: bool, pairs: bool) -> None:
    assert ("samples" in settings.sheet()) == samples
    assert ("reconstruction" in settings.sheet()) == pairs
