"""Random-weight models that tests of several floors share, made once a session."""

import pytest
from tiny_models import make_tiny_affect, make_tiny_whisper


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_whisper(tmp_path_factory.mktemp("models") / "whisper"))


@pytest.fixture(scope="session")
def tiny_affect(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_affect(tmp_path_factory.mktemp("models") / "affect"))
