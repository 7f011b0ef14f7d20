import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from built_conversations import built_row, flac, write_dataset
from command import Command
from test_trainer_formats import digests, recordings, rows_of

from dailytalk_contiguous.core.audio import read_pcm
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.exports import write_export
from dailytalk_contiguous.publish.formats import FORMATS
from dailytalk_contiguous.publish.opening import open_items

PERSONAPLEX = FORMATS["personaplex"]

#: Turns of three seconds with pauses of a second; one of the agent's is talked into, and he laughs after another.
LINES = [
    ("left", 0.5, 3.5, "Well this is what I say first"),
    ("right", 4.5, 7.5, "And this is what I answer"),
    ("left", 8.5, 11.5, "Then I go on talking about it"),
    ("right", 11.0, 14.5, "While I talk into your turn now"),
    ("left", 15.5, 18.5, "And here I am alone once more"),
    ("left", 18.6, 18.9, ""),
    ("left", 19.2, 21.5, "And a little more of it"),
    ("right", 23.0, 26.5, "At last I say goodbye to you"),
    ("left", 27.0, 28.9, "Bye then my dear friend"),
]


def call(name: str, lines=LINES, **columns) -> dict:
    return built_row(name, lines, seconds=30.0, **columns)


def calls(count: int = 6) -> list[dict]:
    return [call(f"c{number}", kept_speaker=f"p{number}") for number in range(count)]


def lines_of(folder: Path) -> dict[str, dict]:
    """The lines of both manifests by conversation, read strictly: what they name is there, and as they say."""
    found = {}
    config = yaml.safe_load((folder / "personaplex-finetune.yaml").read_text())
    assert config["system_prompt"]["enable"]
    assert config["system_prompt"]["default_text_prompt"] == ""
    about = json.loads((folder / "conversations.json").read_text())
    of_file = {file: name for name, facts in about.items() for file in facts["files"]}
    for side in ("train", "eval"):
        for text in Path(config["data"][f"{side}_data"] or "/dev/null").read_text().splitlines():
            line = json.loads(text)
            assert soundfile.info(line["path"]).duration == line["duration"]
            assert Path(line["path"]).with_suffix(".json").is_file()
            name = of_file[str(Path(line["path"]).relative_to(folder.resolve()))]
            if "voice_prompt" in line:
                prompt = Path(config["system_prompt"]["voice_prompt_dir"]) / line["voice_prompt"]
                info = soundfile.info(prompt)
                assert (info.samplerate, info.channels, info.subtype) == (24000, 1, "PCM_16")
                assert 5.0 <= info.duration <= 10.001
                assert about[name]["voice_prompt"]["of"] != name
                line["prompt"] = soundfile.read(prompt, dtype="int16")[0]
            found[name] = line | {"side": side, "record": about[name].get("voice_prompt")}
    prompts = {line.get("voice_prompt") for line in found.values()} - {None}
    assert {path.name for path in folder.glob("voice_prompts/*")} == prompts
    assert {path.name for path in folder.rglob("*jsonl")} <= {"train.jsonl", "eval.jsonl"}
    return found


def assert_alone(line: dict, rows: dict[str, dict], agent: str = "left") -> None:
    """A prompt is what its record says, of the agent's channel, where nobody else is heard."""
    row = rows[line["record"]["of"]]
    pcm = read_pcm(row["audio"], sample_rate=24000)[:, ("left", "right").index(agent)]
    pieces = [pcm[round(start * 24000) : round(end * 24000)] for start, end in line["record"]["stretches"]]
    assert np.array_equal(line["prompt"], np.concatenate(pieces))
    others = [part for part in row["utterances"] if part["channel"] != agent or not part["text"].strip()]
    others += [word for word in row["alignments"] if word["speaker"] != agent] + row["sounds"]
    for start, end in line["record"]["stretches"]:
        assert not [part for part in others if part["start"] < end and part["end"] > start]
        cut = [word for word in row["alignments"] if word["speaker"] == agent]
        assert not [
            word for word in cut if word["start"] < start < word["end"] or word["start"] < end < word["end"]
        ]


@recordings
def test_prompts_of_recordings_are_of_the_agent_alone_in_another_conversation(tmp_path, kind):
    rows = {row["conversation_id"]: row for row in rows_of(kind)}
    write_export(rows.values(), tmp_path / "out", PERSONAPLEX)
    lines = lines_of(tmp_path / "out")
    assert lines.keys() == rows.keys()
    for line in lines.values():
        assert_alone(line, rows)


def test_each_conversation_has_the_voice_of_another_of_its_side(tmp_path):
    rows = {row["conversation_id"]: row for row in calls()}
    sides = {name: "eval" if name in ("c1", "c4") else "train" for name in rows}
    done = write_export(rows.values(), tmp_path / "out", PERSONAPLEX, sides=sides)
    lines = lines_of(tmp_path / "out")
    assert all(sides[line["record"]["of"]] == line["side"] for line in lines.values())
    assert len({line["record"]["of"] for line in lines.values()}) == 6
    for line in lines.values():
        assert_alone(line, rows)
    assert done.facts["prompts"] == {"voice": 6, "text": 0, "conversations": 6}
    before = digests(tmp_path / "out")
    write_export(iter(calls()), tmp_path / "out", PERSONAPLEX, sides=sides)
    assert digests(tmp_path / "out") == before


def test_sphn_gives_back_the_path_by_which_the_trainer_looks_prompts_up(tmp_path):
    sphn = pytest.importorskip("sphn")
    write_export(calls(), tmp_path / "out", PERSONAPLEX)
    manifest = tmp_path / "out/train.jsonl"
    paths = {json.loads(line)["path"] for line in manifest.read_text().splitlines()}
    read = sphn.dataset_jsonl(
        str(manifest), duration_sec=30.0, num_threads=1, sample_rate=24000, pad_last_segment=True
    )
    assert {sample["path"] for sample in read.seq(skip=0, step_by=1)} == paths


def test_a_voice_that_no_other_conversation_has_gets_no_prompt_and_is_said(tmp_path):
    rows = [*calls(3), call("alone"), call("silent", [LINES[0], LINES[1]])]
    for part in rows[3]["utterances"]:
        part["synthesis"] = part["synthesis"] and part["synthesis"] | {"voice": "berta"}
    for part in rows[4]["utterances"]:
        part["synthesis"] = None
    done = write_export(rows, tmp_path / "out", PERSONAPLEX)
    lines = lines_of(tmp_path / "out")
    assert {name for name, line in lines.items() if "voice_prompt" not in line} == {"alone", "silent"}
    assert sorted(done.left_out.values()) == [1, 1]
    assert any("--speakers" in why for why in done.left_out)


def test_what_was_kept_of_a_person_is_no_prompt_of_the_voice_that_replaces_him(tmp_path):
    rows = {row["conversation_id"]: row for row in calls(2)}
    for row in rows.values():
        row["utterances"][4] |= {"status": "kept-original", "synthesis": None}
    write_export(rows.values(), tmp_path / "out", PERSONAPLEX)
    for line in lines_of(tmp_path / "out").values():
        assert [round(start) for start, _ in line["record"]["stretches"]] == [0, 19]  # not at 15.5


def test_swapped_the_person_who_was_kept_gives_his_own_voice_without_laughs_and_leaks(tmp_path):
    rows = {name: call(name, kept_speaker="ben", sounds=[(5.0, 5.3)]) for name in ("loud", "one", "two")}
    pcm = read_pcm(rows["loud"]["audio"], sample_rate=24000)
    pcm[24000 * 23 : 24000 * 26, 0] = pcm[24000 * 23 : 24000 * 26, 1]  # somebody whom no transcript has
    rows["loud"]["audio"] = {"bytes": flac(pcm, 24000), "path": "loud.flac"}
    for row in rows.values():
        row["utterances"][3] |= {"start": 12.0}
        row["alignments"] = [word for word in row["alignments"] if not 10.9 <= word["start"] < 12.0]
    (tmp_path / "p.csv").write_text("speaker,text\n,You are Ben.\nanna,You are Ann.\n")
    options = {"main": "right", "sides": dict.fromkeys(rows, "train"), "persona": str(tmp_path / "p.csv")}
    write_export(rows.values(), tmp_path / "out", PERSONAPLEX, **options)
    lines = lines_of(tmp_path / "out")
    assert [line["record"]["of"] for line in lines.values()].count("loud") == 0
    assert {line["text_prompt"] for line in lines.values()} == {"<system> You are Ben. <system>"}
    for line in lines.values():
        assert_alone(line, rows, "right")


def test_text_prompts_are_of_a_conversation_its_recording_its_agent_or_all_others(tmp_path):
    table = [
        "conversation_id,recording_id,speaker,name,text",
        'c0,,,Ann,"You are {name}, a <b>teller</b>."',
        ",c1,,,You are a recording.",
        ",,anna,Ed,<system> You are {name}. <system>",
        "c9,,,,You are not here.",
    ]
    (tmp_path / "p.csv").write_text("\ufeff" + "\r\n".join(table), encoding="utf-8")
    rows = [*calls(3), call("other")]
    rows[3]["utterances"] = [part | {"synthesis": None} for part in rows[3]["utterances"]]
    done = write_export(rows, tmp_path / "out", PERSONAPLEX, persona=str(tmp_path / "p.csv"))
    prompts = {name: line.get("text_prompt") for name, line in lines_of(tmp_path / "out").items()}
    assert prompts == {
        "c0": "<system> You are Ann, a <b>teller</b>. <system>",
        "c1": "<system> You are a recording. <system>",
        "c2": "<system> You are Ed. <system>",
        "other": None,
    }
    assert done.facts["prompts"]["text"] == 3
    assert any("'c9'" in why for why in done.left_out)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("p.csv", b"", "no column 'text'"),
        ("p.csv", b"speaker,text\nann,Hi {topic}.", r"line 2 .*\{topic\}"),
        ("p.jsonl", b'{"text": "Hi."}\n{"text": ', "line 2 "),
        ("p.jsonl", None, "not there|can't be read"),
    ],
)
def test_a_wrong_table_of_personas_is_one_sentence_before_anything_is_written(tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DailytalkError, match=reason):
        write_export(calls(2), tmp_path / "out", PERSONAPLEX, persona=str(tmp_path / name))
    assert not (tmp_path / "out").exists()


def test_a_moshi_folder_never_has_prompts(tmp_path):
    (tmp_path / "p.csv").write_text("text\nYou are Ann.\n")
    with pytest.raises(DailytalkError, match="--persona does not go with --format moshi"):
        write_export(calls(2), tmp_path / "out", FORMATS["moshi"], persona=str(tmp_path / "p.csv"))
    write_export(calls(), tmp_path / "out", FORMATS["moshi"])
    text = (tmp_path / "out/train.jsonl").read_text()
    assert "prompt" not in text
    assert not (tmp_path / "out/voice_prompts").exists()


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "p.csv").write_text("text\nYou are Ann.\n")
    write_export(calls(), tmp_path / "out", PERSONAPLEX, persona=str(tmp_path / "p.csv"))
    return tmp_path / "out"


def kinds(folder: Path) -> set[str]:
    return {finding.kind for finding in check_folder(folder)[0] if finding.level == "error"}


def change(**fields):
    def changed(folder: Path) -> None:
        lines = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
        lines[0] = {key: value for key, value in (lines[0] | fields).items() if value is not None}
        (folder / "train.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    return changed


def sound(seconds: float, channels: int = 1, rate: int = 24000):
    def written(folder: Path) -> None:
        shutil.rmtree(folder / "voice_prompts")
        (folder / "voice_prompts").mkdir()
        for line in (folder / "train.jsonl").read_text().splitlines() + (
            folder / "eval.jsonl"
        ).read_text().splitlines():
            tone = 0.1 * np.sin(np.arange(round(seconds * rate)) / 20)
            prompt = folder / "voice_prompts" / json.loads(line)["voice_prompt"]
            soundfile.write(prompt, np.stack([tone] * channels, axis=1), rate, "PCM_16")

    return written


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (change(voice_prompt="nobody.wav"), "missing-audio"),
        (change(voice_prompt="../../out.wav"), "unreadable-audio"),
        (change(text_prompt="You are Ann."), "text-prompt"),
        (change(path="data_stereo/c0.wav"), "prompt-path"),
        (sound(2.0), "wrong-prompt"),
        (lambda folder: folder.rename(folder.with_name("moved")), "config"),
    ],
)
def test_check_names_a_prompt_with_which_the_trainer_would_do_without(folder, damage, kind):
    damage(folder)
    assert kind in kinds(folder if folder.exists() else folder.with_name("moved"))


def test_the_folder_is_read_as_moshis_and_the_command_says_how_many_have_prompts(tmp_path, dailytalk: Command):
    write_dataset(tmp_path / "work", calls(3))
    done = dailytalk("export", tmp_path / "work", "--format", "personaplex", "--out", tmp_path / "out")
    assert done.code == 0
    assert "voice prompts for 3 and text prompts for 0 of 3" in " ".join(done.out.split())
    assert {row["conversation_id"] for row in open_items(tmp_path / "out").rows()} == {
        f"data_stereo/c{number}.wav" for number in range(3)
    }
    assert dailytalk("check", tmp_path / "out", "--json").code in (0, 1)
