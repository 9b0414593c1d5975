"""Actions on a trained generator or autoencoder: sampling, and what can be done with codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from pinxit.actions.action import OUT, RUN, Action, AnyRun, First, N, Outcome, Overwrite, Reads, Word, refuse
from pinxit.errors import UsageError
from pinxit.files import refuse_to_replace
from pinxit.latents.strategies import STRATEGIES
from pinxit.progress import say
from pinxit.settings import flag_of

if TYPE_CHECKING:
    import numpy as np

    from pinxit.latents.sampling import GenerativeModel

SOURCE = "A named set (mnist:test), a folder of pictures, a zip, an npz, IDX files, or one picture."
SHEET = "Sheet to write (.png, .jpg, .webp)"

VAERun = Annotated[Path, RUN, Field(description="Folder of a run of `pinxit train vae`.")]
CoderRun = Annotated[Path, RUN, Field(description="Folder of a run of `pinxit train vae` or `pinxit train vq`.")]
Pictures = Annotated[str, Word("PICTURES"), Reads(), Field(description=SOURCE)]
Count = Annotated[int, N, Field(description="Number of pictures, taken from the start of the set.")]


def _listed(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_listed)]
Out = Annotated[Path, OUT]
MaybeOut = Annotated[Path | None, OUT]


class Sample(Action):
    """Sample new pictures from a run; of a translator, show held-out pictures before and after.

    Picture i depends on seed + i alone, so it is the same however many you sample.
    """

    run: AnyRun
    n: Annotated[Count, First()] = Field(
        64, ge=1, description="Number of pictures; with --interpolate, number of rows."
    )
    out: MaybeOut = Field(
        None,
        description="An .npz (key `images`, uint8, N H W C), a sheet (.png, .jpg, .webp), or a folder for single "
        "files; by default the sheet sample.png in the run.",
    )
    seed: Annotated[int, First()] = Field(0, ge=0, description="Seed of the first picture.")
    seeds: Seeds = Field(
        (),
        description="Seeds of the pictures, such as 3,17, in place of --seed and -n. With --interpolate, each row "
        "leads from one of them to the next.",
    )
    move: str | None = Field(
        None,
        description="Move along the directions of the latents that change pictures most, the strongest first: 1=1.5,"
        "2=-0.5 moves 1.5 standard deviations along the first, and half a one back along the second. `pinxit traverse "
        "--directions` shows them.",
    )
    label: Annotated[str | None, First()] = Field(
        None, description="Class to sample, if the run is conditional; by default all classes in turn."
    )
    code: str | None = Field(
        None,
        description="Parts of the code to fix, such as category=3,value1=-0.5, if the run was trained with "
        "--code-categories or --code-values. Categories count from 0, values from 1; a value is from -1 to 1. What is "
        "not fixed is random.",
    )
    truncation: Annotated[float | None, First()] = Field(
        None,
        gt=0,
        description="Standard deviations at which the latents' normal distribution is cut off. Smaller gives more "
        "typical and less diverse pictures. A run of --network style keeps this share of each style's difference from "
        "their mean instead; 0.7 is usual.",
    )
    sampler: str | None = Field(
        None,
        description="Distribution of the latents. Every generator has 'prior'. An autoencoder also has 'gmm' (a "
        "mixture fitted to its codes), 'class-gaussian' (one for each class), and 'flow', 'two-stage' or "
        "'transformer' after `pinxit train prior`. If omitted, the model's default.",
    )
    strategy: Literal[*STRATEGIES] | None = Field(  # type: ignore[valid-type]
        None,
        description="Choose each picture among candidates of its own: "
        + "; ".join(f"{name} ({row.purpose})" for name, row in STRATEGIES.items())
        + ".",
    )
    keep: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Share of the candidates that --strategy keeps. Smaller is stricter: better pictures, less "
        "diversity, more time.",
    )
    interpolate: Annotated[int | None, First()] = Field(
        None,
        ge=2,
        description="Pictures per row, where each row leads from one latent to the next; -n is then the number of "
        "rows.",
    )
    tileable: bool = Field(
        False,
        description="Make opposite edges meet, as in textures for games; needs a convolutional network. A sheet "
        "repeats each picture 3 x 3 times; an .npz and single files hold one tile.",
    )
    overwrite: Overwrite = False

    def do(self) -> Outcome:
        """Sample and save the pictures; the value is (N, H, W, C) uint8, interpolations one row after the other."""
        self._check()
        n = self._seeds_or_rows()
        numbers = range(n * self.interpolate) if self.interpolate else self._seeds()
        _refuse(self.out, _names(numbers), self.overwrite)
        from pinxit.latents import sampling

        if (shown := sampling.before_and_after(self.run, self.n)) is not None:
            self._refuse_latents()
            return _sheet(self.out or self.run / "sample.png", shown, columns=6)
        model = self._model()
        out, repeats = self.out or self.run / "sample.png", 3 if self.tileable else 1
        if self.interpolate:
            rows = model.interpolate(n, self.interpolate, self.seed, self.label, self.truncation)
            return _sheet(out, rows, self.interpolate, repeats)
        images, labels = model.sample(n, self.seed, self.label, self.truncation)
        kept = None if labels is None else sampling.named(labels, model.classes)
        sampling.save_samples(out, images, kept, names=[*_names(numbers)], repeats=repeats)
        return Outcome(images, files=(out,))

    def _check(self) -> None:
        """Raise `UsageError` if what is asked for contradicts itself."""
        refuse({"--keep": self.strategy is None and "keep" in self.model_fields_set}, "{} needs --strategy")
        instead = {flag: name in self.model_fields_set for flag, name in (("--seed", "seed"), ("-n", "n"))}
        refuse({flag: given and bool(self.seeds) for flag, given in instead.items()}, "--seeds stands in place of {}")
        if self.interpolate and len(self.seeds) == 1:
            raise UsageError("--interpolate leads from one seed to the next; give --seeds two or more")

    def _seeds(self) -> Sequence[int]:
        return self.seeds or range(self.seed, self.seed + self.n)

    def _seeds_or_rows(self) -> int:
        """Return how many pictures are sampled, or rows if they are interpolations."""
        return len(self.seeds) - bool(self.interpolate) if self.seeds else self.n

    def _model(self) -> GenerativeModel:
        """Return the run's model, sampled as asked."""
        from pinxit.latents import sampling

        model = sampling.load(self.run)
        if self.sampler:
            model = model.using(self.sampler)
        if self.code:
            model = model.fixing(self.code)
        if self.tileable:
            model = model.tiling()
        if self.strategy:
            model = model.choosing(self.strategy, self.keep, self.run)
        if self.seeds:
            model = model.seeded(self.seeds)
        if self.move:
            model = model.moving(self.move)
        if len(model.samplers) > 1:
            say(f"latents sampled with {model.sampler!r}, one of {', '.join(model.samplers)}")
        return model

    def _refuse_latents(self) -> None:
        """Raise `UsageError` if something was asked for that needs a model with latents."""
        plain = {"run", "n", "out", "overwrite"}
        asked = {flag_of(name): True for name in sorted(self.model_fields_set - plain)}
        refuse(asked, "{}: a translator has no latents; `pinxit edit translate` translates pictures of your own")


class Reconstruct(Action):
    """Show pictures beside their reconstructions."""

    run: CoderRun
    pictures: Pictures
    n: Annotated[Count, First()] = Field(32, ge=1)
    out: MaybeOut = Field(None, description=f"{SHEET}; by default reconstruct.png in the run.")
    overwrite: Overwrite = False

    def do(self) -> Outcome:
        """Save the sheet; the value is (2 N, H, W, C) uint8, each picture followed by its reconstruction."""
        _refuse(self.out, _names(range(2 * self.n)), self.overwrite)
        from pinxit.latents import coding, sampling
        from pinxit.objectives.objective import Autoencoder

        model = sampling.load(self.run)
        if isinstance(model.objective, Autoencoder) and model.objective.codebook_size:
            say(f"codes of {model.objective.bits_per_pixel:.3g} bits per pixel")
        pictures = coding.model_pictures(model, self.pictures, self.n)
        pairs = coding.before_and_after(model, pictures)
        return _sheet(self.out or self.run / "reconstruct.png", pairs, columns=8, check=pictures.check)


class Traverse(Action):
    """Show what each dimension of a model's latents does.

    Each row shows the same picture with one dimension moved. A GAN with a code shows its categories in the first row,
    then its values.
    """

    run: AnyRun
    n: Annotated[Count, First()] = Field(
        8, ge=1, description="Number of rows; the dimensions that vary most come first."
    )
    columns: Annotated[int, First()] = Field(
        9,
        ge=2,
        description="Pictures in a row, from 2.5 standard deviations below the dimension's mean to 2.5 above it.",
    )
    out: MaybeOut = Field(None, description=f"{SHEET}; by default traverse.png in the run.")
    seed: int = Field(0, ge=0, description="Seed of the picture.")
    label: str | None = Field(None, description="Class to sample, if the run is conditional.")
    directions: Annotated[bool, First()] = Field(
        False,
        description="Move along the directions of the latents that change pictures most, the strongest first, instead "
        "of single dimensions.",
    )
    overwrite: Overwrite = False

    def do(self) -> Outcome:
        """Save the sheet; the value is its pictures, (rows * columns, H, W, C) uint8."""
        _refuse(self.out, _names(range(self.n * self.columns)), self.overwrite)
        from pinxit.latents import coding, sampling

        model = sampling.load(self.run)
        traverse = coding.along_directions if self.directions else coding.traverse
        rows = traverse(model, self.n, self.columns, self.seed, self.label)
        return _sheet(self.out or self.run / "traverse.png", rows, self.columns)


class Morph(Action):
    """Move pictures from one class towards another.

    Adds the difference between the two classes' mean codes to each picture's code.
    """

    run: Annotated[Path, RUN] = Field(
        description="Folder of a finished run of `pinxit train vae`, not conditional, on pictures with classes."
    )
    pictures: Pictures = Field(
        description=f"{SOURCE} Only those of the class --start are used, or all of them if the set has no classes."
    )
    start: str = Field(description="Class that the pictures belong to.")
    end: str = Field(description="Class that they move towards.")
    n: Annotated[Count, First()] = Field(8, ge=1, description="Number of pictures, the first of their class.")
    columns: Annotated[int, First()] = Field(8, ge=2, description="Pictures in a row; the first is the reconstruction.")
    out: MaybeOut = Field(None, description=f"{SHEET}, one row per picture; by default morph.png in the run.")
    overwrite: Overwrite = False

    def do(self) -> Outcome:
        """Save the sheet; the value is its pictures, (N * columns, H, W, C) uint8."""
        _refuse(self.out, _names(range(self.n * self.columns)), self.overwrite)
        from pinxit.latents import coding, sampling

        model = sampling.load(self.run)
        pictures = coding.model_pictures(model, self.pictures, self.n, only=self.start)
        rows = coding.morph(model, pictures, self.start, self.end, self.columns)
        return _sheet(self.out or self.run / "morph.png", rows, self.columns, check=pictures.check)


class Map(Action):
    """Arrange pictures on a sheet by their codes.

    The two axes are the directions in which the codes vary most.
    """

    run: VAERun
    pictures: Pictures
    n: Count = Field(2000, ge=1)
    columns: int = Field(
        24, ge=2, le=100, description="Cells along each side; each shows the picture nearest to its centre."
    )
    out: MaybeOut = Field(None, description=f"{SHEET}; by default map.png in the run.")
    overwrite: Overwrite = False

    def do(self) -> Outcome:
        """Save the sheet; the value is its cells, (columns^2, H, W, C) uint8."""
        _refuse(self.out, _names(range(self.columns**2)), self.overwrite)
        from pinxit.latents import coding, sampling

        model = sampling.load(self.run)
        pictures = coding.model_pictures(model, self.pictures, self.n)
        cells, share = coding.latent_map(model, pictures, self.columns)
        if len(pictures) > 1:
            say(f"the two directions hold {share:.0%} of the codes' variance")
        return _sheet(self.out or self.run / "map.png", cells, self.columns, check=pictures.check)


class Codes(Action):
    """Measure how much information each dimension of a model's codes holds.

    Prints the KL divergence in nats and the variance of each dimension, the most informative first.
    """

    run: VAERun
    pictures: Pictures
    n: Count = Field(1000, ge=1)

    def do(self) -> Outcome:
        """Measure the codes; value and document are the same."""
        from pinxit.latents import coding, sampling

        model = sampling.load(self.run)
        pictures = coding.model_pictures(model, self.pictures, self.n)
        measured = coding.read_codes(model, pictures)
        return Outcome(measured, measured, lines=_table(measured), check=pictures.check)


class Anomaly(Action):
    """Score how much pictures differ from a model's training pictures, and show where."""

    run: VAERun
    pictures: Pictures
    out: Out = Field(
        description="Folder for anomaly.json, which holds each picture's score (-ELBO in nats, larger is more "
        "anomalous) and "
        "its mean squared error. A sheet per picture shows it, its reconstruction, and a heat map of the error."
    )
    overwrite: Overwrite = False

    def do(self) -> Outcome:
        """Write the folder; value and document are what anomaly.json holds, the strangest picture first."""
        refuse_to_replace(self.out / "anomaly.json", overwrite=self.overwrite)
        from pinxit.latents import coding, sampling

        model = sampling.load(self.run)
        pictures = coding.model_pictures(model, self.pictures)
        refuse_to_replace(*(self.out / sheet for sheet in coding.sheets(pictures)), overwrite=self.overwrite)
        document = coding.save_anomalies(self.out, pictures, coding.anomalies(model, pictures))
        scores = (f"{entry['score']:12.1f}  {entry['name']}" for entry in document["pictures"])
        return Outcome(document, document, (self.out,), lines=(*scores, self.out), check=pictures.check)


class Compress(Action):
    """Compress pictures to a small file with a model's codes.

    Reports the bits per pixel, and the PSNR of the decompressed pictures.
    """

    run: CoderRun
    pictures: Pictures
    out: Out = Field(description="File to write (.pxc). `pinxit decompress` needs the same run to read it.")
    n: Annotated[int | None, N] = Field(
        None, ge=1, description="Number of pictures, taken from the start of the set; by default all."
    )
    step: float | None = Field(
        None,
        gt=0,
        description="Rounding step of the codes, in standard deviations of the posterior, by default 1. Larger steps "
        "need fewer bits. Codes of `pinxit train vq` are not rounded.",
    )
    overwrite: Overwrite = False

    def do(self) -> Outcome:
        """Write the file; value and document are its measures."""
        refuse_to_replace(self.out, overwrite=self.overwrite)
        from pinxit.latents import coding, compression, sampling

        model = sampling.load(self.run)
        pictures = coding.model_pictures(model, self.pictures, self.n)
        coded = compression.compress(model, pictures, self.step)
        measured = compression.save_compressed(self.out, model, pictures, coded)
        return Outcome(measured, measured, (self.out,), lines=self._lines(measured), check=pictures.check)

    def _lines(self, measured: Mapping[str, Any]) -> Iterator[Path]:
        say(
            f"codes of {measured['bits_per_pixel']:.3g} bits per pixel; the whole file {measured['bytes']:,} bytes; "
            f"PSNR {measured['psnr']:.1f} dB"
        )
        yield self.out


class Decompress(Action):
    """Decompress the pictures in a file of `pinxit compress`."""

    run: Annotated[Path, RUN] = Field(description="Folder of the run that compressed them.")
    file: Annotated[Path, Word("FILE")] = Field(description="File that `pinxit compress` wrote (.pxc).")
    out: Out = Field(
        description="An .npz (key `images`, uint8, N H W C), a sheet (.png, .jpg, .webp), or a folder for single files."
    )
    overwrite: Overwrite = False

    def do(self) -> Outcome:
        """Save the pictures; the value is (N, H, W, C) uint8."""
        _refuse(self.out, (), self.overwrite)
        from pinxit.latents import compression, sampling

        model = sampling.load(self.run)
        coded = compression.load_compressed(self.file, model)
        names = [sampling.file_name(number, name) for number, name in enumerate(coded.names)]
        _refuse(self.out, names, self.overwrite)
        images = compression.decompress(model, coded)
        sampling.save_samples(self.out, images, names=names)
        return Outcome(images, files=(self.out,))


def _refuse(out: Path | None, names: Iterable[str], overwrite: bool) -> None:
    """Refuse to replace what -o names: a file, or the pictures of these names in a folder.

    Without -o a sheet is a file of the run's own, and the next one replaces it.
    """
    if out:
        places = [out] if out.suffix else [out / name for name in names]
        refuse_to_replace(*places, overwrite=overwrite)


def _names(numbers: Iterable[int]) -> Iterator[str]:
    """Yield the names that pictures get in a folder by their numbers. There may be too many for a list."""
    return (f"{number:06d}.png" for number in numbers)


def _table(codes: Mapping[str, Any]) -> Iterator[str]:
    yield "number    KL, nats      varies"
    for entry in codes["numbers"]:
        kl = "" if entry["kl"] is None else f"{entry['kl']:.4f}"
        yield f"{entry['number']:6d}{kl:>12}{entry['varies']:12.4f}"
    rate = "" if codes["rate"] is None else f"rate {codes['rate']:.1f} nats, "
    active = f"{codes['active']} of {len(codes['numbers'])} numbers active"
    yield f"{rate}distortion {codes['distortion']:.1f} nats; {active}"
    if not codes["active"] and codes["pictures"] > 1:
        yield "The codes have collapsed: they are the same for every picture."


def _sheet(
    out: Path, rows: np.ndarray, columns: int, repeats: int = 1, check: Callable[[], None] = lambda: None
) -> Outcome:
    """Save pictures (N, H, W, C), or rows of them, as a sheet."""
    from pinxit.latents.sampling import save_samples

    images = rows.reshape(-1, *rows.shape[-3:])
    save_samples(out, images, columns=columns, repeats=repeats)
    return Outcome(images, files=(out,), check=check)
