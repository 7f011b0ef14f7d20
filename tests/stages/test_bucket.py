"""The bucket stage: per channel within a conversation, with margins, and no row or utterance lost."""

from typing import Any

import pytest
from datasets import Dataset

from dailytalk_contiguous.core.records.conversation import from_row
from dailytalk_contiguous.core.style.buckets import FEATURES, percentile
from dailytalk_contiguous.stages.style import Bucket, corpus_of


def conversation(left: list[float], right: list[float], **columns: list[float | None]) -> dict[str, Any]:
    """Every measure is the same: those of the left channel, then those of the right."""
    values = [*left, *right]
    row: dict[str, Any] = {name: list(values) for name in FEATURES}
    row["utterance_id"] = [f"u{index}" for index in range(len(values))]
    row["channel"] = ["left"] * len(left)
    row["channel"] += ["right"] * len(right)
    return row | columns


def batch_of(*rows: dict[str, Any]) -> dict[str, list[Any]]:
    return Dataset.from_list(list(rows)).to_dict()


QUIET = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
LOUD = [10 * value for value in QUIET]


def test_a_loud_speaker_does_not_make_the_other_quiet() -> None:
    batch = batch_of(conversation(QUIET, LOUD))
    made = Bucket()(batch)
    labels = ["LOW", "LOW", "MID", "MID", "HIGH", "HIGH"]
    assert made["energy_bucket"] == [labels * 2]


@pytest.mark.parametrize(("feature", "column"), FEATURES.items())
def test_each_bucket_comes_from_its_own_measure(feature: str, column: str) -> None:
    flat = conversation([1.0] * 6, [], **{feature: QUIET})
    made = Bucket()(batch_of(flat))
    expected = percentile(QUIET, feature)
    assert made[column] == [expected.labels]
    for other in FEATURES.values():
        if other != column:
            assert made[other] == [["MID"] * 6]


def test_robust_runs_with_the_statistics_of_a_corpus() -> None:
    rows = [
        conversation(QUIET, LOUD),
        conversation([], []),
        conversation(LOUD, [1.0]),
    ]
    unfitted = Bucket(preset="robust")
    stage = unfitted.fit(iter(rows))
    assert unfitted.unfitted is True
    assert stage.unfitted is False
    assert Bucket().unfitted is False
    corpus = corpus_of(map(from_row, rows))
    assert stage == Bucket(preset="robust", corpus=corpus)
    usual = conversation([20.0] * 6, [])
    flat = stage(batch_of(usual))
    (labels,) = flat["energy_bucket"]
    assert set(labels) == {"MID"}
    loud_once = conversation([20.0] * 8 + [500.0], [])
    extreme = stage(batch_of(loud_once))
    (labels,) = extreme["energy_bucket"]
    assert labels[-1] == "HIGH"
