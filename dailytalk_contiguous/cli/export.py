"""`dailytalk export` and `dailytalk check`: training folders, and whether a trainer would get along with them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from dailytalk_contiguous.cli.options import one_of
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.publish.checks import check as run_check
from dailytalk_contiguous.publish.csm import export_csm
from dailytalk_contiguous.publish.jmoshi import export_jmoshi
from dailytalk_contiguous.publish.moshi import export_moshi
from dailytalk_contiguous.publish.rows import built_rows
from dailytalk_contiguous.publish.snap_folder import snap_folder

FORMATS = ("moshi", "csm", "j-moshi")

#: Findings of a level that are shown before the reader is sent to --json.
SHOWN = 20


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of dailytalk speak or build.")],
    out: Annotated[Path, typer.Option(help="The training folder to write.")],
    format: Annotated[str, typer.Option(help=f"What for: {', '.join(FORMATS)}.")] = "moshi",
    eval_share: Annotated[
        float, typer.Option(min=0.01, max=0.5, help="Share of the time to evaluate on (moshi).")
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="Which conversations those are (moshi).")] = 0,
    both_speakers: Annotated[
        bool, typer.Option("--both-speakers", help="The other speaker's words too, as SPEAKER_OTHER.")
    ] = False,
    text_conditions: Annotated[
        bool, typer.Option("--text-conditions", help="The style as a condition; a stock model stops on it.")
    ] = False,
    swap: Annotated[bool, typer.Option("--swap", help="Exchange the roles of both speakers.")] = False,
    max_length: Annotated[
        float, typer.Option(min=0, help="Seconds; longer conversations are cut at mutual silence. 0: never.")
    ] = 0.0,
    sample_rate: Annotated[int, typer.Option(min=8000, max=96000, help="Hz. Moshi's is 24000.")] = 24000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Write a folder that a trainer reads: moshi-finetune's, transformers' CSM turns, or J-Moshi's."""
    one_of("--format", format, FORMATS)
    moshi_only = {
        "--both-speakers": both_speakers,
        "--text-conditions": text_conditions,
        "--max-length": max_length > 0,
    }
    if format != "moshi" and any(moshi_only.values()):
        named = ", ".join(option for option, given in moshi_only.items() if given)
        raise DailytalkError(f"{named} does not go with --format {format}", "leave it out, or export for moshi")
    rows = built_rows(folder)
    if format == "moshi":
        made = export_moshi(
            rows,
            out,
            eval_share=eval_share,
            seed=seed,
            both_speakers=both_speakers,
            text_conditions=text_conditions,
            swap=swap,
            max_length=max_length,
            sample_rate=sample_rate,
        )
        told = {"files": made.files, "windows": made.windows, "speakers_disjoint": made.disjoint}
        rejects = made.rejects
        count = sum(made.files.values())
        summary = f"{made.files['train']} files to train on, {made.files['eval']} to evaluate on"
    else:
        writer = export_csm if format == "csm" else export_jmoshi
        count, rejects = writer(rows, out, swap=swap, sample_rate=sample_rate)
        told = {"files": count}
        summary = f"{count} conversations for {format}"
    told |= {"out": str(out), "rejects": [reject.as_dict() for reject in rejects]}
    if as_json:
        print(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        _show_export(summary, out, rejects)
    raise typer.Exit(1 if not count else 3 if rejects else 0)


def check(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A work folder, a dataset, or a training folder.")],
    snap_words: Annotated[
        bool, typer.Option("--snap-words", help="First move the words of a Moshi folder to speech activity.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Judge a folder as a strict trainer would. Exit code 1 if one would fail, or silently learn garbage."""
    if not path.exists():
        raise DailytalkError(f"{str(path)!r} does not exist", "check the path")
    moved = snap_folder(path)._asdict() if snap_words else None
    findings, facts = run_check(path)
    if moved:
        facts["snapped"] = moved
    errors = [finding for finding in findings if finding.level == "error"]
    if as_json:
        told = {"facts": facts, "findings": [finding.as_dict() for finding in findings]}
        print(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        console = Console(highlight=False)
        for name, value in facts.items():
            console.print(f"{name.replace('_', ' ')}: {escape(_plain(value))}", soft_wrap=True)
        for level in ("error", "advice"):
            own = [finding for finding in findings if finding.level == level]
            for finding in own[:SHOWN]:
                console.print(
                    f"{level}: {escape(finding.file)}: {escape(finding.what)}; {escape(finding.remedy)}",
                    soft_wrap=True,
                )
            if len(own) > SHOWN:
                console.print(f"… {len(own) - SHOWN} more of the kind {level} (--json lists all)")
        console.print(f"errors: {len(errors)}, advice: {len(findings) - len(errors)}")
    raise typer.Exit(1 if errors else 0)


def _plain(value: object) -> str:
    """A fact as a person reads it."""
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_plain(one)}" for name, one in value.items()) or "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _show_export(summary: str, out: Path, rejects: Sequence[Reject]) -> None:
    console = Console(highlight=False)
    console.print(f"{summary} in {escape(str(out))}", soft_wrap=True)
    for reject in rejects[:SHOWN]:
        console.print(
            f"  set aside: {escape(reject.id)}: {escape(reject.reason)}; {escape(reject.remedy)}", soft_wrap=True
        )
    if len(rejects) > SHOWN:
        console.print(f"  … {len(rejects) - SHOWN} more (--json lists all)")
