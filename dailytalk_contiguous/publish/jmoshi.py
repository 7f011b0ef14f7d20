"""J-Moshi, as nu-dialogue's moshi-finetune reads it.

`audio/NAME.wav` is stereo, with speaker A on the left and B on the right, and `text/NAME.json` a list of
`{"speaker", "word", "start", "end"}` with the words of both by start.
"""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from dailytalk_contiguous.core import documents
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.moshi_words import SaidWord
from dailytalk_contiguous.core.turns import SPACELESS
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish import exports
from dailytalk_contiguous.publish.conversation import Conversation
from dailytalk_contiguous.publish.findings import (
    Checked,
    Finding,
    FindingLimits,
    error,
    loudness_of_wav,
    word_findings,
)
from dailytalk_contiguous.store.files import file_name, inside, json_text

#: The folder of sound.
AUDIO = "audio"

#: The folder of words.
TEXT = "text"

#: The speakers on the left and on the right.
SPEAKERS = ("A", "B")

_JMOSHI_AGAIN = "export again with `dailytalk export --format j-moshi`"


def write_jmoshi(export: exports.Export, item: Conversation) -> Iterator[exports.FileEntry]:
    """Write both streams; both are trained, so a conversation in which a side has no words is rejected."""
    for main, side in zip((True, False), SPEAKERS, strict=True):
        spoken = [word.text for word in item.words if word.main is main]
        if not spoken:
            raise BadInput(f"speaker {side} has no words", "transcribe both channels, or leave it out")
        exports.refuse_tags(spoken, item)
    name = file_name(item.id)
    words = []
    for word in item.words:
        speaker = SPEAKERS[0] if word.main else SPEAKERS[1]
        times = {"start": round(word.start, 6), "end": round(word.end, 6)}
        words.append({"speaker": speaker, "word": word.text, **times})
    export.write_sound(f"{AUDIO}/{name}", item.pcm)
    export.target.write_text(f"{TEXT}/{name}.json", json_text(words))
    language = (item.language or "").partition("-")[0]
    export.about[item.id] = language in SPACELESS
    yield exports.FileEntry(None, item.duration)


def finish_jmoshi(export: exports.Export, lists: exports.Lists) -> Mapping[str, exports.FileText]:
    """Add the commands of the trainer's tools to the facts.

    The tools put a space before every word, which in a language without spaces is a token of its own, unless an
    option forbids it for all files of a folder.
    """
    spaceless = any(export.about.values())
    if spaceless and not all(export.about.values()):
        export.notes.append("some in a language that is written without spaces: export these apart")
    root = export.target.root
    audio_options = ["--audio_dir", str(root / AUDIO), "--output_dir", str(root / "tokenized_audio")]
    text_options = ["--word_transcript", str(root / TEXT), "--output_dir", str(root / "tokenized_text")]
    if spaceless:
        text_options.append("--no_whitespace_before_word")
    commands = []
    for tool, options in (("audio", audio_options), ("text", text_options)):
        command = ["uv", "run", "-m", f"tools.tokenize_{tool}", *options]
        commands.append(as_text(shlex.join(command)))
    export.facts["commands"] = commands
    return {}


def check_jmoshi(folder: Path, limits: FindingLimits) -> Checked:
    """Check a folder for J-Moshi; findings, and counts: files, hours and words of each speaker."""
    findings: list[Finding] = []
    words: Counter[str] = Counter()
    lengths: list[float] = []
    sounds = {path.stem for path in (folder / AUDIO).glob("*.wav")}
    texts = {path.stem for path in (folder / TEXT).glob("*.json")}
    for name in sorted(sounds - texts):
        findings.append(error("missing-alignments", f"{TEXT}/{name}.json", "it isn't there", _JMOSHI_AGAIN))
    for name in sorted(texts - sounds):
        findings.append(error("missing-audio", f"{AUDIO}/{name}.wav", "it isn't there", _JMOSHI_AGAIN))
    if not sounds:
        findings.append(error("empty-folder", AUDIO, "it holds no WAV", _JMOSHI_AGAIN))
    for name in sorted(sounds & texts):
        findings += _jmoshi_file(folder, name, words, lengths)
    facts = {
        "files": len(sounds),
        "hours": round(sum(lengths) / 3600, 7),
        "words": words.total(),
        "words_of_speaker": dict(sorted(words.items())),
    }
    return findings, facts


def _jmoshi_file(folder: Path, name: str, counts: Counter[str], lengths: list[float]) -> Iterator[Finding]:
    shown = f"{AUDIO}/{name}.wav"
    loudness = yield from loudness_of_wav(folder, shown)
    if loudness:
        lengths.append(loudness.seconds)
        if loudness.channels != 2:
            problem = f"it has {counted(loudness.channels, 'channel')}, not 2"
            yield error("not-stereo", shown, problem, _JMOSHI_AGAIN)
    shown = f"{TEXT}/{name}.json"
    try:
        entries = documents.read_json(inside(folder, shown))
    except BadInput as failure:
        yield error("unreadable-alignments", shown, failure.reason, _JMOSHI_AGAIN)
        return
    words = []
    unknown: Counter[str] = Counter()
    for entry in entries if isinstance(entries, list) else [None]:
        match entry:
            case {
                "speaker": str(speaker),
                "word": str(text),
                "start": int() | float() as start,
                "end": int() | float() as end,
            }:
                if speaker not in SPEAKERS:
                    unknown[speaker] += 1
                channel = 0 if speaker == SPEAKERS[0] else 1
                words.append(SaidWord(text, start, end, speaker, channel))
            case _:
                problem = 'it is not a list of {"speaker", "word", "start", "end"}'
                yield error("unreadable-alignments", shown, problem, _JMOSHI_AGAIN)
                return
    counts.update(word.speaker for word in words)
    if unknown.total():
        names = [f"{documents.quoted(name)} ({count})" for name, count in unknown.most_common(3)]
        problem = f"{unknown.total()} of {counted(len(words), 'word')} have another speaker than A or B: "
        problem += ", ".join(names)
        yield error("unknown-speaker", shown, problem, "call the speaker on the left A and the other B")
    for speaker in SPEAKERS:
        if not any(word.speaker == speaker for word in words):
            yield error("no-words", shown, f"speaker {speaker} has no words", "transcribe both, or leave it out")
    yield from word_findings(shown, words, loudness)


JMOSHI = exports.ExportFormat(
    "j-moshi",
    reader="moshi-finetune of nu-dialogue (J-Moshi)",
    holds="stereo WAV, the words of both speakers with times",
    loses="texts as sentences, tags, valence/arousal/dominance, prosody",
    checked="a reader written from its README",
    write=write_jmoshi,
    finish=finish_jmoshi,
    options=frozenset({"main", "prosodic_tokens"}),
    recognises=lambda folder: (folder / TEXT).is_dir() and (folder / AUDIO).is_dir(),
    check=check_jmoshi,
)
