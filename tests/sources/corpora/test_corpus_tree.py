import os
import stat
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from audio_files import tones, wav_bytes
from corpus_trees import POINTER, clip, good, problems, put, read, zipped

from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.sources.corpora import common
from dailytalk_contiguous.sources.corpora.common import FoundFile, open_tree, stamp
from dailytalk_contiguous.sources.transcribed import identity_of
from dailytalk_contiguous.store.files import FOLLOW_LINKS, LINK_OUT

NAME = "DC_a01.wav"


def names(source: Path) -> list[str]:
    with ExitStack() as stack:
        return [found.name for found in open_tree(source, stack).files]


def test_folders_and_archives_are_listed_as_one_without_litter(tmp_path: Path) -> None:
    put(tmp_path, {"b/x.wav": b"", ".DS_Store": b"", ".git/config": b"", "Thumbs.db": b""})
    zipped(tmp_path / "a.zip", {"c/y.wav": b"", "__MACOSX/c/._y.wav": b"", "c/.hidden": b""})
    assert names(tmp_path) == ["a.zip/c/y.wav", "b/x.wav"]
    assert names(tmp_path / "a.zip") == ["c/y.wav"]


def test_the_least_deep_file_of_a_name_is_found_whatever_its_capitals(tmp_path: Path) -> None:
    put(tmp_path, {"a/b/Labels.csv": b"", "z/labels.CSV": b""})
    with ExitStack() as stack:
        files = open_tree(tmp_path, stack)
        assert [found and found.name for found in (files.named("labels.csv"), files.named("no.csv"))] == [
            "z/labels.CSV",
            None,
        ]


def test_links_that_go_round_are_walked_once(tmp_path: Path) -> None:
    put(tmp_path, {"a/x.wav": b"", "y.wav": b""})
    (tmp_path / "a/up").symlink_to(tmp_path)
    assert names(tmp_path) == ["a/x.wav", "y.wav"]


def test_links_out_of_the_corpus_and_hidden_recordings_are_rejected_with_their_reason(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", {"DC_a05.wav": clip(), "DC_a06.wav": clip()})
    corpus = put(tmp_path / "in", {NAME: clip(), ".DC_a02.wav": clip(), "b/DC_a07.wav": clip()})
    (corpus / "DC_a05.wav").symlink_to(tmp_path / "elsewhere/DC_a05.wav")
    (corpus / "more").symlink_to(tmp_path / "elsewhere")
    (corpus / "DC_a08.wav").symlink_to("b/DC_a07.wav")
    hidden = {".DC_a02.wav": "its name begins with a dot, which hides it"}
    rows = read("savee", corpus)
    assert problems(rows) == {"DC_a05.wav": LINK_OUT, "more": LINK_OUT} | hidden
    assert {rows[name]["remedy"] for name in ("DC_a05.wav", "more")} == {FOLLOW_LINKS}
    assert [row["audio_file"] for row in good(rows)] == ["DC_a01.wav", "DC_a08.wav", "b/DC_a07.wav"]
    followed = read("savee", corpus, follow_links=True)
    assert "more/DC_a06.wav" in followed
    assert LINK_OUT not in problems(followed).values()


def test_folder_that_can_not_be_searched_is_rejected(tmp_path: Path, unsearchable: Callable[[Path], None]) -> None:
    put(tmp_path, {NAME: clip(), "barred/DC_a02.wav": clip()})
    unsearchable(tmp_path / "barred")
    rows = read("savee", tmp_path)
    assert problems(rows) == {"barred": "it is a folder that can't be searched"}
    assert rows["barred"]["remedy"] == "check the file and its permissions"
    assert [row["audio_file"] for row in good(rows)] == [NAME]


def test_what_can_not_be_read_is_rejected_without_waiting(tmp_path: Path) -> None:
    put(tmp_path, {NAME: clip(), "bad.zip": b"PK not a zip", "old.tar.gz": b"x", "notes.rar": b"x"})
    zipped(tmp_path / "outer.zip", {"inner.zip": b"x"})
    os.mkfifo(tmp_path / "DC_a02.wav")
    for name in ("DC_a03.wav", "gone.zip", "gone.tar"):
        (tmp_path / name).symlink_to("nothing")
    found = problems(read("savee", tmp_path))
    assert found.pop("bad.zip").startswith("it is no zip archive that can be read")
    assert found == {
        "DC_a02.wav": "it is not a file but a pipe, a socket or a device",
        **dict.fromkeys(("DC_a03.wav", "gone.zip", "gone.tar"), "it can't be read (No such file or directory)"),
        "old.tar.gz": "it is an archive (.gz)",
        "notes.rar": "it is an archive (.rar)",
        "outer.zip/inner.zip": "it is an archive in an archive",
    }


def test_damage_inside_an_archive_rejects_only_what_it_hit(tmp_path: Path) -> None:
    path = zipped(tmp_path / "savee.zip", {NAME: clip(), "DC_a02.wav": wav_bytes(tones(0.3, channels=1))})
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("DC_a02.wav").header_offset + 100
    data[start : start + 20] = bytes(20)
    path.write_bytes(data)
    rows = read("savee", path)
    assert rows[NAME]["problem"] is None
    assert rows["DC_a02.wav"]["problem"].startswith("it can't be read from the archive (Bad CRC-32")


def test_bomb_in_an_archive_is_rejected_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = clip()
    monkeypatch.setattr(common, "LARGEST", len(good))
    path = zipped(tmp_path / "savee.zip", {NAME: good, "DC_a02.wav": good + bytes(1)})
    rows = read("savee", path)
    assert rows[NAME]["problem"] is None
    assert rows["DC_a02.wav"]["problem"].endswith("GB are read at most")
    (tmp_path / "x.wav").write_bytes(good + bytes(1))
    with pytest.raises(BadInput, match="the most that is read"):  # a file that grew after it was listed
        FoundFile("x.wav", tmp_path / "x.wav", 1).read()


def test_archive_whose_files_are_a_hundred_times_its_size_is_rejected_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "LARGEST_ARCHIVE", 10_000_000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(11):
            archive.writestr(f"DC_a{number:02d}.wav", bytes(1_000_000))
    put(tmp_path, {NAME: clip()})
    assert problems(read("savee", tmp_path)) == {
        "bomb.zip": "its files would be 0.0 GB unpacked, over 100 times its own size"
    }


def test_bomb_counts_nothing_towards_the_size_of_its_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "LARGEST", 10_000_000)
    monkeypatch.setattr(common, "LARGEST_ARCHIVE", 10_000_000)
    path = tmp_path / "savee.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(NAME, clip())
        archive.writestr("DC_a02.wav", bytes(30_000_000))
    rows = read("savee", path)
    assert rows[NAME]["problem"] is None
    assert rows["DC_a02.wav"]["problem"].endswith("GB are read at most")


def test_member_is_held_in_memory_once(tmp_path: Path) -> None:
    zipped(tmp_path / "savee.zip", {NAME: bytes(40_000_000)})
    with ExitStack() as stack:
        (found,) = open_tree(tmp_path / "savee.zip", stack).files
        tracemalloc.start()
        data = found.read()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert len(data) == 40_000_000
    assert peak < 1.5 * len(data)


def test_members_that_lead_out_or_are_links_or_encrypted_are_rejected(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("DC_d02.wav")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = zipped(tmp_path / "savee.zip", {NAME: clip(), "../DC_d01.wav": clip(), "/DC_d03.wav": clip()})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("DC_d04.wav", clip())
    data = bytearray(path.read_bytes())
    data[data.rfind(b"PK\x01\x02") + 8] |= 1  # the bit that says that the last member is encrypted
    path.write_bytes(data)
    assert problems(read("savee", path)) == {
        "../DC_d01.wav": "its name leads out of the archive",
        "/DC_d03.wav": "its name leads out of the archive",
        "DC_d02.wav": "it is a link in an archive",
        "DC_d04.wav": "it is encrypted",
    }


def test_stamp_changes_with_any_file_of_a_folder_and_with_an_archive(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", {"a/b/x.wav": b"x", "y.wav": b"y"})
    archive = zipped(tmp_path / "in.zip", {"x.wav": b"x"})
    before = [stamp(folder), stamp(archive)]
    assert [stamp(folder), stamp(archive)] == before
    os.utime(folder / "a/b/x.wav", (1_600_000_000, 1_600_000_000))  # which no folder's time tells
    os.utime(archive, (1_600_000_000, 1_600_000_000))
    assert len({*before, stamp(folder), stamp(archive)}) == 4
    moved = stamp(folder)
    put(folder, {"y.wav": b"longer"})
    assert stamp(folder) != moved


def test_stamp_of_links_out_is_of_the_links_unless_they_are_followed(tmp_path: Path) -> None:
    outside = put(tmp_path / "elsewhere", {"x.wav": b"x"}) / "x.wav"
    folder = put(tmp_path / "in", {"y.wav": b"y"})
    (folder / "x.wav").symlink_to(outside)
    (folder / "gone.wav").symlink_to(folder / "nothing")
    before = stamp(folder), stamp(folder, follow_links=True)
    os.utime(outside, (1_600_000_000, 1_600_000_000))
    assert stamp(folder) == before[0]
    assert stamp(folder, follow_links=True) != before[1]


def test_pipe_as_a_corpus_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "savee.zip")
    with pytest.raises(DailytalkError, match="neither a folder nor a zip archive"):
        names(tmp_path / "savee.zip")
    with pytest.raises(DailytalkError, match="nowhere' does not exist"):
        names(tmp_path / "nowhere")


def test_names_that_are_not_utf8_are_shown_escaped_and_can_be_read(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    put(folder, {NAME: clip()})
    (row,) = read("savee", tmp_path).values()
    assert (row["audio_file"], row["problem"]) == (f"caf\\xe9/{NAME}", None)
    assert row["audio"]["path"].startswith("file://")


@pytest.mark.parametrize("path", ["DC_a01.wav", "a.zip"])
def test_pointer_has_less_than_1024_bytes_and_what_begins_like_one_may_have_more(
    tmp_path: Path, path: str
) -> None:
    for name, data in (("DC_a01.wav", POINTER.ljust(1023)), ("DC_a02.wav", POINTER.ljust(1024))):
        put(tmp_path / "files", {name: data})
    if path == "a.zip":
        zipped(tmp_path / path, {f.name: f.read_bytes() for f in (tmp_path / "files").iterdir()})
    with ExitStack() as stack:
        pointer, file = open_tree(tmp_path / path if path == "a.zip" else tmp_path / "files", stack).files
        for read_it in (pointer.read, pointer.audio):
            with pytest.raises(BadInput, match="Git LFS pointer"):
                read_it()
        assert len(file.read()) == 1024
        assert file.audio()["bytes"] == (file.read() if path == "a.zip" else None)


@pytest.mark.parametrize("seconds", [0.01, 1.9, 2.0, 4.2, 10.0])
def test_bytes_and_files_have_the_same_identity(tmp_path: Path, seconds: float) -> None:
    data = wav_bytes(tones(seconds, channels=1))
    put(tmp_path, {NAME: data})
    identity = identity_of(tmp_path / NAME)
    assert identity_of(Path(), data) == identity


def test_a_file_that_vanished_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        FoundFile("x.wav", tmp_path / "x.wav", 10).read()
