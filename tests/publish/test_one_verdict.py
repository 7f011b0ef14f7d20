"""The card of a version says what `dailytalk check` says of it, and of its work folder, however damaged."""

import json
from collections.abc import Callable, Iterable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from built_conversations import LINES, built_row, flac, stereo, write_dataset
from command import Command
from finished_corpora import clip_row, corpus_folder
from hub.server import HubServer
from huggingface_hub import hf_hub_download
from releases import REPO, held
from reports import pack_version, push_version, write_report

import dailytalk_contiguous.apps
from dailytalk_contiguous.cli.defaults import default_settings
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.finding import Finding
from dailytalk_contiguous.machine import apps
from dailytalk_contiguous.publish.checking import check_folder, check_version
from dailytalk_contiguous.publish.hub.compare import Changes
from dailytalk_contiguous.publish.hub.pushing import (
    BadVersion,
    PushSettings,
    Release,
    RepositoryState,
    describe_release,
)
from dailytalk_contiguous.publish.opening import finished_items
from dailytalk_contiguous.publish.tables.card import Card
from dailytalk_contiguous.publish.version import MANIFEST, Version, manifest_text, open_version
from dailytalk_contiguous.store.hub import Reference

pytest_plugins = ["hub.hub_fixtures"]

Row = dict[str, Any]

RATE = 24000

SOUND = stereo(LINES, 6.0, RATE)


def sound(pcm: Any, rate: int = RATE) -> Row:
    return {"bytes": flac(pcm, rate), "path": "call.flac"}


def utterances(**change: Any) -> Row:
    """The utterances of a row, the first of them changed."""
    first, *others = built_row()["utterances"]
    return {"utterances": [first | change, *others]}


def every_utterance(**change: Any) -> Row:
    return {"utterances": [utterance | change for utterance in built_row()["utterances"]]}


def words(**change: Any) -> Row:
    """The words of a row, the first of them changed."""
    first, *others = built_row()["alignments"]
    return {"alignments": [first | change, *others]}


def sides(**change: Any) -> Row:
    measured = {
        "speech_seconds": 2.4,
        "level_dbfs": -20.0,
        "snr_db": 40.0,
        "bandwidth_hz": 12000.0,
        "clipping_ratio": 0.0,
        "leak_db": -60.0,
        "unheard_words": 0,
    }
    left = {"channel": "left", **measured}
    return {"sides": [left, {"channel": "right", **measured, **change}]}


QUIET = [("left", 1.5, 1.6, "Yes."), ("right", 0.5, 5.5, "So I went there.")]

#: Words of the left side where both are silent.
UNHEARD = [
    word | {"start": 5.2 + n / 10, "end": 5.25 + n / 10} for n, word in enumerate(built_row()["alignments"])
]

#: Damages of a conversation with which it can be published.
PUBLISHED: dict[str, Row] = {
    "the left side is silent": {"audio": sound(SOUND * np.array([0, 1], np.int16))},
    "no word at all": {"alignments": []},
    "no word of the left side": {
        "alignments": [word for word in built_row()["alignments"] if word["speaker"] == "right"]
    },
    "a word outside the audio": words(end=6.5),
    "words that are not sorted": {"alignments": built_row()["alignments"][::-1]},
    "words that overlap": words(end=1.3),
    "a word without length": words(end=0.5),
    "a word without text": words(word=" "),
    "a word that is a style tag": words(word="(happy)"),
    "words where nothing is heard": {"alignments": UNHEARD[:7]},
    "an utterance that was spoken without text": utterances(text=" "),
    "an utterance id that occurs twice": utterances(utterance_id="call/right/0001"),
    "the duration of another file": {"duration": 6.02},
    "a sound without length": {"sounds": [(5.2, 5.2)]},
    "a recogniser that is not sure": every_utterance(confidence=0.3),
    "words faster than speech": utterances(text="word " * 40, text_raw="word " * 40),
    "speech without text": every_utterance(text="", text_raw="", status="kept"),
    "a voice that was not resynthesised": every_utterance(status="kept-original"),
    "noise": sides(snr_db=5.0),
    "clipping": sides(clipping_ratio=0.2),
    "a telephone": sides(bandwidth_hz=3400.0),
    "a leak": sides(leak_db=-10.0),
    "a side that dies": sides(silent_end=42.0),
    "one side much louder": sides(level_dbfs=-50.0),
    "words that nothing is heard of": sides(unheard_words=4),
    "a side that says nothing": {"lines": QUIET},
    "a transcript of another recording": {"transcript_repair": "not used"},
    "sound without an utterance": {"uncovered_sound": [{"channel": "left", "start": 1.0, "end": 4.0}]},
    "sides out of step": {
        "side_shift": {"seconds": 0.5, "drift_ppm": 0.0, "lacking": [], "known_by": "leak", "aligned": False}
    },
}  # fmt: skip

#: Damages of a conversation for which it is rejected.
REJECTED: dict[str, Row] = {
    "a sound without times": {"sounds": [(None, None)]},
    "a word without times": words(start=None),
    "an utterance on no channel": utterances(channel="mix"),
    "a duration that is no number": {"duration": float("nan")},
}

#: Damages of a conversation that stop a push.
REFUSED: dict[str, Row] = {
    "a mono file": {"audio": sound(SOUND[:, 0])},
    "audio that is none": {"audio": {"bytes": b"fLaC", "path": "x.flac"}},
    "audio that is cut short": {"audio": {"bytes": built_row()["audio"]["bytes"][:40_000], "path": "x.flac"}},
    "another sample rate": {"sample_rate": 48000},
    "an utterance without length": utterances(end=0.5),
}

RUNS: dict[str, Any] = {
    "many hours that were rejected": {
        "rejected": {
            "conversations": 3,
            "of_conversations": 6,
            "seconds": 18.0,
            "of_seconds": 36.0,
            "reasons": {"nobody speaks": 18.0},
            "remedies": {"nobody speaks": "record it again"},
        }
    },
    "recordings that can't be used": {"counts": {"recordings_rejected": 9}},
    "a conversation of an earlier run": {"speak": {"of_earlier_runs": ["call"]}},
}

#: An app that finds something in rows.
APP = """
from dailytalk_contiguous.core.records.finding import advice

def too_loud(data):
    yield advice("too-loud", "call", f"it is louder than {len(data.rows)} others", "turn it down")
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only app is one that finds something in rows."""
    folder = tmp_path / "apps"
    (folder / "levels").mkdir(parents=True)
    (folder / "levels/app.py").write_text('FINDINGS = ("heard:too_loud",)\n', encoding="utf-8")
    (folder / "levels/heard.py").write_text(APP, encoding="utf-8")
    monkeypatch.setattr(apps, "_FOLDER", folder)
    monkeypatch.setattr(dailytalk_contiguous.apps, "__path__", [str(folder)])


def work(folder: Path, columns: Row) -> Path:
    """A work folder of three conversations, of which one is damaged."""
    return write_dataset(folder, [built_row("fine"), built_row("call", **columns)], [built_row("other")])


def packed(folder: Path, stage: Path) -> tuple[Release, Version, Card]:
    """The version that a push of a work folder would send, and its card."""
    packed = pack_version(folder, stage)
    manifest = manifest_text(packed.manifest("v1.0.0", {}))
    (stage / MANIFEST).write_text(manifest)
    before = RepositoryState(Version(Reference(REPO), None, ()))
    release = Release(REPO, PushSettings(), before, packed, Changes(), "v1.0.0")
    version = open_version(stage)
    describe_release(release, finished_items(folder), version, default_settings())
    assert release.card
    return release, version, release.card


def said(findings: Iterable[Finding]) -> set[tuple[str, ...]]:
    return {(finding.level, finding.kind, finding.file, finding.problem) for finding in findings}


def one_line(text: str) -> str:
    return " ".join(unescape(text.replace("\\", "")).split())


def findings_that_agree(folder: Path, stage: Path) -> tuple[list[Finding], Release, Card]:
    """The findings on a work folder, once those on its version are the card's, and are in its text."""
    release, version, card = packed(folder, stage)
    of_version, _ = check_version(version)
    assert of_version != []
    assert said(of_version) == said(card.verdict.findings)
    text = one_line(card.text)
    sentences = [card.verdict.headline, *(finding.sentence for finding in of_version)]
    assert [sentence for sentence in sentences if one_line(sentence) not in text] == []
    return check_folder(folder)[0], release, card


@pytest.mark.parametrize("damage", PUBLISHED)
def test_card_lacks_no_finding_on_a_conversation_that_is_published(damage: str, tmp_path: Path) -> None:
    folder = work(tmp_path / "work", PUBLISHED[damage])
    of_folder, release, card = findings_that_agree(folder, tmp_path / "stage")
    assert release.packed.rejects == ()
    assert said(of_folder) == said(card.verdict.findings)
    undamaged, _ = check_folder(work(tmp_path / "undamaged", {}))
    assert said(of_folder) != said(undamaged)


@pytest.mark.parametrize("damage", REJECTED)
def test_card_lists_a_conversation_that_is_rejected_and_counts_its_hours_as_lost(
    damage: str, tmp_path: Path
) -> None:
    folder = work(tmp_path / "work", REJECTED[damage])
    of_folder, release, card = findings_that_agree(folder, tmp_path / "stage")
    (reject,) = release.packed.rejects
    errors = [finding for finding in of_folder if finding.level == "error"]
    assert [(finding.file, finding.problem) for finding in errors] == [(reject.id, reject.reason)]
    assert "| push |" in card.text
    assert said(of_folder) - said(errors) <= said(card.verdict.findings)
    kinds = {finding.kind for finding in card.verdict.findings}
    is_length_known = "duration" not in REJECTED[damage]
    assert ("lost-hours" in kinds) == is_length_known


@pytest.mark.parametrize("damage", REFUSED)
def test_push_that_stops_names_the_conversation_of_the_finding(damage: str, tmp_path: Path) -> None:
    folder = work(tmp_path / "work", REFUSED[damage])
    findings, _ = check_folder(folder)
    assert {finding.file for finding in findings if finding.level == "error"} == {"call"}
    with pytest.raises(DailytalkError, match="the audio of 'call' can't be used"):
        pack_version(folder, tmp_path / "stage")


@pytest.mark.parametrize("damage", RUNS)
def test_version_keeps_what_its_run_rejected(damage: str, tmp_path: Path) -> None:
    folder = work(tmp_path / "work", {})
    (folder / "run.json").write_text(json.dumps(RUNS[damage]))
    of_folder, _, card = findings_that_agree(folder, tmp_path / "stage")
    assert said(of_folder) == said(card.verdict.findings)
    assert card.verdict.level == "doubtful"


@pytest.mark.usefixtures("app")
def test_what_an_app_finds_is_in_check_report_and_card(tmp_path: Path) -> None:
    folder = work(tmp_path / "work", {})
    of_folder, _, card = findings_that_agree(folder, tmp_path / "stage")
    assert said(of_folder) == said(card.verdict.findings)
    assert "it is louder than 3 others" in card.text
    assert "it is louder than 3 others" in write_report(folder).path.read_text()


@pytest.mark.usefixtures("app")
def test_without_an_app_for_clips_they_are_checked_and_a_report_is_refused(tmp_path: Path) -> None:
    pack_version(corpus_folder(tmp_path / "work", [clip_row("s1-0")]), tmp_path / "version")
    version = open_version(tmp_path / "version")
    findings, _ = check_version(version)
    assert "few-minutes-of-emotion" not in {finding.kind for finding in findings}
    with pytest.raises(DailytalkError, match="no app shows clips here"):
        write_report(version, tmp_path / "report.html")


def test_version_has_no_path_of_the_machine_on_which_it_was_made(tmp_path: Path) -> None:
    folder = work(tmp_path / "work", {})
    reason = "'/home/ann/calls/a.wav' can't be read"
    rejected = {"of_seconds": 9.0, "seconds": 9.0, "reasons": {reason: 9.0}, "remedies": {reason: reason}}
    (folder / "run.json").write_text(json.dumps({"rejected": rejected}))
    findings_that_agree(folder, tmp_path / "stage")
    assert "/home/ann" not in (tmp_path / "stage" / MANIFEST).read_text()


def test_card_has_the_name_of_a_voice_in_a_file_and_no_path_of_it(tmp_path: Path) -> None:
    row = built_row("call")
    for utterance in row["utterances"]:
        synthesis = utterance["synthesis"]
        if synthesis:
            synthesis["voice"] = "/home/ann/bea.wav"
    folder = write_dataset(tmp_path / "work", [row])
    _, _, card = findings_that_agree(folder, tmp_path / "stage")
    assert "bea.wav" in card.text
    assert "/home/ann" not in card.text


CLIP_WORD = {"word": "Hello", "start": 0.2, "end": 1.4, "source": "given"}


def clip_damages() -> dict[str, Callable[[], list[Row]]]:
    """Clips of a corpus of which one is damaged, by the damage."""
    quiet = np.zeros((RATE, 2), np.int16)
    return {
        "nothing": list,
        "a silent clip": lambda: [clip_row("s3-4", audio=sound(quiet))],
        "a clip without words": lambda: [clip_row("s3-4", words=[])],
        "a word outside its clip": lambda: [clip_row("s3-4", words=[CLIP_WORD])],
        "an emotion that nobody heard": lambda: [
            clip_row(f"s3-{n}", perceived="sad", agreement=0.9) for n in range(4, 9)
        ],
    }


@pytest.mark.parametrize("damage", clip_damages())
def test_card_of_clips_says_what_check_says_of_the_version(damage: str, tmp_path: Path) -> None:
    rows = [clip_row(f"s{n % 3}-{n}", split="validation" if n == 2 else "train") for n in range(4)]
    balance = {"target_minutes": 25.0, "minutes_before": {"happy": 4.0, "sad": 10.0}}
    folder = corpus_folder(tmp_path / "work", [*rows, *clip_damages()[damage]()], {"balance": balance})
    _, _, card = findings_that_agree(folder, tmp_path / "stage")
    assert "few-minutes-of-emotion" in {finding.kind for finding in card.verdict.findings}


def test_bad_version_is_not_published_unless_that_is_accepted(
    hub: HubServer, impatient: None, tmp_path: Path, dailytalk: Command
) -> None:
    folder = work(tmp_path / "work", {"alignments": []})
    checked = dailytalk("check", folder, "--json")
    assert checked.code == 1
    options = ("--create", "--tag", "v1.0.0")

    planned = dailytalk("push", folder, REPO, *options, "--dry-run")
    assert planned.code == 0
    assert "error: call: no word of the left speaker" in planned.out
    assert "--even-if-bad" in planned.out
    refused = dailytalk("push", folder, REPO, *options)
    assert refused.code == 1
    assert "error: call: no word of the left speaker" in refused.out
    assert "the version is bad, and nothing was published" in refused.err
    assert "call: no word of the left speaker, Moshi's, is aligned" in refused.err
    assert "--even-if-bad" in refused.err
    assert held(hub) == {}

    accepted = dailytalk("push", folder, REPO, *options, "--even-if-bad", "--json")
    assert accepted.code == 0
    pushed = json.loads(accepted.out)["verdict"]
    of_version = json.loads(dailytalk("check", f"{REPO}@v1.0.0", "--json").out)["verdict"]
    assert pushed == of_version
    assert pushed["level"] == "bad"
    card = Path(hf_hub_download(REPO, "README.md", repo_type="dataset", revision="v1.0.0")).read_text()
    assert one_line(pushed["headline"]) in one_line(card)


def test_refusal_names_the_first_errors_and_says_how_many_more_there_are(
    hub: HubServer, impatient: None, tmp_path: Path
) -> None:
    rows = [built_row(f"call{n}", alignments=[]) for n in range(5)]
    folder = write_dataset(tmp_path / "work", rows)
    with pytest.raises(BadVersion, match=r"call\d: no word .*call\d: no word .*and 2 more findings") as refused:
        push_version(folder, REPO, PushSettings(create=True))
    assert refused.value.release.commit is None
    card = refused.value.release.card
    assert card is not None
    assert card.verdict.level == "bad"


def test_card_of_many_damaged_conversations_leaves_no_kind_of_finding_out(tmp_path: Path) -> None:
    silent = sound(SOUND * np.array([0, 1], np.int16))
    rows = [built_row(f"call{n:02d}", alignments=[], audio=silent) for n in range(30)]
    folder = write_dataset(tmp_path / "work", rows)
    _, _, card = packed(folder, tmp_path / "stage")
    text = one_line(card.text)
    for kind in {finding.kind for finding in card.verdict.findings if finding.level == "error"}:
        assert f"25 more findings of this kind (`{kind}`)" in text


def test_card_says_nothing_of_other_corpora(tmp_path: Path) -> None:
    rows = [built_row(f"call{n}", kept_speaker=f"person {n}") for n in range(12)]
    _, _, card = packed(write_dataset(tmp_path / "work", rows), tmp_path / "stage")
    assert "## Turn-taking" in card.text
    for name in ("CANDOR", "DuplexDrama", "Fisher", "Open Yap", "DailyTalk,"):
        assert name not in card.text
