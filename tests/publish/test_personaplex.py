import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from built_conversations import built_row, flac, write_dataset
from command import Command
from test_trainer_formats import digests, recordings, rows_of

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.publish.exports.formats import FORMATS
from dailytalk_contiguous.publish.exports.writing import write_export
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


def manifest(folder: Path, side: str) -> list[dict]:
    lines = (folder / f"{side}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def read_prompt(path: Path) -> np.ndarray:
    """The samples of a voice prompt, which has the format that the trainer reads."""
    info = soundfile.info(path)
    assert info.samplerate == 24000
    assert info.channels == 1
    assert info.subtype == "PCM_16"
    assert 5.0 <= info.duration <= 10.001
    samples, _ = soundfile.read(path, dtype="int16")
    return samples


def lines_of(folder: Path) -> dict[str, dict]:
    """The lines of both manifests by conversation, read strictly: what they name is there, and as they say."""
    by_name = {}
    config = yaml.safe_load((folder / "personaplex-finetune.yaml").read_text())
    prompting = config["system_prompt"]
    assert prompting["enable"]
    assert prompting["default_text_prompt"] == ""
    assert prompting["voice_prompt_dir"] == str(folder.resolve() / "voice_prompts")
    about = json.loads((folder / "conversations.json").read_text())
    owners = {file: name for name, facts in about.items() for file in facts["files"]}
    for side in ("train", "eval"):
        listed = Path(config["data"][f"{side}_data"] or "/dev/null")
        for text in listed.read_text().splitlines():
            line = json.loads(text)
            path = Path(line["path"])
            assert path.is_absolute()
            assert soundfile.info(path).duration == line["duration"]
            assert path.with_suffix(".json").is_file()
            name = owners[str(path.relative_to(folder.resolve()))]
            line["side"] = side
            line["record"] = about[name].get("voice_prompt")
            if "voice_prompt" in line:
                assert line["record"]["of"] != name
                prompts = Path(prompting["voice_prompt_dir"])
                line["prompt"] = read_prompt(prompts / line["voice_prompt"])
            by_name[name] = line
    prompts = {line["voice_prompt"] for line in by_name.values() if "voice_prompt" in line}
    assert {path.name for path in folder.glob("voice_prompts/*")} == prompts
    manifests = {path.name for path in folder.rglob("*jsonl")}
    assert manifests <= {"train.jsonl", "eval.jsonl"}
    return by_name


def assert_alone(line: dict, rows: dict[str, dict], agent: str = "left") -> None:
    """A prompt is what its record says, of the agent's channel, where nobody else is heard."""
    row = rows[line["record"]["of"]]
    stretches = line["record"]["stretches"]
    side = ("left", "right").index(agent)
    pcm = read_pcm(row["audio"], sample_rate=24000)[:, side]
    pieces = []
    for start, end in stretches:
        first = round(start * 24000)
        last = round(end * 24000)
        pieces.append(pcm[first:last])
    assert np.array_equal(line["prompt"], np.concatenate(pieces))
    others = []
    for part in row["utterances"]:
        is_laugh = not part["text"].strip()
        if part["channel"] != agent or is_laugh:
            others.append(part)
    others += [word for word in row["alignments"] if word["speaker"] != agent]
    others += row["sounds"]
    words = [word for word in row["alignments"] if word["speaker"] == agent]
    for start, end in stretches:
        for part in others:
            assert part["start"] >= end or part["end"] <= start
        for word in words:
            assert not word["start"] < start < word["end"]
            assert not word["start"] < end < word["end"]


def calls_by_name(count: int = 6) -> dict[str, dict]:
    return {row["conversation_id"]: row for row in calls(count)}


@pytest.fixture
def out(tmp_path) -> Path:
    """Where an export goes."""
    return tmp_path / "out"


@pytest.fixture
def persona(tmp_path) -> Path:
    """A table of personas that says the same of everybody."""
    path = tmp_path / "p.csv"
    path.write_text("text\nYou are Ann.\n")
    return path


@recordings
def test_prompts_of_recordings_are_of_the_agent_alone_in_another_conversation(out, kind):
    rows = {row["conversation_id"]: row for row in rows_of(kind)}
    write_export(rows.values(), out, PERSONAPLEX)
    lines = lines_of(out)
    assert lines.keys() == rows.keys()
    for line in lines.values():
        assert_alone(line, rows)


def test_each_conversation_has_the_voice_of_another_of_its_side(out):
    rows = calls_by_name()
    sides = {name: "eval" if name in ("c1", "c4") else "train" for name in rows}
    done = write_export(rows.values(), out, PERSONAPLEX, sides=sides)
    lines = lines_of(out)
    sources = [line["record"]["of"] for line in lines.values()]
    for line in lines.values():
        source = line["record"]["of"]
        assert sides[source] == line["side"]
    assert len(set(sources)) == 6
    for line in lines.values():
        assert_alone(line, rows)
    assert done.facts["prompts"] == {"voice": 6, "text": 0, "conversations": 6}
    before = digests(out)
    write_export(iter(calls()), out, PERSONAPLEX, sides=sides)
    assert digests(out) == before


def test_sphn_gives_back_the_path_by_which_the_trainer_looks_prompts_up(out):
    sphn = pytest.importorskip("sphn")
    write_export(calls(), out, PERSONAPLEX)
    listed = out / "train.jsonl"
    paths = {line["path"] for line in manifest(out, "train")}
    read = sphn.dataset_jsonl(
        str(listed), duration_sec=30.0, num_threads=1, sample_rate=24000, pad_last_segment=True
    )
    samples = read.seq(skip=0, step_by=1)
    assert {sample["path"] for sample in samples} == paths


def test_a_voice_that_no_other_conversation_has_gets_no_prompt_and_is_said(out):
    alone = call("alone")
    for part in alone["utterances"]:
        if part["synthesis"]:
            part["synthesis"]["voice"] = "berta"
    silent = call("silent", [LINES[0], LINES[1]])
    for part in silent["utterances"]:
        part["synthesis"] = None
    rows = [*calls(3), alone, silent]
    done = write_export(rows, out, PERSONAPLEX)
    lines = lines_of(out)
    without_prompt = {name for name, line in lines.items() if "voice_prompt" not in line}
    assert without_prompt == {"alone", "silent"}
    assert sorted(done.left_out.values()) == [1, 1]
    assert any("--speakers" in why for why in done.left_out)


def test_what_was_kept_of_a_person_is_no_prompt_of_the_voice_that_replaces_him(out):
    rows = calls(2)
    for row in rows:
        kept = row["utterances"][4]
        kept["status"] = "kept-original"
        kept["synthesis"] = None
    write_export(rows, out, PERSONAPLEX)
    lines = lines_of(out)
    for line in lines.values():
        starts = [round(start) for start, _ in line["record"]["stretches"]]
        assert starts == [0, 19]  # not at 15.5


def test_swapped_the_person_who_was_kept_gives_his_own_voice_without_laughs_and_leaks(tmp_path, out):
    columns = {"kept_speaker": "ben", "sounds": [(5.0, 5.3)]}
    rows = {name: call(name, **columns) for name in ("loud", "one", "two")}
    loud = rows["loud"]
    pcm = read_pcm(loud["audio"], sample_rate=24000)
    stretch = slice(24000 * 23, 24000 * 26)
    pcm[stretch, 0] = pcm[stretch, 1]  # somebody whom no transcript has
    loud["audio"] = {"bytes": flac(pcm, 24000), "path": "loud.flac"}
    for row in rows.values():
        row["utterances"][3] |= {"start": 12.0}
        row["alignments"] = [word for word in row["alignments"] if not 10.9 <= word["start"] < 12.0]
    persona = tmp_path / "p.csv"
    persona.write_text("speaker,text\n,You are Ben.\nanna,You are Ann.\n")
    sides = dict.fromkeys(rows, "train")
    options = {"main": "right", "sides": sides, "persona": str(persona)}
    write_export(rows.values(), out, PERSONAPLEX, **options)
    lines = lines_of(out)
    sources = [line["record"]["of"] for line in lines.values()]
    assert "loud" not in sources
    assert {line["text_prompt"] for line in lines.values()} == {"<system> You are Ben. <system>"}
    for line in lines.values():
        assert_alone(line, rows, "right")


def test_text_prompts_are_of_a_conversation_its_recording_its_agent_or_all_others(tmp_path, out):
    table = [
        "conversation_id,recording_id,speaker,name,text",
        'c0,,,Ann,"You are {name}, a <b>teller</b>."',
        ",c1,,,You are a recording.",
        ",,anna,Ed,<system> You are {name}. <system>",
        "c9,,,,You are not here.",
    ]
    persona = tmp_path / "p.csv"
    persona.write_text("\ufeff" + "\r\n".join(table), encoding="utf-8")
    other = call("other")
    for part in other["utterances"]:
        part["synthesis"] = None
    done = write_export([*calls(3), other], out, PERSONAPLEX, persona=str(persona))
    lines = lines_of(out)
    prompts = {name: line.get("text_prompt") for name, line in lines.items()}
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
def test_a_wrong_table_of_personas_is_one_sentence_before_anything_is_written(
    tmp_path, out, name, content, reason
):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DailytalkError, match=reason):
        write_export(calls(2), out, PERSONAPLEX, persona=str(tmp_path / name))
    assert not (out).exists()


def test_a_moshi_folder_never_has_prompts(out, persona):
    with pytest.raises(DailytalkError, match="--persona does not go with --format moshi"):
        write_export(calls(2), out, FORMATS["moshi"], persona=str(persona))
    write_export(calls(), out, FORMATS["moshi"])
    text = (out / "train.jsonl").read_text()
    assert "prompt" not in text
    assert not (out / "voice_prompts").exists()


def test_the_folder_is_read_as_moshis_and_the_command_says_how_many_have_prompts(
    tmp_path, out, dailytalk: Command
):
    work = write_dataset(tmp_path / "work", calls(3))
    done = dailytalk("export", work, "--format", "personaplex", "--out", out)
    assert done.code == 0
    assert "voice prompts for 3 and text prompts for 0 of 3" in " ".join(done.out.split())
    rows = open_items(out).rows()
    names = {row["conversation_id"] for row in rows}
    assert names == {"data_stereo/c0.wav", "data_stereo/c1.wav", "data_stereo/c2.wav"}


def test_check_judges_the_folder_as_moshis_with_its_own_configuration(out, dailytalk: Command):
    write_export(calls(), out, PERSONAPLEX)
    assert errors_and_advice(dailytalk, out).isdisjoint({"config", "unnamed-audio", "manifest-line"})
    soundfile.write(out / "data_stereo/more.wav", np.ones((24000, 2)) / 9, 24000)
    assert "unnamed-audio" in errors_and_advice(dailytalk, out)
    moved = out.rename(out.with_name("moved"))
    assert "config" in errors_and_advice(dailytalk, moved)


def errors_and_advice(dailytalk: Command, folder: Path) -> set[str]:
    done = dailytalk("check", folder, "--json")
    return {finding["kind"] for finding in json.loads(done.out)["findings"]}
