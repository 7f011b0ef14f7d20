"""The verdict of a dataset as `check` and `push` print it: its headline, and its first findings with remedies."""

from dailytalk_contiguous.cli.terminal import verbose
from dailytalk_contiguous.core.records.outcome import Judgement
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.checks.verdict import Verdict

#: Findings that are shown with --verbose.
SHOWN = 20

#: Findings that are shown without --verbose.
SHOWN_IN_SHORT = 6


def judgement_of(verdict: Verdict) -> Judgement:
    """Return the headline of a verdict, in green if it is good, and in red if it is bad."""
    is_fine = {"good": True, "bad": False}.get(verdict.level)
    return Judgement(verdict.headline, is_fine)


def finding_lines(verdict: Verdict) -> list[str]:
    """Return a line for each of the first findings, the worst first, and one that counts the others."""
    shown = verdict.findings[: SHOWN if verbose() else SHOWN_IN_SHORT]
    lines = [f"{finding.shown_level}: {finding.sentence}; {finding.remedy}" for finding in shown]
    n_more = len(verdict.findings) - len(shown)
    if n_more:
        lines.append(f"… {counted(n_more, 'more finding')} (-v shows more, --json all)")
    return lines
