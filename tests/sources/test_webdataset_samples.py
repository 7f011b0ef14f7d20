"""Samples of a WebDataset, and what of it is in memory at a time."""

import io
import tarfile
from collections.abc import Sequence
from typing import Any

import pytest

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.sources.hub import webdataset_samples

SIZE = 1000


@pytest.fixture(autouse=True)
def five_files_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample has five files of `SIZE` at most, as it has 500 MB otherwise."""
    monkeypatch.setattr(webdataset_samples, "MOST_ROW_BYTES", 5 * SIZE)


def samples(names: Sequence[str]) -> list[Any]:
    """The samples of a tar of files of `SIZE`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = SIZE
            tar.addfile(member, io.BytesIO(bytes(SIZE)))
    buffer.seek(0)
    return [sample for sample, _ in webdataset_samples.samples_in(buffer, "a.tar")]


def test_recordings_that_share_a_name_up_to_the_first_dot_are_as_many_as_there_are() -> None:
    people = [f"person-{letter}" for letter in "abcdefghijk"]
    alone = samples([f"corpus.{person}.flac" for person in people])
    assert [sample["__key__"] for sample in alone] == [f"corpus.{person}" for person in people]
    assert all(sample["flac"] == bytes(SIZE) for sample in alone)


def test_a_sample_of_too_many_files_is_refused_alone() -> None:
    notes = [f"call.note-{letter}.txt" for letter in "abcdefgh"]
    first, refused, last = samples(["a.flac", "call.flac", *notes, "z.flac"])
    assert first["flac"] == last["flac"] == bytes(SIZE)
    assert isinstance(refused, BadInput)
    assert str(refused) == "a.tar: its sample 'call' has more than 0.0 MB: publish it in shorter parts"


def test_sides_and_their_mix_stay_one_sample() -> None:
    (sample,) = samples(["call.left.flac", "call.right.flac", "call.mix.flac", "call.json"])
    assert sample.keys() == {"__key__", "left.flac", "right.flac", "mix.flac", "json"}
