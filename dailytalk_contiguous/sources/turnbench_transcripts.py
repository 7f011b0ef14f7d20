"""The annotations of TurnBench's annotators as a transcript: texts with times, and marks of sounds.

An entry is a line of subtitles, `[Normal Turn] How are you?`, or an item of a track in a table. A label of speech
is dropped, because turns, backchannels and interruptions follow from the times. Laughter and noises become marks.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from dailytalk_contiguous.core.documents import is_number, quoted
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.turns.turnbench_layout import (
    ANNOTATORS,
    CHANNEL_BLEED,
    KINDS,
    SILENCE,
    TurnAnnotation,
    track_column,
)
from dailytalk_contiguous.core.words.transcript_marks import mark_of
from dailytalk_contiguous.sources.subtitles import SubtitleRecord, read_subtitles
from dailytalk_contiguous.sources.turnbench_files import CHANNEL_OF
from dailytalk_contiguous.store.files import json_text

#: Why labels of an annotator are listed as not used.
LABELS_UNREAD = "labels: turns and their kinds follow from the times"

#: How labels of what is no speech are written in a transcript; Channel Bleed is the other speaker's voice.
_MARKS = {"Laughter": "[laughter]", "Non-Speech Noise": "[noise]", "Speech, Non-Linguistic": "[vocal noise]"}

_LABELLED = re.compile(r"\s*\[([^\[\]]{1,80})\]\s*(.*)", re.DOTALL)


def entry_text(label: str, text: str) -> str | None:
    """Return what a transcript says for an entry: words, a mark, or both; None where this speaker makes no sound.

    >>> entry_text("Normal Turn", " Hello. "), entry_text("Laughter", ""), entry_text("Channel Bleed", "yes")
    ('Hello.', '[laughter]', None)
    """
    plain = " ".join(text.split())
    if label == CHANNEL_BLEED or KINDS.get(label) == SILENCE:
        return None
    mark = _MARKS.get(label, "")
    if mark and plain and mark_of(plain) is None:
        return f"{mark} {plain}"
    return mark or plain or None


def annotation_records(path: Path) -> Iterator[tuple[str, SubtitleRecord]]:
    """Yield the records of an annotator's subtitles, as `subtitles.subtitle_records` does. Raises BadInput."""
    for position, start, end, label, text in _entries(path):
        spoken = entry_text(label, text)
        if spoken:
            yield position, {"start": start, "end": end, "speaker": None, "text": spoken, "words": []}


def unread_labels(path: Path) -> str:
    """Return which labels of an annotator's subtitles become no field, and how often: `Normal Turn 12, …`.

    Raises BadInput.
    """
    counts = Counter(label for _, _, _, label, _ in _entries(path) if label not in _MARKS)
    return labels_text(counts)


def labels_text(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{label or 'no label'} {counts[label]:,}" for label in sorted(counts))


def _entries(path: Path) -> Iterator[tuple[str, float, float, str, str]]:
    """Position, start, end, label and text of each subtitle; the label of one without brackets is empty."""
    for subtitle in read_subtitles(path):
        written = " ".join(word.word for word in subtitle.words)
        match = _LABELLED.fullmatch(written)
        label = ""
        text = written
        if match and match[1] in KINDS:
            label = match[1]
            text = match[2]
        yield subtitle.position, subtitle.start, subtitle.end, label, text


# Rows of a table


def transcript_of_row(row: Row) -> bytes | None:
    """Return the transcript of a row as JSON of our own kind; None for a row without annotations.

    The first annotator of each speaker with entries is read. Raises BadInput for an item that is no entry.
    """
    utterances: list[dict[str, object]] = []
    for channel, entry in _entries_of_row(row):
        text = entry_text(entry["label"], entry["text"])
        if text:
            times = {"start": entry["start_s"], "end": entry["end_s"]}
            utterances.append({"channel": channel, "text": text, **times})
    return json_text({"utterances": utterances}).encode() if utterances else None


def unread_labels_of_row(row: Row) -> Counter[str]:
    """Return how often a row has each label that becomes no field. Raises BadInput for what is no entry."""
    labels = [entry["label"] for _, entry in _entries_of_row(row)]
    return Counter(label for label in labels if label not in _MARKS)


def _entries_of_row(row: Row) -> Iterator[tuple[str, TurnAnnotation]]:
    """Yield the channel and the content of each entry of a row."""
    for speaker, channel in CHANNEL_OF.items():
        tracks = [row.get(track_column(speaker, annotator)) for annotator in ANNOTATORS]
        written = [track for track in tracks if track]
        for item in written[0] if written else ():
            match item:
                case {"start_s": start, "end_s": end, "label": str(label), "text": str() | None as text} if (
                    is_number(start) and is_number(end)
                ):
                    yield channel, {"start_s": start, "end_s": end, "label": label, "text": text or ""}
                case _:
                    remedy = "give each entry start_s and end_s in seconds, label and text"
                    raise BadInput(f"an entry of {speaker} is {quoted(item)}", remedy)
