import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpus_trees import clip, dailytalk, put
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.apps.clips.corpora.dailytalk import (
    MOST_OVERLAP,
    OFFSET_DEVIATION,
    OFFSET_LIMIT,
    OFFSET_MEAN,
    ActedDialogue,
    acted_dialogues,
    starts,
)
from dailytalk_contiguous.core.errors import Reject

TALK = {"0": [(1, "How are you?"), (0, "Great!"), (0, "And you?")], "25": [(0, "It rains."), (1, "Oh.")]}

turns = st.lists(st.tuples(st.floats(0.1, 20.0), st.sampled_from((0, 1))), min_size=1, max_size=12)


def read(source: Path, seed: int = 0) -> tuple[dict[str, ActedDialogue], dict[str, str]]:
    """The dialogues, and the reasons of the rejects, by their names."""
    rows = list(acted_dialogues(source, seed))
    good = {row.dialogue: row for row in rows if isinstance(row, ActedDialogue)}
    return good, {row.id: row.reason for row in rows if isinstance(row, Reject)}


@given(turns=turns, key=st.text(max_size=8))
def test_turns_keep_their_order_and_no_speaker_talks_over_themselves(
    turns: list[tuple[float, int]], key: str
) -> None:
    lengths, speakers = [length for length, _ in turns], [speaker for _, speaker in turns]
    begun = starts(lengths, speakers, key)
    assert begun == starts(lengths, speakers, key)
    assert begun[0] == 0.0
    ends = [start + length for start, length in zip(begun, lengths, strict=True)]
    for place, start in enumerate(begun[1:], 1):
        offset = start - ends[place - 1]
        assert offset <= OFFSET_MEAN + OFFSET_LIMIT * OFFSET_DEVIATION + 1e-9
        assert offset >= -MOST_OVERLAP * min(lengths[place], lengths[place - 1]) - 1e-9
        own = [ends[before] for before in range(place) if speakers[before] == speakers[place]]
        assert start >= max(own, default=0.0) - 1e-9


def test_a_dialogue_has_its_texts_and_labels_and_each_turn_unchanged_on_its_own_channel(tmp_path: Path) -> None:
    good, rejects = read(put(tmp_path, dailytalk(TALK)))
    assert (list(good), rejects) == (["0", "25"], {})
    said = good["0"].turns
    assert [(turn["channel"], turn["text"], turn["emotion"], turn["act"], turn["topic"]) for turn in said] == [
        ("right", "How are you?", "neutral", "question", "Ordinary Life"),
        ("left", "Great!", "happy", "inform", "Ordinary Life"),
        ("left", "And you?", "neutral", "question", "Ordinary Life"),
    ]
    samples, rate = soundfile.read(io.BytesIO(good["0"].wav), dtype="int16")
    assert len(samples) / rate == pytest.approx(said[-1]["end"], abs=1e-4)
    quiet = np.ones_like(samples, dtype=bool)
    for number, turn in enumerate(said):
        own, _ = soundfile.read(io.BytesIO(clip(1.0 + 0.1 * number, 22050)), dtype="int16")
        channel, first = ["left", "right"].index(turn["channel"]), round(turn["start"] * rate)
        np.testing.assert_array_equal(samples[first : first + len(own), channel], own[: len(samples) - first])
        quiet[first : first + len(own), channel] = False
    assert not samples[quiet].any()


def test_seed_and_dialogue_decide_the_gaps_whatever_else_is_there(tmp_path: Path) -> None:
    both, _ = read(put(tmp_path / "a", dailytalk(TALK)))
    alone, _ = read(put(tmp_path / "b", dailytalk({"25": TALK["25"]})))
    other, _ = read(tmp_path / "a", seed=1)
    assert both["25"] == alone["25"]
    assert both["25"].turns[1]["start"] != other["25"].turns[1]["start"]


def test_a_dialogue_that_lacks_a_turn_is_rejected(tmp_path: Path) -> None:
    files = dailytalk(TALK)
    del files["data/25/1_1_d25.wav"]
    good, rejects = read(put(tmp_path, files))
    assert list(good) == ["0"]
    assert rejects["dailytalk/25"] == "turn 1 of dialogue 25 has no usable recording"
