"""Copies of objects of a store: which times they have, where they are, and which objects are none of ours."""

from pathlib import Path

import pytest

from dailytalk_contiguous.sources.remote import Mirror, input_mirror, is_plain, mirror_of


def test_recording_that_is_named_alone_shares_the_mirror_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path))
    whole, every = input_mirror("s3://bucket/day")
    assert whole == mirror_of("s3://bucket/day", tmp_path / "recordings")
    assert every == ""
    assert input_mirror("s3://bucket/day/a.WAV") == (whole, "a.WAV")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a.wav", True),
        ("day/a.wav", True),
        ("", False),
        (".a.wav", False),
        (".git/config", False),
        (".dailytalk-export", True),
        ("day/.dailytalk-export", True),
        (".hidden/.dailytalk-export", False),
        (".dailytalk-export/a.wav", False),
    ],
)
def test_hidden_object_is_none_of_ours_unless_it_marks_a_folder_that_we_made(name: str, plain: bool) -> None:
    assert is_plain(name) == plain


def test_copies_of_objects_that_are_gone_go_and_what_this_machine_made_stays(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    for name in ("a.wav", "b.wav", "c.wav", "d.txt"):
        (store / name).write_text(name)
    mirror = Mirror(f"file://{store}", tmp_path / "here")
    mirror.pull()
    (mirror.folder / "c.wav").write_text("edited here")
    (mirror.folder / "mine.wav").write_text("made here")
    for name in ("a.wav", "c.wav", "d.txt"):
        (store / name).unlink()
    mirror.pull(lambda name: name.endswith(".wav"))
    files = [path.name for path in mirror.folder.iterdir()]
    kept = sorted(name for name in files if not name.startswith("."))
    assert kept == ["b.wav", "c.wav", "d.txt", "mine.wav"]
    changed = {name: mirror.was_changed_here(name) for name in ("b.wav", "c.wav", "mine.wav", "gone.wav")}
    assert changed == {"b.wav": False, "c.wav": True, "mine.wav": True, "gone.wav": False}
