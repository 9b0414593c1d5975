"""Sampling pictures from a trained run. Each picture has its own seed, so it does not depend on the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from pinxit import models
from pinxit.data import draws
from pinxit.errors import DataError, MemoryLimitError, UsageError, printable
from pinxit.files import remove_leftovers, whole_file
from pinxit.images import grid, save_image, save_sheet
from pinxit.images.convert import to_uint8
from pinxit.images.room import too_little_for
from pinxit.latents import directions
from pinxit.latents.choosing import Choice, keys
from pinxit.latents.strategies import STRATEGIES
from pinxit.latents.styles import by_styles, truncated
from pinxit.losses.adversarial import ADVERSARIAL
from pinxit.nets.crowd import Deviation, Discrimination
from pinxit.nets.projected import Aided
from pinxit.nets.seamless import neighbour_layers, seamless
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.gan import GAN
from pinxit.objectives.information import Code
from pinxit.objectives.mixture import BY_CLASS, Sampler, unflattened
from pinxit.objectives.objective import Autoencoder, Generative, Probabilistic
from pinxit.objectives.prior import Prior
from pinxit.objectives.settings import GANSettings
from pinxit.page import command
from pinxit.progress import say, track
from pinxit.settings import did_you_mean
from pinxit.tensors import read_tensors
from pinxit.training.pictures import pictures_of
from pinxit.training.plan import batch_of
from pinxit.training.recipes import Recipe
from pinxit.training.run import Run, is_run
from pinxit.training.store import Checkpoints
from pinxit.training.trainer import below

COPIES = 3
"""Generated pictures, their parts and their sheet, which are in memory at once, one byte a value."""
LONGEST_STEM = 200
"""Bytes of a picture's name that the name of its file keeps."""
AT_ONCE = 64
"""Pictures are always computed this many at a time, so that their bits do not depend on how many are asked for."""


@dataclass(frozen=True)
class GenerativeModel:
    """A trained run ready for sampling, on the processor in float32."""

    recipe: Recipe
    objective: Generative
    sha256: str
    """The SHA-256 of the weights."""
    samplers: Mapping[str, Sampler]
    sampler: str
    learned: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 of the weights of samplers that are runs of their own, by the sampler's name."""
    tileable: bool = False
    """Whether opposite edges of its pictures join seamlessly."""
    choice: Choice | None = None
    """How each latent is chosen among candidates; the first one if None."""
    coded: Callable[[Tensor], Tensor] = lambda latents: latents
    """Fixes parts of a code in latents (N, latent)."""
    make: Callable[..., Tensor] | None = None
    """Makes pictures of latents and labels; as the objective does if None."""
    seeds: tuple[int, ...] = ()
    """The seeds of its pictures, where they do not follow each other."""
    step: Tensor | None = None
    """How far every latent is moved, (latent,)."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that can be asked for: the data's, if the run is conditional or its sampler is by class."""
        by_class = self.sampler in self.samplers and self.samplers[self.sampler].by_class
        return self.recipe.data.classes if self.objective.shape.classes or by_class else ()

    def using(self, sampler: str) -> GenerativeModel:
        """Return the model with another sampler of latents; `UsageError` if it is not fitted."""
        if sampler not in self.samplers:
            known = did_you_mean(sampler, self.samplers)
            raise UsageError(
                f"--sampler {sampler}: this run does not have it; samplers are fitted when training ends, or by "
                f"`pinxit train prior`{known}"
            )
        return replace(self, sampler=sampler)

    @property
    def code(self) -> Code:
        """The code in the model's latents, of length 0 if it has none."""
        return self.objective.code if isinstance(self.objective, GAN) else Code(0, 0)

    def fixing(self, text: str) -> GenerativeModel:
        """Return the model with parts of its code fixed, such as "category=3, value1=-0.5"; `UsageError` if it cannot.

        Categories count from 0, values from 1. What is not named stays random.
        """
        if not self.code.length:
            raise UsageError("--code: this run has none; train it with --code-categories or --code-values")
        category, values = coded_parts(text, self.code)
        return replace(self, coded=partial(self.code.chosen, category=category, values=values))

    def seeded(self, seeds: Sequence[int]) -> GenerativeModel:
        """Return the model with pictures of these seeds, however many are asked for at most."""
        return replace(self, seeds=tuple(seeds))

    def directions(self) -> Tensor:
        """Return the directions (latent, latent) of its latents that change pictures most; `UsageError` without any."""
        plain = replace(self, choice=None, seeds=(), step=None)
        labels = plain.labels(directions.LATENTS)
        latents = plain.latents(directions.LATENTS, labels=labels)
        if not latents.is_floating_point():
            raise UsageError("quantised codes have no directions to move along")
        return directions.directions(self.objective, latents, labels)

    def moving(self, text: str) -> GenerativeModel:
        """Return the model with latents moved along directions, such as "1=1.5,2=-0.5"; `UsageError` if they cannot.

        A move of 1 is a standard deviation of the sampler's latents along the direction.
        """
        far = directions.moves(text, self.objective.latent)
        chosen = self.directions()[[*far]]
        lengths = directions.spread(self.samplers[self.sampler], chosen) * torch.tensor([*far.values()])
        return replace(self, step=lengths @ chosen)

    def tiling(self) -> GenerativeModel:
        """Return the model with pictures whose opposite edges join; `UsageError` if its network cannot do that."""
        if not neighbour_layers(self.objective.networks):
            raise UsageError(
                "--tileable: this run's network has no convolutions that could wrap around; use a gan with --network "
                "dcgan, residual, plain or style, a vae with --network convolutional or residual, or a vq"
            )
        return replace(self, tileable=True)

    def latents(self, n: int, seed: int = 0, truncation: float | None = None, labels: Tensor | None = None) -> Tensor:
        """Return latents (n, latent), n >= 1, from the model's sampler; row i depends on seed + i alone.

        `truncation` t draws from a normal distribution cut off at -t and t, which gives likelier and less diverse
        pictures (Brock et al., 2019, section 3.1; by the inverse distribution function instead of rejection). `labels`
        (n,) are the classes, for a sampler by class.
        """
        if n < 1:
            raise UsageError(f"{n} pictures cannot be sampled; ask for 1 or more")
        if not self.samplers:
            raise UsageError(
                f"a run of '{self.recipe.objective}' has no prior to sample codes from; `pinxit train prior RUN` "
                "trains one"
            )
        if truncation is not None and not self.samplers[self.sampler].normals:
            raise UsageError("--truncation: quantised codes have no tails to cut off")
        seeds, propose = self.seeds[:n] or range(seed, seed + n), partial(self._proposed, truncation=truncation)
        found = propose(seeds, 0, labels) if self.choice is None else self.choice.latents(propose, seeds, labels)
        return found if self.step is None else found + self.step

    def _proposed(
        self, seeds: Sequence[int], attempt: int, labels: Tensor | None, truncation: float | None = None
    ) -> Tensor:
        """Return candidates of latents (N, latent), one of each seed; candidate 0 is the latent without a choice."""
        sampler = self.samplers[self.sampler]
        uniform = torch.from_numpy(draws.uniform(keys(seeds, attempt, "component"), sampler.uniforms))
        normal = _normal(keys(seeds, attempt, "sample"), sampler.normals, truncation)
        by = labels if sampler.by_class else None
        return self.coded(_in_parts(sampler.latents, "sampling codes", normal, uniform, by))

    def choosing(self, strategy: str, keep: float, folder: Path) -> GenerativeModel:
        """Return the model with latents chosen by a row of `STRATEGIES`, of which it keeps the share `keep`.

        `folder` is the model's run, whose newest checkpoint has the discriminator. Raises `UsageError` if the model
        lacks what the strategy judges by.
        """
        row = STRATEGIES[strategy]
        if not row.judged:
            return replace(self, choice=Choice(row, keep, self.log_density))
        return replace(self, choice=Choice(row, keep, partial(self.scores, discriminator_of(Run.open(folder)))))

    def log_density(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return log p (N,) in nats of latents by the sampler; `UsageError` if it has no density."""
        sampler = self.samplers[self.sampler]
        return _in_parts(sampler.log_density, "judging latents", latents, labels if sampler.by_class else None)

    def scores(self, judge: GAN, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the scores (N,) that a GAN's discriminator gives the pictures of latents; larger is more real."""

        def scores(latent: Tensor, label: Tensor | None = None) -> Tensor:
            return finite(judge.score((self.make or self.objective.sample)(latent, label), label))

        with self._edges():
            return _in_parts(scores, "judging pictures", latents, labels)

    def labels(self, n: int, label: str | None = None) -> Tensor | None:
        """Return labels (n,), all of the class `label` or each class in turn; None for a run without classes."""
        if label is not None and label not in self.classes:
            raise UsageError(
                f"--label {label}: no such class{did_you_mean(label, self.classes)}"
                if self.classes
                else f"--label {label}: this run has no classes; train it with --conditional"
            )
        if not self.classes:
            return None
        return torch.arange(n) % len(self.classes) if label is None else torch.full((n,), self.classes.index(label))

    @property
    def autoencoder(self) -> Probabilistic:
        """The objective if it has a posterior and a likelihood; else raises `UsageError`."""
        if not isinstance(self.objective, Probabilistic):
            lacks = "likelihood" if isinstance(self.objective, Autoencoder) else "encoder"
            raise UsageError(f"a run of '{self.recipe.objective}' has no {lacks}; one of `pinxit train vae` has")
        return self.objective

    def encode(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the codes (N, latent) of pictures (N, C, H, W) in [0, 1]: posterior means, or indices of a codebook.

        Raises `UsageError` if the run has no encoder.
        """
        with torch.no_grad():
            coder = self.objective if isinstance(self.objective, Autoencoder) else self.autoencoder
            return finite(coder.encode(images, labels))

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> np.ndarray:
        """Return the pictures (N, H, W, C) uint8 that latents (N, latent) and labels (N,) give."""

        def pictures(*part: Tensor) -> Tensor:
            return torch.from_numpy(to_uint8(finite((self.make or self.objective.sample)(*part))))

        with self._edges():
            return _in_parts(pictures, "generating", latents, labels).numpy()

    def _edges(self) -> AbstractContextManager[object]:
        """Return a context in which opposite edges of pictures join, if they are to."""
        return seamless(self.objective.networks) if self.tileable else nullcontext()

    def _truncated(self, truncation: float | None) -> tuple[GenerativeModel, float | None]:
        """Return the model with truncated styles if it has styles, and what is left to truncate of its latents."""
        if truncation is None or not by_styles(self.objective):
            return self, truncation
        if truncation > 1:
            raise UsageError(
                f"--truncation {truncation:g}: a run of --network style keeps a share of each style's difference from "
                "their mean, so at most 1"
            )
        latents = partial(self._proposed, attempt=0, labels=None)
        return replace(self, make=truncated(cast(GAN, self.objective), latents, truncation)), None

    def sample(
        self, n: int, seed: int = 0, label: str | None = None, truncation: float | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return n pictures (n, H, W, C) uint8 and their labels (n,), or None where there are no classes.

        Picture i depends on seed + i alone. `truncation` makes them more typical: it cuts off the latents' distribution
        or, if the generator works by styles, is the share of these that is kept (`styles.truncated`).
        """
        check_room(n, self.objective.shape, COPIES, "-n asks for fewer")
        labels, (model, cut) = self.labels(n, label), self._truncated(truncation)
        pictures = model.generate(self.latents(n, seed, cut, labels), labels)
        return pictures, None if labels is None else labels.numpy()

    def interpolate(
        self, n: int, between: int, seed: int = 0, label: str | None = None, truncation: float | None = None
    ) -> np.ndarray:
        """Return n interpolations (n, between, H, W, C) uint8 from one latent to the next, along a sphere.

        `truncation` is that of `sample`.
        """
        if n < 1 or between < 2:
            raise UsageError("an interpolation needs at least one row and two pictures in it")
        check_room(n * between, self.objective.shape, COPIES, "-n and --interpolate ask for fewer")
        model, cut = self._truncated(truncation)
        ends = self.latents(n + 1, seed, cut, self.labels(n + 1, label))
        if not ends.is_floating_point():
            raise UsageError("--interpolate: there is nothing between two quantised codes")
        latents = torch.stack([slerp(ends[:-1], ends[1:], place) for place in torch.linspace(0, 1, between)], dim=1)
        labels = self.labels(n, label)
        flat = self.coded(latents.flatten(0, 1))
        pictures = model.generate(flat, None if labels is None else labels.repeat_interleave(between))
        return pictures.reshape(n, between, *pictures.shape[1:])


def coded_parts(text: str, code: Code) -> tuple[int | None, list[float | None]]:
    """Return the category and the values that a text fixes, such as "category=3, value1=-0.5"; None for the others."""
    names = (["category"] if code.categories else []) + [f"value{number}" for number in range(1, code.values + 1)]
    parts: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = (word.strip() for word in part.partition("="))
        if name not in names:
            raise UsageError(f"--code {part.strip()}: no such part of this run's code{did_you_mean(name, names)}")
        try:
            parts[name] = float(number)
        except ValueError as error:
            raise UsageError(f"--code {part.strip()}: write it as {names[0]}=0, {names[-1]}=0.5") from error
    category = parts.pop("category", None)
    if category not in (None, *range(code.categories)):
        raise UsageError(f"--code category={category:g}: it should be a whole number from 0 to {code.categories - 1}")
    for name, value in parts.items():
        if not -1 <= value <= 1:
            raise UsageError(f"--code {name}={value:g}: it should be from -1 to 1")
    values = [parts.get(name) for name in names if name != "category"]
    return None if category is None else int(category), values


def load(folder: str | Path) -> GenerativeModel:
    """Return the model of a run folder, with its averaged weights and the samplers of its latents."""
    run = Run.open(Path(folder))
    if run.recipe.autoencoder is not None:
        above = run.folder.resolve().parent
        raise UsageError(f"{folder} is a prior over codes; `{command('sample', above)}` draws from it")
    model = models.load(folder)
    objective = models.generative(model)
    prior = objective.prior()
    samplers: dict[str, Sampler] = {} if prior is None else {"prior": prior}
    if run.samplers.exists():
        try:
            fitted = unflattened(read_tensors(run.samplers, run.folder), objective.latent)
            if BY_CLASS in fitted and len(fitted[BY_CLASS].weights) != len(run.recipe.data.classes):
                raise ValueError(f"{BY_CLASS!r} is not of the run's classes")
        except ValueError as error:
            raise DataError(f"{run.samplers}: {error}; `{command('resume', folder)}` makes it again") from error
        samplers |= fitted
    learned = _learned(run)
    samplers |= {name: prior for name, (prior, _) in learned.items()}
    sampler = objective.sampler
    if samplers and sampler not in samplers:
        say(f"its sampler {sampler!r} is not fitted before training ends: sampling from the prior")
        sampler = "prior"
    digests = {name: weights for name, (_, weights) in learned.items()}
    return GenerativeModel(run.recipe, objective, model.sha256, samplers, sampler, digests)


def before_and_after(folder: Path, count: int) -> np.ndarray | None:
    """Return held-out pictures of a translator's run, each with its translation and a third: uint8 (N, H, W, 3).

    The third is the true pair, the translation turned back, or a picture of the other side. `count` is how many there
    are at most. None if the run is no translator's.
    """
    recipe = Run.open(folder).recipe
    if recipe.data.target is None:
        return None
    objective = models.load(folder).objective
    pictures = pictures_of(recipe.data)
    shown = pictures.held_out if len(pictures.held_out) else pictures.train
    batch = batch_of(recipe, shown, 0, min(count, len(shown)), augment=False)
    with torch.no_grad():
        return to_uint8(objective.preview(batch))


def _learned(run: Run) -> dict[str, tuple[Prior, str]]:
    """Return the prior over the run's codes and its weights' SHA-256, by its name; nothing before it has weights."""
    if not is_run(run.prior):
        return {}
    own = Run.open(run.prior)
    if not own.weights.exists():
        return {}
    model = models.load(run.prior, "prior")
    prior = cast(Prior, model.objective)
    if own.recipe.data.classes != run.recipe.data.classes:
        raise DataError(f"{run.prior} is not a prior over the codes of {run.folder}; move it away")
    if not own.facts().get("finished"):
        again = command("resume", run.prior)
        say(f"the sampler {prior.settings.network!r} is not fully trained; `{again}` continues it")
    return {prior.settings.network: (prior, model.sha256)}


def discriminator_of(run: Run) -> GAN:
    """Return the GAN of a run with the discriminator of its newest checkpoint; its generator has no trained weights.

    Raises `UsageError` if the run has no discriminator that gives log-odds of single pictures, and `DataError` without
    a checkpoint.
    """
    settings = run.recipe.repaired(len(run.recipe.repairs)).settings
    asked, other = "--strategy discriminator", "--strategy density works without"
    if not isinstance(settings, GANSettings):
        raise UsageError(f"{asked}: a run of '{run.recipe.objective}' has none; {other}")
    if not ADVERSARIAL[settings.loss].log_odds:
        usable = ", ".join(name for name, row in ADVERSARIAL.items() if row.log_odds)
        raise UsageError(
            f"{asked}: its scores by --loss {settings.loss} are no log-odds, by {usable} they are; {other}"
        )
    if settings.discriminator == "projected":
        raise UsageError(f"{asked}: it scores places of a picture, which are not independent (projected); {other}")
    if settings.together() > 1:
        raise UsageError(f"{asked}: it scores packs of {settings.together()} pictures, not one (--packing); {other}")
    gan = settings.build(models.of_recipe(run.recipe)[2])
    if any(isinstance(layer, Deviation | Discrimination) for layer in gan.networks["discriminator"].modules()):
        raise UsageError(
            f"{asked}: its scores depend on the other pictures of a batch (--minibatch, which --network style has "
            f"by itself); {other}"
        )
    checkpoint = Checkpoints(run.checkpoints).intact()
    if checkpoint is None:
        raise DataError(f"{asked}: {run.folder} has no good checkpoint, and only that has the discriminator; {other}")
    try:
        gan.networks["discriminator"].load_state_dict(below(checkpoint.state, "networks.discriminator."))
    except RuntimeError as error:
        raise DataError(f"{run.folder}: its checkpoint belongs to another network than its recipe describes") from error
    if isinstance(aided := gan.networks["discriminator"], Aided):
        gan.networks["discriminator"] = aided.own  # its scores are of whole pictures
    gan.networks.eval().requires_grad_(False)
    return gan


def _in_parts(compute: Callable[..., Tensor], what: str, *columns: Tensor | None) -> Tensor:
    """Return `compute` of columns (N, ...), `AT_ONCE` rows at a time; the last part is padded with zeros."""
    given = [column for column in columns if column is not None]
    rows = len(given[0])
    filled = [torch.cat([column, column.new_zeros(-rows % AT_ONCE, *column.shape[1:])]) for column in given]
    parts = list(zip(*(column.split(AT_ONCE) for column in filled), strict=True))
    with torch.no_grad():
        return torch.cat([compute(*part) for part in track(parts, what, len(parts))])[:rows]


def _normal(rows: np.ndarray, length: int, truncation: float | None) -> Tensor:
    """Return standard normal numbers (n, length), cut off at -`truncation` and `truncation` if it is given."""
    if truncation is None:
        return torch.from_numpy(draws.normal(rows, length))
    inside = math.erf(truncation / math.sqrt(2))
    position = (torch.from_numpy(draws.uniform(rows, length)).double() + 2**-25) * 2 - 1  # never -1 itself
    return (torch.erfinv(position * inside) * math.sqrt(2)).float()


def slerp(start: Tensor, end: Tensor, place: Tensor) -> Tensor:
    """Return the points at `place` in [0, 1] on the arcs from rows of `start` to rows of `end` (Shoemake, 1985)."""
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=1).clamp(-1, 1)[:, None]
    angle = cosine.acos()
    straight = angle.sin() < 1e-4
    sine = torch.where(straight, torch.ones_like(angle), angle.sin())
    arc = (((1 - place) * angle).sin() * start + (place * angle).sin() * end) / sine
    return torch.where(straight, torch.lerp(start, end, place), arc)


def finite(values: Tensor) -> Tensor:
    """Return what a model made; `DataError` if it is not finite, as from weights so large that they overflow."""
    if not values.isfinite().all():
        raise DataError("the model makes values that are not finite: its weights are damaged, or its training diverged")
    return values


def check_room(pictures: int, shape: PictureShape, bytes_a_value: int, fewer: str) -> None:
    """Raise `MemoryLimitError` if so many pictures do not fit into the memory; `fewer` says what asks for fewer."""
    each = shape.pixels * shape.channels * bytes_a_value
    if (left := too_little_for(pictures * each)) is not None:
        high, wide = shape.sides
        raise MemoryLimitError(
            f"{pictures:,} pictures of {wide} x {high} pixels need {pictures * each / 1e6:,.0f} MB, and "
            f"{left / 1e6:,.0f} MB are free, enough for {left // each:,}; {fewer}"
        )


def file_name(number: int, name: str) -> str:
    """Return the name of the PNG file of picture `number`, which was read as `name`; short enough for every disk."""
    stem = printable(Path(name).stem).encode()[:LONGEST_STEM].decode(errors="ignore")
    return f"{number:06d}-{stem}.png"


def named(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return the class names of labels (N,), which are indices into `classes`; as numbers if all names are numbers."""
    numbers = all(name.isdecimal() and str(int(name)) == name for name in classes)
    found: np.ndarray = np.array([int(name) for name in classes] if numbers else list(classes))[labels]
    return found


def save_samples(
    out: Path,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    names: Sequence[str] = (),
    columns: int | None = None,
    repeats: int = 1,
) -> None:
    """Write pictures (N, H, W, C) uint8 to `out`: an .npz, a sheet (.png, .jpg, .webp), or a folder of PNG files.

    An .npz also holds the `labels`, (N,) numbers or names. A folder's files are called `names`, by default numbers. A
    sheet has `columns`, by default so many that it is nearly square, and repeats each picture `repeats` times across
    and down.
    """
    if out.suffix == ".npz":
        with whole_file(out) as temporary, temporary.open("wb") as file:
            if labels is None:
                np.savez(file, images=images)
            else:
                np.savez(file, images=images, labels=labels)
    elif out.suffix:
        (save_sheet if len(images) > 1 else save_image)(out, grid(np.tile(images, (1, repeats, repeats, 1)), columns))
    else:
        files = [*names] if names else [f"{number:06d}.png" for number in range(len(images))]
        remove_leftovers(out, files)
        for name, image in zip(files, images, strict=True):
            save_image(out / name, image)
