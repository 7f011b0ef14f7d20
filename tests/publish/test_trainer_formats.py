import hashlib
import io
import json
import math
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

from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.publish.exports import shard_formats
from dailytalk_contiguous.publish.exports.formats import FORMATS
from dailytalk_contiguous.publish.exports.writing import write_export

NAMES = ("lhotse", "lhotse-cuts", "webdataset")


def recorded_row(path: Path, utterances: list[dict], **columns) -> dict:
    """A row of a real recording: utterances of `channel`, `start`, `end`, `text` and `words`."""
    lines = []
    words = []
    for utterance in utterances:
        channel = utterance["channel"]
        lines.append((channel, utterance["start"], utterance["end"], utterance["text"]))
        words += [word | {"speaker": channel} for word in utterance["words"]]
    words.sort(key=lambda word: word["start"])
    row = built_row(path.stem.lower(), lines, seconds=0.1)
    first = row["alignments"][0]
    row["alignments"] = [first | word for word in words]
    info = soundfile.info(path)
    row["duration"] = info.duration
    row["sample_rate"] = info.samplerate
    data = path.read_bytes()
    row["audio"] = {"bytes": data, "path": path.name}
    return row | columns


def timed(word: dict) -> dict:
    return {"word": word["word"], "start": word["start"], "end": word["end"]}


def called_utterance(speaker: str, words: list[dict]) -> dict:
    """What a speaker of a real call says in a row, as an utterance of `recorded_row`."""
    utterance = {"channel": "left" if speaker == "A" else "right"}
    utterance["text"] = " ".join(word["word"] for word in words)
    utterance["start"] = words[0]["start"]
    utterance["end"] = max(word["end"] for word in words)
    utterance["words"] = [timed(word) for word in words]
    return utterance


@lru_cache(maxsize=2)
def rows_of(kind: str) -> list[dict]:
    rows = []
    if kind == "bundled":
        for path in sorted(EXAMPLES.glob("*.flac")):
            reference = json.loads(path.with_suffix(".reference.json").read_text())
            rows.append(recorded_row(path, reference["utterances"]))
        return rows
    for path in REAL_CALLS:
        words = json.loads(path.with_suffix(".json").read_text())
        groups = groupby(words, key=lambda word: word["speaker"])
        utterances = [called_utterance(speaker, [*group]) for speaker, group in groups]
        rows.append(recorded_row(path, utterances))
    return rows


def rows_by_id(kind: str) -> dict[str, dict]:
    return {row["conversation_id"]: row for row in rows_of(kind)}


REAL_CALLS_ONLY = [pytest.mark.needs("the real calls"), pytest.mark.nightly]
recordings = pytest.mark.parametrize("kind", ["bundled", pytest.param("calls", marks=REAL_CALLS_ONLY)])


def samples(row: dict, rate: int, channel: int) -> np.ndarray:
    return read_pcm(row["audio"], sample_rate=rate)[:, channel]


def by_start(spans: list[tuple]) -> list[tuple]:
    """Spans of `start`, `end` and more, sorted, with times to the millisecond."""
    return sorted((round(start, 3), round(end, 3), *others) for start, end, *others in spans)


def said_in(row: dict) -> list[list[tuple]]:
    """Who says what and when in a row, and all words, by start."""
    utterances = [(part["start"], part["end"], part["channel"], part["text"]) for part in row["utterances"]]
    words = [(word["start"], word["end"], word["speaker"], word["word"]) for word in row["alignments"]]
    return [by_start(utterances), by_start(words)]


def said_in_cut(cut, channels: dict) -> list[list[tuple]]:
    """The same of a cut, whose speakers have these channels."""
    utterances = []
    words = []
    for part in cut.supervisions:
        channel = channels[part.speaker]
        utterances.append((part.start, part.end, channel, part.text))
        words += [(word.start, word.end, channel, word.symbol) for word in part.alignment["word"]]
    return [by_start(utterances), by_start(words)]


def read_cuts(folder: Path) -> list:
    """The cuts of both sides of the split."""
    train = CutSet.from_shar(in_dir=folder / "train")
    held_out = CutSet.from_shar(in_dir=folder / "eval")
    return [*train, *held_out]


@recordings
def test_lhotse_reads_user_and_agent_sample_for_sample_as_nemo_wants_them(tmp_path, kind):
    rows = rows_by_id(kind)
    persona = tmp_path / "p.csv"
    persona.write_text("text\nYou are Ann.\n")
    out = tmp_path / "out"
    write_export(rows.values(), out, FORMATS["lhotse"], persona=str(persona))
    read = read_cuts(out)
    assert {cut.conversation_id for cut in read} == {*rows}
    for cut in read:
        validate(cut)
        row = rows[cut.conversation_id]
        user = cut.load_audio()[0] * 32768
        agent = cut.load_target_audio()[0] * 32768
        assert cut.sampling_rate == 16000
        assert cut.target_audio.sampling_rate == 22050
        assert np.array_equal(user, samples(row, 16000, 1))
        expected = samples(row, 22050, 0)
        assert abs(len(agent) - len(expected)) <= 1
        length = min(len(agent), len(expected))
        assert np.array_equal(agent[:length], expected[:length])
        assert said_in_cut(cut, {"agent": "left", "user": "right"}) == said_in(row)
        assert cut.system_prompt == "You are Ann."
    cuts = CutSet.from_cuts(read)
    user, user_lengths = collate_audio(cuts.resample(16000))  # as s2s_dataset.py does
    agent, lengths = collate_audio(cuts.resample(22050), recording_field="target_audio")
    assert user.shape[0] == agent.shape[0] == len(rows)
    assert np.allclose(user_lengths / 16000, lengths / 22050, atol=1e-4)


@recordings
def test_lhotse_reads_cuts_of_both_channels(tmp_path, kind):
    speakers = {"left": "Ann", "right": None}
    rows = {name: row | {"speakers": speakers} for name, row in rows_by_id(kind).items()}
    out = tmp_path / "out"
    write_export(rows.values(), out, FORMATS["lhotse-cuts"], sample_rate=16000)
    read = read_cuts(out)
    assert {cut.conversation_id for cut in read} == {*rows}
    for cut in read:
        validate(cut)
        row = rows[cut.conversation_id]
        expected = read_pcm(row["audio"], sample_rate=16000)
        assert np.array_equal(cut.load_audio().T * 32768, expected)
        assert said_in_cut(cut, {"Ann": "left", "user": "right"}) == said_in(row)


def without_audio(row: dict) -> dict:
    """The columns that do not depend on the file of the audio."""
    return {key: value for key, value in row.items() if key not in ("audio", "sample_rate", "duration")}


@recordings
def test_webdataset_and_datasets_read_the_whole_row(tmp_path, kind):
    rows = rows_by_id(kind)
    out = tmp_path / "out"
    write_export(rows.values(), out, FORMATS["webdataset"])
    train = str(out / "train-000000.tar")
    held_out = str(out / "eval-000000.tar")
    tars = {str(path) for path in out.glob("*.tar")}
    assert tars == {train, held_out}
    read = {}
    shards = webdataset.WebDataset([train, held_out], shardshuffle=False, empty_check=False)
    for sample in shards.decode():
        row = sample["json"]
        name = row["conversation_id"]
        assert sample["__key__"] == name
        wav = io.BytesIO(sample["wav"])
        pcm, rate = soundfile.read(wav, dtype="int16")
        expected = read_pcm(rows[name]["audio"], sample_rate=rate)
        assert np.array_equal(pcm, expected)
        read[name] = row
    for name, row in rows.items():
        assert said_in(read[name]) == said_in(row)
        assert without_audio(read[name]) == without_audio(row)
    table = pa.Table.from_pylist([{"json": row} for row in read.values()])
    features = datasets.Features.from_arrow_schema(table.schema)
    features["__key__"] = datasets.Value("string")
    features["__url__"] = datasets.Value("string")
    features["wav"] = datasets.Value("binary")  # as sound it needs torchcodec
    files = {"train": [train], "validation": [held_out]}
    cache = str(tmp_path / "cache")
    loaded = datasets.load_dataset("webdataset", data_files=files, cache_dir=cache, features=features)
    for sample in [*loaded["train"], *loaded["validation"]]:
        row = rows[sample["__key__"]]
        assert said_in(sample["json"]) == said_in(row)


def read_json(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_json_lines(path: Path) -> list:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def digests(folder: Path) -> dict[str, str]:
    by_name = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = str(path.relative_to(folder))
            by_name[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return by_name


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_can_be_read_once_give_the_same_bytes_again(tmp_path, name):
    rows = [built_row(f"c{n}", timeline={"offset_median": math.nan}) for n in range(3)]
    write_export(iter(rows), tmp_path / "out", FORMATS[name])
    before = digests(tmp_path / "out")
    assert not [path for path in before if path.startswith("parts")]
    write_export(iter(rows), tmp_path / "out", FORMATS[name])
    assert digests(tmp_path / "out") == before


@pytest.mark.parametrize("name", NAMES)
def test_shards_are_bounded_and_each_field_has_as_many(tmp_path, monkeypatch, name):
    monkeypatch.setattr(shard_formats, "SHARD_BYTES", 1_000_000)
    names = ["a.b", "a b", "x", "y", "z", "Ünï/../code", "last."]
    out = tmp_path / "out"
    rows = [built_row(row_name) for row_name in names]
    write_export(rows, out, FORMATS[name])
    tars = sorted(out.rglob("*.tar"))
    sizes = [path.stat().st_size for path in tars]
    assert len(sizes) > 2
    assert max(sizes) <= 1_100_000
    if name == "webdataset":
        paths = [str(path) for path in tars]
        shards = webdataset.WebDataset(paths, shardshuffle=False)
        read = [sample["json"]["conversation_id"] for sample in shards.decode()]
    else:
        read = [cut.conversation_id for cut in read_cuts(out)]
    assert {*read} == {*names}
    assert len(read) == len(names)


@pytest.mark.parametrize("times", [(1.5, 1.0), (5.5, 9.0)])
def test_an_utterance_without_a_place_in_the_sound_is_rejected_with_its_conversation(tmp_path, times):
    row = built_row("bad")
    start, end = times
    utterance = row["utterances"][0]
    utterance["start"] = start
    utterance["end"] = end
    rows = [row, built_row("good")]
    done = write_export(rows, tmp_path / "out", FORMATS["lhotse-cuts"])
    (reject,) = done.rejects
    assert reject.id == "bad"
    assert "outside" in reject.reason


def test_swap_makes_the_right_speaker_the_agent(tmp_path):
    rows = [built_row("one"), built_row("two")]
    write_export(rows, tmp_path / "cuts", FORMATS["lhotse"], main="right")
    (cut,) = CutSet.from_shar(in_dir=tmp_path / "cuts/eval")
    user = cut.load_audio()[0] * 32768
    assert np.array_equal(user, samples(rows[0], 16000, 0))
    speakers = [part.speaker for part in cut.supervisions]
    assert speakers == ["user", "agent", "user", "agent"]


def test_no_choice_of_the_agent_is_the_left_speaker(tmp_path):
    rows = [built_row("one"), built_row("two")]
    write_export(rows, tmp_path / "cuts", FORMATS["lhotse"], main="")
    (cut,) = CutSet.from_shar(in_dir=tmp_path / "cuts/eval")
    speakers = [part.speaker for part in cut.supervisions]
    assert speakers == ["agent", "user", "agent", "user"]


def check_csm(row: dict, out: Path) -> None:
    """A row has every utterance in the folder of CSM, with its samples.

    The template takes a role of one digit, and of each message one text and one sound, in this order.
    """
    utterances, _ = said_in(row)
    lines = read_json_lines(out / "conversations.jsonl")
    [line] = [line for line in lines if line["conversation_id"] == row["conversation_id"]]
    for message in line["messages"]:
        assert message["role"] in ("0", "1")
        text, audio = message["content"]
        assert text == {"type": "text", "text": text["text"].strip()}
        assert text["text"]
        assert audio == {"type": "audio", "path": audio["path"]}
    listed = [message["content"][1]["path"] for line in lines for message in line["messages"]]
    assert sorted(listed) == sorted(path.relative_to(out).as_posix() for path in out.rglob("*.wav"))
    for role, side in (("0", "left"), ("1", "right")):
        turns = [turn["content"] for turn in line["messages"] if turn["role"] == role]
        texts = [content[0]["text"] for content in turns]
        expected = [text for *_, channel, text in utterances if channel == side]
        assert " ".join(texts) == " ".join(expected)
        whole = samples(row, 24000, int(role)).tobytes()
        for content in turns:
            path = out / content[1]["path"]
            pcm, rate = soundfile.read(path, dtype="int16")
            assert (pcm.ndim, rate) == (1, 24000)
            assert pcm.any()
            assert pcm.tobytes() in whole


def read_moshi(path: Path) -> list[tuple]:
    """The words of a document of moshi-finetune: start, end, side, word."""
    sides = {"SPEAKER_MAIN": "left", "SPEAKER_OTHER": "right"}
    alignments = read_json(path)["alignments"]
    return [(start, end, sides[speaker], word) for word, (start, end), speaker in alignments]


def read_j_moshi(path: Path) -> list[tuple]:
    """The words of a document of J-Moshi: start, end, side, word; each is there, and behind those before it."""
    sides = {"A": "left", "B": "right"}
    words = [(word["start"], word["end"], sides[word["speaker"]], word["word"]) for word in read_json(path)]
    assert words == sorted(words, key=lambda word: word[0])
    sound = path.parents[1] / f"audio/{path.stem}.wav"
    for side in ("left", "right"):
        spoken = [word for word in words if word[2] == side]
        assert spoken
        edges = [edge for start, end, _, _ in spoken for edge in (start, end)]
        assert edges == sorted(edges)
        assert edges[0] >= 0
        assert edges[-1] <= soundfile.info(sound).duration + 0.001
        assert all(start < end and text.strip() for start, end, _, text in spoken)
    return words


def check_moshi(row: dict, name: str, out: Path) -> None:
    """A row has every word and sample in the folder of moshi-finetune or J-Moshi."""
    _, words = said_in(row)
    key = row["conversation_id"]
    if name == "moshi":
        sound = out / f"data_stereo/{key}.wav"
        written = read_moshi(out / f"data_stereo/{key}.json")
    else:
        sound = out / f"audio/{key}.wav"
        written = read_j_moshi(out / f"text/{key}.json")
    for side in ("left", "right"):  # Moshi's words move to a frame of their own: 80 ms at most
        expected = [word for word in words if word[2] == side]
        read = [word for word in written if word[2] == side]
        assert [word[3] for word in read] == [word[3] for word in expected]
        grain = 0.081 if (name, side) == ("moshi", "left") else 0.001
        for word, expected_word in zip(read, expected, strict=True):
            assert abs(word[0] - expected_word[0]) <= grain
    pcm, rate = soundfile.read(sound, dtype="int16")
    assert rate == 24000
    assert np.array_equal(pcm, read_pcm(row["audio"], sample_rate=rate))


@recordings
@pytest.mark.parametrize("name", ["moshi", "j-moshi", "csm"])
def test_trainers_of_moshi_and_csm_get_every_word_and_sample(tmp_path, kind, name):
    rows = rows_of(kind)
    out = tmp_path / "out"
    options = {"both_speakers": True} if name == "moshi" else {}
    write_export(rows, out, FORMATS[name], **options)
    for row in rows:
        if name == "csm":
            check_csm(row, out)
        else:
            check_moshi(row, name, out)
