"""Tables and plots of a corpus of clips or a mix, for its report and its card, and of classes of emotion."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.core import figures as queries
from dailytalk_contiguous.core import sampling
from dailytalk_contiguous.core.emotions import UNSURE
from dailytalk_contiguous.core.licensing import Credit, asked, licence_in_words
from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.core.tables import UNKNOWN, Tables
from dailytalk_contiguous.core.wording import counted, length_text, percent
from dailytalk_contiguous.publish.clip_figures import LIMITS, CorpusFigures, Quality
from dailytalk_contiguous.publish.conversation_sections import ranked
from dailytalk_contiguous.publish.plots import Bar, BarPlot, HistogramPlot, Limit, MatrixPlot, Series, sheet
from dailytalk_contiguous.publish.templates import Link, Strong, Table, TableCell
from dailytalk_contiguous.store.files import write_bytes, write_text

#: Labels along which clips are counted.
DIMENSIONS = ("corpus", "emotion", "style", "speaker", "gender", "sentence_type", "length", "split")

#: Speakers with a row of their own in a matrix.
MOST_SPEAKERS = 15


def label_title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def label_parts(figures: CorpusFigures) -> tuple[dict[str, str], list[BarPlot], list[Table]]:
    """Return the value of each label that is the same for all clips, and of the others a plot and a table each."""
    same: dict[str, str] = {}
    plots, tables = [], []
    n = counted(int(queries.totals(figures.tables)["conversations"]), figures.unit)
    for name in DIMENSIONS:
        values = ranked(figures.tables, name)
        if len(values) < 2:
            same |= {name.replace("_", " "): value for value, _ in values}
            continue
        bars, rows = [], []
        for value, of in values:
            clips, copies, recorded = int(of["conversations"]), int(of["copies"]), length_text(of["seconds"])
            bars.append(Bar(value, (of["seconds"] / 3600,), f"{clips:,} · {recorded}"))
            rows.append((value, clips, copies, recorded, length_text(of["seen"])))
        title, series = f"{label_title(name)} ({n})", [Series("after", "recorded")]
        plots.append(BarPlot(title=title, rows=bars, series=series, axis="hours", name=name))
        head = (name.replace("_", " "), f"{figures.unit}s", "copies", "recorded", "seen in training")
        tables.append(Table(title, head, rows))
    return same, plots, tables


def crossed_plot(tables: Tables, unit: str, rows: str, columns: str, title: str, note: str = "") -> MatrixPlot:
    """Count clips or utterances by the values of two labels; empty unless each has two values that are known."""
    counts = queries.crossed(tables, rows, columns)
    row_sums: Counter[str] = Counter()
    for (row, _), n in counts.items():
        row_sums[row] += n
    names = [value for value, _ in sorted(row_sums.items(), key=lambda item: (-item[1], item[0]))]
    if {rows, columns} == {"emotion", "perceived"}:
        names.sort()
    heads = sorted({column for _, column in counts})
    lines = {value: [counts[value, head] for head in heads] for value in names[:MOST_SPEAKERS]}
    if rest := names[MOST_SPEAKERS:]:
        lines[f"{len(rest):,} others"] = [sum(counts[value, head] for value in rest) for head in heads]
    is_known = all(len({*values} - {UNKNOWN}) > 1 for values in (names, heads))
    return MatrixPlot(
        title=f"{title} ({counted(counts.total(), unit)})",
        rows=lines if is_known else {},
        columns=heads,
        note=note,
        nothing="one of both is the same everywhere, or unknown",
        name=f"{rows}_by_{columns}",
    )


def _agreement(counts: Mapping[tuple[str, str], int]) -> str:
    agreed, whole = sum(n for (row, column), n in counts.items() if row == column), sum(counts.values())
    return f"{agreed:,} of {whole:,} ({percent(agreed, whole)})"


def perceived_plot(figures: CorpusFigures) -> MatrixPlot:
    counts = queries.crossed(figures.tables, "emotion", "perceived")
    known = {pair: n for pair, n in counts.items() if UNKNOWN not in pair}
    note = f"Rows: what was meant; columns: what raters heard. They agree in {_agreement(known)}."
    agreement = figures.tables.conversations["agreement"].dropna()
    if len(agreement):
        note += f" On average {percent(agreement.mean(), 1)} of the raters of a clip chose what was heard most."
    return crossed_plot(figures.tables, figures.unit, "emotion", "perceived", "Emotion meant and heard", note)


def crossed_parts(figures: CorpusFigures) -> list[MatrixPlot]:
    """Return emotions as raters perceived them, by speaker and by gender, where that is known."""
    plots = (
        perceived_plot(figures),
        crossed_plot(figures.tables, figures.unit, "gender", "emotion", "Emotion by gender"),
        crossed_plot(figures.tables, figures.unit, "speaker", "emotion", "Emotion by speaker"),
    )
    return [plot for plot in plots if plot]


#: A sentence that is beside all classes of emotion.
A_GUESS = "Classes of emotion are a guess from sound, and no diagnosis: nobody was asked how they felt."


def emotion_models(tables: Tables) -> list[str]:
    return sorted(queries.counts(tables.utterances["emotion_model"]))


def emotion_parts(tables: Tables, unit: str = "utterance") -> list[BarPlot | MatrixPlot]:
    """Return the classes that a classifier heard, alone and beside labels, tags and speakers; none without one."""
    models = emotion_models(tables)
    if not models:
        return []
    values = ranked(tables, "emotion_class", "utterances")
    n = int(sum(of["utterances"] for _, of in values))
    rows = [
        Bar(name, (of["utterances"],), f"{int(of['utterances']):,} ({percent(of['utterances'], n)})")
        for name, of in values
    ]
    classes = BarPlot(
        title=f"Emotion heard ({counted(n, unit)})",
        rows=rows,
        series=[Series("before", "source")],
        axis=f"{unit}s",
        name="emotion_heard",
    )
    matrices = []
    if unit == "utterance":
        matrices = [crossed_plot(tables, unit, "tag", "emotion_class", "Emotion heard by tag")]
    else:
        # `unsure` and unclassified clips have no class that could be right.
        counts = queries.crossed(tables, "emotion", "emotion_class")
        known = {pair: n for pair, n in counts.items() if UNKNOWN not in pair and pair[1] != UNSURE}
        note = "Rows: the label; columns: what the classifier heard. Of the classes that it said, "
        note += f"{_agreement(known)} are the label."
        title = "Emotion by label and heard"
        matrices = [crossed_plot(tables, unit, "emotion", "emotion_class", title, note)]
    return [classes, *(plot for plot in matrices if plot)]


def balance_plot(figures: CorpusFigures) -> BarPlot:
    training = figures.training()
    balanced = [pair for name, pair in training.items() if name not in (UNKNOWN, "other")]
    before, after = (sampling.disparity(pair[side] for pair in balanced) for side in (0, 1))
    rows = [
        Bar(name, (pair[0] / 60, pair[1] / 60), f"{pair[0] / 60:.1f} → {pair[1] / 60:.1f}")
        for name, pair in training.items()
    ]
    note = f"Largest to smallest emotion: {before:.1f} as recorded, {after:.1f} as seen"
    if figures.before and after > sampling.BALANCED:
        note += ": not balanced, though copies and weights are as many as are allowed"
    return BarPlot(
        title=f"Minutes of training, {'before and after balancing' if figures.before else 'recorded and seen'}",
        rows=rows,
        series=[Series("before", "recorded"), Series("after", "seen: with weights and copies")],
        axis="minutes",
        grouped=True,
        note=f"{note}.",
        nothing="no finished clips",
        name="balance",
    )


def missing_table(figures: CorpusFigures) -> Table:
    """Return the recordings that each emotion lacks to reach the target, and its rarest sentences."""
    training, goal = figures.training(), f"{figures.target / 60:g} minutes"
    rows = []
    for short in figures.shortfalls():
        minutes = (f"{seconds / 60:.1f} min" for seconds in (*training[short.emotion], short.seconds))
        rows.append(
            (short.emotion, *minutes, " ".join(filter(None, (short.length, short.sentence_type))) or "any")
        )
    is_trained = any(recorded for recorded, _ in training.values())
    nothing = f"every emotion has {goal} of recordings in training" if is_trained else "no clip trains"
    head = ("emotion", "recorded", "seen", "lacks", "fewest sentences")
    note = "Another corpus helps, or recordings of your own. Copies and weights add no voice."
    return Table(f"What is missing to reach {goal}", head, rows, note, nothing)


class Measure(NamedTuple):
    """A measure of quality: its name, unit, the ends of its axis, the factor to it, and its limits' names."""

    title: str
    unit: str
    span: tuple[float, float]
    factor: float = 1.0
    least: str = ""
    most: str = ""


MEASURES = {
    "duration": Measure("length", "s", (0, 32), least="shortest", most="longest"),
    "snr_db": Measure("signal-to-noise ratio", "dB", (-10, 80), least="lowest_snr_db"),
    "clipping_ratio": Measure("clipped samples", "%", (0, 2), 100.0, most="most_clipping"),
    "bandwidth_hz": Measure("bandwidth", "kHz", (0, 24), 0.001, least="lowest_bandwidth_hz"),
    "speech_ratio": Measure("share of speech", "%", (0, 100), 100.0, least="lowest_speech_ratio"),
    "silence_seconds": Measure("longest silence inside", "s", (0, 4), most="longest_silence"),
}


def quality_parts(quality: Quality) -> tuple[list[HistogramPlot], Table]:
    """Return a plot of each measure of clips as they came, beside its limits, and how many are beyond them."""
    plots, rows = [], []
    for name, measure in MEASURES.items():
        least, most = (
            getattr(quality.limits, limit) if limit else None for limit in (measure.least, measure.most)
        )
        below, above = quality.outside(name, least, most)
        values = quality.clips[name].dropna().to_numpy(float)
        known, unknown = len(values), len(quality.clips) - len(values)
        limits = [
            Limit(limit * measure.factor, side, n, known)
            for limit, side, n in ((least, "below", below), (most, "above", above))
            if limit is not None
        ]
        plots.append(
            HistogramPlot(
                title=f"{measure.title.capitalize()} of {counted(known, 'clip')}"
                + (f", {unknown:,} unknown" if unknown else ""),
                series=[(Series("before", ""), values * measure.factor)],
                axis=f"{measure.title} ({measure.unit})",
                span=measure.span,
                of="clips",
                limits=limits,
                counted=True,
                nothing="no values",
                name=name,
            )
        )
        words = {"below": "at least", "above": "at most"}
        texts = [f"{words[limit.side]} {limit.value:g} {measure.unit}" for limit in limits]
        share = percent(below + above, known)
        rows.append((measure.title, ", ".join(texts) or "none", below + above, share, unknown))
    return plots, Table("Limits", ("measure", "limit", "beyond it", "share", "unknown"), rows)


#: The picture of the measures of clips, beside `LIMITS`.
PLOT = "quality.png"


def plot_quality(rows: Iterable[Mapping[str, Any]], limits: QualityLimits, folder: Path) -> None:
    """Write `PLOT` of the measures of rows (null left out), with dashed lines at the limits, and `LIMITS`."""
    quality = Quality.of_rows(rows, limits)
    overview = f"{counted(len(quality.clips), 'clip')} as they came, {quality.refused:,} beyond a limit"
    plots, _ = quality_parts(quality)
    write_bytes(folder / PLOT, sheet(plots, title=f"{overview}; `dailytalk report` shows more"))
    write_text(folder / LIMITS, json.dumps(settings_of(limits), indent=1) + "\n")


def licences_table(figures: CorpusFigures) -> Table:
    rows = [
        (name, int(of["conversations"]), length_text(of["seconds"]), terms_of(name if name != UNKNOWN else None))
        for name, of in sorted(ranked(figures.tables, "licence"))
    ]
    head = ("licence", f"{figures.unit}s", "recorded", "asks for")
    return Table("Licences", head, rows, nothing="no finished clips")


def terms_of(licence: str | None) -> str:
    """Return what a licence asks for, in words."""
    words = licence_in_words(licence)
    return words if asked(licence).known else Strong(words)


def credit_cells(credit: Credit) -> tuple[TableCell, TableCell, TableCell]:
    return Link(credit.name, credit.homepage), credit.licence or "unknown", credit.citation or "unknown"


def sources_table(figures: CorpusFigures) -> Table:
    rows = [credit_cells(credit) for credit in figures.credits]
    return Table("Sources", ("source", "licence", "citation"), rows, nothing="the folder names none")
