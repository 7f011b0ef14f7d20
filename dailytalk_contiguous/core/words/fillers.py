"""Fillers: sounds with which people hold their turn while they think; one table, by language.

"um" and "uh" are the commonest. "uh-huh" and "mm-hm" are answers, and no fillers.
"""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from dailytalk_contiguous.core.words.word_times import normalise

#: Fillers by ISO 639-1 code, as `word_times.normalise` spells them; of sounds that people draw out, the patterns.
PATTERNS = {
    "en": "u+h*m+|u+h+|e+r+m*|h+m+|m{2,}|a+h+",
    "de": "a+h+m*|o+h+m+|h+m+|m{2,}|e+h+m+",
    "nl": "u+h+m*|e+h+m*|h+m+|m{2,}",
    "sv": "o+h+m*|e+h+m*|a+h+m*|h+m+|m{2,}",
    "fr": "e+u+h+|h+e+u+|h+u+m+|h+m+|m{2,}",
    "es": "e+h+|e+m{2,}|h+m+|m{2,}",
    "it": "e+h+m+|u+h+m+|e{2,}h*|h+m+|m{2,}",
    "pt": "a+h+n+|h+a+n*|h+u+m+|h+m+|m{2,}",
    "pl": "y{2,}|e{2,}|h+m+|m{2,}",
    "ru": "э{2,}|э+м+|м{2,}|х+м+",
    "ja": "え+ー+と*|え+っ+と|えと|あの+ー+|う+ー+ん|ん+ー+",
    "zh": "嗯+|呃+",
    "ko": "음+|으+음+",
}

#: The English ones as they are mostly spelled.
ENGLISH = frozenset(("um", "uh", "er", "erm", "hm", "hmm", "mm", "ah"))

#: How most people say it, in the spelling of a recogniser; the first is the one that is written if in doubt.
USUAL = {
    "en": ("um", "uh"),
    "de": ("äh", "ähm"),
    "nl": ("uh", "uhm"),
    "sv": ("eh", "öh"),
    "fr": ("euh",),
    "es": ("eh",),
    "it": ("ehm",),
    "pt": ("hum",),
    "pl": ("yyy",),
    "ru": ("ээ",),
    "ja": ("えーと",),
    "zh": ("嗯",),
    "ko": ("음",),
}

#: A speaker who hesitates: after such a text a recogniser that was trained to leave fillers out writes them.
PROMPTS = {
    "en": "So, um, I was, uh, I was thinking that, um, we could, you know, uh, go there. Uh, hmm, yeah, um.",
    "de": "Also, äh, ich wollte, ähm, ich wollte sagen, dass, äh, wir, ähm, dahin gehen. Äh, ja, ähm.",
    "nl": "Dus, uh, ik wilde, uhm, ik wilde zeggen dat, uh, we erheen gaan. Uh, ja, uhm.",
    "sv": "Så, eh, jag tänkte, öh, jag tänkte att, eh, vi kunde gå dit. Eh, ja, öh.",
    "fr": "Alors, euh, je pensais, euh, je pensais que, euh, on pourrait y aller. Euh, oui, euh.",
    "es": "Entonces, eh, yo pensaba, eh, yo pensaba que, eh, podríamos ir. Eh, sí, eh.",
    "it": "Allora, ehm, pensavo, ehm, pensavo che, ehm, potremmo andarci. Ehm, sì, ehm.",
    "pt": "Então, hum, eu pensei, hum, eu pensei que, hum, podíamos ir. Hum, sim, hum.",
    "pl": "Więc, yyy, myślałem, yyy, myślałem, że, yyy, moglibyśmy tam pójść. Yyy, tak, yyy.",
    "ru": "Ну, ээ, я думал, ээ, я думал, что, ээ, мы могли бы пойти. Ээ, да, ээ.",
    "ja": "えーと、私は、えーと、あのー、行こうかと、えーと、思いました。えーと、はい。",
    "zh": "嗯,我想,嗯,我想我们可以,嗯,去那里。嗯,好的,嗯。",
    "ko": "음, 저는, 음, 저는 우리가, 음, 갈 수 있다고 생각했어요. 음, 네, 음.",
}

#: Languages that write no spaces, whose words are single characters (`word_times.split_words`).
SPACELESS = ("ja", "zh")

#: English "ah" that begins what a speaker says is mostly a cry: "Ah, I see."
_CRY = "a+h+"


def language_code(language: str | None) -> str:
    """Return the ISO 639-1 code of a language with or without a region; empty for none."""
    code, _, _ = (language or "").replace("_", "-").partition("-")
    return code.lower()


def are_fillers(words: Sequence[str], language: str | None) -> list[bool]:
    """Say for each word of one utterance whether it is a filler of a language (ISO 639-1, perhaps with a region).

    Words of a language that the table lacks are no fillers.

    >>> are_fillers("So, um, ah, uh-huh, I see".split(), "en")
    [False, True, True, False, False, False]
    """
    code = language_code(language)
    pattern = PATTERNS.get(code)
    if pattern is None:
        return [False] * len(words)
    if code in SPACELESS:
        return _in_characters(words, pattern)
    plain = [unicodedata.normalize("NFC", normalise(word)) for word in words]
    fillers = [bool(re.fullmatch(pattern, word)) for word in plain]
    for index, (before, word) in enumerate(pairwise(plain), 1):
        if word == "mm" and before[-1:].isdigit():  # millimetres
            fillers[index] = False
        is_joined = words[index].strip().startswith(("-", "‐"))
        if is_joined:  # "Mm" and "-hmm" are one word, an answer
            fillers[index - 1] = False
            fillers[index] = False
    with_letters = [index for index, word in enumerate(plain) if word]
    if code == "en" and with_letters:
        first = with_letters[0]
        if re.fullmatch(_CRY, plain[first]):
            fillers[first] = False
    return fillers


def _in_characters(words: Sequence[str], pattern: str) -> list[bool]:
    """Return `are_fillers` of words that are single characters, several of which make a filler."""
    letters: list[str] = []
    word_of_letter: list[int] = []
    for index, word in enumerate(words):
        for letter in word:
            if letter.isalnum() or letter == "ー":
                letters.append(letter)
                word_of_letter.append(index)
    fillers = [False] * len(words)
    for match in re.finditer(pattern, "".join(letters)):
        for index in word_of_letter[match.start() : match.end()]:
            fillers[index] = True
    return fillers


def without_fillers(words: Sequence[str], language: str | None) -> list[str]:
    """Return the words of an utterance that are no fillers."""
    fillers = are_fillers(words, language)
    return [word for word, is_filler in zip(words, fillers, strict=True) if not is_filler]
