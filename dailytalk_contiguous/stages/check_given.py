"""CheckGiven: whether the given words are said.

A recogniser in a loop writes a line over and over, while somebody says something else. An aligner finds no such
line in the sound. Where these are many, they are recognised, or marked as fitted to the speech, so that `check`
counts them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from datasets import Features
from msgspec.structs import replace

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.rows import conversation_features
from dailytalk_contiguous.core.records.schema import CHANNELS, MIX
from dailytalk_contiguous.core.records.utterance import Utterance, or_none
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.sound.samples import pcm_to_float
from dailytalk_contiguous.core.words.transcript_fidelity import ABSENT_SHARE, absent_share
from dailytalk_contiguous.core.words.word_times import has_words, split_words
from dailytalk_contiguous.core.words.written_forms import is_written_form
from dailytalk_contiguous.models.alignment import ALIGNER, AUTO, aligner_of
from dailytalk_contiguous.models.failures import ModelFailed
from dailytalk_contiguous.models.text_language import language_of_texts
from dailytalk_contiguous.stages.align import AligningStage
from dailytalk_contiguous.stages.base import DEVICE
from dailytalk_contiguous.stages.transcribe import LANGUAGE, of_channel

#: The name in `transcript_repair` for lines that are recognised in place of a transcript's.
RECOGNISED = "lines that are not in the sound, recognised"


@dataclass(frozen=True)
class CheckGiven(AligningStage):
    """Takes lines back that an aligner does not find, where their share of a side is over `ABSENT_SHARE`.

    A line is absent if half of its words are not found. A language without an aligner is not checked; a side whose
    absent lines are clearly in another language is in that one (`given_language`).

    Attributes:
        recognise_absent: whether these lines have no given words, so that `Transcribe` recognises them, and
            `transcript_repair` and `unmatched` say so. Otherwise all their words are `fitted`.
    """

    VERSION: ClassVar[int] = 1
    language: str = setting("auto", LANGUAGE)
    aligner: str = setting(AUTO, ALIGNER)
    recognise_absent: bool = setting(
        False,
        "Recognise lines of transcripts that are not in their sound, in place of what the transcript says.",
        hidden=True,
    )
    device: str = setting("auto", DEVICE, execution=True)

    needs: ClassVar[tuple[str, ...]] = (
        "conversation_id",
        "offset",
        "utterance_id",
        "channel",
        "start",
        "end",
        "speech",
        "given_text",
        "given_words",
        "unmatched",
        "transcript_repair",
    )
    uses: ClassVar[tuple[str, ...]] = ("given_language",)
    prepares: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = conversation_features(
        "given_text", "given_words", "unmatched", "transcript_repair", "given_language"
    )

    def models(self) -> dict[str, str]:
        return {}  # no time of a word is the aligner's

    def of_talk(self, talk: Conversation) -> Conversation:
        talk.given_language = or_none(talk.given_language)
        languages = {side: of_channel(talk.given_language or self.language, side) for side in (*CHANNELS, MIX)}
        for channel, language in languages.items():
            lines = [line for line in talk.side(channel) if has_words(line.given_text or "")]
            if not lines or not aligner_of(self.aligner, language, self.device):
                continue
            flags = [(self._is_absent(line, language), line.span.seconds) for line in lines]
            if absent_share(flags) < ABSENT_SHARE:
                continue
            texts = {line.given_text for line, (is_absent, _) in zip(lines, flags, strict=True) if is_absent}
            absent = [line for line in lines if line.given_text in texts]  # of a loop, some are found by chance
            languages[channel] = _language_of(absent, language)
            if languages[channel] == language:
                self._take_back(talk, absent, len(lines))
            else:
                talk.given_language = f"{languages['left']},{languages['right']}"
        return talk

    def _take_back(self, talk: Conversation, absent: Sequence[Utterance], n_lines: int) -> None:
        """Leave absent lines to the recogniser, or without one make their words fitted."""
        if not self.recognise_absent:
            for line in absent:
                line.given_words = [replace(word, fitted=True) for word in line.given_words or ()]
            return
        first = absent[0]
        reason = (
            f"{len(absent)} of {n_lines} lines of its transcript are not in the sound of the {first.channel} "
            f"side, such as {quoted(first.given_text or '')} at {talk.offset + first.start:.2f} s; they are "
            "recognised"
        )
        remedy = "correct these lines of the transcript"
        talk.unmatched.append(Reject(f"{talk.conversation_id}/{first.channel}", self.name, reason, remedy))
        talk.transcript_repair = RECOGNISED
        for line in absent:
            line.given_text = None
            line.given_words = None

    def _is_absent(self, line: Utterance, language: str) -> bool:
        """Whether half of the words of a line are not in its sound; of a written form (1984) nobody knows."""
        words = split_words(line.given_text or "")
        plain = [word for word in words if not is_written_form(word)]
        if len(plain) <= len(words) / 2:
            return False
        try:
            placed = self.align_words(pcm_to_float(line.speech), words, language, [])
        except ModelFailed:
            return False
        return placed is None or placed.count(None) >= len(words) / 2


def _language_of(lines: Sequence[Utterance], language: str) -> str:
    """The language of the texts of lines by their words, each once, if it is clear; else `language`."""
    words: list[str] = []
    for line in lines:
        words += split_words((line.given_text or "").casefold())
    try:
        return language_of_texts(dict.fromkeys(words))
    except BadInput:
        return language
