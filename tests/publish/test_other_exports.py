import json

import pytest
from built_conversations import built_row, write_dataset

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.exports.csm import CSM
from dailytalk_contiguous.publish.exports.jmoshi import JMOSHI
from dailytalk_contiguous.publish.exports.moshi_config import window_count
from dailytalk_contiguous.publish.exports.pieces import cut_points
from dailytalk_contiguous.publish.exports.writing import write_export


def messages(folder):
    lines = (folder / "conversations.jsonl").read_text().splitlines()
    return [json.loads(line)["messages"] for line in lines]


def test_csm_joins_what_one_speaker_says_in_one_go(tmp_path):
    first = ("left", 0.0, 1.0, "One.")
    second = ("left", 1.2, 2.0, "Two.")
    answer = ("right", 2.1, 3.0, "Three.")
    row = built_row(lines=[first, second, answer])
    write_export([row], tmp_path / "csm", CSM)
    (turns,) = messages(tmp_path / "csm")
    texts = [turn["content"][0]["text"] for turn in turns]
    assert texts == ["One. Two.", "Three."]


@pytest.mark.parametrize(
    ("languages", "options"),
    [(("en", "de"), 0), (("ja", "en"), 1)],
)
def test_jmoshi_ends_with_the_command_that_its_language_needs(tmp_path, dailytalk, languages, options):
    rows = [built_row(f"call{n}", language=language) for n, language in enumerate(languages)]
    work = write_dataset(tmp_path / "work", rows)
    done = dailytalk("export", work, "--format", "j-moshi", "--out", tmp_path / "data")
    shown = " ".join(done.out.split())
    assert f"tokenize_text --word_transcript {tmp_path}/data/text" in shown
    assert shown.count("--no_whitespace_before_word") == options
    assert ("export these apart" in shown) is (languages == ("ja", "en"))


@pytest.mark.parametrize(("format", "reason"), [(CSM, "nobody says a word"), (JMOSHI, "speaker A has no words")])
def test_conversation_without_words_is_rejected_and_one_that_occurs_twice_stops_all(tmp_path, format, reason):
    silent = built_row("silent", lines=[])
    done = write_export([silent, built_row()], tmp_path / "one", format)
    [reject] = done.rejects
    assert done.files["train"] == 1
    assert reject.id == "silent"
    assert reject.stage == "export"
    assert reject.reason == reason
    with pytest.raises(DailytalkError, match="no conversation could be exported"):
        write_export([silent], tmp_path / "none", format)
    with pytest.raises(DailytalkError, match="the conversation 'call' occurs twice"):
        write_export([built_row(), built_row()], tmp_path / "twice", format)


@pytest.mark.parametrize(
    ("gaps", "duration", "edges"),
    [
        ([(6.5, 7.5), (8.0, 8.5)], 16.0, [7.0]),
        ([(3.5, 4.5), (11.5, 12.5)], 16.0, [4.0, 12.0]),
        ([(2.5, 3.5)], 16.0, []),
        ([(7.5, 8.5), (12.25, 12.75), (15.0, 16.0), (22.5, 23.5), (24.0, 24.5)], 30.0, [8.0, 15.5, 23.0]),
    ],
)
def test_piece_ends_in_the_longest_silence_that_keeps_pieces_even_or_else_in_the_nearest(
    gaps: list[tuple[float, float]], duration: float, edges: list[float]
) -> None:
    starts = [0.0, *(end for _, end in gaps)]
    ends = [*(start for start, _ in gaps), duration + 1.0]
    busy = list(zip(starts, ends, strict=True))
    latest_first = busy[::-1]
    assert cut_points(latest_first, duration, 10.0) == [0.0, *edges, duration]


def test_trainer_cuts_a_file_into_windows_and_pads_its_last_one() -> None:
    lengths = [0.0, 1.0, 100.0, 100.00001, 100.1, 200.0, 250.0]
    counts = [window_count([length], 100) for length in lengths]
    assert counts == [1, 1, 1, 1, 2, 2, 3]
    assert window_count(lengths, 100) == 11
