"""The columns of a finished conversation."""

import json
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from datasets import Features, IterableDataset
from datasets.table import cast_table_to_features

from dailytalk_contiguous.core import schema
from dailytalk_contiguous.core.documents import with_null
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.fields import Field, columns_among
from dailytalk_contiguous.core.quality import FRAME
from dailytalk_contiguous.core.records import Mark, MovedSound
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.stereo_audio import PublishedStereo
from dailytalk_contiguous.core.utterance import (
    EDGES,
    FIELDS,
    OPTIONAL_FIELDS,
    UTTERANCE,
    is_converted,
    pack_utterances,
)
from dailytalk_contiguous.stages.base import REVOICE_OR_KEEP, AnyDataset, Stage
from dailytalk_contiguous.stages.columns import each_utterance
from dailytalk_contiguous.stages.script import SILENT_SPEAKERS

#: Fields of an utterance, and the columns that hold them until now, where these have another name.
_RENAMED = {
    "start": "new_start",
    "end": "new_end",
    "source_start": "start",
    "source_end": "end",
    "reason": "unspoken_reason",
    "start_trim": "new_start_trim",
    "end_trim": "new_end_trim",
    "source_start_trim": "start_trim",
    "source_end_trim": "end_trim",
}

#: Fields of an utterance, a word or a sound that are seconds.
_TIMES = frozenset({*EDGES, *(f"source_{name}" for name in EDGES)})


#: Most seconds between a mark, whose time is an estimate where words have none, and the sound that it names.
NEAR_MARK = 1.0


@dataclass(frozen=True)
class Finish(Stage):
    """Packs the columns of `Reconstruct` or `Keep`, `Align` and the transcript into `core.schema.BUILT`.

    Times are rounded to a tenth of a millisecond, as in transcript_shifted.jsonl. `map` drops all other
    columns, so that what it returns can be published as it is.

    `revoice` is whose voice is new, or `none`; `provenance` is JSON that says how the conversation was made;
    `fields` are those of utterances that stages before it publish (`published_by`). An utterance that was left out
    has no start and no end.
    """

    revoice: str = setting(schema.CHANNELS[0], REVOICE_OR_KEEP)
    # Not in the digest: the models of a row are in its utterances, and those of others don't change it.
    provenance: str = unlisted("{}", execution=True)
    fields: tuple[Field, ...] = unlisted(())

    needs: ClassVar[tuple[str, ...]] = (
        "conversation_id",
        "recording_id",
        "duration",
        "main_language",
        "built_audio",
        "built_rate",
        "built_duration",
        "built_sides",
        "alignments",
        "sounds",
        "timeline",
        *(_RENAMED.get(name, name) for name in UTTERANCE if name not in ("channel", *OPTIONAL_FIELDS)),
    )
    uses: ClassVar[tuple[str, ...]] = (
        "verbatim",
        SILENT_SPEAKERS,
        *(column.name for column in schema.COLUMNS),
        *sorted({_RENAMED.get(name, name) for name in OPTIONAL_FIELDS}),
    )
    batch_rows: ClassVar[int] = 1
    VERSION: ClassVar[int] = 3
    adds: ClassVar[Features] = schema.BUILT

    def __post_init__(self) -> None:
        if self.fields:
            object.__setattr__(self, "adds", schema.built((*FIELDS, *self.fields)))
            object.__setattr__(self, "uses", (*self.uses, *(field.name for field in self.fields)))

    def drops(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name not in self.adds]

    def map(self, dataset: AnyDataset, **options: Any) -> AnyDataset:
        mapped = super().map(dataset, **options)
        heard = Features({**mapped.features, "audio": PublishedStereo(num_channels=2)})
        if isinstance(mapped, IterableDataset):
            # `push_to_hub` of a stream guesses types row by row, whatever its features, and fails if they differ.
            cast = partial(cast_table_to_features, features=mapped.features)
            typed = mapped.with_format("arrow").map(cast, batched=True, batch_size=1, features=heard)
            return typed.with_format(None)
        return mapped.cast_column("audio", heard["audio"])

    def row(self, row: schema.Row) -> schema.Row:
        sides = schema.result_sides(self.revoice)
        if schema.is_recorded(row) and sides["left"] != "left":
            raise DailytalkError(
                f"Keep leaves each speaker on their side, but revoice is {self.revoice!r}", "leave it out"
            )
        utterances = self._utterances(row, sides)
        sounds = [_finished_sound(sound, sides) for sound in labelled(row)]
        words: list[Row] = [dict(word) for word in row["alignments"]]
        end = math.floor(row["built_duration"] * 1e4) / 1e4  # no time is later than it by rounding
        for item in (*utterances, *words, *sounds):
            for name in _TIMES & item.keys():
                if item[name] is not None:
                    latest = math.inf if "source" in name else end
                    item[name] = round(min(round(item[name], 4), latest), 4)
        columns = [*schema.COLUMNS, *columns_among(self.fields)]
        recognisers = {utterance["models"]["recogniser"] for utterance in utterances}
        finished = {
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
            "speakers": _speakers(row, sides),
            "timeline": row["timeline"],
            **{column.name: row.get(column.name) for column in columns},
            "provenance": self._provenance(recognisers),
        }
        return {name: with_null(value) for name, value in finished.items()}

    def _utterances(self, row: schema.Row, sides: Mapping[str, str]) -> list[Row]:
        """The utterances with their sides in the result, and their texts as they are heard there."""
        renamed = {name: row.get(column) for name, column in _RENAMED.items()}
        utterances = pack_utterances({**row, **renamed}, (*FIELDS, *self.fields))
        kept = row.get("verbatim") or row["text"]
        for utterance, text in zip(utterances, kept, strict=True):
            utterance["channel"] = sides[utterance["source_channel"]]
            if utterance["status"] != "spoken" or is_converted(utterance):  # the marks are for a voice to say
                utterance["text"] = text
        return utterances

    def _provenance(self, recognisers: set[str | None]) -> str:
        """How a row with words of these recognisers was made: no row names one that it has no words of."""
        made = json.loads(self.provenance)
        recogniser = made.get("models", {}).get("recogniser")
        if not recogniser or recogniser["name"] in recognisers:
            return self.provenance
        del made["models"]["recogniser"]
        return json.dumps(made, sort_keys=True, ensure_ascii=False)


class SourceSound(MovedSound):
    """A sound that is no speech, and what the transcript calls it; None where it says nothing."""

    label: str | None


def _finished_sound(sound: SourceSound, sides: Mapping[str, str]) -> Row:
    return {
        "channel": sides[sound["channel"]],
        "start": sound["new_start"],
        "end": sound["new_end"],
        "source_start": sound["start"],
        "source_end": sound["end"],
        "label": sound["label"],
    }


def _speakers(row: Row, sides: Mapping[str, str]) -> dict[str, str | None]:
    """The name of who is on each side, heard or silent; None where nobody or several people are named."""
    silent = row.get(SILENT_SPEAKERS) or {}
    speakers: dict[str, str | None] = {}
    for channel in schema.CHANNELS:
        spoken = each_utterance(row, "source_channel", "speaker")
        people = {speaker for side, speaker in spoken if side == channel and speaker}
        # The name that `tag` gives only says on which channel somebody speaks.
        people.discard(f"{row['recording_id']}/{channel}")
        speakers[sides[channel]] = people.pop() if len(people) == 1 else silent.get(channel)
    return speakers


def labelled(row: schema.Row) -> list[SourceSound]:
    """The sounds of a row with what its transcript calls them, by rising start.

    A mark names the nearest sound of its side within `NEAR_MARK`. One that names none is a sound by itself if it
    is in an utterance that was kept: laughter in the middle of speech is no gap of it.
    """
    moved: list[MovedSound] = row["sounds"]
    sounds: list[SourceSound] = [{**sound, "label": None} for sound in moved]
    for mark in row.get("transcript_marks") or ():
        if mark["kind"] != "sound":
            continue
        nearest = _nearest(mark, sounds)
        if nearest is not None:
            nearest["label"] = mark["name"]
            continue
        marked = _sound_of_mark(row, mark)
        if marked is not None:
            sounds.append(marked)
    return sorted(sounds, key=lambda sound: (sound["start"], sound["channel"]))


def _nearest(mark: Mark, sounds: Sequence[SourceSound]) -> SourceSound | None:
    """The nearest sound on the side of a mark that has no label yet; None where none is near."""
    distances: dict[int, float] = {}
    for number, sound in enumerate(sounds):
        if sound["channel"] == mark["channel"] and not sound["label"]:
            distances[number] = max(sound["start"] - mark["end"], mark["start"] - sound["end"], 0.0)
    nearest = min(distances, key=distances.__getitem__, default=None)
    if nearest is None or distances[nearest] > NEAR_MARK:
        return None
    return sounds[nearest]


def _sound_of_mark(row: Row, mark: Mark) -> SourceSound | None:
    """A mark as a sound of its own, in the kept utterance in which it is; None where it is in none."""
    names = ("source_channel", "status", "synthesis", "start", "end", "new_start")
    for channel, status, synthesis, start, end, new_start in each_utterance(row, *names):
        first = max(start, mark["start"])
        last = min(end, mark["end"])
        is_recorded = status != "spoken" or is_converted({"synthesis": synthesis})
        if channel != mark["channel"] or not is_recorded or new_start is None or first >= last:
            continue
        return {
            "channel": channel,
            "label": mark["name"],
            "start": first,
            "end": last,
            "new_start": first + new_start - start,
            "new_end": last + new_start - start,
        }
    return None


def _side(side: Row, words: Sequence[Row]) -> Row:
    """The measures of a side, with how many of its words are where nothing is heard, give or take a frame."""
    audible = [(span["start"] - FRAME, span["end"] + FRAME) for span in side["audible"]]
    ends = [end for _, end in audible]
    n_unheard = 0
    for word in words:
        if word["speaker"] != side["channel"]:
            continue
        after = bisect_right(ends, word["start"])  # the first stretch that ends after the word begins
        is_heard = after < len(audible) and audible[after][0] < word["end"]
        if not is_heard:
            n_unheard += 1
    measures: Row = {name: side[name] for name in schema.SIDE}
    measures["unheard_words"] = n_unheard
    return measures
