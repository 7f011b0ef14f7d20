"""What `dailytalk corpus` prints at its end: what was read and rejected, what came of it, and what is missing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from dailytalk_contiguous.cli.rejects import show_rejects
from dailytalk_contiguous.cli.terminal import Console, print_json
from dailytalk_contiguous.core.balance import MOST_WEIGHT
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.engine.corpus import Outcome
from dailytalk_contiguous.engine.corpus_conversations import LaidOut
from dailytalk_contiguous.engine.corpus_source import Read
from dailytalk_contiguous.engine.corpus_stages import CorpusSettings
from dailytalk_contiguous.publish.reporting.expressive_tally import MEASURES
from dailytalk_contiguous.publish.reporting.quality import PLOT, plot_quality
from dailytalk_contiguous.stages.clip_words import PROPORTIONAL

_PERCENTILES = (1, 5, 50, 95, 99)


def outcome(
    console: Console, read: Read, result: Outcome, out: Path, settings: CorpusSettings, as_json: bool
) -> None:
    """What a run did, or would do."""
    if result.record is None and result.measured:
        plot_quality(result.measured, settings.limits, out)
    if as_json:
        told = result.record or {"measures": _quantiles(result.measured), "kept": len(result.kept)}
        told = {**told, "out": str(out), "seconds": round(result.wall_seconds, 2)}
        told |= {"rejected": [reject.as_dict() for reject in result.rejects]}
        print_json(told)
        return
    for sentence in read.counts:
        console.print(escape(sentence))
    if result.record is None:
        _report(console, result, out)
    else:
        _record(console, result.record, out, settings)
    _rejects(console, result.rejects, (result.record or {}).get("counts", {}).get("read", 0))


def laid_out(console: Console, result: LaidOut, out: Path, as_json: bool) -> None:
    """What was written of conversations."""
    if as_json:
        print_json(asdict(result) | {"out": str(out)})
        return
    for sentence in result.counts:
        console.print(escape(sentence))
    go_on = ": go on with `dailytalk tag`" if result.conversations else ""
    console.print(f"{counted(result.conversations, 'conversation')} in {escape(str(out))}{go_on}")
    _rejects(console, result.rejects)


def _report(console: Console, result: Outcome, out: Path) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("measure")
    for percentile in _PERCENTILES:
        table.add_column(f"{percentile} %", justify="right")
    for name, values in _quantiles(result.measured).items():
        table.add_row(name, *(f"{value:.4g}" for value in values))
    console.print(table)
    console.print(f"{len(result.kept):,} of {counted(len(result.measured), 'measured clip')} would be kept")
    if result.measured:
        console.print(f"the measures are plotted with their limits in {escape(str(out / PLOT))}")


def _quantiles(rows: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    found = {}
    for name in MEASURES:
        values = [row[name] for row in rows if row[name] is not None]
        if values:
            found[name] = [float(value) for value in np.percentile(values, _PERCENTILES)]
    return found


def _record(console: Console, record: dict[str, Any], out: Path, settings: CorpusSettings) -> None:
    counts, split, balance = record["counts"], record["split"], record["balance"]
    console.print(
        f"{counted(counts['read'], 'file')}: {counted(counts['clips'], 'clip')} and {counts['copies']:,} copies, "
        f"{record['hours']['audio'] * 60:.1f} min, licence {escape(str(record['corpus']['licence']))}"
    )
    console.print("  " + ", ".join(f"{name} {count}" for name, count in counts["by_emotion"].items()))
    shared = counts["by_word_source"].get(PROPORTIONAL, 0)
    if shared:
        console.print(f"  the times of {shared} of {sum(counts['by_word_source'].values())} words are shared out")
    if split:
        official = " by the corpus's own split" if record["settings"]["split"] == "official" else ""
        console.print(f"  {split['share']:.0%} for validation{official}, disjoint in {split['disjoint_in']}")
        if split["note"]:
            console.print(f"  {escape(split['note'])}")
    if balance and balance["failure"]:
        copies = (
            f"{settings.most_copies} copies of a clip" if settings.most_copies else "no copies (see --augment)"
        )
        most = copies if settings.balance == "sample" else f"a weight of {MOST_WEIGHT:g}"
        console.print(f"  {escape(balance['failure'])}, with {most} at most")
    for one in (balance or {}).get("shortfalls", []):
        console.print(f"  {escape(one['to_record'])}")
    if counts["without_prompt"]:
        clips = counted(counts["without_prompt"], "clip")
        console.print(f"  {clips} without a prompt: no neutral line of another speaker")
    console.print(f"results in {escape(str(out))}: data/ for trainers, clips/, rejects.jsonl, run.json")


def _rejects(console: Console, rejects: Sequence[Reject], of: int = 0) -> None:
    """Rejects by stage; `of` is how many files were read, where that is known."""
    for stage, count in Counter(reject.stage for reject in rejects).most_common():
        share = f"{count:,} of {counted(of, 'file')}" if of else f"{count:,}"
        own = (reject.as_dict() for reject in rejects if reject.stage == stage)
        show_rejects(console, f"{share} by {stage}", "all with --json", own)
