"""What `--download` fetches, from a server on this machine: whole, checked, and gone on with after a stop."""

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from command import Command
from corpus_trees import ravdess, read

from dailytalk_contiguous.apps.clips.corpora.acted import Ravdess
from dailytalk_contiguous.apps.clips.corpora.downloads import (
    CorpusFile,
    dataverse_files,
    fetch_all,
    git_lfs_files,
)
from dailytalk_contiguous.core.errors import BadInput, DailytalkError

CONTENT = bytes(range(256)) * 4096


class Home:
    """A home page: what is at each path, what went wrong at first, and which ranges were asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: list[str] = []
        self.asked: list[tuple[str, str | None]] = []
        self.address = ""


class Pages(BaseHTTPRequestHandler):
    home: Home

    def do_GET(self) -> None:
        path, asked = self.path.partition("?")[0], self.headers.get("Range")
        self.home.asked.append((path, asked))
        fault = self.home.faults.pop(0) if self.home.faults else ""
        if fault == "moved":
            self.send_response(302)
            self.send_header("Location", f"{self.home.address}{path}")
            self.end()
            return
        content = self.home.files.get(path)
        if content is None or fault.isdecimal():
            self.send_response(int(fault or 404))
            self.end()
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and fault != "no ranges" else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        self.wfile.write(body[: len(body) // 2] if fault == "cut off" else body)
        self.close_connection = True

    def end(self) -> None:
        self.send_header("Content-Length", "0")
        self.end_headers()

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
    return CorpusFile(
        name, f"{home.address}/{name}", len(content), checksum or f"md5:{hashlib.md5(content).hexdigest()}"
    )


def fetch(file: CorpusFile, folder: Path) -> int:
    return fetch_all([file], folder, lambda arrived, total: None)


@pytest.mark.parametrize("fault", ["", "cut off", "500", "moved"])
def test_file_comes_whole_whatever_the_server_does_at_first(fault: str, home: Home, tmp_path: Path) -> None:
    home.faults = [fault]
    file = offered(home, "corpus.zip")
    assert (fetch(file, tmp_path), fetch(file, tmp_path)) == (1, 0)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"corpus.zip": CONTENT}


def test_stopped_download_goes_on_where_it_was(home: Home, tmp_path: Path) -> None:
    file = offered(home, "corpus.zip")
    home.faults = ["cut off", "404"]
    with pytest.raises(DailytalkError, match=r"answered 404 for 'http.*corpus.zip'"):
        fetch(file, tmp_path)
    assert not (tmp_path / "corpus.zip").exists()
    assert fetch(file, tmp_path) == 1
    assert [asked for _, asked in home.asked] == [None, *[f"bytes={len(CONTENT) // 2}-"] * 2]
    assert (tmp_path / "corpus.zip").read_bytes() == CONTENT


def test_other_content_is_no_file_of_the_corpus(home: Home, tmp_path: Path) -> None:
    file = offered(home, "corpus.zip", checksum=f"sha256:{'0' * 64}")
    with pytest.raises(DailytalkError, match=r"'corpus.zip' from 127.0.0.1:.* has another checksum"):
        fetch(file, tmp_path)
    assert not list(tmp_path.iterdir())


def test_name_that_leads_out_of_the_folder_is_refused(home: Home, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    file = offered(home, "a.wav")._replace(name="../outside.wav")
    with pytest.raises(BadInput, match="leads out of its folder"):
        fetch(file, tmp_path / "in")
    assert not home.asked


def test_dataverse_is_asked_for_its_files_and_their_checksums(home: Home, tmp_path: Path) -> None:
    home.files["/api/access/datafile/7"] = CONTENT
    file = {"id": 7, "filename": "OAF_back_angry.wav", "filesize": len(CONTENT)}
    file |= {"checksum": {"type": "MD5", "value": hashlib.md5(CONTENT).hexdigest()}}
    entries = [{"dataFile": file, "directoryLabel": "OAF_angry", "restricted": False}]
    entries.append({"dataFile": file | {"id": 8, "filename": "closed.wav"}, "restricted": True})
    listing = "/api/datasets/:persistentId/versions/:latest-published/files"
    home.files[listing] = json.dumps({"status": "OK", "data": entries}).encode()
    files = dataverse_files(home.address, "doi:10.1/A")
    assert fetch_all(files, tmp_path, lambda arrived, total: None) == 1
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
    assert fetch_all(files, tmp_path, lambda arrived, total: None) == 2
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
    monkeypatch.setattr(Ravdess, "DOWNLOAD", staticmethod(lambda: (speech,)))
    return lambda: Path(speech.name)


def test_corpus_is_fetched_once_its_licence_is_taken_and_read_from_its_archive(
    home: Home, offering: Callable[[], Path], tmp_path: Path, dailytalk: Command
) -> None:
    folder = tmp_path / "ravdess"
    shown = dailytalk("corpus", "ravdess", "--download", folder)
    assert shown.code == 1
    assert "CC-BY-NC-SA-4.0" in shown.err
    assert "--accept-licence" in shown.err
    assert (folder.exists(), home.asked) == (False, [])
    done = dailytalk("corpus", "ravdess", "--download", folder, "--accept-licence")
    assert done.code == 0, done.err
    assert "1 file fetched" in done.out
    assert len(read("ravdess", folder)) == 10
    assert (
        "0 files fetched, 1 were there"
        in dailytalk("corpus", "ravdess", "--download", folder, "--accept-licence").out
    )


def test_corpus_whose_terms_are_signed_says_where(tmp_path: Path, dailytalk: Command) -> None:
    done = dailytalk("corpus", "savee", "--download", tmp_path / "in", "--accept-licence")
    assert done.code == 1
    assert "who sign its terms: get it from http" in done.err
    assert not (tmp_path / "in").exists()
