"""Run models that `pinxit export` wrote, without torch: `pinxit-runtime MODEL.onnx IN -o OUT`.

This module needs numpy, pillow and onnxruntime, and nothing else of pinxit. Beside those three, `pip install --no-deps
pinxit` is enough. A model describes itself in its file (`Model`). `pinxit edit --model MODEL.onnx` uses it too.

The result is upright, of the picture's size or enlarged. It keeps depth (16-bit grey, else 8 bits), alpha and colour
profile, and no other metadata. Large pictures are cut into tiles, with the same result as in one piece.
"""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # the working folder, where anything may lie that has a library's name

import argparse
import importlib.util
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
SAVED = ("AVIF", "JPEG", "PNG", "TIFF", "WEBP")
DEEP = ("PNG", "TIFF")
PIXEL_CEILING = 256_000_000
SIDE, HALOS = 256, 16  # a tile's side is the larger of so many pixels and so many halos
USAGE, DATA, MEMORY, DISK = 2, 3, 5, 6
Image.MAX_IMAGE_PIXELS = 2 * PIXEL_CEILING  # our own limit is checked first

REQUIRED_INPUTS = ("mask", "style")
DEFAULT_INPUTS = {"sigma": 0.0, "strength": 1.0}
REFUSED_INPUTS = {
    "mask": "this model fills no holes",
    "sigma": "this model estimates the noise by itself",
    "style": "this model takes no style picture",
    "strength": "this model has one fixed strength",
}
"""Why a model that lacks an input refuses it."""
STROKES = 0.75  # a larger style picture is reduced to the area of a square: this times the picture's longer side
Inputs = Mapping[str, Any]
NO_INPUTS: Inputs = MappingProxyType({})


class RefusedError(Exception):
    """What cannot be done and why, in one line, with the exit code: 2 for usage, 3 for a bad picture or model."""

    def __init__(self, line: str, exit_code: int = DATA) -> None:
        super().__init__(line)
        self.exit_code = exit_code


class Model:
    """An exported model, with what its file says in `metadata`.

    `channels` is 1 or 3. `radius` is the receptive field's in pixels, None for the whole picture. Tiles start on
    multiples of `stride`. The output is `scale` times as large as the input. The input `image` and the output are
    (N, H, W, C) float32 in [0, 1], of any H and W. Other inputs that a model may have: `mask` (N, H, W, 1), 1 in the
    holes; `sigma` (), the noise's standard deviation, 0 if unknown; `style` (N, h, w, C), a picture of any size whose
    style is painted, and `strength` () of that style in [0, 1].
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.session = session(path)
        self.metadata: dict[str, str] = dict(self.session.get_modelmeta().custom_metadata_map)
        self.inputs = [node.name for node in self.session.get_inputs()]
        if "pinxit" not in self.metadata:
            raise RefusedError(f"{path}: not written by `pinxit export`: its metadata do not describe it")
        if "image" not in self.inputs or set(self.inputs) - {"image", *REFUSED_INPUTS}:
            raise RefusedError(f"{path}: makes pictures from {', '.join(self.inputs)}, not from pictures", USAGE)
        try:
            self.channels, self.stride, self.scale, self.bytes_per_pixel = (
                int(self.metadata[name]) for name in ("channels", "stride", "scale", "bytes_per_pixel")
            )
            self.radius = int(self.metadata["radius"]) if self.metadata["radius"] else None
        except (KeyError, ValueError) as error:
            raise RefusedError(f"{path}: its metadata are not as `pinxit export` writes them ({error})") from error
        if self.channels not in (1, 3) or min(self.stride, self.scale) < 1 or (self.radius or 0) < 0:
            raise RefusedError(f"{path}: its metadata are not as `pinxit export` writes them")

    def check(self, given: Collection[str]) -> None:
        """Raise if the model needs a mask or a style that is not given, or does not take an input that is."""
        for name in REQUIRED_INPUTS:
            if name in self.inputs and name not in given:
                raise RefusedError(f"{self.path}: this model needs a --{name}", USAGE)
        for name in given:
            if name not in self.inputs:
                raise RefusedError(f"{self.path}: --{name}: {REFUSED_INPUTS[name]}", USAGE)

    def run(self, image: np.ndarray, holes: np.ndarray | None = None, extra: Inputs = NO_INPUTS) -> np.ndarray:
        """Return the output (H scale, W scale, C) for a picture (H, W, C) float32 in [0, 1], with C 1 or 3.

        A colour model gets a grey picture in three equal channels; a grey model gets each colour channel by itself.
        `holes` is (H, W), 1 in the holes. `extra` holds other inputs by name; a `style` is (h, w, 1 or 3).
        """
        high, wide, channels = image.shape
        by_channel = channels > self.channels
        rows = (
            image.transpose(2, 0, 1)[..., None]
            if by_channel
            else np.broadcast_to(image, (1, high, wide, self.channels))
        )
        given = dict(extra)
        if holes is not None:
            given["mask"] = np.broadcast_to(holes[..., None], (*rows.shape[:3], 1))
        if "style" in extra:
            given["style"] = np.broadcast_to(extra["style"], (1, *extra["style"].shape[:2], self.channels))
        output = self.rows(rows, given)
        if by_channel:
            return output[..., 0].transpose(1, 2, 0)
        return output[0].mean(axis=2, keepdims=True) if channels < self.channels else output[0]

    def rows(self, images: np.ndarray, given: Inputs) -> np.ndarray:
        """Return the output for pictures (N, H, W, channels) and other inputs, all shaped as in the file."""
        given = {**DEFAULT_INPUTS, **given, "image": images}
        feeds = {name: np.asarray(given[name], np.float32, order="C") for name in self.inputs}
        try:
            (output,) = self.session.run(None, feeds)
        except Exception as error:  # onnxruntime's errors have nothing else in common
            raise RefusedError(f"{self.path}: cannot be run ({_line(error)})") from error
        count, high, wide, _ = images.shape
        wanted = (count, high * self.scale, wide * self.scale, self.channels)
        if output.shape != wanted or not np.isfinite(output).all():
            raise RefusedError(f"{self.path}: output {output.dtype} {output.shape}, not a picture of the expected size")
        found: np.ndarray = output
        return found

    def edited(self, pixels: np.ndarray, weights: np.ndarray | None = None, extra: Inputs = NO_INPUTS) -> np.ndarray:
        """Return a picture (H, W, C) uint8 or uint16 edited, in the same type; with C 2 or 4 the last channel is alpha.

        `weights` (H, W) in [0, 1] are above 0 in the holes, and say how far the filling replaces the picture there. A
        `strength` of 0 changes nothing. `extra` is as for `run`.
        """
        if extra.get("strength") == 0:
            return pixels
        self._check_memory(pixels, extra)
        colours, alpha = (pixels[..., :-1], pixels[..., -1]) if pixels.shape[2] in (2, 4) else (pixels, None)
        if alpha is None:
            return self._tiled(colours, weights, extra)
        unseen, covered = alpha == 0, colours.copy()
        if unseen.any() and not unseen.all():
            covered[unseen] = colours[~unseen].mean(axis=0)  # transparent pixels must not bleed into visible ones
        output = self._tiled(covered, weights, extra)
        if self.scale == 1:
            output[unseen] = colours[unseen]
        high, wide = output.shape[:2]
        enlarged = np.asarray(Image.fromarray(alpha).resize((wide, high), Image.Resampling.BICUBIC))
        return np.concatenate([output, enlarged[..., None]], axis=2)

    def _tiled(self, colours: np.ndarray, weights: np.ndarray | None, extra: Inputs) -> np.ndarray:
        (high, wide), scale, top = colours.shape[:2], self.scale, np.iinfo(colours.dtype).max
        result = np.empty((high * scale, wide * scale, colours.shape[2]), colours.dtype)
        for rows, rows_seen in self._tiles(high):
            for columns, columns_seen in self._tiles(wide):
                image = colours[rows_seen, columns_seen].astype(np.float32) / top
                weight = None if weights is None else weights[rows_seen, columns_seen]
                output = self.run(image, None if weight is None else (weight > 0).astype(np.float32), extra)
                if weight is not None:
                    output = image + weight[..., None] * (output - image)
                part = output[_scaled(rows, scale, rows_seen.start), _scaled(columns, scale, columns_seen.start)]
                result[_scaled(rows, scale), _scaled(columns, scale)] = np.rint(part.clip(0, 1) * top)
        return result

    def _check_memory(self, pixels: np.ndarray, extra: Inputs) -> None:
        """Raise if a picture that cannot be cut into tiles, or the style, needs more memory than there is."""
        largest = max(plane.shape[0] * plane.shape[1] for plane in (pixels, extra.get("style", pixels)))
        needed, there = self.bytes_per_pixel * largest, memory()
        if self.radius is None and there is not None and needed > there:
            raise RefusedError(
                f"{self.path}: cannot cut pictures into tiles and needs {needed / 1e9:,.1f} GB for one of "
                f"{pixels.shape[1]} x {pixels.shape[0]}; this machine has {there / 1e9:,.1f} GB",
                MEMORY,
            )

    def _tiles(self, length: int) -> Iterator[tuple[slice, slice]]:
        """Yield the parts of a side, each with its input: the part and a halo of at least `radius` pixels."""
        if self.radius is None:
            yield slice(0, length), slice(0, length)
            return
        halo = -(-self.radius // self.stride) * self.stride
        side = -(-max(SIDE, HALOS * halo) // self.stride) * self.stride
        for start in range(0, length, side):
            end = min(start + side, length)
            yield slice(start, end), slice(max(0, start - halo), min(length, end + halo))


def session(path: Path) -> Any:
    """Return onnxruntime's session of a file, on the processor; `RefusedError` if it cannot be read."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise RefusedError("onnxruntime is missing; `pip install onnxruntime`, or 'pinxit[export]', installs it", USAGE)
    if not path.is_file():
        raise RefusedError(f"{path}: no such file")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # real problems come as errors
    options.intra_op_num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have nothing else in common
        raise RefusedError(f"{path}: not a model that onnxruntime can read ({_line(error)})") from error


def memory() -> int | None:
    """Return this machine's memory in bytes, None if the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def read_style(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Return a style picture (h, w, C) float32 in [0, 1], reduced to suit a picture of `size` = (H, W)."""
    pixels, _ = read_picture(path)
    colours = pixels[..., 0] if pixels.shape[2] < 3 else pixels[..., :3]
    image = Image.fromarray(colours if colours.itemsize == 1 else (colours // 257).astype(np.uint8))
    share = STROKES * max(size) / (image.width * image.height) ** 0.5
    if share < 1:
        wide, high = (max(1, round(side * share)) for side in image.size)
        image = image.resize((wide, high), Image.Resampling.BICUBIC)
    return np.atleast_3d(np.asarray(image, np.float32)) / 255


def read_picture(path: Path) -> tuple[np.ndarray, bytes | None]:
    """Return the upright pixels of a file, (H, W, C) uint8 or uint16, and its colour profile."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > PIXEL_CEILING:
                raise RefusedError(f"{path}: more than {PIXEL_CEILING // 1_000_000} million pixels")
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                raise RefusedError(f"{path}: an animation, or several pages; only single pictures can be edited")
            if image.mode in ("I", "F") or (image.mode[0] != "I" and any(";16" in str(tile) for tile in image.tile)):
                raise RefusedError(f"{path}: colour of 16 bits, or float pixels, which `pinxit edit` can keep")
            profile = None if image.mode == "CMYK" else image.info.get("icc_profile")
            upright = ImageOps.exif_transpose(image)
            pixels = np.asarray(upright if upright.mode.startswith("I;16") else upright.convert(_pixel_mode(upright)))
    except (RefusedError, MemoryError):
        raise
    except Exception as error:  # Pillow raises any kind of error on malformed files
        raise RefusedError(f"{path}: cannot be read as a picture ({_line(error)})") from error
    pixels = pixels.astype(np.uint16 if pixels.itemsize == 2 else np.uint8)
    return pixels.reshape(*pixels.shape[:2], -1), profile


def _pixel_mode(image: Image.Image) -> str:
    if image.mode in ("1", "L", "LA"):
        return "LA" if image.mode == "LA" else "L"
    return "RGBA" if image.has_transparency_data else "RGB"


def read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Return a mask picture as weights (H, W) float32 in [0, 1]; `RefusedError` if it is of another `size`."""
    drawn, _ = read_picture(path)
    if drawn.shape[:2] != size:
        raise RefusedError(f"{path}: the mask should be of the picture's size", USAGE)
    return drawn[..., 0].astype(np.float32) / np.iinfo(drawn.dtype).max


def kind_of(path: Path, overwrite: bool) -> str:
    """Return the format of a file to write; `RefusedError` if there is none, or the file exists and must stay."""
    kind = Image.registered_extensions().get(path.suffix.lower(), "")
    if kind not in SAVED:
        raise RefusedError(f"{path}: the suffix should be of {', '.join(SAVED)}", USAGE)
    if path.exists() and not overwrite:
        raise RefusedError(f"{path} is there already; -y replaces it", USAGE)
    return kind


def save(path: Path, kind: str, pixels: np.ndarray, profile: bytes | None) -> None:
    """Write a picture (H, W, C), whole or not at all."""
    if pixels.itemsize == 2 and kind not in DEEP:
        raise RefusedError(f"{path}: {kind} cannot hold 16 bits; .png can", USAGE)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as file:
            image.save(file, kind, quality=95, icc_profile=profile)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, ValueError) as error:
        code = DISK if getattr(error, "errno", None) else USAGE
        raise RefusedError(f"{path}: cannot be written ({_line(error)})", code) from error
    finally:
        temporary.unlink(missing_ok=True)


def _scaled(part: slice, scale: int, origin: int = 0) -> slice:
    return slice((part.start - origin) * scale, (part.stop - origin) * scale)


def _line(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:300] or type(error).__name__


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RefusedError(f"{message}; --help lists what works", USAGE)


def run(arguments: Sequence[str]) -> None:
    """Edit one picture as the command line asks."""
    parser = _Parser(prog="pinxit-runtime", description="Run a model of `pinxit export` on a picture.")
    parser.add_argument("model", type=Path, metavar="MODEL.onnx")
    parser.add_argument("picture", type=Path, metavar="IN")
    parser.add_argument("-o", "--out", type=Path, required=True, help="file for the result")
    parser.add_argument("-y", "--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument("--mask", type=Path, help="a picture of the same size, white in the holes")
    parser.add_argument("--sigma", type=float, help="standard deviation of the noise, in units of the image range")
    parser.add_argument("--style", type=Path, help="the picture whose style is painted")
    parser.add_argument("--strength", type=float, help="strength of the style, from 0 to 1")
    asked = parser.parse_args(arguments)
    extra = {name: value for name in REFUSED_INPUTS if (value := getattr(asked, name)) is not None}
    for name in DEFAULT_INPUTS:
        if not 0 <= extra.get(name, 0) <= 1:
            raise RefusedError(f"--{name} {extra[name]:g}: should be from 0 to 1", USAGE)
    kind = kind_of(asked.out, asked.overwrite)
    model = Model(asked.model)
    model.check(extra)
    pixels, profile = read_picture(asked.picture)
    size, drawn = pixels.shape[:2], extra.pop("mask", None)
    weights = None if drawn is None else read_mask(drawn, size)
    if asked.style:
        extra["style"] = read_style(asked.style, size)
    save(asked.out, kind, model.edited(pixels, weights, extra), profile)
    sys.stdout.write(f"{asked.out}\n")


def main() -> int:
    """Run the command line; return the exit code, after one line on stderr if it is not 0."""
    try:
        run(sys.argv[1:])
    except RefusedError as error:
        sys.stderr.write(f"pinxit-runtime: {error}\n")
        return error.exit_code
    except MemoryError:
        sys.stderr.write("pinxit-runtime: out of memory; try a smaller picture\n")
        return MEMORY
    return 0


if __name__ == "__main__":
    sys.exit(main())
