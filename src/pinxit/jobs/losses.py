"""What results do not keep of their pictures: said of one picture, counted over several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pinxit.errors import printable
from pinxit.images import Picture, format_of, unheld
from pinxit.jobs.listing import Job
from pinxit.progress import say

_MOST = 8


class Losses:
    """Remarks on what is lost in one batch, of `several` pictures or one."""

    def __init__(self, several: bool) -> None:
        self.several = several
        self.unread: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def add(self, job: Job, given: Picture) -> None:
        """Say what of a picture is not read, the first time in a batch, and for one picture what is not kept."""
        for loss in given.lost:
            if loss not in self.unread:
                say(f"{job.name}: {loss}")
        dropped = list(dict.fromkeys((*given.keeps.dropped, *unheld(format_of(job.out), given.keeps))))
        if dropped and not self.several:
            say(f"{job.name}: not kept: {_listed(dropped)}")
        self.unread.update(given.lost)
        self.dropped.update(dropped)

    def say_totals(self) -> None:
        """Say how many of several pictures lost what."""
        for loss, count in self.unread.items():
            if count > 1:
                say(f"{count:,} pictures: {loss}")
        if self.several and self.dropped:
            say(f"not kept: {_listed([f'{what} ({count:,})' for what, count in self.dropped.most_common()])}")


def _listed(words: Sequence[str]) -> str:
    """Return the first words with commas between them, and how many more there are."""
    more = len(words) - _MOST
    return printable(", ".join(words[:_MOST])) + (f" and {more:,} more" if more > 0 else "")
