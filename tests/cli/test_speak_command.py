import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Semaphore
from typing import Any

import pytest
from audio_files import tones
from command import EMBEDDED, Command, start, until
from datasets import load_dataset
from recordings import calls, excerpt, read_lines, save, state
from scripted import SHORT, Stubborn, folder, loopback, talk, write_transcript
from tts_server import TOKEN, OwnServer

from dailytalk_contiguous.shards import CurrentRows, shard_files

FISH = ("--profile", "embedded", "--tts", "fish")
ESPEAK = ("--profile", "embedded")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubborn]:
    with loopback(monkeypatch, Stubborn("", "500")) as running:
        assert isinstance(running, Stubborn)
        yield running


def edited(work: Path, place: int, **fields: Any) -> None:
    lines = read_lines(work / "transcript.jsonl")
    lines[place] |= fields
    write_transcript(work, lines)


# A run


def test_run_says_what_it_made_and_the_second_has_nothing_to_do(
    tmp_path: Path, dailytalk: Command, server: Stubborn
) -> None:
    work = folder(tmp_path / "work", first=SHORT)
    done = dailytalk("speak", work, *FISH)
    assert done.code == 0
    # How it began and ended.
    assert done.err.count("\n") == 2
    assert "speak: 0 %, " in done.err
    spent = 15e-6 * sum(len(asked.body["text"]) for asked in server.asked)
    for shown in (f"spent {spent:.4f} USD", "turn-taking: offsets"):
        assert shown in done.out
    assert re.search(
        r"^1 conversation, \d utterances \(2 resynthesised, \d as recorded\), \d+ words in ", done.out, re.M
    )
    assert str(work / "dataset") in done.out
    assert "\x1b" not in done.out
    again = dailytalk("speak", work, *FISH)
    assert (again.code, again.err) == (0, "")
    assert again.out.startswith("nothing to do: 1 conversation done (")
    assert len(server.asked) == 2


def test_held_back_conversation_gives_3_and_nothing_finished_gives_1(
    tmp_path: Path, dailytalk: Command, server: Stubborn
) -> None:
    work = folder(tmp_path / "work", first=SHORT, second=talk("another", 4))
    server.word = "bicycle"
    done = dailytalk("speak", work, *FISH)
    assert done.code == 3
    assert re.search(r"rejected: 1 conversation, in .*rejects\.jsonl", done.out)
    assert '  "first": held back: 1 utterance could not be said: ' in done.out
    server.word = "i"
    assert dailytalk("speak", work, "--voice", "other", *FISH).code == 1


def test_dry_run_says_what_it_would_cost_and_buys_and_writes_nothing(
    tmp_path: Path, dailytalk: Command, server: Stubborn, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = folder(tmp_path / "work", first=SHORT, second=talk("another", 4))
    edited(work, 4, text="")
    monkeypatch.delenv("FISH_API_KEY")
    before = state(tmp_path)
    done = dailytalk("speak", work, *FISH, "--dry-run")
    assert done.code == 0
    for shown in (
        "3 utterances of 2 conversations to say by fish",
        "89 bytes",
        "0.0017 USD",
    ):
        assert shown in done.out
    planned = json.loads(dailytalk("speak", work, *FISH, "--dry-run", "--json").out)
    assert planned["utterances"] == 3
    n_bytes = 89 + len("(curious) (worried) (calm) ")
    assert planned["price"] == pytest.approx(15e-6 * n_bytes)
    assert {"text_bytes", "hours", "cached"} < set(planned)
    assert (server.asked, state(tmp_path)) == ([], before)


def test_dry_run_counts_what_is_to_be_made_and_not_what_is_finished(tmp_path: Path, dailytalk: Command) -> None:
    work = folder(tmp_path / "work", first=SHORT, second=talk("another", 4))
    assert dailytalk("speak", work, *ESPEAK).code == 0
    nothing = dailytalk("speak", work, *ESPEAK, "--dry-run").out
    assert "0 utterances of 0 conversations to say by piper" in nothing
    edited(work, 2, text="The bicycle makes another noise.")
    planned = dailytalk("speak", work, *ESPEAK, "--dry-run").out
    assert "2 utterances of 1 conversation to say by piper" in planned
    assert "1 conversation to make" in planned
    assert "1 conversation made" in dailytalk("speak", work, *ESPEAK).out


def test_dry_run_finds_the_languages_that_the_voice_does_not_speak(tmp_path: Path, dailytalk: Command) -> None:
    work = folder(tmp_path / "work", first=SHORT, second=talk("another", 4))
    for number in range(4):
        edited(work, number, language="ja")
    some = dailytalk("speak", work, *ESPEAK, "--dry-run")
    assert some.code == 0
    assert "1 conversation would be held back: the voice en_US-joe-medium speaks 'en'" in some.out
    for number in range(4, 8):
        edited(work, number, language="de")
    none = dailytalk("speak", work, *ESPEAK, "--dry-run")
    assert none.code == 1
    assert "next:" not in none.out
    assert "speaks 'en', and the line is in 'de': pass --voice with a voice of that language" in none.err
    assert dailytalk("speak", work, *ESPEAK).code == 1
    assert dailytalk("speak", work, *ESPEAK, "--tts", "espeak", "--dry-run").code == 0


@pytest.mark.parametrize(("language", "code"), [("ja", 1), ("en,ja", 0), ("ja,en", 1), ("auto", 0)])
def test_dry_run_of_build_finds_that_the_voice_does_not_speak_the_language(
    tmp_path: Path, dailytalk: Command, language: str, code: int
) -> None:
    calls(tmp_path / "in", "a")
    build = ("build", tmp_path / "in", "--out", tmp_path / "out", "--profile", "embedded", "--dry-run")
    done = dailytalk(*build, "--language", language)
    assert done.code == code
    assert ("speaks 'en', and the line is in 'ja': pass --voice" in done.err) == bool(code)
    assert ("next:" in done.out) == (not code)


def test_espeak_needs_no_network_and_takes_its_tags(tmp_path: Path, dailytalk: Command) -> None:
    work = folder(tmp_path / "work", first=SHORT)
    speak = ("speak", work, *ESPEAK, "--revoice", "right", "--sample-rate", "source")
    for arguments in ((*speak, "--dry-run"), speak):
        done = dailytalk(*arguments)
        assert done.code == 0, done
        assert "USD" not in done.out + done.err, done
    cache = str(tmp_path / "hub")
    dataset = load_dataset("parquet", data_dir=str(work / "dataset"), cache_dir=cache, split="train")
    (row,) = dataset.remove_columns("audio")
    assert row["sample_rate"] == 16000
    assert row["utterances"][1]["source_channel"] == "right"
    assert row["utterances"][1]["channel"] == "left"
    assert row["utterances"][1]["status"] == "spoken"


# What a user can mend


def test_refusal_by_the_service_is_one_sentence_without_the_token_and_loses_nothing(
    tmp_path: Path, dailytalk: Command, server: Stubborn, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = folder(tmp_path / "work", first=SHORT)
    assert dailytalk("speak", work, *FISH).code == 0
    before = state(work)
    edited(work, 2, text="The bicycle makes another noise.")
    before |= {"transcript.jsonl": state(work)["transcript.jsonl"]}
    server.word = "another"
    server.fault = "404"
    done = dailytalk("speak", work, *FISH)
    assert (done.code, done.out) == (1, "")
    _, refusal = done.err.splitlines()  # after what was found
    assert refusal.startswith("dailytalk: Fish Audio answered 404")
    assert TOKEN not in done.err
    assert state(work) == before
    assert json.loads(dailytalk("status", work, "--json").out) == {"runs": []}
    assert "check the voice" in refusal
    monkeypatch.setenv("FISH_API_KEY", "a-token-of-somebody-else")
    done = dailytalk("speak", work, *FISH)  # the server repeats the token in its answer
    assert done.code == 1
    assert "check the token in FISH_API_KEY" in done.err
    assert "somebody-else" not in done.out + done.err


def test_every_speaker_is_cloned_by_a_server_of_ones_own_for_nothing(
    tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = folder(tmp_path / "work", first=SHORT)
    command = ("speak", work, "--profile", "embedded", "--tts", "openai", "--voice", "clone")
    with OwnServer("form") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        planned = dailytalk(*command, "--dry-run")
        assert f"openai at {server.url}, which costs nothing" in planned.out
        assert (server.uploads, server.asked) == (0, [])
        for _ in range(2):  # the second has nothing to do
            done = dailytalk(*command)
            assert done.code == 0
            assert "USD" not in done.out + done.err
        samples = {text: sample[:4] for text, sample in server.said}
        assert samples == dict.fromkeys((SHORT[0][1], SHORT[2][1]), b"RIFF")
        assert server.uploads == 1
    monkeypatch.delenv("OPENAI_BASE_URL")
    refused = dailytalk(*command, "--dry-run")
    assert refused.code == 1
    assert "OpenAI clones no voice from a sample" in refused.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--sample-rate", "4000"), "8000 to 96000 or source"),
        (("--tts", "espeak", "--voice", "clone"), "espeak can't speak in the voice of a sample: use --tts fish"),
        (("--max-cost", "0"), "spending limit of 0 USD"),
    ],
)
def test_wrong_options_are_one_sentence_and_cost_nothing(
    tmp_path: Path, dailytalk: Command, server: Stubborn, options: tuple[str, ...], told: str
) -> None:
    work = folder(tmp_path / "work", first=(*SHORT, ("left", "All is well.", "calm")))
    done = dailytalk("speak", work, *FISH, *options)
    assert done.code in (1, 2)
    assert done.out == ""
    assert server.asked == []
    assert told in done.err
    others = [line for line in done.err.splitlines() if " of 1 conversation" not in line]
    assert len(others) == 1


# Runs that end early, and runs at once


def test_killed_run_buys_nothing_twice(tmp_path: Path, dailytalk: Command, server: Stubborn) -> None:
    work = folder(tmp_path / "work", first=talk("a long one", 20))
    answers = Semaphore(4)
    server.before_answer = answers.acquire
    process = start("speak", work, *FISH, "--concurrency", "2")

    def n_kept() -> int:
        return len(list((tmp_path / "cache").rglob("*.json")))

    until(lambda: n_kept() == 4 and len(server.asked) == 6, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert n_kept() == 4
    answers.release(100)
    done = dailytalk("speak", work, *FISH, "--json")
    assert done.code == 0
    record = json.loads(done.out)
    assert record["counts"]["spoken"] == 10
    assert len(server.purchases) == 10
    assert sum(server.purchases.values()) <= 10 + 2  # on their way when the process was killed
    assert max(server.purchases.values()) <= 2
    assert record["money"]["saved_by_cache"] > 0


def test_two_runs_at_once_buy_each_line_once(tmp_path: Path, dailytalk: Command, server: Stubborn) -> None:
    lines = talk("the same", 12)
    works = [folder(tmp_path / name, first=lines) for name in ("one", "two")]
    both_run = Event()
    server.before_answer = both_run.wait
    processes = [start("speak", work, *FISH) for work in works]
    for process in processes:
        assert process.stderr is not None
        assert process.stderr.readline() == "reading the transcript …\n"
        assert "0 of 1 conversation" in process.stderr.readline()
    both_run.set()
    for process in processes:
        printed = process.communicate()
        assert process.returncode == 0, printed
    assert sorted(server.purchases.values()) == [1] * 6
    first, second = [work / "audio/first_edited.wav" for work in works]
    assert first.read_bytes() == second.read_bytes()


# From recordings


def test_build_goes_from_recordings_to_conversations_and_bears_being_stopped(
    tmp_path: Path, dailytalk: Command, server: Stubborn
) -> None:
    save(tmp_path / "in/call.flac", excerpt(seconds=16.0))
    save(tmp_path / "in/mono.wav", tones(1, channels=1))
    out = tmp_path / "out"
    command = ("build", tmp_path / "in", "--out", out, *EMBEDDED, "--tts", "fish", "--concurrency", "1")
    planned = json.loads(dailytalk(*command, "--dry-run", "--json").out)
    assert planned["conversations"] == 1
    assert not out.exists()
    assert "stages to run: Speak, " in dailytalk(*command, "--dry-run").out
    answers = Semaphore(1)
    server.before_answer = answers.acquire
    process = start(*command)
    until(lambda: len(server.asked) == 2, process)
    os.killpg(process.pid, signal.SIGINT)
    answers.release(100)
    _, printed = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in printed
    assert "stopped" in printed
    bought = dict(server.purchases)
    assert bought
    assert not (out / "audio").exists()
    done = dailytalk(*command, "--json")
    assert done.code == 3  # tag rejected a recording
    record = json.loads(done.out)
    assert record["counts"]["spoken"] == len(server.purchases) >= 2
    assert set(server.purchases.values()) == {1}
    assert record["money"]["saved_by_cache"] > 0
    assert record["money"]["spent"] > 0
    again = dailytalk(*command)
    assert again.code == 3
    assert sum(server.purchases.values()) == len(server.purchases)
    assert [line["id"] for line in read_lines(out / "rejects.jsonl")] == ["mono"]


def test_added_recording_leaves_finished_conversations_and_edits_as_they_were(
    tmp_path: Path, dailytalk: Command
) -> None:
    """Also where it is the first one that has to be recognised."""
    source = calls(tmp_path / "in", "a")
    work = tmp_path / "work"
    (source / "a.ctm").write_text("a left 1.0 0.5 hello\na right 2.0 0.5 hi\n")
    tag = ("tag", source, "--out", work, *EMBEDDED)
    assert dailytalk(*tag).code in (0, 3)  # the words are not where anybody speaks
    edited(work, 0, text="Hello again.")
    assert dailytalk("speak", work, *ESPEAK).code == 0
    sound = CurrentRows(shard_files(work / "dataset")).entries["a"].entry.audio
    calls(source, "b")
    assert dailytalk(*tag).code in (0, 3)
    assert dailytalk("speak", work, *ESPEAK).code == 0
    entries = CurrentRows(shard_files(work / "dataset")).entries
    assert entries.keys() == {"a", "b"}
    assert entries["a"].entry.audio == sound
    first = read_lines(work / "transcript_shifted.jsonl")[0]
    assert first["text"] == "Hello again."


def test_speak_goes_on_with_the_profile_of_tag(tmp_path: Path, dailytalk: Command) -> None:
    work = folder(tmp_path / "work", first=SHORT)
    (work / "run.json").write_text(json.dumps({"settings": {"profile": "embedded"}}))
    assert "to say by piper" in dailytalk("speak", work, "--dry-run").out


def test_dry_run_refuses_what_the_run_would_refuse_and_names_the_stages(
    tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FISH_API_KEY", "FISH_AUDIO_BASE_URL", "FISH_AUDIO_REFERENCE_ID"):
        monkeypatch.delenv(name, raising=False)
    work = folder(tmp_path / "work", first=SHORT)
    done = dailytalk("speak", work, *FISH, "--dry-run")
    assert done.code == 1
    assert "stages to run: Speak, Reconstruct, Align, Finish" in done.out
    assert done.err == dailytalk("speak", work, *FISH).err
    assert "Fish Audio needs a token" in done.err
    assert sorted(path.name for path in work.iterdir()) == ["recordings", "tagged", "transcript.jsonl"]
