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
from dailytalk_contiguous.core.schema import LABELLED, Row, published_features
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
    return [
        clip_row("s1-0", "happy", 2.0, official_split="train", conditioning={"clip_start": 0.1}),
        clip_row("s1-0~pitch", "happy", augmented_from="acted/s1-0"),
        clip_row(
            "s1-1", "sad", official_split="train", licence="CC-BY-NC-4.0", **({"style": "whispered"} | changed)
        ),
        clip_row("s2-0", "happy", 1.5, official_split="validation", split="validation"),
    ]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return corpus_folder(tmp_path / "work", clips(), RUN)


def push(dailytalk: Command, work: Path, *options: str) -> dict[str, Any]:
    done = dailytalk("push", str(work), REPO, "--create", "--json", *(options or ("--tag", TAG)))
    assert done.code == 0, done.err
    told: dict[str, Any] = json.loads(done.out)
    return told


def card() -> str:
    return Path(HfApi().hf_hub_download(REPO, "README.md", repo_type="dataset")).read_text(encoding="utf-8")


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
                seen[row["conversation_id"]] = split
                expected = stored[row["conversation_id"]]
                assert row["labels"] == expected["labels"]
                assert row["audio"]["bytes"] == expected["audio"]["bytes"]
                assert [word["word"] for word in row["alignments"]] == ["Hello"]
        assert seen == SPLIT
    lines = load_dataset(REPO, "utterances", split="train", revision=TAG).cast_column("audio", Audio(decode=False))
    assert {row["conversation_id"]: (row["duration"], row["labels"]["emotion"]) for row in lines} == {
        "acted/s1-0": (1.9, "happy"),  # without the prompt before it
        "acted/s1-0~pitch": (1.0, "happy"),
        "acted/s1-1": (1.0, "sad"),
    }
    examples = from_app("learn.emotion_examples").read_examples([f"{REPO}@{TAG}"], ("happy", "sad"))
    sounds = {name: len(examples.sound(place)) for place, name in enumerate(examples.ids)}
    assert sounds == {"acted/s1-0": 30400, "acted/s1-0~pitch": 16000, "acted/s1-1": 16000, "acted/s2-0": 24000}
    assert {*np.array(examples.ids)[examples.copies]} == {"acted/s1-0~pitch"}
    first = examples.groups[[*examples.ids].index("acted/s1-0")]  # the copy has the sound of another clip
    assert {*np.array(examples.ids)[examples.groups == first]} == {*SPLIT} - {"acted/s2-0"}


def test_lines_of_the_card_load_by_emotion_style_and_speaker(
    hub: HubServer, dailytalk: Command, work: Path
) -> None:
    push(dailytalk, work)
    [code] = re.findall(r"```python\n(from datasets .*?)```", card(), re.DOTALL)
    # Here no torchcodec decodes audio.
    eager, stream = (f', revision="{TAG}"{more}).' for more in ("", ", streaming=True"))
    for call in (f'{eager}cast_column("audio", Audio(decode=False))', f"{stream}decode(False)"):
        found: dict[str, Any] = {"Audio": Audio}
        exec(code.replace(f', revision="{TAG}")', call), found)
        ids = {
            name: sorted(row["conversation_id"] for row in found[name])
            for name in ("by_emotion", "by_style", "by_speaker", "recorded")
        }
        assert ids == {
            "by_emotion": ["acted/s1-0", "acted/s1-0~pitch"],
            "by_style": ["acted/s1-0", "acted/s1-0~pitch"],
            "by_speaker": ["acted/s1-0", "acted/s1-0~pitch", "acted/s1-1"],
            "recorded": ["acted/s1-0", "acted/s1-1"],
        }


def test_terms_and_the_links_of_copies_are_published(hub: HubServer, dailytalk: Command, work: Path) -> None:
    told = push(dailytalk, work)
    rows = {
        row["conversation_id"]: row
        for part in load_dataset(REPO, revision=TAG).remove_columns("audio").values()
        for row in part
    }
    terms = {
        name: (row["provenance"]["source"], row["provenance"]["source_licence"]) for name, row in rows.items()
    }
    assert terms == dict.fromkeys(SPLIT, ("acted", "CC-BY-4.0")) | {"acted/s1-1": ("acted", "CC-BY-NC-4.0")}
    assert rows["acted/s1-0~pitch"]["labels"]["augmented_from"] == "acted/s1-0"
    assert rows["acted/s1-0~pitch"]["recording_id"] == "acted/s1-0"
    assert rows["acted/s1-0"]["provenance"]["stages"] == [{"name": "Condition", "digest": "d1"}]
    text = card()
    assert "license: cc-by-nc-4.0\n" in text  # the strictest, which asks for all that the other does
    assert "| source | acted | CC-BY-NC-4.0 | no commercial use; its author to be named |" in text
    assert "| [acted](https://a.org) | CC-BY-4.0 | Doe J (2020). Acted. |" in text
    assert "| happy | 3.4 s | 2 | 1 |" in text
    assert "No speaker is heard in two splits." in text
    assert "synthesised" not in text
    assert told["published"]["tag"] == TAG
    alone = open_items(f"{REPO}@{TAG}")
    assert (alone.kind, alone.labelled, alone.splits()) == ("version", True, SPLIT)
    assert alone.row("acted/s1-1")["labels"] == rows["acted/s1-1"]["labels"]


def test_work_folder_loads_as_what_is_published_of_it(hub: HubServer, dailytalk: Command, work: Path) -> None:
    push(dailytalk, work)
    columns = ["conversation_id", "labels", "utterances", "alignments", "duration", "speakers"]
    for streaming in (False, True):
        here = load(work, streaming=streaming)
        there = load(REPO, revision=TAG, streaming=streaming)
        assert list(here) == list(there) == ["train", "validation"]
        for split in here:
            ours, theirs = (
                {row["conversation_id"]: {name: row[name] for name in columns} for row in data[split]}
                for data in (here, there)
            )
            assert ours == theirs
    stream = load(work, split="train", streaming=True)
    first = next(iter(stream))["conversation_id"]
    rest = load(work, split="train", streaming=True, state=stream.state_dict())
    assert [first, *(row["conversation_id"] for row in rest)] == [name for name in SPLIT if SPLIT[name] == "train"]
    with pytest.raises(KeyError, match="test"):
        load(work, split="test")


def test_versions_and_diff_name_what_changed(
    hub: HubServer, dailytalk: Command, work: Path, tmp_path: Path
) -> None:
    push(dailytalk, work)
    assert push(dailytalk, work)["plan"] == []
    other = corpus_folder(tmp_path / "other", clips(style="shouted"), RUN)
    assert push(dailytalk, other, "--tag", "auto")["tag"] == "v1.1.0"
    told = json.loads(dailytalk("diff", f"{REPO}@{TAG}", "@v1.1.0", "--json").out)
    assert (told["ids"]["changed"], told["fields"]) == (["acted/s1-1"], {"labels.style": 1})
    listed = json.loads(dailytalk("versions", REPO, "--json").out)
    assert [
        (one["name"], one["totals"]["conversations"]["rows"]) for one in listed if one["kind"] == "version"
    ] == [("v1.1.0", 4), (TAG, 4)]


@pytest.mark.parametrize("published", [False, True])
def test_export_for_moshi_keeps_the_splits_and_passes_the_check(
    hub: HubServer, dailytalk: Command, work: Path, tmp_path: Path, published: bool
) -> None:
    if published:
        push(dailytalk, work)
    out = tmp_path / "moshi"
    done = dailytalk("export", f"{REPO}@{TAG}" if published else str(work), "--out", str(out))
    assert done.code == 0, done.err
    sides = {side: (out / f"{side}.jsonl").read_text().count('"path"') for side in ("train", "eval")}
    assert sides == {"train": 3, "eval": 1}
    findings, _ = check_folder(out)
    assert [finding for finding in findings if finding.level == "error"] == []
    about = json.loads((out / "conversations.json").read_text())
    assert {name: told["split"] for name, told in about.items()} == {
        name: "eval" if split == "validation" else "train" for name, split in SPLIT.items()
    }
    assert about["acted/s2-0"]["kept_speakers"] == ["acted/s2"]
    samples, _ = soundfile.read(out / about["acted/s2-0"]["files"][0], dtype="int16")
    assert np.abs(samples[:, 0]).max() > 6000


def test_published_corpus_is_checked_and_reported(
    hub: HubServer, dailytalk: Command, work: Path, tmp_path: Path
) -> None:
    push(dailytalk, work)
    done = dailytalk("check", f"{REPO}@{TAG}", "--json")
    told = json.loads(done.out)
    assert [one for one in told["findings"] if one["level"] == "error" or one["kind"] == "one-sided"] == []
    assert (told["facts"]["conversations"], told["facts"]["utterances"], told["facts"]["words"]) == (4, 4, 4)
    assert told["facts"]["splits"] == {"train": 3, "validation": 1}
    page = tmp_path / "page.html"
    done = dailytalk("report", f"{REPO}@{TAG}", "--out", page)
    assert (done.code, "3 of 3 clips can be heard" in done.out) == (0, True)
    text = page.read_text(encoding="utf-8")
    assert "what was rejected is not in a published version" in text
    named = re.findall(r"<td>(?:<a [^>]*>)?acted(?:</a>)?</td>\s*<td[^>]*>([^<]+)</td>", text)
    assert sorted(named) == ["CC-BY-4.0", "CC-BY-NC-4.0"]


def test_what_a_corpus_can_not_publish_is_one_sentence(
    hub: HubServer, dailytalk: Command, work: Path, tmp_path: Path
) -> None:
    unfinished = corpus_folder(tmp_path / "unfinished", [], measured=[measures()])
    for command in (("push", str(unfinished), REPO), ("export", str(unfinished), "--out", str(tmp_path / "x"))):
        done = dailytalk(*command)
        assert (done.code, "was measured and not finished" in " ".join(done.err.split())) == (1, True)


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
    assert [(told["id"], told["reason"]) for told in json.loads(done.out)["rejects"]] == [reject]
    assert {split: len(part) for split, part in load_dataset(REPO, revision=TAG).items()} == {
        "train": 2,
        "validation": 1,
    }
    assert "| sad |" not in card()


@pytest.mark.nightly
def test_corpus_that_was_built_here_goes_to_the_hub_and_back(
    hub: HubServer, dailytalk: Command, tmp_path: Path
) -> None:
    out = tmp_path / "work"
    run(crema_d(tmp_path / "crema", range(1001, 1005)), out, prompt_channel=True, augment=("pitch",))
    push(dailytalk, out)
    made = rows_of(out)
    seen = {}
    for split, part in load(REPO, revision=TAG).items():
        for row in part:
            seen[row["conversation_id"]] = split
            clip = made[row["conversation_id"]]
            assert row["audio"]["array"].shape == (round(clip["duration"] * clip["sample_rate"]), 2)
            assert row["labels"] == clip["labels"]
            assert row["utterances"] == clip["utterances"]
            assert row["utterances"][0]["start"] == clip["labels"]["conditioning"]["clip_start"]
            source = row["labels"]["augmented_from"]
            assert source is None or (source in made and split == "train")
    assert seen == {name: clip["split"] for name, clip in made.items()}
    assert len(set(seen.values())) == 2
    assert any(clip["labels"]["augmented_from"] for clip in made.values())
    assert any(clip["labels"]["conditioning"]["clip_start"] > 1 for clip in made.values())
