"""A voice of transformers: dailytalk speak work --tts voice.py --tts-model facebook/mms-tts-eng."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from transformers import pipeline

from dailytalk_contiguous import Engine, Licence, Line, Spoken, Synthesiser, VoiceSettings, setting


@dataclass(frozen=True)
class Options:
    speaking_rate: float = setting(1.0, "Speed of the voice.", panel="voice", least=0.5, most=2.0)


@lru_cache(maxsize=1)
def loaded(model: str) -> Any:
    return pipeline("text-to-speech", model=model, device="cuda" if torch.cuda.is_available() else "cpu")


class MyVoice(Synthesiser):
    def __init__(self, chosen: VoiceSettings) -> None:
        self.model, self.options = chosen.model, chosen.options

    def settings(self) -> dict[str, object]:
        return {"speaking_rate": self.options.speaking_rate}

    def speak(self, line: Line, *_: Any) -> Spoken:
        speech = loaded(self.model)
        speech.model.speaking_rate = self.options.speaking_rate
        torch.manual_seed(line.take)
        said = speech(line.text)
        return Spoken(said["audio"].squeeze(), said["sampling_rate"], words=None, cost=0.0)


LICENCE = Licence("CC-BY-NC-4.0", "https://huggingface.co/facebook/mms-tts-eng")
ENGINE = Engine("mms", MyVoice, LICENCE, model="facebook/mms-tts-eng", network=True, options=Options())
