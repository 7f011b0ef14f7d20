"""What is heard in a clip: its one channel, where there is speech in it, and where there is any sound.

Speech activity alone would cut the laugh before a line, a breath or the end of a scream off an expressive clip, so
what stands out of the clip's own room tone is heard as well (`core.sounds`).
"""

from typing import Any, NamedTuple

import numpy as np
import soxr

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, blocks, probe, to_pcm
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.one_channel import one_channel
from dailytalk_contiguous.core.sounds import find_sounds
from dailytalk_contiguous.core.spans import merge_gaps, speech_spans
from dailytalk_contiguous.models.speech_activity import FRAME_SECONDS, speech_probabilities

#: Seconds over which a file is no clip, and not read.
LONGEST = 600.0

#: Seconds; shorter is no speech. Less than Silero's 0.25, because a clip may be one word ("no").
MIN_SPEECH = 0.1

Spans = list[tuple[float, float]]


class Clip(NamedTuple):
    """One channel of a clip: float32 samples of shape (n,), their rate in Hz, and which channel they are."""

    samples: Samples
    sample_rate: int
    taken: str


class Heard(NamedTuple):
    """Spans in seconds, in order: `speech`, and `sounds`, which are speech and all else that is heard."""

    speech: Spans
    sounds: Spans


def read_clip(audio: dict[str, Any]) -> Clip:
    """Read a clip, a `{"bytes", "path"}` struct, at its own rate.

    Raises:
        BadInput: it is longer than `LONGEST`, can't be read, or its two channels differ.
    """
    info = probe(audio)
    if info.seconds > LONGEST:
        raise BadInput(f"it is {info.seconds:.0f} s long, which is no clip", "cut it into clips")
    samples, taken = one_channel(np.concatenate([np.zeros((0, info.channels), np.float32), *blocks(audio)]))
    return Clip(samples, info.sample_rate, taken)


def hear(samples: Samples, sample_rate: int) -> Heard:
    """Find speech and other sounds in one channel, float32 in [-1, 1], shape (n,)."""
    analysed = np.asarray(soxr.resample(samples, sample_rate, ANALYSIS_RATE), np.float32)
    total = len(samples) / sample_rate
    speech = speech_spans(speech_probabilities(analysed), total, FRAME_SECONDS, min_speech=MIN_SPEECH, pad=0)
    others = [(start, min(end, total)) for start, end in find_sounds(to_pcm(analysed), speech)]
    return Heard(speech, merge_gaps(sorted([*speech, *others]), 0.0))
