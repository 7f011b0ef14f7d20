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
from dailytalk_contiguous.core.style.buckets import percentile

NAMES = ("f0_mean", "f0_std", "speech_rate")

speakers = st.lists(
    st.tuples(st.floats(70, 480), st.floats(0, 90), st.floats(0, 8)), min_size=1, max_size=40, unique=True
)


@given(speakers, st.integers(0, 5))
def test_no_copy_leaves_the_buckets_of_its_speaker(measures: list[tuple[float, float, float]], seed: int) -> None:
    columns = dict(zip(NAMES, zip(*measures, strict=True), strict=True))
    buckets = {name: percentile(values, name) for name, values in columns.items()}
    for index in range(len(measures)):
        measured = {}
        labels = {}
        for name, bucket in buckets.items():
            measured[name] = Measured(columns[name][index], bucket.low, bucket.high)
            labels[name] = bucket.labels[index]
            assert measured[name].bucket() == labels[name]
        source = CopySource(f"s/{index}", measured)
        recipes, refused = plan_copies(source, KINDS, 8, seed)
        kinds = {recipe.kind for recipe in recipes}
        assert kinds | set(refused) == set(KINDS)
        for recipe in recipes:
            ranges = AMOUNTS[recipe.kind]
            assert any(low <= recipe.amount <= high for low, high in ranges)
            pitch = 2 ** (recipe.amount / 12) if recipe.kind == "pitch" else 1.0
            rate = 1 / recipe.amount if recipe.kind == "stretch" else 1.0
            factors = {"f0_mean": pitch, "f0_std": pitch, "speech_rate": rate}
            for name, factor in factors.items():
                assert measured[name].bucket(factor) == labels[name]
