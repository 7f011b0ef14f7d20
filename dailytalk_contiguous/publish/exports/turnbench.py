"""TurnBench: conversations in the layout of its data set, which its scorer reads.

A row of `train-00000-of-00001.parquet` and `eval-…` is a conversation: a whole number as text in
`conversation_id`, mono FLAC of each speaker, and for each speaker three equal tracks of `{start_s, end_s, label,
text}`. The scorer keeps what two of three annotators say, so ours are three times the same. `turnbench.json` says
which conversation has which number, and `oracle.json` is the answer with full marks
(`publish.exports.turnbench_oracle`).
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, get_type_hints

from datasets import Audio, Features, List, Value

from dailytalk_contiguous.core.documents import is_number, quoted
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.arrow_types import record_features
from dailytalk_contiguous.core.records.finding import (
    Checked,
    Finding,
    FindingLimits,
    advice,
    error,
    finding_on_examples,
)
from dailytalk_contiguous.core.records.schema import CHANNELS, Row
from dailytalk_contiguous.core.sound.samples import encoded_sound
from dailytalk_contiguous.core.turns.turnbench_layout import (
    ANNOTATORS,
    AUDIO_COLUMNS,
    ID_COLUMN,
    KINDS,
    SPEAKERS,
    TurnAnnotation,
    track_column,
)
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine.audio import embedded
from dailytalk_contiguous.publish.checks.findings import loudness_of
from dailytalk_contiguous.publish.exports import exporting
from dailytalk_contiguous.publish.exports.turnbench_labels import labelled_tracks
from dailytalk_contiguous.publish.exports.turnbench_oracle import perfect_prediction
from dailytalk_contiguous.store.files import file_name, json_document
from dailytalk_contiguous.store.parquet import open_parquet, write_parquet

#: The record: which conversation has which number, and on which side of the division it is.
NUMBERS = "turnbench.json"

#: The submission with full marks.
ORACLE = "oracle.json"

#: Bytes of sound of a shard, after which the next one begins: a column of a shard holds less than 2 GB.
SHARD_BYTES = 500_000_000

_TURNBENCH_AGAIN = "export again with `dailytalk export --format turnbench`"

_TRACK = List(record_features(TurnAnnotation))


class LabelledConversation(NamedTuple):
    """An exported conversation until its number is known: names of its sound files, and its tracks by speaker.

    `size`: bytes of its sound.
    """

    conversation_id: str
    recording_id: str
    sounds: dict[str, str]
    tracks: dict[str, list[TurnAnnotation]]
    size: int


def columns(sample_rate: int | None) -> Features:
    """Return the columns of a table; `sample_rate` in Hz is that of its sound, None for any."""
    features: dict[str, object] = {ID_COLUMN: Value("string")}
    for column in AUDIO_COLUMNS:
        features[column] = Audio(sampling_rate=sample_rate, num_channels=1)
    for speaker in SPEAKERS:
        for annotator in ANNOTATORS:
            features[track_column(speaker, annotator)] = _TRACK
    return Features(features)


def write_turnbench(export: exporting.Export, item: exporting.SeenTalk) -> Iterator[exporting.FileEntry]:
    """Write the sound of each speaker; it becomes part of a table once all conversations have their numbers."""
    talk = item.talk
    least = export.settings.certainty
    exporting.refuse_mute(talk)
    labelled = labelled_tracks(item.finished, talk.duration, least)
    channels = CHANNELS[::-1] if export.settings.is_right_main else CHANNELS
    tracks = {speaker: labelled.tracks[channel] for speaker, channel in zip(SPEAKERS, channels, strict=True)}
    if not any(tracks.values()):
        if least is not None:
            raise BadInput(f"nothing in it has a label with --certainty {least:g}", exporting.LOWER_CERTAINTY)
        raise BadInput("nothing in it has a label", "check its transcript")
    export.left_out.update(labelled.left_out)
    sounds = {}
    size = 0
    for side, column in enumerate(AUDIO_COLUMNS):
        data = encoded_sound(item.pcm[:, side], talk.sample_rate, "FLAC")
        sounds[column] = f"parts/{file_name(talk.id)}.{side}.flac"
        export.target.write_bytes(sounds[column], data)
        size += len(data)
    line = LabelledConversation(talk.id, talk.recording_id, sounds, tracks, size)
    yield exporting.FileEntry(line, talk.duration)


def finish_turnbench(export: exporting.Export, lists: exporting.Lists) -> Mapping[str, exporting.FileText]:
    """Number the conversations, and write the tables of each side."""
    root = export.target.root
    numbers: dict[str, dict[str, str]] = {}
    predictions = []
    labels: Counter[str] = Counter()
    for side, entries in lists.items():
        shards: list[dict[str, LabelledConversation]] = []
        size = 0
        for entry in entries:
            line: LabelledConversation = entry.line
            number = str(len(numbers) + 1)
            numbers[number] = {
                "conversation_id": line.conversation_id,
                "recording_id": line.recording_id,
                "split": side,
            }
            predictions.append(perfect_prediction(number, line.tracks))
            for track in line.tracks.values():
                labels.update(annotation["label"] for annotation in track)
            if not shards or size + line.size > SHARD_BYTES:
                shards.append({})
                size = 0
            shards[-1][number] = line
            size += line.size
        for index, shard in enumerate(shards):
            name = f"{side}-{index:05d}-of-{len(shards):05d}.parquet"
            export.target.claim(name)
            rows = ([_table_row(root, number, line)] for number, line in shard.items())  # a row group each
            write_parquet(root / name, columns(export.sample_rate), rows, audio=AUDIO_COLUMNS)
            for line in shard.values():
                export.target.remove(line.sounds.values())
    export.facts["labels"] = dict(sorted(labels.items()))
    listed = ", ".join(f"{label} {count:,}" for label, count in labels.most_common())
    export.notes.append(f"labels: {listed}")
    submission = {"schema_version": 1, "predictions": predictions}
    return {ORACLE: json_document(submission), NUMBERS: json_document(numbers)}


def _table_row(root: Path, number: str, line: LabelledConversation) -> Row:
    row: Row = {ID_COLUMN: number}
    for column, sound in line.sounds.items():
        row[column] = {"bytes": (root / sound).read_bytes(), "path": f"{number}.{column}.flac"}
    for speaker, track in line.tracks.items():
        for annotator in ANNOTATORS:
            row[track_column(speaker, annotator)] = track
    return row


# The check of a folder, which another program may have written


def check_turnbench(folder: Path, limits: FindingLimits) -> Checked:
    """Check a folder for TurnBench's scorer.

    Returns findings, and counts: conversations, hours and entries by label.
    """
    findings: list[Finding] = []
    ids: set[str] = set()
    total_seconds = 0.0
    labels: Counter[str] = Counter()
    empty = dict.fromkeys(get_type_hints(TurnAnnotation))
    for table, row in _rows_of(folder, findings):
        number = str(row[ID_COLUMN])
        location = f"{table}: {number}"
        if not re.fullmatch("[0-9]{1,18}", number):
            problem = f"its id is {quoted(number)}, and the scorer sorts by whole numbers"
            findings.append(error("bad-id", location, problem, _TURNBENCH_AGAIN))
        if number in ids:
            problem = f"the conversation {quoted(number)} occurs twice"
            findings.append(error("duplicate", location, problem, _TURNBENCH_AGAIN))
        ids.add(number)
        seconds, findings_of_sound = _seconds_of(location, row)
        findings += findings_of_sound
        if seconds is not None:
            total_seconds += seconds
        for speaker in SPEAKERS:
            tracks = []
            for annotator in ANNOTATORS:
                track = row[track_column(speaker, annotator)] or ()
                tracks.append([entry or empty for entry in track])
            labels.update(str(entry["label"]) for entry in tracks[0])
            findings += _track_findings(location, speaker, tracks, seconds)
    if not ids:
        findings.append(error("empty-manifest", ".", "no table has a conversation", _TURNBENCH_AGAIN))
    hours = round(total_seconds / 3600, 7)
    return findings, {"conversations": len(ids), "hours": hours, "labels": dict(sorted(labels.items()))}


def _rows_of(folder: Path, findings: list[Finding]) -> Iterator[tuple[str, Row]]:
    """Yield the rows of the tables of a folder, each with its table's name; an unreadable one is a finding."""
    features = columns(None)
    for path in sorted(folder.glob("*.parquet")):
        try:
            with open_parquet(path, _TURNBENCH_AGAIN, path.name) as parquet:
                parquet.check(features, features)
                for row in parquet.rows(features):
                    yield path.name, row
        except BadInput as problem:
            findings.append(error("unreadable-table", path.name, problem.reason, problem.remedy))


def _seconds_of(location: str, row: Row) -> tuple[float | None, list[Finding]]:
    """Return the length of a conversation, None if it is unknown, and the findings on its sides.

    The scorer expects these to be equally long.
    """
    findings: list[Finding] = []
    lengths = []
    for column in AUDIO_COLUMNS:
        loudness, unreadable = loudness_of(f"{location}: {column}", partial(embedded, row[column]))
        if loudness is None:
            return None, [*findings, *unreadable]
        if loudness.channels != 1:
            problem = f"{column} has {counted(loudness.channels, 'channel')}, not 1"
            findings.append(error("not-mono", location, problem, _TURNBENCH_AGAIN))
        if loudness.is_silent(0):
            problem = f"{column} is silent"
            findings.append(
                advice("silent-speaker", location, problem, "leave it out if that speaker says nothing")
            )
        lengths.append(loudness.seconds)
    first, second = lengths
    if first != second:
        problem = f"its sides are {first:.3f} and {second:.3f} s long, and the scorer stops there"
        findings.append(error("unequal-sides", location, problem, _TURNBENCH_AGAIN))
    return min(lengths), findings


def _track_findings(
    location: str, speaker: str, tracks: Sequence[Sequence[Row]], seconds: float | None
) -> Iterator[Finding]:
    """Yield the findings on the tracks of a speaker; without `seconds`, times are not compared with the sound."""
    differing = [name for name, track in zip(ANNOTATORS, tracks, strict=True) if track != tracks[0]]
    if differing:
        problem = f"{speaker}: annotator {' and '.join(differing)} differs from a, where two of three decide"
        remedy = "leave it if people annotated it; otherwise write one track three times"
        yield advice("unequal-tracks", location, problem, remedy, "note")
    entries = [entry for track in tracks for entry in track]
    latest = math.inf if seconds is None else seconds
    unknown = []
    misplaced = []
    for entry in entries:
        start = entry["start_s"]
        end = entry["end_s"]
        shown = f"{entry['label']} at {start} to {end} s"
        if entry["label"] not in KINDS:
            unknown.append(shown)
        if not is_number(start, 0.0, latest) or not is_number(end, start, latest) or start == end:
            misplaced.append(shown)
    total = len(entries)
    location = f"{location}: {speaker}"
    problem = "entries have a label that the scorer ignores"
    labels = "use the labels of docs/trainers.md"
    unknown_labels = finding_on_examples("unknown-label", location, unknown, problem, total, labels)
    problem = "entries end before they begin, or are outside the sound"
    bad_times = finding_on_examples("bad-time", location, misplaced, problem, total, _TURNBENCH_AGAIN)
    yield from filter(None, (unknown_labels, bad_times))


TURNBENCH = exporting.ExportFormat(
    "turnbench",
    reader="TurnBench's scorer (Sesame), and `datasets`",
    holds="Parquet: mono FLAC of each speaker, and every stretch of speech with its text, times and label",
    loses="times of words, tags, sounds without a name, speech without words",
    checked="its scorer, written from its source, and datasets",
    write=write_turnbench,
    finish=finish_turnbench,
    manifests=(ORACLE, NUMBERS),
    sides=exporting.TWO_LISTS,
    options=frozenset({"main", "certainty"}),
    recognises=lambda folder: (folder / NUMBERS).is_file(),
    check=check_turnbench,
)
