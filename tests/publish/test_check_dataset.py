import io
import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from built_conversations import LINES, built_row, flac, stereo, write_dataset

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.checks.findings import Loudness, measure_loudness
from dailytalk_contiguous.publish.checks.verdict import verdict_of


def kinds(folder, level="error"):
    findings, _ = check_folder(folder)
    return [finding.kind for finding in findings if finding.level == level]


def audio(pcm, rate=24000):
    return {"bytes": flac(pcm, rate), "path": "call.flac"}


def checked(tmp_path, **columns):
    rows = [built_row("fine"), built_row("call", **columns)]
    return kinds(write_dataset(tmp_path, rows))


def test_a_fresh_dataset_has_only_notes_on_what_is_not_known(tmp_path):
    folder = write_dataset(tmp_path, [built_row("a")], [built_row("b")])
    findings, facts = check_folder(folder)
    assert {finding.kind for finding in findings} == {"unknown-licence", "unknown-speakers"}
    assert verdict_of(findings, facts["conversations"]).level == "good"
    assert facts["kind"] == "work"
    assert facts["conversations"] == 2
    assert facts["utterances"] == 8
    assert facts["words"] == 18


def spoilt(**change):
    first, *others = built_row()["utterances"]
    return {"utterances": [first | change, *others]}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"audio": audio(stereo(LINES, 6.0, 24000)[:, 0])}, ["not-stereo"]),
        ({"audio": {"bytes": b"fLaC", "path": "x.flac"}}, ["unreadable-audio"]),
        ({"audio": audio(stereo(LINES, 6.0, 24000) * np.array([0, 1], np.int16))}, ["silent-left"]),
        ({"sample_rate": 48000}, ["wrong-rate"]),
        ({"sample_rate": 4000, "audio": audio(stereo(LINES, 6.0, 4000), 4000)}, ["wrong-rate"]),
        ({"duration": 6.02}, ["wrong-duration"]),
        ({"alignments": []}, ["no-words"]),
        ({"alignments": built_row()["alignments"][::-1]}, ["unsorted-words"]),
        (spoilt(text=" "), ["empty-text"]),
        (spoilt(end=0.5), ["bad-utterance"]),
        (spoilt(utterance_id="call/right/0001"), ["duplicate"]),
        ({"sounds": [(5.2, 6.0)]}, []),
        ({"sounds": [(5.2, 6.0), (5.5, 6.02)]}, ["bad-sound"]),
        ({"sounds": [(5.2, 5.2)]}, ["bad-sound"]),
        ({"sounds": [(None, None)]}, ["bad-sound"]),
    ],
)
def test_each_fault_of_a_row_is_found(tmp_path, columns, expected):
    assert checked(tmp_path, **columns) == expected


def test_sound_of_days_is_a_finding_and_is_not_decoded(tmp_path):
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 8000, 2, "PCM_16", format="FLAC") as sound:
        hour = np.zeros((8000 * 3600, 2), np.int16)
        for _ in range(11):
            sound.write(hour)
    hours = {"audio": {"bytes": file.getvalue(), "path": None}, "duration": 39600.0, "sample_rate": 8000}
    assert checked(tmp_path, **hours) == ["unreadable-audio"]


def test_utterances_without_an_id_are_a_finding(tmp_path):
    nameless = built_row()["utterances"]
    for line in nameless:
        line["utterance_id"] = None
    assert "duplicate" in checked(tmp_path, utterances=nameless)


def test_duration_may_be_ten_milliseconds_off_and_a_laugh_may_end_as_much_later(tmp_path):
    lines = [("left", 0.0, 0.02, ""), ("right", 0.0, 0.02, "")]
    short = stereo(lines, 0.02, 24000)
    word = built_row()["alignments"][0] | {"start": 0.0, "end": 0.01}
    columns = {"audio": audio(short), "utterances": [], "alignments": [word]}
    early = {"duration": 0.01, "sounds": [(0.0, 0.02)]}
    assert checked(tmp_path / "a", **early, **columns) == []
    earlier = {"duration": 0.009, "sounds": [(0.0, 0.02)]}
    assert checked(tmp_path / "b", **earlier, **columns) == ["wrong-duration", "bad-sound"]
    empty = {"duration": 0.02, "sounds": [(0.02, 0.02)]}
    assert checked(tmp_path / "c", **empty, **columns) == ["bad-sound"]


def test_remedy_of_an_id_that_occurs_twice_over_shards_names_the_second_shard(tmp_path):
    folder = write_dataset(tmp_path, [built_row()], [built_row()])
    findings, _ = check_folder(folder)
    [duplicate] = [finding for finding in findings if finding.kind == "duplicate"]
    assert duplicate.sentence == "call: this conversation occurs twice"
    assert "dataset/shard-1.parquet" in duplicate.remedy


def test_finding_on_a_conversation_has_its_id_and_not_the_name_of_its_shard(tmp_path):
    folder = write_dataset(tmp_path, [built_row("other"), built_row("call", duration=9.0)])
    findings, _ = check_folder(folder)
    [finding] = [finding for finding in findings if finding.kind == "wrong-duration"]
    assert finding.sentence.startswith("call: the column says 9.000 s")


def test_a_dataset_from_before_laughs_were_told_says_what_to_do(tmp_path):
    path = write_dataset(tmp_path, [built_row("a")]) / "dataset/shard-0.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns("sounds"), path)
    findings, _ = check_folder(tmp_path)
    [finding] = [finding for finding in findings if finding.level == "error"]
    assert finding.kind == "unreadable-shard"
    assert "has no column sounds" in finding.problem
    assert "again" in finding.remedy


def test_a_shard_that_is_damaged(tmp_path):
    write_dataset(tmp_path, [built_row("a")])
    (tmp_path / "dataset/shard-1.parquet").write_bytes(b"PAR1 and no more")
    assert kinds(tmp_path) == ["unreadable-shard"]


LINE = {"utterance_id": "a", "channel": "left", "start": 0.0, "end": 1.0, "text": "Yes."}


def test_a_folder_that_was_tagged_and_not_spoken_says_so(tmp_path):
    (tmp_path / "tagged").mkdir()
    (tmp_path / "transcript.jsonl").write_text(json.dumps(LINE) + "\n")
    counts = {"conversations": 2, "utterances": 5}
    record = {"counts": counts, "hours": {"audio": 0.5, "speech": 0.25}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    findings, facts = check_folder(tmp_path)
    assert findings[0].kind == "not-spoken"
    assert findings[0].level == "advice"
    assert "run dailytalk speak on it" in findings[0].remedy
    assert facts == {
        "kind": "work",
        "conversations": 1,  # what the transcript has now: people may have deleted the other lines
        "utterances": 1,
        "hours_of_audio": 0.5,
        "hours_of_speech": pytest.approx(1 / 3600, abs=1e-5),
    }


def test_a_dataset_in_which_nothing_was_finished_is_not_fit(tmp_path):
    write_dataset(tmp_path, [])
    assert kinds(tmp_path) == ["nothing-finished"]


def test_hours_of_voice_name_the_engine_where_it_has_one_voice(tmp_path):
    row = built_row("a")
    for utterance in row["utterances"]:
        synthesis = utterance["synthesis"]
        if synthesis:
            synthesis["voice"] = ""
            synthesis["engine"] = "espeak"
    _, facts = check_folder(write_dataset(tmp_path, [row]))
    assert list(facts["hours_of_voice"]) == ["espeak"]


def levels(dbfs, rate=100):
    """The loudness of one channel whose frames of 20 ms have these levels."""
    channel = np.array(dbfs, np.float32)[:, None]
    return Loudness(rate, 1, len(dbfs) * 0.02, channel, 0.02)


@pytest.mark.parametrize(
    ("start", "end", "heard"),
    [(0.05, 0.13, False), (0.05, 0.15, True), (0.19, 0.2, True), (0.23, 0.3, True), (0.25, 0.3, False)],
)
def test_word_is_heard_where_a_frame_beside_it_is_loud(start, end, heard):
    """Of frames of 20 ms those from 0.16 to 0.22 s are loud."""
    dbfs = [-90.0] * 8 + [-10.0] * 3 + [-90.0] * 9
    loudness = levels(dbfs)
    assert loudness.has_energy(start, end, 0) == heard


@pytest.mark.parametrize(
    ("loudest", "word", "heard"),
    [(-10.0, -50.0, True), (-10.0, -50.1, False), (-30.0, -60.0, True), (-30.0, -60.1, False)],
)
def test_word_40_db_below_the_loudest_or_as_quiet_as_silence_is_not_heard(loudest, word, heard):
    dbfs = [loudest] + [-90.0] * 5 + [word] * 3
    loudness = levels(dbfs)
    assert loudness.has_energy(0.14, 0.16, 0) == heard


def test_channel_is_silent_below_minus_60_dbfs_or_without_any_audio():
    assert not levels([-60.0]).is_silent(0)
    assert levels([-60.1, -90.0]).is_silent(0)
    assert levels([]).is_silent(0)
    assert not levels([]).has_energy(0.0, 1.0, 0)


@pytest.mark.parametrize(("seconds", "rate"), [(25.01, 8000), (0.015, 24000)])
def test_levels_are_those_of_each_20_ms_of_a_file_of_any_length(seconds, rate):
    pcm = stereo([("right", 0.0, seconds, "")], seconds, rate)
    loudness = measure_loudness(audio(pcm, rate))
    assert loudness.sample_rate == rate
    assert loudness.channels == 2
    assert loudness.frame == 0.02
    assert loudness.seconds == len(pcm) / rate
    assert len(loudness.dbfs) == math.ceil(seconds / 0.02)
    tone = 20 * math.log10(0.2 / 2**0.5)
    assert loudness.loudest(1) == pytest.approx(tone, abs=1.5)
    assert loudness.loudest(0) < -60


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
    changed = LINE | change
    nameless = changed | {"utterance_id": None}
    other = LINE | {"utterance_id": "z"}
    lines = [changed, nameless, other]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "transcript_shifted.jsonl").write_text(text)
    findings, _ = check_folder(tmp_path)
    assert findings == []


def test_corpus_that_was_measured_alone_says_how_to_finish_it(tmp_path):
    (tmp_path / "measured").mkdir()
    (tmp_path / "measured/shard-0.parquet").touch()
    with pytest.raises(DailytalkError, match="holds a corpus that was measured but not finished"):
        check_folder(tmp_path)


def test_hours_are_told_by_the_name_of_the_voice_and_of_the_language(tmp_path):
    dutch = built_row("a", language="nl", duration=6.0)
    german = built_row("b", language="de")
    unknown = built_row("c", language=None)
    for row, voice in ((dutch, "zoe"), (german, "bea"), (unknown, "anna")):
        row["utterances"][0]["synthesis"]["voice"] = voice
    _, facts = check_folder(write_dataset(tmp_path, [dutch, german, unknown]))
    voices = facts["hours_of_voice"]
    assert list(voices) == ["anna", "bea", "zoe"]
    assert list(voices.values()) == [0.005, 0.0016667, 0.0016667]
    languages = facts["hours_of_language"]
    assert list(languages) == ["de", "nl"]
    assert list(languages.values()) == [0.0016667, 0.0016667]
