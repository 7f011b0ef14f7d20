import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.sources.store_notes import Notes


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
