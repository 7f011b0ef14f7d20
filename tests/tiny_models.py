"""Affect models with random weights in the file layout of the real ones, for tests and benchmarks.

Nothing here is trained or downloaded: a tiny one lets the whole pipeline run in seconds, and one of the real size
gives benchmarks the real cost.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import Wav2Vec2Config, Wav2Vec2Model

#: What the real model's configuration says besides its shape.
AFFECT_CONFIG = {
    "architectures": ["Wav2Vec2ForSpeechClassification"],
    "model_type": "wav2vec2",
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
    "id2label": {"0": "arousal", "1": "dominance", "2": "valence"},
    "label2id": {"arousal": 0, "dominance": 1, "valence": 2},
    "pooling_mode": "mean",
    "problem_type": "regression",
    "torch_dtype": "float32",
    "vocab_size": None,
}

EXTRACTOR = {
    "do_normalize": True,
    "feature_size": 1,
    "padding_value": 0.0,
    "sampling_rate": 16000,
    "return_attention_mask": True,
}

TINY_AFFECT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}

LARGE_AFFECT = {
    "hidden_size": 1024,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "conv_dim": [512] * 7,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
}


def make_tiny_affect(folder: Path, seed: int = 0, older_names: bool = False) -> Path:
    """Write a tiny checkpoint in audEERING's layout.

    `older_names` writes it as the published one is: `pytorch_model.bin`, with the positional convolution's
    `weight_g` and `weight_v`.
    """
    return _make_affect(folder, TINY_AFFECT, seed, older_names)


def make_affect(folder: Path, seed: int = 0) -> Path:
    """Write a checkpoint of the real model's shape (12 layers, 165 million weights) with random weights."""
    return _make_affect(folder, LARGE_AFFECT, seed, older_names=False)


def _make_affect(folder: Path, shape: dict[str, Any], seed: int, older_names: bool) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config = AFFECT_CONFIG | shape
    torch.manual_seed(seed)
    settings = {key: value for key, value in config.items() if value is not None}
    encoder = Wav2Vec2Model(Wav2Vec2Config(**settings))
    width = config["hidden_size"]
    dense = nn.Linear(width, width)
    out_proj = nn.Linear(width, 3)
    weights = {f"wav2vec2.{name}": tensor.clone() for name, tensor in encoder.state_dict().items()}
    for name, tensor in dense.state_dict().items():
        weights[f"classifier.dense.{name}"] = tensor
    for name, tensor in out_proj.state_dict().items():
        weights[f"classifier.out_proj.{name}"] = tensor
    weights["classifier.out_proj.bias"] = torch.tensor([0.4, 0.5, 0.6])  # so that nothing is clipped to [0, 1]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(EXTRACTOR))
    if older_names:
        older_weights = {_older(name): tensor for name, tensor in weights.items()}
        torch.save(older_weights, folder / "pytorch_model.bin")
    else:
        save_file(weights, folder / "model.safetensors")
    return folder


def _older(name: str) -> str:
    name = name.replace(".parametrizations.weight.original0", ".weight_g")
    return name.replace(".parametrizations.weight.original1", ".weight_v")
