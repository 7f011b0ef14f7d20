import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import soxr
from audio_files import tones
from command import EMBEDDED, Command, start, start_full, start_held
from datasets import load_dataset
from recordings import calls, excerpt, read_lines, results, run, save, state

from dailytalk_contiguous import Folder, Segment, Transcribe
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.stages.match_transcript import MatchTranscript


@pytest.fixture
def quick() -> tuple[str, ...]:
    """Options of a quick run, with a shard for every two recordings."""
    return (*EMBEDDED, "--asr-model", "tiny.en", "--shard-minutes", "0.1")


# A run


def test_embedded_run_hears_words_and_says_what_it_did(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/call.flac", excerpt(seconds=8.5))
    done = dailytalk("tag", tmp_path / "in", "--out", tmp_path / "out", *EMBEDDED)
    assert done.code == 0
    # How it began and ended.
    assert done.err.count("\n") == 2
    lines = read_lines(tmp_path / "out/transcript.jsonl")
    assert "where should we go this weekend" in lines[0]["text_raw"]
    assert {line["channel"] for line in lines} == {"left", "right"}
    assert str(tmp_path / "out/transcript.jsonl") in done.out
    assert f"1 conversation, {len(lines)} utterances, " in done.out
    assert done.out.splitlines()[-1] == f"next: dailytalk speak {tmp_path / 'out'}"
    assert "\x1b" not in done.out  # no bar and no colours where it is not a terminal
    again = dailytalk("tag", tmp_path / "in", "--out", tmp_path / "out", *EMBEDDED)
    assert again.code == 0
    assert again.out.startswith("nothing to do: 1 conversation done (")


def test_something_rejected_is_told_with_its_remedy_and_gives_3(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...]
) -> None:
    calls(tmp_path / "in", "[bold]good")
    save(tmp_path / 'in/new\nline [red]".wav', tones(1, channels=1))
    done = dailytalk("tag", tmp_path / "in", "--out", tmp_path / "out", *quick)
    assert done.code == 3
    (rejected,) = [line for line in done.out.splitlines() if line.startswith('  "new\\nline [red]\\"": ')]
    assert "--channel mix" in rejected


SAID = "we could take the train to the mountains on saturday and come home when it is dark if you like that at all"


def transcript(path: Path, text: str) -> None:
    """Write the same words for both sides."""
    path.write_text(json.dumps(words_of("A", text) + words_of("B", text)))


def words_of(side: str, text: str) -> list[dict[str, object]]:
    """Words of a side, spread evenly, as J-Moshi has them."""
    words = list[dict[str, object]]()
    for index, word in enumerate(text.split()):
        start = 0.3 * index
        words.append({"speaker": side, "word": word, "start": start, "end": start + 0.3})
    return words


SAGT = "Guten Morgen, ich möchte gern wissen, wann der Zug heute Nachmittag nach Hamburg fährt und was er kostet"


def two_languages(path: Path) -> None:
    """German on the left, by espeak, and the English of an example on the right."""
    english = excerpt(seconds=24.0)[:, 1]
    espeak = load_synthesiser("espeak", VoiceSettings("", ""))
    german = espeak.speak(Line(f"{SAGT}. {SAGT}.", "", "de", 0))
    left = np.zeros_like(english)
    spoken = soxr.resample(german.samples, german.sample_rate, 16000)
    end = min(8000 + len(spoken), len(left))
    left[8000:end] = spoken[: end - 8000]
    save(path, np.stack([left, english], axis=1))


def test_each_side_is_recognised_in_its_own_language(tmp_path: Path, dailytalk: Command) -> None:
    two_languages(tmp_path / "in/call.wav")
    assert dailytalk("tag", tmp_path / "in", "--out", tmp_path / "out", "--profile", "embedded").code == 0
    lines = read_lines(tmp_path / "out/transcript.jsonl")
    languages = {(line["channel"], line["language"]) for line in lines}
    assert languages == {("left", "de"), ("right", "en")}
    left = [line["text_raw"].lower() for line in lines if line["channel"] == "left"]
    heard = {word.strip(",.") for word in " ".join(left).split()}
    assert {"morgen", "heute", "hamburg"} <= heard


def test_each_side_of_a_transcript_has_its_own_language(tmp_path: Path) -> None:
    two_languages(tmp_path / "in/call.wav")
    words = words_of("A", f"{SAGT} und {SAGT}") + words_of("B", SAID)
    (tmp_path / "in/call.json").write_text(json.dumps(words))
    rows = Folder(inputs=(str(tmp_path / "in"),)).as_streaming_dataset("train")
    assert [row["given_language"] for row in rows] == ["de,en"]
    segmented = Segment().map(rows)
    matched = MatchTranscript().map(segmented)
    (tagged,) = Transcribe("").map(matched)
    languages = {*zip(tagged["channel"], tagged["language"], strict=True)}
    assert languages == {("left", "de"), ("right", "en")}


def test_short_transcript_is_in_an_unknown_language_until_it_is_named(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=8.5))
    transcript(tmp_path / "in/call.json", "hello there yes")
    tag = ("tag", tmp_path / "in", "--out", tmp_path / "out")
    done = dailytalk(*tag, "--profile", "embedded")
    assert done.code in (0, 3), done.err
    assert "--language names it" in done.err

    def languages() -> set[str]:
        lines = read_lines(tmp_path / "out/transcript.jsonl")
        return {line["language"] for line in lines}

    assert languages() == {"und"}
    assert dailytalk(*tag, *EMBEDDED).code in (0, 3)
    assert languages() == {"en"}


def test_transcript_of_words_of_any_language_needs_it_before_any_work(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=8.5))
    of_any_language = " ".join(["mm-hm uh-huh okay hello hi bye"] * 4)
    transcript(tmp_path / "in/call.json", of_any_language)
    tag = ("tag", tmp_path / "in", "--out", tmp_path / "out")
    done = dailytalk(*tag, "--profile", "embedded")
    assert done.code == 1
    assert "--language" in done.out + done.err
    assert not any(path.stat().st_size for path in tmp_path.glob("out/transcript.jsonl"))
    assert "name it with --language" in dailytalk("check", tmp_path / "out").out
    assert dailytalk(*tag, *EMBEDDED).code in (0, 3)


def test_recording_that_is_used_without_its_transcript_is_not_counted_as_rejected(
    tmp_path: Path, dailytalk: Command
) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=8.5))
    late = [{"speaker": "A", "word": "late", "start": 60.0, "end": 60.2}]
    (tmp_path / "in/call.json").write_text(json.dumps(late))
    save(tmp_path / "in/empty.wav").write_bytes(b"")
    work = tmp_path / "work"
    done = dailytalk("tag", tmp_path / "in", "--out", work, *EMBEDDED[:2], "--asr-model", "none")
    assert done.code == 3
    assert f"rejected: 1 recording, 1 part of conversations that are used, in {work}/rejects.jsonl" in done.out
    (work / "transcript.jsonl").open("a").write("no line\n")
    spoken = dailytalk("speak", work, "--revoice", "none")
    assert f"rejected: 1 part of conversations that are used, in {work}/rejects.jsonl" in spoken.out


def test_calls_that_people_transcribed_need_no_recogniser(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=8.5))
    transcript(tmp_path / "in/call.json", SAID)
    (tmp_path / "nothing").mkdir()
    absent = (*EMBEDDED[:2], "--asr-model", tmp_path / "nothing")  # whatever loads it fails
    planned = dailytalk("tag", tmp_path / "in", "--out", tmp_path / "absent", *absent, "--dry-run")
    assert planned.code == 0
    assert "recogniser:" not in planned.out
    for name, options in (("absent", absent), ("heard", EMBEDDED[:2])):
        done = dailytalk("tag", tmp_path / "in", "--out", tmp_path / name, *options)
        assert done.code in (0, 3), done.err
        record = json.loads((tmp_path / name / "run.json").read_text())
        assert "recogniser" not in record["models"]
        assert "affect" in record["models"]
    assert results(tmp_path / "absent") == results(tmp_path / "heard")
    save(tmp_path / "in/other.wav", excerpt(seconds=8.5))
    done = dailytalk("tag", tmp_path / "in", "--out", tmp_path / "absent", *absent)
    assert done.code == 1
    assert "not a complete Whisper model" in done.err


def test_what_nobody_transcribed_has_no_words_without_a_recogniser(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=8.5))
    words = []
    for n, word in enumerate(SAID.split()):
        words.append({"speaker": "A", "word": word, "start": n / 4, "end": n / 4 + 0.2})
    (tmp_path / "in/call.left.json").write_text(json.dumps(words))
    out = tmp_path / "out"
    done = dailytalk("build", tmp_path / "in", "--out", out, *EMBEDDED, "--asr-model", "none")
    assert done.code in (0, 3), done.err
    lines = read_lines(out / "transcript.jsonl")
    assert {line["channel"] for line in lines} == {"left", "right"}
    for line in lines:
        if line["channel"] == "left":
            assert line["models"]["recogniser"] == "given"
            assert line["text_raw"]
        else:
            assert "no recogniser" in line["text_reason"]
            assert not line["text_raw"]
    record = json.loads((out / "run.json").read_text())
    assert {"recogniser", "aligner"}.isdisjoint(record["models"])
    dataset = load_dataset("parquet", data_dir=str(out / "dataset"), split="train")
    (row,) = dataset.remove_columns("audio")
    assert "recogniser" not in json.loads(row["provenance"])["models"]
    assert {word["speaker"] for word in row["alignments"]} == {"left"}


def test_nothing_usable_gives_1_and_says_why(tmp_path: Path, dailytalk: Command, quick: tuple[str, ...]) -> None:
    save(tmp_path / "in/mono.wav", tones(1, channels=1))
    done = dailytalk("tag", tmp_path / "in", "--out", tmp_path / "out", *quick)
    assert done.code == 1
    assert "0 conversations" in done.out
    assert list(read_lines(tmp_path / "out/rejects.jsonl")[0]) == ["id", "stage", "reason", "remedy"]


def test_dry_run_says_what_it_would_do_and_writes_nothing(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...]
) -> None:
    calls(tmp_path / "in", "a", "b")
    for n in range(7):
        save(tmp_path / f"in/mono{n}.wav", tones(1, channels=1))
    tag = ("tag", tmp_path / "in", "--out", tmp_path / "out", *quick)
    done = dailytalk(*tag, "--dry-run")
    assert done.code == 0
    assert "2 conversations to make (12.0 s)" in done.out
    assert done.out.count("rejected") == 7
    assert not (tmp_path / "out").exists()
    planned = json.loads(dailytalk(*tag, "--dry-run", "--json").out)
    assert planned["conversations"] == 2
    assert planned["shards"]["to_make"] == 1
    assert len(planned["rejected"]) == 7
    dailytalk(*tag)
    before = state(tmp_path / "out")
    done = dailytalk(*tag, "--rules", "seed", "--dry-run")
    assert "stages to run: Bucket, Tag, Punctuate" in done.out
    assert state(tmp_path / "out") == before


def test_dry_run_refuses_results_of_a_recording_that_is_gone(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...]
) -> None:
    calls(tmp_path / "in", "a", "b")
    asked = ("tag", tmp_path / "in", "--out", tmp_path / "out", *quick)
    dailytalk(*asked)
    (tmp_path / "in/b.wav").unlink()
    done = dailytalk(*asked, "--dry-run")
    assert (done.code, done.out) == (1, "")
    assert "holds results of 1 recording not in this input" in done.err
    assert "0 conversations to make (0.0 s)" in dailytalk(*asked, "--dry-run", "--prune").out


def test_hosts_share_the_work_and_the_last_one_writes_the_transcript(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...]
) -> None:
    calls(tmp_path / "in", *"abcd")
    tag = ("tag", tmp_path / "in", "--out", tmp_path / "out", *quick)
    first = dailytalk(*tag, "--shard", "1/2")
    assert first.code == 0
    assert "1 shard still missing" in first.out
    second = dailytalk(*tag, "--shard", "2/2", "--json")
    assert json.loads(second.out)["complete"]


# Stopping and going on


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven recordings, of which one can't be used, in `in`, and what a run over them leaves in `out`."""
    folder = tmp_path_factory.mktemp("unbroken")
    calls(folder / "in", *"abcdef")
    save(folder / "in/mono.wav", tones(1, channels=1))
    settings = tag_stages(profile="embedded", language="en", asr_model="tiny.en")
    run(folder / "in", folder / "out", settings, shard_seconds=6.0)
    return folder


@pytest.mark.parametrize(("stop", "workers"), [(signal.SIGINT, 1), (signal.SIGKILL, 2)])
def test_run_that_was_stopped_goes_on_where_it_was_and_ends_the_same(
    tmp_path: Path,
    dailytalk: Command,
    quick: tuple[str, ...],
    unbroken: Path,
    stop: signal.Signals,
    workers: int,
) -> None:
    """With four shards to make, stopped once the first one stands."""
    tag = ("tag", unbroken / "in", "--out", tmp_path / "out", *quick)
    running = start_held(1, *tag, "--workers", workers)
    if stop == signal.SIGINT:
        os.killpg(running.pid, stop)  # as Ctrl-C does: to the command and its workers
    else:
        running.send_signal(stop)
    out, err = running.communicate(timeout=60)  # a worker that lived on would keep the pipe open
    if stop == signal.SIGINT:
        assert (running.returncode, out) == (130, "")
        looking, begun, last = err.splitlines()
        assert looking == "looking for recordings …"
        assert "0 of 6 conversations" in begun
        assert last == "dailytalk: stopped. What is finished is kept; run the same command again to go on."
        assert dailytalk("status", tmp_path / "out").out.startswith("0 runs")
    assert not (tmp_path / "out/transcript.jsonl").exists()
    rated = tmp_path / "out/rated"
    cache = str(tmp_path / "cache")
    loaded = load_dataset("parquet", data_dir=str(rated), split="train", cache_dir=cache)
    most = 2 if workers == 1 else 5
    assert 1 <= len(loaded) <= most
    before = {name: when for name, when in state(rated).items() if not name.startswith(".")}
    assert all(name.endswith(".parquet") for name in before)
    assert dailytalk(*tag).code == 3
    after = state(rated)
    assert {name: after[name] for name in before} == before
    assert len(after) == 4
    assert results(tmp_path / "out") == results(unbroken / "out")


def test_folder_that_can_not_be_written_is_one_sentence(tmp_path: Path, dailytalk: Command) -> None:
    calls(tmp_path / "in", "call")
    (tmp_path / "file").touch()
    done = dailytalk("tag", tmp_path / "in", "--out", tmp_path / "file/work", *EMBEDDED)
    assert done.code == 1
    assert "can't be opened or written" in done.err.splitlines()[-1]
    assert "name another folder" in done.err


def test_full_disk_is_one_sentence_and_the_same_command_goes_on(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...]
) -> None:
    calls(tmp_path / "in", "a")
    running = start_full(10_000, "tag", tmp_path / "in", "--out", tmp_path / "out", *quick)
    out, err = running.communicate(timeout=120)
    assert (running.returncode, out) == (1, "")
    *_, sentence = err.splitlines()  # after what was found
    assert f"'{tmp_path / 'out'}" in sentence
    assert "has no room left (File too large): make room there" in sentence
    assert "run the same command again (-v shows where; what is finished is kept)." in sentence
    assert [path.name for path in (tmp_path / "out").rglob("*.parquet")] == []
    assert dailytalk("tag", tmp_path / "in", "--out", tmp_path / "out", *quick).code == 0
    assert {path.suffix for path in (tmp_path / "out/tagged").iterdir()} == {".parquet"}


def test_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    calls(tmp_path / "in", "a")
    running = start("tag", tmp_path / "in", "--out", tmp_path / "out", *EMBEDDED, "--dry-run", "--json")
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    assert running.stderr.read() == "looking for recordings …\n"
    assert running.wait() == 1


# Results of earlier runs among the recordings


def test_second_run_takes_no_result_of_the_first_for_a_recording(tmp_path: Path, dailytalk: Command) -> None:
    source = calls(tmp_path / "calls", "a")
    assert dailytalk("build", source, "--out", source / "run1", *EMBEDDED).code == 0
    assert dailytalk("export", source / "run1", "--out", source / "data").code == 0
    done = dailytalk("tag", source, "--out", source / "run2", *EMBEDDED)
    assert done.code == 0
    lines = read_lines(source / "run2/transcript.jsonl")
    assert {line["audio_file"] for line in lines} == {"a.wav"}
    assert 'passed over, made by dailytalk (name one as INPUT to take it): "data/", "run1/audio/"' in done.err
    refused = dailytalk("tag", source / "run1", "--out", tmp_path / "third", *EMBEDDED)
    assert refused.code == 1
    assert refused.err.count("\n") == 1
    assert "name what dailytalk made there to take it: audio/" in refused.err
    named = dailytalk("tag", source / "run1/audio", "--out", tmp_path / "named", *EMBEDDED, "--dry-run", "--json")
    assert json.loads(named.out)["conversations"] == 1
