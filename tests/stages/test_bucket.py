"""The bucket stage: per channel within a conversation, with margins, and no row or utterance lost."""

from typing import Any

import pytest
from datasets import Dataset
from stage_calls import columns_after

from dailytalk_contiguous.core.style.buckets import FEATURES, percentile
from dailytalk_contiguous.stages.style import Bucket


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
    made = columns_after(Bucket(), batch)
    labels = ["LOW", "LOW", "MID", "MID", "HIGH", "HIGH"]
    assert made["energy_bucket"] == [labels * 2]


@pytest.mark.parametrize(("feature", "column"), FEATURES.items())
def test_each_bucket_comes_from_its_own_measure(feature: str, column: str) -> None:
    flat = conversation([1.0] * 6, [], **{feature: QUIET})
    made = columns_after(Bucket(), batch_of(flat))
    expected = percentile(QUIET, feature)
    assert made[column] == [expected.labels]
    for other in FEATURES.values():
        if other != column:
            assert made[other] == [["MID"] * 6]
