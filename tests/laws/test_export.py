"""Laws of export: a file computes what PyTorch does at any size, in tiles as whole, with or without torch beside it."""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from skimage import data
from test_enhance import untrained_curve
from test_one_pass import untrained_style
from test_restore_edits import PHOTO, untrained

import pinxit
from conftest import TinyRuns
from pinxit import runtime
from pinxit.cli import run
from pinxit.edits import EDITS
from pinxit.edits.engine import edit_picture
from pinxit.edits.settings import Denoise, Enhance, Restore, Stylize
from pinxit.errors import DataError, MemoryLimitError, UsageError
from pinxit.hardware import Hardware
from pinxit.images import Picture
from pinxit.models import SHIPPED
from pinxit.nets import bridge
from pinxit.nets.shapes import PictureShape
from pinxit.nets.stylizer import WIDTHS, StyleDecoder, TransformNet
from pinxit.recognition import reading

onnx = pytest.importorskip("onnx", reason="the extra pinxit[export] is not installed")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from pinxit import exporting  # noqa: E402  (only where it can be used)

CASES: dict[str, dict[str, object]] = {
    "told": {"told": 0.5, "levels": 1},
    "enlarging": {"degrade": "downscale(scale=2)", "levels": 1},
    "filling": {"degrade": "boxes", "network": "nafnet", "levels": 1},
    "grey": {"channels": 1, "levels": 1},
}
STYLES = ("one", "any")
NOT_EXPORTED = ("person", "colour")
"""Networks that are no pictures to pictures: docs/export.md."""
LONG = ("any",)
"""The frozen encoder, which reads picture and style, takes the exporter half a minute; it cannot be narrower."""
NARROW = {TransformNet.__init__: (WIDTHS, 1), StyleDecoder.__init__: (WIDTHS, (1, 1, 1), 16)}
"""Defaults of networks with a block a level, so that they are traced in seconds."""


def some(cases: Collection[str]) -> list[object]:
    """The cases, of which the long ones are left to `make test-all`."""
    return [pytest.param(case, marks=pytest.mark.slow if case in LONG else ()) for case in cases]


EVERY_CASE = pytest.mark.parametrize("case", some(CASES))
EVERY_STYLE = pytest.mark.parametrize("case", some(STYLES))
TOLERANCE = 1e-5
STYLE = data.coffee()[60:141, 200:307].astype(np.float32) / 255
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()  # with the second in which it was made
TRACED: dict[str, bytes] = {}


@pytest.fixture(autouse=True)
def _shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trace networks and bridges of few steps; what ships is as deep as it is."""
    for build, defaults in NARROW.items():
        monkeypatch.setattr(build, "__defaults__", defaults)
    for name in ("MEMBRANE", "PLATE"):
        monkeypatch.setattr(bridge, name, (1, *getattr(bridge, name)[1:]))


@pytest.fixture(autouse=True)
def _traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trace the same weights once: it takes seconds, and the same is written of it."""
    trace = exporting._traced

    def once(portable: exporting.Portable) -> onnx.ModelProto:
        weights = portable.metadata["weights"]
        if weights not in TRACED:
            TRACED[weights] = trace(portable).SerializeToString()
        return onnx.load_from_string(TRACED[weights])

    monkeypatch.setattr(exporting, "_traced", once)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """Return the weights of a case, untrained, and the file exported from them, made once."""
    place, made = tmp_path_factory.mktemp("exported"), {}

    def file(case: str) -> tuple[Path, Path]:
        if case not in made:
            weights = place / f"{case}.safetensors"
            if case in STYLES:
                untrained_style(weights, case)
            else:
                given = dict(CASES[case])
                untrained(weights, int(given.pop("channels", 3)), **given)
            exporting.export(weights, place / f"{case}.onnx")
            made[case] = weights, place / f"{case}.onnx"
        return made[case]

    return file


def holes_of(case: str, size: tuple[int, int]) -> np.ndarray | None:
    if case != "filling":
        return None
    holes = np.zeros(size, np.float32)
    holes[size[0] // 3 :, : size[1] // 2 + 1] = 1
    return holes


@EVERY_CASE
@pytest.mark.parametrize("size", [(1, 1), (2, 31), (33, 40)])
def test_a_file_computes_what_pytorch_does_at_any_size(files, case: str, size: tuple[int, int]) -> None:
    weights, file = files(case)
    model = runtime.Model(file)
    image, holes = np.random.default_rng(0).random((*size, model.channels), np.float32), holes_of(case, size)
    told = {"sigma": 0.2} if case == "told" else {}
    made = model.run(image, holes, told)
    given = {"image": torch.from_numpy(image)[None]}
    given |= {"mask": torch.from_numpy(holes)[None, ..., None]} if holes is not None else {}
    given |= {name: torch.tensor(value) for name, value in told.items()}
    with torch.no_grad():
        expected = exporting.portable_of(weights, [exporting.synthetic((8, 8), 0)]).network(**given)[0].numpy()
    assert made.shape == (size[0] * model.scale, size[1] * model.scale, model.channels)
    np.testing.assert_allclose(made, expected, atol=TOLERANCE if holes is None else 10 * TOLERANCE)  # bridges round
    if told:
        assert np.abs(made - model.run(image, holes)).max() > 10 * TOLERANCE
    if holes is not None:
        np.testing.assert_array_equal(made[holes == 0], image[holes == 0])


@EVERY_CASE
def test_tiles_give_what_the_whole_gives(files, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, weights = runtime.Model(files(case)[1]), holes_of(case, PHOTO.shape[:2])
    whole = model.edited(PHOTO, weights)
    if case == "filling":
        with pytest.raises(runtime.RefusedError, match="needs a --mask"):
            model.check(())
    monkeypatch.setattr(runtime, "SIDE", 16)
    monkeypatch.setattr(runtime, "HALOS", 0)
    tiled = model.edited(PHOTO, weights)
    assert len(list(model._tiles(len(PHOTO)))) > 1
    assert np.abs(tiled.astype(int) - whole).max() <= 1  # a value between two numbers may round to either
    assert (tiled != whole).mean() < 1e-3


@EVERY_CASE
def test_the_editor_runs_a_file_in_the_networks_place(files, case: str) -> None:
    model, weights = runtime.Model(files(case)[1]), holes_of(case, PHOTO.shape[:2])
    edited = edit_picture(Picture(PHOTO), [Restore(model=files(case)[1])], weights).pixels
    assert np.abs(edited.astype(int) - model.edited(PHOTO, weights)).max() <= 1
    limited = edit_picture(Picture(PHOTO), [Restore(model=files(case)[1])], weights, memory=10**9).pixels
    assert np.abs(edited.astype(int) - limited).max() <= 1


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_smaller_files_are_near_and_smaller(files, precision: str, tmp_path: Path) -> None:
    weights, whole = files("enlarging")
    told = exporting.export(weights, tmp_path / "small.onnx", precision=precision)
    kinds = {tensor.data_type for tensor in onnx.load(tmp_path / "small.onnx").graph.initializer}
    assert {"fp16": onnx.TensorProto.FLOAT16, "int8": onnx.TensorProto.INT8}[precision] in kinds
    assert 0 < told["largest_difference"] < 0.1
    assert runtime.Model(tmp_path / "small.onnx").metadata["precision"] == precision
    assert runtime.Model(whole).metadata["precision"] == "float32"


@pytest.mark.slow  # ten seconds each
@pytest.mark.parametrize("name", [name for name in SHIPPED if not name.startswith(NOT_EXPORTED)])
def test_what_ships_is_the_same_within_a_thousandth(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics of whole pictures are the harder the larger these are."""
    monkeypatch.undo()
    Image.fromarray(data.chelsea() if name.startswith("style") else PHOTO).save(tmp_path / "photo.png")
    told = exporting.export(name, tmp_path / "model.onnx", pictures=[tmp_path / "photo.png"])
    assert told["largest_difference"] <= 1e-3
    assert told["metadata"]["weights"] == SHIPPED[name]
    assert told["metadata"]["licence"] == "Apache-2.0"
    model = runtime.Model(tmp_path / "model.onnx")
    holes = holes_of("filling", PHOTO.shape[:2]) if "mask" in model.inputs else None
    assert model.edited(PHOTO, holes, {"style": STYLE}).shape[2] == 3


@EVERY_STYLE
@pytest.mark.parametrize("size", [(1, 1), (2, 31), (40, 64)])
def test_a_file_paints_what_pytorch_does_at_any_size(files, case: str, size: tuple[int, int]) -> None:
    weights, file = files(case)
    model = runtime.Model(file)
    assert (model.radius, model.scale) == (None, 1)
    image = np.random.default_rng(0).random((*size, 3), np.float32)
    told = {"style": STYLE, "strength": 0.3} if case == "any" else {}
    given = {name: torch.as_tensor(value) for name, value in told.items()}
    given = {name: value[None] if value.ndim else value for name, value in given.items()}
    with torch.no_grad():
        network = exporting.portable_of(weights, [exporting.synthetic((8, 8), 0)]).network
        expected = network(image=torch.from_numpy(image)[None], **given)[0].numpy()
    np.testing.assert_allclose(model.run(image, None, told), expected, atol=10 * TOLERANCE)
    if told:
        assert np.abs(model.run(image, None, {"style": STYLE}) - expected).max() > 100 * TOLERANCE


@EVERY_STYLE
@pytest.mark.parametrize("kept", [False, True])
def test_an_edit_paints_by_a_file_as_by_torch(
    files, case: str, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hardware, "autocast", lambda hardware: nullcontext())
    Image.fromarray((STYLE * 255).astype(np.uint8)).save(tmp_path / "style.png")
    style = {"style": tmp_path / "style.png"} if case == "any" else {}
    mask = np.zeros(PHOTO.shape[:2], np.float32)
    mask[10:50, 20:60] = 0.5
    for pixels in (PHOTO.astype(np.float32) / 255, PHOTO[..., :1].astype(np.float32) / 255):
        by_torch, by_file = (
            edit_picture(Picture(pixels), [Stylize(model=model, keep_colours=kept, **style)], mask, strength=0.7).pixels
            for model in files(case)
        )
        np.testing.assert_allclose(by_file, by_torch, atol=1e-3)
        np.testing.assert_array_equal(by_file[mask == 0], pixels[mask == 0])
        assert np.abs(by_file - pixels).max() > 0.01


def test_who_needs_a_style_and_who_does_not(files, tmp_path: Path) -> None:
    file, photo = files("one")[1], tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(photo)
    done = alone(file, photo, "-o", tmp_path / "painted.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert np.abs(np.asarray(Image.open(tmp_path / "painted.png")) - 1.0 * PHOTO).mean() > 1
    for words in (["--style", photo], ["--strength", 0.5]):
        with pytest.raises(runtime.RefusedError, match=words[0]) as error:
            runtime.run([str(word) for word in (file, photo, "-o", tmp_path / "out.png", *words)])
        assert error.value.exit_code == 2
    restored, painted = (edit_picture(Picture(PHOTO), [kind(model=file)]).pixels for kind in (Restore, Stylize))
    np.testing.assert_array_equal(restored, painted)
    with pytest.raises(UsageError, match="one style"):
        Stylize(model=file, style=photo).bind()
    with pytest.raises(UsageError, match="not of `pinxit train style`"):
        Stylize(model=files("told")[1]).bind()
    with pytest.raises(UsageError, match="not of `pinxit train enhance`"):
        Enhance(model=file).bind()


@pytest.mark.slow
def test_any_style_is_painted_without_torch_as_with_it(files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hardware, "autocast", lambda hardware: nullcontext())
    assert Stylize(quick=True).strokes == runtime.STROKES
    (weights, file), photo, style, out = files("any"), *(tmp_path / f"{name}.png" for name in ("photo", "style", "out"))
    Image.fromarray(PHOTO).save(photo)
    Image.fromarray(data.coffee()).save(style)  # so large that it is made smaller
    edited = edit_picture(Picture(PHOTO), [Stylize(model=weights, style=style)], strength=0.6).pixels
    done = alone(file, photo, "--style", style, "--strength", 0.6, "-o", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert np.abs(np.asarray(Image.open(out)).astype(int) - edited).max() <= 1
    assert alone(file, photo, "--style", style, "--strength", 0, "-o", out, "-y").returncode == 0
    np.testing.assert_array_equal(np.asarray(Image.open(out)), PHOTO)
    assert alone(file, photo, "-o", tmp_path / "none.png").returncode == 2
    with pytest.raises(UsageError, match="no style is given"):
        Stylize(model=file).bind()
    with pytest.raises(UsageError, match="one style"):
        Stylize(model=file, style=(photo, style)).bind()
    with pytest.raises(UsageError, match="`pinxit edit stylize` runs it"):
        Restore(model=file).bind()


def test_what_must_be_run_whole_and_takes_too_much_is_refused(files, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the runtime by the memory of the machine, in an edit by the limit that is asked for."""
    model = runtime.Model(files("one")[1])
    needed = model.bytes_per_pixel * PHOTO.shape[0] * PHOTO.shape[1]
    monkeypatch.setattr(runtime, "memory", lambda: needed - 1)
    with pytest.raises(runtime.RefusedError, match="GB") as error:
        model.edited(PHOTO)
    assert error.value.exit_code == 5
    assert runtime.Model(files("told")[1]).edited(PHOTO).shape == PHOTO.shape
    monkeypatch.setattr(runtime, "memory", lambda: needed)
    assert model.edited(PHOTO).shape == PHOTO.shape
    edit = Stylize(model=files("one")[1])
    with pytest.raises(MemoryLimitError, match="whole picture"):
        edit_picture(Picture(PHOTO), [edit], memory=needed)
    edit_picture(Picture(PHOTO), [edit], memory=needed + 4 * PHOTO.nbytes)


@EVERY_STYLE
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="nothing here tells the most memory a process held")
def test_a_whole_picture_takes_no_more_memory_than_is_said(files, case: str) -> None:
    file, side = files(case)[1], 1024
    code = (
        "import re, numpy as np; from pathlib import Path; from pinxit.runtime import Model\n"
        "def held(): return 1024 * int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        f"model, image = Model(Path({str(file)!r})), np.full(({side}, {side}, 3), 0.5, np.float32)\n"
        "before = held(); model.run(image, None, {'style': image}); print(held() - before, model.bytes_per_pixel)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    held, said = map(int, done.stdout.split())
    assert 0.5 * said < held / side**2 <= said


RUNTIMES = {
    "restore": "told",
    "denoise": "told",
    "deblur": "told",
    "dejpeg": "told",
    "upscale": "enlarging",
    "inpaint": "filling",
    "erase": "filling",
    "outpaint": "filling",
    "enhance": "",
    "stylize": "one",
}
MORE: dict[str, dict[str, object]] = {
    "denoise": {"sigma": 0.2},
    "upscale": {"fidelity": 0.5},
    "outpaint": {"pixels": 3},
    "enhance": {"denoise": False},
}
ELSEWHERE = ("translate",)
"""Edits whose own tests compare both: tests/laws/test_translate.py."""
WITH_A_NETWORK = [name for name, kind in EDITS.items() if "runtime" in kind.model_fields and name not in ELSEWHERE]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if RUNTIMES[name] in LONG else ()) for name in WITH_A_NETWORK]
)
def test_an_edit_by_onnxruntime_is_that_by_torch(
    name: str, files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The network is exported once, into the cache folder, and what is told of it is one line."""
    monkeypatch.setenv("PINXIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Hardware, "autocast", lambda hardware: nullcontext())
    model = files(RUNTIMES[name])[0] if RUNTIMES[name] else untrained_curve(tmp_path / "curve.safetensors")
    pixels = PHOTO.astype(np.float32) / 255
    mask = holes_of("filling", PHOTO.shape[:2]) if name in ("inpaint", "erase") else None
    settings = {"model": model, **MORE.get(name, {})}
    by_torch, by_onnx, again = (
        edit_picture(Picture(pixels), [EDITS[name].parse(settings | {"runtime": runtime})], mask).pixels
        for runtime in ("torch", "onnx", "onnx")
    )
    np.testing.assert_allclose(by_onnx, by_torch, atol=1e-3)
    np.testing.assert_array_equal(again, by_onnx)
    assert by_onnx.shape != pixels.shape or np.abs(by_onnx - pixels).max() > 1e-3
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if "exported" in line] == [line for line in told if str(tmp_path / "cache") in line]
    assert len([line for line in told if "exported" in line]) == len(list((tmp_path / "cache").rglob("*.onnx"))) == 1
    assert len([line for line in told if "run by onnxruntime" in line]) == 2


def test_a_recipe_says_what_ran_the_network_and_the_rest_is_refused_in_a_line(
    files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PINXIT_CACHE", str(tmp_path / "cache"))
    weights = files("told")[0]
    Image.fromarray(PHOTO).save(tmp_path / "in.png")
    one = [str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png")]
    assert run(["edit", "denoise", "--model", str(weights), "--runtime", "onnx", *one]) == 0
    shutil.copy(weights, tmp_path)
    shutil.rmtree(tmp_path / "cache")
    capsys.readouterr()
    assert run(["redo", str(tmp_path / "out.png")]) == 0
    told = capsys.readouterr().err
    assert "the same bytes as before" in told
    assert "run by onnxruntime" in told
    for words in (["adjust", "--runtime", "onnx"], ["stylize", "--style", one[0], "--runtime", "onnx"]):
        assert run(["edit", *words, *one, "-y"]) == 2
        [said] = [row for row in capsys.readouterr().err.splitlines() if row.startswith("pinxit: ")]
        assert "--runtime" in said
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"onnx is missing.*pinxit\[export\]"):
        Denoise(model=tmp_path / weights.name, runtime="onnx").bind()


def test_the_curve_for_the_whole_picture_is_in_the_file(tmp_path: Path) -> None:
    objective = pinxit.EnhancementSettings(width=8).build(PictureShape(32, 3))
    objective.networks["curve"].layers.last.weight.data.normal_(0, 0.05)
    portable = exporting.Portable(
        exporting.lightening(objective),
        [{"image": torch.rand(1, 40, 90, 3) / 4}],
        {"image": (0, 1, 2)},
        {"weights": "x"},
    )
    (tmp_path / "light.onnx").write_bytes(exporting._described(exporting._traced(portable), portable))
    for size in ((5, 7), (64, 64), (131, 300)):
        portable.trials[:] = [{"image": torch.rand(1, *size, 3) / 4}]
        [found] = exporting.compared(tmp_path / "light.onnx", portable)
        assert found["largest_difference"] <= TOLERANCE, size


GENERATORS = {
    "gan": pinxit.GANSettings(channels=4, latent=6, network="dcgan", enlarge="bilinear", attention=8, conditional=True),
    "style": pinxit.GANSettings(channels=4, latent=6, network="style"),
    "vae": pinxit.VAESettings(channels=4, latent=6, network="dense"),
    "vq": pinxit.VQVAESettings(channels=4, codes=8, dimensions=4),
}


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("name", GENERATORS)
def test_generators_draw_the_same_pictures_of_latents(name: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "pictures.npz", images=images, labels=np.arange(8) % 2)
    training = pinxit.TrainingSettings(steps=2, batch_size=4, threads=1)
    data = pinxit.DataSettings(size="24x16")
    pinxit.train(GENERATORS[name], tmp_path / "pictures.npz", tmp_path / "run", data=data, training=training)
    told = exporting.export(tmp_path / "run", tmp_path / "model.onnx")
    assert told["inputs"][0]["size"] == [16, 24]
    assert told["largest_difference"] <= TOLERANCE
    [node, *others] = runtime.session(tmp_path / "model.onnx").get_inputs()
    assert (node.name, [other.name for other in others]) == ("latent", ["label"] if name == "gan" else [])
    with pytest.raises(runtime.RefusedError, match="latent") as error:
        runtime.Model(tmp_path / "model.onnx")
    assert error.value.exit_code == 2


def test_a_classifier_gives_the_same_probabilities(tiny_runs: TinyRuns, tmp_path: Path) -> None:
    run_folder, file = tiny_runs["classify"], tmp_path / "cards.onnx"
    exporting.export(run_folder, file)
    known, cards = reading.load(run_folder), np.load(tiny_runs.cards)["images"][:5, ..., None]
    session = runtime.session(file)
    (made,) = session.run(["probabilities"], {"image": cards.astype(np.float32) / 255})
    np.testing.assert_allclose(made, known.probabilities(known.logits(cards)).numpy(), atol=1e-5)
    about = session.get_modelmeta().custom_metadata_map
    assert (json.loads(about["classes"]), about["size"], about["fit"]) == (["0", "1", "2"], "16", "crop")
    with pytest.raises(runtime.RefusedError, match="tells the classes"):
        runtime.Model(file)


def test_a_classifier_of_8_bits_is_measured_on_its_own_pictures(
    tiny_runs: TinyRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "CALIBRATED_SIDE", 8)  # less than its own side, which is not free
    said = exporting.export(tiny_runs["classify"], tmp_path / "cards.onnx", precision="int8")
    known = reading.load(tiny_runs["classify"])
    held_out = [Path(name).stem for name in pinxit.data.open_data(str(tiny_runs.cards)).held_out.names]
    cards = np.load(tiny_runs.cards)["images"][[int(name) for name in held_out], ..., None]
    (made,) = runtime.session(tmp_path / "cards.onnx").run(None, {"image": cards.astype(np.float32) / 255})
    true = known.probabilities(known.logits(cards)).numpy()
    assert len(said["inputs"]) == len(exporting.SIZES) + min(exporting.OWN, len(cards))
    assert np.abs(made - true).max() <= said["largest_difference"] + 1e-5


def test_nothing_is_written_that_departs_from_pytorch(files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(model: onnx.ModelProto, portable: exporting.Portable) -> onnx.ModelProto:
        for tensor in model.graph.initializer:
            if tensor.name.endswith("last.weight"):
                tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) + 0.01, tensor.name))
        return model

    monkeypatch.setitem(exporting.PRECISIONS, "float32", other)
    with pytest.raises(exporting.OurFaultError, match="differs"):
        exporting.export(files("enlarging")[0], tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_tells_nothing_of_the_machine_that_made_it(files) -> None:
    content = files("told")[1].read_bytes()
    for secret in (str(Path(pinxit.__file__).parent), str(Path.home()), sys.prefix, "stack_trace"):
        assert secret.encode() not in content


def alone(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the runtime where nothing but what it may use can be imported."""
    code = (
        "import runpy, sys\n"
        "barred = ('torch', 'scipy', 'pydantic', 'onnx', 'safetensors', 'cyclopts', 'rich', 'matplotlib')\n"
        "sys.modules.update(dict.fromkeys(barred))\n"
        "try:\n    runpy.run_module('pinxit.runtime', run_name='__main__', alter_sys=True)\n"
        "finally:\n"
        "    others = [name for name in sys.modules if name.startswith('pinxit.') and name != 'pinxit.runtime']\n"
        "    assert not others, others\n"
    )
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False)


def test_the_runtime_needs_no_torch_and_nothing_else_of_pinxit(files, tmp_path: Path) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "in.png", icc_profile=PROFILE)
    done = alone(files("enlarging")[1], tmp_path / "in.png", "-o", tmp_path / "out.png")
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(tmp_path / "out.png") as image:
        np.testing.assert_array_equal(np.asarray(image), runtime.Model(files("enlarging")[1]).edited(PHOTO))
        assert image.info["icc_profile"] == PROFILE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", "out.png"]


def through(file: Path, image: Image.Image, tmp_path: Path, **saved: object) -> Image.Image:
    image.save(tmp_path / "given.png", **saved)
    runtime.run([str(file), str(tmp_path / "given.png"), "-o", str(tmp_path / "made.png"), "-y"])
    return Image.open(tmp_path / "made.png")


def test_depth_alpha_grey_and_orientation_are_kept(files, tmp_path: Path) -> None:
    file = files("enlarging")[1]
    high, wide = PHOTO.shape[:2]
    deep = through(file, Image.fromarray(PHOTO[..., 0].astype(np.uint16) * 257), tmp_path)
    assert (deep.mode, deep.size) == ("I;16", (2 * wide, 2 * high))
    assert len(np.unique(np.asarray(deep))) > 256
    alpha = np.full((high, wide), 255, np.uint8)
    alpha[:20] = 0
    seen = np.dstack([PHOTO, alpha])
    unseen = seen.copy()
    unseen[:20, :, :3] = np.random.default_rng(0).integers(0, 256, (20, wide, 3))
    made, other = (np.asarray(through(file, Image.fromarray(pixels), tmp_path)) for pixels in (seen, unseen))
    assert made.shape == (2 * high, 2 * wide, 4)
    np.testing.assert_array_equal(made[made[..., 3] > 0], other[other[..., 3] > 0])
    assert through(file, Image.fromarray(PHOTO).convert("LA"), tmp_path).mode == "LA"
    assert through(file, Image.fromarray(PHOTO).convert("L"), tmp_path).mode == "L"
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = through(file, Image.fromarray(PHOTO), tmp_path, exif=exif)
    assert turned.size == (2 * high, 2 * wide)
    assert not turned.getexif().get(0x0112)


def test_what_cannot_be_is_one_line_with_its_code(files, tmp_path: Path) -> None:
    model, photo, out = files("told")[1], tmp_path / "photo.png", tmp_path / "out.png"
    Image.fromarray(PHOTO).save(photo)
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "text.onnx").write_text("not a model")
    Image.fromarray(PHOTO).save(tmp_path / "moves.gif", save_all=True, append_images=[Image.fromarray(255 - PHOTO)])
    graph = onnx.load(model)
    del graph.metadata_props[:]
    onnx.save(graph, tmp_path / "bare.onnx")
    graph = onnx.load(model)
    next(entry for entry in graph.metadata_props if entry.key == "radius").value = "-9"
    onnx.save(graph, tmp_path / "odd.onnx")
    graph = onnx.load(model)
    next(entry for entry in graph.metadata_props if entry.key == "scale").value = "3"
    onnx.save(graph, tmp_path / "lies.onnx")
    cases = {
        (model, tmp_path / "none.png", "-o", out): 3,
        (model, tmp_path / "text.png", "-o", out): 3,
        (model, tmp_path / "moves.gif", "-o", out): 3,
        (tmp_path / "none.onnx", photo, "-o", out): 3,
        (tmp_path / "text.onnx", photo, "-o", out): 3,
        (tmp_path / "bare.onnx", photo, "-o", out): 3,
        (tmp_path / "odd.onnx", photo, "-o", out): 3,
        (tmp_path / "lies.onnx", photo, "-o", out): 3,
        (model, photo, "-o", photo): 2,
        (model, photo, "-o", tmp_path / "out.txt"): 2,
        (model, photo, "-o", out, "--mask", photo): 2,
        (model, photo, "-o", out, "--sigma", 3): 2,
        (files("enlarging")[1], photo, "-o", out, "--sigma", 0.1): 2,
        (model, photo): 2,
        (model, photo, "-o", tmp_path / "no" / "where.png"): 6,
    }
    for words, code in cases.items():
        with pytest.raises(runtime.RefusedError) as error:
            runtime.run([str(word) for word in words])
        assert error.value.exit_code == code, (words, str(error.value))
        assert "\n" not in str(error.value)
    assert not out.exists()
    assert not list(tmp_path.glob(".*"))
    for name in ("text.onnx", "bare.onnx", "odd.onnx"):
        with pytest.raises(DataError, match=name):
            Restore(model=tmp_path / name).bind()
    with pytest.raises(UsageError, match="sigma"):
        Restore(model=files("enlarging")[1], sigma=0.1).bind()


def test_the_command_writes_tells_and_refuses(files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, out = files("enlarging")[0], tmp_path / "model.onnx"
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    assert run(["export", str(weights), "-o", str(out), "--check", str(tmp_path / "photo.png"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [2 * PHOTO.shape[0], 2 * PHOTO.shape[1]] in [one["size"] for one in told["inputs"]]
    assert told["largest_difference"] <= TOLERANCE
    assert told["bytes"] == out.stat().st_size
    before = out.read_bytes()
    for words, code, line in (
        ([weights, "-o", out], 2, "exists"),
        ([weights, "-o", tmp_path / "model.pt"], 2, ".onnx"),
        (["upscale-x2-v0", "-o", tmp_path / "other.onnx"], 3, "did you mean"),
        ([tmp_path / "photo.png", "-o", tmp_path / "other.onnx"], 3, "not a network of pinxit"),
        ([weights, "-o", out, "-y", "--check", tmp_path / "none.png"], 3, "none.png"),
    ):
        assert run(["export", *map(str, words)]) == code
        [said] = [row for row in capsys.readouterr().err.splitlines() if row.startswith("pinxit: ")]
        assert line in said
    assert out.read_bytes() == before


def test_a_picture_through_the_command_line_is_the_runtimes(files, tmp_path: Path) -> None:
    file, buffer = files("enlarging")[1], io.BytesIO()
    Image.fromarray(PHOTO).save(buffer, "PNG")
    (tmp_path / "in.png").write_bytes(buffer.getvalue())
    out = tmp_path / "edited.png"
    assert run(["edit", "upscale", "--scale", "2", "--model", str(file), str(tmp_path / "in.png"), "-o", str(out)]) == 0
    edited = np.asarray(Image.open(out)).astype(int)
    assert np.abs(edited - runtime.Model(file).edited(PHOTO)).max() <= 1
    assert run(["edit", "denoise", "--model", str(file), str(tmp_path / "in.png"), "-o", str(out), "-y"]) == 2
