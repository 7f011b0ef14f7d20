import csv
import json
from pathlib import Path
from typing import Any

import pytest
import soundfile
from command import Command
from corpus_trees import clip, put
from finished_corpora import clip_row, corpus_folder
from paired_conversations import work_folder

from dailytalk_contiguous.publish.exports.formats import FORMATS
from dailytalk_contiguous.publish.opening import open_items

TEXTS = {
    "a.wav": 'He said: "Now|never',
    "B_1.wav": '"What?" she\u2028asked.\r\nAgain.',
    "c d.wav": " plain  text ",
}


def folder(tmp_path: Path, texts: Any = TEXTS, **more: Any) -> Path:
    usual = {"language": "en", "segments": [], "reviewer": "Ann"}
    entries = {name: {"text": text, **usual} for name, text in texts.items()}
    files = {f"audio/{name}": clip(0.5 + number / 10) for number, name in enumerate(texts)}
    files["whisper.json"] = json.dumps(entries | more).encode()
    return put(tmp_path / "Mary", files)


def exported(dailytalk: Command, source: Path, format: str, out: Path, *options: str) -> Any:
    done = dailytalk("export", source, "--format", format, "--out", out, *options)
    assert done.code == 0, done.err
    assert done.err == ""
    return done


def lines(path: Path, is_csv: bool) -> list[list[str]]:
    if is_csv:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file, delimiter="|"))
    with path.open(encoding="utf-8") as file:  # as the trainers do, which break at \r, too
        return [line.rstrip("\n").split("|") for line in file]


def column(rows: list[list[str]], index: int) -> set[str]:
    return {row[index] for row in rows}


def xtts_rows(out: Path, side: str) -> list[list[str]]:
    """The clips of one side, without the header."""
    _, *rows = lines(out / f"metadata_{side}.csv", True)
    return rows


PLAIN = {'He said: "Now never', '"What?" she asked. Again.', "plain text"}


@pytest.mark.parametrize(
    ("format", "lists", "header", "text"),
    [
        ("ljspeech", ["metadata.csv"], None, 2),
        ("xtts", ["metadata_train.csv", "metadata_eval.csv"], ["audio_file", "text", "speaker_name"], 1),
        ("piper", ["metadata.csv"], None, 1),
        ("gpt-sovits", ["metadata.list"], None, 3),
        ("f5", ["metadata.csv"], ["audio_file", "text"], 1),
        ("tortoise", ["train.txt", "validation.txt"], None, 1),
    ],
)
def test_no_text_breaks_a_line_of_a_list_and_every_sound_is_there(
    tmp_path: Path, dailytalk: Command, format: str, lists: list[str], header: list[str] | None, text: int
) -> None:
    out = tmp_path / "out"
    done = exported(dailytalk, folder(tmp_path), format, out)
    _, _, left_out = done.out.partition("left out: | in texts")
    assert ": 1\n" in left_out
    is_csv = format in ("xtts", "piper", "f5")
    rows = []
    for name in lists:
        listed = lines(out / name, is_csv)
        if header:
            assert listed.pop(0) == header
        rows += listed
    n_fields = {"ljspeech": 3, "xtts": 3, "gpt-sovits": 4}
    assert {len(row) for row in rows} == {n_fields.get(format, 2)}
    assert column(rows, text) == PLAIN
    for sound, *_ in rows:
        path = sound if sound.endswith(".wav") else f"wavs/{sound}.wav"
        info = soundfile.info(out / path)  # a whole path stays one
        assert info.channels == 1
        assert info.samplerate == FORMATS[format].sample_rate
        assert info.subtype == "PCM_16"
    sounds = out / ("audio" if format == "tortoise" else "wavs")
    assert len(list(sounds.iterdir())) == 3


@pytest.mark.parametrize("format", ["xtts", "ljspeech"])
def test_clips_without_texts_name_the_command_that_writes_them(
    tmp_path: Path, dailytalk: Command, format: str
) -> None:
    clips = put(tmp_path / "Usable", {"a.wav": clip(0.5), "b.wav": clip(0.6)})
    done = dailytalk("export", clips, "--format", format, "--out", tmp_path / "out")
    assert done.code == 1
    assert f"run `dailytalk transcribe {clips}`" in done.err


def test_several_speakers_are_named_for_piper_and_keep_to_one_side(tmp_path: Path, dailytalk: Command) -> None:
    speakers = ("ANN", "BOB", "CYD", "DEE")
    texts = {f"{speaker}_{n:04d}.wav": f"Line {n}." for speaker in speakers for n in range(3)}
    source = folder(tmp_path, texts)
    exported(dailytalk, source, "piper", tmp_path / "piper")
    rows = lines(tmp_path / "piper/metadata.csv", True)
    assert column(rows, 1) == {*speakers}
    xtts = tmp_path / "xtts"
    exported(dailytalk, source, "xtts", xtts, "--eval-share", "0.25")
    trained = column(xtts_rows(xtts, "train"), 2)
    evaluated = column(xtts_rows(xtts, "eval"), 2)
    assert not trained & evaluated
    assert len(evaluated) == 1


def test_a_corpus_keeps_its_sides_and_a_list_alone_its_training_clips(tmp_path: Path, dailytalk: Command) -> None:
    splits = ("validation", "train", "train", "train")
    rows = [clip_row(f"s{n}-0", "happy", 0.5, split=split) for n, split in enumerate(splits)]
    corpus = corpus_folder(tmp_path / "work", rows)
    xtts = tmp_path / "xtts"
    exported(dailytalk, corpus, "xtts", xtts)
    assert len(xtts_rows(xtts, "train")) == 3
    assert len(xtts_rows(xtts, "eval")) == 1
    ljspeech = tmp_path / "ljspeech"
    done = exported(dailytalk, corpus, "ljspeech", ljspeech, "--sample-rate", "16000")
    assert "3 clips of train, the 1 of validation left out" in done.out
    assert "next:" not in done.out  # `check` knows no folders of voices
    first, *_ = lines(ljspeech / "metadata.csv", False)
    info = soundfile.info(ljspeech / f"wavs/{first[0]}.wav")
    assert info.channels == 1
    assert info.samplerate == 16000
    assert info.frames == 8000


@pytest.mark.parametrize("format", ["ljspeech", "gpt-sovits"])
def test_utterances_of_people_in_conversations_are_clips(tmp_path: Path, dailytalk: Command, format: str) -> None:
    source = tmp_path / "in"
    source.mkdir()
    work = work_folder(source)
    out = tmp_path / "out"
    done = exported(dailytalk, work, format, out, "--json")
    made = json.loads(done.out)
    sounds = [*out.rglob("*.wav")]
    utterances = open_items(work).row("secret0")["utterances"]
    kept = [utterance for utterance in utterances if utterance["status"] != "spoken"]
    n_resynthesised = len(utterances) - len(kept)
    assert kept
    assert len(sounds) == 4 * len(kept)
    assert sum(made["files"].values()) == len(sounds)
    assert made["left_out_parts"]["resynthesised utterances"] == 4 * n_resynthesised
    seconds = [round(soundfile.info(path).duration, 2) for path in sounds]
    expected = 4 * [round(utterance["end"] - utterance["start"], 2) for utterance in kept]
    assert sorted(seconds) == sorted(expected)
    if format == "gpt-sovits":
        voices = column(lines(out / "metadata.list", False), 1)
        channels = {utterance["channel"] for utterance in kept}
        assert len(voices) == 4 * len(channels)


def test_clips_of_a_whisper_json_lose_fillers_in_its_lists_and_in_the_json_beside_them(
    tmp_path: Path, dailytalk: Command
) -> None:
    texts = {"a.wav": "Um, we could, uh, go.", "b.wav": "Well, yes.", "c.wav": "Uh, um.", "d.wav": "No, um."}
    out = tmp_path / "out"
    source = folder(tmp_path, texts)
    options = ("--format", "tortoise", "--out", out, "--fillers", "drop", "--json")
    done = dailytalk("export", source, *options)
    (reject,) = json.loads(done.out)["rejects"]
    assert reject["reason"] == "it has no text"
    rows = lines(out / "train.txt", False) + lines(out / "validation.txt", False)
    entries = json.loads((out / "whisper.json").read_text(encoding="utf-8")).values()
    expected = {"We could, go.", "Well, yes.", "No."}
    assert column(rows, 1) == expected
    assert {entry["text"] for entry in entries} == expected
    assert {segment["text"] for entry in entries for segment in entry["segments"]} <= expected
