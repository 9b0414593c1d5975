"""`pinxit sample`: draw new pictures from a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

app = App(name="sample", help="Draw new pictures from a run.")


@app.default
def sample(
    folder: Annotated[Path, Parameter(name="RUN")],
    /,
    *,
    n: Annotated[int, Parameter(name="-n", validator=Number(gte=1))] = 64,
    out: Annotated[Path | None, Parameter(name=["-o", "--out"])] = None,
    seed: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    label: str | None = None,
    truncation: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    sampler: str | None = None,
    interpolate: Annotated[int | None, Parameter(validator=Number(gte=2))] = None,
    tileable: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Draw new pictures from a run. Picture i is what seed + i gives, however many are drawn.

    Parameters
    ----------
    folder
        The run's folder.
    n
        Number of pictures; with --interpolate, number of ways.
    out
        An .npz (key `images`, uint8, N H W C), a sheet (.png, .jpg, .webp), or a folder for single files; by default
        the sheet sample.png in the run.
    seed
        Seed of the first picture.
    label
        Draw this class only, from a conditional run; by default every class in turn.
    truncation
        Cut the latents' normal distribution off at this many standard deviations: likelier pictures, less diverse.
    sampler
        What latents are drawn from: 'prior', or of an autoencoder also 'gmm' (a mixture fitted to its codes),
        'class-gaussian' (one for each class) and what `pinxit train prior` has learned: 'flow', 'two-stage' or
        'transformer'; by default the model's usual one.
    interpolate
        Draw ways of this many pictures from one latent to the next, a row each.
    tileable
        Make pictures whose opposite edges meet, such as textures of games, by a convolutional network. A sheet shows
        each one 3 x 3 times; single files and an .npz hold the tile itself.
    """
    from pinxit.codes.sampling import load, named, save_samples
    from pinxit.progress import say

    model = load(folder)
    if sampler:
        model = model.using(sampler)
    if tileable:
        model = model.tiling()
    if len(model.samplers) > 1:
        say(f"latents drawn from the sampler {model.sampler!r} of {', '.join(model.samplers)}")
    repeats = 3 if tileable else 1
    out = out or folder / "sample.png"
    if interpolate:
        ways = model.interpolate(n, interpolate, seed, label, truncation)
        save_samples(out, ways.reshape(-1, *ways.shape[2:]), columns=interpolate, repeats=repeats)
    else:
        images, labels = model.sample(n, seed, label, truncation)
        kept = None if labels is None else named(labels, model.classes)
        save_samples(out, images, kept, names=[f"{seed + i:06d}" for i in range(n)], repeats=repeats)
    print(out)
