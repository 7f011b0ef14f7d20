"""Names of datasets on the Hub: what can be one is taken apart, what can't is a sentence or somebody else's."""

import pytest

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.store.hub import Reference, parse_reference, reference

LONG = "a" * 96


@pytest.mark.parametrize(
    ("text", "repo", "revision"),
    [
        ("acme/calls", "acme/calls", None),
        ("acme/calls@v1.0.0", "acme/calls", "v1.0.0"),
        ("acme/calls@refs/pr/3", "acme/calls", "refs/pr/3"),
        ("hf://datasets/acme/calls@v1.0.0", "acme/calls", "v1.0.0"),
    ],
)
def test_name_of_a_dataset_is_its_repository_and_revision(text: str, repo: str, revision: str | None) -> None:
    expected = Reference(repo, revision)
    assert parse_reference(text) == expected
    assert reference(text) == expected
    assert parse_reference(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "calls",
        "a/b/c",
        "./calls",
        "/calls",
        "acme/",
        "",
        "acme/ca--ls",
        "acme/ca..ls",
        "acme/-calls",
        "acme/calls-",
        "acme/calls.git",
        "acme/calls@",
        "acme/ca lls",
        f"acme/{LONG}a",
        "ac@me/calls",
    ],
)
def test_what_can_be_no_dataset_is_left_to_others_or_refused(text: str) -> None:
    assert parse_reference(text) is None
    with pytest.raises(DailytalkError, match=r"is not the name of a dataset on the Hub.*write OWNER/NAME"):
        reference(text)
    with pytest.raises(DailytalkError, match=r"names no dataset.*write OWNER/NAME, or OWNER/NAME@TAG"):
        parse_reference(f"hf://datasets/{text}")
