"""One side in another voice: every time is the recording's, and the other side is untouched."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from audio_files import Samples
from datasets import Dataset
from numpy.typing import NDArray
from revoicing import Result, Said, columns, rebuilt, recording

from dailytalk_contiguous.core.audio import pcm_to_float, to_pcm
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
    return recording((*TALK, Said("left", *LAUGH, peak=0.2)), SECONDS, rate)


def batch(samples: Samples, rate: int = 16000, revoice: str = "left", **others: list[str]) -> dict[str, list]:
    people = {"left": "ann", "right": "bob"} | others
    return columns(
        TALK,
        samples,
        rate,
        revoice=revoice,
        speaker=[[people[one.channel] for one in TALK]],
        tag=[["calm" if one.text else None for one in TALK]],
    )


def converted(samples: Samples, rate: int = 16000, revoice: str = "left", mode: str = "anchor", **how) -> Result:
    said = batch(samples, rate, revoice)
    new = Convert(revoice=revoice, sample_rate=0, **how)(said)
    return rebuilt(Reconstruct(mode, sample_rate=0, revoice=revoice), said | new)


def part(pcm: NDArray[np.int16], span: tuple[float, float], rate: int = 16000) -> NDArray[np.floating]:
    return pcm[round(span[0] * rate) : round(span[1] * rate)].astype(float)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("revoice", ["left", "right"])
def test_all_times_stay_and_the_kept_side_comes_through_bit_for_bit(rate: int, revoice: str) -> None:
    samples = laughing(rate)
    result = converted(samples, rate, revoice)
    row = result.row
    kept = int(revoice == "left")
    assert len(result.pcm) == len(samples)
    assert row["new_start"] == pytest.approx([one.start for one in TALK], abs=1 / rate)
    assert row["new_end"] == pytest.approx([one.end for one in TALK], abs=1 / rate)
    assert row["event"] == row["source_event"]
    np.testing.assert_array_equal(result.pcm[:, 1], to_pcm(samples[:, kept]))
    assert not np.array_equal(result.pcm[:, 0], to_pcm(samples[:, 1 - kept]))
    timeline = row["timeline"]
    assert timeline["duration_ratio"] == 1.0
    assert timeline["offset_distance"] == pytest.approx(0.0, abs=1 / rate)
    assert timeline["overlap_kept"] == timeline["backchannels_kept"] / timeline["backchannels"] == 1.0
    assert timeline["lost_speech_seconds"] == timeline["lost_sound_seconds"] == 0.0


def test_every_utterance_is_spoken_with_and_without_text() -> None:
    said = batch(laughing())
    new = {name: values[0] for name, values in Convert()(said).items()}
    assert new["status"] == ["spoken" if one.channel == "left" else "kept" for one in TALK]
    assert new["tag_said"] == [False, None, False, None, None, None, None]
    for one, synthesis in zip(TALK, new["synthesis"], strict=True):
        if one.channel == "right":
            assert synthesis is None
        else:
            assert (synthesis["engine"], synthesis["model"]) == ("shift", "mcadams")
            assert 0.5 < float(synthesis["voice"]) < 1.0
            assert (synthesis["cost"], synthesis["word_error_rate"]) == (0.0, None)


def test_a_laugh_between_utterances_is_a_sound_in_the_new_voice() -> None:
    samples = laughing()
    result = converted(samples)
    (sound,) = [sound for sound in result.row["sounds"] if sound["channel"] == "left"]
    assert sound["start"] == pytest.approx(LAUGH[0], abs=0.06)
    assert sound["end"] == pytest.approx(LAUGH[1], abs=0.06)
    assert (sound["new_start"], sound["new_end"]) == pytest.approx((sound["start"], sound["end"]), abs=1e-4)
    before = part(to_pcm(samples[:, 0]), LAUGH)
    after = part(result.pcm[:, 0], LAUGH)
    assert np.std(after) == pytest.approx(np.std(before), rel=0.2)
    assert not np.array_equal(before, after)


def test_the_leak_of_the_kept_voice_becomes_room_tone() -> None:
    samples = recording(TALK, SECONDS, 16000)
    leaky = samples.copy()
    leaky[80:, 0] += 0.04 * samples[:-80, 1]  # 28 dB down, 5 ms later
    result = converted(pcm_to_float(to_pcm(leaky).tobytes()).reshape(-1, 2))
    # The right speaker alone, with room for the edges of both.
    alone = (10.8, 11.1)
    quiet = np.std(part(result.pcm[:, 0], (11.5, 11.9)))
    assert np.std(part(to_pcm(leaky[:, 0]), alone)) > 5 * quiet
    assert np.std(part(result.pcm[:, 0], alone)) < 1.5 * quiet


def test_one_person_has_one_voice_in_every_conversation_and_two_have_two() -> None:
    samples = laughing()

    def voice(stage: Convert, **said: str) -> str:
        (row,) = stage(batch(samples, **said))["synthesis"]
        return str(row[0]["voice"])

    assert voice(Convert(), left="ann") == voice(Convert(), left="ann", right="cid")
    assert voice(Convert(), left="ann") != voice(Convert(), left="bob")
    assert voice(Convert(), left="ann") != voice(Convert(voice_seed=1), left="ann")
    assert voice(Convert(voice="0.8"), left="ann") == voice(Convert(voice="0.8"), left="bob") == "0.8"


def test_a_row_is_the_same_whatever_is_beside_it_and_by_whatever_worker() -> None:
    rows = [{name: values[0] for name, values in batch(laughing() * level).items()} for level in (1.0, 0.5)]
    stage = pickle.loads(pickle.dumps(Convert()))
    together = Convert().map(Dataset.from_list(rows))
    backwards = stage.map(Dataset.from_list(rows[::-1]))
    assert [row["converted"] for row in together] == [row["converted"] for row in backwards][::-1]
    assert stage.digest == Convert().digest


@pytest.mark.parametrize("other", [{"voice": "0.8"}, {"voice_seed": 1}, {"revoice": "right"}, {"sample_rate": 0}])
def test_what_decides_the_sound_is_in_the_digest(other: dict[str, object]) -> None:
    assert Convert(**other).digest != Convert().digest


def test_a_peak_that_grows_is_limited_and_not_clipped() -> None:
    samples = recording(TALK, SECONDS, 16000)
    loud = np.clip(samples * (0.99 / np.abs(samples).max()), -1, 1)
    (pcm,) = Convert(sample_rate=0)(batch(loud))["converted"]
    assert np.abs(np.frombuffer(pcm, np.int16).astype(int)).max() <= 10 ** (-1 / 20) * 32768


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
    row = {name: values[0] for name, values in batch(samples).items()}
    (done,) = Convert(engine=str(file), sample_rate=0).map(Dataset.from_list([row]))
    if problem is None:
        np.testing.assert_array_equal(np.frombuffer(done["converted"], np.int16), to_pcm(-samples[:, 0]))
        assert done["problem"] is None
    else:
        assert problem in done["problem"]
        assert done["remedy"]
