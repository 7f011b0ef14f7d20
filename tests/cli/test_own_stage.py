"""A stage in a person's own file runs by command; its fields are lines of run.json and of the report.

That it runs in other processes is seen in tests/test_chain.py.
"""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from command import EMBEDDED, Command
from datasets import Dataset, load_dataset
from huggingface_hub import hf_hub_download
from own_stages import COLUMN_STAGE, OWN_COLUMN, OWN_STAGE, own_file
from recordings import excerpt, save

pytest_plugins = ["hub.hub_fixtures"]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_file(tmp_path, monkeypatch)


@pytest.mark.needs("espeakng_loader")
@pytest.mark.usefixtures("impatient", "hub")
def test_column_of_an_own_stage_is_in_lines_rows_cards_and_versions(
    tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = own_file(tmp_path, monkeypatch, OWN_COLUMN)
    work = tmp_path / "work"
    save(tmp_path / "in/call.wav", excerpt(seconds=9.0))
    build = ("build", tmp_path / "in", "--out", work, *EMBEDDED, "--source-licence", "CC0-1.0", "--stage", file)
    assert dailytalk(*build).code == 0
    for name in ("transcript.jsonl", "transcript_shifted.jsonl"):
        lines = [json.loads(line) for line in (work / name).read_text(encoding="utf-8").splitlines()]
        assert {line["opened_by"] for line in lines} == {"left"}
        assert not any("opened_after" in line for line in lines)
    file.unlink()  # later commands read what it publishes in run.json
    edited = (work / "transcript.jsonl").read_text(encoding="utf-8").replace("So tell me", "Well, tell me", 1)
    (work / "transcript.jsonl").write_text(edited, encoding="utf-8")
    assert dailytalk("speak", work).code == 0
    assert dailytalk("check", work).code == 0
    assert dailytalk("export", work, "--format", "webdataset", "--out", tmp_path / "web").code == 0
    with tarfile.open(next((tmp_path / "web").glob("train-*.tar"))) as shard:
        name = next(name for name in shard.getnames() if name.endswith(".json"))
        whole = json.load(shard.extractfile(name) or io.BytesIO())
    assert whole["opened_by"] == "left"
    after = whole["opened_after"]
    assert 0.5 < after < 1.0
    assert dailytalk("report", work, "--out", tmp_path / "page.html").code == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "whose voice comes first" in page
    assert dailytalk("push", work, "tester/openings", "--create", "--tag", "v1.0.0").code == 0
    version = {"path": "tester/openings", "revision": "v1.0.0", "split": "train"}
    (row,) = load_dataset(**version).remove_columns("audio")
    assert row["opened_by"] == "left"
    assert row["opened_after"] == pytest.approx(after)
    card = Path(hf_hub_download("tester/openings", "README.md", repo_type="dataset", revision="v1.0.0"))
    text = card.read_text(encoding="utf-8")
    assert "| opened_by | whose voice comes first | left (1) |" in text
    assert f"| opened_after | when it comes | mean {after:.4g}, from {after:.4g} to {after:.4g} s |" in text
    assert dailytalk("check", "tester/openings@v1.0.0").code == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (OWN_STAGE.replace('Field("n_words", about="how many words it has")', '"words_n"'), "does not add"),
        (OWN_STAGE.replace("n_words", "vad"), "publishes 'vad'"),
        (OWN_STAGE.replace("STAGES =", "OTHERS =").replace("*STAGES", ""), "defines no STAGES"),
    ],
)
def test_file_whose_stages_can_not_run_is_refused_in_a_sentence(
    text: str | None, reason: str, file: Path, tmp_path: Path, dailytalk: Command
) -> None:
    file.unlink()
    if text:
        file.write_text(text, encoding="utf-8")
    save(tmp_path / "call.wav", excerpt(seconds=2.0))
    done = dailytalk("tag", tmp_path, "--out", tmp_path / "out", "--stage", file)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert reason in done.err
    assert not (tmp_path / "out").exists()


def test_stage_of_the_page_counts_the_same_whether_it_fills_utterances_or_maps_columns() -> None:
    names: dict[str, Any] = {}
    exec(OWN_STAGE.partition("\nif __name__")[0], names)
    filling = names["CountWords"](letters=4)
    exec(COLUMN_STAGE, names)
    mapping = names["CountWords"](letters=4)
    assert type(filling) is not type(mapping)
    calls = Dataset.from_dict({"utterance_id": [["a", "b"], []], "text": [["what a surprise", "no"], []]})
    for stage in (filling, mapping):
        assert stage.map(calls)["n_words"][:] == [[2, 0], []]
        assert stage.map(Dataset.from_dict({"text": ["what a surprise", "no"]}))["n_words"][:] == [2, 0]
