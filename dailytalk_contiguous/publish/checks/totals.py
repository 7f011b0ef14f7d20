"""The number of voices in a dataset, for the totals that the report and `check` show first."""

from dailytalk_contiguous.core.records import figures
from dailytalk_contiguous.core.records.tables import Tables


def numbers_of_voices(tables: Tables) -> dict[str, int]:
    """Return how many voices are known by name: `recorded` people, and `new` voices; without zeros."""
    speakers = {*figures.splits_of_speakers(tables), *tables.conversations["speaker"].dropna()}
    new_voices = figures.hours_of(tables, "voices")
    numbers = {"recorded": len(speakers), "new": len(new_voices)}
    return {kind: number for kind, number in numbers.items() if number}
