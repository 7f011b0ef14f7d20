"""Listening tests: the page, and its key.

People label shuffled clips of a corpus without their labels; conversations are compared in pairs, recorded against
rebuilt, and people choose the tag of a resynthesised line. Nothing in the page shows a clip's name, path or label:
clips are numbered in a random order, and the key beside the page, for `dailytalk agreement`, resolves the numbers.
The page works from a disk, without a network and with the keyboard alone, and saves the answers as a file.
"""

import base64
import hashlib
import heapq
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dailytalk_contiguous.core.audio import Samples, read_at, read_header
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.loudness import levelled
from dailytalk_contiguous.core.sampling import order_key
from dailytalk_contiguous.core.schema import EMOTIONS, STYLES, Row, is_recorded
from dailytalk_contiguous.core.utterance import said_tag
from dailytalk_contiguous.publish.items import SMALL, Items
from dailytalk_contiguous.publish.opening import finished_items, open_items
from dailytalk_contiguous.publish.page import left_channels, stratified_sample
from dailytalk_contiguous.publish.player import to_mp3
from dailytalk_contiguous.publish.tagged_items import TaggedItems
from dailytalk_contiguous.publish.templates import rendered
from dailytalk_contiguous.store.files import json_document, write_text

#: `kind` of a key and of answers, of a test of clips and of one of conversations in pairs.
KEY_KIND = "dailytalk listening test key"
ANSWERS_KIND = "dailytalk listening test answers"
PAIRS_KEY_KIND = "dailytalk paired listening test key"
PAIRS_ANSWERS_KIND = "dailytalk paired listening test answers"

#: The answers to a pair, and the words of the key for the first and the last.
PREFERENCES = ("A", "same", "B")


#: Facts on a clip that the key keeps.
_KEPT = ("id", "corpus", "speaker", "emotion", "label", "style", "style_source", "intensity", "split")


def key_path(page: Path) -> Path:
    return page.with_name(f"{page.stem}.key.json")


def write_listening_test(folder: Path, page: Path, count: int, seed: int = 0) -> int:
    """Write the page and the key of a test of `count` recorded clips, spread over emotions; returns their number.

    The same folder, count and seed give the same files. Fewer clips are taken where there are no more.

    Raises DailytalkError if the folder has no clips with an emotion.
    """
    items = open_items(folder)
    clips = (row["labels"] | {"id": row["conversation_id"]} for row in items.listed() if row["labels"])
    rows = {clip["id"]: {name: clip[name] for name in (*_KEPT, "augmented_from")} for clip in clips}
    chosen = stratified_sample(items.tables().conversations, count, seed)
    if not chosen:
        raise DailytalkError(
            f"{as_text(folder)!r} has no finished clip with an emotion", "run `dailytalk corpus` to its end"
        )
    order = sorted(chosen, key=lambda name: order_key(f"order\0{name}", seed))
    numbers = {f"c{number:03d}": name for number, name in enumerate(order, 1)}
    # It identifies the test and does not reveal the names.
    test = hashlib.sha256(json.dumps([seed, order]).encode()).hexdigest()[:16]
    encoded = left_channels(items, order)
    present = {"other", *(row["emotion"] for row in rows.values())}
    emotions = [name for name in EMOTIONS if name in present]
    shown = {
        "kind": ANSWERS_KIND,
        "test": test,
        "emotions": emotions,
        "styles": list(STYLES),
        "clips": [
            {"id": number, "sound": base64.b64encode(encoded[name]).decode()} for number, name in numbers.items()
        ],
    }
    key = {
        "kind": KEY_KIND,
        "test": test,
        "seed": seed,
        "emotions": emotions,
        "styles": list(STYLES),
        "clips": {number: {column: rows[name][column] for column in _KEPT} for number, name in numbers.items()},
    }
    _write(page, shown, key)
    return len(order)


def _write(page: Path, shown: Mapping[str, Any], key: Mapping[str, Any]) -> None:
    write_text(key_path(page), json_document(key))
    write_text(page, rendered("listening.html", __package__, test=shown, package=__package__))


#: Seconds of an excerpt of a conversation, and of a resynthesised line for the question of its tag.
EXCERPT = (4.0, 20.0)
LINE_SECONDS = (0.8, 10.0)

#: Seconds of the pause around an excerpt that are played with it, at most.
MARGIN = 0.25

#: Number of tags to choose from for a line, including its own.
OFFERED = 4

#: Loudness of both sides of a pair in LUFS (that of broadcasts, EBU R 128), and their highest true peak in dBTP.
PAIR_LUFS = -23.0
PAIR_PEAK = -1.0

#: Sample rates that MP3 knows, in Hz.
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


class Excerpt(NamedTuple):
    """A part of a conversation that begins and ends in a pause of both, in seconds of the rebuilt conversation
    (`start`, `end`) and of its part of the recording."""

    start: float
    end: float
    source_start: float
    source_end: float


class _Candidate(NamedTuple):
    place: str
    name: str
    excerpt: Excerpt
    lines: list[Row]


def write_paired_test(folder: Path, page: Path, count: int, seed: int = 0) -> int:
    """Write the page and the key of a test of `count` conversations and their tags; returns the number of clips.

    An excerpt of each is played as recorded and as rebuilt, in a drawn order, and then one resynthesised line of
    each with its tag among others. Both sides of a pair have one loudness, one sample rate and one channel: the
    speech is compared, and neither the level, nor the line, nor the separation of two microphones.

    The same folder, count and seed give the same files. Fewer conversations are taken if there are no more; one
    without a tagged line of suitable length has only the pair.

    Raises DailytalkError if nothing is finished, if no conversation has an excerpt, and if a recording is not
    available.
    """
    items = finished_items(folder)
    recordings = TaggedItems(folder)
    tags: set[str] = set()
    chosen = sorted(heapq.nsmallest(count, _candidates(items, seed, tags)))
    if not chosen:
        raise DailytalkError(
            f"{as_text(folder)!r} has no rebuilt conversation in which both speak within {EXCERPT[1]:g} s, "
            "between two moments in which nobody does",
            "test a dataset with more conversations",
        )
    clips: dict[str, dict[str, Any]] = {}
    keys: dict[str, dict[str, Any]] = {}
    drawn = sorted((candidate.name for candidate in chosen), key=lambda name: order_key(f"first\0{name}", seed))
    for number, (_, name, excerpt, _) in enumerate(chosen, 1):
        sounds = _pair(items, recordings, name, excerpt)
        turned = drawn.index(name) % 2 == 1  # of two pairs, one has the recording first
        clips[f"p{number:03d}"] = {"sounds": sounds[::-1] if turned else sounds}
        keys[f"p{number:03d}"] = {"id": name, **excerpt._asdict(), "recorded": "B" if turned else "A"}
    for number, (name, line) in enumerate(_lines_to_ask(chosen, seed), 1):
        others = sorted(tags - {line["tag"]}, key=lambda tag: order_key(f"{line['utterance_id']}\0{tag}", seed))
        choices = sorted([line["tag"], *others[: OFFERED - 1]])
        if others:
            sound = items.sound(name)
            seconds = line["end"] - line["start"]
            rate = _mp3_rate(read_header(sound.audio).sample_rate)
            samples = read_at(sound.audio, rate, sound.offset + line["start"], seconds)
            clips[f"t{number:03d}"] = {"sound": _mp3(samples[:, 0], rate), "choices": choices}
            about = {"id": name, "utterance": line["utterance_id"], "tag": line["tag"], "choices": choices}
            keys[f"t{number:03d}"] = about
    test = hashlib.sha256(json.dumps([seed, keys], sort_keys=True).encode()).hexdigest()[:16]
    _write(
        page,
        {"kind": PAIRS_ANSWERS_KIND, "test": test, "clips": [{"id": clip} | clips[clip] for clip in clips]},
        {"kind": PAIRS_KEY_KIND, "test": test, "seed": seed, "clips": keys},
    )
    return len(clips)


def _candidates(items: Items, seed: int, tags: set[str]) -> Iterator[_Candidate]:
    """The conversations with an excerpt; `tags` collects those of all resynthesised lines."""
    for row in items.rows(SMALL):
        if row["problem"] or is_recorded(row):  # there are no two versions to compare
            continue
        name = row["conversation_id"]
        utterances = row["utterances"] or ()
        spoken = [line for line in utterances if line["status"] == "spoken" and said_tag(line)]
        tags |= {line["tag"] for line in spoken}
        fitting = sorted(excerpts(utterances), key=lambda excerpt: order_key(f"{name}\0{excerpt}", seed))
        low, high = LINE_SECONDS
        if fitting:
            lines = [line for line in spoken if low <= line["end"] - line["start"] <= high]
            yield _Candidate(order_key(f"pair\0{name}", seed), name, fitting[0], lines)


def excerpts(utterances: Sequence[Row]) -> Iterator[Excerpt]:
    """The parts of a conversation of `EXCERPT` seconds in which both speak, recorded and rebuilt.

    Each begins and ends in a pause of both, in both versions; no utterance in it was dropped.
    """
    heard = sorted((line for line in utterances if line["start"] is not None), key=lambda line: line["start"])
    dropped = [line for line in utterances if line["start"] is None]
    times = [[(line[f"{of}start"], line[f"{of}end"]) for line in heard] for of in ("", "source_")]
    if any(time is None for pairs in times for pair in pairs for time in pair):
        return
    pauses: list[list[tuple[float, float]]] = []  # before each utterance, and after the last, in both versions
    for of in times:
        ends = [0.0, *accumulate((end for _, end in of), max)]
        starts = [*accumulate((start for start, _ in reversed(of)), min)][::-1]
        pauses.append(list(zip(ends, [*starts, ends[-1] + 2 * MARGIN], strict=True)))
    borders = [
        (place, pause)
        for place, pause in enumerate(zip(*pauses, strict=True))
        if all(start >= end for end, start in pause)
    ]
    for number, (first, before) in enumerate(borders):
        for last, after in borders[number + 1 :]:
            spans = [
                (max(start - MARGIN, (end + start) / 2), min(next_end + MARGIN, (next_end + next_start) / 2))
                for (end, start), (next_end, next_start) in zip(before, after, strict=True)
            ]
            if any(end - start > EXCERPT[1] for start, end in spans):
                break
            (start, end), (source_start, source_end) = spans
            both_speak = len({line["channel"] for line in heard[first:last]}) == 2
            whole = not any(
                line["source_start"] < source_end and line["source_end"] > source_start for line in dropped
            )
            if both_speak and whole and all(end - start >= EXCERPT[0] for start, end in spans):
                yield Excerpt(start, end, source_start, source_end)


def _lines_to_ask(chosen: Sequence[_Candidate], seed: int) -> Iterator[tuple[str, Row]]:
    asked: Counter[str] = Counter()
    for candidate in chosen:
        if candidate.lines:
            line = min(
                candidate.lines, key=lambda line: (asked[line["tag"]], order_key(line["utterance_id"], seed))
            )
            asked[line["tag"]] += 1
            yield candidate.name, line


def _pair(items: Items, recordings: Items, name: str, excerpt: Excerpt) -> list[str]:
    try:
        recorded = recordings.sound(name)
        sides = [
            (recorded, excerpt.source_start, excerpt.source_end),
            (items.sound(name), excerpt.start, excerpt.end),
        ]
        rate = _mp3_rate(min(read_header(sound.audio).sample_rate for sound, _, _ in sides))
        heard = []
        for sound, start, end in sides:
            samples = read_at(sound.audio, rate, sound.offset + start, end - start).mean(axis=1)
            level = levelled(samples, rate, PAIR_LUFS, PAIR_PEAK)
            heard.append(_mp3(level.samples if level else samples, rate))
        return heard
    except BadInput as error:
        raise DailytalkError(
            f"{name!r} can't be heard as it was recorded: {error.reason}",
            "make the test where the recordings are that were tagged, or put them back",
        ) from error


def _mp3_rate(sample_rate: int) -> int:
    return max(rate for rate in _MP3_RATES if rate <= max(sample_rate, _MP3_RATES[0]))


def _mp3(samples: Samples, sample_rate: int) -> str:
    return base64.b64encode(to_mp3(samples[:, np.newaxis], sample_rate)).decode()
