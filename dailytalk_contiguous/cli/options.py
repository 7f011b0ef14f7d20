"""Options that several commands have, and the folders and addresses they name."""

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from dailytalk_contiguous.cli.terminal import HelpPanel, option
from dailytalk_contiguous.core.audio import HIGHEST_RATE, LOWEST_RATE
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import CONFIGS
from dailytalk_contiguous.models.affect import ACOUSTIC_ESTIMATE, PRECISIONS
from dailytalk_contiguous.models.devices import DEVICES
from dailytalk_contiguous.models.profiles import PROFILES
from dailytalk_contiguous.publish.version import Version, open_version
from dailytalk_contiguous.run.outputs import RECORDINGS, read_run
from dailytalk_contiguous.run.passes import RUNNERS, RunOptions
from dailytalk_contiguous.run.storage import fetched
from dailytalk_contiguous.run.tagging import TAGGED
from dailytalk_contiguous.sources.addresses import is_address
from dailytalk_contiguous.sources.remote import Mirror, fetch_inputs, input_mirror
from dailytalk_contiguous.sources.transcribed import some_gone
from dailytalk_contiguous.stages.transcribe import WINDOWS
from dailytalk_contiguous.store.hub import Reference, parse_reference

# Values and words that several commands share.


def one_of(option: str, value: str, choices: Iterable[str]) -> str:
    """The value, if it is one of the choices. Raises DailytalkError naming them otherwise."""
    known = list(choices)
    if value not in known:
        raise DailytalkError(f"{option} can't be {value!r}", f"choose one of {', '.join(filter(None, known))}")
    return value


#: Seconds of each unit that a time may have on the command line.
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

#: What the help shows in place of a time.
TIME = "TIME"


def time_of(option: str, words: Mapping[str, float], least: float = 0.0) -> Callable[[str | float], float]:
    """A parser of times for typer: `15m`, `900s`, `1.5 h`, `300ms` in seconds. Defaults, which are floats, stay.

    A number without a unit is refused, except 0 where that is allowed: whoever writes 15 may mean minutes or
    seconds. The parser raises DailytalkError.

    Args:
        option: its name, for the error.
        words: what may be given in place of a time, such as `never`, and how many seconds that is.
        least: the shortest time in seconds.

    >>> time_of("--max-length", {"never": 0.0})("1.5m")
    90.0
    """

    def parse(text: str | float) -> float:
        if isinstance(text, float):
            return text
        bare = text.strip().lower()
        if bare in words:
            return words[bare]
        match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([a-z]*)", bare)
        if match and not match[2] and float(match[1]):
            raise DailytalkError(
                f"{option} {bare} has no unit", f"give {bare}m for minutes or {bare}s for seconds"
            )
        seconds = float(match[1]) * UNITS.get(match[2] or "s", math.nan) if match else math.nan
        if not seconds >= least:
            remedy = " or ".join(filter(None, ("give a time such as 15m, 90s or 1h", ", ".join(words))))
            raise DailytalkError(f"{option} can't be {text!r}", remedy)
        return seconds

    return parse


def time_text(seconds: float) -> str:
    """A time as an option takes it: `15m`, `3s`.

    >>> time_text(900.0), time_text(0.8), time_text(0.0)
    ('15m', '0.8s', '0')
    """
    if seconds >= 60 and not seconds % 60:
        return f"{seconds / 60:g}m"
    return f"{seconds:g}s" if seconds else "0"


def on_this_machine(option: str, path: Path | None) -> None:
    """Raise DailytalkError for an address in a store or on the Web, where a command writes to a disk alone."""
    if path is not None and is_address(path):
        raise DailytalkError(
            f"{option} can't be {as_text(path)!r}", "name a folder of this machine, and copy it after"
        )


def size_text(count: int) -> str:
    """A number of bytes as people read it: `1.8 MB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def rate_of(text: str) -> int:
    """The Hz that `--sample-rate` asks for; 0 for `source`, the recording's own. Raises DailytalkError."""
    if text == "source":
        return 0
    if not text.isdecimal() or not LOWEST_RATE <= int(text) <= HIGHEST_RATE:
        raise DailytalkError(
            f"--sample-rate can't be {text!r}", f"give {LOWEST_RATE} to {HIGHEST_RATE}, or source"
        )
    return int(text)


# Options that several commands have: one text in one panel, wherever they are.


def either(choices: Iterable[str]) -> str:
    """The choices in words; an empty one has none.

    >>> either(["left", "right", "mix"])
    'left, right or mix'
    """
    *first, last = filter(None, choices)
    return f"{', '.join(first)} or {last}" if first else last


def profile_option(show_default: str | bool = True) -> Any:
    """`--profile`: which models are used, by one name."""
    text = f"Set of models: {either(PROFILES)}."
    return option(HelpPanel.MODELS, text, metavar="NAME", show_default=show_default)


def work_option(show_default: str | bool = True) -> Any:
    """`--out` of what writes a work folder, on this machine or in a store."""
    text = "Work folder for all results, or s3://BUCKET/FOLDER."
    return option(HelpPanel.INPUT, text, metavar="DIR", show_default=show_default)


def workers_option(show_default: str | bool = True) -> Any:
    """`--workers`."""
    text = "Processes; each loads the models once."
    return option(HelpPanel.RUN, text, metavar="N", min=1, show_default=show_default)


def asr_windows_option(automatic: str = "") -> Any:
    """`--asr-windows`, with what `auto` is in a command that has it."""
    text = f"Utterances in a window of Whisper: {either(WINDOWS)}."
    return option(HelpPanel.RARE, text, metavar="NAME", show_default=automatic or True)


def eval_share_option(show_default: str | bool = True) -> Any:
    """`--eval-share`, from 0.01 to 0.5."""
    text = "Share of the time to evaluate on, where no split is settled yet."
    settings = {"min": 0.01, "max": 0.5, "show_default": show_default}
    return option(HelpPanel.SPLITS, text, metavar="SHARE", **settings)


def seed_option(show_default: str | bool = True) -> Any:
    """`--seed`; 0 everywhere."""
    text = "Seed of all random choices: the same one makes the same choices."
    return option(HelpPanel.RUN, text, metavar="N", show_default=show_default)


TrainingOutOption = Annotated[Path, option(HelpPanel.INPUT, "The training folder to write.", metavar="DIR")]
RevisionOption = Annotated[
    str | None,
    option(HelpPanel.INPUT, "Version of a dataset on the Hub.", metavar="TAG", show_default="main"),
]
FollowLinksOption = Annotated[
    bool, option(HelpPanel.RARE, "Follow symbolic links that lead out of the input.", "--follow-links")
]
AsrModelOption = Annotated[
    str,
    option(
        HelpPanel.MODELS,
        "Recogniser: a Whisper size, a CTranslate2 folder, or pocketsphinx.",
        metavar="NAME|DIR",
        show_default="the profile's",
    ),
]
AffectModelOption = Annotated[
    str,
    option(
        HelpPanel.MODELS,
        f"Affect model: a name on the Hub, a folder, or {ACOUSTIC_ESTIMATE}.",
        metavar="NAME|DIR",
        show_default="the profile's",
    ),
]
AffectPrecisionOption = Annotated[
    str,
    option(
        HelpPanel.MODELS,
        f"The affect model's precision: {', '.join(PRECISIONS)}; auto: bfloat16 where the device has it.",
        metavar="TYPE",
    ),
]
ComputeTypeOption = Annotated[
    str,
    option(HelpPanel.MODELS, "Whisper's precision; auto: int8 on CPU, float16 on CUDA.", metavar="TYPE"),
]
DeviceOption = Annotated[str, option(HelpPanel.MODELS, f"Where models run: {either(DEVICES)}.", metavar="NAME")]
WorkersOption = Annotated[int | None, workers_option("1; on Ray, all that have room")]
RunnerOption = Annotated[
    str, option(HelpPanel.CLUSTER, f"What makes the shards: {either(RUNNERS)}.", metavar="NAME")
]
AddressOption = Annotated[
    str,
    option(
        HelpPanel.CLUSTER,
        "Of a Ray cluster.",
        metavar="auto|HOST:PORT",
        show_default="a Ray of this process alone",
    ),
]
ScratchOption = Annotated[
    Path | None,
    option(
        HelpPanel.CLUSTER,
        "Where the files of a work folder in a store are kept meanwhile.",
        metavar="DIR",
        show_default="the user's cache folder",
    ),
]
ShardOption = Annotated[
    str, option(HelpPanel.CLUSTER, "Make every N-th shard only, from the i-th.", metavar="i/N")
]
ShardMinutesOption = Annotated[float, option(HelpPanel.RARE, "Minutes of audio in a shard.", metavar="N", min=0.1)]
PruneOption = Annotated[bool, option(HelpPanel.RUN, "Drop results of what is no longer in the input.", "--prune")]
DryRunOption = Annotated[
    bool,
    option(HelpPanel.RUN, "Say what would be done and what it would cost; change nothing.", "--dry-run"),
]
ProfileStagesOption = Annotated[bool, option(HelpPanel.RUN, "Say how long each stage took.", "--profile-stages")]
TextConditionsOption = Annotated[
    bool,
    option(
        HelpPanel.RESULT,
        "Write style and emotion as text_conditions; a stock model stops on them.",
        "--text-conditions",
    ),
]

#: Minutes of audio in a shard, where nobody chooses.
SHARD_MINUTES = RunOptions.shard_seconds / 60


# What a command was given to read: a folder of this machine first, else a dataset on the Hub; and recordings.


def parse_shard(text: str) -> tuple[int, int]:
    """The i and N of `--shard`. Raises DailytalkError for what is none."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise DailytalkError(f"--shard can't be {text!r}", "give i/N with i from 1 to N, such as 1/8")
    return int(match[1]), int(match[2])


def place_of(given: str, revision: str | None) -> Path | Version:
    """A path of this machine (a store's folder is copied), or a version: on the Hub, or downloaded.

    Args:
        given: a path that is there, else `OWNER/NAME` or `OWNER/NAME@REVISION`. What is neither is a path.
        revision: of `--revision`.

    Raises:
        DailytalkError: a revision is given twice or for a path, or the version can't be opened.
    """
    path = fetched(Path(given))
    named = None if path.exists() else parse_reference(given)
    if named is None:
        if revision is not None:
            raise DailytalkError(f"--revision {revision!r} goes with a dataset on the Hub only", "leave it out")
        return _downloaded(path) or path
    if revision is not None and named.revision is not None:
        raise DailytalkError(f"{given} names a revision, and so does --revision {revision!r}", "give one of them")
    try:
        return open_version(Reference(named.repo, revision or named.revision))
    except DailytalkError as problem:
        raise DailytalkError(f"there is no folder {given!r} here, and {problem.reason}", problem.remedy) from None


def recordings_of(given: Path | None, folder: Path) -> tuple[Path | None, tuple[Mirror, ...]]:
    """Where the recordings of a work folder are looked for beside their old place, and the mirrors they lie in.

    `given`: of `--recordings`. Without it those that `tag` read from a store are fetched once more where they are
    gone: the transcript may have been made on another machine.
    """
    if given is not None:
        (place,), mirrors = fetch_inputs([str(given)])
        return Path(place), mirrors
    addresses = (read_run(folder) or {}).get(RECORDINGS, [])
    if not addresses:
        return None, ()
    mirrors = tuple(input_mirror(address)[0] for address in addresses)
    if some_gone(folder / TAGGED):
        mirrors = fetch_inputs(addresses)[1]
    return Path(os.path.commonpath([mirror.folder for mirror in mirrors])), mirrors


def _downloaded(path: Path) -> Version | None:
    """The repository that lies in a folder, if it is one of ours."""
    version = open_version(path) if path.is_dir() else None
    return version if version and CONFIGS[0] in version.configs() else None
