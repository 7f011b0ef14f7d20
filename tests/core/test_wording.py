import pytest

from dailytalk_contiguous.core.wording import kind_of

HELD = "held back: {} could not be said: it is too short (1.12 s in place of 2.84 s) ({})"
LISTED = "held back: could not be said: {}"
NAMES = ("MUL1423/left/0000", "MUL1423/left/0001", "MUL1423/left/0002")


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        (HELD.format("1 utterance", "MUL/left/0010"), HELD.format("1 utterance", "SNG/left/3"), None),
        ("line 3 of transcript.jsonl: channel is 'up'", "line 9 of other.jsonl: channel is 'x'", None),
        ("-16.5 dB is under the limit", "-2 dB is under the limit", None),
        ("its utterance a/left/0001 is that of line 3", "its utterance b/right/7 is that of line 8", None),
        (LISTED.format(NAMES[0]), LISTED.format(", ".join(NAMES)), LISTED.format("…")),
        ("MUL1423 has one channel", "SNG1640.wav has one channel", "… has one channel"),
    ],
)
def test_reasons_that_differ_in_ids_quotes_and_figures_are_of_one_kind(
    first: str, second: str, kind: str | None
) -> None:
    assert kind_of(first) == kind_of(second)
    assert kind is None or kind_of(first) == kind
