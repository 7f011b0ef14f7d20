"""What a folder would take away from the newest version, which others have published since its base."""

from pathlib import Path

from datasets import Features
from versions_on_disk import Row, row, write_version

from dailytalk_contiguous.core.records.schema import published_features
from dailytalk_contiguous.publish.hub.divergence import diverged
from dailytalk_contiguous.publish.version import Version, open_version

#: A column that an older package did not publish.
NEWER = "uncovered_sound"

UNCOVERED = [{"channel": "left", "start": 1.0, "end": 2.5}]


def version(folder: Path, rows: list[Row], lacks: str = "") -> Version:
    columns = published_features("conversations", 24000)
    features = Features({name: feature for name, feature in columns.items() if name != lacks})
    return open_version(write_version(folder, {"train": [rows]}, features=features, tag="v1.0.0"))


def test_values_of_a_column_that_the_base_lacks_are_not_taken_away_by_an_older_folder(tmp_path: Path) -> None:
    base = version(tmp_path / "base", [row("call0"), row("call1")], lacks=NEWER)
    head = version(tmp_path / "head", [row("call0", uncovered_sound=UNCOVERED), row("call1")])
    ours = version(tmp_path / "ours", [row("call0"), row("call1")])
    divergence = diverged([base], head, ours)
    assert divergence.reverted == ["call0"]
    assert divergence.lost_columns == {}


def test_column_of_the_head_that_a_folder_lacks_is_lost_by_name(tmp_path: Path) -> None:
    rows = [row("call0"), row("call1")]
    base = version(tmp_path / "base", rows, lacks=NEWER)
    head = version(tmp_path / "head", rows)
    ours = version(tmp_path / "ours", rows, lacks=NEWER)
    divergence = diverged([base], head, ours)
    assert divergence.lost_columns == {"conversations": [NEWER]}
    assert divergence.reverted == []


def test_column_that_the_folder_adds_reverts_nothing(tmp_path: Path) -> None:
    base = version(tmp_path / "base", [row("call0")], lacks=NEWER)
    head = version(tmp_path / "head", [row("call0", duration=5.0)], lacks=NEWER)
    ours = version(tmp_path / "ours", [row("call0", duration=5.0, uncovered_sound=UNCOVERED)])
    assert not diverged([base], head, ours).takes_away


def test_conversations_that_others_added_and_removed_are_reverted_by_an_older_folder(tmp_path: Path) -> None:
    base = version(tmp_path / "base", [row("call0"), row("call1")])
    head = version(tmp_path / "head", [row("call0"), row("call2")])
    ours = version(tmp_path / "ours", [row("call0"), row("call1")])
    assert diverged([base], head, ours).reverted == ["call1", "call2"]
