"""Reading recordings: what their headers say, whether they are whole, and their samples, a block at a time.

libsndfile reads what it can, `core.decoding` the rest.
"""

import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Literal, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import open_regular
from dailytalk_contiguous.core.errors import BadInput

# What libsndfile can't read (M4A, AAC, WMA, the sound of videos) is decoded by a process of `core.decoding`.
#
# Whosever it is: a path does not say whether the user made the recording or it came from the Hub.


#: Seconds of processor time after which a packet of sound that is still not decoded is given up.
PATIENCE = 60.0


class _Decoder:
    """A process of `core.decoding`. `idle`: whether it has answered all that it was asked."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._answers = self._socket.makefile("rb")
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", Path(__file__).with_name("decoding.py")],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for the command; a decoder ended by it would look like a damaged file
            )
        self.idle = True

    def ask(self, file: BinaryIO, request: dict[str, Any]) -> Iterator[Any]:
        """Yield the facts of a file, then each block as bytes. Raises BadInput."""
        self.idle = False
        with suppress(ConnectionError):
            socket.send_fds(self._socket, [json.dumps(request).encode()], [file.fileno()])
            while line := self._answers.readline():
                answer = json.loads(line)
                if "error" in answer:
                    self.idle = True
                    if answer["error"]:
                        raise BadInput(*answer["error"])
                    return
                data = self._answers.read(answer.get("bytes", 0))
                if len(data) == answer.get("bytes", 0):
                    yield data or answer
        code = self.process.wait()
        reason = "is stuck" if code == -signal.SIGPROF else f"crashed (exit code {code})"
        raise BadInput(f"its decoder {reason}", "convert it to WAV or FLAC")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._answers.close()
        self._socket.close()


#: Decoders that wait for a file. A process that is forked from this one must start its own.
_idle: list[_Decoder] = []
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_idle.clear)


def _decoded(audio: dict[str, Any], **request: Any) -> Iterator[Any]:
    """Answers of a decoder to a request about encoded audio. Raises BadInput."""
    with _opened(audio) as (file, _), ExitStack() as stack:
        if audio["bytes"] is not None:  # a file is all that can be handed to another process
            file = stack.enter_context(TemporaryFile())
            file.write(audio["bytes"])
            file.flush()
        decoder = None
        with suppress(IndexError):
            decoder = _idle.pop()
        if decoder is None or decoder.process.poll() is not None:
            decoder = _Decoder()
        try:
            yield from decoder.ask(file, {"patience": PATIENCE, **request})
        finally:
            if decoder.idle:
                _idle.append(decoder)
            else:
                decoder.end()


# Completeness: whether a file has all the audio that its header promises.
#
# libsndfile quietly shortens a WAV, RF64, W64, AIFF, CAF or Ogg file that was cut short, and believes the
# length that an MP3 states or that it guesses from the first frame, so that half a conversation would pass for a
# whole one. Both are found here without decoding, by walking the headers of chunks, pages and frames.


#: Byte order and name of the chunk with the samples, by the first four bytes of the file.
CONTAINERS = {b"RIFF": ("little", b"data"), b"RF64": ("little", b"data"), b"FORM": ("big", b"SSND")}

#: The GUID that a W64 begins with (Sonic Foundry; `riff` and twelve bytes), bytes before its first chunk, and the
#: head of a chunk: a GUID of which the first four bytes are a name, and a length that counts this head, too.
W64, W64_HEAD, W64_CHUNK = b"riff.\x91\xcf\x11\xa5\xd6(\xdb\x04\xc1\x00\x00", 40, 24

#: Chunks of a W64 or CAF among which its samples are looked for: a file may be full of empty ones.
MOST_CHUNKS = 1000

#: Bytes of an Ogg page: its head before the table of segments, and the most that it has (RFC 3533, section 6).
OGG_HEAD, OGG_PAGE = 27, 65_307

#: A length in a header that means that the program which wrote it did not know (it was streamed): most
#: write 0xFFFFFFFF (some less the 36 bytes of the header), arecord 0x80000000, SoX 0x7FFFF000 (less what does not
#: fill a frame), others 0x7FFFFFFF or 0; pocket-tts promises 1,000,000,000 samples.
STREAMED = (0, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0x80000000, 0x7FFFFFFF, 2_000_000_000)
STREAMED += (*range(0x7FFFF000 - 64, 0x7FFFF000 + 64),)

#: Bytes of a chunk of texts at the end of a WAV, at most.
LONGEST_TEXTS = 1 << 16

#: Seconds by which the frames of an MP3 may differ from its stated length (its first and last frames are padding).
MP3_TOLERANCE = 1.0

#: Bit rates of MPEG layer III in kbit/s by their code, for MPEG 1 and for MPEG 2 and 2.5 (ISO 11172-3, 13818-3).
MPEG1_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MPEG2_KBITS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
MPEG1_RATES = (44100, 48000, 32000)

_REMEDY = "copy or export the recording again"


def refuse_truncated(file: BinaryIO, size: int) -> None:
    """Raise BadInput for an empty file, and for one of `size` bytes that lacks samples.

    Of a WAV, RF64, W64, AIFF, CAF or Ogg; with others their decoder fails.
    `file` is at its beginning, and is left anywhere.
    """
    if not size:
        raise BadInput("the file is empty (0 bytes)", _REMEDY)
    begins = file.read(4)
    if begins == b"OggS":
        _refuse_half_a_page(_at(file, max(0, size - OGG_PAGE), OGG_PAGE))
    elif begins == b"riff" and _at(file, 0, 16) == W64:
        for start, head in _heads(file, W64_HEAD, W64_CHUNK, lambda head: -(-_long(head[16:], "little") // 8) * 8):
            if head[:4] == b"data":
                _refuse_less(size - start, _long(head[16:], "little") - W64_CHUNK)
                return
    elif begins == b"caff":
        for start, head in _heads(file, 8, 12, lambda head: 12 + _long(head[4:], "big")):
            if head[:4] == b"data":
                _refuse_less(size - start, 0 if head[4] & 0x80 else _long(head[4:], "big"))  # -1: it was streamed
                return
    elif begins in CONTAINERS:
        order, samples = CONTAINERS[begins]
        for name, start, promised in _chunks(file, size, order == "little"):
            if name == samples:  # what follows one of unknown length are its samples
                _refuse_less(size - start, promised)
                return


def _heads(file: BinaryIO, at: int, length: int, size_of: Callable[[bytes], int]) -> Iterator[tuple[int, bytes]]:
    """Where the content of each chunk begins, and its head of `length` bytes; `size_of` both is in that head."""
    for _ in range(MOST_CHUNKS):
        if len(head := _at(file, at, length)) < length:
            return
        yield at + length, head
        at += max(length, size_of(head))


def _long(data: bytes, order: Literal["little", "big"]) -> int:
    return int.from_bytes(data[:8], order)


def _refuse_half_a_page(end: bytes) -> None:
    """Raise BadInput if the last page of an Ogg file, of which this is the end, is not whole.

    A file that stops between two pages can't be distinguished from a recording that was ended there.
    """
    at = end.rfind(b"OggS\0")
    if at < 0:
        return
    segments = end[at + OGG_HEAD - 1] if len(end) >= at + OGG_HEAD else 255
    table = end[at + OGG_HEAD : at + OGG_HEAD + segments]
    if len(end) < at + OGG_HEAD + segments + sum(table):
        raise BadInput("the file is cut short: its last page is not whole", _REMEDY)


def _refuse_less(held: int, promised: int) -> None:
    if promised not in STREAMED and held < promised:
        raise BadInput(
            f"the file is cut short: it holds {held} of the {promised} bytes that its header promises", _REMEDY
        )


class Mended:
    """A WAV whose header does not know how many bytes of samples it holds, as a file that says so (`held`).

    Programs write such a header when they stream. libsndfile takes 0 at its word, and what is behind the samples
    for samples.
    """

    def __init__(self, file: BinaryIO, offset: int, held: int) -> None:
        self._file, self._offset, self.held = file, offset, held
        self._length = min(held, 0xFFFFFFFF).to_bytes(4, "little")
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int = -1) -> bytes:
        first = self._file.tell()
        data = bytearray(self._file.read(count))
        for at, byte in enumerate(self._length, self._offset - first):
            if 0 <= at < len(data):
                data[at] = byte
        return bytes(data)


def mended(file: BinaryIO, size: int) -> Mended | None:
    """`file` of `size` bytes with its header put right if it is a WAV of unknown length (`STREAMED`), else None.

    Its samples end where the file does, or where a last chunk with texts (`LIST`) begins.
    """
    if file.read(4) == b"RIFF":
        for name, start, promised in _chunks(file, size, little=True):
            if name == b"data":
                last = _at(file, max(start, size - LONGEST_TEXTS), LONGEST_TEXTS)
                at = last.rfind(b"LIST")
                has_texts = at >= 0 and len(last) - at - 8 == int.from_bytes(last[at + 4 : at + 8], "little")
                held = size - start - (len(last) - at if has_texts else 0)
                file.seek(0)
                return Mended(file, start - 4, held) if held and promised in STREAMED else None
    return None


def refuse_wrong_length(file: BinaryIO, stated: float) -> None:
    """Raise BadInput for an MP3 whose frames are not the `stated` seconds that a decoder will give."""
    held = sum(_mp3_frames(file))
    if held and abs(held - stated) > MP3_TOLERANCE:
        raise BadInput(
            f"it holds {held:.1f} s but its header makes it {stated:.1f} s",
            "copy it again, or convert it to WAV or FLAC",
        )


def _chunks(file: BinaryIO, size: int, little: bool) -> Iterator[tuple[bytes, int, int]]:
    """Name, place and promised bytes of each chunk."""
    order = "little" if little else "big"
    at, long_size = 12, None
    while at + 8 <= size:
        file.seek(at)
        head = file.read(8)
        if head[:4] == bytes(4):  # no chunk but zeros, eight bytes of which would be one after the other
            return
        name, promised = head[:4], int.from_bytes(head[4:], order)  # type: ignore[arg-type]
        if name == b"ds64":  # RF64 keeps here what does not fit into 32 bits
            long_size = int.from_bytes(file.read(16)[8:], "little")
        if name == b"data" and long_size is not None:
            promised = long_size
        yield name, at + 8, promised
        at += 8 + promised + promised % 2


def _mp3_frames(file: BinaryIO) -> Iterator[float]:
    """Seconds of each frame of MPEG layer III; other data (tags) are skipped."""
    file.seek(0)
    head = file.read(10)
    at = 0
    if head[:3] == b"ID3":
        at = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    linked = False  # whether the frame before said that one begins here; chance alone looks like a frame, too
    while True:
        length, seconds = _mp3_frame(_at(file, at, 4))
        follows = length > 0 and _mp3_frame(_at(file, at + length, 4))[0] > 0
        if length and (linked or follows):
            yield seconds
            at, linked = at + length, follows
            continue
        rest = _at(file, at, 65536)
        if len(rest) < 4:
            return
        sync = rest.find(b"\xff", 1)
        at, linked = at + (sync if sync > 0 else len(rest)), False


def _mp3_frame(head: bytes) -> tuple[int, float]:
    """Bytes and seconds of the frame that `head` begins; (0, 0.0) if it begins none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:  # eleven bits of sync, layer III
        return 0, 0.0
    version, bits, rate_code, padding = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or bits in (0, 15) or rate_code == 3:
        return 0, 0.0
    mpeg1 = version == 3
    kbits = (MPEG1_KBITS if mpeg1 else MPEG2_KBITS)[bits]
    rate = MPEG1_RATES[rate_code] // {3: 1, 2: 2, 0: 4}[version]
    samples = 1152 if mpeg1 else 576
    return samples // 8 * kbits * 1000 // rate + padding, samples / rate


def _at(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


# Reading recordings: the facts of a file, and its samples in blocks, at any rate, never all of it in memory.
#
# The only place that turns samples into seconds and back, and the only one of this floor that touches files.
# Analysis runs on 16 kHz 16-bit samples: that is what every model here wants, and it makes a minute of one channel
# 1.9 MB.
# Files are checked while they are read (cut short, not-a-number samples), because a header can promise anything.


#: Hz. The rate of all analysis (Silero, Whisper and wav2vec2 were trained at it).
ANALYSIS_RATE = 16000

#: What libsndfile reads, and what `core.decoding` does. Other files in a folder are no recordings.
AUDIO_SUFFIXES = frozenset(
    """
    .wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .caf .w64 .rf64
    .m4a .m4b .aac .wma .amr .ac3 .mka .mp4 .m4v .mov .mkv .webm .avi
    """.split()  # noqa: SIM905 (a list of quoted words is no easier to read)
)

#: Hz. Below, speech has lost the consonants that recognisers need; above, a file is likely mislabelled.
LOWEST_RATE, HIGHEST_RATE = 8000, 96000

#: Seconds read at a time: long enough to amortise the resampler, short enough to keep memory flat.
BLOCK_SECONDS = 20.0

#: Subtypes of libsndfile of which 16 bits are not all.
_FINE = frozenset({"PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAC_20", "ALAC_24", "ALAC_32"})

#: libsndfile takes the length of these from a header or guesses it from the first frame, to within a frame or two.
_MPEG = {"MP3", "MPEG"}

#: libsndfile's number of frames (SF_COUNT_MAX) for a FLAC that was streamed.
_UNKNOWN_FRAMES = 2**63 - 1

#: Seconds that are decoded and left out before a part: libsndfile finds its place exactly, but the first frames of
#: an MP3 after that are damaged, and so is all that follows when it lands in the last page of an Ogg Vorbis.
_PREROLL_SECONDS = 5.0

#: Samples by which a length in seconds may be wrong: a frame of MP3 or two at any rate.
_SPARE = 8192

#: Seconds for which memory is reserved because a header says so; what is longer has to be read first.
_LONGEST_PROMISE = 3600.0

#: Recordings whose header and completeness are remembered: every part of one asks for them, and a day of MP3 has
#: millions of frames to walk.
_REMEMBERED = 1024

#: Beyond what any format means by a sample: floats that hold 32-bit integers reach 2 ** 31, others about 1.
_LARGEST_SAMPLE = 2.0**32

Samples = NDArray[np.float32]
Pcm = NDArray[np.int16]


@dataclass(frozen=True)
class AudioHeader:
    """The facts in a file's header: rate in Hz, number of channels, length in seconds, and the format's name."""

    sample_rate: int
    channels: int
    seconds: float
    format: str


def to_uri(path: Path) -> str:
    """A path as text that Arrow and JSON can hold: as it is, or a `file://` URI if its name is not UTF-8."""
    text = str(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "file://" + quote_from_bytes(bytes(path))
    return text


def from_uri(text: str) -> Path:
    """Undo `to_uri`."""
    if text.startswith("file://"):
        return Path(unquote_to_bytes(text.removeprefix("file://")).decode("utf-8", "surrogateescape"))
    return Path(text)


def embedded(audio: Mapping[str, Any] | None) -> dict[str, Any]:
    """The audio of a dataset's row as a `{"bytes", "path"}` struct whose path is None.

    Every reader of finished rows goes through this: a dataset may come from a stranger, and a path in one may name
    any file of this machine. A row without bytes is no error here; its decoder raises BadInput.
    """
    data = audio.get("bytes") if isinstance(audio, Mapping) else None
    return {"bytes": data if isinstance(data, bytes) else None, "path": None}


#: How a file of Git LFS begins while only its pointer is there (git-lfs.com, docs/spec.md).
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
LFS_REMEDY = "run git lfs pull in the checkout"


def read_header(audio: dict[str, Any]) -> AudioHeader:
    """Read the header of encoded audio, a `{"bytes", "path"}` struct.

    A file that was found whole is not checked again by this process until its size or date changes.

    Raises:
        BadInput: there is none, it is empty or cut short, or nothing here can decode it.
    """
    if audio["bytes"] is not None or audio["path"] is None:
        return _read_header(audio)
    status = from_uri(audio["path"]).stat()
    return _read_header_of_file(audio["path"], status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=_REMEMBERED)
def _read_header_of_file(path: str, size: int, modified: int) -> AudioHeader:
    del size, modified  # part of the cache's key: they distinguish this file from an earlier one of its name
    return _read_header({"bytes": None, "path": path})


def _read_header(audio: dict[str, Any]) -> AudioHeader:
    with _opened(audio) as (encoded, size):
        refuse_truncated(encoded, size)
        encoded.seek(0)
        if encoded.read(len(LFS_POINTER)) == LFS_POINTER:
            raise BadInput("it is a Git LFS pointer, not the file itself", LFS_REMEDY)
        try:
            with _sound_file(audio) as file:
                description = AudioHeader(
                    file.samplerate, file.channels, file.frames / file.samplerate, file.format
                )
                frames = file.frames
        except soundfile.LibsndfileError:
            (facts,) = _decoded(audio)
            return AudioHeader(facts["sample_rate"], facts["channels"], facts["seconds"], facts["format"])
        if frames == _UNKNOWN_FRAMES:
            raise BadInput("its header does not say how long it is (it was streamed)", "convert it to WAV or FLAC")
        if description.format in _MPEG:
            refuse_wrong_length(encoded, description.seconds)
    return description


#: Texts that a file may have about its content, by the names of libsndfile.
TAGS = ("title", "artist", "album", "date", "genre", "tracknumber", "comment", "copyright", "license")


def tags(audio: dict[str, Any]) -> dict[str, str]:
    """Those of `TAGS` that a recording has (title, artist, …), without empty ones.

    Empty for a file that `read_header` can't read, and for one whose tags are damaged.
    """
    try:
        with _sound_file(audio) as file:
            texts = {name: getattr(file, name) for name in TAGS}
    except soundfile.LibsndfileError:
        try:
            (facts,) = _decoded(audio)
        except BadInput:
            return {}
        texts = {name.lower(): text for name, text in facts["tags"].items()}
        texts["tracknumber"] = texts.get("track", "")
    except UnicodeDecodeError:
        return {}
    return {name: text for name in TAGS if (text := texts.get(name, "").replace("\0", "").strip())}


def has_over_16_bits(audio: dict[str, Any]) -> bool:
    """Return whether the samples of a file that libsndfile reads have more than 16 bits."""
    try:
        with _sound_file(audio) as file:
            return file.subtype in _FINE
    except soundfile.LibsndfileError:
        return False


def blocks(
    audio: dict[str, Any], start: float = 0.0, duration: float | None = None, block_seconds: float = BLOCK_SECONDS
) -> Iterator[Samples]:
    """Yield the samples of a part of a recording at its own rate, float32 in [-1, 1], shape (n, channels).

    Args:
        audio: a `{"bytes", "path"}` struct.
        start: seconds from the beginning of the file, taken to the nearest sample.
        duration: seconds; to the end if None.
        block_seconds: length of what is yielded at a time.

    Raises:
        BadInput: the file ends before its header says, holds samples that are no numbers, or can't be read.
    """
    try:
        with _sound_file(audio) as file:
            rate: int = file.samplerate
            first = round(start * rate)
            left = file.frames - first
            wanted = left if duration is None else min(round(duration * rate), left)
            if first:
                before = min(first, round(_PREROLL_SECONDS * rate))
                file.seek(first - before)
                file.read(before, dtype="float32")
            done = 0
            while done < wanted:
                block = file.read(min(round(block_seconds * rate), wanted - done), dtype="float32", always_2d=True)
                if not len(block):
                    break
                yield _finite(block, start + done / rate)
                done += len(block)
            if done < wanted and file.format not in _MPEG:
                promised = file.frames / rate
                raise BadInput(
                    f"the file ends at {start + done / rate:.1f} s but its header promises {promised:.1f} s",
                    "copy or export the recording again",
                )
            return
    except soundfile.LibsndfileError as error:
        message = str(error).lower()
        if not any(unknown in message for unknown in ("not recognised", "unknown format", "unimplemented")):
            cause = str(getattr(error, "error_string", error)).rstrip(".")  # without the path before it
            raise BadInput(f"it can't be decoded ({cause})", "copy or export the file again") from None
    decoded = _decoded(audio, decode=True, start=start, duration=duration, block_seconds=block_seconds)
    facts = next(decoded)
    for data in decoded:
        block = np.frombuffer(data, "<f4").reshape(-1, facts["channels"])
        yield _finite(block, start)
        start += len(block) / facts["sample_rate"]


class SampleFormat(NamedTuple):
    """How a file's samples are kept whole in a WAV: libsndfile's subtype, and the type of an array of them."""

    subtype: str
    dtype: str


#: Of the subtypes that lose nothing. What is compressed is decoded once, to 16 bits.
_WHOLE = {
    **dict.fromkeys(("PCM_U8", "PCM_S8"), SampleFormat("PCM_U8", "int16")),
    **dict.fromkeys(("PCM_16", "ALAC_16", "ULAW", "ALAW"), SampleFormat("PCM_16", "int16")),
    **dict.fromkeys(("PCM_24", "ALAC_20", "ALAC_24"), SampleFormat("PCM_24", "int32")),
    **dict.fromkeys(("PCM_32", "ALAC_32"), SampleFormat("PCM_32", "int32")),
    "FLOAT": SampleFormat("FLOAT", "float32"),
    "DOUBLE": SampleFormat("DOUBLE", "float64"),
}
_DECODED = SampleFormat("PCM_16", "int16")

#: Of what libsndfile can't read: it may have lost nothing (ALAC in an M4A, APE), and seldom has more than 24 bits.
_OTHERS = SampleFormat("PCM_24", "int32")


def sample_format(audio: dict[str, Any]) -> SampleFormat:
    """How all of a recording's samples can be kept."""
    try:
        with _sound_file(audio) as file:
            return _WHOLE.get(file.subtype, _DECODED)
    except soundfile.LibsndfileError:
        return _OTHERS


def whole_blocks(audio: dict[str, Any], start: int = 0, block_seconds: float = BLOCK_SECONDS) -> Iterator[Any]:
    """Yield the samples of a recording from sample `start` on as the file has them, shape (n, channels).

    They are of the type that `sample_format` names. What is compressed is decoded from its beginning, so that a
    sample is the same wherever reading starts. Raises BadInput as `blocks` does.
    """
    kept = sample_format(audio)
    with suppress(soundfile.LibsndfileError), _sound_file(audio) as file:
        if file.subtype in _WHOLE:
            file.seek(start)
            n_samples = round(block_seconds * file.samplerate)
            while len(block := file.read(n_samples, dtype=kept.dtype, always_2d=True)):
                yield block
            return
    for block in blocks(audio, block_seconds=block_seconds):
        skipped, start = min(start, len(block)), max(0, start - len(block))
        if kept is _DECODED:
            yield to_pcm(block[skipped:])
        else:
            whole = np.clip(np.rint(block[skipped:].astype(np.float64) * 2**23), -(2**23), 2**23 - 1)
            yield whole.astype(np.int32) << 8


def blocks_at(
    audio: dict[str, Any],
    sample_rate: int,
    start: float = 0.0,
    duration: float | None = None,
    tap: Callable[[Samples], object] | None = None,
) -> Iterator[Samples]:
    """Yield a part of a recording as float32 at a rate in Hz, shape (n, channels), by one streaming resampler.

    Bit for bit at its own rate. `tap` is called with each block as `blocks` yields it, before it is resampled.
    Raises BadInput as `blocks` does.
    """
    info = read_header(audio)
    resampler = None
    if info.sample_rate != sample_rate:
        resampler = soxr.ResampleStream(info.sample_rate, sample_rate, info.channels, dtype="float32")
    for block in blocks(audio, start, duration):
        if tap is not None:
            tap(block)
        yield resampler.resample_chunk(block) if resampler else block
    if resampler:
        yield resampler.resample_chunk(np.zeros((0, info.channels), np.float32), last=True)


def read_pcm(
    audio: dict[str, Any],
    start: float = 0.0,
    duration: float | None = None,
    tap: Callable[[Samples], object] | None = None,
    sample_rate: int = ANALYSIS_RATE,
) -> Pcm:
    """Read the blocks of `blocks_at` as one array of int16: 16-bit samples at that rate are unchanged."""
    info = read_header(audio)
    left = info.seconds - start
    seconds = min(max(0.0, left if duration is None else min(duration, left)), _LONGEST_PROMISE)
    # One array from the start: blocks joined at the end exist twice, 50 MB for a quarter of an hour.
    samples = np.empty((round(seconds * sample_rate) + _SPARE, info.channels), np.int16)
    held = 0
    for block in blocks_at(audio, sample_rate, start, duration, tap):
        if held + len(block) > len(samples):
            samples = np.concatenate((samples[:held], np.empty((held + len(block), info.channels), np.int16)))
        samples[held : held + len(block)] = to_pcm(block)
        held += len(block)
    return samples[:held]


def read_at(audio: dict[str, Any], sample_rate: int, start: float = 0.0, duration: float | None = None) -> Samples:
    """A part of a recording as float32, shape (n, channels), at `sample_rate`: bit for bit if that is its rate.

    Raises BadInput as `blocks` does.
    """
    nothing = np.zeros((0, read_header(audio).channels), np.float32)
    return np.concatenate([nothing, *blocks_at(audio, sample_rate, start, duration)])


def to_pcm(samples: Samples) -> Pcm:
    """Float samples in [-1, 1] as int16; what is outside is clipped."""
    scaled: Samples = samples * np.float32(32768)
    np.clip(np.rint(scaled, out=scaled), -32768, 32767, out=scaled)
    return scaled.astype(np.int16)


def encoded_sound(pcm: Pcm, sample_rate: int, container: Literal["FLAC", "WAV"]) -> bytes:
    """A file of 16 bits."""
    file = io.BytesIO()
    soundfile.write(file, pcm, sample_rate, "PCM_16", format=container)
    return file.getvalue()


def pcm_to_float(pcm: Pcm | bytes) -> Samples:
    """int16 samples, or their little-endian bytes, as float32 in [-1, 1).

    A new array at each call: to keep it for the next stage would save next to nothing (0.04 % of the time).
    """
    samples = (np.frombuffer(pcm, "<i2") if isinstance(pcm, bytes) else pcm).astype(np.float32)
    samples /= 32768.0
    return samples


def mixed_down(pcm: Pcm) -> Pcm:
    """The mean of all channels; of one channel, that one."""
    mixed: Pcm = pcm.mean(axis=1).round().astype(np.int16)
    return mixed


def excerpt(channel: Pcm, start: float, end: float) -> Pcm:
    """16 kHz samples from one second to another; one before the beginning counts as 0."""
    first, last = (max(0, round(edge * ANALYSIS_RATE)) for edge in (start, end))
    return channel[first:last]


def _finite(block: Samples, start: float) -> Samples:
    lowest, highest = block.min(initial=0.0), block.max(initial=0.0)  # NaN if one sample is
    if not -_LARGEST_SAMPLE <= lowest <= highest <= _LARGEST_SAMPLE:
        raise BadInput(
            f"samples that are not numbers (NaN, infinite or beyond {_LARGEST_SAMPLE:.0e}) after {start:.1f} s",
            "export the recording again, as 16-bit PCM or FLAC",
        )
    return block


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """Without the seek that python-soundfile makes after every read: MP3 frames need the bits of those before."""

    def seekable(self) -> bool:
        return False


@contextmanager
def _sound_file(audio: dict[str, Any]) -> Iterator[soundfile.SoundFile]:
    with _opened(audio) as (encoded, size):
        source: Any = mended(encoded, size)
        if source is None:
            encoded.seek(0)
            # The descriptor and not the path, which could be another file by now.
            source = encoded if audio["bytes"] is not None else encoded.fileno()
            if isinstance(source, int):
                os.lseek(source, 0, os.SEEK_SET)
        with _Sequential(source, closefd=False) as file:
            yield file


@contextmanager
def _opened(audio: dict[str, Any]) -> Iterator[tuple[BinaryIO, int]]:
    """The encoded audio as a binary file, and its size in bytes."""
    if audio["bytes"] is not None:
        yield io.BytesIO(audio["bytes"]), len(audio["bytes"])
        return
    if audio["path"] is None:
        raise BadInput(
            "the row holds no audio (of a dataset only embedded bytes are read, never a path)",
            "publish or build the dataset again with its audio in it",
        )
    with open_regular(from_uri(audio["path"])) as file:
        yield file, os.fstat(file.fileno()).st_size


# The one channel of a clip of one speaker, from files with one or two channels.
#
# Corpora of single speakers hold stray stereo files: a dead second channel, the same microphone twice, or once
# inverted. These are recognised by their levels and correlation; two channels that differ have more than one
# speaker (or two microphones, whose sum would comb), and are rejected rather than mixed.


#: Mean square of a channel that holds nothing (−80 dBFS), and dB under the other at which one is dead: what leaks
#: between the channels of a sound card is softer, and a room behind close speech seldom is.
SILENT, DEAD_DB = 1e-8, 40.0

#: Correlation above which two channels are the same sound: independent noise 13 dB under it is let pass.
SAME = 0.95


#: What to do with a recording of one channel where two are needed.
ONE_CHANNEL = (
    "make call.left.wav and call.right.wav of it with a diariser and a separator of your choice, "
    "or pass --channel mix to take it as one speaker"
)


class OneChannel(NamedTuple):
    """Samples of shape (n,), and what they are: `mono`, `left`, `right`, `mean` or `mean-inverted`."""

    samples: Samples
    taken: str


def one_channel(samples: Samples) -> OneChannel:
    """The voice of a clip, float32, shape (n, channels) in and (n,) out.

    A dead channel is left out; of two that carry the same the mean is taken, with the second turned over
    (`mean-inverted`) where it has the opposite sign, because the mean would cancel.

    Raises:
        BadInput: the two channels differ, or there are more than two.
    """
    count = samples.shape[1]
    if count == 1:
        return OneChannel(samples[:, 0], "mono")
    if count != 2:
        raise BadInput(f"it has {count} channels, not one or two", "export it with one channel")
    left, right = np.ascontiguousarray(samples.T)
    powers = [float(np.mean(side**2)) if len(side) else 0.0 for side in (left, right)]
    loud, soft = max(powers), min(powers)
    if soft < SILENT or soft < loud * 10 ** (-DEAD_DB / 10):
        return OneChannel(*((left, "left") if powers[0] >= powers[1] else (right, "right")))
    alike = float(np.mean(left * right)) / float(np.sqrt(loud * soft))
    if abs(alike) < SAME:
        raise BadInput(
            f"its two channels differ (correlation {alike:.2f}, {SAME:g} is the least for one voice on both)",
            "export the channel of the speaker alone",
        )
    if alike < 0:
        return OneChannel((left - right) / 2, "mean-inverted")
    return OneChannel((left + right) / 2, "mean")
