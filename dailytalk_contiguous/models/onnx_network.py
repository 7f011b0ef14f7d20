"""Networks in files of ONNX, opened and run in one way. ONNX Runtime runs nothing that a file brings along."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.errors import ModelMissing

Array = NDArray[Any]


def open_session(path: Path, device: str = "cpu") -> Any:
    """A session of ONNX Runtime on `cpu`, or on `cuda` where the ONNX Runtime that is installed has it.

    One thread a session: what is computed must not depend on how many there are.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    wanted = ["CUDAExecutionProvider"] * (device == "cuda") + ["CPUExecutionProvider"]
    installed = onnxruntime.get_available_providers()
    providers = [provider for provider in wanted if provider in installed]
    return onnxruntime.InferenceSession(str(path), options, providers=providers)


class OnnxNetwork:
    """A network with the inputs and outputs of a kind of model. `facts`: what its file says of itself.

    Raises ModelMissing for a file that is none, or of another kind of model; `remedy` says what to do then.
    """

    def __init__(
        self, name: str, path: Path, device: str, inputs: Sequence[str], outputs: Sequence[str], remedy: str
    ) -> None:
        self._name, self._outputs, self._remedy = name, list(outputs), remedy
        try:
            self._session = open_session(path, device)
        except Exception as error:  # those of ONNX Runtime have no class in common
            raise self.unusable(f"{path.name} can't be read: {_first_line(error)}") from None
        sides = ((inputs, self._session.get_inputs()), (outputs, self._session.get_outputs()))
        for expected, nodes in sides:
            if set(expected) != {node.name for node in nodes}:
                raise self.unusable(
                    f"{path.name} has {quoted(node.name for node in nodes)}, not {quoted(expected)}"
                )
        self.facts: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.width_of = {node.name: (node.shape or [None])[-1] for node in self._session.get_inputs()}

    def unusable(self, reason: str) -> ModelMissing:
        return ModelMissing(f"the model {self._name!r} can't be used ({reason})", self._remedy)

    def run(self, arrays: Mapping[str, Array]) -> list[Array]:
        """Its outputs, in the order in which they were named. Raises ModelMissing where one is no number."""
        try:
            outputs: list[Array] = self._session.run(self._outputs, dict(arrays))
        except Exception as error:
            raise self.unusable(_first_line(error)) from None
        if not all(np.isfinite(output).all() for output in outputs):
            raise self.unusable("what it computes is no number")
        return outputs


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
