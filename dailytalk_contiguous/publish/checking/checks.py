"""`dailytalk check`: looks at a folder, tells what it is, and judges it as the strictest of its readers would.

A finding is an error where a trainer would fail or silently learn garbage; everything else is advice. Files are
read to their end: a header can promise anything.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.audio import to_uri
from dailytalk_contiguous.core.documents import is_number, json_lines, quoted
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.engine.corpus_stages import MEASURED
from dailytalk_contiguous.files.inside import inside
from dailytalk_contiguous.publish.checking.dataset import check_dataset
from dailytalk_contiguous.publish.checking.findings import Finding, error
from dailytalk_contiguous.publish.checking.loudness import measure
from dailytalk_contiguous.publish.checking.moshi_folder import check_moshi, is_moshi

__all__ = ["Finding", "check"]

#: A person's or our own transcript, and the one after the rebuild.
TRANSCRIPT, SHIFTED = "transcript.jsonl", "transcript_shifted.jsonl"

#: The training folder inside the work folder of an expressive corpus.
CLIPS = "data"

Facts = dict[str, Any]


def check(path: Path) -> tuple[list[Finding], Facts]:
    """Judge a Moshi folder, a work folder (of a corpus, too), or a folder of Parquet shards.

    Returns:
        The findings, in the order of the files, and facts: `kind` (`moshi`, `work`, `corpus` or `dataset`) and
        what was counted. No error among the findings means exit code 0.

    Raises:
        DailytalkError: the path is no folder, or none of these.
    """
    if not path.is_dir():
        raise DailytalkError(f"{path} is no folder", "name a work folder, a dataset or a training folder")
    if is_moshi(path / CLIPS):
        findings, facts = check_moshi(path / CLIPS)
        return findings, facts | {"kind": "corpus"}
    if any((path / name).exists() for name in (TRANSCRIPT, SHIFTED, "dataset", "run.json")):
        return _work(path)
    if is_moshi(path):
        return check_moshi(path)
    if (path / MEASURED).is_dir():
        raise DailytalkError(
            f"{path} holds a corpus that was measured and not finished",
            "run dailytalk corpus without --report-only",
        )
    if any(path.rglob("*.parquet")):
        return check_dataset(path)
    raise DailytalkError(
        f"{path} is neither a work folder, a dataset nor a training folder",
        "name one that `dailytalk build`, `speak`, `corpus` or `export --format moshi` has written",
    )


def _work(folder: Path) -> tuple[list[Finding], Facts]:
    findings: list[Finding] = []
    facts: Facts = {"kind": "work"}
    for name in (TRANSCRIPT, SHIFTED):
        if (folder / name).exists():
            findings += _transcript(folder / name)
    for wav in sorted((folder / "audio").rglob("*.wav")):
        findings += _recording(folder, wav)
    if (folder / "dataset").is_dir() and any((folder / "dataset").rglob("*.parquet")):
        inside, counted = check_dataset(folder)
        findings += inside
        facts |= counted | {"kind": "work"}
    return findings, facts


def _recording(folder: Path, wav: Path) -> Iterator[Finding]:
    shown = str(wav.relative_to(folder))
    try:
        loudness = measure({"bytes": None, "path": to_uri(inside(folder, shown))})
    except BadInput as problem:
        yield error("unreadable-audio", shown, problem.reason, problem.remedy)
        return
    if loudness.channels != 2:
        yield error("not-stereo", shown, f"it has {loudness.channels} channel(s), not 2", "build it again")


def _transcript(path: Path) -> Iterator[Finding]:
    """Findings on the lines of a transcript, with their numbers."""
    lines_of: dict[str, int] = {}
    for number, told in json_lines(path, nan=True):
        place = f"{path.name}:{number}"
        problem = told.reason if isinstance(told, BadInput) else _problem(told)
        if problem or isinstance(told, BadInput):
            yield error("bad-line", place, str(problem), "correct or delete the line")
            continue
        name = told.get("utterance_id")
        if name is not None and not isinstance(name, str):
            yield error("bad-line", place, f"its utterance_id is {quoted(name)}, no text", "correct it")
        elif name is not None and name in lines_of:
            what = f"the utterance {name} stands in line {lines_of[name]} already"
            yield error("duplicate", place, what, "delete one of them, or give it another utterance_id")
        elif name is not None:
            lines_of[name] = number
        # Of what was not said anew, a text may be missing: nobody heard one, or its conversation says why.
        silent = told.get("text_reason") or told.get("status", "spoken") != "spoken"
        if not str(told.get("text") or "").strip() and not silent:
            yield error("empty-text", place, "its text is empty", "write what is said, or delete the line")


def _problem(told: dict[str, Any]) -> str | None:
    """Why a line can't be used, or None."""
    if told.get("channel") not in (*CHANNELS, "mix"):
        return f"its channel is {quoted(told.get('channel'))}, not left, right or mix"
    if told.get("status") == "dropped":
        return None  # it was left out, and has no times
    start, end = told.get("start"), told.get("end")
    if is_number(start, 0) and is_number(end, 0) and float(start or 0) < float(end or 0):
        return None
    return f"its start {quoted(start)} and end {quoted(end)} are no stretch of time in seconds"
