"""A work folder as readers find it: the names of what is in it, the record of its run, and its rejects.

Whoever only reads a folder needs nothing of what made it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.documents import json_lines, read_json
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.store.files import inside

#: Folders of shards: of conversations that are recognised and rated, of tagged ones and of finished ones; of
#: measured clips and of finished ones.
RATED = "rated"
TAGGED = "tagged"
DATASET = "dataset"
MEASURED = "measured"
CLIPS = "clips"

#: The training folder of a corpus.
DATA = "data"

#: Beside the transcript: a digest of each line that a run wrote (`write_merged`), and a run's transcript where
#: somebody has edited the one in a store meanwhile.
TRANSCRIPT = "transcript.jsonl"
LINE_DIGESTS = "transcript.sha256"
NEW_TRANSCRIPT = "transcript.new.jsonl"
SHIFTED = "transcript_shifted.jsonl"
AUDIO = "audio"
REJECTS = "rejects.jsonl"
RUN = "run.json"

#: Stages of `dailytalk speak`, which may share the work folder: `dailytalk tag` keeps their rejects.
SPOKEN_STAGES = frozenset(
    {
        "transcript",
        "Script",
        "ChooseVoice",
        "MeasureDelivery",
        "Speak",
        "Convert",
        "Reconstruct",
        "Keep",
        "Align",
        "TokeniseResult",
        "JudgeTurnEnds",
        "Finish",
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


def work_folder_of(path: Path) -> Path:
    """The folder itself, or the work folder that a script of `builder_scripts` keeps in it."""
    return next((path / name for name in BESIDE if (path / name / RUN).is_file()), path)


def read_run(out: Path) -> dict[str, Any] | None:
    """Read run.json; None if it is missing, damaged, or a link out of `out`."""
    try:
        record = read_json(inside(out, RUN))
    except BadInput:
        return None
    return record if isinstance(record, dict) else None


def rejects_in(out: Path) -> Iterator[dict[str, str]]:
    """The rejects in rejects.jsonl of a work folder: `id`, `stage`, `reason` and `remedy` of each; none without
    it. A line that a person or a crash has damaged is one of them.
    """
    for _, line in json_lines(out / REJECTS) if (out / REJECTS).is_file() else ():
        known = line if isinstance(line, dict) else {"stage": REJECTS, "reason": str(line)}
        yield {name: str(known.get(name) or "") for name in ("id", "stage", "reason", "remedy")}
