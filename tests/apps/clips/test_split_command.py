"""`dailytalk split` and `dailytalk silences` on real files: nothing is lost, and bad input is one sentence."""

import json
import os
import re
import shutil
import signal
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import EXAMPLES, encode, room_tone, tones
from command import EMBEDDED, Command, start_held_before

from dailytalk_contiguous.apps.clips.split_command import MANIFEST, NON_USABLE, USABLE


def talk(seconds: float, rate: int = 16000, channels: int = 1) -> np.ndarray:
    """A tone with a pause of a second in every five, over soft noise, shape (n, channels)."""
    sound = tones(seconds, rate, channels)
    t = np.arange(len(sound)) / rate
    sound[t % 5 > 4] = 0
    return sound + room_tone(sound.size, -70.0).reshape(sound.shape)


def manifest(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / MANIFEST).read_text(encoding="utf-8").splitlines()]


def pieces_of(out: Path) -> dict[str, list[dict[str, Any]]]:
    by_source: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in manifest(out):
        by_source[line["source"]].append(line)
    return by_source


def joined(out: Path, source: str, dtype: str) -> np.ndarray:
    return np.concatenate(
        [soundfile.read(out / line["file"], dtype=dtype, always_2d=True)[0] for line in pieces_of(out)[source]]
    )


def files_in(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.suffix in (".wav", ".tmp")}


@pytest.mark.parametrize(
    ("name", "subtype", "dtype", "channels", "rate"),
    [
        ("a.wav", "PCM_24", "int32", 1, 96000),
        ("a.wav", "FLOAT", "float32", 2, 48000),
        ("a.flac", "PCM_24", "int32", 1, 48000),
    ],
)
def test_pieces_joined_are_the_recording_to_the_sample_at_its_rate_and_depth(
    dailytalk: Command, tmp_path: Path, name: str, subtype: str, dtype: str, channels: int, rate: int
) -> None:
    (tmp_path / "in").mkdir()
    sound = talk(23.0, rate, channels)
    soundfile.write(tmp_path / "in" / name, sound * (1.5 if subtype == "FLOAT" else 1.0), rate, subtype=subtype)
    out = tmp_path / "out"
    assert dailytalk("split", tmp_path / "in", "--out", out).code == 0
    source, _ = soundfile.read(tmp_path / "in" / name, dtype=dtype, always_2d=True)
    assert np.array_equal(joined(out, name, dtype), source)
    infos = [soundfile.info(out / line["file"]) for line in manifest(out)]
    assert {(info.samplerate, info.channels, info.subtype) for info in infos} == {(rate, channels, subtype)}
    assert len(infos) >= 5


def test_compressed_recording_is_decoded_once_and_cut_the_same_after_a_piece_is_lost(
    dailytalk: Command, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    encode(source / "a.m4a", talk(23.0), 16000)
    out = tmp_path / "out"
    assert dailytalk("split", source, "--out", out).code == 0
    lines = manifest(out)
    assert lines[-1]["end"] == sum(soundfile.info(out / line["file"]).frames for line in lines)
    before = soundfile.read(out / lines[2]["file"], dtype="int32")[0]
    (out / lines[2]["file"]).unlink()
    (out / MANIFEST).unlink()
    assert dailytalk("split", source, "--out", out, "--json").code == 0
    assert np.array_equal(soundfile.read(out / lines[2]["file"], dtype="int32")[0], before)


def test_every_piece_has_a_file_a_line_and_a_reason_where_it_is_not_usable(
    dailytalk: Command, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = dailytalk("split", EXAMPLES, "--out", out, "--min", "5", "--json")
    assert done.code == 0
    lines = manifest(out)
    assert {line["file"] for line in lines} == files_in(out)
    assert all(line["usable"] == line["file"].startswith(f"{USABLE}/") for line in lines)
    assert all((line["reason"] is None) == line["usable"] for line in lines)
    assert any(line["file"].startswith(f"{NON_USABLE}/") for line in lines)
    for source, pieces in pieces_of(out).items():
        assert [piece["start"] for piece in pieces] == [0, *(piece["end"] for piece in pieces[:-1])]
        assert pieces[-1]["end"] == soundfile.info(EXAMPLES / source).frames
        assert pieces[-1]["cut"] == "end"
        numbers = [int(Path(piece["file"]).stem[-6:]) for piece in pieces]
        assert numbers == list(range(1, len(pieces) + 1))
    told = json.loads(done.out)
    assert told["counts"]["pieces"] == len(lines)
    assert told["seconds"]["usable"] + told["seconds"]["non_usable"] == pytest.approx(
        told["seconds"]["audio"], abs=0.01
    )


def test_second_run_writes_nothing_and_other_settings_leave_no_file_behind(
    dailytalk: Command, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    dailytalk("split", EXAMPLES / "old_friends.flac", "--out", out)
    dates = {name: (out / name).stat().st_mtime_ns for name in files_in(out)}
    done = dailytalk("split", EXAMPLES / "old_friends.flac", "--out", out)
    assert "nothing to do: all pieces are there" in done.out
    assert {name: (out / name).stat().st_mtime_ns for name in files_in(out)} == dates
    assert dailytalk("split", EXAMPLES / "old_friends.flac", "--out", out, "--max", "5").code == 0
    assert {line["file"] for line in manifest(out)} == files_in(out)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_run_that_is_stopped_half_way_goes_on_and_ends_like_one_that_was_not(
    dailytalk: Command, tmp_path: Path, how: signal.Signals
) -> None:
    rate = 48000
    out = tmp_path / "out"
    soundfile.write(tmp_path / "long.wav", (talk(60.0, rate) * 32767).astype("int16"), rate)
    process = start_held_before(3, ".wav", "split", tmp_path / "long.wav", "--out", out)
    os.killpg(process.pid, how)
    process.communicate()
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    assert not (out / MANIFEST).exists()
    done = dailytalk("split", tmp_path / "long.wav", "--out", out, "--json")
    assert done.code == 0
    lines = manifest(out)
    assert json.loads(done.out)["written"] < len(lines)
    assert {line["file"] for line in lines} == files_in(out)
    source, _ = soundfile.read(tmp_path / "long.wav", dtype="int16", always_2d=True)
    assert np.array_equal(joined(out, "long.wav", "int16"), source)


def test_recordings_that_can_not_be_used_are_named_and_the_rest_is_split(
    dailytalk: Command, tmp_path: Path
) -> None:
    calls = tmp_path / "in"
    out = tmp_path / "out"
    (calls / "b").mkdir(parents=True)
    soundfile.write(calls / "talk.wav", talk(9.0), 16000)
    soundfile.write(calls / "b" / "Talk.wav", talk(9.0), 16000)
    soundfile.write(calls / "silent.wav", np.zeros(16000 * 30), 16000)
    soundfile.write(calls / "noise.wav", room_tone(16000 * 30, -30.0), 16000)
    soundfile.write(calls / "odd \U0001f600 'name'\n; $(x) – Ünïcode.wav", talk(9.0), 16000)
    (calls / "empty.wav").touch()
    (calls / "text.wav").write_text("hello")
    (calls / "short.wav").write_bytes((calls / "talk.wav").read_bytes()[:20000])
    soundfile.write(calls / "nan.wav", np.full(16000, np.nan), 16000, subtype="FLOAT")
    done = dailytalk("split", calls, "--out", out)
    assert done.code == 3
    rejects = [json.loads(line)["id"] for line in (out / "rejects.jsonl").read_text().splitlines()]
    assert sorted(rejects) == ["empty", "nan", "short", "text"]
    by_source = pieces_of(out)
    assert {line["reason"] for line in by_source["silent.wav"]} == {"it is silent"}
    assert [line["reason"] for line in by_source["noise.wav"]] == [
        "it is 30.00 s long (at most 11 s), without a silence to cut it in"
    ]
    assert by_source["talk.wav"][0]["file"] == "Usable/talk_000001.wav"
    assert re.fullmatch(r"Usable/Talk-[0-9a-f]{10}_000001\.wav", by_source["b/Talk.wav"][0]["file"])
    assert "Usable/odd_name_x_Ünïcode_000001.wav" in files_in(out)


def test_pieces_of_a_recording_that_left_the_input_or_that_people_changed_are_never_lost(
    dailytalk: Command, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    shutil.copytree(EXAMPLES, source)
    out = tmp_path / "out"
    dailytalk("split", source, "--out", out)
    (source / "old_friends.flac").unlink()
    done = dailytalk("split", source, "--out", out)
    assert done.code == 1
    assert "outside of this input ('old_friends.flac'): choose another --out" in done.err
    shutil.copy(EXAMPLES / "old_friends.flac", source)
    (out / MANIFEST).write_text("".join((out / MANIFEST).read_text().splitlines(keepends=True)[1:]))
    done = dailytalk("split", source, "--out", out, "--max", "5")
    assert done.code == 1
    assert "were changed since: choose another --out" in done.err


def test_suggested_silence_gives_the_pieces_that_were_promised(dailytalk: Command, tmp_path: Path) -> None:
    whole = json.loads(dailytalk("silences", EXAMPLES, "--max", "8", "--json").out)["all"]
    silence = whole["suggested_silence"]
    (promised,) = (one for one in whole["candidates"] if one["silence"] == silence)
    out = tmp_path / "out"
    dailytalk("split", EXAMPLES, "--out", out, "--max", "8", "--silence", silence)
    lines = manifest(out)
    assert len(lines) == promised["pieces"]
    assert sum(line["usable"] for line in lines) == promised["usable"]


def words_in_names(out: Path) -> dict[str, str]:
    """The number of each usable piece, and the words in its name."""
    names = [Path(line["file"]).stem for line in manifest(out) if line["usable"]]
    return {name.partition("-")[0]: name.partition("-")[2] for name in names}


def test_the_first_words_of_a_piece_are_in_its_name(dailytalk: Command, tmp_path: Path) -> None:
    """Numbers and folders are those of a split without words."""
    source = EXAMPLES.parent / "readings"
    out = tmp_path / "out"
    assert dailytalk("split", source, "--out", tmp_path / "plain").code == 0
    done = dailytalk("split", source, "--out", out, "--words", "3", *EMBEDDED)
    assert done.code == 0
    assert done.err == ""
    assert {line["file"] for line in manifest(out)} == files_in(out)
    words = words_in_names(out)
    said = {2: "Peter-I-can-t", 4: "So-tell-me", 5: "Well-it-is", 10: "Okay", 14: "Yes-my-friend"}
    assert {number: words[f"reading_{number:06d}"] for number in said} == said
    assert min(map(len, words.values())) > 0
    plain = [line["file"].removesuffix(".wav") for line in manifest(tmp_path / "plain")]
    assert [re.sub("-.*", "", line["file"]).removesuffix(".wav") for line in manifest(out)] == plain


def test_words_are_heard_once_and_a_run_that_was_stopped_keeps_them(dailytalk: Command, tmp_path: Path) -> None:
    source = EXAMPLES / "old_friends.flac"
    out = tmp_path / "out"
    arguments = ("split", source, "--out", out, "--words", "2", *EMBEDDED)
    assert dailytalk(*arguments).code == 0
    before = {name: (out / name).stat().st_mtime_ns for name in files_in(out)}
    assert "nothing to do: all pieces are there" in dailytalk(*arguments).out
    (out / MANIFEST).unlink()  # as if it had been stopped before the end
    assert dailytalk(*arguments).code == 0
    assert {name: (out / name).stat().st_mtime_ns for name in files_in(out)} == before
    assert {line["file"] for line in manifest(out)} == files_in(out)
    lost = next(name for name in before if "-" in name)
    (out / lost).unlink()
    (out / MANIFEST).unlink()
    assert dailytalk(*arguments).code == 0
    assert {*files_in(out)} == {*before}
    assert dailytalk("split", source, "--out", out).code == 0  # without words: no file of the other run is left
    assert [name for name in files_in(out) if "-" in Path(name).name] == []


def test_a_recogniser_without_a_number_of_words_is_refused(dailytalk: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = dailytalk("split", EXAMPLES, "--out", out, "--model", "base")
    assert done.code == 2
    assert "--asr-model needs --words: say how many words" in done.err
    assert not out.exists()


def test_file_whose_float_samples_are_integers_is_named(dailytalk: Command, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    soundfile.write(source / "loud.wav", 32768.0 * talk(12.0), 16000, "FLOAT")
    soundfile.write(source / "plain.wav", talk(12.0), 16000, "FLOAT")
    done = dailytalk("split", source, "--out", tmp_path / "out")
    note = 'note: "loud.wav": its float samples are integers, and were divided by 32,768\n'
    assert [line for line in done.err.splitlines(keepends=True) if "integers" in line] == [note]
