"""What a line of a transcript has to be: which values are taken, and in which words the others are refused."""

import math
import re
from typing import Any

import pytest

from dailytalk_contiguous.sources.transcribed import checked

LINE: dict[str, Any] = {"audio_file": "a.wav", "channel": "left", "start": 0.0, "end": 1.0, "text": "", "tag": ""}
WORD = {"word": "yes", "start": 0.1, "end": 0.4}

TEXTS = ("conversation_id", "utterance_id", "speaker", "text_raw", "text_reason", "rule", "kind", "language")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"channel": "right"},
        {"start": 0, "end": 1e9},
        dict.fromkeys((*TEXTS, "confidence", "context_seconds", "vad", "features", "vad_bucket", "words")),
        dict.fromkeys(TEXTS, "x" * 20_000),
        {"audio_file": "x" * 20_000, "tag": "x" * 20_000, "text": "x" * 20_000},
        {"confidence": 3.4e38, "context_seconds": -3.4e38},
        {"confidence": math.nan, "vad": {"valence": math.nan, "arousal": None, "dominance": 3.4e38}},
        {"vad_bucket": {"valence": "low", "arousal": None}, "models": {"affect": "x"}, "prosody_bucket": {}},
        {
            "words": [
                WORD,
                WORD | {"probability": None},
                WORD | {"probability": math.nan},
                WORD | {"probability": 1},
            ]
        },
        {"words": [{"word": "", "start": 0, "end": 0}, WORD | {"word": "x" * 20_000, "end": 1e9}]},
        {"anything": ["else"]},
        {"edited_by": "Ann", "edited_fields": ["text", "tag"]},
        {"edited_by": None, "edited_fields": []},
    ],
)
def test_line_that_can_be_meant_is_taken_as_it_is(more: dict[str, Any]) -> None:
    line = LINE | more
    assert checked(line) is line


REFUSED: list[tuple[dict[str, Any], str]] = [
    *(
        ({name: value}, f"{name} is missing or no text")
        for name in ("audio_file", "channel", "text", "tag")
        for value in (None, 1)
    ),
    ({"channel": "mix"}, "channel is 'mix', not left or right"),
    *(
        ({name: value}, f"{name} is {value!r}, not a number of seconds from 0")
        for name in ("start", "end")
        for value in (None, True, "1", -0.1, 1e9 + 1, math.inf, math.nan)
    ),
    ({"start": 1.0}, "it ends at 1.0 s, not after its start at 1.0 s"),
    ({"start": 1.5}, "it ends at 1.0 s, not after its start at 1.5 s"),
    *(({name: 7}, f"{name} is 7, no text") for name in TEXTS),
    ({"edited_by": 7}, "edited_by is 7, no text and no list of texts"),
    ({"edited_fields": ["text", 7]}, "edited_fields is ['text', 7], no text and no list of texts"),
    ({"edited_by": ["x" * 20_001]}, "edited_by has more than 20,000 characters"),
    *(
        ({name: value}, f"{name} is {value!r}, no number")
        for name in ("confidence", "context_seconds")
        for value in ("1", 3.5e38, -3.5e38, math.inf)
    ),
    *(
        ({name: "x" * 20_001}, f"{name} has 20,001 characters, more than 20,000")
        for name in ("text", "tag", "audio_file", *TEXTS)
    ),
    *(
        ({name: value}, f"{name} is {value!r}, no object of numbers")
        for name in ("vad", "features")
        for value in (0.5, [1.0], {"valence": "x"}, {"valence": 3.5e38})
    ),
    *(
        ({name: value}, f"{name} is {value!r}, no object of texts")
        for name in ("vad_bucket", "prosody_bucket", "models")
        for value in ("low", ["low"], {"valence": 1})
    ),
    *(({"words": words}, f"its words are {words!r}, no list") for words in ("yes", {"word": "yes"})),
    *(
        ({"words": [WORD, word]}, f"one of its words is {word!r}, not a text with its start and end")
        for word in ("yes", WORD | {"word": None})
    ),
    *(
        (
            {"words": [WORD | times]},
            f"its word 'yes' has the start {(WORD | times)['start']} and the end {(WORD | times)['end']}",
        )
        for times in (
            *({"start": start} for start in (None, -0.1, 1e9 + 1, 0.5)),
            *({"end": end} for end in (None, -0.1, 1e9 + 1)),
        )
    ),
    *(
        (
            {"words": [WORD | {"probability": value}]},
            f"its word 'yes' is too long, or has the probability {value!r}",
        )
        for value in ("1", 3.5e38)
    ),
    (
        {"words": [WORD | {"word": "x" * 20_001}]},
        f"its word '{'x' * 119}…' is too long, or has the probability None",
    ),
]


@pytest.mark.parametrize(("more", "reason"), REFUSED)
def test_line_that_can_not_be_meant_is_refused_in_words_that_lead_to_it(more: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        checked(LINE | more)
