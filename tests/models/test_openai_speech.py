from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tts_server import OPENAI, TOKEN, OwnServer, TtsServer, speech, wav

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.contracts import Line, Synthesiser, SynthesisFailed, VoiceSample
from dailytalk_contiguous.models.engines import synthesise
from dailytalk_contiguous.models.paid import Client, RequestLimits
from dailytalk_contiguous.models.service_token import Token
from dailytalk_contiguous.models.synthesisers.openai import OpenAISpeech

LINE = Line("Are you sure?", "excited", "en", 0)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", TOKEN)


@pytest.fixture
def server() -> Iterator[TtsServer]:
    with TtsServer() as running:
        yield running


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_a_line_is_said_with_its_tag_as_an_instruction(server: TtsServer, suffix: str) -> None:
    engine: Synthesiser = OpenAISpeech(voice="verse", base_url=server.url + suffix)
    spoken = engine.speak(LINE)
    assert server.asked[0].path == OPENAI
    assert server.asked[0].body == {
        "model": "gpt-4o-mini-tts",
        "input": "Are you sure?",
        "voice": "verse",
        "instructions": "Speak in an excited voice.",
        "response_format": "wav",
        "speed": 1.0,
    }
    truth, _, _ = speech(LINE.text, 24000)
    assert len(spoken.samples) == len(truth)
    assert spoken.sample_rate == 24000
    assert spoken.words is None
    assert spoken.cost == 0.0


def test_a_tag_that_the_model_ignores_is_refused_before_it_is_paid_for() -> None:
    with pytest.raises(DailytalkError, match="tts-1-hd takes no instructions"):
        OpenAISpeech(model="tts-1-hd").speak(LINE)


SAMPLE = VoiceSample(wav(np.zeros(2400, np.float32), 24000), "Well, hello.")
OTHER = VoiceSample(wav(np.zeros(4800, np.float32), 24000), "Good night.")
LINES = [Line(f"Line {number}.", "", "en", 0) for number in range(6)]


@pytest.mark.parametrize(
    ("dialect", "rejected", "uploads"),
    [("request", 400, 0), ("form", 422, 2), ("chatterbox", 400, 2)],
)
def test_lines_are_said_in_the_voices_of_their_samples_as_the_server_clones(
    dialect: str, rejected: int, uploads: int
) -> None:
    """A sample is uploaded once: threads wait for it, and the next run finds its voice."""
    samples = [SAMPLE, OTHER] * 3
    asked = list(zip(LINES, samples, strict=True))
    with OwnServer(dialect, rejected) as server, ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            engine = OpenAISpeech(voice="clone", base_url=server.url)
            engine.preflight()
            spoken = [pool.submit(engine.speak, line, [sample]) for line, sample in asked]
            assert [future.result().cost for future in spoken] == [0.0] * len(LINES)
    spoken_lines = [line for line in server.said if line[0].startswith("Line")]
    expected = [(line.text, sample.wav) for line, sample in asked]
    assert sorted(spoken_lines) == sorted(expected * 2)
    assert server.uploads == uploads


@pytest.mark.parametrize("dialect", ["", "forgetful"])
@pytest.mark.parametrize("plan", [[], ["500"]])
def test_server_that_would_speak_in_another_voice_says_no_line(dialect: str, plan: list[str]) -> None:
    """Also where it fails just when it is asked for the first time."""
    with OwnServer(dialect) as server:
        server.plan = plan
        engine = OpenAISpeech(voice="clone", base_url=server.url)
        for line in LINES[:2]:
            with pytest.raises(DailytalkError, match=f"{server.url} clones no voice from a sample"):
                engine.speak(line, [SAMPLE])
        with pytest.raises(SynthesisFailed, match="no sample"):
            synthesise(engine, LINES[0])
    assert not [text for text, _ in server.said if text.startswith("Line")]


@pytest.mark.parametrize("address", ["", "https://API.openai.com:443/v1", "https://eu.api.openai.com/v1"])
def test_openai_itself_clones_no_voice_and_is_never_free(address: str) -> None:
    with pytest.raises(DailytalkError, match="OpenAI clones no voice"):
        OpenAISpeech(voice="clone", base_url=address).preflight()
    assert OpenAISpeech(base_url=address).price([LINE]) > 0


class EndlessServer(TtsServer):
    """A server whose every answer is a little over a minute long."""

    def sound(self, text: str, rate: int) -> tuple[np.ndarray, int, tuple[tuple[str, float, float], ...]]:
        return np.full(70 * 8000, 0.1, np.float32), 8000, ()


def test_answers_that_are_too_long_for_their_line_say_so_and_are_not_used() -> None:
    with EndlessServer() as server:
        transport = Client("the speech server", server.url, Token(TOKEN, "KEY"), RequestLimits(first_wait=0.0))
        engine = OpenAISpeech(client=transport)
        with pytest.raises(DailytalkError) as caught:
            engine.speak(LINE)
    sentence = str(caught.value)
    assert "'Are you sure?'" in sentence
    assert "gave an answer that is too long (the sound of a line has more than 60 seconds)" in sentence
