"""What is read of a run.json or mix.json that somebody else may have written."""

from typing import Any

import pytest

from dailytalk_contiguous.core.records.run_record import RunRecord


@pytest.mark.parametrize("sources", [None, [], [{}], [{"name": None, "licence": "cc-by-4.0"}], [{"nom": "Anna"}]])
def test_a_folder_of_a_mix_that_names_nobody_is_credited_by_its_own_name(sources: list[Any] | None) -> None:
    record = RunRecord.from_json({"sources": {"calls": sources, "clips": [{"name": "CREMA-D"}]}})
    assert [credit.name for credit in record.credits] == ["calls", "CREMA-D"]


@pytest.mark.parametrize("value", [None, 3, "few", [3], {"spent": [3]}, 10**400, float("nan")])
def test_a_fact_of_another_type_counts_as_missing_and_the_others_are_read(value: object) -> None:
    record = RunRecord.from_json(
        {"speak": {"money": value, "models": value, "date": "2026-11-30"}, "counts": value}
    )
    assert record == RunRecord.from_json({"speak": {"date": "2026-11-30"}})
