"""The rows of a version: what is published of a finished conversation, of its recording, and of how it was
made."""

import hashlib
import io
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import soundfile

from dailytalk_contiguous.core.audio import Pcm, from_uri, read_header
from dailytalk_contiguous.core.documents import expect, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import CHANNELS, Row
from dailytalk_contiguous.core.wording import portable
from dailytalk_contiguous.publish.interactivity import clips_of, cut_clips
from dailytalk_contiguous.publish.items import TOLERANCE
from dailytalk_contiguous.sources.transcribed import at_hand
from dailytalk_contiguous.store.owned_folder import file_name
from dailytalk_contiguous.store.work_folder import read_run

#: The fields of a row's provenance that are read (see `core.documents.expect`).
_PROVENANCE: dict[str, Any] = {
    "tool?": str,
    "voice?": str,
    "settings?": dict,
    "models?": {str: {"name?": str, "licence?": str, "url?": str}},
}

_AGAIN = "build the conversation again"

#: Bytes of a recording at most. Arrow counts the bytes of a column in 31 bits.
LARGEST_BYTES = 1_900_000_000


@dataclass(frozen=True)
class RowOrigin:
    """What `run.json` of a work folder says of all its rows.

    Attributes:
        source: the dataset that the recordings are from, as `NAME@REVISION`, or None.
        source_licence: its licence, or None.
        tag_stages: name and digest of each stage of the first half.
        speak_stages: names of those of the second half; the rows have their digests.
    """

    source: str | None = None
    source_licence: str | None = None
    tag_stages: tuple[tuple[str, str], ...] = ()
    speak_stages: tuple[str, ...] = ()


def origin(folder: Path) -> RowOrigin:
    run = read_run(folder) or {}
    source = run.get("source") or {}
    repository, revision = source.get("repository"), source.get("revision")
    return RowOrigin(
        f"{repository}@{revision}" if repository and revision else repository,
        source.get("licence"),
        tuple((stage["name"], stage["digest"]) for stage in run.get("stages") or ()),
        tuple(stage["name"] for stage in (run.get("speak") or {}).get("stages") or ()),
    )


def row_provenance(row: Mapping[str, Any]) -> dict[str, Any]:
    """Parse the provenance of a finished row. Raises BadInput if it is not JSON, or not of its shape."""
    text = expect(row["provenance"] or "{}", str, "its provenance", _AGAIN)
    record: dict[str, Any] = expect(
        parse_json(text, "its provenance", _AGAIN), _PROVENANCE, "its provenance", _AGAIN
    )
    return record


def provenance(row: Mapping[str, Any], chain: Sequence[str], made_by: RowOrigin) -> dict[str, Any]:
    """Return the provenance of a published row; `chain` are the digests after the stages of the spoken half.

    Models and voices may be named by a folder of this machine, which is private: its last part is published.
    """
    record = row_provenance(row)
    settings, labels = record.get("settings"), row["labels"] or {}
    stages: list[dict[str, Any]] = [{"name": name, "digest": digest} for name, digest in made_by.tag_stages]
    if not labels:  # all stages of clips are in run.json, by both names
        # A record of other stages than the row went through would give their names to the wrong digests.
        names = made_by.speak_stages if len(made_by.speak_stages) == len(chain) else (None,) * len(chain)
        stages += [{"name": name, "digest": digest} for name, digest in zip(names, chain, strict=True)]
    return {
        "source_id": row["recording_id"],
        "source": labels.get("corpus") or made_by.source,
        "source_licence": labels.get("licence") if labels else made_by.source_licence,
        "tool": record.get("tool"),
        "voice": portable(record.get("voice")),
        "models": [
            {
                "role": role,
                "name": portable(model.get("name")),
                "licence": model.get("licence"),
                "url": model.get("url"),
            }
            for role, model in sorted((record.get("models") or {}).items())
        ],
        "stages": stages,
        "settings": None if settings is None else json.dumps(settings, sort_keys=True, ensure_ascii=False),
    }


#: Rows by config, each with the seconds of its audio.
PublishedRows = dict[str, list[tuple[Row, float]]]


def published_rows(
    row: Row, chain: Sequence[str], made_by: RowOrigin, clips: Collection[str], utterances: bool
) -> PublishedRows:
    """Return the rows of a finished conversation by config, each with its seconds.

    Audio of a conversation is copied byte for byte; an utterance is cut from its speaker's channel to the sample.

    Args:
        row: with its audio.
        chain: as in `provenance`.
        clips: ids of the clips of interaction that are published of it.
        utterances: whether it has rows of `utterances`.

    Raises DailytalkError if its audio can't be read or is not stereo at its rate, or an utterance or a clip is
    outside it.
    """
    name, data, rate = row["conversation_id"], row["audio"]["bytes"], row["sample_rate"]
    published = row | {
        "audio": encoded(name, data),
        "audio_sha256": hashlib.sha256(data).hexdigest(),
        "utterances": [_portable(utterance) for utterance in row["utterances"] or ()],
        "provenance": provenance(row, chain, made_by),
    }
    rows: PublishedRows = {"conversations": [(published, row["duration"])]}
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            if (sound.channels, sound.samplerate) != (len(CHANNELS), rate):
                raise _unusable(name, f"it has {sound.channels} channel(s) at {sound.samplerate} Hz")
            pcm: Pcm = sound.read(-1 if utterances or clips else 0, dtype="int16")
    except soundfile.LibsndfileError as error:
        raise _unusable(name, str(error)) from None
    if utterances:
        rows["utterances"] = [*_utterance_rows(published, pcm, rate)]
    if clips:
        try:
            of_row = [clip for clip in clips_of(row)[0] if clip.id in clips]
            rows["interactivity"] = [
                (facts | _sound(clip.id, part, rate), facts["duration"])
                for clip, part, facts in cut_clips(row, of_row, pcm, rate, made_by.source_licence)
            ]
        except BadInput as problem:
            raise _unusable(name, problem.reason) from None
    return rows


def _portable(utterance: Mapping[str, Any]) -> dict[str, Any]:
    synthesis = utterance["synthesis"]
    if synthesis is None:
        return dict(utterance)
    return {**utterance, "synthesis": synthesis | {name: portable(synthesis[name]) for name in ("model", "voice")}}


def _utterance_rows(row: Row, pcm: Pcm, rate: int) -> Iterator[tuple[Row, float]]:
    for utterance in row["utterances"]:
        if utterance["status"] == "dropped":
            continue
        part = _cut(utterance, pcm, rate)
        seconds = len(part) / rate
        published = {
            **utterance,
            **_sound(utterance["utterance_id"], part, rate),
            "conversation_id": row["conversation_id"],
            "recording_id": row["recording_id"],
            "duration": seconds,
            "language": utterance.get("language") or row["language"],
            "words": list(words_of(utterance, row["alignments"] or (), seconds)),
            "labels": row["labels"],
        }
        yield published, seconds


def _cut(fields: Mapping[str, Any], pcm: Pcm, rate: int) -> Pcm:
    start, end, seconds = fields["start"], fields["end"], len(pcm) / rate
    if fields["channel"] not in CHANNELS:
        raise DailytalkError(
            f"the utterance {fields['utterance_id']!r} is of the channel {fields['channel']!r}",
            f"name {' or '.join(CHANNELS)}, or build the conversation again",
        )
    if start is None or end is None or not -TOLERANCE <= start < end <= seconds + TOLERANCE:
        raise DailytalkError(
            f"the utterance {fields['utterance_id']!r} at {start}-{end} s has no length, or is outside the "
            f"{seconds:.3f} s of its conversation",
            "build the conversation again, or run `dailytalk check` on it",
        )
    first = min(max(round(start * rate), 0), len(pcm) - 1)
    return pcm[first : max(round(end * rate), first + 1), CHANNELS.index(fields["channel"])]


def _sound(name: str, pcm: Pcm, rate: int) -> Row:
    file = io.BytesIO()
    soundfile.write(file, pcm, rate, subtype="PCM_16", format="FLAC")
    data = file.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    return {"audio": encoded(name, data), "audio_sha256": digest, "sample_rate": rate}


def words_of(
    fields: Mapping[str, Any], alignments: Sequence[Mapping[str, Any]], seconds: float
) -> Iterator[dict[str, Any]]:
    """Yield the words of an utterance in seconds of its own audio, which has `seconds`.

    These are the words of its speaker whose middle is in it, cut off at its edges.
    """
    for word in alignments:
        middle = (word["start"] + word["end"]) / 2
        if word["speaker"] == fields["channel"] and fields["start"] <= middle <= fields["end"]:
            start, end = (
                min(max(round(word[edge] - fields["start"], 4), 0.0), seconds) for edge in ("start", "end")
            )
            about = {"source": word["source"], "probability": word.get("probability")}
            yield {"word": word["word"], "start": start, "end": end, **about}


def encoded(name: str, data: bytes, ending: str = ".flac") -> dict[str, Any]:
    """Return the value of an audio column: the bytes, and a plain file name made from a row's id."""
    return {"bytes": data, "path": file_name(name) + ending}


def _unusable(name: str, cause: str) -> DailytalkError:
    return DailytalkError(f"the audio of {name!r} can't be used ({cause})", _AGAIN)


class PackedRecording(NamedTuple):
    """A recording that finished conversations were cut from.

    Attributes:
        id: its `recording_id`.
        path: its file. size: bytes. seconds: of its audio.
        fields: the tagged row without its audio.
        parts: `conversation_id`, `offset` and `duration` of the conversations that were tagged in it and finished.
    """

    id: str
    path: Path
    size: int
    seconds: float
    fields: Row
    parts: tuple[dict[str, Any], ...]


def recording_of(name: str, rows: Sequence[Row]) -> PackedRecording:
    """Return the recording of tagged rows that were cut from it.

    It is read from its tagged path, and only if it is still the one that was tagged: published beside
    conversations that were made from another file, it would be a false source. Raises DailytalkError if it is
    gone, not the one that was tagged, or too large for Parquet.
    """
    first, *others = rows
    try:
        for other in others:
            if other["audio_identity"] != first["audio_identity"]:
                raise BadInput("its parts were tagged in different versions of it", "run dailytalk tag again")
        located = at_hand(first, None)
        path = from_uri(located["audio"]["path"])
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise BadInput(
                f"it has {size / 1e9:.2f} GB, and a row of Parquet can hold {LARGEST_BYTES / 1e9:.1f}",
                "convert it to FLAC and run dailytalk tag again, or push without --include-source",
            )
        seconds = read_header(located["audio"]).seconds
    except BadInput as error:
        raise DailytalkError(
            f"the recording {first['audio_file']!r} can't be published ({error.reason})", error.remedy
        ) from None
    parts = sorted(rows, key=lambda row: (row["offset"], row["conversation_id"]))
    of_parts = tuple({part: row[part] for part in ("conversation_id", "offset", "duration")} for row in parts)
    return PackedRecording(name, path, size, seconds, first, of_parts)


def recording_row(recording: PackedRecording, made_by: RowOrigin) -> Row:
    """Return the row of config `source`. Raises DailytalkError if the recording has changed."""
    data = recording.path.read_bytes()
    if len(data) != recording.size:
        raise DailytalkError(f"the recording {recording.fields['audio_file']!r} changed just now", "push again")
    return {
        "recording_id": recording.id,
        "audio": encoded(recording.id, data, PurePosixPath(recording.fields["audio_file"]).suffix.lower()),
        "audio_sha256": hashlib.sha256(data).hexdigest(),
        "audio_file": recording.fields["audio_file"],
        "sample_rate": recording.fields["sample_rate"],
        "channels": recording.fields["channels"],
        "conversations": list(recording.parts),
        "source": made_by.source,
        "source_licence": made_by.source_licence,
    }
