"""What a stream leaves when it stops: the outputs of all windows that are done, as the other commands write them.

What they take is counted before any of it is written: a stream is for corpora larger than the disk, and the sound
files of an hour are twice as large and more as the shards that they are made from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dailytalk_contiguous.engine import transcript
from dailytalk_contiguous.engine.events import Account
from dailytalk_contiguous.engine.outputs import TRANSCRIPT, read_run, write_outputs
from dailytalk_contiguous.engine.positions import Positions
from dailytalk_contiguous.engine.speaking import DATASET
from dailytalk_contiguous.engine.spoken_outputs import SHIFTED, bytes_to_write, write_spoken
from dailytalk_contiguous.engine.stream_job import Job
from dailytalk_contiguous.engine.tagging import TAGGED, without_rows
from dailytalk_contiguous.models.engines import Purse
from dailytalk_contiguous.pipeline import SpeakSettings
from dailytalk_contiguous.shards import drop_stale, read_rows
from dailytalk_contiguous.stages.base import Stage


@dataclass(frozen=True)
class StreamOutputs:
    """The outputs of the windows in `positions`, made by these stages, in the work folder `out`."""

    job: Job
    out: Path
    positions: Positions
    tag_stages: tuple[Stage, ...]
    speak_stages: tuple[Stage, ...]

    def stand(self) -> bool:
        """Whether they are there, and tell of all windows."""
        names = (TRANSCRIPT, SHIFTED) if self.job.speak else (TRANSCRIPT,)
        return self.positions.written and all((self.out / name).is_file() for name in names)

    def bytes_to_write(self) -> int:
        """Bytes that `write` would add to the disk, but for rejects and the record. Reads all rows, no sound."""
        rows = (row for path in self._tagged() for row in read_rows(path, transcript.COLUMNS).values())
        lines = (transcript.to_json(line) for row in rows for line in transcript.lines(row))
        return sum(len(line.encode()) for line in lines) + bytes_to_write(self.out, self._spoken())

    def write(self, about: Mapping[str, Any], stopped: str, account: Account, money: Purse) -> dict[str, Any]:
        """Write them; what run.json holds then.

        Args:
            about: how the run was asked for. stopped: why it ended before its source did, or empty.
            account: of its time. money: what it spent.
        """
        done = self.positions.windows
        told = dict(about) | {
            "source": self.job.source,
            "streaming": {"windows": len(done), "complete": self.positions.complete, "stopped": stopped},
            "time": account.as_dict(),
        }
        record = self._write_tagged(told)
        if self.job.speak:
            told |= {"transcript_sha256": record["transcript_sha256"]}
            self._write_spoken(told, self.job.speak, money)
            record = read_run(self.out) or record
        self.positions.outputs_stand()
        return record

    def _tagged(self) -> list[Path]:
        return [self.out / TAGGED / one.tagged for one in self.positions.windows if one.tagged]

    def _spoken(self) -> list[Path]:
        return [self.out / DATASET / one.dataset for one in self.positions.windows if one.dataset]

    def _write_tagged(self, told: Mapping[str, Any]) -> dict[str, Any]:
        folder = self.out / TAGGED
        paths = self._tagged() or [without_rows(folder, self.tag_stages)]
        problems = [problem for one in self.positions.windows for problem in one.problems]
        about = {**told, "settings": self.job.tag.told()}
        record = write_outputs(self.out, paths, self.tag_stages, problems, about)
        drop_stale(folder, paths)
        return record

    def _write_spoken(self, told: Mapping[str, Any], settings: SpeakSettings, money: Purse) -> None:
        paths = self._spoken()
        unsaid = [reject for one in self.positions.windows for reject in one.unsaid]
        about = {**told, "settings": settings.told(), "money": money.as_dict()}
        write_spoken(self.out, paths, self.speak_stages, unsaid, about, self.job.source)
        drop_stale(self.out / DATASET, paths)
