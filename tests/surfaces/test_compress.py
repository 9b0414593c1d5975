"""`pinxit compress` and `decompress`: pictures as codes in a file, and back, for every kind of autoencoder."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pinxit.cli import run
from pinxit.errors import DataError, MemoryLimitError
from pinxit.images import load_image
from pinxit.latents import coding, compression
from pinxit.latents.compression import compress, decompress, load_compressed, pack_bits, save_compressed, unpack_bits
from pinxit.latents.sampling import GenerativeModel, load
from pinxit.metrics.paired import reported_psnr
from pinxit.training import train as train_module

WORDS = "--batch-size 16 --threads 1 --average 0.9 --learning-rate 5e-3 --steps"
KINDS = {
    "vq": "vq grey.npz --channels 4 --codes 20 --dimensions 4 --halvings 2 --size 18 " + WORDS + " 20",
    "vae": "vae grey.npz --network dense --channels 4 --latent 6 " + WORDS + " 150",
    "points": "vae grey.npz --network dense --channels 4 --latent 6 --penalty none " + WORDS + " 60",
    "classes": "vae colour.npz --network dense --channels 2 --latent 5 --conditional " + WORDS + " 20",
    "ladder": "vae grey.npz --network dense --channels 2 --latent 4 --levels 2 " + WORDS + " 5",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of every kind, of cards whose left and right halves have greys of their own."""
    place = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 20, (60, 16, 16, 3)) + rng.integers(0, 230, (60, 1, 2, 3)).repeat(8, axis=2)
    np.savez(place / "colour.npz", images=images.astype(np.uint8), labels=np.arange(60) % 3)
    np.savez(place / "grey.npz", images=images[..., 0].astype(np.uint8))
    for name, words in KINDS.items():
        kind, source, *more = words.split()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train_module, "_report", lambda run: None)  # takes most of the time
            assert run(["train", kind, str(place / source), "--out", str(place / name), *more]) == 0
    return place


def seen(runs: Path, name: str, n: int | None = None) -> tuple[GenerativeModel, coding.ModelPictures]:
    model = load(runs / name)
    return model, coding.model_pictures(model, str(runs / ("colour.npz" if name == "classes" else "grey.npz")), n)


@pytest.mark.parametrize("name", KINDS)
def test_what_comes_back_from_the_file_is_what_went_in(runs: Path, name: str, tmp_path: Path) -> None:
    model, pictures = seen(runs, name)
    coded = compress(model, pictures)
    told = save_compressed(tmp_path / "a.pxc", model, pictures, coded)
    again = load_compressed(tmp_path / "a.pxc", model)
    assert again.names == coded.names == pictures.names
    for part in ("numbers", "steps", "labels"):
        one, other = getattr(again, part), getattr(coded, part)
        assert (one is other is None) or (one.dtype == other.dtype and torch.equal(one, other))
    save_compressed(tmp_path / "b.pxc", model, pictures, compress(model, pictures))
    assert (tmp_path / "a.pxc").read_bytes() == (tmp_path / "b.pxc").read_bytes()
    content = load_file(tmp_path / "a.pxc")
    size = model.recipe.data.size
    assert told["bits_per_pixel"] == pytest.approx(8 * content["codes"].nbytes / (60 * size * size))
    assert told["bytes"] == (tmp_path / "a.pxc").stat().st_size
    restored = torch.from_numpy(decompress(model, again)).movedim(3, 1) / 255
    assert told["psnr"] == pytest.approx(reported_psnr(restored, pictures.images).mean().item())


@pytest.mark.parametrize("name", KINDS)
def test_a_picture_is_coded_as_if_it_were_alone(runs: Path, name: str) -> None:
    model, pictures = seen(runs, name, 7)
    labels = None if pictures.labels is None else pictures.labels[4:5]
    alone = compress(model, coding.ModelPictures(pictures.names[4:5], pictures.images[4:5], labels))
    together = compress(model, pictures)
    assert torch.equal(alone.numbers[0], together.numbers[4])
    assert torch.equal(alone.steps, together.steps)
    assert np.array_equal(decompress(model, alone)[0], decompress(model, together)[4])


def test_codes_out_of_a_book_come_back_as_they_were_reconstructed(runs: Path, tmp_path: Path) -> None:
    model, pictures = seen(runs, "vq")
    coded = compress(model, pictures)
    assert np.array_equal(decompress(model, coded), coding.reconstruct(model, pictures))
    told = save_compressed(tmp_path / "a.pxc", model, pictures, coded)
    assert load_file(tmp_path / "a.pxc")["codes"].shape == (60, math.ceil(model.objective.latent * 5 / 8))  # 20 < 2^5
    assert model.objective.bits_per_pixel < told["bits_per_pixel"] < 1.5 * model.objective.bits_per_pixel


@pytest.mark.parametrize("name", ["vae", "points", "classes", "ladder"])
def test_a_rounded_code_is_half_a_step_away_at_most(runs: Path, name: str) -> None:
    model, pictures = seen(runs, name)
    codes = torch.cat([model.encode(one.image, one.label) for one in pictures.alone("")])
    exact = coding.reconstruct(model, pictures).astype(float)
    errors = []
    for step in (1e-4, 1.0, 8.0):
        coded = compress(model, pictures, step)
        assert torch.allclose(coded.steps, step * compression.deviations(model))
        away = (coded.numbers * coded.steps - codes).abs()
        assert (away <= 0.5 * coded.steps + 1e-6 * codes.abs()).all()
        errors.append(np.abs(decompress(model, coded) - exact).mean())
    assert errors[0] < 0.01
    assert errors[0] <= errors[1] <= errors[2]
    assert torch.equal(compress(model, pictures).numbers, compress(model, pictures, 1.0).numbers)


def test_numbers_are_rounded_by_what_the_encoder_says_of_pictures_the_model_draws(runs: Path) -> None:
    model = load(runs / "vae")
    with torch.no_grad():
        drawn = model.objective.sample(model.latents(64))
        variance = torch.stack([model.autoencoder.posterior(image, None)[1].exp()[0] for image in drawn.split(1)]).mean(
            0
        )
    assert torch.allclose(compression.deviations(model), variance.sqrt(), rtol=1e-4)
    model, pictures = seen(runs, "points")
    spread = model.encode(pictures.images).std(0).square().mean().sqrt()
    assert torch.allclose(compression.deviations(model), (spread / 32).expand(6), rtol=0.1)


def test_coarser_steps_take_fewer_bits_and_silent_numbers_next_to_none(runs: Path, tmp_path: Path) -> None:
    model, pictures = seen(runs, "vae")
    told = [
        save_compressed(tmp_path / "a.pxc", model, pictures, compress(model, pictures, step))
        for step in (0.1, 1.0, 10.0)
    ]
    bits = [one["bits_per_pixel"] for one in told]
    assert bits == sorted(bits, reverse=True)
    assert bits[0] > 1.5 * bits[2]
    numbers = torch.randint(-9, 9, (500, 4), generator=torch.Generator().manual_seed(0))
    silent = torch.cat([numbers, torch.zeros(500, 60, dtype=torch.int64)], dim=1)
    assert len(compression.squeeze(silent)) < len(compression.squeeze(numbers)) + 40
    assert 8 * len(compression.squeeze(numbers)) < 1.15 * numbers.numel() * math.log2(18)


@pytest.mark.parametrize(("codes", "numbers"), [(2, 9), (3, 5), (20, 16), (512, 49), (65536, 3)])
def test_packed_bits_are_the_binary_digits(codes: int, numbers: int) -> None:
    bits = math.ceil(math.log2(codes))
    assert compression._bits(codes) == bits
    values = torch.randint(0, codes, (4, numbers), generator=torch.Generator().manual_seed(0))
    values[0], values[1] = 0, codes - 1
    rows = pack_bits(values, bits)
    digits = "".join(f"{value:0{bits}b}" for value in values[3].tolist())
    digits += "0" * (-len(digits) % 8)
    assert bytes(rows[3].tolist()) == int(digits, 2).to_bytes(len(digits) // 8, "big")
    assert torch.equal(unpack_bits(rows, numbers, bits), values)


def test_whole_numbers_of_any_size_come_back() -> None:
    edge = compression.LARGEST - 1
    numbers = torch.tensor([[0, -1, 1, edge], [-edge, 255, -256, 70_000], [3, -3, 128, -129]])
    assert torch.equal(compression.unsqueeze(compression.squeeze(numbers), 3, 4), numbers)


@pytest.mark.parametrize("name", ["vq", "classes"])
def test_the_commands_write_and_read(runs: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, pictures = seen(runs, name, 5)
    source, file = str(runs / ("colour.npz" if name == "classes" else "grey.npz")), str(tmp_path / "a.pxc")
    capsys.readouterr()
    assert run(["compress", str(runs / name), source, "-n", "5", "-o", file, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"pictures", "bits_per_pixel", "bytes", "psnr"}
    assert told["pictures"] == 5
    assert run(["compress", str(runs / name), source, "-n", "5", "-o", file, "-y"]) == 0
    out, err = capsys.readouterr()
    assert out.strip() == file
    assert f"{told['bits_per_pixel']:.3g} bits per pixel" in err
    assert f"PSNR {told['psnr']:.1f} dB" in err
    expected = decompress(model, compress(model, pictures))
    for kind in (".npz", "", ".png"):
        assert run(["decompress", str(runs / name), file, "-o", str(tmp_path / f"out{kind}")]) == 0
    assert np.array_equal(np.load(tmp_path / "out.npz")["images"], expected)
    assert np.array_equal(load_image(tmp_path / "out" / "000002-00002.png"), expected[2])
    assert len(list((tmp_path / "out").iterdir())) == 5


def refused(path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said of a file that is none of the run's, in one line and with the exit code of bad data."""
    capsys.readouterr()
    assert run(["decompress", str(folder), str(path), "-o", str(path.parent / "out.npz")]) == 3
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("pinxit:")]
    assert not (path.parent / "out.npz").exists()
    assert len(lines) == 1
    return lines[0]


def test_files_that_are_not_the_runs_are_one_line(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, pictures = seen(runs, "vq", 5)
    file = tmp_path / "a.pxc"
    save_compressed(file, model, pictures, compress(model, pictures))
    assert "another run" in refused(file, runs / "vae", capsys)
    whole = file.read_bytes()
    for content in (b"", whole[:20], whole[:-1], whole + b"\0", b"\xff" * 40, b"PK" + whole):
        file.write_bytes(content)
        assert "not a whole .pxc file" in refused(file, runs / "vq", capsys)
    assert "No such file" in refused(tmp_path / "nowhere.pxc", runs / "vq", capsys)
    assert "not a regular file" in refused(tmp_path, runs / "vq", capsys)
    assert "not a whole .pxc file" in refused(runs / "vq" / "weights.safetensors", runs / "vq", capsys)
    assert run(["compress", str(runs / "vq"), str(runs / "grey.npz"), "-o", str(tmp_path / "x"), "--step", "2"]) == 2
    assert "whole numbers already" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["vq", "vae"])
def test_no_flipped_bit_goes_unnoticed(runs: Path, name: str, tmp_path: Path) -> None:
    model, pictures = seen(runs, name, 3)
    file = tmp_path / "a.pxc"
    save_compressed(file, model, pictures, compress(model, pictures))
    whole = file.read_bytes()
    for place in range(0, len(whole), 3):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 7)]) + whole[place + 1 :])
        with pytest.raises(DataError):
            load_compressed(file, model)


def forged(file: Path, model: GenerativeModel, names: list[str], tensors: dict[str, torch.Tensor]) -> None:
    """A file whose digests are right and whose content is not."""
    shape = (len(names), model.recipe.data.size, model.recipe.data.size, model.recipe.data.channels)
    about = compression.About(weights=model.sha256, shape=shape, names=tuple(names))
    signed = about.model_copy(update={"sha256": compression._digest(about, tensors)})
    save_file(tensors, file, {"pinxit": signed.model_dump_json()})


def test_hostile_content_is_one_line(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, pictures = seen(runs, "vq", 2)
    file, good = tmp_path / "a.pxc", pack_bits(compress(model, pictures).numbers, 5)
    forged(file, model, ["a", "b"], {"codes": good})
    assert load_compressed(file, model).names == ["a", "b"]
    for names, tensors in (
        (["a", "b\0"], {"codes": good}),
        ([], {"codes": good[:0]}),
        (["a"], {"codes": good}),
        (["a", "b"], {"codes": good | 255}),
        (["a", "b"], {"codes": good.float()}),
        (["a", "b"], {"codes": good.bfloat16()}),
        (["a", "b"], {"codes": good[0, 0]}),
        (["a", "b"], {"numbers": good}),
        (["a", "b"], {"codes": good, "more": good.clone()}),
    ):
        forged(file, model, names, tensors)
        assert "holds no codes of this run" in refused(file, runs / "vq", capsys)
    model, pictures = seen(runs, "classes", 2)
    coded = compress(model, pictures)
    numbers = torch.column_stack([coded.numbers, coded.labels])
    for steps, content in (
        (coded.steps, compression.squeeze(numbers[:1])),
        (coded.steps, compression.squeeze(numbers.repeat(2, 1))),
        (coded.steps, compression.squeeze(numbers + 7)),
        (coded.steps, compression.squeeze(-numbers - 1)),
        (coded.steps, compression.squeeze(numbers)[:-1]),
        (coded.steps, torch.cat([compression.squeeze(numbers), torch.zeros(1, dtype=torch.uint8)])),
        (coded.steps, torch.full((9,), 255, dtype=torch.uint8)),
        (coded.steps[:-1], compression.squeeze(numbers)),
        (coded.steps * math.nan, compression.squeeze(numbers)),
        (torch.full_like(coded.steps, 3e38), compression.squeeze(numbers)),
    ):
        forged(file, model, ["a", "b"], {"codes": content, "steps": steps})
        assert "holds no codes of this run" in refused(file, runs / "classes", capsys)
    for metadata in ("[" * 100_000, '{"format": 2}', '{"format": 1, "path": "x"}', '{"names": ["\\ud800"]}', "1e999"):
        save_file({"codes": good}, file, {"pinxit": metadata})
        assert "not a whole .pxc file" in refused(file, runs / "vq", capsys)


def test_what_a_file_claims_is_compared_before_memory_is_taken(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few bytes can claim a million pictures: a name each, and codes that are one long run of zeros."""
    model, _ = seen(runs, "vae", 2)
    file, claimed = tmp_path / "a.pxc", 100_000
    content = compression.squeeze(torch.zeros(claimed, model.objective.latent, dtype=torch.int64))
    forged(file, model, [""] * claimed, {"codes": content, "steps": torch.ones(model.objective.latent)})
    monkeypatch.setattr("pinxit.images.room.memory_left", lambda: 90 << 20)
    monkeypatch.setattr(compression, "unsqueeze", lambda *_: pytest.fail("memory was taken"))
    with pytest.raises(MemoryLimitError, match=r"100,000 pictures of 16 x 16 pixels need .* enough for") as caught:
        load_compressed(file, model)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(compression, "LARGEST_JSON", 1000)
    with pytest.raises(DataError, match="at most 1,000 are read"):
        load_compressed(file, model)


def test_names_lead_nowhere_but_into_the_folder(runs: Path, tmp_path: Path) -> None:
    model, pictures = seen(runs, "vq", 2)
    names = ["../../up", "/etc/name.png"]
    long, acts = "n" * 250 + ".png", "\x1b[2Jcl\near.png"
    forged(tmp_path / "a.pxc", model, names, {"codes": pack_bits(compress(model, pictures).numbers, 5)})
    assert run(["decompress", str(runs / "vq"), str(tmp_path / "a.pxc"), "-o", str(tmp_path / "in" / "out")]) == 0
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")}
    assert found == {"in/out/000000-up.png", "in/out/000001-name.png"}
    assert run(["compress", str(runs / "vq"), str(tmp_path / "in"), "-o", str(tmp_path / "b.pxc")]) == 0
    forged(tmp_path / "c.pxc", model, [long, acts], {"codes": pack_bits(compress(model, pictures).numbers, 5)})
    assert run(["decompress", str(runs / "vq"), str(tmp_path / "c.pxc"), "-o", str(tmp_path / "odd")]) == 0
    found = {path.name for path in (tmp_path / "odd").iterdir()}
    assert found == {f"000000-{'n' * 200}.png", r"000001-\x1b[2Jcl\near.png"}


def test_codes_that_are_no_whole_numbers_are_one_line(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="larger --step"):
        compress(*seen(runs, "vae", 2), step=1e-12)
    shutil.copytree(runs / "vae", tmp_path / "run")
    weights = load_file(tmp_path / "run" / "weights.safetensors")
    weights["posterior.head.bias"][:] = math.nan
    save_file(weights, tmp_path / "run" / "weights.safetensors")
    with pytest.raises(DataError, match="not all finite"):
        load(tmp_path / "run")
