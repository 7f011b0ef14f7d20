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
from dailytalk_contiguous.core.records.transitions import ends_of_talk
from dailytalk_contiguous.core.records.utterance import Utterance
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


def columns_of(side: int, revoice: str, delay: float) -> dict[str, Any]:
    """The row of a planted conversation, whose result is `delay` seconds later."""
    samples, lines = planted(side)
    n_silent = round(delay * RATE)
    delayed = np.pad(samples, ((n_silent, 0), (0, 0)))
    built = delayed[:, ::-1] if revoice == "right" else delayed
    channels = [channel for channel, _, _ in lines]
    starts = [start for _, start, _ in lines]
    ends = [end for _, _, end in lines]
    return {
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


def judged(side: int, revoice: str, delay: float, judge: str) -> dict[str, list[Any]]:
    """What the stage adds to a planted conversation."""
    stage = JudgeTurnEnds(revoice=revoice, judge=judge)
    dataset = Dataset.from_list([columns_of(side, revoice, delay)])
    (done,) = stage.map(dataset).to_list()
    return {name: done[name] for name in stage.adds}


@pytest.mark.parametrize(("side", "revoice"), [(0, "left"), (1, "left"), (0, "right"), (1, "none")])
def test_transitions_of_planted_ends_are_known_as_recorded_and_as_built(side: int, revoice: str) -> None:
    delay = 0.0 if revoice == "none" else 1.5
    row = columns_of(side, revoice, delay)
    starts = zip(row["source_channel"], row["start"], row["end"], row["new_start"], row["new_end"], strict=True)
    utterances = [
        Utterance(source_channel=channel, start=start, end=end, new_start=new_start, new_end=new_end)
        for channel, start, end, new_start, new_end in starts
    ]
    talk = ends_of_talk(utterances, revoice)
    # A part, the rest of its sentence, the answer; nobody speaks behind the last answer; the last one was dropped.
    expected = ["hold", "shift", "shift"] * 2 + ["hold", "shift"]
    for ends in (talk.recorded, talk.built):
        assert [end.transition for end in ends] == expected
        assert [end.utterance for end in ends] == [*range(8)]


@with_judge
@pytest.mark.parametrize(("side", "revoice"), [(0, "left"), (1, "left"), (0, "right"), (1, "none")])
def test_planted_pauses_sound_less_finished_than_planted_ends(side: int, revoice: str) -> None:
    delay = 0.0 if revoice == "none" else 1.5
    done = judged(side, revoice, delay, "smart-turn")
    for timeline in ("turn_end", "source_turn_end"):
        judgements = done[timeline]
        holds = np.mean(judgements[0:9:3])
        shifts = np.mean(judgements[1:9:3])
        assert shifts - holds > 0.2
        assert judgements[-2:] == [None, None]
    source = pytest.approx(done["source_turn_end"][1:8], abs=0.1)
    assert done["turn_end"][1:8] == source


def test_without_a_judge_nothing_is_said_of_ends() -> None:
    done = judged(0, "left", 1.0, "none")
    assert set(done["turn_end"]) == {None}
    assert set(done["source_turn_end"]) == {None}


def test_a_judge_that_is_not_on_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_turn_ends, "lacking_smart_turn", lambda: ["weights"])
    with pytest.raises(ModelMissing, match="Smart Turn") as raised:
        JudgeTurnEnds(judge="smart-turn").preflight()
    assert raised.value.remedy == INSTALL_SMART_TURN
    JudgeTurnEnds().preflight()
