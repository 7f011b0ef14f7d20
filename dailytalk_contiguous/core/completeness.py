"""Whether a file holds all the audio that it promises.

libsndfile quietly shortens a WAV, RF64, AIFF or AU file that was cut short, and believes the length that an MP3
states or that it guesses from the first frame, so that half a conversation would pass for a whole one. Both are
found here without decoding, by walking the headers of chunks and frames.
"""

from collections.abc import Iterator
from typing import BinaryIO

from dailytalk_contiguous.core.errors import BadInput

#: Byte order and name of the chunk with the samples, by the first four bytes of the file.
CONTAINERS = {b"RIFF": ("little", b"data"), b"RF64": ("little", b"data"), b"FORM": ("big", b"SSND")}

#: A length in a header that means that the program which wrote it did not know (it was streamed): ffmpeg writes
#: 0xFFFFFFFF, arecord 0x80000000, SoX 0x7FFFF000 (less what does not fill a frame), others 0.
STREAMED = (0, 0xFFFFFFFF, 0x80000000, *range(0x7FFFF000 - 64, 0x7FFFF000 + 64))

#: Seconds by which the frames of an MP3 may differ from its stated length (its first and last frames are padding).
MP3_TOLERANCE = 1.0

#: Bit rates of MPEG layer III in kbit/s by their code, for MPEG 1 and for MPEG 2 and 2.5 (ISO 11172-3, 13818-3).
MPEG1_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MPEG2_KBITS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
MPEG1_RATES = (44100, 48000, 32000)

_REMEDY = "copy or export the recording again"


def refuse_truncated(file: BinaryIO, size: int) -> None:
    """Raise BadInput for an empty file, and for a WAV, RF64, AIFF or AU of `size` bytes that lacks samples.

    `file` is at its beginning, and is left anywhere.
    """
    if not size:
        raise BadInput("the file is empty (0 bytes)", _REMEDY)
    begins = file.read(4)
    if begins == b".snd":  # AU: where its samples begin, and their bytes
        head = file.read(8)
        _refuse_less(size - int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big"))
    elif begins in CONTAINERS:
        order, samples = CONTAINERS[begins]
        for name, start, promised in _chunks(file, size, order == "little"):
            if name == samples:  # what follows one of unknown length are its samples
                _refuse_less(size - start, promised)
                return


def _refuse_less(held: int, promised: int) -> None:
    if promised not in STREAMED and held < promised:
        raise BadInput(
            f"the file is cut short: it holds {held} of the {promised} bytes that its header promises", _REMEDY
        )


class Mended:
    """A WAV whose header says that it holds 0 bytes, as a file that says how many it does.

    Programs write such a header when they stream and are stopped before they can correct it. libsndfile takes 0
    at its word (the other lengths of `STREAMED` make it read to the end).
    """

    def __init__(self, file: BinaryIO, place: int, length: bytes) -> None:
        self._file, self._place, self._length = file, place, length
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int = -1) -> bytes:
        """As of any binary file."""
        first = self._file.tell()
        data = bytearray(self._file.read(count))
        for at, byte in enumerate(self._length, self._place - first):
            if 0 <= at < len(data):
                data[at] = byte
        return bytes(data)


def mended(file: BinaryIO, size: int) -> Mended | None:
    """`file` of `size` bytes with its header put right if it is a WAV of stated length 0, else None."""
    if file.read(4) == b"RIFF":
        for name, start, promised in _chunks(file, size, little=True):
            if name == b"data":
                held = min(size - start, 0xFFFFFFFF)
                file.seek(0)
                return Mended(file, start - 4, held.to_bytes(4, "little")) if held and not promised else None
    return None


def refuse_wrong_length(file: BinaryIO, stated: float) -> None:
    """Raise BadInput for an MP3 whose frames are not the `stated` seconds that a decoder will give."""
    held = sum(_mp3_frames(file))
    if held and abs(held - stated) > MP3_TOLERANCE:
        raise BadInput(
            f"it holds {held:.1f} s but its header makes it {stated:.1f} s",
            "copy it again, or convert it to WAV or FLAC, with ffmpeg for example",
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
    """Seconds of each frame of MPEG layer III; what is no frame (tags) is passed over."""
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


def _at(file: BinaryIO, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)
