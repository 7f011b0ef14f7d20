"""Scores against a reference: speech time found, words heard, and how far word edges are off."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Timed(NamedTuple):
    """A word with its times in seconds."""

    word: str
    start: float
    end: float


def normal(text: str) -> list[str]:
    """The words of a text without case and marks, as word error rates are usually counted."""
    return re.findall(r"[\w']+", text.casefold().replace("’", "'"))


def matched(reference: Sequence[str], heard: Sequence[str]) -> tuple[int, list[tuple[int, int]]]:
    """Levenshtein distance in words, and the places (reference, heard) of the words that are the same."""
    cost = np.zeros((len(reference) + 1, len(heard) + 1), np.int32)
    cost[:, 0] = np.arange(len(reference) + 1)
    cost[0] = np.arange(len(heard) + 1)
    for i, expected in enumerate(reference, 1):
        for j, found in enumerate(heard, 1):
            cost[i, j] = min(cost[i - 1, j - 1] + (expected != found), cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    i, j, pairs = len(reference), len(heard), []
    while i and j:
        if cost[i, j] == cost[i - 1, j - 1] + (reference[i - 1] != heard[j - 1]):
            i, j = i - 1, j - 1
            if reference[i] == heard[j]:
                pairs.append((i, j))
        elif cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return int(cost[-1, -1]), pairs[::-1]


def overlap(first: Sequence[tuple[float, float]], second: Sequence[tuple[float, float]]) -> float:
    """Seconds that two lists of spans, each without overlap in itself, have in common."""
    return sum(
        max(0.0, min(end, other_end) - max(start, other_start))
        for start, end in first
        for other_start, other_end in second
    )


def length(spans: Sequence[tuple[float, float]]) -> float:
    """Seconds in all."""
    return sum(end - start for start, end in spans)


def score(path: Path, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Compare the lines of a transcript with one recording's reference (`NAME.reference.json`)."""
    reference = json.loads(path.read_text(encoding="utf-8"))
    name = path.name.removesuffix(".reference.json")
    found_in: dict[str, Any] = {
        "name": name,
        "common": 0.0,
        "found": 0.0,
        "true": 0.0,
        "errors": 0,
        "words": 0,
        "edges": [],
    }
    for channel in ("left", "right"):
        expected = [one for one in reference["utterances"] if one["channel"] == channel]
        own = [line for line in lines if line["conversation_id"] == name and line["channel"] == channel]
        spans = [(one["start"], one["end"]) for one in expected]
        found = [(line["start"], line["end"]) for line in own]
        found_in["common"] += overlap(spans, found)
        found_in["found"] += length(found)
        found_in["true"] += length(spans)
        true_words = _words(expected)
        heard = _words(own)
        errors, pairs = matched([word.word for word in true_words], [word.word for word in heard])
        found_in["errors"] += errors
        found_in["words"] += len(true_words)
        for i, j in pairs:
            found_in["edges"] += [abs(true_words[i].start - heard[j].start), abs(true_words[i].end - heard[j].end)]
    return _rates(found_in)


def _words(utterances: list[dict[str, Any]]) -> list[Timed]:
    return [
        Timed(part, word["start"], word["end"])
        for utterance in utterances
        for word in utterance["words"]
        for part in normal(word["word"])
    ]


def total(scores: list[dict[str, Any]]) -> dict[str, Any]:
    """All recordings together."""
    together: dict[str, Any] = {"name": "all"}
    for key in ("common", "found", "true", "errors", "words"):
        together[key] = sum(score[key] for score in scores)
    together["edges"] = [edge for score in scores for edge in score["edges"]]
    return _rates(together)


def _rates(counts: dict[str, Any]) -> dict[str, Any]:
    return counts | {
        "precision": counts["common"] / max(counts["found"], 1e-9),
        "recall": counts["common"] / counts["true"],
        "wer": counts["errors"] / counts["words"],
    }
