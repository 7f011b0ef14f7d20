import base64
import io
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from finished_corpora import clip_row, corpus_folder
from reports import tables_of, write_report

from dailytalk_contiguous.core import figures
from dailytalk_contiguous.core.schema import LABELLED
from dailytalk_contiguous.publish.clip_figures import CorpusFigures
from dailytalk_contiguous.publish.verdict import LIMITS

HOSTILE = "<b>&\"'</script></svg>é|`"

CORPUS = {"name": "acted", "licence": "CC-BY-4.0", "citation": "Doe J (2020). Acted.", "homepage": "https://a.org"}


def rows() -> list[dict[str, Any]]:
    return [
        clip_row("s1-0", "happy", 2.0, weight=3.0),
        clip_row("s1-1", "sad", 1.0, sentence_type="interrogative"),
        clip_row("s1-1-pitch", "sad", 1.0, augmented_from="acted/s1-1", augmentation=None),
        clip_row("s2-0", "sad", 4.0, split="validation", gender="male", licence="ODbL-1.0"),
        clip_row("s2-1", None, 1.0, style=None, gender=None, licence=None),
    ]


def page(folder: Path, **options: Any) -> str:
    return write_report(folder, **options).path.read_text(encoding="utf-8")


def test_hours_recorded_and_seen_are_told_apart() -> None:
    tables = tables_of(*rows())
    total = figures.totals(tables)
    assert (total["conversations"], total["copies"], total["seconds"]) == (4, 1, 8.0)
    # Three times 2 s, the sad clip and its copy, and the one without an emotion; validation is not seen.
    assert total["seen"] == 3 * 2.0 + 1.0 + 1.0 + 1.0
    sad = figures.sums(tables, "emotion").loc["sad"]
    assert (sad["conversations"], sad["copies"], sad["seconds"], sad["seen"]) == (2, 1, 5.0, 2.0)
    training = CorpusFigures(tables).training()
    assert [*training.itertuples(name=None)] == [("happy", 2.0, 6.0), ("sad", 1.0, 2.0), ("unknown", 1.0, 1.0)]


def test_twenty_samples_are_spread_over_emotions_and_can_be_heard(tmp_path: Path) -> None:
    many = [clip_row(f"s{n}-{emotion}", emotion, 0.2) for emotion in ("happy", "sad", "angry") for n in range(12)]
    text = page(corpus_folder(tmp_path, many))
    sounds = re.findall(r'aria-label="Listen to acted/s\d+-(\w+)" src="data:audio/mpeg;base64,([^"]+)"', text)
    assert sorted(emotion for emotion, _ in sounds) == ["angry"] * 7 + ["happy"] * 7 + ["sad"] * 6
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sounds[0][1])))
    assert rate == 24000
    assert samples.ndim == 1


def test_text_of_the_data_stays_text(tmp_path: Path) -> None:
    hostile = clip_row("s1-0", "happy", speaker=HOSTILE, text=HOSTILE, style=HOSTILE, licence=HOSTILE)
    reject = {"id": HOSTILE, "stage": HOSTILE, "reason": HOSTILE, "remedy": HOSTILE}
    run = {"corpus": dict.fromkeys(CORPUS, HOSTILE)}
    text = page(corpus_folder(tmp_path, [hostile], run, [reject]))
    assert '<b>&"' not in text
    assert text.count("</script>") == 1


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"duration": None}, "its duration is None, no length in seconds"),
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
    assert (written.number, sorted(written.shown)) == (2, ["acted/s1-0", "acted/s3-0"])
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
    limits = LIMITS | {"unheard-emotion": 0.4}
    assert verdict_of_clips(tmp_path / "b", clips, limits=limits) == [("note", thin)]
    noisy = [*clips, clip_row("s9-0", "happy", quality=sound | {"snr_db": 3.0})]
    written = write_report(corpus_folder(tmp_path / "c", noisy), limits=limits)
    assert written.verdict is not None
    assert written.verdict.level == "doubtful"
    assert "1 of 6 clips has a side with less than 10 dB" in written.path.read_text(encoding="utf-8")
