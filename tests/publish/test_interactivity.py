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

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import SIDE
from dailytalk_contiguous.publish.exports.event_clips import ClipSettings, clips_of
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
    source = {"repository": "a/b", "licence": "cc-by-4.0"}
    (folder / "run.json").write_text(json.dumps({"source": source}))
    rows = [talk(f"call{n}", f"person{n % 3}") for n in range(6)]
    return write_dataset(folder, rows)


def seen(row: dict[str, Any]) -> Conversation:
    """A row as a trainer sees it whose agent is on the left."""
    return from_finished(row).seen_by(RATE, "left")


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def exported(dailytalk: Command, source: Path, out: Path, *options: Any) -> Any:
    """The finished command that exports clips of interaction with its outcome as JSON."""
    return dailytalk("export", source, "--format", "interactivity", "--out", out, *options, "--json")


def documents(folder: Path) -> dict[str, dict[str, Any]]:
    """The JSON beside each WAV of a training folder, by the id of its clip."""
    clips = {}
    for path in folder.rglob("data_stereo/*.json"):
        document = read(path)
        clip_id = document["clip"]["clip_id"]
        clips[clip_id] = document | {"wav": path.with_suffix(".wav")}
    return clips


def listed_paths(folder: Path, side: str) -> list[str]:
    """The sounds that a training folder lists for a side of its split."""
    return [line["path"] for line in read_lines(folder / f"{side}.jsonl")]


def test_clips_of_each_kind_are_a_training_folder_with_their_facts(
    work: Path, tmp_path: Path, dailytalk: Command
) -> None:
    folder = tmp_path / "clips"
    done = exported(dailytalk, work, folder)
    outcome = json.loads(done.out)
    assert done.code == 0
    expected = {kind: 6 * count for kind, count in KINDS.items()}
    assert outcome["made"] == expected
    clips = documents(folder)
    assert len(clips) == 42
    about = clips["call0/interruption/0000"]
    facts = about["clip"]
    start = facts["start"]
    end = facts["end"]
    event = (facts["event_start"] + start, facts["event_end"] + start)
    assert facts["kind"] == "interruption"
    assert facts["who"] == "right"
    assert facts["licence"] == "cc-by-4.0"
    assert event == pytest.approx((16.3, 17.1))
    assert facts["starts_in_silence"] is True
    assert facts["ends_in_silence"] is True
    assert (start, end) == pytest.approx((6.2, 22.1), abs=0.11)
    assert facts["speakers"] == {"left": None, "right": "person0"}
    words = [(word["word"], word["speaker"]) for word in facts["words"]]
    assert words[0] == ("what", "left")
    assert ("wait", "right") in words
    left_words = [word for word, speaker in words if speaker == "left"]
    assert [word for word, _, _ in about["alignments"]] == left_words
    written, _ = soundfile.read(about["wav"], dtype="int16")
    first = round(start * RATE)
    last = round(end * RATE)
    source = stereo(TALK, SECONDS, RATE)
    np.testing.assert_array_equal(written, source[first:last])
    sounds = listed_paths(folder, "train") + listed_paths(folder, "eval")
    wavs = [document["wav"] for document in clips.values()]
    assert sorted(folder / sound for sound in sounds) == sorted(wavs)


def test_folder_of_clips_stands_up_to_the_check_and_shares_no_speaker(
    work: Path, tmp_path: Path, dailytalk: Command
) -> None:
    folder = tmp_path / "clips"
    options = ("--format", "interactivity", "--eval-share", "0.3")
    done = dailytalk("export", work, "--out", folder, *options)
    assert f"next: dailytalk check {folder}" in done.out
    done = dailytalk("check", folder, "--json")
    checked = json.loads(done.out)
    assert "error" not in {finding["level"] for finding in checked["findings"]}
    assert checked["facts"]["kind"] == "interactivity"
    people = {}
    for document in documents(folder).values():
        name = document["wav"].name
        people[name] = document["clip"]["speakers"]["right"]

    def people_in(side: str) -> set[str]:
        names = [Path(path).name for path in listed_paths(folder, side)]
        return {people[name] for name in names}

    assert people_in("train")
    assert people_in("eval")
    assert not people_in("train") & people_in("eval")


def test_as_many_of_each_kind_as_are_asked_for_are_the_same_each_time(
    work: Path, tmp_path: Path, dailytalk: Command
) -> None:
    def ids(*options: Any) -> set[str]:
        n_folders = len(list(tmp_path.iterdir()))
        out = tmp_path / f"clips{n_folders}"
        done = exported(dailytalk, work, out, *options)
        outcome = json.loads(done.out)
        assert outcome["made"] == dict.fromkeys(KINDS, 2)
        assert outcome["left_out_parts"]["turn: beyond --per-kind"] == 16
        return set(documents(out))

    chosen = ids("--per-kind", 2)
    assert chosen == ids("--per-kind", 2, "--context", "4s", "--after", "2s")
    assert chosen != ids("--per-kind", 2, "--seed", 7)


#: The user's pause at 3.0 s is hardly one; the second begins long before the limit.
SHORT_PAUSE = (("right", 0.5, 3.0, "so I went to the shop"), ("right", 3.21, 6.0, "and it was closed"), *TALK[2:])


@pytest.mark.parametrize("form", ["interactivity", "full-duplex-bench"])
def test_events_under_the_certainty_that_is_asked_for_are_left_out_and_counted(
    tmp_path: Path, dailytalk: Command, form: str
) -> None:
    work = write_dataset(tmp_path / "work", [built_row("call", SHORT_PAUSE, SECONDS)])

    def outcome(*options: Any) -> Any:
        out = tmp_path / "-".join(["out", *map(str, options)])
        done = dailytalk("export", work, "--format", form, "--out", out, *options, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    everything = outcome()
    certain = outcome("--certainty", 0.8)
    assert certain["left_out_parts"]["pause: its certainty is under 0.8"] == 1
    assert certain["made"] == {kind: n for kind, n in everything["made"].items() if "pause" not in kind}
    few = outcome("--certainty", 0.8, "--per-kind", 1)
    assert not any("pause" in kind for kind in few["made"])


def test_clips_say_how_certain_they_are(tmp_path: Path, dailytalk: Command) -> None:
    work = write_dataset(tmp_path / "work", [built_row("call", SHORT_PAUSE, SECONDS)])
    assert exported(dailytalk, work, tmp_path / "clips").code == 0
    clips = documents(tmp_path / "clips")
    assert clips["call/turn/0000"]["clip"]["certainty"] == 1.0
    assert 0.3 < clips["call/pause/0000"]["clip"]["certainty"] < 0.8
    bench = tmp_path / "bench"
    assert dailytalk("export", work, "--format", "full-duplex-bench", "--out", bench).code == 0
    samples = read(bench / "samples.json")
    assert samples["v1.0/candor_turn_taking/1"]["certainty"] == 1.0


@pytest.mark.parametrize(
    ("form", "certainty", "reason"), [("moshi", 0.8, "does not go with"), ("interactivity", 1.2, "certainty")]
)
def test_a_certainty_that_can_not_be_met_is_refused(
    work: Path, tmp_path: Path, dailytalk: Command, form: str, certainty: float, reason: str
) -> None:
    out = tmp_path / "out"
    done = dailytalk("export", work, "--format", form, "--out", out, "--certainty", certainty)
    assert done.code != 0
    assert reason in done.err
    assert not out.exists()


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
        options = ("--event-rules", rules, "--context", context, "--json")
        done = dailytalk("export", work, "--format", form, "--out", out, *options)
        assert done.code == 0, done.err
        assert form != "interactivity" or dailytalk("check", out).code == 0
        return json.loads(done.out)["made"]

    tasks = {"pause": "candor_pause_handling", "turn": "candor_turn_taking", "backchannel": "icc_backchannel"}
    kinds = [*tasks]
    if form == "full-duplex-bench":
        kinds = [f"v1.0/{task}" for task in tasks.values()]
    assert made("kyutai", "30s") == dict.fromkeys(kinds, 1)
    assert made("dailytalk", "30s")[kinds[0]] == 1

    def pause_start(name: str) -> float:
        clips = documents(tmp_path / name)
        return clips["call/pause/0000"]["clip"]["event_start"]

    if form == "interactivity":
        assert pause_start("kyutai-30s") == pytest.approx(30.0, abs=0.1)
        assert pause_start("dailytalk-30s") == pytest.approx(30.0, abs=0.1)
        made("kyutai", "10s")
        assert pause_start("kyutai-10s") == pytest.approx(10.0)


def test_no_clip_is_made_of_a_conversation_that_is_judged_bad(tmp_path: Path, dailytalk: Command) -> None:
    unheard = dict.fromkeys(SIDE) | {"unheard_words": 9}
    sides = [unheard | {"channel": channel} for channel in ("left", "right")]
    rows = [talk("good"), talk("bad", sides=sides)]
    folder = write_dataset(tmp_path / "work", rows)
    for number, options in enumerate(((), ("--per-kind", 9))):
        out = tmp_path / f"{number}"
        done = exported(dailytalk, folder, out, *options)
        rejects = json.loads(done.out)["rejects"]
        assert done.code == 3
        assert [reject["id"] for reject in rejects] == ["bad"]
        conversations = {name.partition("/")[0] for name in documents(out)}
        assert conversations == {"good"}


@pytest.mark.parametrize("form", ["interactivity", "full-duplex-bench"])
def test_no_clip_is_made_of_a_conversation_whose_length_is_not_that_of_its_audio(
    tmp_path: Path, dailytalk: Command, form: str
) -> None:
    rows = [talk("short", duration=5.0), talk("good")]
    folder = write_dataset(tmp_path / "work", rows)
    done = dailytalk("export", folder, "--format", form, "--out", tmp_path / "out", "--json")
    [reject] = json.loads(done.out)["rejects"]
    assert done.code == 3
    assert reject["id"] == "short"
    assert "5.000 s" in reject["reason"]
    assert "28.000 s" in reject["reason"]
    wavs = (tmp_path / "out").rglob("*.wav")
    assert min(soundfile.info(path).frames for path in wavs) > 0


def test_only_clips_may_be_without_words_of_the_agent(work: Path, tmp_path: Path, dailytalk: Command) -> None:
    def kinds(folder: Path) -> set[str]:
        done = dailytalk("check", folder, "--json")
        checked = json.loads(done.out)
        errors = [finding for finding in checked["findings"] if finding["level"] == "error"]
        return {finding["kind"] for finding in errors}

    clips = tmp_path / "clips"
    assert exported(dailytalk, work, clips).code == 0
    about = next(clips.rglob("data_stereo/*.json"))
    document = read(about)
    document["alignments"] = []
    about.write_text(json.dumps(document))
    assert kinds(clips) == set()
    about.write_text('{"alignments": []}')
    assert kinds(clips) == {"no-words"}


# The layout of Full-Duplex-Bench, and the three rules of its scripts that ask nobody.


def bench(dailytalk: Command, source: Path, out: Path, *options: Any) -> dict[str, Any]:
    done = dailytalk("export", source, "--format", "full-duplex-bench", "--out", out, *options, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def spoken_in(sample: Path) -> list[dict[str, Any]]:
    """The words of the model in a sample of the benchmark."""
    return read(sample / "output.json")["chunks"]


def test_samples_are_laid_out_as_the_scripts_read_them(work: Path, tmp_path: Path, dailytalk: Command) -> None:
    made = bench(dailytalk, work, tmp_path / "bench")["made"]
    v10 = tmp_path / "bench/v1.0"
    v15 = tmp_path / "bench/v1.5"
    common = {"input.wav", "output.wav", "output.json", "transcription.json"}
    for folder, count, others in (
        (v10 / "candor_pause_handling", 6, {"pause.json"}),
        (v10 / "candor_turn_taking", 12, {"turn_taking.json"}),  # at the third the agent spoke when the user began
        (v10 / "icc_backchannel", 6, set()),
        (v10 / "synthetic_user_interruption", 6, {"interrupt.json"}),
        (v15 / "user_interruption", 6, {"clean_input.wav", "metadata.json"}),
        (v15 / "user_backchannel", 6, {"clean_input.wav", "metadata.json"}),
    ):
        assert made[f"{folder.parent.name}/{folder.name}"] == count
        numbers = sorted(map(int, names_in(folder)))
        assert numbers == list(range(1, count + 1))
        assert set(names_in(folder / "1")) == common | others
        wavs = (folder / "1").glob("*.wav")
        sounds = [soundfile.info(path) for path in wavs]
        formats = {(info.channels, info.samplerate) for info in sounds}
        assert formats == {(1, 16000)}
        assert len({info.frames for info in sounds}) == 1
    [pause] = read(v10 / "candor_pause_handling/1/pause.json")
    assert pause["text"] == "[PAUSE]"
    assert pause["timestamp"] == pytest.approx([2.6, 3.2], abs=1e-4)  # the sample begins 0.1 s before the user
    assert read(v10 / "candor_pause_handling/1/output.json") == {"text": "", "chunks": []}
    [user] = read(v10 / "candor_pause_handling/1/transcription.json")
    assert user["speaker"] == 0
    assert user["item"][0]["text"] == "so"
    [interrupt] = read(v10 / "synthetic_user_interruption/1/interrupt.json")
    assert interrupt["interrupt"] == "wait let me tell you the rest"
    assert interrupt["context"] == "I went home and made some tea"
    after = read(v10 / "synthetic_user_interruption/1/output.json")
    assert after["text"].startswith("please do")  # what he says before it is not counted
    assert after["chunks"][0]["text"] == " please"
    backchannel = read(v15 / "user_backchannel/1/metadata.json")
    assert backchannel["current_turn_text"] == "well"
    assert backchannel["context_text"] == "so I went to the shop and then it was closed today"


def test_event_is_taken_out_of_the_clean_input_and_nothing_else(
    work: Path, tmp_path: Path, dailytalk: Command
) -> None:
    bench(dailytalk, work, tmp_path / "bench")
    folder = tmp_path / "bench/v1.5/user_backchannel/1"
    times = read(folder / "metadata.json")["timestamps"]
    start, end = (round(seconds * 16000) for seconds in times)
    sound, _ = soundfile.read(folder / "input.wav", dtype="int16")
    clean, _ = soundfile.read(folder / "clean_input.wav", dtype="int16")
    first, last = np.flatnonzero(sound != clean)[[0, -1]]
    assert first // 100 == start // 100
    assert last // 100 == (end - 1) // 100
    assert np.abs(sound[start:end]).max() > 5000
    assert 0 < np.abs(clean[start:end]).max() < 100


def test_event_beside_noise_is_no_sample_of_v15_and_counted(tmp_path: Path, dailytalk: Command) -> None:
    # What is in the sound of the first is beside the words of the second.
    noise = ("right", 7.92, 8.4, "")
    noisy = built_row("noisy", (*TALK, noise), SECONDS)
    row = talk("call", audio=noisy["audio"])
    folder = write_dataset(tmp_path / "work", [row])
    outcome = bench(dailytalk, folder, tmp_path / "bench")
    assert "v1.5/user_backchannel" not in outcome["made"]
    assert outcome["left_out_parts"]["user_backchannel of v1.5: the user's channel is not clean around it"] == 1


def heard_by_silero(path: Path) -> list[tuple[float, float]]:
    """Speech in a file in seconds, as `eval_backchannel.py` finds it: its samples are given as they are."""
    samples, _ = soundfile.read(path, dtype="float32")
    model = silero_vad.load_silero_vad()
    spans = silero_vad.get_speech_timestamps(
        torch.from_numpy(samples), model, return_seconds=True, time_resolution=3
    )
    return [(span["start"], span["end"]) for span in spans]


def spoken_talk() -> np.ndarray:
    """The talk with a voice without its pauses in place of the tones."""
    recorded = example("bicycle_repair")[: 16000 * 60, 0]
    tenths = recorded.reshape(-1, 1600)
    loudest = np.abs(tenths).max(axis=1)
    continuous = tenths[loudest > 0.1].reshape(-1)
    voice = soxr.resample(continuous, 16000, RATE)
    n_samples = round(SECONDS * RATE)
    sound = np.zeros((n_samples, 2), np.int16)
    for channel, start, end, _ in TALK:
        side = int(channel == "right")
        first = round(start * RATE)
        last = round(end * RATE)
        length = last - first
        sound[first:last, side] = np.rint(voice[:length] * 32767)
    return sound


def planted_in(facts: dict[str, Any]) -> list[tuple[float, float]]:
    """The times in a sample at which the agent speaks, in seconds."""
    sample_start = facts["start"]
    sample_end = facts["end"]
    spans = []
    for channel, start, end, _ in TALK:
        if channel == "left" and start < sample_end and end > sample_start:
            first = max(start - sample_start, 0.0)
            last = min(end, sample_end) - sample_start
            spans.append((first, last))
    return spans


def total(spans: list[tuple[float, float]]) -> float:
    return sum(end - start for start, end in spans)


def test_speech_of_samples_is_as_long_and_where_it_was_planted_as_the_scripts_hear_it(
    tmp_path: Path, dailytalk: Command
) -> None:
    audio = {"bytes": flac(spoken_talk(), RATE), "path": "call.flac"}
    work = write_dataset(tmp_path / "work", [talk("call", audio=audio)])
    bench(dailytalk, work, tmp_path / "bench")
    lengths = []
    onsets = []
    for name, facts in read(tmp_path / "bench/samples.json").items():
        planted = planted_in(facts)
        spoken = heard_by_silero(tmp_path / "bench" / name / "output.wav")
        if planted:
            assert spoken
            lengths.append(total(spoken) / total(planted))
            onset, _ = spoken[0]
            planted_onset, _ = planted[0]
            onsets.append(abs(onset - planted_onset))
    assert len(lengths) >= 6
    assert lengths == pytest.approx([1.0] * len(lengths), abs=0.1)
    assert max(onsets) <= 0.1


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled recordings with their own words."""
    return write_dataset(tmp_path_factory.mktemp("bundled") / "work", rows_of("bundled"))


def spoken_seconds(chunks: list[dict[str, Any]]) -> float:
    """From the first to the last word."""
    start, _ = chunks[0]["timestamp"]
    _, end = chunks[-1]["timestamp"]
    return end - start


def takes_turn(sample: Path) -> bool:
    """As the scripts have it: from the first to the last word at least 1 s, or more than 3 words."""
    chunks = spoken_in(sample)
    if not chunks:
        return False
    return spoken_seconds(chunks) >= 1.0 or len(chunks) > 3


def is_backchannel(sample: Path) -> bool:
    """Of what is said: at most 3 s, under 1 s and at most two words."""
    chunks = spoken_in(sample)
    if not chunks or len(chunks) > 2:
        return False
    return spoken_seconds(chunks) < 1.0


def latency_of(sample: Path) -> float:
    """Seconds from the end of the user's turn to the answer, in a sample of turn-taking."""
    [turn] = read(sample / "turn_taking.json")
    turn_end, _ = turn["timestamp"]
    answer, _ = spoken_in(sample)[0]["timestamp"]
    return max(0.0, answer - turn_end)


def recorded_latency(row: dict[str, Any], turn_end: float) -> float:
    """Seconds from the end of the user's turn to the answer, in the recording."""
    sides: dict[str, list[tuple[float, float]]] = {"left": [], "right": []}
    for utterance in from_finished(row).audible_utterances:
        assert utterance.new_sounding is not None
        sides[utterance.channel].append(utterance.new_sounding)
    starts = [start for start, _ in sides["left"]]
    answer = min(starts, key=lambda start: abs(start - turn_end))
    ends = [end for start, end in sides["right"] if start < answer]
    return max(0.0, answer - max(ends))


def test_rules_of_the_scripts_give_for_the_bundled_recordings_what_people_do(
    bundled: Path, tmp_path: Path, dailytalk: Command
) -> None:
    made = bench(dailytalk, bundled, tmp_path / "bench")["made"]
    folder = tmp_path / "bench/v1.0"
    pauses = sorted((folder / "candor_pause_handling").iterdir())
    turns = sorted((folder / "candor_turn_taking").iterdir())
    backchannels = sorted((folder / "icc_backchannel").iterdir())
    assert len(pauses) == made["v1.0/candor_pause_handling"]
    assert len(turns) == made["v1.0/candor_turn_taking"]
    assert len(backchannels) == made["v1.0/icc_backchannel"]
    assert statistics.mean(map(takes_turn, pauses)) <= 0.05
    assert statistics.mean(map(takes_turn, turns)) >= 0.95
    assert all(map(is_backchannel, backchannels))
    latencies = [latency_of(sample) for sample in turns]
    rows = {row["conversation_id"]: row for row in open_items(bundled).rows()}
    recorded = []
    for facts in read(tmp_path / "bench/samples.json").values():
        if facts["kind"] == "turn":
            row = rows[facts["conversation_id"]]
            turn_end = facts["start"] + facts["event_end"]
            recorded.append(recorded_latency(row, turn_end))
    expected = statistics.median(recorded)
    assert statistics.median(latencies) == pytest.approx(expected, abs=0.02)


def test_events_begin_and_end_where_people_sound_and_by_kyutais_rules_where_silero_says() -> None:
    row = talk("call0")
    for utterance in row["utterances"]:
        utterance["start_trim"] = 0.02
        utterance["end_trim"] = 0.08
    clips, _ = clips_of(seen(row))
    first = next(clip.event for clip in clips if clip.event.kind == "turn")
    assert (first.start, first.end) == pytest.approx((5.92, 6.42))
    untrimmed = talk("call0")
    assert clips_of(seen(row), ClipSettings(event_rules="kyutai")) == clips_of(
        seen(untrimmed), ClipSettings(event_rules="kyutai")
    )


def test_word_that_outlasts_the_sound_of_its_utterance_is_no_other_start_of_its_speaker() -> None:
    row = talk("call0")
    for utterance in row["utterances"]:
        utterance["end_trim"] = 0.25  # the last word ends with the speech activity
    clips, left_out = clips_of(seen(row))
    assert Counter(clip.event.kind for clip in clips) == KINDS
    assert left_out == {}
