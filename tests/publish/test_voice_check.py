"""What `check` finds about voices in folders of real speech: the sides of the bundled recordings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audio_files import Samples, example, reference
from built_conversations import turns_row, write_dataset
from command import Command
from reports import pack_version

from dailytalk_contiguous.core.records.finding import Finding
from dailytalk_contiguous.models.checkpoints import RESEMBLYZER, WHEELS, WheelFile
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.checks.verdict import LIMITS, verdict_of

KINDS = ("several-voices", "same-voice-on-both-sides")

#: The kept sides, by the recording: of two people, of whom none is the resynthesised voice.
PEOPLE = {"bicycle_repair": "right", "burnt_dinner": "left", "weekend_trip": "right"}

needs_encoder = pytest.mark.needs("resemblyzer")


def side(name: str, channel: str) -> list[Samples]:
    """The lines of a side of a bundled recording."""
    sound = example(name)[:, int(channel == "right")]
    lines = []
    for line in reference(name):
        if line["channel"] == channel:
            first = round(line["start"] * 16000)
            last = round(line["end"] * 16000)
            lines.append(sound[first:last])
    return lines


def person(name: str) -> list[Samples]:
    """The lines of the kept speaker of a conversation of `PEOPLE`."""
    return side(name, PEOPLE[name])


def voice(number: int) -> list[Samples]:
    """What the resynthesised voice says in a conversation of `PEOPLE`: about 9 s, which differ."""
    return side("old_friends", "right")[number::3]


def rows(**others: dict[str, Any]) -> list[dict[str, Any]]:
    """A conversation of the voice with each person, or another row by its name."""
    conversations = []
    for number, name in enumerate(PEOPLE):
        row = others.get(name) or turns_row(name, voice(number), person(name))
        conversations.append(row)
    return conversations


def of_voices(folder: Path, conversations: Sequence[dict[str, Any]], **limits: None) -> list[Finding]:
    write_dataset(folder, list(conversations))
    chosen = {name.replace("_", "-"): limit for name, limit in limits.items()}
    findings, _ = check_folder(folder, {**LIMITS, **chosen})
    return [finding for finding in findings if finding.kind in KINDS]


def facts_of(folder: Path) -> dict[str, Any]:
    _, facts = check_folder(folder)
    return facts


def kinds_of(folder: Path) -> set[str]:
    findings, _ = check_folder(folder)
    return {finding.kind for finding in findings}


@needs_encoder
def test_one_voice_with_three_people_has_no_finding_and_a_likeness(tmp_path: Path) -> None:
    assert of_voices(tmp_path, rows()) == []
    likeness = facts_of(tmp_path)["voice_likeness"]
    assert likeness["conversations"] == 3
    assert likeness["least_left"] > 0.9
    assert likeness["least_halves"] > LIMITS["several-voices"]
    assert likeness["most_sides"] < LIMITS["same-voice-on-both-sides"]


@needs_encoder
@pytest.mark.parametrize("is_sound", [True, False], ids=["sound alone", "whole row"])
@pytest.mark.parametrize("name", PEOPLE)
def test_conversation_with_exchanged_sides_is_named(tmp_path: Path, name: str, is_sound: bool) -> None:
    spoken = voice([*PEOPLE].index(name))
    kept = person(name)
    left, right = (spoken, kept) if is_sound else (kept, spoken)
    row = turns_row(name, left, right, is_swapped=is_sound)
    (finding,) = of_voices(tmp_path, rows(**{name: row}))
    assert finding.kind == "several-voices"
    assert finding.file == name
    assert finding.severity == "bad"
    assert "exchanged" in finding.problem
    assert verdict_of([finding], 3).level == "bad"


@needs_encoder
def test_another_voice_on_the_left_is_named(tmp_path: Path) -> None:
    row = turns_row("burnt_dinner", person("weekend_trip"), person("burnt_dinner"))
    (finding,) = of_voices(tmp_path, rows(burnt_dinner=row))
    assert finding.kind == "several-voices"
    assert finding.file == "burnt_dinner"
    assert "another voice" in finding.problem


@needs_encoder
def test_two_people_on_the_kept_side_are_named(tmp_path: Path) -> None:
    first = np.concatenate(person("weekend_trip"))[:160000]
    second = np.concatenate(side("bicycle_repair", "left"))[:160000]
    row = turns_row("burnt_dinner", voice(1), [first, second])
    findings = of_voices(tmp_path, rows(burnt_dinner=row))
    (finding,) = [finding for finding in findings if finding.file == "burnt_dinner"]
    assert finding.kind == "several-voices"
    assert "right" in finding.problem


@needs_encoder
def test_one_voice_on_both_sides_is_named_and_a_limit_removes_it(tmp_path: Path) -> None:
    lines = side("old_friends", "right")
    row = turns_row("weekend_trip", lines[::2], lines[1::2])
    conversations = rows(weekend_trip=row)
    (finding,) = of_voices(tmp_path, conversations)
    assert finding.kind == "same-voice-on-both-sides"
    assert finding.file == "weekend_trip"
    assert of_voices(tmp_path, conversations, same_voice_on_both_sides=None) == []


@needs_encoder
@pytest.mark.parametrize("name", ["any", "clone"])
def test_voices_that_differ_by_intention_are_not_compared(tmp_path: Path, name: str) -> None:
    row = turns_row("burnt_dinner", person("weekend_trip"), person("burnt_dinner"))
    conversations = rows(burnt_dinner=row)
    for conversation in conversations:
        for utterance in conversation["utterances"]:
            synthesis = utterance["synthesis"]
            if synthesis:
                synthesis["engine"] = "fish"
                synthesis["voice"] = name
    assert of_voices(tmp_path, conversations) == []


@needs_encoder
def test_lines_of_a_second_are_not_judged(tmp_path: Path) -> None:
    short = [line[:8000] for line in voice(0)[:2]]
    conversations = [turns_row(name, short, short) for name in PEOPLE]
    assert of_voices(tmp_path, conversations) == []
    assert "voice_likeness" not in facts_of(tmp_path)


def test_without_the_weights_nothing_is_said_and_doctor_tells_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dailytalk: Command
) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "empty"))
    files = {name: WheelFile((("no_such_package", name),), "") for name in WHEELS[RESEMBLYZER]}
    monkeypatch.setitem(WHEELS, RESEMBLYZER, files)
    exchanged = turns_row("burnt_dinner", person("burnt_dinner"), voice(1))
    assert of_voices(tmp_path / "work", rows(burnt_dinner=exchanged)) == []
    assert "voice_likeness" not in facts_of(tmp_path / "work")
    assert "pip install --no-deps resemblyzer" in dailytalk("doctor").out


@needs_encoder
def test_damaged_sound_has_its_own_finding_alone(tmp_path: Path) -> None:
    row = turns_row("burnt_dinner", voice(1), person("burnt_dinner"))
    data = row["audio"]["bytes"]
    row["audio"] = {"bytes": data[: len(data) // 2], "path": "x.flac"}
    assert of_voices(tmp_path, rows(burnt_dinner=row)) == []
    assert "unreadable-audio" in kinds_of(tmp_path)


@needs_encoder
def test_silent_left_side_is_no_error_of_the_encoder(tmp_path: Path) -> None:
    silent = [np.zeros(48000, np.float32) for _ in range(4)]
    row = turns_row("burnt_dinner", silent, person("burnt_dinner"))
    write_dataset(tmp_path, rows(burnt_dinner=row))
    assert "silent-left" in kinds_of(tmp_path)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache in which nothing was heard yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("DAILYTALK_CACHE", str(folder))
    return folder


def exchanged(folder: Path) -> Path:
    """A work folder in which the sides of a conversation are exchanged."""
    swapped = turns_row("burnt_dinner", voice(1), person("burnt_dinner"), is_swapped=True)
    return write_dataset(folder, rows(burnt_dinner=swapped))


def voices_among(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.kind in KINDS]


@needs_encoder
def test_push_finds_exchanged_sides_as_check_does_and_does_not_hear_them_again(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exchanged(tmp_path / "work")
    of_folder, _ = check_folder(folder)
    (finding,) = voices_among(of_folder)
    assert finding.severity == "bad"

    def embed(encoder: object, sounds: Sequence[Samples]) -> None:
        raise AssertionError("it was heard before")

    monkeypatch.setattr("dailytalk_contiguous.models.speaker_encoder.SpeakerEncoder.embed", embed)
    packed = pack_version(folder, tmp_path / "stage")
    assert voices_among(packed.row_findings) == [finding]


@needs_encoder
def test_damaged_cache_is_heard_again(tmp_path: Path, cache: Path) -> None:
    folder = exchanged(tmp_path / "work")
    before, _ = check_folder(folder)
    kept = list((cache / "voices").rglob("*.npz"))
    assert len(kept) == len(PEOPLE)
    for path, content in zip(kept, (b"", b"PK", b"no archive"), strict=True):
        path.write_bytes(content)
    after, _ = check_folder(folder)
    assert after == before
