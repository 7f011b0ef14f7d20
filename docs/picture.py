"""Draw a conversation as README shows it: as it was recorded, and below it as it was rebuilt.

`docs/pictures.py` draws that of the demo; `python docs/picture.py WORK RECORDING OUT.png` draws any other. Both
have one axis of time. Speech of each side has its colour, and time in which both speak is dark; over the left side
are its style tags, where they fit. The ground is white, so that it is legible in dark mode, too, and its lettering
is large enough for 400 px.
"""

import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.machine.audio import read_at
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.tables.plots import COLOURS, FAINT, INK, SOFT

#: Seconds that are drawn, and samples a second of what is read and of what is drawn.
SECONDS, RATE, DRAWN = 27.0, 24000, 40

#: Inches, and pixels of one: 1200 px.
SIZE, DPI = (6.0, 3.9), 200

#: Heights of the middles of both sides, and of a waveform.
MIDDLES, HALF = {"left": 1.0, "right": 0.0}, 0.42

#: Seconds between two tags.
BETWEEN_TAGS = 0.2


def envelope(channel: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Largest absolute value of each stretch, of a channel of `SECONDS` at `RATE`, over the largest of all."""
    whole = np.zeros(round(SECONDS * RATE), np.float32)
    whole[: len(channel)] = np.abs(channel[: len(whole)])
    values = whole.reshape(-1, RATE // DRAWN).max(axis=1)
    loudest: np.ndarray[Any, np.dtype[np.float32]] = values / max(float(values.max()), 1e-6)
    return loudest


def draw(axes: Axes, samples: Samples, utterances: Sequence[Mapping[str, Any]], edge: str, title: str) -> None:
    """One strip; `edge` begins the names of the times of `utterances`: `source_` or nothing."""
    times = np.arange(round(SECONDS * DRAWN)) / DRAWN
    turns = [(turn["channel"], turn[f"{edge}start"], turn[f"{edge}end"]) for turn in utterances]
    for number, channel in enumerate(CHANNELS):
        middle, colour = MIDDLES[channel], COLOURS[channel]
        for _, start, end in (turn for turn in turns if turn[0] == channel):
            axes.fill_between((start, end), middle - HALF, middle + HALF, color=colour, alpha=0.16, linewidth=0)
        heights = HALF * envelope(samples[:, number])
        axes.fill_between(times, middle - heights, middle + heights, color=colour, linewidth=0)
    for _, start, end in (turn for turn in turns if turn[0] == "left"):
        for _, other_start, other_end in (turn for turn in turns if turn[0] == "right"):
            if (first := max(start, other_start)) < (last := min(end, other_end)):
                axes.fill_between((first, last), 0.44, 0.56, color=INK, linewidth=0)
    axes.set(xlim=(0, SECONDS), ylim=(-0.5, 1.78 if not edge else 1.5))
    if not edge:
        tags(axes, [turn for turn in utterances if turn["channel"] == "left" and turn["tag"]])
    axes.set_yticks(list(MIDDLES.values()), list(MIDDLES))
    for label, channel in zip(axes.get_yticklabels(), MIDDLES, strict=True):
        label.set_color(COLOURS[channel])
        label.set_fontweight("bold")
    axes.tick_params(length=0)
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=INK, pad=3, x=-0.1)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.grid(axis="x", color=FAINT)
    axes.set_axisbelow(True)


def tags(axes: Axes, turns: Sequence[Mapping[str, Any]]) -> None:
    """The tags of turns at their starts; one that would cover the one before it is left out."""
    free = 0.0
    for turn in turns:
        tag = axes.text(turn["start"], 1.48, f"({turn['tag']})", color=COLOURS["left"], style="italic", fontsize=8)
        end = tag.get_window_extent().transformed(axes.transData.inverted()).x1
        if turn["start"] < free or end > SECONDS:
            tag.remove()
        else:
            free = end + BETWEEN_TAGS


def draw_conversation(work: str, recording: Path, out: Path) -> dict[str, list[str]]:
    """Draw the conversation of a recording that a work folder holds.

    Returns the texts in the picture: `labels`, which are the same for all data, and the tags as `texts`.
    """
    name = recording.stem
    recorded = read_at({"bytes": recording.read_bytes(), "path": None}, RATE, 0.0, SECONDS)
    items = open_items(Path(work))
    sound = items.sound(name)
    rebuilt = read_at(sound.audio, RATE, sound.offset, SECONDS)
    utterances = [turn for turn in items.row(name)["utterances"] if turn["start"] is not None]
    title = "Rebuilt: left resynthesised with style tags, right untouched"
    strips = [(recorded, utterances, "source_", "As recorded"), (rebuilt, utterances, "", title)]
    matplotlib.rcParams.update({"font.family": "DejaVu Sans", "font.size": 10, "text.color": INK})
    figure = Figure(figsize=SIZE, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 1, sharex=True, height_ratios=[2.0, 2.28])
    figure.subplots_adjust(0.105, 0.13, 0.985, 0.925, hspace=0.26)
    for each, strip in zip(axes, strips, strict=True):
        draw(each, *strip)
    axes[-1].set_xlabel("seconds   (dark: both speak)", color=SOFT)
    axes[-1].tick_params(axis="x", colors=SOFT)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    # A palette, since the picture has eight colours and their blends: half the bytes.
    Image.open(file).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(out, format="png", optimize=True)
    labels = [axes[-1].get_xlabel()]
    for each in axes:
        labels += [each.get_title(loc="left"), *(label.get_text() for label in each.get_yticklabels())]
    return {"labels": labels, "texts": [text.get_text() for each in axes for text in each.texts]}


if __name__ == "__main__":
    draw_conversation(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
