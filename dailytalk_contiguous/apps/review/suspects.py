"""Possible errors of an item by its sound: words without sound, speech without words, clipping.

Suspects by text are known at once (`apps.review.editable`). Suspects by sound are found in the background, one
item after another, the opened ones first; nothing waits for them.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from dailytalk_contiguous.apps.review.editable import SoundStretch
from dailytalk_contiguous.apps.review.edits import SpokenLine, shown_words
from dailytalk_contiguous.core.audio import blocks, pcm_to_float, read_header, read_pcm
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.quality import SideMeter
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.spans import merge_gaps, outside
from dailytalk_contiguous.models.speech_activity import speech_probabilities

#: Share of samples in flat tops above which a channel is clipped; `check` has the same limit.
CLIPPED = 0.001

#: Seconds of speech without words that are worth a look, and the mean probability that it is speech.
LONG_SPEECH, LIKELY_SPEECH = 0.8, 0.6

#: Seconds that a word may differ from its sound: the recogniser's frames, and a consonant too soft to be measured.
_OFF = 0.08

#: Items whose sound is remembered.
_HELD = 256

Suspect = dict[str, Any]


class HeardItem(NamedTuple):
    """The audible spans of each channel of an item, and its share of clipped samples."""

    audible: list[list[tuple[float, float]]]
    clipping: list[float]


def heard_in(stretch: SoundStretch) -> HeardItem:
    """Measure an item once. Raises BadInput as `core.audio.blocks` does."""
    info = read_header(stretch.audio)
    meters = [SideMeter(info.sample_rate, stretch.seconds) for _ in range(info.channels)]
    for block in blocks(stretch.audio, stretch.start, stretch.seconds):
        for channel, meter in enumerate(meters):
            meter.push(np.ascontiguousarray(block[:, channel]))
    clipping = [meter.measures([], [])["clipping_ratio"] or 0.0 for meter in meters]
    return HeardItem([meter.audible() for meter in meters], clipping)


def sound_suspects(
    lines: Mapping[str, SpokenLine], heard: HeardItem, stretch: SoundStretch, offset: float
) -> tuple[list[Suspect], dict[str, list[Suspect]]]:
    """Suspects of an item and of its lines by their ids; `offset` is its start in the file, in seconds."""
    suspects: list[Suspect] = []
    of_line: dict[str, list[Suspect]] = {}
    for channel, share in enumerate(heard.clipping):
        if share > CLIPPED:
            side = CHANNELS[channel] if len(heard.audible) == 2 else f"{channel + 1}."
            suspects.append({"kind": "clipped", "why": f"{share:.1%} of the {side} channel"})
    for key, line in lines.items():
        spans = heard.audible[min(CHANNELS.index(line["channel"]), len(heard.audible) - 1)]
        silent = [
            word["word"]
            for word in shown_words(line)
            if not any(
                first < word["end"] - offset + _OFF and last > word["start"] - offset - _OFF
                for first, last in spans
            )
        ]
        if silent:
            named = ", ".join(repr(word) for word in silent[:3]) + (" …" if len(silent) > 3 else "")
            suspect = {"kind": "silent", "why": f"nothing sounds at {named}"}
            of_line[key] = [suspect]
            suspects.append(suspect)
    spoken = [(line["start"] - offset, line["end"] - offset) for line in lines.values()]
    for channel, spans in enumerate(heard.audible):
        # While no channel has a line: beside a line it may have leaked from the other speaker.
        for start, end in outside(merge_gaps(sorted(spans), 0.3), spoken):
            if end - start < LONG_SPEECH:
                continue
            pcm = read_pcm(stretch.audio, stretch.start + start, min(end - start, 30.0))
            samples = pcm_to_float(pcm[:, channel])
            if len(samples) and float(np.mean(speech_probabilities(samples))) >= LIKELY_SPEECH:
                suspects.append({"kind": "speech", "why": f"speech without words at {start:.1f} s"})
    return suspects, of_line


class Listener:
    """Analyses items in the background; `on_suspects` gets the id of each whose suspects are known.

    `look` returns the lines, the sound and the offset of an item, and raises BadInput for one without a sound.
    """

    def __init__(
        self,
        look: Callable[[str], tuple[Mapping[str, SpokenLine], SoundStretch, float]],
        on_suspects: Callable[[str, list[Suspect], dict[str, list[Suspect]], float], None],
    ) -> None:
        self._look, self._on_suspects = look, on_suspects
        self._heard: OrderedDict[str, HeardItem] = OrderedDict()
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._ready = threading.Condition()
        self._ended = False
        self._thread: threading.Thread | None = None

    def start(self, names: Iterable[str]) -> None:
        """Start with items in this order."""
        with self._ready:
            self._waiting |= dict.fromkeys(names)
        self._thread = threading.Thread(target=self._work, name="listen", daemon=True)
        self._thread.start()

    def first(self, name: str) -> None:
        """Analyse an item next: a person opened or changed it."""
        with self._ready:
            self._waiting[name] = None
            self._waiting.move_to_end(name, last=False)
            self._ready.notify()

    def end(self) -> None:
        """Stop after the current item."""
        with self._ready:
            self._ended = True
            self._waiting.clear()
            self._ready.notify()

    def _work(self) -> None:
        while True:
            with self._ready:
                while not self._waiting and not self._ended:
                    self._ready.wait()
                if self._ended:
                    return
                name, _ = self._waiting.popitem(last=False)
            try:
                lines, stretch, offset = self._look(name)
                heard = self._heard.get(name) or heard_in(stretch)
                self._heard[name] = heard
                while len(self._heard) > _HELD:
                    self._heard.popitem(last=False)
                of_item, of_line = sound_suspects(lines, heard, stretch, offset)
            except (BadInput, OSError) as problem:
                why = problem.reason if isinstance(problem, BadInput) else problem.strerror or "it can't be read"
                self._on_suspects(name, [{"kind": "sound", "why": why}], {}, 0.0)
                continue
            self._on_suspects(name, of_item, of_line, stretch.seconds)
