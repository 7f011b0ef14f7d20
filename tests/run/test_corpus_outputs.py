import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from finished_corpora import finished_clip
from recordings import read_lines
from spoken_corpora import crema_d, rows_of, run

from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.sampling import Balance, Shortfall
from dailytalk_contiguous.core.schema import LABELLED, own_seconds
from dailytalk_contiguous.core.tally import Tally
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.items import open_items
from dailytalk_contiguous.run import clips
from dailytalk_contiguous.run.clip_plan import PlannedClips
from dailytalk_contiguous.run.clips import MANIFESTS, Read, write_corpus_outputs
from dailytalk_contiguous.shards import Shard, write_shard
from dailytalk_contiguous.sources.corpora.registry import corpus_info
from dailytalk_contiguous.store.owned_folder import file_name


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crema_d(tmp_path_factory.mktemp("corpus") / "in")


def tally(out: Path) -> Tally:
    found = Tally()
    for row in open_items(out).listed():
        found.add(row)
    return found


def test_record_of_a_corpus_of_which_nothing_is_left_has_its_balance_in_minutes(tmp_path: Path) -> None:
    short = Shortfall("sad", 3660.0, None, None)
    planned = PlannedClips(balance=Balance({}, {"sad": 7320.0}, {"sad": 10980.0}, [short]), refused={"pitch": 2})
    read = Read("crema_d", [], [Reject("a", "Corpus", "it is empty", "leave it out")], corpus_info("crema_d"), [])
    record = write_corpus_outputs(tmp_path, [], (), read, planned, read.problems, {"command": "x"}, False)
    assert record == json.loads((tmp_path / "run.json").read_text())
    assert record["balance"] == {
        "minutes_before": {"sad": 122.0},
        "minutes_after": {"sad": 0.0},
        "failure": record["balance"]["failure"],
        "shortfalls": [{"emotion": "sad", "minutes": 61.0, "to_record": short.to_record()}],
    }
    kinds = (
        "emotion",
        "style",
        "style_source",
        "speaker",
        "gender",
        "language",
        "sentence_type",
        "length",
        "split",
    )
    assert record["counts"] == {
        "read": 1,
        "clips": 0,
        "copies": 0,
        **{f"by_{name}": {} for name in (*kinds, "split", "word_source", "affect_source")},
        "rejects": 1,
        "rejects_by_stage": {"Corpus": 1},
        "copies_refused": {"pitch": 2},
        "without_prompt": 0,
        "without_text": 0,
    }
    assert (record["hours"], record["split"], record["kind"]) == ({"audio": 0.0, "by_emotion": {}}, None, "corpus")
    assert read_lines(tmp_path / "rejects.jsonl") == [read.problems[0].as_dict()]


@pytest.mark.parametrize("settings", [{}, {"augment": ("noise", "stretch")}, {"prompt_channel": True}], ids=str)
def test_weights_reach_the_target_in_run_json_in_the_report_and_in_the_manifest(
    source: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    outcome = run(source, tmp_path, balance="weights", target_minutes=0.3, **settings)
    assert outcome.record is not None
    after = outcome.record["balance"]["minutes_after"]
    manifest = read_lines(tmp_path / "data" / MANIFESTS["train"])
    clips = rows_of(tmp_path, ["duration", "labels"])
    own = {file_name(name): own_seconds(row) for name, row in clips.items()}
    minutes: dict[str, float] = defaultdict(float)
    for line in manifest:
        minutes[str(line["emotion"])] += own[Path(str(line["path"])).stem] / 60
    assert after == pytest.approx(minutes, abs=0.001)
    # A handful of clips can't do better than half of one.
    assert after == pytest.approx(dict.fromkeys(("angry", "happy", "neutral"), 0.3), abs=max(own.values()) / 120)
    seen = {name: group.seen / 60 for name, group in tally(tmp_path).by["emotion"].items()}
    assert seen == pytest.approx(after, abs=0.001)
    train = {name: row["labels"]["weight"] for name, row in clips.items() if row["labels"]["split"] == "train"}
    named = Counter(line["path"] for line in manifest)
    assert named.total() == pytest.approx(sum(train.values()), abs=3)
    for name, weight in train.items():
        assert abs(named[f"data_stereo/{file_name(name)}.wav"] - weight) < 1
    assert [finding for finding in check_folder(tmp_path)[0] if finding.level == "error"] == []


def test_clips_are_counted_by_where_their_affect_and_their_words_are_from(source: Path, tmp_path: Path) -> None:
    record = run(source, tmp_path).record
    assert record is not None
    rows = rows_of(tmp_path, ["utterances", "alignments"]).values()
    models = Counter(row["utterances"][0]["models"]["affect"] or "unknown" for row in rows)
    assert record["counts"]["by_affect_source"] == models
    words = Counter(word["source"] for row in rows for word in row["alignments"])
    assert record["counts"]["by_word_source"] == words
    assert words.total() > record["counts"]["clips"] > 0


def finished(name: str, **columns: Any) -> dict[str, Any]:
    """A finished clip of which nothing is known but its length, with `columns` in place of that."""
    return finished_clip({"id": name} | columns)


def test_clips_copies_and_hours_are_counted_by_every_kind_and_what_is_not_known_is_unknown(tmp_path: Path) -> None:
    words = [{"word": "a", "start": 0.0, "end": 1.0, "source": source} for source in ("heard", "given", "given")]
    angry = {"emotion": "angry", "style": "loud", "style_source": "rule", "speaker": "s1", "gender": "female"}
    angry |= {"language": "en", "sentence_type": "question", "length": "short", "split": "train"}
    rows = [
        finished("a", **angry, duration=4.0 * 3600, words=words, affect={"source": "raters"}),
        finished("b", emotion="angry", duration=2.0 * 3600, conditioning={"clip_start": 3600.0}),
        finished("c", duration=3600.0, augmented_from="a"),
    ]
    paths = [tmp_path / f"shard-{number}.parquet" for number in range(2)]
    for path, part in zip(paths, (rows[2:], rows[:2]), strict=True):
        write_shard(path, Shard(part), LABELLED)
    counts, hours = clips._counted(paths)
    assert hours == {"audio": 6.0, "by_emotion": {"angry": 5.0, "unknown": 1.0}}
    assert counts == {
        "clips": 2,
        "copies": 1,
        "without_text": 2,
        "by_emotion": {"angry": 2, "unknown": 1},
        "by_style": {"loud": 1, "unknown": 2},
        "by_style_source": {"rule": 1, "unknown": 2},
        "by_speaker": {"s1": 1, "unknown": 2},
        "by_gender": {"female": 1, "unknown": 2},
        "by_language": {"en": 1, "unknown": 2},
        "by_sentence_type": {"question": 1, "unknown": 2},
        "by_length": {"short": 1, "unknown": 2},
        "by_split": {"train": 1, "unknown": 2},
        "by_word_source": {"given": 2, "heard": 1},
        "by_affect_source": {"raters": 1, "unknown": 2},
    }
    for kinds in (hours["by_emotion"], *(found for name, found in counts.items() if name.startswith("by_"))):
        assert [*kinds] == sorted(kinds)  # whichever clip comes first


def test_prompts_are_nobodys_minutes(source: Path, tmp_path: Path) -> None:
    minutes = []
    for name, prompted in (("plain", False), ("prompted", True)):
        run(source, tmp_path / name, prompt_channel=prompted)
        minutes.append((tally(tmp_path / name).total.seconds / 60, tally(tmp_path / name).total.seen / 60))
    assert minutes[0] == pytest.approx(minutes[1], rel=1e-3)
