"""`dailytalk corpus`: a published emotion corpus in, finished clips and a training folder out."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.clips import clip_run as clips
from dailytalk_contiguous.apps.clips.augment import Augment
from dailytalk_contiguous.apps.clips.clip_plan import ClipPlan, corpus_pipeline
from dailytalk_contiguous.apps.clips.corpora import registry
from dailytalk_contiguous.apps.clips.corpora.downloads import fetch_all
from dailytalk_contiguous.apps.clips.to_clips import clip_stages
from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, command_line, option, say, shown_steps
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.outcome import Figures, Outcome, Rejected, exit_code, to_run
from dailytalk_contiguous.core.own_file import is_own_file
from dailytalk_contiguous.core.sampling import MOST_WEIGHT
from dailytalk_contiguous.core.utterance import PROPORTIONAL
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.profiles import STANDARD
from dailytalk_contiguous.models.whisper import WHISPER, size_here
from dailytalk_contiguous.pipelines.to_text import NO_MODEL
from dailytalk_contiguous.publish.moshi_folder import TEXT_CONDITIONS
from dailytalk_contiguous.run.run import RunOutcome, preflight, run
from dailytalk_contiguous.run.storage import OF_CORPUS, open_work
from dailytalk_contiguous.sources.addresses import HubChoice
from dailytalk_contiguous.sources.hub_repository import fetch_tree, open_repository
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion
from dailytalk_contiguous.stages.tokenise_prosody import TokeniseClip
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
    TokeniseClip(NO_MODEL),
    ClipPlan(),
    without=("affect_context",),
)


@cli_options.with_options(CLIP_SETTINGS)
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
        False, Panel.INPUT, "With --download: you take the licence that is shown.", "--accept-licence"
    ),
    profile: str = cli_options.profile_option("", STANDARD),
    text_conditions: bool = option(False, Panel.RESULT, TEXT_CONDITIONS.about, "--text-conditions"),
    dry_run: bool = engine_options.DRY_RUN,
    workers: int | None = engine_options.WORKERS,
    runner: str = engine_options.RUNNER,
    address: str = engine_options.ADDRESS,
    shard: str = engine_options.SHARD,
    shard_minutes: float = engine_options.SHARD_MINUTES,
    **options: Any,
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
        what = "SOURCE" if not source else "--out"
        raise DailytalkError(f"{what} is missing", "give the folder of the corpus and --out, or --download DIR")
    settings = cli_options.chosen(options, CLIP_SETTINGS)
    corpus = registry.corpus_named(name)
    folder = Path(source)
    hub = None
    if not folder.exists() and (reference := parse_reference(source)):
        repository = open_repository(reference, HubChoice())
        folder = fetch_tree(repository, {*corpus.suffixes, *BESIDE})
        hub = repository.about()
    work = open_work(out)
    run_options = replace(
        clips.OPTIONS,
        workers=workers or 0,
        shard=engine_options.parse_shard(shard),
        shard_seconds=60 * shard_minutes,
        runner=runner,
        address=address,
        work=work,
        dry_run=dry_run,
    )
    read = clips.read_corpus(name, folder, work.folder, settings.get("agreed_only", False))
    if not profile and "asr_model" not in settings and all(row["text"] for row in read.rows):
        settings["asr_model"] = NO_MODEL
    stages, clip_plan = corpus_pipeline(profile or STANDARD, **settings)
    about: dict[str, Any] = {"command": command_line(), "settings": {"profile": profile or STANDARD}}
    about |= {"source": hub} if hub else {}
    spec = clips.CorpusSpec(read, work.folder, stages, clip_plan, about, text_conditions)
    if dry_run:
        done = run(spec, run_options)
        preflight(done.left, run_options, fetch=False)
        record = {"clips": len(read.rows), "rejected": [problem.as_dict() for problem in read.problems]}
        total = f"{counted(len(read.rows), 'clip')}, {length_text(sum(row['duration'] for row in read.rows))}"
        return show.dry_run(done, record, [total], rejected=_rejected_by_stage(read.problems))
    with show.bar() as planned:
        done = run(spec, run_options, planned=planned)
    show.say_scaled(spec.scaled)
    work.settle(OF_CORPUS if done.record else ())
    return corpus_outcome(spec, done)


def _download(name: str, folder: Path, accepted: bool) -> Outcome:
    corpus = registry.corpus_named(name)
    about = corpus.about
    if corpus.download is None:
        why = "is given to those who sign its terms" if corpus.signed else "can't be downloaded by this command"
        where = f"get it from {about.homepage}, then" if about.homepage else "leave out --download:"
        raise DailytalkError(f"{about.title} {why}", f"{where} give its folder")
    say(f"{about.title}: {about.description}")
    say(f"licence: {about.licence}\nhome page: {about.homepage}\nto be cited as: {about.citation}")
    if not accepted:
        raise DailytalkError(
            f"{about.title} comes under the licence {about.licence}",
            "read it, and add --accept-licence to take it",
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
    summary = {**(record or {}), "out": str(out), "seconds": round(done.wall_seconds, 2)}
    summary["rejected"] = [reject.as_dict() for reject in done.rejects]
    details: list[str | Figures] = [*spec.read.counts]
    rejected = _rejected_by_stage(done.rejects, done.counts.get("read", 0))
    if record is None:
        missing = f"{counted(done.n_missing, 'shard')} still missing"
        again = "the same command again once all hosts are done"
        return Outcome(summary, missing, 3 if done.rejects else 0, details, rejected, again)
    counts = record["counts"]
    headline = (
        f"{counted(counts['read'], 'file')}: {counted(counts['clips'], 'clip')} and {counts['copies']:,} copies, "
        f"{record['hours']['audio'] * 60:.1f} min, licence {record['corpus']['licence']}"
    )
    details += _of_record(record, spec.wanted)
    code = exit_code(counts["clips"], len(done.rejects))
    details.append(f"results in {as_text(out)}: data/ for trainers, clips/, rejects.jsonl, run.json")
    return Outcome(summary, headline, code, details, rejected, to_run("check", out) if code != 1 else "")


def _of_record(record: dict[str, Any], clip_plan: ClipPlan) -> list[str]:
    counts = record["counts"]
    split = record["split"]
    balance = record["balance"] or {}
    lines = [", ".join(f"{name} {count}" for name, count in counts["by_emotion"].items())]
    if counts["without_text"]:
        lines.append(
            f"{counted(counts['without_text'], 'clip')} without text: enough for emotion and tokens of prosody; "
            "a model of speech needs words (--asr-model)"
        )
    by_source = counts["by_word_source"]
    if by_source.get(PROPORTIONAL) and "recogniser" not in record["models"]:
        share = f"{by_source[PROPORTIONAL]:,} of {counted(sum(by_source.values()), 'word')}"
        recogniser = size_here() or f"--asr-model {WHISPER}, which is downloaded once"
        lines.append(
            f"no aligner timed {share}, which share the voiced time of their clip: to time them, pass {recogniser}"
        )
    if "noise_reduced" in counts:
        noise = f"noise reduced in {counted(counts['noise_reduced'], 'clip')}"
        left = counts["noise_not_reduced"]
        if left:
            noise += f"; {left:,} under the limit have too little silence to learn their noise from"
        lines.append(noise)
    if split:
        by = "the corpus's own split" if split["by"] == "official" else split["by"]
        lines.append(f"{split['share']:.0%} for validation, split by {by}")
        lines += [split["note"]] if split["note"] else []
    if balance.get("failure"):
        augmented = record["settings"].get("augment")
        most = f"{clip_plan.most_copies} copies of a clip" if augmented else f"each clip {MOST_WEIGHT:g} times"
        smallest = math.floor(10 * min(filter(None, balance["minutes_after"].values()), default=0.0)) / 10
        equal = f"; --target-minutes {smallest:g} makes them equal" if smallest else ""
        lines.append(f"{balance['failure']}, with {most} at most{equal}")
    lacking = balance.get("minutes_lacking", {})
    worst = sorted(lacking, key=lambda cell: -lacking[cell])[:MOST_LACKING]
    lines += [
        f"{cell} lacks {lacking[cell]:.1f} minutes of recordings: record more of it, or add another corpus"
        for cell in lacking
        if cell in worst
    ]
    if len(lacking) > MOST_LACKING:
        lines.append(f"… {len(lacking) - MOST_LACKING:,} more lack recordings: minutes_lacking in run.json")
    if counts["without_prompt"]:
        alone = counted(counts["without_prompt"], "clip")
        lines.append(f"{alone} without a prompt: no neutral line of another speaker")
    return lines


def _rejected_by_stage(rejects: Sequence[Reject], of: int = 0) -> list[Rejected]:
    share = f" of {counted(of, 'file')}" if of else ""
    return [
        Rejected(f"{count:,}{share} by {stage}", [reject.as_dict() for reject in rejects if reject.stage == stage])
        for stage, count in Counter(reject.stage for reject in rejects).most_common()
    ]
