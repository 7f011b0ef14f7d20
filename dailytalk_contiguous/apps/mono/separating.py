"""Recordings of one channel as recordings of two: the pass that finds the turns of each speaker, and its files.

A recording becomes `NAME.flac`, or `NAME.000.flac` … if parts of it are cut out, each with a `NAME.separated.json`
beside it. The comment of a file identifies its source, so that a run that was stopped continues after the last
finished one.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.mono.separate import PlaceOnSides, write_part
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.machine import give_back_memory
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.separated_turns import DOUBTFUL, turns_within
from dailytalk_contiguous.run import outputs
from dailytalk_contiguous.run.events import Account
from dailytalk_contiguous.run.tagging import FilesSpec
from dailytalk_contiguous.shards import read_rows
from dailytalk_contiguous.sources.separated import SEPARATED_OF, separated_beside
from dailytalk_contiguous.store import work_folder
from dailytalk_contiguous.store.files import json_document, json_text, replacing, write_lines, write_text
from dailytalk_contiguous.store.owned_folder import MADE_FROM, OwnedFolder, made_from

#: Folder of the shards inside the folder of the recordings, and the list of what was written and what was not.
TURNS_FOLDER, MANIFEST = "turns", "separated.jsonl"

_COLUMNS = (
    *("recording_id", "audio", "audio_file", "offset", "duration", "input_digest"),
    *("parts", "separated_turns", "separated_by", "overlaps"),
)


class SeparateSpec(FilesSpec):
    """Recordings of one channel into FLACs of two, with their turns.

    `stages` are those of `apps.mono.to_sides.separate_stages`, without the last.

    Attributes:
        parts: what is known of each part (`line_of_part`).
    """

    kind, shards = "separate", TURNS_FOLDER
    parts: Sequence[Mapping[str, Any]] = ()

    @property
    def manifest(self) -> Path:
        """The list of written and cut-out parts: a line a part."""
        return self.out / MANIFEST

    def write(self, account: Account) -> dict[str, Any]:
        """Write the recordings that are missing, the list of all, and the record."""
        self.rejects += self._pass.rejects
        owned = OwnedFolder(self.out, self.kind, (MANIFEST,))
        parts = list[dict[str, Any]]()
        counts: Counter[str] = Counter()
        seconds: Counter[str] = Counter()
        for row in (row for path in self._pass.paths for row in read_rows(path, _COLUMNS).values()):
            try:
                written = [*self._write_recording(owned, row)]
            except BadInput as error:
                self.rejects.append(Reject(row["recording_id"], "PlaceOnSides", error.reason, error.remedy))
                continue
            counts["recordings"] += 1
            for line in written:
                parts.append(line)
                counts["conversations" if line["file"] else "cut_out"] += 1
                for name in ("turns", "doubtful"):
                    counts[name] += line[name]
                for name in ("left", "right", "both"):
                    seconds[name] += line[name]
                seconds["audio" if line["file"] else "cut_out"] += line["end"] - line["start"]
            give_back_memory()
        self.parts = parts
        owned.finish({MANIFEST: map(json_text, parts)})
        write_lines(self.out / work_folder.REJECTS, [json_text(reject.as_dict()) for reject in self.rejects])
        record = {
            **outputs.facts_of_run(self.about, self.stages),
            "source": self.recordings.source,
            "counts": dict(counts) | {"rejects": len(self.rejects)},
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
        }
        write_text(self.out / work_folder.RUN, json_document(record))
        return record

    def _write_recording(self, owned: OwnedFolder, row: Row) -> Iterator[dict[str, Any]]:
        """Write the conversations of a recording that are not there; yields a line for each part of it."""
        for name, part in named_parts(row):
            line = line_of_part(row, name, part)
            if name:
                digest = _digest(row, part)
                owned.claim([name, as_text(separated_beside(Path(name)))])
                beside = separated_beside(self.out / name)
                if made_from(self.out, name) != digest or not beside.is_file():
                    write_conversation(self.out / name, row, part, f"{MADE_FROM} {digest}")
                    self.n_written += 1
            yield line


def named_parts(row: Row) -> Iterator[tuple[str, dict[str, Any]]]:
    """The parts of a separated recording in order, each with the name of its file: none of one that is cut out."""
    name, number = row["recording_id"], 0  # no two recordings have one, as talk.mp3 and talk.wav have one stem
    for part in row["parts"]:
        if part["reason"]:
            yield "", part
        else:
            yield f"{name}.flac" if len(row["parts"]) == 1 else f"{name}.{number:03d}.flac", part
            number += 1


def line_of_part(row: Row, name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """The line of a part in the list of a run: its file, its source, and the seconds of speech of each person."""
    turns = turns_within(row["separated_turns"], part["start"], part["end"] - part["start"])
    heard = {
        side: sum(turn["end"] - turn["start"] for turn in turns if turn["channel"] == side)
        for side in ("left", "right")
    }
    both = sum(
        turn["end"] - turn["start"] for turn in turns if turn["origin"] != "recorded" and turn["channel"] == "left"
    )
    return {
        "file": name,
        "source": row["audio_file"],
        "start": part["start"],
        "end": part["end"],
        "reason": part["reason"],
        **{side: round(value, 3) for side, value in heard.items()},
        "both": round(both, 3),
        "turns": len(turns) if name else 0,
        "doubtful": sum(turn["confidence"] < DOUBTFUL for turn in turns) if name else 0,
    }


def write_conversation(target: Path, row: Row, part: Mapping[str, Any], comment: str) -> None:
    """Write a part of a separated row as a FLAC, with its record beside it. Raises BadInput if unreadable."""
    with replacing(target) as flac, replacing(separated_beside(target)) as file:  # the FLAC is there last
        turns = write_part(flac, row, part["start"], part["end"], comment)
        about = {
            "source": row["audio_file"],
            "offset": part["start"],
            "duration": part["end"] - part["start"],
            "models": row["separated_by"],
            "turns": [
                {name: round(value, 4) if isinstance(value, float) else value for name, value in turn.items()}
                for turn in turns
            ],
        }
        file.write(json_document(about).encode())


def _digest(row: Row, part: Mapping[str, Any]) -> str:
    """Of what a file is made from, the code that places it on sides too."""
    made_of = [PlaceOnSides().digest, row["input_digest"], part, row["separated_turns"], row["separated_by"]]
    made_of.append([hashlib.sha256(overlap["sound"]).hexdigest() for overlap in row["overlaps"]])
    return SEPARATED_OF + hashlib.sha256(json_text(made_of).encode()).hexdigest()[:20]
