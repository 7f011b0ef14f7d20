"""Tables and plots of conversations, for the sections of their report and of their card.

Each is made of figures (`core.figures`) of the tables of a dataset; templates say where it stands and what it
means.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dailytalk_contiguous.core import figures, scorecard
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.tables import TAKE, UNKNOWN, Tables
from dailytalk_contiguous.core.turns import SIDES, TURN_MEASURES
from dailytalk_contiguous.core.utterance import EVENTS, columns_among
from dailytalk_contiguous.core.wording import counted, length_text, model_name, money, percent
from dailytalk_contiguous.publish.plots import HistogramPlot, MapPlot, Mark, Plot, Series
from dailytalk_contiguous.publish.templates import Bar, Link, Table, TableCell

#: Values of a label that are named; further ones are added up. Voices that are named among the settings, and
#: reasons with a line of their own.
MOST_VALUES, MOST_VOICES, MOST_REASONS = 25, 10, 15

#: The measures of utterances: name, unit and decimals.
MEASURED_NAMES = {
    "seconds": ("length", "s", 2),
    "valence": ("valence", "0 to 1", 3),
    "arousal": ("arousal", "0 to 1", 3),
    "dominance": ("dominance", "0 to 1", 3),
    "rms": ("loudness (RMS)", "full scale", 4),
    "zcr": ("zero crossings", "a sample", 3),
    "f0_mean": ("pitch", "Hz", 1),
    "f0_std": ("pitch variation", "Hz", 1),
    "speech_rate": ("rate", "words/s", 2),
    "voiced_fraction": ("voiced share", "0 to 1", 3),
}

#: The names of the roles of models.
ROLES = {
    "speech_activity": "speech activity",
    "recogniser": "words",
    "affect": "affect",
    "emotion": "emotion",
    "synthesiser": "new voice",
    "verifier": "check of the new voice",
}

_STATUSES = {
    "spoken": "resynthesised",
    "kept": "kept as recorded",
    "kept-original": "kept, though it was to be resynthesised",
    "dropped": "left out (no text)",
}

#: Columns of `figures.sums` with a length.
_LENGTHS = {"seconds", "left", "right", "seen", "copied"}


def ranked(tables: Tables, label: str, by: str = "seconds") -> pd.DataFrame:
    """Return the sums of each value of a label, the largest first; those after `MOST_VALUES` are added up."""
    sums = figures.sums(tables, label)
    sums = sums.set_axis(sums.index.astype(str)).sort_index().sort_values(by, ascending=False, kind="stable")
    rest = sums[MOST_VALUES:]
    if len(rest) < 2:
        return sums
    return pd.concat([sums[:MOST_VALUES], rest.sum().to_frame(f"{len(rest):,} others").T])


def label_table(
    tables: Tables, label: str, title: str, columns: Mapping[str, str], nothing: str = "", note: str = ""
) -> Table:
    """Return how much there is of each value of a label: columns of `figures.sums`, with their titles.

    The first is drawn as bars. `nothing`: why there are no rows.
    """
    first, *_ = columns
    values = ranked(tables, label, first)
    rows: list[tuple[TableCell, ...]] = []
    for name, of in values.iterrows():
        cells = [length_text(of[column]) if column in _LENGTHS else f"{of[column]:,.0f}" for column in columns]
        rows.append((str(name), Bar(cells[0], of[first] / (values[first].max() or 1.0)), *cells[1:]))
    is_known = {*values.index} - {UNKNOWN}
    return Table(title, (label.replace("_", " "), *columns.values()), rows if is_known else [], note, nothing)


def edits_text(tables: Tables) -> str:
    """Return the corrections of people by field, and how many people made them: `text 12, tag 3, by 2 people`."""
    _, fields, editors = figures.corrections(tables)
    people = [f"by {len(editors):,} {'person' if len(editors) == 1 else 'people'}"] if editors else []
    return ", ".join([*(f"{name} {n:,}" for name, n in fields.most_common()), *people])


def median_text(values: "pd.Series[float]") -> str:
    """Return `median 1.02, 80 % from 0.95 to 1.10` of some values."""
    low, middle, high = values.astype(float).quantile((0.1, 0.5, 0.9))
    return f"median {middle:.2f}, 80 % from {low:.2f} to {high:.2f}"


def made_tables(tables: Tables, run: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[Table]:
    """Return the models, and the chosen settings that decide the content of the data.

    Rows that were not rebuilt name no models; then they are those of run.json, `run`. `defaults` are the values of
    settings that were not chosen (`cli.defaults.default_settings`).
    """
    models = figures.models(tables) or dict.fromkeys(figures.models_of_run(run), tables.n)
    rows = [
        (ROLES.get(model.role, model.role), Link(model_name(model.name), model.url), model.licence or UNKNOWN, n)
        for model, n in sorted(models.items())
    ]
    values = {name: [value] for name, value in (run.get("settings") or {}).items()} | figures.settings(tables)
    if voices := figures.named_in_provenance(tables, "voice"):
        values["voice"] = voices[:MOST_VOICES]
    settings = [
        (name.replace("_", " "), " or ".join("yes" if value is True else str(value) for value in of))
        for name, of in values.items()
        if of not in ([None], [""], [[]], [False], ["auto"], [defaults.get(name, object())])
    ]
    note = "All others are the defaults."
    return [
        Table("Models", ("part", "model", "licence", "conversations"), rows, nothing="no model is known"),
        Table("Settings", ("setting", "value"), settings, note, "all are the defaults"),
    ]


def durations_plot(tables: Tables) -> HistogramPlot:
    seconds = tables.conversations["duration"].dropna().to_numpy(float)
    scale, unit = (60.0, "min") if seconds.max(initial=0.0) > 300 else (1.0, "s")
    return HistogramPlot(
        title=f"Length of {counted(tables.n, 'conversation')}",
        series=[(Series("after", ""), seconds / scale)],
        axis=f"length ({unit})",
        of="conversations",
        nothing="no conversations",
        name="lengths",
    )


def published_tables(tables: Tables) -> list[Table]:
    """Return a table of the columns that people's own stages publish, with their values; none without any."""
    known, rows = figures.column_values(tables), []
    for column in columns_among(tables.fields):
        values, text = known.get(column.name), UNKNOWN
        if isinstance(values, Mapping):
            text = ", ".join(f"{value} ({n:,})" for value, n in list(values.items())[:MOST_VALUES])
        elif values is not None:
            text = f"mean {values['mean']:.4g}, from {values['min']:.4g} to {values['max']:.4g} {column.unit}"
        rows.append((column.name, column.about, text.strip()))
    return [Table("Columns that stages publish", ("column", "what", "values"), rows)] if rows else []


def voice_tables(tables: Tables) -> list[Table]:
    columns = {"seconds": "speech", "utterances": "utterances", "conversations": "conversations"}
    nothing = "none that is known can be heard"
    recorded = label_table(tables, "person", "Recorded speakers", columns, nothing)
    if not tables.is_revoiced:
        return [recorded]
    return [recorded, label_table(tables, "synthetic_voice", "Synthesised voices", columns, nothing)]


def tags_table(tables: Tables) -> Table:
    columns = {"seconds": "speech", "left": "left", "right": "right", "utterances": "utterances"}
    n = int(figures.heard(tables)["utterances"])
    return label_table(tables, "tag", f"Speech by style tag ({counted(n, 'utterance')})", columns, "no tags")


def offsets_plot(tables: Tables) -> HistogramPlot:
    """Plot the floor-transfer offsets by who takes the floor, of the rebuilt conversations where there are any.

    The rebuild keeps the offsets, so that before and after side by side would be one curve twice; both are in
    `turns_table`.
    """
    offsets = {channel: tables.turn_taking.offsets(channel) for channel in CHANNELS}
    return HistogramPlot(
        title=f"Who waits for whom ({counted(sum(map(len, offsets.values())), 'change')} of speaker)",
        series=[
            (Series(channel, f"{channel} takes the floor ({len(values):,})"), values)
            for channel, values in offsets.items()
            if len(values)
        ],
        axis="floor-transfer offset (s; below 0: overlap)",
        of="changes",
        nothing="the speaker never changes",
        name="offsets",
    )


def _timelines(tables: Tables) -> dict[str, scorecard.TurnTaking]:
    return {"recorded": tables.source} | ({"rebuilt": tables.rebuilt} if tables.is_rebuilt else {})


def turns_table(tables: Tables) -> Table:
    """Return how utterances enter, as recorded and as rebuilt, and what the rebuild lost."""
    timelines = _timelines(tables)
    rows: list[tuple[TableCell, ...]] = [
        (f"{event}s", *(of.events[event] for of in timelines.values())) for event in EVENTS
    ]
    rows.append(("length", *(length_text(of.seconds) for of in timelines.values())))
    kept, whole = (
        int(tables.conversations[f"timeline_{name}"].sum()) for name in ("backchannels_kept", "backchannels")
    )
    note = (
        f"{counted(kept, 'backchannel')} of {whole:,} in the source are inside the same turn as before. Lost: "
        f"{sum(figures.lost_in_rebuild(tables).values()):,.2f} s of the recorded speaker's speech and sounds."
    )
    if overlap := figures.timeline_means(tables).get("overlap_kept"):
        note += f" Of the overlap that the new lengths allow, {percent(overlap, 1)} is kept."
    return Table(
        "Turn-taking in figures",
        ("measure", *timelines),
        rows if any(of.events for of in timelines.values()) else [],
        note if tables.is_rebuilt else "",
        "no utterance has times",
    )


def comparisons_of(
    tables: Tables, references: Sequence[scorecard.ReferenceCorpus] = ()
) -> list[scorecard.Comparison]:
    """Return the measures of conversations beside those of published corpora and of `references`."""
    known = (*scorecard.published_references().values(), *references)
    return [*scorecard.compare(tables.turn_taking, known)] if tables.turn_taking.speech_seconds else []


def measure_plots(tables: Tables, comparisons: Sequence[scorecard.Comparison]) -> list[HistogramPlot]:
    """Plot each measure that other corpora publish: its values over conversations, before the published ones."""
    plots, taken = [], tables.turn_taking
    colours = dict(zip(SIDES, ("left", "right", "after"), strict=True))
    for name, measure in TURN_MEASURES.items():
        own = [comparison for comparison in comparisons if comparison.band.measure == name]
        compared = {comparison.side for comparison in own}
        known = {
            side: values for side in measure.sides if side in compared and len(values := taken.values(name, side))
        }
        if not known or measure.quantile not in (None, 0.5):
            continue  # of the quantiles of offsets, the median is enough: `offsets_plot` has all
        scale, unit = (100.0, "%") if measure.unit == "share" else (1.0, measure.unit)
        marks = {}
        for corpus, band, *_ in own:
            ends = (band.middle if end is None else end for end in (band.low, band.high, band.middle))
            low, high, middle = (scale * end for end in ends)
            title = f"{corpus.name}, {'a side' if len(band.sides) > 1 else band.sides[0]}"
            marks[title] = Mark(title, low, high, middle, "other")
        n = max(map(len, known.values()))
        plots.append(
            HistogramPlot(
                title=f"{measure.title[0].upper()}{measure.title[1:]} ({counted(n, 'conversation')})",
                series=[(Series(colours[side], side), scale * values) for side, values in known.items()],
                axis=unit,
                of="conversations",
                note=measure.about,
                name=f"measure_{name}",
                marks=list(marks.values()),
            )
        )
    return plots


def measures_of_sides(tables: Tables, comparisons: Sequence[scorecard.Comparison]) -> Table:
    """Return every measure of every side, as recorded and as rebuilt, with the middle 90 % of conversations."""
    timelines, taken, rows = _timelines(tables), tables.turn_taking, []
    for name, measure in TURN_MEASURES.items():
        for side in measure.sides:
            if len(values := taken.values(name, side)):
                pooled = (scorecard.measure_text(name, of.pooled(name, side)) for of in timelines.values())
                spread = (scorecard.nearest_rank(values, share) for share in (0.05, 0.95))
                beside = [
                    f"{comparison.text()} {comparison.reference.name}"
                    for comparison in comparisons
                    if (comparison.band.measure, comparison.side) == (name, side)
                ]
                rows.append(
                    (measure.title, side, *pooled, scorecard.measure_text(name, *spread), "; ".join(beside))
                )
    head = ("measure", "side", *timelines, "90 % of conversations", "beside others")
    return Table("What it teaches, in figures", head, rows, folded=True)


def references_table() -> Table:
    references = scorecard.published_references().values()
    rows = [
        (of.name, TURN_MEASURES[band.measure].title, band.text(), f"{band.definition}. {band.comparable}")
        for of in references
        for band in of.bands
    ]
    sources = "; ".join(f"{of.name}: {of.source}" for of in references)
    head = ("corpus", "measure", "value", "what it is")
    return Table("What is published of others", head, rows, f"{sources}.", folded=True)


#: The measures of tags: how a mean is written, in dB, semitones and as a factor.
_TAG_UNITS = {"loudness": "{:+.1f} dB", "pitch": "{:+.1f} st", "rate": "×{:.2f}"}

#: Tags, and utterances of each, below which nothing is said of how the synthesis follows the source.
FEWEST_TAGS, FEWEST_UTTERANCES = 3, 2


def tag_measures_table(tables: Tables) -> Table:
    """Return loudness, pitch and rate by tag, of source and synthesis: does the voice do what its tag says?"""
    measured = figures.tag_measures(tables)
    kinds = {"": "source"} | ({TAKE: "synthesis"} if tables.is_revoiced else {})
    columns = {
        f"utterances, {kind}": measured[[(f"{prefix}{name}", "count") for name in _TAG_UNITS]].max(axis=1)
        for prefix, kind in kinds.items()
    }
    shown = pd.DataFrame(columns).fillna(0).map("{:.0f}".format)
    for name, form in _TAG_UNITS.items():
        for prefix, kind in kinds.items():
            means = measured[f"{prefix}{name}", "mean"]
            texts = (2**means if name == "rate" else means).map(form.format, na_action="ignore")
            shown[f"{name}, {kind}"] = texts.astype(object).fillna("–").str.replace("-", "−")
    order = columns["utterances, source"].sort_values(ascending=False, kind="stable")
    note = "Means relative to the speaker of the conversation: louder, higher, faster than usual is above 0 (×1)."
    if tables.is_revoiced:
        follows = {name: value for name in _TAG_UNITS if (value := follows_source(tables, name)) is not None}
        known = ", ".join(f"{name} r = {value:.2f}".replace("-", "−") for name, value in follows.items())
        note += " Does the voice do what the source did with the same tag? "
        note += f"Over the tags: {known} (1: it does, 0: it does not)." if known else "Too few to say."
    rows = [(str(tag), *shown.loc[tag]) for tag in order[order > 0].index]
    return Table("What tags sound like", ("tag", *shown.columns), rows, note, "nothing was measured")


def follows_source(tables: Tables, name: str) -> float | None:
    """Return the correlation of the means of source and synthesis over tags, weighted by synthesised utterances.

    None if there are too few tags, or they do not differ.
    """
    measured = figures.tag_measures(tables)[[name, f"{TAKE}{name}"]]
    enough = measured[(measured.xs("count", axis=1, level=1) >= FEWEST_UTTERANCES).all(axis=1)]
    if len(enough) < FEWEST_TAGS:
        return None
    means = enough.xs("mean", axis=1, level=1).to_numpy(float)
    weights = enough[f"{TAKE}{name}", "count"].to_numpy(int)
    (source, shared), (_, new) = np.cov(means, rowvar=False, aweights=weights)
    return float(shared / math.sqrt(source * new)) if min(source, new) > 1e-12 else None


def measures_table(tables: Tables) -> Table:
    moments = figures.moments(tables)
    rows: list[tuple[TableCell, ...]] = []
    for name, (title, unit, digits) in MEASURED_NAMES.items():
        of = moments.loc[name]
        if of["count"]:
            values = (f"{of[part]:.{digits}f}" for part in ("mean", "std", "min", "max"))
            rows.append((title, unit, *values, int(of["count"])))
    head = ("measure", "unit", "mean", "deviation", "least", "most", "utterances")
    note = "All except the length describe the source performance."
    return Table("Measures of utterances", head, rows, note, "nothing was measured")


def confidence_plot(tables: Tables) -> HistogramPlot:
    known, n = tables.utterances["confidence"].dropna(), counted(len(tables.utterances), "utterance")
    return HistogramPlot(
        title=f"Confidence of the recogniser ({len(known):,} of {n})",
        series=[(Series("before", ""), known.to_numpy(float))],
        axis="confidence (0 to 1)",
        span=(0.0, 1.0),
        of="utterances",
        nothing="the recogniser does not say how sure it is",
        name="confidence",
    )


def affect_map(
    tables: Tables, title: str = "Affect of the source performance", unit: str = "utterance"
) -> MapPlot:
    """Plot valence and arousal, and the means of each tag, or of each emotion of clips."""
    affect = figures.affect(tables)
    labels = affect["label"].astype(str)
    common = labels.value_counts().drop(UNKNOWN, errors="ignore").index[:12]
    return MapPlot(
        title=f"{title} ({counted(len(affect), unit)})",
        points=affect[["valence", "arousal"]].assign(label=labels.where(labels.isin(common), "")),
        axis="valence (0 to 1)",
        up="arousal (0 to 1)",
        note="Points are the means of each label.",
        nothing="no measures of affect",
        name="affect",
    )


#: How far from a third a share of LOW, MID or HIGH is worth a line: they are thirds by definition.
UNEVEN = 0.1


def buckets_table(tables: Tables) -> Table:
    """Return the shares of LOW, MID and HIGH of the measures of which they are not thirds."""
    names = {"pitch_var": "pitch variation", "zcr": "zero crossings", "rate": "speech rate"}
    levels = ("LOW", "MID", "HIGH")
    rows = [
        (names.get(name, name), *(percent(of[level], of.total()) for level in levels))
        for name, of in figures.buckets(tables).items()
        if any(abs(of[level] / of.total() - 1 / 3) > UNEVEN for level in levels)
    ]
    note = "Many equal values, such as a pitch at its floor, fall into one bucket. The others are in thirds."
    return Table("Buckets that are not thirds", ("measure", *levels), rows, note, "all are thirds")


def delivery_parts(tables: Tables) -> list[Plot | Table]:
    """Return how far takes are from their sources: all, by tag, and the furthest; none where nothing is known."""
    takes = tables.utterances.dropna(subset="delivery_distance")
    if takes.empty:
        return []
    note = f"{median_text(takes['delivery_distance']).capitalize()}. Melody and loudness are compared with the "
    note += "speaker's usual, and time is warped: neither voice nor pace counts."
    if takes["delivery_cosine"].notna().any():
        note += f" To an encoder of prosodic tokens: cosine {takes['delivery_cosine'].median():.2f}, median."
    plot = HistogramPlot(
        title=f"Delivery: distance from the source ({counted(len(takes), 'utterance')})",
        series=[(Series("after", ""), takes["delivery_distance"].to_numpy(float))],
        axis="distance (0: alike, 2: nothing alike)",
        of="utterances",
        note=note,
        name="delivery",
    )
    tags = takes["tag"].astype(object).fillna(UNKNOWN)
    by_tag = takes["delivery_distance"].astype(float).groupby(tags).agg(["mean", "size"])
    rows = [
        (str(tag), f"{mean:.2f}", n) for tag, mean, n in by_tag.sort_values("mean", ascending=False).itertuples()
    ]
    title = "Delivery by tag, the furthest from the source first"
    return [plot, Table(title, ("tag", "distance", "utterances"), rows, folded=len(rows) > 15)]


def money_of(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the last run spent and saved, from run.json; empty where that is unknown."""
    speak = run.get("speak")
    spending = speak.get("money") if isinstance(speak, dict) else None
    return spending if isinstance(spending, dict) else {}


def synthesis_table(tables: Tables, run: Mapping[str, Any]) -> Table:
    said, seconds, cost = tables.utterances, figures.totals(tables)["seconds"], figures.cost(tables)
    statuses = figures.counts(said["status"])
    rows: list[tuple[TableCell, ...]] = [(_STATUSES.get(name, name), n) for name, n in statuses.most_common()]
    rows += [(f"why not: {reason}", n) for reason, n in figures.reasons(tables).most_common(MOST_REASONS)]
    retried = int((said["tries"] > 1).sum())
    rows.append(("needed more than one try", f"{retried:,} ({percent(retried, statuses['spoken'])})"))
    if said["word_error_rate"].notna().any():
        rate = said["word_error_rate"].median()
        rows.append(("word error rate of the synthesis, median", f"{100 * rate:.0f} %"))
    if len(ratios := figures.length_ratios(tables)):
        rows.append(("new over recorded length", median_text(ratios)))
    spending = money_of(run)
    amounts = {
        "paid for what is in here": cost,
        "an hour of finished audio": 3600 * cost / seconds if seconds else None,
        "spent by the last run": spending.get("spent"),
        "saved by the cache in the last run": spending.get("saved_by_cache"),
    }
    known = {title: amount for title, amount in amounts.items() if is_number(amount)}
    if not any(known.values()):
        return Table("Utterances", ("", ""), rows)
    return Table("Utterances and money", ("", ""), rows + [(title, money(of)) for title, of in known.items()])


def words_table(tables: Tables) -> Table:
    known = figures.word_sources(tables).most_common()
    return Table("How word times are known", ("", "words"), known, nothing="no words")


def rejected_table(tables: Tables) -> Table:
    rows = [(*kind, n) for kind, n in sorted(tables.rejects.items(), key=lambda item: (-item[1], item[0]))]
    nothing = "nothing was rejected" if tables.knows_rejects else "what was rejected is not in a published version"
    return Table("Rejected, by kind", ("stage", "reason", "number"), rows, nothing=nothing)
