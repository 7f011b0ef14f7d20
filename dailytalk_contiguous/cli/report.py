"""`dailytalk report` and `dailytalk agreement`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from dailytalk_contiguous.cli import terminal
from dailytalk_contiguous.cli.export import FITNESS_SETTINGS, fitness_limits
from dailytalk_contiguous.cli.options import (
    RevisionOption,
    either,
    on_this_machine,
    seed_option,
    with_options,
)
from dailytalk_contiguous.core.agreement import Scored
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish import listening
from dailytalk_contiguous.publish.items import is_mix, open_items
from dailytalk_contiguous.publish.page import ALL, AUDIO, SHOWN, write_report
from dailytalk_contiguous.publish.version import Version, version_or_path

# `dailytalk report`: a page to look at and listen to what was made.


#: Bytes of a page from which a browser takes seconds to open it.
LARGE = 60_000_000


@with_options(FITNESS_SETTINGS)
def report(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DIR|OWNER/NAME", help="What build, speak, tag, corpus or mix wrote, or a dataset on the Hub."
        ),
    ],
    out: Annotated[
        Path | None,
        terminal.option(terminal.HelpPanel.INPUT, "The page.", metavar="FILE", show_default="DIR/report.html"),
    ] = None,
    revision: RevisionOption = None,
    against: Annotated[
        str | None,
        terminal.option(
            terminal.HelpPanel.INPUT,
            "A folder to compare with: of corpus, mix, tag, speak or build.",
            metavar="DIR",
        ),
    ] = None,
    conversations: Annotated[
        list[str] | None,
        terminal.option(
            terminal.HelpPanel.RESULT,
            "How many examples to choose for the player; or the id of one, as often as you like; or all.",
            metavar="N|ID|all",
            show_default=str(SHOWN),
        ),
    ] = None,
    audio: Annotated[
        str | None,
        terminal.option(
            terminal.HelpPanel.RESULT,
            "Where sound goes: files beside the page, inside it, or nowhere.",
            metavar="|".join(AUDIO),
            show_default="inside below 20 MB, else beside",
        ),
    ] = None,
    markdown: Annotated[
        Path | None,
        terminal.option(
            terminal.HelpPanel.RESULT, "A summary for a card, too (a corpus of clips, or a mix).", metavar="FILE"
        ),
    ] = None,
    listening_test: Annotated[
        int | None,
        terminal.option(
            terminal.HelpPanel.RESULT,
            "Instead, a page on which people listen blind to N clips of a corpus, or N conversations (--pairs).",
            metavar="N",
            min=1,
        ),
    ] = None,
    pairs: Annotated[
        bool,
        terminal.option(
            terminal.HelpPanel.RESULT,
            "Of --listening-test: recorded against rebuilt, and whether the tag of a line is heard.",
            "--pairs",
        ),
    ] = False,
    as_json: terminal.AsJsonOption = False,
    seed: Annotated[int | None, seed_option("0")] = None,
    **options: Any,
) -> None:
    """Write one page of HTML: the verdict, examples to listen to, all conversations in a table, and the figures.

    Of a corpus of clips or a mix: hours along every label, balance, quality with its limits, what to record, whose
    work it is, and clips to listen to. With --against, both are side by side. The page needs no network, and no
    other file unless its sound is beside it. The player shows the first three minutes of a conversation.
    """
    on_this_machine("--out", out)
    on_this_machine("--markdown", markdown)
    place = version_or_path(source, revision)
    if isinstance(place, Path) and not place.is_dir():
        raise DailytalkError(f"{as_text(place)!r} is no folder", "name what dailytalk build, speak or tag wrote")
    if out is not None and out.is_dir():
        raise DailytalkError(f"--out {as_text(out)!r} is a folder", "name a file, such as report.html")
    if seed is not None and listening_test is None:
        raise DailytalkError("--seed decides nothing without --listening-test", "leave it out")
    other = _other(against, place, listening_test)
    labelled = isinstance(place, Path) and open_items(place).labelled
    flags = ["--conversations"] * bool(conversations) + ["--audio"] * bool(audio)
    if labelled and flags:
        raise DailytalkError(f"{flags[0]} goes with conversations, and these are clips", "leave it out")
    if audio is not None and audio not in AUDIO:
        raise DailytalkError(f"--audio can't be {audio!r}", f"give {either(AUDIO)}")
    if not labelled and markdown:
        raise DailytalkError("--markdown goes with what dailytalk corpus wrote", "leave it out")
    if pairs and listening_test is None:
        raise DailytalkError("--pairs is of a listening test", "add --listening-test, or leave it out")
    if listening_test is not None:
        _listening_test(place, out, markdown, (listening_test, seed or 0), pairs, labelled, as_json)
        return
    shown = chosen_conversations(conversations or [])
    with terminal.shown_steps(quiet=as_json):
        written = write_report(place, out, shown, other, markdown, audio, fitness_limits(options))
    summary: dict[str, Any] = {"out": as_text(written.path), "bytes": written.size}
    if written.labelled:
        summary |= {"clips": written.conversations, "measured": written.measured, "heard": written.shown}
        measured = f", {written.measured} measured" if written.measured else ""  # not known of a published version
        unit = "files" if isinstance(place, Path) and is_mix(place) else f"clips{measured}"
        contents = f"{written.conversations} {unit}, {len(written.shown)} with sound"
    else:
        summary |= {"conversations": written.conversations, "shown": written.shown}
        summary |= {"files": written.files and as_text(written.files)}
        contents = f"{len(written.shown)} of {counted(written.conversations, 'conversation')} in the player"
    summary |= {"verdict": written.verdict.as_dict()} if written.verdict else {}
    beside = f"; its sound is in {as_text(written.files)}, which belongs to it" if written.files else ""
    line = f"report  {summary['out']} ({written.size / 1e6:.1f} MB, {contents}{beside})"
    if as_json:
        terminal.print_json(summary)
        return
    terminal.say(line)
    if written.size > LARGE:
        terminal.say(
            "note    a browser takes long to open so large a page: give --conversations N, or --audio beside"
        )
    if written.verdict:
        terminal.show_judgement(terminal.Console(), written.verdict.level, written.verdict.headline)


def _other(against: str | None, place: Path | Version, listening_test: int | None) -> Path | None:
    """The folder of `--against`. Raises DailytalkError where nothing can be compared with it."""
    if against is None:
        return None
    if listening_test is not None:
        raise DailytalkError("--against goes with a report, and a listening test is none", "leave it out")
    other = version_or_path(against, None)
    if isinstance(place, Version) or isinstance(other, Version):
        raise DailytalkError("--against compares folders of ours, and no published dataset", "name a work folder")
    if not other.is_dir():
        raise DailytalkError(f"--against {against!r} is no folder", "check the path")
    return other


def _listening_test(
    folder: Path | Version,
    out: Path | None,
    markdown: Path | None,
    drawn: tuple[int, int],
    pairs: bool,
    labelled: bool,
    as_json: bool,
) -> None:
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
    key = f"its key, not for listeners: {as_text(test.key)}"
    line = f"test  {as_text(test.page)} ({counted(test.clips, 'clip')}); {key}"
    terminal.print_json(summary) if as_json else terminal.say(line)


def chosen_conversations(values: list[str]) -> int | str | list[str]:
    """What `--conversations` asks for: a number by itself is how many, `all` is all, anything else are ids."""
    if not values:
        return SHOWN
    if values == [ALL]:
        return ALL
    return int(values[0]) if len(values) == 1 and values[0].isdecimal() else values


def agreement(
    key: Annotated[Path, typer.Argument(metavar="KEY.json", help="The key beside the page of the test.")],
    answers: Annotated[list[Path], typer.Argument(metavar="ANSWERS.json", help="What listeners saved.")],
    as_json: terminal.AsJsonOption = False,
) -> None:
    """Fleiss' kappa of the listeners, for each emotion and style, and how far they hear what the labels say.

    Of conversations in pairs: which side sounds more natural, and whether the tags are heard, each with Wilson's
    interval of 95 % and what guessing gives. Clips that a listener skipped count as not rated; a clip with fewer
    than two ratings has no part in kappa.
    """
    test = listening.read_test(key, answers)
    if test.paired:
        _show_pairs(test, listening.pairs_of(test), as_json)
        return
    judgements = {what: listening.agreement_of(test, what) for what in ("emotion", "style")}
    if as_json:
        summary: dict[str, Any] = {"clips": len(test.clips), "raters": sorted(test.answers)}
        terminal.print_json(summary | {what: judged.as_dict() for what, judged in judgements.items()})
        return
    console = terminal.Console(markup=False)
    console.print(f"{counted(len(test.clips), 'clip')}, {counted(len(test.answers), 'listener')}")
    for what, judged in judgements.items():
        _show(console, what, judged)


def _show(console: terminal.Console, what: str, judged: listening.JudgedClip) -> None:
    kappa = judged.kappa
    if kappa.overall is None:
        console.print(f"\n{what}: kappa is not defined: {kappa.reason}")
    else:
        used = f"{counted(kappa.n_clips, 'clip')} with two ratings or more, {counted(kappa.n_ratings, 'rating')}"
        console.print(f"\n{what}: Fleiss' kappa {kappa.overall:.3f} ({used})")
    console.print(f"ratings that match the label: {_percent(judged.against.accuracy)}")
    if judged.sure:
        by_sureness = ", ".join(f"{name} {_percent(share)}" for name, share in judged.sure.items())
        console.print(f"  by how sure they were: {by_sureness}")
    names = sorted({*kappa.by_category, *judged.against.confusion})
    if names:
        table = Table(what, "kappa", "heard as labelled", "labelled as heard")
        for name in names:
            of_category = kappa.by_category.get(name)
            shares = (judged.against.recall.get(name), judged.against.precision.get(name))
            table.add_row(name, "–" if of_category is None else f"{of_category:.3f}", *map(_percent, shares))
        console.print(table)
    chosen = sorted({name for heard in judged.against.confusion.values() for name in heard})
    if chosen:
        table = Table("label \\ heard", *chosen)
        for label, heard in judged.against.confusion.items():
            table.add_row(label, *(str(heard.get(name, 0)) for name in chosen))
        console.print(table)
        table = Table("listener", "rated", "match the label", "match the others")
        for name, rater in judged.raters.items():
            table.add_row(name, str(rater.n_clips), _percent(rater.accuracy), _percent(rater.with_others))
        console.print(table)


def _show_pairs(test: listening.Test, pairs: listening.JudgedPairs, as_json: bool) -> None:
    if as_json:
        terminal.print_json({"clips": len(test.clips), "raters": sorted(test.answers)} | pairs.as_dict())
        return
    console = terminal.Console(markup=False)
    natural, tag = pairs.natural, pairs.tag
    console.print(f"{counted(len(test.clips), 'clip')}, {counted(len(test.answers), 'listener')}")
    ratings = f"{counted(natural.score.n_ratings, 'rating')} of {counted(natural.score.n_clips, 'pair')}"
    console.print(f"\nwhich is more natural ({ratings})")
    for name, share in (("rebuilt", natural.rebuilt), ("the same", natural.same), ("recorded", natural.recorded)):
        console.print(f"  {name} {_percent(share)}")
    console.print(f"  the rebuilt gets {_interval(natural.score)}, and would if nobody could tell")
    if natural.kappa.overall is not None:
        console.print(f"  Fleiss' kappa of the listeners {natural.kappa.overall:.3f}")
    ratings = f"{counted(tag.heard.n_ratings, 'rating')} of {counted(tag.heard.n_clips, 'line')}"
    console.print(f"\ntags that are heard ({ratings})")
    console.print(f"  {_interval(tag.heard)}")
    if tag.by_tag:
        table = Table("tag", "heard", "95 %", "by guessing", "lines", "heard instead")
        for name, value in tag.by_tag.items():
            instead = {heard: n for heard, n in tag.against.confusion.get(name, {}).items() if heard != name}
            common = ", ".join(sorted(instead, key=lambda heard: (-instead[heard], heard))[:2])
            bounds = f"{100 * value.low:.0f}–{100 * value.high:.0f} %"
            table.add_row(name, _percent(value.mean), bounds, _percent(value.chance), str(value.n_clips), common)
        console.print(table)
    if tag.raters:
        table = Table("listener", "lines", "heard the tag", "match the others")
        for name, rater in tag.raters.items():
            table.add_row(name, str(rater.n_clips), _percent(rater.accuracy), _percent(rater.with_others))
        console.print(table)
    console.print("intervals of 95 % are Wilson's, as if all listeners of a clip were one")


def _interval(value: Scored) -> str:
    bounds = f"95 % from {100 * value.low:.0f} to {100 * value.high:.0f} %"
    return f"{_percent(value.mean)} ({bounds}; guessing gives {_percent(value.chance)})"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"
