"""Errors of the Hub in words: what happened, and what to do, for each kind of error and each status."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest
from datasets.exceptions import DatasetGenerationError
from huggingface_hub import close_session, constants, get_session
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.store.hub import TIMEOUTS, hub_errors, without_tokens

REPO = "acme/calls@v1.0.0"


def answer(status: int, message: str | None = None, kind: type[HfHubHTTPError] = HfHubHTTPError) -> HfHubHTTPError:
    response = SimpleNamespace(status_code=status, headers={}, request=None)
    return kind("refused", response=response, server_message=message)


@pytest.fixture(autouse=True)
def address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.example:8443")
    monkeypatch.setenv("HF_TOKEN", "secret")


@pytest.mark.parametrize(
    ("error", "reason", "remedy"),
    [
        (answer(401), "hub.example:8443 does not know the token", "log in"),
        (answer(403), f"no right to do this with {REPO}", "write access"),
        (answer(412), f"somebody else published to {REPO}", "look at what they changed"),
        (answer(429), "asks to go slower", "in some minutes"),
        (answer(504), "hub.example:8443 failed with 504", "run the same command again"),
        (
            answer(422, "no {such} field for secret "),
            "(no {such} field for ***)",
            "correct what it names",
        ),
        (answer(403, kind=GatedRepoError), "is open only to people who were given access", "ask for access"),
        (answer(404, kind=RevisionNotFoundError), "has no such version", "dailytalk versions"),
        (answer(401, kind=RepositoryNotFoundError), f"shows no dataset {REPO}", "check the name"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_error_of_the_hub_says_what_happened_and_what_to_do(
    error: Exception, reason: str, remedy: str
) -> None:
    with pytest.raises(DailytalkError) as caught, hub_errors(REPO):
        raise error
    assert reason in caught.value.reason
    assert remedy in caught.value.remedy
    assert caught.value.__suppress_context__


def test_disk_without_room_is_its_own_error(tmp_path: Path) -> None:
    error = DatasetGenerationError("An error occurred")
    error.__cause__ = OSError(errno.ENOSPC, "no room")
    with pytest.raises(OSError, match="no room"), hub_errors(REPO):
        raise error


@pytest.mark.parametrize(
    "error", [PermissionError(errno.EACCES, "x"), ValueError("x"), DatasetGenerationError("x")]
)
def test_errors_that_are_not_the_hubs_pass_through_with_their_cause(error: Exception) -> None:
    cause = ValueError("a bug")
    with pytest.raises(type(error)) as caught, hub_errors(REPO):
        raise error from cause
    assert caught.value == error
    assert caught.value.__cause__ == cause


def test_what_the_hub_said_counts_where_a_library_wraps_it() -> None:
    with pytest.raises(DailytalkError, match=r"failed with 503"), hub_errors(REPO):
        raise FileNotFoundError("x") from answer(503)
    with pytest.raises(DailytalkError, match=r"asks to go slower"), hub_errors(REPO):
        raise LocalEntryNotFoundError("x") from answer(429)


def test_client_waits_no_longer_than_we_say_unless_its_program_has_said_how_long() -> None:
    close_session()
    with hub_errors(REPO):
        timeout = get_session().timeout
        assert (timeout.connect, timeout.read, timeout.write, timeout.pool) == TIMEOUTS
    get_session().timeout = 9.0
    with hub_errors(REPO):
        assert get_session().timeout.connect == 9.0
    close_session()


def test_token_goes_unencrypted_to_no_other_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://hub.example")
    refused = r"the Hub at http://hub\.example would get the token unencrypted"
    with pytest.raises(DailytalkError, match=refused), hub_errors(REPO):
        pytest.fail("it was asked")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with hub_errors(REPO):
        pass


def test_every_token_is_taken_out_of_a_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert without_tokens("used secret, hf_aB3 and hf:hf_x") == "used ***, *** and hf:***"
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    assert without_tokens("used secret, hf_aB3") == "used secret, ***"
