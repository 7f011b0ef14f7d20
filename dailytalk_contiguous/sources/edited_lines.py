"""What a line of a transcript has to be, whoever wrote or edited it.

People break lines in every way: a comma too many, a time that is text, a list where an object was. Each is found
here, and told in words that lead to it, before anything is made of the line.
"""

from typing import Any

from dailytalk_contiguous.core.schema import CHANNELS

#: Fields that a line may leave out, and what they hold: text, or an object of texts or of numbers.
_TEXTS = ("conversation_id", "utterance_id", "speaker", "text_raw", "rule", "kind", "language")
_OBJECTS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("vad", "features"), (int, float)),
    **dict.fromkeys(("vad_bucket", "prosody_bucket", "models"), str),
}

#: Seconds; no recording lasts so long.
_LATEST = 1e9


def checked(line: Any) -> dict[str, Any]:
    """The line, if it can be meant; raises ValueError, with what is wrong, if not."""
    if not isinstance(line, dict):
        raise ValueError("it is no JSON object")
    for name in ("audio_file", "channel", "text", "tag"):
        if not isinstance(line.get(name), str):
            raise ValueError(f"{name} is missing or no text")
    if line["channel"] not in CHANNELS:
        raise ValueError(f"channel is {line['channel']!r}, not left or right")
    for name in ("start", "end"):
        if not _is_seconds(line.get(name)):
            raise ValueError(f"{name} is {line.get(name)!r}, not a number of seconds from 0")
    if line["end"] <= line["start"]:
        raise ValueError(f"it ends at {line['end']} s, not after its start at {line['start']} s")
    for name in _TEXTS:
        if not isinstance(line.get(name) or "", str):
            raise ValueError(f"{name} is {line[name]!r}, no text")
    for name, kind in _OBJECTS.items():
        values = line.get(name) or {}
        if not isinstance(values, dict) or not all(
            isinstance(one, kind) for one in values.values() if one is not None
        ):
            raise ValueError(f"{name} is {values!r}, no object of {'texts' if kind is str else 'numbers'}")
    words = line.get("words") or []
    if not isinstance(words, list) or not all(map(_is_word, words)):
        raise ValueError("words is no list of objects with a word, its start and its end")
    return line


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LATEST


def _is_word(word: Any) -> bool:
    return (
        isinstance(word, dict)
        and isinstance(word.get("word"), str)
        and _is_seconds(word.get("start"))
        and _is_seconds(word.get("end"))
        and isinstance(word.get("probability") or 0.0, int | float)
    )
