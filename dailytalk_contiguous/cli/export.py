"""`dailytalk export` and `dailytalk check`: training folders, and whether a trainer can use them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, option, shown_steps
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.interaction import AFTER, CONTEXT
from dailytalk_contiguous.core.outcome import Figures, Judgement, Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.settings import with_settings
from dailytalk_contiguous.core.turns import TURN_MEASURES
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.prosodic_sequences import ProsodicClusterSequences
from dailytalk_contiguous.publish import voice_exports
from dailytalk_contiguous.publish.checking import check_folder as run_check
from dailytalk_contiguous.publish.checking import check_version
from dailytalk_contiguous.publish.exports import MOSHI_RATE, WordCounts, export_csm, export_jmoshi, export_moshi
from dailytalk_contiguous.publish.interactivity import ClipChoice, clips_of, export_event_clips
from dailytalk_contiguous.publish.items import SMALL, open_items, reference_at
from dailytalk_contiguous.publish.packing import origin
from dailytalk_contiguous.publish.verdict import FitnessLimits, verdict_of
from dailytalk_contiguous.publish.version import Version, version_or_path
from dailytalk_contiguous.stages.tokenise_prosody import CODEBOOK

#: Formats of clips of interaction.
CLIP_FORMATS = ("interactivity", "full-duplex-bench")

FORMATS = ("moshi", "csm", "j-moshi", *CLIP_FORMATS, *voice_exports.VOICE_FORMATS)

#: Formats with a list to train on and one to evaluate on.
_TWO_LISTS = ("moshi", "interactivity")

#: Where the splits of a published dataset go in Moshi's.
SIDES = {"train": "train", "validation": "eval"}

#: Findings of a level that are shown before the reader is sent to --json.
SHOWN = 20


def _seconds(flag: str, default: float, about: str) -> float:
    parser = cli_options.time_of(flag, {}, needs_unit=False)
    seconds: float = option(
        default, Panel.RESULT, about, metavar=cli_options.TIME, parser=parser, show_default=f"{default:g}s"
    )
    return seconds


def export(
    source: str = argument(
        "DIR|OWNER/NAME", "Folder of speak, build, corpus, a dataset on the Hub, or clips with a whisper.json."
    ),
    out: Path = cli_options.out_option(),
    format: str = option(
        FORMATS[0], Panel.INPUT, f"Which trainer it is for: {cli_options.either(FORMATS)}.", metavar="NAME"
    ),
    revision: str | None = cli_options.REVISION,
    split: str = cli_options.split_option("train"),
    both_speakers: bool = option(
        False, Panel.RESULT, "The other speaker's words too, as SPEAKER_OTHER.", "--both-speakers"
    ),
    text_conditions: bool = cli_options.TEXT_CONDITIONS,
    swap: bool = option(False, Panel.RESULT, "Exchange the roles of both speakers.", "--swap"),
    max_length: float = option(
        0.0,
        Panel.RESULT,
        "Longer conversations are cut at mutual silence: 100s, 5m, or never.",
        metavar=cli_options.TIME,
        parser=cli_options.time_of("--max-length", {"never": 0.0}),
        show_default="never",
    ),
    sample_rate: int | None = cli_options.sample_rate_option("the trainer's"),
    tokenizer: Path | None = option(
        None,
        Panel.RESULT,
        "SentencePiece model of the model you train: words get room for their tokens (moshi).",
        metavar="FILE",
        show_default="a frame a word",
    ),
    prosodic_tokens: str | None = option(
        None, Panel.MODELS, CODEBOOK.about, metavar=CODEBOOK.metavar, show_default="none"
    ),
    per_kind: int | None = option(
        None,
        Panel.RESULT,
        "At most so many clips of each kind (interactivity, full-duplex-bench).",
        metavar="N",
        min=1,
        show_default="all",
    ),
    context: float = _seconds("--context", CONTEXT, "Seconds before an event that its clip has."),
    after: float = _seconds("--after", AFTER, "Seconds after an event that its clip has."),
    eval_share: float | None = cli_options.eval_share_option(None),
    seed: int = cli_options.SEED_OPTION,
) -> Outcome:
    """Write a folder that a trainer reads.

    For conversations moshi-finetune's, transformers' CSM turns, or J-Moshi's; clips of what happens in them for
    moshi-finetune, or for the scripts of Full-Duplex-Bench; for clips of a voice that of LJSpeech, XTTS (Coqui
    TTS), Piper, GPT-SoVITS, F5-TTS or Tortoise (DLAS). A published dataset keeps its split, unless --eval-share is
    given; --split is for formats of one list.
    """
    cli_options.one_of("--format", format, FORMATS)
    cli_options.on_this_machine("--out", out)
    voice, clips, moshi = format in voice_exports.VOICE_FORMATS, format in CLIP_FORMATS, format == "moshi"
    unfit = {
        "--both-speakers": both_speakers and not moshi,
        "--text-conditions": text_conditions and not moshi,
        "--max-length": max_length > 0 and not moshi,
        "--tokenizer": tokenizer is not None and not moshi,
        "--swap": swap and voice,
        "--prosodic-tokens": prosodic_tokens is not None and (voice or clips),
        "--per-kind": per_kind is not None and not clips,
        "--context": context != CONTEXT and not clips,
        "--after": after != AFTER and not clips,
    }
    if named := ", ".join(flag for flag, is_given in unfit.items() if is_given):
        raise DailytalkError(f"{named} does not go with --format {format}", "leave it out, or export for another")
    if voice:
        return _export_voice(source, revision, out, format, split, eval_share, seed, sample_rate)
    dataset = version_or_path(source, revision)
    selection = _select(dataset, format, split, eval_share)
    if selection.sides is not None and seed and not per_kind:
        raise DailytalkError("--seed decides nothing where the published split is kept", "give --eval-share too")
    rows = selection.rows
    details: list[str] = []
    prosody = ProsodicClusterSequences(prosodic_tokens) if prosodic_tokens else None
    if clips:
        find = partial(clips_of, swap=swap, context=context, after=after, bench=format != CLIP_FORMATS[0])
        choice = ClipChoice(per_kind or 0, seed, find)
        for row in _select(dataset, format, split, eval_share, SMALL).rows if per_kind else ():
            choice.add(row)
        summary, rejects = export_event_clips(
            rows,
            out,
            format,
            find,
            chosen=choice.ids if per_kind else None,
            eval_share=eval_share or cli_options.EVAL_SHARE,
            seed=seed,
            sides=selection.sides,
            swap=swap,
            sample_rate=sample_rate or MOSHI_RATE,
            licence=origin(dataset).source_licence if isinstance(dataset, Path) else None,
        )
        count = sum(summary["made"].values())
        made = ", ".join(f"{n:,} {name}" for name, n in summary["made"].items())
        sentence = f"{counted(count, 'clip')} ({made})"
        sentence += f", {summary['files']['eval']:,} to evaluate on" if "files" in summary else ""
        sentence += "" if summary.get("speakers_disjoint", True) else ", some of the same speakers"
        details = [f"left out: {n:,} {reason}" for reason, n in sorted(summary["left_out_events"].items())]
    elif format == "moshi":
        exported = export_moshi(
            rows,
            out,
            eval_share=eval_share or cli_options.EVAL_SHARE,
            seed=seed,
            sides=selection.sides,
            both_speakers=both_speakers,
            text_conditions=text_conditions,
            swap=swap,
            max_length=max_length,
            sample_rate=sample_rate or MOSHI_RATE,
            tokenizer=tokenizer,
            prosody=prosody,
        )
        summary = {"files": exported.files, "windows": exported.windows, "speakers_disjoint": exported.disjoint}
        summary["words"] = asdict(exported.words)
        rejects = exported.rejects
        count = sum(exported.files.values())
        sentence = (
            f"{counted(exported.files['train'], 'file')} to train on, {exported.files['eval']:,} to evaluate on"
        )
        sentence += f", {words_text(exported.words)}"
    else:
        writer = export_csm if format == "csm" else export_jmoshi
        count, rejects = writer(rows, out, swap=swap, sample_rate=sample_rate or MOSHI_RATE, prosody=prosody)
        summary = {"files": count}
        sentence = f"{counted(count, 'conversation')} for {format}"
    if selection.left_out:
        summary["left_out"] = selection.left_out
        sentence += "".join(f", the {count} of {name} left out" for name, count in selection.left_out.items())
    summary |= {"out": str(out), "rejects": [reject.as_dict() for reject in rejects]}
    return Outcome(
        summary,
        f"{sentence} in {as_text(out)}",
        exit_code(count, len(rejects)),
        details,
        rejected_of(rejects, "conversation"),
        next=to_run("check", out) if count else "",
    )


def _export_voice(
    source: str,
    revision: str | None,
    out: Path,
    format: str,
    split: str,
    eval_share: float | None,
    seed: int,
    sample_rate: int | None,
) -> Outcome:
    has_eval = "eval" in voice_exports.VOICE_FORMATS[format].lists
    if not has_eval and (eval_share is not None or seed):
        raise DailytalkError(
            f"--format {format} has one list, of which its trainer evaluates on a part itself",
            "leave out --eval-share and --seed",
        )
    if voice_exports.is_voice_folder(clips_folder := Path(source)):
        if split:
            raise DailytalkError("--split is for what has splits", "leave it out")
        selection = _Selection(iter(()))
        clips = voice_exports.voice_folder(clips_folder)
    else:
        selection = _select(version_or_path(source, revision), "moshi" if has_eval else "csm", split, eval_share)
        clips = voice_exports.voice_rows(selection.rows)
    if selection.sides is not None and seed:
        raise DailytalkError("--seed decides nothing where the published split is kept", "give --eval-share too")
    done = voice_exports.export_voice(
        clips,
        out,
        format,
        eval_share=eval_share or cli_options.EVAL_SHARE,
        seed=seed,
        sides=selection.sides,
        sample_rate=sample_rate,
    )
    sentence = f"{counted(done.lines['train'], 'clip')} to train on"
    sentence += f", {done.lines['eval']:,} to evaluate on" if has_eval else ""
    sentence += "".join(f", the {count} of {name} left out" for name, count in selection.left_out.items())
    return Outcome(
        {
            "files": done.lines,
            "speakers_disjoint": done.disjoint,
            "left_out": dict(selection.left_out),
            "out": str(out),
            "rejects": [reject.as_dict() for reject in done.rejects],
        },
        f"{sentence} in {as_text(out)}",
        3 if done.rejects else 0,
        rejected=rejected_of(done.rejects, "clip"),
    )


def words_text(words: WordCounts) -> str:
    text = f"{counted(words.total, 'word')} ({words.moved} moved to another 80 ms frame"
    if words.lost or words.cut is not None:
        text += f", {words.lost} lost"
    if words.cut is not None:
        text += f", {words.cut} cut"
    return f"{text})"


class _Selection(NamedTuple):
    """Conversations, `train` or `eval` of each where that is settled, and how many are left out, by split."""

    rows: Iterator[Row]
    sides: dict[str, str] | None = None
    left_out: Mapping[str, int] = {}


def _select(
    source: Path | Version,
    format: str,
    split: str,
    eval_share: float | None,
    columns: Iterable[str] | None = None,
) -> _Selection:
    """The conversations to export: none of `test`, nor of `validation` where a format has no list for it."""
    items = open_items(source, finished=True)
    if split and (format in _TWO_LISTS or items.kind == "conversations"):
        raise DailytalkError("--split is for what has splits, and for csm or j-moshi", "leave it out")
    split_of = items.splits()
    if not split_of and items.kind != "version":
        return _Selection(items.rows(columns))
    counts = Counter(split_of.values())
    splits = SIDES if format in _TWO_LISTS else (split or "train",)
    if not counts.keys() & set(splits):
        raise DailytalkError(
            f"{source} has no conversations in {' or '.join(splits)}", f"it has {', '.join(counts) or 'none'}"
        )
    sides = (
        {name: SIDES.get(split_name, "") for name, split_name in split_of.items()}
        if format in _TWO_LISTS
        else None
    )
    return _Selection(
        items.rows(columns, tuple(splits)),
        None if eval_share else sides,
        {name: count for name, count in counts.items() if name not in splits},
    )


#: Options of the commands that judge conversations: `check` and `report`.
FITNESS_SETTINGS = cli_options.setting_options(FitnessLimits())


def fitness_limits(options: Mapping[str, Any]) -> FitnessLimits:
    return with_settings((FitnessLimits(),), cli_options.chosen(options, FITNESS_SETTINGS))[0]


@cli_options.with_options(FITNESS_SETTINGS)
def check(
    source: str = argument(
        "PATH|OWNER/NAME", "A work folder, a dataset, a training folder, or a dataset on the Hub (OWNER/NAME@TAG)."
    ),
    revision: str | None = cli_options.REVISION,
    against: str | None = cli_options.AGAINST,
    **options: Any,
) -> Outcome:
    """Judge whether a folder or a version is good to train on.

    As a strict trainer would. Exit code 1 if a trainer would fail, or silently learn garbage. The verdict is first
    and last: good; doubtful (what is learnt is distorted, or much is missing); bad (nobody should train on it as
    it is); or empty. How the two speak, beside published corpora, is no part of it.
    """
    dataset, limits = version_or_path(source, revision), fitness_limits(options)
    if isinstance(dataset, Path) and not dataset.exists():
        raise DailytalkError(f"{source!r} does not exist", "check the path, or name OWNER/NAME")
    references = [] if against is None else [reference_at(version_or_path(against, None))]
    with shown_steps():
        findings, facts = (
            check_version(dataset, limits, references)
            if isinstance(dataset, Version)
            else run_check(dataset, limits, references)
        )
    errors = [finding for finding in findings if finding.level == "error"]
    size = facts.get("conversations", facts.get("files", 0))
    verdict = verdict_of(findings, sum(size.values()) if isinstance(size, dict) else int(size))
    judged = Judgement(verdict.headline, {"good": True, "bad": False}.get(verdict.level))
    details: list[str | Judgement | Figures] = [judged]
    for name, value in facts.items():
        if name == "measures":
            details += _beside_others(value)
        elif value not in ({}, None):
            title, unit = _FACTS.get(name, (name, ""))
            details.append(f"{title}: {_plain(value, unit)}")
    for label, group in groupby(
        verdict.findings,
        lambda finding: _LABELS.get(finding.severity, finding.severity) if finding.level == "advice" else "error",
    ):
        sentences = [f"{label}: {finding.sentence}; {finding.remedy}" for finding in group]
        details += sentences[:SHOWN]
        if len(sentences) > SHOWN:
            details.append(f"… {len(sentences) - SHOWN} more of the kind {label} (--json lists all)")
    return Outcome(
        {
            "facts": facts,
            "findings": [finding.as_dict() for finding in findings],
            "verdict": verdict.as_dict(),
        },
        judged,
        1 if errors else 0,
        details,
    )


def _beside_others(measures: Sequence[Mapping[str, Any]]) -> list[str | Judgement | Figures]:
    """The measures of conversations beside those of other corpora, and what the differences mean."""
    if not measures:
        return []
    rows = []
    for fact in measures:
        here, where, there = fact["shown"]
        rows.append((TURN_MEASURES[fact["measure"]].title, fact["side"], here, where, fact["corpus"], there))
    remarks = [f"beside: {fact['note']}" for fact in measures if fact["note"]]
    return ["", Figures(("measure", "side", "here", "is", "corpus", "there"), rows), *remarks, ""]


#: Severities that are called otherwise in the list of findings.
_LABELS = {"doubtful": "advice"}

#: What people read of a fact of `check`: its name, and its unit (`h`: shown as a length). Others need none.
_FACTS = {
    "hours": ("length", "h"),
    "hours_of_audio": ("length of the recordings", "h"),
    "hours_of_speech": ("speech in the recordings", "h"),
    "hours_of_voice": ("length by voice", "h"),
    "hours_of_language": ("length by language", "h"),
    "hours_of_role": ("speech by role", "h"),
    "words_of_speaker": ("words by speaker", ""),
    "duration_sec": ("length of a window", "s"),
    "batch_size": ("windows in a batch", ""),
    "splits": ("conversations by split", ""),
}


def _plain(value: object, unit: str) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(part, unit)}" for name, part in value.items()) or "none"
    if unit == "h" and isinstance(value, float):
        return length_text(3600 * value)
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return f"{text} {unit}".strip()
