"""Turn-taking of both sides, in conversations with planted rates."""

import random
from typing import Any

import pytest

from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.utterance import UTTERANCE
from dailytalk_contiguous.core.turns.turn_taking import timed_talk

OTHER = {"left": "right", "right": "left"}
SAME = {"left": "left", "right": "right"}
KINDS = ("pause", "gap", "overlap", "interruption")
WEIGHTS = (3, 4, 2, 1)
#: The offsets of a kind of change of turns, in seconds.
OFFSETS = {"gap": (0.05, 1.0), "overlap": (-0.45, -0.1), "interruption": (-1.2, -0.6)}


class Planted:
    """A conversation of known rates: what was planted of each side, in seconds and numbers."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.rows: list[dict[str, Any]] = []
        self.sides: dict[str, dict[str, Any]] = {}
        self.overlap = 0.0
        for side in OTHER:
            counts = dict.fromkeys(("speech", "longest_turn", "backchannels", "interruptions"), 0)
            self.sides[side] = {"channel": side, **counts, "offsets": []}
        who = self.chance.choice(["left", "right"])
        end = self.speak(who, self.chance.uniform(0.5, 2), 4.0)
        for _ in range(self.chance.randint(12, 40)):
            (kind,) = self.chance.choices(KINDS, WEIGHTS)
            length = self.chance.uniform(3.3, 5)
            if kind == "pause":
                end = self.speak(who, end + self.chance.uniform(0.25, 1.5), length)
                continue
            offset = self.chance.uniform(*OFFSETS[kind])
            who = OTHER[who]
            self.sides[who]["offsets"].append(offset)
            self.sides[who]["interruptions"] += kind == "interruption"
            self.overlap -= min(offset, 0.0)
            end = self.speak(who, end + offset, length)
        self.seconds = end + self.chance.uniform(0, 2)

    def speak(self, who: str, start: float, length: float) -> float:
        """A stretch of one or two utterances, perhaps with a backchannel of the other inside it; its end."""
        is_whole = self.chance.random() < 0.7
        parts = [(0.0, length)] if is_whole else [(0.0, 1.25), (1.4, length)]
        for begin, end in parts:
            self.say(who, start + begin, start + end)
        side = self.sides[who]
        side["longest_turn"] = max(side["longest_turn"], length)
        if self.chance.random() < 0.4:
            answer_length = self.chance.uniform(0.2, 0.4)
            self.say(OTHER[who], start + 1.45, start + 1.45 + answer_length)
            self.sides[OTHER[who]]["backchannels"] += 1
            self.overlap += answer_length
        return start + length

    def say(self, who: str, start: float, end: float) -> None:
        times = {"start": start + 7, "end": end + 7, "source_start": start, "source_end": end}
        row = dict.fromkeys(UTTERANCE) | {"channel": who, "status": "kept", "text": ""} | times
        self.rows.append(row)
        self.sides[who]["speech"] += end - start

    def row(self, mirrored: bool = False) -> dict[str, Any]:
        side = OTHER if mirrored else SAME
        utterances = [row | {"channel": side[row["channel"]]} for row in self.rows]
        return {
            "conversation_id": str(id(self)),
            "alignments": None,
            "provenance": None,
            "utterances": utterances,
            "sounds": [],
            "duration": self.seconds,
            "source_duration": self.seconds,
            "language": "en",
            "timeline": None,
        }


def test_turn_taking_is_what_was_planted_and_that_of_mirrored_sides_is_mirrored() -> None:
    for seed in range(60):
        planted = Planted(seed)
        timed = timed_talk(from_finished(planted.row()))
        assert timed.fitness()["overlap"] * planted.seconds == pytest.approx(planted.overlap)
        mirrored = timed_talk(from_finished(planted.row(mirrored=True))).sides()
        for side, turned in zip(timed.sides(), mirrored[::-1], strict=True):
            channel = side["channel"]
            truth = planted.sides[channel]
            assert turned == side | {"channel": OTHER[channel]}
            assert side.pop("offsets") == pytest.approx(truth.pop("offsets")), seed
            assert side == pytest.approx(truth), seed
