"""A finished row as a conversation, and that as a trainer sees it."""

import pytest
from built_conversations import built_row

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.seen import SeenConversation, seen_result
from dailytalk_contiguous.core.words.word import Span


def moved_row(shift: float = 10.0) -> dict[str, object]:
    """A conversation that began `shift` seconds later in its recording, where its sides were exchanged."""
    row = built_row(kept_speaker="Ann", sounds=[(4.0, 4.5)])
    exchanged = {"left": "right", "right": "left"}
    for utterance in row["utterances"]:
        utterance["source_start"] = utterance["start"] + shift
        utterance["source_end"] = utterance["end"] + shift
        utterance["source_channel"] = exchanged[utterance["channel"]]
    return row


def test_times_of_the_recording_and_of_the_result_have_the_names_that_stages_give_them() -> None:
    row = moved_row()
    talk = from_finished(row)
    assert [utterance.utterance_id for utterance in talk.utterances] == [
        said["utterance_id"] for said in row["utterances"]
    ]
    for utterance, said in zip(talk.utterances, row["utterances"], strict=True):
        assert utterance.new_span == (said["start"], said["end"])
        assert utterance.span == (said["source_start"], said["source_end"])
        assert (utterance.channel, utterance.side) == (said["channel"], said["source_channel"])
    assert (talk.built_duration, talk.duration) == (row["duration"], row["source_duration"])
    assert [word.word for word in talk.alignments] == [word["word"] for word in row["alignments"]]
    assert [side.channel for side in talk.built_sides] == ["left", "right"]


def test_columns_of_people_s_own_stages_are_kept() -> None:
    talk = from_finished({**moved_row(), "room": "kitchen"})
    assert talk.extra["room"] == "kitchen"


def test_null_where_ours_have_a_value_is_none_or_an_empty_list() -> None:
    row = built_row()
    row |= dict.fromkeys(["sides", "sounds", "timeline", "alignments", "speakers", "transcript_marks"])
    row["utterances"][0]["text"] = None
    talk = from_finished(row)
    assert (talk.built_sides, talk.sounds, talk.alignments, talk.transcript_marks) == ([], [], [], None)
    assert talk.utterances[0].text is None
    seen = seen_result(talk, 24000, "left")
    assert (seen.person("left"), seen.person("right")) == (None, None)
    assert "" in {utterance.text for utterance in seen.utterances}


def of_side(talk: Conversation | SeenConversation, channel: str) -> list[str]:
    return [word.word for word in talk.alignments if word.speaker == channel]


@pytest.mark.parametrize(("main", "other"), [("left", "right"), ("right", "left")])
def test_trainer_sees_the_main_speaker_on_the_left_in_seconds_of_the_result(main: str, other: str) -> None:
    row = moved_row()
    talk = from_finished(row)
    seen = seen_result(talk, 16000, main)
    assert of_side(seen, "left") == of_side(talk, main)
    assert of_side(seen, "right") == of_side(talk, other)
    assert (seen.person("left"), seen.person("right")) == (row["speakers"][main], row["speakers"][other])
    spans = {utterance.finished.utterance_id: utterance.span for utterance in seen.utterances}
    assert spans == {said["utterance_id"]: (said["start"], said["end"]) for said in row["utterances"]}
    assert {utterance.finished.utterance_id for utterance in seen.side("left")} == {
        said["utterance_id"] for said in row["utterances"] if said["channel"] == main
    }
    assert (seen.sample_rate, seen.duration) == (16000, row["duration"])
    (sound,) = seen.sounds
    assert (sound.start, sound.end) == (4.0, 4.5)
    assert talk.utterances[0].span != seen.utterances[0].span  # the conversation itself is unchanged


def test_trainer_sees_no_utterance_that_was_left_out() -> None:
    row = moved_row()
    row["utterances"][0] |= {"status": "dropped", "start": None, "end": None}
    talk = from_finished(row)
    seen = seen_result(talk, 24000, "left")
    assert len(seen.utterances) == len(talk.audible_utterances) == len(row["utterances"]) - 1


def test_marks_are_seen_where_the_utterance_is_that_was_kept() -> None:
    row = moved_row(shift=10.0)
    kept = next(said for said in row["utterances"] if said["status"] != "spoken")
    spoken = next(said for said in row["utterances"] if said["status"] == "spoken")
    marks = []
    for said in (kept, spoken):
        start = said["source_start"]
        mark = {"channel": said["source_channel"], "start": start - 5.0, "end": start + 0.1}
        marks.append({**mark, "name": "unclear", "kind": "inaudible"})
    row["transcript_marks"] = marks
    (mark,) = seen_result(from_finished(row), 24000, "left").transcript_marks
    assert mark.channel == kept["channel"]
    assert mark.span == pytest.approx(Span(kept["start"], kept["start"] + 0.1))


def test_row_whose_marks_have_no_times_is_seen_without_them() -> None:
    row = built_row()  # of somebody who knows nothing of its recording
    mark = {"channel": "left", "start": 0.5, "end": 0.7, "name": "door", "kind": "sound"}
    row["transcript_marks"] = [mark]
    for utterance in row["utterances"]:
        utterance |= {"status": "kept", "synthesis": None}
    seen = seen_result(from_finished(row), 24000, "right")
    assert seen.transcript_marks == []
