import errno
import math
import socket
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from datasets.exceptions import DataFilesNotFoundError, DatasetGenerationError
from hub.server import HubServer
from huggingface_hub import HfApi, close_session

import dailytalk_contiguous.store.hub as hub_errors_module
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish import pushing as pushing_hub
from dailytalk_contiguous.publish import version
from dailytalk_contiguous.publish.pushing import RetryPolicy
from dailytalk_contiguous.publish.version import list_versions
from dailytalk_contiguous.sources import hub_repository
from dailytalk_contiguous.sources.hub_repository import HubChoice
from dailytalk_contiguous.store.hub import hub_errors, reference, without_tokens

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/talks"


def told(api: HfApi, call: str, *arguments: str, **options: object) -> DailytalkError:
    with pytest.raises(DailytalkError) as error, hub_errors(REPO):
        getattr(api, call)(*arguments, repo_type="dataset", **options)
    assert "\n" not in str(error.value)
    assert not str(error.value).endswith(".")
    assert error.value.__suppress_context__
    assert error.value.__cause__ is None
    return error.value


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    api = HfApi()
    api.create_repo(REPO, repo_type="dataset")
    return api


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("429", "asks to go slower"),
        ("500", "failed with 500"),
        ("503", "failed with 503"),
        ("die_before", "the connection to 127.0.0.1:"),
    ],
)
def test_server_that_fails_is_told_with_what_it_said(
    api: HfApi, hub: HubServer, impatient: None, kind: str, reason: str
) -> None:
    hub.faults.arm(kind, times=math.inf)
    assert reason in told(api, "repo_info", REPO).reason


def test_server_that_is_not_there_is_told_with_its_address(api: HfApi, hub: HubServer, impatient: None) -> None:
    hub.stop()
    error = told(api, "repo_info", REPO)
    assert f"127.0.0.1:{hub.port}" in error.reason
    assert "HF_ENDPOINT" in error.remedy


@pytest.mark.parametrize(
    ("module", "ask"),
    [
        (hub_errors_module, lambda: list_versions(REPO)),
        (version, lambda: version.open_version(reference(REPO))),
        (hub_repository, lambda: hub_repository.open_repository(reference(REPO), HubChoice())),
        (pushing_hub, lambda: pushing_hub.check_access(HfApi(), pushing_hub.Target(REPO), RetryPolicy(tries=1))),
    ],
    ids=["history", "version", "recordings", "push"],
)
def test_server_that_never_answers_is_given_up(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, module: ModuleType, ask: Callable[[], Any]
) -> None:
    for place in {hub_errors_module, module}:
        monkeypatch.setattr(place, "TIMEOUTS", (0.2, 0.2, 0.2, None))
    hub.stop()
    close_session()  # the timeouts are set once for a client
    with (
        socket.create_server(("127.0.0.1", hub.port)),  # takes connections, reads nothing
        pytest.raises(DailytalkError, match=rf"the connection to 127.0.0.1:{hub.port} failed \(ReadTimeout\)"),
    ):
        ask()


def test_file_that_cannot_be_downloaded_is_told_by_what_the_hub_said(
    api: HfApi, hub: HubServer, impatient: None
) -> None:
    assert "a file of tester/talks isn't there" in told(api, "hf_hub_download", REPO, "none.txt").reason
    hub.stop()
    assert f"127.0.0.1:{hub.port}" in told(api, "hf_hub_download", REPO, "none.txt").reason


def test_offline_switch_is_named(api: HfApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert told(api, "repo_info", REPO).remedy == "unset HF_HUB_OFFLINE"


def test_token_without_the_right_to_write_is_told_so(api: HfApi, hub: HubServer) -> None:
    reader = HfApi(token=hub.read_token)
    error = told(reader, "create_tag", REPO, tag="v1.0.0")
    assert "no right" in error.reason
    assert "write access" in error.remedy


def test_wrong_token_is_told_without_it(api: HfApi) -> None:
    token = "hf_madeUpToken0123456789"
    error = told(HfApi(token=token), "create_tag", REPO, tag="v1.0.0")
    assert "token" in error.reason
    assert token not in repr(error)


def test_tag_that_exists_is_told(api: HfApi) -> None:
    api.create_tag(REPO, tag="v1.0.0", repo_type="dataset")
    assert "already has" in told(api, "create_tag", REPO, tag="v1.0.0").reason


def test_stale_parent_is_somebody_else(api: HfApi) -> None:
    before = api.repo_info(REPO, repo_type="dataset").sha
    api.upload_file(path_or_fileobj=b"1", path_in_repo="a", repo_id=REPO, repo_type="dataset")
    error = told(api, "upload_file", path_or_fileobj=b"2", path_in_repo="a", repo_id=REPO, parent_commit=before)
    assert "somebody else" in error.reason


@pytest.mark.parametrize("name", ["a/b/c", "--x/y", "x" * 200])
def test_impossible_name_is_told(api: HfApi, name: str) -> None:
    assert "no name of a dataset" in told(api, "repo_info", name).reason


def test_errors_of_others_pass_through(tmp_path: Path) -> None:
    for error in (FileNotFoundError("x"), BrokenPipeError(), ValueError("x")):
        with pytest.raises(type(error)) as met, hub_errors(REPO):
            raise error
        assert met.value is error


@pytest.mark.parametrize("wrapped", [False, True])
def test_disk_without_room_is_told_with_what_to_do(wrapped: bool) -> None:
    error: Exception = OSError(errno.ENOSPC, "No space left on device")
    if wrapped:
        cause, error = error, DatasetGenerationError("An error occurred while generating the dataset")
        error.__cause__ = cause
    with pytest.raises(DailytalkError, match=r"no room for what is read of tester/talks"), hub_errors(REPO):
        raise error


def test_rows_that_can_not_be_built_pass_through_with_their_cause() -> None:
    with pytest.raises(DatasetGenerationError), hub_errors(REPO):
        raise DatasetGenerationError("x") from ValueError("a bug")


def test_what_is_no_dataset_is_told_with_its_reason() -> None:
    with (
        pytest.raises(DailytalkError, match=r"can't be opened as a dataset \(No \{data\} files"),
        hub_errors(REPO),
    ):
        raise DataFilesNotFoundError("No {data} files.\nMore.")


def test_every_token_is_taken_out_of_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret-of-a-mirror")
    assert without_tokens("used secret-of-a-mirror, hf_aB3 and hf:hf_x") == "used ***, *** and hf:***"
    assert without_tokens("nothing to hide") == "nothing to hide"
