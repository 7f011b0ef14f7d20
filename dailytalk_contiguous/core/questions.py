"""Whether somebody asks: by the mark that ends a text or, where the recogniser writes none, by its first words.

The lexical rule is for English and small on purpose. It prefers to miss a question than to call a statement one,
because a missed question still gets a tag of its own from the grid.
"""

from collections.abc import Sequence

#: Marks that end a question; U+037E is the Greek one. Greek writes it as a semicolon, see `ends_as_question`.
QUESTION_MARKS = frozenset("?？؟\u037e")

#: What may stand after the mark that ends a sentence. German and Danish close with “ « ‹, which open elsewhere.
CLOSING = frozenset("\"'”’»›“‘«‹)]}」』】》〉）］｝")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DISCOURSE = _words("so well and but or okay ok alright oh ah um uh er hm hmm mm yeah yes no now then hey hi hello")
SUBJECTS = _words(
    "i you he she it we they this that these those there anyone anybody someone somebody everyone everybody "
    "anything something everything people"
)
#: Not "a" and "an", which after an auxiliary mostly mean a dropped subject ("was a great day").
DETERMINERS = _words("the my your his her our their its any")
#: What can follow "do" and "have" in a question but hardly in "do it", "have a seat", "had the soup".
SUBJECTS_OF_DO = _words("i you we they anyone anybody any people")

DO_AND_HAVE = _words("do have had don't haven't hadn't")
AUXILIARIES = DO_AND_HAVE | _words(
    "am is are was were does did has can could will would shall should may might must isn't aren't wasn't weren't "
    "doesn't didn't hasn't can't couldn't won't wouldn't shouldn't mustn't ain't"
)

WHO_AND_WHAT = _words("what who whom whose which")
QUESTION_WORDS = WHO_AND_WHAT | _words("when where why how")
#: What may follow where no auxiliary does: "why not", "how come", "how many".
AFTER_WHEN_OR_HOW = {
    "when": _words("exactly"),
    "where": _words("to else exactly"),
    "why": _words("not bother"),
    "how": _words("about come many much far long often old soon big else so"),
}
CONTRACTIONS = ("'s", "'re", "'d", "'ll", "'ve")


def ends_as_question(text: str, language: str | None = None) -> bool:
    """Whether the last mark of a text is a question mark, closing quotes and brackets left aside.

    `language` is an ISO 639-1 code; in Greek (`el`) a final semicolon is the question mark.
    """
    end = text.rstrip()
    while end and end[-1] in CLOSING:
        end = end[:-1].rstrip()
    return bool(end) and (end[-1] in QUESTION_MARKS or (language == "el" and end[-1] == ";"))


def sounds_like_question(words: Sequence[str]) -> bool:
    """Whether English words without punctuation begin like a question.

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
    rest = [word.lower().replace("’", "'").strip('.,;:!?…"()') for word in words]
    while rest and (rest[0] in DISCOURSE or not rest[0]):
        rest = rest[1:]
    if not rest:
        return False
    first, after = rest[0], rest[1:]
    if first in AUXILIARIES:
        subjects = SUBJECTS_OF_DO if first in DO_AND_HAVE else SUBJECTS | DETERMINERS
        return bool(after) and after[0] in subjects
    if any(first == word + ending for word in QUESTION_WORDS for ending in CONTRACTIONS):
        return True
    return first in QUESTION_WORDS and _asks_with(first, after)


def _asks_with(word: str, after: Sequence[str]) -> bool:
    if not after:
        return True
    following = after[0]
    if word in WHO_AND_WHAT:
        is_clause = following in SUBJECTS or (word == "which" and following in AUXILIARIES)
        return not is_clause and not (word == "what" and following in {"a", "an"})
    if following in AUXILIARIES or following in AFTER_WHEN_OR_HOW[word]:
        return True
    return word == "how" and len(after) > 1 and after[1] in AUXILIARIES
