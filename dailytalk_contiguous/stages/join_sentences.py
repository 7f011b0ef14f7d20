"""JoinSentences: utterances that are one sentence, torn by a pause of its speaker, become one utterance.

Speech activity ends an utterance after 0.35 s of silence, and people think for longer than that in the middle of a
sentence. Whisper, which hears both parts in one window, writes no mark between them; what comes after (a tag, an
end mark, a voice) would make two sentences of them. Kyutai joins what one speaker says within 1.0 s, Emilia within
2 s; here the words decide, too. Lines that people gave are theirs, and stay.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from datasets import Features
from msgspec.structs import replace

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.rows import conversation_features
from dailytalk_contiguous.core.records.schema import CHANNELS, MIX, per_utterance
from dailytalk_contiguous.core.records.utterance import GIVEN, Utterance
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.sound.samples import excerpt, mixed_down
from dailytalk_contiguous.core.words.sentences import ends_sentence, goes_on
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import join_words
from dailytalk_contiguous.machine import audio
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.match_transcript import MatchTranscript
from dailytalk_contiguous.stages.recorded_sides import analysed_sides
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.transcribe import Transcribe

#: Columns of `Segment` with one value a conversation.
_OF_CONVERSATION = ("uncovered_sound", "sound_digest", "side_shift", "sides", "notes", "rejected")

#: The columns of utterances that stages have added up to here, with their types.
_COLUMNS = {
    **{name: kind for name, kind in Segment.adds.items() if name not in _OF_CONVERSATION},
    "given_text": MatchTranscript.adds["given_text"],
    "given_words": MatchTranscript.adds["given_words"],
    **per_utterance(Transcribe.adds),
}


@dataclass(frozen=True)
class JoinSentences(Stage):
    """Makes one utterance of those that a speaker's pause has torn; all columns of utterances are made again.

    Two are joined where less than `pause_seconds` are between them, nobody else speaks there, the words of both
    are a recogniser's, and the sentence goes on (`core.words.sentences.goes_on`). The pause stays in the times of
    the words. The whole has the id of its first part; `joined` has the ids of all parts, empty where there is one.

    Attributes:
        pause_seconds: 0 joins nothing.
        longest_seconds: length of the longest whole.
    """

    pause_seconds: float = setting(
        1.0,
        "Join utterances of one sentence with less than this between them; 0 joins none.",
        option="join_sentences",
        unit="s",
        least=0,
    )
    longest_seconds: float = unlisted(Segment.longest_seconds)

    VERSION: ClassVar[int] = 3
    needs: ClassVar[tuple[str, ...]] = (*_COLUMNS, "audio", "offset", "duration")
    uses: ClassVar[tuple[str, ...]] = ("sides",)
    transient: ClassVar[tuple[str, ...]] = Segment.transient
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = Features({**_COLUMNS, **conversation_features("joined")})

    def of_talk(self, talk: Conversation) -> Conversation:
        utterances = talk.utterances
        is_punctuated = any(ends_sentence(utterance.text_raw or "") for utterance in utterances)
        groups = list(self._groups(utterances)) if is_punctuated else [[utterance] for utterance in utterances]
        runs = _one_run_each(groups)
        joined = [_joined(parts, runs) for parts in groups]
        if len(joined) < len(utterances):
            # Speech is cut from the channels as `Segment` has heard them.
            if any(utterance.channel == MIX for utterance in utterances):
                recording = audio.read_pcm(talk.audio, talk.offset, talk.duration)
                channels = {MIX: mixed_down(recording)}
            else:
                channels = dict(zip(CHANNELS, analysed_sides(talk).channels, strict=True))
            for utterance in joined:
                if utterance.joined:
                    speech = excerpt(channels[utterance.channel], utterance.start, utterance.end)
                    utterance.speech = speech.tobytes()
        talk.utterances = sorted(joined, key=lambda utterance: (utterance.start, utterance.channel))
        return talk

    def _groups(self, utterances: Sequence[Utterance]) -> Iterator[list[Utterance]]:
        """Utterances in groups that are one sentence each."""
        for channel in dict.fromkeys(utterance.channel for utterance in utterances):
            others = [utterance for utterance in utterances if utterance.channel != channel]
            parts: list[Utterance] = []
            for utterance in utterances:
                if utterance.channel != channel:
                    continue
                if parts and not self._are_one(parts, utterance, others):
                    yield parts
                    parts = []
                parts = [*parts, utterance]
            if parts:
                yield parts

    def _are_one(self, parts: Sequence[Utterance], following: Utterance, others: Sequence[Utterance]) -> bool:
        before = parts[-1]
        pause_start = before.end
        pause_end = following.start
        if pause_end - pause_start >= self.pause_seconds:
            return False
        if following.end - parts[0].start > self.longest_seconds:
            return False
        if before.recogniser in (GIVEN, "") or following.recogniser in (GIVEN, ""):
            return False
        if not goes_on(before.text_raw or "", following.text_raw or "", following.language or ""):
            return False
        return not any(other.start < pause_end and other.end > pause_start for other in others)


def _one_run_each(groups: Sequence[Sequence[Utterance]]) -> dict[tuple[str, int], int]:
    """The run of speech of each channel's runs, where those of one sentence are one."""
    runs: dict[tuple[str, int], int] = {}
    for parts in groups:
        channel = parts[0].channel
        first: int = parts[0].run
        for part in parts:
            runs[channel, part.run] = runs.get((channel, first), first)
    return runs


def _joined(parts: Sequence[Utterance], runs: Mapping[tuple[str, int], int]) -> Utterance:
    """One utterance of several parts, with the ids of these; a single part has its run anew."""
    first = parts[0]
    last = parts[-1]
    run = runs[first.channel, first.run]
    if len(parts) == 1:
        return replace(first, run=run, joined=[])
    words = _words_of(parts)
    n_words = 0
    logprob = 0.0
    for part in parts:
        count = len([word for word in part.words if not word.filler])
        if count and part.avg_logprob is not None:
            n_words += count
            logprob += part.avg_logprob * count
    speech_seconds = np.array([part.speech_seconds for part in parts])
    leak_share = None
    if first.leak_share is not None:
        leak_share = float(np.average([part.leak_share or 0.0 for part in parts], weights=speech_seconds))
    is_short = last.end - first.start < Segment.short_seconds
    return replace(
        first,
        end=last.end,
        end_trim=last.end_trim,
        question=last.question,
        run=run,
        kind="short" if is_short else "speech",
        speech_seconds=float(speech_seconds.sum()),
        leak_share=leak_share,
        avg_logprob=logprob / n_words if n_words else math.nan,
        no_speech_prob=max(part.no_speech_prob or 0.0 for part in parts),
        text_raw=join_words(word.word for word in words),
        words=words,
        joined=[part.utterance_id for part in parts],
    )


def _words_of(parts: Sequence[Utterance]) -> list[Word]:
    """The words of all parts; "Wi" and "-Fi" are one word."""
    words: list[Word] = []
    for part in parts:
        for word in part.words:
            is_second_half = word.word[:1] in "-‐'’" and word.word[1:2].isalpha()
            if words and is_second_half:
                whole = words[-1].spelled(words[-1].word + word.word)
                words[-1] = whole.moved_to(whole.start, word.end)
            else:
                words.append(word)
    return words
