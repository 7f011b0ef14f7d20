"""The start page of `dailytalk review`: from uncut recordings to a review, one step at a time.

A step is a command line, which the page shows and which runs in a process of its own: it can be run in a terminal,
too. A step is done when its result is on the disk, so a page that is reloaded, or a server that is started again,
continues. A request chooses a step and values of its settings, and no path.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dailytalk_contiguous.apps.clips.conversion import CONTAINERS, NOTES, Conversion
from dailytalk_contiguous.apps.clips.splitting import MANIFEST, NON_USABLE, USABLE
from dailytalk_contiguous.apps.clips.to_clips import split_stages
from dailytalk_contiguous.apps.clips.transcribing import default_json, transcribe_folder
from dailytalk_contiguous.apps.local_pages import page_file
from dailytalk_contiguous.apps.review.clips_lines import ClipsLines
from dailytalk_contiguous.apps.review.history import HISTORY
from dailytalk_contiguous.apps.review.layouts import open_editable
from dailytalk_contiguous.apps.review.server import ASSETS, in_json
from dailytalk_contiguous.core.documents import as_text, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.settings import PlacedSetting, Setting, settings_in
from dailytalk_contiguous.models.profiles import PROFILES, STANDARD
from dailytalk_contiguous.models.whisper import SIZES
from dailytalk_contiguous.run.events import RUNNING, run_status
from dailytalk_contiguous.stages.transcribe import Transcribe
from dailytalk_contiguous.store.files import REINDEXED, is_inside

#: Lines of a command's output that are shown, and the most characters of each.
_MOST_LINES, _LONGEST_LINE = 400, 2000

#: Seconds in which an open review must have ended.
_PATIENCE = 30.0

#: The last line of `dailytalk silences`.
_SUGGESTED = re.compile(r"--silence ([0-9.]+)")


class Step(NamedTuple):
    """A step: its command, its description in a sentence, and the settings that can be chosen."""

    command: str
    title: str
    about: str
    settings: tuple[PlacedSetting, ...] = ()
    has_dry_run: bool = True
    cuts: bool = False


def _of_command(name: str, value: Any, about: str, **attributes: Any) -> PlacedSetting:
    return PlacedSetting(Step, name, Setting(about, **attributes), True, value)


_RECOGNISER = (
    _of_command("profile", STANDARD, "Set of models: {choices}.", choices=tuple(PROFILES)),
    _of_command("asr_model", "", "Size of Whisper.", choices=("", *SIZES), shown="the profile's"),
)

STEPS = (
    Step(
        "convert",
        "Convert",
        "Copies the recordings in another format into a folder beside this one. No other step needs the copies.",
        (
            _of_command("to", "flac", "Format: {choices}.", choices=tuple(CONTAINERS)),
            *settings_in(Conversion()),
        ),
        has_dry_run=False,
        cuts=True,
    ),
    Step(
        "silences",
        "Silences",
        "Measures how long the silences are, and suggests at which of them to cut. It writes nothing.",
        has_dry_run=False,
        cuts=True,
    ),
    Step(
        "split",
        "Split",
        "Cuts the recordings into pieces at their silences. The recordings stay as they are, and nothing is left "
        "out: what can't be used is in “Non Usable”, with the reason.",
        (
            *settings_in(*split_stages()),
            _of_command("words", 0, "First words of each piece in its name.", metavar="N", least=0, most=50),
            *_RECOGNISER,
        ),
        cuts=True,
    ),
    Step(
        "transcribe",
        "Transcribe",
        "Recognises what is said in each clip. Clips that have a text are not heard again.",
        (
            *_RECOGNISER,
            *(placed for placed in settings_in(Transcribe(device="cpu")) if placed.option == "language"),
        ),
    ),
    Step(
        "reindex",
        "Reindex",
        "Numbers the clips without gaps, once the bad ones are sorted out; texts and lists that name them follow.",
    ),
)
_BY_COMMAND = {step.command: step for step in STEPS}

#: What a request to begin a step has.
_BEGIN = {"step": str, "dry": bool, "cut": bool, "values": dict}


def is_unprepared(folder: Path) -> bool:
    """Whether a folder has sound that was neither cut nor transcribed, or pieces that were not transcribed."""
    if _is_split(folder):
        return True
    editable = open_editable(folder) if folder.is_dir() else None
    return (
        isinstance(editable, ClipsLines)
        and not (folder / HISTORY).exists()
        and not default_json(folder).exists()
        and bool(editable.names())
    )


def _is_split(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() and (folder / USABLE).is_dir()


@dataclass
class _Run:
    step: str
    dry: bool
    command: str
    journal: Path | None
    process: "subprocess.Popen[bytes]"
    began: float = field(default_factory=time.monotonic)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_MOST_LINES))
    code: int | None = None
    seconds: float = 0.0

    def read(self) -> None:
        assert self.process.stdout
        while line := self.process.stdout.readline(1 << 16):
            self.lines.append(line.decode(errors="replace").rstrip()[:_LONGEST_LINE])
        code = self.process.wait()
        self.seconds, self.code = time.monotonic() - self.began, code

    def as_dict(self) -> dict[str, Any]:
        took = time.monotonic() - self.began if self.code is None else self.seconds
        known = {"step": self.step, "dry": self.dry, "command": self.command, "code": self.code}
        return known | {"text": "\n".join(self.lines), "seconds": round(took, 1)}

    def progress(self) -> dict[str, Any]:
        """Its progress by its journal: the share of its work from 0 to 1, and the seconds that are left."""
        with suppress(DailytalkError, OSError):
            for known in run_status(self.journal) if self.journal else ():
                if known.pid == self.process.pid and known.state == RUNNING:
                    share = known.audio_done / known.audio_seconds if known.done else None
                    return {"share": share, "left": known.left_seconds(datetime.now(UTC))}
        return {"share": None, "left": None}


class Preparation:
    """The steps of one folder, and the review that they lead to.

    `folder` is the opened one. `pieces` is the folder for the results of `dailytalk split`, or the one with them.
    """

    kind = "recordings"

    def __init__(self, folder: Path, author: str) -> None:
        self.folder, self._author = folder.absolute(), author
        is_usable = self.folder.name == USABLE and _is_split(self.folder.parent)
        self.is_cut = is_usable or _is_split(self.folder)
        self.pieces = self.folder / "pieces"
        self.converted = self.folder.with_name(f"{self.folder.name}-converted")
        if self.is_cut:
            self.pieces = self.folder.parent if is_usable else self.folder
        clips = self._clips(cut=False)
        self._refuse_link(clips)
        self.n_recordings = len(ClipsLines(clips).names())
        self._lock = threading.Lock()
        self._run: _Run | None = None
        self._outputs: dict[str, _Run] = {}
        self._review: subprocess.Popen[bytes] | None = None

    def app(self) -> Starlette:
        """The application; a `Guard` goes before it."""
        return Starlette(
            routes=[
                Route("/", _page),
                Route("/assets/{name}", _page),
                Route("/api/state", in_json(self._state)),
                Route("/api/run", in_json(self._begin, _BEGIN), methods=["POST"]),
                Route("/api/stop", in_json(self._stop, {}), methods=["POST"]),
                Route("/api/review", in_json(self._open, {"cut": bool}), methods=["POST"]),
            ]
        )

    def close(self) -> None:
        """End running processes: a step continues when it is started again."""
        run = self._run
        if run is not None and run.code is None:
            run.process.terminate()
            run.process.wait()
        self._end_review()

    def _state(self, request: Request) -> dict[str, Any]:
        run = self._run
        running = run is not None and run.code is None
        return {
            "folder": as_text(self.folder),
            "is_cut": self.is_cut,
            "steps": [self._shown(step) for step in STEPS if not (step.cuts and self.is_cut)],
            "running": run.as_dict() | run.progress() if run is not None and running else None,
        }

    def _begin(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        if (step := _BY_COMMAND.get(body["step"])) is None:
            raise BadInput(f"there is no step {body['step']!r}"[:100], "reload the page")
        self._start(step, body["cut"], body["dry"] and step.has_dry_run, body["values"])
        return {}

    def _stop(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        run = self._run
        if run is not None and run.code is None:
            run.process.send_signal(signal.SIGINT)
        return {}

    def _open(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        return {"address": self._open_review(self._clips(body["cut"]))}

    def _clips(self, cut: bool) -> Path:
        """The folder of the clips: the usable pieces if the recordings are cut, otherwise the opened folder."""
        return self.pieces / USABLE if cut or self.is_cut else self.folder

    def _refuse_link(self, path: Path) -> None:
        """Raise BadInput if a folder is a link out of the opened one, which may be from others."""
        if not is_inside(path, self.pieces if self.is_cut else self.folder):
            raise BadInput(f"{as_text(path)!r} is a link out of its folder", "copy what it names into the folder")

    def _shown(self, step: Step) -> dict[str, Any]:
        output = self._outputs.get(step.command)
        suggested = _SUGGESTED.search(output.lines[-1]) if output and output.lines and step.cuts else None
        return {
            "step": step.command,
            "title": step.title,
            "about": step.about,
            "has_dry_run": step.has_dry_run,
            "cuts": step.cuts,
            "fields": [_field(placed) for placed in step.settings],
            "done": {way: self._done(step.command, way == "cut") for way in ("cut", "whole")},
            "output": output and output.as_dict(),
            "suggested": float(suggested[1]) if suggested else None,
        }

    def _done(self, command: str, cut: bool) -> str | None:
        clips = self._clips(cut)
        if command == "convert" and (self.converted / NOTES).is_file():
            return as_text(self.converted)
        if command == "split" and _is_split(self.pieces):
            return as_text(clips)
        if command == "transcribe" and clips.is_dir() and default_json(clips).exists():
            return as_text(default_json(clips))
        if command == "reindex" and (backup := clips.parent / REINDEXED / clips.name).is_dir():
            return f"as it was: {as_text(backup)}"
        return None

    def _words(self, step: Step, cut: bool, dry: bool, values: Mapping[str, Any]) -> list[str]:
        """The command line of a step, without `dailytalk`. Raises BadInput for an invalid setting."""
        placed_by_option = {placed.option: placed for placed in step.settings}
        if unknown := values.keys() - placed_by_option.keys():
            raise BadInput(f"{step.command} has no setting {sorted(unknown)[0][:40]!r}", "reload the page")
        if step.command == "convert":
            values = {"to": placed_by_option["to"].value, **values}
        targets: dict[str, list[Path | str]] = {
            "convert": [self.folder, "--out", self.converted],
            "silences": [self.folder],
            "split": [self.folder, "--out", self.pieces],
            "transcribe": [self._clips(cut)],
            "reindex": [self._clips(cut)],
        }
        words = [step.command, *map(str, targets[step.command])]
        words += [flag for name, value in values.items() for flag in _flags(placed_by_option[name], value)]
        return [*words, "--dry-run"] if dry else words

    def _start(self, step: Step, cut: bool, dry: bool, values: Mapping[str, Any]) -> None:
        words, clips = self._words(step, cut, dry, values), self._clips(cut)
        if step.command == "convert" and self.converted.is_symlink():
            raise BadInput(f"{as_text(self.converted)!r} is a link", "remove it, or run the command by hand")
        for folder in (self.pieces / USABLE, self.pieces / NON_USABLE) if step.command == "split" else (clips,):
            self._refuse_link(folder)
        journal = self.pieces if step.command == "split" else None
        if step.command == "transcribe" and clips.is_dir():
            journal = transcribe_folder(clips, default_json(clips))
        with self._lock:
            if self._run is not None and self._run.code is None:
                raise BadInput(f"{self._run.step} is still running", "wait until it has ended, or stop it")
            self._end_review()
            command = as_text(shlex.join(["dailytalk", *words]))
            run = _Run(step.command, dry, command, None if dry else journal, _started(words))
            self._run = self._outputs[step.command] = run
            threading.Thread(target=run.read, name="step", daemon=True).start()

    def _open_review(self, clips: Path) -> str:
        """The address of the clips' review, which runs in a process of its own. Raises BadInput."""
        with self._lock:
            if self._run is not None and self._run.code is None:
                raise BadInput(f"{self._run.step} is still running", "wait until it has ended, or stop it")
            self._end_review()
            self._refuse_link(clips)
            words = ["review", str(clips), "--as-is", "--author", self._author, "--no-browser", "--json"]
            self._review = _started(words)
            output = self._review.stdout
            assert output
            line = b""
            while not line.startswith(b'{"address"'):  # before it there may be warnings
                reason, line = line, output.readline(_LONGEST_LINE)
                if not line:
                    self._end_review()
                    raise BadInput(reason.decode(errors="replace").strip(), "then open the review again")
            threading.Thread(target=deque, args=(output, 0), name="step", daemon=True).start()  # drops the rest
            address: str = parse_json(line, "the review's address")["address"]
            return address

    def _end_review(self) -> None:
        review, self._review = self._review, None
        if review is not None:
            review.terminate()
            with suppress(subprocess.TimeoutExpired):
                review.wait(_PATIENCE)


def _page(request: Request) -> Response:
    return page_file(ASSETS, request.path_params.get("name", "start.html"))


def _started(words: Sequence[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "dailytalk_contiguous", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"},
    )


def _field(placed: PlacedSetting) -> dict[str, Any]:
    known = placed.setting
    return {
        "name": placed.option,
        "flag": _flag(placed),
        "metavar": known.metavar or known.unit,
        "kind": _kind(placed),
        "about": known.about.replace("{choices}", " or ".join(known.choices)),
        "value": placed.value,
        "shown": known.shown,
        "choices": list(known.choices),
        "least": known.least,
        "most": known.most,
    }


def _flag(placed: PlacedSetting) -> str:
    return "--" + placed.option.replace("_", "-")


def _kind(placed: PlacedSetting) -> str:
    hint = get_type_hints(placed.kind).get(placed.name)
    if hint is bool:
        return "bool"
    return "choice" if placed.setting.choices else "language" if placed.option == "language" else "number"


def _flags(placed: PlacedSetting, value: Any) -> list[str]:
    """The option of a setting with a request's value; none for null and false.

    The command checks the value, and one that is a choice is checked here: an option may take a path, too.
    """
    if value is None or value is False:
        return []
    if placed.setting.choices and value not in placed.setting.choices:
        raise BadInput(f"{_flag(placed)} can't be {str(value)[:40]!r}", "reload the page")
    return [_flag(placed)] if value is True else [f"{_flag(placed)}={value}"]
