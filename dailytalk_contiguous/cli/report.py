"""`dailytalk report`: a page to look at and listen to what was made."""

import json
from pathlib import Path
from typing import Annotated

import typer

from dailytalk_contiguous.cli.place import place
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.reporting.expressive import write_corpus_report
from dailytalk_contiguous.publish.reporting.expressive_rows import is_corpus
from dailytalk_contiguous.publish.reporting.listening import write_listening_test
from dailytalk_contiguous.publish.reporting.report import SHOWN, write_report, write_version_report
from dailytalk_contiguous.sources.listing import as_text


def report(
    source: Annotated[
        str,
        typer.Argument(metavar="DIR|OWNER/NAME", help="What build, speak or tag wrote, or a dataset on the Hub."),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page.", show_default="DIR/report.html")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="TAG", help="Version of a dataset on the Hub.", show_default="main")
    ] = None,
    conversations: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N|ID",
            help="How many conversations to draw and to embed; or the id of one, as often as you like.",
            show_default=str(SHOWN),
        ),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A summary for a card, too (a corpus of clips).")
    ] = None,
    listening_test: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Instead, a page on which people label N clips blind (a corpus of clips)."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Which clips those are, and their order.", show_default="0")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Write one page of HTML: counts, tags, affect, turn-taking, lengths, money, and conversations to listen to.

    Of a corpus of clips: hours along every label, balance, quality with its limits, what to record, and clips to
    listen to. The page needs no network and no other file. Conversations are cut to three minutes there.
    """
    found = place(source, revision)
    if isinstance(found, Path) and not found.is_dir():
        raise DailytalkError(f"{as_text(found)!r} is no folder", "name what dailytalk build, speak or tag wrote")
    if out is not None and out.is_dir():
        raise DailytalkError(f"--out {as_text(out)!r} is a folder", "name a file, such as report.html")
    if seed is not None and listening_test is None:
        raise DailytalkError("--seed decides nothing without --listening-test", "leave it out")
    if isinstance(found, Path) and is_corpus(found):
        if conversations:
            raise DailytalkError("--conversations goes with conversations, and these are clips", "leave it out")
        _of_corpus(found, out, markdown, listening_test, seed or 0, as_json)
        return
    if markdown or listening_test:
        option = "--markdown" if markdown else "--listening-test"
        raise DailytalkError(f"{option} goes with what dailytalk corpus wrote", "leave it out")
    wanted = chosen(conversations or [])
    if isinstance(found, Path):
        written = write_report(found, out, wanted)
    elif out is None:
        raise DailytalkError(f"nobody said where the page about {found} goes", "name a file with --out")
    else:
        written = write_version_report(found, out, wanted)
    if as_json:
        told = {"out": as_text(written.path), "bytes": written.size, "conversations": written.conversations}
        print(json.dumps(told | {"shown": written.shown}, indent=1, ensure_ascii=False))
    else:
        shown = f"{len(written.shown)} of {written.conversations} conversations with sound"
        print(f"report  {as_text(written.path)} ({written.size / 1e6:.1f} MB, {shown})")


def _of_corpus(
    folder: Path, out: Path | None, markdown: Path | None, count: int | None, seed: int, as_json: bool
) -> None:
    if count is None:
        report = write_corpus_report(folder, out, markdown)
        told: dict[str, object] = {"out": as_text(report.path), "bytes": report.size, "clips": report.clips}
        told |= {"measured": report.measured, "heard": report.heard}
        shown = f"{report.clips} clips, {report.measured} measured, {len(report.heard)} with sound"
        line = f"report  {as_text(report.path)} ({report.size / 1e6:.1f} MB, {shown})"
    else:
        if out is None or markdown:
            raise DailytalkError("a listening test is a page of its own", "name it with --out, without --markdown")
        test = write_listening_test(folder, out, count, seed)
        told = {"out": as_text(test.page), "key": as_text(test.key), "clips": test.clips}
        line = f"test  {as_text(test.page)} ({test.clips} clips); its key, not for listeners: {as_text(test.key)}"
    print(json.dumps(told, indent=1, ensure_ascii=False) if as_json else line)


def chosen(given: list[str]) -> int | list[str]:
    """What `--conversations` asks for: one number by itself is how many, anything else are ids."""
    if not given:
        return SHOWN
    return int(given[0]) if len(given) == 1 and given[0].isdecimal() else given
