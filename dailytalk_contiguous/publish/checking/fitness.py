"""Advice on whether conversations are fit for training a full-duplex model: figures beside what others needed.

Nothing here is an error: a trainer runs on any of it. The limits are those that people who fine-tuned Moshi
reported; each stands beside its name.
"""

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import NamedTuple

from dailytalk_contiguous.core.turns import Timed, fitness
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.checking.findings import Finding, advice

#: Seconds of a turn at most, turns a window at least, and seconds of one speaker alone that made loss unstable.
LONGEST_TURN, TURNS_PER_WINDOW, MONOLOGUE = 10.0, 3, 60.0

#: Share of turns that touch an overlap: over 40 % in natural talk. Far below, turns were taken one after another.
NATURAL_OVERLAP, LITTLE_OVERLAP = 0.4, 0.1

#: Seconds in which a conversation should have begun: Moshi speaks first and has to learn a greeting.
GREETING_WITHIN = 5.0

#: Seconds from one speaker's end to the other's start, median: above, the model learns to be silent.
SLOW_RESPONSE = 2.0

#: Hours that others needed for a voice in English, and for another language.
ENGLISH_HOURS, LANGUAGE_HOURS = 20.0, 400.0


class Figures(NamedTuple):
    """Of one conversation: what `core.turns.fitness` measures, and the seconds until somebody speaks."""

    measured: dict[str, float]
    first: float


def figures(timed: Sequence[Timed], duration: float, window: float) -> Figures:
    """Figures of a conversation of `duration` seconds, for a trainer's window of `window` seconds."""
    return Figures(fitness(timed, duration, window), min((one.start for one in timed), default=duration))


def fitness_advice(
    of: Mapping[str, Figures], hours_of_voice: Mapping[str, float], hours_of_language: Mapping[str, float]
) -> Iterator[Finding]:
    """Yield advice on a dataset: figures by conversation, and hours by voice and by language."""
    yield from _exceeding(of)
    response = _median(one.measured["response_median_seconds"] for one in of.values())
    if response > SLOW_RESPONSE:
        what = f"the median response takes {response:.2f} s (natural talk: about 0.2 s)"
        yield advice("slow-responses", ".", what, "shorten pauses, or leave out what was read aloud")
    touching = _median(one.measured["overlapping_turns"] for one in of.values())
    if touching < LITTLE_OVERLAP:
        what = f"{touching:.0%} of the turns touch an overlap (natural talk: over {NATURAL_OVERLAP:.0%})"
        yield advice("little-overlap", ".", what, "build with --timeline anchor, and keep backchannels")
    yield from _too_few_hours(hours_of_voice, hours_of_language)


def _exceeding(of: Mapping[str, Figures]) -> Iterator[Finding]:
    long = _over(LONGEST_TURN, {name: one.measured["longest_turn_seconds"] for name, one in of.items()})
    if long:
        what = f"{_share(long, of)} have a turn over {LONGEST_TURN:.0f} s, up to {_worst(long)}"
        yield advice("long-turns", ".", what, "leave them out where there are many")
    few = [name for name, one in of.items() if one.measured["turns_per_window"] < TURNS_PER_WINDOW]
    if few:
        what = f"{_share(few, of)} have fewer than {TURNS_PER_WINDOW} turns a window, such as {few[0]}"
        yield advice("few-turns", ".", what, "leave them out where there are many")
    alone = _over(MONOLOGUE, {name: one.measured["longest_monologue_seconds"] for name, one in of.items()})
    if alone:
        what = f"{_share(alone, of)} have a monologue over {MONOLOGUE:.0f} s, up to {_worst(alone)}"
        yield advice("monologue", ".", what, "leave them out: the loss became unstable on such data")
    late = _over(GREETING_WITHIN, {name: one.first for name, one in of.items()})
    if late:
        what = f"{_share(late, of)} begin with over {GREETING_WITHIN:.0f} s of silence, up to {_worst(late)}"
        yield advice("late-start", ".", what, "keep the greeting, cut the silence before it")


def _too_few_hours(voices: Mapping[str, float], languages: Mapping[str, float]) -> Iterator[Finding]:
    for voice, hours in sorted(voices.items()):
        if hours < ENGLISH_HOURS:
            what = f"{hours:.2f} h with the voice {voice} (others needed {ENGLISH_HOURS:.0f} h for one in English)"
            yield advice("few-hours-of-voice", ".", what, "re-voice more conversations with it")
    for language, hours in sorted(languages.items()):
        if language != "en" and hours < LANGUAGE_HOURS:
            what = (
                f"{hours:.2f} h of {language} (others needed {LANGUAGE_HOURS:.0f} h and more for a new language)"
            )
            yield advice(
                "few-hours-of-language", ".", what, "add recordings, or start from a model that speaks it"
            )


def _over(limit: float, seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in seconds.items() if value > limit}


def _median(values: Iterable[float]) -> float:
    """The median of what was measured; NaN, which is neither above nor below a limit, where nothing was."""
    measured = [value for value in values if not math.isnan(value)]
    return statistics.median(measured) if measured else math.nan


def _share(some: Sized, of: Sized) -> str:
    return f"{len(some):,} of {counted(len(of), 'conversation')}"


def _worst(seconds: Mapping[str, float]) -> str:
    name = max(seconds, key=lambda one: seconds[one])
    return f"{seconds[name]:.1f} s in {name}"
