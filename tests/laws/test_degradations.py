"""Laws over the table of degradations, and over chains of them."""

import json
import math
from pathlib import Path

import pytest
import torch

from pinxit.degradations import DEGRADATIONS, Chain, Degradation, Degraded
from pinxit.errors import UsageError
from pinxit.settings import chain_document, chain_text

ROWS = pytest.mark.parametrize("name", DEGRADATIONS)
SHAPES = pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 19), (1, 33, 48), (3, 40, 31)], ids=str)
HOLES = [name for name, kind in DEGRADATIONS.items() if kind.masks]

# The setting whose drawn value is the level.
LEVELS = {"noise": "sigma", "poisson": "peak", "blur": "sigma", "motion": "length", "jpeg": "quality", "dark": "gain"}
LEVELS |= {"haze": "beta"}

# Texts that ask for nothing; those of `SPOILS` have no such setting.
NOTHING = {"noise": "noise(sigma=0)", "clip": "clip", "blur": "blur(sigma=0)", "motion": "motion(length=1)"}
NOTHING |= {"downscale": "downscale(scale=1)", "dark": "dark(gain=1, read_noise=0)", "haze": "haze(beta=0)"}
NOTHING |= {name: f"{name}(share=0)" for name in HOLES}
SPOILS = ("poisson", "jpeg", "real")


def picture(shape: tuple[int, ...]) -> torch.Tensor:
    """A picture of 8 bits, with its black and white."""
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(7)) / 255


def degraded(step: Degradation | Chain, image: torch.Tensor, seed: int = 0) -> Degraded:
    return step.degrade(image, torch.Generator().manual_seed(seed))


def tensors(result: Degraded) -> list[torch.Tensor]:
    return [tensor for tensor in (result.image, result.mask) if tensor is not None]


@ROWS
@SHAPES
def test_a_degradation_is_a_function_of_picture_and_generator(name: str, shape: tuple[int, ...]) -> None:
    image = picture(shape)
    kept = image.clone()
    one, other = (degraded(DEGRADATIONS[name](), image) for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(tensors(one), tensors(other), strict=True))
    assert one.level == other.level
    assert torch.equal(image, kept)


@ROWS
def test_other_draws_give_other_pictures(name: str) -> None:
    image = picture((3, 64, 64))
    one, other = (degraded(DEGRADATIONS[name](), image, seed) for seed in (0, 1))
    assert torch.equal(one.image, other.image) == (name in ("clip", "downscale"))


@ROWS
def test_mixed_precision_around_it_changes_nothing(name: str) -> None:
    plain = degraded(DEGRADATIONS[name](), picture((3, 20, 30)))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = degraded(DEGRADATIONS[name](), picture((3, 20, 30)))
    assert torch.equal(mixed.image, plain.image)


@ROWS
@SHAPES
def test_shape_type_and_numbers_are_as_promised(name: str, shape: tuple[int, ...]) -> None:
    step = DEGRADATIONS[name]()
    for seed in range(3):
        result = degraded(step, picture(shape), seed)
        assert result.image.shape == (shape[0], *(math.ceil(side / step.shrinks) for side in shape[1:]))
        assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in tensors(result))
        assert (result.mask is not None) == step.masks


@ROWS
def test_the_level_is_what_was_drawn_of_its_setting(name: str) -> None:
    step = DEGRADATIONS[name]()
    levels = [degraded(step, picture((1, 4, 4)), seed).level for seed in range(100)]
    if name not in LEVELS:
        assert set(levels) == {None}
        return
    low, high = getattr(step, LEVELS[name])
    assert all(low <= level <= high for level in levels)
    assert min(levels) < low + (high - low) / 8
    assert max(levels) > high - (high - low) / 8
    fixed = step.changed(**{LEVELS[name]: low})
    assert degraded(fixed, picture((1, 4, 4))).level == low


@ROWS
@SHAPES
def test_strength_zero_is_the_identity(name: str, shape: tuple[int, ...]) -> None:
    if name not in NOTHING:
        assert name in SPOILS
        return
    result = degraded(Chain.parse(NOTHING[name]), picture(shape))
    assert torch.equal(result.image, picture(shape))
    assert result.mask is None or not result.mask.any()


@pytest.mark.parametrize("name", HOLES)
@SHAPES
def test_holes_are_zero_where_the_mask_is_one_and_the_picture_elsewhere(name: str, shape: tuple[int, ...]) -> None:
    image = picture(shape) + 1
    result = degraded(DEGRADATIONS[name](), image)
    assert result.mask.shape == (1, *shape[1:])
    assert torch.equal(result.image, torch.where(result.mask == 1, 0.0, image))
    assert set(result.mask.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("name", HOLES)
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_the_share_asked_for_is_covered_and_little_more(name: str, share: float) -> None:
    covered = degraded(DEGRADATIONS[name](share=share), picture((1, 200, 240))).mask.mean().item()
    assert share - 0.01 * (name == "pixels") <= covered < share + 0.07


@ROWS
def test_every_row_survives_text_and_json(name: str) -> None:
    kind = DEGRADATIONS[name]
    ends = {key: getattr(kind(), key) for key in kind.model_fields}
    changed = {key: value[0] if isinstance(value, tuple) else value + 1 for key, value in ends.items()}
    chain = (kind(), kind(**changed))
    assert Chain.parse(chain_text(chain, DEGRADATIONS)).steps == chain
    assert Chain.parse(json.dumps(chain_document(chain, DEGRADATIONS))).steps == chain


@ROWS
def test_every_row_is_documented(name: str) -> None:
    kind = DEGRADATIONS[name]
    assert kind.__doc__
    assert all(field.description for field in kind.model_fields.values())
    page = (Path(__file__).parents[2] / "docs" / "editing.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}(")]
    written = row.split("`")[1]
    assert Chain.parse(written).steps == (kind(),), "docs/editing.md: the defaults are others"
    assert all(f"{key}=" in written for key in kind.model_fields), "docs/editing.md: a setting is missing"


@pytest.mark.parametrize("name", ["blur", "motion", "downscale"])
def test_an_even_picture_stays_as_it_is_through_a_blur(name: str) -> None:
    result = degraded(DEGRADATIONS[name](), torch.full((1, 30, 20), 0.4))
    assert torch.allclose(result.image, torch.tensor(0.4), atol=1e-6)


def test_a_chain_is_its_steps_one_after_the_other() -> None:
    chain = Chain.parse("blur(sigma=0..2) | downscale(scale=2) | noise | jpeg")
    rng = torch.Generator().manual_seed(3)
    image, levels = picture((3, 20, 30)), []
    for step in chain.steps:
        result = step.degrade(image, rng)
        image, levels = result.image, [*levels, result.level]
    whole = degraded(chain, picture((3, 20, 30)), 3)
    assert torch.equal(whole.image, image)
    assert whole.level == levels[0] != levels[2]
    assert (chain.shrinks, chain.masks) == (2, False)


def test_a_chain_unites_masks_and_tells_the_first_level_there_is() -> None:
    chain = Chain.parse("boxes | noise(sigma=0.1) | downscale(scale=1) | pixels | jpeg")
    rng = torch.Generator().manual_seed(0)
    image = picture((1, 40, 40))
    boxes = chain.steps[0].degrade(image, rng)
    noisy = chain.steps[1].degrade(boxes.image, rng)
    pixels = chain.steps[3].degrade(noisy.image, rng)
    whole = degraded(chain, image)
    assert torch.equal(whole.mask.bool(), boxes.mask.bool() | pixels.mask.bool())
    assert whole.level == 0.1
    assert chain.masks


def test_a_picture_is_not_made_smaller_under_its_mask() -> None:
    assert Chain.parse("downscale(scale=2) | downscale(scale=3) | boxes").shrinks == 6
    with pytest.raises(UsageError, match="downscale must come before holes"):
        Chain.parse("boxes | noise | downscale(scale=2)")
