"""`dailytalk report`."""

from pathlib import Path
from typing import Any

from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.check import FITNESS_SETTINGS, fitness_limits
from dailytalk_contiguous.cli.terminal import Panel, argument, option, shown_steps
from dailytalk_contiguous.core.apps import parts
from dailytalk_contiguous.core.errors import BadValue, DailytalkError
from dailytalk_contiguous.core.outcome import Judgement, Outcome
from dailytalk_contiguous.core.scorecard import ReferenceCorpus
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.opening import open_items, reference_at, version_or_path
from dailytalk_contiguous.publish.page import AUDIO, SHOWN, write_report
from dailytalk_contiguous.publish.training_folder import is_mix
from dailytalk_contiguous.publish.version import Version
from dailytalk_contiguous.store.work_folder import STATS

#: Pages of apps in place of the report: dataclasses of settings whose `made` returns an outcome, or None if the
#: page is not requested.
_INSTEAD = [(page, cli_options.setting_options(page())) for page in parts("INSTEAD_OF_REPORT")]


@cli_options.with_options(FITNESS_SETTINGS | {name: of for _, own in _INSTEAD for name, of in own.items()})
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
    audio: str | None = option(
        None,
        Panel.RESULT,
        "Where sound goes: inside the page, or nowhere.",
        metavar="|".join(AUDIO),
        show_default="inside",
    ),
    markdown: Path | None = cli_options.MARKDOWN,
    **options: Any,
) -> Outcome:
    """Write a page: the verdict, examples to hear, figures.

    One page of HTML, with all conversations in a table. Of a corpus of clips or a mix: hours along every label,
    balance, quality with its limits, what to record, whose work it is, and clips to listen to; --markdown is for
    them alone. With --against, both are side by side. The page needs no network and no other file. The player
    shows the first three minutes of a conversation.
    """
    cli_options.on_this_machine("--out", out)
    cli_options.on_this_machine("--markdown", markdown)
    if audio is not None and audio not in AUDIO:
        raise BadValue(f"--audio can't be {audio!r}", f"give {cli_options.either(AUDIO)}")
    dataset = version_or_path(source, revision)
    if isinstance(dataset, Path) and not dataset.is_dir():
        raise DailytalkError(f"{str(dataset)!r} is no folder", "name what dailytalk build, speak or tag wrote")
    for page, settings in _INSTEAD:
        made: Outcome | None = page(**cli_options.chosen(options, settings)).made(dataset, out, against, markdown)
        if made is not None:
            return made
    other, reference = _other(against, dataset)
    labelled = isinstance(dataset, Path) and open_items(dataset).labelled
    if not labelled and markdown:
        raise DailytalkError("--markdown goes with what dailytalk corpus wrote", "leave it out")
    shown = chosen_conversations(conversations or [])
    from dailytalk_contiguous.cli.defaults import default_settings  # which imports every stage

    with shown_steps():
        limits = fitness_limits(options)
        written = write_report(
            dataset, out, shown, other, markdown, audio, limits, reference, defaults=default_settings()
        )
    record: dict[str, Any] = {"out": str(written.path), "bytes": written.size}
    if written.labelled:
        record |= {"clips": written.conversations, "measured": written.measured, "heard": written.shown}
        is_of_files = isinstance(dataset, Path) and is_mix(dataset)
        contents = counted(written.conversations, "file" if is_of_files else "clip")
        if written.measured and not is_of_files:  # it is not known of a published version
            contents += f", {written.measured} measured"
        contents += f", {len(written.shown)} with sound"
    else:
        record |= {"conversations": written.conversations, "shown": written.shown}
        contents = f"{len(written.shown)} of {counted(written.conversations, 'conversation')} in the player"
    details: list[str | Judgement] = []
    if judged := written.verdict:
        record |= {"verdict": judged.as_dict()}
        details.append(Judgement(judged.headline, {"good": True, "bad": False}.get(judged.level)))
    headline = f"report  {record['out']} ({written.size / 1e6:.1f} MB, {contents})"
    return Outcome(record, headline, details=details, next=f"open {record['out']} in a browser")


def _other(against: str | None, dataset: Path | Version) -> tuple[Path | None, ReferenceCorpus | None]:
    """The folder of `--against`, to be read, or only the measures of its conversations.

    Raises DailytalkError if it can't be compared.
    """
    if against is None:
        return None, None
    other = version_or_path(against, None)
    if isinstance(other, Path) and not other.exists():
        raise DailytalkError(f"--against {against!r} does not exist", "check the path")
    if isinstance(other, Path) and other.is_dir() and isinstance(dataset, Path):
        return other, reference_at(other) if (other / STATS).exists() else None
    return None, reference_at(other)


def chosen_conversations(values: list[str]) -> int | list[str]:
    """Parse `--conversations`: a number by itself is how many, other values are ids."""
    if not values:
        return SHOWN
    return int(values[0]) if len(values) == 1 and values[0].isdecimal() else values
