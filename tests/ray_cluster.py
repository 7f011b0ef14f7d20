"""A Ray cluster on this machine: a plugin for the tests that need one, which are in one group of xdist."""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a head node with two cores that only these tests know of."""
    port = _free_port()
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
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
        yield f"127.0.0.1:{port}"
        head.terminate()
        head.wait()


def _free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        _, port = listener.getsockname()
        return int(port)
