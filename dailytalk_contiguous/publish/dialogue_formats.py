"""Layouts of conversations as turns or words, for trainers that read no alignments of Moshi.

CSM, Sesame's model, as the chat template in transformers takes it: `conversations.jsonl`, one conversation a
line, `{"conversation_id", "language", "messages"}`; a message is
`{"role": "0", "content": [{"type": "text", "text": …}, {"type": "audio", "path": "audio/NAME/0000.wav"}]}`. Role
is the speaker's number in a string (0: main, 1: other), one text and one audio a message. Paths are relative to
the file: join them to its folder before `processor.apply_chat_template(messages)`. Audio is mono, of one speaker.

J-Moshi, as nu-dialogue's moshi-finetune reads it: `audio/NAME.wav`, stereo with speaker A on the left and B on the
right, and `text/NAME.json`, a list of `{"speaker", "word", "start", "end"}` with the words of both by start.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.turns import SPACELESS
from dailytalk_contiguous.publish import exports
from dailytalk_contiguous.publish.items import Conversation, Utterance
from dailytalk_contiguous.store.files import json_text

#: The list of CSM's conversations.
CONVERSATIONS = "conversations.jsonl"

#: Seconds. Utterances of one speaker with less between them, and nothing of the other, are one turn.
ONE_TURN = 1.0

#: J-Moshi's folders of sound and words, and its speakers: on the left, on the right.
AUDIO, TEXT = "audio", "text"
SPEAKERS = ("A", "B")


class DialogueTurn(NamedTuple):
    start: float
    end: float
    main: bool
    text: str


def turns(utterances: Iterable[Utterance]) -> Iterator[DialogueTurn]:
    current: DialogueTurn | None = None
    for utterance in sorted(utterances, key=lambda item: (item.start, item.end)):
        if not utterance.text.strip():
            continue
        if current and current.main == utterance.main and utterance.start - current.end < ONE_TURN:
            text = f"{current.text} {utterance.text.strip()}"
            current = current._replace(end=max(current.end, utterance.end), text=text)
            continue
        if current:
            yield current
        current = DialogueTurn(utterance.start, utterance.end, utterance.main, utterance.text.strip())
    if current:
        yield current


def write_csm(export: exports.Export, item: Conversation) -> Iterator[exports.FileEntry]:
    """Write the sound of each turn. Utterances without text (laughter) are none: the template rejects them."""
    exports.refuse_mute(item)
    messages = []
    for number, turn in enumerate(turns(item.utterances)):
        first, last = (round(edge * item.sample_rate) for edge in (turn.start, turn.end))
        name = f"audio/{export.names[item.id]}/{number:04d}"
        export.write_sound(name, item.pcm[first:last, 0 if turn.main else 1])
        content = [{"type": "text", "text": turn.text}, {"type": "audio", "path": f"{name}.wav"}]
        messages.append({"role": "0" if turn.main else "1", "content": content})
    yield exports.FileEntry(
        {"conversation_id": item.id, "language": item.language, "messages": messages}, item.duration
    )


def write_jmoshi(export: exports.Export, item: Conversation) -> Iterator[exports.FileEntry]:
    """Write both streams, which are both trained: a conversation in which a side has no words is rejected."""
    for main, side in zip((True, False), SPEAKERS, strict=True):
        said = [word.text for word in item.words if word.main is main]
        if not said:
            raise BadInput(f"speaker {side} has no words", "transcribe both channels, or leave it out")
        exports.refuse_tags(said, item)
    name = export.names[item.id]
    words = []
    for word in item.words:
        times = {"start": round(word.start, 6), "end": round(word.end, 6)}
        words.append({"speaker": SPEAKERS[not word.main], "word": word.text} | times)
    export.write_sound(f"{AUDIO}/{name}", item.pcm)
    export.target.write_text(f"{TEXT}/{name}.json", json_text(words))
    export.about[item.id] = (item.language or "").partition("-")[0] in SPACELESS
    yield exports.FileEntry(None, item.duration)


def finish_jmoshi(export: exports.Export, lists: exports.Lists) -> Mapping[str, exports.FileText]:
    """Say how the trainer's tools take the folder.

    They put a space before every word, which in a language without spaces is a token of its own, unless told not
    to; the option is for all files of a folder.
    """
    spaceless = any(export.about.values())
    if spaceless and not all(export.about.values()):
        export.notes.append("some in a language that is written without spaces: export these apart")
    root, spaces = export.target.root, ["--no_whitespace_before_word"] if spaceless else []
    tools = {
        "audio": ["--audio_dir", root / AUDIO, "--output_dir", root / "tokenized_audio"],
        "text": ["--word_transcript", root / TEXT, "--output_dir", root / "tokenized_text", *spaces],
    }
    export.facts["commands"] = [
        as_text(shlex.join(["uv", "run", "-m", f"tools.tokenize_{tool}", *map(str, options)]))
        for tool, options in tools.items()
    ]
    return {}


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
    then="check",
)

JMOSHI = exports.ExportFormat(
    "j-moshi",
    reader="moshi-finetune of nu-dialogue (J-Moshi)",
    holds="stereo WAV, the words of both speakers with times",
    loses="texts as sentences, tags, valence/arousal/dominance, prosody",
    checked="a reader written from its README",
    write=write_jmoshi,
    finish=finish_jmoshi,
    options=frozenset({"main", "prosodic_tokens"}),
    then="check",
)
