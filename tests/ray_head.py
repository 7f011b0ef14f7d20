"""The head node of a Ray cluster on this machine: how it is started, and how its machine ends."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest


@contextmanager
def started_head() -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A head node with two cores: its address, and the process that has the others of the node as children."""
    port = _free_port()
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # that of a head before, if there was one
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        ray = Path(sys.executable).with_name("ray")
        command = [str(ray), "start", "--head", "--block", "--num-cpus=2"]
        command += [f"--port={port}", f"--temp-dir={folder}"]
        command += ["--include-dashboard=false", "--disable-usage-stats", "--node-ip-address=127.0.0.1"]
        import_path = os.pathsep.join(filter(None, sys.path))  # where these stages are found
        env = os.environ | {"PYTHONPATH": import_path}
        head = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
        assert head.stdout is not None
        output = ""
        for line in head.stdout:
            output += line
            if "Ray runtime started" in line:
                break
        else:
            pytest.fail(f"ray start ended with {head.wait()}: {output}")
        yield f"127.0.0.1:{port}", head
        head.terminate()
        head.wait()


def end_node(head: "subprocess.Popen[str]") -> None:
    """End all processes of a node at once, as the end of its machine does."""
    children = Path(f"/proc/{head.pid}/task/{head.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    head.wait()


def _free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        _, port = listener.getsockname()
        return int(port)
