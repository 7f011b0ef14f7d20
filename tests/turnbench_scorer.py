"""TurnBench's scorer for tests, written from its source (SesameAILabs/turnbench: gold.py, score.py, data.py).

It reads the tables of a folder, builds the events that two of three annotators agree on, and scores a submission
strictly: every conversation once, times strictly rising and inside the sound.
"""

import io
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from datasets import Audio, Dataset

SPEAKERS = (1, 2)
ANNOTATORS = ("a", "b", "c")

#: What the scorer calls each label.
CLASSES = {
    "Turn": (
        "Normal Turn",
        "Regular Turn",
        "Strong Floor Hold",
        "Bounded Response",
        "Filler",
        "Overlap",
    ),
    "Laughter": ("Laughter",),
    "AwkwardSilence": ("Awkward Silence",),
    "Interruption": ("Floor-taking Competitive Interruption", "Floor-taking Cooperative Interruption"),
    "Attempt": ("Non-floor Taking Competitive Interruption", "Non-floor Taking Cooperative Interruption"),
    "Backchannel": ("Acknowledgement Backchannel", "Continuer Backchannel", "Reaction Backchannel"),
    "NonContent": ("Non-Speech Noise", "Channel Bleed", "Speech, Non-Linguistic"),
}
CLASS_OF = {label: name for name, labels in CLASSES.items() for label in labels}
FLOOR_OF = dict.fromkeys(CLASSES["Turn"] + CLASSES["Interruption"], "Turn")

AGREE = 0.2
NEAR = 0.5
EARLY = 0.25
LATEST = 3.0


class Event(NamedTuple):
    """A span of a speaker in seconds, and its class."""

    speaker: int
    start: float
    end: float
    name: str = ""


class Events(NamedTuple):
    """The events and spans of a conversation by which both tasks are scored."""

    turn_ends: list[Event]
    pauses: list[Event]
    interruptions: list[Event]
    other_sounds: list[Event]
    excluded_ends: list[Event]
    excluded_interruptions: list[Event]


class Marks(NamedTuple):
    """Recall and rate of false positives of a task; NaN where nothing is scored."""

    recall: float
    false_positives: float
    n_events: int


def read_tables(folder: Path) -> Dataset:
    files = sorted(folder.glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(file) for file in files])
    rows = Dataset(table)
    for speaker in SPEAKERS:
        rows = rows.cast_column(f"speaker_{speaker}_audio", Audio(decode=False))
    return rows


def length_of(row: Mapping[str, Any]) -> float:
    first, second = (soundfile.info(io.BytesIO(row[f"speaker_{n}_audio"]["bytes"])) for n in SPEAKERS)
    assert first.frames == second.frames
    return first.frames / first.samplerate


def agreed(tracks: Mapping[str, Sequence[Event]]) -> tuple[list[Event], list[Event]]:
    """The events that at least two annotators agree on, and the spans without agreement."""
    used = {name: set[int]() for name in ANNOTATORS}
    events = []
    for position, anchor in enumerate(ANNOTATORS):
        for index, event in enumerate(tracks[anchor]):
            if index in used[anchor]:
                continue
            group = {anchor: index}
            for other in ANNOTATORS[position + 1 :]:
                nearest = _nearest(event, tracks[other], used[other])
                if nearest is not None:
                    group[other] = nearest
            names = _agreeing({name: tracks[name][number] for name, number in group.items()}, anchor)
            if len(names) < 2:
                continue
            spans = [tracks[name][group[name]] for name in names]
            start = round(median(span.start for span in spans), 4)
            end = round(median(span.end for span in spans), 4)
            events.append(event._replace(start=start, end=end))
            for name in names:
                used[name].add(group[name])
    disputed = []
    for name in ANNOTATORS:
        for index, event in enumerate(tracks[name]):
            touches = any(known.start < event.end and event.start < known.end for known in events)
            if index not in used[name] and not touches:
                disputed.append(event)
    return events, disputed


def _nearest(event: Event, track: Sequence[Event], used: set[int]) -> int | None:
    distances = []
    for index, other in enumerate(track):
        distance = abs(other.start - event.start)
        if index not in used and other.name == event.name and distance <= NEAR:
            distances.append((distance, index))
    return min(distances)[1] if distances else None


def _agreeing(group: Mapping[str, Event], anchor: str) -> tuple[str, ...]:
    for size in range(len(group), 0, -1):
        for names in combinations(group, size):
            starts = [group[name].start for name in names]
            ends = [group[name].end for name in names]
            is_close = max(starts) - min(starts) <= AGREE and max(ends) - min(ends) <= AGREE
            if anchor in names and is_close:
                return names
    return ()


def _view(row: Mapping[str, Any], classes: Mapping[str, str]) -> tuple[list[Event], list[Event]]:
    events: list[Event] = []
    disputed: list[Event] = []
    for speaker in SPEAKERS:
        tracks = {}
        for annotator in ANNOTATORS:
            entries = row[f"speaker_{speaker}_annotation_{annotator}"]
            tracks[annotator] = [
                Event(speaker, entry["start_s"], entry["end_s"], classes[entry["label"]])
                for entry in entries
                if entry["label"] in classes
            ]
        speaker_events, speaker_disputed = agreed(tracks)
        events += speaker_events
        disputed += speaker_disputed
    return events, disputed


def events_of(row: Mapping[str, Any]) -> Events:
    """The events of a conversation, from both views of its tracks."""
    turns, disputed_turns = _view(row, FLOOR_OF)
    events, disputed = _view(row, CLASS_OF)
    ends = []
    pauses = []
    for speaker in SPEAKERS:
        mine = sorted(turn for turn in turns if turn.speaker == speaker)
        theirs = sorted(turn for turn in turns if turn.speaker != speaker)
        for turn in mine:
            if any(other is not turn and other.start < turn.end < other.end for other in mine):
                continue
            goes_on = _after(mine, turn.end)
            is_taken = any(other.start < turn.end < other.end for other in theirs)
            if goes_on == math.inf or _after(theirs, turn.end) < goes_on or is_taken:
                ends.append(Event(speaker, turn.end, turn.end))
                continue
            pause = Event(speaker, turn.end, goes_on)
            cuts = [goes_on]
            for span in disputed_turns + disputed:
                if span.start < pause.end and span.end > pause.start:
                    cuts.append(span.start)
            for event in events:
                is_own = event.speaker == speaker and event.name != "Turn"
                is_barge_in = event.speaker != speaker and event.name in ("Interruption", "Attempt")
                if (is_own or is_barge_in) and pause.start < event.start < pause.end:
                    cuts.append(event.start)
            if min(cuts) > pause.start:
                pauses.append(pause._replace(end=min(cuts)))
    interruptions = [event for event in events if event.name == "Interruption"]
    others = [event for event in events if event.name in ("Backchannel", "NonContent")]
    attempts = [event for event in events if event.name == "Attempt"]
    return Events([*dict.fromkeys(ends)], pauses, interruptions, others, disputed_turns, disputed + attempts)


def _after(turns: Sequence[Event], second: float) -> float:
    starts = [turn.start for turn in turns]
    index = bisect_right(starts, second)
    return starts[index] if index < len(starts) else math.inf


def score(folder: Path, submission: Mapping[str, Any]) -> dict[str, Marks]:
    """The marks of both tasks over all conversations."""
    rows = read_tables(folder)
    assert submission.keys() == {"schema_version", "predictions"}
    assert submission["schema_version"] == 1
    predictions = {prediction["conversation_id"]: prediction for prediction in submission["predictions"]}
    ids = sorted(rows["conversation_id"], key=int)
    assert sorted(predictions, key=int) == ids
    assert len(submission["predictions"]) == len(ids)
    totals: dict[str, Counter[str]] = {"eot": Counter(), "interruption": Counter()}
    for row in rows:
        prediction = predictions[row["conversation_id"]]
        assert prediction.keys() == {"conversation_id", "speaker_1", "speaker_2"}
        events = events_of(row)
        for task, counts in totals.items():
            times = {}
            for speaker in SPEAKERS:
                times[speaker] = prediction[f"speaker_{speaker}"][task]
                assert times[speaker] == sorted(set(times[speaker]))
                assert all(0 <= time <= length_of(row) for time in times[speaker])
            if task == "eot":
                _count(counts, events.turn_ends, events.pauses, times, events.excluded_ends)
            else:
                _count(counts, events.interruptions, events.other_sounds, times, events.excluded_interruptions)
    return {task: _marks(counts) for task, counts in totals.items()}


def _count(
    counts: Counter[str],
    positives: Sequence[Event],
    negatives: Sequence[Event],
    times: Mapping[int, Sequence[float]],
    excluded: Sequence[Event],
) -> None:
    free: dict[int, list[float]] = {}
    for speaker, predicted in times.items():
        spans = [span for span in excluded if span.speaker == speaker]
        free[speaker] = [time for time in predicted if not any(span.start <= time <= span.end for span in spans)]
    windows = []
    for event in sorted(positives, key=lambda event: event.start):
        later = [
            other.start for other in positives if other.speaker == event.speaker and other.start > event.start
        ]
        window = (event.start - EARLY, min([event.start + LATEST, *later]))
        windows.append((event.speaker, *window))
        hits = [time for time in free[event.speaker] if window[0] <= time <= window[1]]
        counts["hit" if hits else "miss"] += 1
        if hits:
            free[event.speaker].remove(hits[0])
    for span in negatives:
        fires = [time for time in free[span.speaker] if span.start - EARLY <= time <= span.end]
        wrong = [
            time
            for time in fires
            if not any(speaker == span.speaker and low <= time <= high for speaker, low, high in windows)
        ]
        counts["false" if wrong else "quiet"] += 1


def _marks(counts: Counter[str]) -> Marks:
    n_events = counts["hit"] + counts["miss"]
    n_spans = counts["false"] + counts["quiet"]
    recall = counts["hit"] / n_events if n_events else math.nan
    return Marks(recall, counts["false"] / n_spans if n_spans else math.nan, n_events)
