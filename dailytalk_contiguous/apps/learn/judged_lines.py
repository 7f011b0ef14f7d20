"""The lines of recordings whose emotion is judged, each with its sound and, if it is known, who says it.

A line is an utterance that speech activity detection finds in a recording, or a clip of `dailytalk corpus`. Sounds
are kept in a temporary file, since the lines of a speaker may come from any number of recordings.
"""

import contextlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import soundfile

from dailytalk_contiguous.apps.learn.emotion_examples import Sounds, utterance_sound
from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.rows import from_row
from dailytalk_contiguous.core.records.schema import CHANNELS, MIX, Row
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples, pcm_to_float
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.machine.audio import read_header
from dailytalk_contiguous.models.emotion_folder import why_unheard
from dailytalk_contiguous.publish.items import ItemSound, clip_shards
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.people import People, people_of
from dailytalk_contiguous.sources.recordings.recording_files import LeftOut
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.store.work_folder import CLIPS, MEASURED

#: The stage that rejects name for a recording that can't be used.
LISTEN = "listen"

#: What to do about a clip that can't be read.
_CORPUS_AGAIN = "run dailytalk corpus again"

#: Columns of a clip that are read: without one of them, a damaged row has no `problem`.
_OF_CLIPS = (
    "conversation_id",
    "duration",
    "source_duration",
    "utterances",
    "alignments",
    "sounds",
    "labels",
    "audio",
)


class JudgedLine(NamedTuple):
    """A line of a recording.

    Attributes:
        id: of the utterance.
        conversation: the part of the recording (`sources.folder.folder_rows`) that it is in.
        channel: `left`, `right`, or `mix` in a recording of one voice.
        start: in seconds of the recording.
        end: in seconds of the recording.
        sound: the number of its sound in `Sounds`.
    """

    id: str
    conversation: str
    channel: str
    start: float
    end: float
    sound: int


@dataclass(frozen=True)
class JudgedRecording:
    """The lines of a recording or a clip.

    Attributes:
        id: of the recording.
        name: its path under the input, or its id.
        seconds: its length.
        lines: in order of time.
        people: who speaks, by channel, where that is known.
    """

    id: str
    name: str
    seconds: float
    lines: Sequence[JudgedLine]
    people: Mapping[str, str] = field(default_factory=dict)


class LineReader:
    """Reads the lines of recordings and of clips.

    Attributes:
        sounds: of all lines that were read.
        recordings: that were read.
        rejects: what can't be read, or is no recording.
        left_out: files that are passed over.
    """

    def __init__(self) -> None:
        self.sounds = Sounds()
        self.recordings: list[JudgedRecording] = []
        self.rejects: list[Reject] = []
        self.left_out = LeftOut()
        self._names: set[tuple[str, str]] = set()  # ids and names of recordings, rejected ones included

    def read(self, inputs: Iterable[str]) -> None:
        """Read recordings, folders of them, and folders of `dailytalk corpus`.

        Raises DailytalkError for an input that does not exist, and for a corpus that is not finished.
        """
        searched: list[str] = []
        for name in inputs:
            folder = Path(name)
            if clip_shards(folder / CLIPS) or clip_shards(folder / MEASURED):
                try:
                    self._read_clips(folder)
                except BadInput as problem:  # a shard is damaged: clips before it are heard
                    self.rejects.append(Reject(name, LISTEN, problem.reason, problem.remedy))
            else:
                searched.append(name)
        if searched:
            self._read_recordings(searched)

    def read_rows(self, rows: Sequence[Row]) -> None:
        """Read a recording, whose parts are rows as of `sources.folder.folder_rows`.

        Two channels that differ are two speakers, anything else is one voice.
        """
        first = rows[0]
        last = rows[-1]
        recording_id = first["recording_id"]
        name = first.get("audio_file") or recording_id
        self._names.add((recording_id, name))
        try:
            lines = [line for row in rows for line in self._lines(row)]
        except BadInput as problem:
            self.rejects.append(Reject(recording_id, LISTEN, problem.reason, problem.remedy))
            return
        seconds = last["offset"] + last["duration"]
        self.recordings.append(JudgedRecording(recording_id, name, seconds, lines))

    def name_people(self, table: People) -> list[str]:
        """Name who speaks by a table. Returns its names that are no recording that was read.

        A recording of one voice has the person of its left or right channel, whichever the table names. Raises
        DailytalkError if the table names no recording.
        """
        named, unmatched_names = people_of(table, self._names)
        for number, recording in enumerate(self.recordings):
            people = dict(recording.people)
            for channel in CHANNELS:
                person = named.get((recording.id, channel))
                if person is not None:
                    people[channel] = person.speaker
            of_sides = {people[channel] for channel in CHANNELS if channel in people}
            if len(of_sides) == 1:
                (people[MIX],) = of_sides
            self.recordings[number] = replace(recording, people=people)
        return unmatched_names

    def _read_recordings(self, inputs: Sequence[str]) -> None:
        config = FolderConfig(inputs=tuple(inputs), channel="any", given=False)
        rows_of: dict[str, list[Row]] = {}
        for row in folder_rows(config, self.left_out):
            if row["problem"]:
                self._names.add((row["recording_id"], row["audio_file"]))
                self.rejects.append(Reject(row["recording_id"], LISTEN, row["problem"], row["remedy"]))
            else:
                rows_of.setdefault(row["recording_id"], []).append(row)
        for rows in steps("recordings read", rows_of.values(), len(rows_of)):
            interrupts.check_interrupt()
            self.read_rows(rows)

    def _lines(self, row: Row) -> Iterator[JudgedLine]:
        """The lines of a part of a recording."""
        segments = None
        if read_header(row["audio"]).channels == 2:
            with contextlib.suppress(BadInput):  # the same sound on both
                segments = Segment().of_talk(from_row(row))
        segments = segments or Segment(channel=MIX).of_talk(from_row(row))
        for utterance in segments.utterances:
            self.sounds.append(pcm_to_float(utterance.speech))
            yield JudgedLine(
                utterance.utterance_id,
                row["conversation_id"],
                utterance.channel,
                start=row["offset"] + utterance.start,
                end=row["offset"] + utterance.end,
                sound=len(self.sounds) - 1,
            )

    def _read_clips(self, folder: Path) -> None:
        for row in open_items(folder, finished=True).rows(_OF_CLIPS):
            interrupts.check_interrupt()
            name = row["conversation_id"]
            self._names.add((name, name))
            problem = row["problem"]
            remedy = row["remedy"]
            if not problem:
                try:
                    self.recordings.append(self._clip(row))
                except (BadInput, OSError) as error:
                    problem = error.reason if isinstance(error, BadInput) else "its sound can't be read"
                    remedy = _CORPUS_AGAIN
            if problem:
                self.rejects.append(Reject(name, LISTEN, problem, remedy))

    def _clip(self, row: Row) -> JudgedRecording:
        """A clip, whose line is its utterance; without sound it has none. Raises BadInput, OSError."""
        talk = from_finished(row)
        (utterance,) = talk.utterances
        lines: list[JudgedLine] = []
        span = utterance.new_span
        if span is not None:
            samples = utterance_sound(ItemSound(row["audio"]), utterance)
            if not why_unheard(samples):
                self.sounds.append(samples)
                lines.append(
                    JudgedLine(utterance.utterance_id, talk.conversation_id, MIX, *span, len(self.sounds) - 1)
                )
        people = {MIX: utterance.speaker} if utterance.speaker else {}
        return JudgedRecording(talk.conversation_id, talk.conversation_id, talk.built_duration, lines, people)


def row_of(name: str, samples: Samples) -> Row:
    """16 kHz mono samples in [-1, 1], shape (n,), as a row for `LineReader.read_rows`."""
    data = io.BytesIO()
    soundfile.write(data, samples, ANALYSIS_RATE, "FLOAT", format="WAV")
    seconds = len(samples) / ANALYSIS_RATE
    audio = {"bytes": data.getvalue(), "path": None}
    return {"recording_id": name, "conversation_id": name, "audio": audio, "offset": 0.0, "duration": seconds}
