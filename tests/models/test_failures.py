"""A model that raises an error on one utterance of many costs that utterance alone, and the reject names it."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import soundfile
import soxr
from audio_files import Samples, example
from breaking import FRAIL, break_method
from command import EMBEDDED, Command
from datasets import Dataset, Features, Value
from own_stages import own_file
from recordings import read_lines, save

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import PROBLEM
from dailytalk_contiguous.core.sound.samples import excerpt, pcm_to_float, to_pcm
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.models import speech_activity
from dailytalk_contiguous.models.aligners.pocketsphinx import PocketSphinx
from dailytalk_contiguous.models.contours import ProsodicFeatureExtractor
from dailytalk_contiguous.models.failures import ModelFailed, each_that_works
from dailytalk_contiguous.models.linear_emotion import LinearEmotion
from dailytalk_contiguous.models.whisper import Whisper
from dailytalk_contiguous.stages.transcribe import Transcribe

#: Seconds of the bundled recording that is tagged: five utterances.
SECONDS = 14.0

#: Options of `tag` with which no sentence is joined.
SEPARATE = (*EMBEDDED, "--join-sentences", "0")

#: The utterance on which models fail.
VICTIM = "call/left/0001"


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    n_samples = round(SECONDS * 16000)
    call = example("bicycle_repair")[:n_samples]
    save(tmp_path / "calls" / "call.wav", call, subtype="PCM_16")
    return tmp_path / "calls"


def lines_by_id(work: Path, name: str = "transcript.jsonl") -> dict[str, dict[str, Any]]:
    return {line["utterance_id"]: line for line in read_lines(work / name)}


@pytest.mark.parametrize(
    ("options", "owner", "name", "stages", "lost"),
    [
        ((), Whisper, "transcribe", ["Transcribe"], "text"),
        (("--language", "auto"), Whisper, "detect_languages", ["Transcribe"], "text"),
        (
            ("--emotion", "voice-linear"),
            LinearEmotion,
            "classify",
            ["RateAffect", "ClassifyEmotion"],
            "emotion_class",
        ),
    ],
)
def test_model_of_tag_that_fails_on_one_utterance_costs_its_results_alone(
    options: Sequence[str],
    owner: Any,
    name: str,
    stages: list[str],
    lost: str,
    calls: Path,
    tmp_path: Path,
    dailytalk: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = ("tag", calls, *SEPARATE, *options)
    assert dailytalk(*arguments, "--out", tmp_path / "whole").code == 0
    break_method(monkeypatch, owner, name, lambda model, sounds, *rest: sounds)
    done = dailytalk(*arguments, "--out", tmp_path / "work")
    assert done.code == 3
    whole = lines_by_id(tmp_path / "whole")
    lines = lines_by_id(tmp_path / "work")
    assert whole[VICTIM][lost]
    assert not lines[VICTIM][lost]
    assert lines.keys() == whole.keys()
    assert all(line["text"] for key, line in lines.items() if key != VICTIM)
    rejects = read_lines(tmp_path / "work" / "rejects.jsonl")
    assert [reject["stage"] for reject in rejects] == stages
    for reject in rejects:
        assert reject["id"] == VICTIM
        assert "the model of " in reject["reason"]
        assert "failed on it (RuntimeError: the logarithm of zero)" in reject["reason"]
        assert reject["remedy"]
    if lost == "text":
        assert "the logarithm of zero" in lines[VICTIM]["text_reason"]


def test_contour_that_fails_on_one_utterance_costs_its_tokens_alone(
    calls: Path, tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_method(monkeypatch, ProsodicFeatureExtractor, "extract", lambda extractor, audio_tensor: [audio_tensor])
    work = tmp_path / "work"
    tokens = ("--prosodic-tokens", "bundled")
    done = dailytalk("tag", calls, *SEPARATE, *tokens, "--out", work)
    assert done.code == 3
    (of_tag,) = read_lines(work / "rejects.jsonl")
    assert of_tag["id"] == VICTIM
    assert of_tag["stage"] == "TokeniseProsody"


def test_speech_activity_that_fails_on_a_channel_costs_its_recording_alone(
    calls: Path, tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(calls / "good.wav", example("weekend_trip")[: 6 * 16000], subtype="PCM_16")
    break_method(monkeypatch, speech_activity.SpeechActivity, "push", lambda activity, samples: [samples])
    done = dailytalk("tag", calls, *EMBEDDED, "--out", tmp_path / "work")
    assert done.code == 3
    lines = read_lines(tmp_path / "work" / "transcript.jsonl")
    assert {line["conversation_id"] for line in lines} == {"good"}
    (reject,) = read_lines(tmp_path / "work" / "rejects.jsonl")
    assert reject["id"] == "call"
    assert reject["stage"] == "Segment"
    assert "left channel" in reject["reason"]
    assert "RuntimeError: the logarithm of zero" in reject["reason"]


@pytest.mark.parametrize(
    ("breaks", "reason"),
    [
        ("raise ValueError('math domain error')", "ValueError: math domain error"),
        ("return [Word('other', 0.0, 0.1, None)]", "it returned other words"),
        ("return [Word(word, 0.0, 99.0, None) for word in words]", "outside"),
    ],
)
def test_aligner_that_fails_on_one_utterance_costs_its_times_alone(
    breaks: str,
    reason: str,
    calls: Path,
    tmp_path: Path,
    dailytalk: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aligner = own_file(tmp_path, monkeypatch, FRAIL.replace("{breaks}", breaks))
    work = tmp_path / "work"
    done = dailytalk("build", calls, "--revoice", "none", *SEPARATE, "--aligner", aligner, "--out", work)
    assert done.code == 3
    (reject,) = read_lines(work / "rejects.jsonl")
    lines = read_lines(work / "transcript.jsonl")
    (victim,) = [line["utterance_id"] for line in lines if "river" in line["text"]]
    assert reject["id"] == victim
    assert reject["stage"] == "Align"
    assert "aligner frail" in reject["reason"]
    assert reason in reject["reason"]
    shifted = lines_by_id(work, "transcript_shifted.jsonl")
    sources = {key: {word["source"] for word in line["words"]} for key, line in shifted.items()}
    assert sources.pop(victim) == {"recogniser"}
    # Words that it puts where nobody speaks have the recogniser's times.
    assert all("aligned-frail" in names for names in sources.values())


def test_pocketsphinx_places_words_of_a_call_that_ends_within_a_word() -> None:
    """A telephone exchange has coded it."""
    file = io.BytesIO()
    n_samples = round(22.2543 * 16000)
    call = soxr.resample(example("bicycle_repair")[:n_samples], 16000, 8000)
    soundfile.write(file, call, 8000, format="WAV", subtype="IMA_ADPCM")
    pcm = read_pcm({"bytes": file.getvalue(), "path": None})
    last_seconds = excerpt(pcm[:, 1].copy(), 21.57, 30.0)
    speech = pcm_to_float(last_seconds)
    placed = PocketSphinx()(speech, ["Oh", "no,", "no."], "en")
    assert placed is not None
    words = [word for word in placed if word]
    assert len(words) == 3
    assert 0 <= words[0].start < words[-1].end <= len(speech) / 16000


TONES = """
import numpy as np

from dailytalk_contiguous import Engine, Licence, Spoken, Synthesiser


class Tones(Synthesiser):
    deterministic = True

    def __init__(self, chosen):
        self.voice = "low"

    def speak(self, line, *_):
        n_samples = 1680 * len(line.text)
        return Spoken(np.float32(np.sin(0.06 * np.arange(n_samples)) / 10), 24000, None, 0.0)


ENGINE = Engine("tones", Tones, Licence("CC0-1.0", ""), model="1")
"""


def test_recogniser_that_fails_on_one_synthesised_line_costs_its_times_alone(
    calls: Path, tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    assert dailytalk("tag", calls, *SEPARATE, "--out", work).code == 0
    working = Whisper.align

    def breaking(model: Whisper, windows: Any, languages: Any, texts: Any) -> Any:
        if any("river" in " ".join(words) for words in texts):
            raise RuntimeError("the logarithm of zero")
        return working(model, windows, languages, texts)

    monkeypatch.setattr(Whisper, "align", breaking)
    tones = own_file(tmp_path, monkeypatch, TONES)
    options = ("--profile", "embedded", "--tts", tones, "--aligner", "none", "--asr-model", "base")
    done = dailytalk("speak", work, *options)
    assert done.code == 3
    (reject,) = read_lines(work / "rejects.jsonl")
    victim = lines_by_id(work, "transcript_shifted.jsonl")[reject["id"]]
    assert "river" in victim["text"]
    assert reject["stage"] == "Align"
    assert "the recogniser base failed (RuntimeError" in reject["reason"]
    assert {word["source"] for word in victim["words"]} == {"proportional"}


def test_verifier_that_fails_on_one_take_costs_its_line_alone(
    calls: Path, tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    assert dailytalk("tag", calls, *SEPARATE, "--out", work).code == 0
    left = [line for line in read_lines(work / "transcript.jsonl") if line["channel"] == "left"]
    victim = max(left, key=lambda line: len(line["text"]))
    working = Whisper.transcribe

    def breaking(model: Whisper, windows: Sequence[Samples], languages: Sequence[str]) -> Any:
        if any(len(window) > 3.2 * 16000 for window in windows):
            raise RuntimeError("the logarithm of zero")
        return working(model, windows, languages)

    monkeypatch.setattr(Whisper, "transcribe", breaking)
    done = dailytalk("speak", work, "--profile", "embedded", "--verify", "--on-failure", "keep-original")
    assert done.code == 3
    (reject,) = read_lines(work / "rejects.jsonl")
    assert reject["id"] == victim["utterance_id"]
    assert reject["stage"] == "Speak"
    assert "the recogniser base failed (RuntimeError: the logarithm of zero" in reject["reason"]
    shifted = read_lines(work / "transcript_shifted.jsonl")
    statuses = [line["status"] for line in shifted if line["channel"] == "left"]
    assert sorted(statuses) == ["kept-original", "spoken"]


def utterances_of(recording: Samples, spans: Sequence[tuple[float, float]], channel: int) -> Dataset:
    columns: dict[str, list[Any]] = {name: [None] * len(spans) for name in PROBLEM}
    columns["speech"] = []
    for start, end in spans:
        sound = recording[round(start * 16000) : round(end * 16000), channel]
        columns["speech"].append(to_pcm(sound).tobytes())
    features = Features({"speech": Value("binary"), **PROBLEM})
    return Dataset.from_dict(columns, features=features)


def test_utterance_of_a_flat_dataset_on_which_the_model_fails_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    break_method(monkeypatch, Whisper, "transcribe", lambda model, windows, languages, fillers: windows)
    spans = [(4.87, 7.9), (10.7, 13.9), (16.9, 19.3)]
    flat = utterances_of(example("bicycle_repair"), spans, 0)
    rows = Transcribe("base", "en", compute_type="int8").map(flat).to_list()
    first, second, third = rows
    assert first["problem"] is None
    assert first["text_raw"]
    assert "RuntimeError: the logarithm of zero" in second["problem"]
    assert second["problem_stage"] == "Transcribe"
    assert third["problem"] is None


def test_model_that_has_never_worked_ends_the_run() -> None:
    def fail(keys: Sequence[int]) -> Sequence[int]:
        raise ValueError("no microphone")

    sentence = r"deaf has failed on each of its first 20 utterances .*no microphone"
    with pytest.raises(DailytalkError, match=sentence):
        each_that_works(fail, range(30), "deaf")


def test_error_of_the_machine_ends_the_run() -> None:
    for error in (
        OSError("no space left on device"),
        RuntimeError("CUDA error: device-side assert"),
        MemoryError(),
    ):

        def fail(keys: Sequence[int], error: Exception = error) -> Sequence[int]:
            raise error

        with pytest.raises(type(error)):
            each_that_works(fail, range(3), "a model")


def test_model_that_fails_on_a_batch_and_on_no_part_of_it_gives_the_results_of_the_parts() -> None:
    def at_most_two(keys: Sequence[int]) -> Sequence[int]:
        if len(keys) > 2:
            raise ModelFailed("too many at once")
        return [10 * key for key in keys]

    results, failures = each_that_works(at_most_two, range(5), "a small model")
    assert results == {0: 0, 1: 10, 2: 20, 3: 30, 4: 40}
    assert failures == {}
