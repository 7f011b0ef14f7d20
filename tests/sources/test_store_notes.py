import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.sources.store_notes import NOTES, Notes


def noted(folder: Path, name: str, text: str, token: str) -> Notes:
    """The notes of a process that has brought a file."""
    (folder / name).write_text(text)
    notes = Notes(folder)
    notes.add(name, token)
    return notes


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc"), st.text("xyz", min_size=1)), max_size=20),
)
def test_every_process_knows_the_last_note_of_any(steps: list[tuple[int, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        processes = [Notes(Path(place)) for _ in range(3)]
        last: dict[str, str] = {}
        for who, name, token in steps:
            (Path(place) / name).write_text(token)
            processes[who].add(name, token)
            last[name] = token
            for notes in processes[:2]:  # the third reads all at once in the end
                assert {known: notes.copied(known) for known in last} == last
        assert {known: processes[2].token(known) for known in processes[2].names()} == last


def test_notes_that_were_read_are_not_read_again(tmp_path: Path) -> None:
    notes = noted(tmp_path, "one", "1", "first")
    assert notes.token("one") == "first"
    data = (tmp_path / NOTES).read_bytes()
    (tmp_path / NOTES).write_bytes(b"?" * (len(data) - 1) + b"\n")
    noted(tmp_path, "two", "2", "second")
    assert (notes.token("one"), notes.token("two")) == ("first", "second")


def test_notes_of_a_mirror_that_was_thrown_away_are_forgotten(tmp_path: Path) -> None:
    notes = noted(tmp_path, "one", "1", "first")
    assert notes.names() == {"one"}
    (tmp_path / NOTES).unlink()
    assert (notes.names(), notes.copied("one")) == (set(), "")
    noted(tmp_path, "two", "2", "second")
    assert notes.names() == {"two"}


def test_file_that_changed_since_is_no_copy_and_its_token_is_still_known(tmp_path: Path) -> None:
    notes = noted(tmp_path, "one", "1", "first")
    (tmp_path / "one").write_text("other")
    assert (notes.copied("one"), notes.token("one")) == ("", "first")
    (tmp_path / "one").unlink()
    assert notes.copied("one") == ""


def test_file_that_grew_while_it_was_written_to_the_store_is_no_copy(tmp_path: Path) -> None:
    notes = noted(tmp_path, "one", "1", "first")
    status = (tmp_path / "one").stat()
    (tmp_path / "one").write_text("12")
    notes.add("one", "second", status)
    assert (notes.copied("one"), notes.token("one")) == ("", "second")


def test_half_a_note_is_read_once_it_is_whole(tmp_path: Path) -> None:
    noted(tmp_path, "one", "1", "first")
    whole = (tmp_path / NOTES).read_bytes()
    (tmp_path / NOTES).write_bytes(whole[:-5])
    notes = Notes(tmp_path)
    assert notes.names() == set()
    with (tmp_path / NOTES).open("ab") as file:
        file.write(whole[-5:])
    assert notes.copied("one") == "first"
