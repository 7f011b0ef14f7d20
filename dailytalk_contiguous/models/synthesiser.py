"""What a speech synthesiser is to the rest of the package."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.packing import Word


class SynthesisFailed(DailytalkError):
    """One utterance could not be said after all tries of its transport. Another take, or another run, may do.

    `paid`: answers that broke off after they had begun, and that the service will charge for.
    """

    def __init__(self, reason: str, remedy: str, paid: int = 0) -> None:
        super().__init__(reason, remedy)
        self.paid = paid


class Line(NamedTuple):
    """What to say: the text without its tag, the style tag (empty for none), ISO 639-1 language, and the take.

    The same line with another `take` is another performance; where an engine is deterministic, `take` changes
    nothing.
    """

    text: str
    tag: str
    language: str
    take: int


class Spoken(NamedTuple):
    """What was said: mono float32 in [-1, 1], its rate in Hz, word times in its seconds or None, and USD.

    `words` hold the words of the text as they are written there, in order, when the engine knows their times.
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

    Attributes:
        engine, model, voice: names that go into the dataset and the cache key.
        concurrency: requests at a time; it sees to that itself.
        deterministic: whether the same line and take always give the same samples, so that nothing is paid for.
    """

    engine: str
    model: str
    voice: str
    concurrency: int
    deterministic: bool

    def settings(self) -> dict[str, object]:
        """Everything else that decides how a line sounds: part of the cache key. Never a secret."""

    def price(self, lines: Sequence[Line]) -> float:
        """USD that saying the lines would cost."""

    def preflight(self) -> None:
        """Raise DailytalkError if nothing could be said at all (program missing, no token). Spends nothing."""

    def speak(self, line: Line, samples: Sequence[VoiceSample] = ()) -> Spoken:
        """Say a line, in the voice of `samples` if there are any.

        Raises SynthesisFailed if this line can't be said now, and DailytalkError (not its subclass) if no line
        can: the run then stops.
        """
