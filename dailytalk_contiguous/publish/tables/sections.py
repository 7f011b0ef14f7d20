"""The tables and plots of reports and cards: `PARTS` has all of them in the order in which they are shown.

Each is a function of a dataset's `Displays`, mostly of a query of `core.records.figures`. An empty table that does
not say why is left out.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd
from markupsafe import Markup

from dailytalk_contiguous.core.records import figures
from dailytalk_contiguous.core.records.fields import columns_among
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.records.tables import UNKNOWN
from dailytalk_contiguous.core.wording import counted, length_text, model_name, money, percent
from dailytalk_contiguous.publish.tables.displays import Displays, asked_terms
from dailytalk_contiguous.publish.tables.plots import Plot, SectionParts, histogram
from dailytalk_contiguous.publish.tables.tabular import Bar, Link, Strong, Table, TableCell

#: A row: a cell of each column; None where a value is not known.
Cells = Sequence[TableCell]


#: The parts that models have, in words.
ROLES = {
    "speech_activity": "speech activity",
    "recogniser": "words",
    "synthesiser": "new voice",
    "verifier": "check of the new voice",
}

#: The statuses of utterances, in words.
STATUSES = {
    "spoken": "resynthesised",
    "kept": "kept as recorded",
    "kept-original": "kept, though it was to be resynthesised",
    "dropped": "left out (no text)",
}

# How much there is by labels.


def by_label(
    show: Displays, label: str, title: str, columns: Mapping[str, str], nothing: str = "", number: str = ""
) -> Table:
    """The amounts of each value of a label; nothing if none is known.

    Args:
        columns: of `figures.sums`, with their headings; the first is drawn as bars.
        number: the column whose sum is named in the title.
    """
    first, *_ = columns
    values = figures.ranked(show.tables, label, first)
    largest = values[first].max() or 1
    rows: list[Cells] = []
    for name, amounts in values.iterrows():
        of_first, *of_others = [_amount(column, amounts[column]) for column in columns]
        rows.append([str(name), Bar(of_first, amounts[first] / largest), *of_others])
    is_any_known = any(values.index != UNKNOWN)
    if number:
        title += f" ({counted(int(values[number].sum()), show.unit)})"
    head = [label.replace("_", " "), *columns.values()]
    return Table(title, head, rows if is_any_known else [], nothing=nothing)


def _amount(column: str, amount: float) -> str:
    is_duration = column in ("seconds", "left", "right", "seen")
    return length_text(amount) if is_duration else f"{amount:,.0f}"


def by_two_labels(show: Displays, rows: str, columns: str, title: str, note: str = "") -> Table:
    """Numbers of the values of two labels, in rows and columns; nothing unless two are known of each."""
    numbers = figures.crossed(show.tables, rows, columns)
    n_known = min(sum(names != UNKNOWN) for names in numbers.axes)
    bars: list[Cells] = []
    for name, of_row in numbers.iterrows():
        total = of_row.sum()
        bars.append([str(name), *(Bar(f"{number:,}", number / total) for number in of_row)])
    title = f"{title} ({counted(int(numbers.to_numpy().sum()), show.unit)})"
    return Table(title, ["", *numbers], bars if n_known > 1 else [], note)


def emotion_heard(show: Displays) -> Table:
    columns = {"utterances": f"{show.unit}s", "seconds": "speech"}
    return by_label(show, "emotion_class", "Emotion heard", columns, number="utterances")


# What conversations are.


def lengths(show: Displays) -> Plot:
    seconds = show.tables.conversations["duration"].dropna()
    is_long = seconds.max() > 300
    title = f"Length of {counted(show.tables.n, 'conversation')}"
    return histogram(
        Plot(title, name="lengths", nothing="no conversations"),
        series=[("after", "", seconds / (60 if is_long else 1))],
        axis="length (min)" if is_long else "length (s)",
        of="conversations",
    )


def split_sizes(show: Displays) -> Table:
    sizes = figures.sums(show.tables, "split").T.to_dict()
    if len(sizes) > 1:
        sizes["all"] = {**show.whole, "conversations": show.tables.n}
    columns = ("conversations", "utterances", "words", "seconds")
    rows: list[Cells] = []
    for name, size in sizes.items():
        rows.append([str(name), *(_amount(column, size[column]) for column in columns)])
    return Table("Splits", ("split", "conversations", "utterances", "aligned words", "audio"), rows)


def column_values(show: Displays) -> Table:
    rows: list[Cells] = []
    for column in columns_among(show.tables.fields):
        values = show.tables.conversations[column.name].dropna()
        text = UNKNOWN
        if len(values) and column.tally == "mean":
            numbers = values.astype(float)
            text = (
                f"mean {numbers.mean():.4g}, from {numbers.min():.4g} to {numbers.max():.4g} {column.unit}".strip()
            )
        elif len(values) and column.tally == "count":
            numbers_of = figures.counts(values.explode().astype(str).str.slice(stop=100))
            text = ", ".join(f"{value} ({number:,})" for value, number in [*numbers_of.items()][:25])
        rows.append([column.name, column.about, text])
    return Table("Columns that stages publish", ("column", "what", "values"), rows)


# How people take turns. The rebuild keeps the offsets, so that both before and after would be one curve twice.


def offsets(show: Displays) -> Plot:
    series = [(side, figures.offsets_of_side(show.tables, side)) for side in CHANNELS]
    n_changes = sum(len(values) for _, values in series)
    title = f"Who waits for whom ({counted(n_changes, 'change')} of speaker)"
    return histogram(
        Plot(title, name="offsets", nothing="the speaker never changes"),
        series=[(side, f"{side} takes the floor ({len(values):,})", values) for side, values in series],
        axis="floor-transfer offset (s; below 0: overlap)",
        of="changes",
    )


def turns_of_sides(show: Displays) -> Table:
    """The turn-taking of each side, and what the rebuild has kept of it."""
    columns = {}
    for name, side in figures.turn_taking(show.tables).to_dict("index").items():
        offset = f"{side['offset']:.2f} s".replace("-", "−")
        columns[str(name)] = {
            "speech (of the time)": percent(side["talk"], 1),
            "median floor-transfer offset": None if pd.isna(side["offset"]) else offset,
            "overlap (of its speech)": percent(side["overlap"], 1),
            "backchannels a minute": f"{side['backchannels']:.3g}",
            "interruptions a minute": f"{side['interruptions']:.3g}",
            "longest turn": f"{side['longest_turn']:.1f} s",
        }
    rows: list[Cells] = [*pd.DataFrame(columns, dtype=object).itertuples(name=None)]
    note = ""
    if show.tables.is_rebuilt:
        conversations = show.tables.conversations
        kept = counted(int(conversations["timeline_backchannels_kept"].sum()), "backchannel")
        in_source = int(conversations["timeline_backchannels"].sum())
        lost = sum(figures.lost_in_rebuild(show.tables).values())
        note = (
            f"{kept} of {in_source:,} in the source are inside the same turn as before. "
            f"Lost: {lost:,.2f} s of the recorded speaker's speech and sounds."
        )
        overlap = figures.timeline_means(show.tables).get("overlap_kept")
        if overlap:
            note += f" Of the overlap that the new lengths allow, {percent(overlap, 1)} is kept."
    return Table("Turn-taking in figures", ["measure", *columns], rows, Markup(note), "no utterance has times")


def turn_end_sounds(show: Displays) -> Table:
    """The judgements of how finished ends of turns sound."""
    rows: list[Cells] = []
    for (side, timeline), ends in figures.ends_of_turns(show.tables).items():
        at_shifts = None if ends.at_shifts is None else f"{ends.at_shifts:.2f}"
        at_holds = _with_interval(ends.at_holds, ends.at_holds_interval)
        auc = _with_interval(ends.auc, ends.auc_interval)
        rows.append([side, timeline, ends.n_shifts, at_shifts, ends.n_holds, at_holds, auc])
    head = ("side", "timeline", "ends of turns", "sound finished", "pauses", "sound finished", "end above pause")
    note = Markup(
        "Smart Turn v3.2 hears the last 8 s of one side, to 0.2 s of silence, and says from 0 to 1 how finished "
        "it sounds: before the other's turn it should, before a pause of the same speaker it should not. The last "
        "column: of all pairs of an end and a pause, those in which the end sounds more finished. In brackets "
        "90 % intervals."
    )
    return Table("Do ends sound like ends, and pauses like pauses?", head, rows, note)


def _with_interval(value: float | None, interval: tuple[float, float] | None) -> str | None:
    return f"{value:.2f} ({interval[0]:.2f} to {interval[1]:.2f})" if interval else None


# How they speak.


def utterance_moments(show: Displays) -> Table:
    """The measures of utterances, which nearly all describe the source performance."""
    rows: list[Cells] = []
    values_of_measures = figures.moments(show.tables)
    for name, (title, unit, digits) in figures.MEASURES.items():
        values = values_of_measures.loc[name]
        if values["count"]:
            texts = [f"{values[moment]:.{digits}f}" for moment in ("mean", "std", "min", "max")]
            rows.append([title, unit, *texts, int(values["count"])])
    head = ("measure", "unit", "mean", "deviation", "least", "most", "utterances")
    note = "All except the length describe the source performance."
    return Table("Measures of utterances", head, rows, note, "nothing was measured")


# What became of it.


def synthesis(show: Displays) -> Table:
    """The statuses of utterances, and the cost of their synthesis."""
    utterances = show.tables.utterances
    numbers = {STATUSES.get(name, name): number for name, number in show.statuses.most_common()}
    for reason, number in figures.reasons(show.tables).most_common(15):
        numbers[f"why not: {reason}"] = number
    rows: list[Cells] = [*numbers.items()]
    n_retried = int((utterances["tries"] > 1).sum())
    share = percent(n_retried, show.statuses["spoken"])
    rows.append(["needed more than one try", f"{n_retried:,} ({share})"])
    error_rate = utterances["word_error_rate"].median()
    if not pd.isna(error_rate):
        rows.append(["word error rate of the synthesis, median", f"{100 * error_rate:.0f} %"])
    ratios = figures.length_ratios(show.tables)
    if len(ratios):
        shares = ratios.astype("float").quantile([0.1, 0.5, 0.9])
        spread = f"median {shares[0.5]:.2f}, 80 % from {shares[0.1]:.2f} to {shares[0.9]:.2f}"
        rows.append(["new over recorded length", spread])
    cost = figures.cost(show.tables)
    seconds = show.whole["seconds"]
    amounts = {
        "paid for what is in here": cost,
        "an hour of finished audio": 3600 * cost / seconds if seconds else None,
        "spent by the last run": show.run.speak.money.spent,
        "saved by the cache in the last run": show.run.speak.money.saved_by_cache,
    }
    is_paid = any(amounts.values())
    if is_paid:
        rows += [[title, money(amount)] for title, amount in amounts.items() if amount is not None]
    return Table("Utterances and money" if is_paid else "Utterances", ("", ""), rows)


def confidence(show: Displays) -> Plot:
    confidences = show.tables.utterances["confidence"].dropna()
    number = f"{len(confidences):,} of {counted(len(show.tables.utterances), 'utterance')}"
    plot = Plot(f"Confidence of the recogniser ({number})", name="confidence")
    return histogram(plot, [("before", "", confidences)], "confidence (0 to 1)", "utterances", span=(0, 1))


def licence_terms(show: Displays) -> Table:
    """Each source and model with its licence, and what that asks for."""
    rows: list[Cells] = []
    for origin in show.origins:
        link = Link(model_name(origin.name) or "(not named)", origin.url)
        licence = origin.licence or Strong("not known")
        rows.append([ROLES.get(origin.role, origin.role), link, licence, asked_terms(origin.licence)])
    return Table("", ("part", "of", "licence", "asks for"), rows)


def rejected(show: Displays) -> Table:
    """Numbers by stage and kind of reason, the largest first."""
    by_number = sorted(show.tables.rejects.items(), key=lambda reject: (-reject[1], reject[0]))
    rows = [(stage, kind, number) for (stage, kind), number in by_number]
    is_known = show.tables.knows_rejects
    nothing = "nothing was rejected" if is_known else "what was rejected is not in a published version"
    return Table("Rejected, by kind", ("stage", "reason", "number"), rows, nothing=nothing)


def used_models(show: Displays) -> Table:
    """The models of rows; those of run.json where rows name none, as before they are rebuilt."""
    rows: list[Cells] = []
    of_run = dict.fromkeys(show.run.origins, show.tables.n)
    for model, number in sorted((figures.models(show.tables) or of_run).items()):
        link = Link(model_name(model.name), model.url)
        rows.append([ROLES.get(model.role, model.role), link, model.licence or UNKNOWN, number])
    head = ("part", "model", "licence", "conversations")
    return Table("Models", head, rows, nothing="no model is known")


def changed_settings(show: Displays) -> Table:
    chosen = figures.chosen_settings(show.tables, show.run, show.defaults)
    rows = [(name.replace("_", " "), " or ".join(values)) for name, values in chosen.items()]
    note = "All others are the defaults."
    return Table("Settings", ("setting", "value"), rows, note, "all are the defaults")


def word_time_sources(show: Displays) -> Table:
    rows = figures.word_sources(show.tables).most_common()
    return Table("How word times are known", ("", "words"), rows, nothing="no words")


# Beside another dataset, of clips or of conversations.


def label_beside(show: Displays, label: str, title: str) -> Table:
    """The shares of two datasets that each value of a label has; nothing if it is known of neither."""
    other = show.beside
    shares = figures.compared_label(show.tables, other.tables, label)
    rows: list[Cells] = []
    for value, amounts in shares.iterrows():
        cells: list[TableCell] = [str(value)]
        for prefix in ("", "other_"):
            share = amounts[f"{prefix}share"]
            text = f"{percent(share, 1)}, {length_text(amounts[f'{prefix}seconds'])}"
            cells.append(None if pd.isna(share) else Bar(text, share))
        rows.append(cells)
    names = {"share": show.name, "other_share": other.name}
    lacking = [f"not known of {name}" for column, name in names.items() if shares[column].isna().all()]
    return Table(title, [title.lower(), *names.values()], rows, "; ".join(lacking))


def measures_beside(show: Displays) -> Table:
    """The measures of two datasets."""
    ours = figures.moments(show.tables, figures.COMPARED_MEASURES)
    theirs = figures.moments(show.beside.tables, figures.COMPARED_MEASURES)
    rows: list[Cells] = []
    for name, (title, unit, digits) in figures.COMPARED_MEASURES.items():
        texts = []
        for values in (ours.loc[name], theirs.loc[name]):
            text = f"{values['mean']:.{digits}f} ± {values['std']:.{digits}f}".replace("-", "−")
            texts.append(text if values["count"] else None)
        if any(texts):
            rows.append([f"{title} ({unit})", *texts])
    return Table(
        "Measures (mean ± deviation)",
        ("measure", show.name, show.beside.name),
        rows,
        "Level, signal to noise and bandwidth are those of the recordings as they came.",
        "nothing was measured",
    )


def measure_beside(show: Displays, measure: str, title: str, axis: str) -> Plot:
    others = figures.measured_values(show.beside.tables, measure)
    values = figures.measured_values(show.tables, measure)
    plot = Plot(title, name=f"beside-{measure}", nothing="nothing was measured")
    series = [("before", show.beside.name, others), ("after", show.name, values)]
    return histogram(plot, series, axis, "utterances")


# All of them.

#: What is counted of those who are heard, and of a tag.
SPEECH = {"seconds": "speech", "utterances": "utterances", "conversations": "conversations"}
SPEECH_BY_SIDE = {"seconds": "speech", "left": "left", "right": "right", "utterances": "utterances"}

#: The tables and plots of each section, in their order. Pages and cards name the sections that they show.
PARTS: SectionParts = {
    "splits": [split_sizes],
    "speakers": [
        lengths,
        partial(
            by_label,
            label="person",
            title="Recorded speakers",
            columns=SPEECH,
            nothing="none that is known can be heard",
        ),
        partial(by_label, label="synthetic_voice", title="Synthesised voices", columns=SPEECH),
    ],
    "columns": [column_values],
    "turns": [turns_of_sides, offsets, turn_end_sounds],
    "style": [
        partial(
            by_label,
            label="tag",
            title="Speech by style tag",
            columns=SPEECH_BY_SIDE,
            nothing="no tags",
            number="utterances",
        ),
        utterance_moments,
    ],
    "measures": [utterance_moments],
    "emotion": [
        emotion_heard,
        partial(by_two_labels, rows="tag", columns="emotion_class", title="Emotion heard by tag"),
    ],
    "synthesis": [synthesis],
    "words": [word_time_sources],
    "confidence": [confidence],
    "made": [used_models, changed_settings],
    "terms": [licence_terms],
    "rejected": [rejected],
    "beside": [
        *(partial(label_beside, label=label, title=title) for label, title in figures.COMPARED.items()),
        measures_beside,
        partial(measure_beside, measure="seconds", title="Length of utterances", axis="length (s)"),
        partial(measure_beside, measure="level", title="Level of speech as recorded", axis="level (dBFS)"),
    ],
}


def parts_of(show: Displays, *sections: str) -> list[Table | Plot]:
    """The tables and plots of these sections of a dataset, without those that are empty and do not say why."""
    all_parts = {**PARTS, **show.more_parts}
    parts = [part(show) for section in sections for part in all_parts[section]]
    return [part for part in parts if part or part.nothing]
