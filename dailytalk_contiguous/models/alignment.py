"""Aligners by name: those of this package, a file each in `aligners`, and a person's own files.

An aligner is given the sound of an utterance and its words, and says when each is spoken. Recognisers do, too, but
by their attention: Whisper base has half of the words in the right frame of 80 ms, an aligner three quarters.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from dailytalk_contiguous.core.settings import Setting, is_own_file, one_of
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import has_words
from dailytalk_contiguous.machine.own_file import from_own_file
from dailytalk_contiguous.models import aligners as bundled
from dailytalk_contiguous.models.checkpoints import CONFIG, WEIGHT_FILES, Missing, resolve_folder, stored_files
from dailytalk_contiguous.models.devices import device_of, resolve_device
from dailytalk_contiguous.models.failures import ModelFailed

#: Finds words in the sound of an utterance: float32 samples at 16 kHz, shape (n,), in [-1, 1]; its words, each
#: with a letter or a digit; and the ISO 639-1 code of its language. Returns each word, in order, in seconds of the
#: sound, or None in place of a word that the sound does not have; None if it can't say anything.
Align: TypeAlias = Callable[[Samples, Sequence[str], str], Sequence[Word | None] | None]

#: The names of the aligners of this package: those of the files in `models/aligners`.
ALIGNERS = tuple(sorted(path.stem for path in Path(bundled.__path__[0]).glob("[a-z]*.py")))

#: The choice that takes an aligner for each language that has one.
AUTO = "auto"

#: The choice that takes none.
NO_ALIGNER = "none"

ALIGNER = Setting(
    "What finds the times of words: {choices}, or your own FILE.py that defines ALIGNER; auto chooses by "
    "language.",
    option="aligner",
    choices=(AUTO, NO_ALIGNER, *ALIGNERS),
    takes_own_file=True,
    metavar="NAME|FILE.py",
)


#: Files of an aligner's weights: nothing that would be run.
MODEL_FILES = ("*.json", "*.jinja", "*.txt", "*.safetensors")


@dataclass(frozen=True)
class Aligner:
    """The description of an aligner, and how to load it.

    Attributes:
        name: its name; a word's `source` is `aligned-NAME`, with the grid behind it if there is one.
        load: loads it for `cpu` or `cuda`, once a process.
        languages: ISO 639-1 codes; empty for all.
        grid: seconds of which its times are multiples; 0 where these are too few to matter.
        model: the folder of its weights, or their OWNER/NAME on the Hub; empty if it has none. `auto` takes an
            aligner with weights only on CUDA, and if the weights are on this machine.
        size: approximate bytes of its weights.
        version: a number that is raised whenever an aligner of this package places words otherwise.
    """

    name: str
    load: Callable[[str], Align]
    languages: tuple[str, ...] = ()
    grid: float = 0.0
    model: str = ""
    size: int | None = None
    version: int = 1

    @property
    def source(self) -> str:
        """The `source` of the words that it places."""
        if not self.grid:
            return f"aligned-{self.name}"
        return f"aligned-{self.name}-{self.grid * 1000:.0f}ms"

    def fetch(self) -> str:
        """The folder of its weights, downloaded if need be. Raises ModelMissing as `resolve_folder` does."""
        return resolve_folder(self.model, MODEL_FILES)

    def lacking(self) -> list[Missing]:
        """Its weights, if they are not on this machine."""
        if not self.model:
            return []
        is_stored = all(stored_files(self.model, (file,)) for file in (CONFIG, WEIGHT_FILES[0]))
        return [] if is_stored else [Missing(self.model, self.size)]


def aligner_named(name: str) -> Aligner:
    """An aligner of this package, or that of a person's own file (`my_aligner.py`).

    Raises DailytalkError for a name that is none, and as `from_own_file` does.
    """
    if is_own_file(name):
        aligner: Aligner = from_own_file("--aligner", name, "ALIGNER", Aligner, "ALIGNER = Aligner(...)")
        return aligner
    listed = one_of("--aligner", name, ALIGNERS)
    named: Aligner = import_module(f"{bundled.__name__}.{listed}").ALIGNER
    return named


def aligners(name: str, device: str = "auto") -> Iterator[Aligner]:
    """The aligners that a choice of `ALIGNER` may take on a device of `models.devices`, the first choice first."""
    if name == NO_ALIGNER:
        return
    if name != AUTO:
        yield aligner_named(name)
        return
    for aligner in map(aligner_named, ALIGNERS):
        if not aligner.model or (device_of(device) == "cuda" and not aligner.lacking()):
            yield aligner


def aligner_of(name: str, language: str, device: str = "auto") -> Aligner | None:
    """The aligner of a language (ISO 639-1) by a choice of `ALIGNER`; None where it has none."""
    for aligner in aligners(name, device):
        if not aligner.languages or language in aligner.languages:
            return aligner
    return None


@lru_cache(maxsize=None)
def _loaded(aligner: Aligner, device: str) -> Align:
    return aligner.load(device)


def align(
    aligner: Aligner, samples: Samples, words: Sequence[str], language: str, device: str = "auto"
) -> list[Word | None] | None:
    """The words in seconds of 16 kHz `samples`, in order and of positive length; None where they can't be placed.

    A word that the sound does not have is None. No word can be placed if one has no letter or digit: nobody says
    it. Raises ModelFailed for an aligner that returns something else, and whatever error the aligner raises.
    """
    spoken = [word for word in words if has_words(word)]
    if not words or len(spoken) < len(words):
        return None
    align_words = _loaded(aligner, resolve_device(device))
    result = align_words(samples, words, language)
    if result is None:
        return None
    is_each_word = len(result) == len(words)
    if is_each_word:
        texts = [text if word is None else word.word for word, text in zip(result, words, strict=True)]
        is_each_word = texts == [*words]
    if not is_each_word:
        raise ModelFailed("it returned other words: each word, or None in its place, must come once, in order")
    placed = [word for word in result if word is not None]
    length = len(samples) / ANALYSIS_RATE
    if not all(0 <= word.start < word.end <= length + 0.02 for word in placed):
        raise ModelFailed(f"it returned words outside the {length:.2f} s of the sound, or of no length")
    if not all(first.end <= second.start + 1e-6 for first, second in pairwise(placed)):
        raise ModelFailed("it returned words that overlap, or are out of order")
    return [*result]
