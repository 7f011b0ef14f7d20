"""SAVEE (four men) as clips for training, with the embedded models.

SOURCE is the corpus as it is distributed. With four voices, validation can't be disjoint in speakers: it is
disjoint in sentences.

    python builder_scripts/savee.py SOURCE OUT
"""

import sys
from pathlib import Path

from dailytalk_contiguous.cli.terminal import guarded
from dailytalk_contiguous.run.clip_plan import CorpusSettings
from dailytalk_contiguous.run.clips import build_corpus, read_corpus
from dailytalk_contiguous.stages.clip_words import CutSpeech, TimeWords
from dailytalk_contiguous.stages.condition import Condition
from dailytalk_contiguous.stages.finish import FinishClip, TakeConditioned
from dailytalk_contiguous.stages.measure_prosody import MeasureProsody
from dailytalk_contiguous.stages.measure_quality import MeasureQuality

#: What the lists below don't say: that affect is estimated from sound and words, and what the sides don't share.
SETTINGS = CorpusSettings(profile="embedded", split="sentences")

#: What is done with every clip as it came, and then with those that are kept.
MEASURE = (
    MeasureQuality(),
    CutSpeech(),
    TimeWords(recogniser="pocketsphinx"),
    MeasureProsody(),
)
FINISH = (
    Condition(),
    TakeConditioned(),
    FinishClip(),
)


def main(source: str, out: str) -> int:
    """Build it; the exit code is that of `dailytalk corpus`."""
    read = read_corpus("savee", Path(source), Path(out))
    outcome = build_corpus(read, Path(out), SETTINGS, stages=(MEASURE, FINISH))
    print(f"{outcome.n_clips} clips in {out}, {len(outcome.rejects)} rejected")
    return 1 if not outcome.n_clips else 3 if outcome.rejects else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: python {sys.argv[0]} SOURCE OUT")
    sys.exit(guarded("savee", lambda: main(*sys.argv[1:])))
