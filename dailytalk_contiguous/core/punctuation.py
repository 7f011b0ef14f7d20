"""The text that is spoken and shown: a capital, and an end mark where one is missing.

A synthesiser reads the end mark as intonation, so an excited sentence of a recogniser without one gets `!`. A mark
in the text is evidence of what was said, and a tag is an estimate: in `dailytalk tag` the text wins unless
`--punctuate always` is given, and what a person wrote gets no mark at all. Quotes and brackets stay outermost.
Doing it twice changes nothing.
"""

from typing import NamedTuple

from dailytalk_contiguous.core.questions import CLOSING
from dailytalk_contiguous.core.tag_lists import render

EXCLAIMED = frozenset({"excited", "delighted", "shouting", "screaming"})
ASKED = frozenset({"curious", "uncertain", "doubtful", "confused"})


class Marks(NamedTuple):
    """The end marks of a language."""

    statement: str = "."
    question: str = "?"
    exclamation: str = "!"


_CHINESE = Marks("。", "？", "！")
_ARABIC = Marks(".", "؟", "!")
_DANDA = Marks("।", "?", "!")

#: By ISO 639 code; a language that isn't here ends its sentences with . ? !
MARKS = {
    **dict.fromkeys(("zh", "yue", "ja"), _CHINESE),
    **dict.fromkeys(("ar", "fa", "ps", "ug"), _ARABIC),
    **dict.fromkeys(("ur", "sd"), Marks("۔", "؟", "!")),
    **dict.fromkeys(("hi", "bn", "ne", "pa", "as", "or", "sa"), _DANDA),
    "el": Marks(".", ";", "!"),
    "hy": Marks("։", "?", "!"),
    "am": Marks("።", "?", "!"),
    "my": Marks("။", "?", "!"),
    "km": Marks("។", "?", "!"),
}

#: Final marks that say how a sentence was spoken and stay: asked, exclaimed, trailing off, cut off.
KEPT = frozenset("?!…？！؟\u037e፧‼⁇⁈⁉-‐‑–—―−")
#: Final marks that only say that something ended, and give way to the mark of the tag.
REPLACED = frozenset(".,;:。．｡，、､；：،؛۔।॥።፣፤፥։။၊។")

#: Of these, the ones that end a sentence; the others (a comma) show that its end is missing.
ENDED = frozenset(".．｡。։۔।॥።။")

#: Which end marks `punctuate` sets: none, one where there is none, and also one in place of a mark of `REPLACED`.
SETS = ("never", "missing", "always")

#: An apostrophe at the end closes a quotation only if one of these opened it ("the dogs'" stays as it is).
_OPENERS = {"'": "'", "’": "‘‚"}
_OPENING = frozenset('"“„([{«')


def punctuate(text_raw: str, tag: str, language: str | None = None, sets: str = "always") -> str:
    """`text_raw` with whitespace collapsed, its first letter upper case and, as `sets` says, an end mark.

    `language` is an ISO 639 code, with or without a region ("zh", "pt-BR"); unknown and None mean . ? !
    What is set is an exclamation mark for the tags in `EXCLAIMED`, a question mark for those in `ASKED` and a full
    stop for any other. A final mark of `KEPT` (or "...") always stays. Text without a letter or a digit has no
    sentence to end and is returned with its whitespace collapsed, so empty text stays empty.

    Args:
        sets: `never`; `missing`: where the text ends neither in a mark of `KEPT` nor in one of `ENDED`; `always`:
            also in place of a mark of `REPLACED`.

    >>> punctuate("he said “no way”", "excited")
    'He said “no way!”'
    >>> punctuate("It's late.", "uncertain", sets="missing")
    "It's late."
    """
    if sets not in SETS:
        raise ValueError(f"sets must be one of {SETS}, not {sets!r}")
    code = (language or "").replace("_", "-").partition("-")[0].lower()
    text = " ".join(text_raw.split())
    if not _has_words(text):
        return text
    if sets == "never":
        return _capitalized(text, code)
    marks = MARKS.get(code, Marks())
    kept = KEPT | set(marks.question)
    body, closers, is_ended = _take_end(text, kept | ENDED if sets == "missing" else kept)
    if not is_ended:
        body += marks.exclamation if tag in EXCLAIMED else marks.question if tag in ASKED else marks.statement
    return _capitalized(body, code) + closers


def tagged(text: str, tag: str, synthesiser: str = "fish-s1") -> str | None:
    """The text with its tag as the synthesiser reads it, or None where there is nothing to say.

    >>> tagged("No way!", "excited")
    '(excited) No way!'
    """
    return render(tag, text, synthesiser) if _has_words(text) else None


def _has_words(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _take_end(text: str, kept: frozenset[str]) -> tuple[str, str, bool]:
    """Split text into what the end mark belongs to and the closing quotes and brackets after it.

    Also tells whether the first part already ends in a mark to keep; marks to replace are taken away.
    """
    closers = ""
    while text:
        last = text[-1]
        if last in kept or text.endswith("..."):
            return text, closers, True
        if last.isspace():
            # French sets a space before a closing quote: it stays there, once, and goes anywhere else.
            closers = " " + closers.lstrip() if closers else ""
        elif _is_closing(text):
            closers = last + closers
        elif last not in REPLACED:
            break
        text = text[:-1]
    return text, closers, False


def _is_closing(text: str) -> bool:
    """Whether the last character closes a quotation or a bracket.

    An apostrophe does so only where a quotation was opened: "the dogs'" gets its mark after it.
    """
    last, before = text[-1], text[:-1]
    if last == "’":
        return "‘" in before or "‚" in before
    if last == "'":
        return any(
            character == "'" and (place == 0 or before[place - 1].isspace() or before[place - 1] in _OPENING)
            for place, character in enumerate(before)
        )
    return last in CLOSING


def _capitalized(text: str, code: str) -> str:
    """The first letter as at the start of a sentence, whatever quotes, brackets, ¿ or ¡ stand before it."""
    place = next((place for place, character in enumerate(text) if character.isalnum()), len(text))
    if text[place : place + 1] == "i" and code in {"tr", "az"}:
        return f"{text[:place]}İ{text[place + 1 :]}"
    # Title case is upper case but for letters that have a form of their own at the start (and Georgian, which
    # has capitals that no sentence begins with).
    return text[:place] + text[place : place + 1].title() + text[place + 1 :]
