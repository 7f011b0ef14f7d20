"""Words at equal steps: `dailytalk speak work --aligner aligner.py`."""

from dailytalk_contiguous import Word
from dailytalk_contiguous.models.alignment import Aligner


def load(device):
    def align(samples, words, language):
        step = len(samples) / 16000 / len(words)
        return [Word(word, step * number, step * (number + 1), None) for number, word in enumerate(words)]

    return align


ALIGNER = Aligner("evenly", load)
