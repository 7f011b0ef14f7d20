"""The checks of `dailytalk check`: of work folders, of versions on the Hub, and of exports by their format.

A finding is an error where a trainer would fail or silently learn garbage; everything else is advice. Files are
read to their end: a header can promise anything.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dailytalk_contiguous.core import documents, figures
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.machine import cores, side_by_side
from dailytalk_contiguous.core.moshi_words import SaidWord
from dailytalk_contiguous.core.own_file import is_own_file
from dailytalk_contiguous.core.published_fields import published
from dailytalk_contiguous.core.schema import LABELLED, Row
from dailytalk_contiguous.core.scorecard import ReferenceCorpus, comparisons_of, measure_text
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.tables import TableMaker, Tables
from dailytalk_contiguous.core.utterance import FIELDS, is_converted, line_problem, no_text_reason
from dailytalk_contiguous.core.voice_likeness import ConversationVoices
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish import verdict
from dailytalk_contiguous.publish.findings import (
    Checked,
    Finding,
    FindingLimits,
    advice,
    error,
    findings_of_apps,
    loudness_of,
    loudness_of_wav,
    several,
    word_findings,
)
from dailytalk_contiguous.publish.items import DURATION_TOLERANCE, FiledItems, Items
from dailytalk_contiguous.publish.moshi_check import check_moshi, is_moshi
from dailytalk_contiguous.publish.opening import claimed, finished_items, open_items
from dailytalk_contiguous.publish.training_folder import is_mix
from dailytalk_contiguous.publish.version import MANIFEST, Version, file_differences
from dailytalk_contiguous.publish.voice_check import find_speaker_encoder, hear_voices, voice_facts, voice_findings
from dailytalk_contiguous.store import work_folder

if TYPE_CHECKING:
    from dailytalk_contiguous.models.speaker_encoder import SpeakerEncoder
    from dailytalk_contiguous.publish.exports import ExportFormat

_SPEAK_AGAIN = "build it again with `dailytalk speak`"
_NO_WORDS = "recognise its words, or give them beside the recording, and run `dailytalk build` again"
_CHECK_AGAIN = "see that you may read it, and check again"

#: Kinds of findings on rows whose voices are not compared.
_UNHEARD = {"unreadable-audio", "missing-audio", "not-stereo"}

#: Kinds of findings on rows that can't be used, by column.
_KINDS = {"utterances": "bad-utterance", "alignments": "bad-word", "sounds": "bad-sound"}


def check_rows(
    items: Items,
    limits: FindingLimits = verdict.LIMITS,
    references: Sequence[ReferenceCorpus] = (),
) -> Checked:
    """Check the rows of a folder or a version, their sound decoded; findings, and how much is in it.

    Rows of a version come over the network one row group at a time, so that checking needs no disk. Their audio
    has a digest, which shows a row that was changed after it was built.

    Raises DailytalkError if the Hub can't be read. A damaged file is a finding.
    """
    findings = list[Finding]()
    maker = TableMaker()
    ids = set[str]()
    splits = Counter[str]()
    encoder = find_speaker_encoder()
    voices: list[ConversationVoices] = []
    columns = [*LABELLED, "audio_sha256"] if items.kind == "version" else None
    for file in items.files if isinstance(items, FiledItems) else [""]:
        shown = str(file.relative_to(items.folder) if isinstance(file, Path) and items.folder else file)
        rows = items.rows(columns)
        if isinstance(items, FiledItems):
            rows = (row for _, row in items.rows_of(file, columns))

        try:
            with closing(side_by_side(partial(_judged, items, shown, encoder), rows, cores())) as judged:
                for row, location, is_used, of_row, heard in steps(
                    f"conversations of {shown or items.name} checked", judged
                ):
                    splits[row["split"]] += 1
                    name = row["conversation_id"]
                    if is_used and name in ids:
                        what = f"the conversation {name!r} occurs twice"
                        findings.append(error("duplicate", location, what, "delete one of the shards"))
                    elif is_used and not row["problem"]:
                        maker.add(row)
                        voices += [heard] if heard else []
                    findings += of_row
                    ids |= {name} if is_used else set()
        except BadInput as problem:
            findings.append(error("unreadable-shard", shown, problem.reason, problem.remedy))
        except OSError as problem:
            reason = f"it can't be read ({problem.strerror})"
            findings.append(error("unreadable-shard", shown, reason, _CHECK_AGAIN))
    if items.remedy:
        findings = [
            replace(finding, remedy=items.remedy) if finding.remedy == _SPEAK_AGAIN else finding
            for finding in findings
        ]
    for reject in items.rejects():
        maker.add_reject(reject)
    tables = maker.tables()
    whole = tables.conversations[["utterances", "words", "duration"]].sum()  # copies of clips, too
    hours = {
        f"hours_of_{what}": {name: round(of, 7) for name, of in sorted(figures.hours_of(tables, column).items())}
        for what, column in (("voice", "voices"), ("language", "language"))
    }
    facts = {
        "kind": {"conversations": "dataset", "clips": "dataset", "version": "published"}.get(
            items.kind, items.kind
        ),
        "conversations": len(ids),
        "utterances": int(whole["utterances"]),
        "words": int(whole["words"]),
        "hours": round(float(whole["duration"]) / 3600, 7),
        **hours,
        "measures": measure_facts(tables, references),
        **turn_end_facts(tables),
        **voice_facts(voices, limits),
        **({"splits": dict(splits)} if items.kind == "version" else {}),
    }
    run = (work_folder.read_run(items.folder) if items.folder else None) or {}
    return [*findings, *voice_findings(voices, limits), *verdict.all_findings(tables, run, limits)], facts


def _judged(
    items: Items, shown: str, encoder: "SpeakerEncoder | None", row: Row
) -> tuple[Row, str, bool, list[Finding], ConversationVoices | None]:
    """A row of the file that is shown so, its place, whether exports take it, the findings on it, and its voices.

    The voices are None without an encoder, of clips, and where the sound is not two channels.
    """
    place = f"{shown}: {row['conversation_id']}" if shown else row["conversation_id"]
    findings: list[Finding] = []
    if "audio_sha256" in row and hashlib.sha256(row["audio"]["bytes"] or b"").hexdigest() != row["audio_sha256"]:
        what = "its audio is not that of its audio_sha256"
        findings.append(error("changed-audio", place, what, _PUBLISH_AGAIN))
    if row["problem"]:
        kind = _KINDS.get(row["problem_column"], "bad-row")
        return row, place, True, [*findings, error(kind, place, row["problem"], _SPEAK_AGAIN)], None
    unused = items.unused(row)
    if unused:
        return row, place, False, [advice(unused[0], place, unused[1], items.remedy, "note")], None
    findings += row_findings(place, row)
    is_heard = all(finding.kind not in _UNHEARD for finding in findings)
    heard = hear_voices(encoder, row) if encoder and is_heard and not row["labels"] else None
    return row, place, True, findings, heard


def row_findings(file: str, row: Row) -> Iterator[Finding]:
    """Yield the findings on a row that can be used, its sound decoded; `file` is its name in them."""
    loudness = yield from loudness_of(file, lambda: row["audio"])
    if loudness:
        if loudness.channels != 2:
            what = f"its audio has {counted(loudness.channels, 'channel')}, not 2"
            yield error("not-stereo", file, what, _SPEAK_AGAIN)
        if loudness.sample_rate != row["sample_rate"]:
            what = f"the audio's rate is {loudness.sample_rate} Hz, the column says {row['sample_rate']}"
            yield error("wrong-rate", file, what, _SPEAK_AGAIN)
        if abs(loudness.seconds - row["duration"]) > DURATION_TOLERANCE:
            what = f"the column says {row['duration']:.3f} s, the audio has {loudness.seconds:.3f} s"
            yield error("wrong-duration", file, what, _SPEAK_AGAIN)
        if loudness.is_silent(0):
            yield error("silent-left", file, "the left channel, the re-voiced one, is silent", _SPEAK_AGAIN)
    utterances = row["utterances"] or []
    ids = [utterance["utterance_id"] for utterance in utterances]
    twice = sorted(str(name) for name, count in Counter(ids).items() if count > 1)
    yield from several("duplicate", file, twice, "utterance ids occur twice", len(ids), _SPEAK_AGAIN)
    mute = [
        utterance["utterance_id"]
        for utterance in utterances
        if utterance["status"] == "spoken"
        and not is_converted(utterance)
        and not (utterance["text"] or "").strip()
    ]
    yield from several("empty-text", file, mute, "utterances were spoken without text", len(ids), _SPEAK_AGAIN)
    wrong = [
        utterance["utterance_id"]
        for utterance in utterances
        if utterance["status"] != "dropped" and not utterance["end"] > utterance["start"]
    ]
    yield from several("bad-utterance", file, wrong, "utterances have no length", len(ids), _SPEAK_AGAIN)
    sounds = row["sounds"] or []
    outside = [
        f"{sound['start']}..{sound['end']} s"
        for sound in sounds
        if not 0 <= sound["start"] < sound["end"] <= row["duration"] + DURATION_TOLERANCE
    ]
    what = "sounds have no length or are outside the audio"
    yield from several("bad-sound", file, outside, what, len(sounds), _SPEAK_AGAIN)
    words = [
        SaidWord(word["word"] or "", word["start"], word["end"], word["speaker"], int(word["speaker"] == "right"))
        for word in row["alignments"] or ()
    ]
    if not any(word.channel == 0 for word in words):
        yield error("no-words", file, "no word of the left speaker, Moshi's, is aligned", _NO_WORDS)
    yield from word_findings(file, words, loudness)


_PUBLISH_AGAIN = "publish this version again"


def check_version(
    version: Version, limits: FindingLimits = verdict.LIMITS, references: Sequence[ReferenceCorpus] = ()
) -> Checked:
    """Check the files of a version against its manifest, and its rows; findings, and how much is in it.

    Raises DailytalkError if the version has no conversations, or can't be read.
    """
    items = open_items(version)
    findings: list[Finding] = []
    if MANIFEST in version.names:
        for name, difference in file_differences(version):
            what = f"it is not what {MANIFEST} names: {difference}"
            findings.append(error("not-in-manifest", name, what, _PUBLISH_AGAIN))
    else:
        what = "nothing says which files this version has"
        findings.append(advice("no-manifest", MANIFEST, what, _PUBLISH_AGAIN))
    of_rows, facts = check_rows(items, limits, references)
    return findings + of_rows, facts | {"commit": version.commit}


def check_folder(
    path: Path,
    limits: FindingLimits = verdict.LIMITS,
    references: Sequence[ReferenceCorpus] = (),
    format: str = "",
) -> Checked:
    """Check a training folder, a work folder (of a corpus, too), a folder of an app, or one of Parquet shards.

    `format` is that of an export that can't be
    recognised by its files: a name, or a person's own file, whose check is beside that of what the folder is.

    Returns the findings and facts: `kind` (the name of an export's format, `work`, `corpus`, `dataset`, or that of
    an app) and counts; of conversations `measures` beside those of published corpora and of `references`. Raises
    DailytalkError for a path that is no folder, or none of these.
    """
    from dailytalk_contiguous.publish.formats import FORMATS, format_named  # here: they load every writer

    if not path.is_dir():
        raise DailytalkError(f"{path} is no folder", "name a work folder, a dataset or a training folder")
    if format:
        findings, facts = _exported(path, format_named(format), limits)
        if not is_own_file(format):
            return findings, facts
        try:
            of_corpus, of_folder = check_folder(path, limits, references)
        except DailytalkError:
            what = f"only the check of {facts['kind']} has judged it"
            remedy = "run `dailytalk check` on the folder that it was exported from, too"
            return [*findings, advice(verdict.ONE_CHECK, ".", what, remedy, "note")], facts
        return findings + of_corpus, of_folder | facts
    if is_moshi(path / work_folder.DATA):
        findings, facts = check_moshi(path / work_folder.DATA, limits)
        if (path / work_folder.CLIPS).is_dir():
            findings += _clip_findings(path, limits)
        return findings, {"kind": "corpus"} | facts
    if any(
        (path / name).exists()
        for name in (work_folder.TRANSCRIPT, work_folder.SHIFTED, work_folder.DATASET, work_folder.RUN)
    ):
        return _work(path, limits, references)
    items = claimed(path)
    if items:
        return check_rows(items, limits, references)
    recognised = next((known for known in reversed(FORMATS.values()) if known.recognises(path)), None)
    if recognised:
        return _exported(path, recognised, limits)
    if any(shard.name not in work_folder.TABLES for shard in path.rglob("*.parquet")):
        return check_rows(finished_items(path), limits, references)
    raise DailytalkError(
        f"{path} is neither a work folder, a dataset nor a training folder that check knows",
        "name one of `dailytalk build`, `speak` or `corpus`, or an export that ends with `next: dailytalk check`",
    )


def _exported(folder: Path, format: "ExportFormat[Any]", limits: FindingLimits) -> Checked:
    """The findings of the format's own check, and of a mix of clips those on the clips."""
    if format.check is None:
        raise DailytalkError(f"nothing is known of what a folder for {format.reader} has to be", "use it as it is")
    findings, facts = format.check(folder, limits)
    if is_mix(folder) and all(finding.level != "error" for finding in findings):
        findings = findings + _clip_findings(folder, limits)
    return findings, {"kind": format.name} | facts


def _clip_findings(folder: Path, limits: FindingLimits) -> list[Finding]:
    """The findings on the clips of a corpus or a mix, each by its row, and on their labels."""
    from dailytalk_contiguous.publish.clip_figures import corpus_figures, findings_of_clips  # clips alone need it

    try:
        clips = corpus_figures(open_items(folder))
    except DailytalkError as problem:
        return [error("unreadable-record", ".", problem.reason, problem.remedy)]
    return findings_of_clips(clips, work_folder.read_run(folder) or {}, limits)


def _work(folder: Path, limits: FindingLimits, references: Sequence[ReferenceCorpus]) -> Checked:
    findings = list(_file_findings(folder))
    facts: dict[str, Any] = {"kind": "work"}
    record = work_folder.read_run(folder) or {}
    of_run = record.get("counts") or {}
    hours = record.get("hours") or {}
    facts |= {name: of_run[name] for name in ("conversations", "utterances") if isinstance(of_run.get(name), int)}
    for name in ("audio", "speech"):
        if documents.is_number(hours.get(name)):
            facts[f"hours_of_{name}"] = hours[name]
    if (folder / work_folder.DATASET).is_dir() and any((folder / work_folder.DATASET).rglob("*.parquet")):
        of_dataset, counts = check_rows(finished_items(folder), limits, references)
        findings += of_dataset
        facts |= counts | {"kind": "work"}
        if not counts["conversations"] and not any(finding.level == "error" for finding in of_dataset):
            what = "no conversation was finished: there is nothing to train on"
            lost = verdict.losses(record)
            remedy = verdict.remedy_of(lost, [*lost["reasons"], *lost["remedies"]])
            findings.append(error(verdict.NOTHING_FINISHED, ".", what, remedy))
    elif record or (folder / work_folder.TAGGED).is_dir() or (folder / work_folder.TRANSCRIPT).is_file():
        try:
            tables = open_items(folder).tables()
        except DailytalkError:  # its transcript, whose findings are there, or its shards
            tables = TableMaker(finished=False).tables()
        if not tables.n and facts.get("conversations"):
            findings.append(verdict.ONLY_TAGGED)
        findings += verdict.all_findings(tables, record, limits)
        facts["measures"] = measure_facts(tables, references)
    return findings + findings_of_apps(folder), facts


def _file_findings(folder: Path) -> Iterator[Finding]:
    """Yield the findings on the files of a work folder beside its shards: transcripts, and sound, decoded."""
    for name in (work_folder.TRANSCRIPT, work_folder.SHIFTED):
        if (folder / name).exists():
            yield from _transcript_lines(folder / name)
    wavs = sorted((folder / work_folder.AUDIO).rglob("*.wav"))
    for wav in steps("WAV files checked", wavs, len(wavs)):
        shown = str(wav.relative_to(folder))
        loudness = yield from loudness_of_wav(folder, shown)
        if loudness and loudness.channels != 2:
            what = f"it has {counted(loudness.channels, 'channel')}, not 2"
            yield error("not-stereo", shown, what, "build it again")


def measure_facts(tables: Tables, references: Sequence[ReferenceCorpus] = ()) -> list[dict[str, Any]]:
    """Return the measures of conversations beside those of other corpora; no part of the verdict."""
    return [
        {
            "measure": comparison.band.measure,
            "side": comparison.side,
            "value": round(comparison.value, 6),
            "corpus": comparison.reference.name,
            "published": {name: getattr(comparison.band, name) for name in ("low", "middle", "high")},
            "shown": [
                measure_text(comparison.band.measure, comparison.value),
                comparison.text(),
                comparison.band.text(),
            ],
            "where": comparison.where,
            "note": comparison.sentence() if noted else None,
            "meaning": comparison.meaning if noted else None,
        }
        for comparison in comparisons_of(tables.turn_taking, references)
        for noted in (comparison.is_remarkable and comparison.side != "right",)
    ]


def turn_end_facts(tables: Tables) -> dict[str, Any]:
    """How finished ends of turns sound, by side and timeline; nothing where nobody judged them."""
    known = figures.ends_of_turns(tables)
    of_sides = [
        {"side": side, "timeline": timeline} | {name: _rounded(value) for name, value in of._asdict().items()}
        for (side, timeline), of in known.items()
    ]
    return {"turn_ends": of_sides} if of_sides else {}


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [round(part, 4) for part in value]
    return round(value, 4) if isinstance(value, float) else value


def _transcript_lines(path: Path) -> Iterator[Finding]:
    known = (*FIELDS, *published((work_folder.read_run(path.parent) or {}).get("fields") or (), work_folder.RUN))
    lines_of: dict[str, int] = {}
    for number, fields in documents.json_lines(path, nan=True):
        location = f"{path.name}:{number}"
        if isinstance(fields, BadInput):
            yield error("bad-line", location, fields.reason, "correct or delete the line")
            continue
        problem = line_problem(fields, known, mixed=True)
        if problem and problem.key == "words":
            yield error("bad-word", location, problem.reason, "correct its words, or leave them out")
        elif problem:
            yield error("bad-line", location, problem.reason, "correct or delete the line")
            continue
        name = fields.get("utterance_id")
        if isinstance(name, str) and lines_of.setdefault(name, number) != number:
            what = f"the utterance {name} is in line {lines_of[name]} already"
            yield error("duplicate", location, what, "delete one of them, or give it another utterance_id")
        # One that was not resynthesised may lack a text: none was recognised, or the conversation says why.
        is_kept = fields.get("status", "spoken") != "spoken" or is_converted(fields)
        silent = no_text_reason(fields) or is_kept
        if not str(fields.get("text") or "").strip() and not silent:
            yield error("empty-text", location, "its text is empty", "write what is said, or delete the line")
