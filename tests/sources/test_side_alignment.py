"""Sides that are out of step: found by the other side's leak or by a transcript, and laid on one clock."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import EXAMPLES, Samples, example, stretched
from command import EMBEDDED, Command
from recordings import read_lines
from stage_calls import row_after

from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.sound.samples import pcm_to_float, to_pcm
from dailytalk_contiguous.core.sound.side_clocks import word_fit
from dailytalk_contiguous.core.sound.side_shift import shift_by_leak
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.lines_to_speak import tagged_row, transcribed
from dailytalk_contiguous.stages.match_transcript import MatchTranscript
from dailytalk_contiguous.stages.segment import Segment

RATE = 16000
NAME = "old_friends"
SHIFTS = (0.3, 0.5, 1.0, 3.0, 10.0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))


def late(samples: Samples, seconds: float) -> Samples:
    """A recording, shape (n, 2), whose right side is later by so many seconds; the left one, if below 0."""
    n_late = round(abs(seconds) * RATE)
    left_padding = (n_late, 0) if seconds < 0 else (0, n_late)
    left = np.pad(samples[:, 0], left_padding)
    right = np.pad(samples[:, 1], left_padding[::-1])
    return np.stack((left, right), axis=1).astype(np.float32)


def leaky(samples: Samples, decibels: float, into: str = "both") -> Samples:
    """A recording in which each side is heard on the other one, as through a room, so many dB softer."""
    generator = np.random.default_rng(0)
    tail = np.exp(-np.arange(1920) / 213)
    room = generator.standard_normal(1920) * tail
    room /= np.sqrt(np.square(room).sum())
    result = samples + 3e-4 * generator.standard_normal(samples.shape)
    gain = 10 ** (decibels / 20)
    length = len(samples)
    if into != "right":
        result[:, 0] += gain * np.convolve(samples[:, 1], room)[:length]
    if into != "left":
        result[:, 1] += gain * np.convolve(samples[:, 0], room)[:length]
    return result.astype(np.float32)


def write_call(folder: Path, samples: Samples, transcript_later: float | None = None) -> Path:
    """A recording `call`, and beside it the transcript of `NAME` with times that are later by so many seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "call.flac", samples, RATE)
    if transcript_later is not None:
        reference = json.loads((EXAMPLES / f"{NAME}.reference.json").read_text(encoding="utf-8"))
        lines = []
        for utterance in reference["utterances"]:
            start = utterance["start"] + transcript_later
            end = utterance["end"] + transcript_later
            line = {"channel": utterance["channel"], "start": start, "end": end, "text": utterance["text"]}
            lines.append(json.dumps(line) + "\n")
        (folder / "call.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def segmented(folder: Path) -> dict[str, object]:
    (row,) = folder_rows(FolderConfig(inputs=(str(folder),), language="en"))
    return row | row_after(Segment(), row)


@pytest.mark.parametrize("decibels", [-20, -45])
@pytest.mark.parametrize("side", [1, -1])
def test_leak_tells_by_how_much_sides_are_out_of_step(decibels: int, side: int) -> None:
    samples = leaky(example(NAME), decibels)
    assert shift_by_leak(*to_pcm(samples).T) is None
    for seconds in SHIFTS:
        pcm = to_pcm(late(samples, side * seconds))
        assert shift_by_leak(*pcm.T) == pytest.approx(side * seconds, abs=0.05)


def test_leak_after_its_source_may_be_an_echo_and_one_before_it_is_none() -> None:
    samples = leaky(example(NAME), -30, into="right")  # the left voice is heard on the right side
    assert shift_by_leak(*to_pcm(late(samples, 0.5)).T) is None
    assert shift_by_leak(*to_pcm(late(samples, -0.5)).T) == pytest.approx(-0.5, abs=0.05)
    assert shift_by_leak(*to_pcm(late(samples, 3.0)).T) == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize("name", ["bicycle_repair", "burnt_dinner", "old_friends", "weekend_trip"])
def test_sides_in_step_are_not_shifted(name: str) -> None:
    assert shift_by_leak(*to_pcm(example(name)).T) is None


@pytest.mark.parametrize("seconds", [0.0, 0.3, -0.5, 1.0, -3.0])
def test_transcript_tells_by_how_much_sides_are_out_of_step(seconds: float, tmp_path: Path) -> None:
    row = segmented(write_call(tmp_path / "in", late(example(NAME), seconds), 0.0))
    notes = " ".join(row["notes"])  # type: ignore[arg-type]
    if seconds == 0.0:
        assert row["side_shift"] is None
        assert "step" not in notes
    else:
        side_shift = row["side_shift"]
        assert isinstance(side_shift, dict)
        assert side_shift["seconds"] == pytest.approx(seconds, abs=0.06)
        later = "right" if seconds > 0 else "left"
        assert f"its sides are out of step: the {later} side is" in notes


def test_transcripts_of_a_side_each_tell_nothing(tmp_path: Path) -> None:
    folder = write_call(tmp_path / "in", late(example(NAME), 1.0), 0.0)
    lines = read_lines(folder / "call.jsonl")
    (folder / "call.jsonl").unlink()
    for side in ("left", "right"):
        of_side = [json.dumps(line) + "\n" for line in lines if line["channel"] == side]
        (folder / f"call.{side}.jsonl").write_text("".join(of_side), encoding="utf-8")
    assert segmented(folder)["side_shift"] is None


@pytest.mark.parametrize("clock", ["left", "right", "each"])
@pytest.mark.parametrize("known_by", ["leak", "transcript"])
def test_aligned_sides_and_their_transcript_have_one_clock(clock: str, known_by: str, tmp_path: Path) -> None:
    """The right side is 2 s late; the transcript has the times of the left one, of the right one, or of each."""
    original = example(NAME)
    if known_by == "leak":
        original = leaky(original, -40)
    elif clock == "each":
        pytest.skip("such a transcript tells no shift")
    folder = write_call(tmp_path / "in", late(original, 2.0), 2.0 if clock == "right" else 0.0)
    if clock == "each":
        lines = read_lines(folder / "call.jsonl")
        for line in lines:
            if line["channel"] == "right":
                line["start"] += 2.0
                line["end"] += 2.0
        (folder / "call.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (row,) = folder_rows(FolderConfig(inputs=(str(folder),), language="en", align_sides=True))
    side_shift = row["side_shift"]
    assert side_shift["known_by"] == known_by
    assert side_shift["seconds"] == pytest.approx(2.0, abs=0.06)
    assert side_shift["aligned"]
    n_silent = round(side_shift["seconds"] * RATE)
    heard = read_pcm(row["audio"])
    recorded = to_pcm(late(original, 2.0))
    assert len(heard) == len(recorded) + n_silent
    np.testing.assert_array_equal(heard[n_silent:, 0], recorded[:, 0])
    np.testing.assert_array_equal(heard[: len(recorded), 1], recorded[:, 1])
    assert not heard[:n_silent, 0].any()
    reference = json.loads((EXAMPLES / f"{NAME}.reference.json").read_text(encoding="utf-8"))
    spoken = sorted(reference["utterances"], key=lambda utterance: utterance["start"])
    for cue, utterance in zip(row["cues"], spoken, strict=True):
        assert cue["start"] == pytest.approx(utterance["start"] + 2.0, abs=0.06)
    assert row_after(Segment(), row)["side_shift"] == side_shift


def test_aligned_conversation_is_good_and_its_recording_is_made_again(dailytalk: Command, tmp_path: Path) -> None:
    folder = write_call(tmp_path / "in", late(example(NAME), -1.0), 0.0)
    doubtful = tmp_path / "doubtful"
    work = tmp_path / "work"
    options = (*EMBEDDED, "--asr-model", "none", "--affect-model", "none")
    dailytalk("tag", folder, "--out", doubtful, *options)
    checked = dailytalk("check", doubtful).out
    assert "the sides of 1 of 1 conversation are out of step, such as call: the left side is" in checked
    assert "--align-sides" in checked
    dailytalk("tag", folder, "--align-sides", "--out", work, *options)
    assert "step" not in dailytalk("check", work).out
    lines = read_lines(work / "transcript.jsonl")
    assert lines[0]["side_shift"]["seconds"] == pytest.approx(-1.0, abs=0.06)
    (cached,) = (tmp_path / "cache" / "aligned").rglob("call.flac")
    kept = cached.read_bytes()
    for tagged in (work / "tagged", None):  # with its shards, and as a transcript alone
        cached.unlink()
        rejects: list[Reject] = []
        rows = list(transcribed(work / "transcript.jsonl", tagged, folder, rejects))
        assert len(rows) == 1
        assert not rejects
        assert cached.read_bytes() == kept


def test_hostile_shift_of_a_tagged_row_is_refused() -> None:
    row = {
        "recording_id": "call",
        "audio_file": "call.flac",
        "offset": 0.0,
        "duration": 1.0,
        "sample_rate": RATE,
        "channels": 2,
        "utterance_id": [],
        "channel": [],
        "run": [],
    }
    good = {"seconds": 1.0, "drift_ppm": 30.0, "lacking": [], "known_by": "leak", "aligned": True}
    bad: list[dict[str, object]] = [{"seconds": seconds} for seconds in (1e9, float("nan"), -12.0)]
    bad += [{"drift_ppm": drift} for drift in (1e6, float("nan"))]
    for start, seconds in ((0.0, 1e9), (-1.0, 1.0), (float("nan"), 1.0)):
        bad.append({"lacking": [{"channel": "left", "start": start, "seconds": seconds}]})
    bad.append({"lacking": [{"channel": "mix", "start": 0.0, "seconds": 1.0}]})
    for wrong in bad:
        with pytest.raises(BadInput):
            tagged_row(row | {"side_shift": good | wrong})
    tagged_row(row | {"side_shift": good})


def without_buffers(samples: Samples, share: float) -> Samples:
    """A recording whose right side has lost this share of its buffers of 20 ms, and is silent at its end."""
    buffers = samples[: len(samples) // 320 * 320, 1].reshape(-1, 320)
    kept = buffers[np.random.default_rng(3).random(len(buffers)) >= share].ravel()
    result = samples.copy()
    result[:, 1] = 0
    result[: len(kept), 1] = kept
    return result


def write_timed_call(folder: Path, samples: Samples) -> Path:
    """A recording `call`, and beside it the transcript of `NAME` with the times of its words."""
    folder.mkdir(parents=True)
    soundfile.write(folder / "call.flac", samples, RATE)
    reference = json.loads((EXAMPLES / f"{NAME}.reference.json").read_text(encoding="utf-8"))
    fields = ("channel", "start", "end", "text", "words")
    lines = [{field: utterance[field] for field in fields} for utterance in reference["utterances"]]
    (folder / "call.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def aligned(folder: Path) -> dict[str, Any]:
    (row,) = folder_rows(FolderConfig(inputs=(str(folder),), language="en", align_sides=True))
    return row


def lateness(sound: Samples, original: Samples, second: float) -> float:
    """Seconds by which a side is later than it was, about a moment of the original."""
    first = round(second * RATE)
    piece = original[first : first + RATE]
    around = sound[first - 8000 : first + RATE + 8000]
    return float(np.correlate(around, piece, "valid").argmax() - 8000) / RATE


@pytest.mark.parametrize("known_by", ["transcript", "leak"])
def test_a_drift_is_mended_to_the_clock_of_the_right_side(known_by: str, tmp_path: Path) -> None:
    ppm = 2000.0
    original = example(NAME)
    if known_by == "transcript":
        folder = write_timed_call(tmp_path / "in", stretched(original, ppm))
    else:
        folder = write_call(tmp_path / "in", stretched(leaky(original, -25, into="right"), ppm))
    row = aligned(folder)
    side_shift = row["side_shift"]
    assert side_shift["known_by"] == known_by
    assert side_shift["aligned"]
    assert side_shift["drift_ppm"] == pytest.approx(ppm, abs=400)
    recorded, _ = soundfile.read(folder / "call.flac", dtype="int16")
    heard = read_pcm(row["audio"])
    np.testing.assert_array_equal(heard[: len(recorded), 1], recorded[: len(heard), 1])
    for second in (10.0, 55.0):
        late_by = lateness(pcm_to_float(heard[:, 0]), original[:, 0], second)
        assert late_by == pytest.approx(ppm / 1e6 * second, abs=0.03)
    for cue in row["cues"][-2:]:
        assert cue["end"] == pytest.approx((1 + ppm / 1e6) * unstretched_end(cue), abs=0.05)


def test_transcripts_of_a_side_each_follow_the_clock_of_the_side(tmp_path: Path) -> None:
    """A drift that a leak tells: the left side, and with it the transcript on its clock, is resampled."""
    ppm = 2000.0
    sound = stretched(leaky(example(NAME), -25, into="right"), ppm)
    folder = write_call(tmp_path / "in", sound, 0.0)
    lines = read_lines(folder / "call.jsonl")
    (folder / "call.jsonl").unlink()
    for side, rate in (("left", 1.0), ("right", 1 + ppm / 1e6)):
        of_side = []
        for line in lines:
            if line["channel"] == side:
                on_clock = {**line, "start": rate * line["start"], "end": rate * line["end"]}
                of_side.append(json.dumps(on_clock) + "\n")
        (folder / f"call.{side}.jsonl").write_text("".join(of_side), encoding="utf-8")
    row = aligned(folder)
    assert row["side_shift"]["known_by"] == "leak"
    assert {cue["channel"] for cue in row["cues"]} == {"left", "right"}
    for cue in row["cues"]:
        assert cue["end"] == pytest.approx((1 + ppm / 1e6) * unstretched_end(cue), abs=0.05)


def unstretched_end(cue: dict[str, Any]) -> float:
    """When a line of `NAME` ends as it was made."""
    reference = json.loads((EXAMPLES / f"{NAME}.reference.json").read_text(encoding="utf-8"))
    (end,) = {line["end"] for line in reference["utterances"] if line["text"] == cue["text"]}
    return float(end)


def test_silence_takes_the_place_of_buffers_that_a_side_has_lost(tmp_path: Path) -> None:
    original = example(NAME)
    folder = write_timed_call(tmp_path / "in", without_buffers(original, 0.05))
    row = aligned(folder)
    side_shift = row["side_shift"]
    assert {piece["channel"] for piece in side_shift["lacking"]} == {"right"}
    lacking = sum(piece["seconds"] for piece in side_shift["lacking"])
    assert lacking == pytest.approx(0.05 * len(original) / RATE, abs=0.5)
    unmended = segmented(folder)
    assert "the right side lacks" in " ".join(unmended["notes"])  # type: ignore[arg-type]
    spans = row_after(Segment(), row)
    starts = {"left": [], "right": []}
    for channel, start in zip(spans["channel"], spans["start"], strict=True):
        starts[channel].append(start)
    expected = segmented(write_call(tmp_path / "whole", original))
    errors = []
    for channel, start in zip(expected["channel"], expected["start"], strict=True):  # type: ignore[call-overload]
        errors.append(min(abs(start - other) for other in starts[channel]))
    assert np.percentile(errors, 90) < 0.15


@pytest.mark.parametrize(
    ("clock", "problem"),
    [
        (lambda time: time + 0.7 * (time // 20), "its clock runs 3"),
        (lambda time: time + (3.0 if time >= 40 else 0.0), "it is 3.0 s late from 4"),
        (lambda time: time * 25 / 23.976, "its clock runs 4.2 % fast"),
        (lambda time: time * 24 / 25, "its clock runs 4 % slow"),
    ],
    ids=["chunks", "pause", "25 pictures a second", "24 of 25"],
)
def test_clock_of_a_transcript_is_not_taken_for_that_of_the_sound(
    clock: Callable[[float], float], problem: str, tmp_path: Path
) -> None:
    folder = write_timed_call(tmp_path / "in", example(NAME))
    lines = read_lines(folder / "call.jsonl")
    for line in lines:
        for item in (line, *line["words"]):
            item["start"] = clock(item["start"])
            item["end"] = clock(item["end"])
    (folder / "call.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    row = aligned(folder)
    recorded, _ = soundfile.read(folder / "call.flac", dtype="int16")
    np.testing.assert_array_equal(read_pcm(row["audio"]), recorded)
    row = segmented(folder)
    assert row["side_shift"] is None
    matched = row_after(MatchTranscript(), row)
    assert matched["transcript_repair"] == "not used"
    (reject,) = matched["unmatched"]
    assert problem in reject["reason"]


@pytest.mark.parametrize("late", [0.0, 0.4])
def test_sides_in_step_and_echoes_are_left_as_they_are_and_a_note_says_why(late: float, tmp_path: Path) -> None:
    samples = example(NAME)
    if late:
        n_late = round(late * RATE)
        samples = samples.copy()
        samples[n_late:, 1] += 0.1 * samples[:-n_late, 0].copy()
    timed = aligned(write_timed_call(tmp_path / "timed", samples))
    assert not timed["side_shift"]["aligned"]
    known_by = "a voice that is heard on both sides" if late else "the times of its transcript"
    note = f"its sides were left as they are: they are in step, by {known_by}"
    assert note in row_after(Segment(), timed)["notes"]
    untold = aligned(write_call(tmp_path / "untold", samples))
    assert not untold["side_shift"]["aligned"]
    if not late:
        assert "neither a leak nor a transcript" in " ".join(row_after(Segment(), untold)["notes"])
    recorded, _ = soundfile.read(tmp_path / "untold/call.flac", dtype="int16")
    np.testing.assert_array_equal(read_pcm(untold["audio"]), recorded)


def test_a_side_without_its_pauses_is_named_and_its_transcript_is_not_blamed(
    dailytalk: Command, tmp_path: Path
) -> None:
    samples = example(NAME)
    reference = json.loads((EXAMPLES / f"{NAME}.reference.json").read_text(encoding="utf-8"))
    is_kept = np.zeros(len(samples), bool)
    for line in reference["utterances"]:
        if line["channel"] == "right":
            is_kept[round((line["start"] - 0.5) * RATE) : round((line["end"] + 0.5) * RATE)] = True
    collapsed = samples.copy()
    collapsed[:, 1] = 0
    collapsed[: is_kept.sum(), 1] = samples[is_kept, 1]
    folder = write_timed_call(tmp_path / "in", collapsed)
    options = (*EMBEDDED, "--asr-model", "none", "--affect-model", "none")
    dailytalk("tag", folder, "--out", tmp_path / "work", *options)
    checked = dailytalk("check", tmp_path / "work").out
    assert "the right side lacks" in checked
    rejects = (tmp_path / "work/rejects.jsonl").read_text(encoding="utf-8")
    assert "does not match this sound" not in rejects
    lacking = aligned(folder)["side_shift"]["lacking"]
    assert sum(piece["seconds"] for piece in lacking) == pytest.approx((~is_kept).sum() / RATE, abs=2.0)


def test_mended_recording_is_made_again_from_what_its_rows_say(dailytalk: Command, tmp_path: Path) -> None:
    folder = write_timed_call(tmp_path / "in", without_buffers(example(NAME), 0.05))
    options = (*EMBEDDED, "--asr-model", "none", "--affect-model", "none")
    work = tmp_path / "work"
    dailytalk("tag", folder, "--align-sides", "--out", work, *options)
    (cached,) = (tmp_path / "cache" / "aligned").rglob("call.flac")
    kept = cached.read_bytes()
    for tagged in (work / "tagged", None):
        cached.unlink()
        rejects: list[Reject] = []
        (row,) = transcribed(work / "transcript.jsonl", tagged, folder, rejects)
        assert not rejects
        assert cached.read_bytes() == kept
        assert row["audio"]["path"].endswith("call.flac")


def test_words_without_length_or_all_at_once_tell_nothing() -> None:
    left = to_pcm(example(NAME)[:, 0])
    assert word_fit([(number / 2, number / 2) for number in range(60)], left) is None
    assert word_fit([(2.0, 2.5)] * 60, left) is None
