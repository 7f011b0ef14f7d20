"""One talk, block by block: recognised speech becomes turns, turns become replies, replies become sound.

`Talk.step` is the only place where anything changes, and one thread calls it. Long work (recognition, emotion, the
chat model, synthesis, the disk) is done by other threads, whose answers wait in an inbox until the next block. In
a simulated talk it is done at once, in that same thread, so that it is the same at every run.
"""

import queue
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soxr

from dailytalk_contiguous.apps.converse.dialogue import (
    FORGIVES_AFTER,
    Endpointer,
    Feeling,
    ReplySentence,
    SentenceCutter,
    TalkMemory,
    means_to_speak,
    user_turn,
)
from dailytalk_contiguous.apps.converse.sound_blocks import (
    BLOCK,
    BLOCK_SECONDS,
    TALK_RATE,
    AnalysisBlocks,
    SoundBlocks,
)
from dailytalk_contiguous.apps.converse.talk_record import TalkRecord
from dailytalk_contiguous.apps.converse.talk_settings import TalkSettings
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.emotions import UNSURE
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.fields import in_digits
from dailytalk_contiguous.core.hallucination import believed_words
from dailytalk_contiguous.core.turns import TERMINAL_OVERLAP
from dailytalk_contiguous.core.utterance import CUT_MARK, emotion_guess
from dailytalk_contiguous.core.word_times import Word, by_proportion, split_words
from dailytalk_contiguous.models.contracts import ChatMessage, ChatModel, Spoken
from dailytalk_contiguous.models.pieces import Pieces
from dailytalk_contiguous.models.speech_activity import FRAME_SECONDS, SpeechActivity

#: Seconds in which a voice that is silenced fades.
_FADE = 0.01

#: The level at which a sound begins and ends, and seconds of quiet kept after it: a synthesiser's silence delays.
_AUDIBLE = 0.003
_AFTER = 0.15


@dataclass(eq=False)
class Saying:
    """A sentence that waits or is being spoken.

    Attributes:
        samples: at `TALK_RATE`.
        words: with times in seconds of `samples`.
        at: how many samples were played.
        start, end: of what was played, in seconds of the talk.
        spoken: the words that were begun, with times in seconds of the talk.
        stopped: whether nothing more of it will be played.
    """

    sentence: ReplySentence
    samples: Samples
    words: list[Word]
    at: int = 0
    start: float | None = None
    end: float = 0.0
    spoken: list[Word] = field(default_factory=list)
    stopped: bool = False

    @property
    def complete(self) -> bool:
        """Whether its last word is heard to its end, unless it is stopped yet."""
        last = self.words[-1].end if self.words else len(self.samples) / TALK_RATE
        return not self.stopped or self.at >= min(len(self.samples), last * TALK_RATE)

    @property
    def heard(self) -> str:
        """The text up to the word in which the voice stopped; an interrupted one ends in `CUT_MARK`."""
        if self.complete or not self.words:
            return self.sentence.text
        return " ".join([*(word.text for word in self.spoken), CUT_MARK])

    def _from_now(self, words: list[Word]) -> list[Word]:
        shift = self.end - self.at / TALK_RATE
        return [word._replace(start=word.start + shift, end=word.end + shift) for word in words]

    def play(self, count: int, time: float) -> Samples:
        """The next samples, `count` at most, which are played at a second of the talk."""
        played = self.samples[self.at : self.at + count]
        self.start = time if self.start is None else self.start
        self.end = time
        begun = [word for word in self.words[len(self.spoken) :] if word.start * TALK_RATE < self.at + len(played)]
        self.spoken += self._from_now(begun)
        self.at += len(played)
        self.end += len(played) / TALK_RATE
        return played


class Mouth:
    """Sentences that are spoken in order, in blocks."""

    def __init__(self) -> None:
        self._waiting: deque[Saying] = deque()
        self._count = 0
        self._tail = np.zeros(0, np.float32)
        self.paused = False

    @property
    def active(self) -> bool:
        """Whether a sentence is being spoken, waits, or is paused."""
        return bool(self._waiting)

    @property
    def saying(self) -> Saying | None:
        """The sentence that is being spoken."""
        return self._waiting[0] if self._waiting and self._waiting[0].start is not None else None

    @property
    def left(self) -> float:
        """Seconds that are left to say."""
        return sum(len(saying.samples) - saying.at for saying in self._waiting) / TALK_RATE

    def add(self, sentence: ReplySentence, samples: Samples, words: list[Word]) -> None:
        """Append a sentence, without the silence around it: samples at `TALK_RATE`, words in its seconds."""
        loud = np.flatnonzero(np.abs(samples) > _AUDIBLE)
        if len(loud):
            samples = samples[int(loud[0]) : int(loud[-1]) + round(_AFTER * TALK_RATE)]
            shift = int(loud[0]) / TALK_RATE
            end = len(samples) / TALK_RATE
            edges = np.clip([(word.start - shift, word.end - shift) for word in words], 0.0, end).tolist()
            words = [word._replace(start=at[0], end=at[1]) for word, at in zip(words, edges, strict=True)]
        self._waiting.append(Saying(sentence, samples, words))

    def pull(self, count: int, hold: bool = False) -> tuple[Samples, list[Saying]]:
        """The next samples to play, and the sentences that end with them. `hold`: start no sentence."""
        out = np.zeros(count, np.float32)
        done = list[Saying]()
        filled = min(count, len(self._tail))
        out[:filled], self._tail = self._tail[:filled], np.zeros(0, np.float32)
        while filled < count and self._waiting and not self.paused and (self.saying or not hold):
            saying = self._waiting[0]
            played = saying.play(count - filled, (self._count + filled) / TALK_RATE)
            out[filled : filled + len(played)] = played
            filled += len(played)
            if saying.at >= len(saying.samples):
                done.append(self._waiting.popleft())
        self._count += count
        return out, done

    def pause(self) -> None:
        """Fall silent."""
        saying = self.saying
        if saying is not None and not self.paused:
            tail = saying.samples[saying.at : saying.at + round(_FADE * TALK_RATE)]
            self._tail = tail * np.linspace(1, 0, len(tail), dtype=np.float32)
        self.paused = True

    def go_on(self) -> None:
        """Go on with the word at which the voice paused, if it did."""
        saying = self.saying
        if saying is not None and self.paused:
            self._tail = np.zeros(0, np.float32)
            at = saying.at / TALK_RATE
            word = next((word for word in saying.words if word.start <= at < word.end), None)
            saying.at = int(word.start * TALK_RATE) if word else saying.at
            # What is after that was not spoken.
            saying.spoken = saying.spoken[: sum(word.start * TALK_RATE < saying.at for word in saying.words)]
        self.paused = False

    def stop(self) -> Saying | None:
        """Say nothing more. Returns the current sentence, if any."""
        self.pause()
        saying = self.saying
        self.paused = False
        if saying is not None:
            saying.stopped = True
        self._waiting.clear()
        return saying


#: Seconds before speech was noticed that belong to it: a soft beginning.
_BEFORE_SPEECH = 0.3

#: Seconds of a turn without words from which a notice says that nothing was understood.
_WORTH_A_WORD = 1.0

#: Seconds after a turn for which its emotion is waited for.
_WAITS_FOR_EMOTION = 0.75

#: Frames of a turn, its last 20 s, from which its emotion is guessed.
_FELT_FRAMES = 625

#: Seconds for which the microphone stays closed after the voice, as it would record its echo.
_ECHO = 0.3

#: Tokens of a reply at most.
REPLY_TOKENS = 200

#: Seconds of speech over the voice that stop it, whatever is said.
INTERRUPTS_AFTER = 1.2


class TalkEvent(NamedTuple):
    """An event for a screen, with its numbers and names as `data`.

    `kind`: `state`, `partial`, `user`, `reply`, `heard` or `notice`.
    """

    kind: str
    text: str = ""
    data: Mapping[str, Any] = {}


@dataclass(frozen=True)
class TalkParts:
    """The models of a talk.

    Attributes:
        recognise: the words of a turn so far (16 kHz, [-1, 1]), with times in its seconds.
        feel: guesses the emotion in the sound of a turn (16 kHz); None without emotions.
        chat: answers.
        speak: says a sentence.
        instructions: of the chat model.
    """

    recognise: Callable[[Samples], list[Word]]
    feel: Callable[[Samples], Feeling | None] | None
    chat: ChatModel
    speak: Callable[[ReplySentence], Spoken]
    instructions: str


class _AtOnce(Executor):
    """Runs each task where it is asked for: that of a simulated talk."""

    def submit(self, task: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        task(*arguments, **named)
        return Future()


@dataclass
class _Turn:
    """A turn of the person. Times in seconds of the talk; `sound` are its frames at 16 kHz, from `sound_start`.

    `asked` counts the requests for its words; `feels` those for its emotion that are not answered yet.
    """

    start: float
    sound_start: float
    sound: list[Samples]
    over_voice: bool
    end: float
    words: list[Word] | None = None
    asked: int = 0
    feeling: Feeling | None = None
    feels: int = 0

    @property
    def text(self) -> str:
        return "".join(word.text for word in self.words or ()).strip()

    @property
    def asks_to_stop(self) -> bool:
        """Whether its words ask a voice to stop; the probability of words that have none is 1."""
        known = [word.probability for word in self.words or () if word.probability is not None]
        return means_to_speak(self.text, self.end - self.start, float(np.mean(known or [1.0])))


@dataclass
class _Reply:
    """A reply. `heard`: what was heard or read of it; `rest`: what is not spoken at its end.

    What its thread has made waits in its `inbox`, of which nothing is taken once it is cancelled.
    """

    inbox: queue.SimpleQueue[Callable[[], object]] = field(default_factory=queue.SimpleQueue)
    pieces: Pieces[str] | None = None
    cancelled: bool = False
    ended: bool = False
    is_audible: bool = False
    heard: list[str] = field(default_factory=list)
    rest: str = ""

    def end(self) -> None:
        self.ended = True


class Talk:
    """A talk that goes on as long as `step` is called, as `run` does.

    Args:
        settings: of it.
        parts: its models.
        blocks: the source and the sink of its sound.
        tell: gets the events, in the thread of `step`.
        record: keeps it, or None.
        closes_microphone: whether it is closed while the voice speaks.
        threaded: whether long work has threads of its own; otherwise the talk is simulated.
    """

    def __init__(
        self,
        settings: TalkSettings,
        parts: TalkParts,
        blocks: SoundBlocks,
        tell: Callable[[TalkEvent], None],
        record: TalkRecord | None = None,
        closes_microphone: bool = False,
        threaded: bool = True,
    ) -> None:
        self._settings = settings
        self._parts = parts
        self._blocks = blocks
        self._tell = tell
        self._record = record
        self._closes_microphone = closes_microphone
        self._threaded = threaded
        self._inbox: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._ear, self._heart, self._pen = (
            ThreadPoolExecutor(1, name) if threaded else _AtOnce() for name in ("ear", "heart", "pen")
        )
        self._speaking = threading.Lock()
        self._activity = SpeechActivity()
        self._analysis = AnalysisBlocks()
        self._endpointer = Endpointer(settings.language)
        self._mouth = Mouth()
        self._memory = TalkMemory(parts.instructions)
        self._before: deque[Samples] = deque(maxlen=round(_BEFORE_SPEECH / FRAME_SECONDS))
        self._count = 0
        self._turn: _Turn | None = None
        self._unanswered: list[_Turn] = []
        self._reply: _Reply | None = None
        self._record_failed = False
        self._echo_until = 0.0
        self._state = ""
        self._shown: Saying | None = None

    @property
    def time(self) -> float:
        """Seconds of the talk, at the end of the current block."""
        return self._count * BLOCK_SECONDS

    @property
    def idle(self) -> bool:
        """Whether no person speaks, and nothing is to be answered or said."""
        return not (self._turn or self._unanswered or self._reply or self._mouth.active)

    @property
    def kept(self) -> Path | None:
        """The sound of the talk, if anything of it is kept."""
        return self._record.path if self._record else None

    def later(self, task: Callable[..., object], *arguments: Any) -> None:
        """Run a method of the talk before the next block: from another thread."""
        self._inbox.put(partial(task, *arguments))

    def run(self) -> None:
        """Go on until there is no more sound, or a Ctrl-C; then end the talk, and close its devices."""
        try:
            while (block := self._blocks.read(self.idle)) is not None:
                interrupts.check_interrupt()
                self._blocks.play(self.step(block))
        finally:
            self.end()
            self._blocks.close()

    def step(self, block: Samples) -> Samples:
        """Take a block of the microphone and return the block to play meanwhile."""
        self._count += 1
        _do_all(self._inbox)
        if self._closes_microphone and self._mouth.active:
            self._echo_until = self.time + _ECHO
        closed = self.time <= self._echo_until
        heard = np.zeros(BLOCK, np.float32) if closed else block
        self._hear(self._analysis.push(heard))
        _do_all(self._inbox)
        self._settle()
        out = self._speak()
        self._keep("sound", out, heard)
        if self._mouth.active:
            state = "speaking, microphone closed" if closed else "speaking"
        elif self._reply or self._unanswered:
            state = "thinking"
        else:
            state = "hearing you" if self._turn else "listening"
        if state != self._state:
            self._state = state
            self._tell(TalkEvent("state", state))
        return out

    def end(self) -> None:
        """End the talk: the spoken part of a reply is kept, and the record is closed."""
        turn = self._turn
        if turn:
            turn.end = self.time
            self._ask_words(turn)
            self._finish_turn(turn)
        self._ear.shutdown()  # with the words of the last turn
        self._heart.shutdown(wait=False, cancel_futures=True)
        _do_all(self._inbox)
        for turn in self._unanswered:
            if turn.text:
                self._keep_user(turn)
        self._stop_voice()
        if self._record is not None:
            self._pen.submit(self._record.close)
        self._pen.shutdown()

    def say(self, sentence: str) -> None:
        """Show a sentence."""
        self._tell(TalkEvent("notice", sentence))

    # A turn: heard, recognised, settled.

    def _hear(self, frame: Samples) -> None:
        turn = self._turn
        ends = self._endpointer
        text = turn.text if turn and turn.words is not None else None
        change = ends.push(float(self._activity.push(frame)[0]), self.time, text)
        if change == "began":
            self._begin_turn(ends.start)
        turn = self._turn
        if turn:
            turn.sound.append(frame)
        self._before.append(frame)
        if turn is None:
            return
        turn.end = ends.end
        if turn.over_voice:
            self._weigh(turn, change)
        if change in ("paused", "full"):
            self._ask_words(turn)
        elif change == "resumed":
            turn.words = None
            turn.asked += 1  # an answer on its way is of less than the turn
        elif change == "dropped":
            self._turn = None
        if change in ("ended", "full"):
            self._finish_turn(turn)

    def _weigh(self, turn: _Turn, change: str) -> None:
        """Let the voice pause, go on from its current word, or stop, by what is said over it.

        Within 0.2 s it is unknown whether a sound is "mm-hm" or the beginning of a sentence. So the voice pauses
        at once, and goes on if it was not interrupted.
        """
        over = change in ("dropped", "ended", "full")
        settled = over or (self._endpointer.silence >= FORGIVES_AFTER and turn.words is not None)
        stops = self._endpointer.speech >= INTERRUPTS_AFTER
        if stops or (settled and self._mouth.paused and turn.asks_to_stop):
            turn.over_voice = False  # it is a turn like others from here on
            self._interrupt()
        elif change in ("began", "resumed") and self._mouth.active:
            self._mouth.pause()
            self._blocks.hush()
        elif settled and self._mouth.paused:
            self._mouth.go_on()

    def _begin_turn(self, start: float) -> None:
        # Speech over the last words of the voice is an answer. Not while it is paused: only the speaker who paused
        # it can let it go on.
        goes_on = self._mouth.paused or self._mouth.left > TERMINAL_OVERLAP
        if self._reply is not None and not self._reply.ended:
            goes_on = True
        sound = [*self._before]
        over_voice = self._mouth.active and goes_on
        sound_start = self.time - FRAME_SECONDS * (1 + len(sound))
        self._turn = _Turn(start, sound_start, sound, over_voice, end=start)

    def _finish_turn(self, turn: _Turn) -> None:
        self._turn = None
        self._unanswered.append(turn)

    def _ask_words(self, turn: _Turn) -> None:
        turn.asked += 1
        turn.words = None
        self._ear.submit(self._recognise, turn, turn.asked, [*turn.sound], turn.end - turn.start)
        if self._parts.feel is not None:
            turn.feels += 1
            self._heart.submit(self._feel, self._parts.feel, turn, np.concatenate(turn.sound[-_FELT_FRAMES:]))

    def _recognise(self, turn: _Turn, asked: int, sound: list[Samples], seconds: float) -> None:
        """In the ear's thread."""
        if asked != turn.asked:  # more was said while an earlier pause was recognised
            return
        words: list[Word] = []
        try:
            words = believed_words(self._parts.recognise(np.concatenate(sound)), max(seconds, 0.5))
        except Exception as error:  # the talk goes on without these words
            self.later(self.say, f"not recognised: {_sentence_of(error)}")
        self.later(self._take_words, turn, asked, words)

    def _take_words(self, turn: _Turn, asked: int, words: list[Word]) -> None:
        if asked == turn.asked:
            turn.words = words
            if turn is self._turn:
                self._tell(TalkEvent("partial", turn.text))

    def _feel(self, feel: Callable[[Samples], Feeling | None], turn: _Turn, sound: Samples) -> None:
        """In the heart's thread."""
        feeling = None
        try:
            feeling = feel(sound)
        except Exception as error:  # the talk goes on without it
            self.later(self.say, f"no emotion is told: {_sentence_of(error)}")
        self.later(self._take_feeling, turn, feeling)

    def _take_feeling(self, turn: _Turn, feeling: Feeling | None) -> None:
        turn.feels -= 1
        turn.feeling = feeling or turn.feeling

    def _settle(self) -> None:
        """Answer turns that have ended and whose words are known."""
        for turn in list(self._unanswered):
            if turn.words is not None and (not turn.feels or self.time - turn.end >= _WAITS_FOR_EMOTION):
                self._unanswered.remove(turn)
                self._answer(turn)

    def _answer(self, turn: _Turn) -> None:
        if turn.over_voice:
            if not turn.asks_to_stop:
                if turn.text:
                    self._keep_user(turn)
                return
            self._interrupt()
        if not turn.text:
            if turn.end - turn.start >= _WORTH_A_WORD:
                self.say("there was speech, and no word of it was understood")
            return
        if self._reply is not None:
            self._stop_voice()  # it was about less than the person had to say
        self._keep_user(turn)
        self._memory.add("user", user_turn(turn.text, turn.feeling, self._settings.confidence))
        self._reply = reply = _Reply()
        think = partial(self._think, reply, self._memory.messages())
        if self._threaded:  # of its own, since a server may take its time after it is no longer needed
            threading.Thread(target=think, name="mind", daemon=True).start()
        else:
            think()

    # A reply: thought, spoken, interrupted.

    def _think(self, reply: _Reply, messages: Sequence[ChatMessage]) -> None:
        """Get the sentences of a reply and their sound. In a thread of its own."""
        with suppress(KeyboardInterrupt):  # the talk ends, in its own thread
            for sentence in self._sentences(reply, messages):
                if reply.cancelled:
                    return
                reply.rest += sentence.written  # code, or refused by the synthesiser: counts as read
                if not sentence.text:
                    continue
                try:
                    with self._speaking:  # one that was cancelled may still speak
                        sound = self._sound_of(sentence)
                except Exception as problem:  # the sentence is shown, and the talk goes on
                    reason = f"a sentence could not be spoken ({_sentence_of(problem)})"
                    reply.inbox.put(partial(self.say, reason))
                    reply.inbox.put(partial(self._show_reply, sentence))
                else:
                    reply.inbox.put(partial(self._mouth.add, sentence._replace(written=reply.rest), *sound))
                    reply.rest = ""
            reply.inbox.put(reply.end)

    def _sentences(self, reply: _Reply, messages: Sequence[ChatMessage]) -> Iterator[ReplySentence]:
        """Yield the sentences of a reply as they come; an error is said behind the last one."""
        cutter = SentenceCutter()
        problem = ""
        is_said = False
        try:
            reply.pieces = self._parts.chat.reply(messages, REPLY_TOKENS)
            for piece in reply.pieces:
                if reply.cancelled:
                    break
                is_said = is_said or bool(piece.strip())
                yield from cutter.push(piece)
            reply.pieces.close()
        except Exception as error:  # the talk goes on without the rest
            problem = f"the reply broke off: {_sentence_of(error)}"
        yield from cutter.flush()
        if problem or not is_said:
            reply.inbox.put(partial(self.say, problem or f"{self._parts.chat.name} answered nothing"))

    def _sound_of(self, sentence: ReplySentence) -> tuple[Samples, list[Word]]:
        spoken = self._parts.speak(sentence)
        samples = spoken.samples
        words = spoken.words
        if spoken.sample_rate != TALK_RATE:
            samples = soxr.resample(samples, spoken.sample_rate, TALK_RATE)
        if words is None:
            seconds = len(samples) / TALK_RATE
            words = by_proportion(split_words(sentence.text), [(0.0, seconds)], seconds)
        return np.asarray(samples, np.float32), words

    def _show_reply(self, sentence: ReplySentence) -> None:
        self._tell(TalkEvent("reply", sentence.text, {"tag": sentence.tag}))

    def _speak(self) -> Samples:
        reply = self._reply
        turn = self._turn
        if reply is not None:
            _do_all(reply.inbox)
        out, done = self._mouth.pull(BLOCK, hold=turn is not None and not turn.over_voice)
        for saying in (*done, *filter(None, [self._mouth.saying])):
            if saying is not self._shown:
                self._shown = saying
                if reply is not None:
                    reply.is_audible = True
                self._show_reply(saying.sentence)
            if reply is not None and saying in done:
                self._settle_said(reply, saying)
        if reply is not None and reply.ended and not self._mouth.active:
            self._memory.add("assistant", " ".join(filter(None, [*reply.heard, reply.rest.strip()])))
            self._reply = None
        return out

    def _settle_said(self, reply: _Reply, saying: Saying) -> None:
        reply.heard.append(saying.sentence.written.strip() if saying.complete else saying.heard)
        self._keep_said(saying)

    def _interrupt(self) -> None:
        reply = self._reply
        if reply is not None:
            self._stop_voice()
            if reply.is_audible:
                self._tell(TalkEvent("heard", CUT_MARK))

    def _stop_voice(self) -> None:
        reply = self._reply
        self._reply = None
        saying = self._mouth.stop()
        self._blocks.hush()
        if reply is None:
            return
        reply.cancelled = True
        if reply.pieces is not None:
            reply.pieces.close()
        if saying is not None:
            self._settle_said(reply, saying)
        heard = " ".join(filter(None, reply.heard))
        self._memory.add("assistant", f"{heard.removesuffix(CUT_MARK).rstrip()} {CUT_MARK}" if heard else "")

    # The record.

    def _keep_user(self, turn: _Turn) -> None:
        shift = turn.sound_start
        words = [(word.text.strip(), word.start + shift, word.end + shift) for word in turn.words or ()]
        text = turn.text
        feeling = turn.feeling
        data = dict[str, Any]()
        fields: dict[str, Any] = {"start": turn.start, "end": turn.end, "text_raw": text, "text": text}
        fields["status"] = "kept"
        if feeling is not None:
            emotion = feeling.emotion if feeling.confidence >= self._settings.confidence else UNSURE
            data = {"emotion": emotion, "confidence": feeling.confidence, **feeling.affect}
            guess = emotion_guess(emotion, feeling.probabilities, feeling.model)
            fields |= in_digits({**feeling.affect, **guess}, 4)
        self._tell(TalkEvent("user", text, data))
        self._keep("utterance", "right", words, fields)

    def _keep_said(self, saying: Saying) -> None:
        if not saying.spoken:  # nothing of it was heard
            return
        words = [(word.text.strip(), word.start, min(word.end, saying.end)) for word in saying.spoken]
        fields = {
            "start": saying.start,
            "end": words[-1][2],
            "text_raw": saying.sentence.text,
            "text": saying.heard,
            "written": saying.sentence.written,
            "tag": saying.sentence.tag,
            "interrupted": not saying.complete,
            "status": "spoken",
        }
        self._keep("utterance", "left", words, fields)

    def _keep(self, what: str, *values: Any) -> None:
        if self._record is not None and not self._record_failed:
            self._pen.submit(self._write, getattr(self._record, what), values)

    def _write(self, write: Callable[..., None], values: tuple[Any, ...]) -> None:
        """In the pen's thread."""
        if self._record_failed:
            return
        try:
            write(*values)
        except (OSError, struct.error) as error:  # the disk, or a WAV that is as long as its header can say
            self._record_failed = True
            reason = (getattr(error, "strerror", None) or "the file can't grow").lower()
            self.later(
                self.say, f"nothing more is recorded ({reason}): what was written is whole, the talk goes on"
            )


def _do_all(inbox: queue.SimpleQueue[Callable[[], object]]) -> None:
    with suppress(queue.Empty):
        while True:
            inbox.get_nowait()()


def _sentence_of(error: Exception) -> str:
    """An error in a sentence without a full stop."""
    if isinstance(error, DailytalkError):
        return str(error)
    detail = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}{': ' if detail else ''}{detail}"
