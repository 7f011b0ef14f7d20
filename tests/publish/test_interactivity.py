"""Clips of interaction as folders: what is in them, what is not, and what the scripts of a benchmark count."""

import json
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import silero_vad
import soundfile
import soxr
import torch
from audio_files import example
from built_conversations import built_row, flac, stereo, write_dataset
from command import Command
from publish.test_trainer_formats import rows_of
from recordings import read_lines

from dailytalk_contiguous.core.schema import SIDE
from dailytalk_contiguous.core.utterance import sounding_span
from dailytalk_contiguous.publish.interactivity import clips_of
from dailytalk_contiguous.publish.opening import open_items

#: All kinds: a pause at 3.0, turns at 6.0, 13.0, 19.3, "well" at 7.5, an interruption at 16.3, "yeah" at 24.0 s.
TALK = (
    ("right", 0.5, 3.0, "so I went to the shop"),
    ("right", 3.6, 6.0, "and then it was closed today"),
    ("left", 6.4, 9.6, "what did you do about that then"),
    ("right", 7.5, 7.9, "well"),
    ("right", 10.0, 13.0, "I went home and made some tea"),
    ("left", 13.4, 17.1, "that sounds like a good idea to"),
    ("right", 16.3, 19.3, "wait let me tell you the rest"),
    ("left", 19.7, 22.0, "please do tell me all of it"),
    ("right", 22.4, 27.0, "in the evening somebody came and knocked"),
    ("left", 24.0, 24.4, "yeah"),
)
SECONDS = 28.0
RATE = 24000
KINDS = {"backchannel": 1, "interruption": 1, "pause": 1, "turn": 3, "user_backchannel": 1}


def talk(name: str, speaker: str | None = None, **columns: Any) -> dict[str, Any]:
    return built_row(name, TALK, SECONDS, kept_speaker=speaker, **columns)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six conversations of three people."""
    folder = tmp_path_factory.mktemp("clips") / "work"
    (folder / "dataset").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"source": {"repository": "a/b", "licence": "cc-by-4.0"}}))
    return write_dataset(folder, [talk(f"call{n}", f"person{n % 3}") for n in range(6)])


def documents(folder: Path) -> dict[str, dict[str, Any]]:
    """The JSON beside each WAV of a training folder, by the id of its clip."""
    written = [
        json.loads(path.read_text()) | {"wav": path.with_suffix(".wav")}
        for path in folder.rglob("data_stereo/*.json")
    ]
    return {about["clip"]["clip_id"]: about for about in written}


def test_clips_of_each_kind_are_a_training_folder_with_their_facts(
    work: Path, tmp_path: Path, dailytalk: Command
) -> None:
    done = dailytalk("export", work, "--format", "interactivity", "--out", tmp_path / "clips", "--json")
    outcome = json.loads(done.out)
    assert (done.code, outcome["made"]) == (0, {kind: 6 * count for kind, count in KINDS.items()})
    clips = documents(tmp_path / "clips")
    assert len(clips) == 42
    about = clips["call0/interruption/0000"]
    facts = about["clip"]
    start = facts["start"]
    assert (facts["kind"], facts["who"], facts["licence"]) == ("interruption", "right", "cc-by-4.0")
    assert (facts["event_start"] + start, facts["event_end"] + start) == pytest.approx((16.3, 17.1))
    assert (facts["starts_in_silence"], facts["ends_in_silence"]) == (True, True)
    assert (start, facts["end"]) == pytest.approx((6.2, 22.1), abs=0.11)
    assert facts["speakers"] == {"left": None, "right": "person0"}
    words = [(word["word"], word["speaker"]) for word in facts["words"]]
    assert words[0] == ("what", "left")
    assert ("wait", "right") in words
    assert [word for word, _, speaker in about["alignments"]] == [word for word, who in words if who == "left"]
    written, _ = soundfile.read(about["wav"], dtype="int16")
    first = round(start * RATE)
    last = round(facts["end"] * RATE)
    np.testing.assert_array_equal(written, stereo(TALK, SECONDS, RATE)[first:last])
    sounds = [line["path"] for side in ("train", "eval") for line in read_lines(tmp_path / f"clips/{side}.jsonl")]
    assert sorted(tmp_path / "clips" / sound for sound in sounds) == sorted(each["wav"] for each in clips.values())


def test_folder_of_clips_stands_up_to_the_check_and_shares_no_speaker(
    work: Path, tmp_path: Path, dailytalk: Command
) -> None:
    done = dailytalk(
        "export", work, "--format", "interactivity", "--out", tmp_path / "clips", "--eval-share", "0.3"
    )
    assert f"next: dailytalk check {tmp_path}/clips" in done.out
    checked = json.loads(dailytalk("check", tmp_path / "clips", "--json").out)
    assert [finding for finding in checked["findings"] if finding["level"] == "error"] == []
    assert checked["facts"]["kind"] == "interactivity"
    people = {
        about["wav"].name: about["clip"]["speakers"]["right"] for about in documents(tmp_path / "clips").values()
    }
    train, held = (
        {people[Path(line["path"]).name] for line in read_lines(tmp_path / f"clips/{side}.jsonl")}
        for side in ("train", "eval")
    )
    assert train
    assert held
    assert not train & held


def test_as_many_of_each_kind_as_are_asked_for_are_the_same_each_time(
    work: Path, tmp_path: Path, dailytalk: Command
) -> None:
    def ids(*options: Any) -> set[str]:
        out = tmp_path / f"clips{len(list(tmp_path.iterdir()))}"
        done = dailytalk("export", work, "--format", "interactivity", "--out", out, *options, "--json")
        outcome = json.loads(done.out)
        assert outcome["made"] == dict.fromkeys(KINDS, 2)
        assert outcome["left_out_parts"]["turn: beyond --per-kind"] == 16
        return set(documents(out))

    chosen = ids("--per-kind", 2)
    assert chosen == ids("--per-kind", 2, "--context", "4s", "--after", "2s")
    assert chosen != ids("--per-kind", 2, "--seed", 7)


#: The same by Kyutai's rules, which take longer speech.
LONG_TALK = (
    ("right", 40.0, 43.0, "so I went to the shop on my way"),
    ("right", 43.6, 46.0, "and then it was closed today"),
    ("left", 46.3, 52.0, "what did you do about that then"),
    ("right", 53.5, 58.7, "I went home and made some tea for them"),
    ("left", 55.0, 55.6, "yeah"),
)


@pytest.mark.parametrize("form", ["interactivity", "full-duplex-bench"])
def test_clips_are_those_of_the_rules_with_the_context_that_are_asked_for(
    tmp_path: Path, dailytalk: Command, form: str
) -> None:
    work = write_dataset(tmp_path / "work", [built_row("call", LONG_TALK, 60.0)])

    def made(rules: str, context: str) -> dict[str, Any]:
        out = tmp_path / f"{rules}-{context}"
        options = ("--rules", rules, "--context", context, "--json")
        done = dailytalk("export", work, "--format", form, "--out", out, *options)
        assert done.code == 0, done.err
        assert form != "interactivity" or dailytalk("check", out).code == 0
        return json.loads(done.out)["made"]

    tasks = {"pause": "candor_pause_handling", "turn": "candor_turn_taking", "backchannel": "icc_backchannel"}
    kinds = [*tasks] if form == "interactivity" else [f"v1.0/{task}" for task in tasks.values()]
    assert made("kyutai", "30s") == dict.fromkeys(kinds, 1)
    assert made("dailytalk", "30s")[kinds[0]] == 1
    if form == "interactivity":
        for rules in ("kyutai", "dailytalk"):
            facts = documents(tmp_path / f"{rules}-30s")["call/pause/0000"]["clip"]
            assert facts["event_start"] == pytest.approx(30.0, abs=0.1)
        made("kyutai", "10s")
        assert documents(tmp_path / "kyutai-10s")["call/pause/0000"]["clip"]["event_start"] == pytest.approx(10.0)


def test_no_clip_is_made_of_a_conversation_that_is_judged_bad(tmp_path: Path, dailytalk: Command) -> None:
    unheard = [dict.fromkeys(SIDE) | {"channel": channel, "unheard_words": 9} for channel in ("left", "right")]
    folder = write_dataset(tmp_path / "work", [talk("good"), talk("bad", sides=unheard)])
    for number, options in enumerate(((), ("--per-kind", 9))):
        done = dailytalk(
            "export", folder, "--format", "interactivity", "--out", tmp_path / f"{number}", *options, "--json"
        )
        outcome = json.loads(done.out)
        assert (done.code, [reject["id"] for reject in outcome["rejects"]]) == (3, ["bad"])
        assert {name.partition("/")[0] for name in documents(tmp_path / f"{number}")} == {"good"}


@pytest.mark.parametrize("form", ["interactivity", "full-duplex-bench"])
def test_no_clip_is_made_of_a_conversation_whose_length_is_not_that_of_its_audio(
    tmp_path: Path, dailytalk: Command, form: str
) -> None:
    folder = write_dataset(tmp_path / "work", [talk("short", duration=5.0), talk("good")])
    done = dailytalk("export", folder, "--format", form, "--out", tmp_path / "out", "--json")
    [reject] = json.loads(done.out)["rejects"]
    assert (done.code, reject["id"]) == (3, "short")
    assert "5.000 s" in reject["reason"]
    assert "28.000 s" in reject["reason"]
    assert min(soundfile.info(path).frames for path in (tmp_path / "out").rglob("*.wav")) > 0


def test_only_clips_may_be_without_words_of_the_agent(work: Path, tmp_path: Path, dailytalk: Command) -> None:
    def kinds(folder: Path) -> set[str]:
        found = json.loads(dailytalk("check", folder, "--json").out)["findings"]
        return {finding["kind"] for finding in found if finding["level"] == "error"}

    clips = tmp_path / "clips"
    assert dailytalk("export", work, "--format", "interactivity", "--out", clips).code == 0
    about = next(clips.rglob("data_stereo/*.json"))
    about.write_text(json.dumps(read(about) | {"alignments": []}))
    assert kinds(clips) == set()
    about.write_text('{"alignments": []}')
    assert kinds(clips) == {"no-words"}
    (clips / "interactivity.json").write_text("[]")
    assert kinds(clips) == {"no-words", "unreadable-record"}


# The layout of Full-Duplex-Bench, and the three rules of its scripts that ask nobody.


def bench(dailytalk: Command, source: Path, out: Path, *options: Any) -> dict[str, Any]:
    done = dailytalk("export", source, "--format", "full-duplex-bench", "--out", out, *options, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_samples_are_laid_out_as_the_scripts_read_them(work: Path, tmp_path: Path, dailytalk: Command) -> None:
    made = bench(dailytalk, work, tmp_path / "bench")["made"]
    v10 = tmp_path / "bench/v1.0"
    v15 = tmp_path / "bench/v1.5"
    every = {"input.wav", "output.wav", "output.json", "transcription.json"}
    for folder, count, own in (
        (v10 / "candor_pause_handling", 6, {"pause.json"}),
        (v10 / "candor_turn_taking", 12, {"turn_taking.json"}),  # at the third the agent spoke when the user began
        (v10 / "icc_backchannel", 6, set()),
        (v10 / "synthetic_user_interruption", 6, {"interrupt.json"}),
        (v15 / "user_interruption", 6, {"clean_input.wav", "metadata.json"}),
        (v15 / "user_backchannel", 6, {"clean_input.wav", "metadata.json"}),
    ):
        assert made[f"{folder.parent.name}/{folder.name}"] == count
        assert sorted(int(path.name) for path in folder.iterdir()) == list(range(1, count + 1))
        assert {path.name for path in (folder / "1").iterdir()} == every | own
        sounds = [soundfile.info(path) for path in (folder / "1").glob("*.wav")]
        assert {(info.channels, info.samplerate) for info in sounds} == {(1, 16000)}
        assert len({info.frames for info in sounds}) == 1
    [pause] = read(v10 / "candor_pause_handling/1/pause.json")
    assert pause["text"] == "[PAUSE]"
    assert pause["timestamp"] == pytest.approx([2.6, 3.2], abs=1e-4)  # the sample begins 0.1 s before the user
    assert read(v10 / "candor_pause_handling/1/output.json") == {"text": "", "chunks": []}
    [user] = read(v10 / "candor_pause_handling/1/transcription.json")
    assert (user["speaker"], user["item"][0]["text"]) == (0, "so")
    [interrupt] = read(v10 / "synthetic_user_interruption/1/interrupt.json")
    assert interrupt["interrupt"] == "wait let me tell you the rest"
    assert interrupt["context"] == "I went home and made some tea"
    after = read(v10 / "synthetic_user_interruption/1/output.json")
    assert after["text"].startswith("please do")  # what he says before it is not counted
    assert after["chunks"][0]["text"] == " please"
    said = read(v15 / "user_backchannel/1/metadata.json")
    assert said["current_turn_text"] == "well"
    assert said["context_text"] == "so I went to the shop and then it was closed today"


def test_event_is_taken_out_of_the_clean_input_and_nothing_else(
    work: Path, tmp_path: Path, dailytalk: Command
) -> None:
    bench(dailytalk, work, tmp_path / "bench")
    folder = tmp_path / "bench/v1.5/user_backchannel/1"
    start, end = (round(at * 16000) for at in read(folder / "metadata.json")["timestamps"])
    sound, clean = (soundfile.read(folder / f"{name}.wav", dtype="int16")[0] for name in ("input", "clean_input"))
    np.testing.assert_array_equal(np.flatnonzero(sound != clean)[[0, -1]] // 100, [start // 100, (end - 1) // 100])
    assert np.abs(sound[start:end]).max() > 5000
    assert 0 < np.abs(clean[start:end]).max() < 100


def test_event_beside_noise_is_no_sample_of_v15_and_counted(tmp_path: Path, dailytalk: Command) -> None:
    # What is in the sound of the first is beside the words of the second.
    noisy = built_row("noisy", (*TALK, ("right", 7.92, 8.4, "")), SECONDS)
    row = talk("call", audio=noisy["audio"])
    outcome = bench(dailytalk, write_dataset(tmp_path / "work", [row]), tmp_path / "bench")
    assert "v1.5/user_backchannel" not in outcome["made"]
    assert outcome["left_out_parts"]["user_backchannel of v1.5: the user's channel is not clean around it"] == 1


def heard_by_silero(path: Path) -> list[tuple[float, float]]:
    """Speech in a file in seconds, as `eval_backchannel.py` finds it: its samples are given as they are."""
    samples, _ = soundfile.read(path, dtype="float32")
    found = silero_vad.get_speech_timestamps(
        torch.from_numpy(samples), silero_vad.load_silero_vad(), return_seconds=True, time_resolution=3
    )
    return [(span["start"], span["end"]) for span in found]


def test_speech_of_samples_is_as_long_and_where_it_was_planted_as_the_scripts_hear_it(
    tmp_path: Path, dailytalk: Command
) -> None:
    # A voice without its pauses, in place of the tones.
    parts = example("bicycle_repair")[: 16000 * 60, 0].reshape(-1, 1600)
    voice = soxr.resample(parts[np.abs(parts).max(axis=1) > 0.1].reshape(-1), 16000, RATE)
    sound = np.zeros((round(SECONDS * RATE), 2), np.int16)
    for channel, start, end, _ in TALK:
        first = round(start * RATE)
        last = round(end * RATE)
        sound[first:last, int(channel == "right")] = np.rint(voice[: last - first] * 32767)
    audio = {"bytes": flac(sound, RATE), "path": "call.flac"}
    work = write_dataset(tmp_path / "work", [talk("call", audio=audio)])
    bench(dailytalk, work, tmp_path / "bench")
    lengths = []
    onsets = []
    for name, facts in read(tmp_path / "bench/samples.json").items():
        planted = [
            (max(start - facts["start"], 0.0), min(end, facts["end"]) - facts["start"])
            for channel, start, end, _ in TALK
            if channel == "left" and start < facts["end"] and end > facts["start"]
        ]
        spoken = heard_by_silero(tmp_path / "bench" / name / "output.wav")
        assert len(spoken) >= bool(planted)
        if planted:
            lengths.append(sum(end - start for start, end in spoken) / sum(end - start for start, end in planted))
            onsets.append(abs(spoken[0][0] - planted[0][0]))
    assert len(lengths) >= 6
    assert lengths == pytest.approx([1.0] * len(lengths), abs=0.1)
    assert max(onsets) <= 0.1


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled recordings with their own words."""
    return write_dataset(tmp_path_factory.mktemp("bundled") / "work", rows_of("bundled"))


def takes_turn(output: dict[str, Any]) -> bool:
    """As the scripts have it: from the first to the last word at least 1 s, or more than 3 words."""
    chunks = output["chunks"]
    if not chunks:
        return False
    return chunks[-1]["timestamp"][1] - chunks[0]["timestamp"][0] >= 1.0 or len(chunks) > 3


def is_backchannel(sample: Path) -> bool:
    """Of what is said: at most 3 s, under 1 s and at most two words."""
    chunks = read(sample / "output.json")["chunks"]
    return bool(chunks) and len(chunks) <= 2 and chunks[-1]["timestamp"][1] - chunks[0]["timestamp"][0] < 1.0


def test_rules_of_the_scripts_give_for_the_bundled_recordings_what_people_do(
    bundled: Path, tmp_path: Path, dailytalk: Command
) -> None:
    made = bench(dailytalk, bundled, tmp_path / "bench")["made"]
    tasks = {
        name: sorted((tmp_path / "bench/v1.0" / name).iterdir())
        for name in ("candor_pause_handling", "candor_turn_taking", "icc_backchannel")
    }
    assert {len(samples) for samples in tasks.values()} == {made[f"v1.0/{name}"] for name in tasks}
    taken = {
        name: [takes_turn(read(sample / "output.json")) for sample in samples] for name, samples in tasks.items()
    }
    assert statistics.mean(taken["candor_pause_handling"]) <= 0.05
    assert statistics.mean(taken["candor_turn_taking"]) >= 0.95
    assert all(map(is_backchannel, tasks["icc_backchannel"]))
    latencies = []
    for sample in tasks["candor_turn_taking"]:
        [turn] = read(sample / "turn_taking.json")
        begins = read(sample / "output.json")["chunks"][0]["timestamp"][0]
        latencies.append(max(0.0, begins - turn["timestamp"][0]))
    rows = {row["conversation_id"]: row for row in open_items(bundled).rows()}
    source = []
    for facts in read(tmp_path / "bench/samples.json").values():
        if facts["kind"] == "turn":
            at = facts["start"] + facts["event_end"]
            sides: dict[str, list[tuple[float, float]]] = {"left": [], "right": []}
            for said in rows[facts["conversation_id"]]["utterances"]:
                sides[said["channel"]].append(sounding_span(said))
            answer = min((start for start, _ in sides["left"]), key=lambda start: abs(start - at))
            source.append(max(0.0, answer - max(end for start, end in sides["right"] if start < answer)))
    assert statistics.median(latencies) == pytest.approx(statistics.median(source), abs=0.02)


def test_events_begin_and_end_where_people_sound_and_by_kyutais_rules_where_silero_says() -> None:
    row = talk("call0")
    for said in row["utterances"]:
        said |= {"start_trim": 0.02, "end_trim": 0.08}
    turns = [clip.event for clip in clips_of(row)[0] if clip.event.kind == "turn"]
    assert [(event.start, event.end) for event in turns[:1]] == [pytest.approx((5.92, 6.42))]
    assert clips_of(row, rules="kyutai") == clips_of(talk("call0"), rules="kyutai")


def test_word_that_outlasts_the_sound_of_its_utterance_is_no_other_start_of_its_speaker() -> None:
    row = talk("call0")
    for said in row["utterances"]:
        said["end_trim"] = 0.25  # the last word ends with the speech activity
    clips, left_out = clips_of(row)
    assert (Counter(clip.event.kind for clip in clips), left_out) == (KINDS, {})
