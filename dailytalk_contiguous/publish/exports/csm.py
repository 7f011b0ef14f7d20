"""CSM, Sesame's model, as the chat template in transformers takes it.

A line of `conversations.jsonl` is a conversation, `{"conversation_id", "language", "messages"}`; a message is
`{"role": "0", "content": [{"type": "text", "text": …}, {"type": "audio", "path": "audio/NAME/0000.wav"}]}`. Role
is the speaker's number in a string (0: main, 1: other), one text and one audio a message. Paths are relative to
the file: join them to its folder before `processor.apply_chat_template(messages)`. Audio is mono, of one speaker.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dailytalk_contiguous.publish.exports import export as exports
from dailytalk_contiguous.publish.exports.finished_conversation import ConversationUtterance, FinishedTalk
from dailytalk_contiguous.store.files import file_name

#: The list of conversations.
CONVERSATIONS = "conversations.jsonl"

#: Hz of CSM's codec.
SAMPLE_RATE = 24000

#: Seconds. Utterances of one speaker with less between them, and nothing of the other, are one turn.
ONE_TURN = 1.0


class DialogueTurn(NamedTuple):
    """A turn in seconds of its conversation; `main`: of the main speaker."""

    start: float
    end: float
    main: bool
    text: str


def turns(utterances: Iterable[ConversationUtterance]) -> Iterator[DialogueTurn]:
    current: DialogueTurn | None = None
    for utterance in sorted(utterances, key=lambda item: (item.start, item.end)):
        if not utterance.text.strip():
            continue
        if current and current.main == utterance.main and utterance.start - current.end < ONE_TURN:
            text = f"{current.text} {utterance.text.strip()}"
            end = max(current.end, utterance.end)
            current = current._replace(end=end, text=text)
            continue
        if current:
            yield current
        text = utterance.text.strip()
        current = DialogueTurn(utterance.start, utterance.end, utterance.main, text)
    if current:
        yield current


def write_csm(export: exports.Export, item: FinishedTalk) -> Iterator[exports.FileEntry]:
    """Write the sound of each turn. Utterances without text (laughter) are no turns: the template rejects them."""
    exports.refuse_mute(item)
    messages = []
    for number, turn in enumerate(turns(item.utterances)):
        first = round(turn.start * item.sample_rate)
        last = round(turn.end * item.sample_rate)
        channel = 0 if turn.main else 1
        name = f"audio/{file_name(item.id)}/{number:04d}"
        export.write_sound(name, item.pcm[first:last, channel])
        text = {"type": "text", "text": turn.text}
        audio = {"type": "audio", "path": f"{name}.wav"}
        messages.append({"role": str(channel), "content": [text, audio]})
    line = {"conversation_id": item.id, "language": item.language, "messages": messages}
    yield exports.FileEntry(line, item.duration)


CSM = exports.ExportFormat(
    "csm",
    reader="CSM in transformers (`CsmProcessor`)",
    holds="turns of both speakers: a text and mono WAV each",
    loses="overlap and pauses between turns, times of words, tags, sounds without text",
    checked="a reader written from its chat template",
    write=write_csm,
    finish=exports.json_lists(train=CONVERSATIONS),
    manifests=(CONVERSATIONS,),
    options=frozenset({"main", "prosodic_tokens"}),
)
