"""The parts of the report of an expressive corpus, each a piece of HTML.

As in `parts`: a part without anything to show says so.
"""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dailytalk_contiguous.core import wording
from dailytalk_contiguous.core.balance import disparity
from dailytalk_contiguous.core.licensing import in_words
from dailytalk_contiguous.publish.credits import Credit
from dailytalk_contiguous.publish.reporting.expressive_tally import (
    DIMENSIONS,
    MEASURES,
    UNKNOWN,
    CorpusTally,
    Group,
)
from dailytalk_contiguous.publish.reporting.html import (
    Html,
    card,
    counted,
    examples_of,
    facts_of,
    fill,
    hours,
    joined,
    key,
    percent,
    soft,
    table,
)
from dailytalk_contiguous.publish.reporting.plots import Axis, Bar, bars, bubbles, histogram
from dailytalk_contiguous.publish.reporting.tally import AFFECT_CELL

#: Speakers that have a bar of their own, and lines of rejects.
MAX_BARS, MAX_LINES = 24, 20


def facts(tally: CorpusTally) -> Html:
    """The figures at the top."""
    validation = tally.by["split"].get("validation", Group())
    found = [
        (f"{tally.unit}s", counted(tally.all.clips), f"{hours(tally.all.seconds)} recorded"),
        ("copies", counted(tally.all.copies), "augmented, in training only"),
        ("seen in training", hours(tally.all.seen), "with copies and weights"),
        (
            "validation",
            hours(validation.seconds),
            f"{percent(validation.seconds, tally.all.seconds)} of recordings",
        ),
        ("speakers", counted(len({*tally.by["speaker"]} - {UNKNOWN})), ""),
        ("rejected", counted(tally.rejects.total()), "files and clips"),
    ]
    if tally.measured:
        beyond = f"{counted(tally.refused)} beyond a limit of quality"
        found.insert(-1, ("measured", counted(tally.measured), beyond))
    return facts_of(found)


def dimension(tally: CorpusTally, name: str) -> Html:
    """Hours and counts of each value of a dimension."""
    ranked = sorted(tally.by[name].items(), key=lambda item: (-item[1].seconds, item[0]))
    rows = [Bar(value, (one.seconds,), _label(one)) for value, one in ranked[:MAX_BARS]]
    rest = ranked[MAX_BARS:]
    if rest:
        seconds = sum(one.seconds for _, one in rest)
        number = sum(one.clips for _, one in rest)
        rows.append(Bar(f"{len(rest)} others", (seconds,), f"{counted(number)} · {hours(seconds)}"))
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
    seen = {name: one.seen for name, one in tally.by["emotion"].items()}
    return {name: (tally.recorded(name), seen.get(name, 0.0)) for name in sorted({*seen, *tally.before})}


def missing(tally: CorpusTally) -> Html:
    """What recordings every emotion lacks, and what to record."""
    lines = shortfall_lines(tally)
    head = ("emotion", "recorded", "seen", "lacks recorded", "what to record")
    what = table(head, lines, (1, 2, 3))
    if not tally.all.clips:
        return card("What is missing", "", "no finished clips", "wide")
    enough = soft(f"Every emotion has {tally.target / 60:g} minutes of recordings in training.")
    return card(f"What is missing to reach {tally.target / 60:g} minutes", what if lines else enough, "", "wide")


def shortfall_lines(tally: CorpusTally) -> list[tuple[str, str, str, str, str]]:
    """Emotion, minutes recorded and seen in training, minutes that recordings lack, and what to record."""
    lines = []
    minutes = before_and_after(tally)
    for short in tally.shortfalls():
        name, (recorded, seen) = short.emotion, minutes[short.emotion]
        what = short.to_record().partition(": ")[2]
        lines.append((name, _minutes(recorded), _minutes(seen), _minutes(short.seconds), what))
    return lines


def affect(tally: CorpusTally) -> Html:
    """A map of valence and arousal for every emotion, all with the same axes."""
    cards = []
    for name, found in sorted(tally.affect.items()):
        plot = affect_map(f"Clips that are {name} by valence and arousal", found, "clips")
        cards.append(card(f"{name} ({counted(found.total())} clips)", plot, ""))
    return joined(cards) or card("Affect", "", "no clip has affect")


def affect_map(title: str, found: Counter[tuple[int, int]], unit: str) -> Html:
    """Numbers of `unit` in cells of valence and arousal; all such maps have the same axes."""
    cells = [
        ((x + 0.5) * AFFECT_CELL, (y + 0.5) * AFFECT_CELL, number, wording.counted(number, unit.removesuffix("s")))
        for (x, y), number in found.items()
    ]
    axes = (Axis("valence (0 to 1)", 0, 1, 0.25), Axis("arousal (0 to 1)", 0, 1, 0.25))
    return bubbles(title, cells, *axes)


def quality(tally: CorpusTally) -> Html:
    """A histogram of every measure with its limits, of all clips that were measured."""
    cards = []
    for name, measure in MEASURES.items():
        found = tally.bins[name]
        total = found.total()
        shares = {edge: number / total for edge, number in found.items()}
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
        beyond = f"{counted(tally.outside[name])} of {counted(total)} ({percent(tally.outside[name], total)})"
        note = soft(f"Limit: {at}. Beyond it: {beyond}; not known of {counted(tally.unknown[name])}.")
        cards.append(
            card(measure.axis.title.partition(" (")[0].capitalize(), plot + note if total else "", "no values")
        )
    return joined(cards)


def samples(rows: Mapping[str, Mapping[str, Any]], heard: Mapping[str, bytes]) -> Html:
    """Clips to listen to, in the order of `heard`."""
    return fill(
        '<div class="samples">{}</div>', joined(_sample(rows[name], sound) for name, sound in heard.items())
    )


def rejected(tally: CorpusTally, examples: Sequence[Mapping[str, str]]) -> Html:
    """What was rejected, by stage and reason, and the first few with their remedies."""
    kinds = [(*kind, counted(found)) for kind, found in tally.rejects.most_common(MAX_LINES)]
    if len(tally.rejects) > MAX_LINES:
        rest = sum(found for _, found in tally.rejects.most_common()[MAX_LINES:])
        kinds.append(("", f"{len(tally.rejects) - MAX_LINES} other kinds", counted(rest)))
    what = table(("stage", "reason", "number"), kinds, [2]) + examples_of(examples)
    return card("By kind", what if kinds else "", "nothing was rejected", "wide")


def licences(tally: CorpusTally) -> Html:
    """The licences of the clips, and what they ask for."""
    lines = [
        # What is bold in Markdown is plain here.
        (name or UNKNOWN, counted(one.clips), hours(one.seconds), in_words(name).replace("**", ""))
        for name, one in sorted(tally.licences.items(), key=str)
    ]
    what = table(("licence", "clips", "recorded", "asks for"), lines, (1, 2))
    return card("Licences", what if lines else "", "no finished clips", "wide")


def sources(credits: Sequence[Credit]) -> Html:
    """Whose work it is: what licences ask to be named."""
    return card("Sources", joined(map(_source, credits)), "the folder names none", "wide")


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"


def _label(one: Group) -> str:
    return f"{counted(one.clips)} · {hours(one.seconds)}"


def _source(one: Credit) -> Html:
    is_link = one.homepage.startswith(("https://", "http://"))
    return fill(
        "<p><b>{}</b> · {} · {}<br>{}</p>",
        one.name,
        one.licence or "licence not told",
        fill('<a href="{0}">{0}</a>', one.homepage) if is_link else one.homepage or "home page not told",
        one.citation or "citation not told",
    )


def _sample(row: Mapping[str, Any], sound: bytes) -> Html:
    told = " · ".join(
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
        told,
        player,
        row["text"] or "",
    )
