"""What strangers' files do to whole commands: they cost themselves, with a reason, and nothing else."""

import json
from pathlib import Path

import pytest
from command import EMBEDDED, Command
from finished_corpora import clip_row, corpus_folder
from recordings import calls, excerpt, read_lines, save
from scripted import SHORT, folder

JAPANESE = "今日の散歩で見つけた" * 7 + "小さな喫茶店"  # 76 characters, 228 bytes
SAY = ("--tts", "espeak", "--profile", "embedded")


@pytest.fixture
def quick() -> tuple[str, ...]:
    return (*EMBEDDED, "--asr-model", "tiny.en")


def reasons(out: Path) -> dict[str, str]:
    return {line["id"]: line["reason"] for line in read_lines(out / "rejects.jsonl")}


def test_bad_transcript_costs_its_recording_and_the_others_are_tagged(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...]
) -> None:
    words = '{"utterances": [{"channel": "left", "start": 0, "end": 1, "text": "a"%s}]}'
    bad = {"types": words % ', "words": 5', "late": words % "" + "}"}
    calls(tmp_path / "in", "good", *bad)
    for name, text in bad.items():
        (tmp_path / f"in/{name}.json").write_text(text)
    for _ in range(2):  # and the next run is not stuck
        done = dailytalk("tag", tmp_path / "in", "--out", tmp_path / "out", *quick)
        assert done.code == 3
        assert {line["conversation_id"] for line in read_lines(tmp_path / "out/transcript.jsonl")} == {"good"}
        rejected = reasons(tmp_path / "out")
        assert set(rejected) == set(bad)
        assert all(f"{name}.json: " in reason for name, reason in rejected.items())


def test_bad_line_of_a_transcript_costs_itself_and_the_rest_is_spoken(tmp_path: Path, dailytalk: Command) -> None:
    work = folder(tmp_path / "work", call=SHORT)
    _, *others = read_lines(work / "transcript.jsonl")
    text = "".join(json.dumps(line) + "\n" for line in others)
    (work / "transcript.jsonl").write_text('{"text": "half a li\n' + text)
    done = dailytalk("speak", work, *SAY, "--cache", tmp_path / "speech")
    assert (done.code, "Traceback" in done.err) == (3, False)
    assert "line 1 of transcript.jsonl: " in reasons(work)["transcript.jsonl:1"]
    assert (work / "audio/call_edited.wav").is_file()


def test_long_name_goes_all_the_way_to_the_published_files(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / f"in/{JAPANESE}.wav", excerpt(seconds=8.5))
    save(tmp_path / "in/short.wav", excerpt(seconds=8.5))
    work = tmp_path / "work"
    done = dailytalk("build", tmp_path / "in", "--out", work, *EMBEDDED, "--tts", "espeak")
    assert done.code in (0, 3), done.err
    sounds = {path.name for path in (work / "audio").glob("*.wav")}
    assert len(sounds) == 2
    assert {Path(line["audio_file"]).name for line in read_lines(work / "transcript_shifted.jsonl")} == sounds
    assert dailytalk("export", work, "--format", "moshi", "--out", tmp_path / "moshi").code in (0, 3)
    assert len(list((tmp_path / "moshi/data_stereo").glob("*.wav"))) == 2


# Paths that lead out


def secret(tmp_path: Path) -> Path:
    path = tmp_path / "private/credentials.json"
    path.parent.mkdir()
    path.write_text('{"alignments": [], "private_key": "SECRET"}')
    return path


def test_mix_copies_and_links_nothing_from_outside_its_folders(tmp_path: Path, dailytalk: Command) -> None:
    key = secret(tmp_path)
    hostile = corpus_folder(tmp_path / "hostile", [clip_row("s1-0"), clip_row("s1-1")])
    manifest = hostile / "data/expressive_dataset.jsonl"
    sound = tmp_path / "private/private.wav"
    good = next((hostile / "data").rglob("*.wav"))
    sound.write_bytes(good.read_bytes())
    sound.with_suffix(".json").write_bytes(good.with_suffix(".json").read_bytes())
    (hostile / "data/link.wav").symlink_to(sound)
    (hostile / "data/link.json").write_text('{"alignments": []}')
    bad = [str(key), "../../private/private.wav", str(sound), "link.wav", "gone.wav"]
    with manifest.open("a") as file:
        file.writelines(json.dumps({"path": path, "duration": 1.0}) + "\n" for path in bad)
    done = dailytalk("mix", hostile, "--out", tmp_path / "mixed")
    assert done.code == 3
    written = [path.read_bytes() for path in (tmp_path / "mixed").rglob("*") if path.is_file()]
    assert not any(b"SECRET" in data for data in written)
    assert key.stat().st_nlink == 1
    assert sound.stat().st_nlink == 1
    rejects = json.loads((tmp_path / "mixed/rejects.json").read_text())
    assert [reject["id"] for reject in rejects] == bad
    assert len(list((tmp_path / "mixed").rglob("*.wav"))) == 2


def test_links_out_of_the_input_are_rejected_with_what_to_do(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...]
) -> None:
    calls(tmp_path / "private", "secret")
    calls(tmp_path / "in", "good", "written")
    (tmp_path / "in/stolen.flac").symlink_to(next((tmp_path / "private").iterdir()))
    (tmp_path / "private/notes.json").write_text('{"utterances": []}')
    (tmp_path / "in/written.json").symlink_to(tmp_path / "private/notes.json")
    done = dailytalk("tag", tmp_path / "in", "--out", tmp_path / "out", *quick)
    assert done.code == 3
    assert {line["conversation_id"] for line in read_lines(tmp_path / "out/transcript.jsonl")} == {"good"}
    rejects = read_lines(tmp_path / "out/rejects.jsonl")
    assert {reject["id"] for reject in rejects} == {"stolen", "written"}
    assert {reject["remedy"] for reject in rejects} == {"copy it into the folder"}


def test_hidden_recordings_are_named_and_cost_nothing(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...]
) -> None:
    calls(tmp_path / "in", "good", ".old")
    (tmp_path / "in/.DS_Store").write_bytes(b"x")
    (tmp_path / "in/._good.flac").write_bytes(b"x")
    done = dailytalk("tag", tmp_path / "in", "--out", tmp_path / "out", *quick)
    assert done.code == 0
    (sentence,) = [line for line in done.err.splitlines() if line.startswith("passed over")]
    assert '".old.' in sentence
    assert "DS_Store" not in sentence
    hidden = next((tmp_path / "in").glob(".old.*"))
    done = dailytalk("tag", hidden, "--out", tmp_path / "named", *quick)
    assert done.code == 0
    assert (tmp_path / "named/transcript.jsonl").stat().st_size


def test_files_beside_recordings_that_are_not_used_are_named_once_with_why(
    tmp_path: Path, dailytalk: Command
) -> None:
    save(tmp_path / "in/call.wav", excerpt())
    save(tmp_path / "in/other.wav", excerpt())
    grid = "1\n00:00:00,500 --> 00:00:02,000\nA: where should we go\n\n2\n00:00:03,000 --> 00:00:04,000\nB: home\n"
    for name in ("call.srt", "call.en.srt", "call.docx", "call.wav.en.json", "call.reference.json", "notes.docx"):
        (tmp_path / "in" / name).write_text(grid)
    command = ("tag", tmp_path / "in", "--out", tmp_path / "out", *EMBEDDED, "--dry-run")
    done = dailytalk(*command)
    sentences = [line for line in done.err.splitlines() if line.startswith("not used")]
    assert len(sentences) == 3
    for why, *names in (
        ("no format of transcripts", "call.docx"),
        ("a side", "call.en.srt", "call.wav.en.json"),
        ("reference", "call.reference.json"),
    ):
        (line,) = [line for line in sentences if why in line]
        assert all(f'"{name}"' in line for name in names)
    assert not any(name in done.err for name in ("call.srt", "notes", "other"))
    (tmp_path / "elsewhere").mkdir()
    done = dailytalk(*command, "--transcripts", tmp_path / "elsewhere")
    assert "--transcripts names others" in done.err
    assert '"call.srt"' in done.err


def test_one_file_is_the_transcript_of_the_recording_of_its_name(tmp_path: Path, dailytalk: Command) -> None:
    for name in ("call", "other"):
        save(tmp_path / f"in/{name}.wav", excerpt())
    transcript = tmp_path / "call.srt"
    transcript.write_text("1\n00:00:00,500 --> 00:00:02,000\nA: where should we go\n")
    command = ("tag", tmp_path / "in", "--out", tmp_path / "out", *EMBEDDED, "--dry-run", "--transcripts")
    assert "transcripts for 1 of 2 recordings" in dailytalk(*command, transcript).out
    done = dailytalk(*command, transcript.rename(tmp_path / "nobody.srt"))
    assert "transcripts for 0 of 2" in done.out
    assert "no transcript with the name of a usable recording" in done.err


def test_files_of_a_folder_of_transcripts_that_no_recording_has_the_name_of_are_named(
    tmp_path: Path, dailytalk: Command
) -> None:
    save(tmp_path / "in/call.wav", excerpt())
    transcripts = tmp_path / "transcripts"
    (transcripts / "2026").mkdir(parents=True)
    said = "1\n00:00:00,500 --> 00:00:02,000\nA: where should we go\n"
    names = ("2026/call_0001.srt", "call-1.srt", "index.jsonl")
    for name in names:
        (transcripts / name).write_text(said)
    command = (
        "tag",
        tmp_path / "in",
        "--out",
        tmp_path / "out",
        *EMBEDDED,
        "--dry-run",
        "--transcripts",
        transcripts,
    )
    done = dailytalk(*command)
    assert "transcripts for 0 of 1" in done.out
    (line,) = [line for line in done.err.splitlines() if "no transcript with the name" in line]
    assert all(name in line for name in names)
    (transcripts / "call.srt").write_text(said)
    done = dailytalk(*command)
    assert "transcripts for 1 of 1" in done.out
    assert "call.srt" not in done.err
    assert "call_0001.srt" in done.err


# Records of runs


def test_damaged_record_of_a_run_is_one_sentence_or_is_made_again(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...]
) -> None:
    record = '{"settings": {"half'
    calls(tmp_path / "in", "good")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/run.json").write_text(record)
    assert dailytalk("tag", tmp_path / "in", "--out", tmp_path / "out", *quick).code == 0
    (tmp_path / "out/run.json").write_text(record)
    for command in (("report", tmp_path / "out"), ("mix", tmp_path / "out", "--out", tmp_path / "mixed")):
        done = dailytalk(*command)
        assert done.err.count("\n") <= 1
