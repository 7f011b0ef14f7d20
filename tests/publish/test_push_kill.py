"""A push of 24 files over an earlier version, killed at every single request: no reader ever sees a mix.

The server's folder is looked at directly, so that "whole" means every byte; some of the states are loaded too.
What the next run does depends on the server's state alone, so each state is completed once.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from hub.server import HubServer
from huggingface_hub import HfApi, set_client_factory
from huggingface_hub.utils import _http, disable_progress_bars, enable_progress_bars
from releases import REPO, held, refs, release, wanted

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.hub.pushing import (
    PushSettings,
    Release,
    prepare_repository,
    publish,
    read_repository,
)

pytest_plugins = ["hub.hub_fixtures"]

SHARDS = 12
#: States of the server from which a push has been completed, by any of the tests.
COMPLETED: set[tuple[Any, ...]] = set()


class Killed(BaseException):
    """The end of the process: nothing in the code under test may catch it."""


class Scene:
    """A repository with a first version, put back between pushes of the second."""

    def __init__(self, hub: HubServer, folder: Path) -> None:
        self.hub = hub
        HfApi().create_repo(REPO, repo_type="dataset")
        self.old = release(folder / "old", "v1.0.0", SHARDS, "old")
        self.new = release(folder / "new", "v2.0.0", SHARDS, "new", {"assets/plot.png": b"\x89PNG new"})
        self.push(self.old)
        repository = hub.store.find(REPO)
        assert repository is not None
        self.repository = repository
        self._files = {path: path.read_bytes() for path in self._all()}

    def push(self, release: Release) -> Release:
        """What the command does with a version that is packed."""
        api = HfApi()
        prepare_repository(api, REPO, PushSettings())
        before = read_repository(api, REPO)
        return publish(api, replace(release, before=before))

    def reset(self) -> None:
        for path in self._all():
            if path not in self._files:
                path.unlink()
        for path, data in self._files.items():
            if path.parent.name == "refs" and path.read_bytes() != data:
                path.write_bytes(data)

    def count(self) -> int:
        """Requests of an undisturbed push."""
        self.hub.requests.clear()
        self.push(self.new)
        assert held(self.hub) == wanted(self.new)
        self.reset()
        return len(self.hub.requests)

    def check(self) -> bool:
        """Readers see the old version or the new one, whole; whether the new one."""
        head = held(self.hub)
        tags = refs(self.hub)
        assert head in (wanted(self.old), wanted(self.new))
        assert held(self.hub, "refs/tags/v1.0.0") == wanted(self.old)
        assert set(tags) <= {"refs/heads/main", "refs/tags/v1.0.0", "refs/tags/v2.0.0"}
        if "refs/tags/v2.0.0" in tags:
            assert held(self.hub, "refs/tags/v2.0.0") == head == wanted(self.new)
        assert all(self.repository.size(digest) is not None for digest in head.values())
        return head == wanted(self.new)

    def load(self, words: str) -> None:
        """Read the branch and the first tag as anybody would."""
        for revision, wanted_words in (("main", words), ("v1.0.0", "old")):
            rows = load_dataset(REPO, revision=revision, split="train", streaming=True)
            assert [row["words"] for row in rows] == [wanted_words] * SHARDS

    def complete(self) -> None:
        self.push(self.new)
        assert held(self.hub) == held(self.hub, "refs/tags/v2.0.0") == wanted(self.new)
        head = refs(self.hub)["refs/heads/main"]
        commits = list(self.repository.history(head))
        assert len(commits) == 3  # the first is the Hub's

    def state(self) -> tuple[Any, ...]:
        """What the next run can see."""
        written = [path for path in self._all() if path not in self._files]
        new = [path for path in written if path.parent.name != "commits"]
        is_new = held(self.hub) == wanted(self.new)
        is_tagged = "refs/tags/v2.0.0" in refs(self.hub)
        return len(new), is_new, is_tagged

    def _all(self) -> list[Path]:
        paths = (self.hub.folder / REPO).rglob("*")
        return [path for path in paths if path.is_file()]


@pytest.fixture
def scene(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    # A server that is gone stays gone: the client need not ask six times, and each in vain.
    monkeypatch.setitem(_http.http_backoff.__kwdefaults__, "max_retries", 0)
    disable_progress_bars()
    yield Scene(hub, tmp_path)
    enable_progress_bars()
    set_client_factory(_http.default_client_factory)


def kill_everywhere(scene: Scene, kill: Callable[[int], None], revive: Callable[[], None]) -> list[bool]:
    """Kill at each request; whether the new version was there each time."""
    seen: list[bool] = []
    count = scene.count()
    for k in range(1, count + 1):
        kill(k)
        with pytest.raises((DailytalkError, Killed)):
            scene.push(scene.new)
        revive()
        seen.append(scene.check())
        if k in (count // 2, count):
            scene.load("new" if seen[-1] else "old")
        state = scene.state()
        if state not in COMPLETED:
            COMPLETED.add(state)
            scene.complete()
        scene.reset()
    assert len(COMPLETED) > SHARDS / 2
    return seen


def test_server_that_dies_before_any_request_leaves_the_old_version_or_the_new(scene: Scene) -> None:
    def kill(k: int) -> None:
        arm(scene, ("die_before", k, math.inf))

    seen = kill_everywhere(scene, kill, scene.hub.faults.clear)
    assert seen == sorted(seen)
    assert seen.count(True) == 6  # of reading a row back, and of the tag


def test_server_that_dies_with_any_answer_leaves_the_old_version_or_the_new(scene: Scene) -> None:
    def kill(k: int) -> None:
        arm(scene, ("die_after", k, 1), ("die_before", k, math.inf))

    seen = kill_everywhere(scene, kill, scene.hub.faults.clear)
    assert seen == sorted(seen)
    assert seen.count(True) == 7


def test_client_that_is_killed_at_any_request_leaves_the_old_version_or_the_new(scene: Scene) -> None:
    left = [math.inf]

    def hook(request: object) -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise Killed

    def factory() -> Any:
        client = _http.default_client_factory()
        client.event_hooks["request"].append(hook)
        return client

    set_client_factory(factory)

    def kill(k: float) -> None:
        left[0] = k

    seen = kill_everywhere(scene, kill, lambda: kill(math.inf))
    assert seen == sorted(seen)
    assert seen.count(True) == 6


def arm(scene: Scene, *faults: tuple[str, int, float]) -> None:
    for kind, nth, times in faults:
        scene.hub.faults.arm(kind, nth, times)
