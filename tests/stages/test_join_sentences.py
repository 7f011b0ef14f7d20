"""JoinSentences: a sentence that a pause has torn is one utterance, and nothing else is."""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from audio_files import wav_bytes
from stage_calls import row_after

from dailytalk_contiguous.core.words.sentences import goes_on
from dailytalk_contiguous.stages.join_sentences import JoinSentences

RATE = 16000


@pytest.mark.parametrize(
    ("first", "following", "language", "joined"),
    [
        ("And free", "parking lot?", "en", True),
        ("free Wi", "-Fi.", "en", True),
        ("Ich sehe das", "Haus dort.", "de", True),
        ("今日は", "いい天気です。", "ja", True),
        ("Hello.", "how are you?", "en", False),
        ("“No way!”", "he said", "en", False),
        ("Okay", "", "en", False),
    ],
)
def test_a_sentence_goes_on_where_neither_mark_nor_capital_ends_it(
    first: str, following: str, language: str, joined: bool
) -> None:
    assert goes_on(first, following, language) is joined


def timed_words(text: str, start: float, end: float) -> list[dict[str, Any]]:
    """Words that last equally long and touch."""
    texts = text.split()
    edges = np.linspace(start, end, len(texts) + 1).tolist()
    words = []
    for word, (first, last) in zip(texts, pairwise(edges), strict=True):
        words.append({"word": word, "start": first, "end": last, "probability": 0.5, "fitted": False})
    return words


def utterance(channel: str, start: float, end: float, text: str) -> dict[str, Any]:
    return {
        "channel": channel,
        "speaker": f"call/{channel}",
        "start": start,
        "end": end,
        "start_trim": 0.01,
        "end_trim": 0.02,
        "kind": "speech" if end - start >= 0.8 else "short",
        "speech_seconds": end - start,
        "text_raw": text,
        "words": timed_words(text, start, end),
        "language": "en",
        "avg_logprob": -0.5,
        "no_speech_prob": 0.1,
        "recogniser": "base",
        "question": text.endswith("?"),
        "speech": b"",
    }


def conversation(*lines: tuple[str, float, float, str], **changed: list[Any]) -> dict[str, Any]:
    """A row as `Transcribe` leaves it: channel, start, end and text of each utterance."""
    counts: Counter[str] = Counter()
    utterances = []
    for run, (channel, start, end, text) in enumerate(lines):
        values = utterance(channel, start, end, text)
        values["utterance_id"] = f"call/{channel}/{counts[channel]:04d}"
        values["run"] = run
        counts[channel] += 1
        utterances.append(values)
    row: dict[str, Any] = {}
    for name in JoinSentences.needs:
        row[name] = [values.get(name) for values in utterances]
    duration = max(end for _, _, end, _ in lines) + 1
    shape = (round(duration * RATE), 2)
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, shape)
    wav = wav_bytes(noise.astype(np.float32))
    row["audio"] = {"bytes": wav, "path": None}
    row["offset"] = 0.0
    row["duration"] = duration
    return row | changed


def joined(row: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return row_after(JoinSentences(**settings), row)


TORN = (
    ("left", 0.0, 1.0, "Is there"),
    ("left", 1.6, 2.6, "free Wi"),
    ("left", 3.2, 3.6, "-Fi here?"),
    ("right", 4.0, 5.0, "There is."),
    ("left", 5.5, 6.5, "Good."),
)


def test_the_parts_of_a_sentence_are_one_utterance_with_their_pauses() -> None:
    row = joined(conversation(*TORN))
    assert row["text_raw"] == ["Is there free Wi-Fi here?", "There is.", "Good."]
    assert row["utterance_id"] == ["call/left/0000", "call/right/0000", "call/left/0003"]
    parts = ["call/left/0000", "call/left/0001", "call/left/0002"]
    assert row["joined"] == [parts, [], []]
    first = {name: values[0] for name, values in row.items() if isinstance(values, list)}
    assert first["start"] == 0.0
    assert first["end"] == 3.6
    assert first["start_trim"] == 0.01
    assert first["end_trim"] == 0.02
    words = first["words"]
    texts = [word["word"] for word in words]
    assert texts == ["Is", "there", "free", "Wi-Fi", "here?"]
    assert words[1]["end"] == 1.0
    assert words[2]["start"] == 1.6
    assert first["kind"] == "speech"
    assert first["question"] is True
    assert first["speech_seconds"] == pytest.approx(2.4)


@pytest.mark.parametrize(
    ("lines", "texts"),
    [
        pytest.param([("left", 0.0, 1.0, "So I"), ("left", 2.0, 3.0, "went.")], 2, id="a second of silence"),
        pytest.param([("left", 0.0, 1.0, "So I"), ("left", 1.99, 3.0, "went.")], 1, id="less than a second"),
        pytest.param(
            [("left", 0.0, 1.0, "So I"), ("right", 1.1, 1.4, "Yes."), ("left", 1.6, 3.0, "went.")],
            3,
            id="somebody else speaks in the pause",
        ),
        pytest.param([("left", 0.0, 7.0, "So I"), ("left", 7.5, 12.5, "went.")], 2, id="over twelve seconds"),
    ],
)
def test_utterances_are_joined_only_within_the_limits(lines: list[Any], texts: int) -> None:
    row = joined(conversation(*lines))
    assert len(row["text_raw"]) == texts


def test_lines_of_people_and_lines_without_words_stay() -> None:
    given = conversation(*TORN, recogniser=["given"] * 5)
    assert joined(given)["text_raw"] == given["text_raw"]
    without_pause = joined(conversation(*TORN), pause_seconds=0.0)
    assert without_pause["joined"] == [[]] * 5


def test_pieces_of_one_run_stay_one_block() -> None:
    """Of a run that was cut at its quietest place, the second piece goes on in another run."""
    lines = [
        ("left", 0.0, 9.0, "First."),
        ("left", 9.0, 10.0, "and this"),
        ("left", 10.5, 11.0, "goes deep"),
        ("left", 11.0, 20.0, "Last."),
    ]
    row = joined(conversation(*lines, run=[0, 0, 1, 1]))
    assert row["text_raw"] == ["First.", "and this goes deep", "Last."]
    assert set(row["run"]) == {0}
