"""Files of ONNX, byte by byte. Its fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto."""

from collections.abc import Mapping, Sequence

import numpy as np

Shapes = Mapping[str, Sequence[int | str]]
Node = tuple[str, str, str, Mapping[str, int | list[int]]]


def onnx_model(
    inputs: Shapes, outputs: Shapes, nodes: Sequence[Node], constants: Mapping[str, np.ndarray]
) -> bytes:
    """A file of ONNX. A node is its operator, its inputs and output (names), and its attributes.

    Inputs whose name ends in `_lengths` are whole numbers, all others floats.
    """
    graph = [field(1, node(*parts)) for parts in nodes]
    graph += [field(5, tensor(name, array)) for name, array in constants.items()]
    for number, values in ((11, inputs), (12, outputs)):
        graph += [field(number, value(name, shape)) for name, shape in values.items()]
    return field(1, 8) + field(7, field(2, "tiny"), *graph) + field(8, field(2, 17))


def field(number: int, *parts: int | str | bytes) -> bytes:
    if isinstance(parts[0], int):
        return varint(number << 3) + varint(parts[0])
    content = b"".join(part.encode() if isinstance(part, str) else bytes(part) for part in parts)
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def node(operator: str, inputs: str, output: str, attributes: Mapping[str, int | list[int]]) -> bytes:
    parts = [*(field(1, name) for name in inputs.split()), field(2, output), field(4, operator)]
    for name, number in attributes.items():
        numbers = [field(8, each) for each in number] if isinstance(number, list) else [field(3, number)]
        parts.append(field(5, field(1, name), *numbers, field(20, 7 if isinstance(number, list) else 2)))
    return b"".join(parts)


def tensor(name: str, array: np.ndarray) -> bytes:
    dims = [field(1, size) for size in array.shape]
    kind = 7 if array.dtype == np.int64 else 1
    return b"".join((*dims, field(2, kind), field(8, name), field(9, array.tobytes())))


def value(name: str, shape: Sequence[int | str]) -> bytes:
    dims = [field(1, field(1 if isinstance(size, int) else 2, size)) for size in shape]
    kind = field(1, 7 if name.endswith("_lengths") else 1) + field(2, *dims)
    return field(1, name) + field(2, field(1, kind))
