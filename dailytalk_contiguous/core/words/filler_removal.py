"""Texts and rows without their fillers (`core.words.fillers`): the marks and capitals of a sentence stay sensible.

A comma before a filler stays, because it may have another reason: "So, um, I think" becomes "So, I think". Fillers
are left out of texts and words alone. They stay in the sound, where they are no silence.
"""

from collections.abc import Sequence
from typing import NamedTuple

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.records.utterance import Utterance, or_none
from dailytalk_contiguous.core.words.fillers import are_fillers
from dailytalk_contiguous.core.words.sentences import CLOSING, KEPT, SENTENCE_ENDS, ends_sentence
from dailytalk_contiguous.core.words.word import Word, WordRow
from dailytalk_contiguous.core.words.word_times import written_words

#: The column of a row that lost its fillers: the words that `alignments` had before. They are heard, and in no
#: export.
UNWRITTEN = "unwritten_words"

_COMMAS = ",、，،"
_OPENING = frozenset('"“„«‹([{«「『¿¡')

#: Marks that begin a question or a cry, which ends with the filler if that is all of it ("¿eh?").
_INVERTED = "¿¡"


class _Parts(NamedTuple):
    """A word and the marks around it."""

    head: str
    letters: str
    tail: str


def _parts(word: str) -> _Parts:
    plain = word.strip()
    letters = [index for index, letter in enumerate(plain) if letter.isalnum()]
    if not letters:
        return _Parts(plain, "", "")
    first = letters[0]
    last = letters[-1] + 1
    return _Parts(plain[:first], plain[first:last], plain[last:])


def words_without_fillers(words: Sequence[str], fillers: Sequence[bool]) -> list[str | None]:
    """Return the words of one utterance, in order, as they are without its fillers, with None for each filler.

    A sentence that began with a filler begins with a capital, and with its opening mark; one that ended with a
    filler keeps its end mark. Spaces before words stay.

    >>> words_without_fillers(["Um,", "we", "could,", "uh."], [True, False, False, True])
    [None, 'We', 'could.', None]
    """
    texts: dict[int, str] = {}
    last = -1  # number of the last word that stays
    opening = ""
    is_capital = False
    for number, (word, is_filler) in enumerate(zip(words, fillers, strict=True)):
        if not is_filler:
            texts[number] = _begun(word, opening, is_capital)
            last = number
            opening = ""
            is_capital = False
            continue
        head, letters, tail = _parts(word)
        is_capital = is_capital or letters[:1].isupper()
        opening += _marks_among(head, _OPENING)
        ending = _marks_among(tail, SENTENCE_ENDS)
        closing = _marks_among(tail, CLOSING)
        if opening and closing:  # the filler was all that they enclosed
            opening = ""
            closing = ""
        if ending and opening and opening[-1] in _INVERTED:
            opening = opening.rstrip(_INVERTED)
            ending = "."
        if last < 0:
            continue
        text = texts[last].rstrip()
        if ending and not ends_sentence(text) and text[-1:] not in KEPT:
            texts[last] = text.rstrip(_COMMAS) + ending
        texts[last] += closing
    if last >= 0 and last < len(words) - 1:
        texts[last] = texts[last].rstrip(f"{_COMMAS} ")
    return [texts.get(number) for number in range(len(words))]


def _marks_among(text: str, marks: frozenset[str]) -> str:
    return "".join(letter for letter in text if letter in marks)


def _begun(word: str, opening: str, is_capital: bool) -> str:
    """Return a word after fillers as the beginning of its sentence."""
    for index, letter in enumerate(word):
        if letter.isalnum():
            first = letter.upper() if is_capital else letter
            return f"{word[:index]}{opening}{first}{word[index + 1 :]}"
    return word


def text_without_fillers(text: str, language: str | None) -> str:
    """Return the text of one utterance in a language (ISO 639-1) without its fillers; empty without other words.

    >>> text_without_fillers("So, um, I think. Uh, we could, um.", "en")
    'So, I think. We could.'
    """
    plain = " ".join(text.split())
    words = written_words(plain)
    fillers = are_fillers(words, language)
    if not any(fillers):
        return text
    spaced: list[str] = []
    start = 0
    for word in words:
        end = plain.index(word, start) + len(word)
        spaced.append(plain[start:end])
        start = end
    kept = words_without_fillers(spaced, fillers)
    return "".join(word for word in kept if word is not None).strip()


def row_without_fillers(row: Row) -> Row:
    """Take the fillers out of texts and words of a conversation or a clip; its sound and all times stay.

    An utterance that was fillers alone has an empty text. `UNWRITTEN` has the earlier words.
    """
    result = dict(row)
    if row.get("utterances"):
        result["utterances"] = [_utterance_without(utterance, row) for utterance in row["utterances"]]
    if row.get("alignments"):
        aligned: list[WordRow] = row["alignments"]
        texts = _written_texts(from_finished(row))
        kept = zip(aligned, texts, strict=True)
        result["alignments"] = [{**word, "word": text} for word, text in kept if text is not None]
        result[UNWRITTEN] = aligned
    if isinstance(row.get("text"), str):  # a single clip
        result["text"] = text_without_fillers(row["text"], row.get("language"))
        if result["text"] != row["text"] and row.get("entry"):
            result["entry"] = None  # that of a whisper.json, which has the same text in segments
    return result


def _utterance_without(utterance: Row, row: Row) -> Row:
    language = utterance.get("language") or row.get("language")
    result = utterance.copy()
    text = utterance.get("text")
    if text:
        result["text"] = text_without_fillers(text, language)
    recognised = utterance.get("text_raw")
    if recognised:
        result["text_raw"] = text_without_fillers(recognised, language)
    tagged = utterance.get("tagged_text")
    if tagged:
        tag = f"({utterance.get('tag')}) "
        prefix = tag if tagged.startswith(tag) else ""
        spoken = text_without_fillers(tagged.removeprefix(prefix), language)
        result["tagged_text"] = f"{prefix}{spoken}" if spoken else None
    return result


def _written_texts(talk: Conversation) -> list[str | None]:
    """Return the text of each aligned word as it is without fillers; None for a filler."""
    texts: dict[int, str | None] = {}
    for utterance, words in talk.words_by_utterance():
        fillers = filler_flags(words, spoken_language(utterance, talk))
        spelled = [word.word for word in words]
        for word, text in zip(words, words_without_fillers(spelled, fillers), strict=True):
            texts[id(word)] = text
    return [texts[id(word)] for word in talk.alignments]


def spoken_language(utterance: Utterance | None, talk: Conversation) -> str | None:
    """Return the language of an utterance, or that of its conversation where it has none."""
    stated = or_none(utterance.language) if utterance else None
    return stated or or_none(talk.main_language)


def filler_flags(words: Sequence[Word], language: str | None) -> list[bool]:
    """Say for each aligned word of one utterance whether it is a filler, by its own flag or else by the table."""
    if any(word.filler is None for word in words):
        return are_fillers([word.word for word in words], language)
    return [bool(word.filler) for word in words]
