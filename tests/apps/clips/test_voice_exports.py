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

from dailytalk_contiguous.publish.formats import FORMATS
from dailytalk_contiguous.publish.opening import open_items

TEXTS = {
    "a.wav": 'He said: "Now|never',
    "B_1.wav": '"What?" she\u2028asked.\r\nAgain.',
    "c d.wav": " plain  text ",
}


def folder(tmp_path: Path, texts: Any = TEXTS, **more: Any) -> Path:
    entries = {
        name: {"text": text, "language": "en", "segments": [], "reviewer": "Ann"} for name, text in texts.items()
    }
    files = {f"audio/{name}": clip(0.5 + number / 10) for number, name in enumerate(texts)}
    return put(tmp_path / "Mary", files | {"whisper.json": json.dumps(entries | more).encode()})


def exported(dailytalk: Command, source: Path, format: str, out: Path, *options: str) -> Any:
    done = dailytalk("export", source, "--format", format, "--out", out, *options)
    assert (done.code, done.err) == (0, ""), done.err
    return done


def lines(path: Path, is_csv: bool) -> list[list[str]]:
    if is_csv:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file, delimiter="|"))
    with path.open(encoding="utf-8") as file:  # as the trainers do, which break at \r, too
        return [line.rstrip("\n").split("|") for line in file]


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
    assert ": 1\n" in done.out.partition("left out: | in texts")[2]
    read = [lines(out / name, format in ("xtts", "piper", "f5")) for name in lists]
    if header:
        assert [rows.pop(0) for rows in read] == [header] * len(lists)
    rows = [row for own in read for row in own]
    n_fields = {"ljspeech": 3, "xtts": 3, "gpt-sovits": 4}
    assert {len(row) for row in rows} == {n_fields.get(format, 2)}
    assert {row[text] for row in rows} == PLAIN
    for row in rows:
        path = Path(row[0]) if row[0].endswith(".wav") else Path("wavs") / f"{row[0]}.wav"
        info = soundfile.info(out / path)  # a whole path stays one
        assert (info.channels, info.samplerate, info.subtype) == (1, FORMATS[format].sample_rate, "PCM_16")
    assert len(list((out / ("audio" if format == "tortoise" else "wavs")).iterdir())) == 3


def test_several_speakers_are_named_for_piper_and_keep_to_one_side(tmp_path: Path, dailytalk: Command) -> None:
    texts = {f"{who}_{n:04d}.wav": f"Line {n}." for who in ("ANN", "BOB", "CYD", "DEE") for n in range(3)}
    source = folder(tmp_path, texts)
    exported(dailytalk, source, "piper", tmp_path / "piper")
    assert {row[1] for row in lines(tmp_path / "piper/metadata.csv", True)} == {"ANN", "BOB", "CYD", "DEE"}
    exported(dailytalk, source, "xtts", tmp_path / "xtts", "--eval-share", "0.25")
    sides = [
        {row[2] for row in lines(tmp_path / f"xtts/metadata_{side}.csv", True)[1:]} for side in ("train", "eval")
    ]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == 1


def test_a_corpus_keeps_its_sides_and_a_list_alone_its_training_clips(tmp_path: Path, dailytalk: Command) -> None:
    rows = [clip_row(f"s{n}-0", "happy", 0.5, split="train" if n else "validation") for n in range(4)]
    corpus = corpus_folder(tmp_path / "work", rows)
    exported(dailytalk, corpus, "xtts", tmp_path / "xtts")
    names = [
        [row[0] for row in lines(tmp_path / f"xtts/metadata_{side}.csv", True)[1:]] for side in ("train", "eval")
    ]
    assert [len(own) for own in names] == [3, 1]
    done = exported(dailytalk, corpus, "ljspeech", tmp_path / "ljspeech", "--sample-rate", "16000")
    assert "3 clips of train, the 1 of validation left out" in done.out
    assert "next:" not in done.out  # `check` knows no folders of voices
    (name, *_), *_ = lines(tmp_path / "ljspeech/metadata.csv", False)
    info = soundfile.info(tmp_path / f"ljspeech/wavs/{name}.wav")
    assert (info.channels, info.samplerate, info.frames) == (1, 16000, 8000)


@pytest.mark.parametrize("format", ["ljspeech", "gpt-sovits"])
def test_utterances_of_people_in_conversations_are_clips(tmp_path: Path, dailytalk: Command, format: str) -> None:
    (tmp_path / "in").mkdir()
    work = work_folder(tmp_path / "in")
    done = exported(dailytalk, work, format, tmp_path / "out", "--json")
    made = json.loads(done.out)
    sounds = [*(tmp_path / "out").rglob("*.wav")]
    row = open_items(work).row("secret0")
    kept = [said for said in row["utterances"] if said["status"] != "spoken"]
    assert sum(made["files"].values()) == len(sounds) == 4 * len(kept) > 0
    assert made["left_out_parts"]["resynthesised utterances"] == 4 * (len(row["utterances"]) - len(kept))
    seconds = sorted(round(soundfile.info(path).duration, 2) for path in sounds)
    assert seconds == sorted(4 * [round(said["end"] - said["start"], 2) for said in kept])
    if format == "gpt-sovits":
        voices = {fields[1] for fields in lines(tmp_path / "out/metadata.list", False)}
        assert len(voices) == 4 * len({said["channel"] for said in kept})


def test_clips_of_a_whisper_json_lose_fillers_in_its_lists_and_in_the_json_beside_them(
    tmp_path: Path, dailytalk: Command
) -> None:
    texts = {"a.wav": "Um, we could, uh, go.", "b.wav": "Well, yes.", "c.wav": "Uh, um.", "d.wav": "No, um."}
    out = tmp_path / "out"
    source = folder(tmp_path, texts)
    done = dailytalk("export", source, "--format", "tortoise", "--out", out, "--fillers", "drop", "--json")
    assert [reject["reason"] for reject in json.loads(done.out)["rejects"]] == ["it has no text"]
    rows = [row for name in ("train.txt", "validation.txt") for row in lines(out / name, False)]
    entries = json.loads((out / "whisper.json").read_text(encoding="utf-8"))
    expected = {"We could, go.", "Well, yes.", "No."}
    assert {row[1] for row in rows} == {entry["text"] for entry in entries.values()} == expected
    assert {part["text"] for entry in entries.values() for part in entry["segments"]} <= expected
