"""The lines of a folder of clips and its whisper.json, edited as those of a transcript."""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.review.editable import (
    DISCARDED,
    DISCARDED_ENTRIES,
    Editable,
    SoundStretch,
    move_files,
    signature_of,
    summary_of,
    whole_sound,
)
from dailytalk_contiguous.apps.review.edits import Lines, SpokenLine, in_order
from dailytalk_contiguous.core.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.core.documents import as_text, is_number, with_null
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.word_times import join_words
from dailytalk_contiguous.sources import whisper_json
from dailytalk_contiguous.store.files import inside, is_inside


class ClipsLines(Editable):
    """A folder of clips and the JSON with their texts; lines are its segments. Unknown fields are kept."""

    kind = "clips"

    def __init__(self, path: Path) -> None:
        folder = whisper_json.clips_folder(path)
        super().__init__(path if path.is_dir() else path.parent)
        self._audio = folder.audio
        self._path = folder.json or self.root / whisper_json.WHISPER_JSON
        self._encoded: dict[str, str] = {}  # entries as the file has them: to encode all takes long

    def names(self) -> Sequence[str]:
        return self._names

    def is_discarded(self, name: str) -> bool:
        return name in self._aside

    def lines(self, name: str) -> Lines:
        entry = self._entry(name)
        if entry is None:
            return {}
        entry = with_null(entry)
        problem = whisper_json.entry_problem(self._path.name, name, entry)
        if problem:
            raise problem
        segments = entry.get("segments")
        if segments is None:
            text = whisper_json.text_of(entry)
            return {"0": _clip_line({"start": 0.0, "end": self._length(name), "text": text})} if text else {}
        lines: Lines = {}
        for index, segment in enumerate(segments):
            number = segment.get("id")
            key = str(number) if isinstance(number, int) and str(number) not in lines else str(index)
            while key in lines:
                key = str(int(key) + len(segments))
            lines[key] = _clip_line(segment)
        return lines

    def summaries(self) -> Iterator[tuple[str, dict[str, Any] | None]]:
        for name in self.names():
            entry = self._entry(name)
            entry = entry if isinstance(entry, dict) else {}
            segments = entry.get("segments")
            parts = segments if isinstance(segments, list) else [entry]
            texts = (part for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))
            language = entry.get("language")
            yield name, summary_of(texts) | {"language": language if isinstance(language, str) else None}

    def stretch(self, name: str) -> SoundStretch:
        self._refuse_unknown(name)
        return whole_sound(inside(self._aside_folder if self.is_discarded(name) else self._audio, name))

    def seconds(self, name: str) -> float | None:
        return None

    def channels(self, name: str) -> Sequence[str]:
        return CHANNELS[:1]

    def path_of(self, name: str) -> Path:
        return self._path

    def content(self, name: str) -> bytes:
        return self._text(self._texts)

    def write(self, name: str, lines: Lines) -> None:
        key = self._keys.get(name, name)
        self._write_texts(self._texts | {key: _clip_entry(self._texts.get(key), lines)})

    def refuse_discarding(self, name: str) -> None:
        if os.path.lexists(self._aside_folder / name) and os.path.lexists(self._audio / name):
            raise BadInput(f"{DISCARDED} has another {name!r} already", "move that one elsewhere")

    def discard(self, names: Sequence[str], discarded: bool) -> None:
        texts, gone = dict(self._texts), dict(self._discarded)
        pairs = [(self._audio / name, self._aside_folder / name) for name in names]
        if discarded:
            keys = [self._keys[name] for name in names if name in self._keys]
            if keys:
                whisper_json.write_whisper_json(self._aside_path, gone | {key: texts[key] for key in keys})
            move_files(pairs, self._audio)
            self._write_texts({key: entry for key, entry in texts.items() if key not in keys})
        else:
            keys = [self._keys_aside[name] for name in names if name in self._keys_aside]
            self._write_texts({key: gone[key] for key in keys} | texts)
            move_files((pair[::-1] for pair in pairs), self._audio)
            if keys:
                left = {key: entry for key, entry in gone.items() if key not in keys}
                whisper_json.write_whisper_json(self._aside_path, left)
        self._drop("_names", "_aside", "_discarded", "_keys", "_keys_aside")

    def reread(self) -> None:
        texts = self._read()
        self._drop("_names", "_aside", "_discarded", "_keys", "_keys_aside")
        self._texts = texts

    def _text(self, texts: Mapping[str, Any]) -> bytes:
        """The file with these entries, of which only the changed ones are encoded."""
        known = {key for key, entry in texts.items() if self._texts.get(key) is entry} & self._encoded.keys()
        self._encoded |= {key: whisper_json.encoded_entry(key, texts[key]) for key in texts.keys() - known}
        pieces = ",\n".join(self._encoded[key] for key in sorted(texts))
        return (f"{{\n{pieces}\n}}\n" if texts else "{}\n").encode("utf-8", "surrogatepass")

    def _write_texts(self, texts: dict[str, Any]) -> None:
        try:
            if texts != self._texts:
                self._write_file(self._path, self._text(texts))
        except OSError:
            self._encoded.clear()
            raise
        self._texts = texts
        self._drop("_keys")

    @property
    def _aside_folder(self) -> Path:
        return self._audio / DISCARDED

    @property
    def _aside_path(self) -> Path:
        return inside(self._audio, Path(DISCARDED) / DISCARDED_ENTRIES)

    def _length(self, name: str) -> float:
        try:
            return round(max(self.stretch(name).seconds, 0.01), 3)
        except (BadInput, OSError):
            return 1.0

    def _refuse_unknown(self, name: str) -> None:
        if name not in self._aside and name not in self._names:
            raise BadInput(f"{as_text(self._audio)!r} has no clip {name[:200]!r}", "reload the page")

    def _entry(self, name: str) -> Any:
        self._refuse_unknown(name)
        if name in self._keys:
            return self._texts[self._keys[name]]
        return self._discarded.get(self._keys_aside.get(name, ""))

    @cached_property
    def _aside(self) -> set[str]:
        gone = audio_below(self._aside_folder) if is_inside(self._aside_folder, self._audio) else []
        return {*gone} - {*audio_below(self._audio, skip=DISCARDED)}

    @cached_property
    def _names(self) -> list[str]:
        return sorted([*audio_below(self._audio, skip=DISCARDED), *self._aside], key=counted_order)

    @cached_property
    def _texts(self) -> dict[str, Any]:
        """The entries of the file. Each is checked when it is read: checking all takes long."""
        return self._read()

    def _read(self) -> dict[str, Any]:
        seen = signature_of(self._path)
        entries = whisper_json.quick_entries(inside(self.root, self._path.name)) if seen else {}
        self._encoded = whisper_json.entry_texts(self._path) if seen else {}
        self._seen[self._path] = seen
        return entries

    @cached_property
    def _discarded(self) -> dict[str, Any]:
        return whisper_json.read_whisper_json(self._aside_path).entries if self._aside_path.exists() else {}

    @cached_property
    def _keys(self) -> dict[str, str]:
        return _matched(self._texts, self._names)

    @cached_property
    def _keys_aside(self) -> dict[str, str]:
        return _matched(self._discarded, self._names)


def _matched(keys: Mapping[str, Any], names: Collection[str]) -> dict[str, str]:
    """The key of the entry of each audio file; most have the same name."""
    if keys.keys() == {*names}:
        return {name: name for name in names}
    return whisper_json.match_names(keys, names).keys


def audio_below(folder: Path, skip: str = "") -> list[str]:
    """Audio files below a folder, in natural order; no links, and no hidden files."""
    names: list[str] = []
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            entries = [*os.scandir(folder / below)]
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.is_symlink():
                continue
            if os.path.splitext(entry.name)[1].lower() in AUDIO_SUFFIXES and entry.is_file():
                names.append(as_text(below + entry.name))
            elif entry.name != skip and entry.is_dir():
                waiting.append(f"{below}{entry.name}/")
    return sorted(names, key=counted_order)


def counted_order(name: str) -> list[tuple[bool, int, str]]:
    """A key by which `clip2` comes before `clip10`."""
    parts = re.split(r"(\d{1,18})", name.casefold())
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _clip_line(segment: Mapping[str, Any]) -> SpokenLine:
    words = segment.get("words")
    line = {"channel": CHANNELS[0], **segment, "text": str(segment["text"]).strip()}
    line.pop("id", None)  # its key says it
    line["end"] = max(line["end"], line["start"] + 0.001)
    if isinstance(words, list):
        timed = all(is_number(word.get("start")) and is_number(word.get("end")) for word in words)
        line["words"] = [{**word, "word": word["word"].strip()} for word in words] if timed else []
    return line


def _clip_entry(entry: Mapping[str, Any] | None, lines: Lines) -> dict[str, Any]:
    old: dict[str, Mapping[str, Any]] = {}
    for index, segment in enumerate((entry or {}).get("segments") or []):
        number = segment.get("id")
        old[str(number) if isinstance(number, int) and str(number) not in old else str(index)] = segment
    is_led = not old or any(segment["text"].startswith(" ") for segment in old.values())
    segments = []
    for key, line in in_order(lines):
        before = old.get(key, {})
        segment = dict.fromkeys(_WHISPER_FIELDS) | {"seek": 0, "temperature": 0.0, "tokens": []}
        segment = {**(segment if not before else {}), **line, "id": int(key) if key.isdecimal() else key}
        for name in _CLIP_OURS - before.keys():
            segment.pop(name, None)
        if before.get("text", "").strip() == line["text"]:
            segment["text"] = before["text"]
        else:
            segment["text"] = f" {line['text']}" if is_led else line["text"]
        if "words" in segment and any(word["word"].startswith(" ") for word in before.get("words") or []):
            segment["words"] = [{**word, "word": f" {word['word']}"} for word in segment["words"]]
        segments.append(segment)
    text = join_words(filter(None, (line["text"].strip() for _, line in in_order(lines))))
    return {"language": None, **(entry or {}), "text": text, "segments": segments}


#: Fields of a segment that Whisper writes, and fields of a line that none has.
_WHISPER_FIELDS = ("avg_logprob", "compression_ratio", "no_speech_prob")
_CLIP_OURS = frozenset({"channel", "duration", "tagged_text", "kind"})
