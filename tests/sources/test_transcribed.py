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
from dailytalk_contiguous.core.audio import HIGHEST_RATE, LOWEST_RATE
from dailytalk_contiguous.core.documents import LATEST
from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.sources.transcribed import TOLERANCE, refuse_outside, tagged_row, transcribed
from dailytalk_contiguous.stages.script import script_row

Line = dict[str, Any]
Row = dict[str, Any]

#: The fields of the older tool, and nothing else.
OLDER = ("segment_id", "audio_file", "channel", "start", "end", "duration", "vad", "features", "vad_bucket")
OLDER += ("prosody_bucket", "tag", "text_raw", "text", "tagged_text")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder of `dailytalk tag`: one recording of two conversations, one whole."""
    folder = tmp_path_factory.mktemp("work")
    save(folder / "in/long.wav", excerpt("weekend_trip", 0.0, 24.0))
    save(folder / "in/short.wav", excerpt("bicycle_repair", 0.0, 9.0))
    settings = tag_stages(profile="embedded", language="en", asr_model="tiny.en")
    run(folder / "in", folder / "out", settings, found={"max_conversation": 14.0})
    return folder / "out"


def read(
    work: Path, lines: list[Line] | str, tmp_path: Path, **where: Path | None
) -> tuple[list[Row], list[Reject]]:
    path = tmp_path / "edited.jsonl"
    text = lines if isinstance(lines, str) else "".join(json.dumps(line) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    rejects: list[Reject] = []
    chosen = {"tagged": work / "tagged", "recordings": None} | where
    return list(transcribed(path, chosen["tagged"], chosen["recordings"], rejects)), rejects


@pytest.fixture
def lines(work: Path) -> list[Line]:
    return read_lines(work / "transcript.jsonl")


def column(rows: list[Row], name: str) -> dict[str, Any]:
    """Values of a column by utterance id."""
    return {one: row[name][place] for row in rows for place, one in enumerate(row["utterance_id"])}


def test_a_transcript_that_nobody_edited_comes_back_as_it_was(
    work: Path, lines: list[Line], tmp_path: Path
) -> None:
    rows, rejects = read(work, lines, tmp_path)
    assert rejects == []
    assert [row["conversation_id"] for row in rows] == sorted({line["conversation_id"] for line in lines})
    assert list(column(rows, "text")) == [line["utterance_id"] for line in lines]
    for name in ("text", "text_raw", "tag", "rule", "kind", "speaker", "tagged_text"):
        assert list(column(rows, name).values()) == [line[name] for line in lines]
    assert list(column(rows, "rms").values()) == [line["features"]["rms"] for line in lines]
    assert list(column(rows, "valence_bucket").values()) == [line["vad_bucket"]["valence"] for line in lines]
    assert list(column(rows, "pitch_var_bucket").values()) == [
        line["prosody_bucket"]["pitch_var"] for line in lines
    ]
    assert all(run >= 0 for run in column(rows, "run").values())
    written = Dataset.from_list(rows, features=script_row())
    assert written.num_rows == len(rows)
    assert all(set(row) == set(script_row()) for row in rows)


def test_conversations_of_a_long_recording_are_in_their_own_seconds(
    work: Path, lines: list[Line], tmp_path: Path
) -> None:
    rows, _ = read(work, lines, tmp_path)
    later = [row for row in rows if row["offset"] > 0]
    assert later
    for row in later:
        own = [line for line in lines if line["conversation_id"] == row["conversation_id"]]
        for place, line in enumerate(own):
            assert row["start"][place] == pytest.approx(line["start"] - row["offset"])
            assert row["end"][place] == pytest.approx(line["end"] - row["offset"])
            for word, told in zip(row["words"][place], line["words"], strict=True):
                assert word["start"] == pytest.approx(told["start"] - row["offset"], abs=1e-6)
        assert 0 <= min(row["start"]) < max(row["end"]) <= row["duration"]


def test_what_people_change_is_taken_as_it_stands(work: Path, lines: list[Line], tmp_path: Path) -> None:
    one = lines[1]
    name = one["utterance_id"]
    edited = one | {
        "text": " Well, hello there! ",
        "tag": "sad",
        "start": one["start"] + 0.1,
        "end": one["end"] - 0.1,
    }
    before = read(work, lines, tmp_path)[0]
    rows, rejects = read(work, [lines[0], edited, *lines[2:]], tmp_path)
    assert rejects == []
    assert column(rows, "text")[name] == "Well, hello there!"
    assert column(rows, "tag")[name] == "sad"
    assert column(rows, "tagged_text")[name] == "(sad) Well, hello there!"  # made anew
    assert column(rows, "text_raw")[name] == one["text_raw"]
    assert column(rows, "start")[name] == pytest.approx(column(before, "start")[name] + 0.1)
    assert column(rows, "end")[name] == pytest.approx(column(before, "end")[name] - 0.1)
    assert rows[0]["input_digest"] != before[0]["input_digest"]
    assert [row["input_digest"] for row in rows[1:]] == [row["input_digest"] for row in before[1:]]


def test_moved_recording_is_the_same_input(work: Path, lines: list[Line], tmp_path: Path) -> None:
    before, _ = read(work, lines, tmp_path)
    there = work.parent / "in"
    there.rename(work.parent / "moved")
    try:
        rows, rejects = read(work, lines, tmp_path, recordings=work.parent / "moved")
    finally:
        (work.parent / "moved").rename(there)
    assert rejects == []
    assert [row["input_digest"] for row in rows] == [row["input_digest"] for row in before]
    assert all("/moved/" in row["audio"]["path"] for row in rows)


def test_every_field_that_people_change_is_taken_and_what_they_empty_has_its_default(
    work: Path, lines: list[Line], tmp_path: Path
) -> None:
    own = [line for line in lines if line["conversation_id"] == "short"]
    told: Line = {
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
    changed = ["speaker", "kind", "text_raw", "rule", "language", "confidence", "context_seconds", "models"]
    changed += ["valence", "arousal", "dominance", "valence_bucket", "arousal_bucket", "dominance_bucket"]

    def first(line: Line) -> Row:
        rows, rejects = read(work, [line, *own[1:]], tmp_path)
        assert rejects == []
        return {name: column(rows, name)[own[0]["utterance_id"]] for name in (*changed, "recogniser", "words")}

    assert first(own[0] | told) == {
        **{name: told[name] for name in changed if name in told},
        **told["vad"],
        "valence_bucket": "low",
        "arousal_bucket": "high",
        "dominance_bucket": None,
        "recogniser": "ears",
        "words": [word | {"fitted": False, "filler": False} for word in told["words"]],
    }
    assert first(own[0] | {"text": "Hello."} | dict.fromkeys(told)) == {
        **dict.fromkeys(changed),
        "speaker": f"short/{own[0]['channel']}",
        "kind": "speech",
        "text_raw": "Hello.",
        "rule": None,
        "language": "en",  # of the other lines
        "models": {"recogniser": None, "affect": None},
        **dict.fromkeys(["valence_bucket", "arousal_bucket", "dominance_bucket"]),
        "recogniser": "",
        "words": [],
    }


@pytest.mark.parametrize(
    ("text", "tag", "expected"),
    [("Hi", "", "Hi"), ("", "sad", None), ("  ", "sad", None), ("Hi", "sad", "(sad) Hi")],
)
def test_tagged_text_follows_text_and_tag(
    work: Path, lines: list[Line], tmp_path: Path, text: str, tag: str, expected: str | None
) -> None:
    rows, _ = read(work, [lines[0] | {"text": text, "tag": tag}, *lines[1:]], tmp_path)
    assert rows[0]["tagged_text"][0] == expected


def test_a_deleted_line_is_gone(work: Path, lines: list[Line], tmp_path: Path) -> None:
    rows, rejects = read(work, lines[:1] + lines[2:], tmp_path)
    assert rejects == []
    assert lines[1]["utterance_id"] not in column(rows, "text")
    assert len(column(rows, "text")) == len(lines) - 1


def test_a_conversation_whose_lines_are_all_deleted_is_left_out(
    work: Path, lines: list[Line], tmp_path: Path
) -> None:
    rows, rejects = read(work, [line for line in lines if line["conversation_id"] != "short"], tmp_path)
    assert "short" not in {row["conversation_id"] for row in rows}
    assert rejects == []


def test_an_added_line_needs_few_fields_and_gets_an_id_and_a_run_of_its_own(
    work: Path, lines: list[Line], tmp_path: Path
) -> None:
    own = [line for line in lines if line["conversation_id"] == "short"]
    new = {"audio_file": "short.wav", "channel": "left", "start": 0.01, "end": 0.3, "text": "Um.", "tag": ""}
    rows, rejects = read(work, [new, new | {"start": 0.31, "end": 0.5}, *own], tmp_path)
    assert rejects == []
    ids = rows[0]["utterance_id"]
    assert len(set(ids)) == len(ids) == len(own) + 2
    added = [one for one in ids if one not in {line["utterance_id"] for line in own}]
    assert all(one.startswith("short/left/") for one in added)
    runs = [rows[0]["run"][ids.index(one)] for one in ids]
    for one in added:
        assert runs.count(rows[0]["run"][ids.index(one)]) == 1
    assert rows[0]["language"][ids.index(added[0])] == "en"  # as all other lines say
    assert {rows[0]["speaker"][ids.index(one)] for one in added} == {"short/left"}
    Dataset.from_list(rows, features=script_row())


def test_an_added_line_belongs_to_the_part_of_its_recording_that_it_lies_in(
    work: Path, lines: list[Line], tmp_path: Path
) -> None:
    new = {"audio_file": "long.wav", "channel": "right", "start": 20.0, "end": 20.5, "text": "Um.", "tag": ""}
    rows, rejects = read(work, [*lines, new], tmp_path)
    assert rejects == []
    (row,) = [row for row in rows if "Um." in row["text"]]
    assert row["offset"] > 0
    assert row["start"][row["text"].index("Um.")] == pytest.approx(20.0 - row["offset"])


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
    text = [json.dumps(line) for line in lines]
    text[2] = json.dumps(spoil(lines[2]))
    rows, rejects = read(work, "\n".join(["", *text]) + "\n", tmp_path)  # an empty first line counts
    (reject,) = rejects
    assert "line 4" in reject.reason
    assert reason in reject.reason
    assert reject.remedy
    assert sorted(column(rows, "text")) == sorted(line["utterance_id"] for line in lines if line is not lines[2])


def test_a_line_that_is_no_json_is_named_by_its_number(work: Path, lines: list[Line], tmp_path: Path) -> None:
    text = [json.dumps(line) for line in lines]
    text[1] = text[1][:-3]
    rows, rejects = read(work, "\n".join(text), tmp_path)
    assert [reject.id for reject in rejects] == ["edited.jsonl:2"]
    assert len(column(rows, "text")) == len(lines) - 1


def test_a_copied_line_must_not_keep_its_id(work: Path, lines: list[Line], tmp_path: Path) -> None:
    copy = lines[0] | {"start": lines[0]["start"] + 0.01, "text": "Again."}
    rows, rejects = read(work, [*lines, copy], tmp_path)
    (reject,) = rejects
    assert f"line {len(lines) + 1}" in reject.reason
    assert "line 1" in reject.reason.partition(lines[0]["utterance_id"])[2]
    assert column(rows, "text")[lines[0]["utterance_id"]] == lines[0]["text"].strip()


def test_what_editors_do_to_files_does_not_matter(work: Path, lines: list[Line], tmp_path: Path) -> None:
    text = "\r\n".join(json.dumps(line) for line in lines)
    path = tmp_path / "windows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    rejects: list[Reject] = []
    rows = list(transcribed(path, work / "tagged", None, rejects))
    assert (len(column(rows, "text")), rejects) == (len(lines), [])


@pytest.mark.parametrize(("past", "taken"), [(TOLERANCE, True), (TOLERANCE + 0.01, False)])
def test_line_may_begin_and_end_50_ms_outside_its_conversation(
    work: Path, lines: list[Line], tmp_path: Path, past: float, taken: bool
) -> None:
    part = next(row for row in read(work, lines, tmp_path)[0] if row["offset"] > 0)
    own = [line for line in lines if line["conversation_id"] == part["conversation_id"]]
    whole = part["offset"] + part["duration"]
    for edited in ({"start": part["offset"] - past, "end": whole}, {"start": whole - 1.0, "end": whole + past}):
        rows, rejects = read(work, [own[0] | edited, *own[1:]], tmp_path)
        outside = f"{part['conversation_id']}@{edited['start']}"
        assert [reject.id for reject in rejects] == ([] if taken else [outside])
        assert (own[0]["utterance_id"] in column(rows, "start")) == taken


def test_a_conversation_of_which_nothing_is_left_is_rejected(
    work: Path, lines: list[Line], tmp_path: Path
) -> None:
    own = [line | {"start": 500.0, "end": 501.0} for line in lines if line["conversation_id"] == "short"]
    rows, rejects = read(work, own, tmp_path)
    assert rows == []
    assert len(rejects) == len(own) + 1
    assert rejects[-1].id == "short"


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Line]]:
    """A folder of recordings, and lines of the older tool about the left channel of one."""
    folder = tmp_path_factory.mktemp("older")
    save(folder / "calls/burnt.wav", excerpt("burnt_dinner", 0.0, 20.0))
    said = [one for one in reference("burnt_dinner") if one["channel"] == "left" and one["end"] < 20]
    found = []
    for number, one in enumerate(said):
        line = {"segment_id": number, "audio_file": "burnt.wav", "channel": "left"}
        line |= {"start": one["start"], "end": one["end"], "duration": one["end"] - one["start"]}
        line |= {"vad": {"valence": 0.5, "arousal": 0.5, "dominance": float("nan")}}
        line |= {"features": {"rms": 0.1, "f0_mean": None}, "vad_bucket": {"valence": "MID"}, "prosody_bucket": {}}
        line |= {"tag": "curious", "text_raw": one["text"], "text": one["text"], "tagged_text": "(curious) x"}
        assert tuple(line) == OLDER
        found.append(line)
    return folder / "calls", found


def test_lines_of_the_older_tool_are_enough_with_a_folder_of_recordings(
    older: tuple[Path, list[Line]], tmp_path: Path
) -> None:
    recordings, told = older
    rows, rejects = read(recordings, told, tmp_path, tagged=None, recordings=recordings)
    assert rejects == []
    (row,) = rows
    assert (row["conversation_id"], row["recording_id"], row["offset"]) == ("burnt", "burnt", 0.0)
    assert (row["sample_rate"], row["channels"], row["duration"]) == (16000, 2, 20.0)
    left = [place for place, channel in enumerate(row["source_channel"]) if channel == "left"]
    assert [row["text"][place] for place in left] == [line["text"] for line in told]
    assert [row["start"][place] for place in left] == [line["start"] for line in told]
    assert {row["tag"][place] for place in left} == {"curious"}
    Dataset.from_list(rows, features=script_row())


def test_the_other_side_of_an_older_transcript_is_found_without_text(
    older: tuple[Path, list[Line]], tmp_path: Path
) -> None:
    recordings, told = older
    (row,), _ = read(recordings, told, tmp_path, tagged=None, recordings=recordings)
    right = [place for place, channel in enumerate(row["source_channel"]) if channel == "right"]
    truth = [one for one in reference("burnt_dinner") if one["channel"] == "right" and one["end"] < 20]
    assert right
    for one in truth:
        assert any(row["start"][p] <= one["start"] + 0.15 and row["end"][p] >= one["end"] - 0.2 for p in right)
    for place in right:
        assert (row["text"][place], row["tag"][place], row["tagged_text"][place]) == ("", "", None)
        assert row["words"][place] == []
    assert row["start"] == sorted(row["start"])
    assert len(set(row["utterance_id"])) == len(row["utterance_id"])


def test_a_recording_that_is_missing_or_no_recording_is_rejected(
    older: tuple[Path, list[Line]], tmp_path: Path
) -> None:
    recordings, told = older
    (tmp_path / "calls").mkdir()
    os.link(recordings / "burnt.wav", tmp_path / "calls/burnt.wav")
    (tmp_path / "calls/broken.wav").write_bytes(b"RIFF")
    save(tmp_path / "calls/mono.wav", recording((Said("left", 0.1, 1.0),), 2.0, 16000)[:, :1])
    others = [told[0] | {"audio_file": name} for name in ("absent.wav", "broken.wav", "mono.wav")]
    rows, rejects = read(recordings, [*others, *told], tmp_path, tagged=None, recordings=tmp_path / "calls")
    assert [row["conversation_id"] for row in rows] == ["burnt"]
    assert [reject.id for reject in rejects] == ["absent", "broken", "mono"]
    assert "'absent.wav'" in rejects[0].reason
    assert "no channel for each of two speakers" in rejects[2].reason


def test_a_recording_that_was_exported_anew_is_rejected_and_the_rest_goes_on(tmp_path: Path) -> None:
    first = save(tmp_path / "in/first.wav", excerpt("bicycle_repair", 0.0, 6.0))
    second = save(tmp_path / "in/second.wav", excerpt("weekend_trip", 0.0, 6.0))
    settings = tag_stages(profile="embedded", language="en", asr_model="tiny.en")
    run(tmp_path / "in", tmp_path / "out", settings)
    shutil.copytree(tmp_path / "in", tmp_path / "kept")
    told = read_lines(tmp_path / "out/transcript.jsonl")
    os.utime(first, (0, 0))  # a recording of another date is the same
    save(second, 0.5 * excerpt("weekend_trip", 0.0, 6.0))  # as long as before, and softer
    rows, rejects = read(tmp_path / "out", told, tmp_path)
    assert [row["conversation_id"] for row in rows] == ["first"]
    (reject,) = rejects
    assert (reject.id, reject.stage) == ("second", "transcript")
    assert "second.wav' is not the one that was tagged" in reject.reason
    assert "run dailytalk tag again" in reject.remedy
    rows, rejects = read(tmp_path / "out", told, tmp_path, recordings=tmp_path / "kept")
    assert ([row["conversation_id"] for row in rows], rejects) == (["first", "second"], [])
    assert rows[1]["audio"]["path"] == str(tmp_path / "kept/second.wav")


def test_the_language_of_a_conversation_is_that_of_most_lines(
    work: Path, lines: list[Line], tmp_path: Path
) -> None:
    own = [line for line in lines if line["conversation_id"] == "short"]
    languages = ["de", *["fr"] * (len(own) - 1)]
    edited = [line | {"language": one} for line, one in zip(own, languages, strict=True)]
    rows, _ = read(work, edited, tmp_path)
    assert rows[0]["main_language"] == "fr"
    assert rows[0]["language"][0] == "de"


def test_conversation_in_which_nobody_speaks_is_a_reject_and_never_just_gone(tmp_path: Path) -> None:
    save(tmp_path / "in/talk.wav", excerpt())
    save(tmp_path / "in/silent.wav", np.zeros((16000 * 3, 2), np.float32))
    settings = tag_stages(profile="embedded", language="en", asr_model="tiny.en")
    run(tmp_path / "in", tmp_path / "out", settings)
    rejects: list[Reject] = []
    rows = list(transcribed(tmp_path / "out/transcript.jsonl", tmp_path / "out/tagged", None, rejects))
    assert [row["conversation_id"] for row in rows] == ["talk"]
    assert [(one.id, one.reason) for one in rejects] == [
        ("silent", "nobody speaks in it, so there is nothing to say")
    ]


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
    values = table.column(column).to_pylist()
    place = table.column("conversation_id").to_pylist().index("bad")
    values = [value if kind or number == place else before for number, before in enumerate(values)]
    field = table.schema.field(column) if kind is None else pa.field(column, kind)
    changed = table.set_column(table.column_names.index(column), field, pa.array(values, field.type))
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)
    rejects: list[Reject] = []
    rows = list(transcribed(work / "transcript.jsonl", work / "tagged", None, rejects))
    assert [row["conversation_id"] for row in rows] == ([] if kind else ["good"])
    assert [reject.id for reject in rejects] == (["good", "bad"] if kind else ["bad"])
    assert all("tag again" in reject.remedy for reject in rejects)


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
    (work / "tagged/shard-1.parquet").write_bytes(b"no parquet")
    rejects: list[Reject] = []
    rows = list(transcribed(work / "transcript.jsonl", work / "tagged", None, rejects))
    assert [row["conversation_id"] for row in rows] == ["good"]
    assert [(reject.id, reject.remedy) for reject in rejects] == [("shard-1.parquet", "run dailytalk tag again")]
    path = work / "tagged/shard-0.parquet"
    data = path.read_bytes()
    path.write_bytes(data[:4] + bytes(40) + data[44:])
    rejects.clear()
    assert list(transcribed(work / "transcript.jsonl", work / "tagged", None, rejects)) == []
    assert [reject.id for reject in rejects] == ["shard-1.parquet", "good"]
    assert "can't be read" in rejects[1].reason
