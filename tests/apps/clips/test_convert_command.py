"""`dailytalk convert`: what becomes of recordings, their tags and folders, and what nothing may overwrite."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import encode, tones
from command import Command
from recordings import read_lines

TAGS = {"title": "Grüße", "artist": "Ann", "album": "Calls", "date": "2021", "genre": "Speech", "comment": "two"}


def save(path: Path, samples: Any = None, rate: int = 16000, subtype: str = "PCM_16", **tags: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = tones(2.0, rate) if samples is None else samples
    kind = {".opus": "OGG"}.get(path.suffix)
    with soundfile.SoundFile(path, "w", rate, samples.shape[1], subtype, format=kind) as file:
        for name, text in tags.items():
            setattr(file, name, text)
        file.write(samples)
    return path


def names(folder: Path) -> list[str]:
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(path) for path in paths if not path.name.startswith(".") and path.name != "rejects.jsonl")


def told(out: Path) -> dict[str, str]:
    return {line["id"]: line["reason"] for line in read_lines(out / "rejects.jsonl")}


@pytest.mark.parametrize("to", ["opus"])
def test_files_of_five_formats_become_each_of_four(tmp_path: Path, dailytalk: Command, to: str) -> None:
    for number, (suffix, subtype) in enumerate(
        (("wav", "PCM_16"), ("flac", "PCM_16"), ("mp3", "MPEG_LAYER_III"), ("ogg", "VORBIS"), ("opus", "OPUS"))
    ):
        save(tmp_path / f"in/day {number}/{suffix}.{suffix}", subtype=subtype, **TAGS)
    assert dailytalk("convert", tmp_path / "in", "--to", to, "--out", tmp_path / "out").code == 0
    assert names(tmp_path / "out") == sorted(
        f"day {number}/{name}.{to}" for number, name in enumerate(("wav", "flac", "mp3", "ogg", "opus"))
    )
    for path in (tmp_path / "out").rglob(f"*.{to}"):
        with soundfile.SoundFile(path) as file:
            assert (file.frames, file.samplerate, file.channels) == (32000, 16000, 2)
            assert {name: text for name, text in file.copy_metadata().items() if name in TAGS} == TAGS


def test_m4a_is_read_and_keeps_its_tags(tmp_path: Path, dailytalk: Command) -> None:
    (tmp_path / "in").mkdir()
    encode(tmp_path / "in/a.m4a", tones(2.0, 44100), 44100, title="Grüße", track="3")
    assert dailytalk("convert", tmp_path / "in", "--to", "opus", "--out", tmp_path / "out").code == 0
    with soundfile.SoundFile(tmp_path / "out/a.opus") as file:
        assert (file.samplerate, file.title, file.tracknumber) == (48000, "Grüße", "3")
        assert file.frames / 48000 == pytest.approx(2.0, abs=0.1)  # AAC fills its last frame


@pytest.mark.parametrize("to", ["wav", "flac"])
def test_samples_of_16_and_24_bits_are_the_same_in_wav_and_flac(
    tmp_path: Path, dailytalk: Command, to: str
) -> None:
    rng = np.random.default_rng(5)
    for bits in (16, 24):
        values = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (5000, 2)).astype(np.int32) << (32 - bits)
        source = tmp_path / "in" / f"{bits}.{'flac' if to == 'wav' else 'wav'}"
        save(source, values, subtype=f"PCM_{bits}")
        assert dailytalk("convert", source, "--to", to, "--out", tmp_path / "out").code == 0
        made = tmp_path / f"out/{bits}.{to}"
        assert soundfile.info(made).subtype == f"PCM_{bits}"
        assert np.array_equal(soundfile.read(made, dtype="int32")[0], values)


def test_rerun_does_only_what_is_not_done(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/a.wav")
    out = tmp_path / "out"
    command = ("convert", tmp_path / "in", "--to", "flac", "--out", out, "--json")
    assert json.loads(dailytalk(*command).out) == {
        "out": str(out),
        "made": 1,
        "seconds": 2.0,
        "done_before": 0,
        "rejected": [],
    }
    before = (out / "a.flac").stat()
    save(tmp_path / "in/b.wav")
    again = json.loads(dailytalk(*command).out)
    assert (again["made"], again["done_before"], again["rejected"]) == (1, 1, [])
    assert (out / "a.flac").stat() == before


def test_existing_file_is_replaced_only_when_asked(tmp_path: Path, dailytalk: Command) -> None:
    source = save(tmp_path / "in/a.wav")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.flac").write_text("mine")
    command = ("convert", tmp_path / "in", "--to", "flac", "--out", out)
    assert dailytalk(*command).code == 1
    assert (out / "a.flac").read_text() == "mine"
    assert "is already in --out" in told(out)["a.wav"]
    assert dailytalk(*command, "--overwrite").code == 0
    assert (dailytalk(*command).code, told(out)) == (0, {})
    assert dailytalk(*command, "--channels", 1).code == 1  # made in another way
    save(source, tones(1.0))
    assert dailytalk(*command).code == 1  # made of another file
    assert dailytalk(*command, "--overwrite").code == 0
    assert soundfile.info(out / "a.flac").frames == 16000


def test_sources_of_one_name_are_both_named_and_none_is_written(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/a.wav")
    save(tmp_path / "in/a.mp3", subtype="MPEG_LAYER_III")
    save(tmp_path / "in/b.wav")
    done = dailytalk("convert", tmp_path / "in", "--to", "flac", "--out", tmp_path / "out", "--overwrite")
    assert (done.code, names(tmp_path / "out")) == (3, ["b.flac"])
    reason = "'a.flac' would be made of 2 recordings"
    assert told(tmp_path / "out") == {"a.mp3": reason, "a.wav": reason}


def test_source_is_never_written_over(tmp_path: Path, dailytalk: Command) -> None:
    source = save(tmp_path / "a.wav", subtype="FLOAT")
    before = source.read_bytes()
    assert dailytalk("convert", source, "--to", "wav", "--out", tmp_path, "--overwrite").code == 1
    assert source.read_bytes() == before
    done = dailytalk("convert", tmp_path, "--to", "flac", "--out", tmp_path)
    assert (done.code, done.err) == (
        1,
        f"dailytalk: --out {str(tmp_path)!r} is the input itself: choose another folder.\n",
    )


def test_bad_files_cost_themselves(tmp_path: Path, dailytalk: Command) -> None:
    good = save(tmp_path / "in/good\nline\x1b[2J.wav")
    (tmp_path / "in/empty.wav").touch()
    (tmp_path / "in/half.wav").write_bytes(good.read_bytes()[:9000])
    (tmp_path / "in/text.mp3").write_text("no sound")
    save(tmp_path / "outside.wav")
    (tmp_path / "in/link.wav").symlink_to(tmp_path / "outside.wav")
    (tmp_path / "in/gone.wav").symlink_to(tmp_path / "in/nothing.wav")
    done = dailytalk("convert", tmp_path / "in", "--to", "opus", "--out", tmp_path / "out")
    assert (done.code, "\x1b" in done.out + done.err) == (3, False)
    assert names(tmp_path / "out") == ["good\nline\x1b[2J.opus"]
    assert set(told(tmp_path / "out")) == {f"{name}.wav" for name in ("empty", "half", "link", "gone")} | {
        "text.mp3"
    }


def test_channels_with_opposite_signs_are_not_mixed_to_silence(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/a.wav", tones(2.0) * [1.0, 0.0] - tones(2.0)[:, ::-1] * [0.0, 1.0])
    done = dailytalk("convert", tmp_path / "in", "--to", "wav", "--channels", 1, "--out", tmp_path / "out")
    assert (done.code, names(tmp_path / "out")) == (1, [])
    assert "opposite signs" in told(tmp_path / "out")["a.wav"]


def test_rejects_of_other_stages_stay(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/a.wav")
    (tmp_path / "out").mkdir()
    other = {"id": "b", "stage": "Segment", "reason": "too short", "remedy": "leave it out"}
    (tmp_path / "out/rejects.jsonl").write_text(json.dumps(other) + "\n")
    assert dailytalk("convert", tmp_path / "in", "--to", "flac", "--out", tmp_path / "out").code == 0
    assert read_lines(tmp_path / "out/rejects.jsonl") == [other]


@pytest.mark.parametrize(("channels", "command"), [(1, "split"), (2, "tag")])
def test_a_reading_is_split_next_and_a_call_is_tagged(
    tmp_path: Path, dailytalk: Command, channels: int, command: str
) -> None:
    save(tmp_path / "in/a.wav", tones(2.0, 16000)[:, :channels])
    done = dailytalk("convert", tmp_path / "in", "--to", "flac", "--out", tmp_path / "out")
    assert done.out.splitlines()[-1] == f"next: dailytalk {command} {tmp_path / 'out'} --out DIR"


def test_file_whose_float_samples_are_integers_is_named(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/loud.wav", 32768.0 * tones(2.0, 16000), subtype="FLOAT")
    save(tmp_path / "in/plain.wav", subtype="FLOAT")
    done = dailytalk("convert", tmp_path / "in", "--to", "wav", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    note = 'note: "loud.wav": its float samples are integers, and were divided by 32,768\n'
    assert [line for line in done.err.splitlines(keepends=True) if "integers" in line] == [note]
