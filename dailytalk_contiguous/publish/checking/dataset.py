"""Judges the rows of a finished dataset, shard by shard, before they are exported or published."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.turns import Timed
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.checking.findings import Finding, error, several
from dailytalk_contiguous.publish.checking.fitness import Figures, figures, fitness_advice
from dailytalk_contiguous.publish.checking.loudness import Loudness, measure
from dailytalk_contiguous.publish.checking.words import Said, word_findings
from dailytalk_contiguous.publish.exporting.moshi import WINDOW_SECONDS
from dailytalk_contiguous.publish.rows import Row, problem_of, shard_rows, shards, voices

#: Seconds by which a row's `duration` may differ from its audio.
DURATION_TOLERANCE = 0.010

_AGAIN = "build it again with `dailytalk speak`"

#: Kinds of findings on rows that can't be used, by column.
_KINDS = {"utterances": "bad-utterance", "alignments": "bad-word", "sounds": "bad-sound"}


@dataclass
class _Tally:
    """What is kept of each conversation."""

    ids: set[str] = field(default_factory=set)
    figures: dict[str, Figures] = field(default_factory=dict)
    voices: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    languages: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    seconds: float = 0.0
    words: int = 0
    utterances: int = 0


def check_dataset(folder: Path) -> tuple[list[Finding], dict[str, Any]]:
    """Findings on a folder of Parquet shards (or a work folder's `dataset/`), and how much is in it.

    Raises DailytalkError if there are no shards.
    """
    findings: list[Finding] = []
    tally = _Tally()
    for path in shards(folder):
        shown = str(path.relative_to(folder))
        try:
            for row in shard_rows(path):
                findings += _row(f"{shown}: {row['conversation_id']}", row, tally)
        except DailytalkError as problem:
            findings.append(error("unreadable-shard", shown, problem.reason, problem.remedy))
    return _verdict(findings, tally)


def check_rows(rows: Iterable[tuple[str, Row]]) -> tuple[list[Finding], dict[str, Any]]:
    """The same of rows from anywhere, each with the name that findings on it bear. What reading raises goes on."""
    tally = _Tally()
    findings = [finding for name, row in rows for finding in _row(name, row, tally)]
    return _verdict(findings, tally)


def _verdict(findings: list[Finding], tally: _Tally) -> tuple[list[Finding], dict[str, Any]]:
    """Findings on single rows with those on all together, and the facts."""
    findings += fitness_advice(tally.figures, tally.voices, tally.languages)
    facts = {
        "kind": "dataset",
        "conversations": len(tally.ids),
        "utterances": tally.utterances,
        "words": tally.words,
        "hours": round(tally.seconds / 3600, 4),
        "hours_of_voice": {name: round(hours, 4) for name, hours in sorted(tally.voices.items())},
        "hours_of_language": {name: round(hours, 4) for name, hours in sorted(tally.languages.items())},
    }
    return findings, facts


def _row(file: str, row: Row, tally: _Tally) -> Iterator[Finding]:
    name = row["conversation_id"]
    if name in tally.ids:
        yield error("duplicate", file, f"the conversation {name!r} occurs twice", "delete one of the shards")
    tally.ids.add(name)
    problem = problem_of(row)
    if problem:
        yield error(_KINDS.get(problem.column, "bad-row"), file, problem.reason, _AGAIN)
        return
    loudness: Loudness | None = None
    try:
        loudness = measure(row["audio"])
    except BadInput as unreadable:
        yield error("unreadable-audio", file, unreadable.reason, unreadable.remedy)
    else:
        yield from _audio(file, row, loudness)
    yield from _utterances(file, row)
    yield from _sounds(file, row)
    words = [
        Said(word["word"] or "", word["start"], word["end"], word["speaker"], int(word["speaker"] == "right"))
        for word in row["alignments"] or ()
    ]
    if not any(word.channel == 0 for word in words):
        yield error("no-words", file, "no word of the left speaker, Moshi's, is aligned", _AGAIN)
    yield from word_findings(file, words, loudness)
    _count(row, tally)


def _audio(file: str, row: Mapping[str, Any], loudness: Loudness) -> Iterator[Finding]:
    if loudness.channels != 2:
        yield error("not-stereo", file, f"its audio has {counted(loudness.channels, 'channel')}, not 2", _AGAIN)
    if loudness.sample_rate != row["sample_rate"]:
        what = f"the audio's rate is {loudness.sample_rate} Hz, the column says {row['sample_rate']}"
        yield error("wrong-rate", file, what, _AGAIN)
    if abs(loudness.seconds - row["duration"]) > DURATION_TOLERANCE:
        what = f"the column says {row['duration']:.3f} s, the audio has {loudness.seconds:.3f} s"
        yield error("wrong-duration", file, what, _AGAIN)
    if loudness.is_silent(0):
        yield error("silent-left", file, "the left channel, the re-voiced one, is silent", _AGAIN)


def _utterances(file: str, row: Mapping[str, Any]) -> Iterator[Finding]:
    utterances = row["utterances"] or []
    ids = [one["utterance_id"] for one in utterances]
    twice = sorted({one for one in ids if ids.count(one) > 1}) if len(set(ids)) < len(ids) else []
    if twice:
        yield error("duplicate", file, several(twice, "utterance ids occur twice", len(ids)), _AGAIN)
    mute = [
        one["utterance_id"] for one in utterances if one["status"] == "spoken" and not (one["text"] or "").strip()
    ]
    if mute:
        yield error("empty-text", file, several(mute, "utterances were spoken without text", len(ids)), _AGAIN)
    wrong = [one["utterance_id"] for one in utterances if one["status"] != "dropped" and not _has_length(one)]
    if wrong:
        what = several(wrong, "utterances have no length", len(ids))
        yield error("bad-utterance", file, what, _AGAIN)


def _sounds(file: str, row: Mapping[str, Any]) -> Iterator[Finding]:
    sounds = row["sounds"] or []
    wrong = [
        f"{one['start']}..{one['end']} s"
        for one in sounds
        if not _has_length(one) or one["start"] < 0 or one["end"] > row["duration"] + DURATION_TOLERANCE
    ]
    if wrong:
        what = several(wrong, "sounds have no length or lie outside the audio", len(sounds))
        yield error("bad-sound", file, what, _AGAIN)


def _has_length(one: Mapping[str, Any]) -> bool:
    return bool(one["end"] > one["start"])


def _count(row: Mapping[str, Any], tally: _Tally) -> None:
    heard = [one for one in row["utterances"] or () if one["status"] != "dropped"]
    timed = [Timed(one["channel"], one["start"], one["end"]) for one in heard if _has_length(one)]
    tally.figures[row["conversation_id"]] = figures(timed, row["duration"], WINDOW_SECONDS)
    tally.seconds += row["duration"]
    tally.words += len(row["alignments"] or ())
    tally.utterances += len(row["utterances"] or ())
    for voice in voices(row):
        tally.voices[voice] += row["duration"] / 3600
    if row["language"]:
        tally.languages[row["language"]] += row["duration"] / 3600
