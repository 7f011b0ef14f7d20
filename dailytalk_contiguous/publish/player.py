"""The data of a conversation in the page's player: text, waveform and sound.

The page's own script reads it as JSON and shows it as text. Inside the page sound is MP3 at a constant rate, the
one small format that every browser plays and seeks to the frame; both speakers stay on their sides. The player
ends after three minutes, which keeps a page with a few conversations small.
"""

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.utterance import Utterance, heard_utterances
from dailytalk_contiguous.core.wording import counted, length_text

#: Seconds of a conversation that the player shows and plays, and the rate in Hz of sound inside the page.
LONGEST = 180.0
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
    with soundfile.SoundFile(file, "w", sample_rate, samples.shape[1], "MPEG_LAYER_III", **options) as opened:
        for first in range(0, len(samples), sample_rate):
            opened.write(samples[first : first + sample_rate])
    return file.getvalue()


def mp3_address(mp3: bytes) -> str:
    """Return an MP3 as an address that holds it."""
    return f"data:audio/mpeg;base64,{base64.b64encode(mp3).decode()}"


def sound_card(name: str, facts: str, text: str, *sounds: str | tuple[str, str, str]) -> dict[str, Any]:
    """Return a sound to listen to for a template: addresses, or how it is, its address, and why there is none."""
    heard = [("", of, "") if isinstance(of, str) else of for of in sounds]
    return {"name": name, "facts": facts, "text": text, "sounds": heard}


def peaks(channel: NDArray[np.float32], count: int) -> str:
    """Return the largest level in each of `count` even parts of a channel, as characters."""
    levels = np.zeros(count, np.float32)
    if len(channel) and count:
        edges = np.linspace(0, len(channel), count, endpoint=False).astype(np.int64)
        levels = np.maximum.reduceat(np.abs(channel), edges)
    steps = np.rint(63 * levels / max(1e-9, float(levels.max(initial=0.0)))).astype(np.uint8)
    return str((steps + _LOWEST_LEVEL).tobytes(), "ascii")


def detail(row: Mapping[str, Any], rebuilt: bool, samples: Samples) -> dict[str, Any]:
    """Return the details of a conversation for the player; times are seconds.

    A line has its `side` (0 left, 1 right), `start`, `end`, `text`, `tag`, its start and end in the recording as
    `source`, None if unknown, its `status` if that is unusual, and `facts` in words. A word is its side, start,
    end, text, probability and how its times are known. `peaks` is the waveform of each side, a character a level.

    Args:
        row: columns of `core.schema.BUILT`.
        rebuilt: whether the left speaker is resynthesised.
        samples: of the player, shape (n, 2), at `RATE`; empty without sound.
    """
    whole = row["duration"] or 0.0
    seconds = min(whole, LONGEST)
    lines = [line for line in heard_utterances(row) if line["start"] is not None and line["start"] < seconds]
    words = [
        [
            CHANNELS.index(word["speaker"]),
            *(round(word[edge], 3) for edge in ("start", "end")),
            word["word"] or "",
            _rounded(word.get("probability")),
            word.get("source") or "",
        ]
        for word in row["alignments"] or ()
        if is_number(word["start"]) and is_number(word["end"]) and word["start"] < seconds
    ]
    titles = {"left": "left, re-voiced", "right": "right, kept"} if rebuilt else {name: name for name in CHANNELS}
    names = [" · ".join(filter(None, (titles[side], (row["speakers"] or {}).get(side)))) for side in CHANNELS]
    cut = f", of which the first {LONGEST / 60:g} minutes are shown" if whole > LONGEST else ""
    n_utterances = counted(len(row["utterances"] or ()), "utterance")
    count = round(seconds * LEVELS) if len(samples) else 0
    return {
        "name": row["conversation_id"],
        "shown": round(seconds, 3),
        "names": names,
        "about": f"{length_text(whole)}{cut} · {n_utterances} · {row['language'] or 'language unknown'}",
        "unsure": UNSURE,
        "lines": [_line(line) for line in sorted(lines, key=lambda line: (line["start"], line["end"]))],
        "words": sorted(words, key=lambda word: word[1]),
        "peaks": [peaks(side, count) for side in np.ascontiguousarray(samples.T)],
        "peak_rate": LEVELS,
    }


def _line(utterance: Utterance) -> dict[str, Any]:
    source = [_rounded(utterance[name]) for name in ("source_start", "source_end")]
    measures = (
        f"{name} {utterance[name]:.2f}"
        for name in ("valence", "arousal", "dominance")
        if is_number(utterance[name])
    )
    confidence = utterance["confidence"]
    synthesis = utterance["synthesis"]
    distance = synthesis.get("delivery_distance") if synthesis else None
    tag = utterance["tag"] or ""
    status = utterance["status"] or ""
    facts = (
        f"tag: {tag}" if tag else "",
        utterance["event"],
        f"rule {utterance['rule']}" if tag and utterance["rule"] else "",
        "said without the tag" if utterance.get("tag_said") is False else "",
        ", ".join(measures),
        f"confidence {100 * confidence:.0f} %" if is_number(confidence) else "",
        f"delivery {distance:.2f} from the source" if is_number(distance) else "",
        utterance["reason"],
        status,
    )
    return {
        "side": CHANNELS.index(utterance["channel"]),
        "start": round(utterance["start"], 3),
        "end": round(utterance["end"], 3),
        "text": utterance["text"] or "",
        "tag": tag,
        "source": None if None in source else source,
        "status": "" if status in ("spoken", "kept") else status,
        "facts": " · ".join(fact for fact in facts if fact),
    }


def _rounded(value: Any) -> float | None:
    return round(value, 3) if is_number(value) else None
