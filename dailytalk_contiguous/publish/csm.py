"""CSM, Sesame's model, as the chat template in transformers takes it.

A line of `conversations.jsonl` is a conversation, `{"conversation_id", "language", "messages"}`; a message is
`{"role": "0", "content": [{"type": "text", "text": …}, {"type": "audio", "path": "audio/NAME/0000.wav"}]}`. Role
is the speaker's number in a string (0: main, 1: other), one text and one audio a message. Paths are relative to
the file: join them to its folder before `processor.apply_chat_template(messages)`. Audio is mono, of one speaker.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from dailytalk_contiguous.core import documents
from dailytalk_contiguous.core.audio import to_uri
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.publish import exports
from dailytalk_contiguous.publish.conversation import Conversation, ConversationUtterance
from dailytalk_contiguous.publish.findings import Checked, Finding, FindingLimits, error, measure_loudness
from dailytalk_contiguous.store.files import file_name, inside

#: The list of conversations.
CONVERSATIONS = "conversations.jsonl"

#: Hz of CSM's codec.
SAMPLE_RATE = 24000

#: Seconds. Utterances of one speaker with less between them, and nothing of the other, are one turn.
ONE_TURN = 1.0

_CSM_AGAIN = "export again with `dailytalk export --format csm`"


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


def write_csm(export: exports.Export, item: Conversation) -> Iterator[exports.FileEntry]:
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


#: Roles that CSM's template knows, and an exported conversation has.
ROLES = ("0", "1")


def check_csm(folder: Path, limits: FindingLimits) -> Checked:
    """Check a folder for CSM; findings, and counts: conversations, turns, and hours of each role."""
    findings: list[Finding] = []
    names: set[str] = set()
    seconds: dict[str, float] = defaultdict(float)
    turns = 0
    for number, line in documents.json_lines(folder / CONVERSATIONS, _CSM_AGAIN):
        location = f"{CONVERSATIONS}:{number}"
        messages = None if isinstance(line, BadInput) else line.get("messages")
        if isinstance(line, BadInput) or not isinstance(messages, list) or not messages:
            problem = line.reason if isinstance(line, BadInput) else "it has no messages"
            findings.append(error("bad-line", location, problem, _CSM_AGAIN))
            continue
        name = str(line.get("conversation_id"))
        if name in names:
            findings.append(error("duplicate", location, f"the conversation {name!r} occurs twice", _CSM_AGAIN))
        names.add(name)
        for message in messages:
            turns += 1
            findings += _turn(folder, location, message, seconds)
    if not names:
        findings.append(error("empty-manifest", CONVERSATIONS, "it names no conversation", _CSM_AGAIN))
    hours_of_role = {role: round(seconds[role] / 3600, 7) for role in sorted(seconds)}
    facts = {
        "conversations": len(names),
        "turns": turns,
        "hours": round(sum(seconds.values()) / 3600, 7),
        "hours_of_role": hours_of_role,
    }
    return findings, facts


def _turn(folder: Path, location: str, message: object, seconds: dict[str, float]) -> Iterator[Finding]:
    match message:
        case {
            "role": role,
            "content": [{"type": "text", "text": str(text)}, {"type": "audio", "path": str(path)}],
        }:
            pass
        case _:
            problem = f"a message is {documents.quoted(message)}, not a role with one text and one audio"
            yield error("bad-message", location, problem, _CSM_AGAIN)
            return
    if role not in ROLES:
        problem = f"the role of a message is {documents.quoted(role)}, not {' or '.join(ROLES)}"
        yield error("unknown-speaker", location, problem, _CSM_AGAIN)
        return
    if not text.strip():
        yield error("empty-text", location, f"the message of {path} has no text", _CSM_AGAIN)
    try:
        wav = inside(folder, path)
        if not wav.is_file():
            yield error("missing-audio", path, f"{location} names it, but it isn't there", _CSM_AGAIN)
            return
        loudness = measure_loudness({"bytes": None, "path": to_uri(wav)})
    except BadInput as failure:
        yield error("unreadable-audio", path, failure.reason, failure.remedy)
        return
    seconds[role] += loudness.seconds
    if loudness.channels != 1:
        yield error("not-mono", path, f"it has {loudness.channels} channels, not 1", _CSM_AGAIN)
    if loudness.sample_rate != SAMPLE_RATE:
        problem = f"its rate is {loudness.sample_rate} Hz, not {SAMPLE_RATE}, that of CSM's codec"
        yield error("wrong-rate", path, problem, "export it again without --sample-rate")
    if loudness.is_silent(0):
        yield error("silent-turn", path, "it is silent, and has a text", _CSM_AGAIN)


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
    recognises=lambda folder: (folder / CONVERSATIONS).is_file(),
    check=check_csm,
)
