import os
from pathlib import Path

import numpy as np
import pytest
from audio_files import tones
from conftest import cache_with_weights
from datasets import Dataset
from recordings import calls, excerpt, nameless_whisper, read_lines, results, run, save, state

from dailytalk_contiguous import DailytalkError, Folder, ModelMissing, Segment, tag_stages
from dailytalk_contiguous.core.settings import with_settings
from dailytalk_contiguous.models.whisper import load_whisper
from dailytalk_contiguous.run.run import RunOptions
from dailytalk_contiguous.run.run import run as run_spec
from dailytalk_contiguous.run.shard import StageEvent, features_of
from dailytalk_contiguous.run.tagging import TagSpec, list_conversations
from dailytalk_contiguous.shards import read_rows, shard_files
from dailytalk_contiguous.sources.inputs import open_inputs
from dailytalk_contiguous.stages.base import Stages, UtteranceStage


@pytest.fixture(scope="module")
def settings() -> Stages:
    return tag_stages(profile="embedded", language="en", asr_model="tiny.en")


@pytest.fixture(scope="module")
def every_stage() -> Stages:
    models = {"asr_model": "tiny.en", "emotion": "voice-linear", "prosodic_tokens": "bundled"}
    return tag_stages(profile="embedded", language="en", **models)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(cache_with_weights(tmp_path / "cache")))


def ids(out: Path) -> list[str]:
    """Conversations with a row."""
    return sorted(results(out)["rows"])


def rejected(out: Path) -> dict[str, str]:
    return {line["id"]: line["reason"] for line in read_lines(out / "rejects.jsonl")}


def changed_setting(settings: Stages, **changes: object) -> Stages:
    return with_settings(settings, changes)


# Sound


def test_stages_of_utterances_give_a_flat_dataset_what_they_give_a_run(
    tmp_path: Path, every_stage: Stages
) -> None:
    save(tmp_path / "in/call.flac")
    run(tmp_path / "in", tmp_path / "out", every_stage)
    (path,) = (tmp_path / "out/tagged").glob("*.parquet")
    (made,) = read_rows(path, features_of(every_stage)).values()
    recordings = Folder(inputs=(str(tmp_path / "in"),)).as_streaming_dataset("train")
    (segmented,) = Segment().map(recordings)
    n_utterances = len(segmented["utterance_id"])
    names = ("speech", "channel", "start", "end", "speech_seconds")
    columns = {name: segmented[name] for name in names}
    columns["conversation_id"] = ["call"] * n_utterances
    utterances = Dataset.from_dict(columns)
    hearing = [stage for stage in every_stage if isinstance(stage, UtteranceStage) and "speech" in stage.needs]
    assert n_utterances > 1
    assert len(hearing) == 5
    for stage in hearing:
        utterances = stage.map(utterances)
        for name in stage.adds:
            assert repr(utterances[name][:]) == repr(made[name]), name  # in which NaN equals itself


# Ids in = ids out + rejects


def test_each_kind_of_bad_recording_is_kept_or_rejected_and_the_rest_goes_on(
    tmp_path: Path, settings: Stages
) -> None:
    source = tmp_path / "in"
    short = excerpt(seconds=4.0)
    one_side = short.copy()
    not_numbers = short.copy()
    one_side[:, 1] = 0
    not_numbers[1000] = np.nan
    save(source / "clipped.wav", np.clip(30 * short, -1, 1))
    save(source / "one_side.wav", one_side)
    save(source / "silent.wav", 0 * short)
    save(source / "one_sample.wav", short[:1])
    save(source / "sub/good name [bold]x.wav", short)
    save(source / "sub/new\nline 😀 'q\".flac", short)
    save(os.fsencode(source) + b"/not-utf8-\xff.wav", short)
    save(source / "not_numbers.wav", not_numbers, subtype="FLOAT")
    save(source / "same.wav", np.repeat(short[:, :1], 2, axis=1))
    save(source / "mono.wav", short[:, 0])
    save(source / "three.wav", tones(1, channels=3))
    (source / "empty.wav").touch()
    whole = save(source / "cut.wav", short).read_bytes()
    (source / "cut.wav").write_bytes(whole[:5000])
    flac = save(source / "cut.flac", short).read_bytes()
    (source / "cut.flac").write_bytes(flac[: len(flac) // 2])
    (source / "text.wav").write_text("no audio")
    (source / "gone.wav").symlink_to("nothing")

    outcome = run(source, tmp_path / "out", settings, shard_seconds=600.0)

    kept = ["clipped", "not-utf8-\\xff", "one_sample", "one_side", "silent"]
    kept += ["sub/good name [bold]x", "sub/new\nline 😀 'q\""]
    assert ids(tmp_path / "out") == sorted(kept)
    aside = ["cut.flac", "cut.wav", "empty", "gone", "mono", "not_numbers", "same", "text", "three"]
    assert sorted(rejected(tmp_path / "out")) == aside
    assert outcome.record is not None
    assert outcome.record["counts"]["conversations"] == len(kept)
    assert outcome.record["counts"]["rejects"] == len(aside)
    assert all(line["reason"] and line["remedy"] for line in read_lines(tmp_path / "out/rejects.jsonl"))
    notes = [(note["conversation_id"], note["note"]) for note in outcome.record["notes"]]
    assert ("one_side", "the right channel is silent") in notes
    assert any(name == "clipped" and "of the left channel is clipped" in note for name, note in notes)


def test_utterances_under_the_minimum_are_rejected_with_their_length(tmp_path: Path, settings: Stages) -> None:
    calls(tmp_path / "in", "a")
    run(tmp_path / "in", tmp_path / "all", settings)
    run(tmp_path / "in", tmp_path / "some", changed_setting(settings, min_duration=2.0))
    everything = read_lines(tmp_path / "all/transcript.jsonl")
    kept = read_lines(tmp_path / "some/transcript.jsonl")
    assert len(kept) + len(rejected(tmp_path / "some")) == len(everything)
    long_enough = [line for line in everything if line["duration"] >= 2.0]
    assert [line["start"] for line in kept] == [line["start"] for line in long_enough]
    for reason in rejected(tmp_path / "some").values():
        assert "under the 2 s of --min-duration" in reason


# Doing nothing twice


def test_second_run_makes_and_writes_nothing(tmp_path: Path, settings: Stages) -> None:
    calls(tmp_path / "in", "a", "b")
    save(tmp_path / "in/mono.wav", tones(1, channels=1))
    assert run(tmp_path / "in", tmp_path / "out", settings).run.done == 2
    before = state(tmp_path / "out")
    outcome = run(tmp_path / "in", tmp_path / "out", settings)
    assert outcome.run.done == 0
    assert outcome.n_missing == 0
    assert outcome.run.audio_done == 0
    assert state(tmp_path / "out") == before


def test_changed_rules_redo_the_tags_and_not_the_models(tmp_path: Path, settings: Stages) -> None:
    calls(tmp_path / "in", "a")
    run(tmp_path / "in", tmp_path / "out", settings)
    before = read_lines(tmp_path / "out/transcript.jsonl")
    done: list[str] = []
    seed = changed_setting(settings, rules="seed")
    inputs = open_inputs([str(tmp_path / "in")])
    conversations = list_conversations(inputs, tmp_path / "out", shard_seconds=1.0)
    spec = TagSpec(conversations, tmp_path / "out", seed)

    def note(event: StageEvent) -> None:
        if not event.kind:
            done.append(event.stage)

    run_spec(spec, progress=note)
    # Each is noted at its beginning and at its end.
    assert done == ["Bucket", "Bucket", "Tag", "Tag", "Punctuate", "Punctuate"]
    after = read_lines(tmp_path / "out/transcript.jsonl")
    assert [line["words"] for line in after] == [line["words"] for line in before]
    rules_before = {line["rule"] for line in before}
    rules_after = {line["rule"] for line in after}
    assert rules_after.isdisjoint(rules_before)


def test_added_recording_makes_its_own_shard_again_and_leaves_the_rows_of_the_others(
    tmp_path: Path, settings: Stages
) -> None:
    calls(tmp_path / "in", "a", "c", "d", "e")
    run(tmp_path / "in", tmp_path / "out", settings, shard_seconds=6.0)
    before = results(tmp_path / "out")["rows"]
    shards = state(tmp_path / "out/tagged")
    save(tmp_path / "in/b.wav", excerpt("old_friends"))
    run(tmp_path / "in", tmp_path / "out", settings, shard_seconds=6.0)
    after = results(tmp_path / "out")["rows"]
    assert sorted(after) == ["a", "b", "c", "d", "e"]
    changed = shards.items() - state(tmp_path / "out/tagged").items()
    assert len(changed) == 1
    assert {name: after[name] for name in before} == before


def test_removed_recording_is_dropped_only_if_asked_for(tmp_path: Path, settings: Stages) -> None:
    calls(tmp_path / "in", "a", "b")
    run(tmp_path / "in", tmp_path / "out", settings)
    before = state(tmp_path / "out")
    (tmp_path / "in/a.wav").unlink()
    with pytest.raises(DailytalkError, match=r"results of 1 recording not in this input \('a'\).*--prune"):
        run(tmp_path / "in", tmp_path / "out", settings)
    assert state(tmp_path / "out") == before
    assert run(tmp_path / "in", tmp_path / "out", settings, prune=True).run.done == 0
    assert ids(tmp_path / "out") == ["b"]


def test_recording_that_broke_keeps_its_name_and_loses_its_row(tmp_path: Path, settings: Stages) -> None:
    calls(tmp_path / "in", "a", "b")
    run(tmp_path / "in", tmp_path / "out", settings)
    (tmp_path / "in/a.wav").write_bytes(b"")
    run(tmp_path / "in", tmp_path / "out", settings)
    assert ids(tmp_path / "out") == ["b"]
    assert list(rejected(tmp_path / "out")) == ["a"]


# The same whoever makes it


def test_hosts_make_what_one_process_makes(
    tmp_path: Path, settings: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With other threads, by which CTranslate2 in int8 would round differently."""
    calls(tmp_path / "in", "a", "b", "c")
    settings = changed_setting(settings, asr_model=nameless_whisper(tmp_path))
    with monkeypatch.context() as environment:
        environment.setenv("OMP_NUM_THREADS", "3")
        run(tmp_path / "in", tmp_path / "one", settings)
    load_whisper("tiny.en")  # in place of the one of three threads: one is loaded at a time
    first = run(tmp_path / "in", tmp_path / "hosts", settings, shard=(1, 2))
    assert first.record is None
    assert first.run.done == 2
    assert first.n_missing == 1
    for folder in ("rated", "tagged"):  # it does not wait for the other host between two passes
        assert len(shard_files(tmp_path / "hosts" / folder)) == 2
    assert not (tmp_path / "hosts/transcript.jsonl").exists()
    second = run(tmp_path / "in", tmp_path / "hosts", settings, shard=(2, 2))
    assert second.record is not None
    assert second.run.done == 1
    assert second.n_missing == 0
    assert results(tmp_path / "hosts") == results(tmp_path / "one")


def test_recordings_of_a_run_that_was_stopped_in_its_first_pass_are_not_dropped(
    tmp_path: Path, settings: Stages
) -> None:
    calls(tmp_path / "in", "a", "b")
    calls(tmp_path / "others", "c")

    def stop(event: StageEvent) -> None:
        if event.conversations == ("b",):
            raise KeyboardInterrupt

    recordings = list_conversations(open_inputs([str(tmp_path / "in")]), tmp_path / "out", shard_seconds=1.0)
    with pytest.raises(KeyboardInterrupt):
        run_spec(TagSpec(recordings, tmp_path / "out", settings), progress=stop)
    before = state(tmp_path / "out")
    with pytest.raises(DailytalkError, match="holds results of 1 recording not in this input"):
        run(tmp_path / "others", tmp_path / "out", settings)
    assert state(tmp_path / "out") == before
    run(tmp_path / "in", tmp_path / "out", settings)
    assert ids(tmp_path / "out") == ["a", "b"]


def test_each_conversation_counts_once_however_many_passes_it_goes_through(
    tmp_path: Path, settings: Stages
) -> None:
    calls(tmp_path / "in", "a", "b")
    first = run(tmp_path / "in", tmp_path / "out", settings).run
    assert (first.conversations, first.conversations_done, first.shards, first.done) == (2, 2, 2, 2)
    assert first.audio_done == pytest.approx(first.audio_seconds)
    calls(tmp_path / "in", "c")
    changed = changed_setting(settings, rules="seed")
    recordings = list_conversations(open_inputs([str(tmp_path / "in")]), tmp_path / "out", shard_seconds=1.0)
    planned = run_spec(TagSpec(recordings, tmp_path / "out", changed), RunOptions(dry_run=True))
    assert planned.plan.conversations == 3
    assert planned.left[0].name == "Segment"
    again = run(tmp_path / "in", tmp_path / "out", changed).run
    assert (again.conversations, again.conversations_done, again.done) == (3, 3, 3)
    assert again.stages["Segment"][1] < again.stages["Tag"][1]


def test_long_recording_is_cut_and_told_in_its_own_time(tmp_path: Path, settings: Stages) -> None:
    save(tmp_path / "in/call.flac", excerpt("burnt_dinner", seconds=26.0))
    run(tmp_path / "in", tmp_path / "whole", settings)
    run(tmp_path / "in", tmp_path / "cut", settings, {"max_conversation": 10.0})
    parts = read_lines(tmp_path / "cut/transcript.jsonl")
    whole = read_lines(tmp_path / "whole/transcript.jsonl")
    names = ids(tmp_path / "cut")
    assert names == [f"call.{n:03d}" for n in range(len(names))]
    assert len(names) >= 3
    assert len(parts) == len(whole)
    for part, line in zip(parts, whole, strict=True):
        assert part["channel"] == line["channel"]
        assert part["audio_file"] == line["audio_file"]
        assert part["start"] == pytest.approx(line["start"], abs=0.1)
        # A cut within the 0.35 s of silence that end an utterance takes the place of its end.
        assert part["end"] == pytest.approx(line["end"], abs=0.35)
    assert [part["segment_id"] for part in parts] == list(range(len(parts)))
    for part in parts:
        for word in part["words"]:
            assert part["start"] <= word["start"] < word["end"] <= part["end"]


# Transcripts beside the audio


def test_transcript_beside_the_audio_is_used_and_an_edit_redoes_that_conversation(
    tmp_path: Path, settings: Stages
) -> None:
    calls(tmp_path / "in", "a", "b")
    left = "1\n00:00:00,700 --> 00:00:03,600\nwhere should we go\n"
    right = "1\n00:00:03,900 --> 00:00:05,600\nto the mountains\n"
    (tmp_path / "in/a.left.srt").write_text(left)
    (tmp_path / "in/a.right.srt").write_text(right)
    run(tmp_path / "in", tmp_path / "out", settings)

    def said() -> list[tuple[str, str]]:
        lines = read_lines(tmp_path / "out/transcript.jsonl")
        lines_of_a = [line for line in lines if line["conversation_id"] == "a"]
        return [(line["text_raw"], line["models"]["recogniser"]) for line in lines_of_a]

    assert said() == [("where should we go", "given"), ("to the mountains", "given")]
    subtitles = tmp_path / "in/a.right.srt"
    subtitles.write_text(subtitles.read_text().replace("mountains", "sea"))
    assert run(tmp_path / "in", tmp_path / "out", settings).run.done == 1
    assert said()[1] == ("to the sea", "given")


# Where results go


def test_results_may_not_lie_among_the_recordings(tmp_path: Path, settings: Stages) -> None:
    """The next run would take transcript.jsonl for a transcript that somebody made."""
    calls(tmp_path / "in", "a")
    for source in (tmp_path / "in", tmp_path / "in/a.wav"):
        with pytest.raises(DailytalkError, match="holds recordings"):
            run(source, tmp_path / "in", settings)
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.wav"]


def test_missing_model_leaves_nothing_behind(tmp_path: Path, settings: Stages) -> None:
    calls(tmp_path / "in", "a")
    for option in ("asr_model", "affect_model"):
        without_model = changed_setting(settings, **{option: str(tmp_path / "in")})
        with pytest.raises(ModelMissing):
            run(tmp_path / "in", tmp_path / "out", without_model)
    assert not (tmp_path / "out").exists()
