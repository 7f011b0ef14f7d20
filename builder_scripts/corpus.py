"""A corpus of expressive speech, or a folder of clips, into clips for training, with the embedded models.

NAME: clips, crema_d, dailytalk, esd, msp_podcast, ravdess, savee or tess. SOURCE: the corpus as it is distributed.

    python builder_scripts/corpus.py NAME SOURCE OUT
"""

import sys
from pathlib import Path

from dailytalk_contiguous.apps.clips.clip_plan import ClipPlan
from dailytalk_contiguous.apps.clips.clip_run import CorpusSpec, read_corpus
from dailytalk_contiguous.apps.clips.clip_words import CutSpeech, TimeWords
from dailytalk_contiguous.apps.clips.condition import Condition
from dailytalk_contiguous.apps.clips.finish_clip import FinishClip
from dailytalk_contiguous.apps.clips.measure_quality import MeasureQuality
from dailytalk_contiguous.apps.clips.measure_voice import MeasureVoice
from dailytalk_contiguous.cli.terminal import guarded
from dailytalk_contiguous.run.run import run
from dailytalk_contiguous.stages.measure_prosody import MeasureProsody

#: Corpora of so few voices that validation can't be disjoint in speakers; it is disjoint in sentences instead.
FEW_VOICES = ("dailytalk", "savee", "tess")

#: What is done with every clip, and then with those that are kept.
MEASURE = (MeasureQuality(), CutSpeech(), TimeWords(recogniser="base"), MeasureProsody(), MeasureVoice())
FINISH = (Condition(), FinishClip())


def main(name: str, source: str, out: str) -> int:
    """Build it; the exit code is that of `dailytalk corpus`."""
    wanted = ClipPlan(split_by="sentences" if name in FEW_VOICES else "")
    outcome = run(CorpusSpec(read_corpus(name, Path(source), Path(out)), Path(out), (MEASURE, FINISH), wanted))
    print(f"{outcome.counts['clips']} clips in {out}, {len(outcome.rejects)} rejected")
    return 1 if not outcome.counts["clips"] else 3 if outcome.rejects else 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(f"usage: python {sys.argv[0]} NAME SOURCE OUT")
    sys.exit(guarded("corpus", lambda: main(*sys.argv[1:])))
