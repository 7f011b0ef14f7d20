"""RateAffect: valence, arousal and dominance of each utterance, by a network or by the bundled model.

Below about three seconds the model is unreliable, so it hears a short utterance together with what its speaker
says next to it (see `core.style.affect_context`). That smears a short outburst, hence the setting.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from datasets import Features

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.rows import utterance_features
from dailytalk_contiguous.core.records.utterance import AFFECT, Utterance, is_set, or_none
from dailytalk_contiguous.core.settings import Setting, setting, unlisted
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Pcm, excerpt, pcm_to_float
from dailytalk_contiguous.core.style.affect_context import borrowed
from dailytalk_contiguous.core.style.emotions import VOICE_LINEAR
from dailytalk_contiguous.models import affect, devices
from dailytalk_contiguous.models.checkpoints import Missing, is_model_folder
from dailytalk_contiguous.stages.base import DEVICE, UtteranceStage

#: Seconds of padded audio in a batch. A CPU takes every utterance by itself, so that no rating depends on what
#: else is rated: batches of 12 s took it 12 to 17 % longer over a bundled recording, of which 11 to 15 % is their
#: padding. Batches alone gain nothing from 3 s on, which `context` fills short utterances up to (unfilled, eight
#: of 0.5 s together take 29 % less, of 1 s 20 %). On CUDA this keeps the device busy within some gigabytes.
BATCH_SECONDS = {"cpu": devices.SHORTEST, "cuda": 240.0}

#: Seconds from a short utterance within which it is filled up.
REACH = 2.0


AFFECT_MODEL = Setting(
    f"Affect model: a name on the Hub, a folder, {VOICE_LINEAR}, or (to tag) none.",
    option="affect_model",
    panel="models",
    metavar="NAME|DIR",
    shown=f"the profile's, else {VOICE_LINEAR}",
    reference=True,
)


@dataclass(frozen=True)
class RateAffect(UtteranceStage):
    """Valence, arousal and dominance in [0, 1] of utterances of 16 kHz `speech`; NaN where that is empty.

    An empty `model` rates nothing: all values are NaN.

    `voice-linear` compares an utterance with those of its speaker in the same conversation, which must then be in
    the same batch, as in a dataset of conversations; without `conversation_id` each is rated by itself.

    Attributes:
        context_seconds: length that a short utterance is filled up to with its speaker's speech next to it, where
            the batch has conversations, channels and times; 0 for none. All of a conversation must then be in one
            batch. `voice-linear` borrows nothing.
        precision: in place of `auto` a stage has the one that suits `device` (see
            `models.affect.settled_precision`). Its effect was measured on random weights only (docs/measures.md).
        batch_seconds: seconds of padded audio in a model batch; None takes what suits the device.
    """

    VERSION: ClassVar[int] = 4
    if_model_fails: ClassVar[str] = "it has no affect; --affect-model chooses another model"
    model: str = setting(affect.AUDEERING, AFFECT_MODEL)
    context_seconds: float = unlisted(
        0.0,
        "Length to which a short utterance is extended for the affect model, with its speaker's speech around "
        "it. 0 rates it alone.",
        option="affect_context",
        unit="s",
    )
    precision: str = unlisted(
        "auto",
        f"The affect model's precision: {', '.join(affect.PRECISIONS)}; auto: bfloat16 where the device has it.",
        option="affect_precision",
        choices=("auto", *affect.PRECISIONS),
        metavar="TYPE",
        shown="auto",
    )
    device: str = setting("auto", DEVICE, execution=True)
    batch_seconds: float | None = unlisted(None, execution=True)

    needs: ClassVar[tuple[str, ...]] = ("speech",)
    uses: ClassVar[tuple[str, ...]] = ("conversation_id", "channel", "start", "end")
    adds: ClassVar[Features] = utterance_features(*AFFECT, "affect_model", "context_seconds")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "precision", affect.settled_precision(self.model, self.device, self.precision))

    def preflight(self, fetch: bool = True) -> None:
        if self.model in ("", VOICE_LINEAR):
            return
        devices.device_of(self.device)  # not whether it is here: the work may be done elsewhere
        if fetch or is_model_folder(self.model, "affect"):
            affect.resolve_affect_model(self.model)

    def lacking(self) -> list[Missing]:
        if "/" not in self.model or is_model_folder(self.model, "affect") or affect.is_available(self.model):
            return []
        return [Missing(self.model, affect.AUDEERING_BYTES if self.model == affect.AUDEERING else None)]

    def models(self) -> dict[str, str]:
        return {"affect": self.model} if self.model else {}

    def of_talks(self, talks: Sequence[Conversation]) -> list[Conversation]:
        heard: list[Utterance] = []
        speakers: list[Hashable] = []
        for talk in talks:
            for utterance in talk.utterances:
                utterance.update(dict.fromkeys(AFFECT, math.nan))
                utterance.affect_model = self.model or None
                utterance.context_seconds = 0.0 if self.model else math.nan
                if utterance.speech:
                    heard.append(utterance)
                    speakers.append((talk.conversation_id, utterance.channel))
        if any(or_none(talk.conversation_id) is None for talk in talks):
            speakers = []
        if heard and self.model == VOICE_LINEAR:
            _compare(heard, speakers)
        elif heard and self.model:
            self._rate(heard, speakers)
        return [*talks]

    def _rate(self, heard: Sequence[Utterance], speakers: Sequence[Hashable]) -> None:
        """Rate utterances by a network; `speakers` is empty where they are unknown."""
        from dailytalk_contiguous.models.affect_network import Affect, load_affect_model  # and PyTorch

        device = devices.resolve_device(self.device)
        model = load_affect_model(self.model, device, self.precision)
        sounds: list[Pcm] = [np.frombuffer(utterance.speech, "<i2") for utterance in heard]
        are_placed = [is_set(part.channel) and is_set(part.start) and is_set(part.end) for part in heard]
        if self.context_seconds and speakers and all(are_placed):
            sounds = self._filled_up(heard, speakers, sounds)
        lengths = [len(pcm) / ANALYSIS_RATE for pcm in sounds]
        budget = self.batch_seconds or BATCH_SECONDS[device]

        def rate(group: list[Pcm]) -> list[Affect]:
            return model.rate([pcm_to_float(pcm) for pcm in group])

        pool = affect.threads_of_one() if device == "cpu" else None
        rated = devices.run_batched(sounds, lengths, budget, rate, model.room, pool=pool)
        for utterance, ratings in zip(heard, rated, strict=True):
            utterance.update(ratings._asdict())

    def _filled_up(
        self, heard: Sequence[Utterance], speakers: Sequence[Hashable], sounds: Sequence[Pcm]
    ) -> list[Pcm]:
        """The sound to rate for each utterance; `context_seconds` of it, which are set, are of others."""
        filled = [*sounds]
        members: dict[Hashable, list[int]] = {}
        for index, speaker in enumerate(speakers):
            members.setdefault(speaker, []).append(index)
        for indices in members.values():
            indices.sort(key=lambda index: heard[index].start)
            spans = [heard[index].span for index in indices]
            for number, index in enumerate(indices):
                before, after = borrowed(spans, number, self.context_seconds, REACH)
                parts = []
                for part in (*before, *after):
                    begin = spans[part.span].start
                    source = sounds[indices[part.span]]
                    parts.append(excerpt(source, part.start - begin, part.end - begin))
                n_before = len(before)
                filled[index] = np.concatenate((*parts[:n_before], sounds[index], *parts[n_before:]))
                heard[index].context_seconds = sum(part.seconds for part in (*before, *after))
        return filled


def _compare(heard: Sequence[Utterance], speakers: Sequence[Hashable]) -> None:
    """Rate utterances by the bundled model; `speakers` is empty where they are unknown."""
    from dailytalk_contiguous.models.linear_emotion import bundled_voice  # which few runs need

    voice = bundled_voice()
    guesses = voice.classify([pcm_to_float(utterance.speech) for utterance in heard], speakers or None)
    rated = voice.affect_of([guess.probabilities for guess in guesses]).tolist()
    for utterance, ratings in zip(heard, rated, strict=True):
        utterance.update(dict(zip(AFFECT, ratings, strict=True)))
