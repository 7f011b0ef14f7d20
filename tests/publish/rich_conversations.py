"""Finished conversations in which every column says something, and none the same as its neighbour."""

import json
from typing import Any

from built_conversations import built_row, sound

from dailytalk_contiguous.core.records.utterance import AFFECT, PROSODY

BUCKETS = ("LOW", "MID", "HIGH")
BUCKETED = (*AFFECT, "energy", "rate", "zcr", "pitch", "pitch_var")

#: Channel, start, end, text, tag, event, status: turns, an overlap, a backchannel, and one that was left out.
LINES = (
    ("left", 0.5, 1.5, "Hello there.", "calm", "turn", "spoken"),
    ("right", 1.4, 2.4, "Hi, hello you.", "excited", "overlap", "kept"),
    ("left", 2.6, 4.0, "How are you today?", "calm", "turn", "spoken"),
    ("right", 3.0, 3.3, "Mhm.", "", "backchannel", "kept"),
    ("right", 4.2, 5.0, "Quite well.", "sad", "turn", "kept"),
    ("left", 5.25, 5.75, "Good to hear.", "whispering", "interruption", "kept-original"),
)

SOURCES = ("given", "recogniser", "synthesiser", "recognised-synthesis", "proportional", None)


def rich_row(name: str, shift: float = 0.0, **columns: Any) -> dict[str, Any]:
    """A row of 6 s; `shift` moves its lines, makes its source longer, and colours what is measured."""
    moved = [(channel, start + shift, end + shift, text) for channel, start, end, text, *_ in LINES]
    row = built_row(name, moved, seconds=6.0 + 2 * shift, sounds=[(5.1 + shift, 5.2 + shift)])
    for number, utterance in enumerate(row["utterances"]):
        share = (number + 1) / 8 + shift / 10
        enrich(utterance, number, share)
        synthesis = utterance["synthesis"]
        if synthesis:
            synthesis["model"] = "s1" if number else None
            synthesis["cache_key"] = f"{name}{number // 4}"
            synthesis["cost"] = 0.25 + number
            synthesis["tries"] = 1 + number
            synthesis["word_error_rate"] = 0.05 * number
    row["utterances"][3] |= dict.fromkeys(AFFECT) | {"tag": None}
    dropped = row["utterances"][0] | dict.fromkeys(("start", "end", "tag", "event", "synthesis"))
    dropped |= {"utterance_id": f"{name}/left/0006", "status": "dropped", "reason": "no text", "text": ""}
    row["utterances"].append(dropped)
    for number, word in enumerate(row["alignments"]):
        word["source"] = SOURCES[number % 6]
        word["probability"] = number / 16 if number % 3 else None
    laugh = sound(0.25, 0.375) | {"source_start": 0.5}
    row["sounds"].append(laugh)
    row["timeline"] |= {
        "backchannels": 2,
        "backchannels_kept": 1,
        "lost_speech_seconds": 0.5 + shift,
        "lost_sound_seconds": 0.125,
    }
    row["source_duration"] = 7.0 + shift
    provenance = {
        "tool": "dailytalk-contiguous 0.1.0",
        "voice": "anna",
        "settings": {"timeline": "anchor", "rules": "seed", "sample_rate": 24000},
        "models": {
            "recogniser": {"name": "medium", "licence": "MIT", "url": "https://github.com/openai/whisper"},
            "affect": {"name": "audeering/msp-dim", "licence": "CC-BY-NC-SA-4.0", "url": "https://huggingface.co"},
        },
    }
    row["provenance"] = json.dumps(provenance)
    return row | columns


def enrich(utterance: dict[str, Any], number: int, share: float) -> None:
    """Give an utterance the columns of its line; what is measured is in proportion to a share."""
    *_, tag, event, status = LINES[number]
    is_odd = number % 2 == 1
    utterance["tag"] = tag or None
    utterance["rule"] = f"rule-{number}" if is_odd else None
    utterance["event"] = event
    utterance["status"] = status
    utterance["source_event"] = "turn" if is_odd else None
    utterance["source_start"] = utterance["start"] + 0.1 * number
    utterance["source_end"] = utterance["end"] + 0.1 * number + 0.25 * (number % 3)
    utterance["reason"] = "2 of 3 tries failed" if status == "kept-original" else None
    if status != "spoken":
        utterance["synthesis"] = None
    for n, measure in enumerate(AFFECT):
        utterance[measure] = share * (n + 1) / 3
    for n, measure in enumerate(PROSODY):
        utterance[measure] = 10.0 * (n + 1) * share
    for n, measure in enumerate(BUCKETED):
        utterance[f"{measure}_bucket"] = BUCKETS[(number + n) % 3]


def rich_rows() -> list[dict[str, Any]]:
    return [
        rich_row("a", speakers={"left": "Ann", "right": "Ben"}),
        rich_row("b", 0.5, speakers={"left": "Ann", "right": "Cem"}, language="de"),
        rich_row("c", 1.0, language=None, recording_id="b"),
    ]
