"""Minutes are kept while the machine's speed changes: when the last step of a run is planned anew. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

LOOKS = 10  # in a budget
MOST_REVISIONS = 6
TOLERANCE, STOP = 0.1, 1.1  # shares of the budget: an error at its end; where a run ends in any case


@dataclass
class Budget:
    """The seconds that a run may take in all its sessions, and what was known at the last look at its speed.

    There are ten looks, and one at the last step. A look plans anew if the run would miss its budget. There are only
    `MOST_REVISIONS`, so a smaller error is left to later looks as long as they can mend it. After `STOP` budgets the
    run ends at once.
    """

    seconds: float
    step: int
    passed: float
    revisions: int

    def plan(self, step: int, passed: float, last: int) -> int:
        """Return the last step, planned after `step` steps and the seconds they took: `last`, or another one."""
        if passed >= STOP * self.seconds:
            return step
        if step < last and self._look(passed) == self._look(self.passed):
            return last
        rate = (step - self.step) / max(passed - self.passed, 1e-9)
        self.step, self.passed = step, passed
        end = passed + (last - step) / rate
        tolerance = max(TOLERANCE * self.seconds, (self.seconds - passed) / 2)
        if self.revisions == MOST_REVISIONS or abs(end - self.seconds) <= tolerance:
            return last
        self.revisions += 1
        return step + round(rate * max(0.0, self.seconds - passed))

    def _look(self, passed: float) -> int:
        return int(LOOKS * passed / self.seconds)
