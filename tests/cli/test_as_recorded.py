"""`--revoice none`: conversations as they were recorded, from files to what a trainer reads and to the Hub."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import reference
from command import EMBEDDED, Command
from hub.server import HubServer
from huggingface_hub import DatasetCard, hf_hub_download
from recordings import excerpt, read_lines, save, state

import dailytalk_contiguous as dc
from dailytalk_contiguous.publish.opening import open_items

pytest_plugins = ["hub.hub_fixtures"]

#: Words that people gave, for each side of a bundled conversation.
TALKS = ("old_friends", "weekend_trip")
SECONDS = 30.0


def transcribed(folder: Path, name: str) -> None:
    """Half a minute of a bundled conversation with the words of its reference, as moshi-finetune has them."""
    save(folder / f"{name}.flac", excerpt(name, seconds=SECONDS), subtype="PCM_16")
    words = []
    for line in said_in(name):
        speaker = "SPEAKER_MAIN" if line["channel"] == "left" else "SPEAKER_OTHER"
        words += [[word, [start, end], speaker] for word, start, end in shared_out(line)]
    words.sort(key=lambda word: word[1])
    (folder / f"{name}.json").write_text(json.dumps({"alignments": words}))


def said_in(name: str) -> list[dict[str, Any]]:
    return [line for line in reference(name) if line["end"] < SECONDS]


def words_of_right(name: str) -> list[str]:
    texts = [line["text"] for line in said_in(name) if line["channel"] == "right"]
    return " ".join(texts).casefold().split()


def shared_out(line: dict[str, Any]) -> Iterator[tuple[str, float, float]]:
    words = line["text"].split()
    step = (line["end"] - line["start"]) / len(words)
    for index, word in enumerate(words):
        start = line["start"] + index * step
        end = line["start"] + (index + 1) * step
        yield word, round(start, 3), round(end, 3)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two talks with given words, kept at their own rate."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "calls").mkdir()
    for name in TALKS:
        transcribed(folder / "calls", name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAILYTALK_CACHE", str(folder / "cache"))
        patch.delenv("FISH_API_KEY", raising=False)
        tagging = dc.tag_stages("embedded", language="en")
        # The profile whose voice costs money and needs a key: none is asked for.
        speaking = dc.speak_stages(revoice="none", sample_rate=0)
        dc.run_recipe(str(folder / "calls"), folder / "work", tagging, speaking)
    return folder / "work"


def test_both_voices_and_all_times_are_those_of_the_recording(work: Path) -> None:
    rows = {row["conversation_id"]: row for row in open_items(work).rows()}
    assert set(rows) == {*TALKS}
    for name, row in rows.items():
        samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")
        recorded, own_rate = soundfile.read(work.parent / f"calls/{name}.flac", dtype="int16")
        assert rate == own_rate
        np.testing.assert_array_equal(samples, recorded)
        assert row["duration"] == row["source_duration"]
        for utterance in row["utterances"]:
            assert utterance["status"] == "kept"
            assert utterance["channel"] == utterance["source_channel"]
            assert utterance["event"] == utterance["source_event"]
            assert utterance["start"] == pytest.approx(utterance["source_start"], abs=1e-4)
            assert utterance["end"] == pytest.approx(utterance["source_end"], abs=1e-4)
        words = row["alignments"]
        sources = {word["source"] for word in words}
        assert sources <= {"given", "given-fitted", "aligned-pocketsphinx"}
        right = [word["word"].casefold() for word in words if word["speaker"] == "right"]
        assert right == words_of_right(name)


def test_laughs_and_breaths_of_both_sides_are_known(tmp_path: Path) -> None:
    talk = excerpt("weekend_trip", seconds=12.0)
    quiet = [(0.02, 0.28, 0), (11.6, 11.95, 1)]
    rng = np.random.default_rng(1)
    for start, end, side in quiet:
        part = slice(round(16000 * start), round(16000 * end))
        noise = rng.standard_normal(len(talk[part])).astype(np.float32)
        talk[part, side] += 0.05 * noise
    save(tmp_path / "calls/talk.wav", talk)
    tagging = dc.tag_stages("embedded", language="en")
    speaking = [dc.Keep(), dc.Align(), dc.Finish()]
    done = dc.run_recipe(str(tmp_path / "calls"), tmp_path / "work", tagging, speaking)
    assert done.spoken is not None
    (row,) = open_items(tmp_path / "work").rows()
    assert {sound["channel"] for sound in row["sounds"]} == {"left", "right"}
    for sound in row["sounds"]:
        assert sound["start"] == sound["source_start"]
        assert sound["end"] == sound["source_end"]


def test_the_side_that_is_chosen_is_moshis_in_a_folder_to_train_on(
    work: Path, tmp_path: Path, dailytalk: Command
) -> None:
    done = dailytalk("export", work, "--format", "moshi", "--main", "right", "--out", tmp_path / "data")
    assert done.code == 0, done.err
    name = TALKS[0]
    samples, _ = soundfile.read(tmp_path / f"data/data_stereo/{name}.wav")
    recorded = excerpt(name, seconds=SECONDS)[:, 1]
    resampled = samples[::3, 0][: len(recorded) // 2]  # 24 kHz to 8
    half = recorded[::2][: len(resampled)]
    correlations = np.corrcoef(np.abs(resampled), np.abs(half))
    assert correlations[0, 1] > 0.9
    words = json.loads((tmp_path / f"data/data_stereo/{name}.json").read_text())["alignments"]
    assert [word.casefold() for word, _, _ in words] == words_of_right(name)
    checked = dailytalk("check", tmp_path / "data", "--json")
    assert checked.code == 0, checked.out


def test_a_version_of_recordings_loads_as_any_other(
    work: Path, tmp_path: Path, hub: HubServer, dailytalk: Command
) -> None:
    done = dailytalk("push", work, "tester/recorded", "--create", "--tag", "v1.0.0")
    assert done.code in (0, 3), done.err
    readme = hf_hub_download("tester/recorded", "README.md", repo_type="dataset")
    card = DatasetCard.load(readme).text
    assert "as they were recorded" in card.partition("## Listen")[0]
    limits = card.partition("## Limits")[2].partition("## Licences")[0]
    assert "synthesised" not in limits
    talks = dc.load("tester/recorded", split="train", revision="v1.0.0")
    audio = talks[0]["audio"]
    windows = dc.moshi_windows(talks, seconds=2.4, sample_rate=audio.sample_rate, main="right")
    (first, *_) = windows
    np.testing.assert_array_equal(first["audio"][0], audio.read(0.0, 2.4)[:, 1])


def test_the_next_run_keeps_both_speakers_until_a_voice_is_chosen(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "calls/talk.wav", excerpt())
    work = tmp_path / "work"
    built = dailytalk("build", tmp_path / "calls", "--out", work, *EMBEDDED, "--revoice", "none")
    assert built.code == 0
    assert re.search(r"^1 conversation, (\d+) utterances \(\1 as recorded\), \d+ words in ", built.out, re.M)
    assert "offsets" not in built.out  # nothing was moved
    before = state(work)
    again = dailytalk("speak", work)
    assert again.code == 0, again.err
    assert state(work) == before
    spoken = dailytalk("speak", work, "--revoice", "left")
    assert spoken.code == 0, spoken.err
    statuses = {line["status"] for line in read_lines(work / "transcript_shifted.jsonl")}
    assert "spoken" in statuses


#: The speakers of a recording, as a table and as a transcript without words.
RTTM = "SPEAKER call 1 {} {} <NA> <NA> {} <NA> <NA>\n"
NAMES = {
    "people.csv": "recording,channel,speaker\ncall,left,Ann\ncall,right,Ben\n",
    "calls/call.rttm": RTTM.format(0.5, 1.5, "Ann") + RTTM.format(4.0, 1.0, "Ben"),
}


@pytest.mark.parametrize("file", NAMES)
def test_speaker_who_is_named_and_silent_keeps_the_name(tmp_path: Path, dailytalk: Command, file: str) -> None:
    samples = excerpt("weekend_trip", seconds=6.0)
    samples[:, 1] = 0.0
    save(tmp_path / "calls/call.wav", samples)
    path = tmp_path / file
    path.write_text(NAMES[file])
    names = ("--speakers", path) if path.suffix == ".csv" else ()
    options = (*EMBEDDED, "--asr-model", "tiny.en", "--revoice", "none", *names)
    done = dailytalk("build", tmp_path / "calls", "--out", tmp_path / "work", *options)
    assert done.code == 0, done.err
    (row,) = open_items(tmp_path / "work").rows()
    assert {utterance["channel"] for utterance in row["utterances"]} == {"left"}
    assert row["speakers"] == {"left": "Ann", "right": "Ben"}


def test_build_of_one_speaker_is_refused_before_any_work(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/call.wav")
    recorded = ("--revoice", "none", "--channel", "mix")
    done = dailytalk("build", tmp_path / "in", "--out", tmp_path / "out", *recorded, *EMBEDDED)
    assert done.code == 1
    assert "dailytalk tag" in done.err
    assert not (tmp_path / "out").exists()
