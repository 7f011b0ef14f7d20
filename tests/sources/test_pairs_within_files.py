"""Two of several channels of a file, and two audio tracks of a container, as the sides of a conversation."""

from pathlib import Path

import av
import numpy as np
import pytest
from audio_files import Samples
from command import Command
from recordings import excerpt, save
from stage_calls import columns_after

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.machine.audio import read_at
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.recordings.recording_files import LeftOut
from dailytalk_contiguous.stages.segment import Segment

BOTH = excerpt()
LEFT = BOTH[:, :1]
RIGHT = BOTH[:, 1:]
RATE = 16000


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))


def row_of(
    path: Path, sides: tuple[int, ...] = (), tracks: tuple[int, ...] = (), left_out: LeftOut | None = None
) -> Row:
    config = FolderConfig(inputs=(str(path),), language="en", sides=sides, tracks=tracks)
    (row,) = folder_rows(config, left_out)
    return row


def test_two_of_four_channels_are_the_sides_to_the_bit(tmp_path: Path) -> None:
    path = save(tmp_path / "room.wav", np.hstack([RIGHT, RIGHT, LEFT, LEFT]))
    plain = row_of(path)
    assert plain["problem"] == "it has 4 channels, not one for each of two speakers"
    assert plain["remedy"] == (
        "pass --sides with those of the two speakers, such as --sides 1,2 (there is sound in 1, 2, 3, 4)"
    )
    row = row_of(path, sides=(3, 1))
    assert (read_at(row["audio"], RATE) == BOTH).all()
    assert (row["audio_file"], row["channels"], row["problem"]) == ("room.wav", 2, None)
    assert row_of(path, sides=(1, 3))["input_digest"] != row["input_digest"]
    assert row_of(path, sides=(1, 5))["problem"] == "it has 4 channels, and --sides names channel 5"


def test_silent_channels_are_left_out_and_told(tmp_path: Path) -> None:
    path = save(tmp_path / "bridge.wav", np.hstack([LEFT, 0 * LEFT, RIGHT]))
    left_out = LeftOut()
    row = row_of(path, left_out=left_out)
    assert (read_at(row["audio"], RATE) == BOTH).all()
    assert left_out.guessed == ["bridge.wav (channel 1 left, channel 3 right; the others are silent)"]


def container(path: Path, *tracks: Samples) -> Path:
    """A Matroska file of several tracks."""
    with av.open(str(path), "w") as file:
        streams = []
        for track in tracks:
            layout = "stereo" if track.shape[1] == 2 else "mono"
            streams.append((file.add_stream("pcm_s16le", rate=RATE, layout=layout), layout))
        packets = []
        for (stream, layout), track in zip(streams, tracks, strict=True):
            pcm = (track * 32768).astype(np.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(pcm, "s16", layout)
            frame.sample_rate = RATE
            packets += [*stream.encode(frame), *stream.encode(None)]
        for packet in packets:  # once all codecs are open, whose headers the file begins with
            file.mux(packet)
    return path


def test_two_tracks_of_a_container_are_the_sides(tmp_path: Path) -> None:
    mix = (LEFT + RIGHT) / 2
    path = container(tmp_path / "obs.mkv", mix, np.hstack([LEFT, LEFT]), np.hstack([RIGHT, RIGHT]))
    plain = row_of(path)
    assert plain["problem"] == "it has one channel (mono), not one for each of two speakers"
    assert "it has 3 audio tracks: pass those of the two speakers" in plain["remedy"]
    row = row_of(path, tracks=(2, 3))
    heard = read_at(row["audio"], RATE)
    assert heard.shape == BOTH.shape
    assert np.abs(heard - BOTH).max() < 2**-14
    assert row_of(path, tracks=(2, 4))["problem"] == "it has 3 audio tracks, and --tracks names track 4"
    wav = save(tmp_path / "plain.wav", BOTH)
    assert row_of(wav, tracks=(1, 2))["problem"] == "it has 1 audio track, and --tracks names track 2"


def test_remedy_of_the_same_sound_on_both_channels_names_the_other_track(tmp_path: Path) -> None:
    path = container(tmp_path / "obs.mkv", np.hstack([LEFT, LEFT]), np.hstack([RIGHT, RIGHT]))
    row = row_of(path)
    batch = {name: [value] for name, value in row.items()}
    with pytest.raises(BadInput, match="both channels carry the same sound, not one speaker each") as refused:
        columns_after(Segment(), batch)
    assert refused.value.remedy == "it has two audio tracks: pass --tracks 1,2 if they are the two speakers"


# On the command line


def test_command_takes_the_channels_and_refuses_what_are_none(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/room.wav", np.hstack([RIGHT, RIGHT, LEFT, LEFT]))
    command = ("tag", tmp_path / "in", "--profile", "embedded", "--language", "en", "--out", tmp_path / "out")
    plain = dailytalk(*command, "--dry-run")
    assert "pass --sides with those of the two speakers" in plain.out + plain.err
    taken = dailytalk(*command, "--dry-run", "--sides", "3,1")
    assert taken.code == 0
    assert "1 recording, 1 conversation" in taken.out + taken.err
    for options in (("--sides", "1"), ("--sides", "0,1"), ("--tracks", "2,2"), ("--pairs", "agent")):
        refused = dailytalk(*command, "--dry-run", *options)
        assert f"{options[0]} can't be '{options[1]}'" in refused.err
    both = dailytalk(*command, "--dry-run", "--sides", "1,2", "--tracks", "1,2")
    assert "--sides and --tracks can't be used together" in both.err
