"""Texts of a folder of clips in a whisper.json, `{"clip1.wav": {"text", "language", "segments": [...]}}`.

Tools for voice cloning write one such file beside a folder `audio/`, and people correct it by hand. So an entry
that can't be used is a reject and stays as it is, and so does every field that we don't know: the file is written
as it was read, except for intended changes.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, NotRequired, TypedDict

from dailytalk_contiguous.core.documents import (
    LATEST,
    JsonObject,
    Number,
    composed,
    is_number,
    parse_json,
    printable_path,
    quoted,
    typed,
)
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.machine.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.machine.read_documents import read_bytes
from dailytalk_contiguous.store.files import COPY_IT, LINK_OUT, leads_out

#: The name of such a file.
WHISPER_JSON = "whisper.json"

#: The folders beside it that its clips may be in.
AUDIO_FOLDERS = ("audio", "audios")

#: Bytes of such a file: about 50,000 clips of ten seconds with their tokens.
MOST_WHISPER_BYTES = 128 << 20


class _Word(TypedDict):
    word: str
    start: NotRequired[Number | None]
    end: NotRequired[Number | None]
    speaker: NotRequired[str | None]


class _Segment(TypedDict):
    """A segment as Whisper and WhisperX write it; other fields are not looked at."""

    start: Number
    end: Number
    text: str
    speaker: NotRequired[str | None]
    words: NotRequired[list[_Word] | None]


class _Entry(TypedDict, total=False):
    text: str | None
    language: str | None
    segments: list[_Segment] | None


_REMEDY = "correct the entry, or delete it so that the clip is recognised"


class WhisperJson(NamedTuple):
    """A whisper.json as it is on the disk.

    Attributes:
        entries: every entry in the order of the file, as it is there, whether it can be used or not.
        problems: why entries can't be used, by their names.
    """

    entries: JsonObject
    problems: dict[str, BadInput]


def read_whisper_json(path: Path) -> WhisperJson:
    """Read a whisper.json; an entry that can't be used is among the problems, and still among the entries.

    NaN is taken as a number, as Python writes it.

    Raises BadInput for a file that can't be read, is over `MOST_WHISPER_BYTES`, is broken or of another layout.
    """
    data = read_bytes(path, "correct it or save the file again", MOST_WHISPER_BYTES)
    entries = parse_json(data, printable_path(path), limit=MOST_WHISPER_BYTES, nan=True)
    names = map(PurePosixPath, entries if isinstance(entries, dict) else ())
    if entries != {} and not any(name.suffix.lower() in AUDIO_SUFFIXES for name in names):
        raise BadInput(
            f'{printable_path(path)}: it is not an object with clips by file name, such as {{"clip1.wav": {{…}}}}',
            "name the file that Whisper's texts are in",
        )
    problems = {}
    for name, entry in entries.items():
        problem = entry_problem(printable_path(path.name), name, entry)
        if problem:
            problems[name] = problem
    return WhisperJson(entries, problems)


def whisper_json_text(entries: Mapping[str, object]) -> str:
    """Entries as such files have them: indented by 4, with sorted keys. NaN stays what it was."""
    return json.dumps(dict(entries), ensure_ascii=False, indent=4, sort_keys=True) + "\n"


def entry_problem(file: str, name: str, entry: object) -> BadInput | None:
    """Why an entry can't be used, in a sentence that names the file and the entry; None if it can."""
    where = f"{file}: {quoted(name)}"
    try:
        usable = typed(entry, _Entry, where, _REMEDY)
    except BadInput as problem:
        return problem
    segments = usable.get("segments")
    if usable.get("text") is None and segments is None:
        return BadInput(f"{where} has neither text nor segments", _REMEDY)
    for number, segment in enumerate(segments or [], 1):
        start = segment["start"]
        end = segment["end"]
        if not (is_number(start, 0, LATEST) and is_number(end, start, LATEST)):
            return BadInput(
                f"{where}: segment {number} has the times {quoted(start)} to {quoted(end)}",
                "give seconds from the start of the clip, the end not before the start",
            )
    return None


def text_of(entry: Mapping[str, Any]) -> str:
    """Return the text of an entry that can be used: its own, or that of its segments, with single spaces."""
    text = entry.get("text")
    if text is None:
        text = " ".join(segment["text"] for segment in entry["segments"])
    return " ".join(text.split())


# Which file is meant, and which audio file an entry is about.


class ClipsFolder(NamedTuple):
    """A folder of clips, and the whisper.json that has their texts, or None."""

    audio: Path
    json: Path | None


def clips_folder(path: Path) -> ClipsFolder:
    """Return the clips and the texts of a folder, or of a whisper.json.

    The texts of a folder are in its `WHISPER_JSON`; the clips are in one of `AUDIO_FOLDERS` beside it, or else in
    its own folder. Raises BadInput for a link that leads out of the folder.
    """
    folder = path if path.is_dir() else path.parent
    texts = path / WHISPER_JSON if path.is_dir() else path
    audio_folders = [folder / name for name in AUDIO_FOLDERS if (folder / name).is_dir()]
    audio = audio_folders[0] if audio_folders else folder
    for part in (texts, audio):
        if path.is_dir() and leads_out(part, folder):
            raise BadInput(f"{printable_path(part)}: {LINK_OUT}", COPY_IT)
    return ClipsFolder(audio, texts if texts.exists() else None)


class Matches(NamedTuple):
    """The `keys` of entries by the name of the audio file that they are about, and the `problems` of others."""

    keys: dict[str, str]
    problems: dict[str, BadInput]


def match_names(keys: Iterable[str], names: Iterable[str]) -> Matches:
    """Match entries with audio files, where only one of each is alike.

    An entry is about the file of its exact name, else of its name in Unicode's NFC whatever the case, else, if it
    names no folder, of the name of its file. So one that leads out of the folder is about none.

    Args:
        keys: names of entries.
        names: paths of the audio files under their folder, with `/`. An entry without a folder may be about a file
            in any, if only one file is called so.

    >>> match_names(["a.wav", "CAFE\\u0301.wav"], ["a.wav", "more/caf\\xe9.wav", "b.wav"]).keys
    {'a.wav': 'a.wav', 'more/café.wav': 'CAFÉ.wav'}
    """
    keys = dict.fromkeys(keys)
    names = dict.fromkeys(names)
    matched: dict[str, str] = {}
    forms = ((str, str), (folded, folded), (lambda name: folded(name).rpartition("/")[2], folded))
    for form_of_name, form_of_key in forms:
        names_by_form: defaultdict[str, list[str]] = defaultdict(list)
        keys_by_form: defaultdict[str, list[str]] = defaultdict(list)
        for name in names.keys() - matched.keys():
            names_by_form[form_of_name(name)].append(name)
        for key in keys.keys() - matched.values():
            keys_by_form[form_of_key(key)].append(key)
        for form, alike_names in names_by_form.items():
            alike_keys = keys_by_form.get(form, [])
            if len(alike_names) == len(alike_keys) == 1:
                matched[alike_names[0]] = alike_keys[0]
    used = {*matched.values()}
    remedy = "give it the exact name of one"
    problems = {
        key: BadInput(f"{quoted(key)} is the name of no audio file, or of several", remedy)
        for key in keys
        if key not in used
    }
    return Matches(matched, problems)


def folded(name: str) -> str:
    """Return a path as it is compared: with `/`, in Unicode's NFC, whatever the case."""
    return composed(composed(name.replace("\\", "/")).casefold())
