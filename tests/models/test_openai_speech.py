from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from tts_server import OPENAI, TOKEN, TtsServer, speech

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.tags import FISH_S1
from dailytalk_contiguous.models.contracts import Line, Synthesiser, VoiceSample
from dailytalk_contiguous.models.openai_speech import INSTRUCTIONS, OpenAISpeech, instruction
from dailytalk_contiguous.models.paid import Client, Token

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
    engine: Synthesiser = OpenAISpeech(voice="verse", speed=1.1, base_url=server.url + suffix)
    spoken = engine.speak(LINE)
    assert server.asked[0].path == OPENAI
    assert server.asked[0].body == {
        "model": "gpt-4o-mini-tts",
        "input": "Are you sure?",
        "voice": "verse",
        "instructions": "Speak in an excited voice.",
        "response_format": "wav",
        "speed": 1.1,
    }
    assert len(spoken.samples) == len(speech(LINE.text, 24000)[0])
    assert (spoken.sample_rate, spoken.words, spoken.cost) == (24000, None, 0.0)


def test_a_line_without_a_tag_comes_without_instructions(server: TtsServer) -> None:
    OpenAISpeech(base_url=server.url).speak(LINE._replace(tag=""))
    assert "instructions" not in server.asked[0].body


@pytest.mark.parametrize("tag", [tag for group in FISH_S1.values() for tag in group])
def test_every_tag_is_a_sentence(tag: str) -> None:
    sentence = instruction(tag)
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert " a a" not in sentence.lower()


def test_sentence_has_the_article_of_its_tag_and_no_tag_none() -> None:
    assert [instruction(tag) for tag in ("", "uneasy", "brisk")] == [
        "",
        "Speak in an uneasy voice.",
        "Speak in a brisk voice.",
    ]


def test_no_entry_of_the_table_is_out_of_reach() -> None:
    assert set(INSTRUCTIONS) <= {tag for group in FISH_S1.values() for tag in group}
    assert {*FISH_S1["tones"], *FISH_S1["effects"], *FISH_S1["special"]} <= set(INSTRUCTIONS)


def test_a_tag_that_the_model_ignores_is_refused_before_it_is_paid_for() -> None:
    with pytest.raises(DailytalkError, match="tts-1-hd takes no instructions"):
        OpenAISpeech(model="tts-1-hd").speak(LINE)


def test_samples_of_a_voice_are_refused(server: TtsServer) -> None:
    with pytest.raises(DailytalkError, match="clones no voice"):
        OpenAISpeech(base_url=server.url).speak(LINE, [VoiceSample(b"", "")])


def test_faults_are_handled_as_everywhere(server: TtsServer) -> None:
    server.plan = ["429", "truncated", "empty"]
    transport = Client("the server", server.url, Token(TOKEN, "OPENAI_API_KEY"), sleep=lambda seconds: None)
    engine = OpenAISpeech(client=transport, usd_per_million_characters=1e6)
    assert engine.speak(LINE).cost == pytest.approx(3 * len(LINE.text))


def test_line_holds_its_price_while_it_is_asked_for(server: TtsServer) -> None:
    held: list[float] = []

    @contextmanager
    def reserve(price: float) -> Iterator[Callable[[float], None]]:
        held.append(price)
        yield held.append

    engine = OpenAISpeech(base_url=server.url, usd_per_million_characters=1e6)
    assert engine.speak(LINE, reserve=reserve).cost == 13.0
    assert held == [13.0, 13.0]


def test_the_public_service_has_a_price_and_needs_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert OpenAISpeech(model="tts-1").price([LINE]) == pytest.approx(13 * 15e-6)
    assert OpenAISpeech(model="gpt-4o-mini-tts-2025-12-15").price([LINE]) == pytest.approx(13 * 17e-6)
    assert OpenAISpeech(model="unheard-of").price([LINE]) == pytest.approx(13 * 30e-6)
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(DailytalkError, match="OPENAI_API_KEY"):
        OpenAISpeech().preflight()
    OpenAISpeech(base_url="http://localhost:8880/v1").preflight()


def test_settings_decide_the_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    base = OpenAISpeech().settings()
    assert base["server"] == "public"
    assert OpenAISpeech(base_url="http://localhost:8880/v1").settings()["server"] == "own"
    assert OpenAISpeech(speed=1.2).settings() != base
    monkeypatch.setitem(INSTRUCTIONS, "shouting", "Shout as loud as you can.")
    assert OpenAISpeech().settings() != base
    for speed in (0.25, 4.0):
        assert OpenAISpeech(speed=speed).settings()["speed"] == speed
    for speed in (0.24, 4.01):
        with pytest.raises(DailytalkError, match=f"speed is {speed}: give a number from 0.25 to 4"):
            OpenAISpeech(speed=speed)


def test_no_more_lines_are_said_at_once_than_asked_for(server: TtsServer) -> None:
    server.latency = 0.02
    engine = OpenAISpeech(base_url=server.url, concurrency=2)
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(engine.speak, [LINE] * 8))) == 8
    assert server.busiest <= 2
