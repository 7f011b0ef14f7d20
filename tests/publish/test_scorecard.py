"""What a dataset teaches beside other corpora: in check, report and card, and in corpus-stats.json."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from built_conversations import built_row, write_dataset
from command import Command
from published_folder import write_published
from reports import write_report

from dailytalk_contiguous.core.records.figures import corpus_stats
from dailytalk_contiguous.core.records.scorecard import comparisons_of, reference_of
from dailytalk_contiguous.core.records.tables import Tables
from dailytalk_contiguous.publish.item_tables import tables_of
from dailytalk_contiguous.publish.opening import open_items

#: A minute in which the right side says mm-hm four times into the left one's speech, and the left one never.
SILENT_PARTNER = [
    ("left", 0.0, 20.0, "I tell you all of it. " * 8),
    *(("right", start, start + 0.5, "Mm-hm.") for start in (3.0, 7.0, 11.0, 15.0)),
    ("right", 20.5, 40.5, "And I tell you more. " * 8),
    ("left", 41.0, 60.0, "So that is that, I say. " * 8),
]


def talks(folder: Path, lines: Any = SILENT_PARTNER, n: int = 3) -> Path:
    rows = [built_row(f"call{number}", lines, 60.0, 8000) for number in range(n)]
    return write_dataset(folder, rows)


def tables_in(folder: Path) -> Tables:
    return tables_of(open_items(folder))


def test_a_value_is_beside_a_distribution_and_beside_a_single_value(tmp_path: Path) -> None:
    compared = {}
    for result in comparisons_of(tables_in(talks(tmp_path)).rebuilt):
        compared[result.reference.name, result.band.measure, result.side] = result
    floor = compared["Open Yap 1K", "floor_share", "left"]
    assert floor.value == pytest.approx(39 / 61)
    assert floor.where == "inside"
    assert compared["Open Yap 1K", "overlap_share", "both"].where == "inside"
    silent = compared["Human-1", "backchannels", "left"]
    assert silent.value == 0.0
    assert silent.where == "below"
    assert silent.is_remarkable is True
    assert "mm-hm" in silent.sentence()
    partner = compared["Human-1", "backchannels", "right"]
    assert partner.value == 4.0
    assert partner.where == "above"
    avoided = compared["DuplexDrama", "interruption_share", "both"]
    assert avoided.value == 0.0
    assert avoided.is_remarkable is True
    assert not compared["DuplexDrama", "backchannel_share", "both"].is_remarkable


def test_check_compares_and_judges_as_before(tmp_path: Path, dailytalk: Command) -> None:
    work = talks(tmp_path / "work")
    done = dailytalk("check", work, "--json")
    checked = json.loads(done.out)
    measures = checked["facts"]["measures"]
    facts = {(fact["corpus"], fact["measure"], fact["side"]): fact for fact in measures}
    backchannels = facts["Human-1", "backchannels", "left"]
    assert backchannels["where"] == "below"
    assert "hardly learn" in backchannels["note"]
    assert checked["verdict"]["level"] == "good"
    short = dailytalk("check", work).out
    assert "hardly learn" not in short
    assert len(short.splitlines()) < 14
    text = dailytalk("check", work, "--verbose").out
    assert re.search(r"backchannels +left +0 a minute +below .*Human-1", text)


def shifted(name: str, seconds: float) -> dict[str, Any]:
    """The conversation of a silent partner, later by some seconds."""
    lines = [(side, start + seconds, end + seconds, text) for side, start, end, text in SILENT_PARTNER]
    return built_row(name, lines)


def test_the_same_conversations_give_the_same_bytes_whatever_their_order(tmp_path: Path) -> None:
    rows = [shifted(f"call{n}", n / 7) for n in range(9)]
    in_order = write_dataset(tmp_path / "0", rows)
    mixed = write_dataset(tmp_path / "1", rows[4:], rows[:4])
    written = json.dumps(corpus_stats(tables_in(in_order)))
    assert json.dumps(corpus_stats(tables_in(mixed))) == written
    stats = json.loads(written)
    assert stats["conversations"] == 9
    backchannels = stats["timelines"]["rebuilt"]["backchannels"]["right"]
    assert backchannels.pop("conversations") == 9
    assert backchannels.keys() == {"pooled", "p5", "p25", "p50", "p75", "p95"}
    for share in backchannels.values():
        assert share == pytest.approx(40)


def test_against_takes_a_file_a_work_folder_and_a_version(tmp_path: Path, dailytalk: Command) -> None:
    work = talks(tmp_path / "work")
    other = talks(tmp_path / "other", n=1)
    version = write_published(tmp_path / "version")
    stats = json.dumps(corpus_stats(tables_in(other)))
    file = tmp_path / "stats.json"
    for path in (file, other / "corpus-stats.json", version / "corpus-stats.json"):
        path.write_text(stats)
    for against in (file, other, version):
        done = dailytalk("check", work, "--against", against, "--json")
        measures = json.loads(done.out)["facts"]["measures"]
        named = [fact for fact in measures if fact["corpus"].endswith(f"/{against.name}")]
        assert {fact["measure"] for fact in named} > {"speech", "turn_length", "offset_p95", "takes_over"}
        assert {fact["where"] for fact in named} == {"inside"}  # the same conversations
        page = tmp_path / "page.html"
        done = dailytalk("report", work, "--against", against, "--out", page)
        assert done.code == 0
        assert f"/{against.name}" in page.read_text(encoding="utf-8")
    done = dailytalk("report", version, "--against", file, "--out", tmp_path / "page.html")
    assert done.code == 0


@pytest.mark.parametrize(
    ("stats", "sentence"),
    [
        ("{", "JSON"),
        ('{"timelines": {"source": {"gap": {"left": {"p50": "<b>"}}}}}', "Expected `float | null`, got `str`"),
    ],
)
def test_a_file_that_says_nothing_usable_is_refused_in_one_sentence(
    tmp_path: Path, dailytalk: Command, stats: str, sentence: str
) -> None:
    work = talks(tmp_path / "work", n=1)
    file = tmp_path / "stats.json"
    file.write_text(stats)
    for command in (("check", work), ("report", work, "--out", tmp_path / "page.html")):
        done = dailytalk(*command, "--against", file)
        assert done.code == 1
        assert sentence in done.err
    assert not (tmp_path / "page.html").exists()


def test_names_in_another_ones_file_stay_text(tmp_path: Path) -> None:
    stats = corpus_stats(tables_in(talks(tmp_path / "work")))
    reference = reference_of(stats, "<b>other</b>")
    page = write_report(tmp_path / "work", shown=0, reference=reference).path.read_text(encoding="utf-8")
    assert "<b>other" not in page
    assert "&lt;b&gt;other" in page or "&#60;b" in page
