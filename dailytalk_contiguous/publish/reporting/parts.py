"""The parts of a report, each a piece of HTML from the tally: facts, plots, tables.

A part without anything to show says so in a sentence instead of drawing an empty plot.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dailytalk_contiguous.core import wording
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.publish.reporting.html import (
    Html,
    card,
    counted,
    examples_of,
    facts_of,
    hours,
    key,
    money,
    percent,
    soft,
    stack,
    table,
)
from dailytalk_contiguous.publish.reporting.plots import Axis, Bar, bars, bubbles, histogram, shares
from dailytalk_contiguous.publish.reporting.tally import (
    AFFECT_CELL,
    BUCKETED,
    LENGTH_CELL,
    LENGTH_LIMIT,
    OFFSET_BINS,
    Side,
    Tally,
    quantile,
)

#: Tags that have a bar of their own, and lines of a table; the rest is counted in one.
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
    found = [
        ("conversations", counted(tally.conversations), _languages(tally.languages)),
        ("audio", hours(tally.seconds), f"recorded: {hours(tally.before.seconds)}" if tally.rebuilt else ""),
        ("speech", hours(side.speech_seconds), "both speakers added up"),
        (
            "utterances",
            counted(tally.utterances),
            " · ".join(f"{counted(n)} {c}" for c, n in _sorted(tally.channels)),
        ),
        ("words with times", counted(tally.words), ""),
    ]
    if tally.rebuilt:
        said = tally.statuses["spoken"]
        found.append(("resynthesised", counted(said), f"{percent(said, tally.utterances)} of the utterances"))
        found.append(("spent on speech", money(tally.cost), _saved(run)))
    n_rejects = sum(tally.rejects.values())
    found.append(("rejected", counted(n_rejects), "utterances, conversations or recordings"))
    return facts_of(found)


def tags(tally: Tally) -> Html:
    """How often each tag stands before an utterance, by speaker."""
    total = sum(sum(found.values()) for found in tally.tags.values())
    ranked = sorted(tally.tags.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    shown = [(name, Counter(found)) for name, found in ranked[:MAX_TAGS]]
    if ranked[MAX_TAGS:]:
        shown.append(
            (f"{len(ranked) - MAX_TAGS} others", sum((found for _, found in ranked[MAX_TAGS:]), Counter()))
        )
    rows = [
        Bar(name, (found["left"], found["right"]), f"{found.total()} ({percent(found.total(), total)})")
        for name, found in shown
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
    """Where utterances lie between low and high valence and arousal."""
    cells = [
        ((x + 0.5) * AFFECT_CELL, (y + 0.5) * AFFECT_CELL, found.total(), _cell_hint(found))
        for (x, y), found in tally.affect.items()
    ]
    plot = bubbles(
        "Utterances by valence and arousal",
        cells,
        Axis("valence (0 to 1)", 0, 1, 0.25),
        Axis("arousal (0 to 1)", 0, 1, 0.25),
    )
    note = soft(f"Area: number of utterances (of {counted(sum(c[2] for c in cells))}) in each cell.")
    return card("Valence and arousal", plot + note if cells else "", "no measures of affect")


def offsets(tally: Tally) -> Html:
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
            " → ".join(counted(side.events[name]) for _, side in sides),
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
    figures = table(("", *names), [(name, *values) for name, values in lines], range(1, 1 + len(names)))
    if tally.rebuilt:
        kept = f"{tally.backchannels_kept} of {tally.backchannels} backchannels stayed inside their turn"
        figures += soft(f"{kept}; {tally.lost_seconds:.2f} s of kept speech and sounds lost.")
    return card("Figures", figures, "")


def lengths(tally: Tally) -> Html:
    """New against old length of each utterance that was resynthesised."""
    cells = [
        (
            (x + 0.5) * LENGTH_CELL,
            (y + 0.5) * LENGTH_CELL,
            found,
            f"{wording.counted(found, 'utterance')}: {x * LENGTH_CELL:g} to {(x + 1) * LENGTH_CELL:g} s recorded, "
            f"{y * LENGTH_CELL:g} to {(y + 1) * LENGTH_CELL:g} s new",
        )
        for (x, y), found in tally.lengths.items()
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
    said = sum(tally.voices.values())
    lines = [(f"{_STATUSES.get(name, name)}", counted(found)) for name, found in tally.statuses.most_common()]
    lines += [(f"why not: {reason}", counted(found)) for reason, found in tally.reasons.most_common(MAX_LINES)]
    lines.append(("needed more than one try", f"{counted(tally.n_retried)} ({percent(tally.n_retried, said)})"))
    if tally.error_rates:
        lines.append(("word error rate of the synthesis, median", f"{quantile(tally.error_rates, 0.5):.0f} %"))
    lines.append(("paid for what is in here", money(tally.cost)))
    lines.append(("an hour of finished audio", money(3600 * tally.cost / tally.seconds) if tally.seconds else "–"))
    told = _money_of(run)
    if is_number(told.get("spent")):
        lines.append(("spent by the last run", money(told["spent"])))
    if is_number(told.get("saved_by_cache")):
        lines.append(("saved by the cache in the last run", money(told["saved_by_cache"])))
    voices = [(name or "unnamed", counted(found)) for name, found in tally.voices.most_common(MAX_LINES)]
    known = [(name, counted(found)) for name, found in tally.word_sources.most_common()]
    return card("Utterances and money", table(("", ""), lines, [1]), "") + stack(
        card("Voices", table(("engine · model · voice", "utterances"), voices, [1]) if voices else "", "none"),
        card("How word times are known", table(("", "words"), known, [1]) if known else "", "no words"),
    )


def rejected(tally: Tally, examples: Sequence[Mapping[str, str]]) -> Html:
    """What was rejected, by stage and reason, and the first few with their remedies."""
    kinds = [(stage, reason, counted(found)) for (stage, reason), found in tally.rejects.most_common(MAX_LINES)]
    if len(tally.rejects) > MAX_LINES:
        rest = sum(found for _, found in tally.rejects.most_common()[MAX_LINES:])
        kinds.append(("", f"{len(tally.rejects) - MAX_LINES} other kinds", counted(rest)))
    what = table(("stage", "reason", "number"), kinds, [2])
    return card("By kind", what + examples_of(examples) if kinds else "", "nothing was rejected", "wide")


def _money_of(run: Mapping[str, Any]) -> Mapping[str, Any]:
    speak = run.get("speak")
    told = speak.get("money") if isinstance(speak, dict) else None
    return told if isinstance(told, dict) else {}


def _saved(run: Mapping[str, Any]) -> str:
    saved: Any = _money_of(run).get("saved_by_cache")
    return f"{money(saved)} saved by the cache" if is_number(saved) else ""


def _sides(tally: Tally) -> list[tuple[str, Side]]:
    return [("before", tally.before), ("after", tally.after)] if tally.rebuilt else [("before", tally.before)]


def _binned(side: Side) -> dict[float, float]:
    """Shares of the offsets in bins of the plot, by their lower edges; what lies outside is in the outer bins."""
    total, width = side.offsets.total(), round(OFFSET_WIDTH * OFFSET_BINS)
    low, high = round(OFFSETS.low * OFFSET_BINS), round(OFFSETS.high * OFFSET_BINS)
    found: Counter[float] = Counter()
    for value, number in side.offsets.items():
        edge = (min(max(value, low), high - 1) - low) // width * width + low
        found[round(edge / OFFSET_BINS, 6)] += number
    return {edge: number / total for edge, number in found.items()}


def _offset(side: Side, share: float) -> str:
    value = quantile(side.offsets, share) / OFFSET_BINS
    return f"{value:+.2f} s".replace("-", "−") if is_number(value) else "–"


def _cell_hint(found: Counter[str]) -> str:
    return f"{wording.counted(found.total(), 'utterance')}: " + ", ".join(
        f"{name} {number}" for name, number in found.most_common(5)
    )


def _languages(found: Counter[str]) -> str:
    named = ", ".join(name for name, _ in found.most_common(4))
    return named + (f" and {len(found) - 4} more" if len(found) > 4 else "")


def _sorted(found: Counter[str]) -> list[tuple[str, int]]:
    return sorted(found.items())
