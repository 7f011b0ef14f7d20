"""The writer of every export: rows in, each read once, a folder in the layout of a trainer or a tool out.

An `ExportFormat` decides which parts of a row go where. The rest is common to all exports and is here: the folder
and the files it owns, rejects, ids that occur twice, the division into training and evaluation, and options that a
format does not take.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.documents import typed
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.records.utterance import or_none
from dailytalk_contiguous.core.settings import check_values, settings_in
from dailytalk_contiguous.core.wording import counted, length_text, portable
from dailytalk_contiguous.core.words.filler_removal import row_without_fillers
from dailytalk_contiguous.core.words.same_texts import hash_words
from dailytalk_contiguous.machine.read_documents import MOST_OWN_BYTES, read_json
from dailytalk_contiguous.publish.exports.exporting import (
    Export,
    ExportFormat,
    ExportSettings,
    FileEntry,
)
from dailytalk_contiguous.publish.exports.splits import (
    EVAL_SHARE,
    DivisionSettings,
    SplitVoice,
    disjoint_in,
    split_conversations,
)
from dailytalk_contiguous.stages.transcribe import DROP
from dailytalk_contiguous.store.files import inside, json_document
from dailytalk_contiguous.store.owned_folder import README, OwnedFolder, is_foreign

#: The side of each id, for the next export into the same folder. Like the record beside it, no trainer reads it.
DIVISION = ".dailytalk-division.json"

#: The settings that only a format with two sides takes.
_DIVIDING = {field.name for field in fields(DivisionSettings)}


def write_export(
    rows: Iterable[Row],
    out: Path,
    format: ExportFormat,
    *,
    sides: Mapping[str, str] | None = None,
    before: Mapping[str, str] | None = None,
    readme: Callable[[str, Mapping[str, int], str], str] | None = None,
    **settings: Any,
) -> Export:
    """Write a folder; the same rows and settings give the same bytes.

    Args:
        rows: rows of `core.records.schema.BUILT`, or as `format.open` takes them; read once, one at a time.
        out: the folder. Only a new one, an empty one, or an earlier export of this format is written to.
        format: one of `publish.exports.formats.FORMATS`.
        sides: `train` or `eval` of each id, where that is decided; else `eval_share` and `seed` decide it.
        before: the side of ids that were divided before, which stays; None for those of earlier exports in `out`.
        readme: makes the text of the README from a description, the provenances of the rows with their numbers,
            and how to load the folder; None for none. A README that a person wrote stays as it is.
        settings: the settings of `format.settings`, by the names of their options.

    Raises DailytalkError: a setting does not go with the format, `out` is not ours, an id occurs twice, or no row
    is left to train on.
    """
    chosen = settings_of_export(format, settings)
    if format.is_only_rate and chosen.sample_rate not in (None, format.sample_rate):
        reason = f"--sample-rate {chosen.sample_rate} does not go with --format {format.name}"
        raise DailytalkError(f"{reason}: its model takes {format.sample_rate} Hz alone", "leave it out")
    prepared = format.prepare(out, chosen)
    target = OwnedFolder(out, format.name, format.manifests)
    rate = chosen.sample_rate or format.sample_rate
    export = Export(format, target, chosen, rate, prepared)
    for row in rows:
        _write_row(export, row)
    if len(format.sides) == 1:
        export.side = dict.fromkeys(export.entries, format.sides[0])
    elif sides is not None:
        export.side = {voice.id: sides[voice.id] for voice in export.voices}
    else:
        if before is None:
            before = {} if chosen.divide_anew else divided_before(out)
        shares = {"eval": chosen.eval_share or EVAL_SHARE}
        export.side = split_conversations(export.voices, shares, before, chosen.seed)
        n_kept = len(export.entries.keys() & before.keys())
        if n_kept:
            export.facts["divided_before"] = n_kept
            export.notes.append(f"{n_kept:,} on the side that they had (--divide-anew divides all)")
    lists: dict[str, list[FileEntry]] = {side: [] for side in format.sides}
    for voice in export.voices:
        side = export.side[voice.id]
        lists[side] += export.entries[voice.id]
    if not lists[format.sides[0]]:
        raise _nothing_exported(export)
    if chosen.fillers == DROP:
        export.facts["fillers_left_out"] = export.n_fillers
        export.notes.append("fillers are in the sound alone")
    texts = format.finish(export, lists)
    if len(format.sides) > 1:
        # Conversations that this export lacks may come back in the next one.
        division = {**(before or {}), **export.side}
        target.write_text(DIVISION, json_document(division))
    if is_foreign(out):
        with suppress(BadInput):  # a link
            target.claim(README)  # which keeps it
    elif readme:
        how_to_load = f"It is read by {format.reader}."
        if texts:
            names = [f"`{name}`" for name in texts]
            how_to_load += f" Its lists: {', '.join(names)}."
        if export.is_checked:
            how_to_load += " `dailytalk check .` says whether a trainer can use it."
        target.write_text(README, readme(_description(export), export.provenances, how_to_load))
    target.finish(texts)
    export.files = {side: len(entries) for side, entries in lists.items()}
    export.disjoint = disjoint_in(export.voices, export.side) == "speakers"
    return export


def settings_of_export(format: ExportFormat, settings: Mapping[str, Any]) -> ExportSettings:
    """Return the settings of a format with these values, by the names of the options.

    Raises DailytalkError for one that the format does not take.
    """
    common = {field.name for field in fields(ExportSettings)}
    field_of = {placed.option: placed.name for placed in settings_in(format.settings)}
    unlisted = {field.name for field in fields(format.settings)} - {*field_of.values()}
    taken = {"sample_rate", "fillers", *format.options, *unlisted, *(field_of.keys() - common)}
    if len(format.sides) > 1:
        taken |= _DIVIDING
    unfit = [f"--{name.replace('_', '-')}" for name in settings if name not in taken]
    if unfit:
        raise DailytalkError(
            f"{', '.join(unfit)} does not go with --format {format.name}", "leave it out, or export for another"
        )
    values = {field_of.get(name, name): value for name, value in settings.items()}
    chosen = replace(format.settings, **values)
    check_values(chosen)
    return chosen


def _write_row(export: Export, row: Row) -> None:
    """Write the files of a row, or list it as a reject."""
    format = export.format
    name = row["conversation_id"]
    if name in export.entries:
        remedy = "run `dailytalk check` on the dataset"
        raise DailytalkError(f"the {format.noun} {name!r} occurs twice", remedy)
    if row.get("problem"):
        export.rejects.append(Reject(name, "export", row["problem"], row["remedy"]))
        return
    if export.settings.fillers == DROP:
        row = row_without_fillers(row)
    try:
        item = format.open(row, export)
        entries = list(format.write(export, item))
    except BadInput as problem:
        export.rejects.append(Reject(name, "export", problem.reason, problem.remedy))
        return
    export.entries[name] = entries
    talk = from_finished(row)
    provenance = talk.extra.get("provenance") or ""
    export.provenances[provenance] += 1
    if talk.unwritten_words:
        export.n_fillers += len(talk.unwritten_words) - len(talk.alignments)
    if entries:
        seconds = sum(entry.seconds for entry in entries)
        digest = or_none(talk.sound_digest) or ""
        words = hash_words(talk.alignments)
        export.voices.append(SplitVoice(name, item.split_groups, name, seconds, digest, words))


def _nothing_exported(export: Export) -> DailytalkError:
    """Return the error of an export that has nothing to train on, with the first reason for it."""
    reasons = [f"{reject.id}: {reject.reason}" for reject in export.rejects]
    reasons += export.left_out
    if export.voices:
        reasons.append("all have another split (--divide-anew divides them)")
    reason = f" ({reasons[0]})" if reasons else ""
    remedy = "correct what is named, or build the dataset again"
    if export.rejects:
        remedy = export.rejects[0].remedy
    return DailytalkError(f"no {export.format.noun} could be exported{reason}", remedy)


def _description(export: Export) -> str:
    """Describe the contents of the folder for its README, with the options that are not as usual."""
    format = export.format
    seconds = length_text(sum(voice.seconds for voice in export.voices))
    description = (
        f"{counted(len(export.voices), format.noun)}, {seconds}, for {format.reader}, as "
        f"`dailytalk export --format {format.name}` writes them. It holds {format.holds}. "
        f"What is not in it: {format.loses}."
    )
    hidden = {"sample_rate", *_DIVIDING}
    defaults = {placed.option: placed.value for placed in settings_in(format.settings)}
    options = []
    for placed in settings_in(export.settings):
        if placed.name not in hidden and placed.value != defaults[placed.option]:
            option = placed.option.replace("_", " ")
            options.append(option if placed.value is True else f"{option} {placed.value}")
    if options:
        description += f" Options: {portable(', '.join(options))}."
    return description


def divided_before(out: Path) -> dict[str, str]:
    """Return the side of each id that earlier exports into a folder divided. Raises BadInput if it is damaged."""
    if not (out / DIVISION).exists():
        return {}
    remedy = "put it back, or divide all again with --divide-anew"
    record = read_json(inside(out, DIVISION), remedy, MOST_OWN_BYTES)
    return typed(record, dict[str, str], DIVISION, remedy)
