"""`dailytalk split`: recordings cut into pieces at their silences.

Every sample of a recording is in one file: those in `Usable` can be trained on, those in `Non Usable` can't, and
`manifest.jsonl` says why. The header of a file identifies its source, so that a run that was killed continues
after the last finished file. Sound is copied block by block, unchanged.
"""

import hashlib
import itertools
import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pandas as pd
from numpy.typing import NDArray

from dailytalk_contiguous.apps.clips.silences import SILENT_PIECE
from dailytalk_contiguous.apps.clips.to_clips import split_stages
from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, command_line, option, shown_steps
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import mixed_down, read_pcm, sample_format, whole_blocks
from dailytalk_contiguous.core.documents import as_text, json_lines
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.machine import cores, give_back_memory, side_by_side
from dailytalk_contiguous.core.outcome import WITH_JSON, Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.wording import counted, kind_of, length_text
from dailytalk_contiguous.run import outputs
from dailytalk_contiguous.run.run import RunOptions, refuse_loss
from dailytalk_contiguous.run.tagging import FoundRecordings, find
from dailytalk_contiguous.shards import expand_row
from dailytalk_contiguous.sources.folder import AT_ONCE
from dailytalk_contiguous.sources.remote import fetch_inputs
from dailytalk_contiguous.stages.transcribe import UNDETERMINED, Transcribe
from dailytalk_contiguous.store import files, work_folder
from dailytalk_contiguous.store.owned_folder import OwnedFolder, made_from, wav_writer
from dailytalk_contiguous.store.work_folder import REJECTS

Measure = TypeVar("Measure")

#: Folders of the files, by whether they can be used, and the list of all.
USABLE, NON_USABLE = "Usable", "Non Usable"
MANIFEST = "manifest.jsonl"

#: Seconds of a piece in which first words are recognised: this many, and one for each word, enough for slow
#: speakers; and pieces that are decoded at a time, so that memory doesn't grow with the recording.
HEARD_SECONDS, PIECES = 1.0, 64

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
    normal = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    kept = [char if unicodedata.category(char)[0] in "LMN" else "-" if char == "-" else " " for char in normal]
    name = re.sub(r" ?- ?-?", "-", " ".join("".join(kept).split())).strip("- ").replace(" ", joint)
    name = name[:longest].encode()[:longest_bytes].decode(errors="ignore")
    return unicodedata.normalize("NFC", name).rstrip(f"-{joint}")


def piece_bases(recording_ids: Iterable[str]) -> dict[str, str]:
    """The start of the file names of each recording: its name, with its folder or a digest if another has it.

    They differ even on a disk that ignores case.
    """
    bases, taken = dict[str, str](), set[str]()
    for name in sorted(recording_ids, key=lambda name: (name.count("/"), name)):
        texts = (name.rpartition("/")[2], name.replace("/", "-"))
        names = [safe_name(text, _LONGEST_BASE, _LONGEST_BASE_BYTES) or "recording" for text in texts]
        names.append(f"{names[0][:40]}-{_digest(name)[:10]}")
        bases[name] = next(base for base in names if base.casefold() not in taken)
        taken.add(bases[name].casefold())
    return bases


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


def piece_totals(pieces: Iterable[Mapping[str, Any]], n_recordings: int, n_rejects: int) -> dict[str, Any]:
    """How many recordings and pieces there are, and how many seconds of each kind.

    `pieces` have `start` and `end` in samples, the `sample_rate` and the `reason`.
    """
    table = pd.DataFrame(pieces, columns=["start", "end", "sample_rate", "reason"])
    seconds, usable = (table["end"] - table["start"]) / table["sample_rate"], table["reason"].isna()
    reasons = seconds[~usable].groupby(table["reason"][~usable].map(kind_of)).sum().round(3)
    kinds = {"audio": usable | True, "usable": usable, "non_usable": ~usable}
    kinds["silent"] = table["reason"] == SILENT_PIECE
    counts = {"recordings": n_recordings, "pieces": len(table)}
    counts |= {name: int(kinds[name].sum()) for name in ("usable", "non_usable")}
    return {
        "counts": counts | {"rejects": n_rejects},
        "seconds": {name: round(float(seconds[of_kind].sum()), 3) for name, of_kind in kinds.items()},
        "non_usable": reasons.to_dict(),
    }


def of_each(
    recordings: FoundRecordings, measure: Callable[[Row], Measure]
) -> Iterator[tuple[Row, Measure | BadInput]]:
    """The rows of the recordings, each with what is measured of it, several at a time, or why it can't be used."""

    def tried(compressed: Row) -> tuple[Row, Measure | BadInput]:
        row = expand_row(compressed)
        try:
            return row, measure(row)
        except BadInput as error:
            return row, error

    results = side_by_side(tried, recordings.rows, min(AT_ONCE, cores()))
    for result in steps("recordings measured", results, len(recordings.rows)):
        interrupts.check_interrupt()
        yield result


class Split(NamedTuple):
    """A split: the content of run.json, the rejects, and how many files were written."""

    record: dict[str, Any]
    rejects: list[Reject]
    n_written: int


def split_recordings(
    recordings: FoundRecordings,
    out: Path,
    stages: Sequence[Any],
    words: int = 0,
    about: Mapping[str, Any] = {},
    prune: bool = False,
    dry_run: bool = False,
) -> Split:
    """Write the pieces of recordings that are missing, as files in a folder that people may change afterwards.

    If an earlier run has finished all of this, people may have changed its files, and nothing is written.

    Args:
        out: the folder; empty, or one that does not exist, or of an earlier run.
        stages: those of `apps.clips.to_clips.split_stages`.
        words: how many first words the name of each piece has; 0 for none.
        about: goes into run.json as it is.
        prune: whether pieces of recordings that are not in the input are removed.
        dry_run: whether the pieces are only counted, without words.

    Raises DailytalkError if `out` holds other files, or results of recordings that are not in the input, and if an
    earlier run finished another split and its list of files was changed since: writing them again would undo that.
    """
    (cut, *transcribers), rows, manifest = stages, recordings.rows, out / MANIFEST
    key = _digest(words, *(row["input_digest"] for row in rows), *(stage.digest for stage in stages))
    before = work_folder.read_run(out) or {}
    if not dry_run and before.get("manifest_sha256") and manifest.is_file():
        sources = {str(line["source"]) for _, line in json_lines(manifest) if isinstance(line, dict)}
        refuse_loss(
            set() if prune else sources - {expand_row(row)["audio_file"] for row in rows},
            *(f"--out {as_text(out)!r} holds results of", "recording", "not in this input"),
            "choose another --out, or pass --prune to drop them",
        )
        if before.get("fingerprint") == key:
            return Split(before, [Reject(**reject) for reject in work_folder.rejects_in(out)], 0)
        if files.sha256_of(manifest) != before["manifest_sha256"]:
            raise DailytalkError(
                f"the pieces in {as_text(out)!r} were changed since they were made",
                "choose another --out, or empty this folder to have them made again",
            )
    owned = None if dry_run else OwnedFolder(out, "split", (MANIFEST,))
    for folder in ("", USABLE, NON_USABLE):
        files.remove_unfinished(out / folder)
    bases = piece_bases(row["recording_id"] for row in rows)
    lines, rejects, n_written = list[dict[str, Any]](), [*recordings.problems], 0
    for row, made in of_each(recordings, cut.row):
        try:
            if isinstance(made, BadInput):
                raise made
            row |= made
            heard = itertools.repeat("") if dry_run or not words else _first_words(row, transcribers[0], words)
            of_recording = _lines(row, bases[row["recording_id"]], heard)
            n_written += _write_pieces(owned, out, row, of_recording) if owned else 0
            lines += of_recording
        except BadInput as error:
            rejects.append(Reject(row["recording_id"], cut.name, error.reason, error.remedy))
    totals = piece_totals(lines, len({line["source"] for line in lines}), len(rejects))
    if owned is None:
        return Split(totals, rejects, 0)
    owned.finish({MANIFEST: map(files.json_text, lines)})
    files.write_lines(out / work_folder.REJECTS, [files.json_text(reject.as_dict()) for reject in rejects])
    source = {"source": recordings.source} if recordings.source else {}
    facts = outputs.facts_of_run({**about, **source}, stages) | totals
    record = facts | {"manifest_sha256": files.sha256_of(manifest), "fingerprint": key}
    files.write_text(out / work_folder.RUN, files.json_document(record))
    return Split(record, rejects, n_written)


def _write_pieces(owned: OwnedFolder, out: Path, row: Row, lines: Sequence[dict[str, Any]]) -> int:
    """Write the missing files of a recording; returns how many. Raises BadInput if it can no longer be read."""
    owned.claim(line["file"] for line in lines)
    digests = [_digest(row["input_digest"], line["start"], line["end"]) for line in lines]
    missing = [made_from(out, line["file"]) != digest for line, digest in zip(lines, digests, strict=True)]
    subtype = sample_format(row["audio"]).subtype
    # Those before the first missing one are not read, those after the last neither.
    first = missing.index(True) if any(missing) else len(lines)
    parts = _parts(row["audio"], [line["start"] for line in lines[first:]], row["pieces"][-1]["end"])
    for line, digest, is_missing in zip(lines[first:], digests[first:], missing[first:], strict=True):
        interrupts.check_interrupt()
        blocks, n_samples = next(parts), line["end"] - line["start"]
        if is_missing:
            shape = row["sample_rate"], row["channels"], subtype, n_samples, digest
            with files.replacing(out / line["file"]) as file:
                wav_writer(blocks, *shape)(file)
        for _ in blocks:
            pass  # what is there already
    give_back_memory()
    return sum(missing)


def _first_words(row: Row, transcribe: Transcribe, count: int) -> list[str]:
    """At most so many first words of each piece that can be used; empty for others, and if nothing is recognised.

    The language `auto` is detected in the first pieces. Raises BadInput for a recording that can't be read.
    """
    first_words = [""] * len(row["pieces"])
    usable = [index for index, piece in enumerate(row["pieces"]) if piece["reason"] is None]
    for first in range(0, len(usable), PIECES):
        indices, speech = usable[first : first + PIECES], []
        for piece in map(row["pieces"].__getitem__, indices):
            start, end = piece["start"] / row["sample_rate"], piece["end"] / row["sample_rate"]
            pcm = read_pcm(row["audio"], start, min(end - start, HEARD_SECONDS + count))
            speech.append(mixed_down(pcm).tobytes())
        heard = transcribe({"speech": speech, "conversation_id": [row["conversation_id"]] * len(speech)})
        if transcribe.language == "auto" and heard["language"][0] != UNDETERMINED:
            transcribe = replace(transcribe, language=heard["language"][0])
        for index, words in zip(indices, heard["words"], strict=True):
            first_words[index] = " ".join(word["word"] for word in words[:count])
    return first_words


def _lines(row: Row, base: str, first_words: Iterable[str]) -> list[dict[str, Any]]:
    """The lines of the manifest on the pieces of a recording, in order."""
    lines = []
    for number, (piece, words) in enumerate(zip(row["pieces"], first_words, strict=False), 1):
        usable = piece["reason"] is None
        lines.append(
            {
                "file": f"{USABLE if usable else NON_USABLE}/{piece_name(base, number, words)}",
                "source": row["audio_file"],
                "sample_rate": row["sample_rate"],
                "channels": row["channels"],
                "start": piece["start"],
                "end": piece["end"],
                "usable": usable,
                "reason": piece["reason"],
                "cut": piece["cut"],
            }
        )
    return lines


def _parts(audio: dict[str, Any], starts: Sequence[int], end: int) -> Iterator[Iterator[NDArray[Any]]]:
    """Yield the blocks of samples of each part of a recording; each has to be read before the next one.

    Raises BadInput if they can no longer be read.
    """
    if not starts:
        return
    blocks = whole_blocks(audio, starts[0], _BLOCK_SECONDS)
    rest: list[NDArray[Any]] = []

    def part(length: int) -> Iterator[NDArray[Any]]:
        while length:
            try:
                block = rest.pop() if rest else next(blocks, None)
            except OSError as error:  # of the recording, not of the disk that is written to
                reason = f"it can't be read ({error.strerror or error})"
                raise BadInput(reason, "check the file and its permissions") from None
            if block is None:
                raise BadInput("it is shorter than it was a moment ago", "run the same command again")
            if len(block) > length:
                rest.append(block[length:])
                block = block[:length]
            length -= len(block)
            yield block

    for start, stop in itertools.pairwise([*starts, end]):
        yield part(stop - start)


INPUTS = argument("INPUT", "Recordings, folders of them (s3:// too), or OWNER/NAME on the Hub.")

#: The options of `split` that are settings of its stages; those of the recogniser are for `--words`.
SPLIT_SETTINGS = cli_options.setting_options(
    *split_stages(words=True, device="cpu"), without=("beam", "compute_type")
)


@cli_options.with_options(SPLIT_SETTINGS)
def split(
    inputs: list[str] = INPUTS,
    out: Path = cli_options.out_option(),
    words: int = option(
        0, Panel.RESULT, "Put the first N words of each piece into its name.", metavar="N", min=0, max=50
    ),
    profile: str = cli_options.profile_option(),
    dry_run: bool = engine_options.DRY_RUN,
    prune: bool = engine_options.PRUNE,
    **options: Any,
) -> Outcome:
    """Cut recordings at their silences, and leave nothing out.

    Usable/NAME_000001.wav can be trained on; what is too long, too short or silent is in "Non Usable", with the
    reason in manifest.jsonl. Laid end to end the pieces are the recording, to the sample: a WAV, FLAC or AIFF
    keeps its rate, channels and bit depth; MP3, OGG and Opus are decoded once, to 16 bits; M4A, AAC, WMA and
    video to 24. Run the same command after a stop: it goes on.
    """
    cli_options.on_this_machine("--out", out)
    inputs, _ = fetch_inputs(inputs)
    stages = split_stages(profile, words > 0, **cli_options.chosen(options, SPLIT_SETTINGS))
    with shown_steps():
        recordings = find(inputs, out, channel="any", max_conversation=0.0, given=False)
    show.say_left_out(recordings.left_out)
    if words and not dry_run:
        RunOptions().runner.preflight(stages)
    if not dry_run:
        OwnedFolder(out, "split", ())  # refuses other files before a lock is among them
    started = time.perf_counter()
    with files.folder_locked(out) if out.is_dir() else nullcontext(), shown_steps():
        done = split_recordings(recordings, out, stages, words, {"command": command_line()}, prune, dry_run)
    made, wall_seconds = done.record, time.perf_counter() - started
    counts, seconds, non_usable = made["counts"], made["seconds"], made["non_usable"]
    record = {
        "dry_run": dry_run,
        "out": as_text(out),
        **{name: made[name] for name in ("counts", "seconds", "non_usable")},
        "written": done.n_written,
        "rejects": [reject.as_dict() for reject in done.rejects],
        "wall_seconds": round(wall_seconds, 3),
    }
    if dry_run:
        details = ["a dry run: nothing is written"]
    elif done.n_written:
        took = f"{length_text(seconds['audio'])} in {length_text(wall_seconds)}"
        details = [f"{took}, {counted(done.n_written, 'file')} written"]
    else:
        details = ["nothing to do: all pieces are there"]
    not_silent = seconds["audio"] - seconds["silent"]
    share = f" ({seconds['usable'] / not_silent:.1%} of what is not silent)" if not_silent else ""
    details += [
        f"  usable      {counts['usable']:,}, {length_text(seconds['usable'])}{share}",
        f"  non usable  {counts['non_usable']:,}, {length_text(seconds['non_usable'])}",
        *(
            f"    {kind}: {length_text(took)}"
            for kind, took in sorted(non_usable.items(), key=lambda item: -item[1])
        ),
    ]
    for label, name in (("pieces", USABLE), ("others", NON_USABLE), ("list", MANIFEST)):
        details.append(f"{label:<8}{as_text(out / name)}")
    return Outcome(
        record,
        f"{counted(counts['recordings'], 'recording')}, {counted(counts['pieces'], 'piece')}",
        exit_code(counts["recordings"], len(done.rejects)),
        details,
        rejected_of(done.rejects, where=WITH_JSON if dry_run else f"in {as_text(out / REJECTS)}"),
        show.DRY_RUN_NEXT if dry_run else to_run("transcribe", out / USABLE) if counts["usable"] else "",
    )
