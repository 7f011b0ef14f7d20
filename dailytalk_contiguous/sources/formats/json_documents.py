"""Transcripts in JSON, a document or JSON Lines: `DOCUMENTS` is the table of their kinds, beside `SERVICES`."""

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.core.documents import parse_json, printable_path
from dailytalk_contiguous.core.errors import BadInput, TooLarge
from dailytalk_contiguous.core.quotas import MOST_RECORDS, Quota
from dailytalk_contiguous.core.records.schema import CHANNELS, MAIN
from dailytalk_contiguous.sources.formats.records import STYLE_TAG, TranscriptItem, TranscriptRecord, field_of
from dailytalk_contiguous.sources.formats.services import (
    MISFITS,
    PROBLEM,
    SERVICES,
    is_named_in,
    service_of,
    service_records,
)
from dailytalk_contiguous.sources.formats.text_files import DAMAGED_JSON, NO_TRANSCRIPT, UnknownKind, read_text

#: What a file about many recordings is called: of lhotse and NeMo cuts_supervisions_train.jsonl.gz, manifest.json,
#: of Label Studio project-1-at-2026-01-31-12-00-0a1b2c3d.json.
SHARED = re.compile(
    r".*(?:supervisions|manifest).*\.(?:json|jsonl|jsonl\.gz)|project-\d+-at-.*\.json", re.IGNORECASE
)

_JSON_REMEDY = "save the file again, or take it away"


class Document(NamedTuple):
    """A kind of JSON: its name, an example, and how it is recognised and read.

    Attributes:
        shape: an example, for errors.
        holder: the key of the list of items in an object.
        names: the keys that the first item of a list has.
        record: makes a record of an item; raises ValueError for an item that is none.
    """

    name: str
    shape: str
    holder: str = ""
    names: tuple[str, ...] = ()
    record: Callable[[Any], TranscriptItem] = dict

    def items(self, data: object) -> list[object] | None:
        """Return the items of a document of this kind; None for any other."""
        match data:
            case {self.holder: [*items]}:
                return items
            case [{**first}, *_] if self.names and first.keys() >= {*self.names}:
                return [*data]
        return None

    def is_named_in(self, text: str) -> bool:
        """Whether a text that is no JSON has the names by which this kind is recognised: it is a damaged one."""
        names = [self.holder] if self.holder else self.names
        return all(f'"{name}"' in text for name in names)


def _our_utterance(item: TranscriptItem) -> TranscriptItem:
    if item["channel"] not in CHANNELS:
        raise ValueError("its channel is not left or right")
    tag = item.get("tag")
    return {**item, STYLE_TAG: tag if isinstance(tag, str) and tag else None}


def _moshi_word(item: Any) -> TranscriptItem:
    """Return the record of a word of moshi-finetune, whose SPEAKER_MAIN is the speaker on the left channel."""
    word, (start, end), speaker = item
    side = "main" if speaker == MAIN else "other"
    return {"word": word, "start": start, "end": end, "speaker": side}


def _lhotse_supervision(item: TranscriptItem) -> TranscriptItem:
    """Return the record of a `SupervisionSegment`; its words have times of the recording, too."""
    record = {**item}
    channels = item.get("channel", 0)
    if not isinstance(channels, list):
        channels = [channels]
    record["channel"] = f"ch{channels[0]}" if len(channels) == 1 else None
    alignment = item.get("alignment") or {}
    names = ("word", "start", "duration", "probability")
    entries = alignment.get("word") or []
    words = [dict(zip(names, entry, strict=False)) for entry in entries]
    record["words"] = words or None
    return record


#: Every kind of JSON that is read, the most telling names first.
DOCUMENTS = (
    Document(
        "Seamless Interaction",
        '{"metadata:transcript": [{"transcript", "start", "end", "words"}, …]}',
        "metadata:transcript",
        record=lambda item: {**item, "text": item["transcript"]},
    ),
    Document(
        "lhotse supervisions",
        '{"recording_id", "start", "duration", "text"}',
        names=("recording_id", "start", "duration"),
        record=_lhotse_supervision,
    ),
    Document(
        "NeMo manifest",
        '{"audio_filepath", "offset", "duration", "text"}',
        names=("audio_filepath",),
        record=lambda item: {"offset": 0.0} | item,
    ),
    Document(
        "our own",
        '{"utterances": [{"channel", "start", "end", "text"}, …]}',
        "utterances",
        ("channel", "start", "end"),
        _our_utterance,
    ),
    Document(
        "moshi-finetune",
        '{"alignments": [[word, [start, end], speaker], …]}',
        "alignments",
        record=_moshi_word,
    ),
    Document("J-Moshi", '[{"speaker", "word", "start", "end"}, …]', names=("speaker", "word")),
    Document(
        "Whisper and WhisperX",
        '{"segments": [{"start", "end", "text"}, …]}',
        "segments",
        ("start", "end", "text"),
    ),
)


def json_records(path: Path) -> Iterator[TranscriptRecord]:
    """Yield the items of a JSON document or of JSON Lines, by what the first one is. NeMo calls its lines `.json`.

    Raises UnknownKind for what is no transcript, and BadInput for a damaged one.
    """
    text = read_text(path)
    title = f"transcript {printable_path(path)}"
    about: dict[str, object] = {}
    try:
        positions, data = _parsed(path, text, title)
    except BadInput as error:
        # A file that is empty, or no JSON at all, may have been a transcript.
        begins_as_json = text.lstrip().startswith(("{", "["))
        is_of_document = any(kind.is_named_in(text) for kind in DOCUMENTS)
        is_of_service = any(is_named_in(text, service) for service in SERVICES)
        if begins_as_json and not is_of_document and not is_of_service:
            raise UnknownKind(error.reason, _JSON_REMEDY, path, DAMAGED_JSON) from None
        raise
    if isinstance(data, dict):
        about["language"] = data.get("language")
    kinds = [kind for kind in DOCUMENTS if kind.items(data) is not None]
    # Lists may be long, and are known by their first item.
    records = None if kinds and isinstance(data, list) else _of_service(data, title)
    if records is not None:
        yield from records
        return
    if not kinds:
        if data == [] or SHARED.fullmatch(path.name):
            return
        shapes = "; ".join(f"{kind.name}: {kind.shape}" for kind in DOCUMENTS)
        names = ", ".join(dict.fromkeys(service.name for service in SERVICES))
        remedy = f"give one ({shapes}; the JSON of {names}), or take the file away"
        raise UnknownKind(f"{title}: is not a known kind of transcript", remedy, path, NO_TRANSCRIPT)
    kind = kinds[0]
    items = kind.items(data) or []
    quota = Quota(title, MOST_RECORDS, "records", "save its parts in files of their own")
    quota.take(len(items))
    for position, item in zip(positions, items, strict=False):
        try:
            record = about | {**kind.record(item)}
            texts = [field_of(record, field) for field in ("text", "word", "words")]
            if texts == [None, None, None]:
                raise ValueError("it has no text")
        except MISFITS as error:  # in a file of many recordings it concerns one of them
            recording = field_of(item, "recording") if isinstance(item, dict) else None
            record = {"recording_id": recording, PROBLEM: error.with_traceback(None)}
        yield position, record


def _parsed(path: Path, text: str, title: str) -> tuple[Iterable[str], Any]:
    """Parse the items of a file, with their positions. Raises BadInput."""
    if path.suffix.lower() == ".json" and '"audio_filepath"' not in text.lstrip().partition("\n")[0]:
        positions = map("item {}".format, itertools.count(1))
        try:
            return positions, parse_json(text, title, nan=True)
        except TooLarge:
            raise
        except BadInput:
            documents = _documents(text)
            if not documents:
                raise
        return positions, [parse_json(document, title, nan=True) for document in documents]
    quota = Quota(title, MOST_RECORDS, "records", "save its parts in files of their own")
    quota.take(text.count("\n"))
    numbered = enumerate(text.split("\n"), 1)
    lines = {f"line {number}": line for number, line in numbered if line.strip()}
    return lines, [parse_json(line, f"{title}: {position}", nan=True) for position, line in lines.items()]


#: What may stand between two documents of JSON.
_SPACE = re.compile(r"\s*+")


def _documents(text: str) -> list[str]:
    """Return the documents of a text, one after the other, as tools for Vosk write them; none if one is broken."""
    decoder = json.JSONDecoder()
    documents: list[str] = []
    start = 0
    while start < len(text):
        try:
            document, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            return []
        if not isinstance(document, dict) or len(documents) == MOST_RECORDS:
            return []
        documents.append(text[start:end])
        space = _SPACE.match(text, end)
        start = space.end() if space else end
    return documents


def _of_service(data: object, title: str) -> list[TranscriptRecord] | None:
    """Return the records of a document of a service, with their positions; None for any other. Raises BadInput."""
    try:
        recognised = service_of(data)
    except ValueError as error:
        raise BadInput(f"{title}: can't be used ({error})", _JSON_REMEDY) from None
    if recognised is None:
        return None
    service, items = recognised
    records = service_records(service, items, data)
    return [(f"item {number}", record) for number, record in enumerate(records, 1)]


def is_transcript(content: bytes) -> bool:
    """Whether JSON is of a kind of transcript that is read."""
    try:
        data = parse_json(content, "", nan=True)
        is_of_service = service_of(data) is not None
    except (BadInput, ValueError):  # a damaged one, which is named where it is read
        return True
    return is_of_service or any(kind.items(data) is not None for kind in DOCUMENTS)
