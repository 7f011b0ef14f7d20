"""JSON of speech services and local recognisers: a table of shapes, and what makes records of any of them.

A shape is data. A new service is an entry in `SERVICES`, which says how a document of it is recognised, where its
items are, and what an item calls its text, its times and its speaker. Nothing else of a document is read, so what
it says of people (numbers, addresses, accounts) goes nowhere. Names of fields are those of the services' public
references.

**Paths** lead from a value to others: `results.channels[].words[0]` takes a key, every item of a list, and one
item of a list. `a|b` takes `a`, or `b` where there is no `a`; `=0` is the number 0.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote

from dailytalk_contiguous.core.documents import is_number, quoted

#: The field that holds the error in place of a record that can't be used; no file has a field of this name.
PROBLEM = "\0problem"

#: The errors of a record in which a value has another type than it should.
MISFITS = (ValueError, TypeError, KeyError, AttributeError, OverflowError)

#: Words of a service may be single items, or lie in phrases; some tools write either in the same shape.
Unit: TypeAlias = Literal["word", "phrase", "either"]

#: A record as `transcript_formats.cues_of` takes it.
ServiceRecord: TypeAlias = dict[str, Any]

#: The share of items of one word from which a list is one of words, not of phrases.
SHARE_OF_WORDS = 0.9

#: Seconds of a character, by which the end of a last phrase is estimated: 15 a second are usual in subtitles.
SECONDS_OF_CHARACTER = 1 / 15

#: Kinds of items: those that join the word before them, those that say nothing, and those that have no times.
_PUNCTUATION = ("punctuation", "punct")
_EMPTY_KINDS = ("spacing", "speaker_change", "channel_change")
_UNTIMED_KIND = "unknown"

#: What stands for a speaker or a channel that the service does not know.
_NOBODY = ("", "?", "UU")

#: The longest text of a time.
_LONGEST_TIME = 40

_EACH = "[]"
_KIND = "type|Type"


class Keys(NamedTuple):
    """Paths inside an item. Without `start` an item begins where the one before it on its channel ended."""

    text: str
    start: str = ""
    end: str = ""
    duration: str = ""
    probability: str = ""


def _as_it_is(document: Any) -> Any:
    return document


class Service(NamedTuple):
    """A shape of JSON.

    Attributes:
        name: of the service or the tool.
        marks: paths that a document of this shape has, and others have not.
        items: the path of its words or phrases.
        keys: paths inside an item.
        unit: what the items are.
        words: the path of the words of a phrase.
        word_keys: paths inside such a word.
        pieces: whether these words are pieces of words, of which the first begins with a space.
        channel: the path of the number or the name of a channel, in the item or in what it lies in. `#channels` is
            the position in the list `channels`.
        first_channel: the number of the first channel.
        speaker: the path of a diariser's label or a name, in the item or in what it lies in.
        labels: the path of items that name the speakers of others, of the same start.
        language: the path of the language, in the item or in what it lies in.
        recording: the path of the name of the recording, where a document may be about several.
        scale: seconds of a unit in which times are written.
        open_ends: whether an end may be missing; it is the start of the next item.
        repeats: whether the words of a diariser repeat all others.
        arrange: brings together what lies apart: the document that `items` leads through. Raises `MISFITS`.
    """

    name: str
    marks: tuple[str, ...]
    items: str
    keys: Keys
    unit: Unit = "phrase"
    words: str = ""
    word_keys: Keys = Keys("")
    pieces: bool = False
    channel: str = ""
    first_channel: int = 0
    speaker: str = ""
    labels: str = ""
    language: str = ""
    recording: str = ""
    scale: float = 1.0
    open_ends: bool = False
    repeats: bool = False
    arrange: Callable[[Any], Any] = _as_it_is


class Item(NamedTuple):
    """A value that a path leads to.

    Attributes:
        value: the value.
        holders: what it lies in, the innermost first.
        positions: its position in each list on the path, by the name of the list.
    """

    value: Any
    holders: tuple[Any, ...] = ()
    positions: Mapping[str, int] = {}


# Paths


@lru_cache(maxsize=1024)
def _steps(path: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[^.\[\]]+|\[\d*\]", path))


def _walk(item: Item, steps: Sequence[str], list_name: str = "") -> Iterator[Item]:
    """Every value that is no null at the end of a path."""
    if item.value is None:
        return
    if not steps:
        yield item
        return
    step, *remaining = steps
    holders = (item.value, *item.holders)
    if not step.startswith("["):
        if isinstance(item.value, dict):
            inner = Item(item.value.get(step), holders, item.positions)
            yield from _walk(inner, remaining, step)
        return
    if not isinstance(item.value, list):
        return
    for position, value in enumerate(item.value):
        if step in (_EACH, f"[{position}]"):
            positions = {**item.positions, list_name: position}
            yield from _walk(Item(value, holders, positions), remaining, list_name)


def _items_at(document: Any, path: str) -> list[Item]:
    """The items that a path leads to, by the first of its alternatives that leads to any."""
    for alternative in path.split("|"):
        items = list(_walk(Item(document), _steps(alternative)))
        if items:
            return items
    return []


def _value_at(value: Any, path: str) -> Any:
    """The first value that a path leads to; None where there is none."""
    for alternative in path.split("|"):
        if alternative.startswith("="):
            return float(alternative[1:])
        item = next(_walk(Item(value), _steps(alternative)), None)
        if item is not None:
            return item.value
    return None


def _value_around(item: Item, path: str) -> Any:
    """The value that a path leads to from an item, or else from what it lies in."""
    if path.startswith("#"):
        return item.positions.get(path[1:])
    if not path:
        return None
    for holder in (item.value, *item.holders):
        value = _value_at(holder, path)
        if value is not None:
            return value
    return None


# Values

_CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2}(?:[.,]\d{1,9})?)")
_ISO_DURATION = re.compile(r"PT(?:(\d{1,5})H)?(?:(\d{1,7})M)?(?:(\d{1,9}(?:\.\d{1,9})?)S)?")
_SECONDS = re.compile(r"(-?\d{1,12}(?:\.\d{1,12})?)(s?)")


def seconds_of(value: object, scale: float = 1.0) -> float | None:
    """A time in seconds; None for null. A text may say its unit itself: `1.2s`, `PT1M1.2S`, `00:00:01,200`.

    Raises ValueError for anything else.

    >>> seconds_of(1200, 0.001), seconds_of("1.200s", 0.001), seconds_of("PT1M1.2S"), seconds_of("00:01,200")
    (1.2, 1.2, 61.2, 1.2)
    """
    if value is None:
        return None
    if is_number(value):
        return round(value * scale, 6)
    text = value if isinstance(value, str) and len(value) <= _LONGEST_TIME else ""
    number = _SECONDS.fullmatch(text)
    if number:
        unit = 1.0 if number[2] else scale
        return round(float(number[1]) * unit, 6)
    parts = _CLOCK.fullmatch(text) or _ISO_DURATION.fullmatch(text)
    if parts is None or not any(parts.groups()):
        raise ValueError(f"its time is {quoted(value)}")
    hours, minutes, seconds = [float((part or "0").replace(",", ".")) for part in parts.groups()]
    return round(3600 * hours + 60 * minutes + seconds, 6)


def _number_of(value: object) -> float | None:
    """A number, which some services write as a text; None for what is none."""
    if isinstance(value, str) and _SECONDS.fullmatch(value):
        return float(value.rstrip("s"))
    return value if is_number(value) else None


def _text_of(value: Any, path: str) -> str | None:
    text = _value_at(value, path)
    if isinstance(text, list):
        text = " ".join(text)
    if text is not None and not isinstance(text, str):
        raise ValueError(f"its text is {quoted(text)}")
    return text


def _name_of(value: object, what_it_is: str) -> str | None:
    """A number or a text as text; None for what names nobody."""
    if is_number(value) and value == int(value):
        return str(int(value))
    if value is not None and not isinstance(value, str):
        raise ValueError(f"its {what_it_is} is {quoted(value)}")
    text = (value or "").strip()
    return None if text in _NOBODY else text


def _channel_of(item: Item, service: Service) -> str | None:
    """The channel of an item, counted from 0 (`ch0`), or the name that it has instead, such as that of a role."""
    name = _name_of(_value_around(item, service.channel), "channel")
    number = re.fullmatch(r"(?:ch|channel)?[ _-]?(\d{1,3})", name or "", re.IGNORECASE)
    if not number:
        return name
    index = int(number[1]) - service.first_channel
    return f"ch{index}" if index >= 0 else None


def _speaker_of(item: Item, service: Service) -> str | None:
    """The speaker of an item; a diariser's number or letter is no channel, and gets a noun."""
    name = _name_of(_value_around(item, service.speaker), "speaker")
    if name and re.fullmatch(r"\d{1,3}[A-Za-z]?|[A-Za-z]", name):
        return f"speaker {name}"
    return name


def _language_of(item: Item, service: Service) -> str | None:
    """The two letters of a language, of `en-US`, too; others are found in the texts."""
    language = _value_around(item, service.language)
    code = re.match(r"([a-z]{2})(?:$|[-_])", language) if isinstance(language, str) else None
    return code[1] if code else None


def _times_of(value: Any, keys: Keys, scale: float) -> tuple[float | None, float | None]:
    """Start and end of an item, each None where it has none."""
    start = seconds_of(_value_at(value, keys.start), scale) if keys.start else None
    end = seconds_of(_value_at(value, keys.end), scale) if keys.end else None
    duration = seconds_of(_value_at(value, keys.duration), scale) if keys.duration else None
    if end is None and start is not None and duration is not None:
        end = round(start + duration, 6)
    return start, end


# Records


def service_of(document: Any) -> Service | None:
    """The shape of a document: the first that has items in it, or else the first whose marks it has."""
    matching = []
    for service in SERVICES:
        if all(_value_at(document, mark) is not None for mark in service.marks):
            matching.append(service)
    for service in matching:
        try:
            items = _items_at(service.arrange(document), service.items)
        except MISFITS:
            return service
        if items:
            return service
    return matching[0] if matching else None


def is_named_in(text: str, service: Service) -> bool:
    """Whether a text has the names by which documents of a service are recognised."""
    for mark in service.marks:
        alternatives = [_names_in(path) for path in mark.split("|")]
        if not any(all(f'"{name}"' in text for name in names) for names in alternatives):
            return False
    return True


def _names_in(path: str) -> list[str]:
    return [step for step in _steps(path) if not step.startswith("[")]


def service_records(service: Service, document: Any) -> Iterator[ServiceRecord]:
    """The records of a document of a service, in its order.

    In place of a record that can't be used there is one with the error as `PROBLEM`. Raises `MISFITS`.
    """
    items = _items_at(service.arrange(document), service.items)
    if _are_words(items, service):
        records = _word_records(items, service)
    else:
        records = [_phrase_record(item, service) for item in items]
    if service.labels:
        _label(records, _items_at(document, service.labels), service)
    if service.repeats:
        records = _without_repeated(records)
    _fill_starts(records)
    if service.open_ends:
        _fill_ends(records)
    for record in records:
        if not _is_empty(record):
            yield record


def _are_words(items: Sequence[Item], service: Service) -> bool:
    if service.unit != "either":
        return service.unit == "word"
    n_words = 0
    for item in items:
        if service.words and _value_at(item.value, service.words):
            return False
        text = _value_at(item.value, service.keys.text)
        n_words += isinstance(text, str) and len(text.split()) < 2
    return n_words >= SHARE_OF_WORDS * len(items)


def _is_empty(record: ServiceRecord) -> bool:
    """Whether a phrase says nothing: some services have results without a text."""
    if PROBLEM in record or "word" in record:
        return False
    has_text = bool(record.get("text")) or bool(record.get("words"))
    return not has_text and record.get("speaker") is None


def _facts(item: Item, service: Service) -> ServiceRecord:
    """What a record has besides its text and its times."""
    facts: ServiceRecord = {
        "channel": _channel_of(item, service),
        "speaker": _speaker_of(item, service),
        "language": _language_of(item, service),
    }
    if service.recording:
        facts["recording_id"] = _value_around(item, service.recording)
    return facts


def _phrase_record(item: Item, service: Service) -> ServiceRecord:
    record: ServiceRecord = {}
    if service.recording:
        record["recording_id"] = _value_around(item, service.recording)
    try:
        start, end = _times_of(item.value, service.keys, service.scale)
        words = _words_of_phrase(item, service)
        if words and not service.keys.start:
            start = words[0]["start"]
        if words and end is None:
            end = words[-1]["end"]
        record |= _facts(item, service)
        record |= {"start": start, "end": end, "text": _text_of(item.value, service.keys.text)}
        record["words"] = words or None
        return record
    except MISFITS as error:
        return record | {PROBLEM: error}


def _words_of_phrase(item: Item, service: Service) -> list[ServiceRecord]:
    if not service.words:
        return []
    items = _items_at(item.value, service.words)
    if service.pieces:
        return _joined_pieces(items, service)
    words = []
    for record in _joined_punctuation(items, service.word_keys, service):
        problem = record.get(PROBLEM)
        if problem:
            raise problem
        words.append({key: record[key] for key in ("word", "start", "end", "probability")})
    return words


def _word_records(items: Sequence[Item], service: Service) -> list[ServiceRecord]:
    records = _joined_punctuation(items, service.keys, service)
    if service.unit == "either":
        for record in records:
            # A phrase among words, such as what a recogniser could not divide.
            if len(record.get("word", "").split()) > 1:
                record["text"] = record.pop("word")
    return records


def _joined_punctuation(items: Iterable[Item], keys: Keys, service: Service) -> list[ServiceRecord]:
    """A record a word, with the punctuation behind it on its channel, and with what stands before it (¿)."""
    records: list[ServiceRecord] = []
    latest: dict[str | None, ServiceRecord] = {}
    before = ""
    for item in items:
        try:
            kind = _value_at(item.value, _KIND)
            if kind in _EMPTY_KINDS:
                continue
            text = (_text_of(item.value, keys.text) or "").strip()
            facts = _facts(item, service)
            previous = latest.get(facts["channel"])
            if kind in _PUNCTUATION:
                is_behind = previous is not None and _value_at(item.value, "attaches_to") != "next"
                if previous is not None and is_behind:
                    previous["word"] += text
                else:
                    before += text
                continue
            if not text:
                raise ValueError("it has a word without a letter")
            start, end = _times_of(item.value, keys, service.scale)
            if kind == _UNTIMED_KIND and start is None and previous is not None:
                start = end = previous["end"]
            probability = _number_of(_value_at(item.value, keys.probability))
            word = {"word": before + text, "start": start, "end": end, "probability": probability}
            record = facts | word
            before = ""
            latest[facts["channel"]] = record
        except MISFITS as error:
            record = {PROBLEM: error}
        records.append(record)
    return records


def _joined_pieces(items: Iterable[Item], service: Service) -> list[ServiceRecord]:
    """The words of a recogniser's tokens: one with a space before it begins a word; `[_BEG_]` is none."""
    words: list[ServiceRecord] = []
    for item in items:
        text = _text_of(item.value, service.word_keys.text) or ""
        if text.startswith("[_") or not text.strip():
            continue
        start, end = _times_of(item.value, service.word_keys, service.scale)
        probability = _number_of(_value_at(item.value, service.word_keys.probability))
        if not words or text.startswith(" "):
            words.append({"word": text.strip(), "start": start, "end": end, "probability": probability})
            continue
        word = words[-1]
        word["word"] += text.strip()
        word["end"] = end
        if word["probability"] is not None and probability is not None:
            word["probability"] = min(word["probability"], probability)
    return words


def _label(records: Iterable[ServiceRecord], labels: Iterable[Item], service: Service) -> None:
    """Give records without a speaker that of the label with the same start."""
    speakers: dict[float | None, str | None] = {}
    for item in labels:
        start, _ = _times_of(item.value, service.keys, service.scale)
        speakers[start] = _speaker_of(item, service)
    for record in records:
        if PROBLEM not in record and record["speaker"] is None:
            record["speaker"] = speakers.get(record["start"])


def _without_repeated(records: list[ServiceRecord]) -> list[ServiceRecord]:
    """Only the records with speakers, if these are as many as the others and thus repeat them."""
    with_speakers = [record for record in records if record.get("speaker") is not None or PROBLEM in record]
    if 2 * len(with_speakers) >= len(records) and with_speakers:
        return with_speakers
    return records


def _fill_starts(records: Iterable[ServiceRecord]) -> None:
    """A phrase without a start begins where the one before it on its channel ended."""
    ends: dict[str | None, float] = {}
    for record in records:
        if PROBLEM in record:
            continue
        channel = record["channel"]
        if record["start"] is None and "word" not in record and record["end"] is not None:
            record["start"] = ends.get(channel, 0.0)
        if record["end"] is not None:
            ends[channel] = record["end"]


def _fill_ends(records: Sequence[ServiceRecord]) -> None:
    """An end that is missing is the next start, or follows from the length of the text if that is no later."""
    timed = [record for record in records if PROBLEM not in record]
    for number, record in enumerate(timed):
        start = record["start"]
        if record["end"] is not None or start is None:
            continue
        text = record.get("word") or record.get("text") or ""
        end = round(start + SECONDS_OF_CHARACTER * len(text), 3)
        following = timed[number + 1]["start"] if number + 1 < len(timed) else None
        if following is not None and following > start:
            end = following
        record["end"] = end


# What lies apart


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()


def _words_in_segments(document: Any) -> Any:
    """OpenAI's `verbose_json` with its words in its segments, by their letters, in the segments' spelling.

    Without segments where the two are not the same text, so that the words count.
    """
    words = iter(document["words"])
    segments = []
    for segment in document["segments"]:
        wanted = _letters(segment["text"])
        dealt: list[dict[str, Any]] = []
        spelled = ""
        while len(spelled) < len(wanted):
            word = next(words, None)
            if word is None:
                return {}
            dealt.append(word)
            spelled += _letters(word["word"])
        if spelled != wanted:
            return {}
        tokens = segment["text"].split()
        is_same = [_letters(token) for token in tokens] == [_letters(word["word"]) for word in dealt]
        if is_same:
            dealt = [word | {"word": token} for word, token in zip(dealt, tokens, strict=True)]
        segments.append(segment | {"words": dealt})
    left_over = [word for word in words if _letters(word["word"])]
    return {} if left_over else document | {"segments": segments}


#: What Label Studio puts before the name of a file that is uploaded.
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")


def _regions(document: Any) -> Any:
    """Label Studio's regions: results of one id are the label, the text and the times of the same region."""
    tasks = document if isinstance(document, list) else [document]
    listed = []
    for task in tasks:
        name = unquote(str(_value_at(task, "data.audio|file_upload|data.audio_url") or ""))
        path, slash, file_name = name.rpartition("=")[2].rpartition("/")
        recording = path + slash + _UPLOADED.sub("", file_name)
        regions: dict[object, dict[str, Any]] = {}
        for number, result in enumerate(_chosen_annotation(task)):
            region = regions.setdefault(result.get("id") or number, {"recording": recording})
            region.update(result.get("value") or {})
        listed += [region for region in regions.values() if "start" in region]
    return {"regions": listed}


def _chosen_annotation(task: Mapping[str, Any]) -> list[Any]:
    """The results of the first annotation of a task that was not cancelled."""
    for annotation in task["annotations"]:
        if not annotation.get("was_cancelled"):
            return [*annotation["result"]]
    return []


# The table

_START_END = Keys("text", "start", "end", probability="confidence")
_GOOGLE_END = "resultEndTime|resultEndOffset|result_end_time|result_end_offset"

#: Every shape that is read. Of one service's shapes, the first that has items counts.
SERVICES = (
    # developers.deepgram.com: Multichannel, Utterances.
    Service(
        "Deepgram",
        marks=("results.channels[].alternatives|results.utterances[].transcript",),
        items="results.channels[].alternatives[0].words[]",
        keys=Keys("punctuated_word|word", "start", "end", probability="confidence"),
        unit="word",
        channel="#channels",
        speaker="speaker",
        language="detected_language",
    ),
    Service(
        "Deepgram",
        marks=("results.utterances[].transcript",),
        items="results.utterances[]",
        keys=Keys("transcript", "start", "end"),
        words="words[]",
        word_keys=Keys("punctuated_word|word", "start", "end", probability="confidence"),
        channel="channel",
        speaker="speaker",
    ),
)
