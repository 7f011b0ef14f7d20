"""Whisper through faster-whisper: windows of at most 30 s, each encoded once.

On a CPU each batch is computed by one thread, and as many batches side by side as there are threads: with two
threads CTranslate2 gives other word times than with one, and a row must be the same on any machine.

faster-whisper's own `transcribe` looks again at what is behind the last word of a window, which costs a second
pass of the encoder and invites inventions; its batched pipeline has no second try. Here a window is decoded once,
in a batch where that gains something (CUDA), and one whose text repeats itself is tried again without such
repeats. openai/whisper draws at random then, but CTranslate2 can't set its generator back to a seed, and a row
must be the same whenever it is made.
"""

import itertools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.hallucination import COMPRESSION, LOW_LOGPROB, NO_SPEECH, compression_ratio
from dailytalk_contiguous.core.word_times import Word
from dailytalk_contiguous.models import devices
from dailytalk_contiguous.models.checkpoints import hub_files, stored_files
from dailytalk_contiguous.models.contracts import Recognised
from dailytalk_contiguous.store.checkpoint import checkpointed

#: Seconds that the encoder was trained on, and sees unless windows are to be short.
ENCODER_SECONDS = 30.0

#: Seconds of nothing behind the speech of a short window. A window ends at a whole second, so that those of one
#: length share a batch and what is heard in one does not depend on its company.
SHORT_MARGIN = 1.0

#: Lengths in tokens of the phrases that a second try may not say twice, one length after the other: a long one
#: ends most loops and leaves alone what people do repeat.
NO_REPEAT = (6, 4, 3)

#: Files of a model in CTranslate2 format. Without tokenizer.json faster-whisper would ask the Hub for one.
MODEL_FILES = ("model.bin", "config.json", "tokenizer.json")

#: Files that a repository may have besides: how sound is prepared, and words in one of two forms.
FURTHER_FILES = ("preprocessor_config.json", "vocabulary.json", "vocabulary.txt")

_PREPENDED, _APPENDED = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"


class Whisper:
    """A loaded model. Its methods may be called from several threads at once.

    `batch_windows`: windows of 30 s, or short ones of as many seconds together, in one call on CUDA. A thread of a
    CPU takes the seconds of one, as several short ones: batches of whole windows gain nothing there. Threads share
    the weights. `short`: the encoder sees speech and `SHORT_MARGIN` in place of 30 s, which is several times
    faster, but not what it was trained on.
    """

    packs = True
    punctuates = True

    def __init__(
        self, folder: str, device: str, compute_type: str, beam: int, batch_windows: int, short: bool = False
    ) -> None:
        from faster_whisper import WhisperModel

        device = devices.resolve_device(device)
        compute_type = devices.compute_type_of(device, compute_type)
        devices.check_compute_type(device, compute_type)
        if device == "cuda":
            devices.open_libraries()
        side_by_side = devices.thread_count() if device == "cpu" else 1
        load = partial(
            WhisperModel,
            folder,
            device=device,
            compute_type=compute_type,
            cpu_threads=1,
            num_workers=side_by_side,
        )
        try:
            self._model = devices.within_memory(load, f"the Whisper model in {folder}")
        except (RuntimeError, ValueError) as error:
            raise ModelMissing(f"the Whisper model in {folder} does not load ({error})", _REMEDY) from error
        self._threads = ThreadPoolExecutor(side_by_side, "whisper") if device == "cpu" else None
        self._beam = beam
        self._batch_seconds = ENCODER_SECONDS * (batch_windows if device == "cuda" else 1)
        self._short = short
        self._room = devices.Room()

    @devices.naming_libraries()
    def detect_languages(self, windows: Sequence[Samples]) -> list[str]:
        """ISO 639-1 code of the language of each window of 16 kHz; a model for one language gives that."""
        if not self._model.model.is_multilingual:
            return ["en"] * len(windows)

        def detect(batch: Sequence[Samples]) -> list[str]:
            return [str(self._model.detect_language(audio=window)[0]) for window in batch]

        seconds = [ENCODER_SECONDS] * len(windows)
        return devices.run_batched(windows, seconds, ENCODER_SECONDS, detect, self._room, pool=self._threads)

    @devices.naming_libraries()
    def transcribe(self, windows: Sequence[Samples], languages: Sequence[str]) -> list[Recognised]:
        """Words of each window of at most 30 s, in the language of its ISO 639-1 code."""
        # What the encoder sees of each window, in seconds.
        seen = [ENCODER_SECONDS] * len(windows)
        if self._short:
            whole = (float(math.ceil(len(window) / ANALYSIS_RATE + SHORT_MARGIN)) for window in windows)
            seen = [min(seconds, ENCODER_SECONDS) for seconds in whole]
        kinds = list(zip(languages, seen, strict=True))
        calls = {
            (language, seconds): checkpointed(
                partial(self._transcribe, language=language, encoder_seconds=seconds),
                Recognised.of_json,
                f"{language} {seconds}",
            )
            for language, seconds in set(kinds)
        }

        def recognise(batch: list[int]) -> Sequence[Recognised]:
            return calls[kinds[batch[0]]]([windows[index] for index in batch])

        indices = range(len(windows))
        return devices.run_batched(indices, seen, self._batch_seconds, recognise, self._room, kinds, self._threads)

    def _transcribe(self, windows: Sequence[Samples], language: str, encoder_seconds: float) -> list[Recognised]:
        from faster_whisper import BatchedInferencePipeline
        from faster_whisper.audio import pad_or_trim
        from faster_whisper.tokenizer import Tokenizer

        extract, frames = self._model.feature_extractor, round(encoder_seconds * self._model.frames_per_second)
        features = np.stack([pad_or_trim(extract(window)[..., :-1], frames) for window in windows])
        multilingual = self._model.model.is_multilingual
        tokenizer = Tokenizer(
            self._model.hf_tokenizer, multilingual, task="transcribe", language=language if multilingual else "en"
        )
        options = self._options(tokenizer)
        placed = [{"offset": 0.0, "duration": len(window) / ANALYSIS_RATE} for window in windows]
        # One a call: it remembers when the last word ended, and batches run side by side.
        pipeline = BatchedInferencePipeline(self._model)
        recognised = []
        for index, segments in enumerate(pipeline.forward(features, tokenizer, placed, options)):
            text = "".join(segment["text"] for segment in segments).strip()
            if compression_ratio(text or " ") > COMPRESSION:  # Whisper's check for loops
                again = self._without_repetition(features[index], placed[index]["duration"], tokenizer, options)
                recognised.append(again)
            else:
                recognised.append(self._recognised(segments))
        return recognised

    def _without_repetition(self, features: Any, seconds: float, tokenizer: Any, options: Any) -> Recognised:
        """Decode one window without repeats of ever shorter phrases, until its text passes Whisper's check."""
        model = self._model
        encoded = model.encode(features)
        prompt = model.get_prompt(tokenizer, [], without_timestamps=True)
        for phrase in NO_REPEAT:
            strict = replace(options, no_repeat_ngram_size=phrase)
            result, avg_logprob, _, ratio = model.generate_with_fallback(encoded, prompt, tokenizer, strict)
            if ratio <= COMPRESSION:
                break
        segment = {
            "seek": 0,
            "start": 0.0,
            "end": seconds,
            "tokens": result.sequences_ids[0],
            "avg_logprob": avg_logprob,
            "no_speech_prob": result.no_speech_prob,
        }
        frames = math.ceil(seconds) * model.frames_per_second
        model.add_word_timestamps([[segment]], tokenizer, encoded, frames, _PREPENDED, _APPENDED, 0.0)
        return self._recognised([segment])

    def _recognised(self, segments: list[dict[str, Any]]) -> Recognised:
        if not segments:
            return Recognised([], math.nan, math.nan)
        words = itertools.chain.from_iterable(segment.get("words") or [] for segment in segments)
        timed = [
            Word(word["word"], float(word["start"]), float(word["end"]), float(word["probability"]))
            for word in words
        ]
        # CTranslate2 halves the length that it is given: Whisper was trained on so many tokens behind a prompt.
        cut_off = sum(len(segment["tokens"]) for segment in segments) >= self._model.max_length // 2
        first = segments[0]
        return Recognised(timed, float(first["avg_logprob"]), float(first["no_speech_prob"]), cut_off)

    def _options(self, tokenizer: Any) -> Any:
        from faster_whisper.transcribe import TranscriptionOptions, get_suppressed_tokens

        return TranscriptionOptions(
            beam_size=self._beam,
            best_of=5,
            patience=1,
            length_penalty=1,
            repetition_penalty=1,
            no_repeat_ngram_size=0,
            log_prob_threshold=LOW_LOGPROB,
            no_speech_threshold=NO_SPEECH,
            compression_ratio_threshold=COMPRESSION,
            condition_on_previous_text=False,
            prompt_reset_on_temperature=0.5,
            temperatures=[0.0],
            initial_prompt=None,
            prefix=None,
            suppress_blank=True,
            suppress_tokens=get_suppressed_tokens(tokenizer, [-1]),
            without_timestamps=True,
            max_initial_timestamp=0.0,
            word_timestamps=True,
            prepend_punctuations=_PREPENDED,
            append_punctuations=_APPENDED,
            multilingual=False,
            max_new_tokens=None,
            clip_timestamps="0",
            hallucination_silence_threshold=None,
            hotwords=None,
        )


_REMEDY = "pass --asr-model with a size such as medium or a folder in CTranslate2 format, or --profile embedded"


def check_whisper_name(model: str) -> None:
    """Raise ModelMissing for what is neither a size, nor a folder, nor a name of the Hub."""
    from faster_whisper import available_models

    if "/" not in model and model not in available_models() and not Path(model).is_dir():
        raise ModelMissing(
            f"there is no Whisper model {model!r}",
            "name a size such as medium, a folder in CTranslate2 format, or pocketsphinx",
        )


def find_whisper(model: str, fetch: bool = True) -> str:
    """The folder of a model: as given, from the Hub's cache, or downloaded into it. Raises ModelMissing.

    Without `fetch`, an empty text for a model that would have to be downloaded.
    """
    from faster_whisper.utils import _MODELS  # the repository of each size

    check_whisper_name(model)
    is_folder = Path(model).is_dir()
    name = model if is_folder else _MODELS.get(model, model)
    paths = stored_files(name, MODEL_FILES)
    if len(paths) < len(MODEL_FILES) and not is_folder:
        if not fetch:
            return ""
        try:
            paths = hub_files(name, (*MODEL_FILES, *FURTHER_FILES))
        except ModelMissing as error:
            raise ModelMissing(error.reason, f"{error.remedy}, or {_REMEDY}") from None
    if lacking := [file for file in MODEL_FILES if file not in paths]:
        raise ModelMissing(
            f"{model!r} is no whole Whisper model in CTranslate2 format: no {', '.join(lacking)}",
            f"download it again, or {_REMEDY}",
        )
    return str(paths[MODEL_FILES[0]].parent)


@lru_cache(maxsize=1)
def load_whisper(
    model: str, device: str, compute_type: str, beam: int, batch_windows: int, short: bool = False
) -> Whisper:
    """The model of this process. Raises ModelMissing, or DailytalkError for what the device can't do or hold."""
    return Whisper(find_whisper(model), device, compute_type, beam, batch_windows, short)


def cached_sizes() -> list[str]:
    """The Whisper sizes whose weights are in the Hub's cache on this machine."""
    from faster_whisper import available_models

    return [size for size in available_models() if find_whisper(size, fetch=False)]
