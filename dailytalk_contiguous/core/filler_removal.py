"""Texts and rows without their fillers (`core.fillers`): the marks and capitals of a sentence stay sensible.

A comma before a filler stays, because it may have another reason: "So, um, I think" becomes "So, I think". Fillers
are left out of texts and words alone. They stay in the sound, where they are no silence.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dailytalk_contiguous.core.fillers import are_fillers
from dailytalk_contiguous.core.records import WordRow
from dailytalk_contiguous.core.schema import CHANNELS, Row
from dailytalk_contiguous.core.sentences import CLOSING, KEPT, SENTENCE_ENDS, ends_sentence
from dailytalk_contiguous.core.utterance import Utterance, heard_utterances
from dailytalk_contiguous.core.word_times import written_words

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
    places = [place for place, letter in enumerate(plain) if letter.isalnum()]
    if not places:
        return _Parts(plain, "", "")
    first = places[0]
    last = places[-1] + 1
    return _Parts(plain[:first], plain[first:last], plain[last:])


def words_without_fillers(words: Sequence[str], fillers: Sequence[bool]) -> list[str | None]:
    """The words of one utterance, in order, as they are without its fillers, with None in place of each filler.

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
        opening += "".join(mark for mark in head if mark in _OPENING)
        ending = "".join(mark for mark in tail if mark in SENTENCE_ENDS)
        closing = "".join(mark for mark in tail if mark in CLOSING)
        if opening and closing:  # the filler was all that they enclosed
            opening = ""
            closing = ""
        if ending and opening and opening[-1] in _INVERTED:
            opening = opening.rstrip(_INVERTED)
            ending = "."
        if last >= 0:
            texts[last] = _ended(texts[last], ending) + closing
    if last >= 0 and last < len(words) - 1:
        texts[last] = texts[last].rstrip(f"{_COMMAS} ")
    return [texts.get(number) for number in range(len(words))]


def _begun(word: str, opening: str, is_capital: bool) -> str:
    """A word behind fillers that began its sentence."""
    place = next((place for place, letter in enumerate(word) if letter.isalnum()), None)
    if place is None:
        return word
    letter = word[place].upper() if is_capital else word[place]
    return f"{word[:place]}{opening}{letter}{word[place + 1 :]}"


def _ended(word: str, ending: str) -> str:
    """A word before a filler that ended their sentence with these marks."""
    text = word.rstrip()
    if not ending or ends_sentence(text) or text[-1:] in KEPT:
        return word
    return text.rstrip(_COMMAS) + ending


def text_without_fillers(text: str, language: str | None) -> str:
    """The text of one utterance in a language (ISO 639-1) without its fillers; empty if it has no other words.

    >>> text_without_fillers("So, um, I think. Uh, we could, um.", "en")
    'So, I think. We could.'
    """
    plain = " ".join(text.split())
    words = written_words(plain)
    fillers = are_fillers(words, language)
    if not any(fillers):
        return text
    spaced = []
    place = 0
    for word in words:
        end = plain.index(word, place) + len(word)
        spaced.append(plain[place:end])
        place = end
    kept = words_without_fillers(spaced, fillers)
    return "".join(word for word in kept if word is not None).strip()


def row_without_fillers(row: Row) -> Row:
    """A conversation or a clip whose texts and words have no fillers; its sound and all times stay as they are.

    An utterance that was fillers alone has an empty text. The words that were there before are in `UNWRITTEN`.
    """
    result = dict(row)
    if row.get("utterances"):
        result["utterances"] = [_utterance_without(said, row) for said in row["utterances"]]
    if row.get("alignments"):
        result["alignments"] = _aligned_without(row)
        result[UNWRITTEN] = row["alignments"]
    if isinstance(row.get("text"), str):  # a single clip
        result["text"] = text_without_fillers(row["text"], row.get("language"))
        if result["text"] != row["text"] and row.get("entry"):
            result["entry"] = None  # that of a whisper.json, which has the same text in segments
    return result


def _utterance_without(said: Utterance, row: Row) -> Utterance:
    language = said.get("language") or row.get("language")
    result = said.copy()
    text = said.get("text")
    if text:
        result["text"] = text_without_fillers(text, language)
    recognised = said.get("text_raw")
    if recognised:
        result["text_raw"] = text_without_fillers(recognised, language)
    tagged = said.get("tagged_text")
    if tagged:
        tag = f"({said.get('tag')}) "
        prefix = tag if tagged.startswith(tag) else ""
        spoken = text_without_fillers(tagged.removeprefix(prefix), language)
        result["tagged_text"] = f"{prefix}{spoken}" if spoken else None
    return result


def _aligned_without(row: Row) -> list[dict[str, Any]]:
    """The words of a row, in order, without fillers."""
    texts: dict[int, str | None] = {}
    for said, numbers in words_by_utterance(row):
        stated = said.get("language") if said else None
        language = stated or row.get("language")
        words = [row["alignments"][number] for number in numbers]
        spelled = [word["word"] or "" for word in words]
        fillers = filler_flags(words, language)
        texts |= zip(numbers, words_without_fillers(spelled, fillers), strict=True)
    return [
        word | {"word": texts[number]}
        for number, word in enumerate(row["alignments"])
        if texts[number] is not None
    ]


def filler_flags(words: Sequence[WordRow], language: str | None) -> list[bool]:
    """Which aligned words of one utterance are fillers: as they say, or as the table does where they do not."""
    flags = [word.get("filler") for word in words]
    if None in flags:
        return are_fillers([word["word"] or "" for word in words], language)
    return [bool(flag) for flag in flags]


def words_by_utterance(row: Mapping[str, Any]) -> list[tuple[Utterance | None, list[int]]]:
    """The utterances of a row, each with the numbers of its aligned words, by start.

    A word is of the last utterance of its side that begins before its middle; None has those before the first.
    """
    groups: list[tuple[Utterance | None, list[int]]] = []
    for channel in CHANNELS:
        said = [part for part in heard_utterances(row) if part["channel"] == channel]
        said.sort(key=lambda part: part["start"])
        starts = [part["start"] for part in said]
        of_side: list[tuple[Utterance | None, list[int]]] = [(None, [])]
        of_side += [(part, []) for part in said]
        for number, word in enumerate(row["alignments"] or ()):
            if word["speaker"] == channel:
                place = bisect_right(starts, (word["start"] + word["end"]) / 2)
                of_side[place][1].append(number)
        groups += of_side
    for _, numbers in groups:
        numbers.sort(key=lambda number: row["alignments"][number]["start"])
    return [(part, numbers) for part, numbers in groups if numbers]
