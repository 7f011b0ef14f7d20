"""Convert: the recorded sound of one speaker in another voice, in place of `Speak`.

Nothing is synthesised from text, so nothing has to be judged, aligned or moved: laughs, breaths, fillers, overlaps
and pauses stay, and every time is that of the recording. The side is converted as a whole; `Reconstruct` then
treats it like the side of the speaker who is kept.
"""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import soxr
from datasets import Features

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.licensing import Licence
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.record import SynthesisRecord
from dailytalk_contiguous.core.records.rows import conversation_features
from dailytalk_contiguous.core.records.schema import CHANNELS, per_utterance
from dailytalk_contiguous.core.records.utterance import CONVERTED_TRIES
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.sound.loudness import limit
from dailytalk_contiguous.core.sound.samples import to_pcm
from dailytalk_contiguous.machine.audio import read_at
from dailytalk_contiguous.machine.own_file import code_version
from dailytalk_contiguous.models.checkpoints import Missing
from dailytalk_contiguous.models.contracts import NO_OPTIONS, SynthesisFailed, VoiceConverter, VoiceSettings
from dailytalk_contiguous.models.engines import (
    TTS,
    TTS_MODEL,
    VOICE,
    convert_side,
    engine_named,
    load_converter,
    portable_engine,
    prepare_model,
)
from dailytalk_contiguous.stages.base import REVOICE, SAMPLE_RATE, Stage, short_digest
from dailytalk_contiguous.stages.lines_to_say import SPOKEN_UTTERANCE, leave_unspoken


@dataclass(frozen=True)
class Convert(Stage):
    """Converts the side of one speaker into another voice, sample for sample in time.

    Every utterance of that side is `spoken`, with and without text; those of the other are `kept`. `converted` is
    the whole side, int16 PCM at `sample_rate` (if that is 0, the recording's), with peaks up to −1 dBFS. A speaker
    has one voice in all conversations, by the name that most of the side's speech has, and by `voice_seed`. A side
    that can't be converted: BadInput.

    Attributes:
        engine: an engine with `Engine.converts`.
        options: the options of an engine in a person's own file.
    """

    # In the digest by the name of its engine: a file of one's own may move.
    engine: str = setting("shift", TTS, execution=True)
    model: str = setting("", TTS_MODEL)
    voice: str = setting("", VOICE)
    voice_seed: int = unlisted(
        0, "Seed of the voices that --tts shift gives to the speakers of a corpus.", least=0
    )
    revoice: str = setting(CHANNELS[0], REVOICE)
    sample_rate: int = setting(24000, SAMPLE_RATE)
    options: object = NO_OPTIONS

    needs: ClassVar[tuple[str, ...]] = (
        "recording_id",
        "audio",
        "offset",
        "duration",
        "sample_rate",
        "utterance_id",
        "source_channel",
        "start",
        "end",
        "speaker",
        "tag",
    )
    batch_rows: ClassVar[int] = 1
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features({**per_utterance(SPOKEN_UTTERANCE), **conversation_features("converted")})
    transient: ClassVar[tuple[str, ...]] = ("converted",)
    only_named: ClassVar[frozenset[str]] = frozenset({"synthesiser"})  # ENGINE/MODEL; see `digest`

    def __post_init__(self) -> None:
        super().__post_init__()
        engine, options = portable_engine(self.engine, self.options)
        object.__setattr__(self, "engine", engine)
        object.__setattr__(self, "options", options)

    def preflight(self, fetch: bool = True) -> None:
        prepare_model(self.synthesiser(), fetch)

    def lacking(self) -> list[Missing]:
        return self.synthesiser().lacking()

    def models(self) -> dict[str, str]:
        converter = self.synthesiser()
        names = [converter.engine, converter.model]
        return {"synthesiser": "/".join(name for name in names if name)}

    @property
    def licences(self) -> dict[str, Licence]:
        return {"synthesiser": self.synthesiser().licence or engine_named(self.engine).licence}

    def synthesiser(self) -> VoiceConverter:
        return load_converter(self.engine, VoiceSettings(self.model, self.voice, options=self.options))

    @property
    def digest(self) -> str:
        """The digest of every stage, and of the engine's code, model and settings."""
        engine = engine_named(self.engine)
        converter = self.synthesiser()
        code = code_version(engine.load, converter.version)
        parts = [super().digest, engine.name, code, converter.model, converter.voice, converter.settings()]
        return short_digest(json.dumps(parts, sort_keys=True))

    def of_talk(self, talk: Conversation) -> Conversation:
        converter = self.synthesiser()
        rate = talk.sample_rate
        recording = read_at(talk.audio, rate, talk.offset, talk.duration)
        side = np.ascontiguousarray(recording[:, CHANNELS.index(self.revoice)])
        speaker = f"{self.voice_seed}/{self._speaker(talk)}"
        try:
            converted = convert_side(converter, side, rate, speaker)
        except SynthesisFailed as error:
            raise BadInput(error.reason, error.remedy) from error
        voice = converter.voice_of(speaker)
        for utterance in talk.utterances:
            leave_unspoken(utterance, "kept")
        for utterance in talk.side(self.revoice):
            utterance.status = "spoken"
            # No take was bought, said or judged.
            utterance.synthesis = SynthesisRecord(
                engine=converter.engine, model=converter.model, voice=voice, tries=CONVERTED_TRIES, cost=0.0
            )
            utterance.tag_said = False if utterance.tag else None
        wanted = self.sample_rate or rate
        if wanted != rate:
            converted = np.asarray(soxr.resample(converted, rate, wanted), np.float32)
        talk.converted = to_pcm(limit(converted, wanted)).tobytes()
        return talk

    def _speaker(self, talk: Conversation) -> str:
        """The name of the speaker of most of the side's speech; of its channel where nobody is named."""
        seconds: dict[str, float] = {}
        for utterance in talk.side(self.revoice):
            if utterance.speaker:
                earlier = seconds.get(utterance.speaker, 0.0)
                seconds[utterance.speaker] = earlier + utterance.end - utterance.start
        nobody = f"{talk.recording_id}/{self.revoice}"
        return max(seconds, key=seconds.__getitem__, default=nobody)
