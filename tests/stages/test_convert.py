"""One side in another voice: every time is the recording's, and the other side is untouched."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from audio_files import Samples
from datasets import Dataset
from numpy.typing import NDArray
from revoicing import Result, Said, columns, rebuilt, recording
from stage_calls import columns_after

from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.sound.samples import pcm_to_float, to_pcm
from dailytalk_contiguous.stages.convert import Convert
from dailytalk_contiguous.stages.reconstruct import Reconstruct

#: A little conversation with a gap, an overlap, a backchannel without text, and an interruption.
TALK = (
    Said("left", 0.5, 2.5, text="Well, how was it?"),
    Said("right", 2.8, 5.0, text="It was long."),
    Said("left", 4.6, 7.5, text="Was it as long as that?"),
    Said("right", 5.5, 5.9, text="Mm."),
    Said("right", 7.1, 9.0, text="Longer."),
    Said("left", 9.4, 10.2),
    Said("right", 10.6, 11.2, text="Yes."),
)
SECONDS = 12.0

#: Where somebody laughs on the left, beside every utterance there.
LAUGH = (8.2, 8.8)


def laughing(rate: int = 16000) -> Samples:
    laugh = Said("left", *LAUGH, peak=0.2)
    return recording((*TALK, laugh), SECONDS, rate)


def batch(samples: Samples, rate: int = 16000, revoice: str = "left", **others: list[str]) -> dict[str, list]:
    people = {"left": "ann", "right": "bob"} | others
    speakers = [people[utterance.channel] for utterance in TALK]
    tags = ["calm" if utterance.text else None for utterance in TALK]
    return columns(TALK, samples, rate, revoice=revoice, speaker=[speakers], tag=[tags])


def row_of(columns: dict[str, list]) -> dict:
    """The one row of a batch."""
    return {name: values[0] for name, values in columns.items()}


def converted(samples: Samples, rate: int = 16000, revoice: str = "left", mode: str = "anchor", **how) -> Result:
    source = batch(samples, rate, revoice)
    convert = Convert(revoice=revoice, sample_rate=0, **how)
    new = columns_after(convert, source)
    rebuild = Reconstruct(mode, sample_rate=0, revoice=revoice)
    return rebuilt(rebuild, source | new)


def part(pcm: NDArray[np.int16], span: tuple[float, float], rate: int = 16000) -> NDArray[np.floating]:
    first = round(span[0] * rate)
    last = round(span[1] * rate)
    return pcm[first:last].astype(float)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("revoice", ["left", "right"])
def test_all_times_stay_and_the_kept_side_comes_through_bit_for_bit(rate: int, revoice: str) -> None:
    samples = laughing(rate)
    result = converted(samples, rate, revoice)
    row = result.row
    revoiced = CHANNELS.index(revoice)
    assert len(result.pcm) == len(samples)
    starts = [utterance.start for utterance in TALK]
    ends = [utterance.end for utterance in TALK]
    assert row["new_start"] == pytest.approx(starts, abs=1 / rate)
    assert row["new_end"] == pytest.approx(ends, abs=1 / rate)
    assert row["event"] == row["source_event"]
    source = to_pcm(samples)
    np.testing.assert_array_equal(result.pcm[:, 1], source[:, 1 - revoiced])
    assert not np.array_equal(result.pcm[:, 0], source[:, revoiced])
    timeline = row["timeline"]
    assert timeline["duration_ratio"] == 1.0
    assert timeline["offset_distance"] == pytest.approx(0.0, abs=1 / rate)
    assert timeline["overlap_kept"] == 1.0
    assert timeline["backchannels_kept"] / timeline["backchannels"] == 1.0
    assert timeline["lost_speech_seconds"] == 0.0
    assert timeline["lost_sound_seconds"] == 0.0


def test_every_utterance_is_spoken_with_and_without_text() -> None:
    source = batch(laughing())
    new = row_of(columns_after(Convert(), source))
    statuses = {"left": "spoken", "right": "kept"}
    expected = [statuses[utterance.channel] for utterance in TALK]
    assert new["status"] == expected
    assert new["tag_said"] == [False, None, False, None, None, None, None]
    for utterance, synthesis in zip(TALK, new["synthesis"], strict=True):
        if utterance.channel == "right":
            assert synthesis is None
        else:
            assert synthesis["engine"] == "shift"
            assert synthesis["model"] == "mcadams"
            assert 0.5 < float(synthesis["voice"]) < 1.0
            assert synthesis["cost"] == 0.0
            assert synthesis["word_error_rate"] is None


def test_a_laugh_between_utterances_is_a_sound_in_the_new_voice() -> None:
    samples = laughing()
    result = converted(samples)
    sounds = result.row["sounds"]
    (sound,) = [sound for sound in sounds if sound["channel"] == "left"]
    start, end = LAUGH
    assert sound["start"] == pytest.approx(start, abs=0.06)
    assert sound["end"] == pytest.approx(end, abs=0.06)
    assert sound["new_start"] == pytest.approx(sound["start"], abs=1e-4)
    assert sound["new_end"] == pytest.approx(sound["end"], abs=1e-4)
    source = to_pcm(samples)
    before = part(source[:, 0], LAUGH)
    after = part(result.pcm[:, 0], LAUGH)
    level = before.std()
    assert after.std() == pytest.approx(level, rel=0.2)
    assert not np.array_equal(before, after)


def test_the_leak_of_the_kept_voice_becomes_room_tone() -> None:
    samples = recording(TALK, SECONDS, 16000)
    samples[80:, 0] += 0.04 * samples[:-80, 1]  # 28 dB down, 5 ms later
    source = to_pcm(samples)
    leaky = pcm_to_float(source.tobytes())
    result = converted(leaky.reshape(-1, 2))
    # The right speaker alone, with room for the edges of both.
    alone = (10.8, 11.1)
    built = result.pcm[:, 0]
    quiet = part(built, (11.5, 11.9)).std()
    before = part(source[:, 0], alone).std()
    after = part(built, alone).std()
    assert before > 5 * quiet
    assert after < 1.5 * quiet


def test_one_person_has_one_voice_in_every_conversation_and_two_have_two() -> None:
    samples = laughing()

    def voice(stage: Convert, **people: str) -> str:
        made = columns_after(stage, batch(samples, **people))
        (synthesis,) = made["synthesis"]
        return str(synthesis[0]["voice"])

    ann = voice(Convert(), left="ann")
    assert voice(Convert(), left="ann", right="cid") == ann
    assert voice(Convert(), left="bob") != ann
    reseeded = Convert(voice_seed=1)
    assert voice(reseeded, left="ann") != ann
    chosen = Convert(voice="0.8")
    assert voice(chosen, left="ann") == "0.8"
    assert voice(chosen, left="bob") == "0.8"


def test_a_row_is_the_same_whatever_is_beside_it_and_by_whatever_worker() -> None:
    loud = row_of(batch(laughing()))
    soft = row_of(batch(laughing() * 0.5))
    stage = pickle.loads(pickle.dumps(Convert()))
    loud_and_soft = Dataset.from_list([loud, soft])
    soft_and_loud = Dataset.from_list([soft, loud])
    together = Convert().map(loud_and_soft)
    backwards = stage.map(soft_and_loud)
    loud_first, soft_second = together["converted"]
    soft_first, loud_second = backwards["converted"]
    assert loud_first == loud_second
    assert soft_first == soft_second
    assert stage.digest == Convert().digest


@pytest.mark.parametrize("other", [{"voice": "0.8"}, {"voice_seed": 1}, {"revoice": "right"}, {"sample_rate": 0}])
def test_what_decides_the_sound_is_in_the_digest(other: dict[str, object]) -> None:
    assert Convert(**other).digest != Convert().digest


def test_a_peak_that_grows_is_limited_and_not_clipped() -> None:
    samples = recording(TALK, SECONDS, 16000)
    gain = 0.99 / np.abs(samples).max()
    loud = np.clip(samples * gain, -1, 1)
    made = columns_after(Convert(sample_rate=0), batch(loud))
    (pcm,) = made["converted"]
    samples_of_16_bits = np.frombuffer(pcm, np.int16)
    limited = samples_of_16_bits.astype(int)
    highest = 10 ** (-1 / 20) * 32768
    assert np.abs(limited).max() <= highest


OWN = """
import numpy as np
from dailytalk_contiguous.core.licensing import Licence
from dailytalk_contiguous.models.contracts import Engine, VoiceConverter

class Mine(VoiceConverter):
    def convert(self, side, sample_rate, speaker):
        return {}

ENGINE = Engine("mine", lambda chosen: Mine(), Licence("MIT", ""), converts=True)
"""


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("-side", None),
        ("side[1:]", "did not give"),
        ("side * float('nan')", "did not give"),
        ("side.nothing", "AttributeError"),
    ],
)
def test_a_converter_of_ones_own_costs_a_conversation_and_not_the_run(
    tmp_path: Path, body: str, problem: str | None
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(OWN.format(body))
    samples = laughing()
    row = row_of(batch(samples))
    dataset = Dataset.from_list([row])
    stage = Convert(engine=str(file), sample_rate=0)
    (done,) = stage.map(dataset)
    if problem is None:
        pcm = np.frombuffer(done["converted"], np.int16)
        np.testing.assert_array_equal(pcm, to_pcm(-samples[:, 0]))
        assert done["problem"] is None
    else:
        assert problem in done["problem"]
        assert done["remedy"]
