import pytest
from audio_files import EXAMPLES
from datasets import Dataset

from dailytalk_contiguous.core.sound.samples import pcm_to_float
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.models.codebook import Codebook
from dailytalk_contiguous.models.prosodic_sequences import ProsodicClusterSequences
from dailytalk_contiguous.stages.tokenise_prosody import TokeniseResult

SOUND = {"path": str(EXAMPLES / "burnt_dinner.flac"), "bytes": None}


def tokens_of(channel: int, start: float, end: float) -> list[int]:
    first = round(start * 16000)
    last = round(end * 16000)
    samples = read_pcm(SOUND)[first:last, channel]
    sound = pcm_to_float(samples.tobytes())
    (tokens,) = ProsodicClusterSequences().extract_cluster_sequences(sound)
    return tokens


@pytest.mark.parametrize(("revoice", "columns"), [("left", (0, 1)), ("right", (1, 0))])
def test_tokens_of_a_rebuilt_conversation_are_those_of_its_own_sound(
    revoice: str, columns: tuple[int, int]
) -> None:
    row = {
        "built_audio": SOUND,
        "utterance_id": ["a/left/0000", "a/right/0000", "a/left/0001"],
        "source_channel": ["left", "right", "left"],
        "new_start": [4.2, 0.6, None],
        "new_end": [5.8, 3.9, None],
    }
    dataset = Dataset.from_list([row])
    (done,) = TokeniseResult(revoice=revoice).map(dataset)
    left, right = columns
    first, second, dropped = done["prosody_tokens"]
    assert first == tokens_of(left, 4.2, 5.8)
    assert second == tokens_of(right, 0.6, 3.9)
    assert dropped == []
    codebook = Codebook.load()
    assert set(done["prosody_model"]) == {codebook.name}
