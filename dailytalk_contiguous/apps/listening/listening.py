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
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.conversation import Utterance
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import EMOTIONS, STYLES
from dailytalk_contiguous.core.sound.loudness import levelled
from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.core.style.sampling import order_key
from dailytalk_contiguous.core.words.word import Span
from dailytalk_contiguous.machine.audio import read_at, read_header
from dailytalk_contiguous.publish.item_tables import tables_of
from dailytalk_contiguous.publish.items import SMALL, Items, ItemSound
from dailytalk_contiguous.publish.opening import finished_items, open_items
from dailytalk_contiguous.publish.tables.page import left_channels, stratified_sample
from dailytalk_contiguous.publish.tables.player import to_mp3
from dailytalk_contiguous.publish.tables.templates import rendered
from dailytalk_contiguous.publish.tagged_items import TaggedItems
from dailytalk_contiguous.store.files import json_document, write_text

#: `kind` of the key of a test of clips.
KEY_KIND = "dailytalk listening test key"

#: `kind` of the answers to a test of clips.
ANSWERS_KIND = "dailytalk listening test answers"

#: `kind` of the key of a test of conversations in pairs.
PAIRS_KEY_KIND = "dailytalk paired listening test key"

#: `kind` of the answers to a test of conversations in pairs.
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
    rows: dict[str, dict[str, object]] = {}
    present: set[str | None] = {"other"}
    for row in items.listed():
        labels = row["labels"]
        if labels:
            kept: dict[str, object] = {column: labels[column] for column in _KEPT if column != "id"}
            rows[row["conversation_id"]] = {"id": row["conversation_id"], **kept}
            present.add(labels["emotion"])
    chosen = stratified_sample(tables_of(items).conversations, count, seed)
    if not chosen:
        raise DailytalkError(
            f"{as_text(folder)!r} has no finished clip with an emotion", "run `dailytalk corpus` to its end"
        )
    order = sorted(chosen, key=lambda name: order_key(f"order\0{name}", seed))
    # It identifies the test and does not reveal the names.
    test = hashlib.sha256(json.dumps([seed, order]).encode()).hexdigest()[:16]
    encoded = left_channels(items, order)
    emotions = [name for name in EMOTIONS if name in present]
    shown_clips: list[dict[str, str]] = []
    key_clips: dict[str, dict[str, object]] = {}
    for index, name in enumerate(order, 1):
        number = f"c{index:03d}"
        sound = base64.b64encode(encoded[name]).decode()
        shown_clips.append({"id": number, "sound": sound})
        key_clips[number] = rows[name]
    shown = {
        "kind": ANSWERS_KIND,
        "test": test,
        "emotions": emotions,
        "styles": list(STYLES),
        "clips": shown_clips,
    }
    key = {
        "kind": KEY_KIND,
        "test": test,
        "seed": seed,
        "emotions": emotions,
        "styles": list(STYLES),
        "clips": key_clips,
    }
    _write(page, shown, key)
    return len(order)


def _write(page: Path, shown: Mapping[str, object], key: Mapping[str, object]) -> None:
    write_text(key_path(page), json_document(key))
    write_text(page, rendered("listening.html", __package__, test=shown, package=__package__))


#: The least and the most seconds of an excerpt of a conversation.
EXCERPT = (4.0, 20.0)

#: The least and the most seconds of a resynthesised line for the question of its tag.
LINE_SECONDS = (0.8, 10.0)

#: Seconds of the pause around an excerpt that are played with it, at most.
MARGIN = 0.25


class Excerpt(NamedTuple):
    """A part of a conversation that begins and ends in a pause of both, in seconds of the rebuilt conversation
    (`start`, `end`) and of its part of the recording."""

    start: float
    end: float
    source_start: float
    source_end: float


class _Candidate(NamedTuple):
    """A conversation that may be in the test: its drawn order, its id, its excerpt and the lines to ask about."""

    order: str
    name: str
    excerpt: Excerpt
    lines: list[Utterance]


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
    clips: dict[str, dict[str, object]] = {}
    keys: dict[str, dict[str, object]] = {}
    names = sorted((candidate.name for candidate in chosen), key=lambda name: order_key(f"first\0{name}", seed))
    for index, candidate in enumerate(chosen, 1):
        number = f"p{index:03d}"
        name = candidate.name
        sounds = _pair(items, recordings, name, candidate.excerpt)
        recorded = "A"
        if names.index(name) % 2 == 1:  # of two pairs, one has the recording first
            recorded = "B"
            sounds.reverse()
        clips[number] = {"sounds": sounds}
        keys[number] = {"id": name, **candidate.excerpt._asdict(), "recorded": recorded}
    for question in _tag_questions(items, _lines_to_ask(chosen, seed), tags, seed):
        clips[question.number] = question.clip
        keys[question.number] = question.key
    test = hashlib.sha256(json.dumps([seed, keys], sort_keys=True).encode()).hexdigest()[:16]
    shown_clips = [{"id": number, **clip} for number, clip in clips.items()]
    shown = {"kind": PAIRS_ANSWERS_KIND, "test": test, "clips": shown_clips}
    key = {"kind": PAIRS_KEY_KIND, "test": test, "seed": seed, "clips": keys}
    _write(page, shown, key)
    return len(clips)


class _TagQuestion(NamedTuple):
    """A question of the tag of a line: its number, and what the page and the key have of it."""

    number: str
    clip: dict[str, object]
    key: dict[str, object]


#: Number of tags to choose from for a line, including its own.
OFFERED = 4


def _tag_questions(
    items: Items, lines: Iterable[tuple[str, Utterance]], tags: Set[str], seed: int
) -> Iterator[_TagQuestion]:
    """Questions of the tags of lines, each among others of `tags`, in alphabetical order."""
    for index, (name, line) in enumerate(lines, 1):
        tag = line.tag or ""
        order = {other: order_key(f"{line.id}\0{other}", seed) for other in tags - {tag}}
        others = sorted(order, key=order.__getitem__)
        choices = sorted([tag, *others[: OFFERED - 1]])
        if len(choices) < 2:
            continue
        sound = items.sound(name)
        rate = _mp3_rate(read_header(sound.audio).sample_rate)
        span = line.new_span
        assert span is not None
        samples = read_at(sound.audio, rate, sound.offset + span.start, span.end - span.start)
        clip: dict[str, object] = {"sound": _mp3(samples[:, 0], rate), "choices": choices}
        key: dict[str, object] = {
            "id": name,
            "utterance": line.id,
            "tag": line.tag,
            "choices": choices,
        }
        yield _TagQuestion(f"t{index:03d}", clip, key)


def _candidates(items: Items, seed: int, tags: set[str]) -> Iterator[_Candidate]:
    """The conversations with an excerpt; `tags` collects those of all resynthesised lines."""
    low, high = LINE_SECONDS
    for row in items.rows(SMALL):
        if row["problem"]:
            continue
        talk = from_finished(row)
        if talk.is_recorded:  # there are no two versions to compare
            continue
        lines: list[Utterance] = []
        for utterance in talk.utterances:
            tag = utterance.said_tag
            span = utterance.new_span
            if utterance.status == "spoken" and span is not None and tag:
                tags.add(tag)
                if low <= span.end - span.start <= high:
                    lines.append(utterance)
        keys = {excerpt: order_key(f"{talk.id}\0{excerpt}", seed) for excerpt in excerpts(talk.utterances)}
        if keys:
            excerpt = min(keys, key=keys.__getitem__)
            yield _Candidate(order_key(f"pair\0{talk.id}", seed), talk.id, excerpt, lines)


class _Border(NamedTuple):
    """A pause of both: from `end` of what is before it to `start` of what comes after, in seconds."""

    end: float
    start: float


def excerpts(utterances: Sequence[Utterance]) -> Iterator[Excerpt]:
    """The parts of a conversation of `EXCERPT` seconds in which both speak, recorded and rebuilt.

    Each begins and ends in a pause of both, in both versions; no utterance in it was dropped.
    """
    heard: list[tuple[Span, Utterance]] = []
    dropped: list[Span] = []
    for utterance in utterances:
        if not utterance.has_recorded_times:
            return
        span = utterance.new_span
        if span is None:
            dropped.append(utterance.span)
        else:
            heard.append((span, utterance))
    heard.sort(key=lambda pair: pair[0].start)
    rebuilt = _borders([span for span, _ in heard])
    recorded = _borders([utterance.span for _, utterance in heard])
    pauses: list[int] = []
    for index, border in enumerate(rebuilt):
        recorded_border = recorded[index]
        if border.start >= border.end and recorded_border.start >= recorded_border.end:
            pauses.append(index)
    least, most = EXCERPT
    for number, first in enumerate(pauses):
        for last in pauses[number + 1 :]:
            start, end = _between(rebuilt[first], rebuilt[last])
            source_start, source_end = _between(recorded[first], recorded[last])
            longer = max(end - start, source_end - source_start)
            shorter = min(end - start, source_end - source_start)
            if longer > most:
                break
            channels = {utterance.channel for _, utterance in heard[first:last]}
            lacks_some = any(span.start < source_end and span.end > source_start for span in dropped)
            if len(channels) == 2 and not lacks_some and shorter >= least:
                yield Excerpt(start, end, source_start, source_end)


def _borders(spans: Sequence[Span]) -> list[_Border]:
    """The borders before each utterance, and after the last: in a pause of both, `start` is not before `end`."""
    ends = [0.0, *accumulate((end for _, end in spans), max)]
    starts = [*accumulate((start for start, _ in reversed(spans)), min)]
    starts.reverse()
    starts.append(ends[-1] + 2 * MARGIN)
    return [_Border(end, start) for end, start in zip(ends, starts, strict=True)]


def _between(before: _Border, after: _Border) -> tuple[float, float]:
    """The start and the end of the excerpt between two pauses, with half of each, up to `MARGIN`."""
    start = max(before.start - MARGIN, (before.end + before.start) / 2)
    end = min(after.end + MARGIN, (after.end + after.start) / 2)
    return start, end


def _lines_to_ask(chosen: Sequence[_Candidate], seed: int) -> Iterator[tuple[str, Utterance]]:
    """A line of each conversation that has one, of the tag that was asked the least so far."""
    asked: Counter[str | None] = Counter()
    for candidate in chosen:
        if candidate.lines:
            line = min(candidate.lines, key=lambda line: (asked[line.tag], order_key(line.id, seed)))
            asked[line.tag] += 1
            yield candidate.name, line


def _pair(items: Items, recordings: Items, name: str, excerpt: Excerpt) -> list[str]:
    """The sound of an excerpt as it was recorded, and as it was rebuilt."""
    try:
        recorded = recordings.sound(name)
        rebuilt = items.sound(name)
        recorded_rate = read_header(recorded.audio).sample_rate
        rebuilt_rate = read_header(rebuilt.audio).sample_rate
        rate = _mp3_rate(min(recorded_rate, rebuilt_rate))
        return [
            _side(recorded, excerpt.source_start, excerpt.source_end, rate),
            _side(rebuilt, excerpt.start, excerpt.end, rate),
        ]
    except BadInput as error:
        raise DailytalkError(
            f"{name!r} can't be heard as it was recorded: {error.reason}",
            "make the test where the tagged recordings are, or put them back",
        ) from error


#: The loudness of both sides of a pair in LUFS: that of broadcasts (EBU R 128).
PAIR_LUFS = -23.0

#: The highest true peak of both sides of a pair in dBTP.
PAIR_PEAK = -1.0


def _side(sound: ItemSound, start: float, end: float, sample_rate: int) -> str:
    """One side of a pair: the mean of its channels, at the loudness of all."""
    both_channels = read_at(sound.audio, sample_rate, sound.offset + start, end - start)
    samples = both_channels.mean(axis=1)
    level = levelled(samples, sample_rate, PAIR_LUFS, PAIR_PEAK)
    return _mp3(level.samples if level else samples, sample_rate)


#: Sample rates that MP3 knows, in Hz.
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


def _mp3_rate(sample_rate: int) -> int:
    """The highest rate of MP3 that is not above a rate, or the lowest of all."""
    highest = max(sample_rate, _MP3_RATES[0])
    return max(rate for rate in _MP3_RATES if rate <= highest)


def _mp3(samples: Samples, sample_rate: int) -> str:
    return base64.b64encode(to_mp3(samples[:, np.newaxis], sample_rate)).decode()
