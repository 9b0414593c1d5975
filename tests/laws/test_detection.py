"""A trained detector at work: its predictions, its certificate and its exported file agree."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pinxit
from conftest import TinyRuns, framed_cells
from pinxit import exporting, runtime
from pinxit.actions.predict import Predict
from pinxit.data import Batch, open_boxes
from pinxit.data.boxes.forms import FORMS
from pinxit.data.settings import BoxedSettings
from pinxit.errors import DataError, UsageError
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.detection import Detection
from pinxit.recognition import boxes, reading


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A detector that has learned squares of two sizes, and a folder of them."""
    place = tmp_path_factory.mktemp("squares")
    framed_cells(place / "cells", 20)
    how = {"batch_size": 4, "threads": 1, "precision": "float32", "average": 0.9, "warmup": 5}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pinxit.training.train._report", lambda run: None)
        pinxit.train(
            pinxit.DetectSettings(channels=32, trained_blocks=0, learning_rate=4e-3),
            place / "cells",
            place / "run",
            pinxit.DataSettings(size=64, holdout=0.3),
            pinxit.TrainingSettings(steps=30, **how),
        )
    return place / "run", place / "cells"


def test_squares_are_found(trained: tuple[Path, Path], tmp_path: Path) -> None:
    """The bar was set before the first try: half of what is perfect; guesses that see nothing come to 0.1."""
    run, cells = trained
    document = pinxit.evaluate(str(run), out=tmp_path / "one.json")
    scores = document["scores"]
    assert scores["ap50"]["value"] > 0.5
    assert {"ap50", "ap", "ap50[small]", "ap50[large]"} == scores.keys()
    for score in scores.values():
        low, high = score["interval"]["low"], score["interval"]["high"]
        assert low <= score["value"] <= high
    blind = next(row for row in scores["ap50"]["rows"] if "another" in row["about"])
    assert blind["value"] < 0.2
    each = np.mean([scores[f"ap50[{name}]"]["value"] for name in ("small", "large")])
    assert scores["ap50"]["value"] == pytest.approx(each)
    picture = tmp_path / "bare" / "a.png"
    picture.parent.mkdir()
    Image.open(cells / "00.png").save(picture)
    with pytest.raises(DataError, match="no boxes beside"):
        pinxit.evaluate(str(run), str(picture.parent), out=tmp_path / "no.json")


@pytest.mark.parametrize("form", FORMS)
def test_predictions_are_the_same_in_every_file(form: str, trained: tuple[Path, Path], tmp_path: Path) -> None:
    run, cells = trained
    for number in range(3):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.open(cells / f"{number:02}.png").resize((64, 48)).save(tmp_path / "in" / f"{number}.png")
    out = tmp_path / "out"
    rows = pinxit.predict(run, [str(tmp_path / "in")], out=out, form=form, threshold=0.2)
    lines = list(csv.DictReader((out / "predictions.csv").open()))
    results = json.loads((out / "predictions.json").read_text())
    boxes = [(row.file, box) for row in rows for box in row.boxes]
    assert len(boxes) == len(lines) == len(results) > 0
    assert [one for row in rows for one in row.document()["boxes"]] == [box._asdict() for _, box in boxes]
    for (file, box), line, result in zip(boxes, lines, results, strict=True):
        assert file == line["file"] == result["file_name"]
        assert box.name == line["class"] == result["category"]
        assert box.score is not None
        assert 0.2 <= box.score <= 1
        left, top, wide, high = result["bbox"]
        sides = [float(line[side]) for side in ("left", "top", "right", "bottom")]
        np.testing.assert_allclose(sides, box[:4], atol=0.01)
        np.testing.assert_allclose((left, top, left + wide, top + high), box[:4], atol=0.01)
        assert 0 <= box.left < box.right <= 64
        assert 0 <= box.top < box.bottom <= 48
    assert (out / "sheet.jpg").is_file()
    if form == "coco":
        return
    for path in (tmp_path / "in").iterdir():
        path.rename(out / path.name)
    again = open_boxes(str(out), holdout=0).train
    assert again.companions.boxes is not None
    for name, found in zip(again.names, again.companions.boxes, strict=True):
        expected = [box[:4] for file, box in boxes if file == name]
        np.testing.assert_allclose(found[:, :4], np.reshape(expected, (-1, 4)), atol=0.51 if form == "voc" else 0.01)


def test_the_threshold_is_fitted_to_held_out_pictures(trained: tuple[Path, Path], tmp_path: Path) -> None:
    run, cells = trained
    known = reading.load(run)
    assert isinstance(known, boxes.BoxReader)
    least = known.objective.least
    assert ((least > 0) & (least < 1) & (least != 0.5)).all()
    counts = [
        sum(len(row.boxes) for row in pinxit.predict(run, [str(cells)], out=tmp_path / str(at), threshold=at))
        for at in (0.0, 0.3, 0.99)
    ]
    assert counts[0] > counts[1] > counts[2]
    assert set(Predict.model_fields["form"].annotation.__args__[0].__args__) == set(FORMS)  # type: ignore[union-attr]


def test_a_size_that_nobody_asked_for_is_not_called_asked_for() -> None:
    assert BoxedSettings().size_for(64) == (320, "the usual size; --size chooses another")
    assert BoxedSettings(size=320).size_for(64) == (320, "as asked")


def test_options_of_boxes_are_refused_by_other_recognisers(tiny_runs: TinyRuns, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--format and --threshold"):
        pinxit.predict(tiny_runs["classify"], [str(tiny_runs.painting)], out=tmp_path, form="voc", threshold=0.5)
    assert not list(tmp_path.iterdir())


def test_boxes_do_not_depend_on_the_other_pictures(trained: tuple[Path, Path]) -> None:
    run, cells = trained
    known = reading.load(run)
    assert isinstance(known, boxes.BoxReader)
    pictures = [np.asarray(Image.open(path)) for path in sorted(cells.glob("*.png"))[:10]]
    together = list(known.read(pictures))
    alone = [next(known.read([picture])) for picture in pictures]
    assert all(np.array_equal(*both) for both in zip(together, alone, strict=True))


def test_what_is_exported_gives_the_same_boxes(trained: tuple[Path, Path]) -> None:
    run, cells = trained
    known = reading.load(run)
    assert isinstance(known, boxes.BoxReader)
    pictures = [np.asarray(Image.open(path)) for path in sorted(cells.glob("*.png"))[:3]]
    portable = exporting.portable_of(run, [picture.astype(np.float32) / 255 for picture in pictures])
    with torch.no_grad():
        made = [portable.network(**trial)[0].numpy() for trial in portable.trials[:3]]  # then come pictures of the set
    for found, expected in zip(made, known.read(pictures), strict=True):
        kept = expected[expected[:, 4] >= exporting.FAINT]
        assert len(kept)
        np.testing.assert_allclose(found[: len(kept)] * (32, 32, 32, 32, 1, 1), kept, atol=1e-3)
        assert not found[len(kept) :].any()
    assert json.loads(portable.metadata["classes"]) == ["small", "large"]
    assert json.loads(portable.metadata["least"]) == pytest.approx(known.objective.least.tolist(), abs=1e-5)


@pytest.mark.slow
def test_an_exported_file_is_as_pytorch_and_takes_many_pictures(trained: tuple[Path, Path], tmp_path: Path) -> None:
    run, cells = trained
    told = exporting.export(run, tmp_path / "cells.onnx", pictures=[cells / "00.png"])
    assert told["largest_difference"] < 1e-4
    session = runtime.session(tmp_path / "cells.onnx")
    (made,) = session.run(["boxes"], {"image": np.random.default_rng(0).random((3, 64, 64, 3), np.float32)})
    assert made.shape == (3, 100, 6)


def test_a_set_without_a_thing_of_a_kind_or_without_boxes_is_one_line(tmp_path: Path) -> None:
    framed_cells(tmp_path / "cells", 2)
    for path in (tmp_path / "cells").glob("*.txt"):
        path.write_text("")
    with pytest.raises(DataError, match="no box"):
        open_boxes(str(tmp_path / "cells"))
    assert issubclass(Detection, pinxit.objectives.objective.Detector)


def test_pictures_without_things_train_too() -> None:
    objective = pinxit.DetectSettings(channels=16, trained_blocks=0).build(PictureShape(32, 3, 2))
    batch = Batch(image=torch.rand(2, 3, 32, 32), boxes=torch.zeros(2, 0, 5), seed=0, step=0)
    before = objective.loss(batch, objective.draw(batch))
    assert before.terms["box"] == 0
    assert before.terms["class"] > 0
    before.terms["class"].backward()
    bias = objective.networks["detector"].score.bias
    assert (bias.grad > 0).all()  # scores are to fall
    with torch.no_grad():
        [found, _] = objective.boxes(batch.image)
        assert found.shape[1] == 6
        assert objective.judge(batch) == 0
