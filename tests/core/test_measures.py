"""Measures of conversations, on timelines with planted rates, of both sides."""

import random
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.utterance import UTTERANCE
from dailytalk_contiguous.core.turns.turn_taking import TURN_MEASURES, timed_conversations

OTHER = {"left": "right", "right": "left"}
SAME = {"left": "left", "right": "right"}
QUANTILES = {"offset_p5": 5, "offset_p25": 25, "offset_median": 50, "offset_p75": 75, "offset_p95": 95}
KINDS = ("pause", "gap", "overlap", "interruption")
WEIGHTS = (3, 4, 2, 1)
#: The offsets of a kind of change of turns, in seconds.
OFFSETS = {"gap": (0.05, 1.0), "overlap": (-0.45, -0.1), "interruption": (-1.2, -0.6)}
BY_MINUTE = ("speech", "pause", "gap", "overlap", "backchannels", "interruptions")


class Planted:
    """A conversation of known rates: what was planted of each side, in seconds and numbers."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.rows: list[dict[str, Any]] = []
        self.sides: dict[str, dict[str, Any]] = {}
        for side in OTHER:
            self.sides[side] = defaultdict(float)
            for name in ("offsets", "spoken_on", "floors"):
                self.sides[side][name] = []
        who = self.chance.choice(["left", "right"])
        begun = self.chance.uniform(0.5, 2)
        end = self.speak(who, begun, 4.0)
        for _ in range(self.chance.randint(12, 40)):
            (kind,) = self.chance.choices(KINDS, WEIGHTS)
            length = self.chance.uniform(3.3, 5)
            holder = self.sides[who]
            if kind == "pause":
                silence = self.chance.uniform(0.25, 1.5)
                holder["pause"] += silence
                holder["pauses"] += 1
                end = self.speak(who, end + silence, length)
                continue
            holder["floors"].append(end - begun)
            offset = self.chance.uniform(*OFFSETS[kind])
            begun = end + offset
            who = OTHER[who]
            taker = self.sides[who]
            taker["offsets"].append(offset)
            if kind == "gap":
                taker["gap"] += offset
                taker["gaps"] += 1
            else:
                taker["overlap"] -= offset
            if kind == "interruption":
                taker["interruptions"] += 1
                holder["spoken_on"].append(-offset)
            end = self.speak(who, begun, length)
        self.sides[who]["floors"].append(end - begun)
        self.seconds = end + self.chance.uniform(0, 2)
        self.sounds = self.chance.randint(0, 9)

    def speak(self, who: str, start: float, length: float) -> float:
        """A stretch of one or two utterances, perhaps with a backchannel of the other inside it; its end."""
        is_whole = self.chance.random() < 0.7
        parts = [(0.0, length)] if is_whole else [(0.0, 1.0), (1.15, length)]
        for begin, end in parts:
            n_words = self.chance.randint(2, 9)
            self.say(who, start + begin, start + end, n_words)
        self.sides[who]["speech"] += length
        self.sides[who]["stretches"] += 1
        if self.chance.random() < 0.4:
            self.answer(OTHER[who], start + 1.45)
        return start + length

    def answer(self, who: str, start: float) -> None:
        """A backchannel."""
        length = self.chance.uniform(0.2, 0.4)
        n_words = self.chance.randint(1, 2)
        self.say(who, start, start + length, n_words)
        side = self.sides[who]
        side["speech"] += length
        side["overlap"] += length
        side["backchannels"] += 1
        side["stretches"] += 1
        side["backchannel_words"] += n_words

    def say(self, who: str, start: float, end: float, n_words: int) -> None:
        times = {"start": start + 7, "end": end + 7, "source_start": start, "source_end": end}
        text = " ".join(["word"] * n_words)
        about = {"channel": who, "status": "kept", "text": text}
        row = dict.fromkeys(UTTERANCE) | about | times
        self.rows.append(row)
        self.sides[who]["words"] += n_words

    def row(self, mirrored: bool = False) -> dict[str, Any]:
        side = OTHER if mirrored else SAME
        utterances = []
        for row in self.rows:
            channel = side[row["channel"]]
            utterances.append(row | {"channel": channel})
        sound = {"channel": "right", "start": 1.0, "end": 2.0}
        return {
            "conversation_id": str(id(self)),
            "alignments": None,
            "provenance": None,
            "utterances": utterances,
            "sounds": [sound] * self.sounds,
            "duration": self.seconds,
            "source_duration": self.seconds,
            "language": "en",
            "timeline": {"lost_sound_seconds": 0.0},
        }

    def truth(self, side: str) -> dict[str, float]:
        """The measures of a side by what was planted; NaN where nothing can be known."""
        here = self.sides[side]
        other = self.sides[OTHER[side]]
        minutes = self.seconds / 60
        speech = here["speech"] + other["speech"]
        speech_of_one = speech - here["overlap"] - other["overlap"]
        sounds = self.sounds if side == "right" else np.nan
        values = {name: _ratio(here[name], minutes) for name in BY_MINUTE}
        values["overlap_share"] = _ratio(here["overlap"], speech_of_one)
        values["backchannel_words"] = _ratio(60 * here["backchannel_words"], speech)
        values["backchannel_share"] = _ratio(here["backchannels"], here["stretches"])
        values["interruption_share"] = _ratio(here["interruptions"], here["stretches"])
        values["sounds"] = _ratio(sounds, minutes)
        values["turn_length"] = _mean(here["floors"])
        values["floor_share"] = _ratio(here["speech"], speech)
        values["words"] = _ratio(60 * here["words"], here["speech"])
        values["speaks_on"] = _mean(here["spoken_on"])
        silences = here["gaps"] + other["pauses"]
        values["takes_over"] = _ratio(here["gaps"], silences)
        for name, share in QUANTILES.items():
            values[name] = _percentile(here["offsets"], share)
        gaps = [offset for offset in here["offsets"] if offset > 0]
        values["gap_median"] = _percentile(gaps, 50)
        return values


def _ratio(amount: float, whole: float) -> float:
    return amount / whole if whole else np.nan


def _mean(values: list[float]) -> float:
    return _ratio(sum(values), len(values))


def _percentile(values: list[float], share: float) -> float:
    """The nearest rank."""
    if not values:
        return np.nan
    return float(np.percentile(values, share, method="inverted_cdf"))


def figures_of(measured: dict[str, Any], side: str) -> dict[str, float]:
    return {name: measured[name][side].value for name in TURN_MEASURES}


def test_every_measure_of_planted_conversations_is_what_was_planted_and_mirrored_sides_are_mirrored() -> None:
    for seed in range(60):
        planted = Planted(seed)
        sides = timed_conversations(from_finished(planted.row()))
        mirrored = timed_conversations(from_finished(planted.row(mirrored=True)))
        assert sides.keys() == {"source", "rebuilt"}
        for timeline in sides:
            turned = mirrored[timeline].measured
            measured = sides[timeline].measured
            assert measured.keys() == TURN_MEASURES.keys()
            for side in OTHER:
                truth = planted.truth(side)
                values = figures_of(measured, side)
                assert values == pytest.approx(truth, rel=0.02, abs=1e-9, nan_ok=True), (seed, side)
                swapped = figures_of(turned, OTHER[side])
                del values["sounds"], swapped["sounds"]  # only of the side that is kept
                assert swapped == pytest.approx(values, nan_ok=True)
            for name in (*BY_MINUTE, "overlap_share"):
                figures = measured[name]
                one_side_each = figures["left"].value + figures["right"].value
                assert figures["both"].value == pytest.approx(one_side_each)
