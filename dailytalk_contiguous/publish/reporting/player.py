"""A conversation to listen to and look at: both channels' waveforms, what is said along them, and a player.

The sound goes into the page as MP3 at a constant rate, the one small format that every browser plays and seeks to
the frame; both speakers stay on their sides. Drawing and sound end after three minutes, which keeps a page with a
few conversations under 10 MB.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import Samples, read_at
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import CHANNELS

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


def panel(row: Mapping[str, Any], offset: float, rebuilt: bool, problem: str = "") -> str:
    """The HTML of one conversation. Where its sound can't be read the page says why, and shows the rest.

    Args:
        row: columns of `core.built.BUILT`.
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
    player = f'<p class="note">{escape(problem)}</p>' if problem else _audio(samples, row["conversation_id"])
    names = "".join(
        f'<span class="lane-name {channel}" style="top:{number * LANE + 2}px">{escape(said)}</span>'
        for number, (channel, said) in enumerate(_sides(row, rebuilt))
    )
    return (
        f'<article class="card player" data-scale="{SCALE}"><h3>{escape(row["conversation_id"])}</h3>'
        f'<p class="soft">{_length(row["duration"] or 0.0)}{cut} · {len(row["utterances"] or ())} utterances'
        f" · {escape(row['language'] or 'language unknown')}</p>{player}"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Waveform and words of '
        f'{escape(row["conversation_id"])}"><div class="names">{names}</div>'
        f"{_drawing(row, utterances, samples, seconds)}"
        f'<div class="head" hidden></div></div>{_script(utterances)}</article>'
    )


def encode(samples: Samples, sample_rate: int) -> bytes:
    """Stereo samples, shape (n, 2), as MP3."""
    file = io.BytesIO()
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


def _audio(samples: Samples, name: str) -> str:
    data = base64.b64encode(encode(samples, RATE)).decode()
    label = escape(f"Listen to {name}")
    return f'<audio controls preload="metadata" aria-label="{label}" src="data:audio/mpeg;base64,{data}"></audio>'


def _sides(row: Mapping[str, Any], rebuilt: bool) -> list[tuple[str, str]]:
    said = {"left": "left, re-voiced", "right": "right, kept"} if rebuilt else {name: name for name in CHANNELS}
    speakers = row["speakers"] or {}
    return [
        (channel, f"{said[channel]} · {speakers[channel]}" if speakers.get(channel) else said[channel])
        for channel in CHANNELS
    ]


def _drawing(
    row: Mapping[str, Any], utterances: Sequence[Mapping[str, Any]], samples: Samples, seconds: float
) -> str:
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
        parts.append(f'<line x1="{x}" x2="{x}" y1="0" y2="{len(CHANNELS) * LANE}" class="grid"/>')
        parts.append(f'<text x="{x + 3}" y="{height - 7}" class="soft">{second // 60}:{second % 60:02d}</text>')
    return (
        f'<svg class="wave" width="{width}" height="{height}" viewBox="0 0 {width} {height}" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )


def _boxes(utterances: Sequence[Mapping[str, Any]], top: int, channel: str, seconds: float) -> list[str]:
    """Where the speaker speaks, and the tag with which each utterance begins."""
    labels = [one["tag"] or "" for one in utterances]
    edges = [one["start"] * SCALE for one in utterances]
    spans = [(x, x + len(label) * LETTER + 8) for x, label in zip(edges, labels, strict=True)]
    lines = lines_of(spans, TAG_LINES)
    parts = []
    for one, label, x, line in zip(utterances, labels, edges, lines, strict=True):
        width = (min(one["end"], seconds) - one["start"]) * SCALE
        parts.append(
            f'<rect x="{x:.1f}" y="{top + WAVE_TOP}" width="{max(1.0, width):.1f}" height="{WAVE}" rx="4" '
            f'class="said {channel}">'
            f"<title>{escape(_hint(one))}</title></rect>"
            f'<text x="{x:.1f}" y="{top + LINE * (line + 2) + 2}" class="tag {channel}">{escape(label)}</text>'
        )
    return parts


def _sounds(sounds: Sequence[Mapping[str, Any]], top: int, seconds: float) -> list[str]:
    """Where the kept speaker laughs, breathes or coughs: framed, since it is heard and is no utterance."""
    return [
        f'<rect x="{one["start"] * SCALE:.1f}" y="{top + WAVE_TOP}" '
        f'width="{max(1.0, (min(one["end"], seconds) - one["start"]) * SCALE):.1f}" height="{WAVE}" rx="4" '
        f'class="sound {one["channel"]}"><title>{one["start"]:.2f} to {one["end"]:.2f} s\n'
        f"laugh, breath or cough</title></rect>"
        for one in sounds
        if one["start"] < seconds
    ]


def _wave(channel: NDArray[np.float32], loudest: float, top: int, name: str, seconds: float) -> str:
    heights = peaks(channel, round(seconds * SCALE / STROKE)) / max(loudest, 1e-6) * (WAVE / 2 - 3)
    middle = top + WAVE_TOP + WAVE / 2
    path = "".join(
        f"M{number * STROKE + 1} {middle - height:.1f}v{2 * height:.1f}"
        for number, height in enumerate(heights.tolist())
        if height >= 0.3
    )
    return f'<path class="wave-{name}" d="M0 {middle}H{round(seconds * SCALE)}{path}"/>'


def _words(words: Sequence[Mapping[str, Any]], top: int) -> list[str]:
    edges = [(one["start"] * SCALE, one["start"] * SCALE + len(one["word"]) * LETTER + 5) for one in words]
    lines = lines_of(edges, WORD_LINES)
    base = top + WAVE_TOP + WAVE
    return [
        f'<text x="{x:.1f}" y="{base + LINE * (line + 1) - 2}" class="word">{escape(one["word"])}'
        f"<title>{escape(_word_hint(one))}</title></text>"
        for one, (x, _), line in zip(words, edges, lines, strict=True)
    ]


def _script(utterances: Sequence[Mapping[str, Any]]) -> str:
    """What is said, in order; each line is a button that plays from there."""
    if not utterances:
        return '<p class="note">Nobody speaks here.</p>'
    items = "".join(
        f'<li><button type="button" data-at="{one["start"]:.2f}">{_length(one["start"])}</button>'
        f'<span class="who {one["channel"]}">{one["channel"]}</span>'
        f"<span>{_tag(one)}{escape(one['text'] or '')}</span></li>"
        for one in utterances
    )
    return f"<details><summary>What is said ({len(utterances)} utterances)</summary><ol>{items}</ol></details>"


def _tag(one: Mapping[str, Any]) -> str:
    return f"<i>({escape(one['tag'])})</i> " if one["tag"] else ""


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
