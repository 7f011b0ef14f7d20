"""What reports and cards show: the figures of `core.records.figures` as tables, plots and sentences.

A template places them, as cards of a page or in Markdown, and computes nothing.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Protocol

import pandas as pd
from markupsafe import Markup

from dailytalk_contiguous.core import licensing
from dailytalk_contiguous.core.records import figures, scorecard
from dailytalk_contiguous.core.records.scorecard import Comparison, measure_text
from dailytalk_contiguous.core.records.tables import TAKE, UNKNOWN, Tables
from dailytalk_contiguous.core.records.utterance import EVENTS, GIVEN, PROPORTIONAL
from dailytalk_contiguous.core.turns.turn_taking import TURN_MEASURES
from dailytalk_contiguous.core.wording import counted, length_text, model_name, money, percent, public
from dailytalk_contiguous.models.licences import licence_of
from dailytalk_contiguous.publish.checks.clip_figures import MEASURES, CorpusFigures, Quality
from dailytalk_contiguous.publish.tables.plots import Plot, affect_map, histogram
from dailytalk_contiguous.publish.tables.tabular import Bar, Fact, Link, Strong, Table, TableCell

#: A card of a page, or a part of a text in Markdown.
Shown = Table | Plot

#: The parts that models have, in words.
ROLES = {
    "speech_activity": "speech activity",
    "recogniser": "words",
    "synthesiser": "new voice",
    "verifier": "check of the new voice",
}

#: What became of utterances, in words.
STATUSES = {
    "spoken": "resynthesised",
    "kept": "kept as recorded",
    "kept-original": "kept, though it was to be resynthesised",
    "dropped": "left out (no text)",
}

A_GUESS = "Classes of emotion are a guess from sound, not a diagnosis: nobody was asked how they felt."

#: Columns of `figures.sums` that are seconds.
_DURATIONS = {"seconds", "left", "right", "seen", "copied"}

#: Seconds above which lengths of conversations are shown in minutes.
_LONG = 300.0

#: Languages, and voices, that are named.
_MOST_LANGUAGES = 4
_MOST_VOICES = 3

#: What stands for a value that is not known.
_NONE = "–"


class Other(Protocol):
    """A dataset beside which another is shown. `unusable` rows of it are not in the tables."""

    @property
    def name(self) -> str: ...

    @property
    def tables(self) -> Tables: ...

    @property
    def unusable(self) -> int: ...


@dataclass(frozen=True)
class Displays:
    """What is shown of a dataset.

    Attributes:
        tables: of the dataset.
        run: its run.json; {} without one.
        defaults: of `cli.defaults.default_settings`.
        clips: the figures of a dataset of clips.
        comparisons: of its turn-taking with other corpora.
        name: what it is called beside `other`.
        other: the dataset beside which it is shown.
        origins: the sources and models whose licences a card lists.
    """

    tables: Tables
    run: Mapping[str, Any]
    defaults: Mapping[str, object]
    clips: CorpusFigures | None = None
    comparisons: Sequence[Comparison] = ()
    name: str = ""
    other: Other | None = None
    origins: Sequence[licensing.Origin] = ()

    def by_label(self, label: str, title: str, columns: Mapping[str, str], nothing: str = "") -> Table:
        """How much there is of each value of a label.

        Args:
            columns: of `figures.sums`, with their titles; the first is drawn as bars.
            nothing: why no value is known.
        """
        first, *others = columns
        values = figures.ranked(self.tables, label, first)
        largest = values[first].max() or 1
        rows: list[list[TableCell]] = []
        for name, amounts in values.iterrows():
            bar = Bar(_amount(first, amounts[first]), amounts[first] / largest)
            rows.append([str(name), bar, *(_amount(column, amounts[column]) for column in others)])
        is_known = any(name != UNKNOWN for name in values.index)
        head = [label.replace("_", " "), *columns.values()]
        return Table(title, head, rows if is_known else [], nothing=nothing)

    def crossed(self, unit: str, labels: tuple[str, str], title: str, note: str = "") -> list[Shown]:
        """Numbers of the values of two labels, in rows and columns; nothing unless two are known of each."""
        counts = figures.crossed(self.tables, *labels)
        if min(_n_known(counts.index), _n_known(counts.columns)) < 2:
            return []
        rows: list[list[TableCell]] = []
        for name, numbers in counts.iterrows():
            total = numbers.sum() or 1
            rows.append([str(name), *(Bar(f"{int(number):,}", number / total) for number in numbers)])
        whole = counted(int(counts.sum().sum()), unit)
        return [Table(f"{title} ({whole})", ["", *counts.columns.tolist()], rows, note)]

    # What stands first.

    @cached_property
    def facts(self) -> list[Fact]:
        """The figures of conversations that stand first."""
        tables = self.tables
        whole = self.whole
        n_utterances = len(tables.utterances)
        languages = [str(name) for name in figures.ranked(tables, "language").index]
        named_languages = ", ".join(languages[:_MOST_LANGUAGES])
        if len(languages) > _MOST_LANGUAGES:
            named_languages += f" and {len(languages) - _MOST_LANGUAGES} more"
        recorded = f"recorded: {length_text(tables.source.seconds)}" if tables.is_rebuilt else ""
        spoken = figures.heard(tables)["seconds"]
        facts = [
            Fact("conversations", f"{tables.n:,}", named_languages),
            Fact("audio", length_text(whole["seconds"]), recorded),
            Fact("speech", length_text(spoken), "both speakers added up"),
            Fact("utterances", f"{n_utterances:,}"),
            Fact("words with times", f"{int(whole['words']):,}"),
        ]
        if self.n_corrected:
            facts.append(Fact("corrected utterances", f"{self.n_corrected:,}"))
        if tables.is_revoiced:
            n_spoken = self.statuses["spoken"]
            share = f"{percent(n_spoken, n_utterances)} of the utterances"
            facts.append(Fact("resynthesised", f"{n_spoken:,}", share))
            facts += self._pace_and_money()
        return [*facts, self._rejects("recordings, conversations, or parts of those that are used")]

    def _pace_and_money(self) -> Iterator[Fact]:
        ratios = figures.length_ratios(self.tables)
        if len(ratios):
            ratio = ratios.median()
            yield Fact("new voice", f"×{1 / ratio:.2f} as fast", f"median length {ratio:.2f} of the recorded")
        cost = figures.cost(self.tables)
        spending = (self.run.get("speak") or {}).get("money") or {}
        saved = spending.get("saved_by_cache")
        saved = saved if isinstance(saved, int | float) else 0
        if cost or saved:
            yield Fact("spent on speech", money(cost), f"{money(saved)} saved by the cache" if saved else "")

    def _rejects(self, remark: str) -> Fact:
        is_known = bool(self.tables.rejects) or self.tables.knows_rejects
        return Fact("rejected", f"{self.tables.rejects.total():,}" if is_known else _NONE, remark)

    @cached_property
    def clip_facts(self) -> list[Fact]:
        """The figures of clips that stand first; of those that are only measured, how many would be kept."""
        assert self.clips
        whole = self.whole
        measured = self._measured_clips()
        quality = self.clips.quality
        if quality and measured and not whole["conversations"]:
            n_kept = len(quality.clips) - len(quality.refused)
            return [*measured, Fact("would be kept", f"{n_kept:,}", "no clip is finished yet")]
        held_out = figures.sums(self.tables, "split")["seconds"].get("validation", 0.0)
        share = f"{percent(held_out, whole['seconds'])} of recordings"
        n_speakers = self.tables.conversations["speaker"].nunique()
        recorded = f"{length_text(whole['seconds'])} recorded"
        return [
            Fact(f"{self.clips.unit}s", f"{int(whole['conversations']):,}", recorded),
            Fact("copies", f"{int(whole['copies']):,}", "augmented, in training only"),
            Fact("seen in training", length_text(whole["seen"]), "with repetitions and copies"),
            Fact("validation", length_text(held_out), share),
            Fact("speakers", f"{n_speakers:,}"),
            *measured,
            self._rejects("files and clips"),
        ]

    def _measured_clips(self) -> list[Fact]:
        quality = self.clips.quality if self.clips else None
        if not quality or not len(quality.clips):
            return []
        n_clips = len(quality.clips)
        n_refused = len(quality.refused)
        remark = f"{n_refused:,} beyond a limit of quality ({percent(n_refused, n_clips)})"
        return [Fact("measured", f"{n_clips:,}", remark)]

    @cached_property
    def quality_plots(self) -> list[Plot]:
        """The distributions of the quality of clips as they came; none where it was not measured."""
        quality = self.clips.quality if self.clips else None
        return [figure.plot for figure in limited_measures(quality)] if quality and len(quality.clips) else []

    @cached_property
    def how_made(self) -> list[tuple[str, str]]:
        """What made it, by name; without what is not known."""
        halves: list[Mapping[str, Any]] = [self.run, self.run.get("speak") or {}]
        made = self._models_with_terms()
        voices = figures.named_in_provenance(self.tables, "voice")
        listed = voices[:_MOST_VOICES]
        if len(voices) > _MOST_VOICES:
            listed = [*listed, f"{len(voices) - _MOST_VOICES} more"]
        tools = figures.named_in_provenance(self.tables, "tool")
        if not tools and self.run.get("version"):
            tools = [f"dailytalk-contiguous {self.run['version']}"]
        dates = dict.fromkeys(half["date"] for half in halves if half.get("date"))
        commands = dict.fromkeys(half["command"] for half in halves if half.get("command"))
        facts = {
            "words": self._source_of_words(made.get("recogniser", "")),
            "affect": made.get("affect", ""),
            "new voice": made.get("synthesiser", ""),
            "voice": ", ".join(listed),
            "profile": (self.run.get("settings") or {}).get("profile") or "",
            "made with": ", ".join(tools),
            "licence of the recordings": ", ".join(figures.licences(self.tables, self.run)) or UNKNOWN,
            "date": ", ".join(map(str, dates)),
            "command": ", ".join(public(command) for command in commands),
        }
        return [(name, value) for name, value in facts.items() if value]

    def _models_with_terms(self) -> dict[str, str]:
        """The models that made it, each with its licence and what to mind, by role."""
        models: dict[str, licensing.Origin] = {}
        for half in (self.run, self.run.get("speak") or {}):
            for model in figures.models_of_run(half):
                models[model.role] = model
        # Models of the rows replace those of run.json, which a version has not.
        models |= {model.role: model for model in sorted(figures.models(self.tables))}
        texts = {}
        for role, model in models.items():
            terms = "; ".join(filter(None, (model.licence, note_of(model))))
            name = model_name(model.name)
            texts[role] = f"{name} ({terms})" if terms else name
        return texts

    def _source_of_words(self, recogniser: str) -> str:
        """Who wrote the words: people, the recogniser, or both."""
        used = figures.counts(self.tables.utterances["recogniser"])
        n_given = used[GIVEN]
        if not n_given:
            return recogniser
        if not recogniser or n_given == used.total():
            return "given transcripts"
        total = counted(used.total(), "utterance")
        return f"given transcripts ({n_given:,} of {total}), else {recogniser}"

    # What conversations are.

    @cached_property
    def durations(self) -> Plot:
        seconds = self.tables.conversations["duration"].dropna()
        is_long = len(seconds) > 0 and seconds.max() > _LONG
        return histogram(
            title=f"Length of {counted(self.tables.n, 'conversation')}",
            series=[("after", "", seconds / (60 if is_long else 1))],
            axis="length (min)" if is_long else "length (s)",
            of="conversations",
            nothing="no conversations",
            name="lengths",
        )

    @cached_property
    def voices(self) -> list[Shown]:
        columns = {"seconds": "speech", "utterances": "utterances", "conversations": "conversations"}
        nothing = "none that is known can be heard"
        shown: list[Shown] = [self.by_label("person", "Recorded speakers", columns, nothing)]
        if self.tables.is_revoiced:
            shown.append(self.by_label("synthetic_voice", "Synthesised voices", columns, nothing))
        return shown

    @cached_property
    def published_columns(self) -> list[Shown]:
        rows = []
        for column, values in figures.column_values(self.tables):
            if values is None:
                text = UNKNOWN
            elif isinstance(values, pd.Series):
                mean = values["mean"]
                text = f"mean {mean:.4g}, from {values['min']:.4g} to {values['max']:.4g} {column.unit}".strip()
            else:
                listed = [*values.items()][:25]
                text = ", ".join(f"{value} ({number:,})" for value, number in listed)
            rows.append((column.name, column.about, text))
        return [Table("Columns that stages publish", ("column", "what", "values"), rows)] if rows else []

    # How people take turns. The rebuild keeps the offsets, so that both before and after would be one curve twice.

    @cached_property
    def offsets(self) -> Plot:
        series = []
        n_changes = 0
        for side in ("left", "right"):
            values = self.tables.turn_taking.offsets(side)
            n_changes += len(values)
            if len(values):
                series.append((side, f"{side} takes the floor ({len(values):,})", values))
        return histogram(
            title=f"Who waits for whom ({counted(n_changes, 'change')} of speaker)",
            series=series,
            axis="floor-transfer offset (s; below 0: overlap)",
            of="changes",
            nothing="the speaker never changes",
            name="offsets",
        )

    @cached_property
    def turns(self) -> Table:
        timelines = figures.timelines(self.tables)
        rows: list[list[TableCell]] = []
        if self.has_turns:
            for event in EVENTS:
                rows.append([f"{event}s", *(taken.events[event] for taken in timelines.values())])
            rows.append(["length", *(length_text(taken.seconds) for taken in timelines.values())])
        note = self._kept_by_rebuild() if self.tables.is_rebuilt else ""
        return Table("Turn-taking in figures", ["measure", *timelines], rows, note, "no utterance has times")

    def _kept_by_rebuild(self) -> Markup:
        conversations = self.tables.conversations
        kept = counted(int(conversations["timeline_backchannels_kept"].sum()), "backchannel")
        in_source = int(conversations["timeline_backchannels"].sum())
        lost = sum(figures.lost_in_rebuild(self.tables).values())
        note = Markup(
            f"{kept} of {in_source:,} in the source are inside the same turn as before. "
            f"Lost: {lost:,.2f} s of the recorded speaker's speech and sounds."
        )
        overlap = figures.timeline_means(self.tables).get("overlap_kept")
        if overlap:
            note += Markup(f" Of the overlap that the new lengths allow, {percent(overlap, 1)} is kept.")
        return note

    @cached_property
    def turn_ends(self) -> list[Shown]:
        """How finished the ends of turns sound to a judge; nothing where nobody judged them."""
        rows: list[list[TableCell]] = []
        for (side, timeline), ends in figures.ends_of_turns(self.tables).items():
            at_shifts = _NONE if ends.at_shifts is None else f"{ends.at_shifts:.2f}"
            at_holds = _with_interval(ends.at_holds, ends.at_holds_interval)
            auc = _with_interval(ends.auc, ends.auc_interval)
            rows.append([side, timeline, ends.n_shifts, at_shifts, ends.n_holds, at_holds, auc])
        if not rows:
            return []
        head = (
            "side",
            "timeline",
            "ends of turns",
            "sound finished",
            "pauses",
            "sound finished",
            "end above pause",
        )
        note = Markup(
            "Smart Turn v3.2 hears the last 8 s of one side, to 0.2 s of silence, and says from 0 to 1 how "
            "finished it sounds: before the other's turn it should, before a pause of the same speaker it "
            "should not. The last column: of all pairs of an end and a pause, those in which the end sounds "
            "more finished. In brackets 90 % intervals."
        )
        return [Table("Do ends sound like ends, and pauses like pauses?", head, rows, note)]

    @cached_property
    def measures_of_sides(self) -> Table:
        timelines = figures.timelines(self.tables)
        rows: list[list[TableCell]] = []
        for name, sides in self.tables.turn_taking.stats().items():
            for side, stats in sides.items():
                if not stats["conversations"]:
                    continue
                beside = [
                    f"{comparison.text()} {comparison.reference.name}"
                    for comparison in self.comparisons
                    if comparison.band.measure == name and comparison.side == side
                ]
                pooled = [measure_text(name, taken.pooled(name, side)) for taken in timelines.values()]
                middle = measure_text(name, stats["p5"], stats["p95"])
                cells: list[TableCell] = [TURN_MEASURES[name].title, side, *pooled, middle]
                if self.comparisons:
                    cells.append("; ".join(beside))
                rows.append(cells)
        head = ["measure", "side", *timelines, "90 % of conversations"]
        if self.comparisons:
            head.append("beside others")
        return Table("What it teaches, in figures", head, rows, folded=True)

    @cached_property
    def references(self) -> Table:
        rows = []
        sources = []
        for reference in scorecard.published_references().values():
            sources.append(f"{reference.name}: {reference.source}")
            for band in reference.bands:
                title = TURN_MEASURES[band.measure].title
                rows.append((reference.name, title, band.text(), f"{band.definition}. {band.comparable}"))
        head = ("corpus", "measure", "value", "what it is")
        return Table("What is published of others", head, rows, f"{'; '.join(sources)}.", folded=True)

    # How they speak.

    @cached_property
    def tags(self) -> Table:
        number = counted(int(figures.heard(self.tables)["utterances"]), "utterance")
        columns = {"seconds": "speech", "left": "left", "right": "right", "utterances": "utterances"}
        return self.by_label("tag", f"Speech by style tag ({number})", columns, "no tags")

    @cached_property
    def tag_measures(self) -> Table:
        """Loudness, pitch and rate by tag, of source and synthesis: does the voice do what its tag says?"""
        kinds = {"": "source"}
        if self.tables.is_revoiced:
            kinds[TAKE] = "synthesis"
        head = ["tag", *(f"utterances, {kind}" for kind in kinds.values())]
        for name in figures.OF_TAGS:
            head += [f"{name}, {kind}" for kind in kinds.values()]
        rows: list[list[TableCell]] = []
        for tag, values in figures.tag_measures(self.tables).iterrows():
            cells: list[TableCell] = [str(tag)]
            cells += [str(int(values[f"{prefix}utterances"])) for prefix in kinds]
            for name in figures.OF_TAGS:
                cells += [_beside_usual(name, values[f"{prefix}{name}"]) for prefix in kinds]
            rows.append(cells)
        note = (
            "Means relative to the speaker of the conversation: louder, higher, faster than usual is above 0 (×1)."
        )
        if self.tables.is_revoiced:
            note += f" Does the voice do what the source did with the same tag? {self._follows_source()}"
        return Table("What tags sound like", head, rows, Markup(note), "nothing was measured")

    def _follows_source(self) -> str:
        follows = []
        for name in figures.OF_TAGS:
            correlation = figures.follows_source(self.tables, name)
            if correlation is not None:
                follows.append(f"{name} r = {correlation:.2f}".replace("-", "−"))
        if not follows:
            return "Too few to say."
        return f"Over the tags: {', '.join(follows)} (1: it does, 0: it does not)."

    @cached_property
    def measures(self) -> Table:
        moments = figures.moments(self.tables)
        rows: list[list[TableCell]] = []
        for name, (title, unit, digits) in figures.MEASURES.items():
            values = moments.loc[name]
            if values["count"]:
                texts = [f"{values[moment]:.{digits}f}" for moment in ("mean", "std", "min", "max")]
                rows.append([title, unit, *texts, int(values["count"])])
        head = ("measure", "unit", "mean", "deviation", "least", "most", "utterances")
        note = "All except the length describe the source performance."
        return Table("Measures of utterances", head, rows, note, "nothing was measured")

    @cached_property
    def affect(self) -> Plot:
        title = "Affect of the source performance"
        unit = "utterance"
        if self.clips:
            title = "Valence and arousal by emotion"
            unit = self.clips.unit
        points = figures.affect(self.tables)
        return affect_map(
            title=f"{title} ({counted(len(points), unit)})",
            points=points,
            axis="valence (0 to 1)",
            up="arousal (0 to 1)",
            note="Points are the means of each label.",
            nothing="no measures of affect",
            name="affect",
        )

    @cached_property
    def emotion_classes(self) -> list[Shown]:
        """What a classifier hears, alone and beside tags or labels; nothing without one."""
        if not figures.emotion_models(self.tables):
            return []
        unit = self.clips.unit if self.clips else "utterance"
        number = counted(int(figures.sums(self.tables, "emotion_class")["utterances"].sum()), unit)
        columns = {"utterances": f"{unit}s", "seconds": "speech"}
        shown: list[Shown] = [self.by_label("emotion_class", f"Emotion heard ({number})", columns)]
        if not self.clips:
            return shown + self.crossed(unit, ("tag", "emotion_class"), "Emotion heard by tag")
        n_agreed, n_known = figures.heard_as_meant(self.tables, "emotion", "emotion_class")
        note = (
            "Rows: the label; columns: what the classifier heard. Of the classes that it said, "
            f"{n_agreed:,} of {n_known:,} ({percent(n_agreed, n_known)}) are the label."
        )
        return shown + self.crossed(unit, ("emotion", "emotion_class"), "Emotion by label and heard", note)

    #: What any figure of emotion is.
    a_guess: ClassVar[str] = A_GUESS

    @cached_property
    def classified(self) -> str:
        """Who classified emotions; empty where nobody did."""
        models = figures.emotion_models(self.tables)
        return f"{A_GUESS} Classified by {', '.join(map(model_name, models))}." if models else ""

    # What became of it.

    @cached_property
    def synthesis(self) -> Table:
        utterances = self.tables.utterances
        rows: list[Sequence[TableCell]] = [
            (STATUSES.get(name, name), number) for name, number in self.statuses.most_common()
        ]
        for reason, number in figures.reasons(self.tables).most_common(15):
            rows.append((f"why not: {reason}", number))
        n_retried = int((utterances["tries"] > 1).sum())
        rows.append(("needed more than one try", f"{n_retried:,} ({percent(n_retried, self.statuses['spoken'])})"))
        if utterances["word_error_rate"].notna().any():
            share = utterances["word_error_rate"].median()
            rows.append(("word error rate of the synthesis, median", f"{100 * share:.0f} %"))
        ratios = figures.length_ratios(self.tables)
        if len(ratios):
            rows.append(("new over recorded length", _spread(ratios)))
        amounts = self._amounts_of_money()
        is_paid = any(amounts.values())
        if is_paid:
            rows += [(title, money(amount)) for title, amount in amounts.items()]
        return Table("Utterances and money" if is_paid else "Utterances", ("", ""), rows)

    def _amounts_of_money(self) -> dict[str, float]:
        """USD that were spent and saved, as far as that is known."""
        cost = figures.cost(self.tables)
        seconds = self.whole["seconds"]
        spending = (self.run.get("speak") or {}).get("money") or {}
        amounts = {
            "paid for what is in here": cost,
            "an hour of finished audio": 3600 * cost / seconds if seconds else None,
            "spent by the last run": spending.get("spent"),
            "saved by the cache in the last run": spending.get("saved_by_cache"),
        }
        return {title: amount for title, amount in amounts.items() if isinstance(amount, int | float)}

    @cached_property
    def delivery(self) -> list[Shown]:
        """How far takes are from their sources: all, and by tag; nothing where that is not known."""
        takes = self.tables.utterances.dropna(subset="delivery_distance")
        if not len(takes):
            return []
        distances = takes["delivery_distance"]
        note = (
            f"{_spread(distances).capitalize()}. Melody and loudness are compared with the speaker's usual, and "
            "time is warped: neither voice nor pace counts."
        )
        cosines = takes["delivery_cosine"].dropna()
        if len(cosines):
            note += f" To an encoder of prosodic tokens: cosine {cosines.median():.2f}, median."
        plot = histogram(
            title=f"Delivery: distance from the source ({counted(len(takes), 'utterance')})",
            series=[("after", "", distances)],
            axis="distance (0: alike, 2: nothing alike)",
            of="utterances",
            note=Markup(note),
            name="delivery",
        )
        by_tag = figures.delivery_by_tag(self.tables)
        rows = [(tag, f"{mean:.2f}", number) for tag, mean, number in by_tag.itertuples()]
        title = "Delivery by tag, the furthest from the source first"
        head = ("tag", "distance", "utterances")
        return [plot, Table(title, head, rows, folded=len(rows) > 15)]

    @cached_property
    def word_times(self) -> Table:
        rows = figures.word_sources(self.tables).most_common()
        return Table("How word times are known", ("", "words"), rows, nothing="no words")

    @cached_property
    def confidence(self) -> list[Shown]:
        confidences = self.tables.utterances["confidence"].dropna()
        if not len(confidences):
            return []
        number = f"{len(confidences):,} of {counted(len(self.tables.utterances), 'utterance')}"
        plot = histogram(
            title=f"Confidence of the recogniser ({number})",
            series=[("before", "", confidences)],
            axis="confidence (0 to 1)",
            span=(0, 1),
            of="utterances",
            name="confidence",
        )
        return [plot]

    @cached_property
    def made(self) -> list[Shown]:
        """The models, and the chosen settings that decide the content.

        Rows that were not rebuilt name no models; then they are those of run.json.
        """
        models = [
            (_role(model), Link(model_name(model.name), model.url), model.licence or UNKNOWN, number)
            for model, number in sorted(figures.known_models(self.tables, self.run).items())
        ]
        chosen = figures.chosen_settings(self.tables, self.run, self.defaults)
        settings = [(name.replace("_", " "), " or ".join(values)) for name, values in chosen.items()]
        head = ("part", "model", "licence", "conversations")
        note = "All others are the defaults."
        return [
            Table("Models", head, models, nothing="no model is known"),
            Table("Settings", ("setting", "value"), settings, note, "all are the defaults"),
        ]

    @cached_property
    def notes(self) -> list[str]:
        """What to mind of the sources and models."""
        notes = ((origin, note_of(origin)) for origin in self.origins)
        return [f"{model_name(origin.name)}: {note}." for origin, note in notes if note]

    @cached_property
    def terms(self) -> Table:
        """Each source and model with its licence, and what that asks for."""
        rows: list[list[TableCell]] = []
        for origin in self.origins:
            link = Link(model_name(origin.name) or "(not named)", origin.url)
            licence = origin.licence or Strong("not known")
            rows.append([_role(origin), link, licence, asked_terms(origin.licence)])
        return Table("", ("part", "of", "licence", "asks for"), rows)

    @cached_property
    def tools(self) -> str:
        """What made it, with the versions of its packages; empty where that is not known."""
        names = figures.named_in_provenance(self.tables, "tool")
        if not names:
            return ""
        packages = ", ".join(f"{name} {number}" for name, number in (self.run.get("packages") or {}).items())
        made = " and ".join(names)
        return f"Made with {made} ({packages})." if packages else f"Made with {made}."

    @cached_property
    def rejected(self) -> Table:
        by_number = sorted(sorted(self.tables.rejects.items()), key=lambda item: item[1], reverse=True)
        rows = [(stage, kind, number) for (stage, kind), number in by_number]
        nothing = "what was rejected is not in a published version"
        if self.tables.knows_rejects:
            nothing = "nothing was rejected"
        return Table("Rejected, by kind", ("stage", "reason", "number"), rows, nothing=nothing)

    # Beside another dataset, of clips or of conversations.

    @cached_property
    def beside(self) -> list[Shown]:
        """Labels and measures of this dataset and of the other one; nothing without one."""
        if self.other is None:
            return []
        shown: list[Shown] = [*self._beside_labels(self.other), self._beside_measures(self.other)]
        for measure, title, axis in (
            ("seconds", "Length of utterances", "length (s)"),
            ("level", "Level of speech as recorded", "level (dBFS)"),
        ):
            others = figures.measured_values(self.other.tables, measure)
            values = figures.measured_values(self.tables, measure)
            plot = histogram(
                title=title,
                series=[("before", self.other.name, others), ("after", self.name, values)],
                axis=axis,
                of="utterances",
                nothing="nothing was measured",
                name=f"beside-{measure}",
            )
            shown.append(plot)
        return shown

    @cached_property
    def unusable_beside(self) -> str:
        """How many rows of the other dataset are left out; empty for none."""
        if self.other is None or not self.other.unusable:
            return ""
        verb = "is" if self.other.unusable == 1 else "are"
        number = counted(self.other.unusable, "row")
        return f" {number} of {self.other.name} can't be used and {verb} left out."

    def _beside_labels(self, other: Other) -> Iterator[Table]:
        for label, title in figures.COMPARED.items():
            shares = figures.compared_label(self.tables, other.tables, label)
            rows: list[list[TableCell]] = []
            for value, amounts in shares.iterrows():
                share = _share_and_length(amounts["share"], amounts["seconds"])
                other_share = _share_and_length(amounts["other_share"], amounts["other_seconds"])
                rows.append([str(value), share, other_share])
            lacking = [
                f"not known of {name}"
                for column, name in (("share", self.name), ("other_share", other.name))
                if shares[column].isna().all()
            ]
            if rows:
                yield Table(title, [title.lower(), self.name, other.name], rows, "; ".join(lacking))

    def _beside_measures(self, other: Other) -> Table:
        rows = []
        for measure, values in figures.compared_measures(self.tables, other.tables).iterrows():
            title, unit, digits = figures.COMPARED_MEASURES[str(measure)]
            cells = [f"{title} ({unit})"]
            for prefix in ("", "other_"):
                number, mean, deviation = (values[f"{prefix}{name}"] for name in ("count", "mean", "std"))
                text = f"{mean:.{digits}f} ± {deviation:.{digits}f}".replace("-", "−") if number else _NONE
                cells.append(text)
            rows.append(cells)
        head = ("measure", self.name, other.name)
        note = "Level, signal to noise and bandwidth are those of the recordings as they came."
        return Table("Measures (mean ± deviation)", head, rows, note, "nothing was measured")

    # What a card says in sentences.

    @cached_property
    def whole(self) -> dict[str, float]:
        """All conversations or recorded clips (`figures.totals`)."""
        return figures.totals(self.tables)

    @property
    def n_clips(self) -> int:
        return int(self.whole["conversations"])

    @cached_property
    def made_of_others(self) -> str:
        """How many conversations were made of how many others; empty for none."""
        n_made, n_parents, _ = figures.made_of_others(self.tables.conversations)
        if not n_made:
            return ""
        return f"{counted(n_made, 'conversation')} of {self.tables.n:,} were made of {n_parents:,} others"

    @property
    def is_remarkable(self) -> bool:
        """Whether any measure of turn-taking is outside those of other corpora."""
        return any(comparison.is_remarkable for comparison in self.comparisons)

    @cached_property
    def remarkable(self) -> list[str]:
        """What is outside those of other corpora, in sentences, without the kept speaker's side."""
        return [
            comparison.sentence()
            for comparison in self.comparisons
            if comparison.is_remarkable and comparison.side != "right"
        ]

    @property
    def has_turns(self) -> bool:
        """Whether any utterance has times."""
        return any(taken.events for taken in figures.timelines(self.tables).values())

    @cached_property
    def statuses(self) -> Counter[str]:
        """Numbers of utterances by what became of them."""
        return figures.counts(self.tables.utterances["status"])

    @property
    def is_converted(self) -> bool:
        """Whether all new speech is the recorded sound in another voice."""
        return self.tables.n_converted == self.statuses["spoken"] > 0

    @cached_property
    def n_recorded(self) -> int:
        """Conversations in which both voices and all times are those of the recording."""
        return int(self.tables.conversations["recorded"].sum())

    @property
    def n_rebuilt(self) -> int:
        return self.tables.n - self.n_recorded

    @cached_property
    def n_untagged(self) -> int:
        """Utterances that were said without their tag."""
        return int((self.tables.utterances["tag_said"] == False).sum())  # noqa: E712 (null is neither)

    @property
    def n_corrected(self) -> int:
        return figures.corrections(self.tables)

    @cached_property
    def languages(self) -> list[str]:
        return sorted(figures.counts(self.tables.conversations["language"]))

    @cached_property
    def conversations_by_language(self) -> list[tuple[str, int]]:
        """Numbers of conversations by language; that of those whose language is not known is `UNKNOWN`."""
        numbers = figures.sums(self.tables, "language")["conversations"]
        return sorted((str(name), int(number)) for name, number in numbers.items())

    @cached_property
    def splits(self) -> list[str]:
        return [*figures.counts(self.tables.conversations["split"])]

    @property
    def first_split(self) -> str:
        return self.splits[0] if self.splits else "train"

    @cached_property
    def split_sizes(self) -> Table:
        """How much each split has and, of several, all together."""
        sizes = figures.sums(self.tables, "split")
        rows: list[list[TableCell]] = [_size(str(name), amounts) for name, amounts in sizes.iterrows()]
        if len(sizes) > 1:
            rows.append(_size("all", self.whole | {"conversations": self.tables.n}))
        return Table("Splits", ("split", "conversations", "utterances", "aligned words", "audio"), rows)

    @cached_property
    def n_speakers(self) -> int:
        """Recorded speakers whose names are known."""
        return len(figures.splits_of_speakers(self.tables))

    @cached_property
    def n_shared_speakers(self) -> int:
        """Those of them who are heard in several splits."""
        splits = figures.splits_of_speakers(self.tables).values()
        return sum(len(names) > 1 for names in splits)

    @cached_property
    def n_with_known_speakers(self) -> int:
        """Conversations, or clips, of which every recorded speaker is known by name."""
        listed = [list(names) for names in self.tables.conversations["kept_speakers"]]
        return sum(None not in names for names in listed)

    @cached_property
    def word_sources(self) -> list[tuple[str, str]]:
        """How the times of words are known, each with its share in per cent."""
        sources = figures.word_sources(self.tables)
        total = sources.total()
        return [(name, percent(number, total)) for name, number in sources.most_common()]

    @property
    def has_guessed_times(self) -> bool:
        return any(name == PROPORTIONAL for name, _ in self.word_sources)

    @cached_property
    def recognisers(self) -> list[str]:
        """The models that recognised words."""
        models = figures.origins(self.tables)
        names = [model.name for model in models if model.role == "recogniser" and model.name != GIVEN]
        return [model_name(name) for name in names]

    @cached_property
    def is_rated_by_voice_linear(self) -> bool:
        return any(model.name == "voice-linear" for model in figures.origins(self.tables))

    @cached_property
    def reasons(self) -> list[tuple[str, int]]:
        """Why utterances are not as they should be, the commonest reasons first."""
        return figures.reasons(self.tables).most_common(10)

    @cached_property
    def examples(self) -> dict[str, str]:
        """The first value of each label by which clips are chosen."""
        examples = {}
        for label in ("emotion", "style", "speaker"):
            values = [*figures.counts(self.tables.conversations[label])]
            examples[label] = values[0] if values else UNKNOWN
        return examples

    # What clips are.

    @cached_property
    def labels(self) -> list[Shown]:
        """How much there is of each value of each label of clips that has several."""
        assert self.clips
        unit = self.clips.unit
        number = counted(self.n_clips, unit)
        columns = {
            "seconds": "recorded",
            "conversations": f"{unit}s",
            "copies": "copies",
            "seen": "seen in training",
        }
        shown: list[Shown] = []
        for name in figures.DIMENSIONS:
            if len(figures.sums(self.tables, name)) > 1:
                title = f"{name.replace('_', ' ').capitalize()} ({number})"
                shown.append(self.by_label(name, title, columns))
        return shown

    @cached_property
    def same_labels(self) -> str:
        """The labels that all clips share, in a sentence; empty for none."""
        assert self.clips
        shared = []
        for name in figures.DIMENSIONS:
            values = figures.sums(self.tables, name)
            if len(values) == 1:
                shared.append(f"{name.replace('_', ' ')} {values.index[0]}")
        return f"All {self.clips.unit}s: {', '.join(shared)}." if shared else ""

    @cached_property
    def emotions(self) -> list[Shown]:
        """Emotions as raters perceived them, by speaker and by gender, where that is known."""
        assert self.clips
        unit = self.clips.unit
        n_agreed, n_known = figures.heard_as_meant(self.tables, "emotion", "perceived")
        note = (
            "Rows: what was meant; columns: what raters heard. They agree in "
            f"{n_agreed:,} of {n_known:,} ({percent(n_agreed, n_known)})."
        )
        agreement = self.tables.conversations["agreement"].dropna()
        if len(agreement):
            share = percent(agreement.mean(), 1)
            note += f" On average {share} of the raters of a clip chose what was heard most."
        return [
            *self.crossed(unit, ("emotion", "perceived"), "Emotion meant and heard", note),
            *self.crossed(unit, ("gender", "emotion"), "Emotion by gender"),
            *self.crossed(unit, ("speaker", "emotion"), "Emotion by speaker"),
        ]

    @cached_property
    def balance(self) -> Table:
        """The minutes of each emotion (or combination of labels) in training, and what it lacks of the target."""
        assert self.clips
        training = self.clips.training()
        goal = f"{self.clips.target / 60:g} minutes"
        longest = (training.to_numpy().max() if len(training) else 0) or 1
        shortfalls = self.clips.shortfalls()
        rows: list[list[TableCell]] = []
        for name, amounts in training.iterrows():
            bars = [Bar(f"{seconds / 60:.1f} min", seconds / longest) for seconds in amounts]
            lacking = f"{shortfalls[str(name)] / 60:.1f} min" if name in shortfalls else _NONE
            rows.append([str(name), *bars, lacking])
        before, after = self.clips.disparity()
        note = f"Largest to smallest {self.clips.noun}: {before:.1f} as recorded, {after:.1f} as seen"
        if self.clips.is_unbalanced:
            note += ": not balanced, though clips are repeated as often as is allowed"
        note += f". What lacks recordings to have {goal} needs another corpus, or recordings of your own."
        cell = ", ".join(self.clips.cells_by)
        head = (cell, "recorded", "seen: with repetitions and copies", f"lacks to {goal}")
        return Table("Minutes of training", head, rows, Markup(note), "no finished clips")

    @cached_property
    def limits(self) -> Table:
        """The limits of quality of clips, and how many are beyond each."""
        assert self.clips
        assert self.clips.quality
        rows = [
            (
                figure.title,
                ", ".join(figure.limits) or "none",
                figure.beyond,
                percent(figure.beyond, figure.known),
                figure.unknown,
            )
            for figure in limited_measures(self.clips.quality)
        ]
        return Table("Limits", ("measure", "limit", "beyond it", "share", "unknown"), rows)

    @cached_property
    def licences(self) -> Table:
        assert self.clips
        rows: list[list[TableCell]] = []
        for name, amounts in figures.ranked(self.tables, "licence").sort_index().iterrows():
            asked = asked_terms(None if name == UNKNOWN else str(name))
            rows.append([str(name), int(amounts["conversations"]), length_text(amounts["seconds"]), asked])
        head = ("licence", f"{self.clips.unit}s", "recorded", "asks for")
        return Table("Licences", head, rows, nothing="no finished clips")

    @cached_property
    def sources(self) -> Table:
        assert self.clips
        rows = [
            (Link(credit.name, credit.homepage), credit.licence or UNKNOWN, credit.citation or UNKNOWN)
            for credit in self.clips.credits
        ]
        return Table("Sources", ("source", "licence", "citation"), rows, nothing="the folder names none")


def note_of(origin: licensing.Origin) -> str:
    """What to mind of a model: its own note, or what is known of one of its name under the same licence."""
    listed = licence_of(origin.name, origin.role)
    is_listed = origin.role != licensing.SOURCE and origin.licence == listed.licence != UNKNOWN
    return origin.note or (listed.note if is_listed else "")


def asked_terms(licence: str | None) -> str:
    """What a licence asks for, in words that readers must not miss where it is not known."""
    words = licensing.licence_in_words(licence)
    return words if licensing.asked(licence).known else Strong(words)


def _size(name: str, amounts: Mapping[str, float]) -> list[TableCell]:
    numbers = [int(amounts[column]) for column in ("conversations", "utterances", "words")]
    return [name, *numbers, length_text(amounts["seconds"])]


def _role(origin: licensing.Origin) -> str:
    return ROLES.get(origin.role, origin.role)


def _amount(column: str, amount: float) -> str:
    return length_text(amount) if column in _DURATIONS else f"{int(amount):,}"


def _n_known(names: Iterable[object]) -> int:
    return sum(name != UNKNOWN for name in names)


def _with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return _NONE
    return f"{value:.2f} ({interval[0]:.2f} to {interval[1]:.2f})"


def _beside_usual(name: str, mean: float) -> str:
    """A mean of a tag against its speaker's: in dB, semitones, or times the usual rate."""
    if pd.isna(mean):
        return _NONE
    text = {"loudness": f"{mean:+.1f} dB", "pitch": f"{mean:+.1f} st", "rate": f"×{2**mean:.2f}"}[name]
    return text.replace("-", "−")


def _spread(values: "pd.Series[float]") -> str:
    shares = values.astype("float").quantile([0.1, 0.5, 0.9])
    return f"median {shares[0.5]:.2f}, 80 % from {shares[0.1]:.2f} to {shares[0.9]:.2f}"


def _share_and_length(share: float, seconds: float) -> str | Bar:
    return _NONE if pd.isna(share) else Bar(f"{percent(share, 1)}, {length_text(seconds)}", share)


class Limited(NamedTuple):
    """A measure of clips beside its limits: its name, its plot, its limits in words, and numbers of clips."""

    title: str
    plot: Plot
    limits: list[str]
    beyond: int
    known: int
    unknown: int


def limited_measures(quality: Quality) -> Iterator[Limited]:
    """Yield each measure of clips beside its limits."""
    for name, measure in MEASURES.items():
        values = quality.clips[name].dropna().to_numpy(float)
        n_known = len(values)
        n_unknown = len(quality.clips) - n_known
        marks = []
        texts = []
        n_beyond = 0
        for option, is_least in ((measure.least, True), (measure.most, False)):
            limit = getattr(quality.limits, option) if option else None
            if limit is None:
                continue
            is_beyond = values < limit if is_least else values > limit
            number = int(is_beyond.sum())
            shown = limit * measure.factor
            side = "below" if is_least else "above"
            marks.append((f"limit {shown:g}: {number:,} of {n_known:,} are {side}", shown))
            bound = "least" if is_least else "most"
            texts.append(f"at {bound} {shown:g} {measure.unit}")
            n_beyond += number
        title = f"{measure.title.capitalize()} of {counted(n_known, 'clip')}"
        if n_unknown:
            title += f", {n_unknown:,} unknown"
        plot = histogram(
            title=title,
            series=[("before", "", values * measure.factor)],
            axis=f"{measure.title} ({measure.unit})",
            of="clips",
            span=measure.span,
            limits=marks,
            nothing="no values",
            name=name,
        )
        yield Limited(measure.title, plot, texts, n_beyond, n_known, n_unknown)
