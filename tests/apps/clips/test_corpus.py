import json
import shutil
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from corpus_trees import put
from recordings import read_lines
from spoken_corpora import crema_d, faults, rows_of, run

from dailytalk_contiguous.apps.clips.clip_plan import corpus_pipeline
from dailytalk_contiguous.apps.clips.clip_run import OPTIONS, CorpusSpec, read_corpus
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.run.run import run as run_spec
from dailytalk_contiguous.run.shard import StageEvent
from dailytalk_contiguous.shards import shard_files

MANIFESTS = ("expressive_dataset.jsonl", "expressive_dataset_validation.jsonl")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crema_d(tmp_path_factory.mktemp("corpus") / "in")


@pytest.fixture(scope="module")
def built(source: Path) -> Path:
    out = source.parent / "out"
    run(source, out)
    return out


@pytest.fixture
def out(built: Path, tmp_path: Path) -> Path:
    """A finished folder of one's own, so that clips need not be measured again."""
    return shutil.copytree(built, tmp_path / "out")


def times(out: Path) -> dict[str, int]:
    files = [path for path in out.rglob("*") if path.is_file()]
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in files}


class Richer(NamedTuple):
    """A finished folder that was conditioned anew, with copies, prompts and text conditions."""

    out: Path
    made: int
    record: dict[str, Any]
    measured: bool


@pytest.fixture(scope="module")
def richer(source: Path, built: Path) -> Richer:
    out = shutil.copytree(built, source.parent / "richer")
    before = times(out / "measured")
    options = {"augment": ("noise", "room"), "prompt_channel": True, "text_conditions": True}
    outcome = run(source, out, **options)
    assert outcome.record is not None
    measured = times(out / "measured") != before
    return Richer(out, outcome.run.done, outcome.record, measured)


# Nothing is lost


def test_every_file_is_a_clip_or_a_reject_with_a_reason(tmp_path: Path) -> None:
    corpus = crema_d(tmp_path / "in", actors=(1001, 1002))
    source = put(corpus, faults())
    out = tmp_path / "out"
    outcome = run(source, out)
    rejects = {line["id"]: line for line in read_lines(out / "rejects.jsonl")}
    assert len(rows_of(out, [])) == 6
    assert {name: line["stage"] for name, line in rejects.items()} == {
        "crema_d/AudioWAV/1091_DFA_ANG_XX.wav": "Corpus",
        "crema_d/AudioWAV/1091_DFA_UPSET_XX.wav": "Corpus",
        "crema_d/1091_DFA_SAD_XX": "CutSpeech",
        "crema_d/1091_DFA_NEU_XX": "Quality",
    }
    assert "git lfs pull" in rejects["crema_d/AudioWAV/1091_DFA_ANG_XX.wav"]["remedy"]
    assert outcome.record is not None
    assert outcome.record["counts"]["read"] == 10


def test_clip_outside_a_limit_is_rejected_with_the_figure_and_the_limit(source: Path, out: Path) -> None:
    run(source, out, max_seconds=2.0)
    rejects = read_lines(out / "rejects.jsonl")
    assert len(rejects) == 18
    reasons = {line["reason"] for line in rejects}
    assert reasons == {"it is 2.50 s long (at most 2.00 s)"}
    assert rows_of(out) == {}
    assert not list((out / "data").glob("*jsonl"))


# What comes out


def test_work_folder_passes_the_check_and_holds_two_manifests(built: Path) -> None:
    findings, facts = check_folder(built)
    assert [finding for finding in findings if finding.level == "error"] == []
    assert facts["kind"] == "corpus"
    assert sum(facts["files"].values()) == 18
    manifests = [path.name for path in (built / "data").rglob("*jsonl")]
    assert sorted(manifests) == sorted(MANIFESTS)
    _, facts = check_folder(built / "data")
    assert facts["kind"] == "moshi"


def test_annotation_tells_words_labels_measures_and_licence(built: Path) -> None:
    (path,) = (built / "data/data_stereo").glob("crema_d-1001_DFA_ANG_XX-*.json")
    annotation = json.loads(path.read_text(encoding="utf-8"))
    words = [word for word, _, _ in annotation["alignments"]]
    speakers = {speaker for _, _, speaker in annotation["alignments"]}
    assert words == ["Don't", "forget", "a", "jacket."]
    assert speakers == {"SPEAKER_MAIN"}
    assert annotation["word_sources"] == ["proportional"] * 4
    assert annotation["emotion"] == "angry"
    assert annotation["label"] == "ANG"
    assert annotation["speaker"] == "crema_d/1001"
    assert annotation["corpus"] == "crema_d"
    assert annotation["licence"] == "ODbL-1.0"
    assert annotation["language"] == "en"
    assert annotation["affect"]["source"] == "voice-linear"
    assert annotation["prosody"]["f0_mean"] > 50
    assert annotation["quality"]["bandwidth_hz"] > 6500
    # Three clips don't tell what is loud for a speaker.
    assert annotation["style"] is None
    assert annotation["style_source"] is None
    assert "text_conditions" not in annotation


def test_no_speaker_is_on_both_sides(built: Path) -> None:
    sides: dict[str, set[str]] = defaultdict(set)
    for row in rows_of(built, ["labels"]).values():
        labels = row["labels"]
        sides[labels["speaker"]].add(labels["split"])
    assert all(len(splits) == 1 for splits in sides.values())
    speakers = Counter(split for splits in sides.values() for split in splits)
    assert speakers == {"train": 5, "validation": 1}
    record = json.loads((built / "run.json").read_text(encoding="utf-8"))
    assert record["split"]["by"] == "speakers"
    assert record["corpus"]["licence"] == "ODbL-1.0"
    assert "crema_d: 18 clips were read, 7442 are published." in record["count_check"]
    assert record["counts"]["by_emotion"] == {"angry": 6, "happy": 6, "neutral": 6}
    assert record["counts"]["copies"] == 0


# Copies, prompts, balance


def test_copies_are_of_training_clips_and_name_their_source_and_recipe(richer: Richer) -> None:
    rows = rows_of(richer.out)
    copies = [row for row in rows.values() if row["labels"]["augmented_from"]]
    sources = [row for row in rows.values() if not row["labels"]["augmented_from"]]
    trained = [row for row in sources if row["split"] == "train"]
    assert len(trained) == 15
    assert len(copies) == 15
    assert richer.record["counts"]["copies"] == 15
    for copy in copies:
        labels = copy["labels"]
        source = rows[labels["augmented_from"]]
        assert copy["split"] == "train"
        assert labels["augmentation"]["kind"] in ("noise", "room")
        assert labels["emotion"] == source["labels"]["emotion"]
        assert copy["audio"]["bytes"] != source["audio"]["bytes"]
        assert labels["quality"] is None
        assert copy["utterances"][0]["rms"] is None


def test_prompt_is_a_neutral_line_of_another_speaker_of_the_same_side(richer: Richer) -> None:
    rows = rows_of(richer.out)
    sources = [row for row in rows.values() if not row["labels"]["augmented_from"]]
    prompted = [row for row in sources if row["labels"]["prompt_id"]]
    # The one speaker of validation has nobody to prompt him.
    assert len(prompted) == 15
    assert richer.record["counts"]["without_prompt"] == 3
    for row in prompted:
        prompt = rows[row["labels"]["prompt_id"]]
        assert prompt["labels"]["emotion"] == "neutral"
        assert prompt["split"] == row["split"]
        assert prompt["labels"]["speaker"] != row["labels"]["speaker"]
        assert row["alignments"][0]["start"] >= row["labels"]["conditioning"]["clip_start"] > 1.0


def test_other_conditioning_measures_nothing_again(richer: Richer) -> None:
    assert richer.made == len(shard_files(richer.out / "clips"))
    assert not richer.measured


def test_balance_by_sampling_leaves_out_with_a_reason_and_tells_what_is_missing(source: Path, out: Path) -> None:
    outcome = run(source, out, balance=True, target_minutes=0.1)
    left_out = [reject for reject in outcome.rejects if reject.stage == "Balance"]
    assert left_out
    assert all("than wanted" in reject.reason for reject in left_out)
    assert len(rows_of(out, ["split"])) + len(left_out) == 18
    more = run(source, out, balance=True, target_minutes=1.0)
    assert more.record is not None
    assert more.record["balance"]["minutes_lacking"].keys() == {"angry", "happy", "neutral"}
    usual = run(source, out, balance=True)
    assert usual.record is not None
    assert usual.record["balance"]["failure"] == ""
    assert usual.record["balance"]["minutes_lacking"] == {}


# Going on


def test_stopped_run_goes_on_and_ends_as_an_unbroken_one(source: Path, built: Path, tmp_path: Path) -> None:
    options = replace(OPTIONS, shard_seconds=8.0)
    (stages, wanted) = corpus_pipeline("embedded", asr_model="none")
    out = tmp_path / "out"
    seen: list[str] = []

    def stop(event: StageEvent) -> None:
        if event.wall is None and not event.kind:
            seen.append(event.stage)
        if seen.count("Condition") == 2:  # once a portion
            raise KeyboardInterrupt

    spec = CorpusSpec(read_corpus("crema_d", source, out), out, stages, wanted)
    with pytest.raises(KeyboardInterrupt):
        run_spec(spec, options, stop)
    before = {name: time for name, time in times(out).items() if "/shard-" in name}
    assert any(name.startswith("clips/") for name in before)
    assert not (out / "run.json").exists()
    run(source, out, options=options)
    assert before.items() <= times(out).items()
    assert rows_of(out) == rows_of(built)
    finished = times(out)
    assert run(source, out, options=options).run.done == 0
    assert times(out) == finished


@pytest.mark.parametrize("lost", ["data_stereo/*.wav", "data_stereo/*.json", MANIFESTS[1]])
def test_file_that_is_lost_is_written_again(source: Path, out: Path, lost: str) -> None:
    before = times(out).keys()
    next((out / "data").glob(lost)).unlink()
    assert times(out).keys() < before
    run(source, out)
    assert times(out).keys() == before


# Refusals


def test_out_inside_the_corpus_is_refused(source: Path) -> None:
    with pytest.raises(DailytalkError, match="an --out outside of them"):
        run(source, source / "out")
