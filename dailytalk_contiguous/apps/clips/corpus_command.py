"""`dailytalk corpus`: a published emotion corpus in, finished clips and a training folder out."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.clips import clip_run as clips
from dailytalk_contiguous.apps.clips.augment import Augment
from dailytalk_contiguous.apps.clips.balance import noun_of
from dailytalk_contiguous.apps.clips.clip_plan import ClipPlan, corpus_pipeline
from dailytalk_contiguous.apps.clips.corpora import registry
from dailytalk_contiguous.apps.clips.corpora.downloads import fetch_all
from dailytalk_contiguous.apps.clips.to_clips import clip_stages
from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, command_line, option, say, shown_steps
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.records.outcome import Figures, Outcome, Rejected, exit_code, to_run
from dailytalk_contiguous.core.records.utterance import PROPORTIONAL
from dailytalk_contiguous.core.settings import is_own_file
from dailytalk_contiguous.core.style.sampling import MOST_WEIGHT
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.profiles import STANDARD
from dailytalk_contiguous.models.whisper import WHISPER, size_here
from dailytalk_contiguous.pipelines.to_text import NO_MODEL
from dailytalk_contiguous.publish.exports.moshi_folder import TEXT_CONDITIONS
from dailytalk_contiguous.run.run import RunOutcome, preflight, run
from dailytalk_contiguous.run.storage import OF_CORPUS, open_work
from dailytalk_contiguous.sources.hub.audio_files import fetch_tree
from dailytalk_contiguous.sources.hub.repository import open_repository
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion
from dailytalk_contiguous.store.addresses import HubChoice
from dailytalk_contiguous.store.hub import parse_reference

#: Endings of the files that a corpus on the Hub is made of, beside its recordings: archives, tables and texts.
BESIDE = frozenset({".zip", ".csv", ".json", ".txt"})

#: Emotions, or combinations of `--balance-by`, whose lack of recordings has a line: those that lack the most.
MOST_LACKING = 10

#: The options of `corpus` that are settings of its stages and of its plan.
CLIP_SETTINGS = cli_options.setting_options(
    *chain(*clip_stages(device="cpu")),
    ClassifyEmotion(NO_MODEL),
    Augment(kinds=()),
    ClipPlan(),
)

#: The options that `corpus --help` shows.
_EVERYDAY = (
    "out",
    "download",
    "profile",
    "asr_model",
    "affect_model",
    "reduce_noise_under",
    "augment",
    "balance",
    "balance_by",
    "target_minutes",
    "split_by",
    "prompt_channel",
)


@cli_options.with_options(CLIP_SETTINGS, everyday=_EVERYDAY)
def corpus(
    name: str = argument(
        "NAME", f"The corpus: {cli_options.either(sorted(registry.CORPORA))}; or your own FILE.py."
    ),
    source: str = argument("SOURCE", "Its folder, its zip archive, or OWNER/NAME[@TAG] on the Hub.", ""),
    out: Path | None = engine_options.work_option(None),
    download: Path | None = option(
        None,
        Panel.INPUT,
        "Fetch the corpus from its home page into DIR, and do nothing else; goes on after a stop.",
        metavar="DIR",
    ),
    accept_licence: bool = option(
        False, Panel.INPUT, "With --download: accept the licence that is shown.", "--accept-licence", hidden=True
    ),
    profile: str = cli_options.profile_option(""),
    text_conditions: bool = option(False, Panel.RESULT, TEXT_CONDITIONS.about, "--text-conditions"),
    dry_run: bool = engine_options.DRY_RUN,
    workers: int | None = engine_options.WORKERS,
    runner: str = engine_options.RUNNER,
    address: str = engine_options.ADDRESS,
    shard: str = engine_options.SHARD,
    shard_minutes: float | None = engine_options.SHARD_MINUTES,
    **options: object,
) -> Outcome:
    """Import a published emotion corpus as clips to train on.

    Its clips are measured, filtered, conditioned, split, balanced, copied and described, in --out: data/ for
    trainers, clips/ (Parquet), rejects.jsonl. If every text is given and neither --profile nor --asr-model is, no
    recogniser is used: an aligner times the words, or they are spread over their clip, as with --asr-model none.
    With --affect-model none the ratings are those that people gave.

    Finished work is never done again: run the same command after a stop, a crash, or a change of settings.
    """
    if is_own_file(name):
        name = registry.own_corpus(name)
    if download is not None:
        if source or out:
            raise DailytalkError("--download only fetches", "leave out SOURCE and --out, and give them afterwards")
        return _download(name, download, accept_licence)
    if not source or out is None:
        missing = "SOURCE" if not source else "--out"
        raise DailytalkError(f"{missing} is missing", "give the folder of the corpus and --out, or --download DIR")
    settings = cli_options.chosen(options, CLIP_SETTINGS)
    corpus = registry.corpus_named(name)
    about: dict[str, object] = {"command": command_line()}
    about["settings"] = {"profile": profile or STANDARD}
    folder = Path(source)
    reference = None if folder.exists() else parse_reference(source)
    if reference:
        repository = open_repository(reference, HubChoice())
        folder = fetch_tree(repository, {*corpus.suffixes, *BESIDE})
        about["source"] = repository.about()
    work = open_work(out)
    run_options = replace(
        clips.OPTIONS,
        workers=workers or 0,
        shard=engine_options.parse_shard(shard),
        shard_seconds=engine_options.shard_seconds(shard_minutes),
        runner=runner,
        address=address,
        work=work,
        dry_run=dry_run,
    )
    agreed_only = settings.get("agreed_only", False)
    with shown_steps():
        read = clips.read_corpus(name, folder, work.folder, agreed_only)
    if not profile and "asr_model" not in settings and all(row["text"] for row in read.rows):
        settings["asr_model"] = NO_MODEL
    stages, clip_plan = corpus_pipeline(profile or STANDARD, **settings)
    spec = clips.CorpusSpec(read, work.folder, stages, clip_plan, about, text_conditions)
    if dry_run:
        done = run(spec, run_options)
        preflight(done.left, run_options, fetch=False)
        rejected = [problem.as_dict() for problem in read.problems]
        record = {"clips": len(read.rows), "rejected": rejected}
        seconds = sum(row["duration"] for row in read.rows)
        total = f"{counted(len(read.rows), 'clip')}, {length_text(seconds)}"
        by_stage = _rejected_by_stage(read.problems)
        return show.dry_run(done, record, [total], rejected=by_stage)
    with show.bar() as planned:
        done = run(spec, run_options, planned=planned)
    show.say_scaled(spec.scaled)
    work.settle(OF_CORPUS if done.record else ())
    return corpus_outcome(spec, done)


def _download(name: str, folder: Path, accepted: bool) -> Outcome:
    corpus = registry.corpus_named(name)
    about = corpus.about
    if corpus.download is None:
        reason = "can't be downloaded by this command"
        if corpus.signed:
            reason = "is given to those who sign its terms"
        remedy = f"get it from {about.homepage}, then" if about.homepage else "leave out --download:"
        raise DailytalkError(f"{about.title} {reason}", f"{remedy} give its folder")
    say(f"{about.title}: {about.description}")
    say(f"licence: {about.licence}")
    say(f"home page: {about.homepage}")
    say(f"to be cited as: {about.citation}")
    if not accepted:
        raise DailytalkError(
            f"{about.title} comes under the licence {about.licence}",
            "read it, and add --accept-licence to accept it",
        )
    files = corpus.download()
    with shown_steps():
        fetch_all(files, folder)
    record = {"out": as_text(folder), "files": len(files), "licence": about.licence}
    headline = f"{counted(len(files), 'file')} of {about.title}; all checksums are right"
    return Outcome(record, headline, next=to_run("corpus", name, folder, "--out", "DIR"))


def corpus_outcome(spec: clips.CorpusSpec, done: RunOutcome) -> Outcome:
    record = done.record
    out = spec.out
    summary = dict(record or {})
    summary["out"] = str(out)
    summary["seconds"] = round(done.wall_seconds, 2)
    summary["rejected"] = [reject.as_dict() for reject in done.rejects]
    details: list[str | Figures] = [*spec.read.counts]
    n_read = done.counts.get("read", 0)
    rejected = _rejected_by_stage(done.rejects, n_read)
    if record is None:
        missing = f"{counted(done.n_missing, 'shard')} still missing"
        again = "the same command again once all hosts are done"
        code = 3 if done.rejects else 0
        return Outcome(summary, missing, code, details, rejected, again)
    counts = record["counts"]
    files_read = counted(counts["read"], "file")
    made = f"{counted(counts['clips'], 'clip')} and {counts['copies']:,} copies"
    minutes = f"{record['hours']['audio'] * 60:.1f} min"
    headline = f"{files_read}: {made}, {minutes}, licence {record['corpus']['licence']}"
    details += _lines_on_clips(record)
    details += _lines_on_division(record, spec.clip_plan)
    details.append(f"results in {as_text(out)}: data/ for trainers, clips/, rejects.jsonl, run.json")
    code = exit_code(counts["clips"], len(done.rejects))
    next_step = to_run("check", out) if code != 1 else ""
    return Outcome(summary, headline, code, details, rejected, next_step)


def _lines_on_clips(record: Mapping[str, Any]) -> list[str]:
    """Emotions, texts, times of words and noise of the clips, by run.json."""
    counts = record["counts"]
    emotions = [f"{name} {count}" for name, count in counts["by_emotion"].items()]
    lines = [", ".join(emotions)]
    if counts["without_text"]:
        lines.append(
            f"{counted(counts['without_text'], 'clip')} without text: enough for emotion and tokens of prosody; "
            "a model of speech needs words (--asr-model)"
        )
    words_by_source = counts["by_word_source"]
    n_spread = words_by_source.get(PROPORTIONAL)
    if n_spread and "recogniser" not in record["models"]:
        n_words = sum(words_by_source.values())
        share = f"{n_spread:,} of {counted(n_words, 'word')}"
        recogniser = size_here() or f"--asr-model {WHISPER}, which is downloaded once"
        lines.append(
            f"no aligner timed {share}, which share the voiced time of their clip: to time them, pass {recogniser}"
        )
    if "noise_reduced" in counts:
        noise = f"noise reduced in {counted(counts['noise_reduced'], 'clip')}"
        n_noisy = counts["noise_not_reduced"]
        if n_noisy:
            noise += f"; {n_noisy:,} under the limit have too little silence to learn their noise from"
        lines.append(noise)
    return lines


def _lines_on_division(record: Mapping[str, Any], clip_plan: ClipPlan) -> list[str]:
    """The split, the balance and the prompts of the clips, by run.json."""
    lines = []
    split = record["split"]
    if split:
        way = "the corpus's own split" if split["by"] == "official" else split["by"]
        lines.append(f"{split['share']:.0%} for validation, split by {way}")
        if split["note"]:
            lines.append(split["note"])
    balance: clips.BalanceFigures | None = record["balance"]
    is_augmented = record["settings"].get("augment")
    most = f"{clip_plan.most_copies} copies of a clip" if is_augmented else f"each clip {MOST_WEIGHT:g} times"
    if balance and balance["limited_by"]:
        target = f"{balance['target_minutes']:.1f} minutes of each {noun_of(clip_plan.cells_by)}"
        lines.append(f"{target}: {balance['limited_by']} has no more, with {most}; --target-minutes asks for more")
    if balance and balance["failure"]:
        lines.append(f"{balance['failure']} ({most} at most)")
    lacking = balance["minutes_lacking"] if balance else {}
    by_lack = sorted(lacking, key=lambda cell: -lacking[cell])
    worst = by_lack[:MOST_LACKING]
    for cell, minutes_lacking in lacking.items():
        if cell in worst:
            lack = f"{cell} lacks {minutes_lacking:.1f} minutes of recordings"
            lines.append(f"{lack}: record more of it, or add another corpus")
    if len(lacking) > MOST_LACKING:
        lines.append(f"… {len(lacking) - MOST_LACKING:,} more lack recordings: minutes_lacking in run.json")
    n_unprompted = record["counts"]["without_prompt"]
    if n_unprompted:
        lines.append(f"{counted(n_unprompted, 'clip')} without a prompt: no neutral line of another speaker")
    return lines


def _rejected_by_stage(rejects: Sequence[Reject], n_files: int = 0) -> list[Rejected]:
    share = f" of {counted(n_files, 'file')}" if n_files else ""
    by_stage: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for reject in rejects:
        by_stage[reject.stage].append(reject.as_dict())
    parts = []
    for stage, own_rejects in sorted(by_stage.items(), key=lambda item: -len(item[1])):
        parts.append(Rejected(f"{len(own_rejects):,}{share} by {stage}", own_rejects))
    return parts
