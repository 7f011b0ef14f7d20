"""What a card makes of counts: each figure of its tables and sentences, from statistics made on the spot."""

import math
from collections import Counter
from pathlib import Path

import pytest

from dailytalk_contiguous.core.licensing import Origin
from dailytalk_contiguous.publish import card
from dailytalk_contiguous.publish.card import _size
from dailytalk_contiguous.publish.manifest import DataFile, Packed, manifest
from dailytalk_contiguous.publish.statistics import UNNAMED, CardStatistics, Moments, Side, Sum


def cells(table: str) -> dict[str, list[str]]:
    """The rows of a table by their first cell."""
    lines = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in lines[2:]}


def test_turn_taking_is_told_of_the_source_and_of_the_dataset() -> None:
    found = CardStatistics()
    found.tally.before = Side(Counter(turn=1500), Counter({-50: 1, 20: 3, 100: 1}), 3.0, 40.0, 60.0)
    found.tally.after = Side(Counter(turn=4, backchannel=2), Counter(), 0.0, 0.0, 0.0)
    found.tally.backchannels, found.tally.backchannels_kept, found.tally.lost_seconds = 3, 2, 90.0
    told = card.turn_measures(found, has_plot=True)
    assert cells(told) == {
        "median offset": ["0.20 s", "–"],
        "10th percentile": ["−0.50 s", "–"],
        "90th percentile": ["1.00 s", "–"],
        "both speak at once": ["5.0 %", "–"],
        "turns": ["1,500", "4"],
        "overlaps": ["0", "0"],
        "backchannels": ["0", "2"],
        "interruptions": ["0", "0"],
    }
    assert "2 backchannels of 3 in the source lie inside the same turn as before. 1.5 min of the" in told
    assert "assets/offsets.png" in told
    assert "assets/offsets.png" not in card.turn_measures(found, has_plot=False)
    assert card.turn_measures(CardStatistics(), True).startswith("No utterance has times")


def test_measures_are_told_with_mean_deviation_and_range_where_anything_was_measured() -> None:
    found = CardStatistics()
    for value in (100.0, 200.0, None, float("nan")):
        found.prosody["f0_mean"].add(value)
    found.affect["valence"].add(0.25)
    assert cells(card.measure_table(found)) == {
        "pitch, mean": ["Hz", "150.0", "50.0", "100.0", "200.0", "2"],
        "valence": ["", "0.250", "0.000", "0.250", "0.250", "1"],
    }


def test_buckets_and_tags_are_shares_and_seconds_by_side_the_longest_first() -> None:
    found = CardStatistics()
    found.tally.buckets["pitch_var"].update(LOW=1, MID=2, HIGH=1)
    assert cells(card.bucket_table(found)) == {"pitch var": ["25 %", "50 %", "25 %"]}
    found.tags.update({"calm": {"left": 60.0, "right": 30.0}, "happy": {"right": 100.0}, "sad": {"left": 100.0}})
    found.tagged.update(calm=1001)
    table = cells(card.tag_table(found))
    assert list(table) == ["happy", "sad", "calm"]
    assert table["calm"] == ["1.5 min", "1.0 min", "30.0 s", "1,001"]
    assert table["sad"] == ["1.7 min", "1.7 min", "0.0 s", "0"]


def test_splits_add_up_and_speakers_beyond_thirty_are_one_line() -> None:
    found = CardStatistics()
    found.splits.update(train=Sum(2, 20, 200, 3600.0), validation=Sum(1, 2, 3, 1800.0))
    data = DataFile("utterances/train-0", Path(), "utterances", "train", "", 1, 20, 9.0)
    table = card.split_table(found, Packed((data, data), 24000, "speakers"))
    assert cells(table)["all"] == ["3", "22", "203", "1.5 h"]
    assert "The config `utterances` has 40 rows." in table
    for number in range(32):
        found.speakers[f"p{number:02d}", False] = Sum(1, 2, 0, 100.0 - number)
    assert cells(card.speaker_table(found))["2 others"] == ["", "", "4", "2.3 min"]
    del found.speakers["p31", False]
    assert "1 others" in card.speaker_table(found)
    del found.speakers["p30", False]
    assert "others" not in card.speaker_table(found)


def test_models_are_named_with_their_licence_or_that_it_is_unknown() -> None:
    found = CardStatistics()
    found.models[Origin("recogniser", "medium", "MIT", "https://x.org")] = 1200
    found.models[Origin("synthesiser", "mine", None, "")] = 1
    found.tools["b"] = found.tools["a"] = 1
    told = card.models(found, {"packages": {"torch": "2.9"}})
    rows = [line.split("|") for line in told.splitlines() if "medium" in line or "mine" in line]
    assert [[cell.strip() for cell in row[3:5]] for row in rows] == [["MIT", "1,200"], ["unknown", "1"]]
    assert "Made with a and b (torch 2.9)." in told


def test_settings_are_those_that_say_something_with_all_values_of_the_conversations() -> None:
    found = CardStatistics()
    found.settings.update({'{"timeline": "anchor", "voice_of": null}': 2, '{"timeline": "sequential"}': 1})
    found.voices.update({"": 1, **{f"v{number}": 1 for number in range(12)}})
    told = cells(card.settings(found, {"settings": {"rules": "", "asr_model": "medium"}}))
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
    found = CardStatistics()
    found.splits["train"] = Sum()
    assert card.splits(found, disjoint).startswith("There is one split")
    found.splits["validation"] = Sum()
    found.shared["ann"].update(["train", "validation"] if shared else ["train"])
    found.shared["bob"].add("train")
    if unnamed:
        found.speakers[UNNAMED, False] = Sum()
    assert told in card.splits(found, disjoint)
    found.shared["cat"].add("train")
    assert "as with DailyTalk" not in card.splits(found, disjoint)


def test_limits_tell_what_is_missing_and_what_was_guessed() -> None:
    found = CardStatistics()
    found.tally.conversations = 1300
    found.languages.update(en=1, de=1201)
    found.tally.statuses.update({"dropped": 1, "kept-original": 2})
    found.tally.reasons["too short"] = 1100
    found.tally.word_sources.update(given=1)
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
    plain = CardStatistics()
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


def test_statistics_of_nothing_are_none() -> None:
    assert Sum() == Sum(0, 0, 0, 0.0)
    found = Moments()
    assert math.isnan(found.mean)
    assert math.isnan(found.deviation)
    for value in (1.0, 2.0, 6.0):
        found.add(value)
    assert (found.n, found.mean, found.low, found.high) == (3, 3.0, 1.0, 6.0)
    assert found.deviation == pytest.approx((14 / 3) ** 0.5)


def test_settings_are_told_in_one_order_whatever_that_of_the_rows() -> None:
    texts = ('{"b": 1, "a": "x"}', '{"a": "y", "c": [2]}', '{"a": "w"}')
    orders = []
    for some in (texts, texts[::-1]):
        found = CardStatistics()
        found.settings.update(some)
        orders.append(list(found.decided))
    assert orders[0] == orders[1] == [("a", ["w", "y", "x"]), ("b", [1]), ("c", [[2]])]


def test_limits_name_recognisers_by_name_and_the_ten_commonest_reasons() -> None:
    found = CardStatistics()
    for name in ("tiny", "given", "small", "medium", "large", "base"):
        found.models[Origin("recogniser", name, None, "")] = 1
    found.tally.reasons.update({f"reason {letter}": 20 - n for n, letter in enumerate("abcdefghijkl")})
    told = card.limits(found)
    assert "recognised by a machine (base, large, medium, small, tiny) unless" in told
    listed = "; ".join(f"reason {letter} ({20 - n})" for n, letter in enumerate("abcdefghij"))
    assert f"in the words of the log: {listed}." in told
