from pathlib import Path

from corpus_trees import clip, good, problems, put, read

from dailytalk_contiguous.store.files import LINK_OUT

NAME = "DC_a01.wav"


def test_folder_of_links_to_clips_is_read_as_their_folder_is(tmp_path: Path) -> None:
    corpus = put(tmp_path / "corpus", {NAME: clip(), "b/DC_a07.wav": clip()})
    links = tmp_path / "links"
    links.mkdir()
    for path in (corpus / NAME, corpus / "b/DC_a07.wav"):
        (links / path.name).symlink_to(path)
    (links / "DC_a09.wav").symlink_to(tmp_path / "gone.wav")
    rows = read("savee", links)
    assert [row["audio_file"] for row in good(rows)] == [NAME, "DC_a07.wav"]
    assert problems(rows) == {"DC_a09.wav": "it is a link to a file that is not there"}


def test_links_out_of_the_corpus_are_rejected_with_their_reason(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", {"DC_a05.wav": clip(), "DC_a06.wav": clip()})
    corpus = put(tmp_path / "in", {NAME: clip(), "b/DC_a07.wav": clip()})
    (corpus / "DC_a05.wav").symlink_to(tmp_path / "elsewhere/DC_a05.wav")
    (corpus / "more").symlink_to(tmp_path / "elsewhere")
    (corpus / "DC_a08.wav").symlink_to("b/DC_a07.wav")
    rows = read("savee", corpus)
    assert problems(rows) == {"DC_a05.wav": LINK_OUT, "more": LINK_OUT}
    assert rows["DC_a05.wav"]["remedy"] == "copy it into the folder"
    assert rows["more"]["remedy"] == "copy it into the folder"
    usable = [row["audio_file"] for row in good(rows)]
    assert usable == ["DC_a01.wav", "DC_a08.wav", "b/DC_a07.wav"]
