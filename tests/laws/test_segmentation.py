"""Segmentation: losses and metrics against others, windows, masks in every form, and what runs and checks say."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from torchmetrics.functional import classification as oracle

import pinxit
from conftest import TinyRuns, masked_fields
from pinxit.data import ImageSet, open_masked, open_packed
from pinxit.data.check import check
from pinxit.data.masks import names_of
from pinxit.data.render import VOID
from pinxit.data.things import INSIDE_CLASS, THINGS, as_classes, grown
from pinxit.errors import DataError, SomeFailedError, UsageError
from pinxit.evaluation.text import table
from pinxit.exporting import export
from pinxit.losses.segmentation import SEGMENTATION
from pinxit.metrics.masks import MASKS, counted_pixels, estimate
from pinxit.metrics.things import ap50, matched
from pinxit.nets.segmenter import Pretrained, UNet
from pinxit.nets.shapes import PictureShape
from pinxit.objectives.seen import Seen
from pinxit.objectives.segmentation import Segmentation
from pinxit.recognition.masks import HALO, MaskReader, reflected, spans
from pinxit.recognition.reading import load
from pinxit.runtime import session
from pinxit.training.pictures import pictures_of
from pinxit.training.run import Run


def expected_scores(found: np.ndarray, true: np.ndarray, classes: int) -> dict[str, float]:
    """Return the scores of pixels (P,), none void, by torchmetrics; a class without pixels drops."""
    one, other = torch.from_numpy(found).long(), torch.from_numpy(true).long()
    have = other.unique()
    return {
        "iou": float(oracle.multiclass_jaccard_index(one, other, classes, average="none")[have].mean()),
        "iou[micro]": float(oracle.multiclass_jaccard_index(one, other, classes, average="micro")),
        "dice": float(oracle.multiclass_f1_score(one, other, classes, average="none")[have].mean()),
        "pixel accuracy": float((one == other).double().mean()),
    }


def test_metrics_agree_with_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    true = rng.choice([0, 1, 2, 4, VOID], (6, 30, 20))  # no picture has class 3
    found = np.where(rng.random(true.shape) < 0.6, true, rng.integers(0, 5, true.shape)) % 5
    pairs = zip(torch.from_numpy(found), torch.from_numpy(true), strict=True)
    counts = torch.stack([counted_pixels(one, other, 5, VOID) for one, other in pairs])
    expected = expected_scores(found[true != VOID], true[true != VOID], 5)
    assert expected.keys() == MASKS.keys()
    for name, value in expected.items():
        estimated = estimate(name, counts)
        assert estimated.value == pytest.approx(value, abs=1e-6), name
        assert estimated.low < estimated.value < estimated.high
        assert MASKS[name].measure(torch.diag_embed(torch.tensor([[4, 0, 9]]))) == 1


def test_losses_are_those_of_the_papers_and_ignore_void() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 5, 6, generator=rng)
    true = torch.randint(0, 3, (2, 5, 6), generator=rng)  # class 3 is absent
    void = torch.rand(2, 5, 6, generator=rng) < 0.3
    weight = torch.tensor([0.5, 2.0, 1.0, 9.0])
    log, known = logits.log_softmax(1), (~void).float()
    one_hot = F.one_hot(true, 4).movedim(3, 1)[:, :3] * known[:, None]
    probability = log.exp()[:, :3] * known[:, None]
    sums = [one.sum((0, 2, 3)) for one in (probability * one_hot, probability, one_hot)]
    entropy = F.cross_entropy(logits, true.masked_fill(void, VOID), weight, ignore_index=VOID, reduction="none")
    right = log.exp().gather(1, true[:, None])[:, 0]
    expected = {
        "cross-entropy": entropy.sum() / known.sum(),
        "focal": ((1 - right) ** 2 * entropy).sum() / known.sum(),
        "dice": 1 - (2 * sums[0] / (sums[1] + sums[2])).mean(),
    }
    assert expected.keys() == SEGMENTATION.keys()
    for name, value in expected.items():
        torch.testing.assert_close(SEGMENTATION[name].term(log, true, known, weight), value)
        assert SEGMENTATION[name].term(log, true, 0 * known, weight) == 0
        truth = (1e4 * F.one_hot(true, 4).movedim(3, 1)).float().log_softmax(1)
        assert SEGMENTATION[name].term(truth, true, known, weight) == pytest.approx(0, abs=1e-6)


def test_weights_of_classes_are_one_on_average() -> None:
    seen = Seen(3)
    seen.add(torch.tensor([0] * 79 + [1] * 15 + [2] * 3))
    share = torch.tensor([0.80, 0.16, 0.04])
    for power in (0.0, 0.5, 1.0):
        weight = seen.weights(power)
        assert float((weight * share).sum()) == pytest.approx(1)
        torch.testing.assert_close(weight / weight[0], (share[0] / share) ** power)


def test_windows_keep_each_pixel_once_and_far_from_their_edges() -> None:
    for side in (16, 24, 160):
        for length in range(1, 400, 3):
            found = spans(length, side)
            assert [one.first for one in found] == [0, *(one.stop for one in found[:-1])]
            assert found[-1].stop == length
            for one in found:
                assert one.start >= 0
                assert one.start + side <= max(side, length)
                assert one.first == 0 or one.first - one.start >= side // HALO - 1
                assert one.stop == length or one.start + side - one.stop >= side // HALO - 1


def test_small_pictures_go_on_by_reflection() -> None:
    for length in (1, 4, 7):
        expected = np.pad(np.arange(length), (0, 16 - length), "symmetric")
        assert np.array_equal(reflected(0, 16, length), expected)
    assert reflected(5, 16, 40).tolist() == list(range(5, 21))


def test_a_network_of_single_pixels_reads_windows_as_the_whole() -> None:
    class Brightness(Segmentation):
        def logits(self, image: torch.Tensor) -> torch.Tensor:
            assert image.shape == (1, 1, 24, 16)
            return torch.cat([image, 0.5 * torch.ones_like(image), 1 - image], dim=1) * 40

    objective = Brightness(pinxit.SegmentSettings(channels=4), PictureShape("16x24", 1, 3))
    known = MaskReader("bright", objective, ("light", "middle", "dark"), "patch", "")
    rng = np.random.default_rng(0)
    for size in ((24, 16), (100, 90), (5, 70), (30, 3), (1, 1)):
        picture = rng.integers(0, 256, (*size, 1), np.uint8)
        found, sure = known.read(picture)
        image = torch.from_numpy(picture[..., 0]) / 255
        assert np.array_equal(found, torch.stack([image, torch.full_like(image, 0.5), 1 - image]).argmax(0))
        assert 1 / 3 < sure <= 1


def test_networks_take_any_size_and_begin_with_different_features() -> None:
    for network in (UNet(PictureShape(32, 1, 3), 4), Pretrained(PictureShape(32, 1, 3), 8, 2)):
        network.eval()
        for size in ((32, 32), (17, 45)):
            logits = network(torch.rand(2, 1, *size))
            assert logits.shape == (2, 3, *size)
        head = network.head.weight.flatten(1)
        assert torch.linalg.matrix_rank(head) == min(head.shape)  # from zero all features would move alike, for good


def fields(tmp_path: Path, **words: object) -> ImageSet:
    return open_masked(str(tmp_path), 0.2, **words).train


def test_classes_have_names_and_void_ones_keep_their_numbers(tmp_path: Path) -> None:
    masked_fields(tmp_path)
    whole = fields(tmp_path)
    assert whole.classes == ("ground", "red", "green")
    assert fields(tmp_path, void=["green"]).classes == ("ground", "red")
    ignored = fields(tmp_path, void=["1"])
    assert ignored.classes == whole.classes
    assert np.array_equal(
        ignored.companions.mask[0], np.where(whole.companions.mask[0] == 1, VOID, whole.companions.mask[0])
    )
    assert len({one.fingerprint for one in (whole, ignored, fields(tmp_path, void=["green"]))}) == 3
    again = open_packed(ignored.fingerprint, "fields", 0.2).train
    assert again.classes == ignored.classes
    assert np.array_equal(again.companions.mask[0], ignored.companions.mask[0])
    with pytest.raises(UsageError, match="--void gren: no such class; did you mean 'green'"):
        fields(tmp_path, void=["gren"])
    (tmp_path / "classes.txt").write_text("0 ground\n1 red\n")
    with pytest.raises(DataError, match=r"0\d.png: holds class 2, but only 2 classes are named"):
        fields(tmp_path)
    (tmp_path / "classes.txt").unlink()
    assert fields(tmp_path).classes == ("0", "1", "2")
    (tmp_path / "classes.txt").write_text("ground\nred\ngreen\nblue\n")
    assert "1 class without a pixel: blue" in open_masked(str(tmp_path)).notes


def test_masks_in_colours_and_in_folders_are_those_of_numbers(tmp_path: Path) -> None:
    colours = {"ground": [0, 0, 0], "red": [200, 0, 10], "green": [0, 90, 255]}
    for form in ("numbers", "json", "csv", "folders"):
        masked_fields(tmp_path / form)
    for form in ("json", "csv"):
        (tmp_path / form / "classes.txt").unlink()
        for path in (tmp_path / form / "masks").iterdir():
            Image.fromarray(np.array(list(colours.values()), np.uint8)[np.asarray(Image.open(path))]).save(path)
    (tmp_path / "json" / "classes.json").write_text(json.dumps(colours))
    lines = [f"{name}, {', '.join(map(str, colour))}\n" for name, colour in colours.items()]
    (tmp_path / "csv" / "classes.csv").write_text("name, r, g, b\n" + "".join(lines))
    for path in list((tmp_path / "folders" / "masks").iterdir()):
        numbers = np.asarray(Image.open(path))
        path.unlink()
        for number, name in ((1, "red"), (2, "green")):
            (path.parent / name).mkdir(exist_ok=True)
            Image.fromarray(255 * (numbers == number).astype(np.uint8)).save(path.parent / name / path.name)
    expected = fields(tmp_path / "numbers")
    for form in ("json", "csv", "folders"):
        if form == "folders":
            (tmp_path / form / "classes.txt").write_text("background\nred\ngreen\n")
        found = fields(tmp_path / form)
        assert found.classes[1:] == expected.classes[1:], form
        for number in range(len(expected)):
            assert np.array_equal(found.companions.mask[number], expected.companions.mask[number]), form
    (tmp_path / "json" / "classes.json").write_text(json.dumps(colours | {"red": [1, 1, 1]}))
    with pytest.raises(DataError, match=r"00.png: holds the colour \(200, 0, 10\), which is none of the 3 classes"):
        fields(tmp_path / "json")
    (tmp_path / "json" / "classes.json").write_text('{"ground": 3}')
    with pytest.raises(DataError, match="should name 2 to 255 classes"):
        names_of(tmp_path / "json")


def test_a_zip_is_read_as_its_folder(tmp_path: Path) -> None:
    masked_fields(tmp_path / "set" / "fields")
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "set")
    packed = open_masked(str(tmp_path / "packed.zip"), 0).train
    assert packed.classes == ("ground", "red", "green")
    true = np.asarray(Image.open(tmp_path / "set" / "fields" / "masks" / "03.png"))
    assert np.array_equal(packed.companions.mask[3][..., 0], true)


def test_a_run_finds_its_masks_again(tiny_runs: TinyRuns) -> None:
    recipe = Run.open(tiny_runs["segment"]).recipe
    assert recipe.data.classes == ("ground", "red", "green")
    assert pictures_of(recipe.data).train.companions.pixel_classes == 3
    known = load(tiny_runs["segment"])
    assert known.objective.shape == PictureShape("24x16", 3, 3)


def test_a_folder_is_predicted_and_a_bad_file_named(tiny_runs: TinyRuns, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    first = Image.open(tiny_runs.fields / "images" / "00.png")
    first.save(folder / "00.png")
    first.resize((48, 32), Image.Resampling.NEAREST).save(folder / "00.bmp")
    (folder / "01.png").write_bytes(b"no picture")
    with pytest.raises(SomeFailedError, match="1 of 3 pictures"):
        pinxit.predict(tiny_runs["segment"], [str(folder)], out=tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out" / "predictions.csv").open()))
    assert [row["mask"] for row in rows] == ["masks/00.bmp.png", "masks/00.png.png"]
    true = np.asarray(Image.open(tiny_runs.fields / "masks" / "00.png"))
    for row, size in zip(rows, ((48, 32), (24, 16)), strict=True):
        mask = Image.open(tmp_path / "out" / row["mask"])
        assert (mask.mode, mask.size) == ("P", size)
        numbers = np.asarray(mask)
        assert (numbers[:: size[1] // 16, :: size[1] // 16] == true).mean() > 0.9
        shares = [float(row[name]) for name in ("ground", "red", "green")]
        assert shares == pytest.approx(np.bincount(numbers.ravel(), minlength=3) / numbers.size, abs=1e-6)
        assert 1 / 3 < float(row["confidence"]) <= 1
    assert (tmp_path / "out" / "sheet.jpg").is_file()
    (tmp_path / "other" / "masks").mkdir(parents=True)
    with pytest.raises(UsageError, match="masks exists; -y replaces it"):
        pinxit.predict(tiny_runs["segment"], [str(folder)], out=tmp_path / "other")
    with pytest.raises(DataError, match="whose models tell the class of a picture"):
        pinxit.explain(tiny_runs["segment"], [str(folder)], out=tmp_path / "why")


def test_a_certificate_of_a_segmenter(tiny_runs: TinyRuns, tmp_path: Path) -> None:
    run = tiny_runs.copy("segment", tmp_path / "run")
    masked_fields(tmp_path / "fields", 4)
    (tmp_path / "fields" / "classes.txt").write_text("ground\nred\nsky\n")  # green has another name, so it is void
    document = pinxit.evaluate(str(run), str(tmp_path / "fields"), out=tmp_path / "one.json")
    pinxit.predict(run, [str(tmp_path / "fields" / "images")], out=tmp_path / "out")
    true, found = (
        np.stack([np.asarray(Image.open(folder / f"0{number}.png")) for number in range(4)])
        for folder in (tmp_path / "fields" / "masks", tmp_path / "out" / "masks")
    )
    known = true < 2
    scores = document["scores"]
    for name, value in expected_scores(found[known], true[known], 3).items():
        assert scores[name]["value"] == pytest.approx(value, abs=1e-6), name
    assert scores["pixel accuracy"]["rows"][1]["value"] == pytest.approx((true[known] == 0).mean())
    assert scores["iou"]["n"] == 4
    assert [row["iou"] is None for row in document["classes"]] == [False, False, True]
    assert np.array(document["confusion"]).sum() == known.sum()
    assert "1 class: green; no picture has them, so they are left out of means over classes" in document["remarks"]
    assert any(one.startswith("1 class: sky; run does not know them") for one in document["remarks"])
    assert (run / "confusion.png").is_file()
    lines = [line.split() for line in table(document)]
    assert ["class", "pixels", "iou", "dice"] in lines
    assert ["green", "0", "none", "none"] in lines
    pinxit.compare(tmp_path / "one.json", tmp_path / "one.json")
    with pytest.raises(DataError, match="no masks"):
        pinxit.evaluate(str(run), str(tiny_runs.photos))


def test_an_exported_segmenter_gives_probabilities(tiny_runs: TinyRuns, tmp_path: Path) -> None:
    known, file = load(tiny_runs["segment"]), tmp_path / "fields.onnx"
    export(tiny_runs["segment"], file)
    picture = np.asarray(Image.open(tiny_runs.fields / "images" / "00.png"))
    (found,) = session(file).run(None, {"image": known.fitted(picture)[None].movedim(1, 3).numpy()})
    torch.testing.assert_close(
        torch.from_numpy(found[0]).movedim(2, 0), known.probabilities(picture), atol=1e-4, rtol=0
    )
    assert np.array_equal(found[0].argmax(2), known.read(picture)[0])


def touching() -> np.ndarray:
    """Numbers of things: discs that touch, one of two pixels, and one at the edge of the picture."""
    numbers = np.zeros((40, 60), np.int64)
    rows, columns = np.mgrid[:40, :60]
    for number, (row, column, radius) in enumerate([(12, 14, 9), (12, 31, 8), (30, 22, 9), (38, 55, 7)], 1):
        numbers[((rows - row) ** 2 + (columns - column) ** 2 <= radius**2) & (numbers == 0)] = 90 * number
    numbers[2, 50:52] = 7
    return numbers


def test_things_are_classes_and_grow_back() -> None:
    numbers = touching()
    classes = as_classes(numbers)
    assert np.array_equal(classes > 0, numbers > 0)
    again = grown(classes)
    assert again.max() == 4  # all but that of two pixels
    assert (again > 0).sum() == (numbers > 7).sum()
    for number in (90, 180, 270, 360):
        _, count = np.unique(again[numbers == number], return_counts=True)
        assert count.max() / count.sum() > 0.98
    assert matched(again, numbers).tolist() == [4, 4, 5]
    assert ap50(matched(again, numbers)[None]) == 4 / 5
    assert grown(np.zeros((5, 5), np.uint8)).max() == 0
    small = as_classes(np.pad(np.ones((4, 4), np.int64), 2))
    assert np.array_equal(small == INSIDE_CLASS, np.pad(np.ones((2, 2), bool), 3))  # at a width of 2 nothing would be


def test_right_things_have_more_than_half_in_common() -> None:
    true = np.repeat([1, 2, 3, 0], 6)[None].repeat(4, 0)
    for shift, right in ((0, 3), (1, 3), (2, 0), (3, 0)):  # 5 of 7 in common, then 4 of 8
        found = np.roll(true, shift, axis=1)
        assert matched(found, true).tolist() == [right, 3, 3], shift
    assert matched(0 * true, true).tolist() == [0, 0, 3]
    assert ap50(torch.zeros(2, 3, dtype=torch.int64)) == 1


def test_things_are_learned_counted_and_scored(tmp_path: Path, no_report: None) -> None:
    for name in ("images", "masks"):
        (tmp_path / "cells" / name).mkdir(parents=True)
    for number in range(6):
        numbers = np.roll(touching(), 3 * number, axis=1)
        Image.fromarray(np.where(numbers, 200, 20).astype(np.uint8)).save(
            tmp_path / "cells" / "images" / f"{number}.png"
        )
        Image.fromarray(numbers.astype(np.uint16)).save(tmp_path / "cells" / "masks" / f"{number}.png")
    how = pinxit.TrainingSettings(steps=2, batch_size=2, threads=1, device="cpu", precision="float32")
    data = pinxit.SegmentSettings.pictures(size="32x24", instances=True, holdout=0.5)
    run = pinxit.train(pinxit.SegmentSettings(channels=4), tmp_path / "cells", tmp_path / "run", data, how)
    assert run.recipe.data.classes == THINGS
    assert pictures_of(run.recipe.data).train.fingerprint == run.recipe.data.fingerprint
    document = pinxit.evaluate(str(run.folder), out=tmp_path / "one.json")
    assert 0 <= document["scores"]["ap50"]["value"] <= 1
    done = pinxit.predict(run.folder, [str(tmp_path / "cells" / "images")], out=tmp_path / "out")
    assert [row.things for row in done] == [
        np.asarray(Image.open(tmp_path / "out" / "instances" / f"{number}.png")).max() for number in range(6)
    ]


def test_a_set_without_names_is_scored_by_number(tiny_runs: TinyRuns, tmp_path: Path) -> None:
    run = tiny_runs.copy("segment", tmp_path / "run")
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["data"] |= {"void": ["sky"]}
    (run / "recipe.json").write_text(json.dumps(recipe))
    masked_fields(tmp_path / "fields", 4)
    named = pinxit.evaluate(str(run), str(tmp_path / "fields"), out=tmp_path / "one.json")
    (tmp_path / "fields" / "classes.txt").unlink()
    numbered = pinxit.evaluate(str(run), str(tmp_path / "fields"), out=tmp_path / "other.json")
    assert numbered["confusion"] == named["confusion"]


def findings(folder: Path) -> dict[str, tuple[str, ...]]:
    return {one.kind: one.names for one in check(str(folder)).findings}


def test_the_check_says_what_is_wrong_with_masks(tmp_path: Path) -> None:
    masked_fields(tmp_path / "good", 40)
    assert not {kind for kind in findings(tmp_path / "good") if "mask" in kind or "class" in kind}
    masked_fields(tmp_path / "bad", 12)
    images, masks = tmp_path / "bad" / "images", tmp_path / "bad" / "masks"
    (tmp_path / "bad" / "classes.txt").write_text("ground\nred\ngreen\nrare\nnothing\n")
    (masks / "00.png").rename(masks / "zero.png")
    Image.open(masks / "01.png").resize((12, 8)).save(masks / "01.png")
    turned = Image.Exif()
    turned[274] = 6
    Image.open(images / "02.png").save(images / "02.png", exif=turned)
    Image.fromarray(np.full((16, 24, 3), 9, np.uint8)).save(masks / "03.png")
    rare = np.array(Image.open(masks / "04.png"))
    rare[0, 0] = 3
    Image.fromarray(rare).save(masks / "04.png")
    found = findings(tmp_path / "bad")
    assert set(found["misnamed masks"]) == {"zero.png", "00.png"}
    assert found["mask sizes"] == ("01.png",)
    assert found["unturned masks"] == ("02.png",)
    assert "03.png: a mask must be grey" in found["unreadable masks"][0]
    assert found["rare classes"] == ("rare in 1",)
    assert found["empty classes"] == ("nothing",)
    assert found["classes not held out"] == ("rare",)
    for number, path in enumerate(sorted(masks.glob("*.png"))):
        Image.fromarray(255 * np.eye(16, 24, number, np.uint8)).save(path)
    assert "masks of 0 and 255" in findings(tmp_path / "bad")
    Image.fromarray(np.arange(16 * 24, dtype=np.uint16).reshape(16, 24).astype(np.uint8)).save(masks / "05.png")
    assert findings(tmp_path / "bad")["soft masks"] == ("05.png",)
