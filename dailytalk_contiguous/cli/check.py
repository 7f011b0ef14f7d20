"""`dailytalk check`, and the limits by which it and `dailytalk report` judge."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, option, shown_steps, verbose
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.errors import BadValue
from dailytalk_contiguous.core.outcome import Figures, Judgement, Outcome, to_run
from dailytalk_contiguous.core.settings import one_of
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.checking import check_folder as run_check
from dailytalk_contiguous.publish.checking import check_version
from dailytalk_contiguous.publish.findings import FindingLimits
from dailytalk_contiguous.publish.opening import reference_at, version_or_path
from dailytalk_contiguous.publish.verdict import LIMITS, verdict_of
from dailytalk_contiguous.publish.version import Version

#: Findings that are shown, with --verbose and without.
SHOWN = 20
SHOWN_IN_SHORT = 6

#: The option of the commands that judge conversations: `check` and `report`.
LIMIT = option(
    [],
    Panel.QUALITY,
    "Another limit for a finding, or none; as often as you like; docs/options.md lists them.",
    metavar="NAME=VALUE|NAME=none",
)


def chosen_limits(values: Sequence[str]) -> FindingLimits:
    """Parse `--limit`. Raises BadValue."""
    limits = dict(LIMITS)
    for value in values:
        name, _, number = value.partition("=")
        try:
            # A fraction is never NaN.
            limits[one_of("--limit", name, LIMITS)] = None if number == "none" else float(Fraction(number))
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
    limit: list[str] = LIMIT,
) -> Outcome:
    """Judge whether a folder or a version is good to train on.

    It is as strict as a trainer. The exit code is 1 if a trainer would fail, or learn something wrong without a
    word. The verdict is good; doubtful (a model would learn distorted speech, or much is missing); bad (nobody
    should train on it as it is); or empty. The comparison with published corpora does not count.
    """
    dataset = version_or_path(source, revision)
    limits = chosen_limits(limit)
    references = [] if against is None else [reference_at(version_or_path(against, None))]
    with shown_steps():
        findings, facts = (
            check_version(dataset, limits, references)
            if isinstance(dataset, Version)
            else run_check(dataset, limits, references, format=format)
        )
    size: Any = facts.get("conversations", facts.get("files", 0))
    verdict = verdict_of(findings, sum(size.values()) if isinstance(size, dict) else int(size))
    sizes = [_size(name, facts[name]) for name in _SIZES if name in facts]
    details = [f"{facts['kind']}: {', '.join(sizes)}"]
    others = [
        (fact["measure"], fact["side"], *fact["shown"], fact["corpus"]) for fact in facts.get("measures", ())
    ]
    beside = [Figures(("measure", "side", "here", "is", "there", "corpus"), others)] if others else []
    judged = [_turn_end_cells(of) for of in facts.get("turn_ends", ())]
    ends = [Figures(_TURN_END_HEAD, judged)] if judged else []
    if verbose():
        details = [
            f"{name} {_figure(name, value)}"
            for name, value in facts.items()
            if name not in ("measures", "turn_ends")
        ]
    findings_shown = verdict.findings[: SHOWN if verbose() else SHOWN_IN_SHORT]
    for finding in findings_shown:
        level = "error" if finding.level == "error" else finding.severity
        details.append(f"{level}: {finding.sentence}; {finding.remedy}")
    more = len(verdict.findings) - len(findings_shown)
    if more:
        details.append(f"… {counted(more, 'more finding')} (-v shows more, --json all)")
    is_good_work = verdict.level == "good" and facts["kind"] == "work"
    return Outcome(
        {
            "facts": facts,
            "findings": [finding.as_dict() for finding in findings],
            "verdict": verdict.as_dict(),
        },
        Judgement(verdict.headline, {"good": True, "bad": False}.get(verdict.level)),
        1 if any(finding.level == "error" for finding in findings) else 0,
        [*beside, *ends, *details] if against or verbose() else [*ends, *details],
        next=to_run("export", source, "--format", "moshi", "--out", "DIR") if is_good_work else "",
    )


_TURN_END_HEAD = ("side", "timeline", "ends", "finished", "pauses", "finished", "end above pause")


def _turn_end_cells(of: dict[str, Any]) -> tuple[str, ...]:
    """A side's ends of turns in words, with intervals of 90 % (`core.turn_ends`)."""
    at_holds = _with_interval(of["at_holds"], of["at_holds_interval"])
    auc = _with_interval(of["auc"], of["auc_interval"])
    at_shifts = "-" if of["at_shifts"] is None else f"{of['at_shifts']:.2f}"
    return of["side"], of["timeline"], str(of["n_shifts"]), at_shifts, str(of["n_holds"]), at_holds, auc


def _with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    return f"{value:.2f} ({interval[0]:.2f} to {interval[1]:.2f})" if value is not None and interval else "-"


_SIZES = ("conversations", "files", "utterances", "words", "hours")


def _size(name: str, value: Any) -> str:
    """A size in words; of one for each set, their sum and the sizes of the sets: `4 files (train 3, eval 1)`."""
    if not isinstance(value, dict):
        return f"{_figure(name, value)} {name.removesuffix('s') if value == 1 else name}"
    return f"{_figure(name, sum(value.values()))} {name} ({_figure(name, value)})"


def _figure(name: str, value: Any) -> str:
    """A fact in words: hours have three digits, and what is counted for each of several has their names."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_figure(name, part)}" for key, part in value.items())
    return three_digits(value) if name.startswith("hours") and is_number(value) else str(value)


def three_digits(value: float) -> str:
    """A figure with three digits, and all digits before its point.

    >>> three_digits(0.1189311), three_digits(0.00002), three_digits(12.34567), three_digits(1234.5)
    ('0.119', '0.0000200', '12.3', '1,234')
    """
    n_decimals = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{n_decimals}f}"
