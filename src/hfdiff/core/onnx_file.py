"""The weights inside an ONNX file, read without ONNX: its protocol buffers hold little else.

Only what weights need of the format (onnx.proto): the graph's initialisers, and its nodes, whose
names tell what the exporter's nameless matrices are.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hfdiff.core.errors import CheckpointError

# Field numbers of onnx.proto.
_GRAPH, _NODE, _INITIALISER = 7, 1, 5
_INPUT, _NODE_NAME, _OPERATION = 1, 3, 4
_DIMENSION, _DATA_TYPE, _TENSOR_NAME, _RAW_DATA = 1, 2, 8, 9
_FLOAT = 1
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operation of a graph.

    Attributes:
        name: Its path in the module that was exported, such as ``/block/query/MatMul``.
        operation: What it does.
        inputs: Names of tensors.
    """

    name: str
    operation: str
    inputs: tuple[str, ...]


def read_onnx(content: bytes) -> dict[str, Tensor]:
    """The float32 weights of an ONNX file by name.

    Exporters leave the matrices of linear layers without a name, and transposed: they get the name
    of the layer that uses them (``/block/query/MatMul`` -> ``block.query.weight``) and their own
    layout back.

    Raises:
        CheckpointError: when it is not a whole ONNX file with its weights inside.
    """
    try:
        nodes, tensors = _graph(memoryview(content))
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise CheckpointError(f"this is not a whole ONNX file: {error}") from error
    if not tensors:
        raise CheckpointError("the ONNX file holds no float32 weights")
    return _with_names(tensors, nodes)


def _with_names(tensors: Mapping[str, Tensor], nodes: list[Node]) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    nameless: set[str] = set()
    for node in nodes:
        if node.operation == "MatMul" and len(node.inputs) == 2 and node.inputs[1] in tensors:
            path = node.name.strip("/").removesuffix("/MatMul").replace("/", ".")
            named[f"{path}.weight"] = tensors[node.inputs[1]].T.contiguous()
            nameless.add(node.inputs[1])
    return {**{key: t for key, t in tensors.items() if key not in nameless}, **named}


def _graph(model: memoryview) -> tuple[list[Node], dict[str, Tensor]]:
    nodes: list[Node] = []
    tensors: dict[str, Tensor] = {}
    for graph in _inner(model, _GRAPH):
        for number, value in _fields(graph):
            if number == _NODE and isinstance(value, memoryview):
                nodes.append(_node(value))
            elif number == _INITIALISER and isinstance(value, memoryview):
                tensors.update(_tensor(value))
    return nodes, tensors


def _node(message: memoryview) -> Node:
    texts: dict[int, list[str]] = {_INPUT: [], _NODE_NAME: [], _OPERATION: []}
    for number, value in _fields(message):
        if number in texts and isinstance(value, memoryview):
            texts[number].append(str(value, "utf-8"))
    name, operation = ("".join(texts[key]) for key in (_NODE_NAME, _OPERATION))
    return Node(name=name, operation=operation, inputs=tuple(texts[_INPUT]))


def _tensor(message: memoryview) -> dict[str, Tensor]:
    """Name and values of an initialiser; nothing for one that is not float32 bytes."""
    shape: list[int] = []
    kind, name, data = 0, "", None
    for number, value in _fields(message):
        if number == _DIMENSION:
            shape += [value] if isinstance(value, int) else list(_varints(value))
        elif number == _DATA_TYPE and isinstance(value, int):
            kind = value
        elif isinstance(value, memoryview):
            name = str(value, "utf-8") if number == _TENSOR_NAME else name
            data = value if number == _RAW_DATA else data
    if kind != _FLOAT or data is None:
        return {}
    if len(data) != 4 * math.prod(shape):
        raise ValueError(f"{name} must have {math.prod(shape)} values, got {len(data) / 4:g}")
    return {name: torch.from_numpy(np.frombuffer(data, "<f4").reshape(shape).copy())}


def _inner(message: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, value in _fields(message):
        if number == wanted and isinstance(value, memoryview):
            yield value


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Numbers and values of a message's fields; values of fixed width are skipped."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield number, value
        elif kind == _BYTES:
            length, place = _varint(message, place)
            if place + length > len(message):
                raise ValueError("it is cut off")
            yield number, message[place : place + length]
            place += length
        elif kind in (_FIXED_32, _FIXED_64):
            place += 4 if kind == _FIXED_32 else 8
        else:
            raise ValueError(f"unknown field type {kind}")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """A number in groups of 7 bits, the lowest first, and the place after it."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("a number has more than 64 bits")


def _varints(message: memoryview) -> Iterator[int]:
    place = 0
    while place < len(message):
        value, place = _varint(message, place)
        yield value
