"""The log of a training as it goes: each step is written, counted, and looked through for findings."""

from __future__ import annotations

from collections.abc import Mapping

from pinxit.progress import say
from pinxit.training.curves import EVERY, FOUND, Windows, read_log
from pinxit.training.diagnosis import Finding, judge
from pinxit.training.recipes import Recipe
from pinxit.training.run import LOG, Log, Run, rounded

SHOWN = 64  # windows after which the log is looked through less often


class Journal:
    """`log.jsonl` of a run in training. `ill` is the first grave finding of the last look, if any."""

    def __init__(self, run: Run, keep_bytes: int) -> None:
        """Go on after the first `keep_bytes` bytes of the log, which is all that it keeps."""
        self.log = Log(run.folder / LOG, keep_bytes)
        past = read_log(run.folder / LOG)
        self.windows = Windows.of(past)
        self.told = {name.removeprefix(FOUND) for name in past if name.startswith(FOUND)}
        self.ill: Finding | None = None

    def write(self, step: int, values: Mapping[str, float], recipe: Recipe) -> None:
        """Log a step, with the findings that appear now by the settings in force, and say these."""
        values = rounded(values)
        self.windows.add(step, values)
        refused = values.get("watch/non_finite", 0) > 0
        due = step % (EVERY * max(1, self.windows.count // SHOWN)) == 0
        appeared = self.look(step, recipe, ended=False) if due or refused else []
        self.log.write(step, values | {f"{FOUND}{finding.name}": finding.step for finding in appeared})

    def refuse(self, step: int, recipe: Recipe) -> None:
        """Log a step in which something was not finite."""
        self.write(step, {"watch/non_finite": 1.0}, recipe)

    def look(self, step: int, recipe: Recipe, ended: bool) -> list[Finding]:
        """Say what is found now and was not before, and return it."""
        found = judge(self.windows, recipe, ended)
        appeared = [finding for finding in found if finding.name not in self.told]
        for finding in appeared:
            say(f"step {step:,}: {finding}", finding)
        self.told |= {finding.name for finding in appeared}
        self.ill = next((finding for finding in found if finding.grave), None)
        return appeared
