"""Parts of compressed files: their samples in whichever order they are read, and how often they are decoded."""

import io
import multiprocessing
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
import soxr
from audio_files import Samples, encode, example, struct_of, tones, wav_bytes

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.machine import decoder
from dailytalk_contiguous.machine.audio import audio_at, read_at, read_header, read_pcm

SECONDS = 30

#: Formats, by the names of a file and of FFmpeg's encoder, with their rate.
FORMATS = [
    ("call.m4a", "aac", 16000),
    ("call.aac", "aac", 16000),
    ("call.mka", "aac", 16000),
    ("lossless.m4a", "alac", 16000),
    ("call.mp4", "libmp3lame", 16000),
    ("call.wma", "wmav2", 16000),
    ("call.webm", "libopus", 48000),
    ("vorbis.mka", "vorbis", 48000),
    ("call.ac3", "ac3", 48000),
    ("film.mp4", "eac3", 48000),
    ("flac.mka", "flac", 16000),
    ("pcm.mov", "pcm_s16le", 16000),
    ("call.amr", "libopencore_amrnb", 8000),
    ("call.3gp", "libopencore_amrnb", 8000),
]


@pytest.fixture(autouse=True)
def none_waits() -> Iterator[None]:
    decoder.close_waiting()
    yield
    decoder.close_waiting()


def call_file(path: Path, codec: str = "aac", rate: int = 16000) -> Path:
    """Half a minute of a bundled call."""
    samples = example("bicycle_repair")[: SECONDS * 16000]
    at_rate = np.asarray(soxr.resample(samples, 16000, rate), np.float32)
    channels = at_rate[:, :1] if codec == "libopencore_amrnb" else at_rate
    options = {"strict": "experimental"} if codec == "vorbis" else None
    return encode(path, channels, rate, codec, options)


@pytest.mark.parametrize(("name", "codec", "rate"), FORMATS)
def test_part_has_the_samples_of_the_whole_in_whichever_order_parts_are_read(
    tmp_path: Path, name: str, codec: str, rate: int
) -> None:
    path = call_file(tmp_path / name, codec, rate)
    content = path.read_bytes()
    whole = read_at(audio_at(path), rate)
    in_order = [(0.0, 7.0), (7.0, 7.0), (14.0, 7.0)]
    out_of_order = [(21.3, 2.0), (3.21, 9.0), (12.0, 0.01), (20.0, 5.0), (0.0, 1.0), (25.0, None)]
    for start, seconds in in_order + out_of_order:
        first = round(start * rate)
        last = len(whole) if seconds is None else first + round(seconds * rate)
        for audio in (audio_at(path), struct_of(content)):
            part = read_at(audio, rate, start, seconds)
            np.testing.assert_array_equal(part, whole[first:last])


class CountedFile(io.BytesIO):
    """A file that counts what is read of it."""

    n_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        CountedFile.n_read += len(content)
        return content


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count the bytes that decoders read."""
    CountedFile.n_read = 0
    open_container = decoder.open_container

    def open_counted(file: io.BufferedReader) -> object:
        return open_container(CountedFile(file.read()))

    monkeypatch.setattr(decoder, "open_container", open_counted)
    return lambda: CountedFile.n_read


@pytest.mark.parametrize(("name", "codec"), [("call.m4a", "aac"), ("call.wma", "wmav2"), ("call.aac", "aac")])
def test_file_that_is_read_in_order_is_decoded_once(
    tmp_path: Path, counted: Callable[[], int], name: str, codec: str
) -> None:
    path = call_file(tmp_path / name, codec)
    for start in range(0, SECONDS, 2):
        read_pcm(audio_at(path), start, 2.0)
    assert counted() <= 1.2 * path.stat().st_size


def test_file_in_which_each_part_is_looked_for_twice_is_decoded_twice(
    tmp_path: Path, counted: Callable[[], int]
) -> None:
    path = call_file(tmp_path / "call.m4a")
    for start in range(0, SECONDS, 2):
        read_pcm(audio_at(path), start + 0.5, 1.0)
        read_pcm(audio_at(path), start, 2.0)
    assert counted() <= 2.4 * path.stat().st_size


def test_file_that_was_written_again_is_read_from_its_start(tmp_path: Path) -> None:
    path = encode(tmp_path / "call.m4a", tones(10.0), 16000, "alac")
    read_at(audio_at(path), 16000, 0.0, 2.0)
    softer = np.float32(0.5) * tones(10.0)
    encode(path, softer, 16000, "alac")
    part = read_at(audio_at(path), 16000, 2.0, 1.0)
    np.testing.assert_allclose(part, softer[32000:48000], atol=1e-4)


def test_threads_that_read_one_file_get_their_own_parts(tmp_path: Path) -> None:
    path = call_file(tmp_path / "call.m4a")
    whole = read_at(audio_at(path), 16000)

    def read(start: int) -> Samples:
        return read_at(audio_at(path), 16000, start, 1.0)

    starts = [*range(SECONDS - 1), *range(SECONDS - 2, 0, -1)]
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(read, starts))
    for start, part in zip(starts, parts, strict=True):
        first = start * 16000
        np.testing.assert_array_equal(part, whole[first : first + 16000])


def sum_of_second_half(path: Path) -> float:
    return float(np.abs(read_at(audio_at(path), 16000, 15.0, 10.0)).sum())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="processes are not forked here")
def test_process_that_is_forked_while_a_decoder_waits_does_not_move_it(tmp_path: Path) -> None:
    path = call_file(tmp_path / "call.m4a", "alac")
    expected = sum_of_second_half(path)
    read_at(audio_at(path), 16000, 0.0, 5.0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        read_by_forks = pool.map(sum_of_second_half, [path] * 4)
    assert read_by_forks == [expected] * 4
    assert sum_of_second_half(path) == expected


def read_within_two_gigabytes(paths: Sequence[Path]) -> list[str]:
    """What becomes of each file in a process that may take 2 GB."""
    resource = pytest.importorskip("resource")
    resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))
    outcomes = []
    for path in paths:
        try:
            outcomes.append(f"{len(read_pcm(audio_at(path)))} samples")
        except BadInput as error:
            outcomes.append(error.reason)
    return outcomes


@pytest.mark.skipif(sys.platform != "linux", reason="memory has no limit here")
def test_mp4_that_lists_endless_frames_is_a_reject_and_the_file_beside_it_is_read(tmp_path: Path) -> None:
    endless = call_file(tmp_path / "endless.m4a")
    content = bytearray(endless.read_bytes())
    frames_start = content.index(b"stsz") + 8
    struct.pack_into(">2I", content, frames_start, 1, 80_000_000)  # of one byte each; their index takes 2 GB
    endless.write_bytes(content)
    good = call_file(tmp_path / "good.m4a")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        outcomes = pool.apply(read_within_two_gigabytes, ([endless, good],))
    assert outcomes == ["its sound does not last the 30.1 s that its header promises", "480256 samples"]


def test_file_of_too_many_streams_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "streams.mov"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("pcm_s16le", rate=16000, layout="mono") for _ in range(130)]
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 160), np.int16), "s16", "mono")
        frame.sample_rate = 16000
        for stream in streams:
            container.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(BadInput, match="no audio that can be read"):
        read_header(audio_at(path))


def test_sound_of_a_rate_that_would_grow_a_thousandfold_is_refused() -> None:
    audio = struct_of(wav_bytes(tones(1.0), rate=1))
    with pytest.raises(BadInput, match="its sample rate is 1 Hz"):
        read_pcm(audio)
