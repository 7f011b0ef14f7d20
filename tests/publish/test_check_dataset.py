import io
import json
import math
import warnings

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from built_conversations import LINES, built_row, flac, stereo, write_dataset

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.checking import (
    Loudness,
    check_folder,
    measure_loudness,
)
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


def test_hours_are_those_of_all_conversations_and_of_each_voice_and_language(tmp_path):
    rows = [built_row(name, language="en") for name in "abc"]
    facts = check_folder(write_dataset(tmp_path, rows))[1]
    assert facts["hours"] == 0.005
    assert set(facts["hours_of_voice"].values()) == set(facts["hours_of_language"].values()) == {0.005}


def test_a_folder_of_shards_is_a_dataset(tmp_path):
    write_dataset(tmp_path, [built_row()])
    assert check_folder(tmp_path / "dataset")[1]["kind"] == "dataset"


def test_mono(tmp_path):
    assert checked(tmp_path, audio=audio(stereo(LINES, 6.0, 24000)[:, 0])) == ["not-stereo"]


def test_audio_that_is_none(tmp_path):
    assert checked(tmp_path, audio={"bytes": b"fLaC", "path": "x.flac"}) == ["unreadable-audio"]


def test_a_rate_that_the_column_does_not_say(tmp_path):
    assert checked(tmp_path, sample_rate=48000) == ["wrong-rate"]


def test_a_duration_that_the_audio_does_not_have(tmp_path):
    assert checked(tmp_path, duration=6.02) == ["wrong-duration"]


def test_duration_may_be_ten_milliseconds_off_and_a_laugh_may_end_as_much_later(tmp_path):
    short = stereo([("left", 0.0, 0.02, ""), ("right", 0.0, 0.02, "")], 0.02, 24000)
    word = built_row()["alignments"][0] | {"start": 0.0, "end": 0.01}
    columns = {"audio": audio(short), "utterances": [], "alignments": [word]}
    assert checked(tmp_path / "a", duration=0.01, sounds=[(0.0, 0.02)], **columns) == []
    assert checked(tmp_path / "b", duration=0.009, sounds=[(0.0, 0.02)], **columns) == [
        "wrong-duration",
        "bad-sound",
    ]
    assert checked(tmp_path / "c", duration=0.02, sounds=[(0.02, 0.02)], **columns) == ["bad-sound"]


def test_a_silent_left_channel(tmp_path):
    pcm = stereo(LINES, 6.0, 24000) * np.array([0, 1], np.int16)
    assert checked(tmp_path, audio=audio(pcm)) == ["silent-left"]


def test_no_alignments(tmp_path):
    assert checked(tmp_path, alignments=[]) == ["no-words"]


def test_unsorted_alignments(tmp_path):
    assert checked(tmp_path, alignments=built_row()["alignments"][::-1]) == ["unsorted-words"]


def test_an_id_that_occurs_twice_over_shards(tmp_path):
    assert kinds(write_dataset(tmp_path, [built_row()], [built_row()])) == ["duplicate"]


@pytest.mark.parametrize(
    ("change", "kind"),
    [({"text": " "}, "empty-text"), ({"end": 0.5}, "bad-utterance"), ({"utterance_id": None}, "duplicate")],
)
def test_an_utterance_that_cannot_be(tmp_path, change, kind):
    utterances = built_row()["utterances"]
    utterances[0] |= change
    if change.get("utterance_id", "") is None:
        utterances[0]["utterance_id"] = utterances[1]["utterance_id"]
    assert checked(tmp_path, utterances=utterances) == [kind]


@pytest.mark.parametrize(("start", "end"), [(5.5, 6.02), (-0.1, 0.2), (5.2, 5.2), (None, None)])
def test_a_laugh_outside_the_audio_or_without_length(tmp_path, start, end):
    assert checked(tmp_path, sounds=[(5.2, 6.0), (start, end)]) == ["bad-sound"]


def test_a_laugh_at_the_very_end_is_fine(tmp_path):
    assert checked(tmp_path, sounds=[(5.2, 6.0)]) == []


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


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("no json", "bad-line"),
        (json.dumps(LINE | {"channel": "middle"}), "bad-line"),
        (json.dumps(LINE | {"end": 0.0}), "bad-line"),
        (json.dumps(LINE | {"utterance_id": "b", "text": ""}), "empty-text"),
        (
            json.dumps(LINE | {"utterance_id": "b", "words": [{"word": "a", "start": 0, "end": math.nan}]}),
            "bad-word",
        ),
        (json.dumps(LINE | {"utterance_id": "b", "words": [{"word": "a", "start": 0.5, "end": 0.2}]}), "bad-word"),
        (json.dumps(LINE | {"utterance_id": "b", "words": ["a"]}), "bad-word"),
        (json.dumps(LINE), "duplicate"),
    ],
)
def test_a_transcript_line_is_named_by_its_number(tmp_path, line, kind):
    (tmp_path / "transcript.jsonl").write_text(json.dumps(LINE) + "\n\n" + line + "\n")
    [finding] = check_folder(tmp_path)[0]
    assert (finding.kind, finding.file) == (kind, "transcript.jsonl:3")


def test_a_folder_that_was_tagged_and_not_spoken_says_so(tmp_path):
    (tmp_path / "tagged").mkdir()
    (tmp_path / "transcript.jsonl").write_text(json.dumps(LINE) + "\n")
    record = {"counts": {"conversations": 2, "utterances": 5}, "hours": {"audio": 0.5, "speech": 0.25}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    findings, facts = check_folder(tmp_path)
    assert findings[0].kind == "not-spoken"
    assert (findings[0].level, findings[0].remedy) == ("advice", "run dailytalk speak on it")
    assert facts == {"kind": "work", "conversations": 2, "utterances": 5, "hours_of_audio": 0.5} | {
        "hours_of_speech": 0.25
    }


def test_a_dataset_in_which_nothing_was_finished_is_not_fit(tmp_path):
    write_dataset(tmp_path, [])
    assert kinds(tmp_path) == ["nothing-finished"]


def test_hours_of_voice_name_the_engine_where_it_has_one_voice(tmp_path):
    row = built_row("a")
    for utterance in row["utterances"]:
        if utterance["synthesis"]:
            utterance["synthesis"] |= {"voice": "", "engine": "espeak"}
    assert list(check_folder(write_dataset(tmp_path, [row]))[1]["hours_of_voice"]) == ["espeak"]


def test_a_recording_of_a_work_folder_that_is_damaged(tmp_path):
    write_dataset(tmp_path, [built_row("a")])
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio/a_edited.wav").write_bytes(b"RIFF")
    assert kinds(tmp_path) == ["unreadable-audio"]


def levels(dbfs, rate=100):
    return Loudness(rate, 1, len(dbfs) * 0.02, np.array(dbfs, np.float32)[:, None], 0.02)


@pytest.mark.parametrize(
    ("start", "end", "heard"),
    [(0.05, 0.13, False), (0.05, 0.15, True), (0.19, 0.2, True), (0.23, 0.3, True), (0.25, 0.3, False)],
)
def test_word_is_heard_where_a_frame_beside_it_is_loud(start, end, heard):
    """Of frames of 20 ms those from 0.16 to 0.22 s are loud."""
    assert levels([-90.0] * 8 + [-10.0] * 3 + [-90.0] * 9).has_energy(start, end, 0) == heard


def test_word_at_the_very_beginning_is_heard_by_its_first_frame():
    assert levels([-10.0] + [-90.0] * 9).has_energy(0.0, 0.02, 0)
    assert not levels([-90.0] * 9 + [-10.0]).has_energy(0.0, 0.02, 0)


@pytest.mark.parametrize(
    ("loudest", "word", "heard"),
    [(-10.0, -50.0, True), (-10.0, -50.1, False), (-30.0, -60.0, True), (-30.0, -60.1, False)],
)
def test_word_40_db_below_the_loudest_or_as_quiet_as_silence_is_not_heard(loudest, word, heard):
    assert levels([loudest] + [-90.0] * 5 + [word] * 3).has_energy(0.14, 0.16, 0) == heard


def test_channel_is_silent_below_minus_60_dbfs_or_without_any_audio():
    assert not levels([-60.0]).is_silent(0)
    assert levels([-60.1, -90.0]).is_silent(0)
    assert levels([]).is_silent(0)
    assert not levels([]).has_energy(0.0, 1.0, 0)


@pytest.mark.parametrize(("seconds", "rate"), [(25.01, 8000), (0.015, 24000)])
def test_levels_are_those_of_each_20_ms_of_a_file_of_any_length(seconds, rate):
    pcm = stereo([("right", 0.0, seconds, "")], seconds, rate)
    found = measure_loudness(audio(pcm, rate))
    assert (found.sample_rate, found.channels, found.frame) == (rate, 2, 0.02)
    assert found.seconds == len(pcm) / rate
    assert len(found.dbfs) == math.ceil(seconds / 0.02)
    assert found.loudest(1) == pytest.approx(20 * math.log10(0.2 / 2**0.5), abs=1.5)
    assert found.loudest(0) < -60


def test_levels_of_a_long_file_are_those_of_frames_that_follow_each_other():
    file = io.BytesIO()
    soundfile.write(file, np.full(61 * 11025, 0.5), 11025, format="WAV")
    found = measure_loudness({"bytes": file.getvalue(), "path": None})
    assert (len(found.dbfs), found.frame) == (math.ceil(61 * 11025 / 220), 220 / 11025)
    assert found.dbfs[:-1, 0] == pytest.approx(20 * math.log10(0.5), abs=0.01)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"utterance_id": 7}, "utterance_id is 7, no text"),
        ({"words": "none"}, "its words are 'none', no list"),
        ({"words": [{"word": "a", "start": -0.1, "end": 0.2}]}, "its word 'a' has the start -0.1 and the end 0.2"),
        ({"words": [{"word": "a", "start": 0.1, "end": None}]}, "its word 'a' has the start 0.1 and the end None"),
        ({"words": [{"start": 0.1, "end": 0.2}]}, "one of its words is {'start': 0.1, 'end': 0.2}, not a text"),
        ({"start": None}, "start is None, not a number of seconds from 0"),
        ({"start": 1.0}, "it ends at 1.0 s, not after its start at 1.0 s"),
        ({"channel": "up"}, "channel is 'up', not left, right or mix"),
        ({"text": None}, "its text is empty"),
    ],
)
def test_bad_line_of_a_transcript_says_what_is_wrong(tmp_path, change, what):
    (tmp_path / "transcript.jsonl").write_text(json.dumps(LINE | change) + "\n")
    [finding] = check_folder(tmp_path)[0]
    assert finding.what.startswith(what)
    assert (finding.level, finding.file) == ("error", "transcript.jsonl:1")


@pytest.mark.parametrize(
    "change",
    [
        {"channel": "mix"},
        {"status": "dropped", "start": None, "end": None, "text": ""},
        {"text": "", "text_reason": "nobody speaks"},
        {"text": "", "status": "kept"},
        {"words": [{"word": "a", "start": 0, "end": 0}]},
        {"words": None, "utterance_id": None},
    ],
)
def test_line_of_a_transcript_that_is_fine_has_no_finding(tmp_path, change):
    lines = [LINE | change, LINE | change | {"utterance_id": None}, LINE | {"utterance_id": "z"}]
    (tmp_path / "transcript_shifted.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert check_folder(tmp_path)[0] == []


def test_corpus_that_was_measured_alone_says_how_to_finish_it(tmp_path):
    (tmp_path / "measured").mkdir()
    with pytest.raises(DailytalkError, match="holds a corpus that was measured and not finished"):
        check_folder(tmp_path)


def test_recording_of_a_work_folder_that_is_mono(tmp_path):
    write_dataset(tmp_path, [built_row("a")])
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio/a.wav").write_bytes(b"")
    soundfile.write(tmp_path / "audio/a.wav", stereo(LINES, 6.0, 24000)[:, 0], 24000)
    [finding] = [one for one in check_folder(tmp_path)[0] if one.level == "error"]
    assert (finding.kind, finding.file, finding.what) == ("not-stereo", "audio/a.wav", "it has 1 channel, not 2")


def test_hours_are_told_by_the_name_of_the_voice_and_of_the_language(tmp_path):
    rows = [built_row("a", language="nl"), built_row("b", language="de"), built_row("c", language=None)]
    for row, voice in zip(rows, ("zoe", "bea", "anna"), strict=True):
        row["utterances"][0]["synthesis"]["voice"] = voice
    rows[0]["duration"] = 6.0
    facts = check_folder(write_dataset(tmp_path, rows))[1]
    assert list(facts["hours_of_voice"].items()) == [("anna", 0.005), ("bea", 0.0017), ("zoe", 0.0017)]
    assert list(facts["hours_of_language"].items()) == [("de", 0.0017), ("nl", 0.0017)]


def test_digital_silence_is_measured_without_a_warning():
    file = io.BytesIO()
    soundfile.write(file, np.zeros(800), 8000, format="WAV")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measure_loudness({"bytes": file.getvalue(), "path": None})
    assert (found.loudest(0), found.is_silent(0)) == (-np.inf, True)
