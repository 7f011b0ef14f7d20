"""`mix --towards`: how often each conversation is seen so that together they are like a published corpus."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from built_conversations import built_row, write_dataset
from command import Command

#: A lively minute: of four turns each overlaps the one before by half a second.
LIVELY = [(("left", "right")[n % 2], 4.5 * n + 0.5, 4.5 * n + 5.5, "well " * 15) for n in range(4)]

#: One speaks, and the other never does.
SILENT = [("left", 4.5 * n + 0.5, 4.5 * n + 4.5, "well " * 13) for n in range(4)]


def work(folder: Path, lively: int, silent: int, seed: int = 0) -> Path:
    kinds = {f"lively{n}": LIVELY for n in range(lively)} | {f"silent{n}": SILENT for n in range(silent)}
    write_dataset(folder, [built_row(name, lines, 20.0, 8000) for name, lines in kinds.items()])
    (folder / "run.json").write_text(json.dumps({"source": {"licence": "CC-BY-4.0"}}))
    return folder


def reference(path: Path, **bands: tuple[float, float]) -> Path:
    of = {name: {"both": {"p5": low, "p50": (low + high) / 2, "p95": high}} for name, (low, high) in bands.items()}
    path.write_text(json.dumps({"timelines": {"source": of}}))
    return path


def seen(out: Path) -> dict[str, Counter[int]]:
    """Of each kind, how many conversations are seen how often."""
    entries = Counter(json.loads(line)["path"] for line in (out / "train.jsonl").read_text().splitlines())
    times: dict[str, Counter[int]] = {"lively": Counter(), "silent": Counter()}
    for path, count in entries.items():
        times[Path(path).stem.rstrip("0123456789")][count] += 1
    return times


def mixed(dailytalk: Command, out: Path, towards: Path | str, *more: str) -> dict[str, Any]:
    done = dailytalk("mix", *more, "--out", out, "--towards", towards, "--eval-share", 0.01, "--json")
    assert done.code in (0, 3), done.err
    return dict(json.loads(done.out)["towards"])


def test_lively_conversations_are_seen_again_before_a_silent_one_is_lost(
    dailytalk: Command, tmp_path: Path
) -> None:
    folder = work(tmp_path / "calls", 10, 10)
    assert dailytalk("mix", folder, "--out", tmp_path / "once", "--eval-share", 0.01).code == 0
    lively, silent = (times.total() for times in seen(tmp_path / "once").values())
    # A lively one overlaps in 1.5 of 18.5 s with speech; of a silent one 16 s are speech.
    low = 2 * lively * 1.5 / (2 * lively * 18.5 + silent * 16)
    band = reference(tmp_path / "to.json", overlap_share=(low - 1e-6, 0.2))
    near = mixed(dailytalk, tmp_path / "out", band, str(folder))
    assert seen(tmp_path / "out") == {"lively": {2: lively}, "silent": {1: silent}}
    (measure,) = near["measures"]
    assert measure["before"] < low == pytest.approx(measure["after"])
    assert (near["lost"], near["seen"]) == (0, {"1": silent, "2": lively})


def test_what_repeats_can_not_reach_costs_the_fewest_hours(dailytalk: Command, tmp_path: Path) -> None:
    folder, band = work(tmp_path / "calls", 10, 10), reference(tmp_path / "to.json", overlap_share=(0.075, 0.2))
    near = mixed(dailytalk, tmp_path / "out", band, str(folder))
    assert {*seen(tmp_path / "out")["lively"]} == {4}
    assert 0 < near["lost"] < near["hours"] / 2
    assert near["measures"][0]["after"] >= 0.075


def test_what_can_not_be_reached_is_said_and_half_of_the_hours_stay(dailytalk: Command, tmp_path: Path) -> None:
    folder, band = work(tmp_path / "calls", 2, 8), reference(tmp_path / "to.json", overlap_share=(0.5, 0.6))
    done = dailytalk("mix", folder, "--out", tmp_path / "out", "--towards", band, "--eval-share", 0.01)
    assert done.code == 3
    assert "not reached" in done.out
    assert sum(times.total() for times in seen(tmp_path / "out").values()) >= 5


def test_one_of_which_words_are_unknown_does_not_take_the_place_of_others(
    dailytalk: Command, tmp_path: Path
) -> None:
    rows = [built_row(f"lively{n}", LIVELY, 20.0, 8000) for n in range(6)]
    write_dataset(tmp_path / "calls", [*rows, built_row("silent0", LIVELY, 20.0, 8000, language="ja")])
    band = reference(tmp_path / "to.json", words=(500, 600))
    near = mixed(dailytalk, tmp_path / "out", band, tmp_path / "calls")
    assert near["measures"][0]["after"] == pytest.approx(near["measures"][0]["before"])
    assert (near["lost"], set(near["seen"])) == (0, {"1"})


def test_a_band_without_a_width_is_a_band(dailytalk: Command, tmp_path: Path) -> None:
    folder, out = work(tmp_path / "calls", 4, 4), tmp_path / "out"
    band = reference(tmp_path / "to.json", interruptions=(0, 0), overlap_share=(1e-300, 1e-299), words=(1, 200))
    near = mixed(dailytalk, out, band, folder)
    assert near["measures"][0]["after"] == 0


@pytest.mark.parametrize("change", [{"duration": -5.0}, {"duration": 1e300}, {"turns": [[1]]}])
def test_a_conversation_that_can_not_be_is_named_with_its_folder(
    dailytalk: Command, tmp_path: Path, change: dict[str, Any]
) -> None:
    assert dailytalk("export", work(tmp_path / "c", 3, 3), "--format", "moshi", "--out", tmp_path / "m").code == 0
    path = tmp_path / "m" / "conversations.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps({name: of | change for name, of in about.items()}))
    done = dailytalk("mix", tmp_path / "m", "--out", tmp_path / "out", "--towards", "open-yap")
    assert done.code == 1
    assert f"{tmp_path / 'm'}: lively0" in done.err


def test_the_same_seed_gives_the_same_bytes_and_another_chooses_others(dailytalk: Command, tmp_path: Path) -> None:
    folder, band = work(tmp_path / "calls", 12, 12), reference(tmp_path / "to.json", overlap_share=(0.05, 0.2))
    for out, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        mixed(dailytalk, tmp_path / out, band, str(folder), "--seed", seed)
    first, second, other = ((tmp_path / out / "train.jsonl").read_bytes() for out in "abc")
    assert first == second
    assert first != other


def test_a_published_corpus_is_named_and_one_to_avoid_is_not_taken(dailytalk: Command, tmp_path: Path) -> None:
    folder = work(tmp_path / "calls", 4, 4)
    near = mixed(dailytalk, tmp_path / "out", "open-yap", str(folder))
    assert near["reference"] == "Open Yap 1K"
    assert {"overlap_share", "words"} <= {measure["measure"] for measure in near["measures"]}
    done = dailytalk("mix", folder, "--out", tmp_path / "no", "--towards", "duplexdrama")
    assert done.code == 2
    assert "open-yap" in done.err


def test_shares_of_hours_and_a_band_are_not_asked_for_together(dailytalk: Command, tmp_path: Path) -> None:
    folder = work(tmp_path / "calls", 2, 2)
    for more in (["--hours", "1"], []):
        named = f"{folder}:2" if not more else folder
        done = dailytalk("mix", named, "--out", tmp_path / "out", "--towards", "open-yap", *more)
        assert done.code == 1
        assert "--hours" in done.err


UNSORTED = '{"timelines": {"source": {"words": {"both": {"p5": 9, "p50": 1, "p95": 5}}}}}'


@pytest.mark.parametrize("text", ["[]", UNSORTED, '{"timelines": {}}', "{"])
def test_a_reference_that_is_none_is_one_sentence(dailytalk: Command, tmp_path: Path, text: str) -> None:
    (tmp_path / "to.json").write_text(text)
    done = dailytalk("mix", tmp_path, "--out", tmp_path / "out", "--towards", tmp_path / "to.json")
    assert done.code == 1
    assert "to.json" in done.err
