"""Sentences by their text alone: questions, types and lengths, and punctuation that follows the delivery."""

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from dailytalk_contiguous.core.style.tags import render
from dailytalk_contiguous.core.words.fillers import ENGLISH, are_fillers, language_code
from dailytalk_contiguous.core.words.word_times import has_words, split_words

# Questions: by the mark that ends a text or, where the recogniser writes none, by its first words.
#
# The lexical rule is for English and small on purpose. It prefers to miss a question than to call a statement
# one, because a missed question still gets a tag from the grid.


#: Marks that end a question; U+037E is the Greek one. Greek writes it as a semicolon, see `ends_as_question`.
QUESTION_MARKS = frozenset("?？؟\u037e")

#: Marks that may follow the mark that ends a sentence. German and Danish close with “ « ‹, which open elsewhere.
CLOSING = frozenset("\"'”’»›“‘«‹)]}」』】》〉）］｝")


def word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words before what a sentence says, besides fillers.
DISCOURSE = word_set("so well and but or okay ok alright oh ah yeah yes no now then hey hi hello") | ENGLISH

#: Words that may follow an auxiliary in a question, besides `DETERMINERS`.
SUBJECTS = word_set(
    "i you he she it we they this that these those there anyone anybody someone somebody everyone everybody "
    "anything something everything people"
)

#: Not "a" and "an", which after an auxiliary mostly mean a dropped subject ("was a great day").
DETERMINERS = word_set("the my your his her our their its any")

DO_AND_HAVE = word_set("do have had don't haven't hadn't")
AUXILIARIES = DO_AND_HAVE | word_set(
    "am is are was were does did has can could will would shall should may might must isn't aren't wasn't weren't "
    "doesn't didn't hasn't can't couldn't won't wouldn't shouldn't mustn't ain't"
)

WHO_AND_WHAT = word_set("what who whom whose which")
QUESTION_WORDS = WHO_AND_WHAT | word_set("when where why how")

#: Verbs that are contracted with a question word.
CONTRACTIONS = ("'s", "'re", "'d", "'ll", "'ve")
_CONTRACTED = frozenset(word + ending for word in QUESTION_WORDS for ending in CONTRACTIONS)


def ends_as_question(text: str, language: str | None = None) -> bool:
    """Return whether the last mark of a text, apart from closing quotes and brackets, is a question mark.

    `language` is an ISO 639-1 code; in Greek (`el`) a final semicolon is the question mark.
    """
    last = _without_closing(text)[-1:]
    if language == "el" and last == ";":
        return True
    return last in QUESTION_MARKS


def _without_closing(text: str) -> str:
    """Return a text without the spaces, quotes and brackets after its end mark."""
    end = text.rstrip()
    while end and end[-1] in CLOSING:
        end = end[:-1].rstrip()
    return end


#: Words that can follow "do" and "have" in a question but hardly in "do it", "have a seat", "had the soup".
SUBJECTS_OF_DO = word_set("i you we they anyone anybody any people")

#: Words that may follow a question word where no auxiliary does: "why not", "how come", "how many".
AFTER_WHEN_OR_HOW = {
    "when": word_set("exactly"),
    "where": word_set("to else exactly"),
    "why": word_set("not bother"),
    "how": word_set("about come many much far long often old soon big else so"),
}

#: First words of questions.
_OPENINGS = AUXILIARIES | QUESTION_WORDS | _CONTRACTED


def sounds_like_question(words: Sequence[str]) -> bool:
    """Return whether English words without punctuation begin like a question.

    After any number of discourse words ("so", "well", "and", "okay"), the first word must be

    - a question word: "what", "who", "whom", "whose", "which", not before a subject ("what I mean is"), nor
      "what a day", nor "which is fine" (a relative clause far more often than a question);
    - "when", "where", "why", "how", alone or before an auxiliary ("when I was ten" is a clause) or a few words
      ("how many", "why not"); for "how" the auxiliary may come one word later ("how nice is it", but not
      "how nice of you"); or a question word with a contracted verb ("what's");
    - an auxiliary, before a pronoun or determiner ("is that", "did the"); "do", "have" and "had" only before
      what can't be their object ("do you", but not "do the dishes", "have a seat").

    Missed on purpose: "is John in", questions by intonation alone, tags ("isn't it") at the end.
    """
    spoken = (word.lower().replace("’", "'").strip('.,;:!?…"()') for word in words)
    first = next((word for word in spoken if word and word not in DISCOURSE), "")
    if first not in _OPENINGS:  # most sentences: the words after it make no difference
        return False
    if first in _CONTRACTED:
        return True
    after = [*islice(spoken, 2)]
    if first in AUXILIARIES:
        subjects = SUBJECTS_OF_DO if first in DO_AND_HAVE else SUBJECTS | DETERMINERS
        return bool(after) and after[0] in subjects
    if not after:
        return True
    following = after[0]
    if first in WHO_AND_WHAT:
        is_clause = following in SUBJECTS or (first == "which" and following in AUXILIARIES)
        is_exclamation = first == "what" and following in {"a", "an"}
        return not is_clause and not is_exclamation
    if following in AUXILIARIES or following in AFTER_WHEN_OR_HOW[first]:
        return True
    return first == "how" and len(after) > 1 and after[1] in AUXILIARIES


# Type and length of a clip's sentence: two of the axes along which a corpus is balanced.
#
# The end mark decides, because it is how the transcriber or the corpus meant it; only a text without one is asked
# for its first words, and then only in English (`core.words.sentences`). "Don't forget a jacket" stays
# declarative: an order is no exclamation unless it is written as one.


#: Marks that end an exclamation.
_EXCLAIMING = frozenset("!！‼՜")

#: Marks that ask and exclaim at once: a question, shouted or not, is a question.
_ASKING_TOO = frozenset("⁇⁈⁉‽")

#: Marks that end a statement.
_ENDING = frozenset(".…。．｡।۔։።")


def sentence_type(text: str | None, language: str | None = None) -> str | None:
    """Classify a text's last sentence as declarative, interrogative or exclamatory; None without any word.

    `language` is an ISO 639 code with or without a region; None means English.

    >>> sentence_type("Are you coming"), sentence_type("No way!"), sentence_type("Maybe tomorrow it will be cold")
    ('interrogative', 'exclamatory', 'declarative')
    """
    if not text or not has_words(text):
        return None
    code = language_code(language or "en")
    end = _without_closing(text)
    last = end[-1]
    is_asked = last in _ASKING_TOO or end.endswith(("?!", "？！"))
    if is_asked or ends_as_question(text, code):
        return "interrogative"
    if last in _EXCLAIMING:
        return "exclamatory"
    is_unmarked = last not in _ENDING
    if is_unmarked and code == "en" and sounds_like_question(end.split()):
        return "interrogative"
    return "declarative"


#: Seconds from which a clip is medium. Most acted lines are in the middle: a CREMA-D clip has 2.5 s on average
#: (Cao et al. 2014), a turn of MSP-Podcast 2.75 to 11 s (Lotfian and Busso 2019).
MEDIUM_FROM = 2.0

#: Seconds from which a clip is long.
LONG_FROM = 5.0


def length_class(seconds: float) -> str:
    """Return the class of a clip's length: short under 2 s, long from 5 s, and medium between."""
    if seconds < MEDIUM_FROM:
        return "short"
    return "medium" if seconds < LONG_FROM else "long"


# Punctuation of the text that is spoken and shown: a capital, and an end mark where one is missing.
#
# A synthesiser reads the end mark as intonation, so an excited sentence of a recogniser without one gets `!`. A
# mark in the text is evidence of what was said, and a tag is an estimate: in `dailytalk tag` the text wins unless
# `--punctuate always` is given, and what a person wrote gets no mark at all. Quotes and brackets stay outermost.
# Doing it twice changes nothing.


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

#: Those of `REPLACED` that end a sentence; the others (a comma) show that its end is missing.
ENDED = frozenset(".．｡。։۔।॥።။")

#: The mark behind a filler that ends an utterance.
GOES_ON = "…"


#: Tags whose sentences end in an exclamation mark.
EXCLAIMED = frozenset({"excited", "delighted", "shouting", "screaming"})

#: Tags whose sentences end in a question mark.
ASKED = frozenset({"curious", "uncertain", "doubtful", "confused"})


def punctuate(text_raw: str, tag: str, language: str | None = None, sets: str = "always") -> str:
    """Return `text_raw` with whitespace collapsed, its first letter upper case and, as `sets` says, an end mark.

    `language` is an ISO 639 code, with or without a region ("zh", "pt-BR"); unknown and None mean . ? !
    The mark is an exclamation mark for the tags in `EXCLAIMED`, a question mark for those in `ASKED` and a full
    stop for any other; three points after a filler, which says that its speaker goes on. A final mark of `KEPT`
    (or "...") always stays. Text without a letter or a digit has no sentence to end and is returned with its
    whitespace collapsed, so empty text stays empty.

    Args:
        sets: `never`, and no capital either; `missing`: where the text ends neither in a mark of `KEPT` nor in one
            of `ENDED`; `always`: also in place of a mark of `REPLACED`.

    >>> punctuate("he said “no way”", "excited")
    'He said “no way!”'
    >>> punctuate("It's late.", "uncertain", sets="missing")
    "It's late."
    """
    text = " ".join(text_raw.split())
    if sets == "never" or not has_words(text):
        return text
    code = language_code(language)
    marks = MARKS.get(code, Marks())
    kept = KEPT | set(marks.question)
    if sets == "missing":
        kept |= ENDED
    body, closers, is_ended = _take_end(text, kept)
    if not is_ended:
        is_filler_last = are_fillers(split_words(f"- {body}"), code)[-1]
        if is_filler_last:
            body += GOES_ON
        elif tag in EXCLAIMED:
            body += marks.exclamation
        else:
            body += marks.question if tag in ASKED else marks.statement
    return _capitalized(body, code) + closers


def tagged(text: str, tag: str) -> str | None:
    """Put a tag before its text; None where there is nothing to say.

    >>> tagged("No way!", "excited")
    '(excited) No way!'
    """
    if not has_words(text):
        return None
    return render(tag, text, "fish-s1")


#: Final marks that only say that something ended, and give way to the mark of the tag.
REPLACED = frozenset(".,;:。．｡，、､；：،؛۔।॥።፣፤፥։။၊។")


def _take_end(text: str, kept: frozenset[str]) -> tuple[str, str, bool]:
    """Split text into the part before the end mark and the closing quotes and brackets after it.

    Also return whether the first part already ends in a mark to keep; marks to replace are removed.
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


_OPENING = frozenset('"“„([{«')


def _is_closing(text: str) -> bool:
    """Return whether the last character closes a quotation or a bracket.

    An apostrophe does so only where a quotation was opened: "the dogs'" gets its mark after it.
    """
    last = text[-1]
    before = text[:-1]
    if last == "’":
        return "‘" in before or "‚" in before
    if last != "'":
        return last in CLOSING
    for index, character in enumerate(before):
        ahead = before[index - 1] if index else " "
        if character == "'" and (ahead.isspace() or ahead in _OPENING):
            return True
    return False


def _capitalized(text: str, code: str) -> str:
    """Capitalise the first letter as at the start of a sentence, after any quotes, brackets, ¿ or ¡."""
    for index, letter in enumerate(text):
        if letter.isalnum():
            # Title case is upper case except for letters that have a special form at the start (and Georgian,
            # which has capitals that no sentence begins with).
            capital = "İ" if letter == "i" and code in {"tr", "az"} else letter.title()
            return f"{text[:index]}{capital}{text[index + 1 :]}"
    return text


# Whether a sentence goes on after a pause, by what a recogniser wrote of both sides of it.
#
# Speech activity ends where a speaker thinks, in the middle of a sentence; a recogniser that heard both sides in
# one window writes no mark there, and no capital but where the language demands one.

#: Marks after which a sentence is over; a comma, a dash and none say that it is not.
SENTENCE_ENDS = ENDED | QUESTION_MARKS | frozenset("!…！‼⁇⁈⁉")

#: Capitals that English demands inside a sentence.
_ENGLISH_I = frozenset(("i", "i'm", "i'll", "i've", "i'd"))

#: Words that end no sentence: what follows goes on, and its capital is that of a name or of a German noun.
_OPEN_ENDED = {
    "en": word_set(
        "a an the my your his her its our their and or but because if of to from for with into than as is are was "
        "were am be been will would can could should i we they he she"
    ),
    "de": word_set(
        "ein eine einen einem einer eines der die das den dem des mein meine dein deine sein seine ihr ihre unser "
        "und oder aber weil wenn dass in im an am auf aus bei mit nach von vom zu zum zur für über ist sind war "
        "ich wir sie er es"
    ),
}


def ends_sentence(text: str) -> bool:
    """Whether a text ends in a mark that ends a sentence, apart from closing quotes and brackets.

    >>> ends_sentence("How can I help you?"), ends_sentence("Okay, the price,")
    (True, False)
    """
    end = _without_closing(text)
    return end.endswith("...") or end[-1:] in SENTENCE_ENDS


def goes_on(first: str, following: str, language: str | None = None) -> bool:
    """Whether the text after a pause goes on in the sentence before it.

    It does where the first has no end mark, and the following one begins with a small letter, a digit or a hyphen
    ("Wi", "-Fi"), in a script without capitals, or with a capital that the language demands: English "I", and
    any word behind one that ends no sentence ("the", "with"), which is then a name or a German noun. Fillers at
    either side of the pause count for nothing; where one side has no other words, the sentence goes on.

    >>> goes_on("Can", "you help me?"), goes_on("Can", "I help you?", "en"), goes_on("Okay", "Sure.", "en")
    (True, True, False)
    """
    if not first.strip() or not following.strip():
        return False
    first_words = first.split()
    following_words = following.split()
    while first_words and are_fillers(["so", first_words[-1]], language)[1]:
        first_words.pop()
    while following_words and are_fillers(["so", following_words[0]], language)[1]:
        following_words.pop(0)
    if not first_words:
        return True
    if ends_sentence(first_words[-1]):
        return False
    if not following_words:
        return True
    start = " ".join(following_words).lstrip("\"'“„«([¿¡ ")
    if not start:
        return False
    if start[0] in "-‐'’" and start[1:2].isalpha():
        return True
    if not start[0].isalnum():
        return False
    if not start[0].isupper():
        return True
    code = language_code(language)
    word = start.split()[0].replace("’", "'")
    is_english_i = code == "en" and word.strip(".,;:!?…").casefold() in _ENGLISH_I
    last = first_words[-1].strip(".,;:!?…\"'").casefold()
    return is_english_i or last in _OPEN_ENDED.get(code, ())
