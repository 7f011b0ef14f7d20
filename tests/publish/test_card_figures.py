"""What a card makes of counts: each figure of its tables and sentences, from a tally made on the spot."""

from pathlib import Path

import pytest

from dailytalk_contiguous.core.licensing import Origin
from dailytalk_contiguous.core.tally import UNKNOWN, Sum, Tally
from dailytalk_contiguous.publish import card
from dailytalk_contiguous.publish.card import _size
from dailytalk_contiguous.publish.manifest import DataFile, Packed, manifest
from dailytalk_contiguous.publish.sections import (
    buckets_table,
    made_parts,
    markdown,
    measures_table,
    tags_table,
    turn_parts,
    voice_tables,
)


def cells(text: str) -> dict[str, list[str]]:
    """The rows of the tables in a text by their first cell."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in lines}


def test_turn_taking_is_told_of_the_source_and_of_the_dataset() -> None:
    found = Tally()
    found.before.events.update(turn=1500)
    found.before.offsets_of["left"].counts.update({-50: 1, 20: 3, 100: 1})
    found.before.overlap_seconds, found.before.seconds = 3.0, 60.0
    found.after.events.update(turn=4, backchannel=2)
    found.backchannels, found.backchannels_kept, found.lost["speech"] = 3, 2, 90.0
    told = markdown(turn_parts(found))
    rows = cells(told)
    assert {name: rows[name] for name in ("offset, median", "share of the time", "turns", "backchannels")} == {
        "offset, median": ["+0.20 s", "–"],
        "share of the time": ["5.0 %", "–"],
        "turns": ["1,500", "4"],
        "backchannels": ["0", "2"],
    }
    assert "2 backchannels of 3 in the source are inside the same turn as before. 90.00 s of the" in told
    pictures: dict[str, bytes] = {}
    found.after.offsets_of["left"] = found.before.offsets_of["left"]
    assert "](assets/offsets.png)" in markdown(turn_parts(found), pictures)
    assert list(pictures) == ["assets/offsets.png"]
    assert markdown(turn_parts(Tally()), {}) == ""


def test_measures_are_told_with_mean_deviation_and_range_where_anything_was_measured() -> None:
    found = Tally()
    for value in (100.0, 200.0, None, float("nan")):
        found.measures["f0_mean"].add(value)
    found.measures["valence"].add(0.25)
    rows = cells(markdown([measures_table(found)]))
    assert {name: rows[name] for name in rows if name in ("pitch", "valence", "arousal")} == {
        "pitch": ["Hz", "150.0", "50.0", "100.0", "200.0", "2"],
        "valence": ["0 to 1", "0.250", "0.000", "0.250", "0.250", "1"],
    }


def test_buckets_and_tags_are_shares_and_seconds_by_side_the_longest_first() -> None:
    found = Tally()
    found.buckets["pitch_var"].update(LOW=1, MID=2, HIGH=1)
    assert cells(markdown([buckets_table(found)]))["pitch variation"] == ["25 %", "50 %", "25 %"]
    for tag, n, left, right in (("calm", 1001, 60.0, 30.0), ("happy", 0, 0.0, 100.0), ("sad", 0, 130.0, 0.0)):
        found.by["tag"][tag].add(Sum(0, n, 0, left + right, left=left, right=right))
    table = cells(markdown([tags_table(found)]))
    assert list(table)[2:] == ["sad", "happy", "calm"]
    assert table["calm"] == ["90.0 s", "60.0 s", "30.0 s", "1,001"]
    assert table["sad"] == ["2.2 min", "2.2 min", "0.0 s", "0"]


def test_splits_add_up_and_speakers_beyond_twenty_five_are_one_line() -> None:
    found = Tally()
    found.by["split"].update(train=Sum(2, 20, 200, 3600.0), validation=Sum(1, 2, 3, 3600.0))
    found.total.add(Sum(3, 22, 203, 7200.0))
    data = DataFile("utterances/train-0", Path(), "utterances", "train", "", 1, 20, 9.0)
    table = card.statistics(found, Packed((data, data), 24000, "speakers"), {})
    assert cells(table)["all"] == ["3", "22", "203", "2.0 h"]
    assert "The config `utterances` has 40 rows." in table
    for number in range(27):
        found.by["speaker"][f"p{number:02d}"].add(Sum(1, 2, 0, 100.0 - number))
    assert cells(markdown(voice_tables(found)))["2 others"] == ["2", "4", "2.5 min"]
    del found.by["speaker"]["p26"]
    assert cells(markdown(voice_tables(found)))["p25"] == ["1", "2", "75.0 s"]


def test_models_are_named_with_their_licence_or_that_it_is_unknown() -> None:
    found = Tally()
    found.models[Origin("recogniser", "medium", "MIT", "https://x.org")] = 1200
    found.models[Origin("synthesiser", "mine", None, "")] = 1
    found.tools["b"] = found.tools["a"] = 1
    told = markdown(made_parts(found, {"packages": {"torch": "2.9"}}))
    rows = [line.split("|") for line in told.splitlines() if "medium" in line or "mine" in line]
    assert [[cell.strip() for cell in row[3:5]] for row in rows] == [["MIT", "1,200"], ["unknown", "1"]]
    assert "Made with a and b (torch 2.9)." in told


def test_settings_are_those_that_say_something_with_all_values_of_the_conversations() -> None:
    found = Tally()
    found.settings.update({'{"timeline": "anchor", "voice_of": null}': 2, '{"timeline": "sequential"}': 1})
    found.voices.update({"": 1, **{f"v{number}": 1 for number in range(12)}})
    told = cells(markdown(made_parts(found, {"settings": {"rules": "", "asr_model": "medium"}})))
    assert told["timeline"] == ["anchor or sequential"]
    assert told["voice"] == [" or ".join(sorted(found.voices)[1:11])]
    assert not {"rules", "voice of"} & set(told)


@pytest.mark.parametrize(
    ("disjoint", "shared", "unnamed", "told"),
    [
        ("speakers", False, False, "No recorded (right) speaker is heard in two splits."),
        ("speakers", True, False, "No conversation is in two splits. **Speakers are not held apart**: 1 re"),
        ("recordings", False, False, "No recording has a part in two splits. **Speakers are not held apart**: it"),
        ("speakers", False, True, "it is not known of every conversation who was recorded"),
        ("conversations", True, True, "1 recorded speaker of 2 can be heard in more than one split (as with"),
    ],
)  # fmt: skip
def test_what_no_two_splits_share_is_said_plainly(disjoint: str, shared: bool, unnamed: bool, told: str) -> None:
    found = Tally()
    found.by["split"]["train"] = Sum()
    assert card.splits(found, disjoint).startswith("There is one split")
    found.by["split"]["validation"] = Sum()
    found.splits_of["ann"].update(["train", "validation"] if shared else ["train"])
    found.splits_of["bob"].add("train")
    if unnamed:
        found.by["speaker"][UNKNOWN] = Sum()
    assert told in card.splits(found, disjoint)
    found.splits_of["cat"].add("train")
    assert "as with DailyTalk" not in card.splits(found, disjoint)


def test_limits_tell_what_is_missing_and_what_was_guessed() -> None:
    found = Tally()
    for name, n in (("en", 1), ("de", 1201), (UNKNOWN, 98)):
        found.by["language"][name].add(Sum(n))
    found.statuses.update({"dropped": 1, "kept-original": 2})
    found.reasons["too short"] = 1100
    found.word_sources.update(given=1)
    found.models[Origin("recogniser", "pocketsphinx", None, "")] = 1
    found.models[Origin("affect", "acoustic-estimate", None, "")] = 1
    told = card.limits(found)
    for part in (
        "Languages by conversations: `de` 1,201, `en` 1, not known 98.",
        "1 utterance left out of the audio",
        "2 utterances on the left in the original voice",
        "Why, in the words of the log: too short (1,100).",
        "`given` 100 %.",
        "recognised by a machine (pocketsphinx)",
        "a preview.",
        "**Affect is an estimate**",
        "No recording and no conversation was rejected.",
    ):
        assert part in told
    assert "are guesses" not in told
    plain = Tally()
    plain.models[Origin("recogniser", "given", None, "")] = 1
    for part in ("How the times", "by a machine", "pocketsphinx", "an estimate", "left out", "not known", "Why,"):
        assert part not in card.limits(plain)


def test_changes_against_the_version_before_are_one_sentence() -> None:
    tags = [{"from": "calm", "to": "sad", "count": 1000}, {"from": "sad", "to": "calm", "count": 1}]
    changes = {"previous": "v1.0.0", "added": 1, "removed": 1200, "moved": 3, "tags": tags}
    told = card.changelog([("v1.1.0", "2026-01-02", "more")], changes)
    assert "| `v1.1.0` | 2026-01-02 | more |" in told
    assert told.endswith(
        "Against `v1.0.0`: 1 conversation added, 1,200 removed, 0 changed, 3 moved to another split, "
        "1,001 utterances with another tag."
    )
    assert "another tag" not in card.changelog([], {"previous": "v1.0.0"})
    assert card.changelog([], {}) == "This is the first version."


def test_hours_and_bytes_of_a_manifest_are_sums_over_its_files() -> None:
    files = [
        DataFile(f"conversations/train-{n}", Path(), "conversations", "train", "", 10**9, 2, 3600.0 * 50)
        for n in range(2)
    ]
    totals = manifest(Packed(tuple(files), 24000, "speakers"), None, {})["totals"]["conversations"]
    assert totals == {"rows": 4, "hours": 100.0, "size": 2 * 10**9}


@pytest.mark.parametrize(
    ("rows", "size"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**9, "1B<n<10B"), (10**12, "1B<n<10B")],
)
def test_size_is_the_category_of_the_hub(rows: int, size: str) -> None:
    assert _size(rows) == size


def test_settings_are_told_in_one_order_whatever_that_of_the_rows() -> None:
    texts = ('{"b": 1, "a": "x"}', '{"a": "y", "c": [2]}', '{"a": "w"}')
    orders = []
    for some in (texts, texts[::-1]):
        found = Tally()
        found.settings.update(some)
        orders.append(list(found.all_settings().items()))
    assert orders[0] == orders[1] == [("a", ["w", "y", "x"]), ("b", [1]), ("c", [[2]])]


def test_limits_name_recognisers_by_name_and_the_ten_commonest_reasons() -> None:
    found = Tally()
    for name in ("tiny", "given", "small", "medium", "large", "base"):
        found.models[Origin("recogniser", name, None, "")] = 1
    found.reasons.update({f"reason {letter}": 20 - n for n, letter in enumerate("abcdefghijkl")})
    told = card.limits(found)
    assert "recognised by a machine (base, large, medium, small, tiny) unless" in told
    listed = "; ".join(f"reason {letter} ({20 - n})" for n, letter in enumerate("abcdefghij"))
    assert f"in the words of the log: {listed}." in told
