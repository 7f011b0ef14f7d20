"""TokeniseProsody: tokens of utterances, which no batch changes, and of words where they are known."""

from pathlib import Path
from typing import Any

import pytest
from audio_files import EXAMPLES, example
from datasets import Dataset
from stage_calls import columns_after

from dailytalk_contiguous import Codebook, Folder, ProsodicClusterSequences, Segment, TokeniseProsody
from dailytalk_contiguous.core.sound.samples import pcm_to_float, to_pcm
from dailytalk_contiguous.models.codebook import DEFAULT_CODEBOOK, Training


def pcm(start: float, end: float, side: int = 0) -> bytes:
    first = round(16000 * start)
    last = round(16000 * end)
    samples = example("old_friends")[first:last, side]
    return to_pcm(samples).tobytes()


@pytest.fixture
def relative(tmp_path: Path) -> str:
    """A codebook whose f0 is relative to the speaker."""
    training = Training(0.0, 0, 0, 0, ())
    centres = Codebook.load().centres
    codebook = Codebook(centres, speaker_relative=True, training=training)
    codebook.save(tmp_path / "relative")
    return str(tmp_path / "relative")


def test_a_token_a_frame_as_of_the_sound_alone() -> None:
    speech = [pcm(0.7, 3.2), pcm(4.0, 5.1), b"", pcm(0, 0.3)]
    dataset = Dataset.from_dict({"speech": speech})
    rows = TokeniseProsody().map(dataset)
    sounds = [pcm_to_float(data) for data in speech]
    expected = ProsodicClusterSequences().extract_cluster_sequences(sounds)
    assert rows["prosody_tokens"][:] == expected
    for row in rows:
        tokens = []
        for run in row["prosody_runs"]:
            tokens += [run["token"]] * run["frames"]
        assert tokens == row["prosody_tokens"]
        assert row["prosody_words"] == []
        assert row["prosody_model"] == Codebook.load().name


@pytest.mark.parametrize("size", [1, 3])
def test_conversations_have_the_same_tokens_in_any_batch(size: int, relative: str) -> None:
    folder = Folder(inputs=(str(EXAMPLES),))
    recordings = [row | {"duration": 5.0} for row in folder.as_streaming_dataset("train")]
    calls = Segment().map(Dataset.from_list(recordings))
    for codebook in (DEFAULT_CODEBOOK, relative):
        stage = TokeniseProsody(codebook)
        rows = stage.map(calls, batch_size=size)
        alone = []
        for index in range(len(calls)):
            call = calls.select([index])
            (row,) = stage.map(call)
            alone.append(row["prosody_tokens"])
        assert rows["prosody_tokens"][:] == alone
        for conversation in alone:
            assert any(conversation)


@pytest.mark.parametrize("origin", [{"start": [100.0]}, {"speech_start": [100.0], "start": [None]}])
def test_words_are_found_in_the_utterance_by_their_times(origin: dict[str, list[Any]]) -> None:
    stage = TokeniseProsody()
    words = [{"word": "one", "start": 100.1, "end": 100.5, "probability": None}]
    batch = {"speech": [pcm(0.7, 3.2)]} | origin
    recognised = columns_after(stage, batch | {"words": [words]})
    ((word,),) = recognised["prosody_words"]
    (tokens,) = columns_after(stage, batch)["prosody_tokens"]
    assert word["tokens"] == tokens[6:31]  # whose middles are from 0.1 up to 0.5 s
    transcribed = columns_after(stage, batch | {"words": [None], "given_words": [words]})
    assert transcribed["prosody_words"] == [[word]]
    wordless = columns_after(stage, batch | {"words": [None]})
    assert wordless["prosody_words"] == [[]]
