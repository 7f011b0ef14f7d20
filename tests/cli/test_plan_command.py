import json
import tempfile
from pathlib import Path

import pytest
from audio_files import tones
from command import EMBEDDED, Command
from hypothesis import given
from hypothesis import strategies as st
from recordings import excerpt, save, state
from spoken_corpora import crema_d

from dailytalk_contiguous.pipelines import tag_stages
from dailytalk_contiguous.run.estimate import Measured, Range, estimate_run, extrapolate, sample, sample_clips
from dailytalk_contiguous.run.tagging import FoundRecordings, find
from dailytalk_contiguous.shards import compress_row


@pytest.fixture
def dailytalk(dailytalk: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    for name in ("FISH_API_KEY", "FISH_AUDIO_REFERENCE_ID"):
        monkeypatch.delenv(name, raising=False)
    return dailytalk


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for name in ("weekend_trip", "burnt_dinner"):
        save(tmp_path / f"in/{name}.flac", excerpt(name, seconds=20))
    return tmp_path / "in"


# The command


def test_plan_runs_a_sample_and_leaves_nothing(
    tmp_path: Path, dailytalk: Command, corpus: Path, tiny_whisper: str
) -> None:
    quick = (*EMBEDDED, "--asr-model", tiny_whisper)
    before = state(tmp_path)
    done = dailytalk("plan", corpus, *quick, "--speak", "--sample-minutes", "0.2", "--json")
    assert (done.code, state(tmp_path)) == (0, before)
    told = json.loads(done.out)
    assert (told["conversations"], told["sample_pieces"]) == (2, 3)
    assert told["audio_hours"] == pytest.approx(40 / 3600, rel=0.01)
    assert told["sample_seconds"] == pytest.approx(12, rel=0.01)
    assert {"Transcribe", "Speak", "Reconstruct"} <= set(told["stages"])
    for name in ("tag_seconds", "speak_seconds", "tagged_bytes", "dataset_bytes", "wav_bytes"):
        value = told["quantities"][name]
        assert 0 < value["low"] <= value["expected"] <= value["high"]
    assert told["quantities"]["usd"]["high"] == 0


def test_little_material_is_sampled_little_and_each_piece_is_told(
    tmp_path: Path, dailytalk: Command, tiny_whisper: str
) -> None:
    save(tmp_path / "in/weekend_trip.flac", excerpt("weekend_trip", seconds=70))
    done = dailytalk("plan", tmp_path / "in", *EMBEDDED, "--asr-model", tiny_whisper, "--json")
    told = json.loads(done.out)
    assert (told["sample_pieces"], told["sample_seconds"]) == (3, pytest.approx(30, rel=0.01))
    assert done.err.splitlines() == [
        "loading the models, then running 3 pieces of the input",
        *(f"running piece {place} of 3" for place in (1, 2, 3)),
    ]


def test_paid_speech_is_priced_without_a_token_and_not_bought(
    dailytalk: Command, corpus: Path, tiny_whisper: str
) -> None:
    quick = (*EMBEDDED, "--asr-model", tiny_whisper)
    done = dailytalk("plan", corpus, *quick, "--speak", "--tts", "fish", "--sample-minutes", "0.2")
    assert done.code == 0
    assert "40 s of audio in 2 conversations" in done.out
    assert "priced, not run" in done.out
    assert "speak would not begin: Fish Audio needs a token, and may say every line in another voice" in done.out
    for heading in ("money", "dataset/ (FLAC)", "time of tag --workers 1", "Transcribe, one process"):
        assert heading in done.out


def test_what_can_not_be_planned_is_one_sentence(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/mono.wav", tones(1, channels=1))
    done = dailytalk("plan", tmp_path / "in", *EMBEDDED)
    assert (done.code, done.err.count("\n")) == (1, 2)
    assert "one channel" in done.err.splitlines()[0]
    assert "none of the recordings can be used" in done.err


def test_options_of_a_run_that_a_plan_has_no_use_for_are_refused(tmp_path: Path, dailytalk: Command) -> None:
    for option in ("--out", "--max-cost", "--prune"):
        assert dailytalk("plan", tmp_path, option, "1").code == 2


# The sample


def rows(*durations: float) -> list[dict[str, object]]:
    return [
        {"conversation_id": f"c{place}", "offset": 5.0, "duration": duration, "given": []}
        for place, duration in enumerate(durations)
    ]


@given(st.lists(st.floats(0.5, 5000), min_size=1, max_size=30), st.floats(5, 600), st.integers(0, 9))
def test_pieces_lie_inside_their_conversations_and_are_the_same_again(
    durations: list[float], seconds: float, seed: int
) -> None:
    corpus = rows(*durations)
    pieces = sample(corpus, seconds, seed)
    assert pieces
    assert pieces == sample(corpus, seconds, seed)
    assert len({piece["conversation_id"] for piece in pieces}) == len(pieces)
    for piece in pieces:
        whole = durations[int(piece["conversation_id"].split(".")[0][1:])]
        assert piece["offset"] >= 5.0
        assert piece["offset"] + piece["duration"] <= 5.0 + whole + 1e-6


@given(st.integers(0, 50))
def test_long_corpus_gives_the_minutes_that_were_asked_for_from_all_over_it(seed: int) -> None:
    pieces = sample(rows(*[900.0] * 40), 180.0, seed)
    assert [piece["duration"] for piece in pieces] == [60.0] * 3
    places = [int(piece["conversation_id"].split(".")[0][1:]) for piece in pieces]
    assert [place * 3 // 40 for place in places] == pytest.approx([0, 1, 2], abs=1)
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("durations", "seconds", "seed", "pieces"),
    [
        ((100.0, 20.0, 900.0), 180.0, 1, [(0, 15.684, 60.0), (2, 478.127, 60.0), (2, 789.683, 60.0)]),
        ((4.0,), 30.0, 0, [(0, 0.459, 1.333), (0, 1.677, 1.333), (0, 2.561, 1.333)]),
        ((7.0, 2.5, 9.0, 1.0, 3.0), 12.0, 3, [(0, 0.0, 4.0), (2, 0.082, 4.0), (2, 5.0, 4.0)]),
        ((1000.0, 1000.0), 90.0, 2, [(0, 622.356, 30.0), (1, 283.552, 30.0), (1, 356.034, 30.0)]),
    ],
)
def test_pieces_of_a_seed_are_these_in_every_version(
    durations: tuple[float, ...], seconds: float, seed: int, pieces: list[tuple[int, float, float]]
) -> None:
    found = sample(rows(*durations), seconds, seed)
    assert [piece["conversation_id"] for piece in found] == [
        f"c{place}.{round(1000 * start)}" for place, start, _ in pieces
    ]
    for piece, (_, start, length) in zip(found, pieces, strict=True):
        assert (piece["offset"] - 5.0, piece["duration"]) == (
            pytest.approx(start, abs=0.0006),
            pytest.approx(length, abs=0.0006),
        )


def test_words_that_people_transcribed_come_with_their_piece() -> None:
    (row,) = rows(100.0)
    row["given"] = [{"channel": "left", "start": s, "end": s + 1.0, "text": "x", "words": []} for s in range(100)]
    for piece in sample([row], 30.0, 1):
        assert len(piece["given"]) == pytest.approx(10, abs=1)
        assert 0 <= piece["given"][0]["start"] <= 1
    assert sample([compress_row(row, ("conversation_id", "duration"))], 30.0, 1) == sample([row], 30.0, 1)


def test_models_are_loaded_with_the_shortest_piece_and_all_that_is_measured_is_of_the_pieces(
    tmp_path: Path, tiny_whisper: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))
    for name, seconds in (("a", 5.0), ("b", 0.7)):
        save(tmp_path / f"in/{name}.wav", excerpt(seconds=seconds))
    told: list[tuple[int, int]] = []
    stages = tag_stages(profile="embedded", language="en", asr_model=tiny_whisper)
    found = find([str(tmp_path / "in")], tmp_path / "out")
    made = estimate_run(found, tmp_path, stages, seed=1, on_piece=lambda *piece: told.append(piece))
    runs = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("*/run.json")}
    lengths = {name: run["hours"]["audio"] for name, run in runs.items()}
    warm = lengths.pop("warm")
    assert warm == min(lengths.values()) < max(lengths.values())
    assert told == [(place, len(lengths)) for place in range(len(lengths) + 1)]
    assert (made.sample_pieces, made.loading_seconds >= 0.0) == (len(lengths), True)
    assert made.sample_seconds == pytest.approx(3600 * sum(lengths.values()), abs=0.1)
    files = [*tmp_path.glob("[0-9]*/tagged/*.parquet"), *tmp_path.glob("[0-9]*/transcript.jsonl")]
    written = sum(path.stat().st_size for path in files)
    share = made.sample_seconds / sum(row["duration"] for row in found.rows)
    assert made.quantities["tagged_bytes"].expected == pytest.approx(written / share)


def test_whole_is_the_sample_times_its_share_with_the_range_of_the_pieces() -> None:
    measured = [
        Measured(10.0, {"tag_seconds": 1.0, "speak_seconds": 0.5}, {"Segment": 1.0}),
        Measured(30.0, {"tag_seconds": 6.0, "speak_seconds": 3.0}, {}),
    ]
    told = extrapolate(FoundRecordings([rows(400.0)], []), measured, 1, 2.5)
    assert told.quantities["tag_seconds"] == Range(pytest.approx(40), pytest.approx(70), pytest.approx(80))
    assert told.quantities["speak_seconds"] == Range(pytest.approx(20), pytest.approx(35), pytest.approx(40))
    assert told.stages["Segment"] == Range(0, pytest.approx(10), pytest.approx(40))
    assert told.loading_seconds == 2.5


# Clips


def test_plan_of_a_corpus_runs_some_of_its_clips_and_leaves_nothing(tmp_path: Path, dailytalk: Command) -> None:
    source = crema_d(tmp_path / "in", actors=(1001, 1002, 1003))
    before = state(tmp_path)
    command = ("plan", source, "--corpus", "crema_d", "--profile", "embedded", "--asr-model", "none")
    done = dailytalk(*command, "--augment", "noise", "--sample-minutes", "0.1", "--json")
    assert (done.code, state(tmp_path)) == (0, before)
    told = json.loads(done.out)
    assert (told["unit"], told["conversations"], told["sample_pieces"], told["rejected"]) == ("clip", 9, 3, 0)
    assert 6 <= told["sample_seconds"] <= 3600 * told["audio_hours"]
    assert {"MeasureQuality", "Condition", "Augment"} <= set(told["stages"])
    for name in ("corpus_seconds", "measured_bytes", "clips_bytes", "data_bytes"):
        value = told["quantities"][name]
        assert 0 < value["low"] <= value["expected"] <= value["high"]
    shown = dailytalk(*command, "--sample-minutes", "0.1").out
    assert " of audio in 9 clips\n" in shown
    assert "time of corpus --workers 1" in shown
    assert "data/ (WAV)" in shown


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--corpus", "crema_d", "--speak"), "--speak is for conversations, not for --corpus"),
        (("--corpus", "crema_d", "--language", "en"), "--language is for conversations, not for --corpus"),
        (("--corpus", "crema_d", "--timeline", "anchor"), "--timeline is for conversations, not for --corpus"),
        (
            ("--corpus", "crema_d", "--max-conversation", "1h"),
            "--max-conversation is for conversations, not for --corpus",
        ),
        (("--corpus", "crema_d", "--verify"), "--verify is for conversations, not for --corpus"),
        (("--corpus", "iemocap"), "there is no corpus 'iemocap' of clips"),
        (("--augment", "noise"), "--augment is for clips"),
        (("--timeline", "anchor"), "--timeline is for speak: add --speak, or leave it out"),
        (("--verify",), "--verify is for speak: add --speak, or leave it out"),
    ],
)
def test_plan_refuses_options_of_the_other_kind(
    options: tuple[str, ...], sentence: str, tmp_path: Path, dailytalk: Command
) -> None:
    done = dailytalk("plan", tmp_path, "--profile", "embedded", *options)
    assert (done.code, done.err.count("\n"), sentence in done.err) == (1, 1, True)


def test_plan_of_an_empty_corpus_says_so(tmp_path: Path, dailytalk: Command) -> None:
    (tmp_path / "in/AudioWAV").mkdir(parents=True)
    done = dailytalk("plan", tmp_path / "in", "--corpus", "crema_d", "--profile", "embedded")
    assert (done.code, done.err.count("\n")) == (1, 1)


@given(st.lists(st.floats(0.2, 20.0), min_size=1, max_size=40), st.floats(1.0, 300.0), st.integers(0, 9))
def test_sample_of_clips_is_drawn_once_each_and_as_long_as_asked_for(
    lengths: list[float], seconds: float, seed: int
) -> None:
    rows = [{"id": number, "duration": length} for number, length in enumerate(lengths)]
    pieces = sample_clips(rows, seconds, seed)
    drawn = [row["id"] for piece in pieces for row in piece]
    assert len(drawn) == len(set(drawn)) > 0
    assert all(pieces)
    total = sum(lengths[number] for number in drawn)
    assert total >= min(seconds, sum(lengths)) - 1e-9
    # Without its last clip it is too short, or has too few pieces.
    assert total - max(lengths[number] for number in drawn) < seconds or len(drawn) <= len(pieces)
    assert sample_clips(rows, seconds, seed) == pieces
