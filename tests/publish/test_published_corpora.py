"""A corpus of clips on the Hub: pushed, loaded by a label, compared, exported; splits, copies and terms stay."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from command import Command
from datasets import Audio, load_dataset
from finished_corpora import clip_row, corpus_folder, measures
from from_apps import from_app
from hub.server import HubServer
from huggingface_hub import HfApi
from spoken_corpora import crema_d, rows_of, run

from dailytalk_contiguous import load
from dailytalk_contiguous.core.records.schema import LABELLED, Row, published_features
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.opening import open_items

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/acted"
TAG = "v1.0.0"
CORPUS = {"name": "acted", "licence": "CC-BY-4.0", "citation": "Doe J (2020). Acted.", "homepage": "https://a.org"}
RUN: dict[str, Any] = {
    "version": "0.1.0",
    "corpus": CORPUS,
    "models": {"affect": {"name": "m/dim", "licence": "MIT", "url": "https://m.org"}},
    "stages": [{"name": "Condition", "digest": "d1", "settings": {}}],
}

#: The split of each clip; the corpus publishes them.
SPLIT = {"acted/s1-0": "train", "acted/s1-0~pitch": "train", "acted/s1-1": "train", "acted/s2-0": "validation"}

pytestmark = pytest.mark.usefixtures("impatient")


def clips(**changed: Any) -> list[Row]:
    whispered = {"style": "whispered", "licence": "CC-BY-NC-4.0"} | changed
    return [
        clip_row("s1-0", "happy", 2.0, official_split="train", conditioning={"clip_start": 0.1}),
        clip_row("s1-0~pitch", "happy", augmented_from="acted/s1-0"),
        clip_row("s1-1", "sad", official_split="train", **whispered),
        clip_row("s2-0", "happy", 1.5, official_split="validation", split="validation"),
    ]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return corpus_folder(tmp_path / "work", clips(), RUN)


def push(dailytalk: Command, work: Path, *options: str) -> dict[str, Any]:
    chosen = options or ("--tag", TAG)
    done = dailytalk("push", str(work), REPO, "--create", "--json", *chosen)
    assert done.code == 0, done.err
    outcome: dict[str, Any] = json.loads(done.out)
    return outcome


def card() -> str:
    path = HfApi().hf_hub_download(REPO, "README.md", repo_type="dataset")
    return Path(path).read_text(encoding="utf-8")


def test_pushed_corpus_loads_in_its_own_splits_with_its_labels(
    hub: HubServer, dailytalk: Command, work: Path
) -> None:
    push(dailytalk, work)
    stored = {row["conversation_id"]: row for row in open_items(work).rows()}
    for streaming in (False, True):
        data = load_dataset(REPO, revision=TAG, streaming=streaming)
        seen = {}
        for split, part in data.items():
            assert part.features == published_features("conversations", 24000, labelled=True)
            for row in part.cast_column("audio", Audio(decode=False)):
                name = row["conversation_id"]
                seen[name] = split
                expected = stored[name]
                assert row["labels"] == expected["labels"]
                assert row["audio"]["bytes"] == expected["audio"]["bytes"]
                assert [word["word"] for word in row["alignments"]] == ["Hello"]
        assert seen == SPLIT
    lines = load_dataset(REPO, "utterances", split="train", revision=TAG)
    spoken = {}
    for row in lines.cast_column("audio", Audio(decode=False)):
        name = row["conversation_id"]
        spoken[name] = (row["duration"], row["labels"]["emotion"])
    assert spoken == {
        "acted/s1-0": (1.9, "happy"),  # without the prompt before it
        "acted/s1-0~pitch": (1.0, "happy"),
        "acted/s1-1": (1.0, "sad"),
    }
    emotions = from_app("learn.emotion_examples")
    examples = emotions.read_examples([f"{REPO}@{TAG}"], ("happy", "sad"))
    ids = [*examples.ids]
    lengths = {name: len(examples.sound(index)) for index, name in enumerate(ids)}
    assert lengths == {"acted/s1-0": 30400, "acted/s1-0~pitch": 16000, "acted/s1-1": 16000, "acted/s2-0": 24000}
    names = np.array(ids)
    assert {*names[examples.copies]} == {"acted/s1-0~pitch"}
    group = examples.groups[ids.index("acted/s1-0")]  # the copy has the sound of another clip
    assert {*names[examples.groups == group]} == {*SPLIT} - {"acted/s2-0"}


def test_lines_of_the_card_load_by_emotion_style_and_speaker(
    hub: HubServer, dailytalk: Command, work: Path
) -> None:
    push(dailytalk, work)
    [code] = re.findall(r"```python\n(from datasets .*?)```", card(), re.DOTALL)
    # Here no torchcodec decodes audio.
    eager = f', revision="{TAG}").cast_column("audio", Audio(decode=False))'
    streaming = f', revision="{TAG}", streaming=True).decode(False)'
    for call in (eager, streaming):
        names: dict[str, Any] = {"Audio": Audio}
        exec(code.replace(f', revision="{TAG}")', call), names)
        ids = {}
        for name in ("by_emotion", "by_style", "by_speaker", "recorded"):
            ids[name] = sorted(row["conversation_id"] for row in names[name])
        assert ids == {
            "by_emotion": ["acted/s1-0", "acted/s1-0~pitch"],
            "by_style": ["acted/s1-0", "acted/s1-0~pitch"],
            "by_speaker": ["acted/s1-0", "acted/s1-0~pitch", "acted/s1-1"],
            "recorded": ["acted/s1-0", "acted/s1-1"],
        }


def test_terms_and_the_links_of_copies_are_published(hub: HubServer, dailytalk: Command, work: Path) -> None:
    outcome = push(dailytalk, work)
    rows = {}
    for part in load_dataset(REPO, revision=TAG).remove_columns("audio").values():
        rows |= {row["conversation_id"]: row for row in part}
    terms = {}
    for name, row in rows.items():
        provenance = row["provenance"]
        terms[name] = (provenance["source"], provenance["source_licence"])
    expected = dict.fromkeys(SPLIT, ("acted", "CC-BY-4.0"))
    expected["acted/s1-1"] = ("acted", "CC-BY-NC-4.0")
    assert terms == expected
    copy = rows["acted/s1-0~pitch"]
    assert copy["labels"]["augmented_from"] == "acted/s1-0"
    assert copy["recording_id"] == "acted/s1-0"
    (stage,) = rows["acted/s1-0"]["provenance"]["stages"]
    assert stage == {"name": "Condition", "digest": "d1"}
    text = card()
    assert "license: cc-by-nc-4.0\n" in text  # the strictest, which asks for all that the other does
    assert "| source | acted | CC-BY-NC-4.0 | no commercial use; its author to be named |" in text
    assert "| [acted](https://a.org) | CC-BY-4.0 | Doe J (2020). Acted. |" in text
    assert "| happy | 3.4 s | 2 | 1 |" in text
    assert "No speaker is heard in two splits." in text
    assert "synthesised" not in text
    assert outcome["published"]["tag"] == TAG
    alone = open_items(f"{REPO}@{TAG}")
    assert alone.kind == "version"
    assert alone.has_labels is True
    assert alone.splits() == SPLIT
    assert alone.row("acted/s1-1")["labels"] == rows["acted/s1-1"]["labels"]


def columns_by_id(rows: Any) -> dict[str, dict[str, Any]]:
    columns = ["conversation_id", "labels", "utterances", "alignments", "duration", "speakers"]
    by_id = {}
    for row in rows:
        by_id[row["conversation_id"]] = {name: row[name] for name in columns}
    return by_id


def test_work_folder_loads_as_what_is_published_of_it(hub: HubServer, dailytalk: Command, work: Path) -> None:
    push(dailytalk, work)
    for streaming in (False, True):
        here = load(work, streaming=streaming)
        published = load(REPO, revision=TAG, streaming=streaming)
        assert list(here) == list(published) == ["train", "validation"]
        for split in here:
            assert columns_by_id(here[split]) == columns_by_id(published[split])
    stream = load(work, split="train", streaming=True)
    first = next(iter(stream))
    remaining = load(work, split="train", streaming=True, state=stream.state_dict())
    ids = [row["conversation_id"] for row in (first, *remaining)]
    assert ids == [name for name, split in SPLIT.items() if split == "train"]
    with pytest.raises(KeyError, match="test"):
        load(work, split="test")


def test_versions_and_diff_name_what_changed(
    hub: HubServer, dailytalk: Command, work: Path, tmp_path: Path
) -> None:
    push(dailytalk, work)
    assert push(dailytalk, work)["plan"] == []
    other = corpus_folder(tmp_path / "other", clips(style="shouted"), RUN)
    assert push(dailytalk, other, "--tag", "auto", "--even-if-diverged")["tag"] == "v1.1.0"
    done = dailytalk("diff", f"{REPO}@{TAG}", "@v1.1.0", "--json")
    difference = json.loads(done.out)
    assert difference["ids"]["changed"] == ["acted/s1-1"]
    assert difference["fields"] == {"labels.style": 1}
    done = dailytalk("versions", REPO, "--json")
    listed = json.loads(done.out)
    versions = [version for version in listed if version["kind"] == "version"]
    assert [version["name"] for version in versions] == ["v1.1.0", TAG]
    assert [version["totals"]["conversations"]["rows"] for version in versions] == [4, 4]


@pytest.mark.parametrize("published", [False, True])
def test_export_for_moshi_keeps_the_splits_and_passes_the_check(
    hub: HubServer, dailytalk: Command, work: Path, tmp_path: Path, published: bool
) -> None:
    if published:
        push(dailytalk, work)
    out = tmp_path / "moshi"
    source = f"{REPO}@{TAG}" if published else str(work)
    done = dailytalk("export", source, "--out", str(out))
    assert done.code == 0, done.err
    sides = {}
    for side in ("train", "eval"):
        lines = (out / f"{side}.jsonl").read_text()
        sides[side] = lines.count('"path"')
    assert sides == {"train": 3, "eval": 1}
    findings, _ = check_folder(out)
    assert [finding for finding in findings if finding.level == "error"] == []
    about = json.loads((out / "conversations.json").read_text())
    expected = {name: "eval" if split == "validation" else "train" for name, split in SPLIT.items()}
    splits = {name: facts["split"] for name, facts in about.items()}
    assert splits == expected
    held_out = about["acted/s2-0"]
    assert held_out["kept_speakers"] == ["acted/s2"]
    samples, _ = soundfile.read(out / held_out["files"][0], dtype="int16")
    assert np.abs(samples[:, 0]).max() > 6000


@pytest.mark.parametrize("columns", ["audio", "left,right"])
def test_published_corpus_is_checked_and_reported(
    hub: HubServer, dailytalk: Command, work: Path, tmp_path: Path, columns: str
) -> None:
    push(dailytalk, work, "--tag", TAG, "--audio-columns", columns)
    for column in columns.split(","):
        assert f"`{column}`" in card()
    done = dailytalk("check", f"{REPO}@{TAG}", "--json")
    checked = json.loads(done.out)
    for finding in checked["findings"]:
        assert finding["level"] != "error"
        assert finding["kind"] != "one-sided"
    facts = checked["facts"]
    assert facts["conversations"] == 4
    assert facts["utterances"] == 4
    assert facts["words"] == 4
    assert facts["splits"] == {"train": 3, "validation": 1}
    page = tmp_path / "page.html"
    done = dailytalk("report", f"{REPO}@{TAG}", "--out", page)
    assert done.code == 0
    assert "3 of 3 clips can be heard" in done.out
    text = page.read_text(encoding="utf-8")
    assert "what was rejected is not in a published version" in text
    named = re.findall(r"<td>(?:<a [^>]*>)?acted(?:</a>)?</td>\s*<td[^>]*>([^<]+)</td>", text)
    assert sorted(named) == ["CC-BY-4.0", "CC-BY-NC-4.0"]


def test_what_a_corpus_can_not_publish_is_one_sentence(
    hub: HubServer, dailytalk: Command, work: Path, tmp_path: Path
) -> None:
    unfinished = corpus_folder(tmp_path / "unfinished", [], measured=[measures()])
    pushing = ("push", str(unfinished), REPO)
    exporting = ("export", str(unfinished), "--out", str(tmp_path / "x"))
    for command in (pushing, exporting):
        done = dailytalk(*command)
        message = " ".join(done.err.split())
        assert done.code == 1
        assert "was measured but not finished" in message


@pytest.mark.parametrize(
    ("changed", "reject"),
    [
        ({"alignments": [None]}, ("acted/s1-1", "its word 1 is empty")),
        ({"split": "dev"}, ("acted/s1-1", "its split is 'dev', not train, validation, test")),
    ],
)
def test_clip_that_can_not_be_published_is_rejected_and_the_others_go_on(
    hub: HubServer, dailytalk: Command, work: Path, changed: Row, reject: tuple[str, str]
) -> None:
    rows = clips()
    rows[2] |= changed
    table = pa.Table.from_pylist(rows, schema=LABELLED.arrow_schema)
    pq.write_table(table, work / "clips/shard-0.parquet", row_group_size=1)
    done = dailytalk("push", str(work), REPO, "--create", "--tag", TAG, "--json")
    assert done.code == 3, done.err
    rejects = json.loads(done.out)["rejects"]
    (rejected,) = rejects
    assert (rejected["id"], rejected["reason"]) == reject
    published = load_dataset(REPO, revision=TAG)
    rows_by_split = {split: len(part) for split, part in published.items()}
    assert rows_by_split == {"train": 2, "validation": 1}
    assert "| sad |" not in card()


@pytest.mark.nightly
def test_corpus_that_was_built_here_goes_to_the_hub_and_back(
    hub: HubServer, dailytalk: Command, tmp_path: Path
) -> None:
    out = tmp_path / "work"
    corpus = crema_d(tmp_path / "crema", range(1001, 1005))
    run(corpus, out, prompt_channel=True, augment=("pitch",))
    push(dailytalk, out)
    made = rows_of(out)
    seen = {}
    for split, part in load(REPO, revision=TAG).items():
        for row in part:
            name = row["conversation_id"]
            seen[name] = split
            clip = made[name]
            n_frames = round(clip["duration"] * clip["sample_rate"])
            assert row["audio"]["array"].shape == (n_frames, 2)
            labels = row["labels"]
            assert labels == clip["labels"]
            assert row["utterances"] == clip["utterances"]
            assert row["utterances"][0]["start"] == labels["conditioning"]["clip_start"]
            source = labels["augmented_from"]
            if source is not None:
                assert source in made
                assert split == "train"
    assert seen == {name: clip["split"] for name, clip in made.items()}
    assert len(set(seen.values())) == 2
    labels = [clip["labels"] for clip in made.values()]
    assert any(clip["augmented_from"] for clip in labels)
    assert any(clip["conditioning"]["clip_start"] > 1 for clip in labels)
