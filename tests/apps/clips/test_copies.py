"""Plans of copies: buckets never flip, and a plan hangs on nothing but the clip."""

from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.apps.clips.augment import (
    AMOUNTS,
    KINDS,
    CopySource,
    Measured,
    plan_copies,
)
from dailytalk_contiguous.core.buckets import percentile

NAMES = ("f0_mean", "f0_std", "speech_rate")

speakers = st.lists(
    st.tuples(st.floats(70, 480), st.floats(0, 90), st.floats(0, 8)), min_size=1, max_size=40, unique=True
)


@given(speakers, st.integers(0, 5))
def test_no_copy_leaves_the_buckets_of_its_speaker(measures: list[tuple[float, float, float]], seed: int) -> None:
    columns = dict(zip(NAMES, map(list, zip(*measures, strict=True)), strict=True))
    buckets = {name: percentile(values, name) for name, values in columns.items()}
    for place, own in enumerate(measures):
        known = {
            name: Measured(value, buckets[name].low, buckets[name].high)
            for name, value in zip(NAMES, own, strict=True)
        }
        labels = {name: buckets[name].labels[place] for name in NAMES}
        assert {name: measure.bucket() for name, measure in known.items()} == labels
        recipes, refused = plan_copies(CopySource(f"s/{place}", known), KINDS, 8, seed)
        assert {recipe.kind for recipe in recipes} | set(refused) == set(KINDS)
        for recipe in recipes:
            assert any(low <= recipe.amount <= high for low, high in AMOUNTS[recipe.kind])
            pitch = 2 ** (recipe.amount / 12) if recipe.kind == "pitch" else 1.0
            rate = 1 / recipe.amount if recipe.kind == "stretch" else 1.0
            for name, factor in zip(NAMES, (pitch, pitch, rate), strict=True):
                assert known[name].bucket(factor) == labels[name]
