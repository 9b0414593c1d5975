"""Twenty SIGKILLs at random moments of one training: the finished weights are the undisturbed run's, bit for bit."""

import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from pinxit.data import open_data
from pinxit.data.settings import DataSettings
from pinxit.errors import StoppedError
from pinxit.files import sha256
from pinxit.objectives import OBJECTIVES
from pinxit.objectives.settings import GANSettings
from pinxit.training import session, store, train, trainer
from pinxit.training.plan import plan
from pinxit.training.run import Run
from pinxit.training.settings import TrainingSettings
from pinxit.training.store import Checkpoints
from pinxit.training.train import resume

pytestmark = pytest.mark.alone

STEPS = 1300
FILES = 6
LIFE = 60  # the most steps of one life, so that twenty slow kills still come before the end

# A trainer that says when it has made a step.
DRIVER = """
import sys
from pathlib import Path
from pinxit.training import train, trainer

advance = trainer.Trainer.advance

def told_advance(self):
    record = advance(self)
    print("step", flush=True)
    return record

trainer.Trainer.advance = told_advance
train.resume(Path(sys.argv[1]))
"""


def live(folder: Path, said: Connection, errors: Path, hold: int) -> None:
    """Train with a trainer that saves very often and says what it does, in a process of its own.

    It waits to be killed after `LIFE` steps, or in its first save: at the file of number `hold` that it makes durable.
    """
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    advance, save, fsync = trainer.Trainer.advance, store.Checkpoints.save, os.fsync
    steps = 0
    files: int | None = None  # in a save

    def wait(what: str) -> None:
        said.send(what)
        time.sleep(3600)

    def told_advance(self: trainer.Trainer) -> object:
        nonlocal steps
        record = advance(self)
        steps += 1
        said.send("step")
        if steps == LIFE:
            wait("waiting")
        return record

    def told_save(self: store.Checkpoints, *arguments: object) -> None:
        nonlocal files
        files = 0
        said.send("saving")
        save(self, *arguments)
        files = None
        said.send("saved")

    def counted_fsync(descriptor: int) -> None:
        nonlocal files
        if files is not None:
            files += 1
            if files == hold:
                wait("holding")
        fsync(descriptor)

    session.SECONDS_BETWEEN_CHECKPOINTS = 0.02
    trainer.Trainer.advance, store.Checkpoints.save, os.fsync = told_advance, told_save, counted_fsync
    said.send("started")
    train.resume(folder)


def new_run(folder: Path, pictures: Path) -> Run:
    """A run that has a recipe and nothing else."""
    settings = GANSettings(network="dense", channels=2, latent=4)
    training = TrainingSettings(steps=STEPS, batch_size=8, threads=1, precision="float32", device="cpu")
    data = open_data(str(pictures))
    return Run.create(folder, plan(settings, str(pictures), data, DataSettings(), training))


def life(folder: Path, kill_at: str, delay: float, hold: int) -> tuple[list[str], str, int]:
    """Go on with the run until the moment `kill_at`, and `delay` seconds more; return what it said and its exit."""
    processes = multiprocessing.get_context("forkserver")  # which loads torch once, not twenty times
    processes.set_forkserver_preload([__name__, "pinxit.objectives.gan", "torch._dynamo"])
    ours, theirs = processes.Pipe(duplex=False)
    errors = folder.with_name("errors.txt")
    process = processes.Process(target=live, args=(folder, theirs, errors, hold))
    process.start()
    theirs.close()
    said = []
    with ours, contextlib.suppress(EOFError):
        while not said or said[-1] not in (kill_at, "waiting"):
            said.append(ours.recv())
        time.sleep(delay)
        process.kill()
        while True:
            said.append(ours.recv())
    process.join()
    return said, errors.read_text(), process.exitcode


def test_twenty_kills_change_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(7)
    pictures = tmp_path / "pictures.npz"
    np.savez(pictures, images=np.random.default_rng(0).integers(0, 256, (64, 16, 16), np.uint8))
    undisturbed, disturbed = new_run(tmp_path / "undisturbed", pictures), tmp_path / "disturbed"
    shutil.copytree(undisturbed.folder, disturbed)
    resume(undisturbed.folder)

    moments = ["started"] * 3 + ["step"] * 10 + ["holding"] * 7
    rng.shuffle(moments)
    in_a_save = after_a_step = kills = 0
    for moment in moments:
        delay, hold = (0, rng.randint(1, FILES)) if moment == "holding" else (rng.uniform(0, 0.1), 0)
        said, errors, code = life(disturbed, moment, delay, hold)
        assert "damaged" not in errors
        assert code == -signal.SIGKILL, f"the training ended before it was killed: {errors}"
        kills += 1
        after_a_step += "step" in said
        in_a_save += said.count("saving") > said.count("saved")
    assert kills == 20
    assert after_a_step >= 15
    assert in_a_save >= 7

    resume(disturbed)
    assert "damaged" not in capsys.readouterr().err
    assert sha256(disturbed / "weights.safetensors") == sha256(undisturbed.weights)
    steps = (disturbed / "log.jsonl").read_text().splitlines()
    assert len(steps) == STEPS
    assert steps == (undisturbed.folder / "log.jsonl").read_text().splitlines()
    assert not list(disturbed.rglob(".*.tmp"))
    assert len(list(disturbed.glob("checkpoints/*/complete.json"))) == 3


def test_a_translator_that_was_killed_and_stopped_is_the_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_report: None
) -> None:
    """Its history of fakes is in the checkpoint, and both sets are drawn by the step."""
    rng = np.random.default_rng(0)
    for name in "ab":
        np.savez(tmp_path / f"{name}.npz", images=rng.integers(0, 256, (12, 16, 16, 3), np.uint8))
    settings = OBJECTIVES["translate"].parse({"channels": 2, "patch": 16})
    data = settings.pictures.parse({"size": 16, "second": tmp_path / "b.npz", "paired": False})
    training = TrainingSettings(steps=LIFE - 10, batch_size=2, threads=1, precision="float32", device="cpu")
    recipe, *_ = train.prepared(settings, str(tmp_path / "a.npz"), data, training)
    undisturbed, disturbed = (Run.create(tmp_path / name, recipe) for name in ("undisturbed", "disturbed"))
    resume(undisturbed.folder)

    *_, code = life(disturbed.folder, "saved", 0.05, 0)
    assert code == -signal.SIGKILL
    advance = trainer.Trainer.advance

    def stopped(self: trainer.Trainer) -> object:
        signal.raise_signal(signal.SIGTERM)
        return advance(self)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "advance", stopped)
        with pytest.raises(StoppedError):
            resume(disturbed.folder)
    resume(disturbed.folder)
    for name in ("weights.safetensors", "log.jsonl"):
        assert sha256(disturbed.folder / name) == sha256(undisturbed.folder / name)
    pool = Checkpoints(disturbed.checkpoints).intact().state["networks.pool.b.planes"]
    assert pool.any()


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
        _, errors = process.communicate()
        assert process.returncode == 128 + number
        assert f"`pinxit resume {run.folder}` continues it" in errors
        assert "damaged" not in errors
