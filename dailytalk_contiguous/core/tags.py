"""Which style tag an utterance gets, and the name of the rule that chose it.

A preset is one tuple of rules, and the first that holds decides: tone gates, then questions, then a grid of
arousal, valence and dominance in which every cell has a tag. A tone gate needs a bucket *and* a margin against
the speaker's own median, because in a flat conversation the loudest third is not shouting.

Rule names are stable and go into the dataset: `T1 whispering` to `T5 in a hurry tone`; `question: curious`;
`grid: arousal HIGH, valence MID, dominance HIGH`, with `, pitch_var LOW` after it where that decided. Those of
the preset `seed` are `seed 1 whispering` to `seed 4 in a hurry tone`, and `seed grid: …`.
"""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dailytalk_contiguous.core.buckets import HIGH, LEVELS, LOW, MID


class Evidence(NamedTuple):
    """What is known of an utterance: buckets, margins against the speaker's median, and whether it asks.

    `rms_gain_db` is in dB, `f0_ratio` and `rate_ratio` are multiples of the median, `speech_rate` is in words/s
    and `voiced_fraction` in [0, 1]. NaN means unknown, and no rule that asks for that measure holds.
    """

    valence: str = MID
    arousal: str = MID
    dominance: str = MID
    energy: str = MID
    rate: str = MID
    zcr: str = MID
    pitch: str = MID
    pitch_var: str = MID
    rms_gain_db: float = math.nan
    f0_ratio: float = math.nan
    rate_ratio: float = math.nan
    speech_rate: float = math.nan
    voiced_fraction: float = math.nan
    question: bool = False


class Condition(NamedTuple):
    """`field` of the evidence compared with a bucket or a number; `comparison` is a key of `COMPARISONS`."""

    field: str
    comparison: str
    value: str | float | bool


class Rule(NamedTuple):
    """A tag and the conditions that must all hold for it."""

    name: str
    tag: str
    conditions: tuple[Condition, ...]


class Choice(NamedTuple):
    """The tag of an utterance and the name of the rule that gave it."""

    tag: str
    rule: str


# All are false for NaN but "is not", which is used for buckets only.
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "is": operator.eq,
    "is not": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">=": operator.ge,
}


def _rule(name: str, tag: str, *conditions: tuple[str, str, str | float | bool]) -> Rule:
    return Rule(name, tag, tuple(Condition(*condition) for condition in conditions))


GATES = (
    _rule("T1 whispering", "whispering",
          ("energy", "is", LOW), ("zcr", "is", HIGH), ("voiced_fraction", "<", 0.2)),
    _rule("T2 screaming", "screaming",
          ("energy", "is", HIGH), ("arousal", "is", HIGH), ("f0_ratio", ">=", 1.6), ("valence", "is", LOW)),
    _rule("T3 shouting", "shouting",
          ("energy", "is", HIGH), ("arousal", "is", HIGH), ("rms_gain_db", ">=", 6.0)),
    _rule("T4 soft tone", "soft tone",
          ("energy", "is", LOW), ("arousal", "is not", HIGH), ("rms_gain_db", "<=", -6.0)),
    _rule("T5 in a hurry tone", "in a hurry tone",
          ("rate", "is", HIGH), ("arousal", "is not", LOW),
          ("rate_ratio", ">=", 1.25), ("speech_rate", ">=", 3.5)),
)  # fmt: skip

#: An angry "What did you do?" stays angry: none of these when arousal is HIGH.
_ASKS: tuple[tuple[str, str, str | float | bool], ...] = (("question", "is", True), ("arousal", "is not", HIGH))

QUESTIONS = (
    _rule("question: confused", "confused", *_ASKS, ("valence", "is", LOW), ("dominance", "is", LOW)),
    _rule("question: doubtful", "doubtful", *_ASKS, ("valence", "is", LOW)),
    _rule("question: uncertain", "uncertain", *_ASKS, ("valence", "is", MID), ("arousal", "is", LOW)),
    _rule("question: uncertain", "uncertain", *_ASKS, ("valence", "is", MID), ("dominance", "is", LOW)),
    _rule("question: curious", "curious", *_ASKS),
)

#: (arousal, valence) to the tags for dominance LOW, MID and HIGH.
Grid = Mapping[tuple[str, str], tuple[str, str, str]]
#: (arousal, valence, dominance, pitch_var) to the tag that the pitch's variation makes of that cell.
Exceptions = Mapping[tuple[str, str, str, str], str]

GRID: Grid = {
    (HIGH, LOW): ("anxious", "frustrated", "angry"),
    (HIGH, MID): ("nervous", "excited", "excited"),
    (HIGH, HIGH): ("surprised", "excited", "delighted"),
    (MID, LOW): ("worried", "disappointed", "frustrated"),
    (MID, MID): ("uncertain", "calm", "confident"),
    (MID, HIGH): ("satisfied", "satisfied", "satisfied"),
    (LOW, LOW): ("depressed", "sad", "sad"),
    (LOW, MID): ("calm", "calm", "calm"),
    (LOW, HIGH): ("relaxed", "relaxed", "satisfied"),
}
GRID_EXCEPTIONS: Exceptions = {
    (HIGH, MID, HIGH, LOW): "determined",
    (MID, HIGH, LOW, HIGH): "happy",
    (MID, HIGH, MID, HIGH): "happy",
    (MID, HIGH, HIGH, HIGH): "proud",
}

SEED_GATES = (
    _rule("seed 1 whispering", "whispering", ("energy", "is", LOW), ("zcr", "is", HIGH)),
    _rule("seed 2 shouting", "shouting", ("energy", "is", HIGH), ("arousal", "is", HIGH)),
    _rule("seed 3 soft tone", "soft tone", ("energy", "is", LOW)),
    _rule("seed 4 in a hurry tone", "in a hurry tone", ("rate", "is", HIGH), ("arousal", "is not", LOW)),
)
SEED_GRID: Grid = {
    **GRID,
    (HIGH, MID): ("nervous", "excited", "determined"),
    (HIGH, HIGH): ("excited", "excited", "delighted"),
}
SEED_GRID_EXCEPTIONS: Exceptions = {(MID, HIGH, dominance, HIGH): "happy" for dominance in LEVELS}


def _grid_rules(prefix: str, grid: Grid, exceptions: Exceptions) -> tuple[Rule, ...]:
    """A rule for every cell, the exceptions first."""
    rows: list[tuple[tuple[str, ...], str]] = list(exceptions.items())
    rows += [
        ((*cell, dominance), tag)
        for cell, tags in grid.items()
        for dominance, tag in zip(LEVELS, tags, strict=True)
    ]
    fields = ("arousal", "valence", "dominance", "pitch_var")
    return tuple(
        Rule(
            f"{prefix}: " + ", ".join(f"{field} {level}" for field, level in zip(fields, cell, strict=False)),
            tag,
            tuple(Condition(field, "is", level) for field, level in zip(fields, cell, strict=False)),
        )
        for cell, tag in rows
    )


PRESETS: dict[str, tuple[Rule, ...]] = {
    "standard": (*GATES, *QUESTIONS, *_grid_rules("grid", GRID, GRID_EXCEPTIONS)),
    "seed": (*SEED_GATES, *_grid_rules("seed grid", SEED_GRID, SEED_GRID_EXCEPTIONS)),
}


def rules_of(preset: str) -> tuple[Rule, ...]:
    """The rules of a preset, in their order. Raises ValueError for a name that isn't in `PRESETS`."""
    if preset not in PRESETS:
        raise ValueError(f"there are no tag rules {preset!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[preset]


def choose_tag(evidence: Evidence, preset: str = "standard") -> Choice:
    """The tag of the first rule that holds.

    Raises ValueError if a bucket is none of LOW, MID and HIGH, since then no cell of the grid holds.

    >>> choose_tag(Evidence(arousal="HIGH", dominance="HIGH"))
    Choice(tag='excited', rule='grid: arousal HIGH, valence MID, dominance HIGH')
    """
    for rule in rules_of(preset):
        if holds(rule, evidence):
            return Choice(rule.tag, rule.name)
    raise ValueError(f"no rule of {preset!r} holds for {evidence}: buckets must be LOW, MID or HIGH")


def holds(rule: Rule, evidence: Evidence) -> bool:
    """Whether all conditions of a rule hold."""
    return all(
        COMPARISONS[condition.comparison](getattr(evidence, condition.field), condition.value)
        for condition in rule.conditions
    )
