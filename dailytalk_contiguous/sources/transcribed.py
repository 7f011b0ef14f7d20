"""Conversations to be re-voiced: a transcript, as people may have edited it, and the recordings it is about.

The transcript decides: a changed text, tag, start or end is taken as it stands, a deleted line is gone. What a
person can't have meant (a line that is no JSON, an end before its start) is rejected with its line number, and
the rest goes on.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Features, List, Value

from dailytalk_contiguous.core.audio import from_uri
from dailytalk_contiguous.core.built import UTTERANCE
from dailytalk_contiguous.core.documents import json_lines, shown
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.folded import fold, folded, unfold, unfolded
from dailytalk_contiguous.core.schema import AFFECT, CHANNELS, PROSODY, SOURCE, STRING, WORD, per_utterance
from dailytalk_contiguous.shards import Row, read_entries, read_rows
from dailytalk_contiguous.sources.edited_lines import checked
from dailytalk_contiguous.sources.recorded import (
    BASE,
    TAG_AGAIN,
    at_hand,
    from_recording,
    refuse_outside,
    stem,
    tagged_row,
)
from dailytalk_contiguous.stages.segment import Segment

#: Columns of an utterance that a line of a transcript gives; the others of `UTTERANCE` are made later.
_LATER = {"channel", "source_start", "source_end", "status", "reason", "event", "source_event", "synthesis"}
LINE = {name: feature for name, feature in UTTERANCE.items() if name not in _LATER}

#: Columns that are needed on the way, and are no field of a finished utterance.
_MORE = {"run": Value("int32"), "words": List(WORD), "recogniser": STRING}

#: What this source yields.
TRANSCRIBED = Features(
    {
        **{name: SOURCE[name] for name in ("conversation_id", "recording_id", "audio", "audio_file")},
        **{name: SOURCE[name] for name in ("offset", "duration", "sample_rate", "channels", "input_digest")},
        "main_language": STRING,
        **per_utterance(Features({**LINE, **_MORE})),
    }
)

#: What tells the part of a recording that a line lies in.
_OF_PARTS = ("audio_file", "offset", "duration")

#: Seconds by which an edited end may pass the end of the recording.
TOLERANCE = 0.05


class _Line(dict[str, Any]):
    """A line of a transcript, with its number."""

    number: int


def transcribed(
    transcript: Path, tagged: Path | None, recordings: Path | None, rejects: list[Reject]
) -> Iterator[Row]:
    """Yield a row of `TRANSCRIBED` for each conversation, in order; what can't be used goes to `rejects`.

    What is held on the way is folded (`core.folded`): a corpus has millions of words.

    Args:
        transcript: a file of lines as `dailytalk tag` writes them, or the older tool did.
        tagged: the folder of shards, or the one shard, that the transcript was written from: it knows where
            recordings lie.
        recordings: the folder of recordings, for a transcript without shards.
        rejects: filled on the way.

    Raises DailytalkError if there is no transcript.
    """
    if not transcript.is_file():
        raise DailytalkError(f"there is no transcript {str(transcript)!r}", "run dailytalk tag first")
    _refuse_mix(transcript)
    known, unusable = _known(tagged, rejects) if tagged and tagged.exists() else ({}, {})
    groups = _grouped(transcript, known, rejects)
    for name in list(groups):  # what is a row need not be held as lines, too
        lines: list[_Line] = [line for part in groups.pop(name) for line in unfold(part)]
        row = known.pop(name, None)
        try:
            if name in unusable:
                raise unusable[name]
            base = at_hand(unfolded(row), recordings) if row else from_recording(lines[0], recordings)
            yield _row(name, lines, base, rejects)
        except BadInput as error:
            rejects.append(Reject(name, "transcript", error.reason, error.remedy))
    rejects += _unspoken(known)


def _refuse_mix(transcript: Path) -> None:
    """Raise DailytalkError for a transcript of `dailytalk tag --channel mix`: no speaker stands alone in it."""
    channels = (line.get("channel") for _, line in json_lines(transcript, nan=True) if isinstance(line, dict))
    if next(channels, None) == "mix" and all(channel == "mix" for channel in channels):
        raise DailytalkError(
            f"{transcript} was made with --channel mix, in which no speaker is alone on a channel",
            "only recordings of two channels, tagged without --channel mix, can be re-voiced",
        )


def _unspoken(known: Mapping[str, Row]) -> Iterator[Reject]:
    """Conversations without a line because nobody speaks in them. People deleted those of others on purpose."""
    for name, row in known.items():
        if not unfolded(row)["utterance_id"]:
            yield Reject(name, "transcript", "nobody speaks in it, so there is nothing to say", "leave it out")


def _grouped(transcript: Path, known: Mapping[str, Row], rejects: list[Reject]) -> dict[str, list[bytes]]:
    """The lines of each conversation, folded; one part for all lines that follow each other."""
    groups: dict[str, list[bytes]] = {}
    for name, lines in itertools.groupby(_lines(transcript, known, rejects), key=lambda named: named[0]):
        groups.setdefault(name, []).append(fold([line for _, line in lines]))
    return groups


def _lines(transcript: Path, known: Mapping[str, Row], rejects: list[Reject]) -> Iterator[tuple[str, _Line]]:
    """Each line after the name of its conversation; lines that are none go to the rejects."""
    parts: dict[str, list[tuple[str, Row]]] = {}
    for name, row in known.items():
        parts.setdefault(row["audio_file"], []).append((name, row))
    for number, read in json_lines(transcript, nan=True):  # the older tool writes NaN
        try:
            if isinstance(read, BadInput):
                raise ValueError(read.reason)
            line = _Line(checked(read))
            named = line.get("conversation_id") or _part_of(line, parts.get(line["audio_file"], []))
            refuse_outside(named)
            refuse_outside(line["audio_file"])
        except ValueError as error:
            reason = f"line {number} of {transcript.name}: {error}"
            rejects.append(Reject(f"{transcript.name}:{number}", "transcript", reason, "mend or delete the line"))
            continue
        line.number = number
        yield named, line


def _part_of(line: _Line, parts: Sequence[tuple[str, Row]]) -> str:
    """The conversation of a line that names none: the part of its recording that it lies in, or all of it."""
    for name, row in parts:
        if row["offset"] <= line["start"] < row["offset"] + row["duration"]:
            return name
    return stem(line["audio_file"])


def _known(tagged: Path, rejects: list[Reject]) -> tuple[dict[str, Row], dict[str, BadInput]]:
    """The rows of the shards, folded, and why others can't be used, by conversation id."""
    known: dict[str, Row] = {}
    unusable: dict[str, BadInput] = {}
    for path in sorted(tagged.glob("shard-*.parquet")) if tagged.is_dir() else [tagged]:
        entries = read_entries(path)
        if entries is None:
            reason = "it is damaged, or no shard that this version wrote"
            rejects.append(Reject(shown(Path(path.name)), "transcript", reason, TAG_AGAIN))
            continue
        try:
            rows = read_rows(path, (*BASE, "given"))  # which names the speakers
        except BadInput as error:
            unusable |= dict.fromkeys(entries, BadInput(error.reason, TAG_AGAIN))
            continue
        for name, entry in entries.items():
            try:
                if not entry.reject:
                    known[name] = folded(tagged_row(rows.get(name)), _OF_PARTS)
            except BadInput as error:
                unusable[name] = error
    return known, unusable


def _row(name: str, lines: Sequence[_Line], base: Row, rejects: list[Reject]) -> Row:
    if base["channels"] != 2:
        raise BadInput(
            f"its recording has {base['channels']} channels", "only recordings of two channels can be re-voiced"
        )
    runs = dict(zip(base["utterance_id"], base["run"], strict=True))
    utterances = [
        _utterance(identity, place, line, base, runs)
        for identity, place, line in _usable(name, lines, base, rejects)
    ]
    if not utterances:
        raise BadInput("none of its lines can be used", "mend its lines, or delete them to leave it out")
    # Not a side of which people deleted every line: a shard knows that it had some.
    present = {utterance["source_channel"] for utterance in utterances} | set(base["channel"])
    for other in sorted(set(CHANNELS) - present):
        utterances += _silent_side(name, base, other)
    utterances.sort(key=lambda one: (one["start"], one["source_channel"]))
    row = {column: base[column] for column in BASE if column in TRANSCRIBED}
    row |= {"conversation_id": name, "main_language": _language(lines)}
    for utterance in utterances:  # an added line need not name what all others do
        utterance["language"] = utterance["language"] or row["main_language"]
    for column in (*LINE, *_MORE):
        row[column] = [utterance[column] for utterance in utterances]
    told = json.dumps([row | {"audio": None}, _stamp(base)], sort_keys=True)
    return row | {"input_digest": hashlib.sha256(told.encode()).hexdigest()[:20]}


def _stamp(base: Row) -> Any:
    """What tells a recording from another: its identity, wherever it lies; else its place, size and date."""
    if base.get("audio_identity"):
        return base["audio_identity"]
    path = from_uri(base["audio"]["path"])
    return [str(path), path.stat().st_size, path.stat().st_mtime_ns]


def _usable(
    name: str, lines: Sequence[_Line], base: Row, rejects: list[Reject]
) -> Iterator[tuple[str, int, _Line]]:
    """The lines that lie in their conversation, with an id that no other has, and their places."""
    taken = {*base["utterance_id"], *(line["utterance_id"] for line in lines if line.get("utterance_id"))}
    first: dict[str, int] = {}
    for place, line in enumerate(lines):
        identity = line.get("utterance_id") or _free_identity(f"{name}/{line['channel']}", place, taken)
        taken.add(identity)
        problem, remedy = None, "mend or delete the line"
        if (
            line["end"] - base["offset"] > base["duration"] + TOLERANCE
            or line["start"] < base["offset"] - TOLERANCE
            or _shifted(line["end"], base) <= _shifted(line["start"], base)
        ):
            problem = f"{line['start']}-{line['end']} s lies outside its conversation"
        elif identity in first:
            problem = f"its utterance_id {identity!r} is that of line {first[identity]}"
            remedy = "leave utterance_id out of a line that you add"
        if problem:
            reason = f"line {line.number}: {problem}"
            rejects.append(Reject(f"{name}@{line['start']}", "transcript", reason, remedy))
            continue
        first[identity] = line.number
        yield identity, place, line


def _free_identity(prefix: str, place: int, taken: set[str]) -> str:
    numbered = (f"{prefix}/{number:04d}" for number in itertools.count(place))
    return next(identity for identity in numbered if identity not in taken)


def _shifted(seconds: float, base: Row) -> float:
    """Seconds of the recording as seconds of the conversation, and inside it."""
    return float(min(max(seconds - base["offset"], 0.0), base["duration"]))


def _utterance(identity: str, place: int, line: _Line, base: Row, runs: Mapping[str, int]) -> dict[str, Any]:
    affect, features = line.get("vad") or {}, line.get("features") or {}
    buckets = (line.get("vad_bucket") or {}) | (line.get("prosody_bucket") or {})
    text, models = line["text"].strip(), line.get("models") or {}
    return {
        "utterance_id": identity,
        "source_channel": line["channel"],
        "speaker": line.get("speaker") or f"{base['recording_id']}/{line['channel']}",
        "start": _shifted(line["start"], base),
        "end": _shifted(line["end"], base),
        "kind": line.get("kind") or "speech",
        "text_raw": line.get("text_raw") or text,
        "text": text,
        # Made anew: a person edits the text and the tag, and forgets the line that holds both.
        "tagged_text": f"({line['tag']}) {text}" if text and line["tag"] else text or None,
        "tag": line["tag"],
        "rule": line.get("rule") or "",
        **{measure: affect.get(measure) for measure in AFFECT},
        **{measure: features.get(measure) for measure in PROSODY},
        **{column: buckets.get(column.removesuffix("_bucket")) or "" for column in LINE if "_bucket" in column},
        # Negative numbers are nobody else's: an added line is a run of its own.
        "run": runs.get(identity, -1 - place),
        "words": [
            {
                "word": word["word"],
                "start": _shifted(word["start"], base),
                "end": _shifted(word["end"], base),
                "probability": word.get("probability"),
            }
            for word in line.get("words") or []
        ],
        "recogniser": models.get("recogniser") or "",
        "models": {name: models.get(name) for name in ("recogniser", "affect")},
        "language": line.get("language"),
        "confidence": line.get("confidence"),
        "context_seconds": line.get("context_seconds"),
        "text_reason": None if text else line.get("text_reason"),
    }


def _silent_side(name: str, base: Row, channel: str) -> list[dict[str, Any]]:
    """The utterances of a channel that the transcript leaves out: their times, without text."""
    needed = {column: [base.get(column, name)] for column in Segment.needs} | {"conversation_id": [name]}
    needed["given"] = [base.get("given")]
    found = {column: values[0] for column, values in Segment(channel=channel)(needed).items()}
    empty = dict.fromkeys((*AFFECT, *PROSODY)) | {column: "" for column in LINE if "_bucket" in column}
    return [
        empty
        | {column: found[column][place] for column in ("utterance_id", "speaker", "start", "end", "kind", "run")}
        | {"source_channel": channel, "text_raw": "", "text": "", "tagged_text": None, "tag": "", "rule": ""}
        | {"words": [], "recogniser": "", "language": None, "confidence": None, "context_seconds": None}
        | {"models": dict.fromkeys(("recogniser", "affect")), "text_reason": None}
        for place in range(len(found["utterance_id"]))
    ]


def _language(lines: Sequence[Mapping[str, Any]]) -> str:
    """The language that most lines name; `und` where none does."""
    named = [line["language"] for line in lines if line.get("language")]
    return max(sorted(set(named)), key=named.count) if named else "und"
