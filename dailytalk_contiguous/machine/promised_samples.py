"""Bytes of samples that the head of a WAV, RF64, AIFF or SPHERE promises, and the bytes that are there.

libsndfile quietly shortens a file that was cut short, so that half a conversation would pass for a whole one, and
believes a head whose program died before it wrote the length of the recording.
"""

import re
from typing import BinaryIO, Literal

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.machine.sphere import sphere_head, sphere_samples

#: Byte order and name of the chunk with the samples, by the first four bytes of the file.
CHUNKED: dict[bytes, tuple[Literal["little", "big"], bytes]] = {
    b"RIFF": ("little", b"data"),
    b"RF64": ("little", b"data"),
    b"FORM": ("big", b"SSND"),
}

#: A length in a header that means that the program which wrote it did not know (it was streamed): most
#: write 0xFFFFFFFF (some less the 36 bytes of the header), arecord 0x80000000, SoX 0x7FFFF000 (less what does not
#: fill a frame), others 0x7FFFFFFF or 0; pocket-tts promises 1,000,000,000 samples.
STREAMED = (0, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0x80000000, 0x7FFFFFFF, 2_000_000_000)
STREAMED += (*range(0x7FFFF000 - 64, 0x7FFFF000 + 64),)

#: Bytes behind the samples that are no more of them: chunks are less than that cut short, editors leave some.
_LEAST_FOLLOWING = 1024

#: The name of a chunk, and what programs that tag music put at the end of a file.
_CHUNK_NAME = re.compile(rb"[A-Za-z0-9_ ]{4}")
_TAGS = (b"ID3", b"TAG", b"APETAGEX")


def promised_samples(file: BinaryIO, size: int) -> tuple[int, int] | None:
    """Return the bytes of samples that the head of a WAV, RF64, AIFF or SPHERE promises, and those in the file.

    A WAV or RF64 promises 0 where its program did not know, and where more sound follows than it says. The result
    is None for other files, and where no samples are found. The position of `file` changes. Raises BadInput for an
    AIFF with more sound than it says.
    """
    fields = sphere_head(file)
    if fields:
        return sphere_samples(fields, size)
    file.seek(0)
    begins = file.read(4)
    if begins not in CHUNKED:
        return None
    order, samples = CHUNKED[begins]
    position = 12
    long_size = None
    while position + 8 <= size:
        file.seek(position)
        head = file.read(8)
        name = head[:4]
        if name == bytes(4):  # no chunk but zeros, eight bytes of which would be one after the other
            return None
        promised = int.from_bytes(head[4:], order)
        if name == b"ds64":  # RF64 keeps here what does not fit into 32 bits
            long_size = int.from_bytes(file.read(16)[8:], "little")
        if name == samples:
            if promised == 0xFFFFFFFF and long_size is not None:
                promised = long_size
            start = position + 8
            if not _sound_follows(file, start + promised, size, order):
                return promised, size - start
            if order == "little":
                return 0, size - start
            reason = f"its header promises {promised} bytes of samples, and {size - start} follow"
            raise BadInput(reason, "export the recording again")
        position += 8 + promised + promised % 2
    return None


def _sound_follows(file: BinaryIO, end: int, size: int, order: Literal["little", "big"]) -> bool:
    """Whether neither a chunk, nor a tag, nor zeros, nor the end of the file follow the samples that end there."""
    if end + _LEAST_FOLLOWING > size:
        return False
    for start in (end, end + 1):  # behind a sample of one byte there is another one, which some programs forget
        file.seek(start)
        head = file.read(8)
        length = int.from_bytes(head[4:], order)
        is_chunk = _CHUNK_NAME.fullmatch(head[:4]) and start + 8 + length <= size + 1
        if is_chunk or head.startswith(_TAGS) or head == bytes(8):
            return False
    return True
