"""A corpus of clips, or a mix, as reports and cards show it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

from markupsafe import Markup

from dailytalk_contiguous.apps.clip_samples import left_channels, stratified_sample
from dailytalk_contiguous.apps.clips.clip_figures import (
    MEASURES,
    CorpusFigures,
    Quality,
    corpus_figures,
    heard_as_meant,
)
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records import figures
from dailytalk_contiguous.core.records.finding import Finding, FindingLimits
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.records.tables import UNKNOWN
from dailytalk_contiguous.core.wording import counted, length_text, percent
from dailytalk_contiguous.publish.checking import findings_for_report
from dailytalk_contiguous.publish.checks.verdict import all_findings, verdict_of
from dailytalk_contiguous.publish.items import Items
from dailytalk_contiguous.publish.tables.displays import SHOWN, Displays, asked_terms
from dailytalk_contiguous.publish.tables.player import mp3_address
from dailytalk_contiguous.publish.tables.plots import Plot, SectionParts, histogram
from dailytalk_contiguous.publish.tables.sections import Cells, by_label, by_two_labels, emotion_heard
from dailytalk_contiguous.publish.tables.tabular import Bar, Fact, Link, Table
from dailytalk_contiguous.store.work_folder import DATA

#: Clips to listen to, and those of them that are in sight: a row of the page.
SAMPLES = 20
OPEN_SAMPLES = 3

#: Labels along which clips are counted.
DIMENSIONS = ("corpus", "emotion", "style", "tag", "speaker", "gender", "sentence_type", "length", "split")


@dataclass(frozen=True)
class ClipDisplays(Displays):
    """A corpus of clips, or a mix, as pages and cards show it.

    Attributes:
        clips: its figures; None: those of `run` and `tables`.
    """

    clips: CorpusFigures | None = None

    package = __package__
    report = "clips.html"
    card = "clips.md"
    tasks = ("text-to-speech", "audio-classification")
    tags: ClassVar[Sequence[str]] = ("speech", "expressive", "emotion", "style", "prosody", "word-alignment")

    @classmethod
    def shows(cls, items: Items) -> bool:
        return items.has_labels

    @classmethod
    def from_items(cls, items: Items, refused: list[Row], **options: Any) -> Self:
        clips = corpus_figures(items, refused)
        return cls(clips.tables, items.run, clips=clips, name=items.name, **options)

    @property
    def corpus(self) -> CorpusFigures:
        return self.clips or CorpusFigures(self.tables, self.run, credits=self.run.credits)

    @property
    def unit(self) -> str:  # type: ignore[override]
        """A clip, or a file of a mix."""
        return self.corpus.unit

    @property
    def row_unit(self) -> str:  # type: ignore[override]
        return self.unit

    @property
    def more_parts(self) -> SectionParts:
        return CLIP_PARTS

    @property
    def n_clips(self) -> int:
        return int(self.whole["conversations"])

    def contents(
        self, items: Items, shown: int | Sequence[str], limits: FindingLimits
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        if shown != SHOWN:
            raise DailytalkError("--conversations is for conversations, but these are clips", "leave it out")
        findings: list[Finding] = []
        if self.n_clips and items.folder and (items.kind == "mix" or (items.folder / DATA).is_dir()):
            findings = findings_for_report(items, self.tables, limits)
        elif self.n_clips:
            findings = all_findings(self.tables, items.run, limits, items.unit)
        verdict = verdict_of(findings, self.n_clips) if self.n_clips else None
        heard = left_channels(items, stratified_sample(self.tables.conversations, SAMPLES))
        samples = []
        for name, sound in heard.items():
            clip = from_finished(items.row(name))
            values = [clip.labels[label] for label in ("emotion", "style", "intensity", "speaker", "split")]
            about = " · ".join(str(value) for value in values if value)
            samples.append((name, about, clip.utterances[0].text, mp3_address(sound)))
        context = {"verdict": verdict, "samples": samples[:OPEN_SAMPLES], "more_samples": samples[OPEN_SAMPLES:]}
        return tuple(heard), context

    @property
    def clip_facts(self) -> Iterator[Fact]:
        """The figures of clips that stand first; of those that are only measured, how many would be kept."""
        whole = self.whole
        clips = self.corpus.quality.clips
        if self.n_clips or clips.empty:
            held_out = figures.sums(self.tables, "split")["seconds"].get("validation", 0.0)
            share = f"{percent(held_out, whole['seconds'])} of recordings"
            n_speakers = self.tables.conversations["speaker"].nunique()
            yield Fact(f"{self.unit}s", f"{self.n_clips:,}", f"{length_text(whole['seconds'])} recorded")
            yield Fact("copies", f"{int(whole['copies']):,}", "augmented, in training only")
            yield Fact("seen in training", length_text(whole["seen"]), "with repetitions and copies")
            yield Fact("validation", length_text(held_out), share)
            yield Fact("speakers", f"{n_speakers:,}")
        if len(clips):
            n_refused = int(clips.refused.sum())
            remark = f"{n_refused:,} beyond a limit of quality ({percent(n_refused, len(clips))})"
            yield Fact("measured", f"{len(clips):,}", remark)
            if not self.n_clips:
                yield Fact("would be kept", f"{len(clips) - n_refused:,}", "no clip is finished yet")
                return
        yield self.n_rejected("files and clips")

    @property
    def same_labels(self) -> str:
        """The labels that all clips share, in a sentence; empty for none."""
        shared = []
        for name in DIMENSIONS:
            values = figures.sums(self.tables, name).index
            if len(values) == 1:
                shared.append(f"{name.replace('_', ' ')} {values[0]}")
        return f"All {self.unit}s: {', '.join(shared)}." if shared else ""

    @property
    def examples(self) -> dict[str, str]:
        """The first value of each label by which clips are chosen."""
        examples = {}
        for label in ("emotion", "style", "speaker"):
            examples[label] = next(iter(figures.counts(self.tables.conversations[label])), UNKNOWN)
        return examples


def label_of_clips(show: ClipDisplays, label: str) -> Table:
    """The amounts of each value of a label of clips, if it has several."""
    if len(figures.sums(show.tables, label)) < 2:
        return Table("", (), ())
    columns = {"seconds": "recorded", "conversations": f"{show.unit}s", "copies": "copies"}
    columns["seen"] = "seen in training"
    return by_label(show, label, label.replace("_", " ").capitalize(), columns, number="conversations")


def emotion_by_label(show: ClipDisplays) -> Table:
    note = (
        "Rows: the label; columns: what the classifier heard. Of the classes that it said, "
        f"{_agreement(show, 'emotion_class')} are the label."
    )
    return by_two_labels(show, "emotion", "emotion_class", "Emotion by label and heard", note)


def emotion_meant(show: ClipDisplays) -> Table:
    """Emotions as raters perceived them, where that is known."""
    note = f"Rows: what was meant; columns: what raters heard. They agree in {_agreement(show, 'perceived')}."
    agreement = show.tables.conversations["agreement"].dropna()
    if len(agreement):
        share = percent(agreement.mean(), 1)
        note += f" On average {share} of the raters of a clip chose what was heard most."
    return by_two_labels(show, "emotion", "perceived", "Emotion meant and heard", note)


def _agreement(show: ClipDisplays, answer: str) -> str:
    n_agreed, n_known = heard_as_meant(show.tables, answer)
    return f"{n_agreed:,} of {n_known:,} ({percent(n_agreed, n_known)})"


def credited_sources(show: ClipDisplays) -> Table:
    rows: list[Cells] = []
    for credit in show.corpus.credits:
        link = Link(credit.name, credit.homepage)
        rows.append([link, credit.licence or UNKNOWN, credit.citation or UNKNOWN])
    return Table("Sources", ("source", "licence", "citation"), rows, nothing="the folder names none")


def balance(show: ClipDisplays) -> Table:
    """The minutes of each emotion (or combination of labels) in training, and what it lacks of the target."""
    clips = show.corpus
    goal = f"{clips.target / 60:g} minutes"
    training = clips.training()
    longest = (training.to_numpy().max() if len(training) else 0) or 1
    shortfalls = clips.shortfalls()
    rows: list[Cells] = []
    for name, amounts in training.iterrows():
        bars = [Bar(f"{seconds / 60:.1f} min", seconds / longest) for seconds in amounts]
        lacking = f"{shortfalls[str(name)] / 60:.1f} min" if name in shortfalls else None
        rows.append([str(name), *bars, lacking])
    before, after = clips.disparity()
    note = f"Largest to smallest {clips.noun}: {before:.1f} as recorded, {after:.1f} as seen"
    if clips.is_unbalanced:
        note += ": not balanced, though clips are repeated as often as is allowed"
    note += f". What lacks recordings to have {goal} needs another corpus, or recordings of your own."
    head = (", ".join(clips.cells_by), "recorded", "seen: with repetitions and copies", f"lacks to {goal}")
    return Table("Minutes of training", head, rows, Markup(note), "no finished clips")


def licences(show: ClipDisplays) -> Table:
    """The licences of clips, and what they ask for."""
    rows: list[Cells] = []
    for name, amounts in figures.ranked(show.tables, "licence").sort_index().iterrows():
        asked = asked_terms(None if name == UNKNOWN else str(name))
        rows.append([str(name), int(amounts["conversations"]), length_text(amounts["seconds"]), asked])
    head = ("licence", f"{show.unit}s", "recorded", "asks for")
    return Table("Licences", head, rows, nothing="no finished clips")


def _limits_of(quality: Quality, name: str) -> Iterator[tuple[str, float, int]]:
    """The limits of a measure of clips: `least` or `most`, its value as shown, and how many are beyond it."""
    measure = MEASURES[name]
    values = quality.clips[name].dropna().to_numpy(float)
    for bound, option in (("least", measure.least), ("most", measure.most)):
        limit = getattr(quality.limits, option) if option else None
        if limit is not None:
            is_beyond = values < limit if bound == "least" else values > limit
            yield bound, limit * measure.factor, int(is_beyond.sum())


def quality(show: ClipDisplays, name: str) -> Plot:
    """A measure of clips as they came, with its limits."""
    measure = MEASURES[name]
    clips = show.corpus.quality.clips
    values = clips[name].dropna().to_numpy(float)
    n_known = len(values)
    n_unknown = len(clips) - n_known
    title = f"{measure.title.capitalize()} of {counted(n_known, 'clip')}"
    if n_unknown:
        title += f", {n_unknown:,} unknown"
    sides = {"least": "below", "most": "above"}
    limits = []
    for bound, limit, n_beyond in _limits_of(show.corpus.quality, name):
        limits.append((f"limit {limit:g}: {n_beyond:,} of {n_known:,} are {sides[bound]}", limit))
    plot = Plot(title, name=name, nothing="no values")
    series = [("before", "", values * measure.factor)]
    return histogram(plot, series, f"{measure.title} ({measure.unit})", "clips", measure.span, limits)


def quality_limits(show: ClipDisplays) -> Table:
    """The limits of quality of clips, and how many are beyond each."""
    rows: list[Cells] = []
    clips = show.corpus.quality.clips
    for name, measure in MEASURES.items():
        bounds = [*_limits_of(show.corpus.quality, name)]
        texts = [f"at {bound} {limit:g} {measure.unit}" for bound, limit, _ in bounds]
        n_beyond = sum(number for *_, number in bounds)
        n_known = int(clips[name].count())
        shown_limits = ", ".join(texts) or "none"
        rows.append([measure.title, shown_limits, n_beyond, percent(n_beyond, n_known), len(clips) - n_known])
    return Table("Limits", ("measure", "limit", "beyond it", "share", "unknown"), rows)


#: The tables and plots of each section.
CLIP_PARTS: SectionParts = {
    "labels": [partial(label_of_clips, label=label) for label in DIMENSIONS],
    "perceived": [
        emotion_meant,
        partial(by_two_labels, rows="gender", columns="emotion", title="Emotion by gender"),
        partial(by_two_labels, rows="speaker", columns="emotion", title="Emotion by speaker"),
    ],
    "balance": [balance],
    "quality": [*(partial(quality, name=name) for name in MEASURES), quality_limits],
    "licences": [licences],
    "sources": [credited_sources],
    "emotion of clips": [emotion_heard, emotion_by_label],
}
