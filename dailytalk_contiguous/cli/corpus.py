"""`dailytalk corpus`: a published emotion corpus in, finished clips and a training folder out."""

import math
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.options import (
    SHARD_MINUTES,
    TIME,
    AddressOption,
    AffectModelOption,
    AffectPrecisionOption,
    AsrModelOption,
    ComputeTypeOption,
    DeviceOption,
    DryRunOption,
    FollowLinksOption,
    ProfileStagesOption,
    RunnerOption,
    ScratchOption,
    ShardMinutesOption,
    ShardOption,
    TextConditionsOption,
    WorkersOption,
    asr_windows_option,
    either,
    on_this_machine,
    one_of,
    parse_shard,
    profile_option,
    seed_option,
    time_of,
    time_text,
)
from dailytalk_contiguous.cli.show import bar, profile_table
from dailytalk_contiguous.cli.terminal import AsJsonOption, Console, HelpPanel, option, show_verdict
from dailytalk_contiguous.core.copies import KINDS
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.core.sampling import MODES, WAYS
from dailytalk_contiguous.models.affect import PRECISIONS
from dailytalk_contiguous.run.clip_plan import MOST_COPIES, CorpusSettings
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
from dailytalk_contiguous.sources.corpora.common import Corpus
from dailytalk_contiguous.sources.corpora.registry import CLIP_CORPORA, CONVERSATION_CORPORA
from dailytalk_contiguous.stages.transcribe import WINDOWS

#: What `--as` can be.
FORMS = ("clips", "conversations")

#: The divisions by default: those that corpora publish, where they are used with them, and speakers elsewhere.
_OWN_SPLITS = f"{Corpus.SPLIT}; " + ", ".join(
    f"{one.SPLIT} for {name}" for name, one in sorted(CLIP_CORPORA.items()) if one.SPLIT != Corpus.SPLIT
)


def _limit_shown(limit: float | None) -> float:
    """The default of a limit; inf where there is none."""
    return math.inf if limit is None else limit


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
    language: Annotated[
        str,
        option(HelpPanel.INPUT, "Only clips in this language (ISO 639-1).", metavar="CODE", show_default="all"),
    ] = CorpusSettings.language,
    agreed_only: Annotated[
        bool,
        option(HelpPanel.INPUT, "Only where raters heard what was intended (crema_d).", "--agreed-only"),
    ] = False,
    profile: Annotated[str, profile_option()] = CorpusSettings.profile,
    device: DeviceOption = CorpusSettings.device,
    asr_model: AsrModelOption = CorpusSettings.asr_model,
    affect_model: AffectModelOption = CorpusSettings.affect_model,
    affect_precision: AffectPrecisionOption = CorpusSettings.affect_precision,
    compute_type: ComputeTypeOption = CorpusSettings.compute_type,
    min_seconds: Annotated[
        float, option(HelpPanel.QUALITY, "Shortest clip; 0 sets no limit.", metavar="SECONDS")
    ] = _limit_shown(QualityLimits.shortest),
    max_seconds: Annotated[
        float, option(HelpPanel.QUALITY, "Longest clip; inf sets no limit.", metavar="SECONDS")
    ] = _limit_shown(QualityLimits.longest),
    min_snr: Annotated[
        float, option(HelpPanel.QUALITY, "Lowest signal-to-noise ratio; -inf sets no limit.", metavar="DB")
    ] = _limit_shown(QualityLimits.lowest_snr_db),
    max_clipping: Annotated[
        float, option(HelpPanel.QUALITY, "Share of clipped samples; inf sets no limit.", metavar="SHARE")
    ] = _limit_shown(QualityLimits.most_clipping),
    min_bandwidth: Annotated[
        float, option(HelpPanel.QUALITY, "Lowest bandwidth; 0 sets no limit.", metavar="HZ")
    ] = _limit_shown(QualityLimits.lowest_bandwidth_hz),
    min_speech_ratio: Annotated[
        float, option(HelpPanel.QUALITY, "Share of speech; 0 sets no limit.", metavar="SHARE")
    ] = _limit_shown(QualityLimits.lowest_speech_ratio),
    max_silence: Annotated[
        float,
        option(
            HelpPanel.QUALITY,
            "Longest silence inside a clip: 1.5s, 300ms; inf sets no limit.",
            metavar=TIME,
            parser=time_of("--max-silence", {"inf": math.inf}),
            show_default=time_text(_limit_shown(QualityLimits.longest_silence)),
        ),
    ] = _limit_shown(QualityLimits.longest_silence),
    reduce_noise_under: Annotated[
        float | None,
        option(
            HelpPanel.QUALITY,
            "Reduce the noise of clips under this signal-to-noise ratio.",
            metavar="DB",
            show_default="never",
        ),
    ] = CorpusSettings.reduce_noise_under,
    balance: Annotated[
        str,
        option(
            HelpPanel.BALANCE,
            f"Bring emotions to --target-minutes by {either(MODES)}.",
            metavar="NAME",
            show_default="no",
        ),
    ] = CorpusSettings.balance,
    target_minutes: Annotated[
        float | None,
        option(HelpPanel.BALANCE, "Minutes of each emotion.", metavar="N", show_default="30, or what there is"),
    ] = CorpusSettings.target_minutes,
    augment: Annotated[
        str,
        option(
            HelpPanel.BALANCE,
            f"Copies of training clips, by comma: {', '.join(KINDS)}.",
            metavar="NAME,…",
            show_default="none",
        ),
    ] = "",
    copies: Annotated[
        int,
        option(
            HelpPanel.BALANCE,
            "Copies of a clip, at most.",
            metavar="N",
            min=0,
            show_default=f"1; with --balance sample {MOST_COPIES}",
        ),
    ] = CorpusSettings.copies,
    noise_folder: Annotated[
        Path | None,
        option(
            HelpPanel.BALANCE,
            "Recordings of noise for --augment noise.",
            metavar="DIR",
            show_default="generated noise",
        ),
    ] = None,
    prompt_channel: Annotated[
        bool,
        option(
            HelpPanel.RESULT,
            "The right channel begins with a neutral line of another speaker.",
            "--prompt-channel",
        ),
    ] = False,
    text_conditions: TextConditionsOption = False,
    split: Annotated[
        str,
        option(
            HelpPanel.SPLITS,
            f"How clips are split: by {either(WAYS)} (as published).",
            metavar="NAME",
            show_default=_OWN_SPLITS,
        ),
    ] = CorpusSettings.split,
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
    seed: Annotated[int, seed_option()] = CorpusSettings.seed,
    asr_windows: Annotated[str, asr_windows_option()] = CorpusSettings.asr_windows,
    shard_minutes: ShardMinutesOption = SHARD_MINUTES,
    follow_links: FollowLinksOption = False,
) -> None:
    """Import a published emotion corpus: measure, filter, condition, split, balance, copy and describe its clips.

    With --asr-model none the words of a known text are spread over its clip; with --affect-model none the ratings
    are those that people gave.

    Finished work is never done again: run the same command after a stop, a crash, or a change of settings.
    """
    one_of("--as", form, FORMS)
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
        clips_only = {
            "--augment": augment,
            "--balance": balance,
            "--language": language,
            "--split": split,
            "--agreed-only": agreed_only,
            "--prompt-channel": prompt_channel,
            "--report-only": report_only,
            "--text-conditions": text_conditions,
            "--dry-run": dry_run,
            "--profile-stages": profile_stages,
            "--runner": runner != RUNNERS[0],
            "--address": address,
            "--shard": shard != "1/1",
            "--scratch": scratch,
        }
        for option, value in clips_only.items():
            if value:
                raise DailytalkError(f"{option} is for clips, not for --as conversations", "leave one of them out")
        laid_out = write_conversations(name, source, out, seed, follow_links)
        show.laid_out(console, laid_out, out, as_json)
        raise typer.Exit(_code(laid_out.conversations, len(laid_out.rejects)))
    settings = CorpusSettings(
        profile=profile,
        asr_model=asr_model,
        asr_windows=one_of("--asr-windows", asr_windows, WINDOWS),
        compute_type=compute_type,
        affect_model=affect_model,
        affect_precision=one_of("--affect-precision", affect_precision, ("auto", *PRECISIONS)),
        language=language,
        limits=QualityLimits(
            shortest=_limit(min_seconds),
            longest=_limit(max_seconds),
            lowest_snr_db=_limit(min_snr),
            most_clipping=_limit(max_clipping),
            lowest_bandwidth_hz=_limit(min_bandwidth),
            lowest_speech_ratio=_limit(min_speech_ratio),
            longest_silence=_limit(max_silence),
        ),
        agreed_only=agreed_only,
        split=split,
        balance=balance,
        target_minutes=target_minutes,
        augment=tuple(kind.strip() for kind in augment.split(",") if kind.strip()),
        noise_folder=os.fsdecode(noise_folder) if noise_folder else "",
        copies=copies,
        prompt_channel=prompt_channel,
        reduce_noise_under=reduce_noise_under,
        seed=seed,
        device=device,
    )
    settings.check()
    work = open_work(out, scratch)
    engine = runner_of(runner, address, work)
    settings = replace(settings, device=engine.device(device))
    read = read_corpus(name, source, work.folder, agreed_only, follow_links)
    options = replace(
        OPTIONS,
        workers=workers or engine.few,
        shard=parse_shard(shard),
        shard_seconds=60 * shard_minutes,
        runner=engine,
    )
    show.slow_precision(console, settings.affect, settings.device, settings.affect_precision)
    if dry_run:
        plan, stages = intended_corpus(read, work.folder, settings, options)
        show.corpus_dry_run(console, read, plan, stages, as_json)
        raise typer.Exit(0)
    about = {"command": as_text(shlex.join(["dailytalk", *sys.argv[1:]]))}
    with work.telling(), bar(console, quiet=as_json) as shown:
        outcome = build_corpus(
            read,
            work.folder,
            settings,
            options,
            about,
            planned=shown.planned,
            text_conditions=text_conditions,
            report_only=report_only,
        )
    work.settle(OF_CORPUS if outcome.record else ())
    show.corpus_outcome(console, read, outcome, work.folder, settings, as_json)
    code = (3 if outcome.rejects else 0) if outcome.n_missing else _code(outcome.n_clips, len(outcome.rejects))
    if not as_json:
        show_verdict(console, code)
    if profile_stages:
        console.print(profile_table(outcome.account, outcome.wall_seconds))
    raise typer.Exit(code)


def _limit(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _code(count: int, rejected: int) -> int:
    return 1 if not count else 3 if rejected else 0
