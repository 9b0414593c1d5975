"""Recognition: metrics against torchmetrics, calibration, and what predictions and certificates of a run say."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.functional import classification as oracle

import pinxit
from conftest import TinyRuns
from pinxit.cli import run as run_command
from pinxit.data import Batch
from pinxit.errors import DataError, DiskError, SomeFailedError, UsageError
from pinxit.evaluation.recognition import draw_confusion
from pinxit.jobs.predicted_classes import ClassPrediction
from pinxit.metrics.recognition import RECOGNITION, confusion, estimate
from pinxit.nets.classifier import Pretrained
from pinxit.nets.pretrained import lite0_network
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.recognition import Recognition, fitted_temperature, least_known
from pinxit.recognition.classes import ROWS
from pinxit.recognition.reading import load
from pinxit.training.plan import build_trainer
from pinxit.training.recipes import Recipe
from pinxit.training.train import prepared


@pytest.fixture
def seen() -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities of 300 pictures of 5 classes, one of which has no picture, with some equal ones."""
    rng = torch.Generator().manual_seed(0)
    label = torch.randint(4, (300,), generator=rng)
    logits = torch.randn(300, 5, generator=rng) + 1.5 * torch.nn.functional.one_hot(label, 5)
    return (4 * logits).round().div(4).softmax(1), label


@pytest.mark.filterwarnings("ignore:No positive samples")
def test_metrics_agree_with_torchmetrics(seen: tuple[torch.Tensor, torch.Tensor]) -> None:
    probabilities, label = seen
    have = label.unique()
    areas = oracle.multiclass_auroc(probabilities, label, 5, average="none")
    expected = {
        "accuracy": oracle.multiclass_accuracy(probabilities, label, 5, average="micro"),
        "balanced accuracy": oracle.multiclass_recall(probabilities, label, 5, average="none")[have].mean(),
        "auroc": areas[have].mean(),
        "calibration error": oracle.multiclass_calibration_error(probabilities, label, 5, n_bins=15, norm="l1"),
    }
    assert expected.keys() == RECOGNITION.keys()
    for name, value in expected.items():
        found = estimate(name, probabilities, label)
        assert found.value == pytest.approx(float(value), abs=1e-6), name
        assert found.low < found.value < found.high
    assert torch.equal(confusion(probabilities, label), oracle.multiclass_confusion_matrix(probabilities, label, 5))


def test_metrics_are_perfect_on_the_truth() -> None:
    label = torch.arange(40) % 4
    truth = torch.nn.functional.one_hot(label, 4).float()
    assert [row.measure(truth, label) for row in RECOGNITION.values()] == [1, 1, 1, 0]


def test_temperature_makes_confidence_as_high_as_it_is_right() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 3, generator=rng)
    label = torch.multinomial(logits.softmax(1), 1, generator=rng)[:, 0]
    for sharper in (0.3, 1.0, 4.0):
        assert fitted_temperature(sharper * logits, label) == pytest.approx(sharper, rel=0.05)


def test_few_pictures_that_are_all_recognised_leave_a_doubt() -> None:
    for count in (1, 4, 40):
        label = torch.arange(count) % 2
        logits = 8.0 * torch.nn.functional.one_hot(label, 2) + 1
        sure = (logits / fitted_temperature(logits, label)).softmax(1).amax(1)
        torch.testing.assert_close(sure, torch.full((count,), (count + 1) / (count + 2)), rtol=1e-3, atol=0)


def test_at_most_one_in_twenty_pictures_like_those_held_out_is_unknown() -> None:
    rng = torch.Generator().manual_seed(0)
    new = torch.randn(20_000, 3, generator=rng).logsumexp(1)
    for count in (1, 18, 19, 50, 500):
        limits = torch.tensor([least_known(torch.randn(count, 3, generator=rng)) for _ in range(300)])
        share = float((new[:, None] < limits).float().mean())
        assert share == pytest.approx(int(0.05 * (count + 1)) / (count + 1), abs=0.01), count


def test_small_classes_few_held_out_pictures_and_useless_flags_are_said_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (20, 16, 16), np.uint8)
    np.savez(tmp_path / "set.npz", images=pictures, labels=np.array(["a"] * 18 + ["b", "c"]))
    settings, training = pinxit.ClassifySettings(trained_blocks=2), pinxit.TrainingSettings(steps=1)
    _, found, _ = prepared(settings, str(tmp_path / "set.npz"), None, training)
    told = capsys.readouterr().err
    counts = found.train.counts
    assert sum(counts.values()) == len(found.train)
    for what, count in {"no picture": 0, "a single picture": 1}.items():
        names = ", ".join(name for name in counts if counts[name] == count)
        assert (f"classes with {what} to train on: {names}\n" in told) == bool(names), what
    assert f"only {len(found.held_out)} picture" in told
    assert "recipe small" in told
    assert "--trained-blocks changes nothing: it is of --network lite0" in told


def recogniser(**settings: object) -> Recognition:
    torch.manual_seed(0)
    return Recognition(pinxit.ClassifySettings(**settings), PictureShape(16, 3, 3))


def batch(label: torch.Tensor) -> Batch:
    return Batch(image=torch.rand(len(label), 3, 16, 16), label=label, seed=0, step=0)


def test_balanced_classes_count_alike() -> None:
    objective = recogniser(network="plain", balanced=True)
    rare = batch(torch.tensor([0, 0, 0, 0, 0, 0, 1, 2]))
    for _ in range(1000):
        objective.after_step(rare, {})
    weight = objective.seen.weights()[rare.label]
    sums = torch.zeros(3).index_add_(0, rare.label, weight)
    torch.testing.assert_close(sums, torch.full((3,), 8 / 3), rtol=2e-3, atol=0)


def test_mixed_pictures_have_mixed_losses() -> None:
    objective = recogniser(network="plain", mixup=0.5)
    objective.networks.eval()
    rows = batch(torch.tensor([0, 1, 2, 0]))
    image, share = objective.draw(rows)
    assert share is not None
    torch.testing.assert_close(image[1], share[1] * rows.image[1] + (1 - share[1]) * rows.image[0])
    log = objective.logits(image).log_softmax(1)
    own, other = (log.gather(1, label[:, None])[:, 0] for label in (rows.label, rows.label.roll(1)))
    expected = -(share * own + (1 - share) * other).mean()
    torch.testing.assert_close(objective.loss(rows, (image, share)).terms["cross_entropy"], expected)


def test_trained_blocks_begin_as_the_published_network() -> None:
    image = torch.rand(2, 3, 100, 100)
    expected = lite0_network(torch.device("cpu"))(image).features
    for trained in (0, 2, 16):
        network = Pretrained(PictureShape(100, 3, 3), trained, 0).eval()
        network.adopt()
        torch.testing.assert_close(network.maps(image).mean((2, 3)), expected, rtol=1e-4, atol=1e-4)
        assert len(list(network.parameters())) > 2 if trained else len(list(network.parameters())) == 2


def test_a_head_learns_from_features_that_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "set.npz", images=pictures, labels=np.arange(20) % 2)
    training = pinxit.TrainingSettings(steps=3, batch_size=16, threads=1, precision="float32")
    settings, data = pinxit.ClassifySettings(network="lite0"), pinxit.DataSettings(holdout=0)
    recipe, found, _ = prepared(settings, str(tmp_path / "set.npz"), data, training, recipe="plain")
    read, features = [], Recognition.features
    monkeypatch.setattr(Recognition, "features", lambda known, image: read.append(1) or features(known, image))

    def losses(recipe: Recipe) -> list[float]:
        return [record.values["classifier/cross_entropy"] for record in build_trainer(recipe, found.train)]

    once = losses(recipe)
    assert len(read) == 20
    assert losses(recipe) == once  # from the cache
    assert len(read) == 20
    turned = recipe.changed(data=recipe.data.model_dump(exclude_unset=True) | {"flip": True})
    assert losses(turned) != once
    assert len(read) == 20
    monkeypatch.setattr(Recognition, "frozen", False)
    assert losses(recipe) == pytest.approx(once, rel=1e-4)


def test_predictions_do_not_depend_on_other_pictures(tiny_runs: TinyRuns) -> None:
    known = load(tiny_runs["classify"])
    pictures = list(np.load(tiny_runs.cards)["images"][: ROWS + 3, ..., None])
    together = known.logits(pictures)
    assert torch.equal(together, torch.cat([known.logits([picture]) for picture in pictures]))
    assert known.logits([]).shape == (0, 3)


def test_a_folder_is_predicted_and_a_bad_file_named(
    tiny_runs: TinyRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = np.load(tiny_runs.cards)
    names = [f"{number:02}.png" for number in range(20)]
    (tmp_path / "in").mkdir()
    for name, card in zip(names, cards["images"], strict=False):
        Image.fromarray(card).convert("RGB").save(tmp_path / "in" / name)  # a colour picture for a grey run
    (tmp_path / "in" / "05.png").write_bytes(b"no picture")
    with pytest.raises(SomeFailedError, match="1 of 20 pictures"):
        pinxit.predict(tiny_runs["classify"], tmp_path / "in", out=tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out" / "predictions.csv").open()))
    assert [row["file"] for row in rows] == [name for name in names if name != "05.png"]
    right = [int(row["class"]) == int(Path(row["file"]).stem) % 3 for row in rows]
    assert sum(right) == len(rows)
    assert all(1 / 3 < float(row["confidence"]) <= 1 for row in rows)
    assert (tmp_path / "out" / "sheet.jpg").is_file()
    for folder in ("one", "two"):
        (tmp_path / folder / "in").mkdir(parents=True)
        Image.fromarray(cards["images"][0]).save(tmp_path / folder / "in" / "a.png")
    asked = [tmp_path / "one", tmp_path / "two", tmp_path / "in" / "00.png"]
    rows = pinxit.predict(tiny_runs["classify"], asked, out=tmp_path / "third", recursive=True)
    assert [row.file for row in rows] == ["one/in/a.png", "two/in/a.png", f"{tmp_path.name}/in/00.png"]
    for bad, message in {("05.png",): "05.png: not a picture", ("05.png", "gone.png"): "none of 2 pictures"}.items():
        with pytest.raises(DataError, match=message):
            pinxit.predict(tiny_runs["classify"], [tmp_path / "in" / name for name in bad], out=tmp_path / "other")

    def refused(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", refused)
        with pytest.raises(DiskError, match="permission denied"):
            pinxit.predict(tiny_runs["classify"], tmp_path / "in" / "00.png", out=tmp_path / "locked")
    with pytest.raises(DataError, match="do not recognise"):
        pinxit.predict(tiny_runs["gan"], [str(tmp_path / "in")], out=tmp_path / "other")


def test_any_names_of_classes_are_drawn(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    names = ("$100_$ bills", r"a $\frac$", "two\nlines\x1b", "long " * 40, "猫", "")
    draw_confusion(np.eye(6, dtype=int).tolist(), names, tmp_path / "confusion.png", tmp_path)
    assert (tmp_path / "confusion.png").is_file()
    assert ClassPrediction("a.png", "long " * 40, 0.5, True).caption().startswith("? 50% long")


def test_a_certificate_of_a_classifier(tiny_runs: TinyRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tiny_runs.copy("classify", tmp_path / "run")
    document = pinxit.evaluate(str(run), str(tiny_runs.cards), out=tmp_path / "one.json")
    assert document["scores"]["accuracy"]["value"] == 1
    assert document["scores"]["accuracy"]["rows"][1]["value"] == pytest.approx(1 / 3)
    assert np.array(document["confusion"]).trace() == 60
    assert json.loads((run / "evaluation.json").read_text())["scores"] == document["scores"]
    assert (run / "confusion.png").is_file()
    pinxit.compare(tmp_path / "one.json", tmp_path / "one.json")
    assert any("trained on, so the scores are too good" in remark for remark in document["remarks"])
    cards = np.load(tiny_runs.cards)
    np.savez(tmp_path / "ones.npz", images=cards["images"], labels=np.full(len(cards["labels"]), 1))
    assert run_command(["evaluate", str(run), str(tmp_path / "ones.npz"), "--out", str(tmp_path / "two.json")]) == 0
    told, document = capsys.readouterr().out, json.loads((tmp_path / "two.json").read_text())
    assert told.startswith("60 pictures of ones.npz, recognised by the run run, seed 0")
    assert document["scores"].keys() == RECOGNITION.keys() - {"auroc"}
    assert "all pictures are of one class, which says nothing of: auroc" in document["remarks"]
    with pytest.raises(UsageError, match=r"--sampler: .* makes no pictures"):
        pinxit.evaluate(str(run), str(tiny_runs.cards), sampler="prior")
    with pytest.raises(DataError, match="no labels"):
        pinxit.evaluate(str(run), str(tiny_runs.photos))
