"""Rows of a dataset from anybody: they reach no file of this machine, and one bad row stops no other."""

import ast
import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from browser import acted, needs_chromium
from command import Command
from publish.built_conversations import LINES, built_row, write_dataset
from publish.published_folder import NAME, published_row, upload, write_published

from dailytalk_contiguous import BadInput, load
from dailytalk_contiguous.core.published import features_of
from dailytalk_contiguous.publish.loading.stereo import StereoFeature
from dailytalk_contiguous.publish.reporting import html
from dailytalk_contiguous.publish.reporting.report import write_report

pytest_plugins = ["hub.hub_fixtures"]

#: How a row of a dataset may name a file of the machine that reads it.
SPELLINGS: list[Callable[[Path], str]] = [str, lambda path: f"file://{path}"]


@pytest.fixture
def dailytalk(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capfd)


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A recording that no dataset holds, with a sound of its own."""
    path = tmp_path / "private.wav"
    soundfile.write(path, *soundfile.read(_file(built_row(seconds=7.0)), dtype="int16"))
    return path


def _file(row: dict[str, Any]) -> Any:
    return io.BytesIO(row["audio"]["bytes"])


def pointing_at(path: str) -> dict[str, Any]:
    return built_row("evil", audio={"bytes": None, "path": path})


@pytest.mark.parametrize("spelled", SPELLINGS)
@pytest.mark.parametrize("form", ["moshi", "csm", "j-moshi"])
def test_path_in_a_dataset_is_never_exported(
    dailytalk: Command, tmp_path: Path, private: Path, form: str, spelled: Callable[[Path], str]
) -> None:
    folder = write_dataset(tmp_path / "work", [pointing_at(spelled(private)), built_row("good")])
    done = dailytalk("export", str(folder), "--format", form, "--out", str(tmp_path / "out"), "--json")
    assert done.code == 3, done.err
    (reject,) = json.loads(done.out)["rejects"]
    assert (reject["id"], "never a path" in reject["reason"]) == ("evil", True)
    assert not [path for path in (tmp_path / "out").rglob("*") if "evil" in path.name]


def test_path_in_a_published_version_is_never_exported_or_loaded(
    hub: Any, dailytalk: Command, tmp_path: Path, private: Path
) -> None:
    folder = write_published(tmp_path / "repository")
    shard = folder / "conversations" / "train-00000-of-00003.parquet"
    rows = [published_row("evil", "0" * 64, audio={"bytes": None, "path": str(private)}), published_row("good")]
    pq.write_table(pa.Table.from_pylist(rows, schema=features_of("conversations", 24000).arrow_schema), shard)
    upload(folder)
    done = dailytalk("export", NAME, "--format", "moshi", "--out", str(tmp_path / "out"), "--json")
    assert done.code == 3, done.err
    assert [reject["id"] for reject in json.loads(done.out)["rejects"]] == ["evil"]
    for place in (NAME, str(folder)):
        data = load(place, split="train")
        by_name = {row["conversation_id"]: row["audio"] for row in data}
        assert len(by_name["good"]["array"])
        with pytest.raises(BadInput, match="path in a dataset is never opened"):
            by_name["evil"].read()


def test_feature_embeds_no_file_that_a_row_names(private: Path) -> None:
    column = pa.array([{"bytes": None, "path": str(private)}], StereoFeature().pa_type)
    assert StereoFeature().embed_storage(column).to_pylist() == [{"bytes": None, "path": str(private)}]
    assert StereoFeature().encode_example(str(private)) == {"bytes": private.read_bytes(), "path": "private.wav"}


def test_check_and_report_say_that_a_row_without_bytes_has_no_sound(dailytalk: Command, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # would be waited on for ever
    folder = write_dataset(tmp_path / "work", [pointing_at(str(tmp_path / "pipe")), built_row("good")])
    done = dailytalk("check", str(folder), "--json")
    (found,) = [one for one in json.loads(done.out)["findings"] if one["kind"] == "unreadable-audio"]
    assert "never a path" in found["what"]
    text = write_report(folder).path.read_text(encoding="utf-8")
    assert "No sound: the row holds no audio" in text
    assert text.count("<audio") == 1


#: Seeks by the second line, runs what a hostile row would have brought, and tells what came of both. A browser
#: that prints a page counts no seconds but those that it works; the sums give the sound time to be decoded.
READER = """<script>
window.ran = [];
const markup = "<img src='x:' onerror='ran.push(1)'><b onclick='ran.push(2)'>b</b>";
document.body.insertAdjacentHTML("beforeend", markup);
document.body.lastElementChild.click();
const inline = document.createElement("script");
inline.textContent = "ran.push(3)";
document.body.append(inline);
const sound = document.querySelector("audio");
const tell = () => {
  const pre = document.body.appendChild(document.createElement("pre"));
  const head = !document.querySelector(".head").hidden;
  pre.textContent = JSON.stringify({ ran, at: sound.currentTime, length: sound.duration, head });
};
let told = false;
let clicked = false;
const work = () => {
  let sum = 0;
  for (let i = 0; i < 2e7; i++) sum += Math.sqrt(i);
  if (sound.readyState && !clicked) {
    clicked = true;
    sound.addEventListener("seeked", () => { told = true; tell(); });
    document.querySelectorAll("button[data-at]")[1].click();
  }
  if (!told) setTimeout(work, 1);
};
work();
</script>"""


@needs_chromium
def test_page_plays_and_seeks_and_runs_nothing_but_its_own_script(tmp_path: Path) -> None:
    page = write_report(write_dataset(tmp_path / "work", [built_row("good")])).path
    told = json.loads(acted(page, READER))
    assert told["ran"] == []
    assert (told["head"], round(told["length"])) == (True, 6)
    assert 1.3 < told["at"] < 3


def test_markup_of_a_report_is_made_from_literals_alone() -> None:
    for path in sorted(Path(html.__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        templates = [call.args[0] for call in calls if call.func.id == "fill"]
        assert all(isinstance(template, ast.Constant) for template in templates), path
        assert path.name == "html.py" or not any(call.func.id in ("Html", "escape") for call in calls), path


def test_text_becomes_no_markup_however_it_is_put_together() -> None:
    text, bold = "<i>", html.fill("<b>{}</b>", "<i>")
    assert bold == "<b>&lt;i&gt;</b>"
    assert bold + text == bold + html.joined([text]) == "<b>&lt;i&gt;</b>&lt;i&gt;"
    assert text + bold == "&lt;i&gt;<b>&lt;i&gt;</b>"
    assert html.fill("{}{:.1f}", bold + text, 0.25) == "<b>&lt;i&gt;</b>&lt;i&gt;0.2"
    assert html.fill("{}", f"{bold}") == "&lt;b&gt;&amp;lt;i&amp;gt;&lt;/b&gt;"  # a text again: seen, and harmless


@pytest.mark.parametrize("part", ["utterances", "alignments", "sounds"])
def test_row_that_names_an_unknown_channel_is_rejected_and_the_rest_goes_on(
    dailytalk: Command, tmp_path: Path, part: str
) -> None:
    bad = built_row("bad", sounds=[(0.1, 0.2)])
    bad[part][0]["speaker" if part == "alignments" else "channel"] = "<img src=x>"
    folder = write_dataset(tmp_path / "work", [bad, built_row("good")])
    done = dailytalk("export", str(folder), "--format", "csm", "--out", str(tmp_path / "out"), "--json")
    assert done.code == 3, done.err
    told = json.loads(done.out)
    assert told["files"] == 1
    assert [(one["id"], one["reason"]) for one in told["rejects"]] == [
        ("bad", f"its {part} name a channel '<img src=x>'")
    ]
    report = write_report(folder)
    assert (report.conversations, report.shown) == (1, ("good",))
    assert f"its {part} name a channel" in report.path.read_text(encoding="utf-8")
    assert dailytalk("check", str(folder)).code == 1


def test_every_text_of_a_row_is_shown_as_text(tmp_path: Path) -> None:
    markup = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;"

    def filled(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: filled(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [filled(item, name) for item in value]
        fixed = ("channel", "source_channel", "provenance")
        return markup if isinstance(value, str) and name not in fixed else value

    row = built_row(lines=LINES, kept_speaker="x", sounds=[(0.1, 0.2)])
    for utterance in row["utterances"]:
        texts = [name for name, value in utterance.items() if value is None and name in TEXTS]
        utterance |= dict.fromkeys(texts, "x")
    row = filled(row)
    for word in row["alignments"]:
        word["speaker"] = "left"
    text = write_report(write_dataset(tmp_path / "work", [row])).path.read_text(encoding="utf-8")
    body = text[text.index("<main>") : text.index("</main>")]
    assert "&lt;script&gt;" in body
    assert not re.search(r"<script|<img|&amp;amp;amp;|[^t]&amp;(?!amp;|quot|lt|gt|#)", body.replace(" src=x", ""))


#: Fields of an utterance that are text and shown.
TEXTS = ("speaker", "rule", "reason", "source_event", *(f"{name}_bucket" for name in ("valence", "arousal")))
