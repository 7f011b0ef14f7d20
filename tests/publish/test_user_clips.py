"""Clips of the user's side alone, with what the agent does as labels, as a trainer of turn-taking loads them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import soundfile
from built_conversations import stereo, write_dataset
from command import Command
from publish.test_interactivity import KINDS, RATE, SECONDS, TALK, talk
from recordings import read_lines

from dailytalk_contiguous.core.turns.interaction import RULES
from dailytalk_contiguous.publish.exports.formats import FORMATS
from dailytalk_contiguous.publish.exports.writing import write_export

INTERACTIVITY = FORMATS["interactivity"]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    rows = [talk(f"call{number}", f"person{number % 3}") for number in range(6)]
    write_export(rows, tmp_path / "clips", INTERACTIVITY, layout="user-only", eval_share=0.3)
    return tmp_path / "clips"


def lines_in(folder: Path) -> list[dict[str, Any]]:
    """The lines of both lists, read strictly: what they say of a clip is in it, and no conversation is in both."""
    sides = [read_lines(folder / f"clips_{side}.jsonl") for side in ("train", "eval")]
    train, held_out = [{line["conversation_id"] for line in lines} for lines in sides]
    assert train
    assert not train & held_out
    lines = [*sides[0], *sides[1]]
    assert sorted(line["path"] for line in lines) == sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*.wav")
    )
    for line in lines:
        samples, rate = soundfile.read(folder / line["path"], dtype="int16", always_2d=True)
        assert samples.shape == (round(line["duration"] * rate), 1)
        assert samples.any() or not line["user_speech"]
        assert line["kind"] in RULES
        times = [line["event_start"], line["event_end"]]
        for event in line["events"]:
            assert event["kind"] in RULES
            times += [event["start"], event["end"]]
        for spans in (line["agent_speech"], line["user_speech"]):
            edges = [edge for span in spans for edge in span]
            assert edges == sorted(set(edges))
            times += edges
        assert all(0.0 <= time <= line["duration"] for time in times)
    return lines


def test_sound_of_a_clip_is_the_user_and_its_labels_are_what_the_agent_does(clips: Path) -> None:
    lines = {line["clip_id"]: line for line in lines_in(clips)}
    assert len(lines) == 6 * sum(KINDS.values())
    source = stereo(TALK, SECONDS, RATE)
    for line in lines.values():
        written, rate = soundfile.read(clips / line["path"], dtype="int16")
        first = round(line["start"] * RATE)
        assert rate == RATE
        assert len(written) == round(line["duration"] * RATE)
        np.testing.assert_array_equal(written, source[first : first + len(written), 1])
        for channel, field in (("left", "agent_speech"), ("right", "user_speech")):
            expected = []
            for side, start, end, _ in TALK:
                if side == channel and start < line["end"] and end > line["start"]:
                    span_start = max(start, line["start"]) - line["start"]
                    span_end = min(end, line["end"]) - line["start"]
                    expected.append([span_start, span_end])
            assert np.allclose(line[field], expected, atol=1e-5)
    interruption = lines["call0/interruption/0000"]
    events = [
        (event["kind"], round(event["start"] + interruption["start"], 3)) for event in interruption["events"]
    ]
    assert events == [("user_backchannel", 7.5), ("turn", 13.0), ("interruption", 16.3), ("turn", 19.3)]
    own_event = {"kind": "interruption", "start": interruption["event_start"], "end": interruption["event_end"]}
    assert own_event in interruption["events"]


def test_datasets_loads_each_list_with_its_labels(clips: Path, tmp_path: Path) -> None:
    files = {side: str(clips / f"clips_{side}.jsonl") for side in ("train", "eval")}
    loaded = datasets.load_dataset("json", data_files=files, cache_dir=str(tmp_path / "cache"))
    train = {line["speakers"]["right"] for line in loaded["train"]}
    held_out = {line["speakers"]["right"] for line in loaded["eval"]}
    assert train | held_out == {"person0", "person1", "person2"}
    assert not train & held_out
    turn = next(line for line in loaded["train"] if line["kind"] == "turn")
    starts = [start for start, _ in turn["agent_speech"]]
    assert np.isclose(starts, turn["event_end"]).any()


def test_main_speaker_on_the_right_makes_the_left_one_the_user(tmp_path: Path) -> None:
    write_export([talk("call")], tmp_path / "clips", INTERACTIVITY, layout="user-only", main="right")
    source = stereo(TALK, SECONDS, RATE)
    lines = read_lines(tmp_path / "clips/clips_train.jsonl")
    assert lines
    for line in lines:
        written, _ = soundfile.read(tmp_path / "clips" / line["path"], dtype="int16")
        first = round(line["start"] * RATE)
        np.testing.assert_array_equal(written, source[first : first + len(written), 0])


def test_layout_is_chosen_on_the_command_line_and_another_one_replaces_it(
    tmp_path: Path, dailytalk: Command
) -> None:
    work = write_dataset(tmp_path / "work", [talk(f"call{number}") for number in range(3)])
    out = tmp_path / "out"
    options = ("--format", "interactivity", "--per-kind", "2", "--out", out)
    done = dailytalk("export", work, *options, "--layout", "user-only", "--json")
    assert json.loads(done.out)["made"] == dict.fromkeys(KINDS, 2)
    assert Counter(line["kind"] for line in lines_in(out)) == dict.fromkeys(KINDS, 2)
    assert not (out / "train.jsonl").exists()
    assert dailytalk("export", work, *options).code == 0
    assert not (out / "clips_train.jsonl").exists()
    assert not (out / "user").exists()
    assert (out / "train.jsonl").exists()
    done = dailytalk("export", work, *options, "--layout", "mono")
    assert done.code == 2
    assert "user-only" in done.err
    bench = ("--format", "full-duplex-bench", "--per-kind", "2", "--out", tmp_path / "bench")
    done = dailytalk("export", work, *bench, "--layout", "user-only")
    assert done.code == 1
    assert "--layout does not go with --format full-duplex-bench" in done.err
