import json
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from corpus_trees import dailytalk, problems, put, read

from dailytalk_contiguous.apps.clips.corpora.registry import CORPORA

TALK = {"0": [(1, "How are you?"), (0, "Great!")], "25": [(0, "It rains.")]}

#: The clips of TALK: id, speaker, emotion, label and text.
TURNS = [
    ("dailytalk/0_1_d0", "dailytalk/1", "neutral", "no emotion", "How are you?"),
    ("dailytalk/1_0_d0", "dailytalk/0", "happy", "happiness", "Great!"),
    ("dailytalk/0_0_d25", "dailytalk/0", "neutral", "no emotion", "It rains."),
]


def changed(**turn: Any) -> dict[str, bytes]:
    """The corpus with other metadata of turn 0 of dialogue 25."""
    files = dailytalk(TALK)
    metadata = json.loads(files["metadata.json"])
    metadata["25"]["0"] |= turn
    files["metadata.json"] = json.dumps(metadata).encode()
    return files


def test_turns_are_clips_with_their_own_emotions(tmp_path: Path) -> None:
    rows = read("dailytalk", put(tmp_path, dailytalk(TALK)))
    columns = itemgetter("id", "speaker", "emotion", "label", "text")
    turns = [columns(row) for row in rows.values()]
    assert turns == TURNS
    counts = CORPORA["dailytalk"].count_check(rows.values())
    assert counts == ["dailytalk: 3 clips were read, 23773 are published."]


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        ({"emotion": "boredom"}, "its emotion 'boredom' in metadata.json is unknown"),
        ({"speaker": 1}, "its speaker is 0, but 1 in metadata.json"),
        ({"text": " "}, "it has no text"),
    ],
)
def test_metadata_that_do_not_fit_reject_the_turn(tmp_path: Path, turn: dict[str, Any], reason: str) -> None:
    source = put(tmp_path, changed(**turn))
    faults = problems(read("dailytalk", source))
    assert faults["data/25/0_0_d25.wav"].startswith(reason)
