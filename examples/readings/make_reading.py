"""Make reading.flac: what one speaker of a bundled conversation says, with pauses as of somebody who reads aloud.

python examples/readings/make_reading.py
"""

from pathlib import Path

import numpy as np
import soundfile

HERE = Path(__file__).resolve().parent
SOURCE, CHANNEL = HERE.parent / "conversations" / "old_friends.flac", 1

#: Seconds that a pause has at most, and the level below which a hundredth of a second is one.
LONGEST_PAUSE, QUIET = 1.1, 10 ** (-50 / 20)


def main() -> None:
    """Cut the middle out of every pause that is too long."""
    sound, rate = soundfile.read(SOURCE, dtype="int16")
    sound = sound[:, CHANNEL]
    frame, most = rate // 100, round(LONGEST_PAUSE * rate)
    loud = np.abs(sound[: len(sound) // frame * frame].reshape(-1, frame)).max(axis=1) > QUIET * 32768
    (edges,) = np.nonzero(np.diff(np.concatenate(([True], loud, [True])).astype(int)))
    kept, at = [], 0
    for first, last in (edges.reshape(-1, 2) * frame).tolist():
        if last - first > most:
            kept.append(sound[at : first + most // 2])
            at = last - most // 2
    soundfile.write(HERE / "reading.flac", np.concatenate([*kept, sound[at:]]), rate)


if __name__ == "__main__":
    main()
