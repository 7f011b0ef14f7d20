"""Edits of lines: text and words are one truth, nothing is lost silently, and all of it can be taken back."""

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
from dailytalk_contiguous.core.word_times import join_words, split_words

TAGS = ("calm", "happy")
SECONDS = 20.0
WORDS = st.sampled_from(["so", "yes", "the", "hill", "Hhhh", "don't", "—", "100", "wow!", "a"])
TEXTS = st.lists(WORDS, max_size=8).map(" ".join)


def item(channels: tuple[str, ...] = ("left", "right"), used: Any = ()) -> Item:
    return Item(0.0, SECONDS, channels, TAGS, used)


def line(channel: str, start: float, text: str, second: float = 0.3) -> dict[str, Any]:
    tokens = split_words(text)
    words = [
        {"word": word, "start": round(start + n * second, 3), "end": round(start + (n + 1) * second, 3)}
        | {"probability": 0.9}
        for n, word in enumerate(tokens)
    ]
    end = round(start + second * max(1, len(tokens)), 3)
    return {"channel": channel, "speaker": f"call/{channel}", "start": start, "end": end} | {
        "text": join_words(tokens), "tag": "calm", "words": words, "rule": "grid", "vad": {"valence": 0.5},
    }  # fmt: skip


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
    return replayed(lines, edit(lines, action, item(), "ann"))


@st.composite
def calls(draw: st.DrawFn) -> Lines:
    starts = draw(st.lists(st.integers(0, 170), min_size=1, max_size=6))
    return {
        f"u{number}": line(draw(st.sampled_from(["left", "right"])), start / 10, draw(TEXTS))
        for number, start in enumerate(starts)
    }


@st.composite
def actions(draw: st.DrawFn, lines: Lines, seconds: float = SECONDS) -> dict[str, Any]:
    times = st.integers(-10, round(10 * seconds) + 10).map(lambda tenths: tenths / 10)
    key = st.sampled_from([*lines, "nowhere"]) if lines else st.just("nowhere")
    index = st.integers(-1, 8)
    kind = draw(
        st.sampled_from(["text", "times", "word", "split", "merge", "insert", "delete", "swap", "tag", "whole"])
    )
    fields: dict[str, Any] = {
        "text": {"line": key, "text": TEXTS},
        "times": {"line": key, "start": times, "end": times},
        "word": {"line": key, "index": index, "start": times, "end": times},
        "split": {"line": key, "index": index},
        "merge": {"line": key},
        "insert": {
            "channel": st.sampled_from(["left", "right", "up"]),
            "start": times,
            "end": times,
            "text": TEXTS,
        },
        "delete": {"line": key},
        "swap": {"line": key},
        "tag": {"line": key, "tag": st.sampled_from(["calm", "happy", "", "cross"])},
        "whole": {"text": st.lists(TEXTS, min_size=len(lines), max_size=len(lines)).map("\n".join)},
    }[kind]
    return {"do": kind} | {name: draw(strategy) for name, strategy in fields.items()}


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
        try:
            change = edit(lines, data.draw(actions(lines)), item(used=used), "ann")
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
    words = done(call(), do="text", line="l0", text="Good evening, how can I help")["l0"]["words"]
    assert [(word["word"], word["start"], word["end"]) for word in words[:3]] == [
        ("Good", 0.5, 0.8),
        ("evening,", 0.8, 1.1),
        ("how", 1.1, 1.4),
    ]
    assert words[1]["probability"] is None
    assert words[2]["probability"] == 0.9


def test_the_edge_of_a_word_pushes_its_neighbour_and_passes_none() -> None:
    words = done(call(), do="word", line="r0", index=1, start=3.2, end=3.8)["r0"]["words"]
    assert [(word["start"], word["end"]) for word in words[:3]] == [(3.0, 3.2), (3.2, 3.8), (3.8, 3.9)]
    with pytest.raises(BadInput, match="would pass its neighbour"):
        done(call(), do="word", line="r0", index=1, start=3.2, end=4.5)


def test_an_edge_that_a_person_moves_is_where_it_sounds_and_the_other_stays() -> None:
    lines = {"l0": line("left", 0.5, "Good morning") | {"start_trim": 0.02, "end_trim": 0.08}}
    moved = done(lines, do="times", line="l0", start=0.4, end=lines["l0"]["end"])["l0"]
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
