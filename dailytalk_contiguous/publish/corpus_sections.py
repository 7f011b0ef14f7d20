"""Tables and plots of a corpus of clips or a mix, for its report and its card, and of classes of emotion."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from dailytalk_contiguous.core import figures as queries
from dailytalk_contiguous.core import sampling
from dailytalk_contiguous.core.emotions import UNSURE
from dailytalk_contiguous.core.licensing import Credit, asked, licence_in_words
from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.core.tables import UNKNOWN, Tables
from dailytalk_contiguous.core.wording import counted, length_text, percent
from dailytalk_contiguous.publish.clip_figures import LIMITS, CorpusFigures, Quality
from dailytalk_contiguous.publish.conversation_sections import label_table, ranked
from dailytalk_contiguous.publish.plots import HistogramPlot, Mark, Series, sheet
from dailytalk_contiguous.publish.templates import Bar, Link, Strong, Table, TableCell
from dailytalk_contiguous.store.files import write_bytes, write_text

#: Labels along which clips are counted.
DIMENSIONS = ("corpus", "emotion", "style", "tag", "speaker", "gender", "sentence_type", "length", "split")

#: Speakers with a row of their own in a table of two labels.
MOST_SPEAKERS = 15


def label_title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def label_parts(figures: CorpusFigures) -> tuple[dict[str, str], list[Table]]:
    """Return the value of each label that is the same for all clips, and a table of each other label."""
    columns = {"seconds": "recorded", "conversations": f"{figures.unit}s", "copies": "copies"}
    columns |= {"seen": "seen in training"}
    values = {name: [*queries.sums(figures.tables, name).index] for name in DIMENSIONS}
    same = {name.replace("_", " "): str(known[0]) for name, known in values.items() if len(known) == 1}
    n = counted(int(queries.totals(figures.tables)["conversations"]), figures.unit)
    return same, [
        label_table(figures.tables, name, f"{label_title(name)} ({n})", columns)
        for name, known in values.items()
        if len(known) > 1
    ]


def crossed_table(tables: Tables, unit: str, rows: str, columns: str, title: str, note: str = "") -> Table:
    """Count clips or utterances by the values of two labels; empty unless each has two values that are known."""
    counts = queries.crossed(tables, rows, columns)
    frame = pd.Series(counts, dtype=int).unstack(fill_value=0) if counts else pd.DataFrame()
    if {rows, columns} != {"emotion", "perceived"}:
        order = frame.sum(axis=1).sort_values(ascending=False, kind="stable").index
        frame = frame.loc[order]
    if len(rest := frame[MOST_SPEAKERS:]):
        frame = pd.concat([frame[:MOST_SPEAKERS], rest.sum().to_frame(f"{len(rest):,} others").T])
    lines: list[tuple[TableCell, ...]] = []
    if all(len({*values} - {UNKNOWN}) > 1 for values in (frame.index, frame.columns)):
        for name, of in frame.iterrows():
            lines.append((str(name), *(Bar(f"{n:,}", n / max(1, of.sum())) for n in of)))
    return Table(f"{title} ({counted(counts.total(), unit)})", ("", *frame.columns), lines, note)


def _agreement(counts: Mapping[tuple[str, str], int]) -> str:
    agreed, whole = sum(n for (row, column), n in counts.items() if row == column), sum(counts.values())
    return f"{agreed:,} of {whole:,} ({percent(agreed, whole)})"


def perceived_table(figures: CorpusFigures) -> Table:
    counts = queries.crossed(figures.tables, "emotion", "perceived")
    known = {pair: n for pair, n in counts.items() if UNKNOWN not in pair}
    note = f"Rows: what was meant; columns: what raters heard. They agree in {_agreement(known)}."
    agreement = figures.tables.conversations["agreement"].dropna()
    if len(agreement):
        note += f" On average {percent(agreement.mean(), 1)} of the raters of a clip chose what was heard most."
    return crossed_table(figures.tables, figures.unit, "emotion", "perceived", "Emotion meant and heard", note)


def crossed_tables(figures: CorpusFigures) -> list[Table]:
    """Return emotions as raters perceived them, by speaker and by gender, where that is known."""
    made = (
        perceived_table(figures),
        crossed_table(figures.tables, figures.unit, "gender", "emotion", "Emotion by gender"),
        crossed_table(figures.tables, figures.unit, "speaker", "emotion", "Emotion by speaker"),
    )
    return [table for table in made if table]


#: A sentence that is beside all classes of emotion.
A_GUESS = "Classes of emotion are a guess from sound, and no diagnosis: nobody was asked how they felt."


def emotion_models(tables: Tables) -> list[str]:
    return sorted(queries.counts(tables.utterances["emotion_model"]))


def emotion_tables(tables: Tables, unit: str = "utterance") -> list[Table]:
    """Return the classes that a classifier heard, alone and beside tags or labels; none without one."""
    if not emotion_models(tables):
        return []
    n = int(queries.sums(tables, "emotion_class")["utterances"].sum())
    columns = {"utterances": f"{unit}s", "seconds": "speech"}
    classes = label_table(tables, "emotion_class", f"Emotion heard ({counted(n, unit)})", columns)
    if unit == "utterance":
        crossed = crossed_table(tables, unit, "tag", "emotion_class", "Emotion heard by tag")
    else:
        # `unsure` and unclassified clips have no class that could be right.
        counts = queries.crossed(tables, "emotion", "emotion_class")
        known = {pair: n for pair, n in counts.items() if UNKNOWN not in pair and pair[1] != UNSURE}
        note = "Rows: the label; columns: what the classifier heard. Of the classes that it said, "
        note += f"{_agreement(known)} are the label."
        title = "Emotion by label and heard"
        crossed = crossed_table(tables, unit, "emotion", "emotion_class", title, note)
    return [classes, crossed] if crossed else [classes]


def balance_table(figures: CorpusFigures) -> Table:
    """Return the minutes of each emotion in training, and what it lacks to reach the target."""
    training, goal = figures.training(), f"{figures.target / 60:g} minutes"
    lacks = figures.shortfalls()
    longest = max((seconds for pair in training.values() for seconds in pair), default=0.0) or 1.0
    rows: list[tuple[TableCell, ...]] = []
    for emotion, pair in training.items():
        bars = (Bar(f"{seconds / 60:.1f} min", seconds / longest) for seconds in pair)
        rows.append((emotion, *bars, f"{lacks[emotion] / 60:.1f} min" if emotion in lacks else "–"))
    balanced = [pair for name, pair in training.items() if name not in (UNKNOWN, "other")]
    before, after = (sampling.disparity(pair[side] for pair in balanced) for side in (0, 1))
    note = f"Largest to smallest emotion: {before:.1f} as recorded, {after:.1f} as seen"
    if figures.before and after > sampling.BALANCED:
        note += ": not balanced, though copies and weights are as many as are allowed"
    note += f". What lacks recordings to have {goal} needs another corpus, or recordings of your own."
    head = ("emotion", "recorded", "seen: with weights and copies", f"lacks to {goal}")
    return Table("Minutes of training", head, rows, note, "no finished clips")


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
        values = quality.clips[name].dropna().to_numpy(float)
        known, unknown = len(values), len(quality.clips) - len(values)
        marks, texts, beyond = [], [], 0
        for option, side in ((measure.least, "below"), (measure.most, "above")):
            limit = getattr(quality.limits, option) if option else None
            if limit is not None:
                n = int((values < limit if side == "below" else values > limit).sum())
                shown = limit * measure.factor
                low, high, most = (-math.inf, shown, "least") if side == "below" else (shown, math.inf, "most")
                marks.append(Mark(f"limit {shown:g}: {n:,} of {known:,} are {side}", low, high, shown, "limit"))
                texts.append(f"at {most} {shown:g} {measure.unit}")
                beyond += n
        more = f", {unknown:,} unknown" if unknown else ""
        plots.append(
            HistogramPlot(
                title=f"{measure.title.capitalize()} of {counted(known, 'clip')}{more}",
                series=[(Series("before", ""), values * measure.factor)],
                axis=f"{measure.title} ({measure.unit})",
                span=measure.span,
                of="clips",
                marks=marks,
                counted=True,
                nothing="no values",
                name=name,
            )
        )
        rows.append((measure.title, ", ".join(texts) or "none", beyond, percent(beyond, known), unknown))
    return plots, Table("Limits", ("measure", "limit", "beyond it", "share", "unknown"), rows)


#: The picture of the measures of clips, beside `LIMITS`.
PLOT = "quality.png"


def plot_quality(rows: Iterable[Mapping[str, Any]], limits: QualityLimits, folder: Path) -> None:
    """Write `PLOT` of the measures of rows (null left out), with dashed lines at the limits, and `LIMITS`."""
    quality = Quality.of_rows(rows, limits)
    overview = f"{counted(len(quality.clips), 'clip')} as they came, {len(quality.refused):,} beyond a limit"
    plots, _ = quality_parts(quality)
    write_bytes(folder / PLOT, sheet(plots, title=f"{overview}; `dailytalk report` shows more"))
    write_text(folder / LIMITS, json.dumps(settings_of(limits), indent=1) + "\n")


def licences_table(figures: CorpusFigures) -> Table:
    rows = []
    for name, of in ranked(figures.tables, "licence").sort_index().iterrows():
        terms = terms_of(None if name == UNKNOWN else str(name))
        rows.append((str(name), int(of["conversations"]), length_text(of["seconds"]), terms))
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
