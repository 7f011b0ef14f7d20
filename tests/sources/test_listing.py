import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from recordings import save

from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.recordings.recording_files import LeftOut, list_recordings
from dailytalk_contiguous.store.owned_folder import MADE_FROM, OwnedFolder, mark


def touch(folder: Path, *names: str | bytes) -> Path:
    for name in names:
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + os.fsencode(name)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def names(*inputs: Path, exclude: Path | None = None) -> list[str]:
    return [recording.audio_file for recording in list_recordings(inputs, exclude)]


def ids(*inputs: Path) -> list[str]:
    return [recording.recording_id for recording in list_recordings(inputs)]


def test_recordings_at_any_depth_are_found_in_order_of_name(tmp_path: Path) -> None:
    touch(tmp_path, "b.wav", "a/z.flac", "a/deep/er/c.OGG")
    touch(tmp_path, "notes.txt", "a/list.json", ".hidden.wav", ".git/x.wav")
    assert names(tmp_path) == ["a/deep/er/c.OGG", "a/z.flac", "b.wav"]


@given(st.sets(st.from_regex(r"[ab]{1,2}(\.00[01]|\.wav|\.mp3)?\.(wav|mp3|flac)", fullmatch=True), max_size=12))
def test_ids_are_unique_whatever_the_names_and_the_cuts(
    tmp_path_factory: pytest.TempPathFactory, files: set[str]
) -> None:
    folder = touch(tmp_path_factory.mktemp("in"), *files)
    recordings = ids(folder)
    parts = [f"{name}.{part:03d}" for name in recordings for part in range(2)]
    assert len({*recordings, *parts}) == 3 * len(files)


def test_bytes_that_are_not_utf8_are_shown_escaped_and_still_open(tmp_path: Path) -> None:
    touch(tmp_path, b"bad\xff.wav")
    (recording,) = list_recordings([tmp_path])
    assert recording.audio_file == "bad\\xff.wav"
    assert recording.path.is_file()


def test_names_that_are_shown_alike_are_rejected_and_the_others_are_read(tmp_path: Path) -> None:
    save(tmp_path / "good.wav")
    save(os.fsencode(tmp_path) + b"/bad\xff.wav")
    save(tmp_path / "bad\\xff.wav")
    rows = folder_rows(FolderConfig(inputs=(str(tmp_path),)))
    problems = {row["recording_id"]: row["problem"] for row in rows}
    assert problems == {"bad\\xff": "another recording is shown by the same name", "good": None}


def test_folder_of_results_is_not_searched(tmp_path: Path) -> None:
    touch(tmp_path, "call.wav", "out/wavs/spoken.wav")
    assert names(tmp_path, exclude=tmp_path / "out") == ["call.wav"]


def test_link_that_leads_back_is_walked_once(tmp_path: Path) -> None:
    touch(tmp_path, "call.wav")
    (tmp_path / "back").symlink_to(tmp_path)
    assert names(tmp_path) == ["call.wav"]


def test_folder_that_can_not_be_searched_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "open/a.wav", "shut/b.wav")
    scan = os.scandir

    def refused(path: str) -> object:
        """As the mode of a folder would for a user who is not root."""
        if os.fspath(path) == str(tmp_path / "shut"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert names(tmp_path) == ["open/a.wav", "shut"]


# Hidden names, and symbolic links


def test_hidden_recordings_are_told_and_what_macos_leaves_is_not(tmp_path: Path) -> None:
    touch(tmp_path, "call.wav", ".old.wav", "a/.b.FLAC", "._call.wav", ".DS_Store", ".git/config", ".takes/1.wav")
    left_out = LeftOut()
    list_recordings([tmp_path], left_out=left_out)
    assert left_out.hidden == [".old.wav", ".takes/", "a/.b.FLAC"]


# Results of ours


def finished(path: Path, comment: str = f"{MADE_FROM} 0123") -> Path:
    """A finished conversation, as far as its file says whose it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", 8000, 2, "PCM_16", format="WAV") as wav:
        wav.comment = comment
        wav.write(np.zeros((80, 2), np.int16))
    return path


def searched(*inputs: Path) -> tuple[list[str], list[str]]:
    """The recordings of a folder, and what of it we made."""
    left_out = LeftOut()
    recordings = list_recordings(inputs, left_out=left_out)
    return [recording.audio_file for recording in recordings], left_out.own_results


def test_folder_that_we_made_is_told_and_no_input(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "run1/audio/a_edited.wav", "theirs/b.wav")
    mark(tmp_path / "run1/audio", "audio")
    OwnedFolder(tmp_path / "data", "moshi", ()).write_text("data_stereo/a.wav", "")
    recordings, made = searched(tmp_path)
    assert recordings == ["a.wav", "theirs/b.wav"]
    assert made == ["data/", "run1/audio/"]


@pytest.mark.parametrize("name", ["run1/audio", "run1/audio/day", "run1/audio/day/a_edited.wav"])
def test_folder_that_we_made_is_an_input_when_it_is_named(tmp_path: Path, name: str) -> None:
    finished(tmp_path / "run1/audio/day/a_edited.wav")
    mark(tmp_path / "run1/audio", "audio")
    recordings, made = searched(tmp_path / name)
    assert [Path(path).name for path in recordings] == ["a_edited.wav"]
    assert made == []


def test_finished_conversation_beside_recordings_is_told_and_no_input(tmp_path: Path) -> None:
    touch(tmp_path, "call.wav", "odd_edited.wav")
    conversation = finished(tmp_path / "call_edited.wav")
    finished(tmp_path / "mine_edited.wav", "cut by hand")
    recordings, made = searched(tmp_path)
    assert recordings == ["call.wav", "mine_edited.wav", "odd_edited.wav"]
    assert made == ["call_edited.wav"]
    assert searched(conversation) == (["call_edited.wav"], [])


def linked(tmp_path: Path) -> Path:
    touch(tmp_path, "private/secret.wav", "calls/a.wav", "calls/day/b.wav")
    calls = tmp_path / "calls"
    (calls / "out.wav").symlink_to(tmp_path / "private/secret.wav")
    (calls / "folder").symlink_to(tmp_path / "private")
    (calls / "inside.wav").symlink_to("a.wav")
    (calls / "again").symlink_to("day")
    (calls / "up").symlink_to("..")
    (calls / "loop.wav").symlink_to("loop.wav")
    return calls


def test_links_that_lead_out_of_the_input_are_not_followed(tmp_path: Path) -> None:
    recordings = list_recordings([linked(tmp_path)])
    leads_out = {recording.audio_file: recording.leads_out for recording in recordings}
    refused = {name for name in leads_out if leads_out[name]}
    followed = leads_out.keys() - refused
    assert refused == {"out.wav", "folder", "up"}
    assert {"a.wav", "inside.wav", "loop.wav"} <= followed
    assert len({"day/b.wav", "again/b.wav"} & leads_out.keys()) == 1
    for name in leads_out:
        assert "secret" not in name


def test_folder_without_a_recording_of_its_own_is_the_user_s_choice_of_links(tmp_path: Path) -> None:
    touch(tmp_path, "corpus/a.wav", "corpus/day/b.wav", "private/secret.wav", "calls/notes.txt")
    calls = tmp_path / "calls"
    (calls / "a.wav").symlink_to(tmp_path / "corpus/a.wav")
    (calls / "b.wav").symlink_to("../corpus/day/b.wav")
    (calls / "endless.wav").symlink_to("/dev/zero")
    (calls / "folder").symlink_to(tmp_path / "private")
    recordings = list_recordings([calls])
    followed = [recording.audio_file for recording in recordings if not recording.leads_out]
    assert followed == ["a.wav", "b.wav"]
    touch(tmp_path, "calls/own.wav")  # as a dataset of others has
    recordings = list_recordings([calls])
    followed = [recording.audio_file for recording in recordings if not recording.leads_out]
    assert followed == ["own.wav"]


def test_link_that_is_named_as_the_input_is_followed(tmp_path: Path) -> None:
    calls = linked(tmp_path)
    (tmp_path / "link").symlink_to(calls)
    assert "a.wav" in names(tmp_path / "link")
    assert names(calls / "out.wav") == ["out.wav"]
