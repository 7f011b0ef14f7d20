import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import start

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.models.contracts import Line, Spoken, Synthesiser, VoiceSample
from dailytalk_contiguous.models.speech_cache import SpeechCache, cache_key

KEY = "ab" + "0" * 62
SAMPLES = (np.arange(-800, 800) * 20 / 32768).astype(np.float32)
SPOKEN = Spoken(SAMPLES, 24000, [Word("Hi.", 0.01, 0.06, 1.0)], 0.002)
LINE = Line("Hello.", "happy", "en", 0)


class Voice(Synthesiser):
    """A synthesiser with settings that can be changed."""

    deterministic = False
    concurrency = 1
    server = "https://voices.example"
    version = 1

    def __init__(self, engine: str = "e", model: str = "m", voice: str = "v", **settings: object) -> None:
        self.engine = engine
        self.model = model
        self.voice = voice
        self._settings = settings

    def settings(self) -> dict[str, object]:
        return self._settings

    def price(self, lines: Sequence[Line]) -> float:
        return 0.0

    def preflight(self) -> None:
        pass

    def speak(self, line: Line, samples: Sequence[VoiceSample] = ()) -> Spoken:
        raise NotImplementedError


class OtherVoice(Voice):
    """Another program."""


def run(script: str, folder: Path, **options: Any) -> subprocess.Popen[str]:
    """A process with a cache in `folder`."""
    begin = f"""
import numpy as np, os, signal, sys
from pathlib import Path
from dailytalk_contiguous.models.speech_cache import SpeechCache
from dailytalk_contiguous.models.contracts import Spoken
cache, key = SpeechCache(Path({str(folder)!r})), {KEY!r}
spoken = Spoken(np.full(4000, 0.25, np.float32), 24000, None, 0.01)
"""
    return start(program=(sys.executable, "-c", begin + script), **options)


def test_nothing_is_bought_without_room_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    with (
        pytest.raises(DailytalkError, match="less than 32 MiB left: make room"),
        SpeechCache(tmp_path).buying(KEY),
    ):
        pass


def test_what_was_put_comes_back_exactly(tmp_path: Path) -> None:
    cache = SpeechCache(tmp_path)
    assert cache.get(KEY) is None
    put = cache.put(KEY, SPOKEN)
    entry = SpeechCache(tmp_path).get(KEY)
    assert entry is not None
    assert np.array_equal(entry.spoken.samples, SPOKEN.samples)
    assert np.array_equal(put.spoken.samples, SPOKEN.samples)
    assert entry.spoken[1:] == put.spoken[1:] == SPOKEN[1:]
    receipt = json.loads((tmp_path / "ab" / f"{KEY}.json").read_text())["receipt"]
    assert receipt["cost"] == 0.002
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", receipt["time"])
    assert entry.verdict is None
    names = [path.name for path in (tmp_path / "ab").iterdir()]
    assert sorted(names) == [f"{KEY}.flac", f"{KEY}.json"]


def test_the_key_knows_everything_that_decides_the_sound() -> None:
    plain = cache_key(Voice(), LINE)
    keys = [plain]
    for name in ("engine", "model", "voice", "temperature"):
        keys.append(cache_key(Voice(**{name: "other"}), LINE))
    lines = [
        LINE._replace(text="Hello!"),
        LINE._replace(tag="sad"),
        LINE._replace(language="de"),
        LINE._replace(take=1),
    ]
    keys += [cache_key(Voice(), line) for line in lines]
    sample = VoiceSample(b"RIFF", "Hi.")
    samples = [sample, sample._replace(text="Ho."), sample._replace(wav=b"RIFX")]
    keys += [cache_key(Voice(), LINE, [each]) for each in samples]
    elsewhere = Voice()
    elsewhere.server = "https://voices.example:8080"
    keys.append(cache_key(elsewhere, LINE))
    assert len(set(keys)) == len(keys)
    with_secrets = Voice()
    with_secrets.server = "https://ann:secret@voices.example/?key=secret"
    assert cache_key(with_secrets, LINE) == plain
    local = Voice()
    local.server = ""
    other_local = OtherVoice()
    other_local.server = ""
    # The code of what speaks on this machine.
    assert cache_key(local, LINE) != cache_key(other_local, LINE)
    assert cache_key(OtherVoice(), LINE) == plain
    assert cache_key(Voice(a=1, b=2), LINE) == cache_key(Voice(b=2, a=1), LINE)


def test_keys_stay_the_same_from_release_to_release() -> None:
    # Another value here means that every user buys everything again.
    assert cache_key(Voice(), LINE) == "45baac4d2566824e3ce1a062d5a367eec8ea4662f6747499c480543077755990"
    german = LINE._replace(text="Schöne Grüße.", language="de")
    assert cache_key(Voice(), german) == "aabcff1133939a31d4b41a66c3fde88af0564a6a03dd97e29fd9d43c148cc26e"


@pytest.mark.parametrize(("suffix", "data"), [(".flac", b"fLaC"), (".json", b"{"), (".json", b"{}")])
def test_a_damaged_entry_is_named_and_not_bought_again_behind_the_users_back(
    tmp_path: Path, suffix: str, data: bytes
) -> None:
    cache = SpeechCache(tmp_path)
    cache.put(KEY, SPOKEN)
    (tmp_path / "ab" / f"{KEY}{suffix}").write_bytes(data)
    with pytest.raises(DailytalkError, match=rf"{KEY}\.flac is damaged"):
        cache.get(KEY)


BUY = """
print("started", flush=True)
with cache.buying(key):
    if cache.get(key) is None:
        print("buying", flush=True)
        sys.stdin.readline()
        cache.put(key, spoken)
    else:
        print("found", flush=True)
"""


def test_processes_buy_an_entry_once(tmp_path: Path) -> None:
    first = run(BUY, tmp_path, stdin=subprocess.PIPE)
    assert first.stdout is not None
    assert [first.stdout.readline() for _ in range(2)] == ["started\n", "buying\n"]
    second = run(BUY, tmp_path, stdin=subprocess.PIPE)
    assert second.stdout is not None
    assert second.stdout.readline() == "started\n"
    first.communicate("\n", timeout=60)
    assert second.communicate(timeout=60)[0] == "found\n"


def test_a_killed_buyer_locks_nobody_out(tmp_path: Path) -> None:
    process = run("with cache.buying(key):\n    print('in', flush=True)\n    signal.pause()", tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(tmp_path.rglob("*.lock"))
    cache = SpeechCache(tmp_path)
    with cache.buying(KEY):
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


def test_verdict_is_the_last_one_and_none_where_there_is_no_entry(tmp_path: Path) -> None:
    cache = SpeechCache(tmp_path)
    assert cache.verdict(KEY) is None
    cache.put(KEY, SPOKEN)
    assert cache.verdict(KEY) == {}  # bought, and not judged yet
    cache.set_verdict(KEY, {"by": "limits", "heard": [0.0, False]})
    cache.set_verdict(KEY, {"by": "others"})
    assert cache.verdict(KEY) == {"by": "others"}
    entry = cache.get(KEY)
    assert entry is not None
    assert entry.verdict == {"by": "others"}
    assert entry.spoken.cost == SPOKEN.cost


def test_speech_without_word_times_has_none_in_the_cache_either(tmp_path: Path) -> None:
    """None is not the same as no words: an engine that timed no word of its text stopped before the first."""
    cache = SpeechCache(tmp_path)
    for words in (None, []):
        cache.put(KEY, SPOKEN._replace(words=words))
        entry = cache.get(KEY)
        assert entry is not None
        assert entry.spoken.words == words


def test_nothing_is_bought_below_32_mib_and_everything_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = SpeechCache(tmp_path)
    whole = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: whole._replace(free=(32 << 20) - 1))
    with pytest.raises(DailytalkError, match="less than 32 MiB left"), cache.buying(KEY):
        pass
    monkeypatch.setattr("shutil.disk_usage", lambda path: whole._replace(free=32 << 20))
    with cache.buying(KEY):
        cache.put(KEY, SPOKEN)
    assert cache.get(KEY) is not None
