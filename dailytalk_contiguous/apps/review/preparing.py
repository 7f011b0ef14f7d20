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
from collections import deque
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypedDict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from dailytalk_contiguous.apps.clips.convert_command import CONTAINERS
from dailytalk_contiguous.apps.clips.split_command import MANIFEST, NON_USABLE, USABLE
from dailytalk_contiguous.apps.clips.transcribe_command import default_json
from dailytalk_contiguous.apps.local_pages import refused
from dailytalk_contiguous.apps.review.history import HISTORY
from dailytalk_contiguous.apps.review.layouts import ClipsLines, open_editable
from dailytalk_contiguous.apps.review.server import OpenReview, PageJson, answering, page_of
from dailytalk_contiguous.cli.main import command_of
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.models.profiles import PROFILES
from dailytalk_contiguous.models.whisper import SIZES
from dailytalk_contiguous.publish.tables.templates import rendered
from dailytalk_contiguous.store.files import REINDEXED, is_inside

#: Values of options that may else be paths, or that a person can't know.
CHOICES: dict[str, Collection[str]] = {"to": CONTAINERS, "profile": PROFILES, "asr_model": SIZES}


class Step(NamedTuple):
    """A step: its command, its description in a sentence, and the options of the command that can be chosen.

    `cuts`: it works on the recordings, before there are clips.
    """

    command: str
    about: str
    options: tuple[str, ...] = ()
    has_dry_run: bool = True
    cuts: bool = False

    @property
    def title(self) -> str:
        return self.command.capitalize()

    @property
    def fields(self) -> list[object]:
        """The options as the command line has them."""
        return [option for option in command_of(self.command).params if option.name in self.options]


STEPS = (
    Step(
        "convert",
        "Copies the recordings in another format into a folder beside this one. No other step needs the copies.",
        ("to", "sample_rate", "channels"),
        has_dry_run=False,
        cuts=True,
    ),
    Step(
        "silences",
        "Measures how long the silences are, and suggests at which of them to cut. It writes nothing.",
        has_dry_run=False,
        cuts=True,
    ),
    Step(
        "split",
        "Cuts the recordings into pieces at their silences. The recordings stay as they are, and nothing is left "
        "out: what can't be used is in “Non Usable”, with the reason. With a number of words, a recogniser hears "
        "each piece, and its first words come into its name.",
        ("silence", "min", "max", "words", "profile", "asr_model", "language"),
        cuts=True,
    ),
    Step(
        "transcribe",
        "Recognises what is said in each clip. Clips that have a text are not heard again.",
        ("profile", "asr_model", "language"),
    ),
    Step(
        "reindex",
        "Numbers the clips without gaps, once the bad ones are sorted out; lists that name them follow.",
    ),
)


def is_unprepared(folder: Path) -> bool:
    """Whether a folder has sound that was neither cut nor transcribed, or pieces that were not transcribed."""
    if _is_split(folder):
        return True
    editable = open_editable(folder) if folder.is_dir() else None
    if (folder / HISTORY).exists() or default_json(folder).exists():
        return False
    return isinstance(editable, ClipsLines) and bool(editable.names())


def _is_split(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() and (folder / USABLE).is_dir()


class _Run:
    """A command that runs or has run."""

    def __init__(self, words: Sequence[str], dry: bool) -> None:
        self.dry = dry
        self.command = as_text(shlex.join(["dailytalk", *words]))
        self.lines: deque[str] = deque(maxlen=400)
        self.code: int | None = None
        self.stopped = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dailytalk_contiguous", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"},
        )

        def read() -> None:
            assert self.process.stdout
            for line in iter(partial(self.process.stdout.readline, 1 << 16), b""):
                self.lines.append(line.decode(errors="replace").rstrip()[:2000])
            self.code = self.process.wait()

        threading.Thread(target=read, name="step", daemon=True).start()


class _Open(TypedDict):
    cut: bool


class _Begin(_Open):
    step: str
    dry: bool
    values: PageJson


#: The last line of `dailytalk silences`.
_SUGGESTED = re.compile(r"--silence ([0-9.]+)")


class Preparation:
    """The steps of one folder, and the review that they lead to.

    `root` is the opened folder. `pieces` is the folder for the results of `dailytalk split`, or the one with them.
    """

    def __init__(self, folder: Path, author: str) -> None:
        self.root = folder.absolute()
        self._author = author
        is_usable = self.root.name == USABLE and _is_split(self.root.parent)
        self.is_cut = is_usable or _is_split(self.root)
        self.pieces = self.root / "pieces"
        self.converted = self.root.with_name(f"{self.root.name}-converted")
        if self.is_cut:
            self.pieces = self.root.parent if is_usable else self.root
        self._refuse_link(self._clips(cut=False))
        self._steps = [step for step in STEPS if not (step.cuts and self.is_cut)]
        self._lock = threading.Lock()
        self._runs: dict[str, _Run] = {}
        self._review: OpenReview | None = None
        self.app = Starlette(
            routes=[
                Route("/", answering(self._page)),
                Route("/assets/{name}", page_of("")),
                Route("/api/state", answering(self._state)),
                Route("/api/run", answering(self._begin, _Begin), methods=["POST"]),
                Route("/api/stop", answering(self._stop, PageJson), methods=["POST"]),
                Route("/api/review", answering(self._open, _Open), methods=["POST"]),
                Mount("/review", self._reviewed),
            ]
        )

    async def _reviewed(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._review:
            await self._review.app(scope, receive, send)
        else:
            closed = refused(404, "no review is open", "open it in the page of the steps")
            await closed(scope, receive, send)

    def close(self) -> None:
        """End a running command: a step continues when it is started again."""
        for run in self._running():
            run.process.terminate()
            run.process.wait()
        self._end_review()

    def _running(self) -> list[_Run]:
        return [run for run in self._runs.values() if run.code is None]

    def _page(self, request: Request) -> Response:
        context = {"folder": as_text(self.root), "is_cut": self.is_cut, "steps": self._steps, "choices": CHOICES}
        return HTMLResponse(rendered("start.html", __package__, **context))

    def _state(self, request: Request) -> dict[str, object]:
        """The parts of the page that show what is done."""
        cut = request.query_params.get("cut") != "false"
        done = {step.command: self._result_of(step.command, cut) for step in self._steps}
        silences = self._runs.get("silences")
        following = "review" if done["transcribe"] else "transcribe"
        if cut and not done.get("split", True):
            following = "split" if silences and silences.code == 0 else "silences"
        suggested = _SUGGESTED.search(silences.lines[-1]) if silences and silences.lines else None
        running = self._running()
        runs = {step.command: self._runs.get(step.command) for step in self._steps}
        html = rendered(
            "steps.html",
            __package__,
            steps=self._steps,
            runs=runs,
            running=running,
            done=done,
            next=following,
            cut=cut,
            suggested=suggested,
        )
        return {"running": bool(running), "html": html}

    def _result_of(self, command: str, cut: bool) -> str | None:
        """The result of a step; None if it is not on the disk."""
        clips = self._clips(cut)
        results = {
            "convert": self.converted,
            "split": self.pieces / MANIFEST,
            "reindex": clips.parent / REINDEXED / clips.name,
        }
        if clips.is_dir():
            results["transcribe"] = default_json(clips)
        result = results.get(command)
        if result is None or not result.exists():
            return None
        return as_text(clips if command == "split" else result)

    def _clips(self, cut: bool) -> Path:
        """The folder of the clips: the usable pieces if the recordings are cut, otherwise the opened folder."""
        return self.pieces / USABLE if cut or self.is_cut else self.root

    def _refuse_link(self, path: Path) -> None:
        """Raise BadInput if a folder is a link out of the opened one, which may be from others."""
        if not is_inside(path, self.pieces if self.is_cut else self.root):
            raise BadInput(f"{as_text(path)!r} is a link out of its folder", "copy what it names into the folder")

    def _begin(self, body: PageJson) -> PageJson:
        """Start a step."""
        clips = self._clips(body["cut"])
        values = body["values"]
        step = _chosen_step(body["step"], values)
        words = [step.command, str(self.root if step.cuts else clips)]
        if step.command == "convert":
            words += ["--out", str(self.converted)]
        elif step.command == "split":
            words += ["--out", str(self.pieces)]
        for name, value in values.items():
            flag = f"--{name.replace('_', '-')}"
            if value != "":
                words.append(flag if value == "on" else f"{flag}={value}")
        if self.converted.is_symlink() and step.command == "convert":
            raise BadInput(f"{as_text(self.converted)!r} is a link", "remove it, or run the command by hand")
        written = [self.pieces / USABLE, self.pieces / NON_USABLE] if step.command == "split" else [clips]
        for folder in written:
            self._refuse_link(folder)
        is_dry = body["dry"] and step.has_dry_run
        if is_dry:
            words.append("--dry-run")
        with self._lock:
            self._refuse_running()
            self._end_review()
            self._runs[step.command] = _Run(words, is_dry)
        return {}

    def _refuse_running(self) -> None:
        if self._running():
            raise BadInput("a step is still running", "wait until it has ended, or stop it")

    def _stop(self, _: PageJson) -> PageJson:
        for run in self._running():
            run.stopped = True
            run.process.send_signal(signal.SIGINT)
        return {}

    def _open(self, body: PageJson) -> PageJson:
        """Open the review of the clips; the answer has its address, beside that of this page."""
        clips = self._clips(body["cut"])
        with self._lock:
            self._refuse_running()
            self._end_review()
            self._refuse_link(clips)
            self._review = OpenReview(open_editable(clips) or ClipsLines(clips), self._author)
        return {"address": "review/"}

    def _end_review(self) -> None:
        review = self._review
        self._review = None
        if review is not None:
            review.close()


def _chosen_step(command: str, values: PageJson) -> Step:
    """The step of a command. Raises BadInput if there is none with these values of its options."""
    step = next((step for step in STEPS if step.command == command), None)
    wrong: list[str] = []
    for name, value in values.items():
        is_option = step is None or name in step.options
        if not is_option or value not in ("", *CHOICES.get(name, [value])):
            wrong.append(name)
    if step is None or wrong:
        about = f" with {wrong[0][:40]!r} {str(values[wrong[0]])[:40]!r}" if wrong else ""
        raise BadInput(f"there is no step {command[:40]!r}{about}", "reload the page")
    return step
