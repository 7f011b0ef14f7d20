"""The one channel of a clip of one speaker, whatever number its file has.

Corpora of single speakers hold stray stereo files: a dead second channel, the same microphone twice, or once
turned over. Those are told apart here by figures; two channels that differ hold something else than one speaker
(or two microphones, whose sum would comb), and are refused rather than mixed.
"""

from typing import NamedTuple

import numpy as np

from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.errors import BadInput

#: Mean square of a channel that holds nothing (−80 dBFS), and dB under the other at which one is dead: what leaks
#: between the channels of a sound card is softer, and a room behind close speech seldom is.
SILENT, DEAD_DB = 1e-8, 40.0

#: Correlation above which two channels are the same sound: independent noise 13 dB under it is let pass.
SAME = 0.95


class OneChannel(NamedTuple):
    """Samples of shape (n,), and what they are: `mono`, `left`, `right`, `mean` or `mean-inverted`."""

    samples: Samples
    taken: str


def one_channel(samples: Samples) -> OneChannel:
    """The voice of a clip, float32, shape (n, channels) in and (n,) out.

    A dead channel is left out; of two that carry the same the mean is taken, with the second turned over
    (`mean-inverted`) where it has the opposite sign, because the mean would cancel.

    Raises:
        BadInput: the two channels differ, or there are more than two.
    """
    count = samples.shape[1]
    if count == 1:
        return OneChannel(samples[:, 0], "mono")
    if count != 2:
        raise BadInput(f"it has {count} channels, not one or two", "export it with one channel")
    left, right = np.ascontiguousarray(samples.T)
    powers = [float(np.mean(side**2)) if len(side) else 0.0 for side in (left, right)]
    loud, soft = max(powers), min(powers)
    if soft < SILENT or soft < loud * 10 ** (-DEAD_DB / 10):
        return OneChannel(*((left, "left") if powers[0] >= powers[1] else (right, "right")))
    alike = float(np.mean(left * right)) / float(np.sqrt(loud * soft))
    if abs(alike) < SAME:
        raise BadInput(
            f"its two channels differ (correlation {alike:.2f}, {SAME:g} is the least for one voice on both)",
            "export the channel of the speaker alone",
        )
    if alike < 0:
        return OneChannel((left - right) / 2, "mean-inverted")
    return OneChannel((left + right) / 2, "mean")
