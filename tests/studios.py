"""A studio in a process of its own, as `pinxit studio` starts it, and a client that speaks to it."""

from __future__ import annotations

import hashlib
import io
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

PATIENCE = 120


class Studio:
    """A studio that serves the folder `photos` and the runs in `runs`, both beside its state in `folder`."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder, self.words, self.asked = folder, words, 0
        self.cache, self.runs, self.photos = folder / "cache", folder / "runs", folder / "photos"
        self.state = self.cache / "studio"
        for place in (self.cache, self.runs, self.photos):
            place.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it says its address."""
        command = [sys.executable, "-m", "pinxit", "studio", "--port", "0", "--no-open", "--runs", str(self.runs)]
        command += ["--folder", str(self.photos), *self.words]
        environment = os.environ | {"PINXIT_CACHE": str(self.cache), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)
        assert self.process.stderr is not None
        ready, _, _ = select.select([self.process.stderr], [], [], PATIENCE)
        self.said = self.process.stderr.readline().decode() if ready else "nothing"
        found = re.search(r"http://\S+", self.said)
        assert found, self.said
        self.address = found[0]
        self.client = httpx.Client(base_url=self.address, timeout=PATIENCE, trust_env=False)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the server and wait for that."""
        self.client.close()
        self.process.send_signal(how)
        self.process.wait(PATIENCE)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def upload(self, content: bytes, kind: str = "image/png") -> str:
        """Send a file and return its reference."""
        name = hashlib.sha256(content).hexdigest()
        answer = self.client.put(f"/v1/uploads/{name}", content=content, headers={"content-type": kind})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["reference"])

    def put(self, action: str, request: dict[str, Any], wait: float = 60, name: str = "") -> httpx.Response:
        """Ask for an action and return the answer."""
        self.asked += 1
        name = name or f"test-{os.getpid()}-{self.asked:06d}"
        return self.client.put(f"/v1/jobs/{name}", params={"wait": wait}, json={"action": action, "request": request})

    def ask(self, action: str, request: dict[str, Any], wait: float = 60, name: str = "") -> dict[str, Any]:
        """Ask for an action and return the job, ended unless it takes longer than `wait` seconds."""
        answer = self.put(action, request, wait, name)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def job(self, name: str) -> dict[str, Any]:
        """Return a job."""
        return dict(self.client.get(f"/v1/jobs/{name}").json())

    def until(self, name: str, *states: str) -> dict[str, Any]:
        """Return a job once it is in one of the states."""
        ending = time.monotonic() + PATIENCE
        while (job := self.job(name))["state"] not in states:
            assert time.monotonic() < ending, job
            time.sleep(0.05)
        return job

    def file(self, job: str, name: str) -> bytes:
        """Return a file of a job's result."""
        answer = self.client.get(f"/v1/jobs/{job}/files/{name}")
        assert answer.status_code == 200, answer.text
        return answer.content


def png(number: int = 0, size: tuple[int, int] = (12, 10)) -> bytes:
    """Return a PNG of a few pixels, another for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
