"""`dailytalk transcribe`: the texts of a folder of clips as one whisper.json.

The file is written whole after each five minutes of sound, so a run that was stopped goes on where it was. People
correct the texts, so an existing entry is never transcribed again; to have that done, delete it, or name another
file.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from datasets import Dataset, Features, disable_progress_bars

from dailytalk_contiguous.apps.clips.clip_run import clip_to_measure
from dailytalk_contiguous.apps.clips.corpora.own_clips import clips_by_name
from dailytalk_contiguous.apps.clips.to_clips import transcribe_stages
from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, option, shown_steps
from dailytalk_contiguous.core.documents import as_text, printable_path
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.records.outcome import Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.records.schema import SOURCE, Row
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.core.words.hallucination import compression_ratio
from dailytalk_contiguous.core.words.word import WordRow
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.run.run import preflight
from dailytalk_contiguous.shards import PendingConversation, group
from dailytalk_contiguous.sources import whisper_json
from dailytalk_contiguous.sources.whisper_json import WHISPER_JSON
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.transcribe import UNDETERMINED, Transcribe
from dailytalk_contiguous.store.files import write_text

#: Seconds of sound that are recognised before the file is written again.
SECONDS_AT_ONCE = 300.0

#: Columns of utterances from which an entry is made.
_HEARD = ("start", "end", "text_raw", "words", "language", "avg_logprob", "no_speech_prob", "text_reason")


class HeardSegment(TypedDict):
    """A segment of an entry, as Whisper writes it (see `entry_of`)."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float | None
    compression_ratio: float | None
    no_speech_prob: float | None
    words: list[WordRow]


class HeardEntry(TypedDict):
    """The entry of a clip in a whisper.json (see `entry_of`)."""

    text: str
    language: str | None
    segments: list[HeardSegment]
    text_reason: NotRequired[str]


def default_json(source: Path) -> Path:
    """The path of a folder's whisper.json, which may not exist yet."""
    return whisper_json.clips_folder(source).json or source / whisper_json.WHISPER_JSON


class ClipsToHear:
    """The clips of a folder (as for the corpus `clips`) that have no entry in a whisper.json.

    Attributes:
        file: the whisper.json; created if need be.
        left: the clips without an entry, by their names.
        entries: those of the whisper.json. rejects: clips and entries that can't be used.
        heard: names of the clips that were added.

    Raises DailytalkError for a source without clips, and for a file that is broken or of another layout.
    """

    def __init__(self, source: Path, file: Path) -> None:
        written = _existing(file)
        clips, _ = clips_by_name(source, texts=False)
        rows = {name: row for name, row in clips.items() if not row["problem"]}
        matches = whisper_json.match_names(written.entries, rows)
        self.file = file
        self.entries = written.entries
        self.recognised: list[str] = []
        self.left = {name: row for name, row in rows.items() if name not in matches.keys}
        self.rejects: list[Reject] = []
        for row in clips.values():
            if row["problem"]:
                remedy = row["remedy"] or ""
                self.rejects.append(Reject(row["id"], "Corpus", row["problem"], remedy))
        for name, problem in (matches.problems | written.problems).items():
            self.rejects.append(Reject(name, "transcript", problem.reason, problem.remedy))

    def transcribe(self, stages: Sequence[Stage]) -> None:
        """Recognise the clips by `apps.clips.to_clips.transcribe_stages`, and add their entries to the file."""
        names = {row["id"]: name for name, row in self.left.items()}
        clips = map(clip_to_measure, self.left.values())
        groups = list(group(clips, SECONDS_AT_ONCE))
        for conversations in steps("parts of the clips heard", groups, len(groups)):
            interrupts.check_interrupt()
            made = {}
            for row in _recognised(conversations, stages):
                clip_id = row["conversation_id"]
                if row["problem"]:
                    reject = Reject(clip_id, row["problem_stage"], row["problem"], row["remedy"])
                    self.rejects.append(reject)
                else:
                    made[names[clip_id]] = entry_of(row)
            self._add(made)
        if not self.file.exists():
            self._add({})

    def _add(self, made: Mapping[str, HeardEntry]) -> None:
        now = _existing(self.file).entries  # another program may have written it meanwhile
        taken = whisper_json.match_names(now, made).keys
        added = [name for name in made if name not in taken]
        self.recognised += added
        self.entries = now | {name: made[name] for name in added}
        try:
            write_text(self.file, whisper_json.whisper_json_text(self.entries))
        except OSError as error:
            reason = f"{printable_path(self.file)} can't be written ({error.strerror or error})"
            raise DailytalkError(reason, "make room, and run the same command: it goes on") from error


def _recognised(conversations: Sequence[PendingConversation], stages: Sequence[Stage]) -> Iterator[Row]:
    """The clips after all stages, with the columns from which entries and rejects are made."""
    sources = []
    for pending in conversations:
        row = pending.row()
        sources.append({name: row[name] for name in SOURCE})
    table = Dataset.from_list(sources, features=Features(SOURCE))
    for stage in stages:
        table = stage.map(table, batch_size=len(conversations))  # short clips share a window of the recogniser
    columns = [*_HEARD, "conversation_id", "problem", "problem_stage", "remedy"]
    yield from table.select_columns(columns)


def entry_of(row: Row) -> HeardEntry:
    """The entry of a clip, with the fields that Whisper writes.

    Each utterance with words is a segment: `seek` is its start in Whisper's frames of 10 ms, `avg_logprob` the
    mean log probability of its words, `no_speech_prob` that of the window in which it was recognised,
    `compression_ratio` that of its text. `temperature` is 0, as Whisper is run here. A number that the recogniser
    does not give is null, and `tokens` are always empty: no recogniser returns them. `text_reason` says why there
    is no text.
    """
    utterances = []
    for values in zip(*(row[name] for name in _HEARD), strict=True):
        utterances.append(dict(zip(_HEARD, values, strict=True)))
    spoken = [utterance for utterance in utterances if utterance["text_raw"]]
    languages = {utterance["language"] for utterance in utterances} - {UNDETERMINED}
    text = " ".join(utterance["text_raw"] for utterance in spoken)
    language = min(languages, default=None)
    segments = [_segment(number, utterance) for number, utterance in enumerate(spoken)]
    entry: HeardEntry = {"text": text, "language": language, "segments": segments}
    if not spoken:
        reasons = dict.fromkeys(utterance["text_reason"] for utterance in utterances)
        entry["text_reason"] = "; ".join(filter(None, reasons)) or "no speech was found"
    return entry


#: Frames of Whisper a second, the unit of `seek`.
FRAMES_PER_SECOND = 100


def _segment(number: int, utterance: Row) -> HeardSegment:
    words = []
    for word in utterance["words"]:
        words.append(word | {"probability": _number(word["probability"])})
    return {
        "id": number,
        "seek": round(utterance["start"] * FRAMES_PER_SECOND),
        "start": round(utterance["start"], 4),
        "end": round(utterance["end"], 4),
        "text": utterance["text_raw"],
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": _number(utterance["avg_logprob"]),
        "compression_ratio": _number(compression_ratio(utterance["text_raw"])),
        "no_speech_prob": _number(utterance["no_speech_prob"]),
        "words": words,
    }


def _number(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return round(value, 4)


def _existing(out: Path) -> whisper_json.WhisperJson:
    """The file as it is. Raises DailytalkError for one that can't be completed without a loss."""
    if not os.path.lexists(out):
        return whisper_json.WhisperJson({}, {})
    try:
        return whisper_json.read_whisper_json(out)
    except BadInput as error:
        raise DailytalkError(error.reason, f"{error.remedy}, or name another file with --out") from None


#: The options that are settings of its stage.
TRANSCRIBE_SETTINGS = cli_options.setting_options(Transcribe(device="cpu"))


@cli_options.with_options(TRANSCRIBE_SETTINGS)
def transcribe(
    source: Path = argument(
        "DIR", "Folder of clips of one speaker each, or audio/ in it.", exists=True, file_okay=False
    ),
    out: Path | None = option(
        None,
        Panel.INPUT,
        "File or folder for the result.",
        metavar="FILE.json|DIR",
        show_default="the JSON of DIR, or DIR/whisper.json",
    ),
    profile: str = cli_options.profile_option(),
    dry_run: bool = engine_options.DRY_RUN,
    **options: object,
) -> Outcome:
    """Recognise the clips of a folder into one JSON.

    It is written as Whisper writes it, with an entry for each file name. Clips that have an entry are skipped,
    whoever wrote it: run the same command after a stop, or for clips that were added. Delete an entry to have
    its clip recognised again.
    """
    stages = transcribe_stages(profile, **cli_options.chosen(options, TRANSCRIBE_SETTINGS))
    file = out or default_json(source)
    if out and (out.suffix.lower() != ".json" or out.is_dir()):
        file = out / WHISPER_JSON
    clips = ClipsToHear(source, file)
    if clips.left and not dry_run:
        preflight(stages)
    if not dry_run:
        disable_progress_bars()
        with shown_steps():
            clips.transcribe(stages)
    heard = [*clips.left] if dry_run else clips.recognised
    empty = [name for name in clips.recognised if not clips.entries[name]["text"]]
    record = {
        "dry_run": dry_run,
        "out": as_text(file),
        "entries": len(clips.entries),
        "heard": heard,
        "empty": empty,
        "rejects": [reject.as_dict() for reject in clips.rejects],
    }
    details = ["nothing to do: every clip has an entry"]
    if heard:
        done = "would be heard" if dry_run else "heard"
        seconds = sum(row["duration"] for row in clips.left.values())
        details = [f"{counted(len(heard), 'clip')} {done}, {length_text(seconds)}"]
    if empty:
        details.append(f"without a word: {len(empty):,} ({show.first_names(empty)})")
    n_done = len(clips.entries)
    next_step = ""
    if dry_run:
        n_done += len(heard)
        next_step = show.DRY_RUN_NEXT
    elif file == default_json(source):
        next_step = to_run("review", source)
    headline = f"{len(clips.entries):,} entries in {as_text(file)}"
    code = exit_code(n_done, len(clips.rejects))
    rejected = rejected_of(clips.rejects)
    return Outcome(record, headline, code, details, rejected, next_step)
