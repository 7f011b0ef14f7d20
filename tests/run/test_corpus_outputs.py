from collections import Counter, defaultdict
from pathlib import Path

import pytest
from recordings import read_lines
from spoken_corpora import crema_d, rows_of, run

from dailytalk_contiguous.core.records.figures import sums
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.exports.training_folder import MANIFESTS
from dailytalk_contiguous.publish.item_tables import tables_of
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.store.files import file_name


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crema_d(tmp_path_factory.mktemp("corpus") / "in")


def test_repetitions_reach_the_target_in_run_json_in_the_report_and_in_the_manifest(
    source: Path, tmp_path: Path
) -> None:
    outcome = run(source, tmp_path, balance=True, target_minutes=0.3)
    assert outcome.record is not None
    after = outcome.record["balance"]["minutes_after"]
    manifest = read_lines(tmp_path / "data" / MANIFESTS["train"])
    clips = rows_of(tmp_path, ["duration", "labels"])
    seconds = {file_name(name): from_finished(row).own_seconds for name, row in clips.items()}
    minutes: dict[str, float] = defaultdict(float)
    for line in manifest:
        clip = Path(str(line["path"])).stem
        minutes[str(line["emotion"])] += seconds[clip] / 60
    assert after == pytest.approx(minutes, abs=0.001)
    # A handful of clips can't do better than half of one.
    half_a_clip = max(seconds.values()) / 120
    target = {"angry": 0.3, "happy": 0.3, "neutral": 0.3}
    assert after == pytest.approx(target, abs=half_a_clip)
    figures = sums(tables_of(open_items(tmp_path)), "emotion")
    seen = (figures["seen"] / 60).to_dict()
    assert seen == pytest.approx(after, abs=0.001)
    weights = {}
    for name, row in clips.items():
        labels = row["labels"]
        if labels["split"] == "train":
            weights[f"data_stereo/{file_name(name)}.wav"] = labels["weight"]
    assert weights == Counter(line["path"] for line in manifest)
    findings, _ = check_folder(tmp_path)
    assert [finding for finding in findings if finding.level == "error"] == []
