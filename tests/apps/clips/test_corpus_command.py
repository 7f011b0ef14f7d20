import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from audio_files import wav_bytes
from clips import RATE, line
from command import Command
from corpus_trees import put
from huggingface_hub import constants
from recordings import read_lines
from spoken_corpora import crema_d, rows_of, run, spoken

from dailytalk_contiguous.apps.clips.clip_run import OPTIONS
from dailytalk_contiguous.apps.clips.corpora import registry
from dailytalk_contiguous.models import checkpoints

PLAIN = ("--profile", "embedded", "--asr-model", "none")

#: Shards of a few clips.
SMALL = ("--shard-minutes", "0.1")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus") / "in"
    return crema_d(root, actors=(1001, 1002, 1003))


@pytest.fixture(scope="module")
def alone(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one worker makes of it, with copies, in shards of a few clips."""
    out = tmp_path_factory.mktemp("alone") / "out"
    options = replace(OPTIONS, shard_seconds=6.0)
    run(source, out, options=options, augment=("noise",))
    return out


def record_of(out: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((out / "run.json").read_text("utf-8"))
    return record


def test_hosts_share_a_corpus_and_whoever_comes_last_finishes_it(
    source: Path, alone: Path, tmp_path: Path, dailytalk: Command
) -> None:
    corpus = ("corpus", "crema_d", source, *PLAIN, "--augment", "noise")
    out = tmp_path / "two"
    shared = (*corpus, *SMALL, "--out", out, "--shard")
    done = dailytalk(*shared, "1/2")
    assert done.code == 0
    assert "still missing" in done.out
    assert not (out / "run.json").exists()
    for share in ("2/2", "1/2", "2/2"):  # what the first measured, and then their shares of the clips
        done = dailytalk(*shared, share)
    assert done.code == 0
    assert "still missing" not in done.out
    assert rows_of(alone) == rows_of(out)


def test_dry_run_of_a_corpus_says_what_is_left_and_writes_nothing(
    source: Path, tmp_path: Path, dailytalk: Command
) -> None:
    out = tmp_path / "out"
    arguments = ("corpus", "crema_d", source, *PLAIN, *SMALL, "--out", out)
    done = dailytalk(*arguments, "--dry-run")
    assert done.code == 0
    assert done.out.splitlines()[0].startswith("9 clips, ")
    assert "MeasureQuality" in done.out
    assert not out.exists()
    dailytalk(*arguments)
    left = json.loads(dailytalk(*arguments, "--dry-run", "--json").out)
    assert left["clips"] == 9
    assert left["shards"]["to_make"] == 0
    assert left["stages"] == []


def test_corpus_without_texts_keeps_clips_with_all_that_needs_no_text(tmp_path: Path, dailytalk: Command) -> None:
    names = [f"{speaker}_{name}.wav" for speaker in ("DC", "JE") for name in ("a01", "h01", "n01", "n02")]
    files = {name: spoken(number % 3) for number, name in enumerate(names)}
    source = put(tmp_path / "in", files)
    work = tmp_path / "work"
    options = ("--augment", "noise", "--emotion", "voice-linear")
    done = dailytalk("corpus", "savee", source, "--out", work, *PLAIN, *options)
    assert done.code == 0, done.err
    assert "8 clips without text: enough for emotion" in done.out
    rows = [row for row in rows_of(work).values() if row["labels"]["augmented_from"] is None]
    expected = [f"savee/{Path(name).stem}" for name in names]
    assert sorted(row["conversation_id"] for row in rows) == sorted(expected)
    for row in rows:
        (utterance,) = row["utterances"]
        assert utterance["text"] is None
        assert row["alignments"] == []
        assert utterance["speech_rate"] is None
        assert utterance["f0_mean"] > 50
        assert utterance["emotion_class"] is not None
    path = next((work / "data/data_stereo").glob("savee-DC_a01-*.json"))
    annotation = json.loads(path.read_text())
    assert annotation["alignments"] == []
    assert annotation["emotion"] == "angry"


def test_a_corpus_whose_texts_are_all_given_needs_no_recogniser(
    source: Path, tmp_path: Path, dailytalk: Command
) -> None:
    """Unless a profile or a recogniser is named: then it helps the aligner."""
    command = ("corpus", "crema_d", source, "--affect-model", "none", "--out")
    out = tmp_path / "out"
    done = dailytalk(*command, out)
    assert done.code == 0
    assert done.err.count("to be downloaded") == 0
    record = record_of(out)
    assert "recogniser" not in record["models"]
    assert record["counts"]["by_word_source"]
    named = tmp_path / "named"
    assert dailytalk(*command, named, "--profile", "embedded").code == 0
    assert record_of(named)["models"]["recogniser"]["name"] == "base"


def test_an_own_corpus_with_texts_in_its_names_needs_no_recogniser(
    tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "CORPORA", {**registry.CORPORA})  # one of another test has no place in it
    diary = tmp_path / "own.py"
    diary.write_text(
        "from dailytalk_contiguous.apps.clips.corpora.corpus import About, Corpus\n"
        'ABOUT = About("Diary", "A diary", "https://example.org", "CC0-1.0", "Author (2026)")\n'
        'TEXTS = {"1": {"text": "Wo ist das?"}, "2": {"text": "Where should we go?"}}\n'
        'CORPUS = Corpus("diary", ABOUT, r"(?P<who>\\w+)-(?P<line>\\d)", "ann-1.wav", {"line": TEXTS},\n'
        '    columns={"speaker": "diary/{who}"})\n'
    )
    files = {f"{who}-{line}.wav": spoken(line) for who in ("ann", "bob") for line in (1, 2)}
    source = put(tmp_path / "in", files)
    out = tmp_path / "out"
    command = ("corpus", diary, source, "--affect-model", "none", "--out", out)
    done = dailytalk(*command)
    assert done.code == 0
    assert done.err.count("to be downloaded") == 0
    assert "share the voiced time of their clip" in done.out  # it names no language
    assert "to time them, pass --asr-model base, which is here\n" in done.out
    monkeypatch.setattr(checkpoints, "WHEELS", {})
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    done = dailytalk(*command)
    assert "to time them, pass --asr-model medium, which is downloaded once\n" in done.out
    texts = {row["utterances"][0]["text"] for row in rows_of(out).values()}
    assert texts == {"Wo ist das?", "Where should we go?"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("tess2",), "the corpus can't be 'tess2': give clips"),
        (("crema_d", "--copies", "2"), "--copies needs --augment"),
        (("ravdess", "--agreed-only"), "ravdess has no votes of raters"),
        (("crema_d", "--agreed-only"), "crema_d has no votes of raters"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    source: Path, tmp_path: Path, dailytalk: Command, arguments: tuple[str, ...], sentence: str
) -> None:
    name, *options = arguments
    common = ("--out", tmp_path / "out", "--profile", "embedded")
    done = dailytalk("corpus", name, source, *common, *options)
    assert done.code in (1, 2)
    assert done.err.count("\n") == 1
    assert sentence in done.err


def noisy(source: Path, root: Path) -> Path:
    """The clips of a corpus; of those by actor 1001 speech is about 15 dB over the noise."""
    root = shutil.copytree(source, root)
    for path in root.rglob("1001_*.wav"):
        samples, rate = soundfile.read(path, dtype="float32")
        rng = np.random.default_rng(1)
        level = np.sqrt(np.mean(samples**2) / 20)
        noise = rng.standard_normal(len(samples)) * level
        soundfile.write(path, samples + noise, rate)
    return root


def flawed(root: Path) -> Path:
    """Clips by an actor each: a good one, and one that is clipped, interrupted, and from a telephone."""
    good = line(edge=0.5)[: 3 * RATE]
    limit = 0.3 * np.abs(good).max()
    clipped = np.clip(good, -limit, limit)
    middle = len(good) // 2
    gap = np.zeros(2 * RATE, np.float32)
    interrupted = np.concatenate((good[:middle], gap, good[middle:]))
    narrow = soxr.resample(good, RATE, 7000)
    telephone = soxr.resample(narrow, 7000, RATE)
    sounds = {"1001": good, "1002": clipped, "1003": interrupted, "1004": telephone}
    files = {f"AudioWAV/{actor}_DFA_NEU_XX.wav": wav_bytes(sound, RATE) for actor, sound in sounds.items()}
    return put(root, files)


@pytest.mark.parametrize(
    ("limits", "rejected"),
    [
        ((), ["1002", "1003", "1004"]),
        (("--max-clipping", "inf"), ["1003", "1004"]),
        (("--min-bandwidth", "3000"), ["1002", "1003"]),
    ],
)
def test_limit_of_quality_decides_which_clips_stay(
    tmp_path: Path, dailytalk: Command, limits: tuple[str, ...], rejected: list[str]
) -> None:
    source = flawed(tmp_path / "in")
    out = tmp_path / "out"
    options = (*PLAIN, "--min-snr=-inf", *limits)
    done = dailytalk("corpus", "crema_d", source, "--out", out, *options)
    assert done.code == 3, done.err  # some were rejected
    names = [reject["id"] for reject in read_lines(out / "rejects.jsonl")]
    assert [re.findall(r"\d{4}", name)[0] for name in names] == rejected


@pytest.mark.needs("noisereduce")
def test_noise_is_reduced_where_the_recording_needs_it(source: Path, tmp_path: Path, dailytalk: Command) -> None:
    out = tmp_path / "out"
    options = ("--out", out, *PLAIN, "--reduce-noise-under", "20")
    done = dailytalk("corpus", "crema_d", noisy(source, tmp_path / "in"), *options)
    assert done.code == 0
    for name, row in rows_of(out).items():
        labels = row["labels"]
        reduced = labels["conditioning"]["noise_reduced_db"] is not None
        assert reduced == ("/1001_" in name)
        if reduced:
            assert 10 < labels["quality"]["snr_db"] < 20  # of the recording as it came
    record = record_of(out)
    assert record["settings"]["reduce_noise_under"] == 20
    assert record["models"]["noise_reduction"]["licence"] == "MIT"
    assert "noise reduced in 3 clips\n" in done.out


@pytest.mark.needs("no noisereduce")
def test_without_the_library_noise_reduction_says_what_to_install(
    source: Path, tmp_path: Path, dailytalk: Command
) -> None:
    out = tmp_path / "out"
    options = ("--out", out, *PLAIN, "--reduce-noise-under", "20")
    done = dailytalk("corpus", "crema_d", source, *options)
    assert done.code == 1
    assert "pip install '.[denoise]'" in done.err
    assert not (out / "measured").exists()


def test_file_whose_float_samples_are_integers_is_named(tmp_path: Path, dailytalk: Command) -> None:
    source = crema_d(tmp_path / "in", actors=(1001, 1002), emotions=("ANG", "NEU"))
    loud = source / "AudioWAV/1001_DFA_ANG_XX.wav"
    samples, rate = soundfile.read(loud)
    soundfile.write(loud, 32768.0 * samples, rate, "FLOAT")
    done = dailytalk("corpus", "crema_d", source, "--out", tmp_path / "out", *PLAIN)
    assert done.code == 0, done.err
    note = 'note: "AudioWAV/1001_DFA_ANG_XX.wav": its float samples are integers, and were divided by 32,768\n'
    notes = [line for line in done.err.splitlines(keepends=True) if "integers" in line]
    assert notes == [note]


def test_balance_says_how_many_minutes_all_emotions_can_have_and_which_sets_them(
    source: Path, tmp_path: Path, dailytalk: Command
) -> None:
    done = dailytalk("corpus", "crema_d", source, *PLAIN, "--balance", "--out", tmp_path / "out")
    assert done.code == 0
    balance = record_of(tmp_path / "out")["balance"]
    least = min(balance["minutes_before"], key=balance["minutes_before"].__getitem__)
    assert balance["target_minutes"] == pytest.approx(4 * balance["minutes_before"][least], abs=0.003)
    words = f"{balance['target_minutes']:.1f} minutes of each emotion: {least} has no more, with each clip 4 times"
    assert f"{words}; --target-minutes asks for more" in done.out + done.err
    assert "not balanced" not in done.out + done.err
