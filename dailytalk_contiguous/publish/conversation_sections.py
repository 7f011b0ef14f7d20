"""Tables and plots of conversations, for the sections of their report and of their card.

Each is made of figures (`core.figures`) of the tables of a dataset; templates say where it stands and what it
means.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dailytalk_contiguous.core import figures, scorecard
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.licensing import Origin
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.tables import TAKE, UNKNOWN, Tables
from dailytalk_contiguous.core.turns import SIDES, TURN_MEASURES
from dailytalk_contiguous.core.utterance import EVENTS, columns_among
from dailytalk_contiguous.core.wording import counted, length_text, model_name, money, percent
from dailytalk_contiguous.publish.plots import Bar, BarPlot, HistogramPlot, MapPlot, Plot, ReferenceRange, Series
from dailytalk_contiguous.publish.templates import Link, Table, TableCell

#: Values of a label that are named; further ones are added up. Voices that are named among the settings, and
#: reasons with a line of their own.
MOST_VALUES, MOST_VOICES, MOST_REASONS = 25, 10, 15

#: Titles of the axes of affect.
VALENCE, AROUSAL = "valence (0 to 1)", "arousal (0 to 1)"

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


def ranked(tables: Tables, label: str, by: str = "seconds") -> list[tuple[str, dict[str, float]]]:
    """Return the sums of each value of a label, the largest first; those after `MOST_VALUES` are added up."""
    sums = figures.sums(tables, label)
    sums = sums.set_axis(sums.index.astype(str)).sort_index().sort_values(by, ascending=False, kind="stable")
    named, rest = sums[:MOST_VALUES], sums[MOST_VALUES:]
    if len(rest) == 1:
        named, rest = sums, sums[:0]
    values = [(str(name), row) for name, row in named.to_dict("index").items()]
    return [*values, (f"{len(rest):,} others", rest.sum().to_dict())] if len(rest) else values


def edits_text(tables: Tables) -> str:
    """Return the corrections of people by field, and how many people made them: `text 12, tag 3, by 2 people`."""
    _, fields, editors = figures.corrections(tables)
    people = "1 person" if len(editors) == 1 else f"{len(editors):,} people"
    return ", ".join(
        [*(f"{name} {n:,}" for name, n in fields.most_common()), *([f"by {people}"] if editors else [])]
    )


def median_text(values: Sequence[float], unit: str = "") -> str:
    """Return `median 1.02, 80 % from 0.95 to 1.10` of some values."""
    low, middle, high = np.quantile(values, (0.1, 0.5, 0.9)) if len(values) else (math.nan,) * 3
    return f"median {middle:.2f}{unit}, 80 % from {low:.2f} to {high:.2f}{unit}"


def models_of_run(run: Mapping[str, Any], conversations: int) -> dict[Origin, int]:
    """Return the models in run.json, each with all the conversations."""
    models = (run.get("models") or {}).items()
    return {
        Origin(role, model["name"], model.get("licence"), model.get("url") or ""): conversations
        for role, model in models
    }


def made_tables(tables: Tables, run: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[Table]:
    """Return the models, and the chosen settings that decide the content of the data.

    Rows that were not rebuilt name no models; then they are those of run.json, `run`. `defaults` are the values of
    settings that were not chosen (`cli.defaults.default_settings`).
    """
    models = figures.models(tables) or models_of_run(run, tables.n)
    rows = [
        (ROLES.get(model.role, model.role), Link(model_name(model.name), model.url), model.licence or UNKNOWN, n)
        for model, n in sorted(models.items())
    ]
    voices = figures.named_in_provenance(tables, "voice")[:MOST_VOICES]
    values = {name: [value] for name, value in (run.get("settings") or {}).items() if value not in (None, "", [])}
    values |= figures.settings(tables) | ({"voice": voices} if voices else {})
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
        values = known.get(column.name)
        if isinstance(values, Mapping):
            text = ", ".join(f"{value} ({n:,})" for value, n in list(values.items())[:MOST_VALUES])
        else:
            text = ""
            if values is not None and values["count"]:
                text = f"mean {values['mean']:.4g}, from {values['min']:.4g} to {values['max']:.4g} {column.unit}"
        rows.append((column.name, column.about, text.strip() or UNKNOWN))
    return [Table("Columns that stages publish", ("column", "what", "values"), rows)] if rows else []


def voice_tables(tables: Tables) -> list[Table]:
    made = []
    for title, label in (("Recorded speakers", "person"), ("Synthesised voices", "synthetic_voice")):
        rows = [
            (name, int(of["conversations"]), int(of["utterances"]), length_text(of["seconds"]))
            for name, of in ranked(tables, label)
        ]
        head = ("name", "conversations", "utterances", "speech")
        made.append(Table(title, head, rows, nothing="none can be heard"))
    return made if tables.is_revoiced else made[:1]


def offsets_plot(tables: Tables) -> HistogramPlot:
    """Plot the floor-transfer offsets by who takes the floor, of the rebuilt conversations where there are any.

    The rebuild keeps the offsets, so that before and after side by side would be one curve twice; both are in
    `turns_table`.
    """
    offsets = {channel: tables.turn_taking.offsets(channel) for channel in CHANNELS}
    medians = [
        f"{channel} starts {abs(middle):.2f} s {'after' if middle >= 0 else 'before'} the end of {other}"
        for channel, other in zip(CHANNELS, CHANNELS[::-1], strict=True)
        if len(offsets[channel])
        for middle in (scorecard.nearest_rank(offsets[channel], 0.5),)
    ]
    return HistogramPlot(
        title=f"Who waits for whom ({counted(sum(map(len, offsets.values())), 'change')} of speaker)",
        series=[
            (Series(channel, f"{channel} takes the floor ({len(values):,})"), values)
            for channel, values in offsets.items()
            if len(values)
        ],
        axis="floor-transfer offset (s; below 0: overlap)",
        of="changes",
        note=f"In the middle {' and '.join(medians)}.",
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
        sides = [side for side in measure.sides if any(comparison.side == side for comparison in own)]
        known = {side: values for side in sides if len(values := taken.values(name, side))}
        if not known or (measure.quantile is not None and measure.quantile != 0.5):
            continue  # of the quantiles of offsets, the median is enough: `offsets_plot` has all
        scale, unit = (100.0, "%") if measure.unit == "share" else (1.0, measure.unit)
        bands = {
            (of.name, band.sides): ReferenceRange(
                f"{of.name}, {'a side' if len(band.sides) > 1 else band.sides[0]}",
                scale * (band.middle if band.low is None else band.low),
                scale * (band.middle if band.high is None else band.high),
            )
            for of, band, *_ in own
        }
        pooled = [f"{side} {scorecard.measure_text(name, taken.pooled(name, side))}" for side in known]
        n = max(map(len, known.values()))
        plots.append(
            HistogramPlot(
                title=f"{measure.title[0].upper()}{measure.title[1:]} ({counted(n, 'conversation')})",
                series=[(Series(colours[side], side), scale * values) for side, values in known.items()],
                axis=unit,
                of="conversations",
                note=f"{measure.about} All together: {', '.join(pooled)}.",
                name=f"measure_{name}",
                bands=list(bands.values()),
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
    return Table(
        "What is published of others",
        ("corpus", "measure", "value", "what it is"),
        rows,
        f"{sources}.",
        folded=True,
    )


def tags_plot(tables: Tables) -> BarPlot:
    values, n = ranked(tables, "tag"), int(figures.heard(tables)["utterances"])
    said = tables.utterances["tag_said"].value_counts()
    left = "left, resynthesised" if tables.is_revoiced else "left"
    if unsaid := int(said.get(False, 0)):
        left += f", {unsaid:,} without their tag" if said.get(True, 0) else " without tags"
    rows = [
        Bar(
            name,
            (of["left"] / 60, of["right"] / 60),
            f"{int(of['utterances']):,} ({percent(of['utterances'], n)})",
        )
        for name, of in values
    ]
    return BarPlot(
        title=f"Speech by style tag ({counted(n, 'utterance')})",
        rows=rows if any(name != UNKNOWN for name, _ in values) else [],
        series=[Series("left", left), Series("right", "right")],
        axis="minutes of speech",
        nothing="no tags",
        name="tags",
    )


def tags_table(tables: Tables) -> Table:
    values = ranked(tables, "tag")
    columns = {"speech": "seconds", "left": "left", "right": "right"}
    known = {title: column for title, column in columns.items() if all(column in of for _, of in values)}
    rows: list[tuple[TableCell, ...]] = [
        (tag, *(length_text(of[column]) for column in known.values()), int(of["utterances"])) for tag, of in values
    ]
    head = ("tag", *known, "utterances")
    return Table("Speech by style tag, in figures", head, rows, nothing="no tags", folded=True)


#: The measures of tags: how a mean is written, in dB, semitones and as a factor.
_TAG_UNITS = {"loudness": "{:+.1f} dB", "pitch": "{:+.1f} st", "rate": "×{:.2f}"}

#: Tags, and utterances of each, below which nothing is said of how the synthesis follows the source.
FEWEST_TAGS, FEWEST_UTTERANCES = 3, 2


def tag_measures_table(tables: Tables) -> Table:
    """Return loudness, pitch and rate by tag, of source and synthesis: does the voice do what its tag says?"""
    measured = figures.tag_measures(tables)
    kinds = {"": "source"} | ({TAKE: "synthesis"} if tables.is_revoiced else {})
    numbers = {kind: measured[[(f"{kind}{name}", "count") for name in _TAG_UNITS]].max(axis=1) for kind in kinds}
    rows: list[list[TableCell]] = []
    for tag in numbers[""][numbers[""] > 0].sort_values(ascending=False, kind="stable").index:
        row: list[TableCell] = [str(tag), *(int(np.nan_to_num(of[tag])) for of in numbers.values())]
        for name, form in _TAG_UNITS.items():
            means = [measured.loc[tag, (f"{kind}{name}", "mean")] for kind in kinds]
            shown = (form.format(2**mean if name == "rate" else mean).replace("-", "−") for mean in means)
            row += ["–" if np.isnan(mean) else text for mean, text in zip(means, shown, strict=True)]
        rows.append(row)
    head = ("tag", *(f"utterances, {kind}" for kind in kinds.values()))
    head += tuple(f"{name}, {kind}" for name in _TAG_UNITS for kind in kinds.values())
    note = "Means relative to the speaker of the conversation: louder, higher, faster than usual is above 0 (×1)."
    if tables.is_revoiced:
        said = tables.utterances["tag_said"].value_counts()
        note += " Does the voice do what the source did with the same tag?"
        if unsaid := int(said.get(False, 0)):
            note += f" No tag was sent with {unsaid:,} of {counted(int(said.sum()), 'utterance')}."
        follows = {name: follows_source(tables, name) for name in _TAG_UNITS}
        known = [
            f"{name} r = {value:.2f}".replace("-", "−") for name, value in follows.items() if value is not None
        ]
        if known:
            note += f" Over the tags: {', '.join(known)} (1: it does, 0: it does not)."
        elif said.get(True, 0) or not unsaid:
            note += " Too few to say."
    return Table("What tags sound like", head, rows, note, "nothing was measured")


def follows_source(tables: Tables, name: str) -> float | None:
    """Return the correlation of the means of source and synthesis over tags, weighted by synthesised utterances.

    None if there are too few tags, or they do not differ.
    """
    measured = figures.tag_measures(tables)
    sides = [name, f"{TAKE}{name}"]
    enough = (measured[[(side, "count") for side in sides]] >= FEWEST_UTTERANCES).all(axis=1)
    if enough.sum() < FEWEST_TAGS:
        return None
    means = measured.loc[enough, [(side, "mean") for side in sides]].to_numpy(float)
    weights = measured.loc[enough, (sides[1], "count")].to_numpy(int)
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
    known = tables.utterances["confidence"].dropna().to_numpy(float)
    whole = len(tables.utterances)
    return HistogramPlot(
        title=f"Confidence of the recogniser ({len(known):,} of {counted(whole, 'utterance')})",
        series=[(Series("before", ""), known)],
        axis="confidence (0 to 1)",
        span=(0.0, 1.0),
        of="utterances",
        note="Of the others it is not known." if len(known) < whole else "",
        nothing="the recogniser does not say how sure it is",
        name="confidence",
    )


def affect_map(
    tables: Tables, title: str = "Affect of the source performance", unit: str = "utterance"
) -> MapPlot:
    """Plot valence and arousal, and the means of each tag, or of each emotion of clips."""
    affect = figures.affect(tables)
    common = affect["label"].astype(str).value_counts().drop(UNKNOWN, errors="ignore").index[:12]
    named = affect["label"].astype(str).where(affect["label"].isin(common), "")
    return MapPlot(
        title=f"{title} ({counted(len(affect), unit)})",
        points=affect[["valence", "arousal"]].to_numpy(float),
        groups=named.to_list(),
        axis=VALENCE,
        up=AROUSAL,
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
    note = (
        "Many equal values, such as a pitch at its floor, fall into one bucket. The other measures are in thirds."
    )
    return Table("Buckets that are not thirds", ("measure", *levels), rows, note, "all are thirds")


def delivery_parts(tables: Tables) -> list[Plot | Table]:
    """Return how far takes are from their sources: all, by tag, and the furthest; none where nothing is known."""
    takes = tables.utterances.dropna(subset="delivery_distance")
    if takes.empty:
        return []
    note = median_text(takes["delivery_distance"].to_numpy(float)).capitalize()
    note += ". Melody and loudness are compared with the speaker's usual, and time is warped: neither voice nor "
    note += "pace counts."
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
        (str(tag), f"{of['mean']:.2f}", int(of["size"]))
        for tag, of in by_tag.sort_values("mean", ascending=False).iterrows()
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
        rows.append(
            ("word error rate of the synthesis, median", f"{100 * said['word_error_rate'].median():.0f} %")
        )
    if len(ratios := figures.length_ratios(tables)):
        rows.append(("new over recorded length", median_text(ratios.to_numpy(float))))
    names = {"spent": "spent by the last run", "saved_by_cache": "saved by the cache in the last run"}
    amounts = {"paid for what is in here": cost}
    amounts |= {"an hour of finished audio": 3600 * cost / seconds} if seconds else {}
    spending = money_of(run)
    amounts |= {title: spending[name] for name, title in names.items() if is_number(spending.get(name))}
    if any(amounts.values()):
        rows += [(title, money(amount)) for title, amount in amounts.items()]
    return Table("Utterances and money" if any(amounts.values()) else "Utterances", ("", ""), rows)


def words_table(tables: Tables) -> Table:
    known = figures.word_sources(tables).most_common()
    return Table("How word times are known", ("", "words"), known, nothing="no words")


def rejected_table(tables: Tables) -> Table:
    rows = [(*kind, n) for kind, n in sorted(tables.rejects.items(), key=lambda item: (-item[1], item[0]))]
    nothing = "nothing was rejected" if tables.knows_rejects else "what was rejected is not in a published version"
    return Table("Rejected, by kind", ("stage", "reason", "number"), rows, nothing=nothing)
