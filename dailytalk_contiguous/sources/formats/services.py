"""JSON of speech services and local recognisers: a table of shapes, and what makes records of any of them.

A shape is data. A new service is an entry in `SERVICES`, which says how a document of it is recognised, where its
items are, and what an item calls its text, its times and its speaker. Nothing else of a document is read, so what
it says of people (numbers, addresses, accounts) goes nowhere. Names of fields are those of the services' public
references.

**Paths** lead from a value to others: `results.channels[].words[0]` takes a key, every item of a list, and one
item of a list, `words[-1]` the last. `a|b` takes `a`, or `b` where there is no `a`; `=0` is the number 0.
"""

import itertools
import math
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote

from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.quotas import MOST_WORDS
from dailytalk_contiguous.sources.formats.private_names import shown_name
from dailytalk_contiguous.sources.formats.text_files import CLOCK, clock_seconds, letters_of

#: The field that holds the error in place of a record that can't be used; no file has a field of this name.
PROBLEM = "\0problem"

#: The errors of a record in which a value has another type than it should.
MISFITS = (ValueError, TypeError, KeyError, AttributeError, OverflowError)

#: Words of a service may be single items, or lie in phrases; some tools write either in the same shape.
Unit: TypeAlias = Literal["word", "phrase", "either"]

#: A record as `record_cues.cues_of` takes it.
ServiceRecord: TypeAlias = dict[str, Any]

_EACH = "[]"
_KIND = "type|Type"

#: Who speaks in records of voice agents. Their other roles are those of tools, prompts and actions.
_WHO_SPEAKS = ("agent", "assistant", "bot", "robot", "transfer_target", "user")


class Keys(NamedTuple):
    """Paths inside an item, empty for what it lacks.

    Without `start` an item begins where the one before it on its channel ended.
    """

    text: str
    start: str = "start"
    end: str = "end"
    duration: str = ""
    probability: str = ""


class Service(NamedTuple):
    """A shape of JSON.

    Attributes:
        name: the name of the service or the tool.
        marks: paths that a document of this shape has, and others have not.
        items: the path of its words or phrases.
        keys: paths inside an item.
        unit: `word` or `phrase`, which an item is, or `either`.
        words: the path of the words of a phrase.
        word_keys: paths inside such a word, where they are not those inside an item.
        pieces: whether these words are pieces of words, of which the first begins with a space.
        channel: the path of the number or the name of a channel, in the item or in what it lies in. `#channels` is
            the position in the list `channels`.
        first_channel: the number of the first channel.
        speaker: the path of a diariser's label or a name, in the item or in what it lies in; empty if it has none.
        labels: the path of items that name the speakers of others, of the same start.
        language: the path of the language, in the item or in what it lies in.
        recording: the path of the name of the recording, where a document may be about several.
        scale: seconds of a unit in which times are written.
        duration_scale: the same of durations, where they have another unit.
        clock: where times are times of day, the path of the one at which the recording begins, in the item or in
            what it lies in. Where it leads to none, the recording begins with its first item.
        spoken: values that items have which are spoken, by the path of each. An item without a value there is
            spoken; one without a text is not.
        open_ends: whether an end may be missing; it follows from the next starts (`_fill_ends`).
        repeats: whether the words of a diariser repeat all others.
        arrange: brings together what lies apart, for `items` to lead through. Raises `MISFITS`.
    """

    name: str
    marks: tuple[str, ...]
    items: str
    keys: Keys
    unit: Unit = "phrase"
    words: str = ""
    word_keys: Keys | None = None
    pieces: bool = False
    channel: str = ""
    first_channel: int = 0
    speaker: str = "speaker"
    labels: str = ""
    language: str = ""
    recording: str = ""
    scale: float = 1.0
    duration_scale: float | None = None
    clock: str | None = None
    spoken: Mapping[str, Sequence[str]] = {}
    open_ends: bool = False
    repeats: bool = False
    arrange: Callable[[Any], Any] | None = None


class ServiceItem(NamedTuple):
    """A value that a path leads to.

    Attributes:
        value: the value.
        holders: the values that it lies in, the innermost first.
        positions: its position in each list on the path, by the name of the list.
    """

    value: Any
    holders: tuple[Any, ...] = ()
    positions: Mapping[str, int] = {}


# Paths


@lru_cache(maxsize=1024)
def _steps(path: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[^.\[\]]+|\[-?\d*\]", path))


def _walk(
    item: ServiceItem, steps: Sequence[str], list_name: str = "", most: int | None = None
) -> Iterator[ServiceItem]:
    """Every value that is no null at the end of a path; of each list the first `most` items are looked at."""
    if item.value is None:
        return
    if not steps:
        yield item
        return
    step, *remaining = steps
    holders = (item.value, *item.holders)
    if not step.startswith("["):
        if isinstance(item.value, dict):
            inner = ServiceItem(item.value.get(step), holders, item.positions)
            yield from _walk(inner, remaining, step, most)
        return
    if not isinstance(item.value, list):
        return
    for position, value in enumerate(itertools.islice(item.value, most)):
        if step in (_EACH, f"[{position}]"):
            positions = {**item.positions, list_name: position}
            yield from _walk(ServiceItem(value, holders, positions), remaining, list_name, most)


def _items_at(document: Any, path: str) -> list[ServiceItem]:
    """Return the items that a path leads to, by the first of its alternatives that leads to any.

    Raises ValueError for more than a transcript can have.
    """
    for alternative in path.split("|"):
        walk = _walk(ServiceItem(document), _steps(alternative))
        items = list(itertools.islice(walk, MOST_WORDS + 1))
        if len(items) > MOST_WORDS:
            raise ValueError(f"it has more than {MOST_WORDS:,} words")
        if items:
            return items
    return []


#: Items of a list that are looked at for a field by which a shape is recognised.
_MOST_LOOKED_AT = 10_000


def _value_at(value: Any, path: str) -> Any:
    """Return the first value that a path leads to; None where there is none, or no path."""
    for alternative in path.split("|") if path else ():
        if alternative.startswith("="):
            return float(alternative[1:])
        if _EACH in alternative:
            values = _walk(ServiceItem(value), _steps(alternative), most=_MOST_LOOKED_AT)
            item = next(values, None)
            inner = item.value if item else None
        else:
            inner = _inner_value(value, _steps(alternative))
        if inner is not None:
            return inner
    return None


def _inner_value(value: Any, steps: Sequence[str]) -> Any:
    """Return the value at the end of a path without lists of many; it is called several times for each word."""
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.startswith("["):
            position = int(step[1:-1])
            value = value[position] if -len(value) <= position < len(value) else None
        else:
            return None
    return value


def _value_around(item: ServiceItem, path: str) -> Any:
    """Return the value that a path leads to from an item, or else from what it lies in."""
    if path.startswith("#"):
        return item.positions.get(path[1:])
    for holder in (item.value, *item.holders):
        value = _value_at(holder, path)
        if value is not None:
            return value
    return None


# Values

_ISO_DURATION = re.compile(r"PT(?:(\d{1,5})H)?(?:(\d{1,7})M)?(?:(\d{1,9}(?:\.\d{1,9})?)S)?")
_SECONDS = re.compile(r"(-?\d{1,12}(?:\.\d{1,12})?)(s?)")


def written_seconds(value: object, scale: float = 1.0) -> float | None:
    """Return a time in seconds; None for null. A text may say its unit itself: `1.2s`, `PT1M1.2S`, `00:00:01,200`.

    A date with a time, of UTC where it names no zone, is in seconds since 1970. Raises ValueError for anything
    else.

    >>> [written_seconds(time, scale=0.001) for time in (1200, "1200", "1.200s", "PT1M1.2S", "00:01,200")]
    [1.2, 1.2, 1.2, 61.2, 1.2]
    >>> written_seconds("2026-01-31T12:00:01.2Z") - written_seconds("2026-01-31T13:00:00+01:00")
    1.200000047683716
    """
    if value is None:
        return None
    if is_number(value):
        return round(value * scale, 6)
    text = value if isinstance(value, str) else ""
    number = _SECONDS.fullmatch(text)
    if number:
        unit = 1.0 if number[2] else scale
        return round(float(number[1]) * unit, 6)
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return zoned.timestamp()
    time = CLOCK.fullmatch(text) or _ISO_DURATION.fullmatch(text)
    if time is None or not any(time.groups()):
        raise ValueError(f"its time is {shown_name(value)}")
    return round(clock_seconds(time), 6)


def _text_of(value: Any, path: str) -> str | None:
    text = _value_at(value, path)
    if isinstance(text, list):
        text = " ".join(text)
    if text is not None and not isinstance(text, str):
        raise ValueError(f"its text is {shown_name(text)}")
    return text


#: Names of a speaker or a channel that the service does not know.
_NOBODY = ("", "?", "UU")

#: The longest name of a speaker or a channel.
_LONGEST_NAME = 1_000


def _name_of(value: object, what_it_is: str) -> str | None:
    """Return a number or a text as text; None for what names nobody."""
    if is_number(value) and value == int(value):
        return str(int(value))
    if value is not None and not isinstance(value, str):
        raise ValueError(f"its {what_it_is} is {shown_name(value)}")
    text = (value or "").strip()
    if len(text) > _LONGEST_NAME:  # one name may be copied to each of many items
        raise ValueError(f"its {what_it_is} is {shown_name(text)}")
    return None if text in _NOBODY else text


def _channel_of(item: ServiceItem, service: Service) -> str | None:
    """Return the channel of an item, counted from 0 (`ch0`), or the name that it has instead, such as a role."""
    name = _name_of(_value_around(item, service.channel), "channel")
    number = re.fullmatch(r"(?:ch|channel)?[ _-]?(\d{1,3})", name or "", re.IGNORECASE)
    if not number:
        return name
    index = int(number[1]) - service.first_channel
    return f"ch{index}" if index >= 0 else None


def _speaker_of(item: ServiceItem, service: Service) -> str | None:
    """Return the speaker of an item; a diariser's number or letter is no channel, and gets a noun."""
    name = _name_of(_value_around(item, service.speaker), "speaker")
    if name and re.fullmatch(r"\d{1,3}[A-Za-z]?|[A-Za-z]", name):
        return f"speaker {name}"
    return name


def _times_of(value: Any, keys: Keys, service: Service) -> tuple[float | None, float | None]:
    """Start and end of an item, each None where it has none."""
    start = written_seconds(_value_at(value, keys.start), service.scale)
    end = written_seconds(_value_at(value, keys.end), service.scale)
    duration = written_seconds(_value_at(value, keys.duration), service.duration_scale or service.scale)
    if end is None and start is not None and duration is not None:
        end = round(start + duration, 6)
    return start, end


# Records


def service_of(document: Any) -> tuple[Service, list[ServiceItem]] | None:
    """Return the shape of a document, and the items in it; None for a document of no service.

    The shape is the first that has items in it, or else the first whose marks it has. Raises ValueError for a
    document that is damaged.
    """
    matching = []
    for service in SERVICES:
        if all(_value_at(document, mark) is not None for mark in service.marks):
            matching.append(service)
    for service in matching:
        try:
            arranged = service.arrange(document) if service.arrange else document
            items = _items_at(arranged, service.items)
        except MISFITS as error:
            raise ValueError(f"as JSON of {service.name}: {error!r}") from error
        if items:
            return service, items
    return (matching[0], []) if matching else None


def is_named_in(text: str, service: Service) -> bool:
    """Whether a text that breaks off has names by which documents of a service are recognised.

    One mark of several names is enough, because others may have been behind the end.
    """
    n_present = 0
    for mark in service.marks:
        most_names = 0
        for path in mark.split("|"):
            names = [step for step in _steps(path) if not step.startswith("[")]
            if all(f'"{name}"' in text for name in names):
                most_names = max(most_names, len(names))
        if most_names > 1:
            return True
        n_present += most_names
    return n_present == len(service.marks)


def service_records(service: Service, items: Sequence[ServiceItem], document: Any) -> list[ServiceRecord]:
    """Return the records of the items of a document, in its order.

    In place of a record that can't be used there is one with the error as `PROBLEM`.
    """
    items = _spoken(items, service)
    if _are_words(items, service):
        records = _joined_words(items, service.keys, service)
    else:
        records = [_phrase_record(item, service) for item in items]
    if service.labels:
        _label(records, _items_at(document, service.labels), service)
    if service.repeats:
        records = _without_repeated(records)
    if service.clock is not None:
        _set_on_clock(records, items, service)
    if not service.keys.start or service.open_ends:
        _fill_starts(records)
    if service.open_ends:
        _fill_ends(records)
    kept = []
    for record in records:
        is_phrase = PROBLEM not in record and "word" not in record and not record["words"]
        # A result without a speaker, or with an empty text, says nothing; a speaker alone tells who speaks.
        content = record.get("text")
        if content is None:
            content = record.get("speaker")
        if not is_phrase or (content is not None and content.strip()):
            kept.append(record)
    return kept


def _spoken(items: Sequence[ServiceItem], service: Service) -> Sequence[ServiceItem]:
    """Return the items without those that are not spoken, by `Service.spoken`."""
    if not service.spoken:
        return items
    spoken: list[ServiceItem] = []
    for item in items:
        values = {path: _value_at(item.value, path) for path in service.spoken}
        is_other = any(value is not None and value not in service.spoken[path] for path, value in values.items())
        if not is_other and _value_at(item.value, service.keys.text) is not None:
            spoken.append(item)
    return spoken


#: The share of items of one word from which a list is one of words, not of phrases.
SHARE_OF_WORDS = 0.9


def _are_words(items: Sequence[ServiceItem], service: Service) -> bool:
    if service.unit != "either":
        return service.unit == "word"
    n_words = 0
    for item in items:
        if service.words and _value_at(item.value, service.words):
            return False
        text = _value_at(item.value, service.keys.text)
        n_words += isinstance(text, str) and len(text.split()) < 2
    return n_words >= SHARE_OF_WORDS * len(items)


def _facts(item: ServiceItem, service: Service) -> ServiceRecord:
    """Return the fields of a record besides its text and its times.

    A language is written with two letters (`en` for `en-US`); other languages are found in the texts.
    """
    language = _value_around(item, service.language)
    code = re.match(r"([a-z]{2})(?:$|[-_])", language) if isinstance(language, str) else None
    return {
        "channel": _channel_of(item, service),
        "speaker": _speaker_of(item, service),
        "language": code[1] if code else None,
    }


def _phrase_record(item: ServiceItem, service: Service) -> ServiceRecord:
    record: ServiceRecord = {"recording_id": _value_around(item, service.recording)}
    try:
        record |= _facts(item, service)
        start, end = _times_of(item.value, service.keys, service)
        record |= {"start": start, "end": end, "text": _text_of(item.value, service.keys.text)}
        record["words"] = _words_of_phrase(item, service) or None
        return record
    except MISFITS as error:
        return record | {PROBLEM: error.with_traceback(None)}


#: Pieces of a phrase that may be one word; more are a phrase in a script without spaces.
MOST_PIECES = 6


def _words_of_phrase(item: ServiceItem, service: Service) -> list[ServiceRecord]:
    if not service.words:
        return []
    items = _items_at(item.value, service.words)
    words = []
    for record in _joined_words(items, service.word_keys or service.keys, service):
        problem = record.get(PROBLEM)
        if problem:
            raise problem
        words.append({key: record[key] for key in ("word", "start", "end", "probability")})
    is_without_spaces = service.pieces and len(words) == 1 and len(items) > MOST_PIECES
    return [] if is_without_spaces else words


def _joined_words(items: Sequence[ServiceItem], keys: Keys, service: Service) -> list[ServiceRecord]:
    """Return a record for each word, with the punctuation behind it on its channel and its other pieces.

    A phrase among words, such as what a recogniser could not divide, is a record with a text.
    """
    words = _WordList(keys, service)
    words.joins_pieces = service.pieces and any(_begins_word(item, keys) for item in items)
    for item in items:
        try:
            words.add(item)
        except MISFITS as error:
            words.records.append({PROBLEM: error.with_traceback(None)})
    words.join()
    if service.unit == "either":
        for record in words.records:
            if len(record.get("word", "").split()) > 1:
                record |= {"text": record.pop("word"), "words": None}
    return words.records


#: Kinds of items: those that join the word before them, those that say nothing, and those that have no times.
_PUNCTUATION = ("punctuation", "punct")
_EMPTY_KINDS = ("spacing", "speaker_change", "channel_change")
_UNTIMED_KIND = "unknown"


class _WordList:
    """The words of a list that are read so far.

    Attributes:
        records: the records of the words; their texts are complete after `join`.
        pieces: the pieces of the text of each word, by the number of its record.
        latest: the number of the latest word of each channel, which punctuation and pieces join.
        opening: the signs before the next word, such as ¿.
        joins_pieces: whether an item without a space before it is a piece of the word before.
    """

    def __init__(self, keys: Keys, service: Service) -> None:
        self.keys = keys
        self.service = service
        self.records: list[ServiceRecord] = []
        self.pieces: dict[int, list[str]] = {}
        self.latest: dict[str | None, int] = {}
        self.opening: list[str] = []
        self.joins_pieces = False

    def add(self, item: ServiceItem) -> None:
        """Read an item. Raises `MISFITS`."""
        kind = _value_at(item.value, _KIND)
        text = _text_of(item.value, self.keys.text) or ""
        is_no_piece = self.service.pieces and (text.startswith("[_") or not text.strip())
        if kind in _EMPTY_KINDS or is_no_piece:
            return
        facts = _facts(item, self.service)
        number = self.latest.get(facts["channel"])
        if kind in _PUNCTUATION:
            if number is None or _value_at(item.value, "attaches_to") == "next":
                self.opening.append(text.strip())
            else:
                self.pieces[number].append(text.strip())
            return
        record = facts | _timed_word(item, self.keys, self.service)
        previous = None if number is None else self.records[number]
        if kind == _UNTIMED_KIND and record["start"] is None and previous is not None:
            record |= {"start": previous["end"], "end": previous["end"]}
        is_piece = self.joins_pieces and not _begins_word(item, self.keys)
        if number is not None and previous is not None and is_piece:
            self.pieces[number].append(record["word"])
            previous["end"] = record["end"]
            if previous["probability"] is not None and record["probability"] is not None:
                previous["probability"] = min(previous["probability"], record["probability"])
            return
        number = len(self.records)
        self.pieces[number] = [*self.opening, record["word"]]
        self.opening = []
        self.latest[facts["channel"]] = number
        self.records.append(record)

    def join(self) -> None:
        """Give each word its text."""
        for number, pieces in self.pieces.items():
            self.records[number]["word"] = "".join(pieces)


def _begins_word(item: ServiceItem, keys: Keys) -> bool:
    text = _value_at(item.value, keys.text)
    return isinstance(text, str) and text.startswith(" ")


def _timed_word(item: ServiceItem, keys: Keys, service: Service) -> ServiceRecord:
    """Return the text of a word, its times and its probability."""
    text = (_text_of(item.value, keys.text) or "").strip()
    if not text:
        raise ValueError("it has a word without a letter")
    start, end = _times_of(item.value, keys, service)
    probability = _value_at(item.value, keys.probability)
    if isinstance(probability, str) and _SECONDS.fullmatch(probability):
        probability = float(probability.rstrip("s"))  # some services write numbers as texts
    if not is_number(probability):
        probability = None
    return {"word": text, "start": start, "end": end, "probability": probability}


def _label(records: Iterable[ServiceRecord], labels: Iterable[ServiceItem], service: Service) -> None:
    """Give records without a speaker that of the label with the same start."""
    speakers: dict[float | None, str | None] = {}
    for item in labels:
        start, _ = _times_of(item.value, service.keys, service)
        speakers[start] = _speaker_of(item, service)
    for record in records:
        if PROBLEM not in record and record["speaker"] is None:
            record["speaker"] = speakers.get(record["start"])


def _without_repeated(records: list[ServiceRecord]) -> list[ServiceRecord]:
    """Only the records with speakers, if these are as many as the others and so repeat them; 0 is no speaker."""
    with_speakers = []
    for record in records:
        if record.get("speaker") == "speaker 0":
            record["speaker"] = None
        if PROBLEM in record or record["speaker"] is not None:
            with_speakers.append(record)
    return with_speakers if 2 * len(with_speakers) >= len(records) else records


#: Seconds by which a line may begin before its recording: the clock of a service may be one of whole seconds.
MOST_EARLY = 1.0


def _set_on_clock(records: Sequence[ServiceRecord], items: Sequence[ServiceItem], service: Service) -> None:
    """Times of day become seconds from the beginning of the recording."""
    usable = [record for record in records if PROBLEM not in record and record["start"] is not None]
    first_starts: dict[object, float] = {}
    for record in sorted(usable, key=itemgetter("start"), reverse=True):
        first_starts[record["recording_id"]] = record["start"]
    for record, item in zip(records, items, strict=True):
        if PROBLEM in record:
            continue
        begins = written_seconds(_value_around(item, service.clock or ""), service.scale)
        if begins is None:
            begins = first_starts.get(record["recording_id"], 0.0)
        for edge in ("start", "end"):
            time = record[edge]
            if time is not None:
                since = round(time - begins, 6)
                record[edge] = 0.0 if -MOST_EARLY <= since < 0 else since


def _fill_starts(records: Iterable[ServiceRecord]) -> None:
    """Phrases without starts begin where the one before on the same channel ended."""
    ends: dict[str | None, float] = {}
    for record in records:
        if PROBLEM in record:
            continue
        channel = record["channel"]
        if record["start"] is None:
            record["start"] = ends.get(channel, 0.0)
        ends[channel] = record["start"] if record["end"] is None else record["end"]


#: Seconds of a character, by which the end of a last phrase is estimated: 15 a second are usual in subtitles.
SECONDS_OF_CHARACTER = 1 / 15


def _fill_ends(records: Iterable[ServiceRecord]) -> None:
    """An end that is missing is the next start, or follows from the length of the text where that is later.

    A line ends no later than its speaker's next one begins, but may go on while another speaks.
    """
    timed = [record for record in records if PROBLEM not in record]
    timed.sort(key=itemgetter("start"))
    starts = [record["start"] for record in timed]
    starts_of_speakers: defaultdict[str | None, list[float]] = defaultdict(list)
    for record in timed:
        starts_of_speakers[record["speaker"]].append(record["start"])
    for record in timed:
        if record["end"] is None:
            start = record["start"]
            text = record.get("word") or record.get("text") or ""
            by_length = round(start + SECONDS_OF_CHARACTER * len(text), 3)
            following = _later_than(start, starts, by_length)
            own_following = _later_than(start, starts_of_speakers[record["speaker"]], math.inf)
            record["end"] = min(max(by_length, following), own_following)


def _later_than(time: float, starts: Sequence[float], otherwise: float) -> float:
    index = bisect_right(starts, time)
    return starts[index] if index < len(starts) else otherwise


# What lies apart


def _words_in_segments(document: Any) -> Any:
    """OpenAI's `verbose_json` with its words in its segments, whose texts have the punctuation, by their letters.

    Without segments where the two are not the same text, so that the words alone count.
    """
    words = iter(document["words"])
    segments = []
    for segment in document["segments"]:
        wanted = letters_of(segment["text"])
        dealt: list[dict[str, Any]] = []
        spelled = ""
        while len(spelled) < len(wanted):
            word = next(words, None)
            if word is None:
                return {}
            dealt.append(word)
            spelled += letters_of(word["word"])
        if spelled != wanted:
            return {}
        segments.append(segment | {"words": dealt})
    left_over = [word for word in words if letters_of(word["word"])]
    return {} if left_over else document | {"segments": segments}


def _with_words(document: Any) -> Any:
    """Google's results, unless some have a text whose words are in none of them.

    With a diariser, the words of all results may be in the last one alone.
    """
    results = document.get("results") or document["response"]["results"]
    wordless = []
    spelled = []
    for result in results:
        alternative = (result.get("alternatives") or [{}])[0]
        words = alternative.get("words") or []
        spelled += [letters_of(word.get("word") or "") for word in words]
        if not words:
            wordless.append(letters_of(alternative.get("transcript") or ""))
    is_whole = "".join(wordless) in "".join(spelled)
    return document if is_whole else {}


#: What Label Studio puts before the name of a file that is uploaded.
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")


def _regions(document: Any) -> Any:
    """Return Label Studio's regions: results of one id are the label, the text and the times of the same region.

    The first annotation of each task that was not cancelled counts.
    """
    tasks = document if isinstance(document, list) else [document]
    listed = []
    for task in tasks:
        name = unquote(str(_value_at(task, "data.audio|file_upload|data.audio_url") or ""))
        path, slash, file_name = name.rpartition("=")[2].rpartition("/")
        recording = path + slash + _UPLOADED.sub("", file_name)
        regions: dict[object, dict[str, Any]] = {}
        annotations = (item for item in task.get("annotations") or [] if not item.get("was_cancelled"))
        annotation: dict[str, Any] = next(annotations, {"result": []})
        for number, result in enumerate(annotation["result"]):
            region = regions.setdefault(result.get("id") or number, {"recording": recording})
            region.update(result.get("value") or {})
        listed += [region for region in regions.values() if "start" in region]
    return {"regions": listed}


# The table

_AZURE_BATCH = Keys(
    "nBest[0].display|nBest[0].lexical",
    "offset|offsetInTicks",
    end="",
    duration="duration|durationInTicks",
    probability="confidence",
)

#: Every shape that is read. Of one service's shapes, the first that has items counts.
SERVICES = (
    # developers.deepgram.com: Multichannel, Utterances.
    Service(
        "Deepgram",
        marks=("results.channels[].alternatives|results.utterances[].transcript",),
        items="results.channels[].alternatives[0].words[]",
        keys=Keys("punctuated_word|word", probability="confidence"),
        unit="word",
        channel="#channels",
        language="detected_language",
    ),
    Service(
        "Deepgram",
        marks=("results.utterances[].transcript",),
        items="results.utterances[]",
        keys=Keys("transcript"),
        words="words[]",
        word_keys=Keys("punctuated_word|word", probability="confidence"),
        channel="channel",
    ),
    # assemblyai.com/docs: Transcript; Multichannel transcription, whose channels are counted from 1.
    Service(
        "AssemblyAI",
        marks=("audio_url|audio_duration|acoustic_model|speech_model|speech_models", "utterances[].confidence"),
        items="utterances[]",
        keys=Keys("text", probability="confidence"),
        words="words[]",
        channel="channel",
        first_channel=1,
        language="language_code",
        scale=0.001,
    ),
    Service(
        "AssemblyAI",
        marks=("audio_url|audio_duration|acoustic_model|speech_model|speech_models", "words[].confidence"),
        items="words[]",
        keys=Keys("text", probability="confidence"),
        unit="word",
        channel="channel",
        first_channel=1,
        language="language_code",
        scale=0.001,
    ),
    # docs.aws.amazon.com/transcribe: Example channel identification output, Example diarization output.
    Service(
        "Amazon Transcribe",
        marks=("results.transcripts", "results.items|results.channel_labels.channels"),
        items="results.channel_labels.channels[].items[]|results.items[]",
        keys=Keys("alternatives[0].content", "start_time", "end_time", probability="alternatives[0].confidence"),
        unit="word",
        channel="channel_label",
        speaker="speaker_label",
        labels="results.speaker_labels.segments[].items[]",
        language="results.language_code",
    ),
    # docs.aws.amazon.com/connect: Contact Lens output files; /transcribe: Call Analytics output.
    Service(
        "Amazon Contact Lens",
        marks=("Transcript[].Content", "Transcript[].BeginOffsetMillis"),
        items="Transcript[]",
        keys=Keys("Content", "BeginOffsetMillis", "EndOffsetMillis", probability="Confidence"),
        words="Items[]",
        channel="ParticipantRole|ParticipantId",
        speaker="",
        language="LanguageCode",
        scale=0.001,
    ),
    # learn.microsoft.com/azure/ai-services/speech-service: Get batch transcription results.
    Service(
        "Azure batch transcription",
        marks=("recognizedPhrases",),
        items="recognizedPhrases[]",
        keys=_AZURE_BATCH,
        words="nBest[0].displayWords[]|nBest[0].words[]",
        word_keys=_AZURE_BATCH._replace(text="displayText|word"),
        channel="channel",
        language="locale",
        scale=1e-7,
    ),
    # The same, of its fast transcription.
    Service(
        "Azure fast transcription",
        marks=("phrases[].text", "phrases[].offsetMilliseconds|phrases[].offsetInMs|phrases[].offset"),
        items="phrases[]",
        keys=Keys(
            "text",
            "offsetMilliseconds|offsetInMs|offset",
            end="",
            duration="durationMilliseconds|durationInMs|duration",
        ),
        words="words[]",
        channel="channel",
        language="locale",
        scale=0.001,
    ),
    # cloud.google.com/speech-to-text: SpeechRecognitionResult, WordInfo of v1 and v2; zero is left out.
    Service(
        "Google Speech-to-Text",
        marks=(
            "results[].alternatives[].words|results[].resultEndTime|results[].resultEndOffset"
            "|results[].result_end_time|results[].result_end_offset|response.results[].alternatives",
        ),
        items="results[].alternatives[0].words[]|response.results[].alternatives[0].words[]",
        keys=Keys(
            "word",
            "startTime|startOffset|start_time|start_offset|=0",
            "endTime|endOffset|end_time|end_offset",
            probability="confidence",
        ),
        unit="word",
        channel="channelTag|channel_tag",
        first_channel=1,
        speaker="speakerLabel|speaker_label|speakerTag|speaker_tag",
        language="languageCode|language_code",
        repeats=True,
        arrange=_with_words,
    ),
    Service(
        "Google Speech-to-Text",
        marks=(
            "results[].resultEndTime|results[].resultEndOffset|results[].result_end_time"
            "|results[].result_end_offset|response.results[].resultEndTime",
        ),
        items="results[]|response.results[]",
        keys=Keys(
            "alternatives[0].transcript",
            start="",
            end="resultEndTime|resultEndOffset|result_end_time|result_end_offset",
        ),
        channel="channelTag|channel_tag",
        first_channel=1,
        speaker="",
        language="languageCode|language_code",
    ),
    # docs.speechmatics.com: Batch output, json-v2; its channels are called channel_1, channel_2.
    Service(
        "Speechmatics",
        marks=("results[].alternatives[].content", "results[].start_time"),
        items="results[]",
        keys=Keys("alternatives[0].content", "start_time", "end_time", probability="alternatives[0].confidence"),
        unit="word",
        channel="channel",
        first_channel=1,
        speaker="alternatives[0].speaker",
        language="alternatives[0].language|metadata.transcription_config.language",
    ),
    # elevenlabs.io/docs: Create transcript; the channels of several files are counted from 0.
    Service(
        "ElevenLabs",
        marks=("words[].type|transcripts[].words[].type", "language_code|transcripts[].language_code"),
        items="transcripts[].words[]|words[]",
        keys=Keys("text"),
        unit="word",
        channel="channel_index",
        speaker="speaker_id",
        language="language_code",
    ),
    # docs.rev.ai: Get transcript by ID; transcripts by people have `timestamp` and `end_timestamp`.
    Service(
        "Rev",
        marks=("monologues[].elements",),
        items="monologues[].elements[]",
        keys=Keys("value", "ts|timestamp", "end_ts|end_timestamp", probability="confidence"),
        unit="word",
    ),
    # twilio.com/docs/conversation-intelligence: Transcript Sentence.
    Service(
        "Twilio Voice Intelligence",
        marks=("sentences[].media_channel|sentences[].mediaChannel", "sentences[].transcript"),
        items="sentences[]",
        keys=Keys("transcript", "start_time|startTime", "end_time|endTime"),
        words="words[]",
        word_keys=Keys("word|text", "start_time|startTime", "end_time|endTime", probability="confidence"),
        channel="media_channel|mediaChannel",
        first_channel=1,
        speaker="",
    ),
    # github.com/Podcastindex-org/podcast-namespace: transcripts/transcripts.md.
    Service(
        "podcast-namespace",
        marks=("segments[].body", "segments[].startTime"),
        items="segments[]",
        keys=Keys("body", "startTime", "endTime"),
        unit="either",
    ),
    # docs.gladia.io: Pre-recorded, Get result.
    Service(
        "Gladia",
        marks=("transcription.utterances|result.transcription.utterances",),
        items="transcription.utterances[]|result.transcription.utterances[]",
        keys=Keys("text"),
        words="words[]",
        word_keys=Keys("word", probability="confidence"),
        channel="channel",
        language="language",
    ),
    # labelstud.io: Export annotations, JSON; templates of automatic speech recognition and of dialogues.
    Service(
        "Label Studio",
        marks=("[].annotations[].result|annotations[].result",),
        items="regions[]",
        keys=Keys("text"),
        channel="channel",
        speaker="labels[0]",
        recording="recording",
        arrange=_regions,
    ),
    # github.com/ggml-org/whisper.cpp: -oj and -ojf; the speakers of --diarize are the channels.
    Service(
        "whisper.cpp",
        marks=("transcription[].offsets",),
        items="transcription[]",
        keys=Keys("text", "offsets.from", "offsets.to", probability="p"),
        unit="either",
        words="tokens[]",
        pieces=True,
        channel="speaker",
        speaker="",
        language="result.language",
        scale=0.001,
    ),
    # huggingface.co/docs/transformers: pipelines; github.com/Vaibhavs10/insanely-fast-whisper adds `speakers`.
    Service(
        "Hugging Face pipelines",
        marks=("speakers[].timestamp",),
        items="speakers[]",
        keys=Keys("text", "timestamp[0]", "timestamp[1]"),
        unit="either",
        open_ends=True,
    ),
    Service(
        "Hugging Face pipelines",
        marks=("chunks[].timestamp",),
        items="chunks[]",
        keys=Keys("text", "timestamp[0]", "timestamp[1]"),
        unit="either",
        open_ends=True,
    ),
    # github.com/linto-ai/whisper-timestamped.
    Service(
        "whisper-timestamped",
        marks=("segments[].words[].text",),
        items="segments[]",
        keys=Keys("text", probability="confidence"),
        words="words[]",
        language="language",
    ),
    # platform.openai.com/docs: Create transcription, verbose_json with granularities of words and segments.
    Service(
        "OpenAI verbose_json",
        marks=("words[].word", "words[].start", "segments[].text"),
        items="segments[]",
        keys=Keys("text"),
        words="words[]",
        word_keys=Keys("word", probability="probability"),
        language="language",
        arrange=_words_in_segments,
    ),
    Service(
        "OpenAI verbose_json",
        marks=("words[].word", "words[].start"),
        items="words[]",
        keys=Keys("word", probability="probability|confidence"),
        unit="word",
        language="language",
    ),
    # github.com/alphacep/vosk-api: one document, one a line, or a list of them.
    Service(
        "Vosk",
        marks=(
            "result[].conf|[].result[].conf|alternatives[].result[].word|[].alternatives[].result[].word"
            "|result[].word|[].result[].word",
        ),
        items=("result[]|[].result[]|alternatives[0].result[]|[].alternatives[0].result[]"),
        keys=Keys("word", probability="conf"),
        unit="word",
    ),
    # docs.nvidia.com/nemo: timestamps of hypotheses, and the words of speech recognition with diarisation.
    Service(
        "NeMo",
        marks=("words[].word", "words[].start_time"),
        items="words[]",
        keys=Keys("word", "start_time", "end_time"),
        unit="word",
        speaker="speaker_label|speaker",
    ),
    Service(
        "NeMo",
        marks=("timestamp.word[].start|[].timestamp.word[].start",),
        items="timestamp.word[]|[].timestamp.word[]",
        keys=Keys("word"),
        unit="word",
        speaker="",
    ),
    # docs.retellai.com: Get Call, and its webhooks; a line of a JSONL of these is a call.
    Service(
        "Retell",
        marks=(
            "transcript_object[].content|call.transcript_object[].content|[].transcript_object[].content"
            "|[].call.transcript_object[].content",
        ),
        items="transcript_object[]|call.transcript_object[]|[].transcript_object[]|[].call.transcript_object[]",
        keys=Keys("content", "words[0].start", "words[-1].end"),
        words="words[]",
        word_keys=Keys("word"),
        speaker="role",
        recording="call_id",
        spoken={"role": _WHO_SPEAKS},
        open_ends=True,
    ),
    # docs.vapi.ai: Get Call, List Calls and the end-of-call report; a duration is in milliseconds.
    Service(
        "Vapi",
        marks=(
            "artifact.messages[].secondsFromStart|messages[].secondsFromStart"
            "|message.artifact.messages[].secondsFromStart|message.messages[].secondsFromStart"
            "|[].artifact.messages[].secondsFromStart|[].messages[].secondsFromStart",
        ),
        items=(
            "artifact.messages[]|messages[]|message.artifact.messages[]|message.messages[]"
            "|[].artifact.messages[]|[].messages[]"
        ),
        keys=Keys("message", "secondsFromStart", end="", duration="duration"),
        speaker="role",
        recording="call.id|id",
        duration_scale=0.001,
        spoken={"role": _WHO_SPEAKS},
        open_ends=True,
    ),
    # elevenlabs.io/docs/agents-platform: Get conversation details, and the webhook after a call. What is typed in
    # has the medium `text`.
    Service(
        "ElevenLabs Agents",
        marks=(
            "transcript[].time_in_call_secs|data.transcript[].time_in_call_secs"
            "|[].transcript[].time_in_call_secs|[].data.transcript[].time_in_call_secs",
        ),
        items="transcript[]|data.transcript[]|[].transcript[]|[].data.transcript[]",
        keys=Keys("message", "time_in_call_secs", end=""),
        speaker="role",
        recording="conversation_id",
        spoken={"role": _WHO_SPEAKS, "source_medium": ("audio",)},
        open_ends=True,
    ),
    # github.com/livekit/agents: voice/report.py, SessionReport, and llm/chat_context.py, ChatMessage.
    Service(
        "LiveKit Agents",
        marks=("chat_history.items[].type", "chat_history.items[].created_at"),
        items="chat_history.items[]",
        keys=Keys("content", "metrics.started_speaking_at|created_at", "metrics.stopped_speaking_at"),
        speaker="role",
        clock="audio_recording_started_at|started_at|chat_history.items[0].created_at",
        spoken={"type": ("message",), "role": _WHO_SPEAKS},
        open_ends=True,
    ),
    # docs.pipecat.ai: Saving Transcripts, a list or one message a line. A message is dated when its turn began.
    Service(
        "Pipecat",
        marks=(
            "[].timestamp|messages[].timestamp|transcript[].timestamp",
            "[].content|messages[].content|transcript[].content",
            "[].role|messages[].role|transcript[].role",
        ),
        items="messages[]|transcript[]|[]",
        keys=Keys("content", "timestamp", end=""),
        speaker="role",
        clock="",
        spoken={"role": _WHO_SPEAKS},
        open_ends=True,
    ),
    # docs.bland.ai: Call Details, and the webhook after a call.
    Service(
        "Bland",
        marks=("transcripts[].created_at|[].transcripts[].created_at", "transcripts[].user|[].transcripts[].user"),
        items="transcripts[]|[].transcripts[]",
        keys=Keys("text", "created_at", end=""),
        speaker="user",
        recording="call_id|c_id",
        clock="started_at",
        spoken={"user": _WHO_SPEAKS},
        open_ends=True,
    ),
)
