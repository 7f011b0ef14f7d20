"""Edits of lines: text and words are one truth, nothing is lost silently, and all of it can be taken back."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.apps.review.edits import (
    EDITED_FIELDS,
    EditChange,
    Item,
    Lines,
    edit,
    replayed,
    shown_words,
)
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.words.word_times import join_words, split_words

TAGS = ("calm", "happy")
SECONDS = 20.0
WORDS = st.sampled_from(["so", "yes", "the", "hill", "Hhhh", "don't", "—", "100", "wow!", "a"])
TEXTS = st.lists(WORDS, max_size=8).map(" ".join)


def item(channels: tuple[str, ...] = ("left", "right"), used: Any = ()) -> Item:
    return Item(0.0, SECONDS, channels, TAGS, used)


def line(channel: str, start: float, text: str, second: float = 0.3) -> dict[str, Any]:
    tokens = split_words(text)
    n_words = len(tokens)
    edges = [round(start + n * second, 3) for n in range(max(1, n_words) + 1)]
    words = []
    for token, (begin, stop) in zip(tokens, pairwise(edges), strict=False):
        words.append({"word": token, "start": begin, "end": stop, "probability": 0.9})
    return {
        "channel": channel,
        "speaker": f"call/{channel}",
        "start": start,
        "end": edges[-1],
        "text": join_words(tokens),
        "tag": "calm",
        "words": words,
        "rule": "grid",
        "vad": {"valence": 0.5},
    }


def call() -> Lines:
    return {
        "l0": line("left", 0.5, "Good morning how can I help"),
        "r0": line("right", 3.0, "I was riding down the hill"),
        "l1": line("left", 6.0, "oh no"),
        "r1": line("right", 8.0, "the chain came off"),
    }


def inverse(change: EditChange) -> EditChange:
    return EditChange(change.after, change.before)


def done(lines: Lines, **action: Any) -> Lines:
    change = edit(lines, action, item(), "ann")
    return replayed(lines, change)


@st.composite
def calls(draw: st.DrawFn) -> Lines:
    starts = draw(st.lists(st.integers(0, 170), min_size=1, max_size=6))
    lines = {}
    for number, start in enumerate(starts):
        channel = draw(st.sampled_from(["left", "right"]))
        text = draw(TEXTS)
        lines[f"u{number}"] = line(channel, start / 10, text)
    return lines


@st.composite
def actions(draw: st.DrawFn, lines: Lines, seconds: float = SECONDS) -> dict[str, Any]:
    tenths = st.integers(-10, round(10 * seconds) + 10)
    times = tenths.map(lambda number: number / 10)
    key = st.sampled_from([*lines, "nowhere"]) if lines else st.just("nowhere")
    index = st.integers(-1, 8)
    channel = st.sampled_from(["left", "right", "up"])
    tag = st.sampled_from(["calm", "happy", "", "cross"])
    whole = st.lists(TEXTS, min_size=len(lines), max_size=len(lines)).map("\n".join)
    kinds: dict[str, dict[str, st.SearchStrategy[Any]]] = {}
    kinds["text"] = {"line": key, "text": TEXTS}
    kinds["times"] = {"line": key, "start": times, "end": times}
    kinds["word"] = {"line": key, "index": index, "start": times, "end": times}
    kinds["split"] = {"line": key, "index": index}
    kinds["merge"] = {"line": key}
    kinds["insert"] = {"channel": channel, "start": times, "end": times, "text": TEXTS}
    kinds["delete"] = {"line": key}
    kinds["swap"] = {"line": key}
    kinds["tag"] = {"line": key, "tag": tag}
    kinds["whole"] = {"text": whole}
    kind = draw(st.sampled_from([*kinds]))
    fields = {name: draw(strategy) for name, strategy in kinds[kind].items()}
    return {"do": kind} | fields


def sound(lines: Lines) -> None:
    """Whatever was done: times are inside and in order, words are those of the text."""
    for made in lines.values():
        assert 0 <= made["start"] < made["end"] <= SECONDS + 1.5
        assert made["channel"] in ("left", "right")
        words = shown_words(made)
        if made["text"]:
            assert [word["word"] for word in words] == split_words(made["text"])
            assert not any(" " in word["word"] for word in words)
        assert all(word["start"] < word["end"] for word in words)
        starts = [word["start"] for word in words]
        assert starts == sorted(starts)


@given(st.data())
def test_any_edits_leave_lines_sound_and_can_be_replayed_and_taken_back_one_by_one(data: st.DataObject) -> None:
    start = data.draw(calls())
    states = [start]
    changes = []
    used = set(start)
    for _ in range(data.draw(st.integers(1, 6))):
        lines = states[-1]
        action = data.draw(actions(lines))
        try:
            change = edit(lines, action, item(used=used), "ann")
        except BadInput:
            continue
        after = replayed(lines, change)
        sound(after)
        used |= {*after}
        assert replayed(after, inverse(change)) == lines
        states.append(after)
        changes.append(change)
    replay = start
    for change, state in zip(changes, states[1:], strict=True):
        replay = replayed(replay, change)
        assert replay == state
    for change, state in zip(reversed(changes), reversed(states[:-1]), strict=True):
        replay = replayed(replay, inverse(change))
        assert replay == state


def test_a_word_that_is_corrected_takes_the_time_of_the_old_one() -> None:
    lines = done(call(), do="text", line="l0", text="Good evening, how can I help")
    words = lines["l0"]["words"]
    timed = [(word["word"], word["start"], word["end"]) for word in words]
    assert timed[:3] == [("Good", 0.5, 0.8), ("evening,", 0.8, 1.1), ("how", 1.1, 1.4)]
    assert words[1]["probability"] is None
    assert words[2]["probability"] == 0.9


def test_the_edge_of_a_word_pushes_its_neighbour_and_passes_none() -> None:
    lines = done(call(), do="word", line="r0", index=1, start=3.2, end=3.8)
    times = [(word["start"], word["end"]) for word in lines["r0"]["words"]]
    assert times[:3] == [(3.0, 3.2), (3.2, 3.8), (3.8, 3.9)]
    with pytest.raises(BadInput, match="would pass its neighbour"):
        done(call(), do="word", line="r0", index=1, start=3.2, end=4.5)


def test_an_edge_that_a_person_moves_is_where_it_sounds_and_the_other_stays() -> None:
    before = line("left", 0.5, "Good morning") | {"start_trim": 0.02, "end_trim": 0.08}
    lines = done({"l0": before}, do="times", line="l0", start=0.4, end=before["end"])
    moved = lines["l0"]
    assert moved["start_trim"] is None
    assert moved["end_trim"] == 0.08
    assert moved[EDITED_FIELDS] == ["start"]


def test_a_whole_text_may_end_in_a_new_line() -> None:
    texts = ["one", "two", "three", ""]
    for ending in ("", "\n"):
        lines = done(call(), do="whole", text="\n".join(texts) + ending)
        assert [lines[key]["text"] for key in ("l0", "r0", "l1", "r1")] == texts
    with pytest.raises(BadInput, match="lines"):
        done(call(), do="whole", text="one\ntwo\n")
