"""CSM, Sesame's model, as the chat template in transformers takes it.

A line of `conversations.jsonl` is a conversation, `{"conversation_id", "language", "messages"}`; a message is
`{"role": "0", "content": [{"type": "text", "text": …}, {"type": "audio", "path": "audio/NAME/0000.wav"}]}`. Role
is the speaker's number in a string (0: main, 1: other), one text and one audio a message. Paths are relative to
the file: join them to its folder before `processor.apply_chat_template(messages)`. Audio is mono, of one speaker.
"""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.records.seen import SeenUtterance
from dailytalk_contiguous.publish.exports import exporting
from dailytalk_contiguous.store.files import file_name

CONVERSATIONS = "conversations.jsonl"

#: Seconds. Utterances of one speaker with less between them, and nothing of the other, are one turn.
ONE_TURN = 1.0


def turns(utterances: Iterable[SeenUtterance]) -> list[SeenUtterance]:
    """Join utterances into turns, by start: each turn is one utterance, with the texts of all.

    Utterances without text (laughter) are left out: the template rejects them.
    """
    joined: list[SeenUtterance] = []
    for utterance in utterances:
        text = utterance.text.strip()
        last = joined[-1] if joined else None
        if not text:
            continue
        if last and last.channel == utterance.channel and utterance.start - last.end < ONE_TURN:
            last.end = max(last.end, utterance.end)
            last.text = f"{last.text} {text}"
        else:
            joined.append(replace(utterance, text=text))
    return joined


def write_csm(export: exporting.Export, item: exporting.SeenTalk) -> Iterator[exporting.FileEntry]:
    """Write the sound of each turn."""
    talk = item.talk
    exporting.refuse_mute(talk)
    messages = []
    for number, turn in enumerate(turns(talk.utterances)):
        name = f"audio/{file_name(talk.conversation_id)}/{number:04d}"
        export.write_sound(name, item.sound(turn.span, turn.channel))
        text = {"type": "text", "text": turn.text}
        audio = {"type": "audio", "path": f"{name}.wav"}
        messages.append({"role": str(CHANNELS.index(turn.channel)), "content": [text, audio]})
    line = {"conversation_id": talk.conversation_id, "language": talk.main_language, "messages": messages}
    yield exporting.FileEntry(line, talk.duration)


CSM = exporting.ExportFormat(
    "csm",
    reader="CSM in transformers (`CsmProcessor`)",
    holds="turns of both speakers: a text and mono WAV each",
    loses="overlap and pauses between turns, times of words, tags, sounds without text",
    checked="a reader written from its chat template",
    write=write_csm,
    finish=exporting.json_lists(train=CONVERSATIONS),
    manifests=(CONVERSATIONS,),
    options=frozenset({"main"}),
)
