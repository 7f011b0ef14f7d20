"""TokeniseProsody: tokens of utterances, which no batch changes, and of words where they are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audio_files import EXAMPLES, example
from datasets import Dataset

from dailytalk_contiguous import Codebook, Folder, PerUtterance, ProsodicClusterSequences, Segment, TokeniseProsody
from dailytalk_contiguous.core.audio import to_pcm
from dailytalk_contiguous.models.codebook import DEFAULT_CODEBOOK, Training


def pcm(start: float, end: float, side: int = 0) -> bytes:
    return to_pcm(example("old_friends")[round(16000 * start) : round(16000 * end), side]).tobytes()


@pytest.fixture
def relative(tmp_path: Path) -> str:
    """A codebook whose f0 is relative to the speaker."""
    codebook = Codebook(Codebook.load().centres, speaker_relative=True, training=Training(0.0, 0, 0, 0, ()))
    codebook.save(tmp_path / "relative")
    return str(tmp_path / "relative")


def test_a_token_a_frame_as_of_the_sound_alone() -> None:
    speech = [pcm(0.7, 3.2), pcm(4.0, 5.1), b"", pcm(0, 0.3)]
    rows = TokeniseProsody().map(Dataset.from_dict({"speech": speech}))
    sounds = [np.frombuffer(data, "<i2").astype(np.float32) / 32768 for data in speech]
    assert rows["prosody_tokens"][:] == ProsodicClusterSequences().extract_cluster_sequences(sounds)
    for row in rows:
        tokens = [run["token"] for run in row["prosody_runs"] for _ in range(run["frames"])]
        assert tokens == row["prosody_tokens"]
        assert row["prosody_words"] == []
        assert row["prosody_model"] == Codebook.load().name


@pytest.mark.parametrize("size", [1, 3])
def test_conversations_have_the_same_tokens_in_any_batch(size: int, relative: str) -> None:
    recordings = Folder(inputs=(str(EXAMPLES),)).as_streaming_dataset("train")
    calls = Segment().map(Dataset.from_list([row | {"duration": 5.0} for row in recordings]))
    for codebook in (DEFAULT_CODEBOOK, relative):
        stage = PerUtterance(TokeniseProsody(codebook))
        rows = stage.map(calls, batch_size=size)
        alone = [stage.map(calls.select([place]))[0]["prosody_tokens"] for place in range(len(calls))]
        assert rows["prosody_tokens"][:] == alone
        assert all(map(any, alone))


@pytest.mark.parametrize("origin", [{"start": [100.0]}, {"speech_start": [100.0], "start": [None]}])
def test_words_are_found_in_the_utterance_by_their_times(origin: dict[str, list[Any]]) -> None:
    words = [{"word": "one", "start": 100.1, "end": 100.5, "probability": None}]
    batch = {"speech": [pcm(0.7, 3.2)], **origin}
    ((word,),) = TokeniseProsody()(batch | {"words": [words]})["prosody_words"]
    tokens = TokeniseProsody()(batch)["prosody_tokens"][0]
    assert word["tokens"] == tokens[6:31]  # whose middles are from 0.1 up to 0.5 s
    assert TokeniseProsody()(batch | {"words": [None], "given_words": [words]})["prosody_words"] == [[word]]
    assert TokeniseProsody()(batch | {"words": [None]})["prosody_words"] == [[]]
