"""The punctuation stage: text and tagged text, null where nothing is said."""

from stage_calls import columns_after

from dailytalk_contiguous.stages.style import Punctuate


def test_empty_text_stays_empty_and_has_no_tagged_text() -> None:
    made = columns_after(Punctuate(), {"text_raw": ["", " ", None], "tag": ["excited"] * 3})
    assert made == {"text": ["", "", ""], "tagged_text": [None] * 3}


def test_end_mark_that_stands_in_the_text_is_not_changed_by_a_tag() -> None:
    batch = {
        "text_raw": ["it is late.", "well,", "no way", "oh no!"],
        "tag": ["uncertain"] * 4,
        "recogniser": ["medium"] * 4,
    }
    made = columns_after(Punctuate(), batch)
    assert made["text"] == ["It is late.", "Well?", "No way?", "Oh no!"]


def test_text_that_a_person_gave_stays_as_it_is() -> None:
    texts = ["No problem at all.", "Okay", "well,", "really?"]
    batch = {
        "text_raw": texts,
        "tag": ["uncertain", "excited", "calm", "calm"],
        "recogniser": ["given"] * 4,
    }
    made = columns_after(Punctuate(), batch)
    assert made["text"] == texts
    assert made["tagged_text"][1] == "(excited) Okay"


def test_marks_of_the_tag_are_set_everywhere_on_request() -> None:
    batch = {
        "text_raw": ["No problem.", "Okay,"],
        "tag": ["uncertain", "excited"],
        "recogniser": ["given", "medium"],
    }
    made = columns_after(Punctuate(marks="always"), batch)
    assert made["text"] == ["No problem?", "Okay!"]
