"""`dailytalk convert`: what becomes of recordings and their folders, and what nothing may overwrite."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import encode, tones
from command import Command
from recordings import read_lines


def save(path: Path, samples: Any = None, rate: int = 16000, subtype: str = "PCM_16") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = tones(2.0, rate) if samples is None else samples
    kind = {".opus": "OGG"}.get(path.suffix)
    with soundfile.SoundFile(path, "w", rate, samples.shape[1], subtype, format=kind) as file:
        file.write(samples)
    return path


def names(folder: Path) -> list[str]:
    """The visible files, except the list of rejects."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    made = [path for path in files if path.name != "rejects.jsonl"]
    return sorted(str(path.relative_to(folder)) for path in made if not path.name.startswith("."))


def reasons(out: Path) -> dict[str, str]:
    return {line["id"]: line["reason"] for line in read_lines(out / "rejects.jsonl")}


#: Formats of recordings, and how soundfile names what is in them.
SUBTYPES = {
    "wav": "PCM_16",
    "flac": "PCM_16",
    "mp3": "MPEG_LAYER_III",
    "ogg": "VORBIS",
    "opus": "OPUS",
}


def test_files_of_five_formats_become_opus(tmp_path: Path, dailytalk: Command) -> None:
    source = tmp_path / "in"
    for number, (suffix, subtype) in enumerate(SUBTYPES.items()):
        path = source / f"day {number}/{suffix}.{suffix}"
        save(path, subtype=subtype)
    out = tmp_path / "out"
    assert dailytalk("convert", source, "--to", "opus", "--out", out).code == 0
    expected = [f"day {number}/{name}.opus" for number, name in enumerate(SUBTYPES)]
    assert names(out) == sorted(expected)
    for path in out.rglob("*.opus"):
        with soundfile.SoundFile(path) as file:
            assert file.frames == 32000
            assert file.samplerate == 16000
            assert file.channels == 2


def test_m4a_is_read(tmp_path: Path, dailytalk: Command) -> None:
    source = tmp_path / "in"
    source.mkdir()
    encode(source / "a.m4a", tones(2.0, 44100), 44100)
    out = tmp_path / "out"
    assert dailytalk("convert", source, "--to", "opus", "--out", out).code == 0
    with soundfile.SoundFile(out / "a.opus") as file:
        assert file.samplerate == 48000
        assert file.frames / 48000 == pytest.approx(2.0, abs=0.1)  # AAC fills its last frame


@pytest.mark.parametrize("to", ["wav", "flac"])
def test_samples_of_16_and_24_bits_are_the_same_in_wav_and_flac(
    tmp_path: Path, dailytalk: Command, to: str
) -> None:
    rng = np.random.default_rng(5)
    out = tmp_path / "out"
    for bits in (16, 24):
        limit = 1 << (bits - 1)
        values = rng.integers(-limit, limit, (5000, 2)).astype(np.int32) << (32 - bits)
        suffix = "flac" if to == "wav" else "wav"
        source = tmp_path / "in" / f"{bits}.{suffix}"
        save(source, values, subtype=f"PCM_{bits}")
        assert dailytalk("convert", source, "--to", to, "--out", out).code == 0
        made = out / f"{bits}.{to}"
        assert soundfile.info(made).subtype == f"PCM_{bits}"
        converted, _ = soundfile.read(made, dtype="int32")
        assert np.array_equal(converted, values)


def test_rerun_does_only_what_is_not_done(tmp_path: Path, dailytalk: Command) -> None:
    source = tmp_path / "in"
    save(source / "a.wav")
    out = tmp_path / "out"
    command = ("convert", source, "--to", "flac", "--out", out, "--json")
    first = json.loads(dailytalk(*command).out)
    assert first == {
        "out": str(out),
        "made": 1,
        "seconds": 2.0,
        "done_before": 0,
        "rejected": [],
    }
    before = (out / "a.flac").stat()
    save(source / "b.wav")
    again = json.loads(dailytalk(*command).out)
    assert again["made"] == 1
    assert again["done_before"] == 1
    assert again["rejected"] == []
    assert (out / "a.flac").stat() == before


def test_existing_file_is_replaced_only_when_asked(tmp_path: Path, dailytalk: Command) -> None:
    source = save(tmp_path / "in/a.wav")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.flac").write_text("mine")
    command = ("convert", tmp_path / "in", "--to", "flac", "--out", out)
    assert dailytalk(*command).code == 1
    assert (out / "a.flac").read_text() == "mine"
    assert "is already in --out" in reasons(out)["a.wav"]
    assert dailytalk(*command, "--overwrite").code == 0
    assert dailytalk(*command).code == 0
    assert reasons(out) == {}
    assert dailytalk(*command, "--channels", 1).code == 1  # made in another way
    save(source, tones(1.0))
    assert dailytalk(*command).code == 1  # made of another file
    assert dailytalk(*command, "--overwrite").code == 0
    assert soundfile.info(out / "a.flac").frames == 16000


def test_sources_of_one_name_are_both_named_and_none_is_written(tmp_path: Path, dailytalk: Command) -> None:
    source = tmp_path / "in"
    save(source / "a.wav")
    save(source / "a.mp3", subtype="MPEG_LAYER_III")
    save(source / "b.wav")
    out = tmp_path / "out"
    done = dailytalk("convert", source, "--to", "flac", "--out", out, "--overwrite")
    assert done.code == 3
    assert names(out) == ["b.flac"]
    reason = "'a.flac' would be made of 2 recordings"
    assert reasons(out) == {"a.mp3": reason, "a.wav": reason}


def test_source_is_never_written_over(tmp_path: Path, dailytalk: Command) -> None:
    source = save(tmp_path / "a.wav", subtype="FLOAT")
    before = source.read_bytes()
    assert dailytalk("convert", source, "--to", "wav", "--out", tmp_path, "--overwrite").code == 1
    assert source.read_bytes() == before
    done = dailytalk("convert", tmp_path, "--to", "flac", "--out", tmp_path)
    assert done.code == 1
    assert done.err == f"dailytalk: --out {str(tmp_path)!r} is the input itself: choose another folder.\n"


def test_bad_files_cost_themselves(tmp_path: Path, dailytalk: Command) -> None:
    source = tmp_path / "in"
    good = save(source / "good\nline\x1b[2J.wav")
    (source / "empty.wav").touch()
    (source / "half.wav").write_bytes(good.read_bytes()[:9000])
    (source / "text.mp3").write_text("no sound")
    save(tmp_path / "outside.wav")
    (source / "link.wav").symlink_to(tmp_path / "outside.wav")
    (source / "gone.wav").symlink_to(source / "nothing.wav")
    out = tmp_path / "out"
    done = dailytalk("convert", source, "--to", "opus", "--out", out)
    assert done.code == 3
    assert "\x1b" not in done.out + done.err
    assert names(out) == ["good\nline\x1b[2J.opus"]
    rejected = {"empty.wav", "half.wav", "link.wav", "gone.wav", "text.mp3"}
    assert set(reasons(out)) == rejected


def test_channels_with_opposite_signs_are_not_mixed_to_silence(tmp_path: Path, dailytalk: Command) -> None:
    source = tmp_path / "in"
    left = tones(2.0) * [1.0, 0.0]
    right = tones(2.0)[:, ::-1] * [0.0, 1.0]
    save(source / "a.wav", left - right)
    out = tmp_path / "out"
    done = dailytalk("convert", source, "--to", "wav", "--channels", 1, "--out", out)
    assert done.code == 1
    assert names(out) == []
    assert "opposite signs" in reasons(out)["a.wav"]


def test_rejects_of_other_stages_stay(tmp_path: Path, dailytalk: Command) -> None:
    source = tmp_path / "in"
    save(source / "a.wav")
    out = tmp_path / "out"
    out.mkdir()
    other = {"id": "b", "stage": "Segment", "reason": "too short", "remedy": "leave it out"}
    (out / "rejects.jsonl").write_text(json.dumps(other) + "\n")
    assert dailytalk("convert", source, "--to", "flac", "--out", out).code == 0
    assert read_lines(out / "rejects.jsonl") == [other]


@pytest.mark.parametrize(("channels", "command"), [(1, "split"), (2, "tag")])
def test_a_reading_is_split_next_and_a_call_is_tagged(
    tmp_path: Path, dailytalk: Command, channels: int, command: str
) -> None:
    source = tmp_path / "in"
    save(source / "a.wav", tones(2.0, 16000)[:, :channels])
    done = dailytalk("convert", source, "--to", "flac", "--out", tmp_path / "out")
    assert done.out.splitlines()[-1] == f"next: dailytalk {command} {tmp_path / 'out'} --out DIR"


def test_file_whose_float_samples_are_integers_is_named(tmp_path: Path, dailytalk: Command) -> None:
    source = tmp_path / "in"
    save(source / "loud.wav", 32768.0 * tones(2.0, 16000), subtype="FLOAT")
    save(source / "plain.wav", subtype="FLOAT")
    done = dailytalk("convert", source, "--to", "wav", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    note = 'note: "loud.wav": its float samples are integers, and were divided by 32,768\n'
    notes = [line for line in done.err.splitlines(keepends=True) if "integers" in line]
    assert notes == [note]
