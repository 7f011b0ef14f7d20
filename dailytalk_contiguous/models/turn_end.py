"""Smart Turn (pipecat-ai, BSD-2-Clause): how finished a turn sounds, by its sound alone.

Version 3.2 is the encoder of Whisper tiny with a classifier of 8 s of sound, trained on 23 languages to tell turns
that are over from turns that go on (https://huggingface.co/pipecat-ai/smart-turn-v3). Nothing of ours is chosen by
it: it judges from outside what resynthesis keeps of the ends of turns.
"""

import hashlib
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Pcm, pcm_to_float
from dailytalk_contiguous.models.affect import threads_of_one
from dailytalk_contiguous.models.checkpoints import (
    INSTALL_SMART_TURN,
    SMART_TURN,
    SMART_TURN_FILE,
    WHEELS,
    Missing,
    resolve_files,
)
from dailytalk_contiguous.models.devices import open_onnx, run_side_by_side

#: Seconds that it hears, with the silence behind a turn.
HEARD_SECONDS = 8

#: Seconds of that silence.
SILENCE_SECONDS = 0.2

#: Judgements that are remembered: the same sound is judged once.
MOST_REMEMBERED = 10_000


class SpokenEnd(NamedTuple):
    """The end of a turn: the sound of its side, int16 at 16 kHz, shape (n,), and the second of its last speech."""

    side: Pcm
    time: float


class SmartTurn:
    """The loaded judge. Several threads may call it at once."""

    def __init__(self, path: Path) -> None:
        from transformers import WhisperFeatureExtractor

        self._session = open_onnx(path)
        extractor: Any = WhisperFeatureExtractor  # its constructor has no types
        self._features = extractor(chunk_length=HEARD_SECONDS)
        self._remembered: dict[bytes, float] = {}  # judgements, by a digest of the sound

    def finished(self, ends: Sequence[SpokenEnd]) -> list[float]:
        """Rate how finished speech sounds at each of these ends, in [0, 1].

        The judge hears `SILENCE_SECONDS` behind an end, in which a side that ends earlier is silent. It hears as
        many ends at a time as there are threads, each on one: a batch of eight takes longer than eight alone.
        """

        def judge(batch: list[SpokenEnd]) -> list[float]:
            return [self._judge(end) for end in batch]

        seconds = [HEARD_SECONDS] * len(ends)
        return run_side_by_side(ends, seconds, HEARD_SECONDS, judge, threads_of_one())

    def _judge(self, end: SpokenEnd) -> float:
        heard = last_seconds(end.side, end.time + SILENCE_SECONDS)
        key = hashlib.sha256(heard.tobytes()).digest()
        remembered = self._remembered.get(key)
        if remembered is not None:
            return remembered
        features = self._features(
            pcm_to_float(heard),
            sampling_rate=ANALYSIS_RATE,
            return_tensors="np",
            padding="max_length",
            max_length=HEARD_SECONDS * ANALYSIS_RATE,
            truncation=True,
            do_normalize=True,
        )
        inputs = {"input_features": np.asarray(features.input_features, np.float32)}
        (probabilities,) = self._session.run(None, inputs)
        judgement = float(probabilities[0, 0])
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = judgement
        return judgement


def last_seconds(side: Pcm, until: float) -> Pcm:
    """The `HEARD_SECONDS` of 16 kHz samples before a time in seconds, with silence where there are none."""
    last = round(until * ANALYSIS_RATE)
    n_samples = HEARD_SECONDS * ANALYSIS_RATE
    first = max(0, last - n_samples)
    sound = side[first:last]
    n_behind = max(0, min(last, n_samples) - len(sound))
    n_before = n_samples - len(sound) - n_behind
    return np.pad(sound, (n_before, n_behind))


_loading = threading.Lock()


def load_smart_turn() -> SmartTurn:
    """The judge, loaded once per process. Raises ModelMissing where its weights are not on this machine."""
    with _loading:
        return _load()


@lru_cache(maxsize=1)
def _load() -> SmartTurn:
    path = smart_turn_here()
    if path is None:
        raise ModelMissing(f"{SMART_TURN_FILE} of {SMART_TURN} is not on this machine", INSTALL_SMART_TURN)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != WHEELS[SMART_TURN][SMART_TURN_FILE].sha256:
        raise ModelMissing(f"{path} is another version than 3.2 of Smart Turn", INSTALL_SMART_TURN)
    return SmartTurn(path)


#: Bytes of its file of weights.
SMART_TURN_BYTES = 8_679_182


def lacking_smart_turn() -> list[Missing]:
    """The judge's weights, if they are not on this machine: they are never downloaded unasked."""
    return [] if smart_turn_here() else [Missing("Smart Turn", SMART_TURN_BYTES)]


def smart_turn_here() -> Path | None:
    """The judge's file of weights, in the Hub's cache or an installed wheel."""
    files = resolve_files(SMART_TURN, (SMART_TURN_FILE,), fetch=False)
    return files.get(SMART_TURN_FILE)
