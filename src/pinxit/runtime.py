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
import contextlib
import importlib.util
import mmap
import os
import re
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, TextIO

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
SAVED = ("AVIF", "JPEG", "PNG", "TIFF", "WEBP")
DEEP = ("PNG", "TIFF")
PIXEL_CEILING = 256_000_000
SIDE, HALOS = 256, 16  # a tile's side is the larger of so many pixels and so many halos
USAGE, DATA, MEMORY, DISK = 2, 3, 5, 6
Image.MAX_IMAGE_PIXELS = 2 * PIXEL_CEILING  # our own limit is checked first

NUMBERS = {
    "channels": (1, 3),
    "stride": range(1, 4097),
    "scale": range(1, 17),
    "radius": range(65537),
    "bytes_per_pixel": range(1 << 40),
}
"""The values that the numbers in a model's metadata may have."""
SECONDS, SECONDS_PER_PIXEL = 120, 1e-3
"""A graph is stopped after so long: some hundred times what the slowest network needs on one core."""
TENSOR: dict[int, Any] = {13: "weights in another file", 14: "weights in another file"}
SPARSE = "sparse weights"
ATTRIBUTE: dict[int, Any] = {
    5: TENSOR, 6: "a loop or a branch", 10: TENSOR, 11: "loops or branches", 22: SPARSE, 23: SPARSE
}  # fmt: skip
GRAPH: dict[int, Any] = {1: {5: ATTRIBUTE}, 5: TENSOR, 15: SPARSE}
MODEL: dict[int, Any] = {7: GRAPH, 20: "training", 25: "functions"}
"""The parts of an ONNX file that hold others, by their numbers in onnx.proto, and those that must not be there."""

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
        try:
            self.metadata: dict[str, str] = dict(self.session.get_modelmeta().custom_metadata_map)
            self.inputs = [node.name for node in self.session.get_inputs()]
        except UnicodeDecodeError as error:
            raise RefusedError(f"{path}: its names are not text ({error.reason})") from error
        if "pinxit" not in self.metadata:
            raise RefusedError(f"{path}: not written by `pinxit export`: its metadata do not describe it")
        if "classes" in self.metadata and "image" in self.inputs:
            raise RefusedError(f"{path}: tells the classes of pictures and makes none; docs/export.md says how", USAGE)
        if "image" not in self.inputs or set(self.inputs) - {"image", *REFUSED_INPUTS}:
            raise RefusedError(f"{path}: makes pictures from {', '.join(self.inputs)}, not from pictures", USAGE)
        self.channels, self.stride, self.scale, self.bytes_per_pixel = (
            self._number(name) for name in ("channels", "stride", "scale", "bytes_per_pixel")
        )
        self.radius = None if self.metadata.get("radius") == "" else self._number("radius")

    def _number(self, name: str) -> int:
        """Return a number of the metadata; `RefusedError` if it is missing or none that `pinxit export` writes."""
        given, allowed = self.metadata.get(name, ""), NUMBERS[name]
        if not re.fullmatch("[0-9]{1,15}", given) or int(given) not in allowed:
            raise RefusedError(
                f"{self.path}: its metadata are not as `pinxit export` writes them ({name} {given[:20]!r})"
            )
        return int(given)

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
            (output,) = within_limit(self.session, feeds, images.shape[0] * images.shape[1] * images.shape[2])
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime's errors have nothing else in common
            raise _refusal(f"{self.path}: cannot be run", error) from error
        count, high, wide, _ = images.shape
        wanted = (count, high * self.scale, wide * self.scale, self.channels)
        if not isinstance(output, np.ndarray) or output.shape != wanted or output.dtype.kind != "f":
            raise RefusedError(f"{self.path}: its output is not a picture of the expected size")
        if not np.isfinite(output).all():
            raise RefusedError(f"{self.path}: its output is not finite")
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
        there, made = memory(), pixels.nbytes * self.scale**2
        if there is not None and made > there:
            raise RefusedError(
                f"{self.path}: makes a picture of {made / 1e9:,.1f} GB; this machine has {there / 1e9:,.1f} GB", MEMORY
            )
        needed = self.bytes_per_pixel * largest
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
    _refuse_other_than_files(path)
    refuse_foreign_parts(path)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if limit_memory():
        options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = 4  # real problems come as errors
    options.intra_op_num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have nothing else in common
        raise _refusal(f"{path}: not a model that onnxruntime can read", error) from error


def within_limit(session: Any, feeds: Mapping[str, np.ndarray], pixels: int) -> list[Any]:
    """Return a graph's outputs; it is stopped when it takes longer than any network of its size."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    clock = threading.Timer(SECONDS + SECONDS_PER_PIXEL * pixels, setattr, (options, "terminate", True))
    clock.daemon = True
    clock.start()
    try:
        found: list[Any] = session.run(None, feeds, options)
        return found
    finally:
        clock.cancel()


def _refusal(what: str, error: Exception) -> RefusedError:
    """Return an error of onnxruntime as a refusal; what is about memory has the exit code of that."""
    if re.search("alloc", str(error), re.IGNORECASE):
        return RefusedError(f"{what}: it asks for more memory than this machine has", MEMORY)
    return RefusedError(f"{what} ({_line(error)})")


@cache
def limit_memory() -> bool:
    """Give onnxruntime no more memory than this machine has, once; return whether there is a limit."""
    import onnxruntime as ort

    if (there := memory()) is None:
        return False
    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(place, ort.OrtArenaCfg({"max_mem": there}))
    return True


def refuse_foreign_parts(path: Path) -> None:
    """Raise `RefusedError` for what `pinxit export` never writes: loops, branches, functions, weights in other files.

    So every node runs once. The file is read as onnx.proto lays it out; weights are skipped, not read.
    """
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise RefusedError(f"{path}: the file is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                found = _foreign(content, range(len(content)), MODEL)
            except (IndexError, ValueError) as error:
                raise RefusedError(f"{path}: not an ONNX file") from error
    if found:
        raise RefusedError(f"{path}: has {found}, which `pinxit export` does not write")


def _foreign(content: mmap.mmap, message: range, layout: Mapping[int, Any]) -> str:
    """Return the first part of a message, or of those inside it, that must not be there; empty if there is none.

    `message` is where it lies in the file.
    """
    for number, value in _parts(content, message):
        below = layout.get(number)
        if isinstance(below, str) and value:
            return below
        if isinstance(below, Mapping) and isinstance(value, range) and (found := _foreign(content, value, below)):
            return found
    return ""


def _parts(content: mmap.mmap, message: range) -> Iterator[tuple[int, int | range]]:
    """Yield the fields of a message of Protocol Buffers: the number of each, and its value or where that lies."""
    at = message.start
    while at < message.stop:
        key, at = _varint(content, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(content, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(content, at)
        else:
            length = {1: 8, 5: 4}.get(kind, -1)
        if length < 0 or at + length > message.stop:
            raise ValueError("cut short, or of another format")
        yield key >> 3, range(at, at + length)
        at += length


def _varint(content: mmap.mmap, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number too long")


def _refuse_other_than_files(path: Path) -> None:
    """Raise `RefusedError` for what is not there, and for a pipe, which would be waited for."""
    if not path.is_file():
        raise RefusedError(f"{path}: {'not a file' if path.exists() else 'no such file'}")


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
    _refuse_other_than_files(path)
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
    if os.path.lexists(path) and not overwrite:
        raise RefusedError(f"{path} is there already; -y replaces it", USAGE)
    return kind


def save(path: Path, kind: str, pixels: np.ndarray, profile: bytes | None) -> None:
    """Write a picture (H, W, C), whole or not at all."""
    if pixels.itemsize == 2 and kind not in DEEP:
        raise RefusedError(f"{path}: {kind} cannot hold 16 bits; .png can", USAGE)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    temporary = path.with_name(f".pinxit-{os.getpid()}.tmp")
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


def run(arguments: Sequence[str]) -> Path:
    """Edit one picture as the command line asks; return the file that was written."""
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
    return Path(asked.out)


def main() -> int:
    """Run the command line; return the exit code, after one line on stderr if it is not 0."""
    try:
        _tell(sys.stdout, str(run(sys.argv[1:])))
        return 0
    except RefusedError as error:
        line, code = str(error), error.exit_code
    except MemoryError:
        line, code = "out of memory; try a smaller picture", MEMORY
    except OSError as error:
        line, code = f"cannot write to stdout: {_line(error)}", DISK
    except Exception as error:  # the last door: whatever a foreign file brings about is one line
        line, code = f"our fault: {type(error).__name__}: {_line(error)}", 1
    with contextlib.suppress(OSError):
        _tell(sys.stderr, f"pinxit-runtime: {line}")
    return code


def _tell(stream: TextIO | None, text: str) -> None:
    """Write a line that cannot act on a terminal, in any encoding; discard it if the stream is closed or full."""
    if stream is None:
        return
    line = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    try:
        stream.write(line.encode(stream.encoding, "backslashreplace").decode(stream.encoding) + "\n")
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise


if __name__ == "__main__":
    sys.exit(main())
