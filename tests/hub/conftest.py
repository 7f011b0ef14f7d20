"""A client of a server that holds one repository, with nothing committed to it yet."""

import pytest
from hub.asking import NAME
from hub.server import HubServer
from huggingface_hub import HfApi


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    api = HfApi()
    api.create_repo(NAME, repo_type="dataset")
    return api
