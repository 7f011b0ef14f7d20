"""The data of a conversation in the page's player: text, waveform and sound.

The page's own script reads it as JSON and shows it as text. Inside the page sound is MP3 at a constant rate, the
one small format that every browser plays and seeks to the frame; both speakers stay on their sides. The player
ends after three minutes, which keeps a page with a few conversations small.
"""

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.records.utterance import Utterance
from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.core.words.word import Span

#: Seconds of a conversation that the player shows and plays.
LONGEST = 180.0

#: Hz of sound inside the page.
RATE = 24000

#: libsndfile's scale from 0 (best) to 1; at 24 kHz stereo this is a constant 80 kbit/s.
COMPRESSION = 0.5

#: Levels a second of a waveform.
LEVELS = 100

#: A level of a waveform, of 64, is a character from this one on, which no text of JSON or HTML escapes but one.
_LOWEST_LEVEL = ord("?")

#: Probability of a word below which the player marks it.
UNSURE = 0.5

NO_SAMPLES = np.zeros((0, 2), np.float32)


def to_mp3(samples: Samples, sample_rate: int) -> bytes:
    """Encode samples, shape (n, channels), as MP3; values outside [-1, 1] are clipped."""
    file = io.BytesIO()
    samples = np.clip(samples, -1.0, 1.0)  # LAME ends the process on samples that are far larger
    options = {"format": "MP3", "compression_level": COMPRESSION, "bitrate_mode": "CONSTANT"}
    n_channels = samples.shape[1]
    with soundfile.SoundFile(file, "w", sample_rate, n_channels, "MPEG_LAYER_III", **options) as opened:
        for first in range(0, len(samples), sample_rate):
            opened.write(samples[first : first + sample_rate])
    return file.getvalue()


def mp3_address(mp3: bytes) -> str:
    """Return an MP3 as an address that holds it."""
    return f"data:audio/mpeg;base64,{base64.b64encode(mp3).decode()}"


def peaks(channel: NDArray[np.float32], count: int) -> str:
    """Return the largest level in each of `count` even parts of a channel, as characters."""
    levels = np.zeros(count, np.float32)
    if len(channel) and count:
        edges = np.linspace(0, len(channel), count, endpoint=False)
        levels = np.maximum.reduceat(np.abs(channel), edges.astype(np.int64))
    loudest = max(1e-9, float(levels.max(initial=0.0)))
    steps = np.rint(63 * levels / loudest).astype(np.uint8)
    return str((steps + _LOWEST_LEVEL).tobytes(), "ascii")


def detail(talk: Conversation, rebuilt: bool, samples: Samples) -> dict[str, Any]:
    """Return the details of a finished conversation for the player; times are seconds.

    A line has its `side` (0 left, 1 right), `start`, `end`, `text`, `tag`, its start and end in the recording as
    `source`, None if unknown, its `status` if that is unusual, and `facts` in words. A word is its side, start,
    end, text, probability and how its times are known. `peaks` is the waveform of each side, a character a level.

    Args:
        talk: of `core.records.finished.from_finished`.
        rebuilt: whether the left speaker is resynthesised.
        samples: of the player, shape (n, 2), at `RATE`; empty without sound.
    """
    whole = talk.built_duration or 0.0
    seconds = min(whole, LONGEST)
    titles = {"left": "left, re-voiced", "right": "right, kept"} if rebuilt else {"left": "left", "right": "right"}
    names = []
    for channel, title in titles.items():
        speaker = talk.speakers and talk.speakers.get(channel)
        names.append(f"{title} · {speaker}" if speaker else title)
    timed = []
    for utterance in talk.audible_utterances:
        span = utterance.new_span
        if span is not None and span.start < seconds:
            timed.append((span, utterance))
    timed.sort(key=lambda pair: pair[0])
    words = []
    for word in talk.alignments:
        is_timed = is_number(word.start) and is_number(word.end)
        if is_timed and word.start < seconds:
            probability = _rounded(word.probability)
            times = round(word.start, 3), round(word.end, 3)
            words.append((CHANNELS.index(word.speaker), *times, word.word, probability, word.source))
    cut = f", of which the first {LONGEST / 60:g} minutes are shown" if whole > LONGEST else ""
    n_utterances = counted(len(talk.utterances), "utterance")
    language = talk.main_language or "language unknown"
    n_levels = round(seconds * LEVELS) if len(samples) else 0
    return {
        "name": talk.conversation_id,
        "shown": round(seconds, 3),
        "names": names,
        "about": f"{length_text(whole)}{cut} · {n_utterances} · {language}",
        "unsure": UNSURE,
        "lines": [_line(span, utterance) for span, utterance in timed],
        "words": sorted(words, key=lambda word: word[1]),
        "peaks": [peaks(side, n_levels) for side in np.ascontiguousarray(samples.T)],
        "peak_rate": LEVELS,
    }


def _line(span: Span, utterance: Utterance) -> dict[str, Any]:
    source = [_rounded(utterance.start), _rounded(utterance.end)]
    status = utterance.status or ""
    is_usual = status in ("spoken", "kept")
    return {
        "side": CHANNELS.index(utterance.channel),
        "start": round(span.start, 3),
        "end": round(span.end, 3),
        "text": utterance.text or "",
        "tag": utterance.tag or "",
        "source": None if None in source else source,
        "status": "" if is_usual else status,
        "facts": " · ".join(fact for fact in _facts(utterance) if fact),
    }


def _facts(utterance: Utterance) -> Iterator[str | None]:
    """The known facts of an utterance, in words."""
    if utterance.tag:
        yield f"tag: {utterance.tag}"
    yield utterance.event
    if utterance.tag and utterance.rule:
        yield f"rule {utterance.rule}"
    if utterance.tag_said is False:
        yield "said without the tag"
    affect = {"valence": utterance.valence, "arousal": utterance.arousal, "dominance": utterance.dominance}
    yield ", ".join(f"{name} {value:.2f}" for name, value in affect.items() if is_number(value))
    if is_number(utterance.confidence):
        yield f"confidence {100 * utterance.confidence:.0f} %"
    yield utterance.reason
    yield utterance.status


def _rounded(value: float | None) -> float | None:
    return round(value, 3) if is_number(value) else None
