"""What a line of a transcript has to be, whoever wrote or edited it.

People break lines in every way: a comma too many, a time that is text, a list where an object was. Each is found
here, and told in words that lead to it, before anything is made of the line.
"""

from typing import Any

from dailytalk_contiguous.core.documents import is_number, quoted
from dailytalk_contiguous.core.schema import CHANNELS

#: Fields that a line may leave out, and what they hold: text, or an object of texts or of numbers.
_TEXTS = ("conversation_id", "utterance_id", "speaker", "text_raw", "text_reason", "rule", "kind", "language")
_NUMBER = ("confidence", "context_seconds")
_NUMBERS, _OBJECTS = ("vad", "features"), ("vad_bucket", "prosody_bucket", "models")

#: Largest measure that a 32-bit column holds.
_LARGEST = 3.4e38

#: Characters of the text of one utterance; half an hour of speech has fewer.
_LONGEST = 20_000

#: Seconds; no recording lasts so long.
LATEST = 1e9


def checked(line: dict[str, Any]) -> dict[str, Any]:
    """The line, if it can be meant; raises ValueError, with what is wrong, if not."""
    for name in ("audio_file", "channel", "text", "tag"):
        if not isinstance(line.get(name), str):
            raise ValueError(f"{name} is missing or no text")
    if line["channel"] not in CHANNELS:
        raise ValueError(f"channel is {quoted(line['channel'])}, not left or right")
    for name in ("start", "end"):
        if not is_number(line.get(name), 0, LATEST):
            raise ValueError(f"{name} is {quoted(line.get(name))}, not a number of seconds from 0")
    if line["end"] <= line["start"]:
        raise ValueError(f"it ends at {line['end']} s, not after its start at {line['start']} s")
    for name in _TEXTS:
        if not isinstance(line.get(name) or "", str):
            raise ValueError(f"{name} is {quoted(line[name])}, no text")
    for name in _NUMBER:
        if not (line.get(name) is None or _is_measure(line[name])):
            raise ValueError(f"{name} is {quoted(line[name])}, no number")
    for name in ("text", "text_raw", "tag", "audio_file", *_TEXTS):
        if len(line.get(name) or "") > _LONGEST:
            raise ValueError(f"{name} has {len(line[name]):,} characters, more than {_LONGEST:,}")
    for name in (*_NUMBERS, *_OBJECTS):
        values = line.get(name) or {}
        is_right = _is_measure if name in _NUMBERS else _is_text
        if not isinstance(values, dict) or not all(
            is_right(value) for value in values.values() if value is not None
        ):
            what = "numbers" if name in _NUMBERS else "texts"
            raise ValueError(f"{name} is {quoted(values)}, no object of {what}")
    words = line.get("words") or []
    if not isinstance(words, list) or not all(map(_is_word, words)):
        raise ValueError("words is no list of objects with a word, its start and its end")
    return line


def _is_measure(value: Any) -> bool:
    """Whether a value is a number that a 32-bit column holds, or NaN: the older tool's word for an unknown one."""
    return value != value or is_number(value, -_LARGEST, _LARGEST)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_word(word: Any) -> bool:
    return (
        isinstance(word, dict)
        and isinstance(word.get("word"), str)
        and len(word["word"]) <= _LONGEST
        and is_number(word.get("start"), 0, LATEST)
        and is_number(word.get("end"), 0, LATEST)
        and (not word.get("probability") or _is_measure(word["probability"]))
    )
