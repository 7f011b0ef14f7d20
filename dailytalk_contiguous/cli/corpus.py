"""`dailytalk corpus`: a published emotion corpus in, finished clips and a training folder out."""

import shlex
import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.options import (
    SHARD_MINUTES,
    AddressOption,
    DryRunOption,
    FollowLinksOption,
    ProfileStagesOption,
    RunnerOption,
    ScratchOption,
    ShardMinutesOption,
    ShardOption,
    TextConditionsOption,
    WorkersOption,
    chosen,
    either,
    on_this_machine,
    one_of,
    parse_shard,
    profile_option,
    setting_options,
    with_options,
)
from dailytalk_contiguous.cli.show import bar, profile_table
from dailytalk_contiguous.cli.terminal import AsJsonOption, Console, HelpPanel, option, show_verdict
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.profiles import STANDARD
from dailytalk_contiguous.pipelines import clip_stages
from dailytalk_contiguous.run.clip_plan import ClipPlan, corpus_pipeline
from dailytalk_contiguous.run.clips import (
    LAID_OUT,
    OPTIONS,
    build_corpus,
    intended_corpus,
    read_corpus,
    write_conversations,
)
from dailytalk_contiguous.run.passes import RUNNERS, runner_of
from dailytalk_contiguous.run.storage import OF_CORPUS, open_work
from dailytalk_contiguous.sources.corpora.registry import CLIP_CORPORA, CONVERSATION_CORPORA
from dailytalk_contiguous.stages.augment import Augment

#: What `--as` can be.
FORMS = ("clips", "conversations")


#: The options of `corpus` that are settings of its stages and of its plan.
CLIP_SETTINGS = setting_options(
    *chain(*clip_stages(device="cpu")), Augment(kinds=()), ClipPlan(), without=("affect_context",)
)


@with_options(CLIP_SETTINGS)
def corpus(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"The corpus: {either(sorted(CLIP_CORPORA))}.")],
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Its folder, or its zip archive.")],
    out: Annotated[
        Path,
        option(
            HelpPanel.INPUT, "Work folder: data/ for trainers, clips/ (Parquet), rejects.jsonl, …", metavar="DIR"
        ),
    ],
    form: Annotated[
        str,
        option(
            HelpPanel.INPUT,
            f"What to write: {either(FORMS)} (a folder for tag; {either(LAID_OUT)} only).",
            "--as",
            metavar="NAME",
        ),
    ] = FORMS[0],
    profile: Annotated[str, profile_option()] = STANDARD,
    text_conditions: TextConditionsOption = False,
    report_only: Annotated[
        bool,
        option(
            HelpPanel.RUN, "Measure, show what would be rejected, plot it, and write no clip.", "--report-only"
        ),
    ] = False,
    dry_run: DryRunOption = False,
    as_json: AsJsonOption = False,
    workers: WorkersOption = None,
    profile_stages: ProfileStagesOption = False,
    runner: RunnerOption = RUNNERS[0],
    address: AddressOption = "",
    shard: ShardOption = "1/1",
    scratch: ScratchOption = None,
    shard_minutes: ShardMinutesOption = SHARD_MINUTES,
    follow_links: FollowLinksOption = False,
    **options: Any,
) -> None:
    """Import a published emotion corpus: measure, filter, condition, split, balance, copy and describe its clips.

    With --asr-model none the words of a known text are spread over its clip; with --affect-model none the ratings
    are those that people gave.

    Finished work is never done again: run the same command after a stop, a crash, or a change of settings.
    """
    one_of("--as", form, FORMS)
    settings = chosen(options, CLIP_SETTINGS)
    if name in CONVERSATION_CORPORA:
        raise DailytalkError(
            f"{name} holds conversations, not clips",
            "run `dailytalk tag` on its folder"
            if name not in LAID_OUT.values()
            else "name dailytalk, and add --as conversations",
        )
    console = Console(stderr=as_json)
    if form == "conversations":
        on_this_machine("--out", out)
        clips_only = settings | {
            "report_only": report_only,
            "text_conditions": text_conditions,
            "dry_run": dry_run,
            "profile_stages": profile_stages,
            "runner": runner != RUNNERS[0],
            "address": address,
            "shard": shard != "1/1",
            "scratch": scratch,
        }
        for option, value in clips_only.items():
            if value and option != "seed":
                flag = "--" + option.replace("_", "-")
                raise DailytalkError(f"{flag} is for clips, not for --as conversations", "leave one of them out")
        laid_out = write_conversations(name, source, out, settings.get("seed", ClipPlan.seed), follow_links)
        show.laid_out(console, laid_out, out, as_json)
        raise typer.Exit(_code(laid_out.conversations, len(laid_out.rejects)))
    corpus_pipeline(profile, **settings)  # which refuses what can't be, before anything is written
    work = open_work(out, scratch)
    engine = runner_of(runner, address, work)
    settings |= {"device": engine.device(settings.get("device", "auto"))}
    stages, wanted = corpus_pipeline(profile, **settings)
    read = read_corpus(name, source, work.folder, wanted.agreed_only, follow_links)
    run_options = replace(
        OPTIONS,
        workers=workers or engine.few,
        shard=parse_shard(shard),
        shard_seconds=60 * shard_minutes,
        runner=engine,
    )
    show.slow_precision(console, stages[0], settings.get("affect_precision"))
    if dry_run:
        plan, left = intended_corpus(read, work.folder, stages, wanted, run_options)
        show.corpus_dry_run(console, read, plan, left, as_json)
        raise typer.Exit(0)
    command = as_text(shlex.join(["dailytalk", *sys.argv[1:]]))
    about = {"command": command, "settings": {"profile": profile}}
    with work.telling(), bar(console, quiet=as_json) as shown:
        outcome = build_corpus(
            read,
            work.folder,
            stages,
            wanted,
            run_options,
            about,
            planned=shown.planned,
            text_conditions=text_conditions,
            report_only=report_only,
        )
    work.settle(OF_CORPUS if outcome.record else ())
    show.corpus_outcome(console, read, outcome, work.folder, wanted, as_json)
    code = (3 if outcome.rejects else 0) if outcome.n_missing else _code(outcome.n_clips, len(outcome.rejects))
    if not as_json:
        show_verdict(console, code)
    if profile_stages:
        console.print(profile_table(outcome.account, outcome.wall_seconds))
    raise typer.Exit(code)


def _code(count: int, rejected: int) -> int:
    return 1 if not count else 3 if rejected else 0
