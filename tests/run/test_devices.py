from collections.abc import Sequence

import ctranslate2
import pytest

from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.run.processes import VISIBLE, gpus_to_share
from dailytalk_contiguous.run.run import networks_device
from dailytalk_contiguous.stages.base import Stage

#: Of calls that people transcribed: no network runs.
NO_NETWORK = tag_stages(asr_model="none", affect_model="none")


@pytest.mark.parametrize(
    ("stages", "device"),
    [
        (tag_stages(), "auto"),
        (tag_stages(profile="embedded"), "auto"),
        (NO_NETWORK, None),
        (tag_stages(device="cpu"), None),
    ],
)
def test_device_is_used_where_a_model_may_run_on_it(stages: Sequence[Stage], device: str | None) -> None:
    assert networks_device(stages) == device


@pytest.mark.parametrize(
    ("there", "chosen", "names"),
    [
        (0, None, []),
        (3, None, ["0", "1", "2"]),
        (2, "5, GPU-1a2b", ["5", "GPU-1a2b"]),
        (2, "1,0,-1,2", ["1", "0"]),
    ],
)
def test_gpus_to_share_are_those_that_cuda_shows(
    monkeypatch: pytest.MonkeyPatch, there: int, chosen: str | None, names: list[str]
) -> None:
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: there)  # what a machine has
    monkeypatch.delenv(VISIBLE, raising=False)
    if chosen is not None:
        monkeypatch.setenv(VISIBLE, chosen)
    assert gpus_to_share() == names
