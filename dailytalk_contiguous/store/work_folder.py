"""A work folder as readers find it: the names of what is in it, the record of its run, and its rejects.

Whoever only reads a folder needs nothing of what made it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.documents import expect, json_lines, read_json
from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.utterance import DESCRIBED
from dailytalk_contiguous.store.files import inside

#: Folders of shards: of conversations that are recognised and rated, of tagged ones and of finished ones; of
#: measured clips and of finished ones.
RATED = "rated"
TAGGED = "tagged"
DATASET = "dataset"
MEASURED, CLIPS = "measured", "clips"

#: The training folder of a corpus.
DATA = "data"

#: Beside the transcript: a digest of each line that a run wrote (`run.merge`), and a run's transcript where
#: somebody has edited the one in a store meanwhile.
TRANSCRIPT, LINE_DIGESTS, NEW_TRANSCRIPT = "transcript.jsonl", "transcript.sha256", "transcript.new.jsonl"
SHIFTED, AUDIO = "transcript_shifted.jsonl", "audio"
REJECTS, RUN = "rejects.jsonl", "run.json"

#: Stages of `dailytalk speak`, which may share the work folder: `dailytalk tag` keeps their rejects.
SPOKEN_STAGES = frozenset(
    {
        *("transcript", "Script", "ChooseVoice", "MeasureDelivery", "Speak", "Reconstruct", "Keep"),
        *("Align", "TokeniseResult", "Finish"),
    }
)

#: What the data teaches (`core.scorecard`): the finished conversations or, until there are some, the tagged ones.
STATS = "corpus-stats.json"

#: The same rows as two tables (`core.tables`).
UTTERANCES, CONVERSATIONS = TABLES = ("utterances.parquet", "conversations.parquet")

#: What the scripts in `builder_scripts` call the work folder that they keep beside a transcript and results.
BESIDE = (".dailytalk", f".{TRANSCRIPT}.work")

#: Key of run.json with the addresses of recordings that are in a store.
RECORDINGS = "recordings"

#: Types of what readers use of a record (run.json, or mix.json of a mix), which people may copy and edit.
_TERMS = {f"{name}?": str for name in ("name", "licence", "citation", "homepage", "repository", "revision")}
_OF_A_HALF = {
    "models?": {str: {"name": str, "licence?": str, "url?": str}},
    "stages?": [{"name": str, "digest?": str, "settings?": dict}],
    "counts?": dict.fromkeys(("rejects?", "conversations?", "recordings_rejected?"), int),
    "settings?": dict,
    **dict.fromkeys(("command?", "date?", "version?"), str),
    "rejected?": {
        **dict.fromkeys(("conversations?", "of_conversations?"), int),
        **dict.fromkeys(("seconds?", "of_seconds?"), float),
        "reasons?": {str: float},
        "remedies?": {str: str},
    },
    "fingerprint?": str,
    "transcript_sha256?": str,
    "fields?": DESCRIBED,
    "unpublished?": [str],
}
RECORD = _OF_A_HALF | {
    "speak?": _OF_A_HALF,
    "source?": _TERMS,
    "corpus?": _TERMS,
    "sources?": {str: [_TERMS]},
    f"{RECORDINGS}?": [str],
    "most_listed?": float,
}


def work_folder_of(path: Path) -> Path:
    """The folder itself, or the work folder that a script of `builder_scripts` keeps in it."""
    return next((path / name for name in BESIDE if (path / name / RUN).is_file()), path)


def count_rejects(out: Path) -> int | None:
    """How many rejects the rejects.jsonl of a work folder lists, of all commands together; None without it."""
    if not (out / REJECTS).is_file():
        return None
    with inside(out, REJECTS).open("rb") as file:
        return sum(1 for line in file if line.strip())


def read_run(out: Path) -> dict[str, Any] | None:
    """Read run.json; None if it is missing, damaged, or a link out of `out`."""
    try:
        record: dict[str, Any] = expect(read_json(inside(out, RUN)), RECORD, RUN)
    except BadInput:
        return None
    return record


def rejects_in(out: Path) -> Iterator[dict[str, str]]:
    """The rejects in rejects.jsonl of a work folder: `id`, `stage`, `reason` and `remedy` of each; none without
    it.

    A line that a person or a crash has damaged becomes a reject itself, so that it is not lost.
    """
    if not (out / REJECTS).is_file():
        return
    try:
        path = inside(out, REJECTS)
    except BadInput as error:
        yield Reject(REJECTS, "rejects", error.reason, error.remedy).as_dict()
        return
    for line_number, line in json_lines(path):
        if isinstance(line, BadInput):
            line = Reject(f"{REJECTS}:{line_number}", "rejects", line.reason, line.remedy).as_dict()
        yield {name: str(line.get(name) or "") for name in ("id", "stage", "reason", "remedy")}
