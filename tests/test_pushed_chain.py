"""What a chain of stages that ends in `push_to_hub` has published, read by the commands that read versions."""

import json
from pathlib import Path

import pytest
from audio_files import tones
from command import Command
from hub.server import HubServer
from huggingface_hub import snapshot_download
from recordings import excerpt, save
from test_chain import CHAIN, opened

from dailytalk_contiguous.publish.opening import open_items

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/chained"


@pytest.fixture
def pushed(tmp_path: Path, hub: HubServer) -> str:
    """A repository of two conversations and a reject, without a card or a manifest of ours."""
    save(tmp_path / "in/weekend.wav", excerpt())
    save(tmp_path / "in/dinner.wav", excerpt("burnt_dinner", 3.21))
    save(tmp_path / "in/mono.wav", tones(1, channels=1))
    dataset = opened(tmp_path / "in", streaming=False)
    for stage in CHAIN:
        dataset = stage.map(dataset)
    dataset.push_to_hub(REPO)
    return REPO


@pytest.mark.needs("espeakng_loader")
def test_check_report_and_export_read_a_chain_that_was_pushed(
    pushed: str, tmp_path: Path, dailytalk: Command
) -> None:
    downloaded = snapshot_download(pushed, repo_type="dataset", local_dir=tmp_path / "downloaded")
    for source in (pushed, downloaded):
        items = open_items(source)
        names = [row["conversation_id"] for row in items.rows()]
        assert sorted(names) == ["dinner", "weekend"]
        (reject,) = items.rejects()
        assert reject["id"] == "mono"
        assert "one channel" in reject["reason"]
        checked = dailytalk("check", source, "--json")
        assert checked.code == 0, checked.err
        outcome = json.loads(checked.out)
        assert "manifest.json" not in {finding["file"] for finding in outcome["findings"]}
        facts = outcome["facts"]
        assert facts["conversations"] == 2
        assert facts["splits"] == {"train": 2}
        assert facts["words"] > 0
        folder = tmp_path / f"of {Path(source).name}"
        folder.mkdir()
        reported = dailytalk("report", source, "--out", folder / "report.html")
        assert reported.code == 0, reported.err
        assert "one channel" in (folder / "report.html").read_text(encoding="utf-8")
        exported = dailytalk("export", source, "--format", "moshi", "--out", folder / "moshi")
        assert exported.code == 0, exported.err
        lines = (folder / "moshi/train.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(lines) == 2


@pytest.mark.needs("espeakng_loader")
def test_chain_that_was_pushed_is_taken_as_it_is(pushed: str, tmp_path: Path, dailytalk: Command) -> None:
    assert dailytalk("tag", pushed, "--out", tmp_path / "bob").code == 3  # the reject is one here, too
    assert dailytalk("speak", tmp_path / "bob").code == 0
    published = {row["conversation_id"]: row for row in open_items(pushed).rows()}
    for row in open_items(tmp_path / "bob").rows():
        before = published.pop(row["conversation_id"])
        assert row["audio"]["bytes"] == before["audio"]["bytes"]
        assert row["utterances"] == before["utterances"]
        assert row["provenance"] == "{}"
    assert not published
