from collections.abc import Iterator

import pytest
from spending import reserving
from tts_server import OPENAI, TOKEN, TtsServer, speech

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.tags import FISH_S1
from dailytalk_contiguous.models.contracts import Line, Synthesiser
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
    assert len(spoken.samples) == len(speech(LINE.text, 24000)[0])
    assert (spoken.sample_rate, spoken.words, spoken.cost) == (24000, None, 0.0)


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


def test_a_tag_that_the_model_ignores_is_refused_before_it_is_paid_for() -> None:
    with pytest.raises(DailytalkError, match="tts-1-hd takes no instructions"):
        OpenAISpeech(model="tts-1-hd").speak(LINE)


def test_faults_are_handled_as_everywhere(server: TtsServer) -> None:
    server.plan = ["429", "truncated", "empty"]
    transport = Client("the server", server.url, Token(TOKEN, "OPENAI_API_KEY"), sleep=lambda seconds: None)
    engine = OpenAISpeech(client=transport, usd_per_million_characters=1e6)
    assert engine.speak(LINE).cost == pytest.approx(3 * len(LINE.text))


def test_line_holds_its_price_while_it_is_asked_for(server: TtsServer) -> None:
    held: list[float] = []

    engine = OpenAISpeech(base_url=server.url, usd_per_million_characters=1e6)
    assert engine.speak(LINE, reserve=reserving(held, held)).cost == 13.0
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
    monkeypatch.setitem(INSTRUCTIONS, "shouting", "Shout as loud as you can.")
    assert OpenAISpeech().settings() != base
