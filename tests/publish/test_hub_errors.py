import math
import socket

import pytest
from hub.server import HubServer
from huggingface_hub import HfApi, close_session

from dailytalk_contiguous import store
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.version import list_versions
from dailytalk_contiguous.store.hub import hub_errors

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


def test_server_that_never_answers_is_given_up(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.hub, "TIMEOUTS", (0.2, 0.2, 0.2, None))
    hub.stop()
    close_session()  # the timeouts are set once for a client
    with (
        socket.create_server(("127.0.0.1", hub.port)),  # takes connections, reads nothing
        pytest.raises(DailytalkError, match=rf"the connection to 127.0.0.1:{hub.port} failed \(ReadTimeout\)"),
    ):
        list_versions(REPO)


def test_token_without_the_right_to_write_is_told_so(api: HfApi, hub: HubServer) -> None:
    reader = HfApi(token=hub.read_token)
    error = told(reader, "create_tag", REPO, tag="v1.0.0")
    assert "no right" in error.reason
    assert "write access" in error.remedy


def test_wrong_token_of_a_reader_is_not_asked_for_write_access(api: HfApi, hub: HubServer) -> None:
    error = told(HfApi(token="hf_madeUpToken0123456789"), "list_repo_refs", REPO)
    assert "does not know the token" in error.reason
    assert "write" not in error.remedy


def test_token_that_no_header_can_carry_is_named_without_it(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_Schlüssel")
    with pytest.raises(DailytalkError, match="characters beyond ASCII") as error:
        list_versions(REPO)
    assert "Schlüssel" not in str(error.value)


def test_wrong_token_is_told_without_it(api: HfApi) -> None:
    token = "hf_madeUpToken0123456789"
    error = told(HfApi(token=token), "create_tag", REPO, tag="v1.0.0")
    assert "token" in error.reason
    assert token not in repr(error)
