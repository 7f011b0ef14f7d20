import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.sources.recordings.recording_files import LONGEST_PART, Names, identities, shortened

JAPANESE = "今日の散歩で見つけた" * 7 + "小さな喫茶店"  # 76 characters, 228 bytes


def longest_part(name: str) -> int:
    """Bytes of the longest part of a path."""
    return max(len(part.encode("utf-8", "backslashreplace")) for part in name.split("/"))


@given(st.text())
def test_short_name_stays_and_long_one_fits_into_the_name_of_a_file(name: str) -> None:
    short = shortened(name)
    assert longest_part(short) <= LONGEST_PART
    assert shortened(short) == short
    if longest_part(name) <= LONGEST_PART:
        assert short == name


def test_long_names_that_begin_alike_stay_different() -> None:
    assert len(JAPANESE) == 76
    names = {shortened(JAPANESE + end) for end in ("", "1", "2")}
    assert len(names) == 3
    for name in names:
        assert name.startswith("今日の散歩で")


def test_stream_and_list_shorten_alike() -> None:
    names = [f"{JAPANESE}.wav", f"{JAPANESE}x.wav", "call.wav"]
    streamed = Names()
    one_by_one = [streamed.add(name) for name in names]
    assert one_by_one == list(identities(names).values())


@pytest.mark.parametrize(
    ("earlier", "name"),
    [
        ("call.wav", "call.flac"),  # both would have kept their endings
        ("call.wav.flac", "call.wav"),
        ("call.000.wav", "call.wav"),  # whose first part would be called so
    ],
)
def test_streamed_name_that_changes_what_an_earlier_one_should_have_been_is_refused(
    earlier: str, name: str
) -> None:
    streamed = Names([earlier])
    with pytest.raises(
        BadInput, match=r"can't be distinguished from an earlier row's .*choose another --id-column"
    ):
        streamed.add(name)
    assert streamed.add("another.wav") == "another"
