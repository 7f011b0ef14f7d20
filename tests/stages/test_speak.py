import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import singing_voice
from scripted import Stubborn, loopback
from stage_calls import columns_after
from tts_server import TtsServer, speech

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import Batch
from dailytalk_contiguous.core.sound.samples import pcm_to_float
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.models import paid
from dailytalk_contiguous.models.budget import open_budget
from dailytalk_contiguous.models.engines import load_synthesiser
from dailytalk_contiguous.models.paid import RequestLimits
from dailytalk_contiguous.stages import take_verdicts
from dailytalk_contiguous.stages.synthesis import Speak

TEXT = "Good morning, is anybody there?"
SENT = f"(calm) {TEXT}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubborn]:
    open_budget.cache_clear()
    with loopback(monkeypatch, Stubborn("", "silence")) as running:
        assert isinstance(running, Stubborn)
        yield running


def batch(*texts: str, seconds: float = 2.0, **columns: list[Any]) -> Batch:
    count = len(texts)
    return {
        "utterance_id": [f"call/left/{index:04d}" for index in range(count)],
        "source_channel": ["left"] * count,
        "start": [0.0] * count,
        "end": [seconds] * count,
        "text": list(texts),
        "tag": ["calm"] * count,
        "language": ["en"] * count,
        "sample_rate": [16000] * count,
    } | columns


def stage(tmp_path: Path, **settings: Any) -> Speak:
    return Speak(cache=str(tmp_path / "cache"), **settings)


def say(tmp_path: Path, **settings: Any) -> Batch:
    """`TEXT`, said by a stage with these settings."""
    return columns_after(stage(tmp_path, **settings), batch(TEXT))


def own_server(monkeypatch: pytest.MonkeyPatch, server: TtsServer) -> None:
    open_budget.cache_clear()
    load_synthesiser.cache_clear()
    monkeypatch.setattr(paid, "RequestLimits", partial(RequestLimits, first_wait=0.0))
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)


def numbered(count: int) -> Batch:
    """Lines that differ in their number."""
    return batch(*(f"Line {number} is long enough." for number in range(count)))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("json", r"at http\S+ gave 3 answers .* asked for 'Line \d is.*', it answered 200 .* \(nothing to say\)"),
        ("silence", r"gave 3 takes, none of which can be used: that of 'Line \d.* because it is silent"),
    ],
)
def test_server_whose_answers_can_all_not_be_used_is_stopped_after_the_third(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, message: str
) -> None:
    with TtsServer(faults={fault: 1.0}, token="") as server:
        own_server(monkeypatch, server)
        speaks = stage(tmp_path, engine="openai", voice="a", concurrency=1)
        with pytest.raises(DailytalkError, match=message):
            columns_after(speaks, numbered(30))
    assert len(server.asked) <= 5  # two may be under way


def test_another_server_with_the_same_model_and_voice_is_asked_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []
    for _ in range(2):
        with TtsServer(token="") as server:
            own_server(monkeypatch, server)
            speaks = stage(tmp_path, engine="openai", model="tts-1", voice="alloy")
            digests.append(speaks.digest)
            first = columns_after(speaks, batch(TEXT))
            assert first["status"] == ["spoken"]
            assert len(server.asked) == 1
            again = columns_after(speaks, batch(TEXT))
            assert again["status"] == ["spoken"]
            assert len(server.asked) == 1
    assert digests[0] != digests[1]


@pytest.mark.parametrize("status", ["400", "401", "402", "403", "404"])
@pytest.mark.parametrize("engine", ["openai", "fish"])
def test_refusal_that_somebody_must_mend_is_met_by_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, engine: str
) -> None:
    with TtsServer(latency=0.05, faults={status: 1.0}, token="") as server:
        own_server(monkeypatch, server)
        monkeypatch.setenv("FISH_AUDIO_BASE_URL", server.url)
        speaks = stage(tmp_path, engine=engine, voice="a", concurrency=5)
        with pytest.raises(DailytalkError, match=status):
            columns_after(speaks, numbered(30))
    spoken = []
    for asked in server.asked:
        text = asked.body.get("input", asked.body.get("text"))
        spoken.append(text)
    assert len(set(spoken)) == 1  # Fish has two paths, which a server may lack
    assert len(spoken) <= 2


def takes(done: Batch) -> list[int]:
    return [synthesis["take"] for synthesis in done["synthesis"]]


def test_only_the_re_voiced_speaker_is_resynthesised(tmp_path: Path, server: Stubborn) -> None:
    lines = batch(TEXT, "I am kept.", "", source_channel=["left", "right", "left"])
    done = columns_after(stage(tmp_path), lines)
    assert done["status"] == ["spoken", "kept", "dropped"]
    assert done["reason"] == [None, None, "no text to say"]
    (asked,) = server.asked
    assert asked.body["text"] == SENT
    spoken, kept, dropped = done["spoken"]
    assert spoken
    assert not kept
    assert not dropped
    assert set(done) == set(Speak.adds)
    right = stage(tmp_path, revoice="right", no_text="keep-original")
    without_text = batch("", "", source_channel=["left", "right"])
    silent = columns_after(right, without_text)
    assert silent["status"] == ["kept", "kept-original"]


def test_what_is_sent_is_the_mapped_tag_the_text_and_the_settings(tmp_path: Path, server: Stubborn) -> None:
    chosen = stage(tmp_path, tag_map=(("calm", "soft tone"),), temperature=0.25, top_p=0.5, voice="a-voice")
    done = columns_after(chosen, batch(f" {TEXT} "))
    assert done["status"] == ["spoken"]
    (asked,) = server.asked
    assert asked.body["text"] == f"(soft tone) {TEXT}"
    assert asked.body["temperature"] == 0.25
    assert asked.body["top_p"] == 0.5
    assert asked.body["sample_rate"] == 24000
    assert asked.body["reference_id"] == "a-voice"


def test_speech_loses_its_edge_silence_and_its_words_move_with_it(tmp_path: Path, server: Stubborn) -> None:
    done = say(tmp_path)
    (pcm,) = done["spoken"]
    (seconds,) = done["spoken_seconds"]
    (words,) = done["spoken_words"]
    samples = pcm_to_float(pcm)
    truth, rate, true_words = speech(SENT, 24000)
    duration = len(samples) / rate
    assert duration == pytest.approx(seconds, abs=1e-4)
    _, true_start, _ = true_words[0]
    cut = true_start - words[0]["start"]
    assert 0.05 < cut < 0.1
    assert len(truth) / rate - seconds > 0.1
    first = round(cut * rate)
    expected = truth[first : first + len(samples)]
    assert np.abs(samples - expected).max() < 1e-3
    texts = [word["word"] for word in words]
    assert texts == TEXT.split()
    for word in words:
        assert word["end"] > word["start"]


def test_receipt_says_what_was_said_by_whom_and_what_it_cost(tmp_path: Path, server: Stubborn) -> None:
    server.plan = ["silence", ""]
    done = say(tmp_path, voice="a-voice")
    assert done["tag_said"] == [True]
    (receipt,) = done["synthesis"]
    assert receipt["engine"] == "fish"
    assert receipt["model"] == "s1"
    assert receipt["voice"] == "a-voice"
    assert receipt["take"] == 1
    assert receipt["tries"] == 2
    assert receipt["word_error_rate"] is None
    price = 15e-6 * len(SENT)
    assert receipt["cost"] == pytest.approx(2 * price)
    key = receipt["cache_key"]
    cached = tmp_path / "cache" / key[:2] / f"{key}.flac"
    assert cached.is_file()


@pytest.mark.parametrize("lacking", [0, 1])
def test_line_is_paid_for_by_the_bytes_that_are_sent_and_costs_nothing_again(
    tmp_path: Path, server: Stubborn, lacking: int
) -> None:
    """Umlauts have two bytes, and the tag before the text is paid for, too: so count the limit and the cache."""
    text = "Schöne Grüße aus Köln."
    sent = f"(calm) {text}".encode()
    price = 15e-6 * len(sent)
    bought = stage(tmp_path, max_cost_usd=price - 15e-6 * lacking)
    if lacking:
        with pytest.raises(DailytalkError, match=r"spending limit.*--max-cost"):
            columns_after(bought, batch(text))
        assert server.asked == []
        return
    done = columns_after(bought, batch(text))
    (receipt,) = done["synthesis"]
    assert receipt["cost"] == pytest.approx(price)
    budget = open_budget(price)
    assert budget.as_dict() == {"spent": round(price, 6), "saved_by_cache": 0.0, "unit": "USD"}
    again = columns_after(bought, batch(text))
    assert again["status"] == ["spoken"]
    saved = open_budget(price).as_dict()["saved_by_cache"]
    assert saved == round(price, 6)
    assert len(server.asked) == 1


# Takes


@pytest.mark.parametrize("tries", [1, 2, 4])
def test_tries_bound_what_a_run_buys_of_an_utterance_and_the_next_run_asks_again(
    tmp_path: Path, server: Stubborn, tries: int
) -> None:
    server.word = "morning"
    for run in (1, 2):
        open_budget.cache_clear()
        done = say(tmp_path, tries=tries)
        assert done["status"] == ["failed"]
        assert len(server.asked) == run * tries
        (reason,) = done["reason"]
        assert reason.startswith("could not be said: it is silent (nothing above -50 dBFS)")
        assert done["spoken"] == [b""]
        say(tmp_path, tries=tries)  # in the same run
        assert len(server.asked) == run * tries
    server.word = ""
    open_budget.cache_clear()
    for _ in range(2):
        assert takes(say(tmp_path, tries=tries)) == [2 * tries]
        assert len(server.asked) == 2 * tries + 1


LINES = (
    "Good morning, how can I help you today?",
    "Okay the price.",
    "I would like to book a table for four people.",
    "Could you tell me when the next train leaves?",
    "That is a little later than I had hoped.",
    "And how much would two tickets be?",
    "Perfect, thank you so much for your help.",
)


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_take_that_was_cut_off_is_refused_and_bought_again(tmp_path: Path, server: Stubborn, share: float) -> None:
    """Whole by its header, so that only its sound tells."""
    conversation = ["call"] * len(LINES)
    lines = batch(*LINES, conversation_id=conversation)
    server.short = {f"(calm) {LINES[1]}": share, f"(calm) {LINES[4]}": share}
    done = columns_after(stage(tmp_path), lines)
    assert done["status"] == ["spoken"] * len(LINES)
    assert takes(done) == [0, 1, 0, 0, 1, 0, 0]


def heard(*texts: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let a recogniser hear these texts, one after another; returns those that are left."""
    left = list(texts)

    def hear(*asked: Any) -> list[list[Word]]:
        return [[Word(word, 0.0, 0.1, 1.0) for word in left.pop(0).split()]]

    monkeypatch.setattr(take_verdicts, "recognise", hear)
    return left


def test_first_take_that_is_heard_right_is_kept(
    tmp_path: Path, server: Stubborn, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = stage(tmp_path, verify="ears")
    heard("morning", "Good morning, is anybody there", monkeypatch=monkeypatch)
    done = columns_after(chosen, batch(TEXT))
    (synthesis,) = done["synthesis"]
    assert synthesis["take"] == 1
    assert synthesis["word_error_rate"] == 0.0
    assert server.purchases[SENT] == 2
    assert synthesis["tries"] == 2
    again = columns_after(chosen, batch(TEXT))  # nobody listens again
    assert takes(again) == [1]
    assert server.purchases[SENT] == 2


def test_take_whose_words_are_wrong_is_refused_once_for_all(
    tmp_path: Path, server: Stubborn, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = stage(tmp_path, verify="ears", tries=2)
    unheard = heard("quite another thing", "nothing at all", TEXT, monkeypatch=monkeypatch)
    done = columns_after(chosen, batch(TEXT))
    assert done["reason"] == [
        "could not be said: ears hears something else (word error rate 100%) (the last of 2 takes)"
    ]
    again = columns_after(chosen, batch(TEXT))
    assert again["status"] == ["failed"]
    once_more = say(tmp_path, verify="ears", tries=3)
    assert takes(once_more) == [2]
    assert unheard == []


def test_take_that_cannot_be_verified_buys_no_other(
    tmp_path: Path, server: Stubborn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*asked: Any) -> Any:
        raise ValueError("math domain error")

    monkeypatch.setattr(take_verdicts, "recognise", fail)
    verified = stage(tmp_path, verify="ears", tries=3)
    done = columns_after(verified, batch(TEXT))
    assert done["status"] == ["failed"]
    assert server.purchases[SENT] == 1
    assert "can't be verified, because the recogniser ears failed (ValueError" in done["reason"][0]
    heard(TEXT, monkeypatch=monkeypatch)
    assert takes(columns_after(verified, batch(TEXT))) == [0]
    assert server.purchases[SENT] == 1


def test_engine_that_follows_the_rate_of_the_source_gets_it_as_a_multiple_of_the_speakers_own(
    tmp_path: Path,
) -> None:
    hurried = {"tag": ["in a hurry tone"] * 4, "conversation_id": ["one", "one", "one", "two"]}
    lines = batch(*[TEXT] * 4, **hurried, speech_rate=[4.0, 4.0, 6.0, 6.0])
    done = columns_after(stage(tmp_path, engine="piper"), lines)
    usual, same, faster, alone = done["spoken_seconds"]
    assert usual == same == alone  # the median of its speaker in its conversation
    assert faster == pytest.approx(usual / 1.5, rel=0.15)
    line = Speak().line(TEXT, "calm", "en", 0, 1.5)
    assert line.rate is None  # Fish can't


# The transport


# Settings


def test_digest_depends_on_the_voice_and_the_server_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Stubborn
) -> None:
    """Else a run with another `FISH_AUDIO_REFERENCE_ID` would keep conversations that the old voice says."""
    speaks = stage(tmp_path)
    first = speaks.digest
    load_synthesiser.cache_clear()
    assert speaks.digest == first
    monkeypatch.setenv("FISH_AUDIO_REFERENCE_ID", "another-voice")
    load_synthesiser.cache_clear()
    other_voice = speaks.digest
    monkeypatch.setenv("FISH_AUDIO_BASE_URL", "http://127.0.0.1:9/v1")
    load_synthesiser.cache_clear()
    other_server = speaks.digest
    assert len({first, other_voice, other_server}) == 3


def test_variants_spread_utterances_of_one_text_over_so_many_takes(tmp_path: Path, server: Stubborn) -> None:
    speaks = stage(tmp_path, variants=3)
    lines = batch(*[TEXT] * 12)
    spread = takes(columns_after(speaks, lines))
    assert set(spread) == {0, 1, 2}
    assert server.purchases[SENT] == 3
    for index in (0, 5, 11):  # whatever is said beside it
        alone = {name: [values[index]] for name, values in lines.items()}
        assert takes(columns_after(speaks, alone)) == [spread[index]]
    assert server.purchases[SENT] == 3


def test_refused_take_is_followed_by_one_that_no_other_variant_has(tmp_path: Path, server: Stubborn) -> None:
    speaks = stage(tmp_path, variants=3)
    lines = batch(TEXT)
    (identity,) = lines["utterance_id"]
    first = speaks.first_take(identity)
    server.plan = ["silence"]
    assert takes(columns_after(speaks, lines)) == [first + 3]


@pytest.mark.parametrize("concurrency", [1, 8])
def test_so_many_lines_are_asked_for_at_a_time_as_concurrency_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Stubborn, concurrency: int
) -> None:
    # The answers wait for each other; a client that loses its patience meanwhile would ask again.
    patient = partial(RequestLimits, read_seconds=60.0, first_wait=0.0)
    monkeypatch.setattr(paid, "RequestLimits", patient)
    load_synthesiser.cache_clear()
    speaks = stage(tmp_path, concurrency=concurrency)
    columns_after(speaks, batch(TEXT))  # until the server has answered one line, it is asked for no other
    server.latency = 0.05

    def wait_for_the_others() -> None:
        # Not a Barrier: 1 in 4,096 pairs of lines share a lock of the cache, and one of them waits until the other
        # has its answer. So each answer waits for a while, and the lines after it are so many again.
        deadline = time.monotonic() + 5
        while server.busiest < concurrency and time.monotonic() < deadline:
            time.sleep(0.01)

    server.before_answer = wait_for_the_others
    done = columns_after(speaks, numbered(16))
    assert done["status"] == ["spoken"] * 16
    assert len(server.asked) == 1 + 16
    assert server.busiest == concurrency


def test_rate_of_a_recording_of_unknown_rate_is_the_one_that_is_asked_for(
    tmp_path: Path, server: Stubborn
) -> None:
    """`sample_rate` 0 buys 44.1 kHz: another rate would be another line in the cache, and be bought again."""
    speaks = stage(tmp_path, sample_rate=0)
    unknown = columns_after(speaks, batch(TEXT, sample_rate=[None]))
    (asked,) = server.asked
    assert asked.body["sample_rate"] == 44100
    (pcm,) = unknown["spoken"]
    (seconds,) = unknown["spoken_seconds"]
    assert len(pcm_to_float(pcm)) == pytest.approx(44100 * seconds, abs=1)
    of_the_recording = columns_after(speaks, batch(TEXT))
    assert len(server.asked) == 1
    (pcm,) = of_the_recording["spoken"]
    (seconds,) = of_the_recording["spoken_seconds"]
    assert len(pcm_to_float(pcm)) == pytest.approx(16000 * seconds, abs=1)


class Early(Stubborn):
    """Says that its first word is over before its sound begins."""

    def sound(self, text: str, rate: int) -> tuple[np.ndarray, int, tuple[tuple[str, float, float], ...]]:
        samples, rate, words = super().sound(text, rate)
        first, *following = words
        early = (first[0], 0.0, 0.05)
        return samples, rate, (early, *following)


def test_no_word_begins_or_ends_before_the_speech_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_budget.cache_clear()
    with loopback(monkeypatch, Early("", "silence")):
        done = say(tmp_path)
    first, second, *_ = done["spoken_words"][0]
    assert first["start"] == 0.0
    assert first["end"] == 0.0
    assert second["start"] > 0.0


class Hasty(Stubborn):
    """Says its words three times as fast as people do, with a long pause between them, and ends calmly."""

    def sound(self, text: str, rate: int) -> tuple[np.ndarray, int, tuple[tuple[str, float, float], ...]]:
        samples, rate, words = super().sound(text, rate)
        edge = np.zeros(rate // 10, np.float32)
        hasty = samples[len(edge) : -len(edge) : 3]
        first, second = np.array_split(hasty, 2)
        pause = np.zeros(rate, np.float32)
        sound = np.concatenate([edge, first, pause, second, edge])
        return sound, rate, words


@pytest.mark.parametrize(("seconds", "status"), [(2.0, "failed"), (0.5, "spoken")])
def test_hasty_take_is_good_where_its_source_was_as_hasty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, status: str
) -> None:
    """A source without word times counts as speech from its start to its end."""
    open_budget.cache_clear()
    lines = batch("Well, that is good to know.", seconds=seconds)
    with loopback(monkeypatch, Hasty("", "silence", timestamps=False)):
        done = columns_after(stage(tmp_path, tries=1), lines)
    assert done["status"] == [status]
    if status == "failed":
        assert "it is too short for its text" in done["reason"][0]


def test_take_without_its_last_word_is_refused_though_few_words_are_wrong(
    tmp_path: Path, server: Stubborn, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard("Good morning, is anybody", TEXT, monkeypatch=monkeypatch)
    done = say(tmp_path, verify="ears")
    assert takes(done) == [1]
    heard("Good morning, is anybody", monkeypatch=monkeypatch)
    strict = say(tmp_path / "strict", verify="ears", tries=1)
    assert strict["reason"] == ["could not be said: ears does not hear its last word"]
    heard("Good morning, anybody there", monkeypatch=monkeypatch)
    other = say(tmp_path / "other", verify="ears", tries=1)
    (receipt,) = other["synthesis"]
    assert receipt["word_error_rate"] == pytest.approx(0.2)


def test_another_recogniser_hears_for_itself_what_is_in_the_cache(
    tmp_path: Path, server: Stubborn, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard(TEXT, monkeypatch=monkeypatch)
    done = say(tmp_path, verify="ears", tries=1)
    assert done["status"] == ["spoken"]
    unheard = heard("quite another thing", monkeypatch=monkeypatch)
    refused = say(tmp_path, verify="better ears", tries=1)
    assert refused["status"] == ["failed"]
    assert unheard == []
    assert len(server.asked) == 1


def test_takes_are_measured_unless_nobody_wants_that(tmp_path: Path, server: Stubborn) -> None:
    (measured,) = say(tmp_path)["synthesis"]
    (unmeasured,) = say(tmp_path, measure_takes="none")["synthesis"]
    for name in ("rms", "f0_mean", "speech_rate"):
        assert measured[name] > 0
        assert unmeasured[name] is None
    assert unmeasured["cache_key"] == measured["cache_key"]


def test_row_says_that_an_engine_without_tags_said_none(tmp_path: Path) -> None:
    lines = batch("Sing it.", "Sing it.", tag=["calm", ""])
    done = columns_after(stage(tmp_path, engine=singing_voice.__file__), lines)
    assert done["status"] == ["spoken", "spoken"]
    assert done["tag_said"] == [False, None]


def test_pitch_of_a_take_is_that_of_its_sound_at_any_rate(tmp_path: Path, server: Stubborn) -> None:
    pitches = []
    for rate in (16000, 24000, 44100):
        (synthesis,) = say(tmp_path, sample_rate=rate)["synthesis"]
        pitches.append(synthesis["f0_mean"])
    assert pitches == pytest.approx([pitches[0]] * 3, rel=0.03)
    samples, rate, _ = speech(SENT, 24000)
    spectrum = np.abs(np.fft.rfft(samples))
    peak = np.argmax(spectrum)
    loudest = float(peak * rate / len(samples))
    assert pitches[0] == pytest.approx(loudest, rel=0.05)
