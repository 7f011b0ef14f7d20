"""Turns for CSM, Sesame's conversational speech model, as the chat template in transformers wants them.

Layout: `conversations.jsonl`, one conversation a line, `{"conversation_id", "language", "messages"}`; a message is
`{"role": "0", "content": [{"type": "text", "text": …}, {"type": "audio", "path": "audio/NAME/0000.wav"}]}`. The
template takes role as the speaker's number in a string (0: main, 1: other), one text and one audio a message.
Paths are relative to the file: join them to its folder before `processor.apply_chat_template(messages)`. Audio is
mono, of that speaker alone, at 24 kHz, the rate of its codec (`CsmProcessor`'s default).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.files.owned_folder import OwnedFolder, file_name
from dailytalk_contiguous.files.writing import json_text
from dailytalk_contiguous.publish.rows import Conversation, Row, Utterance, conversation

CONVERSATIONS = "conversations.jsonl"

#: Hz, from `CsmProcessor`.
CSM_RATE = 24000

#: Seconds. Utterances of one speaker with less between them, and nothing of the other, are one turn.
ONE_TURN = 1.0


class Turn(NamedTuple):
    """What one speaker says in one go, in seconds of the conversation."""

    start: float
    end: float
    main: bool
    text: str


def export_csm(
    rows: Iterable[Row], out: Path, *, swap: bool = False, sample_rate: int = CSM_RATE
) -> tuple[int, list[Reject]]:
    """Write conversations as turns with text and audio.

    Args:
        rows: of `core.built.BUILT`; read once, one at a time.
        out: the folder. Only a new one, an empty one, or an earlier export is written to.
        swap: the right speaker is 0.
        sample_rate: Hz.

    Returns:
        How many conversations were written, and those that were left out. Utterances without text (laughter)
        are no turns, since the template refuses a message without text.

    Raises:
        DailytalkError: `out` is not ours, an id occurs twice, or no conversation could be written.
    """
    target = OwnedFolder(out, "csm", (CONVERSATIONS,))
    lines: dict[str, str] = {}
    rejects: list[Reject] = []
    for row in rows:
        name = row["conversation_id"]
        if name in lines:
            raise DailytalkError(f"the conversation {name!r} occurs twice", "run `dailytalk check` on the dataset")
        try:
            one = conversation(row, sample_rate, swap)
            messages = list(_messages(target, one))
            if not messages:
                raise BadInput("nobody says a word", "check its transcript")
        except BadInput as problem:
            rejects.append(Reject(name, "export", problem.reason, problem.remedy))
            continue
        lines[name] = json_text({"conversation_id": name, "language": one.language, "messages": messages})
    if not lines:
        raise DailytalkError("no conversation could be exported", "build the dataset again")
    target.finish({CONVERSATIONS: "".join(lines.values())})
    return len(lines), rejects


def turns(utterances: Iterable[Utterance]) -> Iterator[Turn]:
    """Join what one speaker says in one go; a backchannel of the other parts it, so that the order stays true."""
    current: Turn | None = None
    for said in sorted(utterances, key=lambda one: (one.start, one.end)):
        if not said.text.strip():
            continue
        if current and current.main == said.main and said.start - current.end < ONE_TURN:
            text = f"{current.text} {said.text.strip()}"
            current = Turn(current.start, max(current.end, said.end), said.main, text)
            continue
        if current:
            yield current
        current = Turn(said.start, said.end, said.main, said.text.strip())
    if current:
        yield current


def _messages(target: OwnedFolder, one: Conversation) -> Iterator[dict[str, Any]]:
    folder = f"audio/{file_name(one.id)}"
    for number, turn in enumerate(turns(one.utterances)):
        first, last = (round(edge * one.sample_rate) for edge in (turn.start, turn.end))
        path = f"{folder}/{number:04d}.wav"
        target.write_wav(path, one.pcm[first:last, 0 if turn.main else 1], one.sample_rate)
        yield {
            "role": "0" if turn.main else "1",
            "content": [{"type": "text", "text": turn.text}, {"type": "audio", "path": path}],
        }
