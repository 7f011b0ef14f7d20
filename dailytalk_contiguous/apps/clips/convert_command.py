"""`dailytalk convert`: recordings as WAV, FLAC, MP3 or Opus, read block by block, written, and read back.

libsndfile returns exactly as many samples as were written in each of these formats. As a file has its name only
once it is whole, a rerun leaves those alone that are as they should be.
"""

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import soundfile

from dailytalk_contiguous.cli import engine_options, options, show
from dailytalk_contiguous.cli.terminal import Panel, argument, option, shown_steps
from dailytalk_contiguous.core import audio, interrupts
from dailytalk_contiguous.core.audio import HIGHEST_RATE, LOWEST_RATE
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, BadValue, DailytalkError, Reject
from dailytalk_contiguous.core.outcome import Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.settings import check_values, setting, unlisted
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.run.processes import in_processes
from dailytalk_contiguous.sources.recordings import LeftOut, Recording, find_recordings, shortened
from dailytalk_contiguous.stages.base import SAMPLE_RATE
from dailytalk_contiguous.store import files
from dailytalk_contiguous.store.owned_folder import MADE_FROM
from dailytalk_contiguous.store.work_folder import REJECTS, rejects_in

#: The stage that rejects of a conversion name.
STAGE = "convert"

#: Seconds by which a file that was made before may be longer or shorter than its source: AAC fills its last frame.
MOST_OFF = 0.1

#: Bytes of a WAV beyond which its lengths no longer fit into 32 bits; it is then written as RF64, which programs
#: that read WAV of that length can read.
LARGEST_WAV = (1 << 32) - (1 << 20)


class Written(NamedTuple):
    """A format that is written: libsndfile's names, its sample rates in Hz, and the most channels.

    `rates` is empty if any rate will do; `bits` is whether samples may have 16 or 24 bits.
    """

    format: str
    subtype: str
    rates: tuple[int, ...] = ()
    channels: int = 1024
    bits: bool = False


#: The formats by the endings of their files. Rates of MP3: ISO 11172-3 and 13818-3 and its extension 2.5; of Opus:
#: RFC 6716, section 2.1.2. For more than two channels of Opus, libsndfile's order differs from other programs'.
CONTAINERS = {
    "wav": Written("WAV", "PCM_16", bits=True),
    "mp3": Written(
        "MP3", "MPEG_LAYER_III", (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000), channels=2
    ),
    "flac": Written("FLAC", "PCM_16", channels=8, bits=True),
    "opus": Written("OGG", "OPUS", (8000, 12000, 16000, 24000, 48000), channels=2),
}


@dataclass(frozen=True)
class Conversion:
    """The format of the results.

    `to` is one of `CONTAINERS`. Raises DailytalkError for a rate or bits that the format doesn't have.
    """

    to: str = unlisted("wav")
    sample_rate: int | None = setting(
        None, SAMPLE_RATE.about, panel="result", metavar="HZ", least=LOWEST_RATE, most=HIGHEST_RATE,
        shown="the source's, or the next that the format has",
    )  # fmt: skip
    channels: int | None = setting(
        None, "1 for the mean of all channels (both speakers of a call), or 2.",
        panel="result", metavar="N", least=1, most=2, shown="the source's",
    )  # fmt: skip
    bits: int | None = setting(
        None, "16 or 24, of wav and flac.",
        panel="result", metavar="N", shown="24 where the source has more than 16, else 16",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_values(self)
        rates = self.container.rates
        if self.sample_rate and rates and self.sample_rate not in rates:
            raise DailytalkError(
                f"{self.to} has no --sample-rate {self.sample_rate}", f"choose one of {', '.join(map(str, rates))}"
            )
        if self.bits not in (None, 16, 24):
            raise BadValue(f"--bits can't be {self.bits}", "choose one of 16, 24")
        if self.bits and not self.container.bits:
            raise DailytalkError(f"--bits is for wav and flac, not for {self.to}", "leave it out")

    @property
    def container(self) -> Written:
        return CONTAINERS[self.to]

    def shape_of(self, source: audio.AudioHeader) -> tuple[int, int]:
        """The rate in Hz and the channels of a result: those asked for or the source's.

        The rate is the next higher one that the format has. Raises BadInput for more channels than it has, and for
        two made from more than two.
        """
        rate, channels = self.sample_rate or source.sample_rate, self.channels or source.channels
        if channels > self.container.channels or (channels == 2 and source.channels > 2):
            raise BadInput(f"it has {source.channels} channels", "pass --channels 1, or export two of them first")
        rates = self.container.rates or (rate,)
        return next((known for known in rates if known >= rate), rates[-1]), channels

    def subtype_of(self, source: dict[str, Any]) -> str:
        fine = self.bits == 24 or (self.bits is None and audio.has_over_16_bits(source))
        return "PCM_24" if self.container.bits and fine else self.container.subtype


@dataclass
class Converted:
    """The result of a conversion: files written, their seconds, files made before, and rejects."""

    made: int = 0
    seconds: float = 0.0
    done_before: int = 0
    rejects: list[Reject] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)


def convert_recordings(
    inputs: Sequence[str | Path], out: Path, wanted: Conversion, workers: int = 1, overwrite: bool = False
) -> Converted:
    """Write every recording of the inputs to `out`, under its path with another ending, tags kept.

    A file that is newer than its source, as long, and in the wanted format is left as it is. `rejects.jsonl` of
    `out` names what can't be converted, other files that exist already (unless `overwrite`), and all sources that
    would get the same name.

    Args:
        inputs: files and folders.
        out: the folder; created if need be.
        wanted: the format of the results.
        workers: processes.
        overwrite: whether other files with a result's name are replaced. Sources never are.

    Raises:
        DailytalkError: an input does not exist or is `out`, or another command holds `out`.
        OSError: a file can't be written; finished files are kept.
    """
    if any(Path(source).is_dir() and os.path.realpath(source) == os.path.realpath(out) for source in inputs):
        raise DailytalkError(f"--out {as_text(out)!r} is the input itself", "choose another folder")
    done = Converted()
    by_name: defaultdict[str, list[Recording]] = defaultdict(list)
    for recording in find_recordings(inputs, out, done.left_out):
        bare = re.sub(r"\.[^./]*\Z", "", recording.audio_file)
        by_name[f"{shortened(bare, 254 - len(wanted.to))}.{wanted.to}"].append(recording)
    sources = {os.path.realpath(recording.path) for namesakes in by_name.values() for recording in namesakes}
    out.mkdir(parents=True, exist_ok=True)
    with files.folder_locked(out):
        tasks = []
        for name, namesakes in by_name.items():
            if len(namesakes) > 1:
                for recording in namesakes:
                    others_of_it = " and ".join(
                        repr(other.audio_file) for other in namesakes if other is not recording
                    )
                    reason = f"{name!r} would be made of {others_of_it}, too"
                    done.rejects.append(Reject(recording.audio_file, STAGE, reason, "rename one of them"))
            else:
                tasks.append((namesakes[0], name))
        for folder in {(out / name).parent for _, name in tasks}:
            files.remove_unfinished(folder)
        convert = partial(_convert, out=out, wanted=wanted, overwrite=overwrite, sources=sources)
        results: Iterator[float | Reject | None] = map(convert, tasks)
        if workers > 1 and len(tasks) > 1:
            results = in_processes(convert, tasks, min(workers, len(tasks)))
        for result in steps("recordings converted", results, len(tasks)):
            if isinstance(result, Reject):
                done.rejects.append(result)
            elif result is None:
                done.done_before += 1
            else:
                done.made, done.seconds = done.made + 1, done.seconds + result
        done.rejects.sort(key=lambda reject: reject.id)
        others = [reject for reject in rejects_in(out) if reject["stage"] != STAGE]
        lines = [*others, *(reject.as_dict() for reject in done.rejects)]
        files.write_lines(out / REJECTS, map(files.json_text, lines))
    return done


def _convert(
    task: tuple[Recording, str], out: Path, wanted: Conversion, overwrite: bool, sources: Container[str]
) -> float | Reject | None:
    """Seconds of a converted file, None of one that was made before, or the reject of its recording."""
    (recording, name), target = task, out / task[1]
    source = {"bytes": None, "path": audio.to_uri(recording.path.absolute())}
    try:
        if recording.leads_out:
            raise BadInput(files.LINK_OUT, files.COPY_IT)
        try:
            info, changed = audio.read_header(source), recording.path.stat().st_mtime_ns
        except OSError as error:
            raise BadInput(f"it can't be read ({error.strerror})", "check the file and its permissions") from None
        if not info.seconds:
            raise BadInput("it holds no audio (0 s)", "copy or export the recording again")
        shape, subtype = wanted.shape_of(info), wanted.subtype_of(source)
        form = (*shape, wanted.container.format, subtype)
        if os.path.lexists(target):
            if os.path.realpath(target) in sources:
                raise BadInput(f"{name!r} in --out is a recording of the input", "choose another --out")
            seconds, target_form = _form_of(target)
            is_same = target_form == form and abs(seconds - info.seconds) < MOST_OFF
            if is_same and not target.is_symlink() and target.stat().st_mtime_ns >= changed:
                return None
            if not overwrite:
                raise BadInput(
                    f"{name!r} is in --out already, and was not made of it with these settings",
                    "pass --overwrite to replace it, or choose another --out",
                )
        files.inside(out, name)
        with files.replacing(target) as file:
            if _form_of(recording.path)[1] == form:
                with recording.path.open("rb") as original:  # as asked already, with all its tags
                    shutil.copyfileobj(original, file)
                frames = round(info.seconds * info.sample_rate)
            else:
                frames = _encode(file, source, info, wanted.container, subtype, *shape)
            file.flush()
            _read_back(Path(file.name), frames, *shape)
    except BadInput as problem:
        return Reject(recording.audio_file, STAGE, problem.reason, problem.remedy)
    return info.seconds


def _form_of(path: Path) -> tuple[float, tuple[int, int, str, str] | None]:
    """The seconds of a file, and its rate, channels, format and subtype, as far as libsndfile can read it."""
    try:
        info = soundfile.info(os.fsencode(path))
    except soundfile.LibsndfileError:
        return 0.0, None
    form = "WAV" if info.format in ("WAVEX", "RF64") else str(info.format)
    return float(info.duration), (int(info.samplerate), int(info.channels), form, str(info.subtype))


def _encode(
    file: BinaryIO,
    source: dict[str, Any],
    info: audio.AudioHeader,
    container: Written,
    subtype: str,
    rate: int,
    channels: int,
) -> int:
    """Write a recording in another format; returns the samples a channel. Raises BadInput and OSError.

    One channel is the mean of all; one becomes two equal ones.
    """
    size = info.seconds * rate * channels * (3 if subtype == "PCM_24" else 2)
    form = "RF64" if container.format == "WAV" and size > LARGEST_WAV else container.format
    products = np.zeros((2, 2))
    try:
        with (
            files.Disk(file) as disk,
            soundfile.SoundFile(disk, "w", rate, channels, subtype, format=form) as sound,
        ):
            for name, text in audio.tags(source).items():
                if not text.startswith(MADE_FROM):  # from one of our results: this is no copy of its sound
                    setattr(sound, name, text)
            for block in audio.blocks_at(source, rate):
                interrupts.check_interrupt()
                if channels < block.shape[1] == 2:
                    wide = block.astype(np.float64)
                    products += wide.T @ wide
                if channels < block.shape[1]:
                    block = block.mean(axis=1, dtype=np.float32, keepdims=True)
                samples: Any = np.repeat(block, channels // block.shape[1], axis=1)
                # In the type that libsndfile writes without changing it.
                if subtype == "PCM_16":
                    samples = audio.to_pcm(samples)
                elif subtype == "PCM_24":
                    whole = np.clip(np.rint(samples * np.float32(1 << 23)), -(1 << 23), (1 << 23) - 1)
                    samples = whole.astype(np.int32) << 8
                sound.write(samples)
                disk.check()
            frames = int(sound.frames)
    except soundfile.LibsndfileError as error:
        raise BadInput(f"libsndfile can't write it ({error})", "choose another --to") from error
    loud = float(np.sqrt(products[0, 0] * products[1, 1]))
    if loud and products[0, 1] < -audio.SAME * loud:
        raise BadInput(
            "its two channels are one sound with opposite signs, of which the mean would leave nothing",
            "turn one of them over first, or leave --channels out",
        )
    return frames


def _read_back(path: Path, frames: int, rate: int, channels: int) -> None:
    """Raise BadInput unless a file holds as many samples a channel as were written to it."""
    written = {"bytes": None, "path": audio.to_uri(path.absolute())}
    info, held = audio.read_header(written), 0
    for block in audio.blocks(written):
        interrupts.check_interrupt()
        held += len(block)
    if (held, info.sample_rate, info.channels) != (frames, rate, channels):
        raise BadInput(
            f"what was written of it lasts {held / info.sample_rate:.3f} s, not {frames / rate:.3f} s",
            "convert it to another format, and report it",
        )


CONVERT_SETTINGS = options.setting_options(Conversion())


@options.with_options(CONVERT_SETTINGS)
def convert(
    inputs: list[str] = argument("INPUT", "Recordings, or folders of them."),
    to: str = option(..., Panel.INPUT, f"Format: {options.either(CONTAINERS)}.", metavar="NAME"),
    out: Path = options.out_option(),
    overwrite: bool = option(
        False, Panel.RESULT, "Replace files that are there; never one of INPUT.", "--overwrite"
    ),
    workers: int | None = engine_options.WORKERS,
    **settings: Any,
) -> Outcome:
    """Write recordings as WAV, FLAC, MP3 or Opus.

    Folders, names and tags are kept. Every file is read back before it gets its name, and nothing is overwritten:
    what was made before of the same recording in the same way is left as it is, so that a run that was stopped
    goes on.
    """
    options.on_this_machine("--out", out)
    options.one_of("--to", to, CONTAINERS)
    conversion = Conversion(to, **options.chosen(settings, CONVERT_SETTINGS))
    with shown_steps():
        done = convert_recordings(inputs, out, conversion, workers or 1, overwrite)
    show.say_left_out(done.left_out)
    made = done.made + done.done_before
    before = f", {done.done_before:,} done before" if done.done_before else ""
    return Outcome(
        {
            "out": as_text(out),
            "made": done.made,
            "seconds": round(done.seconds, 3),
            "done_before": done.done_before,
            "rejected": [reject.as_dict() for reject in done.rejects],
        },
        f"{counted(done.made, 'file')} ({length_text(done.seconds)}) made{before} in {as_text(out)}"
        if made
        else "no recording could be used",
        exit_code(made, len(done.rejects)),
        rejected=rejected_of(done.rejects, "recording", f"in {as_text(out / REJECTS)}"),
        next=to_run("tag", out, "--out", "DIR") if made else "",
    )
