"""TokeniseProsody: how each utterance is said, as a token every 16 ms (see `models.codebook`)."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from datasets import Features

from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.records import schema
from dailytalk_contiguous.core.records.conversation import (
    Conversation,
    Utterance,
    conversation_features,
    or_none,
    to_flat,
    utterance_features,
)
from dailytalk_contiguous.core.records.utterance import PROSODIC_TOKENS
from dailytalk_contiguous.core.settings import Setting, setting
from dailytalk_contiguous.core.sound.samples import excerpt, pcm_to_float
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.models.codebook import DEFAULT_CODEBOOK, Codebook, FeatureArray, bundled_name
from dailytalk_contiguous.models.contours import as_features
from dailytalk_contiguous.stages.base import REVOICE_OR_KEEP, Stage, UtteranceStage

#: A setting of several stages.
CODEBOOK = Setting(
    "Codebook for prosodic tokens: bundled, or a folder of dailytalk tokens cluster.",
    option="prosodic_tokens",
    metavar="bundled|DIR",
    shown=f"none; of tokens encode {DEFAULT_CODEBOOK}",
    reference=True,
)


@dataclass(frozen=True)
class _Tokenises(Stage):
    """The settings of stages that take tokens from a codebook."""

    codebook: str = setting(DEFAULT_CODEBOOK, CODEBOOK)

    def preflight(self, fetch: bool = True) -> None:
        Codebook.load(self.codebook)

    def models(self) -> dict[str, str]:
        return {"prosody": bundled_name() if self.codebook == DEFAULT_CODEBOOK else self.codebook}


@dataclass(frozen=True)
class TokeniseProsody(_Tokenises, UtteranceStage):
    """Prosodic tokens of utterances: a token a frame, in runs, and by word; `prosody_model` names the codebook.

    A speaker's usual is that of the same channel of the same conversation, all of which must then be in
    one batch (`PerUtterance` sees to that); without `conversation_id` each utterance counts as a separate speaker.
    Words are `words`, or else `given_words`, in seconds of the conversation, or of a clip's file.
    """

    if_model_fails: ClassVar[str] = "it has no prosodic tokens; --prosodic-tokens chooses another codebook"
    needs: ClassVar[tuple[str, ...]] = ("speech",)
    uses: ClassVar[tuple[str, ...]] = (
        "words",
        "given_words",
        "start",
        "speech_start",
        "conversation_id",
        "channel",
    )
    adds: ClassVar[Features] = utterance_features(
        "prosody_tokens", "prosody_runs", "prosody_words", "prosody_model"
    )

    def of_talks(self, talks: Sequence[Conversation]) -> list[Conversation]:
        speakers: dict[Hashable, list[Utterance]] = {}
        for talk in talks:
            for utterance in talk.utterances:
                speaker = (talk.id, utterance.channel) if or_none(talk.id) else id(utterance)
                speakers.setdefault(speaker, []).append(utterance)
        codebook = Codebook.load(self.codebook)
        for utterances in speakers.values():
            _tokenise(utterances, codebook)
        return [*talks]


def _tokenise(utterances: Sequence[Utterance], codebook: Codebook) -> None:
    """Set the tokens of a speaker's utterances."""
    from dailytalk_contiguous.models.prosodic_sequences import seen_by, speaker_levels, to_runs, word_prosody

    features: list[FeatureArray] = []
    words: list[list[Word]] = []
    for utterance in utterances:
        sound = pcm_to_float(utterance.speech)
        features.append(as_features(codebook.extractor.extract(audio_tensor=sound)))
        words.append(or_none(utterance.words) or or_none(utterance.given_words) or [])
    usual = speaker_levels(features, words)
    for utterance, frames, spoken_words in zip(utterances, features, words, strict=True):
        tokens, _ = codebook.assign(seen_by(codebook, frames, usual.f0))
        # When the speech begins, in seconds of the times of its words.
        start = or_none(utterance.speech_start)
        if start is None:
            start = or_none(utterance.start) or 0.0
        utterance.prosody_tokens = tokens.tolist()
        utterance.prosody_runs = to_runs(tokens)
        utterance.prosody_words = word_prosody(spoken_words, tokens, frames, usual, start)
        utterance.prosody_model = codebook.name


@dataclass(frozen=True)
class TokeniseResult(_Tokenises):
    """Prosodic tokens of the utterances of a rebuilt conversation, as they sound in it; none of a dropped one."""

    revoice: str = setting(schema.CHANNELS[0], REVOICE_OR_KEEP)

    needs: ClassVar[tuple[str, ...]] = ("built_audio", "utterance_id", "source_channel", "new_start", "new_end")
    uses: ClassVar[tuple[str, ...]] = ("model_failures",)
    batch_rows: ClassVar[int] = 1
    prepares: ClassVar[bool] = True
    adds: ClassVar[Features] = conversation_features(*PROSODIC_TOKENS, "model_failures")

    def of_talk(self, talk: Conversation) -> Conversation:
        samples = read_pcm(talk.built_audio)
        sides = schema.result_sides(self.revoice)
        built: list[Utterance] = []
        for utterance in talk.utterances:
            channel = utterance.source_channel
            side = samples[:, schema.CHANNELS.index(sides[channel])]
            speech = excerpt(side, utterance.new_start or 0.0, utterance.new_end or 0.0).tobytes()
            built.append(Utterance(channel=channel, speech=speech))
        failures = TokeniseProsody(self.codebook).fill([Conversation(id=talk.id, utterances=built)])
        rejects = [*(or_none(talk.model_failures) or ())]
        for utterance, sounding in zip(talk.utterances, built, strict=True):
            failure = failures.get(id(sounding))
            utterance.prosody_tokens = None if failure else sounding.prosody_tokens
            utterance.prosody_model = None if failure else sounding.prosody_model
            if failure:
                rejects.append(Reject(utterance.id, self.name, failure.reason, failure.remedy))
        talk.model_failures = rejects or None
        return talk


@dataclass(frozen=True)
class TokeniseClip(_Tokenises):
    """Prosodic tokens of a finished clip, without the prompt before it."""

    needs: ClassVar[tuple[str, ...]] = ("audio", "clip_start", "duration")
    prepares: ClassVar[bool] = True
    adds: ClassVar[Features] = Features(PROSODIC_TOKENS)

    def row(self, row: schema.Row) -> schema.Row:
        samples = read_pcm(row["audio"])
        speech = excerpt(samples[:, 0], row["clip_start"] or 0.0, row["duration"]).tobytes()
        utterance = Utterance(speech=speech)
        failures = TokeniseProsody(self.codebook).fill([Conversation(utterances=[utterance])])
        if failures:
            raise failures[id(utterance)]
        return to_flat(utterance, PROSODIC_TOKENS)
