"""Prompts of voice and of persona, and the training folder of PersonaPlex, which has both.

The folder is for moondogo's personaplex-finetune: Moshi's folder, with prompts in its manifests. Three facts of
the trainer's source decide the layout. It looks prompts up by the absolute path that sphn returns, and trains
without those of any other path. It reads a text prompt only beside a voice prompt. And both take a part of a
window, which is missing at its end.
"""

import json
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from dailytalk_contiguous.core.documents import as_text, csv_lines, quoted, utf8_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.schema import name_or_none
from dailytalk_contiguous.core.records.utterance import UtteranceRow, heard_utterances, is_converted
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.spans import merge_gaps, true_runs
from dailytalk_contiguous.core.turns.turn_taking import total_seconds
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine.read_documents import json_objects, read_bytes
from dailytalk_contiguous.publish.exports import exporting as exports
from dailytalk_contiguous.publish.exports import moshi_folder
from dailytalk_contiguous.publish.exports.finished_conversation import FinishedTalk
from dailytalk_contiguous.publish.exports.moshi_check import check_moshi
from dailytalk_contiguous.publish.items import EVAL, TRAIN
from dailytalk_contiguous.store.files import file_name

#: The folder of voice prompts, which lines of a manifest name beside their file.
VOICE_PROMPTS = "voice_prompts"

#: Seconds of a voice prompt at least.
SHORTEST_PROMPT = 5.0

#: Seconds of a voice prompt at most.
LONGEST_PROMPT = 10.0

#: Seconds of a pause between words from which on a stretch ends there; half of it stays at each end.
PAUSE = 0.2

#: Seconds of the longest pause inside a stretch.
LONGEST_PAUSE = 1.0

#: Seconds of the shortest stretch.
_SHORTEST_STRETCH = 1.0

#: Seconds of a frame in which the power of the other channel is measured.
_FRAME = 0.1

#: The power of the other channel, against the agent's, up to which it is quiet (-20 dB).
_QUIET = 0.01

_Spans = list[tuple[float, float]]


def heard_voice(item: FinishedTalk, part: UtteranceRow) -> str:
    """Return the voice of an utterance of its row: a resynthesised one, or a person's; empty if unknown."""
    speakers = item.row["speakers"] or {}
    person = name_or_none(speakers.get(part["channel"]))
    synthesis = part["synthesis"]
    if synthesis and is_converted(part):
        return f"speaker {person} by {synthesis['engine']}" if person else ""
    name = None
    if synthesis:
        name = synthesis["voice"] or synthesis["engine"]
    if name:
        return f"voice {name}"
    return f"speaker {person}" if person else ""


def voice_prompt(item: FinishedTalk) -> tuple[str, _Spans]:
    """Return the voice that the agent of a conversation mostly has, empty if unknown, and the spans of its prompt.

    Spans are speech of the agent in that voice while the other is silent. They begin and end in pauses. A
    conversation of short turns has none of five seconds: several are joined, the longest first. Speech without a
    transcript may leak into the channel of a person (a resynthesised one has no microphone): there the other
    channel has to be quiet as well.
    """
    spans_by_voice: dict[str, _Spans] = defaultdict(list)
    barred = [(word.start, word.end) for word in item.words if word.side != item.main]
    barred += item.sounds
    for utterance in heard_utterances(item.row):
        span = (utterance["start"], utterance["end"])
        has_text = bool((utterance["text"] or "").strip())
        if utterance["channel"] == item.main and has_text:
            spans_by_voice[heard_voice(item, utterance)].append(span)
        else:
            barred.append(span)
    voice = max(spans_by_voice, key=lambda name: (total_seconds(spans_by_voice[name]), name), default="")
    for other, spans in spans_by_voice.items():
        if other != voice:
            barred += spans
    spoken = [(word.start, word.end) for word in item.words if word.side == item.main]
    if total_seconds(spoken) < _SHORTEST_STRETCH:
        return voice, []
    if voice.startswith("speaker "):
        barred += loud_stretches(item, spoken)
    if not voice:
        return voice, []
    return voice, _stretches(merge_gaps(spoken, PAUSE), barred)


def loud_stretches(item: FinishedTalk, spoken: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Yield the spans with sound on the other channel, relative to the level of the agent's speech, `spoken`."""
    size = round(_FRAME * item.sample_rate)
    n_frames = len(item.pcm) // size
    frames = item.pcm[: n_frames * size].reshape(-1, size, 2)
    agent, other = np.einsum("ijk,ijk->ki", frames, frames, dtype=np.float32)  # in blocks, whatever the length
    middles = (np.mean(spoken, axis=1) / _FRAME).astype(int)
    speech = agent[np.minimum(middles, len(agent) - 1)]
    for first, last in true_runs(other > _QUIET * speech.mean()):
        yield first * _FRAME, last * _FRAME


def _stretches(spoken: _Spans, barred: _Spans) -> _Spans:
    """The parts of spoken runs of words to join, apart from `barred` spans; empty if they are too short."""
    edge = PAUSE / 2
    starts, ends = np.array(barred or [(-1.0, -1.0)]).T
    stretches: _Spans = []
    before = 0.0
    for start, end in spoken:
        first = max(0.0, start - edge)
        last = end + edge
        follows = bool(stretches) and before == stretches[-1][1] and start - before <= LONGEST_PAUSE
        if not ((starts < last) & (ends > first)).any():
            is_free = not ((starts < last) & (ends > before)).any()
            if follows and is_free and last - stretches[-1][0] <= LONGEST_PROMPT:
                stretches[-1] = (stretches[-1][0], last)
            else:
                stretches.append((first, last))
        before = last
    chosen: _Spans = []
    for start, end in sorted(stretches, key=lambda stretch: (stretch[0] - stretch[1], stretch)):
        seconds = total_seconds(chosen)
        if seconds >= SHORTEST_PROMPT:
            break
        if _SHORTEST_STRETCH <= end - start <= LONGEST_PROMPT - seconds:
            chosen.append((start, end))
    return sorted(chosen) if total_seconds(chosen) >= SHORTEST_PROMPT else []


def prompt_sources(voices: Mapping[str, str], offers: Iterable[str], side: Mapping[str, str]) -> dict[str, str]:
    """Return whose prompt each conversation gets: the next one's of its voice, on its own side if there is one.

    Args:
        voices: of the conversations that get a prompt. offers: the conversations that have one.
        side: of each in the division.
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


#: Columns of the table of text prompts that a line is about; a line without any is about all the others.
PERSONA_KEYS = ("conversation_id", "recording_id", "speaker")

#: The key of a line that names nothing.
_OTHERS = ("", "")

#: What a text prompt begins and ends with.
_TAG = "<system>"

#: The column of the text.
_TEXT = "text"

#: A name of a column in a text, in whose place the value of the column comes.
_BLANK = re.compile(r"\{(\w+)\}")

_REMEDY = "correct the file that --persona names"


def system_prompt(text: str) -> str:
    return f"{_TAG} {text} {_TAG}"


def is_system_prompt(text: str) -> bool:
    """Whether a text has the form of NVIDIA's server and script: the same tag at both ends, and only there."""
    parts = text.split(_TAG)
    if len(parts) != 3 or "</system>" in text:
        return False
    before, inside, after = parts
    return not before and not after and bool(inside.strip())


@lru_cache(maxsize=1)
def personas_at(path: str) -> dict[tuple[str, str], str]:
    """Read texts of a CSV or JSONL file by what they are about; `{name}` is replaced by the value of that column.

    Raises DailytalkError for a file that can't be used, with its line.
    """
    texts: dict[tuple[str, str], str] = {}
    name = as_text(path)
    kind = Path(path).suffix.lower()
    lines: Iterable[tuple[int, Mapping[str, object]]] = ()
    try:
        if kind == ".csv":
            text = utf8_text(read_bytes(Path(path), _REMEDY), name)
            lines = enumerate(csv_lines(text, name, [_TEXT], _REMEDY), 2)
        elif kind == ".jsonl":
            lines = json_objects(Path(path), _REMEDY)
        for number, line in lines:
            try:
                key, text = _persona(line)
                if key in texts:
                    raise BadInput(f"{quoted(key[1])} has a text already", _REMEDY)
            except BadInput as problem:
                raise BadInput(f"line {number} of {name!r}: {problem.reason}", problem.remedy) from None
            texts[key] = text
    except BadInput as problem:
        raise DailytalkError(problem.reason, problem.remedy) from None
    if not texts:
        raise DailytalkError(f"{name!r} is no .csv or .jsonl with a text", _REMEDY)
    return texts


def _persona(line: Mapping[str, object]) -> tuple[tuple[str, str], str]:
    """The key of a line, and its text. Raises BadInput."""
    values = {}
    for name, value in line.items():
        if not isinstance(value, str | int | float | None) or "\0" in str(value):
            raise BadInput(f"{quoted(name)} is not text", _REMEDY)
        if value not in (None, ""):
            values[name] = " ".join(str(value).split())
    text = values.pop(_TEXT, "")
    try:
        text = _BLANK.sub(lambda blank: values[blank[1]], text)
    except KeyError as error:
        raise BadInput(f"there is nothing for {{{error.args[0]}}}", _REMEDY) from None
    text = text.removeprefix(_TAG).removesuffix(_TAG).strip()
    if not is_system_prompt(system_prompt(text)):
        raise BadInput(f"its text is empty, or has {_TAG} in its midst", _REMEDY)
    keys = [(key, values[key]) for key in PERSONA_KEYS if key in values]
    if len(keys) > 1:
        raise BadInput(f"it names {quoted(keys[0][1])} beside {quoted(keys[1][1])}", _REMEDY)
    key = keys[0] if keys else _OTHERS
    return key, text


@dataclass(frozen=True)
class PersonaSettings(exports.ExportSettings):
    persona: str | None = setting(
        None, "CSV or JSONL of text prompts: text, and conversation_id, recording_id or speaker.",
        panel="result", metavar="FILE", shown="none", reference=True,
    )  # fmt: skip


@dataclass(frozen=True)
class PersonaplexSettings(PersonaSettings, moshi_folder.WordSettings):
    """The options of PersonaPlex, which has no conditions of style."""


def _personas(settings: exports.ExportSettings) -> dict[tuple[str, str], str]:
    if isinstance(settings, PersonaSettings) and settings.persona:
        return personas_at(settings.persona)
    return {}


def prepare_personas(out: Path, settings: PersonaSettings) -> None:
    """Raise DailytalkError for a table of personas that can't be used."""
    personas_at.cache_clear()  # by now the file may be another
    if settings.persona:
        personas_at(settings.persona)


def text_prompt(export: exports.Export, item: FinishedTalk) -> str | None:
    """Return the text of a conversation: its own, its recording's, its agent's, its voice's, or all others'."""
    texts = _personas(export.settings)
    names = (item.id, item.row["recording_id"], item.main_speaker)
    keys: list[tuple[str, str | None]] = list(zip(PERSONA_KEYS, names, strict=True))
    if not export.settings.swap:
        keys += [("speaker", voice) for voice in item.voices]
    keys.append(_OTHERS)
    key = next((key for key in keys if key in texts), None)
    if key:
        export.personas.add(key)
    elif texts:
        export.left_out["prompts of conversations that --persona does not name"] += 1
    return texts[key] if key else None


def note_personas(export: exports.Export) -> None:
    """Count the texts of `--persona` that name no exported conversation, once all are written."""
    texts = _personas(export.settings)
    unused = sorted(texts.keys() - export.personas - {_OTHERS})
    if unused:
        why = f"texts of --persona that name nothing here, such as {quoted(unused[0][1])}"
        export.left_out[why] = len(unused)


#: The name of the configuration.
PERSONAPLEX_CONFIG = "personaplex-finetune.yaml"

#: Seconds of the silence after both prompts.
_SILENCE = 1.0

#: Seconds that a character of a text prompt takes: tokens of 80 ms have three or more.
_CHARACTER = 0.08 / 3

_MODEL = """\
moshi_paths:
  hf_repo_id: "nvidia/personaplex-7b-v1"

# On several GPUs the trainer finds the prompts of a part of its windows only, and trains the others without.
system_prompt:
  enable: true
  silence_duration_sec: 0.5
  # What has no text prompt is trained without one.
  default_text_prompt: ""
  voice_prompt_dir: {folder}

full_finetuning: true
first_codebook_weight_multiplier: 10.0
text_padding_weight: 1.0
text_loss_weight: 20.0
"""

_REPOSITORY = "moondogo/personaplex-finetune"
_EXAMPLE = "personaplex_finetune.yaml"

PERSONAPLEX_FINETUNE = moshi_folder.Trainer(
    config=PERSONAPLEX_CONFIG,
    repository=_REPOSITORY,
    example=_EXAMPLE,
    model=_MODEL,
    window=164,
    batch=32,
    steps=24576,
    adapters=False,
)


def write_personaplex(export: exports.Export, item: FinishedTalk) -> Iterator[exports.FileEntry]:
    """Write the files of Moshi's trainer, and the voice prompt that the conversation offers."""
    entries = list(moshi_folder.write_moshi(export, item))
    voice, stretches = voice_prompt(item)
    if stretches:
        parts = []
        for start, end in stretches:
            first = round(start * item.sample_rate)
            last = round(end * item.sample_rate)
            parts.append(item.pcm[first:last, 0])
        name = f"{VOICE_PROMPTS}/{file_name(item.id)}.wav"
        export.target.write_wav(name, np.concatenate(parts), item.sample_rate)
    about = export.about[item.id]
    about["voice"] = voice
    about["stretches"] = stretches
    about["text"] = text_prompt(export, item)
    for entry in entries:
        yield entry._replace(line=entry.line | {"id": item.id})


def finish_personaplex(export: exports.Export, lists: exports.Lists) -> Mapping[str, exports.FileText]:
    """Return Moshi's files, with the prompts of a conversation in its lines."""
    note_personas(export)
    root = export.target.root.resolve()
    stretches: dict[str, _Spans] = {}
    texts: dict[str, str] = {}
    voices: dict[str, str] = {}
    for name, about in export.about.items():
        stretches[name] = about.pop("stretches")
        text = about.pop("text")
        if text:
            texts[name] = text
        voice = about.pop("voice")
        if voice:
            voices[name] = voice
    offers = {name for name in stretches if stretches[name]}
    sources = prompt_sources(voices, offers, export.side)
    unused = offers - {*sources.values()}
    export.target.remove(f"{VOICE_PROMPTS}/{file_name(name)}.wav" for name in unused)
    fields: dict[str, dict[str, str]] = defaultdict(dict)
    for name, text in texts.items():
        fields[name]["text_prompt"] = system_prompt(text)
    prompt_seconds = {}
    for name, source in sources.items():
        export.about[name]["voice_prompt"] = {"of": source, "stretches": stretches[source]}
        fields[name]["voice_prompt"] = f"{file_name(source)}.wav"
        text_seconds = _CHARACTER * len(texts.get(name, ""))
        prompt_seconds[name] = total_seconds(stretches[source]) + _SILENCE + text_seconds
    n_long = 0
    for entries in lists.values():
        for entry in entries:
            name = entry.line.pop("id")
            entry.line.update(fields[name])
            entry.line["path"] = str(root / entry.line["path"])
            if name in prompt_seconds and entry.seconds + prompt_seconds[name] > PERSONAPLEX_FINETUNE.window:
                n_long += 1
    total = len(stretches)
    export.facts["prompts"] = {"voice": len(sources), "text": len(texts), "conversations": total}
    export.notes.append(f"voice prompts for {len(sources)} and text prompts for {len(texts)} of {total}")
    missing = {
        "with an agent who is not known (dailytalk tag --speakers names people)": total - len(voices),
        f"with a voice of which no other one has {SHORTEST_PROMPT:g} s alone": len(voices) - len(sources),
        "whose text prompt is not read, for want of a voice prompt": len(texts.keys() - sources.keys()),
    }
    for reason, count in missing.items():
        if count:
            export.left_out[f"prompts of conversations {reason}"] += count
    if n_long:
        export.notes.append(f"{counted(n_long, 'file')} too long for a window with prompts (see --max-length)")
    voice_folder = json.dumps(str(root / VOICE_PROMPTS), ensure_ascii=False)
    trainer = PERSONAPLEX_FINETUNE._replace(model=_MODEL.format(folder=voice_folder))
    longest = max(prompt_seconds.values(), default=0.0)
    return moshi_folder.finish_moshi(export, lists, trainer, prefix=longest)


def prepare_personaplex(out: Path, settings: PersonaplexSettings) -> None:
    moshi_folder.refuse_path(out, settings)
    prepare_personas(out, settings)


#: A person may edit the folder as one of Moshi's; the prompts are as the export has made them.
_check = partial(check_moshi, config=PERSONAPLEX_CONFIG, prompts=VOICE_PROMPTS)

PERSONAPLEX = replace(
    moshi_folder.MOSHI,
    name="personaplex",
    reader="personaplex-finetune (moondogo), for NVIDIA's PersonaPlex",
    holds="as moshi; a voice prompt from another conversation, and a text prompt from --persona",
    loses="as moshi",
    checked="sphn, and a reader written from its source",
    write=write_personaplex,
    finish=finish_personaplex,
    manifests=(TRAIN, EVAL, PERSONAPLEX_CONFIG),
    settings=PersonaplexSettings(),
    prepare=prepare_personaplex,
    recognises=lambda folder: (folder / PERSONAPLEX_CONFIG).is_file(),
    check=_check,
    check_steps=_check,
)
