"""The answers of a model so far, batch by batch, so that a stop loses minutes and not a stage.

The stages that a conversation has been through are saved as they end, but one of them may run for ten minutes:
Whisper over a long call. While a shard is made, the answers to the batches of its models are appended to a file
beside it, under the digest of the stages up to this one and of all that went into the batch. A run that is begun
again asks the model only for batches that are not there, so its rows are the same to the bit.
"""

import contextlib
import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from dailytalk_contiguous.core.documents import MOST_OWN_BYTES, fits, numbered_lines, parse_json
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.store.files import leads_out

log = logging.getLogger(__name__)

_LINE = {"batch": str, "answers": [object]}


_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


class Checkpoint:
    """The answers in one file, read as it is opened and appended to as they come.

    It is a shortcut: where it can't be read or written (a damaged line, a link out of its folder), the model is
    asked. A disk that can't be written to is reported once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writable = not leads_out(path, path.parent)
        self._answers: dict[str, list[Any]] = {}
        self._lock = threading.Lock()
        if self._writable and path.is_file():
            with contextlib.suppress(BadInput):
                for _, line in numbered_lines(path, limit=MOST_OWN_BYTES):
                    with contextlib.suppress(BadInput):  # cut off by a crash
                        value = parse_json(line, path.name, limit=MOST_OWN_BYTES, nan=True)
                        if fits(value, _LINE):
                            self._answers[value["batch"]] = value["answers"]

    def __getitem__(self, batch: str) -> list[Any]:
        """The answers to a batch, as JSON holds them. Raises KeyError where there are none."""
        return self._answers[batch]

    def append(self, batch: str, answers: Sequence[Any]) -> None:
        """Keep the answers to a batch: numbers, texts, and tuples of those."""
        # A new line, whatever is before it: a crash may have cut that off.
        line = "\n" + json.dumps({"batch": batch, "answers": answers}) + "\n"
        with self._lock:
            if self._writable:
                try:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    with self.path.open("a", encoding="utf-8") as file:
                        file.write(line)
                except OSError as error:
                    self._writable = False
                    log.warning("%s can't be written (%s): a stop would lose more", self.path, error.strerror)

    def remove(self) -> None:
        """Delete the file: the shard is written, and holds all of it."""
        self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def during(self, stage: str) -> Iterator[None]:
        """In this block, and this thread, `checkpointed` keeps and finds the answers; `stage` is a digest."""
        token = _current.set(_Current(self, stage))
        try:
            yield
        finally:
            _current.reset(token)


class _Current(NamedTuple):
    checkpoint: Checkpoint
    stage: str


_current: ContextVar[_Current | None] = ContextVar("checkpoint", default=None)


def checkpointed(
    call: Callable[[list[_Item]], Sequence[_Answer]], read: Callable[[Any], _Answer], about: str = ""
) -> Callable[[list[_Item]], Sequence[_Answer]]:
    """`call`, which answers a batch of bytes or flat arrays, or the answers that an earlier run kept of it.

    Args:
        call: its answers are tuples of numbers and texts, as many as there are items. It may be called in any
            thread.
        read: makes an answer of what JSON holds of it (lists for tuples). Raises TypeError or ValueError for what
            is none.
        about: what else decides the answers, besides the items and the stage's settings, code and models.

    Where no `Checkpoint` is in use, in a notebook as in a stream, it is `call` itself.
    """
    current = _current.get()
    if current is None:
        return call

    def answer(items: list[_Item]) -> Sequence[_Answer]:
        digest = hashlib.sha256(f"{current.stage}\0{about}\0{len(items)}".encode())
        for item in items:
            content = memoryview(item)  # type: ignore[arg-type]  # NumPy does not say that it has a buffer
            digest.update(f"\0{content.nbytes}\0".encode())
            digest.update(content)
        batch = digest.hexdigest()[:32]
        with contextlib.suppress(KeyError, TypeError, ValueError):
            answers = [read(value) for value in current.checkpoint[batch]]
            if len(answers) == len(items):
                return answers
        made = call(items)
        current.checkpoint.append(batch, made)
        return made

    return answer
