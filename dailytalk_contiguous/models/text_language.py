"""The language of what is said, found in its text: transcripts that come with recordings seldom name theirs.

py3langid brings its model along (139 languages, 4.6 MB) and needs nothing but NumPy. Its
first guess for a short text of talk may be a language nearby (Norwegian for Danish), which a close second shows.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Protocol

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.core.words.word_times import split_words

#: The fewest words in which a language is found.
LEAST_WORDS = 20

#: A language is not clear if another one is at least so likely, as a share of its own likelihood.
CLOSE_SECOND = 0.3

#: py3langid's name for text that is in no language.
_NO_LANGUAGE = "zxx"

_REMEDY = "name it with --language, such as --language en"


class TooFewWords(BadInput):
    """Texts have fewer than `LEAST_WORDS` words, too few to find their language."""


def language_of_texts(texts: Iterable[str]) -> str:
    """The ISO 639 code of the language of texts, taken together.

    Raises TooFewWords, and BadInput where the language of more words is not clear.

    >>> call = ["hello, this is the library, what can I do for you?", "I want to know when you close on a Sunday"]
    >>> language_of_texts(call)
    'en'
    """
    text = " ".join(texts)
    n_words = len(split_words(text))
    first, second, *_ = _identifier().rank(text)
    likeliest, likelihood = first
    other, other_likelihood = second
    words = counted(n_words, "word")
    reason = f"the language of its transcript is not clear: {likeliest} or {other}, by {words}"
    if n_words < LEAST_WORDS:
        raise TooFewWords(f"{reason}, and {LEAST_WORDS} are needed", _REMEDY)
    is_close = other_likelihood >= CLOSE_SECOND * likelihood
    if is_close or likeliest == _NO_LANGUAGE:
        raise BadInput(reason, _REMEDY)
    return str(likeliest)


class _Identifier(Protocol):
    """The part of `py3langid.langid.LanguageIdentifier` that is used."""

    def rank(self, text: str) -> list[tuple[str, float]]:
        """All languages by their likelihood in [0, 1], the likeliest first."""


@lru_cache(maxsize=1)
def _identifier() -> _Identifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier: _Identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return identifier
