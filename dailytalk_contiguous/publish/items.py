"""Finished rows of a folder or of a version on the Hub, one at a time: to be checked, exported or shown."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from datasets import Features

from dailytalk_contiguous.core.audio import HIGHEST_RATE, LOWEST_RATE, Pcm, embedded, probe, read_pcm
from dailytalk_contiguous.core.documents import expect, is_number, json_lines, parse_json, quoted
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import (
    AFFECT,
    ALIGNED_WORD,
    BUILT,
    CHANNELS,
    CONFIGS,
    PROSODY,
    SOUND,
    UTTERANCE,
    Row,
)
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.version import COPY, Version
from dailytalk_contiguous.run.outputs import TRANSCRIPT, rejects_in
from dailytalk_contiguous.shards import Entry, index, read_rows
from dailytalk_contiguous.sources.transcribed import BASE, at_hand, tagged_row
from dailytalk_contiguous.store.files import is_inside
from dailytalk_contiguous.store.parquet import ParquetReader, open_parquet

# Finished conversations for exporters, one at a time: the main speaker first, samples at one rate.
#
# Reading goes shard by shard and row group by row group, so that memory holds a few conversations however large
# the dataset is. Which speaker is the main one (left, or right after a swap) is decided here, once, for all
# formats.


#: Seconds that a word may be outside its audio: the sample that is lost or won when the rate is changed.
TOLERANCE = 0.001

_REMEDY = "build the conversation again"

#: The fields of a row's provenance that are read (see `core.documents.expect`).
_PROVENANCE: dict[str, Any] = {
    "tool?": str,
    "voice?": str,
    "settings?": dict,
    "models?": {str: {"name?": str, "licence?": str, "url?": str}},
}

#: Columns whose types are checked; `provenance` is a struct in what was published, and only `push` reads it.
_TYPED = Features({name: BUILT[name] for name in BUILT if name != "provenance"})

#: Statuses of utterances that are not in the audio.
_UNHEARD = ("dropped",)

#: Seconds that a time or a length may have: a month, which no conversation takes.
MOST_SECONDS = 31 * 86400.0

#: Bytes of the samples of one conversation that are held: two hours of stereo at 24 kHz.
MOST_PCM_BYTES = 700_000_000

#: Columns that are lists: what an item is called, the fields that it has, and the one that names its channel.
_LISTS = {
    "utterances": ("utterance", UTTERANCE, "channel"),
    "alignments": ("word", ALIGNED_WORD, "speaker"),
    "sounds": ("sound", SOUND, "channel"),
}


class AlignedWord(NamedTuple):
    """A word in seconds of its conversation; `main` says whether the main speaker says it."""

    text: str
    start: float
    end: float
    main: bool


class Utterance(NamedTuple):
    """An utterance in seconds of its conversation; `event` as in `core.schema.EVENTS`."""

    start: float
    end: float
    main: bool
    text: str
    tag: str
    event: str


@dataclass(frozen=True)
class Conversation:
    """A finished conversation as exporters see it.

    Attributes:
        id: its id in the dataset.
        pcm: int16, shape (n, 2), the main speaker first.
        sample_rate: Hz.
        words: of both speakers, by start.
        utterances: the audible ones of both speakers, by start.
        sounds: starts and ends in seconds of the kept speaker's laughs, breaths, coughs and plosives, by start.
        language: ISO 639-1, or None.
        main_speaker: name of the main speaker or None.
        other_speaker: name of the other speaker or None.
        kept_speaker: name of the speaker whose own voice it is (never the one resynthesised) or None.
        voices: names of the voices with which utterances were resynthesised.
    """

    id: str
    pcm: Pcm
    sample_rate: int
    words: tuple[AlignedWord, ...]
    utterances: tuple[Utterance, ...]
    sounds: tuple[tuple[float, float], ...]
    language: str | None
    main_speaker: str | None
    other_speaker: str | None
    kept_speaker: str | None
    voices: tuple[str, ...]

    @property
    def duration(self) -> float:
        """Seconds, to the sample."""
        return len(self.pcm) / self.sample_rate


def built_rows(folder: Path) -> Iterator[Row]:
    """Yield the rows of a finished dataset, in order of file name; one row group is in memory at a time.

    A row that can't be used has its `problem` and `remedy`; both are None in the others.

    Args:
        folder: a work folder with `dataset/`, or a folder of Parquet shards.

    Raises:
        DailytalkError: there are no shards, one can't be read, or it isn't a finished dataset's.
    """
    for path in shards(folder):
        for number, row in enumerate(shard_rows(path), 1):
            yield judged(row, f"row {number} of {path.name}")


def version_rows(version: Version, splits: Collection[str] | None = None) -> Iterator[Row]:
    """Yield a published version's conversations as the finished rows that they were, one row group in memory.

    A row that can't be used has its `problem` and `remedy`, as in `built_rows`.

    Args:
        version: what `open_version` found.
        splits: only these, and nothing of the others is read; None for all.

    Raises:
        DailytalkError: it has no conversations, or its files can't be read.
    """
    config = CONFIGS[0]
    configs = version.configs()
    if config not in configs:
        raise DailytalkError(
            f"{version} has no config {config!r}", "name a dataset that `dailytalk push` published"
        )
    unwanted = {
        name
        for split in configs[config]
        if splits is not None and split not in splits
        for name in version.files(config, split)
    }
    part = replace(version, names=tuple(name for name in version.names if name not in unwanted))
    for number, (split, row) in enumerate(part.rows(config, list(BUILT)), 1):
        text = json.dumps(row["provenance"], ensure_ascii=False, sort_keys=True)
        yield judged(row | {"provenance": text}, f"row {number} of {config}/{split}")


def judged(row: Row, name: str) -> Row:
    """A finished row with its `problem` and `remedy`; `name` becomes its id where it has none."""
    problem = problem_of(row)
    identity = row["conversation_id"] or name
    return row | {
        "conversation_id": identity,
        "problem": problem and problem.reason,
        "remedy": problem and _REMEDY,
    }


class Problem(NamedTuple):
    """Why a row can't be used: the column, and a sentence."""

    column: str
    reason: str


def problem_of(row: Mapping[str, Any]) -> Problem | None:
    """Why a finished row can't be used, or None: all that readers rely on is checked here.

    It has an id and a length; its lists hold whole items, each of a known channel, with times that are numbers.
    A dropped utterance has none. Audio and texts are checked by their users.
    """
    if not (row["conversation_id"] or "").strip():
        return Problem("conversation_id", "it has no conversation_id")
    for column in ("duration", "source_duration"):
        missing = column == "source_duration" and row[column] is None
        if not missing and not is_number(row[column], 0.0, MOST_SECONDS):
            return Problem(column, f"its {column} is {quoted(row[column])}, no length in seconds")
    for column, (item, fields, channel) in _LISTS.items():
        for number, part in enumerate(row[column] or (), 1):
            reason = _item_problem(part, fields, channel)
            if reason:
                return Problem(column, f"its {item} {number} {reason}")
    return None


def _item_problem(part: Mapping[str, Any] | None, fields: Mapping[str, Any], channel: str) -> str | None:
    if part is None:
        return "is empty"
    if fields.keys() - part.keys():
        return f"has no {', '.join(sorted(fields.keys() - part.keys()))}"
    if part[channel] not in CHANNELS:
        return f"names a channel {quoted(part[channel])}, not {' or '.join(CHANNELS)}"
    if part.get("status") in _UNHEARD:
        return None
    times = {edge: part[edge] for edge in ("start", "end")}
    wrong = next((edge for edge, at in times.items() if not is_number(at, -MOST_SECONDS, MOST_SECONDS)), None)
    return f"has the {wrong} {quoted(times[wrong])}, no time in seconds" if wrong else None


def row_provenance(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the provenance of a finished row says. Raises BadInput if it is not JSON, or not of its shape."""
    text = expect(row["provenance"] or "{}", str, "its provenance", _REMEDY)
    value = parse_json(text, "its provenance", _REMEDY)
    record: dict[str, Any] = expect(value, _PROVENANCE, "its provenance", _REMEDY)
    return record


def splits_of(version: Version) -> dict[str, str]:
    """The split of each conversation of a published version; only that column is read. Raises DailytalkError."""
    rows = version.rows(CONFIGS[0], ["conversation_id"])
    return {row["conversation_id"]: split for split, row in rows}


def shards(folder: Path) -> list[Path]:
    """The Parquet files of a dataset, by name.

    Raises DailytalkError if there are none, or one is a symbolic link out of the dataset.
    """
    if not folder.exists():
        raise DailytalkError(f"{folder} does not exist", "check the path")
    inside = folder / "dataset"
    if not inside.is_dir() and (folder / "tagged").is_dir():
        raise DailytalkError(f"{folder} was tagged and not spoken yet", f"run dailytalk speak {folder}")
    root = inside if inside.is_dir() else folder
    # A name with a leading dot is half written, or in the staging folder of a push.
    paths = sorted(
        path
        for path in root.rglob("*.parquet")
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    if not paths:
        raise DailytalkError(
            f"{folder} holds no finished conversations",
            "name a folder that `dailytalk build` or `dailytalk speak` has written",
        )
    outside = next((path for path in paths if not is_inside(path, root)), None)
    if outside:
        raise DailytalkError(f"{outside} is a symbolic link out of its folder", COPY)
    return paths


def shard_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of one shard; audio is as `core.audio.embedded` makes it.

    Raises DailytalkError if it can't be read or lacks columns.
    """
    with opened_shard(path) as file:
        for row in file.rows(BUILT):
            yield row | {"audio": embedded(row["audio"])}


@contextmanager
def opened_shard(path: Path) -> Iterator[ParquetReader]:
    """A finished shard to read from. Raises BadInput if it can't be read or lacks columns."""
    with open_parquet(path, "build the dataset again") as file:
        file.check(_TYPED, BUILT, "name the dataset of finished conversations, or run `dailytalk speak` again")
        yield file


def conversation(row: Mapping[str, Any], sample_rate: int, swap: bool) -> Conversation:
    """A row as a `Conversation`.

    Args:
        row: columns of `core.schema.BUILT`.
        sample_rate: Hz that the samples are brought to.
        swap: make the right speaker the main one.

    Raises:
        BadInput: the row has a `problem`, the audio is no stereo or can't be read, or a word has no length or
            is outside it.
    """
    if row.get("problem"):
        raise BadInput(row["problem"], row["remedy"])
    pcm = _stereo(row["audio"], sample_rate)
    main, other = ("right", "left") if swap else ("left", "right")
    seconds = len(pcm) / sample_rate
    speakers = row["speakers"] or {}
    return Conversation(
        id=row["conversation_id"],
        pcm=np.ascontiguousarray(pcm[:, ::-1]) if swap else pcm,
        sample_rate=sample_rate,
        words=tuple(_words(row["alignments"] or (), main, seconds)),
        utterances=tuple(_utterances(row["utterances"] or (), main)),
        sounds=tuple(sorted((sound["start"], sound["end"]) for sound in row["sounds"] or ())),
        language=row["language"],
        main_speaker=_name_or_none(speakers.get(main)),
        other_speaker=_name_or_none(speakers.get(other)),
        kept_speaker=_name_or_none(speakers.get("right")),
        voices=voices(row),
    )


def voices(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the voices that utterances of a row were resynthesised with, sorted; else of their engines."""
    syntheses = [utterance["synthesis"] for utterance in row["utterances"] or () if utterance["synthesis"]]
    return tuple(
        sorted(
            {
                str(synthesis["voice"] or synthesis["engine"])
                for synthesis in syntheses
                if synthesis["voice"] or synthesis["engine"]
            }
        )
    )


def _stereo(audio: dict[str, Any], sample_rate: int) -> Pcm:
    """Stereo samples as int16, shape (n, 2), at a rate in Hz; 16-bit samples at that rate come back unchanged.

    Raises BadInput if the audio isn't stereo, can't be read, has a rate that no speech is recorded at, or would
    take more memory than `MOST_PCM_BYTES`.
    """
    info = probe(audio)
    if info.channels != 2:
        raise BadInput(f"its audio has {counted(info.channels, 'channel')}, not 2", "build the conversation again")
    if not LOWEST_RATE <= info.sample_rate <= HIGHEST_RATE:
        raise BadInput(f"its audio has a sample rate of {info.sample_rate} Hz", "build the conversation again")
    hours, most = info.seconds / 3600, MOST_PCM_BYTES / (4 * sample_rate) / 3600
    if hours > most:
        raise BadInput(
            f"its audio has {hours:.1f} h, and {most:.1f} h are read at most at {sample_rate} Hz",
            "build it again with a shorter --max-conversation",
        )
    return read_pcm(audio, sample_rate)


def _words(alignments: Any, main: str, seconds: float) -> Iterator[AlignedWord]:
    for word in sorted(alignments, key=lambda aligned: (aligned["start"], aligned["end"])):
        text = (word["word"] or "").strip()
        start, end = word["start"], word["end"]
        if not text or not 0 <= start < end or end > seconds + TOLERANCE:
            raise BadInput(
                f"the word {word['word']!r} at {start:.3f}..{end:.3f} s has no text, no length, or lies outside "
                f"the {seconds:.3f} s of audio",
                "build the conversation again, or run `dailytalk check` on it",
            )
        yield AlignedWord(text, start, min(end, seconds), word["speaker"] == main)


def _utterances(utterances: Any, main: str) -> Iterator[Utterance]:
    audible = [
        utterance for utterance in utterances if utterance["status"] not in _UNHEARD
    ]  # the others have no times
    for utterance in sorted(audible, key=lambda item: (item["start"], item["end"])):
        yield Utterance(
            utterance["start"],
            utterance["end"],
            utterance["channel"] == main,
            utterance["text"] or "",
            utterance["tag"] or "",
            utterance["event"] or "",
        )


def _name_or_none(speaker: str | None) -> str | None:
    """The name of a person, if any; a side is not one."""
    return None if speaker in (None, "", "left", "right") else speaker


# Conversations of a report, one at a time, in one form whether they were rebuilt or only tagged.
#
# A finished dataset is read as it is. A folder that was only tagged is read from transcript.jsonl, because people
# edit that file and not the shards; the shards have the lengths of its conversations and where their sound is. The
# lines of a conversation are expected to be together, as `dailytalk tag` writes them.


#: Where `dailytalk tag` and the commands after it put their shards.
TAGGED, DATASET = "tagged", "dataset"


#: The fields of a transcript's line that a report shows.
_LINE = {
    **dict.fromkeys(("conversation_id?", "audio_file?", "utterance_id?", "speaker?", "kind?", "text?"), str),
    **dict.fromkeys(("tag?", "rule?", "language?"), str),
    **dict.fromkeys(("vad?", "features?", "vad_bucket?", "prosody_bucket?", "models?"), dict),
    "words?": [{"word": str, "start": float, "end": float}],
}


class ReportInput(NamedTuple):
    """A folder's conversations: rows of `core.schema.BUILT`, and whether they were rebuilt.

    Rows that were not rebuilt have their times in the source in both places, no `sounds`, no `timeline`, and no
    `audio` until `with_sound` fetches it.
    """

    rows: Iterator[Row]
    rebuilt: bool


def report_input(folder: Path) -> ReportInput:
    """The conversations of a work folder or of a folder of shards.

    Raises DailytalkError, on the first row at the latest, if there are none or a file can't be read.
    """
    if any((folder / DATASET).glob("*.parquet")) or not (folder / TRANSCRIPT).is_file():
        return ReportInput(built_rows(folder), True)
    return ReportInput(_tagged_rows(folder), False)


def with_sound(folder: Path, row: Row) -> tuple[Row, float, str]:
    """A row with its `audio`, the second in it at which the conversation begins, and why there is no audio.

    A tagged shard holds the path of its recording. The author of a shared folder may have put another path there,
    so it is read only if its identity is that of the tagged recording.
    """
    if row["timeline"] is not None or row["audio"] is not None:
        return row, 0.0, ""
    path = index(folder / TAGGED).get(row["conversation_id"], (None,))[0]
    try:
        if path is None:
            return row, 0.0, "the folder does not say where its recording is"
        tagged = tagged_row(read_rows(path, BASE).get(row["conversation_id"]))
        return row | {"audio": at_hand(tagged, None)["audio"]}, tagged["offset"], ""
    except BadInput as error:
        return row, 0.0, error.reason


def rejects(folder: Path) -> Iterator[dict[str, str]]:
    """What was rejected: the lines of rejects.jsonl; one that is damaged says so."""
    return rejects_in(folder)


def _tagged_rows(folder: Path) -> Iterator[Row]:
    entries = index(folder / TAGGED) if (folder / TAGGED).is_dir() else {}
    lines = _json_lines(folder / TRANSCRIPT)
    for name, group in groupby(lines, lambda pair: _name(pair[1])):
        numbered_lines = list(group)
        yield _row(folder, name, numbered_lines, entries.get(name))


def _name(line: Mapping[str, Any]) -> str:
    """The conversation of a line; the older tool's lines name only their recording."""
    return str(line.get("conversation_id") or line.get("audio_file") or "")


def _row(
    folder: Path, name: str, lines: list[tuple[int, dict[str, Any]]], location: tuple[Path, Entry] | None
) -> Row:
    # A transcript counts from the start of the recording, which may have been cut into several conversations.
    shard, entry = location or (None, None)
    is_made = entry is not None and not entry.reject
    offset = tagged_row(read_rows(shard, BASE).get(name))["offset"] if shard and is_made else 0.0
    utterances = [_utterance(line, offset, folder / TRANSCRIPT, number) for number, line in lines]
    words = [
        {**word, "start": word["start"] - offset, "end": word["end"] - offset}
        | {"speaker": line["channel"], "source": (line.get("models") or {}).get("recogniser")}
        for _, line in lines
        for word in line.get("words") or ()
    ]
    languages = Counter(line["language"] for _, line in lines if line.get("language"))
    furthest = max(utterance["end"] for utterance in utterances)
    return {
        "conversation_id": name,
        "recording_id": entry.recording_id if entry else name,
        "audio": None,
        "sample_rate": None,
        "duration": entry.duration if entry else furthest,
        "source_duration": entry.duration if entry else furthest,
        "language": languages.most_common(1)[0][0] if languages else None,
        "utterances": utterances,
        "alignments": sorted(words, key=lambda word: word["start"]),
        "sounds": [],
        "speakers": {line["channel"]: line.get("speaker") for _, line in reversed(lines)},
        "timeline": None,
        "provenance": None,
    }


def _utterance(line: Mapping[str, Any], offset: float, path: Path, number: int) -> dict[str, Any]:
    start, end = line.get("start"), line.get("end")
    if line.get("channel") not in ("left", "right") or not is_number(start) or not is_number(end):
        raise DailytalkError(
            f"line {number} of {path} has channel {line.get('channel')!r}, start {start!r} and end {end!r}",
            "give it a channel (left or right) and two times in seconds, or delete the line",
        )
    times = {"start": line["start"] - offset, "end": line["end"] - offset}
    affect, features = line.get("vad") or {}, line.get("features") or {}
    buckets = (line.get("vad_bucket") or {}) | (line.get("prosody_bucket") or {})
    return (
        dict.fromkeys(UTTERANCE)
        | {name: line.get(name) for name in ("utterance_id", "channel", "speaker", "kind", "text", "tag", "rule")}
        | {"source_channel": line["channel"], "source_start": times["start"], "source_end": times["end"]}
        | {name: _measure(affect.get(name)) for name in AFFECT}
        | {name: _measure(features.get(name)) for name in PROSODY}
        | {f"{name}_bucket": value for name, value in buckets.items()}
        | times
    )


def _measure(value: Any) -> float | None:
    return value if is_number(value) else None


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of JSON lines, with their numbers. Raises DailytalkError for a line that is none."""
    for number, line in json_lines(path, nan=True):
        if isinstance(line, BadInput):
            raise DailytalkError(f"line {number} of {path}: {line.reason}", line.remedy)
        try:
            yield number, expect(line, _LINE, f"line {number} of {path}", "mend or delete the line")
        except BadInput as error:
            raise DailytalkError(error.reason, error.remedy) from None
