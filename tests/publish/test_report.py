import base64
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
from dailytalk_contiguous.core.measures import CONVERSATION_MEASURES
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.exports import write_export
from dailytalk_contiguous.publish.formats import FORMATS
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.tabular import Link
from dailytalk_contiguous.publish.templates import environment
from dailytalk_contiguous.publish.verdict import verdict_of
from dailytalk_contiguous.shards import Entry, Shard, write_shard
from dailytalk_contiguous.sources.recordings import identity_of

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
    found = re.findall(r'<script type="application/json" id="([^"]+)">(.*?)</script>', text)
    return {name: json.loads(block) for name, block in found}


def shown_of(text: str) -> dict[str, Any]:
    """What the player shows, by the id of the conversation."""
    blocks = blocks_of(text)
    return {block["name"]: block for block in blocks.values()}


def with_source(row: dict[str, Any], shift: float = 0.5) -> dict[str, Any]:
    """The row with every utterance in the source as long and as far apart as now, `shift` s later."""
    for one in row["utterances"]:
        one["source_start"], one["source_end"] = one["start"] + shift, one["end"] + shift
    return row


def cell(text: str, name: str) -> list[str]:
    """The figures behind a name in a table."""
    line = re.search(rf"<tr><td>{re.escape(name)}</td>(.*?)</tr>", text)
    assert line, name
    return re.findall(r">([^<]+)</td>", line[1])


def fact(text: str, name: str) -> str:
    found = re.search(rf"<dt>{name}</dt><dd>([^<]*)", text.partition('class="facts"')[2])
    assert found, name
    return found[1]


# The page


def test_page_loads_nothing_from_anywhere(tmp_path):
    text = page_of(write_dataset(tmp_path, [built_row()]))
    reader = Checked()
    reader.feed(text)
    sources = [attrs[name] for _, attrs in reader.found for name in ("src", "href", "xlink:href") if name in attrs]
    assert sources
    assert all(source and source.startswith(("data:", "#")) for source in sources)
    assert not re.search(r"https?://|url\(|@import", text)
    assert "default-src 'none'" in text


def test_page_is_not_put_among_shards(tmp_path):
    folder = write_dataset(tmp_path, [built_row()]) / "dataset"
    with pytest.raises(DailytalkError, match="--out"):
        write_report(folder)
    assert write_report(folder, tmp_path / "page.html").number == 1


# What is measured


def test_money_and_tries_are_those_of_the_rows_and_of_the_run(tmp_path):
    row = built_row()
    row["utterances"][0]["synthesis"] |= {"cost": 0.25, "tries": 3, "word_error_rate": 0.1}
    row["utterances"][2]["synthesis"] |= {"cost": 0.5, "tries": 1, "word_error_rate": 0.1}
    folder = write_dataset(tmp_path, [row])
    (folder / "run.json").write_text(json.dumps({"speak": {"money": {"spent": 0.5, "saved_by_cache": 0.25}}}))
    text = page_of(folder)
    assert fact(text, "spent on speech") == "0.75 USD"
    assert cell(text, "spent by the last run") == ["0.50 USD"]
    assert cell(text, "saved by the cache in the last run") == ["0.25 USD"]
    assert cell(text, "needed more than one try") == ["1 (50 %)"]
    assert cell(text, "an hour of finished audio") == ["450.00 USD"]
    assert cell(text, "word error rate of the synthesis, median") == ["10 %"]


# Sound and drawing


def sounds(text: str) -> list[tuple[np.ndarray, int]]:
    found = re.findall(r'src="data:audio/mpeg;base64,([^"]+)"', text)
    return [soundfile.read(io.BytesIO(base64.b64decode(data))) for data in found]


def test_examples_are_embedded_in_stereo(tmp_path):
    folder = write_dataset(tmp_path, [built_row(name) for name in "abcd"])
    written = write_report(folder, shown=3)
    assert len(written.shown) == 3
    heard = sounds(written.path.read_text())
    assert len(heard) == 3
    samples, rate = heard[0]
    assert (samples.shape, rate) == ((6 * 24000, 2), 24000)
    expected = stereo(LINES, 6.0, 24000) / 32768
    for side in (0, 1):
        assert np.corrcoef(samples[:, side], expected[:, side])[0, 1] > 0.99


def test_conversations_are_chosen_by_id_in_that_order(tmp_path):
    folder = write_dataset(tmp_path, [built_row(name) for name in "abcd"])
    assert write_report(folder, shown=["d", "b", "d"]).shown == ("d", "b")
    assert write_report(folder, shown=0).shown == ()
    with pytest.raises(DailytalkError, match="'x'"):
        write_report(folder, shown=["a", "x"])


def judged(name: str, badness: float = 0.0, **values: float | None) -> dict[str, Any]:
    breaches = tuple(values)[:1] if badness else ()
    known = {"conversation_id": name, "badness": badness, "breaches": breaches}
    return dict.fromkeys(CONVERSATION_MEASURES, math.nan) | known | values


def test_recording_of_an_example_is_in_the_page_from_where_the_conversation_begins(tmp_path):
    work = work_folder(tmp_path, 1)
    part = shown_of(page_of(work))["secret0"]
    assert part["recorded"] == {"sound": None, "why": ""}
    (rebuilt, _), (recorded, rate) = sounds((work / "report.html").read_text())
    spectrum = np.abs(np.fft.rfft(recorded[2 * rate : 5 * rate, 0]))
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
    assert "is gone" in shown_of(text)["secret0"]["recorded"]["why"]
    assert str(tmp_path) not in text
    assert len(sounds(text)) == 1


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
    errors = [
        {finding.kind for finding in judged if finding.level == "error"}
        for judged in (findings, written.verdict.findings)
    ]
    assert errors[0] == errors[1] != set()


def folder_of(kind: str, tmp_path: Path) -> Path:
    """A folder of a kind, made of conversations in which nothing speaks against training on them."""
    rows = [with_source(built_row(f"call{number}", kept_speaker=f"person{number}")) for number in range(4)]
    if kind == "talks":
        (tmp_path / "talks").mkdir()
        for row in rows:
            utterances = [
                {name: line[name] for name in ("channel", "start", "end", "text", "status", "utterance_id")}
                for line in row["utterances"]
            ]
            words = [
                [
                    word["word"],
                    [word["start"], word["end"]],
                    "SPEAKER_MAIN" if word["speaker"] == "left" else "USER",
                ]
                for word in row["alignments"]
            ]
            document = {"alignments": words, "talk": {"utterances": utterances, "language": "en"}}
            (tmp_path / f"talks/{row['conversation_id']}.json").write_text(json.dumps(document))
            samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")
            soundfile.write(tmp_path / f"talks/{row['conversation_id']}.wav", samples, rate)
        (tmp_path / "talks/talks.json").write_text("{}")
        return tmp_path / "talks"
    work = write_dataset(tmp_path / "work", rows)
    if kind == "work":
        return work
    if kind == "mix":
        acted = corpus_folder(tmp_path / "acted", [clip_row("s1-0", "happy"), clip_row("s1-1", "sad")])
        mix_folders([(acted, 4.0), (work, 18.0)], tmp_path / kind, hours=22 / 3600)
    elif kind == "corpus":
        corpus_folder(tmp_path / kind, [clip_row("s1-0", "happy"), clip_row("s1-1", "sad")])
    else:
        write_export(open_items(work).rows(), tmp_path / kind, FORMATS[kind])
    return tmp_path / kind


@pytest.mark.parametrize("kind", ["work", "moshi", "mix", "talks"])
def test_report_and_check_have_one_verdict_on_every_kind_of_folder(tmp_path, dailytalk, kind):
    folder = folder_of(kind, tmp_path)
    told = [
        json.loads(dailytalk(*command, "--json").out)["verdict"]
        for command in (("check", folder), ("report", folder, "--out", tmp_path / "page.html"))
    ]
    assert told[0] == told[1]
    assert "without-text" not in {finding["kind"] for finding in told[0]["findings"]}


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
    (folder / "transcript.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def add_shard(folder: Path, named: Path | None = None, audio_file: str = "call.flac") -> None:
    """A shard that knows: call.001 are 6 s of the recording, from 10 s on. `named`: another path that it names."""
    recording = folder / "call.flac"
    recording.write_bytes(flac(stereo([("left", 11, 12, "")], 16.0, 8000), 8000))
    sound = {"bytes": None, "path": str(named or recording)}
    row = {"conversation_id": "call.001", "recording_id": "call", "audio": sound, "offset": 10.0, "duration": 6.0}
    row |= {"audio_file": audio_file, "audio_identity": identity_of(recording), "sample_rate": 8000, "channels": 2}
    row |= {"utterance_id": [], "channel": [], "run": []}
    entries = {"call.001": Entry("call", 6.0)}
    write_shard(folder / "tagged" / "shard-0.parquet", Shard([row], entries), COLUMNS)


def test_shared_work_folder_shows_no_other_file_than_the_recording_that_was_tagged(tmp_path):
    private = tmp_path / "private.flac"
    private.write_bytes(flac(stereo([("left", 1, 2, "")], 16.0, 8000), 8000))
    os.mkfifo(tmp_path / "pipe.flac")
    for number, named in enumerate((private, tmp_path / "pipe.flac", tmp_path / "gone.flac")):
        folder = tagged(tmp_path / str(number), [tagged_line("left", 11.0, "Hello")])
        add_shard(folder, named, named.name)
        text = page_of(folder)
        assert not sounds(text)
        assert "is not the one that was tagged" in text if named == private else "is gone" in text
    folder = tagged(tmp_path / "other", [tagged_line("left", 11.0, "Hello")])
    add_shard(folder, private)
    text = page_of(folder)
    assert not sounds(text)
    assert "names another recording than its row" in text


# The command


def test_command_says_what_it_wrote(tmp_path, dailytalk):
    folder = write_dataset(tmp_path / "work", [built_row("a"), built_row("b")])
    out = tmp_path / "pages" / "page.html"
    told = json.loads(dailytalk("report", folder, "--out", out, "--conversations", "b", "--json").out)
    assert told.pop("verdict")["level"] in ("good", "doubtful", "bad")
    assert told == {
        "out": str(out),
        "bytes": out.stat().st_size,
        "conversations": 2,
        "shown": ["b"],
    }
    assert "1 of 2" in dailytalk("report", folder, "--conversations", "1").out


@pytest.mark.parametrize("markdown", [False, True])
def test_each_kind_of_cell_is_markup_of_its_own_and_none_of_them_lets_markup_in(markdown: bool) -> None:
    links = [Link("<i>", f"{scheme}://a.org/?<") for scheme in ("https", "javascript")]
    source = '{% import "' + ("parts.md" if markdown else "parts.html") + '" as part with context %}'
    template = environment(markdown=markdown).from_string(
        source + "{% for value in cells %}{{ part.cell(value) }};{% endfor %}"
    )
    shown = "".join(template.render(toc=[], draw=None, cells=["<i>", *links, 1234]).split())
    if markdown:
        assert shown == "&#60;i&#62;;[&#60;i&#62;](https://a.org/?%3C);&#60;i&#62;;1,234;"
    else:
        assert shown == '&lt;i&gt;;<ahref="https://a.org/?&lt;">&lt;i&gt;</a>;&lt;i&gt;;1,234;'
