"""`dailytalk check`, and the limits by which it and `dailytalk report` judge."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.judgement import judgement_of, other_lines, reason_lines
from dailytalk_contiguous.cli.terminal import Panel, argument, option, shown_steps, verbose
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.errors import BadValue
from dailytalk_contiguous.core.records.finding import FindingLimits, NotChecked
from dailytalk_contiguous.core.records.outcome import Figures, Outcome, to_run
from dailytalk_contiguous.core.settings import one_of
from dailytalk_contiguous.publish.checking import check_folder, check_version
from dailytalk_contiguous.publish.checks.verdict import LIMITS, verdict_of
from dailytalk_contiguous.publish.opening import version_or_path
from dailytalk_contiguous.publish.version import Version

#: The option of the commands that judge conversations: `check` and `report`.
LIMIT = option(
    [],
    Panel.QUALITY,
    "Change the limit of a finding, or remove it; may be repeated; docs/options.md lists the limits.",
    metavar="NAME=VALUE|NAME=none",
)


def chosen_limits(values: Sequence[str]) -> FindingLimits:
    """Parse `--limit`. Raises BadValue."""
    limits = dict(LIMITS)
    for value in values:
        name, _, number = value.partition("=")
        limit = None
        if number != "none":
            try:
                limit = float(Fraction(number))  # a fraction is never NaN
            except ValueError:
                raise BadValue(f"--limit {value!r} has no number", f"write {name}=0.5, or {name}=none") from None
        limits[one_of("--limit", name, LIMITS)] = limit
    return limits


def check(
    source: str = argument(
        "PATH|OWNER/NAME", "A work folder, a dataset, a training folder, or a dataset on the Hub (OWNER/NAME@TAG)."
    ),
    revision: str | None = cli_options.REVISION,
    format: str = cli_options.format_option(""),
    limit: list[str] = LIMIT,
) -> Outcome:
    """Judge whether a folder or a version is good to train on.

    It is as strict as a trainer. The exit code is 1 if a trainer would fail, or silently learn something wrong.
    The verdict is good; doubtful (a model would learn distorted speech, or much is missing); bad (nobody should
    train on it as it is); or empty.
    """
    dataset = version_or_path(source, revision)
    limits = chosen_limits(limit)
    try:
        with shown_steps():
            if isinstance(dataset, Version):
                findings, facts = check_version(dataset, limits)
            else:
                findings, facts = check_folder(dataset, limits, format=format)
    except NotChecked as export:
        facts = {"kind": export.kind}
        return Outcome({"facts": facts, "findings": [], "verdict": None, "not_checked": str(export)}, str(export))
    size: Any = facts.get("conversations", facts.get("files", 0))
    n_items = sum(size.values()) if isinstance(size, dict) else int(size)
    verdict = verdict_of(findings, n_items)
    record = {
        "facts": facts,
        "findings": [finding.as_dict() for finding in findings],
        "verdict": verdict.as_dict(),
    }
    has_errors = any(finding.level == "error" for finding in findings)
    is_good_work = verdict.level == "good" and facts["kind"] == "work"
    return Outcome(
        record,
        judgement_of(verdict),
        code=1 if has_errors else 0,
        next=to_run("export", source, "--format", "moshi", "--out", "DIR") if is_good_work else "",
        after=[
            *reason_lines(verdict),
            *_total_lines(facts),
            *other_lines(verdict),
            *_turn_ends(facts),
        ],
    )


def _turn_ends(facts: Mapping[str, Any]) -> list[Figures]:
    """The judgements of ends of turns, with intervals of 90 % (`core.turns.turn_ends`)."""
    turn_ends = facts.get("turn_ends")
    if not turn_ends:
        return []
    columns = ("side", "timeline", "ends", "finished", "pauses", "finished", "end above pause")
    rows = []
    for side in turn_ends:
        at_shifts = "-" if side["at_shifts"] is None else f"{side['at_shifts']:.2f}"
        at_holds = _with_interval(side["at_holds"], side["at_holds_interval"])
        auc = _with_interval(side["auc"], side["auc_interval"])
        ends = (f"{side['n_shifts']}", at_shifts)
        holds = (f"{side['n_holds']}", at_holds)
        rows.append((side["side"], side["timeline"], *ends, *holds, auc))
    return [Figures(columns, rows)]


def _with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None or not interval:
        return "-"
    return f"{value:.2f} ({interval[0]:.2f} to {interval[1]:.2f})"


def _total_lines(facts: Mapping[str, Any]) -> list[str]:
    """The totals in words: with --verbose all facts, one a line.

    A size that each set has for itself is their sum, with the sizes of the sets: `4 files (train 3, eval 1)`.
    """
    lines: list[str] = []
    if verbose():
        lines += [f"{name} {_figure(name, facts[name])}" for name in facts if name != "turn_ends"]
    else:
        sizes: list[str] = []
        for name in ("hours", "words", "voices", "conversations", "files", "utterances"):
            size = facts.get(name)
            if size == {}:
                sizes.append(f"{name} not named")
            elif size is not None:
                total = sum(size.values()) if isinstance(size, dict) else size
                noun = name.removesuffix("s") if total == 1 else name
                parts = f" ({_figure(name, size)})" if isinstance(size, dict) else ""
                sizes.append(f"{_figure(name, total)} {noun}{parts}")
        lines.append(f"{facts['kind']}: {', '.join(sizes)}")
    return lines


def _figure(name: str, value: object) -> str:
    """A fact in words: hours have three digits, and what is counted for each of several has their names."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_figure(name, part)}" for key, part in value.items())
    if name.startswith("hours") and is_number(value):
        return three_digits(value)
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def three_digits(value: float) -> str:
    """A figure with three digits, and all digits before its point.

    >>> three_digits(0.1189311), three_digits(0.00002), three_digits(12.34567), three_digits(1234.5)
    ('0.119', '0.0000200', '12.3', '1,234')
    """
    n_decimals = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{n_decimals}f}"
