"""Texts without their fillers stay sentences; rows lose fillers in words alone."""

from typing import Any

import pytest
from built_conversations import built_row

from dailytalk_contiguous.core.words.filler_removal import row_without_fillers, text_without_fillers


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("So, um, I think", "en", "So, I think"),
        ("Um, we could", "en", "We could"),
        ("Yes. Uh, we could. Um. And then?", "en-GB", "Yes. We could. And then?"),
        ("I think, um.", "en", "I think."),
        ("I think, um", "en", "I think"),
        ("I think, uh, um…", "en", "I think…"),
        ("You know, um?", "en", "You know?"),
        ("So - um - no", "en", "So - no"),
        ("I (um) know", "en", "I know"),
        ('She said, "Um, I do, uh."', "en", 'She said, "I do."'),
        ("Ah, I see, ah, uh-huh.", "en", "Ah, I see, uh-huh."),
        ("Uh, um.", "en", ""),
        ("¿Eh, qué hora es?", "es", "¿Qué hora es?"),
        ("No está mal, ¿eh?", "es", "No está mal."),
        ("私は、えーと、Google で働く。えーと。", "ja", "私は、Google で働く。"),
        ("Nothing  to leave out", "en", "Nothing  to leave out"),
        ("Um, of no known language", "und", "Um, of no known language"),
        ("", "en", ""),
    ],
)
def test_text_without_fillers_keeps_its_marks_and_capitals(text: str, language: str, expected: str) -> None:
    without = text_without_fillers(text, language)
    assert without == expected
    assert text_without_fillers(without, language) == expected


LINES = (
    ("left", 0.5, 1.5, "Um, hello there, uh."),
    ("right", 1.4, 2.4, "Uh, um."),
    ("left", 2.6, 4.0, "How, um, are you?"),
    ("right", 3.9, 5.0, "Ah, well."),
)
WordTime = tuple[float, float, str]


def column(row: dict[str, Any], name: str) -> list[Any]:
    """A field of every utterance of a row."""
    return [utterance[name] for utterance in row["utterances"]]


def word_times(row: dict[str, Any]) -> set[WordTime]:
    return {(word["start"], word["end"], word["speaker"]) for word in row["alignments"]}


@pytest.mark.parametrize("is_marked", [True, False])
def test_row_loses_fillers_of_texts_and_words_and_keeps_its_times_and_its_sound(is_marked: bool) -> None:
    row = built_row("call", LINES)
    if is_marked:
        for word in row["alignments"]:
            letters = word["word"].strip(".,").casefold()
            word["filler"] = letters in ("um", "uh")
    without = row_without_fillers(row)
    texts = ["Hello there.", "", "How, are you?", "Ah, well."]
    tagged = ["(calm) Hello there.", None, "(calm) How, are you?", "(calm) Ah, well."]
    assert column(without, "text") == texts
    assert column(without, "text_raw") == texts
    assert column(without, "tagged_text") == tagged
    words = [word["word"] for word in without["alignments"]]
    assert words == ["Hello", "there.", "How,", "are", "you?", "Ah,", "well."]
    assert word_times(without) < word_times(row)
    assert without["audio"] == row["audio"]
    assert column(without, "start") == column(row, "start")
    assert column(row, "text")[0] == "Um, hello there, uh."  # the row itself stays


def test_clip_keeps_the_entry_of_its_words_unless_its_text_has_changed() -> None:
    entry = {"segments": [{"text": "Hello there."}]}
    clip = {"text": "Hello there.", "language": "en", "entry": entry}
    assert row_without_fillers(clip) == clip
    changed = clip | {"text": "Um, hello."}
    assert row_without_fillers(changed) == clip | {"text": "Hello.", "entry": None}
    without_entry = {"text": "Um, hello.", "language": "en"}
    expected = {"text": "Hello.", "language": "en"}
    assert row_without_fillers(without_entry) == expected
