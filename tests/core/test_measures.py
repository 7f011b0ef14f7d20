"""Measures of conversations, on timelines with planted rates, of both sides."""

import random
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from dailytalk_contiguous.core.turns import TURN_MEASURES, figure_value, timed_conversations
from dailytalk_contiguous.core.utterance import UTTERANCE

OTHER = {"left": "right", "right": "left"}
QUANTILES = {"offset_p5": 5, "offset_p25": 25, "offset_median": 50, "offset_p75": 75, "offset_p95": 95}


class Planted:
    """A conversation of known rates: what was planted of each side, in seconds and numbers."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.rows: list[dict[str, Any]] = []
        self.of: dict[str, dict[str, Any]] = {side: defaultdict(float) for side in OTHER}
        for side in OTHER:
            self.of[side] |= {"offsets": [], "spoken_on": [], "floors": []}
        who = self.chance.choice(["left", "right"])
        begun = self.chance.uniform(0.5, 2)
        end = self.speak(who, begun, 4.0)
        for _ in range(self.chance.randint(12, 40)):
            kind = self.chance.choices(["pause", "gap", "overlap", "interruption"], [3, 4, 2, 1])[0]
            length = self.chance.uniform(3.3, 5)
            other = OTHER[who]
            if kind == "pause":
                silence = self.chance.uniform(0.25, 1.5)
                self.of[who] |= {"pause": self.of[who]["pause"] + silence, "pauses": self.of[who]["pauses"] + 1}
                end = self.speak(who, end + silence, length)
                continue
            self.of[who]["floors"].append(end - begun)
            low, high = {"gap": (0.05, 1.0), "overlap": (-0.45, -0.1), "interruption": (-1.2, -0.6)}[kind]
            offset = self.chance.uniform(low, high)
            begun = end + offset
            if kind == "gap":
                self.of[other]["gap"] += offset
                self.of[other]["gaps"] += 1
            else:
                self.of[other]["overlap"] -= offset
            if kind == "interruption":
                self.of[other]["interruptions"] += 1
                self.of[who]["spoken_on"].append(-offset)
            self.of[other]["offsets"].append(offset)
            end = self.speak(other, begun, length)
            who = other
        self.of[who]["floors"].append(end - begun)
        self.seconds = end + self.chance.uniform(0, 2)
        self.sounds = self.chance.randint(0, 9)

    def speak(self, who: str, start: float, length: float) -> float:
        """A stretch of one or two utterances, perhaps with a backchannel of the other inside it; its end."""
        parts = [(0.0, length)] if self.chance.random() < 0.7 else [(0.0, 1.0), (1.15, length)]
        for begin, end in parts:
            self.say(who, start + begin, start + end, self.chance.randint(2, 9))
        self.of[who]["speech"] += length
        self.of[who]["stretches"] += 1
        if self.chance.random() < 0.4:
            other = OTHER[who]
            short = self.chance.uniform(0.2, 0.4)
            n_words = self.chance.randint(1, 2)
            self.say(other, start + 1.45, start + 1.45 + short, n_words)
            for name, amount in (("speech", short), ("overlap", short), ("backchannels", 1), ("stretches", 1)):
                self.of[other][name] += amount
            self.of[other]["backchannel_words"] += n_words
        return start + length

    def say(self, who: str, start: float, end: float, n_words: int) -> None:
        times = {"start": start + 7, "end": end + 7, "source_start": start, "source_end": end}
        about = {"channel": who, "status": "kept", "text": " ".join(["word"] * n_words)}
        self.rows.append(dict.fromkeys(UTTERANCE) | about | times)
        self.of[who]["words"] += n_words

    def row(self, mirrored: bool = False) -> dict[str, Any]:
        side = OTHER if mirrored else dict(zip(OTHER, OTHER, strict=True))
        utterances = [row | {"channel": side[row["channel"]]} for row in self.rows]
        sounds = [{"channel": "right", "start": 1.0, "end": 2.0}] * self.sounds
        row = {
            "conversation_id": str(id(self)),
            "alignments": None,
            "provenance": None,
            "utterances": utterances,
            "sounds": sounds,
        }
        row |= {"duration": self.seconds, "source_duration": self.seconds, "language": "en"}
        return row | {"timeline": {"lost_sound_seconds": 0.0}}

    def truth(self, side: str) -> dict[str, float]:
        """The measures of a side by what was planted; NaN where nothing can be known."""
        own = self.of[side]
        other = self.of[OTHER[side]]
        minutes = self.seconds / 60
        speech = own["speech"] + other["speech"]
        gaps = [offset for offset in own["offsets"] if offset > 0]
        ratios = {
            **{name: (own[name], minutes) for name in ("speech", "pause", "gap", "overlap")},
            **{name: (own[name], minutes) for name in ("backchannels", "interruptions")},
            "overlap_share": (own["overlap"], speech - own["overlap"] - other["overlap"]),
            "backchannel_words": (60 * own["backchannel_words"], speech),
            "backchannel_share": (own["backchannels"], own["stretches"]),
            "interruption_share": (own["interruptions"], own["stretches"]),
            "sounds": (self.sounds if side == "right" else np.nan, minutes),
            "turn_length": (sum(own["floors"]), len(own["floors"])),
            "floor_share": (own["speech"], speech),
            "words": (60 * own["words"], own["speech"]),
            "speaks_on": (sum(own["spoken_on"]), len(own["spoken_on"])),
            "takes_over": (own["gaps"], own["gaps"] + other["pauses"]),
        }
        values = {name: amount / per if per else np.nan for name, (amount, per) in ratios.items()}
        values |= {name: _percentile(own["offsets"], share) for name, share in QUANTILES.items()}
        return values | {"gap_median": _percentile(gaps, 50)}


def _percentile(values: list[float], share: float) -> float:
    return float(np.percentile(values, share, method="inverted_cdf")) if values else np.nan  # the nearest rank


def test_every_measure_of_planted_conversations_is_what_was_planted_and_mirrored_sides_are_mirrored() -> None:
    for seed in range(60):
        planted = Planted(seed)
        sides = timed_conversations(planted.row())
        mirrored = timed_conversations(planted.row(mirrored=True))
        assert sides.keys() == {"source", "rebuilt"}
        for timeline in sides:
            turned = mirrored[timeline].measured
            measured = sides[timeline].measured
            assert measured.keys() == TURN_MEASURES.keys()
            for side in OTHER:
                truth = planted.truth(side)
                values = {name: figure_value(name, measured[name][side]) for name in TURN_MEASURES}
                assert values == pytest.approx(truth, rel=0.02, abs=1e-9, nan_ok=True), (seed, side)
                swapped = {name: figure_value(name, turned[name][OTHER[side]]) for name in TURN_MEASURES}
                del values["sounds"], swapped["sounds"]  # only of the side that is kept
                assert swapped == pytest.approx(values, nan_ok=True)
            for name in ("speech", "pause", "gap", "overlap", "backchannels", "interruptions", "overlap_share"):
                both, left, right = (figure_value(name, measured[name][side]) for side in ("both", *OTHER))
                assert both == pytest.approx(left + right)
