"""Exports for Smart Turn: what is a clip, where it begins, and how it is divided."""

import json
import sys
import types
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import soundfile
from audio_files import EXAMPLE_NAMES, EXAMPLES, reference
from built_conversations import built_row, flac, stereo, write_dataset
from command import Command
from recordings import read_lines

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.turns.turn_ends import turn_ends
from dailytalk_contiguous.core.turns.turn_taking import Timed
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.models.turn_end import SpokenEnd, load_smart_turn
from dailytalk_contiguous.publish.exports.smart_turn import SMART_TURN_FORMAT
from dailytalk_contiguous.publish.exports.turn_end_clips import clip_start
from dailytalk_contiguous.publish.exports.writing import write_export
from dailytalk_contiguous.publish.opening import open_items

#: Holds of the right side at 3.0 and 12.0 s, of the left at 20.0; shifts at 6.0, 9.6, 15.0, 18.0 and 22.0.
#: At 17.5 s the left side ends in the other's speech, and behind 26.0 s nobody speaks.
TALK = (
    ("right", 0.5, 3.0, "so I went to the um"),
    ("right", 3.6, 6.0, "shop and it was closed"),
    ("left", 6.4, 9.6, "what did you do about that then"),
    ("right", 10.0, 12.0, "I went uh home"),
    ("right", 12.5, 15.0, "and made some tea"),
    ("left", 15.3, 17.5, "that sounds like a good idea"),
    ("right", 17.0, 18.0, "wait for it"),
    ("left", 18.5, 20.0, "I see"),
    ("left", 20.6, 22.0, "go on please"),
    ("right", 22.4, 26.0, "in the evening somebody came and knocked"),
)
SECONDS = 28.0

#: Channel, start, end, text.
Line = tuple[str, float, float, str]
RATE = 16000
FACTS = ("id", "language", "endpoint_bool", "midfiller", "endfiller", "synthetic", "spoken_text", "dataset")


def sound(number: int) -> np.ndarray:
    """The samples of a talk: no two are alike."""
    noise = np.random.default_rng(number).integers(-9, 10, size=(round(SECONDS * RATE), 2))
    return stereo(TALK, SECONDS, RATE) + noise.astype(np.int16)


def talk(number: int = 0, person: str | None = None, **columns: Any) -> dict[str, Any]:
    audio = {"bytes": flac(sound(number), RATE), "path": None}
    return with_ends(built_row(f"call{number}", TALK, SECONDS, RATE, kept_speaker=person, audio=audio, **columns))


def with_ends(row: dict[str, Any]) -> dict[str, Any]:
    """A row in which all utterances are heard, with the `transition` of each end of a turn."""
    timed = [Timed(line["channel"], line["start"], line["end"]) for line in row["utterances"]]
    for end in turn_ends(timed):
        row["utterances"][end.utterance]["transition"] = end.transition
    return row


def judge(row: dict[str, Any], sound: np.ndarray) -> None:
    """Set how finished the ends of turns sound of a row in which all utterances are heard."""
    timed = [Timed(line["channel"], line["start"], line["end"]) for line in row["utterances"]]
    ends = turn_ends(timed)
    spoken = [SpokenEnd(sound[:, CHANNELS.index(timed[end.utterance].channel)], end.time) for end in ends]
    for end, finished in zip(ends, load_smart_turn().finished(spoken), strict=True):
        row["utterances"][end.utterance]["turn_end"] = finished


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight conversations of four people."""
    rows = [talk(number, f"person{number % 4}") for number in range(8)]
    folder = write_dataset(tmp_path_factory.mktemp("calls") / "work", rows)
    record = {"source": {"repository": "ann/calls", "licence": "cc-by-4.0"}}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="module")
def exported(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their export, in a folder whose path has the name of a split in it."""
    out = tmp_path_factory.mktemp("test-train") / "eval"
    write_export(open_items(work).rows(), out, SMART_TURN_FORMAT, eval_share=0.3, dataset="ann/calls")
    return out


def lines(folder: Path, side: str) -> list[dict[str, Any]]:
    return read_lines(folder / side / "metadata.jsonl")


def sources(folder: Path) -> dict[str, dict[str, Any]]:
    """Where each clip is from, by its id."""
    return json.loads((folder / "smart-turn.json").read_text())["clips"]


def trainer_dataset(folder: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> datasets.Dataset:
    """A folder as smart_turn/train.py loads it, its sound left encoded: torchcodec is not installed here."""
    codec = types.ModuleType("torchcodec")
    encoders = types.ModuleType("torchcodec.encoders")
    encoders.AudioEncoder = None  # type: ignore[attr-defined]  # it is imported, and not used
    monkeypatch.setitem(sys.modules, "torchcodec", codec)
    monkeypatch.setitem(sys.modules, "torchcodec.encoders", encoders)
    assert folder.is_absolute()
    assert (folder / "metadata.jsonl").exists()
    loaded = datasets.load_dataset("audiofolder", data_dir=str(folder), cache_dir=str(cache))
    return loaded["train"].cast_column("audio", datasets.Audio(sampling_rate=RATE, decode=False))


def test_trainer_loads_the_columns_and_the_sound_of_both_folders(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: set[bytes] = set()
    n_clips = 0
    for side in ("train", "test"):
        loaded = trainer_dataset(exported / side, monkeypatch, tmp_path)
        n_clips += len(loaded)
        listed = {line["id"]: line for line in lines(exported, side)}
        assert len(listed) == len(loaded)
        assert {*loaded.column_names} == {"audio", *FACTS}
        assert {row["id"] for row in loaded} == listed.keys()
        for row in loaded:
            info = soundfile.info(row["audio"]["path"])
            line = listed[row["id"]]
            assert (info.format, info.subtype, info.channels, info.samplerate) == ("FLAC", "PCM_16", 1, RATE)
            assert 1.0 <= info.duration <= 16.0
            assert [row[name] for name in FACTS] == [line[name] for name in FACTS]
            assert row["language"] == "eng"
            assert row["dataset"] == "ann/calls"
            written.add(Path(row["audio"]["path"]).read_bytes())
            samples, _ = soundfile.read(row["audio"]["path"], dtype="float32")
            assert np.abs(samples[-round(0.15 * RATE) :]).max() < 0.01 < np.abs(samples).max()
    assert len(written) == n_clips  # no clip is the sound of another


def test_each_folder_is_half_complete_and_no_person_is_in_both(exported: Path) -> None:
    about = sources(exported)
    people: dict[str, set[str]] = {}
    recordings: dict[str, set[str]] = {}
    for side in ("train", "test"):
        labels = Counter(line["endpoint_bool"] for line in lines(exported, side))
        assert labels[True] == labels[False] > 0
        clips = [about[line["id"]] for line in lines(exported, side)]
        assert {clip["split"] for clip in clips} == {side}
        people[side] = {clip["speaker"] for clip in clips if clip["speaker"]}
        recordings[side] = {clip["recording_id"] for clip in clips}
    assert people["train"]
    assert people["test"]
    assert not people["train"] & people["test"]
    assert not recordings["train"] & recordings["test"]


def test_a_clip_is_the_sound_of_one_side_up_to_the_silence_behind_an_end_of_a_turn(exported: Path) -> None:
    ends = {("right", 3.2): False, ("right", 12.2): False, ("left", 20.2): False}
    ends |= {("right", 6.2): True, ("left", 9.8): True, ("right", 15.2): True}
    ends |= {("right", 18.2): True, ("left", 22.2): True}
    seen = set()
    for line in [*lines(exported, "train"), *lines(exported, "test")]:
        clip = sources(exported)[line["id"]]
        (path,) = exported.glob(f"*/{line['file_name']}")
        written, _ = soundfile.read(path, dtype="int16")
        last = round(clip["end"] * RATE)
        samples = sound(int(clip["conversation_id"].removeprefix("call")))
        channel = ("left", "right").index(clip["channel"])
        np.testing.assert_array_equal(written, samples[last - len(written) : last, channel])
        assert line["endpoint_bool"] is ends[clip["channel"], clip["end"]]
        assert line["synthetic"] is (clip["channel"] == "left")
        seen.add((clip["channel"], clip["end"]))
    assert {end for end in ends if not ends[end]} <= seen


def test_what_is_no_clip_is_counted(work: Path, tmp_path: Path, dailytalk: Command) -> None:
    done = dailytalk("export", work, "--format", "smart-turn", "--out", tmp_path / "out", "--json")
    outcome = json.loads(done.out)
    n_clips = sum(outcome["files"].values())
    left_out = outcome["left_out_parts"]
    n_surplus = sum(count for reason, count in left_out.items() if reason.startswith("complete clips"))
    (n_others,) = [count for reason, count in left_out.items() if reason.startswith("ends of speech")]
    assert n_clips + n_surplus == 8 * 8
    assert n_clips == 2 * 8 * 3
    assert n_others == 8 * 2
    (metadata, *_) = lines(tmp_path / "out", "train")
    assert metadata["dataset"] == "ann/calls"


def test_fillers_before_the_last_words_and_at_the_end_are_told_apart(exported: Path) -> None:
    columns = {}
    for line in [*lines(exported, "train"), *lines(exported, "test")]:
        end = sources(exported)[line["id"]]["end"]
        columns[end] = (line["midfiller"], line["endfiller"], line["spoken_text"])
    assert columns[3.2] == (False, True, "so I went to the um")
    mid, end, text = columns[12.2]
    assert (mid, end) == (True, False)
    assert text.endswith("shop and it was closed I went uh home")
    assert columns[20.2][:2] == (False, False)


def test_texts_without_fillers_keep_the_labels_of_the_sound(tmp_path: Path) -> None:
    write_export([talk()], tmp_path / "out", SMART_TURN_FORMAT, fillers="drop")
    by_end = {}
    for line in lines(tmp_path / "out", "train"):
        by_end[sources(tmp_path / "out")[line["id"]]["end"]] = line
    assert by_end[3.2]["endfiller"] is True
    assert by_end[3.2]["spoken_text"].lower() == "so i went to the"


def test_words_and_fillers_that_nobody_knows_are_null(tmp_path: Path) -> None:
    row = talk(language=None)
    for utterance in row["utterances"]:
        utterance["text"] = ""
    row["alignments"] = []
    write_export([row], tmp_path / "out", SMART_TURN_FORMAT)
    for line in lines(tmp_path / "out", "train"):
        assert line["language"] == "und"
        assert line["midfiller"] is None
        assert line["endfiller"] is None
        assert line["spoken_text"] is None


def test_a_clip_begins_between_words_and_at_a_pause_if_there_is_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        edges = np.cumsum(rng.choice([0.0, 0.05, 0.3, 0.6], size=200))
        words = [(start, end) for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)]
        end = words[-1][1] + 0.2
        start = clip_start(words, end)
        assert start is not None
        assert end - 16 < start <= max(0.0, end - 8)
        assert not any(first < start < last for first, last in words)
    assert clip_start([(0.5, 5.0), (5.0, 9.0), (9.05, 18.0)], 18.2) == pytest.approx(9.025)
    assert clip_start([(0.5, 5.0), (5.3, 9.0), (9.05, 18.0)], 18.2) == pytest.approx(5.2)
    assert clip_start([(0.5, 6.9)], 7.2) == 0.0
    assert clip_start([(0.5, 30.0)], 30.2) is None


def joined(lines: Sequence[Line], most: float) -> list[Line]:
    """Lines in which one speaks on after at most so many seconds are one, with the pause in it."""
    spoken: list[Line] = []
    for channel, start, end, text in lines:
        if spoken and spoken[-1][0] == channel and start - spoken[-1][2] <= most:
            _, first, _, before = spoken[-1]
            spoken[-1] = (channel, first, end, f"{before} {text}")
        else:
            spoken.append((channel, start, end, text))
    return spoken


def joined_talk(lines: Sequence[Line] = TALK, **columns: Any) -> dict[str, Any]:
    """A talk whose utterances go on over pauses; its sound, and the times of its words, have the pauses."""
    separate = built_row("call", lines, SECONDS, RATE)
    kept = {"audio": separate["audio"], "alignments": separate["alignments"]}
    return with_ends(built_row("call", joined(lines, 0.7), SECONDS, RATE, **kept, **columns))


def clips_by_end(folder: Path) -> dict[tuple[str, float], dict[str, Any]]:
    """The line of each clip of `train` and what the record says of it, by its side and end."""
    by_end = {}
    for line in lines(folder, "train"):
        about = sources(folder)[line["id"]]
        by_end[about["channel"], round(about["end"], 1)] = {**about, **line}
    return by_end


def test_a_pause_inside_an_utterance_is_an_incomplete_clip(tmp_path: Path) -> None:
    write_export([talk()], tmp_path / "apart", SMART_TURN_FORMAT)
    write_export([joined_talk()], tmp_path / "joined", SMART_TURN_FORMAT)
    apart = clips_by_end(tmp_path / "apart")
    together = clips_by_end(tmp_path / "joined")
    inner = {end: clip for end, clip in together.items() if clip["in_utterance"]}
    assert inner.keys() == {("right", 3.2), ("right", 12.2), ("left", 20.2)}
    for end, clip in inner.items():
        assert clip["endpoint_bool"] is False
        assert clip["turn_end"] is None
        assert clip["start"] == pytest.approx(apart[end]["start"], abs=0.01)
        for name in ("midfiller", "endfiller", "synthetic", "spoken_text", "language"):
            assert clip[name] == apart[end][name]
    assert not any(clip["in_utterance"] for clip in apart.values())


def test_a_clip_that_ends_in_a_pause_ends_with_the_sound_before_it(tmp_path: Path) -> None:
    write_export([joined_talk()], tmp_path / "out", SMART_TURN_FORMAT)
    clip = clips_by_end(tmp_path / "out")["right", 12.2]
    written, _ = soundfile.read(tmp_path / "out/train" / clip["file_name"], dtype="int16")
    last = round(clip["end"] * RATE)
    np.testing.assert_array_equal(written, stereo(TALK, SECONDS, RATE)[last - len(written) : last, 1])
    is_loud = np.abs(written.astype(int)) > 1000
    silence = (len(written) - np.flatnonzero(is_loud)[-1]) / RATE
    assert silence == pytest.approx(0.2, abs=0.015)


def test_clips_of_ends_keep_their_ids_whatever_pauses_are_in_the_utterances(tmp_path: Path) -> None:
    paused = [*TALK[:-1], ("right", 22.4, 24.0, "in the evening"), ("right", 24.5, 26.0, "somebody knocked")]
    paused_row = built_row("call0", paused, SECONDS, RATE)
    kept = {"audio": paused_row["audio"], "alignments": paused_row["alignments"]}
    whole = with_ends(built_row("call0", TALK, SECONDS, RATE))
    write_export([whole], tmp_path / "before", SMART_TURN_FORMAT)
    write_export([whole | kept], tmp_path / "after", SMART_TURN_FORMAT)
    before = clips_by_end(tmp_path / "before")
    after = clips_by_end(tmp_path / "after")
    assert after["right", 24.2]["in_utterance"]
    shared = before.keys() & after.keys()
    assert len(shared) > 4
    for end in shared:
        assert after[end]["id"] == before[end]["id"]
    assert after["right", 24.2]["id"] not in {clip["id"] for clip in before.values()}


@pytest.mark.parametrize(
    ("line", "changes", "reason"),
    [
        pytest.param(("left", 3.1, 3.5, "yes"), {}, "the other speaks", id="the other begins at once"),
        pytest.param(("left", 3.3, 3.5, "yes"), {}, "the other speaks", id="the other begins before it ends"),
        pytest.param(("left", 2.5, 3.1, "yes"), {}, "the other speaks", id="the other is still speaking"),
        pytest.param(None, {"event": "backchannel"}, "it is in a backchannel", id="it is in a backchannel"),
    ],
)
def test_doubtful_pauses_are_no_clips_and_counted(
    tmp_path: Path, line: Line | None, changes: dict[str, str], reason: str
) -> None:
    spoken = [*TALK, line] if line else [*TALK]
    row = joined_talk(spoken)
    row["utterances"][0].update(changes)
    outcome = write_export([row], tmp_path / "out", SMART_TURN_FORMAT)
    assert ("right", 3.2) not in clips_by_end(tmp_path / "out")
    (counted_reason,) = [name for name in outcome.left_out if name.startswith("pause inside an utterance")]
    assert reason in counted_reason
    assert outcome.left_out[counted_reason] == 1


@pytest.mark.needs("pipecat")
def test_smart_turn_hears_in_a_clip_what_it_heard_in_the_recording(tmp_path: Path) -> None:
    rows = []
    recordings = {}
    for name in EXAMPLE_NAMES:
        spoken = [(line["channel"], line["start"], line["end"], line["text"]) for line in reference(name)]
        audio = {"bytes": (EXAMPLES / f"{name}.flac").read_bytes(), "path": None}
        recordings[name] = read_pcm(audio)
        seconds = len(recordings[name]) / RATE
        alignments = built_row(name, spoken, seconds, RATE)["alignments"]
        utterances = joined(sorted(spoken, key=lambda line: line[1]), 1.0)
        row = with_ends(built_row(name, utterances, seconds, RATE, audio=audio, alignments=alignments))
        judge(row, recordings[name])
        rows.append(row)
    write_export(rows, tmp_path / "out", SMART_TURN_FORMAT, sides=dict.fromkeys(EXAMPLE_NAMES, "train"))
    smart_turn = load_smart_turn()
    clips = sources(tmp_path / "out")
    assert len(clips) > 4
    assert sum(clip["in_utterance"] for clip in clips.values()) >= 2
    for path in (tmp_path / "out").rglob("*.flac"):
        clip = clips[path.stem]
        samples, _ = soundfile.read(path, dtype="int16")
        (probability,) = smart_turn.finished([SpokenEnd(samples, len(samples) / RATE - 0.2)])
        expected = clip["turn_end"]
        if clip["in_utterance"]:
            recording = recordings[clip["conversation_id"]]
            side = recording[:, CHANNELS.index(clip["channel"])]
            (expected,) = smart_turn.finished([SpokenEnd(side, clip["end"] - 0.2)])
        assert probability == pytest.approx(expected, abs=0.02)


def test_another_rate_and_talk_of_one_label_are_refused(tmp_path: Path, dailytalk: Command) -> None:
    with pytest.raises(DailytalkError, match="sample-rate 24000 does not go with --format smart-turn"):
        write_export([talk()], tmp_path / "rate", SMART_TURN_FORMAT, sample_rate=24000)
    turns = (("left", 0.5, 3.0, "how are you"), ("right", 3.5, 6.0, "well"), ("left", 6.5, 9.0, "good"))
    with pytest.raises(DailytalkError, match="nothing is left to train on"):
        write_export([with_ends(built_row("call", turns, 10.0))], tmp_path / "one", SMART_TURN_FORMAT)
