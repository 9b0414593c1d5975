"""The report of a run: one self-contained page for the person who started it.

It is made from the run folder alone, at any time. The same folder gives the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from pinxit.errors import DataError
from pinxit.files import open_plain, write_whole
from pinxit.images import load_image
from pinxit.page import command, data_uri, page
from pinxit.plots import EngFormatter, Figure, LogLocator, NullLocator, imsave, style
from pinxit.progress import duration, say
from pinxit.settings import Settings, sides
from pinxit.training.curves import FOUND, WATCH, Curve, Numbers, read_log
from pinxit.training.diagnosis import Finding, diagnose
from pinxit.training.recipes import Recipe
from pinxit.training.run import LOG, Run

FRAMES, FRAME_WIDTH = 24, 320
SHEET_WIDTH = 720
POINTS = 600

COLOURS = {1: "grey", 3: "colour", 4: "colour with alpha"}

# Panels that mean the same for every objective: the title, and how to read them. Other terms have their own names.
PANELS = {
    "adversarial": (
        "Adversarial loss",
        "What each network minimises. In balanced training, neither line keeps growing.",
    ),
    "score": ("Scores", "The discriminator's scores. The closer real and fake are, the harder they are to tell apart."),
    "gradient_norm": ("Gradient norm", "On a log scale. A sudden jump, or a fall towards zero, means trouble."),
    "likeness": (
        "Samples beside the training pictures",
        "How much samples differ, how many kinds there are, and how far they are from training pictures. Training "
        "pictures are at 1.",
    ),
}
LIKENESS = tuple(f"{WATCH}{reading}" for reading in ("diversity", "coverage", "nearest"))

_BELOW = "<p><small>Below each value: its ratio to the blur row.</small></p>\n"
SCORED = ("value", "interval", "better", "headline", "metric", "rows")  # of a score; the rest is its protocol


def write_report(folder: Path) -> Path:
    """Write `report.html` into the run's folder, whole or not at all, and return its path.

    The run may be unfinished: what is missing is left out, or the page says how to get it. Raises `DataError` if the
    folder is not a run, `DiskError` if the page cannot be written.
    """
    run = Run.open(folder)
    facts, sheets, log = run.facts(), _sheets(run), read_log(run.folder / LOG)
    sections = (
        _header(run, facts),
        _newest(sheets, run.recipe.settings.sheet()),
        _section("Findings", _findings(diagnose(log, run.recipe))),
        _section("Repairs", _list([str(repair) for repair in run.recipe.repairs])),
        _section("Score", _scores(run, _evaluation(run))),
        _section("Curves", _curves(log, run.recipe.training.batch_size)),
        _section("The same sheet, step by step", _filmstrip(sheets)),
        _section("What was asked", _asked(run.recipe)),
        _section("Machine and time", _machine(facts)),
        _section("Next steps", _next(run)),
    )
    title = f"{run.recipe.objective} on {run.recipe.data.name} · pinxit"
    write_whole(run.page, page(title, "\n".join(filter(None, sections))), folder)
    return run.page


def thin(curve: Curve, points: int = POINTS) -> Curve:
    """Return the curve in at most `points` points, each the mean of neighbouring ones."""
    count = len(curve.at)
    edges = np.linspace(0, count, min(count, points) + 1).astype(int)
    return Curve(*(np.add.reduceat(numbers, edges[:-1]) / np.diff(edges) for numbers in curve))


def smooth(values: Numbers) -> Numbers:
    """Return values (n,) smoothed by a Hann window a twelfth as wide; at the ends only the part that fits counts."""
    window = np.hanning(2 * (len(values) // 24) + 3)
    weight = np.convolve(np.ones(len(values)), window)
    inside = slice(len(window) // 2, len(window) // 2 + len(values))
    return np.convolve(values, window)[inside] / weight[inside]


def draw(title: str, lines: Iterable[tuple[int, Curve]], logarithmic: bool = False) -> str:
    """Return an inline SVG of curves over pictures seen: each smoothed, with the raw line behind it.

    Each line comes with the number of its colour, which is the page's own (`--line-0` to `--line-3`), so that one
    drawing serves light and dark pages.
    """
    with style.context(["default", CHART]):
        figure = Figure(figsize=(5, 2.2), layout="constrained")
        axes = figure.add_subplot(xlabel="pictures seen")
        if logarithmic:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        for colour, (at, values) in lines:
            axes.plot(at, values, color=LINES[colour], alpha=0.3, linewidth=0.8)
            axes.plot(at, smooth(values), color=LINES[colour], marker="" if len(at) > 1 else "o")
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = f'<svg role="img" aria-label="{escape(title)}"{file.getvalue().partition("<svg")[2]}'
    svg = re.sub(r' (id="\w+_\d+"|xmlns(:\w+)?="[^"]*")', "", svg)
    return re.sub("|".join(PAINT), lambda found: f"var(--{PAINT[found[0]]})", svg)


def _header(run: Run, facts: Mapping[str, Any]) -> str:
    recipe, steps = run.recipe, run.recipe.training.steps
    (high, wide), colour = sides(recipe.data.size), COLOURS[recipe.data.channels]
    done = f"no step of {steps:,} saved yet"
    if "steps" in facts:
        count = f"{steps:,} steps" if facts["finished"] else f"{facts['steps']:,} of {steps:,} steps"
        done = f"{count} in {duration(facts['seconds'])}"
    headline = f"A {recipe.settings.noun} trained on {recipe.data.name}: {done}"
    size = f"{wide}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}{high} pixels"
    details = f"{recipe.training.batch_size:,} pictures a step, {size} in {colour}, seed {recipe.training.seed}."
    return (
        f'<header><p class="sign">pinxit · {escape(recipe.objective)} · {escape(run.folder.resolve().name)}</p>'
        f"<h1>{escape(headline)}</h1><p>{escape(details)}</p></header>"
    )


def _section(heading: str, content: str) -> str:
    return content and f"<section><h2>{heading}</h2>\n{content}</section>"


def _evaluation(run: Run) -> dict[str, Any] | None:
    """Return the run's last certificate; one that is damaged is named and left out."""
    try:
        return run.evaluation()
    except DataError as error:
        say(f"the report shows no score: {error}")
        return None


def _sheets(run: Run) -> list[tuple[int, Path]]:
    """Return the sheets of samples by step; what cannot be read as a picture is named and left out."""
    found = []
    for path in run.samples.glob("*.png"):
        if path.stem.isdecimal():
            try:
                with open_plain(path, run.folder) as file:
                    load_image(file, str(path))
                found.append((int(path.stem), path))
            except DataError as error:
                say(f"the report leaves out a sheet: {error}")
    return sorted(found)


def _newest(sheets: list[tuple[int, Path]], shown: str) -> str:
    """Return the newest sheet and its caption; it is enlarged by a whole number where there is room."""
    if not sheets:
        return ""
    step, path = sheets[-1]
    width = load_image(path).shape[1]
    enlarged = width * max(1, SHEET_WIDTH // width)
    return f'<div class="sheet">{_figure(path.read_bytes(), step, f"After {step:,} steps: {shown}", enlarged)}</div>'


def _filmstrip(sheets: list[tuple[int, Path]]) -> str:
    chosen = sorted({round(place) for place in np.linspace(0, len(sheets) - 1, min(len(sheets), FRAMES))})
    frames = "".join(
        _figure(_frame(path), step, f"step {step:,}", FRAME_WIDTH) for step, path in (sheets[i] for i in chosen)
    )
    return frames and f'<div class="strip">\n{frames}</div>'


def _frame(path: Path) -> bytes:
    """Return the sheet as a PNG at most `FRAME_WIDTH` pixels wide, reduced by block means."""
    pixels = load_image(path)
    side = -(-pixels.shape[1] // FRAME_WIDTH)
    if side == 1:
        return path.read_bytes()
    height, width = (length // side for length in pixels.shape[:2])
    blocks = pixels[: height * side, : width * side].reshape(height, side, width, side, -1)
    small = np.rint(blocks.mean((1, 3))).astype(np.uint8)
    file = io.BytesIO()
    imsave(file, small if small.shape[2] > 1 else small.repeat(3, 2), format="png", metadata={"Software": "pinxit"})
    return file.getvalue()


def _figure(png: bytes, step: int, caption: str, width: int) -> str:
    return (
        f'<figure><img src="{data_uri(png, "png")}" width="{width}" alt="Samples after {step:,} steps">'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )


def _findings(found: Iterable[Finding]) -> str:
    """Return the findings as a list, each with its numbers and the command that may do better; nothing without any."""
    items = "".join(
        f"<li><b>{finding.name}</b> since step {finding.step:,}. {escape(finding.sentence)} "
        f"<small>{escape(_plain(finding.evidence))}</small>{_remedy(finding)}</li>\n"
        for finding in found
    )
    return items and f"<ul>\n{items}</ul>\n"


def _remedy(finding: Finding) -> str:
    return f"\n<pre><code>{escape(finding.remedy)}</code></pre>" if finding.remedy else ""


def _list(sentences: Sequence[str]) -> str:
    lines = "".join(f"<li>{escape(sentence)}</li>\n" for sentence in sentences)
    return lines and f"<ul>\n{lines}</ul>\n"


def _curves(log: Mapping[str, Curve], batch_size: int) -> str:
    """Return a panel for each family of terms; nothing before the first logged step."""
    shown = [name for name in log if not name.startswith((WATCH, FOUND))] + [name for name in LIKENESS if name in log]
    thinned = {name: thin(log[name]) for name in shown}
    curves = {name: Curve(at * batch_size, values) for name, (at, values) in thinned.items()}
    families: dict[str, list[str]] = {family: [] for family in PANELS}
    for name in curves:
        term = name.rpartition("/")[2]
        family = "likeness" if name in LIKENESS else "score" if term.endswith("_score") else term
        families.setdefault(family, []).append(name)
    panels = "".join(_panel(family, names, curves) for family, names in families.items() if names)
    return panels and f'<div class="panels">\n{panels}</div>'


def _panel(family: str, names: list[str], curves: Mapping[str, Curve]) -> str:
    """Return a drawing with its key; a player has the same colour in every panel whose lines are players."""
    title, about = PANELS.get(family, (family.replace("_", " ").capitalize(), ""))
    players = list(dict.fromkeys(name.partition("/")[0] for name in curves))
    lines, keys = [], ""
    for place, name in enumerate(names):
        player, _, term = name.partition("/")
        label, colour = (player, players.index(player)) if term == family else (term.replace("_", " "), place)
        colour %= len(LINES)
        lines.append((colour, curves[name]))
        latest = _number(smooth(curves[name].values)[-1])
        keys += f'<span class="key line-{colour}">{escape(label)} {latest}</span> '
    logarithmic = family == "gradient_norm" and all((curve.values > 0).all() for _, curve in lines)
    return (
        f"<figure><figcaption><h3>{escape(title)}</h3>{keys}<p>{escape(about)}</p></figcaption>"
        f"{draw(title, lines, logarithmic)}</figure>\n"
    )


def _scores(run: Run, evaluation: Mapping[str, Any] | None) -> str:
    """Return each score in words, a table of scores and anchor rows, and the protocol; or how to get a score."""
    if not evaluation:
        return _evaluate(run, "Not evaluated yet. ")
    scores = {name: score for name, score in evaluation["scores"].items() if score["headline"]}
    words = "".join(f"<li>{_in_words(name, score)}</li>\n" for name, score in scores.items())
    heads = "".join(f'<th scope="col">{escape(name).replace("[", "<small>[")}</small></th>' for name in scores)
    rows = "".join(_score_row(row) for row in zip(*(score["rows"] for score in scores.values()), strict=True))
    verdicts = [evaluation[part]["verdict"] for part in ("audit", "utility") if part in evaluation]
    protocols: dict[str, list[str]] = {}
    for name, score in scores.items():
        table = _table((key, value, "") for key, value in score.items() if key not in SCORED)
        protocols.setdefault(table, []).append(name)
    definitions = _table((name, score["metric"], "") for name, score in scores.items())
    definitions += "".join(f"<h3>{escape(', '.join(names))}</h3>{table}" for table, names in protocols.items())
    return (
        f'<ul class="words">\n{words}</ul>\n'
        f'<div class="wide"><table class="scores">\n<tr><td></td>{heads}</tr>\n{rows}</table></div>\n'
        f"{_BELOW if any(row['name'] == 'blur' for score in scores.values() for row in score['rows']) else ''}"
        f"{_list([*verdicts, *evaluation['remarks']])}"
        f"<details><summary>The protocol in full</summary>\n{definitions}</details>"
    )


def _in_words(name: str, score: Mapping[str, Any]) -> str:
    ratio, interval = score["rows"][0]["ratio"], score["interval"]
    words = f"({_number(interval['low'])} to {_number(interval['high'])}) "
    words += f"at N = {score['n']:,} against {score['reference']['name']}, "
    words += f"{score['better']} is better" if score["better"] != "as real" else "best near the floor"
    words += "" if ratio is None else f"; {_number(ratio)} of the 3x3-blur row"
    return f"<b>{escape(name)} {_number(score['value'])}</b> {escape(words)}"


def _score_row(row: tuple[Mapping[str, Any], ...]) -> str:
    """Return one row of the table of scores: the generated set, or an anchor row."""
    name, about = escape(row[0]["name"]), escape(f"{row[0]['about']}, N = {row[0]['n']:,}")
    cells = "".join(f"<td>{_number(entry['value'])}{_bar(entry['ratio'])}</td>" for entry in row)
    return f'<tr class="{name}"><th scope="row">{name}<small>{about}</small></th>{cells}</tr>\n'


def _bar(ratio: float | None) -> str:
    """Return the ratio to the blur row as a bar, full at 1."""
    if ratio is None:
        return ""
    return f'<i style="width:{100 * min(max(ratio, 0), 1):.1f}%"></i><small>{_number(ratio)}</small>'


def _asked(recipe: Recipe) -> str:
    """Return the recipe's choice and tables; a default is shown where another value was chosen."""
    parts: dict[str, Settings] = {recipe.objective: recipe.settings, "pictures": recipe.data}
    parts |= {"training": recipe.training, "hardware": recipe.hardware}
    rest = f"<p>All that was not given is by {escape(str(recipe.chosen))}.</p>\n" if recipe.chosen else ""
    return rest + "".join(f"<h3>{escape(name)}</h3>{_table(_fields(part))}" for name, part in parts.items())


def _fields(settings: Settings) -> Iterator[tuple[str, Any, str]]:
    for name, field in type(settings).model_fields.items():
        value, about = getattr(settings, name), field.description or ""
        if not field.is_required() and field.default not in (None, (), value):
            about += f" Default: {_plain(field.default)}."
        yield name, value, about


def _table(rows: Iterable[tuple[str, Any, str]]) -> str:
    """Return a table of names, values and descriptions."""
    lines = "".join(
        f'<tr><th scope="row">{escape(name.replace("_", " "))}</th>'
        f"<td>{escape(_plain(value))}</td><td>{escape(about)}</td></tr>\n"
        for name, value, about in rows
    )
    return f'<table class="facts">\n{lines}</table>\n'


def _machine(facts: Mapping[str, Any]) -> str:
    """Return the machine and its speed; nothing before the first checkpoint."""
    if "machine" not in facts:
        return ""
    spent = {"time": duration(facts["seconds"]), "speed": f"{facts['images_per_second']:,.0f} pictures a second"}
    return _table((name, value, "") for name, value in (spent | facts["machine"]).items())


def _next(run: Run) -> str:
    resumed = "Continue a stopped run from its newest checkpoint; the result is as if it had not stopped."
    sampled = "Sample new pictures; another seed gives other pictures."
    return (
        _command(resumed, "resume", run.folder)
        + _command(sampled, "sample", run.folder, "-n", 64, "--seed", 1, "-o", "samples.png")
        + _evaluate(run)
    )


def _evaluate(run: Run, before: str = "") -> str:
    about = f"{before}Compare its pictures with real ones it was not trained on."
    return _command(about, "evaluate", run.folder, f"{run.recipe.data.source.removesuffix(':train')}:test")


def _command(about: str, *words: object) -> str:
    return f"<p>{escape(about)}</p>\n<pre><code>{escape(command(*words))}</code></pre>\n"


def _plain(value: Any) -> str:
    """Return a setting or a fact as text for a person."""
    match value:
        case None:
            return "not given"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case dict():
            return ", ".join(f"{name} {_plain(entry)}" for name, entry in value.items())
        case list() | tuple():
            return ", ".join(map(_plain, value)) or "none"
        case _:
            return str(value)


def _number(value: float) -> str:
    """Return a measured number in three digits; all digits before the point are kept."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


# Placeholder colours for matplotlib, which `draw` replaces by the page's colours.
LINES = ("#000001", "#000002", "#000003", "#000004")
INK, RULE = "#000005", "#000006"
PAINT = {colour: f"line-{number}" for number, colour in enumerate(LINES)} | {INK: "soft", RULE: "rule"}

CHART = {
    "svg.hashsalt": "pinxit", "svg.fonttype": "none", "font.size": 9, "lines.markersize": 4,
    "figure.facecolor": "none", "axes.facecolor": "none", "axes.edgecolor": RULE, "axes.labelcolor": INK,
    "axes.spines.left": False, "axes.spines.right": False, "axes.spines.top": False, "axes.xmargin": 0.02,
    "axes.grid": True, "axes.grid.axis": "y", "grid.color": RULE,
    "xtick.color": RULE, "xtick.labelcolor": INK,
    "ytick.color": RULE, "ytick.labelcolor": INK, "ytick.major.size": 0, "ytick.minor.size": 0,
}  # fmt: skip
