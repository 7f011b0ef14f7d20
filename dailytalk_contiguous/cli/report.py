"""`dailytalk report`."""

from collections.abc import Sequence
from pathlib import Path

from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.check import LIMIT, chosen_limits
from dailytalk_contiguous.cli.defaults import default_settings
from dailytalk_contiguous.cli.terminal import Panel, argument, option, shown_steps
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadValue, DailytalkError
from dailytalk_contiguous.core.records.outcome import Judgement, Outcome
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine.apps import parts
from dailytalk_contiguous.publish.opening import open_items, version_or_path
from dailytalk_contiguous.publish.tables.displays import SHOWN
from dailytalk_contiguous.publish.tables.page import WrittenReport, write_report
from dailytalk_contiguous.store.addresses import store_address

#: Pages of apps in place of the report: dataclasses of settings whose `made` returns an outcome, or None if the
#: page is not requested.
_INSTEAD = [*parts("INSTEAD_OF_REPORT")]


@cli_options.with_options(cli_options.setting_options(*(page() for page in _INSTEAD)))
def report(
    source: str = argument(
        "DIR|OWNER/NAME", "What build, speak, tag, corpus or mix wrote, or a dataset on the Hub."
    ),
    out: Path | None = cli_options.file_option("DIR/report.html"),
    revision: str | None = cli_options.REVISION,
    against: str | None = option(
        None,
        Panel.INPUT,
        "Compare with another corpus, a mix, a work folder or a version.",
        metavar="DIR|OWNER/NAME",
    ),
    conversations: list[str] | None = option(
        None,
        Panel.RESULT,
        "Number of examples in the player, or the id of one; ids may be repeated.",
        metavar="N|ID",
        show_default=str(SHOWN),
    ),
    limit: list[str] = LIMIT,
    **options: object,
) -> Outcome:
    """Write a page: the verdict, examples to hear, figures.

    One page of HTML, with all conversations in a table. For a corpus of clips or a mix: hours along every label,
    balance, quality with its limits, what to record, whose work it is, and clips to listen to. With --against,
    clips or conversations are shown beside others by emotion, style, tag, length and level. The page needs no
    network and no other file. The player shows the first three minutes of a conversation.
    """
    cli_options.on_this_machine("--out", out)
    if out is None and store_address(Path(source)):
        raise DailytalkError(f"a report of {source} is written to this machine", "name its file with --out")
    instead = []
    is_another_page = False
    for kind in _INSTEAD:
        default_page = kind()
        page = kind(**cli_options.chosen(options, cli_options.setting_options(default_page)))
        instead.append(page)
        is_another_page = is_another_page or page != default_page
    if is_another_page and (conversations or limit):
        raise BadValue("--conversations and --limit are only for the report", "leave them out of this page")
    dataset = version_or_path(source, revision)
    for page in instead:
        made: Outcome | None = page.write_page(dataset, out, against)
        if made is not None:
            return made
    shown = chosen_conversations(conversations or [])
    limits = chosen_limits(limit)
    other = open_items(version_or_path(against, None)) if against else None
    defaults = default_settings()
    with shown_steps():
        written = write_report(dataset, out, shown, limits, other, defaults=defaults)
    return _report_outcome(written)


def _report_outcome(written: WrittenReport) -> Outcome:
    file = as_text(written.path)
    record: dict[str, object] = {
        "out": file,
        "bytes": written.size,
        f"{written.unit}s": written.number,
        "shown": written.examples,
    }
    details: list[str | Judgement] = []
    verdict = written.verdict
    if verdict is not None:
        record["verdict"] = verdict.as_dict()
        is_good = {"good": True, "bad": False}.get(verdict.level)  # None with reservations
        details.append(Judgement(verdict.headline, is_good))
    contents = f"{len(written.examples)} of {counted(written.number, written.unit)} can be heard"
    headline = f"report  {file} ({written.size / 1e6:.1f} MB, {contents})"
    return Outcome(record, headline, details=details, next=f"open {file} in a browser")


def chosen_conversations(values: Sequence[str]) -> int | list[str]:
    """Parse `--conversations`: a number by itself is how many, other values are ids."""
    if not values:
        return SHOWN
    if len(values) == 1 and values[0].isdecimal():
        return int(values[0])
    return [*values]
