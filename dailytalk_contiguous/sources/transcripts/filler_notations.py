"""Fillers in the notations of transcribers: `&-um`, `&um`, `%um`, `[um]`, `(um)`, `{F um, }`, for all formats.

A filler is a word that somebody says, so its signs are removed and the word stays. Signs around anything else
stay: `[him]`, `(5 mm)`, `alb(um)`. `%hesitation` names no word, so it is a mark (`core.words.transcript_marks`).
"""

import re
from collections.abc import Sequence

from dailytalk_contiguous.core.words.fillers import PATTERNS, USUAL, are_fillers, language_code
from dailytalk_contiguous.core.words.transcript_marks import mark_of
from dailytalk_contiguous.core.words.word_times import split_words

#: TalkBank: `&-` is always before a filler, `&` in older files also before a fragment. LDC: `%`.
_SIGNED = re.compile(r"(?<!\w)(?:&-(?P<talkbank>[^\W\d_][^\s_]{0,80}+(?!\S))|[&%](?P<signed>[^\W\d_]\S{0,80}+))")

#: A letter or digit beside a bracket, in which case the bracket is part of a word. Japanese and Chinese have no
#: spaces around a word.
_BESIDE = r"[^\W\u3040-\u30ff\u3400-\u9fff]"

#: Switchboard's `{F`; square brackets; round ones, which LDC doubles around what is hard to understand.
_ENCLOSED = re.compile(
    r"\{F(?P<switchboard>\s[^\[\](){}]{1,80})\}"
    rf"|(?<!{_BESIDE})\[(?P<square>[^\[\](){{}}]{{1,80}})\](?!{_BESIDE})"
    rf"|(?<!{_BESIDE})(?<!\()\((?P<round>[^\[\](){{}}]{{1,80}})\)(?!\))(?!{_BESIDE})"
)

#: The notations that hold nothing but fillers, so that their words need no look at the table.
_ALWAYS_FILLERS = ("talkbank", "switchboard")

#: An answer (`uh-huh`), initials (`E.R.`) or a range (`A-H`), whose letters alone may spell a filler.
_COMPOUND = re.compile(r"\w[-.'’]\w")

_USUAL_ANYWHERE = frozenset(word for words in USUAL.values() for word in words)


def plain_fillers(words: Sequence[str], language: str | None) -> list[str]:
    """Return the words of an utterance, of which fillers lose the signs of a notation.

    There are as many as before: a word that was only signs, such as the `{F` of `{F uh, }`, is empty.

    Args:
        words: as they are in a transcript, without line breaks.
        language: ISO 639-1, with or without a region. Where it is unknown, fillers are those of English, and the
            usual ones of other languages that are no marks (`[hum]`).

    >>> plain_fillers("&-um {F uh, } I [sic] [uh] (ähm) %hesitation".split(), None)
    ['um', '', 'uh,', '', 'I', '[sic]', 'uh', 'ähm', '%hesitation']
    """

    def without_signs(match: re.Match[str]) -> str:
        notation = str(match.lastgroup)
        content = match[notation]
        if notation in _ALWAYS_FILLERS or _holds_fillers(content, language):
            return content
        return match[0]

    if not words:
        return []
    # A line break between the words keeps them apart, whatever spaces are in them.
    text = "\n".join(words)
    text = _SIGNED.sub(without_signs, text)
    text = _ENCLOSED.sub(without_signs, text)
    return [word.strip() for word in text.split("\n")]


def _holds_fillers(text: str, language: str | None) -> bool:
    """Whether all words of a text are fillers."""
    words = split_words(text)
    if not words or _COMPOUND.search(text):
        return False
    code = language_code(language)
    is_known = code in PATTERNS
    # English "ah" is no filler as the first word; whether it is the first one here depends on what is around it.
    flags = are_fillers(["x", *words], code if is_known else "en")[1:]
    if is_known or all(flags):
        return all(flags)
    return text.strip(" \n.,;!?").casefold() in _USUAL_ANYWHERE and mark_of(f"[{text}]") is None
