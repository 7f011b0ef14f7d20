"""What a run over a corpus leaves beside its shards: the training folder, rejects.jsonl and run.json.

The training folder is written anew only if something that goes into it has changed or is missing; run.json comes
last, so that what it tells is there.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.code import code_digest
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.finished_clip import own_seconds
from dailytalk_contiguous.core.machine import PACKAGES
from dailytalk_contiguous.engine import corpus_folder
from dailytalk_contiguous.engine.corpus_folder import export_clips, is_complete, listed_seconds
from dailytalk_contiguous.engine.corpus_plan import Planned
from dailytalk_contiguous.engine.corpus_source import Read
from dailytalk_contiguous.engine.outputs import REJECTS, RUN, models_of, read_run
from dailytalk_contiguous.files.inside import inside
from dailytalk_contiguous.files.writing import write_text
from dailytalk_contiguous.shards import Row, read_rows
from dailytalk_contiguous.stages.base import Stage

#: Folder of the WAV files inside a work folder.
DATA = "data"

#: Columns of the finished clips whose values are counted.
_COUNTED = (
    *("emotion", "style", "style_source", "speaker", "gender", "language"),
    *("sentence_type", "length", "split"),
)


def write_outputs(
    out: Path,
    paths: Sequence[Path],
    stages: Sequence[Stage],
    read: Read,
    planned: Planned,
    rejects: Sequence[Reject],
    about: Mapping[str, Any],
    text_conditions: bool,
) -> dict[str, Any]:
    """Write what is not there yet, from the shards `paths` of finished clips, and return what run.json holds."""
    before = read_run(out) or {}
    fingerprint = _fingerprint(paths, text_conditions)
    if before.get("fingerprint") != fingerprint or not is_complete(out / DATA):
        export_clips(paths, out / DATA, text_conditions)
    told = "".join(json.dumps(reject.as_dict(), ensure_ascii=False) + "\n" for reject in rejects)
    if not (out / REJECTS).is_file() or inside(out, REJECTS).read_text(encoding="utf-8") != told:
        write_text(out / REJECTS, told)
    counts, hours = _counted(paths)
    record = {
        **about,
        "kind": "corpus",
        "corpus": {
            "name": read.name,
            "licence": read.info.license,
            "citation": read.info.citation,
            "homepage": read.info.homepage,
            "description": read.info.description,
        },
        "version": version("dailytalk-contiguous"),
        "packages": {name: version(name) for name in PACKAGES},
        "models": models_of(stages),
        "stages": [_stage(stage) for stage in stages],
        "count_check": read.counts,
        "counts": {
            "read": len(read.rows) + len(read.problems),
            **counts,
            "rejects": len(rejects),
            "rejects_by_stage": dict(Counter(reject.stage for reject in rejects).most_common()),
            "copies_refused": planned.refused,
            "without_prompt": planned.unprompted,
        },
        "hours": hours,
        "split": _split(planned),
        "balance": _balance(planned, paths),
        "fingerprint": fingerprint,
    }
    if before != json.loads(json.dumps(record)):
        write_text(out / RUN, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return record


def _counted(paths: Sequence[Path]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Clips, copies and kinds of clips in the finished shards; and hours, in all and by emotion."""
    counters: dict[str, Counter[str]] = {name: Counter() for name in (*_COUNTED, "word_source", "affect_source")}
    seconds: dict[str, float] = defaultdict(float)
    clips_and_copies: Counter[bool] = Counter()
    for path in paths:
        for row in _light_rows(path):
            clips_and_copies[row["augmented_from"] is not None] += 1
            for name in _COUNTED:
                counters[name][row[name] or "unknown"] += 1
            counters["affect_source"][row["affect"]["source"] or "unknown"] += 1
            counters["word_source"].update(word["source"] for word in row["words"])
            seconds[row["emotion"] or "unknown"] += own_seconds(row)
    counts: dict[str, Any] = {"clips": clips_and_copies[False], "copies": clips_and_copies[True]}
    counts |= {f"by_{name}": dict(sorted(found.items())) for name, found in counters.items()}
    hours = {"audio": round(sum(seconds.values()) / 3600, 5)}
    return counts, hours | {"by_emotion": {name: round(held / 3600, 5) for name, held in sorted(seconds.items())}}


def _light_rows(path: Path) -> Sequence[Row]:
    return list(
        read_rows(path, [*_COUNTED, "duration", "conditioning", "words", "affect", "augmented_from"]).values()
    )


def _split(planned: Planned) -> dict[str, Any] | None:
    """How the sides were found; which clip is on which stands in the clips."""
    if planned.split is None:
        return None
    return {name: value for name, value in planned.split._asdict().items() if name != "side"}


def _balance(planned: Planned, paths: Sequence[Path]) -> dict[str, Any] | None:
    """Minutes that train of each emotion: recorded, and as the manifest names them; what is missing still."""
    if planned.balance is None:
        return None
    seconds = listed_seconds(paths)
    found = planned.balance._replace(after={name: seconds.get(name, 0.0) for name in planned.balance.after})
    return {
        "minutes_before": {name: round(seconds / 60, 3) for name, seconds in found.before.items()},
        "minutes_after": {name: round(seconds / 60, 3) for name, seconds in found.after.items()},
        "failure": found.failure(),
        "shortfalls": [
            {"emotion": one.emotion, "minutes": round(one.seconds / 60, 3), "to_record": one.to_record()}
            for one in found.shortfalls
        ],
    }


def _stage(stage: Stage) -> dict[str, Any]:
    settings = {setting.name: getattr(stage, setting.name) for setting in fields(stage)}  # type: ignore[arg-type]
    return {"name": stage.name, "digest": stage.digest, "settings": settings}


def _fingerprint(paths: Sequence[Path], text_conditions: bool) -> str:
    """Changes whenever the training folder would."""
    files = [(path.name, path.stat().st_mtime_ns) for path in paths]
    told = [files, text_conditions, code_digest(corpus_folder.export_clips)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:20]
