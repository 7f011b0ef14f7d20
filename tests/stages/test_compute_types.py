"""What Whisper computes in is part of every stage that asks it: int8 and float16 do not make the same rows."""

from collections.abc import Callable
from functools import partial

import pytest
from from_apps import from_app

from dailytalk_contiguous.core.apps import has_app
from dailytalk_contiguous.stages.align import Align
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.stages.transcribe import Transcribe

#: The stages, by the name of the setting that names their recogniser.
STAGES: dict[str, tuple[Callable[..., Stage], str]] = {
    "Transcribe": (Transcribe, "model"),
    **({"TimeWords": (from_app("clips.clip_words").TimeWords, "recogniser")} if has_app("clips") else {}),
    "Align": (Align, "recogniser"),
    "Speak": (partial(Speak, engine="espeak"), "verify"),
}


def made(name: str, recogniser: str, **settings: str) -> Stage:
    stage, role = STAGES[name]
    return stage(**{role: recogniser}, **settings)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_holds_the_type_that_it_computes_in(name: str) -> None:
    on_cpu = made(name, "tiny.en", device="cpu")
    assert on_cpu.digest == made(name, "tiny.en", device="cpu", compute_type="int8").digest
    assert on_cpu.digest != made(name, "tiny.en", device="cpu", compute_type="float32").digest
    assert on_cpu.digest != made(name, "tiny.en", device="cuda").digest
