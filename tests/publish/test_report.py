import base64
import html
import io
import json
import math
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from built_conversations import COLUMNS, LINES, built_row, flac, stereo, write_dataset
from finished_corpora import clip_row, corpus_folder
from mixes import mix_folders
from paired_conversations import RECORDED_HZ, work_folder
from reports import write_report

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.measures import CONVERSATION_MEASURES
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.checks.verdict import verdict_of
from dailytalk_contiguous.publish.exports.formats import FORMATS
from dailytalk_contiguous.publish.exports.writing import write_export
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.tables.tabular import Link
from dailytalk_contiguous.publish.tables.templates import environment
from dailytalk_contiguous.shards import Entry, Shard, write_shard
from dailytalk_contiguous.sources.recordings.recording_files import identity_of

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Checked(HTMLParser):
    """Reads a page, and refuses tags that close what is not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page_of(folder: Path, **options: Any) -> str:
    text = write_report(folder, **options).path.read_text(encoding="utf-8")
    reader = Checked()
    reader.feed(text)
    assert reader.open == []
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(drawing)
    return text


def blocks_of(text: str) -> dict[str, Any]:
    """The data of a page by their ids."""
    blocks = re.findall(r'<script type="application/json" id="([^"]+)">(.*?)</script>', text)
    return {name: json.loads(block) for name, block in blocks}


def shown_of(text: str) -> dict[str, Any]:
    """What the player shows, by the id of the conversation."""
    blocks = blocks_of(text)
    return {block["name"]: block for block in blocks.values()}


def with_source(row: dict[str, Any], shift: float = 0.5) -> dict[str, Any]:
    """The row with every utterance in the source as long and as far apart as now, `shift` s later."""
    for utterance in row["utterances"]:
        utterance["source_start"] = utterance["start"] + shift
        utterance["source_end"] = utterance["end"] + shift
    return row


def cell(text: str, name: str) -> list[str]:
    """The figures behind a name in a table."""
    line = re.search(rf"<tr><td>{re.escape(name)}</td>(.*?)</tr>", text)
    assert line, name
    return re.findall(r">([^<]+)</td>", line[1])


def fact(text: str, name: str) -> str:
    _, _, facts = text.partition('class="facts"')
    match = re.search(rf"<dt>{name}</dt><dd>([^<]*)", facts)
    assert match, name
    return match[1]


# The page


def test_page_loads_nothing_from_anywhere(tmp_path):
    text = page_of(write_dataset(tmp_path, [built_row()]))
    reader = Checked()
    reader.feed(text)
    sources = []
    for _, attributes in reader.found:
        sources += [attributes[name] for name in ("src", "href", "xlink:href") if name in attributes]
    assert sources
    for source in sources:
        assert source
        assert source.startswith(("data:", "#"))
    assert not re.search(r"https?://|url\(|@import", text)
    assert "default-src 'none'" in text


def test_page_is_not_put_among_shards(tmp_path):
    folder = write_dataset(tmp_path, [built_row()]) / "dataset"
    with pytest.raises(DailytalkError, match="--out"):
        write_report(folder)
    assert write_report(folder, tmp_path / "page.html").number == 1


# The first screen


def doubtful_folder(folder: Path) -> Path:
    """Conversations with an error in two of them, and more than three reasons against them."""
    quality = {"speech_ratio": 0.5, "bandwidth_hz": 3600.0, "snr_db": 5.0, "clipping_ratio": 0.2}
    sides = [{"channel": channel, "level_dbfs": -20.0, **quality} for channel in ("left", "right")]
    rows = [built_row(name) | {"sides": sides} for name in ("a", "b", "broken", "a")]
    rows[2]["audio"] = {"bytes": b"fLaC" + bytes(1000), "path": None}
    return write_dataset(folder, rows[:3], rows[3:])


def shown_at_once(page: str) -> str:
    """The page from its heading to its first sound, without what is folded away."""
    before_sound = page.partition("<h1>")[2].partition("<audio")[0]
    return re.sub(r"<details.*?</details>", "", before_sound, flags=re.DOTALL)


def test_three_reasons_and_the_totals_are_all_that_is_open_before_the_first_sound(tmp_path):
    folder = doubtful_folder(tmp_path)
    page = page_of(folder)
    findings, facts = check_folder(folder)
    verdict = verdict_of(findings, facts["conversations"])
    assert len(verdict.findings) > 5
    first_screen = shown_at_once(page)
    listed = re.findall(r'<li class="(?:bad|doubtful|note)">', first_screen)
    assert len(listed) == len(verdict.reasons) == 3
    assert first_screen.count('class="headline"') == 1
    assert [name for name in ("audio", "words", "voices") if f"<dt>{name}</dt>" not in first_screen] == []
    assert 'class="made"' not in first_screen
    assert "<nav" not in first_screen
    (section,) = re.findall(r'<section id="verdict".*?</section>', page, re.DOTALL)
    assert section.count("</b>") == len(verdict.findings)
    assert '<div id="player"' in page.partition('class="made"')[0]


def test_check_prints_the_reasons_of_the_page_in_its_order_before_the_totals(tmp_path, dailytalk):
    folder = doubtful_folder(tmp_path)
    first_screen = html.unescape(shown_at_once(page_of(folder)))
    lines = dailytalk("check", folder).out.splitlines()
    reasons = lines[1:7:2]
    assert lines[0] in first_screen
    places = [first_screen.index(line.partition(": ")[2]) for line in reasons]
    assert places == sorted(places)
    assert reasons[0].startswith("error: ")
    assert [line[:4] for line in lines[2:8:2]] == ["  → "] * 3
    assert re.match(r"work: \S+ hours, [\d,]+ words, ", lines[7])
    assert lines[8:] != []


def test_errors_are_weightier_than_advice_and_a_kind_is_one_reason(tmp_path):
    findings, facts = check_folder(doubtful_folder(tmp_path))
    verdict = verdict_of([*findings][::-1], facts["conversations"])
    levels = [finding.level for finding in verdict.findings]
    assert levels == sorted(levels, key=("error", "advice").index)
    kinds = [reason.kind for reason in verdict.reasons]
    assert len(set(kinds)) == 3
    n_kinds_of_error = len({finding.kind for finding in findings if finding.level == "error"})
    assert [reason.level for reason in verdict.reasons].count("error") == min(3, n_kinds_of_error)
    assert verdict_of([*verdict.other_findings], 1).level != "empty"
    assert len(verdict.reasons) + len(verdict.other_findings) == len(findings)


def test_no_finding_on_conversations_names_a_shard(tmp_path):
    findings, _ = check_folder(doubtful_folder(tmp_path))
    assert {finding.file for finding in findings} >= {"a", "broken"}
    assert [finding.sentence for finding in findings if ".parquet" in finding.sentence] == []


# What is measured


def test_money_and_tries_are_those_of_the_rows_and_of_the_run(tmp_path):
    row = built_row()
    first = row["utterances"][0]["synthesis"]
    first["cost"] = 0.25
    first["tries"] = 3
    first["word_error_rate"] = 0.1
    second = row["utterances"][2]["synthesis"]
    second["cost"] = 0.5
    second["tries"] = 1
    second["word_error_rate"] = 0.1
    folder = write_dataset(tmp_path, [row])
    run = {"speak": {"money": {"spent": 0.5, "saved_by_cache": 0.25}}}
    (folder / "run.json").write_text(json.dumps(run))
    text = page_of(folder)
    assert fact(text, "spent on speech") == "0.75 USD"
    assert cell(text, "spent by the last run") == ["0.50 USD"]
    assert cell(text, "saved by the cache in the last run") == ["0.25 USD"]
    assert cell(text, "needed more than one try") == ["1 (50 %)"]
    assert cell(text, "an hour of finished audio") == ["450.00 USD"]
    assert cell(text, "word error rate of the synthesis, median") == ["10 %"]


# Sound and drawing


def sounds(text: str) -> list[tuple[np.ndarray, int]]:
    encoded = re.findall(r'src="data:audio/mpeg;base64,([^"]+)"', text)
    files = [io.BytesIO(base64.b64decode(data)) for data in encoded]
    return [soundfile.read(file) for file in files]


def test_examples_are_embedded_in_stereo(tmp_path):
    folder = write_dataset(tmp_path, [built_row(name) for name in "abcd"])
    written = write_report(folder, shown=3)
    assert len(written.examples) == 3
    heard = sounds(written.path.read_text())
    assert len(heard) == 3
    samples, rate = heard[0]
    assert samples.shape == (6 * 24000, 2)
    assert rate == 24000
    expected = stereo(LINES, 6.0, 24000) / 32768
    for side in (0, 1):
        correlation = np.corrcoef(samples[:, side], expected[:, side])
        assert correlation[0, 1] > 0.99


def test_conversations_are_chosen_by_id_in_that_order(tmp_path):
    folder = write_dataset(tmp_path, [built_row(name) for name in "abcd"])
    report = write_report(folder, shown=["d", "b", "d"])
    assert report.examples == ("d", "b")
    assert write_report(folder, shown=0).examples == ()
    with pytest.raises(DailytalkError, match="'x'"):
        write_report(folder, shown=["a", "x"])


def judged(name: str, badness: float = 0.0, **values: float | None) -> dict[str, Any]:
    breaches = tuple(values)[:1] if badness else ()
    measured = dict.fromkeys(CONVERSATION_MEASURES, math.nan)
    measured |= {"conversation_id": name, "badness": badness, "breaches": breaches}
    return measured | values


def test_recording_of_an_example_is_in_the_page_from_where_the_conversation_begins(tmp_path):
    work = work_folder(tmp_path, 1)
    part = shown_of(page_of(work))["secret0"]
    assert part["recorded"] == {"sound": None, "why": ""}
    page = (work / "report.html").read_text()
    (rebuilt, _), (recorded, rate) = sounds(page)
    stretch = recorded[2 * rate : 5 * rate, 0]
    spectrum = np.abs(np.fft.rfft(stretch))
    assert np.argmax(spectrum) / 3 == pytest.approx(RECORDED_HZ, abs=1)
    assert len(recorded) / rate == pytest.approx(6, abs=0.1)
    assert len(rebuilt) / rate == pytest.approx(6, abs=0.1)


def test_recording_that_is_gone_or_another_is_not_played_and_the_page_says_so_without_its_path(tmp_path):
    work = work_folder(tmp_path, 1)
    recording = tmp_path / "secret0.FLAC"
    recording.write_bytes(built_row("other")["audio"]["bytes"])
    part = shown_of(page_of(work))["secret0"]
    assert "is not the one that was tagged" in part["recorded"]["why"]
    recording.unlink()
    text = page_of(work)
    part = shown_of(text)["secret0"]
    assert "is gone" in part["recorded"]["why"]
    assert str(tmp_path) not in text
    assert len(sounds(text)) == 1


def errors_among(findings: Any) -> set[str]:
    return {finding.kind for finding in findings if finding.level == "error"}


@pytest.mark.parametrize(
    "damage",
    [
        {"audio": {"bytes": b"fLaC" + bytes(1000), "path": None}},
        {"audio": {"bytes": flac(np.zeros((6 * 24000, 2), np.float32), 24000), "path": None}},
        {"duration": 7.0},
        {"conversation_id": "fine"},
    ],
    ids=["undecodable", "silent", "of another length", "twice"],
)
def test_report_and_check_have_one_verdict_on_a_row_that_is_wrong(tmp_path, damage):
    folder = write_dataset(tmp_path, [built_row("fine"), built_row("wrong") | damage])
    findings, facts = check_folder(folder)
    written = write_report(folder)
    assert written.verdict.level == verdict_of(findings, facts["conversations"]).level == "bad"
    errors = errors_among(findings)
    assert errors
    assert errors == errors_among(written.verdict.findings)


def write_talk(folder: Path, row: dict[str, Any]) -> None:
    """A talk with the agent, as its WAV and the JSON beside it."""
    name = row["conversation_id"]
    columns = ("channel", "start", "end", "text", "status", "utterance_id")
    utterances = []
    for line in row["utterances"]:
        utterances.append({column: line[column] for column in columns})
    words = []
    for word in row["alignments"]:
        speaker = "SPEAKER_MAIN" if word["speaker"] == "left" else "USER"
        times = [word["start"], word["end"]]
        words.append([word["word"], times, speaker])
    document = {"alignments": words, "talk": {"utterances": utterances, "language": "en"}}
    (folder / f"{name}.json").write_text(json.dumps(document))
    sound = io.BytesIO(row["audio"]["bytes"])
    samples, rate = soundfile.read(sound, dtype="int16")
    soundfile.write(folder / f"{name}.wav", samples, rate)


def folder_of(kind: str, tmp_path: Path) -> Path:
    """A folder of a kind, made of conversations in which nothing speaks against training on them."""
    rows = [with_source(built_row(f"call{number}", kept_speaker=f"person{number}")) for number in range(4)]
    folder = tmp_path / kind
    if kind == "talks":
        folder.mkdir()
        for row in rows:
            write_talk(folder, row)
        (folder / "talks.json").write_text("{}")
        return folder
    work = write_dataset(tmp_path / "work", rows)
    clips = [clip_row("s1-0", "happy"), clip_row("s1-1", "sad")]
    if kind == "mix":
        acted = corpus_folder(tmp_path / "acted", clips)
        mix_folders([(acted, 4.0), (work, 18.0)], folder, hours=22 / 3600)
    elif kind == "corpus":
        corpus_folder(folder, clips)
    elif kind != "work":
        write_export(open_items(work).rows(), folder, FORMATS[kind])
    return folder


@pytest.mark.parametrize("kind", ["work", "moshi", "mix", "talks"])
def test_report_and_check_have_one_verdict_on_every_kind_of_folder(tmp_path, dailytalk, kind):
    folder = folder_of(kind, tmp_path)
    done = dailytalk("check", folder, "--json")
    checked = json.loads(done.out)["verdict"]
    report = dailytalk("report", folder, "--out", tmp_path / "page.html", "--json")
    assert json.loads(report.out)["verdict"] == checked
    assert "without-text" not in {finding["kind"] for finding in checked["findings"]}


# A folder that was only tagged


def tagged_line(channel: str, start: float, text: str, name: str = "call.001", **more: Any) -> dict[str, Any]:
    word = {"word": text, "start": start, "end": start + 0.5, "probability": 1.0}
    return {
        "audio_file": "call.flac",
        "conversation_id": name,
        "channel": channel,
        "start": start,
        "end": start + 1.0,
        "vad": {"valence": 0.7, "arousal": 0.3, "dominance": None},
        "vad_bucket": {"valence": "HIGH", "arousal": "LOW", "dominance": "MID"},
        "tag": "calm",
        "text": text,
        "words": [word],
        "language": "en",
    } | more


def tagged(folder: Path, lines: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "transcript.jsonl").write_text(text)
    return folder


def add_shard(folder: Path, named: Path | None = None, audio_file: str = "call.flac") -> None:
    """A shard that knows: call.001 are 6 s of the recording, from 10 s on. `named`: another path that it names."""
    recording = folder / "call.flac"
    sound = stereo([("left", 11, 12, "")], 16.0, 8000)
    recording.write_bytes(flac(sound, 8000))
    row = {
        "conversation_id": "call.001",
        "recording_id": "call",
        "audio": {"bytes": None, "path": str(named or recording)},
        "offset": 10.0,
        "duration": 6.0,
        "audio_file": audio_file,
        "audio_identity": identity_of(recording),
        "sample_rate": 8000,
        "channels": 2,
        "utterance_id": [],
        "channel": [],
        "run": [],
    }
    entries = {"call.001": Entry("call", 6.0)}
    write_shard(folder / "tagged" / "shard-0.parquet", Shard([row], entries), COLUMNS)


def test_shared_work_folder_shows_no_other_file_than_the_recording_that_was_tagged(tmp_path):
    private = tmp_path / "private.flac"
    sound = stereo([("left", 1, 2, "")], 16.0, 8000)
    private.write_bytes(flac(sound, 8000))
    pipe = tmp_path / "pipe.flac"
    os.mkfifo(pipe)
    for number, named in enumerate((private, pipe, tmp_path / "gone.flac")):
        line = tagged_line("left", 11.0, "Hello")
        folder = tagged(tmp_path / str(number), [line])
        add_shard(folder, named, named.name)
        text = page_of(folder)
        assert not sounds(text)
        reason = "is not the one that was tagged" if named == private else "is gone"
        assert reason in text
    folder = tagged(tmp_path / "other", [tagged_line("left", 11.0, "Hello")])
    add_shard(folder, private)
    text = page_of(folder)
    assert not sounds(text)
    assert "names another recording than its row" in text


# The command


def test_command_says_what_it_wrote(tmp_path, dailytalk):
    folder = write_dataset(tmp_path / "work", [built_row("a"), built_row("b")])
    out = tmp_path / "pages" / "page.html"
    done = dailytalk("report", folder, "--out", out, "--conversations", "b", "--json")
    outcome = json.loads(done.out)
    verdict = outcome.pop("verdict")
    assert verdict["level"] in ("good", "doubtful", "bad")
    assert outcome == {
        "out": str(out),
        "bytes": out.stat().st_size,
        "conversations": 2,
        "shown": ["b"],
    }
    assert "1 of 2" in dailytalk("report", folder, "--conversations", "1").out


@pytest.mark.parametrize("markdown", [False, True])
def test_each_kind_of_cell_is_markup_of_its_own_and_none_of_them_lets_markup_in(markdown: bool) -> None:
    links = [Link("<i>", f"{scheme}://a.org/?<") for scheme in ("https", "javascript")]
    parts = "parts.md" if markdown else "parts.html"
    opening = '{% import "' + parts + '" as part with context %}'
    source = opening + "{% for value in cells %}{{ part.cell(value) }};{% endfor %}"
    template = environment(markdown=markdown).from_string(source)
    rendered = template.render(toc=[], draw=None, cells=["<i>", *links, 1234])
    shown = "".join(rendered.split())
    if markdown:
        assert shown == "&#60;i&#62;;[&#60;i&#62;](https://a.org/?%3C);&#60;i&#62;;1,234;"
    else:
        assert shown == '&lt;i&gt;;<ahref="https://a.org/?&lt;">&lt;i&gt;</a>;&lt;i&gt;;1,234;'
