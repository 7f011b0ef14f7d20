"""`dailytalk check`, and the limits by which it and `dailytalk report` judge."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.options import either
from dailytalk_contiguous.cli.terminal import Panel, argument, option, shown_steps, verbose
from dailytalk_contiguous.core.errors import BadValue, DailytalkError
from dailytalk_contiguous.core.outcome import Figures, Judgement, Outcome, to_run
from dailytalk_contiguous.core.turns import TURN_MEASURES
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.publish.checking import check_folder as run_check
from dailytalk_contiguous.publish.checking import check_version
from dailytalk_contiguous.publish.findings import Finding, FindingLimits
from dailytalk_contiguous.publish.opening import reference_at, version_or_path
from dailytalk_contiguous.publish.verdict import LIMITS, verdict_of
from dailytalk_contiguous.publish.version import Version

#: Findings that are shown, with --verbose and without.
SHOWN, SHOWN_IN_SHORT = 20, 6

#: The option of the commands that judge conversations: `check` and `report`.
LIMIT = option(
    None,
    Panel.QUALITY,
    "Another limit for a finding, or none; as often as you like; docs/options.md lists them.",
    metavar="NAME=VALUE|NAME=none",
)


def chosen_limits(values: Sequence[str] | None) -> FindingLimits:
    """Parse `--limit`. Raises BadValue."""
    limits = dict(LIMITS)
    for value in values or ():
        name, _, number = value.partition("=")
        if name not in LIMITS:
            raise BadValue(f"--limit {value!r} names no finding that has a limit", f"name {either([*LIMITS])}")
        try:
            limits[name] = None if number == "none" else float(number)
        except ValueError:
            raise BadValue(f"--limit {value!r} has no number", f"write {name}=0.5, or {name}=none") from None
    return limits


def check(
    source: str = argument(
        "PATH|OWNER/NAME", "A work folder, a dataset, a training folder, or a dataset on the Hub (OWNER/NAME@TAG)."
    ),
    revision: str | None = cli_options.REVISION,
    against: str | None = cli_options.AGAINST,
    format: str = option(
        "",
        Panel.INPUT,
        "Format of an export.",
        metavar="NAME|FILE.py",
        show_default="what the folder shows",
    ),
    limit: list[str] | None = LIMIT,
) -> Outcome:
    """Judge whether a folder or a version is good to train on.

    As a strict trainer would. Exit code 1 if a trainer would fail, or silently learn garbage. The verdict is good;
    doubtful (what is learnt is distorted, or much is missing); bad (nobody should train on it as it is); or empty.
    How the two speak, beside published corpora, is no part of it.
    """
    dataset, limits = version_or_path(source, revision), chosen_limits(limit)
    if isinstance(dataset, Path) and not dataset.exists():
        raise DailytalkError(f"{source!r} does not exist", "check the path, or name OWNER/NAME")
    references = [] if against is None else [reference_at(version_or_path(against, None))]
    with shown_steps():
        findings, facts = (
            check_version(dataset, limits, references)
            if isinstance(dataset, Version)
            else run_check(dataset, limits, references, format=format)
        )
    errors = [finding for finding in findings if finding.level == "error"]
    size: Any = facts.get("conversations", facts.get("files", 0))
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
        _details(facts, verdict.findings if verbose() else others, against is not None),
        next=first_step,
    )


def _details(
    facts: Mapping[str, Any], findings: Sequence[Finding], compared: bool
) -> list[str | Judgement | Figures]:
    """The size, the worst findings, and, where another corpus was named, the measures beside it; all with -v."""
    whole, details, shown = verbose(), list[str | Judgement | Figures](), SHOWN if verbose() else SHOWN_IN_SHORT
    sizes = [
        f"{title} {_plain(facts[name], unit)}"
        for name in (facts if whole else _SIZES)
        if name != "measures" and facts.get(name) not in ({}, None)
        for title, unit in (_FACTS.get(name, (name, "")),)
    ]
    details += sizes if whole else [f"{facts['kind']}: {', '.join(sizes)}"]
    measures = facts.get("measures") or ()
    if compared or whole:
        details += _beside_others(measures)
    elif differ := sum(fact["note"] is not None for fact in measures):
        measured = f"{differ:,} of {counted(len(measures), 'measure')} of how the two speak"
        details.append(f"{measured} are unlike those of published corpora (-v shows them)")
    for finding in findings[:shown]:
        label = {"doubtful": "advice"}.get(finding.severity, finding.severity)
        label = "error" if finding.level == "error" else label
        details.append(f"{label}: {finding.sentence}; {finding.remedy}")
    if len(findings) > shown:
        more = counted(len(findings) - shown, "more finding")
        details.append(f"… {more} ({'--json' if whole else '-v'} shows them)")
    return details


def _beside_others(measures: Sequence[Mapping[str, Any]]) -> list[str | Judgement | Figures]:
    if not measures:
        return []
    rows = []
    for fact in measures:
        here, where, there = fact["shown"]
        title, meaning = TURN_MEASURES[fact["measure"]].title, fact["meaning"] or ""
        rows.append((title, fact["side"], here, where, fact["corpus"], there, meaning))
    return ["", Figures(("measure", "side", "here", "is", "corpus", "there", "what that means"), rows), ""]


#: Facts that are shown with another name, and their units (`h`: shown as a length).
_FACTS = {
    "hours": ("length", "h"),
    "hours_of_audio": ("length of the recordings", "h"),
    "hours_of_speech": ("speech in the recordings", "h"),
    "hours_of_voice": ("length by voice", "h"),
    "hours_of_language": ("length by language", "h"),
    "hours_of_role": ("speech by role", "h"),
    "words_of_speaker": ("words by speaker", ""),
    "padding": ("share of padding in the windows", ""),
    "duration_sec": ("length of a window", "s"),
    "batch_size": ("windows in a batch", ""),
    "splits": ("conversations by split", ""),
}

_SIZES = ("conversations", "files", "utterances", "words", "hours")


def _plain(value: object, unit: str) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(part, unit)}" for name, part in value.items()) or "none"
    if unit == "h" and isinstance(value, float):
        return length_text(3600 * value)
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return f"{text} {unit}".strip()
