"""The measures of a conversation, by which it is judged (`publish.verdict`).

A training folder keeps the measures of each conversation that do not follow from its turns (`portable_measures`).
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dailytalk_contiguous.core.documents import has_length, is_number
from dailytalk_contiguous.core.hallucination import EXTRA_WORDS
from dailytalk_contiguous.core.schema import CHANNELS, ORIGIN, parent_of
from dailytalk_contiguous.core.turns import Timed, fitness, overlap_seconds, timed_conversations


class ConversationMeasure(NamedTuple):
    """A measure of a conversation.

    Attributes:
        title: the head of its column.
        unit: of the shown value; empty for a plain number.
        digits: decimals that are shown.
        about: its definition in a sentence.
        factor: from a value to the shown value.
    """

    title: str
    unit: str
    digits: int
    about: str
    factor: float = 1.0


#: The measures of a conversation by name, in the order of the table. Of two sides the worse one counts.
CONVERSATION_MEASURES = {
    "duration": ConversationMeasure("length", "s", 0, "Length of the conversation."),
    "confidence": ConversationMeasure(
        "confidence",
        "",
        2,
        "How sure the recogniser is of its words, 0 to 1, over the time they take; empty where it says nothing.",
    ),
    "without_text": ConversationMeasure(
        "without text", "%", 0, "Share of the time in speech in which nobody knows what is said.", 100.0
    ),
    "words_per_second": ConversationMeasure(
        "fastest words",
        "words/s",
        1,
        f"Words a second of the utterance with most, of more than {EXTRA_WORDS} words.",
    ),
    "unheard_words": ConversationMeasure(
        "unheard words", "%", 1, "Share of the words that are timed where nothing is heard.", 100.0
    ),
    "bandwidth": ConversationMeasure(
        "bandwidth", "kHz", 1, "Highest frequency with energy; a telephone ends at 3.4 to 4 kHz.", 0.001
    ),
    "level_difference": ConversationMeasure(
        "level difference", "dB", 1, "How much louder one speaker is than the other."
    ),
    "snr": ConversationMeasure("signal to noise", "dB", 0, "Power of speech over that of what is beside it."),
    "clipping": ConversationMeasure("clipped", "%", 2, "Share of the samples that are clipped.", 100.0),
    "leak": ConversationMeasure(
        "leak", "dB", 0, "Level of the other speaker's voice in a channel, against its source."
    ),
    "length_ratio": ConversationMeasure(
        "new/recorded length",
        "",
        2,
        "New over recorded length of the resynthesised utterances, median: 0.5 is twice as fast.",
    ),
    "delivery": ConversationMeasure(
        "delivery",
        "",
        2,
        "Distance in melody and loudness of what was resynthesised from its source, median: 0 is alike.",
    ),
    "as_recorded": ConversationMeasure(
        "not resynthesised",
        "%",
        0,
        "Share of the utterances to resynthesise that still have the recorded voice.",
        100.0,
    ),
    "least_talk": ConversationMeasure(
        "quieter side", "%", 0, "Share of the speech that is of the speaker who says less.", 100.0
    ),
    "main_talk": ConversationMeasure(
        "main side speaks", "%", 0, "Share of the time in which the left side, Moshi's, speaks.", 100.0
    ),
    "overlap": ConversationMeasure("overlap", "%", 1, "Share of the time in which both speak.", 100.0),
    "overlapping_turns": ConversationMeasure(
        "overlapping turns", "%", 0, "Share of the turns that touch speech of the other.", 100.0
    ),
    "response": ConversationMeasure(
        "response", "s", 2, "From one speaker's end to the other's start, median; below 0: overlap."
    ),
    "turns_per_window": ConversationMeasure(
        "turns", "per 100 s", 0, "How often the floor is taken in a window of the trainer."
    ),
    "longest_turn": ConversationMeasure("longest turn", "s", 1, "Longest stretch of one speaker without a pause."),
    "longest_monologue": ConversationMeasure(
        "longest monologue", "s", 0, "Longest time in which one speaker holds the floor, with pauses."
    ),
    "first_turn": ConversationMeasure("silent start", "s", 1, "Seconds until somebody speaks."),
}

#: Values by the names of `CONVERSATION_MEASURES`; None where unknown.
MeasuredConversation = dict[str, float | None]


def measure_turns(timed: Sequence[Timed], duration: float, window: float = 100.0) -> MeasuredConversation:
    """Return the measures of a conversation that follow from its turns; the others are None.

    `window`: seconds of a trainer's window.
    """
    fit = fitness(timed, duration, window)
    talk = {name: sum([turn.end - turn.start for turn in timed if turn.channel == name]) for name in CHANNELS}
    spoken = sum(talk.values())
    known = {
        "duration": duration,
        "least_talk": min(talk.values()) / spoken if spoken else 0.0,
        "main_talk": talk["left"] / duration if duration > 0 else math.nan,
        "overlap": overlap_seconds(timed) / duration if duration > 0 else math.nan,
        "overlapping_turns": fit["overlapping_turns"],
        "response": fit["response_median_seconds"],
        "turns_per_window": fit["turns_per_window"],
        "longest_turn": fit["longest_turn_seconds"],
        "longest_monologue": fit["longest_monologue_seconds"],
        "first_turn": min([turn.start for turn in timed], default=duration),
    }
    return dict.fromkeys(CONVERSATION_MEASURES) | {
        name: None if math.isnan(value) else value for name, value in known.items()
    }


def measure_conversation(
    row: Mapping[str, Any], rebuilt: bool, timed: Sequence[Timed] | None = None
) -> MeasuredConversation:
    """Return all measures of a conversation: a row of `core.schema.BUILT` that can be used, with or without audio.

    Turn-taking is not measured of a clip, nor of a file of an export, which has one side.

    Args:
        rebuilt: whether it was rebuilt; otherwise nothing was resynthesised.
        timed: its turns (`core.turns.timed_conversations`), where they are known.
    """
    utterances, words = row["utterances"] or (), row["alignments"] or ()
    duration = row["duration"] or 0.0
    lengths = [
        (
            _length(utterance["source_start"], utterance["source_end"]),
            _length(utterance["start"], utterance["end"]),
        )
        for utterance in utterances
    ]
    talk: MeasuredConversation = {"duration": duration}
    if not row.get("labels") and row.get("measures") is None:
        timed = timed_conversations(row)["rebuilt"].timed if timed is None else timed
        talk = measure_turns([turn for turn in timed if turn.end > turn.start], duration)
    values = dict.fromkeys(CONVERSATION_MEASURES) | talk | _of_words(utterances, lengths)
    values |= _of_sides(row.get("sides") or (), len(words))
    return values | (_of_synthesis(utterances, lengths) if rebuilt else {})


#: Measures of a conversation that follow from its turns.
_OF_TURNS = (
    *("duration", "least_talk", "main_talk", "overlap", "overlapping_turns", "response", "turns_per_window"),
    *("longest_turn", "longest_monologue", "first_turn"),
)


def portable_measures(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a row that a training folder keeps to be judged as the row is (`TableMaker.add_known`).

    `measures`: those that do not follow from its turns; `recorded_overlap`: that of `recorded_overlap`; `talk`:
    `is_talk`, if true; `parent`: the conversation that it was made of.
    """
    measured = measure_conversation(row, rebuilt=True).items()
    measures = {name: round(value, 6) for name, value in measured if value is not None and name not in _OF_TURNS}
    overlap = recorded_overlap(row)
    known: dict[str, Any] = {} if overlap is None else {"recorded_overlap": round(overlap, 6)}
    known |= {"talk": True} if is_talk(row) else {}
    if (parent := parent_of(row)) != row["conversation_id"]:
        known |= {"parent": parent, "made_by": (row.get(ORIGIN.name) or {}).get("by")}
    return {"measures": measures} | known


def recorded_overlap(row: Mapping[str, Any]) -> float | None:
    """Return the seconds in which both speak in the recording, if the timeline keeps them; else None."""
    timeline = row.get("timeline") or {}
    seconds = timeline.get("source_overlap_seconds")
    return float(seconds) if timeline.get("mode") != "sequential" and is_number(seconds) else None


def is_talk(row: Mapping[str, Any]) -> bool:
    """Whether a row that was not only tagged is a talk with a machine: its timeline is not rebuilt."""
    return not row.get("timeline") and not row.get("labels")


def _of_words(
    utterances: Sequence[Mapping[str, Any]], lengths: Sequence[tuple[float, float]]
) -> MeasuredConversation:
    seconds, without, weights, sure = 0.0, 0.0, 0.0, 0.0
    fastest = None
    for utterance, (recorded, new) in zip(utterances, lengths, strict=True):
        length = recorded or new
        text = (utterance["text_raw"] or utterance["text"] or "").split()
        seconds += length
        without += 0.0 if text else length
        if is_number(utterance["confidence"]):
            weights += length
            sure += length * utterance["confidence"]
        if len(text) > EXTRA_WORDS and length:
            fastest = max(fastest or 0.0, (len(text) - EXTRA_WORDS) / length)
    return {
        "confidence": sure / weights if weights else None,
        "without_text": without / seconds if seconds else None,
        "words_per_second": fastest,
    }


def _of_sides(sides: Sequence[Mapping[str, Any]], n_words: int) -> MeasuredConversation:
    def known(name: str) -> list[float]:
        return [side[name] for side in sides if side and is_number(side.get(name))]

    levels, unheard = known("level_dbfs"), known("unheard_words")
    return {
        "unheard_words": sum(unheard) / n_words if unheard and n_words else None,
        "bandwidth": min(known("bandwidth_hz"), default=None),
        "level_difference": max(levels) - min(levels) if len(levels) == len(CHANNELS) else None,
        "snr": min(known("snr_db"), default=None),
        "clipping": max(known("clipping_ratio"), default=None),
        "leak": max(known("leak_db"), default=None),
    }


def _of_synthesis(
    utterances: Sequence[Mapping[str, Any]], lengths: Sequence[tuple[float, float]]
) -> MeasuredConversation:
    ratios = [
        new / recorded
        for utterance, (recorded, new) in zip(utterances, lengths, strict=True)
        if utterance["status"] == "spoken" and recorded and new
    ]
    statuses = [utterance["status"] for utterance in utterances]
    kept = statuses.count("kept-original")
    wanted = statuses.count("spoken") + kept
    syntheses = [utterance["synthesis"] for utterance in utterances if utterance["synthesis"]]
    distances = [synthesis.get("delivery_distance") for synthesis in syntheses]
    known = [distance for distance in distances if is_number(distance)]
    return {
        "delivery": statistics.median(known) if known else None,
        "length_ratio": statistics.median(ratios) if ratios else None,
        "as_recorded": kept / wanted if wanted else None,
    }


def _length(start: Any, end: Any) -> float:
    """Seconds from start to end; 0 where these are no stretch of time."""
    seconds: float = end - start if has_length(start, end) else 0.0
    return seconds
