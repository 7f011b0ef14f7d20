"""Plans of copies: buckets never flip, and a plan hangs on nothing but the clip."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.apps.clips.copies import (
    KINDS,
    LEAST_STRETCH,
    CopySource,
    Recipe,
    Thresholds,
    bucket,
    copied_seconds,
    copy_id,
    flips,
    plan_copies,
)
from dailytalk_contiguous.core.buckets import percentile

FREE = CopySource("corpus/a", 120.0, 15.0, 3.0)

speakers = st.lists(
    st.tuples(st.floats(70, 480), st.floats(0, 90), st.floats(0, 8)), min_size=1, max_size=40, unique=True
)


def thresholds(values: list[float], feature: str) -> Thresholds:
    found = percentile(values, feature)
    return Thresholds(found.low, found.high)


@given(speakers, st.integers(0, 5))
def test_no_copy_leaves_the_buckets_of_its_speaker(measures: list[tuple[float, float, float]], seed: int) -> None:
    names = ("f0_mean", "f0_std", "speech_rate")
    columns = dict(zip(names, map(list, zip(*measures, strict=True)), strict=True))
    found = {name: thresholds(values, name) for name, values in columns.items()}
    labels = {name: percentile(values, name).labels for name, values in columns.items()}
    for place, own in enumerate(measures):
        source = CopySource(f"s/{place}", *own, *(found[name] for name in names))
        assert [bucket(value, found[name]) for name, value in zip(names, own, strict=True)] == [
            labels[name][place] for name in names
        ]
        plan = plan_copies(source, KINDS, 8, seed)
        assert {recipe.kind for recipe in plan.recipes} | {one.kind for one in plan.refused} == set(KINDS)
        for recipe in plan.recipes:
            pitch = 2 ** (recipe.amount / 12) if recipe.kind == "pitch" else 1.0
            rate = 1 / recipe.amount if recipe.kind == "stretch" else 1.0
            for name, value in zip(names, (own[0] * pitch, own[1] * pitch, own[2] * rate), strict=True):
                assert bucket(value, found[name]) == labels[name][place]


def test_fewer_copies_are_the_first_of_more_whatever_the_order_of_kinds() -> None:
    more = plan_copies(FREE, KINDS, 9).recipes
    assert plan_copies(FREE, reversed(KINDS), 4).recipes == more[:4]
    assert plan_copies(FREE, KINDS, 9, seed=1).recipes != more


def test_copies_of_a_clip_are_these_in_every_version() -> None:
    assert plan_copies(FREE, KINDS, 5, seed=3).recipes == [
        Recipe("stretch", pytest.approx(0.9467185791471403), None, 3450169049783080637),
        Recipe("noise", pytest.approx(28.071123179311186), "white", 1538160698243594302),
        Recipe("room", pytest.approx(0.18070850135827), None, 627521479325511271),
        Recipe("pitch", pytest.approx(-0.6068840300995666), None, 2331142483683320720),
        Recipe("stretch", pytest.approx(0.9207771203867189), None, 7716440011935726268),
    ]
    assert [recipe.detail for recipe in plan_copies(FREE, ["noise"], 3, 0, ["b.wav", "a.wav"]).recipes] == [
        "b.wav",
        "a.wav",
        "b.wav",
    ]


def test_a_voice_in_a_narrow_bucket_is_not_shifted_and_the_reason_says_so() -> None:
    narrow = FREE._replace(
        f0_mean_thresholds=Thresholds(118.0, 122.0), speech_rate_thresholds=Thresholds(2.95, 3.05)
    )
    plan = plan_copies(narrow, ("pitch", "stretch"), 3)
    assert plan.recipes == []
    assert [one.kind for one in plan.refused] == ["pitch", "stretch"]
    assert "f0_mean into another bucket" in plan.refused[0].reason
    assert "speech_rate into another bucket" in plan.refused[1].reason
    assert {recipe.kind for recipe in plan_copies(narrow, KINDS, 4).recipes} == {"noise", "room"}


def amounts(source: CopySource, kind: str) -> list[float]:
    return [recipe.amount for seed in range(60) for recipe in plan_copies(source, [kind], 3, seed).recipes]


def test_a_high_voice_is_only_shifted_up_and_a_low_one_down() -> None:
    high = FREE._replace(f0_mean_thresholds=Thresholds(90.0, 119.0))
    low = FREE._replace(f0_mean_thresholds=Thresholds(121.0, 200.0))
    assert min(amounts(high, "pitch")) > 0
    assert max(amounts(low, "pitch")) < 0
    assert len(amounts(high, "pitch")) == len(amounts(low, "pitch")) == 180
    assert flips("pitch", -1.0, high) == "f0_mean"
    assert flips("pitch", 1.0, high) is None


def test_amount_that_alone_is_allowed_is_taken() -> None:
    slowest = Thresholds(2.912621356395513, 3.05)  # 3 words a second may be stretched to 1.03 and no further
    plan = plan_copies(FREE._replace(speech_rate_thresholds=slowest), ["stretch"], 2)
    assert ([recipe.amount for recipe in plan.recipes], plan.refused) == ([1 + LEAST_STRETCH] * 2, [])


def test_a_voice_without_a_pitch_is_not_shifted() -> None:
    (refused,) = plan_copies(CopySource("whisper"), ["pitch"], 1).refused
    assert "not known" in refused.reason


def test_ids_say_what_a_copy_is() -> None:
    assert copy_id("x/1", Recipe("pitch", 1.3, None, 0x15F2C)) == "x/1~pitch+1.30-5f2c"
    assert copy_id("x/1", Recipe("room", 0.25, None, 1)) == "x/1~room0.25-0001"
    assert copied_seconds(Recipe("stretch", 1.1, None, 1), 2.0) == pytest.approx(2.2)
    assert copied_seconds(Recipe("room", 0.3, None, 1), 2.0) == 2.0


def test_value_at_a_threshold_is_low_or_high_and_at_both_middling() -> None:
    edges = Thresholds(2.0, 3.0)
    assert [bucket(value, edges) for value in (1.9, 2.0, 2.1, 2.9, 3.0)] == ["LOW", "LOW", "MID", "MID", "HIGH"]
    assert bucket(2.0, Thresholds(2.0, 2.0)) == "MID"


@pytest.mark.parametrize("name", ["f0_std", "speech_rate"])
def test_value_of_nothing_stays_where_it_is_and_limits_no_change(name: str) -> None:
    source = FREE._replace(**{name: 0.0, f"{name}_thresholds": Thresholds(1.0, 2.0)})
    assert plan_copies(source, KINDS, 8) == plan_copies(FREE, KINDS, 8)
