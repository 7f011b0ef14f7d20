"""The columns of a finished conversation."""

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import msgspec
from datasets import Features, IterableDataset
from datasets.table import cast_table_to_features

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records import schema
from dailytalk_contiguous.core.records.conversation import AS_RECORDED, Conversation, Mark
from dailytalk_contiguous.core.records.fields import Field, columns_among, finite
from dailytalk_contiguous.core.records.finished import OF_UTTERANCE, finished_fields
from dailytalk_contiguous.core.records.judged import read_published
from dailytalk_contiguous.core.records.record import BuiltSide, NonSpeechSound, SourceSound
from dailytalk_contiguous.core.records.rows import has_column, set_null, to_row
from dailytalk_contiguous.core.records.transitions import ends_of_talk
from dailytalk_contiguous.core.records.utterance import (
    EDGES,
    FIELDS,
    OPTIONAL_FIELDS,
    UTTERANCE,
    features_of_fields,
    is_set,
    or_none,
)
from dailytalk_contiguous.core.records.working_copy import rebuilt
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.sound.quality import FRAME
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.machine.stereo_audio import PublishedStereo
from dailytalk_contiguous.stages.base import REVOICE_OR_KEEP, AnyDataset, Stage

#: Fields of an utterance that are seconds.
_TIMES = (*EDGES, *(f"source_{name}" for name in EDGES))


#: Most seconds between a mark, whose time is an estimate where words have none, and the sound that it names.
NEAR_MARK = 1.0


@dataclass(frozen=True)
class Finish(Stage):
    """Packs the columns of `Reconstruct` or `Keep`, `Align` and the transcript into `core.records.schema.BUILT`.

    Times are rounded to a tenth of a millisecond, as in transcript_shifted.jsonl. `map` drops all other
    columns, so that what it returns can be published as it is.

    It adds who speaks next after the end of each turn, as recorded and as built (`core.records.transitions`).

    Of a conversation of a version, whose row is `published`, it changes what was made anew alone.

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
        *(OF_UTTERANCE.get(name, name) for name in UTTERANCE if name not in ("channel", *OPTIONAL_FIELDS)),
    )
    uses: ClassVar[tuple[str, ...]] = (
        "verbatim",
        "silent_speakers",
        "published",
        *(column.name for column in schema.COLUMNS),
        *sorted({OF_UTTERANCE.get(name, name) for name in OPTIONAL_FIELDS}),
    )
    batch_rows: ClassVar[int] = 1
    VERSION: ClassVar[int] = 4
    adds: ClassVar[Features] = schema.BUILT
    keeps: ClassVar[tuple[str, ...] | None] = ()

    def __post_init__(self) -> None:
        if self.fields:
            object.__setattr__(self, "adds", schema.built((*FIELDS, *self.fields)))
            object.__setattr__(self, "uses", (*self.uses, *(field.name for field in self.fields)))

    def map(self, dataset: AnyDataset, **options: Any) -> AnyDataset:
        mapped = super().map(dataset, **options)
        heard = Features({**mapped.features, "audio": PublishedStereo(num_channels=2)})
        if isinstance(mapped, IterableDataset):
            # `push_to_hub` of a stream guesses types row by row, whatever its features, and fails if they differ.
            cast = partial(cast_table_to_features, features=mapped.features)
            typed = mapped.with_format("arrow").map(cast, batched=True, batch_size=1, features=heard)
            return typed.with_format(None)
        return mapped.cast_column("audio", heard["audio"])

    def of_talk(self, talk: Conversation) -> Conversation:
        sides = schema.result_sides(self.revoice)
        if talk.timeline.mode == AS_RECORDED and sides["left"] != "left":
            raise DailytalkError(
                f"Keep leaves each speaker on their side, but revoice is {self.revoice!r}", "leave it out"
            )
        end = math.floor(talk.built_duration * 1e4) / 1e4  # no time is later than it by rounding
        words: list[Word] = []
        for word in talk.alignments:
            words.append(word.moved_to(_rounded(word.start, end), _rounded(word.end, end)))
        talk.alignments = words
        self._add_transitions(talk)
        finished: dict[str, object] = {
            "conversation_id": talk.conversation_id,
            "recording_id": talk.recording_id,
            "audio": talk.built_audio,
            "sample_rate": talk.built_rate,
            "duration": talk.built_duration,
            "source_duration": talk.duration,
            "language": talk.main_language,
            "utterances": self._utterances(talk, sides, end),
            "sounds": [_finished_sound(sound, sides, end) for sound in labelled(talk)],
            "sides": [_side(side, words) for side in talk.built_sides],
            "speakers": _speakers(talk, sides),
            "timeline": msgspec.structs.asdict(talk.timeline),
            "provenance": self._provenance(talk),
        }
        columns = [column.name for column in (*schema.COLUMNS, *columns_among(self.fields))]
        finished |= dict.fromkeys(columns)
        finished |= to_row(talk, [name for name in ("alignments", *columns) if has_column(talk, name)])
        published = or_none(talk.published)
        if published:
            finished |= rebuilt(read_published(published), finished)
        talk.extra |= {name: finite(value) for name, value in finished.items()}
        return talk

    def _add_transitions(self, talk: Conversation) -> None:
        for utterance in talk.utterances:
            set_null(utterance, ("transition", "source_transition"))
        utterances, recorded, built = ends_of_talk(talk.utterances, self.revoice)
        for end in recorded:
            utterances[end.utterance].source_transition = end.transition
        for end in built:
            utterances[end.utterance].transition = end.transition

    def _utterances(self, talk: Conversation, sides: Mapping[str, str], end: float) -> list[dict[str, object]]:
        """The utterances with their sides in the result, and their texts as they are heard there."""
        names = features_of_fields((*FIELDS, *self.fields))
        finished: list[dict[str, object]] = []
        for utterance in talk.utterances:
            values = finished_fields(utterance, names)
            values["channel"] = sides[utterance.source_channel]
            if utterance.is_recorded:  # the marks are for a voice to say
                values["text"] = utterance.verbatim if is_set(utterance.verbatim) else utterance.text
            for name in _TIMES:
                if values[name] is not None:
                    latest = math.inf if name.startswith("source") else end
                    values[name] = _rounded(values[name], latest)
            finished.append(values)
        return finished

    def _provenance(self, talk: Conversation) -> str:
        """Return the provenance of a row, as JSON; it names no recogniser of which the row has no words."""
        recognisers = {utterance.models["recogniser"] for utterance in talk.utterances}
        made = json.loads(self.provenance)
        recogniser = made.get("models", {}).pop("recogniser", None)
        if not recogniser or recogniser["name"] in recognisers:
            return self.provenance
        return json.dumps(made, sort_keys=True, ensure_ascii=False)


def _rounded(time: float, latest: float) -> float:
    return round(min(round(time, 4), latest), 4)


def _finished_sound(sound: SourceSound, sides: Mapping[str, str], end: float) -> NonSpeechSound:
    return {
        "channel": sides[sound.channel],
        "start": _rounded(sound.new_start, end),
        "end": _rounded(sound.new_end, end),
        "source_start": _rounded(sound.start, math.inf),
        "source_end": _rounded(sound.end, math.inf),
        "label": sound.label,
    }


def _speakers(talk: Conversation, sides: Mapping[str, str]) -> dict[str, object]:
    """The name of who is on each side, heard or silent; None where nobody or several people are named."""
    silent = dict(or_none(talk.silent_speakers) or {})
    speakers: dict[str, object] = {}
    for channel in schema.CHANNELS:
        people = {utterance.speaker for utterance in talk.side(channel) if utterance.speaker}
        # The name that `tag` gives only says on which channel somebody speaks.
        people.discard(f"{talk.recording_id}/{channel}")
        speakers[sides[channel]] = people.pop() if len(people) == 1 else silent.get(channel)
    return speakers


def labelled(talk: Conversation) -> list[SourceSound]:
    """The sounds of a conversation with what its transcript calls them, by rising start.

    A mark names the nearest sound of its side within `NEAR_MARK`. One that names none is a sound by itself if it
    is in an utterance that was kept: laughter in the middle of speech is no gap of it.
    """
    sounds = [SourceSound(**msgspec.structs.asdict(sound)) for sound in talk.sounds]
    for mark in or_none(talk.transcript_marks) or ():
        if mark.kind != "sound":
            continue
        nearest = _nearest(mark, sounds)
        if nearest is not None:
            nearest.label = mark.name
            continue
        marked = _sound_of_mark(talk, mark)
        if marked is not None:
            sounds.append(marked)
    return sorted(sounds, key=lambda sound: (sound.start, sound.channel))


def _nearest(mark: Mark, sounds: Sequence[SourceSound]) -> SourceSound | None:
    """The nearest sound on the side of a mark that has no label yet; None where none is near."""
    distances: dict[int, float] = {}
    for number, sound in enumerate(sounds):
        if sound.channel == mark.channel and not sound.label:
            distances[number] = max(sound.start - mark.end, mark.start - sound.end, 0.0)
    nearest = min(distances, key=distances.__getitem__, default=None)
    if nearest is None or distances[nearest] > NEAR_MARK:
        return None
    return sounds[nearest]


def _sound_of_mark(talk: Conversation, mark: Mark) -> SourceSound | None:
    """A mark as a sound of its own, in the kept utterance in which it is; None where it is in none."""
    for utterance in talk.utterances:
        marked = utterance.span & mark.span
        is_here = utterance.source_channel == mark.channel and bool(marked)
        if is_here and utterance.new_start is not None and utterance.is_recorded:
            return SourceSound(
                channel=mark.channel,
                start=marked.start,
                end=marked.end,
                new_start=marked.start + utterance.new_start - utterance.start,
                new_end=marked.end + utterance.new_start - utterance.start,
                label=mark.name,
            )
    return None


def _side(side: BuiltSide, words: Sequence[Word]) -> dict[str, object]:
    """The measures of a side, with how many of its words are where nothing is heard, give or take a frame."""
    audible = [(span.start - FRAME, span.end + FRAME) for span in side.audible]
    ends = [end for _, end in audible]
    n_unheard = 0
    for word in words:
        if word.speaker != side.channel:
            continue
        after = bisect_right(ends, word.start)  # the first stretch that ends after the word begins
        is_heard = after < len(audible) and audible[after][0] < word.end
        if not is_heard:
            n_unheard += 1
    measures = {**msgspec.to_builtins(side), "unheard_words": n_unheard}
    return {name: measures[name] for name in schema.SIDE}
