"""JoinSentences: utterances that are one sentence, torn by a pause of its speaker, become one utterance.

Speech activity ends an utterance after 0.35 s of silence, and people think for longer than that in the middle of a
sentence. Whisper, which hears both parts in one window, writes no mark between them; what comes after (a tag, an
end mark, a voice) would make two sentences of them. Kyutai joins what one speaker says within 1.0 s, Emilia within
2 s; here the words decide, too. Lines that people gave are theirs, and stay.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from datasets import Features, List

from dailytalk_contiguous.core import audio
from dailytalk_contiguous.core.schema import CHANNELS, STRING, Row, per_utterance
from dailytalk_contiguous.core.sentences import ends_sentence, goes_on
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.utterance import GIVEN
from dailytalk_contiguous.core.word_times import join_words
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.match_transcript import MatchTranscript
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.transcribe import Transcribe

#: The columns of the stages before of which that of the first part counts, or of the last.
_OF_FIRST = (
    "utterance_id",
    "channel",
    "speaker",
    "start",
    "start_trim",
    "language",
    "recogniser",
    "given_text",
    "given_words",
    "text_reason",
)
_OF_CONVERSATION = ("uncovered_sound", "sides", "notes", "rejected")
_OF_RECORDING = ("audio", "offset", "duration")
_OF_LAST = ("end", "end_trim", "question")


#: The columns of utterances that stages have added up to here, with their types.
_COLUMNS = {
    **{name: kind for name, kind in Segment.adds.items() if name not in _OF_CONVERSATION},
    **{name: MatchTranscript.adds[name] for name in ("given_text", "given_words")},
    **per_utterance(Transcribe.adds),
}


@dataclass(frozen=True)
class JoinSentences(Stage):
    """Makes one utterance of those that a speaker's pause has torn; all columns of utterances are made anew.

    Two are one where less than `pause` seconds are between them, nobody else speaks there, the words of both are a
    recogniser's, and the sentence goes on (`core.sentences.goes_on`). The pause stays in the times of the words.
    The whole has the id of its first part; `joined` has the ids of all parts, empty where there is one.

    Attributes:
        pause: seconds; 0 joins nothing. longest: seconds of the whole.
    """

    pause: float = setting(
        1.0,
        "Utterances of one sentence with less than this between them are joined; 0: none.",
        option="join_sentences",
        unit="s",
        least=0,
    )
    longest: float = unlisted(Segment.longest)

    VERSION: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = (*_COLUMNS, *_OF_RECORDING)
    transient: ClassVar[tuple[str, ...]] = Segment.transient
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = Features({**_COLUMNS, "joined": List(List(STRING))})

    def row(self, row: Row) -> Row:
        utterances = [
            dict(zip(_COLUMNS, values, strict=True))
            for values in zip(*(row[name] for name in _COLUMNS), strict=True)
        ]
        marked = any(map(ends_sentence, row["text_raw"]))
        groups = list(self._groups(utterances)) if marked else [[utterance] for utterance in utterances]
        runs = _one_run_each(groups)
        joined = [_joined(parts, runs) for parts in groups]
        if len(joined) < len(utterances):
            sound = audio.read_pcm(row["audio"], row["offset"], row["duration"])
            for utterance in joined:
                if utterance["joined"]:
                    utterance["speech"] = _excerpt(sound, utterance)
        joined.sort(key=lambda utterance: (utterance["start"], utterance["channel"]))
        return {name: [utterance[name] for utterance in joined] for name in self.adds}

    def _groups(self, utterances: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
        """Utterances in groups that are one sentence each."""
        for channel in dict.fromkeys(utterance["channel"] for utterance in utterances):
            others = [utterance for utterance in utterances if utterance["channel"] != channel]
            parts: list[dict[str, Any]] = []
            for utterance in (utterance for utterance in utterances if utterance["channel"] == channel):
                if parts and not self._are_one(parts, utterance, others):
                    yield parts
                    parts = []
                parts = [*parts, utterance]
            if parts:
                yield parts

    def _are_one(
        self, parts: Sequence[dict[str, Any]], following: Mapping[str, Any], others: Sequence[Mapping[str, Any]]
    ) -> bool:
        before = parts[-1]
        since = parts[-1]["end"]
        until = following["start"]
        return (
            until - since < self.pause
            and following["end"] - parts[0]["start"] <= self.longest
            and not {GIVEN, ""} & {before["recogniser"], following["recogniser"]}
            and goes_on(before["text_raw"], following["text_raw"], following["language"])
            and not any(other["start"] < until and other["end"] > since for other in others)
        )


def _one_run_each(groups: Sequence[Sequence[Mapping[str, Any]]]) -> dict[tuple[str, int], int]:
    """The run of speech of each channel's runs, where those of one sentence are one."""
    runs: dict[tuple[str, int], int] = {}
    for parts in groups:
        channel = parts[0]["channel"]
        first = parts[0]["run"]
        for part in parts:
            runs[channel, part["run"]] = runs.get((channel, first), first)
    return runs


def _joined(parts: Sequence[dict[str, Any]], runs: Mapping[tuple[str, int], int]) -> dict[str, Any]:
    first = parts[0]
    last = parts[-1]
    run = {"run": runs[first["channel"], first["run"]]}
    if len(parts) == 1:
        return first | run | {"joined": []}
    lengths = np.array([part["speech_seconds"] for part in parts])
    words: list[dict[str, Any]] = []
    for word in (word for part in parts for word in part["words"]):
        if words and word["word"][:1] in "-‐'’" and word["word"][1:2].isalpha():  # "Wi" and "-Fi" are one word
            words[-1] = words[-1] | {"word": words[-1]["word"] + word["word"], "end": word["end"]}
        else:
            words.append(word)
    counts = [sum(not word.get("filler") for word in part["words"]) for part in parts]
    logprobs = [(part["avg_logprob"], count) for part, count in zip(parts, counts, strict=True) if count]
    n_words = sum(counts)
    return {
        **{name: first[name] for name in _OF_FIRST},
        **{name: last[name] for name in _OF_LAST},
        **run,
        "kind": "speech" if last["end"] - first["start"] >= Segment.short else "short",
        "speech_seconds": float(lengths.sum()),
        "avg_logprob": sum(logprob * count for logprob, count in logprobs) / n_words if n_words else math.nan,
        "no_speech_prob": max(part["no_speech_prob"] for part in parts),
        "text_raw": join_words(word["word"] for word in words),
        "words": words,
        "joined": [part["utterance_id"] for part in parts],
    }


def _excerpt(sound: audio.Pcm, utterance: Mapping[str, Any]) -> bytes:
    """The speech of an utterance, cut from the recording as `Segment` cuts it."""
    name = utterance["channel"]
    channel = audio.mixed_down(sound) if name == "mix" else sound[:, CHANNELS.index(name)]
    return audio.excerpt(channel, utterance["start"], utterance["end"]).tobytes()
