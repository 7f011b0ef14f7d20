"""A conversation to listen to and look at: both channels' waveforms, what is said along them, and a player.

The sound goes into the page as MP3 at a constant rate, the one small format that every browser plays and seeks to
the frame; both speakers stay on their sides. Drawing and sound end after three minutes, which keeps a page with a
few conversations under 10 MB.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import Samples, read_at
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.publish.render import Html, fill, joined

#: Seconds of a conversation that are shown and embedded, and the rate in Hz that they are embedded at.
LONGEST, RATE = 180.0, 24000

#: libsndfile's scale from 0 (best) to 1; at 24 kHz stereo this is a constant 80 kbit/s.
COMPRESSION = 0.5

#: CSS pixels a second of the drawing, and between two lines of the waveform. `report.html` reads the first from
#: the attribute `data-scale`.
SCALE, STROKE = 100, 2

#: Pixels: height of a line of lettering, of a waveform, of the time axis; estimated width of a letter.
LINE, WAVE, AXIS, LETTER = 15, 64, 22, 7.2

#: Lines over a waveform for tags and below it for words, so that neighbours do not cover each other.
TAG_LINES, WORD_LINES = 2, 3

#: Where a channel's waveform begins (its name stands above the tags), and the height of all that belongs to it.
WAVE_TOP = LINE * (1 + TAG_LINES) + 8
LANE = WAVE_TOP + WAVE + LINE * WORD_LINES + 10

_NOTHING = np.zeros((0, 2), np.float32)


def panel(row: Mapping[str, Any], offset: float, rebuilt: bool, problem: str = "") -> Html:
    """The HTML of one conversation. Where its sound can't be read the page says why, and shows the rest.

    Args:
        row: columns of `core.schema.BUILT`.
        offset: seconds of `audio` before the conversation begins.
        rebuilt: whether the left speaker is resynthesised.
        problem: why there is no `audio`; empty where there is.
    """
    seconds = min(row["duration"] or 0.0, LONGEST)
    samples, problem = _sound(row, offset, seconds) if not problem else (_NOTHING, f"No sound: {problem}.")
    utterances = [
        one for one in row["utterances"] or () if one["status"] != "dropped" and one["start"] is not None
    ]
    utterances = sorted((one for one in utterances if one["start"] < seconds), key=lambda one: one["start"])
    cut = f", of which the first {LONGEST / 60:g} minutes are shown" if (row["duration"] or 0.0) > LONGEST else ""
    player = fill('<p class="note">{}</p>', problem) if problem else _audio(samples, row["conversation_id"])
    names = joined(
        fill('<span class="lane-name {}" style="top:{}px">{}</span>', channel, number * LANE + 2, said)
        for number, (channel, said) in enumerate(_sides(row, rebuilt))
    )
    return fill(
        '<article class="card player" data-scale="{0}"><h3>{1}</h3>'
        '<p class="soft">{2}{3} · {4} utterances · {5}</p>{6}'
        '<div class="scroll" tabindex="0" role="region" aria-label="Waveform and words of {1}">'
        '<div class="names">{7}</div>{8}<div class="head" hidden></div></div>{9}</article>',
        SCALE,
        row["conversation_id"],
        _length(row["duration"] or 0.0),
        cut,
        len(row["utterances"] or ()),
        row["language"] or "language unknown",
        player,
        names,
        _drawing(row, utterances, samples, seconds),
        _script(utterances),
    )


def encode(samples: Samples, sample_rate: int) -> bytes:
    """Stereo samples, shape (n, 2), as MP3; what lies outside [-1, 1] is clipped."""
    file = io.BytesIO()
    samples = np.clip(samples, -1.0, 1.0)  # LAME ends the process on samples that are far larger
    options = {"format": "MP3", "compression_level": COMPRESSION, "bitrate_mode": "CONSTANT"}
    with soundfile.SoundFile(file, "w", sample_rate, samples.shape[1], "MPEG_LAYER_III", **options) as opened:
        for first in range(0, len(samples), sample_rate):
            opened.write(samples[first : first + sample_rate])
    return file.getvalue()


def peaks(channel: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Largest absolute value in each of `count` even stretches of a channel, shape (count,); 0 for empty ones."""
    if not len(channel) or not count:
        return np.zeros(count, np.float32)
    edges = np.linspace(0, len(channel), count, endpoint=False).astype(np.int64)
    return np.asarray(np.maximum.reduceat(np.abs(channel), edges), np.float32)


def lines_of(spans: Sequence[tuple[float, float]], n_lines: int) -> list[int]:
    """The line that each label goes on: the first free one, or the one that is free soonest.

    Args:
        spans: left and right edge of each label, by left edge.
        n_lines: how many there are.
    """
    free = [float("-inf")] * n_lines
    chosen = []
    for left, right in spans:
        line = next((number for number in range(n_lines) if free[number] <= left), free.index(min(free)))
        free[line] = max(free[line], right)
        chosen.append(line)
    return chosen


def _sound(row: Mapping[str, Any], offset: float, seconds: float) -> tuple[Samples, str]:
    """The samples that are shown, shape (n, 2), and why there are none."""
    try:
        samples = read_at(row["audio"], RATE, offset, seconds)
    except (BadInput, OSError) as error:
        return _NOTHING, f"No sound: {error}."
    if samples.shape[1] != 2:
        return _NOTHING, f"No sound: the recording has {samples.shape[1]} channel(s), not 2."
    return samples, "" if len(samples) else "No sound: the recording is empty."


def _audio(samples: Samples, name: str) -> Html:
    return fill(
        '<audio controls preload="metadata" aria-label="Listen to {}" src="data:audio/mpeg;base64,{}"></audio>',
        name,
        base64.b64encode(encode(samples, RATE)).decode(),
    )


def _sides(row: Mapping[str, Any], rebuilt: bool) -> list[tuple[str, str]]:
    said = {"left": "left, re-voiced", "right": "right, kept"} if rebuilt else {name: name for name in CHANNELS}
    speakers = row["speakers"] or {}
    return [
        (channel, f"{said[channel]} · {speakers[channel]}" if speakers.get(channel) else said[channel])
        for channel in CHANNELS
    ]


def _drawing(
    row: Mapping[str, Any], utterances: Sequence[Mapping[str, Any]], samples: Samples, seconds: float
) -> Html:
    width, height = max(1, round(seconds * SCALE)), len(CHANNELS) * LANE + AXIS
    loudest = float(np.abs(samples).max()) if len(samples) else 0.0
    parts = []
    for number, channel in enumerate(CHANNELS):
        top = number * LANE
        own = [one for one in utterances if one["channel"] == channel]
        words = [one for one in row["alignments"] or () if one["speaker"] == channel and one["start"] < seconds]
        parts += _boxes(own, top, channel, seconds)
        parts += _sounds([one for one in row["sounds"] or () if one["channel"] == channel], top, seconds)
        if len(samples):
            parts.append(_wave(samples[:, number], loudest, top, channel, seconds))
        parts += _words(words, top)
    for second in range(int(seconds) + 1):
        x = second * SCALE
        parts.append(fill('<line x1="{0}" x2="{0}" y1="0" y2="{1}" class="grid"/>', x, len(CHANNELS) * LANE))
        label = f"{second // 60}:{second % 60:02d}"
        parts.append(fill('<text x="{}" y="{}" class="soft">{}</text>', x + 3, height - 7, label))
    return fill(
        '<svg class="wave" width="{0}" height="{1}" viewBox="0 0 {0} {1}" aria-hidden="true">{2}</svg>',
        width,
        height,
        joined(parts),
    )


def _boxes(utterances: Sequence[Mapping[str, Any]], top: int, channel: str, seconds: float) -> list[Html]:
    """Where the speaker speaks, and the tag with which each utterance begins."""
    labels = [one["tag"] or "" for one in utterances]
    edges = [one["start"] * SCALE for one in utterances]
    spans = [(x, x + len(label) * LETTER + 8) for x, label in zip(edges, labels, strict=True)]
    lines = lines_of(spans, TAG_LINES)
    parts = []
    for one, label, x, line in zip(utterances, labels, edges, lines, strict=True):
        width = (min(one["end"], seconds) - one["start"]) * SCALE
        parts.append(
            fill(
                '<rect x="{:.1f}" y="{}" width="{:.1f}" height="{}" rx="4" class="said {}">'
                "<title>{}</title></rect>",
                x,
                top + WAVE_TOP,
                max(1.0, width),
                WAVE,
                channel,
                _hint(one),
            )
        )
        y = top + LINE * (line + 2) + 2
        parts.append(fill('<text x="{:.1f}" y="{}" class="tag {}">{}</text>', x, y, channel, label))
    return parts


def _sounds(sounds: Sequence[Mapping[str, Any]], top: int, seconds: float) -> list[Html]:
    """Where the kept speaker laughs, breathes or coughs: framed, since it is heard and is no utterance."""
    return [
        fill(
            '<rect x="{:.1f}" y="{}" width="{:.1f}" height="{}" rx="4" class="sound {}">'
            "<title>{:.2f} to {:.2f} s\nlaugh, breath or cough</title></rect>",
            one["start"] * SCALE,
            top + WAVE_TOP,
            max(1.0, (min(one["end"], seconds) - one["start"]) * SCALE),
            WAVE,
            one["channel"],
            one["start"],
            one["end"],
        )
        for one in sounds
        if one["start"] < seconds
    ]


def _wave(channel: NDArray[np.float32], loudest: float, top: int, name: str, seconds: float) -> Html:
    heights = peaks(channel, round(seconds * SCALE / STROKE)) / max(loudest, 1e-6) * (WAVE / 2 - 3)
    middle = top + WAVE_TOP + WAVE / 2
    path = "".join(
        f"M{number * STROKE + 1} {middle - height:.1f}v{2 * height:.1f}"
        for number, height in enumerate(heights.tolist())
        if height >= 0.3
    )
    return fill('<path class="wave-{}" d="M0 {}H{}{}"/>', name, middle, round(seconds * SCALE), path)


def _words(words: Sequence[Mapping[str, Any]], top: int) -> list[Html]:
    edges = [(one["start"] * SCALE, one["start"] * SCALE + len(one["word"]) * LETTER + 5) for one in words]
    lines = lines_of(edges, WORD_LINES)
    base = top + WAVE_TOP + WAVE
    return [
        fill(
            '<text x="{:.1f}" y="{}" class="word">{}<title>{}</title></text>',
            x,
            base + LINE * (line + 1) - 2,
            one["word"],
            _word_hint(one),
        )
        for one, (x, _), line in zip(words, edges, lines, strict=True)
    ]


def _script(utterances: Sequence[Mapping[str, Any]]) -> Html:
    """What is said, in order; each line is a button that plays from there."""
    if not utterances:
        return fill('<p class="note">Nobody speaks here.</p>')
    items = joined(
        fill(
            '<li><button type="button" data-at="{:.2f}">{}</button><span class="who {}">{}</span>'
            "<span>{}{}</span></li>",
            one["start"],
            _length(one["start"]),
            one["channel"],
            one["channel"],
            fill("<i>({})</i> ", one["tag"]) if one["tag"] else "",
            one["text"] or "",
        )
        for one in utterances
    )
    return fill(
        "<details><summary>What is said ({} utterances)</summary><ol>{}</ol></details>", len(utterances), items
    )


def _hint(one: Mapping[str, Any]) -> str:
    measures = ", ".join(
        f"{name} {one[name]:.2f}" for name in ("valence", "arousal", "dominance") if one[name] is not None
    )
    told = (
        f"{one['start']:.2f} to {one['end']:.2f} s",
        one["text"],
        one["tag"] and f"tag: {one['tag']}" + (f" (rule {one['rule']})" if one["rule"] else ""),
        measures,
        " · ".join(one[name] for name in ("event", "status", "reason") if one[name]),
    )
    return "\n".join(line for line in told if line)


def _word_hint(one: Mapping[str, Any]) -> str:
    source = f" ({one['source']})" if one["source"] else ""
    return f"{one['start']:.2f} to {one['end']:.2f} s{source}"


def _length(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
