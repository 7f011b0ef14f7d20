"""The rules of a spoken conversation: turns, interruptions, sentences of a reply, and memory.

Time is an argument everywhere: nothing here reads a clock or starts a thread, so that a talk can be simulated
faster than real time.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dailytalk_contiguous.core.emotions import LEAST_CONFIDENCE
from dailytalk_contiguous.core.sentences import CLOSING, DISCOURSE, sounds_like_question, word_set
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.tags import tags_among
from dailytalk_contiguous.core.utterance import CUT_MARK


@dataclass(frozen=True)
class TurnRules:
    """The rules for the start and end of a turn, and for interruptions. All times in seconds.

    People leave about 0.2 s between turns (Stivers et al. 2009, PNAS 106:10587) and pause longer inside them, so
    silence alone can't tell. The words can: after "and" or a comma more comes.
    """

    speech_from: float = setting(
        0.5, "Probability from which a sound is speech.", panel="rare", least=0.05, most=0.95
    )
    pause: float = setting(0.5, "Silence that ends a finished sentence.", panel="run", unit="s", least=0.2)
    long_pause: float = setting(
        1.2, "Silence that ends a sentence that seems unfinished.", panel="run", unit="s", least=0.2
    )
    longest_turn: float = setting(
        120.0, "A longer turn is answered as it is by then.", panel="rare", unit="s", least=5.0
    )
    interrupts_after: float = setting(
        1.2, "Speech over the voice that stops it, whatever it says.", panel="rare", unit="s", least=0.3
    )


#: How far under `speech_from` a probability falls before speech is over: Silero's own hysteresis.
_HYSTERESIS = 0.15

#: Seconds of speech from which a turn has begun, and shorter than which it was none (a click, a cough).
BEGINS_AFTER, SHORTEST_TURN = 0.09, 0.2

#: Seconds of silence after which a turn may have ended: its words are recognised from here on. Whisper tiny.en has
#: them before `TurnRules.pause` is over.
NOTICED_PAUSE = 0.1


class TurnChange(NamedTuple):
    """A change of a turn: it `began`, `paused`, `resumed`, `ended`, is `full`, or `dropped` as no speech.

    `start` and `end` are seconds of the speech so far.
    """

    kind: str
    start: float
    end: float


class SpeechGate:
    def __init__(self, speech_from: float) -> None:
        self._from = speech_from
        self._open = False

    def push(self, probability: float) -> bool:
        self._open = probability >= (self._from - _HYSTERESIS if self._open else self._from)
        return self._open


class Endpointer:
    """Turns of one speaker, by probabilities of speech in frames of equal length.

    Args:
        rules: of turn-taking.
        language: ISO 639-1; unfinished English sentences are known by words, others only by marks.
    """

    def __init__(self, rules: TurnRules, language: str = "en") -> None:
        self._rules, self._language = rules, language
        self._gate = SpeechGate(rules.speech_from)
        self._last = 0.0
        self.reset()

    def reset(self) -> None:
        self._start: float | None = None
        self._began = self._paused = False
        self._speech = self._end = self._run = 0.0
        self._text: str | None = None

    def heard(self, text: str) -> None:
        self._text = text

    def push(self, probability: float, time: float) -> TurnChange | None:
        """Return the change by a frame. `time` is that of its end, in seconds, never falling."""
        length, self._last = time - self._last, time
        if self._gate.push(probability):
            return self._spoke(time - length, time)
        self._run = 0.0
        if not self._began:
            self._start, self._speech = None, 0.0
            return None
        assert self._start is not None
        silence = time - self._end
        if not self._paused and silence >= NOTICED_PAUSE:
            self._paused = True
            return TurnChange("paused", self._start, self._end)
        # Without words it is unknown whether the sentence is finished.
        waits = self._text is None or is_unfinished(self._text, self._language)
        if silence >= (self._rules.long_pause if waits else self._rules.pause):
            return self._over("ended" if self._speech >= SHORTEST_TURN else "dropped")
        return None

    def _spoke(self, start: float, time: float) -> TurnChange | None:
        self._start = start if self._start is None else self._start
        self._speech += time - start
        self._run += time - start
        if not self._began:
            if self._speech < BEGINS_AFTER:
                return None
            self._began, self._end = True, time
            return TurnChange("began", self._start, time)
        if self._paused and self._run < BEGINS_AFTER / 2:
            return None  # one frame may be a click
        self._end = time
        if self._paused:
            self._paused, self._text = False, None
            return TurnChange("resumed", self._start, time)
        if time - self._start >= self._rules.longest_turn:
            return self._over("full")
        return None

    def _over(self, kind: str) -> TurnChange:
        change = TurnChange(kind, self._start or 0.0, self._end)
        self.reset()
        return change


#: Words after which an English sentence goes on.
_GOES_ON = word_set(
    "and but or nor so because 'cause cause if when while although though that which who whose whether unless "
    "until since than as the a an my your his our their its i i'm i've i'd i'll he's she's we're they're it's "
    "there's will would could should can may might must don't didn't doesn't um uh er erm very quite just also "
    "maybe perhaps every between without"
)

#: Those that may also end a question: "what is it about", "where have you been".
_GOES_ON_UNLESS_ASKED = word_set(
    "to of in on at for with from by about into like over under is are was were am be been have has had"
)


def is_unfinished(text: str, language: str = "en") -> bool:
    """Whether a text sounds as if more came: it ends in a comma, a dash or an ellipsis, or in "and", "the", "to".

    >>> is_unfinished("I was late because"), is_unfinished("what is it about")
    (True, False)
    """
    end = text.rstrip().rstrip("".join(CLOSING)).rstrip()
    if not end:
        return False
    if end.endswith(("...", "…", ",", ";", ":", "-", "–", "—", "、", "，")):
        return True
    if not end[-1].isalnum() or language != "en":
        return False
    words = [word.strip('.,;:!?…"“”()').replace("’", "'").lower() for word in end.split()]
    if words[-1] in _GOES_ON:
        return len(words) > 1
    return words[-1] in _GOES_ON_UNLESS_ASKED and len(words) > 1 and not sounds_like_question(words)


#: Sounds and words of a person who listens (Yngve 1970: the back channel).
BACKCHANNELS = word_set(
    "mm mhm mmhm mm-hm mm-hmm mhmm hmm hm uh-huh uhhuh huh um uh ah aha oh wow yeah yep yes yup ok okay right "
    "sure really exactly true nice good great cool i see"
)

#: Words that stop a voice by themselves.
_STOPPING = word_set(
    "stop wait no nope hold hang sorry excuse pardon what why enough quiet listen please actually hey silence shut"
)

#: Seconds of speech over the voice from which it pauses; with the block that is being played, under 0.2 s.
PAUSES_AFTER = 0.06

#: Seconds of silence that end a pause of the voice, and seconds more to wait for the words.
FORGIVES_AFTER, WAITS_FOR_WORDS = 0.3, 0.9

#: Seconds of speech in which two words stop a voice, and number of words that do in less.
_LONG_FOR_TWO, _MANY_WORDS = 1.0, 3

#: The mean probability of words in less speech than that, under which they are a hum. Words that Whisper makes of
#: "mm-hm" in three synthetic voices have 0.55 at most; those of sentences by Piper have 0.66 or more.
_LEAST_SURE = 0.6


def is_backchannel(text: str) -> bool:
    """Whether a text is at most three words that only show that a person listens.

    >>> is_backchannel("Mm-hm, okay."), is_backchannel("no, wait")
    (True, False)
    """
    words = _plain_words(text)
    listens = BACKCHANNELS | (DISCOURSE - {"no", "now", "then", "so", "well", "and", "but", "or"})
    return 0 < len(words) <= 3 and all(word in listens for word in words)


def means_to_speak(text: str, seconds: float, probability: float = 1.0) -> bool:
    """Whether words over a voice, in so many seconds of speech, ask it to stop.

    A recogniser makes words of a hum as well ("but", "and make them"), so few or doubtful words of short speech
    stop the voice only if they are meant to. `probability` is the mean of the words.

    >>> means_to_speak("stop", 0.4), means_to_speak("but", 0.4), means_to_speak("I never said that", 0.8)
    (True, False, True)
    >>> means_to_speak("and make them", 0.8, probability=0.4)
    False
    """
    words = _plain_words(text)
    if not words or is_backchannel(text):
        return False
    if not _STOPPING.isdisjoint(words):
        return True
    if seconds < _LONG_FOR_TWO:
        return len(words) >= _MANY_WORDS and probability >= _LEAST_SURE
    return len(words) >= 2


def _plain_words(text: str) -> list[str]:
    return [word.strip('.,;:!?…"“”()').lower() for word in text.split()]


class BargeIn:
    """The effect of speech over a voice: `pause`, `go on` (from its current word) or `stop`.

    Within 0.2 s it is unknown whether a sound is "mm-hm" or the beginning of a sentence. So the voice pauses at
    once, and goes on from its current word if it was not interrupted.
    """

    def __init__(self, rules: TurnRules) -> None:
        self._rules = rules
        self._gate = SpeechGate(rules.speech_from)
        self._last = 0.0
        self.reset()

    def reset(self) -> None:
        self._paused = False
        self._speech = self._silence = 0.0
        self._text: str | None = None
        self._probability = 1.0

    def heard(self, text: str, probability: float = 1.0) -> None:
        self._text, self._probability = text, probability

    def push(self, probability: float, time: float) -> str:
        """Return the effect of a frame, or "". `time`: of its end, in seconds."""
        length, self._last = time - self._last, time
        if self._gate.push(probability):
            self._speech += length
            self._silence = 0.0
            if self._speech >= self._rules.interrupts_after:
                self.reset()
                return "stop"
            if not self._paused and self._speech >= PAUSES_AFTER:
                self._paused = True
                return "pause"
        elif self._speech:
            self._silence += length
            if self._silence >= FORGIVES_AFTER:
                waits = self._text is None and self._silence < FORGIVES_AFTER + WAITS_FOR_WORDS
                if self._paused and waits and self._speech >= SHORTEST_TURN:
                    return ""
                goes_on = "go on" if self._paused else ""
                stops = self._paused and means_to_speak(self._text or "", self._speech, self._probability)
                self.reset()
                return "stop" if stops else goes_on
        return ""


#: Tags that a model may begin a sentence with. Every synthesiser here knows them.
REPLY_TAGS = (
    "calm", "confident", "curious", "excited", "happy", "sad", "soft tone", "surprised", "whispering", "worried",
)  # fmt: skip

#: Characters of a sentence at most: some 20 s of speech. A longer one is cut at its last comma, or between words.
LONGEST_SENTENCE = 300

#: Characters of code that are kept together.
_LONGEST_CODE = 4000

_ABBREVIATIONS = word_set(
    "mr mrs ms dr prof st vs jr sr fig approx dept est inc ltd co gen col capt sgt rev hon mt e.g i.e a.m "
    "p.m u.s u.k cf al bzw z.b d.h usw"
)
_INITIALS = re.compile(r"(?:[a-z]\.)*[a-hj-z]")
_WIDE_ENDS = frozenset("。！？｡")
_ENDS = frozenset(".!?؟।۔") | _WIDE_ENDS
_CLOSERS = CLOSING | frozenset("*_`")


class ReplySentence(NamedTuple):
    """A sentence of a reply: its tag (empty for none), its spoken text (may be empty), and its written text."""

    tag: str
    text: str
    written: str


class SentenceCutter:
    """Sentences of a reply, each as soon as its end is known.

    A reply is cut character by character, so that it gives the same sentences in any pieces. Text that can't be
    spoken (markup, code, addresses, emoji, unknown tags) is left out of `text` and kept in `written`.

    >>> cutter = SentenceCutter()
    >>> [sentence.text for sentence in cutter.push("(happy) Dr. Lee has 3.5 cats. And")]
    ['Dr. Lee has 3.5 cats.']
    >>> cutter.flush()
    [ReplySentence(tag='', text='And', written='And')]
    """

    def __init__(self) -> None:
        self._waiting = self._tag = ""
        self._in_code = False

    def push(self, piece: str) -> list[ReplySentence]:
        sentences: list[ReplySentence] = []
        for character in piece:
            before = self._waiting
            if not self._in_code and before and _ends_before(before, character):
                sentences += self._take(before)
                before = ""
            self._waiting = waiting = before + character
            if waiting.endswith("```"):
                self._in_code = not self._in_code
                if self._in_code:
                    if before := waiting[:-3]:
                        sentences += self._take(before)
                    self._waiting = "```"
                else:
                    sentences += self._take(waiting, code=True)
            elif self._in_code:
                if len(waiting) >= _LONGEST_CODE:
                    sentences += self._take(waiting, code=True)
            elif character.isspace() and _is_sentence(waiting, character):
                sentences += self._take(waiting)
            elif len(waiting) >= LONGEST_SENTENCE:
                clause = max(waiting.rfind(mark) for mark in (", ", "; ", ": ", " – ", " — ")) + 2
                word = waiting.rfind(" ") + 1
                least = LONGEST_SENTENCE // 3
                at = clause if clause > least else word if word > least else len(waiting)
                sentences += self._take(waiting[:at])
                self._waiting = waiting[at:]
        return sentences

    def flush(self) -> list[ReplySentence]:
        """The rest at the end of the reply."""
        sentences = self._take(self._waiting, code=self._in_code) if self._waiting else []
        self._in_code, self._tag = False, ""
        return sentences

    def _take(self, written: str, code: bool = False) -> list[ReplySentence]:
        self._waiting = ""
        tag, text = ("", "") if code else spoken_text(written)
        tag = tag or self._tag
        self._tag = "" if text else tag  # a tag alone on a line belongs to the next sentence
        return [ReplySentence(tag if text else "", text, written)]


def _ends_before(before: str, character: str) -> bool:
    """Whether a sentence ended before `character`: ellipses and wide marks depend on it."""
    if before[-1] in _WIDE_ENDS:
        return character not in _CLOSERS and character not in _WIDE_ENDS
    if before[-1] in CLOSING and before.rstrip("".join(_CLOSERS))[-1:] in _WIDE_ENDS and before[-1] not in "\"'":
        return character not in _CLOSERS
    if not before[-1].isspace() or character.isspace() or character.islower():
        return False
    return before.rstrip().endswith(("...", "…"))


def _is_sentence(waiting: str, blank: str) -> bool:
    body = waiting.rstrip()
    if not body:
        return False
    if blank == "\n":
        return True
    bare = body.rstrip("".join(_CLOSERS))
    if not bare or bare[-1] not in _ENDS:
        return False
    if bare.endswith(".."):
        return False
    if bare[-1] != ".":
        return True
    last = bare.split()[-1].lower().lstrip("\"'“‘([{*_").removesuffix(".")
    if last in _ABBREVIATIONS or _INITIALS.fullmatch(last):
        return False
    return not re.fullmatch(r"[\s\-*#>]*\d{1,3}\.", bare)  # the number of a list


_LINK = re.compile(r"!?\[([^\[\]\n]{0,200})\]\((?:[^()\s]{0,500})\)")
_ADDRESS = re.compile(r"(?:https?://|www\.)\S*[^\s.,;:!?)\]}'\"]", re.IGNORECASE)
_IN_CODE = re.compile(r"`{1,2}[^`\n]{0,300}`{1,2}|`")
_ELEMENT = re.compile(r"</?[A-Za-z!][^<>\n]{0,200}>")
_BRACKETED = re.compile(r"\[[^\[\]\n]{0,80}\]|\{[^{}\n]{0,200}\}")
_STAGED = re.compile(r"(?<![\w*])\*([^*\n]{1,80})\*(?![\w*])")
_TAG = re.compile(r"\s*\(\s*([A-Za-z][A-Za-z -]{0,30}?)\s*\)")
_BRACKETS = re.compile(r"\([^()\n]{1,40}\)")
_LINE_START = re.compile(
    r"(?m)^[ \t]{0,8}(?:#{1,6}[ \t]+|>[ \t]?|[-*+•][ \t]+|\d{1,3}[.)][ \t]+|[-=_*]{3,}[ \t]*$)"
)
_MARKS = re.compile(r"[*_~#|\\^=<>]+")

#: Symbols and pictures, their joiners and colours, and private use; signs of currency and degrees stay.
_PICTURES = re.compile(
    "[\u2190-\u2bff\u3030\u303d\u3297\u3299\ufe00-\ufe0f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ue000-\uf8ff\ufeff"
    "\ufffc\ufffd\ud800-\udfff\U0001f000-\U0001faff\U000e0000-\U000e007f\U000f0000-\U0010ffff]"
)
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def spoken_text(written: str) -> tuple[str, str]:
    """The tag of a written sentence (empty if it is not in `REPLY_TAGS`), and its text that can be spoken.

    >>> spoken_text("(happy) **Yes!** See [the page](https://example.org) 🙂")
    ('happy', 'Yes! See the page')
    >>> spoken_text("(giggles) Oh no, *sighs* not again.")
    ('', 'Oh no, not again.')
    """
    tag = ""
    text = _LINE_START.sub(" ", _CONTROLS.sub(" ", written))
    while match := _TAG.match(text):
        name = " ".join(match[1].lower().split())
        if name not in REPLY_TAGS and match[1][0].isupper():
            break  # a remark in brackets is part of the text
        tag = tag or (name if name in REPLY_TAGS else "")
        text = text[match.end() :]
    # In mid-sentence a tag would be a word to a model that is trained on the talk.
    text = _BRACKETS.sub(lambda match: " " if tags_among(match[0].split()) else match[0], text)
    text = _LINK.sub(r"\1", text)
    for pattern in (_ADDRESS, _IN_CODE, _ELEMENT, _BRACKETED):
        text = pattern.sub(" ", text)
    text = _STAGED.sub(_staged, text)
    for pattern in (_PICTURES, _MARKS):
        text = pattern.sub(" ", text)
    text = re.sub(r"\(\s*\)", " ", text)
    text = re.sub(r"\s+([.,;:!?…])", r"\1", " ".join(text.split()))
    return tag, text if any(character.isalnum() for character in text) else ""


def _staged(match: re.Match[str]) -> str:
    """Text between stars: a stage direction ("sighs", "laughs softly") is not said, emphasis is."""
    words = match[1].split()
    directs = bool(words) and words[0].islower() and words[0].endswith("s") and len(words) <= 4
    return " " if directs and not words[0].endswith(("ss", "is", "us")) else match[1]


@dataclass(frozen=True)
class SpokenFeeling:
    """A guess of how a text was said. Shares and measures in [0, 1]; None if unknown."""

    emotion: str
    confidence: float
    valence: float | None = None
    arousal: float | None = None


def user_turn(text: str, feeling: SpokenFeeling | None, unsure_under: float = LEAST_CONFIDENCE) -> str:
    """The user's turn for the model: the text and, if the guess is confident enough, one line more.

    The line is `[sounds sad (confidence 0.71); valence 0.31, arousal 0.22]`: the class and its probability, then
    affect if it is known, all in [0, 1]. It is a guess from sound.

    >>> user_turn("I am fine.", SpokenFeeling("sad", 0.71, 0.31, 0.22))
    'I am fine.\\n[sounds sad (confidence 0.71); valence 0.31, arousal 0.22]'
    >>> user_turn("I am fine.", SpokenFeeling("sad", 0.3))
    'I am fine.'
    """
    if feeling is None or not feeling.emotion or not feeling.confidence >= unsure_under:
        return text
    line = f"sounds {feeling.emotion} (confidence {feeling.confidence:.2f})"
    if feeling.valence is not None and feeling.arousal is not None:
        line += f"; valence {feeling.valence:.2f}, arousal {feeling.arousal:.2f}"
    return f"{text}\n[{line}]"


def heard_part(words: Sequence[tuple[str, float, float]], at: float) -> str:
    """The part of words, each with start and end in seconds, that was audible when the voice stopped at `at`.

    The word in which it stopped is the last; an interrupted text ends in `CUT_MARK`.

    >>> heard_part([("Hello", 0.0, 0.4), ("there", 0.4, 0.8), ("you", 0.8, 1.0)], 0.5)
    'Hello there — [interrupted]'
    """
    heard = [word for word, start, _ in words if start < at]
    return " ".join([*heard, CUT_MARK] if len(heard) < len(words) or at < words[-1][2] else heard)


_FIRST_SENTENCE = re.compile(r"(?s)\s*(.{1,160}?(?:[.!?。！？](?=\s|$)|\n|$)|.{160})")


def extract_summary(summary: str, messages: Sequence[tuple[str, str]]) -> str:
    """A summary without a model: the first sentence of each message, a line each, after the earlier summary."""
    lines = [summary] if summary else []
    for role, content in messages:
        match = _FIRST_SENTENCE.match(content)
        if match and match[1].strip():
            lines.append(f"{'They' if role == 'user' else 'You'}: {match[1].strip()}")
    return "\n".join(lines)


class TalkMemory:
    """The messages of a conversation for a model, within a budget of tokens.

    Messages are user and assistant in turn, under the instructions. The oldest ones that exceed the budget are
    summed up in the instructions, so that an hour goes on.

    Args:
        instructions: for the model; the message of the system.
        count: tokens of a text.
        budget: tokens of all messages. A quarter is for the summary at most, half for the newest message.
    """

    def __init__(self, instructions: str, count: Callable[[str], int], budget: int) -> None:
        self._instructions, self._count = instructions, count
        self._budget = max(64, budget)
        self._said: list[tuple[str, str]] = []
        self.summary = ""

    def clear(self) -> None:
        self._said.clear()
        self.summary = ""

    def add(self, role: str, content: str) -> None:
        """Remember a message of `user` or `assistant`; two in a row are one message."""
        if not content.strip():
            return
        content = self._fitting(content, self._budget // 2)
        if self._said and self._said[-1][0] == role:
            content = self._fitting(f"{self._said.pop()[1]}\n{content}", self._budget // 2)
        self._said.append((role, content))
        self._forget()

    def messages(self) -> list[tuple[str, str]]:
        """Role and content of every message, the system's first, the user's last."""
        system = self._instructions
        if self.summary:
            system += f"\n\nEarlier in this conversation:\n{self.summary}"
        said = self._said[1:] if self._said and self._said[0][0] == "assistant" else self._said
        return [("system", system), *said] if system.strip() else [*said]

    def _forget(self) -> None:
        while len(self._said) > 1 and sum(self._count(content) for _, content in self.messages()) > self._budget:
            # Down to half, so that not every turn sums up; the newest message always stays.
            room, keep = self._budget // 2, len(self._said) - 1
            used = self._count(self._said[-1][1])
            while keep > 0 and used + self._count(self._said[keep - 1][1]) <= room:
                keep -= 1
                used += self._count(self._said[keep][1])
            forgotten, self._said = self._said[: max(1, keep)], self._said[max(1, keep) :]
            self.summary = self._fitting(extract_summary(self.summary, forgotten), self._budget // 4)

    def _fitting(self, text: str, tokens: int) -> str:
        """The end of a text that has at most so many tokens, from a line, a sentence or a word on."""
        if self._count(text) <= tokens:
            return text
        low, high = 0, len(text)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self._count(f"… {text[middle:]}") <= tokens else (middle + 1, high)
        rest = text[low:]
        cut = re.search(r"\n|(?<=[.!?])\s", rest[: len(rest) // 4]) or re.search(r"\s", rest)
        return f"… {rest[cut.end() if cut else 0 :]}"
