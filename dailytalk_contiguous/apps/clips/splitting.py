"""Recordings into pieces: the pass that decides where they are cut, and the files that are written.

Every sample of a recording is in one file: those in `Usable` can be trained on, those in `Non Usable` can't, and
`manifest.jsonl` says why. The header of a file identifies its source, so that a run that was killed continues
after the last finished file. Sound is copied block by block, unchanged.
"""

import hashlib
import os
import re
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dailytalk_contiguous.apps.clips.cut import CutAtSilences
from dailytalk_contiguous.apps.clips.cuts import SILENT_PIECE
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import read_header, sample_format, whole_blocks
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.machine import cores, give_back_memory, side_by_side
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.wording import kind_of
from dailytalk_contiguous.run import outputs
from dailytalk_contiguous.run.events import Account
from dailytalk_contiguous.run.run import Pass, RunOptions, RunOutcome, Spec, make_writable
from dailytalk_contiguous.run.tagging import FoundRecordings, refuse_to_lose
from dailytalk_contiguous.shards import expand_row, read_rows
from dailytalk_contiguous.sources.folder import AT_ONCE
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.store import work_folder
from dailytalk_contiguous.store.files import (
    WrittenTogether,
    json_document,
    json_text,
    remove_unfinished,
    sha256_of,
    write_lines,
    write_text,
)
from dailytalk_contiguous.store.owned_folder import OwnedFolder, made_from, wav_writer

#: Folder of the shards inside the folder of the pieces.
PIECES_FOLDER = "pieces"

#: Folders of the files, by whether they can be used, and the list of all.
USABLE, NON_USABLE = "Usable", "Non Usable"
MANIFEST = "manifest.jsonl"

#: The kind of an owned folder with pieces.
_KIND = "split"

#: Seconds of sound that are copied at a time.
_BLOCK_SECONDS = 5.0

#: The most characters of a name with its ending, and bytes, which file systems count; digits of the running
#: number.
LONGEST_NAME, LONGEST_NAME_BYTES, DIGITS = 150, 240, 6

#: The most characters of the part that names the recording, and bytes.
_LONGEST_BASE, _LONGEST_BASE_BYTES = 80, 120


def safe_name(text: str, longest: int, longest_bytes: int, joint: str = "_") -> str:
    """Letters, marks and digits of any script, with `joint` in place of everything else; may be empty.

    A file system, a shell or an address can't have some of the other characters.

    >>> safe_name("  Ça va?  Très/bien.", 80, 120)
    'Ça_va_Très_bien'
    """
    kept = [char if unicodedata.category(char)[0] in "LMN" else "-" if char == "-" else " " for char in _nfc(text)]
    name = re.sub(r" ?- ?-?", "-", " ".join("".join(kept).split())).strip("- ")
    name = name.replace(" ", joint)[:longest]
    return _nfc(name.encode()[:longest_bytes].decode(errors="ignore")).rstrip(f"-{joint}")


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())


def piece_bases(recording_ids: Iterable[str]) -> dict[str, str]:
    """The start of the file names of each recording: its name, with its folder or a digest if two are alike."""
    bases = {name: _base(name.rpartition("/")[2]) for name in recording_ids}
    alone = _alone(bases)
    bases = {name: base if name in alone else _base(name.replace("/", "-")) for name, base in bases.items()}
    alone = _alone(bases)
    return {name: base if name in alone else f"{base[:40]}-{_digest(name)[:10]}" for name, base in bases.items()}


def _alone(bases: Mapping[str, str]) -> set[str]:
    """Names whose base differs from all others even on a disk that ignores case."""
    counts = Counter(base.casefold() for base in bases.values())
    return {name for name, base in bases.items() if counts[base.casefold()] == 1}


def _base(text: str) -> str:
    return safe_name(text, _LONGEST_BASE, _LONGEST_BASE_BYTES) or "recording"


def piece_name(base: str, number: int, words: str = "") -> str:
    """`talk_000012.wav`, or `talk_000012-so-we-went.wav` with words: at most 150 characters and 240 bytes.

    No two recordings and numbers ever share a name: words hold no `_`.
    """
    name = f"{base}_{number:0{DIGITS}d}"
    room = LONGEST_NAME - len(name) - 5, LONGEST_NAME_BYTES - len(name.encode()) - 5
    ending = safe_name(words, *room, joint="-") if words else ""
    return f"{name}-{ending}.wav" if ending else f"{name}.wav"


def _digest(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:20]


class SplitSpec(Spec):
    """Recordings into pieces, as files in a folder of their own that people may change afterwards.

    Args:
        out: the folder; empty, or one that does not exist, or of an earlier run.
        stages: those of `apps.clips.to_clips.split_stages`. about: goes into run.json as it is.

    Attributes:
        n_written: how many files a run has written.
    """

    kind = _KIND

    def __init__(
        self, recordings: FoundRecordings, out: Path, stages: Sequence[Stage], about: Mapping[str, Any] = {}
    ) -> None:
        self.recordings, self.out, self.stages, self.about = recordings, out, tuple(stages), about
        self.rejects = [*recordings.problems]
        self.n_written = 0
        self._pass = Pass(out / PIECES_FOLDER, recordings.groups, self.stages)

    def check(self, options: RunOptions) -> None:
        """Raise DailytalkError if `out` holds other files, or results of recordings that are not in the input."""
        refuse_to_lose(self._pass, self.recordings, options.prune)
        make_writable(self._pass.folder)
        OwnedFolder(self.out, self.kind, ())

    def passes(self, options: RunOptions) -> Generator[Pass]:
        yield self._pass

    def write(self, account: Account) -> dict[str, Any]:
        """Write all pieces that are missing. Raises DailytalkError if pieces were changed since they were made."""
        self.rejects += self._pass.rejects
        writer = _Writer(self.out, self._pass, self.rejects)
        source = {"source": self.recordings.source} if self.recordings.source else {}
        record = writer.finished_record() or writer.write({**self.about, **source})
        self.n_written = writer.n_written
        return record


def cut_dry(recordings: FoundRecordings, split: CutAtSilences) -> RunOutcome:
    """Return the result of a run, as far as it can be known without words; nothing is written."""
    started = time.perf_counter()
    totals, rejects = _Totals(), list(recordings.problems)
    for result in side_by_side(partial(_cut, split=split), recordings.rows, min(AT_ONCE, cores())):
        if isinstance(result, Reject):
            rejects.append(result)
        else:
            totals.add(*result)
    return RunOutcome(rejects, Account(), time.perf_counter() - started, totals.record(len(rejects)))


def _cut(row: Row, split: CutAtSilences) -> tuple[list[dict[str, Any]], int] | Reject:
    try:
        audio = expand_row(row)["audio"]
        return split.row({"audio": audio})["pieces"], read_header(audio).sample_rate
    except BadInput as error:
        return Reject(row["recording_id"], "CutAtSilences", error.reason, error.remedy)


class _Totals:
    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._counts: Counter[str] = Counter()
        self._reasons: defaultdict[str, float] = defaultdict(float)

    def add(self, pieces: Iterable[Mapping[str, Any]], sample_rate: int) -> None:
        self._counts["recordings"] += 1
        for piece in pieces:
            seconds = (piece["end"] - piece["start"]) / sample_rate
            kind = "usable" if piece["reason"] is None else "non_usable"
            self._counts["pieces"] += 1
            self._counts[kind] += 1
            self.seconds["audio"] += seconds
            self.seconds[kind] += seconds
            self.seconds["silent"] += seconds * (piece["reason"] == SILENT_PIECE)
            if piece["reason"]:
                self._reasons[kind_of(piece["reason"])] += seconds

    def record(self, n_rejects: int) -> dict[str, Any]:
        counts = {name: self._counts[name] for name in ("recordings", "pieces", "usable", "non_usable")}
        return {
            "counts": counts | {"rejects": n_rejects},
            "seconds": {
                name: round(self.seconds[name], 3) for name in ("audio", "usable", "non_usable", "silent")
            },
            "non_usable": {kind: round(took, 3) for kind, took in sorted(self._reasons.items())},
        }


class _Writer:
    """Writes the pieces in the shards of a pass, the list of them, and the rejects.

    Attributes:
        rejects: recordings that could not be used, to which others may be added. n_written: how many files.
    """

    _COLUMNS = ("recording_id", "audio", "audio_file", "sample_rate", "channels", "input_digest")

    def __init__(self, out: Path, step: Pass, rejects: list[Reject]) -> None:
        self._out, self._step, self.rejects = out, step, rejects
        self.n_written = 0
        self._bases = piece_bases(sorted({entry.recording_id for _, entry in step.entries}))
        failed = [reject.as_dict() for reject in self.rejects]
        self._fingerprint = outputs.fingerprint_of(step.paths, failed)

    def finished_record(self) -> dict[str, Any] | None:
        """The content of run.json if an earlier run has finished all of this; people may have changed its files.

        Raises DailytalkError if it finished another split and its list of files was changed since: writing them
        again would undo that.
        """
        before = work_folder.read_run(self._out) or {}
        digest, manifest = before.get("manifest_sha256"), self._out / MANIFEST
        if digest and manifest.is_file():
            if before.get("fingerprint") == self._fingerprint:
                return before
            if sha256_of(manifest) != digest:
                raise DailytalkError(
                    f"the pieces in {as_text(self._out)!r} were changed since they were made",
                    "choose another --out, or empty this folder to have them made again",
                )
        return None

    def write(self, about: Mapping[str, Any]) -> dict[str, Any]:
        for folder in ("", USABLE, NON_USABLE):
            remove_unfinished(self._out / folder)
        owned = OwnedFolder(self._out, _KIND, (MANIFEST,))
        before = {
            f"{folder}/{path.name}"
            for folder in (USABLE, NON_USABLE)
            if (self._out / folder).is_dir()
            for path in os.scandir(self._out / folder)
        }
        failed: set[str] = set()
        totals = _Totals()
        with WrittenTogether() as files:
            for row in self._rows():
                try:
                    self._write_recording(owned, files, row, before)
                except BadInput as error:
                    failed.add(row["recording_id"])
                    self.rejects.append(Reject(row["recording_id"], "CutAtSilences", error.reason, error.remedy))
                    continue
                totals.add(row["pieces"], row["sample_rate"])
        rows = (row for row in self._rows() if row["recording_id"] not in failed)
        owned.finish({MANIFEST: (json_text(line) for row in rows for _, _, line in self._lines(row))})
        write_lines(self._out / work_folder.REJECTS, [json_text(reject.as_dict()) for reject in self.rejects])
        record = {
            **outputs.facts_of_run(about, self._step.stages),
            **totals.record(len(self.rejects)),
            "manifest_sha256": sha256_of(self._out / MANIFEST),
            "fingerprint": self._fingerprint,
        }
        write_text(self._out / work_folder.RUN, json_document(record))
        return record

    def _rows(self) -> Iterator[Row]:
        columns = dict.fromkeys((*self._COLUMNS, "pieces", "first_words"))
        for path in self._step.paths:
            yield from read_rows(path, columns).values()

    def _lines(self, row: Row) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """For each piece in order: the path of its file, a digest of its content, and its line of the manifest."""
        base, texts = self._bases[row["recording_id"]], row.get("first_words") or [""] * len(row["pieces"])
        for number, (piece, words) in enumerate(zip(row["pieces"], texts, strict=True), 1):
            usable = piece["reason"] is None
            name = f"{USABLE if usable else NON_USABLE}/{piece_name(base, number, words)}"
            line = {
                "file": name,
                "source": row["audio_file"],
                "sample_rate": row["sample_rate"],
                "channels": row["channels"],
                "start": piece["start"],
                "end": piece["end"],
                "usable": usable,
                "reason": piece["reason"],
                "cut": piece["cut"],
            }
            yield name, _digest(row["input_digest"], piece["start"], piece["end"]), line

    def _write_recording(self, owned: OwnedFolder, files: WrittenTogether, row: Row, before: set[str]) -> None:
        """Write the missing files of a recording. Raises BadInput if it can no longer be read."""
        kept = sample_format(row["audio"])
        source = _Source(row["audio"])
        pieces = list(self._lines(row))
        owned.claim(name for name, _, _ in pieces)
        for name, digest, line in pieces:
            interrupts.check_interrupt()
            if name in before and made_from(self._out, name) == digest:
                continue
            start, end = line["start"], line["end"]
            shape = row["sample_rate"], row["channels"], kept.subtype, end - start, digest
            files.write(self._out / name, wav_writer(source.part(start, end), *shape))
            self.n_written += 1
        give_back_memory()


class _Source:
    """A recording whose parts are read in order; it is opened again only after a gap between parts."""

    def __init__(self, audio: dict[str, Any]) -> None:
        self._audio = audio
        self._blocks: Iterator[NDArray[Any]] = iter(())
        self._at = -1
        self._rest: NDArray[Any] | None = None

    def part(self, start: int, end: int) -> Iterator[NDArray[Any]]:
        """Yield the samples from `start` up to `end`. Raises BadInput if they can no longer be read."""
        if start != self._at:
            self._blocks, self._rest, self._at = whole_blocks(self._audio, start, _BLOCK_SECONDS), None, start
        while self._at < end:
            block = self._next() if self._rest is None else self._rest
            taken = block[: end - self._at]
            self._rest = block[len(taken) :] if len(taken) < len(block) else None
            self._at += len(taken)
            yield taken

    def _next(self) -> NDArray[Any]:
        try:
            block = next(self._blocks, None)
        except OSError as error:  # of the recording, not of the disk that is written to
            raise BadInput(
                f"it can't be read ({error.strerror or error})", "check the file and its permissions"
            ) from None
        if block is None:
            raise BadInput("it is shorter than it was a moment ago", "run the same command again")
        return block
