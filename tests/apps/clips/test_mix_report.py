from pathlib import Path

import pytest
from built_conversations import built_row, write_dataset
from finished_corpora import clip_row, corpus_folder
from reports import write_report

from dailytalk_contiguous.apps.clips.clip_figures import corpus_figures
from dailytalk_contiguous.apps.clips.mixture import Settings, mix_folders
from dailytalk_contiguous.core.records.figures import sums
from dailytalk_contiguous.publish.opening import open_items

CITATION = "Doe J (2020). Acted."


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Clips, of which those that train are listed twice, and four conversations, of which one evaluates."""
    trained = [clip_row("s1-0", "happy"), clip_row("s1-1", "sad")]
    evaluated = clip_row("s2-0", "sad", split="validation")
    about = {"name": "acted", "licence": "CC-BY-4.0", "citation": CITATION, "homepage": "https://a.org"}
    acted = corpus_folder(tmp_path / "acted", [*trained, evaluated], {"corpus": about})
    calls = [built_row(f"call{n}", kept_speaker=f"p{n}") for n in range(4)]
    talks = write_dataset(tmp_path / "talks", calls)
    out = tmp_path / "out"
    mix_folders([(acted, 4.0), (talks, 18.0)], out, Settings(hours=22 / 3600))
    return out


def test_hours_are_told_by_corpus_and_label_as_often_as_they_are_listed(mixed: Path) -> None:
    tables = corpus_figures(open_items(mixed)).tables

    def row(label: str, name: str) -> list[float]:
        total = sums(tables, label).loc[name]
        return [round(total.seconds, 2), total.conversations, round(total.seen, 2)]

    assert row("corpus", "acted") == [3.0, 3, 4.0]
    assert row("corpus", "talks") == [24.0, 4, 18.0]
    assert row("emotion", "happy") == [1.0, 1, 2.0]
    assert row("split", "validation") == [7.0, 2, 0.0]


def test_it_says_whose_work_it_is_and_who_is_not_named(mixed: Path) -> None:
    text = write_report(mixed).path.read_text(encoding="utf-8")
    assert '<a href="https://a.org"' in text
    assert CITATION in text
    assert "<td>talks</td><td>unknown</td><td>unknown</td>" in text
