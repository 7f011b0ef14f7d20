"""Packs a work folder into the Parquet files of a version on this disk: all of a push except the Hub.

Every conversation is read twice: once without its audio, to decide its split, and once with its audio. The first
pass rejects rows that can't be published, and keeps a few hundred bytes of a conversation, so that a corpus of any
length fits in memory. The second writes rows in the order of their ids, split by split, an hour of conversations
to a file of each config. Threads cut and encode: decoding, encoding and hashing release the interpreter lock.

A version that adds, changes or drops a few conversations moves the borders of files. Their content is cut into
chunks by what is in it (content-defined chunking of Parquet, and Xet's own), so the Hub gets the new chunks alone.
"""

import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypedDict

import soundfile
from datasets import Audio

from dailytalk_contiguous.core.documents import is_number, parse_json, typed, with_null
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.records.record import RejectedPart
from dailytalk_contiguous.core.records.schema import (
    AUDIO_COLUMN,
    CHANNELS,
    SPLITS,
    Row,
    digest_column,
    kept_speakers,
    parent_of,
    published_features,
)
from dailytalk_contiguous.core.records.utterance import FIELDS, heard_utterances
from dailytalk_contiguous.core.sound.samples import Pcm
from dailytalk_contiguous.core.steps import step
from dailytalk_contiguous.core.wording import kind_of, portable
from dailytalk_contiguous.machine.sound_columns import MOST_PCM_BYTES
from dailytalk_contiguous.models.failures import without_message
from dailytalk_contiguous.publish.checks.findings import TOLERANCE
from dailytalk_contiguous.publish.checks.row_check import JudgedRow, RowChecks
from dailytalk_contiguous.publish.checks.verdict import LIMITS
from dailytalk_contiguous.publish.exports.interactivity import ClipChoice, clips_of, cut_clips
from dailytalk_contiguous.publish.exports.splits import SplitVoice, disjoint_in, split_conversations
from dailytalk_contiguous.publish.items import MOST_SECONDS, SMALL, Place, Shards
from dailytalk_contiguous.publish.version import (
    DataFile,
    Packed,
    RejectedFacts,
    kept_run_facts,
)
from dailytalk_contiguous.store.files import file_name, sha256_of
from dailytalk_contiguous.store.parquet import row_groups, write_parquet

#: The stage that rejects of a push name.
STAGE = "push"

#: Seconds of the conversations of a file. As FLAC an hour has 100 to 250 MB, with which `datasets` and the viewer
#: of the Hub are at ease, and fits in memory; so conversations are read an hour at a time, too.
FILE_SECONDS = 3600.0

#: Bytes of audio behind which a row group ends; a reader of one row fetches as much.
ROW_GROUP_BYTES = 8_000_000

#: What divides conversations: it returns the split of each id.
Divider: TypeAlias = Callable[[Iterable[SplitVoice]], dict[str, str]]

#: Unless others are asked for: a twentieth of the time to validate on, and one to test on.
SHARES = {"validation": 0.05, "test": 0.05}

_DIVIDE: Divider = partial(split_conversations, shares=SHARES)

_AGAIN = "build the conversation again"


class Finished(NamedTuple):
    """A conversation that can be published: what decides its split, the place of its row, and a clip's split."""

    voice: SplitVoice
    row_place: Place
    split: str | None


class RejectedRow(NamedTuple):
    """A conversation that can't be published, and its length in seconds, 0 if that is unknown."""

    reject: Reject
    seconds: float


def read_finished(
    items: Shards, look: Callable[[Row], None]
) -> tuple[dict[str, Finished], set[int], list[RejectedRow]]:
    """Read the finished conversations of a work folder, without audio; `look` is called with each good row.

    Returns those that can be published, by id, the rates of their audio in Hz, and why the others can't be.

    Raises DailytalkError: there are none, a shard is damaged or of no finished dataset, or an id occurs twice.
    """
    finished = dict[str, Finished]()
    rates = set[int]()
    rejected = list[RejectedRow]()
    for path in items.files:
        for row_place, row in items.rows_of(path, SMALL):
            name = row["conversation_id"]
            if name in finished:
                raise DailytalkError(
                    f"the conversation {name!r} is in {finished[name].row_place.file} and in {path}",
                    "remove one of the two shards, or build the dataset again",
                )
            problem = _problem(row)
            if problem:
                reason, remedy = problem
                seconds = row["duration"]
                is_known = is_number(seconds, 0.0, MOST_SECONDS)
                reject = Reject(name, STAGE, reason, remedy)
                rejected.append(RejectedRow(reject, seconds if is_known else 0.0))
                continue
            look(row)
            rates.add(row["sample_rate"])
            voice = SplitVoice(
                id=name,
                kept_speakers=kept_speakers(row),
                recording_id=row["recording_id"],
                seconds=row["duration"],
                parent=parent_of(row),
                sound_digest=row["sound_digest"] or "",
            )
            is_clip = bool(row["labels"])
            finished[name] = Finished(voice, row_place, split=row["split"] if is_clip else None)
    if not finished:
        why = ""
        if rejected:
            first = rejected[0].reject
            why = f" that can be published ({first.id}: {first.reason})"
        raise DailytalkError(
            f"{items.where} holds no finished conversations{why}",
            "see its rejects.jsonl, and run dailytalk speak again",
        )
    return finished, rates, rejected


def _problem(row: Row) -> tuple[str, str] | None:
    """Why a row can't be published, and what to do."""
    if row["problem"]:
        return row["problem"], row["remedy"]
    if not row["recording_id"] or not row["sample_rate"] or row["sample_rate"] < 1:
        return "it has no recording_id or no sample_rate", _AGAIN
    if row["labels"] and row["split"] not in SPLITS:
        return f"its split is {row['split']!r}, not {', '.join(SPLITS)}", "run `dailytalk corpus` again"
    try:
        row_provenance(row)
    except BadInput as problem:
        return problem.reason, problem.remedy
    return None


def pack_version(
    items: Shards,
    stage: Path,
    *,
    per_kind: int = 0,
    divide: Divider = _DIVIDE,
    file_seconds: float = FILE_SECONDS,
    workers: int = 2,
    audio_columns: tuple[str, ...] = (AUDIO_COLUMN,),
) -> Packed:
    """Pack the finished conversations of a work folder into the files of one version.

    Args:
        items: the work folder, as `publish.opening.finished_items` opens it.
        stage: a new folder for the files, `CONFIG/SPLIT-00000-of-00004.parquet`.
        per_kind: clips of interaction of each kind at most, as the config `interactivity`.
        divide: `publish.exports.splits.split_conversations` with its shares, the splits before and a seed. Clips
            keep the split that they have.
        file_seconds: of the conversations of a file.
        workers: threads that cut and encode.
        audio_columns: those of the sound of conversations and clips, one of `SOUND_LAYOUTS`.

    Raises DailytalkError: the folder holds no row that can be published, or one of them can't be read.
    """
    choice = ClipChoice(per_kind)
    finished, rates, rejected = read_finished(items, choice.add)
    voices = [conversation.voice for conversation in finished.values()]
    if items.labelled:
        split_of = {name: conversation.split or "" for name, conversation in finished.items()}
    else:
        split_of = divide(voices)
    if per_kind and not choice.ids:
        raise DailytalkError(f"nothing in {items.where} can be a clip of interaction", "push with --clips 0")
    sample_rate = min(rates) if len(rates) == 1 else None
    fields = (*FIELDS, *items.fields)
    parts = defaultdict[tuple[str, str], list[_Part]](list)
    checks = RowChecks()
    pack = partial(packed_row, run=items.run, clips=choice.ids, checks=checks, audio_columns=audio_columns)
    done = 0
    with ThreadPoolExecutor(workers, "pack") as pool:
        for split, names in _files(finished, split_of, file_seconds):
            collected = defaultdict[str, list[Row]](list)
            read_rows = _rows_with_audio(items, finished, names)
            for packed in pool.map(pack, read_rows):
                checks.add(packed.judged)
                for config, rows_of_config in packed.rows.items():
                    collected[config] += rows_of_config
                done += 1
                step("conversations packed", done, len(finished))
            for config, rows_of_config in collected.items():
                if not rows_of_config:
                    continue
                number = len(parts[config, split])
                path = stage / config / f"{split}-{number:05d}.parquet"
                features = published_features(config, sample_rate, items.labelled, fields, audio_columns)
                sounds = [name for name, feature in features.items() if isinstance(feature, Audio)]
                groups = row_groups(rows_of_config, ROW_GROUP_BYTES, sounds)
                write_parquet(path, features, groups, audio=sounds)
                seconds = sum(row["duration"] for row in rows_of_config)
                parts[config, split].append(_Part(path, len(rows_of_config), seconds))
    files = sorted(_named_files(stage, parts))
    run = kept_run_facts(items.run)
    if rejected:
        run["push"] = {"rejected": _rejected_facts(rejected, voices)}
    return Packed(
        files=tuple(files),
        disjoint=disjoint_in(voices, split_of),
        rejects=tuple(row.reject for row in rejected),
        fields=items.fields,
        row_findings=tuple(checks.all_findings(LIMITS)),
        run=run,
        kept_findings=tuple(items.kept_findings()),
    )


def _rejected_facts(rejected: Sequence[RejectedRow], voices: Sequence[SplitVoice]) -> RejectedFacts:
    """The rejected part of what was to be published, counted as a run counts what it rejects."""
    reasons = defaultdict[str, float](float)
    remedies = dict[str, str]()
    for reject, seconds in rejected:
        kind = kind_of(reject.reason)
        reasons[kind] += seconds
        remedies[kind] = reject.remedy
    lost = sum(reasons.values())
    published = sum(voice.seconds for voice in voices)
    return {
        "conversations": len(rejected),
        "of_conversations": len(rejected) + len(voices),
        "seconds": round(lost, 3),
        "of_seconds": round(lost + published, 3),
        "reasons": {kind: round(seconds, 3) for kind, seconds in reasons.items()},
        "remedies": remedies,
    }


class _Part(NamedTuple):
    """A written file that has no final name yet: the number of its rows, and their seconds."""

    path: Path
    n_rows: int
    seconds: float


def _rows_with_audio(items: Shards, finished: Mapping[str, Finished], names: list[str]) -> Iterator[Row]:
    """The rows of a file in the order of their ids; each is let go of once it is taken."""
    places = sorted(finished[name].row_place for name in names)
    row_of = {row["conversation_id"]: row for row in items.rows_at(places)}
    missing = [name for name in names if name not in row_of]
    if missing:
        raise DailytalkError(f"another run writes {missing[0]!r} anew", "wait until it has ended, and push again")
    return map(row_of.pop, names)


def _named_files(stage: Path, parts: Mapping[tuple[str, str], list[_Part]]) -> Iterator[DataFile]:
    """Give the files their final names, which say how many files a split has."""
    for (config, split), files in parts.items():
        for number, part in enumerate(files):
            name = f"{config}/{split}-{number:05d}-of-{len(files):05d}.parquet"
            path = part.path.rename(stage / name)
            yield DataFile(
                name=name,
                path=path,
                config=config,
                split=split,
                sha256=sha256_of(path),
                size=path.stat().st_size,
                rows=part.n_rows,
                seconds=part.seconds,
            )


def _files(
    finished: Mapping[str, Finished], split_of: Mapping[str, str], file_seconds: float
) -> Iterator[tuple[str, list[str]]]:
    """The split of each file of conversations, and their ids in order; a file begins in each `file_seconds`."""
    for split in SPLITS:
        names = [name for name in sorted(finished) if split_of[name] == split]
        seconds = [finished[name].voice.seconds for name in names]
        starts = accumulate(seconds, initial=0.0)
        file_numbers = [start // file_seconds for start in starts]
        numbered = zip(file_numbers, names, strict=False)
        for _, group in groupby(numbered, key=itemgetter(0)):
            yield split, [name for _, name in group]


class _Model(TypedDict, total=False):
    name: str | None
    licence: str | None
    url: str | None


class Provenance(TypedDict, total=False):
    """The fields of a row's provenance that are read."""

    tool: str | None
    voice: str | None
    settings: dict[str, Any] | None
    models: dict[str, _Model] | None


class RecordedFrom(TypedDict):
    """The dataset of recordings (`NAME@REVISION`) and its licence; None if unknown."""

    source: str | None
    source_licence: str | None


def recorded_from(run: Mapping[str, Any]) -> RecordedFrom:
    """Return the dataset of the recordings of a work folder (`NAME@REVISION`), and its licence, or None."""
    source = run.get("source") or {}
    repository = source.get("repository")
    revision = source.get("revision")
    name = f"{repository}@{revision}" if repository and revision else repository
    return {"source": name, "source_licence": source.get("licence")}


def row_provenance(row: Row) -> Provenance:
    """Parse the provenance of a finished row. Raises BadInput if it is not JSON, or not of its shape."""
    record = parse_json(row["provenance"] or "{}", "its provenance", _AGAIN)
    return typed(record, Provenance, "its provenance", _AGAIN)


def provenance(row: Row, run: Mapping[str, Any]) -> dict[str, object]:
    """Return the provenance of a published row; `run`: run.json of the work folder.

    Models and voices may be named by a folder of this machine, which is private: its last part is published.
    """
    record = row_provenance(row)
    origin = recorded_from(run)
    labels = row["labels"]
    if labels:
        origin["source"] = labels.get("corpus") or origin["source"]
        origin["source_licence"] = labels.get("licence")
    models = []
    for role, model in sorted((record.get("models") or {}).items()):
        used_model = {
            "role": role,
            "name": portable(model.get("name")),
            "licence": portable(model.get("licence")),
            "url": portable(model.get("url")),
        }
        models.append(used_model)
    halves = (run, run.get("speak") or {})
    stages = [stage for half in halves for stage in half.get("stages") or ()]
    settings = record.get("settings")
    settings_text = None
    if settings is not None:
        settings_text = json.dumps(settings, sort_keys=True, ensure_ascii=False)
    return {
        "source_id": row["recording_id"],
        **origin,
        "tool": record.get("tool"),
        "voice": portable(record.get("voice")),
        "models": models,
        "stages": [{"name": stage.get("name"), "digest": stage.get("digest")} for stage in stages],
        "settings": settings_text,
    }


def published_conversation(row: Row, run: Mapping[str, Any]) -> Row:
    """Return a finished conversation as a row of the config `conversations`; arguments as in `packed_row`."""
    encoded = (row["audio"] or {}).get("bytes") or b""
    published = row | _sound(row["conversation_id"], encoded) | {"provenance": provenance(row, run)}
    published["utterances"] = [_published_utterance(utterance) for utterance in row["utterances"] or ()]
    failures: list[RejectedPart] | None = row["model_failures"]
    if failures:
        published["model_failures"] = [
            failure | {"reason": without_message(failure["reason"])} for failure in failures
        ]
    with_finite_numbers: Row = with_null(published)
    return with_finite_numbers


class PackedRow(NamedTuple):
    """The rows of a finished conversation by config, and what `check` finds on it."""

    rows: dict[str, list[Row]]
    judged: JudgedRow


def packed_row(
    row: Row,
    run: Mapping[str, Any],
    clips: Collection[str],
    checks: RowChecks,
    audio_columns: tuple[str, ...] = (AUDIO_COLUMN,),
) -> PackedRow:
    """Return the rows of a finished conversation, and what `check` finds on it, from its sound decoded once.

    Audio of a conversation is copied byte for byte, or each side of it encoded by itself; an utterance is cut from
    its speaker's channel to the sample.

    Args:
        row: with its audio. A number in it that is NaN or infinite is published as null.
        run: run.json of the work folder.
        clips: ids of the clips of interaction that are published.
        checks: what judges it.
        audio_columns: those of the sound of a conversation and of a clip.

    Raises DailytalkError if its audio can't be read or is not stereo at its rate, or an utterance or a clip is
    outside it.
    """
    name = row["conversation_id"]
    rate = row["sample_rate"]
    stereo = published_conversation(row, run)
    published = stereo
    interactivity = list[Row]()
    try:
        pcm = _decoded(stereo["audio"]["bytes"], rate)
        if audio_columns == CHANNELS:
            published = _with_sides(stereo, name, pcm, rate)
        utterances = list(_utterance_rows(published, pcm, rate))
        if clips:
            licence = recorded_from(run)["source_licence"]
            interactivity += _clip_rows(row, clips, pcm, licence, audio_columns)
    except (soundfile.LibsndfileError, BadInput) as problem:
        reason = str(problem)
        remedy = _AGAIN
        if isinstance(problem, BadInput):
            reason = problem.reason
            remedy = problem.remedy
        raise DailytalkError(f"the audio of {name!r} can't be used ({reason})", remedy) from None
    rows = {"conversations": [published], "utterances": utterances, "interactivity": interactivity}
    without_digest = dict(stereo)
    del without_digest["audio_sha256"]  # it is that of these bytes
    return PackedRow(rows, checks.judge(without_digest, name, pcm))


def _decoded(encoded: bytes, rate: int) -> Pcm:
    """Decode a conversation, shape (n, 2). Raises BadInput: it is not stereo at that rate in Hz, or cut short."""
    with soundfile.SoundFile(io.BytesIO(encoded)) as sound:
        if (sound.channels, sound.samplerate) != (len(CHANNELS), rate):
            raise BadInput(f"it has {sound.channels} channel(s) at {sound.samplerate} Hz", _AGAIN)
        pcm: Pcm = sound.read(dtype="int16")
        if len(pcm) < sound.frames:
            raise BadInput(f"it ends after {len(pcm)} of the {sound.frames} samples in its header", _AGAIN)
    return pcm


def _clip_rows(
    row: Row, clips: Collection[str], pcm: Pcm, licence: str | None, audio_columns: tuple[str, ...]
) -> Iterator[Row]:
    """The rows of the clips of interaction in a conversation that are among `clips`."""
    rate = row["sample_rate"]
    chosen = [clip for clip in clips_of(row)[0] if clip.id in clips]
    for clip, part, columns in cut_clips(row, chosen, pcm, rate, licence):
        clip_row = columns | _sound(clip.id, _flac(part, rate)) | {"sample_rate": rate}
        if audio_columns == CHANNELS:
            clip_row = _with_sides(clip_row, clip.id, part, rate)
        yield with_null(clip_row)


def _published_utterance(utterance: Row) -> Row:
    """An utterance without what is private in it: folders of models and voices, messages of models' errors."""
    published = dict(utterance)
    synthesis = utterance["synthesis"]
    if synthesis is not None:
        names = {"model": portable(synthesis["model"]), "voice": portable(synthesis["voice"])}
        published["synthesis"] = synthesis | names
    for name in ("reason", "text_reason"):
        if utterance.get(name):
            published[name] = without_message(utterance[name])
    return published


def _utterance_rows(row: Row, pcm: Pcm, rate: int) -> Iterator[Row]:
    """The rows of the audible utterances, each with its sound and the words whose middle is in it, cut to it."""
    for utterance in heard_utterances(row):
        start = utterance["start"]
        end = utterance["end"]
        seconds = len(pcm) / rate
        if not -TOLERANCE <= start < end <= seconds + TOLERANCE:
            raise BadInput(
                f"the utterance {utterance['utterance_id']!r} at {start}-{end} s has no length, or is outside its "
                f"{seconds:.3f} s",
                _AGAIN,
            )
        first = max(round(start * rate), 0)
        first = min(first, len(pcm) - 1)
        last = max(round(end * rate), first + 1)
        part = pcm[first:last, CHANNELS.index(utterance["channel"])]
        length = len(part) / rate
        words = []
        for word in row["alignments"] or ():
            middle = (word["start"] + word["end"]) / 2
            if word["speaker"] == utterance["channel"] and start <= middle <= end:
                cut_word = {name: word.get(name) for name in _WORD_FIELDS}
                for edge in ("start", "end"):
                    time = round(word[edge] - start, 4)
                    cut_word[edge] = min(max(time, 0.0), length)
                words.append(cut_word)
        columns: Row = {**utterance}
        columns |= _sound(utterance["utterance_id"], _flac(part, rate))
        columns["sample_rate"] = rate
        columns["conversation_id"] = row["conversation_id"]
        columns["recording_id"] = row["recording_id"]
        columns["duration"] = length
        columns["language"] = utterance.get("language") or row["language"]
        columns["words"] = words
        columns["labels"] = row["labels"]
        yield columns


#: Fields of a word of a conversation that a word of an utterance has, too, beside its times.
_WORD_FIELDS = ("word", "source", "probability", "filler")


def _flac(pcm: Pcm, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, pcm, rate, subtype="PCM_16", format="FLAC")
    return file.getvalue()


def _sound(name: str, data: bytes, column: str = AUDIO_COLUMN) -> Row:
    """A column of FLAC with a plain file name made from an id, and that of its digest."""
    audio = {"bytes": data, "path": f"{file_name(name)}.flac"}
    return {column: audio, digest_column(column): hashlib.sha256(data).hexdigest()}


def _with_sides(row: Row, name: str, pcm: Pcm, rate: int) -> Row:
    """A published row with its sides in columns of their own in place of its stereo sound.

    Raises BadInput: readers, which join the sides, would refuse so much sound.
    """
    if pcm.nbytes > MOST_PCM_BYTES:
        raise BadInput(
            f"it has {pcm.nbytes / 1e6:.0f} MB of samples, and sides apart can have {MOST_PCM_BYTES / 1e6:.0f}",
            "push with --audio-columns audio",
        )
    columns = {column: value for column, value in row.items() if column != AUDIO_COLUMN}
    for number, side in enumerate(CHANNELS):
        columns |= _sound(f"{name}.{side}", _flac(pcm[:, number], rate), side)
    return columns
