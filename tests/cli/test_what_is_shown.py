"""What commands show at their end, line by line: their outcome, made of what the work gives, and printed."""

import copy
import io
import json
import logging
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dailytalk_contiguous.cli import doctor as doctor_command
from dailytalk_contiguous.cli import recipe as recipe_command
from dailytalk_contiguous.cli.corpus import corpus_outcome, laid_out
from dailytalk_contiguous.cli.export import words_text
from dailytalk_contiguous.cli.mix import mix_outcome
from dailytalk_contiguous.cli.options import size_text
from dailytalk_contiguous.cli.plan import plan_outcome, say_piece
from dailytalk_contiguous.cli.push import push_outcome
from dailytalk_contiguous.cli.report import clips_judged
from dailytalk_contiguous.cli.show import say_left_out, say_time_spent
from dailytalk_contiguous.cli.speak import speak_intended, speak_outcome
from dailytalk_contiguous.cli.status import status_outcome
from dailytalk_contiguous.cli.tag import stream_outcome, tag_intended, tag_outcome
from dailytalk_contiguous.cli.terminal import Console, guarded, show_outcome
from dailytalk_contiguous.cli.versions import diff_outcome, version_row
from dailytalk_contiguous.core.agreement import Against, Kappa, Rater
from dailytalk_contiguous.core.changes import Shifts
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.licensing import Combined
from dailytalk_contiguous.core.outcome import Figures, Judgement, Outcome, exit_code, rejected_of
from dailytalk_contiguous.core.wording import length_text
from dailytalk_contiguous.pipelines import tag_stages
from dailytalk_contiguous.publish.compare import Changes
from dailytalk_contiguous.publish.exports import WordCounts
from dailytalk_contiguous.publish.listening import JudgedClip
from dailytalk_contiguous.publish.manifest import DataFile, Packed
from dailytalk_contiguous.publish.mixture import Mixed, MixPart
from dailytalk_contiguous.publish.pushing import Change, Published, Target
from dailytalk_contiguous.publish.pushing import PushOutcome as Pushed
from dailytalk_contiguous.publish.pushing import PushPlan as Push
from dailytalk_contiguous.publish.version import Listed
from dailytalk_contiguous.run import estimate, local, speaking, streaming, tagging
from dailytalk_contiguous.run.build import Built
from dailytalk_contiguous.run.clip_plan import ClipPlan
from dailytalk_contiguous.run.clips import Read, WrittenConversations
from dailytalk_contiguous.run.events import Account, Run, length
from dailytalk_contiguous.run.price import Price
from dailytalk_contiguous.run.run import RunOutcome
from dailytalk_contiguous.run.shard import Task
from dailytalk_contiguous.sources.recordings import LeftOut
from dailytalk_contiguous.stages.finish import Finish
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.stages.voice import ChooseVoice

OUT = Path("/data")
ACCOUNT = Account({"Segment": 2.0, "Tag": 1.0}, {"Segment": 40.0, "Tag": 0.0}, 4.0, 2.5, 0.5)

#: Gives the lines that an outcome is printed as, without the spaces at their ends.
Printed = Callable[[Outcome], list[str]]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    def lines(outcome: Outcome) -> list[str]:
        capsys.readouterr()
        assert show_outcome(outcome) == outcome.code
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    return lines


def rejects(count: int, stage: str = "Folder") -> list[Reject]:
    return [Reject(f"c{n}", stage, f"reason {n}", "mend [it]") for n in range(count)]


def write_rejects(out: Path, rejects: list[Reject]) -> None:
    (out / "rejects.jsonl").write_text("".join(json.dumps(reject.as_dict()) + "\n" for reject in rejects))


def task(seconds: float) -> Task:
    return Task(OUT, [{"duration": seconds}], {})


# An outcome


def test_outcome_ends_with_what_was_made_what_was_rejected_and_what_to_run_next(printed: Printed) -> None:
    head = ("what", ">how many")
    outcome = Outcome(
        {}, "[3] made", 3, ["before", Figures(head, [("[a]", "1")])], rejected_of(rejects(1)), "dailytalk check x"
    )
    assert printed(outcome) == [
        "before",
        "what  how many",
        "[a]          1",
        "[3] made",
        "rejected: 1, all with --json",
        '  rejected: "c0": reason 0; mend [it]',
        "next: dailytalk check x",
    ]


def test_rejects_of_many_kinds_are_five_lines_with_three_names_each(printed: Printed) -> None:
    kinds = [Reject(f"{kind}{n}", "Folder", f"reason {kind}", "mend it") for kind in "abcdefg" for n in range(4)]
    lines = printed(Outcome({}, "made", rejected=rejected_of(kinds, "clip", "in work/rejects.jsonl")))
    assert lines[1] == "rejected: 28 clips, in work/rejects.jsonl"
    assert lines[2] == '  rejected: "a0", "a1", "a2" and 1 more: reason a; mend it'
    assert lines[6:] == ['  rejected: "e0", "e1", "e2" and 1 more: reason e; mend it', "  … 8 for other reasons"]


def test_record_is_all_that_is_printed_as_json_and_nothing_where_it_is_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert show_outcome(Outcome({"made": 3}, "3 made", 3, ["before"], next="go on"), as_json=True) == 3
    assert json.loads(capsys.readouterr().out) == {"made": 3}
    assert show_outcome(Outcome(None, "ended"), as_json=True) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_in_the_way_of_a_plan_is_raised_once_the_plan_is_printed(
    as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DailytalkError, match="there is no token"):
        show_outcome(Outcome({}, "1 shard", error=DailytalkError("there is no token", "set one")), as_json)
    assert capsys.readouterr().out == ("{}\n" if as_json else "1 shard\n")


GREEN, RED, YELLOW = "\x1b[1;32m", "\x1b[1;31m", "\x1b[1;33m"


@pytest.mark.parametrize(("code", "colour"), [(0, GREEN), (1, RED), (3, YELLOW)])
def test_headline_has_the_colour_of_its_code_on_a_terminal(
    code: int, colour: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm-256color"), ("COLORTERM", ""), ("COLUMNS", "200")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    show_outcome(Outcome({}, "3 made", code, [Judgement("so so", None)]))
    assert capsys.readouterr().out == f"{YELLOW}so so\x1b[0m\n{colour}3 made\x1b[0m\n"


@pytest.mark.parametrize(("done", "rejected", "code"), [(1, 0, 0), (1, 1, 3), (0, 1, 1), (0, 0, 1)])
def test_exit_code_tells_of_what_is_done_and_of_rejects(done: int, rejected: int, code: int) -> None:
    assert exit_code(done, rejected) == code


# tag

RECORD: dict[str, Any] = {
    "stages": [
        {"name": "Segment", "seconds": 1.25, "realtime_factor": None, "settings": {}},
        {"name": "Transcribe", "seconds": 30.0, "realtime_factor": 0.5, "settings": {"model": "medium"}},
    ],
    "counts": {
        "conversations": 2,
        "utterances": 9,
        "short_utterances": 3,
        "utterances_by_recogniser": {"given": 4, "medium": 5},
        "conversations_by_given_language": {},
        "words_fitted": 0,
        "utterances_without_text": {"nothing was heard": 1},
        "notes": 7,
        "rejects": 6,
    },
    "models": {"recogniser": {"name": "medium", "note": ""}},
    "rejected": {"conversations": 1, "of_conversations": 3, "seconds": 119.8, "of_seconds": 202.7},
    "hours": {"speech": 0.25},
    "notes": [{"conversation_id": f"n{n}", "note": "[faint]"} for n in range(6)],
    "transcript": "transcript.jsonl",
}


def tagged(**changes: Any) -> RunOutcome:
    told: dict[str, Any] = {
        "record": RECORD,
        "rejects": [],
        "n_conversations": 2,
        "n_shards": 4,
        "n_made": 3,
        "n_missing": 0,
        "audio_seconds": 600.0,
        "wall_seconds": 60.0,
        "account": ACCOUNT,
    }
    return RunOutcome(**(told | changes))


def write_results(folder: Path, transcript: str = "transcript.jsonl") -> None:
    line = {"start": 1.5, "channel": "left", "tagged_text": "(calm) Hello [there].", "text_reason": None}
    mute = {"start": 1234.0, "channel": "right", "tagged_text": None, "text_reason": "nothing was heard"}
    lines = [json.dumps(one) + "\n" for one in (line, mute, line, line, line, line)]
    (folder / transcript).write_text("".join(lines))
    (folder / "rejects.jsonl").write_text("".join(json.dumps(one.as_dict()) + "\n" for one in rejects(6)))


def test_run_of_tag_is_shown_with_speed_stages_counts_notes_first_lines_and_rejects(
    tmp_path: Path, printed: Printed
) -> None:
    write_results(tmp_path)
    assert printed(tag_outcome(tagged(), tmp_path)) == [
        "10.0 min in 60.0 s (10.0× real time), 3 of 4 shards made",
        "stage       seconds  real-time factor",
        "Segment         1.2",
        "Transcribe     30.0            0.5000",
        "model of Transcribe: medium",
        "4 with the words of a transcript that came with the recording",
        "1 without text: nothing was heard",
        *(f"note: n{n}: [faint]" for n in range(5)),
        "… 2 more notes in run.json",
        f"transcript  {tmp_path}/transcript.jsonl",
        f"shards      {tmp_path}/tagged",
        f"record      {tmp_path}/run.json",
        "     1.50  left   (calm) Hello [there].",
        "  1234.00  right  (no text: nothing was heard)",
        *["     1.50  left   (calm) Hello [there]."] * 3,
        "2 conversations, 9 utterances (3 short), 15.0 min of speech",
        f"rejected: 6 (1 of 3 conversations, 119.8 of 202.7 s), in {tmp_path}/rejects.jsonl",
        '  rejected: "c0", "c1", "c2" and 3 more: reason 0; mend [it]',
        f"next: dailytalk speak {tmp_path}",
    ]


def test_line_is_left_out_where_there_is_nothing_to_count(tmp_path: Path, printed: Printed) -> None:
    write_results(tmp_path, "transcript.new.jsonl")
    record = copy.deepcopy(RECORD) | {"notes": RECORD["notes"][:5], "transcript": "transcript.new.jsonl"}
    record["counts"] |= {"utterances_by_recogniser": {}, "utterances_without_text": {}, "notes": 5, "rejects": 0}
    lines = printed(tag_outcome(tagged(record=record, n_made=0), tmp_path))
    assert lines[0] == "nothing to do: all 4 shards are done"
    assert lines[5] == "note: n0: [faint]"
    assert not [line for line in lines if "more note" in line or "without text" in line or "came with" in line]
    assert not [line for line in lines if "rejected" in line]
    at = next(number for number, line in enumerate(lines) if line.startswith("transcript "))
    assert lines[at + 1] == "  (transcript.jsonl was edited since it was written, and is left as it is)"
    unknown = '{"start": 1.5, "channel": "left", "tagged_text": "Hello.", "rms": NaN}\n'
    (tmp_path / "transcript.new.jsonl").write_text(unknown)
    assert "     1.50  left   Hello." in printed(tag_outcome(tagged(record=record), tmp_path))
    (tmp_path / "transcript.new.jsonl").write_text('{"start": 1}\n')
    lines = printed(tag_outcome(tagged(record=record), tmp_path))
    assert [line for line in lines if line.startswith("  (its first lines are not as they were written: ")]


@pytest.mark.parametrize(
    ("heard", "line"),
    [
        ({"given": 4, "medium": 5}, "model of Transcribe: medium (hears [some] badly)"),
        ({"medium": 9}, "model of Transcribe: medium (hears [some] badly)"),
        ({"given": 9}, None),
    ],
)
def test_recogniser_is_named_with_what_to_mind_where_it_heard_words(
    tmp_path: Path, heard: dict[str, int], line: str | None, printed: Printed
) -> None:
    write_results(tmp_path)
    models = {"recogniser": {"name": "medium", "note": "hears [some] badly"}}
    record = RECORD | {"models": models, "counts": RECORD["counts"] | {"utterances_by_recogniser": heard}}
    lines = printed(tag_outcome(tagged(record=record), tmp_path))
    assert [text for text in lines if "model of" in text] == [line] * (line is not None)


def test_shards_of_other_hosts_are_missed_and_nothing_else_is_shown(tmp_path: Path, printed: Printed) -> None:
    lines = printed(tag_outcome(tagged(record=None, n_missing=1, n_conversations=0), tmp_path))
    assert lines[1] == "1 shard still missing; no recording could be used"
    assert lines[2].startswith("next: nothing: the host that makes the last shard writes the transcript")
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("seconds", "by_tag", "by_status"),
    [
        (119.4, "119.4 s", "119 s"),
        (120.0, "2.0 min", "2.0 min"),
        (7199.0, "120.0 min", "120.0 min"),
        (7200.0, "2.0 h", "2.0 h"),
        (72 * 3600 - 1.0, "72.0 h", "72.0 h"),
        (72 * 3600.0, "72.0 h", "3.0 days"),
    ],
)
def test_lengths_have_the_unit_that_people_would_take(seconds: float, by_tag: str, by_status: str) -> None:
    assert (length_text(seconds), length(seconds)) == (by_tag, by_status)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_900, "999.9 kB"),
        (1_000_000, "1.0 MB"),
        (999_900_000, "999.9 MB"),
        (1_000_000_000, "1.0 GB"),
        (2_340_000_000_000, "2340.0 GB"),
        (0.0, "0 bytes"),
    ],
)
def test_sizes_have_the_unit_that_people_would_take(size: float, text: str) -> None:
    assert size_text(size) == text


def found(n_problems: int) -> tagging.FoundRecordings:
    rows = [
        {"conversation_id": f"c{n}", "recording_id": f"r{n // 2}", "duration": 1800.0 * (n + 1)} for n in range(3)
    ]
    return tagging.FoundRecordings(
        [rows[:2], rows[2:]], rejects(n_problems), left_out=LeftOut([".a.wav"], ["run1/audio/"])
    )


def test_dry_run_of_tag_shows_recordings_stages_models_every_reject_and_shards(printed: Printed) -> None:
    stages = tag_stages(profile="embedded", language="en")
    plan = local.RunPlan([OUT / "a", OUT / "b"], [task(5400.0)], 4)
    outcome = tag_intended(found(7), plan, stages[4:])
    assert printed(outcome) == [
        "2 recordings, 3 conversations, 3.0 h",
        "transcripts for 0 of 2 recordings; words are recognised",
        "stages to run: RateAffect, Bucket, Tag, Punctuate",
        "  affect: acoustic-estimate",
        *(f'  rejected: "c{n}": reason {n}; mend [it]' for n in range(7)),
        "2 shards, 1 of them to make (90.0 min)",
        "next: the same command without --dry-run",
    ]
    assert tag_intended(found(1), plan, stages[4:]).record == {
        "conversations": 3,
        "rejected": [rejects(1)[0].as_dict()],
        "hidden": [".a.wav"],
        "made_by_dailytalk": ["run1/audio/"],
        "paired": [],
        "transcripts": {"recordings": 0, "kinds": {}, "languages": {}},
        "shards": {"all": 2, "to_make": 1},
        "audio_seconds": 5400.0,
        "stages": ["RateAffect", "Bucket", "Tag", "Punctuate"],
    }
    done = tag_intended(found(0), local.RunPlan([OUT / "a"], [], 0), ())
    assert len(printed(done)) == 4
    assert done.record["stages"] == []


def test_names_of_what_was_passed_over_are_shown_up_to_five(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f".{n}" for n in range(6)]
    say_left_out(LeftOut())
    say_left_out(LeftOut(names[:5], ["run1/audio/"], paired=["a"]))
    assert capsys.readouterr().err.splitlines() == [
        'passed over 5 hidden (name one as INPUT to take it): ".0", ".1", ".2", ".3", ".4"',
        'passed over 1 made by dailytalk (name one as INPUT to take it): "run1/audio/"',
        '1 with a file for each side: "a"',
    ]
    say_left_out(LeftOut(names))
    assert capsys.readouterr().err.endswith('".4", … 1 more\n')


@pytest.mark.parametrize(
    ("conversations", "n_rejects", "written", "code"),
    [
        *((1, 0, True, 0), (1, 1, True, 3), (0, 1, True, 1), (0, 0, True, 1)),
        *((1, 0, False, 0), (1, 2, False, 3), (0, 2, False, 1)),
    ],
)
def test_exit_code_of_tag_tells_of_rows_and_rejects(
    conversations: int, n_rejects: int, written: bool, code: int, tmp_path: Path
) -> None:
    write_results(tmp_path)
    counts = RECORD["counts"] | {"conversations": conversations, "rejects": n_rejects}
    # What is written counts: a run that found nothing new may stand on results with rejects.
    problems = [] if written else rejects(n_rejects)
    done = tagged(
        record=RECORD | {"counts": counts} if written else None,
        rejects=problems,
        n_conversations=9 if written else conversations,
    )
    assert tag_outcome(done, tmp_path).code == code


def test_tag_as_json_has_every_figure(tmp_path: Path) -> None:
    write_results(tmp_path)
    record = tag_outcome(tagged(n_missing=1, audio_seconds=1.238, wall_seconds=2.345), tmp_path).record
    assert record == {
        "out": str(tmp_path),
        "complete": True,
        "shards": {"all": 4, "made": 3, "missing": 1},
        "audio_seconds": 1.24,
        "wall_seconds": 2.35,
        "time": {
            "stages": {
                "Segment": {"seconds": 2.0, "audio_seconds": 40.0},
                "Tag": {"seconds": 1.0, "audio_seconds": 0.0},
            },
            "planning_seconds": 2.5,
            "outside_stages_seconds": 4.0,
            "outputs_seconds": 0.5,
        },
        "run": RECORD,
    }
    assert tag_outcome(tagged(record=None), OUT).record["complete"] is False


# speak

SPOKEN: dict[str, Any] = {
    "stages": [{"name": "Speak", "seconds": 12.34}],
    "counts": {"conversations": 2, "spoken": 8, "kept": 7, "words": 90, "dropped": 1, "rejects": 5}
    | {"kept_original": 2},
    "mean": {"offset_distance": 0.0124, "overlap_kept": 0.876, "duration_ratio": 1.034},
    "lost_speech_seconds": 0.5,
    "lost_sound_seconds": 0.25,
    "money": {"spent": 0.0123, "saved_by_cache": 0.4},
}


def spoken(**changes: Any) -> RunOutcome:
    told = {"rejects": [], "n_shards": 3, "n_made": 1, "audio_seconds": 90.0, "wall_seconds": 30.0}
    told |= {"account": ACCOUNT}
    return RunOutcome(**({"record": SPOKEN} | told | changes))


PATHS = [
    "conversations /data/audio",
    "transcript    /data/transcript_shifted.jsonl",
    "dataset       /data/dataset",
    "record        /data/run.json",
]


def test_run_of_speak_is_shown_with_speed_counts_turn_taking_and_money(printed: Printed, tmp_path: Path) -> None:
    write_rejects(tmp_path, rejects(1, "Speak"))
    assert printed(speak_outcome(spoken(), tmp_path)) == [
        "90.0 s in 30.0 s (3.0× real time), 1 of 3 shards made",
        "stage  seconds",
        "Speak     12.3",
        "1 left out, without text",
        "2 with their original voice",
        "turn-taking: offsets 12 ms from the source's, 88% of possible overlap kept, length ×1.03; "
        "lost of the kept speaker: 0.50 s of speech, 0.25 s of other sounds",
        "spent 0.0123 USD, saved by the cache 0.4000 USD",
        *(line.replace(" /data", f" {tmp_path}") for line in PATHS),
        "2 conversations, 8 utterances resynthesised, 7 kept as recorded, 90 words aligned",
        f"rejected: 5, in {tmp_path}/rejects.jsonl",
        '  rejected: "c0": reason 0; mend [it]',
        f"next: dailytalk check {tmp_path}",
    ]


def test_each_half_of_the_work_shows_its_own_rejects(tmp_path: Path, printed: Printed) -> None:
    write_results(tmp_path)
    written = [Reject(name, stage, "why", "mend it") for name, stage in (("t", "Transcribe"), ("s", "Speak"))]
    write_rejects(tmp_path, written)
    for own, outcome in (("t", tag_outcome(tagged(), tmp_path)), ("s", speak_outcome(spoken(), tmp_path))):
        lines = [line for line in printed(outcome) if line.startswith("  rejected")]
        assert lines == [f'  rejected: "{own}": why; mend it']


def test_run_of_speak_that_made_nothing_counts_zeros(printed: Printed) -> None:
    record = SPOKEN | {"counts": {"rejects": 0}, "mean": {}, "stages": []}
    outcome = speak_outcome(spoken(record=record, n_made=0), OUT)
    assert outcome.code == 1
    lines = printed(outcome)
    assert lines[0] == "nothing to do: all 3 shards are done"
    assert lines[-1] == "0 conversations, 0 utterances resynthesised, 0 kept as recorded, 0 words aligned"


def test_dry_run_of_speak_shows_utterances_bytes_price_and_what_is_in_the_way(printed: Printed) -> None:
    script = speaking.SynthesisInput([[{"conversation_id": "a"}, {"conversation_id": "b"}]], rejects(1))
    settings = Speak(engine="espeak", no_text="drop")
    whole = Price(12, 3, 2, 1, 345, 0.01234, 0.5, "there is no token")
    plan = local.RunPlan([OUT / "a", OUT / "b"], [task(60.0)], 0)
    stages = (ChooseVoice(), Finish())
    assert printed(speak_intended(script, whole, settings, plan, stages)) == [
        "2 conversations, 12 utterances to say by espeak (30.0 min in the recordings), "
        "3 of them in the cache or said before",
        "345 bytes of text; about 0.0123 USD to spend",
        "stages to run: ChooseVoice, Finish",
        "2 utterances without text: drop",
        "1 conversation with too little speech to clone a voice from",
        '  rejected: "c0": reason 0; mend [it]',
        "2 shards, 1 of them to make (60.0 s)",
        "next: the same command without --dry-run",
    ]
    plain = Price(12, 3, 0, 0, 345, 0.01234, 0.5)
    script.rejects.clear()
    done = local.RunPlan([OUT / "a"], [], 0)
    assert len(printed(speak_intended(script, plain, settings, done, stages))) == 4


@pytest.mark.parametrize(
    ("counts", "share"),
    [
        ({"rejects": 3, "recordings_rejected": 1}, "3 (1 recording; 1 of 2 conversations, 119.8 of 202.7 s)"),
        ({"rejects": 3}, "3 (1 of 2 conversations, 119.8 of 202.7 s)"),
    ],
)
def test_share_of_rejects_names_recordings_beside_conversations(
    counts: dict[str, int], share: str, tmp_path: Path, printed: Printed
) -> None:
    write_results(tmp_path)
    rejected = {"conversations": 1, "of_conversations": 2, "seconds": 119.8, "of_seconds": 202.7}
    record = RECORD | {"counts": RECORD["counts"] | counts, "rejected": rejected}
    lines = printed(tag_outcome(tagged(record=record), tmp_path))
    assert f"rejected: {share}, in {tmp_path}/rejects.jsonl" in lines


@pytest.mark.parametrize(
    ("rejected", "of", "lengths"),
    [
        (599.9, 599.9, "599.9 of 599.9 s"),
        (60.0, 600.0, "60.0 s of 10.0 min"),
        (600.0, 36_000.0, "10.0 min of 10.0 h"),
    ],
)
def test_lengths_of_rejects_are_in_seconds_below_ten_minutes(
    rejected: float, of: float, lengths: str, tmp_path: Path
) -> None:
    write_results(tmp_path)
    share = {"conversations": 1, "of_conversations": 2, "seconds": rejected, "of_seconds": of}
    (part,) = tag_outcome(tagged(record=RECORD | {"rejected": share}), tmp_path).rejected
    assert part.share == f"6 (1 of 2 conversations, {lengths})"


# A stream


def of_stream(out: Path = OUT, spoken: bool = False, **changes: Any) -> Outcome:
    record = {"counts": {"conversations": 5, "utterances": 40, "rejects": 2}}
    done: dict[str, Any] = {
        "record": record | {"speak": {"counts": {"conversations": 5, "rejects": 1}}},
        "windows": 6,
        "made": [150.0] * 4,
        "complete": True,
        "stopped": "",
        "held": 0,
    } | changes
    positions = SimpleNamespace(windows=range(6), complete=done["complete"], audio_seconds=5400.0)
    spec: Any = SimpleNamespace(out=out, speaking=spoken, positions=positions)
    spec.made, spec.stopped, spec.held = done["made"], done["stopped"], done["held"]
    return stream_outcome(spec, RunOutcome([], ACCOUNT, 120.0, done["record"]))


def test_end_of_a_stream_is_shown_with_windows_hours_and_counts(tmp_path: Path, printed: Printed) -> None:
    write_rejects(tmp_path, rejects(2))
    assert printed(of_stream(tmp_path, False)) == [
        "10.0 min in 2.0 min (5.0× real time), 4 windows made",
        f"transcript  {tmp_path}/transcript.jsonl",
        f"dataset     {tmp_path}/tagged",
        f"record      {tmp_path}/run.json",
        "6 windows, 1.50 h to the end of the source: 5 conversations, 40 utterances tagged",
        f"rejected: 2, in {tmp_path}/rejects.jsonl",
        '  rejected: "c0", "c1": reason 0; mend [it]',
        f"next: dailytalk speak {tmp_path}",
    ]
    lines = printed(of_stream(tmp_path, True, made=[], held=3))
    assert lines[0] == "nothing to do"
    assert "3 conversations held back; the next run tries again" in lines
    assert f"rejected: 3, in {tmp_path}/rejects.jsonl" in lines
    assert f"dataset     {tmp_path}/dataset" in lines
    none = {"counts": {"conversations": 5, "utterances": 40, "rejects": 0}}
    assert not of_stream(tmp_path, False, record=none).rejected


@pytest.mark.parametrize(
    ("stopped", "why"),
    [
        (streaming.HOURS, "stopped at --limit-hours; a higher one goes on from there"),
        (streaming.DISK, "stopped at --limit-disk; free some space"),
        (streaming.UNSAID, "stopped: nothing could be said of 5 windows in a row (see rejects.jsonl)"),
    ],
)
def test_stream_that_stopped_says_why_and_how_far_it_is(stopped: str, why: str, printed: Printed) -> None:
    lines = printed(of_stream(stopped=stopped, complete=False, made=[], record=None))
    assert (lines[0], lines[-2]) == ("nothing was made", "6 windows, 1.50 h so far")
    assert lines[-1].startswith(f"next: {why}")


@pytest.mark.parametrize(
    ("tagged", "rejected", "said", "unsaid", "code", "code_spoken"),
    [
        *((5, 0, 5, 0, 0, 0), (5, 1, 5, 0, 3, 3), (5, 0, 5, 1, 0, 3), (5, 0, 0, 0, 0, 1), (0, 0, 0, 0, 1, 1)),
        *((0, 2, 0, 0, 1, 1), (0, 0, 5, 0, 1, 1)),
    ],
)
def test_exit_code_of_a_stream_tells_of_both_halves(
    tagged: int, rejected: int, said: int, unsaid: int, code: int, code_spoken: int
) -> None:
    record = {"counts": {"conversations": tagged, "utterances": 9, "rejects": rejected}}
    record |= {"speak": {"counts": {"conversations": said, "rejects": unsaid}}}  # type: ignore[dict-item]

    def code_of(spoken: bool, **changes: Any) -> int:
        return of_stream(OUT, spoken, **{"record": record} | changes).code

    assert (code_of(False), code_of(True)) == (code, code_spoken)
    assert code_of(True, stopped=streaming.UNSAID) == (3 if code_spoken == 0 else code_spoken)
    assert code_of(False, stopped=streaming.HOURS) == code
    assert code_of(True, record=None) == 3


# status

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def run_of(**changes: Any) -> Run:
    told: dict[str, Any] = {
        "run": "1",
        "kind": "tag",
        "shard": (1, 1),
        "host": "here",
        "pid": 7,
        "born": "",
        "started": NOON - timedelta(seconds=1000),
        "last_event": NOON - timedelta(seconds=30),
        "last_shard": NOON - timedelta(seconds=100),
        "shards_all": 9,
        "shards": 8,
        "audio_seconds": 7200.0,
        "done": 2,
        "audio_done": 1800.0,
    }
    return Run(**(told | changes))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {},
            "tag on here, process 7: running; 2 of 8 shards, 0.50 of 2.00 h, 2.0× real time, 43.3 min left, "
            "last event 30 s ago",
        ),
        (
            {"shard": (2, 3), "last_shard": None, "spent": 0.5},
            "tag 2/3 on here, process 7: running; 2 of 8 shards, 0.50 of 2.00 h, 0.5000 USD spent, "
            "last event 30 s ago",
        ),
        (
            {"stage": "Speak", "last_shard": None, "audio_seconds": 290.0, "audio_done": 0.0},
            "tag on here, process 7: running; 2 of 8 shards, 0.0 of 4.8 min, Speak, last event 30 s ago",
        ),
        (
            {"stage": "Speak", "share": 0.375, "seconds_left": 90.0},
            "tag on here, process 7: running; 2 of 8 shards, 0.50 of 2.00 h, Speak, 38% of the work done, "
            "2.0× real time, 60 s left, last event 30 s ago",
        ),
        (
            {"state": "finished", "last_event": NOON + timedelta(seconds=5)},  # a clock of another host
            "tag on here, process 7: finished; 2 of 8 shards, 0.50 of 2.00 h, 2.0× real time, last event 0 s ago",
        ),
        (
            {"audio_seconds": 3000.0, "audio_done": 1500.0, "state": "finished", "last_shard": None},
            "tag on here, process 7: finished; 2 of 8 shards, 25.0 of 50.0 min, last event 30 s ago",
        ),
        (
            {"audio_seconds": 3600.0, "audio_done": 1800.0, "state": "finished", "last_shard": None},
            "tag on here, process 7: finished; 2 of 8 shards, 0.50 of 1.00 h, last event 30 s ago",
        ),
        (
            {"audio_seconds": 1800_000.0, "audio_done": 900_000.0, "state": "finished", "last_shard": None},
            "tag on here, process 7: finished; 2 of 8 shards, 250.00 of 500.00 h, last event 30 s ago",
        ),
    ],
)
def test_run_is_a_line_of_what_is_done_left_and_spent(changes: dict[str, Any], line: str) -> None:
    assert status_outcome([run_of(**changes)], NOON).details == [line]


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({}, []),
        ({"state": "finished"}, []),
        (
            {"state": "gone"},
            ["tag: no event for 30 s: its process 7 on here is gone; run the same command again to go on."],
        ),
        ({"state": "silent"}, ["tag: no event for 30 s; look on here whether process 7 lives."]),
        ({"state": "failed", "reason": "the disk is full"}, ["tag: the disk is full."]),
        ({"rejects": 2}, ["tag: 2 rejected; rejects.jsonl will tell why, once all is done."]),
        (
            {"rejects": 1, "explained": True, "state": "finished"},
            ["tag: 1 rejected; rejects.jsonl tells why."],
        ),
    ],
)
def test_end_of_a_run_is_a_sentence(changes: dict[str, Any], sentences: list[str]) -> None:
    outcome = status_outcome([run_of(**changes)], NOON)
    assert outcome.details[1:] == sentences
    assert outcome.headline == f"1 run, {int(run_of(**changes).state == 'running')} running"


def test_run_as_json_has_every_figure() -> None:
    run = run_of(stages=Counter({"Tag": 1.239}), workers={4, 5}, rejects=1, spent=0.25)
    assert status_outcome([run], NOON).record["runs"] == [run.as_dict(NOON)]
    assert run.as_dict(NOON) == {
        "run": "1",
        "kind": "tag",
        "shard": "1/1",
        "host": "here",
        "pid": 7,
        "state": "running",
        "reason": "",
        "started": "2026-01-02T11:43:20+00:00",
        "last_event_age": 30.0,
        "shards": {"all": 9, "done": 2, "left": 6},
        "hours": {"done": 0.5, "left": 1.5},
        "rejects": 1,
        "stage": "",
        "share": None,
        "speed": 2.0,
        "seconds_left": 2600.0,
        "spent": 0.25,
        "workers": 2,
        "stage_seconds": {"Tag": 1.24},
    }
    new = run_of(last_shard=None, audio_done=7500.0).as_dict(NOON)
    assert (new["speed"], new["seconds_left"], new["hours"]["left"]) == (None, None, 0.0)
    assert run_of(state="gone").left_seconds(NOON) is None
    assert run_of(seconds_left=29.0).left_seconds(NOON) is None  # it takes longer than it foretold
    assert run_of().left_seconds(NOON + timedelta(seconds=9999)) == 0.0


# plan


def planned(**changes: Any) -> estimate.Estimate:
    sizes = {"tagged_bytes": 999e3, "dataset_bytes": 1e6, "wav_bytes": 2.5e9, "cache_bytes": 1e9}
    told: dict[str, Any] = {
        "audio_hours": 10.0,
        "conversations": 30,
        "rejected": 2,
        "sample_pieces": 6,
        "sample_seconds": 180.0,
        "workers": 2,
        "quantities": {
            "speech_hours": estimate.Range(4.0, 5.0, 480.0),
            **{name: estimate.Range(size, size, size) for name, size in sizes.items()},
            "text_bytes": estimate.Range(500.0, 1000.0, 2000.0),
            "usd": estimate.Range(0.5, 0.99999, 1.0),
            "tag_seconds": estimate.Range(60.0, 90.0, 120.0),
        },
        "stages": {
            "Transcribe": estimate.Range(100.0, 199.0, 300.0),
            "Tag": estimate.Range(0.5, 1.0, 2.0),
            "Bucket": estimate.Range(0.5, 0.9, 2.0),
        },
        "loading_seconds": 12.0,
    }
    return estimate.Estimate(**(told | changes))


def plan_of(**changes: Any) -> Outcome:
    return plan_outcome(planned(**changes), "tag", ["calls"], {"refusal": ""}, ["first"])


def test_plan_is_shown_with_ranges_units_stages_and_loading(printed: Printed) -> None:
    assert [" ".join(line.split()) for line in printed(plan_of())] == [
        "first",
        "estimated from 6 pieces of it, 3.0 min together; from and to are what it would be if all were like one "
        "of them",
        "estimate from to",
        "speech 5.0 h 4.0 h 20.0 days",
        "tagged/, transcript.jsonl 999.0 kB 999.0 kB 999.0 kB",
        "dataset/ (FLAC) 1.0 MB 1.0 MB 1.0 MB",
        "audio/ (WAV) 2.5 GB 2.5 GB 2.5 GB",
        "cache of speech 1.0 GB 1.0 GB 1.0 GB",
        "text to say 1.0 kB 500 bytes 2.0 kB",
        "money 1.0000 USD 0.5000 USD 1.00 USD",
        "time of tag --workers 2 90 s 60 s 2.0 min",
        "Transcribe, one process 3.3 min 100 s 5.0 min",
        "and about 12 s for each process to load its models",
        "speak was priced, not run: how long its service takes is not in this",
        "10.0 h of audio in 30 conversations, 2 recordings rejected",
        "next: dailytalk tag calls --out DIR",
    ]


def test_plan_shows_a_stage_from_half_a_percent_on_and_no_sentence_without_reason(printed: Printed) -> None:
    stages = {"Transcribe": estimate.Range(1.0, 199.0, 1.0), "Tag": estimate.Range(1.0, 1.0, 1.0)}
    made = {"stages": stages, "rejected": 0, "quantities": {"speak_seconds": estimate.Range(1.0, 2.0, 3.0)}}
    lines = [" ".join(line.split()) for line in printed(plan_of(**made))]
    assert lines[3:-1] == [
        "time of speak --workers 2 2 s 1 s 3 s",
        "Transcribe, one process 3.3 min 1 s 1 s",
        "Tag, one process 1 s 1 s 1 s",
        "and about 12 s for each process to load its models",
        "10.0 h of audio in 30 conversations",
    ]
    both = made | {"quantities": {"usd": estimate.Range(1.0, 2.0, 3.0), "speak_seconds": stages["Tag"]}}
    assert not [line for line in printed(plan_of(**both)) if "was priced" in line]


@pytest.mark.parametrize("terminal", [True, False])
def test_piece_that_a_plan_runs_is_said_in_one_place_on_a_terminal_and_else_on_stderr(
    terminal: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    updates: list[str] = []
    status: Any = SimpleNamespace(update=updates.append)
    console = Console(file=io.StringIO(), force_terminal=terminal)
    for piece, of in ((0, 1), (1, 1)):
        say_piece(console, status, piece, of)
    assert updates == ["loading the models, then running 1 piece of the input", "running piece 1 of 1"]
    assert capsys.readouterr() == ("", "" if terminal else "\n".join([*updates, ""]))


def test_plan_as_json_rounds_ranges() -> None:
    record = plan_of(quantities={"usd": estimate.Range(0.123456, 1.0, 2.0)}).record
    assert record["quantities"] == {"usd": {"low": 0.1235, "expected": 1.0, "high": 2.0}}
    assert record["stages"]["Tag"] == {"low": 0.5, "expected": 1.0, "high": 2.0}
    assert (record["conversations"], record["loading_seconds"], record["refusal"]) == (30, 12.0, "")


def test_profile_of_stages_has_seconds_shares_and_real_time_factors(capsys: pytest.CaptureFixture[str]) -> None:
    say_time_spent(ACCOUNT, 5.5)
    assert [" ".join(line.split()) for line in capsys.readouterr().err.splitlines()] == [
        "where the time went seconds share real-time factor",
        "Segment 2.00 20.0% 0.05000",
        "Tag 1.00 10.0%",
        "planning 2.50 25.0%",
        "reading, writing shards 4.00 40.0%",
        "writing outputs 0.50 5.0%",
        "by the clock 5.50",
    ]
    say_time_spent(Account({}, {}), 0.0)
    assert " 0.0%" in capsys.readouterr().err


# corpus

CLIPS = {"duration": 2.0, "snr_db": 30.0, "clipping_ratio": 0.0, "bandwidth_hz": 8000.0, "speech_ratio": 0.5}


def clip_rows(count: int) -> list[dict[str, Any]]:
    return [CLIPS | {"duration": float(n), "silence_seconds": None} for n in range(count)]


READ = Read("esd", [], [], None, ["350 files, as published [1]"])  # type: ignore[arg-type]


def corpus_record() -> dict[str, Any]:
    return {
        "counts": {
            "read": 9,
            "clips": 6,
            "copies": 4,
            "by_emotion": {"happy": 4, "sad": 2},
            "without_text": 0,
            "without_prompt": 2,
        }
        | {"by_word_source": {"proportional": 5, "heard": 7}},
        "hours": {"audio": 0.05},
        "corpus": {"licence": "[none]"},
        "split": {"share": 0.125, "disjoint_in": "speakers", "note": "one [speaker]"},
        "settings": {"split": "official"},
        "balance": {"failure": "not balanced: 1.8 → 1.8", "shortfalls": [{"to_record": "sad: 12 min"}]},
    }


def of_corpus(out: Path = OUT, **changes: Any) -> Outcome:
    measured, kept = changes.pop("measured", []), changes.pop("kept", [])
    spec: Any = SimpleNamespace(read=READ, out=out, wanted=ClipPlan(), measured=measured, kept=kept)
    fields: dict[str, Any] = {"n_made": 1, "wall_seconds": 2.345, "rejects": [], "account": Account({}, {})}
    return corpus_outcome(spec, RunOutcome(**(fields | changes)))


def test_corpus_is_shown_with_counts_split_shortfalls_and_rejects_by_stage(printed: Printed) -> None:
    lines = printed(of_corpus(record=corpus_record(), rejects=[*rejects(1, "Sift"), *rejects(6, "Read")]))
    assert lines == [
        "350 files, as published [1]",
        "happy 4, sad 2",
        "the times of 5 of 12 words are shared out",
        "12% for validation by the corpus's own split, disjoint in speakers",
        "one [speaker]",
        "not balanced: 1.8 → 1.8, with a weight of 4 at most",
        "sad: 12 min",
        "2 clips without a prompt: no neutral line of another speaker",
        "results in /data: data/ for trainers, clips/, rejects.jsonl, run.json",
        "9 files: 6 clips and 4 copies, 3.0 min, licence [none]",
        "rejected: 6 of 9 files by Read, all with --json",
        '  rejected: "c0", "c1", "c2" and 3 more: reason 0; mend [it]',
        "rejected: 1 of 9 files by Sift, all with --json",
        '  rejected: "c0": reason 0; mend [it]',
        "next: dailytalk check /data",
    ]
    record = corpus_record() | {"split": None, "balance": None}
    record["counts"] |= {"by_word_source": {"heard": 7}, "without_text": 0, "without_prompt": 0}
    assert len(printed(of_corpus(record=record))) == 5
    record |= {"split": {"share": 0.1, "disjoint_in": "x", "note": ""}, "settings": {"split": "speaker"}}
    assert printed(of_corpus(record=record))[2] == "10% for validation, disjoint in x"


def test_report_of_a_corpus_is_a_table_of_percentiles_and_a_plot(tmp_path: Path, printed: Printed) -> None:
    outcome = of_corpus(tmp_path, measured=clip_rows(101), kept=clip_rows(7), rejects=rejects(5))
    lines = [" ".join(line.split()) for line in printed(outcome)]
    assert lines[1:3] == ["measure 1 % 5 % 50 % 95 % 99 %", "duration 1 5 50 95 99"]
    assert len([line for line in lines if line.startswith("silence_seconds")]) == 0
    assert "7 of 101 measured clips would be kept" in lines
    assert f"the measures are plotted with their limits in {tmp_path}/quality.png" in lines
    assert f"to listen to what is beyond a limit: dailytalk report {tmp_path}" in lines
    assert (tmp_path / "quality.png").is_file()
    record = outcome.record
    assert record["measures"]["duration"] == [1.0, 5.0, 50.0, 95.0, 99.0]
    assert (record["kept"], record["seconds"], len(record["rejected"])) == (7, 2.35, 5)
    assert "0 of 0 measured clips would be kept" in printed(of_corpus(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_conversations_of_a_corpus_are_counted_and_lead_to_tag(printed: Printed) -> None:
    outcome = laid_out(WrittenConversations(3, rejects(1), ["as published"]), OUT)
    assert printed(outcome) == [
        "as published",
        "3 conversations in /data",
        "rejected: 1 by Folder, all with --json",
        '  rejected: "c0": reason 0; mend [it]',
        "next: dailytalk tag /data --out DIR",
    ]
    assert printed(laid_out(WrittenConversations(0, [], []), OUT)) == ["0 conversations in /data"]
    record = outcome.record
    assert (record["conversations"], record["out"], record["rejects"][0]["id"]) == (3, "/data", "c0")


# push


def data_file(config: str, rows: int, seconds: float) -> DataFile:
    return DataFile("x", OUT, config, "train", "", 1, rows, seconds)


def pushed(**changes: Any) -> Pushed:
    packed = Packed((data_file("conversations", 3, 36e4), data_file("utterances", 40, 99.0)), 24000, "speakers")
    plan = Push((Change("add", "a.parquet", 2_000_000), Change("keep", "b.parquet", 1)), 1500)
    done = Published("abc", "https://hub/x", "v1.1.0", 1500, 2_500_000, True)
    changed = Changes("v1.0.0", added=["c"])
    told: dict[str, Any] = {"tag": "v1.1.0", "changes": changed, "packed": packed, "plan": plan}
    return Pushed(**(told | {"published": done, "warnings": ("ask [them]",)} | changes))


def push_of(done: Pushed, dry_run: bool = False, **target: Any) -> Outcome:
    return push_outcome(done, Target(**({"repo": "a/b"} | target)), dry_run)


def test_version_is_shown_with_changes_rows_bytes_and_how_to_load_it(printed: Printed) -> None:
    first = [
        "licence: ask [them]",
        "changes  1 added; they call for a minor version",
        "rows     3 conversations, 100.00 hours",
        "sent     1.5 kB; 2.5 MB were there already",
    ]
    load = 'next: from datasets import load_dataset; load_dataset("a/b"'
    commit = "commit   https://hub/x"
    assert printed(push_of(pushed())) == [
        *first,
        "tag      v1.1.0",
        commit,
        f'{load}, revision="v1.1.0")',
    ]
    untagged = pushed(tag=None, published=Published("abc", "https://hub/x", None, 1500, 2_500_000, True))
    none = "tag      none: readers of the branch see it; pass --tag to name it"
    assert printed(push_of(untagged))[4:] == [none, commit, f"{load})"]
    assert printed(push_of(untagged, branch="next"))[4:] == [none, commit, f'{load}, revision="next")']
    assert printed(push_of(untagged, pull_request=True))[4:] == [
        "proposed https://hub/x",
        "next: after the merge, the same command without --pr, to set the tag",
    ]
    same = printed(push_of(pushed(plan=None)))
    assert same[0] == "a/b has just this already, as v1.1.0: nothing to do"
    assert printed(push_of(pushed(plan=None, tag=None)))[0] == "a/b has just this already: nothing to do"


@pytest.mark.parametrize(
    ("changes", "called"),
    [
        ({"changes": Changes()}, "v1.1.0"),
        ({"changes": Changes(), "tag": None}, "v1.0.0"),
        ({"changes": Changes("v1.0.0")}, "no new version"),
        (
            {"changes": Changes("v1.0.0", broken={"utterances": ["a column is gone", "another"]})},
            "a major version (utterances: a column is gone)",
        ),
    ],
)
def test_version_that_changes_call_for_is_named(changes: dict[str, Any], called: str, printed: Printed) -> None:
    assert f"they call for {called}" in printed(push_of(pushed(**changes)))[1]


@pytest.mark.parametrize(("count", "more"), [(40, []), (41, ["… 1 more (--json lists all)"])])
def test_dry_run_of_push_shows_forty_changes_and_counts_what_stays(
    count: int, more: list[str], printed: Printed
) -> None:
    changes = [Change("add", f"{n:02d}.parquet", 2_000_000) for n in range(count)]
    done = pushed(plan=Push((*changes, Change("keep", "x", 1), Change("keep", "y", 1)), 1500))
    lines = printed(push_of(done, dry_run=True))
    listed = [line for line in lines if line.endswith("2.0 MB")]
    assert [line.split()[1] for line in listed] == [f"{n:02d}.parquet" for n in range(40)]
    assert lines[lines.index(listed[-1]) + 1 :] == [
        *more,
        "2 files unchanged; 1.5 kB to send at most",
        "nothing was changed on the Hub (--dry-run)",
        "next: the same command without --dry-run",
    ]


def test_push_as_json_has_every_figure() -> None:
    record = push_of(pushed(), True).record
    assert {name: record[name] for name in ("dry_run", "tag", "bump", "to_send", "warnings")} == {
        "dry_run": True,
        "tag": "v1.1.0",
        "bump": "minor",
        "to_send": 1500,
        "warnings": ["ask [them]"],
    }
    assert record["plan"][0] | {"what": "add", "name": "a.parquet", "size": 2_000_000} == record["plan"][0]
    assert record["published"]["sent"] == 1500
    none = push_of(pushed(plan=None, published=None)).record
    assert (none["plan"], none["to_send"], none["published"]) == ([], 0, None)


# doctor


def report_of(**changes: Any) -> dict[str, Any]:
    profile = {
        "about": "no downloads [yet]",
        "needs": [],
        "needs_to_speak": ["no token: set FISH_API_KEY"],
        "ready": False,
        "models": {"recogniser": {"name": "medium", "licence": "MIT"}},
    }
    return {
        "version": "1.2",
        "python": "3.11.9",
        "cores": 4,
        "packages": {"torch": "2.0", "librosa": None},
        "gpu": "",
        "no_gpu_because": "there is no driver",
        "compute_type": "int8",
        "cublas": "",
        "whisper_cached": [],
        "profiles": {"standard": profile, "embedded": profile | {"needs": ["one", "two"], "needs_to_speak": []}},
    } | changes


def test_doctor_says_what_is_there_and_what_is_lacking(printed: Printed) -> None:
    models = "  recogniser: medium (MIT)"
    assert printed(doctor_command.doctor_outcome(report_of())) == [
        "dailytalk-contiguous 1.2, Python 3.11.9, 4 cores",
        "  torch           2.0",
        "  librosa         MISSING",
        "GPU: none used: there is no driver",
        "Whisper computes in int8",
        "Whisper in the cache: none",
        "profile standard: not ready to speak",
        "  no downloads [yet]",
        "  to speak: no token: set FISH_API_KEY",
        models,
        "profile embedded: not ready to tag",
        "  no downloads [yet]",
        "  to tag: one",
        "  to tag: two",
        models,
        "no profile is ready",
    ]
    other = {"gpu": "H100", "whisper_cached": ["tiny", "base"]}
    lines = printed(doctor_command.doctor_outcome(report_of(**other)))
    assert lines[3:7] == [
        "GPU: H100",
        "  cuBLAS of CUDA 12, for Whisper: not found: pip install 'dailytalk-contiguous[cuda]'",
        "Whisper computes in int8",
        "Whisper in the cache: tiny, base",
    ]
    lines = printed(doctor_command.doctor_outcome(report_of(**other, cublas="libcublas.so.12")))
    assert "Whisper: libcublas.so.12" in lines[4]


def test_profile_that_is_ready_is_good_and_leads_to_build() -> None:
    profile = {"about": "small", "needs": [], "needs_to_speak": [], "models": {}}
    profiles = {"good": profile | {"ready": True}, "other": profile | {"ready": False, "needs": ["one"]}}
    outcome = doctor_command.doctor_outcome(report_of(profiles=profiles))
    assert [detail for detail in outcome.details if isinstance(detail, Judgement)] == [
        Judgement("profile good: ready", True),
        Judgement("profile other: not ready to tag", None),
    ]
    assert outcome.headline == Judgement("ready: good", True)
    assert outcome.next == "dailytalk build INPUT --out DIR --profile good"


def test_doctor_tells_what_a_profile_lacks_to_tag_and_to_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FISH_API_KEY", "BEARER_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor_command, "cached_sizes", list)
    standard, embedded = (doctor_command.examine()["profiles"][name] for name in ("standard", "embedded"))
    assert len(standard["needs"]) == 2  # a recogniser and an affect model
    assert ": " in standard["needs_to_speak"][0]
    assert embedded["needs"] == []
    monkeypatch.setattr(doctor_command, "cached_sizes", lambda: [standard["models"]["recogniser"]["name"]])
    assert len(doctor_command.examine()["profiles"]["standard"]["needs"]) == 1


# versions and diff


def test_version_is_a_line_of_its_date_rows_hours_size_and_changes() -> None:
    changes = {"previous": "v1.0.0", "added": 2, "removed": 0, "changed": 1, "moved": 0}
    version = Listed("v1.1.0", "version", NOON, "0123456789", 4, 1.234, 2_000_000, changes)
    cells_of = ("v1.1.0", "2026-01-02", "0123456", "4", "1.23", "2.0 MB", "2 added, 1 changed since v1.0.0")
    assert version_row(version) == cells_of
    bare = Listed("main", "branch", None, "0123456789", None, None, None, None)
    assert version_row(bare) == ("main (branch)", "", "0123456", "", "", "", "")
    none = Listed("v1", "tag", None, "0123456789", 0, 0.0, 0, {"previous": "v0"})
    assert version_row(none)[3:] == ("0", "0.00", "0 bytes", "same conversations since v0")
    first = Listed("v1", "tag", None, "0123456789", 0, 0.0, 0, {"added": 1})
    assert version_row(first)[-1] == "1 added"


def test_difference_is_shown_up_to_five_ids_and_twenty_fields(printed: Printed) -> None:
    changes = Changes(
        "v1.0.0",
        added=[f"a{n}" for n in range(6)],
        removed=[f"r{n}" for n in range(5)],
        moved={"m": ("train", "test")},
        broken={"utterances": ["[one] is gone"]},
        columns={"words": ["x", "y"]},
        fields=Counter({f"f{n:02d}": 30 - n for n in range(21)}),
        tags=Counter({("calm", ""): 2}),
        utterance_times=Shifts(8, 0.5, Counter({200: 1, 500: 1})),
    )
    lines = [" ".join(line.split()) for line in printed(diff_outcome(changes, OUT))]
    assert lines[:6] == [
        "added: 6: a0, a1, a2, a3, a4, … 1 more",
        "removed: 5: r0, r1, r2, r3, r4",
        "changed: 0",
        "moved to another split: 1: m (train to test)",
        "breaks readers: utterances: [one] is gone",
        "new columns: words: x, y",
    ]
    assert lines[6:8] == ["field conversations", "f00 30"]
    assert lines[26:] == [
        "f19 11",
        "… 1 more (--json lists all)",
        "tag before tag after utterances",
        "calm (none) 2",
        "utterances in changed conversations: 2 of 8 (25.0%) begin more than 10 ms earlier or later "
        "(median 0.200 s, at most 0.500 s)",
        "this calls for a major version: readers of the old one break",
    ]
    nothing = printed(diff_outcome(Changes("v1.0.0"), OUT))
    assert nothing[-1] == "this calls for no version: nothing changed"
    assert len(nothing) == 5


# mix, export, agreement


def part(place: str, *seconds: float) -> MixPart:
    files = [
        SimpleNamespace(id=str(n), seconds=length, side="train", licence=None) for n, length in enumerate(seconds)
    ]
    files.append(SimpleNamespace(id="x", seconds=99.0, side="eval", licence=None))
    return MixPart(place, OUT, None, None, files, Counter({"0": 2, "1": 1}))  # type: ignore[arg-type]


def test_mix_is_shown_with_hours_shares_licence_and_rejects(printed: Printed) -> None:
    licence = Combined("cc-by-4.0", (), ())
    parts = [part("calls", 1800.0, 3600.0), part("esd", 1200.0)]
    mixed = Mixed(parts, {"train": 5, "eval": 2}, licence, ("ask [them]",), rejects(6))
    assert printed(mix_outcome(mixed, OUT)) == [
        "calls: 2.00 h of training (75.0%), from 1.50 h",
        "esd: 0.67 h of training (25.0%), from 0.33 h",
        "licence: cc-by-4.0 (licences.md tells all)",
        "warning: ask [them]",
        "5 lines to train on, 2 to evaluate on in /data",
        "rejected: 6, in /data/rejects.json",
        '  rejected: "c0", "c1", "c2" and 3 more: reason 0; mend [it]',
        "next: dailytalk check /data",
    ]
    empty = Mixed([part("none")], {"train": 0, "eval": 0}, licence, (), [])
    assert printed(mix_outcome(empty, OUT))[0] == "none: 0.00 h of training (–), from 0.00 h"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (WordCounts(1), "1 word (0 moved to another 80 ms frame)"),
        (WordCounts(9, 4, lost=2), "9 words (4 moved to another 80 ms frame, 2 lost)"),
        (WordCounts(9, 4, cut=0), "9 words (4 moved to another 80 ms frame, 0 lost, 0 cut)"),
        (WordCounts(9, 4, lost=2, cut=3), "9 words (4 moved to another 80 ms frame, 2 lost, 3 cut)"),
    ],
)
def test_words_that_an_export_loses_are_counted_and_cut_ones_where_a_tokenizer_tells(
    words: WordCounts, text: str
) -> None:
    assert words_text(words) == text


def judged(**changes: Any) -> JudgedClip:
    against = Against(0.5, {"happy": {"happy": 1, "sad": 2}}, {"happy": 0.25}, {"sad": None})
    kappa = Kappa(0.4567, {"happy": 0.5, "sad": None}, 3, 9)
    raters = {"anna": Rater(4, 0.75, None)}
    return JudgedClip(**({"kappa": kappa, "against": against, "raters": raters, "sure": {"sure": 0.8}} | changes))


def test_agreement_is_shown_by_category_by_label_and_by_listener(printed: Printed) -> None:
    def lines(judged_clip: JudgedClip) -> list[str]:
        return printed(Outcome({}, "", details=clips_judged("emotion", judged_clip)))

    text = [" ".join(line.split()) for line in lines(judged())]
    assert [line for line in text if line] == [
        "emotion: Fleiss' kappa 0.457 (3 clips with two ratings or more, 9 ratings)",
        "ratings that match the label: 50 %",
        "by how sure they were: sure 80 %",
        "emotion kappa heard as labelled labelled as heard",
        "happy 0.500 25 % –",
        "sad – – –",
        "label \\ heard happy sad",
        "happy 1 2",
        "listener rated match the label match the others",
        "anna 4 75 % –",
    ]
    none = judged(kappa=Kappa(None, {}, 0, 0, "nobody rated"), against=Against(None, {}, {}, {}), sure={})
    assert lines(none)[:2] == ["emotion: kappa is not defined: nobody rated", "ratings that match the label: –"]


# Lines are whole, however narrow the terminal is: who copies a path or searches a log counts on one a row


def test_sentence_and_path_are_never_broken_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, printed: Printed
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    long = " ".join(["word"] * 40)
    deep = f"in {'/'.join(['folder'] * 30)}"
    rejected = rejected_of([Reject("c", "Folder", long, long)], where=deep)
    outcome = Outcome(
        {}, f"{long} {deep}", details=[long, Figures((long,), [(deep,)])], rejected=rejected, next=long
    )
    assert printed(outcome) == [
        long,
        long,
        deep,
        f"{long} {deep}",
        f"rejected: 1, {deep}",
        f'  rejected: "c": {long}; {long}',
        f"next: {long}",
    ]


# Errors


def test_code_of_a_command_is_its_own_and_a_reader_that_went_away_gives_1(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert [guarded("x", lambda code=code: code) for code in (0, 1, 3)] == [0, 1, 3]  # type: ignore[misc]
    assert capsys.readouterr() == ("", "")


# Recipes


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        ({"conversations": 1, "rejects": 0}, 0),
        ({"conversations": 1, "rejects": 1}, 3),
        ({"conversations": 0, "rejects": 1}, 1),
        ({"rejects": 0}, 1),
    ],
)
def test_recipe_shows_the_rejects_of_its_source_and_of_all_stages(
    counts: dict[str, int], code: int, tmp_path: Path, printed: Printed
) -> None:
    write_rejects(tmp_path, rejects(1, "Transcribe") + rejects(2, "Folder")[1:])
    outcome = recipe_command.recipe_outcome(Built(tagged(), spoken(record={"counts": counts}), []), tmp_path)
    n = counts.get("conversations", 0)
    assert outcome.code == code
    assert printed(outcome)[:3] == [
        f"0 utterances of {n} conversation{'' if n == 1 else 's'} in {tmp_path}",
        f"rejected: 2, in {tmp_path}/rejects.jsonl",
        '  rejected: "c0", "c1": reason 0; mend [it]',
    ]
    assert recipe_command.recipe_outcome(Built(tagged(record=None), None, []), OUT).code == 1


@pytest.mark.parametrize("source", [None, "owner/name"])
def test_recipe_takes_its_input_its_folder_and_its_workers(
    source: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[Any] = []

    def run_recipe(*values: Any, planned: local.Planned) -> Built:
        given.append(values)
        return Built(tagged(record={"counts": {"conversations": 2, "utterances": 9, "rejects": 1}}), None, [])

    monkeypatch.setattr(recipe_command, "run_recipe", run_recipe)
    words = [] if source else ["calls"]
    monkeypatch.setattr("sys.argv", ["recipe.py", *words, str(tmp_path), "--workers", "3"])
    with pytest.raises(SystemExit) as leave:
        recipe_command.main("About it.\nMore.", (), (), source, "mit")
    assert leave.value.code == 3
    assert given == [(source or "calls", tmp_path, (), (), 3, "mit")]
    made = f"9 utterances of 2 conversations in {tmp_path}"
    assert capsys.readouterr().out.splitlines() == [made, f"next: dailytalk speak {tmp_path}"]
    monkeypatch.setattr("sys.argv", ["recipe.py", "--help"])
    with pytest.raises(SystemExit):
        recipe_command.main("About it.\nMore.", ())
    told = capsys.readouterr().out
    assert "About it." in told
    assert "More." not in told


@pytest.mark.parametrize(
    ("counts", "code"),
    [({"conversations": 2, "rejects": 0}, 0), ({"conversations": 2, "rejects": 1}, 3), ({"conversations": 0}, 1)],
)
@pytest.mark.parametrize("url", ["https://hub/a/b", None])
def test_recipe_publishes_what_it_made_and_nothing_where_it_made_nothing(
    counts: dict[str, int],
    code: int,
    url: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls: list[Any] = []

    def push(folder: Path, target: Target, wish: Any, tell: Any) -> SimpleNamespace:
        calls.append((folder, target, wish.tag))
        return SimpleNamespace(tag="v1.0.0", published=SimpleNamespace(url=url) if url else None)

    built = Built(tagged(record={"counts": {"utterances": 9} | counts}), None, [])
    given: list[Any] = []

    def run_recipe(*values: Any, planned: local.Planned) -> Built:
        given.append(values)
        return built

    monkeypatch.setattr(recipe_command, "run_recipe", run_recipe)
    monkeypatch.setattr(
        recipe_command, "validate_request", lambda api, target, wish, patience: calls.append(target)
    )
    monkeypatch.setattr(recipe_command, "quiet_clients", lambda: None)
    monkeypatch.setattr(recipe_command, "push_version", push)
    monkeypatch.setattr("sys.argv", ["recipe.py", str(tmp_path), "a/b", "auto"])
    with pytest.raises(SystemExit) as leave:
        recipe_command.main("About it.", (), (), "calls", publish=True)
    target = Target("a/b", create=True)
    assert leave.value.code == code
    assert given == [("calls", tmp_path, (), (), 1, "")]
    assert calls == [target] + ([(tmp_path, target, "auto")] if code != 1 else [])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "v1.0.0" in line] == (
        [f"a/b v1.0.0 {url or 'is there already'}"] if code != 1 else []
    )
