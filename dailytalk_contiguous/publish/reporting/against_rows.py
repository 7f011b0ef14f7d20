"""What a comparison reads: clips of a corpus, files of a mix or utterances of conversations, all told alike.

Labels that the other kind has none of stay null, because "nobody told" is what a comparison has to show. Only the
style of an utterance is worked out, by the rule that gives clips theirs, or the two could not stand side by side.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.core.documents import as_text, is_number
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.finished_clip import own_seconds
from dailytalk_contiguous.core.schema import AFFECT
from dailytalk_contiguous.core.sentences import length_class, sentence_type
from dailytalk_contiguous.engine.corpus_describe import STYLES
from dailytalk_contiguous.engine.outputs import TRANSCRIPT
from dailytalk_contiguous.publish.reporting.expressive_rows import finished_clips, is_corpus
from dailytalk_contiguous.publish.reporting.mix_rows import is_mix, mixed_rows
from dailytalk_contiguous.publish.reporting.rows import DATASET, told

#: Labels that are compared, and how each is named. `act` is what a turn does in its dialogue (DailyTalk).
LABELS = {
    "emotion": "Emotion",
    "style": "Style",
    "tag": "Tag",
    "act": "Act",
    "sentence_type": "Sentence type",
    "length": "Length",
}

#: Measures of prosody that are compared: pitch, its variation, and words a second.
VOICE = ("f0_mean", "f0_std", "speech_rate")


class Said(NamedTuple):
    """A clip, file or utterance: seconds, a value (or None) of each of `LABELS`, and of `AFFECT` and `VOICE`."""

    seconds: float
    labels: Mapping[str, str | None]
    measures: Mapping[str, float | None]


class Source(NamedTuple):
    """What a folder holds, and what one of them is called, in the plural."""

    unit: str
    said: Iterator[Said]


def source_of(folder: Path) -> Source:
    """What a folder has to compare; copies are left out, since nobody recorded them.

    Of conversations that were rebuilt the lengths are the new ones; all else was measured on the recording.

    Args:
        folder: what `dailytalk corpus`, `mix`, `tag`, `speak` or `build` wrote.

    Raises DailytalkError if it holds nothing of the kind, or, while it is read, if a file is damaged.
    """
    if is_mix(folder):
        return Source("files", _clips(mixed_rows(folder)))
    if is_corpus(folder):
        return Source("clips", _clips(finished_clips(folder)))
    if (folder / TRANSCRIPT).is_file() or (folder / DATASET).is_dir():
        return Source("utterances", _utterances(told(folder).rows))
    raise DailytalkError(
        f"{as_text(folder)!r} has neither clips nor conversations to compare",
        "name a folder that `dailytalk corpus`, `mix`, `tag`, `speak` or `build` has finished",
    )


def _clips(rows: Iterator[Mapping[str, Any]]) -> Iterator[Said]:
    for row in rows:
        if row["augmented_from"] is None:
            labels = {name: row.get(name) for name in LABELS}
            affect, prosody = row["affect"] or {}, row["prosody"] or {}
            measures = {name: affect.get(name) for name in AFFECT} | {name: prosody.get(name) for name in VOICE}
            yield Said(own_seconds(row), labels, measures)


def _utterances(rows: Iterator[Mapping[str, Any]]) -> Iterator[Said]:
    for row in rows:
        for one in row["utterances"] or ():
            if not is_number(one["start"]) or not is_number(one["end"]):  # it was left out
                continue
            seconds = max(0.0, one["end"] - one["start"])
            labels = dict.fromkeys(LABELS) | {"tag": one["tag"], "style": _style(one)}
            labels |= {
                "sentence_type": sentence_type(one["text"], row["language"]),
                "length": length_class(seconds),
            }
            yield Said(seconds, labels, {name: one[name] for name in (*AFFECT, *VOICE)})


def _style(one: Mapping[str, Any]) -> str | None:
    """What the rule for clips makes of a tag; None where what it goes by is not known."""
    known = one["tag"] and is_number(one["arousal"]) and is_number(one["voiced_fraction"])
    return STYLES.get(one["tag"], "normal") if known else None
