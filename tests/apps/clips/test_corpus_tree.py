import os
import stat
import zipfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from audio_files import tones, wav_bytes
from corpus_trees import clip, good, problems, put, read, zipped

from dailytalk_contiguous.apps.clips.corpora.corpus_files import open_tree
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.store.files import LINK_OUT

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


def test_links_out_of_the_corpus_are_rejected_with_their_reason(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", {"DC_a05.wav": clip(), "DC_a06.wav": clip()})
    corpus = put(tmp_path / "in", {NAME: clip(), "b/DC_a07.wav": clip()})
    (corpus / "DC_a05.wav").symlink_to(tmp_path / "elsewhere/DC_a05.wav")
    (corpus / "more").symlink_to(tmp_path / "elsewhere")
    (corpus / "DC_a08.wav").symlink_to("b/DC_a07.wav")
    rows = read("savee", corpus)
    assert problems(rows) == {"DC_a05.wav": LINK_OUT, "more": LINK_OUT}
    assert {rows[name]["remedy"] for name in ("DC_a05.wav", "more")} == {"copy it into the folder"}
    assert [row["audio_file"] for row in good(rows)] == ["DC_a01.wav", "DC_a08.wav", "b/DC_a07.wav"]


def test_what_can_not_be_read_is_rejected(tmp_path: Path) -> None:
    put(tmp_path, {NAME: clip(), "bad.zip": b"PK not a zip", "old.tar.gz": b"x", "notes.rar": b"x"})
    zipped(tmp_path / "outer.zip", {"inner.zip": b"x"})
    for name in ("DC_a03.wav", "gone.zip", "gone.tar"):
        (tmp_path / name).symlink_to("nothing")
    found = problems(read("savee", tmp_path))
    assert found.pop("bad.zip").startswith("it is no zip archive that can be read")
    assert found == {
        **dict.fromkeys(("DC_a03.wav", "gone.zip", "gone.tar"), "it is a link to a file that is not there"),
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


def bomb(path: Path, size: int, *names: str) -> None:
    """An archive of a clip and of files that would be so large unpacked, by what the archive says of them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(NAME, clip())
        for name in names:
            archive.writestr(name, bytes(1000))
            archive.getinfo(name).file_size = size


def test_bomb_in_an_archive_is_rejected_and_the_rest_is_read(tmp_path: Path) -> None:
    bomb(tmp_path / "savee.zip", 3_000_000_000, "DC_a02.wav")
    rows = read("savee", tmp_path / "savee.zip")
    assert rows[NAME]["problem"] is None
    assert rows["DC_a02.wav"]["problem"].endswith("0.5 GB are read at most")


def test_archive_whose_files_are_a_hundred_times_its_size_is_rejected_whole(tmp_path: Path) -> None:
    bomb(tmp_path / "bomb.zip", 400_000_000, *(f"DC_a{number:02d}.wav" for number in range(3, 9)))
    put(tmp_path, {NAME: clip()})
    assert problems(read("savee", tmp_path)) == {
        "bomb.zip": "its files would be 2.4 GB unpacked, over 100 times its own size"
    }


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


def test_what_is_no_corpus_is_refused(tmp_path: Path) -> None:
    (tmp_path / "savee.zip").write_text("no zip")
    with pytest.raises(DailytalkError, match="neither a folder nor a zip archive"):
        names(tmp_path / "savee.zip")


def test_names_that_are_not_utf8_are_shown_escaped_and_can_be_read(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    put(folder, {NAME: clip()})
    (row,) = read("savee", tmp_path).values()
    assert (row["audio_file"], row["problem"]) == (f"caf\\xe9/{NAME}", None)
    assert row["audio"]["path"].startswith("file://")
