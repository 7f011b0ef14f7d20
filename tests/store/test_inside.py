import os
from pathlib import Path

import pytest

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.store.files import inside, is_inside, leads_out


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub/a.wav").write_bytes(b"RIFF")
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    (root / "out.wav").symlink_to(tmp_path / "secret.wav")
    (root / "in.wav").symlink_to("sub/a.wav")
    (root / "up").symlink_to("..")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe.wav")
    return root


@pytest.mark.parametrize("name", ["sub/a.wav", "in.wav", "sub/../sub/a.wav", "not there.wav", "up/root/sub/a.wav"])
def test_name_inside_its_folder_is_its_path(root: Path, name: str) -> None:
    assert inside(root, name) == root / name


@pytest.mark.parametrize(
    "name", ["../secret.wav", "out.wav", "up/secret.wav", "/etc/passwd", "sub/../../secret.wav", "../rootless"]
)
def test_name_that_leads_out_is_refused(root: Path, name: str) -> None:
    with pytest.raises(BadInput, match=r"leads? out"):
        inside(root, name)


@pytest.mark.parametrize("name", ["pipe.wav", "sub", "loop", "a\0b", "x" * 5000, ""])
def test_what_is_no_regular_file_is_refused(root: Path, name: str) -> None:
    with pytest.raises(BadInput):
        inside(root, name)


def test_links_of_a_snapshot_in_the_hubs_cache_are_inside_and_lead_nowhere_else(tmp_path: Path) -> None:
    repository = tmp_path / "datasets--a--b"
    snapshot = repository / "snapshots/c0ffee"
    (snapshot / "data").mkdir(parents=True)
    for path in (repository / "blobs/1", tmp_path / "private"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    (snapshot / "data/a.wav").symlink_to("../../../blobs/1")
    (snapshot / "data/b.wav").symlink_to(tmp_path / "private")
    for root, name in ((snapshot, "data/a.wav"), (snapshot / "data", "a.wav")):
        assert inside(root, name) == root / name
    assert leads_out(snapshot / "data/b.wav", snapshot)


def test_folder_that_only_looks_like_the_hubs_cache_reaches_nothing(tmp_path: Path) -> None:
    snapshot = tmp_path / "repository/snapshots/c0ffee"
    snapshot.mkdir(parents=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home/private").write_text("x")
    (tmp_path / "repository/blobs").symlink_to(tmp_path / "home")
    (snapshot / "a.wav").symlink_to("../../blobs/private")
    assert leads_out(snapshot / "a.wav", snapshot)


def test_link_that_leads_out_is_told_from_one_that_leads_in_or_nowhere(root: Path) -> None:
    names = ("out.wav", "up/secret.wav", "in.wav", "sub/a.wav", "loop", "not there.wav")
    assert [leads_out(root / name, root) for name in names] == [True, True, False, False, False, False]
    (root / "dangling").symlink_to("../gone.wav")
    assert not leads_out(root / "dangling", root)


def test_folder_is_inside_itself_and_a_longer_name_is_not(root: Path) -> None:
    (root.parent / "rooted").touch()
    assert is_inside(root, root)
    assert is_inside(root / "sub", root)
    assert not is_inside(root.parent / "rooted", root)
    assert is_inside(Path("/etc"), Path("/"))
