"""Judges the folders that `export` writes for CSM and for J-Moshi, as their trainers would read them.

The layouts are those of `exporting.csm` and `exporting.jmoshi`, whoever wrote the folder.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.audio import to_uri
from dailytalk_contiguous.core.documents import json_lines, quoted, read_json
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.files.inside import inside
from dailytalk_contiguous.publish.checking.findings import Finding, error
from dailytalk_contiguous.publish.checking.loudness import Loudness, measure
from dailytalk_contiguous.publish.checking.words import Said, word_findings
from dailytalk_contiguous.publish.exporting.csm import CONVERSATIONS, CSM_RATE
from dailytalk_contiguous.publish.exporting.jmoshi import AUDIO, SPEAKERS, TEXT

#: Roles that CSM's template knows, and an exported conversation has.
ROLES = ("0", "1")

_CSM_AGAIN = "export again with `dailytalk export --format csm`"
_JMOSHI_AGAIN = "export again with `dailytalk export --format j-moshi`"


def is_csm(folder: Path) -> bool:
    """Whether a folder is laid out for CSM."""
    return (folder / CONVERSATIONS).is_file()


def is_jmoshi(folder: Path) -> bool:
    """Whether a folder is laid out for J-Moshi."""
    return (folder / TEXT).is_dir() and (folder / AUDIO).is_dir()


def check_csm(folder: Path) -> tuple[list[Finding], dict[str, Any]]:
    """Findings on a folder for CSM, and what is in it: conversations, turns, and hours of each role."""
    findings: list[Finding] = []
    names: set[str] = set()
    seconds: dict[str, float] = defaultdict(float)
    turns = 0
    for number, line in json_lines(folder / CONVERSATIONS, _CSM_AGAIN):
        place = f"{CONVERSATIONS}:{number}"
        messages = None if isinstance(line, BadInput) else line.get("messages")
        if isinstance(line, BadInput) or not isinstance(messages, list) or not messages:
            what = line.reason if isinstance(line, BadInput) else "it has no messages"
            findings.append(error("bad-line", place, what, _CSM_AGAIN))
            continue
        name = str(line.get("conversation_id"))
        if name in names:
            findings.append(error("duplicate", place, f"the conversation {name!r} occurs twice", _CSM_AGAIN))
        names.add(name)
        for message in messages:
            turns += 1
            findings += _turn(folder, place, message, seconds)
    if not names:
        findings.append(error("empty-manifest", CONVERSATIONS, "it names no conversation", _CSM_AGAIN))
    facts = {
        "kind": "csm",
        "conversations": len(names),
        "turns": turns,
        "hours": round(sum(seconds.values()) / 3600, 4),
        "hours_of_role": {role: round(length / 3600, 4) for role, length in sorted(seconds.items())},
    }
    return findings, facts


def _turn(folder: Path, place: str, message: Any, seconds: dict[str, float]) -> Iterator[Finding]:
    """Findings on one message; its length is added to that of its role."""
    match message:
        case {
            "role": role,
            "content": [{"type": "text", "text": str(text)}, {"type": "audio", "path": str(path)}],
        }:
            pass
        case _:
            what = f"a message is {quoted(message)}, not a role with one text and one audio"
            yield error("bad-message", place, what, _CSM_AGAIN)
            return
    if role not in ROLES:
        what = f"the role of a message is {quoted(role)}, not {' or '.join(ROLES)}"
        yield error("unknown-speaker", place, what, _CSM_AGAIN)
        return
    if not text.strip():
        yield error("empty-text", place, f"the message of {path} has no text", _CSM_AGAIN)
    try:
        wav = inside(folder, path)
        if not wav.is_file():
            yield error("missing-audio", path, f"{place} names it, but it isn't there", _CSM_AGAIN)
            return
        loudness = measure({"bytes": None, "path": to_uri(wav)})
    except BadInput as problem:
        yield error("unreadable-audio", path, problem.reason, problem.remedy)
        return
    seconds[role] += loudness.seconds
    if loudness.channels != 1:
        yield error("not-mono", path, f"it has {loudness.channels} channels, not 1", _CSM_AGAIN)
    if loudness.sample_rate != CSM_RATE:
        what = f"its rate is {loudness.sample_rate} Hz, not {CSM_RATE}, that of CSM's codec"
        yield error("wrong-rate", path, what, "export it again without --sample-rate")
    if loudness.is_silent(0):
        yield error("silent-turn", path, "it is silent, and has a text", _CSM_AGAIN)


def check_jmoshi(folder: Path) -> tuple[list[Finding], dict[str, Any]]:
    """Findings on a folder for J-Moshi, and what is in it: files, hours and words of each speaker."""
    findings: list[Finding] = []
    words: Counter[str] = Counter()
    seconds = 0.0
    sounds = {path.stem for path in (folder / AUDIO).glob("*.wav")}
    texts = {path.stem for path in (folder / TEXT).glob("*.json")}
    for name in sorted(sounds - texts):
        findings.append(error("missing-alignments", f"{TEXT}/{name}.json", "it isn't there", _JMOSHI_AGAIN))
    for name in sorted(texts - sounds):
        findings.append(error("missing-audio", f"{AUDIO}/{name}.wav", "it isn't there", _JMOSHI_AGAIN))
    if not sounds:
        findings.append(error("empty-folder", AUDIO, "it holds no WAV", _JMOSHI_AGAIN))
    for name in sorted(sounds & texts):
        loudness: Loudness | None = None
        shown = f"{AUDIO}/{name}.wav"
        try:
            loudness = measure({"bytes": None, "path": to_uri(inside(folder, shown))})
        except BadInput as problem:
            findings.append(error("unreadable-audio", shown, problem.reason, problem.remedy))
        else:
            seconds += loudness.seconds
            if loudness.channels != 2:
                what = f"it has {counted(loudness.channels, 'channel')}, not 2"
                findings.append(error("not-stereo", shown, what, _JMOSHI_AGAIN))
        findings += _words(folder, f"{TEXT}/{name}.json", loudness, words)
    facts = {
        "kind": "j-moshi",
        "files": len(sounds),
        "hours": round(seconds / 3600, 4),
        "words": words.total(),
        "words_of_speaker": dict(sorted(words.items())),
    }
    return findings, facts


def _words(folder: Path, shown: str, loudness: Loudness | None, counts: Counter[str]) -> Iterator[Finding]:
    try:
        told = read_json(inside(folder, shown))
    except BadInput as problem:
        yield error("unreadable-alignments", shown, problem.reason, _JMOSHI_AGAIN)
        return
    words = []
    unknown: Counter[str] = Counter()
    for entry in told if isinstance(told, list) else [None]:
        match entry:
            case {
                "speaker": str(speaker),
                "word": str(text),
                "start": int() | float() as start,
                "end": int() | float() as end,
            }:
                unknown[speaker] += speaker not in SPEAKERS
                words.append(Said(text, start, end, speaker, int(speaker != SPEAKERS[0])))
            case _:
                what = 'it is no list of {"speaker", "word", "start", "end"}'
                yield error("unreadable-alignments", shown, what, _JMOSHI_AGAIN)
                return
    counts.update(word.speaker for word in words)
    if unknown.total():
        names = ", ".join(f"{quoted(name)} ({count})" for name, count in unknown.most_common(3) if count)
        what = f"{unknown.total()} of {len(words)} words have another speaker than A or B: {names}"
        yield error("unknown-speaker", shown, what, "call the speaker on the left A and the other B")
    for speaker in SPEAKERS:
        if not any(word.speaker == speaker for word in words):
            yield error("no-words", shown, f"speaker {speaker} has no words", "transcribe both, or leave it out")
    yield from word_findings(shown, words, loudness)
