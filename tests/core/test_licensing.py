import pytest

from dailytalk_contiguous.core.licensing import OTHER, combined, licence_in_words, terms_of_licence

BY = "CC-BY-4.0"
BY_SA = "CC-BY-SA-4.0"
NC_SA = "CC-BY-NC-SA-4.0"
NC = "CC-BY-NC-4.0"
ND = "CC-BY-NC-ND-4.0"
ODBL = "ODbL-1.0"
ESD = "LicenseRef-ESD-research-only"
MSP = "LicenseRef-MSP-Podcast-academic"


@pytest.mark.parametrize("licence", [None, "", "unknown", "Contract 7", "LicenseRef-house-rules", "other: terms"])
def test_what_a_name_does_not_tell_is_unknown(licence: str | None) -> None:
    assert not terms_of_licence(licence).is_known
    assert licence_in_words(licence) == "see its terms"


@pytest.mark.parametrize(
    ("licence", "asks"),
    [
        ("LDC User Agreement, no redistribution", {"sharing"}),
        ("LDC2004S13", {"sharing"}),
        ("our calls; may not be shared", {"sharing"}),
        ("Redistribution of the recordings is strictly prohibited", {"sharing"}),
        ("non-redistributable", {"sharing"}),
        ("Confidential", {"sharing"}),
        ("for non-commercial use, no derivatives", {"commercial", "changes"}),
        ("research use only", {"research"}),
        ("no restrictions on redistribution", set()),
        ("Redistribution is permitted if this notice is not removed", set()),
        ("no commercial redistribution", {"commercial"}),
        ("see the notes", set()),
    ],
)
def test_what_a_sentence_forbids_is_read_and_the_rest_of_it_is_unknown(licence: str, asks: set[str]) -> None:
    assert terms_of_licence(licence) == (asks, False)


@pytest.mark.parametrize("licence", [NC_SA, ND, NC, ESD, MSP])
def test_names_of_licences_tell_that_they_allow_no_commercial_use(licence: str) -> None:
    terms = terms_of_licence(licence)
    assert terms.is_known
    assert "commercial" in terms.asks


@pytest.mark.parametrize(
    ("licences", "strictest"),
    [
        ([BY, NC], NC),
        ([BY, NC, NC_SA], NC_SA),
        ([BY, "CC-BY-SA-3.0", BY_SA], BY_SA),
        ([BY_SA, NC], OTHER),  # none of them says both
        ([BY_SA, NC_SA], OTHER),  # each wants its own terms alone
        ([ESD, MSP], OTHER),  # two agreements are not one
        ([BY, None], OTHER),
        ([], OTHER),
    ],
)
def test_the_strictest_licence_is_named_only_where_it_covers_the_others(
    licences: list[str], strictest: str
) -> None:
    sources = {licence: ["x"] for licence in licences}
    assert combined(sources).licence == strictest


def test_a_model_that_forbids_commercial_use_makes_a_free_licence_too_little() -> None:
    free = combined({BY: ["x"]}, {"commercial"})
    forbidding = combined({NC: ["x"]}, {"commercial"})
    assert free.licence == OTHER
    assert forbidding.licence == NC
