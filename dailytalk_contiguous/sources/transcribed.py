"""A transcript of ours as a source: edited by a person or not, with the recordings that it is about."""

import itertools
import json
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import NamedTuple, NotRequired, TypeAlias, TypedDict

from dailytalk_contiguous.core.documents import (
    LATEST,
    JsonObject,
    Number,
    Whole,
    as_text,
    composed,
    is_number,
    printable_path,
    typed,
)
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.fields import Column, Field, columns_among, value_problem
from dailytalk_contiguous.core.records.judged import read_published
from dailytalk_contiguous.core.records.lines import from_line, line_problem
from dailytalk_contiguous.core.records.record import SideShift
from dailytalk_contiguous.core.records.rows import from_row, to_row
from dailytalk_contiguous.core.records.schema import CHANNELS, COLUMNS, Row
from dailytalk_contiguous.core.records.utterance import (
    EDGES,
    FIELDS,
    OPTIONAL_FIELDS,
    Utterance,
    features_of_fields,
)
from dailytalk_contiguous.core.records.working_copy import Edit, with_edits
from dailytalk_contiguous.core.sound.samples import HIGHEST_RATE, LOWEST_RATE
from dailytalk_contiguous.core.sound.side_shift import is_shift
from dailytalk_contiguous.machine.audio import audio_at, from_uri, read_header, to_uri
from dailytalk_contiguous.machine.read_documents import json_lines
from dailytalk_contiguous.shards import (
    by_generation,
    compress,
    expand,
    read_rows,
    read_shard,
    shard_files,
)
from dailytalk_contiguous.sources.joined import put_in_step, put_together
from dailytalk_contiguous.sources.pairs import pairs
from dailytalk_contiguous.sources.recordings import identity_of, is_recording, shortened, stem
from dailytalk_contiguous.stages.base import short_digest
from dailytalk_contiguous.stages.script import (
    KEPT,
    SIDE_SHIFT,
    SILENT_SPEAKERS,
    script_features,
    scripted,
    span_within,
    transcript_lines,
)
from dailytalk_contiguous.stages.take_published import PUBLISHED, TakePublished
from dailytalk_contiguous.store.files import inside, on_disk
from dailytalk_contiguous.store.work_folder import LINE, read_run


def checked(line: JsonObject, fields: Sequence[Field] = FIELDS) -> JsonObject:
    """Return the line, if it can be spoken; raises ValueError, with what is wrong, if not."""
    for name in ("audio_file", "channel", "text", "tag"):
        if not isinstance(line.get(name), str):
            raise ValueError(f"{name} is missing or no text")
    problem = line_problem(line, fields)
    if problem:
        raise ValueError(problem.reason)
    return line


# Locating the recording of a transcript: its path now, and whether it is the one that was tagged.
#
# A transcript has times of one recording. Another export of the same call, put in its place, would be cut at
# wrong times, unnoticed before training; so a recording is identified by its bytes,
# not by its name or its date, and a copy of it in another folder is the same recording.


#: Columns of a tagged row with an item an utterance, which a recording alone does not give.
OF_UTTERANCES = ("utterance_id", "channel", "run")

#: Columns of the conversation that a tagged shard knows.
BASE = (
    "recording_id",
    "audio",
    "audio_file",
    "audio_identity",
    "offset",
    "duration",
    "sample_rate",
    "channels",
    "transcript_repair",
    "transcript_marks",
    "uncovered_sound",
    "sound_digest",
    "side_shift",
    "sides",
    "model_failures",
    *OF_UTTERANCES,
)


TAG_AGAIN = "run dailytalk tag again"

#: What to do about a tagged shard that can't be read.
TAG_ANEW = "delete it, and run dailytalk tag again, which makes it anew"

#: What to do about a recording that is gone, where no option names another folder of recordings.
PUT_BACK = "put it back, or run dailytalk tag again where it is"


class _TaggedAudio(TypedDict, total=False):
    path: str | None


class _TaggedCue(TypedDict):
    channel: object
    speaker: NotRequired[str | None]


class _TaggedSide(TypedDict):
    channel: str
    clipping_ratio: NotRequired[Number | None]
    leak_db: NotRequired[Number | None]


class _Tagged(TypedDict):
    """The fields of a row of a tagged shard, which may come from outside."""

    recording_id: str
    audio: NotRequired[_TaggedAudio | None]
    audio_file: str
    audio_identity: NotRequired[str | None]
    offset: Number
    duration: Number
    sample_rate: Whole
    channels: Whole
    utterance_id: list[str]
    channel: list[str]
    run: list[Whole]
    text: NotRequired[list[str] | None]
    given: NotRequired[list[_TaggedCue] | None]
    side_shift: NotRequired[SideShift | None]
    sides: NotRequired[list[_TaggedSide] | None]
    published: NotRequired[str | None]


def tagged_row(row: Row | None, columns: Sequence[Column] = ()) -> Row:
    """Return a row of a tagged shard, with the columns that stages published.

    Raises BadInput for one that no `dailytalk tag` has written.
    """
    tagged: Row = {**typed(row, _Tagged, "its row in the tagged shard", TAG_AGAIN)}
    # Arrow's decimals can't be added to floats, and `is_number` refuses them.
    is_part = is_number(tagged["offset"], 0, LATEST) and is_number(tagged["duration"], 1e-9, LATEST)
    is_sound = LOWEST_RATE <= tagged["sample_rate"] <= HIGHEST_RATE and tagged["channels"] >= 1
    side_shift = tagged.get("side_shift")
    has_shift = side_shift is None or is_shift(side_shift)
    lengths = {len(tagged[column]) for column in OF_UTTERANCES}
    if tagged.get("text") is not None:
        lengths.add(len(tagged["text"]))
    has_channels = set(tagged["channel"]) <= {*CHANNELS}
    if not (is_part and is_sound and has_shift and has_channels and len(lengths) == 1):
        raise BadInput("its row in the tagged shard describes no part of a recording", TAG_AGAIN)
    for column in columns:
        misfit = value_problem(tagged.get(column.name), column.kind, column.name)
        if misfit:
            raise BadInput(f"its row in the tagged shard: {misfit}", TAG_AGAIN)
    try:
        refuse_outside(tagged["audio_file"])
    except ValueError as error:
        raise BadInput(f"its row in the tagged shard: {error}", TAG_AGAIN) from None
    return tagged


#: How `as_text` shows a byte that is no UTF-8.
_ESCAPED = re.compile(r"\\x[89a-f][0-9a-f]")


def refuse_outside(name: str) -> None:
    """Raise ValueError for a name that would lead out of a folder: results are written under it."""
    is_absolute = name.startswith(("/", "\\")) and not _ESCAPED.match(name)
    goes_up = ".." in name.replace("\\", "/").split("/")
    if is_absolute or goes_up or "\0" in name:
        raise ValueError(f"{name!r} leads out of the folder")


def with_recording(base: Row, recordings: Path | None, remedy: str = PUT_BACK) -> Row:
    """Return the row of a shard with the present path of its recording: the tagged one, or one under `recordings`.

    Raises BadInput if it is in neither place (with this remedy), can't be read, or is not the one that was tagged.
    """
    tagged_uri = (base.get("audio") or {}).get("path") or ""
    tagged = from_uri(tagged_uri)
    if tagged_uri and composed(as_text(tagged.name)) != composed(base["audio_file"].rpartition("/")[2]):
        raise BadInput("its shard names another recording than its row", "run dailytalk tag again")
    present: list[Path] = []
    places: Iterator[Path] = iter([tagged])
    if recordings is not None:  # a pair is joined only where the tagged file is missing
        side_shift = base.get("side_shift")
        shift = side_shift if side_shift and side_shift["aligned"] else None
        places = itertools.chain(places, map(_recording_at, [recordings / base["audio_file"]], [shift]))
    for path in places:
        if path.is_file():
            present.append(path)
            try:
                identity = identity_of(path)
            except OSError as error:
                reason = f"its recording {to_uri(path.absolute())!r} can't be read ({error.strerror or error})"
                raise BadInput(reason, "check the file and its permissions") from error
            if identity == base.get("audio_identity"):
                return base | {"audio": audio_at(path)}
    if not present:
        raise BadInput(f"its recording {tagged_uri!r} is gone", remedy)
    reason = f"the recording {to_uri(present[0].absolute())!r} is not the one that was tagged"
    raise BadInput(reason, "run dailytalk tag again, or put the old recording back")


def lacks_recordings(tagged: Path) -> bool:
    """Whether a recording of the shards in a folder is no longer where it was."""
    uris: set[str] = set()
    for path in tagged.glob("shard-*.parquet"):
        if not read_shard(path).entries:
            continue
        for row in read_rows(path, ("audio",)).values():
            audio = row["audio"] or {}
            uris.add(audio.get("path") or "")
    return not all(from_uri(uri).is_file() for uri in uris)  # "" is the folder that we are in, and no file


def from_recording(line: Mapping[str, object], recordings: Path | None, remedy: str = PUT_BACK) -> Row:
    """Return the row that a shard would have, for a transcript without shards.

    Raises BadInput, with this remedy if the recording is not in its folder.
    """
    audio_file = str(line["audio_file"])
    shift = line.get(SIDE_SHIFT)
    path = _recording_at(inside(recordings or Path(), audio_file), shift if is_shift(shift) else None)
    if not path.is_file():
        folder = str(recordings or Path())
        raise BadInput(f"its recording {audio_file!r} is not in {folder!r}", remedy)
    audio = audio_at(path)
    info = read_header(audio)
    row: Row = {
        "recording_id": shortened(stem(audio_file)),
        "audio": audio,
        "audio_file": audio_file,
        "offset": 0.0,
        "duration": info.seconds,
        "sample_rate": info.sample_rate,
        "channels": info.channels,
    }
    for name in OF_UTTERANCES:
        row[name] = []
    for name in ("sides", *(column.name for column in COLUMNS)):
        row[name] = None
    return row


def _recording_at(path: Path, shift: SideShift | None) -> Path:
    """Return the path or, where there is no such file but one for each side, the recording that these make.

    `shift`: with which its sides were laid on one clock; None if they were not. Raises BadInput as `put_together`
    does.
    """
    path = on_disk(path)
    if not path.is_file():
        try:
            neighbours = os.listdir(path.parent)
        except OSError:
            return path
        names = [name for name in neighbours if is_recording(name)]
        sides = [side for side in map(path.with_name, names) if not side.is_symlink()]
        inner = {side.with_name(composed(side.name)): side for side in sides}
        match = pairs(inner).get(path.with_name(composed(path.name)))
        if match is None:
            return path
        path = put_together(match.pair, path.name)
    return put_in_step(path, shift, path.name) if shift else path


# Conversations to be resynthesised: a transcript, possibly edited, and its recordings.
#
# The transcript decides: a changed text, tag, start or end is used as it is, a deleted line is gone. An
# impossible line (no JSON, an end before its start) is rejected with its line number, and
# the rest is used.


#: Seconds by which an edited end may pass the end of the recording.
TOLERANCE = 0.05


class _Times(NamedTuple):
    """When a conversation begins and ends, in seconds of its recording, and its id."""

    start: float
    end: float
    name: str


class _TaggedPart(NamedTuple):
    """The row of a tagged conversation, compressed until its lines are read, and its part of the recording."""

    audio_file: str
    offset: float
    duration: float
    compressed: bytes


#: A line of a transcript, after its number.
_NumberedLine: TypeAlias = tuple[int, JsonObject]


def transcribed(
    transcript: Path,
    tagged: Path | None,
    recordings: Path | None,
    rejects: list[Reject],
    fields: Sequence[Field] = FIELDS,
    remedy: str = PUT_BACK,
) -> Iterator[Row]:
    """Yield a row of `script_row` for each conversation, in order; unusable ones go to `rejects`.

    Lines and the rows of shards are kept compressed: a corpus has millions of words.

    Args:
        transcript: a file of lines as `dailytalk tag` writes them, or the older tool did.
        tagged: the folder of shards, or the one shard, that the transcript was written from: it has the paths of
            the recordings. `run.json` beside them names who has no line.
        recordings: the folder of recordings, for a transcript without shards.
        rejects: filled on the way.
        fields: the fields of a line.
        remedy: what to do about a recording that is gone.

    Raises DailytalkError if there is no transcript.
    """
    if not transcript.is_file():
        raise DailytalkError(f"there is no transcript {str(transcript)!r}", "run dailytalk tag first")
    lines_of_file = (line for _, line in json_lines(transcript, nan=True))
    channels = (line.get("channel") for line in lines_of_file if isinstance(line, dict))
    if next(channels, None) == "mix" and all(channel == "mix" for channel in channels):
        raise DailytalkError(
            f"{transcript} was made with --channel mix, in which no speaker is alone on a channel",
            "only recordings of two channels, tagged without --channel mix, can be re-voiced",
        )
    columns = columns_among(fields)
    names = [*script_features(fields)]
    parts: dict[str, _TaggedPart] = {}
    unusable: dict[str, BadInput] = {}
    silent_speakers: Mapping[str, Mapping[str, str]] = {}
    if tagged and tagged.exists():
        parts, unusable = _tagged_parts(tagged, rejects, columns)
        silent_speakers = read_run(tagged.parent).silent_speakers
    groups: dict[str, list[bytes]] = {}  # one part for all lines that follow each other
    read = _lines(transcript, parts, rejects, fields)
    for name, group in itertools.groupby(read, key=itemgetter(0)):
        groups.setdefault(name, []).append(compress([line for _, line in group]))
    for name in list(groups):  # what is a row need not be held as lines, too
        lines: list[_NumberedLine] = []
        for compressed in groups.pop(name):
            lines += expand(compressed)
        part = parts.pop(name, None)
        problem = unusable.get(name)
        if problem:
            rejects.append(Reject(name, "transcript", problem.reason, problem.remedy))
            continue
        base: Row | None = None
        try:
            if part:
                base = with_recording(expand(part.compressed), recordings, remedy)
            else:
                _, first_line = lines[0]
                base = from_recording(first_line, recordings, remedy)
            base[SILENT_SPEAKERS] = silent_speakers.get(name)
            yield _row(name, lines, base, rejects, fields, names)
        except BadInput as error:
            rejects.append(Reject(name, "transcript", error.reason, error.remedy))
    # Those without speech have no line; the lines of others were deleted on purpose.
    for name, part in parts.items():
        base = expand(part.compressed)
        if base.get("published") and not base["utterance_id"]:
            yield _row(name, [], with_recording(base, recordings, remedy), rejects, fields, names)
        elif not base["utterance_id"]:
            reason = "nobody speaks in it, so there is nothing to say"
            rejects.append(Reject(name, "transcript", reason, "leave it out"))


def _lines(
    transcript: Path, parts: Mapping[str, _TaggedPart], rejects: list[Reject], fields: Sequence[Field]
) -> Iterator[tuple[str, _NumberedLine]]:
    """Yield each line after the name of its conversation; invalid lines go to the rejects."""
    name_of_file = printable_path(transcript.name)
    times_by_file: dict[str, list[_Times]] = {}
    for name, part in parts.items():
        times = _Times(part.offset, part.offset + part.duration, name)
        times_by_file.setdefault(composed(part.audio_file), []).append(times)
    for ordered in times_by_file.values():
        ordered.sort()
    for number, read in json_lines(transcript, nan=True):  # the older tool writes NaN
        try:
            if isinstance(read, BadInput):
                raise ValueError(read.reason)
            line = checked(read, fields)
            conversation_id = line.get("conversation_id")
            if not conversation_id:
                # The part of the recording that contains the line, or all of the recording.
                conversation_id = shortened(stem(line["audio_file"]))
                ordered = times_by_file.get(composed(line["audio_file"]), [])
                following = bisect_right(ordered, line["start"], key=attrgetter("start"))
                # Of two that overlap by a rounded end, the first.
                for times in ordered[max(0, following - 2) : following]:
                    if line["start"] < times.end:
                        conversation_id = times.name
                        break
            refuse_outside(conversation_id)
            refuse_outside(line["audio_file"])
        except ValueError as error:
            reason = f"line {number} of {name_of_file}: {error}"
            rejects.append(Reject(f"{name_of_file}:{number}", LINE, reason, "fix or delete the line"))
            continue
        yield conversation_id, (number, line)


def _tagged_parts(
    tagged: Path, rejects: list[Reject], columns: Sequence[Column]
) -> tuple[dict[str, _TaggedPart], dict[str, BadInput]]:
    """Return the rows of the shards, and why others can't be used, by conversation id."""
    parts: dict[str, _TaggedPart] = {}
    unusable: dict[str, BadInput] = {}
    for path, shard in by_generation(shard_files(tagged) if tagged.is_dir() else [tagged]):
        if not shard.entries:
            reason = f"{printable_path(path)} is damaged, or no shard that this version wrote"
            rejects.append(Reject(printable_path(path.name), "transcript", reason, TAG_ANEW))
            continue
        try:
            # The last two name the speakers, and tell which texts people have edited.
            names = (*BASE, *(column.name for column in columns), "cues", "text", *PUBLISHED)
            rows = read_rows(path, names)
        except BadInput as error:
            unusable |= dict.fromkeys(shard.entries, BadInput(error.reason, TAG_ANEW))
            continue
        for name, entry in shard.entries.items():
            try:
                if not entry.reject:
                    row = tagged_row(rows.get(name), columns)
                    parts[name] = _TaggedPart(row["audio_file"], row["offset"], row["duration"], compress(row))
            except BadInput as error:
                unusable[name] = error
    return parts, unusable


def _row(
    name: str,
    lines: Sequence[_NumberedLine],
    base: Row,
    rejects: list[Reject],
    fields: Sequence[Field],
    names: Sequence[str],
) -> Row:
    """Return the row of a conversation of a transcript; `names`: the columns of a script with these fields."""
    base |= {"conversation_id": name}
    if base.get("published"):
        return _copied_row(name, lines, base, rejects, fields, names)
    stamp: str | list[str | int] | None = base.get("audio_identity")
    if not stamp:  # a recording without an identity is recognised by its path, size and date
        path = from_uri(base["audio"]["path"])
        status = path.stat()
        stamp = [str(path), status.st_size, status.st_mtime_ns]
    talk = from_row(base)
    talk = scripted(talk, _usable(name, lines, talk, rejects, fields), fields)
    published = {column.name: base.get(column.name) for column in columns_among(fields)}
    row: Row = {column: base[column] for column in KEPT if column in base}
    row |= published
    row |= to_row(talk, names)
    # A field that no line has is left out, so that the digest is that of runs which did not know the field.
    facts: Row = {}
    for column, value in row.items():
        is_unused = column in OPTIONAL_FIELDS and not any(value)
        is_unknown = value is None and (column in published or column == SILENT_SPEAKERS)
        if not is_unused and not is_unknown:
            facts[column] = value
    facts["audio"] = None
    content = json.dumps([facts, stamp], sort_keys=True)
    row["input_digest"] = short_digest(content)
    return row


def _copied_row(
    name: str,
    lines: Sequence[_NumberedLine],
    base: Row,
    rejects: list[Reject],
    fields: Sequence[Field],
    names: Sequence[str],
) -> Row:
    """Return the row of a conversation of a version: what was published, with the edits of its lines.

    It is finished, unless a voice has to say lines anew: then it is also a script, whose recording is the sound of
    the version.
    """
    others = tuple(field for field in fields if field not in FIELDS)
    talk = TakePublished(others).of_talk(from_row(base))
    utterances = [*_usable(name, lines, talk, rejects, fields)]
    edits = _edits(utterances, lines, talk, fields)
    removed = {utterance.utterance_id for utterance in talk.utterances} - {
        utterance.utterance_id for utterance in utterances
    }
    voiced = [utterance for utterance in talk.utterances if not utterance.is_recorded]
    voiced_sides = {utterance.channel for utterance in voiced}
    for utterance in utterances:
        edit = edits.get(utterance.utterance_id)
        utterance.keeps_sound = edit is None or not edit.needs_sound(voiced_sides)
    is_finished = all(utterance.keeps_sound for utterance in utterances)
    is_finished = is_finished and removed.isdisjoint(utterance.utterance_id for utterance in voiced)
    copied: Row = {column: base[column] for column in KEPT if column in base}
    if not is_finished or any(edit.before is None for edit in edits.values()):
        talk = scripted(talk, utterances, fields)  # which completes added lines
    if not is_finished:
        copied |= to_row(talk, [*names, "keeps_sound"])
    row = read_published(base["published"])
    if edits or removed:
        row = with_edits(row, edits, removed, features_of_fields(fields))
    copied["published"] = json.dumps(row, ensure_ascii=False, sort_keys=True)
    content = json.dumps(copied | {"audio": base["audio_identity"]}, sort_keys=True)
    copied["input_digest"] = short_digest(content)
    return copied | {"is_finished": is_finished}


def _edits(
    utterances: Sequence[Utterance], lines: Sequence[_NumberedLine], talk: Conversation, fields: Sequence[Field]
) -> dict[str, Edit]:
    """Return the edits of the lines of a tagged conversation, and the lines that it lacks, by their ids.

    Utterances whose edges nobody has moved get those of the conversation: a line has whole milliseconds.
    """
    tagged = {utterance.utterance_id: utterance for utterance in talk.utterances}
    written = {line["utterance_id"]: line for line in transcript_lines(talk, fields)}
    line_of = {line.get("utterance_id"): line for _, line in reversed(lines)}  # of one id, the first counts
    compared = [field for field in fields if not field.part or field.name == "words"]
    edits: dict[str, Edit] = {}
    for utterance in utterances:
        before = tagged.get(utterance.utterance_id)
        changed = {"text"}
        if before:
            line_before = written[before.utterance_id]
            line = line_of[before.utterance_id]
            changed = {field.name for field in compared if field.value_in(line) != field.value_in(line_before)}
            if changed.isdisjoint(("start", "end")):
                utterance.update({edge: getattr(before, edge) for edge in EDGES})
        if changed:
            edits[utterance.utterance_id] = Edit(before, utterance, frozenset(changed))
    return edits


def _usable(
    name: str, lines: Sequence[_NumberedLine], talk: Conversation, rejects: list[Reject], fields: Sequence[Field]
) -> Iterator[Utterance]:
    """Yield the utterances of lines that are in their conversation, each with a unique id."""
    utterances = {number: from_line(line, fields) for number, line in lines}
    identities = {utterance.utterance_id for utterance in (*talk.utterances, *utterances.values())}
    first: dict[str, int] = {}
    next_numbers: dict[str, int] = {}
    for index, (line_number, utterance) in enumerate(utterances.items()):
        channel = utterance.source_channel
        if not utterance.utterance_id:
            # Those from the index of an earlier line to its number are in use.
            number = max(index, next_numbers.get(channel, 0))
            utterance.utterance_id = f"{name}/{channel}/{number:04d}"
            while utterance.utterance_id in identities:
                number += 1
                utterance.utterance_id = f"{name}/{channel}/{number:04d}"
            next_numbers[channel] = number + 1
        identities.add(utterance.utterance_id)
        # Nothing else has negative numbers: an added line is a separate run.
        utterance.run = -1 - index
        problem = None
        remedy = "fix or delete the line"
        ends_late = utterance.end - talk.offset > talk.duration + TOLERANCE
        starts_early = utterance.start < talk.offset - TOLERANCE
        if ends_late or starts_early or not span_within(utterance.span, talk):
            problem = f"{utterance.start}-{utterance.end} s is outside its conversation"
        elif utterance.utterance_id in first:
            problem = (
                f"its utterance_id {utterance.utterance_id!r} is that of line {first[utterance.utterance_id]}"
            )
            remedy = "leave utterance_id out of a line that you add"
        if problem:
            reason = f"line {line_number}: {problem}"
            rejects.append(Reject(f"{name}@{utterance.start}", LINE, reason, remedy))
            continue
        first[utterance.utterance_id] = line_number
        yield utterance
