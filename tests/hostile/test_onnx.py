"""Exported models from elsewhere: every lie about them is one line with exit code 3 or 5, within a limit of time."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pinxit import runtime

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

FAIR = {"pinxit": "0", "channels": "3", "stride": "1", "scale": "1", "bytes_per_pixel": "9", "radius": "0"}


def made(folder: Path, nodes: Sequence[Any] = (), values: Sequence[Any] = (), functions: Any = (), **lies: str) -> Path:
    """Write a model that returns its picture, or the output of `nodes`; return its file."""
    from onnx import TensorProto, helper

    nodes = nodes or [helper.make_node("Identity", ["image"], ["out"])]
    ends = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 3 + [3]) for name in ("image", "out"))
    graph = helper.make_graph(nodes, "g", *([end] for end in ends), list(values))
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=9)
    helper.set_model_props(model, FAIR | lies)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return folder / "m.onnx"


def branch(name: str, output: str) -> Any:
    info = onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)
    return onnx.helper.make_graph([onnx.helper.make_node("Identity", ["image"], [output])], name, [], [info])


def refused(words: list[Path | str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setattr(sys, "argv", ["pinxit-runtime", *map(str, words)])
    code = runtime.main()
    line = capsys.readouterr().err
    assert line.count("\n") == (code != 0)
    return code, line


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the runtime on a model and a small picture; give its exit code and its line."""
    Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "in.png")
    words = [tmp_path / "in.png", "-y", "-o", tmp_path / "out.png"]
    return lambda model: refused([model, *words], monkeypatch, capsys)


def test_what_is_fair_runs(tmp_path: Path, told: Any) -> None:
    assert told(made(tmp_path)) == (0, "")
    assert Image.open(tmp_path / "out.png").getpixel((0, 0)) == (9, 9, 9)


def test_a_pipe_is_waited_for_by_no_one(tmp_path: Path, told: Any) -> None:
    model = made(tmp_path)
    for name in ("m.onnx", "in.png"):
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
        assert told(model) == (3, f"pinxit-runtime: {tmp_path / name}: not a file\n")
        (tmp_path / name).unlink()
        model = made(tmp_path)


def test_numbers_that_no_export_has_are_refused(tmp_path: Path, told: Any) -> None:
    lies = {
        "scale": ("1000000000", "0", "-1", "1.5", "", "9" * 5000, "1_0", "٣", "nan", "17"),
        "stride": ("0", "10000000", "x"),
        "channels": ("2", "0", "4"),
        "radius": ("-1", "99999999", "\x1b[2J"),
        "bytes_per_pixel": ("-9", "9999999999999999", "true"),
    }
    for name, values in lies.items():
        for value in values:
            code, line = told(made(tmp_path, **{name: value}))
            assert (code, name in line, "\x1b" in line) == (3, True, False), (name, value, line)
    code, line = told(made(tmp_path, scale="2"))
    assert (code, "expected size" in line) == (3, True)


def test_a_picture_larger_than_memory_is_refused_first(
    tmp_path: Path, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = made(tmp_path, scale="16")
    runtime.Model(file)  # onnxruntime gets its limit, once in a process, before the memory seems to shrink
    monkeypatch.setattr(runtime, "memory", lambda: 8 * 8 * 3 * 255)
    assert told(file)[0] == 5
    monkeypatch.setattr(runtime, "memory", lambda: 8 * 8 * 3 * 257)
    assert told(file)[0] == 3  # now the lie about the size


def test_loops_branches_functions_and_other_files_are_refused(tmp_path: Path, told: Any) -> None:
    from onnx import TensorProto, helper, numpy_helper

    yes = numpy_helper.from_array(np.array(True), "yes")
    branches = {"then_branch": branch("a", "x"), "else_branch": branch("b", "y")}
    function = helper.make_function(
        "own", "Own", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"])], [helper.make_opsetid("", 20)]
    )
    outside = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="../secret")
    own = helper.make_node("Own", ["image"], ["out"], domain="own")
    few = helper.make_sparse_tensor(
        numpy_helper.from_array(np.ones(1, np.float32), "few"), numpy_helper.from_array(np.zeros(1, np.int64)), [1]
    )
    sparse = [
        helper.make_node("Constant", [], ["few"], sparse_value=few),
        helper.make_node("Mul", ["image", "few"], ["out"]),
    ]
    cases = {
        "a loop or a branch": ([helper.make_node("If", ["yes"], ["out"], **branches)], [yes], []),
        "functions": ([own], [], [function]),
        "sparse weights": (sparse, [], []),
        "weights in another file": ([helper.make_node("Mul", ["image", "w"], ["out"])], [outside], []),
    }
    for what, parts in cases.items():
        code, line = told(made(tmp_path, *parts))
        assert (code, what in line) == (3, True), line


def test_memory_and_time_have_a_limit(tmp_path: Path, told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from onnx import helper, numpy_helper

    count = numpy_helper.from_array(np.array([10**13]), "n")
    huge = [
        helper.make_node("ConstantOfShape", ["n"], ["many"]),
        helper.make_node("ReduceSum", ["many"], ["sum"], keepdims=0),
        helper.make_node("Add", ["image", "sum"], ["out"]),
    ]
    assert told(made(tmp_path, huge, [count]))[0] == 5
    monkeypatch.setattr(runtime, "SECONDS", 0.01)
    monkeypatch.setattr(runtime, "SECONDS_PER_PIXEL", 0)
    size = numpy_helper.from_array(np.array([900, 900]), "n")
    slow = [helper.make_node("ConstantOfShape", ["n"], ["m0"])]
    slow += [helper.make_node("MatMul", [f"m{i}", f"m{i}"], [f"m{i + 1}"]) for i in range(60)]
    slow += [
        helper.make_node("ReduceSum", ["m60"], ["sum"], keepdims=0),
        helper.make_node("Add", ["image", "sum"], ["out"]),
    ]
    varied = [helper.make_node("ReduceMin", ["image"], ["zero"], keepdims=0), *slow]
    varied[2] = helper.make_node("Add", ["m0", "zero"], ["m1"])  # so that nothing is computed while it is loaded
    code, line = told(made(tmp_path, varied, [size]))
    assert (code, "terminate" in line.lower()) == (3, True), line


def test_any_bytes_are_one_line(tmp_path: Path, told: Any) -> None:
    whole = made(tmp_path).read_bytes()
    rng = np.random.default_rng(0)
    for content in (b"", b"\xff" * 40, b"ORTM" * 9, *(whole[:cut] for cut in rng.integers(1, len(whole), 8))):
        (tmp_path / "m.onnx").write_bytes(content)
        assert told(tmp_path / "m.onnx")[0] in (2, 3)
    for _ in range(25):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        (tmp_path / "m.onnx").write_bytes(damaged)
        assert told(tmp_path / "m.onnx")[0] in (0, 2, 3)
