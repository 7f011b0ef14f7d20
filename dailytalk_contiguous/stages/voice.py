"""ChooseVoice: the cleanest speech of a conversation's own speaker, for a synthesiser that clones voices."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from datasets import Features

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.rows import conversation_features
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.records.utterance import Utterance
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.sound.quality import FULL_SCALE
from dailytalk_contiguous.core.sound.samples import Samples, encoded_sound, to_pcm
from dailytalk_contiguous.machine.audio import read_at
from dailytalk_contiguous.stages.base import REVOICE, Stage

#: Seconds that a sample of a voice has at least.
SHORTEST = 3.0

#: Seconds that a sample of a voice has at most.
LONGEST = 20.0


@dataclass(frozen=True)
class ChooseVoice(Stage):
    """Adds `voice_wav`, a WAV file of the re-voiced speaker, and `voice_text`, what is said in it.

    It consists of whole utterances with text, during which the other speaker is silent and nothing is clipped: the
    longest first, up to `LONGEST` seconds. A conversation that has less than `SHORTEST` of them can't be cloned:
    BadInput.
    """

    revoice: str = setting(CHANNELS[0], REVOICE)

    needs: ClassVar[tuple[str, ...]] = (
        "audio",
        "offset",
        "duration",
        "sample_rate",
        "utterance_id",
        "source_channel",
        "start",
        "end",
        "text",
    )
    batch_rows: ClassVar[int] = 1
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = conversation_features("voice_wav", "voice_text")

    def of_talk(self, talk: Conversation) -> Conversation:
        rate = talk.sample_rate
        recording = read_at(talk.audio, rate, talk.offset, talk.duration)
        channel = recording[:, CHANNELS.index(self.revoice)]
        clean: list[tuple[Samples, Utterance]] = []
        for utterance in self._undisturbed(talk):
            samples = channel[round(utterance.start * rate) : round(utterance.end * rate)]
            if len(samples) and float(np.abs(samples).max()) < FULL_SCALE:
                clean.append((samples, utterance))
        clean.sort(key=lambda sound: len(sound[0]), reverse=True)
        chosen: list[tuple[Samples, Utterance]] = []
        n_samples = 0
        for samples, utterance in clean:
            if n_samples + len(samples) <= LONGEST * rate:
                chosen.append((samples, utterance))
                n_samples += len(samples)
        seconds = n_samples / rate
        if seconds < SHORTEST:
            raise BadInput(
                f"there are only {seconds:.1f} s of the {self.revoice} speaker alone to clone the voice from",
                "name a voice of the service with --voice",
            )
        chosen.sort(key=lambda sound: sound[1].start)
        sample = np.concatenate([samples for samples, _ in chosen])
        talk.voice_wav = encoded_sound(to_pcm(sample), rate, "WAV")
        talk.voice_text = " ".join(utterance.text.strip() for _, utterance in chosen)
        return talk

    def _undisturbed(self, talk: Conversation) -> list[Utterance]:
        """The utterances of the re-voiced speaker with text, during which nobody else speaks."""
        others = [utterance for utterance in talk.utterances if utterance.side != self.revoice]
        undisturbed: list[Utterance] = []
        for utterance in talk.side(self.revoice):
            is_over_another = any(utterance.span & other.span for other in others)
            if utterance.text.strip() and not is_over_another:
                undisturbed.append(utterance)
        return undisturbed
