"""`dailytalk corpus`: a published emotion corpus in, finished clips and a training folder out."""

import math
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.options import TIME, on_this_machine, one_of, time_of
from dailytalk_contiguous.cli.show import bar
from dailytalk_contiguous.cli.terminal import Console, show_verdict
from dailytalk_contiguous.core.copies import KINDS
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.core.sampling import MODES, WAYS
from dailytalk_contiguous.models.profiles import PROFILES
from dailytalk_contiguous.run.clip_plan import MOST_COPIES, NO_MODEL, CorpusSettings
from dailytalk_contiguous.run.clips import LAID_OUT, CorpusOptions, build_corpus, read_corpus, write_conversations
from dailytalk_contiguous.sources.corpora.common import Corpus
from dailytalk_contiguous.sources.corpora.registry import CLIP_CORPORA, CONVERSATION_CORPORA
from dailytalk_contiguous.stages.transcribe import WINDOWS

#: What `--as` can be.
FORMS = ("clips", "conversations")

#: The divisions by default: those that corpora publish, where they are used with them, and speakers elsewhere.
_OWN_SPLITS = f"{Corpus.SPLIT}; " + ", ".join(
    f"{one.SPLIT} for {name}" for name, one in sorted(CLIP_CORPORA.items()) if one.SPLIT != Corpus.SPLIT
)


def corpus(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of {', '.join(sorted(CLIP_CORPORA))}.")],
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Its folder, or its zip archive.")],
    out: Annotated[Path, typer.Option(help="Work folder: data/ for trainers, clips/ (Parquet), rejects.jsonl …")],
    profile: Annotated[str, typer.Option(help=f"Set of models: {', '.join(PROFILES)}.")] = "standard",
    asr_model: Annotated[
        str, typer.Option(help=f"As of tag; {NO_MODEL} shares words out.", show_default="the profile's")
    ] = "",
    asr_windows: Annotated[str, typer.Option(help=f"As of tag: {', '.join(WINDOWS)}.")] = "packed",
    compute_type: Annotated[
        str, typer.Option(help="Whisper's precision; auto: int8 on CPU, float16 on CUDA.")
    ] = "auto",
    affect_model: Annotated[
        str,
        typer.Option(help=f"As of tag; {NO_MODEL} keeps people's ratings only.", show_default="the profile's"),
    ] = "",
    language: Annotated[
        str, typer.Option(help="Only clips in this language (ISO 639-1).", show_default="all")
    ] = "",
    split: Annotated[
        str, typer.Option(help=f"What the sides don't share: {', '.join(WAYS)}.", show_default=_OWN_SPLITS)
    ] = "",
    augment: Annotated[
        str, typer.Option(help=f"Copies of training clips, by comma: {', '.join(KINDS)}.", show_default="none")
    ] = "",
    copies: Annotated[
        int,
        typer.Option(min=0, help="Of a clip, at most.", show_default=f"1; with --balance sample {MOST_COPIES}"),
    ] = 0,
    noise_folder: Annotated[
        Path | None, typer.Option(help="Recordings of noise.", show_default="generated noise")
    ] = None,
    balance: Annotated[
        str, typer.Option(help=f"Bring emotions to their minutes: {', '.join(MODES)}.", show_default="no")
    ] = "",
    target_minutes: Annotated[
        float | None, typer.Option(help="Minutes of each emotion.", show_default="30, or what there is")
    ] = None,
    prompt_channel: Annotated[
        bool, typer.Option("--prompt-channel", help="Right: a neutral line of another speaker comes first.")
    ] = False,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Follow symbolic links that lead out of SOURCE.")
    ] = False,
    agreed_only: Annotated[
        bool, typer.Option("--agreed-only", help="Only where raters heard what was intended (crema_d).")
    ] = False,
    reduce_noise_under: Annotated[
        float | None, typer.Option(help="dB of signal-to-noise ratio.", show_default="never")
    ] = None,
    min_seconds: Annotated[float, typer.Option(help="Shortest clip; 0 sets no limit.")] = 0.5,
    max_seconds: Annotated[float, typer.Option(help="Longest clip; inf sets no limit.")] = 30.0,
    min_snr: Annotated[float, typer.Option(help="dB; -inf sets no limit.")] = 10.0,
    max_clipping: Annotated[float, typer.Option(help="Share of samples; inf sets no limit.")] = 0.005,
    min_bandwidth: Annotated[float, typer.Option(help="Hz; 0 sets no limit.")] = 6500.0,
    min_speech_ratio: Annotated[float, typer.Option(help="Share of speech; 0 sets no limit.")] = 0.4,
    max_silence: Annotated[
        float,
        typer.Option(
            parser=time_of("--max-silence", {"inf": math.inf}),
            metavar=TIME,
            help="Inside a clip: 1.5s, 300ms; inf sets no limit.",
            show_default="1.5s",
        ),
    ] = 1.5,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Measure, show what would go, plot it, and write no clip.")
    ] = False,
    text_conditions: Annotated[
        bool, typer.Option("--text-conditions", help="Conditions emotion and style; a stock model stops on them.")
    ] = False,
    form: Annotated[
        str, typer.Option("--as", help=f"{', '.join(FORMS)} (of {', '.join(LAID_OUT)}: a folder for tag).")
    ] = FORMS[0],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: Annotated[int, typer.Option(min=1, help="Processes; each loads the models once.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the split, copies, prompts and gaps.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Import a published emotion corpus: measure, sift, condition, split, balance, copy and describe its clips.

    Finished work is never done again: run the same command after a stop, a crash, or a change of settings.
    """
    one_of("--as", form, FORMS)
    on_this_machine("--out", out)
    if name in CONVERSATION_CORPORA:
        raise DailytalkError(
            f"{name} holds conversations, not clips",
            "run `dailytalk tag` on its folder"
            if name not in LAID_OUT.values()
            else "name dailytalk, and add --as conversations",
        )
    console = Console()
    if form == "conversations":
        clips_only = {
            "--augment": augment,
            "--balance": balance,
            "--language": language,
            "--split": split,
            "--agreed-only": agreed_only,
            "--prompt-channel": prompt_channel,
            "--report-only": report_only,
            "--text-conditions": text_conditions,
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
    read = read_corpus(name, source, out, agreed_only, follow_links)
    about = {"command": shlex.join(["dailytalk", *sys.argv[1:]])}
    options = CorpusOptions(workers, text_conditions, report_only)
    with bar(console, quiet=as_json) as shown:
        outcome = build_corpus(read, out, settings, options, about, planned=shown.planned)
    show.corpus_outcome(console, read, outcome, out, settings, as_json)
    code = _code(outcome.n_clips, len(outcome.rejects))
    if not as_json:
        show_verdict(console, code)
    raise typer.Exit(code)


def _limit(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _code(count: int, rejected: int) -> int:
    return 1 if not count else 3 if rejected else 0
