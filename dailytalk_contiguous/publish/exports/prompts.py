"""Prompts for trainers: of voice, from the sound of another conversation, and of text, from a table."""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dailytalk_contiguous.core.documents import as_text, csv_lines, quoted, utf8_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.seen import SeenConversation, SeenUtterance
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.spans import merge_gaps, total_seconds, true_runs
from dailytalk_contiguous.core.words.word import Span
from dailytalk_contiguous.machine.read_documents import json_objects, read_bytes
from dailytalk_contiguous.publish.exports import exporting

#: Seconds of a voice prompt at least.
SHORTEST_PROMPT = 5.0

#: Seconds of the shortest stretch.
_SHORTEST_STRETCH = 1.0


def heard_voice(talk: SeenConversation, utterance: SeenUtterance) -> str:
    """Return the voice of an utterance: a resynthesised one, or a person's; empty if unknown."""
    synthesis = utterance.finished.synthesis
    is_converted = utterance.finished.is_converted
    if synthesis and not is_converted:
        name = synthesis.voice or synthesis.engine
        if name:
            return f"voice {name}"
    person = talk.person(utterance.channel)
    if not person:
        return ""
    if synthesis and is_converted:
        return f"speaker {person} by {synthesis.engine}"
    return f"speaker {person}"


def voice_prompt(item: exporting.SeenTalk) -> tuple[str, list[Span]]:
    """Return the voice that the agent of a conversation mostly has, empty if unknown, and the spans of its prompt.

    Spans are speech of the agent in that voice while the other is silent. They begin and end in pauses. A
    conversation of short turns has none of five seconds: several are joined, the longest first. Speech without a
    transcript may leak into the channel of a person (a resynthesised one has no microphone): there the other
    channel has to be quiet as well.
    """
    talk = item.talk
    spoken = [word.span for word in talk.alignments if word.speaker == "left"]
    barred = [word.span for word in talk.alignments if word.speaker == "right"]
    barred += [Span(sound.start, sound.end) for sound in talk.sounds]
    spans_by_voice: dict[str, list[Span]] = defaultdict(list)
    for utterance in talk.utterances:
        if utterance.channel == "left" and utterance.text.strip():
            spans_by_voice[heard_voice(talk, utterance)].append(utterance.span)
        else:
            barred.append(utterance.span)
    voice = max(spans_by_voice, key=lambda name: (total_seconds(spans_by_voice[name]), name), default="")
    for other, spans in spans_by_voice.items():
        if other != voice:
            barred += spans
    if not voice or total_seconds(spoken) < _SHORTEST_STRETCH:
        return voice, []
    if voice.startswith("speaker "):
        barred += loud_stretches(item, spoken)
    return voice, _prompt_spans(spoken, barred)


def loud_stretches(item: exporting.SeenTalk, spoken: Sequence[Span]) -> Iterator[Span]:
    """Yield the spans with sound on the other channel, relative to the level of the agent's speech, `spoken`."""
    quiet = 0.01  # the power against the agent's, -20 dB
    seconds = 0.1  # of a frame
    size = round(seconds * item.talk.sample_rate)
    n_frames = len(item.pcm) // size
    frames = item.pcm[: n_frames * size].reshape(-1, size, 2)
    agent, other = np.einsum("ijk,ijk->ki", frames, frames, dtype=np.float32)  # in blocks, whatever the length
    middles = (np.mean(spoken, axis=1) / seconds).astype(int)
    speech = agent[np.minimum(middles, len(agent) - 1)]
    for first, last in true_runs(other > quiet * speech.mean()):
        yield Span(first * seconds, last * seconds)


def _prompt_spans(spoken: Sequence[Span], barred: Sequence[Span]) -> list[Span]:
    """Return the parts of the agent's words to join, apart from `barred` spans; empty if they are too short."""
    longest_prompt = 10.0
    pause = 0.2  # between words, from which on a stretch ends there; half of it stays at each end
    longest_pause = 1.0  # inside a stretch
    edge = pause / 2
    starts, ends = np.array(barred or [Span(-1.0, -1.0)]).T

    def is_barred(start: float, end: float) -> bool:
        return bool(((starts < end) & (ends > start)).any())

    stretches: list[Span] = []
    before = 0.0
    for start, end in merge_gaps(spoken, pause):
        stretch = Span(max(0.0, start - edge), end + edge)
        follows = bool(stretches) and stretches[-1].end == before and start - before <= longest_pause
        joined = stretches[-1] | stretch if follows else stretch
        if follows and not is_barred(before, stretch.end) and joined.seconds <= longest_prompt:
            stretches[-1] = joined
        elif not is_barred(*stretch):
            stretches.append(stretch)
        before = stretch.end
    chosen: list[Span] = []
    for stretch in sorted(stretches, key=lambda stretch: (-stretch.seconds, stretch)):
        seconds = total_seconds(chosen)
        if seconds >= SHORTEST_PROMPT:
            break
        if _SHORTEST_STRETCH <= stretch.seconds <= longest_prompt - seconds:
            chosen.append(stretch)
    return sorted(chosen) if total_seconds(chosen) >= SHORTEST_PROMPT else []


def prompt_sources(voices: Mapping[str, str], offers: Iterable[str], side: Mapping[str, str]) -> dict[str, str]:
    """Return whose prompt each conversation gets: the next one's of its voice, on its own side if there is one.

    Args:
        voices: the voices of the conversations that get a prompt.
        offers: the conversations that have one.
        side: the side of each in the division.
    """
    offered: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in sorted(offers):
        offered[voices[name], side[name]].append(name)
        offered[voices[name], ""].append(name)
    sources = {}
    for name, voice in voices.items():
        for names in (offered[voice, ""], offered[voice, side[name]]):
            after = bisect_right(names, name)
            for other in (*names[:1], *names[after : after + 1]):
                if other != name:
                    sources[name] = other
    return sources


#: Columns of the table that a line is about; a line without any is about all the others.
PERSONA_KEYS = ("conversation_id", "recording_id", "speaker")

#: The key of a line that names nothing.
_OTHERS = ("", "")

#: What a text prompt begins and ends with, in NVIDIA's server and script, and for PersonaPlex.
SYSTEM = "<system>"

_REMEDY = "correct the file that --persona names"


@dataclass(frozen=True)
class PersonaSettings(exporting.ExportSettings):
    persona: str | None = setting(
        None, "CSV or JSONL of text prompts: text, and conversation_id, recording_id or speaker.",
        panel="result", metavar="FILE", shown="none", reference=True,
    )  # fmt: skip


class Personas(NamedTuple):
    """The texts of `--persona`.

    Attributes:
        texts: the texts by the column and the value that they are about.
        used_keys: the columns and values of the texts that an export has used.
    """

    texts: dict[tuple[str, str], str]
    used_keys: set[tuple[str, str]]


def read_personas(out: Path, settings: PersonaSettings) -> Personas:
    """Read the texts of the CSV or JSONL file of `--persona`; `{name}` is replaced by the value of that column.

    Raises DailytalkError for a file that can't be used, with its line.
    """
    texts: dict[tuple[str, str], str] = {}
    if not settings.persona:
        return Personas(texts, set())
    path = Path(settings.persona)
    name = as_text(path)
    kind = path.suffix.lower()
    lines: Iterable[tuple[int, Mapping[str, object]]] = ()
    if kind == ".csv":
        table = utf8_text(read_bytes(path, _REMEDY), name)
        lines = enumerate(csv_lines(table, name, ["text"], _REMEDY), 2)
    elif kind == ".jsonl":
        lines = json_objects(path, _REMEDY)
    for number, line in lines:
        try:
            key, text = _persona(line)
            if key in texts:
                raise BadInput(f"{quoted(key[1])} has a text already", _REMEDY)
        except BadInput as problem:
            raise BadInput(f"line {number} of {name!r}: {problem.reason}", problem.remedy) from None
        texts[key] = text
    if not texts:
        raise DailytalkError(f"{name!r} is no .csv or .jsonl with a text", _REMEDY)
    return Personas(texts, set())


def _persona(line: Mapping[str, object]) -> tuple[tuple[str, str], str]:
    """Return the key of a line, and its text. Raises BadInput."""
    values = {}
    for name, value in line.items():
        if not isinstance(value, str | int | float | None) or "\0" in str(value):
            raise BadInput(f"{quoted(name)} is not text", _REMEDY)
        if value not in (None, ""):
            values[name] = " ".join(str(value).split())
    text = values.pop("text", "")
    try:
        text = re.sub(r"\{(\w+)\}", lambda blank: values[blank[1]], text)
    except KeyError as error:
        raise BadInput(f"there is nothing for {{{error.args[0]}}}", _REMEDY) from None
    text = text.removeprefix(SYSTEM).removesuffix(SYSTEM).strip()
    # The same tag at both ends, and only there, as NVIDIA's server and script have it.
    if not text or SYSTEM in text or "</system>" in text:
        raise BadInput(f"its text is empty, or has {SYSTEM} in its midst", _REMEDY)
    keys = [(key, values[key]) for key in PERSONA_KEYS if key in values]
    if len(keys) > 1:
        raise BadInput(f"it names {quoted(keys[0][1])} beside {quoted(keys[1][1])}", _REMEDY)
    return keys[0] if keys else _OTHERS, text


def text_prompt(export: exporting.Export, item: exporting.SeenTalk) -> str | None:
    """Return the text of a conversation: its own, its recording's, its agent's, its voice's, or all others'."""
    personas: Personas = export.prepared
    talk = item.talk
    names = (talk.conversation_id, talk.recording_id, talk.person("left") or "")
    keys = list(zip(PERSONA_KEYS, names, strict=True))
    if not export.settings.is_right_main:
        keys += [("speaker", voice) for voice in talk.finished.voices]
    keys.append(_OTHERS)
    for key in keys:
        if key in personas.texts:
            personas.used_keys.add(key)
            return personas.texts[key]
    if personas.texts:
        export.left_out["prompts of conversations that --persona does not name"] += 1
    return None


def note_personas(export: exporting.Export) -> None:
    """Count the texts of `--persona` that name no exported conversation, once all are written."""
    personas: Personas = export.prepared
    unused = sorted(personas.texts.keys() - personas.used_keys - {_OTHERS})
    if unused:
        why = f"texts of --persona that name nothing here, such as {quoted(unused[0][1])}"
        export.left_out[why] = len(unused)
