"""Random-weight models that tests of several floors share, made once a session."""

import signal

import pytest
from hypothesis import HealthCheck, settings
from tiny_models import make_tiny_affect, make_tiny_whisper

# A suite that a shell runs in the background inherits an ignored Ctrl-C, and so would the commands that it tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A fact does not depend on how busy the machine is; speed is measured in benchmarks/.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_whisper(tmp_path_factory.mktemp("models") / "whisper"))


@pytest.fixture(scope="session")
def tiny_affect(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_affect(tmp_path_factory.mktemp("models") / "affect"))
