"""Auto-fix: how a training that went wrong goes on, with one setting changed from a healthy step on. No torch here.

All of it is a function of the log and the recipe. A finding appears at a fixed step. The step to return to follows from
the finding and the history. The change is the first of the finding's own remedies (`RULES`) that can be tried.

So a run that is stopped anywhere, or repeated from its recipe, comes to the same weights.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pinxit.errors import UsageError
from pinxit.training.curves import EVERY
from pinxit.training.diagnosis import RULES, Finding
from pinxit.training.diagnosis.course import BEGINNING
from pinxit.training.recipes import Recipe, Repair

TRIES = 4
"""Repairs of a run, after which it is given up."""

TWICE = 2
"""How often one setting is changed; then the next remedy is tried."""

SPACING = 2 * EVERY
"""Steps from one checkpoint to the next, of those that a training may return to."""

PROBATION = 10 * EVERY
"""Steps after a return within which a finding means that the checkpoint was ill already."""

Remedies = Callable[[Finding, Recipe, int], Iterator[Mapping[str, Any]]]
"""Changes of one setting that may help against a finding, by field, best first.

They get the recipe with the repairs so far in force, and the number of these."""


def by_table(finding: Finding, recipe: Recipe, tries: int) -> Iterator[Mapping[str, Any]]:
    """Yield the finding's own remedies."""
    yield from (found for change in RULES[finding.name].changes if (found := change(recipe)))


def at_random(seed: int) -> Remedies:
    """Return remedies without reason, as a control: those of all findings in an order that the seed draws."""

    def shuffled(finding: Finding, recipe: Recipe, tries: int) -> Iterator[Mapping[str, Any]]:
        changes = [change for rule in RULES.values() for change in rule.changes]
        found = {str(change): change for change in (change(recipe) for change in changes) if change}
        yield from random.Random(f"{seed} {tries}").sample(list(found.values()), len(found))

    return shuffled


def is_kept(step: int) -> bool:
    """Say whether a checkpoint of this step is one that a training may return to."""
    return step % SPACING == 0


def kept(newest: int) -> set[int]:
    """Return the steps whose checkpoints are kept until step `newest`: the older, the further apart.

    A step that is kept until a later one is kept until all between, so that none is asked for after it was removed.
    """
    found, apart = {0}, SPACING
    while apart <= newest:
        last = newest // apart * apart
        found |= {last, last - apart}
        apart *= 2
    return found


def healthy(finding: Finding, found: int, history: tuple[Repair, ...]) -> int:
    """Return the newest step from before the finding, which appeared at step `found`, that training may return to.

    What begins in the first windows that are judged at all may be as old as the training. After a return that did not
    help for long, that checkpoint was ill too, and only those half as old count.
    """
    latest = finding.step - 1
    if latest <= BEGINNING * EVERY:
        return 0
    if history and found - history[-1].at < PROBATION:
        latest = min(latest, history[-1].at // 2)
    return max(step for step in kept(found) if step <= latest)


def courses(recipe: Recipe, finding: Finding, found: int, remedies: Remedies) -> Iterator[Recipe]:
    """Yield the recipes by which a training may go on after a finding at step `found`, best first.

    Each has one repair more. Earlier ones that began after the step of return begin with that. The last step stays; a
    change of the plan after the step of return counts from there.
    """
    history, training = recipe.repairs, recipe.training
    at = healthy(finding, found, history)
    if any(revision.at > at for revision in training.revisions):
        training = training.revised(at, training.steps)
    before = [repair.model_dump() | {"at": min(repair.at, at)} for repair in history]
    now = recipe.repaired(len(history))
    for change in remedies(finding, now, len(history)):
        [(field, value)] = change.items()
        if sum(repair.field == field for repair in history) >= TWICE:
            continue
        repair = {"at": at, "field": field, "value": value, "because": f"{finding.name} at step {found:,}"}
        try:
            yield recipe.changed(repairs=(*before, repair), training=training.model_dump(exclude_unset=True))
        except UsageError:  # a remedy that no training takes, such as more steps, or that is out of its range
            continue


def cut_short(recipe: Recipe) -> int | None:
    """Return the steps that were planned at first if returns left the training less than half of them, else None."""
    planned = next(recipe.training.plans())[1]
    return planned if recipe.repairs and 2 * recipe.training.steps < planned else None


def is_of(recipe: Recipe, step: int, repairs: int) -> bool:
    """Say whether a checkpoint of this step, by networks with this many repairs, is of the course of the recipe.

    One that is not was left behind by a return. At the step of a return it may lack the repairs that begin there.
    """
    return sum(repair.at < step for repair in recipe.repairs) <= repairs <= recipe.in_force(step)
