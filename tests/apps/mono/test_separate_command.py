"""`dailytalk separate`: recordings of one channel, with the real speaker encoder."""

import io
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import example, reference, room_tone, struct_of
from command import EMBEDDED, PROGRAM, Command
from hub.server import HubServer
from huggingface_hub import CommitOperationAdd, HfApi
from recordings import read_lines

from dailytalk_contiguous import Diarise, Folder, PlaceOnSides, Segment, Separate
from dailytalk_contiguous.apps.mono import separators
from dailytalk_contiguous.apps.mono.separate import write_part
from dailytalk_contiguous.apps.mono.separating import named_parts
from dailytalk_contiguous.core.audio import encoded_sound
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.sources.recordings import identities

pytest_plugins = ["hub.hub_fixtures"]

SECONDS = 31.0


def summed(name: str = "old_friends", seconds: float = SECONDS) -> np.ndarray:
    """Both channels of a bundled conversation as one, int16."""
    return np.round(example(name)[: round(seconds * 16000)].sum(axis=1) * 16384).astype(np.int16)


@pytest.fixture(scope="module")
def mono(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recording in 24 bits, and one that is no conversation."""
    folder = tmp_path_factory.mktemp("mono")
    soundfile.write(folder / "talk.wav", summed().astype(np.int32) << 16, 16000, "PCM_24")
    soundfile.write(folder / "empty.wav", room_tone(5 * 16000), 16000)
    return folder


@pytest.fixture(scope="module")
def separated(mono: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("separated") / "out"
    command = [*PROGRAM, "separate", str(mono), "--out", str(out), "--profile", "embedded"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    (out.parent / "said.txt").write_text(done.stderr)
    return out


def test_log_begins_with_what_was_found(separated: Path) -> None:
    first, *rest = (separated.parent / "said.txt").read_text().splitlines()
    assert "separate: found 2 recordings, 36.0 s; 1 shard, 1 of them to make" in first
    assert any("shard 1 of 1: " in line for line in rest)


def about(path: Path) -> dict[str, Any]:
    return json.loads(path.with_suffix(".separated.json").read_text(encoding="utf-8"))


def on_the_right_side(turns: list[dict[str, Any]], name: str, seconds: float) -> list[bool]:
    """Of each utterance as it was made, whether its side has turns for most of it; the first is on the left."""
    spoken = [line for line in reference(name) if line["end"] < seconds]
    first = min(spoken, key=lambda line: line["start"])["channel"]
    verdicts = []
    for line in spoken:
        side = "left" if line["channel"] == first else "right"
        heard = sum(
            max(0.0, min(turn["end"], line["end"]) - max(turn["start"], line["start"]))
            for turn in turns
            if turn["channel"] == side
        )
        verdicts.append(heard > 0.5 * (line["end"] - line["start"]))
    return verdicts


def test_each_speaker_is_on_a_side_with_the_samples_of_the_recording(separated: Path) -> None:
    sides, rate = soundfile.read(separated / "talk.flac", dtype="int32")
    info = soundfile.info(separated / "talk.flac")
    recording = summed().astype(np.int32) << 16
    assert (rate, info.subtype, sides.shape) == (16000, "PCM_24", (len(recording), 2))
    assert (sides == recording[:, None]).any(axis=1).all()
    assert (np.abs(sides.astype(float)).mean(axis=0) > 0).all()
    record = about(separated / "talk.flac")
    assert all(on_the_right_side(record["turns"], "old_friends", SECONDS))
    assert [model["name"] for model in record["models"]] == ["resemblyzer"]
    for turn in record["turns"]:
        part = slice(round(turn["start"] * rate) + 1, round(turn["end"] * rate) - 1)
        heard = sides[part, ("left", "right").index(turn["channel"])]
        assert (heard == recording[part]).all()
    assert {turn["origin"] for turn in record["turns"]} <= {"recorded", "mixed"}


def test_what_is_no_conversation_is_rejected_and_the_rest_goes_on(separated: Path) -> None:
    (reject,) = [
        json.loads(line) for line in (separated / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert (reject["id"], reject["reason"]) == ("empty", "nobody speaks in it")
    (line,) = [
        json.loads(line) for line in (separated / "separated.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert (line["file"], line["source"], line["reason"]) == ("talk.flac", "talk.wav", None)
    assert line["left"] + line["right"] > 20


def test_only_what_is_missing_is_written_again(dailytalk: Command, mono: Path, separated: Path) -> None:
    flac = (separated / "talk.flac").read_bytes()
    done = dailytalk("separate", mono, "--out", separated, "--profile", "embedded", "--json")
    assert json.loads(done.out)["written"] == 0
    (separated / "talk.flac").unlink()
    done = dailytalk("separate", mono, "--out", separated, "--profile", "embedded", "--json")
    assert json.loads(done.out)["written"] == 1
    assert (separated / "talk.flac").read_bytes() == flac


def test_recording_without_its_turns_is_no_recording_of_two_channels(tmp_path: Path, separated: Path) -> None:
    (tmp_path / "talk.flac").write_bytes((separated / "talk.flac").read_bytes())
    (row,) = Folder(inputs=(str(tmp_path),)).as_streaming_dataset("train")
    assert "made of one channel" in row["problem"]


def test_transcripts_of_another_folder_go_with_separated_recordings(tmp_path: Path, separated: Path) -> None:
    (tmp_path / "talk.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nA: hello\n", encoding="utf-8")
    (row,) = Folder(inputs=(str(separated),), transcripts=str(tmp_path)).as_streaming_dataset("train")
    assert (row["problem"], row["transcripts"]) == (None, ["talk.srt"])
    assert row["separated_by"]


def test_stages_typed_by_hand_give_the_sound_and_the_utterances_of_the_commands(
    tmp_path: Path, mono: Path, separated: Path
) -> None:
    talks = Folder(inputs=(str(mono / "talk.wav"),), channel="any").as_streaming_dataset("train")
    for stage in (Diarise(), Separate(), PlaceOnSides(), Segment()):
        talks = stage.map(talks)
    by_hand = next(iter(talks))
    sound = tmp_path / "talk.flac"
    sound.write_bytes(by_hand["audio"]["bytes"])
    assert (soundfile.read(sound)[0] == soundfile.read(separated / "talk.flac")[0]).all()
    files = Folder(inputs=(str(separated),)).as_streaming_dataset("train")
    by_command = next(iter(Segment().map(files)))
    for column in ("utterance_id", "channel", "start", "end", "origin", "speech", "separated_by"):
        assert by_hand[column] == by_command[column]


def test_tag_takes_what_separate_wrote_with_its_source(tmp_path: Path, dailytalk: Command, mono: Path) -> None:
    quick = (*EMBEDDED, "--asr-model", "tiny.en")
    done = dailytalk("tag", mono, "--out", tmp_path / "out", *quick)
    assert done.code == 1
    assert "one channel (mono)" in done.err + done.out
    two = tmp_path / "two"
    assert (
        dailytalk("separate", mono, "--out", two, "--source-licence", "CC0-1.0", "--profile", "embedded").code == 3
    )
    assert [json.loads(line)["id"] for line in (two / "rejects.jsonl").read_text().splitlines()] == ["empty"]
    assert dailytalk("tag", two, "--out", tmp_path / "out", *quick).code == 0
    lines = read_lines(tmp_path / "out/transcript.jsonl")
    assert {line["channel"] for line in lines} == {"left", "right"}
    assert {line["origin"] for line in lines} <= {"recorded", "mixed"}
    assert all(0 <= line["side_confidence"] <= 1 for line in lines)
    assert json.loads((tmp_path / "out/run.json").read_text())["source"] == {"licence": "CC0-1.0"}


def row_of(path: Path) -> dict[str, Any]:
    info = soundfile.info(path)
    return {"audio": struct_of(path), "offset": 0.0, "duration": info.frames / info.samplerate}


def test_music_is_cut_out_and_the_rest_is_conversations(tmp_path: Path) -> None:
    talk = summed(seconds=40)
    t = np.arange(7 * 16000) / 16000
    music = sum(1500 * np.sin(2 * np.pi * pitch * t) for pitch in (220, 277, 330, 440)).astype(np.int16)
    cut, silence = round(14.0 * 16000), np.zeros(5 * 16000, np.int16)
    soundfile.write(tmp_path / "show.wav", np.concatenate([talk[:cut], music, silence, talk[cut:]]), 16000)
    parts = Diarise().row(row_of(tmp_path / "show.wav"))["parts"]
    assert [part["reason"] for part in parts] == [None, "music or noise", None]
    assert 5 < parts[1]["end"] - parts[1]["start"] < 8
    assert (parts[0]["start"], parts[-1]["end"]) == (0.0, 52.0)


def test_recording_of_one_voice_is_rejected_with_what_that_was_judged_by(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "alone.wav", example("old_friends")[: 45 * 16000, 1], 16000)
    with pytest.raises(BadInput) as refused:
        Diarise().row(row_of(tmp_path / "alone.wav"))
    judged_by = r"one voice is heard in it, not two: .* alike to 0\.\d\d of 1, .* speaks \d+ times?, \d+\.\d s"
    assert re.fullmatch(judged_by, refused.value.reason)
    assert "--n-speakers 2" in refused.value.remedy


def test_a_few_words_are_too_little_to_tell_voices_apart(tmp_path: Path) -> None:
    (line, *_) = reference("old_friends")
    first, last = round(line["start"] * 16000), round(line["end"] * 16000)
    sound = np.zeros(20 * 16000)
    sound[8000 : 8000 + last - first] = example("old_friends")[first:last].sum(axis=1)
    soundfile.write(tmp_path / "words.wav", sound, 16000)
    for speakers in (0, 2):
        with pytest.raises(BadInput, match="s of speech, too little in one piece"):
            Diarise(speakers=speakers).row(row_of(tmp_path / "words.wav"))


def test_without_a_network_the_default_profile_says_what_needs_none_before_anything_is_read(
    tmp_path: Path,
) -> None:
    command = [*PROGRAM, "separate", "nowhere.wav", "--out", str(tmp_path / "out")]
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "models")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=offline, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "sortformer" in done.stderr
    assert "--profile embedded" in done.stderr
    assert not (tmp_path / "out").exists()


def test_two_channels_of_one_sound_are_one_and_of_two_are_rejected(tmp_path: Path) -> None:
    soundfile.write(
        tmp_path / "two.wav", np.stack([summed(seconds=10), summed("burnt_dinner", 10)], axis=1), 16000
    )
    with pytest.raises(BadInput, match="different sounds"):
        Diarise().row(row_of(tmp_path / "two.wav"))
    soundfile.write(tmp_path / "same.wav", np.repeat(summed()[:, None], 2, axis=1), 16000)
    row = row_of(tmp_path / "same.wav")
    row |= Diarise(speakers=2).row(row)
    row |= Separate().row(row)
    sides, _ = soundfile.read(tmp_path / "same.wav", dtype="int16")
    (tmp_path / "sides.flac").write_bytes(PlaceOnSides().row(row)["audio"]["bytes"])
    placed, _ = soundfile.read(tmp_path / "sides.flac", dtype="int16")
    assert (placed == sides[:, :1]).any(axis=1).all()


class TrueVoices:
    """A separator that knows both voices of a bundled conversation, and gives them in turns in another order."""

    sample_rate = 16000

    def __init__(self, name: str) -> None:
        self.truth, self.mono, self.calls = example(name) / 2, summed(name, 1000.0), 0

    def separate(self, samples: np.ndarray) -> np.ndarray:
        wanted = np.round(samples * 32768).astype(np.int16)
        (start,) = [
            at
            for at in np.flatnonzero(self.mono[: len(self.mono) - len(wanted) + 1] == wanted[0])
            if (self.mono[at : at + len(wanted)] == wanted).all()
        ]
        self.calls += 1
        voices = self.truth[start : start + len(wanted)].T
        return voices[:: 1 if self.calls % 2 else -1]


def test_voices_of_an_overlap_are_on_their_speakers_sides_in_whatever_order_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "old_friends"
    separator = TrueVoices(name)
    monkeypatch.setattr(separators, "load_separator", lambda name, device: separator)
    soundfile.write(tmp_path / "talk.wav", summed(name, 1000.0), 16000)
    row = row_of(tmp_path / "talk.wav")
    spoken = reference(name)
    first = min(spoken, key=lambda line: line["start"])["channel"]
    row["diarised"] = [
        {"speaker": int(line["channel"] != first), "start": line["start"], "end": line["end"], "confidence": 1.0}
        for line in spoken
    ]
    row["separated_by"] = [{"role": "diariser", "name": "people", "licence": None, "url": None}]
    row["parts"] = [{"start": 0.0, "end": row["duration"], "reason": None}]
    row |= Separate(model="true").row(row)
    assert separator.calls >= 4
    (tmp_path / "sides.flac").write_bytes(PlaceOnSides().row(row)["audio"]["bytes"])
    sides, _ = soundfile.read(tmp_path / "sides.flac")
    truth = separator.truth if first == "left" else separator.truth[:, ::-1]
    for turn in row["separated_turns"]:
        if turn["origin"] == "separated":
            part = slice(round((turn["start"] + 0.02) * 16000), round((turn["end"] - 0.02) * 16000))
            side = ("left", "right").index(turn["channel"])
            assert np.abs(sides[part, side] - truth[part, side]).max() < 1e-3
    assert [model["role"] for model in row["separated_by"]] == ["diariser", "separator"]


def test_dataset_on_the_hub_is_separated(tmp_path: Path, dailytalk: Command, hub: HubServer, mono: Path) -> None:
    repo = "tester/podcast"
    HfApi().create_repo(repo, repo_type="dataset", exist_ok=True)
    card = CommitOperationAdd("README.md", b"---\nlicense: mit\n---\n")
    files = [CommitOperationAdd(f"{name}.wav", str(mono / f"{name}.wav")) for name in ("empty", "talk")]
    HfApi().create_commit(repo, [card, *files], commit_message="c", repo_type="dataset")
    done = dailytalk("separate", repo, "--out", tmp_path / "two", "--profile", "embedded")
    assert done.code == 3, done.err
    assert (tmp_path / "two/talk.flac").is_file()
    source = json.loads((tmp_path / "two/run.json").read_text())["source"]
    assert (source["repository"], source["licence"]) == (repo, "mit")


def test_recordings_of_one_stem_and_parts_of_another_have_files_of_their_own() -> None:
    whole, cut = [{"reason": None}], [{"reason": None}, {"reason": "music or noise"}, {"reason": None}]
    parts = {"talk.mp3": whole, "talk.wav": whole, "a.wav": cut, "a.000.wav": whole, "day.1.wav": whole}
    rows = [{"recording_id": identity, "parts": parts[name]} for name, identity in identities([*parts]).items()]
    files = [name for row in rows for name, _ in named_parts(row) if name]
    assert files == ["talk.mp3.flac", "talk.wav.flac", "a.000.flac", "a.001.flac", "a.000.wav.flac", "day.1.flac"]


def test_part_that_begins_where_both_speak_has_the_separated_voices_from_there(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "talk.wav", np.full(16000, 100, np.int16), 8000)
    voices = encoded_sound(np.tile(np.array([[300, -300]], np.int16), (4000, 1)), 8000, "FLAC")
    turn = {"start": 0.5, "end": 1.0, "origin": "separated", "confidence": 1.0}
    row = {
        "audio": struct_of(tmp_path / "talk.wav"),
        "offset": 0.0,
        "separated_turns": [{"channel": side, **turn} for side in ("left", "right")],
        "overlaps": [{"start": 0.5, "end": 1.0, "sound": voices}],
    }
    file = io.BytesIO()
    write_part(file, row, 0.75, 2.0)
    file.seek(0)
    sides, _ = soundfile.read(file, dtype="int16")
    assert (sides[100:1900] == [300, -300]).all()
