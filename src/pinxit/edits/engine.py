"""What every edit shares: seamless tiles, masks and strength that are enforced, alpha, depth, and a memory limit."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import groupby, repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pinxit.edits.bound import Bound, Layered, Padding, Room
from pinxit.edits.mask import TOP, rounded, sixteen_bit, unit
from pinxit.edits.nearest import nearest, strips
from pinxit.edits.resampling import placed, repeated, resampled
from pinxit.edits.tiles import MEMORY, SIDE, Box, bytes_per_pixel, cut, halo_of, side_for
from pinxit.errors import MemoryLimitError, UsageError
from pinxit.hardware import give_back
from pinxit.images import Picture, resize
from pinxit.images.room import too_little_for
from pinxit.progress import track

if TYPE_CHECKING:
    from pinxit.edits.settings import Edit


FLAT = 5  # pixels of a square in which alpha is flat if all have one value


class BrokenEditError(RuntimeError):
    """An edit returned an invalid result, which is discarded (our fault, exit 1)."""


def edit_picture(
    picture: Picture,
    chain: Sequence[Edit | Bound],
    mask: np.ndarray | None = None,
    *,
    strength: float = 1.0,
    memory: int | None = None,
    held: int = 0,
    device: str = "cpu",
) -> Picture:
    """Return the picture after every edit of the chain. It keeps its depth, alpha, profile and metadata.

    `mask` is (H, W) float in [0, 1], as `Mask.weights` returns it: where it is 0 no bit changes, unless an edit widens
    it (`Bound.area`). `strength` in [0, 1] blends each edit with its input; 0 changes nothing. If an edit makes the
    picture larger, it is blended with the bicubic enlargement, or the repeated edges, of its input. `memory` is a limit
    in bytes, on top of the interpreter and what the edits have loaded; `MemoryLimitError` if it is too low. `held` of
    these bytes are taken by something else, such as the drawn mask. To load only once, pass what `Edit.bind` returned,
    on the same device.
    """
    _check(picture, chain, mask, strength)
    bounds = _loaded(chain, device, memory)
    if not any(isinstance(bound, Layered) for bound in bounds):
        stages = _stages(picture, bounds, mask, strength, memory, held, device)
        return _whole(picture, *deque(stages, maxlen=1).pop())
    return deque(_pieces(picture, bounds, mask, strength, memory, held, device), maxlen=1).pop()


def edit_stages(
    picture: Picture,
    chain: Sequence[Edit | Bound],
    mask: np.ndarray | None = None,
    *,
    strength: float = 1.0,
    memory: int | None = None,
    device: str = "cpu",
) -> Iterator[Picture]:
    """Yield the picture after every stage of every edit; the last is what `edit_picture` returns."""
    _check(picture, chain, mask, strength)
    yield from _pieces(picture, _loaded(chain, device, memory), mask, strength, memory, 0, device)


def _loaded(chain: Sequence[Edit | Bound], device: str, memory: int | None) -> list[Bound]:
    return [step if isinstance(step, Bound) else step.bind(device, memory) for step in chain]


def _pieces(
    picture: Picture,
    bounds: Sequence[Bound],
    mask: np.ndarray | None,
    strength: float,
    memory: int | None,
    held: int,
    device: str,
) -> Iterator[Picture]:
    """Yield the picture after every stage of a chain that is cut before and after each layered edit."""
    pieces = [list(piece) for _, piece in groupby(bounds, key=lambda bound: isinstance(bound, Layered) and id(bound))]
    depth = picture.pixels.dtype
    if len(pieces) > 1:
        picture = replace(picture, pixels=sixteen_bit(picture.pixels))
        depth = picture.pixels.dtype if any(isinstance(bound, Layered) and bound.deep for bound in bounds) else depth
    for number, piece in enumerate(pieces, start=1):
        if isinstance(piece[0], Layered):
            stages = iter([_layered(picture, piece[0], mask, strength, memory, held)])
        else:
            planes = _stages(picture, piece, mask, strength, memory, held, device)
            stages = (_whole(before, *after) for before, after in zip(repeat(picture), planes, strict=False))
        for stage in stages:
            picture = stage
            last = number == len(pieces) > 1
            yield replace(picture, pixels=rounded(unit(picture.pixels), depth)) if last else picture
        mask = None if mask is None else _carried(mask, piece)


def _layered(
    picture: Picture, bound: Layered, mask: np.ndarray | None, strength: float, memory: int | None, held: int
) -> Picture:
    """Return the picture after an edit of its layers; raise if it is too large, or if other pixels changed."""
    needed = bound.bytes_for(picture.pixels.shape[:2])
    left = None if memory is None else memory - held - picture.pixels.nbytes
    _refuse_too_large(type(bound).__name__, needed, left)
    share = np.broadcast_to(np.float32(strength) * (1 if mask is None else mask), picture.pixels.shape[:2])
    edited = bound.compose(picture, share)
    if bound.deep:
        picture = replace(picture, pixels=sixteen_bit(picture.pixels))
    if edited.pixels.shape[:2] != picture.pixels.shape[:2] or edited.pixels.dtype != picture.pixels.dtype:
        raise BrokenEditError(f"{type(bound).__name__} returned {edited.pixels.dtype} {edited.pixels.shape}")
    (before, first), (after, last) = split(picture), split(edited)
    for strip in strips(after.shape):
        same = share[strip] == 0
        kept = first is None or last is None or (first[strip] == last[strip])[same].all()
        if not kept or (same & (before[strip] != after[strip]).any(axis=2)).any():
            raise BrokenEditError(f"{type(bound).__name__}: pixels changed outside the mask; nothing is kept")
    return edited


def _carried(mask: np.ndarray, bounds: Sequence[Bound]) -> np.ndarray:
    """Return a mask as it is after these edits, which may add pixels or enlarge."""
    for bound in bounds:
        mask = _padded(mask, bound.padding)
        mask = repeated(mask, bound.result_size((mask.shape[0], mask.shape[1])))
    return mask


Planes = tuple[np.ndarray, np.ndarray | None]
"""The colours (H, W, C) and the alpha (h, w) of a picture; the alpha is enlarged with the colours in the end."""


def _stages(
    picture: Picture,
    chain: Sequence[Bound],
    mask: np.ndarray | None,
    strength: float,
    memory: int | None,
    others: int,
    device: str,
) -> Iterator[Planes]:
    original, alpha = split(picture)
    colours = original if alpha is None else filled(original, alpha)
    touched = np.zeros(original.shape[:2], bool)
    between = np.promote_types(original.dtype, np.uint16)  # a chain of edits rounds to the picture's depth once
    for number, step in enumerate(chain, start=1):
        name = type(step).__name__
        bound, share = step.at_strength(strength)
        if bound.padding != Bound.padding:
            alpha = None if alpha is None else resize(alpha[..., None], colours.shape[:2])[..., 0]
            first = original is colours
            original, touched = (_padded(plane, bound.padding) for plane in (original, touched))
            colours = original if first else _padded(colours, bound.padding)
            alpha, mask = (None if plane is None else _padded(plane, bound.padding) for plane in (alpha, mask))
        bound, size = bound.for_picture(colours), colours.shape[:2]
        area = bound.area(mask, size)
        np.logical_or(touched, area is None or area, out=touched)
        depth = original.dtype if number == len(chain) else between
        held = others + _bytes_of(picture.pixels, original, colours, touched, area, mask)
        if alpha is not None and bound.enlarges_alpha:
            alpha = resize(alpha[..., None], size)
            task = _Pass(f"{name} of alpha", bound, alpha, area, share, alpha.dtype, memory, held, device)
            (larger,) = task.stages()
            alpha = _with_flat_parts(larger[..., 0], alpha[..., 0])
        task = _Pass(name, bound, colours, area, share, depth, memory, held, device)
        for colours in task.stages():
            yield colours, alpha
        del task, area
        if colours.shape[:2] != size:
            mask = None if mask is None else repeated(mask, colours.shape[:2])
            touched = repeated(touched, colours.shape[:2])
    if colours.shape == original.shape:
        _restore(original, colours, alpha)
        _check_untouched(original, colours, touched, strength, chain)
    yield colours, alpha


def _bytes_of(*arrays: np.ndarray | None) -> int:
    """Return the bytes that these arrays hold together; parts of one array count once."""
    held: dict[int, int] = {}
    for array in (one for one in arrays if one is not None):
        owner = id(array if array.base is None else array.base)
        held[owner] = max(held.get(owner, 0), array.nbytes)
    return sum(held.values())


def changes_nothing(chain: Sequence[Bound], mask: np.ndarray | None) -> bool:
    """Return whether a chain changes no pixel because its mask, as `edit_picture` takes it, is empty."""
    return mask is not None and not mask.any() and all(step.padding == Bound.padding for step in chain)


def _check(picture: Picture, chain: Sequence[Edit | Bound], mask: np.ndarray | None, strength: float) -> None:
    if not chain:
        raise UsageError("no edit is given")
    if not 0 <= strength <= 1:
        raise UsageError(f"strength: should be between 0 and 1, not {strength:g}")
    if mask is not None and (mask.shape != picture.pixels.shape[:2] or not (mask.min() >= 0 and mask.max() <= 1)):
        raise UsageError("the mask should be (H, W) as the picture, in [0, 1]; Mask.weights returns one")


def _restore(original: np.ndarray, colours: np.ndarray, alpha: np.ndarray | None) -> None:
    """Put back, in place, the colours of fully transparent pixels."""
    if alpha is not None:
        for strip in strips(alpha.shape):
            np.copyto(colours[strip], original[strip], where=(alpha[strip] == 0)[..., None])


def _check_untouched(
    before: np.ndarray, after: np.ndarray, touched: np.ndarray, strength: float, chain: Sequence[Edit | Bound]
) -> None:
    for strip in strips(touched.shape):
        same = ~touched[strip] if strength > 0 else np.ones_like(touched[strip])
        if same.any() and (same & (before[strip] != after[strip]).any(axis=2)).any():
            names = ", ".join(type(step).__name__ for step in chain)
            raise BrokenEditError(f"{names}: pixels changed outside the mask; nothing is kept")


def split(picture: Picture) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the colours, (H, W, 1) where the picture is grey, and the alpha, (H, W)."""
    pixels = picture.pixels
    if pixels.dtype not in TOP:
        raise UsageError(f"pixels of {pixels.dtype} cannot be edited; give uint8, uint16, or float32 in [0, 1]")
    if pixels.shape[2] != 4:
        return pixels, None
    return pixels[..., : 1 if picture.grey else 3], pixels[..., 3]


def _whole(picture: Picture, colours: np.ndarray, alpha: np.ndarray | None) -> Picture:
    """Return the picture with other colours; its alpha is kept, or enlarged with them."""
    if alpha is None:
        return replace(picture, pixels=colours)
    alpha = resize(alpha[..., None], colours.shape[:2])
    if colours.dtype != alpha.dtype:  # between two edits
        alpha = rounded(unit(alpha), colours.dtype)
    return replace(picture, pixels=np.concatenate([np.broadcast_to(colours, (*colours.shape[:2], 3)), alpha], axis=2))


def filled(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return the colours, with the nearest visible one in each fully transparent pixel: hidden colours cannot bleed."""
    shown = alpha > 0
    if shown.all() or not shown.any():
        return colours
    filled = colours.copy()
    for part in nearest(shown):
        filled[part.strip] = colours[part.rows, part.columns]
    return filled


def _padded(plane: np.ndarray, padding: Padding) -> np.ndarray:
    return np.pad(plane, (*padding, *((0, 0),) * (plane.ndim - 2)), mode="edge")


def _refuse_too_large(name: str, needed: int, left: int | None) -> None:
    """Raise `MemoryLimitError` if an edit needs more bytes than a limit leaves, or than the machine has without one."""
    who = "the machine has" if left is None else "the limit leaves"
    left = too_little_for(needed) if left is None else left
    if left is not None and left < needed:
        raise MemoryLimitError(
            f"{name} takes the whole picture at once and needs {needed / 1e6:,.0f} MB; "
            f"{who} {max(0, left) / 1e6:,.0f} MB"
        )


def _with_flat_parts(larger: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return enlarged alpha, exactly the old one where that is flat: a network is never exact, and opaque is opaque."""
    from scipy.ndimage import maximum_filter, minimum_filter

    flat = minimum_filter(alpha, FLAT) == maximum_filter(alpha, FLAT)
    np.copyto(larger, repeated(alpha, larger.shape), where=repeated(flat, larger.shape))
    return larger


@dataclass(frozen=True)
class _Pass:
    """One edit of one picture: its colours (H, W, C) before, and where and how strongly they are to change.

    `held` is how many bytes the picture, its copies and its masks take.
    """

    name: str
    bound: Bound
    before: np.ndarray
    mask: np.ndarray | None
    strength: float
    depth: np.dtype[Any]
    memory: int | None
    held: int
    device: str

    def stages(self) -> Iterator[np.ndarray]:
        """Yield the colours, in the size of the result, after each stage."""
        picture = Box(0, 0, *self.before.shape[:2])
        if self.bound.radius is not None:
            yield self._tiled(picture)
        elif self._untouched(picture):
            yield self._unchanged(picture)
        else:
            self._check_memory(picture)
            yield from map(partial(self._finished, picture), self.bound.stages(*self._inputs(picture)))

    def _finished(self, part: Box, values: Tensor) -> np.ndarray:
        return self._blend(part, self._checked(values, part))

    def _tiled(self, picture: Box) -> np.ndarray:
        tiles = list(cut(picture, self._side(picture), self.bound.stride))
        if not self._untouched(picture):
            _ = self._prepared  # first: what it takes at most is free again before there is a result
        after = np.empty((*self._size, self.before.shape[2]), self.depth)
        for tile in track(tiles, f"{self.name}: tile", len(tiles)):
            same = self._untouched(tile)
            self._place(tile).of(after)[:] = (
                self._unchanged(tile) if same else self._blend(tile, self._run(tile, picture))
            )
        if self.memory is not None:
            give_back()
        return after

    @torch.no_grad()
    def _run(self, tile: Box, picture: Box) -> Tensor:
        """Run the edit on a tile, with as much of its halo as the picture has, and return the result."""
        window = tile.with_halo(halo_of(self.bound), picture)
        values, scale = self._checked(self.bound.run(*self._inputs(window)), window), self.bound.scale
        whole = picture.size[0] * scale, picture.size[1] * scale
        if whole != self._size:
            return resampled(values, (window.top * scale, window.left * scale), whole, self._place(tile), self._size)
        return tile.inside(window).of(values.permute(1, 2, 0), scale).permute(2, 0, 1)

    @cached_property
    def _prepared(self) -> tuple[np.ndarray, np.ndarray | None]:
        left = self.memory
        if left is not None and self.device == "cpu":
            left -= self.held
        return self.bound.prepared(self.before, self.mask, left)

    def _inputs(self, part: Box) -> tuple[Tensor, Tensor | None]:
        colours, weights = self._prepared
        image = torch.from_numpy(np.moveaxis(unit(part.of(colours)), 2, 0)).contiguous().to(self.device)
        mask = None if weights is None else torch.from_numpy(part.of(weights)[None].astype(np.float32))
        return image, mask if mask is None else mask.to(self.device)

    def _checked(self, values: Tensor, part: Box) -> Tensor:
        """Return the values; raise if they are invalid."""
        high, wide, channels = self._shape(part)
        if values.shape != (channels, high, wide) or values.dtype != torch.float32:
            raise BrokenEditError(
                f"{self.name} returned {values.dtype} {tuple(values.shape)}, not float32 {(channels, high, wide)}"
            )
        low, top = (value.item() for value in values.aminmax())
        if not 0 <= low <= top <= 1:
            raise BrokenEditError(f"{self.name} returned values from {low:g} to {top:g}, not in [0, 1]")
        return values

    def _shape(self, part: Box) -> tuple[int, int, int]:
        high, wide = part.size
        return high * self.bound.scale, wide * self.bound.scale, self.before.shape[2]

    @cached_property
    def _size(self) -> tuple[int, int]:
        return self.bound.result_size(self.before.shape[:2])

    def _place(self, part: Box) -> Box:
        """Return the part of the result that a part of the picture becomes."""
        return placed(part, self.before.shape[:2], self._size)

    @property
    def _blended(self) -> bool:
        return self.mask is not None or self.strength < 1

    @cached_property
    def _kept(self) -> np.ndarray:
        """What remains where the edit does not apply, in the size of the result."""
        return resize(self.before, self._size)

    def _unchanged(self, part: Box) -> np.ndarray:
        return rounded(unit(self._place(part).of(self._kept)), self.depth)

    def _untouched(self, part: Box) -> bool:
        return self.strength == 0 or (self.mask is not None and not part.of(self.mask).any())

    def _blend(self, part: Box, values: Tensor) -> np.ndarray:
        """Return edited values, blended with the kept ones by strength and mask, at the depth of the result."""
        blend = values.detach().cpu().permute(1, 2, 0)
        if self._blended:
            kept = torch.from_numpy(unit(self._place(part).of(self._kept)))
            blend = torch.lerp(kept, blend, self._weight(part))
        return rounded(blend.numpy(), self.depth)

    def _weight(self, part: Box) -> Tensor:
        if self.mask is None:
            return torch.tensor(self.strength, dtype=torch.float32)
        weight = repeated(self.mask, self._size, self._place(part)).astype(np.float32)
        return self.strength * torch.from_numpy(weight)[..., None]

    def _side(self, picture: Box) -> int:
        """Return the side of tiles; without a limit, small pictures need no measurement."""
        if self.memory is None and max(picture.size) <= SIDE:
            return SIDE * self.bound.stride
        pixel = bytes_per_pixel(self.bound, self.before.shape[2], self.mask is not None, self.device)
        left = MEMORY if self.memory is None else self._left
        side = side_for(self.bound, pixel, left)
        if not side:
            least = self._used + pixel * (self.bound.stride + 1 + 2 * halo_of(self.bound)) ** 2
            raise MemoryLimitError(
                f"{self.name}: the limit leaves {max(0, left) / 1e6:,.0f} MB, too little for any tile; "
                f"{math.ceil(least / 1e6):,} MB would do"
            )
        return side

    def _check_memory(self, picture: Box) -> None:
        if self.device == "cpu":
            left = None if self.memory is None else self._left
            _refuse_too_large(self.name, self.bound.bytes_for(picture.size), left)

    @property
    def _left(self) -> int:
        """Return the bytes that the limit leaves for the edit."""
        return (self.memory or 0) - self._used

    @cached_property
    def _used(self) -> int:
        """The bytes that pictures and masks will take beside the edit itself; none if a GPU computes."""
        if self.device != "cpu":
            return 0
        whole = Box(0, 0, *self.before.shape[:2])
        after = math.prod(self._size) * self.before.shape[2] * self.depth.itemsize
        enlarged = self._kept.nbytes if self._blended and self._kept is not self.before else 0
        room = Room() if self._untouched(whole) else self.bound.room_to_prepare(self.before, self.mask)
        return self.held + enlarged + max(room.most, room.kept + after)
