"""Models that fail: an error on one utterance costs that utterance, and not the run.

A recogniser, a classifier or an aligner may raise anything on odd sound (a logarithm of zero, an empty tensor).
Such an error says something about one utterance, which then does without the model, under a reason that names it.
Other errors say something about the machine or the settings (memory, a GPU, a file, a library that is missing).
They end the run, since the next utterance would fail for the same reason.
"""

import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

from dailytalk_contiguous.core.errors import BadInput, DailytalkError, lacks_memory
from dailytalk_contiguous.machine.interrupts import check_interrupt

#: Utterances in a process on all of which a model has failed, after which it is taken to be broken.
FAILED_FROM_THE_START = 20


_Item = TypeVar("_Item")
_Key = TypeVar("_Key", bound=Hashable)
_Result = TypeVar("_Result")


class ModelFailed(Exception):
    """A model raised an error on one utterance, or returned something that can't be used. The text says what."""


class _Record:
    """The utterances on which each model has failed, and the models that have worked, in a run of this process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.clear()

    def clear(self) -> None:
        """Begin anew, as each run does."""
        self._failed: dict[str, set[Hashable]] = {}
        self._has_worked: set[str] = set()

    def worked(self, model: str) -> None:
        self._has_worked.add(model)

    def failed(self, model: str, reason: str, utterance: Hashable = None) -> None:
        """Count a failure. Raises DailytalkError for a model that has failed on everything so far.

        `utterance` is a key of the utterance, if it may be counted again; None if it comes once.
        """
        with self._lock:
            failed = self._failed.setdefault(model, set())
            failed.add(object() if utterance is None else utterance)
            n_failed = len(failed)
        if n_failed >= FAILED_FROM_THE_START and model not in self._has_worked:
            raise DailytalkError(
                f"{model} has failed on each of its first {n_failed} utterances (the last: {reason})",
                "fix or replace it, and run the same command again",
            )


#: The record of this process.
record = _Record()


#: Texts that errors of a GPU contain, in lower case. After one of them every call fails.
_OF_GPU = ("cuda", "cudnn", "cublas", "out of memory")


def failure_text(error: Exception) -> str | None:
    """The words for an error that a model raises on its input; None for an error that should end the run."""
    if isinstance(error, ModelFailed):
        return str(error)
    if isinstance(error, DailytalkError | OSError | ImportError) or lacks_memory(error):
        return None
    message = str(error).encode("utf-8", "backslashreplace").decode()
    if any(word in message.lower() for word in _OF_GPU):
        return None
    return f"{type(error).__name__}: {message[:200]}"


#: A reason that names a failure: the type of an error, or the first words of our own text, and its message.
_FAILED = re.compile(r"(failed(?: on it)?) \((?P<kind>[^():]+): .*\)", re.DOTALL)


def without_message(reason: str) -> str:
    """A reason without the message of a model's error, which may quote anything: paths, addresses, what was said.

    >>> without_message("the aligner frail failed (KeyError: '/home/ann/a.wav')")
    'the aligner frail failed (KeyError)'
    """
    return _FAILED.sub(r"\1 (\g<kind>)", reason)


@contextmanager
def failing_softly(model: str, utterance: Hashable = None) -> Iterator[None]:
    """Raise ModelFailed in place of an error that a model raises on its input.

    Args:
        model: its name.
        utterance: a key of the utterance, if the model may be called on it again.
    """
    try:
        yield
    except Exception as error:  # whatever a model raises
        reason = failure_text(error)
        if reason is None:
            raise
        record.failed(model, reason, utterance)
        raise ModelFailed(f"{model} failed ({reason})") from error
    record.worked(model)


def each_that_works(
    call: Callable[[Sequence[_Key]], Sequence[_Result]], keys: Sequence[_Key], model: str
) -> tuple[dict[_Key, _Result], dict[_Key, str]]:
    """Call a model on all keys, and on ever smaller halves of those on which it fails.

    Args:
        call: returns one result for each of its keys, in their order.
        keys: each once.
        model: its name, for `record`.

    Returns:
        The results by key, and the reasons for the keys on which the model fails alone. Raises every error that
        should end the run (`failure_text`).
    """
    check_interrupt()
    try:
        results = dict(zip(keys, call(keys), strict=True))
    except Exception as error:  # whatever a model raises
        reason = failure_text(error)
        if reason is None:
            raise
        if len(keys) == 1:
            record.failed(model, reason)
            return {}, {keys[0]: reason}
        middle = len(keys) // 2
        results, reasons = each_that_works(call, keys[:middle], model)
        more_results, more_reasons = each_that_works(call, keys[middle:], model)
        return results | more_results, reasons | more_reasons
    record.worked(model)
    return results, {}


class FailedInput(BadInput):
    """An item that can't be used, since the model of a stage fails on it alone."""


def all_that_work(
    call: Callable[[Sequence[_Item]], Sequence[_Result]], items: Sequence[_Item], model: str, remedy: str
) -> list[_Result | FailedInput]:
    """Return the results of items, or the errors of those on which the model fails alone.

    `each_that_works` finds these. The others are called together once more, since a model may compare what is in a
    batch. Without a remedy, the error of the model is raised.
    """

    def results_of(keys: Sequence[int]) -> Sequence[_Result]:
        return call([items[key] for key in keys])

    if not remedy or not items:
        return [*call(items)]
    results, reasons = each_that_works(results_of, range(len(items)), model)
    if results and reasons:
        works = [*results]
        try:
            results = dict(zip(works, results_of(works), strict=True))
        except Exception as error:  # the results of the parts are kept
            if failure_text(error) is None:
                raise
    errors: dict[int, FailedInput] = {}
    for key, reason in reasons.items():
        errors[key] = FailedInput(f"the model of {model} failed on it ({reason})", remedy)
    return [errors.get(key) or results[key] for key in range(len(items))]
