"""Marks in transcripts of what is no word: `[laughter]`, `<unk>`, `#`, `((inaudible))`, for all formats.

People write them in a dozen ways, and no list has all. So a mark is a known way to enclose something, with a known
word in it; anything else stays text, `[sic]` too. docs/inputs.md shows the table. What stands for words that were
taken out (`[NAME_1]`, `f***ing`, `XXXX`) is a mark, too; the control tokens of models are nothing.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

SOUND = "sound"
SILENCE = "silence"
INAUDIBLE = "inaudible"
KINDS = (SOUND, SILENCE, INAUDIBLE)

#: The kind of words where nothing is heard (`stages.match_transcript`); their mark's name is what they are.
UNHEARD = "unheard"

#: The name of a mark in place of words that were taken out.
REDACTED = "redacted"


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

#: Words of which the name of a redaction consists, in capitals: `[NAME_1]`, `<CREDIT_CARD_NUMBER>`, `PERSON_NAME`.
#: They are those of Presidio, Google, Amazon, Azure, AssemblyAI and Deepgram.
REDACTED_TYPES = frozenset(
    """
    ACCOUNT ADDRESS AGE ANONYMIZED BANK BIRTH CARD CITY CODE COMPANY COUNTRY CREDIT CVV DATE DOB DRIVERS EMAIL
    EXPIRATION EXPIRY FIRST FULL GPE IBAN ID IP LAST LICENSE LOC LOCATION MASKED MEDICAL MRN NAME NATIONAL NUMBER
    NUMERIC OF ORG ORGANISATION ORGANIZATION PASSPORT PASSWORD PCI PERSON PHI PHONE PII PIN POSTAL PROFANITY
    REDACTED ROUTING SECURITY SENSITIVE SOCIAL SSN STATE STREET TELEPHONE TIME URL US USERNAME ZIP
    """.split()  # noqa: SIM905 (as above)
)

#: Words that may be beside them where the text is in round brackets, in which people also talk.
_BESIDE = frozenset(
    """
    a an and the of in on at to both everyone all audience speaker speakers clears clearing softly quietly
    loudly nervous nervously slight slightly soft loud deep deeply heavy heavily long short audio speech
    speaking language word words playing plays continues ends starts phone dog baby wind slams closes opens
    upbeat gentle no
    """.split()  # noqa: SIM905 (a list of quoted words is no easier to read)
)

#: A masked word (`f***ing`, `s***`), what stands for one or ends one (`****`), and masked names and numbers
#: (`XXXX`, `XXX-XX-XXXX`). `XXX` stays: it is a number of Rome, too.
_MASKED = (
    r"(?<![\w*])[^\W\d_]++\*{2,}+[^\W\d_]++(?!\*)|(?<![\w*])[^\W\d_]\*{3,}+|\*{3,}+(?:[^\W\d_]++(?!\*))?"
    r"|(?<![\w-])(?:X{4,}+|X{2,4}(?:-X{2,4})+|_{3,}+)(?!\w)|[•●■█]{3,}+"
)

_ENCLOSED = re.compile(
    r"(?:\(\((?P<double>[^()]{1,80})\)\)|\[{1,2}(?P<square>[^\[\]]{1,80})\]{1,2}|\((?P<round>[^()]{1,80})\)"
    r"|\{{1,2}(?P<brace>[^{}]{1,80})\}{1,2}|<{1,2}(?P<angle>[^<>]{1,80})>{1,2}"
    r"|\*{1,2}(?P<star>[^*\s][^*]{0,80})\*{1,2}"
    r"|[♪♫♬🎵🎶]+(?P<music>[^♪♫♬🎵🎶]{0,80})[♪♫♬🎵🎶]+|(?<!\S)&=(?P<chat>[^\s,.;!?]{1,80})|(?<!\S)%(?P<percent>\w{1,80})"
    r"|(?<!\S)(?P<alone>#+|xxx|yyy|♪+)(?=[\s.,!?]|$)"
    rf"|(?<!\w)(?P<type>[A-Z]{{2,40}}+(?:_[A-Z\d]{{1,40}}+)+)(?!\w)|(?P<masked>{_MASKED}))(?:['’]s\b)?"
)

#: What models write among words: Whisper's and SenseVoice's `<|en|>`, whisper.cpp's `[_TT_150]`, the ends of turns
#: and sentences of language models, and emoji for a mood or a sound. Notes are a mark.
_CONTROL_TOKENS = re.compile(
    r"<[|｜][^<>\s]{0,40}[|｜]>|\[_[A-Z]{1,20}_\w{0,20}\]|\[/?(?:INST|CLS|SEP|PAD|BOS|EOS)\]"
    r"|</?(?i:s|pad|bos|eos|sot|eot|eou|eob|(?:start|begin|end)_?of_?\w{1,20})>"
    r"|(?![♪♫♬🎵🎶])[\u2600-\u27bf\U0001f1e6-\U0001f1ff\U0001f300-\U0001faff][\ufe0f\u200d\U0001f3fb-\U0001f3ff]*+"
)

#: Labels of silence in tiers, aligners and scoring (Praat, MFA, WebMAUS, NIST), each a mark only as a whole text.
_SILENT_LABELS = ("sil", "sp", "!sil", "<eps>", "<sil>", "<p:>", "#", "##", "@", "+", "(.)", "(..)")

#: Labels of unknown words in the same.
_INAUDIBLE_LABELS = ("spn", "<spn>", "xxx", "yyy", "<unk>")

#: The marks that these labels are, and that no text is.
LABELS = dict.fromkeys(("", *_SILENT_LABELS), TranscriptMark(SILENCE, "silence"))
for _label in _INAUDIBLE_LABELS:
    LABELS[_label] = TranscriptMark(INAUDIBLE, _label.strip("<>"))


#: The patterns of `WORDS`.
_PATTERNS: dict[str, re.Pattern[str]] = {}
for _kind, _words in WORDS.items():
    _alternatives = [re.escape(word).replace(r"\*", r"\w*") for word in _words.split()]
    _PATTERNS[_kind] = re.compile("|".join(_alternatives))


def mark_of(text: str) -> TranscriptMark | None:
    """Return the mark that a whole text is; None for words.

    >>> mark_of("[Laughter]"), mark_of("[sic]")
    (TranscriptMark(kind='sound', name='laughter'), None)
    """
    mark = LABELS.get(text.strip().casefold())
    if mark:
        return mark
    match = _ENCLOSED.fullmatch(text.strip(" \t.,;!?"))
    return _enclosed_mark(match) if match else None


def is_redacted(text: str) -> bool:
    """Whether a whole text stands for words that were taken out: `[NAME_1]`, `f***ing`."""
    mark = mark_of(text)
    return mark is not None and mark.name == REDACTED


def marks_in(text: str) -> Iterator[tuple[int, int, TranscriptMark]]:
    """(first character, end, mark) of every mark in a text, in order.

    Praat's `silent` is one as a whole text alone; as a word of a tier of words somebody says it.
    """
    mark = LABELS.get(text.strip().casefold())
    if text.strip() in ("silent", "silence"):
        mark = TranscriptMark(SILENCE, "silence")
    if mark:
        yield 0, len(text), mark
        return
    for match in _ENCLOSED.finditer(text):
        mark = _enclosed_mark(match)
        if mark:
            yield match.start(), match.end(), mark


def without_marks(text: str) -> str:
    """Return a text without its marks, with single spaces; empty if no letter or digit is left.

    >>> without_marks("Well [laughs], yes. (coughs)")
    'Well, yes.'
    """
    marks = list(marks_in(text))
    if not marks:
        return text
    tokens = blanked(text, marks).split()
    plain = re.sub(r"\s+(?=[,.;:!?](?:\s|$))", "", " ".join(tokens))
    return plain if any(map(str.isalnum, plain)) else ""


def blanked(text: str, marks: Iterable[tuple[int, int, TranscriptMark]]) -> str:
    """Return a text with spaces in place of its marks, so that all others stay where they are."""
    characters = list(text)
    for start, end, _ in marks:
        characters[start:end] = " " * (end - start)
    return "".join(characters)


def without_control_tokens(text: str) -> str:
    """Return a text with a space in place of each control token of a model.

    >>> without_control_tokens("<|en|><|HAPPY|>Oh, yes.[_TT_150]").split()
    ['Oh,', 'yes.']
    """
    return _CONTROL_TOKENS.sub(" ", text)


def _enclosed_mark(match: re.Match[str]) -> TranscriptMark | None:
    """Return the mark that an enclosed text is; None for words."""
    sign = str(match.lastgroup)
    is_phrase = sign in ("round", "double") and " " in match[sign]
    if sign == "masked" or (not is_phrase and _is_redaction(match[sign])):
        return TranscriptMark(INAUDIBLE, REDACTED)
    words = re.sub(r"[\W_]+", " ", match[sign].casefold()).split()
    if sign in ("alone", "music", "round") and not words:
        is_silence = sign == "round" or match[sign].startswith("#")
        return TranscriptMark(SILENCE, "silence") if is_silence else TranscriptMark(SOUND, "music")
    kinds = _kinds_of("_".join(words))
    is_speech = False
    for word in words:
        kinds_of_word = _kinds_of(word)
        kinds |= kinds_of_word
        is_speech = is_speech or (not kinds_of_word and word not in _BESIDE)
    if not kinds:
        return None
    if is_speech and (sign in ("round", "music", "double") or len(words) > 4):
        return None
    (kind, *_) = [kind for kind in WORDS if kind in kinds]
    return TranscriptMark(kind, " ".join(words))


def _is_redaction(text: str) -> bool:
    """Whether an enclosed text stands for words that were taken out, by its type or by a mask."""
    types = re.findall(r"[^\W\d_]+", text)
    is_type = text.isupper() and len("".join(types)) >= 3 and REDACTED_TYPES.issuperset(types)
    return is_type or bool(re.fullmatch(_MASKED, text))


def _kinds_of(word: str) -> set[str]:
    """Return the kinds of marks that a word makes."""
    return {kind for kind, pattern in _PATTERNS.items() if pattern.fullmatch(word)}
