"""What `--download` fetches, from a server on this machine: whole, checked, and gone on with after a stop."""

import hashlib
import io
import json
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from command import Command
from corpus_trees import ravdess, read

from dailytalk_contiguous.apps.clips.corpora import downloads, registry
from dailytalk_contiguous.apps.clips.corpora.downloads import (
    CorpusFile,
    dataverse_files,
    fetch_all,
    git_lfs_files,
)
from dailytalk_contiguous.core.errors import BadInput, DailytalkError

CONTENT = bytes(range(256)) * 4096


class Home:
    """A home page: what is at each path, what went wrong at first, and what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: list[str] = []
        self.asked: list[str] = []
        self.address = ""


class Pages(BaseHTTPRequestHandler):
    home: Home

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.home.asked.append(path)
        fault = self.home.faults.pop(0) if self.home.faults else ""
        content = self.home.files.get(path)
        if content is None or fault.isdecimal():
            self.send_response(int(fault or 404))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if fault == "cut off" else content)
        self.close_connection = True

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def home() -> Iterator[Home]:
    page = Home()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Pages,), {"home": page}))
    page.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield page
    server.shutdown()
    server.server_close()


def offered(home: Home, name: str, content: bytes = CONTENT, checksum: str = "") -> CorpusFile:
    home.files[f"/{name}"] = content
    return CorpusFile(name, f"{home.address}/{name}", checksum or f"md5:{hashlib.md5(content).hexdigest()}")


@pytest.mark.parametrize("fault", ["cut off", "500"])
def test_file_comes_whole_and_once_whatever_the_server_does_at_first(
    fault: str, home: Home, tmp_path: Path
) -> None:
    home.faults = [fault]
    file = offered(home, "corpus.zip")
    for _ in range(2):
        fetch_all([file], tmp_path)
    assert len(home.asked) == 2
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"corpus.zip": CONTENT}


def test_other_content_is_no_file_of_the_corpus(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "RETRIES", 0)
    file = offered(home, "corpus.zip", checksum=f"sha256:{'0' * 64}")
    with pytest.raises(DailytalkError, match=r"(?s)'corpus.zip' could not be fetched from 127.0.0.1:.*hash"):
        fetch_all([file], tmp_path)
    assert not list(tmp_path.iterdir())


def test_name_that_leads_out_of_the_folder_is_refused(home: Home, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    file = offered(home, "a.wav")._replace(name="../outside.wav")
    with pytest.raises(BadInput, match="leads out of its folder"):
        fetch_all([file], source)
    assert not home.asked


def test_dataverse_is_asked_for_its_files_and_their_checksums(home: Home, tmp_path: Path) -> None:
    home.files["/api/access/datafile/7"] = CONTENT
    file = {"id": 7, "filename": "OAF_back_angry.wav"}
    file |= {"checksum": {"type": "MD5", "value": hashlib.md5(CONTENT).hexdigest()}}
    entries = [{"dataFile": file, "directoryLabel": "OAF_angry", "restricted": False}]
    entries.append({"dataFile": file | {"id": 8, "filename": "closed.wav"}, "restricted": True})
    listing = "/api/datasets/:persistentId/versions/:latest-published/files"
    home.files[listing] = json.dumps({"status": "OK", "data": entries}).encode()
    files = dataverse_files(home.address, "doi:10.1/A")
    fetch_all(files, tmp_path)
    assert (tmp_path / "OAF_angry/OAF_back_angry.wav").read_bytes() == CONTENT


def test_files_in_git_lfs_are_checked_by_their_pointers(home: Home, tmp_path: Path) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(CONTENT)}\n".encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("CREMA-D-1658/AudioWAV/1001_DFA_ANG_XX.wav", pointer)
        members.writestr("CREMA-D-1658/VideoFlash/1001_DFA_ANG_XX.flv", pointer)
        members.writestr("CREMA-D-1658/VideoDemographics.csv", b"ActorID\n")
    home.files |= {"/zip": archive.getvalue(), "/plain/VideoDemographics.csv": b"ActorID\n"}
    home.files["/lfs/AudioWAV/1001_DFA_ANG_XX.wav"] = CONTENT
    address = home.address
    tables = ("VideoDemographics.csv", "README.md")
    files = git_lfs_files(f"{address}/zip", f"{address}/lfs", f"{address}/plain", "AudioWAV", tables)
    fetch_all(files, tmp_path)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    assert names == ["AudioWAV/1001_DFA_ANG_XX.wav", "VideoDemographics.csv"]


@pytest.fixture
def offering(home: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """RAVDESS with a home page on this machine."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        for name, content in list(ravdess("01").items())[:10]:
            members.writestr(name, content)
    speech = offered(home, "Audio_Speech_Actors_01-24.zip", archive.getvalue())
    here = replace(registry.CORPORA["ravdess"], download=lambda: [speech])
    monkeypatch.setitem(registry.CORPORA, "ravdess", here)
    return lambda: Path(speech.name)


def test_corpus_is_fetched_once_its_licence_is_taken_and_read_from_its_archive(
    home: Home, offering: Callable[[], Path], tmp_path: Path, dailytalk: Command
) -> None:
    folder = tmp_path / "ravdess"
    shown = dailytalk("corpus", "ravdess", "--download", folder)
    assert shown.code == 1
    assert "CC-BY-NC-SA-4.0" in shown.err
    assert "--accept-licence" in shown.err
    assert not folder.exists()
    assert home.asked == []
    done = dailytalk("corpus", "ravdess", "--download", folder, "--accept-licence")
    assert done.code == 0, done.err
    assert "1 file of RAVDESS; all checksums are right" in done.out
    assert len(read("ravdess", folder)) == 10


@pytest.mark.parametrize("is_listed", [True, False])
def test_without_a_network_a_download_is_one_sentence_with_a_remedy(
    is_listed: bool, dailytalk: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "RETRIES", 0)
    with socket.socket() as unanswered:  # bound, and not listening
        unanswered.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unanswered.getsockname()[1]}"

        def files() -> list[CorpusFile]:
            if is_listed:
                return [CorpusFile("corpus.zip", f"{address}/corpus.zip", "md5:0")]
            return dataverse_files(address, "doi:10.1/A")

        unreachable = replace(registry.CORPORA["ravdess"], download=files)
        monkeypatch.setitem(registry.CORPORA, "ravdess", unreachable)
        done = dailytalk("corpus", "ravdess", "--download", tmp_path / "ravdess", "--accept-licence")
    assert done.code == 1
    (sentence,) = [line for line in done.err.splitlines() if line.startswith("dailytalk: ")]
    assert "there is no connection to 127.0.0.1" in sentence
    assert "check the network, and run the same command again" in sentence
    assert "Traceback" not in done.err
