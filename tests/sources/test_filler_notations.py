"""Fillers in the notations of transcribers are words; what else is in such signs stays what it was."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from audio_files import EXAMPLES, reference
from command import EMBEDDED, Command

from dailytalk_contiguous.core.records.conversation import Cue
from dailytalk_contiguous.sources.transcripts import read_transcripts


def read_segment(path: Path, segment: dict[str, Any], language: str | None = None) -> list[Cue]:
    """The cues of a Whisper transcript with one segment of five seconds."""
    whole = {"start": 0.0, "end": 5.0, "speaker": "A"} | segment
    document = {"segments": [whole], "language": language}
    path.write_text(json.dumps(document), encoding="utf-8")
    return read_transcripts([path], "call.wav")


def words(*texts: str) -> list[dict[str, Any]]:
    return [{"word": text, "start": n / 2, "end": n / 2 + 0.4} for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("language", "written", "text"),
    [
        ("en", "I {F uh, } think {F um } so", "I uh, think um so"),
        ("en", "{F Uh, } [ I, + I ] do {D well, } /", "Uh, [ I, + I ] do {D well, } /"),
        ("en", "So &-um, you &-like know", "So um, you like know"),
        ("en", "<I &-um> [/] I (%uh) see", "<I um> [/] I uh see"),
        ("en", "He said [um, uh] and (Hmm...) no", "He said um, uh and Hmm... no"),
        ("en", "I see [ah] yes", "I see ah yes"),
        ("de", "Ich [ähm] weiß (äh) nicht", "Ich ähm weiß äh nicht"),
        ("pt-BR", "Eu [hum] penso", "Eu hum penso"),
        ("ja", "[えーと]そうです", "えーとそうです"),
        (None, "Ich [ähm] weiß %um nicht", "Ich ähm weiß um nicht"),
        # No fillers.
        ("en", "an alb(um) of &wa [him] (5 mm) [sic]", "an alb(um) of &wa [him] (5 mm) [sic]"),
        ("en", "&-you_know R&B 100 %umber", "&-you_know R&B 100 %umber"),
        ("en", "[uh-huh] (um I think) ((um)) (E.R.) (A-H)", "[uh-huh] (um I think) ((um)) (E.R.) (A-H)"),
        ("en", "I (eh) see", "I (eh) see"),
        (None, "I (oh) see", "I (oh) see"),
    ],
)
def test_fillers_lose_their_signs(tmp_path: Path, language: str | None, written: str, text: str) -> None:
    cues = read_segment(tmp_path / "call.json", {"text": written}, language)
    (cue,) = [cue for cue in cues if not cue.mark]
    assert cue.text == text


@pytest.mark.parametrize(
    "mark", ["%hesitation", "[hesitation]", "[hum]", "&=laughs", "[laughter]", "{breath}", "<noise>"]
)
@pytest.mark.parametrize("language", ["en", None])
def test_marks_stay_marks(tmp_path: Path, mark: str, language: str | None) -> None:
    cues = read_segment(tmp_path / "call.json", {"text": f"Well {mark} yes"}, language)
    assert [cue.text for cue in cues] == ["Well yes", None]
    assert [cue.mark_kind for cue in cues] == [None, "sound"]


@pytest.mark.parametrize(
    "timed", [("I", "{F", "uh,", "}", "think"), ("I", "{F uh, }", "think"), ("I", "uh,", "think")]
)
def test_words_of_switchboards_notation_keep_their_times(tmp_path: Path, timed: tuple[str, ...]) -> None:
    listed = words(*timed)
    segment = {"text": "I {F uh, } think", "words": listed}
    (cue,) = read_segment(tmp_path / "call.json", segment, "en")
    assert cue.text == "I uh, think"
    expected = []
    for word in listed:
        text = word["word"].strip("{F} ")
        if text:
            expected.append((text, word["start"]))
    kept = [(word.word, word.start) for word in cue.words]
    assert kept == expected


#: What is written before the first lines, and the filler that is read.
NOTATIONS = {0: "&-um", 1: "{F Uh, }", 2: "[uh]", 3: "%um", 4: "(um)", 5: "[laughter] w-"}


FILLERS = {0: "um", 1: "Uh,", 2: "uh", 3: "um", 4: "um"}


def test_fillers_reach_rows_as_words_that_say_so(tmp_path: Path, dailytalk: Command) -> None:
    source = tmp_path / "in"
    work = tmp_path / "work"
    source.mkdir()
    shutil.copy(EXAMPLES / "bicycle_repair.flac", source / "call.flac")
    lines = reference("bicycle_repair")
    written = []
    for number, line in enumerate(lines):
        text = f"{NOTATIONS.get(number, '')} {line['text']}".strip()
        fields = {"channel": line["channel"], "start": line["start"], "end": line["end"], "text": text}
        written.append(fields)
    document = json.dumps({"utterances": written})
    (source / "call.json").write_text(document, encoding="utf-8")
    done = dailytalk("build", source, "--out", work, *EMBEDDED, "--revoice", "none")
    assert done.code == 0, done.err
    (shard,) = (work / "dataset").glob("*.parquet")
    (row,) = pq.read_table(shard).to_pylist()
    text = " ".join(utterance["text_raw"] for utterance in row["utterances"])
    for number, filler in FILLERS.items():
        assert f"{filler} {lines[number]['text']}" in text
    assert f"w- {lines[5]['text']}" in text
    fillers = [word["word"] for word in row["alignments"] if word["filler"]]
    assert sorted(fillers) == sorted(FILLERS.values())
    assert [mark["name"] for mark in row["transcript_marks"]] == ["laughter"]
