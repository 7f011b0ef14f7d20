"""The report: one HTML page to look at and listen to, of conversations or of clips, alone or beside others."""

import base64
import hashlib
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.core import wording
from dailytalk_contiguous.core.audio import probe, read_at
from dailytalk_contiguous.core.documents import as_text, is_number
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.licensing import licence_in_words
from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.core.sampling import LEAST_HOURS, disparity
from dailytalk_contiguous.core.schema import AFFECT, Row, own_seconds
from dailytalk_contiguous.core.sentences import length_class, sentence_type
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish import render
from dailytalk_contiguous.publish.figures import planned_limits
from dailytalk_contiguous.publish.items import (
    DATASET,
    SMALL,
    Items,
    clip_of,
    is_mix,
    open_items,
    record_of,
)
from dailytalk_contiguous.publish.player import encode, panel
from dailytalk_contiguous.publish.plots import Axis, Bar, bars, bubbles, histogram, shares
from dailytalk_contiguous.publish.render import (
    Credit,
    Html,
    card,
    credit_cells,
    credits_of,
    escaped,
    examples_of,
    facts_of,
    fill,
    hours,
    html_table,
    joined,
    key,
    markdown_table,
    money,
    percent,
    plots,
    soft,
    span,
    stack,
    template,
    thousands,
)
from dailytalk_contiguous.publish.statistics import (
    AFFECT_CELL,
    BUCKETED,
    DIMENSIONS,
    LENGTH_CELL,
    LENGTH_LIMIT,
    MEASURES,
    OFFSET_BINS,
    UNKNOWN,
    CorpusTally,
    Group,
    Side,
    Tally,
    cell,
    quantile,
)
from dailytalk_contiguous.publish.version import Version
from dailytalk_contiguous.run.clip_plan import CLIPS, MEASURED, STYLE_OF_TAG
from dailytalk_contiguous.run.clips import listed_clips
from dailytalk_contiguous.run.outputs import TRANSCRIPT, read_run
from dailytalk_contiguous.store.files import write_lines, write_text

# The parts of a report on conversations, each a piece of HTML from the tally: facts, plots, tables.
#
# A part with nothing to show says so in a sentence instead of drawing an empty plot.


#: Tags with their own bar, and lines of a table; the rest is counted together.
MAX_TAGS, MAX_LINES = 30, 15

#: Offsets that the plot shows, in seconds, and the width of its bars. 200 ms apart is what listeners notice.
OFFSETS, OFFSET_WIDTH = Axis("floor-transfer offset (s; below 0: overlap)", -2.0, 3.0, 1.0), 0.1

#: How the tally's buckets are named where they are shown.
_NAMES = {"pitch_var": "pitch variation", "zcr": "zero crossings", "rate": "speech rate"}

_EVENTS = ("turn", "overlap", "backchannel", "interruption")

_STATUSES = {
    "spoken": "resynthesised",
    "kept": "kept as recorded",
    "kept-original": "kept, though it was to be resynthesised",
    "dropped": "left out (no text)",
}


def facts(tally: Tally, run: Mapping[str, Any]) -> Html:
    """The figures at the top of the page."""
    side = tally.after if tally.rebuilt else tally.before
    figures = [
        ("conversations", thousands(tally.conversations), _languages(tally.languages)),
        ("audio", hours(tally.seconds), f"recorded: {hours(tally.before.seconds)}" if tally.rebuilt else ""),
        ("speech", hours(side.speech_seconds), "both speakers added up"),
        (
            "utterances",
            thousands(tally.utterances),
            " · ".join(f"{thousands(n)} {c}" for c, n in _sorted(tally.channels)),
        ),
        ("words with times", thousands(tally.words), ""),
    ]
    if tally.rebuilt:
        n_spoken = tally.statuses["spoken"]
        figures.append(
            ("resynthesised", thousands(n_spoken), f"{percent(n_spoken, tally.utterances)} of the utterances")
        )
        figures.append(("spent on speech", money(tally.cost), _saved(run)))
    n_rejects = sum(tally.rejects.values())
    figures.append(("rejected", thousands(n_rejects), "utterances, conversations or recordings"))
    return facts_of(figures)


def tags(tally: Tally) -> Html:
    """Number of utterances of each tag, by speaker."""
    total = sum(sum(counts.values()) for counts in tally.tags.values())
    ranked = sorted(tally.tags.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    shown = [(name, Counter(counts)) for name, counts in ranked[:MAX_TAGS]]
    if ranked[MAX_TAGS:]:
        shown.append(
            (f"{len(ranked) - MAX_TAGS} others", sum((counts for _, counts in ranked[MAX_TAGS:]), Counter()))
        )
    rows = [
        Bar(name, (counts["left"], counts["right"]), f"{counts.total()} ({percent(counts.total(), total)})")
        for name, counts in shown
    ]
    colours = key(("left", "left, re-voiced" if tally.rebuilt else "left"), ("right", "right"))
    plot = colours + bars("Utterances of each tag", rows, ("left", "right"))
    return card("Tags", plot if rows else "", "no tags")


def buckets(tally: Tally) -> Html:
    """The shares of LOW, MID and HIGH."""
    rows = [
        (_NAMES.get(name, name), [tally.buckets[name][level] for level in ("LOW", "MID", "HIGH")])
        for name in BUCKETED
        if name in tally.buckets
    ]
    colours = key(("low", "LOW"), ("mid", "MID"), ("high", "HIGH"))
    what = colours + shares("Shares of LOW, MID and HIGH of each measure", rows, ("low", "mid", "high"))
    return card("Buckets, within each conversation", what if rows else "", "no buckets")


def affect(tally: Tally) -> Html:
    """Utterances by valence and arousal."""
    cells = [
        ((x + 0.5) * AFFECT_CELL, (y + 0.5) * AFFECT_CELL, counts.total(), _cell_hint(counts))
        for (x, y), counts in tally.affect.items()
    ]
    plot = bubbles(
        "Utterances by valence and arousal",
        cells,
        Axis("valence (0 to 1)", 0, 1, 0.25),
        Axis("arousal (0 to 1)", 0, 1, 0.25),
    )
    note = soft(f"Area: number of utterances (of {thousands(sum(c[2] for c in cells))}) in each cell.")
    return card("Valence and arousal", plot + note if cells else "", "no measures of affect")


def offset_cards(tally: Tally) -> Html:
    """Distribution of floor-transfer offsets on both sides of the rebuild."""
    sides = [(style, _binned(side)) for style, side in _sides(tally) if side.offsets]
    colours = key(("before", "recording"), ("after", "rebuilt")) if tally.rebuilt else key(("before", "recording"))
    note = soft("What is outside is counted at the ends.")
    what = colours + histogram("Floor-transfer offsets in seconds", sides, OFFSETS, OFFSET_WIDTH) + note
    return card("Who waits, who cuts in", what if sides else "", "the speaker never changes")


def events(tally: Tally) -> Html:
    """How utterances enter, on both sides of the rebuild."""
    sides = [(style, side) for style, side in _sides(tally) if side.events]
    if not sides:
        return card("How utterances enter", "", "nobody speaks")
    rows = [
        Bar(
            name,
            tuple(float(side.events[name]) for _, side in sides),
            " → ".join(thousands(side.events[name]) for _, side in sides),
        )
        for name in _EVENTS
    ]
    colours = key(*[(style, {"before": "recording", "after": "rebuilt"}[style]) for style, _ in sides])
    plot = colours + bars("How utterances enter", rows, [style for style, _ in sides], grouped=True)
    return card("How utterances enter", plot, "")


def turn_table(tally: Tally) -> Html:
    """Figures of turn-taking, before and after."""
    sides = [side for _, side in _sides(tally)]
    names = ("recording", "rebuilt")[: len(sides)]
    lines = [
        ("offset, median", [_offset(side, 0.5) for side in sides]),
        ("offset, 10 % below", [_offset(side, 0.1) for side in sides]),
        ("offset, 90 % below", [_offset(side, 0.9) for side in sides]),
        ("both speak at once", [f"{side.overlap_seconds:.1f} s" for side in sides]),
        ("share of the time", [percent(side.overlap_seconds, side.seconds) for side in sides]),
        ("length", [hours(side.seconds) for side in sides]),
    ]
    figures = html_table(("", *names), [(name, *values) for name, values in lines], range(1, 1 + len(names)))
    if tally.rebuilt:
        sentence = f"{tally.backchannels_kept} of {tally.backchannels} backchannels stayed inside their turn"
        figures += soft(f"{sentence}; {tally.lost_seconds:.2f} s of kept speech and sounds lost.")
    return card("Figures", figures, "")


def lengths(tally: Tally) -> Html:
    """New against old length of each utterance that was resynthesised."""
    cells = [
        (
            (x + 0.5) * LENGTH_CELL,
            (y + 0.5) * LENGTH_CELL,
            n,
            f"{wording.counted(n, 'utterance')}: {x * LENGTH_CELL:g} to {(x + 1) * LENGTH_CELL:g} s recorded, "
            f"{y * LENGTH_CELL:g} to {(y + 1) * LENGTH_CELL:g} s new",
        )
        for (x, y), n in tally.lengths.items()
    ]
    longest = max((max(cell) + 1 for cell in tally.lengths), default=1) * LENGTH_CELL
    reach = next(limit for limit in (3.0, 6.0, LENGTH_LIMIT) if longest <= limit)
    plot = bubbles(
        "Length of each utterance before and after",
        cells,
        Axis("recorded length (s)", 0, reach, reach / 6),
        Axis("new length (s)", 0, reach, reach / 6),
        diagonal=True,
    )
    edge = f"; what is longer than {LENGTH_LIMIT:g} s counts at the edge" if reach == LENGTH_LIMIT else ""
    low, middle, high = (quantile(tally.ratios, share) / 100 for share in (0.1, 0.5, 0.9))
    note = soft(
        f"New over recorded length: median {middle:.2f}, 80 % between {low:.2f} and {high:.2f}. "
        f"On the dashed line nothing changed{edge}."
    )
    return card("Lengths of what was resynthesised", plot + note if cells else "", "no lengths on both sides")


def synthesis(tally: Tally, run: Mapping[str, Any]) -> Html:
    """Whose voice, what failed, and what it cost."""
    n_spoken = sum(tally.voices.values())
    lines = [(f"{_STATUSES.get(name, name)}", thousands(number)) for name, number in tally.statuses.most_common()]
    lines += [(f"why not: {reason}", thousands(number)) for reason, number in tally.reasons.most_common(MAX_LINES)]
    lines.append(
        ("needed more than one try", f"{thousands(tally.n_retried)} ({percent(tally.n_retried, n_spoken)})")
    )
    if tally.error_rates:
        lines.append(("word error rate of the synthesis, median", f"{quantile(tally.error_rates, 0.5):.0f} %"))
    lines.append(("paid for what is in here", money(tally.cost)))
    lines.append(("an hour of finished audio", money(3600 * tally.cost / tally.seconds) if tally.seconds else "–"))
    spending = _money_of(run)
    if is_number(spending.get("spent")):
        lines.append(("spent by the last run", money(spending["spent"])))
    if is_number(spending.get("saved_by_cache")):
        lines.append(("saved by the cache in the last run", money(spending["saved_by_cache"])))
    voices = [(name or "unnamed", thousands(number)) for name, number in tally.voices.most_common(MAX_LINES)]
    sources = [(name, thousands(number)) for name, number in tally.word_sources.most_common()]
    return card("Utterances and money", html_table(("", ""), lines, [1]), "") + stack(
        card(
            "Voices", html_table(("engine · model · voice", "utterances"), voices, [1]) if voices else "", "none"
        ),
        card("How word times are known", html_table(("", "words"), sources, [1]) if sources else "", "no words"),
    )


def rejected(tally: Tally, examples: Sequence[Mapping[str, str]]) -> Html:
    """What was rejected, by stage and reason, and the first few with their remedies."""
    kinds = [
        (stage, reason, thousands(number)) for (stage, reason), number in tally.rejects.most_common(MAX_LINES)
    ]
    if len(tally.rejects) > MAX_LINES:
        rest = sum(number for _, number in tally.rejects.most_common()[MAX_LINES:])
        kinds.append(("", f"{len(tally.rejects) - MAX_LINES} other kinds", thousands(rest)))
    what = html_table(("stage", "reason", "number"), kinds, [2])
    return card("By kind", what + examples_of(examples) if kinds else "", "nothing was rejected", "wide")


def _money_of(run: Mapping[str, Any]) -> Mapping[str, Any]:
    speak = run.get("speak")
    money = speak.get("money") if isinstance(speak, dict) else None
    return money if isinstance(money, dict) else {}


def _saved(run: Mapping[str, Any]) -> str:
    saved: Any = _money_of(run).get("saved_by_cache")
    return f"{money(saved)} saved by the cache" if is_number(saved) else ""


def _sides(tally: Tally) -> list[tuple[str, Side]]:
    return [("before", tally.before), ("after", tally.after)] if tally.rebuilt else [("before", tally.before)]


def _binned(side: Side) -> dict[float, float]:
    """Shares of the offsets by the lower edges of the plot's bins; the outer bins hold what is beyond them."""
    total, width = side.offsets.total(), round(OFFSET_WIDTH * OFFSET_BINS)
    low, high = round(OFFSETS.low * OFFSET_BINS), round(OFFSETS.high * OFFSET_BINS)
    bins: Counter[float] = Counter()
    for value, number in side.offsets.items():
        edge = (min(max(value, low), high - 1) - low) // width * width + low
        bins[round(edge / OFFSET_BINS, 6)] += number
    return {edge: number / total for edge, number in bins.items()}


def _offset(side: Side, share: float) -> str:
    value = quantile(side.offsets, share) / OFFSET_BINS
    return f"{value:+.2f} s".replace("-", "−") if is_number(value) else "–"


def _cell_hint(tags: Counter[str]) -> str:
    return f"{wording.counted(tags.total(), 'utterance')}: " + ", ".join(
        f"{name} {number}" for name, number in tags.most_common(5)
    )


def _languages(counts: Counter[str]) -> str:
    names = ", ".join(name for name, _ in counts.most_common(4))
    return names + (f" and {len(counts) - 4} more" if len(counts) > 4 else "")


def _sorted(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items())


# The parts of the report of an expressive corpus, each a piece of HTML.


#: Speakers with their own bar, and lines of rejects.
MAX_BARS, MAX_CORPUS_LINES = 24, 20


def corpus_facts(tally: CorpusTally) -> Html:
    """The figures at the top."""
    validation = tally.by["split"].get("validation", Group())
    figures = [
        (f"{tally.unit}s", thousands(tally.all.clips), f"{hours(tally.all.seconds)} recorded"),
        ("copies", thousands(tally.all.copies), "augmented, in training only"),
        ("seen in training", hours(tally.all.seen), "with copies and weights"),
        (
            "validation",
            hours(validation.seconds),
            f"{percent(validation.seconds, tally.all.seconds)} of recordings",
        ),
        ("speakers", thousands(len({*tally.by["speaker"]} - {UNKNOWN})), ""),
        ("rejected", thousands(tally.rejects.total()), "files and clips"),
    ]
    if tally.measured:
        beyond = f"{thousands(tally.refused)} beyond a limit of quality"
        figures.insert(-1, ("measured", thousands(tally.measured), beyond))
    return facts_of(figures)


def dimension(tally: CorpusTally, name: str) -> Html:
    """Hours and counts of each value of a dimension."""
    ranked = sorted(tally.by[name].items(), key=lambda item: (-item[1].seconds, item[0]))
    rows = [Bar(value, (group.seconds,), _label(group)) for value, group in ranked[:MAX_BARS]]
    rest = ranked[MAX_BARS:]
    if rest:
        seconds = sum(group.seconds for _, group in rest)
        number = sum(group.clips for _, group in rest)
        rows.append(Bar(f"{len(rest)} others", (seconds,), f"{thousands(number)} · {hours(seconds)}"))
    return card(DIMENSIONS[name], bars(f"Hours by {name}", rows, ("after",)) if rows else "", "no finished clips")


def balance(tally: CorpusTally) -> Html:
    """Seconds in training of each emotion, as recorded and as seen."""
    rows = []
    for name, before in before_and_after(tally).items():
        label = f"{before[0] / 60:.1f} → {before[1] / 60:.1f}"
        rows.append(Bar(name, before, label))
    colours = key(("before", "recorded"), ("after", "seen: with weights and copies"))
    plot = colours + bars("Minutes in training before and after", rows, ("before", "after"), grouped=True)
    plot += soft(spread_of(tally))
    return card("Minutes of training, before and after balancing", plot if rows else "", "no finished clips")


def spread_of(tally: CorpusTally) -> str:
    """How far the emotions are from one size, before and after balancing."""
    minutes = [pair for name, pair in before_and_after(tally).items() if name not in (UNKNOWN, "other")]
    before, after = (disparity(pair[side] for pair in minutes) for side in (0, 1))
    return f"Largest to smallest emotion: {before:.1f} as recorded, {after:.1f} as seen."


def before_and_after(tally: CorpusTally) -> dict[str, tuple[float, float]]:
    """Seconds of each emotion that train: recorded, and seen."""
    trained = {name: one.seen for name, one in tally.by["emotion"].items()}
    return {name: (tally.recorded(name), trained.get(name, 0.0)) for name in sorted({*trained, *tally.before})}


def missing(tally: CorpusTally) -> Html:
    """What recordings every emotion lacks, and what to record."""
    lines = shortfall_lines(tally)
    head = ("emotion", "recorded", "seen", "lacks recorded", "what to record")
    what = html_table(head, lines, (1, 2, 3))
    if not tally.all.clips:
        return card("What is missing", "", "no finished clips", "wide")
    enough = soft(f"Every emotion has {tally.target / 60:g} minutes of recordings in training.")
    return card(f"What is missing to reach {tally.target / 60:g} minutes", what if lines else enough, "", "wide")


def shortfall_lines(tally: CorpusTally) -> list[tuple[str, str, str, str, str]]:
    """Emotion, minutes recorded and seen in training, minutes that recordings lack, and what to record."""
    lines = []
    minutes = before_and_after(tally)
    for short in tally.shortfalls():
        name, (recorded, trained) = short.emotion, minutes[short.emotion]
        what = short.to_record().partition(": ")[2]
        lines.append((name, _minutes(recorded), _minutes(trained), _minutes(short.seconds), what))
    return lines


def corpus_affect(tally: CorpusTally) -> Html:
    """A map of valence and arousal for every emotion, all with the same axes."""
    cards = []
    for name, counts in sorted(tally.affect.items()):
        plot = affect_map(f"Clips that are {name} by valence and arousal", counts, "clips")
        cards.append(card(f"{name} ({thousands(counts.total())} clips)", plot, ""))
    return joined(cards) or card("Affect", "", "no clip has affect")


def affect_map(title: str, counts: Counter[tuple[int, int]], unit: str) -> Html:
    """Numbers of `unit` in cells of valence and arousal; all such maps have the same axes."""
    cells = [
        ((x + 0.5) * AFFECT_CELL, (y + 0.5) * AFFECT_CELL, number, wording.counted(number, unit.removesuffix("s")))
        for (x, y), number in counts.items()
    ]
    axes = (Axis("valence (0 to 1)", 0, 1, 0.25), Axis("arousal (0 to 1)", 0, 1, 0.25))
    return bubbles(title, cells, *axes)


def quality(tally: CorpusTally) -> Html:
    """A histogram of every measure with its limits, of all clips that were measured."""
    cards = []
    for name, measure in MEASURES.items():
        bins = tally.bins[name]
        total = bins.total()
        shares = {edge: number / total for edge, number in bins.items()}
        limits = measure.limits(tally.limits)
        plot = histogram(
            f"Clips by {measure.axis.title}",
            [("before", shares)],
            measure.axis,
            measure.bin_width,
            "clips",
            limits,
        )
        at = " and ".join(f"{limit:g}" for limit in limits) or "none"
        beyond = f"{thousands(tally.outside[name])} of {thousands(total)} ({percent(tally.outside[name], total)})"
        note = soft(f"Limit: {at}. Beyond it: {beyond}; not known of {thousands(tally.unknown[name])}.")
        cards.append(
            card(measure.axis.title.partition(" (")[0].capitalize(), plot + note if total else "", "no values")
        )
    return joined(cards)


def samples(rows: Mapping[str, Mapping[str, Any]], heard: Mapping[str, bytes]) -> Html:
    """Clips to listen to, in the order of `heard`."""
    return fill(
        '<div class="samples">{}</div>', joined(_sample(rows[name], sound) for name, sound in heard.items())
    )


def corpus_rejected(tally: CorpusTally, examples: Sequence[Mapping[str, str]]) -> Html:
    """What was rejected, by stage and reason, and the first few with their remedies."""
    kinds = [(*kind, thousands(number)) for kind, number in tally.rejects.most_common(MAX_CORPUS_LINES)]
    if len(tally.rejects) > MAX_CORPUS_LINES:
        rest = sum(number for _, number in tally.rejects.most_common()[MAX_CORPUS_LINES:])
        kinds.append(("", f"{len(tally.rejects) - MAX_CORPUS_LINES} other kinds", thousands(rest)))
    what = html_table(("stage", "reason", "number"), kinds, [2]) + examples_of(examples)
    return card("By kind", what if kinds else "", "nothing was rejected", "wide")


def corpus_licences(tally: CorpusTally) -> Html:
    """The licences of the clips, and what they ask for."""
    lines = [
        # What is bold in Markdown is plain here.
        (name or UNKNOWN, thousands(group.clips), hours(group.seconds), licence_in_words(name).replace("**", ""))
        for name, group in sorted(tally.licences.items(), key=str)
    ]
    what = html_table(("licence", "clips", "recorded", "asks for"), lines, (1, 2))
    return card("Licences", what if lines else "", "no finished clips", "wide")


def sources(credits: Sequence[Credit]) -> Html:
    """Whose work it is: what licences ask to be named."""
    return card("Sources", joined(map(_source, credits)), "the folder names none", "wide")


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"


def _label(group: Group) -> str:
    return f"{thousands(group.clips)} · {hours(group.seconds)}"


def _source(credit: Credit) -> Html:
    is_link = credit.homepage.startswith(("https://", "http://"))
    return fill(
        "<p><b>{}</b> · {} · {}<br>{}</p>",
        credit.name,
        credit.licence or "licence not told",
        fill('<a href="{0}">{0}</a>', credit.homepage) if is_link else credit.homepage or "home page not told",
        credit.citation or "citation not told",
    )


def _sample(row: Mapping[str, Any], sound: bytes) -> Html:
    facts = " · ".join(
        str(row[name]) for name in ("emotion", "style", "intensity", "speaker", "split") if row[name]
    )
    player = fill(
        '<audio controls preload="none" aria-label="Listen to {}" src="data:audio/mpeg;base64,{}"></audio>',
        row["id"],
        base64.b64encode(sound).decode(),
    )
    return fill(
        '<article class="card"><h3>{}</h3><p class="soft">{}</p>{}<p>{}</p></article>',
        row["id"],
        facts,
        player,
        row["text"] or "",
    )


# The clips of a page or of a listening test: which of them, and the sound of each.


def left_channels(items: Items, names: Iterable[str]) -> dict[str, bytes]:
    """The left channel, the clip itself, of some clips as MP3, by id. Raises BadInput if one can't be decoded."""
    return {name: _mp3(items.sound(name).audio) for name in names}


def spread_over(rows: Iterable[Mapping[str, Any]], count: int, seed: int = 0) -> list[str]:
    """Ids of `count` recorded clips, as many of each emotion as possible, its styles and speakers in rotation.

    Choice and order depend on the ids and the seed alone. Copies and clips without an emotion are left
    out.
    """
    queues: dict[str, dict[tuple[Any, Any], list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["augmented_from"] is None and row["emotion"]:
            queues[row["emotion"]][row["style"], row["speaker"]].append(row["id"])
    lines = {emotion: _by_turns(list(speakers.values()), seed) for emotion, speakers in sorted(queues.items())}
    return _by_turns(list(lines.values()), None)[:count]


def clip_place(name: str, seed: int) -> str:
    """Sort key that puts ids in a random but repeatable order."""
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()


def _by_turns(groups: Sequence[Sequence[str]], seed: int | None) -> list[str]:
    """The first of every group, then the second, …; with a seed each group, and the groups, in a drawn order."""
    if seed is not None:
        drawn = [sorted(group, key=lambda name: clip_place(name, seed)) for group in groups]
        groups = sorted(drawn, key=lambda group: clip_place(group[0], seed))
    longest = max((len(group) for group in groups), default=0)
    return [group[turn] for turn in range(longest) for group in groups if turn < len(group)]


def _mp3(audio: dict[str, Any]) -> bytes:
    sample_rate = probe(audio).sample_rate
    return encode(read_at(audio, sample_rate)[:, :1], sample_rate)


# What a comparison reads: clips of a corpus, files of a mix or utterances of conversations, in one form.
#
# Labels that one kind lacks stay null, because a comparison has to show that they are unknown. Only
# the style of an utterance is derived, by the rule that gives clips theirs, or the two could not be
# compared.


#: Labels that are compared, and how each is named. `act` is what a turn does in its dialogue (DailyTalk).
LABELS = {
    "emotion": "Emotion",
    "style": "Style",
    "tag": "Tag",
    "act": "Act",
    "sentence_type": "Sentence type",
    "length": "Length",
}

#: Measures of prosody that are compared: pitch, its variation, and words a second.
VOICE = ("f0_mean", "f0_std", "speech_rate")


class Said(NamedTuple):
    """A clip, file or utterance: seconds, a value (or None) of each of `LABELS`, and of `AFFECT` and `VOICE`."""

    seconds: float
    labels: Mapping[str, str | None]
    measures: Mapping[str, float | None]


#: What the items of each kind are called, many at a time.
UNITS = {
    "mix": "files",
    "clips": "clips",
    "measured": "clips",
    "conversations": "utterances",
    "tagged": "utterances",
}


class Source(NamedTuple):
    """What a folder has to compare, and the plural noun for it."""

    unit: str
    said: Iterator[Said]


def source_of(folder: Path) -> Source:
    """What a folder has to compare, without copies, since they are no recordings.

    Of conversations that were rebuilt the lengths are the new ones; all else was measured on the recording.

    Args:
        folder: what `dailytalk corpus`, `mix`, `tag`, `speak` or `build` wrote.

    Raises DailytalkError if it holds nothing of the kind, or, while it is read, if a file is damaged.
    """
    if is_mix(folder) or any((folder / name).exists() for name in (CLIPS, MEASURED, TRANSCRIPT, DATASET)):
        items = open_items(folder)
        said = _clips(items.clips()) if items.labelled else _utterances(items.rows(SMALL))
        return Source(UNITS[items.kind], said)
    raise DailytalkError(
        f"{as_text(folder)!r} has neither clips nor conversations to compare",
        "name a folder that `dailytalk corpus`, `mix`, `tag`, `speak` or `build` has finished",
    )


def _clips(rows: Iterator[Mapping[str, Any]]) -> Iterator[Said]:
    for row in rows:
        if row["augmented_from"] is None:
            labels = {name: row.get(name) for name in LABELS}
            affect, prosody = row["affect"] or {}, row["prosody"] or {}
            measures = {name: affect.get(name) for name in AFFECT} | {name: prosody.get(name) for name in VOICE}
            yield Said(own_seconds(row), labels, measures)


def _utterances(rows: Iterator[Mapping[str, Any]]) -> Iterator[Said]:
    for row in rows:
        for utterance in row["utterances"] or ():
            if not is_number(utterance["start"]) or not is_number(utterance["end"]):  # it was left out
                continue
            seconds = max(0.0, utterance["end"] - utterance["start"])
            labels = dict.fromkeys(LABELS) | {"tag": utterance["tag"], "style": _style(utterance)}
            labels |= {
                "sentence_type": sentence_type(utterance["text"], row["language"]),
                "length": length_class(seconds),
            }
            yield Said(seconds, labels, {name: utterance[name] for name in (*AFFECT, *VOICE)})


def _style(utterance: Mapping[str, Any]) -> str | None:
    """The style that the rule for clips derives from a tag; None where its measures are not known."""
    measured = utterance["tag"] and is_number(utterance["arousal"]) and is_number(utterance["voiced_fraction"])
    return STYLE_OF_TAG.get(utterance["tag"], "normal") if measured else None


# Two sides of a comparison: how many hours, which labels and which measures each has, as HTML and as Markdown.
#
# A corpus is judged beside another that people know, such as DailyTalk by its own labels or DailyTalkContiguous
# by what the models rate. Shares are of clips or utterances, never of hours: a label is given to each of them
# once.


#: Values of a label with their own bar, or a line of the table.
MAX_VALUES = 16

#: Labels with few values, whose cards are below each other beside the high ones.
_FEW = ("style", "act", "sentence_type", "length")

#: The measures by their names in tables, each with its decimals.
_MEASURES = {
    "seconds": ("length (s)", 1),
    **{name: (name, 2) for name in AFFECT},
    "f0_mean": ("pitch (Hz)", 0),
    "f0_std": ("pitch variation (Hz)", 0),
    "speech_rate": ("rate (words/s)", 1),
}


@dataclass
class Spread:
    """Mean and standard deviation of numbers that are seen once (Welford 1962, Technometrics 4:419)."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Count a finite number."""
        self.n += 1
        distance = value - self.mean
        self.mean += distance / self.n
        self.squares += distance * (value - self.mean)

    @property
    def deviation(self) -> float:
        """The standard deviation of just these numbers; 0 without any."""
        return math.sqrt(self.squares / self.n) if self.n else 0.0


@dataclass
class ComparedSide:
    """One side: its name and unit, how many it has and their seconds, labels, measures, and cells of affect."""

    name: str
    unit: str
    n: int = 0
    seconds: float = 0.0
    labels: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in LABELS})
    measures: dict[str, Spread] = field(default_factory=lambda: {name: Spread() for name in _MEASURES})
    affect: Counter[tuple[int, int]] = field(default_factory=Counter)

    def add(self, item: Said) -> None:
        """Count a clip, file or utterance."""
        self.n += 1
        self.seconds += item.seconds
        for name, counts in self.labels.items():
            counts[item.labels[name] or UNKNOWN] += 1
        for name, value in {"seconds": item.seconds, **item.measures}.items():
            if is_number(value):
                self.measures[name].add(value)
        valence, arousal = item.measures["valence"], item.measures["arousal"]
        if is_number(valence) and is_number(arousal):
            self.affect[cell(valence, AFFECT_CELL, 1.0), cell(arousal, AFFECT_CELL, 1.0)] += 1

    def share(self, label: str, value: str) -> float:
        """The share in [0, 1] of those that have a value of a label."""
        return self.labels[label][value] / self.n


#: What a page is about, and what it is compared with.
Sides = tuple[ComparedSide, ComparedSide]


def compare_folders(folder: Path, other: Path) -> Sides:
    """Both sides, read to their ends. Raises DailytalkError if one has nothing to compare, or both are one."""
    if folder.resolve() == other.resolve():
        raise DailytalkError(f"{as_text(folder)!r} can't be compared with itself", "name another with --against")
    names = _names(folder, other)
    return _read(folder, names[0]), _read(other, names[1])


def cards(ours: ComparedSide, theirs: ComparedSide) -> render.Html:
    """The cards of the section: figures, labels, affect."""
    lines = [
        ("number", *(f"{render.thousands(side.n)} {side.unit}" for side in (ours, theirs))),
        ("speech", render.hours(ours.seconds), render.hours(theirs.seconds)),
        *_figures(ours, theirs),
    ]
    note = render.soft("Mean ± standard deviation of what is measured; affect from 0 to 1.")
    figures = render.html_table(("", ours.name, theirs.name), lines, ()) + note
    maps = _affect_card(ours) + _affect_card(theirs)
    drawn = {label: _label_card(ours, theirs, label) for label in _known_labels(ours, theirs)}
    low = [drawn.pop(label) for label in _FEW if label in drawn]
    high = render.card("Figures", figures, "", "sides") + maps + render.joined(drawn.values())
    return high + render.stack(*low)


def markdown(ours: ComparedSide, theirs: ComparedSide) -> str:
    """The same figures as one table of Markdown."""
    lines = [
        ("number", *(f"{side.n:,} {side.unit}" for side in (ours, theirs))),
        ("speech", span(ours.seconds), span(theirs.seconds)),
        *_figures(ours, theirs),
    ]
    for label in _known_labels(ours, theirs):
        for value, *both in values(ours, theirs, label):
            lines.append((f"{LABELS[label].lower()}: {escaped(value)}", *map(_percent, both)))
    head = ("mean ± standard deviation (affect: 0 to 1), or share", escaped(ours.name), escaped(theirs.name))
    return markdown_table(head, lines)


def _read(folder: Path, name: str) -> ComparedSide:
    source = source_of(folder)
    side = ComparedSide(name, source.unit)
    for item in source.said:
        side.add(item)
    if not side.n:
        raise DailytalkError(
            f"{as_text(folder)!r} has no finished {source.unit} to compare", "let the command that makes it finish"
        )
    return side


def _names(folder: Path, other: Path) -> tuple[str, str]:
    """The shortest distinct ends of two different paths."""
    parts, other_parts = (path.resolve().parts for path in (folder, other))
    n = next(n for n in count(1) if parts[-n:] != other_parts[-n:])
    return as_text(Path(*parts[-n:])), as_text(Path(*other_parts[-n:]))


def _known_labels(ours: ComparedSide, theirs: ComparedSide) -> list[str]:
    """Labels that are known on at least one side."""
    return [label for label in LABELS if {*ours.labels[label], *theirs.labels[label]} - {UNKNOWN}]


def values(ours: ComparedSide, theirs: ComparedSide, label: str) -> list[tuple[str, float, float]]:
    """The values of a label with their shares, the commonest first; rare ones added up, and unknown ones last."""
    names = {*ours.labels[label], *theirs.labels[label]}
    shares = {value: (ours.share(label, value), theirs.share(label, value)) for value in names}
    unknown = shares.pop(UNKNOWN, None)
    ranked = sorted(shares.items(), key=lambda item: (-sum(item[1]), item[0]))
    lines = [(value, *pair) for value, pair in ranked[:MAX_VALUES]]
    if rest := [pair for _, pair in ranked[MAX_VALUES:]]:
        lines.append((f"{len(rest)} others", sum(left for left, _ in rest), sum(left for _, left in rest)))
    return lines + ([(UNKNOWN, *unknown)] if unknown else [])


def _figures(ours: ComparedSide, theirs: ComparedSide) -> list[tuple[str, ...]]:
    return [
        (title, *(_figure(side, name, digits) for side in (ours, theirs)))
        for name, (title, digits) in _MEASURES.items()
    ]


def _figure(side: ComparedSide, name: str, digits: int) -> str:
    spread = side.measures[name]
    share = "" if spread.n == side.n else f" ({_percent(spread.n / side.n)} known)"
    return f"{spread.mean:.{digits}f} ± {spread.deviation:.{digits}f}{share}" if spread.n else "–"


def _percent(share: float) -> str:
    """A share in whole per cent; one that is there and rare is not shown as none."""
    return "< 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _label_card(ours: ComparedSide, theirs: ComparedSide, label: str) -> render.Html:
    rows = [
        Bar(value, (left, right), f"{_percent(left)} · {_percent(right)}")
        for value, left, right in values(ours, theirs, label)
    ]
    colours = render.key(("after", ours.name), ("before", theirs.name))
    units = " and of ".join(dict.fromkeys((ours.unit, theirs.unit)))
    plot = bars(f"{LABELS[label]}, in shares of {units}", rows, ("after", "before"), grouped=True)
    return render.card(LABELS[label], colours + plot, "")


def _affect_card(side: ComparedSide) -> render.Html:
    title = f"Affect of {side.name} ({render.thousands(side.affect.total())} {side.unit})"
    plot = affect_map(title, side.affect, side.unit) if side.affect else ""
    return render.card(title, plot, "no measures of affect")


# The report of an expressive corpus as Markdown, for a section of a card.
#
# It has what a reader of the data has to know: hours by label, what is missing, quality, what was rejected,
# the authors and the licences. Speakers are too many for a card, and plots are for the page.


#: What clips are counted along here.
_SHOWN = tuple(name for name in DIMENSIONS if name != "speaker")


def corpus_summary(tally: CorpusTally, credits: Sequence[Credit] = (), sides: Sides | None = None) -> str:
    """The figures, the authors, and, given another side, a comparison."""
    pieces = [
        f"{counted(tally.all.clips, tally.unit)}, {span(tally.all.seconds)} recorded; "
        f"{span(tally.all.seen)} seen in training, where {tally.all.copies:,} are augmented copies.",
        *(_dimension(tally, name) for name in _SHOWN),
        _missing(tally),
        *_quality(tally),
        _rejected(tally),
        _licences(tally),
        markdown_table(("source", "licence", "citation"), map(credit_cells, credits)),
    ]
    if sides:
        pieces += [f"Beside {escaped(sides[1].name)}:", markdown(*sides)]
    return "\n\n".join(piece for piece in pieces if piece) + "\n"


def _dimension(tally: CorpusTally, name: str) -> str:
    lines = [
        (escaped(value), f"{group.clips:,}", span(group.seconds), span(group.seen))
        for value, group in sorted(tally.by[name].items())
    ]
    return markdown_table((DIMENSIONS[name].lower(), f"{tally.unit}s", "recorded", "seen in training"), lines)


def _missing(tally: CorpusTally) -> str:
    head = ("emotion", "recorded for training", "seen", f"lacks to {tally.target / 60:g} min", "what to record")
    return markdown_table(head, [[escaped(value) for value in line] for line in shortfall_lines(tally)])


def _quality(tally: CorpusTally) -> list[str]:
    if not tally.measured:
        return []
    lines = [
        (
            measure.axis.title,
            " and ".join(f"{limit:g}" for limit in measure.limits(tally.limits)) or "none",
            f"{tally.outside[name]:,}",
        )
        for name, measure in MEASURES.items()
    ]
    head = ("measure", "limit", "beyond it")
    return [f"Quality of {counted(tally.measured, 'clip')} as they came:", markdown_table(head, lines)]


def _rejected(tally: CorpusTally) -> str:
    ranked = tally.rejects.most_common(MAX_CORPUS_LINES)
    lines = [(escaped(stage), escaped(why), f"{number:,}") for (stage, why), number in ranked]
    return markdown_table(("rejected by", "reason", "number"), lines)


def _licences(tally: CorpusTally) -> str:
    lines = [
        (escaped(name or UNKNOWN), f"{group.clips:,}", licence_in_words(name))
        for name, group in sorted(tally.licences.items(), key=str)
    ]
    return markdown_table(("licence", f"{tally.unit}s", "asks for"), lines)


# The page of conversations: a file of HTML that needs no network and can be sent by mail.
#
# Rows are read once, one at a time, and counted; only the conversations that the user chose are drawn and embedded
# with their sound. The page forbids every connection.


#: The page's name in its folder, and the number of conversations that it shows by default.
REPORT, SHOWN = "report.html", 3

#: Rejects that are listed with their remedies.
EXAMPLES = 30


@dataclass(frozen=True)
class WrittenReport:
    """A report: its place, its bytes, how many conversations it is about, and the ids of those it shows."""

    path: Path
    size: int
    conversations: int
    shown: tuple[str, ...]


def write_report(
    folder: Path, out: Path | None = None, shown: int | Sequence[str] = SHOWN, other: Path | None = None
) -> WrittenReport:
    """Write the report of a work folder, or of a folder of finished shards.

    Args:
        folder: as `dailytalk build`, `speak` or `tag` left it.
        out: the file; by default `report.html` in the folder.
        shown: how many conversations to draw and embed, from the first; or their ids.
        other: a folder to compare its utterances with, as `source_of` takes it; None for none.

    Raises DailytalkError if the folder holds no conversations or can't be read, an id is not in it, or there is
    nothing to compare.
    """
    path = out or _default_path(folder)
    sides = compare_folders(folder, other) if other else None
    return _write(open_items(folder), path, shown, sides)


def write_version_report(version: Version, out: Path, shown: int | Sequence[str] = SHOWN) -> WrittenReport:
    """The same of a published version, row by row over the network; `version` is what `open_version` found."""
    return _write(open_items(version), out, shown)


def _write(items: Items, path: Path, shown: int | Sequence[str], sides: Sides | None = None) -> WrittenReport:
    tally = Tally(items.rebuilt)
    ids = () if isinstance(shown, int) else tuple(dict.fromkeys(shown))
    panels: dict[str, Html] = {}
    refused: list[dict[str, str]] = []
    for row in items.rows(SMALL):
        name = row["conversation_id"]
        if row.get("problem"):
            refused.append(Reject(name, "report", row["problem"], row["remedy"]).as_dict())
            continue
        tally.add(row)
        if name in ids or (isinstance(shown, int) and len(panels) < shown):
            panels[name] = _panel(items, row)
    missing = [name for name in ids if name not in panels]
    if missing:
        raise DailytalkError(
            f"{items.where} has no conversation {', '.join(map(repr, missing))}",
            "give conversation ids as the dataset has them, or a number of conversations",
        )
    examples: list[dict[str, str]] = []
    for reject in itertools.chain(refused, items.rejects()):
        tally.add_reject(reject)
        if len(examples) < EXAMPLES:
            examples.append(reject)
    chosen = [panels[name] for name in ids or panels]
    run = (read_run(items.folder) if items.folder else None) or {}
    write_lines(path, page_of(items.name, _conversation_sections(tally, run, examples, chosen, sides)))
    return WrittenReport(path, path.stat().st_size, tally.conversations, tuple(ids or panels))


def _panel(items: Items, row: Row) -> Html:
    try:
        sound = items.sound(row["conversation_id"])
    except BadInput as problem:
        return panel(row | {"audio": None}, 0.0, items.rebuilt, problem.reason)
    return panel(row | {"audio": sound.audio}, sound.offset, items.rebuilt, "")


def _default_path(folder: Path) -> Path:
    """The page's default path. Raises DailytalkError where it would be among shards."""
    if any(folder.glob("*.parquet")):
        raise DailytalkError(
            f"{folder} is a folder of shards, and `load_dataset` fails on any other file among them",
            "name the page with --out, or give the work folder",
        )
    return folder / REPORT


def _conversation_sections(
    tally: Tally,
    run: dict[str, object],
    examples: Sequence[dict[str, str]],
    panels: Sequence[Html],
    sides: Sides | None,
) -> Iterator[tuple[str, str, Html]]:
    """Id, title and HTML of each section."""
    yield "facts", "", facts(tally, run)
    yield "turns", "Turn-taking", plots(offset_cards(tally), events(tally), turn_table(tally))
    yield "style", "Style", plots(tags(tally), buckets(tally), affect(tally))
    if tally.rebuilt:
        yield "synthesis", "Synthesis", plots(lengths(tally), synthesis(tally, run))
    if sides:
        yield "against", f"Against {sides[1].name}", plots(cards(*sides))
    yield "rejected", "Rejected", plots(rejected(tally, examples))
    if panels:
        yield "listen", "Listen and look", joined(panels)


def page_of(name: str, sections: Iterator[tuple[str, str, Html]]) -> Iterator[str]:
    """The pieces of a page's text from its name, and the id, title and HTML of each section."""
    top, bottom = template("report.html").split("@@CONTENT@@")
    parts = list(sections)
    yield top.replace("@@TITLE@@", fill("{}: dailytalk report", name))
    yield fill("<h1>{}</h1>", name)
    links = joined(fill('<a href="#{}">{}</a>', anchor, title) for anchor, title, _ in parts if title)
    yield fill('<nav aria-label="Sections">{}</nav>', links)
    for anchor, title, html in parts:
        heading = fill("<h2>{}</h2>", title) if title else ""
        yield fill('<section id="{}">{}{}</section>\n', anchor, heading, html)
    yield bottom


# The report of an expressive corpus or of a mix: a self-contained page, and a summary in Markdown for a card.
#
# After `dailytalk corpus --report-only` there are measures and no clips; then the page shows where the limits
# of quality are and what they would reject, which helps to choose them.


#: Clips to listen to.
SAMPLES = 20


@dataclass(frozen=True)
class WrittenCorpusReport:
    """A report: its page, its bytes, recorded clips, the ids of those with sound, and clips measured."""

    path: Path
    size: int
    clips: int
    heard: tuple[str, ...]
    measured: int


def write_corpus_report(
    folder: Path, out: Path | None = None, markdown: Path | None = None, other: Path | None = None
) -> WrittenCorpusReport:
    """Write the report of the work folder of a corpus, or of a mix.

    Args:
        folder: as `dailytalk corpus` left it, with `--report-only` or without, or as `dailytalk mix` did.
        out: the page; by default `report.html` in the folder.
        markdown: a file for the summary; None for none.
        other: a folder to compare it with, as `source_of` takes it; None for none.

    Raises DailytalkError if a folder can't be read, or there is nothing to compare.
    """
    path = out or folder / REPORT
    sides = compare_folders(folder, other) if other else None
    record = record_of(folder)
    items = open_items(folder)
    # How often a manifest names a clip: the rows of a mix have it, for a corpus it follows from all of them.
    counts = {} if items.kind == "mix" else listed_clips(items.clips())
    tally = _tallied(
        items, folder, record, (row | {"weight": counts.get(row["id"], row["weight"])} for row in items.clips())
    )
    examples: list[dict[str, str]] = []
    for reject in items.rejects():
        tally.add_reject(reject)
        if len(examples) < EXAMPLES:
            examples.append(reject)
    chosen = spread_over(tally.chosen_by, SAMPLES)
    audible = left_channels(items, chosen)
    shown = {name: clip_of(items.row(name)) for name in chosen}
    credits = credits_of(record)
    write_lines(
        path, page_of(items.name, _corpus_sections(tally, credits, sides, samples(shown, audible), examples))
    )
    if markdown:
        write_text(markdown, corpus_summary(tally, credits, sides))
    return WrittenCorpusReport(path, path.stat().st_size, tally.all.clips, tuple(audible), tally.measured)


def _tallied(
    items: Items, folder: Path, record: Mapping[str, Any], rows: Iterator[Mapping[str, Any]]
) -> CorpusTally:
    minutes = (record.get("balance") or {}).get("minutes_before", {})
    before = {name: 60 * value for name, value in minutes.items()}
    target_minutes = (record.get("settings") or {}).get("target_minutes") if minutes else None
    target = 60.0 * target_minutes if target_minutes and is_number(target_minutes, 0) else 3600 * LEAST_HOURS
    tally = CorpusTally(_limits(folder, record), before, target, unit="file" if items.kind == "mix" else "clip")
    for row in rows:
        tally.add(row)
    for row in items.measures():
        tally.add_measured(row)
    return tally


def _corpus_sections(
    tally: CorpusTally,
    credits: Sequence[Credit],
    sides: Sides | None,
    samples: Html,
    examples: Sequence[Mapping[str, str]],
) -> Iterator[tuple[str, str, Html]]:
    """Id, title and HTML of each section."""
    yield "facts", "", corpus_facts(tally)
    if tally.all.clips:
        yield "what", "What is in it", plots(*(dimension(tally, name) for name in DIMENSIONS))
        yield "balance", "Balance", plots(balance(tally), missing(tally))
        yield "affect", "Affect", plots(corpus_affect(tally))
    if sides:
        yield "against", f"Against {sides[1].name}", plots(cards(*sides))
    if tally.measured:
        yield "quality", "Quality, of all clips as they came", plots(quality(tally))
    yield "rejected", "Rejected", plots(corpus_rejected(tally, examples))
    if tally.all.clips:
        yield "licences", "Licences and sources", plots(corpus_licences(tally), sources(credits))
        yield "listen", "Listen", samples


def _limits(folder: Path, run: Mapping[str, Any]) -> QualityLimits:
    """The limits of the run; before there is one, those of the last `--report-only`."""
    settings = (run.get("settings") or {}).get("limits") or planned_limits(folder)
    return QualityLimits(
        **{limit.name: settings[limit.name] for limit in fields(QualityLimits) if limit.name in settings}
    )
