import json
from pathlib import Path

import pytest
from built_conversations import built_row, write_dataset
from command import Command
from scripted import folder, say, settings, talk


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four finished conversations that espeak said."""
    base = tmp_path_factory.mktemp("spoken")
    work = folder(base / "work", **{f"call{n}": talk(f"call {n}", 8) for n in range(4)})
    say(work, settings(base, tts="espeak"))
    return work


def test_exported_folder_stands_up_to_the_check(tmp_path: Path, dailytalk: Command, spoken: Path) -> None:
    done = dailytalk("export", spoken, "--out", tmp_path / "data")
    assert (done.code, done.err) == (0, "")
    assert str(tmp_path / "data") in done.out
    checked = dailytalk("check", tmp_path / "data", "--json")
    told = json.loads(checked.out)
    assert [finding for finding in told["findings"] if finding["level"] == "error"] == []
    assert (checked.code, told["facts"]["kind"]) == (0, "moshi")


def test_export_says_how_many_words_the_trainer_gets(tmp_path: Path, dailytalk: Command, spoken: Path) -> None:
    done = dailytalk("export", spoken, "--out", tmp_path / "data", "--json")
    words = json.loads(done.out)["words"]
    found = [
        json.loads(path.read_text())["alignments"] for path in (tmp_path / "data").rglob("data_stereo/*.json")
    ]
    assert (words["total"], words["lost"], words["cut"]) == (sum(map(len, found)), 0, None)
    shown = dailytalk("export", spoken, "--out", tmp_path / "data")
    moved = f"{words['total']} words ({words['moved']} moved to another 80 ms frame)"
    assert moved in " ".join(shown.out.split())


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


@pytest.mark.parametrize(
    ("format", "texts", "sounds"), [("csm", "conversations.jsonl", 32), ("j-moshi", "text/*.json", 4)]
)
def test_other_formats_hold_every_conversation(
    tmp_path: Path, dailytalk: Command, spoken: Path, format: str, texts: str, sounds: int
) -> None:
    data = tmp_path / "data"
    done = dailytalk("export", spoken, "--format", format, "--out", data, "--json")
    assert (done.code, json.loads(done.out)["files"]) == (0, {"train": 4})
    assert len(list(data.rglob("*.wav"))) == sounds
    told = "".join(path.read_text() for path in data.glob(texts))
    assert "calm" not in told  # a style tag is nothing that anybody says
    assert told.count("of") == 32


def test_folder_without_conversations_is_said_to_be_one(tmp_path: Path, dailytalk: Command) -> None:
    for command in (("export", tmp_path, "--out", tmp_path / "data"), ("check", tmp_path / "nowhere")):
        done = dailytalk(*command)
        assert (done.code, done.out, done.err.count("\n")) == (1, "", 1), done.err


def test_damaged_training_folder_gives_1_and_names_the_file(
    tmp_path: Path, dailytalk: Command, spoken: Path
) -> None:
    data = tmp_path / "data"
    assert dailytalk("export", spoken, "--out", data).code == 0
    broken = next(data.rglob("*.wav"))
    broken.write_bytes(b"no sound")
    done = dailytalk("check", data)
    assert done.code == 1
    verdict, first_step = done.out.splitlines()[-2:]
    assert (verdict.startswith("bad: "), broken.name in verdict) == (True, True)
    assert first_step.startswith("next: ")


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
        verdict, step = done.out.splitlines()[-2:]
        assert verdict.startswith(f"bad: {names[0]}: ")
        assert step.startswith("next: ")


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
    for wrong, problem in (("long=3", "names no finding"), ("long-turns=many", "has no number")):
        done = dailytalk("check", folder, "--limit", wrong)
        assert (done.code, problem in " ".join(done.err.split())) == (2, True), done.err


def test_lengths_that_check_shows_are_those_of_the_files(tmp_path: Path, dailytalk: Command) -> None:
    work, data = write_dataset(tmp_path / "work", [built_row("a", seconds=6.7)]), tmp_path / "data"
    assert dailytalk("export", work, "--out", data).code == 0
    assert "length 6.7 s" in dailytalk("check", work).out
    assert "length train 6.7 s" in dailytalk("check", data).out
