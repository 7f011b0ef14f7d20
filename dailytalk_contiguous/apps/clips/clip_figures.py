"""The figures of clips of a corpus or a mix: hours that train, what emotions lack, and measures beside limits.

There are three kinds of hours: recorded (clips, without copies), in training (the recorded clips that train), and
seen (all that train, copies too, each as often as the manifest names it).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from dailytalk_contiguous.apps.clips.balance import (
    BALANCED,
    BY_EMOTION,
    CELL_COLUMNS,
    LEAST_HOURS,
    cell_of,
    disparity,
    noun_of,
)
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.licensing import Credit
from dailytalk_contiguous.core.records import figures
from dailytalk_contiguous.core.records.clip_records import QUALITY_MEASURES
from dailytalk_contiguous.core.records.finding import Finding, advice
from dailytalk_contiguous.core.records.run_record import NO_RUN, RunRecord
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.records.tables import UNKNOWN, Tables
from dailytalk_contiguous.core.settings import settings_of, with_settings
from dailytalk_contiguous.core.sound.quality import QualityLimits, failures
from dailytalk_contiguous.core.style.emotions import UNSURE
from dailytalk_contiguous.core.wording import counted, length_text, percent
from dailytalk_contiguous.publish.checks.verdict import JudgedData
from dailytalk_contiguous.publish.item_tables import tables_of
from dailytalk_contiguous.publish.items import Items, clip_shards
from dailytalk_contiguous.shards import CurrentRows
from dailytalk_contiguous.store.parquet import open_parquet
from dailytalk_contiguous.store.work_folder import MEASURED, record_of


class ClipMeasure(NamedTuple):
    """A measure of quality: its name, unit, the ends of its axis, the factor to it, and its limits' names."""

    title: str
    unit: str
    span: tuple[float, float]
    factor: float = 1.0
    least: str = ""
    most: str = ""


#: Measures of the quality of a clip, as rows have them.
MEASURES = {
    "duration": ClipMeasure("length", "s", (0, 32), least="shortest_seconds", most="longest_seconds"),
    "snr_db": ClipMeasure("signal-to-noise ratio", "dB", (-10, 80), least="lowest_snr_db"),
    "clipping_ratio": ClipMeasure("clipped samples", "%", (0, 2), 100.0, most="most_clipping"),
    "bandwidth_hz": ClipMeasure("bandwidth", "kHz", (0, 24), 0.001, least="lowest_bandwidth_hz"),
    "speech_ratio": ClipMeasure("share of speech", "%", (0, 100), 100.0, least="lowest_speech_ratio"),
    "silence_seconds": ClipMeasure("longest silence inside", "s", (0, 4), most="longest_silence_seconds"),
}


@dataclass(frozen=True)
class Quality:
    """Measures of clips as they came, kept or not.

    `clips` has `MEASURES`, and `refused`, whether `limits` reject it.
    """

    limits: QualityLimits
    clips: pd.DataFrame

    @classmethod
    def of_rows(cls, rows: Iterable[Row], limits: QualityLimits) -> "Quality":
        """Measure rows; what is no number is unknown."""
        clips = []
        for row in rows:
            values = {name: row[name] if is_number(row[name]) else None for name in MEASURES}
            clips.append({"refused": bool(failures(values, limits)), **values})
        return cls(limits, pd.DataFrame(clips, columns=["refused", *MEASURES]))


#: The quality of clips that were not measured.
NOT_MEASURED = Quality.of_rows((), QualityLimits())


@dataclass(frozen=True)
class CorpusFigures:
    """The figures of a corpus of clips or of a mix.

    Attributes:
        tables: as `core.records.tables` makes them.
        run: the record of the run that made it.
        quality: of its clips, those that were rejected, too.
        unit: `clip`, or `file` in a mix, which may have conversations too.
        credits: the sources and their authors.
    """

    tables: Tables
    run: RunRecord = NO_RUN
    quality: Quality = NOT_MEASURED
    unit: str = "clip"
    credits: Sequence[Credit] = ()

    @property
    def before(self) -> dict[str, float]:
        """Seconds by emotion (or cell) that could train before balancing, if the run records them."""
        return {name: 60 * minutes for name, minutes in self.run.balance.minutes_before.items()}

    @property
    def target(self) -> float:
        """Seconds that every emotion (or cell) should have: those of the run, or half an hour."""
        minutes = self.run.balance.target_minutes or 0.0
        return 60 * minutes if minutes > 0 else 3600 * LEAST_HOURS

    @property
    def cells_by(self) -> tuple[str, ...]:
        """The labels that name a cell of the balance, of `apps.clips.balance.CELL_COLUMNS`."""
        labels = tuple(self.run.balance.by or ())
        return labels if labels and CELL_COLUMNS.keys() >= {*labels} else BY_EMOTION

    @property
    def noun(self) -> str:
        """The name of a cell of the balance."""
        return noun_of(self.cells_by)

    def training(self) -> pd.DataFrame:
        """Seconds of each emotion (or cell) that train: `recorded` (before balancing left any out), and `seen`."""
        tables = self.tables
        label = "emotion"
        if self.cells_by != BY_EMOTION:
            columns = [CELL_COLUMNS[name] for name in self.cells_by]
            labels = tables.conversations[columns].astype(object).to_dict("records")
            names_of_cells = [cell_of(row, self.cells_by) for row in labels]
            cells = pd.Series(names_of_cells, tables.conversations.index, object)
            tables = replace(tables, conversations=tables.conversations.assign(cell=cells))
            label = "cell"
        trains = _trained(tables)
        sums = figures.sums(tables, label)
        values = trains[label].astype(object).fillna(UNKNOWN)
        recorded = trains.own_seconds.groupby(values).sum()
        names = sorted({*map(str, sums.index), *self.before})
        before = pd.Series(self.before, names, float).fillna(0.0)
        recorded = recorded.reindex(names, fill_value=0.0)
        seen = sums.seen.set_axis(sums.index.astype(str))
        seen = seen.reindex(names, fill_value=0.0)
        return pd.DataFrame({"recorded": np.maximum(recorded, before), "seen": seen})

    def disparity(self) -> tuple[float, float]:
        """The largest emotion (or cell) divided by the smallest one, as recorded and as seen."""
        named = self.training().drop(index=[UNKNOWN, "other"], errors="ignore")
        return disparity(named.recorded), disparity(named.seen)

    @property
    def is_unbalanced(self) -> bool:
        """Whether the run could not balance its emotions (or cells)."""
        return bool(self.before) and self.disparity()[1] > BALANCED

    def shortfalls(self) -> dict[str, float]:
        """Return the seconds that emotions (or cells) lack to have the target of recordings that could train."""
        if _trained(self.tables).empty:
            return {}
        recorded = self.training().recorded.drop(index=[UNKNOWN, "other"], errors="ignore")
        return dict((self.target - recorded)[recorded < self.target])


def _trained(tables: Tables) -> pd.DataFrame:
    """Recorded clips that train."""
    rows = tables.conversations
    return rows[rows["clip"] & (rows.split == "train") & rows.augmented_from.isna()]


def measured_clips(items: Items) -> Iterator[Row]:
    """Yield the id, the `duration` and the measures (`core.sound.quality`) of all measured clips, kept or not."""
    if items.folder is None:
        return
    shards = CurrentRows(clip_shards(items.folder / MEASURED))
    for path in shards.files:
        with open_parquet(path, "run `dailytalk corpus` again") as opened:
            for row in opened.rows(["conversation_id", "duration", *QUALITY_MEASURES]):
                if shards.counts(path, row.get("conversation_id")):
                    yield row


def corpus_figures(items: Items, refused: list[Row] | None = None) -> CorpusFigures:
    """Return the figures of clips; rows that can't be used are added to `refused`."""
    run = items.run
    if items.folder and items.kind != "version":
        run = record_of(items.folder)
    names = settings_of(QualityLimits())
    settings = run.settings.items()
    chosen = {name: value for name, value in settings if name in names and (value is None or is_number(value))}
    (limits,) = with_settings((QualityLimits(),), chosen)
    quality = Quality.of_rows(measured_clips(items), limits)
    tables = tables_of(items, refused)
    credits = run.credits
    if items.kind == "version":
        rows = tables.conversations[["corpus", "licence"]]
        named = rows.astype(object).dropna().drop_duplicates()
        credits = tuple(Credit(corpus, licence) for corpus, licence in named.itertuples(index=False))
    return CorpusFigures(tables, run, quality, "file" if items.kind == "mix" else "clip", credits)


def heard_as_meant(tables: Tables, answer: str) -> tuple[int, int]:
    """Count the clips whose answer is the emotion that was meant, and those with both (`unsure` is no answer)."""
    numbers = figures.crossed(tables, "emotion", answer).drop(index=UNKNOWN, errors="ignore")
    numbers = numbers.drop(columns=[UNKNOWN, UNSURE], errors="ignore")
    alike = numbers.index.intersection(numbers.columns)
    agreed = sum(int(numbers.at[name, name]) for name in alike)
    return agreed, int(numbers.to_numpy().sum())


def unheard_emotion(data: JudgedData) -> Iterator[Finding]:
    """Clips in which raters did not hear the emotion that was meant."""
    if data.unit != "clip":
        return
    agreed, rated = heard_as_meant(data.tables, "perceived")
    least = data.limits["unheard-emotion"] or 0.0  # of CREMA-D 41 % by sound alone (Cao et al. 2014)
    if not agreed < least * rated:
        return
    problem = f"raters heard the emotion that was meant in {percent(agreed, rated)} of {counted(rated, 'clip')}"
    remedy = "keep those that were heard (corpus --agreed-only)"
    yield advice("unheard-emotion", ".", problem, remedy)


def few_minutes_of_emotion(data: JudgedData) -> Iterator[Finding]:
    """Emotions (or cells) that have too little to train on."""
    if data.unit != "clip":
        return
    clips = CorpusFigures(data.tables, data.run)
    shortfalls = clips.shortfalls()
    if not shortfalls:
        return
    thinnest = max(shortfalls, key=shortfalls.__getitem__)
    problem = (
        f"the corpus has {counted(len(shortfalls), clips.noun)} with under {length_text(clips.target)} to "
        f"train on, down to {length_text(clips.target - shortfalls[thinnest])} of {thinnest}"
    )
    remedy = "add another corpus, or record what it lacks"
    yield advice("few-minutes-of-emotion", ".", problem, remedy, "note")
