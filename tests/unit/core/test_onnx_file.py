import struct

import numpy as np
import pytest
import torch

from hfdiff.core.errors import CheckpointError
from hfdiff.core.onnx_file import read_onnx

FLOAT, INT64 = 1, 7


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def tensor(name: str, values: np.ndarray, *, kind: int = FLOAT, packed: bool = False) -> bytes:
    if packed:
        shape = message(1, b"".join(varint(side) for side in values.shape))
    else:
        shape = b"".join(number(1, side) for side in values.shape)
    return message(5, shape + number(2, kind) + message(8, name) + message(9, values.tobytes()))


def node(name: str, operation: str, *inputs: str) -> bytes:
    named = b"".join(message(1, one) for one in inputs)
    return message(1, named + message(2, "out") + message(3, name) + message(4, operation))


def model(*parts: bytes) -> bytes:
    version = number(1, 7) + message(2, "pytorch")
    return version + message(7, b"".join(parts)) + varint(99 << 3 | 5) + struct.pack("<f", 1.0)


WEIGHT = np.arange(300 * 2, dtype=np.float32).reshape(300, 2)


@pytest.mark.parametrize("packed", [False, True])
def test_named_weights_keep_their_names_shapes_and_values(packed):
    weights = read_onnx(model(tensor("block.norm.weight", WEIGHT, packed=packed)))

    assert list(weights) == ["block.norm.weight"]
    assert torch.equal(weights["block.norm.weight"], torch.from_numpy(WEIGHT))


def test_a_nameless_matrix_gets_the_name_of_the_layer_that_uses_it_and_its_own_layout():
    parts = (
        tensor("onnx::MatMul_17", WEIGHT),
        node("/a/layer.0/query/MatMul", "MatMul", "x", "onnx::MatMul_17"),
    )

    weights = read_onnx(model(*parts))

    assert list(weights) == ["a.layer.0.query.weight"]
    assert torch.equal(weights["a.layer.0.query.weight"], torch.from_numpy(WEIGHT).T)


def test_one_matrix_of_two_layers_is_given_to_both():
    nodes = [node(f"/{name}/MatMul", "MatMul", "x", "onnx::MatMul_1") for name in ("a", "b")]

    weights = read_onnx(model(tensor("onnx::MatMul_1", WEIGHT), *nodes))

    assert sorted(weights) == ["a.weight", "b.weight"]


def test_other_operations_and_other_types_change_nothing():
    weights = read_onnx(
        model(
            tensor("shape", np.array([1, 2], dtype=np.int64), kind=INT64),
            tensor("kept", WEIGHT),
            node("/a/Add", "Add", "x", "kept"),
            node("/a/scores/MatMul", "MatMul", "x", "y"),
        )
    )

    assert list(weights) == ["kept"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (model(tensor("a", WEIGHT))[:-900], "not a whole ONNX file: it is cut off"),
        (b"\xff" * 40, "more than 64 bits"),
        (b"\x80", "not a whole ONNX file"),
        (varint(7 << 3 | 3), "unknown field type 3"),
        (b"", "holds no float32 weights"),
        (model(tensor("kept", WEIGHT).replace(b"\x08\xac\x02", b"\x08\xad\x02")), "602 values"),
    ],
)
def test_what_is_no_whole_file_with_weights_is_refused(content, words):
    with pytest.raises(CheckpointError, match=words):
        read_onnx(content)
