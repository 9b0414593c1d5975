"""The one loader: what a file of weights holds is what runs, whatever its kind, and what does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_restore_edits import untrained

from pinxit import models
from pinxit.errors import DataError, UsageError
from pinxit.files import sha256
from pinxit.nets.shapes import PictureShape
from pinxit.objectives import OBJECTIVES

SHAPE = PictureShape(16, 3, 2)
SMALL = {"channels": 4}
KINDS = {
    "conditional": ("gan", SMALL | {"conditional": True}),
    "adversarial": ("vae", SMALL | {"adversarial": 1.0, "latent": 4, "pseudo_inputs": 3}),
    "spectral": ("vae", SMALL | {"spectral_norm": True, "penalty": "l2", "latent": 4}),
    "ladder": ("vae", SMALL | {"levels": 2, "latent": 4}),
    "quantised": ("vq", SMALL | {"codes": 8, "dimensions": 4}),
    "restore": ("restore", SMALL | {"levels": 2, "blocks": 1, "adversarial": 1.0}),
    "enhance": ("enhance", {"width": 4}),
    "matte": ("matte", SMALL),
    "colourise": ("colourise", {"width": 4}),
    "one style": ("style", {}),
}


@pytest.mark.parametrize("case", KINDS)
def test_a_model_is_the_tensors_of_its_file_and_nothing_that_only_trains_it(case: str, tmp_path: Path) -> None:
    kind, settings = KINDS[case]
    objective = OBJECTIVES[kind].parse(settings).build(SHAPE)
    wanted = {
        f"{name}.{key}": value.clone()
        for name in objective.model
        for key, value in objective.networks[name].state_dict().items()
    }
    data = {"size": SHAPE.size, "channels": SHAPE.channels, "classes": ["a", "b"]}
    about = {"objective": kind, "settings": settings, "data": data}
    save_file(wanted, tmp_path / "weights.safetensors", {"pinxit": json.dumps(about)})
    for place in (tmp_path, tmp_path / "weights.safetensors"):
        model = models.load(place, kind)
        assert (model.kind, model.shape) == (kind, SHAPE)
        assert model.sha256 == sha256(tmp_path / "weights.safetensors")
        found = model.objective.networks.state_dict()
        assert set(found) == set(wanted)
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)
        assert all(value.dtype == wanted[name].dtype for name, value in found.items())
        assert not any(value.requires_grad for value in model.objective.networks.parameters())
        assert all(value.data_ptr() % 64 == 0 for value in found.values() if value.numel() > 64)


def test_a_network_that_ships_is_found_by_its_name_and_a_folder_of_that_name_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "denoise-free-v1"
    model = models.load(name, "restore")
    assert (model.name, model.sha256, model.ships) == (name, models.SHIPPED[name], True)
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    untrained(Path(name) / "weights.safetensors")
    assert models.load(name).sha256 == sha256(Path(name) / "weights.safetensors")
    assert not models.load(name).ships
    with pytest.raises(DataError, match="did you mean 'denoise-v2'"):
        models.load("denoise-v3")


def test_weights_of_another_kind_size_or_value_are_refused(tmp_path: Path) -> None:
    path = untrained(tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match=r"`pinxit train gan` or `pinxit train vae` \(a run of 'restore'\)"):
        models.load(path, "gan", "vae")
    with pytest.raises(UsageError, match="cannot sample"):
        models.generative(models.load(path))
    tensors, about = load_file(path), {"pinxit": described(path)}
    name = "restorer.last.bias"
    save_file(tensors | {name: tensors[name].double() + torch.inf}, path, about)
    with pytest.raises(DataError, match="not all finite"):
        models.load(path)
    save_file(tensors | {name: tensors[name][:1].clone()}, path, about)
    with pytest.raises(DataError, match="do not fit"):
        models.load(path)


def described(path: Path) -> str:
    with safe_open(path, "pt") as file:
        return str(file.metadata()["pinxit"])
