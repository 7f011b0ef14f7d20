"""Random-weight models in the exact file layout of the real ones, for tests and benchmarks.

Nothing here is trained or downloaded: a tiny Whisper and a tiny affect model let the whole pipeline run in
seconds, and the same makers at the real sizes give benchmarks the real cost. The Whisper is rigged through its
position embeddings to say a fixed number of made-up words (in the tiny one they depend on the audio) and then to
stop: a plain random decoder would never end, and be decoded six times over before it is given up.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from ctranslate2.converters.transformers import WhisperLoader
from ctranslate2.specs.whisper_spec import WhisperSpec
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import Wav2Vec2Config, Wav2Vec2Model, WhisperConfig, WhisperForConditionalGeneration
from transformers.models.whisper.tokenization_whisper import LANGUAGES

N_TEXT_TOKENS = 50257  # of the multilingual Whisper; with the 1608 special ones 51865
N_WORDS_KNOWN = 400  # tokens that a random Whisper can say, all of them whole words


class Size(NamedTuple):
    """Shape of a Whisper: model width, layers and heads of the encoder and of the decoder."""

    d_model: int
    layers: int
    heads: int


#: In Whisper's order; the hundredth came with large-v3, which has one token more.
LANGUAGE_CODES = list(LANGUAGES)[:99]

SIZES = {
    "tiny": Size(384, 4, 6),
    "base": Size(512, 6, 8),
    "small": Size(768, 12, 12),
    "medium": Size(1024, 24, 16),
}


def make_tiny_whisper(folder: Path, n_words: int = 6, seed: int = 0) -> Path:
    """Write a multilingual Whisper of a few thousand weights (besides its vocabulary) that says `n_words`."""
    return _make_whisper(folder, _whisper_weights(Size(64, 2, 2), n_words, seed, hears=True))


def make_whisper(folder: Path, size: str, n_words: int = 12, seed: int = 0) -> Path:
    """Write a Whisper of the real shape of `size` (`tiny`, `base`, `small`, `medium`) with random weights.

    It says `n_words` whatever it hears, so that its cost is that of an utterance of so many words.
    """
    return _make_whisper(folder, _whisper_weights(SIZES[size], n_words, seed, hears=False))


def _make_whisper(folder: Path, model: WhisperForConditionalGeneration) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text, special = _text_tokens(), _special_tokens()
    ids = _token_ids()
    layers, heads = model.config.decoder_layers, model.config.decoder_attention_heads
    spec: WhisperSpec = WhisperLoader().get_model_spec(model)
    spec.register_vocabulary(text + special)
    spec.config.lang_ids = [ids[f"<|{code}|>"] for code in LANGUAGE_CODES]
    spec.config.suppress_ids = [ids[f"<|{name}|>"] for name in SILENCED]
    spec.config.suppress_ids_begin = [ids["Ġ"], ids["<|endoftext|>"]]
    spec.config.alignment_heads = [[layer, head] for layer in range(layers // 2, layers) for head in range(heads)]
    spec.validate()
    spec.optimize("float16")  # as the converted models on the Hub are
    spec.save(str(folder))
    _write_tokenizer(folder, text, special)
    features = {"feature_size": 80, "sampling_rate": 16000, "hop_length": 160, "chunk_length": 30, "n_fft": 400}
    (folder / "preprocessor_config.json").write_text(json.dumps(features))
    return folder


SILENCED = ("startoftranscript", "translate", "transcribe", "startoflm", "startofprev", "nospeech")


def _special_tokens() -> list[str]:
    """Whisper's tokens behind the text, in their order."""
    names = ["endoftext", "startoftranscript", *LANGUAGE_CODES, "translate", "transcribe", "startoflm"]
    names += ["startofprev", "nospeech", "notimestamps"]
    return [f"<|{name}|>" for name in names] + [f"<|{step * 0.02:.2f}|>" for step in range(1501)]


def _byte_letters() -> list[str]:
    """The 256 letters that stand for bytes, in the order of GPT-2's vocabulary (printable ones first)."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    return [c for c in letters if ord(c) < 256] + [c for c in letters if ord(c) >= 256]


SYLLABLES = [consonant + vowel for consonant in "bdfghjklmnprstvwxzcq" for vowel in "aeiou"]


def _text_tokens() -> list[str]:
    """All text tokens: bytes, syllables, then words of one, two and three syllables with their space.

    The last one is empty, as in the real vocabulary: by that CTranslate2 tells a multilingual model.
    """
    words = [f"Ġ{first}" for first in SYLLABLES]
    words += [word + last for word in words for last in SYLLABLES]
    words += [word + last for word in words[len(SYLLABLES) :] for last in SYLLABLES[:5]]
    text = _byte_letters() + SYLLABLES + words
    return [*text[: N_TEXT_TOKENS - 1], ""]


def _write_tokenizer(folder: Path, text: list[str], special: list[str]) -> None:
    merges = [(syllable[0], syllable[1]) for syllable in SYLLABLES]
    merges += [("Ġ", syllable) for syllable in SYLLABLES]
    merges += [(f"Ġ{first}", last) for first in SYLLABLES for last in SYLLABLES]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(text)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special[: special.index("<|notimestamps|>") + 1])
    tokenizer.add_tokens(special[special.index("<|0.00|>") :])
    tokenizer.save(str(folder / "tokenizer.json"))


def _token_ids() -> dict[str, int]:
    return {token: index for index, token in enumerate(_text_tokens() + _special_tokens())}


def _whisper_weights(size: Size, n_words: int, seed: int, hears: bool) -> WhisperForConditionalGeneration:
    ids = _token_ids()
    torch.manual_seed(seed)
    shape = WhisperConfig(
        vocab_size=len(ids),
        d_model=size.d_model,
        encoder_layers=size.layers,
        decoder_layers=size.layers,
        encoder_attention_heads=size.heads,
        decoder_attention_heads=size.heads,
        encoder_ffn_dim=4 * size.d_model,
        decoder_ffn_dim=4 * size.d_model,
    )
    model = WhisperForConditionalGeneration(shape).eval()
    with torch.no_grad():
        _script(model, ids, n_words)
        if hears:
            _listen(model, n_words)
    return model


def _script(model: WhisperForConditionalGeneration, ids: dict[str, int], n_words: int) -> None:
    """Make the decoder say English, <|0.00|>, `n_words` words and <|endoftext|>, sure of each of them.

    A position embedding that is the embedding of a token makes that token the next one; what the layers add is
    made too small to change that.
    """
    decoder, width = model.model.decoder, model.config.d_model
    unit = _random_directions(len(ids), width)
    first_word = ids["Ġ" + SYLLABLES[0] + SYLLABLES[0]]
    words = range(first_word, first_word + 25 * N_WORDS_KNOWN, 25)
    known = [ids["<|en|>"], ids["<|0.00|>"], ids["<|endoftext|>"], *words]
    embeddings = unit * 0.002
    embeddings[known] = unit[known] * 0.2
    decoder.embed_tokens.weight.copy_(embeddings)
    positions = decoder.embed_positions.weight
    positions.copy_(6 * unit[ids["<|endoftext|>"]].expand_as(positions))
    positions[0] = 6 * unit[ids["<|en|>"]]
    positions[1:3] = 6 * unit[ids["<|0.00|>"]]
    positions[3 : 3 + n_words] = 6 * unit[[words[(7 * place) % N_WORDS_KNOWN] for place in range(n_words)]]
    decoder.layer_norm.weight.fill_(5 * 64 / width**0.5)
    for layer in decoder.layers:
        for last in (layer.self_attn.out_proj, layer.encoder_attn.out_proj, layer.fc2):
            last.weight.mul_(0.01)


def _listen(model: WhisperForConditionalGeneration, n_words: int) -> None:
    """Make the words depend on the first second of the audio, which every clip has.

    Where a word is due the position becomes a random direction, to which the first layer's cross-attention adds
    what it hears; some word is nearest to the sum. At its initial scale the encoder's output would be all
    position, and a short clip would drown in 30 s of padding.
    """
    encoder, hearing = model.model.encoder, model.model.decoder.layers[0].encoder_attn
    encoder.conv1.weight.mul_(20)
    encoder.conv2.weight.mul_(20)
    early = _random_directions(1, model.config.d_model)[0]
    encoder.embed_positions.weight[:50] += 3 * early
    encoder.embed_positions.weight[50:] -= 3 * early
    pull = hearing.k_proj.weight @ early
    hearing.q_proj.bias.copy_(20 * pull / pull.norm() ** 2)
    hearing.out_proj.weight.mul_(4000)
    model.model.decoder.embed_positions.weight[3 : 3 + n_words] = 3 * _random_directions(
        n_words, model.config.d_model
    )


def _random_directions(count: int, width: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, width), dim=-1)


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
    encoder = Wav2Vec2Model(Wav2Vec2Config(**{key: value for key, value in config.items() if value is not None}))
    width = config["hidden_size"]
    weights = {f"wav2vec2.{name}": tensor.clone() for name, tensor in encoder.state_dict().items()}
    weights |= {
        f"classifier.dense.{name}": tensor for name, tensor in nn.Linear(width, width).state_dict().items()
    }
    weights |= {f"classifier.out_proj.{name}": tensor for name, tensor in nn.Linear(width, 3).state_dict().items()}
    weights["classifier.out_proj.bias"] = torch.tensor([0.4, 0.5, 0.6])  # so that nothing is clipped to [0, 1]
    (folder / "config.json").write_text(json.dumps(config))
    extractor = {"do_normalize": True, "feature_size": 1, "padding_value": 0.0, "sampling_rate": 16000}
    (folder / "preprocessor_config.json").write_text(json.dumps(extractor | {"return_attention_mask": True}))
    if older_names:
        torch.save({_older(name): tensor for name, tensor in weights.items()}, folder / "pytorch_model.bin")
    else:
        save_file(weights, folder / "model.safetensors")
    return folder


def _older(name: str) -> str:
    return name.replace(".parametrizations.weight.original0", ".weight_g").replace(
        ".parametrizations.weight.original1", ".weight_v"
    )
