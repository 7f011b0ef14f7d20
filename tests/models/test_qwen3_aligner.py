"""The aligner of eleven languages, with random weights: what they place is meaningless, how it is used is not."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3ASRConfig, Qwen3ASRForTokenClassification, Qwen3ASRProcessor
from transformers.models.qwen3_asr.feature_extraction_qwen3_asr import Qwen3ASRFeatureExtractor

from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.models.aligners import qwen3
from dailytalk_contiguous.models.alignment import Align, Aligner, align, aligner_named, aligner_of
from dailytalk_contiguous.models.failures import ModelFailed

SPECIAL = ("<|pad|>", "<|audio_start|>", "<|audio_pad|>", "<|audio_end|>", "<timestamp>", "[UNK]")

TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' %}<|audio_start|><|audio_pad|><|audio_end|>"
    "{% else %}{{ part['text'] }}<timestamp><timestamp>{% endif %}"
    "{% endfor %}{% endfor %}"
)


#: What the tokenizer calls its special tokens beside `pad_token`.
NAMED_TOKENS = {
    "audio_bos_token": SPECIAL[1],
    "audio_token": SPECIAL[2],
    "audio_eos_token": SPECIAL[3],
    "timestamp_token": SPECIAL[4],
}

SMALL_AUDIO = {
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "d_model": 16,
    "output_dim": 16,
    "downsample_hidden_size": 8,
}

SMALL_TEXT = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of two small layers, as `save_pretrained` writes it."""
    letters = [*"abcdefghijklmnopqrstuvwxyz'0123456789"]
    vocabulary = {token: number for number, token in enumerate((*SPECIAL, *letters))}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token=SPECIAL[0], extra_special_tokens=NAMED_TOKENS
    )
    config = Qwen3ASRConfig(
        audio_config=dict(SMALL_AUDIO),
        text_config=SMALL_TEXT | {"vocab_size": len(vocabulary)},
        audio_token_id=2,
        timestamp_token_id=4,
        pad_token_id=0,
        num_labels=100,
    )
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("qwen3")
    Qwen3ASRForTokenClassification(config).save_pretrained(path)
    Qwen3ASRProcessor(Qwen3ASRFeatureExtractor(), tokenizer, chat_template=TEMPLATE).save_pretrained(path)
    return str(path)


def noise(seconds: float) -> Samples:
    n_samples = int(seconds * 16000)
    samples = np.random.default_rng(2).normal(0, 0.1, n_samples)
    return samples.astype(np.float32)


class Fixed(qwen3.Qwen3):
    """Answers with classes of time in place of the random weights' own."""

    def __init__(self, folder: str, classes: list[int]) -> None:
        super().__init__(folder, "cpu")
        model = self._model

        def answer(**inputs: torch.Tensor) -> object:
            outputs = model(**inputs)
            is_mark = inputs["input_ids"][0] == model.config.timestamp_token_id
            marks = is_mark.nonzero()[:, 0]
            assert len(marks) == len(classes)
            certain = torch.nn.functional.one_hot(torch.tensor(classes), 100)
            outputs.logits[0, marks] = certain.float()
            return outputs

        answer.device = model.device
        answer.config = model.config  # type: ignore[attr-defined]
        self._model = answer  # type: ignore[assignment]


def aligner(folder: str, *classes: int) -> Aligner:
    return dataclasses.replace(aligner_named("qwen3"), load=lambda device: Fixed(folder, [*classes]))


def rounded(words: Sequence[Word | None] | None, digits: int) -> list[tuple[str, float, float]]:
    """Texts and times of words that all have a time."""
    assert words is not None
    times = []
    for word in words:
        assert word is not None
        times.append((word.word, round(word.start, digits), round(word.end, digits)))
    return times


def test_words_are_placed_in_frames_of_80_ms(folder: str) -> None:
    fixed = aligner(folder, 1, 3, 3, 3, 5, 9)
    words = align(fixed, noise(2.0), ["It's", "a", "boat!"], "en", "cpu")
    its, a, boat = rounded(words, 3)
    assert its == ("It's", 0.08, 0.24)
    assert a == ("a", 0.24, 0.32)  # begins and ends in one frame
    assert boat == ("boat!", 0.4, 0.72)
    assert aligner(folder).source == "aligned-qwen3-80ms"


def test_words_of_ours_share_the_time_of_a_word_of_the_models(folder: str) -> None:
    fixed = aligner(folder, 0, 2, 2, 4, 4, 10)
    words = align(fixed, noise(1.0), ["你好", "吗"], "zh", "cpu")
    first, second = rounded(words, 2)
    assert first == ("你好", 0.0, 0.32)
    assert second == ("吗", 0.32, 0.8)


@pytest.mark.needs("a GPU")
def test_it_runs_on_cuda(folder: str) -> None:
    words = ["well", "I", "never"]
    on_cuda = qwen3.Qwen3(folder, "cuda")
    placed = on_cuda(noise(2.0), words, "en")
    assert placed is not None
    assert [word.word for word in placed] == words


def test_auto_takes_weights_only_where_they_are_and_cuda_is() -> None:
    english = aligner_of("auto", "en", "cpu")
    assert english is not None
    assert english.name == "pocketsphinx"
    assert aligner_of("auto", "de", "cpu") is None
    assert aligner_of("auto", "de", "cuda") is None  # its weights are not on this machine
    assert aligner_of("qwen3", "yue", "cpu") == aligner_named("qwen3")
    assert aligner_of("qwen3", "sv", "cpu") is None


# Any aligner


def placing(*words: Word) -> Aligner:
    """An aligner that has these words in any sound."""
    return Aligner("placing", lambda device: lambda samples, texts, language: [*words])


def test_weights_are_there_where_their_folder_has_them_as_safetensors(tmp_path: Path) -> None:
    local = Aligner("own", placing().load, model=str(tmp_path), size=7)
    (tmp_path / "config.json").touch()
    (tmp_path / "pytorch_model.bin").touch()
    (missing,) = local.lacking()
    name, size = missing
    assert name == str(tmp_path)
    assert size == 7
    (tmp_path / "model.safetensors").touch()
    assert local.lacking() == []


def test_aligner_is_loaded_once_for_a_device() -> None:
    devices = []

    def load(device: str) -> Align:
        devices.append(device)
        return lambda samples, words, language: None

    placing_nothing = Aligner("own", load)
    for _ in range(2):
        assert align(placing_nothing, noise(1.0), ["well"], "en", "cpu") is None
    assert devices == ["cpu"]


@pytest.mark.parametrize("texts", [[], ["—"], ["well", "…"]])
def test_aligner_is_not_asked_for_what_nobody_says(texts: list[str]) -> None:
    words = [Word(text, 0.1, 0.2, None) for text in texts]
    assert align(placing(*words), noise(1.0), texts, "en", "cpu") is None


def test_words_that_follow_one_another_are_taken_and_those_that_overlap_are_refused() -> None:
    first = Word("well", 0.1, 0.4, None)
    following = Word("now", 0.4, 0.6, None)
    overlapping = Word("now", 0.39, 0.6, None)
    earlier = Word("now", 0.05, 0.6, None)
    texts = ["well", "now"]
    placed = align(placing(first, following), noise(1.0), texts, "en", "cpu")
    assert placed == [first, following]
    for second in (overlapping, earlier):
        with pytest.raises(ModelFailed, match="overlap"):
            align(placing(first, second), noise(1.0), texts, "en", "cpu")
