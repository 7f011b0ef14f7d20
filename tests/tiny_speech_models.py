"""Speech models of transformers with random weights, in the files of real ones: encoders and classifiers."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    HubertConfig,
    HubertForSequenceClassification,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2ForSequenceClassification,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMForSequenceClassification,
    WavLMModel,
    WhisperConfig,
    WhisperForAudioClassification,
    WhisperModel,
)

#: Of wav2vec2-like ones: the real convolutions, few of all else.
TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 8,
}

TINY_WHISPER = {
    "vocab_size": 8,
    "num_mel_bins": 80,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_source_positions": 100,
    "max_target_positions": 8,
    "classifier_proj_size": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}

#: Parts of the names of the weights that are made larger.
ENLARGED = ("classifier", "projector", "conv1", "conv2")

MODELS: dict[str, tuple[type[Any], type[Any], type[Any]]] = {
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2Model, Wav2Vec2ForSequenceClassification),
    "hubert": (HubertConfig, HubertModel, HubertForSequenceClassification),
    "wavlm": (WavLMConfig, WavLMModel, WavLMForSequenceClassification),
    "whisper": (WhisperConfig, WhisperModel, WhisperForAudioClassification),
}


def make_speech_model(
    folder: Path, kind: str = "wav2vec2", labels: tuple[str, ...] = (), seed: int = 0, **settings: Any
) -> Path:
    """Write a tiny model of a kind of `MODELS`: with labels a classifier, else an encoder."""
    config_class, encoder_class, classifier_class = MODELS[kind]
    shape = TINY_WHISPER if kind == "whisper" else TINY
    shape = shape | settings
    model_class = encoder_class
    if labels:
        model_class = classifier_class
        shape["id2label"] = dict(enumerate(labels))
        shape["label2id"] = {label: index for index, label in enumerate(labels)}
    config = config_class(**shape)
    torch.manual_seed(seed)
    model = model_class(config).eval()
    with torch.no_grad():  # at their first scale, random layers say nearly the same of every sound
        for name, weight in model.named_parameters():
            if any(part in name for part in ENLARGED):
                weight.mul_(8)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    preparation = {"do_normalize": kind != "hubert", "sampling_rate": 16000, "feature_size": 1}
    (folder / "preprocessor_config.json").write_text(json.dumps(preparation))
    return folder


def change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    """Replace weights of a model, or leave them out, by their names with `__` for dots."""
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    for keyword, weight in changes.items():
        name = keyword.replace("__", ".")
        weights.pop(name, None)
        if weight is not None:
            weights[name] = weight
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
