"""A work folder for readers: the names of its files, the record of its run, and its rejects.

Reading a folder needs none of the code that made it.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from dailytalk_contiguous.core.documents import JsonObject, as_text, typed
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.run_record import NO_RUN, RunRecord
from dailytalk_contiguous.machine.read_documents import json_lines, read_json
from dailytalk_contiguous.store.files import inside, is_inside, json_document, write_text

#: Folder of shards of conversations that are recognised and rated.
RATED = "rated"

#: Folder of shards of tagged conversations.
TAGGED = "tagged"

#: Folder of shards of finished conversations.
DATASET = "dataset"

#: Folder of shards of measured clips.
MEASURED = "measured"

#: Folder of shards of finished clips.
CLIPS = "clips"

#: The training folder of a corpus.
DATA = "data"

#: The transcript, which people may edit.
TRANSCRIPT = "transcript.jsonl"

#: A digest of each line of the transcript that a run wrote (`write_merged`).
LINE_DIGESTS = "transcript.sha256"

#: A run's transcript where somebody has edited the one in a store meanwhile.
NEW_TRANSCRIPT = "transcript.new.jsonl"

#: The transcript of finished conversations.
SHIFTED = "transcript_shifted.jsonl"

#: Folder of the sound files of finished conversations.
AUDIO = "audio"

#: What was rejected, and why.
REJECTS = "rejects.jsonl"

#: The record of the last run.
RUN = "run.json"

#: The record of a mix. Not `.jsonl`: the trainer would take it for a manifest.
MIX_RECORD = "mix.json"

#: What a run holds while it works, and what says who it is and how far; parts of `--shard` have their own.
RUN_LOCK = ".dailytalk-run"

#: The published versions that the folder was made from, or that it has sent.
BASE = "base.json"

#: What rejects a line of a transcript, whose conversation goes on without it; `transcript` rejects conversations.
LINE = "line"

#: Stages of `dailytalk speak`, which may share the work folder: `dailytalk tag` keeps their rejects.
SPOKEN_STAGES = frozenset(
    {
        LINE,
        "transcript",
        "Script",
        "ChooseVoice",
        "Speak",
        "Convert",
        "Reconstruct",
        "Keep",
        "Align",
        "JudgeTurnEnds",
        "Finish",
    }
)

#: The table of the utterances (`core.records.tables`): of the finished conversations or, until there are some, of
#: the tagged ones.
UTTERANCES = "utterances.parquet"

#: The table of the conversations of the same rows.
CONVERSATIONS = "conversations.parquet"

TABLES = (UTTERANCES, CONVERSATIONS)

#: What the scripts in `builder_scripts` call the work folder that they keep beside a transcript and results.
BESIDE = (".dailytalk", f".{TRANSCRIPT}.work")


def refuse_links_out(folder: Path) -> None:
    """Raise BadInput for a folder of results in a work folder that is a symbolic link out of it.

    The author of a work folder from elsewhere may have put it there, to show or change what is in another one.
    """
    for name in (RATED, TAGGED, DATASET, MEASURED, CLIPS, DATA, AUDIO, *BESIDE):
        path = folder / name
        if path.is_symlink() and not is_inside(path, folder):
            reason = f"{as_text(path)!r} is a symbolic link out of its folder"
            raise BadInput(reason, "put the folder that it points to in its place, or name that folder's own")


def work_folder_of(path: Path) -> Path:
    """Return the folder itself, or the work folder that a script of `builder_scripts` keeps in it.

    Raises BadInput as `refuse_links_out`.
    """
    refuse_links_out(path)
    for name in BESIDE:
        if (path / name / RUN).is_file():
            refuse_links_out(path / name)
            return path / name
    return path


def run_json(out: Path) -> JsonObject:
    """Read the whole of run.json; empty if it is missing, damaged, or a link out of `out`."""
    try:
        record = read_json(inside(out, RUN))
    except BadInput:
        return {}
    return record if isinstance(record, dict) else {}


def read_run(out: Path) -> RunRecord:
    """Read the facts of run.json; none if it is missing, damaged, or a link out of `out`."""
    return RunRecord.from_json(run_json(out))


def is_mix(folder: Path) -> bool:
    return (folder / MIX_RECORD).is_file()


def record_of(folder: Path) -> RunRecord:
    """Read the facts of a folder's run.json or mix.json; none without. Raises BadInput for a damaged file."""
    for name in (RUN, MIX_RECORD):
        if (folder / name).is_file():
            remedy = "make that folder again"
            path = inside(folder, name)
            return RunRecord.from_json(typed(read_json(path, remedy), JsonObject, as_text(path), remedy))
    return NO_RUN


def tagged_folder(out: Path) -> Path | None:
    """Return the work folder whose tagged shards know the recordings of the conversations in `out`, or None.

    It is `out` itself, or the one that speak has read. The author of a folder from elsewhere may have named any
    other, so its fingerprint has to be the one that speak saw.
    """
    if (out / TAGGED).is_dir():
        return out
    tagged = read_run(out).speak.tagged
    if tagged is None:
        return None
    folder = Path(tagged["folder"])
    return folder if read_run(folder).fingerprint == tagged["fingerprint"] else None


class Base(msgspec.Struct, omit_defaults=True):
    """The versions whose data a work folder was made from or has sent, each by one digest of its data files.

    Attributes:
        published: by branch, the version that the folder was made from, or that it has published last.
        sent: those that it has proposed since, or has begun to publish.
        inputs: a digest of the data files that were published last, and of what they were made of; empty if
            unknown.
    """

    published: dict[str, str] = msgspec.field(default_factory=dict)
    sent: list[str] = msgspec.field(default_factory=list)
    inputs: str = ""

    @property
    def own_digests(self) -> set[str]:
        return {*self.published.values(), *self.sent}


def read_base(out: Path) -> Base | None:
    """Read base.json; None if it is missing, damaged, or a link out of `out`."""
    try:
        record = read_json(inside(out, BASE))
        typed(record, Base, BASE)
    except BadInput:
        return None
    return msgspec.convert(record, Base)


def write_base(out: Path, base: Base) -> None:
    write_text(out / BASE, json_document(msgspec.to_builtins(base)))


def rejects_in(out: Path) -> Iterator[dict[str, str]]:
    """Yield `id`, `stage`, `reason` and `remedy` of each reject in a work folder's rejects.jsonl, if it has one.

    A line that a person or a crash has damaged is one of them. Raises BadInput for a link out of `out`.
    """
    path = inside(out, REJECTS)
    if not path.is_file():
        return
    for _, line in json_lines(path):
        record = line if isinstance(line, dict) else {"stage": REJECTS, "reason": str(line)}
        yield {name: str(record.get(name) or "") for name in ("id", "stage", "reason", "remedy")}
