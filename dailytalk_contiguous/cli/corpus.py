"""`dailytalk corpus`: a published emotion corpus in, finished clips and a training folder out."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.markup import escape

from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.show import bar, profile_table, stages_to_run
from dailytalk_contiguous.cli.terminal import (
    AsJsonOption,
    Console,
    HelpPanel,
    command_line,
    exit_code,
    option,
    plain_table,
    print_json,
    show_rejects,
    show_verdict,
)
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.sampling import MOST_WEIGHT
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.profiles import STANDARD
from dailytalk_contiguous.pipelines import NO_MODEL, clip_stages
from dailytalk_contiguous.publish.clip_figures import PLOT, plot_quality
from dailytalk_contiguous.publish.sections import MEASURES
from dailytalk_contiguous.run import clips
from dailytalk_contiguous.run.clip_plan import ClipPlan, corpus_pipeline
from dailytalk_contiguous.run.local import RunPlan
from dailytalk_contiguous.run.passes import RUNNERS, runner_of
from dailytalk_contiguous.run.storage import OF_CORPUS, open_work
from dailytalk_contiguous.sources.corpora import registry
from dailytalk_contiguous.sources.corpora.downloads import fetch_all
from dailytalk_contiguous.stages.augment import Augment
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion
from dailytalk_contiguous.stages.clip_words import PROPORTIONAL
from dailytalk_contiguous.stages.tokenise_prosody import TokeniseClip
from dailytalk_contiguous.store.hub import parse_reference

#: What `--as` can be.
FORMS = ("clips", "conversations")


#: The options of `corpus` that are settings of its stages and of its plan.
CLIP_SETTINGS = cli_options.setting_options(
    *chain(*clip_stages(device="cpu")),
    ClassifyEmotion(NO_MODEL),
    Augment(kinds=()),
    TokeniseClip(NO_MODEL),
    ClipPlan(),
    without=("affect_context",),
)


@cli_options.with_options(CLIP_SETTINGS)
def corpus(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help=f"The corpus: {cli_options.either(sorted(registry.CLIP_CORPORA))}."),
    ],
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="Its folder, its zip archive, or OWNER/NAME[@TAG] on the Hub."),
    ] = "",
    out: Annotated[
        Path | None,
        option(
            HelpPanel.INPUT, "Work folder: data/ for trainers, clips/ (Parquet), rejects.jsonl, …", metavar="DIR"
        ),
    ] = None,
    download: Annotated[
        Path | None,
        option(
            HelpPanel.INPUT,
            "Fetch the corpus from its home page into DIR, and do nothing else; goes on after a stop.",
            metavar="DIR",
        ),
    ] = None,
    accept_licence: Annotated[
        bool, option(HelpPanel.INPUT, "With --download: you take the licence that is shown.", "--accept-licence")
    ] = False,
    form: Annotated[
        str,
        option(
            HelpPanel.INPUT,
            f"What to write: {cli_options.either(FORMS)} "
            f"(a folder for tag; {cli_options.either(clips.LAID_OUT)} only).",
            "--as",
            metavar="NAME",
        ),
    ] = FORMS[0],
    profile: Annotated[str, cli_options.profile_option()] = STANDARD,
    text_conditions: cli_options.TextConditionsOption = False,
    report_only: Annotated[
        bool,
        option(
            HelpPanel.RUN, "Measure, show what would be rejected, plot it, and write no clip.", "--report-only"
        ),
    ] = False,
    dry_run: cli_options.DryRunOption = False,
    as_json: AsJsonOption = False,
    workers: cli_options.WorkersOption = None,
    profile_stages: cli_options.ProfileStagesOption = False,
    runner: cli_options.RunnerOption = RUNNERS[0],
    address: cli_options.AddressOption = "",
    shard: cli_options.ShardOption = "1/1",
    scratch: cli_options.ScratchOption = None,
    shard_minutes: cli_options.ShardMinutesOption = cli_options.SHARD_MINUTES,
    follow_links: cli_options.FollowLinksOption = False,
    **options: Any,
) -> None:
    """Import a published emotion corpus: measure, filter, condition, split, balance, copy and describe its clips.

    With --asr-model none the words of a known text are spread over its clip; with --affect-model none the ratings
    are those that people gave.

    Finished work is never done again: run the same command after a stop, a crash, or a change of settings.
    """
    console = Console(stderr=as_json)
    if download is not None:
        if source or out:
            raise DailytalkError("--download only fetches", "leave out SOURCE and --out, and give them afterwards")
        _download(console, name, download, accept_licence)
        return
    if not source or out is None:
        what = "SOURCE" if not source else "--out"
        raise DailytalkError(f"{what} is missing", "give the folder of the corpus and --out, or --download DIR")
    cli_options.one_of("--as", form, FORMS)
    settings = cli_options.chosen(options, CLIP_SETTINGS)
    if name in registry.CONVERSATION_CORPORA:
        raise DailytalkError(
            f"{name} holds conversations, not clips",
            "run `dailytalk tag` on its folder"
            if name not in clips.LAID_OUT.values()
            else "name dailytalk, and add --as conversations",
        )
    reference = None if Path(source).exists() else parse_reference(source)
    folder, hub = (Path(source), None) if reference is None else registry.corpus_on_hub(name, reference)
    follow_links = follow_links or hub is not None  # the Hub's cache is made of links
    if form == "conversations":
        cli_options.on_this_machine("--out", out)
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
        for parameter, value in clips_only.items():
            if value and parameter != "seed":
                flag = "--" + parameter.replace("_", "-")
                raise DailytalkError(f"{flag} is for clips, not for --as conversations", "leave one of them out")
        written = clips.write_conversations(name, folder, out, settings.get("seed", ClipPlan.seed), follow_links)
        laid_out(console, written, out, as_json)
        raise typer.Exit(exit_code(written.conversations, len(written.rejects)))
    corpus_pipeline(
        profile, **settings
    )  # raises DailytalkError for impossible settings before anything is written
    work = open_work(out, scratch)
    engine = runner_of(runner, address, work)
    settings |= {"device": engine.device(settings.get("device", "auto"))}
    stages, clip_plan = corpus_pipeline(profile, **settings)
    read = clips.read_corpus(name, folder, work.folder, clip_plan.agreed_only, follow_links)
    run_options = replace(
        clips.OPTIONS,
        workers=workers or engine.few,
        shard=cli_options.parse_shard(shard),
        shard_seconds=60 * shard_minutes,
        runner=engine,
    )
    show.slow_precision(console, stages[0], settings.get("affect_precision"))
    if dry_run:
        plan, left = clips.intended_corpus(read, work.folder, stages, clip_plan, run_options)
        corpus_dry_run(console, read, plan, left, as_json)
        raise typer.Exit(0)
    about: dict[str, Any] = {"command": command_line(), "settings": {"profile": profile}}
    about |= {"source": hub} if hub else {}
    with work.telling(), bar(console, quiet=as_json) as run_bar:
        outcome = clips.build_corpus(
            read,
            work.folder,
            stages,
            clip_plan,
            run_options,
            about,
            planned=run_bar.planned,
            text_conditions=text_conditions,
            report_only=report_only,
        )
    work.settle(OF_CORPUS if outcome.record else ())
    corpus_outcome(console, read, outcome, work.folder, clip_plan, as_json)
    code = (3 if outcome.rejects else 0) if outcome.n_missing else exit_code(outcome.n_clips, len(outcome.rejects))
    if not as_json:
        show_verdict(console, code)
    if profile_stages:
        console.print(profile_table(outcome.account, outcome.wall_seconds))
    raise typer.Exit(code)


def _download(console: Console, name: str, folder: Path, accepted: bool) -> None:
    """Fetch a corpus into a folder, where its licence is taken."""
    corpus = registry.corpus_named(name)
    about, source = corpus.ABOUT, corpus.download()
    for line in (
        f"{about.title}: {about.description}",
        f"licence: {about.licence}",
        f"home page: {about.homepage}",
    ):
        console.print(escape(line))
    console.print(escape(f"to be cited as: {about.citation}"))
    if not accepted:
        raise DailytalkError(
            f"{about.title} comes under the licence {about.licence}",
            "read it, and add --accept-licence to take it",
        )
    files = source.files()
    size = sum(file.size for file in files)
    console.print(f"{counted(len(files), 'file')}, {size / 1e6:,.0f} MB")
    tenths = 0

    def on_file(arrived: int, total: int) -> None:
        nonlocal tenths
        if (now := 10 * arrived // max(total, 1)) > tenths:
            tenths = now
            console.print(f"{arrived / 1e6:,.0f} of {total / 1e6:,.0f} MB")

    came = fetch_all(files, folder, on_file)
    console.print(f"{counted(came, 'file')} fetched, {len(files) - came:,} were there; all checksums are right")
    where = shlex.quote(as_text(folder))
    console.print(escape(f"go on with: dailytalk corpus {name} {where} --out DIR"))


_PERCENTILES = (1, 5, 50, 95, 99)


def corpus_outcome(
    console: Console, read: clips.Read, result: clips.CorpusOutcome, out: Path, clip_plan: ClipPlan, as_json: bool
) -> None:
    """Print what a run did, or would do."""
    if result.record is None and result.measured:
        plot_quality(result.measured, clip_plan.limits, out)
    if as_json:
        summary = result.record or {"measures": _quantiles(result.measured), "kept": len(result.kept)}
        summary = {**summary, "out": str(out), "seconds": round(result.wall_seconds, 2)}
        summary |= {"rejected": [reject.as_dict() for reject in result.rejects]}
        print_json(summary)
        return
    for sentence in read.counts:
        console.print(escape(sentence))
    if result.n_missing:
        missing = counted(result.n_missing, "shard")
        console.print(f"{missing} still missing: run the same command again once all hosts are done")
    elif result.record is None:
        _report(console, result, out)
    else:
        _record(console, result.record, out, clip_plan)
    _rejects(console, result.rejects, (result.record or {}).get("counts", {}).get("read", 0))


def corpus_dry_run(
    console: Console, read: clips.Read, plan: RunPlan, stages: Sequence[Stage], as_json: bool
) -> None:
    """Print what a run over a corpus would do first."""
    if as_json:
        shards = {"all": len(plan.paths), "to_make": len(plan.tasks)}
        print_json(
            {
                "clips": len(read.rows),
                "rejected": [problem.as_dict() for problem in read.problems],
                "shards": shards,
                "audio_seconds": round(plan.seconds, 2),
                "stages": [stage.name for stage in stages],
            }
        )
        return
    console.print(f"{counted(len(read.rows), 'clip')}, {length_text(sum(row['duration'] for row in read.rows))}")
    console.print(
        f"{counted(len(plan.paths), 'shard')}, {len(plan.tasks):,} of them to make ({length_text(plan.seconds)})"
    )
    stages_to_run(console, stages)
    _rejects(console, read.problems)


def laid_out(console: Console, result: clips.WrittenConversations, out: Path, as_json: bool) -> None:
    """Print which conversations were written."""
    if as_json:
        print_json(asdict(result) | {"out": str(out)})
        return
    for sentence in result.counts:
        console.print(escape(sentence))
    go_on = ": go on with `dailytalk tag`" if result.conversations else ""
    console.print(f"{counted(result.conversations, 'conversation')} in {escape(str(out))}{go_on}")
    _rejects(console, result.rejects)


def _report(console: Console, result: clips.CorpusOutcome, out: Path) -> None:
    table = plain_table("measure", *(f">{percentile} %" for percentile in _PERCENTILES))
    for name, values in _quantiles(result.measured).items():
        table.add_row(name, *(f"{value:.4g}" for value in values))
    console.print(table)
    console.print(f"{len(result.kept):,} of {counted(len(result.measured), 'measured clip')} would be kept")
    if result.measured:
        console.print(f"the measures are plotted with their limits in {escape(str(out / PLOT))}")
        console.print(f"to listen to what is beyond a limit: dailytalk report {escape(str(out))}")


def _quantiles(rows: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    quantiles = {}
    for name in MEASURES:
        values = [row[name] for row in rows if row[name] is not None]
        if values:
            quantiles[name] = [float(value) for value in np.percentile(values, _PERCENTILES)]
    return quantiles


def _record(console: Console, record: dict[str, Any], out: Path, clip_plan: ClipPlan) -> None:
    counts, split, balance = record["counts"], record["split"], record["balance"]
    console.print(
        f"{counted(counts['read'], 'file')}: {counted(counts['clips'], 'clip')} and {counts['copies']:,} copies, "
        f"{record['hours']['audio'] * 60:.1f} min, licence {escape(str(record['corpus']['licence']))}"
    )
    console.print("  " + ", ".join(f"{name} {count}" for name, count in counts["by_emotion"].items()))
    shared = counts["by_word_source"].get(PROPORTIONAL, 0)
    if shared:
        console.print(f"  the times of {shared} of {sum(counts['by_word_source'].values())} words are shared out")
    if counts["without_text"]:
        console.print(
            f"  {counted(counts['without_text'], 'clip')} without text: enough for emotion and tokens of prosody; "
            "a model of speech needs words (--asr-model)"
        )
    if split:
        official = " by the corpus's own split" if record["settings"]["split"] == "official" else ""
        console.print(f"  {split['share']:.0%} for validation{official}, disjoint in {split['disjoint_in']}")
        if split["note"]:
            console.print(f"  {escape(split['note'])}")
    if balance and balance["failure"]:
        copies = (
            f"{clip_plan.most_copies} copies of a clip"
            if record["settings"].get("augment")
            else "no copies (see --augment)"
        )
        most = copies if clip_plan.balance == "sample" else f"a weight of {MOST_WEIGHT:g}"
        console.print(f"  {escape(balance['failure'])}, with {most} at most")
    for shortfall in (balance or {}).get("shortfalls", []):
        console.print(f"  {escape(shortfall['to_record'])}")
    if counts["without_prompt"]:
        alone = counted(counts["without_prompt"], "clip")
        console.print(f"  {alone} without a prompt: no neutral line of another speaker")
    console.print(f"results in {escape(str(out))}: data/ for trainers, clips/, rejects.jsonl, run.json")


def _rejects(console: Console, rejects: Sequence[Reject], of: int = 0) -> None:
    """Print rejects by stage; `of` is how many files were read, where that is known."""
    for stage, count in Counter(reject.stage for reject in rejects).most_common():
        share = f"{count:,} of {counted(of, 'file')}" if of else f"{count:,}"
        of_stage = (reject.as_dict() for reject in rejects if reject.stage == stage)
        show_rejects(console, f"{share} by {stage}", "all with --json", of_stage)
