"""`--tts shift` from files to a published dataset: the words and times of the recording, in another voice."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import reference
from command import EMBEDDED, Command
from hub.server import HubServer
from huggingface_hub import DatasetCard, hf_hub_download
from numpy.typing import NDArray
from recordings import excerpt, read_lines, save, state

import dailytalk_contiguous as dc
from dailytalk_contiguous.publish.opening import open_items

pytest_plugins = ["hub.hub_fixtures"]

TALKS = ("old_friends", "weekend_trip")
SECONDS = 30.0

#: The second line of the left speaker is one that nobody wrote down.
UNWRITTEN = 1


def transcribed(folder: Path, name: str) -> None:
    """Half a minute of a bundled conversation with the words of its reference, as moshi-finetune has them."""
    save(folder / f"{name}.flac", excerpt(name, seconds=SECONDS), subtype="PCM_16")
    lines = reference(name)
    left = [line for line in lines if line["channel"] == "left"]
    words = []
    for line in lines:
        if line["end"] < SECONDS and line != left[UNWRITTEN]:
            speaker = "SPEAKER_MAIN" if line["channel"] == "left" else "SPEAKER_OTHER"
            words += [[word["word"], [word["start"], word["end"]], speaker] for word in line["words"]]
    words.sort(key=lambda word: word[1])
    (folder / f"{name}.json").write_text(json.dumps({"alignments": words}))


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shift") / "calls"
    for name in TALKS:
        transcribed(folder, name)
    return folder


def made(calls: Path, out: str, workers: int = 1, **options: object) -> Path:
    """A work folder of the talks at their own rate, with the voice that costs money and needs a key by default."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAILYTALK_CACHE", str(calls.parent / "cache"))
        patch.delenv("FISH_API_KEY", raising=False)
        tagging = dc.tag_stages("embedded", language="en")
        speaking = dc.speak_stages(sample_rate=0, **options)
        dc.run_recipe(str(calls), calls.parent / out, tagging, speaking, workers)
    return calls.parent / out


@pytest.fixture(scope="module")
def work(calls: Path) -> Path:
    return made(calls, "work", tts="shift")


def heard(row: dict) -> tuple[NDArray[np.int16], int]:
    file = io.BytesIO(row["audio"]["bytes"])
    return soundfile.read(file, dtype="int16")


def rows_of(work: Path) -> dict[str, dict]:
    return {row["conversation_id"]: row for row in open_items(work).rows()}


#: What an utterance has of the recording.
KEPT_FIELDS = ("utterance_id", "channel", "start", "end", "start_trim", "end_trim", "text", "tag", "event")


def test_words_and_times_are_those_of_the_recording_and_the_kept_side_its_very_samples(
    work: Path, calls: Path
) -> None:
    recorded = rows_of(made(calls, "kept", revoice="none"))
    rows = rows_of(work)
    assert set(rows) == {*TALKS}
    for name, row in rows.items():
        before = recorded[name]
        new, rate = heard(row)
        old, old_rate = heard(before)
        assert rate == old_rate
        assert new.shape == old.shape
        np.testing.assert_array_equal(new[:, 1], old[:, 1])
        assert not np.array_equal(new[:, 0], old[:, 0])
        assert row["alignments"] == before["alignments"]
        unwritten = 0
        for utterance, original in zip(row["utterances"], before["utterances"], strict=True):
            for field in KEPT_FIELDS:
                assert utterance[field] == original[field]
            is_left = utterance["channel"] == "left"
            assert utterance["status"] == ("spoken" if is_left else "kept")
            if is_left and not utterance["text"]:
                unwritten += 1
        assert unwritten > 0
        assert row["sounds"] == before["sounds"]
        assert row["timeline"]["duration_ratio"] == 1.0


def test_rows_of_several_workers_are_those_of_one_bit_for_bit(work: Path, calls: Path) -> None:
    several = made(calls, "several", workers=2, tts="shift")
    rows = open_items(work).rows()
    for row, other in zip(rows, open_items(several).rows(), strict=True):
        assert row == other


def test_it_is_checked_reported_and_exported(work: Path, tmp_path: Path, dailytalk: Command) -> None:
    checked = dailytalk("check", work, "--json")
    assert checked.code == 0, checked.err
    kinds = {finding["kind"] for finding in json.loads(checked.out)["findings"]}
    unwanted = {"empty-text", "unsaid-tags", "fast-synthesis", "slow-synthesis", "not-resynthesised"}
    assert kinds.isdisjoint(unwanted)
    done = dailytalk("export", work, "--format", "moshi", "--out", tmp_path / "data")
    assert done.code == 0, done.err
    assert dailytalk("report", work).code == 0


def test_the_card_says_what_it_is_and_what_it_is_not(
    work: Path, hub: HubServer, tmp_path: Path, dailytalk: Command
) -> None:
    done = dailytalk("push", work, "tester/shifted", "--create", "--tag", "v1.0.0")
    assert done.code in (0, 3), done.err
    readme = hf_hub_download("tester/shifted", "README.md", repo_type="dataset")
    card = DatasetCard.load(readme).text
    assert "converted" in card.partition("## Listen")[0]
    limits = card.partition("## Limits")[2].partition("## Licences")[0]
    assert "synthesised" not in limits
    assert "does not hide who is speaking" in card
    talks = dc.load("tester/shifted", split="train", revision="v1.0.0")
    syntheses = [utterance["synthesis"] for utterance in talks[0]["utterances"]]
    assert {each["engine"] for each in syntheses if each} == {"shift"}


def test_people_have_one_voice_in_all_talks_and_the_next_run_goes_on_with_it(
    tmp_path: Path, dailytalk: Command
) -> None:
    for number in range(2):
        save(tmp_path / f"calls/{number}.wav", excerpt(start=3.0 * number))
    people = ("recording,channel,speaker", "0,left,Ann", "0,right,Bob", "1,left,Ann", "1,right,Cid")
    (tmp_path / "people.csv").write_text("\n".join(people))
    work = tmp_path / "work"
    options = (*EMBEDDED, "--speakers", tmp_path / "people.csv", "--tts", "shift")
    built = dailytalk("build", tmp_path / "calls", "--out", work, *options)
    assert built.code == 0, built.err
    assert "takes no style tags" not in built.err

    def voices() -> set[str]:
        lines = read_lines(work / "transcript_shifted.jsonl")
        return {line["synthesis"]["voice"] for line in lines if line["synthesis"]}

    assert len(voices()) == 1
    before = state(work)
    again = dailytalk("speak", work)
    assert again.code == 0, again.err
    assert state(work) == before
    fixed = dailytalk("speak", work, "--tts", "shift", "--voice", "0.9")
    assert fixed.code == 0, fixed.err
    assert voices() == {"0.9"}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--tries", "2"), "--tries"),
        (("--verify",), "--verify"),
        (("--no-text", "drop"), "--no-text"),
        (("--voice", "low"), "--voice"),
        (("--voice", "clone"), "--voice clone"),
    ],
)
def test_what_has_no_use_with_it_is_refused_in_a_sentence(
    work: Path, dailytalk: Command, options: tuple[str, ...], named: str
) -> None:
    chosen = ("--tts", "shift") if "--tts" not in options else ()
    done = dailytalk("speak", work, "--dry-run", *chosen, *options)
    assert done.code in (1, 2)
    assert named in done.err
    assert "Traceback" not in done.err


def test_a_talk_with_the_machine_has_nothing_to_convert(tmp_path: Path, dailytalk: Command) -> None:
    sound = save(tmp_path / "me.wav")
    done = dailytalk("converse", "--profile", "embedded", "--tts", "shift", "--input", sound, "--no-save")
    assert done.code in (1, 2)
    assert "converts recorded sound" in " ".join(done.err.split())
