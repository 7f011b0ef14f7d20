"""The four refusals: a path out of its root, code, text as HTML, and size; and damage that costs only itself.

Paths and markup in rows are in publish/test_hostile_rows.py, names on a terminal in cli/test_terminal.py, and
playlists in core/test_audio.py.
"""

import gzip
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from audio_files import example, tones, wav_bytes
from built_conversations import built_row, write_dataset
from command import EMBEDDED, Command
from corpus_trees import table, zipped
from huggingface_hub import CommitOperationAdd, HfApi
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import calls
from reviewable import dialogue, served, work_folder
from scripted import SHORT, folder
from spoken_corpora import spoken
from tiny_models import make_tiny_affect
from tiny_speech_models import make_speech_model

from dailytalk_contiguous import ProsodicSequenceEncoder
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.affect_network import load_affect_model
from dailytalk_contiguous.models.emotion_networks import classifier_on
from dailytalk_contiguous.models.engines import load_synthesiser
from dailytalk_contiguous.shards import METADATA_KEY

pytest_plugins = ["hub.hub_fixtures"]

#: The content of the private files, and of nothing else.
SECRET = "canary-7f3a9c51d2"

#: Bytes above those before that a command may hold, and those that a bomb unpacks to.
MOST_BYTES = 1_000_000_000
BOMB_BYTES = 2 << 30


@pytest.fixture
def private(tmp_path: Path) -> Path:
    root = tmp_path / "private"
    root.mkdir()
    (root / "private.wav").write_bytes(wav_bytes(tones(2.0, 16000, 2), 16000))
    (root / "private.txt").write_text(SECRET)
    return root


def assert_untouched(private: Path, *written: Path) -> None:
    """No byte of a private file was copied, and none was changed."""
    sound = (private / "private.wav").read_bytes()
    paths = [path for root in written for path in root.rglob("*")]
    for path in paths:
        if path.is_file() and path.stat().st_size < 1 << 26:
            content = path.read_bytes()
            assert SECRET.encode() not in content, path
            assert sound not in content, path
    assert {path.name for path in private.iterdir()} == {"private.wav", "private.txt"}


@contextmanager
def little_memory() -> Iterator[None]:
    if sys.platform != "linux":
        yield
        return
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory is counted from here
    before = peak_memory()
    yield
    assert peak_memory() - before < MOST_BYTES


def peak_memory() -> int:
    status = Path("/proc/self/status").read_text()
    kibibytes = re.findall(r"VmHWM:\s+(\d+)", status)[0]
    return int(kibibytes) << 10


# Paths, and archives that unpack to more than memory


def corpus_files() -> dict[str, bytes]:
    names = ("1001_DFA_ANG_XX", "1002_DFA_HAP_XX", "1003_DFA_NEU_XX")
    files = {f"AudioWAV/{name}.wav": spoken(number) for number, name in enumerate(names)}
    columns = ["ActorID", "Age", "Sex", "Race", "Ethnicity"]
    people = [[1001, 51, "Male", "x", "y"], [1002, 21, "Female", "x", "y"]]
    files["VideoDemographics.csv"] = table(columns, *people)
    return files


def add_member(name: str) -> Callable[[zipfile.ZipFile, Path], None]:
    return lambda archive, private: archive.writestr(name, spoken(3))


def add_link(archive: zipfile.ZipFile, private: Path) -> None:
    member = zipfile.ZipInfo("AudioWAV/1004_DFA_SAD_XX.wav")
    member.external_attr = 0o120777 << 16
    archive.writestr(member, str(private / "private.wav"))


def add_bomb(archive: zipfile.ZipFile, private: Path) -> None:
    with archive.open("AudioWAV/1004_DFA_SAD_XX.wav", "w", force_zip64=True) as member:
        for _ in range(BOMB_BYTES >> 24):
            member.write(bytes(1 << 24))


@pytest.mark.parametrize(
    "add",
    [
        add_member("../1004_DFA_SAD_XX.wav"),
        add_member("/pwned/1004_DFA_SAD_XX.wav"),
        add_member("a/../../1004_DFA_SAD_XX.wav"),
        add_link,
        add_bomb,
    ],
)
def test_member_of_an_archive_leads_nowhere_and_fills_no_memory(
    add: Callable[[zipfile.ZipFile, Path], None], private: Path, tmp_path: Path, dailytalk: Command
) -> None:
    path = zipped(tmp_path / "in/corpus.zip", corpus_files())
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        add(archive, private)
    without_models = ("--profile", "embedded", "--asr-model", "none", "--min-speech-ratio", "0")
    with little_memory():
        done = dailytalk("corpus", "crema_d", path, "--out", tmp_path / "out", *without_models)
    assert done.code in (0, 3), done.err
    assert_untouched(private, tmp_path / "out")
    clips = set()
    for path in tmp_path.glob("out/clips/*.parquet"):
        clips |= set(pq.read_table(path)["conversation_id"])
    assert len(clips) >= 3
    assert not list(tmp_path.rglob("1004_DFA_SAD_XX*"))


@pytest.mark.parametrize("how", ["link", "outside"])
def test_member_of_a_shard_on_the_hub_leads_nowhere(
    how: str, private: Path, tmp_path: Path, dailytalk: Command, hub: Any
) -> None:
    sound = wav_bytes(example("weekend_trip")[: 3 * 16000], 16000)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        bad = "bad.wav" if how == "link" else "../../private/pwned.wav"
        for name in ("good.wav", bad):
            member = tarfile.TarInfo(name)
            if how == "link" and name == "bad.wav":
                member.linkname = str(private / "private.wav")
                member.type = tarfile.SYMTYPE
            else:
                member.size = len(sound)
            archive.addfile(member, io.BytesIO(sound))
    HfApi().create_repo("tester/calls", repo_type="dataset")
    operation = CommitOperationAdd("shard-000000.tar", file.getvalue())
    HfApi().create_commit("tester/calls", [operation], commit_message="c", repo_type="dataset")
    done = dailytalk("tag", "tester/calls", "--out", tmp_path / "out", *EMBEDDED)
    assert "Traceback" not in done.err
    assert_untouched(private, tmp_path / "out")


# Code


class Payload:
    """An object whose pickle writes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "run")


MODELS: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any]]] = {
    "encoder": (
        lambda path: ProsodicSequenceEncoder(hidden_dim=32, num_layers=1, nhead=2).save_pretrained(path),
        ProsodicSequenceEncoder.from_pretrained,
    ),
    "speech encoder": (make_speech_model, lambda path: classifier_on(str(path), ("sad", "happy"), "cpu")),
    "affect": (make_tiny_affect, lambda path: load_affect_model(str(path), "cpu")),
}


@pytest.mark.parametrize("kind", MODELS)
def test_pickle_in_a_model_is_not_run(kind: str, tmp_path: Path) -> None:
    make, open_model = MODELS[kind]
    make(tmp_path / "model")
    for weights in (tmp_path / "model").glob("*.safetensors"):
        weights.unlink()
    torch.save(Payload(tmp_path / "ran"), tmp_path / "model/pytorch_model.bin")
    with pytest.raises((DailytalkError, OSError)):
        open_model(tmp_path / "model")
    assert not (tmp_path / "ran").exists()


# Answers of services


class Service(ThreadingHTTPServer):
    """A speech service whose every answer is the same."""

    daemon_threads = True

    def __init__(self, headers: dict[str, str], body: list[bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.headers = headers
        self.body = body

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up on it."""


class Answer(BaseHTTPRequestHandler):
    server: Service

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        for name, text in self.server.headers.items():
            self.send_header(name, text)
        self.end_headers()
        for part in self.server.body:
            self.wfile.write(part)


SOUND = {"Content-Type": "audio/wav"}
ANSWERS: dict[str, tuple[dict[str, str], Callable[[], list[bytes]]]] = {
    "a bomb": (SOUND | {"Content-Encoding": "gzip"}, lambda: [gzip.compress(bytes(BOMB_BYTES), 1)]),
    "without end": (SOUND, lambda: [wav_bytes(tones(2.0, 24000, 1), 24000), *[bytes(1 << 20)] * 4000]),
    "markup": ({"Content-Type": "text/html"}, lambda: [b"<!DOCTYPE html>" * 1000]),
    "deep": ({"Content-Type": "application/json"}, lambda: [b"[" * 100_000]),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_answer_of_a_service_costs_its_lines_and_fills_no_memory(
    answer: str, tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers, body = ANSWERS[answer]
    server = Service(headers, body())
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("OPENAI_API_KEY", "t" * 12)
    load_synthesiser.cache_clear()
    work = folder(tmp_path / "work", call=SHORT[:1])
    with little_memory():
        done = dailytalk("speak", work, "--profile", "embedded", "--tts", "openai", "--tries", "1")
    server.shutdown()
    assert done.code in (1, 3)
    assert "Traceback" not in done.err
    assert "t" * 12 not in done.out + done.err


# Requests to a page that is served


def test_request_to_a_page_reaches_nothing_but_the_folder(tmp_path: Path, private: Path) -> None:
    lines = dialogue("call_000000", 5.0, 12)
    reviewed = work_folder(tmp_path, [("call_000000", "long", 0.0, lines)])
    with served(reviewed) as server:
        address = urlsplit(server.address)
        for path in (
            "assets/..%2f..%2fsession.py",
            "assets/%2e%2e/session.py",
            "../private/private.txt",
            f"api/sound?id={private}/private.wav",
            "api/item?id=../private/private.txt",
            "api/item?id=%00",
            "etc/passwd",
        ):
            connection = HTTPConnection(str(address.hostname), address.port, timeout=60)
            connection.request("GET", address.path + path, headers={"Host": address.netloc})
            answer = connection.getresponse()
            content = answer.read()
            assert 400 <= answer.status < 500, path
            assert SECRET.encode() not in content
            connection.close()
    assert_untouched(private, reviewed)


# Folders that were sent, and damage


@pytest.mark.parametrize("command", ["check", "report", "export", "status"])
def test_command_that_reads_a_folder_with_links_out_of_it_changes_nothing_and_copies_nothing(
    command: str, private: Path, tmp_path: Path, dailytalk: Command
) -> None:
    theirs = folder(tmp_path / "theirs", good=SHORT)
    (theirs / "rejects.jsonl").unlink(missing_ok=True)
    (theirs / "rejects.jsonl").symlink_to(private / "private.txt")
    (theirs / ".dailytalk-run").symlink_to(private / "private.txt")
    (theirs / "tagged/more").symlink_to(private)
    before = {path: path.lstat().st_mtime_ns for path in theirs.rglob("*")}
    out = {
        "report": ("--out", tmp_path / "out/page.html"),
        "export": ("--format", "csm", "--out", tmp_path / "out"),
    }
    done = dailytalk(command, theirs, *out.get(command, ()))
    assert "Traceback" not in done.err
    assert {path: path.lstat().st_mtime_ns for path in theirs.rglob("*")} == before
    assert SECRET not in done.out + done.err
    assert_untouched(private, tmp_path / "out")


@pytest.mark.parametrize("name", ["dataset", "tagged", ".dailytalk", "transcript.jsonl", "rejects.jsonl"])
def test_name_in_a_folder_that_is_a_link_out_of_it_is_refused(
    name: str, tmp_path: Path, dailytalk: Command
) -> None:
    others = folder(tmp_path / "others", good=SHORT)
    write_dataset(others, [built_row("a")])
    (others / "run.json").write_text("{}")
    (others / "rejects.jsonl").write_text("")
    theirs = tmp_path / "theirs"
    shutil.copytree(others, theirs)
    if name == "transcript.jsonl":  # it is read where nothing is finished
        shutil.rmtree(theirs / "dataset")
    if name != ".dailytalk":
        (theirs / name).rename(tmp_path / "moved")
    (theirs / name).symlink_to(others if name == ".dailytalk" else others / name)
    page = tmp_path / "page.html"
    done = dailytalk("report", theirs, "--out", page)
    assert done.code == 1
    assert name in done.err
    assert not page.exists()
    (tmp_path / "mine").symlink_to(others)  # a link that the user names is the user's own
    assert dailytalk("report", tmp_path / "mine", "--out", page).code == 0


@pytest.mark.parametrize("name", [".dailytalk-run", "audio"])
def test_run_writes_nothing_through_a_link_of_its_folder(
    name: str, private: Path, tmp_path: Path, dailytalk: Command
) -> None:
    theirs = folder(tmp_path / "theirs", good=SHORT)
    (theirs / name).symlink_to(private / "new")
    done = dailytalk("speak", theirs, "--revoice", "none", "--profile", "embedded")
    assert done.code == 1
    assert f"{name}' is a symbolic link" in done.err
    assert_untouched(private)


@pytest.mark.parametrize("field", [{"a": 1}, {"name": "x"}, {"name": "x", "type": "string", "digits": "y"}])
def test_field_that_a_record_does_not_describe_is_one_sentence(
    field: dict[str, Any], tmp_path: Path, dailytalk: Command
) -> None:
    theirs = write_dataset(tmp_path / "theirs", [built_row("a")])
    (theirs / "run.json").write_text(json.dumps({"fields": [field]}))
    done = dailytalk("export", theirs, "--format", "srt", "--out", tmp_path / "out")
    assert done.code == 1
    assert done.err.startswith("dailytalk: the fields of run.json: ")


@pytest.mark.parametrize(
    "duration", ["x", None, 10**400, 1e308, -1.0], ids=["text", "null", "huge", "large", "negative"]
)
def test_length_that_no_conversation_has_is_one_sentence_that_names_the_shard(
    duration: Any, tmp_path: Path, dailytalk: Command
) -> None:
    theirs = folder(tmp_path / "theirs", good=SHORT)
    (shard,) = (theirs / "tagged").iterdir()
    table_of_rows = pq.read_table(shard)
    metadata = table_of_rows.schema.metadata
    record = json.loads(metadata[METADATA_KEY])
    record["entries"]["good"]["duration"] = duration
    metadata[METADATA_KEY] = json.dumps(record).encode()
    pq.write_table(table_of_rows.replace_schema_metadata(metadata), shard)
    done = dailytalk("report", theirs, "--out", tmp_path / "page.html")
    assert done.code == 1
    assert f"{shard.name}: " in done.err
    assert "delete it" in done.err


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes as disks and networks damage them."""
    spoilt = bytearray(data)
    start = draw(st.integers(0, len(spoilt) - 1))
    match draw(st.sampled_from(("flip", "cut", "zero", "insert"))):
        case "flip":
            spoilt[start] ^= 1 << draw(st.integers(0, 7))
        case "cut":
            del spoilt[start:]
        case "zero":
            end = min(start + 64, len(spoilt))
            spoilt[start:end] = bytes(end - start)
        case _:
            spoilt[start:start] = draw(st.binary(min_size=1, max_size=64))
    return bytes(spoilt)


few = settings(max_examples=4, derandomize=True, suppress_health_check=[*HealthCheck])


@few
@given(data=st.data())
def test_damaged_recording_or_transcript_costs_itself(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, dailytalk: Command
) -> None:
    root = tmp_path_factory.mktemp("calls")
    utterance = {"channel": "left", "text": "Hello, can you help?", "start": 1.6, "end": 2.6}
    words = {"utterances": [utterance]}
    for name in ("bad", "good"):
        soundfile.write(root / f"{name}.wav", example("weekend_trip")[: 3 * 16000], 16000, "PCM_16")
        (root / f"{name}.json").write_text(json.dumps(words))
    path = root / data.draw(st.sampled_from(("bad.wav", "bad.json")))
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    out = root.with_name(f"{root.name}-out")
    done = dailytalk("tag", root, "--out", out, *EMBEDDED)
    assert done.code in (0, 3), done.err
    shards = pa.concat_tables([pq.read_table(path) for path in out.glob("tagged/*.parquet")])
    assert "good" in shards["conversation_id"].to_pylist()


@few
@given(data=st.data())
def test_damaged_shard_is_a_sentence_or_costs_its_rows(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, dailytalk: Command
) -> None:
    root = write_dataset(tmp_path_factory.mktemp("dataset"), [built_row("bad"), built_row("good")])
    (path,) = root.glob("dataset/*.parquet")
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    for command, *options in (("check", "--json"), ("export", "--format", "csm", "--out", root / "out")):
        done = dailytalk(command, root, *options)
        assert done.code in (0, 1, 3)
        assert "Traceback" not in done.err
    shutil.rmtree(root)


#: `dailytalk` that may ask for 1.5 GB of memory.
WITH_LITTLE_MEMORY = """
import resource
resource.setrlimit(resource.RLIMIT_DATA, (1_570_000_000, 1_570_000_000))
from dailytalk_contiguous.__main__ import entry_point
entry_point()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bad.json", f'{{"segments": [{"{}," * 20_000_000}{{}}]}}'),
        ("bad.eaf", f"<ANNOTATION_DOCUMENT>{'<A/>' * 16_500_000}</ANNOTATION_DOCUMENT>"),
    ],
    ids=["JSON", "ELAN"],
)
def test_transcript_that_needs_more_memory_than_there_is_costs_its_recording_alone(
    tmp_path: Path, name: str, text: str
) -> None:
    source = calls(tmp_path / "in", "good", "bad")
    subtitles = ["1", "00:00:00,000 --> 00:00:01,000", "left: so it is", ""]
    (source / "good.srt").write_text("\n".join(subtitles))
    (source / name).write_text(text)
    command = [sys.executable, "-c", WITH_LITTLE_MEMORY, "tag", source, "--out", tmp_path / "out", *EMBEDDED]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    (reject,) = [json.loads(line) for line in (tmp_path / "out/rejects.jsonl").read_text().splitlines()]
    assert reject["id"] == "bad"
    assert name in reject["reason"]
    assert "needs more memory than there is" in reject["reason"]
    assert "so it is" in (tmp_path / "out/transcript.jsonl").read_text()
