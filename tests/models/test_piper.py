"""Piper: a voice that says what it should, at times that are right, always in the same way."""

import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command
from recordings import excerpt, save

from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing
from dailytalk_contiguous.core.sound.clean_speech import voiced_spans
from dailytalk_contiguous.core.spans import merge_gaps
from dailytalk_contiguous.core.words.word_times import normalise, split_words
from dailytalk_contiguous.models.contracts import Line, Spoken, SynthesisFailed, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise
from dailytalk_contiguous.models.synthesisers.piper import Piper
from dailytalk_contiguous.models.whisper import RecogniserInput, recognise

SENTENCES = ["It's been a while! How are you?", "Good morning, corner bicycle shop. How can I help you?"]


def say(text: str, tag: str = "", language: str = "en", rate: float | None = None, voice: str = "joe") -> Spoken:
    synthesiser = load_synthesiser("piper", VoiceSettings("", voice))
    return synthesise(synthesiser, Line(text, tag, language, 0, rate))


def seconds(spoken: Spoken) -> float:
    return len(spoken.samples) / spoken.sample_rate


@pytest.mark.parametrize("text", SENTENCES)
def test_whisper_recognises_what_the_voice_says(text: str) -> None:
    spoken = say(text)
    sound = RecogniserInput(spoken.samples, spoken.sample_rate, "en")
    (words,) = recognise("base", "cpu", "auto", [sound])
    recognised = {normalise(word.word) for word in words}
    expected = [normalise(word) for word in text.split()]
    hits = [word for word in expected if word in recognised]
    assert len(hits) >= 0.8 * len(expected)


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
    assert [word.word for word in spoken.words] == split_words(text.replace("[[", "["))
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
    starts = np.array([word.start for word in spoken.words])
    ends = np.array([word.end for word in spoken.words])
    for start, end in spans:
        assert np.abs(starts - start).min() <= 0.06
        assert np.abs(ends - end).min() <= 0.06


#: Prints the digest of a line that is said in another process.
SAID_ELSEWHERE = """
import hashlib, sys
from dailytalk_contiguous.models.contracts import Line
from dailytalk_contiguous.models.synthesisers.piper import Piper
spoken = Piper().speak(Line(sys.argv[1], "", "en", 3))
print(hashlib.sha256(spoken.samples.tobytes()).hexdigest())
"""


def test_a_line_is_the_same_sound_in_any_company_and_process() -> None:
    first = say(SENTENCES[1])
    say("Something else in between.")
    assert np.array_equal(say(SENTENCES[1]).samples, first.samples)
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    command = [sys.executable, "-c", SAID_ELSEWHERE, SENTENCES[1]]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    digest = hashlib.sha256(first.samples.tobytes()).hexdigest()
    assert done.stdout.strip() == digest


def test_tags_that_are_slow_or_fast_are_said_as_fast_as_the_source() -> None:
    text = SENTENCES[1]
    plain = seconds(say(text))
    hurried = seconds(say(text, "in a hurry tone"))
    slow = seconds(say(text, "sad"))
    assert hurried < plain < slow
    faster = seconds(say(text, "in a hurry tone", rate=1.15))
    slower = seconds(say(text, "sad", rate=0.75))
    untagged = seconds(say(text, "", rate=1.4))  # a tag that says nothing of rate
    assert faster == pytest.approx(plain / 1.15, rel=0.08)
    assert slower == pytest.approx(plain / 0.75, rel=0.08)
    assert untagged == plain


def test_lines_of_another_language_are_refused_with_what_to_do() -> None:
    with pytest.raises(SynthesisFailed, match=r"speaks 'en', and the line is in 'de': .*espeak"):
        say("Guten Tag", language="de")
    unknown = say("Hello there", language="und")
    assert seconds(unknown) > 0.3


def test_a_voice_that_is_not_here_is_lacking_and_not_downloaded_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    voice = Piper("de_DE-thorsten-medium")
    voice.preflight()
    (missing,) = voice.lacking()
    assert missing.name == "the voice de_DE-thorsten-medium"
    assert Piper().lacking() == []
    with pytest.raises(ModelMissing, match=r"connection to huggingface\.co failed"):
        voice.fetch()


@pytest.mark.parametrize("command", ["build", "converse"])
def test_a_female_voice_is_refused_with_the_engines_that_have_one(
    command: str, dailytalk: Command, tmp_path: Path
) -> None:
    call = save(tmp_path / "in/call.wav", excerpt(seconds=4.0))
    inputs = ("--chat", "http://localhost:1", "--input", call) if command == "converse" else (call.parent,)
    words = (*inputs, "--tts", "piper", "--voice", "female", "--out", tmp_path / "out")
    done = dailytalk(command, *words)
    assert done.code == 1
    assert "piper has no voice by the name female" in done.err
    assert "--tts espeak --voice +f3 or --tts openai --voice nova" in done.err


def joe() -> tuple[Any, Path]:
    """The network of joe, and the file with its settings."""
    import onnx

    files = Piper().files()
    assert files is not None
    return onnx.load(str(files.network)), files.settings


def saved_voice(folder: Path, network: Any, settings: Path) -> str:
    path = folder / "voice.onnx"
    path.write_bytes(network.SerializeToString())
    shutil.copy(settings, folder / "voice.onnx.json")
    return str(path)


def with_constant(network: Any, n_numbers: int) -> Any:
    """The network, which adds the largest of so many zeros to its sound."""
    from onnx import TensorProto, helper

    name = network.graph.output[0].name
    for node in network.graph.node:
        for position, output in enumerate(node.output):
            if output == name:
                node.output[position] = "sound"
    shape = helper.make_tensor("shape", TensorProto.INT64, [1], [n_numbers])
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    network.graph.initializer.append(shape)
    network.graph.node.append(helper.make_node("ConstantOfShape", ["shape"], ["zeros"], value=zero))
    network.graph.node.append(helper.make_node("ReduceMax", ["zeros"], ["most"], keepdims=0))
    network.graph.node.append(helper.make_node("Add", ["sound", "most"], [name]))
    return network


def refusal_within_four_gigabytes(voice: str) -> str:
    """Why a voice says nothing in a process that may take 4 GB, in which joe still speaks."""
    resource.setrlimit(resource.RLIMIT_DATA, (4 << 30, 4 << 30))
    with pytest.raises(DailytalkError) as caught:
        say("Hello.", voice=voice)
    assert say("Hello.").samples.any()
    return caught.value.reason


@pytest.mark.skipif(sys.platform != "linux", reason="memory has no limit here")
def test_a_voice_that_asks_for_more_than_there_is_says_nothing_in_one_sentence(tmp_path: Path) -> None:
    network, settings = joe()
    voice = saved_voice(tmp_path, with_constant(network, 1_500_000_000), settings)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        reason = pool.apply(refusal_within_four_gigabytes, (voice,))
    assert reason.startswith("the voice voice can't say a sentence (")


def test_a_voice_with_weights_in_another_file_opens_none(tmp_path: Path) -> None:
    network, settings = joe()
    weights = network.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = 1
    for key, value in (("location", "../../etc/passwd"), ("offset", "0"), ("length", "64")):
        entry = weights.external_data.add()
        entry.key = key
        entry.value = value
    voice = saved_voice(tmp_path, network, settings)
    with pytest.raises(ModelMissing, match=r"is not a voice of Piper \(its weights are in another file\)"):
        say("Hello.", voice=voice)


@pytest.mark.parametrize("rate", [0, 1, 4_000_000_000, "fast", None])
def test_a_voice_of_an_impossible_rate_is_refused(rate: object, tmp_path: Path) -> None:
    network, settings = joe()
    voice = saved_voice(tmp_path, network, settings)
    values = json.loads(settings.read_text(encoding="utf-8"))
    values["audio"]["sample_rate"] = rate
    Path(f"{voice}.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ModelMissing, match=r"voice\.onnx\.json"):
        say("Hello.", voice=voice)


def test_lines_that_are_said_side_by_side_are_the_same_sound() -> None:
    texts = ["One, two, three.", "Where have you been all day?", "I am coming.", "Not now."]
    alone = [say(text) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(say, texts))
    for line, other in zip(alone, together, strict=True):
        assert np.array_equal(line.samples, other.samples)
