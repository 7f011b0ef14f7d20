"""Processes that begin with what they would import: forks of one that has imported it, as children of who asks.

A command, or a worker of one, spends two seconds on imports and a tenth of that on the recordings of tests. A fork
is a process as any other: it has its own session, signals, descriptors and end, and a command that has workers has
forks of its own for them. Where that makes a difference (not on Linux, a limit that is set before the program
begins, another Hub, which libraries read when they are imported), the interpreter is started as everywhere.
"""

import ctypes
import fcntl
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import util
from pathlib import Path
from threading import Lock
from typing import Any

from dailytalk_contiguous.cli.main import COMMANDS

#: What commands import where they need it. Not torch and CTranslate2, which read at their import how many threads
#: a process has.
PRELOADED = (
    *(f"dailytalk_contiguous.{COMMANDS[name]}" for name in ("speak", "tag")),
    *(f"dailytalk_contiguous.{COMMANDS[name]}" for name in ("convert", "review", "split") if name in COMMANDS),
    *(("dailytalk_contiguous.apps.review.serving",) if "review" in COMMANDS else ()),
    "av",
    "dailytalk_contiguous.models.synthesisers.espeak",
    "datasets",
    "onnxruntime",
    "pyarrow.parquet",
    "pyloudnorm",
    "requests",
    "scipy.signal",
    "soxr",
    "tokenizers",
    "typer._adapters",
)

#: What every command has set before it imports libraries.
SET = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_VERBOSITY": "error", "ORT_DISABLE_TELEMETRY": "1"}
SET |= {"PYTHONIOENCODING": "utf-8", "TOKENIZERS_PARALLELISM": "false"}

#: Variables that are read when they are needed, or by what is not preloaded and may set its own. Of any other that
#: differs, libraries have read the old value.
READ_LATE = (
    "ACCELERATE_",
    "AWS_",
    "COLUMNS",
    "CUDA_",
    "DAILYTALK_CACHE",
    "DNNL_",
    "FISH_",
    "KMP_",
    "LRU_",
    "OMP_",
    "ONEDNN_",
    "OPENAI_",
    "PYTEST_",
    "PYTHONBREAKPOINT",
    "PYTHONPATH",
    "PYTORCH_",
    "RAY_",
    "REVIEW_SECRET",
    "TORCH",
    "XLA_",
    "no_proxy",
)

#: The environment of the tests, before any of them changes it.
ENVIRONMENT = dict(os.environ)

#: Descriptors from here on are put aside while those of a fork get their numbers.
ASIDE = 512

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of <sys/prctl.h>

#: What the forks do in the end, where `serve` returns in each.
PROGRAM = "import preloaded; exec(preloaded.begin())"


class Preloaded:
    """A process that forks others, at the other end of a channel; it ends with who has it.

    `process` is held where it was started by the interpreter: nobody waits for its end.
    """

    def __init__(self, channel: socket.socket, process: "subprocess.Popen[bytes] | None" = None) -> None:
        # An orphan becomes a child of its nearest ancestor that asks for it, as this process does.
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
        self._channel = channel
        self._lock = Lock()
        self._process = process

    def fork(
        self,
        arguments: Sequence[str],
        code: str,
        descriptors: Mapping[int, int],
        environment: Mapping[str, str],
        session: bool,
    ) -> int:
        """Begin a program.

        Args:
            arguments: its `sys.argv`.
            code: what it runs as `__main__`.
            descriptors: those that it has, by the number that they have there.
            environment: all of it.
            session: whether it begins one.

        Returns:
            The process, which is a child of this one.
        """
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        order = {
            "argv": [*arguments],
            "code": code,
            "descriptors": [*descriptors],
            "session": session,
            "environment": dict(environment),
            "folder": os.getcwd(),
            "mask": [*map(int, blocked)],
        }
        message = json.dumps(order).encode()
        with self._lock:
            socket.send_fds(self._channel, [message], [*descriptors.values()])
            process = int(self._channel.recv(32))
            assert self._channel.recv(1)
        return process


_mine: Preloaded | None = None


def _first() -> Preloaded:
    """Of this process; where a test runs, one that is started for it and all tests after it."""
    global _mine
    if _mine is None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = os.pathsep.join([str(Path(__file__).parent), *_import_path(ENVIRONMENT)])
        environment = ENVIRONMENT | SET | {"PYTHONPATH": path}
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        with theirs:
            channel = theirs.fileno()
            process = subprocess.Popen(
                [sys.executable, *flags, "-c", PROGRAM, str(channel)],
                env=environment,
                pass_fds=[channel],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        _mine = Preloaded(ours, process)
    return _mine


def _import_path(environment: Mapping[str, str]) -> list[str]:
    folders = environment.get("PYTHONPATH", "").split(os.pathsep)
    return [folder for folder in folders if folder]


def same(environment: Mapping[str, str]) -> bool:
    """Whether what is preloaded would have been loaded so in this environment, too."""
    names = (ENVIRONMENT.keys() | environment.keys()) - SET.keys()
    early = [name for name in names if not name.startswith(READ_LATE)]
    return all(ENVIRONMENT.get(name) == environment.get(name) for name in early)


def begin() -> str:
    """Import what is preloaded and serve; returns in each fork, with what is to be run as `__main__`."""
    import gc

    from heard import hear_once

    gc.disable()
    for name in PRELOADED:
        importlib.import_module(name)
    hear_once(setattr)
    gc.collect()
    gc.freeze()
    return serve(int(sys.argv[1]))


def serve(channel: int) -> str:
    """Fork what is asked for until nobody asks any more; returns in each fork, as `begin` does."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    asked = socket.socket(fileno=channel)
    while True:
        message, descriptors, _, _ = socket.recv_fds(asked, 1 << 20, 64)
        if not message:
            os._exit(0)
        between = os.fork()
        if between:
            os.waitpid(between, 0)
            for descriptor in descriptors:
                os.close(descriptor)
            asked.send(b".")  # by now it is a child of who has asked
            continue
        process = os.fork()
        if process:
            asked.send(str(process).encode())
            os._exit(0)
        asked.detach()
        return _prepared(json.loads(message), descriptors)


def _prepared(order: dict[str, Any], descriptors: Sequence[int]) -> str:
    """Make a fork what it would be if it had been started; gives the code that it runs."""
    aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, ASIDE) for descriptor in descriptors]
    os.closerange(3, ASIDE)
    for descriptor, number in zip(aside, order["descriptors"], strict=True):
        os.dup2(descriptor, number)
    os.closerange(ASIDE, ASIDE + len(aside) + 1)
    if order["session"]:
        os.setsid()
    os.chdir(order["folder"])
    environment = order["environment"]
    folders = _import_path(os.environ)
    sys.path[1 : 1 + len(folders)] = _import_path(environment)
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    ENVIRONMENT.clear()
    ENVIRONMENT.update(os.environ)
    sys.argv = order["argv"]
    if "--workers" in sys.argv:
        code = _with_forks_of_its_own()
        if code is not None:
            return code
    signal.pthread_sigmask(signal.SIG_SETMASK, order["mask"])
    return str(order["code"])


def _with_forks_of_its_own() -> str | None:
    """Fork what this process will have its workers from, while it has no threads; returns code in those alone."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork():
        theirs.close()
        global _mine
        _mine = Preloaded(ours)
        fork_workers(setattr)
        return None
    ours.close()
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    channel = os.dup2(theirs.detach(), ASIDE - 1)
    os.closerange(3, ASIDE - 1)
    return serve(channel)


def fork_workers(patch: Any) -> Callable[..., int]:
    """Let the worker processes of this process be forks; gives what starts one by the interpreter.

    Args:
        patch: sets an attribute: `setattr`, or that of a `MonkeyPatch`.
    """
    start: Callable[..., int] = util.spawnv_passfds

    def begin_worker(path: bytes, words: Sequence[str], kept: Sequence[int]) -> int:
        if "--multiprocessing-fork" not in words or not same(os.environ):
            return start(path, words, kept)
        option = words.index("-c")
        code = words[option + 1]
        arguments = ["-c", *words[option + 2 :]]
        descriptors = {number: number for number in (0, 1, 2, *map(int, kept))}
        return _first().fork(arguments, code, descriptors, os.environ, False)

    patch(util, "spawnv_passfds", begin_worker)
    return start


class Forked(subprocess.Popen[str]):
    """A process of the interpreter that is forked, where that makes no difference."""

    def __exit__(self, kind: Any, *others: Any) -> None:
        if kind is not None:  # nothing else would end it, and a test that failed would wait for ever
            self.kill()
        super().__exit__(kind, *others)

    def _execute_child(
        self,
        args: Any,
        executable: Any,
        preexec_fn: Any,
        close_fds: Any,
        pass_fds: Any,
        cwd: Any,
        env: Any,
        startupinfo: Any,
        creationflags: Any,
        shell: Any,
        p2cread: int,
        p2cwrite: int,
        c2pread: int,
        c2pwrite: int,
        errread: int,
        errwrite: int,
        *others: Any,
    ) -> None:
        environment = os.environ if env is None else env
        pipes = p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite
        can_fork = sys.platform == "linux" and preexec_fn is None and cwd is None
        if not can_fork or not same(environment):
            first = args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags, shell
            super()._execute_child(*first, *pipes, *others)  # type: ignore[misc]
            return
        _, option, program, *words = args
        code = program if option == "-c" else f"import runpy; runpy._run_module_as_main({program!r})"
        descriptors = {
            0: max(p2cread, 0),
            1: c2pwrite if c2pwrite >= 0 else 1,
            2: errwrite if errwrite >= 0 else 2,
        }
        self.pid = _first().fork([option, *words], code, descriptors, environment, True)
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]
