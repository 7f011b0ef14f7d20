"""Word times of transcripts that came with calls: what is left of them once they are fitted to the speech.

Builds the calls twice, each speaker kept once, and compares the words of every utterance with the transcript's.
Prints how many became short, how far their proportions and borders moved, and how many are where nothing is heard,
by the measure of `dailytalk check`; exit status 1 if a goal is missed.

    python benchmarks/given_words.py CALLS

CALLS is a folder of stereo recordings with a transcript with word times beside each.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous import run_recipe, speak_stages, tag_stages
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.publish.items import open_items
from dailytalk_contiguous.run.tagging import TAGGED
from dailytalk_contiguous.shards import read_rows

#: Seconds below which a word is short; share by which a word's part of its cue may change; seconds that a border
#: may move further than its cue reaches beyond the speech; share of words where nothing is heard.
SHORT, PROPORTION_GOAL, BORDER_GOAL, UNHEARD_GOAL = 0.040, 0.20, 0.05, 0.01


class Pair(NamedTuple):
    """A word of the transcript, up to where the next one begins, and as it is in the utterance `place`."""

    cue: int
    place: int
    given: tuple[float, float]
    fitted: tuple[float, float]


def main() -> int:
    """Build, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("calls", type=Path)
    calls = parser.parse_args().calls
    n_words = n_short = n_lost = n_unheard = 0
    proportion = border = 0.0
    for kept in CHANNELS:
        revoiced = next(channel for channel in CHANNELS if channel != kept)
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder) / "work"
            run_recipe(str(calls), work, tag_stages("embedded"), speak_stages("embedded", revoice=revoiced))
            columns = ["given", "channel", "start", "end", "words"]
            for row in (
                row for path in (work / TAGGED).glob("*.parquet") for row in read_rows(path, columns).values()
            ):
                pairs = list(paired(row, kept))
                n_words += len(pairs)
                n_lost += sum(len(cue["words"]) for cue in row["given"] if cue["channel"] == kept) - len(pairs)
                n_short += sum(length(pair.fitted) < SHORT <= length(pair.given) for pair in pairs)
                proportion = max(proportion, most_out_of_proportion(pairs))
                border = max(border, furthest_moved(pairs, row))
            n_unheard += sum(row["sides"][1]["unheard_words"] for row in open_items(work).rows())
    results = (
        ("words not in their order", n_lost, 0, ""),
        (f"words that came under {1000 * SHORT:.0f} ms", n_short, 0, ""),
        ("furthest from its part of the cue", 100 * proportion, 100 * PROPORTION_GOAL, "%"),
        ("border moved beyond what its cue exceeds", 1000 * border, 1000 * BORDER_GOAL, "ms"),
        ("words where nothing is heard", 100 * n_unheard / n_words, 100 * UNHEARD_GOAL, "%"),
    )
    print(f"{n_words} words")
    for name, figure, goal, unit in results:
        print(f"{name:<42}{figure:8.1f} {unit:<3} goal {goal:g}{'' if figure <= goal else '  MISSED'}")
    return int(any(figure > goal for _, figure, goal, _ in results))


def paired(row: dict[str, Any], channel: str) -> Iterator[Pair]:
    """The words of a side with those of its transcript, as long as both have them in one order."""
    cues = [cue for cue in row["given"] if cue["channel"] == channel]
    said = [(number, word) for number, cue in enumerate(cues) for word in cue["words"]]
    places = [place for place, name in enumerate(row["channel"]) if name == channel]
    words = [(place, word) for place in places for word in row["words"][place]]
    following = [word["start"] for _, word in said[1:]] + [float("inf")]
    for (number, given), until, (place, word) in zip(said, following, words, strict=False):
        if given["word"] != word["word"]:
            return
        until = max(min(given["end"], until), given["start"])
        yield Pair(number, place, (given["start"], until), (word["start"], word["end"]))


def length(span: tuple[float, float]) -> float:
    """Seconds of a span."""
    return span[1] - span[0]


def most_out_of_proportion(pairs: list[Pair]) -> float:
    """By which share a word's part of the words of its cue in its utterance changed at most."""
    worst = 0.0
    for _, group in groupby(pairs, key=lambda pair: (pair.cue, pair.place)):
        words = [pair for pair in group if length(pair.given)]
        scale = sum(length(pair.fitted) for pair in words) / sum(length(pair.given) for pair in words)
        worst = max(worst, *(abs(length(pair.fitted) / length(pair.given) / scale - 1) for pair in words))
    return worst


def furthest_moved(pairs: list[Pair], row: dict[str, Any]) -> float:
    """By how many seconds a border moved further than the words of its cue reach beyond the utterance, at most."""
    worst = 0.0
    for (_, place), group in groupby(pairs, key=lambda pair: (pair.cue, pair.place)):
        words = list(group)
        reach = max(0.0, row["start"][place] - words[0].given[0], words[-1].given[1] - row["end"][place])
        moved = [
            abs(before - after) for pair in words for before, after in zip(pair.given, pair.fitted, strict=True)
        ]
        worst = max(worst, max(moved) - reach)
    return worst


if __name__ == "__main__":
    sys.exit(main())
