"""Fixtures that turn the clients in this process to a Hub on loopback.

huggingface_hub and datasets read their environment once, when they are imported, so the fixture sets their
constants too. A test module asks for these with `pytest_plugins = ["hub.hub_fixtures"]`.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import certifi
import datasets.config
import huggingface_hub.constants
import huggingface_hub.hf_api
import pytest
from hub.server import HubServer
from huggingface_hub import HfFileSystem, close_session
from huggingface_hub.utils import _http

OTHER_CACHES = ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_MODULES_CACHE", "HF_TOKEN_PATH", "HF_HUB_OFFLINE")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One in place of all that are trusted: to read those takes a client longer than most tests of it."""
    certificates = Path(certifi.where()).read_text(encoding="utf-8")
    trusted, end, _ = certificates.partition("-----END CERTIFICATE-----\n")
    path = tmp_path_factory.mktemp("certificate") / "one.pem"
    path.write_text(trusted + end, encoding="utf-8")
    return path


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: Path) -> Iterator[HubServer]:
    """A server, and clients (in this process and in those it starts) that use it with the token that may write."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with HubServer(tmp_path / "hub") as server:
        _use(server, tmp_path / "hf_home", monkeypatch)
        yield server
    close_session()


@pytest.fixture
def empty_caches(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Called before a load, it turns the clients to a new HF_HOME, so that the load starts from nothing."""
    homes = (tmp_path / f"hf_home_{n}" for n in itertools.count(2))

    def turn() -> Path:
        home = next(homes)
        _use(hub, home, monkeypatch)
        return home

    return turn


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients in this process that do not wait before they ask again."""
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda seconds: None))
    for name in ("READ", "READ_SERVER_UNAVAILABLE", "READ_RATE_LIMIT", "OPEN"):
        monkeypatch.setattr(datasets.config, f"STREAMING_{name}_RETRY_INTERVAL", 0)


def _use(server: HubServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn the clients to a server, with their caches in `home` and the token that may write."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    for name in OTHER_CACHES:
        monkeypatch.delenv(name, raising=False)
    for name, value in server.environment(home).items():
        monkeypatch.setenv(name, value)
    _set_hub_constants(server.url, home, monkeypatch)
    _set_datasets_constants(server.url, home, monkeypatch)
    close_session()
    HfFileSystem.clear_instance_cache()


def _set_hub_constants(url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = huggingface_hub.constants
    values = {
        "ENDPOINT": url,
        "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_URL_HOSTS": constants.HF_URL_HOSTS | {urlsplit(url).hostname},
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HUGGINGFACE_HUB_CACHE": str(home / "hub"),
        "HF_ASSETS_CACHE": str(home / "assets"),
        "HF_XET_CACHE": str(home / "xet"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_DISABLE_TELEMETRY": True,
        "HF_HUB_OFFLINE": False,
    }
    for name, value in values.items():
        monkeypatch.setattr(constants, name, value)
    origins = _http._HUB_ORIGINS | {_http._url_origin(url)}
    monkeypatch.setattr(_http, "_HUB_ORIGINS", origins)
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", url)


def _set_datasets_constants(url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "HF_ENDPOINT": url,
        "HUB_DATASETS_URL": url + "/datasets/{repo_id}/resolve/{revision}/{path}",
        "HF_CACHE_HOME": str(home),
        "HF_DATASETS_CACHE": home / "datasets",
        "HF_MODULES_CACHE": home / "modules",
        "DOWNLOADED_DATASETS_PATH": home / "datasets" / "downloads",
        "EXTRACTED_DATASETS_PATH": home / "datasets" / "downloads" / "extracted",
        "HF_HUB_OFFLINE": False,
        "HF_DATASETS_OFFLINE": False,
        "HF_UPDATE_DOWNLOAD_COUNTS": False,
    }
    for name, value in values.items():
        monkeypatch.setattr(datasets.config, name, value)
