"""Lists of stages decide what is done with a clip, the plan which are kept, copied and split how."""

import json
from pathlib import Path
from typing import Any

from corpus_trees import put, table
from spoken_corpora import rows_of, run, spec_of, spoken

from dailytalk_contiguous.apps.clips.clip_run import OPTIONS
from dailytalk_contiguous.run.run import run as run_spec

#: Names of MSP-Podcast by their official split.
SETS = {"MSP-PODCAST_0001_0001": "Train", "MSP-PODCAST_0002_0001": "Development", "MSP-PODCAST_0003_0001": "Test1"}


def record(out: Path) -> dict[str, Any]:
    text = (out / "run.json").read_text(encoding="utf-8")
    saved: dict[str, Any] = json.loads(text)
    return saved


def msp_podcast(root: Path) -> Path:
    columns = ["FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set"]
    lines = [[f"{name}.wav", "N", 2, 4, 3, name[-9:-5], "Male", split] for name, split in SETS.items()]
    files = {f"Audios/{name}.wav": spoken(number) for number, name in enumerate(SETS)}
    files |= {f"Transcripts/{name}.txt": b"So it goes." for name in SETS}
    files["Labels/labels_consensus.csv"] = table(columns, *lines)
    return put(root, files)


def test_corpus_is_divided_as_it_divides_itself_unless_another_way_is_chosen(tmp_path: Path) -> None:
    source = msp_podcast(tmp_path / "in")
    out = tmp_path / "out"
    spec = spec_of(source, out, "msp_podcast")
    run_spec(spec, OPTIONS)
    assert record(out)["counts"]["clips"] == 2
    splits = {name: row["split"] for name, row in rows_of(out, ["split"]).items()}
    assert splits == {
        "msp_podcast/MSP-PODCAST_0001_0001": "train",
        "msp_podcast/MSP-PODCAST_0002_0001": "validation",
    }
    assert record(out)["settings"]["split_by"] == "official"
    assert record(out)["counts"]["rejects_by_stage"] == {"Split": 1}
    run(source, out, name="msp_podcast", split_by="speakers")
    assert len(rows_of(out, [])) == 3
