"""How well `dailytalk check` tells voices apart: what it finds on people as recorded, and on exchanged halves.

    python benchmarks/voices.py FOLDER

FOLDER holds `readers`, `labelled/timit`, `spokenwoz` and `talk`. Two people are the sides of a conversation, as
recorded and by telephone: nothing should be found. One person on both sides, and the halves of two people on one
side, should be found.

The limits of `check` were set when the likenesses of all these speakers were known, so that people who are not
among them are the better test. The two SpokenWOZ calls are of the same two people, and count as one pair. Readers
are of LibriSpeech, on another part of which the encoder was trained.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

import measuring
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from words import TELEPHONE, channels, sentence_samples

from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.sound.voice_likeness import (
    FIRST_LOOK,
    LONGEST_SIDE,
    SHORTEST_HALF,
    ConversationVoices,
    halves_of_speech,
    voiced_side,
)
from dailytalk_contiguous.models.checkpoints import INSTALL_RESEMBLYZER
from dailytalk_contiguous.models.speaker_encoder import SpeakerEncoder
from dailytalk_contiguous.models.speech_activity import hear
from dailytalk_contiguous.publish.checks.verdict import LIMITS
from dailytalk_contiguous.publish.checks.voice_check import (
    SAME_VOICE,
    SEVERAL_VOICES,
    find_speaker_encoder,
    voice_findings,
)

#: Speakers who are one person in two recordings.
SAME_PERSON = {"SNG1640 left": "MUL1423 left", "SNG1640 right": "MUL1423 right"}

#: Speech without pauses at 16 kHz, by speaker.
Speech = Mapping[str, Samples]


def by_telephone(sound: Samples) -> Samples:
    """A sound as a telephone passes it."""
    return next(passed for name, passed in channels(sound) if name == TELEPHONE)


BANDS: dict[str, Callable[[Samples], Samples]] = {"as recorded": np.asarray, "telephone": by_telephone}


def speech_of(samples: Samples, rate: int) -> Samples:
    """What is speech in a channel, at 16 kHz."""
    sound = np.asarray(soxr.resample(samples, rate, ANALYSIS_RATE), np.float32)
    spans = hear(sound, ANALYSIS_RATE).speech
    parts = [sound[round(start * ANALYSIS_RATE) : round(end * ANALYSIS_RATE)] for start, end in spans]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def readers(folder: Path, read: Callable[[Path], tuple[Samples, int]]) -> dict[str, Samples]:
    """The speech of each folder of recordings, by its name; `read` gives samples, shape (n,), and their rate."""
    voices = {}
    for home in sorted(path for path in folder.iterdir() if path.is_dir()):
        sentences = [read(path) for path in sorted(home.glob("*.flac"))]
        voices[home.name] = np.concatenate([speech_of(*sentence) for sentence in sentences])
    return voices


def callers(paths: Sequence[Path]) -> dict[str, Samples]:
    """The speech of both sides of calls, by the call and the side."""
    voices: dict[str, Samples] = {}
    for path in paths:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        for channel, side in enumerate(("left", "right")):
            name = f"{path.stem} {side}"
            person = SAME_PERSON.get(name, name)
            speech = speech_of(samples[:, channel], rate)
            voices[person] = np.concatenate([voices.get(person, np.zeros(0, np.float32)), speech])
    return voices


#: What is heard first, and what is heard where that is unclear.
LOOKS = (FIRST_LOOK, LONGEST_SIDE)

#: The vectors of the halves of a side, by look, shape (2, n), or of all of it, shape (1, n).
Side = Mapping[float, NDArray[np.float32]]


def side_of(encoder: SpeakerEncoder, speech: Samples) -> Side:
    """The side of a person."""
    side = {}
    for look in LOOKS:
        halves = []
        for half in halves_of_speech([(0.0, len(speech) / ANALYSIS_RATE)], look):
            spans = [slice(round(start * ANALYSIS_RATE), round(end * ANALYSIS_RATE)) for start, end in half]
            halves.append(np.concatenate([speech[span] for span in spans]))
        side[look] = encoder.embed(halves, overlapping=look > FIRST_LOOK)
    return side


def as_recorded(name: str, left: Side, right: Side) -> ConversationVoices:
    """A conversation of two people, heard as long as `check` hears it."""
    for look in LOOKS:
        sides = {"left": voiced_side(left[look], look), "right": voiced_side(right[look], look)}
        voices = ConversationVoices(name, 60.0, "", sides)
        if voices.is_clear(LIMITS[SEVERAL_VOICES], LIMITS[SAME_VOICE]):
            break
    return voices


def findings_of_pairs(pairs: Sequence[ConversationVoices], kind: str) -> int:
    """How many conversations have a finding of a kind, each by itself."""
    return sum(any(finding.kind == kind for finding in voice_findings([pair], LIMITS)) for pair in pairs)


def judge_pairs(encoder: SpeakerEncoder, sounds: Speech, label: str) -> list[bool]:
    """Two readers as recorded, one on both sides, and two on one side; of those with speech enough."""
    people = {}
    one = []
    for name, sound in sounds.items():
        if len(sound) >= 2 * SHORTEST_HALF * ANALYSIS_RATE:
            speech = sound[: round(LONGEST_SIDE * ANALYSIS_RATE)]
            people[name] = side_of(encoder, speech)
            first_half, second_half = np.array_split(speech, 2)
            one.append(as_recorded(name, side_of(encoder, first_half), side_of(encoder, second_half)))
    label += f", {len(people)} speakers"
    two = []
    mixed = []
    for first, second in combinations(people, 2):
        name = f"{first} {second}"
        two.append(as_recorded(name, people[first], people[second]))
        halves = {look: np.stack([people[first][look][0], people[second][look][1]]) for look in LOOKS}
        mixed.append(as_recorded(name, halves, people[first]))
    false = {kind: findings_of_pairs(two, kind) for kind in (SEVERAL_VOICES, SAME_VOICE)}
    goals = [
        measuring.judged(f"{label}: {kind} in {n} of {len(two)} pairs as recorded", n == 0)
        for kind, n in false.items()
    ]
    print(f"{label}: one reader on both sides, found {findings_of_pairs(one, SAME_VOICE)} of {len(one)}")
    print(f"{label}: two readers on one side, found {findings_of_pairs(mixed, SEVERAL_VOICES)} of {len(mixed)}")
    return goals


def main() -> int:
    data = measuring.data_parser(__doc__).parse_args().data
    encoder = find_speaker_encoder()
    if encoder is None:
        raise SystemExit(f"the weights of the speaker encoder are not here: {INSTALL_RESEMBLYZER}")
    corpora: dict[str, Speech] = {
        "TIMIT": readers(data / "labelled/timit", sentence_samples),
        "readers": readers(data / "readers", partial(soundfile.read, dtype="float32")),
        "calls": callers([*measuring.calls(data), *measuring.english_calls(data)]),
    }
    goals = []
    for corpus, speech in corpora.items():
        for band, passed in BANDS.items():
            if corpus == "calls" and band == "telephone":
                continue  # they are by telephone
            heard = {name: passed(sound) for name, sound in speech.items()}
            goals += judge_pairs(encoder, heard, f"{corpus}, {band}")
    return int(not all(goals))


if __name__ == "__main__":
    sys.exit(main())
