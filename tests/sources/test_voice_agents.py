"""The records of voice agents beside recordings of the same words, in the shapes of benchmarks/formats.py."""

import itertools
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from audio_files import EXAMPLE_NAMES, EXAMPLES, ROOT, reference
from command import Command
from recordings import read_lines

from dailytalk_contiguous import Folder, MatchTranscript, Segment

BENCHMARKS = str(ROOT / "benchmarks")
sys.path.append(BENCHMARKS)

from formats import WAYS_TO_WRITE, Said, Way  # noqa: E402

SERVICES = {"Retell", "Vapi", "ElevenLabs Agents", "LiveKit Agents", "Pipecat", "Bland"}
AGENTS = [way for way in WAYS_TO_WRITE if way.document in SERVICES]
WORDS_ONLY = ("--affect-model", "none", "--asr-model", "none")
EXCHANGED = {"left": "right", "right": "left"}


def talk_of(name: str, exchanged: bool = False, late: float = 0.0) -> list[Said]:
    """A bundled conversation; the agent is on the left side, or on the right one if exchanged."""
    talk = []
    for line in reference(name):
        words = [(word["word"], word["start"] + late, word["end"] + late) for word in line["words"]]
        who = EXCHANGED[line["channel"]] if exchanged else line["channel"]
        talk.append(Said(who, line["start"] + late, line["end"] + late, line["text"], tuple(words)))
    return talk


def matched(folder: Path, name: str, way: Way, talk: list[Said]) -> dict[str, Any]:
    """The recording of a conversation with this record beside it, its words given to its utterances."""
    shutil.copyfile(EXAMPLES / f"{name}.flac", folder / "call.flac")
    for file, content in way.write(talk, "call").items():
        (folder / file).write_bytes(content)
    recordings = Folder(inputs=(str(folder),)).as_streaming_dataset("train")
    (row,) = MatchTranscript().map(Segment().map(recordings))
    return row


def words_in(texts: Iterable[str]) -> list[str]:
    """Without marks: the words of the bundled references have none."""
    return [word.strip(".,?!") for text in texts for word in text.split()]


def words_of(row: dict[str, Any], side: str) -> list[str]:
    texts = zip(row["channel"], row["given_text"], strict=True)
    return words_in(text for channel, text in texts if channel == side and text)


def assert_said_as_in(row: dict[str, Any], name: str) -> None:
    assert row["transcript_repair"] is None
    assert row["unmatched"] == []
    for side in EXCHANGED:
        spoken = words_in(line["text"] for line in reference(name) if line["channel"] == side)
        assert words_of(row, side) == spoken


@pytest.mark.parametrize("way", AGENTS, ids=[way.name for way in AGENTS])
@pytest.mark.parametrize(("name", "exchanged"), [("weekend_trip", False), ("bicycle_repair", True)])
def test_words_of_agent_and_user_are_on_the_sides_that_speak_them(
    tmp_path: Path, way: Way, name: str, exchanged: bool
) -> None:
    row = matched(tmp_path, name, way, talk_of(name, exchanged))
    assert_said_as_in(row, name)


@pytest.mark.parametrize("way", AGENTS, ids=[way.name for way in AGENTS])
def test_clock_of_a_record_that_is_off_is_moved_to_the_sound_and_a_note_says_so(tmp_path: Path, way: Way) -> None:
    row = matched(tmp_path, "burnt_dinner", way, talk_of("burnt_dinner", late=7.4))
    assert_said_as_in(row, "burnt_dinner")
    (note,) = (note for note in row["notes"] if "transcript are moved by" in note)
    (seconds,) = re.findall(r"[+-][\d.]+", note)
    late = 0.0 if way.name == "Pipecat" else 7.4  # which begins with its first line, however late
    assert abs(float(seconds) + late) < 0.7


@pytest.mark.parametrize("way", AGENTS, ids=[way.name for way in AGENTS])
def test_record_of_another_call_is_not_used(tmp_path: Path, way: Way) -> None:
    for name, other in itertools.pairwise(EXAMPLE_NAMES):
        folder = tmp_path / name
        folder.mkdir()
        row = matched(folder, name, way, talk_of(other))
        assert row["transcript_repair"] == "not used"
        assert not any("moved" in note for note in row["notes"])


def test_a_users_word_within_a_long_line_of_the_agent_stays_the_users(tmp_path: Path) -> None:
    (bland,) = (way for way in AGENTS if way.name == "Bland")
    talk = talk_of("old_friends")
    row = matched(tmp_path, "old_friends", bland, talk)
    spans = [(x.who, x.start, x.end) for x in talk]
    within = [
        line
        for line, (who, start, end) in zip(talk, spans, strict=True)
        if any(who != other and first < start and end < last for other, first, last in spans)
    ]
    assert within
    cues = {(cue["channel"], cue["text"]) for cue in row["cues"]}
    assert {(line.who, line.text) for line in within} <= cues


def test_tag_takes_the_words_of_a_voice_agents_webhook(tmp_path: Path, dailytalk: Command) -> None:
    (retell,) = (way for way in AGENTS if way.name == "Retell, webhook")
    (tmp_path / "in").mkdir()
    shutil.copyfile(EXAMPLES / "old_friends.flac", tmp_path / "in/call.flac")
    talk = talk_of("old_friends")
    (tmp_path / "in/call.json").write_bytes(retell.write(talk, "call")["call.json"])
    done = dailytalk("tag", tmp_path / "in", "--out", tmp_path / "out", *WORDS_ONLY)
    assert done.code == 0, done.err
    lines = read_lines(tmp_path / "out/transcript.jsonl")
    for side in EXCHANGED:
        spoken = words_in(line["text"] for line in lines if line["channel"] == side)
        assert spoken == words_in(line.text for line in talk if line.who == side)
