"""What is kept of a conversation, or of a clip, once it is finished."""

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from datasets import Features, IterableDataset, List
from datasets.table import cast_table_to_features

from dailytalk_contiguous.core import schema
from dailytalk_contiguous.core.audio import probe
from dailytalk_contiguous.core.quality import FRAME
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.utterance import (
    AFFECT,
    EMOTION_GUESS,
    FIELDS,
    OPTIONAL_FIELDS,
    PROSODIC_TOKENS,
    PROSODY,
    UTTERANCE,
    WORD,
    Field,
    pack_utterances,
)
from dailytalk_contiguous.core.word_times import fit_words
from dailytalk_contiguous.stages.base import REVOICE, AnyDataset, Stage
from dailytalk_contiguous.stages.clip_words import PROPORTIONAL, RECOGNISER
from dailytalk_contiguous.stages.script import columns_besides

#: Columns of an utterance that have another name on their way.
_RENAMED = {"start": "new_start", "end": "new_end", "source_start": "start", "source_end": "end"}
_RENAMED |= {"reason": "unspoken_reason"}

#: Fields of an utterance, a word or a sound that are seconds.
_TIMES = frozenset({"start", "end", "source_start", "source_end"})


@dataclass(frozen=True)
class Finish(Stage):
    """Packs the columns of `Reconstruct`, `Align` and the transcript into those of `core.schema.BUILT`.

    Times are rounded to a tenth of a millisecond, as in transcript_shifted.jsonl. `map` drops all other
    columns, so that what it returns can be published as it is.

    `revoice` is whose voice is new; `provenance` is JSON that says how the conversation was made; `fields` are
    those of utterances that stages before it publish (`published_by`). An utterance that was left out has no start
    and no end.
    """

    revoice: str = setting(schema.CHANNELS[0], REVOICE)
    provenance: str = unlisted("{}")
    fields: tuple[Field, ...] = unlisted(())

    needs: ClassVar[tuple[str, ...]] = (
        *("conversation_id", "recording_id", "duration", "main_language"),
        *("built_audio", "built_rate", "built_duration", "built_sides"),
        *("alignments", "sounds", "timeline"),
        *(_RENAMED.get(name, name) for name in UTTERANCE if name not in ("channel", *OPTIONAL_FIELDS)),
    )
    uses: ClassVar[tuple[str, ...]] = tuple(sorted(OPTIONAL_FIELDS))
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = schema.BUILT

    def __post_init__(self) -> None:
        if self.fields:
            object.__setattr__(self, "adds", schema.built((*FIELDS, *self.fields)))
            object.__setattr__(self, "uses", (*self.uses, *(field.name for field in self.fields)))

    def map(self, dataset: AnyDataset, **options: Any) -> AnyDataset:
        mapped = super().map(dataset, **{"remove_columns": columns_besides(self.adds, dataset)} | options)
        if isinstance(mapped, IterableDataset):
            # `push_to_hub` of a stream guesses types row by row, whatever its features, and fails if they differ.
            cast = partial(cast_table_to_features, features=mapped.features)
            typed = mapped.with_format("arrow").map(cast, batched=True, batch_size=1, features=mapped.features)
            return typed.with_format(None)
        return mapped

    def row(self, row: schema.Row) -> schema.Row:
        sides = {channel: "left" if channel == self.revoice else "right" for channel in schema.CHANNELS}
        renamed = {name: row[column] for name, column in _RENAMED.items()}
        utterances = pack_utterances({**row, **renamed}, (*FIELDS, *self.fields))
        for utterance in utterances:
            utterance["channel"] = sides[utterance["source_channel"]]
        sounds = [
            {"channel": "right", "start": sound["new_start"], "end": sound["new_end"]}
            | {"source_start": sound["start"], "source_end": sound["end"]}
            for sound in row["sounds"]
        ]
        words = [dict(word) for word in row["alignments"]]
        for item in (*utterances, *words, *sounds):
            for name in _TIMES & item.keys():
                item[name] = _rounded(item[name], math.inf if "source" in name else row["built_duration"])
        return {
            "conversation_id": row["conversation_id"],
            "recording_id": row["recording_id"],
            "audio": row["built_audio"],
            "sample_rate": row["built_rate"],
            "duration": row["built_duration"],
            "source_duration": row["duration"],
            "language": row["main_language"],
            "utterances": utterances,
            "alignments": words,
            "sounds": sounds,
            "sides": [_side(side, words) for side in row["built_sides"]],
            "speakers": {sides[channel]: _person(row, channel) for channel in schema.CHANNELS},
            "timeline": row["timeline"],
            "provenance": self.provenance,
        }


def _rounded(seconds: float | None, latest: float) -> float | None:
    """Seconds to a tenth of a millisecond, which no time is later than (`latest`) by rounding."""
    if seconds is None:
        return None
    return round(min(round(seconds, 4), math.floor(latest * 1e4) / 1e4 if math.isfinite(latest) else latest), 4)


def _side(side: dict[str, Any], words: list[dict[str, Any]]) -> dict[str, Any]:
    """The measures of a side, with how many of its words are where nothing is heard, give or take a frame."""
    audible = [(span["start"] - FRAME, span["end"] + FRAME) for span in side["audible"]]
    ends = [end for _, end in audible]

    def heard(word: dict[str, Any]) -> bool:
        after = bisect_right(ends, word["start"])  # the first stretch that ends after the word begins
        return after < len(audible) and audible[after][0] < word["end"]

    unheard = sum(not heard(word) for word in words if word["speaker"] == side["channel"])
    return {name: side[name] for name in schema.SIDE} | {"unheard_words": unheard}


def _person(row: dict[str, Any], channel: str) -> str | None:
    """Who speaks on a channel of the recording, if somebody said so: the name that `tag` gives is only a place."""
    named = zip(row["source_channel"], row["speaker"], strict=True)
    people = {speaker for side, speaker in named if side == channel and speaker}
    people.discard(f"{row['recording_id']}/{channel}")
    return people.pop() if len(people) == 1 else None


# TakeConditioned and FinishClip: a conditioned clip takes its source's place, and in the end its row is closed.
#
# Augment changes what a row's `audio` holds, so conditioned audio has to become that first, with its words moved
# to where they are heard in it. The last stage keeps what is published and drops the rest.


@dataclass(frozen=True)
class TakeConditioned(Stage):
    """Gives back `audio`, `duration` and `words`: those of the conditioned clip (see `Condition`)."""

    needs: ClassVar[tuple[str, ...]] = (
        *("conditioned", "conditioned_duration", "clip_start", "trim_start", "trim_end", "words"),
    )
    adds: ClassVar[Features] = Features({"audio": schema.AUDIO, "duration": schema.SECONDS, "words": List(WORD)})

    def row(self, row: schema.Row) -> schema.Row:
        words = row["words"]
        if words is not None:
            start, trimmed = row["clip_start"], row["trim_start"]
            moved = [word | {name: word[name] - trimmed + start for name in ("start", "end")} for word in words]
            words = fit_words(moved, start, row["conditioned_duration"])
        audio = {"bytes": row["conditioned"], "path": None}
        return {"audio": audio, "duration": row["conditioned_duration"], "words": words}


#: Fields of the utterance of a clip that are known before it is conditioned; columns of these names on their way.
SAID = ("text", "language", "models", "rule", *AFFECT, *PROSODY, *EMOTION_GUESS)


@dataclass(frozen=True)
class FinishClip(Stage):
    """Closes rows: the columns of `core.schema.LABELLED`, each word with the source of its times."""

    needs: ClassVar[tuple[str, ...]] = (
        *("conversation_id", "audio", "duration", "words", "word_source", "labels", "split"),
        *SAID,
        *schema.CONDITIONING,
    )
    uses: ClassVar[tuple[str, ...]] = tuple(PROSODIC_TOKENS)
    adds: ClassVar[Features] = schema.LABELLED

    def row(self, row: schema.Row) -> schema.Row:
        conditioning = {name: row[name] for name in schema.CONDITIONING}
        if (copy := row["labels"]["augmentation"]) and copy["kind"] == "stretch" and row["clip_start"]:
            conditioning["clip_start"] *= copy["amount"]  # the prompt before the clip is stretched with it
        labels = row["labels"] | {"conditioning": conditioning}
        words = [
            {name: word[name] for name in ("word", "start", "end")}
            | {"speaker": "left", "source": _source(word, row | labels), "probability": None}
            for word in row["words"] or ()
        ]
        clip = row | {"labels": labels, "sample_rate": probe(row["audio"]).sample_rate}
        return clip_row(clip, words) | {"audio": row["audio"]}


def clip_row(clip: schema.Row, words: list[schema.Row]) -> schema.Row:
    """The row of a clip, without its sound: a conversation of one utterance, before which there may be a prompt.

    `clip` has what is known of it as it is on its way to `FinishClip`, with the `conditioning` among its `labels`.
    """
    name, labels, text, tag = clip["conversation_id"], clip["labels"], clip["text"], clip["labels"]["tag"]
    utterance = dict.fromkeys(UTTERANCE) | {field: clip.get(field) for field in (*SAID, *PROSODIC_TOKENS)}
    utterance |= {
        "utterance_id": f"{name}/left/0000",
        "channel": "left",
        "source_channel": "left",
        "speaker": labels["speaker"],
        "start": (labels["conditioning"] or {}).get("clip_start") or 0.0,
        "end": clip["duration"],
        "kind": "speech",
        "status": "kept",
        "event": "turn",
        "text_raw": text,
        "tagged_text": f"({tag}) {text}" if tag and text else text,
        "tag": tag,
    }
    measured = {measure: value for measure, value in (labels["quality"] or {}).items() if measure in schema.SIDE}
    return {
        "conversation_id": name,
        "recording_id": labels["augmented_from"] or name,
        "sample_rate": clip["sample_rate"],
        "duration": clip["duration"],
        "source_duration": None,
        "language": clip["language"],
        "utterances": [utterance],
        "alignments": words,
        "sounds": [],
        "sides": [dict.fromkeys(schema.SIDE) | measured | {"channel": "left"}],
        "speakers": {"left": labels["speaker"], "right": None},
        "timeline": None,
        "provenance": None,
        "labels": labels,
        "split": clip["split"],
    }


def _source(word: dict[str, Any], row: dict[str, Any]) -> str:
    unheard = row["word_source"] == RECOGNISER and row["text_source"] != RECOGNISER and word["probability"] == 0
    return PROPORTIONAL if unheard else str(row["word_source"])
