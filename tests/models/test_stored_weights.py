"""Both ways of storing weights give the same bits, and no file runs code."""

import io
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_speech_models import make_speech_model
from torch import Tensor, nn

from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.models.emotion_networks import classifier_on, encoder_in
from dailytalk_contiguous.models.stored_weights import load_weights

WEIGHT = torch.arange(6.0).reshape(2, 3)
BIAS = torch.tensor([0.5, -0.5])


def older(name: str) -> str:
    name = name.replace("parametrizations.weight.original0", "weight_g")
    return name.replace("parametrizations.weight.original1", "weight_v")


def as_older(weights: dict[str, Tensor]) -> OrderedDict[str, Any]:
    """Weights as a `state_dict` of 2021 has them: names, kinds and places in memory are all there are."""
    state = OrderedDict((older(name), weight) for name, weight in weights.items())
    for number, (name, weight) in enumerate(state.items()):
        if weight.ndim == 2 and number % 2:
            state[name] = weight.T.contiguous().T
        elif weight.ndim == 1 and number % 2:
            state[name] = nn.Parameter(weight)
    query = "wavlm.encoder.layers.0.attention.q_proj.bias"
    key = "wavlm.encoder.layers.0.attention.k_proj.bias"
    if query in state:  # both in one storage, as the halves of a weight that was cut are
        halves = torch.stack([state[query], state[key]]).detach()
        state[query], state[key] = halves.unbind()
    state._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    return state


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "wavlm"])
def test_an_encoder_has_the_same_bits_from_either_file(kind: str, tmp_path: Path) -> None:
    """Old checkpoints name them as a classifier does (`wavlm.…`), and have its head, too."""
    folder = make_speech_model(tmp_path / "new", kind, ("sad", "happy"))
    expected = encoder_weights(folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(as_older(weights), folder / "pytorch_model.bin")
    loaded = encoder_weights(folder)
    assert loaded.keys() == expected.keys()
    for name, weight in loaded.items():
        assert weight.is_contiguous()
        assert weight.numpy().tobytes() == expected[name].numpy().tobytes(), name


def encoder_weights(folder: Path) -> dict[str, Tensor]:
    classifier = classifier_on(str(folder), ("sad", "happy"), "cpu")
    return encoder_in(classifier.network).state_dict()


class Attack:
    def __reduce__(self) -> Any:
        return os.mkdir, ("attacked",)


def saved(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


GOOD = saved({"weight": WEIGHT, "bias": BIAS})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (saved({"weight": Attack()}), "its tensors can't be read"),
        (GOOD[: len(GOOD) // 2], "not a zip file"),
        (saved({"state": {"weight": WEIGHT, "bias": BIAS}}), "first, missing"),
        (saved({"weight": WEIGHT.int(), "bias": BIAS}), "'weight' first"),
        (saved({"weight": WEIGHT}), "'bias' first"),
        (saved({"weight": WEIGHT.T, "bias": BIAS}), "'weight' first"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_hostile_file_is_one_sentence(
    data: bytes, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "pytorch_model.bin"
    file.write_bytes(data)
    network = nn.Linear(3, 2, device="meta")
    with pytest.raises(ModelMissing) as refused:
        load_weights([file], network, "tiny", "name another")
    assert reason in refused.value.reason
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400
    assert not (tmp_path / "attacked").exists()


def test_a_weight_that_two_layers_share_is_read_for_both(tmp_path: Path) -> None:
    shared = torch.arange(250_000.0).reshape(500, 500)
    file = tmp_path / "pytorch_model.bin"
    torch.save({"0.weight": shared, "1.weight": shared}, file)
    layers = nn.Sequential(*(nn.Linear(500, 500, bias=False, device="meta") for _ in range(2)))
    load_weights([file], layers, "tiny", "name another")
    for weight in layers.state_dict().values():
        assert torch.equal(weight, shared)
