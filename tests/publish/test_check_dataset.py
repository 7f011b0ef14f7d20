import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from built_conversations import LINES, built_row, flac, stereo, write_dataset

from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.verdict import verdict_of


def kinds(folder, level="error"):
    return [one.kind for one in check_folder(folder)[0] if one.level == level and one.kind != "few-hours-of-voice"]


def audio(pcm, rate=24000):
    return {"bytes": flac(pcm, rate), "path": "call.flac"}


def checked(tmp_path, **columns):
    return kinds(write_dataset(tmp_path, [built_row("fine"), built_row("call", **columns)]))


def test_a_fresh_dataset_has_no_findings_but_that_it_is_small(tmp_path):
    findings, facts = check_folder(write_dataset(tmp_path, [built_row("a")], [built_row("b")]))
    assert {finding.kind for finding in findings} == {"few-hours-of-voice", "unknown-speakers"}
    assert verdict_of(findings, facts["conversations"]).level == "good"
    assert (facts["kind"], facts["conversations"], facts["utterances"], facts["words"]) == ("work", 2, 8, 18)


def spoilt(**change):
    first, *others = built_row()["utterances"]
    return {"utterances": [first | change, *others]}


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"audio": audio(stereo(LINES, 6.0, 24000)[:, 0])}, ["not-stereo"]),
        ({"audio": {"bytes": b"fLaC", "path": "x.flac"}}, ["unreadable-audio"]),
        ({"audio": audio(stereo(LINES, 6.0, 24000) * np.array([0, 1], np.int16))}, ["silent-left"]),
        ({"duration": 6.02}, ["wrong-duration"]),
        ({"alignments": []}, ["no-words"]),
        (spoilt(text=" "), ["empty-text"]),
        (spoilt(end=0.5), ["bad-utterance"]),
        ({"sounds": [(5.2, 6.0), (5.5, 6.02)]}, ["bad-sound"]),
    ],
)
def test_each_fault_of_a_row_is_found(tmp_path, columns, found):
    assert checked(tmp_path, **columns) == found


def test_an_id_that_occurs_twice_over_shards(tmp_path):
    assert kinds(write_dataset(tmp_path, [built_row()], [built_row()])) == ["duplicate"]


def test_a_dataset_from_before_laughs_were_told_says_what_to_do(tmp_path):
    path = write_dataset(tmp_path, [built_row("a")]) / "dataset/shard-0.parquet"
    pq.write_table(pq.read_table(path).drop_columns("sounds"), path)
    [finding] = [one for one in check_folder(tmp_path)[0] if one.level == "error"]
    assert (finding.kind, "has no column sounds" in finding.what) == ("unreadable-shard", True)
    assert "again" in finding.remedy


def test_a_shard_that_is_damaged(tmp_path):
    write_dataset(tmp_path, [built_row("a")])
    (tmp_path / "dataset/shard-1.parquet").write_bytes(b"PAR1 and no more")
    assert kinds(tmp_path) == ["unreadable-shard"]


LINE = {"utterance_id": "a", "channel": "left", "start": 0.0, "end": 1.0, "text": "Yes."}


def test_a_folder_that_was_tagged_and_not_spoken_says_so(tmp_path):
    (tmp_path / "tagged").mkdir()
    (tmp_path / "transcript.jsonl").write_text(json.dumps(LINE) + "\n")
    record = {"counts": {"conversations": 2, "utterances": 5}, "hours": {"audio": 0.5, "speech": 0.25}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    findings, facts = check_folder(tmp_path)
    assert findings[0].kind == "not-spoken"
    assert findings[0].level == "advice"
    assert "run dailytalk speak on it" in findings[0].remedy
    assert {fact["side"] for fact in facts.pop("measures")} == {"left", "right", "both"}
    assert facts == {"kind": "work", "conversations": 2, "utterances": 5, "hours_of_audio": 0.5} | {
        "hours_of_speech": 0.25
    }


def test_a_dataset_in_which_nothing_was_finished_is_not_fit(tmp_path):
    write_dataset(tmp_path, [])
    assert kinds(tmp_path) == ["nothing-finished"]


def test_hours_are_told_by_the_name_of_the_voice_and_of_the_language(tmp_path):
    rows = [built_row("a", language="nl"), built_row("b", language="de"), built_row("c", language=None)]
    for row, voice in zip(rows, ("zoe", "bea", "anna"), strict=True):
        row["utterances"][0]["synthesis"]["voice"] = voice
    rows[0]["duration"] = 6.0
    facts = check_folder(write_dataset(tmp_path, rows))[1]
    assert list(facts["hours_of_voice"].items()) == [("anna", 0.005), ("bea", 0.0016667), ("zoe", 0.0016667)]
    assert list(facts["hours_of_language"].items()) == [("de", 0.0016667), ("nl", 0.0016667)]
