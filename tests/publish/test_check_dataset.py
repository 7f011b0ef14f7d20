import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from built_conversations import LINES, built_row, flac, stereo, write_dataset

from dailytalk_contiguous.core.turns import Timed
from dailytalk_contiguous.publish.checking.checks import check
from dailytalk_contiguous.publish.checking.fitness import figures, fitness_advice


def kinds(folder, level="error"):
    return [one.kind for one in check(folder)[0] if one.level == level and one.kind != "few-hours-of-voice"]


def audio(pcm, rate=24000):
    return {"bytes": flac(pcm, rate), "path": "call.flac"}


def checked(tmp_path, **columns):
    return kinds(write_dataset(tmp_path, [built_row("fine"), built_row("call", **columns)]))


def test_a_fresh_dataset_has_no_findings_but_that_it_is_small(tmp_path):
    findings, facts = check(write_dataset(tmp_path, [built_row("a")], [built_row("b")]))
    assert {finding.kind for finding in findings} == {"few-hours-of-voice"}
    assert (facts["kind"], facts["conversations"], facts["utterances"], facts["words"]) == ("work", 2, 8, 18)


def test_hours_are_those_of_all_conversations_and_of_each_voice_and_language(tmp_path):
    rows = [built_row(name, language="en") for name in "abc"]
    facts = check(write_dataset(tmp_path, rows))[1]
    assert facts["hours"] == 0.005
    assert set(facts["hours_of_voice"].values()) == set(facts["hours_of_language"].values()) == {0.005}


def test_a_folder_of_shards_is_a_dataset(tmp_path):
    write_dataset(tmp_path, [built_row()])
    assert check(tmp_path / "dataset")[1]["kind"] == "dataset"


def test_mono(tmp_path):
    assert checked(tmp_path, audio=audio(stereo(LINES, 6.0, 24000)[:, 0])) == ["not-stereo"]


def test_audio_that_is_none(tmp_path):
    assert checked(tmp_path, audio={"bytes": b"fLaC", "path": "x.flac"}) == ["unreadable-audio"]


def test_a_rate_that_the_column_does_not_say(tmp_path):
    assert checked(tmp_path, sample_rate=48000) == ["wrong-rate"]


def test_a_duration_that_the_audio_does_not_have(tmp_path):
    assert checked(tmp_path, duration=6.02) == ["wrong-duration"]


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
    [finding] = [one for one in check(tmp_path)[0] if one.level == "error"]
    assert (finding.kind, "lacks the columns sounds" in finding.what) == ("unreadable-shard", True)
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
    [finding] = check(tmp_path)[0]
    assert (finding.kind, finding.file) == (kind, "transcript.jsonl:3")


def test_a_folder_that_was_tagged_and_not_spoken_says_so(tmp_path):
    (tmp_path / "tagged").mkdir()
    (tmp_path / "transcript.jsonl").write_text(json.dumps(LINE) + "\n")
    record = {"counts": {"conversations": 2, "utterances": 5}, "hours": {"audio": 0.5, "speech": 0.25}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    [finding], facts = check(tmp_path)
    assert (finding.kind, finding.level, finding.remedy) == (
        "not-spoken",
        "advice",
        f"run dailytalk speak {tmp_path}",
    )
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
    assert list(check(write_dataset(tmp_path, [row]))[1]["hours_of_voice"]) == ["espeak"]


def test_a_recording_of_a_work_folder_that_is_damaged(tmp_path):
    write_dataset(tmp_path, [built_row("a")])
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio/a_edited.wav").write_bytes(b"RIFF")
    assert kinds(tmp_path) == ["unreadable-audio"]


def advised(timed, duration, voices=None, languages=None):
    return [
        one.kind for one in fitness_advice({"c": figures(timed, duration, 100.0)}, voices or {}, languages or {})
    ]


LIVELY = [Timed(("left", "right")[n % 2], n * 2.0, n * 2.0 + 2.1) for n in range(50)]


def test_a_lively_conversation_needs_no_advice():
    assert advised(LIVELY, 100.0) == []


def test_fitness_is_advice_with_figures():
    assert "long-turns" in advised([*LIVELY, Timed("left", 100.0, 112.0)], 112.0)
    alone = [*LIVELY, *(Timed("left", 100.0 + 9 * n, 108.0 + 9 * n) for n in range(8))]
    assert "monologue" in advised(alone, 172.0)
    assert advised([Timed(one.channel, one.start + 6, one.end + 6) for one in LIVELY], 106.0) == ["late-start"]
    assert "few-turns" in advised(LIVELY[:2], 100.0)
    slow = [Timed(("left", "right")[n % 2], n * 5.0, n * 5.0 + 2.0) for n in range(20)]
    assert advised(slow, 100.0) == ["slow-responses", "little-overlap"]


def test_hours_are_held_against_what_others_needed():
    assert advised(LIVELY, 100.0, {"anna": 19.0}, {"en": 1.0}) == ["few-hours-of-voice"]
    assert advised(LIVELY, 100.0, {"anna": 20.0}, {"de": 399.0}) == ["few-hours-of-language"]
    assert advised(LIVELY, 100.0, {"anna": 20.0}, {"de": 400.0}) == []
