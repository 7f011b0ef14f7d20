"""The parts of an export: its `ExportFormat`, its settings, and its items and entries for each row.

`publish.exports.writing` writes it, and `publish.exports.formats` is the table of the formats.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.records.finding import Checked
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import CHANNELS, Row
from dailytalk_contiguous.core.records.seen import SeenConversation, seen_result
from dailytalk_contiguous.core.records.tables import TableMaker
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.sound.samples import HIGHEST_RATE, LOWEST_RATE, Pcm
from dailytalk_contiguous.core.style.tags import tags_among
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.core.words.word import Span
from dailytalk_contiguous.machine.audio import read_header, read_pcm
from dailytalk_contiguous.machine.sound_columns import MOST_PCM_BYTES
from dailytalk_contiguous.publish.checks.findings import TOLERANCE
from dailytalk_contiguous.publish.exports.splits import DivisionSettings, SplitVoice
from dailytalk_contiguous.stages.base import SAMPLE_RATE
from dailytalk_contiguous.stages.transcribe import FILLERS, KEEP
from dailytalk_contiguous.store.files import json_text
from dailytalk_contiguous.store.owned_folder import OwnedFolder

#: The sides of a format of which a part evaluates.
TWO_LISTS = ("train", "eval")


@dataclass(frozen=True)
class ExportSettings(DivisionSettings):
    """The options of `dailytalk export` that several formats take; a format adds fields in a class of its own."""

    sample_rate: int | None = setting(
        None, SAMPLE_RATE.about, panel="result", metavar="HZ",
        least=LOWEST_RATE, most=HIGHEST_RATE, shown="the trainer's",
    )  # fmt: skip
    main: str = setting(CHANNELS[0], "Whose side is Moshi's: {choices}.", panel="result", choices=CHANNELS)
    fillers: str = setting(KEEP, FILLERS)
    dataset: str | None = unlisted(None)  # the name of the source, for formats with a column of it

    @property
    def is_right_main(self) -> bool:
        """Whether the right speaker is the main one, Moshi's."""
        return self.main == CHANNELS[1]


BUILD_AGAIN = "build the conversation again"

#: A text file, whole or by its lines.
FileText = str | Iterable[str]


class FileEntry(NamedTuple):
    """The entry of a file in the lists, and its seconds."""

    line: Any
    seconds: float


Lists = Mapping[str, list[FileEntry]]


@dataclass
class Export:
    """An export, while it is written and once it is.

    Attributes:
        format: its format.
        target: the folder.
        settings: the settings of the format.
        sample_rate: Hz of its sound.
        prepared: the value that `prepare` of the format returned.
        facts: facts for the outcome, besides the files.
        notes: the same in words.
        left_out: how many parts of the rows are not in it, by reason.
        about: facts of each id for `finish`.
        maker: a maker of the tables of the rows that a trainer learns from.
        entries: the entries of the lists, by the id of their row.
        voices: the facts that decide the side of each row with an entry.
        rejects: the rows that can't be written.
        provenances: the provenances of the rows, with their numbers.
        n_fillers: how many fillers were left out.
        side: the side of each id.
        files: how many entries each side has.
        disjoint: whether no known speaker is on two sides.
    """

    format: "ExportFormat"
    target: OwnedFolder
    settings: Any
    sample_rate: int
    prepared: Any = None
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    about: dict[str, Any] = field(default_factory=dict)
    maker: TableMaker = field(default_factory=TableMaker)
    entries: dict[str, list[FileEntry]] = field(default_factory=dict)
    voices: list[SplitVoice] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    provenances: Counter[str] = field(default_factory=Counter)
    n_fillers: int = 0
    side: Mapping[str, str] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    disjoint: bool = True

    @property
    def is_checked(self) -> bool:
        """Whether `dailytalk check` judges the folder."""
        return self.format.check is not None

    def write_sound(self, name: str, pcm: Pcm) -> None:
        """Write samples of shape (n,) or (n, channels) as `name`.wav."""
        self.target.write_wav(f"{name}.wav", pcm, self.sample_rate)


class SeenTalk(NamedTuple):
    """A finished conversation as a trainer sees it, and its samples.

    Attributes:
        talk: the conversation as the trainer sees it.
        pcm: int16 samples of shape (n, 2), the main speaker first.
        split_groups: the people who are heard, or the recording where one of them is unknown; conversations that
            share one are on one side of a division.
        row: its row.
    """

    talk: SeenConversation
    pcm: Pcm
    split_groups: tuple[str, ...]
    row: Row

    def sound(self, span: Span, side: str) -> Pcm:
        """Return the samples of a side in a span of seconds, shape (n,)."""
        first = round(span.start * self.talk.sample_rate)
        last = round(span.end * self.talk.sample_rate)
        return self.pcm[first:last, CHANNELS.index(side)]


def seen_talk(row: Row, export: Export) -> SeenTalk:
    """Open the conversation of a row for the trainer of an export. Raises BadInput as `seen_row` does."""
    return seen_row(row, export.sample_rate, export.settings.main or CHANNELS[0])


def seen_row(row: Row, sample_rate: int, main: str = CHANNELS[0]) -> SeenTalk:
    """Open the conversation of a row, at a rate in Hz, for a trainer of the speaker on the side `main`.

    Raises BadInput if the audio is not stereo, is too long or can't be read, or if a word or an utterance has no
    length or is outside it.
    """
    audio = row["audio"]
    header = read_header(audio)
    hours = header.seconds / 3600
    most = MOST_PCM_BYTES / (4 * sample_rate) / 3600
    if header.channels != 2 or not LOWEST_RATE <= header.sample_rate <= HIGHEST_RATE or hours > most:
        raise BadInput(
            f"its audio has {counted(header.channels, 'channel')}, {header.sample_rate} Hz and {hours:.1f} h, "
            f"not 2, {LOWEST_RATE} to {HIGHEST_RATE} Hz and at most {most:.1f} h",
            "build it again (if it is too long, with a shorter --max-conversation)",
        )
    pcm = read_pcm(audio, sample_rate=sample_rate)
    if main == CHANNELS[1]:
        pcm = np.ascontiguousarray(pcm[:, ::-1])
    finished = from_finished(row)
    talk = seen_result(finished, sample_rate, main)
    talk.duration = len(pcm) / sample_rate
    words = []
    for word in talk.alignments:
        text = word.word.strip()
        if not text:
            raise BadInput(f"the word at {word.start:.3f} s has no text", BUILD_AGAIN)
        end = _end_inside(word.span, word.word, talk.duration)
        words.append(word.spelled(text).moved_to(word.start, end))
    talk.alignments = words
    for utterance in talk.utterances:
        utterance.end = _end_inside(utterance.span, utterance.text, talk.duration)
    recording = f"recording\0{talk.recording_id}"
    split_groups = tuple(name or recording for name in finished.kept_speakers)
    return SeenTalk(talk, pcm, split_groups, row)


def _end_inside(span: Span, text: str, seconds: float) -> float:
    """Return the end of a word or an utterance in sound of `seconds`.

    Raises BadInput for one that is no part of it.
    """
    if not 0 <= span.start < min(span.end, seconds) or span.end > seconds + TOLERANCE:
        raise BadInput(
            f"{quoted(text)} at {span.start:.3f}..{span.end:.3f} s is empty or outside the audio", BUILD_AGAIN
        )
    return min(span.end, seconds)


def refuse_tags(words: Iterable[str], talk: SeenConversation) -> None:
    """Raise BadInput where a style tag is among words that are trained on."""
    tags = tags_among([*words], {utterance.finished.said_tag or "" for utterance in talk.utterances})
    if tags:
        raise BadInput(f"the style tag {tags[0]} is among its words", "align the text without tags")


def refuse_mute(talk: SeenConversation) -> None:
    """Raise BadInput where no utterance has a text, or a style tag is among the words."""
    if not any(utterance.text.strip() for utterance in talk.utterances):
        raise BadInput("nobody says a word", "check its transcript")
    refuse_tags((word.word for word in talk.alignments), talk)


def json_lists(**names: str) -> Callable[[Export, Lists], Mapping[str, FileText]]:
    """Return a `finish` that writes the entries of each side into a file of its name, a JSON a line."""

    def finish(export: Export, lists: Lists) -> dict[str, FileText]:
        texts: dict[str, FileText] = {}
        for side, entries in lists.items():
            texts[names[side]] = [json_text(entry.line) for entry in entries]
        return texts

    return finish


@dataclass(frozen=True)
class ExportFormat:
    """The layout of a folder that a trainer or a tool reads.

    Attributes:
        name: its name in `--format`.
        reader: the trainer or tool.
        holds: the parts of a row that it holds, and where.
        loses: the parts that are left out.
        checked: the code that reads it back in the tests.
        write: writes the files of an item, and yields the entries of the lists. Raises BadInput before it writes.
        open: makes the item of a row; items that share one of their `split_groups` are on one side of the
            division. Raises BadInput for a row that it can't write.
        finish: returns the texts of the lists, by their names, once all is written and divided.
        manifests: names that mark the folder as complete.
        sides: the sides of the division.
        settings: an `ExportSettings` with the defaults, of a class that adds the settings that only it has.
        options: the options of `ExportSettings` that it takes besides `sample_rate`, `fillers` and, with two
            sides, those of `DivisionSettings`.
        sample_rate: Hz that its reader works at.
        is_only_rate: whether its reader would not resample any other rate.
        noun: the name of a row.
        unit: the name of an entry.
        source: returns the rows of a folder that only this format reads; None for any other folder.
        recognises: whether a folder is one of this format, or may be, whoever wrote it.
        check: returns findings on a folder for its trainer, with `FindingLimits`; None where nobody edits the
            files of this export.
        prepare: reads the files that settings name. Raises DailytalkError for settings that it can't use.
    """

    name: str
    reader: str
    holds: str
    loses: str
    checked: str
    write: Callable[[Export, Any], Iterable[FileEntry]]
    open: Callable[[Row, Export], Any] = seen_talk
    finish: Callable[[Export, Lists], Mapping[str, FileText]] = lambda export, lists: {}
    manifests: tuple[str, ...] = ()
    sides: tuple[str, ...] = ("train",)
    settings: ExportSettings = ExportSettings()
    options: frozenset[str] = frozenset({"main"})
    sample_rate: int = 24000
    is_only_rate: bool = False
    noun: str = "conversation"
    unit: str = "conversation"
    source: Callable[[Path], Iterator[Row] | None] = lambda folder: None
    recognises: Callable[[Path], bool] = lambda folder: False
    check: Callable[..., Checked] | None = None
    prepare: Callable[[Path, Any], Any] = lambda out, settings: None
