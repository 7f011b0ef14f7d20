"""Transcripts as people edit them: what is honoured, what is rejected, and where the recordings are."""

import json
import math
import os
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from audio_files import reference
from datasets import Dataset
from recordings import excerpt, read_lines, run, save
from revoicing import Said, recording
from scripted import SHORT
from scripted import folder as tagged_folder

from dailytalk_contiguous import tag_stages
from dailytalk_contiguous.core.documents import LATEST
from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.sound.samples import HIGHEST_RATE, LOWEST_RATE
from dailytalk_contiguous.sources.lines_to_speak import TOLERANCE, refuse_outside, tagged_row, transcribed
from dailytalk_contiguous.stages.base import Stages
from dailytalk_contiguous.stages.script import script_row

Line = dict[str, Any]
Row = dict[str, Any]

#: The fields of the older tool, and nothing else.
OLDER = ("segment_id", "audio_file", "channel", "start", "end", "duration", "vad", "features", "vad_bucket")
OLDER += ("prosody_bucket", "tag", "text_raw", "text", "tagged_text")


def settings() -> Stages:
    """Recognition in English by the smallest model."""
    return tag_stages(profile="embedded", language="en", asr_model="tiny.en")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder of `dailytalk tag`: one recording of two conversations, one whole."""
    folder = tmp_path_factory.mktemp("work")
    save(folder / "in/long.wav", excerpt("weekend_trip", 0.0, 24.0))
    save(folder / "in/short.wav", excerpt("bicycle_repair", 0.0, 9.0))
    run(folder / "in", folder / "out", settings(), found={"max_conversation": 14.0})
    return folder / "out"


def read(
    work: Path, lines: list[Line] | str, tmp_path: Path, **where: Path | None
) -> tuple[list[Row], list[Reject]]:
    path = tmp_path / "edited.jsonl"
    text = lines if isinstance(lines, str) else "".join(json.dumps(line) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    tagged = where.get("tagged", work / "tagged")
    return read_file(path, tagged, where.get("recordings"))


@pytest.fixture
def lines(work: Path) -> list[Line]:
    return read_lines(work / "transcript.jsonl")


def read_file(path: Path, tagged: Path | None, recordings: Path | None = None) -> tuple[list[Row], list[Reject]]:
    rejects: list[Reject] = []
    rows = list(transcribed(path, tagged, recordings, rejects))
    return rows, rejects


def column(rows: list[Row], name: str) -> dict[str, Any]:
    """Values of a column by utterance id."""
    values: dict[str, Any] = {}
    for row in rows:
        values |= dict(zip(row["utterance_id"], row[name], strict=True))
    return values


def lines_of(lines: list[Line], conversation: str) -> list[Line]:
    return [line for line in lines if line["conversation_id"] == conversation]


def conversations(rows: list[Row]) -> list[str]:
    return [row["conversation_id"] for row in rows]


def digests(rows: list[Row]) -> list[str]:
    return [row["input_digest"] for row in rows]


def ids(rejects: list[Reject]) -> list[str]:
    return [reject.id for reject in rejects]


def test_a_transcript_that_nobody_edited_comes_back_as_it_was(
    work: Path, lines: list[Line], tmp_path: Path
) -> None:
    rows, rejects = read(work, lines, tmp_path)
    assert rejects == []
    assert conversations(rows) == sorted({line["conversation_id"] for line in lines})
    assert list(column(rows, "text")) == [line["utterance_id"] for line in lines]

    def values(name: str) -> list[Any]:
        return list(column(rows, name).values())

    for name in ("text", "text_raw", "tag", "rule", "kind", "speaker", "tagged_text"):
        assert values(name) == [line[name] for line in lines]
    assert values("rms") == [line["features"]["rms"] for line in lines]
    assert values("valence_bucket") == [line["vad_bucket"]["valence"] for line in lines]
    assert values("pitch_var_bucket") == [line["prosody_bucket"]["pitch_var"] for line in lines]
    for number in values("run"):
        assert number >= 0
    written = Dataset.from_list(rows, features=script_row())
    assert written.num_rows == len(rows)
    for row in rows:
        assert set(row) == set(script_row())


def test_conversations_of_a_long_recording_are_in_their_own_seconds(
    work: Path, lines: list[Line], tmp_path: Path
) -> None:
    rows, _ = read(work, lines, tmp_path)
    later = [row for row in rows if row["offset"] > 0]
    assert later
    for row in later:
        offset = row["offset"]
        for index, line in enumerate(lines_of(lines, row["conversation_id"])):
            start = line["start"] - offset
            end = line["end"] - offset
            assert row["start"][index] == pytest.approx(start)
            assert row["end"][index] == pytest.approx(end)
            for word, written in zip(row["words"][index], line["words"], strict=True):
                start = written["start"] - offset
                assert word["start"] == pytest.approx(start, abs=1e-6)
        assert 0 <= min(row["start"]) < max(row["end"]) <= row["duration"]


def test_what_people_change_is_taken_as_it_stands(work: Path, lines: list[Line], tmp_path: Path) -> None:
    first, second, *others = lines
    name = second["utterance_id"]
    edited = second | {
        "text": " Well, hello there! ",
        "tag": "sad",
        "start": second["start"] + 0.1,
        "end": second["end"] - 0.1,
    }
    before, _ = read(work, lines, tmp_path)
    rows, rejects = read(work, [first, edited, *others], tmp_path)
    assert rejects == []
    assert column(rows, "text")[name] == "Well, hello there!"
    assert column(rows, "tag")[name] == "sad"
    assert column(rows, "tagged_text")[name] == "(sad) Well, hello there!"  # made anew
    assert column(rows, "text_raw")[name] == second["text_raw"]
    start = column(before, "start")[name]
    end = column(before, "end")[name]
    assert column(rows, "start")[name] == pytest.approx(start + 0.1)
    assert column(rows, "end")[name] == pytest.approx(end - 0.1)
    changed, *unchanged = digests(rows)
    assert changed != before[0]["input_digest"]
    assert unchanged == digests(before[1:])


def test_moved_recording_is_the_same_input(work: Path, lines: list[Line], tmp_path: Path) -> None:
    before, _ = read(work, lines, tmp_path)
    source = work.parent / "in"
    moved = work.parent / "moved"
    source.rename(moved)
    try:
        rows, rejects = read(work, lines, tmp_path, recordings=moved)
    finally:
        moved.rename(source)
    assert rejects == []
    assert digests(rows) == digests(before)
    for row in rows:
        assert "/moved/" in row["audio"]["path"]


#: Fields that a person may change.
EDITED: Line = {
    "speaker": "Anna",
    "kind": "backchannel",
    "text_raw": "well hello",
    "rule": "mine",
    "language": "de",
    "confidence": 0.25,
    "context_seconds": 1.5,
    "vad": {"valence": 0.1, "arousal": 0.2, "dominance": 0.3},
    "vad_bucket": {"valence": "low", "arousal": "high"},
    "models": {"recogniser": "ears", "affect": "heart"},
    "words": [{"word": "hello", "start": 0.1, "end": 0.2, "probability": 0.5}],
}


#: The columns of a line with these fields.
EDITED_COLUMNS = {
    "speaker": "Anna",
    "kind": "backchannel",
    "text_raw": "well hello",
    "rule": "mine",
    "language": "de",
    "confidence": 0.25,
    "context_seconds": 1.5,
    "valence": 0.1,
    "arousal": 0.2,
    "dominance": 0.3,
    "valence_bucket": "low",
    "arousal_bucket": "high",
    "dominance_bucket": None,
    "models": {"recogniser": "ears", "affect": "heart"},
    "recogniser": "ears",
    "words": [
        {"word": "hello", "start": 0.1, "end": 0.2, "probability": 0.5, "fitted": False, "filler": False},
    ],
}


#: The columns of a line of which a person emptied all these fields.
EMPTIED_COLUMNS = dict.fromkeys(EDITED_COLUMNS) | {
    "kind": "speech",
    "text_raw": "Hello.",
    "language": "en",  # of the other lines
    "models": {"recogniser": None, "affect": None},
    "recogniser": "",
    "words": [],
}


def test_every_field_that_people_change_is_taken_and_what_they_empty_has_its_default(
    work: Path, lines: list[Line], tmp_path: Path
) -> None:
    line, *others = lines_of(lines, "short")

    def columns(edited: Line) -> Row:
        rows, rejects = read(work, [edited, *others], tmp_path)
        assert rejects == []
        return {name: column(rows, name)[line["utterance_id"]] for name in EDITED_COLUMNS}

    assert columns(line | EDITED) == EDITED_COLUMNS
    emptied = line | {"text": "Hello."} | dict.fromkeys(EDITED)
    speaker = f"short/{line['channel']}"
    assert columns(emptied) == EMPTIED_COLUMNS | {"speaker": speaker}


@pytest.mark.parametrize(
    ("text", "tag", "expected"),
    [("Hi", "", "Hi"), ("", "sad", None), ("  ", "sad", None), ("Hi", "sad", "(sad) Hi")],
)
def test_tagged_text_follows_text_and_tag(
    work: Path, lines: list[Line], tmp_path: Path, text: str, tag: str, expected: str | None
) -> None:
    first, *others = lines
    edited = first | {"text": text, "tag": tag}
    rows, _ = read(work, [edited, *others], tmp_path)
    assert rows[0]["tagged_text"][0] == expected


def test_a_deleted_line_is_gone(work: Path, lines: list[Line], tmp_path: Path) -> None:
    first, deleted, *others = lines
    rows, rejects = read(work, [first, *others], tmp_path)
    assert rejects == []
    texts = column(rows, "text")
    assert deleted["utterance_id"] not in texts
    assert len(texts) == len(lines) - 1


def test_a_conversation_whose_lines_are_all_deleted_is_left_out(
    work: Path, lines: list[Line], tmp_path: Path
) -> None:
    others = [line for line in lines if line["conversation_id"] != "short"]
    rows, rejects = read(work, others, tmp_path)
    assert "short" not in conversations(rows)
    assert rejects == []


def test_an_added_line_needs_few_fields_and_gets_an_id_and_a_run_of_its_own(
    work: Path, lines: list[Line], tmp_path: Path
) -> None:
    short = lines_of(lines, "short")
    first = {"audio_file": "short.wav", "channel": "left", "start": 0.01, "end": 0.3, "text": "Um.", "tag": ""}
    second = first | {"start": 0.31, "end": 0.5}
    rows, rejects = read(work, [first, second, *short], tmp_path)
    assert rejects == []
    runs = column(rows, "run")
    identities = list(runs)
    assert rows[0]["utterance_id"] == identities  # each once
    assert len(identities) == len(short) + 2
    tagged = {line["utterance_id"] for line in short}
    added = [identity for identity in identities if identity not in tagged]
    all_runs = list(runs.values())
    for identity in added:
        assert identity.startswith("short/left/")
        assert all_runs.count(runs[identity]) == 1
        assert column(rows, "speaker")[identity] == "short/left"
    assert column(rows, "language")[added[0]] == "en"  # as all other lines say
    Dataset.from_list(rows, features=script_row())


def test_an_added_line_belongs_to_the_part_of_its_recording_that_it_lies_in(
    work: Path, lines: list[Line], tmp_path: Path
) -> None:
    added = {"audio_file": "long.wav", "channel": "right", "start": 20.0, "end": 20.5, "text": "Um.", "tag": ""}
    rows, rejects = read(work, [*lines, added], tmp_path)
    assert rejects == []
    (row,) = [row for row in rows if "Um." in row["text"]]
    assert row["offset"] > 0
    index = row["text"].index("Um.")
    start = 20.0 - row["offset"]
    assert row["start"][index] == pytest.approx(start)


#: What is wrong with a line, and the words that lead to it; `test_edited_lines.py` has all that can be.
BAD: dict[str, tuple[Callable[[Line], Any], str]] = {
    "no object": (lambda line: [1, 2], "not a JSON object"),
    "text is null": (lambda line: line | {"text": None}, "text is missing or no text"),
    "beyond all numbers": (lambda line: line | {"end": 10**400}, "not a number of seconds from 0"),
    "outside": (lambda line: line | {"start": 500.0, "end": 501.0}, "outside its conversation"),
    "elsewhere": (lambda line: line | {"conversation_id": "../../escaped"}, "leads out of the folder"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_a_bad_line_is_named_by_its_number_and_the_rest_goes_on(
    work: Path, lines: list[Line], tmp_path: Path, name: str
) -> None:
    spoil, reason = BAD[name]
    written = [json.dumps(line) for line in lines]
    written[2] = json.dumps(spoil(lines[2]))
    text = "\n".join(["", *written, ""])  # an empty first line counts
    rows, rejects = read(work, text, tmp_path)
    (reject,) = rejects
    assert "line 4" in reject.reason
    assert reason in reject.reason
    assert reject.remedy
    others = [line["utterance_id"] for line in lines if line is not lines[2]]
    assert sorted(column(rows, "text")) == sorted(others)


def test_a_line_that_is_no_json_is_named_by_its_number(work: Path, lines: list[Line], tmp_path: Path) -> None:
    written = [json.dumps(line) for line in lines]
    written[1] = written[1][:-3]
    rows, rejects = read(work, "\n".join(written), tmp_path)
    assert ids(rejects) == ["edited.jsonl:2"]
    assert len(column(rows, "text")) == len(lines) - 1


def test_a_copied_line_must_not_keep_its_id(work: Path, lines: list[Line], tmp_path: Path) -> None:
    original = lines[0]
    name = original["utterance_id"]
    copy = original | {"start": original["start"] + 0.01, "text": "Again."}
    rows, rejects = read(work, [*lines, copy], tmp_path)
    (reject,) = rejects
    assert f"line {len(lines) + 1}" in reject.reason
    _, _, after_name = reject.reason.partition(name)
    assert "line 1" in after_name
    assert column(rows, "text")[name] == original["text"].strip()


def test_what_editors_do_to_files_does_not_matter(work: Path, lines: list[Line], tmp_path: Path) -> None:
    text = "\r\n".join(json.dumps(line) for line in lines)
    path = tmp_path / "windows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    rows, rejects = read_file(path, work / "tagged")
    assert len(column(rows, "text")) == len(lines)
    assert rejects == []


@pytest.mark.parametrize(("past", "taken"), [(TOLERANCE, True), (TOLERANCE + 0.01, False)])
def test_line_may_begin_and_end_50_ms_outside_its_conversation(
    work: Path, lines: list[Line], tmp_path: Path, past: float, taken: bool
) -> None:
    rows, _ = read(work, lines, tmp_path)
    part = next(row for row in rows if row["offset"] > 0)
    name = part["conversation_id"]
    begin = part["offset"]
    end = begin + part["duration"]
    line, *others = lines_of(lines, name)
    early = {"start": begin - past, "end": end}
    late = {"start": end - 1.0, "end": end + past}
    for times in (early, late):
        rows, rejects = read(work, [line | times, *others], tmp_path)
        outside = f"{name}@{times['start']}"
        assert ids(rejects) == ([] if taken else [outside])
        assert (line["utterance_id"] in column(rows, "start")) == taken


def test_a_conversation_of_which_nothing_is_left_is_rejected(
    work: Path, lines: list[Line], tmp_path: Path
) -> None:
    outside = [line | {"start": 500.0, "end": 501.0} for line in lines_of(lines, "short")]
    rows, rejects = read(work, outside, tmp_path)
    assert rows == []
    assert len(rejects) == len(outside) + 1
    assert rejects[-1].id == "short"


def lines_before(channel: str, end: float) -> list[Line]:
    """The lines of burnt_dinner on a side that end before a time."""
    return [line for line in reference("burnt_dinner") if line["channel"] == channel and line["end"] < end]


def older_line(number: int, line: Line) -> Line:
    """A line of a reference as the older tool writes it."""
    return {
        "segment_id": number,
        "audio_file": "burnt.wav",
        "channel": "left",
        "start": line["start"],
        "end": line["end"],
        "duration": line["end"] - line["start"],
        "vad": {"valence": 0.5, "arousal": 0.5, "dominance": math.nan},
        "features": {"rms": 0.1, "f0_mean": None},
        "vad_bucket": {"valence": "MID"},
        "prosody_bucket": {},
        "tag": "curious",
        "text_raw": line["text"],
        "text": line["text"],
        "tagged_text": "(curious) x",
    }


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Line]]:
    """A folder of recordings, and lines of the older tool about the left channel of one."""
    calls = tmp_path_factory.mktemp("older") / "calls"
    save(calls / "burnt.wav", excerpt("burnt_dinner", 0.0, 20.0))
    lines = []
    for number, line in enumerate(lines_before("left", 20)):
        lines.append(older_line(number, line))
        assert tuple(lines[-1]) == OLDER
    return calls, lines


def read_older(older: tuple[Path, list[Line]], tmp_path: Path) -> Row:
    recordings, lines = older
    rows, rejects = read(recordings, lines, tmp_path, tagged=None, recordings=recordings)
    assert rejects == []
    (row,) = rows
    return row


def side_of(row: Row, channel: str) -> list[Line]:
    """The utterances on a side of a conversation, each with these columns."""
    names = ("source_channel", "start", "end", "text", "tag", "tagged_text", "words")
    columns = zip(*(row[name] for name in names), strict=True)
    utterances = [dict(zip(names, values, strict=True)) for values in columns]
    return [utterance for utterance in utterances if utterance["source_channel"] == channel]


def test_lines_of_the_older_tool_are_enough_with_a_folder_of_recordings(
    older: tuple[Path, list[Line]], tmp_path: Path
) -> None:
    row = read_older(older, tmp_path)
    assert row["conversation_id"] == "burnt"
    assert row["recording_id"] == "burnt"
    assert row["offset"] == 0.0
    assert row["sample_rate"] == 16000
    assert row["channels"] == 2
    assert row["duration"] == 20.0
    _, lines = older
    for utterance, line in zip(side_of(row, "left"), lines, strict=True):
        assert utterance["text"] == line["text"]
        assert utterance["start"] == line["start"]
        assert utterance["tag"] == "curious"
    Dataset.from_list([row], features=script_row())


def test_the_other_side_of_an_older_transcript_is_found_without_text(
    older: tuple[Path, list[Line]], tmp_path: Path
) -> None:
    row = read_older(older, tmp_path)
    right = side_of(row, "right")
    assert right
    for line in lines_before("right", 20):
        latest_start = line["start"] + 0.15
        earliest_end = line["end"] - 0.2
        assert any(spoken["start"] <= latest_start and spoken["end"] >= earliest_end for spoken in right)
    for utterance in right:
        assert utterance["text"] == ""
        assert utterance["tag"] == ""
        assert utterance["tagged_text"] is None
        assert utterance["words"] == []
    assert row["start"] == sorted(row["start"])
    identities = row["utterance_id"]
    assert len(set(identities)) == len(identities)


def test_a_recording_that_is_missing_or_no_recording_is_rejected(
    older: tuple[Path, list[Line]], tmp_path: Path
) -> None:
    recordings, lines = older
    calls = tmp_path / "calls"
    calls.mkdir()
    os.link(recordings / "burnt.wav", calls / "burnt.wav")
    (calls / "broken.wav").write_bytes(b"RIFF")
    stereo = recording((Said("left", 0.1, 1.0),), 2.0, 16000)
    save(calls / "mono.wav", stereo[:, :1])
    others = [lines[0] | {"audio_file": name} for name in ("absent.wav", "broken.wav", "mono.wav")]
    rows, rejects = read(recordings, [*others, *lines], tmp_path, tagged=None, recordings=calls)
    assert conversations(rows) == ["burnt"]
    assert ids(rejects) == ["absent", "broken", "mono"]
    absent, _, mono = rejects
    assert "'absent.wav'" in absent.reason
    assert "no channel for each of two speakers" in mono.reason


def test_a_recording_that_was_exported_anew_is_rejected_and_the_rest_goes_on(tmp_path: Path) -> None:
    source = tmp_path / "in"
    kept = tmp_path / "kept"
    out = tmp_path / "out"
    first = save(source / "first.wav", excerpt("bicycle_repair", 0.0, 6.0))
    second = save(source / "second.wav", excerpt("weekend_trip", 0.0, 6.0))
    run(source, out, settings())
    shutil.copytree(source, kept)
    lines = read_lines(out / "transcript.jsonl")
    os.utime(first, (0, 0))  # a recording of another date is the same
    save(second, 0.5 * excerpt("weekend_trip", 0.0, 6.0))  # as long as before, and softer
    rows, rejects = read(out, lines, tmp_path)
    assert conversations(rows) == ["first"]
    (reject,) = rejects
    assert reject.id == "second"
    assert reject.stage == "transcript"
    assert "second.wav' is not the one that was tagged" in reject.reason
    assert "run dailytalk tag again" in reject.remedy
    rows, rejects = read(out, lines, tmp_path, recordings=kept)
    assert conversations(rows) == ["first", "second"]
    assert rejects == []
    assert rows[1]["audio"]["path"] == str(kept / "second.wav")


def test_the_language_of_a_conversation_is_that_of_most_lines(
    work: Path, lines: list[Line], tmp_path: Path
) -> None:
    first, *others = lines_of(lines, "short")
    edited = [first | {"language": "de"}]
    edited += [line | {"language": "fr"} for line in others]
    rows, _ = read(work, edited, tmp_path)
    assert rows[0]["main_language"] == "fr"
    assert rows[0]["language"][0] == "de"


def test_conversation_in_which_nobody_speaks_is_a_reject_and_never_just_gone(tmp_path: Path) -> None:
    source = tmp_path / "in"
    out = tmp_path / "out"
    save(source / "talk.wav", excerpt())
    silence = np.zeros((16000 * 3, 2), np.float32)
    save(source / "silent.wav", silence)
    run(source, out, settings())
    rows, rejects = read_file(out / "transcript.jsonl", out / "tagged")
    assert conversations(rows) == ["talk"]
    (reject,) = rejects
    assert reject.id == "silent"
    assert reject.reason == "nobody speaks in it, so there is nothing to say"


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("duration", math.nan, None),
        ("duration", math.inf, None),
        ("duration", 1e308, None),
        ("duration", -1.0, None),
        ("offset", -1.0, None),
        ("sample_rate", 1, None),
        ("channels", 0, None),
        ("audio", None, None),
        ("audio", {"bytes": None, "path": None}, None),
        ("audio", {"bytes": None, "path": "a\0b"}, None),
        ("audio_file", None, None),
        ("audio_file", "../bad.wav", None),
        ("audio", {"bytes": None, "path": "/dev/zero"}, None),
        ("channel", ["left", "up"], None),
        ("run", [0], None),
        ("utterance_id", [None], None),
        ("audio", "x", pa.string()),
        ("duration", "x", pa.string()),
        ("run", 1, pa.int64()),
    ],
)
def test_row_of_a_shard_that_nobody_tagged_is_rejected_and_the_rest_goes_on(
    tmp_path: Path, column: str, value: Any, kind: pa.DataType | None
) -> None:
    work = tagged_folder(tmp_path, good=SHORT, bad=SHORT)
    path = work / "tagged/shard-0.parquet"
    table = pq.read_table(path)
    if kind is None:
        field = table.schema.field(column)
        values = table.column(column).to_pylist()
        bad = table.column("conversation_id").to_pylist().index("bad")
        values[bad] = value
        read_ids = ["good"]
        rejected = ["bad"]
    else:
        field = pa.field(column, kind)
        values = [value] * table.num_rows
        read_ids = []
        rejected = ["good", "bad"]
    number = table.column_names.index(column)
    array = pa.array(values, field.type)
    changed = table.set_column(number, field, array)
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)
    rows, rejects = read_file(work / "transcript.jsonl", work / "tagged")
    assert conversations(rows) == read_ids
    assert ids(rejects) == rejected
    for reject in rejects:
        assert "tag again" in reject.remedy


TAGGED: Line = {
    "recording_id": "call",
    "audio": {"path": "file:///call.wav"},
    "audio_file": "call.wav",
    "audio_identity": None,
    "offset": 0.0,
    "duration": 2.0,
    "sample_rate": 8000,
    "channels": 2,
    "utterance_id": ["a", "b"],
    "channel": ["left", "right"],
    "run": [0, 1],
}


@pytest.mark.parametrize(
    "columns",
    [
        {"offset": LATEST + 1},
        {"offset": -1e-6},
        {"duration": LATEST + 1},
        {"duration": 0.0},
        {"offset": Decimal("0.5")},
        {"duration": Decimal("9.5")},
        {"sample_rate": LOWEST_RATE - 1},
        {"sample_rate": HIGHEST_RATE + 1},
        {"channels": 0},
        {"channel": ["left", "mix"]},
        {"run": [0]},
        {"utterance_id": ["a"]},
        {"channel": ["left"]},
    ],
)
def test_row_of_a_shard_beyond_its_limits_is_refused(columns: Line) -> None:
    with pytest.raises(BadInput) as refused:
        tagged_row(TAGGED | columns)
    assert refused.value.reason == "its row in the tagged shard describes no part of a recording"
    assert refused.value.remedy == "run dailytalk tag again"


@pytest.mark.parametrize("name", ["/a.wav", "\\a.wav", "..", "a/../b.wav", "a\\..\\b.wav", "a\0.wav"])
def test_name_that_leads_out_of_a_folder_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="leads out of the folder"):
        refuse_outside(name)
    with pytest.raises(BadInput, match="leads out of the folder"):
        tagged_row(TAGGED | {"audio_file": name})


def test_shard_that_can_not_be_read_is_rejected_with_its_name(tmp_path: Path) -> None:
    work = tagged_folder(tmp_path, good=SHORT)
    tagged = work / "tagged"
    (tagged / "shard-1.parquet").write_bytes(b"no parquet")
    rows, rejects = read_file(work / "transcript.jsonl", tagged)
    assert conversations(rows) == ["good"]
    assert ids(rejects) == ["shard-1.parquet"]
    assert "delete it, and run dailytalk tag again" in rejects[0].remedy
    path = tagged / "shard-0.parquet"
    data = path.read_bytes()
    path.write_bytes(data[:4] + bytes(40) + data[44:])
    rows, rejects = read_file(work / "transcript.jsonl", tagged)
    assert rows == []
    assert ids(rejects) == ["shard-1.parquet", "good"]
    assert "can't be read" in rejects[1].reason
