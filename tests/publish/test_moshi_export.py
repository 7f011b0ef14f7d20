import json
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from built_conversations import built_row, stereo

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.exports.moshi_folder import MOSHI
from dailytalk_contiguous.publish.exports.writing import write_export


def rows(count: int = 4, **columns):
    return [built_row(f"call{number}", kept_speaker=f"p{number}", **columns) for number in range(count)]


def read_json(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def manifest(path: Path) -> list[dict]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def alignments(folder: Path, name: str = "call0") -> list:
    return read_json(folder / f"data_stereo/{name}.json")["alignments"]


def read_config(folder: Path) -> dict:
    return yaml.safe_load((folder / "moshi-finetune.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def data(tmp_path) -> Path:
    """Where an export goes."""
    return tmp_path / "data"


def test_the_folder_is_laid_out_as_the_trainer_reads_it(data):
    done = write_export(rows(), data, MOSHI)
    both = manifest(data / "train.jsonl") + manifest(data / "eval.jsonl")
    assert done.files == {"train": 3, "eval": 1}
    expected = {f"data_stereo/call{number}.wav" for number in range(4)}
    assert {entry["path"] for entry in both} == expected
    for entry in both:
        info = soundfile.info(data / entry["path"])
        assert info.samplerate == 24000
        assert info.channels == 2
        assert info.subtype == "PCM_16"
        assert entry["duration"] == info.frames / info.samplerate
    manifests = {path.name for path in data.rglob("*jsonl")}
    assert manifests == {"train.jsonl", "eval.jsonl"}


def test_only_the_main_speakers_words_are_there_unless_both_are_asked_for(tmp_path):
    write_export(rows(2), tmp_path / "one", MOSHI)
    words = [word for word, _, _ in alignments(tmp_path / "one")]
    assert words == ["Hello", "there.", "How", "are", "you?"]
    write_export(rows(2), tmp_path / "both", MOSHI, both_speakers=True)
    words = alignments(tmp_path / "both")
    starts = [start for _, (start, _), _ in words]
    assert starts == sorted(starts)
    assert {speaker for _, _, speaker in words} == {"SPEAKER_MAIN", "SPEAKER_OTHER"}


def hasty() -> dict:
    """A conversation whose first turn begins hastily: 15 words a second, and two of them begin in one frame."""
    fast = ("left", 0.5, 1.1, "say it all at once now")
    answer = ("right", 1.4, 2.4, "Hi, hello.")
    row = built_row("hasty", [fast, answer])
    first_turn = row["alignments"][:6]
    for number, word in enumerate(first_turn):
        word["start"] = 0.5 + 0.065 * number
        word["end"] = 0.565 + 0.065 * number
    first_turn[-1]["end"] = 1.1
    return row


def first_frames(words: list) -> list[int]:
    starts = [start for _, (start, _), _ in words]
    return [int(start * 12.5) for start in starts]


def test_each_word_begins_in_a_frame_of_its_own(data):
    spoken = hasty()["alignments"][:6]
    before = [[word["word"], [word["start"], 0], ""] for word in spoken]
    assert len(set(first_frames(before))) == 5
    done = write_export([hasty()], data, MOSHI)
    counts = done.facts["words"]
    words = alignments(data, "hasty")
    assert counts["total"] == len(words) == 6
    assert len(set(first_frames(words))) == 6
    assert [word for word, _, _ in words] == [word for word, _, _ in before]
    for _, (start, end), _ in words:
        assert 0.5 <= start < end <= 1.1
    assert counts["lost"] == 0
    assert counts["cut"] is None


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Path:
    """A SentencePiece model of single letters."""
    sentencepiece = pytest.importorskip("sentencepiece")
    path = tmp_path_factory.mktemp("tokenizer") / "letters.model"
    text = ["the quick brown fox jumps over the lazy dog", "HELLO THERE, how are you? quite well. hi!"]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text),
        model_prefix=str(path.with_suffix("")),
        model_type="char",
        minloglevel=2,
        vocab_size=60,
        hard_vocab_limit=False,
    )
    return path


def test_a_tokenizer_gives_words_room_and_tells_what_does_not_fit(tmp_path, data, tokenizer):
    well = ("right", 4.0, 5.0, "well")
    hi = ("left", 0.5, 1.0, "hi you")
    fox = ("left", 3.0, 3.9, "fox it")
    row = built_row("call", [hi, fox, well])
    done = write_export([row], data, MOSHI, tokenizer=str(tokenizer))
    starts = first_frames(alignments(data, "call"))
    assert starts[1] - starts[0] >= 3  # a mark for the blank, and two letters
    counts = done.facts["words"]
    assert counts["total"] == 4
    assert counts["lost"] == 0
    assert counts["cut"] == 0
    hello = ("left", 0.5, 0.9, "hello brown")
    row = built_row("call", [hello, well])
    slow = write_export([row], tmp_path / "cut", MOSHI, tokenizer=str(tokenizer))
    assert slow.facts["words"]["cut"] == 1


def test_a_conversation_whose_words_hold_a_tag_is_left_out(data):
    bad = built_row("bad")
    bad["alignments"][0]["word"] = "(calm)"
    done = write_export([*rows(2), bad], data, MOSHI)
    (reject,) = done.rejects
    assert reject.id == "bad"
    assert "(calm)" in reject.reason
    assert not (data / "data_stereo/bad.wav").exists()


def test_names_of_files_are_safe_and_differ(data):
    names = ["a/b", "a b", "a--000", "a-b", "🙂", "🙃", "..", "calls/x.000", "x" * 300, "train.jsonl"]
    write_export([built_row(name) for name in names], data, MOSHI)
    files = [path.name for path in (data / "data_stereo").glob("*.wav")]
    distinct = {file.lower() for file in files}
    assert len(distinct) == len(names)
    for file in files:
        assert file.isascii()
        assert " " not in file
        assert len(file) < 110
    assert "a-b.wav" in files
    about = read_json(data / "conversations.json")
    assert set(about) == set(names)


def test_an_export_that_broke_off_has_no_manifest_and_the_next_one_clears_up(data):
    write_export(rows(2), data, MOSHI)

    def breaks():
        yield built_row("other")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_export(breaks(), data, MOSHI)
    assert not list((data).glob("*.jsonl"))
    write_export(rows(2), data, MOSHI)
    wavs = (data / "data_stereo").glob("*.wav")
    assert {path.stem for path in wavs} == {"call0", "call1"}


def test_a_path_that_the_trainer_would_take_apart_is_refused(tmp_path):
    with pytest.raises(DailytalkError, match="separator"):
        write_export(rows(2), tmp_path / "a,b", MOSHI)


def test_the_configuration_names_the_two_files_and_settings_that_fit(data):
    done = write_export(rows(20), data, MOSHI)
    config = read_config(data)
    assert config["data"]["train_data"] == str(data / "train.jsonl")
    assert config["data"]["eval_data"] == str(data / "eval.jsonl")
    assert config["duration_sec"] == 6
    assert config["batch_size"] == done.facts["windows"]["eval"] == 2
    assert config["do_eval"] is True
    assert not Path(config["run_dir"]).is_absolute()


@pytest.mark.parametrize(
    ("seconds", "window"),
    [([100.5, 107, 115], 116), ([150, 149, 150], 76)],
)
def test_window_is_the_one_near_the_recommended_that_pads_the_files_least(data, seconds, window):
    calls = [built_row(f"call{n}", seconds=length, rate=8000) for n, length in enumerate(seconds)]
    write_export(calls, data, MOSHI, sample_rate=8000)
    assert read_config(data)["duration_sec"] == window
    findings, _ = check_folder(data)
    assert "padding" not in {finding.kind for finding in findings}


def test_check_names_a_window_that_is_half_padding_and_a_better_one(data):
    calls = [built_row(f"call{n}", seconds=101, rate=8000) for n in range(2)]
    write_export(calls, data, MOSHI)
    config = data / "moshi-finetune.yaml"
    text = config.read_text()
    config.write_text(text.replace("duration_sec: 102", "duration_sec: 100"))
    findings, facts = check_folder(data)
    [finding] = [finding for finding in findings if finding.kind == "padding"]
    assert "102" in finding.remedy
    assert facts["padding"] == {"train": 0.495, "eval": 0.495}


def test_one_conversation_trains_without_evaluation(data):
    write_export([built_row()], data, MOSHI)
    config = read_config(data)
    assert config["data"]["eval_data"] == ""
    assert config["do_eval"] is False
    assert not (data / "eval.jsonl").exists()


def test_no_kept_speaker_is_on_both_sides(data):
    calls = [built_row(f"call{number}", kept_speaker=f"p{number // 2}") for number in range(40)]
    assert write_export(calls, data, MOSHI).disjoint
    about = read_json(data / "conversations.json")
    sides = {(*facts["kept_speakers"], facts["split"]) for facts in about.values()}
    assert len(sides) == 20


def test_conversations_of_one_recording_stay_together_where_nobody_knows_who_speaks(data):
    calls = [built_row(f"call{number}", recording_id=f"tape{number // 2}") for number in range(20)]
    done = write_export(calls, data, MOSHI)
    assert done.files == {"train": 18, "eval": 2}
    about = read_json(data / "conversations.json")
    sides = {(facts["recording"], facts["split"]) for facts in about.values()}
    assert len(sides) == 10


def short_turn(number: int) -> tuple:
    start = 2.0 * number
    side = ("left", "right")[number % 2]
    return side, start + 0.2, start + 1.5, "one two three"


LONG = [short_turn(number) for number in range(15)]


def test_long_conversations_are_cut_in_silence_and_lose_nothing(data):
    row = built_row("long", LONG, seconds=31.0)
    write_export([row], data, MOSHI, max_length=10.0, both_speakers=True)
    entries = manifest(data / "train.jsonl")
    assert len(entries) >= 4
    assert all(entry["duration"] <= 10.0 for entry in entries)
    pieces = []
    words = []
    piece_start = 0.0
    for entry in entries:
        path = data / entry["path"]
        samples, _ = soundfile.read(path, dtype="int16")
        pieces.append(samples)
        for word, (start, end), _ in alignments(data, path.stem):
            assert 0 <= start < end <= entry["duration"]
            times = (round(piece_start + start, 3), round(piece_start + end, 3))
            words.append((word, *times))
        piece_start += entry["duration"]
    whole = stereo(LONG, 31.0, 24000)
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    expected = []
    for word in row["alignments"]:
        times = (round(word["start"], 3), round(word["end"], 3))
        expected.append((word["word"], *times))
    assert words == expected


def test_a_laugh_is_never_cut_through(data):
    silences = [(turn[2], following[1]) for turn, following in pairwise(LONG)]
    # In every silence but a few: a laugh over its middle, where the cut would be.
    laughs = []
    for number, (start, end) in enumerate(silences):
        if number % 4:
            laughs.append((start + 0.25, end - 0.25))
    row = built_row("long", LONG, seconds=31.0, sounds=laughs)
    write_export([row], data, MOSHI, max_length=10.0)
    entries = manifest(data / "train.jsonl")
    *edges, _ = accumulate(entry["duration"] for entry in entries)
    assert edges
    for start, end in laughs:
        assert not [edge for edge in edges if start < edge < end]


def test_style_is_the_three_tags_that_are_used_longest_the_first_by_name_of_equal_ones(data):
    lengths = (0.5, 0.75, 0.5, 0.25, 0.25, 0.9)
    lines = [("left", n, n + length, "Yes.") for n, length in enumerate(lengths)]
    answer = ("right", 6.0, 8.0, "No.")
    row = built_row("call", [*lines, answer], 8.0)
    tags = ("b", "c", "a", "d", "c", None, "other")
    for utterance, tag in zip(row["utterances"], tags, strict=True):
        utterance["tag"] = tag
    write_export([row], data, MOSHI, text_conditions=True)
    document = read_json(data / "data_stereo/call.json")
    assert document["text_conditions"] == {"style": "c, a, b"}
