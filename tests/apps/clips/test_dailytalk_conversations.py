import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpus_trees import POINTER, check_builder, clip, dailytalk, good, problems, put, read
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.apps.clips.corpora.dailytalk import (
    MOST_OVERLAP,
    OFFSET_DEVIATION,
    OFFSET_LIMIT,
    OFFSET_MEAN,
    starts,
)
from dailytalk_contiguous.apps.clips.corpora.registry import count_check
from dailytalk_contiguous.core.audio import to_uri

TALK = {"0": [(1, "How are you?"), (0, "Great!"), (0, "And you?")], "25": [(0, "It rains."), (1, "Oh.")]}

turns = st.lists(st.tuples(st.floats(0.1, 20.0), st.sampled_from("01")), min_size=1, max_size=12)


@given(turns=turns, key=st.text(max_size=8))
def test_turns_keep_their_order_and_no_speaker_talks_over_themselves(
    turns: list[tuple[float, str]], key: str
) -> None:
    lengths, speakers = [list(column) for column in zip(*turns, strict=True)]
    begun = starts(lengths, speakers, key)
    assert begun == starts(lengths, speakers, key)
    assert begun[0] == 0.0
    ends = [start + length for start, length in zip(begun, lengths, strict=True)]
    for place, start in enumerate(begun[1:], 1):
        offset = start - ends[place - 1]
        assert offset <= OFFSET_MEAN + OFFSET_LIMIT * OFFSET_DEVIATION + 1e-9
        assert offset >= -MOST_OVERLAP * min(lengths[place], lengths[place - 1]) - 1e-9
        own = [ends[before] for before in range(place) if speakers[before] == speakers[place]]
        assert start >= max(own, default=0.0) - 1e-9


def test_gaps_have_the_published_mean_and_most_of_the_published_spread() -> None:
    lengths, speakers = [5.0] * 4001, ["0", "1"] * 2000 + ["0"]
    offsets = np.diff(starts(lengths, speakers, "key")) - 5.0
    assert np.mean(offsets) == pytest.approx(OFFSET_MEAN, abs=0.02)
    assert np.std(offsets) == pytest.approx(0.88 * OFFSET_DEVIATION, abs=0.02)  # of a normal cut at 2 deviations
    assert 0.25 < np.mean(offsets < 0) < 0.45


def test_a_dialogue_is_a_stereo_recording_with_its_text_emotion_and_act(tmp_path: Path) -> None:
    rows = read("dailytalk_conversations", put(tmp_path, dailytalk(TALK)))
    row = rows["0.wav"]
    assert list(rows) == ["0.wav", "25.wav"]
    assert problems(rows) == {}
    assert (row["conversation_id"], row["sample_rate"], row["channels"]) == ("dailytalk/0", 22050, 2)
    assert (row["recording_id"], row["offset"]) == ("dailytalk/0", 0.0)  # it begins where its recording does
    assert [(cue["channel"], cue["text"]) for cue in row["given"]] == [
        ("right", "How are you?"),
        ("left", "Great!"),
        ("left", "And you?"),
    ]
    assert [(one["emotion"], one["label"], one["act"], one["topic"]) for one in row["said"]] == [
        ("neutral", "no emotion", "question", "Ordinary Life"),
        ("happy", "happiness", "inform", "Ordinary Life"),
        ("neutral", "no emotion", "question", "Ordinary Life"),
    ]
    assert [(one["start"], one["end"]) for one in row["said"]] == [
        (cue["start"], cue["end"]) for cue in row["given"]
    ]
    assert count_check("dailytalk_conversations", rows.values()) == [
        "dailytalk_conversations: 2 dialogues were read, 2541 are published."
    ]


def test_each_turn_is_heard_unchanged_at_its_time_on_its_own_channel(tmp_path: Path) -> None:
    row = read("dailytalk_conversations", put(tmp_path, dailytalk(TALK)))["0.wav"]
    samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")
    assert row["duration"] == pytest.approx(len(samples) / rate)
    assert row["duration"] == pytest.approx(row["given"][-1]["end"], abs=1e-4)
    quiet = np.ones_like(samples, dtype=bool)
    for number, cue in enumerate(row["given"]):
        own, _ = soundfile.read(io.BytesIO(clip(1.0 + 0.1 * number, 22050)), dtype="int16")
        channel, first = ["left", "right"].index(cue["channel"]), round(cue["start"] * rate)
        np.testing.assert_array_equal(samples[first : first + len(own), channel], own[: len(samples) - first])
        quiet[first : first + len(own), channel] = False
    assert not samples[quiet].any()


def test_seed_and_dialogue_decide_the_gaps_whatever_else_is_there(tmp_path: Path) -> None:
    both = read("dailytalk_conversations", put(tmp_path / "a", dailytalk(TALK)))
    alone = read("dailytalk_conversations", put(tmp_path / "b", dailytalk({"25": TALK["25"]})))
    other = read("dailytalk_conversations", tmp_path / "a", seed=1)
    assert both["25.wav"] == alone["25.wav"]
    assert both["25.wav"]["given"][1]["start"] != other["25.wav"]["given"][1]["start"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "turn 1 of dialogue 25 has no recording"),
        (POINTER, "turn 1 (data/25/1_1_d25.wav): it is a Git LFS pointer"),
        (b"", "turn 1 (data/25/1_1_d25.wav): the file is empty"),
    ],
)
def test_a_dialogue_that_lacks_a_turn_is_rejected(tmp_path: Path, data: bytes | None, reason: str) -> None:
    files = dailytalk(TALK)
    del files["data/25/1_1_d25.wav"]
    put(tmp_path, files if data is None else files | {"data/25/1_1_d25.wav": data})
    rows = read("dailytalk_conversations", tmp_path)
    assert len(good(rows)) == 1
    assert problems(rows)["25.wav"].startswith(reason)


def test_files_that_are_no_turns_are_rows_with_a_reason(tmp_path: Path) -> None:
    files = dailytalk(TALK) | {"data/25/x.wav": clip(), "old/25/0_0_d25.wav": clip(), "data/25/0.mp3": b"x"}
    rows = read("dailytalk_conversations", put(tmp_path, files))
    assert set(problems(rows)) == {"data/25/x.wav", "old/25/0_0_d25.wav", "data/25/0.mp3"}
    assert problems(rows)["data/25/0.mp3"].startswith("DailyTalk is not known to hold a file like '0.mp3'")
    assert len(good(rows)) == 2
    told = rows["data/25/0.mp3"]
    assert told["audio"] == {"bytes": None, "path": to_uri(tmp_path / "data/25/0.mp3")}
    assert {name: told[name] for name in ("offset", "duration", "sample_rate", "channels", "given", "said")} == {
        "offset": 0.0,
        "duration": 0.0,
        "sample_rate": 0,
        "channels": 0,
        "given": [],
        "said": [],
    }


def test_turns_of_other_rates_are_brought_to_the_highest(tmp_path: Path) -> None:
    row = read(
        "dailytalk_conversations", put(tmp_path, dailytalk(TALK) | {"data/25/1_1_d25.wav": clip(1, 44100, 2)})
    )
    assert row["25.wav"]["sample_rate"] == 44100
    assert row["25.wav"]["problem"] is None


def test_eager_and_streaming_rows_are_the_same(tmp_path: Path) -> None:
    files = dailytalk(TALK) | {"data/25/x.wav": clip()}
    check_builder("dailytalk_conversations", put(tmp_path / "in", files), tmp_path / "cache", seed=3)
