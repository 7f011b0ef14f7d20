"""What a finished run writes beside its shards, and above all what it does not write over."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from recordings import calls, read_lines, results, run, save, state

from dailytalk_contiguous import Bucket, Tag, tag_stages
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.utterance import AFFECT, PROSODY
from dailytalk_contiguous.run import outputs
from dailytalk_contiguous.run.outputs import Results
from dailytalk_contiguous.shards import Entry
from dailytalk_contiguous.stages.base import Stages


@pytest.fixture
def settings(tiny_whisper: str) -> Stages:
    return tag_stages(profile="embedded", language="en", asr_model=tiny_whisper)


@pytest.fixture
def seed(tiny_whisper: str) -> Stages:
    """Settings whose transcript differs."""
    return tag_stages(profile="embedded", language="en", asr_model=tiny_whisper, rules="seed")


@pytest.fixture
def out(tmp_path: Path, settings: Stages) -> Path:
    """A finished run over `tmp_path / "in"`."""
    calls(tmp_path / "in", "a")
    run(tmp_path / "in", tmp_path / "out", settings)
    return tmp_path / "out"


def edit(out: Path) -> str:
    path = out / "transcript.jsonl"
    path.write_text(path.read_text().replace('"text": "', '"text": "Well, ', 1))
    return path.read_text()


def test_outputs_are_the_three_files_and_the_shards_beside_the_events(out: Path) -> None:
    assert sorted(path.name for path in out.iterdir()) == [
        "events.jsonl",
        "rejects.jsonl",
        "run.json",
        "tagged",
        "transcript.jsonl",
    ]
    assert {path.suffix for path in (out / "tagged").iterdir()} == {".parquet"}


def test_speed_of_each_stage_is_its_seconds_by_those_of_all_audio(tmp_path: Path, settings: Stages) -> None:
    calls(tmp_path / "in", "a", "b", "c")
    record = run(tmp_path / "in", tmp_path / "out", settings).record
    audio = 3600 * record["hours"]["audio"]
    assert audio > 10
    slow = [stage for stage in record["stages"] if stage["seconds"] > 0.1]
    assert len(slow) >= 2
    for stage in slow:
        assert stage["realtime_factor"] == pytest.approx(stage["seconds"] / audio, rel=0.02)


def test_edited_transcript_is_kept_and_the_new_one_lies_beside_it(out: Path, seed: Stages) -> None:
    edited = edit(out)
    for _ in range(2):
        outcome = run(out.parent / "in", out, seed)
        assert (out / "transcript.jsonl").read_text() == edited
        assert outcome.record is not None
        assert outcome.record["transcript"] == "transcript.new.jsonl"
        assert {line["rule"] for line in read_lines(out / "transcript.new.jsonl")} != {
            line["rule"] for line in read_lines(out / "transcript.jsonl")
        }


def test_edited_transcript_is_left_alone_where_nothing_else_changed(out: Path, settings: Stages) -> None:
    edit(out)
    before = state(out)
    run(out.parent / "in", out, settings)
    assert state(out) == before


def test_new_transcript_that_was_accepted_is_ours_again(out: Path, seed: Stages, settings: Stages) -> None:
    edit(out)
    run(out.parent / "in", out, seed)
    (out / "transcript.new.jsonl").replace(out / "transcript.jsonl")
    for chosen in (seed, settings):
        outcome = run(out.parent / "in", out, chosen)
        assert outcome.record is not None
        assert outcome.record["transcript"] == "transcript.jsonl"
        assert not (out / "transcript.new.jsonl").exists()


@pytest.mark.parametrize("left", [{"transcript.jsonl"}, {"transcript.jsonl", "rejects.jsonl"}])
def test_run_killed_between_its_files_is_not_taken_for_an_edit(out: Path, seed: Stages, left: set[str]) -> None:
    """The transcript of the next settings stands, but run.json is still that of the ones before."""
    old = {name: (out / name).read_bytes() for name in ("run.json", "rejects.jsonl")}
    run(out.parent / "in", out, seed)
    finished = results(out)
    for name, content in old.items():
        if name not in left:
            (out / name).write_bytes(content)
    outcome = run(out.parent / "in", out, seed)
    assert outcome.record is not None
    assert outcome.record["transcript"] == "transcript.jsonl"
    assert not (out / "transcript.new.jsonl").exists()
    assert results(out) == finished


@pytest.mark.parametrize("step", ["rejects", "again", "record"])
def test_transcript_of_a_killed_run_is_ours_to_settings_that_differ_from_it(
    out: Path, seed: Stages, settings: Stages, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    first = results(out)
    with monkeypatch.context() as patch:
        patch.setattr(outputs, "write_text" if step == "record" else "_rejects_before", _killed)
        with pytest.raises(KeyboardInterrupt):
            run(out.parent / "in", out, seed)
    assert (out / "transcript.jsonl").read_bytes() != first["transcript"]
    if step == "again":  # before its transcript has its name, which is then still that of the run before
        rename = Path.replace

        def killed(path: Path, target: Path) -> Path:
            return _killed() if target == out / "transcript.jsonl" else rename(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                run(out.parent / "in", out, settings)
    outcome = run(out.parent / "in", out, settings)
    assert outcome.record is not None
    assert outcome.record["transcript"] == "transcript.jsonl"
    assert results(out) == first
    assert not [path.name for path in out.iterdir() if path.name.startswith((".", "transcript.new"))]


def _killed(*given: Any, **named: Any) -> Any:
    raise KeyboardInterrupt


def test_edit_of_a_transcript_that_a_killed_run_left_is_an_edit(
    out: Path, seed: Stages, settings: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(outputs, "_rejects_before", _killed)
        with pytest.raises(KeyboardInterrupt):
            run(out.parent / "in", out, seed)
    edited = edit(out)
    run(out.parent / "in", out, settings)
    assert (out / "transcript.jsonl").read_text() == edited
    assert read_lines(out / "transcript.new.jsonl")


@pytest.mark.parametrize("name", ["run.json", "rejects.jsonl", "transcript.jsonl"])
def test_file_that_was_deleted_comes_back(out: Path, settings: Stages, name: str) -> None:
    before = results(out)
    (out / name).unlink()
    assert run(out.parent / "in", out, settings).n_made == 0
    assert results(out) == before
    assert (out / name).is_file()


def test_damaged_run_json_is_made_anew(out: Path, settings: Stages) -> None:
    (out / "run.json").write_text("{")
    outcome = run(out.parent / "in", out, settings)
    assert outcome.record is not None
    assert outcome.record["transcript"] == "transcript.jsonl"


def test_transcript_of_somebody_else_is_not_written_over(tmp_path: Path, settings: Stages) -> None:
    calls(tmp_path / "in", "a")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/transcript.jsonl").write_text("mine\n")
    run(tmp_path / "in", tmp_path / "out", settings)
    assert (tmp_path / "out/transcript.jsonl").read_text() == "mine\n"
    assert read_lines(tmp_path / "out/transcript.new.jsonl")


def test_what_a_killed_run_left_half_written_is_cleared_away(out: Path, settings: Stages) -> None:
    half = out / "tagged/.shard-abc.parquet.77.tmp"
    half.write_bytes(b"PAR1")
    os.utime(out.parent / "in/a.wav", ns=(0, 1))
    run(out.parent / "in", out, settings)
    assert not half.exists()


def test_rejects_of_the_source_come_first_and_counts_agree(out: Path, settings: Stages) -> None:
    save(out.parent / "in/mono.wav").write_bytes(b"")
    outcome = run(out.parent / "in", out, settings)
    assert [line["stage"] for line in read_lines(out / "rejects.jsonl")] == ["Folder"]
    assert outcome.record is not None
    counts = outcome.record["counts"]
    assert (counts["recordings_rejected"], counts["rejects"], counts["rejects_by_stage"]) == (1, 1, {"Folder": 1})
    assert counts["utterances"] == len(read_lines(out / "transcript.jsonl"))


def test_records_of_a_work_folder_are_not_read_through_a_link_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name, text in (("run.json", '{"layout": 1}'), ("rejects.jsonl", "{}")):
        (tmp_path / name).write_text(text)
        (tmp_path / "out" / name).symlink_to(tmp_path / name)
    assert outputs.read_run(tmp_path / "out") is None
    (reject,) = outputs.rejects_in(tmp_path / "out")
    assert "a symbolic link that leads out of its folder" in reject["reason"]


def test_rejects_are_the_lines_that_hold_one(tmp_path: Path) -> None:
    (tmp_path / "rejects.jsonl").write_text('{"id": "a"}\n\n  \n{"id": "b"}\nof a damaged disk')
    assert outputs.count_rejects(tmp_path) == 3
    assert [reject["id"] for reject in outputs.rejects_in(tmp_path)] == ["a", "b", "rejects.jsonl:5"]


def test_outputs_depend_on_who_speaks_and_not_on_the_order_of_the_table(tmp_path: Path) -> None:
    first, second = {("a", "left"): ("Ann", "f")}, {("b", "left"): ("Bob", "m")}
    shard = tmp_path / "shard"
    shard.touch()

    def fingerprint(people: Any, paths: tuple[Path, ...] = (shard,), rejects: int = 0) -> str:
        return outputs._tag_fingerprint(paths, [Tag()], [Reject("a", "Folder", "why", "how")] * rejects, people)

    assert fingerprint(first | second) == fingerprint(second | first)
    told = {fingerprint(first), fingerprint(second), fingerprint({}), fingerprint({}, ()), fingerprint({}, (), 1)}
    assert len(told) == 5


def counted(name: str, **columns: Any) -> dict[str, Any]:
    """What is read of a tagged conversation of an hour with two utterances."""
    row: dict[str, Any] = {"conversation_id": name, "duration": 3600.0, "start": [1.0, 10.0], "end": [19.0, 28.0]}
    row |= {key: [None, None] for key in (*AFFECT, *PROSODY, "text", "affect_model", "avg_logprob")}
    row |= {"utterance_id": [f"{name}/0", f"{name}/1"], "words": [[], []]}
    row |= {"kind": ["speech", "short"], "tag": ["calm", "sad"], "channel": ["right", "left"]}
    row |= {"recogniser": ["tiny", None], "text_reason": [None, "too fast (23 words in 0.5 s)"]}
    return row | {"rejected": [], "unmatched": [], "notes": []} | columns


def test_record_counts_utterances_hours_and_reasons_by_their_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "NOTES_KEPT", 2)
    reject, unmatched = (Reject(name, "Segment", "why", "mend it") for name in ("a/0", "a/1"))
    results = Results([Tag(), Bucket()], [Reject("x", "Folder", "why", "mend it")], rebuilt=False)
    rejects = {"rejected": [reject.as_dict()], "unmatched": [unmatched.as_dict()]}
    results.add_tagged(counted("a", **rejects, notes=["one", "two"]))
    more = {"tag": ["sad", "sad"], "text_reason": ["too fast (9 words in 0.2 s)", "nobody spoke"]}
    results.add_tagged(counted("b", **more, notes=["three"]))
    assert results.add(Entry("d", (), (18.00049,), "rec", 3600.0))
    assert not results.add(Entry("d", (), (0.0006,), "rec", 0.12345, Reject("c", "Segment", "why", "mend it")))
    record = outputs._record(results, 5, {"command": "dailytalk tag x"})
    assert record["counts"] == {
        "conversations": 2,
        "utterances": 4,
        "utterances_by_channel": {"left": 2, "right": 2},
        "utterances_by_recogniser": {"tiny": 2},
        "conversations_by_given_language": {},
        "words_fitted": 0,
        "short_utterances": 2,
        "utterances_without_text": {"too fast": 2, "nobody spoke": 1},
        "recordings_rejected": 5,
        "rejects": 4,
        "rejects_by_stage": {"Segment": 3, "Folder": 1},
        "tags": {"sad": 3, "calm": 1},
        "notes": 3,
    }
    assert [*record["counts"]["utterances_by_channel"]] == ["left", "right"]
    assert [*record["counts"]["tags"]] == ["sad", "calm"]
    assert [*record["counts"]["utterances_without_text"]] == ["too fast", "nobody spoke"]
    assert [*record["counts"]["rejects_by_stage"]] == ["Segment", "Folder"]
    assert record["hours"] == {"audio": 2.0, "speech": 0.02}
    assert record["rejected"] == {
        "conversations": 1,
        "of_conversations": 2,
        "seconds": 0.123,
        "of_seconds": 3600.123,
        "reasons": {"why": 0.123},
        "remedies": {"why": "mend it"},
    }
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", record["date"])
    assert record["notes"] == [{"conversation_id": "a", "note": note} for note in ("one", "two")]
    tagging, bucketing = record["stages"]
    assert (tagging["name"], tagging["seconds"], tagging["realtime_factor"]) == ("Tag", 18.001, 0.005)
    assert tagging["settings"] == {"rules": "standard", "emotion_vote": False, "synthesiser": "fish-s1"}
    assert (bucketing["seconds"], bucketing["realtime_factor"]) == (0.0, None)
    assert record["command"] == "dailytalk tag x"
