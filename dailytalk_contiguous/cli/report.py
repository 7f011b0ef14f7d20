"""`dailytalk report`."""

from pathlib import Path
from typing import Any

from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.check import LIMIT, chosen_limits
from dailytalk_contiguous.cli.terminal import Panel, argument, option, shown_steps
from dailytalk_contiguous.core.apps import parts
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.outcome import Judgement, Outcome
from dailytalk_contiguous.core.scorecard import ReferenceCorpus
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.items import Items
from dailytalk_contiguous.publish.opening import open_items, reference_at, version_or_path
from dailytalk_contiguous.publish.page import SHOWN, write_report
from dailytalk_contiguous.publish.version import Version
from dailytalk_contiguous.sources.addresses import store_address
from dailytalk_contiguous.store.work_folder import STATS

#: Pages of apps in place of the report: dataclasses of settings whose `made` returns an outcome, or None if the
#: page is not requested.
_INSTEAD = [(page, cli_options.setting_options(page())) for page in parts("INSTEAD_OF_REPORT")]


@cli_options.with_options({name: of for _, own in _INSTEAD for name, of in own.items()})
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
        "How many examples to choose for the player; or the id of one, as often as you like.",
        metavar="N|ID",
        show_default=str(SHOWN),
    ),
    limit: list[str] = LIMIT,
    **options: Any,
) -> Outcome:
    """Write a page: the verdict, examples to hear, figures.

    One page of HTML, with all conversations in a table. For a corpus of clips or a mix: hours along every label,
    balance, quality with its limits, what to record, whose work it is, and clips to listen to. With --against the
    turn-taking of conversations is compared with that of others; a corpus of clips is shown beside other clips or
    conversations by emotion, style, tag, length and level, and so are conversations beside a corpus. The page
    needs no network and no other file. The player shows the first three minutes of a conversation.
    """
    cli_options.on_this_machine("--out", out)
    if out is None and store_address(Path(source)):
        raise DailytalkError(f"a report of {source} is written to this machine", "name its file with --out")
    dataset = version_or_path(source, revision)
    for page, settings in _INSTEAD:
        made: Outcome | None = page(**cli_options.chosen(options, settings)).made(dataset, out, against)
        if made is not None:
            return made
    reference, other = (None, None) if against is None else _compared_with(dataset, against)
    shown = chosen_conversations(conversations or [])
    from dailytalk_contiguous.cli.defaults import default_settings  # which imports every stage

    with shown_steps():
        limits = chosen_limits(limit)
        written = write_report(dataset, out, shown, limits, reference, other, defaults=default_settings())
    record: dict[str, Any] = {"out": str(written.path), "bytes": written.size}
    record |= {f"{written.unit}s": written.number, "shown": written.shown}
    contents = f"{len(written.shown)} of {counted(written.number, written.unit)} can be heard"
    details: list[str | Judgement] = []
    if judged := written.verdict:
        record |= {"verdict": judged.as_dict()}
        details.append(Judgement(judged.headline, {"good": True, "bad": False}.get(judged.level)))
    headline = f"report  {record['out']} ({written.size / 1e6:.1f} MB, {contents})"
    return Outcome(record, headline, details=details, next=f"open {record['out']} in a browser")


def _compared_with(dataset: Path | Version, against: str) -> tuple[ReferenceCorpus | None, Items | None]:
    """What `--against` names: turn-taking to compare that of conversations with, or rows, if either has clips."""
    where = version_or_path(against, None)
    if isinstance(where, Path) and where.is_file():
        return reference_at(where), None
    names = where.names if isinstance(where, Version) else [path.name for path in where.glob(STATS)]
    if STATS in names and not open_items(dataset).labelled:
        return reference_at(where), None
    items = open_items(where)
    if items.labelled or open_items(dataset).labelled:
        return None, items
    return reference_at(where), None


def chosen_conversations(values: list[str]) -> int | list[str]:
    """Parse `--conversations`: a number by itself is how many, other values are ids."""
    if not values:
        return SHOWN
    return int(values[0]) if len(values) == 1 and values[0].isdecimal() else values
