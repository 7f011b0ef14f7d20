"""The conversations that a report is about, one at a time, in one shape whether they were rebuilt or only tagged.

A finished dataset is read as it is. A folder that holds no more than tags is read from transcript.jsonl, because
people edit that file and not the shards; the shards say how long its conversations are and where their sound lies.
The lines of a conversation are expected to stand together, as `dailytalk tag` writes them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.core.built import UTTERANCE
from dailytalk_contiguous.core.documents import expect, is_number, json_lines
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import AFFECT, PROSODY
from dailytalk_contiguous.engine.outputs import TRANSCRIPT, rejects_in
from dailytalk_contiguous.publish.rows import Row, built_rows
from dailytalk_contiguous.shards import Entry, index, read_rows
from dailytalk_contiguous.sources.recorded import BASE, at_hand, tagged_row

#: Where `dailytalk tag` and the commands after it put their shards.
TAGGED, DATASET = "tagged", "dataset"


#: What a line of a transcript holds, as far as a report shows it.
_LINE = {
    **dict.fromkeys(("conversation_id?", "audio_file?", "utterance_id?", "speaker?", "kind?", "text?"), str),
    **dict.fromkeys(("tag?", "rule?", "language?"), str),
    **dict.fromkeys(("vad?", "features?", "vad_bucket?", "prosody_bucket?", "models?"), dict),
    "words?": [{"word": str, "start": float, "end": float}],
}


class Told(NamedTuple):
    """A folder's conversations: rows of `core.built.BUILT`, and whether they were rebuilt.

    Rows that were not rebuilt have their times in the source in both places, no `sounds`, no `timeline`, and no
    `audio` until `with_sound` fetches it.
    """

    rows: Iterator[Row]
    rebuilt: bool


def told(folder: Path) -> Told:
    """The conversations of a work folder or of a folder of shards.

    Raises DailytalkError, on the first row at the latest, if there are none or a file can't be read.
    """
    if any((folder / DATASET).glob("*.parquet")) or not (folder / TRANSCRIPT).is_file():
        return Told(built_rows(folder), True)
    return Told(_tagged_rows(folder), False)


def with_sound(folder: Path, row: Row) -> tuple[Row, float, str]:
    """A row with its `audio`, the second of it at which the conversation begins, and why there is none.

    A tagged shard holds the path of its recording. Whoever shared the folder may have written another path there,
    so it is read only if it is the recording that was tagged, byte for byte as far as its identity tells.
    """
    if row["timeline"] is not None or row["audio"] is not None:
        return row, 0.0, ""
    path = index(folder / TAGGED).get(row["conversation_id"], (None,))[0]
    try:
        if path is None:
            return row, 0.0, "the folder does not say where its recording is"
        found = tagged_row(read_rows(path, BASE).get(row["conversation_id"]))
        return row | {"audio": at_hand(found, None)["audio"]}, found["offset"], ""
    except BadInput as error:
        return row, 0.0, error.reason


def rejects(folder: Path) -> Iterator[dict[str, str]]:
    """What was rejected: the lines of rejects.jsonl; one that is damaged says so."""
    return rejects_in(folder)


def _tagged_rows(folder: Path) -> Iterator[Row]:
    known = index(folder / TAGGED) if (folder / TAGGED).is_dir() else {}
    lines = _json_lines(folder / TRANSCRIPT)
    for name, group in groupby(lines, lambda pair: _name(pair[1])):
        found = list(group)
        yield _row(folder, name, found, known.get(name))


def _name(line: Mapping[str, Any]) -> str:
    """The conversation of a line; the older tool's lines name only their recording."""
    return str(line.get("conversation_id") or line.get("audio_file") or "")


def _row(
    folder: Path, name: str, lines: list[tuple[int, dict[str, Any]]], known: tuple[Path, Entry] | None
) -> Row:
    # A transcript counts from the start of the recording, which may have been cut into several conversations.
    shard, entry = known or (None, None)
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
    furthest = max(one["end"] for one in utterances)
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
