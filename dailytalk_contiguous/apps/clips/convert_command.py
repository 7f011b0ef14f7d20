"""`dailytalk convert`: recordings as WAV, FLAC, MP3 or Opus, read block by block, written, and read back.

libsndfile returns exactly as many samples as were written in each of these formats. As a file has its name only
once it is whole, a rerun leaves those alone that are as they should be.
"""

import os
import re
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from dailytalk_contiguous.cli import options, show
from dailytalk_contiguous.cli.terminal import Panel, argument, option, shown_steps
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.records.outcome import Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.records.record import EncodedAudio
from dailytalk_contiguous.core.settings import check_values, one_of, setting, unlisted
from dailytalk_contiguous.core.sound.samples import HIGHEST_RATE, LOWEST_RATE, SAME, Samples, to_pcm
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.machine import audio, interrupts
from dailytalk_contiguous.machine.resources import cores, side_by_side
from dailytalk_contiguous.sources.recordings.recording_files import LeftOut, Recording, list_recordings, shortened
from dailytalk_contiguous.stages.base import SAMPLE_RATE
from dailytalk_contiguous.store import files
from dailytalk_contiguous.store.owned_folder import LARGEST_WAV
from dailytalk_contiguous.store.work_folder import REJECTS, rejects_in


class Written(NamedTuple):
    """A format that is written: libsndfile's names, its rates in Hz (empty for any), and the most channels."""

    format: str
    subtype: str
    rates: tuple[int, ...] = ()
    channels: int = 1024


#: The formats by the endings of their files. Rates of MP3: ISO 11172-3 and 13818-3 and its extension 2.5; of Opus:
#: RFC 6716, section 2.1.2. For more than two channels of Opus, libsndfile's order differs from other programs'.
CONTAINERS = {
    "wav": Written("WAV", "PCM_16"),
    "mp3": Written(
        "MP3", "MPEG_LAYER_III", (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000), channels=2
    ),
    "flac": Written("FLAC", "PCM_16", channels=8),
    "opus": Written("OGG", "OPUS", (8000, 12000, 16000, 24000, 48000), channels=2),
}


class Form(NamedTuple):
    """The form of a file: its rate in Hz, its channels, and libsndfile's names of its format and its samples."""

    rate: int
    channels: int
    format: str
    subtype: str


@dataclass(frozen=True)
class Conversion:
    """The format of the results: `to` is one of `CONTAINERS`.

    Raises DailytalkError for a rate that it doesn't have.
    """

    to: str = unlisted("wav")
    sample_rate: int | None = setting(
        None,
        SAMPLE_RATE.about,
        panel="result",
        metavar="HZ",
        least=LOWEST_RATE,
        most=HIGHEST_RATE,
        shown="the source's, or the next that the format has",
    )
    channels: int | None = setting(
        None,
        "1 for the mean of all channels (both speakers of a call), or 2.",
        panel="result",
        metavar="N",
        least=1,
        most=2,
        shown="the source's",
    )

    def __post_init__(self) -> None:
        check_values(self)
        rates = [str(rate) for rate in CONTAINERS[self.to].rates]
        if self.sample_rate and rates:
            one_of(f"--sample-rate of {self.to}", str(self.sample_rate), rates)

    def form_of(self, source: EncodedAudio) -> Form:
        """The form of a result: where nothing else is asked for, that of the source.

        The rate is the next higher one that the format has. Raises BadInput for more channels than it has, and for
        two made from more than two.
        """
        info = audio.read_header(source)
        container = CONTAINERS[self.to]
        rate = self.sample_rate or info.sample_rate
        channels = self.channels or info.channels
        if channels > container.channels or (channels == 2 and info.channels > 2):
            raise BadInput(f"it has {info.channels} channels", "pass --channels 1, or export two of them first")
        rates = container.rates or (rate,)
        rate = next((possible for possible in rates if possible >= rate), rates[-1])
        subtype = container.subtype
        if subtype == "PCM_16" and audio.has_over_16_bits(source):
            subtype = "PCM_24"
        return Form(rate, channels, container.format, subtype)


def convert_recording(
    recording: Recording, target: Path, wanted: Conversion, overwrite: bool, sources: Container[str]
) -> float | None:
    """Write a recording as `target`; returns its seconds, None if that was done before.

    Raises BadInput for a recording that can't be converted, for a target that is one of the `sources`, and for one
    that is there already, unless `overwrite`; OSError if it can't be written.
    """
    recording.check()
    source = audio.audio_at(recording.path)
    try:
        info = audio.read_header(source)
        changed = recording.path.stat().st_mtime_ns
    except OSError as error:
        raise BadInput(f"it can't be read ({error.strerror})", "check the file and its permissions") from None
    form = wanted.form_of(source)
    if os.path.lexists(target):
        seconds, target_form = _form_of(target)
        # AAC fills its last frame, which makes a file longer than its source.
        is_same = target_form == form and abs(seconds - info.seconds) < 0.1
        if is_same and not target.is_symlink() and target.stat().st_mtime_ns >= changed:
            return None
        if not overwrite or os.path.realpath(target) in sources:
            raise BadInput(
                f"{target.name!r} is already in --out, but was not made from it with these settings",
                "choose another --out, or pass --overwrite, which replaces everything except recordings of the "
                "input",
            )
    with files.replacing(target) as file:
        frames = _encode(file, source, form, info.seconds)
        file.flush()
        written = audio.audio_at(Path(file.name))
        frames_written = sum(map(len, audio.blocks(written)))
        if frames_written != frames:
            lasts = f"{frames_written / form.rate:.3f} s, not {frames / form.rate:.3f} s"
            reason = f"what was written of it lasts {lasts}"
            raise BadInput(reason, "convert it to another format, and report it")
    return info.seconds


def _form_of(path: Path) -> tuple[float, Form | None]:
    """The seconds and the form of a file, as far as libsndfile can read it."""
    try:
        info = soundfile.info(os.fsencode(path))
    except soundfile.LibsndfileError:
        return 0.0, None
    format = "WAV" if info.format in ("WAVEX", "RF64") else str(info.format)
    rate = int(info.samplerate)
    channels = int(info.channels)
    form = Form(rate, channels, format, str(info.subtype))
    return float(info.duration), form


def _encode(file: BinaryIO, source: EncodedAudio, form: Form, seconds: float) -> int:
    """Write a recording in a form; returns the samples a channel.

    One channel is the mean of all; one becomes two equal ones. Raises BadInput, also for two channels of which the
    mean would leave nothing, and OSError.
    """
    sample_bytes = 3 if form.subtype == "PCM_24" else 2
    size = seconds * form.rate * form.channels * sample_bytes
    format = "RF64" if form.format == "WAV" and size > LARGEST_WAV else form.format
    products = np.zeros((2, 2))
    try:
        with (
            files.Disk(file) as disk,
            soundfile.SoundFile(disk, "w", form.rate, form.channels, form.subtype, format=format) as sound,
        ):
            for block in audio.blocks_at(source, form.rate):
                interrupts.check_interrupt()
                if form.channels < block.shape[1] == 2:
                    wide = block.astype(np.float64)
                    products += wide.T @ wide
                if form.channels < block.shape[1]:
                    block = block.mean(axis=1, dtype=np.float32, keepdims=True)
                n_equal = form.channels // block.shape[1]
                samples = np.repeat(block, n_equal, axis=1)
                sound.write(_as_written(samples, form.subtype))
                disk.check()
            frames = int(sound.frames)
    except soundfile.LibsndfileError as error:
        raise BadInput(f"libsndfile can't write it ({error})", "choose another --to") from error
    powers = np.sqrt(products[0, 0] * products[1, 1])
    if products[0, 1] < -SAME * powers:
        raise BadInput(
            "its two channels are one sound with opposite signs, so their mean would be silent",
            "invert one of them first, or leave --channels out",
        )
    return frames


def _as_written(samples: Samples, subtype: str) -> NDArray[np.generic]:
    """Samples in the type that libsndfile writes without changing it."""
    if subtype == "PCM_16":
        return to_pcm(samples)
    if subtype == "PCM_24":
        full_scale = 1 << 23
        rounded = np.rint(samples * np.float32(full_scale))
        whole = np.clip(rounded, -full_scale, full_scale - 1)
        shifted: NDArray[np.generic] = whole.astype(np.int32) << 8
        return shifted
    return samples


CONVERT_SETTINGS = options.setting_options(Conversion())


@options.with_options(CONVERT_SETTINGS)
def convert(
    inputs: list[str] = argument("INPUT", "Recordings, or folders of them."),
    to: str = option(..., Panel.INPUT, f"Format: {options.either(CONTAINERS)}.", metavar="NAME"),
    out: Path = options.out_option(),
    overwrite: bool = option(
        False, Panel.RESULT, "Replace existing files, but never one of INPUT.", "--overwrite"
    ),
    **settings: object,
) -> Outcome:
    """Write recordings as WAV, FLAC, MP3 or Opus.

    Folders and names are kept. Every file is read back before it gets its name, and nothing is overwritten:
    files made earlier of the same recording with the same settings stay, so that a stopped run goes on.
    """
    options.on_this_machine("--out", out)
    one_of("--to", to, CONTAINERS)
    conversion = Conversion(to, **options.chosen(settings, CONVERT_SETTINGS))
    left_out = LeftOut()
    if os.path.realpath(out) in map(os.path.realpath, inputs):
        raise DailytalkError(f"--out {as_text(out)!r} is the input itself", "choose another folder")
    recordings = list_recordings(inputs, out, left_out)
    show.say_left_out(left_out)
    names = []
    for recording in recordings:
        bare = re.sub(r"\.[^./]*\Z", "", recording.audio_file)
        names.append(f"{shortened(bare, 254 - len(to))}.{to}")
    namesakes = Counter(names)
    sources = {os.path.realpath(recording.path) for recording in recordings}

    def tried(task: tuple[Recording, str]) -> float | Reject | None:
        recording, name = task
        try:
            if namesakes[name] > 1:
                raise BadInput(f"{name!r} would be made of {namesakes[name]} recordings", "rename one of them")
            target = files.inside(out, name)
            return convert_recording(recording, target, conversion, overwrite, sources)
        except BadInput as problem:
            return Reject(recording.audio_file, "convert", problem.reason, problem.remedy)

    out.mkdir(parents=True, exist_ok=True)
    with files.folder_locked(out), shown_steps():
        for folder in {(out / name).parent for name in names}:
            files.remove_unfinished(folder)
        tasks = zip(recordings, names, strict=True)
        converting = side_by_side(tried, tasks, cores())
        results = [*steps("recordings converted", converting, len(names))]
        rejects = [result for result in results if isinstance(result, Reject)]
        reject_rows = [reject for reject in rejects_in(out) if reject["stage"] != "convert"]
        reject_rows += [reject.as_dict() for reject in rejects]
        files.write_lines(out / REJECTS, map(files.json_text, reject_rows))
    lengths = [result for result in results if isinstance(result, float)]
    seconds = sum(lengths)
    n_made = len(lengths)
    usable = []
    converted = []
    for recording, name, result in zip(recordings, names, results, strict=True):
        if isinstance(result, float):
            converted.append((recording.audio_file, audio.audio_at(recording.path)))
        if not isinstance(result, Reject):
            usable.append(name)
    show.say_scaled(show.scaled_in(converted))
    n_before = results.count(None)
    before = f", {n_before:,} done before" if n_before else ""
    record = {
        "out": as_text(out),
        "made": n_made,
        "seconds": round(seconds, 3),
        "done_before": n_before,
        "rejected": [reject.as_dict() for reject in rejects],
    }
    next_step = ""
    if usable:
        # A recording with two channels may be a call, one with a single channel is a reading.
        first = audio.audio_at(out / usable[0])
        command = "tag" if audio.read_header(first).channels > 1 else "split"
        next_step = to_run(command, out, "--out", "DIR")
    headline = f"{counted(n_made, 'file')} ({length_text(seconds)}) made{before} in {as_text(out)}"
    rejected = rejected_of(rejects, "recording", f"in {as_text(out / REJECTS)}")
    code = exit_code(n_made + n_before, len(rejects))
    return Outcome(record, headline, code, rejected=rejected, next=next_step)
