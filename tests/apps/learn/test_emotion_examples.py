"""Examples of emotion: which are taken, which are left out and why, and that their sound is theirs."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from built_conversations import built_row, write_dataset
from finished_corpora import clip_row, corpus_folder
from numpy.typing import NDArray

from dailytalk_contiguous.apps.clips.mixture import Settings, mix_folders
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples, read_examples
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import LABELLED
from dailytalk_contiguous.core.style.emotions import CLASS_SETS, emotion_class
from dailytalk_contiguous.store.parquet import write_parquet

RATE = 16000


def tone(hertz: float, seconds: float = 0.3) -> NDArray[np.float32]:
    times = np.arange(round(seconds * RATE)) / RATE
    wave = 0.2 * np.sin(2 * np.pi * hertz * times)
    return wave.astype(np.float32)


def clip(name: str, emotion: str | None, hertz: float, **columns: Any) -> dict[str, Any]:
    """A clip at 16 kHz whose pitch names it."""
    file = io.BytesIO()
    soundfile.write(file, tone(hertz), RATE, subtype="PCM_16", format="FLAC")
    audio = {"bytes": file.getvalue(), "path": None}
    usual = {"audio": audio, "sample_rate": RATE, "duration": 0.3}
    return clip_row(name, emotion, **usual | columns)


def sounds_of(examples: EmotionExamples) -> list[NDArray[np.float32]]:
    return [examples.sound(index) for index in range(len(examples))]


def pitch(sound: NDArray[np.float32]) -> float:
    spectrum = np.abs(np.fft.rfft(sound, RATE))
    return float(np.argmax(spectrum))


def pitches(examples: EmotionExamples) -> list[float]:
    return [pitch(sound) for sound in sounds_of(examples)]


def test_what_is_left_out_is_counted_by_reason_and_the_rest_keeps_what_is_known(tmp_path: Path) -> None:
    silent = io.BytesIO()
    soundfile.write(silent, np.zeros(RATE, np.float32), RATE, format="FLAC")
    rows = [
        clip("ann-1", "angry", 200, sentence="IEO", licence="ODbL-1.0"),
        clip("ann-2", "sad", 210, gender="male"),
        clip("ben-1", "calm", 220),
        clip("ben-2", None, 230),
        clip("ben-3", "surprised", 240),
        clip("ben-4", "sad", 250, style="sung"),
        clip("ben-5", "sad", 260, audio={"bytes": silent.getvalue(), "path": None}),
        clip("cat-1", "happy", 280, speaker=None),
    ]
    folder = corpus_folder(tmp_path / "corpus", rows)
    damaged = clip("ben-6", "sad", 270, audio={"bytes": b"fLaC, and nothing more", "path": None})
    write_parquet(folder / "clips" / "shard-1.parquet", LABELLED, [[damaged]])
    examples = read_examples([str(folder)], mapping={"calm": "neutral"})
    assert examples.classes == ("angry", "disgusted", "fearful", "happy", "neutral", "sad")
    assert (*examples.ids,) == ("acted/ann-1", "acted/ann-2", "acted/ben-1", "acted/cat-1")
    emotions = [examples.classes[label] for label in examples.labels]
    assert emotions == ["angry", "sad", "neutral", "happy"]
    assert examples.speakers.tolist() == ["acted/ann", "acted/ann", "acted/ben", "acted/?"]
    (unreadable,) = [reason for reason in examples.left_out if "can't be" in reason or "read" in reason]
    assert examples.left_out == {
        "it has no emotion": 1,
        "it is surprised, which is not a class": 1,
        "it is sung": 1,
        "it is silent": 1,
        unreadable: 1,
    }
    assert pitches(examples) == [200, 210, 220, 280]
    assert pitches(examples.take([3, 0, 3])) == [280, 200, 280]


def test_a_clip_after_its_prompt_is_heard_without_it(tmp_path: Path) -> None:
    file = io.BytesIO()
    prompted = np.concatenate([tone(900), tone(300)])
    stereo = np.stack([prompted, prompted], axis=1)
    soundfile.write(file, stereo, RATE, format="FLAC")
    audio = {"bytes": file.getvalue(), "path": None}
    first = clip("ann-1", "sad", 0, conditioning={"clip_start": 0.3}, audio=audio, duration=0.6)
    second = clip("ben-1", "happy", 310)
    folder = corpus_folder(tmp_path / "corpus", [first, second])
    examples = read_examples([str(folder)])
    assert pitches(examples) == [300, 310]
    assert [len(sound) for sound in sounds_of(examples)] == [4800, 4800]


def test_equal_sound_and_copies_are_in_one_group_over_inputs(tmp_path: Path) -> None:
    clips = [clip("ann-1", "angry", 200), clip("ann-2", "sad", 210)]
    copy = clip("ann-3", "sad", 220, augmented_from="acted/ann-2", augmentation=None)
    first = corpus_folder(tmp_path / "first", [*clips, copy])
    equal = clip("ann-1", "angry", 200, corpus="other")
    other = clip("ann-2", "happy", 230, corpus="other")
    again = clip("ann-1", "angry", 240)
    second = corpus_folder(tmp_path / "second", [equal, other, again])
    examples = read_examples([str(first), str(second)])
    assert (*examples.ids,) == ("acted/ann-1", "acted/ann-2", "acted/ann-3", "other/ann-1", "other/ann-2")
    assert examples.groups.tolist() == [0, 1, 1, 0, 2]
    assert examples.copies.tolist() == [False, False, True, False, False]
    assert examples.left_out == {"an utterance of its id was read before": 1}
    assert pitches(examples.take([1, 4, 2])) == [210, 230, 220]


def test_clips_of_a_mix_are_examples_and_its_conversations_are_counted(tmp_path: Path) -> None:
    rows = [clip("ann-1", "angry", 200), clip("ann-2", "sad", 210), clip("ben-1", "sad", 220)]
    corpus = corpus_folder(tmp_path / "corpus", rows)
    talks = tmp_path / "talks"
    write_dataset(talks, [built_row("call", kept_speaker="zoe")])
    (talks / "run.json").write_text('{"source": {"licence": "CC0-1.0"}}')
    mix = tmp_path / "mix"
    mix_folders([(corpus, None), (talks, None)], mix, Settings())
    examples = read_examples([str(mix)])
    assert (*examples.ids,) == ("acted/ann-1", "acted/ann-2", "acted/ben-1")
    assert pitches(examples) == [200, 210, 220]
    assert examples.left_out.keys() == {"it has no emotion"}


def test_what_can_not_be_read_is_one_sentence(tmp_path: Path) -> None:
    rows = [clip("ann-1", "angry", 200), clip("ann-2", "angry", 210)]
    folder = corpus_folder(tmp_path / "corpus", rows)
    with pytest.raises(DailytalkError, match="it is angry, which is not a class"):
        read_examples([str(folder)], ("calm", "bored"))
    with pytest.raises(DailytalkError, match="does not exist"):
        read_examples([str(tmp_path / "nowhere")])


def test_labels_are_classes_by_the_table_alone() -> None:
    assert emotion_class("sad") == "sad"
    for name in ("calm", "surprised", "contemptuous", "other"):
        assert emotion_class(name) is None
    assert emotion_class("calm", ("calm", "sad")) == "calm"
    assert emotion_class("contemptuous", mapping={"contemptuous": "disgusted"}) == "disgusted"
    assert emotion_class("neutral", CLASS_SETS["five"]) is None
    assert emotion_class("surprised", None) == "surprised"
    assert emotion_class("other", None) is None
