"""Tagged work folders made on the spot: tones where somebody speaks, and a transcript that says what they said."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import room_tone
from datasets import Features, List, Value
from tts_server import TOKEN, TtsServer

from dailytalk_contiguous.core.records.schema import COLUMNS, SIDE, SOURCE, STRING
from dailytalk_contiguous.machine.audio import to_uri
from dailytalk_contiguous.models import paid
from dailytalk_contiguous.models.engines import load_synthesiser
from dailytalk_contiguous.models.paid import RequestLimits
from dailytalk_contiguous.pipelines.to_sound import speak_stages
from dailytalk_contiguous.run.run import RunOptions, RunOutcome, run
from dailytalk_contiguous.run.shard import Progress
from dailytalk_contiguous.run.speaking import SpeakSpec, SynthesisInput, read_synthesis_input
from dailytalk_contiguous.shards import Entry, Shard, write_shard
from dailytalk_contiguous.sources.lines_to_speak import BASE
from dailytalk_contiguous.sources.recordings.recording_files import identity_of
from dailytalk_contiguous.stages.base import Stages

RATE = 16000

#: Channel, text and tag of an utterance.
Said = tuple[str, str, str]

SHORT: tuple[Said, ...] = (
    ("left", "Good morning, is anybody there?", "curious"),
    ("right", "Yes, I am here.", "calm"),
    ("left", "The bicycle makes a noise again.", "worried"),
    ("right", "Bring it in, I will look at it.", "confident"),
)


def seconds_of(text: str) -> float:
    """About as long as the loopback server takes for it."""
    letters_and_digits = sum(map(str.isalnum, text))
    return 0.3 + letters_and_digits / 14


def talk(name: str, turns: int) -> tuple[Said, ...]:
    """A conversation in which no two lines are alike."""
    lines = []
    for turn in range(turns):
        channel = "left" if turn % 2 == 0 else "right"
        lines.append((channel, f"This is line {turn} of {name}.", "calm"))
    return tuple(lines)


def folder(path: Path, **conversations: Sequence[Said]) -> Path:
    """A work folder as `dailytalk tag` leaves one, of these conversations."""
    lines = []
    rows = []
    for name, said in conversations.items():
        spoken_lines, seconds = _lines(name, said)
        lines += spoken_lines
        recorded = _recorded(path / "recordings" / f"{name}.wav", spoken_lines, seconds)
        rows.append(recorded)
    entries = {row["conversation_id"]: Entry(row["recording_id"], row["duration"]) for row in rows}
    write_shard(path / "tagged" / "shard-0.parquet", Shard(rows, entries), _features())
    write_transcript(path, lines)
    return path


def _features() -> Features:
    """The columns of a tagged shard."""
    columns = dict(SOURCE)
    columns["utterance_id"] = List(STRING)
    columns["channel"] = List(STRING)
    columns["run"] = List(Value("int32"))
    columns["sides"] = List(SIDE)
    for column in COLUMNS:
        columns[column.name] = column.feature
    base_columns = {name: columns[name] for name in BASE}
    return Features({"conversation_id": STRING} | base_columns)


def write_transcript(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (path / "transcript.jsonl").write_text(text, encoding="utf-8")


def _lines(name: str, said: Sequence[Said]) -> tuple[list[dict[str, Any]], float]:
    lines = []
    start = 0.4
    for index, (channel, text, tag) in enumerate(said):
        end = start + seconds_of(text)
        lines.append(
            {
                "audio_file": f"{name}.wav",
                "channel": channel,
                "start": round(start, 3),
                "end": round(end, 3),
                "tag": tag,
                "text_raw": text,
                "text": text,
                "utterance_id": f"{name}/{channel}/{index:04d}",
                "conversation_id": name,
                "language": "en",
            }
        )
        start = end + 0.25
    return lines, start


def _recorded(path: Path, lines: Sequence[dict[str, Any]], seconds: float) -> dict[str, Any]:
    n_samples = round(seconds * RATE)
    times = np.arange(n_samples) / RATE
    samples = np.stack([room_tone(n_samples, seed=side) for side in range(2)], 1)
    for line in lines:
        on = (times >= line["start"]) & (times < line["end"])
        side = int(line["channel"] == "right")
        frequency = 200 + 90 * side
        samples[on, side] += 0.1 * np.sin(2 * np.pi * frequency * times[on])
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, "PCM_16")
    return {
        "conversation_id": path.stem,
        "recording_id": path.stem,
        "audio": {"bytes": None, "path": to_uri(path.absolute())},
        "audio_file": path.name,
        "audio_identity": identity_of(path),
        "offset": 0.0,
        "duration": n_samples / RATE,
        "sample_rate": RATE,
        "channels": 2,
        **dict.fromkeys(column.name for column in COLUMNS),
        "utterance_id": [line["utterance_id"] for line in lines],
        "channel": [line["channel"] for line in lines],
        "run": list(range(len(lines))),
        "sides": [],
    }


def settings(tmp_path: Path, **chosen: Any) -> Stages:
    """Fish speaks, nothing recognises, and the cache is the test's own."""
    options = {"profile": "embedded", "tts": "fish", "cache": str(tmp_path / "cache")}
    options |= chosen
    return speak_stages(**options)


def say(
    work: Path,
    chosen: Stages,
    out: Path | None = None,
    script: SynthesisInput | None = None,
    progress: Progress = lambda event: None,
    **options: Any,
) -> RunOutcome:
    """One run in this process, with a shard for each conversation unless a script says otherwise."""
    script = script or read_synthesis_input(work, shard_seconds=0.1)
    spec = SpeakSpec(script, out or work, chosen)
    return run(spec, RunOptions(**options), progress)


@contextmanager
def loopback(monkeypatch: pytest.MonkeyPatch, server: TtsServer | None = None) -> Iterator[TtsServer]:
    """A server that this process and those it starts take for Fish Audio; in this one nobody waits for long.

    An answer that takes longer than the patience for one is bought again, so the patience must outlast the hiccups
    of a machine that runs several tests at a time.
    """
    monkeypatch.setenv("FISH_AUDIO_REFERENCE_ID", "loopback-voice")
    monkeypatch.setenv("FISH_API_KEY", TOKEN)
    monkeypatch.setenv("FISH_AUDIO_USD_PER_MILLION_BYTES", "15")
    monkeypatch.setattr(paid, "RequestLimits", partial(RequestLimits, read_seconds=2.0, first_wait=0.01))
    load_synthesiser.cache_clear()
    with server or TtsServer() as running:
        monkeypatch.setenv("FISH_AUDIO_BASE_URL", running.url)
        yield running
    load_synthesiser.cache_clear()


class Stubborn(TtsServer):
    """Fails in one way whenever a text holds `word`. Of the texts in `short` it says that share, once."""

    def __init__(self, word: str, fault: str, **options: Any) -> None:
        self.word = word
        self.fault = fault
        self.short: dict[str, float] = {}
        super().__init__(**options)

    def _drawn(self, text: str, attempt: int) -> str:
        if self.word and self.word in text:
            return self.fault
        return super()._drawn(text, attempt)

    def share_said(self, text: str) -> float:
        return self.short.pop(text, 1.0)
