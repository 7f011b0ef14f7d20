"""The words that moshi-finetune has beside each WAV: `{"alignments": [[word, [start, end], speaker], …]}`."""

from typing import Any, NamedTuple

from dailytalk_contiguous.core.documents import LATEST, is_number, quoted
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import MAIN


class SaidWord(NamedTuple):
    """A word of a file: its text, start and end in seconds, speaker, and that speaker's channel."""

    text: str
    start: float
    end: float
    speaker: str
    channel: int


def said_words(alignments: Any, where: str, remedy: str) -> list[SaidWord]:
    """The words beside a WAV of a Moshi folder, `[[word, [start, end], speaker], …]`, in their order.

    Times are any seconds up to `LATEST` before or after the start: which of them a trainer can use, `check` says.
    Raises BadInput with this remedy, naming `where`.
    """
    words = []
    for entry in alignments if isinstance(alignments, list) else [alignments]:
        match entry:
            case [str(text), [start, end], str(speaker)] if is_number(start, -LATEST, LATEST) and is_number(
                end, -LATEST, LATEST
            ):
                words.append(SaidWord(text, start, end, speaker, 0 if speaker == MAIN else 1))
            case _:
                problem = f"a word beside {where} is {quoted(entry)}, not [word, [start, end], speaker]"
                raise BadInput(problem, remedy)
    return words
