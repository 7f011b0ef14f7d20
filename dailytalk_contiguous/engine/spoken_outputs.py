"""What `dailytalk speak` leaves beside its shards: sound files, transcript_shifted.jsonl, rejects, the record.

A work folder may hold both halves of the work, so what the first half wrote of itself is kept: the record of this
one is the key `speak` of run.json, and rejects.jsonl holds the rejects of both. Sound is read only where its file
is missing, and lines are written only where something changed.
"""

import hashlib
import io
import json
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from dailytalk_contiguous.core.built import BUILT
from dailytalk_contiguous.core.code import code_digest
from dailytalk_contiguous.core.documents import fits
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.schema import AFFECT, PROSODY
from dailytalk_contiguous.engine.outputs import (
    REJECTS,
    RUN,
    SPOKEN_STAGES,
    TRANSCRIPT,
    Share,
    read_run,
    rejects_in,
    sha256_of,
)
from dailytalk_contiguous.engine.transcript import number, to_json
from dailytalk_contiguous.files.inside import inside
from dailytalk_contiguous.files.owned_folder import EDITED, MADE_FROM, made_from, mark
from dailytalk_contiguous.files.writing import write_atomically, write_lines, write_text
from dailytalk_contiguous.shards import Entry, Row, audio_digest, chain_of, read_entries, read_rows
from dailytalk_contiguous.sources.naming import shortened
from dailytalk_contiguous.stages.base import Stage

SHIFTED, AUDIO = "transcript_shifted.jsonl", "audio"

#: Bytes of the header of a sound file with its comment, and of both samples of a moment.
_WAV_HEADER, _FRAME = 102, 4

_PROSODY_BUCKETS = ("energy", "rate", "zcr", "pitch", "pitch_var")


#: Measures of the timeline of which the record holds the mean over conversations.
_MEANS = ("offset_distance", "overlap_kept", "duration_ratio")

#: What the record holds of the results, which the next run that changes nothing shows again.
_RECORD = {
    "counts": {str: int},
    "hours": float,
    "cost": float,
    "mean?": dict.fromkeys(_MEANS, float),
    "lost_speech_seconds": float,
    "lost_sound_seconds": float,
    "stages": [{"name": str, "seconds": float}],
}


class Purchases:
    """What was paid, each purchase counted once however often its line is said.

    Takes 16 bytes an utterance that cost something (57 while they are summed), because a corpus has millions: a
    purchase is known by the first 64 bits of its key. Ten million of these all differ but for one case in 300,000.
    """

    def __init__(self) -> None:
        self._keys, self._costs = array("Q"), array("d")

    def add(self, key: str, cost: float) -> None:
        """Count a purchase, by its key in the cache (hex), at its price in USD."""
        self._keys.append(int(key[:16], 16))
        self._costs.append(cost)

    @property
    def total(self) -> float:
        """USD in all."""
        _, first = np.unique(np.asarray(self._keys), return_index=True)
        return float(np.asarray(self._costs)[first].sum())


def write_spoken(
    out: Path,
    paths: Sequence[Path],
    stages: Sequence[Stage],
    rejects: Sequence[Reject],
    about: Mapping[str, Any],
    source: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the outputs of the finished shards `paths`, and return the record.

    `source` is where the recordings are from: it stands in run.json even where `dailytalk tag` wrote elsewhere. If
    nothing changed since the record was written, only what it says of the run (`about`) does.
    """
    entries = {path: read_entries(path) or {} for path in paths}
    if any(not entry.reject for told in entries.values() for entry in told.values()):
        mark(out / AUDIO, "audio")
    fingerprint = _fingerprint(paths, stages, rejects)
    before = (read_run(out) or {}).get("speak", {})
    if before.get("fingerprint") == fingerprint and fits(before, _RECORD) and _all_there(out, entries):
        record = {**before, **about}
    else:
        record = {**about, **_written(out, entries, stages, rejects), "fingerprint": fingerprint}
    whole = (read_run(out) or {}) | ({"source": dict(source)} if source else {}) | {"speak": record}
    whole.pop("stopped", None)
    write_text(out / RUN, json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    return record


def _written(
    out: Path, entries: Mapping[Path, Mapping[str, Entry]], stages: Sequence[Stage], rejects: Sequence[Reject]
) -> dict[str, Any]:
    """Write sound, lines and rejects; what the record says of them."""
    tally: Counter[str] = Counter()
    failed = list(rejects)
    sums: defaultdict[str, float] = defaultdict(float)
    purchases = Purchases()
    seconds: dict[str, float] = {}
    rejected = Share()
    wanted: set[Path] = set()

    def lines() -> Iterator[str]:
        first = 0
        for path, told in entries.items():
            missing = [name for name, entry in told.items() if not entry.reject and not _stands(out, name, entry)]
            for name, row in (read_rows(path, ["audio"]) if missing else {}).items():
                if name in missing and made_from(out, wav_path(Path(), name)) != audio_digest(row):
                    _write_wav(wav_path(out, name), row["audio"]["bytes"])
            rows = read_rows(path, [column for column in BUILT if column != "audio"])
            for name, entry in told.items():
                rejected.add(entry)
                for stage, took in zip(stages, entry.seconds, strict=False):
                    seconds[stage.name] = seconds.get(stage.name, 0.0) + took
                if entry.reject:
                    failed.append(entry.reject)
                    continue
                wanted.add(wav_path(out, name))
                failed.extend(_rejected(rows[name]))
                _count(rows[name], tally, sums)
                _count_purchases(rows[name], purchases)
                for line in shifted(rows[name], first):
                    first += 1
                    yield to_json(line)

    write_lines(out / SHIFTED, lines())
    _drop_stale(out / AUDIO, wanted)
    write_lines(out / REJECTS, _all_rejects(out, failed))
    return {
        "counts": {**dict(tally), "rejects": len(failed)},
        "rejected": rejected.as_dict(),
        "hours": round(sums.get("duration", 0.0) / 3600, 5),
        "cost": round(purchases.total, 6),
        "mean": {name: round(sums[name] / tally["conversations"], 4) for name in _MEANS if tally["conversations"]}
        or None,
        "lost_speech_seconds": sums.get("lost_speech_seconds", 0.0),
        "lost_sound_seconds": sums.get("lost_sound_seconds", 0.0),
        "stages": [{"name": name, "seconds": round(took, 3)} for name, took in seconds.items()],
    }


def bytes_to_write(out: Path, paths: Sequence[Path]) -> int:
    """Bytes that `write_spoken` would write of finished shards: sound files that are missing, and all lines."""
    found = 0
    for path in paths:
        entries = read_entries(path) or {}
        for name, row in read_rows(path, [column for column in BUILT if column != "audio"]).items():
            found += sum(len(to_json(line).encode()) for line in shifted(row))
            if not _stands(out, name, entries[name]):
                found += _WAV_HEADER + _FRAME * round(row["duration"] * row["sample_rate"])
    return found


def edited_since(out: Path) -> bool:
    """Whether the transcript of a work folder is not the one that its conversations were made from."""
    made_from = (read_run(out) or {}).get("speak", {}).get("transcript_sha256")
    path = out / TRANSCRIPT
    return bool(made_from) and path.is_file() and sha256_of(inside(out, TRANSCRIPT)) != made_from


def shifted(row: Row, first_id: int = 0) -> Iterator[dict[str, Any]]:
    """The lines of a finished conversation: the transcript's fields at their new times, then ours."""
    words = row["alignments"]
    for place, utterance in enumerate(row["utterances"]):
        start, end = utterance["start"], utterance["end"]
        yield {
            "segment_id": first_id + place,
            "audio_file": wav_path(Path(), row["conversation_id"]).as_posix(),
            "channel": utterance["channel"],
            "start": start,
            "end": end,
            "duration": None if start is None else round(end - start, 4),
            "vad": {name: number(utterance[name], 4) for name in AFFECT},
            "features": {name: number(utterance[name], 5) for name in PROSODY},
            "vad_bucket": {name: utterance[f"{name}_bucket"] for name in AFFECT},
            "prosody_bucket": {name: utterance[f"{name}_bucket"] for name in _PROSODY_BUCKETS},
            "tag": utterance["tag"],
            "text_raw": utterance["text_raw"],
            "text": utterance["text"],
            "tagged_text": utterance["tagged_text"],
            "utterance_id": utterance["utterance_id"],
            "conversation_id": row["conversation_id"],
            "speaker": utterance["speaker"],
            "rule": utterance["rule"],
            "kind": utterance["kind"],
            "language": utterance.get("language"),
            "confidence": number(utterance.get("confidence"), 4),
            "models": utterance.get("models"),
            "context_seconds": number(utterance.get("context_seconds"), 3),
            "text_reason": utterance.get("text_reason"),
            "source_channel": utterance["source_channel"],
            "source_start": utterance["source_start"],
            "source_end": utterance["source_end"],
            "status": utterance["status"],
            "reason": utterance["reason"],
            "event": utterance["event"],
            "source_event": utterance["source_event"],
            "words": [
                {**word, "probability": number(word.get("probability"), 3)}
                for word in words
                if start is not None
                and word["speaker"] == utterance["channel"]
                and start - 1e-6 <= (word["start"] + word["end"]) / 2 <= end + 1e-6
            ],
            "synthesis": utterance["synthesis"],
        }


def wav_path(out: Path, conversation_id: str) -> Path:
    """Where the sound of a conversation lies; an id that is too long for the name of a file is shortened."""
    return out / AUDIO / f"{shortened(conversation_id)}{EDITED}"


def _fingerprint(paths: Sequence[Path], stages: Sequence[Stage], rejects: Sequence[Reject]) -> str:
    """Changes whenever the files would."""
    told = [
        chain_of(stages)[-1:],
        [(path.name, path.stat().st_mtime_ns) for path in paths],
        [reject.as_dict() for reject in rejects],
        code_digest(write_spoken),
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:20]


def _all_there(out: Path, entries: Mapping[Path, Mapping[str, Entry]]) -> bool:
    sounds = {name: entry for told in entries.values() for name, entry in told.items() if not entry.reject}
    files = all((out / name).is_file() for name in (SHIFTED, REJECTS))
    return files and all(_stands(out, *sound) for sound in sounds.items()) and _sounds(out) == len(sounds)


def _sounds(out: Path) -> int:
    return sum(1 for _ in (out / AUDIO).rglob(f"*{EDITED}"))


def _stands(out: Path, name: str, entry: Entry) -> bool:
    """Whether a sound file is that of its row: an earlier run may have made the row and been stopped before it.

    Told by what the file says that it was made from, never by its date: clocks differ, and are set back.
    """
    return bool(entry.audio) and made_from(out, wav_path(Path(), name)) == entry.audio


def _write_wav(path: Path, flac: bytes) -> None:
    samples, rate = soundfile.read(io.BytesIO(flac), dtype="int16", always_2d=True)

    def write(file: BinaryIO) -> None:
        with soundfile.SoundFile(file, "w", rate, samples.shape[1], "PCM_16", format="WAV") as wav:
            wav.comment = f"{MADE_FROM} {audio_digest({'audio': {'bytes': flac}})}"
            wav.write(samples)

    write_atomically(path, write)


def _drop_stale(folder: Path, wanted: set[Path]) -> None:
    """Remove sound files of conversations that are no part of the result any more."""
    for path in folder.rglob(f"*{EDITED}") if folder.is_dir() else ():
        if path not in wanted:
            path.unlink()


def _rejected(row: Row) -> Iterator[Reject]:
    """Utterances that could not be said, in a conversation that was finished nevertheless.

    One that had no text to say is none of them: it has its row and its reason, and is counted.
    """
    for utterance in row["utterances"]:
        if utterance["status"] == "kept-original" and utterance["text"].strip():
            yield Reject(
                utterance["utterance_id"],
                "Speak",
                utterance["reason"],
                "the original voice is kept there, flagged",
            )


def _count_purchases(row: Row, purchases: Purchases) -> None:
    for utterance in row["utterances"]:
        synthesis = utterance["synthesis"]
        if synthesis and synthesis["cost"]:
            purchases.add(synthesis["cache_key"], synthesis["cost"])


def _count(row: Row, tally: Counter[str], sums: defaultdict[str, float]) -> None:
    tally["conversations"] += 1
    tally["utterances"] += len(row["utterances"])
    tally["words"] += len(row["alignments"])
    for utterance in row["utterances"]:
        tally[utterance["status"].replace("-", "_")] += 1
    sums["duration"] += row["duration"]
    for name in (*_MEANS, "lost_speech_seconds", "lost_sound_seconds"):
        value = row["timeline"][name]
        # A conversation without a change of speaker, or without overlap, has nothing that could be lost.
        perfect = 1.0 if name in ("overlap_kept", "duration_ratio") else 0.0
        sums[name] += perfect if value is None or not np.isfinite(value) else value


def _all_rejects(out: Path, own: Sequence[Reject]) -> Iterator[str]:
    """The rejects of the first half as they stand, then ours."""
    for before in rejects_in(out):
        if before["stage"] not in SPOKEN_STAGES:
            yield to_json(before)
    for reject in own:
        yield to_json(reject.as_dict())
