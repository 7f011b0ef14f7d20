"""The rows of a version: what is published of a finished conversation, of its recording, and of how it was
made."""

import hashlib
import io
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import soundfile

from dailytalk_contiguous.core.audio import Pcm, from_uri, read_header
from dailytalk_contiguous.core.documents import expect, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import CHANNELS, Row
from dailytalk_contiguous.core.wording import portable
from dailytalk_contiguous.publish.items import TOLERANCE
from dailytalk_contiguous.store.owned_folder import file_name

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


def recorded_from(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dataset of the recordings of a work folder (`NAME@REVISION`), and its licence, or None."""
    source = run.get("source") or {}
    repository, revision = source.get("repository"), source.get("revision")
    name = f"{repository}@{revision}" if repository and revision else repository
    return {"source": name, "source_licence": source.get("licence")}


def row_provenance(row: Mapping[str, Any]) -> dict[str, Any]:
    """Parse the provenance of a finished row. Raises BadInput if it is not JSON, or not of its shape."""
    record = parse_json(row["provenance"] or "{}", "its provenance", _AGAIN)
    return dict(expect(record, _PROVENANCE, "its provenance", _AGAIN))


def provenance(row: Mapping[str, Any], chain: Sequence[str], run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the provenance of a published row.

    Models and voices may be named by a folder of this machine, which is private: its last part is published.

    Args:
        chain: the digests after the stages of the spoken half.
        run: run.json of the work folder, which names the stages.
    """
    record = row_provenance(row)
    settings, labels = record.get("settings"), row["labels"]
    stages = [{name: stage[name] for name in ("name", "digest")} for stage in run.get("stages") or ()]
    origin = recorded_from(run)
    if labels:  # all stages of clips are in run.json, by both names
        origin = {"source": labels.get("corpus") or origin["source"], "source_licence": labels.get("licence")}
    else:
        names = [stage["name"] for stage in (run.get("speak") or {}).get("stages") or ()]
        # A record of other stages than the row went through would give their names to the wrong digests.
        names = names if len(names) == len(chain) else [None] * len(chain)
        stages += [{"name": name, "digest": digest} for name, digest in zip(names, chain, strict=True)]
    return {
        "source_id": row["recording_id"],
        **origin,
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
    row: Row, chain: Sequence[str], run: Mapping[str, Any], clips: Collection[str], utterances: bool
) -> PublishedRows:
    """Return the rows of a finished conversation by config, each with its seconds.

    Audio of a conversation is copied byte for byte; an utterance is cut from its speaker's channel to the sample.

    Args:
        row: with its audio.
        chain, run: as in `provenance`.
        clips: ids of the clips of interaction that are published of it.
        utterances: whether it has rows of `utterances`.

    Raises DailytalkError if its audio can't be read or is not stereo at its rate, or an utterance or a clip is
    outside it.
    """
    name, data, rate = row["conversation_id"], row["audio"]["bytes"], row["sample_rate"]
    published = row | _sound(name, data) | {"provenance": provenance(row, chain, run)}
    published["utterances"] = [
        utterance
        if (synthesis := utterance["synthesis"]) is None
        else utterance | {"synthesis": synthesis | {key: portable(synthesis[key]) for key in ("model", "voice")}}
        for utterance in row["utterances"] or ()
    ]
    rows: PublishedRows = {"conversations": [(published, row["duration"])]}
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            if (sound.channels, sound.samplerate) != (len(CHANNELS), rate):
                raise BadInput(f"it has {sound.channels} channel(s) at {sound.samplerate} Hz", _AGAIN)
            pcm: Pcm = sound.read(-1 if utterances or clips else 0, dtype="int16")
        if utterances:
            rows["utterances"] = [*_utterance_rows(published, pcm, rate)]
        if clips:
            from dailytalk_contiguous.publish.interactivity import clips_of, cut_clips  # here: it loads exports

            of_row = [clip for clip in clips_of(row)[0] if clip.id in clips]
            rows["interactivity"] = [
                (facts | _sound(clip.id, _flac(part, rate)) | {"sample_rate": rate}, facts["duration"])
                for clip, part, facts in cut_clips(row, of_row, pcm, rate, recorded_from(run)["source_licence"])
            ]
    except (soundfile.LibsndfileError, BadInput) as problem:
        reason = problem.reason if isinstance(problem, BadInput) else str(problem)
        raise DailytalkError(f"the audio of {name!r} can't be used ({reason})", _AGAIN) from None
    return rows


def _utterance_rows(row: Row, pcm: Pcm, rate: int) -> Iterator[tuple[Row, float]]:
    for utterance in row["utterances"]:
        if utterance["status"] == "dropped":
            continue
        start, end, seconds = utterance["start"], utterance["end"], len(pcm) / rate
        if not -TOLERANCE <= start < end <= seconds + TOLERANCE:
            raise BadInput(
                f"the utterance {utterance['utterance_id']!r} at {start}-{end} s has no length, or is outside its "
                f"{seconds:.3f} s",
                _AGAIN,
            )
        first = min(max(round(start * rate), 0), len(pcm) - 1)
        part = pcm[first : max(round(end * rate), first + 1), CHANNELS.index(utterance["channel"])]
        length = len(part) / rate
        published = {
            **utterance,
            **_sound(utterance["utterance_id"], _flac(part, rate)),
            "sample_rate": rate,
            "conversation_id": row["conversation_id"],
            "recording_id": row["recording_id"],
            "duration": length,
            "language": utterance.get("language") or row["language"],
            "words": [*words_of(utterance, row["alignments"] or (), length)],
            "labels": row["labels"],
        }
        yield published, length


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


def _flac(pcm: Pcm, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, pcm, rate, subtype="PCM_16", format="FLAC")
    return file.getvalue()


def _sound(name: str, data: bytes, ending: str = ".flac") -> Row:
    """The columns of encoded audio, with a plain file name made from a row's id."""
    audio = {"bytes": data, "path": file_name(name) + ending}
    return {"audio": audio, "audio_sha256": hashlib.sha256(data).hexdigest()}


def recording_row(parts: Sequence[Row], run: Mapping[str, Any]) -> tuple[Row, float]:
    """Return the row of config `source` of a recording, and the seconds of its audio.

    It is read from its tagged path, and only if it is still the one that was tagged: published beside
    conversations that were made from another file, it would be a false source.

    Args:
        parts: the tagged rows of the conversations that were cut from it and finished.
        run: run.json of the work folder.

    Raises DailytalkError if it is gone, not the one that was tagged, or too large for Parquet.
    """
    from dailytalk_contiguous.sources.transcribed import at_hand  # here: it loads the stages that tag

    first = parts[0]
    try:
        if any(part["audio_identity"] != first["audio_identity"] for part in parts):
            raise BadInput("its parts were tagged in different versions of it", "run dailytalk tag again")
        audio = at_hand(first, None)["audio"]
        path = from_uri(audio["path"])
        if (size := path.stat().st_size) > LARGEST_BYTES:
            raise BadInput(
                f"it has {size / 1e9:.2f} GB, and a row of Parquet can hold {LARGEST_BYTES / 1e9:.1f}",
                "convert it to FLAC and run dailytalk tag again, or push without --include-source",
            )
        seconds = read_header(audio).seconds
    except BadInput as error:
        raise DailytalkError(
            f"the recording {first['audio_file']!r} can't be published ({error.reason})", error.remedy
        ) from None
    ordered = sorted(parts, key=lambda part: (part["offset"], part["conversation_id"]))
    row = {
        "recording_id": first["recording_id"],
        **_sound(first["recording_id"], path.read_bytes(), PurePosixPath(first["audio_file"]).suffix.lower()),
        **{name: first[name] for name in ("audio_file", "sample_rate", "channels")},
        "conversations": [
            {name: part[name] for name in ("conversation_id", "offset", "duration")} for part in ordered
        ],
        **recorded_from(run),
    }
    return row, seconds
