"""The lines of a training folder for Moshi, edited as those of a transcript."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.review.clips_lines import audio_below, counted_order
from dailytalk_contiguous.apps.review.editable import (
    DISCARDED,
    DISCARDED_ENTRIES,
    Editable,
    SoundStretch,
    move_files,
    read_discarded,
    signature_of,
    whole_sound,
    write_discarded,
)
from dailytalk_contiguous.apps.review.edits import Lines, in_order, shown_words
from dailytalk_contiguous.core.documents import (
    as_text,
    expect,
    fits,
    is_number,
    json_lines,
    numbered_lines,
    parse_json,
    quoted,
    read_bytes,
)
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.moshi_words import said_words
from dailytalk_contiguous.core.schema import AUDIO_FOLDER, CHANNELS, MAIN, OTHER
from dailytalk_contiguous.core.word_times import join_words, split_words
from dailytalk_contiguous.store.files import inside, json_text


class MoshiLines(Editable):
    """A training folder for Moshi: the words of each WAV are in the JSON beside it.

    It has no lines until an edit: words of one speaker without a longer pause are one. Edited lines are kept in
    the same JSON as `lines`, which the trainer does not read, beside the `alignments` that it does.
    """

    kind = "moshi"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._read: dict[str, bytes] = {}

    def names(self) -> Sequence[str]:
        return [*self._named]

    def summaries(self) -> Iterator[tuple[str, dict[str, Any] | None]]:
        return ((name, None) for name in self.names())

    def lines(self, name: str) -> Lines:
        document = self._document(name)
        words = []
        for word in said_words(document["alignments"], name, "make that folder again"):
            timed = {"word": word.text, "start": word.start, "end": word.end, "probability": None}
            words.append((CHANNELS[word.channel], timed))
        lines = _kept_lines(document.get("lines"), words)
        return lines if lines is not None else _turns(words)

    def stretch(self, name: str) -> SoundStretch:
        return whole_sound(self._beside(name, ""))

    def seconds(self, name: str) -> float | None:
        return self._named.get(name)

    def is_discarded(self, name: str) -> bool:
        return self._moved(name).is_file() and not (self.root / name).is_file()

    def path_of(self, name: str) -> Path:
        return self._beside(name, ".json")

    def content(self, name: str) -> bytes:
        if name not in self._read:
            path = self.path_of(name)
            self._seen[path] = signature_of(path)
            self._read[name] = read_bytes(path)
        return self._read[name]

    def write(self, name: str, lines: Lines) -> None:
        words = [(word, line["channel"]) for _, line in in_order(lines) for word in shown_words(line)]
        words.sort(key=lambda pair: (pair[0]["start"], pair[0]["end"]))
        document = self._document(name) | {
            "alignments": [
                [word["word"], [word["start"], word["end"]], MAIN if channel == CHANNELS[0] else OTHER]
                for word, channel in words
            ],
            "lines": [
                {"id": key, **{field: value for field, value in line.items() if field != "words"}}
                | {"n_words": len(shown_words(line))}
                for key, line in in_order(lines)
            ],
        }
        data = json_text(document).encode()
        self._write_file(self.path_of(name), data)
        self._read[name] = data

    def reread(self) -> None:
        self._read.clear()
        self._drop("_named")

    def refuse_discarding(self, name: str) -> None:
        for path, moved in self._moves([name]):
            if os.path.lexists(path) and os.path.lexists(moved):
                raise BadInput(f"{DISCARDED} has another {moved.name!r} already", "move that one elsewhere")

    def discard(self, names: Sequence[str], discarded: bool) -> None:
        kept = self._kept_lines
        before = {side: self._manifest(side) for side in MANIFESTS if (self.root / side).is_file()}
        back = {} if discarded else {name: kept.pop(name) for name in names if name in kept}
        moved = names if discarded else back
        after = {side: [pair for pair in lines if pair[0] not in moved] for side, lines in before.items()}
        if discarded:
            for name in names:
                named = {side: [line for item, line in lines if item == name] for side, lines in before.items()}
                if any(named.values()):
                    kept[name] = named
            write_discarded(self._audio, kept)
            move_files(self._moves(names), self.root)
            self._write_manifests(after)
        else:
            for name, sides in back.items():
                for side, lines in sides.items():
                    after.setdefault(side, []).extend((name, line) for line in lines)
            self._write_manifests(after)
            move_files((pair[::-1] for pair in self._moves(names)), self.root)
            if back:
                write_discarded(self._audio, kept)
        self.reread()

    def _moves(self, names: Sequence[str]) -> Iterator[tuple[Path, Path]]:
        for name in names:
            for suffix in (Path(name).suffix, ".json"):
                yield (self.root / name).with_suffix(suffix), self._moved(name).with_suffix(suffix)

    def _write_manifests(self, sides: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        for side, lines in sides.items():
            if lines != self._manifest(side):
                self._write_file(inside(self.root, side), "".join(line for _, line in lines).encode())

    @property
    def _audio(self) -> Path:
        return self.root / AUDIO_FOLDER

    @property
    def _kept_lines(self) -> dict[str, dict[str, list[str]]]:
        """The lines of discarded items, by item and manifest. Raises BadInput for a manifest that is none."""
        kept: dict[str, dict[str, list[str]]] = read_discarded(self._audio, {str: [str]})
        if strange := next((side for sides in kept.values() for side in sides if side not in MANIFESTS), None):
            raise BadInput(
                f"{DISCARDED_ENTRIES}: {quoted(strange)} is no manifest of the folder", "delete that entry"
            )
        return kept

    def _moved(self, name: str) -> Path:
        parts = Path(name).parts
        return (self._audio / DISCARDED).joinpath(*(parts[1:] if parts[0] == AUDIO_FOLDER else parts))

    def _manifest(self, name: str) -> list[tuple[str, str]]:
        """The lines of a manifest with their breaks, each after its path; none of a missing manifest."""
        lines: list[tuple[str, str]] = []
        if not (self.root / name).is_file():
            return lines
        for _, data in numbered_lines(inside(self.root, name)):
            try:
                line = parse_json(data, "")
            except BadInput:
                line = None
            path = line.get("path") if isinstance(line, dict) else None
            lines.append((path if isinstance(path, str) else "", data.decode("utf-8", "replace")))
        return lines

    @cached_property
    def _named(self) -> dict[str, float | None]:
        """The WAVs in the manifests, or in the folder without any, with their seconds."""
        named: dict[str, float | None] = {}
        for manifest in MANIFESTS:
            if (self.root / manifest).is_file():
                for _, line in json_lines(inside(self.root, manifest)):
                    if isinstance(line, dict) and isinstance(line.get("path"), str):
                        seconds = line.get("duration")
                        named[line["path"]] = float(seconds) if is_number(seconds, 0) else None
        if not named:
            below = {*audio_below(self._audio, skip=DISCARDED), *audio_below(self._audio / DISCARDED)}
            named = {f"{AUDIO_FOLDER}/{name}": None for name in sorted(below, key=counted_order)}
        return named | {name: None for name in self._kept_lines if name not in named}

    def _beside(self, name: str, suffix: str) -> Path:
        path = Path(name).with_suffix(suffix or Path(name).suffix)
        present = inside(self.root, path)
        if not present.exists():
            moved = self._moved(name).with_suffix(path.suffix)
            if name not in self._named and not moved.exists():
                raise BadInput(f"{as_text(self.root)!r} has no item {name[:200]!r}", "reload the page")
            present = inside(self.root, moved.relative_to(self.root)) if moved.exists() else present
        return present

    def _document(self, name: str) -> dict[str, Any]:
        where = as_text(self.path_of(name))
        document: dict[str, Any] = expect(parse_json(self.content(name), where), {"alignments": list}, where)
        return document


#: Manifests of a training folder; seconds of a pause that ends a line of one.
MANIFESTS, _TURN_SECONDS = ("train.jsonl", "eval.jsonl"), 0.8


def _kept_lines(kept: Any, words: Sequence[tuple[str, dict[str, Any]]]) -> Lines | None:
    """The lines that an edit left, with their words; None if the words are not theirs any more."""
    if not fits(kept, [{"id": str, "channel": str, "start": float, "end": float, "text": str, "n_words": int}]):
        return None
    left = {channel: [word for side, word in words if side == channel] for channel in CHANNELS}
    lines: Lines = {}
    for line in kept:
        if line["channel"] not in left or len(left[line["channel"]]) < line["n_words"] or line["n_words"] < 0:
            return None
        line_words = left[line["channel"]][: line["n_words"]]
        if line["text"] and split_words(line["text"]) != [word["word"] for word in line_words]:
            return None
        del left[line["channel"]][: line["n_words"]]
        lines[line["id"]] = {name: value for name, value in line.items() if name not in ("id", "n_words")}
        lines[line["id"]]["words"] = line_words
    return None if any(left.values()) or len(lines) != len(kept) else lines


def _turns(words: Sequence[tuple[str, dict[str, Any]]]) -> Lines:
    """Lines of words without longer pauses; a line also ends when the other speaker has begun one."""
    lines: Lines = {}
    for channel in CHANNELS:
        channel_words = sorted(
            (word for side, word in words if side == channel), key=lambda word: (word["start"], word["end"])
        )
        groups: list[list[dict[str, Any]]] = []
        for word in channel_words:
            if groups and word["start"] - max(other["end"] for other in groups[-1]) < _TURN_SECONDS:
                groups[-1].append(word)
            else:
                groups.append([word])
        for number, group in enumerate(groups):
            start, end = group[0]["start"], max(word["end"] for word in group)
            lines[f"{channel}/{number:04d}"] = {
                "channel": channel,
                "start": start,
                "end": max(end, start + 0.001),
                "text": join_words(word["word"].strip() for word in group),
                "words": [{**word, "word": word["word"].strip()} for word in group],
            }
    return lines
