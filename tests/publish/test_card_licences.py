"""Which licences a card may have, given those of its sources and models."""

import pytest

from dailytalk_contiguous.core.licensing import Origin, derived, licence_in_words, promised_too_much

PROGRAM = Origin("recogniser", "medium", "MIT")
NC_MODEL = Origin("affect", "audeering", "CC-BY-NC-SA-4.0")
FISH = Origin("synthesiser", "fish/s1", "other: Fish Audio's terms")


def source(licence: str | None) -> Origin:
    return Origin("source", "calls", licence)


@pytest.mark.parametrize(
    ("licence", "origin", "word"),
    [
        ("cc-by-4.0", source("CC-BY-NC-4.0"), "commercial"),
        ("mit", source("CC-BY-SA-4.0"), "same terms"),
        ("cc-by-nc-sa-4.0", source("CC-BY-SA-4.0"), "same terms"),
        ("cc0-1.0", source("CC-BY-4.0"), "author"),
        ("other", source("LDC User Agreement"), "passed on"),
        ("cc-by-4.0", source(None), "have to be read"),
        ("cc-by-4.0", NC_MODEL, "commercial"),
        ("cc-by-4.0", FISH, "have to be read"),
    ],
)
def test_a_licence_that_promises_too_much_is_warned_of(licence: str, origin: Origin, word: str) -> None:
    (warning,) = promised_too_much([licence], [origin])
    assert word in warning


@pytest.mark.parametrize(
    ("licence", "origin"),
    [
        ("cc-by-4.0", source("CC-BY-4.0")),
        ("cc-by-nc-sa-4.0", source("CC-BY-NC-SA-4.0")),
        ("cc-by-nc-4.0", NC_MODEL),  # share-alike binds the model, not what it rates
        ("cc-by-4.0", Origin("synthesiser", "espeak/espeak-ng", "GPL-3.0-or-later")),
    ],
)
def test_a_licence_that_says_as_much_is_not_warned_of(licence: str, origin: Origin) -> None:
    assert promised_too_much([licence], [origin]) == ()


@pytest.mark.parametrize(
    ("sources", "models", "licence"),
    [
        (["CC-BY-4.0"], [PROGRAM], "cc-by-4.0"),
        (["CC-BY-NC-4.0"], [NC_MODEL], "cc-by-nc-4.0"),
        (["CC-BY-4.0"], [NC_MODEL], "other"),
        (["CC-BY-4.0", "CC0-1.0"], [], "cc-by-4.0"),
        ([None], [], "other"),
    ],
)
def test_one_licence_follows_only_where_it_covers_everything(
    sources: list[str | None], models: list[Origin], licence: str
) -> None:
    assert derived([*map(source, sources), *models]) == licence


def test_what_a_licence_asks_is_said_in_words() -> None:
    assert licence_in_words("CC-BY-NC-4.0") == "no commercial use; its author to be named"
    assert licence_in_words("Apache-2.0") == "nothing of the data"
    assert licence_in_words(None) == licence_in_words("unknown") == "see its terms"
