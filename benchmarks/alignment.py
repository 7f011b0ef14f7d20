"""Word times of known text against the synthesisers' own: how far each way of finding them is off.

Speaks sentences with flite and espeak, whose word times are exact, and times the words again from the sound: with
pocketsphinx and the known text (flite only: it hardly understands espeak), and by the length of letters. Prints
the boundary error of each path; exit status 1 if a goal is missed.

    python benchmarks/alignment.py
"""

import sys
from collections.abc import Callable

import numpy as np
import soxr
from measuring import judged, texts
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import ANALYSIS_RATE
from dailytalk_contiguous.core.word_times import Word, by_edit_distance, by_proportion, voiced_spans
from dailytalk_contiguous.models.contracts import Line, Spoken
from dailytalk_contiguous.models.recogniser import load_sphinx
from dailytalk_contiguous.models.synthesisers.espeak import Espeak
from dailytalk_contiguous.models.synthesisers.flite import Flite

#: Median boundary error in seconds that each path may have.
RECOGNISER_GOAL, PROPORTION_GOAL = 0.040, 0.080

SENTENCES = texts()[:30]

#: Words and duration of a line, to words with times; None if the path can't tell.
Path = Callable[[Spoken, list[str]], list[Word] | None]


def main() -> int:
    """Speak, time again, compare."""
    flite = [Flite().speak(Line(sentence, "", "en", 0)) for sentence in SENTENCES]
    espeak = [Espeak().speak(Line(sentence, "", "en", 0)) for sentence in SENTENCES]
    runs: tuple[tuple[str, list[Spoken], Path, float], ...] = (
        ("flite, pocketsphinx", flite, _recognised, RECOGNISER_GOAL),
        ("flite, proportional", flite, _proportional, PROPORTION_GOAL),
        ("espeak, proportional", espeak, _proportional, PROPORTION_GOAL),
    )
    print(f"{'path':<22}{'median':>10}{'p90':>10}{'worst':>10}{'goal':>10}{'lines':>8}{'words':>8}")
    met = [_report(*run) for run in runs]
    return 0 if all(met) else 1


def _report(name: str, lines: list[Spoken], path: Path, goal: float) -> bool:
    """Print the errors of a path; whether its goal is met."""
    errors: list[NDArray[np.float64]] = []
    for spoken in lines:
        exact = spoken.words or []
        found = path(spoken, [word.text for word in exact])
        if found is not None:
            errors.append(_errors(found, exact))
    pooled = np.concatenate(errors)
    median = float(np.median(pooled))
    figures = (median, float(np.percentile(pooled, 90)), float(pooled.max()), goal)
    shown = "".join(f"{figure * 1000:>7.0f} ms" for figure in figures)
    return judged(f"{name:<22}{shown}{len(errors):>5}/{len(lines)}{len(pooled) // 2:>8}", median <= goal)


def _errors(found: list[Word], exact: list[Word]) -> NDArray[np.float64]:
    """Distances in seconds of both edges of every word."""
    edges = [(one.start - other.start, one.end - other.end) for one, other in zip(found, exact, strict=True)]
    return np.abs(np.array(edges)).ravel()


def _recognised(spoken: Spoken, words: list[str]) -> list[Word] | None:
    heard_samples = soxr.resample(spoken.samples, spoken.sample_rate, ANALYSIS_RATE)
    heard = load_sphinx().transcribe([heard_samples.astype(np.float32)], ["en"])[0].words
    spans = voiced_spans(spoken.samples, spoken.sample_rate)
    return by_edit_distance(words, heard, len(spoken.samples) / spoken.sample_rate, spans)


def _proportional(spoken: Spoken, words: list[str]) -> list[Word] | None:
    spans = voiced_spans(spoken.samples, spoken.sample_rate)
    return by_proportion(words, spans, len(spoken.samples) / spoken.sample_rate)


if __name__ == "__main__":
    sys.exit(main())
