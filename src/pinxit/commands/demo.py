"""`pinxit demo`: the main job, end to end, on real data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from pinxit.commands.evaluate import judge
from pinxit.progress import say
from pinxit.training.settings import TrainingSettings

app = App(name="demo", help="Train a GAN on handwritten digits in a few minutes and judge it.")


@app.default
def demo(
    *,
    out: Path = Path("runs/demo"),
    minutes: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    steps: Annotated[int | None, Parameter(validator=Number(gte=0))] = None,
    seed: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    n: Annotated[int, Parameter(name="-n", validator=Number(gte=12))] = 10_000,
) -> None:
    """Train a GAN on MNIST, draw digits that no one wrote, and score them beside real ones.

    Called again it goes on with what is unfinished, and judges again what is finished.

    Parameters
    ----------
    out
        The run's folder.
    minutes
        Time to train for; 3 if neither minutes nor steps are given.
    steps
        Optimiser steps to train for, instead of minutes.
    seed
        Decides every random draw.
    n
        Pictures of each side that the score compares.
    """
    from pinxit.codes.sampling import load
    from pinxit.images import grid, save_image
    from pinxit.training.recipes import GOLDEN
    from pinxit.training.run import RECIPE
    from pinxit.training.train import resume, train

    if (out / RECIPE).exists():
        say(f"{out} is there already; going on with it as it was asked then (another --out starts anew)")
        run = resume(out)
    else:
        settings, golden = GOLDEN["digits"]
        asked = {name: value for name, value in (("minutes", minutes), ("steps", steps)) if value is not None}
        training = TrainingSettings.parse({"seed": seed} | (asked or golden.model_dump(exclude_unset=True)))
        run = train(settings, "mnist", out, training=training)
    sheet = out / "digits.png"
    save_image(sheet, grid(load(out).sample(100)[0]))
    print(judge(out, "mnist:test", n=n))
    print(f"\n{sheet}  a hundred digits no one wrote\n{run.folder / 'report.html'}  the whole story")
