"""Reading recordings: every format gives its samples, every part the same ones, and what is broken is said."""

import gzip
import multiprocessing
import os
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import encode, example, struct_of, tones, wav_bytes, wav_header

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, pcm_to_float, to_pcm
from dailytalk_contiguous.machine.audio import (
    blocks,
    embedded,
    from_uri,
    read_header,
    read_pcm,
    sample_scale,
    to_uri,
    whole_blocks,
)

SECONDS = 2.5
LOSSLESS = [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("AIFF", "PCM_16")]
LOSSY = [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]


def read(audio: bytes | Path, *part: float | None, **options: float) -> np.ndarray:
    parts = blocks(struct_of(audio), *part, **options)
    return np.concatenate(list(parts))


def problem(audio: bytes | Path) -> BadInput:
    """What is wrong with a recording, whether its header shows it or only its samples."""
    with pytest.raises(BadInput) as caught:
        probe_and_read(audio)
    return caught.value


def probe_and_read(audio: bytes | Path) -> None:
    read_header(struct_of(audio))
    read(audio)


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_wav_of_any_rate_is_read_as_it_is_and_analysed_at_16_khz(rate: int) -> None:
    samples = tones(SECONDS, rate)
    audio = wav_bytes(samples, rate)
    info = read_header(struct_of(audio))
    assert info.sample_rate == rate
    assert info.channels == 2
    assert info.format == "WAV"
    assert info.seconds == pytest.approx(SECONDS)
    difference = np.abs(read(audio) - samples)
    assert difference.max() < 1e-4
    analysis = read_pcm(struct_of(audio))
    assert analysis.shape == (SECONDS * ANALYSIS_RATE, 2)
    inner = slice(800, -800)  # a resampler rings at the edges
    scaled = analysis / 32768
    expected = tones(SECONDS)
    difference = np.abs(scaled - expected)
    assert difference[inner].max() < 2e-3


@pytest.mark.parametrize(("kind", "subtype"), LOSSY)
def test_lossy_formats_give_about_their_samples(kind: str, subtype: str) -> None:
    samples = tones(SECONDS, 48000)
    audio = wav_bytes(samples, 48000, subtype, kind)
    info = read_header(struct_of(audio))
    assert info.seconds == pytest.approx(SECONDS, abs=0.1)
    inner = slice(4800, 48000)
    decoded = read(audio)
    written = samples[inner, 0]
    heard = decoded[inner, 0]
    correlation = np.corrcoef(heard, written)
    assert correlation[0, 1] > 0.99


@pytest.mark.parametrize(("kind", "subtype"), LOSSLESS + LOSSY)
def test_a_part_is_the_same_samples_as_in_the_whole(kind: str, subtype: str) -> None:
    samples = tones(10, 48000)
    audio = wav_bytes(samples, 48000, subtype, kind)
    whole = read(audio)
    in_blocks = read(audio, block_seconds=0.1)
    assert in_blocks.shape == whole.shape
    np.testing.assert_allclose(in_blocks, whole, atol=1e-6)
    for start in (1.01, 6.03, 9.2):  # behind the middle decoders lose their thread most easily
        first = round(start * 48000)
        last = first + 33600
        part = read(audio, start, 0.7)
        remaining = read(audio, start)
        np.testing.assert_allclose(part, whole[first:last], atol=1e-6)
        np.testing.assert_allclose(remaining, whole[first:], atol=1e-6)


def test_nothing_is_written_of_the_frames_before_a_part_of_an_mp3(capfd: pytest.CaptureFixture[str]) -> None:
    audio = wav_bytes(example("bicycle_repair"), 16000, "MPEG_LAYER_III", "MP3")
    for start in (22.1, 32.0, 46.1, 59.0):  # libmpg123 calls its first frames errors
        read(audio, start, 0.05)
    assert capfd.readouterr().err == ""


# What README and `AUDIO_SUFFIXES` promise beyond what libsndfile writes: endings, and FFmpeg's name of the codec.
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.m4a", "aac"),
        ("a.mp4", "aac"),
        ("a.3gp", "aac"),
        ("a.aac", "aac"),
        ("a.wma", "wmav2"),
        ("a.webm", "libopus"),
        ("a.amr", "libopencore_amrnb"),
        ("b.mov", "pcm_s24le"),
    ],
)
def test_every_format_that_is_promised_is_read_and_a_part_is_the_same_samples_as_in_the_whole(
    tmp_path: Path, name: str, codec: str
) -> None:
    rate, channels = (8000, 1) if codec == "libopencore_amrnb" else (48000, 2)
    samples = tones(5.0, rate, channels)
    path = encode(tmp_path / name, samples, rate, codec)
    info = read_header(struct_of(path))
    whole = read(path)
    assert info.sample_rate == rate
    seconds = len(whole) / rate
    assert seconds == pytest.approx(5.0, abs=0.1)
    assert info.seconds == pytest.approx(5.0, abs=0.1)
    second = whole[rate : 2 * rate, 0]
    window = np.hanning(len(second))
    spectrum = np.fft.rfft(second * window)
    loudest_hz = np.abs(spectrum).argmax()
    assert abs(loudest_hz - 200) <= 1  # the tone has 200 Hz
    first = round(3.21 * rate)
    last = round(4.71 * rate)
    part = read(path, 3.21, 1.5)
    in_blocks = read(path, block_seconds=0.3)
    np.testing.assert_array_equal(part, whole[first:last])
    np.testing.assert_array_equal(in_blocks, whole)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("WAV", "PCM_16"), ("AIFF", "PCM_16"), ("RF64", "PCM_16"), ("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III")],
)
def test_a_recording_that_was_cut_short_is_refused(kind: str, subtype: str) -> None:
    audio = wav_bytes(tones(6), subtype=subtype, kind=kind)
    probe_and_read(audio)
    half = audio[: len(audio) // 2]
    assert problem(half).remedy.startswith("copy ")


def test_an_mp3_of_varying_bit_rate_without_a_length_is_refused_and_not_shortened(tmp_path: Path) -> None:
    samples = example("bicycle_repair")[:320_000]
    varying = {"flags": "+qscale", "global_quality": str(6 * 118)}
    path = encode(tmp_path / "vbr.mp3", samples, 16000, "libmp3lame", varying, {"write_xing": "0"})
    reason = problem(path).reason
    assert reason.startswith(("it holds 20.0 s", "it holds 20.1 s"))
    encode(path, samples, 16000, "libmp3lame", varying)
    assert seconds_of(path) == pytest.approx(20.0, abs=0.1)


def test_an_m4a_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    at_front = tmp_path / "front.m4a"
    at_end = tmp_path / "end.m4a"  # where its table is
    encode(at_front, tones(20.0), 16000, muxer={"movflags": "+faststart"})
    encode(at_end, tones(20.0), 16000)
    reasons = {
        at_front: r"its sound does not last the 20\.\d s that its header promises",
        at_end: "it holds no audio that can be read",
    }
    for path, reason in reasons.items():
        whole = path.read_bytes()
        for kept in (0.9, 0.5, 0.1):
            length = int(kept * len(whole))
            reported = problem(whole[:length]).reason
            assert re.fullmatch(reason, reported)


def test_a_recording_of_a_browser_that_states_no_length_is_as_long_as_its_packets(tmp_path: Path) -> None:
    samples = tones(7.0, 48000)
    path = encode(tmp_path / "a.webm", samples, 48000, "libopus", muxer={"live": "1"})
    info = read_header(struct_of(path))
    assert info.seconds == pytest.approx(7.0, abs=0.1)
    seconds = len(read(path)) / 48000
    assert seconds == pytest.approx(7.0, abs=0.1)


def seconds_of(path: Path) -> float:
    return len(read(path)) / 16000


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="processes are not forked here")
def test_process_that_is_forked_has_a_decoder_of_its_own(tmp_path: Path) -> None:
    path = encode(tmp_path / "call.m4a", tones(20.0), 16000, "alac")
    seconds = seconds_of(path)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        read_by_forks = pool.map(seconds_of, [path] * 8)
    assert read_by_forks == [seconds] * 8


def test_samples_that_are_no_numbers_are_refused() -> None:
    for bad in (np.nan, np.inf):
        samples = tones(SECONDS)
        samples[30000, 1] = bad
        audio = wav_bytes(samples, subtype="FLOAT")
        assert "not numbers" in problem(audio).reason


@pytest.mark.parametrize(("subtype", "bits"), [("FLOAT", 16), ("DOUBLE", 16), ("DOUBLE", 24), ("DOUBLE", 32)])
def test_floats_that_hold_integers_are_scaled_and_not_clipped(tmp_path: Path, subtype: str, bits: int) -> None:
    pcm = to_pcm(tones(SECONDS))
    scale = 2.0 ** (bits - 16)
    samples = pcm.astype(np.float64) * scale
    path = tmp_path / "call.wav"
    soundfile.write(path, samples, 16000, subtype)
    analysis = read_pcm(struct_of(path))
    assert np.array_equal(analysis, pcm)
    expected = read(path)[16000:24000]
    part = read(path, 1.0, 0.5)
    assert np.array_equal(part, expected)
    blocks_of_path = whole_blocks(struct_of(path))
    whole = np.concatenate(list(blocks_of_path))
    scaled = samples / 2.0 ** (bits - 1)
    assert np.array_equal(whole, scaled)


def test_floats_that_are_too_loud_or_were_resampled_are_told_apart(tmp_path: Path) -> None:
    loud = tmp_path / "loud.wav"
    resampled = tmp_path / "resampled.wav"
    samples = tones(SECONDS)
    soundfile.write(loud, 5.0 * samples, 16000, "FLOAT")
    soundfile.write(resampled, 30000.4 * samples, 16000, "FLOAT")
    peak = 5.0 * float(np.abs(samples).max())
    assert sample_scale(struct_of(loud)) == pytest.approx(1 / peak)
    assert sample_scale(struct_of(resampled)) == 2.0**-15


@pytest.mark.parametrize("promised", [0, 0xFFFFFFFF, 2_000_000_000])
def test_a_wav_that_was_streamed_is_read_to_its_end(tmp_path: Path, promised: int) -> None:
    path = tmp_path / "streamed.wav"
    samples = to_pcm(tones(SECONDS))
    header = wav_header(promised)[8:]
    for riff_length in (b"\0\0\0\0", b"\x24\0\0\0", b"\xff\xff\xff\xff"):
        path.write_bytes(b"RIFF" + riff_length + header + samples.tobytes())
        for audio in (path, path.read_bytes()):
            info = read_header(struct_of(audio))
            whole = to_pcm(read(audio))
            part = to_pcm(read(audio, 1.0, 0.5))
            assert info.seconds == pytest.approx(SECONDS)
            np.testing.assert_array_equal(whole, samples)
            np.testing.assert_array_equal(part, samples[16000:24000])


def with_length(content: bytes, length: int) -> bytes:
    """A WAV, RF64 or AIFF whose header promises so many bytes of samples."""
    name, order, offset = {b"RIFF": (b"data", "<I", 4), b"RF64": (b"ds64", "<Q", 16), b"FORM": (b"SSND", ">I", 4)}[
        content[:4]
    ]
    changed = bytearray(content)
    struct.pack_into(order, changed, content.index(name) + offset, length)
    return bytes(changed)


@pytest.mark.parametrize("kind", ["WAV", "RF64"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_a_wav_whose_header_promises_less_sound_than_follows_is_read_to_its_end(kind: str, subtype: str) -> None:
    content = wav_bytes(example("bicycle_repair")[: 16000 * 8], subtype=subtype, kind=kind)
    whole = read(content)
    n_bytes = len(content) // 8 * 6 // 24 * 24  # of 6 s
    promising_less = with_length(content, n_bytes)
    assert read_header(struct_of(promising_less)).seconds == 8.0
    np.testing.assert_array_equal(read(promising_less), whole)
    np.testing.assert_array_equal(read(promising_less, 7.0, 0.5), whole[112000:120000])


def test_an_rf64_that_was_streamed_is_read_to_its_end() -> None:
    content = wav_bytes(tones(SECONDS), kind="RF64")
    np.testing.assert_array_equal(read(with_length(content, 0)), read(content))


def test_an_aiff_with_more_sound_than_its_header_promises_is_refused() -> None:
    content = wav_bytes(tones(SECONDS), kind="AIFF")
    assert problem(with_length(content, 64000)).reason == (
        "its header promises 64000 bytes of samples, and 160008 follow"
    )


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8"])
@pytest.mark.parametrize(
    "following",
    [
        b"LIST" + struct.pack("<I", 5000) + bytes(range(1, 201)) * 25,
        b"id3 " + struct.pack("<I", 2000) + bytes(range(1, 201)) * 10,
        b"ID3\x03" + bytes(range(1, 201)) * 10,
        bytes(4096),
        bytes(range(1, 201)),
    ],
)
def test_what_follows_the_samples_of_a_wav_and_is_no_sound_is_not_read_as_sound(
    subtype: str, following: bytes
) -> None:
    samples = tones(1.0, 15999, 1)  # of an odd number of bytes, after which some programs put no other
    content = wav_bytes(samples, 15999, subtype)
    np.testing.assert_array_equal(read(content + following), read(content))


@pytest.mark.parametrize("name", ["call.wav", "call.m4a"])
def test_a_file_without_a_byte_is_called_empty(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    reported = problem(path)
    assert reported.reason == "the file is empty (0 bytes)"
    assert reported.remedy == "copy or export the recording again"


NAMES = ["two words", "new\nline", "🎧 été", "50%25 #1?", os.fsdecode(b"caf\xe9 \xff")]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_is_text_that_leads_back_to_the_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.wav"
    samples = tones(SECONDS)
    soundfile.write(os.fsencode(path), samples, 16000, format="WAV")
    text = to_uri(path)
    text.encode("utf-8")
    assert from_uri(text) == path
    read_back = read_pcm({"bytes": None, "path": text})
    assert len(read_back) == SECONDS * 16000


#: Texts that make FFmpeg's libraries open the file that they name.
PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{0}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile private.mp3\n",
}


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording that a playlist beside it names."""
    path = tmp_path_factory.mktemp("private") / "private.mp3"
    soundfile.write(path, tones(9.0), 16000)
    return path


@pytest.mark.parametrize("ending", ["m4a", "wav"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_playlist_is_no_recording_whatever_its_name(private: Path, kind: str, ending: str) -> None:
    path = private.with_name(f"{kind}.{ending}")
    playlist = PLAYLISTS[kind].format(private)
    path.write_text(playlist)
    for audio in (path, path.read_bytes()):
        reason = problem(audio).reason
        assert reason.startswith("it holds no audio that can be read")
        with pytest.raises(BadInput):
            read(audio)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\xef\xbb\xbf\r\n<!DOCTYPE html>\n<html><title>Sign in</title>" + bytes(500), "a page of HTML"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML"),
        (b'{"error": {"code": 403}}', "JSON"),
        (b"404: Not Found\n", "text"),
        (gzip.compress(wav_bytes(tones(1.0))), "packed by gzip"),
        (b"PK\x03\x04" + bytes(4000), "a ZIP archive"),
    ],
    ids=["page", "xml", "json", "text", "gzip", "zip"],
)
def test_file_that_is_no_sound_is_called_what_it_is(tmp_path: Path, content: bytes, kind: str) -> None:
    for name in ("call.mp3", "call.wav"):
        (tmp_path / name).write_bytes(content)
        reported = problem(tmp_path / name)
        assert reported.reason == f"it holds no audio that can be read: it is {kind}"
        assert "convert" not in reported.remedy


def read_blocks(audio: dict[str, Any]) -> None:
    list(blocks(audio))


def test_row_of_a_dataset_is_its_bytes_and_never_a_path(tmp_path: Path) -> None:
    path = tmp_path / "private.wav"
    path.write_bytes(wav_bytes(tones(SECONDS)))
    for name in (str(path), f"file://{path}", None):
        audio = embedded({"bytes": None, "path": name})
        for reading in (read_header, read_pcm, read_blocks):
            with pytest.raises(BadInput, match="the row holds no audio"):
                reading(audio)
    with_bytes = embedded({"bytes": b"RIFF", "path": str(path)})
    assert with_bytes == {"bytes": b"RIFF", "path": None}
    assert embedded(None) == {"bytes": None, "path": None}


SUBTYPES = {"WAV": "PCM_16", "MP3": "MPEG_LAYER_III"}


@pytest.mark.parametrize(("name", "kind"), [("a.mp3", "WAV"), ("a.wav", "MP3")])
def test_the_content_decides_and_not_the_extension(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    audio = wav_bytes(tones(SECONDS), 16000, SUBTYPES[kind], kind)
    path.write_bytes(audio)
    assert read_header(struct_of(path)).format == kind
    n_samples = len(read(path))
    assert n_samples == pytest.approx(SECONDS * 16000, abs=2000)


def test_pcm_and_back_is_the_same_and_what_is_too_loud_is_clipped() -> None:
    pcm = np.arange(-32768, 32768, dtype=np.int16)
    from_bytes = pcm_to_float(pcm.tobytes())
    np.testing.assert_array_equal(to_pcm(from_bytes), pcm)
    every_third = pcm[::-3]
    from_view = pcm_to_float(every_third)
    np.testing.assert_array_equal(to_pcm(from_view), every_third)
    too_loud = np.array([1.0, 2.0, -2.0], np.float32)
    clipped = to_pcm(too_loud)
    assert clipped.tolist() == [32767, 32767, -32768]


def test_git_lfs_pointer_is_told_from_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "call.flac"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    path.write_bytes(pointer)
    with pytest.raises(BadInput, match=r"Git LFS pointer.*git lfs pull"):
        read_header({"bytes": None, "path": str(path)})


@pytest.mark.parametrize(
    ("kind", "subtype", "channels", "rate"), [("OGG", "VORBIS", 255, 48000), ("FLAC", "PCM_16", 8, 655350)]
)
def test_silence_of_many_channels_is_refused_before_a_block_of_it_fills_memory(
    kind: str, subtype: str, channels: int, rate: int, tmp_path: Path
) -> None:
    path = tmp_path / "crowd.snd"
    with soundfile.SoundFile(path, "w", rate, channels, format=kind, subtype=subtype) as file:
        for _ in range(20):
            file.write(np.zeros((24000, channels), np.int16))
    assert path.stat().st_size < 1 << 18
    assert problem(path).reason == f"it has {channels} channels at {rate:,} Hz, more than can be read at a time"


def test_array_of_sixteen_microphones_is_read(tmp_path: Path) -> None:
    path = tmp_path / "array.flac.wav"
    soundfile.write(path, np.zeros((4800, 16), np.int16), 48000)
    assert read(path).shape == (4800, 16)
