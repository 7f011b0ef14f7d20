"""The target of an export: what it writes over, what it refuses to touch, what it leaves."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.store.files import file_name
from dailytalk_contiguous.store.owned_folder import (
    MADE_FROM,
    RECORD,
    OwnedFolder,
    made_from,
    write_sound,
)


def export(root: Path, *names: str, kind: str = "csm") -> None:
    """One whole export of some files."""
    folder = OwnedFolder(root, kind, ["all.json"])
    for name in names:
        folder.write_text(name, f"text of {name}")
    folder.finish({"all.json": "{}"})


def held(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} - {RECORD}


def test_file_in_place_of_the_folder_and_a_folder_of_somebody_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "notes.txt").write_text("mine")
    with pytest.raises(DailytalkError, match="holds other files, and no dailytalk export csm"):
        OwnedFolder(tmp_path / "theirs", "csm", [])
    with pytest.raises(NotADirectoryError):
        OwnedFolder(tmp_path / "file", "csm", [])
    assert (tmp_path / "file").read_text() == (tmp_path / "theirs" / "notes.txt").read_text() == "mine"


def test_next_export_takes_away_what_it_does_not_write_and_nothing_else(tmp_path: Path) -> None:
    export(tmp_path, "a.txt", "b.txt")
    (tmp_path / "notes.txt").write_text("mine")
    export(tmp_path, "b.txt", "c.txt")
    assert held(tmp_path) == {"b.txt", "c.txt", "all.json", "notes.txt"}


def test_record_that_names_files_outside_deletes_none_of_them(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    export(tmp_path / "out", "a.txt")
    with (tmp_path / "out" / RECORD).open("a") as record:
        record.write(f"../outside.txt\n{outside}\n\n")
    export(tmp_path / "out", "b.txt")
    assert outside.read_text() == "mine"
    assert held(tmp_path / "out") == {"b.txt", "all.json"}


def test_export_of_another_kind_is_refused_and_named(tmp_path: Path) -> None:
    export(tmp_path, "a.txt", kind="moshi")
    with pytest.raises(DailytalkError, match="holds dailytalk export moshi, and no dailytalk export csm"):
        OwnedFolder(tmp_path, "csm", [])


def test_manifest_is_gone_until_the_export_is_whole(tmp_path: Path) -> None:
    export(tmp_path, "a.txt")
    folder = OwnedFolder(tmp_path, "csm", ["all.json"])
    assert held(tmp_path) == {"a.txt"}
    folder.finish({"all.json": "[]"})
    assert (tmp_path / "all.json").read_text() == "[]"


def test_name_that_two_conversations_share_is_refused(tmp_path: Path) -> None:
    folder = OwnedFolder(tmp_path, "csm", [])
    folder.write_text("a.txt", "first")
    with pytest.raises(DailytalkError, match=r"two conversations would be written to a\.txt"):
        folder.write_text("a.txt", "second")
    assert (tmp_path / "a.txt").read_text() == "first"


def test_link_is_one_file_with_its_source_and_linking_it_again_changes_nothing(tmp_path: Path) -> None:
    source = tmp_path / "source.wav"
    source.write_bytes(b"RIFF")
    for _ in range(2):
        folder = OwnedFolder(tmp_path / "out", "csm", [])
        folder.link("data/a.wav", source)
        folder.finish({})
        assert (tmp_path / "out/data/a.wav").samefile(source)
    other = tmp_path / "other.wav"
    other.write_bytes(b"other")
    folder = OwnedFolder(tmp_path / "out", "csm", [])
    folder.link("data/a.wav", other)
    assert (tmp_path / "out/data/a.wav").read_bytes() == b"other"
    assert source.read_bytes() == b"RIFF"


def test_files_of_an_export_that_was_stopped_are_taken_away_by_the_next(tmp_path: Path) -> None:
    stopped = OwnedFolder(tmp_path, "csm", ["all.json"])
    stopped.write_text("a.txt", "half")  # and no finish
    assert (tmp_path / RECORD).read_text() == "dailytalk export csm\na.txt\n"
    export(tmp_path, "b.txt")
    assert held(tmp_path) == {"b.txt", "all.json"}


@pytest.mark.parametrize(
    ("name", "readable"),
    [
        ("Call 1", "Call-1"),
        ("Call", "Call"),
        (".hidden", "hidden"),
        ("Käse/Brot", "Kase-Brot"),
    ],
)
def test_other_id_is_readable_and_ends_in_its_digest(name: str, readable: str) -> None:
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:10]
    assert file_name(name) == f"{readable}-{digest}"


@pytest.mark.parametrize(
    ("comment", "digest"),
    [(f"{MADE_FROM} 1234abcd", "1234abcd"), ("1234abcd", None), ("of mine", None)],
)
def test_digest_in_a_sound_file_is_that_of_the_audio_it_was_made_from(
    tmp_path: Path, comment: str, digest: str | None
) -> None:
    with soundfile.SoundFile(tmp_path / "a.wav", "w", 8000, 1) as file:
        file.comment = comment
        file.write(np.zeros(80))
    assert made_from(tmp_path, "a.wav") == digest


def test_a_rerun_takes_away_what_a_killed_export_had_not_finished(tmp_path: Path) -> None:
    OwnedFolder(tmp_path, "moshi", ()).write_text("audio/a.wav", "sound")
    (tmp_path / "audio" / f".a.wav.{'0' * 12}.tmp").write_text("half a")
    OwnedFolder(tmp_path, "moshi", ()).finish({})
    assert [path.name for path in tmp_path.iterdir()] == [".dailytalk-export"]


@pytest.mark.parametrize(
    ("millions", "channels", "kind"), [(500, 1, b"RIFF"), (250, 2, b"RIFF"), (540, 1, b"RF64"), (270, 2, b"RF64")]
)
def test_sound_that_may_be_too_long_for_a_wav_is_written_as_rf64(
    tmp_path: Path, millions: int, channels: int, kind: bytes
) -> None:
    """A WAV has up to 4 GB, and a sample up to eight bytes."""
    block = np.zeros((80, channels))
    with (tmp_path / "a.wav").open("w+b") as file:
        write_sound(file, [block], 8000, channels, n_samples=millions * 1_000_000)
    assert (tmp_path / "a.wav").read_bytes()[:4] == kind
    assert soundfile.read(tmp_path / "a.wav", always_2d=True)[0].shape == (80, channels)
