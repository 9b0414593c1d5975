"""Twenty SIGKILLs at random moments of one training: the finished weights are the undisturbed run's, bit for bit."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pinxit.data import open_data
from pinxit.data.settings import DataSettings
from pinxit.files import sha256
from pinxit.objectives.settings import GANSettings
from pinxit.training.plan import plan
from pinxit.training.run import Run
from pinxit.training.settings import TrainingSettings
from pinxit.training.train import resume

STEPS = 4000

# A trainer that saves very often, takes its time over it, and says what it does.
DRIVER = """
import os, sys, time
from pathlib import Path
from pinxit.training import store, train, trainer

train.SECONDS_BETWEEN_CHECKPOINTS = 0.05
advance, save, fsync = trainer.Trainer.advance, store.Checkpoints.save, os.fsync

def told_advance(self):
    record = advance(self)
    print("step", flush=True)
    return record

def told_save(self, *arguments):
    print("saving", flush=True)
    save(self, *arguments)
    print("saved", flush=True)

def slow_fsync(descriptor):
    time.sleep(0.004)
    fsync(descriptor)

trainer.Trainer.advance, store.Checkpoints.save, os.fsync = told_advance, told_save, slow_fsync
print("started", flush=True)
train.resume(Path(sys.argv[1]))
"""


def new_run(folder: Path, pictures: Path) -> Run:
    """A run that has a recipe and nothing else."""
    settings = GANSettings(network="dense", channels=2, latent=4)
    training = TrainingSettings(steps=STEPS, batch_size=8, threads=1, precision="float32", device="cpu")
    data = open_data(str(pictures))
    return Run.create(folder, plan(settings, str(pictures), data, DataSettings(), training))


def life(folder: Path, kill_at: str, delay: float) -> tuple[list[str], str, int]:
    """Go on with the run until the moment `kill_at`, and `delay` seconds more; return what it said and its exit."""
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    said = []
    for line in process.stdout:
        said.append(line.strip())
        if line.strip() == kill_at:
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            break
    rest, errors = process.communicate(timeout=120)
    return said + rest.split(), errors, process.returncode


@pytest.mark.timeout(900)
def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    rng = random.Random(7)
    pictures = tmp_path / "pictures.npz"
    np.savez(pictures, images=np.random.default_rng(0).integers(0, 256, (64, 16, 16), np.uint8))
    undisturbed, disturbed = new_run(tmp_path / "undisturbed", pictures), tmp_path / "disturbed"
    shutil.copytree(undisturbed.folder, disturbed)
    resume(undisturbed.folder)

    moments = ["started"] * 3 + ["step"] * 10 + ["saving"] * 7
    rng.shuffle(moments)
    in_a_save = after_a_step = kills = 0
    for moment in moments:
        said, errors, code = life(disturbed, moment, delay=rng.uniform(0, 0.02 if moment == "saving" else 0.15))
        assert "damaged" not in errors
        assert code == -signal.SIGKILL, f"the training ended before it was killed: {errors}"
        kills += 1
        after_a_step += "step" in said
        in_a_save += said.count("saving") > said.count("saved")
    assert kills == 20
    assert after_a_step >= 15
    assert in_a_save >= 5

    said, errors, code = life(disturbed, "never", 0)
    assert code == 0, errors
    assert sha256(disturbed / "weights.safetensors") == sha256(undisturbed.weights)
    steps = (disturbed / "log.jsonl").read_text().splitlines()
    assert len(steps) == STEPS
    assert steps == (undisturbed.folder / "log.jsonl").read_text().splitlines()
    assert not list(disturbed.rglob(".*.tmp"))
    assert len(list(disturbed.glob("checkpoints/*/complete.json"))) == 3


def test_the_lock_of_a_living_process_counts_and_that_of_a_dead_one_does_not(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures.npz"
    np.savez(pictures, images=np.zeros((8, 16, 16), np.uint8))
    run = new_run(tmp_path / "run", pictures)
    process = subprocess.Popen([sys.executable, "-c", DRIVER, str(run.folder)], stdout=subprocess.PIPE, text=True)
    while process.stdout.readline().strip() != "step":
        pass
    second = subprocess.run(
        [sys.executable, "-m", "pinxit", "resume", str(run.folder)], capture_output=True, text=True, check=False
    )
    process.kill()
    process.communicate()
    assert second.returncode == 8
    assert "is being trained by another process" in second.stderr
    with run.lock():
        pass


def test_a_polite_stop_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures.npz"
    np.savez(pictures, images=np.zeros((8, 16, 16), np.uint8))
    run = new_run(tmp_path / "run", pictures)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        command = DRIVER.replace(
            "train.resume(Path(sys.argv[1]))", "from pinxit.cli import main; main(['resume', sys.argv[1]])"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", command, str(run.folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        while process.stdout.readline().strip() != "step":
            pass
        os.kill(process.pid, number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 128 + number
        assert f"`pinxit resume {run.folder}` goes on" in errors
        assert "damaged" not in errors
