"""How well affect and emotion of voices are recognised, on corpora of acted clips whose emotion is known.

    python benchmarks/affect.py ../shared/data/emodb ../shared/data/other-emotion
    python benchmarks/affect.py ravdess                                 # a folder of `dailytalk corpus`
    python benchmarks/affect.py ravdess --model mymodel --affect-model audeering/NAME

A row is a model and a corpus. Clips of Berlin (by their names) are judged by models that were trained as the model
is on Berlin's other speakers (a man and a woman are left out at a time), by such models of the other sex and the
other half of the sentences, so that everything is new, and, as by a model of one's own, by `linear` of `emotion
train`. Clips of TESS (by their names) and of folders of `dailytalk corpus` are judged by the model as it is, and,
if Berlin's clips are named, too, by models of one's own: of these clips, and of these with the corpus's other
speakers (`other speakers known`).

The first table is the recall of six classes in percent: beside the speaker's other clips at 0, -20 and +10 dB, by
telephone, and `raw`, each clip at a level of its own (-20 to +12 dB) with half a second of silence at both ends;
then the same of each clip alone. The last column is the share of clips, alone and beside others, that keep their
answer under one gain of -24 dB, in 16 bits, and of +12 dB, before clipping.

The second one has the recall of each class beside others, how far confidence is from the share of right answers
(ECE), and areas under the curve: valence of happy against angry, disgusted, fearful and sad; arousal of angry,
happy and fearful against sad and neutral; dominance of angry against fearful and sad; and the correlation of
valence with arousal. The third one is for the limits of confidence of each model: the share of the clips that is
answered, how often that is right, and the area under the curve of arousal of the unsure ones, which `voice-linear`
rates (where Berlin's speakers are new, one that has not heard them). It has goals for models of one's own on
speakers left out of a corpus that they know.
"""

import argparse
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import measuring
import numpy as np
import pandas as pd
import soundfile
import soxr
from emotion_held import held_examples
from numpy.typing import NDArray
from safetensors.numpy import load_file
from sklearn.metrics import recall_score, roc_auc_score
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

from dailytalk_contiguous import RateAffect
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples, read_examples
from dailytalk_contiguous.apps.learn.emotion_training import fit_linear
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, to_pcm
from dailytalk_contiguous.core.emotions import RIGHT_ALONE, RIGHT_BESIDE, SIX, VOICE_LINEAR, calibration_error
from dailytalk_contiguous.core.machine import side_by_side
from dailytalk_contiguous.core.utterance import AFFECT
from dailytalk_contiguous.models.contracts import EmotionModel
from dailytalk_contiguous.models.devices import thread_count
from dailytalk_contiguous.models.emotion_models import load_emotion_model
from dailytalk_contiguous.models.linear_emotion import (
    BUNDLED_WEIGHTS,
    BundledVoice,
    LinearEmotion,
    Numbers,
    bundled_voice,
    limit_of,
    measure_voice,
)

#: Classes that an axis ranks above others.
AXES = {
    "valence": (("happy",), ("angry", "disgusted", "fearful", "sad")),
    "arousal": (("angry", "fearful", "happy"), ("neutral", "sad")),
    "dominance": (("angry",), ("fearful", "sad")),
}

#: Percent of the clips that a model of one's own answers, at least.
LEAST_ANSWERED = 50.0

#: The area under the curve of arousal of clips that are unsure, at least.
LEAST_AROUSAL = 0.75

#: Percent of the answers that one gain over all clips leaves as they are, at least.
LEAST_ALIKE = 99.0

#: Classes of TESS's clips, by the last part of their names.
TESS = {"angry": 0, "disgust": 1, "fear": 2, "happy": 3, "neutral": 4, "sad": 5}

Shares = NDArray[np.float64]


class Answers(NamedTuple):
    """What is answered to n clips.

    Attributes:
        shares: probabilities of the six classes, shape (n, 6).
        affect: shape (n, 3).
        limits: of the confidence under which each is unsure, shape (n,).
    """

    shares: Shares
    affect: NDArray[np.float64]
    limits: NDArray[np.float64]


#: The answers to sounds: beside those of the same speaker, or alone without speakers.
Rater = Callable[[Sequence[Samples], Sequence[str] | None], Answers]

#: A rater, the places of the clips that it is to judge, and who speaks them.
Fold = tuple[Rater, NDArray[np.intp], list[str]]


class Case(NamedTuple):
    """A row of the tables: what is judged, and by whom.

    `is_own`: by models of one's own, on speakers left out of a corpus that they know.
    """

    title: str
    sounds: Sequence[Samples]
    labels: NDArray[np.intp]
    folds: Sequence[Fold]
    is_own: bool = False


#: The measures of sounds, by their samples: models of one kind are asked for the same sounds.
_MEASURED: dict[bytes, Numbers] = {}


def measured(sounds: Sequence[Samples]) -> Numbers:
    """The measures of sounds, shape (n, measures); each sound is measured once."""
    keys = [hashlib.sha256(sound.tobytes()).digest() for sound in sounds]
    missing = {key: sound for key, sound in zip(keys, sounds, strict=True) if key not in _MEASURED}
    values = side_by_side(measure_voice, missing.values(), thread_count())
    _MEASURED.update(zip(missing, values, strict=True))
    return np.stack([_MEASURED[key] for key in keys])


def rater_of(
    classifier: EmotionModel, affect_model: str = VOICE_LINEAR, voice: BundledVoice | None = None
) -> Rater:
    """The answers of a classifier; `voice` rates the affect in place of the bundled one."""

    def rate(sounds: Sequence[Samples], speakers: Sequence[str] | None) -> Answers:
        counts = Counter(speakers or ())
        limits = np.array([limit_of(classifier, counts[speaker]) for speaker in speakers or ()])
        if speakers is None:
            limits = np.full(len(sounds), limit_of(classifier, 1))
        shares = np.zeros((len(sounds), len(SIX)))
        if isinstance(classifier, LinearEmotion):
            guesses = classifier.of_measures(measured(sounds), speakers)
        else:
            guesses = classifier.classify(sounds, speakers)
        for number, guess in enumerate(guesses):
            for name, share in zip(classifier.classes, guess.probabilities, strict=False):
                if name in SIX:
                    shares[number, SIX.index(name)] = share
        if affect_model == VOICE_LINEAR:
            rater = classifier if isinstance(classifier, BundledVoice) else voice or bundled_voice()
            if rater is not classifier:
                guesses = rater.of_measures(measured(sounds), speakers)
            return Answers(shares, rater.affect_of([guess.probabilities for guess in guesses]), limits)
        batch = {"speech": [to_pcm(sound).tobytes() for sound in sounds]}
        rated = RateAffect(affect_model)(batch)
        return Answers(shares, np.stack([rated[name] for name in AFFECT], axis=1), limits)

    return rate


def gained(sound: Samples, decibels: float) -> Samples:
    """A sound at another level, before clipping; a softer one in 16 bits."""
    louder = sound * 10 ** (decibels / 20)
    if decibels < 0:
        louder = np.round(louder * 32768) / 32768
    return np.asarray(louder, np.float32)


def raw(sounds: Sequence[Samples]) -> list[Samples]:
    """Each sound at a level of its own, with half a second of silence at both ends."""
    rng = np.random.default_rng(0)
    silence = np.zeros(ANALYSIS_RATE // 2, np.float32)
    return [np.concatenate((silence, gained(sound, rng.uniform(-20, 12)), silence)) for sound in sounds]


#: The ways in which clips are heard in the first table.
WAYS: dict[str, Callable[[Sequence[Samples]], list[Samples]]] = {
    "0 dB": list,
    "-20": lambda sounds: [gained(sound, -20) for sound in sounds],
    "+10": lambda sounds: [gained(sound, 10) for sound in sounds],
    "phone": lambda sounds: [telephone(sound) for sound in sounds],
    "raw": raw,
}


def answers_to(case: Case, sounds: Sequence[Samples], alone: bool) -> Answers:
    """The answers to a case's clips as they are heard."""
    shares = np.zeros((len(sounds), len(SIX)))
    affect = np.full((len(sounds), len(AFFECT)), np.nan)
    limits = np.zeros(len(sounds))
    for rate, places, speakers in case.folds:
        part = [sounds[place] for place in places]
        shares[places], affect[places], limits[places] = rate(part, None if alone else speakers)
    return Answers(shares, affect, limits)


def recall_of(case: Case, answers: Answers) -> float:
    """The mean recall of the classes, in percent."""
    return 100 * float(recall_score(case.labels, answers.shares.argmax(axis=1), average="macro"))


def error_of(case: Case, answers: Answers) -> float:
    """The calibration error in percent."""
    right = answers.shares.argmax(axis=1) == case.labels
    return 100 * calibration_error(answers.shares.max(axis=1), right)


def areas_under_curves(case: Case, answers: Answers) -> dict[str, float]:
    """By axis, and the correlation of valence with arousal."""
    names = np.array(SIX)[case.labels]
    known = np.isfinite(answers.affect).all(axis=1)
    areas: dict[str, float] = {}
    for column, axis in enumerate(AFFECT):
        high, low = AXES[axis]
        ranked = known & np.isin(names, high + low)
        areas[axis] = float(roc_auc_score(np.isin(names[ranked], high), answers.affect[ranked, column]))
    areas["corr v-a"] = float(np.corrcoef(answers.affect[known, 0], answers.affect[known, 1])[0, 1])
    return areas


def alike(case: Case, beside: Answers, alone: Answers) -> float:
    """The share of answers, in percent, that one gain of -24 and of +12 dB leaves as they are."""
    same: list[NDArray[np.bool_]] = []
    for decibels in (-24.0, 12.0):
        sounds = [gained(sound, decibels) for sound in case.sounds]
        for before, is_alone in ((beside, False), (alone, True)):
            after = answers_to(case, sounds, is_alone)
            same.append(before.shares.argmax(axis=1) == after.shares.argmax(axis=1))
    return 100 * float(np.mean(same))


def tables(cases: Sequence[Case]) -> None:
    recalls: dict[str, dict[str, float]] = {}
    details: dict[str, dict[str, float]] = {}
    doubts: dict[str, dict[str, float]] = {}
    goals: list[tuple[str, bool]] = []
    for case in cases:
        beside = answers_to(case, case.sounds, alone=False)
        alone = answers_to(case, case.sounds, alone=True)
        row: dict[str, float] = {"clips": len(case.sounds)}
        for way, change in WAYS.items():
            row[way] = recall_of(case, answers_to(case, change(case.sounds), alone=False))
        for way in ("0 dB", "phone", "raw"):
            row[f"{way} alone"] = recall_of(case, answers_to(case, WAYS[way](case.sounds), alone=True))
        row["alike"] = alike(case, beside, alone)
        recalls[case.title] = row
        by_class = recall_score(case.labels, beside.shares.argmax(axis=1), labels=range(len(SIX)), average=None)
        detail = {name: 100 * float(recall) for name, recall in zip(SIX, by_class, strict=True)}
        detail["ECE"] = error_of(case, beside)
        detail["ECE alone"] = error_of(case, alone)
        details[case.title] = detail | areas_under_curves(case, beside)
        doubt = doubt_of(case, beside)
        doubt_alone = doubt_of(case, alone)
        doubts[case.title] = doubt | {f"{name} alone": value for name, value in doubt_alone.items()}
        if case.is_own:
            goals += goals_of(f"{case.title}, beside others", doubt, 100 * RIGHT_BESIDE)
            goals += goals_of(f"{case.title}, alone", doubt_alone, 100 * RIGHT_ALONE)
    for title, rows, digits in (
        ("recall of six classes, beside the speaker's other clips and alone, %", recalls, 1),
        ("beside others: recall by class, calibration error, areas under the curve", details, 2),
        ("by each model's limits: answered, right of these, %; arousal of the unsure, their number", doubts, 2),
    ):
        print(f"\n{title}")
        print(pd.DataFrame.from_dict(rows, orient="index").round(digits).to_string())
    for title, row in recalls.items():
        figure = f"{title}: {row['alike']:.1f} % keep their answer, goal {LEAST_ALIKE:g} %"
        measuring.judged(figure, row["alike"] >= LEAST_ALIKE)
    for figure, is_met in goals:
        measuring.judged(figure, is_met)


def doubt_of(case: Case, answers: Answers) -> dict[str, float]:
    """Percents of clips that are answered, and of answers that are right; of the others how arousal ranks them.

    The latter is the area under the curve, NaN without clips on both sides, and how many it ranks.
    """
    is_sure = answers.shares.max(axis=1) >= answers.limits
    is_right = answers.shares.argmax(axis=1) == case.labels
    high, low = AXES["arousal"]
    names = np.array(SIX)[case.labels]
    is_ranked = ~is_sure & np.isin(names, high + low) & np.isfinite(answers.affect[:, 1])
    is_high = np.isin(names[is_ranked], high)
    area = np.nan
    if 0 < is_high.sum() < len(is_high):
        area = float(roc_auc_score(is_high, answers.affect[is_ranked, 1]))
    return {
        "answered": 100 * float(is_sure.mean()),
        "right": 100 * float(is_right[is_sure].mean()),
        "arousal": area,
        "n": float(is_ranked.sum()),
    }


def goals_of(title: str, doubt: dict[str, float], right: float) -> list[tuple[str, bool]]:
    """The goals of a model of one's own, and whether they are met."""
    answered = f"{title}: {doubt['answered']:.1f} % answered, goal {LEAST_ANSWERED:g} %"
    rightness = f"{title}: {doubt['right']:.1f} % of them right, goal {right:g} %"
    arousal = f"{title}: arousal of {doubt['n']:.0f} unsure ones {doubt['arousal']:.2f}, goal {LEAST_AROUSAL:g}"
    return [
        (answered, doubt["answered"] >= LEAST_ANSWERED),
        (rightness, doubt["right"] >= right),
        (arousal, doubt["arousal"] >= LEAST_AROUSAL),
    ]


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
    versions = measure_versions(spoken.sounds)
    folds: list[Fold] = []
    voices: list[BundledVoice] = []
    for trained, new in speakers_left_out(spoken):
        voice = BundledVoice(train(versions[:, trained], spoken.take(trained)))
        voices.append(voice)
        folds.append((rater_of(voice), np.flatnonzero(new), spoken.speakers[new].tolist()))
    yield Case("voice-linear, Berlin: speakers new", spoken.sounds, spoken.labels, folds)
    temperatures = temperatures_of(new_logits(versions, spoken), spoken.labels)
    affect = load_file(BUNDLED_WEIGHTS)
    folds = []
    for trained, new in divisions(spoken):
        arrays = fit_voice(versions[:, trained], spoken.labels[trained], spoken.speakers[trained])
        soften(arrays, temperatures)
        voice = BundledVoice(affect | arrays)
        folds.append((rater_of(voice), np.flatnonzero(new), spoken.speakers[new].tolist()))
    yield Case("voice-linear, Berlin: sex, sentences new", spoken.sounds, spoken.labels, folds)
    examples = held(spoken)
    folds = []
    for (trained, new), voice in zip(speakers_left_out(spoken), voices, strict=True):
        model = fit_linear(examples.take(trained), 0)
        folds.append((rater_of(model, voice=voice), np.flatnonzero(new), spoken.speakers[new].tolist()))
    yield Case("linear, Berlin: speakers new", spoken.sounds, spoken.labels, folds, is_own=True)


def known_case(name: str, spoken: Spoken, berlin: Spoken) -> Case:
    """Each speaker's clips, judged by `linear` of Berlin's clips and the corpus's other speakers."""
    folds: list[Fold] = []
    for speaker in np.unique(spoken.speakers):
        is_new = spoken.speakers == speaker
        others = spoken.take(~is_new)
        emotions = [SIX[label] for label in (*berlin.labels, *others.labels)]
        speakers = [*berlin.speakers.tolist(), *others.speakers.tolist()]
        model = fit_linear(held_examples([*berlin.sounds, *others.sounds], emotions, speakers), 0)
        folds.append((rater_of(model), np.flatnonzero(is_new), spoken.speakers[is_new].tolist()))
    return Case(f"linear, {name}: other speakers known", spoken.sounds, spoken.labels, folds, is_own=True)


def spoken_in(folder: Path) -> Spoken:
    """The clips of Berlin, of TESS, or of a folder of `dailytalk corpus`."""
    if is_berlin(folder):
        return read_berlin(folder)
    if any(folder.glob("OAF_*.wav")):
        return read_tess(folder)
    examples = read_examples([str(folder)])
    sounds = [examples.sound(place) for place in range(len(examples))]
    return Spoken(sounds, examples.labels, examples.speakers, examples.ids)


def is_berlin(folder: Path) -> bool:
    return any(folder.glob("03a01*"))


def whole_case(title: str, spoken: Spoken, rate: Rater) -> Case:
    """All clips, judged by a model as it is."""
    fold = (rate, np.arange(len(spoken.labels)), spoken.speakers.tolist())
    return Case(title, spoken.sounds, spoken.labels, [fold])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path, nargs="+", help="clips of Berlin or TESS, or of `dailytalk corpus`")
    parser.add_argument(
        "--model", default=VOICE_LINEAR, help="a classifier, as `dailytalk emotion evaluate` has it"
    )
    parser.add_argument("--affect-model", default=VOICE_LINEAR)
    chosen = parser.parse_args()
    is_bundled = chosen.model == chosen.affect_model == VOICE_LINEAR
    rate = rater_of(load_emotion_model(chosen.model), chosen.affect_model)
    others: dict[str, Spoken] = {}
    berlin: Spoken | None = None
    for folder in chosen.corpora:
        spoken = spoken_in(folder)
        if is_bundled and is_berlin(folder):
            berlin = spoken
        else:
            others[folder.name] = spoken
    cases = [whole_case(f"{chosen.model}, {name}", spoken, rate) for name, spoken in others.items()]
    if berlin is not None:
        cases += berlin_cases(berlin)
        trained = rater_of(fit_linear(held(berlin), 0))
        cases += [whole_case(f"linear of Berlin, {name}", spoken, trained) for name, spoken in others.items()]
        cases += [known_case(name, spoken, berlin) for name, spoken in others.items()]
    tables(cases)


if __name__ == "__main__":
    main()
