"""The sections of a card that hold figures: statistics and turn-taking, as tables and sentences."""

import math
from collections.abc import Sequence

from dailytalk_contiguous.core.built import EVENTS
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.cards.statistics import CardStatistics, Sum
from dailytalk_contiguous.publish.cards.words import details, escaped, span, table
from dailytalk_contiguous.publish.packing.packed import Packed
from dailytalk_contiguous.publish.reporting.tally import BUCKETED, OFFSET_BINS, Side, quantile

#: Speakers that are listed; what comes after them is one line.
MOST_SPEAKERS = 30

_MEASURES = {
    "valence": ("valence", "", 3),
    "arousal": ("arousal", "", 3),
    "dominance": ("dominance", "", 3),
    "rms": ("loudness (RMS)", "full scale", 4),
    "zcr": ("zero crossings", "a sample", 3),
    "f0_mean": ("pitch, mean", "Hz", 1),
    "f0_std": ("pitch, deviation", "Hz", 1),
    "speech_rate": ("speech rate", "words/s", 2),
    "voiced_fraction": ("voiced share", "", 3),
}


def split_table(found: CardStatistics, packed: Packed) -> str:
    """Conversations, utterances, words and hours by split, and the rows of the other configs."""
    rows = [(f"`{name}`", sums) for name, sums in found.splits.items()]
    if len(rows) > 1:
        rows.append(("all", _total([sums for _, sums in rows])))
    lines = [
        (name, f"{one.conversations:,}", f"{one.utterances:,}", f"{one.words:,}", span(one.seconds))
        for name, one in rows
    ]
    others = [
        f"The config `{config}` has {counted(sum(file.rows for own in splits.values() for file in own), 'row')}."
        for config, splits in packed.configs.items()
        if config != "conversations"
    ]
    head = ("split", "conversations", "utterances", "aligned words", "audio")
    return "\n\n".join([table(head, lines), " ".join(others)]).rstrip()


def speaker_table(found: CardStatistics) -> str:
    """Speech by speaker, the longest first."""
    ranked = sorted(found.speakers.items(), key=lambda item: (-item[1].seconds, item[0]))
    rows = [
        (escaped(name), "synthesised" if made else "own", *_sums(sums))
        for (name, made), sums in ranked[:MOST_SPEAKERS]
    ]
    rest = ranked[MOST_SPEAKERS:]
    if rest:
        total = _total([sums for _, sums in rest])
        rows.append((f"{len(rest):,} others", "", "", f"{total.utterances:,}", span(total.seconds)))
    return table(("speaker", "voice", "conversations", "utterances", "speech"), rows)


def tag_table(found: CardStatistics) -> str:
    """Speech by tag, folded up."""
    ranked = sorted(found.tags.items(), key=lambda item: (-math.fsum(item[1].values()), item[0]))
    rows = [
        (
            escaped(tag),
            span(math.fsum(by.values())),
            span(by.get("left", 0.0)),
            span(by.get("right", 0.0)),
            f"{found.tagged[tag]:,}",
        )
        for tag, by in ranked
    ]
    return details("Speech by style tag", table(("tag", "speech", "left", "right", "utterances"), rows))


def measure_table(found: CardStatistics) -> str:
    """Affect and prosody: mean, deviation and range over utterances."""
    rows = []
    for name, moments in {**found.affect, **found.prosody}.items():
        title, unit, digits = _MEASURES[name]
        if moments.n:
            values = (moments.mean, moments.deviation, moments.low, moments.high)
            rows.append((title, unit, *(f"{value:.{digits}f}" for value in values), f"{moments.n:,}"))
    return table(("of the source performance", "unit", "mean", "deviation", "least", "most", "utterances"), rows)


def bucket_table(found: CardStatistics) -> str:
    """Shares of LOW, MID and HIGH, folded up."""
    rows = []
    for name in BUCKETED:
        counts = found.tally.buckets.get(name)
        if counts:
            total = sum(counts.values())
            shares = (f"{100 * counts[level] / total:.0f} %" for level in ("LOW", "MID", "HIGH"))
            rows.append((name.replace("_", " "), *shares))
    text = table(("measure", "LOW", "MID", "HIGH"), rows)
    return details("Buckets, of which each is relative to its speaker and conversation", text)


def turns(found: CardStatistics, has_plot: bool) -> str:
    """How speakers take turns, in the source and here."""
    before, after = found.tally.before, found.tally.after
    if not after.events:
        return "No utterance has times, so there is nothing to measure."
    kept = counted(found.tally.backchannels_kept, "backchannel")
    parts = [
        "A floor-transfer offset is the time from the end of one speaker's turn to the start of the other's: a "
        "gap above 0, an overlap below it.",
        table(("measure", "source", "this dataset"), _turn_rows(before, after)),
        "![Floor-transfer offsets in the source and in this dataset](assets/offsets.png)" if has_plot else "",
        f"{kept} of {found.tally.backchannels:,} in the source lie inside the same turn as before. "
        f"{span(found.tally.lost_seconds)} of the recorded speaker's speech and sounds got lost.",
        "A *backchannel* lies inside the other's turn; an *overlap* starts shortly before the other ends; an "
        "*interruption* starts well before, and the other stops.",
    ]
    return "\n\n".join(part for part in parts if part)


def _turn_rows(before: Side, after: Side) -> list[Sequence[str]]:
    shares = {"median offset": 0.5, "10th percentile": 0.1, "90th percentile": 0.9}
    return [
        *((name, _seconds(before, share), _seconds(after, share)) for name, share in shares.items()),
        ("both speak at once", _overlap(before), _overlap(after)),
        *((f"{event}s", f"{before.events[event]:,}", f"{after.events[event]:,}") for event in EVENTS),
    ]


def _seconds(side: Side, share: float) -> str:
    value = quantile(side.offsets, share) / OFFSET_BINS
    return "–" if math.isnan(value) else f"{value:.2f} s".replace("-", "−")


def _overlap(side: Side) -> str:
    return f"{100 * side.overlap_seconds / side.seconds:.1f} %" if side.seconds > 0 else "–"


def _sums(sums: Sum) -> tuple[str, str, str]:
    return f"{sums.conversations:,}", f"{sums.utterances:,}", span(sums.seconds)


def _total(sums: Sequence[Sum]) -> Sum:
    total = Sum()
    for one in sums:
        total.conversations += one.conversations
        total.utterances += one.utterances
        total.words += one.words
        total.seconds += one.seconds
    return total
