"""Processes that share their imports: one imports for seconds, and its forks do what may end them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Self

from command import Done

#: Runs each line of code in a fork whose stdout and stderr are files, and prints its exit status.
SERVE = """
import json, os, sys
for line in sys.stdin:
    out, err, code = json.loads(line)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    else:
        os.dup2(os.open(out, os.O_CREAT | os.O_WRONLY), 1)
        os.dup2(os.open(err, os.O_CREAT | os.O_WRONLY), 2)
        exec(code)
        break
"""


class Forks:
    """Runs code in forks of a process that has run a program; what they print is put into files of a folder."""

    def __init__(self, program: str, folder: Path) -> None:
        command = [sys.executable, "-c", program + SERVE]
        self._process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._folder, self._count = folder, 0

    def __call__(self, code: str) -> Done:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._count += 1
        out, err = (self._folder / f"{self._count}.{name}" for name in ("out", "err"))
        print(json.dumps([str(out), str(err), code]), file=self._process.stdin, flush=True)
        return Done(int(self._process.stdout.readline()), out.read_text(), err.read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()
