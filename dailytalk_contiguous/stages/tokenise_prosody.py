"""TokeniseProsody: how each utterance is said, as a token every 16 ms (see `models.codebook`)."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from datasets import Features

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.rows import utterance_features
from dailytalk_contiguous.core.records.utterance import Utterance, or_none
from dailytalk_contiguous.core.settings import Setting, setting
from dailytalk_contiguous.core.sound.samples import pcm_to_float
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.models.codebook import DEFAULT_CODEBOOK, Codebook, FeatureArray, bundled_name
from dailytalk_contiguous.models.contours import as_features
from dailytalk_contiguous.stages.base import UtteranceStage

#: A setting of several stages.
CODEBOOK = Setting(
    "Codebook for prosodic tokens: bundled, or a folder of dailytalk tokens cluster.",
    option="prosodic_tokens",
    metavar="bundled|DIR",
    shown=f"none; of tokens encode {DEFAULT_CODEBOOK}",
    reference=True,
)


@dataclass(frozen=True)
class TokeniseProsody(UtteranceStage):
    """Prosodic tokens of utterances: a token a frame, in runs, and by word; `prosody_model` names the codebook.

    A speaker's usual is that of the same channel of the same conversation, all of which must then be in
    one batch, as in a dataset of conversations; without `conversation_id` each utterance is a speaker by itself.
    Words are `words`, or else `given_words`, in seconds of the conversation, or of a clip's file.
    """

    codebook: str = setting(DEFAULT_CODEBOOK, CODEBOOK)

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

    def preflight(self, fetch: bool = True) -> None:
        Codebook.load(self.codebook)

    def models(self) -> dict[str, str]:
        return {"prosody": bundled_name() if self.codebook == DEFAULT_CODEBOOK else self.codebook}

    def of_talks(self, talks: Sequence[Conversation]) -> list[Conversation]:
        speakers: dict[Hashable, list[Utterance]] = {}
        for talk in talks:
            for utterance in talk.utterances:
                speaker = (
                    (talk.conversation_id, utterance.channel) if or_none(talk.conversation_id) else id(utterance)
                )
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
