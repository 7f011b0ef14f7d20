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

    known: dict[str, str] = {}
    for count in (8, 5, 16):
        sides = divided(tmp_path / "data", count)
        assert len(sides) == count
        assert sides.items() <= (known := sides | known).items()
    fresh = divided(tmp_path / "fresh", 16)
    assert fresh != known
    assert divided(tmp_path / "data", 16, "--divide-anew") == fresh


def test_check_shows_a_few_findings_with_v_more_and_as_json_all(tmp_path: Path, dailytalk: Command) -> None:
    names = [f"data_stereo/{n}.wav" for n in range(22)]
    manifest = "".join(json.dumps({"path": name, "duration": 90.0}) + "\n" for name in names)
    (tmp_path / "train.jsonl").write_text(manifest)
    shown = [dailytalk("check", tmp_path, *options) for options in ((), ("-v",), ("--json",))]
    assert [done.code for done in shown] == [1, 1, 1]
    short, long = ([line for line in done.out.splitlines() if line.startswith("error: ")] for done in shown[:2])
    assert 0 < len(short) < len(long) < 22
    assert [finding["file"] for finding in json.loads(shown[2].out)["findings"]] == names
    for done in shown[:2]:
        assert done.out.splitlines()[-1].startswith(f"bad: {names[0]}: ")


def test_folder_that_was_only_tagged_is_told_the_command_to_run_first(tmp_path: Path, dailytalk: Command) -> None:
    (tmp_path / "work/tagged").mkdir(parents=True)
    for command in (("export", tmp_path / "work", "--out", "out"), ("push", tmp_path / "work", "tester/calls")):
        done = dailytalk(*command)
        assert (done.code, done.out) == (1, "")
        assert f"run `dailytalk speak {tmp_path}/work`" in done.err


def test_limit_of_a_verdict_is_an_option_of_check(tmp_path: Path, dailytalk: Command) -> None:
    folder = write_dataset(tmp_path / "work", [built_row("a")])
    for limit, found in (("0.5", True), ("2", False), ("none", False)):
        told = json.loads(dailytalk("check", folder, "--limit", f"long-turns={limit}", "--json").out)
        assert ("long-turns" in {finding["kind"] for finding in told["findings"]}) == found
    for wrong, problem in (
        ("long=3", "give low-confidence"),
        ("long-turns=many", "has no number"),
        ("long-turns=nan", "has no number"),
    ):
        done = dailytalk("check", folder, "--limit", wrong)
        assert (done.code, problem in " ".join(done.err.split())) == (2, True), done.err
