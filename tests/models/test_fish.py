import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from spending import reserving
from tts_server import FISH, FISH_TIMES, TOKEN, OwnServer, TtsServer, speech, wav

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.style.tags import STYLES
from dailytalk_contiguous.models.contracts import Line, Synthesiser, VoiceSample
from dailytalk_contiguous.models.paid import Client, RequestLimits
from dailytalk_contiguous.models.request_failures import LongRead
from dailytalk_contiguous.models.service_token import Token
from dailytalk_contiguous.models.synthesisers.fish import MODELS, Fish, FishSampling, read_stream_events

LINE = Line("Oh, I can't believe it!", "excited", "en", 0)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FISH_AUDIO_REFERENCE_ID", "a-voice")
    for name in ("BEARER_TOKEN", "FISH_AUDIO_BASE_URL", "FISH_AUDIO_USD_PER_MILLION_BYTES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FISH_API_KEY", TOKEN)


@pytest.fixture
def server() -> Iterator[TtsServer]:
    with TtsServer() as running:
        yield running


def fish(server: TtsServer, **options: Any) -> Fish:
    transport = Client("Fish Audio", server.url, Token(TOKEN, "FISH_API_KEY"), RequestLimits(first_wait=0.0))
    return Fish(client=transport, **options)


def test_a_line_comes_with_its_words_at_the_rate_asked_for(server: TtsServer) -> None:
    engine: Synthesiser = fish(server, sampling=FishSampling(sample_rate=16000))
    spoken = engine.speak(LINE)
    truth, _, words = speech("(excited) " + LINE.text, 16000)
    assert spoken.sample_rate == 16000
    assert np.abs(spoken.samples - truth).max() < 1e-4
    assert spoken.words is not None
    assert [word.word for word in spoken.words] == ["Oh,", "I", "can't", "believe", "it!"]
    times = [(word.start, word.end) for word in spoken.words]
    true_times = [word[1:] for word in words]
    assert np.allclose(times, true_times, atol=1e-6)
    assert spoken.cost == engine.price([LINE])


@pytest.mark.parametrize("model", MODELS)
def test_what_is_sent_names_the_model_and_the_tag_as_the_model_reads_it(server: TtsServer, model: str) -> None:
    engine = fish(server, model=model, voice="a-voice", sampling=FishSampling(0.5, 0.6))
    engine.speak(LINE)
    asked = server.asked[0]
    assert asked.path == FISH_TIMES
    assert asked.headers["model"] == model
    assert asked.headers["Authorization"] == f"Bearer {TOKEN}"
    tag = "(excited)" if model == "s1" else "[excited]"
    assert asked.body["text"] == f"{tag} {LINE.text}"
    assert MODELS[model][0] in STYLES
    wanted = {"format": "wav", "sample_rate": 24000, "reference_id": "a-voice", "temperature": 0.5, "top_p": 0.6}
    assert wanted.items() <= asked.body.items()


def test_voice_samples_travel_as_message_pack_and_no_voice_id_beside_them(server: TtsServer) -> None:
    silence = wav(np.zeros(2400, np.float32), 24000)
    sample = VoiceSample(silence, "Well, hello.")
    fish(server, voice="clone").speak(LINE, [sample])
    asked = server.asked[0]
    assert asked.headers["Content-Type"] == "application/msgpack"
    assert asked.body["references"] == [{"audio": sample.wav, "text": sample.text}]
    assert "reference_id" not in asked.body


def test_a_server_without_word_times_is_asked_for_them_once() -> None:
    with TtsServer(timestamps=False) as server:
        engine = fish(server)
        spoken = [engine.speak(LINE), engine.speak(LINE)]
        assert [asked.path for asked in server.asked] == [FISH_TIMES, FISH, FISH]
    assert [take.words for take in spoken] == [None, None]
    assert len(spoken[0].samples)


@pytest.mark.parametrize("status", ["400", "404"])
def test_a_line_that_is_refused_after_others_were_said_is_not_asked_for_again(
    server: TtsServer, status: str
) -> None:
    engine = fish(server)
    engine.speak(LINE)
    server.plan = [status]
    with pytest.raises(DailytalkError, match=f"answered {status}"):
        engine.speak(Line("Never mind.", "", "en", 0))
    assert [asked.path for asked in server.asked] == [FISH_TIMES, FISH_TIMES]


@pytest.mark.parametrize("timestamps", [True, False])
def test_a_line_reserves_its_price_and_is_charged_by_either_path(
    timestamps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a service without word times would be paid past `--max-cost`."""
    monkeypatch.setenv("FISH_AUDIO_USD_PER_MILLION_BYTES", "15")
    reserved: list[float] = []
    charged: list[float] = []
    with TtsServer(timestamps=timestamps) as server:
        engine = fish(server)
        engine.speak(LINE)  # finds out which paths there are
        engine.speak(LINE, reserve=reserving(reserved, charged))
    price = engine.price([LINE])
    assert price > 0
    assert (reserved, charged) == ([price], [price])


@pytest.mark.parametrize("timestamps", [True, False])
@pytest.mark.parametrize("fault", ["empty", "truncated", "streaming-header"])
def test_broken_audio_is_asked_for_again_and_counted_as_paid(fault: str, timestamps: bool) -> None:
    with TtsServer() as server:
        server.plan = [fault]
        engine = fish(server)
        engine._timestamps = timestamps
        spoken = engine.speak(LINE)
    tries = 1 if fault == "streaming-header" else 2
    assert sum(server.answers.values()) == tries
    truth, _, _ = speech("(excited) " + LINE.text, 24000)
    assert len(spoken.samples) == len(truth)
    assert server.purchases.total() == 1
    if fault != "cut-off":
        assert spoken.cost == pytest.approx(tries * engine.price([LINE]))


def test_settings_hold_what_decides_the_sound_and_no_secret() -> None:
    base = Fish(voice="v").settings()
    assert Fish(sampling=FishSampling(temperature=0.1)).settings() != base
    here = Fish(base_url="http://localhost:1")
    beside = Fish(base_url="http://localhost:2")
    assert here.served_by != Fish(voice="v").served_by
    assert here.settings() == beside.settings()
    assert Fish(concurrency=1).settings() == base
    assert TOKEN not in json.dumps(base)


@pytest.mark.parametrize("price", ["nan", "-5", "inf", "abc"])
def test_price_that_would_switch_the_spending_limit_off_is_refused(
    monkeypatch: pytest.MonkeyPatch, price: str
) -> None:
    monkeypatch.setenv("FISH_AUDIO_USD_PER_MILLION_BYTES", price)
    with pytest.raises(DailytalkError, match=f"FISH_AUDIO_USD_PER_MILLION_BYTES is '{price}'"):
        Fish()


def test_the_public_service_needs_a_token_and_ones_own_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    Fish().preflight()
    monkeypatch.delenv("FISH_API_KEY")
    monkeypatch.setenv("BEARER_TOKEN", TOKEN)  # of whichever service: it is not sent to this one
    with pytest.raises(DailytalkError, match="needs a token: set FISH_API_KEY"):
        Fish().preflight()
    Fish(base_url="http://localhost:8080").preflight()


def test_voice_that_ones_own_server_does_not_have_is_not_said_in_any() -> None:
    with OwnServer() as server:
        server.lists["/v1/references/list?format=json"] = {"success": True, "reference_ids": ["anna", "bert"]}
        with pytest.raises(DailytalkError, match=r"no voice 'a-voice'.*anna, bert"):
            Fish(base_url=server.url).speak(LINE)
        assert server.asked == []
        for voice in ("anna", "any"):
            Fish(voice=voice, base_url=server.url).speak(LINE)


def test_without_a_voice_nothing_is_bought_unless_any_will_do(
    server: TtsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FISH_AUDIO_REFERENCE_ID")
    with pytest.raises(DailytalkError, match=r"every line in another voice .*--voice ID .*--voice any"):
        fish(server).preflight()
    engine = fish(server, voice="any")
    engine.preflight()
    engine.speak(LINE)
    assert [asked.body["reference_id"] for asked in server.asked] == [None]


def test_a_line_costs_by_the_bytes_of_its_text_and_its_tag() -> None:
    line = Line("Schöne Grüße!", "curious", "de", 0)
    text = "Schöne Grüße!"
    n_bytes = len(f"(curious) {text}".encode())
    assert n_bytes > len(f"(curious) {text}")
    assert Fish().price([line]) == pytest.approx(15e-6 * n_bytes)
    assert Fish(model="s2-pro").price([line, line]) == pytest.approx(2 * 15e-6 * n_bytes)
    without_tag = line._replace(tag="")
    assert Fish().price([without_tag]) == pytest.approx(15e-6 * len(text.encode()))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'data: {"audio_base64": "", "alignment": {"segments": [%s]}}\n\n', "its alignment has more than"),
        (b"\n" * 200_000, "more than 100,000 lines"),
        (b'data: {"a": "' + b"a" * (13 << 20) + b'"}\n\n', "an event of over"),
        (b'data: {"audio_base64": "UklGRg=="}\n\n' * 2000, "more than 1,000 sounds"),
    ],
    ids=["letters", "lines", "event", "sounds"],
)
def test_a_stream_with_more_than_its_line_can_need_is_refused(body: bytes, words: str) -> None:
    segment = json.dumps({"text": "a" * 1000, "start": 0.0, "end": 1.0}).encode()
    segments = b",".join([segment] * 3)
    with pytest.raises(LongRead, match=words):
        read_stream_events(body.replace(b"%s", segments), LINE.text)
