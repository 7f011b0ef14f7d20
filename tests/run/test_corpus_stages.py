"""Lists of stages decide what a run does, settings the rest; neither says silently what the other denies."""

import json
from pathlib import Path
from typing import Any

import pytest
from corpus_trees import put, table
from spoken_corpora import PLAIN, crema_d, rows_of, run, spoken

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.run.clip_plan import (
    CorpusSettings,
    finish_clip_stages,
    measure_clip_stages,
    noises_of,
    settings_of_stages,
)
from dailytalk_contiguous.run.clips import build_corpus, read_corpus
from dailytalk_contiguous.stages.augment import Augment
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.clip_words import CutSpeech, TimeWords
from dailytalk_contiguous.stages.condition import Condition
from dailytalk_contiguous.stages.finish import FinishClip, TakeConditioned
from dailytalk_contiguous.stages.measure_prosody import MeasureProsody
from dailytalk_contiguous.stages.measure_quality import MeasureQuality
from dailytalk_contiguous.stages.rate_affect import RateAffect

MEASURE = (MeasureQuality(), CutSpeech(), TimeWords(), MeasureProsody())
FINISH = (Condition(), TakeConditioned(), FinishClip())
AUGMENTED = (Condition(), TakeConditioned(), Augment(kinds=("noise", "room")), FinishClip())

#: Names of MSP-Podcast by their official split.
SETS = {"MSP-PODCAST_0001_0001": "Train", "MSP-PODCAST_0002_0001": "Development", "MSP-PODCAST_0003_0001": "Test1"}


def settings_of(*stages: Stage, **settings: Any) -> CorpusSettings:
    return settings_of_stages(CorpusSettings(**({"profile": "embedded"} | settings)), stages)


def record(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "run.json").read_text(encoding="utf-8"))
    return found


def msp_podcast(root: Path) -> Path:
    columns = ["FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set"]
    lines = [[f"{name}.wav", "N", 2, 4, 3, name[-9:-5], "Male", split] for name, split in SETS.items()]
    files = {f"Audios/{name}.wav": spoken(number) for number, name in enumerate(SETS)}
    files |= {f"Transcripts/{name}.txt": b"So it goes." for name in SETS}
    return put(root, files | {"Labels/labels_consensus.csv": table(columns, *lines)})


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"asr_model": "none", "affect_model": "none"},
        {"asr_windows": "short", "affect_model": "somebody/model", "device": "cpu"},
        {"augment": ("pitch", "noise"), "reduce_noise_under": 9.0, "keep": 0.2, "profile": "standard"},
    ],
)
def test_lists_made_of_settings_say_the_same(settings: dict[str, Any]) -> None:
    asked = CorpusSettings(**({"profile": "embedded"} | settings))
    found = settings_of_stages(asked, (*measure_clip_stages(asked), *finish_clip_stages(asked)))
    assert (found.recogniser, found.affect) == (asked.recogniser, asked.affect)
    assert (measure_clip_stages(found), finish_clip_stages(found)) == (
        measure_clip_stages(asked),
        finish_clip_stages(asked),
    )


def test_stages_tell_what_settings_leave_open(tmp_path: Path) -> None:
    (tmp_path / "hum.wav").touch()
    words = TimeWords(recogniser="tiny", windows="short", device="cpu")
    measure = (MeasureQuality(), CutSpeech(), words, MeasureProsody(), RateAffect(model="somebody/model"))
    noise = Augment(kinds=("noise",), noise_folder=str(tmp_path))
    condition = Condition(reduce_noise_under=12.0, keep=0.3)
    found = settings_of(*measure, condition, TakeConditioned(), noise, FinishClip())
    assert (found.recogniser, found.asr_windows, found.device) == ("tiny", "short", "cpu")
    assert (found.affect, found.reduce_noise_under, found.keep) == ("somebody/model", 12.0, 0.3)
    assert (found.augment, found.noise_folder, found.most_copies) == (("noise",), str(tmp_path), 1)


def test_estimate_of_affect_is_asked_for_by_settings_because_it_is_no_stage() -> None:
    assert settings_of(*MEASURE, *FINISH).affect == "acoustic-estimate"
    assert settings_of(*MEASURE, *FINISH, affect_model="none").affect == ""


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"asr_model": "tiny"}, "asr_model is 'tiny' in the settings and 'none' in the stages"),
        ({"augment": ("pitch",)}, "augment is \\('pitch',\\) in the settings"),
        ({"reduce_noise_under": 9.0}, "reduce_noise_under is 9.0 in the settings and None"),
        ({"affect_model": "somebody/model"}, "with somebody/model, but the stages lack RateAffect"),
        ({"profile": "standard"}, "the stages lack RateAffect: add it after MeasureProsody"),
    ],
)
def test_settings_that_deny_the_stages_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(DailytalkError, match=reason):
        settings_of(*MEASURE, *FINISH, **settings)


@pytest.mark.parametrize("missing", [*MEASURE, *FINISH], ids=lambda stage: stage.name)
def test_list_without_a_stage_that_others_need_is_refused(missing: Stage) -> None:
    left = [stage for stage in (*MEASURE, *FINISH) if stage is not missing]
    with pytest.raises(DailytalkError, match=f"the stages lack {missing.name}"):
        settings_of(*left)


def test_run_with_lists_of_its_own_does_and_records_what_they_say(tmp_path: Path) -> None:
    read = read_corpus("crema_d", crema_d(tmp_path / "in", actors=(1001, 1002, 1003)), tmp_path / "out")
    outcome = build_corpus(
        read, tmp_path / "out", CorpusSettings(profile="embedded", copies=2), stages=(MEASURE, AUGMENTED)
    )
    told = record(tmp_path / "out")
    rows = rows_of(tmp_path / "out", ["augmented_from", "split"]).values()
    trained = [row for row in rows if row["split"] == "train" and row["augmented_from"] is None]
    assert told["counts"]["copies"] == 2 * len(trained)
    assert (told["settings"]["augment"], told["settings"]["asr_model"]) == (["noise", "room"], "none")
    assert outcome.n_clips == 9


def test_copies_of_no_kind_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    source, out = crema_d(tmp_path / "in", actors=(1001,)), tmp_path / "out"
    with pytest.raises(DailytalkError, match="--copies needs --augment"):
        build_corpus(read_corpus("crema_d", source, out), out, CorpusSettings(**PLAIN, copies=2))
    assert not list(out.rglob("*.parquet"))


def test_corpus_is_divided_as_it_divides_itself_unless_another_way_is_chosen(tmp_path: Path) -> None:
    source, out = msp_podcast(tmp_path / "in"), tmp_path / "out"
    outcome = run(source, out, name="msp_podcast")
    assert (outcome.n_clips, len(outcome.kept)) == (2, 3)
    assert {row["id"]: row["split"] for row in rows_of(out, ["id", "split"]).values()} == {
        "msp_podcast/MSP-PODCAST_0001_0001": "train",
        "msp_podcast/MSP-PODCAST_0002_0001": "validation",
    }
    assert record(out)["settings"]["split"] == "official"
    assert record(out)["counts"]["rejects_by_stage"] == {"Split": 1}
    run(source, out, name="msp_podcast", split="speakers")
    assert len(rows_of(out, ["id"])) == 3
    assert CorpusSettings().for_corpus("crema_d").split == "speakers"


def test_noises_of_a_folder_are_named_in_one_order_whatever_the_disk_says(tmp_path: Path) -> None:
    names = [f"{folder}/{number}.wav" for folder in ("b", "a") for number in range(20)]
    put(tmp_path, dict.fromkeys([*names, "b/.hidden.wav", "readme.txt"], b""))
    assert noises_of(str(tmp_path)) == sorted(names)
    assert noises_of("") == []
