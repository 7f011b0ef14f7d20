"""One repository, and what tests of the server ask about it in a word."""

from typing import Any

import pytest
from hub.server import HubServer
from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError

NAME = "tester/talks"


def commit(api: HfApi, path: str = "note.txt", content: bytes = b"words", **options: Any) -> CommitInfo:
    return api.create_commit(
        NAME, [CommitOperationAdd(path, content)], commit_message="add", repo_type="dataset", **options
    )


def head(api: HfApi, revision: str = "main") -> str:
    return api.dataset_info(NAME, revision=revision).sha


def paths(api: HfApi, revision: str = "main") -> list[str]:
    return api.list_repo_files(NAME, repo_type="dataset", revision=revision)


def address(hub: HubServer, path: str, revision: str = "main") -> str:
    return f"{hub.url}/datasets/{NAME}/resolve/{revision}/{path}"


def status(error: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    return error.value.response.status_code
