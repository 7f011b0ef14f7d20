"""The verdict of a dataset as `check` and `push` print it: a line, the weightiest reasons, and other findings."""

from collections.abc import Iterable

from dailytalk_contiguous.cli.terminal import verbose
from dailytalk_contiguous.core.records.finding import Finding
from dailytalk_contiguous.core.records.outcome import Judgement
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.checks.verdict import MOST_OF_A_KIND, Verdict, by_kind


def judgement_of(verdict: Verdict) -> Judgement:
    """Return the first line of a verdict, in green if it is good, and in red if it is bad."""
    is_fine = {"good": True, "bad": False}.get(verdict.level)
    return Judgement(verdict.summary, is_fine)


def reason_lines(verdict: Verdict) -> list[str]:
    """Return two lines for each of the weightiest reasons: the finding, and its remedy."""
    return _lines(verdict.reasons)


def other_lines(verdict: Verdict) -> list[str]:
    """Return two lines for each other finding; if a kind has many, some of them and their number without -v."""
    most = len(verdict.findings) if verbose() else MOST_OF_A_KIND
    lines = []
    for group in by_kind(verdict.other_findings, most):
        lines += _lines(group.findings)
        if group.n_more:
            lines.append(
                f"… {counted(group.n_more, 'more finding')} like the last one (-v lists them, --json, too)"
            )
    return lines


def _lines(findings: Iterable[Finding]) -> list[str]:
    lines = []
    for finding in findings:
        lines.append(f"{finding.shown_level}: {finding.sentence}")
        lines.append(f"  → {finding.remedy}")
    return lines
