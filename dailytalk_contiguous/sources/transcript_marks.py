"""Marks in transcripts of what is no word: `[laughter]`, `<unk>`, `#`, `((inaudible))`, for all formats.

People write them in a dozen ways, and no list has all. So a mark is a known way to enclose something, with a known
word in it; anything else stays text, `[sic]` too. docs/inputs.md shows the table.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

SOUND, SILENCE, INAUDIBLE = KINDS = ("sound", "silence", "inaudible")


class TranscriptMark(NamedTuple):
    """`kind` is one of `KINDS`; `name` is what the transcript calls it, in lower case without its signs."""

    kind: str
    name: str


#: Words of which one makes an enclosed text a mark of its kind. A word with `*` stands for all that begin so.
WORDS = {
    INAUDIBLE: """inaudible unintelligible unk unknown indistinct unclear incomprehensible crosstalk spn xxx yyy
        redacted foreign overlapping overlap unverständlich ininteligible inintelligible""",
    SILENCE: """silence silent sil sp eps pause pauses beat blank blank_audio gap p no_speech
        stille silencio""",
    SOUND: """laugh* chuckl* giggl* snicker* breath* inhal* exhal* sigh* gasp* panting cough* sneez* sniff* snor*
        throat cry crying cries sob* weep* scream* yell* groan* moan* grunt* hum humming hums whistl* applau* clap*
        cheer* music* sing singing sings noise* click* beep* bleep* ring* dial* knock* bang* thud* door* footstep*
        bark* lip lips lipsmack smack* tongue tsk yawn* hiccup* burp* hesitat* static siren* rustl* typing keyboard
        buzz* crowd background lacht lachen gelächter risa risas rire rires musik música musique aplausos""",
}

#: Words that may be beside them where the text is in round brackets, in which people also talk.
_BESIDE = frozenset(
    """
    a an and the of in on at to both everyone all audience speaker speakers clears clearing softly quietly
    loudly nervous nervously slight slightly soft loud deep deeply heavy heavily long short audio speech
    speaking language word words playing plays continues ends starts phone dog baby wind slams closes opens
    upbeat gentle no
    """.split()  # noqa: SIM905 (a list of quoted words is no easier to read)
)

_ENCLOSED = re.compile(
    r"\(\((?P<double>[^()]{1,80})\)\)|\[(?P<square>[^\[\]]{1,80})\]|\((?P<round>[^()]{1,80})\)"
    r"|\{(?P<brace>[^{}]{1,80})\}|<(?P<angle>[^<>]{1,80})>|\*{1,2}(?P<star>[^*\s][^*]{0,80})\*{1,2}"
    r"|[♪♫♬🎵🎶]+(?P<music>[^♪♫♬🎵🎶]{0,80})[♪♫♬🎵🎶]+|(?<!\S)&=(?P<chat>[^\s,.;!?]{1,80})|(?<!\S)%(?P<percent>\w{1,80})"
    r"|(?<!\S)(?P<alone>#+|xxx|yyy|♪+)(?=[\s.,!?]|$)"
)

#: Silences and unknown words by themselves, as labels of tiers and words of aligners and scoring (Praat, MFA,
#: WebMAUS, NIST): nothing says so but that the label is nothing else.
LABELS = {"": TranscriptMark(SILENCE, "silence")} | {
    label: TranscriptMark(kind, label.strip("<>!#@+") or "silence")
    for kind, labels in {
        SILENCE: "sil sp !sil <eps> <sil> <p:> # ## @ + (.) (..)",
        INAUDIBLE: "spn <spn> xxx yyy <unk>",
    }.items()
    for label in labels.split()
}


_KNOWN = {
    kind: re.compile("|".join(re.escape(word).replace(r"\*", r"\w*") for word in words.split()))
    for kind, words in WORDS.items()
}


def mark_of(text: str) -> TranscriptMark | None:
    """The mark that a whole text is; None for words.

    >>> mark_of("[Laughter]"), mark_of("[sic]")
    (TranscriptMark(kind='sound', name='laughter'), None)
    """
    mark = LABELS.get(text.strip().casefold())
    if mark:
        return mark
    match = _ENCLOSED.fullmatch(text.strip(" \t.,;!?"))
    return _kind(match) if match else None


def marks_in(text: str) -> Iterator[tuple[int, int, TranscriptMark]]:
    """(first character, end, mark) of every mark in a text, in order.

    Praat's `silent` is one as a whole text alone; as a word of a tier of words somebody says it.
    """
    mark = (
        TranscriptMark(SILENCE, "silence")
        if text.strip() in ("silent", "silence")
        else LABELS.get(text.strip().casefold())
    )
    if mark:
        yield 0, len(text), mark
        return
    for match in _ENCLOSED.finditer(text):
        mark = _kind(match)
        if mark:
            yield *match.span(), mark


def without_marks(text: str) -> str:
    """A text without its marks, with single spaces; empty if no letter or digit is left.

    >>> without_marks("Well [laughs], yes. (coughs)")
    'Well, yes.'
    """
    at = 0
    parts = []
    for start, end, _ in marks_in(text):
        parts.append(text[at:start])
        at = end
    if not parts:
        return text
    rest = re.sub(r"\s+(?=[,.;:!?](?:\s|$))", "", " ".join(" ".join([*parts, text[at:]]).split()))
    return rest if any(map(str.isalnum, rest)) else ""


def _kind(match: re.Match[str]) -> TranscriptMark | None:
    how = str(match.lastgroup)
    words = re.sub(r"[\W_]+", " ", match[how].casefold()).split()
    if how in ("alone", "music", "round") and not words:
        is_silence = how == "round" or match[how].startswith("#")
        return TranscriptMark(SILENCE, "silence") if is_silence else TranscriptMark(SOUND, "music")
    name = " ".join(words)
    kinds = {kind for word in (*words, "_".join(words)) for kind, known in _KNOWN.items() if known.fullmatch(word)}
    is_speech = any(
        word not in _BESIDE and not any(known.fullmatch(word) for known in _KNOWN.values()) for word in words
    )
    if not kinds or (is_speech and (how in ("round", "music", "double") or len(words) > 4)):
        return None
    return TranscriptMark(next(kind for kind in WORDS if kind in kinds), name)
