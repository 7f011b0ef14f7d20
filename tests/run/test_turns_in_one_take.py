"""A run in which turns are said in one take: what it costs, what an edit buys, and where the pauses are."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import Command
from recordings import read_lines
from scripted import Said, folder, loopback, say, settings, write_transcript
from tts_server import TtsServer

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.run.speaking import Price, price_of, read_synthesis_input

#: Two turns of two utterances on the left, and one of one.
TURNS: tuple[Said, ...] = (
    ("left", "Good morning, is anybody there?", "calm"),
    ("left", "The bicycle makes a noise again.", "calm"),
    ("right", "Bring it in, I will look at it.", "confident"),
    ("left", "It is the front wheel, I think.", "worried"),
    ("left", "Or it may be the chain of it.", "worried"),
    ("right", "Yes, I can hear it.", "calm"),
    ("left", "Well, how much will that be?", "curious"),
)
LINES = [
    f"(calm) {TURNS[0][1]} {TURNS[1][1]}",
    f"(worried) {TURNS[3][1]} {TURNS[4][1]}",
    f"(curious) {TURNS[6][1]}",
]
PRICE = 15e-6


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[TtsServer]:
    with loopback(monkeypatch) as running:
        yield running


def asked_for(server: TtsServer) -> list[str]:
    return sorted(asked.body["text"] for asked in server.asked)


def edited(work: Path, place: int, **fields: Any) -> None:
    lines = read_lines(work / "transcript.jsonl")
    lines[place] |= fields
    write_transcript(work, lines)


def price(work: Path, tmp_path: Path, **chosen: Any) -> Price:
    return price_of(read_synthesis_input(work), settings(tmp_path, **chosen))


def test_price_is_what_the_run_spends_and_its_record_says_so(tmp_path: Path, server: TtsServer) -> None:
    work = folder(tmp_path / "work", first=TURNS)
    intended = price(work, tmp_path)
    assert intended.utterances == 5
    assert intended.joined == 4
    assert intended.turns == 2
    assert intended.requests == 3
    assert intended.price == pytest.approx(PRICE * sum(map(len, LINES)))
    outcome = say(work, settings(tmp_path, max_cost=intended.price))
    assert asked_for(server) == sorted(LINES)
    assert outcome.record["money"]["spent"] == pytest.approx(intended.price)
    assert outcome.record["cost"] == pytest.approx(intended.price, abs=1e-6)
    again = price(work, tmp_path)
    assert again.cached == 5
    assert again.requests == 0
    assert again.price == 0
    apart = price(work, tmp_path, takes_of="line")
    # The last is a line in any case.
    assert apart.joined == 0
    assert apart.turns == 0
    assert apart.requests == 4
    with pytest.raises(DailytalkError, match="spending limit"):
        say(folder(tmp_path / "other", second=TURNS), settings(tmp_path, temperature=0.1, max_cost=PRICE))


def test_an_edit_of_one_utterance_buys_its_turn_again_and_no_other(tmp_path: Path, server: TtsServer) -> None:
    work = folder(tmp_path / "work", first=TURNS)
    say(work, settings(tmp_path))
    server.asked.clear()
    edited(work, 4, text="Or it may be the brake.")
    line = f"(worried) {TURNS[3][1]} Or it may be the brake."
    assert price(work, tmp_path).price == pytest.approx(PRICE * len(line))
    say(work, settings(tmp_path))
    assert asked_for(server) == [line]


def test_an_edited_tag_parts_a_turn(tmp_path: Path, server: TtsServer) -> None:
    work = folder(tmp_path / "work", first=TURNS)
    say(work, settings(tmp_path))
    server.asked.clear()
    edited(work, 1, tag="sad")
    say(work, settings(tmp_path))
    assert asked_for(server) == [f"(calm) {TURNS[0][1]}", f"(sad) {TURNS[1][1]}"]


def test_pauses_inside_a_turn_are_those_of_the_source(tmp_path: Path, server: TtsServer) -> None:
    work = folder(tmp_path / "work", first=TURNS)
    say(work, settings(tmp_path))
    row = open_items(str(work)).row("first")
    assert row is not None
    left = [utterance for utterance in row["utterances"] if utterance["channel"] == "left"]
    parts = [utterance["synthesis"]["take_part"] for utterance in left]
    assert parts == [1, 2, 1, 2, None]
    for first, second in ((left[0], left[1]), (left[2], left[3])):
        assert first["synthesis"]["cache_key"] == second["synthesis"]["cache_key"]
        source = second["source_start"] - first["source_end"]
        assert second["start"] - first["end"] == pytest.approx(source, abs=0.001)
    written = [text for side, text, _ in TURNS if side == "left"]
    assert [utterance["text"] for utterance in left] == written


def test_price_of_turns_that_are_said_apart_is_that_of_their_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with loopback(monkeypatch, TtsServer(timestamps=False)) as server:
        work = folder(tmp_path / "work", first=TURNS[:2])
        alone = [f"(calm) {text}" for _, text, _ in TURNS[:2]]
        whole = PRICE * len(LINES[0])
        server.plan = ["", "", "402"]  # it is asked for word times once, which it has not
        with pytest.raises(DailytalkError, match="402"):
            say(work, settings(tmp_path, aligner="none", concurrency=1))
        left = price(work, tmp_path, aligner="none")
        assert left.requests == 2
        assert left.price == pytest.approx(PRICE * sum(map(len, alone)))
        outcome = say(work, settings(tmp_path, aligner="none"))
        assert sorted(server.purchases) == sorted([LINES[0], *alone])
        # what was bought for the turn counts for its lines
        assert outcome.record["cost"] == pytest.approx(whole + left.price, abs=1e-6)
        assert price(work, tmp_path, aligner="none").requests == 0


def test_a_dry_run_says_how_many_are_said_together_and_what_an_edit_buys(
    tmp_path: Path, server: TtsServer, dailytalk: Command
) -> None:
    work = folder(tmp_path / "work", first=TURNS)
    command = ("speak", work, "--profile", "embedded", "--tts", "fish", "--dry-run")
    shown = dailytalk(*command).out
    assert "5 utterances of 1 conversation to say by fish" in shown
    assert "4 utterances in 2 turns, each said in one take: an edit of one buys its turn again" in shown
    planned = json.loads(dailytalk(*command, "--json").out)
    assert planned["joined"] == 4
    assert planned["turns"] == 2
    assert planned["requests"] == 3
    assert server.asked == []
