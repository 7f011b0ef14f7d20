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
from recordings import read_lines

from dailytalk_contiguous.apps.clips.split_command import MANIFEST, NON_USABLE, USABLE


def talk(seconds: float, rate: int = 16000, channels: int = 1) -> np.ndarray:
    """A tone with a pause of a second in every five, over soft noise, shape (n, channels)."""
    sound = tones(seconds, rate, channels)
    t = np.arange(len(sound)) / rate
    sound[t % 5 > 4] = 0
    return sound + room_tone(sound.size, -70.0).reshape(sound.shape)


def manifest(out: Path) -> list[dict[str, Any]]:
    lines = (out / MANIFEST).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def pieces_of(out: Path) -> dict[str, list[dict[str, Any]]]:
    by_source: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in manifest(out):
        by_source[line["source"]].append(line)
    return by_source


def sound_of(path: Path, dtype: str) -> np.ndarray:
    samples, _ = soundfile.read(path, dtype=dtype, always_2d=True)
    return samples


def joined(out: Path, source: str, dtype: str) -> np.ndarray:
    pieces = pieces_of(out)[source]
    return np.concatenate([sound_of(out / piece["file"], dtype) for piece in pieces])


def listed(out: Path) -> set[str]:
    return {line["file"] for line in manifest(out)}


def files_in(out: Path) -> set[str]:
    paths = [path for path in out.rglob("*") if path.suffix in (".wav", ".tmp")]
    return {path.relative_to(out).as_posix() for path in paths}


def times(out: Path) -> dict[str, int]:
    return {name: (out / name).stat().st_mtime_ns for name in files_in(out)}


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
    source = tmp_path / "in"
    source.mkdir()
    gain = 1.5 if subtype == "FLOAT" else 1.0
    sound = talk(23.0, rate, channels) * gain
    soundfile.write(source / name, sound, rate, subtype=subtype)
    out = tmp_path / "out"
    assert dailytalk("split", source, "--out", out).code == 0
    samples = sound_of(source / name, dtype)
    assert np.array_equal(joined(out, name, dtype), samples)
    infos = [soundfile.info(out / line["file"]) for line in manifest(out)]
    for info in infos:
        assert info.samplerate == rate
        assert info.channels == channels
        assert info.subtype == subtype
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
    lengths = [soundfile.info(out / line["file"]).frames for line in lines]
    assert lines[-1]["end"] == sum(lengths)
    lost = out / lines[2]["file"]
    before = sound_of(lost, "int32")
    lost.unlink()
    (out / MANIFEST).unlink()
    assert dailytalk("split", source, "--out", out, "--json").code == 0
    assert np.array_equal(sound_of(lost, "int32"), before)


def test_every_piece_has_a_file_a_line_and_a_reason_where_it_is_not_usable(
    dailytalk: Command, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = dailytalk("split", EXAMPLES, "--out", out, "--min", "5", "--json")
    assert done.code == 0
    lines = manifest(out)
    assert listed(out) == files_in(out)
    for line in lines:
        assert line["usable"] == line["file"].startswith(f"{USABLE}/")
        assert line["usable"] == (line["reason"] is None)
    assert any(line["file"].startswith(f"{NON_USABLE}/") for line in lines)
    for source, pieces in pieces_of(out).items():
        starts = [piece["start"] for piece in pieces]
        ends = [piece["end"] for piece in pieces]
        assert starts == [0, *ends[:-1]]
        assert pieces[-1]["end"] == soundfile.info(EXAMPLES / source).frames
        assert pieces[-1]["cut"] == "end"
        numbers = [int(Path(piece["file"]).stem[-6:]) for piece in pieces]
        assert numbers == list(range(1, len(pieces) + 1))
    summary = json.loads(done.out)
    assert summary["counts"]["pieces"] == len(lines)
    seconds = summary["seconds"]
    pieces_seconds = seconds["usable"] + seconds["non_usable"]
    assert pieces_seconds == pytest.approx(seconds["audio"], abs=0.01)


def test_second_run_writes_nothing_and_other_settings_leave_no_file_behind(
    dailytalk: Command, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ("split", EXAMPLES / "old_friends.flac", "--out", out)
    dailytalk(*command)
    before = times(out)
    done = dailytalk(*command)
    assert "nothing to do: all pieces are there" in done.out
    assert times(out) == before
    assert dailytalk(*command, "--max", "5").code == 0
    assert listed(out) == files_in(out)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_run_that_is_stopped_half_way_goes_on_and_ends_like_one_that_was_not(
    dailytalk: Command, tmp_path: Path, how: signal.Signals
) -> None:
    rate = 48000
    out = tmp_path / "out"
    recording = tmp_path / "long.wav"
    samples = talk(60.0, rate) * 32767
    soundfile.write(recording, samples.astype("int16"), rate)
    process = start_held_before(3, ".wav", "split", recording, "--out", out)
    os.killpg(process.pid, how)
    process.communicate()
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    assert not (out / MANIFEST).exists()
    done = dailytalk("split", recording, "--out", out, "--json")
    assert done.code == 0
    assert json.loads(done.out)["written"] < len(manifest(out))
    assert listed(out) == files_in(out)
    source = sound_of(recording, "int16")
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
    rejects = [line["id"] for line in read_lines(out / "rejects.jsonl")]
    assert sorted(rejects) == ["empty", "nan", "short", "text"]
    by_source = pieces_of(out)
    assert {line["reason"] for line in by_source["silent.wav"]} == {"it is silent"}
    (noise,) = by_source["noise.wav"]
    assert noise["reason"] == "it is 30.00 s long (at most 11 s), without a silence to cut it in"
    assert by_source["talk.wav"][0]["file"] == "Usable/talk_000001.wav"
    second = by_source["b/Talk.wav"][0]["file"]
    assert re.fullmatch(r"Usable/Talk-[0-9a-f]{10}_000001\.wav", second)
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
    lines = (out / MANIFEST).read_text().splitlines(keepends=True)
    (out / MANIFEST).write_text("".join(lines[1:]))
    done = dailytalk("split", source, "--out", out, "--max", "5")
    assert done.code == 1
    assert "were changed since: choose another --out" in done.err


def test_suggested_silence_gives_the_pieces_that_were_promised(dailytalk: Command, tmp_path: Path) -> None:
    measured = dailytalk("silences", EXAMPLES, "--max", "8", "--json")
    whole = json.loads(measured.out)["all"]
    silence = whole["suggested_silence"]
    candidates = [candidate for candidate in whole["candidates"] if candidate["silence"] == silence]
    (promised,) = candidates
    out = tmp_path / "out"
    dailytalk("split", EXAMPLES, "--out", out, "--max", "8", "--silence", silence)
    lines = manifest(out)
    assert len(lines) == promised["pieces"]
    assert sum(line["usable"] for line in lines) == promised["usable"]


def words_in_names(out: Path) -> dict[str, str]:
    """The number of each usable piece, and the words in its name."""
    words = {}
    for line in manifest(out):
        if line["usable"]:
            number, _, text = Path(line["file"]).stem.partition("-")
            words[number] = text
    return words


def test_the_first_words_of_a_piece_are_in_its_name(dailytalk: Command, tmp_path: Path) -> None:
    """Numbers and folders are those of a split without words."""
    source = EXAMPLES.parent / "readings"
    out = tmp_path / "out"
    assert dailytalk("split", source, "--out", tmp_path / "plain").code == 0
    done = dailytalk("split", source, "--out", out, "--words", "3", *EMBEDDED)
    assert done.code == 0
    assert done.err == ""
    assert listed(out) == files_in(out)
    words = words_in_names(out)
    expected = {2: "Peter-I-can-t", 4: "So-tell-me", 5: "Well-it-is", 10: "Okay", 14: "Yes-my-friend"}
    for number, text in expected.items():
        assert words[f"reading_{number:06d}"] == text
    assert all(words.values())
    plain = [line["file"].removesuffix(".wav") for line in manifest(tmp_path / "plain")]
    named = [line["file"].removesuffix(".wav") for line in manifest(out)]
    assert [re.sub("-.*", "", name) for name in named] == plain


def test_words_are_heard_once_and_a_run_that_was_stopped_keeps_them(dailytalk: Command, tmp_path: Path) -> None:
    source = EXAMPLES / "old_friends.flac"
    out = tmp_path / "out"
    arguments = ("split", source, "--out", out, "--words", "2", *EMBEDDED)
    assert dailytalk(*arguments).code == 0
    before = times(out)
    assert "nothing to do: all pieces are there" in dailytalk(*arguments).out
    (out / MANIFEST).unlink()  # as if it had been stopped before the end
    assert dailytalk(*arguments).code == 0
    assert times(out) == before
    assert listed(out) == files_in(out)
    lost = next(name for name in before if "-" in name)
    (out / lost).unlink()
    (out / MANIFEST).unlink()
    assert dailytalk(*arguments).code == 0
    assert files_in(out) == {*before}
    # Without words, no file of the other run is left.
    assert dailytalk("split", source, "--out", out).code == 0
    assert [name for name in files_in(out) if "-" in Path(name).name] == []


def test_a_recogniser_without_a_number_of_words_is_refused(dailytalk: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = dailytalk("split", EXAMPLES, "--out", out, "--asr-model", "base")
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
    notes = [line for line in done.err.splitlines(keepends=True) if "integers" in line]
    assert notes == [note]
