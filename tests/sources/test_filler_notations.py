"""Fillers in the notations of transcribers are words; what else is in such signs stays what it was."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from audio_files import EXAMPLES, reference
from command import EMBEDDED, Command

from dailytalk_contiguous.sources.transcripts import read_transcripts


def read_segment(path: Path, segment: dict[str, Any], language: str | None = None) -> list[dict[str, Any]]:
    """The cues of a Whisper transcript with one segment of five seconds."""
    document = {"segments": [{"start": 0.0, "end": 5.0, "speaker": "A"} | segment], "language": language}
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
    assert [cue["text"] for cue in cues if not cue["mark"]] == [text]


@pytest.mark.parametrize(
    "mark", ["%hesitation", "[hesitation]", "[hum]", "&=laughs", "[laughter]", "{breath}", "<noise>"]
)
@pytest.mark.parametrize("language", ["en", None])
def test_marks_stay_marks(tmp_path: Path, mark: str, language: str | None) -> None:
    cues = read_segment(tmp_path / "call.json", {"text": f"Well {mark} yes"}, language)
    assert [cue["text"] for cue in cues] == ["Well yes", None]
    assert [cue["mark_kind"] for cue in cues] == [None, "sound"]


@pytest.mark.parametrize(
    "timed", [("I", "{F", "uh,", "}", "think"), ("I", "{F uh, }", "think"), ("I", "uh,", "think")]
)
def test_words_of_switchboards_notation_keep_their_times(tmp_path: Path, timed: tuple[str, ...]) -> None:
    listed = words(*timed)
    segment = {"text": "I {F uh, } think", "words": listed}
    (cue,) = read_segment(tmp_path / "call.json", segment, "en")
    assert cue["text"] == "I uh, think"
    kept = [(text, word["start"]) for word in listed if (text := word["word"].strip("{F} "))]
    assert [(word["word"], word["start"]) for word in cue["words"]] == kept


def test_fillers_reach_rows_as_words_that_say_so(tmp_path: Path, dailytalk: Command) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(EXAMPLES / "bicycle_repair.flac", tmp_path / "in/call.flac")
    lines = reference("bicycle_repair")
    notations = {0: "&-um", 1: "{F Uh, }", 2: "[uh]", 3: "%um", 4: "(um)", 5: "[laughter] w-"}
    fillers = {0: "um", 1: "Uh,", 2: "uh", 3: "um", 4: "um"}
    written = [
        {key: line[key] for key in ("channel", "start", "end")}
        | {"text": f"{notations.get(n, '')} {line['text']}".strip()}
        for n, line in enumerate(lines)
    ]
    (tmp_path / "in/call.json").write_text(json.dumps({"utterances": written}), encoding="utf-8")
    done = dailytalk("build", tmp_path / "in", "--out", tmp_path / "work", *EMBEDDED, "--revoice", "none")
    assert done.code == 0, done.err
    (row,) = pq.read_table(next((tmp_path / "work/dataset").glob("*.parquet"))).to_pylist()
    said = " ".join(utterance["text_raw"] for utterance in row["utterances"])
    for n, filler in fillers.items():
        assert f"{filler} {lines[n]['text']}" in said
    assert f"w- {lines[5]['text']}" in said
    found = [word["word"] for word in row["alignments"] if word["filler"]]
    assert sorted(found) == sorted(fillers.values())
    assert [mark["name"] for mark in row["transcript_marks"]] == ["laughter"]
