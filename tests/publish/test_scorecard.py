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

from dailytalk_contiguous.core.figures import corpus_stats
from dailytalk_contiguous.core.scorecard import compare, published_references, reference_of
from dailytalk_contiguous.core.tables import Tables
from dailytalk_contiguous.publish.opening import open_items

#: A minute in which the right side says mm-hm four times into the left one's speech, and the left one never.
SILENT_PARTNER = [
    ("left", 0.0, 20.0, "I tell you all of it. " * 8),
    *(("right", start, start + 0.5, "Mm-hm.") for start in (3.0, 7.0, 11.0, 15.0)),
    ("right", 20.5, 40.5, "And I tell you more. " * 8),
    ("left", 41.0, 60.0, "So that is that, I say. " * 8),
]


def talks(folder: Path, lines: Any = SILENT_PARTNER, n: int = 3) -> Path:
    return write_dataset(folder, [built_row(f"call{number}", lines, 60.0, 8000) for number in range(n)])


def tables_in(folder: Path) -> Tables:
    return open_items(folder).tables()


def test_a_value_is_beside_a_distribution_and_beside_a_single_value(tmp_path: Path) -> None:
    found = {
        (place.reference.name, place.band.measure, place.side): place
        for place in compare(tables_in(talks(tmp_path)).rebuilt, [*published_references().values()])
    }
    floor = found["Open Yap 1K", "floor_share", "left"]
    assert floor.value == pytest.approx(39 / 61)
    assert floor.where == "inside"
    assert found["Open Yap 1K", "overlap_share", "both"].where == "inside"
    silent, partner = (found["Human-1", "backchannels", side] for side in ("left", "right"))
    assert (silent.value, silent.where, silent.is_remarkable) == (0.0, "below", True)
    assert (partner.value, partner.where) == (4.0, "above")
    assert "mm-hm" in silent.sentence()
    avoided = found["DuplexDrama", "interruption_share", "both"]
    assert (avoided.value, avoided.is_remarkable) == (0.0, True)
    assert not found["DuplexDrama", "backchannel_share", "both"].is_remarkable


def test_check_compares_and_judges_as_before(tmp_path: Path, dailytalk: Command) -> None:
    work = talks(tmp_path / "work")
    done = dailytalk("check", work, "--json")
    facts = {
        (fact["corpus"], fact["measure"], fact["side"]): fact for fact in json.loads(done.out)["facts"]["measures"]
    }
    assert facts["Human-1", "backchannels", "left"]["where"] == "below"
    assert "hardly learn" in facts["Human-1", "backchannels", "left"]["note"]
    assert json.loads(done.out)["verdict"]["level"] == "good"
    short = dailytalk("check", work).out
    assert "hardly learn" not in short
    assert len(short.splitlines()) < 12
    text = dailytalk("check", work, "--verbose").out
    assert re.search(r"backchannels +left +0 a minute +below .*Human-1", text)


def test_the_same_conversations_give_the_same_bytes_whatever_their_order(tmp_path: Path) -> None:
    rows = [
        built_row(f"call{n}", [(c, s + n / 7, e + n / 7, t) for c, s, e, t in SILENT_PARTNER]) for n in range(9)
    ]
    told = []
    for shards in ([rows], [rows[4:], rows[:4]]):
        folder = write_dataset(tmp_path / str(len(told)), *shards)
        told.append(json.dumps(corpus_stats(tables_in(folder))))
    assert told[0] == told[1]
    stats = json.loads(told[0])
    assert stats["conversations"] == 9
    backchannels = stats["timelines"]["rebuilt"]["backchannels"]
    assert backchannels["right"] == {"conversations": 9, "pooled": pytest.approx(40)} | {
        f"p{share}": pytest.approx(40) for share in (5, 25, 50, 75, 95)
    }


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
        assert dailytalk("report", work, "--against", against, "--out", page).code == 0
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
        assert (done.code, sentence in done.err) == (1, True)
    assert not (tmp_path / "page.html").exists()


def test_names_in_another_ones_file_stay_text(tmp_path: Path) -> None:
    stats = corpus_stats(tables_in(talks(tmp_path / "work")))
    reference = reference_of(stats, "<b>other</b>")
    page = write_report(tmp_path / "work", shown=0, reference=reference).path.read_text(encoding="utf-8")
    assert "<b>other" not in page
    assert "&lt;b&gt;other" in page or "&#60;b" in page
