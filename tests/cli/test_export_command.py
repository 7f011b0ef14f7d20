import json
from pathlib import Path

import pytest
from built_conversations import built_row, write_dataset
from command import Command
from scripted import folder, say, settings, talk

from dailytalk_contiguous.core.wording import counted


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
    [("export", "--format", "moshi"), ("export", "--format", "webdataset"), ("mix",)],
    ids=["moshi", "webdataset", "mix"],
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
    for count in (8, 11, 5, 14, 16):
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


@pytest.mark.parametrize(
    ("count", "more"), [(1, []), (20, []), (22, ["… 2 more of the kind error (--json lists all)"])]
)
def test_check_shows_a_few_findings_and_its_verdict_and_with_v_all_facts_and_twenty_errors_of_a_kind(
    tmp_path: Path, dailytalk: Command, count: int, more: list[str]
) -> None:
    lines = [json.dumps({"path": f"data_stereo/{n}.wav", "duration": 90.0}) + "\n" for n in range(count)]
    (tmp_path / "train.jsonl").write_text("".join(lines))
    done = dailytalk("check", tmp_path, "-v")
    gone = "the manifest names it, but it isn't there; export again with `dailytalk export`"
    length = {1: "90.0 s", 20: "30.0 min", 22: "33.0 min"}[count]
    verdict = "bad: data_stereo/0.wav: the manifest names it, but it isn't there"
    verdict += f"; and {count - 1} more reasons" if count > 1 else ""
    assert (done.code, done.err) == (1, "")
    assert done.out.splitlines() == [
        verdict,
        "kind: moshi",
        f"files: train {count}",
        f"length: train {length}",
        f"windows: train {count}",
        "share of padding in the windows: train 0.1",
        "words: 0",
        "length of a window: 100 s",
        "windows in a batch: 1",
        *(f"error: data_stereo/{n}.wav: {gone}" for n in range(min(count, 20))),
        *more,
        verdict,
        "next: export again with `dailytalk export`",
    ]
    short = dailytalk("check", tmp_path)
    shown = [f"error: data_stereo/{n}.wav: {gone}" for n in range(1, min(count, 7))]  # the verdict has the first
    left = [f"… {counted(count - 7, 'more finding')} (-v shows them)"] if count > 7 else []
    assert (short.code, short.out.splitlines()) == (
        1,
        [
            f"moshi: files train {count}, words 0, length train {length}",
            *shown,
            *left,
            *done.out.splitlines()[-2:],
        ],
    )
    told = json.loads(dailytalk("check", tmp_path, "--json").out)
    assert [finding["file"] for finding in told["findings"]] == [f"data_stereo/{n}.wav" for n in range(count)]


@pytest.mark.parametrize("command", [("export", "--out", "out"), ("push", "tester/calls")])
def test_folder_that_was_only_tagged_is_told_the_command_to_run_first(
    tmp_path: Path, dailytalk: Command, command: tuple[str, ...]
) -> None:
    (tmp_path / "work/tagged").mkdir(parents=True)
    done = dailytalk(command[0], tmp_path / "work", *command[1:])
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"dailytalk: {tmp_path}/work was tagged and not spoken yet: run `dailytalk speak {tmp_path}/work`, "
        "with `--revoice none` to keep both voices as they were recorded.\n"
    )
    done = dailytalk(command[0], tmp_path / "nowhere", *command[1:])
    assert done.err == f"dailytalk: {tmp_path}/nowhere does not exist: check the path.\n"


def test_check_says_nothing_of_what_it_does_not_know_and_names_no_dot(tmp_path: Path, dailytalk: Command) -> None:
    row = built_row("a", language=None)
    utterances = [utterance | {"status": "kept", "synthesis": None} for utterance in row["utterances"]]
    folder = write_dataset(tmp_path / "work", [row | {"utterances": utterances}, built_row("b", language=None)])
    done = dailytalk("check", folder)
    assert (done.code, done.err) == (0, "")
    assert "none" not in done.out
    assert ".:" not in done.out
    told = json.loads(dailytalk("check", folder, "--json").out)
    assert told["verdict"]["headline"] == done.out.splitlines()[-2]
    assert done.out.splitlines()[-1] == f"next: dailytalk export {folder} --format moshi --out DIR"
    assert {finding["kind"] for finding in told["verdict"]["findings"]} == {
        finding["kind"] for finding in told["findings"]
    }


def test_limit_of_a_verdict_is_an_option_of_check(tmp_path: Path, dailytalk: Command) -> None:
    folder = write_dataset(tmp_path / "work", [built_row("a")])
    for limit, found in (("500ms", True), ("2s", False), ("inf", False)):
        told = json.loads(dailytalk("check", folder, "--max-turn", limit, "--json").out)
        assert ("long-turns" in {finding["kind"] for finding in told["findings"]}) == found


def test_lengths_that_check_shows_are_those_of_the_files(tmp_path: Path, dailytalk: Command) -> None:
    work, data = write_dataset(tmp_path / "work", [built_row("a", seconds=6.7)]), tmp_path / "data"
    assert dailytalk("export", work, "--out", data).code == 0
    assert "length 6.7 s" in dailytalk("check", work).out
    assert "length train 6.7 s" in dailytalk("check", data).out
