import base64
import io
import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from finished_corpora import clip_row, corpus_folder, measures

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.core.schema import LABELLED
from dailytalk_contiguous.core.tally import Tally
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.items import open_items
from dailytalk_contiguous.publish.page import spread_over, write_report
from dailytalk_contiguous.publish.sections import MEASURES, CorpusFigures, QualityTally
from dailytalk_contiguous.publish.verdict import FitnessLimits

HOSTILE = "<b>&\"'</script></svg>é|`"

CORPUS = {"name": "acted", "licence": "CC-BY-4.0", "citation": "Doe J (2020). Acted.", "homepage": "https://a.org"}

RUN: dict[str, Any] = {
    "settings": {"min_snr": 20.0, "max_seconds": None},
    "balance": {"minutes_before": {"happy": 45.0, "sad": 10.0}},
}


def rows() -> list[dict[str, Any]]:
    return [
        clip_row("s1-0", "happy", 2.0, weight=3.0),
        clip_row("s1-1", "sad", 1.0, sentence_type="interrogative"),
        clip_row("s1-1-pitch", "sad", 1.0, augmented_from="acted/s1-1", augmentation=None),
        clip_row("s2-0", "sad", 4.0, split="validation", gender="male", licence="ODbL-1.0"),
        clip_row("s2-1", None, 1.0, style=None, gender=None, licence=None),
    ]


def page(folder: Path, **options: Any) -> str:
    text = write_report(folder, **options).path.read_text(encoding="utf-8")
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(drawing)
    return text


def tally() -> Tally:
    found = Tally()
    for row in rows():
        found.add(row)
    return found


def test_hours_recorded_and_seen_are_told_apart() -> None:
    found = tally()
    assert (found.total.conversations, found.total.copies, found.total.seconds) == (4, 1, 8.0)
    # Three times 2 s, the sad clip and its copy, and the one without an emotion; validation is not seen.
    assert found.total.seen == 3 * 2.0 + 1.0 + 1.0 + 1.0
    sad = found.by["emotion"]["sad"]
    assert (sad.conversations, sad.copies, sad.seconds, sad.seen) == (2, 1, 5.0, 2.0)
    assert found.training == {"happy": 2.0, "sad": 1.0, "unknown": 1.0}


def test_speakers_are_known_with_the_splits_in_which_they_are_heard() -> None:
    assert tally().splits_of == {"acted/s1": {"train"}, "acted/s2": {"train", "validation"}}


def test_what_a_corpus_does_not_tell_is_counted_as_that() -> None:
    found = tally()
    assert {name: found.by[name]["unknown"].conversations for name in ("emotion", "style", "gender")} == {
        "emotion": 1,
        "style": 1,
        "gender": 1,
    }


def test_what_is_missing_is_counted_from_what_could_train() -> None:
    figures = CorpusFigures(tally(), before={"happy": 2700.0, "sad": 600.0})
    found = {one.emotion: one for one in figures.shortfalls()}
    assert set(found) == {"sad"}
    assert found["sad"].seconds == 1200.0
    assert found["sad"].to_record().startswith("sad lacks 20.0 minutes of recordings: record ")


def test_quality_is_counted_against_each_limit_and_against_all() -> None:
    found = QualityTally(QualityLimits(lowest_snr_db=20.0))
    for row in (
        measures(),
        measures(snr_db=12.0, bandwidth_hz=4000.0),
        measures(snr_db=None),
        measures(duration=40.0),
    ):
        found.add(row)
    assert (found.measured, found.refused) == (4, 2)
    assert found.outside == {name: int(name in ("snr_db", "bandwidth_hz", "duration")) for name in MEASURES}
    assert {name: found.measured - bins.n for name, bins in found.bins.items() if bins.n < 4} == {"snr_db": 1}
    assert found.bins["duration"].counts == {4: 3, 63: 1}  # what lies beyond the axis is in its last bin


@pytest.mark.parametrize("name", MEASURES)
def test_measure_at_or_beyond_an_end_of_its_axis_is_in_the_bin_at_that_end(name: str) -> None:
    found, one = QualityTally(), MEASURES[name]
    low, high, width = one.axis.low, one.axis.high, one.bin_width
    for value in (low - 2 * width, low, low + 1.5 * width, high - 1.5 * width, high, high + 2 * width):
        found.add(measures(**{name: value / one.factor}))
    places = {low: 2, low + width: 1, high - 2 * width: 1, high - width: 2}
    assert found.bins[name].counts == {round(edge / width): count for edge, count in places.items()}


def test_limits_are_drawn_where_they_are(tmp_path: Path) -> None:
    folder = corpus_folder(tmp_path, rows(), RUN, measured=[measures(), measures(snr_db=15.0)])
    text = page(folder)
    card = re.search(r"<h3>Signal-to-noise ratio of 2 clips</h3>(.*?)</article>", text, re.DOTALL)
    assert card
    assert card[1].count('class="limit"') == 1
    limit = re.search(r"<td>signal-to-noise ratio</td>(.*?)</tr>", text)
    assert limit
    assert re.findall(">([^<]+)<", limit[1]) == ["at least 20 dB", "1", "50 %", "0"]
    length = re.search(
        r"<h3>Length of 2 clips</h3>\s*<svg(?:(?!</article>).)*length \(s\).*?</article>", text, re.DOTALL
    )
    assert length
    assert length[0].count('class="limit"') == 1  # the run set no longest


def test_a_folder_that_was_only_measured_has_its_plots(tmp_path: Path) -> None:
    folder = corpus_folder(tmp_path, [], measured=[measures(), measures(snr_db=5.0)])
    assert open_items(folder).kind == "measured"
    text = page(folder)
    assert "1 beyond a limit of quality" in text
    assert text.count("<h2>") == 2  # quality, and what was rejected


def test_the_page_says_what_is_missing_and_what_was_rejected(tmp_path: Path) -> None:
    reject = {
        "id": "a.wav",
        "stage": "Quality",
        "reason": "it is 0.10 s long (at least 0.50 s)",
        "remedy": "leave it out",
    }
    text = page(corpus_folder(tmp_path, rows(), RUN, [reject]))
    assert re.search(r"<td>sad</td><td[^>]*>10.0 min</td><td[^>]*>0.0 min</td><td[^>]*>20.0 min</td>", text)
    assert "<td>Quality</td><td>it is under 0.50 s long</td>" in text
    assert "<td>ODbL-1.0</td>" in text


def test_twenty_samples_are_spread_over_emotions_and_can_be_heard(tmp_path: Path) -> None:
    many = [clip_row(f"s{n}-{emotion}", emotion, 0.2) for emotion in ("happy", "sad", "angry") for n in range(12)]
    text = page(corpus_folder(tmp_path, many))
    sounds = re.findall(r'aria-label="Listen to acted/s\d+-(\w+)" src="data:audio/mpeg;base64,([^"]+)"', text)
    assert sorted(emotion for emotion, _ in sounds) == ["angry"] * 7 + ["happy"] * 7 + ["sad"] * 6
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sounds[0][1])))
    assert rate == 24000
    assert samples.ndim == 1


def test_samples_do_not_hang_on_the_order_of_the_rows() -> None:
    told = [
        {"id": f"{n}", "emotion": "ab"[n % 2], "style": None, "speaker": f"s{n % 3}", "augmented_from": None}
        for n in range(20)
    ]
    assert spread_over(told, 7, 4) == spread_over(told[::-1], 7, 4)
    assert spread_over(told, 7, 4) != spread_over(told, 7, 5)


def test_text_of_the_data_stays_text(tmp_path: Path) -> None:
    hostile = clip_row("s1-0", "happy", speaker=HOSTILE, text=HOSTILE, style=HOSTILE, licence=HOSTILE)
    reject = {"id": HOSTILE, "stage": HOSTILE, "reason": HOSTILE, "remedy": HOSTILE}
    run = {"corpus": dict.fromkeys(CORPUS, HOSTILE)}
    text = page(corpus_folder(tmp_path, [hostile], run, [reject]), markdown=tmp_path / "summary.md")
    assert '<b>&"' not in text
    assert text.count("</script>") == 1
    assert "<b>" not in (tmp_path / "summary.md").read_text(encoding="utf-8")


def test_the_summary_is_tables_of_markdown(tmp_path: Path) -> None:
    folder = corpus_folder(tmp_path, rows(), RUN, measured=[measures()])
    write_report(folder, markdown=tmp_path / "summary.md")
    text = (tmp_path / "summary.md").read_text(encoding="utf-8")
    for fact in ("| clips | 4 | 8.0 s recorded |", "| seen in training | 9.0 s |", "| copies | 1 | augmented,"):
        assert fact in text
    assert "| sad | 2 | 1 | 5.0 s | 2.0 s |" in text
    assert "| sad | 10.0 min | 0.0 min | 20.0 min |" in text
    assert text.count("What helps: another corpus") == 1
    assert "| signal-to-noise ratio | at least 20 dB | 0 | 0 % | 0 |" in text
    for block in text.split("\n\n"):
        lines = block.splitlines()
        assert len({line.count("|") for line in lines}) == 1


def test_page_and_summary_name_the_authors_of_the_corpus(tmp_path: Path) -> None:
    folder = corpus_folder(tmp_path, rows(), {"corpus": CORPUS})
    text = page(folder, markdown=tmp_path / "summary.md")
    assert '<td><a href="https://a.org">acted</a></td><td>CC-BY-4.0</td><td>Doe J (2020). Acted.</td>' in text
    assert "| [acted](https://a.org) | CC-BY-4.0 | Doe J (2020). Acted. |" in (tmp_path / "summary.md").read_text()


def test_a_home_page_that_is_no_address_of_the_web_is_no_link(tmp_path: Path) -> None:
    folder = corpus_folder(tmp_path, rows(), {"corpus": CORPUS | {"homepage": "javascript:alert(1)"}})
    text = page(folder)
    assert "javascript:" not in text
    assert "<td>acted</td><td>CC-BY-4.0</td>" in text


def test_what_a_licence_asks_for_is_said_in_the_same_words(tmp_path: Path) -> None:
    text = page(corpus_folder(tmp_path, rows()), markdown=tmp_path / "summary.md")
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    said = "what follows from it only under the same terms; its author to be named"
    assert f"<td>{said}</td>" in text
    assert f"| ODbL-1.0 | 1 | 4.0 s | {said} |" in summary
    assert "<td><b>see its terms</b></td>" in text
    assert "| unknown | 1 | 1.0 s | **see its terms** |" in summary


def test_a_speaker_that_nobody_tells_is_not_counted(tmp_path: Path) -> None:
    text = page(corpus_folder(tmp_path, [clip_row("s1-0"), clip_row("s2-0", speaker=None)]))
    assert "<dt>speakers</dt><dd>1</dd>" in text


def test_a_folder_without_shards_is_no_corpus(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    with pytest.raises(DailytalkError, match="holds no finished conversations"):
        open_items(tmp_path)


def test_a_damaged_shard_is_told_of(tmp_path: Path) -> None:
    folder = corpus_folder(tmp_path, rows())
    shard = folder / "clips/shard-0.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(DailytalkError, match="can't be read"):
        write_report(folder)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"duration": None}, "its duration is None, no length in seconds"),
        ({"weight": math.nan}, "its weight is nan"),
        ({"weight": -1.0}, "its weight is -1.0"),
        ({"conditioning": {"clip_start": 7.0}}, "its clip_start is 7.0"),
    ],
)
def test_clip_that_can_not_be_counted_is_rejected_with_its_reason_and_the_rest_is_shown(
    tmp_path: Path, changed: dict[str, Any], reason: str
) -> None:
    rows = [clip_row("s1-0"), clip_row("s2-0", "sad", **changed), clip_row("s3-0", "angry")]
    table = pa.Table.from_pylist(rows, schema=LABELLED.arrow_schema)
    corpus_folder(tmp_path, rows[:1])
    pq.write_table(table, tmp_path / "clips/shard-0.parquet")
    written = write_report(tmp_path)
    page = written.path.read_text(encoding="utf-8")
    assert (written.conversations, sorted(written.shown)) == (2, ["acted/s1-0", "acted/s3-0"])
    assert f"<td>acted/s2-0</td><td>report</td><td>{reason}</td>" in page


def verdict_of_clips(folder: Path, clips: list[dict[str, Any]], **options: Any) -> list[tuple[str, str]]:
    verdict = write_report(corpus_folder(folder, clips), **options).verdict
    assert verdict is not None
    return [(finding.severity, finding.sentence) for finding in verdict.findings]


def test_verdict_on_a_corpus_names_labels_that_raters_did_not_hear_and_thin_emotions(tmp_path: Path) -> None:
    sound = clip_row("s0-0")["labels"]["quality"] | {"snr_db": 40.0, "bandwidth_hz": 8000.0, "clipping_ratio": 0.0}
    clips = [
        clip_row(f"s{number}-0", "happy", perceived="happy" if number < 2 else "sad", quality=sound)
        for number in range(5)
    ]
    unheard = "raters heard the emotion that was meant in 40 % of 5 clips"
    thin = "1 emotion of the corpus with under 30.0 min to train on, down to 5.0 s of happy"
    assert verdict_of_clips(tmp_path / "a", clips) == [("doubtful", unheard), ("note", thin)]
    limits = FitnessLimits(least_heard_as_meant=0.4)
    assert verdict_of_clips(tmp_path / "b", clips, limits=limits) == [("note", thin)]
    noisy = [*clips, clip_row("s9-0", "happy", quality=sound | {"snr_db": 3.0})]
    written = write_report(corpus_folder(tmp_path / "c", noisy), limits=limits)
    assert written.verdict is not None
    assert written.verdict.level == "doubtful"
    assert "1 of 6 clips have a side with less than 10 dB" in written.path.read_text(encoding="utf-8")


def test_check_finds_of_a_corpus_what_its_page_says(tmp_path: Path) -> None:
    folder = corpus_folder(tmp_path, [clip_row("s0-0"), clip_row("s1-0", perceived="sad")])
    verdict = write_report(folder).verdict
    assert verdict is not None
    assert {finding.kind for finding in verdict.findings} >= {"telephone", "noise", "unheard-emotion"}
    assert {*verdict.findings} <= {*check_folder(folder)[0]}
