"""The rules of a spoken conversation: turns, interruptions, sentences of a reply, and memory.

Time is an argument everywhere: nothing here reads a clock or starts a thread, so that a talk can be simulated
faster than real time.
"""

import re
from collections.abc import Mapping
from itertools import dropwhile
from typing import NamedTuple

from dailytalk_contiguous.core.style.emotions import UNSURE
from dailytalk_contiguous.core.style.tags import tags_among
from dailytalk_contiguous.core.words.sentences import CLOSING, DISCOURSE, sounds_like_question, word_set
from dailytalk_contiguous.models.contracts import ChatMessage

#: The probability from which a sound is speech: Silero's.
_SPEECH = 0.5

#: How far under `_SPEECH` the probability falls before speech is over: Silero's.
_HYSTERESIS = 0.15

#: Seconds of speech from which a turn has begun. A voice pauses when a turn begins: with the block that is being
#: played, within 0.2 s.
BEGINS_AFTER = 0.09

#: Seconds of speech under which a sound was no turn (a click, a cough).
SHORTEST_TURN = 0.2

#: Seconds of silence after which a turn may have ended: its words are recognised from here on. Whisper tiny.en has
#: them before `PAUSE` is over.
NOTICED_PAUSE = 0.1

#: Seconds of silence that end a turn whose sentence is finished. People leave about 0.2 s between turns (Stivers
#: et al. 2009, PNAS 106:10587) and pause longer inside them, so silence alone can't tell whether a turn is over.
#: The words can: after "and" or a comma more comes.
PAUSE = 0.5

#: Seconds of silence that end a turn whose sentence seems unfinished.
LONG_PAUSE = 1.2

#: Seconds after which a turn is answered as it is by then: steady noise never pauses.
LONGEST_TURN = 120.0


class Endpointer:
    """Finds the turns of one speaker, by probabilities of speech in frames of equal length.

    Args:
        language: of the speaker (ISO 639-1).

    Attributes:
        start: where the speech of the latest turn begins, in seconds.
        end: where the speech of the latest turn ends, in seconds.
        speech: seconds of speech in the turn so far.
        silence: seconds since the speech of the turn ended.
    """

    def __init__(self, language: str) -> None:
        self._language = language
        self._is_speech = False
        self._time = 0.0
        self.start = 0.0
        self.end = 0.0
        self.reset()

    def reset(self) -> None:
        """Wait for the next turn."""
        self._began = False
        self._paused = False
        self._run = 0.0
        self.speech = 0.0
        self.silence = 0.0

    def push(self, probability: float, time: float, text: str | None = None) -> str:
        """Take a frame and return the change of the turn by it, or "".

        A turn `began`, `paused`, `resumed`, `ended`, is `full`, or `dropped` as no speech.

        Args:
            probability: of speech in the frame.
            time: of its end, in seconds, never falling.
            text: recognised since the turn paused; None if it is not known yet.
        """
        length = time - self._time
        self._time = time
        threshold = _SPEECH - (_HYSTERESIS if self._is_speech else 0.0)
        self._is_speech = probability >= threshold
        if self._is_speech:
            return self._push_speech(time, length)
        return self._push_silence(time, text)

    def _push_silence(self, time: float, text: str | None) -> str:
        """The change of the turn by a frame without speech that ends at a second."""
        self._run = 0.0
        if not self._began:
            self.speech = 0.0
            return ""
        self.silence = time - self.end
        if not self._paused and self.silence >= NOTICED_PAUSE:
            self._paused = True
            return "paused"
        # Without words it is unknown whether the sentence is finished.
        waits = text is None or is_unfinished(text, self._language)
        if self.silence < (LONG_PAUSE if waits else PAUSE):
            return ""
        change = "ended" if self.speech >= SHORTEST_TURN else "dropped"
        self.reset()
        return change

    def _push_speech(self, time: float, length: float) -> str:
        """The change of the turn by a frame of speech, so many seconds long, that ends at a second."""
        if not self.speech:
            self.start = time - length
        self.speech += length
        self._run += length
        if not self._began:
            self._began = self.speech >= BEGINS_AFTER
            self.end = time
            return "began" if self._began else ""
        if self._paused and self._run < BEGINS_AFTER / 2:
            return ""  # one frame may be a click
        self.end = time
        self.silence = 0.0
        if time - self.start >= LONGEST_TURN:
            self.reset()
            return "full"
        if self._paused:
            self._paused = False
            return "resumed"
        return ""


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
    words = _plain_words(end.replace("’", "'"))
    last = words[-1]
    if len(words) == 1:
        return False
    if last in _GOES_ON:
        return True
    return last in _GOES_ON_UNLESS_ASKED and not sounds_like_question(words)


#: Sounds and words of a person who listens (Yngve 1970: the back channel).
BACKCHANNELS = word_set(
    "mm mhm mmhm mm-hm mm-hmm mhmm hmm hm uh-huh uhhuh huh um uh ah aha oh wow yeah yep yes yup ok okay right "
    "sure really exactly true nice good great cool i see"
) | (DISCOURSE - {"no", "now", "then", "so", "well", "and", "but", "or"})

#: Words that stop a voice by themselves.
_STOPPING = word_set(
    "stop wait no nope hold hang sorry excuse pardon what why enough quiet listen please actually hey silence shut"
)

#: Seconds of silence after speech over the voice, from which its words decide whether the voice goes on.
FORGIVES_AFTER = 0.3

#: Seconds of speech in which two words stop a voice.
_LONG_FOR_TWO = 1.0

#: The number of words that stop a voice in less speech than that.
_MANY_WORDS = 3

#: The mean probability of words in less speech than that, under which they are a hum. Words that Whisper makes of
#: "mm-hm" in three synthetic voices have 0.55 at most; those of sentences by Piper have 0.66 or more.
_LEAST_SURE = 0.6


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
    if len(words) <= 3 and BACKCHANNELS.issuperset(words):
        return False
    if not _STOPPING.isdisjoint(words):
        return True
    if seconds < _LONG_FOR_TWO:
        return len(words) >= _MANY_WORDS and probability >= _LEAST_SURE
    return len(words) >= 2


def _plain_words(text: str) -> list[str]:
    return [word.strip('.,;:!?…"“”()').lower() for word in text.split()]


#: Tags that a model may begin a sentence with. Every synthesiser here knows them.
REPLY_TAGS = (
    "calm",
    "confident",
    "curious",
    "excited",
    "happy",
    "sad",
    "soft tone",
    "surprised",
    "whispering",
    "worried",
)

#: Characters of a sentence at most: some 20 s of speech. A longer one is cut between words.
LONGEST_SENTENCE = 300

_ABBREVIATION = re.compile(
    r"(?i)(?:mr|mrs|ms|dr|prof|st|vs|jr|sr|fig|approx|dept|est|inc|ltd|co|gen|col|capt|sgt|rev|hon|mt|e\.g|i\.e|a\.m"
    r"|p\.m|u\.s|u\.k|cf|al|bzw|z\.b|d\.h|usw|(?:[a-z]\.)*[a-hj-z])"
)
_NUMBER_OF_LIST = re.compile(r"[\s\-*#>]*\d{1,3}")
_CLOSERS = re.escape("".join(sorted(CLOSING | {*"*_`"})))

#: An end of a sentence, if it is no abbreviation: a new line, a mark with a blank after it, or a wide mark with
#: another character after it.
_END = re.compile(rf"\n|[。！？｡]+[{_CLOSERS}]*(?=[^{_CLOSERS}。！？｡])|(?P<mark>[.!?…؟।۔]+)[{_CLOSERS}]*\s")

#: What is not spoken, by its beginning and its end: code, and the thoughts of a model before its answer.
_SILENT = {"```": "```", "<think>": "</think>"}


class ReplySentence(NamedTuple):
    """A sentence of a reply: its tag, its spoken text and its written text; each may be empty."""

    tag: str
    text: str
    written: str


class SentenceCutter:
    """Sentences of a reply, each as soon as its end is known.

    A reply gives the same sentences in any pieces. Text that can't be spoken (markup, code, addresses, emoji,
    unknown tags) is left out of `text` and kept in `written`; thoughts are in neither.

    >>> cutter = SentenceCutter()
    >>> [sentence.text for sentence in cutter.push("(happy) Dr. Lee has 3.5 cats. And")]
    ['Dr. Lee has 3.5 cats.']
    >>> cutter.flush()
    [ReplySentence(tag='', text='And', written='And')]
    """

    def __init__(self) -> None:
        self._waiting = ""
        self._tag = ""

    def push(self, piece: str) -> list[ReplySentence]:
        """Take a piece of the reply and return the sentences that end with it."""
        self._waiting += piece
        sentences: list[ReplySentence] = []
        end = self._end()
        while end:
            sentences.append(self._take(end))
            end = self._end()
        return sentences

    def flush(self) -> list[ReplySentence]:
        """The remaining text at the end of the reply."""
        return [self._take(len(self._waiting))] if self._waiting else []

    def _end(self) -> int:
        """The end of the first part of the text that waits; 0 if it is not known yet."""
        start = len(self._waiting) - len(self._waiting.lstrip())
        for opening, closing in _SILENT.items():
            if self._waiting.startswith(opening, start):
                closed = self._waiting.find(closing, start + len(opening))
                return closed + len(closing) if closed > 0 else 0
        text, fence, _ = self._waiting[:LONGEST_SENTENCE].partition("```")
        for match in _END.finditer(text):
            before = text[: match.start()]
            is_written = (before + match[0]).strip()
            if is_written and not _continues(before, match["mark"]):
                return match.end()
        if fence:
            return len(text)
        if len(text) < LONGEST_SENTENCE:
            return 0
        return text.rfind(" ") + 1 or len(text)

    def _take(self, end: int) -> ReplySentence:
        """Remove the first part of the text that waits, and make a sentence of it."""
        written = self._waiting[:end]
        self._waiting = self._waiting[end:]
        stripped = written.lstrip()
        tag = ""
        text = ""
        if not stripped.startswith(tuple(_SILENT)):
            tag, text = spoken_text(written)
        tag = tag or self._tag
        self._tag = "" if text else tag  # a tag alone on a line belongs to the next sentence
        if stripped.startswith("<think>"):
            written = ""
        return ReplySentence(tag if text else "", text, written)


def _continues(before: str, mark: str | None) -> bool:
    """Whether a mark after a text ends no sentence, as it belongs to an abbreviation or the number of a list."""
    if mark != ".":
        return False
    if _NUMBER_OF_LIST.fullmatch(before):
        return True
    words = before.split()
    last = words[-1].lstrip("\"'“‘([{*_") if words else ""
    return _ABBREVIATION.fullmatch(last) is not None


_TAG = re.compile(r"\s*\(\s*([A-Za-z][A-Za-z -]{0,30}?)\s*\)")
_BRACKETS = re.compile(r"\([^()\n]{1,40}\)")
_CONTROLS_AND_LINE_STARTS = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    r"|(?m:^[ \t]{0,8}(?:#{1,6}[ \t]+|>[ \t]?|[-*+•][ \t]+|\d{1,3}[.)][ \t]+|[-=_*]{3,}[ \t]*$))"
)
_LINK = re.compile(r"!?\[([^\[\]\n]{0,200})\]\((?:[^()\s]{0,500})\)")

#: Addresses, code, elements and bracketed remarks, in this order.
_NOT_SPOKEN = (
    re.compile(r"(?i)(?:https?://|www\.)\S*[^\s.,;:!?)\]}'\"]"),
    re.compile(r"`{1,2}[^`\n]{0,300}`{1,2}|`"),
    re.compile(r"</?[A-Za-z!][^<>\n]{0,200}>"),
    re.compile(r"\[[^\[\]\n]{0,80}\]|\{[^{}\n]{0,200}\}"),
)

#: Symbols and pictures with their joiners and colours (signs of currency and degrees stay), and marks.
_NO_WORDS = re.compile(
    "[\u2190-\u2bff\u3030\u303d\u3297\u3299\ufe00-\ufe0f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ue000-\uf8ff\ufeff"
    "\ufffc\ufffd\ud800-\udfff\U0001f000-\U0001faff\U000e0000-\U000e007f\U000f0000-\U0010ffff]"
    r"|[*_~#|\\^=<>]+"
)


def spoken_text(written: str) -> tuple[str, str]:
    """The tag of a written sentence (empty if it is not in `REPLY_TAGS`), and its text that can be spoken.

    >>> spoken_text("(happy) **Yes!** See [the page](https://example.org) 🙂")
    ('happy', 'Yes! See the page')
    >>> spoken_text("(giggles) Oh no, not again.")
    ('', 'Oh no, not again.')
    """
    tag, text = _tag_and_text(_CONTROLS_AND_LINE_STARTS.sub(" ", written))
    # In mid-sentence a tag would be a word to a model that is trained on the talk.
    text = _BRACKETS.sub(lambda remark: " " if tags_among(remark[0].split()) else remark[0], text)
    text = _LINK.sub(r"\1", text)
    for pattern in _NOT_SPOKEN:
        text = pattern.sub(" ", text)
    text = _NO_WORDS.sub(" ", text)
    text = re.sub(r"\(\s*\)", " ", text)
    text = " ".join(text.split())
    text = re.sub(r"\s+([.,;:!?…])", r"\1", text)
    has_words = any(character.isalnum() for character in text)
    return tag, text if has_words else ""


def _tag_and_text(text: str) -> tuple[str, str]:
    """The first tag of `REPLY_TAGS` at the beginning of a text, and the text behind all tags there."""
    tag = ""
    match = _TAG.match(text)
    while match:
        name = " ".join(match[1].lower().split())
        is_tag = name in REPLY_TAGS
        if not is_tag and match[1][0].isupper():
            break  # a remark in brackets is part of the text
        if is_tag:
            tag = tag or name
        text = text[match.end() :]
        match = _TAG.match(text)
    return tag, text


class TurnEmotion(NamedTuple):
    """A guess of the emotion in the sound of a turn.

    Attributes:
        model: the name of the classifier.
        probabilities: of its classes, by name.
        affect: valence, arousal and dominance in [0, 1], by name.
        limit: the confidence under which its class is unsure.
    """

    model: str
    probabilities: Mapping[str, float]
    affect: Mapping[str, float]
    limit: float

    @property
    def emotion(self) -> str:
        """The likeliest class, or `UNSURE`."""
        likeliest = max(self.probabilities, key=self.probabilities.__getitem__)
        return likeliest if self.confidence >= self.limit else UNSURE

    @property
    def confidence(self) -> float:
        return max(self.probabilities.values())


def user_turn(text: str, emotion: TurnEmotion | None) -> str:
    """The user's turn for the model: the text and, if something was guessed, a line about it.

    >>> affect = {"valence": 0.31, "arousal": 0.22}
    >>> user_turn("I am fine.", TurnEmotion("voice-linear", {"sad": 0.71}, affect, limit=0.5))
    'I am fine.\\n[sounds sad (confidence 0.71); valence 0.31, arousal 0.22]'
    >>> user_turn("I am fine.", TurnEmotion("voice-linear", {"sad": 0.71}, affect, limit=0.8))
    'I am fine.\\n[valence 0.31, arousal 0.22]'
    """
    if emotion is None:
        return text
    affect = f"valence {emotion.affect['valence']:.2f}, arousal {emotion.affect['arousal']:.2f}"
    if emotion.emotion == UNSURE:
        return f"{text}\n[{affect}]"
    return f"{text}\n[sounds {emotion.emotion} (confidence {emotion.confidence:.2f}); {affect}]"


#: Messages that the model gets at most: it forgets earlier ones.
MOST_MESSAGES = 40


class TalkMemory:
    """The messages of a conversation for a model: the instructions, then user and assistant in turn."""

    def __init__(self, instructions: str) -> None:
        self._instructions = instructions
        self._messages: list[ChatMessage] = []

    def add(self, role: str, content: str) -> None:
        """Remember a message of `user` or `assistant`; two in a row are one message."""
        if not content.strip():
            return
        if self._messages and self._messages[-1].role == role:
            previous = self._messages.pop()
            content = f"{previous.content}\n{content}"
        self._messages.append(ChatMessage(role, content))
        self._messages = self._messages[-MOST_MESSAGES:]

    def messages(self) -> list[ChatMessage]:
        """All messages, the system's first, the user's last."""
        turns = list(dropwhile(lambda message: message.role == "assistant", self._messages))
        if not self._instructions:
            return turns
        return [ChatMessage("system", self._instructions), *turns]
