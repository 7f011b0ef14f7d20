"""One talk, block by block: recognised speech becomes turns, turns become replies, replies become sound.

`Talk.step` is the only place where anything changes, and one thread calls it. Long work (recognition, emotion, the
chat model, synthesis, the disk) is done by workers, whose answers wait in an inbox until the next block. In a
simulated talk they work at once, in that same thread, so that it is the same at every run.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import soxr

from dailytalk_contiguous.apps.converse import dialogue, sound_blocks
from dailytalk_contiguous.apps.converse.hearing import Listening
from dailytalk_contiguous.apps.converse.mouth import Mouth, Said
from dailytalk_contiguous.apps.converse.talk_record import TalkRecord
from dailytalk_contiguous.core import interrupts, utterance
from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.emotions import LEAST_CONFIDENCE, UNSURE
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.hallucination import believed_words
from dailytalk_contiguous.core.turns import TERMINAL_OVERLAP
from dailytalk_contiguous.core.utterance import emotion_guess, in_digits
from dailytalk_contiguous.core.word_times import Word, by_proportion, split_words
from dailytalk_contiguous.models.contracts import ChatMessage, ChatModel, Spoken
from dailytalk_contiguous.models.pieces import Pieces
from dailytalk_contiguous.models.speech_activity import FRAME_SECONDS, SpeechActivity

#: Seconds before speech was noticed that belong to it: a soft beginning.
_BEFORE_SPEECH = 0.3

#: Seconds of a turn without words from which a notice says that nothing was understood.
_WORTH_A_WORD = 1.0

#: Seconds to wait for the emotion of a turn once its words are known.
_WAITS_FOR_EMOTION = 0.25

#: Seconds to wait for the words of the last turn of a talk.
_WAITS_FOR_LAST_WORDS = 5.0

#: Frames of a turn, its last 20 s, from which its emotion is guessed.
_FELT_FRAMES = 625

#: Seconds for which the microphone stays closed after the voice, as it would record its echo.
_ECHO = 0.3


class TalkEvent(NamedTuple):
    """An event for a screen; `data` holds numbers and names.

    `kind`: `level`, `state`, `partial`, `user`, `reply`, `heard`, `latency`, `notice` or `cleared`.
    """

    kind: str
    time: float
    text: str = ""
    data: Mapping[str, Any] = {}


class TurnFeeling(NamedTuple):
    """The emotion of a turn's sound.

    Its classifier, probabilities by class, affect by name, and `spoken`, the guess for a chat model.
    """

    model: str
    probabilities: dict[str, float]
    affect: dict[str, float]
    spoken: dialogue.SpokenFeeling


@dataclass(frozen=True)
class TalkParts:
    """The parts of a talk.

    Attributes:
        listening: begins to recognise a turn.
        feel: guesses the emotion in the sound of a turn (16 kHz); None without emotions.
        chat: answers.
        speak: says a sentence.
        instructions: of the chat model.
        language: ISO 639-1.
        rules: of turn-taking.
        most_tokens: of a reply. budget_tokens: of the chat model's messages.
        unsure_under: confidence under which the chat model gets no emotion.
        patience: seconds after which a silent chat model is given up.
        push_to_talk: whether a person marks the start and end of a turn.
        closes_microphone: whether it is closed while the voice speaks.
    """

    listening: Callable[[], Listening]
    feel: Callable[[Samples], TurnFeeling | None] | None
    chat: ChatModel
    speak: Callable[[dialogue.ReplySentence], Spoken]
    instructions: str
    language: str = "en"
    rules: dialogue.TurnRules = field(default_factory=dialogue.TurnRules)
    most_tokens: int = 200
    budget_tokens: int = 2000
    unsure_under: float = LEAST_CONFIDENCE
    patience: float = 20.0
    push_to_talk: bool = False
    closes_microphone: bool = False


class TalkWorker:
    """Runs one task after another, in a thread of its own, or at once if `threaded` is false."""

    def __init__(self, name: str, threaded: bool) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._thread.start()

    def do(self, task: Callable[[], None]) -> None:
        """Run a task, which handles its own errors."""
        if self._thread is None:
            task()
        else:
            self._tasks.put(task)

    def finish(self, seconds: float) -> None:
        """Wait until all tasks are done, so many seconds at most."""
        if self._thread is not None:
            self._tasks.put(None)
            self._thread.join(seconds)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            with suppress(KeyboardInterrupt):  # the talk ends, in its own thread
                task()


@dataclass
class _Turn:
    """A turn of the person. Times in seconds of the talk; `sound` are its frames at 16 kHz."""

    number: int
    start: float
    over_voice: bool
    listening: Listening
    end: float = 0.0
    sound_start: float = 0.0
    sound: list[Samples] = field(default_factory=list)
    words: list[Word] | None = None
    words_at: float = 0.0
    feeling: TurnFeeling | None = None
    feels: int = 0
    asked: int = 0
    answered: int = 0
    ended_at: float | None = None
    interrupts: bool = False

    @property
    def text(self) -> str:
        return "".join(word.text for word in self.words or ()).strip()

    @property
    def probability(self) -> float:
        """The mean of its words; 1 where the recogniser gives none."""
        known = [word.probability for word in self.words or () if word.probability is not None]
        return float(np.mean(known)) if known else 1.0


@dataclass
class _Reply:
    turn: _Turn
    began: float
    pieces: Pieces[str] | None = None
    cancelled: bool = False
    ended: bool = False
    first_piece: float | None = None
    first_sound: float | None = None
    sentences: list[dialogue.ReplySentence] = field(default_factory=list)
    settled: int = 0
    waiting: int = 0
    heard: list[str] = field(default_factory=list)


class Talk:
    """A talk that goes on as long as `step` is called.

    Args:
        parts: of it.
        blocks: the source and the sink of its sound; their `lateness` is part of every latency.
        tell: gets the events, in the thread of `step`.
        record: keeps it, or None.
        threaded: whether workers have threads of their own; otherwise the talk is simulated.
    """

    def __init__(
        self,
        parts: TalkParts,
        blocks: sound_blocks.SoundBlocks,
        tell: Callable[[TalkEvent], None],
        record: TalkRecord | None = None,
        threaded: bool = True,
    ) -> None:
        self.parts, self._blocks, self._tell, self._record = parts, blocks, tell, record
        self._threaded = threaded
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._ear, self._heart, self._voice, self._pen = (
            TalkWorker(name, threaded) for name in ("ear", "heart", "voice", "pen")
        )
        self._activity, self._endpointer = SpeechActivity(), dialogue.Endpointer(parts.rules, parts.language)
        self._barge = dialogue.BargeIn(parts.rules)
        self._mouth = Mouth()
        self._memory = dialogue.TalkMemory(parts.instructions, parts.chat.count_tokens, parts.budget_tokens)
        self._analysis = sound_blocks.AnalysisBlocks()
        self._before: deque[Samples] = deque(maxlen=round(_BEFORE_SPEECH / FRAME_SECONDS))
        self._count = self._turns = 0
        self._turn: _Turn | None = None
        self._reply: _Reply | None = None
        self._unanswered: list[_Turn] = []
        self._push_to_talk, self._pressed = parts.push_to_talk, False
        self._echo_until = 0.0
        self._record_failed = False
        self._state = ""
        self._shown: dialogue.ReplySentence | None = None
        self.latencies: list[dict[str, float]] = []

    # The methods of other threads.

    @property
    def time(self) -> float:
        """Seconds of the talk, at the end of the current block."""
        return self._count * sound_blocks.BLOCK_SECONDS

    @property
    def idle(self) -> bool:
        """Whether no person speaks, and nothing is to be answered or said."""
        return not (self._turn or self._unanswered or self._reply or self._mouth.active)

    def press(self, down: bool | None = None) -> None:
        """Start a turn, or end it: push-to-talk. `down` says which; None: the opposite of the last one."""
        self._inbox.put(partial(self._press, down))

    def push_to_talk(self, wanted: bool) -> None:
        """Let a person mark the start and end of turns, or detect them."""
        self._inbox.put(partial(self._set_push_to_talk, wanted))

    def clear(self) -> None:
        """Start afresh: silence the voice and forget the conversation. The record keeps it."""
        self._inbox.put(self._clear)

    def notice(self, sentence: str) -> None:
        self._inbox.put(partial(self._say, sentence))

    def step(self, block: Samples) -> Samples:
        """Take a block of the microphone and return the block to play meanwhile."""
        self._count += 1
        self._read_inbox()
        closed = self._closed()
        heard = np.zeros(sound_blocks.BLOCK, np.float32) if closed else block
        self._hear(self._analysis.push(heard))
        self._read_inbox()
        self._settle()
        out = self._speak()
        self._keep("sound", out, heard)
        self._tell(TalkEvent("level", self.time, data={"level": float(np.abs(heard).max(initial=0.0))}))
        self._tell_state(closed)
        return out

    def end(self) -> None:
        """End the talk: the spoken part of a reply is kept, and the record is closed."""
        if self._turn is not None and self._turn.words:
            self._finish_turn(self._turn)
        else:
            self._release()
        self._ear.finish(_WAITS_FOR_LAST_WORDS)
        for worker in (self._heart, self._voice):
            worker.finish(0.2)
        self._read_inbox()
        for turn in self._unanswered:
            if turn.words or turn.end - turn.start >= _WORTH_A_WORD:
                self._keep_user(turn)
        self._stop_voice()
        if self._record is not None:
            self._pen.do(self._close_record)
        self._pen.finish(30.0)

    def _close_record(self) -> None:
        assert self._record is not None
        with suppress(OSError):  # reported when it first failed
            self._record.discard()

    def _now(self) -> float:
        """Seconds of the talk, including the time since the current block arrived."""
        return self.time + self._blocks.lateness()

    def _read_inbox(self) -> None:
        while True:
            try:
                answer = self._inbox.get_nowait()
            except queue.Empty:
                return
            answer()

    def _say(self, sentence: str) -> None:
        self._tell(TalkEvent("notice", self.time, sentence))

    def _closed(self) -> bool:
        if self._push_to_talk:
            return not self._pressed
        if not self.parts.closes_microphone:
            return False
        if self._mouth.active:
            self._echo_until = self.time + _ECHO
        return self.time <= self._echo_until

    def _tell_state(self, closed: bool) -> None:
        if self._mouth.active:
            state = "speaking, microphone closed" if closed and not self._push_to_talk else "speaking"
        elif self._reply or self._unanswered:
            state = "thinking"
        elif self._turn:
            state = "hearing you"
        else:
            state = "press Enter to talk" if self._push_to_talk else "listening"
        if state != self._state:
            self._state = state
            self._tell(TalkEvent("state", self.time, state))

    def _hear(self, frame: Samples) -> None:
        time, probability = self.time, float(self._activity.push(frame)[0])
        # Both get every frame, whether it counts or not: they measure time by frames.
        over_voice = self._mouth.active and not self._ending
        effect = self._barge.push(probability if over_voice else 0.0, time)
        if over_voice:
            self._over_voice(effect)
        change = self._endpointer.push(probability, time)
        if self._push_to_talk:
            change = None
        if change is not None and change.kind == "began":
            self._begin_turn(change.start)
        if self._turn is not None:
            self._turn.sound.append(frame)
        self._before.append(frame)
        if change is not None:
            self._change(change)

    def _begin_turn(self, start: float) -> None:
        self._turns += 1
        over_voice = self._mouth.active and not self._ending
        self._turn = _Turn(self._turns, start, over_voice, self.parts.listening(), sound=[*self._before])
        self._turn.sound_start = self.time - FRAME_SECONDS * (1 + len(self._before))

    @property
    def _ending(self) -> bool:
        """Whether the voice is about to end: speech over its last words is an answer.

        Not while it is paused: only the speaker who paused it can let it go on.
        """
        reply = self._reply
        spoken = reply is None or (reply.ended and not reply.waiting)
        return spoken and not self._mouth.paused and self._mouth.left <= TERMINAL_OVERLAP

    def _change(self, change: dialogue.TurnChange) -> None:
        turn = self._turn
        if turn is None:
            return
        turn.end = change.end
        if change.kind == "paused":
            self._ask_words(turn)
        elif change.kind == "resumed":
            turn.words = None
            turn.asked += 1  # an answer on its way is of less than the turn
        elif change.kind == "dropped":
            self._turn = None
        elif change.kind in ("ended", "full"):
            if change.kind == "full":
                self._ask_words(turn)
                self._say(f"a turn of {self.parts.rules.longest_turn:g} s is answered as it is by then")
            self._finish_turn(turn)

    def _finish_turn(self, turn: _Turn) -> None:
        turn.ended_at = self._now()
        self._turn = None
        self._unanswered.append(turn)

    def _set_push_to_talk(self, wanted: bool) -> None:
        if wanted is self._push_to_talk:
            return
        self._release()
        self._push_to_talk, self._pressed = wanted, False
        self._endpointer.reset()

    def _release(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None and turn.sound:
            turn.end = self.time
            self._ask_words(turn)
            self._finish_turn(turn)

    def _press(self, down: bool | None = None) -> None:
        if not self._push_to_talk or down is self._pressed:
            return
        self._pressed = not self._pressed
        if self._pressed:
            self._interrupt()
            self._before.clear()
            self._begin_turn(self.time)
        else:
            self._release()

    def _ask_words(self, turn: _Turn) -> None:
        turn.asked += 1
        self._ear.do(partial(self._recognise, turn, turn.asked, [*turn.sound], turn.end - turn.start))
        if self.parts.feel is not None:
            turn.feels += 1
            sound = np.concatenate(turn.sound[-_FELT_FRAMES:])
            self._heart.do(partial(self._feel, turn, sound))

    def _recognise(self, turn: _Turn, asked: int, sound: list[Samples], seconds: float) -> None:
        """In the ear's thread."""
        if asked != turn.asked:  # more was said while an earlier pause was recognised
            return
        try:
            words = believed_words(turn.listening.words(np.concatenate(sound)), max(seconds, 0.5))
        except Exception as error:  # the talk goes on without these words
            words = []
            self._inbox.put(partial(self._say, f"not recognised: {_sentence_of(error)}"))
        self._inbox.put(partial(self._take_words, turn, asked, words))

    def _feel(self, turn: _Turn, sound: Samples) -> None:
        """In the heart's thread."""
        assert self.parts.feel is not None
        feeling = None
        try:
            feeling = self.parts.feel(sound)
        except Exception as error:  # the talk goes on without it
            self._inbox.put(partial(self._say, f"no emotion is told: {_sentence_of(error)}"))
        self._inbox.put(partial(self._take_feeling, turn, feeling))

    def _take_words(self, turn: _Turn, asked: int, words: list[Word]) -> None:
        turn.answered = max(turn.answered, asked)
        if asked != turn.asked:
            return
        turn.words, turn.words_at = words, self._now()
        if turn is self._turn:
            self._endpointer.heard(turn.text)
            self._tell(TalkEvent("partial", self.time, turn.text))
        if turn.over_voice and self._mouth.active:
            self._barge.heard(turn.text, turn.probability)

    def _take_feeling(self, turn: _Turn, feeling: TurnFeeling | None) -> None:
        turn.feels -= 1
        turn.feeling = feeling or turn.feeling

    def _settle(self) -> None:
        """Answer turns that have ended and whose words are known, and give up a silent chat model."""
        for turn in list(self._unanswered):
            if turn.words is None or turn.answered < turn.asked:
                continue
            waited = self._now() - max(turn.words_at, turn.ended_at or 0.0)
            if turn.feels and waited < _WAITS_FOR_EMOTION:
                continue
            self._unanswered.remove(turn)
            self._answer(turn)
        reply = self._reply
        if reply is not None and reply.first_piece is None and self._now() - reply.began > self.parts.patience:
            where = self.parts.chat.service or self.parts.chat.name
            self._say(
                f"{where} has not answered for {self.parts.patience:g} s: say it again, or wait and try later"
            )
            self._stop_voice()

    def _answer(self, turn: _Turn) -> None:
        text = turn.text
        if turn.over_voice and not turn.interrupts:
            if not dialogue.means_to_speak(text, turn.end - turn.start, turn.probability):
                if text:
                    self._keep_user(turn)
                return
            self._interrupt()
        if not text:
            if turn.end - turn.start >= _WORTH_A_WORD:
                self._say("there was speech, and no word of it was understood")
                self._keep_user(turn)
            return
        if self._reply is not None:
            self._stop_voice()  # it was about less than the person had to say
        self._keep_user(turn)
        feeling = turn.feeling.spoken if turn.feeling else None
        self._memory.add("user", dialogue.user_turn(text, feeling, self.parts.unsure_under))
        self._reply = reply = _Reply(turn, self._now())
        messages = [ChatMessage(role, content) for role, content in self._memory.messages()]
        think = partial(self._think, reply, messages)
        if self._threaded:  # of its own, since a server may take its time after it is no longer needed
            threading.Thread(target=think, name="mind", daemon=True).start()
        else:
            think()

    def _think(self, reply: _Reply, messages: Sequence[ChatMessage]) -> None:
        """In a thread of its own."""
        error, written, cutter = "", 0, dialogue.SentenceCutter()
        try:
            reply.pieces = pieces = self.parts.chat.reply(messages, self.parts.most_tokens)
            if reply.cancelled:
                pieces.close()
            for piece in pieces:
                if reply.cancelled:
                    pieces.close()
                    break
                self._inbox.put(partial(self._take_piece, reply))
                for sentence in cutter.push(piece):
                    self._inbox.put(partial(self._take_sentence, reply, sentence))
                written += len(piece)
                if written > 12 * self.parts.most_tokens:  # a model that knows no limit
                    pieces.close()
                    break
        except KeyboardInterrupt:  # the talk ends, in its own thread
            return
        except Exception as problem:  # the talk goes on without the rest
            error = _sentence_of(problem)
        for sentence in cutter.flush():
            self._inbox.put(partial(self._take_sentence, reply, sentence))
        self._inbox.put(partial(self._end_reply, reply, error))

    def _take_piece(self, reply: _Reply) -> None:
        if reply.first_piece is None:
            reply.first_piece = self._now()

    def _take_sentence(self, reply: _Reply, sentence: dialogue.ReplySentence) -> None:
        if reply.cancelled:
            return
        number = len(reply.sentences)
        reply.sentences.append(sentence)
        if sentence.text:
            reply.waiting += 1
            self._voice.do(partial(self._synthesise, reply, number, sentence))
        elif not reply.waiting and not self._mouth.active:
            self._settle_sentences(reply, number + 1)

    def _synthesise(self, reply: _Reply, number: int, sentence: dialogue.ReplySentence) -> None:
        """In the voice's thread."""
        if reply.cancelled:
            return
        spoken, error = None, ""
        try:
            spoken = self.parts.speak(sentence)
            samples = spoken.samples
            if spoken.sample_rate != sound_blocks.TALK_RATE:
                samples = soxr.resample(samples, spoken.sample_rate, sound_blocks.TALK_RATE)
            words = spoken.words
            seconds = len(samples) / sound_blocks.TALK_RATE
            if words is None:
                words = by_proportion(split_words(sentence.text), [(0.0, seconds)], seconds)
            sound = np.asarray(samples, np.float32), words
        except Exception as problem:  # the sentence is shown, and the talk goes on
            spoken, error = None, _sentence_of(problem)
        if spoken is None:
            self._inbox.put(partial(self._not_spoken, reply, number, sentence, error))
        else:
            self._inbox.put(partial(self._take_sound, reply, number, sentence, *sound))

    def _take_sound(
        self, reply: _Reply, number: int, sentence: dialogue.ReplySentence, samples: Samples, words: list[Word]
    ) -> None:
        if not reply.cancelled:
            reply.waiting -= 1
            self._mouth.add(number, sentence, samples, words)

    def _not_spoken(self, reply: _Reply, number: int, sentence: dialogue.ReplySentence, error: str) -> None:
        if reply.cancelled:
            return
        reply.waiting -= 1
        self._say(f"a sentence could not be spoken ({error})")
        self._tell(TalkEvent("reply", self.time, sentence.text, {"tag": sentence.tag}))
        if not self._mouth.active and not reply.waiting:
            self._settle_sentences(reply, number + 1)

    def _end_reply(self, reply: _Reply, error: str) -> None:
        if reply.cancelled:
            return
        reply.ended = True
        if error:
            self._say(f"the reply broke off: {error}" if reply.sentences else f"there is no reply: {error}")
        elif not any(sentence.written.strip() for sentence in reply.sentences):
            self._say(f"{self.parts.chat.name} answered nothing: say it in other words")

    def _speak(self) -> Samples:
        reply = self._reply
        before = self._mouth.begun
        turn = self._turn
        out, done = self._mouth.pull(sound_blocks.BLOCK, hold=turn is not None and not turn.over_voice)
        if reply is not None and reply.first_sound is None and (done or self._mouth.begun) and not before:
            reply.first_sound = self._now() + self._blocks.lag
            self._tell_latency(reply)
            self._barge.reset()
        if (saying := self._mouth.saying) is not None and saying is not self._shown:
            self._shown = saying
            self._tell(TalkEvent("reply", self.time, saying.text, {"tag": saying.tag}))
            if (planned := self._mouth.planned) is not None:
                self._keep("begin", *_kept(planned))
        if reply is not None:
            for said in done:
                self._settle_sentences(reply, said.number)
                self._settle_said(reply, said)
            if reply.ended and not reply.waiting and not self._mouth.active:
                self._settle_sentences(reply, len(reply.sentences))
                self._memory.add("assistant", " ".join(filter(None, reply.heard)))
                self._reply = None
        return out

    def _settle_sentences(self, reply: _Reply, until: int) -> None:
        """Count sentences that are not spoken (code, or refused by the synthesiser) as read."""
        while reply.settled < until:
            reply.heard.append(reply.sentences[reply.settled].written.strip())
            reply.settled += 1

    def _settle_said(self, reply: _Reply, said: Said) -> None:
        reply.settled = said.number + 1
        reply.heard.append(said.sentence.written.strip() if said.complete else said.heard)
        self._keep("utterance", "left", *_kept(said))

    def _over_voice(self, effect: str) -> None:
        if effect == "pause":
            self._mouth.pause()
            self._mouth.unsay(self._blocks.hush())
        elif effect == "go on":
            self._mouth.go_on()
        elif effect == "stop":
            for turn in (*self._unanswered, *filter(None, [self._turn])):
                turn.interrupts = turn.over_voice
            self._interrupt()

    def _interrupt(self) -> None:
        reply = self._reply
        if reply is None:
            return
        self._stop_voice()
        if reply.first_sound is not None:  # else no audible sound was cut off
            self._tell(TalkEvent("heard", self.time, utterance.CUT_MARK))
            self._keep("event", {"event": "interrupted", "time": round(self.time, 3)})

    def _stop_voice(self) -> None:
        reply, self._reply = self._reply, None
        said = self._mouth.stop(self._blocks.hush())
        self._barge.reset()
        if reply is None:
            return
        reply.cancelled = True
        if reply.pieces is not None:
            reply.pieces.close()
        if said is not None:
            self._settle_sentences(reply, said.number)
            self._settle_said(reply, said)
        heard = " ".join(filter(None, reply.heard))
        if heard and not heard.endswith(utterance.CUT_MARK):
            heard += f" {utterance.CUT_MARK}"
        self._memory.add("assistant", heard)

    def _clear(self) -> None:
        self._stop_voice()
        self._memory.clear()
        self._unanswered.clear()
        self._tell(TalkEvent("cleared", self.time))
        self._keep("event", {"event": "cleared", "time": round(self.time, 3)})

    def _keep_user(self, turn: _Turn) -> None:
        words = [
            (word.text.strip(), word.start + turn.sound_start, word.end + turn.sound_start)
            for word in turn.words or ()
        ]
        feeling, data = turn.feeling, dict[str, Any]()
        fields: dict[str, Any] = {
            "start": turn.start,
            "end": turn.end,
            "text_raw": turn.text,
            "text": turn.text,
            "text_reason": None if turn.text else "the recogniser heard no words",
            "kind": "speech",
            "status": "kept",
        }
        if feeling is not None:
            sure = feeling.spoken.confidence >= self.parts.unsure_under
            emotion = feeling.spoken.emotion if sure else UNSURE
            data = {"emotion": emotion, "confidence": feeling.spoken.confidence} | feeling.affect
            fields |= in_digits(feeling.affect | emotion_guess(emotion, feeling.probabilities, feeling.model), 4)
        if turn.text:
            self._tell(TalkEvent("user", self.time, turn.text, data))
        self._keep("utterance", "right", words, fields)

    def _tell_latency(self, reply: _Reply) -> None:
        turn = reply.turn
        steps = {
            "endpoint": turn.ended_at,
            "text": max(turn.words_at, turn.ended_at or 0.0),
            "first_token": reply.first_piece,
            "first_sound": reply.first_sound,
        }
        took = {name: round(at - turn.end, 3) for name, at in steps.items() if at is not None}
        self.latencies.append(took)
        self._tell(TalkEvent("latency", self.time, data=took))
        event = {"event": "turn", "turn": turn.number, "speech_end": round(turn.end, 3)}
        self._keep("event", event | {"seconds_after": took})

    def _keep(self, what: str, *values: Any) -> None:
        if self._record is not None and not self._record_failed:
            self._pen.do(partial(self._write, what, values))

    def _write(self, what: str, values: tuple[Any, ...]) -> None:
        """In the pen's thread."""
        if self._record_failed:
            return
        try:
            getattr(self._record, what)(*values)
        except OSError as error:
            self._record_failed = True
            reason = (error.strerror or "the disk failed").lower()
            self._inbox.put(
                partial(
                    self._say, f"nothing more is recorded ({reason}): what was written is whole, the talk goes on"
                )
            )


def _kept(said: Said) -> tuple[list[tuple[str, float, float]], dict[str, Any]]:
    words = [(word.text.strip(), word.start, word.end) for word in said.words]
    return words, {
        "start": said.start,
        "end": said.end,
        "text_raw": said.sentence.text,
        "text": said.heard,
        "written": said.sentence.written,
        "tag": said.sentence.tag,
        "interrupted": not said.complete,
        "kind": "speech",
        "status": "spoken",
    }


def _sentence_of(error: Exception) -> str:
    """An error in a sentence without a full stop."""
    if isinstance(error, DailytalkError):
        return error.sentence
    if isinstance(error, MemoryError):
        return "there is not enough memory: close other programs, or choose a smaller model"
    detail = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}{': ' if detail else ''}{detail}"


def run_talk(talk: Talk, blocks: sound_blocks.SoundBlocks) -> None:
    """Run a talk until there is no more sound, or a Ctrl-C; then end it."""
    try:
        while True:
            interrupts.check_interrupt()
            block = blocks.read()
            if block is None:
                break
            out = talk.step(block)
            blocks.play(out)
    finally:
        talk.end()
        blocks.close()
