"""What kind of sentence a clip is and how long it is: two of the axes along which a corpus is balanced.

The end mark decides, because it is how the transcriber or the corpus meant it; only a text without one is asked
for its first words, and then only in English (`core.questions`). "Don't forget a jacket" stays declarative: an
order is no exclamation until somebody writes it as one.
"""

from dailytalk_contiguous.core.questions import CLOSING, ends_as_question, sounds_like_question

SENTENCE_TYPES = ("declarative", "interrogative", "exclamatory")
LENGTHS = ("short", "medium", "long")

#: Seconds from which a clip is medium, and long. Most acted lines lie in the middle: a CREMA-D clip has 2.5 s on
#: average (Cao et al. 2014), a turn of MSP-Podcast 2.75 to 11 s (Lotfian and Busso 2019).
MEDIUM_FROM, LONG_FROM = 2.0, 5.0

_EXCLAIMING = frozenset("!！‼՜")
#: Marks that ask and exclaim at once: a question, shouted or not, is a question.
_ASKING_TOO = frozenset("⁇⁈⁉‽")
_ENDING = frozenset(".…。．｡।۔։።")


def sentence_type(text: str | None, language: str | None = None) -> str | None:
    """One of `SENTENCE_TYPES`, by the last sentence of `text`; None for text without a letter or a digit.

    `language` is an ISO 639 code with or without a region; None is taken for English.

    >>> sentence_type("Are you coming"), sentence_type("No way!"), sentence_type("Maybe tomorrow it will be cold")
    ('interrogative', 'exclamatory', 'declarative')
    """
    if not text or not any(character.isalnum() for character in text):
        return None
    code = (language or "en").replace("_", "-").partition("-")[0].lower()
    end = text.rstrip()
    while end and (end[-1] in CLOSING or end[-1].isspace()):
        end = end[:-1]
    if end[-1] in _ASKING_TOO or end.endswith(("?!", "？！")) or ends_as_question(text, code):
        return "interrogative"
    if end[-1] in _EXCLAIMING:
        return "exclamatory"
    unmarked = end[-1] not in _ENDING
    return "interrogative" if unmarked and code == "en" and sounds_like_question(end.split()) else "declarative"


def length_class(seconds: float) -> str:
    """One of `LENGTHS`: short under 2 s, long from 5 s. Raises ValueError for less than nothing, and for NaN."""
    if not seconds >= 0:
        raise ValueError(f"a clip can't have {seconds} seconds")
    return "short" if seconds < MEDIUM_FROM else "medium" if seconds < LONG_FROM else "long"
