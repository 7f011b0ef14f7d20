"""Smart Turn: it hears the end of one side, and only its own weights are believed."""

import numpy as np
import pytest
import soundfile
from audio_files import EXAMPLES
from planted_ends import spoken_sentences

from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.sound.samples import to_pcm
from dailytalk_contiguous.models import turn_end
from dailytalk_contiguous.models.checkpoints import (
    INSTALL_SMART_TURN,
    SMART_TURN,
    SMART_TURN_FILE,
    WHEELS,
    WheelFile,
)
from dailytalk_contiguous.models.turn_end import (
    HEARD_SECONDS,
    SpokenEnd,
    lacking_smart_turn,
    last_seconds,
    load_smart_turn,
)

with_judge = pytest.mark.needs("pipecat")


@with_judge
def test_whole_sentences_sound_more_finished_than_what_breaks_off_in_them() -> None:
    ends = []
    for samples, end_of_part in spoken_sentences():
        side = to_pcm(samples)
        ends.append(SpokenEnd(side, len(side) / 16000))
        ends.append(SpokenEnd(side[: round(end_of_part * 16000)], end_of_part))
    ratings = load_smart_turn().finished(ends)
    whole = ratings[::2]
    broken_off = ratings[1::2]
    assert min(whole) > 0.8
    assert max(broken_off) < min(whole)


@with_judge
def test_nothing_counts_but_the_last_seconds_of_the_side() -> None:
    recording, _ = soundfile.read(EXAMPLES / "burnt_dinner.flac", dtype="int16", stop=24000 * 20)
    samples = recording[:, 0].copy()
    judge = load_smart_turn()
    before = judge.finished([SpokenEnd(samples, 12.0)])
    samples[: round(4.1 * 16000)] = 16384
    samples[round(12.2 * 16000) :] = -16384
    assert judge.finished([SpokenEnd(samples, 12.0)]) == before
    values = judge.finished([SpokenEnd(samples, time) for time in (0.0, 0.1, 5.0, 100.0)])
    assert all(0 <= value <= 1 for value in values)


def test_a_side_that_is_too_short_is_silent_before_and_behind() -> None:
    side = np.ones(16000, np.int16)
    heard = last_seconds(side, 1.5)
    assert len(heard) == HEARD_SECONDS * 16000
    assert heard[-8000:].max() == 0
    assert heard[-24000:-8000].min() == 1
    assert heard[:-24000].max() == 0


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    file = tmp_path / SMART_TURN_FILE
    file.write_bytes(b"another version")
    monkeypatch.setattr(turn_end, "smart_turn_here", lambda: file)
    turn_end._load.cache_clear()
    with pytest.raises(ModelMissing, match=r"another version than 3\.2 of Smart Turn"):
        load_smart_turn()


def test_what_is_not_here_is_named_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    absent = WheelFile((("no_such_package", "weights.onnx"),), "0" * 64)
    monkeypatch.setitem(WHEELS, SMART_TURN, {SMART_TURN_FILE: absent})
    turn_end._load.cache_clear()
    assert [lack.name for lack in lacking_smart_turn()] == ["Smart Turn"]
    with pytest.raises(ModelMissing) as raised:
        load_smart_turn()
    assert raised.value.remedy == INSTALL_SMART_TURN
