"""Possible errors of an item: by its text at once, by its sound in the background.

By its sound are words without sound, speech without words, and clipping; items are analysed one after another, the
opened ones first, and nothing waits for them.
"""

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dailytalk_contiguous.apps.review.edits import Json, Lines, shown_words
from dailytalk_contiguous.apps.review.sound import SoundStretch
from dailytalk_contiguous.core.audio import blocks, pcm_to_float, read_header, read_pcm
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.quality import SideMeter
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.spans import merge_gaps, outside
from dailytalk_contiguous.core.utterance import no_text_reason
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.speech_activity import speech_probabilities

#: Words a second of a line beyond which it is fast or slow, and the words (the seconds) that it needs for that:
#: conversations have 2 to 5 a second, in lines of a few words up to 7.
FAST, SLOW, FEWEST_WORDS, SHORTEST_SLOW = 7.0, 0.5, 4, 3.0

#: Share of samples in flat tops above which a channel is clipped; `check` has the same limit.
CLIPPED = 0.001

#: Seconds of speech without words that are worth a look, and the mean probability that it is speech.
LONG_SPEECH, LIKELY_SPEECH = 0.8, 0.6

#: Seconds that a word may differ from its sound: the recogniser's frames, and a consonant too soft to be measured.
_OFF = 0.08

#: Items whose sound is remembered.
_HELD = 256

Suspect = Json


def line_suspects(line: Json) -> list[Suspect]:
    """Possible errors of a line by its fields: `kind` (empty, fast, slow) and `why`."""
    text = (line.get("text") or "").strip()
    start, end = line.get("start"), line.get("end")
    seconds = end - start if is_number(start) and is_number(end) else 0.0
    n_words = len(text.split())
    if not text:
        return [{"kind": "empty", "why": no_text_reason(line) or "it has no text"}]
    if seconds > 0 and n_words >= FEWEST_WORDS and n_words / seconds > FAST:
        why = f"{n_words / seconds:.1f} words a second: is all of it said here?"
        return [{"kind": "fast", "why": why}]
    if seconds > SHORTEST_SLOW and n_words / seconds < SLOW:
        why = f"only {counted(n_words, 'word')} in {seconds:.1f} s: listen for words that are missing"
        return [{"kind": "slow", "why": why}]
    return []


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


class Suspects(NamedTuple):
    """The suspects by sound of an item, and of its lines by their ids."""

    of_item: Sequence[Suspect] = ()
    of_line: Mapping[str, Sequence[Suspect]] = {}


def sound_suspects(lines: Lines, heard: HeardItem, stretch: SoundStretch, offset: float) -> Suspects:
    """Compare an item's lines with its sound; `offset` is its start in the file, in seconds."""
    suspects: list[Suspect] = []
    of_line: dict[str, list[Suspect]] = {}
    for channel, share in enumerate(heard.clipping):
        if share > CLIPPED:
            side = CHANNELS[channel] if len(heard.audible) == 2 else f"{channel + 1}."
            suspects.append({"kind": "clipped", "why": f"{share:.1%} of the {side} channel"})
    for key, line in lines.items():
        spans = heard.audible[min(CHANNELS.index(line["channel"]), len(heard.audible) - 1)]
        silent = [
            repr(word["word"])
            for word in shown_words(line)
            if not any(
                first < word["end"] - offset + _OFF and last > word["start"] - offset - _OFF
                for first, last in spans
            )
        ]
        if silent:
            named = ", ".join(silent[:3]) + (" …" if len(silent) > 3 else "")
            of_line[key] = [{"kind": "silent", "why": f"nothing sounds at {named}"}]
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
    return Suspects([*suspects, *itertools.chain(*of_line.values())], of_line)


class Listener:
    """Analyses items in the background; `on_suspects` gets the id of each, its suspects and its seconds.

    `look` returns the lines, the sound and the offset of an item, and raises BadInput for one without a sound.
    """

    def __init__(
        self,
        look: Callable[[str], tuple[Lines, SoundStretch, float]],
        on_suspects: Callable[[str, Suspects, float], None],
    ) -> None:
        self._look, self._on_suspects = look, on_suspects
        self._heard: OrderedDict[str, HeardItem] = OrderedDict()
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._ready = threading.Condition()
        self._ended = False

    def start(self, names: Iterable[str]) -> None:
        """Start with items in this order."""
        with self._ready:
            self._waiting |= dict.fromkeys(names)
        threading.Thread(target=self._work, name="listen", daemon=True).start()

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
            self._ready.notify()

    def _work(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._waiting or self._ended)
                if self._ended:
                    return
                name, _ = self._waiting.popitem(last=False)
            try:
                lines, stretch, offset = self._look(name)
                self._heard[name] = self._heard.get(name) or heard_in(stretch)
                if len(self._heard) > _HELD:
                    self._heard.popitem(last=False)
                suspects, seconds = sound_suspects(lines, self._heard[name], stretch, offset), stretch.seconds
            except (BadInput, OSError) as problem:
                why = problem.reason if isinstance(problem, BadInput) else problem.strerror or "it can't be read"
                suspects, seconds = Suspects([{"kind": "sound", "why": why}], {}), 0.0
            self._on_suspects(name, suspects, seconds)
