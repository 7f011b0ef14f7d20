"""What Whisper computes in is part of every stage that asks it: int8 and float16 do not make the same rows."""

from collections.abc import Callable
from functools import partial

import pytest
from from_apps import from_app

from dailytalk_contiguous.machine.apps import has_app
from dailytalk_contiguous.stages.align import Align
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.stages.transcribe import Transcribe

#: The stages, by the name of the setting that names their recogniser.
STAGES: dict[str, tuple[Callable[..., Stage], str]] = {
    "Transcribe": (Transcribe, "model"),
    "Align": (Align, "recogniser"),
    "Speak": (partial(Speak, engine="espeak"), "verify"),
}
if has_app("clips"):
    STAGES["TimeWords"] = (from_app("clips.clip_words").TimeWords, "recogniser")


def made(name: str, recogniser: str, **settings: str) -> Stage:
    stage, role = STAGES[name]
    return stage(**{role: recogniser}, **settings)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_holds_the_type_that_it_computes_in(name: str) -> None:
    on_cpu = made(name, "tiny.en", device="cpu")
    int8 = made(name, "tiny.en", device="cpu", compute_type="int8")
    float32 = made(name, "tiny.en", device="cpu", compute_type="float32")
    on_gpu = made(name, "tiny.en", device="cuda")
    assert on_cpu.digest == int8.digest
    assert on_cpu.digest != float32.digest
    assert on_cpu.digest != on_gpu.digest
