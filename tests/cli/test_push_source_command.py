"""The config `source` from version to version: it stays until somebody drops it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from built_conversations import work_with_recordings
from command import Command
from hub.server import HubServer
from huggingface_hub import hf_hub_download

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/talk"


@pytest.fixture
def push(
    hub: HubServer,
    impatient: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., Any]:
    work, call = work_with_recordings(tmp_path), Command(monkeypatch, capfd)
    return lambda *options: call("push", work, REPO, *options)


def configs(tag: str) -> set[str]:
    path = hf_hub_download(REPO, "manifest.json", repo_type="dataset", revision=tag)
    return {name.split("/")[0] for name in json.loads(Path(path).read_text(encoding="utf-8"))["files"]}


def test_recordings_stay_published_until_they_are_dropped(push: Any) -> None:
    assert push("--tag", "v1.0.0", "--create", "--include-source").code == 0
    assert push("--tag", "v1.0.1", "--title", "Talk").code == 0
    dropped = push("--tag", "auto", "--no-source")
    assert "v2.0.0" in dropped.out
    assert "source" in dropped.out  # why it has to be a major version
    assert "source" in configs("v1.0.0") & configs("v1.0.1")
    assert "source" not in configs("v2.0.0")
