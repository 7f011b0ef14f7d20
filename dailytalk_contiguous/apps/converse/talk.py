"""One talk, block by block: recognised speech becomes turns, turns become replies, replies become sound.

`Talk.step` is the only place where anything changes, and one thread calls it. Long work (recognition, emotion, the
chat model, synthesis, the disk) is done by other threads, whose answers wait in an inbox until the next block. In
a simulated talk it is done at once, in that same thread, so that every run gives the same result.
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
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np
import soxr

from dailytalk_contiguous.apps.converse.dialogue import (
    FORGIVES_AFTER,
    Endpointer,
    ReplySentence,
    SentenceCutter,
    TalkMemory,
    TurnEmotion,
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
from dailytalk_contiguous.apps.converse.talk_record import RecordedUtterance, TalkRecord
from dailytalk_contiguous.apps.converse.talk_settings import TalkSettings
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.fields import finite
from dailytalk_contiguous.core.records.utterance import CUT_MARK, emotion_guess
from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.core.turns.turn_taking import TERMINAL_OVERLAP
from dailytalk_contiguous.core.words.hallucination import believed_words
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import by_proportion, split_words
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.models.contracts import ChatMessage, ChatModel, ReplyPieces, Spoken
from dailytalk_contiguous.models.speech_activity import FRAME_SECONDS, SpeechActivity

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: What a thread has done, to be taken over by the thread of `Talk.step`.
_Inbox = queue.SimpleQueue[Callable[[], object]]


@dataclass(eq=False)
class QueuedSentence:
    """A sentence that waits or is being spoken.

    Attributes:
        samples: at `TALK_RATE`.
        words: with times in seconds of `samples`.
        position: how many samples were played.
        start: of what was played, in seconds of the talk.
        end: of what was played, in seconds of the talk.
        spoken: the words that were begun, with times in seconds of the talk.
        stopped: whether nothing more of it will be played.
    """

    sentence: ReplySentence
    samples: Samples
    words: list[Word]
    position: int = 0
    start: float | None = None
    end: float = 0.0
    spoken: list[Word] = field(default_factory=list)
    stopped: bool = False

    @property
    def complete(self) -> bool:
        """Whether it was not stopped, or only after its last word."""
        if not self.stopped:
            return True
        n_samples = len(self.samples)
        last = self.words[-1].end if self.words else n_samples / TALK_RATE
        return self.position >= min(n_samples, last * TALK_RATE)

    @property
    def audible_text(self) -> str:
        """The text up to the word in which the voice stopped; an interrupted one ends in `CUT_MARK`."""
        if self.complete or not self.words:
            return self.sentence.text
        texts = [word.word for word in self.spoken]
        return " ".join([*texts, CUT_MARK])

    def play(self, count: int, time: float) -> Samples:
        """The next samples, `count` at most, which are played at a second of the talk."""
        played = self.samples[self.position : self.position + count]
        if self.start is None:
            self.start = time
        self.end = time
        shift = self.end - self.position / TALK_RATE
        end = self.position + len(played)
        for word in self.words[len(self.spoken) :]:
            if word.start * TALK_RATE < end:
                self.spoken.append(word.shifted(shift))
        self.position = end
        self.end += len(played) / TALK_RATE
        return played

    def rewind_to_word(self) -> None:
        """Go back to the start of the word in which the sentence was paused, which is not spoken then."""
        seconds = self.position / TALK_RATE
        for word in self.words:
            if word.start <= seconds < word.end:
                self.position = int(word.start * TALK_RATE)
                break
        n_spoken = len([word for word in self.words if word.start * TALK_RATE < self.position])
        self.spoken = self.spoken[:n_spoken]


#: Seconds in which a voice that is silenced fades.
_FADE = 0.01

#: The level at which a sound begins and ends; the silence of a synthesiser before and after it only delays.
_AUDIBLE = 0.003

#: Seconds of quiet kept after a sound.
_AFTER = 0.15


class SpeechPlayer:
    """Plays sentences in order, in blocks."""

    def __init__(self) -> None:
        self._waiting: deque[QueuedSentence] = deque()
        self._count = 0
        self._tail = np.zeros(0, np.float32)
        self.paused = False

    @property
    def active(self) -> bool:
        """Whether a sentence is being spoken, waits, or is paused."""
        return bool(self._waiting)

    @property
    def current(self) -> QueuedSentence | None:
        """The sentence that is being spoken."""
        if not self._waiting:
            return None
        first = self._waiting[0]
        return first if first.start is not None else None

    @property
    def seconds_left(self) -> float:
        """Seconds that are left to say."""
        return sum(len(queued.samples) - queued.position for queued in self._waiting) / TALK_RATE

    def add(self, sentence: ReplySentence, samples: Samples, words: list[Word]) -> None:
        """Append a sentence, without the silence around it: samples at `TALK_RATE`, words in its seconds."""
        loud = np.flatnonzero(np.abs(samples) > _AUDIBLE)
        if len(loud):
            first = int(loud[0])
            end = int(loud[-1]) + round(_AFTER * TALK_RATE)
            samples = samples[first:end]
            # Some seconds earlier, and inside the sound that is left.
            shift = -first / TALK_RATE
            edges = [(word.start + shift, word.end + shift) for word in words]
            inside = np.clip(edges, 0.0, len(samples) / TALK_RATE).tolist()
            words = [word.moved_to(start, end) for word, (start, end) in zip(words, inside, strict=True)]
        self._waiting.append(QueuedSentence(sentence, samples, words))

    def pull(self, count: int, hold: bool = False) -> tuple[Samples, list[QueuedSentence]]:
        """The next samples to play, and the sentences that end with them. `hold`: start no sentence."""
        out = np.zeros(count, np.float32)
        done = list[QueuedSentence]()
        filled = min(count, len(self._tail))
        out[:filled] = self._tail[:filled]
        self._tail = np.zeros(0, np.float32)
        while filled < count and self._waiting and not self.paused:
            if hold and self.current is None:
                break
            queued = self._waiting[0]
            played = queued.play(count - filled, (self._count + filled) / TALK_RATE)
            out[filled : filled + len(played)] = played
            filled += len(played)
            if queued.position >= len(queued.samples):
                done.append(self._waiting.popleft())
        self._count += count
        return out, done

    def pause(self) -> None:
        """Fall silent."""
        queued = self.current
        if queued is not None and not self.paused:
            end = queued.position + round(_FADE * TALK_RATE)
            tail = queued.samples[queued.position : end]
            self._tail = tail * np.linspace(1, 0, len(tail), dtype=np.float32)
        self.paused = True

    def resume(self) -> None:
        """Go on with the word at which the voice paused, if it did."""
        queued = self.current
        if queued is not None and self.paused:
            self._tail = np.zeros(0, np.float32)
            queued.rewind_to_word()
        self.paused = False

    def stop(self) -> QueuedSentence | None:
        """Say nothing more. Returns the current sentence, if any."""
        self.pause()
        queued = self.current
        self.paused = False
        if queued is not None:
            queued.stopped = True
        self._waiting.clear()
        return queued


class TalkEvent(NamedTuple):
    """An event for a screen, with its numbers and names as `data`.

    `kind`: `state`, `partial`, `user`, `reply`, `heard` or `notice`.
    """

    kind: str
    text: str = ""
    data: Mapping[str, str | float] = {}


@dataclass(frozen=True)
class TalkParts:
    """The models of a talk.

    Attributes:
        recognise: the words of a turn so far (16 kHz, [-1, 1]), with times in its seconds.
        classify: guesses the emotion in the sound of a turn (16 kHz), which began at this second of the talk; None
            without emotions.
        chat: the model that answers.
        speak: synthesises a sentence.
        instructions: of the chat model.
    """

    recognise: Callable[[Samples], list[Word]]
    classify: Callable[[Samples, float], TurnEmotion | None] | None
    chat: ChatModel
    speak: Callable[[ReplySentence], Spoken]
    instructions: str


class _InlineExecutor(Executor):
    """Runs each task in the thread that submits it: the executor of a simulated talk."""

    def submit(self, task: Callable[_P, _T], /, *arguments: _P.args, **named: _P.kwargs) -> Future[_T]:
        task(*arguments, **named)
        return Future()


@dataclass
class _Turn:
    """A turn of the person. Times in seconds of the talk; `sound` are its frames at 16 kHz, from `sound_start`.

    `n_requests` counts the requests for its words; `n_pending` those for its emotion that are not answered yet.
    """

    start: float
    sound_start: float
    sound: list[Samples]
    over_voice: bool
    end: float
    words: list[Word] | None = None
    n_requests: int = 0
    emotion: TurnEmotion | None = None
    n_pending: int = 0

    @property
    def seconds(self) -> float:
        return self.end - self.start

    @property
    def text(self) -> str:
        return "".join(word.word for word in self.words or ()).strip()

    @property
    def asks_to_stop(self) -> bool:
        """Whether its words ask a voice to stop; words without a probability count as certain."""
        probabilities = [word.probability for word in self.words or () if word.probability is not None]
        mean = float(np.mean(probabilities or [1.0]))
        return means_to_speak(self.text, self.seconds, mean)


@dataclass
class _Reply:
    """A reply. `audible`: the part that was played or read; `unspoken`: what is not spoken at its end.

    Its thread puts what it has made into the `inbox`, from which nothing is taken once it is cancelled.
    """

    inbox: _Inbox = field(default_factory=queue.SimpleQueue)
    pieces: ReplyPieces | None = None
    cancelled: bool = False
    ended: bool = False
    is_audible: bool = False
    audible: list[str] = field(default_factory=list)
    unspoken: str = ""

    def end(self) -> None:
        self.ended = True


#: Seconds before speech was noticed that belong to it: a soft beginning.
_BEFORE_SPEECH = 0.3

#: Seconds of a turn without words from which a notice says that nothing was understood.
_WORTH_A_WORD = 1.0

#: Seconds after a turn for which its emotion is waited for.
_WAITS_FOR_EMOTION = 0.75

#: Frames of a turn, its last 20 s, from which its emotion is guessed.
_EMOTION_FRAMES = 625

#: Seconds for which the microphone stays closed after the voice, as it would record its echo.
_ECHO = 0.3

#: Tokens of a reply at most.
REPLY_TOKENS = 200

#: Seconds of speech over the voice that stop it, whatever is said.
INTERRUPTS_AFTER = 1.2


class Talk:
    """A talk that goes on as long as `step` is called, as `run` does.

    Args:
        settings: of the talk.
        parts: its models.
        blocks: the source and the sink of its sound. Where it echoes, the microphone is closed while the voice
            speaks.
        show: gets the events, in the thread of `step`.
        record: keeps the talk; None keeps nothing.
        threaded: whether long work has threads of its own; otherwise the talk is simulated.
    """

    def __init__(
        self,
        settings: TalkSettings,
        parts: TalkParts,
        blocks: SoundBlocks,
        show: Callable[[TalkEvent], None],
        record: TalkRecord | None = None,
        threaded: bool = True,
    ) -> None:
        self._parts = parts
        self._blocks = blocks
        self._show = show
        self._record = record
        self._threaded = threaded
        self._inbox: _Inbox = queue.SimpleQueue()
        self._recogniser = self._executor("recogniser")
        self._emotion_classifier = self._executor("emotion")
        self._recorder = self._executor("recorder")
        self._speaking = threading.Lock()
        self._activity = SpeechActivity()
        self._analysis = AnalysisBlocks()
        self._endpointer = Endpointer(settings.language)
        self._player = SpeechPlayer()
        self._memory = TalkMemory(parts.instructions)
        n_before = round(_BEFORE_SPEECH / FRAME_SECONDS)
        self._before: deque[Samples] = deque(maxlen=n_before)
        self._count = 0
        self._turn: _Turn | None = None
        self._unanswered: list[_Turn] = []
        self._reply: _Reply | None = None
        self._record_failed = False
        self._echo_until = 0.0
        self._state = ""
        self._shown_sentence: QueuedSentence | None = None

    def _executor(self, name: str) -> Executor:
        return ThreadPoolExecutor(1, name) if self._threaded else _InlineExecutor()

    @property
    def time(self) -> float:
        """Seconds of the talk, at the end of the current block."""
        return self._count * BLOCK_SECONDS

    @property
    def idle(self) -> bool:
        """Whether no person speaks, and nothing is to be answered or said."""
        return not (self._turn or self._unanswered or self._reply or self._player.active)

    @property
    def kept_sound(self) -> Path | None:
        """The sound of the talk, if anything of it is kept."""
        return self._record.path if self._record else None

    def later(self, task: Callable[_P, object], /, *arguments: _P.args, **named: _P.kwargs) -> None:
        """Run a method of the talk before the next block: from another thread."""
        self._inbox.put(partial(task, *arguments, **named))

    def run(self) -> None:
        """Go on until there is no more sound, or a Ctrl-C; then end the talk, and close its devices."""
        try:
            block = self._blocks.read(self.idle)
            while block is not None:
                interrupts.check_interrupt()
                self._blocks.play(self.step(block))
                block = self._blocks.read(self.idle)
        finally:
            self.end()
            self._blocks.close()

    def step(self, block: Samples) -> Samples:
        """Take a block of the microphone and return the block to play meanwhile."""
        self._count += 1
        _run_all(self._inbox)
        if self._blocks.echoes and self._player.active:
            self._echo_until = self.time + _ECHO
        closed = self.time <= self._echo_until
        heard = np.zeros(BLOCK, np.float32) if closed else block
        self._listen(self._analysis.push(heard))
        _run_all(self._inbox)
        for turn in list(self._unanswered):
            waited = self.time - turn.end >= _WAITS_FOR_EMOTION
            if turn.words is not None and (not turn.n_pending or waited):
                self._unanswered.remove(turn)
                self._answer(turn)
        out = self._speak()
        self._keep(lambda record: record.sound(out, heard))
        if self._player.active:
            state = "speaking, microphone closed" if closed else "speaking"
        elif self._reply or self._unanswered:
            state = "thinking"
        else:
            state = "hearing you" if self._turn else "listening"
        if state != self._state:
            self._state = state
            self._show(TalkEvent("state", state))
        return out

    def end(self) -> None:
        """End the talk: the spoken part of a reply is kept, and the record is closed."""
        turn = self._turn
        if turn:
            turn.end = self.time
            self._ask_words(turn)
            self._finish_turn(turn)
        self._recogniser.shutdown()  # waits for the words of the last turn
        self._emotion_classifier.shutdown(wait=False, cancel_futures=True)
        _run_all(self._inbox)
        for turn in self._unanswered:
            if turn.text:
                self._keep_user(turn)
        self._stop_voice()
        if self._record is not None:
            self._recorder.submit(self._record.close)
        self._recorder.shutdown()

    def say(self, sentence: str) -> None:
        """Show a sentence."""
        self._show(TalkEvent("notice", sentence))

    # The turn of a person: heard, recognised, answered.

    def _listen(self, frame: Samples) -> None:
        endpointer = self._endpointer
        text = None
        if self._turn and self._turn.words is not None:
            text = self._turn.text
        probability = float(self._activity.push(frame)[0])
        change = endpointer.push(probability, self.time, text)
        if change == "began":
            self._begin_turn(endpointer.start)
        turn = self._turn
        if turn:
            turn.sound.append(frame)
        self._before.append(frame)
        if turn is None:
            return
        turn.end = endpointer.end
        if turn.over_voice:
            self._judge_interruption(turn, change)
        if change in ("paused", "full"):
            self._ask_words(turn)
        elif change == "resumed":
            turn.words = None
            turn.n_requests += 1  # an answer on its way is of less than the turn
        elif change == "dropped":
            self._turn = None
        if change in ("ended", "full"):
            self._finish_turn(turn)

    def _judge_interruption(self, turn: _Turn, change: str) -> None:
        """Let the voice pause, go on from its current word, or stop, by what is said over it.

        Within 0.2 s it is unknown whether a sound is "mm-hm" or the beginning of a sentence. So the voice pauses
        at once, and goes on if it was not interrupted.
        """
        over = change in ("dropped", "ended", "full")
        is_quiet = self._endpointer.silence >= FORGIVES_AFTER
        settled = over or (is_quiet and turn.words is not None)
        stops = self._endpointer.speech >= INTERRUPTS_AFTER
        if settled and self._player.paused:
            stops = stops or turn.asks_to_stop
        if stops:
            turn.over_voice = False  # from here on it is a turn like any other
            self._interrupt()
        elif change in ("began", "resumed") and self._player.active:
            self._player.pause()
            self._blocks.mute()
        elif settled and self._player.paused:
            self._player.resume()

    def _begin_turn(self, start: float) -> None:
        # Speech over the last words of the voice is an answer. Not while it is paused: only the speaker who paused
        # it can let it go on.
        goes_on = self._player.paused or self._player.seconds_left > TERMINAL_OVERLAP
        if self._reply is not None and not self._reply.ended:
            goes_on = True
        sound = [*self._before]
        over_voice = self._player.active and goes_on
        sound_start = self.time - FRAME_SECONDS * (1 + len(sound))
        self._turn = _Turn(start, sound_start, sound, over_voice, end=start)

    def _finish_turn(self, turn: _Turn) -> None:
        self._turn = None
        self._unanswered.append(turn)

    def _ask_words(self, turn: _Turn) -> None:
        turn.n_requests += 1
        turn.words = None
        self._recogniser.submit(self._recognise, turn, turn.n_requests, [*turn.sound], turn.seconds)
        classify = self._parts.classify
        if classify is not None:
            turn.n_pending += 1
            sound = np.concatenate(turn.sound[-_EMOTION_FRAMES:])
            self._emotion_classifier.submit(self._classify, classify, turn, sound)

    def _recognise(self, turn: _Turn, request: int, sound: list[Samples], seconds: float) -> None:
        """Recognise a turn, in the thread of the recogniser."""
        if request != turn.n_requests:  # more was said while an earlier pause was recognised
            return
        words: list[Word] = []
        try:
            recognised = self._parts.recognise(np.concatenate(sound))
            words = believed_words(recognised, max(seconds, 0.5))
        except Exception as error:  # the talk goes on without these words
            self.later(self.say, f"not recognised: {_sentence_of(error)}")

        def take_words() -> None:
            if request == turn.n_requests:
                turn.words = words
                if turn is self._turn:
                    self._show(TalkEvent("partial", turn.text))

        self.later(take_words)

    def _classify(
        self, classify: Callable[[Samples, float], TurnEmotion | None], turn: _Turn, sound: Samples
    ) -> None:
        """Guess the emotion of a turn, in the thread of the classifier."""
        emotion = None
        try:
            emotion = classify(sound, turn.sound_start)
        except Exception as error:  # the talk goes on without it
            self.later(self.say, f"no emotion is known: {_sentence_of(error)}")

        def take_emotion() -> None:
            turn.n_pending -= 1
            turn.emotion = emotion or turn.emotion

        self.later(take_emotion)

    def _answer(self, turn: _Turn) -> None:
        if turn.over_voice:
            if not turn.asks_to_stop:
                if turn.text:
                    self._keep_user(turn)
                return
            self._interrupt()
        if not turn.text:
            if turn.seconds >= _WORTH_A_WORD:
                self.say("there was speech, but no word of it was understood")
            return
        if self._reply is not None:
            self._stop_voice()  # it was about less than the person had to say
        self._keep_user(turn)
        message = user_turn(turn.text, turn.emotion)
        self._memory.add("user", message)
        reply = _Reply()
        self._reply = reply
        make_reply = partial(self._make_reply, reply, self._memory.messages())
        if self._threaded:  # of its own, since a server may take its time after it is no longer needed
            threading.Thread(target=make_reply, name="chat", daemon=True).start()
        else:
            make_reply()

    # The reply: generated, spoken, interrupted.

    def _make_reply(self, reply: _Reply, messages: Sequence[ChatMessage]) -> None:
        """Get the sentences of a reply and their sound. In a thread of its own."""
        with suppress(KeyboardInterrupt):  # the talk ends, in its own thread
            for sentence in self._sentences(reply, messages):
                if reply.cancelled:
                    return
                reply.unspoken += sentence.written  # code, or refused by the synthesiser: counts as read
                if sentence.text:
                    self._make_sound(reply, sentence)
            reply.inbox.put(reply.end)

    def _make_sound(self, reply: _Reply, sentence: ReplySentence) -> None:
        """Speak a sentence of a reply; one that can't be spoken is shown, and the talk goes on."""
        try:
            with self._speaking:  # one that was cancelled may still speak
                samples, words = self._synthesise(sentence)
        except Exception as problem:
            reason = f"a sentence could not be spoken ({_sentence_of(problem)})"
            reply.inbox.put(partial(self.say, reason))
            reply.inbox.put(partial(self._show_reply, sentence))
        else:
            whole = sentence._replace(written=reply.unspoken)
            reply.inbox.put(partial(self._player.add, whole, samples, words))
            reply.unspoken = ""

    def _sentences(self, reply: _Reply, messages: Sequence[ChatMessage]) -> Iterator[ReplySentence]:
        """Yield the sentences of a reply as they come; an error is shown after the last one."""
        cutter = SentenceCutter()
        problem = ""
        has_text = False
        try:
            reply.pieces = self._parts.chat.reply(messages, REPLY_TOKENS)
            if reply.cancelled:  # before there was anything to close
                reply.pieces.close()
            for piece in reply.pieces:
                if reply.cancelled:
                    break
                has_text = has_text or bool(piece.strip())
                yield from cutter.push(piece)
            reply.pieces.close()
        except Exception as error:  # the talk goes on without the rest
            problem = f"the reply broke off: {_sentence_of(error)}"
        yield from cutter.flush()
        if not problem and not has_text:
            problem = f"{self._parts.chat.name} answered nothing"
        if problem:
            reply.inbox.put(partial(self.say, problem))

    def _synthesise(self, sentence: ReplySentence) -> tuple[Samples, list[Word]]:
        """The sound of a sentence at `TALK_RATE`, and its words in seconds of it."""
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
        self._show(TalkEvent("reply", sentence.text, {"tag": sentence.tag}))

    def _speak(self) -> Samples:
        """The next block of the voice."""
        reply = self._reply
        turn = self._turn
        if reply is not None:
            _run_all(reply.inbox)
        hold = turn is not None and not turn.over_voice
        out, done = self._player.pull(BLOCK, hold)
        played = [*done]
        current = self._player.current
        if current is not None:
            played.append(current)
        for queued in played:
            if queued is not self._shown_sentence:
                self._shown_sentence = queued
                if reply is not None:
                    reply.is_audible = True
                self._show_reply(queued.sentence)
            if reply is not None and queued in done:
                self._finish_sentence(reply, queued)
        if reply is not None and reply.ended and not self._player.active:
            parts = [*reply.audible, reply.unspoken.strip()]
            self._memory.add("assistant", " ".join(filter(None, parts)))
            self._reply = None
        return out

    def _finish_sentence(self, reply: _Reply, queued: QueuedSentence) -> None:
        heard = queued.sentence.written.strip() if queued.complete else queued.audible_text
        reply.audible.append(heard)
        self._keep_voice(queued)

    def _interrupt(self) -> None:
        reply = self._reply
        if reply is not None:
            self._stop_voice()
            if reply.is_audible:
                self._show(TalkEvent("heard", CUT_MARK))

    def _stop_voice(self) -> None:
        reply = self._reply
        self._reply = None
        queued = self._player.stop()
        self._blocks.mute()
        if reply is None:
            return
        reply.cancelled = True
        if reply.pieces is not None:
            reply.pieces.close()
        if queued is not None:
            self._finish_sentence(reply, queued)
        heard = " ".join(filter(None, reply.audible))
        if heard:
            whole = heard.removesuffix(CUT_MARK).rstrip()
            self._memory.add("assistant", f"{whole} {CUT_MARK}")

    # The record.

    def _keep_user(self, turn: _Turn) -> None:
        words = [word.shifted(turn.sound_start) for word in turn.words or ()]
        text = turn.text
        data: dict[str, str | float] = {}
        fields: RecordedUtterance = {
            "start": turn.start,
            "end": turn.end,
            "text_raw": text,
            "text": text,
            "status": "kept",
        }
        emotion = turn.emotion
        if emotion is not None:
            data = {"emotion": emotion.emotion, "confidence": emotion.confidence, **emotion.affect}
            guess = emotion_guess(emotion.emotion, emotion.probabilities, emotion.model)
            fields.update(finite({**emotion.affect, **guess}, 4))
        self._show(TalkEvent("user", text, data))
        self._keep(lambda record: record.utterance("right", words, fields))

    def _keep_voice(self, queued: QueuedSentence) -> None:
        if queued.start is None or not queued.spoken:  # nothing of it was heard
            return
        words = [word.moved_to(word.start, min(word.end, queued.end)) for word in queued.spoken]
        fields: RecordedUtterance = {
            "start": queued.start,
            "end": words[-1].end,
            "text_raw": queued.sentence.text,
            "text": queued.audible_text,
            "written": queued.sentence.written,
            "tag": queued.sentence.tag,
            "interrupted": not queued.complete,
            "status": "spoken",
        }
        self._keep(lambda record: record.utterance("left", words, fields))

    def _keep(self, write: Callable[[TalkRecord], None]) -> None:
        """Let the thread of the recorder write something into the record, if there is one."""
        if self._record is not None and not self._record_failed:
            self._recorder.submit(self._write, self._record, write)

    def _write(self, record: TalkRecord, write: Callable[[TalkRecord], None]) -> None:
        """Write into the record, in the thread of the recorder."""
        if self._record_failed:
            return
        try:
            write(record)
        except (OSError, struct.error) as error:  # the disk, or a WAV that is as long as its header can say
            self._record_failed = True
            reason = (getattr(error, "strerror", None) or "the file can't grow").lower()
            self.later(
                self.say, f"nothing more is recorded ({reason}): what was written is whole, the talk goes on"
            )


def _run_all(inbox: _Inbox) -> None:
    with suppress(queue.Empty):
        while True:
            task = inbox.get_nowait()
            task()


def _sentence_of(error: Exception) -> str:
    """An error in a sentence without a full stop."""
    if isinstance(error, DailytalkError):
        return str(error)
    name = type(error).__name__
    detail = " ".join(str(error).split())[:200]
    return f"{name}: {detail}" if detail else name
