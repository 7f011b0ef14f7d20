"""What a line of a transcript has to be: which values are taken, and in which words the others are refused."""

import math
from typing import Any

import pytest

from dailytalk_contiguous.sources.lines_to_speak import checked

LINE: dict[str, Any] = {
    "audio_file": "a.wav",
    "channel": "left",
    "start": 0.0,
    "end": 1.0,
    "text": "",
    "tag": "",
}
WORD = {"word": "yes", "start": 0.1, "end": 0.4}

TEXTS = ("conversation_id", "utterance_id", "speaker", "text_raw", "text_reason", "rule", "kind", "language")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"channel": "right"},
        {"start": 0, "end": 1e9},
        dict.fromkeys((*TEXTS, "confidence", "context_seconds", "vad", "features", "vad_bucket", "words")),
        {"confidence": math.nan, "vad": {"valence": math.nan, "arousal": None, "dominance": 0.5}},
        {"words": [WORD, WORD | {"probability": None}]},
        {"anything": ["else"]},
        {"edited_by": "Ann", "edited_fields": ["text", "tag"]},
        {"edited_by": None, "edited_fields": []},
    ],
)
def test_line_that_can_be_meant_is_taken_as_it_is(more: dict[str, Any]) -> None:
    line = LINE | more
    assert checked(line) is line


#: Values that a field of a line can't have.
REFUSED: dict[str, tuple[Any, ...]] = {
    "audio_file": (None,),
    "channel": (None,),
    "text": (None,),
    "tag": (None,),
    "utterance_id": (7, math.nan),
    "speaker": (7, math.nan),
    "start": ("1", -0.1, math.nan, 3.0),
    "end": ("1", -0.1, math.nan, 3.0),
    "confidence": ("1", math.inf),
    "vad": (0.5, {"valence": "x"}),
    "edited_fields": (["text", 7],),
    "words": (math.nan, "yes", {"word": "yes"}, [WORD | {"word": None}], [WORD, WORD | {"start": 0.5}]),
}


#: The time at the other end, so that a line of 3 s lasts too long or less than nothing.
OTHER_END = {"start": {"end": 2.0}, "end": {"start": 3.0}}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in REFUSED for value in REFUSED[name]])
def test_line_that_can_not_be_meant_is_refused_with_the_name_of_its_field(name: str, value: Any) -> None:
    line = LINE | {name: value} | OTHER_END.get(name, {})
    names = "start|end|ends" if name in OTHER_END else name
    with pytest.raises(ValueError, match=rf"\b({names})\b"):
        checked(line)


def test_a_text_of_more_than_an_utterance_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="text has more than 20,000 characters"):
        checked(LINE | {"text": "x" * 20_001})
