"""How well affect and emotion are told of voices, on corpora of acted clips whose emotion is known.

    python benchmarks/affect.py ../shared/data/emodb                    # Berlin, speakers left out
    python benchmarks/affect.py ravdess                                 # a folder of `dailytalk corpus`
    python benchmarks/affect.py ravdess --model mymodel --affect-model audeering/NAME

Berlin's clips, by their names, are judged by models that were trained as `voice-linear` is, on its other speakers
(a man and a woman are left out at a time). Clips of a folder of `dailytalk corpus` are judged by the bundled model
or by any classifier and affect model that are named.

Each clip is heard at the recorded level and set to one, in the whole band and by telephone, beside its speaker's
others and alone. Printed are the recall of the classes, their calibration error (ECE), areas under the curve
(arousal of angry, happy and fearful against sad and neutral; valence of happy against angry, disgusted, fearful
and sad; dominance of angry against fearful and sad), and the correlation of valence with arousal.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import recall_score, roc_auc_score
from voice_linear import MEN, measure_versions, read_berlin, telephone, train

from dailytalk_contiguous import RateAffect
from dailytalk_contiguous.apps.learn.emotion_examples import read_examples
from dailytalk_contiguous.core.audio import Samples, to_pcm
from dailytalk_contiguous.core.emotions import SIX, VOICE_LINEAR, calibration_error
from dailytalk_contiguous.core.utterance import AFFECT
from dailytalk_contiguous.models.contracts import EmotionModel
from dailytalk_contiguous.models.emotion_models import load_emotion_model
from dailytalk_contiguous.models.linear_emotion import BundledVoice

#: Decibels below full scale that clips are set to, where they are set to one level.
LEVEL = -26.0

#: Classes that an axis ranks above others.
AXES = {
    "valence": (("happy",), ("angry", "disgusted", "fearful", "sad")),
    "arousal": (("angry", "fearful", "happy"), ("neutral", "sad")),
    "dominance": (("angry",), ("fearful", "sad")),
}

#: Probabilities of the six classes, shape (n, 6), and affect, shape (n, 3), of sounds: beside those of the same
#: speaker, or alone without speakers.
Rater = Callable[[Sequence[Samples], Sequence[str] | None], tuple[NDArray[np.float64], NDArray[np.float64]]]

#: A rater, the places of the clips that it is to judge, and who speaks them.
Fold = tuple[Rater, NDArray[np.intp], list[str]]


def rater_of(classifier: EmotionModel, affect_model: str = VOICE_LINEAR) -> Rater:
    def rate(
        sounds: Sequence[Samples], speakers: Sequence[str] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        shares = np.zeros((len(sounds), len(SIX)))
        guesses = classifier.classify(sounds, speakers)
        for number, guess in enumerate(guesses):
            for name, share in zip(classifier.classes, guess.probabilities, strict=False):
                if name in SIX:
                    shares[number, SIX.index(name)] = share
        if isinstance(classifier, BundledVoice) and affect_model == VOICE_LINEAR:
            return shares, classifier.affect_of([guess.probabilities for guess in guesses])
        batch = {"speech": [to_pcm(sound).tobytes() for sound in sounds]}
        if speakers is not None:
            batch |= {"conversation_id": [*speakers]}
        rated = RateAffect(affect_model)(batch)
        return shares, np.stack([rated[name] for name in AFFECT], axis=1)

    return rate


def at_one_level(sound: Samples) -> Samples:
    gain = 10 ** (LEVEL / 20) / max(1e-6, float(np.sqrt(np.mean(sound**2))))
    return np.asarray(np.clip(sound * gain, -1, 1), np.float32)


WAYS: dict[str, Callable[[Samples], Samples]] = {
    "as recorded": lambda sound: sound,
    "one level": at_one_level,
    "telephone": telephone,
    "telephone, one level": lambda sound: at_one_level(telephone(sound)),
}


def table(title: str, sounds: Sequence[Samples], labels: NDArray[np.intp], folds: Sequence[Fold]) -> None:
    print(f"\n{title}: {len(sounds)} clips")
    head = "".join(f"{name:>11}" for name in ("recall", "ECE", *AFFECT, "corr v-a"))
    print(f"{'':34}{head}")
    names = np.array(SIX)[labels]
    for way, change in WAYS.items():
        heard = [change(sound) for sound in sounds]
        for company in ("beside others", "alone"):
            shares = np.zeros((len(heard), len(SIX)))
            affect = np.full((len(heard), 3), np.nan)
            for rate, places, speakers in folds:
                part = [heard[place] for place in places]
                shares[places], affect[places] = rate(part, speakers if company != "alone" else None)
            answers = shares.argmax(axis=1)
            known = np.isfinite(affect).all(axis=1)
            figures = [
                100 * float(recall_score(labels, answers, average="macro")),
                100 * calibration_error(shares.max(axis=1), answers == labels),
            ]
            for column, (high, low) in enumerate(AXES[name] for name in AFFECT):
                ranked = known & np.isin(names, high + low)
                figures.append(float(roc_auc_score(np.isin(names[ranked], high), affect[ranked, column])))
            figures.append(float(np.corrcoef(affect[known, 0], affect[known, 1])[0, 1]))
            numbers = "".join(f"{value:>11.1f}" for value in figures[:2])
            print(f"{way:22}{company:14}{numbers}" + "".join(f"{value:>11.2f}" for value in figures[2:]))


def berlin_folds(folder: Path) -> tuple[list[Samples], NDArray[np.intp], list[Fold]]:
    """Berlin's clips with their labels, and for a man and a woman at a time a model of the other speakers."""
    spoken = read_berlin(folder)
    versions = measure_versions(spoken.sounds)
    folds = list[Fold]()
    people = np.unique(spoken.speakers)
    for pair in zip(people[np.isin(people, [*MEN])], people[~np.isin(people, [*MEN])], strict=True):
        new = np.isin(spoken.speakers, pair)
        voice = BundledVoice(train(versions[:, ~new], spoken.take(~new)))
        folds.append((rater_of(voice), np.flatnonzero(new), spoken.speakers[new].tolist()))
    return spoken.sounds, spoken.labels, folds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path, nargs="+", help="Berlin's clips, or folders of `dailytalk corpus`")
    parser.add_argument(
        "--model", default=VOICE_LINEAR, help="a classifier, as `dailytalk emotion evaluate` has it"
    )
    parser.add_argument("--affect-model", default=VOICE_LINEAR)
    chosen = parser.parse_args()
    bundled = chosen.model == chosen.affect_model == VOICE_LINEAR
    for folder in chosen.corpora:
        if any(folder.glob("03a01*")):
            spoken = read_berlin(folder)
            sounds = spoken.sounds
            labels = spoken.labels
            speakers = spoken.speakers
            if bundled:
                table(f"{folder.name}, speakers left out", *berlin_folds(folder))
                continue
        else:
            examples = read_examples([str(folder)])
            sounds = [examples.sound(place) for place in range(len(examples))]
            labels = examples.labels
            speakers = examples.speakers
        rate = rater_of(load_emotion_model(chosen.model), chosen.affect_model)
        table(
            f"{folder.name} by {chosen.model}", sounds, labels, [(rate, np.arange(len(labels)), speakers.tolist())]
        )


if __name__ == "__main__":
    main()
