"""The rules of a spoken conversation: turns, sentences, memory, interruptions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.apps.converse import dialogue

FRAME = 0.032


def turns_of(spans: list[tuple[float, float]], seconds: float, text: str | None) -> list[tuple[str, float, float]]:
    """What an endpointer makes of speech in `spans`; `text` is recognised at each pause."""
    endpointer = dialogue.Endpointer("en")
    changes = []
    recognised = None
    for frame in range(round(seconds / FRAME)):
        middle = (frame + 0.5) * FRAME
        end = (frame + 1) * FRAME
        speech = float(any(first <= middle < last for first, last in spans))
        change = endpointer.push(speech, end, recognised)
        if change:
            changes.append((change, end, endpointer.end))
            recognised = text if change == "paused" else None
    return changes


@pytest.mark.parametrize(
    ("text", "silence"),
    [
        ("I am late.", 0.5),
        ("what time is it", 0.5),
        ("I am late and", 1.2),
        ("well,", 1.2),
        (None, 1.2),
        ("", 0.5),
    ],
)
def test_a_turn_ends_sooner_after_a_finished_sentence(text: str | None, silence: float) -> None:
    changes = turns_of([(1.0, 3.0)], 6.0, text)
    assert [kind for kind, *_ in changes] == ["began", "paused", "ended"]
    _, when, end = changes[-1]
    assert changes[1][1] - end <= 0.15  # Whisper tiny.en, with 0.35 s for the words, has them before the end
    assert end == pytest.approx(3.0, abs=FRAME)
    assert when - end == pytest.approx(silence, abs=1.5 * FRAME)


def test_a_click_is_no_turn_and_a_cough_is_dropped() -> None:
    assert turns_of([(1.0, 1.05)], 3.0, None) == []
    changes = turns_of([(1.0, 1.13)], 3.0, "")
    assert [kind for kind, *_ in changes] == ["began", "paused", "dropped"]


def test_a_turn_of_noise_ends_at_the_longest() -> None:
    changes = turns_of([(1.0, 125.0)], 124.0, None)
    assert [kind for kind, *_ in changes] == ["began", "full", "began"]
    assert changes[1][1] == pytest.approx(1.0 + dialogue.LONGEST_TURN, abs=2 * FRAME)


@pytest.mark.parametrize(
    "text", ["I went to the", "we stayed home because", "and then...", "first,", "I think I'm"]
)
def test_an_unfinished_phrase_is_seen(text: str) -> None:
    assert dialogue.is_unfinished(text)


# Over the voice.


@pytest.mark.parametrize("text", ["mm-hm", "yeah okay", "", "it's you", "but", "Uh-huh, right."])
def test_few_words_that_ask_for_nothing_do_not_stop_the_voice(text: str) -> None:
    assert not dialogue.means_to_speak(text, 0.7)


@pytest.mark.parametrize("text", ["stop", "oh no", "not that one", "yeah yeah yeah but"])
def test_words_that_mean_something_stop_the_voice(text: str) -> None:
    assert dialogue.means_to_speak(text, 0.5)


# Sentences.


def cut(text: str, pieces: int = 0) -> list[dialogue.ReplySentence]:
    cutter = dialogue.SentenceCutter()
    size = pieces or max(1, len(text))
    sentences = []
    for start in range(0, len(text), size):
        sentences += cutter.push(text[start : start + size])
    return sentences + cutter.flush()


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Dr. Lee met J. R. Hill at 3.5 km. Then?", ["Dr. Lee met J. R. Hill at 3.5 km.", "Then?"]),
        ('He said "Go." Then he left!', ['He said "Go."', "Then he left!"]),
        ("<think>They say hi. So…</think>\n\nHello.", ["", "Hello."]),
        ("\n<think>They say hi. So…</think>\n\nHello.", ["", "Hello."]),
        ("(happy) Hi!\n(giggling)\n(sad) Oh. (Well, no.)", ["Hi!", "", "Oh.", "(Well, no.)"]),
        ("See https://example.org/a.b?c=1 or `x = 1`. <b>Good</b> 🙂 day.", ["See or.", "Good day."]),
        ("これは本です。はい！", ["これは本です。", "はい！"]),
    ],
)
def test_sentences_are_cut_and_cleaned(text: str, spoken: list[str]) -> None:
    assert [sentence.text for sentence in cut(text)] == spoken


def test_thoughts_are_not_kept_as_written() -> None:
    sentences = cut("\n<think>Hm. So.</think> Hello.", 3)
    assert [sentence.written for sentence in sentences] == ["", " Hello."]


def test_a_tag_of_the_list_is_taken_and_any_other_is_not_spoken() -> None:
    sentences = cut("(sad) Oh no. (sexy) Hi there. (curious)\nWhy?")
    tagged = [(sentence.tag, sentence.text) for sentence in sentences]
    assert tagged == [("sad", "Oh no."), ("", "Hi there."), ("", ""), ("curious", "Why?")]
    assert dialogue.spoken_text("( Soft  Tone ) Hush.") == ("soft tone", "Hush.")
    tag, text = dialogue.spoken_text("Well (Excited) yes ( soft  tone ), she (my sister) did.")
    assert tag == ""
    assert text == "Well yes, she (my sister) did."


@given(st.text(st.sampled_from("aB. !?…\n`(*)[],1é。🙂"), max_size=120), st.integers(1, 7))
def test_the_same_reply_gives_the_same_sentences_however_it_is_sent(text: str, size: int) -> None:
    whole = cut(text)
    assert cut(text, size) == whole
    assert "".join(sentence.written for sentence in whole) == text


def test_the_model_gets_the_latest_messages_of_user_and_assistant_in_turn() -> None:
    memory = dialogue.TalkMemory("You listen.")
    assert memory.messages() == [("system", "You listen.")]
    for turn in range(300):
        for text in ("This is", f"turn {turn}."):
            memory.add("user", text)
        memory.add("assistant", "I see.")
    memory.add("user", "and now")
    system, *messages = memory.messages()
    assert system == ("system", "You listen.")
    assert messages[-3:] == [("user", "This is\nturn 299."), ("assistant", "I see."), ("user", "and now")]
    roles = [role for role, _ in messages]
    assert roles == ["user", *["assistant", "user"] * (len(messages) // 2)]
    assert len(messages) <= dialogue.MOST_MESSAGES


def test_a_class_is_told_only_when_sure_and_valence_and_arousal_always() -> None:
    affect = {"valence": 0.25, "arousal": 0.5}
    assert dialogue.user_turn("Hi", None) == "Hi"
    unknown = dialogue.TurnEmotion("m", {"sad": float("nan")}, affect, 0.5)
    assert dialogue.user_turn("Hi", unknown) == "Hi\n[valence 0.25, arousal 0.50]"
    sure = dialogue.TurnEmotion("m", {"sad": 0.9, "happy": 0.1}, affect, 0.5)
    assert dialogue.user_turn("Hi", sure) == "Hi\n[sounds sad (confidence 0.90); valence 0.25, arousal 0.50]"
    doubtful = dialogue.TurnEmotion("m", {"sad": 0.9, "happy": 0.1}, affect, 0.95)
    assert dialogue.user_turn("Hi", doubtful) == "Hi\n[valence 0.25, arousal 0.50]"
