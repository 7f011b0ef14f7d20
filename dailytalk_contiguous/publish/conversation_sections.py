"""The sections of a report on conversations, and of a dataset's card."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dailytalk_contiguous.core import scorecard
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.figures import shares
from dailytalk_contiguous.core.licensing import Origin
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.scorecard import TurnTaking, nearest_rank
from dailytalk_contiguous.core.tally import BUCKETED, LENGTH_LIMIT, NEW_VOICE, UNKNOWN, Moments, Tally
from dailytalk_contiguous.core.turns import SIDES, TURN_MEASURES
from dailytalk_contiguous.core.utterance import EVENTS, columns_among
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.publish import render, sections
from dailytalk_contiguous.publish.corpus_sections import CorpusFigures, emotion_parts, listed_names
from dailytalk_contiguous.publish.plots import (
    Axis,
    Bar,
    BarPlot,
    HistogramPlot,
    MapPlot,
    MultiplesPlot,
    Reach,
    Series,
)


def conversation_sections(
    tally: Tally,
    run: Mapping[str, Any],
    defaults: Mapping[str, Any],
    examples: Sequence[Mapping[str, str]],
    against: Sequence[sections.Section] = (),
    players: Sequence[render.Html] = (),
    references: Sequence[scorecard.ReferenceCorpus] = (),
) -> Iterator[sections.Section]:
    """Yield the sections of a report on conversations.

    Args:
        run: its run.json. defaults: as in `made_parts`. examples: of rejects. against: sections of a comparison.
        players: of the lines whose delivery is furthest from the source.
        references: corpora to compare its measures with, beside the published ones.
    """
    style: list[sections.SectionPart] = [
        *(tags_plot(tally), affect_plot(tally), tag_affect_plot(tally)),
        *([measured] if (measured := tag_measures_table(tally)) else []),
        *(sections.measures_table(tally), tags_table(tally)),
    ]
    style += [table] if (table := buckets_table(tally)) else []
    known = tally.word_sources.most_common()
    words: list[sections.SectionPart] = [
        sections.Table("How word times are known", ("", "words"), known, nothing="no words")
    ]
    words += [plot] if (plot := confidence_plot(tally)) else []
    yield sections.Section("facts", "", [conversation_facts(tally, run)])
    contents = [*voice_parts(tally), durations_plot(tally), *published_tables(tally)]
    yield sections.Section("what", "What is in it", contents)
    yield sections.Section("turns", "Turn-taking", turn_parts(tally))
    if taught := scorecard_parts(tally, references):
        yield sections.Section("scorecard", "What it teaches, beside other corpora", taught)
    yield sections.Section("style", "Style", style)
    if classified := emotion_parts(CorpusFigures(tally, unit="utterance")):
        yield sections.Section("emotion", "Emotion, as a classifier hears it", classified)
    if tally.revoiced:
        synthesis = [lengths_plot(tally), synthesis_table(tally, run), *words, *delivery_parts(tally), *players]
        yield sections.Section("synthesis", "Synthesis", synthesis)
    elif tally.finished:
        yield sections.Section("words", "Words", words)
    yield sections.Section("made", "What made it", made_parts(tally, run, defaults))
    yield from against
    yield sections.rejected_section(tally, examples)


def edits_text(tally: Tally) -> str:
    """Return the corrections of people by field, and how many people made them: `text 12, tag 3, by 2 people`."""
    fields = ", ".join(f"{name} {n:,}" for name, n in tally.edited_fields.most_common())
    people = "1 person" if len(tally.editors) == 1 else f"{len(tally.editors):,} people"
    return ", ".join(filter(None, (fields, f"by {people}" if tally.editors else "")))


def conversation_facts(tally: Tally, run: Mapping[str, Any]) -> sections.KeyFigures:
    whole, saved, ratio = tally.total, _money_of(run).get("saved_by_cache"), tally.ratios.quantile(0.5)
    languages = [name for name, _ in sections.ranked(tally.by["language"])]
    more = f" and {len(languages) - 4} more" if len(languages) > 4 else ""
    channels = " · ".join(f"{n:,} {channel}" for channel, n in sorted(tally.channels.items()))
    rebuilt = {
        "recorded": f"recorded: {length_text(tally.before.seconds)}",
        "spoken": f"{render.percent(tally.statuses['spoken'], whole.utterances)} of the utterances",
        "saved": f"{render.money(saved)} saved by the cache" if is_number(saved) else "",
    }
    figures = [
        ("conversations", f"{whole.conversations:,}", ", ".join(languages[:4]) + more),
        ("audio", length_text(whole.seconds), rebuilt["recorded"] if tally.rebuilt else ""),
        ("speech", length_text(tally.heard.seconds), "both speakers added up"),
        ("utterances", f"{whole.utterances:,}", channels),
        ("words with times", f"{whole.words:,}", ""),
        *([("corrected utterances", f"{tally.edited:,}", edits_text(tally))] if tally.edited else []),
        ("resynthesised", f"{tally.statuses['spoken']:,}", rebuilt["spoken"]),
        *(
            [("new voice", f"×{1 / ratio:.2f} as fast", f"median length {ratio:.2f} of the recorded")]
            if ratio > 0
            else []
        ),
        *([("spent on speech", render.money(tally.cost), rebuilt["saved"])] if tally.cost or saved else []),
        ("rejected", sections._rejected_count(tally), "utterances, conversations or recordings"),
    ]
    return sections.KeyFigures(figures if tally.revoiced else [*figures[:5], figures[-1]])


#: Values of settings that are not shown.
_NO_VALUES: tuple[list[Any], ...] = ([None], [""], [[]], [False], ["auto"])


def models_of_run(run: Mapping[str, Any], conversations: int) -> dict[Origin, int]:
    """Return the models in run.json, each with all the conversations."""
    return {
        Origin(role, model["name"], model.get("licence"), model.get("url") or ""): conversations
        for role, model in (run.get("models") or {}).items()
    }


def made_parts(tally: Tally, run: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[sections.SectionPart]:
    """Return the models, the chosen settings that decide the content of the data, and the programs.

    Rows that were not rebuilt name no models; then they are those of run.json, `run`. `defaults` are the values of
    settings that were not chosen (`cli.defaults.default_settings`).
    """
    models = tally.models or models_of_run(run, tally.total.conversations)
    rows: list[tuple[render.TableCell, ...]] = [
        (
            sections.ROLES.get(model.role, model.role),
            render.Link(render.model_name(model.name), model.url),
            model.licence or UNKNOWN,
            n,
        )
        for model, n in sorted(models.items())
    ]
    options, voices = run.get("settings") or {}, sorted(filter(None, tally.voices))
    values = {name: [value] for name, value in options.items() if value not in (None, "", [])}
    values |= tally.all_settings() | ({"voice": voices[: sections.MOST_VOICES]} if voices else {})
    settings = [
        (name.replace("_", " "), render.listed(of))
        for name, of in values.items()
        if of not in _NO_VALUES and of != [defaults.get(name, object())]
    ]
    packages = ", ".join(f"{name} {number}" for name, number in (run.get("packages") or {}).items())
    programs = [" and ".join(sorted(tally.tools)), f"({packages})" if packages else ""]
    known = [sections.Text(f"Made with {' '.join(filter(None, programs))}.")] if {*tally.tools} - {UNKNOWN} else []
    head = ("part", "model", "licence", "conversations")
    return [
        sections.Table("Models", head, rows, nothing="no model is known"),
        sections.Table(
            "Settings", ("setting", "value"), settings, "All others are the defaults.", "all are the defaults"
        ),
        *known,
    ]


def splits_table(tally: Tally) -> sections.Table:
    splits = tally.by["split"]
    values = [(render.Code(name), part) for name, part in splits.items()]
    rows: list[tuple[render.TableCell, ...]] = [
        (name, part.conversations, part.utterances, part.words, length_text(part.seconds))
        for name, part in [*values, *([("all", tally.total)] if len(splits) > 1 else [])]
    ]
    return sections.Table("Splits", ("split", "conversations", "utterances", "aligned words", "audio"), rows)


def durations_plot(tally: Tally) -> HistogramPlot:
    longest = tally.durations.quantile(1.0) + 1.0 if tally.durations.n else 1.0
    width = next(step for step in (1, 2, 5, 10, 30, 60, 120, 300, 600, 3600, 36000) if longest / step <= 30)
    first = math.floor(tally.durations.quantile(0.0) / width) if tally.durations.n else 0
    first = first if 2 * first * width > longest else 0  # of lengths that are much alike the axis begins near them
    n_bins = math.ceil(longest / width) - first
    scale, unit = (60.0, "min") if longest > 300 else (1.0, "s")
    low, high = first * width, (first + n_bins) * width
    shares = tally.durations.shares(low, high, width)
    return HistogramPlot(
        title=f"Length of {counted(tally.total.conversations, 'conversation')}",
        series=[(Series("after", ""), {round(edge / scale, 6): share for edge, share in shares.items()})],
        axis=Axis(f"length ({unit})", low / scale, high / scale, math.ceil(n_bins / 6) * width / scale),
        bin_width=width / scale,
        of="conversations",
        nothing="no conversations",
        name="lengths",
    )


def published_tables(tally: Tally) -> list[sections.Table]:
    """Return a table of the columns that people's own stages publish, with their values; none without any."""
    rows: list[tuple[render.TableCell, ...]] = []
    for column in columns_among(tally.fields):
        counted_values = tally.published.get(column.name)
        if isinstance(counted_values, Moments):
            middle = f"mean {counted_values.mean:.4g}, from {counted_values.low:.4g} to {counted_values.high:.4g}"
            text = f"{middle} {column.unit}".strip() if counted_values.n else ""
        else:
            most = (counted_values or Counter[str]()).most_common(sections.MOST_VALUES)
            text = ", ".join(f"{value} ({n:,})" for value, n in most)
        rows.append((render.Code(column.name), column.about, text or UNKNOWN))
    head = ("column", "what", "values")
    return [sections.Table("Columns that stages publish", head, rows, nothing="")] if rows else []


def voice_tables(tally: Tally) -> list[sections.Table]:
    tables = []
    for title, label, name in (
        ("Recorded speakers", "speaker", "speaker"),
        ("Synthesised voices: engine · model · voice", "voice", "voice"),
    ):
        rows: list[tuple[render.TableCell, ...]] = [
            (voice, part.conversations, part.utterances, length_text(part.seconds))
            for voice, part in sections.ranked(tally.by[label])
        ]
        head = (name, "conversations", "utterances", "speech")
        tables.append(sections.Table(title, head, rows, nothing="none can be heard"))
    return tables if tally.revoiced else tables[:1]


def voice_parts(tally: Tally) -> list[sections.SectionPart]:
    """Return the tables of voices; a table of one voice becomes a sentence."""
    tables = voice_tables(tally)
    single = [
        f"{table.title.partition(':')[0].removesuffix('s')}: {table.rows[0][0]} ({table.rows[0][-1]})."
        for table in tables
        if len(table.rows) == 1
    ]
    return [
        *([sections.Text(" ".join(single))] if single else []),
        *(table for table in tables if len(table.rows) != 1),
    ]


def turn_parts(tally: Tally) -> list[sections.SectionPart]:
    explained = (
        "A floor-transfer offset is the time from the end of one speaker's turn to the start of the other's: a "
        "gap above 0, an overlap below it. A backchannel is inside the other's turn; an overlap starts shortly "
        "before the other ends; an interruption starts well before, and the other stops."
    )
    parts: list[sections.SectionPart] = [offsets_plot(tally), table := turns_table(tally)]
    notes = [sections.Text(f"{made}.")] if (made := origin_text(tally)) else []
    return [sections.Text(explained), *notes, *parts] if table else parts


def origin_text(tally: Tally) -> str:
    """Return how many conversations were made of others, in words; empty for none."""
    if not tally.derived:
        return ""
    were = f"{counted(tally.derived, 'conversation')} {'was' if tally.derived == 1 else 'were'}"
    return f"{were} made of {len(tally.parents):,} others (`origin` says by what)"


def _sides(tally: Tally) -> list[tuple[Series, TurnTaking]]:
    return [*zip((sections.RECORDED, sections.REBUILT), tally.timelines, strict=True)][: 1 + tally.rebuilt]


def offsets_plot(tally: Tally) -> HistogramPlot:
    """Plot the floor-transfer offsets by who takes the floor, of the rebuilt conversations where there are any.

    The rebuild keeps the offsets, so that before and after side by side would be one curve twice; both are in
    `turns_table`.
    """
    side = tally.turn_taking
    offsets = {channel: side.offsets(channel) for channel in CHANNELS}
    measured = [values for values in offsets.values() if len(values)]
    known = [nearest_rank(values, end) for values in measured for end in (0.01, 0.99)]  # all but one in a hundred
    low = max(sections.OFFSETS[0], 0.5 * math.floor(2 * min(known, default=-0.5)))
    high = min(sections.OFFSETS[1], 0.5 * math.ceil(2 * max(known, default=1.0) + 1e-6))
    low, high = min(low, -0.5), max(high, 1.0)
    others = dict(zip(CHANNELS, reversed(CHANNELS), strict=True))
    medians = []
    for channel, values in offsets.items():
        if len(values):
            middle = nearest_rank(values, 0.5)
            when = f"{abs(middle):.2f} s {'after' if middle >= 0 else 'before'}"
            medians.append(f"{channel} starts {when} the end of {others[channel]}")
    is_outside = any(not low <= offset < high for offset in known)
    outside = " What is outside is counted at the ends." if is_outside else ""
    return HistogramPlot(
        title=f"Who waits for whom ({counted(sum(map(len, offsets.values())), 'change')} of speaker)",
        series=[
            (Series(channel, f"{channel} takes the floor ({len(values):,})"), binned)
            for channel, values in offsets.items()
            if (binned := shares(values, low, high, sections.OFFSET_WIDTH))
        ],
        axis=Axis("floor-transfer offset (s; below 0: overlap)", low, high, 0.5),
        bin_width=sections.OFFSET_WIDTH,
        of="changes",
        note=f"In the middle {listed_names(medians)}.{outside}",
        nothing="the speaker never changes",
        name="offsets",
    )


def _signed(value: float, digits: int) -> str:
    """A number with its sign, and `±0` where it rounds to 0."""
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text if text.strip("+−0.") else f"±{text[1:]}"


def turns_table(tally: Tally) -> sections.Table:
    names, sides = zip(*_sides(tally), strict=True)
    rows: list[tuple[render.TableCell, ...]] = [
        *((f"{event}s", *(side.events[event] for side in sides)) for event in EVENTS),
        ("length", *(length_text(side.seconds) for side in sides)),
    ]
    lost = sum(tally.lost.values())
    note = (
        f"{counted(tally.backchannels_kept, 'backchannel')} of {tally.backchannels:,} in the source are inside "
        f"the same turn as before. {lost:,.2f} s of the recorded speaker's speech and sounds got lost."
    )
    kept = tally.timeline["overlap_kept"]
    if kept.n:
        note += f" Of the overlap that the new lengths allow, {render.percent(kept.mean, 1)} is kept."
    return sections.Table(
        "Turn-taking in figures",
        ("measure", *(name.name for name in names)),
        rows if any(side.events for side in sides) else [],
        note if tally.rebuilt else "",
        "no utterance has times",
    )


#: The colours of the sides in plots of measures.
_SIDES = dict(zip(SIDES, (Series("left", "left"), Series("right", "right"), Series("after", "both")), strict=True))


def scorecard_parts(
    tally: Tally, references: Sequence[scorecard.ReferenceCorpus] = ()
) -> list[sections.SectionPart]:
    """Return the measures of conversations beside those of other corpora; none where no utterance has times.

    Sentences are about the left side, which a model learns to be, and about both together.
    """
    taken, compared = tally.turn_taking, (*scorecard.published_references().values(), *references)
    if not taken.speech_seconds:
        return []
    comparisons = [*scorecard.compare(taken, compared)]
    remarks = [
        comparison.sentence()
        for comparison in comparisons
        if comparison.is_remarkable and comparison.side != "right"
    ]
    explained = (
        "How the two speak, beside what is published of other corpora and defined alike. It is a comparison, no "
        f"verdict and no promise. {counted(len(remarks), 'value')} outside:"
    )
    plots = [plot for name in TURN_MEASURES if (plot := measure_plot(tally, name, comparisons))]
    tables = (_measures_of_sides(tally, comparisons), _references_table())
    return [sections.Text(explained), *map(sections.Text, remarks), *plots, *tables]


def measure_plot(
    tally: Tally, name: str, comparisons: Sequence[scorecard.Comparison] = ()
) -> HistogramPlot | None:
    """Plot the values of a measure over conversations, of each side, before those of other corpora.

    None where it is unknown, and for the quantiles of offsets except the median, which `offsets_plot` shows.
    """
    measure, taken = TURN_MEASURES[name], tally.turn_taking
    own = [comparison for comparison in comparisons if comparison.band.measure == name]
    # Of both together there is a curve only where something is compared with it.
    sides = [
        side for side in measure.sides if side != "both" or any(comparison.side == side for comparison in own)
    ]
    known = {side: values for side in sides if len(values := taken.values(name, side))}
    if not known or (measure.quantile is not None and measure.quantile != 0.5):
        return None
    scale, unit = (100.0, "%") if measure.unit == "share" else (1.0, measure.unit)
    reaches = {
        (comparison.reference.name, comparison.band.sides): Reach(
            f"{comparison.reference.name}, {'a side' if len(comparison.band.sides) > 1 else comparison.side}",
            scale * (comparison.band.middle if comparison.band.low is None else comparison.band.low),
            scale * (comparison.band.middle if comparison.band.high is None else comparison.band.high),
        )
        for comparison in own
    }
    ends = [scale * nearest_rank(values, share) for values in known.values() for share in (0.02, 0.98)]
    ends += [end for reach in reaches.values() for end in reach[1:]]
    low, high = min(0.0, *ends), max(ends) or 1.0
    step = next(
        size
        for power in range(-3, 7)
        for size in (10.0**power, 2 * 10.0**power, 5 * 10.0**power)
        if (high - low) / size <= 6
    )
    low, high = step * math.floor(low / step + 1e-9), step * max(1, math.ceil(high / step - 1e-9))
    width = step / 5
    pooled = [f"{side} {scorecard.measure_text(name, taken.pooled(name, side))}" for side in known]
    n = max(map(len, known.values()))
    return HistogramPlot(
        title=f"{measure.title[0].upper()}{measure.title[1:]} ({counted(n, 'conversation')})",
        series=[
            (
                _SIDES[side],
                {
                    round(scale * edge, 6): share
                    for edge, share in shares(values, low / scale, high / scale, width / scale).items()
                },
            )
            for side, values in known.items()
        ],
        axis=Axis(unit, low, high, step),
        bin_width=width,
        of="conversations",
        note=f"{measure.about} All together: {', '.join(pooled)}.",
        name=f"measure_{name}",
        reaches=list(reaches.values()),
    )


def _measures_of_sides(tally: Tally, comparisons: Sequence[scorecard.Comparison]) -> sections.Table:
    """Every measure of every side, as recorded and as rebuilt, with the middle 90 % of conversations."""
    columns, taken = _sides(tally), tally.turn_taking
    rows: list[tuple[render.TableCell, ...]] = []
    for name, measure in TURN_MEASURES.items():
        for side in measure.sides:
            values = taken.values(name, side)
            if len(values):
                pooled = (scorecard.measure_text(name, side_of.pooled(name, side)) for _, side_of in columns)
                spread = scorecard.measure_text(name, *(nearest_rank(values, share) for share in (0.05, 0.95)))
                beside = [
                    f"{comparison.text()} {comparison.reference.name}"
                    for comparison in comparisons
                    if (comparison.band.measure, comparison.side) == (name, side)
                ]
                rows.append((measure.title, side, *pooled, spread, "; ".join(beside)))
    head = ("measure", "side", *(series.name for series, _ in columns), "90 % of conversations", "beside others")
    return sections.Table("What it teaches, in figures", head, rows, folded=True)


def _references_table() -> sections.Table:
    references = scorecard.published_references().values()
    rows: list[tuple[render.TableCell, ...]] = [
        (of.name, TURN_MEASURES[band.measure].title, band.text(), f"{band.definition}. {band.comparable}")
        for of in references
        for band in of.bands
    ]
    sources = "; ".join(f"{of.name}: {of.source}" for of in references)
    head = ("corpus", "measure", "value", "what it is")
    return sections.Table("What is published of others", head, rows, f"{sources}.", folded=True)


def tags_plot(tally: Tally) -> BarPlot:
    values = sections.ranked(tally.by["tag"]) if tally.by["tag"].keys() - {UNKNOWN} else []
    longest = max((part.seconds for _, part in values), default=0.0)
    units = ((3600.0, "hours"), (60.0, "minutes"))
    left = "left, resynthesised" if tally.revoiced else "left"
    if unsaid := tally.tags_said[False]:
        left += f", {unsaid:,} without their tag" if tally.tags_said[True] else " without tags"
    scale, unit = next((pair for pair in units if longest >= pair[0]), (1.0, "seconds"))
    rows = []
    for name, part in values:
        share = render.percent(part.utterances, tally.heard.utterances)
        seconds = (part.left / scale, part.right / scale)
        rows.append(Bar(name, seconds, (part.utterances, share), f"{part.utterances:,} ({share})"))
    return BarPlot(
        title=f"Speech by style tag ({counted(tally.heard.utterances, 'utterance')})",
        head=("tag", "utterances", "share"),
        rows=rows,
        series=[Series("left", left), Series("right", "right")],
        axis=f"{unit} of speech",
        nothing="no tags",
        name="tags",
    )


#: The measures of tags: name, unit, how a mean is written.
TAG_UNITS: dict[str, tuple[str, str, Callable[[float], str]]] = {
    "loudness": ("loudness", "dB", lambda value: f"{_signed(value, 1)} dB"),
    "pitch": ("pitch", "semitones", lambda value: f"{_signed(value, 1)} st"),
    "rate": ("rate", "octaves: +1 is twice as fast", lambda value: f"×{2**value:.2f}"),
}


def _tags_by_number(tally: Tally) -> list[tuple[str, Mapping[str, Moments]]]:
    counts = {
        tag: max((moments.n for moments in of.values()), default=0) for tag, of in tally.tag_measures.items()
    }
    named = (item for item in tally.tag_measures.items() if item[0] != UNKNOWN and counts[item[0]])
    return sorted(named, key=lambda item: (-counts[item[0]], item[0]))


def tag_measures_table(tally: Tally) -> sections.Table:
    """Return loudness, pitch and rate by tag, of source and synthesis: does the voice do what its tag says?"""
    rows = []
    for tag, measures in _tags_by_number(tally):
        n, n_new = (
            max((measures[f"{edge}{name}"].n for name in TAG_UNITS if f"{edge}{name}" in measures), default=0)
            for edge in ("", NEW_VOICE)
        )
        cells: list[render.TableCell] = [tag, n, *([n_new] if tally.revoiced else [])]
        for name, (_, _, written) in TAG_UNITS.items():
            for edge in ("", NEW_VOICE)[: 1 + tally.revoiced]:
                moments = measures.get(f"{edge}{name}")
                cells.append(written(moments.mean) if moments and moments.n else "–")
        rows.append(cells)
    kinds = ("source", "synthesis")[: 1 + tally.revoiced]
    head = ("tag", *(f"utterances, {kind}" for kind in kinds))
    head += tuple(f"{title}, {kind}" for title, *_ in TAG_UNITS.values() for kind in kinds)
    note = "Means relative to the speaker of the conversation: louder, higher, faster than usual is above 0 (×1)."
    if tally.revoiced:
        follows = [
            f"{title} r = {value:.2f}".replace("-", "−")
            for name, (title, *_) in TAG_UNITS.items()
            if (value := follows_source(tally, name)) is not None
        ]
        note += " Does the voice do what the source did with the same tag?"
        if unsaid := tally.tags_said[False]:
            note += f" No tag was sent with {unsaid:,} of {counted(tally.tags_said.total(), 'utterance')}."
        if follows:
            note += f" Over the tags: {', '.join(follows)} (1: it does, 0: it does not)."
        elif tally.tags_said[True] or not unsaid:
            note += " Too few to say."
    return sections.Table("What tags sound like", head, rows, note, "nothing was measured")


#: Tags and utterances of each below which nothing is said of how the synthesis follows the source.
FEWEST_TAGS, FEWEST_UTTERANCES = 3, 2


def follows_source(tally: Tally, name: str) -> float | None:
    """Return the correlation of the means of source and synthesis over tags, weighted by synthesised utterances.

    None if there are too few tags, or they do not differ.
    """
    pairs = [
        (measures[name].mean, measures[f"{NEW_VOICE}{name}"].mean, measures[f"{NEW_VOICE}{name}"].n)
        for _, measures in _tags_by_number(tally)
        if all(key in measures and measures[key].n >= FEWEST_UTTERANCES for key in (name, f"{NEW_VOICE}{name}"))
    ]
    if len(pairs) < FEWEST_TAGS:
        return None
    *means, weights = zip(*pairs, strict=True)
    (source, shared), (_, new) = np.cov(means, aweights=weights)
    return float(shared / math.sqrt(source * new)) if min(source, new) > 1e-12 else None


#: Tags of which a table is not folded.
MOST_TAGS = 15


def confidence_plot(tally: Tally) -> HistogramPlot:
    known = tally.confidence.n
    return HistogramPlot(
        title=f"Confidence of the recogniser ({known:,} of {counted(tally.total.utterances, 'utterance')})",
        series=[(Series("before", ""), tally.confidence.shares(0.0, 1.0, 0.05))],
        axis=Axis("confidence (0 to 1)", 0.0, 1.0, 0.2),
        bin_width=0.05,
        of="utterances",
        note="Of the others it is not known." if known < tally.total.utterances else "",
        nothing="the recogniser does not say how sure it is",
        name="confidence",
    )


def tags_table(tally: Tally) -> sections.Table:
    values = sorted(tally.by["tag"].items(), key=lambda item: (-item[1].seconds, item[0]))
    rows: list[tuple[render.TableCell, ...]] = []
    for tag, part in values:
        rows.append((tag, *map(length_text, (part.seconds, part.left, part.right)), part.utterances))
    head = ("tag", "speech", "left", "right", "utterances")
    return sections.Table("Speech by style tag, in figures", head, rows, nothing="no tags", folded=True)


def affect_plot(tally: Tally) -> MapPlot:
    return sections.affect_map(
        "Affect of the source performance", tally.all_affect(), "utterance", "affect", "before"
    )


def tag_affect_plot(tally: Tally) -> MultiplesPlot:
    named = {tag: grid for tag, grid in tally.affect.items() if tag != UNKNOWN}
    plot = sections.affect_maps("Affect by tag", named, "utterance", "affect_by_tag")
    return replace(plot, nothing="no tags with measures of affect")


#: How far from a third a share of LOW, MID or HIGH is worth a line: they are thirds by definition.
UNEVEN = 0.1


def buckets_table(tally: Tally) -> sections.Table:
    """Return the shares of LOW, MID and HIGH of the measures of which they are not thirds."""
    levels = ("LOW", "MID", "HIGH")
    names = {"pitch_var": "pitch variation", "zcr": "zero crossings", "rate": "speech rate"}
    rows = [
        (names.get(name, name), *(render.percent(counts[level], counts.total()) for level in levels))
        for name in BUCKETED
        if (counts := tally.buckets.get(name))
        and any(abs(counts[level] / counts.total() - 1 / 3) > UNEVEN for level in levels)
    ]
    note = (
        "Many equal values, such as a pitch at its floor, fall into one bucket. The other measures are in thirds."
    )
    return sections.Table("Buckets that are not thirds", ("measure", *levels), rows, note, "all are thirds")


def lengths_plot(tally: Tally) -> MapPlot:
    longest = max((max(cell) + 1 for cell in tally.lengths.counts), default=1) * tally.lengths.width
    reach = next(limit for limit in (3.0, 6.0, 9.0, LENGTH_LIMIT) if longest <= limit)
    edge = f"; what is longer than {LENGTH_LIMIT:g} s counts at the edge" if reach == LENGTH_LIMIT else ""
    low, middle, high = (tally.ratios.quantile(share) for share in (0.1, 0.5, 0.9))
    note = (
        f"New over recorded length: median {middle:.2f}, 80 % between {low:.2f} and {high:.2f}. "
        f"On the dashed line nothing changed{edge}."
    )
    return MapPlot(
        title=f"Length of each utterance before and after ({counted(tally.lengths.n, 'utterance')})",
        points=list(tally.lengths.points()),
        x_axis=Axis("recorded length (s)", 0, reach, reach / 6),
        y_axis=Axis("new length (s)", 0, reach, reach / 6),
        unit="utterance",
        diagonal=True,
        note=note,
        nothing="no lengths on both sides",
        name="changed_lengths",
    )


def delivery_parts(tally: Tally) -> list[sections.SectionPart]:
    if not tally.delivery.n:
        return []
    low, middle, high = (tally.delivery.quantile(share) for share in (0.1, 0.5, 0.9))
    end = max(0.5, math.ceil(5 * tally.delivery.quantile(1.0) + 0.05) / 5)
    plot = HistogramPlot(
        title=f"Delivery: distance from the source ({counted(tally.delivery.n, 'utterance')})",
        series=[(Series("after", ""), tally.delivery.shares(0.0, end, end / 25))],
        axis=Axis("distance (0: alike, 2: nothing alike)", 0.0, end, end / 5),
        bin_width=end / 25,
        of="utterances",
        note=f"Median {middle:.2f}, 80 % between {low:.2f} and {high:.2f}. Melody and loudness are compared with "
        "the speaker's usual, and time is warped: neither voice nor pace counts.",
        name="delivery",
    )
    if tally.delivery_cosines.n:
        alike = tally.delivery_cosines.quantile(0.5)
        plot = replace(plot, note=f"{plot.note} To an encoder of prosodic tokens: cosine {alike:.2f}, median.")
    tags = sorted(tally.delivery_of.items(), key=lambda item: (-item[1].mean, item[0]))
    by_tag = sections.Table(
        "Delivery by tag, the furthest from the source first",
        ("tag", "distance", "deviation", "utterances"),
        [(tag, f"{of.mean:.2f}", f"{of.deviation:.2f}", of.n) for tag, of in tags],
        folded=len(tags) > MOST_TAGS,
    )
    lines: list[Sequence[render.TableCell]] = []
    for _, _, line in sorted(tally.furthest, reverse=True):
        cells = (line.utterance[name] or "" for name in ("utterance_id", "tag", "text"))
        lines.append((*cells, *apart_cells(line.utterance)))
    head = ("utterance", "tag", "text", "distance", "pitch apart", "level apart")
    return [plot, by_tag, sections.Table("Delivered least like the source", head, lines)]


def apart_cells(utterance: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return a take's distance from its source, and how far pitch and level are apart, a dash where unknown."""
    synthesis = utterance["synthesis"]
    semitones, decibels = (synthesis.get(f"delivery_{unit}") for unit in ("semitones", "decibels"))
    return (
        f"{synthesis['delivery_distance']:.2f}",
        f"{semitones:.1f} st" if is_number(semitones) else "–",
        f"{decibels:.1f} dB" if is_number(decibels) else "–",
    )


def synthesis_table(tally: Tally, run: Mapping[str, Any]) -> sections.Table:
    spoken, seconds, spending = tally.statuses["spoken"], tally.total.seconds, _money_of(run)
    rows: list[tuple[render.TableCell, ...]] = [
        (sections._STATUSES.get(name, name), n) for name, n in tally.statuses.most_common()
    ]
    rows += [(f"why not: {reason}", n) for reason, n in tally.reasons.most_common(sections.MOST_REASONS)]
    rows.append(("needed more than one try", f"{tally.n_retried:,} ({render.percent(tally.n_retried, spoken)})"))
    if tally.error_rates.n:
        rows.append(("word error rate of the synthesis, median", f"{100 * tally.error_rates.quantile(0.5):.0f} %"))
    names = {"spent": "spent by the last run", "saved_by_cache": "saved by the cache in the last run"}
    amounts = {"paid for what is in here": tally.cost}
    amounts |= {"an hour of finished audio": 3600 * tally.cost / seconds} if seconds else {}
    amounts |= {title: spending[name] for name, title in names.items() if is_number(spending.get(name))}
    if any(amounts.values()):
        rows += [(title, render.money(amount)) for title, amount in amounts.items()]
    return sections.Table("Utterances and money" if any(amounts.values()) else "Utterances", ("", ""), rows)


def _money_of(run: Mapping[str, Any]) -> Mapping[str, Any]:
    speak = run.get("speak")
    spending = speak.get("money") if isinstance(speak, dict) else None
    return spending if isinstance(spending, dict) else {}
