import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dailytalk_contiguous.apps.learn.masked_tokens import (
    CHECKPOINTS,
    LEARNING_RATES,
    RECORD,
    TrainingOutcome,
    TrainingSettings,
    train_encoder,
)
from dailytalk_contiguous.apps.learn.training import ResumingTrainer
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.models.prosodic_encoder import SIZES, ProsodicSequenceEncoder

#: Smaller than tiny, so that a step takes milliseconds.
SMALLEST = {"hidden_dim": 32, "num_layers": 1, "nhead": 2}
STEPS = 12
EVERY = 4
SETTINGS: dict[str, Any] = {
    "size": "tiny",
    "steps": STEPS,
    "check_every": EVERY,
    "batch": 6,
    "valid_share": 0.2,
    "device": "cpu",
}


def held_tokens(count: int = 40, seed: int = 0) -> list[np.ndarray]:
    """Sequences in which each token is held for some frames, so that a masked frame is known by its neighbours."""
    rng = np.random.default_rng(seed)
    sequences = []
    for _ in range(count):
        tokens = rng.integers(0, 12, 20)
        lengths = rng.integers(3, 9, 20)
        frames = np.repeat(tokens, lengths)
        sequences.append(frames[: rng.integers(40, 90)])
    return sequences


@pytest.fixture(autouse=True)
def smallest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "tiny", SMALLEST)


def train(out: Path, on_step: Any = None, **changed: Any) -> TrainingOutcome:
    """A training that calls `on_step` with the number of each step before it is taken."""
    torch.set_num_threads(1)  # losses are compared to the bit with those of another process
    step = ResumingTrainer.training_step

    def watched(trainer: Any, *args: Any, **kwargs: Any) -> Any:
        if on_step is not None:
            on_step(trainer.state.global_step + 1)
        return step(trainer, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResumingTrainer, "training_step", watched)
        settings = TrainingSettings(**SETTINGS | changed)
        return train_encoder(held_tokens(), out, settings)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainingOutcome:
    """A training that nothing has stopped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "tiny", SMALLEST)
        return train(tmp_path_factory.mktemp("whole") / "encoder")


def losses(outcome: TrainingOutcome) -> list[tuple[float, ...]]:
    """Steps of validations, and their losses."""
    history = json.loads((outcome.out / RECORD).read_text())["losses"]
    return [(row["step"], row["eval_loss"]) for row in history if "eval_loss" in row]


def same_weights(first: Path, second: Path) -> bool:
    weights = load_file(first / "model.safetensors")
    others = load_file(second / "model.safetensors")
    if weights.keys() != others.keys():
        return False
    return all(torch.equal(weight, others[name]) for name, weight in weights.items())


def test_training_learns_from_what_is_around_a_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most frames of a sequence have a token of its own; by frequency alone all twelve are alike."""
    rng = np.random.default_rng(0)
    usual = np.arange(240) % 12
    is_usual = rng.random((240, 40)) < 0.9
    others = rng.integers(0, 12, (240, 40))
    sequences = np.where(is_usual, usual[:, None], others)
    monkeypatch.setitem(LEARNING_RATES, "tiny", 1e-2)
    changed = {"steps": 150, "check_every": 50}
    settings = TrainingSettings(**SETTINGS | changed)
    outcome = train_encoder(list(sequences), tmp_path / "encoder", settings)
    assert outcome.valid_loss < np.log(12) - 1
    assert outcome.unigram_loss == pytest.approx(np.log(12), abs=0.1)
    encoder = ProsodicSequenceEncoder.from_pretrained(outcome.out)
    assert encoder.embed(list(sequences[:3])).shape == (3, 32)


def test_what_was_trained_is_written_down(whole: TrainingOutcome) -> None:
    record = json.loads((whole.out / RECORD).read_text())
    assert record["data"]["sequences"] == 40
    assert record["result"]["valid_loss"] == whole.valid_loss
    steps, valid_losses = zip(*losses(whole), strict=True)
    assert steps == (4, 8, 12)
    assert min(valid_losses) == pytest.approx(whole.valid_loss)
    assert not (whole.out / CHECKPOINTS).exists()


def test_the_same_seed_trains_the_same_encoder(whole: TrainingOutcome, tmp_path: Path) -> None:
    assert losses(train(tmp_path / "again")) == losses(whole)
    assert same_weights(tmp_path / "again", whole.out)
    assert losses(train(tmp_path / "other", seed=1)) != losses(whole)


def test_a_training_that_was_stopped_goes_on_to_the_same_encoder(whole: TrainingOutcome, tmp_path: Path) -> None:
    out = tmp_path / "encoder"

    def on_step(step: int) -> None:
        if step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(out, on_step)
    assert not (out / "model.safetensors").exists()
    steps: list[int] = []
    outcome = train(out, steps.append)
    assert steps == list(range(5, STEPS + 1))
    assert losses(outcome) == losses(whole)
    assert same_weights(out, whole.out)


def test_training_stops_where_validation_gets_no_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LEARNING_RATES, "tiny", 0.3)
    outcome = train(tmp_path / "encoder", steps=400, check_every=2, patience=2)
    assert outcome.planned == 400
    assert outcome.steps < 400
    _, valid_losses = zip(*losses(outcome), strict=True)
    assert outcome.valid_loss == pytest.approx(min(valid_losses))


def test_sequences_longer_than_the_encoder_sees_are_trained_on_in_windows(tmp_path: Path) -> None:
    long = [np.arange(4500) % 120, np.arange(2001) % 7, np.arange(30) % 5]
    settings = TrainingSettings(**SETTINGS | {"steps": 2, "batch": 2})
    outcome = train_encoder(long, tmp_path / "encoder", settings)
    assert np.isfinite(outcome.valid_loss)


def test_a_folder_of_something_else_is_left_alone(whole: TrainingOutcome, tmp_path: Path) -> None:
    with pytest.raises(DailytalkError, match="holds an encoder already: name a new folder"):
        train(whole.out)
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DailytalkError, match="holds something else: name a new folder"):
        train(tmp_path)
    visible = [path.name for path in tmp_path.iterdir() if path.name[0] != "."]
    assert visible == ["thesis.txt"]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([3, 120, 5], "sequence 1 has the token 120 at frame 1, not one of 0 to 119"),
        ([3, 5, -1], "sequence 1 has the token -1 at frame 2"),
        ([1.5], "sequence 1 is not a sequence of whole numbers"),
    ],
)
def test_what_is_no_token_is_named_with_its_place(bad: list[Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words) as refused:
        train_encoder([[1, 2], bad, [3]], tmp_path / "encoder")
    assert refused.value.row == 1
    assert not (tmp_path / "encoder").exists()


def test_one_sequence_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(DailytalkError, match="there are 1 sequences to train on"):
        train_encoder([[1, 2, 3]], tmp_path / "encoder")
