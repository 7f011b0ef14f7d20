"""Every format that is read, written and broken in the ways of benchmarks/formats.py."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from audio_files import ROOT
from command import Command
from recordings import save

from dailytalk_contiguous.sources.formats.json_documents import DOCUMENTS
from dailytalk_contiguous.sources.transcripts import readers
from dailytalk_contiguous.sources.transcripts.readers import READERS, ending_of

BENCHMARKS = str(ROOT / "benchmarks")
sys.path.append(BENCHMARKS)

from formats import BREAKS, NAME, WAYS, WAYS_TO_WRITE, Said, Way, conversation, differences, read_back  # noqa: E402

#: What `differences` says of a transcript that is read back as it was.
SAME = {"words": False, "times": False, "speakers": False}


def test_every_format_and_kind_of_json_is_written() -> None:
    endings = set()
    kinds = set()
    for way in WAYS_TO_WRITE:
        kinds.add(way.document)
        for name in way.write(conversation(), NAME):
            ending = ending_of(name) or ""
            endings.add(ending.lower())
    assert endings >= {ending for reader in READERS for ending in reader.endings}
    assert kinds >= {kind.name for kind in DOCUMENTS}


@pytest.mark.parametrize("way", WAYS_TO_WRITE, ids=[way.name for way in WAYS_TO_WRITE])
def test_words_times_and_speakers_are_read_back_and_a_broken_file_is_named(way: Way, tmp_path: Path) -> None:
    folder = tmp_path / "calls"
    talk = conversation()
    row = read_back(way.write(talk, NAME), folder)
    assert differences(talk, way, row) == SAME
    breaks = [name for name in BREAKS if name not in way.passes]
    for name in breaks[:WAYS]:
        files = BREAKS[name](talk, way)
        broken = read_back(files, folder)
        reasons = [broken["problem"] or ""]
        reasons += [reject["reason"] for reject in broken.get("unmatched") or ()]
        assert any(file in reason for file in files for reason in reasons), name


def test_format_of_one_s_own_is_read(dailytalk: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "READERS", [*READERS])
    save(tmp_path / "call.wav")
    (tmp_path / "call.log").write_text("left 0.50 2.10 Hello there.\nright 2.2 3.0 Hi.\n", encoding="utf-8")
    own = ROOT / "examples/own/transcripts.py"
    done = dailytalk("tag", tmp_path, "--out", tmp_path / "out", "--dry-run", "--transcripts-as", own)
    assert "transcripts for 1 of 1 recording" in done.out


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
    (word, start, end), *others = line.words
    first = round(start + (end - start) / 3, 3)
    second = round(start + (end - start) / 2, 3)
    words = (
        (filler, start, first),
        ("th-", first, second),
        (word, second, end),
        *others,
    )
    text = f"{filler} th- {line.text}"
    return replace(line, text=text, words=words)


@pytest.mark.parametrize("way", WAYS_TO_WRITE, ids=[way.name for way in WAYS_TO_WRITE])
def test_a_filler_in_any_notation_is_a_word_and_one_that_is_cut_off_stays(way: Way, tmp_path: Path) -> None:
    written = []
    spoken = []
    for number, line in enumerate(conversation()):
        notation, word = NOTATIONS[number % len(NOTATIONS)]
        written.append(hesitant(line, notation))
        spoken.append(hesitant(line, word))
    row = read_back(way.write(written, NAME), tmp_path / "calls")
    assert differences(spoken, way, row) == SAME
