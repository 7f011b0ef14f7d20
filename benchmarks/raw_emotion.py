"""A classifier of one's own on finished clips and on files as recorded, by the commands that a user types.

    python benchmarks/raw_emotion.py ../shared/data/emodb

Clips of Berlin (named as the database names them) are finished by `dailytalk corpus`, a man and a woman at a time;
`emotion train` learns from eight speakers. `emotion evaluate` judges the finished clips of the other two, `emotion
predict --speakers` their files: each at a level of its own (-20 to +12 dB about a peak of -12 dB), with half a
second of soft noise at both ends. Printed is the recall of the six classes, pooled over the five divisions.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import measuring
import numpy as np
import soundfile
from voice_linear import EMOTIONS, MEN, read_berlin

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.emotions import SIX

#: Points between finished clips and raw files, at most.
MOST_POINTS = 2.0

#: dB of a clip's peak that levels are drawn around.
PEAK = -12.0

#: A corpus of one's own for `dailytalk corpus`; texts are given, so that nothing is recognised.
CORPUS = """from dailytalk_contiguous.apps.clips.corpora.corpus import About, Corpus

EMOTIONS = {emotions}
CORPUS = Corpus(
    "berlin",
    About("Berlin", "Acted clips", "https://example.org", "CC0-1.0", "Burkhardt et al. (2005)"),
    pattern=r"(?P<speaker>\\d\\d)(?P<sentence>[ab]\\d\\d)(?P<emotion>\\w)(?P<take>\\w)",
    example="03a01Fa.wav",
    codes={{"emotion": {{code: {{"emotion": name}} for code, name in EMOTIONS.items()}}}},
    columns={{
        "speaker": "berlin/{{speaker}}",
        "sentence": "{{sentence}}",
        "text": "{{sentence}}",
        "language": "de",
    }},
)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, help="the folder of the Berlin database's clips")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return compared(chosen.corpus, Path(folder))


def compared(clips: Path, work: Path) -> int:
    """Print the recall on finished clips and on raw files; 0 if they are near."""
    (work / "berlin.py").write_text(CORPUS.format(emotions=EMOTIONS), encoding="utf-8")
    pairs = write_files(clips, work)
    for pair in pairs:
        finish = ("corpus", work / "berlin.py", work / pair / "clips", "--out", work / pair / "finished")
        measuring.dailytalk(*finish, "--asr-model", "none", "--affect-model", "none")
    finished = np.zeros((len(SIX), len(SIX) + 1))
    raw = np.zeros_like(finished)
    for pair in pairs:
        model = work / pair / "model"
        others = [work / other / "finished" for other in pairs if other != pair]
        measuring.dailytalk("emotion", "train", *others, "--out", model)
        judge = ("--model", model, "--json")
        evaluated = measuring.dailytalk("emotion", "evaluate", work / pair / "finished", *judge)
        finished += json.loads(evaluated.printed)["confusion"]
        speakers = ("--speakers", work / "speakers.csv")
        predicted = measuring.dailytalk("emotion", "predict", work / pair / "raw", *speakers, *judge)
        raw += confusion_of(json.loads(predicted.printed)["recordings"])
    recalls = [100 * float(np.mean(table.diagonal() / table.sum(axis=1))) for table in (finished, raw)]
    figure = f"finished clips {recalls[0]:.1f} %, raw files {recalls[1]:.1f} %, goal within {MOST_POINTS:g} points"
    return 0 if measuring.judged(figure, recalls[0] - recalls[1] <= MOST_POINTS) else 1


def write_files(clips: Path, work: Path) -> list[str]:
    """Write `PAIR/clips` and `PAIR/raw`, and who speaks in the latter. Returns the names of the pairs."""
    spoken = read_berlin(clips)
    names = [path.stem for path in sorted(clips.glob("*.*")) if path.stem[5:6] in EMOTIONS]
    people = np.unique(spoken.speakers)
    is_man = np.isin(people, [*MEN])
    rng = np.random.default_rng(0)
    table = ["recording,channel,speaker"]
    pairs: list[str] = []
    for man, woman in zip(people[is_man], people[~is_man], strict=True):
        pair = f"{man}-{woman}"
        pairs.append(pair)
        for part in ("clips", "raw"):
            (work / pair / part).mkdir(parents=True)
        for name, speaker, sound in zip(names, spoken.speakers, spoken.sounds, strict=True):
            if speaker in (man, woman):
                soundfile.write(work / pair / "clips" / f"{name}.wav", sound, ANALYSIS_RATE)
                soundfile.write(work / pair / "raw" / f"{name}.wav", as_recorded(sound, rng), ANALYSIS_RATE)
                table.append(f"{name},left,{speaker}")
    (work / "speakers.csv").write_text("\n".join(table), encoding="utf-8")
    return pairs


def as_recorded(sound: Samples, rng: np.random.Generator) -> Samples:
    """A clip at a level of its own, with half a second of soft noise at both ends."""
    decibels = PEAK + rng.uniform(-20, 12)
    noise = rng.normal(0, 2e-5, (2, ANALYSIS_RATE // 2))
    return np.concatenate((noise[0], sound * 10 ** (decibels / 20), noise[1])).astype(np.float32)


def confusion_of(recordings: Sequence[dict[str, object]]) -> np.ndarray:
    """Answers by class, shape (6, 7); the last column is no answer."""
    table = np.zeros((len(SIX), len(SIX) + 1))
    for recording in recordings:
        code = Path(str(recording["recording"])).stem[5]
        answer = len(SIX)
        speakers = recording["speakers"]
        if speakers and speakers[0]["probabilities"]:
            shares = speakers[0]["probabilities"]
            answer = SIX.index(max(shares, key=shares.get))
        table[SIX.index(EMOTIONS[code]), answer] += 1
    return table


if __name__ == "__main__":
    sys.exit(main())
