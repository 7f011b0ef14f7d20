"""Qwen3-ForcedAligner, of eleven languages (Apache 2.0), through transformers.

Times are multiples of 80 ms. On Buckeye, English conversations, its published mean error is 39.5 ms, 54 ms with
noise. Here it was tested with random weights only, which tell nothing of that. Japanese text needs the package
nagisa and Korean text soynlp, which divide it into words.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import fit_within, join_words
from dailytalk_contiguous.models.alignment import Aligner

MODEL = "Qwen/Qwen3-ForcedAligner-0.6B-hf"

#: Seconds of sound that it takes at a time: its last class of time is just beyond them.
MOST_SECONDS = 300

#: Seconds of a class of time.
GRID = 0.08


class Qwen3:
    """Places the words of one utterance at a time, on `cpu` (float32) or `cuda` (bfloat16, as published)."""

    def __init__(self, folder: str, device: str) -> None:
        """Load the model of a folder. Raises ModelMissing for another model."""
        import torch
        from transformers import Qwen3ASRForTokenClassification, Qwen3ASRProcessor

        from dailytalk_contiguous.models.prosodic_encoder import quiet_transformers

        self._dtype = torch.bfloat16 if device == "cuda" else torch.float32
        try:
            with quiet_transformers():
                self._processor = Qwen3ASRProcessor.from_pretrained(folder)
                kind: Any = Qwen3ASRForTokenClassification
                model = kind.from_pretrained(folder, dtype=self._dtype, use_safetensors=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"the aligner {Path(folder).name!r} can't be loaded ({error})"
            remedy = f"name a folder, or OWNER/NAME of the Hub, with the files of {MODEL}"
            raise ModelMissing(reason, remedy) from error
        self._model = model.eval().to(device)

    def __call__(self, samples: Samples, words: Sequence[str], language: str) -> list[Word] | None:
        import torch

        if len(samples) > MOST_SECONDS * ANALYSIS_RATE:
            return None
        text = join_words(words)
        inputs, [tokens] = self._processor.prepare_forced_aligner_inputs(samples, text, language)
        inputs = inputs.to(self._model.device, self._dtype)
        with torch.inference_mode():
            logits = self._model(**inputs).logits
        time_token = self._model.config.timestamp_token_id
        decode = self._processor.decode_forced_alignment
        [items] = decode(logits, inputs["input_ids"], [tokens], time_token)
        # Its words are others than ours (a character in Chinese, what a parser says in Japanese): what both have
        # are the letters, of which each has its share of its word's time.
        edges = [np.linspace(item["start_time"], item["end_time"], len(item["text"]) + 1) for item in items]
        starts = np.concatenate([of_letters[:-1] for of_letters in edges])
        ends = np.concatenate([of_letters[1:] for of_letters in edges])
        spellings = ["".join(self._processor.split_words_for_alignment(word)) for word in words]
        n_letters = sum(map(len, spellings))
        if n_letters != len(starts) or not all(spellings):
            return None
        placed: list[Word] = []
        first = 0
        for word, spelling in zip(words, spellings, strict=True):
            last = first + len(spelling) - 1
            placed.append(Word(word, float(starts[first]), float(ends[last]), None))
            first = last + 1
        # A short word may begin and end in one class: it gets what is free up to the next word, a grid's step at
        # most.
        longer = [word.moved_to(word.start, max(word.end, word.start + GRID)) for word in placed]
        return fit_within(longer, len(samples) / ANALYSIS_RATE)


def load_qwen3(device: str) -> Qwen3:
    return Qwen3(ALIGNER.fetch(), device)


ALIGNER = Aligner(
    "qwen3",
    load_qwen3,
    ("de", "en", "es", "fr", "it", "ja", "ko", "pt", "ru", "yue", "zh"),
    version=2,
    grid=GRID,
    model=MODEL,
    size=1_840_000_000,
)
