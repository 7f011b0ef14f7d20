from pathlib import Path

from corpus_trees import clip, good, problems, put, read, zipped

from dailytalk_contiguous.apps.clips.corpora.corpus_files import open_tree
from dailytalk_contiguous.store.files import LINK_OUT

NAME = "DC_a01.wav"


def names(source: Path) -> list[str]:
    return [found.name for found in open_tree(source).files]


def test_folders_and_archives_are_listed_as_one_without_litter(tmp_path: Path) -> None:
    put(tmp_path, {"b/x.wav": b"", ".DS_Store": b"", ".git/config": b"", "Thumbs.db": b""})
    zipped(tmp_path / "a.zip", {"c/y.wav": b"", "__MACOSX/c/._y.wav": b"", "c/.hidden": b""})
    assert names(tmp_path) == ["a.zip/c/y.wav", "b/x.wav"]
    assert names(tmp_path / "a.zip") == ["c/y.wav"]


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
