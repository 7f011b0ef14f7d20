"""`dailytalk export` and `dailytalk check`: training folders, and whether a trainer can use them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.defaults import default_settings
from dailytalk_contiguous.cli.terminal import Panel, argument, option, shown_steps
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.outcome import Figures, Judgement, Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.settings import with_settings
from dailytalk_contiguous.core.turns import TURN_MEASURES
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.publish.annotation_formats import annotated_rows
from dailytalk_contiguous.publish.checking import check_folder as run_check
from dailytalk_contiguous.publish.checking import check_version
from dailytalk_contiguous.publish.exports import TWO_LISTS, ExportFormat, ExportSettings, write_export
from dailytalk_contiguous.publish.formats import FORMATS
from dailytalk_contiguous.publish.interactivity import ClipChoice, clips_found
from dailytalk_contiguous.publish.items import SMALL, open_items, reference_at
from dailytalk_contiguous.publish.packing import origin
from dailytalk_contiguous.publish.readme import readme
from dailytalk_contiguous.publish.verdict import Finding, FitnessLimits, Verdict, verdict_of
from dailytalk_contiguous.publish.version import Version, version_or_path
from dailytalk_contiguous.store.work_folder import TRANSCRIPT, read_run

#: Where the splits of a published dataset go in Moshi's.
SIDES = {"train": "train", "validation": "eval"}

#: Findings of a level that are shown before the reader is sent to --json; all together without --verbose.
SHOWN, SHOWN_IN_SHORT = 20, 6


#: The options of `export` that a format may take.
EXPORT_SETTINGS = cli_options.setting_options(ExportSettings())


@cli_options.with_options(EXPORT_SETTINGS)
def export(
    source: str = argument(
        "DIR|OWNER/NAME",
        "Folder of build, speak, corpus (annotations: tag, too), clips with a whisper.json, or a Hub dataset.",
        default="",
    ),
    out: Path | None = cli_options.out_option(None),
    format: str = option("moshi", Panel.INPUT, "Which trainer or tool it is for: see --list.", metavar="NAME"),
    list_formats: bool = option(False, Panel.INPUT, "Say what every format holds, and who reads it.", "--list"),
    revision: str | None = cli_options.REVISION,
    split: str = cli_options.split_option("train"),
    **options: Any,
) -> Outcome:
    """Write a folder that a trainer or a tool reads.

    A published dataset keeps its split, unless --eval-share is given; --split is for formats of one list.
    """
    if list_formats:
        return _listed_formats()
    if not source or out is None:
        raise DailytalkError("export needs a folder or dataset, and --out", "name them, or give --list")
    cli_options.one_of("--format", format, FORMATS)
    cli_options.on_this_machine("--out", out)
    layout, settings = FORMATS[format], cli_options.chosen(options, EXPORT_SETTINGS)
    if rows := layout.source(Path(source)):
        if split:
            raise DailytalkError("--split is for what has splits", "leave it out")
        selection = _Selection(rows)
    elif "timeline" in layout.options:
        timeline, splits = settings.get("timeline", "source"), (split,) if split else None
        selection = _Selection(annotated_rows(version_or_path(source, revision), timeline, splits))
    else:
        dataset = version_or_path(source, revision)
        selection = _select(dataset, layout, split, settings.get("eval_share"))
        if per_kind := settings.get("per_kind"):
            find = partial(clips_found, ExportSettings(**settings), layout)
            choice = ClipChoice(per_kind, settings.get("seed", 0), find)
            for row in _select(dataset, layout, split, settings.get("eval_share"), SMALL).rows:
                choice.add(row)
            settings["clips"] = choice.ids
        if isinstance(dataset, Path):
            settings["licence"] = origin(dataset).source_licence
    if selection.sides is not None and settings.get("seed") and not settings.get("per_kind"):
        raise DailytalkError("--seed decides nothing where the published split is kept", "give --eval-share too")
    run = read_run(Path(source)) or {}
    about = partial(readme, out.absolute().name, run=run, defaults=default_settings())
    done = write_export(selection.rows, out, layout, sides=selection.sides, readme=about, **settings)
    if layout.sides == TWO_LISTS:
        train, evaluate = (done.files[side] for side in layout.sides)
        sentence = f"{counted(train, layout.unit)} to train on, {evaluate:,} to evaluate on"
        sentence += "" if done.disjoint else ", some of the same speakers"
    else:
        sentence = f"{counted(done.files['train'], layout.unit)} as {format}"
    sentence = ", ".join([sentence, *done.notes])
    sentence += "".join(f", the {count} of {name} left out" for name, count in selection.left_out.items())
    count = sum(done.files.values())
    next_step = to_run(layout.then, out) if layout.then else ""
    next_step = ", then ".join([next_step, *done.facts.get("commands", ())])  # of a trainer that has some
    if layout.then == "edits":
        comes_back = settings.get("timeline") != "rebuilt" and (Path(source) / TRANSCRIPT).is_file()
        next_step = f"edit its files, then {to_run('edits', source, out)}" if comes_back else ""
    return Outcome(
        {
            "files": done.files,
            "speakers_disjoint": done.disjoint,
            **done.facts,
            "left_out": dict(selection.left_out),
            "left_out_parts": dict(done.left_out),
            "out": str(out),
            "rejects": [reject.as_dict() for reject in done.rejects],
        },
        f"{sentence} in {as_text(out)}",
        exit_code(count, len(done.rejects)),
        [f"left out: {reason}: {n:,}" for reason, n in sorted(done.left_out.items())],
        rejected_of(done.rejects, layout.noun),
        next=next_step,
    )


def _listed_formats() -> Outcome:
    """What `--list` says."""
    about = ("reader", "holds", "loses", "checked")
    listed = {name: {field: getattr(layout, field) for field in about} for name, layout in FORMATS.items()}
    details = [
        line
        for name, facts in listed.items()
        for line in (
            f"{name}: for {facts['reader']}",
            f"  holds {facts['holds']}",
            f"  loses {facts['loses']}",
            f"  read back in tests by {facts['checked']}",
        )
    ]
    return Outcome(listed, counted(len(FORMATS), "format"), details=details)


class _Selection(NamedTuple):
    """Conversations, `train` or `eval` of each where that is settled, and how many are left out, by split."""

    rows: Iterator[Row]
    sides: dict[str, str] | None = None
    left_out: Mapping[str, int] = {}


def _select(
    source: Path | Version,
    layout: ExportFormat[Any],
    split: str,
    eval_share: float | None,
    columns: Iterable[str] | None = None,
) -> _Selection:
    """The conversations to export: none of `test`, nor of `validation` where a format has no list for it."""
    items, two_lists = open_items(source, finished=True), layout.sides == TWO_LISTS
    if split and (two_lists or items.kind == "conversations"):
        raise DailytalkError("--split is for what has splits, and for formats of one list", "leave it out")
    split_of = items.splits()
    if not split_of and items.kind != "version":
        return _Selection(items.rows(columns))
    counts = Counter(split_of.values())
    splits = SIDES if two_lists else (split or "train",)
    if not counts.keys() & set(splits):
        raise DailytalkError(
            f"{source} has no conversations in {' or '.join(splits)}", f"it has {', '.join(counts) or 'none'}"
        )
    sides = {name: SIDES.get(split_name, "") for name, split_name in split_of.items()} if two_lists else None
    return _Selection(
        items.rows(columns, tuple(splits)),
        None if eval_share else sides,
        {name: count for name, count in counts.items() if name not in splits},
    )


#: Options of the commands that judge conversations: `check` and `report`.
FITNESS_SETTINGS = cli_options.setting_options(FitnessLimits())


def fitness_limits(options: Mapping[str, Any]) -> FitnessLimits:
    return with_settings((FitnessLimits(),), cli_options.chosen(options, FITNESS_SETTINGS))[0]


@cli_options.with_options(FITNESS_SETTINGS)
def check(
    source: str = argument(
        "PATH|OWNER/NAME", "A work folder, a dataset, a training folder, or a dataset on the Hub (OWNER/NAME@TAG)."
    ),
    revision: str | None = cli_options.REVISION,
    against: str | None = cli_options.AGAINST,
    verbose: bool = option(False, Panel.RESULT, "All figures and findings.", "--verbose", "-v"),
    **options: Any,
) -> Outcome:
    """Judge whether a folder or a version is good to train on.

    As a strict trainer would. Exit code 1 if a trainer would fail, or silently learn garbage. The verdict is good;
    doubtful (what is learnt is distorted, or much is missing); bad (nobody should train on it as it is); or empty.
    How the two speak, beside published corpora, is no part of it.
    """
    dataset, limits = version_or_path(source, revision), fitness_limits(options)
    if isinstance(dataset, Path) and not dataset.exists():
        raise DailytalkError(f"{source!r} does not exist", "check the path, or name OWNER/NAME")
    references = [] if against is None else [reference_at(version_or_path(against, None))]
    with shown_steps():
        findings, facts = (
            check_version(dataset, limits, references)
            if isinstance(dataset, Version)
            else run_check(dataset, limits, references)
        )
    errors = [finding for finding in findings if finding.level == "error"]
    size = facts.get("conversations", facts.get("files", 0))
    verdict = verdict_of(findings, sum(size.values()) if isinstance(size, dict) else int(size))
    judged = Judgement(verdict.headline, {"good": True, "bad": False}.get(verdict.level))
    reason, *others = verdict.findings or (None,)
    if verdict.level in ("good", "empty") or reason is None:
        others, first_step = [*verdict.findings], ""
        if verdict.level == "good" and facts["kind"] == "work":
            first_step = to_run("export", source, "--format", "moshi", "--out", "DIR")
    else:
        first_step = reason.remedy  # the headline has its sentence
    return Outcome(
        {
            "facts": facts,
            "findings": [finding.as_dict() for finding in findings],
            "verdict": verdict.as_dict(),
        },
        judged,
        1 if errors else 0,
        [judged, *_all(facts, verdict)] if verbose else _few(facts, others, against is not None),
        next=first_step,
    )


def _few(facts: Mapping[str, Any], findings: Sequence[Finding], compared: bool) -> list[str | Judgement | Figures]:
    """How much there is, the worst findings, and, where another corpus was named, the measures beside it."""
    sizes = [
        f"{title} {_plain(value, unit)}"
        for name in _SIZES
        if (value := facts.get(name)) not in ({}, None)
        for title, unit in (_FACTS.get(name, (name, "")),)
    ]
    details: list[str | Judgement | Figures] = [f"{facts['kind']}: {', '.join(sizes)}"]
    measures = facts.get("measures") or ()
    if compared:
        details += _beside_others(measures)
    elif differ := sum(fact["note"] is not None for fact in measures):
        measured = f"{differ:,} of {counted(len(measures), 'measure')} of how the two speak"
        details.append(f"{measured} are unlike those of published corpora (-v shows them)")
    details += [
        f"{_label(finding)}: {finding.sentence}; {finding.remedy}" for finding in findings[:SHOWN_IN_SHORT]
    ]
    if len(findings) > SHOWN_IN_SHORT:
        details.append(f"… {counted(len(findings) - SHOWN_IN_SHORT, 'more finding')} (-v shows them)")
    return details


def _all(facts: Mapping[str, Any], verdict: Verdict) -> list[str | Judgement | Figures]:
    """All facts, the measures beside those of other corpora, and the findings of each kind."""
    details: list[str | Judgement | Figures] = []
    for name, value in facts.items():
        if name == "measures":
            details += _beside_others(value)
        elif value not in ({}, None):
            title, unit = _FACTS.get(name, (name, ""))
            details.append(f"{title}: {_plain(value, unit)}")
    for label, group in groupby(verdict.findings, _label):
        sentences = [f"{label}: {finding.sentence}; {finding.remedy}" for finding in group]
        details += sentences[:SHOWN]
        if len(sentences) > SHOWN:
            details.append(f"… {len(sentences) - SHOWN} more of the kind {label} (--json lists all)")
    return details


def _label(finding: Finding) -> str:
    return _LABELS.get(finding.severity, finding.severity) if finding.level == "advice" else "error"


def _beside_others(measures: Sequence[Mapping[str, Any]]) -> list[str | Judgement | Figures]:
    """The measures of conversations beside those of other corpora, and what the differences mean."""
    if not measures:
        return []
    rows = []
    for fact in measures:
        here, where, there = fact["shown"]
        title, meaning = TURN_MEASURES[fact["measure"]].title, fact["meaning"] or ""
        rows.append((title, fact["side"], here, where, fact["corpus"], there, meaning))
    return ["", Figures(("measure", "side", "here", "is", "corpus", "there", "what that means"), rows), ""]


#: Severities that are called otherwise in the list of findings.
_LABELS = {"doubtful": "advice"}

#: What people read of a fact of `check`: its name, and its unit (`h`: shown as a length). Others need none.
_FACTS = {
    "hours": ("length", "h"),
    "hours_of_audio": ("length of the recordings", "h"),
    "hours_of_speech": ("speech in the recordings", "h"),
    "hours_of_voice": ("length by voice", "h"),
    "hours_of_language": ("length by language", "h"),
    "hours_of_role": ("speech by role", "h"),
    "words_of_speaker": ("words by speaker", ""),
    "duration_sec": ("length of a window", "s"),
    "batch_size": ("windows in a batch", ""),
    "splits": ("conversations by split", ""),
}


#: Facts that say how much there is.
_SIZES = ("conversations", "files", "utterances", "words", "hours")


def _plain(value: object, unit: str) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(part, unit)}" for name, part in value.items()) or "none"
    if unit == "h" and isinstance(value, float):
        return length_text(3600 * value)
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return f"{text} {unit}".strip()
