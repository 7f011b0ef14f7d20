import json
from pathlib import Path

import pytest
from built_conversations import built_row, write_dataset
from command import Command


@pytest.mark.parametrize(
    "command",
    [("export", "--format", "moshi"), ("mix",)],
    ids=["moshi", "mix"],
)
def test_conversation_that_was_held_out_stays_so_when_others_come_and_go(
    tmp_path: Path, dailytalk: Command, command: tuple[str, ...]
) -> None:
    calls = [built_row(f"call{n}", kept_speaker=f"p{n}") for n in range(16)]

    def divided(out: Path, count: int, *options: object) -> dict[str, str]:
        work = write_dataset(tmp_path / "work", calls[:count])
        done = dailytalk(*command, work, "--out", out, "--eval-share", 0.2, *options)
        assert done.code == 0
        about = json.loads((out / "conversations.json").read_text())
        return {name: facts["split"] for name, facts in about.items()}

    first: dict[str, str] = {}
    for count in (8, 5, 16):
        sides = divided(tmp_path / "data", count)
        assert len(sides) == count
        first = sides | first
        assert sides.items() <= first.items()
    fresh = divided(tmp_path / "fresh", 16)
    assert fresh != first
    assert divided(tmp_path / "data", 16, "--divide-anew") == fresh


def test_check_shows_a_few_findings_of_a_kind_and_all_with_v_and_as_json(
    tmp_path: Path, dailytalk: Command
) -> None:
    names = [f"data_stereo/{n}.wav" for n in range(22)]
    lines = [json.dumps({"path": name, "duration": 90.0}) for name in names]
    (tmp_path / "train.jsonl").write_text("\n".join(lines) + "\n")
    n_errors = []
    for options in ((), ("-v",)):
        done = dailytalk("check", tmp_path, *options)
        assert done.code == 1
        verdict, first, remedy, *lines = done.out.splitlines()
        assert verdict.startswith("bad: 22 reasons ")
        assert first.startswith(f"error: {names[0]}: ")
        assert remedy.startswith("  ")
        n_errors.append(len([line for line in (first, *lines) if line.startswith("error: ")]))
    few, every = n_errors
    assert 0 < few < every == 22
    assert f"{22 - few} more findings" in dailytalk("check", tmp_path).out
    as_json = dailytalk("check", tmp_path, "--json")
    assert as_json.code == 1
    findings = json.loads(as_json.out)["findings"]
    assert [finding["file"] for finding in findings] == names


def test_folder_that_was_only_tagged_is_told_the_command_to_run_first(tmp_path: Path, dailytalk: Command) -> None:
    (tmp_path / "work/tagged").mkdir(parents=True)
    work = tmp_path / "work"
    for command in (("export", work, "--out", "out"), ("push", work, "tester/calls")):
        done = dailytalk(*command)
        assert (done.code, done.out) == (1, "")
        assert f"run `dailytalk speak {tmp_path}/work`" in done.err


def test_split_of_what_has_none_is_refused_in_words(tmp_path: Path, dailytalk: Command) -> None:
    folder = write_dataset(tmp_path / "work", [built_row("a")])
    out = tmp_path / "out"
    done = dailytalk("export", folder, "--format", "ljspeech", "--split", "train", "--out", out)
    assert done.code == 1
    assert "leave out --split" in done.err


def test_limit_of_a_verdict_is_an_option_of_check(tmp_path: Path, dailytalk: Command) -> None:
    folder = write_dataset(tmp_path / "work", [built_row("a")])
    for limit, is_passed in (("0.5", True), ("2", False), ("none", False)):
        done = dailytalk("check", folder, "--limit", f"long-turns={limit}", "--json")
        findings = json.loads(done.out)["findings"]
        kinds = {finding["kind"] for finding in findings}
        assert ("long-turns" in kinds) == is_passed
    for wrong, problem in (
        ("long=3", "give low-confidence"),
        ("long-turns=many", "has no number"),
        ("long-turns=nan", "has no number"),
    ):
        done = dailytalk("check", folder, "--limit", wrong)
        assert done.code == 2, done.err
        assert problem in " ".join(done.err.split()), done.err
