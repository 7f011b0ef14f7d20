"""Files of ONNX, byte by byte. Its fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto."""

from collections.abc import Sequence

import numpy as np

FLOAT, INT64 = 1, 7


def onnx_model(
    inputs: dict[str, Sequence[int | str]],
    outputs: dict[str, Sequence[int | str]],
    nodes: Sequence[tuple[str, str, str, dict[str, int | list[int]]]],
    constants: dict[str, np.ndarray],
) -> bytes:
    """A file of ONNX. A node is its operator, inputs and output (names, separated by spaces), and attributes.

    Inputs whose name ends in `_lengths` are whole numbers, all others floats.
    """
    graph = b"".join(field(1, node(*parts)) for parts in nodes) + field(2, "tiny")
    graph += b"".join(field(5, tensor(name, array)) for name, array in constants.items())
    graph += b"".join(field(11, value(name, shape)) for name, shape in inputs.items())
    graph += b"".join(field(12, value(name, shape)) for name, shape in outputs.items())
    return field(1, 8) + field(7, graph) + field(8, field(2, 17))


def field(number: int, content: int | str | bytes) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def node(operator: str, inputs: str, output: str, attributes: dict[str, int | list[int]]) -> bytes:
    names = b"".join(field(1, name) for name in inputs.split()) + field(2, output) + field(4, operator)
    for name, number in attributes.items():
        numbers = [field(8, each) for each in number] if isinstance(number, list) else [field(3, number)]
        kind = 7 if isinstance(number, list) else 2
        names += field(5, field(1, name) + b"".join(numbers) + field(20, kind))
    return names


def tensor(name: str, array: np.ndarray) -> bytes:
    dims = b"".join(field(1, size) for size in array.shape)
    return (
        dims + field(2, INT64 if array.dtype == np.int64 else FLOAT) + field(8, name) + field(9, array.tobytes())
    )


def value(name: str, shape: Sequence[int | str]) -> bytes:
    dims = b"".join(field(1, field(1 if isinstance(size, int) else 2, size)) for size in shape)
    kind = field(1, INT64 if name.endswith("_lengths") else FLOAT) + field(2, dims)
    return field(1, name) + field(2, field(1, kind))
