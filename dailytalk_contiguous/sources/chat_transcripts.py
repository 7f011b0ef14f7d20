"""CHAT, the transcripts of TalkBank (CallHome, CallFriend, CABank): what is said, with the times of its bullets.

The reader follows the CHAT manual (talkbank.org/manuals/CHAT.html). All spoken words stay, also those that the
speaker takes back or repeats; codes, glosses and unspoken parts of words go. A tier `%wor` has the times of words.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from dailytalk_contiguous.sources.corpus_lines import CorpusRecord
from dailytalk_contiguous.sources.private_names import shown_line
from dailytalk_contiguous.sources.transcript_text import broken, read_text

#: Milliseconds from and to, in CLAN's bullets, which are shown as dots; older files name the sound, too.
_BULLET = re.compile(r'[\x15\u2022](?:%snd:"[^"]{0,400}"_)?(\d{1,12})_(\d{1,12})[\x15\u2022]')

#: Times a word may be said at most, by its code `[x 3]`.
MOST_REPEATS = 20

#: A code behind what it is about: `[//]`, `[: going to]`, `[=! laughing]`, `[<]`, `[+ gram]`, `[x 3]`.
_CODE = r"\[(?:[/:=%*?!<>+\-\"^#$@&][^\[\]]{0,400}|x \d{1,3}|e)\]"

_SCOPE = re.compile(rf"<([^<>]*)>(?=\s*{_CODE})")
_REPEATED = re.compile(r"(?:<([^<>]{0,2000})>|(?<!\S)([^\s<\[]{1,200}+))\s*\[x (\d{1,3})\]")

#: Signs that go with their text, in the order in which they are removed. No pattern of this file looks at a
#: character twice for each one that it starts from: a file may hold a million of these.
_REMOVED = (
    re.compile(_CODE),
    re.compile(r"(?<!\S)&\*\S+"),  # what the other says in between
    re.compile(r"(?<!\S)&[{}]\S+"),  # where a long event begins and ends
    re.compile(r"(?<!\S)\+(?:[<^,+≈≋]|\"(?!/|\.))"),  # how an utterance is linked to the one before
    re.compile(r"(?<!\S)0(?:[^\W\d]\S*)?(?=\s|$)"),  # a word that is left out
    re.compile(r"(?<!\S)\((?:\.{1,3}|[\d:]{1,8}\.?\d{0,4})\)"),  # pauses
    re.compile(r"\([^\W\d_]+'?\)(?=[^\W\d_])|(?<=[^\W\d_])\('?[^\W\d_]+\)"),  # what is not said of a word
    re.compile(r"(?<=\w)@[a-z][\w:$&+-]*"),  # kinds of words
    re.compile(r"[↑↓⇗↗→↘⇘∞≈≋≡∙⌈⌉⌊⌋∆∇⁎⁇°◉▁▔☺♋∬Ϋ∮∾↫⁑⤇⤆ˈˌ꞉↻⤔]"),  # conversation analysis
    re.compile(r"(?<=[^\W\d_]):+(?=[^\W\d_]|[\s.,?!]|$)"),  # lengthened sounds
)

#: Ends of utterances, which are interrupted or trail off, and what they end in here.
_TERMINATORS = (
    (re.compile(r"\+/{1,2}\?|\+!\?|\+\.\.\?"), "?"),
    (re.compile(r"\+\.\.\."), "..."),
    (re.compile(r"\+/{1,2}\.|\+\"/?\.|\+\."), ""),
)


def chat_text(text: str) -> str:
    """Return the spoken words of the text of a main tier, with marks of sounds.

    >>> chat_text('<I want> [//] I wanna [: want to] go (be)cause so:: &+b &-um &=laughs xxx it@l +...')
    'I want I wanna go cause so b- &-um &=laughs xxx it...'
    """

    def said_again(match: re.Match[str]) -> str:
        repeated = match[1] if match[1] is not None else match[2]
        times = min(int(match[3]), MOST_REPEATS)
        return " ".join([repeated] * max(1, times))

    text = _BULLET.sub(" ", text)
    text = _REPEATED.sub(said_again, text)
    for _ in range(4):  # scopes within scopes
        text = _SCOPE.sub(r"\1", text)
    for pattern, ending in _TERMINATORS:
        text = pattern.sub(ending, text)
    for pattern in _REMOVED:
        text = pattern.sub("", text)
    text = re.sub(r"(?<!\S)&[+~](\w\S*)", r"\1-", text)
    text = re.sub(r"(?<!\S)www(?!\S)", "xxx", text)
    text = re.sub(r"(?<=[^\W\d_])\+(?=[^\W\d_])", "", text)
    text = re.sub(r"(?<=\w)_(?=\w)", " ", text)
    plain = re.sub(r" ?[„‡]", ",", " ".join(text.split()))
    plain = re.sub(r" (?=[.,;!?]+(?: |$))", "", plain)
    return re.sub(r"((?: &=[^\s.,;!?]+){1,8})([.,!?]+)$", r"\2\1", plain)  # a mark is behind the end


#: Characters of a main tier, with its codes: removing them from a longer one takes minutes.
MOST_TIER = 200_000


def chat_records(path: Path) -> Iterator[CorpusRecord]:
    """Yield the utterances of a CHAT file; the code of a speaker says the side, and `@Participants` the name.

    Raises BadInput, also for an utterance without times.
    """
    names: dict[str, str] = {}
    record: dict[str, object] | None = None
    position = ""
    n_tiers = 0
    has_end = False
    for number, line in _tiers(read_text(path)):
        head, colon, content = line.partition(":")
        if head == "@Participants":
            names = _names_of(content)
        elif head == "@End":
            has_end = True
        elif head == "%wor" and record is not None:
            _add_words(record, content)
        elif line.startswith("*"):
            n_tiers += 1
            if record is not None:
                yield position, record
            if not colon:
                raise broken(
                    path, f"line {number} has no speaker: {shown_line(line)}", "write *CODE: before the words"
                )
            code = head[1:].strip()
            if len(content) > MOST_TIER:
                reason = f"line {number} has more than {MOST_TIER:,} characters"
                raise broken(path, reason, "write an utterance a line")
            record = _utterance(path, number, content)
            if record is not None:
                record |= {"channel": code, "speaker": names.get(code)}
            position = f"line {number}"
        elif head[:1] not in ("@", "%"):
            raise broken(path, f"line {number} is no line of CHAT: {shown_line(line)}", "save it again from CLAN")
    if record is not None:
        yield position, record
    if not has_end:
        raise broken(path, "breaks off: it does not end in @End", "save the file again")
    if not n_tiers:
        raise broken(path, "has no line of a speaker (*CODE:)", "save it again from CLAN")


def _tiers(text: str) -> Iterator[tuple[int, str]]:
    """Yield each tier and header with the number of its first line; a line that begins with a tab goes on."""
    parts: list[str] = []
    first = 1
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith(("\t", " ")):
            parts.append(line.strip())
            continue
        if any(parts):
            yield first, " ".join(parts)
        parts = [line.rstrip()]
        first = number
    if any(parts):
        yield first, " ".join(parts)


def _names_of(participants: str) -> dict[str, str]:
    """Return the names of those who have one: `PAR Anna_Lee Participant` is a code, a name and a role."""
    names = {}
    for entry in participants.split(","):
        code, *words = entry.split()[:8] or [""]
        if len(words) > 1:
            names[code] = " ".join(words[:-1]).replace("_", " ")
    return names


def _utterance(path: Path, number: int, content: str) -> dict[str, object] | None:
    """Return the record of a main tier, without its speaker; None if nothing is said in it."""
    text = chat_text(content)
    if not any(map(str.isalnum, text)):
        return None
    spans = _BULLET.findall(content)
    if not spans:
        reason = f"line {number} has no times: {shown_line(text)}"
        raise broken(path, reason, "link each line to the sound in CLAN, or take the file away")
    return {"start": int(spans[0][0]) / 1000, "end": int(spans[-1][1]) / 1000, "text": text}


_WORD_AND_TIMES = re.compile(r"(?<!\S)(\S{1,200}+)\s+[\x15\u2022](\d{1,12})_(\d{1,12})[\x15\u2022]")


def _add_words(record: dict[str, object], content: str) -> None:
    """Add the words of a tier `%wor`."""
    words: list[dict[str, object]] = []
    for word, start, end in _WORD_AND_TIMES.findall(content):
        spoken = chat_text(word)
        if spoken:
            words.append({"word": spoken, "start": int(start) / 1000, "end": int(end) / 1000})
    record["words"] = words or None
