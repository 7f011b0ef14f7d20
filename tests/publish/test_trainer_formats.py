import hashlib
import io
import json
import math
import re
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pytest
import soundfile
import webdataset
from audio_files import EXAMPLES, REAL_CALLS
from built_conversations import built_row
from lhotse import CutSet
from lhotse.dataset.collation import collate_audio
from lhotse.qa import validate

from dailytalk_contiguous.core.audio import mixed_down, read_pcm
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.publish import trainer_formats
from dailytalk_contiguous.publish.exports import write_export
from dailytalk_contiguous.publish.formats import FORMATS

NAMES = ("lhotse", "nemo-stt", "lhotse-cuts", "webdataset", "sesame-finetune", "moss-ttsd", "vibevoice")


def recorded_row(path: Path, utterances: list[dict], **columns) -> dict:
    """A row of a real recording: utterances of `channel`, `start`, `end`, `text` and `words`."""
    lines = [tuple(part[key] for key in ("channel", "start", "end", "text")) for part in utterances]
    words = [word | {"speaker": part["channel"]} for part in utterances for word in part["words"]]
    row = built_row(path.stem.lower(), lines, seconds=0.1)
    row["alignments"] = [row["alignments"][0] | word for word in sorted(words, key=lambda word: word["start"])]
    info = soundfile.info(path)
    about = {"duration": info.duration, "sample_rate": info.samplerate}
    return row | about | {"audio": {"bytes": path.read_bytes(), "path": path.name}} | columns


@lru_cache(maxsize=2)
def rows_of(kind: str) -> list[dict]:
    if kind == "bundled":
        references = {path: path.with_suffix(".reference.json") for path in sorted(EXAMPLES.glob("*.flac"))}
        return [
            recorded_row(path, json.loads(about.read_text())["utterances"]) for path, about in references.items()
        ]
    rows = []
    for path in REAL_CALLS:
        utterances = []
        words = json.loads(path.with_suffix(".json").read_text())
        for speaker, group in groupby(words, key=lambda word: word["speaker"]):
            said = [{key: word[key] for key in ("word", "start", "end")} for word in group]
            about = {"start": said[0]["start"], "end": max(word["end"] for word in said), "words": said}
            text = " ".join(word["word"] for word in said)
            utterances.append({"channel": "left" if speaker == "A" else "right", "text": text} | about)
        rows.append(recorded_row(path, utterances))
    return rows


recordings = pytest.mark.parametrize(
    "kind", ["bundled", pytest.param("calls", marks=[pytest.mark.needs("the real calls"), pytest.mark.nightly])]
)


def samples(row: dict, rate: int, channel: int) -> np.ndarray:
    return read_pcm(row["audio"], sample_rate=rate)[:, channel]


def said_in(row: dict) -> list[tuple]:
    """Who says what and when in a row, and all words, by start; times to the millisecond."""
    said = [(part["channel"], part["text"], part["start"], part["end"]) for part in row["utterances"]]
    words = [(word["speaker"], word["word"], word["start"], word["end"]) for word in row["alignments"]]
    return [sorted((round(start, 3), round(end, 3), *who) for *who, start, end in part) for part in (said, words)]


def said_in_cut(cut, channels: dict) -> list[tuple]:
    parts = cut.supervisions
    said = [(channels[part.speaker], part.text, part.start, part.end) for part in parts]
    words = [
        (channels[part.speaker], word.symbol, word.start, word.end)
        for part in parts
        for word in part.alignment["word"]
    ]
    return [sorted((round(start, 3), round(end, 3), *who) for *who, start, end in part) for part in (said, words)]


@recordings
def test_lhotse_reads_user_and_agent_sample_for_sample_as_nemo_wants_them(tmp_path, kind):
    rows = {row["conversation_id"]: row for row in rows_of(kind)}
    (tmp_path / "p.csv").write_text("text\nYou are Ann.\n")
    write_export(rows.values(), tmp_path / "out", FORMATS["lhotse"], persona=str(tmp_path / "p.csv"))
    read = [cut for side in ("train", "eval") for cut in CutSet.from_shar(in_dir=tmp_path / "out" / side)]
    assert {cut.conversation_id for cut in read} == {*rows}
    for cut in read:
        validate(cut)
        row = rows[cut.conversation_id]
        user = cut.load_audio()[0] * 32768
        agent = cut.load_target_audio()[0] * 32768
        assert (cut.sampling_rate, cut.target_audio.sampling_rate) == (16000, 22050)
        assert np.array_equal(user, samples(row, 16000, 1))
        meant = samples(row, 22050, 0)
        assert abs(len(agent) - len(meant)) <= 1
        assert np.array_equal(agent[: len(meant)], meant[: len(agent)])
        assert said_in_cut(cut, {"agent": "left", "user": "right"}) == said_in(row)
        assert cut.system_prompt == "You are Ann."
    cuts = CutSet.from_cuts(read)
    user, user_lengths = collate_audio(cuts.resample(16000))  # as s2s_dataset.py does
    agent, lengths = collate_audio(cuts.resample(22050), recording_field="target_audio")
    assert user.shape[0] == agent.shape[0] == len(rows)
    assert np.allclose(user_lengths / 16000, lengths / 22050, atol=1e-4)


@recordings
def test_nemo_finds_each_word_of_the_user_in_its_frame(tmp_path, kind):
    rows = {row["conversation_id"]: row for row in rows_of(kind)}
    write_export(rows.values(), tmp_path / "out", FORMATS["nemo-stt"])
    read = [cut for side in ("train", "eval") for cut in CutSet.from_shar(in_dir=tmp_path / "out" / side)]
    for cut in read:
        validate(cut)
        for part in cut.supervisions:
            # As `_extract_text_and_time_tokens` of NeMo reads them.
            times = [int(frame) for frame in re.findall(r"<\|(\d+)\|>", part.text)]
            words = re.sub(r"<\|(\d+)\|>", "", part.text).split()
            if part.speaker == "agent":
                assert times == []
                continue
            aligned = part.alignment["word"]
            assert words == [word.symbol for word in aligned]
            assert len(times) == 2 * len(words)
            for first, last, word in zip(times[::2], times[1::2], aligned, strict=True):
                assert abs(part.start + first * 0.08 + 0.04 - word.start) <= 0.041
                assert first <= last <= (word.end - part.start) / 0.08 + 1e-6
    with pytest.raises(BadInput, match="mark of time"):
        trainer_formats.framed_text([["<|3|>", 0.0, 1.0]], 0.0)


@recordings
def test_lhotse_reads_cuts_of_both_channels(tmp_path, kind):
    rows = {row["conversation_id"]: row | {"speakers": {"left": "Ann", "right": None}} for row in rows_of(kind)}
    write_export(rows.values(), tmp_path / "out", FORMATS["lhotse-cuts"], sample_rate=16000)
    read = [cut for side in ("train", "eval") for cut in CutSet.from_shar(in_dir=tmp_path / "out" / side)]
    assert {cut.conversation_id for cut in read} == {*rows}
    for cut in read:
        validate(cut)
        row = rows[cut.conversation_id]
        assert np.array_equal(cut.load_audio().T * 32768, read_pcm(row["audio"], sample_rate=16000))
        assert said_in_cut(cut, {"Ann": "left", "user": "right"}) == said_in(row)


@recordings
def test_webdataset_and_datasets_read_the_whole_row(tmp_path, kind):
    rows = {row["conversation_id"]: row for row in rows_of(kind)}
    write_export(rows.values(), tmp_path / "out", FORMATS["webdataset"])
    shards = {
        "train": [str(tmp_path / "out/train-000000.tar")],
        "validation": [str(tmp_path / "out/eval-000000.tar")],
    }
    assert sorted(str(path) for path in (tmp_path / "out").glob("*.tar")) == sorted(
        [*shards["train"], *shards["validation"]]
    )
    read = {}
    for sample in webdataset.WebDataset(
        [*shards["train"], *shards["validation"]], shardshuffle=False, empty_check=False
    ).decode():
        row = read[sample["json"]["conversation_id"]] = sample["json"]
        assert sample["__key__"] == row["conversation_id"]
        pcm, rate = soundfile.read(io.BytesIO(sample["wav"]), dtype="int16")
        assert np.array_equal(pcm, read_pcm(rows[row["conversation_id"]]["audio"], sample_rate=rate))
    for name, row in rows.items():
        assert said_in(read[name]) == said_in(row)
        skipped = ("audio", "sample_rate", "duration")
        assert read[name] == {key: value for key, value in read[name].items() if key in skipped} | {
            key: value for key, value in row.items() if key not in skipped
        }
    inferred = datasets.Features.from_arrow_schema(
        pa.Table.from_pylist([{"json": row} for row in read.values()]).schema
    )
    features = inferred | {key: datasets.Value("string") for key in ("__key__", "__url__")}
    features |= {"wav": datasets.Value("binary")}  # as sound it needs torchcodec
    loaded = datasets.load_dataset(
        "webdataset", data_files=shards, cache_dir=str(tmp_path / "cache"), features=datasets.Features(features)
    )
    for sample in [*loaded["train"], *loaded["validation"]]:
        assert said_in(sample["json"]) == said_in(rows[sample["__key__"]])


@recordings
def test_sesame_finetune_finds_each_utterance_where_it_is_said(tmp_path, kind):
    rows = {row["conversation_id"]: row for row in rows_of(kind)}
    write_export(rows.values(), tmp_path / "out", FORMATS["sesame-finetune"])
    count = 0
    numbers = {}
    whole = {(name, side): samples(row, 24000, side) for name, row in rows.items() for side in (0, 1)}
    for side in ("train", "eval"):
        for entry in json.loads((tmp_path / f"out/metadata_{side}.json").read_text(encoding="utf-8")):
            path = Path(entry["path"])
            row = rows[path.stem]
            channel = ("agent", "user").index(path.parent.name)
            rate = soundfile.info(path).samplerate
            offset = int(entry["start"] * rate)
            length = int((entry["end"] - entry["start"]) * rate)
            pcm, _ = soundfile.read(path, start=offset, frames=length, dtype="int16")
            assert pcm.ndim == 1
            assert np.array_equal(pcm, whole[path.stem, channel][offset : offset + length])
            said = (round(entry["start"], 3), round(entry["end"], 3), ("left", "right")[channel], entry["text"])
            assert said in said_in(row)[0]
            numbers.setdefault(entry["speaker"], set()).add("anna" if channel == 0 else path.stem)
            count += 1
    assert count == sum(len(row["utterances"]) for row in rows.values())
    assert all(len(voices) == 1 for voices in numbers.values())
    assert len(numbers) == 1 + len(rows)  # the resynthesised voice, and people whom nobody named


def test_what_was_kept_of_a_person_has_another_number_than_the_voice_that_replaces_him(tmp_path):
    rows = [built_row("one", speakers={"left": "Ann", "right": "Ben"}), built_row("two", kept_speaker="Ann")]
    rows[0]["utterances"][2] |= {"status": "kept-original", "synthesis": None}
    write_export(rows, tmp_path / "out", FORMATS["sesame-finetune"], sides={"one": "train", "two": "train"})
    numbers = [entry["speaker"] for entry in json.loads((tmp_path / "out/metadata_train.json").read_text())]
    assert numbers == [0, 1, 2, 1, 0, 2, 0, 2]  # anna, Ben, Ann


def moss(text: str) -> list[tuple[int, str]]:
    """As MOSS-TTSD's `data_preprocess.py` and its model read it: `[S1]` and `[S2]` before what they say."""
    return [(int(mark), said) for mark, said in re.findall(r"\[S(\d)\]([^\[]+)", text)]


def vibevoice(text: str) -> list[tuple[int, str]]:
    """As `_parse_script` of VibeVoice's processor, before it counts from 0."""
    lines = [re.match(r"^Speaker\s+(\d+)\s*:\s*(.*)$", line.strip(), re.IGNORECASE) for line in text.split("\n")]
    return [(int(line[1]), line[2].strip()) for line in lines]


@recordings
@pytest.mark.parametrize(
    ("name", "parse", "path", "text", "rate"),
    [("moss-ttsd", moss, "file_path", "full_transcript", 16000), ("vibevoice", vibevoice, "audio", "text", 24000)],
)
def test_mixed_conversations_have_all_that_is_said_in_order(tmp_path, kind, name, parse, path, text, rate):
    rows = {row["conversation_id"]: row for row in rows_of(kind)}
    write_export(rows.values(), tmp_path / "out", FORMATS[name], max_length=20.0)
    heard = {row: ([], []) for row in rows}
    for side in ("train", "eval"):
        for line in (tmp_path / f"out/dialogues_{side}.jsonl").read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            sounds, scripts = heard[Path(entry[path]).stem.partition("--")[0]]
            assert soundfile.info(entry[path]).samplerate == rate
            sounds.append(soundfile.read(entry[path], dtype="int16")[0])
            scripts += parse(entry[text])
    for row, (sounds, scripts) in heard.items():
        assert len(sounds) > 1
        assert np.array_equal(np.concatenate(sounds), mixed_down(read_pcm(rows[row]["audio"], sample_rate=rate)))
        said = sorted(rows[row]["utterances"], key=lambda part: (part["start"], part["end"]))
        assert scripts == [(1 if part["channel"] == "left" else 2, part["text"]) for part in said]


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_can_be_read_once_give_the_same_bytes_again(tmp_path, name):
    rows = [built_row(f"c{n}", timeline={"offset_median": math.nan}) for n in range(3)]
    write_export(iter(rows), tmp_path / "out", FORMATS[name])
    before = digests(tmp_path / "out")
    assert not [path for path in before if path.startswith("parts")]
    write_export(iter(rows), tmp_path / "out", FORMATS[name])
    assert digests(tmp_path / "out") == before


@pytest.mark.parametrize("name", ["lhotse", "nemo-stt", "lhotse-cuts", "webdataset"])
def test_shards_are_bounded_and_each_field_has_as_many(tmp_path, monkeypatch, name):
    monkeypatch.setattr(trainer_formats, "SHARD_BYTES", 1_000_000)
    names = ["a.b", "a b", "x", "y", "z", "Ünï/../code", "last."]
    write_export([built_row(name) for name in names], tmp_path / "out", FORMATS[name])
    sizes = [path.stat().st_size for path in (tmp_path / "out").rglob("*.tar")]
    assert len(sizes) > 2
    assert max(sizes) <= 1_100_000
    if name == "webdataset":
        tars = [str(path) for path in sorted((tmp_path / "out").glob("*.tar"))]
        read = [part["json"] for part in webdataset.WebDataset(tars, shardshuffle=False).decode()]
        assert {row["conversation_id"] for row in read} == {*names}
    else:
        read = [cut for side in ("train", "eval") for cut in CutSet.from_shar(in_dir=tmp_path / "out" / side)]
        assert {cut.conversation_id for cut in read} == {*names}
    assert len(read) == len(names)


def test_a_text_with_the_mark_of_a_speaker_is_rejected_by_moss_ttsd_alone(tmp_path):
    rows = [built_row("fine"), built_row("bad", [("left", 0.5, 1.5, "Say [S2] now."), ("right", 2.0, 3.0, "Hi.")])]
    done = write_export(rows, tmp_path / "moss", FORMATS["moss-ttsd"])
    assert [reject.id for reject in done.rejects] == ["bad"]
    assert not list((tmp_path / "moss").rglob("bad*"))
    assert not write_export(rows, tmp_path / "vibe", FORMATS["vibevoice"]).rejects


@pytest.mark.parametrize("times", [(1.5, 1.0), (5.5, 9.0)])
def test_an_utterance_without_a_place_in_the_sound_is_rejected_with_its_conversation(tmp_path, times):
    row = built_row("bad")
    row["utterances"][0] |= dict(zip(("start", "end"), times, strict=True))
    done = write_export([row, built_row("good")], tmp_path / "out", FORMATS["moss-ttsd"])
    assert [(reject.id, "outside" in reject.reason) for reject in done.rejects] == [("bad", True)]


def test_swap_makes_the_right_speaker_the_agent(tmp_path):
    rows = [built_row("one"), built_row("two")]
    write_export(rows, tmp_path / "cuts", FORMATS["lhotse"], main="right")
    (cut,) = CutSet.from_shar(in_dir=tmp_path / "cuts/eval")
    assert np.array_equal(cut.load_audio()[0] * 32768, samples(rows[0], 16000, 0))
    assert [part.speaker for part in cut.supervisions] == ["user", "agent", "user", "agent"]


def test_no_choice_of_the_agent_is_the_left_speaker(tmp_path):
    rows = [built_row("one"), built_row("two")]
    write_export(rows, tmp_path / "cuts", FORMATS["lhotse"], main="")
    (cut,) = CutSet.from_shar(in_dir=tmp_path / "cuts/eval")
    assert [part.speaker for part in cut.supervisions] == ["agent", "user", "agent", "user"]


@recordings
@pytest.mark.parametrize("name", ["moshi", "j-moshi", "csm"])
def test_trainers_of_moshi_and_csm_get_every_word_and_sample(tmp_path, kind, name):
    rows = rows_of(kind)
    out = tmp_path / "out"
    write_export(rows, out, FORMATS[name], **({"both_speakers": True} if name == "moshi" else {}))
    for row in rows:
        said, words = said_in(row)
        key = row["conversation_id"]
        if name == "csm":
            lines = map(json.loads, (out / "conversations.jsonl").read_text().splitlines())
            [turns] = [line["messages"] for line in lines if line["conversation_id"] == key]
            for role, side in (("0", "left"), ("1", "right")):
                texts = [turn["content"][0]["text"] for turn in turns if turn["role"] == role]
                assert " ".join(texts) == " ".join(text for *_, channel, text in said if channel == side)
                heard = [
                    soundfile.read(out / turn["content"][1]["path"], dtype="int16")[0]
                    for turn in turns
                    if turn["role"] == role
                ]
                whole = samples(row, 24000, int(role)).tobytes()
                assert all(part.tobytes() in whole for part in heard)
            continue
        folder, texts = ("data_stereo", "data_stereo") if name == "moshi" else ("audio", "text")
        read = json.loads((out / texts / f"{key}.json").read_text())
        if name == "moshi":
            sides = {"SPEAKER_MAIN": "left", "SPEAKER_OTHER": "right"}
            heard = [(start, end, sides[who], text) for text, (start, end), who in read["alignments"]]
        else:
            sides = {"A": "left", "B": "right"}
            heard = [(part["start"], part["end"], sides[part["speaker"]], part["word"]) for part in read]
        for side in ("left", "right"):  # Moshi's words move to a frame of their own: 80 ms at most
            meant, got = ([part for part in listed if part[2] == side] for listed in (words, heard))
            assert [part[3] for part in got] == [part[3] for part in meant]
            grain = 0.081 if (name, side) == ("moshi", "left") else 0.001
            assert all(abs(one[0] - other[0]) <= grain for one, other in zip(got, meant, strict=True))
        pcm, rate = soundfile.read(out / folder / f"{key}.wav", dtype="int16")
        assert np.array_equal(pcm, read_pcm(row["audio"], sample_rate=rate))
