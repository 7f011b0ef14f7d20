"""The writer of every export: rows in, each read once, a folder in the layout of a trainer or a tool out.

An `ExportFormat` decides which parts of a row go where. The rest is common to all exports and is here: the folder
and the files it owns, rejects, ids that occur twice, the division into training and evaluation, and options that a
format does not take. `publish.exports.formats` is the table of the formats.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np

from dailytalk_contiguous.core.documents import quoted, typed
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.finding import Checked, FindingLimits
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import CHANNELS, Row, kept_speakers, parent_of, provenance_of_row
from dailytalk_contiguous.core.records.tables import TableMaker
from dailytalk_contiguous.core.settings import SEED, check_values, setting, settings_in, unlisted
from dailytalk_contiguous.core.sound.samples import HIGHEST_RATE, LOWEST_RATE, Pcm
from dailytalk_contiguous.core.style.tags import tags_among
from dailytalk_contiguous.core.wording import counted, length_text, portable
from dailytalk_contiguous.core.words.filler_removal import UNWRITTEN, row_without_fillers
from dailytalk_contiguous.core.words.word import Span
from dailytalk_contiguous.machine.audio import read_header, read_pcm
from dailytalk_contiguous.machine.read_documents import MOST_OWN_BYTES, read_json
from dailytalk_contiguous.machine.sound_columns import MOST_PCM_BYTES
from dailytalk_contiguous.models.prosodic_sequences import HOP_SECONDS, ProsodicClusterSequences
from dailytalk_contiguous.publish.checks.findings import TOLERANCE
from dailytalk_contiguous.publish.checks.training_steps import TrainingSteps
from dailytalk_contiguous.publish.exports.finished_conversation import FinishedTalk, finished_conversation
from dailytalk_contiguous.publish.exports.splits import SplitVoice, disjoint_in, split_conversations
from dailytalk_contiguous.stages.base import SAMPLE_RATE
from dailytalk_contiguous.stages.tokenise_prosody import CODEBOOK
from dailytalk_contiguous.stages.transcribe import DROP, KEEP
from dailytalk_contiguous.store.files import inside, json_document, json_text
from dailytalk_contiguous.store.owned_folder import README, OwnedFolder, is_foreign

#: Folder of prosodic tokens: a file for each sound, by its name. No name in it ends in `jsonl`, which a trainer
#: would read as a manifest.
TOKENS = "prosody"

#: Share of the time to evaluate on, where no division is settled.
EVAL_SHARE = 0.1

#: The sides of a format of which all trains.
ONE_LIST = ("train",)

#: The sides of a format of which a part evaluates.
TWO_LISTS = ("train", "eval")

#: The side of each id, for the next export into the same folder. Like the record beside it, no trainer reads it.
DIVISION = ".dailytalk-division.json"


@dataclass(frozen=True)
class DivisionSettings:
    """How conversations that are not divided yet come to train and to eval."""

    eval_share: float | None = setting(
        None, "Share of the time to evaluate on, where no split is settled yet.",
        panel="splits", metavar="SHARE [0.01<=x<=0.5]", least=0.01, most=0.5, shown=f"({EVAL_SHARE})",
    )  # fmt: skip
    divide_anew: bool = setting(
        False, "Divide everything again; otherwise the earlier division in the folder stays.", panel="splits"
    )
    seed: int = setting(0, SEED)


@dataclass(frozen=True)
class ExportSettings(DivisionSettings):
    """The options of `dailytalk export` that several formats take; a format adds fields in a class of its own.

    `dataset`: the name of the source, for formats with a column of it.
    """

    sample_rate: int | None = setting(
        None, SAMPLE_RATE.about, panel="result", metavar="HZ",
        least=LOWEST_RATE, most=HIGHEST_RATE, shown="the trainer's",
    )  # fmt: skip
    main: str = setting(CHANNELS[0], "Whose side is Moshi's: {choices}.", panel="result", choices=CHANNELS)
    prosodic_tokens: str | None = setting(None, CODEBOOK, shown="none")
    fillers: str = setting(
        KEEP,
        "What becomes of um and uh in texts and words: {choices}. The sound keeps them.",
        panel="result",
        choices=(KEEP, DROP),
    )

    certainty: float | None = setting(
        None, "Least certainty of the events that become clips, examples or labels (docs/interaction.md).",
        panel="result", metavar="SHARE [0<=x<=1]", least=0.0, most=1.0, shown="all events",
    )  # fmt: skip
    dataset: str | None = unlisted(None)

    @property
    def is_checked(self) -> bool:
        """Whether a folder with these settings is one that `check` of the format judges."""
        return True

    @property
    def swap(self) -> bool:
        """Whether the right speaker is the main one, Moshi's."""
        return self.main == CHANNELS[1]


#: What to do where `--certainty` leaves nothing.
LOWER_CERTAINTY = "lower --certainty, or leave it out: conversations of an earlier version have no certainty"


def certainty_doubt(certainty: float | None, least: float | None) -> str | None:
    """Return why an event is left out, for `Export.left_out`; None where it is taken.

    Args:
        certainty: of the event, in [0, 1]; None in rows of versions that did not know it.
        least: of `ExportSettings.certainty`.
    """
    if least is None:
        return None
    if certainty is None:
        return "its certainty is unknown"
    return f"its certainty is under {least:g}" if certainty < least else None


_DIVIDING = {field.name for field in fields(DivisionSettings)}


class Exportable(Protocol):
    """An item that is written; all items that share a name of `apart` are on one side of the division."""

    @property
    def apart(self) -> tuple[str, ...]: ...


BUILD_AGAIN = "build the conversation again"

T = TypeVar("T", bound=Exportable)

#: A format whose items are of any kind.
AnyFormat: TypeAlias = "ExportFormat[Any]"

#: A text file, whole or by its lines.
FileText = str | Iterable[str]


class FileEntry(NamedTuple):
    """The entry of a file in the lists, and its seconds."""

    line: Any
    seconds: float


Lists = Mapping[str, list[FileEntry]]


@dataclass
class Export:
    """An export that is being written.

    Attributes:
        target: the folder. sample_rate: Hz of its sound.
        facts: for the outcome, besides the files. notes: the same in words.
        left_out: how many parts of the rows are not in it, by reason.
        about: facts of each id for `finish`. maker: of the tables of what a trainer learns from.
        personas: which of `--persona` are used.
    """

    format: AnyFormat
    target: OwnedFolder
    settings: Any
    sample_rate: int
    prosody: ProsodicClusterSequences | None
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    about: dict[str, Any] = field(default_factory=dict)
    maker: TableMaker = field(default_factory=TableMaker)
    personas: set[tuple[str, str]] = field(default_factory=set)
    side: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_checked(self) -> bool:
        """Whether `dailytalk check` judges the folder."""
        return self.format.check is not None and bool(self.settings.is_checked)

    def write_sound(self, name: str, pcm: Pcm) -> None:
        """Write samples of shape (n,) or (n, channels) as `name`.wav, and their prosodic tokens if requested.

        The file of the tokens has the name of the sound, under `TOKENS` in place of its first folder:
        `{"model", "hop_seconds", "tokens"}`, with a list of tokens for each channel.
        """
        self.target.write_wav(f"{name}.wav", pcm, self.sample_rate)
        if self.prosody is not None:
            channels = np.atleast_2d(pcm.T).astype(np.float32) / 32768
            waveform = self.prosody.resample_waveform(channels, self.sample_rate)
            tokens = self.prosody.extract_cluster_sequences(waveform)
            about = {"model": self.prosody.codebook.name, "hop_seconds": HOP_SECONDS, "tokens": tokens}
            self.target.write_text(f"{TOKENS}/{name.partition('/')[2]}.json", json_text(about))


def divided_before(out: Path) -> dict[str, str]:
    """Return the side of each id that earlier exports into a folder divided. Raises BadInput if it is damaged."""
    if not (out / DIVISION).exists():
        return {}
    remedy = "put it back, or divide all again with --divide-anew"
    record = read_json(inside(out, DIVISION), remedy, MOST_OWN_BYTES)
    return typed(record, dict[str, str], DIVISION, remedy)


def open_conversation(row: Row, export: Export) -> FinishedTalk:
    return finished_conversation(row, export.sample_rate, export.settings.swap)


class SeenTalk(NamedTuple):
    """A finished conversation as a trainer sees it (`Conversation.seen_by`), and its samples.

    `pcm` is int16, shape (n, 2), the main speaker first. All that share a name of `apart` are on one side of a
    division: the people who are heard, or the recording where one of them is not known.
    """

    talk: Conversation
    pcm: Pcm
    apart: tuple[str, ...]
    row: Row


def seen_talk(row: Row, export: Export) -> SeenTalk:
    """The conversation of a row for the trainer of an export. Raises BadInput as `seen_row` does."""
    return seen_row(row, export.sample_rate, export.settings.main)


def seen_row(row: Row, sample_rate: int, main: str = CHANNELS[0]) -> SeenTalk:
    """The conversation of a row, at a rate in Hz, for a trainer of the speaker on the side `main`.

    Raises BadInput: the audio is no stereo, too long, or can't be read, or a word or an utterance has no length or
    is outside it.
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
    if main != CHANNELS[0]:
        pcm = np.ascontiguousarray(pcm[:, ::-1])
    talk = from_finished(row).seen_by(sample_rate, main)
    talk.duration = len(pcm) / sample_rate
    words = []
    for word in talk.alignments:
        text = word.text.strip()
        if not text:
            raise BadInput(f"the word at {word.start:.3f} s has no text", BUILD_AGAIN)
        end = _end_inside(word.span, word.text, talk.duration)
        words.append(word.spelled(text).at(word.start, end))
    talk.alignments = words
    for utterance in talk.utterances:
        utterance.end = _end_inside(utterance.span, utterance.text, talk.duration)
    recording = f"recording\0{talk.recording_id}"
    apart = tuple(name or recording for name in kept_speakers(row))
    return SeenTalk(talk, pcm, apart, row)


def _end_inside(span: Span, text: str, seconds: float) -> float:
    """The end of a word or an utterance in sound of `seconds`. Raises BadInput for one that is no part of it."""
    if not 0 <= span.start < min(span.end, seconds) or span.end > seconds + TOLERANCE:
        raise BadInput(
            f"{quoted(text)} at {span.start:.3f}..{span.end:.3f} s is empty or outside the audio", BUILD_AGAIN
        )
    return min(span.end, seconds)


def refuse_tags(words: Iterable[str], conversation: FinishedTalk | Conversation) -> None:
    """Raise BadInput where a style tag is among words that are trained on."""
    if isinstance(conversation, Conversation):
        tags = tags_among([*words], {utterance.said_tag or "" for utterance in conversation.utterances})
    else:
        tags = tags_among([*words], {utterance.tag for utterance in conversation.utterances})
    if tags:
        raise BadInput(f"the style tag {tags[0]} is among its words", "align the text without tags")


def refuse_mute(conversation: FinishedTalk | Conversation) -> None:
    """Raise BadInput where no utterance has a text, or a style tag is among the words."""
    if not any(utterance.text.strip() for utterance in conversation.utterances):
        raise BadInput("nobody says a word", "check its transcript")
    words = conversation.alignments if isinstance(conversation, Conversation) else conversation.words
    refuse_tags((word.text for word in words), conversation)


def only_rate(format: str, sample_rate: int) -> Callable[[Path, ExportSettings], None]:
    """Return a `prepare` for a trainer that takes samples as they are: it refuses any other rate in Hz."""

    def prepare(out: Path, settings: ExportSettings) -> None:
        if settings.sample_rate not in (None, sample_rate):
            reason = f"--sample-rate {settings.sample_rate} does not go with --format {format}"
            raise DailytalkError(f"{reason}: its model takes {sample_rate} Hz alone", "leave it out")

    return prepare


def json_lists(**names: str) -> Callable[[Export, Lists], Mapping[str, FileText]]:
    """Return a `finish` that writes the entries of each side into a file of its name, a JSON a line."""

    def finish(export: Export, lists: Lists) -> dict[str, FileText]:
        texts: dict[str, FileText] = {}
        for side, entries in lists.items():
            texts[names[side]] = [json_text(entry.line) for entry in entries]
        return texts

    return finish


@dataclass(frozen=True)
class ExportFormat(Generic[T]):
    """The layout of a folder that a trainer or a tool reads.

    Attributes:
        name: of `--format`.
        reader: the trainer or tool. holds: the parts of a row, and where. loses: the parts that are left out.
        checked: the code that reads it back in the tests.
        write: writes the files of an item, and yields the entries of the lists. Raises BadInput before it writes.
        open: makes the item of a row. Raises BadInput for one that it can't write.
        finish: returns the texts of the lists, by their names, once all is written and divided.
        manifests: names that mark the folder as complete.
        sides: of the division.
        settings: an `ExportSettings` with the defaults, of a class that adds the settings that only it has.
        options: those of `ExportSettings` that it takes besides `sample_rate`, `fillers` and, with two sides,
            those of `DivisionSettings`.
        sample_rate: Hz that its reader works at; it would resample anything else each time.
        noun: the name of a row. unit: the name of an entry.
        source: returns the rows of a folder that only this format reads; None of any other.
        recognises: whether a folder is one of this format, or may be, whoever wrote it.
        check: finds what a trainer would fail on, for `dailytalk check` of a folder that people may edit; None for
            one that is only as this export writes it.
        check_steps: the same, and says what the steps of a training show; None where that is unknown.
        prepare: raises DailytalkError for a folder or a setting that it can't be written with.
    """

    name: str
    reader: str
    holds: str
    loses: str
    checked: str
    write: Callable[[Export, T], Iterable[FileEntry]]
    open: Callable[[Row, Export], Any] = seen_talk
    finish: Callable[[Export, Lists], Mapping[str, FileText]] = lambda export, lists: {}
    manifests: tuple[str, ...] = ()
    sides: tuple[str, ...] = ONE_LIST
    settings: ExportSettings = ExportSettings()
    options: frozenset[str] = frozenset({"main"})
    sample_rate: int = 24000
    noun: str = "conversation"
    unit: str = "conversation"
    source: Callable[[Path], Iterator[Row] | None] = lambda folder: None
    recognises: Callable[[Path], bool] = lambda folder: False
    check: Callable[[Path, FindingLimits], Checked] | None = None
    check_steps: Callable[[Path, FindingLimits, TrainingSteps], Checked] | None = None
    prepare: Callable[[Path, Any], None] = lambda out, settings: None

    @property
    def taken(self) -> set[str]:
        common = {field.name for field in fields(ExportSettings)}
        added = {placed.name for placed in settings_in(self.settings)} - common
        names = {"sample_rate", "fillers", *self.options, *added}
        if self.sides == TWO_LISTS:
            names |= _DIVIDING
        return names


@dataclass(frozen=True)
class Exported:
    """A written export: entries of each side, whether no known speaker is on two, and the rest as in `Export`."""

    files: dict[str, int]
    disjoint: bool
    is_checked: bool
    rejects: list[Reject]
    facts: dict[str, Any]
    notes: list[str]
    left_out: Counter[str]


def write_export(
    rows: Iterable[Row],
    out: Path,
    format: AnyFormat,
    *,
    sides: Mapping[str, str] | None = None,
    before: Mapping[str, str] | None = None,
    readme: Callable[[str, Mapping[str, int], str], str] | None = None,
    **settings: Any,
) -> Exported:
    """Write a folder; the same rows and settings give the same bytes.

    Args:
        rows: of `core.records.schema.BUILT`, or as `format.open` takes them; read once, one at a time.
        out: the folder. Only a new one, an empty one, or an earlier export of this format is written to.
        format: of `publish.exports.formats.FORMATS`.
        sides: `train` or `eval` of each id, where that is decided; else `eval_share` and `seed` decide it.
        before: the side of ids that were divided before, which stays; None for those of earlier exports in `out`.
        readme: makes the text of the README from a description, the provenances of the rows with their numbers,
            and how to load the folder; None for none. A README that a person wrote stays as it is.
        settings: of `format.settings`.

    Raises DailytalkError: a setting does not go with the format, `out` is not ours, an id occurs twice, or no row
    is left to train on.
    """
    chosen = settings_of_export(format, settings)
    format.prepare(out, chosen)
    target = OwnedFolder(out, format.name, format.manifests)
    rate = chosen.sample_rate or format.sample_rate
    prosody = None
    if chosen.prosodic_tokens:
        prosody = ProsodicClusterSequences(chosen.prosodic_tokens)
    export = Export(format, target, chosen, rate, prosody)
    written = _write_rows(export, rows)
    if len(format.sides) == 1:
        export.side = dict.fromkeys(written.entries, format.sides[0])
    elif sides is not None:
        export.side = {voice.id: sides[voice.id] for voice in written.voices}
    else:
        if before is None:
            before = {} if chosen.divide_anew else divided_before(out)
        shares = {"eval": chosen.eval_share or EVAL_SHARE}
        export.side = split_conversations(written.voices, shares, before, chosen.seed)
        n_kept = len(written.entries.keys() & before.keys())
        if n_kept:
            export.facts["divided_before"] = n_kept
            export.notes.append(f"{n_kept:,} on the side that they had (--divide-anew divides all)")
    lists: dict[str, list[FileEntry]] = {side: [] for side in format.sides}
    for voice in written.voices:
        side = export.side[voice.id]
        lists[side] += written.entries[voice.id]
    if not lists[format.sides[0]]:
        raise _nothing_exported(export, written)
    if chosen.fillers == DROP:
        export.facts["fillers_left_out"] = written.n_fillers
        export.notes.append("fillers are in the sound alone")
    texts = format.finish(export, lists)
    if len(format.sides) > 1:
        # Those that this export lacks may come back in the next one.
        division = {**(before or {}), **export.side}
        target.write_text(DIVISION, json_document(division))
    if is_foreign(out):
        with suppress(BadInput):  # a link
            target.claim(README)  # which keeps it
    elif readme:
        text = readme(_description(export, written), written.provenances, _how_to_load(export, texts))
        target.write_text(README, text)
    target.finish(texts)
    n_entries = {side: len(entries) for side, entries in lists.items()}
    is_disjoint = disjoint_in(written.voices, export.side) == "speakers"
    return Exported(
        files=n_entries,
        disjoint=is_disjoint,
        is_checked=export.is_checked,
        rejects=written.rejects,
        facts=export.facts,
        notes=export.notes,
        left_out=export.left_out,
    )


def settings_of_export(format: AnyFormat, settings: Mapping[str, Any]) -> ExportSettings:
    """Return the settings of a format with these values. Raises DailytalkError for one that it does not take."""
    listed = {placed.name for placed in settings_in(format.settings)}
    unfit = []
    for name in settings:
        is_known = name in listed or not hasattr(format.settings, name)
        if is_known and name not in format.taken:
            unfit.append(f"--{name.replace('_', '-')}")
    if unfit:
        raise DailytalkError(
            f"{', '.join(unfit)} does not go with --format {format.name}", "leave it out, or export for another"
        )
    chosen = replace(format.settings, **settings)
    check_values(chosen)
    return chosen


@dataclass
class _Written:
    """What was written of the rows.

    Attributes:
        entries: of the lists, by the id of their row.
        voices: the facts that decide the side of each row with an entry.
        rejects: rows that can't be written.
        provenances: of the rows, with their numbers.
        n_fillers: words that were left out.
    """

    entries: dict[str, list[FileEntry]] = field(default_factory=dict)
    voices: list[SplitVoice] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    provenances: Counter[str] = field(default_factory=Counter)
    n_fillers: int = 0


def _write_rows(export: Export, rows: Iterable[Row]) -> _Written:
    """Write the files of all rows, one row after another."""
    format = export.format
    written = _Written()
    for row in rows:
        name = row["conversation_id"]
        if name in written.entries:
            remedy = "run `dailytalk check` on the dataset"
            raise DailytalkError(f"the {format.noun} {name!r} occurs twice", remedy)
        if row.get("problem"):
            written.rejects.append(Reject(name, "export", row["problem"], row["remedy"]))
            continue
        if export.settings.fillers == DROP:
            row = row_without_fillers(row)
        try:
            item = format.open(row, export)
            entries = list(format.write(export, item))
        except BadInput as problem:
            written.rejects.append(Reject(name, "export", problem.reason, problem.remedy))
            continue
        written.entries[name] = entries
        written.provenances[provenance_of_row(row)] += 1
        if row.get(UNWRITTEN):
            written.n_fillers += len(row[UNWRITTEN]) - len(row["alignments"])
        if entries:
            seconds = sum(entry.seconds for entry in entries)
            voice = SplitVoice(
                id=name,
                kept_speakers=item.apart,
                recording_id=name,
                seconds=seconds,
                parent=parent_of(row),
                sound_digest=row.get("sound_digest") or "",
            )
            written.voices.append(voice)
    return written


def _nothing_exported(export: Export, written: _Written) -> DailytalkError:
    """The error of an export that has nothing to train on, with the first reason for it."""
    reasons = [f"{reject.id}: {reject.reason}" for reject in written.rejects]
    reasons += export.left_out
    if written.voices:
        reasons.append("all have another split (--divide-anew divides them)")
    reason = f" ({reasons[0]})" if reasons else ""
    remedy = "correct what is named, or build the dataset again"
    if written.rejects:
        remedy = written.rejects[0].remedy
    elif export.settings.certainty is not None:
        reason = f" with --certainty {export.settings.certainty:g}{reason}"
        remedy = LOWER_CERTAINTY
    return DailytalkError(f"no {export.format.noun} could be exported{reason}", remedy)


def _description(export: Export, written: _Written) -> str:
    """What the folder holds, for its README, and the options that are not as usual."""
    format = export.format
    seconds = length_text(sum(voice.seconds for voice in written.voices))
    description = (
        f"{counted(len(written.voices), format.noun)}, {seconds}, for {format.reader}, as "
        f"`dailytalk export --format {format.name}` writes them. It holds {format.holds}. "
        f"What is not in it: {format.loses}."
    )
    shown = format.taken - {"sample_rate", *_DIVIDING}
    defaults = {placed.option: placed.value for placed in settings_in(format.settings)}
    options = []
    for placed in settings_in(export.settings):
        if placed.name in shown and placed.value != defaults[placed.option]:
            option = placed.option.replace("_", " ")
            options.append(option if placed.value is True else f"{option} {placed.value}")
    if options:
        description += f" Options: {portable(', '.join(options))}."
    return description


def _how_to_load(export: Export, lists: Iterable[str]) -> str:
    """How the folder is loaded, for its README; `lists`: the names of its lists."""
    sentences = [f"It is read by {export.format.reader}."]
    names = [f"`{name}`" for name in lists]
    if names:
        sentences.append(f"Its lists: {', '.join(names)}.")
    if export.is_checked:
        sentences.append("`dailytalk check .` says whether a trainer can use it.")
    return " ".join(sentences)
