"""The bucket stage: per channel within a conversation, with margins, and no row or utterance lost."""

from typing import Any

import pytest

from dailytalk_contiguous.core.buckets import FEATURES, percentile
from dailytalk_contiguous.stages.style import Bucket, corpus_of


def conversation(left: list[float], right: list[float], **columns: list[float | None]) -> dict[str, Any]:
    """Every measure is the same: those of the left channel, then those of the right."""
    values = [*left, *right]
    channels = ["left"] * len(left) + ["right"] * len(right)
    row: dict[str, Any] = {name: list(values) for name in FEATURES}
    row |= {"utterance_id": [f"u{place}" for place in range(len(values))], "channel": channels}
    return row | columns


def batch_of(*rows: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


QUIET = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
LOUD = [10 * value for value in QUIET]


def test_a_loud_speaker_does_not_make_the_other_quiet() -> None:
    made = Bucket()(batch_of(conversation(QUIET, LOUD)))
    assert made["energy_bucket"] == [["LOW", "LOW", "MID", "MID", "HIGH", "HIGH"] * 2]


@pytest.mark.parametrize(("feature", "column"), FEATURES.items())
def test_each_bucket_comes_from_its_own_measure(feature: str, column: str) -> None:
    flat = conversation([1.0] * 6, [], **{feature: QUIET})
    made = Bucket()(batch_of(flat))
    assert made[column] == [percentile(QUIET, feature).labels]
    assert all(made[other] == [["MID"] * 6] for other in FEATURES.values() if other != column)


def test_robust_runs_with_the_statistics_of_a_corpus() -> None:
    rows = [conversation(QUIET, LOUD), conversation([], []), conversation(LOUD, [1.0])]
    unfitted = Bucket(preset="robust")
    stage = unfitted.fit(iter(rows))
    assert (unfitted.unfitted, stage.unfitted, Bucket().unfitted) == (True, False, False)
    assert stage == Bucket(preset="robust", corpus=corpus_of(iter(rows)))
    flat = stage(batch_of(conversation([20.0] * 6, [])))
    assert set(flat["energy_bucket"][0]) == {"MID"}
    extreme = stage(batch_of(conversation([20.0] * 8 + [500.0], [])))
    assert extreme["energy_bucket"][0][-1] == "HIGH"
