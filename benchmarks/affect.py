"""How well emotions of voices are recognised, on corpora of acted clips whose emotion is known.

    python benchmarks/affect.py FOLDER

FOLDER holds `emodb` (Berlin) and `other-emotion` (TESS). A row is a model and a corpus. Clips of Berlin are judged
by models that were trained as `voice-linear` is on Berlin's other speakers (a man and a woman are left out at a
time), by such models of the other sex and the other half of the sentences, so that everything is new, and, as by a
model of one's own, by `linear` of `emotion train`. Clips of TESS are judged by `voice-linear`, and by `linear` of
Berlin's clips.

The table is the recall of six classes in percent, beside the speaker's other clips and of each clip alone, as
recorded and by telephone. The last column is the share of clips, alone and beside others, that keep their answer
under one gain of -24 dB, in 16 bits, and of +12 dB, before clipping.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import measuring
import numpy as np
import soundfile
import soxr
from emotion_held import held_examples
from numpy.typing import NDArray
from safetensors.numpy import load_file
from sklearn.metrics import recall_score
from voice_linear import (
    MEN,
    Spoken,
    divisions,
    fit_voice,
    measure_versions,
    new_logits,
    read_berlin,
    soften,
    telephone,
    temperatures_of,
    train,
)

from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.apps.learn.emotion_training import fit_linear
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.style.emotions import SIX
from dailytalk_contiguous.machine.resources import side_by_side
from dailytalk_contiguous.models.devices import thread_count
from dailytalk_contiguous.models.linear_emotion import (
    BUNDLED_WEIGHTS,
    BundledVoice,
    LinearEmotion,
    bundled_voice,
    measure_voice,
)

#: Percent of the answers that one gain over all clips leaves as they are, at least.
LEAST_ALIKE = 99.0

#: Classes of TESS's clips, by the last part of their names.
TESS = {"angry": 0, "disgust": 1, "fear": 2, "happy": 3, "neutral": 4, "sad": 5}


class Case(NamedTuple):
    """A row of the table: what is judged, and by whom.

    Attributes:
        folds: models, each with the places of the clips that it judges.
    """

    title: str
    spoken: Spoken
    folds: Sequence[tuple[LinearEmotion, NDArray[np.intp]]]


def gained(sound: Samples, decibels: float) -> Samples:
    """A sound at another level, before clipping; a softer one in 16 bits."""
    louder = sound * 10 ** (decibels / 20)
    if decibels < 0:
        louder = np.round(louder * 32768) / 32768
    return np.asarray(louder, np.float32)


def read_tess(folder: Path) -> Spoken:
    """The clips of TESS in a folder whose emotion is one of the six, by their names."""
    sounds: list[Samples] = []
    labels: list[int] = []
    speakers: list[str] = []
    sentences: list[str] = []
    for path in sorted(folder.glob("*AF_*_*.wav")):
        speaker, word, emotion = path.stem.split("_")
        if emotion in TESS:
            samples, rate = soundfile.read(path, dtype="float32")
            sounds.append(np.asarray(soxr.resample(samples, rate, ANALYSIS_RATE), np.float32))
            labels.append(TESS[emotion])
            speakers.append(speaker)
            sentences.append(word)
    return Spoken(sounds, np.array(labels), np.array(speakers), np.array(sentences))


def held(spoken: Spoken) -> EmotionExamples:
    """Spoken clips as examples of a training."""
    emotions = [SIX[label] for label in spoken.labels]
    return held_examples(spoken.sounds, emotions, spoken.speakers.tolist())


def speakers_left_out(spoken: Spoken) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Which clips are trained on and which are new: a man and a woman are left out at a time."""
    people = np.unique(spoken.speakers)
    is_man = np.isin(people, [*MEN])
    for pair in zip(people[is_man], people[~is_man], strict=True):
        new = np.isin(spoken.speakers, pair)
        yield ~new, new


def berlin_cases(spoken: Spoken) -> Iterator[Case]:
    """Berlin's clips, each judged by models that do not know its speaker."""
    versions = measure_versions(spoken.sounds)
    examples = held(spoken)
    voices = []
    models = []
    for trained, new in speakers_left_out(spoken):
        places = np.flatnonzero(new)
        voices.append((BundledVoice(train(versions[:, trained], spoken.take(trained))), places))
        models.append((fit_linear(examples.take(trained), 0), places))
    yield Case("voice-linear, Berlin: speakers new", spoken, voices)
    temperatures = temperatures_of(new_logits(versions, spoken), spoken.labels)
    affect = load_file(BUNDLED_WEIGHTS)
    of_other_sex = []
    for trained, new in divisions(spoken):
        arrays = fit_voice(versions[:, trained], spoken.labels[trained], spoken.speakers[trained])
        soften(arrays, temperatures)
        of_other_sex.append((BundledVoice(affect | arrays), np.flatnonzero(new)))
    yield Case("voice-linear, Berlin: sex, sentences new", spoken, of_other_sex)
    yield Case("linear, Berlin: speakers new", spoken, models)


def measured(sounds: Iterable[Samples]) -> NDArray[np.float32]:
    """What the models take of sounds, shape (sounds, measures)."""
    return np.stack([*side_by_side(measure_voice, sounds, thread_count())])


def answers_to(case: Case, measures: NDArray[np.float32], alone: bool) -> NDArray[np.intp]:
    """The classes that a case's clips are taken for by their measures, shape (clips,)."""
    answers = np.zeros(len(measures), np.intp)
    for model, places in case.folds:
        speakers = None if alone else case.spoken.speakers[places].tolist()
        shares = np.array([guess.probabilities for guess in model.of_measures(measures[places], speakers)])
        numbers = np.array([SIX.index(name) for name in model.classes])
        answers[places] = numbers[shares[:, : len(numbers)].argmax(axis=1)]
    return answers


def judged_corpus(cases: Sequence[Case]) -> Iterator[tuple[list[str], float]]:
    """For cases of one corpus: the line of the table, and the percent of the answers that a gain leaves alike."""
    sounds = cases[0].spoken.sounds
    recorded = measured(sounds)
    by_telephone = measured(telephone(sound) for sound in sounds)
    with_gain = [measured(gained(sound, decibels) for sound in sounds) for decibels in (-24.0, 12.0)]
    for case in cases:
        recalls = []
        same = []
        for alone in (False, True):
            before = answers_to(case, recorded, alone)
            for answers in (before, answers_to(case, by_telephone, alone)):
                recalls.append(100 * recall_score(case.spoken.labels, answers, average="macro"))
            for measures in with_gain:
                same.append(before == answers_to(case, measures, alone))
        alike = 100 * float(np.mean(same))
        yield [case.title, *(f"{recall:.1f}" for recall in recalls), f"{alike:.1f}"], alike


def main() -> int:
    chosen = measuring.data_parser(__doc__).parse_args()
    berlin = read_berlin(chosen.data / "emodb")
    tess = read_tess(chosen.data / "other-emotion")
    every_clip = np.arange(len(tess.labels))
    of_tess = [
        Case("voice-linear, TESS", tess, [(bundled_voice(), every_clip)]),
        Case("linear of Berlin, TESS", tess, [(fit_linear(held(berlin), 0), every_clip)]),
    ]
    judged = [*judged_corpus([*berlin_cases(berlin)]), *judged_corpus(of_tess)]
    head = ("recall, %", "beside others", "by telephone", "alone", "by telephone", "alike")
    measuring.print_table(head, [row for row, _ in judged])
    met = []
    for (title, *_), same in judged:
        met.append(measuring.judged(f"{title}: {same:.1f} % alike, goal {LEAST_ALIKE:g} %", same >= LEAST_ALIKE))
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
