"""The columns of a finished conversation."""

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from datasets import Features, IterableDataset
from datasets.table import cast_table_to_features

from dailytalk_contiguous.core import schema
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.fields import Field, columns_among
from dailytalk_contiguous.core.quality import FRAME
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
from dailytalk_contiguous.stages.script import columns_besides

#: Columns of an utterance that have another name on their way.
_RENAMED = {"start": "new_start", "end": "new_end", "source_start": "start", "source_end": "end"}
_RENAMED |= {"reason": "unspoken_reason"}
_RENAMED |= {"start_trim": "new_start_trim", "end_trim": "new_end_trim"}
_RENAMED |= {"source_start_trim": "start_trim", "source_end_trim": "end_trim"}

#: Fields of an utterance, a word or a sound that are seconds.
_TIMES = frozenset({*EDGES, *(f"source_{name}" for name in EDGES)})


#: Seconds between a mark, whose time is an estimate where words have none, and the sound that it names, at most.
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
        *(column.name for column in schema.COLUMNS),
        *sorted({_RENAMED.get(name, name) for name in OPTIONAL_FIELDS}),
    )
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = schema.BUILT

    def __post_init__(self) -> None:
        if self.fields:
            object.__setattr__(self, "adds", schema.built((*FIELDS, *self.fields)))
            object.__setattr__(self, "uses", (*self.uses, *(field.name for field in self.fields)))

    def map(self, dataset: AnyDataset, **options: Any) -> AnyDataset:
        mapped = super().map(dataset, **{"remove_columns": columns_besides(self.adds, dataset)} | options)
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
                f"Keep leaves each speaker on their side, and revoice is {self.revoice!r}", "leave it out"
            )
        renamed = {name: row.get(column) for name, column in _RENAMED.items()}
        utterances = pack_utterances({**row, **renamed}, (*FIELDS, *self.fields))
        kept = row.get("verbatim") or row["text"]
        for utterance, text in zip(utterances, kept, strict=True):
            utterance["channel"] = sides[utterance["source_channel"]]
            if utterance["status"] != "spoken" or is_converted(utterance):  # the marks are for a voice to say
                utterance["text"] = text
        sounds = [
            {"channel": sides[sound["channel"]], "start": sound["new_start"], "end": sound["new_end"]}
            | {"source_start": sound["start"], "source_end": sound["end"], "label": sound["label"]}
            for sound in labelled(row)
        ]
        speakers = {}
        for channel in schema.CHANNELS:
            spoken = zip(row["source_channel"], row["speaker"], strict=True)
            # The name that `tag` gives only says on which channel somebody speaks.
            people = {speaker for side, speaker in spoken if side == channel and speaker}
            people.discard(f"{row['recording_id']}/{channel}")
            speakers[sides[channel]] = people.pop() if len(people) == 1 else None
        words = [dict(word) for word in row["alignments"]]
        end = math.floor(row["built_duration"] * 1e4) / 1e4  # no time is later than it by rounding
        for item in (*utterances, *words, *sounds):
            for name in _TIMES & item.keys():
                if item[name] is not None:
                    item[name] = round(min(round(item[name], 4), math.inf if "source" in name else end), 4)
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
            "speakers": speakers,
            "timeline": row["timeline"],
            **{column.name: row.get(column.name) for column in (*schema.COLUMNS, *columns_among(self.fields))},
            "provenance": self._provenance({said["models"]["recogniser"] for said in utterances}),
        }

    def _provenance(self, recognisers: set[str | None]) -> str:
        """How a row with words of these recognisers was made: no row names one that it has no words of."""
        made = json.loads(self.provenance)
        recogniser = made.get("models", {}).get("recogniser")
        if not recogniser or recogniser["name"] in recognisers:
            return self.provenance
        del made["models"]["recogniser"]
        return json.dumps(made, sort_keys=True, ensure_ascii=False)


def labelled(row: schema.Row) -> list[dict[str, Any]]:
    """The sounds of a row with what its transcript calls them, by rising start.

    A mark names the nearest sound of its side within `NEAR_MARK`. One that names none is a sound by itself if it
    is in an utterance that was kept: laughter in the middle of speech is no gap of it.
    """
    sounds = [sound | {"label": None} for sound in row["sounds"]]
    for mark in row.get("transcript_marks") or ():
        if mark["kind"] != "sound":
            continue
        away = {
            number: max(sound["start"] - mark["end"], mark["start"] - sound["end"], 0.0)
            for number, sound in enumerate(sounds)
            if sound["channel"] == mark["channel"] and not sound["label"]
        }
        nearest = min(away, key=away.__getitem__, default=-1)
        if nearest >= 0 and away[nearest] <= NEAR_MARK:
            sounds[nearest]["label"] = mark["name"]
            continue
        columns = (row[name] for name in ("source_channel", "status", "synthesis", "start", "end", "new_start"))
        for channel, status, synthesis, start, end, new_start in zip(*columns, strict=True):
            first = max(start, mark["start"])
            last = min(end, mark["end"])
            is_recorded = status != "spoken" or is_converted({"synthesis": synthesis})
            if channel == mark["channel"] and is_recorded and new_start is not None and first < last:
                times = {"start": first, "end": last}
                new = {"new_start": first + new_start - start, "new_end": last + new_start - start}
                sounds.append({"channel": channel, "label": mark["name"]} | times | new)
                break
    return sorted(sounds, key=lambda sound: (sound["start"], sound["channel"]))


def _side(side: dict[str, Any], words: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The measures of a side, with how many of its words are where nothing is heard, give or take a frame."""
    audible = [(span["start"] - FRAME, span["end"] + FRAME) for span in side["audible"]]
    ends = [end for _, end in audible]

    def heard(word: Mapping[str, Any]) -> bool:
        after = bisect_right(ends, word["start"])  # the first stretch that ends after the word begins
        return after < len(audible) and audible[after][0] < word["end"]

    unheard = sum(not heard(word) for word in words if word["speaker"] == side["channel"])
    return {name: side[name] for name in schema.SIDE} | {"unheard_words": unheard}
