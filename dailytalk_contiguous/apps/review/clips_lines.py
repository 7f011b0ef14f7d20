"""The lines of a folder of clips and its whisper.json, edited as those of a transcript."""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.apps.review.editable import (
    DISCARDED,
    DISCARDED_ENTRIES,
    Editable,
    SoundStretch,
    keep_backup,
    may_move,
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
from dailytalk_contiguous.store.files import inside, is_inside, write_bytes


class ClipsLines(Editable):
    """A folder of clips and the JSON with their texts; lines are its segments. Unknown fields are kept."""

    kind = "clips"

    def __init__(self, path: Path) -> None:
        folder = whisper_json.clips_folder(path)
        super().__init__(path if path.is_dir() else path.parent)
        self._audio = folder.audio
        self._path = folder.json or self.root / whisper_json.WHISPER_JSON
        self._folder, self._signature = signature_of(self._audio), signature_of(self._path)

    def names(self) -> Sequence[str]:
        return self._listed.here

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
            if isinstance(entry, dict) and isinstance(entry.get("segments"), list):
                segments = [part for part in entry["segments"] if isinstance(part, dict)]
                summary = summary_of(
                    {"text": "", **part} for part in segments if isinstance(part.get("text"), str)
                )
            else:
                text = entry.get("text") if isinstance(entry, dict) else None
                summary = summary_of([{"text": text}] if isinstance(text, str) else [])
            language = entry.get("language") if isinstance(entry, dict) else None
            yield name, summary | {"language": language if isinstance(language, str) else None}

    def stretch(self, name: str) -> SoundStretch:
        if name not in self._listed.both:
            raise BadInput(f"{as_text(self._audio)!r} has no clip {name[:200]!r}", "reload the page")
        path = inside(self._audio, name)
        path = path if path.exists() else inside(self.aside, name)
        return whole_sound(path)

    def seconds(self, name: str) -> float | None:
        return None

    def channels(self, name: str) -> Sequence[str]:
        return CHANNELS[:1]

    def file_of(self, name: str) -> str:
        return self._path.name

    def write(self, file: str, changed: Mapping[str, Lines]) -> None:
        texts, aside = self._changed(changed)
        if aside != self._discarded:
            whisper_json.write_whisper_json(self._aside_path, aside)
            self._drop("_discarded", "_keys_aside")
        if texts != self.texts_of_fields:
            self._write_texts(texts)

    def content(self, file: str, changed: Mapping[str, Lines], states: Mapping[str, bool]) -> Iterable[bytes]:
        texts = self._put_aside(states, *self._changed(changed))[0]
        return whisper_json.whisper_json_text(texts).encode("utf-8", "surrogatepass").splitlines(keepends=True)

    def listing(self) -> Sequence[str]:
        return [self._path.name]

    def _changed(self, changed: Mapping[str, Lines]) -> tuple[dict[str, Any], dict[str, Any]]:
        texts, aside = dict(self.texts_of_fields), dict(self._discarded)
        for name, lines in changed.items():
            is_aside = name in self._keys_aside and name not in self._keys
            entries, key = (aside, self._keys_aside[name]) if is_aside else (texts, self._keys.get(name, name))
            entries[key] = _clip_entry(entries.get(key), lines)
        return texts, aside

    def _put_aside(
        self, states: Mapping[str, bool], texts: dict[str, Any], aside: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The entries after items were discarded, or restored; those of restored ones are in both."""
        for name, discarded in states.items():
            if discarded and name in self._keys:
                aside[self._keys[name]] = texts.pop(self._keys[name])
            elif not discarded and name in self._keys_aside:
                texts.setdefault(self._keys_aside[name], aside[self._keys_aside[name]])
        return texts, aside

    def _write_texts(self, texts: dict[str, Any]) -> None:
        """Write the entries. The text of unchanged ones is copied: encoding all takes far longer."""
        changed = {name for name, entry in texts.items() if self.texts_of_fields.get(name) is not entry}
        pieces = whisper_json.entry_texts(self._path, texts.keys() - changed) if self._path.exists() else None
        if pieces is None:
            whisper_json.write_whisper_json(self._path, texts)
            self._drop("texts_of_fields", "_keys")
            return
        pieces |= {name: whisper_json.encoded_entry(name, texts[name]) for name in changed}
        data = "{\n" + ",\n".join(pieces[name] for name in sorted(texts)) + "\n}\n" if texts else "{}\n"
        write_bytes(self._path, data.encode("utf-8", "surrogatepass"))
        self._drop("_keys")
        self.texts_of_fields, self._signature = texts, signature_of(self._path)

    def reread(self) -> None:
        if self._folder != (now := signature_of(self._audio)):
            self._folder = now
            self._drop("_listed", "_discarded", "_keys", "_keys_aside")
        if self._signature != (now := signature_of(self._path)):
            self._signature = now
            self._drop("texts_of_fields", "_keys")

    @property
    def aside(self) -> Path:
        return self._audio / DISCARDED

    def refuse_discarding(self, name: str) -> None:
        if os.path.lexists(self.aside / name) and os.path.lexists(self._audio / name):
            raise BadInput(f"{DISCARDED} has another {name!r} already", "move that one elsewhere")

    def put_aside(self, states: Mapping[str, bool]) -> None:
        texts, aside = self._put_aside(states, dict(self.texts_of_fields), dict(self._discarded))
        # A stop here leaves an entry in both files, never in none.
        if aside != self._discarded:
            self.aside.mkdir(exist_ok=True)
            whisper_json.write_whisper_json(self._aside_path, aside)
        if texts != self.texts_of_fields:
            keep_backup(self._path)
            self._write_texts(texts)
        for source, target in self.moves(states):
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
        back = {self._keys_aside[name] for name, gone in states.items() if not gone and name in self._keys_aside}
        if back:
            whisper_json.write_whisper_json(
                self._aside_path, {key: entry for key, entry in aside.items() if key not in back}
            )
        self._drop("_listed", "_discarded", "_keys", "_keys_aside")

    def moves(self, states: Mapping[str, bool]) -> Iterator[tuple[Path, Path]]:
        for name, discarded in states.items():
            pair = (self._audio / name, self.aside / name)
            yield from may_move(*(pair if discarded else pair[::-1]), self._audio)

    @property
    def _aside_path(self) -> Path:
        return inside(self._audio, Path(DISCARDED) / DISCARDED_ENTRIES)

    def _length(self, name: str) -> float:
        try:
            return round(max(self.stretch(name).seconds, 0.01), 3)
        except (BadInput, OSError):
            return 1.0

    def _entry(self, name: str) -> Any:
        if name not in self._listed.both:
            raise BadInput(f"{as_text(self._audio)!r} has no clip {name[:200]!r}", "reload the page")
        if name in self._keys:
            return self.texts_of_fields[self._keys[name]]
        return self._discarded.get(self._keys_aside.get(name, ""))

    @cached_property
    def _listed(self) -> "_Listed":
        here = audio_below(self._audio, skip=DISCARDED)
        aside = audio_below(self.aside) if is_inside(self.aside, self._audio) else []
        return _Listed(here, {*here, *aside})

    @cached_property
    def texts_of_fields(self) -> dict[str, Any]:
        """The entries of the file. Each is checked when it is read: checking all takes long."""
        if not self._path.exists():
            return {}
        return whisper_json.quick_entries(inside(self.root, self._path.name))

    @cached_property
    def _discarded(self) -> dict[str, Any]:
        return whisper_json.read_whisper_json(self._aside_path).entries if self._aside_path.exists() else {}

    @cached_property
    def _keys(self) -> dict[str, str]:
        return _matched(self.texts_of_fields, self._listed.both)

    @cached_property
    def _keys_aside(self) -> dict[str, str]:
        return _matched(self._discarded, self._listed.both)


def _matched(keys: Mapping[str, Any], names: Collection[str]) -> dict[str, str]:
    """The key of the entry of each audio file; most have the same name."""
    if keys.keys() == {*names}:
        return {name: name for name in names}
    return whisper_json.match_names(keys, names).keys


class _Listed(NamedTuple):
    """The clips of a folder by their paths under it: `here` without, `both` with the discarded ones."""

    here: list[str]
    both: set[str]


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
