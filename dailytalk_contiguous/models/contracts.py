"""The contracts that adapters keep: of synthesisers, recognisers, classifiers of emotion, models that chat."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.licensing import Licence
from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.core.style.emotions import ConfidenceLimits
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.models.checkpoints import Missing

#: Reserves a price (USD) while one request is under way; the function that it yields takes the real cost.
Reserve: TypeAlias = Callable[[float], AbstractContextManager[Callable[[float], None]]]


@contextmanager
def free(price: float) -> Iterator[Callable[[float], None]]:
    """A `Reserve` without a limit and without an account."""
    del price
    yield lambda cost: None


class NotAnswered(DailytalkError):
    """One request has no whole answer after all tries of its transport. The next one may have."""


class BrokenOff(NotAnswered):
    """An answer that came piece by piece ended too early. Its pieces up to then have been delivered."""


class SynthesisFailed(NotAnswered):
    """One utterance could not be synthesised. Another run may succeed."""


class Line(NamedTuple):
    """A line to say.

    Attributes:
        text: the words, without the tag.
        tag: the style tag; empty for none.
        language: ISO 639-1.
        take: the number of the performance. If an engine is deterministic, all takes of a line are the same.
        rate: how fast the source says it, as a multiple of its speaker's usual rate, for an engine with
            `Engine.follows_rate`; None if unknown.
    """

    text: str
    tag: str
    language: str
    take: int
    rate: float | None = None


class Spoken(NamedTuple):
    """Synthesised speech.

    Attributes:
        samples: mono float32 in [-1, 1].
        sample_rate: in Hz.
        words: the words of the text as they are written there, in order, with times in seconds of the speech; None
            if the engine knows no times. If it stopped before the text ended, they are the first words.
        cost: cost in USD of every answer that was charged, also those that broke off.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    words: list[Word] | None
    cost: float


class VoiceSample(NamedTuple):
    """Speech of a voice to be cloned: a WAV file as bytes, and the text that is said in it."""

    wav: bytes
    text: str


class Synthesiser(Protocol):
    """Says one line at a time; called from several threads at once, which need not keep to `concurrency`.

    A class that inherits it has to define `speak` alone.

    Attributes:
        engine: name of its engine, in the dataset and the cache key; empty for the name that was chosen.
        model: name of its model, in the dataset and the cache key; empty for the one that was chosen.
        voice: name of its voice, in the dataset and the cache key; empty for the one that was chosen.
        server: address that lines are sent to; empty if a program on this machine says them. The code of such
            a program is part of the cache key.
        concurrency: requests at a time; the synthesiser keeps to it itself.
        deterministic: whether the same line and take always give the same samples, so that nothing is paid for.
        licence: the licence of its voice, if that is not the one of its `Engine`.
        version: a number that is raised whenever a program of this package says a line otherwise.
        other_options: values of `Engine.options` that `settings` does not name, by their options; set when it is
            loaded.
    """

    engine: str = ""
    model: str = ""
    voice: str = ""
    server: str = ""
    concurrency: int = 1
    deterministic: bool = False
    version: int = 1
    other_options: Mapping[str, object] = {}

    @property
    def licence(self) -> Licence | None:
        return None

    @property
    def served_by(self) -> str:
        """The source of the speech, part of the cache key: the server's address without user, password and query.

        A service that is the same at several addresses overrides this.
        """
        parts = urlsplit(self.server)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))

    def settings(self) -> dict[str, object]:
        """Everything else that decides how a line sounds: part of the cache key. Never a secret."""
        return {}

    def price(self, lines: Sequence[Line]) -> float:
        """USD that saying the lines would cost."""
        return 0.0

    def preflight(self) -> None:
        """Raise DailytalkError if no line could be synthesised (program missing, no token). Spends nothing."""

    def refuse_language(self, language: str) -> None:
        """Raise SynthesisFailed if it says no line in this language, as `Line` names it. Spends nothing."""
        return

    def lacking(self) -> list[Missing]:
        """Weights that it needs and that are not on this machine."""
        return []

    def fetch(self) -> None:
        """Download what it lacks. Raises ModelMissing."""
        return

    def speak(self, line: Line, samples: Sequence[VoiceSample] = (), reserve: Reserve = free) -> Spoken:
        """Say a line, in the voice of `samples` if there are any. Every request that costs goes through `reserve`.

        Raises NotAnswered if this line can't be synthesised now, and DailytalkError (not that subclass) if no
        line can: the run then stops.
        """
        raise NotImplementedError


class VoiceConverter(Synthesiser):
    """Converts recorded sound into another voice; says no text. Called from one thread.

    A class that inherits it has to define `convert` alone. It costs nothing, and the same sound of the same
    speaker always becomes the same: it depends on nothing else.
    """

    deterministic = True

    def voice_of(self, speaker: str) -> str:
        """The name of the voice that a speaker is given, for rows and cards."""
        return self.voice

    def convert(self, side: Samples, sample_rate: int, speaker: str) -> Samples:
        """Convert one side of a conversation: float32 samples of shape (n,), and as many of them after.

        Nothing moves in time: an onset at a sample is at that sample afterwards. `speaker` distinguishes the
        speakers of a corpus; the same one always has the same voice. Raises SynthesisFailed for a side that can't
        be converted.
        """
        raise NotImplementedError

    def speak(self, line: Line, samples: Sequence[VoiceSample] = (), reserve: Reserve = free) -> Spoken:
        """Raise DailytalkError: there is no recording to convert."""
        raise DailytalkError(
            f"{self.engine} converts recorded sound and can't speak text",
            "choose another --tts where there is no recording",
        )


#: The name of the voice that is the conversation's own speaker.
CLONE = "clone"

#: The voice that is whichever the service takes for each request.
ANY = "any"


#: Answers of one kind that can't be used, after which a service that gave no other is taken to give no other.
UNUSABLE_ANSWERS = 3


@dataclass(frozen=True)
class NoOptions:
    """The settings of its own that most engines have: none."""


NO_OPTIONS = NoOptions()


class VoiceSettings(NamedTuple):
    """The settings that a run passes to a synthesiser. `sample_rate` is in Hz, `device` is auto, cpu or cuda.

    `options` is `Engine.options` with the values that were chosen.
    """

    model: str
    voice: str
    temperature: float = 0.7
    top_p: float = 0.7
    sample_rate: int = 24000
    concurrency: int = 5
    device: str = "auto"
    options: Any = NO_OPTIONS


@dataclass(frozen=True)
class Engine:
    """A synthesiser's description, one literal `ENGINE` in a file of its own (see `models.engines`).

    Attributes:
        name: its name in rows, cards and cache keys.
        load: makes the synthesiser, and is called often: `speak` loads whatever takes long, such as weights.
            Raises DailytalkError for settings that it does not have.
        licence: the licence of its speech.
        model: its default model.
        voice: its default voice.
        clones: whether it can speak in the voice of a `VoiceSample`.
        tags: the list in `core.style.tags.STYLES` of tags that it understands, or such a list for each of its
            models; empty where it takes none, and lines are said without theirs.
        voices: its names for a `male` and a `female` voice, and for `any` where it needs a name for that.
        price: its price, in words.
        follows_rate: whether it can say a line as fast as its source (`Line.rate`).
        network: whether it runs a network on `VoiceSettings.device`.
        converts: whether it is given the recorded sound in place of text: `load` makes a `VoiceConverter`.
        options: a frozen dataclass of its own settings (see `core.settings.setting`), options of the commands.
    """

    name: str
    load: Callable[[VoiceSettings], Synthesiser]
    licence: Licence
    model: str = ""
    voice: str = ""
    clones: bool = False
    tags: str | Mapping[str, str] = ""
    voices: Mapping[str, str] = field(default_factory=dict)
    price: str = "free"
    follows_rate: bool = False
    network: bool = False
    converts: bool = False
    options: object = NO_OPTIONS

    def tag_list(self, model: str) -> str:
        """The name of the list of tags that a model understands; empty for one that takes none, or is unknown."""
        if isinstance(self.tags, str):
            return self.tags
        return self.tags.get(model or self.model, "")


class EmotionGuess(NamedTuple):
    """A classifier's answer for an utterance. It is a guess from sound, not a diagnosis.

    Attributes:
        probabilities: the probabilities of its model's classes, in their order, float32 (classes,), sum 1; empty
            if it has no answer.
        reason: why it has none, such as "no sound"; else empty.
    """

    probabilities: NDArray[np.float32]
    reason: str = ""


class EmotionModel(Protocol):
    """Classifies utterances; called from one thread.

    Attributes:
        name: the name of the model or its folder, in rows.
        classes: the classes that it distinguishes, sorted.
        compares: whether a guess depends on the other sounds of the same speaker.
        limits: the confidence under which its guesses are unsure. May be set.
    """

    name: str
    classes: tuple[str, ...]
    compares: bool
    limits: ConfidenceLimits

    def classify(
        self, sounds: Sequence[Samples], speakers: Sequence[Hashable] | None = None
    ) -> list[EmotionGuess]:
        """Return a guess for each sound (16 kHz, [-1, 1], any length), in their order.

        A guess depends on no other sound, except on those of the same speaker: with `speakers`, one for each
        sound, a model may compare what one of them says.
        """


class TrainedEmotionModel(EmotionModel, Protocol):
    """A classifier that `dailytalk emotion train` makes, and that a model folder holds.

    Attributes:
        kind: the class that reads its settings and weights: `linear`, `spectrogram` or `audio`.
        temperature: over 0; its probabilities are the softmax of its logits over this. May be set.
    """

    kind: str
    temperature: float

    def settings(self) -> dict[str, object]:
        """The settings to build it again with its weights: JSON."""

    def weights(self) -> Mapping[str, NDArray[np.generic]]:
        """Its weights by name, floats, as `model.safetensors` holds them."""


class ChatMessage(NamedTuple):
    """One message of a conversation: who says it (`system`, `user` or `assistant`), and its text."""

    role: str
    content: str


class ReplyPieces(Iterator[str], Protocol):
    """The pieces of a reply, as they come."""

    def close(self) -> None:
        """End the reply, from any thread. The iterator ends, too; nothing happens after the last piece."""


class ChatModel(Protocol):
    """Answers a person; used by one conversation at a time.

    Attributes:
        name: the name of the model, for the screen and the record.
        service: the host that messages go to, for the screen; empty where nothing leaves this machine.
    """

    name: str
    service: str

    def preflight(self) -> None:
        """Raise DailytalkError if it could answer nothing (no server, no such model)."""

    def reply(self, messages: Sequence[ChatMessage], most_tokens: int) -> ReplyPieces:
        """Return the pieces of the answer to the last message, of at most about `most_tokens` tokens.

        A reply that reaches the limit ends there without an error, mostly in the middle of a sentence. Messages
        are: at most one of the system, which is first, then user and assistant in turn; the user has the last.

        This or the pieces raise NotAnswered where there is no reply, `BrokenOff` where it ends in the middle, and
        DailytalkError (not that subclass) where no reply can come before a person acts.
        """
