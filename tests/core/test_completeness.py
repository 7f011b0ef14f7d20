"""Headers against what a file holds: to the byte, in every container, and every frame of an MP3."""

import io
from itertools import product

import pytest

from dailytalk_contiguous.core.audio import (
    MPEG1_KBITS,
    MPEG1_RATES,
    MPEG2_KBITS,
    STREAMED,
    mended,
    refuse_truncated,
    refuse_wrong_length,
)
from dailytalk_contiguous.core.errors import BadInput


def chunk(name: bytes, size: int, data: bytes = b"", order: str = "little") -> bytes:
    return name + size.to_bytes(4, order) + data  # type: ignore[arg-type]


def container(kind: str, promised: int, held: int) -> bytes:
    """A file of `held` bytes of samples that promises others."""
    if kind == "AIFF":
        inside = chunk(b"COMM", 3, b"abc\0", "big") + chunk(b"SSND", promised, b"\x01" * held, "big")
        return chunk(b"FORM", 0, b"AIFF", "big") + inside
    if kind == "RF64":
        sizes = bytes(8) + promised.to_bytes(8, "little") + bytes(12)
        inside = chunk(b"ds64", 28, sizes) + chunk(b"data", 0xFFFFFFFF, b"\x01" * held)
        return chunk(b"RF64", 0xFFFFFFFF, b"WAVE") + inside
    inside = chunk(b"fmt ", 4, b"abcd") + chunk(b"LIST", 3, b"abc\0") + chunk(b"data", promised, b"\x01" * held)
    return chunk(b"RIFF", 0, b"WAVE") + inside


@pytest.mark.parametrize("kind", ["WAV", "RF64", "AIFF"])
@pytest.mark.parametrize("behind", [b"", b"\x01\x01tag \x02\0\0\0ab"])
def test_file_that_lacks_one_byte_is_refused_and_one_that_holds_all_is_not(kind: str, behind: bytes) -> None:
    data = container(kind, 1000, 1000)
    refuse_truncated(io.BytesIO(data + behind), len(data + behind))
    with pytest.raises(BadInput) as caught:
        refuse_truncated(io.BytesIO(data[:-1]), len(data) - 1)
    assert caught.value.reason == (
        "the file is cut short: it holds 999 of the 1000 bytes that its header promises"
    )
    assert caught.value.remedy == "copy or export the recording again"


@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
@pytest.mark.parametrize(
    ("promised", "refused"),
    [(0, False), (0xFFFFFFFF, False), (0x80000000, False), (0xFFFFFFFE, True), (0x80000001, True), (51, True)]
    + [(0x7FFFF000 + by, by in (-65, 64)) for by in (-65, -64, 0, 63, 64)],
)
def test_length_that_programs_write_for_unknown_is_no_promise(kind: str, promised: int, refused: bool) -> None:
    assert (promised not in STREAMED) == refused
    data = container(kind, promised, 50)
    if refused:
        with pytest.raises(BadInput, match=f"it holds 50 of the {promised} bytes"):
            refuse_truncated(io.BytesIO(data), len(data))
    else:
        refuse_truncated(io.BytesIO(data), len(data))


@pytest.mark.parametrize("data", [b"abc", b"ID3\x03" + bytes(40), b"RIFF" + bytes(8), b"RIFF" + bytes(40)])
def test_file_without_samples_to_count_is_let_pass(data: bytes) -> None:
    refuse_truncated(io.BytesIO(data), len(data))
    assert mended(io.BytesIO(data), len(data)) is None
    with pytest.raises(BadInput, match=r"^the file is empty \(0 bytes\): copy or export"):
        refuse_truncated(io.BytesIO(b""), 0)


def mp3_frame(version: int, bits: int, rate: int, padding: int = 0) -> tuple[bytes, float]:
    """A frame of MPEG layer III (version 3: 1, 2: 2, 0: 2.5), and its seconds."""
    hertz = (44100, 48000, 32000)[rate] // {3: 1, 2: 2, 0: 4}[version]
    kbits = (MPEG1_KBITS if version == 3 else MPEG2_KBITS)[bits]
    samples = 1152 if version == 3 else 576
    head = bytes((0xFF, 0xE3 | version << 3, bits << 4 | rate << 2 | padding << 1, 0))
    return head.ljust(samples // 8 * kbits * 1000 // hertz + padding, b"\x55"), samples / hertz


def held_in(data: bytes) -> float | None:
    """Seconds that are found in an MP3; None where nothing is."""
    try:
        refuse_wrong_length(io.BytesIO(data), -1000.0)
    except BadInput as error:
        return float(error.reason.split()[2])
    return None


@pytest.mark.parametrize(("version", "rate"), product((3, 2, 0), range(3)))
def test_frames_of_every_rate_and_bit_rate_are_counted(version: int, rate: int) -> None:
    frames = [mp3_frame(version, bits, rate, padding) for bits in range(1, 15) for padding in (0, 1)] * 9
    data = b"".join(frame for frame, _ in frames)
    seconds = sum(length for _, length in frames)
    assert held_in(data) == pytest.approx(seconds, abs=0.051)
    size = bytes(len(data) >> shift & 0x7F for shift in (21, 14, 7, 0))
    assert held_in(b"ID3\x03\0\0" + size + data + data) == pytest.approx(seconds, abs=0.051)
    assert held_in(b"\x00\xff\x12" + data + b"TAG" + bytes(125)) == pytest.approx(seconds, abs=0.051)
    assert held_in(bytes(70_000) + data) == pytest.approx(seconds, abs=0.051)


def test_mp3_may_miss_its_stated_length_by_a_second() -> None:
    frame, seconds = mp3_frame(3, 9, 2)
    data, held = frame * 500, 500 * seconds
    assert seconds == 1152 / MPEG1_RATES[2] == 0.036
    for stated in (held - 0.99, held, held + 0.99):
        refuse_wrong_length(io.BytesIO(data), stated)
    for stated in (held - 1.01, held + 1.01):
        with pytest.raises(BadInput) as caught:
            refuse_wrong_length(io.BytesIO(data), stated)
        assert caught.value.reason == f"it holds 18.0 s but its header makes it {stated:.1f} s"
    with pytest.raises(BadInput, match=r": copy it again, or convert it to WAV or FLAC$"):
        refuse_wrong_length(io.BytesIO(data), 1.0)
