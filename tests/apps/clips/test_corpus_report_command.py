from pathlib import Path

import pytest
from command import Command
from finished_corpora import clip_row, corpus_folder, measures


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rows = [clip_row(f"s{n}-{emotion}", emotion, 0.3) for emotion in ("happy", "sad") for n in range(4)]
    measured = [measures()] * 8
    return corpus_folder(tmp_path / "work", rows, measured=measured)


def test_report_knows_a_corpus(dailytalk: Command, corpus: Path) -> None:
    done = dailytalk("report", corpus)
    assert done.code == 0
    assert done.err == ""
    assert "8 of 8 clips can be heard" in done.out
    assert "lacks to 30 minutes" in (corpus / "report.html").read_text(encoding="utf-8")
