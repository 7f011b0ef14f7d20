"""A version taken as a working copy: what nobody edits stays to the byte, and edits are in the next version."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from built_conversations import built_row, write_dataset
from command import EMBEDDED, Command
from datasets import Features, List, Value, load_dataset
from finished_corpora import clip_row, corpus_folder
from hub.server import HubServer
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download
from own_stages import OWN_COLUMN, own_file
from recordings import excerpt, read_lines, save

from dailytalk_contiguous.publish.opening import open_items

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/talk"

pytestmark = pytest.mark.usefixtures("impatient")


def recorded(name: str, **columns: Any) -> dict[str, Any]:
    """A row whose both sides are as they were recorded."""
    row = built_row(name, **columns)
    row["timeline"] |= {"mode": "recorded"}
    for utterance in row["utterances"]:
        utterance |= {"status": "kept", "synthesis": None, "valence": 0.123456}
        utterance |= {"source_start": utterance["start"], "source_end": utterance["end"]}
    return row


def take(dailytalk: Command, version: str, out: Path) -> Path:
    for command in (("tag", version, "--out", out), ("speak", out)):
        done = dailytalk(*command)
        assert done.code == 0, done.err
    return out


def assert_same(dailytalk: Command, version: str, work: Path) -> None:
    """`diff` finds no difference, and `push` has nothing to send."""
    compared = dailytalk("diff", version, work, "--json")
    assert compared.code == 0, compared.err
    changes = json.loads(compared.out)
    assert changes["bump"] == ""
    assert not changes["fields"]
    repo, _, tag = version.partition("@")
    pushed = dailytalk("push", work, repo, "--tag", "auto")
    assert pushed.code == 0, pushed.err
    assert f"has just this already, as {tag}" in pushed.out


def rewrite(work: Path, change: Callable[[dict[str, Any]], None]) -> None:
    lines = read_lines(work / "transcript.jsonl")
    for line in lines:
        change(line)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (work / "transcript.jsonl").write_text(text, encoding="utf-8")


def rows_of(source: str | Path) -> dict[str, dict[str, Any]]:
    return {row["conversation_id"]: row for row in open_items(source).rows()}


@pytest.mark.parametrize("columns", ["audio", "left,right"])
@pytest.mark.parametrize("kind", [recorded, built_row])
def test_version_that_nobody_edits_comes_back_as_it_was(
    tmp_path: Path, hub: HubServer, dailytalk: Command, kind: Callable[[str], dict[str, Any]], columns: str
) -> None:
    ann = write_dataset(tmp_path / "ann", [kind("call1"), kind("day 1/call2")])
    create = ("--create", "--tag", "v1.0.0", "--audio-columns", columns)
    assert dailytalk("push", ann, REPO, *create).code == 0
    bob = take(dailytalk, f"{REPO}@v1.0.0", tmp_path / "bob")
    assert_same(dailytalk, f"{REPO}@v1.0.0", bob)
    published = rows_of(ann)
    assert {name: row["audio"]["bytes"] for name, row in rows_of(bob).items()} == {
        name: row["audio"]["bytes"] for name, row in published.items()
    }


def test_edits_of_one_person_reach_the_next_who_takes_the_version(
    tmp_path: Path, hub: HubServer, dailytalk: Command
) -> None:
    ann = write_dataset(tmp_path / "ann", [recorded("call1"), recorded("call2")])
    assert dailytalk("push", ann, REPO, "--create", "--tag", "v1.0.0").code == 0
    bob = take(dailytalk, f"{REPO}@v1.0.0", tmp_path / "bob")

    def edit(line: dict[str, Any]) -> None:
        if line["utterance_id"] == "call1/left/0000":
            line |= {"tag": "surprised", "edited_by": ["Bob"], "edited_fields": ["tag"]}
        if line["utterance_id"] == "call1/right/0001":
            line |= {"tag": "happy", "end": line["end"] + 0.05, "text": "Hi, my hello."}

    rewrite(bob, edit)
    assert dailytalk("speak", bob).code == 0
    changes = json.loads(dailytalk("diff", f"{REPO}@v1.0.0", bob, "--json").out)
    assert changes["ids"]["changed"] == ["call1"]
    assert {change["to"]: change["count"] for change in changes["tags"]} == {"happy": 1, "surprised": 1}
    assert "audio" not in changes["fields"]
    assert dailytalk("push", bob, REPO, "--tag", "auto").code == 0

    carla = take(dailytalk, f"{REPO}@v1.1.0", tmp_path / "carla")
    assert_same(dailytalk, f"{REPO}@v1.1.0", carla)
    row = rows_of(carla)["call1"]
    edited = {utterance["utterance_id"]: utterance for utterance in row["utterances"]}
    assert edited["call1/left/0000"]["tag"] == "surprised"
    assert edited["call1/left/0000"]["tagged_text"] == "(surprised) Hello there."
    assert edited["call1/left/0000"]["edited_by"] == ["Bob"]
    assert edited["call1/left/0000"]["valence"] == pytest.approx(0.123456, abs=1e-7)
    assert edited["call1/right/0001"]["end"] == pytest.approx(2.45)
    assert edited["call1/right/0001"]["source_end"] == pytest.approx(2.45)
    words = [word["word"] for word in row["alignments"] if word["speaker"] == "right"]
    assert words[:3] == ["Hi,", "my", "hello."]


def test_deleted_and_added_lines_of_recorded_sides_make_no_sound(
    tmp_path: Path, hub: HubServer, dailytalk: Command
) -> None:
    ann = write_dataset(tmp_path / "ann", [recorded("call")])
    assert dailytalk("push", ann, REPO, "--create", "--tag", "v1.0.0").code == 0
    bob = take(dailytalk, f"{REPO}@v1.0.0", tmp_path / "bob")
    lines = read_lines(bob / "transcript.jsonl")
    new = {name: lines[0][name] for name in ("audio_file", "conversation_id", "channel", "tag")}
    new |= {"start": 5.2, "end": 5.8, "text": "Bye now."}
    text = "".join(json.dumps(line) + "\n" for line in [*lines[1:], new])
    (bob / "transcript.jsonl").write_text(text, encoding="utf-8")
    assert dailytalk("speak", bob).code == 0
    (before,) = rows_of(ann).values()
    (after,) = rows_of(bob).values()
    assert after["audio"]["bytes"] == before["audio"]["bytes"]
    texts = [utterance["text"] for utterance in after["utterances"]]
    assert texts == ["Hi, hello.", "How are you?", "Quite well.", "Bye now."]
    words = [word["word"] for word in after["alignments"] if word["speaker"] == "left"]
    assert words == ["How", "are", "you?", "Bye", "now."]


@pytest.mark.needs("espeakng_loader")
def test_line_that_is_said_anew_leaves_the_others_as_they_were(
    tmp_path: Path, hub: HubServer, dailytalk: Command
) -> None:
    ann = write_dataset(tmp_path / "ann", [built_row("call1"), built_row("call2")])
    assert dailytalk("push", ann, REPO, "--create", "--tag", "v1.0.0").code == 0
    bob = take(dailytalk, f"{REPO}@v1.0.0", tmp_path / "bob")

    def edit(line: dict[str, Any]) -> None:
        if line["utterance_id"] == "call1/left/0002":
            line["text"] = "How old is the house?"

    rewrite(bob, edit)
    done = dailytalk("speak", bob, "--profile", "embedded", "--tts", "espeak")
    assert done.code == 0, done.err
    assert "1 conversation with lines said anew" in done.out
    before = rows_of(ann)
    after = rows_of(bob)
    assert after["call2"]["audio"]["bytes"] == before["call2"]["audio"]["bytes"]
    first, _, said, last = after["call1"]["utterances"]
    assert said["text"] == "How old is the house?"
    assert said["synthesis"]["cache_key"]
    moved = {"start", "end", "start_trim", "end_trim", "event", "transition", "turn_end"}
    for number, utterance in ((0, first), (3, last)):
        published = before["call1"]["utterances"][number]
        assert {name for name in utterance if utterance[name] != published[name]} <= moved
    words = [word["word"] for word in after["call1"]["alignments"] if word["speaker"] == "left"]
    assert words == ["Hello", "there.", "How", "old", "is", "the", "house?"]


def test_clips_come_back_with_their_labels_and_splits(tmp_path: Path, hub: HubServer, dailytalk: Command) -> None:
    rows = [
        clip_row("s1-0", "happy", 2.0, official_split="train", conditioning={"clip_start": 0.1}),
        clip_row("s2-0", "sad", 1.5, official_split="validation", split="validation"),
    ]
    models = {"affect": {"name": "m/dim", "licence": "MIT", "url": "https://m.org"}}
    ann = corpus_folder(tmp_path / "ann", rows, {"version": "0.1.0", "models": models})
    assert dailytalk("push", ann, REPO, "--create", "--tag", "v1.0.0").code == 0
    bob = take(dailytalk, f"{REPO}@v1.0.0", tmp_path / "bob")
    assert_same(dailytalk, f"{REPO}@v1.0.0", bob)


@pytest.mark.needs("espeakng_loader")
def test_columns_of_own_stages_and_of_others_stay(
    tmp_path: Path, hub: HubServer, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = own_file(tmp_path, monkeypatch, OWN_COLUMN)
    save(tmp_path / "in/call.wav", excerpt(seconds=9.0))
    build = ("build", tmp_path / "in", "--out", tmp_path / "ann", "--revoice", "none", *EMBEDDED, "--stage", file)
    assert dailytalk(*build).code == 0
    file.unlink()
    assert dailytalk("push", tmp_path / "ann", REPO, "--create", "--tag", "v1.0.0").code == 0
    bob = take(dailytalk, f"{REPO}@v1.0.0", tmp_path / "bob")
    assert_same(dailytalk, f"{REPO}@v1.0.0", bob)

    # A newer version of dailytalk, or another person, adds a column and a field.
    name = "conversations/train-00000-of-00001.parquet"
    path = Path(hf_hub_download(REPO, name, repo_type="dataset"))
    table = pq.read_table(path)
    rows = table.to_pylist()
    features = Features.from_arrow_schema(table.schema)
    features["mood"] = List(Value("float32"))
    features["utterances"] = List({**features["utterances"].feature, "grin": Value("string")})
    for row in rows:
        row["mood"] = [0.1, 0.7]
        for number, utterance in enumerate(row["utterances"]):
            utterance["grin"] = f"grin {number}"
    pq.write_table(pa.Table.from_pylist(rows, features.arrow_schema), tmp_path / "new.parquet")
    add = [CommitOperationAdd(name, tmp_path / "new.parquet")]
    HfApi().create_commit(REPO, add, commit_message="new columns", repo_type="dataset")
    carla = take(dailytalk, REPO, tmp_path / "carla")
    changes = json.loads(dailytalk("diff", REPO, carla, "--json").out)
    assert changes["bump"] == ""
    pushed = dailytalk("push", carla, REPO, "--tag", "auto")
    assert pushed.code == 0, pushed.err
    (row,) = load_dataset(REPO, split="train").remove_columns("audio")
    assert row["mood"] == pytest.approx([0.1, 0.7])
    assert [utterance["grin"] for utterance in row["utterances"]][:2] == ["grin 0", "grin 1"]
    assert row["opened_by"] == "left"


def test_options_that_hear_are_refused_unless_a_version_is_to_be_heard_again(
    tmp_path: Path, hub: HubServer, dailytalk: Command
) -> None:
    ann = write_dataset(tmp_path / "ann", [built_row("call")])
    assert dailytalk("push", ann, REPO, "--create", "--tag", "v1.0.0").code == 0
    version = f"{REPO}@v1.0.0"
    for options in (("--rules", "careful"), ("--language", "de"), ("--max-conversation", "60s"), ("--streaming",)):
        refused = dailytalk("tag", version, "--out", tmp_path / "bob", *options)
        assert refused.code == 1
        assert "--hear-again" in refused.err
    heard = dailytalk("tag", version, "--out", tmp_path / "bob", "--hear-again", *EMBEDDED)
    assert heard.code in (0, 3), heard.err
    assert (tmp_path / "bob/rated").is_dir()
