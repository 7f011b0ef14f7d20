"""The checks of `dailytalk check`: of work folders, of versions on the Hub, and of exports by their format.

A finding is an error where a trainer would fail or silently learn garbage; everything else is advice. Files are
read to their end: a header can promise anything.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec import structs

from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records import figures
from dailytalk_contiguous.core.records.finding import Checked, Finding, FindingLimits, NotChecked, advice, error
from dailytalk_contiguous.core.records.lines import line_problem
from dailytalk_contiguous.core.records.published_fields import published
from dailytalk_contiguous.core.records.run_record import NO_RUN
from dailytalk_contiguous.core.records.schema import CONFIGS, LABELLED, Row
from dailytalk_contiguous.core.records.tables import TableMaker, Tables
from dailytalk_contiguous.core.records.utterance import CONVERTED_TRIES, FIELDS, no_text_reason
from dailytalk_contiguous.core.settings import is_own_file
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine.read_documents import json_lines
from dailytalk_contiguous.machine.resources import cores, side_by_side
from dailytalk_contiguous.publish.checks import verdict
from dailytalk_contiguous.publish.checks.clip_figures import corpus_figures, findings_of_clips, table_findings
from dailytalk_contiguous.publish.checks.findings import loudness_of_wav
from dailytalk_contiguous.publish.checks.plain_load import loaded_strangers, obstacles, unnamed_parquet
from dailytalk_contiguous.publish.checks.row_check import PUBLISH_AGAIN, SPEAK_AGAIN, JudgedRow, RowChecks
from dailytalk_contiguous.publish.checks.voice_check import voice_facts
from dailytalk_contiguous.publish.exports.exporting import ExportFormat
from dailytalk_contiguous.publish.exports.formats import FORMATS, format_named
from dailytalk_contiguous.publish.exports.moshi_check import check_moshi, is_moshi
from dailytalk_contiguous.publish.item_tables import tables_of
from dailytalk_contiguous.publish.items import FiledItems, Items, VersionItems, findings_of_apps
from dailytalk_contiguous.publish.opening import claimed, finished_items, open_items
from dailytalk_contiguous.publish.version import MANIFEST, Version, file_differences
from dailytalk_contiguous.store import work_folder
from dailytalk_contiguous.store.files import inside
from dailytalk_contiguous.store.owned_folder import export_kind
from dailytalk_contiguous.store.work_folder import is_mix


def check_rows(
    items: Items,
    limits: FindingLimits = verdict.LIMITS,
) -> Checked:
    """Check the rows of a folder or a version, their sound decoded; findings, and how much is in it.

    Rows of a version come over the network one row group at a time, so that checking needs no disk. Their audio
    has a digest, which shows a row that was changed after it was built. Findings name a row by its id.

    Raises DailytalkError if the Hub can't be read. A damaged file is a finding.
    """
    checks = RowChecks(limits)
    maker = TableMaker()
    ids = set[str]()
    splits = Counter[str | None]()
    columns = [*LABELLED, *items.digested_columns] if isinstance(items, VersionItems) else None

    def checked(row: Row) -> tuple[str, str | None, JudgedRow]:
        name = row["conversation_id"]
        unused = None if row["problem"] else items.unused(row)
        if not unused:
            return name, row["split"], checks.judge(row)
        kind, reason = unused
        note = advice(kind, name, reason, items.remedy, "note")
        return name, row["split"], JudgedRow([note], is_unused=True)

    for shown, rows in _rows_by_file(items, columns):
        noun = f"conversations of {shown or items.name} checked"
        try:
            with closing(side_by_side(checked, rows, cores())) as checked_rows:
                for name, split, judged in steps(noun, checked_rows):
                    splits[split] += 1
                    if name in ids and not judged.is_unused:
                        remedy = f"delete one of the files that have it, such as {shown or items.name}"
                        duplicate = error("duplicate", name, "this conversation occurs twice", remedy)
                        judged = JudgedRow([duplicate, *judged.findings])
                    if judged.talk:
                        maker.add(judged.talk)
                    checks.add(judged)
                    if not judged.is_unused:
                        ids.add(name)
        except BadInput as failure:
            checks.findings.append(error("unreadable-shard", shown, failure.reason, failure.remedy))
        except OSError as failure:
            reason = f"it can't be read ({failure.strerror})"
            remedy = "see that you may read it, and check again"
            checks.findings.append(error("unreadable-shard", shown, reason, remedy))
    for index, finding in enumerate(checks.findings):
        if items.remedy and finding.remedy == SPEAK_AGAIN:
            checks.findings[index] = structs.replace(finding, remedy=items.remedy)
    for reject in items.rejects():
        maker.add_reject(reject)
    tables = maker.tables()
    conversations = tables.conversations  # copies of clips, too
    kinds = {"conversations": "dataset", "clips": "dataset", "version": "published"}
    facts: dict[str, Any] = {
        "kind": kinds.get(items.kind, items.kind),
        "conversations": len(ids),
        "utterances": int(conversations.utterances.sum()),
        "words": int(conversations.words.sum()),
        "hours": round(float(conversations.duration.sum()) / 3600, 7),
        "voices": figures.numbers_of_voices(tables),
        "hours_of_voice": _hours(tables, "voices"),
        "hours_of_language": _hours(tables, "language"),
    }
    facts |= turn_end_facts(tables)
    facts |= voice_facts(checks.voices, limits)
    if items.kind == "version":
        facts["splits"] = dict(splits)
    return checks.all_findings() + table_findings(items, tables, limits), facts


def _rows_by_file(items: Items, columns: Sequence[str] | None) -> Iterator[tuple[str, Iterator[Row]]]:
    """Yield the name of each file as findings show it, and its rows; one empty name where rows are in no files."""
    if not isinstance(items, FiledItems):
        yield "", items.rows(columns)
        return
    for file in items.files:
        shown = file.relative_to(items.folder) if isinstance(file, Path) and items.folder else file
        yield str(shown), (row for _, row in items.rows_of(file, columns))


def _hours(tables: Tables, column: str) -> dict[str, float]:
    """Hours of conversations by the values of a column, sorted by these."""
    hours = figures.hours_of(tables, column)
    return {name: round(amount, 7) for name, amount in sorted(hours.items())}


def check_version(version: Version, limits: FindingLimits = verdict.LIMITS) -> Checked:
    """Check the files of a version against its manifest, and its rows; findings, and how much is in it.

    Raises DailytalkError if the version has no conversations, or can't be read.
    """
    items = VersionItems(version)
    findings: list[Finding] = []
    if version.has_manifest:
        unnamed = unnamed_parquet(version)
        loaded = loaded_strangers(version)
        for obstacle in obstacles(version):
            remedy = f"{obstacle.remedy}, and {PUBLISH_AGAIN}"
            findings.append(error("not-loaded", obstacle.name, obstacle.problem, remedy))
        for name, difference in file_differences(version):
            if name not in unnamed:
                problem = f"it is not what {MANIFEST} names: {difference}"
                findings.append(error("not-in-manifest", name, problem, PUBLISH_AGAIN))
        for name in unnamed:
            if name in loaded:
                problem = f"load_dataset takes it for rows of the version, and {MANIFEST} does not name it"
                findings.append(error("not-in-manifest", name, problem, f"delete it there, and {PUBLISH_AGAIN}"))
            else:
                problem = "it is no part of the version"
                findings.append(advice("not-in-manifest", name, problem, "delete it, or leave it there", "note"))
    elif items.config in CONFIGS:  # a chain of stages writes none
        problem = "nothing says which files this version has"
        findings.append(advice("no-manifest", MANIFEST, problem, PUBLISH_AGAIN))
    row_problems, facts = check_rows(items, limits)
    findings += row_problems
    findings += items.kept_findings()
    return findings, facts | {"commit": version.commit}


def check_folder(
    path: Path,
    limits: FindingLimits = verdict.LIMITS,
    format: str = "",
) -> Checked:
    """Check a training folder, a work folder (of a corpus, too), a folder of an app, or one of Parquet shards.

    `format` is that of an export that can't be recognised by its files: a name, or a person's own file, whose
    check is beside that of what the folder is.

    Returns the findings and facts: `kind` (the name of an export's format, `work`, `corpus`, `dataset`, or that of
    an app) and counts. Raises NotChecked for an export whose format has no check, and another DailytalkError for a
    path that is no folder, or none of these.
    """
    if not path.is_dir():
        raise DailytalkError(f"{path} is not a folder", "name a work folder, a dataset or a training folder")
    if format:
        findings, facts = _exported(path, format_named(format), limits)
        if not is_own_file(format):
            return findings, facts
        try:
            more_findings, more_facts = check_folder(path, limits)
        except DailytalkError:
            problem = f"only the check of {facts['kind']} has judged it"
            remedy = "run `dailytalk check` on the folder that it was exported from, too"
            return [*findings, advice(verdict.ONE_CHECK, ".", problem, remedy, "note")], facts
        return findings + more_findings, more_facts | facts
    if is_moshi(path / work_folder.DATA):
        findings, facts = check_moshi(path / work_folder.DATA, limits)
        if (path / work_folder.CLIPS).is_dir():
            findings += _clip_findings(path, limits)
        return findings, {"kind": "corpus"} | facts
    parts_of_work = (work_folder.TRANSCRIPT, work_folder.SHIFTED, work_folder.DATASET, work_folder.RUN)
    if any((path / name).exists() for name in parts_of_work):
        return _work(path, limits)
    items = claimed(path)
    if items:
        return check_rows(items, limits)
    kind = export_kind(path)
    for export_format in reversed(FORMATS.values()):
        if export_format.name == kind or export_format.recognises(path):
            return _exported(path, export_format, limits)
    if any(shard.name not in work_folder.TABLES for shard in path.rglob("*.parquet")):
        return check_rows(finished_items(path), limits)
    raise DailytalkError(
        f"{path} is neither a work folder, a dataset nor a training folder that check knows",
        "name one of `dailytalk build`, `speak` or `corpus`, or an export that ends with `next: dailytalk check`",
    )


def _exported(folder: Path, format: ExportFormat, limits: FindingLimits) -> Checked:
    """Return the findings of the format's own check, and of a mix of clips those on the clips."""
    if format.check is None:
        raise NotChecked(format.name)
    findings, facts = format.check(folder, limits)
    if is_mix(folder) and all(finding.level != "error" for finding in findings):
        findings = findings + _clip_findings(folder, limits)
    return findings, {"kind": format.name} | facts


def _clip_findings(folder: Path, limits: FindingLimits) -> list[Finding]:
    """Return the findings on the clips of a corpus or a mix, each by its row, and on their labels."""
    try:
        clips = corpus_figures(open_items(folder))
    except DailytalkError as problem:
        return [error("unreadable-record", ".", problem.reason, problem.remedy)]
    return findings_of_clips(clips, work_folder.read_run(folder), limits)


def _work(folder: Path, limits: FindingLimits) -> Checked:
    findings = list(_file_findings(folder))
    facts: dict[str, Any] = {"kind": "work"}
    run = work_folder.read_run(folder)
    of_run = {
        "conversations": run.counts.conversations,
        "utterances": run.counts.utterances,
        "hours_of_audio": run.hours.audio,
        "hours_of_speech": run.hours.speech,
    }
    facts |= {name: value for name, value in of_run.items() if value is not None}
    dataset = folder / work_folder.DATASET
    has_tags = (folder / work_folder.TAGGED).is_dir()
    has_transcript = (folder / work_folder.TRANSCRIPT).is_file()
    if dataset.is_dir() and any(dataset.rglob("*.parquet")):
        row_problems, row_facts = check_rows(finished_items(folder), limits)
        findings += row_problems
        facts |= row_facts | {"kind": "work"}
        if not row_facts["conversations"] and all(finding.level != "error" for finding in row_problems):
            problem = "no conversation was finished: there is nothing to train on"
            lost = verdict.losses(run)
            remedy = verdict.remedy_of_losses(lost, [*lost.reasons, *lost.remedies])
            findings.append(error(verdict.NOTHING_FINISHED, ".", problem, remedy))
    elif run != NO_RUN or has_tags or has_transcript:
        try:
            tables = tables_of(open_items(folder))
        except DailytalkError:  # its transcript, whose findings are there, or its shards
            tables = TableMaker(finished=False).tables()
        if not tables.n and facts.get("conversations"):
            findings.append(verdict.ONLY_TAGGED)
        if tables.n:  # people may have edited the transcript since the run
            facts["conversations"] = tables.n
            facts["utterances"] = len(tables.utterances)
            facts["hours_of_speech"] = round(figures.heard_seconds(tables) / 3600, 5)
        findings += verdict.all_findings(tables, run, limits)
    return findings + findings_of_apps(folder), facts


def _file_findings(folder: Path) -> Iterator[Finding]:
    """Yield the findings on the files of a work folder beside its shards: transcripts, and sound, decoded."""
    for name in (work_folder.TRANSCRIPT, work_folder.SHIFTED):
        if (folder / name).exists():
            yield from _transcript_lines(folder / name)
    wavs = sorted((folder / work_folder.AUDIO).rglob("*.wav"))
    for wav in steps("WAV files checked", wavs, len(wavs)):
        shown = str(wav.relative_to(folder))
        loudness, unreadable = loudness_of_wav(folder, shown)
        yield from unreadable
        if loudness and loudness.channels != 2:
            problem = f"it has {counted(loudness.channels, 'channel')}, not 2"
            yield error("not-stereo", shown, problem, "build it again")


def turn_end_facts(tables: Tables) -> dict[str, list[dict[str, object]]]:
    """Return how finished ends of turns sound, by side and timeline; empty where nobody judged them."""
    sides = []
    for (side, timeline), ends in figures.ends_of_turns(tables).items():
        facts: dict[str, object] = {"side": side, "timeline": timeline}
        for name, value in ends._asdict().items():
            if isinstance(value, tuple):
                facts[name] = [round(part, 4) for part in value]
            else:
                facts[name] = value and round(value, 4)
        sides.append(facts)
    return {"turn_ends": sides} if sides else {}


def _transcript_lines(path: Path) -> Iterator[Finding]:
    own_fields = published(work_folder.read_run(path.parent).fields, work_folder.RUN)
    described = (*FIELDS, *own_fields)
    lines_of: dict[str, int] = {}
    for number, fields in json_lines(inside(path.parent, path.name), nan=True):
        location = f"{path.name}:{number}"
        if isinstance(fields, BadInput):
            yield error("bad-line", location, fields.reason, "correct or delete the line")
            continue
        problem = line_problem(fields, described, mixed=True)
        if problem and problem.key == "words":
            yield error("bad-word", location, problem.reason, "correct its words, or leave them out")
        elif problem:
            yield error("bad-line", location, problem.reason, "correct or delete the line")
            continue
        name = fields.get("utterance_id")
        if isinstance(name, str) and lines_of.setdefault(name, number) != number:
            duplicate = f"the utterance {name} is in line {lines_of[name]} already"
            yield error("duplicate", location, duplicate, "delete one of them, or give it another utterance_id")
        # One that was not resynthesised may lack a text: none was recognised, or the conversation says why.
        synthesis = fields.get("synthesis") or {}
        is_converted = synthesis.get("tries") == CONVERTED_TRIES
        is_kept = fields.get("status", "spoken") != "spoken" or is_converted
        may_lack_text = no_text_reason(fields) or is_kept
        text = str(fields.get("text") or "")
        if not text.strip() and not may_lack_text:
            yield error("empty-text", location, "its text is empty", "write what is said, or delete the line")
