import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.word_times import Word
from dailytalk_contiguous.models import speech_cache
from dailytalk_contiguous.models.contracts import Line, Spoken, VoiceSample
from dailytalk_contiguous.models.speech_cache import SpeechCache, cache_key, default_folder

KEY = "ab" + "0" * 62
SPOKEN = Spoken(
    (np.arange(-800, 800) * 20 / 32768).astype(np.float32), 24000, [Word("Hi.", 0.01, 0.06, 1.0)], 0.002
)
LINE = Line("Hello.", "happy", "en", 0)


class Voice:
    """A synthesiser with settings that can be changed."""

    deterministic, concurrency = False, 1

    def __init__(self, engine: str = "e", model: str = "m", voice: str = "v", **settings: object) -> None:
        self.engine, self.model, self.voice, self._settings = engine, model, voice, settings

    def settings(self) -> dict[str, object]:
        return self._settings

    def price(self, lines: Sequence[Line]) -> float:
        return 0.0

    def preflight(self) -> None:
        pass

    def speak(self, line: Line, samples: Sequence[VoiceSample] = ()) -> Spoken:
        raise NotImplementedError


def run(script: str, folder: Path) -> subprocess.Popen[str]:
    """A process with a cache in `folder`."""
    begin = f"""
import numpy as np, os, sys, time
from pathlib import Path
from dailytalk_contiguous.models.speech_cache import SpeechCache
from dailytalk_contiguous.models.contracts import Spoken
cache, key = SpeechCache(Path({str(folder)!r})), {KEY!r}
spoken = Spoken(np.full(4000, 0.25, np.float32), 24000, None, 0.01)
"""
    return subprocess.Popen(
        [sys.executable, "-c", begin + script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_was_put_comes_back_exactly(tmp_path: Path) -> None:
    cache = SpeechCache(tmp_path)
    assert cache.get(KEY) is None
    put = cache.put(KEY, SPOKEN, {"response_id": "r-1"})
    entry = SpeechCache(tmp_path).get(KEY)
    assert entry is not None
    assert np.array_equal(entry.spoken.samples, SPOKEN.samples)
    assert np.array_equal(put.spoken.samples, SPOKEN.samples)
    assert entry.spoken[1:] == put.spoken[1:] == SPOKEN[1:]
    assert entry.receipt["response_id"] == "r-1"
    assert entry.receipt["cost"] == 0.002
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", entry.receipt["time"])
    assert entry.verdict is None
    assert sorted(path.name for path in (tmp_path / "ab").iterdir()) == [f"{KEY}.flac", f"{KEY}.json"]


def test_sound_is_kept_in_16_bits_where_that_loses_nothing() -> None:
    kinds = [
        speech_cache.soundfile.info(io.BytesIO(speech_cache._encoded(samples, 24000)[0])).subtype
        for samples in (SPOKEN.samples, SPOKEN.samples + np.float32(1e-6), np.array([1.0], np.float32))
    ]
    assert kinds == ["PCM_16", "PCM_24", "PCM_24"]


def test_put_gives_the_samples_that_will_be_read(tmp_path: Path) -> None:
    fine = np.array([0.1, 1e-7, -1.5, 1.5], np.float32)  # no file holds these as they are
    put = SpeechCache(tmp_path).put(KEY, SPOKEN._replace(samples=fine))
    entry = SpeechCache(tmp_path).get(KEY)
    assert entry is not None
    assert put.spoken.samples.tolist() == entry.spoken.samples.tolist() != fine.tolist()


@given(st.lists(st.floats(-1.0, 1.0, width=32), min_size=1, max_size=300), st.sampled_from([8000, 24000, 44100]))
def test_samples_of_any_kind_survive(values: list[float], rate: int) -> None:
    samples = np.array(values, np.float32)
    encoded, kept = speech_cache._encoded(samples, rate)
    told = {"flac_sha256": speech_cache.hashlib.sha256(encoded).hexdigest(), "words": None, "verdict": None}
    back = speech_cache._decoded(encoded, {**told, "receipt": {"cost": 0.0}}).spoken
    assert back.sample_rate == rate
    assert np.array_equal(back.samples, kept)
    assert np.abs(kept - samples).max() <= 2.0**-23


def test_nothing_is_no_speech(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not empty"):
        SpeechCache(tmp_path).put(KEY, SPOKEN._replace(samples=np.zeros(0, np.float32)))


def test_a_verdict_stays_and_the_newest_counts(tmp_path: Path) -> None:
    cache = SpeechCache(tmp_path)
    with pytest.raises(KeyError, match=KEY):
        cache.set_verdict(KEY, {"reason": "silent"})
    cache.put(KEY, SPOKEN)
    cache.set_verdict(KEY, {"reason": "silent"})
    cache.set_verdict(KEY, {"reason": None, "word_error_rate": 0.1})
    entry = cache.get(KEY)
    assert entry is not None
    assert entry.verdict == {"reason": None, "word_error_rate": 0.1}
    assert entry.spoken.words == SPOKEN.words


def test_a_verdict_is_told_without_reading_the_sound(tmp_path: Path) -> None:
    cache = SpeechCache(tmp_path)
    assert cache.verdict(KEY) == (False, None)
    cache.put(KEY, SPOKEN)
    assert cache.verdict(KEY) == (True, None)
    cache.set_verdict(KEY, {"reason": "silent"})
    (tmp_path / "ab" / f"{KEY}.flac").write_bytes(b"no sound at all")
    assert cache.verdict(KEY) == (True, {"reason": "silent"})


def test_the_key_knows_everything_that_decides_the_sound() -> None:
    sample = VoiceSample(b"RIFF", "Hi.")
    keys = [
        cache_key(Voice(), LINE),
        *(cache_key(Voice(**{name: "other"}), LINE) for name in ("engine", "model", "voice", "temperature")),
        cache_key(Voice(), LINE._replace(text="Hello!")),
        cache_key(Voice(), LINE._replace(tag="sad")),
        cache_key(Voice(), LINE._replace(language="de")),
        cache_key(Voice(), LINE._replace(take=1)),
        cache_key(Voice(), LINE, [sample]),
        cache_key(Voice(), LINE, [sample._replace(text="Ho.")]),
        cache_key(Voice(), LINE, [sample._replace(wav=b"RIFX")]),
    ]
    assert len(set(keys)) == len(keys)
    assert cache_key(Voice(a=1, b=2), LINE) == cache_key(Voice(b=2, a=1), LINE)


def test_a_key_is_never_made_of_what_has_no_fixed_text() -> None:
    with pytest.raises(TypeError, match="object is not JSON serializable"):
        cache_key(Voice(client=object()), LINE)


def test_keys_stay_the_same_from_release_to_release() -> None:
    # Another value here means that every user buys everything again.
    assert cache_key(Voice(), LINE) == "f96e02d4f9dd106d5038db869efd891a40767dba424818e0a8620f8437c7cd74"


@pytest.mark.parametrize("suffix", [".flac", ".json"])
def test_half_an_entry_is_none(tmp_path: Path, suffix: str) -> None:
    cache = SpeechCache(tmp_path)
    cache.put(KEY, SPOKEN)
    (tmp_path / "ab" / f"{KEY}{suffix}").unlink()
    assert cache.get(KEY) is None
    assert cache.verdict(KEY) == (False, None)


@pytest.mark.parametrize("data", [b"{", b"{}", b"[]"])
def test_damaged_notes_are_named_where_only_they_are_read(tmp_path: Path, data: bytes) -> None:
    cache = SpeechCache(tmp_path)
    cache.put(KEY, SPOKEN)
    (tmp_path / "ab" / f"{KEY}.json").write_bytes(data)
    with pytest.raises(DailytalkError, match=rf"{KEY}\.flac is damaged"):
        cache.verdict(KEY)


@pytest.mark.parametrize(("suffix", "data"), [(".flac", b"fLaC"), (".json", b"{"), (".json", b"{}")])
def test_a_damaged_entry_is_named_and_not_bought_again_behind_the_users_back(
    tmp_path: Path, suffix: str, data: bytes
) -> None:
    cache = SpeechCache(tmp_path)
    cache.put(KEY, SPOKEN)
    (tmp_path / "ab" / f"{KEY}{suffix}").write_bytes(data)
    with pytest.raises(DailytalkError, match=rf"{KEY}\.flac is damaged"):
        cache.get(KEY)


def test_sound_of_another_line_is_not_taken_for_this_one(tmp_path: Path) -> None:
    cache, other = SpeechCache(tmp_path), "abcd"
    cache.put(KEY, SPOKEN)
    cache.put(other, SPOKEN._replace(samples=-SPOKEN.samples))
    shutil.copy(tmp_path / other[:2] / f"{other}.flac", tmp_path / KEY[:2] / f"{KEY}.flac")
    with pytest.raises(DailytalkError, match=rf"{KEY}\.flac is damaged"):
        cache.get(KEY)


@pytest.mark.parametrize(
    "notes",
    [
        b"[" * 100_000,
        b'{"flac_sha256": 1, "words": [["a", [0], 1, 1]], "receipt": {"cost": 0}, "verdict": null}',
    ],
)
def test_notes_that_hold_anything_else_are_damaged(tmp_path: Path, notes: bytes) -> None:
    cache = SpeechCache(tmp_path)
    cache.put(KEY, SPOKEN)
    (tmp_path / "ab" / f"{KEY}.json").write_bytes(notes)
    with pytest.raises(DailytalkError, match="is damaged"):
        cache.get(KEY)


def test_verdict_of_an_entry_is_an_object_or_none(tmp_path: Path) -> None:
    cache = SpeechCache(tmp_path)
    cache.put(KEY, SPOKEN)
    path = tmp_path / "ab" / f"{KEY}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"verdict": ["good"]}))
    for read in (cache.get, cache.verdict):
        with pytest.raises(DailytalkError, match="is damaged"):
            read(KEY)


@pytest.mark.parametrize(
    "word", [["a", [0.0], 1.0, 1.0], ["a", 0.0, "x", 1.0], [7, 0.0, 1.0, 1.0], ["a", 0.0, 1.0]]
)
def test_words_of_an_entry_are_texts_and_numbers(tmp_path: Path, word: list[object]) -> None:
    cache = SpeechCache(tmp_path)
    cache.put(KEY, SPOKEN)
    path = tmp_path / "ab" / f"{KEY}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"words": [word]}))
    with pytest.raises(DailytalkError, match="is damaged"):
        cache.get(KEY)


@pytest.mark.parametrize("suffix", [".flac", ".json"])
def test_pipe_in_place_of_an_entry_is_not_waited_for(tmp_path: Path, suffix: str) -> None:
    cache = SpeechCache(tmp_path)
    cache.put(KEY, SPOKEN)
    path = tmp_path / "ab" / f"{KEY}{suffix}"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DailytalkError, match="can't be used"):
        cache.get(KEY)


@pytest.mark.parametrize("suffix", [".flac", ".json"])
def test_link_in_place_of_an_entry_is_not_followed(tmp_path: Path, suffix: str) -> None:
    cache = SpeechCache(tmp_path)
    cache.put(KEY, SPOKEN)
    path = tmp_path / "ab" / f"{KEY}{suffix}"
    path.rename(tmp_path / "private")
    path.symlink_to(tmp_path / "private")
    with pytest.raises(DailytalkError, match="not a file"):
        cache.get(KEY)


def test_file_that_no_line_can_have_made_is_not_read(tmp_path: Path) -> None:
    cache = SpeechCache(tmp_path)
    cache.put(KEY, SPOKEN)
    os.truncate(tmp_path / "ab" / f"{KEY}.flac", (128 << 20) + 1)
    with pytest.raises(DailytalkError, match="over 128 MiB"):
        cache.get(KEY)


def test_threads_buy_an_entry_once(tmp_path: Path) -> None:
    cache = SpeechCache(tmp_path)
    bought = []

    def buy() -> None:
        with cache.buying(KEY):
            if cache.get(KEY) is None:
                time.sleep(0.02)
                bought.append(1)
                cache.put(KEY, SPOKEN)

    threads = [threading.Thread(target=buy) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bought) == 1
    assert not list(tmp_path.rglob("*.lock"))


def test_other_entries_can_be_bought_meanwhile(tmp_path: Path) -> None:
    cache = SpeechCache(tmp_path)
    with cache.buying(KEY), cache.buying("ab" + "1" * 62):
        assert len([*tmp_path.glob("ab/*.lock")]) == 2
    assert [*tmp_path.glob("ab/*.lock")] == []


BUY = """
print("started", flush=True)
with cache.buying(key):
    if cache.get(key) is None:
        print("buying", flush=True)
        time.sleep(0.3)
        cache.put(key, spoken)
    else:
        print("found", flush=True)
"""


def test_processes_buy_an_entry_once(tmp_path: Path) -> None:
    processes = [run(BUY, tmp_path) for _ in range(2)]
    told = [process.communicate(timeout=60)[0].split()[-1] for process in processes]
    assert sorted(told) == ["buying", "found"]


def test_a_killed_buyer_locks_nobody_out(tmp_path: Path) -> None:
    process = run("with cache.buying(key):\n    print('in', flush=True)\n    time.sleep(60)", tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(tmp_path.rglob("*.lock"))
    cache = SpeechCache(tmp_path)
    with cache.buying(KEY):
        cache.put(KEY, SPOKEN)
    assert cache.get(KEY) is not None


def test_lock_counts_only_while_its_file_has_its_name(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("ab") as held:
        assert speech_cache._is_still(held.fileno(), path)
        path.unlink()
        assert not speech_cache._is_still(held.fileno(), path)
        path.touch()
        assert not speech_cache._is_still(held.fileno(), path)


def test_lock_that_somebody_cleared_away_is_not_missed(tmp_path: Path) -> None:
    cache = SpeechCache(tmp_path)
    with cache.buying(KEY):
        (lock,) = tmp_path.glob("*/*.lock")
        lock.unlink()
        cache.put(KEY, SPOKEN)
    assert cache.get(KEY) is not None


def test_a_kill_while_entries_are_written_leaves_whole_ones_only(tmp_path: Path) -> None:
    script = """
for number in range(100000):
    cache.put(f"{number:064d}", spoken)
    print(number, flush=True)
"""
    process = run(script, tmp_path)
    assert process.stdout is not None
    for _ in range(20):
        process.stdout.readline()
    process.kill()
    last = process.communicate()[0].split()
    cache = SpeechCache(tmp_path)
    for number in range(int(last[-1]) + 1 if last else 20):
        entry = cache.get(f"{number:064d}")
        assert entry is not None
        assert len(entry.spoken.samples) == 4000


def test_a_disk_that_takes_no_more_is_said_at_once(tmp_path: Path) -> None:
    script = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
spoken = spoken._replace(samples=np.random.default_rng(0).uniform(-1, 1, 4000).astype(np.float32))
from dailytalk_contiguous.core.errors import DailytalkError
try:
    cache.put(key, spoken)
except DailytalkError as error:
    print(error)
"""
    told, errors = run(script, tmp_path).communicate(timeout=60)
    assert "can't be used (File too large)" in told, errors
    assert not list((tmp_path / "ab").iterdir())


def test_nothing_is_bought_where_there_is_no_room_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech_cache, "LEAST_FREE_BYTES", 1 << 62)
    with pytest.raises(DailytalkError, match="before anything is bought"), SpeechCache(tmp_path).buying(KEY):
        pytest.fail("the money is spent")


@pytest.mark.parametrize(("short_of", "bought"), [(1, False), (0, True)])
def test_purchase_needs_32_mib_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_of: int, bought: bool
) -> None:
    free = SimpleNamespace(free=(32 << 20) - short_of)
    monkeypatch.setattr(speech_cache.shutil, "disk_usage", lambda path: free)
    with contextlib.suppress(DailytalkError), SpeechCache(tmp_path).buying(KEY):
        SpeechCache(tmp_path).put(KEY, SPOKEN)
    assert (SpeechCache(tmp_path).get(KEY) is not None) is bought


def test_nothing_is_bought_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "ab").write_text("a file where a folder should be")
    with pytest.raises(DailytalkError, match="can't be used"), SpeechCache(tmp_path).buying(KEY):
        pytest.fail("the money is spent")


def test_an_error_of_the_buyer_is_not_taken_for_one_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), SpeechCache(tmp_path).buying(KEY):
        raise ConnectionResetError
    assert not list(tmp_path.rglob("*.lock"))


def test_the_cache_lies_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAILYTALK_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert default_folder() == Path("/x/dailytalk_contiguous/speech")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path(os.path.expanduser("~/.cache/dailytalk_contiguous/speech"))
    monkeypatch.setenv("DAILYTALK_CACHE", "/y")
    assert SpeechCache().folder == Path("/y/speech")


def test_setting_that_is_no_number_has_no_key() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        cache_key(Voice(speed=float("nan")), Line("Yes.", "", "en", 0))


def test_file_as_large_as_an_entry_may_be_is_read_and_a_larger_one_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = SpeechCache(tmp_path)
    cache.put(KEY, SPOKEN)
    largest = max(path.stat().st_size for path in tmp_path.rglob("*.*") if path.is_file())
    monkeypatch.setattr(speech_cache, "MOST_ENTRY_BYTES", largest)
    assert cache.get(KEY) is not None
    monkeypatch.setattr(speech_cache, "MOST_ENTRY_BYTES", largest - 1)
    with pytest.raises(DailytalkError, match="can't be used"):
        cache.get(KEY)
