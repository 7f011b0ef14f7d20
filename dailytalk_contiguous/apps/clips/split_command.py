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
from typing import NamedTuple, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.clips.silences import SILENT_PIECE, CutAtSilences, PieceRow
from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, command_line, option, shown_steps
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, BadValue, DailytalkError, Reject
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.outcome import WITH_JSON, Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.records.schema import MIX, Row
from dailytalk_contiguous.core.records.utterance import Utterance
from dailytalk_contiguous.core.settings import with_settings
from dailytalk_contiguous.core.sound.samples import mixed_down
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.wording import counted, kind_of, length_text
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.machine.audio import read_pcm, sample_format, whole_blocks
from dailytalk_contiguous.machine.read_documents import json_lines
from dailytalk_contiguous.machine.resources import cores, give_back_memory, side_by_side
from dailytalk_contiguous.models.profiles import STANDARD
from dailytalk_contiguous.pipelines.to_text import StageMaker
from dailytalk_contiguous.run import outputs
from dailytalk_contiguous.run.run import preflight
from dailytalk_contiguous.run.tagging import FoundRecordings, list_conversations
from dailytalk_contiguous.shards import PendingConversation
from dailytalk_contiguous.sources.folder import AT_ONCE, FolderConfig
from dailytalk_contiguous.sources.inputs import open_inputs
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.transcribe import WINDOW_SECONDS, Transcribe
from dailytalk_contiguous.store import files, work_folder
from dailytalk_contiguous.store.owned_folder import OwnedFolder, made_from, write_sound
from dailytalk_contiguous.store.work_folder import REJECTS

log = logging.getLogger(__name__)

Measure = TypeVar("Measure")

#: The folder of the files that can be trained on.
USABLE = "Usable"

#: The folder of all others.
NON_USABLE = "Non Usable"

#: The list of all files.
MANIFEST = "manifest.jsonl"

#: The most characters of a recording's name in those of its pieces: with four bytes each they fit a file name.
_LONGEST = 60

#: Digits of the number of a piece.
_DIGITS = 6


class PieceLine(PieceRow):
    """A line of the manifest: a piece, its file, and the recording that it is from."""

    file: str
    source: str
    sample_rate: int
    channels: int
    usable: bool


class SplitTotals(TypedDict):
    """The number and the seconds of pieces of each kind; those of unusable ones by reason."""

    counts: dict[str, int]
    seconds: dict[str, float]
    non_usable: dict[str, float]


class SplitResult(NamedTuple):
    """The result of a split: its totals, its rejects, and the number of files written."""

    totals: SplitTotals
    rejects: list[Reject]
    n_written: int


def piece_bases(recording_ids: Iterable[str]) -> dict[str, str]:
    """The start of the file names of each recording: its name in letters, digits and `_`.

    A digest of its id follows if another recording has that name, even on a disk that ignores case.
    """
    bases = dict[str, str]()
    taken = set[str]()
    for recording_id in sorted(recording_ids, key=lambda name: (name.count("/"), name)):
        name = recording_id.rpartition("/")[2]
        text = unicodedata.normalize("NFC", name)
        readable = re.sub(r"[^\w-]+", "_", text)
        base = readable[:_LONGEST].strip("_") or "recording"
        if base.casefold() in taken:
            base = f"{base[:40]}-{_digest(recording_id)[:10]}"
        bases[recording_id] = base
        taken.add(base.casefold())
    return bases


def _digest(*parts: object) -> str:
    text = "\0".join(map(str, parts))
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:20]


def piece_name(base: str, number: int, words: Iterable[str] = ()) -> str:
    """The name of a piece's file, with as many of the words as have room in it.

    >>> piece_name("talk", 12), piece_name("talk", 13, ["So,", "I", "can't!"])
    ('talk_000012.wav', 'talk_000013-So-I-can-t.wav')
    """
    name = f"{base}_{number:0{_DIGITS}d}"
    for word in words:
        part = _word_in_name(word)
        longer = f"{name}-{part}"
        if len(f"{longer}.wav".encode()) > 240:  # file systems take names of 255 bytes
            break
        if part:
            name = longer
    return f"{name}.wav"


def _word_in_name(word: str) -> str:
    """The letters, marks and digits of a word, in any script, with hyphens for everything between them."""
    normal = unicodedata.normalize("NFC", word)
    readable = ""
    for char in normal:
        category = unicodedata.category(char)
        readable += char if category[0] in "LMN" else "-"
    return re.sub(r"-+", "-", readable).strip("-")


#: Pieces that are recognised at a time, so that memory does not grow with the length of a recording.
_PIECES_AT_ONCE = 64


@dataclass(frozen=True)
class FirstWords:
    """The first `count` words of pieces, as `transcribe` recognises them."""

    count: int
    transcribe: Transcribe

    @property
    def key(self) -> tuple[str, str]:
        """The settings on which the names of pieces depend, besides their sound."""
        return str(self.count), self.transcribe.digest

    def recognise(self, row: Row, pieces: Sequence[PieceRow]) -> list[list[str]]:
        """The words of each piece of a recording; none for a piece that can't be used.

        The language `auto` is that of the first pieces. Raises BadInput for a recording that can't be read.
        """
        words: list[list[str]] = [[] for _ in pieces]
        usable = [index for index, piece in enumerate(pieces) if piece["reason"] is None]
        rate = row["sample_rate"]
        starts = range(0, len(usable), _PIECES_AT_ONCE)
        transcribe = self.transcribe
        for start in steps("parts of the pieces heard", starts, len(starts)):
            interrupts.check_interrupt()
            indices = usable[start : start + _PIECES_AT_ONCE]
            utterances: list[Utterance] = []
            for index in indices:
                piece_start = pieces[index]["start"] / rate
                piece_end = pieces[index]["end"] / rate
                seconds = min(piece_end - piece_start, WINDOW_SECONDS)  # as far as one window of the recogniser
                pcm = read_pcm(row["audio"], piece_start, seconds)
                name = f"{row['conversation_id']}, piece {index + 1}"
                # Of one side, short pieces share a window of the recogniser.
                utterances.append(Utterance(utterance_id=name, channel=MIX, speech=mixed_down(pcm).tobytes()))
            (talk,) = transcribe.apply(
                [Conversation(conversation_id=row["conversation_id"], utterances=utterances)]
            )
            failures = {failure.id: failure.reason for failure in talk.model_failures or ()}
            for name, reason in failures.items():
                log.warning("%s has no words in its name: %s", name, reason)
            for index, utterance in zip(indices, talk.utterances, strict=True):
                words[index] = [word.word for word in utterance.words[: self.count]]
            languages = [
                utterance.language for utterance in talk.utterances if utterance.utterance_id not in failures
            ]
            detected = next(filter(None, languages), None)
            if transcribe.language == "auto" and detected:
                transcribe = replace(transcribe, language=detected)
        return words


def of_each(
    recordings: FoundRecordings, measure: Callable[[Row], Measure], stage: str, rejects: list[Reject]
) -> Iterator[tuple[Row, Measure]]:
    """The rows of the recordings, each with what is measured of it, several at a time; others join the rejects."""

    def tried(pending: PendingConversation) -> tuple[Row, Measure] | Reject:
        row = pending.row()
        try:
            return row, measure(row)
        except BadInput as error:
            return Reject(pending.recording_id, stage, error.reason, error.remedy)

    n_at_once = min(AT_ONCE, cores())
    conversations = recordings.conversations
    results = side_by_side(tried, conversations, n_at_once)
    for result in steps("recordings measured", results, len(conversations)):
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
) -> SplitResult:
    """Write the pieces of recordings that are missing, as files in a folder that people may change afterwards.

    If an earlier run has finished all of this, people may have changed its files, and nothing is written. With
    `words` the names of usable pieces have them. With `dry_run` pieces are only counted.

    Raises DailytalkError if `out` holds other files, and if an earlier run finished another split whose list was
    changed since, or has recordings that are not in the input: that work would be lost.
    """
    conversations = recordings.conversations
    manifest = out / MANIFEST
    words_key = words.key if words else ()
    input_digests = [pending.input_digest for pending in conversations]
    fingerprint = _digest(cut.digest, *words_key, *input_digests)
    before = work_folder.run_json(out)
    if not dry_run and before.get("manifest_sha256") and manifest.is_file():
        if before.get("fingerprint") == fingerprint:
            totals: SplitTotals = {
                "counts": before["counts"],
                "seconds": before["seconds"],
                "non_usable": before["non_usable"],
            }
            rejects = [Reject(**reject) for reject in work_folder.rejects_in(out)]
            return SplitResult(totals, rejects, 0)
        _refuse_lost_work(out, before, conversations)
    owned = None if dry_run else OwnedFolder(out, "split", (MANIFEST,))
    for folder in ("", USABLE, NON_USABLE):
        files.remove_unfinished(out / folder)
    first_words = words if owned else None
    bases = piece_bases(pending.recording_id for pending in conversations)
    lines: list[PieceLine] = []
    rejects = [*recordings.problems]
    n_written = 0
    for row, columns in of_each(recordings, cut.row, cut.name, rejects):
        pieces: list[PieceRow] = columns["pieces"]
        base = bases[row["recording_id"]]
        try:
            digests = []
            for piece in pieces:
                digest = _digest(row["input_digest"], piece["start"], piece["end"], *words_key)
                digests.append(digest)
            names = _names(out, row, base, pieces, digests, first_words)
            recording_lines = _lines(row, pieces, names)
            if owned:
                n_written += _write_pieces(owned, out, row, recording_lines, digests)
            lines += recording_lines
        except BadInput as error:
            rejects.append(Reject(row["recording_id"], cut.name, error.reason, error.remedy))
    totals = _totals(lines, len(rejects))
    if owned:
        owned.finish({MANIFEST: map(files.json_text, lines)})
        reject_lines = [files.json_text(reject.as_dict()) for reject in rejects]
        files.write_lines(out / REJECTS, reject_lines)
        about: dict[str, object] = {"command": command_line()}
        if recordings.source:
            about["source"] = recordings.source
        if words:
            about["settings"] = {"words": words.count}
        stages: list[Stage] = [cut, words.transcribe] if words else [cut]
        record = outputs.facts_of_run(about, stages)
        record |= totals
        record["manifest_sha256"] = files.sha256_of(manifest)
        record["fingerprint"] = fingerprint
        files.write_text(out / work_folder.RUN, files.json_document(record))
    return SplitResult(totals, rejects, n_written)


def _refuse_lost_work(
    out: Path, before: Mapping[str, object], conversations: Sequence[PendingConversation]
) -> None:
    """Raise DailytalkError if another split would replace work of people, or pieces of recordings that are gone.

    `before`: run.json of the split that is there.
    """
    manifest = out / MANIFEST
    sources = set()
    for _, line in json_lines(manifest):
        if isinstance(line, dict):
            sources.add(str(line["source"]))
    listed = {pending.row()["audio_file"] for pending in conversations}
    missing = sources - listed
    if missing:
        problem = f"come from recordings outside of this input ({min(missing)!r})"
    elif files.sha256_of(manifest) != before["manifest_sha256"]:
        problem = "were changed since"
    else:
        return
    raise DailytalkError(
        f"the pieces in {as_text(out)!r} {problem}",
        "choose another --out, or empty this folder to have them made again",
    )


def _lines(row: Row, pieces: Sequence[PieceRow], names: Sequence[str]) -> list[PieceLine]:
    """The lines of the manifest about the pieces of a recording."""
    lines: list[PieceLine] = []
    for piece, name in zip(pieces, names, strict=True):
        is_usable = piece["reason"] is None
        folder = USABLE if is_usable else NON_USABLE
        line: PieceLine = {
            "file": f"{folder}/{name}",
            "source": row["audio_file"],
            "sample_rate": row["sample_rate"],
            "channels": row["channels"],
            **piece,
            "usable": is_usable,
        }
        lines.append(line)
    return lines


def _totals(lines: Sequence[PieceLine], n_rejects: int) -> SplitTotals:
    """Count the pieces and the seconds of each kind, for run.json."""
    seconds = {"audio": 0.0, "usable": 0.0, "non_usable": 0.0, "silent": 0.0}
    reasons: defaultdict[str, float] = defaultdict(float)
    for line in lines:
        length = (line["end"] - line["start"]) / line["sample_rate"]
        seconds["audio"] += length
        seconds["usable" if line["usable"] else "non_usable"] += length
        if line["reason"] == SILENT_PIECE:
            seconds["silent"] += length
        if line["reason"]:
            reasons[kind_of(line["reason"])] += length
    n_usable = sum(line["usable"] for line in lines)
    counts = {
        "recordings": len({line["source"] for line in lines}),
        "pieces": len(lines),
        "usable": n_usable,
        "non_usable": len(lines) - n_usable,
        "rejects": n_rejects,
    }
    return {"counts": counts, "seconds": _rounded(seconds), "non_usable": _rounded(reasons)}


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: round(length, 3) for name, length in seconds.items()}


def _names(
    out: Path,
    row: Row,
    base: str,
    pieces: Sequence[PieceRow],
    digests: Sequence[str],
    words: FirstWords | None,
) -> list[str]:
    """The names of the files of a recording, with their first words if `words` are asked for.

    Raises BadInput for a recording that can't be read.
    """
    if words is None:
        return [piece_name(base, number) for number, _ in enumerate(pieces, 1)]
    names = _names_before(out, base, pieces, digests)
    if names:
        return names
    for number, piece_words in enumerate(words.recognise(row, pieces), 1):
        names.append(piece_name(base, number, piece_words))
    return names


def _names_before(out: Path, base: str, pieces: Sequence[PieceRow], digests: Sequence[str]) -> list[str]:
    """The names of a recording's files, if all usable pieces have one of an earlier run; otherwise none.

    Part of the names are not enough: short pieces are recognised together, and the words may depend on it.
    """
    n_fixed = len(piece_name(base, 1)) - len(".wav")  # up to the words
    files_of_recording = (out / USABLE).glob(f"{base}_*.wav")
    by_number = {path.name[:n_fixed]: path.name for path in files_of_recording}
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


#: Seconds of sound that are copied at a time.
_BLOCK_SECONDS = 5.0


def _write_pieces(
    owned: OwnedFolder, out: Path, row: Row, lines: Sequence[PieceLine], digests: Sequence[str]
) -> int:
    """Write the missing files of a recording; returns how many. Raises BadInput if it can no longer be read."""
    owned.claim(*(line["file"] for line in lines))
    missing = []
    for line, digest in zip(lines, digests, strict=True):
        missing.append(made_from(out, line["file"]) != digest)
    if not any(missing):
        return 0
    blocks = whole_blocks(row["audio"], _BLOCK_SECONDS)
    remainders: list[NDArray[np.generic]] = []

    def samples(length: int) -> Iterator[NDArray[np.generic]]:
        """The next samples of the recording, block by block."""
        while length:
            block = remainders.pop() if remainders else next(blocks, None)
            if block is None:
                raise BadInput("it is shorter than it was a moment ago", "run the same command again")
            if len(block) > length:
                remainders.append(block[length:])
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


#: How recordings are listed: each as a whole, whatever its channels, and without its transcript.
WHOLE_RECORDINGS = FolderConfig(channel="any", max_conversation=0.0, given=False)

INPUTS = argument("INPUT", "Recordings, folders of them (s3:// too), or OWNER/NAME on the Hub.")

SPLIT_SETTINGS = cli_options.setting_options(CutAtSilences())

#: Settings of the recogniser of `--words`.
WORD_SETTINGS = cli_options.setting_options(Transcribe(device="cpu"))


@cli_options.with_options(SPLIT_SETTINGS | WORD_SETTINGS)
def split(
    inputs: list[str] = INPUTS,
    out: Path = cli_options.out_option(),
    words: int = option(
        0, Panel.RESULT, "Put the first N words of each usable piece into its name.", metavar="N", min=0, max=50
    ),
    profile: str = cli_options.profile_option(),
    dry_run: bool = engine_options.DRY_RUN,
    **options: object,
) -> Outcome:
    """Cut recordings at their silences, and leave nothing out.

    Usable/NAME_000001.wav can be trained on; what is too long, too short or silent is in "Non Usable", with the
    reason in manifest.jsonl. Joined end to end, the pieces are the recording, sample for sample: a WAV, FLAC or
    AIFF keeps its rate, channels and bit depth; MP3, OGG and Opus are decoded once, to 16 bits; M4A, AAC, WMA
    and video to 24. With --words a recogniser hears each usable piece, and Usable/NAME_000001-so-we-went.wav has
    its first words in its name. After a stop, run the same command again.
    """
    cli_options.on_this_machine("--out", out)
    source = open_inputs(inputs)
    settings = cli_options.chosen(options, SPLIT_SETTINGS)
    (cut,) = with_settings((CutAtSilences(),), settings)
    recogniser = cli_options.chosen(options, WORD_SETTINGS)
    if recogniser and not words:
        unused = min(recogniser).replace("_", "-")
        raise BadValue(f"--{unused} needs --words", "say how many words, such as --words 4, or leave it out")
    first_words = None
    if words:
        transcribe = StageMaker(profile, recogniser)(Transcribe)
        first_words = FirstWords(words, transcribe)
        if not dry_run:
            preflight([transcribe])
    with shown_steps():
        recordings = list_conversations(source, out, WHOLE_RECORDINGS)
    show.say_left_out(recordings.left_out)
    if not dry_run:
        OwnedFolder(out, "split", ())  # refuses other files before a lock is among them
    started = time.perf_counter()
    with nullcontext() if dry_run else files.folder_locked(out), shown_steps():
        result = split_recordings(recordings, out, cut, first_words, dry_run)
    wall_seconds = time.perf_counter() - started
    rows = (pending.row() for pending in recordings.conversations)
    sounds = ((row["audio_file"], row["audio"]) for row in rows)
    show.say_scaled(show.scaled_in(sounds))
    following = []
    if words and profile != STANDARD:
        following += ["--profile", profile]  # the recogniser that is here already
    if "asr_model" in recogniser:
        following += ["--asr-model", recogniser["asr_model"]]
    return _outcome(result, out, dry_run, wall_seconds, following)


def _outcome(
    result: SplitResult, out: Path, dry_run: bool, wall_seconds: float, following: Sequence[str]
) -> Outcome:
    """Return the outcome of `split`; `following` are options of the command that may come next."""
    totals = result.totals
    counts = totals["counts"]
    seconds = totals["seconds"]
    record = {
        "dry_run": dry_run,
        "out": as_text(out),
        "counts": counts,
        "seconds": seconds,
        "non_usable": totals["non_usable"],
        "written": result.n_written,
        "rejects": [reject.as_dict() for reject in result.rejects],
        "wall_seconds": round(wall_seconds, 3),
    }
    if dry_run:
        details = ["a dry run: nothing is written"]
    elif result.n_written:
        took = f"{length_text(seconds['audio'])} in {length_text(wall_seconds)}"
        details = [f"{took}, {counted(result.n_written, 'file')} written"]
    else:
        details = ["nothing to do: all pieces are there"]
    usable = length_text(seconds["usable"])
    non_usable = length_text(seconds["non_usable"])
    details.append(f"  usable      {counts['usable']:,}, {usable}")
    details.append(f"  non usable  {counts['non_usable']:,}, {non_usable}")
    for reason, length in totals["non_usable"].items():
        details.append(f"    {reason}: {length_text(length)}")
    details.append(f"in {as_text(out)}: {USABLE}, {NON_USABLE}, {MANIFEST}")
    next_step = ""
    if dry_run:
        next_step = show.DRY_RUN_NEXT
    elif counts["usable"]:
        next_step = to_run("transcribe", out / USABLE, *following)
    where = WITH_JSON if dry_run else f"in {as_text(out / REJECTS)}"
    headline = f"{counted(counts['recordings'], 'recording')}, {counted(counts['pieces'], 'piece')}"
    return Outcome(
        record,
        headline,
        exit_code(counts["recordings"], len(result.rejects)),
        details,
        rejected_of(result.rejects, where=where),
        next_step,
    )
