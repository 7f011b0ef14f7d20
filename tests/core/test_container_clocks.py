"""Videos and recordings of browsers: a second of what is read is a second of the player."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from audio_files import Samples, struct_of

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.machine.audio import read_at, read_header
from dailytalk_contiguous.sources.recordings.joined import take_tracks

RATE = 48000
SECONDS = 6.0

#: Samples of a packet of Opus, AAC and FLAC here: 20 ms.
PACKET = 960


def sound(seconds: float = SECONDS) -> Samples:
    """Noise of two channels that grows, so that each of its moments is found again."""
    rng = np.random.default_rng(7)
    n_samples = round(seconds * RATE)
    loudness = np.linspace(0.1, 0.3, n_samples)[:, None]
    samples = loudness * rng.standard_normal((n_samples, 2))
    return samples.clip(-1, 1).astype("float32")


def write(
    path: Path,
    tracks: Sequence[Samples],
    codec: str,
    start: float = 0.0,
    gap: tuple[float, float] = (0.0, 0.0),
    film: float = 0.0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write tracks of sound that begin at a second, and a film from second 0 for so many seconds.

    `gap`: from which second of the sound on all is how much later. Only the first track is late.
    """
    with av.open(str(path), "w", options=options or {}) as container:
        packets = []
        if film:
            video = container.add_stream("mpeg4", rate=10)
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
        streams = [container.add_stream(codec, rate=RATE, layout="stereo") for _ in tracks]
        if film:
            for number in range(round(10 * film)):
                picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number % 255, "uint8"), "rgb24")
                picture.pts = number
                picture.time_base = Fraction(1, 10)
                packets += video.encode(picture)
            packets += video.encode(None)
        for number, (stream, samples) in enumerate(zip(streams, tracks, strict=True)):
            sample_format = stream.codec_context.format.name
            resampler = av.AudioResampler(format=sample_format, layout="stereo", rate=RATE)
            n_samples = stream.codec_context.frame_size or PACKET
            for first in range(0, len(samples), n_samples):
                block = samples[first : first + n_samples]
                late = 0.0 if number else start
                if gap[1] and first >= gap[0] * RATE:
                    late += gap[1]
                pcm = (block * 32767).astype("int16").reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(pcm, "s16", "stereo")
                frame.sample_rate = RATE
                for converted in resampler.resample(frame):
                    converted.pts = first + round(late * RATE)
                    converted.time_base = Fraction(1, RATE)
                    packets += stream.encode(converted)
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def later_by(path: Path, at: float, samples: Samples) -> float:
    """By how many seconds a second of sound is read later than it was written, by its correlation."""
    whole = read_at(struct_of(path), RATE)[:, 0]
    piece = samples[round(at * RATE) : round((at + 0.5) * RATE), 0]
    n_points = 1 << (len(whole) + len(piece)).bit_length()
    products = np.fft.rfft(whole, n_points) * np.conj(np.fft.rfft(piece, n_points))
    correlation = np.fft.irfft(products, n_points)[: len(whole)]
    return float(np.argmax(correlation)) / RATE - at


CONTAINERS = [("call.mkv", "flac"), ("call.mkv", "aac"), ("call.webm", "libopus"), ("call.mp4", "aac")]


@pytest.mark.parametrize(("name", "codec"), [case for case in CONTAINERS if case[0] != "call.webm"])
@pytest.mark.parametrize("late", [0.036, 0.1, 1.5])
def test_sound_that_begins_after_the_film_is_read_at_its_time(
    tmp_path: Path, name: str, codec: str, late: float
) -> None:
    samples = sound()
    path = write(tmp_path / name, [samples], codec, start=late, film=SECONDS + 2)
    assert later_by(path, 2.0, samples) == pytest.approx(late, abs=0.001)
    first = read_at(struct_of(path), RATE, 0.0, late - 0.03)
    assert not first.any()
    assert read_header(struct_of(path)).seconds == pytest.approx(SECONDS + late, abs=0.05)


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_silence_is_read_where_packets_are_missing(tmp_path: Path, name: str, codec: str) -> None:
    samples = sound()
    path = write(tmp_path / name, [samples], codec, gap=(3.0, 2.0))
    assert later_by(path, 1.0, samples) == pytest.approx(0.0, abs=0.001)
    assert later_by(path, 4.0, samples) == pytest.approx(2.0, abs=0.002)
    whole = read_at(struct_of(path), RATE)
    missing = whole[round(3.1 * RATE) : round(4.9 * RATE)]
    assert not missing.any()
    assert read_header(struct_of(path)).seconds == pytest.approx(SECONDS + 2, abs=0.05)
    for start, seconds in ((6.0, 1.0), (4.0, 0.5), (2.5, 3.0), (0.0, 1.0)):
        first = round(start * RATE)
        part = read_at(struct_of(path), RATE, start, seconds)
        np.testing.assert_array_equal(part, whole[first : first + len(part)])


@pytest.mark.parametrize(("name", "codec"), [case for case in CONTAINERS if case[0] != "call.webm"])
def test_sound_that_ends_before_the_film_is_whole_and_as_long_as_it_is(
    tmp_path: Path, name: str, codec: str
) -> None:
    samples = sound()
    path = write(tmp_path / name, [samples], codec, film=SECONDS + 12)
    assert later_by(path, 2.0, samples) == pytest.approx(0.0, abs=0.001)
    seconds = read_header(struct_of(path)).seconds
    assert seconds == pytest.approx(SECONDS, abs=0.05)
    assert len(read_at(struct_of(path), RATE)) == pytest.approx(seconds * RATE, abs=PACKET + 100)


@pytest.mark.parametrize(("name", "codec"), CONTAINERS[:3])
def test_video_that_was_cut_short_is_refused_by_its_header(tmp_path: Path, name: str, codec: str) -> None:
    film = 0.0 if name == "call.webm" else SECONDS + 3
    path = write(tmp_path / name, [sound()], codec, film=film)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match=r"does not last the \d\.\d s that its header promises"):
        read_header(struct_of(path))


def test_file_of_sound_alone_begins_with_it_whatever_its_clock_says(tmp_path: Path) -> None:
    samples = sound()
    path = write(tmp_path / "part7.mkv", [samples], "flac", start=600.0)
    assert later_by(path, 2.0, samples) == 0.0
    assert read_header(struct_of(path)).seconds == pytest.approx(SECONDS, abs=0.01)


def test_tracks_of_a_live_recording_without_a_length_keep_their_common_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))
    samples = sound()
    path = write(tmp_path / "obs.mkv", [samples, samples], "flac", start=0.7, options={"live": "1"})
    both = read_at(struct_of(take_tracks(path, (2, 1))), RATE)
    mean = samples.mean(axis=1)
    assert np.abs(both[: len(mean), 0] - mean).max() < 1e-3
    late = round(0.7 * RATE)
    assert not both[:late, 1].any()
    assert np.abs(both[late : late + len(mean), 1] - mean).max() < 1e-3


def test_gap_of_more_than_ten_hours_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "call.mkv", [sound()], "flac", gap=(3.0, 40_000.0))
    with pytest.raises(BadInput, match="its times leave more than 10 hours without sound"):
        read_at(struct_of(path), RATE, 30.0, 1.0)
