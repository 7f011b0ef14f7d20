"""Every format that is read, written and broken in the ways of benchmarks/formats.py."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from audio_files import ROOT

from dailytalk_contiguous.sources.transcript_formats import DOCUMENTS, FORMATS, ending_of

BENCHMARKS = str(ROOT / "benchmarks")
sys.path.append(BENCHMARKS)

from formats import BREAKS, NAME, WAYS, WAYS_TO_WRITE, Said, Way, conversation, differences, read_back  # noqa: E402

sys.path.remove(BENCHMARKS)  # its publish.py would hide our folder of that name


def test_every_format_and_kind_of_json_is_written() -> None:
    endings = {
        (ending_of(name) or "").lower() for way in WAYS_TO_WRITE for name in way.write(conversation(), NAME)
    }
    assert endings >= FORMATS.keys()
    assert {way.document for way in WAYS_TO_WRITE} >= {kind.name for kind in DOCUMENTS}


@pytest.mark.parametrize("way", WAYS_TO_WRITE, ids=[way.name for way in WAYS_TO_WRITE])
def test_words_times_and_speakers_are_read_back_and_a_broken_file_is_named(way: Way, tmp_path: Path) -> None:
    talk = conversation()
    row = read_back(way.write(talk, NAME), tmp_path / "calls")
    assert differences(talk, way, row) == {"words": False, "times": False, "speakers": False}
    for name in [name for name in BREAKS if name not in way.passes][:WAYS]:
        files = BREAKS[name](talk, way)
        problem = read_back(files, tmp_path / "calls")["problem"] or ""
        assert any(file in problem for file in files), name


#: How a filler is written, and how it is read.
NOTATIONS = (
    ("&-um", "um"),
    ("&-uh,", "uh,"),
    ("&uh", "uh"),
    ("%um", "um"),
    ("%uh,", "uh,"),
    ("[um]", "um"),
    ("[Uh],", "Uh,"),
    ("(um)", "um"),
    ("um,", "um,"),
)


def hesitant(line: Said, filler: str) -> Said:
    """The line after a filler and a word that is cut off, which share the time of its first word."""
    word, start, end = line.words[0]
    first = round(start + (end - start) / 3, 3)
    second = round(start + (end - start) / 2, 3)
    words = ((filler, start, first), ("th-", first, second), (word, second, end), *line.words[1:])
    return replace(line, text=f"{filler} th- {line.text}", words=words)


@pytest.mark.parametrize("way", WAYS_TO_WRITE, ids=[way.name for way in WAYS_TO_WRITE])
def test_a_filler_in_any_notation_is_a_word_and_one_that_is_cut_off_stays(way: Way, tmp_path: Path) -> None:
    pairs = [(line, *NOTATIONS[number % len(NOTATIONS)]) for number, line in enumerate(conversation())]
    written = [hesitant(line, notation) for line, notation, _ in pairs]
    said = [hesitant(line, word) for line, _, word in pairs]
    row = read_back(way.write(written, NAME), tmp_path / "calls")
    assert differences(said, way, row) == {"words": False, "times": False, "speakers": False}
