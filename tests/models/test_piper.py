"""Piper: a voice that says what it should, at times that are right, always in the same way."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from dailytalk_contiguous.core.clean_speech import voiced_spans
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.spans import merge_gaps
from dailytalk_contiguous.core.word_times import normalise, split_words
from dailytalk_contiguous.models.contracts import Line, Spoken, SynthesisFailed, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise
from dailytalk_contiguous.models.synthesisers.piper import Piper
from dailytalk_contiguous.models.whisper import RecogniserInput, recognise

SENTENCES = ["It's been a while! How are you?", "Good morning, corner bicycle shop. How can I help you?"]


def say(text: str, tag: str = "", language: str = "en", rate: float | None = None, voice: str = "joe") -> Spoken:
    return synthesise(load_synthesiser("piper", VoiceSettings("", voice)), Line(text, tag, language, 0, rate))


def seconds(spoken: Spoken) -> float:
    return len(spoken.samples) / spoken.sample_rate


@pytest.mark.parametrize("text", SENTENCES)
def test_whisper_recognises_what_the_voice_says(text: str) -> None:
    spoken = say(text)
    (words,) = recognise("base", "cpu", "auto", [RecogniserInput(spoken.samples, spoken.sample_rate, "en")])
    expected = [*map(normalise, text.split())]
    found = [normalise(word.text) for word in words]
    assert sum(word in found for word in expected) >= 0.8 * len(expected)


@pytest.mark.parametrize(
    "text",
    [
        *SENTENCES,
        "Dr. Smith paid $25.50 on 3/4/2021, out of 1,000.",
        "So — well … yes!",
        "Tom & Jerry",
        "[[hello]]",
    ],
)
def test_every_written_word_has_a_time_inside_the_sound(text: str) -> None:
    spoken = say(text)
    assert spoken.words is not None
    assert [word.text for word in spoken.words] == split_words(text.replace("[[", "["))
    edges = [edge for word in spoken.words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= seconds(spoken)
    assert all(word.end > word.start for word in spoken.words)


def test_words_begin_and_end_where_the_sound_does_beside_a_pause() -> None:
    spoken = say("Stop. Please, take it back. Tomorrow, perhaps.")
    assert spoken.words is not None
    spans = merge_gaps(voiced_spans(spoken.samples, spoken.sample_rate), 0.1)
    assert len(spans) >= 4
    for start, end in spans:
        assert min(abs(word.start - start) for word in spoken.words) <= 0.06
        assert min(abs(word.end - end) for word in spoken.words) <= 0.06


def test_a_line_is_the_same_sound_in_any_company_and_process() -> None:
    first = say(SENTENCES[1])
    say("Something else in between.")
    assert np.array_equal(say(SENTENCES[1]).samples, first.samples)
    code = (
        "import sys, hashlib; from dailytalk_contiguous.models.synthesisers.piper import Piper; "
        "from dailytalk_contiguous.models.contracts import Line; "
        "print(hashlib.sha256(Piper().speak(Line(sys.argv[1], '', 'en', 3)).samples.tobytes()).hexdigest())"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    printed = subprocess.run(
        [sys.executable, "-c", code, SENTENCES[1]], capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert printed.strip() == hashlib.sha256(first.samples.tobytes()).hexdigest()


def test_tags_that_are_slow_or_fast_are_said_as_fast_as_the_source() -> None:
    text = SENTENCES[1]
    plain = seconds(say(text))
    hurried = seconds(say(text, "in a hurry tone"))
    slow = seconds(say(text, "sad"))
    assert hurried < plain < slow
    assert seconds(say(text, "in a hurry tone", rate=1.15)) == pytest.approx(plain / 1.15, rel=0.08)
    assert seconds(say(text, "sad", rate=0.75)) == pytest.approx(plain / 0.75, rel=0.08)
    assert seconds(say(text, "", rate=1.4)) == plain  # a tag that says nothing of rate


def test_lines_of_another_language_are_refused_with_what_to_do() -> None:
    with pytest.raises(SynthesisFailed, match=r"speaks 'en', and the line is in 'de': .*espeak"):
        say("Guten Tag", language="de")
    assert seconds(say("Hello there", language="und")) > 0.3


def test_a_voice_that_is_not_here_is_lacking_and_not_downloaded_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    voice = Piper("de_DE-thorsten-medium")
    voice.preflight()
    (missing,) = voice.lacking()
    assert (missing.name, Piper().lacking()) == ("the voice de_DE-thorsten-medium", [])
    with pytest.raises(ModelMissing, match=r"connection to huggingface\.co failed"):
        voice.fetch()
