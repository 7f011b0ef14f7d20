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


@pytest.mark.parametrize("name", ["sub", "pipe.wav", ""])
def test_what_is_no_regular_file_is_refused(root: Path, name: str) -> None:
    with pytest.raises(BadInput):
        inside(root, name)


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
