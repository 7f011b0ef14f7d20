"""`--emotion` of tag, build and corpus: in rows, transcript, record, report, and in what is published of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from command import EMBEDDED, Command
from recordings import excerpt, read_lines, save

from dailytalk_contiguous.core.records.utterance import EMOTION_GUESS
from dailytalk_contiguous.core.style.emotions import UNSURE, VOICE_LINEAR
from dailytalk_contiguous.publish.opening import open_items

SAID = [("left", 0.4, 2.4, "We could go to the sea."), ("right", 2.9, 5.6, "That is a wonderful idea.")]


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """A recording with its words beside it, so that nothing is recognised."""
    save(tmp_path / "in/trip.wav", excerpt())
    cues = []
    for channel, start, end, text in SAID:
        cues.append({"channel": channel, "start": start, "end": end, "text": text, "language": "en"})
    (tmp_path / "in/trip.json").write_text(json.dumps({"utterances": cues}))
    return tmp_path / "in"


def test_tag_without_emotion_writes_what_it_wrote_before(calls: Path, tmp_path: Path, dailytalk: Command) -> None:
    def tag(name: str, *options: str) -> list[dict[str, Any]]:
        done = dailytalk("tag", calls, "--out", tmp_path / name, *EMBEDDED, *options)
        assert done.code == 0, done.err
        return read_lines(tmp_path / name / "transcript.jsonl")

    plain = tag("plain")
    for line in plain:
        assert line.keys().isdisjoint(EMOTION_GUESS)
    record = json.loads((tmp_path / "plain/run.json").read_text())
    assert "emotion" not in record["models"]
    heard = tag("plain", "--emotion", VOICE_LINEAR, "--emotion-confidence", "1")
    assert {line["emotion_class"] for line in heard} == {UNSURE}
    for line, same in zip(heard, plain, strict=True):
        without = {name: value for name, value in line.items() if name not in EMOTION_GUESS}
        assert without == same
    assert tag("plain") == plain
    (row,) = open_items(tmp_path / "plain").rows()
    assert {utterance["emotion_model"] for utterance in row["utterances"]} == {None}
    refused = dailytalk("tag", calls, "--out", tmp_path / "none", *EMBEDDED, "--emotion", calls)
    assert refused.code == 1
    assert str(calls) in refused.err
    assert not (tmp_path / "none/transcript.jsonl").exists()
