"""The rows of each published config, made from finished conversations one at a time.

Audio of a whole conversation is passed on byte for byte; an utterance is cut from its speaker's channel to the
sample. A file's name inside the audio column is a plain one, made from the row's id.
"""

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import soundfile

from dailytalk_contiguous.core.audio import Pcm
from dailytalk_contiguous.core.built import BUILT, UTTERANCE
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.files.owned_folder import file_name
from dailytalk_contiguous.publish.packing.indexing import Finished, read_row
from dailytalk_contiguous.publish.packing.provenance import Origin, provenance, utterance
from dailytalk_contiguous.publish.rows import Row

#: Seconds by which an end may lie outside the audio: half a millisecond of rounding in a transcript.
TOLERANCE = 0.001


def conversation_rows(one: Finished, known: Origin) -> Iterator[tuple[Row, float]]:
    """The row of config `conversations`, with its seconds.

    Raises DailytalkError if it can't be read any more, or its audio is not the stereo that the column declares.
    """
    row = read_row(one)
    _check_header(one.id, row)
    row = {name: row[name] for name in BUILT} | {
        "audio": encoded(one.id, row["audio"]["bytes"]),
        "audio_sha256": hashlib.sha256(row["audio"]["bytes"]).hexdigest(),
        "utterances": [utterance(told) for told in row["utterances"] or ()],
        "provenance": provenance(row, one, known),
    }
    yield row, row["duration"]


def utterance_rows(one: Finished, known: Origin) -> Iterator[tuple[Row, float]]:
    """The rows of config `utterances` of a conversation, in its order, each with its seconds.

    Raises DailytalkError if its audio can't be decoded or is no stereo, or an utterance lies outside it.
    """
    row = read_row(one)
    pcm, rate = _decoded(one.id, row["audio"]["bytes"])
    for told in row["utterances"] or ():
        if told["status"] == "dropped":
            continue
        part = _cut(told, pcm, rate)
        data = _flac(part, rate)
        seconds = len(part) / rate
        own = utterance(told)
        yield (
            {name: own.get(name) for name in UTTERANCE}
            | {
                "conversation_id": one.id,
                "recording_id": one.recording_id,
                "audio": encoded(told["utterance_id"], data),
                "audio_sha256": hashlib.sha256(data).hexdigest(),
                "sample_rate": rate,
                "duration": seconds,
                "language": own.get("language") or row["language"],
                "words": list(words_of(told, row["alignments"] or (), seconds)),
            },
            seconds,
        )


#: How a finished conversation becomes rows of a config.
OF_CONVERSATIONS: Mapping[str, Callable[[Finished, Origin], Iterator[tuple[Row, float]]]] = {
    "conversations": conversation_rows,
    "utterances": utterance_rows,
}


def words_of(
    told: Mapping[str, Any], alignments: Sequence[Mapping[str, Any]], seconds: float
) -> Iterator[dict[str, Any]]:
    """The words of an utterance in seconds of its own audio, which has `seconds`.

    Those of its speaker whose middle lies in it. What reaches over an edge is cut off there.
    """
    for word in alignments:
        middle = (word["start"] + word["end"]) / 2
        if word["speaker"] == told["channel"] and told["start"] <= middle <= told["end"]:
            start, end = (
                min(max(round(word[edge] - told["start"], 4), 0.0), seconds) for edge in ("start", "end")
            )
            about = {"source": word["source"], "probability": word.get("probability")}
            yield {"word": word["word"], "start": start, "end": end, **about}


def encoded(name: str, data: bytes, ending: str = ".flac") -> dict[str, Any]:
    """An audio column's value: the bytes, and a plain file name made from a row's id."""
    return {"bytes": data, "path": file_name(name) + ending}


def _decoded(name: str, data: bytes) -> tuple[Pcm, int]:
    try:
        pcm, rate = soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise _unusable(name, str(error)) from None
    if pcm.shape[1] != len(CHANNELS):
        raise _unusable(name, f"it has {pcm.shape[1]} channel(s)")
    return pcm, rate


def _check_header(name: str, row: Row) -> None:
    try:
        told = soundfile.info(io.BytesIO(row["audio"]["bytes"]))
    except soundfile.LibsndfileError as error:
        raise _unusable(name, str(error)) from None
    if (told.channels, told.samplerate) != (len(CHANNELS), row["sample_rate"]):
        raise _unusable(name, f"it has {told.channels} channel(s) at {told.samplerate} Hz")


def _unusable(name: str, cause: str) -> DailytalkError:
    return DailytalkError(f"the audio of {name!r} can't be used ({cause})", "build the conversation again")


def _cut(told: Mapping[str, Any], pcm: Pcm, rate: int) -> Pcm:
    start, end, seconds = told["start"], told["end"], len(pcm) / rate
    if told["channel"] not in CHANNELS:
        raise DailytalkError(
            f"the utterance {told['utterance_id']!r} is of the channel {told['channel']!r}",
            f"name {' or '.join(CHANNELS)}, or build the conversation again",
        )
    if start is None or end is None or not -TOLERANCE <= start < end <= seconds + TOLERANCE:
        raise DailytalkError(
            f"the utterance {told['utterance_id']!r} at {start}-{end} s has no length, or lies outside the "
            f"{seconds:.3f} s of its conversation",
            "build the conversation again, or run `dailytalk check` on it",
        )
    first = min(max(round(start * rate), 0), len(pcm) - 1)
    return pcm[first : max(round(end * rate), first + 1), CHANNELS.index(told["channel"])]


def _flac(pcm: Pcm, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, pcm, rate, subtype="PCM_16", format="FLAC")
    return file.getvalue()
