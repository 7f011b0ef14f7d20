import base64
import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from built_conversations import built_row, write_dataset
from command import Command
from finished_corpora import clip_row, corpus_folder
from published_folder import write_published
from reports import tables_of, write_report

from dailytalk_contiguous.apps.clips.clip_displays import ClipDisplays, quality
from dailytalk_contiguous.apps.clips.clip_figures import MEASURES, CorpusFigures, Quality
from dailytalk_contiguous.core.records import figures
from dailytalk_contiguous.core.records.run_record import NO_RUN
from dailytalk_contiguous.core.records.schema import LABELLED
from dailytalk_contiguous.core.records.tables import TableMaker
from dailytalk_contiguous.core.records.utterance import PROSODY
from dailytalk_contiguous.core.sound.quality import QualityLimits
from dailytalk_contiguous.publish.checks.verdict import LIMITS

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
    assert total["conversations"] == 4
    assert total["copies"] == 1
    assert total["seconds"] == 8.0
    # Three times 2 s, the sad clip and its copy, and the one without an emotion; validation is not seen.
    assert total["seen"] == 3 * 2.0 + 1.0 + 1.0 + 1.0
    sad = figures.sums(tables, "emotion").loc["sad"]
    assert sad["conversations"] == 2
    assert sad["copies"] == 1
    assert sad["seconds"] == 5.0
    assert sad["seen"] == 2.0
    training = CorpusFigures(tables).training()
    happy, sad, unknown = training.itertuples(name=None)
    assert happy == ("happy", 2.0, 6.0)
    assert sad == ("sad", 1.0, 2.0)
    assert unknown == ("unknown", 1.0, 1.0)


def test_balance_of_a_corpus_is_shown_for_the_combinations_that_it_was_balanced_by(tmp_path: Path) -> None:
    balance = {"by": ["emotion", "type"], "target_minutes": 0.1, "minutes_before": {"happy, declarative": 0.5}}
    text = page(corpus_folder(tmp_path, rows(), {"balance": balance}))
    assert "<th>emotion, type</th>" in text
    assert re.search(r"<td>happy, declarative</td>\s*<td[^>]*>0.5 min</td>", text)
    assert re.search(r"<td>sad, interrogative</td>\s*<td[^>]*>0.0 min</td>", text)
    assert "Largest to smallest combination" in text


def cells(text: str, title: str) -> dict[str, list[str]]:
    """The rows of a table of a page by their first cell."""
    articles = text.split("<article")[1:]
    card = next(article for article in articles if f"<h3>{title}</h3>" in article)
    rows = {}
    for line in re.findall(r"<tr>(.*?)</tr>", card, re.DOTALL):
        marked = re.findall(r"<t[dh].*?>(.*?)</t[dh]>", line)
        first, *others = [re.sub("<[^>]*>", "", cell) for cell in marked]
        rows[first] = others
    return rows


def test_a_corpus_is_shown_beside_another_by_its_labels_lengths_and_levels(
    tmp_path: Path, dailytalk: Command
) -> None:
    loud = {"prosody": dict.fromkeys(PROSODY, 1.0) | {"rms": 0.1}}
    happy = clip_row("a-0", "happy", 3.0, **loud)
    sad = clip_row("a-1", "sad", 1.0)
    clips = [happy, sad]
    acted = corpus_folder(tmp_path / "acted", clips)
    soft = {"prosody": dict.fromkeys(PROSODY, 1.0) | {"rms": 0.01}}
    clip = clip_row("b-0", "sad", 6.0, style="whispered", tag="calm", **soft)
    real = corpus_folder(tmp_path / "real", [clip])
    done = dailytalk("report", acted, "--against", real)
    assert done.code == 0
    text = (acted / "report.html").read_text("utf-8")
    emotions = cells(text, "Emotion")
    assert emotions["emotion"] == ["acted", "real"]
    assert emotions["sad"] == ["25 %, 1.0 s", "100 %, 6.0 s"]
    assert emotions["happy"] == ["75 %, 3.0 s", "0 %, 0.0 s"]
    assert cells(text, "Style")["whispered"] == ["0 %, 0.0 s", "100 %, 6.0 s"]
    assert cells(text, "Style tag")["calm"] == ["–", "100 %, 6.0 s"]
    assert "not known of acted" in text
    assert cells(text, "Length of utterances")["long"] == ["0 %, 0.0 s", "100 %, 6.0 s"]
    measures = cells(text, "Measures (mean ± deviation)")
    assert measures["level of speech (dBFS)"] == ["−10.0 ± 10.0", "−40.0 ± 0.0"]
    assert measures["length (s)"] == ["2.00 ± 1.00", "6.00 ± 0.00"]


def test_conversations_a_version_and_a_corpus_are_shown_beside_each_other(
    tmp_path: Path, dailytalk: Command
) -> None:
    corpus = corpus_folder(tmp_path / "acted", rows())
    work = write_dataset(tmp_path / "talks", [built_row()])
    version = write_published(tmp_path / "version")
    for source, against in ((corpus, work), (work, corpus), (work, version), (version, work)):
        done = dailytalk("report", source, "--against", against, "--out", tmp_path / "page.html")
        assert done.code == 0
        assert done.err == ""
        text = (tmp_path / "page.html").read_text("utf-8")
        assert cells(text, "Style tag")["style tag"] == [source.name, against.name]
        assert f"<h2>Beside {against.name}</h2>" in text


def test_twenty_samples_are_spread_over_emotions_and_can_be_heard(tmp_path: Path) -> None:
    many = []
    for emotion in ("happy", "sad", "angry"):
        many += [clip_row(f"s{n}-{emotion}", emotion, 0.2) for n in range(12)]
    text = page(corpus_folder(tmp_path, many))
    sounds = re.findall(r'aria-label="Listen to acted/s\d+-(\w+)" src="data:audio/mpeg;base64,([^"]+)"', text)
    counts = Counter(emotion for emotion, _ in sounds)
    assert counts == {"angry": 7, "happy": 7, "sad": 6}
    _, encoded = sounds[0]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(encoded)))
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
    assert written.number == 2
    assert sorted(written.examples) == ["acted/s1-0", "acted/s3-0"]
    assert f"<td>acted/s2-0</td><td>report</td><td>{reason}</td>" in page


def verdict_of_clips(folder: Path, clips: list[dict[str, Any]], **options: Any) -> list[tuple[str, str]]:
    verdict = write_report(corpus_folder(folder, clips), **options).verdict
    assert verdict is not None
    return [(finding.severity, finding.sentence) for finding in verdict.findings]


def test_verdict_on_a_corpus_names_labels_that_raters_did_not_hear_and_thin_emotions(tmp_path: Path) -> None:
    quality = clip_row("s0-0")["labels"]["quality"]
    good = quality | {"snr_db": 40.0, "bandwidth_hz": 8000.0, "clipping_ratio": 0.0}
    clips = []
    for number in range(5):
        perceived = "happy" if number < 2 else "sad"
        clips.append(clip_row(f"s{number}-0", "happy", perceived=perceived, quality=good))
    unheard = "raters heard the emotion that was meant in 40 % of 5 clips"
    thin = "the corpus has 1 emotion with under 30.0 min to train on, down to 5.0 s of happy"
    assert verdict_of_clips(tmp_path / "a", clips) == [("doubtful", unheard), ("note", thin)]
    limits = LIMITS | {"unheard-emotion": 0.4}
    assert verdict_of_clips(tmp_path / "b", clips, limits=limits) == [("note", thin)]
    noisy = clip_row("s9-0", "happy", quality=good | {"snr_db": 3.0})
    folder = corpus_folder(tmp_path / "c", [*clips, noisy])
    written = write_report(folder, limits=limits)
    assert written.verdict is not None
    assert written.verdict.level == "doubtful"
    assert "1 of 6 clips has a side with less than 10 dB" in written.path.read_text(encoding="utf-8")


def test_a_plot_says_its_figures_to_who_can_not_see_it() -> None:
    empty = dict.fromkeys(MEASURES)
    rows = [empty | {"snr_db": value} for value in (12.0, 40.0, 40.0)]
    measured = Quality.of_rows(rows, QualityLimits(lowest_snr_db=20.0))
    tables = TableMaker().tables()
    plot = quality(ClipDisplays(tables, NO_RUN, {}, clips=CorpusFigures(tables, quality=measured)), "snr_db")
    assert plot.words == "signal-to-noise ratio (dB): median 40, 80 % from 17.6 to 40; limit 20: 1 of 3 are below"
