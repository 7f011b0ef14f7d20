"""How true a transcript is to its sound: sides that talk without a filler, and words that are not in the sound."""

from collections.abc import Mapping
from typing import Any

from dailytalk_contiguous.core.filler_removal import words_by_utterance
from dailytalk_contiguous.core.fillers import PATTERNS, are_fillers, language_code
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.utterance import GIVEN, GIVEN_FITTED, RECOGNISED_TEXT, Utterance, heard_utterances
from dailytalk_contiguous.core.word_times import split_words

#: Before the name of an aligner in the source of the words that it has placed.
_ALIGNED = "aligned-"

#: Words that `absent_words` names.
NAMED = 4


def talk_without_fillers(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sides of a row that say no filler, each with the seconds of its utterances that have words.

    Only languages whose fillers are known (`core.fillers`) count: `[{"channel": "left", "seconds": 200.5}]`.
    """
    marked = {word["speaker"] for word in row["alignments"] or () if word.get("filler")}
    sides = []
    for channel in CHANNELS:
        said = [part for part in heard_utterances(row) if part["channel"] == channel and _is_known(part, row)]
        seconds = sum(part["end"] - part["start"] for part in said)
        if seconds and channel not in marked and not any(_has_filler(part, row) for part in said):
            sides.append({"channel": channel, "seconds": seconds})
    return sides


def _is_known(said: Utterance, row: Mapping[str, Any]) -> bool:
    """Whether an utterance has words, in a language whose fillers are known."""
    has_words = any(map(str.isalnum, said["text"] or ""))
    return has_words and language_code(said.get("language") or row["language"]) in PATTERNS


def _has_filler(said: Utterance, row: Mapping[str, Any]) -> bool:
    return any(are_fillers(split_words(said["text"] or ""), said.get("language") or row["language"]))


def absent_words(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sides of a row with words of a given text that an aligner did not find in the sound.

    The other words of such a side are placed by the aligner; these have times that were fitted, or Whisper's.
    Each side has its `channel`, how many words are `absent`, of how many given `words`, and the `first` of them.
    """
    sources = {word["source"] for word in row["alignments"] or ()}
    if not sources & {GIVEN_FITTED, RECOGNISED_TEXT}:
        return []
    given: dict[str, list[Mapping[str, Any]]] = {channel: [] for channel in CHANNELS}
    for said, numbers in words_by_utterance(row):
        if said and (said.get("models") or {}).get("recogniser") == GIVEN:
            given[said["channel"]] += [row["alignments"][number] for number in numbers]
    sides = []
    for channel, words in given.items():
        absent = [word["word"] or "" for word in words if word["source"] in (GIVEN_FITTED, RECOGNISED_TEXT)]
        is_aligned = any((word["source"] or "").startswith(_ALIGNED) for word in words)
        if absent and is_aligned:
            first = " ".join(absent[:NAMED])
            sides.append({"channel": channel, "absent": len(absent), "words": len(words), "first": first})
    return sides
