"""The emotion of each turn of a talk, judged beside what the person said before it.

A model that compares what a speaker says knows more with every turn. Only the measures of earlier turns are kept,
and only of the last ones, so that a turn takes as long at the end of a talk as at its beginning.
"""

import numpy as np

from dailytalk_contiguous.apps.converse.dialogue import TurnEmotion
from dailytalk_contiguous.core.records.utterance import AFFECT
from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.models.contracts import EmotionGuess, EmotionModel
from dailytalk_contiguous.models.linear_emotion import (
    LinearEmotion,
    Numbers,
    bundled_voice,
    limit_of,
    measure_voice,
)

#: Turns that are compared, the judged one included.
MOST_TURNS = 64


class TurnEmotions:
    """Guesses the emotion and the affect of the turns of a person.

    `voice-linear` rates the affect beside any classifier.

    Args:
        classifier: of the emotion. A `LinearEmotion` compares the turns; any other judges each by itself.
        confidence: probability below which an emotion is unsure; None: by the limits of the classifier.
    """

    def __init__(self, classifier: EmotionModel, confidence: float | None = None) -> None:
        self._classifier = classifier
        self._confidence = confidence
        self._rater = bundled_voice()
        self._measures: dict[float, Numbers] = {}

    def __call__(self, sound: Samples, start: float) -> TurnEmotion | None:
        """Guess the emotion of a turn; None if nothing can be said. Guesses of earlier turns don't change.

        Args:
            sound: 16 kHz mono in [-1, 1], shape (n,).
            start: of the turn, in seconds of the talk. If the turn was judged before, at an earlier pause, this
                sound replaces the earlier one.
        """
        self._measures.pop(start, None)
        measured = measure_voice(sound)
        if not np.isfinite(measured).any():
            return None
        self._measures[start] = measured
        if len(self._measures) > MOST_TURNS:
            earliest = next(iter(self._measures))
            del self._measures[earliest]
        rated = self._beside_earlier(self._rater)
        n_compared = len(self._measures)
        if self._classifier is self._rater:
            guess = rated
        elif isinstance(self._classifier, LinearEmotion):
            guess = self._beside_earlier(self._classifier)
        else:
            (guess,) = self._classifier.classify([sound])
            n_compared = 1
        if guess.reason or rated.reason:
            return None
        affect = self._rater.affect_of([rated.probabilities])[0].tolist()
        probabilities = [float(share) for share in guess.probabilities]
        by_class = dict(zip(self._classifier.classes, probabilities, strict=True))
        by_affect = dict(zip(AFFECT, affect, strict=True))
        limit = limit_of(self._classifier, n_compared) if self._confidence is None else self._confidence
        return TurnEmotion(self._classifier.name, by_class, by_affect, limit)

    def _beside_earlier(self, model: LinearEmotion) -> EmotionGuess:
        """The model's guess for the latest turn, compared with all that are kept."""
        measures = np.stack([*self._measures.values()])
        same_person = [0] * len(measures)
        return model.of_measures(measures, same_person)[-1]
