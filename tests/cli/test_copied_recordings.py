"""Copies of a recording: where `check` names them, and how they are divided."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from built_conversations import built_row, write_dataset
from command import EMBEDDED, Command
from hub.server import HubServer
from recordings import excerpt, save

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/copies"

#: Words of two people, and the same with two others.
TEXT = (
    "so we drove up to the lake on friday and the whole road was closed because of snow and we had to wait for "
    "more than an hour until they let us through",
    "oh no did you turn around then or was there another way to get to your cabin at night i would have gone "
    "straight home again and made myself some tea",
)
MISHEARD = (TEXT[0].replace("closed", "clothes"), TEXT[1].replace("around", "round"))


def said(texts: tuple[str, str]) -> list[tuple[str, float, float, str]]:
    return [("left", 0.5, 4.5, texts[0]), ("right", 5.0, 9.0, texts[1])]


def copies_in(dailytalk: Command, *checked: object) -> list[dict[str, str]]:
    """The findings of `check` on copies."""
    done = dailytalk("check", *checked, "--json")
    return [finding for finding in json.loads(done.out)["findings"] if finding["kind"] == "copies"]


def sides_of(folder: Path) -> dict[str, str]:
    about = json.loads((folder / "conversations.json").read_text())
    return {name: facts["split"] for name, facts in about.items()}


def call_rows(count: int, **columns: Any) -> list[dict[str, Any]]:
    return [built_row(f"call{n}", kept_speaker=f"speaker{n}", **columns) for n in range(count)]


def test_copies_of_a_recording_are_named_and_stay_on_one_side(tmp_path: Path, dailytalk: Command) -> None:
    source = tmp_path / "in"
    call = excerpt(start=2.0)
    save(source / "call.wav", call)
    save(source / "call (1).flac", call)
    save(source / "sides exchanged.wav", call[:, ::-1])
    (source / "linked.wav").symlink_to("call.wav")
    for n in range(4):
        save(source / f"other{n}.wav", excerpt(start=4.0 + 2 * n))
    work = tmp_path / "work"
    done = dailytalk("build", source, "--out", work, *EMBEDDED, "--revoice", "none", "--asr-model", "tiny.en")
    assert done.code == 0, done.err
    (finding,) = copies_in(dailytalk, work)
    copies = {"call", "call (1)", "sides exchanged", "linked"}
    assert finding["severity"] == "doubtful"
    assert finding["what"].startswith("4 of 8 conversations have the same sound as another one: ")
    assert {*finding["what"].partition(": ")[2].split(", ")} == copies
    for seed in range(5):
        out = tmp_path / f"moshi{seed}"
        export = ("export", work, "--out", out, "--format", "moshi", "--eval-share", "0.3", "--seed", seed)
        assert dailytalk(*export).code == 0
        assert len({sides_of(out)[name] for name in copies}) == 1
    assert set(sides_of(out).values()) == {"train", "eval"}


def test_parts_of_a_recording_are_copies_of_the_parts_of_its_copy(tmp_path: Path, dailytalk: Command) -> None:
    long = excerpt("old_friends", 0.0, 40.0)
    for name in ("long.wav", "long (1).flac"):
        save(tmp_path / "in" / name, long)
    work = tmp_path / "work"
    cut = ("--max-conversation", "20s", "--asr-model", "none", "--affect-model", "none")
    done = dailytalk("tag", tmp_path / "in", "--out", work, *EMBEDDED, *cut)
    assert done.code == 0, done.err
    (finding,) = copies_in(dailytalk, work)
    examples = finding["what"].partition(": ")[2].split("; ")
    assert "long (1).000, long.000" in examples
    assert "long (1).001, long.001" in examples


@pytest.mark.parametrize(("texts", "n_findings"), [(MISHEARD, 1), (("yes", "no"), 0)])
def test_conversations_that_say_the_same_are_named(
    tmp_path: Path, dailytalk: Command, texts: tuple[str, str], n_findings: int
) -> None:
    rows = [
        built_row("call", said(TEXT), 10.0, sound_digest="a"),
        built_row("call.mp3", said(texts), 10.0, sound_digest="b"),
        *call_rows(2),
    ]
    findings = copies_in(dailytalk, write_dataset(tmp_path / "work", rows))
    assert len(findings) == n_findings
    for finding in findings:
        assert finding["severity"] == "note"
        assert finding["what"].endswith("have the same words as another one: call, call.mp3")


def test_parts_of_a_call_are_named_and_stay_on_one_side(tmp_path: Path, dailytalk: Command) -> None:
    numbers = range(400)
    words = {f"call{n}": [f"word{n}x{number}" for number in numbers] for n in range(5)}
    words |= {
        "call0 at the agent": words["call0"][12:],
        "call0 part1": words["call0"][:180],
        "call0 part2": words["call0"][180:],
        "call0 clip": words["call0"][100:170],
    }
    rows = []
    for name, texts in words.items():
        half = len(texts) // 2
        lines = [("left", 0.5, 4.5, " ".join(texts[:half])), ("right", 5.0, 9.0, " ".join(texts[half:]))]
        rows.append(built_row(name, lines, 10.0, sound_digest=name))
    work = write_dataset(tmp_path / "work", rows)
    (finding,) = copies_in(dailytalk, work)
    parts = {name for name in words if name.startswith("call0")}
    assert finding["what"].startswith("5 of 9 conversations have the same words as another one: call0, ")
    for seed in range(5):
        out = tmp_path / f"moshi{seed}"
        export = ("export", work, "--out", out, "--format", "moshi", "--eval-share", "0.3", "--seed", seed)
        assert dailytalk(*export).code == 0
        assert len({sides_of(out)[name] for name in parts}) == 1
        assert set(sides_of(out).values()) == {"train", "eval"}


@pytest.fixture
def push(
    hub: HubServer, tmp_path: Path, dailytalk: Command, empty_caches: Callable[[], Path]
) -> Callable[[str, list[Any]], None]:
    """Publishes a version of some rows."""

    def publish(tag: str, rows: list[Any]) -> None:
        work = write_dataset(tmp_path / "work", rows)
        shares = ("--valid-share", "0.2", "--test-share", "0.2")
        done = dailytalk("push", work, REPO, "--create", "--tag", tag, *shares)
        assert done.code == 0, done.err

    return publish


def test_new_copy_joins_the_split_of_the_published_recording(
    dailytalk: Command, push: Callable[[str, list[Any]], None]
) -> None:
    rows = []
    copies = []
    for n in range(8):
        rows.append(built_row(f"call{n}", kept_speaker=f"speaker{n}", sound_digest=f"{n}"))
        copies.append(built_row(f"copy{n}", kept_speaker=f"someone{n}", sound_digest=f"{n}"))
    push("v1.0.0", rows)
    push("v1.1.0", [*rows, *copies])
    (finding,) = copies_in(dailytalk, f"{REPO}@v1.1.0")
    assert "16 of 16 conversations have the same sound" in finding["what"]
    assert "another split" not in finding["what"]


def test_published_copies_keep_their_splits_and_are_named(
    dailytalk: Command, push: Callable[[str, list[Any]], None]
) -> None:
    push("v1.0.0", call_rows(8))
    push("v1.1.0", call_rows(8, sound_digest="a"))
    (finding,) = copies_in(dailytalk, f"{REPO}@v1.1.0")
    assert finding["severity"] == "doubtful"
    for split in ("train", "validation", "test"):
        assert f" in {split}" in finding["what"]
