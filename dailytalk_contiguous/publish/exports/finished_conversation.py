"""A finished conversation in the form that exporters take: samples, words and utterances, main speaker first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records import schema
from dailytalk_contiguous.core.records.record import AnyRecord
from dailytalk_contiguous.core.records.schema import Row, kept_speakers, voices
from dailytalk_contiguous.core.records.utterance import (
    UtteranceRow,
    heard_utterances,
    is_converted,
    said_tag,
    sounding_span,
)
from dailytalk_contiguous.core.sound.samples import HIGHEST_RATE, LOWEST_RATE, Pcm
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.core.words.filler_removal import UNWRITTEN
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.machine.audio import read_header, read_pcm
from dailytalk_contiguous.machine.sound_columns import MOST_PCM_BYTES
from dailytalk_contiguous.publish.checks.findings import TOLERANCE

_REMEDY = "build the conversation again"


class ConversationUtterance(NamedTuple):
    """An utterance in seconds of its conversation; `event` as in `core.records.utterance.EVENTS`.

    `sounds`: start and end of its sound (`core.records.utterance.sounding_span`). `main`: whether the main one
    says it. `tag`: as `core.records.utterance.said_tag`.
    """

    start: float
    end: float
    sounds: tuple[float, float]
    main: bool
    text: str
    tag: str
    event: str


@dataclass(frozen=True)
class FinishedTalk:
    """A finished conversation in the form that exporters take; the main speaker is decided once for all formats.

    Attributes:
        id: its id in the dataset.
        main, other: the sides of its row, `left` or `right`, of the main speaker and of the other one.
        pcm: int16, shape (n, 2), the main speaker first.
        sample_rate: Hz.
        words: of both speakers, by start; those of the main one have `main` as their `side`.
        utterances: the audible ones of both speakers, by start.
        sounds: starts and ends in seconds of the kept speaker's laughs, breaths, coughs and plosives, by start.
        inaudible: starts and ends in seconds of the main speaker's kept speech without words in the transcript.
        language: ISO 639-1, or None.
        main_speaker, other_speaker: their names or None.
        kept_speakers: names of those whose own voices are in it (never the one resynthesised); None: not known.
        voices: names of the voices with which utterances were resynthesised.
        row: its row.
    """

    id: str
    main: str
    other: str
    pcm: Pcm
    sample_rate: int
    words: tuple[Word, ...]
    utterances: tuple[ConversationUtterance, ...]
    sounds: tuple[tuple[float, float], ...]
    inaudible: tuple[tuple[float, float], ...]
    language: str | None
    main_speaker: str | None
    other_speaker: str | None
    kept_speakers: tuple[str | None, ...]
    voices: tuple[str, ...]
    row: Row

    @property
    def duration(self) -> float:
        return len(self.pcm) / self.sample_rate

    @property
    def apart(self) -> tuple[str, ...]:
        """Names that stay on one side of a division: the kept speakers; for an unknown one, the recording."""
        recording = f"recording\0{self.row['recording_id']}"
        return tuple(name or recording for name in self.kept_speakers)


def finished_conversation(row: Row, sample_rate: int, swap: bool) -> FinishedTalk:
    """Return a row of `core.records.schema.BUILT` as a `FinishedTalk`; `swap` makes the right speaker the main
    one.

    Raises BadInput: the audio is no stereo, too long, or can't be read, or a word or an utterance has no length or
    is outside it.
    """
    audio = row["audio"]
    header = read_header(audio)
    hours = header.seconds / 3600
    most = MOST_PCM_BYTES / (4 * sample_rate) / 3600
    if header.channels != 2 or not LOWEST_RATE <= header.sample_rate <= HIGHEST_RATE or hours > most:
        raise BadInput(
            f"its audio has {counted(header.channels, 'channel')}, {header.sample_rate} Hz and {hours:.1f} h, "
            f"not 2, {LOWEST_RATE} to {HIGHEST_RATE} Hz and at most {most:.1f} h",
            "build it again (if it is too long, with a shorter --max-conversation)",
        )
    pcm = read_pcm(audio, sample_rate=sample_rate)
    if swap:
        pcm = np.ascontiguousarray(pcm[:, ::-1])
    main = "right" if swap else "left"
    other = "left" if swap else "right"
    seconds = len(pcm) / sample_rate
    speakers = row["speakers"] or {}
    words = []
    for word in sorted(row["alignments"] or (), key=lambda aligned: (aligned["start"], aligned["end"])):
        text = (word["word"] or "").strip()
        if not text:
            raise BadInput(f"the word at {word['start']:.3f} s has no text", _REMEDY)
        start, end = _times(word, "word", seconds)
        words.append(Word(text, start, end, word.get("probability"), side=word["speaker"]))
    utterances = []
    for utterance in sorted(heard_utterances(row), key=lambda heard: (heard["start"], heard["end"])):
        utterances.append(_utterance(utterance, main, seconds))
    sounds = [(sound["start"], sound["end"]) for sound in row["sounds"] or ()]
    return FinishedTalk(
        id=row["conversation_id"],
        main=main,
        other=other,
        pcm=pcm,
        sample_rate=sample_rate,
        words=tuple(words),
        utterances=tuple(utterances),
        sounds=tuple(sorted(sounds)),
        inaudible=tuple(_inaudible(row, main)),
        language=row["language"],
        main_speaker=schema.name_or_none(speakers.get(main)),
        other_speaker=schema.name_or_none(speakers.get(other)),
        kept_speakers=kept_speakers(row),
        voices=voices(row),
        row=row,
    )


def _utterance(utterance: UtteranceRow, main: str, seconds: float) -> ConversationUtterance:
    """An utterance of a conversation of `seconds`, whose main speaker is on the channel `main`."""
    start, end = _times(utterance, "text", seconds)
    sounds = sounding_span(utterance) or (utterance["start"], utterance["end"])
    return ConversationUtterance(
        start=start,
        end=end,
        sounds=sounds,
        main=utterance["channel"] == main,
        text=utterance["text"] or "",
        tag=said_tag(utterance) or "",
        event=utterance["event"] or "",
    )


def _inaudible(row: Row, channel: str) -> Iterator[tuple[float, float]]:
    """Where a channel has kept speech without words, by the marks of the transcript, in seconds of the result."""
    marks: list[AnyRecord] = row.get("transcript_marks") or []
    for mark in marks:
        if mark["kind"] != "inaudible":
            continue
        for utterance in heard_utterances(row):
            first = max(mark["start"], utterance["source_start"])
            last = min(mark["end"], utterance["source_end"])
            is_same_side = utterance["channel"] == channel and utterance["source_channel"] == mark["channel"]
            is_recorded = utterance["status"] != "spoken" or is_converted(utterance)
            if is_same_side and is_recorded and first < last:
                shift = utterance["start"] - utterance["source_start"]
                first, last = _without_words(first + shift, last + shift, row, channel)
                if first < last:
                    yield first, last


def _without_words(first: float, last: float, row: Row, channel: str) -> tuple[float, float]:
    """A stretch up to the words of its channel that reach into it: the times of a mark may be an estimate."""
    for word in row.get(UNWRITTEN) or row["alignments"] or ():
        if word["speaker"] == channel and word["start"] < last and first < word["end"]:
            is_before = word["start"] + word["end"] < first + last
            if is_before:
                first = word["end"]
            else:
                last = word["start"]
    return first, last


def _times(item: Mapping[str, Any], text: str, seconds: float) -> tuple[float, float]:
    """Start and end of a word or an utterance. Raises BadInput for one that is no stretch of the audio."""
    start = item["start"]
    end = item["end"]
    if not 0 <= start < min(end, seconds) or end > seconds + TOLERANCE:
        raise BadInput(f"{quoted(item[text])} at {start:.3f}..{end:.3f} s is empty or outside the audio", _REMEDY)
    return start, min(end, seconds)
