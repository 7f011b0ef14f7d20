"""The transcripts of CANDOR: `transcript_audiophile.csv` and its siblings, with `channel_map.json`.

The corpus has a folder a conversation: the sound in `processed`, named like the folder, with the map of channels,
and three divisions of the same words into turns in `transcription`.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from dailytalk_contiguous.core.documents import csv_lines, printable_path
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.machine.read_documents import read_json
from dailytalk_contiguous.sources.formats.records import TranscriptRecord
from dailytalk_contiguous.sources.formats.text_files import broken, number_of_field, read_text

#: The transcripts of a conversation, the one whose turns are nearest to speech first: `audiophile` begins a turn
#: wherever the other one speaks, `cliffhanger` and `backbiter` join them to sentences.
CANDOR_TRANSCRIPTS = ("transcript_audiophile.csv", "transcript_backbiter.csv", "transcript_cliffhanger.csv")

CHANNEL_MAP = "channel_map.json"

_PROCESSED = "processed"
_TRANSCRIPTION = "transcription"

_REMEDY = "copy it again from the corpus"

#: Columns of an utterance, and of what the other one says meanwhile, which `backbiter` has apart.
_COLUMNS = ("speaker", "start", "stop", "utterance")
_BACKCHANNEL = ("backchannel_speaker", "backchannel_start", "backchannel_stop", "backchannel")


def candor_transcript(recording: Path) -> Path | None:
    """Return the transcript of a conversation of CANDOR, in its folder or as in the corpus; None for others."""
    folders = []
    conversation = recording.parent.parent
    if recording.parent.name == _PROCESSED and recording.stem == conversation.name:
        folders = [conversation / _TRANSCRIPTION, conversation]
    elif (recording.parent / CHANNEL_MAP).is_file() and recording.parent.name != _PROCESSED:
        folders = [recording.parent]
    for folder in folders:
        for name in CANDOR_TRANSCRIPTS:
            path = folder / name
            if path.is_file():
                return path
    return None


def channel_map_of(transcript: Path) -> Path | None:
    """Return the map of channels that belongs to a transcript; None if there is none."""
    for folder in (transcript.parent, transcript.parent.parent / _PROCESSED):
        path = folder / CHANNEL_MAP
        if path.is_file():
            return path
    return None


def candor_records(path: Path) -> Iterator[TranscriptRecord]:
    """Yield the turns of a transcript of CANDOR, each with the side that the map gives its speaker.

    Raises BadInput.
    """
    text = read_text(path)
    try:
        lines = csv_lines(text, f"transcript {printable_path(path)}", _COLUMNS, _REMEDY)
    except DailytalkError as error:
        raise BadInput(error.reason, error.remedy) from None
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise broken(path, f"row {number} has {len(row)} fields, not {len(rows[0])}", _REMEDY)
    sides = _sides_of(path)
    for number, line in enumerate(lines, 2):
        for columns in (_COLUMNS, _BACKCHANNEL):
            speaker, start, end, words = [(line.get(column) or "").strip() for column in columns]
            if not words:
                continue
            if sides and speaker not in sides:
                raise broken(path, f"row {number} has a speaker whom {CHANNEL_MAP} lacks", _REMEDY)
            yield (
                f"row {number}",
                {
                    "channel": sides.get(speaker),
                    "speaker": speaker,
                    "start": number_of_field(start),
                    "end": number_of_field(end),
                    "text": words,
                },
            )


def _sides_of(transcript: Path) -> dict[str, str]:
    """Return the side of each speaker; empty where there is no map, so that the sound decides."""
    path = channel_map_of(transcript)
    if path is None:
        return {}
    users = read_json(path, _REMEDY)
    letters = ("L", "R")
    is_map = isinstance(users, dict) and all(isinstance(users.get(letter), str) for letter in letters)
    if not is_map or users["L"] == users["R"]:
        raise broken(path, 'is no map of channels ({"L": speaker, "R": speaker})', _REMEDY)
    return {users[letter]: side for letter, side in zip(letters, CHANNELS, strict=True)}
