"""The stage of docs/extending.md in a person's own file."""

import re
import sys
import zlib
from pathlib import Path

import pytest
from audio_files import ROOT
from datasets import load_dataset

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")

#: The file as the page shows it: the words of at least `letters` are counted, four unless it is set.
#: Then its class as one that maps columns.
OWN_STAGE, COLUMN_STAGE = re.findall(r"```python\n(.*?)```", PAGE.partition("## Settings")[0], re.DOTALL)


#: The file whose stage adds columns of the row.
OWN_COLUMN = (ROOT / "examples/own/column.py").read_text(encoding="utf-8")


def own_file(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str = OWN_STAGE) -> Path:
    """The code in a file under a name that no other test imports; what importing it changes is undone."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    name = re.sub("[^a-z0-9]", "_", folder.name.lower())
    checksum = zlib.crc32(code.encode())
    path = folder / "own" / f"{name}_{checksum:x}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(code, encoding="utf-8")
    return path


def miscounts(out: Path, letters: int) -> list[list[int]]:
    """By how much the words of so many letters differ from those that were counted, in each conversation."""
    rows = load_dataset("parquet", data_dir=str(out / "tagged"), split="train")
    all_differences = []
    for row in rows:
        assert len(row["n_words"]) == len(row["text"]) > 0
        differences = []
        for text, n_words in zip(row["text"], row["n_words"], strict=True):
            counted = sum(len(word) >= letters for word in text.split())
            differences.append(counted - n_words)
        all_differences.append(differences)
    return all_differences
