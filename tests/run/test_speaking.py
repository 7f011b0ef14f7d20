import logging
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from recordings import read_lines, state
from scripted import SHORT, Stubborn, folder, loopback, say, settings, talk, write_transcript
from tts_server import TOKEN, TtsServer

from dailytalk_contiguous import load
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.run.shard import StageEvent
from dailytalk_contiguous.run.speaking import price_of, read_synthesis_input

BICYCLE = "(worried) The bicycle makes a noise again."
MORNING = "(curious) Good morning, is anybody there?"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubborn]:
    with loopback(monkeypatch, Stubborn("", "500")) as running:
        assert isinstance(running, Stubborn)
        yield running


def edited(work: Path, place: int, **fields: Any) -> None:
    lines = read_lines(work / "transcript.jsonl")
    lines[place] |= fields
    write_transcript(work, lines)


def asked_for(server: TtsServer) -> list[str]:
    return [asked.body["text"] for asked in server.asked]


# What was finished before


def ids_in(work: Path, name: str) -> list[str]:
    return sorted({line["conversation_id"] for line in read_lines(work / name)})


def sounds_in(work: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (work / "audio").glob("*.wav")}


def keys_of(work: Path) -> dict[str, str]:
    """The key in the cache of the last spoken line of each conversation."""
    return {line["conversation_id"]: line["synthesis"]["cache_key"] for line in spoken_lines(work)}


def keys_in(row: dict[str, Any]) -> set[str]:
    """The keys in the cache of all spoken utterances of a row."""
    syntheses = [utterance["synthesis"] for utterance in row["utterances"]]
    return {synthesis["cache_key"] for synthesis in syntheses if synthesis}


def test_finished_conversations_stay_where_a_voice_fails_on_every_line(tmp_path: Path, server: Stubborn) -> None:
    work = folder(tmp_path, first=SHORT, second=talk("another", 4))
    assert say(work, settings(tmp_path)).record["counts"]["conversations"] == 2
    before = sounds_in(work)
    words = [line["words"] for line in read_lines(work / "transcript_shifted.jsonl")]
    server.word = "i"
    server.fault = "500"
    outcome = say(work, settings(tmp_path, temperature=0.1))
    assert outcome.record["of_earlier_runs"] == ["first", "second"]
    assert outcome.record["counts"]["conversations"] == 2
    assert ids_in(work, "transcript_shifted.jsonl") == ["first", "second"]
    assert [line["words"] for line in read_lines(work / "transcript_shifted.jsonl")] == words
    assert sounds_in(work) == before
    rows = open_items(str(work)).rows()
    assert sorted(row["conversation_id"] for row in rows) == ["first", "second"]
    rejects = read_lines(work / "rejects.jsonl")
    assert sorted(reject["id"] for reject in rejects) == ["first", "second"]
    findings, _ = check_folder(work)
    assert [finding.kind for finding in findings].count("of-earlier-run") == 1


def test_a_conversation_that_fails_stays_as_it_was_until_it_is_made_anew(tmp_path: Path, server: Stubborn) -> None:
    work = folder(tmp_path, first=SHORT, second=talk("another", 4))
    script = read_synthesis_input(work, shard_seconds=600.0)  # both in one shard
    whole = say(work, settings(tmp_path), script=script)
    assert whole.record["counts"]["conversations"] == 2
    old = keys_of(work)
    server.word = "bicycle"
    server.fault = "500"
    outcome = say(work, settings(tmp_path, temperature=0.1), script=script)
    assert outcome.record["of_earlier_runs"] == ["first"]
    now = keys_of(work)
    assert now["first"] == old["first"]
    assert now["second"] != old["second"]
    assert sorted(load(work, split="train")["conversation_id"]) == ["first", "second"]
    items = open_items(str(work))
    assert sorted(row["conversation_id"] for row in items.rows()) == ["first", "second"]
    assert now["second"] in keys_in(items.row("second"))
    again = say(work, settings(tmp_path, temperature=0.1), script=script)
    assert again.record["of_earlier_runs"] == ["first"]
    server.word = ""
    last = say(work, settings(tmp_path, temperature=0.1), script=script)
    assert last.record["of_earlier_runs"] == []
    assert keys_of(work) != now
    assert len(list((work / "dataset").glob("*.parquet"))) == 1


def test_what_a_stopped_run_made_anew_counts_whatever_the_times_of_the_files_say(
    tmp_path: Path, server: Stubborn
) -> None:
    work = folder(tmp_path, first=SHORT, second=talk("another", 4))
    say(work, settings(tmp_path))
    old = keys_of(work)
    n_seen = 0

    def stop_at_the_second(event: StageEvent) -> None:
        nonlocal n_seen
        if event.stage == "Reconstruct" and event.wall is None and not event.kind:
            n_seen += 1
        if n_seen > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        say(work, settings(tmp_path, temperature=0.1), progress=stop_at_the_second)
    shards = list((work / "dataset").glob("*.parquet"))
    assert len(shards) == 3
    for times in [(1, 2, 3), (3, 2, 1), (2, 3, 1)]:
        for path, time in zip(shards, times, strict=True):
            os.utime(path, (time, time))
        rows = open_items(str(work)).rows()
        is_old = [old[row["conversation_id"]] in keys_in(row) for row in rows]
        assert sorted(is_old) == [False, True]
    say(work, settings(tmp_path, temperature=0.1))
    assert len(list((work / "dataset").glob("*.parquet"))) == 2


def test_edit_makes_its_own_conversation_again_and_no_neighbour(tmp_path: Path) -> None:
    chosen = settings(tmp_path, tts="espeak")
    work = folder(tmp_path, **{name: talk(name, 2) for name in ("first", "second", "third")})
    script = read_synthesis_input(work, shard_seconds=600.0)  # all three share a shard
    assert say(work, chosen, script=script).run.conversations_done == 3
    rows = {row["conversation_id"]: row for row in open_items(str(work)).rows()}
    lines = read_lines(work / "transcript.jsonl")
    place = next(place for place, line in enumerate(lines) if line["conversation_id"] == "second")
    edited(work, place, text="Somebody has changed this line.")
    again = say(work, chosen, script=read_synthesis_input(work, shard_seconds=600.0))
    assert (again.run.conversations, again.run.conversations_done) == (1, 1)
    assert again.run.audio_seconds == rows["second"]["source_duration"]
    for row in open_items(str(work)).rows():
        assert (row == rows[row["conversation_id"]]) == (row["conversation_id"] != "second")
    texts = [line["text"] for line in read_lines(work / "transcript_shifted.jsonl")]
    assert texts.count("Somebody has changed this line.") == 1
    assert again.run.done == 1


def nan_fields(value: object, name: str = "") -> Iterator[str]:
    """The dotted names of the fields of a row that are NaN."""
    if isinstance(value, dict):
        for field, part in value.items():
            yield from nan_fields(part, f"{name}.{field}")
    elif isinstance(value, list):
        for part in value:
            yield from nan_fields(part, name)
    elif isinstance(value, float) and math.isnan(value):
        yield name


@pytest.mark.parametrize("n_turns", [1, 4])
def test_what_is_unknown_of_a_finished_conversation_is_null_and_never_nan(tmp_path: Path, n_turns: int) -> None:
    work = folder(tmp_path, first=talk("nobody", n_turns))
    say(work, settings(tmp_path, tts="espeak"))
    (row,) = open_items(str(work)).rows()
    assert [*nan_fields(row)] == []
    assert row["timeline"]["overlap_kept"] is None  # nobody overlaps


def spoken_lines(work: Path) -> list[dict[str, Any]]:
    lines = read_lines(work / "transcript_shifted.jsonl")
    return [line for line in lines if line["status"] == "spoken"]


# What could not be said


@pytest.mark.parametrize(("fault", "why"), [("500", "answered 500"), ("silence", "it is silent")])
def test_failed_utterance_holds_its_conversation_back_and_the_next_run_asks_only_for_it(
    tmp_path: Path, server: Stubborn, fault: str, why: str
) -> None:
    work = folder(tmp_path, first=SHORT, second=talk("another", 4))
    server.word = "bicycle"
    server.fault = fault
    outcome = say(work, settings(tmp_path))
    assert outcome.record["counts"]["conversations"] == 1
    assert outcome.record["counts"]["rejects"] == 1
    (reject,) = read_lines(work / "rejects.jsonl")
    assert reject["id"] == "first"
    assert reject["stage"] == "Reconstruct"
    assert "first/left/0002" in reject["reason"]
    assert why in reject["reason"]
    assert ids_in(work, "transcript_shifted.jsonl") == ["second"]
    assert list(sounds_in(work)) == ["second_edited.wav"]
    server.word = ""
    server.asked.clear()
    assert "run the same command again" in reject["remedy"]
    outcome = say(work, settings(tmp_path))
    assert asked_for(server) == [BICYCLE]
    assert outcome.run.done == 1
    assert outcome.record["counts"]["spoken"] == 4
    assert read_lines(work / "rejects.jsonl") == []


def test_voice_that_was_silent_for_a_while_comes_back_in_the_next_run(tmp_path: Path, server: Stubborn) -> None:
    work = folder(tmp_path, call=talk("call", 16))
    chosen = settings(tmp_path)
    server.word = "call"
    server.fault = "silence"
    with pytest.raises(DailytalkError, match="none of which can be used"):
        say(work, chosen)
    assert len(server.asked) <= 8
    server.word = ""
    outcome = say(work, chosen)
    assert outcome.record["counts"]["spoken"] == 8
    assert outcome.record["counts"]["rejects"] == 0
    assert [*server.purchases.values()] == [1] * 8
    server.asked.clear()
    assert say(work, chosen).run.done == 0
    assert server.asked == []


@pytest.mark.parametrize(("no_text", "status"), [("drop", "dropped"), ("keep-original", "kept-original")])
def test_utterance_without_text_is_never_sent_and_holds_nothing_back(
    tmp_path: Path, server: Stubborn, no_text: str, status: str
) -> None:
    work = folder(tmp_path, first=SHORT)
    edited(work, 0, text="  ")
    outcome = say(work, settings(tmp_path, no_text=no_text))
    assert asked_for(server) == [BICYCLE]
    line = read_lines(work / "transcript_shifted.jsonl")[0]
    assert line["status"] == status
    assert line["reason"] == "no text to say"
    assert (line["start"] is None) == (no_text == "drop")
    assert outcome.record["counts"][status.replace("-", "_")] == 1


# What was bought is kept


def test_second_run_asks_for_nothing_and_rewrites_no_result(tmp_path: Path, server: Stubborn) -> None:
    work = folder(tmp_path / "work", first=SHORT)
    first = say(work, settings(tmp_path))
    assert first.record["money"]["spent"] == pytest.approx(15e-6 * len(MORNING + BICYCLE))
    results = ("dataset", "audio")
    before = {name: mark for name, mark in state(work).items() if name.startswith(results)}
    assert len(before) == 3  # the shard, its sound file, and the mark of the folder
    again = say(work, settings(tmp_path))
    assert again.run.done == 0
    assert len(server.asked) == 2
    assert again.record["money"]["spent"] == 0
    assert before.items() <= state(work).items()
    assert again.record["cost"] == first.record["cost"]


def test_edited_line_redoes_its_conversation_alone(tmp_path: Path, server: Stubborn) -> None:
    work = folder(tmp_path / "work", first=SHORT, second=talk("another", 4))
    say(work, settings(tmp_path))
    before = state(work)
    edited(work, 2, text="The bicycle makes a noise no more.", tag="delighted")
    outcome = say(work, settings(tmp_path))
    assert asked_for(server)[4:] == ["(delighted) The bicycle makes a noise no more."]
    assert outcome.run.done == 1
    changed = {name for name, mark in state(work).items() if before.get(name) != mark}
    assert len([name for name in changed if name.startswith("dataset")]) == 1
    assert [name for name in changed if name.startswith("audio")] == ["audio/first_edited.wav"]
    line = read_lines(work / "transcript_shifted.jsonl")[2]
    assert line["text"] == "The bicycle makes a noise no more."
    assert line["tag"] == "delighted"


def test_sound_file_is_never_older_than_its_conversation(tmp_path: Path, server: Stubborn) -> None:
    """A run that stops later than at the first shard has changed that one, and written no sound file."""
    work = folder(tmp_path / "work", first=SHORT, second=talk("another", 4))
    say(work, settings(tmp_path))
    before = (work / "audio/first_edited.wav").read_bytes()
    edited(work, 2, text="The bicycle makes a noise no more, thank you.")
    edited(work, 4, text="Nobody can pay for this line.")
    server.word = "pay"
    server.fault = "402"
    with pytest.raises(DailytalkError, match="402"):
        say(work, settings(tmp_path))
    server.word = ""
    say(work, settings(tmp_path))
    assert (work / "audio/first_edited.wav").read_bytes() != before


def test_run_without_credit_keeps_what_was_bought(tmp_path: Path, server: Stubborn) -> None:
    work = folder(tmp_path, first=talk("a long one", 12))
    server.plan += [""] * 4 + ["402"] * 20
    with pytest.raises(DailytalkError, match=r"402.*no credit left"):
        say(work, settings(tmp_path))
    server.plan.clear()
    outcome = say(work, settings(tmp_path))
    assert outcome.record["counts"]["spoken"] == 6
    assert set(server.purchases.values()) == {1}
    assert len(server.purchases) == 6


# Money


def test_spending_stops_before_the_limit_and_what_was_bought_is_kept(tmp_path: Path, server: Stubborn) -> None:
    work = folder(tmp_path, first=talk("a long one", 24))
    script = read_synthesis_input(work)
    whole = price_of(script, settings(tmp_path)).price
    with pytest.raises(DailytalkError, match=r"spending limit.*--max-cost"):
        say(work, settings(tmp_path, max_cost=0.4 * whole))
    left = price_of(script, settings(tmp_path)).price
    assert 0.6 * whole <= left < 0.75 * whole
    outcome = say(work, settings(tmp_path, max_cost=left))  # just enough is enough
    assert outcome.record["money"]["spent"] == pytest.approx(left)
    assert set(server.purchases.values()) == {1}


def test_estimate_counts_what_is_cached_and_buys_nothing(tmp_path: Path, server: Stubborn) -> None:
    work = folder(tmp_path, first=(*SHORT, SHORT[2]), second=talk("another", 4))
    edited(work, 5, text="")
    estimate = price_of(read_synthesis_input(work), settings(tmp_path))
    assert estimate.utterances == 4
    assert estimate.cached == 1  # it is said twice
    assert server.asked == []
    edited(work, 5, text="Well, this is line number 0.")
    say(work, settings(tmp_path))
    n_asked = len(server.asked)
    edited(work, 7, text="Something new is on line 2.")
    estimate = price_of(read_synthesis_input(work), settings(tmp_path))
    assert estimate.utterances == 5
    assert estimate.cached == 4
    assert len(server.asked) == n_asked
    assert estimate.price == pytest.approx(15e-6 * len("(calm) Something new is on line 2."))
    lines = read_lines(work / "transcript.jsonl")
    left = [line for line in lines if line["channel"] == "left"]
    assert estimate.text_bytes == sum(len(line["text"]) for line in left)
    seconds = sum(line["end"] - line["start"] for line in left)
    assert estimate.hours == pytest.approx(seconds / 3600)


# Tags


def test_tag_that_the_synthesiser_does_not_know_stops_everything_before_it_costs(
    tmp_path: Path, server: Stubborn
) -> None:
    work = folder(tmp_path, first=SHORT)
    edited(work, 2, tag="giggling")
    sentence = r"'giggling'.*\"giggling\": \".*--map-tag TAG=OTHER"
    with pytest.raises(DailytalkError, match=sentence):
        say(work, settings(tmp_path))
    script = read_synthesis_input(work)
    with pytest.raises(DailytalkError, match=sentence):
        price_of(script, settings(tmp_path))
    assert server.asked == []
    say(work, settings(tmp_path, map_tag=(("giggling", "chuckling"),)))
    assert "(chuckling) The bicycle makes a noise again." in asked_for(server)
    assert read_lines(work / "transcript_shifted.jsonl")[2]["tag"] == "giggling"


# The voice


def test_cloned_voice_travels_with_every_line_and_is_part_of_what_is_cached(
    tmp_path: Path, server: Stubborn
) -> None:
    work = folder(tmp_path, first=SHORT)
    script = read_synthesis_input(work)
    cloned = settings(tmp_path, voice="clone")
    say(work, settings(tmp_path))
    assert price_of(script, settings(tmp_path)).cached == 2
    assert price_of(script, cloned).cached == 0
    say(work, cloned)
    for asked in server.asked[2:]:
        assert asked.headers["Content-Type"] == "application/msgpack"
        (sample,) = asked.body["references"]
        assert sample["audio"][:4] == b"RIFF"
        assert sample["text"] == "Good morning, is anybody there? The bicycle makes a noise again."
    assert len(server.asked) == 4
    estimate = price_of(script, cloned)
    assert estimate.utterances == 2
    assert estimate.cached == 2
    assert estimate.price == 0


def test_conversation_with_too_little_to_clone_is_rejected_before_it_costs(
    tmp_path: Path, server: Stubborn
) -> None:
    work = folder(tmp_path, first=(("left", "Yes.", "calm"), *SHORT[1:2]))
    cloned = settings(tmp_path, voice="clone")
    estimate = price_of(read_synthesis_input(work), cloned)
    assert estimate.utterances == 0
    assert estimate.price == 0.0
    say(work, cloned)
    (reject,) = read_lines(work / "rejects.jsonl")
    assert reject["stage"] == "ChooseVoice"
    assert server.asked == []


# What is in the folder


def test_deleted_conversation_needs_prune_and_is_gone_then(tmp_path: Path, server: Stubborn) -> None:
    work = folder(tmp_path, first=SHORT, second=talk("another", 4))
    say(work, settings(tmp_path))
    write_transcript(work, read_lines(work / "transcript.jsonl")[:4])
    with pytest.raises(DailytalkError, match=r"holds results of 1 finished conversation .*'second'.*--prune"):
        say(work, settings(tmp_path))
    say(work, settings(tmp_path), prune=True)
    assert [path.name for path in (work / "audio").glob("*.wav")] == ["first_edited.wav"]
    dataset = load_dataset("parquet", data_dir=str(work / "dataset"), cache_dir=str(tmp_path / "hub"))
    assert dataset["train"]["conversation_id"] == ["first"]


@pytest.mark.parametrize("fault", ["401", "cut-off"])
def test_token_is_in_no_file_no_log_and_no_error(
    tmp_path: Path,
    server: Stubborn,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    fault: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    work = folder(tmp_path, first=SHORT, second=talk("another", 4))
    server.word = "bicycle" if fault else ""
    server.fault = fault
    reported = ""
    try:
        say(work, settings(tmp_path))
    except DailytalkError as error:
        while error:
            reported += repr(error) + str(error)
            error = error.__cause__ or error.__context__  # type: ignore[assignment]
    assert bool(reported) == (fault == "401")
    printed = capfd.readouterr()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    # A run that the service refuses at once has bought nothing yet.
    assert {path.suffix for path in written} >= {".jsonl" if fault == "401" else ".json"}
    assert not [path for path in written if TOKEN.encode() in path.read_bytes()]
    assert TOKEN not in reported + caplog.text + printed.out + printed.err
    assert server.asked[0].headers["Authorization"] == f"Bearer {TOKEN}"
