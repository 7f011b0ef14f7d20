"""README's picture: the script that draws it, and the picture itself."""

import subprocess
import sys
from pathlib import Path

import pytest
from built_conversations import built_row, write_dataset
from matplotlib.image import imread
from rich_conversations import rich_row

ROOT = Path(__file__).parents[2]

#: Bytes and pixels of a picture that loads at once and is legible where it is shown small.
LARGEST = 100_000
NARROWEST = 1000


@pytest.mark.nightly
def test_a_conversation_is_drawn_as_recorded_and_as_rebuilt(tmp_path: Path) -> None:
    work = write_dataset(tmp_path / "work", [rich_row("call"), built_row("other")])
    recording = tmp_path / "call.flac"
    picture = tmp_path / "call.png"
    recording.write_bytes(built_row("call")["audio"]["bytes"])
    program = str(ROOT / "docs" / "picture.py")
    command = [sys.executable, program, str(work), str(recording), str(picture)]
    subprocess.run(command, check=True, cwd=tmp_path)
    assert picture.stat().st_size < LARGEST
    assert imread(picture).shape[1] >= NARROWEST


def test_readme_opens_with_its_picture() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    before, shown, _ = page.partition("](docs/conversation.png)")
    assert shown
    assert len(before) < 500  # after the first sentence
    picture = ROOT / "docs" / "conversation.png"
    assert picture.stat().st_size < LARGEST
    assert imread(picture).shape[1] >= NARROWEST
