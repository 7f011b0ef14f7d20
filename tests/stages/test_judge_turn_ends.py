"""JudgeTurnEnds: the ends of both sides, as recorded and as built, with planted ends."""

from typing import Any

import numpy as np
import pytest
from built_conversations import flac
from datasets import Dataset
from numpy.typing import NDArray
from planted_ends import spoken_sentences

from dailytalk_contiguous import JudgeTurnEnds
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.sound.samples import to_pcm
from dailytalk_contiguous.models.checkpoints import INSTALL_SMART_TURN
from dailytalk_contiguous.stages import judge_turn_ends

with_judge = pytest.mark.needs("pipecat")

RATE = 16000


def planted(side: int) -> tuple[NDArray[np.float32], list[tuple[str, float, float]]]:
    """A side whose speaker pauses within each sentence, and the other side, where somebody answers each."""
    noise = np.random.default_rng(0).standard_normal((RATE * 30, 2))
    samples = 0.0005 * noise.astype(np.float32)
    channel = CHANNELS[side]
    other = CHANNELS[1 - side]
    sentences = spoken_sentences()
    first_sentence, _ = sentences[0]
    answer = first_sentence[: round(0.6 * RATE)]
    lines = []
    time = 0.5
    for sentence, end_of_part in sentences:
        cut = round(end_of_part * RATE)
        for part, pause in ((sentence[:cut], 0.7), (sentence[cut:], 0.5)):
            first = round(time * RATE)
            samples[first : first + len(part), side] += part
            end = time + len(part) / RATE
            lines.append((channel, time, end))
            time = end + pause
        first = round(time * RATE)
        samples[first : first + len(answer), 1 - side] += answer
        lines.append((other, time, time + 0.6))
        time += 1.1
    return samples, lines


def encoded(samples: NDArray[np.float32]) -> dict[str, Any]:
    pcm = to_pcm(np.ascontiguousarray(samples))
    return {"bytes": flac(pcm, RATE), "path": None}


def judged(
    side: int,
    revoice: str,
    delay: float,
    noise: dict[str, float] | None = None,
    leak_share: float | None = None,
    **settings: Any,
) -> dict[str, list[Any]]:
    """The columns of a planted conversation.

    `noise` is the signal-to-noise ratio of each side as built, in dB; `leak_share` that of every utterance.
    """
    samples, lines = planted(side)
    n_silent = round(delay * RATE)
    delayed = np.pad(samples, ((n_silent, 0), (0, 0)))
    built = delayed[:, ::-1] if revoice == "right" else delayed
    channels = [channel for channel, _, _ in lines]
    starts = [start for _, start, _ in lines]
    ends = [end for _, _, end in lines]
    row = {
        "audio": encoded(samples),
        "offset": 0.0,
        "duration": len(samples) / RATE,
        "built_audio": encoded(built),
        "source_channel": [*channels, "left"],
        "start": [*starts, 29.0],
        "end": [*ends, 29.5],
        "new_start": [*(start + delay for start in starts), None],
        "new_end": [*(end + delay for end in ends), None],
    }
    if leak_share is not None:
        row["leak_share"] = [leak_share] * len(row["start"])
    if noise is not None:
        row["built_sides"] = [{"channel": channel, "snr_db": ratio} for channel, ratio in noise.items()]
    stage = JudgeTurnEnds(revoice=revoice, **settings)
    dataset = Dataset.from_list([row])
    (done,) = stage.map(dataset).to_list()
    return {name: done[name] for name in stage.adds}


@with_judge
@pytest.mark.parametrize(("side", "revoice"), [(0, "left"), (1, "left"), (0, "right"), (1, "none")])
def test_planted_pauses_sound_less_finished_than_planted_ends(side: int, revoice: str) -> None:
    delay = 0.0 if revoice == "none" else 1.5
    done = judged(side, revoice, delay)
    # A part, the rest of its sentence, the answer; nobody speaks behind the last answer; the last one was dropped.
    expected = ["hold", "shift", "shift"] * 2 + ["hold", "shift", None, None]
    assert done["source_transition"] == expected
    assert done["transition"] == expected
    for timeline in ("turn_end", "source_turn_end"):
        judgements = done[timeline]
        holds = np.mean(judgements[0:9:3])
        shifts = np.mean(judgements[1:9:3])
        assert shifts - holds > 0.2
        assert judgements[-2:] == [None, None]
    source = pytest.approx(done["source_turn_end"][1:8], abs=0.1)
    assert done["turn_end"][1:8] == source


def test_without_a_judge_the_ends_are_known_and_nothing_is_said_of_them() -> None:
    done = judged(0, "left", 1.0, judge="none")
    assert done["transition"][:3] == ["hold", "shift", "shift"]
    assert set(done["turn_end"]) == {None}
    assert set(done["source_turn_end"]) == {None}


def test_the_judge_is_settled_before_work_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    here = JudgeTurnEnds(judge="smart-turn")
    monkeypatch.setattr(judge_turn_ends, "lacking_smart_turn", lambda: ["weights"])
    assert JudgeTurnEnds().judge == "none"
    assert JudgeTurnEnds().digest != here.digest
    with pytest.raises(ModelMissing, match="Smart Turn") as raised:
        here.preflight()
    assert raised.value.remedy == INSTALL_SMART_TURN
    JudgeTurnEnds().preflight()
