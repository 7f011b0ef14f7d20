import io
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from audio_files import wav_bytes
from command import EMBEDDED, Command
from datasets import Audio, Features, Value
from hub.server import HubServer
from huggingface_hub import CommitOperationAdd, HfApi
from recordings import excerpt, read_lines
from scripted import SHORT, folder

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/calls"


@pytest.fixture
def quick() -> tuple[str, ...]:
    return (*EMBEDDED, "--asr-model", "tiny.en")


def publish(**files: bytes) -> str:
    """Commit files, of which dots and slashes are written `_dot_` and `_in_`; the id of the commit."""
    HfApi().create_repo(REPO, repo_type="dataset", exist_ok=True)
    changes = []
    for name, content in files.items():
        path = name.replace("_in_", "/").replace("_dot_", ".")
        changes.append(CommitOperationAdd(path, content))
    commit = HfApi().create_commit(REPO, changes, commit_message="c", repo_type="dataset")
    return str(commit.oid)


def table(audio: str = "audio", **rows: bytes | None) -> bytes:
    schema = Features({"id": Value("string"), audio: Audio()}).arrow_schema
    sounds = [{"bytes": data, "path": None} for data in rows.values()]
    columns = {"id": list(rows), audio: sounds}
    file = io.BytesIO()
    pq.write_table(pa.table(columns, schema=schema), file)
    return file.getvalue()


def record(out: Path) -> Any:
    return json.loads((out / "run.json").read_text(encoding="utf-8"))


def test_pairs_of_audio_and_words_are_tagged_and_the_source_is_recorded(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...], hub: HubServer
) -> None:
    where = ["where", [0.5, 0.8], "SPEAKER_MAIN"]
    to = ["to", [0.9, 1.2], "SPEAKER_MAIN"]
    words = json.dumps({"alignments": [where, to]})
    commit = publish(
        data_stereo_in_0_dot_wav=wav_bytes(excerpt()),
        data_stereo_in_0_dot_json=words.encode(),
        README_dot_md=b"---\nlicense: cc-by-4.0\n---\n",
    )
    done = dailytalk("tag", REPO, "--out", tmp_path / "out", *quick)
    assert done.code == 0
    # With how it began and ended.
    assert done.err.count("\n") == 3
    assert f"to fetch from {REPO}, commit {commit[:8]}: 2 files, 0.4 MB" in done.err
    assert record(tmp_path / "out")["source"] == {
        "repository": REPO,
        "revision": commit,
        "licence": "cc-by-4.0",
    }
    lines = read_lines(tmp_path / "out/transcript.jsonl")
    assert [line["text_raw"] for line in lines if line["channel"] == "left"] == ["where to"]
    assert lines[0]["audio_file"] == "data_stereo/0.wav"


def test_cleared_caches_and_a_new_commit_redo_nothing(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...], hub: HubServer
) -> None:
    publish(data_in_train_dot_parquet=table(one=wav_bytes(excerpt())))
    command = ("tag", REPO, "--out", tmp_path / "out", *quick)
    assert dailytalk(*command).code == 0
    shutil.rmtree(tmp_path / "cache")
    commit = publish(notes_dot_md=b"new")
    done = dailytalk(*command)
    assert done.code == 0
    assert "nothing to do: 1 conversation done" in done.out
    assert record(tmp_path / "out")["source"]["revision"] == commit


def test_row_without_audio_stands_in_the_rejects(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...], hub: HubServer
) -> None:
    publish(data_in_train_dot_parquet=table(one=wav_bytes(excerpt()), two=None))
    done = dailytalk("tag", REPO, "--out", tmp_path / "out", *quick)
    assert done.code == 3
    (reject,) = read_lines(tmp_path / "out/rejects.jsonl")
    assert reject["id"] == "two"
    assert reject["stage"] == "Hub"
    assert reject["reason"] == "it has no audio"


def test_dry_run_says_what_it_would_fetch_and_fetches_nothing(
    tmp_path: Path, dailytalk: Command, hub: HubServer
) -> None:
    sound = wav_bytes(excerpt())
    commit = publish(a_dot_wav=sound, b_dot_wav=sound)
    hub.requests.clear()
    done = dailytalk("build", REPO, "--out", tmp_path / "out", *EMBEDDED, "--dry-run", "--json")
    assert done.code == 0
    planned = json.loads(done.out)
    assert set(planned) == {"source", "to_fetch", "stages"}
    assert planned["source"] == {"repository": REPO, "revision": commit, "licence": None}
    assert planned["to_fetch"] == {"files": 2, "size": 2 * len(sound)}
    assert planned["stages"] == []
    assert not [request for request in hub.requests if request.path.endswith(".wav")]
    assert not (tmp_path / "out").exists()


def test_source_stays_in_the_record_of_speak_wherever_it_writes(tmp_path: Path, dailytalk: Command) -> None:
    work = folder(tmp_path / "work", first=SHORT)
    source = {"repository": REPO, "revision": "c0ffee", "licence": "mit"}
    (work / "run.json").write_text(json.dumps({"source": source}), encoding="utf-8")
    for out in (work, tmp_path / "elsewhere"):
        assert dailytalk("speak", work, "--profile", "embedded", "--out", out).code == 0
        assert record(out)["source"] == source
        assert "counts" in record(out)["speak"]


def test_mistake_is_one_sentence_and_makes_nothing(tmp_path: Path, dailytalk: Command, hub: HubServer) -> None:
    publish(data_in_train_dot_parquet=table(one=wav_bytes(excerpt())))
    for arguments, reason in (
        (("tester/none",), "shows no dataset tester/none"),
        ((REPO, "--audio-column", "sound"), "no column 'sound'"),
    ):
        done = dailytalk("tag", *arguments, "--out", tmp_path / "out", *EMBEDDED)
        *before, sentence = done.err.splitlines()
        assert done.code == 1
        assert [line for line in before if not line.startswith("to fetch from ")] == []
        assert reason in sentence
        assert not (tmp_path / "out").exists()


def test_token_is_nowhere_in_what_a_run_leaves(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...], hub: HubServer
) -> None:
    publish(data_in_train_dot_parquet=table(one=wav_bytes(excerpt()), two=None))
    done = dailytalk("tag", REPO, "--out", tmp_path / "out", *quick)
    assert hub.write_token not in done.out + done.err
    files = list[Path]()
    for top in ("out", "cache", "hf_home"):
        files += [path for path in (tmp_path / top).rglob("*") if path.is_file()]
    assert files
    token = hub.write_token.encode()
    assert not [path for path in files if token in path.read_bytes()]
