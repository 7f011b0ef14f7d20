"""From a folder of clips to its whisper.json: clips without an entry are transcribed, the others stay as they are.

One pass with the shards and digests of tagging, so a run that was stopped goes on where it was. Its shards are in
the user's cache until the whisper.json is written: the folder of clips may be read-only, synced or published, and
only the result belongs there. People correct the texts, so an existing entry is never transcribed again; to have
that done, delete it, or name another file.
"""

import hashlib
import math
import os
import shutil
from collections.abc import Generator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.clips.clip_run import clip_to_measure
from dailytalk_contiguous.apps.clips.corpora.own_clips import clips_by_name
from dailytalk_contiguous.core.documents import as_text, shown
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.hallucination import compression_ratio
from dailytalk_contiguous.core.machine import cache_folder
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.run.run import Pass, RunOptions, Spec
from dailytalk_contiguous.shards import group
from dailytalk_contiguous.sources import whisper_json
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.transcribe import UNDETERMINED

#: Frames of Whisper a second, the unit of `seek`.
FRAMES_PER_SECOND = 100

#: Columns of the shards from which an entry is made.
_HEARD = (
    "start",
    "end",
    "text_raw",
    "words",
    "language",
    "avg_logprob",
    "no_speech_prob",
    "recogniser",
    "text_reason",
)


def default_json(source: Path) -> Path:
    """The path of a folder's whisper.json, which may not exist yet. Raises DailytalkError."""
    try:
        return whisper_json.clips_folder(source).json or source / whisper_json.WHISPER_JSON
    except OSError as error:
        raise DailytalkError(f"{shown(source)} can't be read ({error.strerror})", "check the path") from None


def json_in(out: Path) -> Path:
    """The file that `--out` names: itself if it ends in .json, otherwise the whisper.json of that folder."""
    is_file = out.suffix.lower() == ".json" and not out.is_dir()
    return out if is_file else out / whisper_json.WHISPER_JSON


class TranscribeSpec(Spec):
    """The clips of a folder that have no entry in a whisper.json, recognised and added to its old entries.

    Args:
        source: as for the corpus `clips`. out: the whisper.json; created if need be.
        stages: of `apps.clips.to_clips.transcribe_stages`. about: its `command` is for the journal.

    Attributes:
        left: the clips without an entry, by their names; these are recognised.
        entries: those of the whisper.json. heard: names of the clips that this run added.
        empty: those of them without a word.

    Raises DailytalkError for a source without clips, and for an `out` that is broken, of another layout, or can't
    be written.
    """

    kind = "transcribe"

    def __init__(
        self,
        source: Path,
        out: Path,
        stages: Sequence[Stage],
        about: Mapping[str, Any] = {},
    ) -> None:
        above = next(path for path in out.absolute().parents if path.exists())
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            raise DailytalkError(f"--out {as_text(out)!r} can't be written to", "name a file where you may write")
        self.file, self.stages, self.about = out, tuple(stages), about
        self.out = transcribe_folder(source, out)
        self._before = _existing(out)
        clips, _ = clips_by_name(source, texts=False)
        bad = [row for row in clips.values() if row["problem"]]
        self.rejects = [Reject(row["id"], "Corpus", row["problem"], row["remedy"]) for row in bad]
        rows = {name: row for name, row in clips.items() if not row["problem"]}
        matches = whisper_json.match_names(self._before.entries, rows)
        self.rejects += {reject.id: reject for reject in chain(matches.rejects, self._before.rejects)}.values()
        self.left = {name: row for name, row in rows.items() if name not in matches.keys}
        self.entries = self._before.entries
        self.heard, self.empty = list[str](), list[str]()

    def passes(self, options: RunOptions) -> Generator[Pass]:
        self._made: dict[str, dict[str, Any]] = {}
        if self.left:
            groups = list(group(map(clip_to_measure, self.left.values()), options.shard_seconds))
            step = Pass(self.out / "transcribed", groups, self.stages)
            yield step
            names = {row["id"]: name for name, row in self.left.items()}
            self._made = {names[row["conversation_id"]]: entry_of(row) for row in step.rows(_HEARD)}
            self.rejects += step.rejects

    def write(self, time_spent: Mapping[str, Any]) -> dict[str, Any]:
        """Write the whisper.json, the only result of a run; returns its counts."""
        now = _existing(self.file)  # another program may have written it meanwhile
        changed = now.entries != self._before.entries
        taken = whisper_json.match_names(now.entries, self._made).keys if changed else {}
        self.heard = [name for name in self._made if name not in taken]
        self.empty = [name for name in self.heard if not self._made[name]["text"]]
        self.entries = now.entries | {name: self._made[name] for name in self.heard}
        if self.heard or not self.file.exists():
            try:
                whisper_json.write_whisper_json(self.file, self.entries)
            except OSError as error:
                reason = f"{shown(self.file)} can't be written ({error.strerror or error})"
                raise DailytalkError(
                    reason, "make room, and run the same command: nothing is heard again"
                ) from error
        return {"counts": {"entries": len(self.entries), "heard": len(self.heard)}}

    def close(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)  # all of it is in the whisper.json now


def entry_of(row: Row) -> dict[str, Any]:
    """The entry of a clip, with the fields that Whisper writes.

    Each utterance with words is a segment: `seek` is its start in Whisper's frames of 10 ms, `avg_logprob` the
    mean log probability of its words, `no_speech_prob` that of the window in which it was recognised,
    `compression_ratio` that of its text. `temperature` is 0, as Whisper is run here. A number that the recogniser
    does not give is null, and `tokens` are always empty: no recogniser returns them. `text_reason` says why there
    is no text.
    """
    utterances = [
        dict(zip(_HEARD, values, strict=True)) for values in zip(*(row[name] for name in _HEARD), strict=True)
    ]
    spoken = [utterance for utterance in utterances if utterance["text_raw"]]
    languages = {utterance["language"] for utterance in utterances} - {UNDETERMINED}
    entry: dict[str, Any] = {
        "text": " ".join(utterance["text_raw"] for utterance in spoken),
        "language": next(iter(sorted(languages)), None),
        "segments": [_segment(number, utterance) for number, utterance in enumerate(spoken)],
    }
    if not spoken:
        reasons = dict.fromkeys(filter(None, (utterance["text_reason"] for utterance in utterances)))
        entry["text_reason"] = "; ".join(reasons) or "no speech was found"
    return entry


def _segment(number: int, utterance: Row) -> dict[str, Any]:
    return {
        "id": number,
        "seek": round(utterance["start"] * FRAMES_PER_SECOND),
        "start": round(utterance["start"], 4),
        "end": round(utterance["end"], 4),
        "text": utterance["text_raw"],
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": _number(utterance["avg_logprob"]),
        "compression_ratio": _number(compression_ratio(utterance["text_raw"])),
        "no_speech_prob": _number(utterance["no_speech_prob"]),
        "words": [word | {"probability": _number(word["probability"])} for word in utterance["words"]],
    }


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 4)


def _existing(out: Path) -> whisper_json.WhisperJson:
    """The file as it is. Raises DailytalkError for one that can't be completed without a loss."""
    if not os.path.lexists(out):
        return whisper_json.WhisperJson(out, {}, ())
    try:
        return whisper_json.read_whisper_json(out)
    except BadInput as error:
        raise DailytalkError(error.reason, f"{error.remedy}, or name another file with --out") from None


def transcribe_folder(source: Path, out: Path) -> Path:
    """The folder of a run's shards and events until it is done."""
    key = f"{as_text(source.resolve())}\0{as_text(out.resolve())}"
    return cache_folder() / "transcribe" / hashlib.sha256(key.encode()).hexdigest()[:32]
