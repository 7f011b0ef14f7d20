"""`dailytalk check`: looks at a folder, tells what it is, and judges it as the strictest of its readers would.

A finding is an error where a trainer would fail or silently learn garbage; everything else is advice. Files are
read to their end: a header can promise anything.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.audio import to_uri
from dailytalk_contiguous.core.documents import is_number, json_lines, quoted, shown
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.engine.corpus_stages import MEASURED
from dailytalk_contiguous.engine.outputs import REJECTS, read_run
from dailytalk_contiguous.engine.tagging import TAGGED
from dailytalk_contiguous.files.inside import inside
from dailytalk_contiguous.publish.checking.dataset import check_dataset
from dailytalk_contiguous.publish.checking.findings import Finding, advice, error
from dailytalk_contiguous.publish.checking.loudness import measure
from dailytalk_contiguous.publish.checking.moshi_folder import check_moshi, is_moshi
from dailytalk_contiguous.publish.checking.other_folders import check_csm, check_jmoshi, is_csm, is_jmoshi

__all__ = ["Finding", "check"]

#: A person's or our own transcript, and the one after the rebuild.
TRANSCRIPT, SHIFTED = "transcript.jsonl", "transcript_shifted.jsonl"

#: The training folder inside the work folder of an expressive corpus.
CLIPS = "data"

Facts = dict[str, Any]


def check(path: Path) -> tuple[list[Finding], Facts]:
    """Judge a training folder, a work folder (of a corpus, too), or a folder of Parquet shards.

    Returns:
        The findings, in the order of the files, and facts: `kind` (`moshi`, `csm`, `j-moshi`, `work`, `corpus` or
        `dataset`) and what was counted. No error among the findings means exit code 0.

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
    if is_csm(path):
        return check_csm(path)
    if is_jmoshi(path):
        return check_jmoshi(path)
    if (path / MEASURED).is_dir():
        raise DailytalkError(
            f"{path} holds a corpus that was measured and not finished",
            "run dailytalk corpus without --report-only",
        )
    if any(path.rglob("*.parquet")):
        return check_dataset(path)
    raise DailytalkError(
        f"{path} is neither a work folder, a dataset nor a training folder",
        "name one that `dailytalk build`, `speak`, `corpus` or `export` has written",
    )


def _work(folder: Path) -> tuple[list[Finding], Facts]:
    findings: list[Finding] = []
    facts: Facts = {"kind": "work"} | _tagged(folder)
    for name in (TRANSCRIPT, SHIFTED):
        if (folder / name).exists():
            findings += _transcript(folder / name)
    for wav in sorted((folder / "audio").rglob("*.wav")):
        findings += _recording(folder, wav)
    if (folder / "dataset").is_dir() and any((folder / "dataset").rglob("*.parquet")):
        of_dataset, counts = check_dataset(folder)
        findings += of_dataset
        facts |= counts | {"kind": "work"}
        if not counts["conversations"] and not of_dataset:
            what = "no conversation was finished: there is nothing to train on"
            findings.append(
                error("nothing-finished", ".", what, f"see why in {REJECTS}, and run dailytalk speak again")
            )
    elif (folder / TAGGED).is_dir():
        what = "it was tagged and not spoken yet: there is nothing to train on"
        findings.append(advice("not-spoken", ".", what, f"run dailytalk speak {shown(folder)}"))
    return findings, facts


def _tagged(folder: Path) -> Facts:
    """What was tagged in a work folder, as its record has it."""
    record = read_run(folder) or {}
    counts, hours = record.get("counts") or {}, record.get("hours") or {}
    facts = {name: counts[name] for name in ("conversations", "utterances") if isinstance(counts.get(name), int)}
    return facts | {f"hours_of_{name}": hours[name] for name in ("audio", "speech") if is_number(hours.get(name))}


def _recording(folder: Path, wav: Path) -> Iterator[Finding]:
    shown = str(wav.relative_to(folder))
    try:
        loudness = measure({"bytes": None, "path": to_uri(inside(folder, shown))})
    except BadInput as problem:
        yield error("unreadable-audio", shown, problem.reason, problem.remedy)
        return
    if loudness.channels != 2:
        yield error(
            "not-stereo", shown, f"it has {counted(loudness.channels, 'channel')}, not 2", "build it again"
        )


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
        if problem := _word_problem(told.get("words")):
            yield error("bad-word", place, problem, "correct its words, or leave them out")
        # Of what was not resynthesised, a text may be missing: nobody heard one, or its conversation says why.
        silent = told.get("text_reason") or told.get("status", "spoken") != "spoken"
        if not str(told.get("text") or "").strip() and not silent:
            yield error("empty-text", place, "its text is empty", "write what is said, or delete the line")


def _word_problem(words: Any) -> str | None:
    """What is wrong with the words of a line, or None: a time that is no number would reach a trainer."""
    if not isinstance(words or [], list):
        return f"its words are {quoted(words)}, no list"
    for word in words or []:
        if not isinstance(word, dict) or not isinstance(word.get("word"), str):
            return f"one of its words is {quoted(word)}, not a text with its start and end"
        start, end = word.get("start"), word.get("end")
        if not is_number(start, 0) or not is_number(end, 0) or float(end or 0) < float(start or 0):
            return f"its word {quoted(word['word'])} has the start {quoted(start)} and the end {quoted(end)}"
    return None


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
