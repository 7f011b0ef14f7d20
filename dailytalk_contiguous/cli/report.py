"""`dailytalk report` and `dailytalk agreement`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.listening import listening
from dailytalk_contiguous.apps.listening.agreement import Rater, Scored
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.defaults import default_settings
from dailytalk_contiguous.cli.export import FITNESS_SETTINGS, fitness_limits
from dailytalk_contiguous.cli.terminal import Panel, argument, option, shown_steps
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadValue, DailytalkError
from dailytalk_contiguous.core.outcome import Figures, Judgement, Outcome, to_run
from dailytalk_contiguous.core.scorecard import ReferenceCorpus
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.items import is_mix, open_items, reference_at
from dailytalk_contiguous.publish.page import ALL, AUDIO, SHOWN, write_report
from dailytalk_contiguous.publish.version import Version, version_or_path
from dailytalk_contiguous.store.work_folder import STATS

#: Bytes of a page from which a browser takes seconds to open it.
LARGE = 60_000_000


@cli_options.with_options(FITNESS_SETTINGS)
def report(
    source: str = argument(
        "DIR|OWNER/NAME", "What build, speak, tag, corpus or mix wrote, or a dataset on the Hub."
    ),
    out: Path | None = cli_options.file_option(None, show_default="DIR/report.html"),
    revision: str | None = cli_options.REVISION,
    against: str | None = cli_options.AGAINST,
    conversations: list[str] | None = option(
        None,
        Panel.RESULT,
        "How many examples to choose for the player; or the id of one, as often as you like; or all.",
        metavar="N|ID|all",
        show_default=str(SHOWN),
    ),
    audio: str | None = option(
        None,
        Panel.RESULT,
        "Where sound goes: files beside the page, inside it, or nowhere.",
        metavar="|".join(AUDIO),
        show_default="inside below 20 MB, else beside",
    ),
    markdown: Path | None = cli_options.MARKDOWN,
    listening_test: int | None = option(
        None,
        Panel.RESULT,
        "Instead, a page on which people listen blind to N clips of a corpus, or N conversations (--pairs).",
        metavar="N",
        min=1,
    ),
    pairs: bool = option(
        False,
        Panel.RESULT,
        "Of --listening-test: recorded against rebuilt, and whether the tag of a line is heard.",
        "--pairs",
    ),
    seed: int = cli_options.SEED_OPTION,
    **options: Any,
) -> Outcome:
    """Write a page: the verdict, examples to hear, figures.

    One page of HTML, with all conversations in a table. Of a corpus of clips or a mix: hours along every label,
    balance, quality with its limits, what to record, whose work it is, and clips to listen to; --markdown is for
    them alone. With --against, both are side by side. The page needs no network, and no other file unless its
    sound is beside it. The player shows the first three minutes of a conversation.
    """
    cli_options.on_this_machine("--out", out)
    cli_options.on_this_machine("--markdown", markdown)
    if audio is not None and audio not in AUDIO:
        raise BadValue(f"--audio can't be {audio!r}", f"give {cli_options.either(AUDIO)}")
    dataset = version_or_path(source, revision)
    if isinstance(dataset, Path) and not dataset.is_dir():
        raise DailytalkError(f"{as_text(dataset)!r} is no folder", "name what dailytalk build, speak or tag wrote")
    if out is not None and out.is_dir():
        raise DailytalkError(f"--out {as_text(out)!r} is a folder", "name a file, such as report.html")
    if seed and listening_test is None:
        raise DailytalkError("--seed decides nothing without --listening-test", "leave it out")
    other, reference = _other(against, dataset, listening_test)
    labelled = isinstance(dataset, Path) and open_items(dataset).labelled
    if not labelled and markdown:
        raise DailytalkError("--markdown goes with what dailytalk corpus wrote", "leave it out")
    if pairs and listening_test is None:
        raise DailytalkError("--pairs is of a listening test", "add --listening-test, or leave it out")
    if listening_test is not None:
        return _listening_test(dataset, out, markdown, (listening_test, seed), pairs, labelled)
    shown = chosen_conversations(conversations or [])
    with shown_steps():
        limits = fitness_limits(options)
        written = write_report(
            dataset, out, shown, other, markdown, audio, limits, reference, defaults=default_settings()
        )
    record: dict[str, Any] = {"out": as_text(written.path), "bytes": written.size}
    if written.labelled:
        record |= {"clips": written.conversations, "measured": written.measured, "heard": written.shown}
        measured = f", {written.measured} measured" if written.measured else ""  # not known of a published version
        unit = "file" if isinstance(dataset, Path) and is_mix(dataset) else "clip"
        of_clips = measured if unit == "clip" else ""
        contents = f"{counted(written.conversations, unit)}{of_clips}, {len(written.shown)} with sound"
    else:
        record |= {"conversations": written.conversations, "shown": written.shown}
        record |= {"files": written.files and as_text(written.files)}
        contents = f"{len(written.shown)} of {counted(written.conversations, 'conversation')} in the player"
    details: list[str | Judgement] = []
    if written.size > LARGE:
        details.append(
            "note: a browser takes long to open so large a page: give --conversations N, or --audio beside"
        )
    if judged := written.verdict:
        record |= {"verdict": judged.as_dict()}
        details.append(Judgement(judged.headline, {"good": True, "bad": False}.get(judged.level)))
    beside = f"; its sound is in {as_text(written.files)}, which belongs to it" if written.files else ""
    headline = f"report  {record['out']} ({written.size / 1e6:.1f} MB, {contents}{beside})"
    return Outcome(record, headline, details=details, next=f"open {record['out']} in a browser")


def _other(
    against: str | None, dataset: Path | Version, listening_test: int | None
) -> tuple[Path | None, ReferenceCorpus | None]:
    """What `--against` names: a folder, to be read, or only the measures of its conversations.

    Raises DailytalkError where nothing can be compared with it.
    """
    if against is None:
        return None, None
    if listening_test is not None:
        raise DailytalkError("--against goes with a report, and a listening test is none", "leave it out")
    other = version_or_path(against, None)
    if isinstance(other, Path) and not other.exists():
        raise DailytalkError(f"--against {against!r} does not exist", "check the path")
    if isinstance(other, Path) and other.is_dir() and isinstance(dataset, Path):
        return other, reference_at(other) if (other / STATS).exists() else None
    return None, reference_at(other)


def _listening_test(
    folder: Path | Version,
    out: Path | None,
    markdown: Path | None,
    drawn: tuple[int, int],
    pairs: bool,
    labelled: bool,
) -> Outcome:
    if not isinstance(folder, Path):
        raise DailytalkError(
            "a published version has no recordings beside its conversations",
            "name the work folder that it is from",
        )
    if is_mix(folder):
        raise DailytalkError("a mix has no listening test", "make one of each corpus in it")
    if pairs == labelled:
        problem = (
            ("--pairs goes with conversations, and these are clips", "leave it out")
            if pairs
            else ("a listening test of conversations is one of pairs, recorded against rebuilt", "add --pairs")
        )
        raise DailytalkError(*problem)
    if out is None or markdown:
        raise DailytalkError("a listening test is a page of its own", "name it with --out, without --markdown")
    test = (listening.write_paired_test if pairs else listening.write_listening_test)(folder, out, *drawn)
    summary = {"out": as_text(test.page), "key": as_text(test.key), "clips": test.clips}
    return Outcome(
        summary,
        f"test  {summary['out']} ({counted(test.clips, 'clip')}); its key, not for listeners: {summary['key']}",
        next=to_run("agreement", test.key, "ANSWERS.json"),
    )


def chosen_conversations(values: list[str]) -> int | str | list[str]:
    """What `--conversations` asks for: a number by itself is how many, `all` is all, anything else are ids."""
    if not values:
        return SHOWN
    if values == [ALL]:
        return ALL
    return int(values[0]) if len(values) == 1 and values[0].isdecimal() else values


def agreement(
    key: Path = argument("KEY.json", "The key beside the page of the test."),
    answers: list[Path] = argument("ANSWERS.json", "What listeners saved."),
) -> Outcome:
    """Say how far listeners agree, and hear what the labels say.

    Fleiss' kappa of the listeners, for each emotion and style. Of conversations in pairs: which side sounds more
    natural, and whether the tags are heard, each with Wilson's interval of 95 % and what guessing gives. Clips
    that a listener skipped count as not rated; a clip with fewer than two ratings has no part in kappa.
    """
    test = listening.read_test(key, answers)
    record: dict[str, Any] = {"clips": len(test.clips), "raters": sorted(test.answers)}
    headline = f"{counted(len(test.clips), 'clip')}, {counted(len(test.answers), 'listener')}"
    if test.paired:
        pairs = listening.pairs_of(test)
        return Outcome(record | pairs.as_dict(), headline, details=_of_pairs(pairs))
    judgements = {what: listening.agreement_of(test, what) for what in ("emotion", "style")}
    details = [detail for what, judged in judgements.items() for detail in clips_judged(what, judged)]
    return Outcome(
        record | {what: judged.as_dict() for what, judged in judgements.items()}, headline, details=details
    )


def clips_judged(what: str, judged: listening.JudgedClip) -> list[str | Figures]:
    kappa, against = judged.kappa, judged.against
    if kappa.overall is None:
        details: list[str | Figures] = [f"{what}: kappa is not defined: {kappa.reason}"]
    else:
        used = f"{counted(kappa.n_clips, 'clip')} with two ratings or more, {counted(kappa.n_ratings, 'rating')}"
        details = [f"{what}: Fleiss' kappa {kappa.overall:.3f} ({used})"]
    details.append(f"ratings that match the label: {_percent(against.accuracy)}")
    if judged.sure:
        by_sureness = ", ".join(f"{name} {_percent(share)}" for name, share in judged.sure.items())
        details.append(f"  by how sure they were: {by_sureness}")
    if names := sorted({*kappa.by_category, *against.confusion}):
        rows = []
        for name in names:
            of_category = kappa.by_category.get(name)
            shares = (against.recall.get(name), against.precision.get(name))
            rows.append((name, "–" if of_category is None else f"{of_category:.3f}", *map(_percent, shares)))
        details.append(Figures((what, ">kappa", ">heard as labelled", ">labelled as heard"), rows))
    if chosen := sorted({name for heard in against.confusion.values() for name in heard}):
        rows = [
            (label, *(str(heard.get(name, 0)) for name in chosen)) for label, heard in against.confusion.items()
        ]
        details += ["", Figures(("label \\ heard", *(f">{name}" for name in chosen)), rows)]
        details += ["", _of_raters(judged.raters, "rated", "match the label")]
    return [*details, ""]


def _of_raters(raters: Mapping[str, Rater], *heads: str) -> Figures:
    rows = [
        (name, str(rater.n_clips), _percent(rater.accuracy), _percent(rater.with_others))
        for name, rater in raters.items()
    ]
    return Figures(("listener", *(f">{head}" for head in heads), ">match the others"), rows)


def _of_pairs(pairs: listening.JudgedPairs) -> list[str | Figures]:
    natural, tag = pairs.natural, pairs.tag
    ratings = f"{counted(natural.score.n_ratings, 'rating')} of {counted(natural.score.n_clips, 'pair')}"
    shares = (("rebuilt", natural.rebuilt), ("the same", natural.same), ("recorded", natural.recorded))
    details: list[str | Figures] = [
        f"which is more natural ({ratings})",
        *(f"  {name} {_percent(share)}" for name, share in shares),
        f"  the rebuilt gets {_interval(natural.score)}, and would if nobody could tell",
    ]
    if natural.kappa.overall is not None:
        details.append(f"  Fleiss' kappa of the listeners {natural.kappa.overall:.3f}")
    ratings = f"{counted(tag.heard.n_ratings, 'rating')} of {counted(tag.heard.n_clips, 'line')}"
    details += ["", f"tags that are heard ({ratings})", f"  {_interval(tag.heard)}"]
    rows = []
    for name, value in tag.by_tag.items():
        instead = {heard: n for heard, n in tag.against.confusion.get(name, {}).items() if heard != name}
        common = ", ".join(sorted(instead, key=lambda heard: (-instead[heard], heard))[:2])
        bounds = f"{100 * value.low:.0f}–{100 * value.high:.0f} %"
        rows.append((name, _percent(value.mean), bounds, _percent(value.chance), str(value.n_clips), common))
    if rows:
        details.append(Figures(("tag", ">heard", ">95 %", ">by guessing", ">lines", "heard instead"), rows))
    if tag.raters:
        details += ["", _of_raters(tag.raters, "lines", "heard the tag")]
    return [*details, "intervals of 95 % are Wilson's, as if all listeners of a clip were one"]


def _interval(value: Scored) -> str:
    bounds = f"95 % from {100 * value.low:.0f} to {100 * value.high:.0f} %"
    return f"{_percent(value.mean)} ({bounds}; guessing gives {_percent(value.chance)})"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"
