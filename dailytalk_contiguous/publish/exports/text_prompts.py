"""Text prompts: what a person wrote in a table about the agents of conversations, for trainers that take it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dailytalk_contiguous.core.documents import as_text, csv_lines, quoted, utf8_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.schema import voices
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.machine.read_documents import json_objects, read_bytes
from dailytalk_contiguous.publish.exports import exporting as exports
from dailytalk_contiguous.publish.exports.voice_prompts import person_on

#: Columns of the table that a line is about; a line without any is about all the others.
PERSONA_KEYS = ("conversation_id", "recording_id", "speaker")

#: The key of a line that names nothing.
_OTHERS = ("", "")

#: What a text prompt begins and ends with, in NVIDIA's server and script, and for PersonaPlex.
SYSTEM = "<system>"

_REMEDY = "correct the file that --persona names"

#: Texts by what they are about: a column, and its value.
Personas = Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class PersonaSettings(exports.ExportSettings):
    persona: str | None = setting(
        None, "CSV or JSONL of text prompts: text, and conversation_id, recording_id or speaker.",
        panel="result", metavar="FILE", shown="none", reference=True,
    )  # fmt: skip


@lru_cache(maxsize=1)
def personas_at(path: str) -> Personas:
    """Read texts of a CSV or JSONL file by what they are about; `{name}` is replaced by the value of that column.

    Raises DailytalkError for a file that can't be used, with its line.
    """
    texts: dict[tuple[str, str], str] = {}
    name = as_text(path)
    kind = Path(path).suffix.lower()
    lines: Iterable[tuple[int, Mapping[str, object]]] = ()
    try:
        if kind == ".csv":
            table = utf8_text(read_bytes(Path(path), _REMEDY), name)
            lines = enumerate(csv_lines(table, name, ["text"], _REMEDY), 2)
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


def _personas(settings: exports.ExportSettings) -> Personas:
    if isinstance(settings, PersonaSettings) and settings.persona:
        return personas_at(settings.persona)
    return {}


def prepare_personas(out: Path, settings: PersonaSettings) -> None:
    """Raise DailytalkError for a table of personas that can't be used."""
    personas_at.cache_clear()  # by now the file may be another
    _personas(settings)


def text_prompt(export: exports.Export, item: exports.SeenTalk) -> str | None:
    """Return the text of a conversation: its own, its recording's, its agent's, its voice's, or all others'."""
    texts = _personas(export.settings)
    talk = item.talk
    names = (talk.id, talk.recording_id, person_on(talk, "left") or "")
    keys = list(zip(PERSONA_KEYS, names, strict=True))
    if not export.settings.swap:
        keys += [("speaker", voice) for voice in voices(item.row)]
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
