import shutil
from pathlib import Path

import pytest

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.run.storage import open_work
from dailytalk_contiguous.store.addresses import STORE_RECORD, address_of, as_given, is_address, store_address


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("s3://bucket/folder/", "s3://bucket/folder"),
        ("s3:/bucket/folder", "s3://bucket/folder"),
        ("hf://buckets/OWNER/NAME/a/b/", "hf://buckets/OWNER/NAME/a/b"),
        ("hf:/datasets/OWNER/NAME/a/b", "hf://datasets/OWNER/NAME/a/b"),
    ],
)
def test_address_of_a_store_is_told_in_one_spelling(given: str, meant: str) -> None:
    assert address_of(given) == address_of(Path(given)) == store_address(Path(given)) == meant
    assert is_address(given)


@pytest.mark.parametrize(
    "given",
    ["hf://datasets/OWNER/NAME", "hf://OWNER/NAME/FOLDER", "hf://buckets/OWNER", "https://x.org/a", "abfs://c/x"],
)
def test_address_that_is_none_of_a_store_is_no_place_to_work_in(given: str) -> None:
    assert address_of(given) is None
    assert is_address(given)
    with pytest.raises(DailytalkError) as refused:
        store_address(Path(given))
    assert refused.value.reason == f"{given} is not a place to work in"
    assert refused.value.remedy == (
        "name a folder, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, hf://buckets/OWNER/NAME/FOLDER or "
        "hf://datasets/OWNER/NAME/FOLDER"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"there is nothing in '{Path('s3://bucket/a b')}'", "there is nothing in 's3://bucket/a b'"),
        (f"next: dailytalk speak {Path('file:///tmp/work')}", "next: dailytalk speak file:///tmp/work"),
        (f"{Path('hf://buckets/OWNER/NAME/a')} failed", "hf://buckets/OWNER/NAME/a failed"),
        (f'{{"out": "{Path("gs://bucket/a")}"}}', '{"out": "gs://bucket/a"}'),
        ("at https://x.org/a and /tmp/hf:/x", "at https://x.org/a and /tmp/hf:/x"),
    ],
)
def test_address_is_whole_in_what_people_read(text: str, shown: str) -> None:
    assert as_given(text) == shown


@pytest.mark.parametrize("given", ["s3", "s3:", "calls/s3://a", "/tmp/x", "C:/x", "xs3://a", "OWNER/NAME", ""])
def test_place_on_this_machine_is_no_address(given: str) -> None:
    assert address_of(given) is None
    if not given.startswith("xs3"):
        assert not is_address(given)
        assert store_address(Path(given)) is None


def test_only_this_machines_own_copies_stand_for_their_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))
    address = f"file://{tmp_path}/store/run"
    copies = open_work(Path(address)).folder
    assert store_address(copies) == address

    moved = shutil.copytree(copies, tmp_path / "copied")
    assert store_address(moved) is None

    foreign = tmp_path / "from somebody"
    foreign.mkdir()
    (foreign / STORE_RECORD).write_text("s3://somebody/else")
    assert store_address(foreign) is None
