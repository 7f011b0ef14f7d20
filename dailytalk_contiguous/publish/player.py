"""A player of one conversation: both channels' waveforms with the words along them, and the sound.

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

#: Top of a channel's waveform (its name is above the tags), and the height of the whole channel.
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
        utterance
        for utterance in row["utterances"] or ()
        if utterance["status"] != "dropped" and utterance["start"] is not None
    ]
    utterances = sorted(
        (utterance for utterance in utterances if utterance["start"] < seconds),
        key=lambda utterance: utterance["start"],
    )
    cut = f", of which the first {LONGEST / 60:g} minutes are shown" if (row["duration"] or 0.0) > LONGEST else ""
    player = fill('<p class="note">{}</p>', problem) if problem else _audio(samples, row["conversation_id"])
    names = joined(
        fill('<span class="lane-name {}" style="top:{}px">{}</span>', channel, number * LANE + 2, title)
        for number, (channel, title) in enumerate(_sides(row, rebuilt))
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
    """Stereo samples, shape (n, 2), as MP3; what is outside [-1, 1] is clipped."""
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
    titles = {"left": "left, re-voiced", "right": "right, kept"} if rebuilt else {name: name for name in CHANNELS}
    speakers = row["speakers"] or {}
    return [
        (channel, f"{titles[channel]} · {speakers[channel]}" if speakers.get(channel) else titles[channel])
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
        channel_utterances = [item for item in utterances if item["channel"] == channel]
        words = [
            item for item in row["alignments"] or () if item["speaker"] == channel and item["start"] < seconds
        ]
        parts += _boxes(channel_utterances, top, channel, seconds)
        parts += _sounds([item for item in row["sounds"] or () if item["channel"] == channel], top, seconds)
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
    labels = [utterance["tag"] or "" for utterance in utterances]
    edges = [utterance["start"] * SCALE for utterance in utterances]
    spans = [(x, x + len(label) * LETTER + 8) for x, label in zip(edges, labels, strict=True)]
    lines = lines_of(spans, TAG_LINES)
    parts = []
    for utterance, label, x, line in zip(utterances, labels, edges, lines, strict=True):
        width = (min(utterance["end"], seconds) - utterance["start"]) * SCALE
        parts.append(
            fill(
                '<rect x="{:.1f}" y="{}" width="{:.1f}" height="{}" rx="4" class="said {}">'
                "<title>{}</title></rect>",
                x,
                top + WAVE_TOP,
                max(1.0, width),
                WAVE,
                channel,
                _hint(utterance),
            )
        )
        y = top + LINE * (line + 2) + 2
        parts.append(fill('<text x="{:.1f}" y="{}" class="tag {}">{}</text>', x, y, channel, label))
    return parts


def _sounds(sounds: Sequence[Mapping[str, Any]], top: int, seconds: float) -> list[Html]:
    """Laughs, breaths and coughs of the kept speaker: framed, since they are no utterances."""
    return [
        fill(
            '<rect x="{:.1f}" y="{}" width="{:.1f}" height="{}" rx="4" class="sound {}">'
            "<title>{:.2f} to {:.2f} s\nlaugh, breath or cough</title></rect>",
            sound["start"] * SCALE,
            top + WAVE_TOP,
            max(1.0, (min(sound["end"], seconds) - sound["start"]) * SCALE),
            WAVE,
            sound["channel"],
            sound["start"],
            sound["end"],
        )
        for sound in sounds
        if sound["start"] < seconds
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
    edges = [(word["start"] * SCALE, word["start"] * SCALE + len(word["word"]) * LETTER + 5) for word in words]
    lines = lines_of(edges, WORD_LINES)
    base = top + WAVE_TOP + WAVE
    return [
        fill(
            '<text x="{:.1f}" y="{}" class="word">{}<title>{}</title></text>',
            x,
            base + LINE * (line + 1) - 2,
            word["word"],
            f"{word['start']:.2f} to {word['end']:.2f} s" + (f" ({word['source']})" if word["source"] else ""),
        )
        for word, (x, _), line in zip(words, edges, lines, strict=True)
    ]


def _script(utterances: Sequence[Mapping[str, Any]]) -> Html:
    """The utterances in order; each line is a button that plays from there."""
    if not utterances:
        return fill('<p class="note">Nobody speaks here.</p>')
    items = joined(
        fill(
            '<li><button type="button" data-at="{:.2f}">{}</button><span class="who {}">{}</span>'
            "<span>{}{}</span></li>",
            utterance["start"],
            _length(utterance["start"]),
            utterance["channel"],
            utterance["channel"],
            fill("<i>({})</i> ", utterance["tag"]) if utterance["tag"] else "",
            utterance["text"] or "",
        )
        for utterance in utterances
    )
    return fill(
        "<details><summary>What is said ({} utterances)</summary><ol>{}</ol></details>", len(utterances), items
    )


def _hint(utterance: Mapping[str, Any]) -> str:
    measures = ", ".join(
        f"{name} {utterance[name]:.2f}"
        for name in ("valence", "arousal", "dominance")
        if utterance[name] is not None
    )
    lines = (
        f"{utterance['start']:.2f} to {utterance['end']:.2f} s",
        utterance["text"],
        utterance["tag"]
        and f"tag: {utterance['tag']}" + (f" (rule {utterance['rule']})" if utterance["rule"] else ""),
        measures,
        " · ".join(utterance[name] for name in ("event", "status", "reason") if utterance[name]),
    )
    return "\n".join(line for line in lines if line)


def _length(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
