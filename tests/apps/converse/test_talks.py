"""Talks: what is heard is answered, spoken, interrupted, remembered and kept."""

import importlib
import itertools
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from chat_server import ChatServer
from command import PROGRAM, Command
from recordings import excerpt, save
from talking import QUESTION, RIGHT, WAIT, Simulation, silence
from tts_server import TOKEN, TtsServer

from dailytalk_contiguous.apps.converse.dialogue import TurnEmotion
from dailytalk_contiguous.apps.converse.sound_blocks import BLOCK, TALK_RATE, DeviceBlocks, FileBlocks
from dailytalk_contiguous.apps.converse.talk_settings import TalkSettings
from dailytalk_contiguous.apps.converse.talk_setup import TalkVoice
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.utterance import CUT_MARK
from dailytalk_contiguous.models.engines import load_synthesiser
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.opening import open_items


def test_a_question_is_answered_half_a_second_after_it() -> None:
    talk = Simulation(["where have you been"]).hear(silence(0.5), QUESTION, silence(1.0)).until_idle()
    played = np.flatnonzero(np.abs(talk.played) > 0.01)
    asked = np.flatnonzero(np.abs(QUESTION) > 0.02)
    begins = played[0] / TALK_RATE
    ends = 0.5 + asked[-1] / TALK_RATE
    assert 0.4 <= begins - ends <= 0.65
    assert talk.of("user") == ["where have you been"]
    assert talk.of("reply") == ["I hear you.", "Tell me more about it."]
    assert talk.mind.asked == [[("system", "You listen."), ("user", "where have you been")]]
    assert talk.talk.idle


#: What a classifier makes of every turn.
SURE = TurnEmotion("voice-linear", {"sad": 0.9}, {"valence": 0.2, "arousal": 0.3}, limit=0.5)


def test_the_next_message_holds_what_was_said_before_and_the_feeling_when_sure() -> None:
    talk = Simulation(["one", "two"], "Go on.", feel=lambda sound, start: SURE)
    for _ in range(2):
        talk.hear(silence(0.3), QUESTION, silence(1.0)).until_idle()
    note = "[sounds sad (confidence 0.90); valence 0.20, arousal 0.30]"
    _, *messages = talk.mind.asked[1]
    assert messages == [("user", f"one\n{note}"), ("assistant", "Go on."), ("user", f"two\n{note}")]


FIRST_SENTENCE = "This is a long answer that goes on for quite a while."
LONG = f"{FIRST_SENTENCE} And then there is a second sentence, too."


def test_speaking_over_it_silences_the_voice_within_a_fifth_of_a_second() -> None:
    talk = Simulation(["hello", "wait wait let me hear it", "so"], LONG)
    talk.hear(QUESTION, silence(2.0))
    assert not talk.talk.idle
    before = len(talk.played)
    talk.hear(WAIT, silence(1.5)).until_idle()
    after = talk.played[before : before + 3 * TALK_RATE]
    voice = np.flatnonzero(np.abs(after) > 0.01)
    interruption = np.flatnonzero(np.abs(WAIT) > 0.02)
    assert (voice[-1] - interruption[0]) / TALK_RATE <= 0.2
    assert talk.of("heard") == [CUT_MARK]
    assistant = talk.mind.asked[1][2][1]
    assert assistant.startswith("This is a long")
    assert assistant.endswith(CUT_MARK)
    assert "second" not in assistant
    assert talk.mind.asked[1][3] == ("user", "wait wait let me hear it")


def test_a_backchannel_does_not_stop_the_voice_and_every_word_is_heard() -> None:
    talk = Simulation(["hello", "right"], LONG)
    talk.hear(QUESTION, silence(2.0), RIGHT, silence(2.0)).until_idle()
    assert talk.of("heard") == []
    assert len(talk.mind.asked) == 1
    assert talk.of("reply") == LONG.replace("while. ", "while.\n").split("\n")
    talk.hear(QUESTION, silence(2.0))
    assert talk.mind.asked[1][2] == ("assistant", LONG)


def test_a_pause_inside_a_turn_does_not_end_it() -> None:
    talk = Simulation(["I went home", "and then I slept"], "I see.")
    talk.hear(QUESTION, silence(0.35), QUESTION, silence(1.0)).until_idle()
    assert talk.of("user") == ["I went home"]
    assert len(talk.mind.asked) == 1


# Minds and voices that fail: a sentence each, and the talk goes on.


def broken(messages: object) -> Iterator[str]:
    yield "I was about to say. And"
    raise DailytalkError("the chat server hung up", "say it again")


@pytest.mark.parametrize(
    ("answer", "note", "replies"),
    [
        (broken, "the reply broke off: the chat server hung up: say it again", ["I was about to say.", "And"]),
    ],
)
def test_a_mind_that_fails_does_not_end_the_talk(answer, note: str, replies: list[str]) -> None:
    talk = Simulation(["hello", "again"], answer).hear(QUESTION, silence(1.0)).until_idle(60)
    assert any(note in sentence for sentence in talk.of("notice"))
    assert talk.of("reply") == replies
    assert talk.talk.idle
    talk.hear(QUESTION, silence(1.0))
    assert len(talk.mind.asked) == 2


def test_a_talk_that_ends_in_the_middle_of_a_turn_keeps_its_words(tmp_path: Path) -> None:
    talk = Simulation(["where have you been"], folder=tmp_path / "talks").hear(QUESTION)
    talk.talk.end()
    (row,) = open_items(tmp_path / "talks").rows()
    assert [line["text"] for line in row["utterances"]] == ["where have you been"]


# The record.


def errors_in(folder: Path) -> list[str]:
    findings, _ = check_folder(folder)
    return [finding.kind for finding in findings if finding.level == "error"]


def test_a_talk_is_kept_as_training_data(tmp_path: Path, dailytalk: Command) -> None:
    folder = tmp_path / "talks"
    texts = ["hello you", "right", "wait wait let me hear"]
    talk = Simulation(texts, LONG, folder, feel=lambda sound, start: SURE)
    talk.hear(QUESTION, silence(2.0), RIGHT, silence(1.5), WAIT, silence(1.0)).until_idle()
    talk.talk.end()
    samples, rate = soundfile.read(folder / "talk.wav")
    assert rate == TALK_RATE
    assert samples.shape[1] == 2
    assert abs(len(samples) - len(talk.played)) <= BLOCK
    n_samples = min(len(samples), len(talk.played))
    np.testing.assert_allclose(samples[:n_samples, 0], talk.played[:n_samples], atol=1e-4)
    (row,) = open_items(folder).rows()
    user = [utterance for utterance in row["utterances"] if utterance["channel"] == "right"]
    replies = [utterance["text"] for utterance in row["utterances"] if utterance["channel"] == "left"]
    assert [utterance["text"] for utterance in user] == texts
    assert user[1]["event"] == "backchannel"
    assert user[0]["emotion_class"] == "sad"
    assert user[0]["emotion_model"] == "voice-linear"
    assert user[0]["valence"] == 0.2
    assert user[0]["emotion_probabilities"] == [{"emotion": "sad", "probability": 0.9}]
    assert any(text.endswith(CUT_MARK) for text in replies)
    words = [word["word"] for word in row["alignments"] if word["speaker"] == "left"]
    assert words[:6] == ["This", "is", "a", "long", "answer", "that"]
    assert errors_in(folder) == []
    _, facts = check_folder(folder)
    assert facts["kind"] == "talks"
    moshi = tmp_path / "moshi"
    done = dailytalk("export", folder, "--format", "moshi", "--out", moshi)
    assert done.code == 0, done.err
    assert errors_in(moshi) == []


def test_a_talk_that_is_killed_keeps_the_sentences_that_were_finished(tmp_path: Path) -> None:
    folder = tmp_path / "talks"
    talk = Simulation(["hello"], LONG, folder).hear(QUESTION, silence(6.0))
    (row,) = open_items(folder).rows()
    assert [utterance["text"] for utterance in row["utterances"]] == ["hello", FIRST_SENTENCE]
    assert row["alignments"][-1]["end"] <= row["duration"]
    assert errors_in(folder) == []
    _, facts = check_folder(folder)
    assert facts["conversations"] == 1
    talk.talk.end()

    Simulation([], folder=tmp_path / "silent").hear(silence(1.0))  # killed before the voice said anything
    findings, facts = check_folder(tmp_path / "silent")
    assert [finding.kind for finding in findings] == ["unanswered-talk"]
    assert facts["conversations"] == 0


def test_words_after_the_end_of_the_sound_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "talks"
    talk = Simulation(["hello"], LONG, folder).hear(QUESTION, silence(1.0)).until_idle()
    talk.talk.end()
    path = folder / "talk.wav"
    samples, _ = soundfile.read(path)
    soundfile.write(path, samples[: 4 * TALK_RATE], TALK_RATE)
    (row,) = open_items(folder).rows()
    assert [utterance["text"] for utterance in row["utterances"]] == ["hello", FIRST_SENTENCE]
    for timed in (*row["utterances"], *row["alignments"]):
        assert timed["start"] < timed["end"] <= 4.0


def test_a_full_disk_ends_the_record_and_not_the_talk(tmp_path: Path) -> None:
    talk = Simulation(["hello"], folder=tmp_path / "talks").hear(silence(1.0))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (tmp_path / "talks/talk.wav").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        talk.hear(QUESTION, silence(1.0)).until_idle()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (notice,) = talk.of("notice")
    assert notice.startswith("nothing more is recorded (")
    assert talk.of("reply") != []
    assert soundfile.info(tmp_path / "talks/talk.wav").duration > 0.5


def test_a_turn_without_words_is_told() -> None:
    talk = Simulation([""]).hear(QUESTION, silence(2.0)).until_idle()
    assert talk.of("notice") == ["there was speech, but no word of it was understood"]
    assert talk.mind.asked == []


def test_a_turn_that_never_pauses_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dailytalk_contiguous.apps.converse.dialogue.LONGEST_TURN", 1.0)
    talk = Simulation(["where have you"]).hear(QUESTION[: 2 * TALK_RATE])
    assert talk.of("user")[:1] == ["where have you"]


# Files in place of a microphone.


def test_a_file_goes_on_after_a_delay_and_one_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "said.wav", QUESTION, TALK_RATE)
    (tmp_path / "text.wav").write_text("no sound")
    for name in ("text.wav", "none.wav"):
        with pytest.raises(DailytalkError, match=name):
            FileBlocks([tmp_path / "said.wav", tmp_path / name])
    blocks = FileBlocks([tmp_path / "said.wav"])
    clock = itertools.count(0.0, 5.0)
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    for _ in range(2):
        block = blocks.read(True)
        assert block is not None
        assert len(block) == BLOCK


# A sound card.

#: A machine with two sound cards, in place of the library that asks the real one.
TWO_CARDS = """
from types import SimpleNamespace

CARDS = ["built-in", "headset"]
opened = []


class PortAudioError(Exception):
    pass


def number_of(device):
    if device is None:
        return 0
    if isinstance(device, int) and device < len(CARDS):
        return device
    if device in CARDS:
        return CARDS.index(device)
    raise ValueError(f"No input device matching {device!r}")


def query_devices(device, kind):
    return {"name": CARDS[device]}


def stream(**options):
    number = number_of(options["device"])
    opened.append(CARDS[number])
    return SimpleNamespace(device=number, latency=0.01, start=lambda: None, close=lambda: None)


InputStream = OutputStream = stream
"""


@pytest.fixture
def two_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards/sounddevice.py").write_text(TWO_CARDS)
    monkeypatch.syspath_prepend(tmp_path / "cards")
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    yield importlib.import_module("sounddevice")
    sys.modules.pop("sounddevice")


@pytest.mark.parametrize(("device", "name"), [("", "built-in"), ("headset", "headset"), ("1", "headset")])
def test_microphone_and_loudspeaker_are_the_sound_device_that_was_chosen(
    two_cards: Any, device: str, name: str
) -> None:
    blocks = DeviceBlocks(device)
    assert blocks.name == name
    assert two_cards.opened == [name, name]
    blocks.close()


def test_sound_device_that_is_not_there_is_named_before_anything_is_loaded(
    two_cards: Any, tmp_path: Path, dailytalk: Command
) -> None:
    done = dailytalk("converse", "--sound-device", "loudspeaker of next door", "--out", tmp_path / "talks")
    assert done.code == 1
    assert "'loudspeaker of next door'" in done.err
    assert "--sound-device" in done.err
    assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "talks").exists()


def test_page_of_a_browser_takes_no_sound_device(tmp_path: Path, dailytalk: Command) -> None:
    done = dailytalk("converse", "--web", "--sound-device", "headset", "--out", tmp_path / "talks")
    assert done.code == 1
    assert "--sound-device does not go with --web" in done.err
    assert not (tmp_path / "talks").exists()


# The command.


def test_talk_leaves_no_file_where_nothing_is_to_be_saved(tmp_path: Path, dailytalk: Command) -> None:
    question = tmp_path / "said.wav"
    soundfile.write(question, QUESTION, TALK_RATE)
    command = ("converse", "--profile", "embedded", "--asr-model", "tiny.en", "--input", question)
    with ChatServer() as server:
        options = ("--chat", server.url, "--no-save", "--json")
        done = dailytalk(*command, *options, "--out", tmp_path / "talks")
    assert done.code == 0, done.err
    assert len(server.asked) == 1
    assert json.loads(done.out)["talk"] is None
    assert not (tmp_path / "talks").exists()


def test_the_embedded_talk_by_file_that_is_killed_is_whole(tmp_path: Path) -> None:
    question = tmp_path / "said.wav"
    soundfile.write(question, QUESTION, TALK_RATE)
    with ChatServer() as server:
        options = ["--chat", server.url, "--input", str(question), "--out", str(tmp_path / "talks")]
        command = [*PROGRAM, "converse", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("voice:"):
                break
        process.kill()
        process.wait()
    (row,) = open_items(tmp_path / "talks").rows()
    assert row["problem"] is None
    assert "where have you been" in row["utterances"][0]["text"]


def test_consent_to_a_clone_is_asked_for_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = save(tmp_path / "voice.wav", excerpt(seconds=8.0)[:, 0])
    settings = TalkSettings(recogniser="tiny.en", tts="fish", voice=f"clone:{sample}")
    with TtsServer() as server:
        monkeypatch.setenv("FISH_AUDIO_BASE_URL", server.url)
        monkeypatch.setenv("FISH_API_KEY", TOKEN)
        load_synthesiser.cache_clear()
        with pytest.raises(DailytalkError, match="not cloned without consent"):
            TalkVoice(settings, lambda question: False)
        voice = TalkVoice(settings, lambda question: True)
        load_synthesiser.cache_clear()
    (clone,) = voice.samples
    assert clone.text
    assert voice.consent["answer"] == "yes"
