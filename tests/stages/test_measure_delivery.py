from pathlib import Path
from typing import Any

import ending_voice
import numpy as np
import pytest
import singing_voice
import torch
from audio_files import EXAMPLES, Samples
from datasets import Dataset
from singing_voice import MELODIES, sung

from dailytalk_contiguous.core.records.schema import Batch
from dailytalk_contiguous.models.codebook import Codebook
from dailytalk_contiguous.models.delivery import performance_of
from dailytalk_contiguous.models.prosodic_encoder import ProsodicSequenceEncoder, embed_sounds
from dailytalk_contiguous.pipelines.to_sound import speak_stages
from dailytalk_contiguous.stages import measure_delivery, take_parts
from dailytalk_contiguous.stages.measure_delivery import MeasureDelivery
from dailytalk_contiguous.stages.synthesis import Speak


def example() -> dict[str, Any]:
    return {
        "audio": {"path": str(EXAMPLES / "burnt_dinner.flac"), "bytes": None},
        "offset": 0.0,
        "duration": 30.0,
        "utterance_id": ["a/left/0000", "a/right/0000", "a/left/0001"],
        "source_channel": ["left", "right", "left"],
        "start": [4.2, 6.2, 9.4],
        "end": [5.8, 8.9, 12.0],
        "text": ["Said.", "By the other.", " "],
    }


def lines(source: np.ndarray | None) -> Batch:
    """Two lines of one conversation; a source, where it is known, of both."""
    batch: Batch = {
        "utterance_id": ["a/left/0000", "a/left/0001"],
        "conversation_id": ["a", "a"],
        "source_channel": ["left", "left"],
        "start": [0.0, 1.0],
        "end": [1.0, 2.0],
        "text": ["Sing it up.", "Sing it down."],
        "tag": ["calm", "calm"],
    }
    if source is not None:
        performance = performance_of(source)
        batch["source_f0"] = [performance.f0.tolist()] * 2
        batch["source_level"] = [performance.level.tolist()] * 2
    return batch


def measured(stage: MeasureDelivery, row: dict[str, Any]) -> dict[str, Any]:
    dataset = Dataset.from_list([row])
    (made,) = stage.map(dataset).to_list()
    return made


def lengths(values: list[Any]) -> list[int]:
    return list(map(len, values))


def receipts(done: Batch, name: str) -> list[Any]:
    return [synthesis[name] for synthesis in done["synthesis"]]


def test_only_lines_that_are_resynthesised_are_measured() -> None:
    row = measured(MeasureDelivery(), example())
    assert lengths(row["source_f0"]) == [50, 0, 0]
    assert lengths(row["source_level"]) == [50, 0, 0]
    assert max(row["source_f0"][0]) > 60
    level = row["source_level"][0]
    assert -120 <= min(level) < max(level) <= 0
    other = MeasureDelivery(revoice="right").row(example())
    first, second, third = other["source_f0"]
    assert len(first) == 0
    assert len(second) > 0
    assert len(third) == 0


@pytest.mark.parametrize(("melody", "take"), [((120.0, 210.0), 1), ((210.0, 120.0), 2), ((90.0, 90.0), 0)])
def test_of_candidates_the_one_that_is_delivered_like_the_source_is_taken(
    tmp_path: Path, melody: tuple[float, float], take: int
) -> None:
    stage = Speak(engine=singing_voice.__file__, candidates=3, cache=str(tmp_path))
    source = sung(*melody)
    done = stage(lines(source))
    assert receipts(done, "take") == [take, take]
    (distance,) = set(receipts(done, "delivery_distance"))
    assert 0 <= distance < 0.1


def encoder(folder: Path, codebook: str = "") -> str:
    torch.manual_seed(0)
    made = ProsodicSequenceEncoder(hidden_dim=32, num_layers=1, nhead=2, prosody_model=codebook)
    made.save_pretrained(folder)
    return str(folder)


def test_an_encoder_tells_how_alike_source_and_take_are(tmp_path: Path) -> None:
    codebook = Codebook.load()
    name = encoder(tmp_path / "encoder", codebook.name)
    melody = sung(*MELODIES[2])
    (source,) = embed_sounds(name, "bundled", [melody])
    batch = lines(melody)
    batch["source_embedding"] = [source.tolist()] * 2
    cache = str(tmp_path / "cache")
    stage = Speak(engine=singing_voice.__file__, candidates=3, delivery=name, cache=cache)
    done = stage(batch)
    assert receipts(done, "take") == [2, 2]
    cosine = done["synthesis"][0]["delivery_cosine"]
    assert 0.95 < cosine <= 1.000001
    row = measured(MeasureDelivery(delivery=name), example())
    assert lengths(row["source_embedding"]) == [32, 0, 0]


def test_an_encoder_that_fails_on_one_source_leaves_it_without_embedding_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codebook = Codebook.load()
    name = encoder(tmp_path / "encoder", codebook.name)

    def breaking(delivery: str, codebook: str, sounds: list[Samples]) -> np.ndarray:
        if any(len(sound) < 2 * 16000 for sound in sounds):
            raise ValueError("too short for this encoder")
        return embed_sounds(delivery, codebook, sounds)

    monkeypatch.setattr(measure_delivery, "embed_delivery", breaking)
    talk = example()
    talk["text"] = ["Said.", "By the other.", "Said, too."]
    row = measured(MeasureDelivery(delivery=name), talk)
    assert lengths(row["source_embedding"]) == [0, 0, 32]
    assert row["source_f0"][0]
    assert row["source_f0"][2]
    (failure,) = row["model_failures"]
    assert failure["id"] == "a/left/0000"
    assert failure["stage"] == "MeasureDelivery"
    assert "ValueError: too short for this encoder" in failure["reason"]


def test_a_take_that_the_encoder_fails_on_is_no_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(delivery: str, codebook: str, sounds: list[Samples]) -> np.ndarray:
        raise ValueError("too odd for this encoder")

    monkeypatch.setattr(take_parts, "embed_delivery", breaking)
    source = sung(*MELODIES[2])
    batch = lines(source)
    batch["source_embedding"] = [[1.0] * 32, []]
    cache = str(tmp_path / "cache")
    stage = Speak(engine=singing_voice.__file__, delivery="encoder", cache=cache)
    done = stage(batch)
    assert done["status"] == ["failed", "spoken"]
    assert "ValueError: too odd for this encoder" in done["unspoken_reason"][0]


@pytest.mark.parametrize("take", [0, 1])
def test_of_candidates_the_one_that_ends_like_the_source_is_taken(tmp_path: Path, take: int) -> None:
    """The other take is nearer in all that comes before."""
    first, _ = ending_voice.TAKES[1 - take]
    _, ending = ending_voice.TAKES[take]
    source = ending_voice.said(first, ending)
    batch = lines(source)
    batch["text"] = ["Say how it ends, please."] * 2
    stage = Speak(engine=ending_voice.__file__, candidates=2, takes_of="line", cache=str(tmp_path))
    done = stage(batch)
    assert receipts(done, "take") == [take, take]
    for distance in receipts(done, "delivery_ending"):
        assert distance < 0.1


def test_candidates_are_compared_with_their_source_unless_a_person_wants_it_otherwise() -> None:
    def names(**options: Any) -> list[str]:
        return [stage.name for stage in speak_stages("embedded", **options)]

    assert "MeasureDelivery" not in names()
    assert "MeasureDelivery" in names(candidates=2)
    assert "MeasureDelivery" not in names(candidates=2, delivery="none")
