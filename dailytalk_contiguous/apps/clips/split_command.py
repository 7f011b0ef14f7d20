"""`dailytalk split`: recordings cut into pieces at their silences.

Every sample of a recording is in one file: those in `Usable` can be trained on, those in `Non Usable` can't, and
`manifest.jsonl` says why. The header of a file identifies its source, so that a run that was killed continues
after the last finished file. Sound is copied block by block, unchanged.

With `--words` a recogniser hears each usable piece, and the name of its file ends in its first words, so that a
person finds a piece in a list of files.
"""

import hashlib
import logging
import re
import time
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from dailytalk_contiguous.apps.clips.silences import SILENT_PIECE, CutAtSilences
from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, command_line, option, shown_steps
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import mixed_down, read_pcm, sample_format, whole_blocks
from dailytalk_contiguous.core.documents import as_text, json_lines
from dailytalk_contiguous.core.errors import BadInput, BadValue, DailytalkError, Reject
from dailytalk_contiguous.core.machine import cores, give_back_memory, side_by_side
from dailytalk_contiguous.core.outcome import WITH_JSON, Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.schema import MIX, Row
from dailytalk_contiguous.core.settings import with_settings
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.wording import counted, kind_of, length_text
from dailytalk_contiguous.models.profiles import STANDARD
from dailytalk_contiguous.pipelines.to_text import StageMaker
from dailytalk_contiguous.run import outputs
from dailytalk_contiguous.run.run import preflight
from dailytalk_contiguous.run.tagging import FoundRecordings, find
from dailytalk_contiguous.shards import expand_row
from dailytalk_contiguous.sources.folder import AT_ONCE, FolderConfig
from dailytalk_contiguous.sources.inputs import open_inputs
from dailytalk_contiguous.stages.base import ASR_MODEL
from dailytalk_contiguous.stages.transcribe import WINDOW_SECONDS, Transcribe
from dailytalk_contiguous.store import files, work_folder
from dailytalk_contiguous.store.owned_folder import OwnedFolder, made_from, write_sound
from dailytalk_contiguous.store.work_folder import REJECTS

log = logging.getLogger(__name__)

Measure = TypeVar("Measure")

#: Folders of the files, by whether they can be used, and the list of all.
USABLE = "Usable"
NON_USABLE = "Non Usable"
MANIFEST = "manifest.jsonl"

#: Seconds of sound that are copied at a time.
_BLOCK_SECONDS = 5.0

#: The most characters of a recording's name in those of its pieces: with four bytes each they fit a file name.
_LONGEST = 60

#: Digits of the number of a piece, and the most bytes of a name with words. File systems take 255.
_DIGITS = 6
_LONGEST_BYTES = 240

#: Pieces that are recognised at a time, so that memory does not grow with the length of a recording.
_PIECES_AT_ONCE = 64


def piece_bases(recording_ids: Iterable[str]) -> dict[str, str]:
    """The start of the file names of each recording: its name in letters, digits and `_`.

    A digest of its id follows if another recording has that name, even on a disk that ignores case.
    """
    bases = dict[str, str]()
    taken = set[str]()
    for name in sorted(recording_ids, key=lambda name: (name.count("/"), name)):
        text = unicodedata.normalize("NFC", name.rpartition("/")[2])
        base = re.sub(r"[^\w-]+", "_", text)[:_LONGEST].strip("_") or "recording"
        if base.casefold() in taken:
            base = f"{base[:40]}-{_digest(name)[:10]}"
        bases[name] = base
        taken.add(base.casefold())
    return bases


def _digest(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogateescape")).hexdigest()[:20]


def piece_name(base: str, number: int, words: Iterable[str] = ()) -> str:
    """The name of a piece's file, with as many of the words as have room in it.

    >>> piece_name("talk", 12), piece_name("talk", 13, ["So,", "I", "can't!"])
    ('talk_000012.wav', 'talk_000013-So-I-can-t.wav')
    """
    name = f"{base}_{number:0{_DIGITS}d}"
    for word in words:
        part = _word_in_name(word)
        longer = f"{name}-{part}"
        if len(f"{longer}.wav".encode()) > _LONGEST_BYTES:
            break
        if part:
            name = longer
    return f"{name}.wav"


def _word_in_name(word: str) -> str:
    """The letters, marks and digits of a word, in any script, with hyphens for everything between them."""
    normal = unicodedata.normalize("NFC", word)
    kept = [char if unicodedata.category(char)[0] in "LMN" else "-" for char in normal]
    return re.sub(r"-+", "-", "".join(kept)).strip("-")


@dataclass(frozen=True)
class FirstWords:
    """The first `count` words of pieces, as `transcribe` recognises them."""

    count: int
    transcribe: Transcribe

    @property
    def key(self) -> tuple[str, str]:
        """What the names of pieces depend on besides their sound."""
        return str(self.count), self.transcribe.digest

    def heard(self, row: Row, pieces: Sequence[Row]) -> list[list[str]]:
        """The words of each piece of a recording; none for a piece that can't be used.

        The language `auto` is that of the first pieces. Raises BadInput for a recording that can't be read.
        """
        words: list[list[str]] = [[] for _ in pieces]
        usable = [index for index, piece in enumerate(pieces) if piece["reason"] is None]
        starts = range(0, len(usable), _PIECES_AT_ONCE)
        transcribe = self.transcribe
        for start in steps("parts of the pieces heard", starts, len(starts)):
            interrupts.check_interrupt()
            indices = usable[start : start + _PIECES_AT_ONCE]
            batch: dict[str, list[Any]] = {
                "speech": [_speech(row, pieces[index]) for index in indices],
                "conversation_id": [row["conversation_id"]] * len(indices),
                "channel": [MIX] * len(indices),  # of one side, short pieces share a window of the recogniser
            }
            result, problems = transcribe.attempt(batch)
            for position, problem in problems.items():
                piece = f"{row['conversation_id']}, piece {indices[position] + 1}"
                log.warning("%s has no words in its name: %s", piece, problem.reason)
            for index, recognised in zip(indices, result["words"], strict=True):
                words[index] = [word["word"] for word in (recognised or [])[: self.count]]
            detected = next(filter(None, result["language"]), None)
            if transcribe.language == "auto" and detected:
                transcribe = replace(transcribe, language=detected)
        return words


def _speech(row: Row, piece: Row) -> bytes:
    """The mean of the channels of a piece at 16 kHz, as far as one window of the recogniser goes."""
    start = piece["start"] / row["sample_rate"]
    seconds = min(piece["end"] / row["sample_rate"] - start, WINDOW_SECONDS)
    return mixed_down(read_pcm(row["audio"], start, seconds)).tobytes()


def of_each(
    recordings: FoundRecordings, measure: Callable[[Row], Measure], stage: str, rejects: list[Reject]
) -> Iterator[tuple[Row, Measure]]:
    """The rows of the recordings, each with what is measured of it, several at a time; others join the rejects."""

    def tried(compressed: Row) -> tuple[Row, Measure] | Reject:
        row = expand_row(compressed)
        try:
            return row, measure(row)
        except BadInput as error:
            return Reject(row["recording_id"], stage, error.reason, error.remedy)

    results = side_by_side(tried, recordings.rows, min(AT_ONCE, cores()))
    for result in steps("recordings measured", results, len(recordings.rows)):
        interrupts.check_interrupt()
        if isinstance(result, Reject):
            rejects.append(result)
        else:
            yield result


def split_recordings(
    recordings: FoundRecordings,
    out: Path,
    cut: CutAtSilences,
    words: FirstWords | None = None,
    dry_run: bool = False,
) -> tuple[dict[str, Any], list[Reject], int]:
    """Write the pieces of recordings that are missing, as files in a folder that people may change afterwards.

    If an earlier run has finished all of this, people may have changed its files, and nothing is written. Returns
    the content of run.json, the rejects, and how many files were written. With `words` the names of usable pieces
    have them. With `dry_run` pieces are only counted.

    Raises DailytalkError if `out` holds other files, and if an earlier run finished another split whose list was
    changed since, or has recordings that are not in the input: that work would be lost.
    """
    rows = recordings.rows
    manifest = out / MANIFEST
    words_key = words.key if words else ()
    key = _digest(cut.digest, *words_key, *(row["input_digest"] for row in rows))
    before = work_folder.read_run(out) or {}
    if not dry_run and before.get("manifest_sha256") and manifest.is_file():
        if before.get("fingerprint") == key:
            return before, [Reject(**reject) for reject in work_folder.rejects_in(out)], 0
        _refuse_lost_work(out, before, rows)
    owned = None if dry_run else OwnedFolder(out, "split", (MANIFEST,))
    for folder in ("", USABLE, NON_USABLE):
        files.remove_unfinished(out / folder)
    bases = piece_bases(row["recording_id"] for row in rows)
    lines = list[dict[str, Any]]()
    rejects = [*recordings.problems]
    n_written = 0
    for row, made in of_each(recordings, cut.row, cut.name, rejects):
        try:
            base = bases[row["recording_id"]]
            pieces = made["pieces"]
            digests = [_digest(row["input_digest"], piece["start"], piece["end"], *words_key) for piece in pieces]
            names = _names_before(out, base, pieces, digests) if words and owned else []
            if not names:
                first_words = words.heard(row, pieces) if words and owned else [[] for _ in pieces]
                names = [piece_name(base, number, heard) for number, heard in enumerate(first_words, 1)]
            own_lines = [_line(row, piece, name) for piece, name in zip(pieces, names, strict=True)]
            n_written += _write_pieces(owned, out, row, own_lines, digests) if owned else 0
            lines += own_lines
        except BadInput as error:
            rejects.append(Reject(row["recording_id"], cut.name, error.reason, error.remedy))
    record = _totals(lines, len(rejects))
    if owned:
        owned.finish({MANIFEST: map(files.json_text, lines)})
        files.write_lines(out / REJECTS, [files.json_text(reject.as_dict()) for reject in rejects])
        about: dict[str, Any] = {"command": command_line()}
        if recordings.source:
            about["source"] = recordings.source
        if words:
            about["settings"] = {"words": words.count}
        record |= {"manifest_sha256": files.sha256_of(manifest), "fingerprint": key}
        record = outputs.facts_of_run(about, [cut, words.transcribe] if words else [cut]) | record
        files.write_text(out / work_folder.RUN, files.json_document(record))
    return record, rejects, n_written


def _refuse_lost_work(out: Path, before: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Raise DailytalkError if another split would replace work of people, or pieces of recordings that are gone.

    `before`: run.json of the split that is there.
    """
    manifest = out / MANIFEST
    sources = {str(line["source"]) for _, line in json_lines(manifest) if isinstance(line, dict)}
    gone = sources.difference(expand_row(row)["audio_file"] for row in rows)
    if gone:
        what = f"are of recordings outside of this input ({min(gone)!r})"
    elif files.sha256_of(manifest) != before["manifest_sha256"]:
        what = "were changed since"
    else:
        return
    raise DailytalkError(
        f"the pieces in {as_text(out)!r} {what}",
        "choose another --out, or empty this folder to have them made again",
    )


def _line(row: Row, piece: Row, name: str) -> dict[str, Any]:
    """The line of the manifest about a piece of a recording."""
    usable = piece["reason"] is None
    line: dict[str, Any] = {"file": f"{USABLE if usable else NON_USABLE}/{name}", "source": row["audio_file"]}
    line |= {column: row[column] for column in ("sample_rate", "channels")}
    return line | piece | {"usable": usable}


def _totals(lines: Sequence[dict[str, Any]], n_rejects: int) -> dict[str, Any]:
    """How many pieces there are, and how many seconds of each kind, for run.json."""
    seconds: dict[str, float] = dict.fromkeys(("audio", "usable", "non_usable", "silent"), 0.0)
    reasons: dict[str, float] = defaultdict(float)
    for line in lines:
        length = (line["end"] - line["start"]) / line["sample_rate"]
        seconds["audio"] += length
        seconds["usable" if line["usable"] else "non_usable"] += length
        seconds["silent"] += length * (line["reason"] == SILENT_PIECE)
        if line["reason"]:
            reasons[kind_of(line["reason"])] += length
    n_usable = sum(line["usable"] for line in lines)
    counts = {"recordings": len({line["source"] for line in lines}), "pieces": len(lines), "usable": n_usable}
    return {
        "counts": counts | {"non_usable": len(lines) - n_usable, "rejects": n_rejects},
        "seconds": {name: round(length, 3) for name, length in seconds.items()},
        "non_usable": {reason: round(length, 3) for reason, length in reasons.items()},
    }


def _names_before(out: Path, base: str, pieces: Sequence[Row], digests: Sequence[str]) -> list[str]:
    """The names of a recording's files, if all usable pieces have one of an earlier run; otherwise none.

    Part of the names are not enough: short pieces are recognised together, and the words may depend on it.
    """
    n_fixed = len(piece_name(base, 1)) - len(".wav")  # up to the words
    by_number = {path.name[:n_fixed]: path.name for path in (out / USABLE).glob(f"{base}_*.wav")}
    names: list[str] = []
    for number, (piece, digest) in enumerate(zip(pieces, digests, strict=True), 1):
        plain = piece_name(base, number)
        if piece["reason"]:
            names.append(plain)
            continue
        name = by_number.get(plain.removesuffix(".wav"), "")
        if made_from(out, f"{USABLE}/{name}") != digest:
            return []
        names.append(name)
    return names


def _write_pieces(
    owned: OwnedFolder, out: Path, row: Row, lines: Sequence[dict[str, Any]], digests: Sequence[str]
) -> int:
    """Write the missing files of a recording; returns how many. Raises BadInput if it can no longer be read."""
    owned.claim(*(line["file"] for line in lines))
    missing = [made_from(out, line["file"]) != digest for line, digest in zip(lines, digests, strict=True)]
    if not any(missing):
        return 0
    blocks = whole_blocks(row["audio"], 0, _BLOCK_SECONDS)
    rest = list[NDArray[Any]]()

    def samples(length: int) -> Iterator[NDArray[Any]]:
        """The next samples of the recording, block by block."""
        while length:
            block = rest.pop() if rest else next(blocks, None)
            if block is None:
                raise BadInput("it is shorter than it was a moment ago", "run the same command again")
            if len(block) > length:
                rest.append(block[length:])
                block = block[:length]
            length -= len(block)
            yield block

    subtype = sample_format(row["audio"]).subtype
    for line, digest, is_missing in zip(lines, digests, missing, strict=True):
        interrupts.check_interrupt()
        length = line["end"] - line["start"]
        piece = samples(length)
        if is_missing:
            with files.replacing(out / line["file"]) as file:
                write_sound(file, piece, row["sample_rate"], row["channels"], subtype, digest, length)
        for _ in piece:
            pass  # what is there already
    give_back_memory()
    return sum(missing)


INPUTS = argument("INPUT", "Recordings, folders of them (s3:// too), or OWNER/NAME on the Hub.")

SPLIT_SETTINGS = cli_options.setting_options(CutAtSilences())

#: Settings of the recogniser of `--words`; `--asr-model` has a second name here.
WORD_SETTINGS = cli_options.setting_options(Transcribe(device="cpu"), without={"asr_model"})


@cli_options.with_options(SPLIT_SETTINGS | WORD_SETTINGS)
def split(
    inputs: list[str] = INPUTS,
    out: Path = cli_options.out_option(),
    words: int = option(
        0, Panel.RESULT, "Put the first N words of each usable piece into its name.", metavar="N", min=0, max=50
    ),
    profile: str = cli_options.profile_option(),
    asr_model: str | None = option(
        None,
        Panel.MODELS,
        ASR_MODEL.about,
        "--asr-model",
        "--model",
        metavar=ASR_MODEL.metavar,
        show_default=ASR_MODEL.shown,
    ),
    dry_run: bool = engine_options.DRY_RUN,
    **options: Any,
) -> Outcome:
    """Cut recordings at their silences, and leave nothing out.

    Usable/NAME_000001.wav can be trained on; what is too long, too short or silent is in "Non Usable", with the
    reason in manifest.jsonl. Laid end to end the pieces are the recording, to the sample: a WAV, FLAC or AIFF
    keeps its rate, channels and bit depth; MP3, OGG and Opus are decoded once, to 16 bits; M4A, AAC, WMA and
    video to 24. With --words a recogniser hears each usable piece, and Usable/NAME_000001-so-we-went.wav has its
    first words in its name. After a stop, run the same command again.
    """
    cli_options.on_this_machine("--out", out)
    source = open_inputs(inputs)
    (cut,) = with_settings((CutAtSilences(),), cli_options.chosen(options, SPLIT_SETTINGS))
    recogniser = cli_options.chosen(options, WORD_SETTINGS)
    if asr_model is not None:
        recogniser["asr_model"] = asr_model
    if recogniser and not words:
        unused = f"--{min(recogniser).replace('_', '-')}"
        raise BadValue(f"{unused} needs --words", "say how many words, such as --words 4, or leave it out")
    first_words = FirstWords(words, StageMaker(profile, recogniser)(Transcribe)) if words else None
    if first_words and not dry_run:
        preflight([first_words.transcribe])
    with shown_steps():
        recordings = find(source, out, FolderConfig(channel="any", max_conversation=0.0, given=False))
    show.say_left_out(recordings.left_out)
    if not dry_run:
        OwnedFolder(out, "split", ())  # refuses other files before a lock is among them
    started = time.perf_counter()
    with nullcontext() if dry_run else files.folder_locked(out), shown_steps():
        made, rejects, n_written = split_recordings(recordings, out, cut, first_words, dry_run)
    wall_seconds = time.perf_counter() - started
    rows = map(expand_row, recordings.rows)
    show.say_scaled(show.scaled_in((row["audio_file"], row["audio"]) for row in rows))
    counts = made["counts"]
    seconds = made["seconds"]
    record = {
        "dry_run": dry_run,
        "out": as_text(out),
        **{name: made[name] for name in ("counts", "seconds", "non_usable")},
        "written": n_written,
        "rejects": [reject.as_dict() for reject in rejects],
        "wall_seconds": round(wall_seconds, 3),
    }
    if dry_run:
        details = ["a dry run: nothing is written"]
    elif n_written:
        took = f"{length_text(seconds['audio'])} in {length_text(wall_seconds)}"
        details = [f"{took}, {counted(n_written, 'file')} written"]
    else:
        details = ["nothing to do: all pieces are there"]
    details.append(f"  usable      {counts['usable']:,}, {length_text(seconds['usable'])}")
    details.append(f"  non usable  {counts['non_usable']:,}, {length_text(seconds['non_usable'])}")
    details += [f"    {kind}: {length_text(length)}" for kind, length in made["non_usable"].items()]
    details.append(f"in {as_text(out)}: {USABLE}, {NON_USABLE}, {MANIFEST}")
    same = ["--profile", profile] if words and profile != STANDARD else []  # the recogniser that is here already
    if asr_model is not None:
        same += ["--asr-model", asr_model]
    return Outcome(
        record,
        f"{counted(counts['recordings'], 'recording')}, {counted(counts['pieces'], 'piece')}",
        exit_code(counts["recordings"], len(rejects)),
        details,
        rejected_of(rejects, where=WITH_JSON if dry_run else f"in {as_text(out / REJECTS)}"),
        show.DRY_RUN_NEXT if dry_run else to_run("transcribe", out / USABLE, *same) if counts["usable"] else "",
    )
