"""Texts without their fillers stay sentences; rows lose fillers in words alone."""

import pytest
from built_conversations import built_row

from dailytalk_contiguous.core.filler_removal import row_without_fillers, text_without_fillers


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


@pytest.mark.parametrize("is_marked", [True, False])
def test_row_loses_fillers_of_texts_and_words_and_keeps_its_times_and_its_sound(is_marked: bool) -> None:
    row = built_row("call", LINES)
    if is_marked:
        for word in row["alignments"]:
            word["filler"] = word["word"].strip(".,").casefold() in ("um", "uh")
    without = row_without_fillers(row)
    assert [said["text"] for said in without["utterances"]] == ["Hello there.", "", "How, are you?", "Ah, well."]
    assert [said["text_raw"] for said in without["utterances"]] == [said["text"] for said in without["utterances"]]
    assert [said["tagged_text"] for said in without["utterances"]] == [
        "(calm) Hello there.", None, "(calm) How, are you?", "(calm) Ah, well.",
    ]  # fmt: skip
    words = [word["word"] for word in without["alignments"]]
    assert words == ["Hello", "there.", "How,", "are", "you?", "Ah,", "well."]
    times = {(word["start"], word["end"], word["speaker"]) for word in row["alignments"]}
    assert {(word["start"], word["end"], word["speaker"]) for word in without["alignments"]} < times
    assert without["audio"] == row["audio"]
    assert [said["start"] for said in without["utterances"]] == [said["start"] for said in row["utterances"]]
    assert row["utterances"][0]["text"] == "Um, hello there, uh."  # the row itself stays


def test_clip_keeps_the_entry_of_its_words_unless_its_text_has_changed() -> None:
    entry = {"segments": [{"text": "Hello there."}]}
    clip = {"text": "Hello there.", "language": "en", "entry": entry}
    assert row_without_fillers(clip) == clip
    assert row_without_fillers(clip | {"text": "Um, hello."}) == clip | {"text": "Hello.", "entry": None}
    without_entry = {"text": "Um, hello.", "language": "en"}
    assert row_without_fillers(without_entry) == {"text": "Hello.", "language": "en"}
