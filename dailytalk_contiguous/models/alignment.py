"""Aligners by name: those of this package, a file each in `aligners`, and a person's own files.

An aligner is given the sound of an utterance and its words, and says when each is spoken. Recognisers do, too, but
by their attention: Whisper base has a third of the words in the right frame of 80 ms, an aligner two thirds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadValue, DailytalkError
from dailytalk_contiguous.core.own_file import from_own_file, is_own_file
from dailytalk_contiguous.core.settings import Setting
from dailytalk_contiguous.core.word_times import Word
from dailytalk_contiguous.models import aligners

#: Where words are in the sound of an utterance: float32 samples at 16 kHz, shape (n,), in [-1, 1]; its words; and
#: the ISO 639-1 code of its language. Returns each word, in order, in seconds of the sound; None if it can't say.
Align: TypeAlias = Callable[[Samples, Sequence[str], str], list[Word] | None]

#: The names of the aligners of this package: those of the files in `aligners`.
ALIGNERS = tuple(sorted(path.stem for path in Path(aligners.__path__[0]).glob("[a-z]*.py")))

#: The choice that takes an aligner for each language that has one, and the one that takes none.
AUTO, NO_ALIGNER = "auto", "none"

ALIGNER = Setting(
    "Who says when words are spoken: {choices}, or your own FILE.py that defines ALIGNER; auto: of English.",
    option="aligner",
    panel="models",
    choices=(AUTO, NO_ALIGNER, *ALIGNERS),
    own=True,
    metavar="NAME|FILE.py",
)


@dataclass(frozen=True)
class Aligner:
    """What an aligner is, and how to make one.

    Attributes:
        name: a word's `source` is `aligned-NAME`. load: makes it, once a process.
        languages: ISO 639-1 codes; empty for all.
    """

    name: str
    load: Callable[[], Align]
    languages: tuple[str, ...] = ()


def aligner_named(name: str) -> Aligner:
    """An aligner of this package, or that of a person's own file (`my_aligner.py`).

    Raises DailytalkError for a name that is none, and as `from_own_file` does.
    """
    if is_own_file(name):
        own: Aligner = from_own_file("--aligner", name, "ALIGNER", Aligner, "ALIGNER = Aligner(...)")
        return own
    if name not in ALIGNERS:
        remedy = f"choose one of {', '.join((AUTO, NO_ALIGNER, *ALIGNERS))}, or a file that defines ALIGNER"
        raise BadValue(f"there is no aligner {name!r}", remedy)
    named: Aligner = import_module(f"{aligners.__name__}.{name}").ALIGNER
    return named


def aligner_of(name: str, language: str) -> Aligner | None:
    """The aligner of a language (ISO 639-1) by a choice of `ALIGNER`; None where it has none."""
    if name == NO_ALIGNER:
        return None
    found = map(aligner_named, ALIGNERS if name == AUTO else (name,))
    return next((each for each in found if not each.languages or language in each.languages), None)


@lru_cache(maxsize=None)
def _loaded(aligner: Aligner) -> Align:
    return aligner.load()


def align(aligner: Aligner, samples: Samples, words: Sequence[str], language: str) -> list[Word] | None:
    """The words in seconds of 16 kHz `samples`, in order and of positive length; None where they can't be placed.

    Raises DailytalkError for an aligner that fails, or returns other words.
    """
    try:
        placed = _loaded(aligner)(samples, words, language)
    except DailytalkError:
        raise
    except Exception as error:  # whatever a person's own aligner does
        reason = f"the aligner {aligner.name} failed ({type(error).__name__}: {as_text(str(error))[:200]})"
        raise DailytalkError(reason, "correct it, or pass --aligner none") from error
    if placed is None:
        return None
    if [word.text for word in placed] != [*words]:
        raise DailytalkError(f"the aligner {aligner.name} returned other words", "return each word once, in order")
    length = len(samples) / ANALYSIS_RATE
    in_order = all(first.end <= second.start + 1e-6 for first, second in pairwise(placed))
    inside = all(0 <= word.start < word.end <= length + 0.02 for word in placed)
    return placed if in_order and inside else None
