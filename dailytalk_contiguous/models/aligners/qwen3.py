"""Qwen3-ForcedAligner, of eleven languages (Apache 2.0), through transformers.

Times are multiples of 80 ms. On Buckeye, English conversations, its published mean error is 39.5 ms, 54 ms with
noise. Here it was tested with random weights only, which tell nothing of that. Japanese text needs the package
nagisa and Korean text soynlp, which divide it into words.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.word_times import Word, fit, join_words
from dailytalk_contiguous.models.alignment import Aligner

MODEL = "Qwen/Qwen3-ForcedAligner-0.6B-hf"

#: Seconds of the sound that it takes at a time, of which its last class of time is just beyond the end.
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
                model: Any = Qwen3ASRForTokenClassification.from_pretrained(
                    folder, dtype=self._dtype, use_safetensors=True
                )
        except (OSError, ValueError, KeyError, TypeError) as error:
            remedy = f"name a folder, or OWNER/NAME of the Hub, with the files of {MODEL}"
            raise ModelMissing(f"the aligner {Path(folder).name!r} can't be loaded ({error})", remedy) from error
        self._model = model.eval().to(device)

    def __call__(self, samples: Samples, words: Sequence[str], language: str) -> list[Word] | None:
        import torch

        if len(samples) > MOST_SECONDS * ANALYSIS_RATE:
            return None
        inputs, [tokens] = self._processor.prepare_forced_aligner_inputs(samples, join_words(words), language)
        inputs = inputs.to(self._model.device, self._dtype)
        with torch.inference_mode():
            logits = self._model(**inputs).logits
        [items] = self._processor.decode_forced_alignment(
            logits, inputs["input_ids"], [tokens], self._model.config.timestamp_token_id
        )
        # Its words are others than ours (a character in Chinese, what a parser says in Japanese): what both have
        # are the letters, of which each has its share of its word's time.
        spans = [np.linspace(item["start_time"], item["end_time"], len(item["text"]) + 1) for item in items]
        starts, ends = (np.concatenate([span[part] for span in spans]) for part in (slice(-1), slice(1, None)))
        letters = ["".join(self._processor.split_words_for_alignment(word)) for word in words]
        if sum(map(len, letters)) != len(starts) or not all(letters):
            return None
        placed = []
        first = 0
        for word, spelled in zip(words, letters, strict=True):
            last = first + len(spelled) - 1
            placed.append(Word(word, float(starts[first]), float(ends[last]), None))
            first = last + 1
        # A short word may begin and end in one class: it has what is free up to the next, a grid's step at most.
        longer = [word._replace(end=max(word.end, word.start + GRID)) for word in placed]
        return fit(longer, len(samples) / ANALYSIS_RATE)


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
