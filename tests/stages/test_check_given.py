"""Given lines that are not in the sound, beside true ones of a bundled recording."""

from typing import Any

import numpy as np
import pytest
from audio_files import example, reference
from stage_calls import columns_after

from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.sound.samples import to_pcm
from dailytalk_contiguous.stages.check_given import RECOGNISED, CheckGiven

LINES = reference("burnt_dinner")[:16]
LOOP = "I'm going to the store. I'm going to the store. I'm going to the store."
SPANISH = (
    "No sé dónde está la biblioteca, pero mañana vamos a "
    "comprar los libros que quería mi hermana cuando llegó ayer."
)


def checked(left: str | None, **settings: Any) -> dict[str, Any]:
    """The columns of the talk where all left lines but the first three have another text."""
    sound = example("burnt_dinner")
    texts = texts_with(left)
    words, speech = [], []
    for line, text in zip(LINES, texts, strict=True):
        start, end = (int(line[name] * 16000) for name in ("start", "end"))
        speech.append(to_pcm(sound[start:end, CHANNELS.index(line["channel"])]).tobytes())
        words.append(timed(text, line["start"], line["end"]))
    batch = {
        "conversation_id": ["call.000"],
        "offset": [0.0],
        "unmatched": [[]],
        "transcript_repair": [None],
        "given_language": [None],
        "utterance_id": [[f"call.000/{number}" for number in range(len(LINES))]],
        "channel": [[line["channel"] for line in LINES]],
        "start": [[line["start"] for line in LINES]],
        "end": [[line["end"] for line in LINES]],
        "speech": [speech],
        "given_text": [texts],
        "given_words": [words],
    }
    return columns_after(CheckGiven(**({"language": "en"} | settings)), batch)


def texts_with(left: str | None) -> list[str]:
    texts = [line["text"] for line in LINES]
    for number in changed():
        texts[number] = left or texts[number]
    return texts


def changed() -> list[int]:
    lefts = [number for number, line in enumerate(LINES) if line["channel"] == "left"]
    return lefts[3:]


def timed(text: str, start: float, end: float) -> list[dict[str, Any]]:
    words = text.split()
    times = np.linspace(start, end, len(words) + 1).tolist()
    return [
        {"word": word, "start": times[n], "end": times[n + 1], "probability": None, "fitted": None, "filler": None}
        for n, word in enumerate(words)
    ]


def fitted_lines(added: dict[str, Any]) -> list[int]:
    (lines,) = added["given_words"]
    return [number for number, words in enumerate(lines) if all(word["fitted"] for word in words)]


@pytest.mark.parametrize("is_in_a_loop", [False, True])
def test_a_loop_over_speech_is_fitted_and_true_lines_are_left_as_they_are(is_in_a_loop: bool) -> None:
    text = LOOP if is_in_a_loop else None
    added = checked(text)
    assert added["given_text"] == [texts_with(text)]
    fitted = fitted_lines(added)
    assert (len(fitted) >= 2) == is_in_a_loop
    assert set(fitted) <= set(changed())
    assert added["unmatched"] == [[]]
    assert added["transcript_repair"] == [None]


def test_absent_lines_are_left_to_the_recogniser_and_said_once() -> None:
    added = checked(LOOP, recognise_absent=True)
    (texts,) = added["given_text"]
    taken = [number for number, text in enumerate(texts) if text is None]
    assert taken == changed()  # also those that the aligner takes for said
    ((reject,),) = added["unmatched"]
    assert reject["id"] == "call.000/left"
    assert f"{len(taken)} of " in reject["reason"]
    assert added["transcript_repair"] == [RECOGNISED]


def test_a_side_in_another_language_is_not_checked() -> None:
    added = checked(SPANISH, recognise_absent=True)
    assert added["given_text"] == [texts_with(SPANISH)]
    assert added["given_language"] == ["es,en"]
    assert added["unmatched"] == [[]]
