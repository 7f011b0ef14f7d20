"""position.jsonl: how far a stream has come, a line a window, written once the window's shards are on disk.

Beside the shards and not inside them: a window makes two shards, or none where nothing in it could be used, and
its position has to outlive all of these cases. A crash between a shard and its line loses nothing: the window is
done again from the line before it, finds its shards standing, and adds its line.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.documents import MOST_BYTES, expect, numbered_lines, parse_json, quoted
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.files.inside import inside
from dailytalk_contiguous.files.writing import write_text
from dailytalk_contiguous.sources.hub_stream import Place

POSITION = "position.jsonl"

#: Version of the file's layout.
LAYOUT = 1


@dataclass(frozen=True)
class Finished:
    """A window that is done.

    Attributes:
        window: its number, from 0. start, end: where the source stood before and after it.
        last: whether the source ended with it.
        names: files of its recordings, as later names have to be told from them.
        problems: what the source could not use. unsaid: what could not be read of its transcript.
        tagged, dataset: names of its shards; None where it made none.
        held: conversations that the next run tries again.
        conversations, audio_seconds: that went in.
        size: bytes that its recordings and its shards took on the disk, at most.
    """

    window: int
    start: Place
    end: Place
    last: bool
    names: list[str] = field(default_factory=list)
    problems: list[Reject] = field(default_factory=list)
    unsaid: list[Reject] = field(default_factory=list)
    tagged: str | None = None
    dataset: str | None = None
    held: int = 0
    conversations: int = 0
    audio_seconds: float = 0.0
    size: int = 0


_REJECT = {"id": str, "stage": str, "reason": str, "remedy": str}
_PLACE = [int]

#: The lines: what the stream is made of, that the outputs are written, or a window.
_ABOUT, _WRITTEN = {"layout": int, "source": dict, "commit": str}, {"written": int}
_WINDOW = {"window": int, "start": _PLACE, "end": _PLACE, "last": bool, "names": [str]}
_WINDOW |= {"problems": [_REJECT], "unsaid": [_REJECT], "tagged?": str, "dataset?": str, "held": int}
_WINDOW |= {"conversations": int, "audio_seconds": float, "size": int}

_PUT_BACK = "choose another --out, or put the file back as it was"


class Positions:
    """The windows that are done in a work folder, and `about`: what they were made of, None before the first run.

    Raises DailytalkError for a file of another layout, for one that is damaged, and for a link out of the folder.
    """

    def __init__(self, out: Path) -> None:
        self.path = inside(out, POSITION)
        self.about: dict[str, Any] | None = None
        self._windows: dict[int, Finished] = {}
        self._written = -1
        self._whole = 0
        for number, line in numbered_lines(self.path, _PUT_BACK, MOST_BYTES) if self.path.exists() else ():
            if line.endswith(b"\n"):  # what a crash has cut off was never done
                name = f"line {number} of {self.path}"
                self._take(parse_json(line, name, _PUT_BACK), name)
                self._whole += len(line)

    @property
    def windows(self) -> list[Finished]:
        """All that are done, in order."""
        return [self._windows[number] for number in range(len(self._windows))]

    @property
    def end(self) -> Place:
        """Where the source stands after them."""
        return self._windows[len(self._windows) - 1].end if self._windows else Place()

    @property
    def complete(self) -> bool:
        """Whether the source has come to its end."""
        return bool(self._windows) and self._windows[len(self._windows) - 1].last

    @property
    def audio_seconds(self) -> float:
        """Of all conversations in them."""
        return sum(one.audio_seconds for one in self._windows.values())

    @property
    def written(self) -> bool:
        """Whether the transcript and the other outputs tell of all of them, and of nothing less."""
        return self._written == len(self._windows)

    def begin(self, about: Mapping[str, Any]) -> None:
        """Say what the stream is made of, before its first window."""
        self.about = json.loads(json.dumps({"layout": LAYOUT, **about}))
        text = json.dumps(self.about) + "\n"
        write_text(self.path, text)
        self._whole = len(text.encode())

    def add(self, finished: Finished) -> None:
        """Note a window whose shards are on disk; one that was done again takes the place of what it was."""
        self._append(asdict(finished))

    def outputs_stand(self) -> None:
        """Note that the outputs are written."""
        self._append({"written": len(self._windows)})

    def _append(self, told: dict[str, Any]) -> None:
        line = json.dumps(told).encode() + b"\n"
        with self.path.open("r+b") as file:
            file.truncate(self._whole)
            file.seek(self._whole)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._whole += len(line)
        self._take(json.loads(line), "")

    def _take(self, line: Any, name: str) -> None:
        """Take in a line that is called `name` in an error. Raises BadInput for what is none."""
        expect(line, dict, name, _PUT_BACK)
        if "layout" in line:
            if line["layout"] != LAYOUT:
                raise DailytalkError(
                    f"{self.path} is of another version (layout {quoted(line['layout'])}, not {LAYOUT})",
                    "choose another --out, or go on with the version that began it",
                )
            self.about = expect(line, _ABOUT, name, _PUT_BACK)
        elif "written" in line:
            self._written = expect(line, _WRITTEN, name, _PUT_BACK)["written"]
        else:
            window = expect(line, _WINDOW, name, _PUT_BACK)
            places = all(len(window[place]) == len(Place._fields) for place in ("start", "end"))
            if not places or not 0 <= window["window"] <= len(self._windows):
                raise BadInput(f"{name}: it is not the window that follows", _PUT_BACK)
            finished = {field.name: window.get(field.name) for field in fields(Finished)}
            finished |= {place: Place._make(window[place]) for place in ("start", "end")}
            for kind in ("problems", "unsaid"):
                finished[kind] = [Reject(**{part: reject[part] for part in _REJECT}) for reject in window[kind]]
            self._windows[window["window"]] = Finished(**finished)
            self._written = -1
