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
from dailytalk_contiguous.publish.exports import write_export
from dailytalk_contiguous.publish.moshi_folder import MOSHI


def rows(count: int = 4, **columns):
    return [built_row(f"call{number}", kept_speaker=f"p{number}", **columns) for number in range(count)]


def manifest(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def alignments(folder: Path, name: str = "call0") -> list:
    return json.loads((folder / "data_stereo" / f"{name}.json").read_text(encoding="utf-8"))["alignments"]


def test_the_folder_is_laid_out_as_the_trainer_reads_it(tmp_path):
    done = write_export(rows(), tmp_path / "data", MOSHI)
    both = manifest(tmp_path / "data/train.jsonl") + manifest(tmp_path / "data/eval.jsonl")
    assert done.files == {"train": 3, "eval": 1}
    assert {entry["path"] for entry in both} == {f"data_stereo/call{number}.wav" for number in range(4)}
    for entry in both:
        info = soundfile.info(tmp_path / "data" / entry["path"])
        assert (info.samplerate, info.channels, info.subtype) == (24000, 2, "PCM_16")
        assert entry["duration"] == info.frames / info.samplerate
    assert {path.name for path in (tmp_path / "data").rglob("*jsonl")} == {"train.jsonl", "eval.jsonl"}


def test_only_the_main_speakers_words_are_there_unless_both_are_asked_for(tmp_path):
    write_export(rows(2), tmp_path / "one", MOSHI)
    assert [word for word, _, _ in alignments(tmp_path / "one")] == ["Hello", "there.", "How", "are", "you?"]
    write_export(rows(2), tmp_path / "both", MOSHI, both_speakers=True)
    words = alignments(tmp_path / "both")
    assert [start for _, (start, _), _ in words] == sorted(start for _, (start, _), _ in words)
    assert {speaker for _, _, speaker in words} == {"SPEAKER_MAIN", "SPEAKER_OTHER"}


def hasty() -> dict:
    """A conversation whose first turn begins hastily: 15 words a second, and two of them begin in one frame."""
    row = built_row("hasty", [("left", 0.5, 1.1, "say it all at once now"), ("right", 1.4, 2.4, "Hi, hello.")])
    for number, word in enumerate(row["alignments"][:6]):
        word |= {"start": 0.5 + 0.065 * number, "end": 0.565 + 0.065 * number if number < 5 else 1.1}
    return row


def first_frames(words: list) -> list[int]:
    return [int(start * 12.5) for _, (start, _), _ in words]


def test_each_word_begins_in_a_frame_of_its_own(tmp_path):
    before = [[word["word"], [word["start"], 0], ""] for word in hasty()["alignments"][:6]]
    assert len(set(first_frames(before))) == 5
    done = write_export([hasty()], tmp_path / "data", MOSHI)
    words = alignments(tmp_path / "data", "hasty")
    assert len(set(first_frames(words))) == len(words) == done.facts["words"]["total"] == 6
    assert [word for word, _, _ in words] == [word for word, _, _ in before]
    assert all(0.5 <= start < end <= 1.1 for _, (start, end), _ in words)
    assert (done.facts["words"]["lost"], done.facts["words"]["cut"]) == (0, None)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Path:
    """A SentencePiece model of single letters."""
    sentencepiece = pytest.importorskip("sentencepiece")
    path = tmp_path_factory.mktemp("tokenizer") / "letters.model"
    text = ["the quick brown fox jumps over the lazy dog", "HELLO THERE, how are you? quite well. hi!"]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_prefix=str(path.with_suffix("")), model_type="char", minloglevel=2,
        vocab_size=60, hard_vocab_limit=False,
    )  # fmt: skip
    return path


def test_a_tokenizer_gives_words_room_and_tells_what_does_not_fit(tmp_path, tokenizer):
    lines = [("left", 0.5, 1.0, "hi you"), ("left", 3.0, 3.9, "fox it"), ("right", 4.0, 5.0, "well")]
    done = write_export([built_row("call", lines)], tmp_path / "data", MOSHI, tokenizer=str(tokenizer))
    starts = first_frames(alignments(tmp_path / "data", "call"))
    assert starts[1] - starts[0] >= 3  # a mark for the blank, and two letters
    assert (done.facts["words"]["total"], done.facts["words"]["lost"], done.facts["words"]["cut"]) == (4, 0, 0)
    row = built_row("call", [("left", 0.5, 0.9, "hello brown"), lines[2]])
    slow = write_export([row], tmp_path / "cut", MOSHI, tokenizer=str(tokenizer))
    assert slow.facts["words"]["cut"] == 1


def test_a_conversation_whose_words_hold_a_tag_is_left_out(tmp_path):
    bad = built_row("bad")
    bad["alignments"][0]["word"] = "(calm)"
    done = write_export([*rows(2), bad], tmp_path / "data", MOSHI)
    assert [reject.id for reject in done.rejects] == ["bad"]
    assert "(calm)" in done.rejects[0].reason
    assert not (tmp_path / "data/data_stereo/bad.wav").exists()


def test_names_of_files_are_safe_and_differ(tmp_path):
    names = ["a/b", "a b", "a--000", "a-b", "🙂", "🙃", "..", "calls/x.000", "x" * 300, "train.jsonl"]
    write_export([built_row(name) for name in names], tmp_path / "data", MOSHI)
    files = [path.name for path in (tmp_path / "data/data_stereo").glob("*.wav")]
    assert len({file.lower() for file in files}) == len(names)
    assert all(file.isascii() and " " not in file and len(file) < 110 for file in files)
    assert "a-b.wav" in files
    about = json.loads((tmp_path / "data/conversations.json").read_text(encoding="utf-8"))
    assert set(about) == set(names)


def test_an_export_that_broke_off_has_no_manifest_and_the_next_one_clears_up(tmp_path):
    write_export(rows(2), tmp_path / "data", MOSHI)

    def breaks():
        yield built_row("other")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_export(breaks(), tmp_path / "data", MOSHI)
    assert not list((tmp_path / "data").glob("*.jsonl"))
    write_export(rows(2), tmp_path / "data", MOSHI)
    assert sorted(path.stem for path in (tmp_path / "data/data_stereo").glob("*.wav")) == ["call0", "call1"]


def test_a_path_that_the_trainer_would_take_apart_is_refused(tmp_path):
    with pytest.raises(DailytalkError, match="separator"):
        write_export(rows(2), tmp_path / "a,b", MOSHI)


def test_the_configuration_names_the_two_files_and_settings_that_fit(tmp_path):
    done = write_export(rows(20), tmp_path / "data", MOSHI)
    config = yaml.safe_load((tmp_path / "data/moshi-finetune.yaml").read_text(encoding="utf-8"))
    assert config["data"]["train_data"] == str(tmp_path / "data/train.jsonl")
    assert config["data"]["eval_data"] == str(tmp_path / "data/eval.jsonl")
    assert config["duration_sec"] == 6
    assert config["batch_size"] == done.facts["windows"]["eval"] == 2
    assert config["do_eval"] is True
    assert not Path(config["run_dir"]).is_absolute()


@pytest.mark.parametrize(
    ("seconds", "window"),
    [([100.5, 107, 115], 116), ([150, 149, 150], 76)],
)
def test_window_is_the_one_near_the_recommended_that_pads_the_files_least(tmp_path, seconds, window):
    given = [built_row(f"call{n}", seconds=length, rate=8000) for n, length in enumerate(seconds)]
    write_export(given, tmp_path / "data", MOSHI, sample_rate=8000)
    config = tmp_path / "data/moshi-finetune.yaml"
    assert yaml.safe_load(config.read_text())["duration_sec"] == window
    assert "padding" not in {finding.kind for finding in check_folder(tmp_path / "data")[0]}


def test_check_names_a_window_that_is_half_padding_and_a_better_one(tmp_path):
    write_export([built_row(f"call{n}", seconds=101, rate=8000) for n in range(2)], tmp_path / "data", MOSHI)
    config = tmp_path / "data/moshi-finetune.yaml"
    config.write_text(config.read_text().replace("duration_sec: 102", "duration_sec: 100"))
    findings, facts = check_folder(tmp_path / "data")
    [finding] = [finding for finding in findings if finding.kind == "padding"]
    assert "102" in finding.remedy
    assert facts["padding"] == {"train": 0.495, "eval": 0.495}


def test_one_conversation_trains_without_evaluation(tmp_path):
    write_export([built_row()], tmp_path / "data", MOSHI)
    config = yaml.safe_load((tmp_path / "data/moshi-finetune.yaml").read_text(encoding="utf-8"))
    assert (config["data"]["eval_data"], config["do_eval"]) == ("", False)
    assert not (tmp_path / "data/eval.jsonl").exists()


def test_no_kept_speaker_is_on_both_sides(tmp_path):
    given = [built_row(f"call{number}", kept_speaker=f"p{number // 2}") for number in range(40)]
    assert write_export(given, tmp_path / "data", MOSHI).disjoint
    about = json.loads((tmp_path / "data/conversations.json").read_text())
    sides = {(*one["kept_speakers"], one["split"]) for one in about.values()}
    assert len(sides) == 20


def test_conversations_of_one_recording_stay_together_where_nobody_knows_who_speaks(tmp_path):
    given = [built_row(f"call{number}", recording_id=f"tape{number // 2}") for number in range(20)]
    assert write_export(given, tmp_path / "data", MOSHI).files == {"train": 18, "eval": 2}
    about = json.loads((tmp_path / "data/conversations.json").read_text())
    assert len({(one["recording"], one["split"]) for one in about.values()}) == 10


LONG = [(("left", "right")[n % 2], 2.0 * n + 0.2, 2.0 * n + 1.5, "one two three") for n in range(15)]


def test_long_conversations_are_cut_in_silence_and_lose_nothing(tmp_path):
    row = built_row("long", LONG, seconds=31.0)
    write_export([row], tmp_path / "data", MOSHI, max_length=10.0, both_speakers=True)
    entries = manifest(tmp_path / "data/train.jsonl")
    assert len(entries) >= 4
    assert all(entry["duration"] <= 10.0 for entry in entries)
    pcm = [soundfile.read(tmp_path / "data" / entry["path"], dtype="int16")[0] for entry in entries]
    np.testing.assert_array_equal(np.concatenate(pcm), stereo(LONG, 31.0, 24000))
    at = 0.0
    words = []
    for entry in entries:
        told = alignments(tmp_path / "data", Path(entry["path"]).stem)
        words += [(word, round(at + start, 3), round(at + end, 3)) for word, (start, end), _ in told]
        assert all(0 <= start < end <= entry["duration"] for _, (start, end), _ in told)
        at += entry["duration"]
    assert words == [(w["word"], round(w["start"], 3), round(w["end"], 3)) for w in row["alignments"]]


def test_a_laugh_is_never_cut_through(tmp_path):
    silences = [(said[2], following[1]) for said, following in pairwise(LONG)]
    # In every silence but a few: a laugh over its middle, where the cut would be.
    laughs = [(start + 0.25, end - 0.25) for number, (start, end) in enumerate(silences) if number % 4]
    write_export([built_row("long", LONG, seconds=31.0, sounds=laughs)], tmp_path / "data", MOSHI, max_length=10.0)
    edges = list(accumulate(entry["duration"] for entry in manifest(tmp_path / "data/train.jsonl")))[:-1]
    assert edges
    assert not [(edge, laugh) for edge in edges for laugh in laughs if laugh[0] < edge < laugh[1]]


def test_style_is_the_three_tags_that_are_used_longest_the_first_by_name_of_equal_ones(tmp_path):
    lines = [("left", n, n + length, "Yes.") for n, length in enumerate((0.5, 0.75, 0.5, 0.25, 0.25, 0.9))]
    row = built_row("call", [*lines, ("right", 6.0, 8.0, "No.")], 8.0)
    for utterance, tag in zip(row["utterances"], ("b", "c", "a", "d", "c", None, "other"), strict=True):
        utterance["tag"] = tag
    write_export([row], tmp_path, MOSHI, text_conditions=True)
    assert json.loads((tmp_path / "data_stereo/call.json").read_text())["text_conditions"] == {"style": "c, a, b"}
