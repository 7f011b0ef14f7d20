"""`dailytalk export`."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.defaults import default_settings
from dailytalk_contiguous.cli.terminal import argument
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.outcome import Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.records.run_record import RunRecord
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.settings import is_own_file, one_of
from dailytalk_contiguous.core.wording import counted, portable
from dailytalk_contiguous.publish.exports.annotation_formats import annotated_rows, open_annotation
from dailytalk_contiguous.publish.exports.exporting import TWO_LISTS, Export, ExportFormat, ExportSettings
from dailytalk_contiguous.publish.exports.formats import FORMATS, format_named
from dailytalk_contiguous.publish.exports.writing import write_export
from dailytalk_contiguous.publish.opening import local_folder, open_items, version_or_path
from dailytalk_contiguous.publish.tables.readme import readme
from dailytalk_contiguous.publish.version import Version
from dailytalk_contiguous.store.work_folder import read_run, work_folder_of

#: The sides of a training folder by the splits of a published dataset.
SIDES = {"train": "train", "validation": "eval"}

#: The options of `export` that the formats of this package take.
EXPORT_SETTINGS = cli_options.setting_options(ExportSettings(), *(layout.settings for layout in FORMATS.values()))

#: The options that `export --help` shows.
_EVERYDAY = (
    "out",
    "format",
    "main",
    "tokenizer",
    "max_length",
    "sample_rate",
    "text_conditions",
    "split",
    "eval_share",
    "divide_anew",
)


@cli_options.with_options(EXPORT_SETTINGS, {"format": lambda file: [format_named(file).settings]}, _EVERYDAY)
def export(
    source: str = argument(
        "DIR|OWNER/NAME",
        "Folder of build, speak, corpus or clips (annotations: tag, too), or a Hub dataset.",
    ),
    out: Path = cli_options.out_option(),
    format: str = cli_options.format_option("moshi"),
    revision: str | None = cli_options.REVISION,
    split: str = cli_options.SPLIT,
    **options: Any,
) -> Outcome:
    """Write a folder that a trainer or a tool reads.

    A published dataset keeps its split unless --eval-share or --divide-anew is given; --split is for formats
    with one list.
    """
    layout = format_named(format)
    settings = cli_options.chosen(options, EXPORT_SETTINGS)
    settings |= cli_options.own_of(options, layout.settings)
    cli_options.on_this_machine("--out", out)
    clips = layout.source(Path(source))
    if split and (clips or layout.sides == TWO_LISTS):
        raise DailytalkError("--split is for datasets with splits, and for formats with one list", "leave it out")
    if clips:
        selection = _Selection(clips)
    elif layout.open is open_annotation:
        dataset = version_or_path(source, revision)
        selection = _Selection(annotated_rows(dataset, (split,) if split else None))
    else:
        dataset = version_or_path(source, revision)
        divides_anew = bool(settings.keys() & {"eval_share", "divide_anew"})
        selection = _select(dataset, layout, split, divides_anew)
    run = read_run(work_folder_of(local_folder(Path(source))))
    settings["dataset"] = _dataset_name(source, run)
    about = partial(readme, out.absolute().name, run=run, defaults=default_settings())
    done = write_export(selection.rows, out, layout, sides=selection.sides, readme=about, **settings)
    return _export_outcome(done, layout, format, out, selection.left_out)


def _dataset_name(source: str, run: RunRecord) -> str:
    """The name of what is exported: that of the source of a work folder, or of the folder or the repository."""
    name = portable(run.source.repository or run.source.name)
    folder = local_folder(Path(source))
    if not name and folder.exists():
        name = folder.resolve().name
    return name or source.partition("@")[0]


def _export_outcome(
    done: Export,
    layout: ExportFormat,
    format: str,
    out: Path,
    left_out: Mapping[str, int],
) -> Outcome:
    """The outcome of an export in a format that is named `format`; `left_out`: conversations by split."""
    parts = [f"{counted(n, layout.unit)} of {side}" for side, n in done.files.items()]
    if not done.disjoint:
        parts.append("some speakers are in both sets")
    parts += [f"the {count} of {name} left out" for name, count in left_out.items()]
    parts += done.notes
    record = {
        "files": done.files,
        "speakers_disjoint": done.disjoint,
        **done.facts,
        "left_out": dict(left_out),
        "left_out_parts": dict(done.left_out),
        "out": str(out),
        "rejects": [reject.as_dict() for reject in done.rejects],
    }
    commands = []
    if done.is_checked:
        words = ("--format", format) if is_own_file(format) else ()
        commands.append(to_run("check", out, *words))
    commands += done.facts.get("commands", ())
    return Outcome(
        record,
        headline=f"{', '.join(parts)} in {out}",
        code=exit_code(sum(done.files.values()), len(done.rejects)),
        details=[f"left out: {reason}: {n:,}" for reason, n in sorted(done.left_out.items())],
        rejected=rejected_of(done.rejects, layout.noun),
        next=", then ".join(commands),
    )


class _Selection(NamedTuple):
    """Conversations, `train` or `eval` of each where that is decided, and how many are left out, by split."""

    rows: Iterator[Row]
    sides: dict[str, str] | None = None
    left_out: Mapping[str, int] = {}


def _select(
    source: Path | Version,
    layout: ExportFormat,
    split: str,
    divides_anew: bool,
) -> _Selection:
    """The conversations to export: none of `test`, nor of `validation` where a format has no list for it."""
    items = open_items(source, finished=True)
    two_lists = layout.sides == TWO_LISTS
    split_of = items.splits()
    if not (split_of or split) and items.kind != "version":
        return _Selection(items.rows())
    if split and not split_of:
        raise DailytalkError("nothing in it is in a split", "leave out --split")
    counts = Counter(split_of.values())
    splits = tuple(SIDES) if two_lists else (one_of("--split", split or "train", counts),)
    sides = None
    if two_lists and not divides_anew:
        sides = {name: SIDES.get(own_split, "") for name, own_split in split_of.items()}
    left_out = {name: count for name, count in counts.items() if name not in splits}
    return _Selection(items.rows(splits=splits), sides, left_out)
