"""The sections of a report on a corpus of clips or a mix.

There are three kinds of hours: recorded (clips, without copies), in training (the recorded clips that train), and
seen (all that train, copies too, each as often as the manifest names it).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, starmap, zip_longest
from typing import Any

from dailytalk_contiguous.core import sampling
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.emotions import UNSURE
from dailytalk_contiguous.core.quality import QualityLimits, failures
from dailytalk_contiguous.core.tally import MAX_KINDS, UNKNOWN, Histogram, Sum, Tally
from dailytalk_contiguous.core.wording import counted, kind_of, length_text
from dailytalk_contiguous.publish import render, sections
from dailytalk_contiguous.publish.plots import Axis, Bar, BarPlot, HistogramPlot, Limit, MatrixPlot, Series

#: Labels along which clips are counted.
DIMENSIONS = ("corpus", "emotion", "style", "speaker", "gender", "sentence_type", "length", "split")


def label_title(name: str) -> str:
    return name.replace("_", " ").capitalize()


@dataclass(frozen=True)
class Measure:
    """The plot of a measure of quality: its axis, the width of a bin, its factor, and the names of its limits."""

    axis: Axis
    bin_width: float
    factor: float = 1.0
    least: str = ""
    most: str = ""

    def sides(self, all_limits: QualityLimits) -> list[tuple[float, str]]:
        """Return the limits that are set, in units of the axis, and the rejected side: `below` or `above`."""
        names = {side: name for side, name in (("below", self.least), ("above", self.most)) if name}
        values = {side: getattr(all_limits, name) for side, name in names.items()}
        return [(value * self.factor, side) for side, value in values.items() if value is not None]


MEASURES = {
    "duration": Measure(Axis("length (s)", 0, 32, 4), 0.5, least="shortest", most="longest"),
    "snr_db": Measure(Axis("signal-to-noise ratio (dB)", -10, 80, 10), 2.0, least="lowest_snr_db"),
    "clipping_ratio": Measure(Axis("clipped samples (%)", 0, 2, 0.5), 0.05, 100.0, most="most_clipping"),
    "bandwidth_hz": Measure(Axis("bandwidth (kHz)", 0, 24, 4), 0.5, 0.001, least="lowest_bandwidth_hz"),
    "speech_ratio": Measure(Axis("share of speech (%)", 0, 100, 20), 2.5, 100.0, least="lowest_speech_ratio"),
    "silence_seconds": Measure(Axis("longest silence inside (s)", 0, 4, 0.5), 0.1, most="longest_silence"),
}

#: Clips beyond a limit to listen to.
MOST_REJECTED = 6


@dataclass
class QualityTally:
    """Measures of clips as they came, kept or not, and the clips that `limits` reject.

    Attributes:
        measured: number of clips. refused: how many of these are beyond any limit.
        bins: values by measure, in units of its axis.
        outside, below: how many are beyond the limits of each measure, and how many of these under the lower one.
        beyond: the first clips beyond a limit by kind of reason, with the reason.
    """

    limits: QualityLimits = field(default_factory=QualityLimits)
    measured: int = 0
    refused: int = 0
    bins: dict[str, Histogram] = field(
        default_factory=lambda: {
            name: Histogram(m.bin_width, m.axis.low, m.axis.high) for name, m in MEASURES.items()
        }
    )
    outside: Counter[str] = field(default_factory=Counter)
    below: Counter[str] = field(default_factory=Counter)
    beyond: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> None:
        self.measured += 1
        values = {name: row[name] if is_number(row[name]) else None for name in MEASURES}
        if reason := ", ".join(failures(values, self.limits)):
            self.refused += 1
            kind = self.beyond.setdefault(kind_of(reason) if len(self.beyond) < MAX_KINDS else "", [])
            if len(kind) < MOST_REJECTED and row.get("conversation_id"):
                kind.append((row["conversation_id"], reason))
        for name, value in values.items():
            if value is not None:
                self.bins[name].add(value * MEASURES[name].factor)
                self.outside[name] += bool(failures(dict.fromkeys(MEASURES) | {name: value}, self.limits))
                least = getattr(self.limits, MEASURES[name].least, None)
                self.below[name] += least is not None and value < least

    def to_hear(self) -> list[tuple[str, str]]:
        """Return ids of clips to judge the limits by, and why each is beyond one: as many reasons as possible."""
        rounds = (clip for clips in zip_longest(*self.beyond.values()) for clip in clips if clip)
        return list(islice(rounds, MOST_REJECTED))


@dataclass
class CorpusFigures:
    """The figures of a corpus of clips or of a mix.

    Attributes:
        tally, quality: of its clips; quality of those that were rejected, too.
        unit: `clip`, or `file` in a mix, which may have conversations too.
        before: seconds by emotion that could train before balancing, if the run records them.
        target: seconds that every emotion should have: those of the run, or half an hour.
        credits: the sources and their authors.
    """

    tally: Tally = field(default_factory=Tally)
    quality: QualityTally = field(default_factory=QualityTally)
    unit: str = "clip"
    before: Mapping[str, float] = field(default_factory=dict)
    target: float = 3600 * sampling.LEAST_HOURS
    credits: Sequence[render.Credit] = ()

    @classmethod
    def of_run(cls, record: Mapping[str, Any], **more: Any) -> "CorpusFigures":
        """Take minutes before balancing, the target and the credits from the record of a run."""
        balance = record.get("balance") or {}
        minutes, target = balance.get("minutes_before", {}), balance.get("target_minutes")
        return cls(
            before={name: 60 * value for name, value in minutes.items()},
            target=60.0 * target if target and is_number(target, 0) else 3600 * sampling.LEAST_HOURS,
            credits=render.credits_of(record),
            **more,
        )

    def training(self) -> dict[str, tuple[float, float]]:
        """Return the seconds of each emotion that train: recorded (before balancing left any out), and seen."""
        sums = self.tally.by["emotion"]
        return {
            name: (
                max(self.tally.training.get(name, 0.0), self.before.get(name, 0.0)),
                sums[name].seen if name in sums else 0.0,
            )
            for name in sorted({*sums, *self.before})
        }

    def shortfalls(self) -> list[sampling.Shortfall]:
        """Return emotions with less than the target of recordings that could train, and their rarest sentences."""
        if not self.tally.trained:
            return []
        training = self.training()
        names = sorted(training.keys() - {UNKNOWN, "other"})
        items = starmap(sampling.BalanceItem, self.tally.trained)
        planned = sampling.plan_balance(items, self.target / 3600, "sample", 0, names).shortfalls
        missing = [short._replace(seconds=self.target - training[short.emotion][0]) for short in planned]
        return [short for short in missing if short.seconds > 0]


def corpus_sections(
    figures: CorpusFigures, examples: Sequence[Mapping[str, str]] = (), against: Sequence[sections.Section] = ()
) -> Iterator[sections.Section]:
    has_clips = bool(figures.tally.total.conversations)
    yield sections.Section("facts", "", [corpus_facts(figures)])
    if has_clips:
        yield sections.Section("what", "What is in it", label_parts(figures))
        if crossed := crossed_parts(figures):
            yield sections.Section("emotions", "Emotions", crossed)
        yield sections.Section("balance", "Balance", [balance_plot(figures), missing_table(figures)])
        affect, title = figures.tally.affect, "Valence and arousal by emotion"
        yield sections.Section(
            "affect", "Affect", [sections.affect_maps(title, affect, figures.unit, "affect_by_emotion")]
        )
    yield from against
    if figures.quality.measured:
        title = f"Quality of {counted(figures.quality.measured, 'clip')} as they came"
        yield sections.Section("quality", title, [*quality_plots(figures.quality), quality_table(figures.quality)])
    yield sections.rejected_section(figures.tally, examples)
    if has_clips:
        yield sections.Section(
            "licences", "Licences and sources", [licences_table(figures), sources_table(figures)]
        )


def corpus_facts(figures: CorpusFigures) -> sections.KeyFigures:
    tally, quality = figures.tally, figures.quality
    validation = tally.by["split"].get("validation", Sum()).seconds
    held_out = f"{render.percent(validation, tally.total.seconds)} of recordings"
    share = render.percent(quality.refused, quality.measured)
    measured = ("measured", f"{quality.measured:,}", f"{quality.refused:,} beyond a limit of quality ({share})")
    if quality.measured and not tally.total.conversations:
        kept = quality.measured - quality.refused
        return sections.KeyFigures([measured, ("would be kept", f"{kept:,}", "no clip is finished yet")])
    return sections.KeyFigures(
        [
            (f"{figures.unit}s", f"{tally.total.conversations:,}", f"{length_text(tally.total.seconds)} recorded"),
            ("copies", f"{tally.total.copies:,}", "augmented, in training only"),
            ("seen in training", length_text(tally.total.seen), "with copies and weights"),
            ("validation", length_text(validation), held_out),
            ("speakers", f"{len(tally.by['speaker'].keys() - {UNKNOWN}):,}", ""),
            *([measured] if quality.measured else []),
            ("rejected", sections._rejected_count(tally), "files and clips"),
        ]
    )


def label_parts(figures: CorpusFigures) -> list[sections.SectionPart]:
    """Return hours and counts by each dimension; dimensions with one value for all clips are in a sentence."""
    same, unknown, plots = [], [], list[sections.SectionPart]()
    for name in DIMENSIONS:
        values = list(figures.tally.by[name])
        if len(values) > 1:
            rows = []
            for value, part in sections.ranked(figures.tally.by[name]):
                recorded = length_text(part.seconds)
                cells = (part.conversations, part.copies, recorded, length_text(part.seen))
                rows.append(Bar(value, (part.seconds / 3600,), cells, f"{part.conversations:,} · {recorded}"))
            n_clips = counted(figures.tally.total.conversations, figures.unit)
            plots.append(
                BarPlot(
                    title=f"{label_title(name)} ({n_clips})",
                    head=(label_title(name).lower(), f"{figures.unit}s", "copies", "recorded", "seen in training"),
                    rows=rows,
                    series=[Series("after", "recorded")],
                    axis="hours",
                    nothing="no finished clips",
                    name=name,
                )
            )
        elif values == [UNKNOWN]:
            unknown.append(name.replace("_", " "))
        elif values:
            same.append(f"{name.replace('_', ' ')} {values[0]}")
    sentences = [f"All {figures.unit}s: {', '.join(same)}."] if same else []
    sentences += [f"Unknown of all: {', '.join(unknown)}."] if unknown else []
    return [sections.Text(" ".join(sentences)), *plots] if sentences else plots


#: Speakers with a row of their own in a matrix.
MOST_SPEAKERS = 15


def crossed_plot(
    figures: CorpusFigures, rows: str, columns: str, title: str, note: str = "", name: str = ""
) -> MatrixPlot:
    """Count recorded clips by the values of two labels; empty unless each has two values that are known."""
    counts = figures.tally.crossed[rows, columns]
    row_sums: Counter[str] = Counter()
    column_sums: Counter[str] = Counter()
    for (row, column), n in counts.items():
        row_sums[row] += n
        column_sums[column] += n
    names = [value for value, _ in sorted(row_sums.items(), key=lambda item: (-item[1], item[0]))]
    known = (len({*sums} - {UNKNOWN}) for sums in (row_sums, column_sums))
    if rows == columns or {rows, columns} == {"emotion", "perceived"}:
        names = sorted(names)
    heads = sorted(column_sums)
    lines = [(value, tuple(counts[value, head] for head in heads)) for value in names[:MOST_SPEAKERS]]
    if rest := names[MOST_SPEAKERS:]:
        sums = tuple(sum(counts[value, head] for value in rest) for head in heads)
        lines.append((f"{len(rest):,} others", sums))
    return MatrixPlot(
        title=f"{title} ({counted(counts.total(), figures.unit)})",
        head=(label_title(rows).lower(), *heads),
        rows=lines if min(known) > 1 else [],
        columns=tuple(heads),
        note=note,
        nothing="one of both is the same everywhere, or unknown",
        name=name,
    )


def perceived_plot(figures: CorpusFigures) -> MatrixPlot:
    counts = {pair: n for pair, n in figures.tally.crossed["emotion", "perceived"].items() if UNKNOWN not in pair}
    agreed, whole = sum(n for (meant, perceived), n in counts.items() if meant == perceived), sum(counts.values())
    mean = figures.tally.agreement
    note = (
        f"Rows: what was meant; columns: what raters heard. They agree in {agreed:,} of {whole:,} "
        f"({render.percent(agreed, whole)})."
    )
    if mean.n:
        note += f" On average {render.percent(mean.mean, 1)} of the raters of a clip chose what was heard most."
    return crossed_plot(figures, "emotion", "perceived", "Emotion meant and heard", note, "perceived")


def crossed_parts(figures: CorpusFigures) -> list[sections.SectionPart]:
    """Return emotions as raters and a classifier perceived them, by speaker and by gender, where that is known."""
    plots = (
        perceived_plot(figures),
        crossed_plot(figures, "gender", "emotion", "Emotion by gender", name="emotion_by_gender"),
        crossed_plot(figures, "speaker", "emotion", "Emotion by speaker", name="emotion_by_speaker"),
    )
    return [*(plot for plot in plots if plot), *emotion_parts(figures)]


#: A sentence that is beside all classes of emotion.
A_GUESS = "Classes of emotion are a guess from sound, and no diagnosis: nobody was asked how they felt."


def emotion_parts(figures: CorpusFigures) -> list[sections.SectionPart]:
    tally = figures.tally
    if not tally.emotion_models:
        return []
    models = ", ".join(render.model_name(name) for name in sorted(tally.emotion_models))
    counts = figures.tally.crossed["emotion", "emotion_class"]
    # `unsure` and unclassified utterances have no class that could be right.
    pairs = {pair: n for pair, n in counts.items() if UNKNOWN not in pair and pair[1] != UNSURE}
    right, answered = sum(n for (label, answer), n in pairs.items() if label == answer), sum(pairs.values())
    note = (
        f"Rows: the label; columns: what the classifier heard. Of the classes that it said, {right:,} "
        f"of {answered:,} are the label ({render.percent(right, answered)})."
    )
    title = "Emotion by label and heard"
    against = (
        crossed_plot(figures, "emotion", "emotion_class", title, note, "label_and_heard"),
        crossed_plot(figures, "tag", "emotion_class", "Emotion heard by tag", name="heard_by_tag"),
        crossed_plot(figures, "speaker", "emotion_class", "Emotion heard by speaker", name="heard_by_speaker"),
    )
    return [
        sections.Text(f"{A_GUESS} Classified by {models}."),
        _classes_plot(figures),
        *(plot for plot in against if plot),
    ]


def _classes_plot(figures: CorpusFigures) -> BarPlot:
    sums = figures.tally.by["emotion_class"]
    count = sum(part.utterances for part in sums.values())
    rows = []
    for name, part in sorted(sums.items(), key=lambda item: (-item[1].utterances, item[0])):
        share = render.percent(part.utterances, count)
        rows.append(Bar(name, (part.utterances,), (part.utterances, share), f"{part.utterances:,} ({share})"))
    return BarPlot(
        title=f"Emotion heard ({counted(count, figures.unit)})",
        head=("emotion", f"{figures.unit}s", "share"),
        rows=rows,
        series=[Series("before", "source")],
        axis=f"{figures.unit}s",
        nothing="nothing was classified",
        name="emotion_heard",
    )


def balance_plot(figures: CorpusFigures) -> BarPlot:
    training = figures.training()
    balanced = {name: pair for name, pair in training.items() if name not in (UNKNOWN, "other")}
    before, after = (sampling.disparity(pair[side] for pair in balanced.values()) for side in (0, 1))
    rows = [
        Bar(name, pair, (_minutes(pair[0]), _minutes(pair[1])), f"{pair[0] / 60:.1f} → {pair[1] / 60:.1f}")
        for name, pair in training.items()
    ]
    note = f"Largest to smallest emotion: {before:.1f} as recorded, {after:.1f} as seen"
    most = max((seen for _, seen in balanced.values()), default=0.0)
    behind = [name for name, (_, seen) in balanced.items() if seen * sampling.BALANCED < most]
    if figures.before and after > sampling.BALANCED:
        note += (
            ": not balanced. Copies and weights, as often as they are allowed, do not bring "
            f"{listed_names(behind)} up to the others"
        )
    return BarPlot(
        title=f"Minutes of training, {'before and after balancing' if figures.before else 'recorded and seen'}",
        head=("emotion", "recorded", "seen"),
        rows=rows,
        series=[Series("before", "recorded"), Series("after", "seen: with weights and copies")],
        axis="minutes",
        grouped=True,
        note=f"{note}.",
        nothing="no finished clips",
        name="balance",
    )


def listed_names(names: Sequence[str]) -> str:
    """Join names as a part of a sentence.

    >>> listed_names(["happy", "sad", "calm"]), listed_names(["sad"])
    ('happy, sad and calm', 'sad')
    """
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def missing_table(figures: CorpusFigures) -> sections.Table:
    """Return the recordings that each emotion lacks to reach the target; a kind that all lack is named once."""
    training, goal = figures.training(), f"{figures.target / 60:g} minutes"
    shortfalls = figures.shortfalls()
    kinds = [" ".join(filter(None, (short.length, short.sentence_type))) for short in shortfalls]
    alike = len({*kinds}) < 2
    rows = []
    for short, kind in zip(shortfalls, kinds, strict=True):
        minutes = map(_minutes, (*training[short.emotion], short.seconds))
        rows.append((short.emotion, *minutes, *([] if alike else [kind or "any"])))
    head = ("emotion", "recorded", "seen", "lacks", *([] if alike else ["fewest sentences"]))
    what = f" of {kinds[0]} sentences" if alike and kinds and kinds[0] else ""
    note = f"What helps: another corpus, or recordings of your own{what}. Copies and weights add no voice."
    nothing = f"every emotion has {goal} of recordings in training" if figures.tally.trained else "no clip trains"
    return sections.Table(f"What is missing to reach {goal}", head, rows, note, nothing)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"


def quality_plots(quality: QualityTally) -> list[HistogramPlot]:
    plots = []
    for name, measure in MEASURES.items():
        bins, axis = quality.bins[name], measure.axis
        unknown, below = quality.measured - bins.n, quality.below[name]
        beyond = {"below": below, "above": quality.outside[name] - below}
        counts = {round(number * bins.width, 6): float(n) for number, n in sorted(bins.counts.items())}
        title = f"{axis.title.partition(' (')[0].capitalize()} of {counted(bins.n, 'clip')}"
        plots.append(
            HistogramPlot(
                title=title + (f", {unknown:,} unknown" if unknown else ""),
                series=[(Series("before", ""), counts)],
                axis=axis,
                bin_width=measure.bin_width,
                of="clips",
                limits=[Limit(value, side, beyond[side], bins.n) for value, side in measure.sides(quality.limits)],
                counted=True,
                nothing="no values",
                name=name,
            )
        )
    return plots


def quality_table(quality: QualityTally) -> sections.Table:
    """Return the limits of each measure, and how many clips are beyond them."""
    rows: list[tuple[render.TableCell, ...]] = []
    for name, measure in MEASURES.items():
        unit = measure.axis.title.partition("(")[2].rstrip(")")
        words = {"below": "at least", "above": "at most"}
        limits = [f"{words[side]} {value:g} {unit}" for value, side in measure.sides(quality.limits)]
        known, outside = quality.bins[name].n, quality.outside[name]
        cells = (outside, render.percent(outside, known), quality.measured - known)
        rows.append((measure.axis.title.partition(" (")[0], ", ".join(limits) or "none", *cells))
    return sections.Table("Limits", ("measure", "limit", "beyond it", "share", "unknown"), rows)


def licences_table(figures: CorpusFigures) -> sections.Table:
    rows: list[tuple[render.TableCell, ...]] = [
        (name, part.conversations, length_text(part.seconds), render.terms_cell(name if name != UNKNOWN else None))
        for name, part in sorted(figures.tally.by["licence"].items())
    ]
    head = ("licence", f"{figures.unit}s", "recorded", "asks for")
    return sections.Table("Licences", head, rows, nothing="no finished clips")


def sources_table(figures: CorpusFigures) -> sections.Table:
    rows = [render.credit_cells(credit) for credit in figures.credits]
    return sections.Table("Sources", ("source", "licence", "citation"), rows, nothing="the folder names none")
